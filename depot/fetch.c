/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch: threads, and the way in and out.  One mutex guards all lanes and is
 * never held over a request, a proof, or done().
 */
#include "depot/fetch.h"

#include <signal.h>
#include <time.h>

#include "depot/cache.h"
#include "depot/fetch_inside.h"
#include "depot/log.h"

enum {
	FETCH_BACKOFF_MIN_MS = 200,
	FETCH_BACKOFF_MAX_MS = 10000,
	FETCH_GIVE_UP_MS = 5 * 60 * 1000,
};

uint64_t fetch_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* --- one flight per shard ------------------------------------------------ */

static struct fetch_job **fetch_slot(struct fetch *fetch,
				     const struct fetch_job *job)
{
	const struct digest *name = tree_shard_name(job->tree, job->shard);

	return &fetch->first[le32_get(name->bytes) & (FETCH_HASH - 1)];
}

/* Joins the job of the same shard that is under way, if there is one; else it
 * is the first; lock. */
static bool fetch_join_first(struct fetch *fetch, struct fetch_job *job)
{
	const struct digest *name = tree_shard_name(job->tree, job->shard);
	struct fetch_job **slot = fetch_slot(fetch, job), *first = *slot;

	while (first &&
	       !digest_equal(name, tree_shard_name(first->tree, first->shard)))
		first = first->hash_next;
	if (!first) {
		job->hash_next = *slot;
		*slot = job;
		return false;
	}
	job->joined = first->joined;
	first->joined = job;
	first->fetch_class = MIN(first->fetch_class, job->fetch_class);
	return true;
}

/* Nobody joins it any more; lock. */
static void fetch_leave_first(struct fetch *fetch, struct fetch_job *job)
{
	struct fetch_job **p = fetch_slot(fetch, job);

	while (*p && *p != job)
		p = &(*p)->hash_next;
	if (*p)
		*p = job->hash_next;
}

/* --- ends ---------------------------------------------------------------- */

/* done() may take the chunk: each gets one of its own. */
static void fetch_tell(struct fetch *fetch, struct fetch_job *job, int rc,
		       const struct fetch_result *result)
{
	struct fetch_result own;

	route_put(fetch->routes, job->route);
	job->route = NULL;
	if (rc < 0) {
		job->done(job, rc, NULL);
		return;
	}
	own = *result;
	own.chunk = cache_buffer(own.chunk_len);
	if (!own.chunk) {
		job->done(job, -ENOMEM, NULL);
		return;
	}
	memcpy(own.chunk, result->chunk, own.chunk_len);
	job->done(job, 0, &own);
	free(own.chunk);
}

void fetch_end(struct fetch *fetch, struct fetch_job *job, int rc,
	       struct fetch_result *result)
{
	struct fetch_job *joined, *next;

	pthread_mutex_lock(&fetch->lock);
	fetch_leave_first(fetch, job);
	pthread_mutex_unlock(&fetch->lock);
	for (joined = job->joined; joined; joined = next) {
		next = joined->joined;
		fetch_tell(fetch, joined, rc, result);
	}
	route_put(fetch->routes, job->route);
	job->route = NULL;
	job->done(job, rc, result);
}

static void fetch_end_all(struct fetch *fetch, struct fetch_job *list, int rc)
{
	struct fetch_job *next;

	for (; list; list = next) {
		next = list->next;
		fetch_end(fetch, list, rc, NULL);
	}
}

static void fetch_settle(struct fetch *fetch, struct fetch_batch *batch)
{
	struct fetch_job *hopeless = NULL;

	pthread_mutex_lock(&fetch->lock);
	fetch_lane_settle(fetch, batch, &hopeless);
	/* A lane may have opened: others can go on with it. */
	pthread_cond_broadcast(&fetch->wake);
	pthread_mutex_unlock(&fetch->lock);
	if (hopeless)
		log_err(0, "upstream %s: gave up a shard: %s",
			batch->lane->upstream,
			batch->fault.text[0] ? batch->fault.text
					     : "no right bytes");
	fetch_end_all(fetch, hopeless, -EIO);
}

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
	struct fetch_batch batch;
	uint64_t wake_at_ms;

	pthread_setname_np(pthread_self(), "fetch");
	pthread_mutex_lock(&fetch->lock);
	while (!fetch->stopping) {
		bool busy = fetch_pick(fetch, &batch, &wake_at_ms);

		if (!busy)
			fetch_wait(fetch, wake_at_ms);
		pthread_mutex_unlock(&fetch->lock);
		if (busy) {
			fetch_run(fetch, &batch);
			fetch_settle(fetch, &batch);
		}
		store_flush_by_timer(fetch->store);
		pthread_mutex_lock(&fetch->lock);
	}
	pthread_mutex_unlock(&fetch->lock);
	return NULL;
}

