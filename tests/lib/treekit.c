/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treekit: trees made and looked at.
 */
#include "tests/lib/treekit.h"

#include "depot/shard.h"

struct tree_build_attr treekit_attr(uint32_t mode)
{
	return (struct tree_build_attr){
	    .mode = mode,
	    .uid = 7,
	    .gid = 8,
	    .mtime = {.tv_sec = 1700000000, .tv_nsec = 5},
	};
}

struct digest treekit_digest(uint32_t number)
{
	return digest_of(&number, sizeof(number));
}

void treekit_add(struct tree_build *build, const char *path, uint32_t mode)
{
	struct tree_build_attr attr = treekit_attr(mode);

	attr.rdev_major = 4;
	attr.rdev_minor = 64;
	ASSERT(tree_build_add(build, path, &attr) == 0);
}

void treekit_file(struct tree_build *build, const char *path, uint32_t mode,
		  uint32_t chunks)
{
	struct tree_build_attr attr = treekit_attr(S_IFREG | mode);

	ASSERT(tree_build_file(build, path, &attr) == 0);
	for (uint32_t i = 0; i < chunks; i++) {
		struct digest name = treekit_digest(i);

		ASSERT(tree_build_chunk(build, &name, 1000 + i) == 0);
	}
}

void treekit_symlink(struct tree_build *build, const char *path,
		     const char *target)
{
	struct tree_build_attr attr = treekit_attr(S_IFLNK | 0777);

	ASSERT(tree_build_symlink(build, path, &attr, target) == 0);
}

struct tree_build *treekit_sample(void)
{
	struct tree_build *build = tree_build_new();

	ASSERT(build);
	treekit_file(build, "bin/tool", 04755, 3);
	treekit_file(build, "empty", 0644, 0);
	treekit_file(build, "lib/two", 0644, 2);
	ASSERT(tree_build_link(build, "bin/hard", "lib/two") == 0);
	ASSERT(tree_build_link(build, "lib/hard", "lib/two") == 0);
	treekit_file(build, "sparse", 0600, 1);
	ASSERT(tree_build_hole(build, SHARD_CHUNK_MAX + 10) == 0);
	treekit_symlink(build, "lib/link", "../bin/tool");
	treekit_add(build, "dev/fifo", S_IFIFO | 0600);
	treekit_add(build, "dev/sock", S_IFSOCK | 0600);
	treekit_add(build, "dev/chr", S_IFCHR | 0600);
	treekit_add(build, "dev/blk", S_IFBLK | 0600);
	ASSERT(tree_build_whiteout(build, "lib/gone") == 0);
	ASSERT(tree_build_opaque(build, "lib/new/deep") == 0);
	ASSERT(tree_build_xattr(build, "bin/tool", "user.b", "value", 5) == 0);
	ASSERT(tree_build_xattr(build, "bin/tool", "user.a", NULL, 0) == 0);
	ASSERT(tree_build_xattr(build, "lib", "user.dir", "\0\1", 2) == 0);
	return build;
}

void *treekit_finish(struct tree_build *build, size_t *len)
{
	void *bytes;

	ASSERT(tree_build_finish(build, &bytes, len) == 0);
	tree_build_free(build);
	return bytes;
}

struct tree *treekit_open(struct tree_build *build)
{
	size_t len;
	void *bytes = treekit_finish(build, &len);
	struct tree *tree;

	ASSERT(tree_open_taken(bytes, len, NULL, &tree) == 0);
	return tree;
}

uint32_t treekit_find(const struct tree *tree, const char *path)
{
	uint32_t inode;

	ASSERT(tree_find_path(tree, path, &inode) == 0);
	return inode;
}

struct tree_inode treekit_stat(const struct tree *tree, const char *path)
{
	struct tree_inode inode;

	tree_inode_get(tree, treekit_find(tree, path), &inode);
	return inode;
}

void treekit_flip(uint8_t *bytes, size_t bit)
{
	bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}
