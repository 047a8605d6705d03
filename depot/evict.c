/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict: the thread that looks and evicts, and its life.  The gate is
 * evict_gate.c's, one step evict_step.c's.
 *
 * Locks: evict->lock is held for moments, under no other and above none;
 * look_lock, of who measures, above none but the store's.
 */
#include "depot/evict.h"

#include <time.h>

#include "depot/clock.h"
#include "depot/evict_inside.h"
#include "depot/lease.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "depot/space.h"
#include "depot/store.h"

enum {
	EVICT_IDLE_MS = 5000,   /* between two looks, when nobody asks */
	EVICT_LOOK_MS = 20,     /* when somebody does */
	EVICT_STUCK_MS = 30000, /* until it is tried again */
	EVICT_SLICES = 64,      /* a part of 256 */
	EVICT_BAR_MS = 2000,    /* that a bar which refuses is believed */
	EVICT_BARREN_MAX = 16,  /* steps that freed nothing */
	EVICT_UPPER_MIN = 2 << 20,
};

/* --- what must stay ------------------------------------------------------ */

void evict_kept_changed(struct evict *evict)
{
	atomic_store(&evict->kept_stale, true);
	atomic_store(&evict->full, false);
	evict_kick(evict);
}

/* A lease that was closed since may have named a tree that we do not know. */
static bool evict_knows_kept(struct evict *evict)
{
	return !atomic_load(&evict->kept_stale) &&
	       (!evict->options.leases ||
		leases_closes(evict->options.leases) == evict->closes);
}

static int evict_learn_kept(struct evict *evict)
{
	struct kept *kept;
	uint64_t known;
	int rc;

	if (evict_knows_kept(evict))
		return 0;
	atomic_store(&evict->kept_stale, false);
	if (evict->options.leases)
		evict->closes = leases_closes(evict->options.leases);
	rc = evict->options.kept(evict->options.ctx, &kept, &known);
	if (rc < 0) {
		atomic_store(&evict->kept_stale, true);
		return log_err(rc, "store: what must stay is not known; "
				   "nothing is evicted");
	}
	kept_free(evict->kept);
	kept_sort(kept);
	evict->kept = kept;
	usage_grow(evict->options.usage, known);
	return 0;
}

/* --- the thread ---------------------------------------------------------- */

static void evict_look(struct evict *evict)
{
	struct space_stats space;
	struct store_stats store;

	evict_measure(evict);
	store_get_stats(evict->options.store, &store);
	if (evict->options.quota > 0)
		usage_set_residents(evict->options.usage, USAGE_DISK,
				    store.shards);
	usage_grow(evict->options.usage, store.shards);
	if (!evict->options.space || evict->options.free_min == 0)
		return;
	space_get_stats(evict->options.space, &space);
	atomic_store(&evict->tight, space.free < evict->options.free_min);
	evict->lacking = space.free < evict->options.free_min / 4 * 5
			     ? evict->options.free_min / 4 * 5 - space.free
			     : 0;
}

static bool evict_wants(struct evict *evict, unsigned int percent)
{
	return (evict->options.quota > 0 &&
		evict_used(evict) > evict_percent(evict, percent)) ||
	       evict->lacking > 0;
}

/* Also when it is the room for compaction that is short. */
static bool evict_must(struct evict *evict)
{
	return evict_wants(evict, EVICT_HIGH) ||
	       (evict->options.quota > 0 &&
		evict_used(evict) + atomic_load(&evict->coming) >
		    evict_percent(evict, EVICT_TIGHT));
}

/* Is there more that is not merged than what a step takes anyway, and what the
 * upper levels hold at any time?  Merging it makes room that costs no shard. */
static bool evict_can_merge(struct evict *evict)
{
	return atomic_load(&evict->coming) > evict_window_bytes(evict) +
						 evict->options.quota / 16 +
						 EVICT_UPPER_MIN;
}

