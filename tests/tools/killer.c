/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killer: the kill -9 loop with a journal of acknowledged operations (H-1).
 *
 *   killer STORE SOURCE PORT EXPORT KILLS COMMAND [COMMAND-WITH-KILL-POINTS]
 *
 * A command is a shell line that execs vdrived on PORT with the store STORE;
 * the second one runs a build with KILLPOINTS=1.  The server is this program's
 * child.  Four lanes of random operations (lane.h) drive it until it is killed
 * with -9 at a random moment or, every other life, dies at a kill point
 * (depot/killpoint.h).  Then, each time: the delta is in order on disk
 * (deltacheck.h), the server starts, nothing is left over, the write verifier
 * is new, unanswered calls get their first reply, and all that was acknowledged
 * is there.
 *
 * Exports are EXPORT1, EXPORT2...: one for each KILLER_ROUND kills, so that
 * there are always files of the package that nobody has changed.  SOURCE is the
 * directory that became the package; STORE "-" leaves the look at the disk
 * out.  SEED=n repeats the choices of a run.
 * Ends with "kill: P passed, F failed", a test a kill; the first failure ends
 * the run.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/deltacheck.h"
#include "tests/lib/lane.h"

enum {
	KILLER_LANES = 4,
	KILLER_START_MS = 20000,
	KILLER_ROUND = 50,    /* kills of one guest */
	KILLER_MEAN_MS = 250, /* a life, when killed at random */
	KILLER_LIFE_MS_MAX = 1500,
	KILLER_POINT_MS = 1500, /* for a kill point to be reached */
	KILLER_DEATH_MS = 2000,
	KILLER_POINTS_ROW_MAX = 4, /* armed lives that die before they work */
};

/* Kill points, with odds so that lives are neither too short nor too long.
 * "reap-stable" leaves something to be reaped for "open-reaping". */
static const struct killer_point {
	const char *name;
	unsigned int odds;
} killer_points[] = {
    {"op-written", 60},      {"promote-created", 4},
    {"log-synced", 80},      {"fileid-block", 1},
    {"flight-synced", 12},   {"reap-unlinked", 3},
    {"drc-stored", 60},      {"cut-stable", 3},
    {"reap-stable", 3},      {"flight-written", 12},
    {"promote-copied", 4},   {"reply", 60},
    {"promote-promised", 4}, {"*", 197},
};

struct killer {
	int port, round;
	const char *store, *source, *export, *commands[2];
	uint64_t seed;
	pid_t server;
	bool dead;     /* by a kill point, as it was armed */
	char arms[96]; /* of this life; "": none */
	bool reaping;  /* the last death left something to be reaped */
	int armed_row; /* lives that died at a point before they worked */
	unsigned int next_point;
	struct lane lanes[KILLER_LANES];
	struct deltacheck delta;
	uint64_t *verifiers; /* owns: of all lives */
	int lives;
	/* figures */
	int kills, at_points, refusals, bad_verifiers, bad_deltas, bad_ends;
	uint64_t acknowledged, resent, executed_before, repeated;
	uint64_t faults[LANE_FAULTS];
	uint64_t slowest_start_ms;
};

static void killer_sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static pid_t killer_child; /* for killer_stop() alone */

/* The server must not outlive this program. */
static void killer_stop(int signal_number)
{
	if (killer_child > 0)
		kill(killer_child, SIGKILL);
	_exit(128 + signal_number);
}

static void killer_say(const char *what, const char *why)
{
	printf("%s: %s\n", what, why);
}

/* --- the server ---------------------------------------------------------- */

/* Has it died?  At a kill point, if it was armed and the signal is right. */
static bool killer_is_dead(struct killer *k)
{
	int status = 0;

	if (k->dead)
		return true;
	if (waitpid(k->server, &status, WNOHANG) != k->server)
		return false;
	k->dead = true;
	killer_child = 0;
	if (!k->arms[0] || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGKILL) {
		printf("kill %d: the server ended by itself, status %x\n",
		       k->kills, (unsigned int)status);
		k->bad_ends++;
	}
	return true;
}

