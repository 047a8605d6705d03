/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_walk: visits all names of a tree in byte order, without recursion: the
 * depth of a tree is its maker's choice.
 */
#include "depot/tree_image.h"

#include <sys/stat.h>

enum { TREE_WALK_PATH_MAX = TREE_DEPTH_MAX * (TREE_NAME_MAX + 1) };

struct tree_walk_row {
	uint64_t prefix;
	struct tree_entry entry;
};

/* One directory that is being walked. */
struct tree_walk_level {
	struct tree_walk_row *rows; /* owns */
	uint32_t count, next;
	size_t path_len;
};

struct tree_walk {
	const struct tree *tree;        /* borrows */
	char *path;                     /* owns */
	struct tree_walk_level *levels; /* owns; one per component */
	uint32_t depth;
};

static void tree_walk_cleanup(struct tree_walk *walk)
{
	for (uint32_t i = 0; i < walk->depth; i++)
		free(walk->levels[i].rows);
	free(walk->levels);
	free(walk->path);
}

static int tree_walk_compare(const void *a, const void *b)
{
	const struct tree_walk_row *x = a, *y = b;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return tree_name_compare(x->entry.name, x->entry.name_len,
				 y->entry.name, y->entry.name_len);
}

static int tree_walk_enter(struct tree_walk *walk, uint32_t dir,
			   size_t path_len)
{
	struct tree_walk_level *level = &walk->levels[walk->depth];
	struct tree_inode inode;

	tree_inode_get(walk->tree, dir, &inode);
	if (inode.count == 0)
		return 0;
	ASSERT(walk->depth < TREE_DEPTH_MAX);
	level->rows = malloc(inode.count * sizeof(*level->rows));
	if (!level->rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < inode.count; i++) {
		struct tree_walk_row *row = &level->rows[i];

		tree_entry_get(walk->tree, dir, i, &row->entry);
		row->prefix =
		    tree_name_prefix(row->entry.name, row->entry.name_len);
	}
	qsort(level->rows, inode.count, sizeof(*level->rows),
	      tree_walk_compare);
	level->count = inode.count;
	level->next = 0;
	level->path_len = path_len;
	walk->depth++;
	return 0;
}

static int tree_walk_step(struct tree_walk *walk, tree_visit_fn *visit,
			  void *ctx)
{
	struct tree_walk_level *level = &walk->levels[walk->depth - 1];
	const struct tree_entry *entry;
	struct tree_inode inode;
	size_t len = level->path_len;
	int rc;

	if (level->next == level->count) {
		free(level->rows);
		walk->depth--;
		return 0;
	}
	entry = &level->rows[level->next++].entry;
	if (len > 0)
		walk->path[len++] = '/';
	memcpy(walk->path + len, entry->name, entry->name_len);
	len += entry->name_len;
	walk->path[len] = '\0';
	rc = visit(ctx, walk->path, entry, entry->inode);
	if (rc != 0 || entry->inode == TREE_WHITEOUT)
		return rc;
	tree_inode_get(walk->tree, entry->inode, &inode);
	if (!S_ISDIR(inode.mode))
		return 0;
	return tree_walk_enter(walk, entry->inode, len);
}

int tree_walk(const struct tree *tree, tree_visit_fn *visit, void *ctx)
{
	CLEANUP(tree_walk_cleanup) struct tree_walk walk = {.tree = tree};
	const struct tree_entry root = {.name = "", .inode = TREE_ROOT};
	int rc;

	ASSERT(tree && visit);
	walk.path = malloc(TREE_WALK_PATH_MAX + 1);
	walk.levels = calloc(TREE_DEPTH_MAX, sizeof(*walk.levels));
	if (!walk.path || !walk.levels)
		return -ENOMEM;
	walk.path[0] = '\0';
	rc = visit(ctx, walk.path, &root, TREE_ROOT);
	if (rc == 0)
		rc = tree_walk_enter(&walk, TREE_ROOT, 0);
	while (rc == 0 && walk.depth > 0)
		rc = tree_walk_step(&walk, visit, ctx);
	return rc;
}
