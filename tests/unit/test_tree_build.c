/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tree_build: the same content gives the same tree, however it comes.
 *
 * Includes the modules it tests, so that it can fail each of their allocations
 * and reach their limits.
 */
#include "depot/base.h"

#include <stdio.h>

#include "depot/digest.h"
#include "depot/shard.h"
#include "tests/lib/check.h"

/* Before the modules: what they allocate may fail. */
#include "tests/lib/failalloc.h"

#include "depot/tree_build.c"
#include "depot/tree_content.c"
#include "depot/tree_image.c"
#include "depot/tree_write.c"
#undef malloc
#undef calloc
#undef realloc

struct test_bytes {
	void *at; /* owns */
	size_t len;
};

static void test_bytes_cleanup(struct test_bytes *bytes)
{
	free(bytes->at);
}

static struct tree_build_attr test_attr(uint32_t mode)
{
	return (struct tree_build_attr){.mode = mode, .uid = 1, .gid = 2};
}

static struct tree_build *test_new(void)
{
	struct tree_build *build = tree_build_new();

	ASSERT(build);
	return build;
}

static int test_dir(struct tree_build *build, const char *path)
{
	struct tree_build_attr attr = test_attr(S_IFDIR | 0700);

	return tree_build_add(build, path, &attr);
}

static int test_file(struct tree_build *build, const char *path,
		     uint32_t content)
{
	struct tree_build_attr attr = test_attr(S_IFREG | 0644);
	struct digest name = digest_of(&content, sizeof(content));
	int rc = tree_build_file(build, path, &attr);

	/* Of 1 to 3 chunks, the second shared with others. */
	for (uint32_t i = 0; rc == 0 && i <= content % 3; i++) {
		rc = tree_build_chunk(build, &name, 100 + content % 50);
		name = digest_of(&i, sizeof(i));
	}
	return rc;
}

static int test_symlink(struct tree_build *build, const char *path)
{
	struct tree_build_attr attr = test_attr(S_IFLNK | 0777);

	return tree_build_symlink(build, path, &attr, "target");
}

static struct test_bytes test_finish(struct tree_build *build)
{
	struct test_bytes bytes;

	ASSERT(tree_build_finish(build, &bytes.at, &bytes.len) == 0);
	return bytes;
}

/* takes build; what is written is also opened, and must be sound */
static struct tree *test_open(struct tree_build *build)
{
	struct test_bytes bytes = test_finish(build);
	struct tree *tree;

	ASSERT(tree_open_taken(bytes.at, bytes.len, NULL, &tree) == 0);
	ASSERT(tree_check_ids(tree) == 0);
	tree_build_free(build);
	return tree;
}

/* takes both */
static bool test_same(struct tree_build *a, struct tree_build *b)
{
	struct tree *x = test_open(a), *y = test_open(b);
	bool same = digest_equal(tree_digest(x), tree_digest(y));

	tree_put(x);
	tree_put(y);
	return same;
}

static struct tree_inode test_stat(const struct tree *tree, const char *path)
{
	struct tree_inode inode;
	uint32_t number;

	ASSERT(tree_find_path(tree, path, &number) == 0);
	tree_inode_get(tree, number, &inode);
	return inode;
}

static void test_build_empty(void)
{
	struct tree *tree = test_open(test_new());
	struct tree_inode root = test_stat(tree, "");

	CU_ASSERT_EQUAL(tree_inode_count(tree), 1);
	CU_ASSERT_EQUAL(tree_entry_count(tree), 0);
	CU_ASSERT_EQUAL(tree_shard_count(tree), 0);
	CU_ASSERT_EQUAL(root.mode, S_IFDIR | 0755);
	CU_ASSERT_EQUAL(root.nlink, 2);
	CU_ASSERT_TRUE(root.uid == 0 && root.gid == 0);
	CU_ASSERT_TRUE(root.mtime.tv_sec == 0 && root.mtime.tv_nsec == 0);
	tree_put(tree);
}

enum { TEST_OBJECTS = 3000, TEST_KINDS = 8 };