/* Does it help to evict some more? */
static bool evict_may_evict(struct evict *evict)
{
	return evict_wants(evict, EVICT_LOW) ||
	       (evict_must(evict) && !evict_can_merge(evict));
}

static bool evict_stopping(struct evict *evict)
{
	bool stop;

	pthread_mutex_lock(&evict->lock);
	stop = evict->stop;
	pthread_mutex_unlock(&evict->lock);
	return stop;
}

static void evict_say_full(struct evict *evict)
{
	if (!atomic_exchange(&evict->full, true))
		log_warn("store: packages made here or pinned take about %ju "
			 "MiB; that leaves no room within the quota of %ju MiB "
			 "and %ju MiB of free space: what is fetched is not "
			 "stored",
			 (uintmax_t)(atomic_load(&evict->kept_bytes) >> 20),
			 (uintmax_t)(evict->options.quota >> 20),
			 (uintmax_t)(evict->options.free_min >> 20));
	evict->rest_until_ms = clock_coarse_ms() + EVICT_STUCK_MS;
}

/*
 * Not the shards take too much but what merging them might: so they are merged
 * now, a slice of the names at a time, until there is room to put some more.
 */
static void evict_merge(struct evict *evict)
{
	struct digest from, to;

	for (unsigned int i = 0; i < EVICT_SLICES; i++) {
		if (!evict_must(evict) || !evict_can_merge(evict) ||
		    evict_stopping(evict) ||
		    store_error(evict->options.store) < 0)
			return;
		memset(from.bytes, 0, sizeof(from.bytes));
		memset(to.bytes, 0xff, sizeof(to.bytes));
		from.bytes[0] = (uint8_t)(evict->slice * 256 / EVICT_SLICES);
		to.bytes[0] =
		    (uint8_t)((evict->slice + 1) * 256 / EVICT_SLICES - 1);
		evict->slice = (evict->slice + 1) % EVICT_SLICES;
		if (store_compact(evict->options.store, &from, &to) < 0)
			return;
		evict_look(evict);
	}
}

/* Down to the low mark, or till nothing more goes: false. */
static bool evict_shrink(struct evict *evict)
{
	unsigned int barren = 0;
	uint64_t freed;

	while (evict_may_evict(evict) && !evict_stopping(evict)) {
		if (store_error(evict->options.store) < 0 ||
		    evict_learn_kept(evict) < 0)
			return true;
		freed = evict_step(evict);
		evict_look(evict);
		barren = freed > 0 ? 0 : barren + 1;
		if (barren == EVICT_BARREN_MAX)
			return false;
	}
	return true;
}

/* It is full when nothing more goes and merging does not help, either. */
static void evict_pass(struct evict *evict)
{
	bool shrinks = evict_shrink(evict);

	evict_merge(evict);
	if (!evict_must(evict))
		atomic_store(&evict->full, false);
	else if (!shrinks)
		evict_say_full(evict);
}

/* Newcomers are held up to the last step's victims, but no step may come for
 * long, and what is here is worth less and less. */
static void evict_lower_bar(struct evict *evict)
{
	if (atomic_load(&evict->barred) &&
	    clock_coarse_ms() - evict->learnt_ms >= EVICT_BAR_MS) {
		atomic_store(&evict->barred, false);
		evict_sample(evict);
	}
}

static void evict_save(struct evict *evict)
{
	int rc = usage_save(evict->options.usage, evict->options.usage_path);

	evict->saved_ms = clock_coarse_ms();
	if (rc < 0)
		log_warn("%s: usage counters not saved: %s",
			 evict->options.usage_path, strerror(-rc));
}

/* lock */
static void evict_sleep(struct evict *evict, int ms, bool deaf)
{
	struct timespec until = clock_after_ms((uint64_t)ms);

	while (!evict->stop && (deaf || !atomic_load(&evict->kicked)) &&
	       pthread_cond_timedwait(&evict->wake, &evict->lock, &until) == 0)
		;
}

