/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starts: in which order guests first touch the shards of their packages, so
 * that plans write themselves (design 9).
 *
 * Life of a start, one per view and tree:
 * 1. The first read of the tree since the guest mounted makes it.
 * 2. Recording: each shard once, in the order of the first READ that needs it.
 *    A bit per shard and a list; touching takes no lock.
 * 3. Over: nothing new for a while, or it has lasted START_MAX_S, or has
 *    PLAN_SHARDS_MAX shards.  Written to the state database (depot/plan_rows.h)
 *    as this guest's last start of the tree; bits and list are freed.
 * 4. The guest mounts again: the next touch makes a new one.  One that is still
 *    being recorded goes on: a second mount is no second start.
 *
 * What could not be recorded (no memory, a full disk) is not: a hint.
 * Everything is forgotten with the view.  Thread-safe; lock order: view->lock,
 * then the lock in here.
 */
#ifndef OVERLAY_STARTS_H
#define OVERLAY_STARTS_H

#include "depot/base.h"
#include "depot/depot.h"

struct starts;
struct start;
struct view;

enum {
	STARTS_QUIET_MS = 60 * 1000, /* nothing new for so long: over */
	STARTS_MAX_MS = 10 * 60 * 1000,
	STARTS_SLOTS = 128, /* of a view: its trees, and bases of its delta */
	STARTS_FULL = 96,   /* more of them are not recorded */
};

/* Of one view; zeros to begin with. */
struct starts_view {
	struct start *slot[STARTS_SLOTS]; /* atomic; hashed by tree */
	unsigned int count;               /* starts->lock */
};

/* depot is borrowed.  quiet_ms 0: STARTS_QUIET_MS. */
MUST_CHECK int starts_new(struct depot *depot, unsigned int quiet_ms,
			  struct starts **starts);
/* Save what is being recorded, for the end; no view is called afterwards. */
void starts_stop(struct starts *starts);
void starts_free(struct starts *starts); /* stops; takes; NULL allowed */

/* These shards of a tree are needed now.  view->lock is held, shared or not. */
void starts_touch(struct view *view, struct tree *tree,
		  const struct depot_piece *pieces, unsigned int count);
/* The guest mounts: what is over may begin again.  view->lock is not held. */
void starts_mounted(struct view *view);
/* It has another image: trees that it does not read any more are let go of,
 * those being recorded within a second or two.  view->lock is held alone. */
void starts_switched(struct view *view);
/* Save what is being recorded now; it goes on. */
void starts_save(struct starts *starts);
/* The view is about to go; nothing of it is under way. */
void starts_close_view(struct view *view);

#endif
