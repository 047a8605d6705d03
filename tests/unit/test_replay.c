/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_replay: traces whose answers can be told by hand, damaged ones, and that
 * what is recorded can be replayed.
 */
#include <fcntl.h>
#include <stdio.h>

#include "depot/format.h"
#include "depot/replay.h"
#include "depot/trace.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_LEN = 1000 };

struct test_trace {
	char path[1024];
	struct trace *trace;
	int fd;
};

static void test_begin(struct test_trace *t, const char *dir)
{
	snprintf(t->path, sizeof(t->path), "%s/trace", dir);
	t->fd = open(t->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	t->trace = trace_new();
	ASSERT(t->fd >= 0 && t->trace);
	CU_ASSERT_FALSE(trace_is_on(t->trace));
	ASSERT(trace_start(t->trace, t->fd) == 0);
	CU_ASSERT_EQUAL(trace_start(t->trace, t->fd), -EBUSY);
	CU_ASSERT(trace_is_on(t->trace));
}

static void test_read(struct test_trace *t, unsigned int number, uint32_t who)
{
	struct digest name = digest_of(&number, sizeof(number));

	trace_note(t->trace, &name, who, TEST_LEN);
}

static struct replay_trace *test_end(struct test_trace *t, uint64_t reads)
{
	struct replay_trace *replay = NULL;
	uint64_t records;

	CU_ASSERT_EQUAL(trace_stop(t->trace, &records), 0);
	CU_ASSERT_EQUAL(records, reads);
	trace_free(t->trace);
	close(t->fd);
	ASSERT(replay_open(t->path, &replay) == 0);
	return replay;
}

static uint64_t test_hits(const struct replay_trace *trace,
			  enum replay_policy policy, unsigned int chunks)
{
	struct replay_result result;

	ASSERT(replay_run(trace, policy, (uint64_t)chunks * TEST_LEN,
			  &result) == 0);
	CU_ASSERT_EQUAL(result.hit_bytes, result.hits * TEST_LEN);
	return result.hits;
}

/* 1 2 3 4 1 2 5 1 2 3 4 5, Belady's own: by hand, three frames. */
static void test_by_hand(void)
{
	static const unsigned int reads[] = {1, 2, 3, 4, 1, 2,
					     5, 1, 2, 3, 4, 5};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct replay_trace *replay;
	struct replay_shape shape;
	struct test_trace t;

	test_begin(&t, dir);
	for (unsigned int i = 0; i < ARRAY_LEN(reads); i++)
		test_read(&t, reads[i], 1 + i % 2);
	replay = test_end(&t, ARRAY_LEN(reads));
	replay_get_shape(replay, &shape);
	CU_ASSERT_EQUAL(shape.reads, 12);
	CU_ASSERT_EQUAL(shape.chunks, 5);
	CU_ASSERT_EQUAL(shape.chunk_bytes, 5 * TEST_LEN);
	CU_ASSERT_EQUAL(shape.tenants, 2);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_FIFO, 3), 3);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_FIFO, 4), 2); /* his anomaly */
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_LRU, 3), 2);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_LRU, 4), 4);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_BEST, 3), 5);
	for (int p = 0; p < REPLAY_POLICY_COUNT; p++) {
		CU_ASSERT_EQUAL(test_hits(replay, (enum replay_policy)p, 5), 7);
		CU_ASSERT_EQUAL(test_hits(replay, (enum replay_policy)p, 0), 0);
	}
	replay_close(replay);
}

/* A loop over 20 chunks with 10 frames: LRU and FIFO never hit; the best keeps
 * ten of twenty... nine, when it must take each newcomer; ours keeps some. */
