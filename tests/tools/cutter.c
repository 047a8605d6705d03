/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutter: power cuts rebuilt from recorded calls (H-2, promise P-02).
 *
 *   cutter CUTS RECORDER [STOP]
 *
 * A vdrived with RECORDER (cutrec.so) in it is driven by four lanes of random
 * operations (cutlane.h), killed and started again twice on the way, and ended
 * by a kill.  The log must explain its store byte for byte.  Then for each of
 * up to CUTTER_STATES places of that log (cutter_place) a state that a power
 * cut may leave (cutfs.h) is written out; a vdrived must start on it and hold
 * all that was acknowledged.  So again until CUTS places
 * were tried; with STOP only until the first violation.
 *
 * $B: the build to test.  SEED=n repeats a run; KEEP=DIR keeps the states that
 * were wrong, and their recordings.  Ends with "cutter: P passed, F failed", a
 * test a cut.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/cutfs.h"
#include "tests/lib/cutlane.h"
#include "tests/lib/cutlog.h"
#include "tests/lib/daemon.h"
#include "tests/lib/tmpdir.h"

enum {
	CUTTER_LANES = 4,
	CUTTER_STATES = 50,
	CUTTER_OPS = 2400, /* of a recording, at most */
	CUTTER_OPS_PER_CUT = 48,
	CUTTER_OPS_MIN = 600,
	CUTTER_LIVES = 3,
	CUTTER_FDS = 65536,
};

static const char *const cutter_styles[CUTFS_STYLES] = {
    "nothing", "all but the end", "bytes without names", "names without bytes",
    "a part"};

struct stream { /* replies on one connection */
	uint8_t head[8];
	size_t have; /* bytes of the record so far */
	size_t len;  /* of it with its mark; known from 4 bytes on */
};

struct cutter {
	const char *recorder;
	struct daemon server;
	struct cut_lane lanes[CUTTER_LANES];
	uint64_t seed, rng;
	/* a recording */
	uint8_t *log; /* owns */
	size_t log_len;
	uint64_t begin;         /* where cuts may be from */
	struct stream *streams; /* owns: by descriptor */
	size_t next[CUTTER_LANES];
	/* own: places behind entries, replies, and new names of the state
	 * database */
	uint64_t *entries, *replies, *names;
	size_t entry_count, reply_count, name_count;
	char *base;       /* owns: the store when it began; NULL: empty */
	struct cutfs *fs; /* owns: as of the last cut */
	/* figures */
	int cuts, bad, recordings;
	uint64_t answered, unsynced, unnamed, slowest_ms;
};

static uint64_t cutter_lot(struct cutter *c, uint64_t below)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return (c->rng >> 11) % below;
}

/* --- recording ----------------------------------------------------------- */

static bool cutter_start(struct cutter *c)
{
	CLEANUP_FREE char *store = tmpdir_path(c->server.dir, "store");
	CLEANUP_FREE char *log = tmpdir_path(c->server.dir, "calls");
	CLEANUP_FREE char *end = tmpdir_path(c->server.dir, "end");
	bool ok;

	if (mkfifo(end, 0600) < 0 && errno != EEXIST)
		return false;
	setenv("CUTREC_STORE", store, 1);
	setenv("CUTREC_LOG", log, 1);
	setenv("CUTREC_END", end, 1);
	c->server.preload = c->recorder;
	ok = daemon_start(&c->server);
	unsetenv("CUTREC_STORE");
	unsetenv("CUTREC_LOG");
	unsetenv("CUTREC_END");
	return ok;
}

/* Between two entries of the log. */
static void cutter_kill(struct cutter *c)
{
	CLEANUP_FREE char *end = tmpdir_path(c->server.dir, "end");
	int fd = open(end, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 5000 && daemon_lives(&c->server); i++)
		usleep(1000);
	base_close_ptr(&fd);
	daemon_kill(&c->server);
}

