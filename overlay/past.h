/* SPDX-License-Identifier: Apache-2.0 */
/*
 * past: what a tenant's guests saw before its switches, as far as they may
 * still ask for it.
 *
 * - Objects that a switch took away stay readable under their old handles, with
 *   their old bytes, for PAST_HOURS at least, and as long as a generation is
 *   kept that has their tree: an open file and a mapped library keep their
 *   bytes, also over a restart (rule N-20).  They can be read, not changed: who
 *   writes to one is told that it is stale, and finds the new one by its name.
 *   Directories are not kept: what is in them is.  Of trees that only a kept
 *   generation needs, the last PAST_OLD_MAX are kept.  What nothing needs any
 *   more is let go at the tenant's next switch, and at a start.
 * - Directories whose entries differ since a switch have its time as ctime, and
 *   as mtime when names differ (rule N-14); all others keep theirs.
 *
 * An object is found again after a restart by its tree alone, since its number
 * follows from path and content (image.h).
 *
 * Changed by switches, with site->verbs held.  A table is replaced as a whole:
 * past_next makes the next one and cannot fail later.  Look-ups take a lock of
 * their own, below view->lock.
 */
#ifndef OVERLAY_PAST_H
#define OVERLAY_PAST_H

#include "depot/depot.h"
#include "depot/kv.h"
#include "overlay/image_diff.h"
#include "overlay/record.h"

enum { PAST_HOURS = 24, PAST_OLD_MAX = 64 };

struct past;
struct past_table;

/*
 * Load what the state database has of a tenant; `image` is its guests' image
 * now, whose objects need not be looked for here; `since`: when it came up,
 * for a tenant of an earlier version of this program.  Trees that nothing
 * needs any more are forgotten.  -ENOMEM, -EIO, -EBADMSG.
 */
MUST_CHECK int past_open(struct depot *depot, const char *tenant,
			 const uint8_t key[SIPHASH_KEY_LEN],
			 const struct image *image,
			 const struct timespec *since, struct past **past);
void past_free(struct past *past); /* NULL allowed */

/*
 * The table after these switches at `now`, and its keys in the batch.  let_go:
 * without the trees that nothing needs any more; all the tenant's views must be
 * locked then until past_set has returned, since they borrow those.  *next is
 * the caller's, for past_set or past_table_free.  -ENOMEM, -EIO, -EBADMSG; the
 * batch is then not to be written.
 */
MUST_CHECK int past_next(struct past *past, struct image_diff *const *diffs,
			 unsigned int count, const struct timespec *now,
			 bool let_go, struct kv_batch *batch,
			 struct past_table **next);
/* The batch is in the log.  Takes `next`. */
void past_set(struct past *past, struct past_table *next);
void past_table_free(struct past_table *table); /* NULL allowed */
/* The tenant and its keys are gone: nothing is known any more, and no tree
 * held. None of its views is asked for anything. */
void past_empty(struct past *past);

/* An object that was taken away, as a record; false: there is none. */
bool past_find(struct past *past, uint64_t fileid, struct record *rec);
/* The tree of such a record; NULL: not here.  Borrowed: it stays while the
 * caller's view is locked. */
struct tree *past_tree(struct past *past, const struct digest *digest);
/* Bring the times of a package directory up to the switches. */
void past_times(struct past *past, uint64_t dir, struct record *rec);

/* Every tree that objects of some tenant are kept of, until visit gives other
 * than 0.  -EIO, -EBADMSG (logged), what visit gave. */
MUST_CHECK int
past_each_tree(struct kv *kv,
	       int (*visit)(void *ctx, const struct digest *tree), void *ctx);
/* Tests: as if `seconds` had passed since every switch so far. */
void past_age_for_tests(unsigned int seconds);

#endif
