/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: how much time has passed, by the clock that nobody sets and that
 * stands still while the host sleeps (CLOCK_MONOTONIC).  What time it is, and
 * whether the host's clock can be believed, is trust.h's business.
 *
 * Values mean something only beside each other, in one process.  Cannot fail.
 */
#ifndef DEPOT_CLOCK_H
#define DEPOT_CLOCK_H

#include <time.h>

#include "depot/base.h"

static inline uint64_t clock_ms_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline uint64_t clock_ms(void)
{
	return clock_ms_of(CLOCK_MONOTONIC);
}

/* Up to a tick (some ms) late, and cheaper.  Not to be compared with
 * clock_ms(): it may be behind one that was asked for before. */
static inline uint64_t clock_coarse_ms(void)
{
	return clock_ms_of(CLOCK_MONOTONIC_COARSE);
}

static inline int64_t clock_sec(void)
{
	return (int64_t)(clock_ms() / 1000);
}

/* In so many ms, for pthread_cond_timedwait() on a condition that goes by
 * CLOCK_MONOTONIC (pthread_condattr_setclock()). */
static inline struct timespec clock_after_ms(uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

#endif