static bool cutter_prepare(struct cutter *c)
{
	CLEANUP_FREE char *source = tmpdir_path(c->server.dir, "source");
	CLEANUP_FREE char *log = tmpdir_path(c->server.dir, "calls");
	CLEANUP_FREE char *from = NULL;
	struct daemon *d = &c->server;
	struct stat st;
	bool ok = io_mkdirs(source) == 0 && chmod(source, 0755) == 0;

	for (int i = 0; i < CUTTER_LANES; i++)
		ok = ok && cutlane_package(i, source);
	ASSERT(asprintf(&from, "dir:%s", source) > 0);
	ok = ok && cutter_start(c) &&
	     daemon_cli(d, "package", "create", "p:1", from, NULL) == 0 &&
	     daemon_cli(d, "tenant", "create", "t", NULL) == 0 &&
	     daemon_cli(d, "tenant", "assign", "t", "p:1", NULL) == 0 &&
	     daemon_cli(d, "guest", "add", "t/g", NULL) == 0;
	/* From here on all of this must be there. */
	ok = ok && stat(log, &st) == 0;
	c->begin = ok ? (uint64_t)st.st_size : 0;
	for (int i = 0; ok && i < CUTTER_LANES; i++)
		ok = cutlane_open(&c->lanes[i], i, c->seed, d->port, "/t/g");
	return ok;
}

static size_t cutter_op_count(const struct cutter *c)
{
	size_t count = 0;

	for (int i = 0; i < CUTTER_LANES; i++)
		count += c->lanes[i].op_count;
	return count;
}

/* Until so many operations were begun; then, to rest, until all are answered.
 */
static bool cutter_drive(struct cutter *c, size_t ops, bool rest)
{
	struct pollfd pfds[CUTTER_LANES];
	bool busy = true;

	while (busy) {
		bool more = cutter_op_count(c) < ops;

		busy = false;
		for (int i = 0; i < CUTTER_LANES; i++) {
			struct cut_lane *lane = &c->lanes[i];

			if (!lane->busy && more && !cutlane_begin(lane))
				return false;
			pfds[i] = (struct pollfd){lane->raw.fd, POLLIN, 0};
			busy = busy || lane->busy;
		}
		if (!more && !rest)
			return true;
		if (busy && poll(pfds, CUTTER_LANES, 30000) <= 0)
			return false;
		for (int i = 0; i < CUTTER_LANES; i++)
			if (c->lanes[i].busy && pfds[i].revents &&
			    !cutlane_answer(&c->lanes[i]))
				return false;
	}
	return true;
}

/* Replies that were sent before the death count. */
static void cutter_drain(struct cutter *c)
{
	for (int i = 0; i < CUTTER_LANES; i++)
		if (c->lanes[i].busy && raw_readable(&c->lanes[i].raw, 0))
			cutlane_answer(&c->lanes[i]);
}

/* `lives` of a server, each but the first after a kill. */
static bool cutter_record(struct cutter *c, size_t ops, int lives)
{
	CLEANUP_FREE char *path = tmpdir_path(c->server.dir, "calls");
	bool ok = true;

	for (int life = 1; ok && life <= lives; life++) {
		bool last = life == lives;

		ok = cutter_drive(c, ops * (size_t)life / (size_t)lives, !last);
		if (!ok)
			printf("recording: life %d ended\n", life);
		cutter_kill(c);
		if (last)
			cutter_drain(c);
		else
			ok = ok && cutter_start(c);
		for (int i = 0; ok && !last && i < CUTTER_LANES; i++)
			ok = cutlane_reopen(&c->lanes[i], c->server.port);
	}
	return ok && io_read_file(path, SIZE_MAX / 4, (void **)&c->log,
				  &c->log_len) == 0;
}

/* Forget the recording, but not the lanes. */
static void cutter_forget(struct cutter *c)
{
	if (c->fs)
		cutfs_free(STEAL(c->fs));
	free(STEAL(c->log));
	free(STEAL(c->streams));
	free(STEAL(c->entries));
	free(STEAL(c->replies));
	free(STEAL(c->names));
	free(STEAL(c->base));
	if (c->server.dir)
		daemon_free(&c->server);
}

/* --- the log ------------------------------------------------------------- */

/* A reply has gone out whole: it answers the next operation of some lane.
 * Before the beginning are operations that were sent again. */
static void cutter_reply(struct cutter *c, uint32_t xid, uint64_t place)
{
	if (place <= c->begin)
		return;
	for (int i = 0; i < CUTTER_LANES; i++) {
		struct cut_lane *lane = &c->lanes[i];

		if (c->next[i] >= lane->op_count ||
		    lane->ops[c->next[i]].xid != xid)
			continue;
		lane->ops[c->next[i]++].place = place;
		c->replies[c->reply_count++] = place;
		return;
	}
}

