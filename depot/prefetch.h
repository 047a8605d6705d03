/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch: shards that nobody has asked for yet: plans replayed when a guest
 * starts a package, reading ahead of sequential readers, a slow fill of what
 * was started, and what an operator wants here.  Part of the depot's facade.
 *
 * One thread hands shards that are not here to fetch, a bounded number at a
 * time, each kind in its class: a guest's own read goes before all of them.
 * All but the operator's functions return at once and cannot fail: without
 * memory, or when too much is queued, nothing is fetched ahead.
 *
 * Life of a run:
 * 1. Queued, and prepared: a plan is read, merged and cut to its budget.
 * 2. Its shards go to fetch in order; those that are here are passed over.
 * 3. The last is back, or the run is cancelled, its package gone, its budget
 *    spent: over.  An operator's stays to be asked about for a while.
 */
#ifndef DEPOT_PREFETCH_H
#define DEPOT_PREFETCH_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/digest.h"
#include "depot/tree.h"

enum {
	PREFETCH_RUNS_MAX = 4096,      /* queued; beyond: not begun */
	PREFETCH_JOBS_MAX = 2048,      /* with fetch, of all runs together */
	PREFETCH_RUN_JOBS_MAX = 1024,  /* of one run */
	PREFETCH_AHEAD_MAX = 2048,     /* shards of one call */
	PREFETCH_AGAIN_MS = 30 * 1000, /* the same start, sooner: passed over */
	PREFETCH_KEPT_MS = 10 * 60 * 1000, /* an operator's run that is over */
};
#define PREFETCH_PLAN_BYTES (UINT64_C(1) << 30) /* of one plan, at most */

struct prefetch_options {
	bool plans_off;      /* replay none */
	uint64_t plan_bytes; /* at most, of one plan, or of one fill that
				PREFETCH_FILL_AUTO began; 0:
				PREFETCH_PLAN_BYTES */
	uint64_t fill_rate;  /* bytes a second for all fills; 0: none;
				PREFETCH_FILL_AUTO */
};
/* As fast as the link is free (fetch_window.h), and only packages that no plan
 * is known of, while nobody reads on and on, as long as the store has room. */
#define PREFETCH_FILL_AUTO UINT64_MAX
void depot_prefetch_set(struct depot *depot,
			const struct prefetch_options *options);

/* --- on the way of guests: never wait ------------------------------------ */

/* A guest of this tenant begins to use a tree: its plan, then a fill. */
void depot_prefetch_started(struct depot *depot, struct tree *tree,
			    const char *tenant);
/* Somebody reads on: these shards next. */
void depot_prefetch_ahead(struct depot *depot, struct tree *tree,
			  const uint32_t *shards, unsigned int count,
			  uint32_t who);

/* --- for operators ------------------------------------------------------- */

enum prefetch_what { PREFETCH_PLAN, PREFETCH_ALL };

struct prefetch_progress {
	bool over;
	uint32_t total;  /* shards of the run that were not here */
	uint32_t done;   /* of them, here now */
	uint32_t failed; /* of them, not to be had */
	uint64_t bytes_total, bytes_done; /* as stored; total 0: not known */
};

/* tenant: as of depot_plan_get.
 * *id names the run.  -ENODATA: there is no plan. */
MUST_CHECK int depot_prefetch_start(struct depot *depot, struct tree *tree,
				    enum prefetch_what what, const char *tenant,
				    uint64_t *id);
/* -ENOENT: no such run (any more). */
MUST_CHECK int depot_prefetch_ask(struct depot *depot, uint64_t id,
				  struct prefetch_progress *progress);
void depot_prefetch_cancel(struct depot *depot, uint64_t id);
/* The tree goes: so do its runs. */
void depot_prefetch_forget(struct depot *depot, const struct digest *tree);

/* What of a tree is on this host.  -ENOMEM, -EIO, -ECANCELED (depot_hurry). */
struct prefetch_resident {
	uint32_t shards, shards_here;
	uint64_t bytes, bytes_here; /* of chunks: opened */
	bool has_plan;
	uint32_t plan_shards, plan_here;
};
MUST_CHECK int depot_prefetch_resident(struct depot *depot, struct tree *tree,
				       const char *tenant,
				       struct prefetch_resident *resident);

struct prefetch_bytes {
	uint64_t fetched; /* as stored */
	uint64_t used;    /* of them, read since */
	uint64_t wasted;  /* not read within MARKS_WASTE_MS */
};
struct prefetch_figures {
	struct prefetch_bytes plan, ahead, fill;
	unsigned int runs; /* under way */
};
void depot_prefetch_figures(struct depot *depot,
			    struct prefetch_figures *figures);
/* Of plans for one tree. */
void depot_prefetch_of_tree(struct depot *depot, const struct digest *tree,
			    struct prefetch_bytes *bytes);

/* --- plans of this host -------------------------------------------------- */

struct plan;
/* What a guest of this tenant will want first: its tenant's own starts
 * (tenant NULL: everybody's), then this host's plan.  -ENOENT: nothing is
 * known. */
MUST_CHECK int depot_plan_get(struct depot *depot, struct tree *tree,
			      const char *tenant, struct plan *plan);

/*
 * Make this host's plan of a tree from everybody's starts: what at least
 * PLAN_PUBLISH_GUESTS guests touched.  A push takes it along.  -ENODATA: there
 * are not so many guests, or no shard that so many touched.
 */
MUST_CHECK int depot_plan_publish(struct depot *depot, struct tree *tree);
/* The same from one guest's last start; stays on this host.  -ENODATA: the
 * guest has not started it. */
MUST_CHECK int depot_plan_record(struct depot *depot, struct tree *tree,
				 const char *tenant, const char *guest);

/* --- the depot's own ----------------------------------------------------- */

struct prefetch;
MUST_CHECK int prefetch_new(struct depot *depot, struct prefetch **prefetch);
/* Begin no more; before fetch_stop(). */
void prefetch_stop(struct prefetch *prefetch);
/* After fetch_stop().  takes prefetch; NULL allowed */
void prefetch_free(struct prefetch *prefetch);
/* A shard was loaded for a reader. */
void prefetch_read(struct prefetch *prefetch, const struct digest *name);

#endif
