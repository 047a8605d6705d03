/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tree_bad: what is no tree is refused, wherever it is wrong.
 *
 * Run from the top directory.  `test_tree_bad --seeds DIR` writes the seeds of
 * tests/fuzz/corpus/tree/ instead.
 */
#include "depot/tree.h"

#include <dirent.h>
#include <stdio.h>

#include "depot/io.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "depot/tree_image.h"
#include "tests/fuzz/fuzz_tree.c"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"
#include "tests/lib/treekit.h"

#define TEST_CORPUS "tests/fuzz/corpus/tree"

/* Any one wrong bit: refused, or harmless. */
static void test_tree_bit_flips(void)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct digest digest;
	struct tree *tree;
	size_t len, bad = 0;

	bytes = treekit_finish(treekit_sample(), &len);
	digest = digest_of(bytes, len);
	for (size_t bit = 0; bit < 8 * len; bit++) {
		treekit_flip(bytes, bit);
		LLVMFuzzerTestOneInput(bytes, len);
		if (tree_open_memory(bytes, len, &digest, &tree) != -EBADMSG)
			bad++;
		treekit_flip(bytes, bit);
	}
	CU_ASSERT_EQUAL(bad, 0);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, &digest, &tree), 0);
	tree_put(tree);
}

static void test_tree_lengths(void)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct tree *tree;
	size_t len, bad = 0;

	bytes = treekit_finish(treekit_sample(), &len);
	bytes = realloc(bytes, len + 8);
	ASSERT(bytes);
	memset(bytes + len, 0, 8);
	for (size_t n = 0; n <= len + 8; n++)
		if (n != len &&
		    tree_open_memory(bytes, n, NULL, &tree) != -EBADMSG)
			bad++;
	CU_ASSERT_EQUAL(bad, 0);
}

/* Bytes at random places: many wrong at once. */
static void test_tree_noise(void)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	CLEANUP_FREE uint8_t *copy = NULL;
	uint32_t noise[2];
	size_t len;

	bytes = treekit_finish(treekit_sample(), &len);
	copy = malloc(len);
	ASSERT(copy);
	for (uint32_t seed = 0; seed < 5000; seed++) {
		memcpy(copy, bytes, len);
		for (uint32_t i = 0; i <= seed % 4; i++) {
			check_fill(noise, sizeof(noise), seed * 8 + i);
			copy[noise[0] % len] = (uint8_t)noise[1];
		}
		LLVMFuzzerTestOneInput(copy, len);
	}
}

/* What a poke is relative to. */
enum test_where {
	AT_HEADER,
	AT_INODE,
	AT_ENTRY,
	AT_CHUNK, /* second of the file */
	AT_TEXT,  /* of the name */
	AT_XATTR, /* of the inode at path */
	AT_PADDING,
};

struct test_poke {
	const char *name;
	enum test_where where;
	const char *path;
	size_t off, width;
	char op; /* '=' or '+' */
	uint64_t value;
	bool seed;
};

#define HEADER(f)                                                              \
	AT_HEADER, "", offsetof(struct format_tree_header, f),                 \
	    sizeof(((struct format_tree_header *)0)->f)
#define INODE(path, f)                                                         \
	AT_INODE, path, offsetof(struct format_tree_inode, f),                 \
	    sizeof(((struct format_tree_inode *)0)->f)
#define ENTRY(path, f)                                                         \
	AT_ENTRY, path, offsetof(struct format_tree_entry, f),                 \
	    sizeof(((struct format_tree_entry *)0)->f)
#define CHUNK(path, f)                                                         \
	AT_CHUNK, path, offsetof(struct format_tree_chunk, f),                 \
	    sizeof(((struct format_tree_chunk *)0)->f)

