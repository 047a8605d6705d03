/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts: a tenant's guests, each with its export mounted over a connection of
 * its own.
 *
 *   mounts PORT EXPORT COUNT [NAME]
 *
 * Mounts EXPORT1 to EXPORTn and says "ready".  Without NAME they idle till
 * stdin ends.  With it each in turn looks NAME up in its root, over and over; a
 * line on stdin is the moment from which it is counted how long it takes until
 * all of them have found it.  At the end of stdin prints one JSON object:
 * mounts, calls, the longest of them, how long the last guest took to see NAME
 * (-1: not all have).  Exit 1 when a call failed.
 */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/rawnfs.h"

enum { MOUNTS_NOENT = 2 };

struct mounts {
	struct raw *raws;     /* owns */
	struct raw_fh *roots; /* owns */
	bool *seen;           /* owns */
	unsigned int count, seen_count;
	const char *name;
	uint64_t calls;
	double longest_ms, go_ms, all_ms;
};

static double mounts_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool mounts_open(struct mounts *m, int port, const char *prefix)
{
	char export[256];
	int rc;

	for (unsigned int i = 0; i < m->count; i++) {
		snprintf(export, sizeof(export), "%s%u", prefix, i + 1);
		if (!raw_open(&m->raws[i], NULL, port)) {
			fprintf(stderr, "mounts: nobody listens\n");
			return false;
		}
		rc = raw_mount(&m->raws[i], export, &m->roots[i]);
		if (rc != 0) {
			fprintf(stderr, "mounts: %s: status %d\n", export, rc);
			return false;
		}
	}
	return true;
}

static bool mounts_lookup(struct mounts *m, unsigned int i)
{
	double start = mounts_now(), took;
	struct raw_attr attr;
	struct raw_fh fh;
	int rc = raw_lookup(&m->raws[i], &m->roots[i], m->name, &fh, &attr);

	took = mounts_now() - start;
	m->calls++;
	if (took > m->longest_ms)
		m->longest_ms = took;
	if (rc == 0 && !m->seen[i] && m->go_ms > 0) {
		m->seen[i] = true;
		if (++m->seen_count == m->count)
			m->all_ms = mounts_now() - m->go_ms;
	}
	if (rc != 0 && rc != MOUNTS_NOENT)
		fprintf(stderr, "mounts: lookup: status %d\n", rc);
	return rc == 0 || rc == MOUNTS_NOENT;
}

/* false: stdin has ended. */
static bool mounts_told(struct mounts *m, int wait_ms)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[64];

	if (poll(&in, 1, wait_ms) <= 0)
		return true;
	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		return false;
	m->go_ms = mounts_now();
	m->longest_ms = 0;
	return true;
}

static bool mounts_run(struct mounts *m)
{
	bool ok = true;

	if (!m->name) {
		while (mounts_told(m, -1))
			;
		return true;
	}
	for (unsigned int i = 0; ok && mounts_told(m, 0); i++)
		ok = mounts_lookup(m, i % m->count);
	return ok;
}

int main(int argc, char **argv)
{
	struct mounts m = {.all_ms = -1};
	bool ok;

	if (argc < 4 || atoi(argv[3]) < 1) {
		fprintf(stderr, "usage: mounts PORT EXPORT COUNT [NAME]\n");
		return 2;
	}
	m.count = (unsigned int)atoi(argv[3]);
	m.name = argc > 4 ? argv[4] : NULL;
	m.raws = calloc(m.count, sizeof(*m.raws));
	m.roots = calloc(m.count, sizeof(*m.roots));
	m.seen = calloc(m.count, sizeof(*m.seen));
	if (!m.raws || !m.roots || !m.seen)
		abort();
	ok = mounts_open(&m, atoi(argv[1]), argv[2]);
	if (ok) {
		printf("ready\n");
		fflush(stdout);
		ok = mounts_run(&m);
	}
	printf("{\"mounts\":%u,\"calls\":%ju,\"longest_ms\":%.2f,"
	       "\"all_ms\":%.1f}\n",
	       m.count, (uintmax_t)m.calls, m.longest_ms, m.all_ms);
	return ok ? 0 : 1;
}
