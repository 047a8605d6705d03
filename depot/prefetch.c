/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch: the thread and the runs.  One mutex, never held over a request, a
 * disk or a call of fetch.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/inside.h"
#include "depot/log.h"
#include "depot/prefetch_inside.h"

enum {
	PREFETCH_STEP = 128, /* shards handed over at one time */
	PREFETCH_SWEEP_MS = 30 * 1000,
	PREFETCH_FILL_TICK_MS = 100,
	/* With fetch, of a fill by itself: it may find the store without room.
	 */
	PREFETCH_AUTO_BYTES = 16 << 20,
	PREFETCH_STREAM_MIN = 128, /* shards ahead of one who reads on and on */
	PREFETCH_REST_MS = 500,
	PREFETCH_LEN_GUESS = 32 << 10, /* of a shard whose length is unknown */
};

struct prefetch_job {
	struct fetch_job job;
	struct prefetch *prefetch; /* borrows */
	struct run *run;           /* counted by inflight */
	uint32_t len;              /* as stored, about */
};

/* --- runs ---------------------------------------------------------------- */

static void run_free(struct run *run)
{
	if (!run)
		return;
	tree_put(run->tree);
	index_put(run->index);
	free(run->list);
	free(run);
}

static struct run *run_new(struct tree *tree, enum run_kind kind,
			   const char *tenant, uint32_t who)
{
	static const enum fetch_class classes[] = {
	    [RUN_AHEAD] = FETCH_AHEAD,
	    [RUN_PLAN] = FETCH_PLAN,
	    [RUN_FILL] = FETCH_FILL,
	    [RUN_ALL] = FETCH_FILL,
	};
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->kind = kind;
	run->fetch_class = classes[kind];
	run->tree = tree_get(tree);
	run->who = who;
	run->budget = UINT64_MAX;
	if (tenant)
		snprintf(run->tenant, sizeof(run->tenant), "%s", tenant);
	return run;
}

/* takes run; false: too many, and it is gone. */
static bool prefetch_push(struct prefetch *prefetch, struct run *run)
{
	bool taken;

	pthread_mutex_lock(&prefetch->lock);
	taken = !prefetch->stop && prefetch->run_count < PREFETCH_RUNS_MAX;
	if (taken) {
		prefetch->run_count++;
		*prefetch->runs_end = run;
		prefetch->runs_end = &run->next;
		pthread_cond_signal(&prefetch->wake);
	}
	pthread_mutex_unlock(&prefetch->lock);
	if (!taken)
		run_free(run);
	return taken;
}

/* Take the runs that are over out of the list; lock. */
static struct run *prefetch_reap(struct prefetch *prefetch, uint64_t now)
{
	struct run **at = &prefetch->runs, *run, *gone = NULL;

	while ((run = *at)) {
		bool over = run->prepared && run->inflight == 0 &&
			    (run->cancelled || run->at >= run->count);

		if (over && !run->progress.over) {
			run->progress.over = true;
			run->over_ms = now;
		}
		if (!over || (run->id > 0 && !prefetch->stop &&
			      now < run->over_ms + PREFETCH_KEPT_MS)) {
			at = &run->next;
			continue;
		}
		*at = run->next;
		prefetch->run_count--;
		run->next = gone;
		gone = run;
	}
	prefetch->runs_end = at;
	return gone;
}

/* --- jobs ---------------------------------------------------------------- */

static bool prefetch_wanted(struct fetch_job *job)
{
	struct prefetch_job *pj = container_of(job, struct prefetch_job, job);

	return !__atomic_load_n(&pj->run->cancelled, __ATOMIC_RELAXED);
}

/* lock; a job of the run has ended.  Is the run over, or is there room for a
 * good many new jobs that are waited for?  A wake-up for each would cost as
 * much as a tenth of the proofs. */
static bool prefetch_must_wake(struct prefetch *prefetch, const struct run *run)
{
	if (run->inflight == 0)
		return true;
	if (!prefetch->crowded || run->inflight >= PREFETCH_RUN_JOBS_MAX / 2 ||
	    (run->is_auto && run->inflight_bytes >= PREFETCH_AUTO_BYTES / 2) ||
	    prefetch->inflight >= PREFETCH_JOBS_MAX / 4 * 3)
		return false;
	prefetch->crowded = false;
	return true;
}

