/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_inside: what the files of fetch share.
 *
 *   fetch.c         threads, the way in and out
 *   fetch_flight.c  flights: found by name, joined, landed, ended
 *   fetch_queue.c   flights that wait: by class, tenant and tree
 *   fetch_lane.c    sources: health, back-off, which is the better one
 *   fetch_pick.c    what goes next, to which source, with which neighbours
 *   fetch_window.c  how much of a source's link a fill may use
 *   fetch_range.c   one request, and the proofs of what it brings
 *   fetch_settle.c  what becomes of what failed
 *   fetch_watch.c   a thread that looks at requests and at who waits too long
 *
 * One mutex guards it all; it is never held over a request, a proof, or done().
 * Order: fetch->lock, then that of routes or of upstreams.
 */
#ifndef DEPOT_FETCH_INSIDE_H
#define DEPOT_FETCH_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "depot/clock.h"
#include "depot/fetch.h"
#include "depot/fetch_window.h"
#include "depot/shard.h"

enum {
	FETCH_TELL_MS = 10000, /* between two lines of one upstream */
	FETCH_HASH = 16384,    /* power of 2 */
	FETCH_MARKS = 4,
	FETCH_GONE = 32,
	FETCH_TURNS = 256, /* power of 2 */
	FETCH_LANES = ROUTE_SOURCES_MAX,
	FETCH_SHARE_MS =
	    1000, /* a class that has waited so long gets a range */
	FETCH_ABSENT_MS = 60000,
	FETCH_NEVER = -1,
	FETCH_STORED = 1024, /* remembered; power of 2 */
};

/* For a while a flight leaves a source out. */
struct fetch_mark {
	unsigned int lane;
	uint64_t until_ms;
};

/* One shard.  All with the lock. */
struct fetch_flight {
	struct digest name;
	uint8_t salt[SHARD_SALT_LEN];
	bool salted;
	struct fetch_flight *hash_next;
	TAILQ_ENTRY(fetch_flight) link;
	struct fetch_group *group; /* NULL: not queued */
	struct fetch_job *jobs;    /* till it ends */
	struct fetch_job *lead;    /* whose tree and route it goes by */
	enum fetch_class fetch_class;
	uint32_t who;
	unsigned int refs;   /* its own till it ends, and one per hand */
	uint64_t hand_lanes; /* bit per lane that it is being asked of */
	bool ended;
	unsigned int tries; /* rounds without right bytes */
	uint32_t narrow;    /* half of the range that last failed */
	uint64_t bad_since_ms, not_before_ms, unwanted_since_ms;
	uint64_t stuck_since_ms; /* no source is well; 0: one is */
	struct fetch_mark marks[FETCH_MARKS];
	unsigned int next_mark;
};
TAILQ_HEAD(fetch_flights, fetch_flight);

/* Those that wait of one class, tenant and route.  All with the lock. */
struct fetch_group {
	TAILQ_ENTRY(fetch_group) link;
	enum fetch_class fetch_class;
	uint32_t who;
	struct route *route; /* borrows: of its flights */
	struct fetch_flights flights;
};
TAILQ_HEAD(fetch_groups, fetch_group);

/* A tenant's account, by bits of its number. */
struct fetch_turn {
	uint64_t spent[FETCH_CLASSES]; /* bytes; only differences matter */
	unsigned int queued[FETCH_CLASSES];
};

/* One source.  Few, and they stay; all with the lock. */
struct fetch_lane {
	unsigned int number;
	char name[PACKAGE_NAME_MAX + 1];
	struct upstream *upstream; /* ref; NULL: removed */
	unsigned int priority;
	unsigned int inflight, class_inflight[FETCH_CLASSES];
	unsigned int late;        /* of those under way */
	size_t bytes;             /* asked for */
	struct fetch_window fill; /* of them, by FETCH_FILL */
	unsigned int fails;       /* in a row; > 0: down */
	uint64_t down_since_ms, retry_at_ms;
	uint64_t marked_at_ms;   /* nothing that it is marked for before that */
	double latency_ms, rate; /* moving averages; bytes/ms; 0: not known */
	double amiss;            /* 0..1: wrong and late answers, fading */
	uint64_t amiss_ms;       /* when it was reckoned */
	uint64_t wrong;
	struct {
		struct digest pack;
		uint64_t until_ms;
	} gone[FETCH_GONE]; /* packs that are not there */
	unsigned int next_gone;
	bool has_gone;
	_Atomic uint64_t told_ms; /* when a refused range was last logged */
};

