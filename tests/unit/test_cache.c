/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cache: one flight per name, pins that hold, a budget that is kept, and
 * who goes first.
 */
#include <pthread.h>
#include <stdio.h>

#include "depot/cache.h"
#include "depot/shard.h"
#include "depot/usage.h"
#include "tests/lib/check.h"

enum { TEST_CHUNK = 4096 };

static struct digest test_name(unsigned int number)
{
	return digest_of(&number, sizeof(number));
}

static struct usage *test_counters;

static struct cache *test_cache_by(size_t bytes_max, enum usage_rule rule)
{
	struct cache *cache;

	ASSERT(usage_new(USAGE_COUNTERS_MIN, rule, &test_counters) == 0);
	ASSERT(cache_new(bytes_max, test_counters, &cache) == 0);
	return cache;
}

static struct cache *test_cache(size_t bytes_max)
{
	return test_cache_by(bytes_max, USAGE_FREQUENCY);
}

static void test_cache_free(struct cache *cache)
{
	cache_free(cache);
	usage_free(test_counters);
}

static void *test_data(unsigned int number, size_t len)
{
	unsigned int *data = cache_buffer(len);

	ASSERT(data);
	memset(data, 0, len);
	*data = number;
	return data;
}

/* Ask, and load when it is not there; true: it was hot. */
static bool test_use(struct cache *cache, unsigned int number, size_t len,
		     struct depot_piece *piece)
{
	struct digest name = test_name(number);
	struct chunk *load;
	int answer = cache_ask(cache, &name, piece, &load);

	ASSERT(answer == CACHE_HOT || answer == CACHE_OFFERED ||
	       answer == CACHE_LOAD);
	if (answer == CACHE_LOAD)
		ASSERT(cache_land(cache, load, test_data(number, len), len) ==
		       piece);
	ASSERT(*(const unsigned int *)chunk_data(piece->chunk) == number);
	ASSERT(chunk_len(piece->chunk) == len);
	return answer != CACHE_LOAD;
}

static bool test_touch_by(struct cache *cache, unsigned int number,
			  uint32_t who)
{
	struct depot_read read = {.who = who};
	struct depot_piece piece = {.read = &read};
	bool hot = test_use(cache, number, TEST_CHUNK, &piece);

	cache_release(cache, piece.chunk);
	return hot;
}

static bool test_touch(struct cache *cache, unsigned int number)
{
	return test_touch_by(cache, number, 0);
}

static void test_hot_and_cold(void)
{
	struct cache *cache = test_cache(1 << 20);
	struct cache_stats stats;

	CU_ASSERT_FALSE(test_touch(cache, 1));
	CU_ASSERT(test_touch(cache, 1));
	CU_ASSERT_FALSE(test_touch(cache, 2));
	cache_get_stats(cache, &stats);
	CU_ASSERT_EQUAL(stats.chunks, 2);
	CU_ASSERT(stats.bytes >= 2 * TEST_CHUNK);
	CU_ASSERT(stats.bytes < 3 * TEST_CHUNK);
	test_cache_free(cache);
}

static void test_waiters(void)
{
	struct cache *cache = test_cache(1 << 20);
	struct digest name = test_name(1);
	struct depot_piece piece[3] = {{0}}, *told;
	struct chunk *load, *none = NULL;
	unsigned int count = 0;

	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece[0], &load), CACHE_LOAD);
	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece[1], &none),
			CACHE_WAITING);
	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece[2], &none),
			CACHE_WAITING);
	CU_ASSERT(cache_leave(cache, &name, &piece[1]));
	CU_ASSERT_FALSE(cache_leave(cache, &name, &piece[1]));
	CU_ASSERT(cache_wanted(cache, load));
	told = cache_land(cache, load, test_data(1, 100), 100);
	for (; told; told = told->next_waiter) {
		CU_ASSERT_PTR_EQUAL(told->chunk, load);
		count++;
	}
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_PTR_NULL(piece[1].chunk);
	CU_ASSERT_FALSE(cache_leave(cache, &name, &piece[0]));
	cache_release(cache, load);
	cache_release(cache, load);
	test_cache_free(cache);
}