static void prefetch_done(struct fetch_job *job, int rc,
			  struct fetch_result *result)
{
	struct prefetch_job *pj = container_of(job, struct prefetch_job, job);
	struct prefetch *prefetch = pj->prefetch;
	struct run *run = pj->run;
	const struct digest *name = tree_shard_name(run->tree, job->shard);

	/* Proved just now: its reader finds it opened. */
	if (rc == 0 && result->chunk && run->kind != RUN_ALL &&
	    cache_offer(prefetch->depot->cache, name, result->chunk,
			result->chunk_len, run->kind != RUN_FILL))
		result->chunk = NULL;
	if (rc == 0)
		marks_land(prefetch->marks, name, tree_digest(run->tree),
			   run->fetch_class, result->shard_len);
	else
		marks_drop(prefetch->marks, name);
	pthread_mutex_lock(&prefetch->lock);
	if (rc == 0 || rc == -EEXIST) {
		run->progress.done++;
		run->progress.bytes_done += result ? result->shard_len : 0;
	} else {
		run->progress.failed++;
	}
	prefetch->inflight--;
	run->inflight_bytes -= pj->len;
	run->inflight--;
	if (prefetch_must_wake(prefetch, run))
		pthread_cond_signal(&prefetch->wake);
	/* From here on the run may go. */
	pthread_mutex_unlock(&prefetch->lock);
	free(pj);
}

static struct prefetch_job *prefetch_job_new(struct prefetch *prefetch,
					     struct run *run, uint32_t shard,
					     uint32_t len)
{
	struct prefetch_job *pj = calloc(1, sizeof(*pj));

	if (!pj)
		return NULL;
	pj->prefetch = prefetch;
	pj->run = run;
	pj->len = len;
	pj->job = (struct fetch_job){
	    .tree = run->tree,
	    .shard = shard,
	    .fetch_class = run->fetch_class,
	    .spare = true,
	    .who = run->who,
	    .wanted = prefetch_wanted,
	    .done = prefetch_done,
	};
	return pj;
}

/* --- preparing ----------------------------------------------------------- */

/* Only an operator asks how much a whole tree is: it is counted then. */
static void run_count_all(struct prefetch *prefetch, struct run *run)
{
	struct prefetch_progress progress = {0};

	for (uint32_t i = 0; i < run->count; i++) {
		uint32_t shard = run->list ? run->list[i] : i;

		if (store_has(prefetch->depot->store,
			      tree_shard_name(run->tree, shard)))
			continue;
		progress.total++;
		if (run->index)
			progress.bytes_total += prefetch_shard_len(
			    prefetch->depot, run->tree, run->index, shard);
	}
	run->progress = progress;
}

static int run_prepare_plan(struct prefetch *prefetch, struct run *run,
			    uint64_t budget_max)
{
	struct plan plan;
	int rc;

	rc = depot_plan_get(prefetch->depot, run->tree,
			    *run->tenant ? run->tenant : NULL, &plan);
	if (rc < 0)
		return rc;
	run->list = plan.shards; /* ours now */
	run->count = plan.count;
	/* The tenant's own carries no budget: its bytes are its budget. */
	run->budget = plan.budget ? MIN(plan.budget, budget_max) : budget_max;
	return 0;
}

/* A fill of one's own accord is for what no plan makes quick. */
static void run_prepare_fill(struct prefetch *prefetch, struct run *run,
			     const struct prefetch_options *options)
{
	struct plan plan;

	run->count = tree_shard_count(run->tree);
	run->is_auto = options->fill_rate == PREFETCH_FILL_AUTO;
	if (!run->is_auto)
		return;
	run->budget = options->plan_bytes;
	if (options->plans_off ||
	    depot_plan_get(prefetch->depot, run->tree,
			   *run->tenant ? run->tenant : NULL, &plan) < 0)
		return;
	if (plan.count > 0)
		run->count = 0;
	plan_clear(&plan);
}

