/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dir_write: what is written is written beside its place, opened up for
 * readers, synced, and moved there.  Only directories that are made here are
 * opened up: the operator's own modes stay.
 */
#include "depot/source_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"

enum {
	SOURCE_DIR_FILE_MODE = 0644,
	SOURCE_DIR_DIR_MODE = 0755,
	SOURCE_DIR_COPY_STEP = 1 << 20, /* bytes */
	SOURCE_DIR_TEMP_TRIES = 100,
};

#define SOURCE_DIR_TEMP_END ".tmp"

/* Where the bytes of a new object come from. */
struct source_dir_bytes {
	const void *bytes; /* borrows; NULL: from fd */
	int fd;
	uint64_t len;
};

/* --- directories --------------------------------------------------------- */

static int source_dir_mkdir(const char *dir)
{
	struct stat st;

	if (mkdir(dir, SOURCE_DIR_DIR_MODE) == 0)
		return chmod(dir, SOURCE_DIR_DIR_MODE) < 0 ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(dir, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* A name lasts when the directory that holds it has been synced. */
static int source_dir_sync_above(const char *path)
{
	CLEANUP_FREE char *dir = strdup(path);
	char *slash;

	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	slash[slash == dir ? 1 : 0] = '\0';
	return io_sync_dir(dir);
}

static int source_dir_mkdirs(const char *dir)
{
	CLEANUP_FREE char *parent = strdup(dir);
	struct stat st;
	char *slash;
	int rc;

	if (!parent)
		return -ENOMEM;
	if (stat(dir, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	slash = strrchr(parent, '/');
	if (slash != parent) {
		*slash = '\0';
		rc = source_dir_mkdirs(parent);
		if (rc < 0)
			return rc;
	}
	rc = source_dir_mkdir(dir);
	return rc < 0 ? rc : source_dir_sync_above(dir);
}

static int source_dir_mkdirs_above(const char *path)
{
	CLEANUP_FREE char *dir = strdup(path);

	if (!dir)
		return -ENOMEM;
	*strrchr(dir, '/') = '\0';
	return *dir ? source_dir_mkdirs(dir) : 0;
}

/* --- the new file, beside its place -------------------------------------- */

static int source_dir_open_temp(const char *path, char **temp, int *fd)
{
	static atomic_uint counter;
	CLEANUP_FREE char *name = NULL;
	int opened = -1;

	for (int i = 0; i < SOURCE_DIR_TEMP_TRIES && opened < 0; i++) {
		free(name);
		if (asprintf(&name, "%s.%d-%u" SOURCE_DIR_TEMP_END, path,
			     (int)getpid(),
			     atomic_fetch_add(&counter, 1)) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			      SOURCE_DIR_FILE_MODE);
		if (opened < 0 && errno != EEXIST)
			return -errno;
	}
	if (opened < 0)
		return -EEXIST;
	*temp = STEAL(name);
	*fd = opened;
	return 0;
}

static int source_dir_copy(int from, uint64_t len, int to)
{
	CLEANUP_FREE uint8_t *buf = malloc(SOURCE_DIR_COPY_STEP);
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	for (uint64_t off = 0; rc == 0 && off < len;) {
		size_t step =
		    (size_t)MIN(len - off, (uint64_t)SOURCE_DIR_COPY_STEP);

		rc = io_pread_all(from, buf, step, off);
		if (rc == 0)
			rc = io_pwrite_all(to, buf, step, off);
		off += step;
	}
	return rc;
}

static int source_dir_temp(const char *full, const struct source_dir_bytes *b,
			   char **temp)
{
	CLEANUP_CLOSE int fd = -1;
	int rc;

	rc = source_dir_mkdirs_above(full);
	if (rc == 0)
		rc = source_dir_open_temp(full, temp, &fd);
	if (rc < 0)
		return rc;
	if (b->bytes)
		rc = io_pwrite_all(fd, b->bytes, b->len, 0);
	else
		rc = source_dir_copy(b->fd, b->len, fd);
	/* Whatever the umask is. */
	if (rc == 0 && fchmod(fd, SOURCE_DIR_FILE_MODE) < 0)
		rc = -errno;
	if (rc == 0)
		rc = io_sync(fd);
	if (rc < 0) {
		unlink(*temp);
		free(STEAL(*temp));
	}
	return rc;
}

/* --- operations ---------------------------------------------------------- */

static int source_dir_write_fault(struct source *source, const char *path,
				  int code, struct source_fault *fault)
{
	source_dir_say(source, path, code, fault);
	switch (code) {
	case -EEXIST:
	case -ENOENT:
	case -ENOMEM:
	case -ENOSPC:
		return code;
	case -EDQUOT:
		return -ENOSPC;
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return -EACCES;
	default:
		return -EHOSTUNREACH;
	}
}

/* Move a file to where there must be none. */
static int source_dir_move_new(const char *from, const char *to)
{
	int rc;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* Network file systems know no such rename. */
	rc = link(from, to) < 0 ? -errno : 0;
	unlink(from);
	return rc;
}

static int source_dir_write(struct source *source, const char *path,
			    const struct source_dir_bytes *b, bool is_new,
			    struct source_fault *fault)
{
	CLEANUP_FREE char *full = NULL;
	CLEANUP_FREE char *temp = NULL;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_full(source, path, &full);
	if (rc == 0)
		rc = source_dir_temp(full, b, &temp);
	if (rc < 0)
		return source_dir_write_fault(source, path, rc, fault);
	if (is_new)
		rc = source_dir_move_new(temp, full);
	else if (rename(temp, full) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(temp);
	else
		rc = source_dir_sync_above(full);
	return rc < 0 ? source_dir_write_fault(source, path, rc, fault) : 0;
}

int source_dir_put(struct source *source, const char *path, const void *bytes,
		   size_t len, struct source_fault *fault)
{
	struct source_dir_bytes b = {.bytes = bytes, .len = len};

	return source_dir_write(source, path, &b, false, fault);
}

int source_dir_put_file(struct source *source, const char *path, int fd,
			uint64_t len, struct source_fault *fault)
{
	struct source_dir_bytes b = {.fd = fd, .len = len};

	return source_dir_write(source, path, &b, false, fault);
}

int source_dir_create(struct source *source, const char *path,
		      const void *bytes, size_t len, struct source_fault *fault)
{
	struct source_dir_bytes b = {.bytes = bytes, .len = len};

	return source_dir_write(source, path, &b, true, fault);
}

int source_dir_remove(struct source *source, const char *path,
		      struct source_fault *fault)
{
	CLEANUP_FREE char *full = NULL;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_full(source, path, &full);
	if (rc == 0 && unlink(full) < 0)
		rc = -errno;
	if (rc == 0)
		rc = source_dir_sync_above(full);
	return rc < 0 ? source_dir_write_fault(source, path, rc, fault) : 0;
}

/* --- list ---------------------------------------------------------------- */

static bool source_dir_is_temp(const char *name)
{
	size_t len = strlen(name), end_len = strlen(SOURCE_DIR_TEMP_END);

	return len > end_len &&
	       strcmp(name + len - end_len, SOURCE_DIR_TEMP_END) == 0;
}

static int source_dir_list_one(DIR *open_dir, const char *name,
			       int (*visit)(void *ctx, const char *name,
					    uint64_t len),
			       void *ctx)
{
	char dir_name[NAME_MAX + 2];
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    source_dir_is_temp(name) ||
	    fstatat(dirfd(open_dir), name, &st, 0) < 0)
		return 0; /* gone meanwhile */
	if (S_ISREG(st.st_mode))
		return visit(ctx, name, (uint64_t)st.st_size);
	if (!S_ISDIR(st.st_mode))
		return 0;
	snprintf(dir_name, sizeof(dir_name), "%s/", name);
	return visit(ctx, dir_name, 0);
}

int source_dir_list(struct source *source, const char *dir,
		    int (*visit)(void *ctx, const char *name, uint64_t len),
		    void *ctx, struct source_fault *fault)
{
	CLEANUP_FREE char *full = NULL;
	struct dirent *entry;
	DIR *open_dir;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_full(source, dir, &full);
	if (rc < 0)
		return source_dir_write_fault(source, dir, rc, fault);
	open_dir = opendir(full);
	if (!open_dir && errno == ENOENT)
		return 0;
	if (!open_dir)
		return source_dir_write_fault(source, dir, -errno, fault);
	while (rc == 0) {
		errno = 0;
		entry = readdir(open_dir);
		if (!entry && errno)
			rc = source_dir_write_fault(source, dir, -errno, fault);
		if (!entry)
			break;
		rc = source_dir_list_one(open_dir, entry->d_name, visit, ctx);
	}
	closedir(open_dir);
	return rc;
}
