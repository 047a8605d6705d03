/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: whole transfers, syncs and renames.  Files and directories made here are
 * for the owner alone: they hold tenants' data and keys.
 */
#include "depot/io.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
	IO_FILE_MODE = 0600,
	IO_DIR_MODE = 0700,
	IO_READ_STEP = 4096, /* first buffer for files that show no size */
	IO_TEMP_TRIES = 100,
};

static bool io_range_ok(size_t len, uint64_t off)
{
	return len <= SSIZE_MAX && off <= (uint64_t)INT64_MAX - len;
}

int io_pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;
	ssize_t n;

	if (!io_range_ok(len, off))
		return -EINVAL;
	while (len > 0) {
		n = pread(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;
	ssize_t n;

	if (!io_range_ok(len, off))
		return -EFBIG;
	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		/* Not promised never to happen; must not loop for ever. */
		if (n == 0)
			return -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* After a failed sync the kernel has dropped the error: never try it again. */
int io_sync(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

int io_sync_dir(const char *dir)
{
	CLEANUP_CLOSE int fd = -1;

	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int io_truncate(int fd, uint64_t len)
{
	int rc;

	if (len > INT64_MAX)
		return -EFBIG;
	do
		rc = ftruncate(fd, (off_t)len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

int io_allocate(int fd, uint64_t len)
{
	int rc;

	if (len > INT64_MAX)
		return -EFBIG;
	do
		rc = posix_fallocate(fd, 0, (off_t)len);
	while (rc == EINTR);
	return rc ? -rc : io_sync(fd);
}

int io_next_data(int fd, uint64_t off, uint64_t *from, uint64_t *to)
{
	off_t data, hole;

	if (off > INT64_MAX)
		return -EINVAL;
	*from = *to = UINT64_MAX;
	data = lseek(fd, (off_t)off, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return errno == ENXIO ? 0 : -errno; /* cut meanwhile */
	*from = (uint64_t)data;
	*to = (uint64_t)hole;
	return 0;
}

int io_open(const char *path, bool create, int *fd)
{
	int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0);
	int opened;

	opened = open(path, flags, IO_FILE_MODE);
	if (opened < 0)
		return -errno;
	*fd = opened;
	return 0;
}

int io_unlink(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* EEXIST is not enough: what is there may be a file. */
static int io_mkdir_one(const char *path)
{
	struct stat st;

	if (mkdir(path, IO_DIR_MODE) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int io_mkdirs(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);
	int rc;

	if (!copy)
		return -ENOMEM;
	if (!*copy)
		return -ENOENT;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = '\0';
		rc = io_mkdir_one(copy);
		if (rc < 0)
			return rc;
		*p = '/';
	}
	return io_mkdir_one(copy);
}

/* Fill buf up to cap or the end of the file. */
static int io_read_some(int fd, uint8_t *buf, size_t cap, size_t *len)
{
	ssize_t n;

	while (*len < cap) {
		n = read(fd, buf + *len, cap - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		*len += (size_t)n;
	}
	return 0;
}

static int io_open_regular(const char *path, struct stat *st, int *fd)
{
	CLEANUP_CLOSE int opened = -1;

	/* O_NONBLOCK: a FIFO of that name must not hang us. */
	opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (opened < 0)
		return -errno;
	if (fstat(opened, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
	*fd = STEAL_FD(opened);
	return 0;
}

int io_read_file(const char *path, size_t max, void **buf, size_t *len)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP_FREE uint8_t *got = NULL;
	size_t cap, got_len = 0;
	struct stat st;
	uint8_t *grown;
	int rc;

	ASSERT(max < SIZE_MAX / 2);

	rc = io_open_regular(path, &st, &fd);
	if (rc < 0)
		return rc;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	/* One byte more than the size tells a file that has grown, and is the
	 * NUL's place; /proc shows 0 for any size. */
	cap = st.st_size ? (size_t)st.st_size + 1 : MIN(max + 1, IO_READ_STEP);
	for (;;) {
		grown = realloc(got, cap);
		if (!grown)
			return -ENOMEM;
		got = grown;
		rc = io_read_some(fd, got, cap, &got_len);
		if (rc < 0)
			return rc;
		if (got_len < cap)
			break;
		if (got_len > max)
			return -EFBIG;
		cap = MIN(cap * 2, max + 1);
	}
	got[got_len] = '\0';
	*buf = STEAL(got);
	*len = got_len;
	return 0;
}

/* Not mkstemp: two replacers in one process must be told apart by name only,
 * and what a crash leaves behind by its ending. */
static int io_open_temp(const char *path, char **temp, int *fd)
{
	static atomic_uint counter;
	CLEANUP_FREE char *name = NULL;
	int opened = -1;

	for (int i = 0; i < IO_TEMP_TRIES; i++) {
		base_free_ptr(&name);
		name = NULL;
		if (asprintf(&name, "%s.%d-%u.tmp", path, (int)getpid(),
			     atomic_fetch_add(&counter, 1)) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		opened = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			      IO_FILE_MODE);
		if (opened >= 0 || errno != EEXIST)
			break;
	}
	if (opened < 0)
		return -errno;
	*temp = STEAL(name);
	*fd = opened;
	return 0;
}

static int io_sync_parent(const char *path)
{
	CLEANUP_FREE char *dir = strdup(path);
	char *slash;

	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (!slash)
		return io_sync_dir(".");
	if (slash == dir)
		return io_sync_dir("/");
	*slash = '\0';
	return io_sync_dir(dir);
}

int io_replace_file(const char *path, const void *buf, size_t len)
{
	CLEANUP_FREE char *temp = NULL;
	CLEANUP_CLOSE int fd = -1;
	int rc;

	rc = io_open_temp(path, &temp, &fd);
	if (rc < 0)
		return rc;
	rc = io_pwrite_all(fd, buf, len, 0);
	if (rc < 0)
		goto undo;
	rc = io_sync(fd);
	if (rc < 0)
		goto undo;
	if (rename(temp, path) < 0) {
		rc = -errno;
		goto undo;
	}
	return io_sync_parent(path);
undo:
	unlink(temp);
	return rc;
}
