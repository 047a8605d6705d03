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
 * Usage is an 8-bit saturating counter per bits of the digest, also of chunks
 * that are not here, halved now and then (design 5).
 *
 * Pinned chunks are never dropped: when all are pinned the cache outgrows its
 * budget.  Its callers bound the pins.  Thread-safe.
 */
#ifndef DEPOT_CACHE_H
#define DEPOT_CACHE_H

#include "depot/base.h"
#include "depot/depot.h"

struct cache;

enum { CACHE_SAMPLES = 16 };

MUST_CHECK int cache_new(size_t bytes_max, struct cache **cache);
/* Nothing may be loading or pinned.  takes cache; NULL allowed */
void cache_free(struct cache *cache);

enum cache_answer {
	CACHE_HOT,     /* pinned, in piece->chunk */
	CACHE_WAITING, /* piece is on the list of a chunk under way */
	CACHE_LOAD,    /* the same, and the caller must load it */
};
/* Ask for `name`.  CACHE_*, or -ENOMEM. */
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

/* Leave the list of waiters; false: not on it (any more). */
bool cache_leave(struct cache *cache, const struct digest *name,
		 struct depot_piece *piece);
/* Does anybody wait for this loading chunk? */
bool cache_wanted(struct cache *cache, struct chunk *chunk);
/* Drop a pin. */
void cache_release(struct cache *cache, struct chunk *chunk);

struct cache_stats {
	uint64_t bytes, bytes_max;
	uint64_t chunks;
	uint64_t evictions;
};
void cache_get_stats(struct cache *cache, struct cache_stats *stats);

#endif