static void cutter_bytes(struct cutter *c, struct stream *s,
			 const uint8_t *data, size_t len, uint64_t place)
{
	while (len > 0) {
		size_t want = s->have < 8 ? 8 - s->have : s->len - s->have;
		size_t n = MIN(len, want);

		if (s->have < 8)
			memcpy(s->head + s->have, data, n);
		s->have += n;
		data += n;
		len -= n;
		if (s->have < 8)
			return;
		s->len = 4 + (be32_get(s->head) & 0x7fffffffu);
		if (s->have < s->len)
			continue;
		cutter_reply(c, be32_get(s->head + 4), place);
		s->have = 0;
	}
}

/* A new log or manifest of the state database. */
static bool cutter_is_name(const struct cutlog_entry *e, const uint8_t *data)
{
	static const char state[] = "/state/";
	const char *path = (const char *)data;

	if (e->type != CUTLOG_RENAME &&
	    (e->type != CUTLOG_OPEN || !(e->flags & O_CREAT)))
		return false;
	return strncmp(path, state, strlen(state)) == 0 &&
	       (e->type == CUTLOG_RENAME || strstr(path, ".log"));
}

static void cutter_entry(struct cutter *c, const struct cutlog_entry *e,
			 const uint8_t *data, uint64_t end)
{
	if (e->type == CUTLOG_START)
		memset(c->streams, 0, CUTTER_FDS * sizeof(*c->streams));
	if (e->type == CUTLOG_CLOSE)
		c->streams[e->fd].have = 0;
	if (e->type == CUTLOG_SEND)
		cutter_bytes(c, &c->streams[e->fd], data, e->len, end);
	if (end <= c->begin)
		return;
	c->entries[c->entry_count++] = end;
	if (cutter_is_name(e, data))
		c->names[c->name_count++] = end;
}

static bool cutter_all_placed(const struct cutter *c)
{
	for (int i = 0; i < CUTTER_LANES; i++) {
		const struct cut_lane *lane = &c->lanes[i];

		for (size_t n = 0; n < lane->op_count; n++)
			if (lane->ops[n].answered &&
			    lane->ops[n].place == UINT64_MAX) {
				printf("recording: no reply to operation %zu "
				       "of %zu of lane %d\n",
				       n, lane->op_count, i);
				return false;
			}
	}
	return c->reply_count > 0;
}

/* Which operations were answered by when, and where a cut can be. */
static bool cutter_index(struct cutter *c)
{
	size_t most = c->log_len / sizeof(struct cutlog_entry) + 1;
	struct cutlog_entry e;
	uint64_t end;

	c->streams = calloc(CUTTER_FDS, sizeof(*c->streams));
	c->entries = calloc(most, sizeof(uint64_t));
	c->names = calloc(most, sizeof(uint64_t));
	c->replies = calloc(cutter_op_count(c) + 1, sizeof(uint64_t));
	ASSERT(c->streams && c->entries && c->names && c->replies);
	c->entry_count = c->reply_count = c->name_count = 0;
	memset(c->next, 0, sizeof(c->next));
	for (uint64_t at = 0; at + sizeof(e) <= c->log_len; at = end) {
		memcpy(&e, c->log + at, sizeof(e));
		end = at + sizeof(e) + CUTLOG_PADDED(e.len);
		if (e.magic != CUTLOG_MAGIC || end > c->log_len) {
			printf("recording: no entry at %llu of %zu\n",
			       (unsigned long long)at, c->log_len);
			return false;
		}
		cutter_entry(c, &e, c->log + at + sizeof(e), end);
	}
	return cutter_all_placed(c);
}

static struct cutfs *cutter_fs(struct cutter *c)
{
	struct cutfs *fs = cutfs_new(c->log, c->log_len);

	/* What fails is told when it is played. */
	if (c->base && !cutfs_load(fs, c->base))
		printf("recording: %s\n", cutfs_trouble(fs));
	return fs;
}

/* The log must say all that was done to the store. */
static bool cutter_explains(struct cutter *c)
{
	CLEANUP_FREE char *store = tmpdir_path(c->server.dir, "store");
	struct cutfs *fs = cutter_fs(c);
	bool same = cutfs_play(fs, UINT64_MAX) && cutfs_same(fs, store);

	if (!same)
		printf("recording: %s\n", cutfs_trouble(fs));
	cutfs_free(fs);
	return same;
}

/* --- one cut ------------------------------------------------------------- */

static void cutter_keep(struct cutter *c, enum cutfs_style style, uint64_t seed,
			int number)
{
	const char *keep = getenv("KEEP");
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE char *copy = NULL;

	if (!keep)
		return;
	ASSERT(asprintf(&path, "%s/cut%d", keep, number) > 0);
	ASSERT(asprintf(&copy, "cp -r %s %s/log%d", c->server.dir, keep,
			number) > 0);
	if (!cutfs_write(c->fs, path, style, seed) || system(copy) != 0)
		printf("  not kept\n");
}

