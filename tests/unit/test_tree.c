/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tree: trees are read as they were made.  What is no tree: test_tree_bad.
 */
#include "depot/tree.h"

#include <fcntl.h>
#include <stdio.h>

#include "depot/io.h"
#include "depot/shard.h"
#include "depot/tree_image.h"
#include "tests/fuzz/fuzz_tree.c"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"
#include "tests/lib/treekit.h"

static void test_tree_read_back(void)
{
	struct tree *tree = treekit_open(treekit_sample());
	struct tree_inode in = treekit_stat(tree, "bin/tool");
	uint32_t root_entries = 5;
	const char *target;
	size_t len;

	CU_ASSERT_EQUAL(tree_inode_count(tree), 15);
	CU_ASSERT_EQUAL(tree_entry_count(tree), 17);
	CU_ASSERT_EQUAL(tree_shard_count(tree), 3);
	CU_ASSERT_EQUAL(tree_content_len(tree),
			3003 + 2001 + 1000 + SHARD_CHUNK_MAX + 10);
	CU_ASSERT_EQUAL(in.mode, S_IFREG | 04755);
	CU_ASSERT_EQUAL(in.size, 3003);
	CU_ASSERT_EQUAL(in.uid, 7);
	CU_ASSERT_EQUAL(in.gid, 8);
	CU_ASSERT_EQUAL(in.nlink, 1);
	CU_ASSERT_EQUAL(in.mtime.tv_sec, 1700000000);
	CU_ASSERT_EQUAL(in.mtime.tv_nsec, 5);
	CU_ASSERT_EQUAL(in.rdev_major, 0);
	CU_ASSERT_EQUAL(treekit_find(tree, "bin/hard"),
			treekit_find(tree, "lib/two"));
	CU_ASSERT_EQUAL(treekit_stat(tree, "lib/hard").nlink, 3);
	in = treekit_stat(tree, "dev/chr");
	CU_ASSERT_TRUE(in.rdev_major == 4 && in.rdev_minor == 64);
	CU_ASSERT_EQUAL(treekit_stat(tree, "dev/fifo").rdev_major, 0);
	in = treekit_stat(tree, "");
	CU_ASSERT_EQUAL(in.mode, S_IFDIR | 0755);
	CU_ASSERT_TRUE(in.nlink == 5 && in.count == root_entries);
	CU_ASSERT_EQUAL(in.size, 4096);
	in = treekit_stat(tree, "lib/new/deep");
	CU_ASSERT_TRUE(in.opaque && in.mtime.tv_sec == 0 && in.uid == 0);
	CU_ASSERT_EQUAL(in.parent, treekit_find(tree, "lib/new"));
	CU_ASSERT_FALSE(treekit_stat(tree, "lib/new").opaque);
	target = tree_symlink(tree, treekit_find(tree, "lib/link"), &len);
	CU_ASSERT_TRUE(len == 11 && memcmp(target, "../bin/tool", 11) == 0);
	CU_ASSERT_PTR_NULL(tree_salt(tree));
	CU_ASSERT_EQUAL(tree_check_ids(tree), 0);
	fuzz_tree_use(tree);
	tree_put(tree);
}

/* If one of these changes, so does every tree in every depot. */
static void test_tree_same_for_ever(void)
{
	static const char want[] =
	    "1f057fd4c149a14e67a76f084654e9d6e04997d6c6609f9c1b28a1ecb18c8d21";
	struct tree *tree = treekit_open(treekit_sample());
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(tree_digest(tree), hex);
	CU_ASSERT_STRING_EQUAL(hex, want);
	CU_ASSERT_EQUAL(treekit_stat(tree, "bin/tool").id, 0x4df29479d21c4a7b);
	CU_ASSERT_EQUAL(treekit_stat(tree, "lib/link").id, 0x585e4dfd5a9e222d);
	tree_put(tree);
}

