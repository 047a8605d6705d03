/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: a struct of numbers, added up as an array.
 */
#include "nfsd/stats.h"

_Static_assert(sizeof(struct stats) % sizeof(uint64_t) == 0,
	       "only uint64_t counters");

void stats_count_batch(struct stats *stats, unsigned int reply_count)
{
	unsigned int step;

	ASSERT(reply_count > 0);

	step = reply_count == 1 ? 0
				: 32 - (unsigned)__builtin_clz(reply_count - 1);
	step = MIN(step, STATS_BATCH_STEPS - 1u);
	stats_count(&stats->turns, 1);
	stats_count(&stats->turns_by_batch[step], 1);
	stats_count(&stats->replies, reply_count);
}

void stats_add(struct stats *sum, const struct stats *part)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)part;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
