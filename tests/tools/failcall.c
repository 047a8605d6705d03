/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failcall: stands before libc in a daemon under test; see
 * tests/lib/failcall.h.  Built as a shared object, without our other code.
 */
#include "tests/lib/failcall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define CALLER   ((uintptr_t)__builtin_return_address(0))

/* The C library's own, below what this file stands before. */
void *__libc_malloc(size_t len);
void __libc_free(void *p);
void *__libc_calloc(size_t count, size_t len);
void *__libc_realloc(void *old, size_t len);
void *__libc_memalign(size_t align, size_t len);

static uintptr_t program_base, program_begin, program_end;
static struct failcall failcall_none;
static struct failcall *shared = &failcall_none;
static char store[PATH_MAX];
static size_t store_len;

static void failcall_find_program(void)
{
	char line[1024], exe[PATH_MAX] = "";
	unsigned long from, to;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps || readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		abort();
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, exe) ||
		    sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		if (program_base == 0)
			program_base = from;
		if (strstr(line, " r-xp ")) {
			program_begin = from;
			program_end = to;
		}
	}
	fclose(maps);
}

__attribute__((constructor)) static void failcall_start(void)
{
	const char *path = getenv("FAILCALL");
	const char *below = getenv("FAILCALL_STORE");
	void *map;
	int fd;

	if (!path || !below)
		return;
	failcall_find_program();
	store_len = strlen(below);
	if (store_len >= sizeof(store))
		abort();
	memcpy(store, below, store_len + 1);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort();
	close(fd);
	shared = map;
}

#define LOAD(field) __atomic_load_n(&shared->field, __ATOMIC_SEQ_CST)

static bool failcall_armed(void)
{
	return LOAD(armed) != 0;
}

static uint64_t failcall_ours(uintptr_t caller)
{
	bool ours = caller >= program_begin && caller < program_end;

	return ours ? caller - program_base : 0;
}

/* Count a call; does it fail? */
static bool failcall_fires(enum failcall_kind kind, const char *path,
			   uintptr_t caller)
{
	uint32_t at = LOAD(at);
	uint32_t n =
	    __atomic_add_fetch(&shared->count[kind], 1, __ATOMIC_SEQ_CST);

	if (LOAD(kind) != kind || (LOAD(sticky) ? n < at : n != at))
		return false;
	if (strncmp(path, "state/", 6) == 0)
		__atomic_add_fetch(&shared->fired_state, 1, __ATOMIC_SEQ_CST);
	if (__atomic_add_fetch(&shared->fired, 1, __ATOMIC_SEQ_CST) == 1) {
		shared->caller = failcall_ours(caller);
		snprintf(shared->path, sizeof(shared->path), "%s", path);
	}
	errno = (int)LOAD(error);
	return true;
}

/* The part of a path below the store; NULL: it is elsewhere. */
static const char *failcall_below(const char *path)
{
	return store_len > 0 && strncmp(path, store, store_len) == 0 &&
		       path[store_len] == '/'
		   ? path + store_len + 1
		   : NULL;
}

static const char *failcall_fd(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX - 1);
	if (len < 0)
		return NULL;
	path[len] = '\0';
	return failcall_below(path);
}

/* --- what a failed sync loses -------------------------------------------- */

struct lost {
	struct lost *next; /* older */
	dev_t dev;
	ino_t ino;
	uint64_t number;
	off_t size; /* of the file before */
	off_t off;
	size_t len; /* bytes that were there */
	uint8_t bytes[];
};

static pthread_mutex_t lost_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lost *lost_first; /* guarded by lost_lock; newest first */
static uint64_t lost_number;    /* likewise: of the newest */

static int lost_reopen(int fd, int flags)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return (int)syscall(SYS_openat, AT_FDCWD, link, flags | O_CLOEXEC);
}

