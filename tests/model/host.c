/* SPDX-License-Identifier: Apache-2.0 */
/* host: see host.h. */
#include "tests/model/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

enum { HOST_NAMES_STEP = 128 };

static const struct host_who host_root = {0, 0, {0}, 0};

/* --- identity ------------------------------------------------------------ */

void host_become(const struct host_who *who)
{
	static const struct host_who *now = &host_root;

	who = who ? who : &host_root;
	if (who == now)
		return;
	now = who;
	/* The bare calls: glibc's setgroups() would ask every thread. */
	ASSERT(syscall(SYS_setgroups, (size_t)who->group_count, who->groups) ==
	       0);
	setfsgid(who->gid);
	setfsuid(who->uid);
	ASSERT(setfsuid((uid_t)-1) == (int)who->uid);
	ASSERT(setfsgid((gid_t)-1) == (int)who->gid);
}

bool host_in_group(const struct host_who *who, uint32_t gid)
{
	for (unsigned int i = 0; i < who->group_count; i++)
		if (who->groups[i] == gid)
			return true;
	return who->gid == gid;
}

/* What a system call returned, with root's identity again. */
static int host_done(long rc)
{
	int error = errno;

	host_become(NULL);
	return rc < 0 ? -error : (int)rc;
}

/* --- objects ------------------------------------------------------------- */

static void host_proc(int fd, char path[64])
{
	snprintf(path, 64, "/proc/self/fd/%d", fd);
}

int host_open(int dir, const char *name)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int host_reopen(int fd, int flags)
{
	char path[64];

	host_proc(fd, path);
	return open(path, flags | O_CLOEXEC | O_NONBLOCK);
}

struct stat host_stat(int fd)
{
	struct stat st;

	ASSERT(fstat(fd, &st) == 0);
	return st;
}

bool host_may(const struct host_who *who, int fd, int mode)
{
	host_become(who);
	return host_done(syscall(SYS_faccessat2, fd, "", mode,
				 AT_EACCESS | AT_EMPTY_PATH)) == 0;
}

void host_path(int fd, const char *root, char path[512])
{
	char link[64], full[1024];
	size_t root_len = strlen(root);
	ssize_t len;

	host_proc(fd, link);
	len = readlink(link, full, sizeof(full) - 1);
	full[MAX(len, 0)] = '\0';
	snprintf(path, 512, "%.500s",
		 strncmp(full, root, root_len) == 0
		     ? full + root_len + (full[root_len] == '/')
		     : full);
}

/* --- names --------------------------------------------------------------- */

int host_lookup(const struct host_who *who, int dir, const char *name)
{
	struct stat st;

	host_become(who);
	return host_done(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW));
}

int host_create(const struct host_who *who, int dir, const char *name,
		uint32_t mode, uint64_t size)
{
	int fd;

	host_become(who);
	fd = host_done(
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
	if (fd < 0)
		return fd;
	/* As root: it costs no permission and no setuid bit. */
	ASSERT(size == 0 || ftruncate(fd, (off_t)size) == 0);
	close(fd);
	return 0;
}

int host_mknod(const struct host_who *who, int dir, const char *name,
	       uint32_t mode)
{
	struct stat st;
	int rc;

	host_become(who);
	if (!S_ISDIR(mode))
		return host_done(mknodat(dir, name, mode, 0));
	rc = host_done(mkdirat(dir, name, mode & 01777));
	if (rc < 0 || (mode & 06000) == 0)
		return rc;
	/* mkdir(2) has no use for these bits, MKDIR has. */
	ASSERT(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0);
	ASSERT(fchmodat(dir, name, (st.st_mode | mode) & 07777, 0) == 0);
	return 0;
}

int host_symlink(const struct host_who *who, int dir, const char *name,
		 const char *target)
{
	host_become(who);
	return host_done(symlinkat(target, dir, name));
}

int host_link(const struct host_who *who, int fd, int dir, const char *name)
{
	char path[64];
	int rc;

	host_proc(fd, path);
	host_become(who);
	rc = host_done(linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW));
	if (rc != -EPERM)
		return rc;
	/* fs.protected_hardlinks: a server's client asks that, not the server;
	 * the kernel asks it before the directory's permission. */
	if (!host_may(who, dir, W_OK | X_OK))
		return -EACCES;
	return host_done(linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW));
}

int host_remove(const struct host_who *who, int dir, const char *name,
		bool rmdir)
{
	host_become(who);
	return host_done(unlinkat(dir, name, rmdir ? AT_REMOVEDIR : 0));
}

