/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc_inside: what the files of the collection share: gc.c has the thread and
 * the steps, gc_tree.c decides which trees go, gc_walk.c takes shards out.
 */
#ifndef DEPOT_GC_INSIDE_H
#define DEPOT_GC_INSIDE_H

#include <pthread.h>

#include "depot/gc.h"
#include "depot/gc_row.h"
#include "depot/inside.h"
#include "depot/killpoint.h"
#include "depot/lease.h"
#include "depot/live.h"

struct gc {
	struct depot *depot;   /* borrows */
	struct leases *leases; /* owns */
	uint64_t any_lease;    /* run_any; number of the depot's own */
	pthread_mutex_t run_any;

	pthread_mutex_t run; /* held over a step */
	/* guarded by run: */
	gc_roots_fn *roots; /* NULL: not started */
	void *roots_ctx;
	struct gc_options options;
	struct gc_row_walk walk;
	bool loaded;          /* walk is as the row says, or further */
	bool trees_done;      /* gc_trees ran since the daemon started */
	uint64_t since_saved; /* shards looked at or removed */
	struct live *live;    /* owns; NULL: none */
	uint64_t live_closes;
	/* Trees here without a pointer, when gc_trees last looked. */
	struct digest *unnamed; /* owns */
	size_t unnamed_count;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping, kicked, running; /* lock */
	pthread_t thread;
};

/* Between two effects: where tests kill, or do something else. */
#define GC_AT(gc, point)                                                       \
	do {                                                                   \
		KILL_POINT(point);                                             \
		if ((gc)->options.at)                                          \
			(gc)->options.at((gc)->options.at_ctx, (point));       \
	} while (0)

/* Sorted digests. */
struct gc_set {
	struct digest *names; /* owns */
	size_t count, cap;
};
MUST_CHECK int gc_set_add(struct gc_set *set, const struct digest *name);
void gc_set_sort(struct gc_set *set); /* each once */
bool gc_set_has(const struct gc_set *set, const struct digest *name);
void gc_set_clear(struct gc_set *set);

/* --- gc_tree.c -------------------------------------------------------------
 */

/* All trees that are here, as files; sorted. */
MUST_CHECK int gc_trees_here(struct depot *depot, struct gc_set *here);
/*
 * Phase 1.  look (may be NULL): change nothing, and put those that would go
 * into it.
 */
MUST_CHECK int gc_trees(struct gc *gc, struct gc_set *look,
			struct gc_report *report);

/* --- gc_walk.c -------------------------------------------------------------
 */

/* Live names of all trees here but those in `without` (may be NULL). */
MUST_CHECK int gc_live(struct gc *gc, const struct gc_set *without,
		       struct live **live);
/* A step of phase 2 or 3. */
MUST_CHECK int gc_walk_step(struct gc *gc, unsigned int shards,
			    struct gc_report *report);
MUST_CHECK int gc_walk_look(struct gc *gc, const struct gc_set *without,
			    const struct digest *from, unsigned int shards,
			    struct gc_report *report);
MUST_CHECK int gc_walk_save(struct gc *gc);

#endif