struct fetch_item {
	struct fetch_flight *flight; /* ref */
	uint32_t off, len;           /* in the pack */
	int rc;
};

/* What one thread has in hand. */
struct fetch_batch {
	struct source_watch watch;
	TAILQ_ENTRY(fetch_batch) link;
	struct fetch *fetch;
	struct fetch_lane *lane;
	struct upstream *upstream; /* ref */
	struct route *route;       /* ref */
	struct tree *tree;         /* ref */
	bool find;                 /* look for an index; no range */
	bool is_origin;
	bool marked; /* it is marked for what is asked */
	bool trial;  /* is a source that was down well again? */
	enum fetch_class fetch_class;
	struct digest pack;
	uint32_t off, len;
	struct fetch_item items[FETCH_JOIN_MAX];
	unsigned int count;
	unsigned int next; /* item to prove */
	uint8_t *bytes;    /* owns; from one request to the next */
	size_t bytes_cap;  /* at least len, during a request */
	uint64_t started_ms;
	_Atomic uint64_t first_ms; /* the first byte came; 0: not yet */
	_Atomic size_t got;
	/* the watch's, with the lock */
	size_t seen;
	uint64_t moved_ms, window_ms;
	size_t window_got;
	bool late, silent;
	/* the outcome */
	int rc;
	struct source_fault fault;
};
TAILQ_HEAD(fetch_batches, fetch_batch);

struct fetch {
	struct kv *state;            /* borrows */
	const char *root;            /* borrows */
	struct store *store;         /* borrows */
	struct upstreams *upstreams; /* borrows */
	struct routes *routes;       /* owns */
	struct fetch_options options;
	pthread_mutex_t lock;
	/* After a change one thread is woken, and looks; who finds something to
	 * do wakes the next.  So one has always looked since the last change,
	 * and sleeps no longer than till something is due. */
	pthread_cond_t wake, watch_wake;
	/* all below with the lock */
	struct fetch_lane *lanes[FETCH_LANES]; /* owns; by number */
	unsigned int lane_count, lanes_present;
	unsigned int generation; /* of the upstreams that lanes were made of */
	struct fetch_flight *hash[FETCH_HASH];
	unsigned int flights;
	/* The last ones that were stored, in a ring, and how many in all. */
	struct digest stored[FETCH_STORED];
	_Atomic uint64_t stored_count; /* written with the lock */
	struct fetch_groups groups[FETCH_CLASSES];
	struct fetch_turn turns[FETCH_TURNS];
	uint64_t turn_now[FETCH_CLASSES]; /* where newcomers begin */
	uint64_t served_ms[FETCH_CLASSES];
	struct fetch_batches batches;
	size_t bytes_inflight;
	unsigned int inflight;
	uint64_t swept_ms;
	bool stopping;
	/* figures */
	_Atomic uint64_t bytes, shards, errors, verify_failures;
	_Atomic uint64_t class_bytes[FETCH_CLASSES], late, twice_bytes;
	unsigned int thread_count;
	pthread_t threads[FETCH_THREADS_MAX], watcher;
	bool watching;
};

/* --- fetch_flight.c ------------------------------------------------------ */

/* lock; NULL: none. */
struct fetch_flight *fetch_flight_find(struct fetch *fetch,
				       const struct digest *name);
/* Joins its flight, or makes one and queues it.  lock; -ENOMEM. */
MUST_CHECK int fetch_flight_join(struct fetch *fetch, struct fetch_job *job);
/* lock; it may be freed. */
void fetch_flight_put(struct fetch_flight *flight);
/* Ends it: out of hash and queue; its jobs, to be told without the lock.
 * NULL: it has ended. */
struct fetch_job *fetch_flight_end(struct fetch *fetch,
				   struct fetch_flight *flight);
/* It has been put into the store; lock, before its flight ends. */
void fetch_flight_stored(struct fetch *fetch,
			 const struct fetch_flight *flight);
/* Has it been since the job's caller looked there?  lock.  After more than
 * FETCH_STORED others: not known, false. */
bool fetch_was_stored(struct fetch *fetch, const struct fetch_job *job);
/* Without the lock: done() of each. */
void fetch_tell(struct fetch *fetch, struct fetch_job *jobs, int rc,
		struct fetch_result *result);
/* lock */
bool fetch_flight_wanted(const struct fetch_flight *flight);
void fetch_flight_mark(struct fetch_flight *flight, unsigned int lane,
		       uint64_t until_ms);