static void test_object(struct tree_build *build, uint32_t i)
{
	uint32_t a = i % 13, b = i % 7;
	struct tree_build_attr attr = test_attr(S_IFIFO | 0600);
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "d%u/e%u/n%u", a, b, i);
	switch (i % TEST_KINDS) {
	case 0:
		rc = test_dir(build, path);
		break;
	case 1:
		rc = test_symlink(build, path);
		break;
	case 2:
		rc = tree_build_whiteout(build, path);
		break;
	case 3:
		rc = tree_build_add(build, path, &attr);
		break;
	case 4:
		rc = tree_build_opaque(build, path);
		break;
	default:
		rc = test_file(build, path, i / 2);
	}
	if (rc == 0 && i % TEST_KINDS == 5)
		rc = tree_build_xattr(build, path, "user.a", path, 6);
	if (rc == 0 && i % TEST_KINDS == 5)
		rc = tree_build_xattr(build, path, "user.b", path, 3);
	ASSERT(rc == 0);
}

/* A second name for each fifth-of-kind object, some in front of the first. */
static void test_object_link(struct tree_build *build, uint32_t i)
{
	char path[64], other[64];

	if (i % TEST_KINDS != 6)
		return;
	snprintf(path, sizeof(path), "d%u/e%u/n%u", i % 13, i % 7, i);
	snprintf(other, sizeof(other), "d%u/link%u", i % 11, i);
	ASSERT(tree_build_link(build, other, path) == 0);
}

static struct tree_build *test_shuffled(uint64_t seed)
{
	struct tree_build *build = test_new();
	uint32_t order[TEST_OBJECTS], random[TEST_OBJECTS];

	check_fill(random, sizeof(random), seed);
	for (uint32_t i = 0; i < TEST_OBJECTS; i++)
		order[i] = i;
	for (uint32_t i = TEST_OBJECTS - 1; seed && i > 0; i--) {
		uint32_t j = random[i] % (i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	for (uint32_t i = 0; i < TEST_OBJECTS; i++)
		test_object(build, order[i]);
	for (uint32_t i = 0; i < TEST_OBJECTS; i++)
		test_object_link(build, order[TEST_OBJECTS - 1 - i]);
	return build;
}

static void test_build_any_order(void)
{
	CU_ASSERT_TRUE(test_same(test_shuffled(0), test_shuffled(1)));
	CU_ASSERT_TRUE(test_same(test_shuffled(2), test_shuffled(3)));
	CU_ASSERT_TRUE(test_same(test_shuffled(0), test_shuffled(3)));
}

struct test_numbers {
	const struct tree *tree; /* borrows */
	uint32_t inodes, shards, bad;
};

static int test_numbers_visit(void *ctx, const char *path,
			      const struct tree_entry *entry, uint32_t number)
{
	struct test_numbers *numbers = ctx;
	struct tree_chunk chunk;
	struct tree_inode inode;

	(void)path;
	(void)entry;
	/* At its first name an inode's number is the next. */
	if (number == TREE_WHITEOUT || number < numbers->inodes)
		return 0;
	numbers->bad += number != numbers->inodes++;
	tree_inode_get(numbers->tree, number, &inode);
	for (uint32_t i = 0; S_ISREG(inode.mode) && i < inode.count; i++) {
		tree_chunk_get(numbers->tree, number, i, &chunk);
		if (chunk.shard >= numbers->shards)
			numbers->bad += chunk.shard != numbers->shards++;
	}
	return 0;
}

static void test_build_numbers(void)
{
	struct tree *tree = test_open(test_shuffled(4));
	struct test_numbers numbers = {.tree = tree};

	CU_ASSERT_EQUAL(tree_walk(tree, test_numbers_visit, &numbers), 0);
	CU_ASSERT_EQUAL(numbers.bad, 0);
	CU_ASSERT_EQUAL(numbers.inodes, tree_inode_count(tree));
	CU_ASSERT_EQUAL(numbers.shards, tree_shard_count(tree));
	CU_ASSERT_TRUE(numbers.shards > 100);
	tree_put(tree);
}

/* `count` times `component`, with slashes between; owned by the caller. */
static char *test_repeat(const char *component, uint32_t count)
{
	size_t len = strlen(component) + 1;
	char *path = malloc(count * len + 1);

	ASSERT(path);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(path + i * len, component, len - 1);
		path[(i + 1) * len - 1] = '/';
	}
	path[count * len - 1] = '\0';
	return path;
}

static void test_build_bad_paths(void)
{
	static const char *const paths[] = {
	    "..",        "../a",           "a/..",    "a/../b",  "/..",
	    "./..",      "a/./b",          "./.",     "././a",   "/./a",
	    "a/.",       "a//b",           "//",      "//a",     "a//",
	    ".//a",      "a/b//",          "...//..", "a/../..", "./../a",
	    "a/b/../c/", "/../etc/passwd",
	};
	struct tree_build *build = test_new();
	char name[257];
	char *deep = test_repeat("d", TREE_DEPTH_MAX + 1);

	ASSERT(test_file(build, "there", 1) == 0);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		CU_ASSERT_EQUAL(test_dir(build, paths[i]), -EINVAL);
		CU_ASSERT_EQUAL(test_file(build, paths[i], 1), -EINVAL);
		CU_ASSERT_EQUAL(test_symlink(build, paths[i]), -EINVAL);
		CU_ASSERT_EQUAL(tree_build_whiteout(build, paths[i]), -EINVAL);
		CU_ASSERT_EQUAL(tree_build_opaque(build, paths[i]), -EINVAL);
		CU_ASSERT_EQUAL(tree_build_link(build, paths[i], "there"),
				-EINVAL);
		CU_ASSERT_EQUAL(tree_build_link(build, "a", paths[i]), -EINVAL);
		CU_ASSERT_EQUAL(
		    tree_build_xattr(build, paths[i], "user.a", "", 0),
		    -EINVAL);
	}
	memset(name, 'n', 256);
	name[256] = '\0';
	CU_ASSERT_EQUAL(test_dir(build, name), -EINVAL);
	CU_ASSERT_EQUAL(test_dir(build, deep), -EINVAL);
	CU_ASSERT_EQUAL(build->node_count, 1);
	CU_ASSERT_EQUAL(test_dir(build, name + 1), 0);
	CU_ASSERT_EQUAL(test_dir(build, deep + 2), 0);
	CU_ASSERT_EQUAL(build->node_count, 2 + TREE_DEPTH_MAX);
	free(deep);
	tree_put(test_open(build));
}

