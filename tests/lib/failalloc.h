/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failalloc: fails each allocation of a module in turn.  For a test that
 * includes the module's .c: this header first, the .c files, then
 *
 *	#undef malloc
 *	#undef calloc
 *	#undef realloc
 *
 * Included once a program; one thread.
 */
#ifndef TESTS_LIB_FAILALLOC_H
#define TESTS_LIB_FAILALLOC_H

#include "depot/base.h"

/* Fails the allocation with number test_fail_at, counted from 1; 0: none. */
static unsigned int test_fail_at, test_alloc_count;

static bool test_alloc_fails(void)
{
	return ++test_alloc_count == test_fail_at;
}

static inline void *test_malloc(size_t len)
{
	return test_alloc_fails() ? NULL : malloc(len);
}

static inline void *test_calloc(size_t count, size_t len)
{
	return test_alloc_fails() ? NULL : calloc(count, len);
}

static inline void *test_realloc(void *p, size_t len)
{
	return test_alloc_fails() ? NULL : realloc(p, len);
}

#define malloc  test_malloc
#define calloc  test_calloc
#define realloc test_realloc

#endif
