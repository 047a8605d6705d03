/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict_gate: answers from an estimate: what the files took when they were last
 * looked at, and what was put since.  Before it refuses for want of room it
 * looks itself: what the thread saw may be long merged and gone.
 */
#include <time.h>

#include "depot/clock.h"
#include "depot/evict_inside.h"
#include "depot/log.h"
#include "depot/store.h"

enum {
	EVICT_GLANCE_MS = 4,     /* between two looks of the gate */
	EVICT_GLANCE_PART = 256, /* of the quota that was put since */
	EVICT_LOOK_PART = 64,    /* likewise: the thread looks */
};

uint64_t evict_percent(const struct evict *evict, unsigned int percent)
{
	return evict->options.quota / 100 * percent;
}

uint64_t evict_used(struct evict *evict)
{
	return atomic_load(&evict->disk) + atomic_load(&evict->put);
}

void evict_kick(struct evict *evict)
{
	if (atomic_exchange(&evict->kicked, true))
		return;
	pthread_mutex_lock(&evict->lock);
	pthread_cond_broadcast(&evict->wake);
	pthread_mutex_unlock(&evict->lock);
}

/* What is put during the look counts twice, which errs on the safe side. */
void evict_measure(struct evict *evict)
{
	struct store *store = evict->options.store;
	uint64_t put, coming;

	pthread_mutex_lock(&evict->look_lock);
	put = atomic_load(&evict->put);
	atomic_store(&evict->disk,
		     store_disk_bytes(store) + store_unwritten_bytes(store));
	coming = store_unmerged_bytes(store);
	if (evict->options.quota > 0)
		coming += evict_window_bytes(evict);
	atomic_store(&evict->coming, coming);
	atomic_fetch_sub(&evict->put, put);
	atomic_store(&evict->looked_ms, clock_coarse_ms());
	pthread_mutex_unlock(&evict->look_lock);
}

/* --- room ---------------------------------------------------------------- */

/* The files as they will be while the next compaction runs.  What is put counts
 * twice: where it is written, and where it is merged to. */
static bool evict_fits(struct evict *evict, size_t len)
{
	uint64_t put = atomic_load(&evict->put) + len;
	uint64_t used = atomic_load(&evict->disk) + put;

#ifdef BROKEN_IGNORE_QUOTA
	return true; /* the control of test_store_evict */
#endif
	return used + put + atomic_load(&evict->coming) <=
		   evict_percent(evict, EVICT_FULL) &&
	       (!atomic_load(&evict->full) ||
		used <= evict_percent(evict, EVICT_HIGH));
}

/* So much was put that a look may change the answer; a large store's files are
 * many, so that its looks are rare. */
static bool evict_may_glance(struct evict *evict)
{
	return atomic_load(&evict->put) >=
		   evict->options.quota / EVICT_GLANCE_PART &&
	       clock_coarse_ms() - atomic_load(&evict->looked_ms) >=
		   EVICT_GLANCE_MS;
}

bool evict_has_room(struct evict *evict, size_t len)
{
	bool room;

	if (evict->options.quota == 0)
		return true;
	room = evict_fits(evict, len);
	if (!room && evict_may_glance(evict)) {
		evict_measure(evict);
		room = evict_fits(evict, len);
	}
	if (!room || evict_used(evict) > evict_percent(evict, EVICT_HIGH) ||
	    atomic_load(&evict->put) > evict->options.quota / EVICT_LOOK_PART)
		evict_kick(evict);
	return room;
}

static bool evict_is_worth(struct evict *evict, const struct digest *name)
{
	unsigned int bar = atomic_load(&evict->bar);

	if (bar <= 1 || evict->options.quota == 0 ||
	    evict_used(evict) <= evict_percent(evict, EVICT_LOW))
		return true;
	/* What is fetched ahead will be read at least once. */
	if (MAX(usage_get(evict->options.usage, name), 1u) >= bar)
		return true;
	/* The bar is of the last step: how long ago was that? */
	if (!atomic_exchange(&evict->barred, true))
		evict_kick(evict);
	return false;
}

/* --- the gate ------------------------------------------------------------ */

static bool evict_admits(void *ctx, const struct digest *name, size_t len)
{
	struct evict *evict = ctx;
	bool stays = evict_has_room(evict, len) &&
		     !atomic_load(&evict->tight) && evict_is_worth(evict, name);

	if (!stays)
		atomic_fetch_add(&evict->refused, 1);
	return stays;
}

/* A package is being made: it waits a moment for others to go. */
static int evict_make_room(void *ctx, size_t len)
{
	struct evict *evict = ctx;
	uint64_t until = clock_coarse_ms() + EVICT_WAIT_S * 1000;
	struct timespec pause = {0, 20000000};

	while (!evict_has_room(evict, len)) {
		if (atomic_load(&evict->full) || clock_coarse_ms() >= until)
			return log_err(
			    -ENOSPC,
			    "the store's quota of %ju MiB is reached and holds "
			    "%ju MiB that cannot be evicted (made here or "
			    "pinned); raise [store] size, unpin or remove "
			    "packages",
			    (uintmax_t)(evict->options.quota >> 20),
			    (uintmax_t)(atomic_load(&evict->kept_bytes) >> 20));
		evict_kick(evict);
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void evict_was_put(void *ctx, size_t len)
{
	struct evict *evict = ctx;

	atomic_fetch_add(&evict->put, len);
}

const struct store_gate evict_gate = {evict_admits, evict_make_room,
				      evict_was_put};
