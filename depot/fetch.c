/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: threads, and the way in and out.
 */
#include "depot/fetch.h"

#include <signal.h>
#include <time.h>

#include "depot/fetch_inside.h"
#include "depot/log.h"

enum {
	FETCH_BACKOFF_MIN_MS = 200,
	FETCH_BACKOFF_MAX_MS = 10000,
	FETCH_GIVE_UP_MS = 5 * 60 * 1000,
	FETCH_LATE_MS = 2000,
	FETCH_SILENT_MS = 15000,
	FETCH_SLOW_MS = 10000,
	FETCH_AVOID_MS = 60000,
};

/* --- threads ------------------------------------------------------------- */

static void fetch_wait(struct fetch *fetch, uint64_t until_ms)
{
	struct timespec ts = {
	    .tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000) * 1000000,
	};

	pthread_cond_timedwait(&fetch->wake, &fetch->lock, &ts);
}

static void *fetch_main(void *arg)
{
	struct fetch *fetch = arg;
	struct fetch_batch batch = {.bytes = NULL};
	uint64_t wake_at_ms;

	pthread_setname_np(pthread_self(), "fetch");
	pthread_mutex_lock(&fetch->lock);
	while (!fetch->stopping) {
		bool busy = fetch_pick(fetch, &batch, &wake_at_ms);

		/* There may be more: one other at a time looks. */
		if (busy)
			pthread_cond_signal(&fetch->wake);
		if (!busy) {
			fetch_batch_rest(&batch);
			fetch_wait(fetch, wake_at_ms);
		}
		pthread_mutex_unlock(&fetch->lock);
		if (busy) {
			fetch_run(fetch, &batch);
			fetch_settle(fetch, &batch);
		}
		store_flush_by_timer(fetch->store);
		pthread_mutex_lock(&fetch->lock);
	}
	pthread_mutex_unlock(&fetch->lock);
	fetch_batch_rest(&batch);
	return NULL;
}