static void test_build_spellings(void)
{
	static const char *const paths[] = {"a/b",  "./a/b",  "/a/b",
					    "a/b/", "./a/b/", "/a/b/"};
	static const char *const roots[] = {"", ".", "/", "./"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct tree_build *a = test_new(), *b = test_new();

		ASSERT(test_file(a, paths[i], 1) == 0);
		ASSERT(test_file(b, "a/b", 1) == 0);
		CU_ASSERT_TRUE(test_same(a, b));
	}
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		struct tree_build *build = test_new();
		struct tree *tree;

		CU_ASSERT_EQUAL(test_dir(build, roots[i]), 0);
		CU_ASSERT_EQUAL(test_file(build, roots[i], 1), -EEXIST);
		CU_ASSERT_EQUAL(tree_build_whiteout(build, roots[i]), -EEXIST);
		CU_ASSERT_EQUAL(tree_build_opaque(build, roots[i]), 0);
		tree = test_open(build);
		CU_ASSERT_EQUAL(test_stat(tree, "").mode, S_IFDIR | 0700);
		CU_ASSERT_TRUE(test_stat(tree, "").opaque);
		tree_put(tree);
	}
}

static void test_build_type_conflicts(void)
{
	struct tree_build *build = test_new(), *same = test_new();

	ASSERT(test_file(build, "f", 1) == 0 && test_file(same, "f", 1) == 0);
	ASSERT(test_dir(build, "d") == 0 && test_dir(same, "d") == 0);
	ASSERT(tree_build_whiteout(build, "w") == 0);
	ASSERT(tree_build_whiteout(same, "w") == 0);

	CU_ASSERT_EQUAL(test_dir(build, "f"), -EEXIST);
	CU_ASSERT_EQUAL(test_dir(build, "w"), -EEXIST);
	CU_ASSERT_EQUAL(test_file(build, "d", 1), -EEXIST);
	CU_ASSERT_EQUAL(test_symlink(build, "d"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_whiteout(build, "d"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_opaque(build, "f"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_opaque(build, "w"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_link(build, "d", "f"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_link(build, "x", "d"), -EPERM);
	CU_ASSERT_EQUAL(tree_build_link(build, "x", "w"), -ENOENT);
	CU_ASSERT_EQUAL(tree_build_link(build, "x", "none"), -ENOENT);
	CU_ASSERT_EQUAL(test_file(build, "f/x", 1), -EEXIST);
	CU_ASSERT_EQUAL(test_dir(build, "f/x/y"), -EEXIST);
	CU_ASSERT_EQUAL(test_dir(build, "w/x"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_opaque(build, "f/x"), -EEXIST);
	CU_ASSERT_EQUAL(tree_build_xattr(build, "w", "a", "", 0), -ENOENT);
	CU_ASSERT_EQUAL(tree_build_xattr(build, "none", "a", "", 0), -ENOENT);
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f/x", "a", "", 0), -ENOENT);
	/* None of which left a trace. */
	CU_ASSERT_TRUE(test_same(build, same));
}

static void test_build_replace(void)
{
	struct tree_build *build = test_new(), *same = test_new();

	ASSERT(test_file(build, "a", 2) == 0);
	ASSERT(tree_build_xattr(build, "a", "user.x", "1", 1) == 0);
	ASSERT(test_file(build, "b", 5) == 0);
	ASSERT(tree_build_link(build, "c", "b") == 0);
	ASSERT(test_symlink(build, "s") == 0);
	ASSERT(tree_build_whiteout(build, "w") == 0);
	CU_ASSERT_EQUAL(build->piece_count, 6);

	ASSERT(test_file(build, "a", 3) == 0);
	ASSERT(tree_build_whiteout(build, "b") == 0);
	ASSERT(test_file(build, "s", 4) == 0);
	ASSERT(test_symlink(build, "w") == 0);
	CU_ASSERT_EQUAL(build->piece_count, 6);

	ASSERT(test_symlink(same, "w") == 0 && test_file(same, "s", 4) == 0);
	ASSERT(test_file(same, "c", 5) == 0);
	ASSERT(tree_build_whiteout(same, "b") == 0);
	ASSERT(test_file(same, "a", 3) == 0);
	CU_ASSERT_TRUE(test_same(build, same));
}

/* Given again, a directory takes the new attributes and keeps the rest. */
static void test_build_replace_dir(void)
{
	struct tree_build *build = test_new();
	struct tree_inode inode;
	struct tree_xattr xattr;
	struct tree *tree;
	uint32_t pos = 0, number;

	ASSERT(test_file(build, "d/f", 1) == 0);
	ASSERT(tree_build_opaque(build, "d") == 0);
	ASSERT(tree_build_xattr(build, "d", "user.x", "1", 1) == 0);
	ASSERT(test_dir(build, "d") == 0);
	tree = test_open(build);
	inode = test_stat(tree, "d");
	CU_ASSERT_EQUAL(inode.mode, S_IFDIR | 0700);
	CU_ASSERT_TRUE(inode.opaque && inode.count == 1 && inode.uid == 1);
	ASSERT(tree_find_path(tree, "d", &number) == 0);
	CU_ASSERT_TRUE(tree_xattr_next(tree, number, &pos, &xattr));
	CU_ASSERT_EQUAL(test_stat(tree, "d/f").size, 202);
	tree_put(tree);
}

static void test_build_implied(void)
{
	struct tree_build *build = test_new();
	struct tree_inode inode;
	struct tree *tree;

	ASSERT(test_file(build, "a/b/c", 1) == 0);
	tree = test_open(build);
	inode = test_stat(tree, "a/b");
	CU_ASSERT_EQUAL(inode.mode, S_IFDIR | 0755);
	CU_ASSERT_TRUE(inode.uid == 0 && inode.gid == 0);
	CU_ASSERT_TRUE(inode.mtime.tv_sec == 0 && inode.mtime.tv_nsec == 0);
	CU_ASSERT_EQUAL(inode.nlink, 2);
	CU_ASSERT_EQUAL(test_stat(tree, "a").nlink, 3);
	tree_put(tree);
}

/* Three names of one file, the one with number `first` given first. */
static struct tree_build *test_three_names(int first)
{
	static const char *const names[] = {"m/x", "a", "z/z"};
	struct tree_build *build = test_new();

	ASSERT(test_file(build, names[first], 5) == 0);
	for (int i = 1; i < 3; i++)
		ASSERT(tree_build_link(build, names[(first + i) % 3],
				       names[first]) == 0);
	/* What is so already. */
	ASSERT(tree_build_link(build, "a", "a") == 0);
	ASSERT(tree_build_link(build, "a", "m/x") == 0);
	return build;
}

/* Which of its names came first is not told by the tree. */
static void test_build_links(void)
{
	struct tree *tree = test_open(test_three_names(0));

	CU_ASSERT_EQUAL(test_stat(tree, "z/z").nlink, 3);
	CU_ASSERT_EQUAL(tree_inode_count(tree), 4);
	tree_put(tree);
	CU_ASSERT_TRUE(test_same(test_three_names(0), test_three_names(1)));
	CU_ASSERT_TRUE(test_same(test_three_names(0), test_three_names(2)));
}

static void test_build_holes(void)
{
	struct tree_build_attr attr = test_attr(S_IFREG | 0644);
	struct tree_build *once = test_new(), *often = test_new();
	struct digest name = digest_of("x", 1);
	struct tree *tree;

	ASSERT(tree_build_file(once, "f", &attr) == 0);
	ASSERT(tree_build_file(often, "f", &attr) == 0);
	ASSERT(tree_build_hole(once, 3 * SHARD_CHUNK_MAX + 5) == 0);
	for (int i = 0; i < 3; i++)
		ASSERT(tree_build_hole(often, SHARD_CHUNK_MAX + 1) == 0);
	ASSERT(tree_build_hole(often, 2) == 0);
	ASSERT(tree_build_chunk(once, &name, 9) == 0);
	ASSERT(tree_build_chunk(often, &name, 9) == 0);
	ASSERT(tree_build_hole(once, 7) == 0 && tree_build_hole(often, 7) == 0);
	CU_ASSERT_EQUAL(once->piece_count, 6);
	CU_ASSERT_EQUAL(often->piece_count, 6);
	CU_ASSERT_TRUE(test_same(once, often));

	once = test_new();
	ASSERT(tree_build_file(once, "f", &attr) == 0);
	ASSERT(tree_build_hole(once, UINT32_MAX) == 0);
	tree = test_open(once);
	CU_ASSERT_EQUAL(test_stat(tree, "f").size, UINT32_MAX);
	CU_ASSERT_EQUAL(test_stat(tree, "f").count, 1 << 15);
	tree_put(tree);
}

static void test_build_chunk_errors(void)
{
	struct tree_build_attr attr = test_attr(S_IFREG | 0644);
	struct tree_build *build = test_new();
	struct digest name = digest_of("x", 1);

	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 1), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_hole(build, 1), -EINVAL);
	ASSERT(tree_build_file(build, "f", &attr) == 0);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 0), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, SHARD_CHUNK_MAX + 1),
			-EINVAL);
	CU_ASSERT_EQUAL(tree_build_hole(build, 0), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, SHARD_CHUNK_MAX), 0);

	build->file->size = TREE_CONTENT_SIZE_MAX - 10;
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 11), -EFBIG);
	CU_ASSERT_EQUAL(tree_build_hole(build, 11), -EFBIG);
	build->file->size = SHARD_CHUNK_MAX;
	build->piece_count = TREE_CONTENT_PIECES_MAX - 1;
	CU_ASSERT_EQUAL(tree_build_hole(build, SHARD_CHUNK_MAX + 1), -EFBIG);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 1), 0);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 1), -EFBIG);
	build->piece_count = 2;

	/* Any other object ends the file; attributes do not. */
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f", "user.a", "", 0), 0);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 1), 0);
	ASSERT(test_dir(build, "d") == 0);
	CU_ASSERT_EQUAL(tree_build_chunk(build, &name, 1), -EINVAL);
	tree_put(test_open(build));
}

