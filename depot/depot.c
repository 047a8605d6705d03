/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot: opening and closing in the right order, trees in use, figures.  What
 * is asked of the depot while it serves is in read.c and package.c.
 */
#include "depot/depot.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "depot/inside.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/registry.h"
#include "depot/take.h"
#include "depot/trust.h"

enum {
	DEPOT_MEMORY_DEFAULT = 512 << 20,
	/* Parts of the memory budget; the rest is for opened chunks. */
	DEPOT_STATE_SHARE = 8,
	DEPOT_SHARDS_SHARE = 8,
	DEPOT_USAGE_SHARE = 16,
	DEPOT_REST_SHARE = 16, /* metadata, parked calls */
	DEPOT_POOL_THREADS_MIN = 2,
	DEPOT_FREE_PART = 20, /* of the file system, by default at most */
};
#define DEPOT_FREE_MIN ((uint64_t)1 << 30)

/* --- open, close --------------------------------------------------------- */

static int depot_below(const struct depot *depot, const char *name, char **path)
{
	if (asprintf(path, "%s/%s", depot->path, name) >= 0)
		return 0;
	*path = NULL;
	return -ENOMEM;
}

static int depot_make_dirs(struct depot *depot)
{
	static const char *const names[] = {"trees", "indexes", "data"};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		CLEANUP_FREE char *path = NULL;

		rc = depot_below(depot, names[i], &path);
		if (rc == 0)
			rc = io_mkdirs(path);
		if (rc < 0)
			return log_err(rc, "%s/%s: not made", depot->path,
				       names[i]);
	}
	return 0;
}

/* The quota and the floor in bytes, of the file system that there is. */
static int depot_size_store(const struct depot *depot,
			    const struct depot_options *options,
			    struct evict_options *evict)
{
	struct statvfs st;
	uint64_t size;

	if (statvfs(depot->path, &st) < 0)
		return log_err(-errno, "depot %s", depot->path);
	size = (uint64_t)st.f_blocks * st.f_frsize;
	evict->quota = options->store_percent
			   ? size / 100 * options->store_percent
			   : options->store_max;
	evict->free_min = options->free_min;
	if (evict->free_min == DEPOT_FREE_DEFAULT)
		evict->free_min = MIN(DEPOT_FREE_MIN, size / DEPOT_FREE_PART);
	return 0;
}

static int depot_open_databases(struct depot *depot, size_t memory_max,
				uint64_t disk_max)
{
	struct store_options options = {
	    .memory_max = memory_max / DEPOT_SHARDS_SHARE,
	    .disk_max = disk_max,
	};
	CLEANUP_FREE char *state = NULL;
	CLEANUP_FREE char *shards = NULL;
	int rc;

	rc = depot_below(depot, "state", &state);
	if (rc == 0)
		rc = depot_below(depot, "shards", &shards);
	if (rc == 0)
		rc = space_open(depot->path, &depot->space);
	if (rc < 0)
		return rc;
	rc = kv_open_on(state, KV_STATE, memory_max / DEPOT_STATE_SHARE,
			depot->space, &depot->state);
	if (rc == -EBUSY)
		return log_err(rc, "depot %s: in use by another process",
			       depot->path);
	if (rc == 0)
		rc = store_check_format(depot->state, KV_STATE, state);
	if (rc < 0)
		return rc;
	options.space = depot->space;
	return store_open_with(shards, &options, &depot->store);
}

static int depot_start_evict(struct depot *depot, struct evict_options *options)
{
	CLEANUP_FREE char *path = NULL;
	int rc = depot_below(depot, "usage", &path);

	if (rc < 0)
		return rc;
	options->store = depot->store;
	options->usage = depot->usage;
	options->space = depot->space;
	options->usage_path = path;
	options->leases = depot_leases(depot);
	options->kept = depot_kept;
	options->ctx = depot;
	return evict_new(options, &depot->evict);
}

