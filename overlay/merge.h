/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: two frozen layers become one, so that a delta stays a stack of few.
 *
 * Layer A goes into B, which stands on it, when nobody else uses A: only B
 * stands on A, no guest and no snapshot names it, and B is no guest's top.  B
 * keeps its number, so whatever names B or stands on it sees what it saw.
 *
 * Key by key: what B lacks moves from A's keys to B's, what B hides goes; host
 * files stay where they are (record.data.layer).  Each batch moves whole files
 * and leaves a stack in which each look-up from the top finds what it found
 * before, so a crash anywhere leaves work only, and the next start goes on.
 * The sets of the layers in memory follow each batch, under the locks of all
 * views that stand on them; nothing else is done under these locks, since
 * frozen layers change by this alone.  A merge that was cut short starts anew
 * with the file at which it was.
 *
 * Open files need not be closed: a node's below[] holds descriptors, presence
 * bits and limits of its own, and never goes back to the keys.  What is done to
 * the host files meanwhile is unseen by it: pages of the lower file that the
 * upper one hides, pages of the upper one that it does not claim, and bytes
 * beyond what the upper one sees of the lower.
 */
#ifndef OVERLAY_MERGE_H
#define OVERLAY_MERGE_H

#include "overlay/site_impl.h"

enum { MERGE_KEEP = 4 }; /* layers of a guest that background merges leave */

/*
 * Merge in the stack of layers that begins with `top` until it has at most
 * `keep`, or none may be merged any more.  *count: how many it has then.  verbs
 * is held all the time, which is bounded by what the merged layers hold.
 * -EIO, -ENOMEM and others: the stack is sound all the same.
 */
MUST_CHECK int merge_stack(struct site *site, uint64_t top, unsigned int keep,
			   unsigned int *count);
/* Go on with merging what `into` stands on into it, which may be; verbs is
 * held. *more: it is not done yet. */
MUST_CHECK int merge_step(struct site *site, uint64_t into, bool *more);
/* Steps of one file or name from now on, 0: as ever. */
void merge_cut_for_tests(unsigned int entries);
/* May the one below be merged into this layer, once it is frozen? */
MUST_CHECK int merge_may_below(struct site *site, uint64_t layer, bool *may);
/*
 * In the background: stacks of guests that have more than MERGE_KEEP layers.
 * Takes verbs for a step of bounded size at a time, until nothing is left to do
 * or *stop (atomic).
 */
MUST_CHECK int merge_guests(struct site *site, const bool *stop);

/* The views that stand on the layers to be merged, locked together in the order
 * of their paths (nobody else holds two). */
struct merge_views {
	struct view **views; /* owns the array */
	unsigned int count;
};
void merge_views_lock(const struct merge_views *views);
void merge_views_unlock(const struct merge_views *views);

/* --- merge_file.c: the data of one file ---------------------------------- */

/* One record of A and, when B has one, B's. */
struct merge_file {
	struct site *site;
	const struct merge_views *views;
	struct kv_batch *batch;     /* borrows */
	struct layer *const *stack; /* borrows; [0] is B, [1] is A */
	unsigned int count;
	uint64_t fileid;
	struct record from, into;
	uint64_t copied; /* out: bytes between host files */
};
/* All of A's record to B, which has none. */
MUST_CHECK int merge_file_move(struct merge_file *f);
/* Give B's record what it still sees of A's data; the rest goes.  f->into is
 * then what B's record is to be. */
MUST_CHECK int merge_file_data(struct merge_file *f);
/* A's data are seen by nobody. */
MUST_CHECK int merge_file_drop(struct merge_file *f);

#endif
