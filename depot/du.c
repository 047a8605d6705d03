/* SPDX-License-Identifier: Apache-2.0 */
/*
 * du: windows of live names and the store's keys are gone through side by side,
 * both in the order of names.
 */
#include "depot/du.h"

#include <stdio.h>
#include <time.h>

#include "depot/gc_inside.h"
#include "depot/index.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"

enum {
	DU_WINDOW_BYTES = 16 << 20,
	DU_STOP = 1, /* a visitor's: the window ends here */
};

/* One tree that is here. */
struct du_tree {
	struct index *index; /* ref; NULL: none */
	uint32_t *groups;    /* owns; numbers */
	uint32_t group_count;
	bool waits; /* nothing points at it, and its time runs */
};

struct du {
	struct depot *depot;
	struct du_group *groups; /* borrows */
	size_t group_count;
	struct du_total *total; /* borrows */
	struct gc_set here;
	struct du_tree *trees; /* owns; as `here` */
	uint32_t *live_tree;   /* owns; number in live to number in `here` */
	struct live *live;     /* owns */
	uint64_t *seen;        /* owns; of each group, and "others": last run */
	uint64_t run;
	/* of the window: */
	const struct live_entry *entries;
	size_t count, at;
};

static void du_clear(struct du *du)
{
	for (size_t i = 0; du->trees && i < du->here.count; i++) {
		index_put(du->trees[i].index);
		free(du->trees[i].groups);
	}
	free(du->trees);
	free(du->live_tree);
	free(du->seen);
	live_free(du->live);
	gc_set_clear(&du->here);
}

/* --- which tree is whose ---------------------------------------------------
 */

static int du_index_open(struct du *du, const struct tree *tree,
			 struct index **index)
{
	CLEANUP_FREE char *path =
	    layout_host_index(du->depot->path, tree_digest(tree));
	int rc;

	*index = NULL;
	if (!path)
		return -ENOMEM;
	rc = index_read(path, tree_digest(tree), tree_shard_count(tree), index);
	/* It is a hint: without one the cold bytes are not known. */
	return rc == -ENOMEM ? rc : 0;
}

