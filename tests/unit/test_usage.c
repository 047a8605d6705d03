/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_usage: counting, halving, growing, both rules, and what a file keeps.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/usage.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

static struct digest test_name(unsigned int number)
{
	return digest_of(&number, sizeof(number));
}

static struct usage *test_usage(enum usage_rule rule)
{
	struct usage *usage;

	ASSERT(usage_new(USAGE_COUNTERS_MAX, rule, &usage) == 0);
	return usage;
}

static void test_touch(struct usage *usage, unsigned int number,
		       unsigned int times, uint32_t who)
{
	struct digest name = test_name(number);

	while (times-- > 0)
		usage_touch(usage, &name, who);
}

static unsigned int test_get(struct usage *usage, unsigned int number)
{
	struct digest name = test_name(number);

	return usage_get(usage, &name);
}

static unsigned int test_owner(struct usage *usage, unsigned int number)
{
	struct digest name = test_name(number);

	return usage_owner(usage, &name);
}

static void test_counts(void)
{
	struct usage *usage = test_usage(USAGE_FREQUENCY);

	usage_set_residents(usage, USAGE_DISK, 1000000);
	CU_ASSERT_EQUAL(test_get(usage, 1), 0);
	test_touch(usage, 1, 7, 3);
	test_touch(usage, 1, 1, 4);
	test_touch(usage, 2, 1000, 0);
	CU_ASSERT_EQUAL(test_get(usage, 1), 8);
	CU_ASSERT_EQUAL(test_owner(usage, 1), usage_owner_of(3));
	CU_ASSERT_EQUAL(test_get(usage, 2), 255);
	CU_ASSERT_EQUAL(test_owner(usage, 2), 0);
	CU_ASSERT_EQUAL(usage_owner_of(0), 0);
	for (uint32_t who = 1; who < 1000; who++)
		CU_ASSERT(usage_owner_of(who) > 0 &&
			  usage_owner_of(who) < USAGE_OWNERS);
	usage_free(usage);
}

/* 6400 residents: 100 a segment, 1000 reads of it halve its counters. */
static void test_halving(void)
{
	struct usage *usage = test_usage(USAGE_FREQUENCY);

	usage_set_residents(usage, USAGE_MEMORY, 640);
	usage_set_residents(usage, USAGE_DISK, 6400);
	test_touch(usage, 1, 999, 1);
	CU_ASSERT_EQUAL(test_get(usage, 1), 255);
	test_touch(usage, 1, 1, 1);
	CU_ASSERT_EQUAL(test_get(usage, 1), 127);
	/* Eight times 1000 more of another one of its segment, or none. */
	for (unsigned int i = 2, found = 0; found < 8; i++) {
		struct digest a = test_name(1), b = test_name(i);

		if (a.bytes[0] % USAGE_SEGMENTS != b.bytes[0] % USAGE_SEGMENTS)
			continue;
		found++;
		test_touch(usage, i, 1000, 2);
	}
	CU_ASSERT_EQUAL(test_get(usage, 1), 0);
	test_touch(usage, 1, 1, 9);
	CU_ASSERT_EQUAL(test_owner(usage, 1), usage_owner_of(9));
	usage_free(usage);
}

static void test_grows(void)
{
	struct usage *usage = test_usage(USAGE_FREQUENCY);

	usage_set_residents(usage, USAGE_DISK, 1000000);
	CU_ASSERT_EQUAL(usage_counters(usage), USAGE_COUNTERS_MIN);
	for (unsigned int i = 0; i < 1000; i++)
		test_touch(usage, i, 1 + i % 5, i);
	usage_grow(usage, 1000000);
	CU_ASSERT(usage_counters(usage) >= 4000000);
	for (unsigned int i = 0; i < 1000; i++) {
		CU_ASSERT(test_get(usage, i) >= 1 + i % 5);
		CU_ASSERT(test_get(usage, i) <= 20);
	}
	usage_grow(usage, UINT32_MAX);
	CU_ASSERT_EQUAL(usage_counters(usage), USAGE_COUNTERS_MAX);
	usage_free(usage);
	ASSERT(usage_new(3 << 20, USAGE_FREQUENCY, &usage) == 0);
	usage_grow(usage, UINT32_MAX);
	CU_ASSERT_EQUAL(usage_counters(usage), 2 << 20);
	usage_free(usage);
}

/* Recency: the order of reading, whatever the counts, and round the clock. */
static void test_lru(void)
{
	struct usage *usage = test_usage(USAGE_LRU);
	unsigned int old, older;

	usage_set_residents(usage, USAGE_MEMORY, 100);
	test_touch(usage, 1, 200, 1);
	for (unsigned int i = 1000; i < 1500; i++)
		test_touch(usage, i, 1, 1);
	test_touch(usage, 2, 1, 1);
	CU_ASSERT(test_get(usage, 2) >= 254);
	CU_ASSERT(test_get(usage, 1) < test_get(usage, 2));
	CU_ASSERT_EQUAL(test_get(usage, 3), 0);
	/* Never seems young again, however long nobody reads it. */
	older = test_get(usage, 1);
	for (unsigned int i = 2000; i < 200000; i++) {
		test_touch(usage, i, 1, 1);
		old = test_get(usage, 1);
		CU_ASSERT_FATAL(old <= older);
		older = old;
	}
	CU_ASSERT_EQUAL(older, 0);
	usage_free(usage);
}