/* A connection was closed: that is the server's death, or a fault. */
static void killer_await_death(struct killer *k)
{
	for (int i = 0; i < KILLER_DEATH_MS && !killer_is_dead(k); i++)
		killer_sleep_ms(1);
	if (!k->dead) {
		killer_say("kill", "the server lives and does not answer");
		k->bad_ends++;
	}
}

static void killer_spawn(struct killer *k)
{
	char seed[24];

	k->dead = false;
	fflush(stdout);
	k->server = fork();
	killer_child = k->server;
	if (k->server != 0)
		return;
	snprintf(seed, sizeof(seed), "%llu",
		 (unsigned long long)k->seed + (unsigned int)k->kills);
	setenv("VDRIVE_KILL", k->arms, 1);
	setenv("VDRIVE_KILL_SEED", seed, 1);
	execl("/bin/sh", "sh", "-c", k->commands[k->arms[0] != 0],
	      (char *)NULL);
	_exit(127);
}

/* Start the server and wait until it listens; false: dead or deaf. */
static bool killer_start(struct killer *k)
{
	uint64_t begin = check_now_ns();
	int bad_ends = k->bad_ends;
	struct raw probe;

	killer_spawn(k);
	for (;;) {
		uint64_t ms = (check_now_ns() - begin) / 1000000;

		if (raw_open(&probe, NULL, k->port)) {
			raw_close(&probe);
			k->slowest_start_ms = MAX(k->slowest_start_ms, ms);
			return true;
		}
		if (killer_is_dead(k)) {
			k->refusals += k->bad_ends - bad_ends;
			k->bad_ends = bad_ends;
			return false;
		}
		if (ms > KILLER_START_MS) {
			killer_say("kill", "the server does not listen");
			k->refusals++;
			return false;
		}
		killer_sleep_ms(3);
	}
}

static void killer_kill(struct killer *k)
{
	if (k->dead)
		return;
	kill(k->server, SIGKILL);
	waitpid(k->server, NULL, 0);
	killer_child = 0;
	k->dead = true;
}

/* --- plans --------------------------------------------------------------- */

/* How the next life is to end: at a point, or (arms "") at random. */
static void killer_plan(struct killer *k)
{
	const struct killer_point *point;
	size_t len = 0;

	k->arms[0] = '\0';
	if (!k->commands[1] || k->armed_row >= KILLER_POINTS_ROW_MAX)
		return;
	if (k->reaping)
		len = (size_t)snprintf(k->arms, sizeof(k->arms),
				       "open-reaping:2");
	else if (k->kills % 2 == 0)
		return;
	point = &killer_points[k->next_point % ARRAY_LEN(killer_points)];
	k->next_point += !k->reaping; /* that one may not come to its turn */
	snprintf(k->arms + len, sizeof(k->arms) - len, "%s%s:%u",
		 len ? "," : "", point->name, point->odds);
}

static uint64_t killer_life_ns(const struct killer *k)
{
	uint64_t ms = 5;

	if (k->arms[0])
		return (uint64_t)KILLER_POINT_MS * 1000000;
	/* As good as exponential: what has passed says nothing. */
	while (ms < KILLER_LIFE_MS_MAX && random() % KILLER_MEAN_MS != 0)
		ms++;
	return ms * 1000000;
}

/* --- lives --------------------------------------------------------------- */

/* Let the lanes run until the moment, or the server's death. */
static void killer_drive(struct killer *k, uint64_t until_ns)
{
	struct pollfd pfds[KILLER_LANES];
	bool open = true;

	for (int i = 0; open && i < KILLER_LANES; i++)
		if (!k->lanes[i].waiting)
			open = lane_begin(&k->lanes[i]);
	while (open && check_now_ns() < until_ns) {
		for (int i = 0; i < KILLER_LANES; i++)
			pfds[i] =
			    (struct pollfd){k->lanes[i].raw.fd, POLLIN, 0};
		if (poll(pfds, KILLER_LANES, 1) <= 0)
			continue;
		for (int i = 0; open && i < KILLER_LANES; i++)
			if (pfds[i].revents)
				open = lane_answer(&k->lanes[i]) &&
				       lane_begin(&k->lanes[i]);
	}
	if (!open)
		killer_await_death(k);
}