static void test_build_bad_attrs(void)
{
	static const uint32_t bad_add[] = {0, S_IFREG | 0644, S_IFLNK | 0777,
					   0130644, S_IFDIR | 0200755};
	struct tree_build *build = test_new();
	struct tree_build_attr attr;

	for (size_t i = 0; i < ARRAY_LEN(bad_add); i++) {
		attr = test_attr(bad_add[i]);
		CU_ASSERT_EQUAL(tree_build_add(build, "x", &attr), -EINVAL);
	}
	attr = test_attr(S_IFDIR | 0755);
	CU_ASSERT_EQUAL(tree_build_file(build, "x", &attr), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_symlink(build, "x", &attr, "y"), -EINVAL);
	attr.mtime.tv_nsec = 1000000000;
	CU_ASSERT_EQUAL(tree_build_add(build, "x", &attr), -EINVAL);
	attr.mtime.tv_nsec = -1;
	CU_ASSERT_EQUAL(tree_build_add(build, "x", &attr), -EINVAL);
	attr.mode = S_IFREG | 0644;
	CU_ASSERT_EQUAL(tree_build_file(build, "x", &attr), -EINVAL);
	CU_ASSERT_EQUAL(build->node_count, 0);
	tree_build_free(build);
}

static void test_build_targets(void)
{
	struct tree_build_attr attr = test_attr(S_IFLNK | 0777);
	struct tree_build *build = test_new();
	char target[TREE_SYMLINK_MAX + 2];
	struct tree *tree;

	memset(target, '/', sizeof(target));
	target[TREE_SYMLINK_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(tree_build_symlink(build, "l", &attr, ""), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_symlink(build, "l", &attr, target), -EINVAL);
	target[TREE_SYMLINK_MAX] = '\0';
	CU_ASSERT_EQUAL(tree_build_symlink(build, "l", &attr, target), 0);
	tree = test_open(build);
	CU_ASSERT_EQUAL(test_stat(tree, "l").size, TREE_SYMLINK_MAX);
	tree_put(tree);
}

static void test_build_xattrs(void)
{
	struct tree_build *build = test_new(), *same = test_new();
	static uint8_t value[TREE_XATTR_VALUE_MAX + 1];
	char name[TREE_XATTR_NAME_MAX + 2];

	ASSERT(test_file(build, "f", 1) == 0 && test_file(same, "f", 1) == 0);
	memset(name, 'n', sizeof(name));
	name[TREE_XATTR_NAME_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f", "", "", 0), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f", name, "", 0), -EINVAL);
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f", "x", value, sizeof(value)),
			-EINVAL);
	name[TREE_XATTR_NAME_MAX] = '\0';
	CU_ASSERT_EQUAL(
	    tree_build_xattr(build, "f", name, value, TREE_XATTR_VALUE_MAX), 0);
	CU_ASSERT_EQUAL(
	    tree_build_xattr(same, "f", name, value, TREE_XATTR_VALUE_MAX), 0);
	for (int i = 1; i < TREE_XATTR_MAX; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		ASSERT(tree_build_xattr(build, "f", name, &i, sizeof(i)) == 0);
	}
	CU_ASSERT_EQUAL(tree_build_xattr(build, "f", "user.0", "", 0), -E2BIG);
	for (int i = TREE_XATTR_MAX - 1; i > 0; i--) {
		snprintf(name, sizeof(name), "user.%d", i);
		ASSERT(tree_build_xattr(same, "f", name, "old", 3) == 0);
		ASSERT(tree_build_xattr(same, "f", name, &i, sizeof(i)) == 0);
	}
	CU_ASSERT_TRUE(test_same(build, same));
}

