/* SPDX-License-Identifier: Apache-2.0 */
/* site_switch: a tenant gets another selection. */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/image_diff.h"
#include "overlay/site_offline.h"

static void switch_path(void *ctx, const char *what)
{
	struct site_switch *how = ctx;

	how->paths++;
	if (how->conflict)
		how->conflict(how->ctx, what);
}

static void switch_note(void *ctx, const char *what)
{
	struct site_switch *how = ctx;

	if (how->note)
		how->note(how->ctx, what);
}

/* Paths that two packages have with different content. */
static int switch_check_paths(struct site *site, struct tenant *tenant,
			      const struct selection *next,
			      struct site_switch *how)
{
	struct selection_teller teller = {switch_path, switch_note, how};
	struct image *image;
	int rc = selection_image(site->depot, NULL, next, tenant->key, &teller,
				 &image);

	if (rc < 0)
		return rc;
	image_put(image);
	if (how->paths > 0 && !how->take_order && !how->dry_run)
		return log_err(
		    -EEXIST,
		    "%u paths are in two packages with different content",
		    how->paths);
	return 0;
}

static int switch_guests(struct site *site, struct tenant *tenant,
			 const struct selection *next, struct site_switch *how)
{
	struct site_move move = {.tenant = tenant,
				 .selection = next,
				 .policy = how->policy,
				 .dry_run = how->dry_run,
				 .conflict = how->guest,
				 .ctx = how->ctx};
	int rc = site_move(site, &move);

	how->conflicts = move.conflicts;
	how->kept = move.kept;
	how->superseded = move.superseded;
	how->restored = move.restored;
	return rc;
}

static int switch_next(struct site *site, struct tenant *tenant,
		       struct selection *next, struct site_switch *how)
{
	int rc = site_check_entitled(site, tenant->name, next);

	if (rc < 0)
		return rc;
	if (tenant->selection.generation > 0 &&
	    selection_same(&tenant->selection, next))
		return 0;
	next->generation = tenant->selection.generation + 1;
	next->since = time_after(&tenant->selection.since);
	rc = switch_check_paths(site, tenant, next, how);
	return rc < 0 ? rc : switch_guests(site, tenant, next, how);
}

int site_tenant_switch(struct site *site, const char *tenant_name,
		       const struct package_info *packages, unsigned int count,
		       struct site_switch *how, uint32_t *generation)
{
	struct selection *next;
	struct tenant *tenant;
	int rc;

	how->paths = how->conflicts = 0;
	how->kept = how->superseded = how->restored = 0;
	if (count > SITE_SELECTION_MAX)
		return log_err(-EINVAL, "a selection has at most %d packages",
			       SITE_SELECTION_MAX);
	next = calloc(1, sizeof(*next));
	if (!next)
		return -ENOMEM;
	next->count = count;
	if (count > 0)
		memcpy(next->package, packages, count * sizeof(*packages));
	pthread_mutex_lock(&site->verbs);
	rc = site_tenant(site, tenant_name, &tenant);
	if (rc == 0) /* a delta cannot follow that is not loaded */
		rc = offline_load_guests(site, tenant);
	if (rc == 0)
		rc = switch_next(site, tenant, next, how);
	*generation = tenant ? tenant->selection.generation : 0;
	pthread_mutex_unlock(&site->verbs);
	free(next);
	return rc;
}

/* --- figures ----------------------------------------------------------------
 */

static int switch_tree_image(struct site *site, const struct digest *digest,
			     struct image **image)
{
	static const uint8_t key[SIPHASH_KEY_LEN];
	static const struct timespec never;
	struct tree *tree;
	int rc = depot_tree_get(site->depot, digest, &tree);

	if (rc == -ENOENT || rc == -EBADMSG)
		rc = depot_tree_fetch(site->depot, digest, &tree);
	if (rc < 0)
		return rc;
	rc = image_new(&tree, 1, 0, key, &never, NULL, NULL, image);
	tree_put(tree);
	return rc;
}

static bool switch_is_file(const struct image *image,
			   const struct image_entry *entry)
{
	return entry && image_inode(image, entry->inode)->parent == IMAGE_NONE;
}

int site_package_changes(struct site *site, const struct digest *before,
			 const struct digest *after, uint64_t *files)
{
	struct image *a = NULL, *b = NULL;
	struct image_diff *diff = NULL;
	int rc = switch_tree_image(site, before, &a);

	*files = 0;
	if (rc == 0)
		rc = switch_tree_image(site, after, &b);
	if (rc == 0)
		rc = image_diff_new(a, b, &diff);
	for (uint32_t i = 0; rc == 0 && i < diff->change_count; i++)
		*files += switch_is_file(a, diff->changes[i].before) ||
			  switch_is_file(b, diff->changes[i].after);
	image_diff_free(diff);
	image_put(a);
	image_put(b);
	return rc;
}

/* --- in words --------------------------------------------------------------
 */

struct switch_words {
	site_conflict_fn *conflict;
	void *ctx;
};

static void switch_words_path(void *ctx, const char *what)
{
	const struct switch_words *words = ctx;

	if (words->conflict)
		words->conflict(words->ctx, what);
}

static void switch_words_guest(void *ctx, const struct site_guest_conflict *c)
{
	char text[4096 + 512];

	if (c->kind == 'D' || c->kind == 'A')
		return;
	snprintf(text, sizeof(text), "%s  %c %s  package: %s", c->guest,
		 c->kind, c->path, c->gone ? "gone" : "changed too");
	switch_words_path(ctx, text);
}

int site_tenant_assign(struct site *site, const char *tenant,
		       const struct package_info *packages, unsigned int count,
		       bool take_order, site_conflict_fn *conflict, void *ctx,
		       uint32_t *generation)
{
	struct switch_words words = {conflict, ctx};
	struct site_switch how = {.take_order = take_order,
				  .conflict = switch_words_path,
				  .guest = switch_words_guest,
				  .ctx = &words};

	return site_tenant_switch(site, tenant, packages, count, &how,
				  generation);
}