static void test_tree_lookup(void)
{
	static const struct {
		const char *dir, *name;
		int rc;
	} rows[] = {
	    {"", "bin", 0},           {"", "lib", 0},
	    {"", "li", -ENOENT},      {"", "libs", -ENOENT},
	    {"", "", -ENOENT},        {"", ".", -ENOENT},
	    {"", "..", -ENOENT},      {"", "bin/tool", -ENOENT},
	    {"lib", "link", 0},       {"lib", "LINK", -ENOENT},
	    {"lib", "tool", -ENOENT}, {"lib/new/deep", "a", -ENOENT},
	};
	struct tree *tree = treekit_open(treekit_sample());
	struct tree_entry entry;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CU_ASSERT_EQUAL(
		    tree_lookup(tree, treekit_find(tree, rows[i].dir),
				rows[i].name, strlen(rows[i].name), &entry),
		    rows[i].rc);
	CU_ASSERT_EQUAL(
	    tree_lookup(tree, treekit_find(tree, "lib"), "gone", 4, &entry), 0);
	CU_ASSERT_EQUAL(entry.inode, TREE_WHITEOUT);
	CU_ASSERT_EQUAL(entry.cookie, name_cookie("gone", 4));
	CU_ASSERT_TRUE(entry.name_len == 4 && !memcmp(entry.name, "gone", 4));
	tree_put(tree);
}

static void test_tree_find_path(void)
{
	static const char *const absent[] = {
	    "/",
	    "/bin",
	    "bin/",
	    "bin//tool",
	    "bin/./tool",
	    "bin/..",
	    "bin/tool/x",
	    "lib/gone",
	    "lib/gone/x",
	    "nothing",
	    "lib/link/x",
	    "bin/tool/",
	    "lib/new/deep/er",
	};
	struct tree *tree = treekit_open(treekit_sample());
	uint32_t inode;

	CU_ASSERT_EQUAL(treekit_find(tree, ""), TREE_ROOT);
	CU_ASSERT_NOT_EQUAL(treekit_find(tree, "lib/new/deep"), TREE_ROOT);
	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		CU_ASSERT_EQUAL(tree_find_path(tree, absent[i], &inode),
				-ENOENT);
	tree_put(tree);
}

static void test_tree_name_ok(void)
{
	static const struct {
		const char *name;
		size_t len;
		bool ok;
	} rows[] = {
	    {"a", 1, true},        {"", 0, false},    {".", 1, false},
	    {"..", 2, false},      {"...", 3, true},  {".a", 2, true},
	    {"a.", 2, true},       {"a/b", 3, false}, {"/", 1, false},
	    {"a\0b", 3, false},    {"\0", 1, false},  {"a\nb", 3, true},
	    {"\xff\xfe", 2, true}, {" ", 1, true},    {".\0", 2, false},
	};
	char longest[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CU_ASSERT_EQUAL(tree_name_ok(rows[i].name, rows[i].len),
				rows[i].ok);
	memset(longest, 'x', sizeof(longest));
	CU_ASSERT_TRUE(tree_name_ok(longest, 255));
	CU_ASSERT_FALSE(tree_name_ok(longest, 256));
}

static void test_tree_chunks(void)
{
	struct tree *tree = treekit_open(treekit_sample());
	uint32_t tool = treekit_find(tree, "bin/tool");
	uint32_t sparse = treekit_find(tree, "sparse");
	static const struct {
		uint64_t off;
		uint32_t i;
	} rows[] = {{0, 0},    {999, 0},  {1000, 1},
		    {2000, 1}, {2001, 2}, {3002, 2}};
	struct tree_chunk chunk;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct digest name = treekit_digest(rows[i].i);

		CU_ASSERT_EQUAL(
		    tree_chunk_find(tree, tool, rows[i].off, &chunk),
		    rows[i].i);
		CU_ASSERT_EQUAL(chunk.len, 1000 + rows[i].i);
		CU_ASSERT_TRUE(chunk.off <= rows[i].off &&
			       rows[i].off < chunk.off + chunk.len);
		CU_ASSERT_TRUE(
		    digest_equal(tree_shard_name(tree, chunk.shard), &name));
	}
	CU_ASSERT_EQUAL(tree_chunk_find(tree, sparse, 1000, &chunk), 1);
	CU_ASSERT_EQUAL(chunk.shard, TREE_HOLE);
	CU_ASSERT_EQUAL(chunk.len, SHARD_CHUNK_MAX);
	CU_ASSERT_EQUAL(
	    tree_chunk_find(tree, sparse, 1000 + SHARD_CHUNK_MAX, &chunk), 2);
	CU_ASSERT_EQUAL(chunk.len, 10);
	tree_put(tree);
}