static int du_add_group(struct du_tree *tree, uint32_t group)
{
	uint32_t *grown;

	for (uint32_t i = 0; i < tree->group_count; i++)
		if (tree->groups[i] == group)
			return 0;
	grown =
	    reallocarray(tree->groups, tree->group_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	tree->groups = grown;
	tree->groups[tree->group_count++] = group;
	return 1;
}

static long du_find(const struct du *du, const struct digest *name)
{
	const struct digest *found =
	    du->here.count == 0
		? NULL
		: bsearch(name, du->here.names, du->here.count, sizeof(*name),
			  (int (*)(const void *, const void *))digest_compare);

	return found ? found - du->here.names : -1;
}

static int du_open_tree(struct du *du, uint32_t *opened, size_t i)
{
	struct du_tree *own = &du->trees[i];
	struct tree *tree;
	int64_t since;
	int rc = depot_goes_on(du->depot);

	if (rc < 0)
		return rc;
	rc = gc_row_tree_get(du->depot->state, &du->here.names[i], time(NULL),
			     &since);
	if (rc < 0)
		return rc;
	own->waits = since != 0;
	rc = depot_tree_get(du->depot, &du->here.names[i], &tree);
	if ((rc == -EBADMSG && own->waits) || rc == -ENOENT)
		return 0;
	if (rc < 0)
		return log_err(rc, "a tree in use cannot be read");
	du->live_tree[*opened] = (uint32_t)i;
	rc = live_add(du->live, tree);
	if (rc == 0)
		rc = du_index_open(du, tree, &own->index);
	for (uint32_t g = 0; rc == 0 && g < own->group_count; g++)
		du->groups[own->groups[g]].logical += tree_content_len(tree);
	tree_put(tree);
	++*opened;
	return rc;
}

static int du_open(struct du *du)
{
	uint32_t opened = 0;
	int rc;

	rc = gc_trees_here(du->depot, &du->here);
	if (rc == 0)
		rc = live_new(DU_WINDOW_BYTES, &du->live);
	du->trees = calloc(du->here.count + 1, sizeof(*du->trees));
	du->live_tree = calloc(du->here.count + 1, sizeof(*du->live_tree));
	du->seen = calloc(du->group_count + 1, sizeof(*du->seen));
	if (rc == 0 && (!du->trees || !du->live_tree || !du->seen))
		rc = -ENOMEM;
	for (size_t g = 0; rc >= 0 && g < du->group_count; g++)
		for (size_t t = 0; rc >= 0 && t < du->groups[g].tree_count;
		     t++) {
			long at = du_find(du, &du->groups[g].trees[t]);

			if (at >= 0)
				rc = du_add_group(&du->trees[at], (uint32_t)g);
		}
	for (size_t i = 0; rc >= 0 && i < du->here.count; i++)
		rc = du_open_tree(du, &opened, i);
	return MIN(rc, 0);
}

/* --- runs ------------------------------------------------------------------
 */

/* One shard, and all that name it: entries [at, end). */
struct du_run {
	size_t end;
	unsigned int groups;
	uint32_t group; /* the last of them */
	bool others;    /* a tree in use that is in no group */
	bool live;
	uint32_t cold; /* bytes upstream */
};

static void du_run_tree(struct du *du, struct du_run *run,
			const struct live_entry *entry)
{
	const struct du_tree *tree = &du->trees[du->live_tree[entry->tree]];
	struct index_place place;

	run->live |= !tree->waits;
	run->others |= !tree->waits && tree->group_count == 0;
	if (tree->index && run->cold == 0) {
		index_place(tree->index, entry->shard, &place);
		run->cold = place.len;
	}
	for (uint32_t g = 0; g < tree->group_count; g++) {
		if (du->seen[tree->groups[g]] == du->run)
			continue;
		du->seen[tree->groups[g]] = du->run;
		run->group = tree->groups[g];
		run->groups++;
	}
}

static void du_run_count(struct du *du, const struct du_run *run, bool here,
			 size_t len)
{
	for (size_t i = du->at; i < run->end; i++) {
		const struct du_tree *tree =
		    &du->trees[du->live_tree[du->entries[i].tree]];

		for (uint32_t g = 0; g < tree->group_count; g++) {
			struct du_group *group = &du->groups[tree->groups[g]];

			/* Each group once. */
			if (du->seen[tree->groups[g]] != du->run)
				continue;
			du->seen[tree->groups[g]] = 0;
			group->shards++;
			group->shards_here += here;
			group->stored += here ? len : 0;
			group->cold += here ? 0 : run->cold;
		}
	}
	if (here && run->groups == 1 && !run->others)
		du->groups[run->group].unique += len;
}

/* The shard at du->at; moves on behind it. */
static bool du_shard(struct du *du, bool here, size_t len)
{
	const struct digest *name = &du->entries[du->at].name;
	struct du_run run = {.end = du->at};

	du->run++;
	for (; run.end < du->count &&
	       digest_equal(&du->entries[run.end].name, name);
	     run.end++)
		du_run_tree(du, &run, &du->entries[run.end]);
	du_run_count(du, &run, here, len);
	du->at = run.end;
	return run.live;
}

static int du_visit(void *ctx, const struct digest *name, size_t len)
{
	struct du *du = ctx;
	int order = 1, rc = depot_goes_on(du->depot);

	if (rc < 0)
		return rc;
	if (!live_covers(du->live, name))
		return DU_STOP;
	while (du->at < du->count) {
		order = digest_compare(&du->entries[du->at].name, name);
		if (order >= 0)
			break;
		du_shard(du, false, 0);
	}
	du->total->shards++;
	du->total->stored += len;
	if (du->at >= du->count || order != 0)
		du->total->garbage += len;
	else if (du_shard(du, true, len))
		du->total->live += len;
	else
		du->total->waiting += len;
	return 0;
}

static int du_windows(struct du *du)
{
	struct digest from = {{0}}, end;
	int rc;

	for (;;) {
		rc = live_window(du->live, &from);
		if (rc < 0)
			return rc;
		du->entries = live_entries(du->live, &du->count);
		du->at = 0;
		rc = store_walk(du->depot->store, &from, du_visit, du);
		if (rc < 0)
			return rc;
		while (du->at < du->count)
			du_shard(du, false, 0);
		if (!live_end(du->live, &end))
			return 0;
		from = end;
	}
}

int depot_du(struct depot *depot, struct du_group *groups, size_t count,
	     struct du_total *total)
{
	CLEANUP(du_clear)
	struct du du = {.depot = depot,
			.groups = groups,
			.group_count = count,
			.total = total};
	int rc;

	memset(total, 0, sizeof(*total));
	for (size_t g = 0; g < count; g++)
		groups[g] =
		    (struct du_group){.trees = groups[g].trees,
				      .tree_count = groups[g].tree_count};
	rc = du_open(&du);
	if (rc == 0)
		rc = du_windows(&du);
	if (rc == 0)
		total->disk = store_disk_bytes(depot->store);
	return rc;
}