/* Each is one lie in an otherwise sound tree, which must be refused. */
static const struct test_poke test_pokes[] = {
    {"magic", AT_HEADER, "", 0, 1, '=', 'v', false},
    {"format-0", HEADER(format_le), '=', 0, false},
    {"flags", HEADER(flags_le), '=', 2, false},
    {"header-reserved", HEADER(reserved_le), '=', 1, false},
    {"salt", AT_HEADER, "", offsetof(struct format_tree_header, salt), 1, '=',
     1, false},
    {"inode-count", HEADER(inode_count_le), '=', 0xffffffff, true},
    {"inode-count-0", HEADER(inode_count_le), '=', 0, false},
    {"entry-count", HEADER(entry_count_le), '+', 1, false},
    {"chunk-count", HEADER(chunk_count_le), '=', 0x80000000, false},
    {"shard-count", HEADER(shard_count_le), '+', -1, false},
    {"text-len", HEADER(text_len_le), '=', UINT64_MAX, true},
    {"xattr-len", HEADER(xattr_len_le), '+', 1, false},
    {"xattr-len-long", HEADER(xattr_len_le), '=', 0xffffffff, true},
    {"file-len", HEADER(file_len_le), '+', 8, false},
    {"content-len", HEADER(content_len_le), '+', 1, false},
    {"root-is-file", INODE("", mode_le), '=', S_IFREG | 0644, false},
    {"root-parent", INODE("", parent_le), '=', 1, false},
    {"type-0", INODE("dev/fifo", mode_le), '=', 0600, true},
    {"type-bad", INODE("dev/fifo", mode_le), '=', 0130600, false},
    {"mode-bits", INODE("dev/fifo", mode_le), '=', 0210600, false},
    {"nsec", INODE("empty", mtime_nsec_le), '=', 1000000000, false},
    {"flag-unknown", INODE("lib", flags_le), '=', 2, false},
    {"opaque-file", INODE("empty", flags_le), '=', 1, false},
    {"parent-of-file", INODE("empty", parent_le), '=', 1, false},
    {"rdev-of-file", INODE("empty", rdev_minor_le), '=', 1, false},
    {"rdev-of-dir", INODE("lib", rdev_major_le), '=', 1, false},
    {"size-of-dir", INODE("lib", size_le), '=', 4095, false},
    {"size-of-file", INODE("bin/tool", size_le), '+', 1, false},
    {"size-of-empty", INODE("empty", size_le), '+', 1, false},
    {"size-of-link", INODE("lib/link", size_le), '+', 1, false},
    {"size-of-device", INODE("dev/chr", size_le), '=', 1, false},
    {"first-of-device", INODE("dev/chr", first_le), '=', 1, false},
    {"count-of-fifo", INODE("dev/fifo", count_le), '=', 1, false},
    {"nlink-of-file", INODE("bin/hard", nlink_le), '+', 1, true},
    {"nlink-0", INODE("empty", nlink_le), '=', 0, false},
    {"nlink-of-dir", INODE("lib", nlink_le), '+', 1, false},
    {"parent-of-dir", INODE("lib/new/deep", parent_le), '=', 0, true},
    {"parent-range", INODE("lib/new/deep", parent_le), '=', 1 << 20, false},
    {"parent-self", INODE("lib", parent_le), '+', 9, false},
    {"entries-first", INODE("lib", first_le), '+', -1, false},
    {"entries-range", INODE("lib", first_le), '=', 0xfffffffe, true},
    {"entries-count", INODE("lib", count_le), '+', -1, false},
    {"entries-overlap", INODE("lib", count_le), '+', 1, false},
    {"entries-many", INODE("lib", count_le), '=', 0xffffffff, true},
    {"chunks-first", INODE("bin/tool", first_le), '+', 1, false},
    {"chunks-count", INODE("bin/tool", count_le), '+', -1, false},
    {"chunks-many", INODE("bin/tool", count_le), '=', 0xffffffff, false},
    {"target-first", INODE("lib/link", first_le), '+', 1, false},
    {"target-count", INODE("lib/link", count_le), '=', 0, false},
    {"target-long", INODE("lib/link", count_le), '=', 4096, false},
    {"xattr-off", INODE("bin/tool", xattr_le), '+', 1, false},
    {"xattr-range", INODE("bin/tool", xattr_le), '=', 0xffffffff, true},
    {"xattr-lost", INODE("bin/tool", xattr_le), '=', 0, false},
    {"xattr-twice", INODE("empty", xattr_le), '=', 1, false},
    {"cookie", ENTRY("lib/link", cookie_le), '+', 1, true},
    {"cookie-low", ENTRY("lib/link", cookie_le), '=', 2, false},
    {"cookie-top-bit", ENTRY("lib/link", cookie_le), '+', 1ull << 63, false},
    {"cookie-far", ENTRY("lib/link", cookie_le), '+', 65, false},
    {"entry-inode", ENTRY("lib/link", inode_le), '=', 15, true},
    {"entry-inode-2", ENTRY("lib/link", inode_le), '=', 0xfffffffe, false},
    {"cycle", ENTRY("lib/new/deep", inode_le), '=', 0, true},
    {"two-names", ENTRY("lib/link", inode_le), '+', 1, true},
    {"name-off", ENTRY("lib/link", name_off_le), '+', 1, false},
    {"name-range", ENTRY("lib/link", name_off_le), '=', 0xffffffff, true},
    {"name-len", ENTRY("lib/link", name_len_le), '+', -1, false},
    {"name-len-0", ENTRY("lib/link", name_len_le), '=', 0, false},
    {"name-len-256", ENTRY("lib/link", name_len_le), '=', 256, false},
    {"entry-reserved", ENTRY("lib/link", reserved_le), '=', 1, false},
    {"entry-reserved-2", ENTRY("lib/link", reserved2_le), '=', 1, false},
    {"chunk-end", CHUNK("bin/tool", end_lo_le), '=', 1000, true},
    {"chunk-long", CHUNK("bin/tool", end_lo_le), '=', 132073, false},
    {"chunk-high", CHUNK("bin/tool", end_hi_le), '=', 1, false},
    {"chunk-reserved", CHUNK("bin/tool", reserved_le), '=', 1, false},
    {"shard-range", CHUNK("bin/tool", shard_le), '=', 3, true},
    {"shard-order", CHUNK("lib/two", shard_le), '=', 2, false},
    {"shard-unused", CHUNK("bin/tool", shard_le), '=', 0xfffffffe, false},
    {"padding", AT_PADDING, "", 0, 1, '=', 1, false},
    {"target-nul", AT_TEXT, "lib/link", 5, 1, '=', 0, true},
    {"xattr-order", AT_XATTR, "bin/tool", 11, 1, '=', 'c', true},
    {"xattr-name-twice", AT_XATTR, "bin/tool", 11, 1, '=', 'b', false},
    {"xattr-name-nul", AT_XATTR, "bin/tool", 8, 1, '=', 0, false},
    {"xattr-name-long", AT_XATTR, "bin/tool", 1, 1, '=', 1, false},
    {"xattr-none", AT_XATTR, "lib", 0, 1, '=', 0, false},
    {"xattr-value-long", AT_XATTR, "lib", 2, 4, '=', 0xffffffff, true},
    {"xattr-value-more", AT_XATTR, "lib", 2, 4, '+', 1, false},
    {"xattr-value-less", AT_XATTR, "lib", 2, 4, '+', -1, false},
    {"xattr-no-end", AT_XATTR, "lib", 16, 1, '=', 1, true},
};

