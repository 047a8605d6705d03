/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc: steps, the thread that takes them in the background, removal of tags, and
 * the leases of those who make packages.
 */
#include "depot/gc.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/gc_inside.h"
#include "depot/log.h"
#include "depot/registry.h"

enum {
	GC_BUSY_RETRY_S = 10, /* trees that somebody is at work on */
	GC_ERROR_RETRY_S = 60,
	GC_IDLE_S = 3600,
	GC_CALM_S = 5, /* between two looks for pointers: they cost a scan */
};

/* --- steps -----------------------------------------------------------------
 */

static int gc_load(struct gc *gc)
{
	bool found;
	int rc;

	if (gc->loaded)
		return 0;
	rc = gc_row_walk_get(gc->depot->state, &gc->walk, &found);
	if (rc < 0)
		return rc;
	if (!found)
		memset(&gc->walk, 0, sizeof(gc->walk));
	gc->loaded = true;
	gc->trees_done = false;
	return 0;
}

/* A number that no walk has had. */
static int gc_released_first(struct gc *gc, uint64_t *released)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	*released = gc->walk.released + 1;
	gc_row_released_put(batch, *released);
	rc = kv_write(gc->depot->state, batch);
	kv_batch_free(batch);
	return rc;
}

/* Is there something to walk for?  Then the walk begins. */
static int gc_walk_begin(struct gc *gc, bool *nothing)
{
	uint64_t released;
	int rc;

	rc = gc_row_released(gc->depot->state, &released);
	if (rc == 0 && released == 0)
		rc = gc_released_first(gc, &released);
	if (rc < 0)
		return rc;
	*nothing = released == gc->walk.released;
	if (*nothing)
		return 0;
	gc->walk =
	    (struct gc_row_walk){.phase = GC_PHASE_WALK, .released = released};
	GC_AT(gc, "gc-begin");
	return gc_row_walk_set(gc->depot->state, &gc->walk);
}

static void gc_report_walk(const struct gc *gc, struct gc_report *report)
{
	if (!report->nothing) {
		report->looked = gc->walk.looked;
		report->removed = gc->walk.removed;
		report->bytes = gc->walk.bytes;
	}
	report->position = gc->walk.position;
	report->compacting = gc->walk.phase == GC_PHASE_COMPACT;
	report->done = gc->walk.phase == GC_PHASE_DONE;
}

/* run is held. */
static int gc_step(struct gc *gc, unsigned int shards, struct gc_report *report)
{
	int rc;

	rc = gc_load(gc);
	if (rc == 0 && (!gc->trees_done || gc->walk.phase == GC_PHASE_DONE)) {
		rc = gc_trees(gc, NULL, report);
		gc->trees_done = rc == 0;
	}
	if (rc == 0 && gc->walk.phase == GC_PHASE_DONE)
		rc = gc_walk_begin(gc, &report->nothing);
	if (rc == 0 && !report->nothing)
		rc = gc_walk_step(gc, shards, report);
	if (rc == 0)
		gc_report_walk(gc, report);
	/* What is in memory may be ahead of what was done. */
	if (rc < 0)
		gc->loaded = false;
	return rc;
}

int depot_gc_step(struct depot *depot, unsigned int shards,
		  struct gc_report *report)
{
	struct gc *gc = depot->gc;
	int rc = -EAGAIN;

	memset(report, 0, sizeof(*report));
	pthread_mutex_lock(&gc->run);
	if (gc->roots)
		rc = gc_step(gc, shards, report);
	pthread_mutex_unlock(&gc->run);
	return rc;
}

int depot_gc_look(struct depot *depot, const struct digest *from,
		  unsigned int shards, struct gc_report *report)
{
	CLEANUP(gc_set_clear) struct gc_set due = {0};
	struct gc *gc = depot->gc;
	int rc = -EAGAIN;

	memset(report, 0, sizeof(*report));
	pthread_mutex_lock(&gc->run);
	if (gc->roots)
		rc = gc_trees(gc, &due, report);
	report->trees_removed = (unsigned int)due.count;
	if (rc == 0)
		rc = gc_walk_look(gc, &due, from, shards, report);
	pthread_mutex_unlock(&gc->run);
	return rc;
}

/* --- the thread ------------------------------------------------------------
 */

/* So long, whoever knocks; lock. */
static void gc_calm(struct gc *gc, uint64_t ms)
{
	struct timespec until = clock_after_ms(ms);
	int rc = 0;

	while (!gc->stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&gc->wake, &gc->lock, &until);
}