/* Nothing to do is no error: the run is over then. */
static void run_prepare(struct prefetch *prefetch, struct run *run)
{
	struct prefetch_options options;

	pthread_mutex_lock(&prefetch->lock);
	options = prefetch->options;
	pthread_mutex_unlock(&prefetch->lock);
	if (run->kind == RUN_PLAN &&
	    run_prepare_plan(prefetch, run, options.plan_bytes) < 0)
		run->count = 0;
	if (run->kind == RUN_FILL)
		run_prepare_fill(prefetch, run, &options);
	if (run->count > 0 && run->kind != RUN_AHEAD)
		run->index = prefetch_load_index(prefetch->depot, run->tree);
	/* Made here and whole, or its index is lost: either way no hurry. */
	if (run->kind == RUN_FILL && !run->index)
		run->count = 0;
	pthread_mutex_lock(&prefetch->lock);
	run->prepared = true;
	pthread_mutex_unlock(&prefetch->lock);
}

/* --- stepping ------------------------------------------------------------ */

/* The next shard of the run that is not here, and when that was looked at;
 * false: none. */
static bool run_next(struct prefetch *prefetch, struct run *run,
		     uint32_t *shard, uint64_t *looked)
{
	while (run->at < run->count) {
		*looked = fetch_stored_count(prefetch->depot->fetch);
		*shard = run->list ? run->list[run->at] : run->at;
		run->at++;
		if (!store_has(prefetch->depot->store,
			       tree_shard_name(run->tree, *shard)))
			return true;
	}
	return false;
}

/* Its bytes (*len_out) off the budget and the fill's tokens; false: the budget
 * is spent, and the run ends. */
static bool run_spend(struct prefetch *prefetch, struct run *run,
		      uint32_t shard, uint32_t *len_out)
{
	uint32_t len = 0;

	if (run->index)
		len = prefetch_shard_len(prefetch->depot, run->tree, run->index,
					 shard);
	if (len == 0)
		len = PREFETCH_LEN_GUESS;
	*len_out = len;
	if (len > run->budget) {
		run->at = run->count;
		return false;
	}
	run->budget -= len;
	if (run->kind == RUN_FILL && !run->is_auto)
		prefetch->fill_tokens -= len;
	return true;
}

static bool run_has_tokens(const struct prefetch *prefetch,
			   const struct run *run)
{
	return run->kind != RUN_FILL || run->is_auto ||
	       prefetch->fill_tokens > 0;
}

/* A fill by itself must drive nothing out of the store. */
static bool run_has_room(struct prefetch *prefetch, const struct run *run)
{
	struct evict_stats stats;

	if (!run->is_auto)
		return true;
	evict_get_stats(prefetch->depot->evict, &stats);
	return stats.room;
}

static void run_step(struct prefetch *prefetch, struct run *run)
{
	struct fetch_job *list = NULL, **end = &list;
	struct prefetch_job *pj;
	unsigned int count = 0;
	uint64_t bytes = 0, looked;
	uint32_t shard, len;

	if (!run->prepared) {
		run_prepare(prefetch, run);
		return;
	}
	if (!run_has_room(prefetch, run))
		run->at = run->count;
	while (count < PREFETCH_STEP && run_has_tokens(prefetch, run) &&
	       run_next(prefetch, run, &shard, &looked) &&
	       run_spend(prefetch, run, shard, &len)) {
		pj = prefetch_job_new(prefetch, run, shard, len);
		if (!pj)
			break;
		pj->job.looked = looked;
		marks_put(prefetch->marks, tree_shard_name(run->tree, shard),
			  tree_digest(run->tree), run->fetch_class);
		*end = &pj->job;
		end = &pj->job.next;
		bytes += len;
		count++;
	}
	pthread_mutex_lock(&prefetch->lock);
	run->inflight += count;
	run->inflight_bytes += bytes;
	prefetch->inflight += count;
	pthread_mutex_unlock(&prefetch->lock);
	if (list)
		fetch_submit(prefetch->depot->fetch, list);
}

/* lock.  A fill by itself: does anybody read on and on? */
static bool run_must_rest(const struct prefetch *prefetch,
			  const struct run *run, uint64_t *wait_ms)
{
	if (!run->is_auto || clock_ms() >= prefetch->rest_until_ms)
		return false;
	*wait_ms = MIN(*wait_ms, (uint64_t)PREFETCH_FILL_TICK_MS);
	return true;
}

/* lock */
static bool run_is_crowded(const struct prefetch *prefetch,
			   const struct run *run)
{
	return run->inflight >= PREFETCH_RUN_JOBS_MAX ||
	       prefetch->inflight >= PREFETCH_JOBS_MAX ||
	       (run->is_auto && run->inflight_bytes >= PREFETCH_AUTO_BYTES);
}