static int depot_start(struct depot *depot, const struct depot_options *options,
		       struct evict_options *evict, size_t memory_max)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int threads = options->pool_threads;
	const struct depot_upstream_options *up = &options->upstream;
	struct fetch_options fetch = {
	    .threads = up->parallel,
	    .bytes_max = up->inflight,
	    .late_ms = up->hedge_ms,
	    .silent_ms = up->timeout_ms,
	    .backoff_max_ms = up->retry_ms,
	    .avoid_ms = up->avoid_ms,
	    .give_up_ms = up->patience_ms,
	};
	int rc;

	if (threads == 0)
		threads = (unsigned int)MAX(cpus, DEPOT_POOL_THREADS_MIN);
	depot->trace = trace_new();
	if (!depot->trace)
		return -ENOMEM;
	rc = usage_new(memory_max / DEPOT_USAGE_SHARE,
		       options->lru ? USAGE_LRU : USAGE_FREQUENCY,
		       &depot->usage);
	if (rc == 0)
		rc = cache_new(memory_max - memory_max / DEPOT_STATE_SHARE -
				   memory_max / DEPOT_SHARDS_SHARE -
				   memory_max / DEPOT_USAGE_SHARE -
				   memory_max / DEPOT_REST_SHARE,
			       depot->usage, &depot->cache);
	if (rc == 0)
		rc = pool_new(MIN(threads, POOL_THREADS_MAX), "pool",
			      &depot->pool);
	if (rc == 0)
		rc = upstreams_open(depot->state, &depot->upstreams);
	if (rc == 0)
		rc = fetch_new(depot->state, depot->path, depot->store,
			       depot->upstreams, &fetch, &depot->fetch);
	if (rc == 0)
		rc = prefetch_new(depot, &depot->prefetch);
	if (rc == 0)
		rc = gc_new(depot, &depot->gc);
	if (rc == 0)
		rc = depot_start_evict(depot, evict);
	return rc;
}

int depot_open(const char *path, const struct depot_options *options,
	       struct depot **depot)
{
	size_t memory_max = options->memory_max;
	struct evict_options evict = {0};
	struct depot *d;
	int rc;

	if (memory_max == 0)
		memory_max = DEPOT_MEMORY_DEFAULT;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->trees_lock, NULL);
	d->path = strdup(path);
	rc = d->path ? depot_make_dirs(d) : -ENOMEM;
	if (rc == 0)
		rc = depot_size_store(d, options, &evict);
	if (rc == 0)
		rc = depot_open_databases(d, memory_max, evict.quota);
	if (rc == 0)
		rc = depot_start(d, options, &evict, memory_max);
	if (rc < 0) {
		depot_close(d);
		return rc;
	}
	*depot = d;
	return 0;
}

void depot_hurry(struct depot *depot)
{
	atomic_store(&depot->hurried, true);
	upstreams_stop_get(depot->upstreams);
}

int depot_goes_on(const struct depot *depot)
{
	if (!atomic_load(&depot->hurried))
		return 0;
	log_err(0, "the daemon is ending");
	return -ECANCELED;
}

void depot_close(struct depot *depot)
{
	if (!depot)
		return;
	/* Fetches end first; then the pool runs what is left, which finds
	 * fetch closed; after that nothing is loading. */
	space_stop(depot->space);
	prefetch_stop(depot->prefetch);
	evict_stop(depot->evict); /* it asks gc's leases */
	gc_free(depot->gc);
	if (depot->fetch)
		fetch_stop(depot->fetch);
	pool_free(depot->pool);
	fetch_free(depot->fetch);
	prefetch_free(depot->prefetch);
	evict_free(depot->evict);
	upstreams_close(depot->upstreams);
	cache_free(depot->cache);
	usage_free(depot->usage);
	trace_free(depot->trace);
	for (unsigned int i = 0; i < depot->tree_count; i++)
		tree_put(depot->trees[i]);
	store_close(depot->store);
	/* RocksDB finds damage in a table for certain, in a log only as an
	 * early end: what is closed in order leaves nothing in the log. */
	if (depot->state && kv_flush(depot->state) < 0)
		log_warn("store %s: state stays in its log", depot->path);
	kv_close(depot->state);
	space_close(depot->space);
	pthread_mutex_destroy(&depot->trees_lock);
	free(depot->path);
	free(depot);
}

const char *depot_path(const struct depot *depot)
{
	return depot->path;
}

struct kv *depot_state(struct depot *depot)
{
	return depot->state;
}

struct space *depot_space(struct depot *depot)
{
	return depot->space;
}

struct pool *depot_pool(struct depot *depot)
{
	return depot->pool;
}