static void *evict_main(void *arg)
{
	struct evict *evict = arg;
	uint64_t now;

	pthread_setname_np(pthread_self(), "evict");
	pthread_mutex_lock(&evict->lock);
	while (!evict->stop) {
		atomic_store(&evict->kicked, false);
		pthread_mutex_unlock(&evict->lock);
		now = clock_coarse_ms();
		evict_look(evict);
		if (atomic_load(&evict->kept_stale))
			(void)!evict_learn_kept(evict);
		if (evict_must(evict) &&
		    (now >= evict->rest_until_ms || !atomic_load(&evict->full)))
			evict_pass(evict);
		evict_lower_bar(evict);
		if (now - evict->saved_ms > EVICT_SAVE_S * 1000)
			evict_save(evict);
		pthread_mutex_lock(&evict->lock);
		/* Kicks of this long are answered together. */
		evict_sleep(evict, EVICT_LOOK_MS, true);
		evict_sleep(evict, EVICT_IDLE_MS, false);
	}
	pthread_mutex_unlock(&evict->lock);
	return NULL;
}

/* --- life ---------------------------------------------------------------- */

static void evict_load(struct evict *evict)
{
	int rc = usage_load(evict->options.usage, evict->options.usage_path);

	if (rc < 0 && rc != -ENOENT)
		log_warn("%s: %s; usage counters begin anew",
			 evict->options.usage_path, strerror(-rc));
}

int evict_new(const struct evict_options *options, struct evict **evict)
{
	struct evict *e = calloc(1, sizeof(*e));
	pthread_condattr_t attr;
	int rc;

	if (!e)
		return -ENOMEM;
	e->options = *options;
	if (e->options.quota > 0)
		e->options.quota = MAX(e->options.quota, EVICT_QUOTA_MIN);
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->look_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, &attr);
	pthread_condattr_destroy(&attr);
	e->usage_path = strdup(options->usage_path);
	e->options.usage_path = e->usage_path;
	e->kept = kept_new();
	atomic_store(&e->kept_stale, true);
	e->saved_ms = clock_coarse_ms();
	rc = e->usage_path && e->kept ? 0 : -ENOMEM;
	if (rc == 0) {
		evict_load(e);
		evict_look(e);
		store_set_gate(e->options.store, &evict_gate, e);
		rc = -pthread_create(&e->thread, NULL, evict_main, e);
	}
	e->running = rc == 0;
	if (rc < 0) {
		evict_free(e);
		return rc;
	}
	*evict = e;
	return 0;
}

void evict_stop(struct evict *evict)
{
	if (!evict || !evict->running)
		return;
	pthread_mutex_lock(&evict->lock);
	evict->stop = true;
	pthread_cond_broadcast(&evict->wake);
	pthread_mutex_unlock(&evict->lock);
	pthread_join(evict->thread, NULL);
	evict->running = false;
	evict_save(evict);
}

void evict_free(struct evict *evict)
{
	if (!evict)
		return;
	evict_stop(evict);
	store_set_gate(evict->options.store, NULL, NULL);
	kept_free(evict->kept);
	free(evict->usage_path);
	pthread_cond_destroy(&evict->wake);
	pthread_mutex_destroy(&evict->look_lock);
	pthread_mutex_destroy(&evict->lock);
	free(evict);
}

void evict_get_stats(struct evict *evict, struct evict_stats *stats)
{
	stats->disk_bytes = atomic_load(&evict->disk);
	stats->quota = evict->options.quota;
	stats->kept_bytes = atomic_load(&evict->kept_bytes);
	stats->shards = atomic_load(&evict->shards);
	stats->bytes = atomic_load(&evict->bytes);
	stats->refused = atomic_load(&evict->refused);
	stats->full = atomic_load(&evict->full);
	stats->room = evict_has_room(evict, SHARD_CHUNK_MAX);
}
