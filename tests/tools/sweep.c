/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep: each call of the write path failed in turn (H-4, promise P-21).
 *
 *   sweep FAILCALL [POINTS]
 *
 * A vdrived with FAILCALL (failcall.so) in it gets the workload of sweepload.h
 * over and over, each time with one point: call number n of a kind fails, once
 * or from then on, in one way.  Then nothing fails any more; within
 * SWEEP_HEAL_MS the server makes things stable again, all that was acknowledged
 * is there, and still is after kill -9 and a start, and what was refused has
 * happened whole or not at all.  A server may end itself (status 1) when a file
 * of its database cannot be written or synced.
 *
 * Without POINTS n goes up until nothing fails any more; with it, about so many
 * points are spread over the ways to fail.  $B: the build to test.  ONLY="KIND
 * WAY N" runs one point ("fdatasync EIO 3", "write EIO+ 5": from then on),
 * ONLY= "KIND WAY" one way; KEEP=1 leaves the store of a point that was wrong,
 * STOP=1 ends there.
 * Ends with "sweep: P passed, F failed", a test a point.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/daemon.h"
#include "tests/lib/failcall.h"
#include "tests/lib/sweepload.h"

enum {
	SWEEP_HEAL_MS = 10000,
	SWEEP_CONNECT_MS = 5000,
	SWEEP_ROUND = 40, /* points of one store */
	SWEEP_MISSED = 3, /* numbers without a call */
	SWEEP_SHOWN = 40, /* violations that are told at length */
};

static const char *const sweep_kinds[FAIL_KINDS] = {
    "none",  "write",  "pwrite", "fsync", "fdatasync", "rename",
    "link",  "unlink", "create", "open",  "ftruncate", "fallocate",
    "mkdir", "read",   "pread",  "alloc"};

struct sweep_way {
	enum failcall_kind kind;
	int error; /* 0: half of it */
	bool sticky;
	/* figures */
	unsigned int points, violations, ended, errors, resent;
};

static struct sweep_way sweep_ways[] = {
    {.kind = FAIL_WRITE, .error = EIO},
    {.kind = FAIL_WRITE, .error = EIO, .sticky = true},
    {.kind = FAIL_WRITE, .error = ENOSPC},
    {.kind = FAIL_WRITE, .error = ENOSPC, .sticky = true},
    {.kind = FAIL_WRITE, .error = 0},
    {.kind = FAIL_PWRITE, .error = EIO},
    {.kind = FAIL_PWRITE, .error = EIO, .sticky = true},
    {.kind = FAIL_PWRITE, .error = ENOSPC},
    {.kind = FAIL_PWRITE, .error = ENOSPC, .sticky = true},
    {.kind = FAIL_PWRITE, .error = 0},
    {.kind = FAIL_FSYNC, .error = EIO},
    {.kind = FAIL_FSYNC, .error = EIO, .sticky = true},
    {.kind = FAIL_FDATASYNC, .error = EIO},
    {.kind = FAIL_FDATASYNC, .error = EIO, .sticky = true},
    {.kind = FAIL_FDATASYNC, .error = ENOSPC},
    {.kind = FAIL_RENAME, .error = EIO},
    {.kind = FAIL_RENAME, .error = EIO, .sticky = true},
    {.kind = FAIL_LINK, .error = EIO},
    {.kind = FAIL_UNLINK, .error = EIO},
    {.kind = FAIL_UNLINK, .error = EIO, .sticky = true},
    {.kind = FAIL_CREATE, .error = EIO},
    {.kind = FAIL_CREATE, .error = ENOSPC},
    {.kind = FAIL_CREATE, .error = ENOSPC, .sticky = true},
    {.kind = FAIL_OPEN, .error = EIO},
    {.kind = FAIL_OPEN, .error = EMFILE, .sticky = true},
    {.kind = FAIL_TRUNCATE, .error = EIO},
    {.kind = FAIL_TRUNCATE, .error = EIO, .sticky = true},
    {.kind = FAIL_FALLOCATE, .error = EIO},
    {.kind = FAIL_FALLOCATE, .error = ENOSPC, .sticky = true},
    {.kind = FAIL_MKDIR, .error = EIO},
    {.kind = FAIL_MKDIR, .error = ENOSPC, .sticky = true},
    {.kind = FAIL_READ, .error = EIO},
    {.kind = FAIL_READ, .error = EIO, .sticky = true},
    {.kind = FAIL_READ, .error = 0},
    {.kind = FAIL_PREAD, .error = EIO},
    {.kind = FAIL_PREAD, .error = EIO, .sticky = true},
    {.kind = FAIL_PREAD, .error = 0},
    {.kind = FAIL_ALLOC, .error = ENOMEM},
    {.kind = FAIL_ALLOC, .error = ENOMEM, .sticky = true},
};