/* The entry in the image that `path` names. */
static struct format_tree_entry *test_entry(const struct tree *tree,
					    const struct tree_image *img,
					    const char *path)
{
	char *dir = strdup(path), *slash = strrchr(dir, '/');
	const char *name = slash ? slash + 1 : dir;
	struct tree_entry entry;
	struct tree_inode inode;
	uint32_t i = 0;

	if (slash)
		*slash = '\0';
	inode = treekit_stat(tree, slash ? dir : "");
	do {
		ASSERT(i < inode.count);
		tree_entry_get(tree,
			       slash ? treekit_find(tree, dir) : TREE_ROOT, i++,
			       &entry);
	} while (entry.name_len != strlen(slash ? name : path) ||
		 memcmp(entry.name, slash ? name : path, entry.name_len) != 0);
	free(dir);
	return &img->entries[inode.first + i - 1];
}

static void test_image(void *bytes, struct tree_image *img)
{
	const struct format_tree_header *header = bytes;

	*img = (struct tree_image){
	    .inode_count = le32toh(header->inode_count_le),
	    .entry_count = le32toh(header->entry_count_le),
	    .chunk_count = le32toh(header->chunk_count_le),
	    .shard_count = le32toh(header->shard_count_le),
	    .text_len = le64toh(header->text_len_le),
	    .xattr_len = le32toh(header->xattr_len_le),
	};
	ASSERT(tree_image_measure(img) == 0);
	tree_image_place(img, bytes);
}

