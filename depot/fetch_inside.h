/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_inside: what the three files of fetch share: fetch.c has the threads
 * and the way in and out, fetch_lane.c decides what goes when, fetch_range.c
 * does one range.
 */
#ifndef DEPOT_FETCH_INSIDE_H
#define DEPOT_FETCH_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "depot/fetch.h"

/* The jobs of one upstream.  Lanes are few, and stay. */
enum {
	FETCH_TELL_MS = 10000, /* between two lines of one upstream */
	FETCH_HASH = 4096,     /* power of 2 */
};

struct fetch_lane {
	struct fetch_lane *next;
	char upstream[PACKAGE_NAME_MAX + 1];
	struct fetch_job *head;   /* lock */
	struct fetch_job **tail;  /* lock */
	unsigned int inflight;    /* lock; ranges */
	unsigned int fails;       /* lock; in a row */
	uint64_t down_since_ms;   /* lock */
	uint64_t retry_at_ms;     /* lock */
	_Atomic uint64_t told_ms; /* when a refused range was last logged */
};

/* What one thread has in hand. */
struct fetch_batch {
	struct fetch_lane *lane;
	struct fetch_job *jobs; /* list */
	struct digest pack;
	uint32_t off, len; /* len 0: the index is missing */
	int rc;            /* of the request */
	struct source_fault fault;
};

struct fetch {
	struct kv *state;            /* borrows */
	const char *root;            /* borrows */
	struct store *store;         /* borrows */
	struct upstreams *upstreams; /* borrows */
	struct routes *routes;       /* owns */
	struct fetch_options options;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct fetch_lane *lanes; /* lock; owns */
	unsigned int queued;      /* lock */
	/* The first job of each shard, till it ends; the others hang on it. */
	struct fetch_job *first[FETCH_HASH]; /* lock */
	bool stopping;                       /* lock */
	_Atomic uint64_t bytes, shards, errors, verify_failures;
	unsigned int thread_count;
	pthread_t threads[FETCH_THREADS_MAX];
};

uint64_t fetch_now_ms(void);
/* Drops the route, calls done() of the job and of those that joined it. */
void fetch_end(struct fetch *fetch, struct fetch_job *job, int rc,
	       struct fetch_result *result);

/* --- fetch_lane.c; all with the lock ------------------------------------- */

/* NULL: no memory. */
struct fetch_lane *fetch_lane_of(struct fetch *fetch, const char *upstream);
void fetch_lane_push(struct fetch *fetch, struct fetch_lane *lane,
		     struct fetch_job *job);
/* The next thing to do; false: nothing before *wake_at_ms. */
bool fetch_pick(struct fetch *fetch, struct fetch_batch *batch,
		uint64_t *wake_at_ms);
/* After a batch: the lane's health; what failed goes back, or onto the list of
 * the hopeless. */
void fetch_lane_settle(struct fetch *fetch, struct fetch_batch *batch,
		       struct fetch_job **hopeless);

/* --- fetch_range.c; without the lock ------------------------------------- */

/* Ends what it gets; leaves in batch->jobs what failed, each with its rc. */
void fetch_run(struct fetch *fetch, struct fetch_batch *batch);
/* The upstream answered, but not with the shard. */
bool fetch_is_bad(int rc);

#endif
