/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_io: see fake_io.h.  The real module is compiled in under other names, so
 * the fake cannot differ from it; a function that io.h gains and this file
 * lacks fails to link.
 */
#define io_pread_all    fake_io_real_pread_all
#define io_pwrite_all   fake_io_real_pwrite_all
#define io_sync         fake_io_real_sync
#define io_sync_dir     fake_io_real_sync_dir
#define io_truncate     fake_io_real_truncate
#define io_allocate     fake_io_real_allocate
#define io_next_data    fake_io_real_next_data
#define io_open         fake_io_real_open
#define io_unlink       fake_io_real_unlink
#define io_mkdirs       fake_io_real_mkdirs
#define io_read_file    fake_io_real_read_file
#define io_replace_file fake_io_real_replace_file
#include "depot/io.c"
#undef io_pread_all
#undef io_pwrite_all
#undef io_sync
#undef io_sync_dir
#undef io_truncate
#undef io_allocate
#undef io_next_data
#undef io_open
#undef io_unlink
#undef io_mkdirs
#undef io_read_file
#undef io_replace_file
#undef DEPOT_IO_H
#include "depot/io.h"

#include <pthread.h>

#include "tests/fake/fake_io.h"

static pthread_mutex_t fake_io_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int fake_io_count;  /* fake_io_lock */
static unsigned int fake_io_target; /* fake_io_lock */
static int fake_io_error;           /* fake_io_lock */
static bool fake_io_forever;        /* fake_io_lock */
static bool fake_io_struck;         /* fake_io_lock */

static void fake_io_order(unsigned int n, int err, bool forever)
{
	pthread_mutex_lock(&fake_io_lock);
	fake_io_count = 0;
	fake_io_target = n;
	fake_io_error = err;
	fake_io_forever = forever;
	fake_io_struck = false;
	pthread_mutex_unlock(&fake_io_lock);
}

void fake_io_fail_at(unsigned int n, int err)
{
	fake_io_order(n, err, false);
}

void fake_io_fail_from(unsigned int n, int err)
{
	fake_io_order(n, err, true);
}

unsigned int fake_io_calls(void)
{
	unsigned int count;

	pthread_mutex_lock(&fake_io_lock);
	count = fake_io_count;
	pthread_mutex_unlock(&fake_io_lock);
	return count;
}

bool fake_io_failed(void)
{
	bool struck;

	pthread_mutex_lock(&fake_io_lock);
	struck = fake_io_struck;
	pthread_mutex_unlock(&fake_io_lock);
	return struck;
}

/* 0, or the error that this call has to return. */
static int fake_io_enter(bool changes)
{
	bool strike;
	int rc = 0;

	pthread_mutex_lock(&fake_io_lock);
	fake_io_count++;
	strike = fake_io_target &&
		 (fake_io_forever ? changes && fake_io_count >= fake_io_target
				  : fake_io_count == fake_io_target);
	if (strike) {
		fake_io_struck = true;
		rc = -fake_io_error;
	}
	pthread_mutex_unlock(&fake_io_lock);
	return rc;
}

int io_pread_all(int fd, void *buf, size_t len, uint64_t off)
{
	int rc = fake_io_enter(false);

	return rc ? rc : fake_io_real_pread_all(fd, buf, len, off);
}

int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_pwrite_all(fd, buf, len, off);
}

int io_sync(int fd)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_sync(fd);
}

int io_sync_dir(const char *dir)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_sync_dir(dir);
}

int io_truncate(int fd, uint64_t len)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_truncate(fd, len);
}

int io_allocate(int fd, uint64_t len)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_allocate(fd, len);
}

int io_next_data(int fd, uint64_t off, uint64_t *from, uint64_t *to)
{
	int rc = fake_io_enter(false);

	return rc ? rc : fake_io_real_next_data(fd, off, from, to);
}

int io_open(const char *path, bool create, int *fd)
{
	int rc = fake_io_enter(create);

	return rc ? rc : fake_io_real_open(path, create, fd);
}

int io_unlink(const char *path)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_unlink(path);
}

int io_mkdirs(const char *path)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_mkdirs(path);
}

int io_read_file(const char *path, size_t max, void **buf, size_t *len)
{
	int rc = fake_io_enter(false);

	return rc ? rc : fake_io_real_read_file(path, max, buf, len);
}

int io_replace_file(const char *path, const void *buf, size_t len)
{
	int rc = fake_io_enter(true);

	return rc ? rc : fake_io_real_replace_file(path, buf, len);
}