static void test_picks(void)
{
	struct usage_pick pick = {0};
	int a, b, c, d;

	usage_pick_offer(&pick, &a, 5, false, 10);
	CU_ASSERT_PTR_EQUAL(pick.victim, &a);
	CU_ASSERT(usage_admits(&pick, 5, false));
	CU_ASSERT_FALSE(usage_admits(&pick, 4, false));
	usage_pick_offer(&pick, &b, 6, false, 1);
	CU_ASSERT_PTR_EQUAL(pick.victim, &a);
	usage_pick_offer(&pick, &b, 5, false, 9);
	CU_ASSERT_PTR_EQUAL(pick.victim, &b);
	/* One above its share goes first, though it is read more. */
	usage_pick_offer(&pick, &c, 200, true, 50);
	CU_ASSERT_PTR_EQUAL(pick.victim, &c);
	CU_ASSERT(usage_admits(&pick, 1, false));
	CU_ASSERT_FALSE(usage_admits(&pick, 1, true));
	/* What nobody reads any more goes before that. */
	usage_pick_offer(&pick, &d, 0, false, 60);
	CU_ASSERT_PTR_EQUAL(pick.victim, &d);
	CU_ASSERT(usage_admits(&pick, 0, true));
}

static void test_saves(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct usage *usage = test_usage(USAGE_FREQUENCY), *again, *small;
	char path[1024];

	snprintf(path, sizeof(path), "%s/usage", dir);
	usage_set_residents(usage, USAGE_DISK, 1000000);
	usage_grow(usage, 1000000);
	for (unsigned int i = 0; i < 1000; i++)
		test_touch(usage, i, 1 + i % 5, 1 + i % 3);
	CU_ASSERT_EQUAL(usage_load(usage, path), -ENOENT);
	CU_ASSERT_EQUAL(usage_save(usage, path), 0);
	again = test_usage(USAGE_FREQUENCY);
	CU_ASSERT_EQUAL(usage_load(again, path), 0);
	CU_ASSERT_EQUAL(usage_counters(again), usage_counters(usage));
	/* One that may have fewer folds it. */
	ASSERT(usage_new(USAGE_COUNTERS_MIN, USAGE_FREQUENCY, &small) == 0);
	CU_ASSERT_EQUAL(usage_load(small, path), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		CU_ASSERT_EQUAL(test_get(again, i), test_get(usage, i));
		CU_ASSERT_EQUAL(test_owner(again, i), test_owner(usage, i));
		CU_ASSERT(test_get(small, i) >= 1 + i % 5);
	}
	usage_free(again);
	usage_free(small);
	again = test_usage(USAGE_LRU);
	CU_ASSERT_EQUAL(usage_load(again, path), -EBADMSG);
	usage_free(again);
	usage_free(usage);
}

static void test_flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	ASSERT(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 0x10;
	ASSERT(pwrite(fd, &byte, 1, at) == 1);
	close(fd);
}

/* Every part of it damaged, or short: refused, and nothing has changed. */
static void test_damaged(void)
{
	static const off_t flips[] = {0, 8, 12, 16, 40, 100, 1 << 20, -1};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct usage *usage = test_usage(USAGE_FREQUENCY);
	char path[1024];
	struct stat st;

	snprintf(path, sizeof(path), "%s/usage", dir);
	test_touch(usage, 1, 3, 1);
	for (unsigned int i = 0; i < ARRAY_LEN(flips); i++) {
		CU_ASSERT_EQUAL_FATAL(usage_save(usage, path), 0);
		ASSERT(stat(path, &st) == 0);
		test_flip(path, flips[i] < 0 ? st.st_size - 1 : flips[i]);
		CU_ASSERT_EQUAL(usage_load(usage, path), -EBADMSG);
	}
	for (off_t len = 0; len < st.st_size; len = 2 * len + 1) {
		CU_ASSERT_EQUAL_FATAL(usage_save(usage, path), 0);
		ASSERT(truncate(path, len) == 0);
		CU_ASSERT_EQUAL(usage_load(usage, path), -EBADMSG);
	}
	CU_ASSERT_EQUAL(test_get(usage, 1), 3);
	usage_free(usage);
}

static void *test_crowd_main(void *arg)
{
	struct usage *usage = arg;

	for (unsigned int i = 0; i < 200000; i++)
		test_touch(usage, i % 100, 1, i % 7);
	return NULL;
}

/* Readers, one who grows, one who saves: no lock, no wrong byte. */
static void test_crowded(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct usage *usage = test_usage(USAGE_FREQUENCY);
	pthread_t threads[3];
	char path[1024];

	snprintf(path, sizeof(path), "%s/usage", dir);
	for (unsigned int i = 0; i < ARRAY_LEN(threads); i++)
		ASSERT(pthread_create(&threads[i], NULL, test_crowd_main,
				      usage) == 0);
	usage_grow(usage, 1000000);
	CU_ASSERT_EQUAL(usage_save(usage, path), 0);
	usage_set_residents(usage, USAGE_DISK, 500);
	for (unsigned int i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < 100; i++)
		CU_ASSERT(test_get(usage, i) > 0);
	usage_free(usage);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"counts, and owners", test_counts},
	    {"halved by reads per resident", test_halving},
	    {"grows and keeps", test_grows},
	    {"recency", test_lru},
	    {"who goes, who may stay", test_picks},
	    {"saved and loaded", test_saves},
	    {"damaged files", test_damaged},
	    {"many threads", test_crowded},
	};

	return check_main("test_usage", tests, ARRAY_LEN(tests));
}