static struct tree_build *test_names(uint32_t count)
{
	struct tree_build *build = test_new();
	char path[32];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "name%u", i);
		ASSERT(test_file(build, path, i) == 0);
	}
	return build;
}

/* How many names a directory can hold with `bits` of hash. */
static uint32_t test_chain(unsigned int bits)
{
	struct tree_build *build;
	struct test_bytes bytes;
	struct tree_entry entry;
	struct tree *tree;
	uint32_t count = 1;

	name_cookie_cut_for_tests(bits);
	for (;; count++) {
		int rc;

		build = test_names(count);
		rc = tree_build_finish(build, &bytes.at, &bytes.len);
		tree_build_free(build);
		if (rc < 0) {
			CU_ASSERT_EQUAL(rc, -EMLINK);
			break;
		}
		rc = tree_open_taken(bytes.at, bytes.len, NULL, &tree);
		CU_ASSERT_EQUAL_FATAL(rc, 0);
		for (uint32_t i = 0; i < 2 * count; i++) {
			char name[32];
			int len = snprintf(name, sizeof(name), "name%u", i);

			rc = tree_lookup(tree, TREE_ROOT, name, (size_t)len,
					 &entry);
			CU_ASSERT_EQUAL(rc, i < count ? 0 : -ENOENT);
		}
		tree_put(tree);
	}
	name_cookie_cut_for_tests(63);
	return count - 1;
}