/* --- trees in use -------------------------------------------------------- */

/* With a reference; lock. */
static struct tree *depot_trees_find(struct depot *depot,
				     const struct digest *digest)
{
	for (unsigned int i = 0; i < depot->tree_count; i++)
		if (digest_equal(tree_digest(depot->trees[i]), digest))
			return tree_get(depot->trees[i]);
	return NULL;
}

/* takes tree; lock.  Full: the one that was opened first makes room, of those
 * that nobody uses if there are any: what is not in the list seems unused to
 * the collection. */
static void depot_trees_add(struct depot *depot, struct tree *tree)
{
	unsigned int at;

	if (depot->tree_count < DEPOT_TREES_MAX) {
		depot->trees[depot->tree_count++] = tree;
		return;
	}
	for (unsigned int i = 0; i < DEPOT_TREES_MAX; i++) {
		at = (depot->tree_oldest + i) % DEPOT_TREES_MAX;
		if (!tree_is_shared(depot->trees[at])) {
			depot->tree_oldest = at;
			break;
		}
	}
	tree_put(depot->trees[depot->tree_oldest]);
	depot->trees[depot->tree_oldest] = tree;
	depot->tree_oldest = (depot->tree_oldest + 1) % DEPOT_TREES_MAX;
}

/* takes opened; *tree: it, or the one that another thread opened meanwhile. */
static void depot_trees_share(struct depot *depot, struct tree *opened,
			      struct tree **tree)
{
	struct tree *found;

	pthread_mutex_lock(&depot->trees_lock);
	found = depot_trees_find(depot, tree_digest(opened));
	if (!found)
		depot_trees_add(depot, tree_get(opened));
	pthread_mutex_unlock(&depot->trees_lock);
	if (found)
		tree_put(opened);
	*tree = found ? found : opened;
}

int depot_tree_get(struct depot *depot, const struct digest *digest,
		   struct tree **tree)
{
	CLEANUP_FREE char *path = layout_host_tree(depot->path, digest);
	struct tree *opened, *found;
	int rc;

	if (!path)
		return -ENOMEM;
	pthread_mutex_lock(&depot->trees_lock);
	found = depot_trees_find(depot, digest);
	pthread_mutex_unlock(&depot->trees_lock);
	if (found) {
		*tree = found;
		return 0;
	}
	/* Proving a large tree takes a while: not under the lock. */
	rc = tree_open_file(path, digest, &opened);
	if (rc == 0)
		depot_trees_share(depot, opened, tree);
	return rc;
}

int depot_tree_fetch(struct depot *depot, const struct digest *digest,
		     struct tree **tree)
{
	CLEANUP_FREE char *path = layout_host_tree(depot->path, digest);
	struct registry_origin origin;
	struct upstream *upstream;
	struct tree *opened;
	int rc;

	if (!path)
		return -ENOMEM;
	rc = registry_origin_get(depot->state, digest, &origin);
	if (rc == -ENOENT)
		log_err(0, "%s: damaged or missing; it was made here", path);
	if (rc < 0)
		return rc;
	upstream = upstreams_find(depot->upstreams, origin.upstream);
	if (!upstream)
		return log_err(-ENOENT,
			       "%s: damaged or missing; it came from upstream "
			       "%s, which has been removed",
			       path, origin.upstream);
	log_warn("%s: damaged or missing; read again from upstream %s", path,
		 origin.upstream);
	rc = take_tree_again(depot->path, upstream,
			     origin.package[0] ? origin.package : NULL, digest,
			     &opened);
	upstream_put(upstream);
	if (rc == 0)
		depot_trees_share(depot, opened, tree);
	return rc;
}

bool depot_tree_in_use(struct depot *depot, const struct digest *digest)
{
	bool used = false;

	pthread_mutex_lock(&depot->trees_lock);
	for (unsigned int i = 0; i < depot->tree_count; i++)
		if (digest_equal(tree_digest(depot->trees[i]), digest))
			used = tree_is_shared(depot->trees[i]);
	pthread_mutex_unlock(&depot->trees_lock);
	return used;
}

