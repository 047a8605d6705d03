/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_rows: plans and starts in the state database (the 'B' keys of store.h).
 *
 * Starts are kept per guest, the last one of each tree, and merged when they
 * are asked for: so a guest that starts a hundred times counts once.  All are
 * hints: a damaged start is left out, logged.  No state of its own;
 * thread-safe.
 */
#ifndef DEPOT_PLAN_ROWS_H
#define DEPOT_PLAN_ROWS_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/kv.h"
#include "depot/plan.h"

enum {
	PLAN_GUESTS_MAX = 16, /* starts kept of a tenant and tree; the oldest
				 goes */
};

/* Not synced: who loses power starts once more. */
MUST_CHECK int plan_rows_put_start(struct kv *state, const struct digest *tree,
				   const char *tenant, const char *guest,
				   const struct plan_start *start);
/* -ENOENT; -EBADMSG, logged. */
MUST_CHECK int plan_rows_get_start(struct kv *state, const struct digest *tree,
				   const char *tenant, const char *guest,
				   struct plan_start *start);
/* plan_merge() of a tenant's guests, or (NULL) of everybody's; the plan's tree
 * is set.  -ENOENT: none of them has started this tree. */
MUST_CHECK int plan_rows_merge(struct kv *state, const struct digest *tree,
			       uint32_t shard_count, const char *tenant,
			       unsigned int guests_min, struct plan *plan,
			       uint16_t **guests);

/* Where a plan came from; on disk STORE_PLAN_* (store.h). */
enum plan_kind {
	PLAN_KIND_PUBLISHED = 1,
	PLAN_KIND_RECORDED = 2,
	PLAN_KIND_TAKEN = 3,
};

struct plan_row {
	unsigned int kind; /* enum plan_kind */
	uint32_t number;   /* N of plans/TREE-N; 0: in no depot yet */
	struct plan plan;  /* owns */
};
/* This host's plan of a tree.  -ENOENT; -EBADMSG, logged. */
MUST_CHECK int plan_rows_get(struct kv *state, const struct digest *tree,
			     uint32_t shard_count, struct plan_row *row);
/* Synced. */
MUST_CHECK int plan_rows_put(struct kv *state, const struct plan_row *row);
/* Forget the plan, with `starts` also who started it.  Synced. */
MUST_CHECK int plan_rows_remove(struct kv *state, const struct digest *tree,
				bool starts);
/* The same for a batch: a tree that goes takes all of it along. */
void plan_rows_forget(struct kv_batch *batch, const struct digest *tree);
/* The starts of a tenant's guests, of every tree.  -ENOMEM, -EIO. */
MUST_CHECK int plan_rows_forget_tenant(struct kv *state, const char *tenant,
				       struct kv_batch *batch);

struct plan_figures {
	bool has_plan;
	unsigned int kind, number; /* of the plan */
	uint32_t plan_shards, plan_guests;
	uint64_t budget;
	unsigned int starts; /* guests whose start is kept */
	int64_t last_sec;    /* of the last of these starts */
};
/* What is known of a tree; all zero when that is nothing. */
MUST_CHECK int plan_rows_figures(struct kv *state, const struct digest *tree,
				 struct plan_figures *figures);

#endif