static void test_build_chains(void)
{
	uint32_t most;

	/* With two values all names are in one chain. */
	most = test_chain(1);
	CU_ASSERT_TRUE(most >= NAME_CHAIN_MAX && most <= NAME_CHAIN_MAX + 1);
	most = test_chain(6);
	CU_ASSERT_TRUE(most > NAME_CHAIN_MAX && most < 2 * NAME_CHAIN_MAX);
}

/* In a chain, names with the same hash are in byte order. */
static void test_build_chain_order(void)
{
	struct tree *tree;
	struct tree_entry entry, last = {.cookie = 0};
	struct tree_inode root;
	uint32_t bad = 0;

	name_cookie_cut_for_tests(2);
	tree = test_open(test_names(40));
	root = test_stat(tree, "");
	for (uint32_t i = 0; i < root.count; i++) {
		uint64_t home, last_home;

		tree_entry_get(tree, TREE_ROOT, i, &entry);
		home = name_cookie(entry.name, entry.name_len);
		last_home = i ? name_cookie(last.name, last.name_len) : 0;
		bad += i > 0 && entry.cookie != last.cookie + 1;
		bad += home < last_home;
		bad += home == last_home &&
		       tree_name_compare(entry.name, entry.name_len, last.name,
					 last.name_len) < 0;
		last = entry;
	}
	CU_ASSERT_EQUAL(bad, 0);
	tree_put(tree);
	name_cookie_cut_for_tests(63);
}