static void test_poke(const struct tree *tree, void *bytes,
		      const struct test_poke *poke)
{
	struct tree_inode inode = treekit_stat(tree, poke->path);
	uint32_t number = treekit_find(tree, poke->path);
	struct tree_image img;
	uint64_t value = 0;
	uint8_t *p = bytes;

	test_image(bytes, &img);
	if (poke->where == AT_INODE)
		p = (uint8_t *)&img.inodes[number];
	else if (poke->where == AT_ENTRY)
		p = (uint8_t *)test_entry(tree, &img, poke->path);
	else if (poke->where == AT_CHUNK)
		p = (uint8_t *)&img.chunks[inode.first + 1];
	else if (poke->where == AT_TEXT)
		p = (uint8_t *)img.text + inode.first;
	else if (poke->where == AT_XATTR)
		p = (uint8_t *)img.text + le32toh(img.inodes[number].xattr_le) -
		    1;
	else if (poke->where == AT_PADDING)
		p = (uint8_t *)img.text + img.text_len;
	p += poke->off;
	if (poke->op == '+')
		memcpy(&value, p, poke->width);
	value = htole64(le64toh(value) + poke->value);
	ASSERT(p + poke->width <= (uint8_t *)bytes + img.file_len);
	memcpy(p, &value, poke->width);
}

static void test_tree_pokes(void)
{
	CLEANUP_FREE uint8_t *copy = NULL;
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct tree *tree, *bad;
	size_t len;

	bytes = treekit_finish(treekit_sample(), &len);
	/* So that there is padding to be wrong. */
	ASSERT(len > le64_get(bytes + 32));
	copy = malloc(len);
	ASSERT(copy && tree_open_memory(bytes, len, NULL, &tree) == 0);
	for (size_t i = 0; i < ARRAY_LEN(test_pokes); i++) {
		int rc;

		memcpy(copy, bytes, len);
		test_poke(tree, copy, &test_pokes[i]);
		if (memcmp(copy, bytes, len) == 0)
			printf("poke %s changes nothing\n", test_pokes[i].name);
		log_debug("poke %s", test_pokes[i].name);
		rc = tree_open_memory(copy, len, NULL, &bad);
		CU_ASSERT_EQUAL(rc, -EBADMSG);
		if (rc == 0) {
			printf("poke %s is taken\n", test_pokes[i].name);
			tree_put(bad);
		}
	}
	tree_put(tree);
}

static void test_tree_newer(void)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct digest digest;
	struct tree *tree;
	size_t len;

	bytes = treekit_finish(treekit_sample(), &len);
	digest = digest_of(bytes, len);
	le32_put(bytes + 8, FORMAT_TREE + 1);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree),
			-EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, &digest, &tree), -EBADMSG);
}

/* A sound tree but for the one name in it, whose cookie is made to fit. */
static void *test_name(const char *name, size_t name_len, size_t *len)
{
	struct tree_build *build = tree_build_new();
	struct tree_image img;
	uint8_t *bytes;

	ASSERT(build);
	treekit_file(build, "xyz", 0644, 0);
	bytes = treekit_finish(build, len);
	test_image(bytes, &img);
	ASSERT(name_len <= 3);
	memcpy(img.text, name, name_len);
	memset(img.text + name_len, 0, 3 - name_len);
	img.entries[0].name_len_le = htole16((uint16_t)name_len);
	img.entries[0].cookie_le = htole64(name_cookie(name, name_len));
	img.header->text_len_le = htole64(name_len);
	return bytes;
}

static void test_tree_names(void)
{
	static const struct {
		const char *name;
		size_t len;
		int rc;
	} rows[] = {
	    {"abc", 3, 0},      {"a/b", 3, -EBADMSG},  {"..", 2, -EBADMSG},
	    {".", 1, -EBADMSG}, {"a\0b", 3, -EBADMSG}, {"/", 1, -EBADMSG},
	    {"...", 3, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tree *tree = NULL;
		size_t len;
		void *bytes = test_name(rows[i].name, rows[i].len, &len);

		CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree),
				rows[i].rc);
		tree_put(tree);
		free(bytes);
	}
}

/* One name twice in a directory, in every place the second could stand. */
static void test_tree_name_twice(void)
{
	struct tree_build *build = tree_build_new();
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct tree_image img;
	struct tree *tree;
	uint64_t cookie;
	size_t len;

	ASSERT(build);
	treekit_file(build, "aa", 0644, 0);
	treekit_file(build, "bb", 0644, 0);
	bytes = treekit_finish(build, &len);
	test_image(bytes, &img);
	memcpy(img.text, "aaaa", 4);
	cookie = name_cookie("aa", 2);
	for (uint64_t i = 0; i < 70; i++) {
		img.entries[0].cookie_le = htole64(cookie);
		img.entries[1].cookie_le = htole64(cookie + i);
		CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree),
				-EBADMSG);
	}
}

