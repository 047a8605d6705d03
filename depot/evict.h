/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict: keeps the shards database within its quota, and some of the file
 * system free: says which newcomers may stay, and takes out what is used least,
 * on a thread of its own, in bounded steps; never on a call's path.
 *
 * The quota counts the files of the database on disk.  Above EVICT_HIGH percent
 * of it the thread works until EVICT_LOW percent are left, or while less than
 * the floor is free.  One step:
 * 1. A window: the shards from a random digest on, at most EVICT_WINDOW_MAX
 *    bytes.  Digests are random, so neighbours are a random sample.
 * 2. Of every USAGE_SAMPLES of them that may go the EVICT_TAKE that
 * usage_pick_offer() ranks lowest go, and whatever has not been read since it
 * was halved to 0. (One of 16, as in memory, would rewrite 15 shards to free
 * one.)
 * 3. One batch deletes them; compacting the window gives the space back.
 *
 * A newcomer from upstream stays when there is room: no thread waits for some,
 * and who finds none is served from memory.  While space is short (the
 * store is above EVICT_LOW since the last step) it must also be worth no less
 * than the last step's victims; else it is served from memory and not stored.
 *
 * Never evicted: what cannot be fetched again (made here, or of an upstream
 * that was removed), what is pinned (kept.h), and what a lease guards
 * (lease.h: a package that is being made relies on it).  When such shards leave
 * no room the store says so, and nothing else is stored.
 *
 * It also saves the usage counters, every EVICT_SAVE_S and at the end.
 */
#ifndef DEPOT_EVICT_H
#define DEPOT_EVICT_H

#include "depot/base.h"
#include "depot/digest.h"

struct evict;
struct kept;
struct leases;
struct space;
struct store;
struct usage;

enum {
	EVICT_HIGH = 90, /* percent of the quota */
	EVICT_LOW = 75,
	EVICT_FULL = 90,  /* with what compaction needs: nothing is put */
	EVICT_TIGHT = 88, /* likewise: above it some goes */
	EVICT_TAKE = 4,
	EVICT_WINDOW_MAX = 64 << 20,
	EVICT_WINDOW_MIN = 1 << 20,
	EVICT_ENTRIES_MAX = 8192, /* shards of a window */
	EVICT_SAVE_S = 300,
	EVICT_WAIT_S = 10, /* that a creation waits for room */
};
#define EVICT_QUOTA_MIN ((uint64_t)32 << 20)

struct evict_options {
	struct store *store; /* borrowed, like all below, till evict_free() */
	struct usage *usage;
	struct leases *leases;  /* NULL: nobody makes packages */
	struct space *space;    /* NULL: the floor is not looked after */
	const char *usage_path; /* of the counters' file */
	uint64_t quota;         /* bytes; 0: none */
	uint64_t free_min;      /* bytes of the file system */
	/* A new set of what must stay (the caller's), and how many shards are
	 * known; on evict's thread. */
	int (*kept)(void *ctx, struct kept **kept, uint64_t *known);
	void *ctx;
};

/* Loads the counters (damaged or missing: they begin anew) and becomes the
 * store's gate.  Quotas below EVICT_QUOTA_MIN are taken for it. */
MUST_CHECK int evict_new(const struct evict_options *options,
			 struct evict **evict);
void evict_stop(struct evict *evict); /* ends the thread, saves the counters */
void evict_free(struct evict *evict); /* stops; takes evict; NULL allowed */

/* Pins, packages or upstreams have changed. */
void evict_kept_changed(struct evict *evict);
struct evict_stats {
	uint64_t disk_bytes;    /* of the database's files, when last looked */
	uint64_t quota;         /* 0: none */
	uint64_t kept_bytes;    /* estimate: what is never evicted */
	uint64_t shards, bytes; /* evicted since the start */
	uint64_t refused;       /* newcomers that were not stored */
	bool full;              /* what is never evicted leaves no room */
	bool room;              /* for a newcomer that is worth it */
};
void evict_get_stats(struct evict *evict, struct evict_stats *stats);

#endif