bool depot_tree_forget(struct depot *depot, const struct digest *digest)
{
	struct tree *forgotten = NULL;
	bool used = false;

	pthread_mutex_lock(&depot->trees_lock);
	for (unsigned int i = 0; i < depot->tree_count; i++) {
		if (!digest_equal(tree_digest(depot->trees[i]), digest))
			continue;
		used = tree_is_shared(depot->trees[i]);
		if (used)
			break;
		forgotten = depot->trees[i];
		depot->trees[i] = depot->trees[--depot->tree_count];
		depot->tree_oldest = 0;
		break;
	}
	pthread_mutex_unlock(&depot->trees_lock);
	tree_put(forgotten);
	return !used;
}

/* --- shards, upstreams --------------------------------------------------- */

int depot_flush(struct depot *depot)
{
	return store_flush(depot->store);
}

bool depot_shard_here(struct depot *depot, const struct digest *name)
{
	return store_has(depot->store, name);
}

int depot_upstream_set(struct depot *depot, const struct upstream_spec *spec)
{
	int rc = upstreams_add(depot->upstreams, spec);

	evict_kept_changed(depot->evict);
	return rc;
}

int depot_upstream_get(struct depot *depot, const char *name,
		       struct upstream_info *info)
{
	struct upstream *upstream = upstreams_find(depot->upstreams, name);

	if (!upstream)
		return -ENOENT;
	upstream_tell(upstream, info);
	fetch_tell_source(depot->fetch, info);
	upstream_put(upstream);
	return 0;
}

int depot_upstream_test(struct depot *depot, const char *name,
			struct upstream_test *result)
{
	struct upstream *upstream = upstreams_find(depot->upstreams, name);

	if (!upstream)
		return -ENOENT;
	upstream_test(upstream, result);
	upstream_put(upstream);
	return 0;
}

int depot_upstream_add(struct depot *depot, const char *name, const char *url,
		       bool is_unsigned)
{
	struct upstream_spec spec = {
	    .name = name, .url = url, .is_unsigned = is_unsigned};

	return depot_upstream_set(depot, &spec);
}

static int depot_key_upstream(struct depot *depot, const char *name)
{
	struct upstream *upstream = upstreams_find(depot->upstreams, name);
	bool is_unsigned;

	if (!upstream)
		return log_err(-ENOENT, "upstream %.64s", name);
	is_unsigned = upstream_is_unsigned(upstream);
	upstream_put(upstream);
	return is_unsigned ? -EPERM : 0;
}

int depot_key_trust(struct depot *depot, const char *upstream,
		    const struct sign_key *key)
{
	int rc;

	rc = depot_key_upstream(depot, upstream);
	return rc < 0 ? rc
		      : trust_add(upstreams_trust(depot->upstreams), upstream,
				  key);
}

int depot_key_remove(struct depot *depot, const char *upstream,
		     const struct sign_key *key)
{
	int rc;

	rc = depot_key_upstream(depot, upstream);
	return rc < 0 ? rc
		      : trust_remove(upstreams_trust(depot->upstreams),
				     upstream, key);
}

struct depot_key_visit {
	int (*visit)(void *ctx, const char *upstream,
		     const struct sign_key *key, int64_t since_sec);
	void *ctx;
};

static int depot_key_visit(void *ctx, const struct trust_key *row)
{
	struct depot_key_visit *v = ctx;

	return v->visit(v->ctx, row->upstream, &row->key, row->time_sec);
}

int depot_key_list(struct depot *depot,
		   int (*visit)(void *ctx, const char *upstream,
				const struct sign_key *key, int64_t since_sec),
		   void *ctx)
{
	struct depot_key_visit v = {visit, ctx};

	return trust_list(upstreams_trust(depot->upstreams), depot_key_visit,
			  &v);
}

int depot_upstream_remove(struct depot *depot, const char *name)
{
	int rc = upstreams_remove(depot->upstreams, name);

	evict_kept_changed(depot->evict);
	return rc;
}

struct depot_listing {
	struct fetch *fetch;
	int (*visit)(void *ctx, const struct upstream_info *info);
	void *ctx;
};

static int depot_list_visit(void *ctx, const struct upstream_info *info)
{
	struct depot_listing *listing = ctx;
	struct upstream_info full = *info;

	fetch_tell_source(listing->fetch, &full);
	return listing->visit(listing->ctx, &full);
}

