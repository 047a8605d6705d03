/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_watch: one thread that looks on.  A request that brings nothing for a
 * while, or too little, is late, and what it was to bring may be asked of
 * another source; one that is silent for long is ended.  Flights that no source
 * can be asked for are given up in time.
 */
#include <time.h>

#include "depot/fetch_inside.h"
#include "depot/log.h"

enum {
	FETCH_SLOW_BYTES_PER_S = 1024,
	FETCH_TICKS = 8, /* in the time after which a request is late */
	FETCH_TICK_MIN_MS = 2,
	FETCH_TICK_MAX_MS = 250,
};

/* --- requests ------------------------------------------------------------ */

/* What it has not brought may be asked of others. */
static void fetch_batch_late(struct fetch *fetch, struct fetch_batch *batch,
			     uint64_t now)
{
	bool others = false;

	batch->late = true;
	batch->lane->late++;
	fetch_lane_amiss(batch->lane, FETCH_AMISS_LATE, now);
#ifdef BROKEN_NO_HEDGE
	return;
#endif
	for (unsigned int i = batch->count; i-- > 0;) {
		struct fetch_flight *flight = batch->items[i].flight;

		if (flight->ended || flight->group ||
		    !fetch_has_other(fetch, flight, now))
			continue;
		flight->not_before_ms = now;
		if (fetch_queue_push(fetch, flight, true) == 0)
			others = true;
	}
	if (others) {
		atomic_fetch_add(&fetch->late, 1);
		pthread_cond_signal(&fetch->wake);
	}
}

/* Slower than FETCH_SLOW_BYTES_PER_S over slow_ms? */
static bool fetch_batch_slow(struct fetch *fetch, struct fetch_batch *batch,
			     uint64_t now)
{
	uint64_t ms = now - batch->window_ms;
	bool slow;

	if (ms < fetch->options.slow_ms)
		return false;
	slow = batch->seen - batch->window_got <
	       ms * FETCH_SLOW_BYTES_PER_S / 1000;
	batch->window_ms = now;
	batch->window_got = batch->seen;
	return slow;
}

static void fetch_watch_batch(struct fetch *fetch, struct fetch_batch *batch,
			      uint64_t now)
{
	size_t got = atomic_load(&batch->got);
	uint64_t still_ms;

	/* All here: what is left is ours, proofs and the disk. */
	if (!batch->find && got == batch->len)
		return;
	if (got != batch->seen) {
		batch->seen = got;
		batch->moved_ms = now;
	}
	still_ms = now - batch->moved_ms;
	if (!batch->late && (still_ms >= fetch->options.late_ms ||
			     fetch_batch_slow(fetch, batch, now)))
		fetch_batch_late(fetch, batch, now);
	if (still_ms >= fetch->options.silent_ms && !batch->silent) {
		batch->silent = true;
		atomic_store(&batch->watch.cancel, true);
	}
}

/* --- the thread ---------------------------------------------------------- */

static uint64_t fetch_tick_ms(const struct fetch *fetch)
{
	return MIN(MAX(fetch->options.late_ms / FETCH_TICKS,
		       (uint64_t)FETCH_TICK_MIN_MS),
		   (uint64_t)FETCH_TICK_MAX_MS);
}

static void fetch_watch_wait(struct fetch *fetch)
{
	struct timespec until = clock_after_ms(fetch_tick_ms(fetch));

	if (TAILQ_EMPTY(&fetch->batches) && fetch->flights == 0)
		pthread_cond_wait(&fetch->watch_wake, &fetch->lock);
	else
		pthread_cond_timedwait(&fetch->watch_wake, &fetch->lock,
				       &until);
}

static void fetch_watch_sweep(struct fetch *fetch, uint64_t now)
{
	struct fetch_job *over;

	if (now - fetch->swept_ms < fetch_tick_ms(fetch))
		return;
	fetch->swept_ms = now;
	over = fetch_sweep(fetch, now);
	if (!over)
		return;
	pthread_mutex_unlock(&fetch->lock);
	log_err(0, "shards were given up: no upstream that has them was there");
	fetch_tell(fetch, over, -EIO, NULL);
	pthread_mutex_lock(&fetch->lock);
}

void *fetch_watch_main(void *arg)
{
	struct fetch *fetch = arg;
	struct fetch_batch *batch;

	pthread_setname_np(pthread_self(), "fetch-watch");
	pthread_mutex_lock(&fetch->lock);
	while (!fetch->stopping) {
		uint64_t now = clock_ms();

		TAILQ_FOREACH(batch, &fetch->batches, link)
		fetch_watch_batch(fetch, batch, now);
		fetch_watch_sweep(fetch, now);
		if (!fetch->stopping)
			fetch_watch_wait(fetch);
	}
	pthread_mutex_unlock(&fetch->lock);
	return NULL;
}