/* lock.  *wait_ms: how soon to look again at a fill that has to wait. */
static bool run_may_step(struct prefetch *prefetch, const struct run *run,
			 uint64_t *wait_ms)
{
	if (!run->prepared)
		return true;
	if (run->cancelled || run->at >= run->count)
		return false;
	if (run->kind == RUN_AHEAD)
		return true;
	if (run_is_crowded(prefetch, run)) {
		prefetch->crowded = true;
		return false;
	}
	if (run_must_rest(prefetch, run, wait_ms))
		return false;
	if (run_has_tokens(prefetch, run))
		return true;
	*wait_ms = MIN(*wait_ms, (uint64_t)PREFETCH_FILL_TICK_MS);
	return false;
}

/* The most urgent run that has something to do; lock. */
static struct run *prefetch_pick(struct prefetch *prefetch, uint64_t *wait_ms)
{
	struct run *best = NULL;

	for (struct run *run = prefetch->runs; run; run = run->next)
		if ((!best || run->fetch_class < best->fetch_class) &&
		    run_may_step(prefetch, run, wait_ms))
			best = run;
	return best;
}

/* The fill's tokens grow with time, up to what one second brings. */
static void prefetch_refill(struct prefetch *prefetch, uint64_t now)
{
	uint64_t rate = MIN(prefetch->options.fill_rate, UINT64_C(1) << 40);
	uint64_t ms = MIN(now - prefetch->fill_ms, (uint64_t)1000);

	prefetch->fill_ms = now;
	prefetch->fill_tokens = MIN(
	    prefetch->fill_tokens + (int64_t)(rate * ms / 1000), (int64_t)rate);
}

/* --- the thread ---------------------------------------------------------- */

static void prefetch_wait(struct prefetch *prefetch, uint64_t ms)
{
	struct timespec until = clock_after_ms(ms);

	pthread_cond_timedwait(&prefetch->wake, &prefetch->lock, &until);
}

static void prefetch_free_runs(struct run *run)
{
	struct run *next;

	for (; run; run = next) {
		next = run->next;
		run_free(run);
	}
}

static void *prefetch_main(void *arg)
{
	struct prefetch *prefetch = arg;
	uint64_t now, swept_ms = clock_ms();
	struct run *run, *gone;

	pthread_setname_np(pthread_self(), "prefetch");
	pthread_mutex_lock(&prefetch->lock);
	while (!prefetch->stop) {
		uint64_t wait_ms = PREFETCH_SWEEP_MS;

		now = clock_ms();
		prefetch_refill(prefetch, now);
		gone = prefetch_reap(prefetch, now);
		run = prefetch_pick(prefetch, &wait_ms);
		if (!run && !gone && now < swept_ms + PREFETCH_SWEEP_MS) {
			prefetch_wait(prefetch, wait_ms);
			continue;
		}
		pthread_mutex_unlock(&prefetch->lock);
		prefetch_free_runs(gone);
		if (run)
			run_step(prefetch, run);
		if (now >= swept_ms + PREFETCH_SWEEP_MS) {
			marks_sweep(prefetch->marks);
			swept_ms = now;
		}
		pthread_mutex_lock(&prefetch->lock);
	}
	pthread_mutex_unlock(&prefetch->lock);
	return NULL;
}

int prefetch_new(struct depot *depot, struct prefetch **prefetch)
{
	struct prefetch *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;
	sigset_t all, before;
	int rc;

	if (!p)
		return -ENOMEM;
	p->depot = depot;
	p->runs_end = &p->runs;
	p->options.plan_bytes = PREFETCH_PLAN_BYTES;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	rc = marks_new(0, &p->marks);
	if (rc == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		rc = -pthread_create(&p->thread, NULL, prefetch_main, p);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		p->has_thread = rc == 0;
	}
	if (rc < 0)
		prefetch_free(p);
	else
		*prefetch = p;
	return rc;
}

void prefetch_stop(struct prefetch *prefetch)
{
	if (!prefetch)
		return;
	pthread_mutex_lock(&prefetch->lock);
	prefetch->stop = true;
	for (struct run *run = prefetch->runs; run; run = run->next)
		__atomic_store_n(&run->cancelled, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&prefetch->wake);
	pthread_mutex_unlock(&prefetch->lock);
	if (prefetch->has_thread)
		pthread_join(prefetch->thread, NULL);
	prefetch->has_thread = false;
}

