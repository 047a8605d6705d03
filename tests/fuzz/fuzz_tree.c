/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tree: bytes from an upstream as a tree or a tree box.  What is taken
 * must be safe to use in every way that tree.h offers.
 *
 * tests/unit/test_tree*.c include this file for the same purpose.
 */
#include "depot/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Touches every byte, so that a sanitizer sees a bad range. */
static void fuzz_tree_read(const void *p, size_t len)
{
	static volatile uint8_t sink UNUSED;
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		sink ^= bytes[i];
}

static void fuzz_tree_dir(const struct tree *tree, uint32_t dir,
			  const struct tree_inode *inode)
{
	struct tree_entry entry, found;

	for (uint32_t i = 0; i < inode->count; i++) {
		tree_entry_get(tree, dir, i, &entry);
		fuzz_tree_read(entry.name, entry.name_len);
		ASSERT(tree_name_ok(entry.name, entry.name_len));
		ASSERT(entry.inode == TREE_WHITEOUT ||
		       entry.inode < tree_inode_count(tree));
		ASSERT(tree_lookup(tree, dir, entry.name, entry.name_len,
				   &found) == 0);
		ASSERT(found.cookie == entry.cookie &&
		       found.inode == entry.inode);
		/* Nearly the name of an entry. */
		if (tree_lookup(tree, dir, entry.name, entry.name_len - 1u,
				&found) == 0)
			ASSERT(found.name_len == entry.name_len - 1);
	}
}

static void fuzz_tree_file(const struct tree *tree, uint32_t file,
			   const struct tree_inode *inode)
{
	struct tree_chunk chunk, found;
	uint64_t off = 0;

	for (uint32_t i = 0; i < inode->count; i++) {
		tree_chunk_get(tree, file, i, &chunk);
		ASSERT(chunk.off == off && chunk.len > 0);
		off += chunk.len;
		if (chunk.shard != TREE_HOLE)
			fuzz_tree_read(tree_shard_name(tree, chunk.shard),
				       DIGEST_LEN);
		ASSERT(tree_chunk_find(tree, file, chunk.off, &found) == i);
		ASSERT(tree_chunk_find(tree, file, off - 1, &found) == i);
	}
	ASSERT(off == inode->size);
}

static void fuzz_tree_inode(const struct tree *tree, uint32_t i)
{
	struct tree_inode inode;
	struct tree_xattr xattr;
	uint32_t pos = 0;
	size_t len;

	tree_inode_get(tree, i, &inode);
	if (S_ISDIR(inode.mode)) {
		fuzz_tree_dir(tree, i, &inode);
	} else if (S_ISREG(inode.mode)) {
		fuzz_tree_file(tree, i, &inode);
	} else if (S_ISLNK(inode.mode)) {
		const char *target = tree_symlink(tree, i, &len);

		fuzz_tree_read(target, len);
	}
	while (tree_xattr_next(tree, i, &pos, &xattr)) {
		fuzz_tree_read(xattr.name, xattr.name_len);
		fuzz_tree_read(xattr.value, xattr.value_len);
	}
}

struct fuzz_tree_walk {
	const struct tree *tree; /* borrows */
	uint32_t count;
};

static int fuzz_tree_visit(void *ctx, const char *path,
			   const struct tree_entry *entry, uint32_t inode)
{
	struct fuzz_tree_walk *walk = ctx;
	uint32_t found;
	int rc = tree_find_path(walk->tree, path, &found);

	ASSERT(entry->inode == inode);
	if (inode == TREE_WHITEOUT)
		ASSERT(rc == -ENOENT);
	else
		ASSERT(rc == 0 && found == inode);
	walk->count++;
	return 0;
}

static void fuzz_tree_use(const struct tree *tree)
{
	struct fuzz_tree_walk walk = {.tree = tree};

	for (uint32_t i = 0; i < tree_inode_count(tree); i++)
		fuzz_tree_inode(tree, i);
	ASSERT(tree_walk(tree, fuzz_tree_visit, &walk) == 0);
	ASSERT(walk.count == tree_entry_count(tree) + 1);
	ASSERT(tree_check_ids(tree) <= 0);
	(void)tree_salt(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tree *tree;
	int rc;

	if (len >= sizeof(struct format_tree_box_header) &&
	    memcmp(data, FORMAT_TREE_BOX_MAGIC, 8) == 0)
		rc = tree_box_open(data, len, NULL, &tree);
	else
		rc = tree_open_memory(data, len, NULL, &tree);
	if (rc < 0) {
		ASSERT(rc == -EBADMSG || rc == -EPROTONOSUPPORT);
		return 0;
	}
	fuzz_tree_use(tree);
	tree_put(tree);
	return 0;
}