static void test_tree_xattrs(void)
{
	struct tree *tree = treekit_open(treekit_sample());
	uint32_t tool = treekit_find(tree, "bin/tool"), pos = 0;
	struct tree_xattr xattr;

	CU_ASSERT_TRUE(tree_xattr_next(tree, tool, &pos, &xattr));
	CU_ASSERT_TRUE(xattr.name_len == 6 && !memcmp(xattr.name, "user.a", 6));
	CU_ASSERT_EQUAL(xattr.value_len, 0);
	CU_ASSERT_TRUE(tree_xattr_next(tree, tool, &pos, &xattr));
	CU_ASSERT_TRUE(xattr.name_len == 6 && !memcmp(xattr.name, "user.b", 6));
	CU_ASSERT_TRUE(xattr.value_len == 5 &&
		       !memcmp(xattr.value, "value", 5));
	CU_ASSERT_FALSE(tree_xattr_next(tree, tool, &pos, &xattr));
	pos = 0;
	CU_ASSERT_FALSE(tree_xattr_next(tree, TREE_ROOT, &pos, &xattr));
	tree_put(tree);
}

struct test_walk {
	char text[512];
	uint32_t stop_after, count;
};

static int test_tree_visit(void *ctx, const char *path,
			   const struct tree_entry *entry, uint32_t inode)
{
	struct test_walk *walk = ctx;
	size_t len = strlen(walk->text);

	snprintf(walk->text + len, sizeof(walk->text) - len, "%s%s ", path,
		 inode == TREE_WHITEOUT ? "!" : "");
	CU_ASSERT_EQUAL(entry->inode, inode);
	return ++walk->count == walk->stop_after ? 42 : 0;
}

static void test_tree_walk(void)
{
	struct tree *tree = treekit_open(treekit_sample());
	struct test_walk walk = {.stop_after = 0};

	CU_ASSERT_EQUAL(tree_walk(tree, test_tree_visit, &walk), 0);
	CU_ASSERT_STRING_EQUAL(walk.text,
			       " bin bin/hard bin/tool dev dev/blk dev/chr "
			       "dev/fifo dev/sock empty lib lib/gone! lib/hard "
			       "lib/link lib/new lib/new/deep lib/two sparse ");
	walk = (struct test_walk){.stop_after = 4};
	CU_ASSERT_EQUAL(tree_walk(tree, test_tree_visit, &walk), 42);
	CU_ASSERT_STRING_EQUAL(walk.text, " bin bin/hard bin/tool ");
	walk = (struct test_walk){.stop_after = 1};
	CU_ASSERT_EQUAL(tree_walk(tree, test_tree_visit, &walk), 42);
	tree_put(tree);
}

static void test_tree_refs(void)
{
	struct tree *tree = treekit_open(treekit_sample());

	CU_ASSERT_PTR_EQUAL(tree_get(tree), tree);
	tree_put(tree);
	CU_ASSERT_EQUAL(tree_inode_count(tree), 15);
	tree_put(tree);
	tree_put(NULL);
}