/* `depth` directories, one in the other, by hand. */
static void *test_deep(uint32_t depth, size_t *len)
{
	struct tree_image img = {
	    .inode_count = depth + 1,
	    .entry_count = depth,
	    .text_len = depth,
	};
	uint8_t *bytes;

	ASSERT(tree_image_measure(&img) == 0);
	bytes = calloc(1, img.file_len);
	ASSERT(bytes);
	tree_image_place(&img, bytes);
	memcpy(img.header->magic, FORMAT_TREE_MAGIC, 8);
	img.header->format_le = htole32(FORMAT_TREE);
	img.header->inode_count_le = htole32(img.inode_count);
	img.header->entry_count_le = htole32(img.entry_count);
	img.header->text_len_le = htole64(img.text_len);
	img.header->file_len_le = htole64(img.file_len);
	for (uint32_t i = 0; i <= depth; i++) {
		img.inodes[i].mode_le = htole32(S_IFDIR | 0755);
		img.inodes[i].size_le = htole64(4096);
		img.inodes[i].nlink_le = htole32(i < depth ? 3 : 2);
		img.inodes[i].parent_le = htole32(i > 0 ? i - 1 : 0);
		img.inodes[i].first_le = htole32(i);
		img.inodes[i].count_le = htole32(i < depth);
		if (i == depth)
			break;
		img.entries[i].cookie_le = htole64(name_cookie("d", 1));
		img.entries[i].inode_le = htole32(i + 1);
		img.entries[i].name_off_le = htole32(i);
		img.entries[i].name_len_le = htole16(1);
		img.text[i] = 'd';
	}
	*len = img.file_len;
	return bytes;
}

static void test_tree_depth(void)
{
	struct fuzz_tree_walk walk = {.count = 0};
	struct tree *tree;
	size_t len;
	void *bytes = test_deep(TREE_DEPTH_MAX, &len);

	CU_ASSERT_EQUAL_FATAL(tree_open_taken(bytes, len, NULL, &tree), 0);
	walk.tree = tree;
	CU_ASSERT_EQUAL(tree_walk(tree, fuzz_tree_visit, &walk), 0);
	CU_ASSERT_EQUAL(walk.count, TREE_DEPTH_MAX + 1);
	tree_put(tree);
	bytes = test_deep(TREE_DEPTH_MAX + 1, &len);
	CU_ASSERT_EQUAL(tree_open_taken(bytes, len, NULL, &tree), -EBADMSG);
	bytes = test_deep(100000, &len);
	CU_ASSERT_EQUAL(tree_open_taken(bytes, len, NULL, &tree), -EBADMSG);
}

/* Two directories that hold each other, beside the root. */
static void test_tree_island(void)
{
	struct tree_image img;
	struct tree *tree;
	size_t len;
	CLEANUP_FREE uint8_t *bytes = test_deep(3, &len);

	test_image(bytes, &img);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree), 0);
	tree_put(tree);
	/* 0 -> 1; 2 <-> 3: all named once, parents as they say. */
	img.inodes[1].count_le = 0;
	img.inodes[1].nlink_le = htole32(2);
	img.inodes[2].first_le = htole32(1);
	img.inodes[2].parent_le = htole32(3);
	img.inodes[3].first_le = htole32(2);
	img.inodes[3].count_le = htole32(1);
	img.inodes[3].nlink_le = htole32(3);
	img.entries[1].inode_le = htole32(3);
	img.entries[2].inode_le = htole32(2);
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree), -EBADMSG);
}

/* Lengths that fit one another, around nothing or too much. */
static void test_tree_spare(void)
{
	struct format_tree_header *header;
	struct tree_image img;
	struct tree *tree;
	size_t len;
	CLEANUP_FREE uint8_t *bytes = test_deep(3, &len);

	test_image(bytes, &img);
	header = img.header;
	/* Text that is nobody's, in what was padding. */
	header->text_len_le = htole64(4);
	img.text[3] = 'x';
	CU_ASSERT_EQUAL(tree_open_memory(bytes, len, NULL, &tree), -EBADMSG);
	/* A header alone. */
	header->inode_count_le = header->entry_count_le = 0;
	header->text_len_le = 0;
	header->file_len_le = htole64(sizeof(*header));
	CU_ASSERT_EQUAL(tree_open_memory(bytes, sizeof(*header), NULL, &tree),
			-EBADMSG);
}