static void test_build_place_wraps(void)
{
	const uint64_t top = TREE_COOKIE_TOP;
	struct tree_write_row rows[6] = {
	    {.key = 3},       {.key = 4},   {.key = 100},
	    {.key = top - 1}, {.key = top}, {.key = top},
	};
	struct tree_write_row many[NAME_CHAIN_MAX + 1];
	size_t wrapped;

	CU_ASSERT_EQUAL(tree_write_place(rows, 6, &wrapped), 0);
	CU_ASSERT_EQUAL(wrapped, 1);
	CU_ASSERT_EQUAL(rows[5].key, 3);
	CU_ASSERT_EQUAL(rows[0].key, 4);
	CU_ASSERT_EQUAL(rows[1].key, 5);
	CU_ASSERT_EQUAL(rows[2].key, 100);
	CU_ASSERT_EQUAL(rows[4].key, top);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i].key = top - 1;
	CU_ASSERT_EQUAL(tree_write_place(many, NAME_CHAIN_MAX, &wrapped), 0);
	CU_ASSERT_EQUAL(wrapped, NAME_CHAIN_MAX - 2);
	CU_ASSERT_EQUAL(many[NAME_CHAIN_MAX - 1].key, NAME_CHAIN_MAX);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i].key = top - 1;
	CU_ASSERT_EQUAL(tree_write_place(many, NAME_CHAIN_MAX + 1, &wrapped),
			-EMLINK);
}

static void test_build_again(void)
{
	struct tree_build *build = test_new(), *same = test_new();
	struct test_bytes bytes;

	ASSERT(test_file(build, "m", 1) == 0);
	ASSERT(tree_build_link(build, "x/m", "m") == 0);
	bytes = test_finish(build);
	free(bytes.at);
	ASSERT(test_file(build, "a/b", 2) == 0);
	ASSERT(tree_build_link(build, "a/a", "m") == 0);
	bytes = test_finish(build);
	free(bytes.at);

	ASSERT(test_file(same, "a/a", 1) == 0);
	ASSERT(tree_build_link(same, "m", "a/a") == 0);
	ASSERT(tree_build_link(same, "x/m", "a/a") == 0);
	ASSERT(test_file(same, "a/b", 2) == 0);
	CU_ASSERT_TRUE(test_same(build, same));
}

static void test_build_private(void)
{
	struct tree_build *plain = test_new(), *salted = test_new();
	uint8_t salt[TREE_SALT_LEN];
	struct tree *tree;

	check_fill(salt, sizeof(salt), 1);
	tree_build_private(salted, salt);
	tree = test_open(salted);
	CU_ASSERT_EQUAL(memcmp(tree_salt(tree), salt, sizeof(salt)), 0);
	tree_put(tree);
	tree = test_open(plain);
	CU_ASSERT_PTR_NULL(tree_salt(tree));
	tree_put(tree);
}

static void test_build_too_large(void)
{
	struct tree_build *build = test_new();
	struct test_bytes bytes;
	size_t count;

	ASSERT(test_file(build, "f", 1) == 0);
	count = build->piece_count;
	build->piece_count = TREE_CONTENT_PIECES_MAX;
	CU_ASSERT_EQUAL(tree_build_finish(build, &bytes.at, &bytes.len),
			-EFBIG);
	build->piece_count = count;
	tree_put(test_open(build));
}

enum { TEST_STEPS = 320 };

