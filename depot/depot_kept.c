/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depot_kept: which shards must stay on this host: of revisions that no
 * upstream has (made here, or of one that was removed), and of pinned trees.
 */
#include "depot/document.h"
#include "depot/gc_inside.h"
#include "depot/inside.h"
#include "depot/io.h"
#include "depot/kept.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/registry.h"

struct leases *depot_leases(struct depot *depot)
{
	return depot->gc->leases;
}

struct depot_kept {
	struct depot *depot;
	struct kept *kept;
	uint64_t known;
};

/* A tree that is missing or damaged has no use for its shards until it is
 * here again, and then evict is told. */
static int depot_kept_tree(struct depot_kept *ctx, const struct digest *digest)
{
	struct tree *tree;
	int rc;

	rc = depot_tree_get(ctx->depot, digest, &tree);
	if (rc < 0)
		return rc == -ENOMEM ? rc : 0;
	for (uint32_t i = 0; rc == 0 && i < tree_shard_count(tree); i++)
		rc = kept_add(ctx->kept, tree_shard_name(tree, i));
	tree_put(tree);
	return rc;
}

static bool depot_can_fetch(struct depot *depot, const struct digest *tree)
{
	struct registry_origin origin;
	struct upstream *upstream;

	if (registry_origin_get(depot->state, tree, &origin) < 0)
		return false;
	upstream = upstreams_find(depot->upstreams, origin.upstream);
	if (!upstream)
		return false;
	upstream_put(upstream);
	return true;
}

static int depot_kept_revision(void *arg, const struct digest *revision,
			       const char *json, size_t len)
{
	CLEANUP(revision_doc_clear) struct revision_doc doc = {0};
	struct depot_kept *ctx = arg;
	struct digest found = digest_of(json, len);
	int rc = digest_equal(&found, revision) ? revision_read(json, len, &doc)
						: -EBADMSG;

	/* Rows of a newer vdrive, or damaged ones, are of no tree we know. */
	if (rc < 0)
		return rc == -ENOMEM ? rc : 0;
	ctx->known += doc.content_len / DEPOT_SHARD_AVERAGE + doc.files;
	if (depot_can_fetch(ctx->depot, &doc.tree) &&
	    !registry_pin_get(ctx->depot->state, &doc.tree))
		return 0;
	return depot_kept_tree(ctx, &doc.tree);
}

int depot_kept(void *arg, struct kept **kept, uint64_t *known)
{
	struct depot_kept ctx = {.depot = arg, .kept = kept_new()};
	int rc;

	if (!ctx.kept)
		return -ENOMEM;
	rc =
	    registry_revision_list(ctx.depot->state, depot_kept_revision, &ctx);
	if (rc < 0) {
		kept_free(ctx.kept);
		return rc;
	}
	*kept = ctx.kept;
	*known = ctx.known;
	return 0;
}