static void test_fail_and_again(void)
{
	struct cache *cache = test_cache(1 << 20);
	struct digest name = test_name(1);
	struct depot_piece piece = {0};
	struct chunk *load;

	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece, &load), CACHE_LOAD);
	CU_ASSERT(cache_leave(cache, &name, &piece));
	CU_ASSERT_FALSE(cache_wanted(cache, load));
	CU_ASSERT_PTR_NULL(cache_fail(cache, load));
	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece, &load), CACHE_LOAD);
	CU_ASSERT_PTR_EQUAL(cache_fail(cache, load), &piece);
	CU_ASSERT_PTR_NULL(piece.chunk);
	/* Nobody waits any more: it is kept all the same. */
	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece, &load), CACHE_LOAD);
	CU_ASSERT(cache_leave(cache, &name, &piece));
	CU_ASSERT_PTR_NULL(
	    cache_land(cache, load, test_data(1, TEST_CHUNK), TEST_CHUNK));
	CU_ASSERT(test_touch(cache, 1));
	test_cache_free(cache);
}

static void test_budget(void)
{
	struct cache *cache = test_cache(100 * TEST_CHUNK);
	struct cache_stats stats;

	for (unsigned int i = 0; i < 5000; i++) {
		test_touch(cache, i);
		cache_get_stats(cache, &stats);
		CU_ASSERT_FATAL(stats.bytes <= stats.bytes_max);
	}
	CU_ASSERT(stats.chunks > 80);
	CU_ASSERT(stats.evictions > 4000);
	test_cache_free(cache);
}

/* More pinned than the budget has: everything goes on, then it shrinks. */
static void test_all_pinned(void)
{
	enum { COUNT = 200 };
	struct cache *cache = test_cache(10 * TEST_CHUNK);
	struct depot_piece piece[COUNT] = {{0}};
	struct cache_stats stats;

	for (unsigned int i = 0; i < COUNT; i++)
		CU_ASSERT_FALSE(test_use(cache, i, TEST_CHUNK, &piece[i]));
	cache_get_stats(cache, &stats);
	CU_ASSERT_EQUAL(stats.chunks, COUNT);
	for (unsigned int i = 0; i < COUNT; i++) {
		CU_ASSERT_EQUAL(
		    *(const unsigned int *)chunk_data(piece[i].chunk), i);
		cache_release(cache, piece[i].chunk);
	}
	cache_get_stats(cache, &stats);
	CU_ASSERT(stats.bytes <= stats.bytes_max);
	test_cache_free(cache);
}

/* A scan over much more than the budget does not drive out what is used. */
static void test_frequency(void)
{
	enum { HOT = 50, SCAN = 5000 };
	struct cache *cache = test_cache(2 * HOT * TEST_CHUNK);
	unsigned int hits = 0, asked = 0;

	for (unsigned int round = 0; round < 20; round++)
		for (unsigned int i = 0; i < HOT; i++)
			test_touch(cache, i);
	for (unsigned int i = 0; i < SCAN; i++) {
		test_touch(cache, 1000 + i);
		if (i % 4 == 0) {
			hits += test_touch(cache, i / 4 % HOT);
			asked++;
		}
	}
	CU_ASSERT(hits * 10 > asked * 9);
	test_cache_free(cache);
}

/* What was used much long ago gives way to what is used now. */
static void test_ageing(void)
{
	enum { SET = 60 };
	struct cache *cache = test_cache(70 * TEST_CHUNK);
	unsigned int hits = 0;

	for (unsigned int round = 0; round < 300; round++)
		for (unsigned int i = 0; i < SET; i++)
			test_touch(cache, i);
	/* Halving goes by use of each way: some thousand of them. */
	for (unsigned int round = 0; round < 6000; round++)
		for (unsigned int i = 0; i < SET; i++)
			test_touch(cache, 1000 + i);
	for (unsigned int i = 0; i < SET; i++)
		hits += test_touch(cache, 1000 + i);
	CU_ASSERT(hits > SET * 9 / 10);
	test_cache_free(cache);
}