/* Before [off, off + len) changes; lost_lock held. */
static void lost_note(int fd, off_t off, size_t len)
{
	struct lost *lost;
	struct stat st;
	int from;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	len = off >= st.st_size                  ? 0
	      : (size_t)(st.st_size - off) < len ? (size_t)(st.st_size - off)
						 : len;
	lost = __libc_malloc(sizeof(*lost) + len);
	from = len > 0 ? lost_reopen(fd, O_RDONLY) : -1;
	if (!lost || (len > 0 && syscall(SYS_pread64, from, lost->bytes, len,
					 off) != (long)len))
		abort();
	if (from >= 0)
		close(from);
	lost->dev = st.st_dev;
	lost->ino = st.st_ino;
	lost->number = ++lost_number;
	lost->size = st.st_size;
	lost->off = off;
	lost->len = len;
	lost->next = lost_first;
	lost_first = lost;
}

/* A sync ends that began when `number` was the newest: what came before is
 * stable, or, when it fails, gone. */
static void lost_sync(int fd, bool failed, uint64_t number)
{
	struct lost **at = &lost_first;
	struct stat st;
	int to;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	to = failed ? lost_reopen(fd, O_RDWR) : -1;
	while (*at) {
		struct lost *lost = *at;

		if (lost->dev != st.st_dev || lost->ino != st.st_ino ||
		    lost->number > number) {
			at = &lost->next;
			continue;
		}
		if (failed && (syscall(SYS_pwrite64, to, lost->bytes, lost->len,
				       lost->off) != (long)lost->len ||
			       syscall(SYS_ftruncate, to, lost->size) != 0))
			abort();
		*at = lost->next;
		__libc_free(lost); /* free() may be a sanitizer's */
	}
	if (to >= 0)
		close(to);
}

/* --- transfers ----------------------------------------------------------- */

struct transfer {
	enum failcall_kind kind;
	long number; /* of the system call */
	bool writes, has_off;
};

static long transfer_do(const struct transfer *t, int fd, void *buf, size_t len,
			off_t off)
{
	return t->has_off ? syscall(t->number, fd, buf, len, off)
			  : syscall(t->number, fd, buf, len);
}

static ssize_t failcall_transfer(const struct transfer *t, int fd, void *buf,
				 size_t len, off_t off, uintptr_t caller)
{
	char buffer[PATH_MAX];
	const char *path = failcall_armed() ? failcall_fd(fd, buffer) : NULL;
	ssize_t n;

	if (!path)
		return transfer_do(t, fd, buf, len, off);
	if (failcall_fires(t->kind, path, caller)) {
		if (LOAD(error) != 0)
			return -1;
		len = len > 1 ? len / 2 : len;
	}
	if (!t->writes)
		return transfer_do(t, fd, buf, len, off);
	pthread_mutex_lock(&lost_lock);
	lost_note(fd, t->has_off ? off : lseek(fd, 0, SEEK_CUR), len);
	n = transfer_do(t, fd, buf, len, off);
	pthread_mutex_unlock(&lost_lock);
	return n;
}

EXPORTED ssize_t write(int fd, const void *buf, size_t len)
{
	static const struct transfer t = {FAIL_WRITE, SYS_write, true, false};

	return failcall_transfer(&t, fd, (void *)(uintptr_t)buf, len, 0,
				 CALLER);
}

EXPORTED ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	static const struct transfer t = {FAIL_PWRITE, SYS_pwrite64, true,
					  true};

	return failcall_transfer(&t, fd, (void *)(uintptr_t)buf, len, off,
				 CALLER);
}

EXPORTED ssize_t read(int fd, void *buf, size_t len)
{
	static const struct transfer t = {FAIL_READ, SYS_read, false, false};

	return failcall_transfer(&t, fd, buf, len, 0, CALLER);
}

EXPORTED ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	static const struct transfer t = {FAIL_PREAD, SYS_pread64, false, true};

	return failcall_transfer(&t, fd, buf, len, off, CALLER);
}

/* --- on a descriptor ----------------------------------------------------- */

static bool failcall_fails(enum failcall_kind kind, int fd, uintptr_t caller)
{
	char buffer[PATH_MAX];
	const char *path = failcall_armed() ? failcall_fd(fd, buffer) : NULL;

	return path && failcall_fires(kind, path, caller);
}

