/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon: vdrived as a child of a test, with a store in a directory of its
 * own, and the CLI to command it.
 *
 * The programs are $B/vdrived and $B/vdrive; B unset: build/plain.  The daemon
 * dies with the test, whatever happens.  What both programs say is in
 * DIR/log.
 */
#ifndef TESTS_LIB_DAEMON_H
#define TESTS_LIB_DAEMON_H

#include <sys/types.h>

#include "depot/base.h"

enum { DAEMON_START_MS = 20000, DAEMON_OPTIONS_MAX = 8 };

struct failcall;
struct preload;

struct daemon {
	char *dir; /* owns; store, socket, log; removed at the end */
	pid_t pid; /* 0: does not run */
	int port;  /* as it was first bound; a restart binds it again */
	int out;   /* owns: its standard output; -1 */
	/* to be set before a start */
	uint64_t memory_max;  /* bytes, by a cgroup; 0: no limit */
	unsigned int fds_max; /* RLIMIT_NOFILE; 0: ours */
	const char *option[DAEMON_OPTIONS_MAX]; /* borrows; "section.key=value",
						   up to NULL */
	const char *preload;                    /* LD_PRELOAD; NULL: none */
	struct preload *shim;                   /* owns; see daemon_preload() */
	struct failcall *fail; /* owns; see daemon_failcall() */
	/* result of a start */
	bool in_cgroup; /* memory_max is enforced */
	uint64_t start_ms;
};

void daemon_init(struct daemon *d); /* aborts without a directory */
/* Stop it if it runs, remove its directory. */
void daemon_free(struct daemon *d);

/* Have starts from now on put tests/preload before the daemon's libraries;
 * returns what commands it, which stays over restarts.  Aborts on failure. */
struct preload *daemon_preload(struct daemon *d);

/* The same with `object`, a failcall.so (failcall.h), which is borrowed; not
 * together with daemon_preload(). */
struct failcall *daemon_failcall(struct daemon *d, const char *object);

/*
 * With RIG_REFEREE in the environment (nfsrig.h) there is no daemon of ours:
 * all that would command one ends the program with this status, and says why.
 */
enum { DAEMON_NOT_OURS = 77 };
void daemon_must_be_ours(const char *what);

/* Start, or start again on the same store and port; false: it does not come
 * up (its log is copied to stderr). */
bool daemon_start(struct daemon *d);
/* kill -9, and wait for the end. */
void daemon_kill(struct daemon *d);
/* SIGTERM; the exit status, 128 + signal when one ended it, or -1 when it had
 * to be killed or did not run. */
int daemon_stop(struct daemon *d);
/* It has not ended by itself. */
bool daemon_lives(struct daemon *d);

/* "vdrive --socket S ARGUMENT..." up to NULL; the exit status. */
int daemon_cli(struct daemon *d, ...) __attribute__((sentinel));

/* A number in kB of /proc/PID/status: "VmRSS", "VmHWM"; 0: not there. */
uint64_t daemon_status_kb(const struct daemon *d, const char *field);
/* CPU time of user and system, milliseconds. */
uint64_t daemon_cpu_ms(const struct daemon *d);

#endif
