/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host: the host's own file system as the judge of the model test: what NFS
 * calls do to a handle, done by system calls to an open path (O_PATH), as
 * somebody.
 *
 * Each call takes the identity of its caller for this thread (setfsuid,
 * setfsgid, setgroups: what the kernel judges permissions by) and gives it
 * back.  Like a handle, an O_PATH descriptor names an object wherever it has
 * gone, and only the directory itself is asked for permission, not the way to
 * it.  Wants root; results are 0 or -errno.
 */
#ifndef TESTS_MODEL_HOST_H
#define TESTS_MODEL_HOST_H

#include <sys/stat.h>

#include "tests/lib/rawnfs.h"

struct host_who {
	uint32_t uid, gid, groups[2];
	unsigned int group_count;
};

/* Act as somebody from now on; NULL: as root again. */
void host_become(const struct host_who *who);
bool host_in_group(const struct host_who *who, uint32_t gid);

/* O_PATH, never through a link; -errno. */
int host_open(int dir, const char *name);
struct stat host_stat(int fd);
/* R_OK, W_OK, X_OK together, by the object's own mode. */
bool host_may(const struct host_who *who, int fd, int mode);
/* Where it is, "" for the root; " (deleted)" behind what is gone. */
void host_path(int fd, const char *root, char path[512]);

/* The calls.  force: without asking for the object's own permission bits. */
int host_lookup(const struct host_who *who, int dir, const char *name);
/* A regular file that must not exist, of zeros. */
int host_create(const struct host_who *who, int dir, const char *name,
		uint32_t mode, uint64_t size);
/* mode with its type: directory, FIFO or socket. */
int host_mknod(const struct host_who *who, int dir, const char *name,
	       uint32_t mode);
int host_symlink(const struct host_who *who, int dir, const char *name,
		 const char *target);
int host_link(const struct host_who *who, int fd, int dir, const char *name);
int host_remove(const struct host_who *who, int dir, const char *name,
		bool rmdir);
int host_rename(const struct host_who *who, int from_dir, const char *from,
		int to_dir, const char *to);
int host_setattr(const struct host_who *who, int fd,
		 const struct raw_sattr *set, bool force);
int host_write(const struct host_who *who, int fd, uint64_t off,
	       const void *data, size_t len, bool force);
/* Bytes read. */
ssize_t host_read(const struct host_who *who, int fd, uint64_t off, void *buf,
		  size_t len, bool force);
ssize_t host_readlink(int fd, char *buf, size_t cap);

/* Names of a directory without "." and "..", sorted. */
struct host_names {
	char (*names)[256]; /* owns */
	size_t count, cap;
};
int host_list(const struct host_who *who, int fd, struct host_names *names);
void host_names_free(struct host_names *names); /* what it owns */

#endif
