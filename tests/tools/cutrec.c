/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutrec: the recorder of the power-cut test, loaded into vdrived by
 * LD_PRELOAD.  Format and order of what it writes: tests/lib/cutlog.h.
 *
 *	CUTREC_STORE=DIR CUTREC_LOG=FILE CUTREC_END=FIFO \
 *	    LD_PRELOAD=.../cutrec.so vdrived ...
 *
 * Opening FIFO for writing kills the server (-9) between two entries: a plain
 * kill could come between a call and its entry.
 *
 * It stands in for the calls of libc by which vdrived and RocksDB change files
 * (nm -D shows which), not for all that exist: one that escapes it makes the
 * store differ from the log, which the test compares after each recording.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/lib/cutlog.h"

enum { REC_FD_MAX = 65536, REC_LOG_FD = 900, REC_IOV_MAX = 1024 };
enum rec_kind { REC_UNKNOWN, REC_STORE, REC_TCP, REC_OTHER };

static pthread_mutex_t rec_lock = PTHREAD_MUTEX_INITIALIZER;
static int rec_log = -1;
static uint64_t rec_at; /* rec_lock: length of the log */
static char rec_store[4096];
static size_t rec_store_len;
static uint8_t rec_kinds[REC_FD_MAX]; /* atomic */

/* --- the log ------------------------------------------------------------- */

__attribute__((noreturn)) static void rec_die(const char *what)
{
	dprintf(2, "cutrec: %s: %s\n", what, strerror(errno));
	_exit(125);
}

static void rec_write_all(const struct iovec *iov, int count)
{
	for (int i = 0; i < count; i++) {
		const char *at = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0) {
			long n = syscall(SYS_write, rec_log, at, left);

			if (n <= 0)
				rec_die("log");
			at += n;
			left -= (size_t)n;
		}
	}
}

/* rec_lock is held.  The first `len` bytes of iov[] are the entry's data. */
static void rec_put(struct cutlog_entry e, const struct iovec *iov, size_t len)
{
	static const char zeros[8];
	struct iovec all[REC_IOV_MAX + 2];
	size_t left = len;
	int count = 0;

	e.magic = CUTLOG_MAGIC;
	e.len = (uint32_t)len;
	all[count++] = (struct iovec){&e, sizeof(e)};
	for (size_t i = 0; left > 0 && count <= REC_IOV_MAX; i++) {
		size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;

		all[count++] = (struct iovec){iov[i].iov_base, n};
		left -= n;
	}
	if (left > 0)
		rec_die("too many pieces");
	all[count++] =
	    (struct iovec){(void *)(uintptr_t)zeros, CUTLOG_PADDED(len) - len};
	rec_write_all(all, count);
	rec_at += sizeof(e) + CUTLOG_PADDED(len);
}

static void rec_put_text(struct cutlog_entry e, const char *a, const char *b)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)a, strlen(a) + 1},
			       {(void *)(uintptr_t)b, b ? strlen(b) + 1 : 0}};

	rec_put(e, iov, iov[0].iov_len + iov[1].iov_len);
}

static void *rec_wait_for_end(void *fifo)
{
	/* Waits for the other side. */
	if (syscall(SYS_openat, AT_FDCWD, fifo, O_RDONLY | O_CLOEXEC) < 0)
		rec_die(fifo);
	pthread_mutex_lock(&rec_lock);
	kill(getpid(), SIGKILL);
	return NULL;
}

static void rec_start_waiting(void)
{
	char *fifo = getenv("CUTREC_END");
	sigset_t all, old;
	pthread_t thread;

	/* Signals are for the server's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!fifo || pthread_create(&thread, NULL, rec_wait_for_end, fifo))
		rec_die("thread");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

__attribute__((constructor)) static void rec_init(void)
{
	const char *log = getenv("CUTREC_LOG");
	const char *store = getenv("CUTREC_STORE");
	struct stat st;
	int fd;

	if (!log || !store || strlen(store) >= sizeof(rec_store))
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, log,
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		rec_die(log);
	rec_log = fcntl(fd, F_DUPFD_CLOEXEC, REC_LOG_FD);
	if (rec_log < 0)
		rec_die(log);
	syscall(SYS_close, fd);
	rec_at = (uint64_t)st.st_size;
	strcpy(rec_store, store);
	rec_store_len = strlen(store);
	rec_put((struct cutlog_entry){.type = CUTLOG_START}, NULL, 0);
	rec_start_waiting();
}

/* The path below the store; NULL: outside. */
static const char *rec_below(const char *path)
{
	if (rec_log < 0 || strncmp(path, rec_store, rec_store_len) != 0 ||
	    (path[rec_store_len] != '/' && path[rec_store_len] != '\0'))
		return NULL;
	return path + rec_store_len;
}

static enum rec_kind rec_kind(int fd)
{
	if (rec_log < 0 || fd < 0 || fd >= REC_FD_MAX)
		return REC_OTHER;
	return __atomic_load_n(&rec_kinds[fd], __ATOMIC_ACQUIRE);
}

static void rec_set_kind(int fd, enum rec_kind kind)
{
	if (fd >= REC_FD_MAX)
		rec_die("descriptor");
	__atomic_store_n(&rec_kinds[fd], (uint8_t)kind, __ATOMIC_RELEASE);
}

static void rec_bad(const char *what)
{
	pthread_mutex_lock(&rec_lock);
	rec_put_text((struct cutlog_entry){.type = CUTLOG_BAD}, what, NULL);
	pthread_mutex_unlock(&rec_lock);
}

/* --- descriptors --------------------------------------------------------- */

#define PUBLIC __attribute__((visibility("default")))

static int rec_open(const char *path, int flags, mode_t mode)
{
	const char *below = rec_below(path);
	int fd;

	if (!below)
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	pthread_mutex_lock(&rec_lock);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0) {
		rec_set_kind(fd, REC_STORE);
		rec_put_text((struct cutlog_entry){.type = CUTLOG_OPEN,
						   .fd = fd,
						   .flags = (uint32_t)flags},
			     below, NULL);
	}
	pthread_mutex_unlock(&rec_lock);
	return fd;
}

