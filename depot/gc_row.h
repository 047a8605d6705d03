/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc_row: the collection's rows in the state database, as structs.
 *
 *   'J' 'r'            u64 LE: how often something was released so far
 *   'J' 'w'            struct gc_row_walk_stored: how far the walk is
 *   'J' 'l' lease:8    u32 LE 1: shards were put under a lease that is open
 *   'J' 't' tree:32    i64 LE: seconds since 1970 when the tree was first seen
 *                      without anything that points at it
 *
 * None of them is needed to tell what is live.  One that is damaged or missing
 * is answered with what costs more and loses nothing: the walk begins anew, the
 * tree's time begins anew.  So nothing here is -EBADMSG.
 */
#ifndef DEPOT_GC_ROW_H
#define DEPOT_GC_ROW_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/kv.h"

enum { GC_ROW_FORMAT = 1 };

enum gc_phase {
	GC_PHASE_DONE = 0,
	GC_PHASE_WALK = 1,    /* deleting, from `position` on */
	GC_PHASE_COMPACT = 2, /* giving space back, from `position` on */
};

struct gc_row_walk_stored {
	uint32_t format_le; /* GC_ROW_FORMAT */
	uint32_t phase_le;
	uint64_t released_le; /* 'r' when the walk began */
	uint64_t looked_le, removed_le, bytes_le;
	uint8_t position[32]; /* first shard not looked at */
};
_Static_assert(sizeof(struct gc_row_walk_stored) == 72, "walk row");

struct gc_row_walk {
	enum gc_phase phase;
	uint64_t released;
	uint64_t looked, removed, bytes; /* shards; bytes as stored */
	struct digest position;
};

/* Row of what was released; damaged or missing: 0, and a walk is due since no
 * walk has that number (they begin at 1).  -EIO, -ENOMEM. */
MUST_CHECK int gc_row_released(struct kv *state, uint64_t *released);
void gc_row_released_put(struct kv_batch *batch, uint64_t released);

/* *found false: none, or not to be read. */
MUST_CHECK int gc_row_walk_get(struct kv *state, struct gc_row_walk *walk,
			       bool *found);
/* Pure, for the fuzzer: false when the bytes are no such row. */
bool gc_row_walk_parse(const void *data, size_t len, struct gc_row_walk *walk);
/* In the log when it returns, not synced: an older one costs time only. */
MUST_CHECK int gc_row_walk_set(struct kv *state,
			       const struct gc_row_walk *walk);

void gc_row_lease_put(struct kv_batch *batch, uint64_t lease);
void gc_row_lease_delete(struct kv_batch *batch, uint64_t lease);
/* Delete all of them in the batch; *count: how many there were. */
MUST_CHECK int gc_row_lease_delete_all(struct kv *state, struct kv_batch *batch,
				       unsigned int *count);

/* *since: 0 when there is none, or one that cannot be (of the future). */
MUST_CHECK int gc_row_tree_get(struct kv *state, const struct digest *tree,
			       int64_t now, int64_t *since);
void gc_row_tree_put(struct kv_batch *batch, const struct digest *tree,
		     int64_t since);
void gc_row_tree_delete(struct kv_batch *batch, const struct digest *tree);
/* Of all trees that have one; visit returns non-zero to stop, returned. */
MUST_CHECK int
gc_row_tree_list(struct kv *state,
		 int (*visit)(void *ctx, const struct digest *tree), void *ctx);

#endif
