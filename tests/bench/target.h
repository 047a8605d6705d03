/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: a server that serves the files of tree.h, and what it showed us of
 * them before the run: handles, file numbers, sizes.
 *
 * One call at a time over a connection of its own.  As in reply.h, whatever is
 * not as it should be ends the program.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include "reply.h"
#include "tree.h"

enum {
	TARGET_NAME_MAX = 255,      /* bytes of one part of a path */
	TARGET_EXPORT_MAX = 1024,   /* bytes, as RFC 1813 has it */
	TARGET_READ_LEN = 64 << 10, /* when reading the hot file whole */
};

struct target_server {
	const char *address; /* IPv4, dotted */
	uint16_t nfs_port;
	uint16_t mount_port;
	const char *export;
	const char *hot_path; /* both below the export's root */
	const char *dir_path;
};

struct target {
	struct file root;
	struct file dir;
	struct file hot;
	struct file files[TREE_FILE_COUNT];
	char names[TREE_FILE_COUNT][16];
};

/* A connection, blocking; the caller owns it. */
int target_connect(const struct target_server *server, uint16_t port);

/*
 * Mount, find the directory and the hot file, and see that READs of
 * `read_len` bytes are allowed.
 */
void target_open(struct target *target, const struct target_server *server,
		 uint32_t read_len);

/* Look up all files of the directory. */
void target_learn_files(struct target *target,
			const struct target_server *server);

/* Read the hot file from end to end and check all of it. */
void target_prove_hot(const struct target *target,
		      const struct target_server *server);

#endif