int host_rename(const struct host_who *who, int from_dir, const char *from,
		int to_dir, const char *to)
{
	host_become(who);
	return host_done(renameat(from_dir, from, to_dir, to));
}

/* --- attributes and content ---------------------------------------------- */

/* Opened as root, when the caller may (or is not asked). */
static int host_open_as(const struct host_who *who, int fd, int flags,
			bool force)
{
	if (!force) {
		int probe;

		host_become(who);
		probe = host_done(host_reopen(fd, flags));
		if (probe < 0)
			return probe;
		close(probe);
	}
	fd = host_reopen(fd, flags);
	return fd < 0 ? -errno : fd;
}

static int host_resize(const struct host_who *who, int fd, uint64_t size,
		       bool force)
{
	int file = host_open_as(who, fd, O_WRONLY, force);
	int rc;

	if (file < 0)
		return file;
	host_become(who);
	rc = host_done(ftruncate(file, (off_t)size));
	close(file);
	return rc;
}

static int host_times(const struct host_who *who, int fd,
		      const struct raw_sattr *set)
{
	struct timespec times[2] = {{set->atime[0], set->atime[1]},
				    {set->mtime[0], set->mtime[1]}};

	if (set->atime_how != RAW_TIME_CLIENT)
		times[0].tv_nsec = set->atime_how ? UTIME_NOW : UTIME_OMIT;
	if (set->mtime_how != RAW_TIME_CLIENT)
		times[1].tv_nsec = set->mtime_how ? UTIME_NOW : UTIME_OMIT;
	host_become(who);
	return host_done(syscall(SYS_utimensat, fd, "", times, AT_EMPTY_PATH));
}

int host_setattr(const struct host_who *who, int fd,
		 const struct raw_sattr *set, bool force)
{
	uid_t uid = set->mask & RAW_SET_UID ? set->uid : (uid_t)-1;
	gid_t gid = set->mask & RAW_SET_GID ? set->gid : (gid_t)-1;
	char path[64];
	int rc = 0;

	host_proc(fd, path);
	if (set->mask & RAW_SET_SIZE)
		rc = host_resize(who, fd, set->size, force);
	if (rc == 0 && (set->mask & (RAW_SET_UID | RAW_SET_GID))) {
		host_become(who);
		rc = host_done(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
	}
	if (rc == 0 && (set->mask & RAW_SET_MODE)) {
		host_become(who);
		rc = host_done(chmod(path, set->mode));
	}
	if (rc == 0 && (set->atime_how || set->mtime_how))
		rc = host_times(who, fd, set);
	return rc;
}

int host_write(const struct host_who *who, int fd, uint64_t off,
	       const void *data, size_t len, bool force)
{
	int file = host_open_as(who, fd, O_WRONLY, force);
	int rc;

	if (file < 0)
		return file;
	host_become(who);
	rc = host_done(pwrite(file, data, len, (off_t)off));
	close(file);
	ASSERT(rc < 0 || rc == (int)len);
	return MIN(rc, 0);
}

ssize_t host_read(const struct host_who *who, int fd, uint64_t off, void *buf,
		  size_t len, bool force)
{
	int file = host_open_as(who, fd, O_RDONLY, force);
	ssize_t n;

	if (file < 0)
		return file;
	n = pread(file, buf, len, (off_t)off);
	close(file);
	return n < 0 ? -errno : n;
}

ssize_t host_readlink(int fd, char *buf, size_t cap)
{
	ssize_t n = readlinkat(fd, "", buf, cap);

	return n < 0 ? -errno : n;
}

/* --- listing ------------------------------------------------------------- */

static void host_names_add(struct host_names *names, const char *name)
{
	if (names->count == names->cap) {
		names->cap += HOST_NAMES_STEP;
		names->names =
		    realloc(names->names, names->cap * sizeof(*names->names));
		ASSERT(names->names);
	}
	snprintf(names->names[names->count++], sizeof(*names->names), "%s",
		 name);
}

static int host_names_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

int host_list(const struct host_who *who, int fd, struct host_names *names)
{
	const struct dirent *ent;
	DIR *dir;

	host_become(who);
	fd = host_done(host_reopen(fd, O_RDONLY | O_DIRECTORY));
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	ASSERT(dir);
	names->count = 0;
	while ((ent = readdir(dir)))
		if (strcmp(ent->d_name, ".") != 0 &&
		    strcmp(ent->d_name, "..") != 0)
			host_names_add(names, ent->d_name);
	closedir(dir);
	if (names->count)
		qsort(names->names, names->count, sizeof(*names->names),
		      host_names_order);
	return 0;
}

void host_names_free(struct host_names *names)
{
	free(STEAL(names->names));
	names->count = names->cap = 0;
}