static int fetch_start_threads(struct fetch *fetch)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* The number is read by the threads: under the lock. */
	pthread_mutex_lock(&fetch->lock);
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

	o->threads = MIN(MAX(options->threads, 1u), FETCH_THREADS_MAX);
	o->backoff_min_ms =
	    fetch_or(options->backoff_min_ms, FETCH_BACKOFF_MIN_MS);
	o->backoff_max_ms =
	    fetch_or(options->backoff_max_ms, FETCH_BACKOFF_MAX_MS);
	o->give_up_ms = fetch_or(options->give_up_ms, FETCH_GIVE_UP_MS);
	o->linger_ms = fetch_or(options->linger_ms, FETCH_LINGER_S * 1000);
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
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
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

void fetch_stop(struct fetch *fetch)
{
	pthread_mutex_lock(&fetch->lock);
	fetch->stopping = true;
	pthread_cond_broadcast(&fetch->wake);
	pthread_mutex_unlock(&fetch->lock);
	upstreams_stop(fetch->upstreams);
	for (unsigned int i = 0; i < fetch->thread_count; i++)
		pthread_join(fetch->threads[i], NULL);
	fetch->thread_count = 0;
	for (struct fetch_lane *lane = fetch->lanes; lane; lane = lane->next) {
		struct fetch_job *jobs = lane->head;

		lane->head = NULL;
		lane->tail = &lane->head;
		fetch_end_all(fetch, jobs, -EIO);
	}
	fetch->queued = 0;
}

void fetch_free(struct fetch *fetch)
{
	struct fetch_lane *lane, *next;

	if (!fetch)
		return;
	fetch_stop(fetch);
	for (lane = fetch->lanes; lane; lane = next) {
		next = lane->next;
		free(lane);
	}
	routes_free(fetch->routes);
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

/* Into its lane; or the reason why not. */
static int fetch_queue(struct fetch *fetch, struct fetch_job *job)
{
	struct fetch_lane *lane;

	if (fetch->stopping)
		return -EIO;
	if (fetch_join_first(fetch, job))
		return 0;
	if (fetch->queued >= FETCH_QUEUE_MAX)
		return -ENOMEM;
	lane = fetch_lane_of(fetch, route_upstream(job->route));
	if (!lane)
		return -ENOMEM;
	fetch_lane_push(fetch, lane, job);
	return 0;
}

static void fetch_reset(struct fetch_job *job, uint64_t now)
{
	job->route = NULL;
	job->joined = job->hash_next = NULL;
	job->off = job->len = 0;
	job->tries = 0;
	job->rc = 0;
	job->taken = false;
	job->submitted_ms = now;
	job->bad_since_ms = job->not_before_ms = job->unwanted_since_ms = 0;
}

void fetch_submit(struct fetch *fetch, struct fetch_job *list)
{
	struct fetch_job *refused = NULL, *job, *next;
	uint64_t now = fetch_now_ms();

	for (job = list; job; job = job->next) {
		fetch_reset(job, now);
		job->rc = fetch_find_route(fetch, job);
	}
	pthread_mutex_lock(&fetch->lock);
	for (job = list; job; job = next) {
		next = job->next;
		if (job->rc == 0)
			job->rc = fetch_queue(fetch, job);
		if (job->rc < 0) {
			job->next = refused;
			refused = job;
		}
	}
	pthread_cond_broadcast(&fetch->wake);
	pthread_mutex_unlock(&fetch->lock);
	for (job = refused; job; job = next) {
		next = job->next;
		fetch_end(fetch, job, job->rc, NULL);
	}
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
	pthread_mutex_lock(&fetch->lock);
	stats->waiting = fetch->queued;
	pthread_mutex_unlock(&fetch->lock);
}