PUBLIC int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t); /* rubbish when there is none: unused */
	va_end(args);
	return rec_open(path, flags, mode);
}
PUBLIC int open64(const char *path, int flags, ...)
    __attribute__((alias("open")));

PUBLIC int close(int fd)
{
	enum rec_kind kind = rec_kind(fd);
	int rc;

	if (kind != REC_STORE && kind != REC_TCP)
		return (int)syscall(SYS_close, fd);
	pthread_mutex_lock(&rec_lock);
	rec_set_kind(fd, REC_UNKNOWN);
	rc = (int)syscall(SYS_close, fd);
	rec_put((struct cutlog_entry){.type = CUTLOG_CLOSE, .fd = fd}, NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}

/* RocksDB opens what it reads through with open() and fdopen(). */
PUBLIC int fclose(FILE *file)
{
	static int (*real)(FILE *);
	int fd = fileno(file);
	int rc;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fclose");
	if (rec_kind(fd) != REC_STORE)
		return real(file);
	pthread_mutex_lock(&rec_lock);
	rec_set_kind(fd, REC_UNKNOWN);
	rc = real(file);
	rec_put((struct cutlog_entry){.type = CUTLOG_CLOSE, .fd = fd}, NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}

PUBLIC int dup(int fd)
{
	if (rec_kind(fd) == REC_STORE)
		rec_bad("dup");
	return (int)syscall(SYS_dup, fd);
}

PUBLIC void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	if (rec_kind(fd) == REC_STORE && (prot & PROT_WRITE) &&
	    (flags & MAP_SHARED))
		rec_bad("mmap of a file for writing");
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, off);
}
PUBLIC void *mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t off) __attribute__((alias("mmap")));

/* --- bytes --------------------------------------------------------------- */

PUBLIC ssize_t write(int fd, const void *buf, size_t len)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	ssize_t n;

	if (rec_kind(fd) != REC_STORE)
		return syscall(SYS_write, fd, buf, len);
	pthread_mutex_lock(&rec_lock);
	n = syscall(SYS_write, fd, buf, len);
	if (n > 0) {
		off_t end = lseek(fd, 0, SEEK_CUR);

		rec_put((struct cutlog_entry){.type = CUTLOG_WRITE,
					      .fd = fd,
					      .off = (uint64_t)(end - n)},
			&iov, (size_t)n);
	}
	pthread_mutex_unlock(&rec_lock);
	return n;
}

PUBLIC ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	ssize_t n;

	if (rec_kind(fd) != REC_STORE)
		return syscall(SYS_pwrite64, fd, buf, len, off);
	pthread_mutex_lock(&rec_lock);
	n = syscall(SYS_pwrite64, fd, buf, len, off);
	if (n > 0)
		rec_put((struct cutlog_entry){.type = CUTLOG_WRITE,
					      .fd = fd,
					      .off = (uint64_t)off},
			&iov, (size_t)n);
	pthread_mutex_unlock(&rec_lock);
	return n;
}
PUBLIC ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
    __attribute__((alias("pwrite")));

PUBLIC ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (rec_kind(fd) == REC_STORE)
		rec_bad("writev");
	return syscall(SYS_writev, fd, iov, count);
}