struct sweep {
	const char *failcall;
	struct daemon server;
	struct failcall *fail; /* borrows: the server's */
	struct sweep_load load;
	bool up;    /* the server runs on a store that is as it should be */
	int guests; /* of this store */
	int ended;  /* in this point: the server ended itself */
	uint32_t count[FAIL_KINDS]; /* calls of a run without a fault */
	/* figures */
	unsigned int points, violations;
	uint64_t acknowledged, errors, resent, rewritten, slowest_heal_ms;
};

static void sweep_sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static const char *sweep_way_text(const struct sweep_way *way)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s %s%s", sweep_kinds[way->kind],
		 way->error == 0        ? "short"
		 : way->error == EIO    ? "EIO"
		 : way->error == ENOSPC ? "ENOSPC"
		 : way->error == ENOMEM ? "ENOMEM"
					: "EMFILE",
		 way->sticky ? "+" : "");
	return text;
}

/* --- the server ---------------------------------------------------------- */

static bool sweep_wrong(struct sweep *s, const char *what, long long value)
{
	if (!s->load.trouble[0])
		snprintf(s->load.trouble, sizeof(s->load.trouble), "%s %lld",
			 what, value);
	return false;
}

static void sweep_disarm(struct sweep *s)
{
	__atomic_store_n(&s->fail->armed, 0, __ATOMIC_SEQ_CST);
}

/* A server that has died is started again, and nothing fails any more. */
static bool sweep_died(struct sweep *s)
{
	int status;

	sweep_disarm(s);
	status = daemon_stop(&s->server);
	s->ended++;
	if (status != 1)
		return sweep_wrong(s, "the server ended with status", status);
	if (s->fail->fired_state == 0)
		return sweep_wrong(s, "the server ended itself, status",
				   status);
	if (!daemon_start(&s->server))
		return sweep_wrong(s,
				   "it does not start again, ended:", s->ended);
	return true;
}

static bool sweep_connect(struct sweep_load *load, int before)
{
	uint64_t begin = check_now_ns();
	struct sweep *s = load->arg;
	struct raw fresh;

	/* A server that waits for room gets it. */
	if (before > 0)
		sweep_disarm(s);
	base_close_ptr(&load->raw.fd);
	load->raw.fd = -1;
	while (check_now_ns() - begin < SWEEP_CONNECT_MS * UINT64_C(1000000)) {
		/* Whoever closed it may be about to end. */
		sweep_sleep_ms(2);
		if (!daemon_lives(&s->server)) {
			if (!sweep_died(s))
				return false;
			begin = check_now_ns();
		}
		if (!raw_open(&fresh, NULL, s->server.port)) {
			raw_close(&fresh);
			continue;
		}
		load->raw.fd = STEAL_FD(fresh.fd);
		raw_close(&fresh);
		return true;
	}
	return sweep_wrong(s, "nobody listens, ended:", s->ended);
}

static void sweep_down(struct sweep *s)
{
	if (!s->server.dir)
		return;
	raw_close(&s->load.raw);
	daemon_free(&s->server);
	s->up = false;
}

/* A server on a new store, with a package. */
static bool sweep_up(struct sweep *s)
{
	struct daemon *d = &s->server;
	char source[512], from[600];

	sweep_down(s);
	daemon_init(d);
	s->fail = daemon_failcall(d, s->failcall);
	snprintf(source, sizeof(source), "%s/source", d->dir);
	snprintf(from, sizeof(from), "dir:%s", source);
	s->load.raw = (struct raw){.fd = -1};
	s->guests = 0;
	s->up = sweep_package(source) && daemon_start(d) &&
		daemon_cli(d, "package", "create", "p:1", from, NULL) == 0 &&
		daemon_cli(d, "tenant", "create", "t", NULL) == 0 &&
		daemon_cli(d, "tenant", "assign", "t", "p:1", NULL) == 0;
	return s->up;
}

/* --- a point ------------------------------------------------------------- */

