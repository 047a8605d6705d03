/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: what a guest, or all guests of a tenant together, keep in deltas, and
 * how much they may (rule N-44).  Counted in every layer that a guest sees: a
 * snapshot's space is its guest's, a clone's origin is counted for both.
 * Atomic throughout; a limit may be passed by what runs at the same moment in
 * other guests of the tenant, one operation each.
 */
#ifndef OVERLAY_QUOTA_H
#define OVERLAY_QUOTA_H

#include "depot/base.h"

struct quota {
	uint64_t bytes_max, files_max; /* 0: no limit */
	uint64_t bytes, files;         /* in use */
};

/* -EDQUOT: this growth would pass a limit.  What shrinks always may. */
MUST_CHECK int quota_check(const struct quota *quota, int64_t bytes,
			   int64_t files);
void quota_add(struct quota *quota, int64_t bytes, int64_t files);
void quota_set(struct quota *quota, uint64_t bytes_max, uint64_t files_max);
/* Cut a figure of free space (bytes or files) to what the limit leaves. */
uint64_t quota_left(uint64_t max, uint64_t used, uint64_t free);

#endif