static int failcall_sync(enum failcall_kind kind, long number, int fd,
			 uintptr_t caller)
{
	bool fails = failcall_fails(kind, fd, caller);
	uint64_t newest;
	int rc = -1;

	if (!failcall_armed())
		return (int)syscall(number, fd);
	pthread_mutex_lock(&lost_lock);
	newest = lost_number;
	pthread_mutex_unlock(&lost_lock);
	if (!fails)
		rc = (int)syscall(number, fd);
	pthread_mutex_lock(&lost_lock);
	lost_sync(fd, fails, newest);
	pthread_mutex_unlock(&lost_lock);
	if (fails)
		errno = (int)LOAD(error);
	return rc;
}

EXPORTED int fsync(int fd)
{
	return failcall_sync(FAIL_FSYNC, SYS_fsync, fd, CALLER);
}

EXPORTED int fdatasync(int fd)
{
	return failcall_sync(FAIL_FDATASYNC, SYS_fdatasync, fd, CALLER);
}

EXPORTED int ftruncate(int fd, off_t len)
{
	int rc;

	if (failcall_fails(FAIL_TRUNCATE, fd, CALLER))
		return -1;
	if (!failcall_armed())
		return (int)syscall(SYS_ftruncate, fd, len);
	pthread_mutex_lock(&lost_lock);
	lost_note(fd, len, SIZE_MAX / 2);
	rc = (int)syscall(SYS_ftruncate, fd, len);
	pthread_mutex_unlock(&lost_lock);
	return rc;
}

EXPORTED int fallocate(int fd, int mode, off_t off, off_t len)
{
	if (failcall_fails(FAIL_FALLOCATE, fd, CALLER))
		return -1;
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

EXPORTED int posix_fallocate(int fd, off_t off, off_t len)
{
	return fallocate(fd, 0, off, len) < 0 ? errno : 0;
}

/* --- names --------------------------------------------------------------- */

static bool failcall_name(enum failcall_kind kind, const char *path,
			  uintptr_t caller)
{
	const char *below = failcall_armed() ? failcall_below(path) : NULL;

	return below && failcall_fires(kind, below, caller);
}

EXPORTED int open(const char *path, int flags, ...)
{
	enum failcall_kind kind = flags & O_CREAT ? FAIL_CREATE : FAIL_OPEN;
	mode_t mode = 0;
	va_list args;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (failcall_name(kind, path, CALLER))
		return -1;
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

EXPORTED int rename(const char *from, const char *to)
{
	if (failcall_name(FAIL_RENAME, from, CALLER))
		return -1;
	return (int)syscall(SYS_rename, from, to);
}

EXPORTED int link(const char *from, const char *to)
{
	if (failcall_name(FAIL_LINK, from, CALLER))
		return -1;
	return (int)syscall(SYS_link, from, to);
}

EXPORTED int unlink(const char *path)
{
	if (failcall_name(FAIL_UNLINK, path, CALLER))
		return -1;
	return (int)syscall(SYS_unlink, path);
}

EXPORTED int mkdir(const char *path, mode_t mode)
{
	if (failcall_name(FAIL_MKDIR, path, CALLER))
		return -1;
	return (int)syscall(SYS_mkdir, path, mode);
}

/* --- allocations --------------------------------------------------------- */

#ifndef FAILCALL_NO_ALLOC /* a sanitizer has an allocator of its own */

static bool failcall_no_memory(uintptr_t caller)
{
	return failcall_armed() && failcall_ours(caller) != 0 &&
	       failcall_fires(FAIL_ALLOC, "", caller);
}

EXPORTED void *malloc(size_t len)
{
	return failcall_no_memory(CALLER) ? NULL : __libc_malloc(len);
}

EXPORTED void *calloc(size_t count, size_t len)
{
	return failcall_no_memory(CALLER) ? NULL : __libc_calloc(count, len);
}

EXPORTED void *realloc(void *old, size_t len)
{
	return failcall_no_memory(CALLER) ? NULL : __libc_realloc(old, len);
}

EXPORTED void *aligned_alloc(size_t align, size_t len)
{
	return failcall_no_memory(CALLER) ? NULL : __libc_memalign(align, len);
}

EXPORTED char *strdup(const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = failcall_no_memory(CALLER) ? NULL : __libc_malloc(len);

	return copy ? memcpy(copy, text, len) : NULL;
}

#endif