/* Until somebody knocks, at most so long; lock. */
static void gc_sleep(struct gc *gc, uint64_t ms)
{
	struct timespec until = clock_after_ms(ms);
	int rc = 0;

	while (!gc->stopping && !gc->kicked && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&gc->wake, &gc->lock, &until);
}

/* How long there is nothing to do, after a step. */
static uint64_t gc_pause_ms(const struct gc *gc, int rc,
			    const struct gc_report *report)
{
	int64_t wait = GC_IDLE_S;

	if (rc < 0)
		return GC_ERROR_RETRY_S * 1000;
	if (!report->done)
		return gc->options.pause_ms;
	if (report->trees_busy > 0)
		wait = GC_BUSY_RETRY_S;
	if (report->next_due_sec > 0)
		wait = MIN(wait, report->next_due_sec - time(NULL));
	return (uint64_t)MAX(wait, 1) * 1000;
}

static void gc_told(const struct gc_report *report)
{
	if (report->done && !report->nothing && report->removed > 0)
		log_info("collection: %llu shards removed (%llu bytes)",
			 (unsigned long long)report->removed,
			 (unsigned long long)report->bytes);
}

static void *gc_main(void *arg)
{
	struct gc *gc = arg;
	struct gc_report report;
	uint64_t ms;
	int rc;

	pthread_setname_np(pthread_self(), "gc");
	pthread_mutex_lock(&gc->lock);
	while (!gc->stopping) {
		gc->kicked = false;
		pthread_mutex_unlock(&gc->lock);
		rc = depot_gc_step(gc->depot, GC_BACKGROUND, &report);
		ms = gc_pause_ms(gc, rc, &report);
		if (rc == 0)
			gc_told(&report);
		pthread_mutex_lock(&gc->lock);
		gc_calm(gc, rc < 0 || report.done
				? MIN(ms, (uint64_t)GC_CALM_S * 1000)
				: ms);
		if (rc < 0 || report.done)
			gc_sleep(gc, ms);
	}
	pthread_mutex_unlock(&gc->lock);
	return NULL;
}

static int gc_start_thread(struct gc *gc)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&gc->thread, NULL, gc_main, gc);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	gc->running = rc == 0;
	return rc;
}

int depot_gc_start(struct depot *depot, gc_roots_fn *roots, void *ctx,
		   const struct gc_options *options)
{
	struct gc *gc = depot->gc;

	ASSERT(roots && !gc->running);

	pthread_mutex_lock(&gc->run);
	gc->roots = roots;
	gc->roots_ctx = ctx;
	gc->options = *options;
	if (gc->options.pause_ms == 0)
		gc->options.pause_ms = GC_PAUSE_MS;
	pthread_mutex_unlock(&gc->run);
	gc->stopping = false;
	return gc->options.manual ? 0 : gc_start_thread(gc);
}

void depot_gc_stop(struct depot *depot)
{
	struct gc *gc = depot->gc;

	if (!gc)
		return;
	pthread_mutex_lock(&gc->lock);
	gc->stopping = true;
	pthread_cond_broadcast(&gc->wake);
	pthread_mutex_unlock(&gc->lock);
	if (gc->running)
		pthread_join(gc->thread, NULL);
	gc->running = false;
	pthread_mutex_lock(&gc->run);
	gc->roots = NULL;
	pthread_mutex_unlock(&gc->run);
}

void depot_gc_kick(struct depot *depot)
{
	struct gc *gc = depot->gc;

	pthread_mutex_lock(&gc->lock);
	gc->kicked = true;
	pthread_cond_broadcast(&gc->wake);
	pthread_mutex_unlock(&gc->lock);
}

int gc_new(struct depot *depot, struct gc **gc)
{
	struct gc *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;
	int rc;

	if (!g)
		return -ENOMEM;
	g->depot = depot;
	pthread_mutex_init(&g->run, NULL);
	pthread_mutex_init(&g->run_any, NULL);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &attr);
	pthread_condattr_destroy(&attr);
	rc = leases_new(depot->state, &g->leases);
	*gc = g;
	return rc;
}

void gc_free(struct gc *gc)
{
	if (!gc)
		return;
	depot_gc_stop(gc->depot);
	live_free(gc->live);
	free(gc->unnamed);
	leases_free(gc->leases);
	pthread_cond_destroy(&gc->wake);
	pthread_mutex_destroy(&gc->lock);
	pthread_mutex_destroy(&gc->run_any);
	pthread_mutex_destroy(&gc->run);
	free(gc);
}