/* Not even a sound name is found behind NAME_CHAIN_MAX steps. */
static void test_tree_chain_ends(void)
{
	struct format_tree_entry entries[NAME_CHAIN_MAX + 1] = {
	    {.cookie_le = 0}};
	char text[NAME_CHAIN_MAX + 1];
	struct tree_image img = {.entries = entries, .text = text};
	uint32_t found;

	for (uint32_t i = 0; i <= NAME_CHAIN_MAX; i++) {
		text[i] = (char)(i + 1);
		entries[i].cookie_le = htole64(1000 + i);
		entries[i].name_off_le = htole32(i);
		entries[i].name_len_le = htole16(1);
	}
	CU_ASSERT_EQUAL(tree_image_find(&img, 0, NAME_CHAIN_MAX + 1, 1000,
					text + NAME_CHAIN_MAX - 1, 1, &found),
			0);
	CU_ASSERT_EQUAL(tree_image_find(&img, 0, NAME_CHAIN_MAX + 1, 1000,
					text + NAME_CHAIN_MAX, 1, &found),
			-ENOENT);
}

static void test_tree_false_id(void)
{
	static const char *const paths[] = {"", "bin/tool", "lib/link",
					    "dev/chr"};
	size_t len, box_len;
	CLEANUP_FREE uint8_t *bytes = treekit_finish(treekit_sample(), &len);
	struct tree *tree, *opened;
	struct tree_image img;
	void *box;

	test_image(bytes, &img);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		uint32_t inode;

		ASSERT(tree_open_memory(bytes, len, NULL, &tree) == 0);
		inode = treekit_find(tree, paths[i]);
		tree_put(tree);
		img.inodes[inode].id_le ^= 1;
		ASSERT(tree_open_memory(bytes, len, NULL, &tree) == 0);
		CU_ASSERT_EQUAL(tree_check_ids(tree), -EBADMSG);
		ASSERT(tree_box_seal(tree, 6, &box, &box_len) == 0);
		CU_ASSERT_EQUAL(tree_box_open(box, box_len, NULL, &opened),
				-EBADMSG);
		free(box);
		tree_put(tree);
		img.inodes[inode].id_le ^= 1;
	}
}

/* The same chunks may come in other words (a level, a padding bit of deflate),
 * but nothing else may. */
static void test_tree_box_damage(void)
{
	struct tree *tree = treekit_open(treekit_sample()), *opened;
	size_t box_len, bad = 0;
	uint8_t *box;
	void *sealed;

	ASSERT(tree_box_seal(tree, 6, &sealed, &box_len) == 0);
	box = sealed;
	for (size_t bit = 0; bit < 8 * box_len; bit++) {
		int rc;

		treekit_flip(box, bit);
		rc = tree_box_open(box, box_len, NULL, &opened);
		if (rc == 0) {
			bad += !digest_equal(tree_digest(opened),
					     tree_digest(tree));
			tree_put(opened);
		} else if (rc != -EBADMSG && rc != -EPROTONOSUPPORT) {
			bad++;
		}
		treekit_flip(box, bit);
	}
	for (size_t n = 0; n < box_len; n++)
		if (tree_box_open(box, n, NULL, &opened) != -EBADMSG)
			bad++;
	CU_ASSERT_EQUAL(bad, 0);
	tree_put(tree);
	le32_put(box + 8, FORMAT_TREE_BOX + 1);
	CU_ASSERT_EQUAL(tree_box_open(box, box_len, NULL, &opened),
			-EPROTONOSUPPORT);
	free(box);
}

