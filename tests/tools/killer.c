/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killer: the kill -9 loop with a journal of acknowledged operations (H-1).
 *
 *   killer PORT EXPORT KILLS COMMAND
 *
 * COMMAND (a shell line that execs vdrived on PORT) is started, driven by four
 * lanes of random operations (lane.h), killed with -9 at a random moment,
 * started again; every acknowledged operation must be there, every unanswered
 * one must succeed when it is sent again.  The server is this program's child.
 * SEED=n repeats a run.  Ends with "kill: P passed, F failed", a test a kill.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/lane.h"

enum { KILLER_LANES = 4, KILLER_START_MS = 20000 };

struct killer {
	int port;
	const char *export, *command;
	pid_t server;
	struct lane lanes[KILLER_LANES];
	uint64_t slowest_start_ms;
};

static void killer_sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* Start the server and wait until it listens. */
static bool killer_start(struct killer *k)
{
	uint64_t begin = check_now_ns();
	struct raw probe;

	k->server = fork();
	if (k->server == 0) {
		execl("/bin/sh", "sh", "-c", k->command, (char *)NULL);
		_exit(127);
	}
	for (;;) {
		uint64_t ms = (check_now_ns() - begin) / 1000000;

		if (raw_open(&probe, NULL, k->port)) {
			raw_close(&probe);
			k->slowest_start_ms = MAX(k->slowest_start_ms, ms);
			return true;
		}
		if (ms > KILLER_START_MS ||
		    waitpid(k->server, NULL, WNOHANG) == k->server)
			return false;
		killer_sleep_ms(5);
	}
}

static void killer_kill(struct killer *k)
{
	kill(k->server, SIGKILL);
	waitpid(k->server, NULL, 0);
}

/* Let the lanes run until the moment; false when the server died by itself. */
static bool killer_drive(struct killer *k, uint64_t until_ns)
{
	struct pollfd pfds[KILLER_LANES];

	for (int i = 0; i < KILLER_LANES; i++)
		if (k->lanes[i].op == LANE_NONE && !lane_begin(&k->lanes[i]))
			return false;
	while (check_now_ns() < until_ns) {
		for (int i = 0; i < KILLER_LANES; i++)
			pfds[i] = (struct pollfd){k->lanes[i].raw.fd, POLLIN,
						  0};
		if (poll(pfds, KILLER_LANES, 1) <= 0)
			continue;
		for (int i = 0; i < KILLER_LANES; i++)
			if (pfds[i].revents &&
			    (!lane_answer(&k->lanes[i]) ||
			     !lane_begin(&k->lanes[i])))
				return false;
	}
	return true;
}

/* After a restart: resend, rewrite, and compare with the model. */
static bool killer_check(struct killer *k)
{
	for (int i = 0; i < KILLER_LANES; i++) {
		struct lane *lane = &k->lanes[i];

		if (!lane_reopen(lane, k->port, k->export) ||
		    !lane_resend(lane) || !lane_rewrite(lane))
			return false;
		lane_verify(lane);
	}
	return true;
}

static uint64_t killer_lost(const struct killer *k)
{
	uint64_t lost = 0;

	for (int i = 0; i < KILLER_LANES; i++)
		lost += k->lanes[i].lost;
	return lost;
}

static void killer_report(const struct killer *k, int kills, int bad,
			  uint64_t seed)
{
	uint64_t acknowledged = 0, resent = 0;

	for (int i = 0; i < KILLER_LANES; i++) {
		acknowledged += k->lanes[i].acknowledged;
		resent += k->lanes[i].resent;
		if (k->lanes[i].lost)
			printf("lane %d: %s\n", i, k->lanes[i].trouble);
	}
	printf("promise P-01 n=%d violations=%d bound=%.4f  %llu operations "
	       "acknowledged, %llu sent again, slowest start %llu ms, seed "
	       "%llu\n",
	       kills, bad, kills ? 3.0 / kills : 1.0,
	       (unsigned long long)acknowledged, (unsigned long long)resent,
	       (unsigned long long)k->slowest_start_ms,
	       (unsigned long long)seed);
	printf("kill: %d passed, %d failed\n", kills - bad, bad);
}

int main(int argc, char **argv)
{
	const char *seed_text = getenv("SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10)
				  : (uint64_t)time(NULL);
	struct killer *k = calloc(1, sizeof(*k));
	int kills, done = 0, bad = 0;

	if (argc != 5 || !k) {
		fprintf(stderr, "usage: killer PORT EXPORT KILLS COMMAND\n");
		return 2;
	}
	k->port = atoi(argv[1]);
	k->export = argv[2];
	kills = atoi(argv[3]);
	k->command = argv[4];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!killer_start(k))
		return printf("kill: the server did not start\n"), 1;
	for (int i = 0; i < KILLER_LANES; i++)
		if (!lane_open(&k->lanes[i], i, seed, k->port, k->export)) {
			printf("kill: lane %d cannot begin\n", i);
			killer_kill(k);
			return 1;
		}
	srandom((unsigned int)seed);
	while (done < kills && bad == 0) {
		uint64_t run_ms = 20 + (uint64_t)random() % 400;

		if (!killer_drive(k, check_now_ns() + run_ms * 1000000))
			printf("kill %d: the server ended by itself\n", done);
		killer_kill(k);
		for (int i = 0; i < KILLER_LANES; i++)
			lane_drain(&k->lanes[i]);
		done++;
		if (!killer_start(k) || !killer_check(k)) {
			printf("kill %d: no server after it\n", done);
			bad++;
		} else if (killer_lost(k) > 0) {
			bad++;
		}
	}
	killer_kill(k);
	killer_report(k, done, bad, seed);
	for (int i = 0; i < KILLER_LANES; i++)
		raw_close(&k->lanes[i].raw);
	free(k);
	return bad ? 1 : 0;
}