void prefetch_free(struct prefetch *prefetch)
{
	if (!prefetch)
		return;
	prefetch_stop(prefetch);
	ASSERT(prefetch->inflight == 0);
	prefetch_free_runs(prefetch->runs);
	marks_free(prefetch->marks);
	pthread_cond_destroy(&prefetch->wake);
	pthread_mutex_destroy(&prefetch->lock);
	free(prefetch);
}

/* --- on the way of guests ------------------------------------------------ */

/* Has this start been seen a moment ago?  Notes it. */
static bool prefetch_is_again(struct prefetch *prefetch,
			      const struct digest *tree, uint32_t who)
{
	uint64_t now = clock_ms();
	struct prefetch_again *at;
	bool again = false;

	pthread_mutex_lock(&prefetch->lock);
	for (unsigned int i = 0; i < PREFETCH_AGAIN_SLOTS && !again; i++) {
		at = &prefetch->again[i];
		again = at->time_ms > 0 && at->who == who &&
			now < at->time_ms + PREFETCH_AGAIN_MS &&
			digest_equal(&at->tree, tree);
	}
	if (!again) {
		at =
		    &prefetch
			 ->again[prefetch->again_next++ % PREFETCH_AGAIN_SLOTS];
		*at = (struct prefetch_again){*tree, who, now};
	}
	pthread_mutex_unlock(&prefetch->lock);
	return again;
}

/* lock; a fill of the same tree is under way. */
static bool prefetch_fills(struct prefetch *prefetch, const struct digest *tree)
{
	bool found = false;

	pthread_mutex_lock(&prefetch->lock);
	for (struct run *run = prefetch->runs; run && !found; run = run->next)
		found = run->kind == RUN_FILL && !run->progress.over &&
			digest_equal(tree_digest(run->tree), tree);
	pthread_mutex_unlock(&prefetch->lock);
	return found;
}

void depot_prefetch_started(struct depot *depot, struct tree *tree,
			    const char *tenant)
{
	struct prefetch *prefetch = depot->prefetch;
	const struct digest *digest = tree_digest(tree);
	uint32_t who = depot_who(tenant);
	struct prefetch_options options;
	struct run *run;

	if (prefetch_is_again(prefetch, digest, who))
		return;
	pthread_mutex_lock(&prefetch->lock);
	options = prefetch->options;
	pthread_mutex_unlock(&prefetch->lock);
	if (!options.plans_off && (run = run_new(tree, RUN_PLAN, tenant, who)))
		(void)prefetch_push(prefetch, run);
	if (options.fill_rate > 0 && !prefetch_fills(prefetch, digest) &&
	    (run = run_new(tree, RUN_FILL, tenant, who)))
		(void)prefetch_push(prefetch, run);
}

/* Somebody reads on and on: reading ahead of him brings what a fill would, no
 * sooner than memory has room for it opened. */
static void prefetch_rest_fills(struct prefetch *prefetch)
{
	pthread_mutex_lock(&prefetch->lock);
	prefetch->rest_until_ms = clock_ms() + PREFETCH_REST_MS;
	pthread_mutex_unlock(&prefetch->lock);
}

void depot_prefetch_ahead(struct depot *depot, struct tree *tree,
			  const uint32_t *shards, unsigned int count,
			  uint32_t who)
{
	struct run *run = run_new(tree, RUN_AHEAD, NULL, who);

	ASSERT(count <= PREFETCH_AHEAD_MAX);

	if (run)
		run->list = malloc(((size_t)count + 1) * sizeof(*shards));
	if (!run || !run->list) {
		run_free(run);
		return;
	}
	if (count >= PREFETCH_STREAM_MIN)
		prefetch_rest_fills(depot->prefetch);
	memcpy(run->list, shards, count * sizeof(*shards));
	run->count = count;
	run->prepared = true;
	(void)prefetch_push(depot->prefetch, run);
}

void prefetch_read(struct prefetch *prefetch, const struct digest *name)
{
	marks_read(prefetch->marks, name);
}

/* --- for operators ------------------------------------------------------- */