/* The verifier of this life, which no life before had; 0: no answer. */
static uint64_t killer_verifier(struct killer *k)
{
	struct raw_fh root, fh;
	uint64_t verifier = 0;
	struct raw raw;
	char path[256];

	snprintf(path, sizeof(path), "%s%d", k->export, k->round);
	if (!raw_open(&raw, NULL, k->port))
		return 0;
	if (raw_mount(&raw, path, &root) != 0 ||
	    raw_lookup(&raw, &root, "anchor", &fh, NULL) != 0 ||
	    raw_commit(&raw, &fh, &verifier) != 0)
		verifier = 0;
	raw_close(&raw);
	for (int i = 0; verifier && i < k->lives; i++)
		if (k->verifiers[i] == verifier) {
			killer_say("verifier", "the same in two lives");
			k->bad_verifiers++;
		}
	if (verifier) {
		k->verifiers = realloc(k->verifiers, (size_t)(k->lives + 1) *
							 sizeof(*k->verifiers));
		ASSERT(k->verifiers);
		k->verifiers[k->lives++] = verifier;
	}
	return verifier;
}

/* After a start: resend, rewrite, and compare with the model. */
static bool killer_check(struct killer *k)
{
	uint64_t verifier;

	if (k->store && !deltacheck_started(&k->delta, k->store)) {
		killer_say("delta", k->delta.trouble);
		k->bad_deltas++;
	}
	verifier = killer_verifier(k);
	for (int i = 0; verifier && i < KILLER_LANES; i++) {
		struct lane *lane = &k->lanes[i];

		if (!lane_reopen(lane, k->port, verifier) ||
		    !lane_resend(lane) || !lane_rewrite(lane) ||
		    !lane_verify(lane))
			return false;
	}
	return verifier != 0;
}

/* The server is dead: take what it said, look at what it left. */
static void killer_bury(struct killer *k)
{
	for (int i = 0; i < KILLER_LANES; i++)
		lane_drain(&k->lanes[i]);
	k->kills++;
	if (k->store && !deltacheck_dead(&k->delta, k->store)) {
		killer_say("delta", k->delta.trouble);
		k->bad_deltas++;
	}
	k->reaping =
	    k->delta.reap_count > 0 && strncmp(k->arms, "reap-", 5) == 0;
}

static int killer_bad(const struct killer *k)
{
	uint64_t bad = (uint64_t)(k->refusals + k->bad_verifiers +
				  k->bad_deltas + k->bad_ends);

	for (int i = 0; i < KILLER_LANES; i++)
		for (int j = 0; j < LANE_FAULTS; j++)
			bad += k->lanes[i].faults[j];
	for (int j = 0; j < LANE_FAULTS; j++)
		bad += k->faults[j];
	return (int)bad;
}

/* One life from start to death, which may come at any time when armed. */
static void killer_live(struct killer *k)
{
	bool good;

	killer_plan(k);
	good = killer_start(k) && killer_check(k);
	if (!good) {
		k->armed_row++;
		killer_await_death(k);
	} else if (killer_bad(k) == 0) {
		k->armed_row = 0;
		killer_drive(k, check_now_ns() + killer_life_ns(k));
	}
	k->at_points += k->dead;
	killer_kill(k);
	killer_bury(k);
}

/* --- rounds -------------------------------------------------------------- */

/* The next guest: a start that nothing disturbs, new lanes. */
static bool killer_open_round(struct killer *k)
{
	char path[256];
	uint64_t verifier;

	k->round++;
	k->arms[0] = '\0';
	k->reaping = false;
	snprintf(path, sizeof(path), "%s%d", k->export, k->round);
	if (!killer_start(k))
		return false;
	verifier = killer_verifier(k);
	for (int i = 0; i < KILLER_LANES; i++) {
		if (!lane_open(&k->lanes[i], i, k->seed + (unsigned)k->round,
			       k->port, path, k->source)) {
			printf("lane %d cannot begin on %s\n", i, path);
			k->refusals++;
			return false;
		}
		k->lanes[i].verifier = verifier;
	}
	killer_drive(k, check_now_ns() + killer_life_ns(k));
	killer_kill(k);
	killer_bury(k);
	return true;
}

