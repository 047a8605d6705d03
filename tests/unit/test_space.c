/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_space: the guard, the reserve, and who is called when there is room.
 * statvfs() is this test's own: it says what is free.
 */
#include "depot/space.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { BLOCK = 4096, MIB = 1 << 20 };

static _Atomic uint64_t test_free, test_size, test_inodes_free;
static atomic_uint test_looks;

int statvfs(const char *path, struct statvfs *st)
{
	(void)path;
	memset(st, 0, sizeof(*st));
	st->f_frsize = st->f_bsize = BLOCK;
	st->f_blocks = test_size / BLOCK;
	st->f_bavail = test_free / BLOCK;
	st->f_files = 100000;
	st->f_favail = test_inodes_free;
	atomic_fetch_add(&test_looks, 1);
	return 0;
}

static void test_sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static struct space *test_space_new(const char *dir, uint64_t size,
				    uint64_t free_bytes)
{
	struct space *space = NULL;

	test_size = size;
	test_free = free_bytes;
	test_inodes_free = 50000;
	CU_ASSERT_EQUAL_FATAL(space_open(dir, &space), 0);
	return space;
}

static uint64_t test_reserve_bytes(const char *dir)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, "reserve");
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void test_space_sizes(void)
{
	static const struct {
		uint64_t size, reserve, floor;
	} cases[] = {
	    {UINT64_C(1) << 40, 64 * MIB, 32 * MIB},
	    {64 * MIB, 4 * MIB, 64 * MIB / 50},
	    {MIB, MIB / 16, MIB / 50},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
		struct space *space =
		    test_space_new(dir, cases[i].size, cases[i].size);
		struct space_stats stats;

		space_get_stats(space, &stats);
		CU_ASSERT_TRUE(stats.whole);
		CU_ASSERT_EQUAL(stats.reserve, cases[i].reserve);
		CU_ASSERT_EQUAL(space_floor(space), cases[i].floor);
		CU_ASSERT_TRUE(test_reserve_bytes(dir) >= cases[i].reserve);
		space_close(space);
		/* It stays, and is taken over. */
		space = test_space_new(dir, cases[i].size, 0);
		space_get_stats(space, &stats);
		CU_ASSERT_TRUE(stats.whole);
		CU_ASSERT_EQUAL(stats.made, 0);
		space_close(space);
	}
	space_close(NULL);
	CU_ASSERT_EQUAL(space_check(NULL, 1), 0);
	CU_ASSERT_FALSE(space_give_up(NULL));
}

static void test_space_guard(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct space *space = test_space_new(dir, 100 * MIB, 52 * MIB);
	unsigned int granted = 0, looks;

	/* What it has granted counts before the kernel knows of it. */
	test_sleep_ms(110);
	looks = test_looks;
	while (granted < 100 && space_check(space, MIB) == 0)
		granted++;
	CU_ASSERT_EQUAL(granted, 50);
	CU_ASSERT_TRUE(test_looks - looks <= 2);
	/* Refused while it stays so, with few looks. */
	test_free = 2 * MIB - BLOCK;
	test_sleep_ms(20);
	looks = test_looks;
	for (int i = 0; i < 100000; i++)
		if (space_check(space, 1) == 0)
			CU_FAIL_FATAL("granted on a full disk");
	CU_ASSERT_TRUE(test_looks - looks < 100);
	test_free = 3 * MIB;
	test_sleep_ms(20);
	CU_ASSERT_EQUAL(space_check(space, 1000), 0);
	/* Inodes. */
	test_inodes_free = 10;
	test_sleep_ms(150);
	CU_ASSERT_EQUAL(space_check(space, 0), -ENOSPC);
	test_inodes_free = 50000;
	test_sleep_ms(20);
	CU_ASSERT_EQUAL(space_check(space, 0), 0);
	space_close(space);
}

static atomic_int test_calls;

/* Not at the first two calls. */
static int test_room(void *ctx)
{
	(void)ctx;
	return atomic_fetch_add(&test_calls, 1) < 2 ? -ENOSPC : 0;
}

static void test_space_give_up(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct space *space = test_space_new(dir, 100 * MIB, 50 * MIB);
	struct space_stats stats;

	test_calls = 0;
	space_on_room(space, test_room, NULL);
	check_mute();
	test_free = 0;
	CU_ASSERT_TRUE(space_give_up(space));
	CU_ASSERT_FALSE(space_give_up(space));
	CU_ASSERT_EQUAL(test_reserve_bytes(dir), 0);
	/* Its bytes are not for growth, nor enough to make it again. */
	test_free = 12 * MIB;
	test_sleep_ms(500);
	CU_ASSERT_EQUAL(space_check(space, 0), -ENOSPC);
	CU_ASSERT_EQUAL(test_reserve_bytes(dir), 0);
	CU_ASSERT_EQUAL(test_calls, 0);
	test_free = 50 * MIB;
	for (int i = 0; i < 100 && test_calls < 3; i++)
		test_sleep_ms(50);
	check_unmute();
	test_sleep_ms(300);
	CU_ASSERT_EQUAL(test_calls, 3);
	CU_ASSERT_EQUAL(space_check(space, 0), 0);
	space_get_stats(space, &stats);
	CU_ASSERT_TRUE(stats.whole);
	CU_ASSERT_EQUAL(stats.given_up, 1);
	CU_ASSERT_EQUAL(stats.made, 2);
	CU_ASSERT_TRUE(test_reserve_bytes(dir) >= stats.reserve);
	space_stop(space);
	space_close(space);
}

/* Opened on a full disk: nothing may grow until the reserve is there. */
static void test_space_full_at_open(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct space *space;

	check_mute();
	space = test_space_new(dir, 100 * MIB, 10 * MIB);
	CU_ASSERT_EQUAL(space_check(space, 0), -ENOSPC);
	test_free = 50 * MIB;
	for (int i = 0; i < 100 && space_check(space, 0) < 0; i++)
		test_sleep_ms(50);
	check_unmute();
	CU_ASSERT_EQUAL(space_check(space, 0), 0);
	CU_ASSERT_TRUE(test_reserve_bytes(dir) > 0);
	space_close(space);
}

static const struct check_test tests[] = {
    {"sizes", test_space_sizes},
    {"guard", test_space_guard},
    {"give up", test_space_give_up},
    {"full at open", test_space_full_at_open},
};

int main(void)
{
	return check_main("test_space", tests, ARRAY_LEN(tests));
}