static int fetch_start_threads(struct fetch *fetch)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* The number is read by the threads: under the lock. */
	pthread_mutex_lock(&fetch->lock);
	rc = pthread_create(&fetch->watcher, NULL, fetch_watch_main, fetch);
	fetch->watching = rc == 0;
	while (rc == 0 && fetch->thread_count < fetch->options.threads) {
		rc = pthread_create(&fetch->threads[fetch->thread_count], NULL,
				    fetch_main, fetch);
		if (rc == 0)
			fetch->thread_count++;
	}
	pthread_mutex_unlock(&fetch->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static uint64_t fetch_or(uint64_t value, uint64_t otherwise)
{
	return value ? value : otherwise;
}

static void fetch_set_options(struct fetch *fetch,
			      const struct fetch_options *options)
{
	struct fetch_options *o = &fetch->options;

	o->threads =
	    (unsigned int)MIN(fetch_or(options->threads, FETCH_THREADS),
			      UINT64_C(0) + FETCH_THREADS_MAX);
	o->bytes_max = fetch_or(options->bytes_max, FETCH_BYTES);
	o->lane_bytes_max = fetch_or(options->lane_bytes_max, o->bytes_max);
	o->backoff_min_ms =
	    fetch_or(options->backoff_min_ms, FETCH_BACKOFF_MIN_MS);
	o->backoff_max_ms =
	    fetch_or(options->backoff_max_ms, FETCH_BACKOFF_MAX_MS);
	o->give_up_ms = fetch_or(options->give_up_ms, FETCH_GIVE_UP_MS);
	o->linger_ms = fetch_or(options->linger_ms, FETCH_LINGER_S * 1000);
	o->late_ms = fetch_or(options->late_ms, FETCH_LATE_MS);
	o->silent_ms = fetch_or(options->silent_ms, FETCH_SILENT_MS);
	o->slow_ms = fetch_or(options->slow_ms, FETCH_SLOW_MS);
	o->avoid_ms = fetch_or(options->avoid_ms, FETCH_AVOID_MS);
}

int fetch_new(struct kv *state, const char *root, struct store *store,
	      struct upstreams *upstreams, const struct fetch_options *options,
	      struct fetch **fetch)
{
	pthread_condattr_t attr;
	struct fetch *f;
	int rc;

	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->state = state;
	f->root = root;
	f->store = store;
	f->upstreams = upstreams;
	fetch_set_options(f, options);
	atomic_init(&f->stored_count, 1); /* 0 is: not looked */
	TAILQ_INIT(&f->batches);
	for (unsigned int c = 0; c < FETCH_CLASSES; c++)
		TAILQ_INIT(&f->groups[c]);
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
	pthread_cond_init(&f->watch_wake, &attr);
	pthread_condattr_destroy(&attr);
	rc = routes_new(state, root, &f->routes);
	if (rc == 0)
		rc = fetch_start_threads(f);
	if (rc < 0) {
		fetch_free(f);
		return rc;
	}
	*fetch = f;
	return 0;
}

/* Of all flights there are; lock. */
static struct fetch_job *fetch_end_all(struct fetch *fetch)
{
	struct fetch_job *over = NULL, *jobs, *next;

	for (unsigned int i = 0; i < FETCH_HASH; i++)
		while (fetch->hash[i])
			for (jobs = fetch_flight_end(fetch, fetch->hash[i]);
			     jobs; jobs = next) {
				next = jobs->joined;
				jobs->joined = over;
				over = jobs;
			}
	return over;
}

void fetch_stop(struct fetch *fetch)
{
	struct fetch_job *over;

	pthread_mutex_lock(&fetch->lock);
	fetch->stopping = true;
	pthread_cond_broadcast(&fetch->wake);
	pthread_cond_signal(&fetch->watch_wake);
	pthread_mutex_unlock(&fetch->lock);
	upstreams_stop(fetch->upstreams);
	for (unsigned int i = 0; i < fetch->thread_count; i++)
		pthread_join(fetch->threads[i], NULL);
	fetch->thread_count = 0;
	if (fetch->watching)
		pthread_join(fetch->watcher, NULL);
	fetch->watching = false;
	pthread_mutex_lock(&fetch->lock);
	over = fetch_end_all(fetch);
	pthread_mutex_unlock(&fetch->lock);
	fetch_tell(fetch, over, -EIO, NULL);
}

void fetch_free(struct fetch *fetch)
{
	if (!fetch)
		return;
	fetch_stop(fetch);
	fetch_lanes_free(fetch);
	routes_free(fetch->routes);
	pthread_cond_destroy(&fetch->watch_wake);
	pthread_cond_destroy(&fetch->wake);
	pthread_mutex_destroy(&fetch->lock);
	free(fetch);
}

/* --- asking -------------------------------------------------------------- */

static int fetch_find_route(struct fetch *fetch, struct fetch_job *job)
{
	char shard[DIGEST_HEX_LEN + 1], tree[DIGEST_HEX_LEN + 1];
	int rc;

	rc = route_get(fetch->routes, job->tree, &job->route);
	if (rc == -ENOMEM)
		return rc;
	if (rc == 0)
		return 0;
	digest_to_hex(tree_shard_name(job->tree, job->shard), shard);
	digest_to_hex(tree_digest(job->tree), tree);
	log_err(0,
		"shard %s is not here, and its tree %s came from no "
		"upstream",
		shard, tree);
	return -EIO;
}

/* Into its flight; or the reason why not. */
static int fetch_queue_job(struct fetch *fetch, struct fetch_job *job)
{
	struct fetch_lane *lane;

	if (fetch->stopping)
		return -EIO;
	if (!fetch_flight_find(fetch, tree_shard_name(job->tree, job->shard)) &&
	    fetch_was_stored(fetch, job))
		return -EEXIST;
	lane = fetch_lane_named(fetch, route_origin(job->route));
	if (lane)
		route_bind_origin(fetch->routes, job->route, lane->number);
	return fetch_flight_join(fetch, job);
}

static void fetch_refuse(struct fetch *fetch, struct fetch_job *list, int rc)
{
	struct fetch_job *next;

	for (; list; list = next) {
		next = list->next;
		list->joined = NULL;
		fetch_tell(fetch, list, rc, NULL);
	}
}

uint64_t fetch_stored_count(struct fetch *fetch)
{
	return atomic_load(&fetch->stored_count);
}

void fetch_submit(struct fetch *fetch, struct fetch_job *list)
{
	struct fetch_job *refused = NULL, *lost = NULL, *here = NULL, **to;
	struct fetch_job *job, *next;
	struct fetch_job *found = NULL, **end = &found;
	int rc;

	for (job = list; job; job = next) {
		next = job->next;
		job->route = NULL;
		job->next = lost;
		if (fetch_find_route(fetch, job) < 0) {
			lost = job;
			continue;
		}
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	pthread_mutex_lock(&fetch->lock);
	fetch_lanes_sync(fetch);
	for (job = found; job; job = next) {
		next = job->next;
		rc = fetch_queue_job(fetch, job);
		if (rc == 0)
			continue;
		to = rc == -ENOMEM ? &refused : rc == -EEXIST ? &here : &lost;
		job->next = *to;
		*to = job;
	}
	pthread_cond_signal(&fetch->wake);
	pthread_cond_signal(&fetch->watch_wake);
	pthread_mutex_unlock(&fetch->lock);
	fetch_refuse(fetch, refused, -ENOMEM);
	fetch_refuse(fetch, here, -EEXIST);
	fetch_refuse(fetch, lost, -EIO);
}

void fetch_forget(struct fetch *fetch, const struct digest *tree)
{
	routes_forget(fetch->routes, tree);
}

void fetch_get_stats(struct fetch *fetch, struct fetch_stats *stats)
{
	stats->bytes = atomic_load(&fetch->bytes);
	stats->shards = atomic_load(&fetch->shards);
	stats->errors = atomic_load(&fetch->errors);
	stats->verify_failures = atomic_load(&fetch->verify_failures);
	for (unsigned int c = 0; c < FETCH_CLASSES; c++)
		stats->class_bytes[c] = atomic_load(&fetch->class_bytes[c]);
	stats->late = atomic_load(&fetch->late);
	stats->twice_bytes = atomic_load(&fetch->twice_bytes);
	pthread_mutex_lock(&fetch->lock);
	stats->waiting = fetch->flights;
	pthread_mutex_unlock(&fetch->lock);
}