static void test_loop(void)
{
	enum { ROUNDS = 50, LOOP = 20, FRAMES = 10 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct replay_trace *replay;
	struct test_trace t;
	uint64_t best;

	test_begin(&t, dir);
	for (unsigned int i = 0; i < ROUNDS * LOOP; i++)
		test_read(&t, i % LOOP, 0);
	replay = test_end(&t, ROUNDS * LOOP);
	best = test_hits(replay, REPLAY_BEST, FRAMES);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_LRU, FRAMES), 0);
	CU_ASSERT_EQUAL(test_hits(replay, REPLAY_FIFO, FRAMES), 0);
	CU_ASSERT_EQUAL(best, (ROUNDS - 1) * FRAMES);
	CU_ASSERT(test_hits(replay, REPLAY_OURS, FRAMES) <= best);
	replay_close(replay);
}

/* A hot set and scans that are read once: what the rule is for. */
static void test_scans(void)
{
	enum { HOT = 100, ROUNDS = 60, SCAN = 300, FRAMES = 150 };
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct replay_trace *replay;
	uint64_t ours, lru, best;
	unsigned int next = 1000;
	struct test_trace t;

	test_begin(&t, dir);
	for (unsigned int r = 0; r < ROUNDS; r++) {
		for (unsigned int i = 0; i < HOT; i++)
			test_read(&t, i, 1);
		for (unsigned int i = 0; i < SCAN; i++)
			test_read(&t, next++, 1);
	}
	replay = test_end(&t, ROUNDS * (HOT + SCAN));
	ours = test_hits(replay, REPLAY_OURS, FRAMES);
	lru = test_hits(replay, REPLAY_LRU, FRAMES);
	best = test_hits(replay, REPLAY_BEST, FRAMES);
	printf("  scans: of %d reads ours answers %ju, lru %ju, the best %ju\n",
	       ROUNDS * (HOT + SCAN), (uintmax_t)ours, (uintmax_t)lru,
	       (uintmax_t)best);
	CU_ASSERT_EQUAL(lru, 0);
	CU_ASSERT_EQUAL(best, (ROUNDS - 1) * HOT);
	CU_ASSERT(ours * 10 > best * 9);
	replay_close(replay);
}

static void test_write(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	ASSERT(file && fwrite(bytes, 1, len, file) == len);
	fclose(file);
}

static void test_damaged(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct {
		struct format_trace header;
		struct format_trace_record record;
	} file = {{FORMAT_TRACE_MAGIC, htole32(1), 0}, {1, 2, htole32(3), 4}};
	struct replay_trace *replay;
	char path[1024];

	snprintf(path, sizeof(path), "%s/t", dir);
	CU_ASSERT_EQUAL(replay_open(path, &replay), -ENOENT);
	test_write(path, &file, sizeof(file));
	CU_ASSERT_EQUAL_FATAL(replay_open(path, &replay), 0);
	replay_close(replay);
	test_write(path, &file, sizeof(file.header));
	CU_ASSERT_EQUAL_FATAL(replay_open(path, &replay), 0);
	replay_close(replay);
	for (size_t len = 0; len < sizeof(file); len++) {
		if (len == sizeof(file.header))
			continue;
		test_write(path, &file, len);
		CU_ASSERT_EQUAL(replay_open(path, &replay), -EBADMSG);
	}
	file.record.len_le = 0;
	test_write(path, &file, sizeof(file));
	CU_ASSERT_EQUAL(replay_open(path, &replay), -EBADMSG);
	file.record.len_le = htole32(1 << 30);
	test_write(path, &file, sizeof(file));
	CU_ASSERT_EQUAL(replay_open(path, &replay), -EBADMSG);
	file.header.format_le = htole32(FORMAT_TRACE + 1);
	test_write(path, &file, sizeof(file));
	CU_ASSERT_EQUAL(replay_open(path, &replay), -EPROTONOSUPPORT);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"by hand", test_by_hand},
	    {"a loop", test_loop},
	    {"scans", test_scans},
	    {"damaged traces", test_damaged},
	};

	return check_main("test_replay", tests, ARRAY_LEN(tests));
}
