/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch_plan: which plan is followed, how plans of this host are made, and
 * what of a tree is here.
 */
#include <stdio.h>

#include "depot/inside.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/plan_rows.h"
#include "depot/prefetch_inside.h"

/* --- what is known of a tree --------------------------------------------- */

/* A shard that few of many guests touched is noise. */
static unsigned int prefetch_guests_min(unsigned int guests)
{
	return guests < 4 ? 1 : (guests + 3) / 4;
}

static int prefetch_tenant_plan(struct depot *depot, struct tree *tree,
				const char *tenant, struct plan *plan)
{
	const struct digest *digest = tree_digest(tree);
	uint32_t shards = tree_shard_count(tree);
	unsigned int guests_min;
	int rc;

	rc = plan_rows_merge(depot->state, digest, shards, tenant, 1, plan,
			     NULL);
	if (rc < 0)
		return rc;
	guests_min = prefetch_guests_min(plan->guests);
	if (guests_min == 1)
		return 0;
	plan_clear(plan);
	return plan_rows_merge(depot->state, digest, shards, tenant, guests_min,
			       plan, NULL);
}

int depot_plan_get(struct depot *depot, struct tree *tree, const char *tenant,
		   struct plan *plan)
{
	struct plan_row row;
	int rc, host;

	memset(plan, 0, sizeof(*plan));
	rc = prefetch_tenant_plan(depot, tree, tenant, plan);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	host = plan_rows_get(depot->state, tree_digest(tree),
			     tree_shard_count(tree), &row);
	if (host < 0)
		return rc; /* none, or a damaged one: logged */
	if (rc == 0) {
		/* The tenant's own are few mostly, and may be cut short. */
		rc = plan_append(plan, &row.plan);
		plan_clear(&row.plan);
	} else {
		*plan = row.plan;
		rc = 0;
	}
	if (rc < 0)
		plan_clear(plan);
	return rc;
}

struct index *prefetch_load_index(struct depot *depot, struct tree *tree)
{
	CLEANUP_FREE char *path =
	    layout_host_index(depot->path, tree_digest(tree));
	CLEANUP_FREE void *bytes = NULL;
	struct index *index;
	size_t len;

	if (!path || io_read_file(path, INDEX_FILE_MAX, &bytes, &len) < 0 ||
	    index_open(bytes, len, tree_digest(tree), tree_shard_count(tree),
		       &index) < 0)
		return NULL;
	return index;
}

uint32_t prefetch_shard_len(struct depot *depot, struct tree *tree,
			    const struct index *index, uint32_t shard)
{
	struct index_place place;
	struct kv_value value;
	uint32_t len = 0;

	if (index) {
		index_place(index, shard, &place);
		return place.len;
	}
	if (store_get(depot->store, tree_shard_name(tree, shard), &value) < 0)
		return 0;
	len = (uint32_t)value.len;
	kv_value_release(&value);
	return len;
}

/* --- plans of this host -------------------------------------------------- */

/* takes plan's list, sets its budget and keeps it as this host's. */
static int plan_keep(struct depot *depot, struct tree *tree, unsigned int kind,
		     struct plan *plan)
{
	struct index *index = prefetch_load_index(depot, tree);
	struct plan_row row = {.kind = kind, .plan = *plan};
	int rc;

	row.plan.tree = *tree_digest(tree);
	row.plan.budget = 0;
	for (uint32_t i = 0; i < plan->count; i++)
		row.plan.budget +=
		    prefetch_shard_len(depot, tree, index, plan->shards[i]);
	row.plan.budget = MIN(row.plan.budget, PLAN_BUDGET_MAX);
	rc = plan_rows_put(depot->state, &row);
	index_put(index);
	plan_clear(plan);
	return rc;
}

int depot_plan_publish(struct depot *depot, struct tree *tree)
{
	struct plan plan;
	int rc;

	rc = plan_rows_merge(depot->state, tree_digest(tree),
			     tree_shard_count(tree), NULL, PLAN_PUBLISH_GUESTS,
			     &plan, NULL);
	if (rc == -ENOENT)
		return log_err(-ENODATA, "no guest's start of it is recorded");
	if (rc < 0)
		return rc;
	if (plan.count > 0)
		return plan_keep(depot, tree, STORE_PLAN_PUBLISHED, &plan);
	rc = log_err(-ENODATA,
		     "starts of %u guests are recorded, and no part that at "
		     "least %d touched",
		     plan.guests, PLAN_PUBLISH_GUESTS);
	plan_clear(&plan);
	return rc;
}

int depot_plan_record(struct depot *depot, struct tree *tree,
		      const char *tenant, const char *guest)
{
	struct plan_start start;
	struct plan plan;
	int rc;

	rc = plan_rows_get_start(depot->state, tree_digest(tree), tenant, guest,
				 &start);
	if (rc == -ENOENT || rc == -EBADMSG)
		return log_err(-ENODATA, "no start of it by %s/%s is recorded",
			       tenant, guest);
	if (rc < 0)
		return rc;
	rc = plan_merge(&start, 1, tree_shard_count(tree), 1, &plan, NULL);
	plan_start_clear(&start);
	return rc < 0 ? rc : plan_keep(depot, tree, STORE_PLAN_RECORDED, &plan);
}

/* --- what is here -------------------------------------------------------- */

static bool prefetch_here(struct depot *depot, struct tree *tree,
			  uint32_t shard)
{
	return store_has(depot->store, tree_shard_name(tree, shard));
}

/* Bytes of each shard's chunk, by the files that hold it. */
static uint32_t *prefetch_chunk_lens(struct tree *tree)
{
	uint32_t *lens =
	    calloc((size_t)tree_shard_count(tree) + 1, sizeof(*lens));
	struct tree_inode attr;
	struct tree_chunk chunk;

	for (uint32_t i = 0; lens && i < tree_inode_count(tree); i++) {
		tree_inode_get(tree, i, &attr);
		if (!S_ISREG(attr.mode))
			continue;
		for (uint32_t c = 0; c < attr.count; c++) {
			tree_chunk_get(tree, i, c, &chunk);
			if (chunk.shard != TREE_HOLE)
				lens[chunk.shard] = chunk.len;
		}
	}
	return lens;
}

int depot_prefetch_resident(struct depot *depot, struct tree *tree,
			    const char *tenant,
			    struct prefetch_resident *resident)
{
	CLEANUP_FREE uint32_t *lens = prefetch_chunk_lens(tree);
	struct plan plan;
	int rc = depot_goes_on(depot);

	memset(resident, 0, sizeof(*resident));
	if (rc < 0 || !lens)
		return rc < 0 ? rc : -ENOMEM;
	resident->shards = tree_shard_count(tree);
	for (uint32_t i = 0; i < resident->shards; i++) {
		resident->bytes += lens[i];
		if (!prefetch_here(depot, tree, i))
			continue;
		resident->shards_here++;
		resident->bytes_here += lens[i];
	}
	rc = depot_plan_get(depot, tree, tenant, &plan);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	resident->has_plan = true;
	resident->plan_shards = plan.count;
	for (uint32_t i = 0; i < plan.count; i++)
		resident->plan_here +=
		    prefetch_here(depot, tree, plan.shards[i]);
	plan_clear(&plan);
	return 0;
}