void depot_prefetch_set(struct depot *depot,
			const struct prefetch_options *options)
{
	struct prefetch *prefetch = depot->prefetch;

	pthread_mutex_lock(&prefetch->lock);
	prefetch->options = *options;
	if (options->plan_bytes == 0)
		prefetch->options.plan_bytes = PREFETCH_PLAN_BYTES;
	pthread_mutex_unlock(&prefetch->lock);
}

int depot_prefetch_start(struct depot *depot, struct tree *tree,
			 enum prefetch_what what, const char *tenant,
			 uint64_t *id)
{
	struct prefetch *prefetch = depot->prefetch;
	struct run *run;
	int rc = 0;

	run = run_new(tree, what == PREFETCH_PLAN ? RUN_PLAN : RUN_ALL, tenant,
		      0);
	if (!run)
		return -ENOMEM;
	run->count = tree_shard_count(tree);
	if (what == PREFETCH_PLAN)
		rc = run_prepare_plan(prefetch, run, UINT64_MAX);
	if (rc < 0) {
		run_free(run);
		return rc == -ENOENT
			   ? log_err(-ENODATA, "no plan of it is known here")
			   : rc;
	}
	run->index = prefetch_load_index(depot, tree);
	run_count_all(prefetch, run);
	run->prepared = true;
	pthread_mutex_lock(&prefetch->lock);
	*id = run->id = ++prefetch->last_id;
	pthread_mutex_unlock(&prefetch->lock);
	return prefetch_push(prefetch, run) ? 0 : -ENOSPC;
}

/* lock */
static struct run *prefetch_find(struct prefetch *prefetch, uint64_t id)
{
	struct run *run = prefetch->runs;

	while (run && (id == 0 || run->id != id))
		run = run->next;
	return run;
}

int depot_prefetch_ask(struct depot *depot, uint64_t id,
		       struct prefetch_progress *progress)
{
	struct prefetch *prefetch = depot->prefetch;
	const struct run *run;

	pthread_mutex_lock(&prefetch->lock);
	run = prefetch_find(prefetch, id);
	if (run)
		*progress = run->progress;
	pthread_mutex_unlock(&prefetch->lock);
	return run ? 0 : -ENOENT;
}

void depot_prefetch_cancel(struct depot *depot, uint64_t id)
{
	struct prefetch *prefetch = depot->prefetch;
	struct run *run;

	pthread_mutex_lock(&prefetch->lock);
	run = prefetch_find(prefetch, id);
	if (run)
		__atomic_store_n(&run->cancelled, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&prefetch->wake);
	pthread_mutex_unlock(&prefetch->lock);
}

void depot_prefetch_forget(struct depot *depot, const struct digest *tree)
{
	struct prefetch *prefetch = depot->prefetch;

	pthread_mutex_lock(&prefetch->lock);
	for (struct run *run = prefetch->runs; run; run = run->next)
		if (digest_equal(tree_digest(run->tree), tree))
			__atomic_store_n(&run->cancelled, true,
					 __ATOMIC_RELAXED);
	pthread_cond_signal(&prefetch->wake);
	pthread_mutex_unlock(&prefetch->lock);
}

static struct prefetch_bytes prefetch_bytes_of(const struct marks_figures *f)
{
	return (struct prefetch_bytes){f->bytes, f->used, f->wasted};
}

void depot_prefetch_figures(struct depot *depot,
			    struct prefetch_figures *figures)
{
	struct prefetch *prefetch = depot->prefetch;
	struct marks_figures f;

	/* Runs first: what is over then has all its bytes counted. */
	figures->runs = 0;
	pthread_mutex_lock(&prefetch->lock);
	for (struct run *run = prefetch->runs; run; run = run->next)
		figures->runs += !run->progress.over;
	pthread_mutex_unlock(&prefetch->lock);
	marks_get(prefetch->marks, FETCH_PLAN, &f);
	figures->plan = prefetch_bytes_of(&f);
	marks_get(prefetch->marks, FETCH_AHEAD, &f);
	figures->ahead = prefetch_bytes_of(&f);
	marks_get(prefetch->marks, FETCH_FILL, &f);
	figures->fill = prefetch_bytes_of(&f);
}

void depot_prefetch_of_tree(struct depot *depot, const struct digest *tree,
			    struct prefetch_bytes *bytes)
{
	struct marks_figures f;

	marks_get_tree(depot->prefetch->marks, tree, &f);
	*bytes = prefetch_bytes_of(&f);
}
