/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: in which order the shards of a tree are wanted, learnt from starts.
 *
 * A start is what one guest first touched of a tree, in order.  Starts of
 * several guests merge into a plan: each shard at the mean of its places, with
 * the number of guests that touched it.  Pure: no file, no lock, no state.
 * Formats: struct format_plan_header (format.h), struct store_start (store.h).
 *
 * A plan is a hint.  One that does not fit its tree is refused whole.
 */
#ifndef DEPOT_PLAN_H
#define DEPOT_PLAN_H

#include "depot/base.h"
#include "depot/digest.h"

enum {
	PLAN_SHARDS_MAX = 16384, /* of one start, of one plan */
	PLAN_STARTS_MAX = 1024,  /* merged at one time */
	PLAN_FILE_MAX = 64 + 4 * PLAN_SHARDS_MAX,
	PLAN_START_MAX = 24 + 4 * PLAN_SHARDS_MAX, /* a start's row */
	PLAN_PUBLISH_GUESTS = 3, /* fewer, and it does not leave the tenant */
};
#define PLAN_BUDGET_MAX (UINT64_C(16) << 30) /* bytes */

struct plan {
	struct digest tree;
	uint32_t shard_count; /* of the tree */
	uint32_t guests;      /* it was made from */
	uint64_t budget;      /* bytes of shards as stored */
	uint32_t count;
	uint32_t *shards; /* owns */
};

/*
 * Take a plan's bytes apart.  tree NULL: of any tree.  -EBADMSG: no plan, of
 * another tree, a number that the tree has not or that comes twice, an
 * impossible budget; -EPROTONOSUPPORT; -ENOMEM.
 */
MUST_CHECK int plan_read(const void *bytes, size_t len,
			 const struct digest *tree, uint32_t shard_count,
			 struct plan *plan);
/* Malloc'ed bytes that plan_read accepts; -ENOMEM. */
MUST_CHECK int plan_write(const struct plan *plan, void **bytes, size_t *len);
void plan_clear(struct plan *plan);

struct plan_start {
	int64_t time_sec;
	uint32_t duration_ms;
	uint32_t shard_count; /* of the tree */
	uint32_t count;
	uint32_t *shards; /* owns; none twice */
};

/* -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
MUST_CHECK int plan_start_read(const void *bytes, size_t len,
			       struct plan_start *start);
/* out holds PLAN_START_MAX bytes; returns the length. */
size_t plan_start_write(const struct plan_start *start, uint8_t *out);
void plan_start_clear(struct plan_start *start);

/*
 * Merge starts of as many guests, all of one tree, into plan->shards and
 * plan->count: what at least guests_min of them touched, by the mean of their
 * places, the lower number first at equal ones; at most PLAN_SHARDS_MAX.
 * Starts of another shard_count are left out.  Sets shard_count and guests,
 * not tree and budget.  guests (may be NULL): how many touched each of
 * plan->shards, malloc'ed.  -ENOMEM.
 */
MUST_CHECK int plan_merge(const struct plan_start *starts, unsigned int count,
			  uint32_t shard_count, unsigned int guests_min,
			  struct plan *plan, uint16_t **guests);

/* Append what `more` names and `plan` does not.  -ENOMEM. */
MUST_CHECK int plan_append(struct plan *plan, const struct plan *more);

#endif