static void killer_close_round(struct killer *k)
{
	for (int i = 0; i < KILLER_LANES; i++) {
		struct lane *lane = &k->lanes[i];

		k->acknowledged += lane->acknowledged;
		k->resent += lane->resent;
		k->executed_before += lane->executed_before;
		k->repeated += lane->repeated;
		for (int j = 0; j < LANE_FAULTS; j++)
			k->faults[j] += lane->faults[j];
		if (lane->trouble[0])
			printf("lane %d: %s\n", i, lane->trouble);
		lane_close(lane);
		memset(lane, 0, sizeof(*lane));
		lane->raw.fd = lane->probe.fd = -1;
	}
}

static void killer_promise(const char *name, uint64_t n, uint64_t bad)
{
	printf("promise %s n=%llu violations=%llu bound=%.4f", name,
	       (unsigned long long)n, (unsigned long long)bad,
	       n ? 3.0 / (double)n : 1.0);
}

static void killer_report(const struct killer *k)
{
	uint64_t retransmits = k->resent + k->repeated;
	uint64_t lost = k->faults[LANE_LOST] + (uint64_t)k->bad_deltas +
			(uint64_t)k->bad_ends;

	killer_promise("P-01", (uint64_t)k->kills,
		       lost + (uint64_t)k->refusals);
	printf("  %d refusals to start, %llu operations acknowledged, %d of "
	       "the kills at kill points, slowest start %llu ms\n",
	       k->refusals, (unsigned long long)k->acknowledged, k->at_points,
	       (unsigned long long)k->slowest_start_ms);
	killer_promise("P-03", (uint64_t)k->lives,
		       (uint64_t)k->bad_verifiers + k->faults[LANE_VERIFIER]);
	printf("  lives, each with a verifier of its own\n");
	killer_promise("P-04", retransmits, k->faults[LANE_REPLY]);
	printf("  calls sent again: %llu unanswered at a death, of them "
	       "%llu seen executed before it; %llu answered, same bytes\n",
	       (unsigned long long)k->resent,
	       (unsigned long long)k->executed_before,
	       (unsigned long long)k->repeated);
	printf("seed %llu\n", (unsigned long long)k->seed);
}

int main(int argc, char **argv)
{
	const char *seed = getenv("SEED");
	struct killer *k = calloc(1, sizeof(*k));
	int kills, bad;

	if ((argc != 7 && argc != 8) || !k) {
		fprintf(stderr, "usage: killer STORE SOURCE PORT EXPORT KILLS "
				"COMMAND [COMMAND-WITH-KILL-POINTS]\n");
		return 2;
	}
	k->store = strcmp(argv[1], "-") != 0 ? argv[1] : NULL;
	k->source = argv[2];
	k->port = atoi(argv[3]);
	k->export = argv[4];
	kills = atoi(argv[5]);
	k->commands[0] = argv[6];
	k->commands[1] = argc == 8 ? argv[7] : NULL;
	k->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, killer_stop);
	signal(SIGINT, killer_stop);
	setvbuf(stdout, NULL, _IOLBF, 0);
	srandom((unsigned int)k->seed);
	k->next_point = (unsigned int)random();
	while (k->kills < kills && killer_bad(k) == 0) {
		int end = MIN(kills, k->kills + KILLER_ROUND);

		if (!killer_open_round(k) && killer_bad(k) == 0)
			k->refusals++;
		while (k->kills < end && killer_bad(k) == 0)
			killer_live(k);
		killer_close_round(k);
	}
	killer_report(k);
	bad = killer_bad(k) > 0;
	printf("kill: %d passed, %d failed\n", MAX(k->kills - bad, 0), bad);
	free(k->verifiers);
	deltacheck_free(&k->delta);
	free(k);
	return bad;
}
