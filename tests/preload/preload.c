/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preload: stands before libc in a daemon under test; see tests/lib/preload.h.
 * Built as a shared object, without our other code.
 */
#include "tests/lib/preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define BILLION  1000000000ll

/* The linker's: ends of the program's own code are found at the start. */
static uintptr_t program_begin, program_end;
static struct preload preload_none;
static struct preload *shared = &preload_none;

static int (*real_fdatasync)(int fd);
static int (*real_fsync)(int fd);
static ssize_t (*real_sendmsg)(int fd, const struct msghdr *msg, int flags);
static int (*real_clock_gettime)(clockid_t id, struct timespec *ts);
static off_t (*real_lseek)(int fd, off_t off, int whence);
static long seek_nap_ms;

/* ISO C has no cast from an object pointer to a function's. */
static void preload_next(const char *name, void *function)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	memcpy(function, &found, sizeof(found));
}

static void preload_find_program(void)
{
	char line[1024], exe[PATH_MAX] = "";
	unsigned long from, to;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps || readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		abort();
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, exe) && strstr(line, " r-xp ") &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2) {
			program_begin = from;
			program_end = to;
		}
	fclose(maps);
}

__attribute__((constructor)) static void preload_start(void)
{
	const char *path = getenv("TEST_PRELOAD");
	const char *nap = getenv("TEST_SEEK_NAP_MS");
	void *map;
	int fd;

	preload_next("fdatasync", &real_fdatasync);
	preload_next("fsync", &real_fsync);
	preload_next("sendmsg", &real_sendmsg);
	preload_next("clock_gettime", &real_clock_gettime);
	preload_next("lseek", &real_lseek);
	seek_nap_ms = nap ? atol(nap) : 0;
	if (!path)
		return;
	preload_find_program();
	fd = open(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (fd < 0 || map == MAP_FAILED)
		abort();
	close(fd);
	shared = map;
}

#define LOAD(field)   __atomic_load_n(&shared->field, __ATOMIC_SEQ_CST)
#define ADD(field, n) __atomic_add_fetch(&shared->field, n, __ATOMIC_SEQ_CST)

static void preload_event_from(unsigned int event, uint16_t port)
{
	uint32_t at = ADD(event_count, 1) - 1;

	if (at >= PRELOAD_EVENTS_MAX)
		return;
	__atomic_store_n(&shared->port[at], port, __ATOMIC_SEQ_CST);
	__atomic_store_n(&shared->event[at], (uint8_t)event, __ATOMIC_SEQ_CST);
}

static void preload_event(unsigned int event)
{
	preload_event_from(event, 0);
}

/* --- syncs --------------------------------------------------------------- */

static enum preload_file preload_classify(int fd)
{
	char link[64], path[PATH_MAX] = "";
	struct stat st;
	size_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0 || readlink(link, path, sizeof(path) - 1) < 0)
		return PRELOAD_OTHER;
	if (S_ISDIR(st.st_mode))
		return PRELOAD_DIR;
	len = strlen(path);
	if (strstr(path, "/store/state") && len > 4 &&
	    strcmp(path + len - 4, ".log") == 0)
		return PRELOAD_LOG;
	return strstr(path, "/data/") ? PRELOAD_HOST : PRELOAD_OTHER;
}

static void preload_hold(uint32_t bit)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	if (!(LOAD(hold) & bit))
		return;
	ADD(held, 1);
	while (LOAD(hold) & bit)
		nanosleep(&nap, NULL);
	ADD(held, (uint32_t)-1);
}

static bool preload_fails(uint32_t bit)
{
	uint32_t at = LOAD(fail_at);

	if (!(LOAD(fail_mask) & bit))
		return false;
	return ADD(counted, 1) == at || at == PRELOAD_EVERY;
}

static int preload_sync(int fd, int (*real)(int fd))
{
	enum preload_file file = preload_classify(fd);
	uint32_t bit = PRELOAD_BIT(file);
	int rc;

	preload_event(PRELOAD_BEGIN + file);
	preload_hold(bit);
	if (preload_fails(bit)) {
		ADD(failed, 1);
		preload_event(PRELOAD_FAILED + file);
		if (LOAD(fail_hidden))
			return 0;
		errno = (int)LOAD(fail_errno);
		return -1;
	}
	rc = real(fd);
	if (rc == 0) {
		ADD(syncs[file], 1);
		preload_event(PRELOAD_DONE + file);
	}
	return rc;
}

EXPORTED int fdatasync(int fd)
{
	return preload_sync(fd, real_fdatasync);
}

EXPORTED int fsync(int fd)
{
	return preload_sync(fd, real_fsync);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct sockaddr_in peer = {.sin_port = 0};
	socklen_t len = sizeof(peer);

	if (LOAD(event_count) < PRELOAD_EVENTS_MAX)
		getpeername(fd, (struct sockaddr *)&peer, &len);
	preload_event_from(PRELOAD_SENT, ntohs(peer.sin_port));
	return real_sendmsg(fd, msg, flags);
}

/* --- a slow disk --------------------------------------------------------- */

EXPORTED off_t lseek(int fd, off_t off, int whence)
{
	const struct timespec nap = {.tv_sec = seek_nap_ms / 1000,
				     .tv_nsec = seek_nap_ms % 1000 * 1000000};

	if (!real_lseek) /* before our constructor */
		preload_next("lseek", &real_lseek);
	if (seek_nap_ms > 0 && preload_classify(fd) == PRELOAD_HOST)
		nanosleep(&nap, NULL);
	return real_lseek(fd, off, whence);
}

/* --- clocks -------------------------------------------------------------- */

static void preload_move(struct timespec *ts, int64_t offset)
{
	int64_t ns = ts->tv_sec * BILLION + ts->tv_nsec + offset;

	ts->tv_sec = ns / BILLION;
	ts->tv_nsec = ns % BILLION;
}

EXPORTED int clock_gettime(clockid_t id, struct timespec *ts)
{
	uintptr_t caller = (uintptr_t)__builtin_return_address(0);
	bool ours = caller >= program_begin && caller < program_end;
	int64_t frozen = LOAD(real_frozen);
	int rc;

	if (!real_clock_gettime) /* before our constructor */
		preload_next("clock_gettime", &real_clock_gettime);
	rc = real_clock_gettime(id, ts);
	if (!ours || rc != 0)
		return rc;
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
		if (frozen != 0)
			*ts = (struct timespec){.tv_nsec = 0};
		preload_move(ts, frozen + LOAD(real_offset));
	} else if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE) {
		preload_move(ts, LOAD(mono_offset));
	}
	return 0;
}
