/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache: opened chunks in memory, bounded in bytes, pinned while in use.
 *
 * Life of a chunk:
 * 1. cache_ask() for a name that is not here makes it, loading; the asker gets
 *    it and must end in cache_land() or cache_fail().  Who asks meanwhile is
 *    put on its list of waiters: one flight per shard, whoever asks.
 * 2. Landed: its bytes never change; each waiter has a pin.
 * 3. Unpinned and resident, until a newcomer needs the room.  Victim: of 16
 *    residents drawn at random the unpinned one with the lowest usage.
 *    Newcomers that are used less than their victim go at their last pin.
 *
 * Usage is counted in usage.h, which disk and memory share, or it is the time
 * of the last use when that has the rule USAGE_LRU.
 *
 * Shares: a chunk is charged to the tenant that read it first (usage_owner).
 * The share of each of the n tenants that have chunks here is the n-th part of
 * the budget; what nobody else needs anybody may have, but chunks of those
 * above their share go first.  What was not used since its counter was halved
 * to 0 is protected by no share.
 *
 * Chunks that nobody has asked for yet (fetched ahead, just proved) may be
 * offered, so that their reader finds them opened.  Memory that no chunk in use
 * needs is theirs, up to CACHE_OFFERED_PART of the budget; beside a cache full
 * of used chunks they have CACHE_RESERVE_PART of it, as long as such offers
 * come.  An offer takes the place of no used chunk: of offered ones that were
 * not read the oldest go.  At its first read an offered chunk is a newcomer as
 * any other, and charged to its reader.
 *
 * Pinned chunks are never dropped: when all are pinned the cache outgrows its
 * budget.  Its callers bound the pins.  Thread-safe.
 */
#ifndef DEPOT_CACHE_H
#define DEPOT_CACHE_H

#include "depot/base.h"
#include "depot/depot.h"

struct cache;
struct usage;

enum {
	CACHE_OFFERED_PART =
	    2, /* of the budget, at most: one part of so many */
	CACHE_RESERVE_PART = 16, /* likewise, kept for them */
};

/* usage: borrowed till cache_free(). */
MUST_CHECK int cache_new(size_t bytes_max, struct usage *usage,
			 struct cache **cache);
/* Nothing may be loading or pinned.  takes cache; NULL allowed */
void cache_free(struct cache *cache);

enum cache_answer {
	CACHE_HOT,     /* pinned, in piece->chunk */
	CACHE_OFFERED, /* the same; this is the first read of what was offered
			*/
	CACHE_WAITING, /* piece is on the list of a chunk under way */
	CACHE_LOAD,    /* the same, and the caller must load it */
};
/* Ask for `name`, by the tenant of piece->read (NULL: nobody's).  CACHE_*, or
 * -ENOMEM. */
MUST_CHECK int cache_ask(struct cache *cache, const struct digest *name,
			 struct depot_piece *piece, struct chunk **load);

/* Where to open a chunk into; NULL: no memory.  free() or cache_land() it. */
void *cache_buffer(size_t len);

/*
 * The end of loading.  Both give the list of waiters, linked by next_waiter:
 * the caller tells them.  cache_land takes `data`, of cache_buffer(), and pins
 * the chunk for each; cache_fail takes the chunk away.
 */
struct depot_piece *cache_land(struct cache *cache, struct chunk *chunk,
			       void *data, size_t len);
struct depot_piece *cache_fail(struct cache *cache, struct chunk *chunk);

/*
 * A chunk that nobody has asked for.  true: it is taken, and `data` (of
 * cache_buffer()) with it; false: it is here, or under way, or there is no room
 * for it, and `data` stays the caller's.  displaces: it may take the place of
 * what was offered and not read.
 */
bool cache_offer(struct cache *cache, const struct digest *name, void *data,
		 size_t len, bool displaces);

/* Leave the list of waiters; false: not on it (any more). */
bool cache_leave(struct cache *cache, const struct digest *name,
		 struct depot_piece *piece);
/* Does anybody wait for this loading chunk? */
bool cache_wanted(struct cache *cache, struct chunk *chunk);
/* Drop a pin. */
void cache_release(struct cache *cache, struct chunk *chunk);

struct cache_stats {
	uint64_t bytes, bytes_max;
	uint64_t offered; /* of bytes: offered, and not read yet */
	uint64_t chunks;
	uint64_t evictions;
	unsigned int owners; /* tenants that have chunks here */
};
void cache_get_stats(struct cache *cache, struct cache_stats *stats);

#endif
