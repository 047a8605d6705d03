/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live: which trees name which shards, in the order of the shards' names: the
 * union of the trees' tables, a window at a time, so that memory is bounded
 * whatever the depot holds.  It counts nothing that could drift: a window is
 * made from the tables alone.
 *
 * One thread's.
 */
#ifndef DEPOT_LIVE_H
#define DEPOT_LIVE_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/tree.h"

struct live_entry {
	struct digest name;
	uint32_t tree;  /* number, in order of live_add */
	uint32_t shard; /* number in that tree's table */
};

struct live;

enum { LIVE_WINDOW_MIN = 64 }; /* entries */

/* bytes_max: of a window, about. */
MUST_CHECK int live_new(size_t bytes_max, struct live **live);
void live_free(struct live *live); /* takes; NULL allowed */

/* Takes a reference of its own; windows made before are void. */
MUST_CHECK int live_add(struct live *live, struct tree *tree);
/* Give the references back; the window stays good, and is the last. */
void live_drop_trees(struct live *live);

/*
 * Make the window that begins with `from`: all entries in [from, end), as many
 * as fit.  -ENOMEM.
 */
MUST_CHECK int live_window(struct live *live, const struct digest *from);
/* Is the name in the window's range? */
bool live_covers(const struct live *live, const struct digest *name);
/* The window's first name behind it; false: it reaches the end. */
bool live_end(const struct live *live, struct digest *end);

/* All entries of one shard, which must be covered: their number, and the first
 * of them. */
size_t live_find(const struct live *live, const struct digest *name,
		 const struct live_entry **first);
/* Entries of the window, by name, then tree. */
const struct live_entry *live_entries(const struct live *live, size_t *count);

#endif