static void test_tree_measure(void)
{
	static const struct tree_image rows[] = {
	    {.inode_count = 0xffffffff},
	    {.entry_count = 0xffffffff},
	    {.chunk_count = 0xffffffff},
	    {.shard_count = 0xffffffff},
	    {.text_len = UINT64_MAX},
	    {.text_len = TREE_FILE_MAX},
	    {.text_len = 1, .xattr_len = 2},
	    {.inode_count = (TREE_FILE_MAX - 96) / 72 + 1},
	    {.inode_count = 0xffffffff,
	     .entry_count = 0xffffffff,
	     .chunk_count = 0xffffffff,
	     .shard_count = 0xffffffff,
	     .text_len = TREE_FILE_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tree_image img = rows[i];

		CU_ASSERT_EQUAL(tree_image_measure(&img), -EFBIG);
	}
}

/* Seeds keep the fate that their names tell. */
static void test_tree_corpus(void)
{
	DIR *dir = opendir(TEST_CORPUS);
	struct dirent *entry;
	int count = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir))) {
		CLEANUP_FREE char *path =
		    tmpdir_path(TEST_CORPUS, entry->d_name);
		CLEANUP_FREE void *bytes = NULL;
		struct tree *tree = NULL;
		size_t len;
		int rc;

		if (entry->d_name[0] == '.')
			continue;
		ASSERT(io_read_file(path, TREE_FILE_MAX, &bytes, &len) == 0);
		LLVMFuzzerTestOneInput(bytes, len);
		if (strstr(entry->d_name, "box"))
			rc = tree_box_open(bytes, len, NULL, &tree);
		else
			rc = tree_open_memory(bytes, len, NULL, &tree);
		if (strncmp(entry->d_name, "valid-", 6) == 0)
			CU_ASSERT_EQUAL(rc, 0);
		if (strncmp(entry->d_name, "should-fail-", 12) == 0)
			CU_ASSERT_EQUAL(rc, -EBADMSG);
		tree_put(tree);
		count++;
	}
	closedir(dir);
	CU_ASSERT_TRUE(count >= 10);
}

/* takes bytes */
static void test_seed(const char *dir, const char *fate, const char *name,
		      void *bytes, size_t len)
{
	char file[128];
	CLEANUP_FREE char *path = NULL;

	snprintf(file, sizeof(file), "%s-%s", fate, name);
	path = tmpdir_path(dir, file);
	ASSERT(io_replace_file(path, bytes, len) == 0);
	free(bytes);
}

static void test_seeds(const char *dir)
{
	struct tree_build *build = tree_build_new();
	struct tree *tree = treekit_open(treekit_sample());
	size_t len;
	void *bytes;

	ASSERT(build);
	bytes = treekit_finish(build, &len);
	test_seed(dir, "valid", "root", bytes, len);
	bytes = treekit_finish(treekit_sample(), &len);
	test_seed(dir, "valid", "small", bytes, len);
	bytes = test_deep(3, &len);
	test_seed(dir, "valid", "deep", bytes, len);
	bytes = test_name("a/b", 3, &len);
	test_seed(dir, "should-fail", "name-slash", bytes, len);
	bytes = test_name("..", 2, &len);
	test_seed(dir, "should-fail", "name-dots", bytes, len);
	ASSERT(tree_box_seal(tree, 6, &bytes, &len) == 0);
	test_seed(dir, "valid", "box", bytes, len);
	for (size_t i = 0; i < ARRAY_LEN(test_pokes); i++) {
		if (!test_pokes[i].seed)
			continue;
		bytes = treekit_finish(treekit_sample(), &len);
		test_poke(tree, bytes, &test_pokes[i]);
		test_seed(dir, "should-fail", test_pokes[i].name, bytes, len);
	}
	tree_put(tree);
}

static const struct check_test tests[] = {
    {"bit flips", test_tree_bit_flips},
    {"lengths", test_tree_lengths},
    {"noise", test_tree_noise},
    {"pokes", test_tree_pokes},
    {"newer format", test_tree_newer},
    {"names", test_tree_names},
    {"a name twice", test_tree_name_twice},
    {"depth", test_tree_depth},
    {"island", test_tree_island},
    {"spare", test_tree_spare},
    {"chain ends", test_tree_chain_ends},
    {"false id", test_tree_false_id},
    {"box damage", test_tree_box_damage},
    {"measure", test_tree_measure},
    {"corpus", test_tree_corpus},
};

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		test_seeds(argv[2]);
		return 0;
	}
	if (getenv("TEST_TREE_DEBUG"))
		log_setup("test_tree_bad", LOG_LEVEL_DEBUG);
	return check_main("test_tree_bad", tests, ARRAY_LEN(tests));
}