static bool cutter_verify(struct cutter *c, struct daemon *d)
{
	bool ok = true;

	if (!daemon_start(d)) {
		printf("  the server does not start\n");
		return false;
	}
	c->slowest_ms = MAX(c->slowest_ms, d->start_ms);
	for (int i = 0; i < CUTTER_LANES; i++)
		if (!cutlane_check(&c->lanes[i], d->port, "/t/g")) {
			printf("  lane %d after %zu answers: %s\n", i,
			       c->lanes[i].then_count, c->lanes[i].trouble);
			cutlane_tell(&c->lanes[i]);
			ok = false;
		}
	daemon_kill(d);
	return ok;
}

static bool cutter_cut(struct cutter *c, uint64_t place)
{
	enum cutfs_style style = (enum cutfs_style)cutter_lot(
	    c, 2 * CUTFS_STYLES); /* half of them by lot throughout */
	uint64_t seed = cutter_lot(c, UINT32_MAX), bytes, names;
	CLEANUP_FREE char *store = NULL;
	struct daemon d;
	bool ok = cutfs_play(c->fs, place);

	style = MIN(style, CUTFS_LOTS);
	for (int i = 0; i < CUTTER_LANES; i++)
		cutlane_advance(&c->lanes[i], place);
	cutfs_unsynced(c->fs, &bytes, &names);
	c->unsynced += bytes;
	c->unnamed += names;
	daemon_init(&d);
	d.option[0] = c->server.option[0];
	store = tmpdir_path(d.dir, "store");
	ok = ok && cutfs_write(c->fs, store, style, seed);
	if (!ok)
		printf("  %s\n", cutfs_trouble(c->fs));
	ok = ok && cutter_verify(c, &d);
	if (!ok) {
		printf("cut %d, recording seed %llu, at %llu of %zu, not "
		       "synced %llu bytes and %llu names, of that there: %s, "
		       "seed %llu\n",
		       c->cuts, (unsigned long long)c->seed,
		       (unsigned long long)place, c->log_len,
		       (unsigned long long)bytes, (unsigned long long)names,
		       cutter_styles[style], (unsigned long long)seed);
		cutter_keep(c, style, seed, c->cuts);
		c->bad++;
	}
	c->cuts++;
	daemon_free(&d);
	return ok;
}

static int cutter_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Where to cut: once when the guest has just been added; else anywhere, right
 * behind a reply, and behind one of the replies that follow when the database
 * has begun a file, where its name may not be synced yet.
 */
static uint64_t cutter_place(struct cutter *c, int i)
{
	uint64_t place;
	size_t at = 0;

	if (i == 0)
		return c->begin;
	if (i % 3 == 0)
		return c->entries[cutter_lot(c, c->entry_count)];
	if (i % 3 == 1 || c->name_count == 0)
		return c->replies[cutter_lot(c, c->reply_count)];
	place = c->names[cutter_lot(c, c->name_count)];
	while (at < c->reply_count - 1 && c->replies[at] < place)
		at++;
	at += cutter_lot(c, 8);
	return MAX(c->replies[MIN(at, c->reply_count - 1)], place);
}

static void cutter_states(struct cutter *c, int cuts, bool stop)
{
	uint64_t places[CUTTER_STATES];

	for (int i = 0; i < cuts; i++)
		places[i] = cutter_place(c, i);
	qsort(places, (size_t)cuts, sizeof(places[0]), cutter_order);
	for (int i = 0; i < cuts && !(stop && c->bad); i++)
		cutter_cut(c, places[i]);
}

/* --- all ----------------------------------------------------------------- */

static bool cutter_judge(struct cutter *c, int cuts, bool stop)
{
	if (!cutter_index(c) || !cutter_explains(c))
		return false;
	c->answered += c->reply_count;
	c->recordings++;
	c->fs = cutter_fs(c);
	cutter_states(c, cuts, stop);
	return true;
}

