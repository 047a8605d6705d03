/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: is what this store holds still what it says?  Read again from disk
 * and rehashed, not out of any cache; a facade of this floor.
 *
 * Bad shards are taken out before good ones are fetched: what is wrong must not
 * be read meanwhile.  Works half the time and sleeps the other half, so that it
 * takes half a CPU from guests at most.
 */
#ifndef DEPOT_VERIFY_H
#define DEPOT_VERIFY_H

#include "depot/base.h"
#include "depot/depot.h"

enum verify_kind { VERIFY_SHARD, VERIFY_TREE, VERIFY_INDEX };

enum { VERIFY_TREES_MAX = 16 }; /* told of one shard */

struct verify_bad {
	enum verify_kind kind;
	struct digest name; /* of an index: its tree's */
	bool missing;       /* not here, and it should be */
	bool repaired;      /* a good one is here now */
	int rc; /* asked to repair, and it is not: why; -ENOENT: it came from
		   no upstream; -EHOSTUNREACH, -EIO: that did not give it */
	struct digest trees[VERIFY_TREES_MAX]; /* whose it is */
	unsigned int tree_count;
};
typedef int verify_visit_fn(void *ctx, const struct verify_bad *bad);

/* Which trees: these, and unless `only` all that are here. */
struct verify_what {
	const struct digest *trees; /* borrows */
	size_t count;
	bool only;
	bool repair;
};

/* Tree files and indexes.  *files: how many were read.  -ECANCELED
 * (depot_hurry), as of the other. */
MUST_CHECK int depot_verify_files(struct depot *depot,
				  const struct verify_what *what,
				  verify_visit_fn *visit, void *ctx,
				  uint64_t *files);

enum {
	VERIFY_STEP_MS = 400,
	VERIFY_STEP_BYTES = 64 << 20,
};
struct verify_report {
	bool done;
	struct digest next;
	uint64_t shards, bytes; /* of this step; as stored */
	uint64_t cold; /* of this step: not here, an upstream has them */
};
/* Shards that those trees name, in the order of names, a step from `from` on.
 * What no tree names is left to the collection.  visit: non-zero stops,
 * returned. */
MUST_CHECK int depot_verify_shards(struct depot *depot,
				   const struct verify_what *what,
				   const struct digest *from,
				   verify_visit_fn *visit, void *ctx,
				   struct verify_report *report);

#endif