static void test_tree_file(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "tree");
	CLEANUP_FREE char *fifo = tmpdir_path(dir, "fifo");
	CLEANUP_FREE void *bytes = NULL;
	struct digest digest, other = treekit_digest(1);
	struct tree *tree;
	size_t len, got;

	bytes = treekit_finish(treekit_sample(), &len);
	digest = digest_of(bytes, len);
	CU_ASSERT_EQUAL(tree_open_file(path, NULL, &tree), -ENOENT);
	CU_ASSERT_EQUAL(tree_open_file(dir, NULL, &tree), -EBADMSG);
	ASSERT(mkfifo(fifo, 0600) == 0);
	CU_ASSERT_EQUAL(tree_open_file(fifo, NULL, &tree), -EBADMSG);
	ASSERT(io_replace_file(path, bytes, len) == 0);
	CU_ASSERT_EQUAL(tree_open_file(path, &other, &tree), -EBADMSG);
	CU_ASSERT_EQUAL(tree_open_file(path, &digest, &tree), 0);
	CU_ASSERT_TRUE(digest_equal(tree_digest(tree), &digest));
	CU_ASSERT_EQUAL(memcmp(tree_bytes(tree, &got), bytes, len), 0);
	CU_ASSERT_EQUAL(got, len);
	fuzz_tree_use(tree);
	tree_put(tree);
	ASSERT(io_replace_file(path, bytes, len - 1) == 0);
	CU_ASSERT_EQUAL(tree_open_file(path, NULL, &tree), -EBADMSG);
	ASSERT(io_replace_file(path, "", 0) == 0);
	CU_ASSERT_EQUAL(tree_open_file(path, NULL, &tree), -EBADMSG);
}

static void test_tree_private(void)
{
	struct tree_build *build = treekit_sample();
	uint8_t salt[TREE_SALT_LEN];
	struct tree *tree;

	check_fill(salt, sizeof(salt), 9);
	tree_build_private(build, salt);
	tree = treekit_open(build);
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree_salt(tree));
	CU_ASSERT_EQUAL(memcmp(tree_salt(tree), salt, sizeof(salt)), 0);
	tree_put(tree);
}

static int test_tree_rising(void *ctx, const char *path,
			    const struct tree_entry *entry, uint32_t inode)
{
	char *last = ctx;

	(void)entry;
	(void)inode;
	CU_ASSERT_TRUE(path[0] == '\0' || strcmp(path, last) > 0);
	snprintf(last, 64, "%s", path);
	return 0;
}

/* Names that differ late. */
static void test_tree_walk_order(void)
{
	struct tree_build *build = tree_build_new();
	struct tree *tree;
	char path[64] = "";

	ASSERT(build);
	for (uint32_t i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "a-long-common-head-%u", i * 7);
		treekit_file(build, path, 0644, 0);
	}
	treekit_file(build, "a-long-common-head-", 0644, 0);
	tree = treekit_open(build);
	CU_ASSERT_EQUAL(tree_walk(tree, test_tree_rising, path), 0);
	tree_put(tree);
}

static void test_tree_many(struct tree_build *build, uint32_t count)
{
	char path[32];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "d/name-%u", i);
		treekit_file(build, path, 0644, 1);
	}
}

static void test_tree_find_many(const struct tree *tree, uint32_t count)
{
	uint32_t dir = treekit_find(tree, "d"), bad = 0;
	struct tree_entry entry;
	char name[32];

	for (uint32_t i = 0; i < 2 * count; i++) {
		int len = snprintf(name, sizeof(name), "name-%u", i);
		int rc = tree_lookup(tree, dir, name, (size_t)len, &entry);

		if (i >= count ? rc != -ENOENT
			       : rc != 0 || entry.name_len != len ||
				     memcmp(entry.name, name, (size_t)len))
			bad++;
	}
	CU_ASSERT_EQUAL(bad, 0);
}

static void test_tree_large_dirs(void)
{
	static const uint32_t counts[] = {1, 2, 3, 5, 17, 300, 40000};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct tree_build *build = tree_build_new();
		struct tree *tree;

		ASSERT(build);
		test_tree_many(build, counts[i]);
		tree = treekit_open(build);
		test_tree_find_many(tree, counts[i]);
		tree_put(tree);
	}
}