/* Begin a recording upon a state of the last cut. */
static bool cutter_resume(struct cutter *c)
{
	struct daemon fresh;
	CLEANUP_FREE char *log = NULL;
	CLEANUP_FREE char *store = NULL;
	char *base;
	uint64_t seed = cutter_lot(c, UINT32_MAX);
	struct stat st;
	bool ok;

	daemon_init(&fresh);
	fresh.option[0] = c->server.option[0];
	log = tmpdir_path(fresh.dir, "calls");
	store = tmpdir_path(fresh.dir, "store");
	base = tmpdir_path(fresh.dir, "base");
	ok = cutfs_write(c->fs, store, CUTFS_LOTS, seed) &&
	     cutfs_write(c->fs, base, CUTFS_LOTS, seed);
	cutter_forget(c);
	c->server = fresh;
	c->base = base;
	if (!ok || !cutter_start(c)) {
		printf("recording: no server on the state of the last cut\n");
		return false;
	}
	for (int i = 0; ok && i < CUTTER_LANES; i++) {
		struct cut_lane *lane = &c->lanes[i];

		ok = cutlane_check(lane, c->server.port, "/t/g");
		if (!ok)
			printf("  lane %d after %zu answers: %s\n"
			       "cut %d, recording seed %llu, the last, seed "
			       "%llu\n",
			       i, lane->then_count, lane->trouble, c->cuts,
			       (unsigned long long)c->seed,
			       (unsigned long long)seed);
	}
	ok = ok && stat(log, &st) == 0;
	c->begin = ok ? (uint64_t)st.st_size : 0;
	for (int i = 0; ok && i < CUTTER_LANES; i++)
		ok = cutlane_resume(&c->lanes[i], c->server.port);
	return ok;
}

static bool cutter_round(struct cutter *c, int cuts, bool stop)
{
	size_t ops =
	    MAX(MIN((size_t)cuts * CUTTER_OPS_PER_CUT, (size_t)CUTTER_OPS),
		(size_t)CUTTER_OPS_MIN);
	int later = cuts / 3;
	bool ok;

	daemon_init(&c->server);
	c->server.option[0] =
	    "store.memory=64M"; /* small tables, often written */
	ok = cutter_prepare(c) && cutter_record(c, ops, CUTTER_LIVES) &&
	     cutter_judge(c, cuts - later, stop);
	if (ok && c->bad == 0 && later > 0)
		ok = cutter_resume(c) && cutter_record(c, ops / 2, 1) &&
		     cutter_judge(c, later, stop);
	cutter_forget(c);
	for (int i = 0; i < CUTTER_LANES; i++) {
		if (!ok && *c->lanes[i].trouble)
			printf("lane %d: %s\n", i, c->lanes[i].trouble);
		cutlane_close(&c->lanes[i]);
		memset(&c->lanes[i], 0, sizeof(c->lanes[i]));
	}
	return ok;
}

static void cutter_report(const struct cutter *c, uint64_t seed)
{
	uint64_t n = c->cuts ? (uint64_t)c->cuts : 1;

	printf("promise P-02 n=%d violations=%d bound=%.4f  %d recordings, "
	       "%llu operations acknowledged, not synced at a cut %llu KiB "
	       "and %llu names, slowest start %llu ms, seed %llu\n",
	       c->cuts, c->bad, 3.0 / (double)n, c->recordings,
	       (unsigned long long)c->answered,
	       (unsigned long long)(c->unsynced / n / 1024),
	       (unsigned long long)(c->unnamed / n),
	       (unsigned long long)c->slowest_ms, (unsigned long long)seed);
	printf("cutter: %d passed, %d failed\n", c->cuts - c->bad, c->bad);
}

int main(int argc, char **argv)
{
	const char *seed_text = getenv("SEED");
	uint64_t seed =
	    seed_text ? strtoull(seed_text, NULL, 10) : (uint64_t)time(NULL);
	struct cutter *c = calloc(1, sizeof(*c));
	bool stop = argc > 3, ok = true;
	int cuts;

	if (argc < 3 || !c) {
		fprintf(stderr, "usage: cutter CUTS RECORDER [stop]\n");
		return 2;
	}
	cuts = atoi(argv[1]);
	c->recorder = argv[2];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (ok && c->cuts < cuts && !(stop && c->bad)) {
		c->seed = seed + (uint64_t)c->recordings;
		c->rng = c->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
		ok = cutter_round(c, MIN(cuts - c->cuts, (int)CUTTER_STATES),
				  stop);
	}
	if (!ok) {
		printf("the recording failed, seed %llu\n",
		       (unsigned long long)c->seed);
		c->cuts++;
		c->bad++;
	}
	cutter_report(c, seed);
	ok = c->bad == 0;
	free(c);
	return ok ? 0 : 1;
}