/* A guest that nobody has seen; a connection of it. */
static bool sweep_guest(struct sweep *s)
{
	struct sweep_load *load = &s->load;
	char guest[32], export[40];

	if ((!s->up || s->guests >= SWEEP_ROUND) && !sweep_up(s))
		return sweep_wrong(s, "no server to test, guests", s->guests);
	snprintf(guest, sizeof(guest), "t/g%d", ++s->guests);
	snprintf(export, sizeof(export), "/%s", guest);
	raw_close(&load->raw);
	memset(load, 0, sizeof(*load));
	load->reconnect = sweep_connect;
	load->arg = s;
	if (daemon_cli(&s->server, "guest", "add", guest, NULL) != 0 ||
	    !raw_open(&load->raw, NULL, s->server.port))
		return sweep_wrong(s, "no guest", s->guests);
	return sweep_load_begin(load, export);
}

static void sweep_arm(struct sweep *s, const struct sweep_way *way, uint32_t at)
{
	struct failcall *fail = s->fail;

	memset(fail, 0, sizeof(*fail));
	if (way) {
		fail->kind = way->kind;
		fail->at = at;
		fail->sticky = way->sticky;
		fail->error = (uint32_t)way->error;
	}
	__atomic_store_n(&fail->armed, 1, __ATOMIC_SEQ_CST);
}

/* Nothing fails any more: how long until things can be made stable? */
static bool sweep_heal(struct sweep *s)
{
	uint64_t begin = check_now_ns(), ms;
	int rc;

	for (;;) {
		rc = sweep_load_probe(&s->load);
		ms = (check_now_ns() - begin) / 1000000;
		if (rc == 0 || s->load.trouble[0] || ms >= SWEEP_HEAL_MS)
			break;
		sweep_sleep_ms(20);
	}
	s->slowest_heal_ms = MAX(s->slowest_heal_ms, ms);
	return rc == 0 || sweep_wrong(s, "does not recover; NFS status", rc);
}

static bool sweep_restart(struct sweep *s)
{
	daemon_kill(&s->server);
	if (!daemon_start(&s->server))
		return sweep_wrong(s, "does not start after kill -9, guests",
				   s->guests);
	return sweep_connect(&s->load, 0);
}

static void sweep_tell_wrong(struct sweep *s, const struct sweep_way *way,
			     uint32_t at)
{
	char command[700];

	printf("violation: %s %u (%s, caller %#llx): %s\n", sweep_way_text(way),
	       at, s->fail->path, (unsigned long long)s->fail->caller,
	       s->load.trouble);
	fflush(stdout);
	if (s->violations > SWEEP_SHOWN)
		return;
	snprintf(command, sizeof(command),
		 "tail -n 6 %s/log | cut -c 1-300 | sed 's/^/  | /'",
		 s->server.dir);
	if (system(command) != 0)
		printf("  | no log\n");
	if (getenv("KEEP")) {
		printf("kept: %s\n", s->server.dir);
		daemon_kill(&s->server);
		s->server.dir = NULL;
	}
}

/* false: nothing failed, since there are fewer such calls. */
static bool sweep_point(struct sweep *s, struct sweep_way *way, uint32_t at)
{
	bool ok, fired;

	if (s->violations > 0 && getenv("STOP"))
		return false;
	s->ended = 0;
	ok = sweep_guest(s);
	/* What the last point has looked at is in memory. */
	if (ok && (way->kind == FAIL_READ || way->kind == FAIL_PREAD))
		ok = sweep_restart(s);
	if (ok) {
		sweep_arm(s, way, at);
		ok = sweep_load_run(&s->load);
		sweep_disarm(s);
	}
	fired = s->fail->fired > 0;
	ok = ok && sweep_heal(s) && sweep_load_verify(&s->load) &&
	     sweep_restart(s) && sweep_load_verify(&s->load);
	s->acknowledged += s->load.acknowledged;
	s->errors += s->load.errors;
	s->resent += s->load.resent;
	s->rewritten += s->load.rewritten;
	if (!fired && ok)
		return false;
	way->points++;
	way->ended += s->ended > 0;
	way->errors += s->load.errors > 0;
	way->resent += s->load.resent > 0;
	s->points++;
	if (!ok) {
		way->violations++;
		s->violations++;
		sweep_tell_wrong(s, way, at);
		s->up = false;
	}
	return true;
}