/* Cookies that were made to defeat guessing: halving must still find them. */
static void test_tree_uneven(void)
{
	enum { COUNT = 3000 };
	struct format_tree_entry *entries = calloc(COUNT, sizeof(*entries));
	struct tree_image img = {.entries = entries};
	char text[] = "n";
	uint32_t found, bad = 0;

	ASSERT(entries);
	img.text = text;
	for (int shape = 0; shape < 3; shape++) {
		for (uint32_t i = 0; i < COUNT; i++) {
			uint64_t cookie = 3 + 2 * (uint64_t)i;

			if (shape == 1)
				cookie = TREE_COOKIE_TOP - 2 * (COUNT - 1 - i);
			if (shape == 2 && i > COUNT / 2)
				cookie += TREE_COOKIE_TOP - 3 * COUNT;
			entries[i].cookie_le = htole64(cookie);
			entries[i].name_len_le = htole16(1);
		}
		for (uint32_t i = 0; i < COUNT; i++) {
			uint64_t cookie = le64toh(entries[i].cookie_le);

			if (tree_image_find(&img, 0, COUNT, cookie, "n", 1,
					    &found) != 0 ||
			    found != i)
				bad++;
			if (tree_image_find(&img, 0, COUNT, cookie - 1, "n", 1,
					    &found) != -ENOENT)
				bad++;
		}
	}
	CU_ASSERT_EQUAL(bad, 0);
	free(entries);
}

/* A chain that goes on from the top value at the lowest. */
static void test_tree_chain_wraps(void)
{
	struct format_tree_entry entries[4] = {{.cookie_le = 0}};
	char text[] = "abcd";
	struct tree_image img = {.entries = entries, .text = text};
	static const uint64_t cookies[] = {3, 4, TREE_COOKIE_TOP - 1,
					   TREE_COOKIE_TOP};
	uint32_t found;

	for (uint32_t i = 0; i < 4; i++) {
		entries[i].cookie_le = htole64(cookies[i]);
		entries[i].name_off_le = htole32(i);
		entries[i].name_len_le = htole16(1);
	}
	for (uint32_t i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(tree_image_find(&img, 0, 4, TREE_COOKIE_TOP - 1,
						text + i, 1, &found),
				0);
		CU_ASSERT_EQUAL(found, i);
	}
	CU_ASSERT_EQUAL(
	    tree_image_find(&img, 0, 4, TREE_COOKIE_TOP, "c", 1, &found),
	    -ENOENT);
	CU_ASSERT_EQUAL(tree_image_find(&img, 0, 4, 3, "z", 1, &found),
			-ENOENT);
}

static void test_tree_cut_hash(void)
{
	struct tree_build *build = tree_build_new();
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct tree *tree;
	size_t len;

	ASSERT(build);
	name_cookie_cut_for_tests(6);
	test_tree_many(build, 50);
	bytes = treekit_finish(build, &len);
	CU_ASSERT_EQUAL_FATAL(tree_open_memory(bytes, len, NULL, &tree), 0);
	test_tree_find_many(tree, 50);
	fuzz_tree_use(tree);
	tree_put(tree);
	/* The check of chains, under every wrong bit. */
	for (size_t bit = 0; bit < 8 * len; bit += 3) {
		treekit_flip(bytes, bit);
		LLVMFuzzerTestOneInput(bytes, len);
		treekit_flip(bytes, bit);
	}
	name_cookie_cut_for_tests(63);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree), -EBADMSG);
}

static uint64_t test_id(void (*change)(struct tree_build *build))
{
	struct tree_build *build = treekit_sample();
	struct tree *tree;
	uint64_t id;

	if (change)
		change(build);
	tree = treekit_open(build);
	id = treekit_stat(tree, "lib/two").id;
	tree_put(tree);
	return id;
}

static void test_id_link(struct tree_build *build)
{
	ASSERT(tree_build_link(build, "another", "lib/two") == 0);
}

static void test_id_other(struct tree_build *build)
{
	treekit_file(build, "aaa", 0644, 5);
}

static void test_id_xattr(struct tree_build *build)
{
	ASSERT(tree_build_xattr(build, "lib/two", "user.x", "", 0) == 0);
}

static void test_id_mode(struct tree_build *build)
{
	treekit_file(build, "lib/two", 0645, 2);
}

static void test_id_chunks(struct tree_build *build)
{
	treekit_file(build, "lib/two", 0644, 3);
}