/* One of a series of calls; the series needs every kind of allocation. */
static int test_step(struct tree_build *build, uint32_t step)
{
	struct digest name = digest_of(&step, sizeof(step));
	char path[32];

	if (step == 0)
		return test_dir(build, "d/e");
	if (step == 1)
		return test_symlink(build, "l/l");
	if (step == 2)
		return tree_build_whiteout(build, "w/w");
	if (step == 3)
		return tree_build_opaque(build, "o/o");
	if (step == 4)
		return tree_build_link(build, "h/h", "l/l");
	if (step == 5)
		return tree_build_xattr(build, "l/l", "user.a", "a", 1);
	if (step == 6) {
		struct tree_build_attr attr = test_attr(S_IFREG | 0644);

		return tree_build_file(build, "f/f", &attr);
	}
	if (step == 7)
		return tree_build_hole(build, 3 * SHARD_CHUNK_MAX);
	/* Till the table of shards has grown; then that of names. */
	if (step < 300)
		return tree_build_chunk(build, &name, 1);
	snprintf(path, sizeof(path), "many/%u", step);
	return test_dir(build, path);
}

/* Every call with its n-th allocation failed: -ENOMEM, then it works. */
static int test_step_failing(struct tree_build *build, uint32_t step)
{
	unsigned int bad = 0;
	int rc = -ENOMEM;

	for (unsigned int n = 1; rc == -ENOMEM; n++) {
		test_alloc_count = 0;
		test_fail_at = n;
		rc = test_step(build, step);
		test_fail_at = 0;
		bad += rc != 0 && rc != -ENOMEM;
		/* Done without reaching the n-th. */
		bad += rc == 0 && test_alloc_count >= n;
	}
	return (int)bad;
}

static void test_build_no_memory(void)
{
	CLEANUP(test_bytes_cleanup) struct test_bytes want = {.len = 0};
	CLEANUP(test_bytes_cleanup) struct test_bytes got = {.len = 0};
	struct tree_build *build = NULL, *same = test_new();
	unsigned int n, refused = 0;
	int bad = 0, rc = -ENOMEM;

	for (uint32_t step = 0; step < TEST_STEPS; step++)
		ASSERT(test_step(same, step) == 0);
	want = test_finish(same);
	for (n = 1; !build; n++) {
		test_alloc_count = 0;
		test_fail_at = n;
		build = tree_build_new();
	}
	CU_ASSERT_TRUE(n > 4);
	test_fail_at = 0;
	build->bucket_count = 1; /* to see it grow */
	for (uint32_t step = 0; step < TEST_STEPS; step++)
		bad += test_step_failing(build, step);
	CU_ASSERT_EQUAL(bad, 0);
	for (n = 1; rc == -ENOMEM; n++, refused++) {
		test_alloc_count = 0;
		test_fail_at = n;
		rc = tree_build_finish(build, &got.at, &got.len);
	}
	test_fail_at = 0;
	CU_ASSERT_TRUE(rc == 0 && refused > 4);
	CU_ASSERT_TRUE(want.len == got.len &&
		       memcmp(want.at, got.at, want.len) == 0);
	tree_build_free(build);
	tree_build_free(same);
}

/* Far from quadratic: a wide directory, a deep one, and both again. */
static void test_build_many(void)
{
	enum { COUNT = 50000 };
	struct tree_build *build = test_new();
	uint64_t start = check_now_ns();
	struct tree *tree;
	char path[64];

	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "wide/%u", i * 7919 % COUNT);
		ASSERT(test_file(build, path, i) == 0);
	}
	tree = test_open(build);
	CU_ASSERT_EQUAL(test_stat(tree, "wide").count, COUNT);
	CU_ASSERT_TRUE(check_now_ns() - start < 10000000000ull);
	tree_put(tree);
	tree_build_free(NULL);
}

static const struct check_test tests[] = {
    {"empty", test_build_empty},
    {"any order", test_build_any_order},
    {"numbers", test_build_numbers},
    {"bad paths", test_build_bad_paths},
    {"spellings", test_build_spellings},
    {"type conflicts", test_build_type_conflicts},
    {"replace", test_build_replace},
    {"replace a directory", test_build_replace_dir},
    {"implied", test_build_implied},
    {"links", test_build_links},
    {"holes", test_build_holes},
    {"chunk errors", test_build_chunk_errors},
    {"bad attributes", test_build_bad_attrs},
    {"targets", test_build_targets},
    {"xattrs", test_build_xattrs},
    {"chains", test_build_chains},
    {"order in a chain", test_build_chain_order},
    {"place wraps", test_build_place_wraps},
    {"write again", test_build_again},
    {"private", test_build_private},
    {"too large", test_build_too_large},
    {"no memory", test_build_no_memory},
    {"many", test_build_many},
};

int main(void)
{
	return check_main("test_tree_build", tests, ARRAY_LEN(tests));
}