bool fetch_flight_marked(const struct fetch_flight *flight, unsigned int lane,
			 uint64_t now);
/* One of its jobs with another route leads whose sources are well, or (down)
 * that has any at all; false: there is none. */
bool fetch_flight_turn(struct fetch *fetch, struct fetch_flight *flight,
		       bool down);

/* --- fetch_queue.c; with the lock ---------------------------------------- */

/* first: before those that wait.  -ENOMEM */
MUST_CHECK int fetch_queue_push(struct fetch *fetch,
				struct fetch_flight *flight, bool first);
/* To another group of the queue; false: no memory, it stays where it is. */
bool fetch_queue_move(struct fetch *fetch, struct fetch_flight *flight,
		      enum fetch_class fetch_class, uint32_t who,
		      struct fetch_job *lead);
void fetch_queue_pull(struct fetch *fetch, struct fetch_flight *flight);
/* The tenant has had so much. */
void fetch_queue_charge(struct fetch *fetch, enum fetch_class fetch_class,
			uint32_t who, uint64_t bytes);
uint64_t fetch_queue_spent(struct fetch *fetch,
			   const struct fetch_group *group);

/* --- fetch_lane.c; with the lock ----------------------------------------- */

/* The upstreams' list has changed: so do the lanes. */
void fetch_lanes_sync(struct fetch *fetch);
void fetch_lanes_free(struct fetch *fetch);
struct fetch_lane *fetch_lane_named(struct fetch *fetch, const char *name);
/* May it be asked by this class now?  Else *wake_ms is lowered to when, if
 * that is known. */
bool fetch_lane_open(struct fetch *fetch, const struct fetch_lane *lane,
		     enum fetch_class fetch_class, uint64_t *wake_ms);
/* Is a the better source? */
bool fetch_lane_better(const struct fetch_lane *a, const struct fetch_lane *b,
		       const char *origin, uint64_t now);
void fetch_lane_gone(struct fetch_lane *lane, const struct digest *pack,
		     uint64_t until_ms);
bool fetch_lane_is_gone(const struct fetch_lane *lane,
			const struct digest *pack, uint64_t now);
/* Account of a request that is over. */
void fetch_lane_judge(struct fetch *fetch, struct fetch_batch *batch,
		      uint64_t now);
enum fetch_amiss { FETCH_AMISS_LATE, FETCH_AMISS_GONE, FETCH_AMISS_WRONG };
void fetch_lane_amiss(struct fetch_lane *lane, enum fetch_amiss what,
		      uint64_t now);
uint64_t fetch_backoff_ms(struct fetch *fetch, unsigned int fails);

/* --- fetch_pick.c; with the lock ----------------------------------------- */

/* The next thing to do, taken; false: nothing before *wake_ms. */
bool fetch_pick(struct fetch *fetch, struct fetch_batch *batch,
		uint64_t *wake_ms);
/* Could the flight go to a source that it is not being asked of?  It need not
 * be open now, but well. */
bool fetch_has_other(struct fetch *fetch, const struct fetch_flight *flight,
		     uint64_t now);
/* Is every source that is well marked for it? */
bool fetch_all_marked(struct fetch *fetch, const struct fetch_flight *flight,
		      uint64_t now);
/* Is there any source that is well, for this route? */
bool fetch_route_well(struct fetch *fetch, struct route *route, uint64_t now);
/* Is there none left at all, not even one that is down? */
bool fetch_route_void(struct fetch *fetch, struct route *route, uint64_t now);

/* --- fetch_range.c; without the lock ------------------------------------- */

void fetch_run(struct fetch *fetch, struct fetch_batch *batch);
/* No request for now: its memory goes. */
void fetch_batch_rest(struct fetch_batch *batch);
/* The upstream answered, but not with the shard. */
bool fetch_is_bad(int rc);

/* --- fetch_settle.c ------------------------------------------------------ */

/* After a batch; takes what it holds.  Without the lock. */
void fetch_settle(struct fetch *fetch, struct fetch_batch *batch);
/* The flight is no longer in the hand of this lane; lock. */
void fetch_hand_back(struct fetch_flight *flight,
		     const struct fetch_lane *lane);
/* Ends those in the queue that have waited too long; their jobs.  lock */
struct fetch_job *fetch_sweep(struct fetch *fetch, uint64_t now);
/* All of whose items have ended elsewhere: end these requests; lock. */
void fetch_cancel_idle(struct fetch *fetch);

/* --- fetch_watch.c ------------------------------------------------------- */

void *fetch_watch_main(void *fetch);

#endif
