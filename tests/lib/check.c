/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: see check.h.  CUnit's "basic" runner prints a screenful also for a
 * success; without it CUnit runs silently, and lists failures when asked.
 */
#include "tests/lib/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

static int check_stderr_saved = -1;

#define CHECK_MISSING "missing: "

static bool check_wanted(const char *name)
{
	const char *only = getenv("CHECK_ONLY");
	size_t len = sizeof(CHECK_MISSING) - 1;
	bool missing = strncmp(name, CHECK_MISSING, len) == 0;

	if (!only || !*only)
		return !missing;
	return strcmp(missing ? name + len : name, only) == 0;
}

/* How many tests will run; 0: none, or CUnit refuses. */
static size_t check_register(const char *name, const struct check_test *tests,
			     size_t count)
{
	size_t wanted = 0;
	CU_pSuite suite;

	suite = CU_add_suite(name, NULL, NULL);
	if (!suite)
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (!check_wanted(tests[i].name))
			continue;
		if (!CU_add_test(suite, tests[i].name, tests[i].fn))
			return 0;
		wanted++;
	}
	return wanted;
}

int check_main(const char *name, const struct check_test *tests, size_t count)
{
	unsigned int run, failed;

	if (CU_initialize_registry() != CUE_SUCCESS ||
	    (count = check_register(name, tests, count)) == 0) {
		fprintf(stderr, "%s: no test: %s\n", name, CU_get_error_msg());
		return 1;
	}
	CU_run_all_tests();
	run = CU_get_number_of_tests_run();
	failed = CU_get_number_of_tests_failed();
	if (CU_get_number_of_failures() > 0) {
		CU_basic_show_failures(CU_get_failure_list());
		printf("\n");
	}
	CU_cleanup_registry();

	/* A test that was not run is not a success. */
	failed += (unsigned int)count - run;
	printf("%s: %u passed, %u failed\n", name, (unsigned int)count - failed,
	       failed);
	return failed ? 1 : 0;
}

void check_mute(void)
{
	int null;

	ASSERT(check_stderr_saved < 0);
	fflush(stderr);
	check_stderr_saved = dup(STDERR_FILENO);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ASSERT(check_stderr_saved >= 0 && null >= 0);
	dup2(null, STDERR_FILENO);
	close(null);
}

void check_unmute(void)
{
	ASSERT(check_stderr_saved >= 0);
	fflush(stderr);
	dup2(check_stderr_saved, STDERR_FILENO);
	close(check_stderr_saved);
	check_stderr_saved = -1;
}

void check_fill(void *buf, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2 + 1; /* xorshift must not start at 0 */
	uint8_t *p = buf;
	uint8_t word[8];

	for (size_t i = 0; i < len; i += sizeof(word)) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		le64_put(word, x * 0x2545f4914f6cdd1dull);
		memcpy(p + i, word, MIN(sizeof(word), len - i));
	}
}

uint64_t check_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