/* The same scan with the other rule: what is used goes, as it must. */
static void test_recency(void)
{
	enum { HOT = 50, SCAN = 5000 };
	struct cache *cache = test_cache_by(2 * HOT * TEST_CHUNK, USAGE_LRU);
	unsigned int hits = 0, asked = 0;

	for (unsigned int round = 0; round < 20; round++)
		for (unsigned int i = 0; i < HOT; i++)
			test_touch(cache, i);
	for (unsigned int i = 0; i < SCAN; i++) {
		test_touch(cache, 1000 + i);
		if (i % 4 == 0) {
			hits += test_touch(cache, i / 4 % HOT);
			asked++;
		}
	}
	CU_ASSERT(hits * 10 < asked * 4);
	/* What was used last is here, what was used long ago is not. */
	CU_ASSERT(test_touch(cache, 1000 + SCAN - 1));
	CU_ASSERT_FALSE(test_touch(cache, 1000));
	test_cache_free(cache);
}

/*
 * Tenant 1 has a working set that fits its share; tenant 2 reads a large
 * package again and again, each chunk more often than tenant 1 its own.
 * Returns the hit ratio of tenant 1 in percent.
 */
static unsigned int test_shared(bool scan)
{
	enum { OWN = 40, SCAN = 1000, ROUNDS = 200 };
	struct cache *cache = test_cache(100 * TEST_CHUNK);
	unsigned int hits = 0, next = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < OWN; i++)
			hits += test_touch_by(cache, i, 1);
		for (unsigned int i = 0; scan && i < 8 * OWN; i++, next++)
			for (int times = 0; times < 3; times++)
				test_touch_by(cache, 5000 + next % SCAN, 2);
	}
	test_cache_free(cache);
	return hits * 100 / (OWN * ROUNDS);
}

static void test_shares(void)
{
	unsigned int alone = test_shared(false), with = test_shared(true);

	printf("  hits of a tenant alone %u %%, beside a scan %u %%\n", alone,
	       with);
	CU_ASSERT(alone >= 99);
	CU_ASSERT(with * 10 >= alone * 9);
}

/* Whoever is alone may have all; what is not used protects nobody. */
static void test_share_is_no_wall(void)
{
	struct cache *cache = test_cache(100 * TEST_CHUNK);
	struct cache_stats stats;
	unsigned int hits = 0;

	for (unsigned int i = 0; i < 90; i++)
		test_touch_by(cache, i, 1);
	for (unsigned int i = 0; i < 90; i++)
		hits += test_touch_by(cache, i, 1);
	CU_ASSERT(hits > 85);
	/* Tenant 1 has gone: its counters sink, tenant 2 gets the room. */
	hits = 0;
	for (unsigned int round = 0; round < 400; round++)
		for (unsigned int i = 0; i < 80; i++)
			hits +=
			    test_touch_by(cache, 1000 + i, 2) && round == 399;
	CU_ASSERT(hits > 76);
	cache_get_stats(cache, &stats);
	CU_ASSERT(stats.owners <= 2);
	test_cache_free(cache);
}

/* --- offers -------------------------------------------------------------- */

/* true: it was taken. */
static bool test_offer(struct cache *cache, unsigned int number, bool displaces)
{
	struct digest name = test_name(number);
	void *data = test_data(number, TEST_CHUNK);

	if (cache_offer(cache, &name, data, TEST_CHUNK, displaces))
		return true;
	free(data);
	return false;
}

static uint64_t test_offered_bytes(struct cache *cache)
{
	struct cache_stats stats;

	cache_get_stats(cache, &stats);
	CU_ASSERT(stats.bytes <= stats.bytes_max);
	return stats.offered;
}

/* What is offered is read as if it had been loaded, and by whom counts then. */
static void test_offer_is_read(void)
{
	struct cache *cache = test_cache(1 << 20);
	struct depot_read read = {.who = 7};
	struct depot_piece piece = {.read = &read};
	struct digest name = test_name(1);
	struct chunk *load = NULL;
	struct cache_stats stats;

	CU_ASSERT(test_offer(cache, 1, true));
	CU_ASSERT(test_offered_bytes(cache) >= TEST_CHUNK);
	cache_get_stats(cache, &stats);
	CU_ASSERT_EQUAL(stats.owners, 0);
	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece, &load), CACHE_OFFERED);
	CU_ASSERT_PTR_NULL(load);
	CU_ASSERT_EQUAL(*(const unsigned int *)chunk_data(piece.chunk), 1);
	cache_release(cache, piece.chunk);
	CU_ASSERT_EQUAL(test_offered_bytes(cache), 0);
	cache_get_stats(cache, &stats);
	CU_ASSERT_EQUAL(stats.owners, 1);
	/* Of the first read only. */
	CU_ASSERT(test_touch(cache, 1));
	test_cache_free(cache);
}

