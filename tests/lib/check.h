/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: runs a table of tests with CUnit and says how it went in one line.
 *
 *	static const struct check_test tests[] = {
 *		{ "round trip", test_shard_round_trip },
 *	};
 *
 *	int main(void)
 *	{
 *		return check_main("test_shard", tests, ARRAY_LEN(tests));
 *	}
 *
 * Tests use CUnit's own CU_ASSERT... macros, which this header brings along.
 */
#ifndef TESTS_LIB_CHECK_H
#define TESTS_LIB_CHECK_H

#include <CUnit/Basic.h>

#include "depot/base.h"

struct check_test {
	const char *name;
	void (*fn)(void);
};

/*
 * Run all tests; list failed assertions, then print "NAME: P passed, F failed"
 * (tests, not assertions).  Returns the exit status: 0, or 1 when any failed.
 *
 * CHECK_ONLY=TEST in the environment: run that one alone (none of that name is
 * a failure).  A test called "missing: NAME" asks for what the product does not
 * do yet: it runs only when CHECK_ONLY is NAME, and is not counted otherwise.
 */
int check_main(const char *name, const struct check_test *tests, size_t count);

/*
 * Drop what is written to stderr until check_unmute(), for tests that provoke
 * errors which the module logs.  Not nested.
 */
void check_mute(void);
void check_unmute(void);

/* Pseudo-random bytes, the same for the same seed for ever (xorshift64*). */
void check_fill(void *buf, size_t len, uint64_t seed);

uint64_t check_now_ns(void); /* monotonic */

#endif