PUBLIC int ftruncate(int fd, off_t len)
{
	int rc;

	if (rec_kind(fd) != REC_STORE)
		return (int)syscall(SYS_ftruncate, fd, len);
	pthread_mutex_lock(&rec_lock);
	rc = (int)syscall(SYS_ftruncate, fd, len);
	if (rc == 0)
		rec_put((struct cutlog_entry){.type = CUTLOG_TRUNCATE,
					      .fd = fd,
					      .off = (uint64_t)len},
			NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}
PUBLIC int ftruncate64(int fd, off_t len) __attribute__((alias("ftruncate")));

PUBLIC int truncate(const char *path, off_t len)
{
	if (rec_below(path))
		rec_bad("truncate");
	return (int)syscall(SYS_truncate, path, len);
}

/* Space that is only reserved changes nothing that can be read. */
PUBLIC int fallocate(int fd, int mode, off_t off, off_t len)
{
	int rc;

	if (rec_kind(fd) != REC_STORE)
		return (int)syscall(SYS_fallocate, fd, mode, off, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		rec_bad("fallocate that changes the size");
	pthread_mutex_lock(&rec_lock);
	rc = (int)syscall(SYS_fallocate, fd, mode, off, len);
	if (rc == 0 && mode != FALLOC_FL_KEEP_SIZE)
		rec_put((struct cutlog_entry){.type = CUTLOG_PUNCH,
					      .fd = fd,
					      .off = (uint64_t)off,
					      .value = (uint64_t)len},
			NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}
PUBLIC int fallocate64(int fd, int mode, off_t off, off_t len)
    __attribute__((alias("fallocate")));

/* As far as it can be read: zeros up to a new end. */
PUBLIC int posix_fallocate(int fd, off_t off, off_t len)
{
	struct stat st;
	int rc = 0;

	if (rec_kind(fd) != REC_STORE)
		return syscall(SYS_fallocate, fd, 0, off, len) < 0 ? errno : 0;
	pthread_mutex_lock(&rec_lock);
	if (fstat(fd, &st) < 0 || syscall(SYS_fallocate, fd, 0, off, len) < 0)
		rc = errno;
	else if (off + len > st.st_size)
		rec_put((struct cutlog_entry){.type = CUTLOG_TRUNCATE,
					      .fd = fd,
					      .off = (uint64_t)(off + len)},
			NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}

/* --- syncs --------------------------------------------------------------- */

/* Not under the lock: others go on meanwhile, and are not covered. */
static int rec_sync(long number, int fd)
{
	uint64_t start;
	int rc;

	if (rec_kind(fd) != REC_STORE)
		return (int)syscall(number, fd);
	pthread_mutex_lock(&rec_lock);
	start = rec_at;
	pthread_mutex_unlock(&rec_lock);
	rc = (int)syscall(number, fd);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&rec_lock);
	rec_put((struct cutlog_entry){.type = CUTLOG_SYNC,
				      .fd = fd,
				      .value = start},
		NULL, 0);
	pthread_mutex_unlock(&rec_lock);
	return 0;
}

PUBLIC int fsync(int fd)
{
	return rec_sync(SYS_fsync, fd);
}

PUBLIC int fdatasync(int fd)
{
	return rec_sync(SYS_fdatasync, fd);
}

/* sync_file_range() promises nothing that a power cut would honour: not
 * recorded. */

/* --- names --------------------------------------------------------------- */

static int rec_name(enum cutlog_type type, long number, const char *from,
		    const char *to)
{
	const char *a = rec_below(from), *b = to ? rec_below(to) : NULL;
	int rc;

	if (!a && !b)
		return (int)syscall(number, from, to);
	if (!a || (to && !b))
		rec_bad("a name moved into or out of the store");
	pthread_mutex_lock(&rec_lock);
	rc = (int)syscall(number, from, to);
	if (rc == 0)
		rec_put_text((struct cutlog_entry){.type = type}, a ? a : "",
			     b);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}

PUBLIC int rename(const char *from, const char *to)
{
	return rec_name(CUTLOG_RENAME, SYS_rename, from, to);
}

PUBLIC int link(const char *from, const char *to)
{
	return rec_name(CUTLOG_LINK, SYS_link, from, to);
}

PUBLIC int unlink(const char *path)
{
	return rec_name(CUTLOG_UNLINK, SYS_unlink, path, NULL);
}

PUBLIC int rmdir(const char *path)
{
	return rec_name(CUTLOG_UNLINK, SYS_rmdir, path, NULL);
}

PUBLIC int mkdir(const char *path, mode_t mode)
{
	const char *below = rec_below(path);
	int rc;

	if (!below)
		return (int)syscall(SYS_mkdir, path, mode);
	pthread_mutex_lock(&rec_lock);
	rc = (int)syscall(SYS_mkdir, path, mode);
	if (rc == 0)
		rec_put_text((struct cutlog_entry){.type = CUTLOG_MKDIR}, below,
			     NULL);
	pthread_mutex_unlock(&rec_lock);
	return rc;
}

/* --- replies ------------------------------------------------------------- */

static bool rec_is_tcp(int fd)
{
	enum rec_kind kind = rec_kind(fd);
	socklen_t len = sizeof(int);
	int domain = 0;

	if (kind != REC_UNKNOWN)
		return kind == REC_TCP;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    domain != AF_INET)
		return false;
	rec_set_kind(fd, REC_TCP);
	return true;
}

PUBLIC ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n;

	if (!rec_is_tcp(fd))
		return syscall(SYS_sendmsg, fd, msg, flags);
	pthread_mutex_lock(&rec_lock);
	n = syscall(SYS_sendmsg, fd, msg, flags);
	if (n > 0)
		rec_put((struct cutlog_entry){.type = CUTLOG_SEND, .fd = fd},
			msg->msg_iov, (size_t)n);
	pthread_mutex_unlock(&rec_lock);
	return n;
}
