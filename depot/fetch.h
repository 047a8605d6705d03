/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: cold shards.  A few threads read them from upstream in joined ranges,
 * prove each, store it, and tell who asked.
 *
 * One flight per shard, whoever asks: a job for a shard that is asked for
 * already joins the first job of it, whose class rises to its own if that is
 * the more urgent, and each job is told.
 *
 * Life of a job:
 * 1. fetch_submit(): queued in the lane of its upstream.
 * 2. Taken by a thread, with its neighbours in the pack.
 * 3a. Right bytes: proved, stored, done(0).
 * 3b. No answer: the whole lane backs off, one try at a time, 0.2 s doubling
 *     to 10 s, with jitter; the job waits in the lane.
 * 3c. An answer, but not these bytes (404, wrong bytes): tag and newest index
 *     are read again, now and then (route.h), since it may be the index that
 *     is wrong; the job tries again at once, then backs off by itself.
 * 4. After 5 minutes of that without a break, or FETCH_LINGER_S after the last
 *    who wanted it has gone: done(-EIO).
 *
 * Lingering is what lets a guest that was told to ask again find its job under
 * way, and its five minutes running.
 *
 * Bytes that do not prove are never stored and never shown.
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
	FETCH_THREADS_MAX = 64,
	FETCH_QUEUE_MAX = 1 << 16, /* jobs; above it done(-ENOMEM) at once */
	FETCH_JOIN_MAX = 512,      /* shards of one range */
	FETCH_LINGER_S = 30,
};

struct fetch_result {
	void *chunk; /* of cache_buffer(); done() may take it and leave NULL */
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
	uint32_t who; /* depot_who() of the tenant: within a class each has his
			 turn; 0: nobody */
	/* Does anybody still want it?  Called with a lock held: quick. */
	bool (*wanted)(struct fetch_job *job);
	/* Once, on any thread; rc < 0: result is NULL.  -EIO, -ENOMEM. */
	void (*done)(struct fetch_job *job, int rc,
		     struct fetch_result *result);
	struct fetch_job *next; /* links the jobs of one submission */
	/* fetch's own from here on */
	struct fetch_job *joined, *hash_next;
	struct route *route;
	uint32_t off, len;
	unsigned int tries;
	int rc;
	bool taken;
	uint64_t submitted_ms, bad_since_ms, not_before_ms, unwanted_since_ms;
};

struct fetch_options {
	unsigned int threads;
	/* Tests shorten these; 0: as the head of this file says. */
	uint64_t backoff_min_ms, backoff_max_ms, give_up_ms, linger_ms;
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

/* A list of jobs at once, so that they can be joined.  May read a disk. */
void fetch_submit(struct fetch *fetch, struct fetch_job *list);
/* A tree was taken over again. */
void fetch_forget(struct fetch *fetch, const struct digest *tree);

struct fetch_stats {
	uint64_t bytes, shards, errors, waiting;
	uint64_t verify_failures;
};
void fetch_get_stats(struct fetch *fetch, struct fetch_stats *stats);

#endif
