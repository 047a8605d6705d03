/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: cold shards.  A few threads read them from upstreams in joined ranges,
 * prove each, store it, and tell who asked.
 *
 * One flight per shard, whoever asks: a job for a shard that is asked for
 * already joins its flight, whose class rises to the job's if that is the more
 * urgent, and each job is told.
 *
 * Sources.  A tree's shards can come from its origin, the upstream that it was
 * taken from, and from each other upstream of this host that has the same tree:
 * that is found out when the origin fails.  Of those that are well the one with
 * the highest priority goes first, then the one that has lately been fastest.
 *
 * Life of a flight:
 * 1. fetch_submit(): queued, by class, tenant and tree (fetch_queue.c).
 * 2. Taken by a thread, with its neighbours in the pack (fetch_pick.c).
 * 3a. Right bytes: proved as they come, stored, done(0).
 * 3b. No answer: the source is down, and tried again by one range at a time,
 *     after 0.2 s doubling to 10 s, with jitter; the flight goes to the next
 *     source, or waits.  A source that is silent for 2 s, or slower than 1
 *     KiB/s over 10 s, is late: what it was asked for is asked of the next one
 *     as well, and the first right answer ends the other request.  After 15 s
 *     of silence it counts as no answer.
 * 3c. An answer, but not these bytes (404, wrong bytes): the flight leaves this
 *     source out for a minute; its index is read again, now and then (route.h),
 *     since it may be the index that is wrong; without another source it is
 *     tried again, less and less often.
 * 4. After 5 minutes of that without a break, or FETCH_LINGER_S after the last
 *    who wanted it has gone: done(-EIO).  The first guest's read begins them
 *    anew.
 *
 * Lingering is what lets a guest that was told to ask again find its flight
 * under way, and its five minutes running.
 *
 * Bytes that do not prove are never stored and never shown.
 *
 * Who goes first: classes in order, but one that has waited for a second gets
 * one range; within a class the tenant that has had the fewest bytes.
 */
#ifndef DEPOT_FETCH_H
#define DEPOT_FETCH_H

#include "depot/base.h"
#include "depot/kv.h"
#include "depot/route.h"
#include "depot/store.h"
#include "depot/tree.h"
#include "depot/upstream.h"

enum {
	FETCH_THREADS = 16,
	FETCH_THREADS_MAX = 64,
	FETCH_BYTES = 64 << 20,
	FETCH_QUEUE_MAX = 1 << 16, /* flights; above it done(-ENOMEM) at once */
	FETCH_JOIN_MAX = 512,      /* shards of one range */
	FETCH_LINGER_S = 30,
};

struct fetch_result {
	void *chunk; /* of cache_buffer(); done() may take it and leave NULL;
			NULL: of a `spare` job, others took it */
	size_t chunk_len;
	const void *shard; /* as stored; borrowed for the call */
	size_t shard_len;
};

/* What goes first; the order is the priority. */
enum fetch_class {
	FETCH_DEMAND, /* a guest waits for it */
	FETCH_AHEAD,  /* a sequential reader will ask for it */
	FETCH_PLAN,   /* a plan says that it will be asked for */
	FETCH_FILL,   /* so that the package is whole one day */
	FETCH_CLASSES,
};

struct fetch_job {
	/* the caller's, who keeps job and tree till done() */
	struct tree *tree;
	uint32_t shard;
	enum fetch_class fetch_class;
	bool spare; /* of several jobs for one shard this one needs no chunk */
	uint32_t who; /* depot_who() of the tenant: within a class each has his
			 turn; 0: nobody */
	/* Does anybody still want it?  Called with a lock held: quick. */
	bool (*wanted)(struct fetch_job *job);
	/* What fetch_stored_count() gave before the caller looked for it in the
	 * store and did not find it; 0: he did not look. */
	uint64_t looked;
	/* Once, on any thread; rc < 0: result is NULL.  -EIO, -ENOMEM.
	 * -EEXIST: somebody else's flight has put it into the store since the
	 * caller looked; nothing was asked for. */
	void (*done)(struct fetch_job *job, int rc,
		     struct fetch_result *result);
	struct fetch_job *next; /* links the jobs of one submission */
	/* fetch's own from here on */
	struct fetch_job *joined; /* of the same flight */
	struct route *route;
};

/* 0: the default. */
struct fetch_options {
	unsigned int threads;  /* requests at once: FETCH_THREADS */
	size_t bytes_max;      /* asked for and not yet here: FETCH_BYTES */
	size_t lane_bytes_max; /* of one source: all of it */
	/* Tests shorten these; else as the head of this file says. */
	uint64_t backoff_min_ms, backoff_max_ms, give_up_ms, linger_ms;
	uint64_t late_ms, silent_ms, slow_ms, avoid_ms;
};

struct fetch;

/* All but options are borrowed till fetch_free. */
MUST_CHECK int fetch_new(struct kv *state, const char *root,
			 struct store *store, struct upstreams *upstreams,
			 const struct fetch_options *options,
			 struct fetch **fetch);
/* Ends the threads; every job is done when it returns, and later ones end at
 * once, with -EIO. */
void fetch_stop(struct fetch *fetch);
void fetch_free(struct fetch *fetch); /* stops; takes fetch; NULL allowed */

/* How many shards have been put into the store: read before looking there, so
 * that one that lands between the look and fetch_submit() is not fetched
 * again. */
uint64_t fetch_stored_count(struct fetch *fetch);
/* A list of jobs at once, so that they can be joined.  May read a disk. */
void fetch_submit(struct fetch *fetch, struct fetch_job *list);
/* A tree was taken over again. */
void fetch_forget(struct fetch *fetch, const struct digest *tree);

struct fetch_stats {
	uint64_t bytes, shards, errors, waiting;
	uint64_t verify_failures;
	/* Of `bytes`: by the class that asked for the shard; a gap counts to
	 * the range's first. */
	uint64_t class_bytes[FETCH_CLASSES];
	uint64_t late;        /* ranges that were asked of a second source */
	uint64_t twice_bytes; /* that came a second time for it */
};
void fetch_get_stats(struct fetch *fetch, struct fetch_stats *stats);
/* Health of the upstream of that name into info; all 0 when nothing has been
 * asked of it. */
void fetch_tell_source(struct fetch *fetch, struct upstream_info *info);

#endif