/* Without a fault: all is acknowledged; so many calls are there to fail. */
static bool sweep_count(struct sweep *s)
{
	struct sweep_load *load = &s->load;
	bool ok = sweep_guest(s);

	if (ok) {
		sweep_arm(s, NULL, 0);
		ok = sweep_load_run(load);
		sweep_disarm(s);
	}
	memcpy(s->count, s->fail->count, sizeof(s->count));
	ok = ok && sweep_heal(s) && sweep_load_verify(load) &&
	     sweep_restart(s) && sweep_load_verify(load);
	if (ok && load->acknowledged != sweep_op_count)
		ok = sweep_wrong(s, "without a fault only so many succeed:",
				 (long long)load->acknowledged);
	if (!ok)
		printf("sweep: without a fault: %s\n", load->trouble);
	printf("calls of %zu operations:", sweep_op_count);
	for (int i = 1; i < FAIL_KINDS; i++)
		printf(" %s %u", sweep_kinds[i], s->count[i]);
	printf("\n");
	return ok;
}

static void sweep_way_figures(const struct sweep_way *way)
{
	if (way->points > 0)
		printf("%-16s points=%u violations=%u errors=%u resent=%u "
		       "ended=%u\n",
		       sweep_way_text(way), way->points, way->violations,
		       way->errors, way->resent, way->ended);
}

static bool sweep_is_telling(const struct sweep_way *way)
{
	return way->kind == FAIL_FDATASYNC && way->error == EIO && !way->sticky;
}

static bool sweep_before(const struct sweep *s, const struct sweep_way *a,
			 const struct sweep_way *b)
{
	if (sweep_is_telling(a) || sweep_is_telling(b))
		return sweep_is_telling(a);
	return s->count[a->kind] < s->count[b->kind];
}

/* About `points` of them, evenly; few kinds have so many calls.  The syncs that
 * fail once are all among them: each loses other bytes. */
static void sweep_sample(struct sweep *s, unsigned int points)
{
	unsigned int left = points, ways = ARRAY_LEN(sweep_ways);
	bool done[ARRAY_LEN(sweep_ways)] = {false};

	/* The rarest first: what they leave goes to the others. */
	for (; ways > 0; ways--) {
		unsigned int best = 0, share = (left + ways - 1) / ways, n;

		while (done[best])
			best++;
		for (unsigned int i = best; i < ARRAY_LEN(sweep_ways); i++)
			if (!done[i] &&
			    sweep_before(s, &sweep_ways[i], &sweep_ways[best]))
				best = i;
		done[best] = true;
		n = s->count[sweep_ways[best].kind];
		share = MIN(share, n);
		if (sweep_is_telling(&sweep_ways[best]))
			share = n;
		for (unsigned int i = 0; i < share; i++)
			sweep_point(s, &sweep_ways[best],
				    (i * n + n / 2) / share + 1);
		sweep_way_figures(&sweep_ways[best]);
		left -= MIN(left, share);
	}
}

static void sweep_full(struct sweep *s, const char *only)
{
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(sweep_ways); i++) {
		struct sweep_way *way = &sweep_ways[i];
		const char *text = sweep_way_text(way);
		uint32_t at = 1;

		len = strlen(text);
		if (only && strncmp(only, text, len) != 0)
			continue;
		if (only && only[len] == ' ') {
			sweep_point(s, way, (uint32_t)atoi(only + len));
		} else if (!only || !only[len]) {
			/* Their number is not quite the same each time. */
			for (int missed = 0; missed < SWEEP_MISSED; at++)
				missed =
				    sweep_point(s, way, at) ? 0 : missed + 1;
		}
		sweep_way_figures(way);
	}
}

static void sweep_figures(const struct sweep *s)
{
	printf("sweep: %llu calls acknowledged, %llu refused, %llu sent "
	       "again, %llu writes sent anew, slowest recovery %llu ms\n",
	       (unsigned long long)s->acknowledged,
	       (unsigned long long)s->errors, (unsigned long long)s->resent,
	       (unsigned long long)s->rewritten,
	       (unsigned long long)s->slowest_heal_ms);
	printf("promise P-21 n=%u violations=%u bound=%.1e\n", s->points,
	       s->violations, s->points > 0 ? 3.0 / s->points : 1.0);
}

int main(int argc, char **argv)
{
	static struct sweep s = {.load.raw.fd = -1};
	const char *only = getenv("ONLY");
	bool ok;

	if (argc < 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* Calls without an answer are sent again. */
	setenv("RAW_WAIT_MS", "1000", 0);
	s.failcall = argv[1];
	ok = sweep_count(&s);
	if (ok && argc > 2 && !only)
		sweep_sample(&s, (unsigned int)atoi(argv[2]));
	else if (ok)
		sweep_full(&s, only);
	sweep_down(&s);
	sweep_figures(&s);
	printf("sweep: %u passed, %u failed\n", s.points - s.violations,
	       s.violations + !ok);
	return s.violations > 0 || !ok;
}
