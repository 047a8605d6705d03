/* SPDX-License-Identifier: Apache-2.0 */
/* quota: see quota.h. */
#include "overlay/quota.h"

static bool quota_passes(const uint64_t *max, const uint64_t *used,
			 int64_t growth)
{
	uint64_t limit = __atomic_load_n(max, __ATOMIC_RELAXED);
	uint64_t now = __atomic_load_n(used, __ATOMIC_RELAXED);

	return growth > 0 && limit > 0 &&
	       (now >= limit || (uint64_t)growth > limit - now);
}

int quota_check(const struct quota *quota, int64_t bytes, int64_t files)
{
	if (quota_passes(&quota->bytes_max, &quota->bytes, bytes) ||
	    quota_passes(&quota->files_max, &quota->files, files))
		return -EDQUOT;
	return 0;
}

void quota_add(struct quota *quota, int64_t bytes, int64_t files)
{
	__atomic_fetch_add(&quota->bytes, (uint64_t)bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&quota->files, (uint64_t)files, __ATOMIC_RELAXED);
}

void quota_set(struct quota *quota, uint64_t bytes_max, uint64_t files_max)
{
	__atomic_store_n(&quota->bytes_max, bytes_max, __ATOMIC_RELAXED);
	__atomic_store_n(&quota->files_max, files_max, __ATOMIC_RELAXED);
}

uint64_t quota_left(uint64_t max, uint64_t used, uint64_t free)
{
	if (max == 0)
		return free;
	return used >= max ? 0 : MIN(free, max - used);
}
