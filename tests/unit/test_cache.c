/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cache: one flight per name, pins that hold, a budget that is kept, and
 * who goes first.
 */
#include <pthread.h>
#include <stdio.h>

#include "depot/cache.h"
#include "depot/shard.h"
#include "tests/lib/check.h"

enum { TEST_CHUNK = 4096 };

static struct digest test_name(unsigned int number)
{
	return digest_of(&number, sizeof(number));
}

static struct cache *test_cache(size_t bytes_max)
{
	struct cache *cache;

	ASSERT(cache_new(bytes_max, &cache) == 0);
	return cache;
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

	ASSERT(answer == CACHE_HOT || answer == CACHE_LOAD);
	if (answer == CACHE_LOAD)
		ASSERT(cache_land(cache, load, test_data(number, len), len) ==
		       piece);
	ASSERT(*(const unsigned int *)chunk_data(piece->chunk) == number);
	ASSERT(chunk_len(piece->chunk) == len);
	return answer == CACHE_HOT;
}

static bool test_touch(struct cache *cache, unsigned int number)
{
	struct depot_piece piece = {0};
	bool hot = test_use(cache, number, TEST_CHUNK, &piece);

	cache_release(cache, piece.chunk);
	return hot;
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	cache_free(cache);
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
	    {"sizes", test_sizes},
	    {"many threads", test_crowded},
	};

	return check_main("test_cache", tests, ARRAY_LEN(tests));
}