int depot_upstream_list(struct depot *depot,
			int (*visit)(void *ctx,
				     const struct upstream_info *info),
			void *ctx)
{
	struct depot_listing listing = {depot->fetch, visit, ctx};

	return upstreams_list(depot->upstreams, depot_list_visit, &listing);
}

/* --- traces -------------------------------------------------------------- */

int depot_trace_start(struct depot *depot, int fd)
{
	return trace_start(depot->trace, fd);
}

int depot_trace_stop(struct depot *depot, uint64_t *records)
{
	return trace_stop(depot->trace, records);
}

/* --- pins ---------------------------------------------------------------- */

int depot_pin_set(struct depot *depot, const struct digest *tree, bool pinned)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	if (pinned)
		registry_pin_put(batch, tree, time(NULL));
	else
		registry_pin_delete(batch, tree);
	rc = registry_commit(depot->state, batch);
	kv_batch_free(batch);
	evict_kept_changed(depot->evict);
	return rc;
}

bool depot_pin_get(struct depot *depot, const struct digest *tree)
{
	return registry_pin_get(depot->state, tree);
}

/* --- figures ------------------------------------------------------------- */

struct depot_tally {
	struct depot *depot;
	struct depot_stats *stats;
	struct digest *trees; /* owns; counted already */
	size_t count, cap;
};

/* Several tags of one tree count its content once. */
static int depot_tally_tree(struct depot_tally *tally,
			    const struct package_info *info)
{
	struct digest *grown;

	for (size_t i = 0; i < tally->count; i++)
		if (digest_equal(&tally->trees[i], &info->tree))
			return 0;
	if (tally->count == tally->cap) {
		tally->cap = MAX((size_t)16, 2 * tally->cap);
		grown =
		    realloc(tally->trees, tally->cap * sizeof(struct digest));
		if (!grown)
			return -ENOMEM;
		tally->trees = grown;
	}
	tally->trees[tally->count++] = info->tree;
	tally->stats->logical_bytes += info->content_len;
	return 0;
}

static int depot_tally_visit(void *ctx, const struct package_info *info)
{
	struct depot_tally *tally = ctx;

	tally->stats->packages++;
	return depot_tally_tree(tally, info);
}

static int depot_count_pin(void *ctx, const struct digest *tree UNUSED)
{
	uint64_t *pins = ctx;

	(*pins)++;
	return 0;
}

void depot_get_stats(struct depot *depot, struct depot_stats *stats)
{
	struct depot_tally tally = {.depot = depot, .stats = stats};
	struct store_stats store;
	struct cache_stats cache;
	struct fetch_stats fetch;
	struct evict_stats evict;

	memset(stats, 0, sizeof(*stats));
	store_get_stats(depot->store, &store);
	cache_get_stats(depot->cache, &cache);
	fetch_get_stats(depot->fetch, &fetch);
	stats->shard_bytes = store.bytes;
	stats->shards = store.shards;
	stats->cache_bytes = cache.bytes;
	stats->cache_max = cache.bytes_max;
	stats->cache_evictions = cache.evictions;
	evict_get_stats(depot->evict, &evict);
	stats->disk_bytes = evict.disk_bytes;
	stats->disk_max = evict.quota;
	stats->kept_bytes = evict.kept_bytes;
	stats->evicted_shards = evict.shards;
	stats->evicted_bytes = evict.bytes;
	stats->refused_shards = evict.refused;
	stats->full = evict.full;
	stats->lru = usage_rule(depot->usage) == USAGE_LRU;
	if (registry_pin_list(depot->state, depot_count_pin, &stats->pins) < 0)
		log_warn("depot %s: pins not counted to the end", depot->path);
	stats->reads_hot = atomic_load(&depot->reads_hot);
	stats->reads_warm = atomic_load(&depot->reads_warm);
	stats->reads_cold = atomic_load(&depot->reads_cold);
	stats->fetched_bytes = fetch.bytes;
	stats->fetched_shards = fetch.shards;
	stats->fetch_errors = fetch.errors;
	stats->fetch_waiting = fetch.waiting;
	stats->verify_failures_store = store.verify_failures;
	stats->verify_failures_upstream = fetch.verify_failures;
	if (depot_package_list(depot, depot_tally_visit, &tally) < 0)
		log_warn("depot %s: packages not counted to the end",
			 depot->path);
	free(tally.trees);
}