/* --- removing a package ----------------------------------------------------
 */

struct gc_namer {
	const struct registry_tag *tag;
	struct gc_removed *removed;
};

static int gc_namer_visit(void *ctx, const struct registry_tag *row)
{
	struct gc_namer *namer = ctx;

	if (strcmp(row->name, namer->tag->name) == 0 &&
	    strcmp(row->tag, namer->tag->tag) == 0)
		return 0;
	if (digest_equal(&row->revision, &namer->tag->revision))
		namer->removed->named = true;
	if (digest_equal(&row->tree, &namer->tag->tree))
		namer->removed->last = false;
	return 0;
}

static int gc_root_visit(void *ctx, const struct digest *tree)
{
	struct gc_namer *namer = ctx;

	if (digest_equal(tree, &namer->tag->tree))
		namer->removed->last = false;
	return 0;
}

/* The tree's time begins when its last pointer goes. */
static int gc_remove_tag(struct depot *depot, const struct registry_tag *row,
			 bool last)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	registry_tag_delete(batch, row->name, row->tag);
	if (last)
		gc_row_tree_put(batch, &row->tree, time(NULL));
	rc = registry_commit(depot->state, batch);
	kv_batch_free(batch);
	return rc;
}

int depot_package_remove(struct depot *depot, const char *name, const char *tag,
			 struct gc_removed *removed)
{
	struct gc *gc = depot->gc;
	struct gc_namer namer = {.removed = removed};
	struct registry_tag row;
	int rc;

	*removed = (struct gc_removed){.last = true};
	rc = registry_tag_get(depot->state, name, tag, &row);
	namer.tag = &row;
	if (rc == 0)
		rc = registry_tag_list(depot->state, NULL, gc_namer_visit,
				       &namer);
	if (rc == 0)
		rc = registry_pin_list(depot->state, gc_root_visit, &namer);
	pthread_mutex_lock(&gc->run);
	if (rc == 0 && gc->roots)
		rc = gc->roots(gc->roots_ctx, gc_root_visit, &namer);
	if (rc == 0)
		rc = gc_remove_tag(depot, &row, removed->last);
	pthread_mutex_unlock(&gc->run);
	if (rc == 0)
		depot_gc_kick(depot);
	return rc;
}

/* --- leases ----------------------------------------------------------------
 */

int depot_lease_open(struct depot *depot, unsigned int idle_s, uint64_t *lease)
{
	return lease_open(depot->gc->leases, idle_s, lease);
}

void depot_lease_close(struct depot *depot, uint64_t lease, bool named)
{
	lease_close(depot->gc->leases, lease, named);
	/* A pointer may have come to a tree, or garbage to the store. */
	depot_gc_kick(depot);
}

/* The depot's own, for 0. */
static int gc_lease(struct gc *gc, uint64_t *lease)
{
	int rc = 0;

	if (*lease != 0)
		return 0;
	pthread_mutex_lock(&gc->run_any);
	if (gc->any_lease == 0 || lease_use(gc->leases, gc->any_lease) < 0)
		rc = lease_open(gc->leases, LEASE_IDLE_S, &gc->any_lease);
	*lease = gc->any_lease;
	pthread_mutex_unlock(&gc->run_any);
	return rc;
}

int depot_shard_have(struct depot *depot, uint64_t lease,
		     const struct digest *name, bool *here)
{
	int rc;

	rc = gc_lease(depot->gc, &lease);
	if (rc == 0)
		rc = lease_guard(depot->gc->leases, lease, name);
	if (rc < 0)
		return rc;
	/* After the guard: see lease.h. */
	*here = store_has(depot->store, name);
	return 0;
}

int depot_shard_put_under(struct depot *depot, uint64_t lease,
			  const uint8_t *salt, const struct digest *name,
			  const void *shard, size_t shard_len, bool *added)
{
	int rc;

	rc = gc_lease(depot->gc, &lease);
	if (rc == 0)
		rc = lease_guard_put(depot->gc->leases, lease, name);
	if (rc < 0)
		return rc;
	return store_put(depot->store, salt, name, shard, shard_len, added);
}

int depot_shard_put(struct depot *depot, const uint8_t *salt,
		    const struct digest *name, const void *shard,
		    size_t shard_len, bool *added)
{
	return depot_shard_put_under(depot, 0, salt, name, shard, shard_len,
				     added);
}