static void test_id_attr(struct tree_build *build, struct tree_build_attr attr)
{
	struct digest name = treekit_digest(0);

	ASSERT(tree_build_file(build, "lib/two", &attr) == 0);
	ASSERT(tree_build_chunk(build, &name, 1000) == 0);
	name = treekit_digest(1);
	ASSERT(tree_build_chunk(build, &name, 1001) == 0);
}

static void test_id_same(struct tree_build *build)
{
	test_id_attr(build, treekit_attr(S_IFREG | 0644));
}

static void test_id_uid(struct tree_build *build)
{
	struct tree_build_attr attr = treekit_attr(S_IFREG | 0644);

	attr.uid++;
	test_id_attr(build, attr);
}

static void test_id_gid(struct tree_build *build)
{
	struct tree_build_attr attr = treekit_attr(S_IFREG | 0644);

	attr.gid++;
	test_id_attr(build, attr);
}

static void test_id_nsec(struct tree_build *build)
{
	struct tree_build_attr attr = treekit_attr(S_IFREG | 0644);

	attr.mtime.tv_nsec++;
	test_id_attr(build, attr);
}

static void test_id_sec(struct tree_build *build)
{
	struct tree_build_attr attr = treekit_attr(S_IFREG | 0644);

	attr.mtime.tv_sec = -1;
	test_id_attr(build, attr);
}

/* The id says that content or attributes changed, and nothing else. */
static void test_tree_ids(void)
{
	static void (*const same[])(struct tree_build *) = {
	    test_id_link, test_id_other, test_id_same};
	static void (*const differ[])(struct tree_build *) = {
	    test_id_xattr, test_id_mode, test_id_chunks, test_id_uid,
	    test_id_gid,   test_id_nsec, test_id_sec};
	uint64_t id = test_id(NULL);

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		CU_ASSERT_EQUAL(test_id(same[i]), id);
	for (size_t i = 0; i < ARRAY_LEN(differ); i++)
		CU_ASSERT_NOT_EQUAL(test_id(differ[i]), id);
}

static void test_tree_box_trip(struct tree *tree, int level)
{
	struct digest other = treekit_digest(3);
	struct tree *opened;
	size_t len, box_len;
	void *box;

	CU_ASSERT_EQUAL_FATAL(tree_box_seal(tree, level, &box, &box_len), 0);
	CU_ASSERT_EQUAL(tree_box_open(box, box_len, tree_digest(tree), &opened),
			0);
	CU_ASSERT_TRUE(digest_equal(tree_digest(tree), tree_digest(opened)));
	(void)tree_bytes(tree, &len);
	CU_ASSERT_TRUE(box_len < len);
	tree_put(opened);
	CU_ASSERT_EQUAL(tree_box_open(box, box_len, &other, &opened), -EBADMSG);
	free(box);
}

static void test_tree_box(void)
{
	struct tree_build *build = treekit_sample();
	struct tree *tree = treekit_open(build);

	test_tree_box_trip(tree, 6);
	tree_put(tree);
	/* Of many shards. */
	build = treekit_sample();
	test_tree_many(build, 5000);
	tree = treekit_open(build);
	test_tree_box_trip(tree, 1);
	test_tree_box_trip(tree, 12);
	tree_put(tree);
}

static const struct check_test tests[] = {
    {"read back", test_tree_read_back},
    {"same for ever", test_tree_same_for_ever},
    {"lookup", test_tree_lookup},
    {"find path", test_tree_find_path},
    {"name ok", test_tree_name_ok},
    {"chunks", test_tree_chunks},
    {"xattrs", test_tree_xattrs},
    {"walk", test_tree_walk},
    {"references", test_tree_refs},
    {"file", test_tree_file},
    {"private", test_tree_private},
    {"walk order", test_tree_walk_order},
    {"large directories", test_tree_large_dirs},
    {"uneven cookies", test_tree_uneven},
    {"chain wraps", test_tree_chain_wraps},
    {"cut hash", test_tree_cut_hash},
    {"ids", test_tree_ids},
    {"box", test_tree_box},
};

int main(void)
{
	return check_main("test_tree", tests, ARRAY_LEN(tests));
}