/* What is here, or under way, is offered in vain. */
static void test_offer_late(void)
{
	struct cache *cache = test_cache(1 << 20);
	struct digest name = test_name(1);
	struct depot_piece piece = {0};
	struct chunk *load;

	CU_ASSERT_EQUAL(cache_ask(cache, &name, &piece, &load), CACHE_LOAD);
	CU_ASSERT_FALSE(test_offer(cache, 1, true));
	CU_ASSERT_PTR_EQUAL(
	    cache_land(cache, load, test_data(1, TEST_CHUNK), TEST_CHUNK),
	    &piece);
	CU_ASSERT_FALSE(test_offer(cache, 1, true));
	cache_release(cache, piece.chunk);
	CU_ASSERT(test_offer(cache, 2, true));
	CU_ASSERT_FALSE(test_offer(cache, 2, true));
	CU_ASSERT_EQUAL(test_offered_bytes(cache) / TEST_CHUNK, 1);
	test_cache_free(cache);
}

/* A full cache of chunks in use: offers have the part that is kept for them,
 * push each other out there, and push out nothing else. */
static void test_offer_displaces_none(void)
{
	enum { ROOM = 2000, HOT = 1600, OFFERS = 4000 };
	struct cache *cache = test_cache((size_t)ROOM * TEST_CHUNK);
	unsigned int hot = 0, taken = 0, read = 0;
	uint64_t most = 0;

	for (int times = 0; times < 3; times++)
		for (unsigned int i = 0; i < HOT; i++)
			test_touch(cache, i);
	for (unsigned int i = 0; i < OFFERS; i++) {
		taken += test_offer(cache, 10000 + i, true);
		most = MAX(most, test_offered_bytes(cache));
	}
	CU_ASSERT(taken > OFFERS * 9 / 10);
	CU_ASSERT(most <= (uint64_t)(ROOM - HOT) * TEST_CHUNK);
	for (unsigned int i = 0; i < HOT; i++)
		hot += test_touch(cache, i);
	CU_ASSERT_EQUAL(hot, HOT);
	/* Those that are left are the newest, about. */
	for (unsigned int i = OFFERS - 100; i < OFFERS; i++)
		read += test_touch(cache, 10000 + i);
	CU_ASSERT(read > 70);
	/* A fill takes the place of nobody. */
	while (test_offer(cache, taken++, false))
		;
	taken = 0;
	for (unsigned int i = 0; i < 100; i++)
		taken += test_offer(cache, 30000 + i, false);
	CU_ASSERT_EQUAL(taken, 0);
	test_cache_free(cache);
}

/* The part kept for offers is there for a reader of more than fits, and is
 * given back after the last. */
static void test_offer_reserve(void)
{
	enum { ROOM = 2000 };
	struct cache *cache = test_cache((size_t)ROOM * TEST_CHUNK);
	unsigned int opened = 0;
	struct cache_stats stats;

	for (unsigned int i = 0; i < 3 * ROOM; i++) {
		test_offer(cache, i, true);
		/* Read at a distance, so that some are here unread. */
		opened += i >= 50 && test_touch(cache, i - 50);
	}
	CU_ASSERT(opened > 3 * ROOM * 8 / 10);
	for (unsigned int i = 0; i < 2 * ROOM; i++)
		test_touch(cache, 100000 + i);
	cache_get_stats(cache, &stats);
	CU_ASSERT(stats.bytes > stats.bytes_max - stats.bytes_max / 100);
	CU_ASSERT(stats.bytes <= stats.bytes_max);
	test_cache_free(cache);
}

