/* SPDX-License-Identifier: Apache-2.0 */
/*
 * du: what groups of trees (a package's, a tenant's) take up in this store, and
 * what of it is theirs alone; a facade of this floor.  Bytes are as stored.
 *
 * All figures come from the trees' tables and one walk over the store, so they
 * add up: what is in the store is live, or waits, or is garbage.
 */
#ifndef DEPOT_DU_H
#define DEPOT_DU_H

#include "depot/base.h"
#include "depot/depot.h"

struct du_group {
	const struct digest *trees; /* borrows; in any order */
	size_t tree_count;
	/* out: */
	uint64_t logical;     /* content of the trees, each once */
	uint64_t shards;      /* that they name, each once */
	uint64_t shards_here; /* of them, in this store */
	uint64_t stored;      /* bytes of these */
	uint64_t unique;      /* of them, bytes that nobody else names */
	uint64_t cold;        /* bytes upstream of those that are not here, as
				 the indexes say */
};

struct du_total {
	uint64_t shards, stored; /* all in the store */
	uint64_t live;           /* bytes that a tree in use names */
	uint64_t waiting;        /* that only trees name whose time runs */
	uint64_t garbage;        /* that none names: the next collection's */
	uint64_t disk;           /* blocks of the store's files */
};

/* A tree of a group that is not here counts for nothing.  Walks the whole
 * store; a shard that comes or goes meanwhile may be counted or not.  -ENOMEM,
 * -EIO, -ECANCELED (depot_hurry), -EBADMSG (logged): a tree in use is damaged.
 */
MUST_CHECK int depot_du(struct depot *depot, struct du_group *groups,
			size_t count, struct du_total *total);

#endif
