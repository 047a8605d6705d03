/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside: struct depot, for the files that make up the facade: depot.c (open,
 * close, trees, figures), read.c (opened chunks), package.c (names),
 * depot_kept.c (what must not be evicted).
 */
#ifndef DEPOT_INSIDE_H
#define DEPOT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "depot/cache.h"
#include "depot/depot.h"
#include "depot/evict.h"
#include "depot/fetch.h"
#include "depot/gc.h"
#include "depot/kv.h"
#include "depot/pool.h"
#include "depot/prefetch.h"
#include "depot/space.h"
#include "depot/store.h"
#include "depot/trace.h"
#include "depot/upstream.h"
#include "depot/usage.h"

enum { DEPOT_TREES_MAX = 1024 }; /* kept open while nobody uses them */

struct depot {
	char *path;                  /* owns */
	struct space *space;         /* owns */
	struct kv *state;            /* owns */
	struct store *store;         /* owns */
	struct usage *usage;         /* owns */
	struct trace *trace;         /* owns */
	struct evict *evict;         /* owns */
	struct cache *cache;         /* owns */
	struct pool *pool;           /* owns */
	struct upstreams *upstreams; /* owns */
	struct fetch *fetch;         /* owns */
	struct prefetch *prefetch;   /* owns */
	struct gc *gc;               /* owns */

	pthread_mutex_t trees_lock;
	struct tree *trees[DEPOT_TREES_MAX]; /* trees_lock; ref */
	unsigned int tree_count;             /* trees_lock */
	unsigned int tree_oldest;            /* trees_lock; next to go */

	atomic_bool hurried; /* depot_hurry */
	_Atomic uint64_t reads_hot, reads_warm, reads_cold;
};

/* --- for the collection (gc.h) -------------------------------------------- */

/* Has anybody the tree open, besides the list of open trees? */
bool depot_tree_in_use(struct depot *depot, const struct digest *digest);
/* Out of the list of open trees; false: somebody has it open. */
bool depot_tree_forget(struct depot *depot, const struct digest *digest);

MUST_CHECK int gc_new(struct depot *depot, struct gc **gc);
void gc_free(struct gc *gc);             /* stops; takes; NULL allowed */
enum { DEPOT_SHARD_AVERAGE = 64 << 10 }; /* bytes of a chunk, for estimates */

struct leases *depot_leases(struct depot *depot); /* gc's */
/* As evict.h wants it; arg: the depot. */
MUST_CHECK int depot_kept(void *arg, struct kept **kept, uint64_t *known);

#endif