/* All is pinned: an offer finds no room, and no pin is lost. */
static void test_offer_all_pinned(void)
{
	enum { ROOM = 100 };
	struct cache *cache = test_cache((size_t)ROOM * TEST_CHUNK);
	struct depot_piece piece[ROOM + 20] = {{0}};

	/* Its reader holds what was offered, too. */
	CU_ASSERT(test_offer(cache, 0, true));
	for (unsigned int i = 0; i < ARRAY_LEN(piece); i++) {
		struct digest name = test_name(i);
		struct chunk *load;

		if (cache_ask(cache, &name, &piece[i], &load) == CACHE_LOAD)
			(void)cache_land(cache, load, test_data(i, TEST_CHUNK),
					 TEST_CHUNK);
	}
	CU_ASSERT_FALSE(test_offer(cache, 1000, true));
	for (unsigned int i = 0; i < ARRAY_LEN(piece); i++) {
		CU_ASSERT_EQUAL(
		    *(const unsigned int *)chunk_data(piece[i].chunk), i);
		cache_release(cache, piece[i].chunk);
	}
	CU_ASSERT_EQUAL(test_offered_bytes(cache), 0);
	test_cache_free(cache);
}

static void test_sizes(void)
{
	static const size_t lens[] = {1, 4095, 4096, 4097, SHARD_CHUNK_MAX};
	struct cache *cache = test_cache(1 << 20);

	for (unsigned int i = 0; i < ARRAY_LEN(lens); i++) {
		struct depot_piece piece = {0};
		size_t len = MAX(lens[i], sizeof(unsigned int));

		CU_ASSERT_FALSE(test_use(cache, i, len, &piece));
		cache_release(cache, piece.chunk);
	}
	test_cache_free(cache);
}

struct test_crowd {
	struct cache *cache;
	unsigned int first; /* of the names that are this thread's */
	unsigned int loads;
};

static void *test_crowd_main(void *arg)
{
	struct test_crowd *crowd = arg;
	unsigned int x = crowd->first;

	for (int i = 0; i < 20000; i++) {
		x = x * 1664525u + 1013904223u;
		if (i % 3 == 0)
			test_offer(crowd->cache, crowd->first + (x >> 25),
				   i % 2 == 0);
		crowd->loads +=
		    !test_touch(crowd->cache, crowd->first + (x >> 26));
	}
	return NULL;
}

/* Ways and budget are shared; that several wait for one flight is test_depot's
 * matter. */
static void test_crowded(void)
{
	enum { THREADS = 4 };
	struct cache *cache = test_cache(64 * TEST_CHUNK);
	struct test_crowd crowd[THREADS];
	pthread_t threads[THREADS];
	struct cache_stats stats;

	for (unsigned int i = 0; i < THREADS; i++) {
		crowd[i] = (struct test_crowd){cache, i * 1000, 0};
		ASSERT(pthread_create(&threads[i], NULL, test_crowd_main,
				      &crowd[i]) == 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < THREADS; i++)
		CU_ASSERT(crowd[i].loads > 0);
	cache_get_stats(cache, &stats);
	CU_ASSERT(stats.bytes <= stats.bytes_max);
	test_cache_free(cache);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"hot and cold", test_hot_and_cold},
	    {"waiters are told, all of them", test_waiters},
	    {"a failed flight can be flown again", test_fail_and_again},
	    {"the budget is kept", test_budget},
	    {"all pinned: goes on, then shrinks", test_all_pinned},
	    {"a scan does not drive out what is used", test_frequency},
	    {"old use is forgotten", test_ageing},
	    {"by recency a scan does", test_recency},
	    {"a scan of one tenant leaves the other its share", test_shares},
	    {"a share is no wall", test_share_is_no_wall},
	    {"what is offered is read", test_offer_is_read},
	    {"an offer that comes late", test_offer_late},
	    {"offers displace nothing in use", test_offer_displaces_none},
	    {"a part is kept for offers", test_offer_reserve},
	    {"offers beside pins", test_offer_all_pinned},
	    {"sizes", test_sizes},
	    {"many threads", test_crowded},
	};

	return check_main("test_cache", tests, ARRAY_LEN(tests));
}
