/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_package_diff: what the second of two packages has that the first has not,
 * by path: A, D, M (content, type or target), m (attributes; times too).  Two
 * captures of one installer differ in just what the installer varies.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "depot/tree.h"

enum { PACKAGE_DIFF_WHAT_MAX = 64 };

struct cmd_diff {
	struct cli *cli;
	struct tree *trees[2]; /* ref; before, after */
	unsigned int walked;   /* which is being walked */
	json_t *changes;       /* owns */
};

static void cmd_diff_clear(struct cmd_diff *diff)
{
	tree_put(diff->trees[0]);
	tree_put(diff->trees[1]);
	json_decref(diff->changes);
}

static int cmd_diff_add(struct cmd_diff *diff, char letter, const char *path,
			const char *what)
{
	CLEANUP_FREE char *copy = strdup(path);
	char letters[2] = {letter, '\0'};

	if (!copy)
		return -ENOMEM;
	return json_array_append_new(
		   diff->changes,
		   json_pack("{s:s, s:o, s:s}", "change", letters, "path",
			     output_json_name(copy), "what", what)) == 0
		   ? 0
		   : -ENOMEM;
}

static bool cmd_diff_same_chunks(const struct cmd_diff *diff, uint32_t a,
				 uint32_t b, const struct tree_inode attr[2])
{
	struct tree_chunk x, y;

	if (attr[0].size != attr[1].size || attr[0].count != attr[1].count)
		return false;
	for (uint32_t i = 0; i < attr[0].count; i++) {
		tree_chunk_get(diff->trees[0], a, i, &x);
		tree_chunk_get(diff->trees[1], b, i, &y);
		if (x.len != y.len ||
		    (x.shard == TREE_HOLE) != (y.shard == TREE_HOLE))
			return false;
		if (x.shard != TREE_HOLE &&
		    !digest_equal(tree_shard_name(diff->trees[0], x.shard),
				  tree_shard_name(diff->trees[1], y.shard)))
			return false;
	}
	return true;
}

static bool cmd_diff_same_target(const struct cmd_diff *diff, uint32_t a,
				 uint32_t b)
{
	size_t a_len, b_len;
	const char *x = tree_symlink(diff->trees[0], a, &a_len);
	const char *y = tree_symlink(diff->trees[1], b, &b_len);

	return a_len == b_len && memcmp(x, y, a_len) == 0;
}

/* What differs between two objects at one path, as a letter; 0: nothing. */
static char cmd_diff_objects(const struct cmd_diff *diff, uint32_t a,
			     uint32_t b, char what[PACKAGE_DIFF_WHAT_MAX])
{
	struct tree_inode attr[2];

	tree_inode_get(diff->trees[0], a, &attr[0]);
	tree_inode_get(diff->trees[1], b, &attr[1]);
	if ((attr[0].mode & S_IFMT) != (attr[1].mode & S_IFMT)) {
		strcpy(what, "type");
		return 'M';
	}
	if (S_ISREG(attr[0].mode) && !cmd_diff_same_chunks(diff, a, b, attr)) {
		strcpy(what, "content");
		return 'M';
	}
	if (S_ISLNK(attr[0].mode) && !cmd_diff_same_target(diff, a, b)) {
		strcpy(what, "target");
		return 'M';
	}
	snprintf(what, PACKAGE_DIFF_WHAT_MAX, "%s%s%s",
		 attr[0].mode != attr[1].mode ? "mode " : "",
		 attr[0].uid != attr[1].uid || attr[0].gid != attr[1].gid
		     ? "owner "
		     : "",
		 attr[0].mtime.tv_sec != attr[1].mtime.tv_sec ||
			 attr[0].mtime.tv_nsec != attr[1].mtime.tv_nsec
		     ? "time "
		     : "");
	if (!*what)
		return 0;
	what[strlen(what) - 1] = '\0';
	return 'm';
}

/* The object at a path: its inode, TREE_WHITEOUT, or -ENOENT. */
static int cmd_diff_find(const struct tree *tree, const char *path,
			 uint32_t *inode)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *dir =
	    strndup(path, slash ? (size_t)(slash - path) : 0);
	const char *name = slash ? slash + 1 : path;
	struct tree_entry entry;
	uint32_t parent;
	int rc;

	if (!dir)
		return -ENOMEM;
	rc = tree_find_path(tree, dir, &parent);
	if (rc == 0)
		rc = tree_lookup(tree, parent, name, strlen(name), &entry);
	if (rc == 0)
		*inode = entry.inode;
	return rc;
}

static int cmd_diff_visit(void *ctx, const char *path,
			  const struct tree_entry *entry UNUSED, uint32_t inode)
{
	struct cmd_diff *diff = ctx;
	char what[PACKAGE_DIFF_WHAT_MAX] = "";
	uint32_t other = TREE_WHITEOUT;
	char letter;
	int rc;

	if (!*path)
		return 0;
	rc = cmd_diff_find(diff->trees[!diff->walked], path, &other);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return cmd_diff_add(diff, diff->walked ? 'A' : 'D', path,
				    inode == TREE_WHITEOUT ? "whiteout" : "");
	if (rc < 0 || diff->walked)
		return rc; /* pairs are compared in the first walk */
	if (inode == TREE_WHITEOUT || other == TREE_WHITEOUT)
		return inode == other
			   ? 0
			   : cmd_diff_add(diff, 'M', path, "whiteout");
	letter = cmd_diff_objects(diff, inode, other, what);
	return letter ? cmd_diff_add(diff, letter, path, what) : 0;
}

static int cmd_diff_trees(struct cmd_diff *diff, const char *const *argv)
{
	json_t *package;
	int rc = 0;

	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = cmd_package(diff->cli, argv[i], &package);
		if (rc < 0)
			return rc;
		rc = cmd_package_tree(diff->cli, package, &diff->trees[i]);
		json_decref(package);
	}
	diff->changes = json_array();
	for (; rc == 0 && diff->walked < 2; diff->walked++) {
		rc = tree_walk(diff->trees[diff->walked], cmd_diff_visit, diff);
		if (rc < 0)
			failure_errno(&diff->cli->failure, rc, "%s",
				      argv[diff->walked]);
	}
	return rc;
}

static void cmd_diff_print(struct cmd_diff *diff, const char *const *argv)
{
	const json_t *row;
	json_t *json;
	size_t i;

	if (diff->cli->out.json) {
		json = json_pack("{s:s, s:s, s:s, s:O}", "schema",
				 "package-diff/1", "before", argv[0], "after",
				 argv[1], "changes", diff->changes);
		if (json)
			output_json(json);
		json_decref(json);
		return;
	}
	json_array_foreach(diff->changes, i, row)
	{
		const char *what = cmd_text(row, "what");

		output_line(&diff->cli->out, "%s%s%s%s%s",
			    cmd_text(row, "change"),
			    diff->cli->out.no_header ? "\t" : "  ",
			    cmd_text(row, "path"), *what ? "   " : "", what);
	}
	if (json_array_size(diff->changes) == 0)
		output_verbose(&diff->cli->out, "no difference");
}

int cmd_package_diff(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	CLEANUP(cmd_diff_clear) struct cmd_diff diff = {.cli = cli};

	if (cmd_diff_trees(&diff, argv) < 0)
		return cmd_fail(cli);
	cmd_diff_print(&diff, argv);
	return CONTROL_EXIT_OK;
}
