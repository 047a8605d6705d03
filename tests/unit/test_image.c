/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_image: what a flattened selection shows, and that its numbers depend on
 * nothing but path, content and key.
 *
 * Includes the modules it tests, so that it can fail each of their allocations.
 */
#include "depot/base.h"

#include <stdio.h>
#include <sys/stat.h>

#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

/* Before the modules: what they allocate may fail. */
#include "tests/lib/failalloc.h"

#include "overlay/image.c"
#include "overlay/image_build.c"
#include "overlay/image_names.c"
#undef malloc
#undef calloc
#undef realloc

#define TREE(entries) fixture_tree(NULL, 40000, entries, ARRAY_LEN(entries))

static const uint8_t test_key[SIPHASH_KEY_LEN] = "one tenant";
static const uint8_t test_key2[SIPHASH_KEY_LEN] = "another";

/* Paths of conflicts, with a space behind each. */
struct test_conflicts {
	char text[1024];
};

static void test_conflict(void *ctx, const char *path, enum image_conflict kind,
			  unsigned int winner, unsigned int loser)
{
	struct test_conflicts *c = ctx;
	size_t len = strlen(c->text);

	snprintf(c->text + len, sizeof(c->text) - len, "%s:%u%c%u ", path,
		 winner, ">-+="[kind], loser);
}

static unsigned int test_flags; /* of test_image */

static struct image *test_image(struct tree **trees, unsigned int count,
				const uint8_t *key, struct test_conflicts *c)
{
	static const struct timespec since = {1234567890, 1};
	struct image *image = NULL;
	int rc = image_new(trees, count, test_flags, key, &since,
			   c ? test_conflict : NULL, c, &image);

	CU_ASSERT_EQUAL_FATAL(rc, 0);
	return image;
}

/* Image inode of a path, or IMAGE_NONE. */
static uint32_t test_find(const struct image *image, const char *path)
{
	uint32_t at = IMAGE_ROOT;

	while (*path) {
		size_t len = strcspn(path, "/");
		const struct image_entry *entry =
		    image_lookup(image, at, path, len);

		if (!entry)
			return IMAGE_NONE;
		at = entry->inode;
		path += len + (path[len] == '/');
	}
	return at;
}

static uint64_t test_id(const struct image *image, const char *path)
{
	uint32_t i = test_find(image, path);

	return i == IMAGE_NONE ? 0 : image_inode(image, i)->fileid;
}

static struct tree_inode test_attr(const struct image *image, const char *path)
{
	const struct image_inode *inode =
	    image_inode(image, test_find(image, path));
	struct tree_inode attr;

	tree_inode_get(image_tree(image, inode->tree), inode->inode, &attr);
	return attr;
}

/* What every image promises: runs sorted, numbers unique and found again,
 * links and parents right. */
static void test_sound(const struct image *image)
{
	uint32_t count = image_inode_count(image);
	uint32_t *names = (calloc)(count, sizeof(*names));
	const struct image_entry *end;

	CU_ASSERT_PTR_NOT_NULL_FATAL(names);
	for (uint32_t i = 0; i < count; i++) {
		const struct image_inode *inode = image_inode(image, i);
		const struct image_entry *e;
		uint64_t last = 2;

		CU_ASSERT_TRUE(inode->fileid != 0 && inode->fileid >> 63 == 0);
		CU_ASSERT_EQUAL(image_find(image, inode->fileid), i);
		if (inode->parent == IMAGE_NONE)
			continue;
		for (e = image_from(image, i, 0, &end); e != end; e++) {
			CU_ASSERT_TRUE(e->cookie > last &&
				       e->cookie >> 63 == 0);
			last = e->cookie;
			CU_ASSERT_PTR_EQUAL(
			    image_lookup(image, i, e->name, e->name_len), e);
			names[e->inode]++;
			if (image_inode(image, e->inode)->parent != IMAGE_NONE)
				CU_ASSERT_EQUAL(
				    image_inode(image, e->inode)->parent, i);
		}
	}
	for (uint32_t i = 1; i < count; i++)
		if (image_inode(image, i)->parent == IMAGE_NONE)
			CU_ASSERT_EQUAL(image_inode(image, i)->nlink, names[i]);
	free(names);
}

static const struct fixture_entry test_base[] = {
    {"bin", S_IFDIR | 0755, .uid = 7},
    {"bin/sh", S_IFREG | 0755, .text = "shell"},
    {"bin/bash", 0, .link_to = "bin/sh"},
    {"bin/same", S_IFREG | 0644, .text = "same"},
    {"etc/conf", S_IFREG | 0644, .text = "one"},
    {"etc/d/deep", S_IFREG | 0644, .text = "deep"},
    {"lib", S_IFLNK | 0777, .text = "usr/lib"},
    {"run", S_IFIFO | 0600, .len = 0},
};
static const struct fixture_entry test_more[] = {
    {"bin", S_IFDIR | 0700, .uid = 8},
    {"bin/same", S_IFREG | 0644, .text = "same"},
    {"bin/python", S_IFREG | 0755, .len = 100000, .seed = 1},
    {"etc/conf", S_IFREG | 0644, .text = "two"},
    {"etc/d", S_IFREG | 0644, .text = "a file here"},
    {"lib/x", S_IFREG | 0644, .text = "a directory here"},
};

static void test_image_empty(void)
{
	struct image *image = test_image(NULL, 0, test_key, NULL);
	const struct image_entry *end;

	CU_ASSERT_EQUAL(image_inode_count(image), 1);
	CU_ASSERT_PTR_NULL(image_lookup(image, IMAGE_ROOT, "x", 1));
	CU_ASSERT_PTR_EQUAL(image_from(image, IMAGE_ROOT, 0, &end), end);
	CU_ASSERT_EQUAL(image_inode(image, IMAGE_ROOT)->nlink, 2);
	CU_ASSERT_EQUAL(image_inode(image, IMAGE_ROOT)->parent, IMAGE_ROOT);
	CU_ASSERT_EQUAL(image_find(image, 5), IMAGE_NONE);
	test_sound(image);
	image_put(image);
	image_put(NULL);
}

static void test_image_one(void)
{
	struct tree *tree = TREE(test_base);
	struct image *image = test_image(&tree, 1, test_key, NULL);

	test_sound(image);
	CU_ASSERT_EQUAL(image_inode_count(image), 10);
	CU_ASSERT_EQUAL(test_find(image, "bin/bash"),
			test_find(image, "bin/sh"));
	CU_ASSERT_EQUAL(image_inode(image, test_find(image, "bin/sh"))->nlink,
			2);
	CU_ASSERT_EQUAL(image_inode(image, IMAGE_ROOT)->nlink, 4);
	CU_ASSERT_EQUAL(image_inode(image, test_find(image, "etc"))->nlink, 3);
	CU_ASSERT_EQUAL(test_find(image, "bin/nothing"), IMAGE_NONE);
	CU_ASSERT_EQUAL(image_since(image)->tv_sec, 1234567890);
	image_put(image_get(image));
	tree_put(tree);
	test_sound(image); /* it holds its trees */
	image_put(image);
}

static void test_image_two(void)
{
	struct tree *trees[] = {TREE(test_base), TREE(test_more)};
	struct test_conflicts c = {""};
	struct image *image = test_image(trees, 2, test_key, &c);

	test_sound(image);
	/* A whole directory against another kind is one path. */
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, "etc/conf:0>1 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, "etc/d:0>1 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, "lib:0>1 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, "bin:0=1 "));
	CU_ASSERT_EQUAL(strlen(c.text),
			strlen("etc/conf:0>1 etc/d:0>1 lib:0>1 bin:0=1 "));
	CU_ASSERT_EQUAL(test_attr(image, "bin").uid, 7);
	CU_ASSERT_TRUE(S_ISDIR(test_attr(image, "etc/d").mode));
	CU_ASSERT_TRUE(S_ISLNK(test_attr(image, "lib").mode));
	CU_ASSERT_NOT_EQUAL(test_find(image, "bin/python"), IMAGE_NONE);
	CU_ASSERT_NOT_EQUAL(test_find(image, "bin/sh"), IMAGE_NONE);
	image_put(image);

	image = test_image((struct tree *[]){trees[1], trees[0]}, 2, test_key,
			   NULL);
	test_sound(image);
	CU_ASSERT_EQUAL(test_attr(image, "bin").uid, 8);
	CU_ASSERT_TRUE(S_ISREG(test_attr(image, "etc/d").mode));
	CU_ASSERT_NOT_EQUAL(test_find(image, "lib/x"), IMAGE_NONE);
	image_put(image);
	tree_put(trees[0]);
	tree_put(trees[1]);
}

/* Of directories that several have: told is who says another mode or owner than
 * is seen; not who says nothing, nor what nobody sees. */
static void test_image_directories(void)
{
	static const struct fixture_entry first[] = {
	    {"d/one", S_IFREG | 0644, .text = "1"},
	    {"same", S_IFDIR | 0750, .gid = 4},
	    {"own", S_IFDIR | 0755, .opaque = true, .uid = 5},
	};
	static const struct fixture_entry second[] = {
	    {"", S_IFDIR | 0700, .len = 0},
	    {"d", S_IFDIR | 01777, .len = 0},
	    {"same", S_IFDIR | 0750, .gid = 4},
	    {"own", S_IFDIR | 0700, .len = 0},
	};
	static const struct fixture_entry third[] = {
	    {"", S_IFDIR | 0711, .len = 0},
	    {"d", S_IFDIR | 0777, .len = 0},
	    {"same", S_IFDIR | 0750, .gid = 5},
	    {"d/one", S_IFREG | 0644, .text = "1"},
	};
	struct tree *trees[] = {TREE(first), TREE(second), TREE(third)};
	struct test_conflicts c = {""};
	struct image *image = test_image(trees, 3, test_key, &c);

	test_sound(image);
	CU_ASSERT_PTR_EQUAL(strstr(c.text, ":1=2 "), c.text); /* the root */
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, " d:1=2 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(c.text, " same:0=2 "));
	CU_ASSERT_EQUAL(strlen(c.text), strlen(":1=2 d:1=2 same:0=2 "));
	CU_ASSERT_EQUAL(test_attr(image, "").mode, S_IFDIR | 0700);
	CU_ASSERT_EQUAL(test_attr(image, "d").mode, S_IFDIR | 01777);
	image_put(image);
	for (int i = 0; i < 3; i++)
		tree_put(trees[i]);
}

/* Rule N-20 and design 6: the same file has the same number whatever else is
 * selected; another content another number. */
static void test_image_numbers(void)
{
	struct tree *trees[] = {TREE(test_base), TREE(test_more)};
	struct tree *swapped[] = {trees[1], trees[0]};
	struct image *ab = test_image(trees, 2, test_key, NULL);
	struct image *ba = test_image(swapped, 2, test_key, NULL);
	struct image *a = test_image(trees, 1, test_key, NULL);
	struct image *other = test_image(trees, 1, test_key2, NULL);
	static const char *const same[] = {"",         "bin", "bin/sh",
					   "bin/same", "etc", "run"};

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		CU_ASSERT_NOT_EQUAL(test_id(ab, same[i]), 0);
		CU_ASSERT_EQUAL(test_id(ab, same[i]), test_id(ba, same[i]));
		CU_ASSERT_EQUAL(test_id(ab, same[i]), test_id(a, same[i]));
		CU_ASSERT_NOT_EQUAL(test_id(a, same[i]),
				    test_id(other, same[i]));
	}
	CU_ASSERT_EQUAL(test_id(ab, "bin/python"), test_id(ba, "bin/python"));
	CU_ASSERT_NOT_EQUAL(test_id(ab, "etc/conf"), test_id(ba, "etc/conf"));
	CU_ASSERT_EQUAL(test_id(ab, "etc/conf"), test_id(a, "etc/conf"));
	CU_ASSERT_NOT_EQUAL(test_id(ab, "etc/d"), test_id(ba, "etc/d"));
	image_put(ab);
	image_put(ba);
	image_put(a);
	image_put(other);
	tree_put(trees[0]);
	tree_put(trees[1]);
}

static const struct fixture_entry test_hiding[] = {
    {"bin/sh", .whiteout = true},
    {"etc", S_IFDIR | 0711, .opaque = true},
    {"etc/mine", S_IFREG | 0644, .text = "mine"},
    {"nothing", .whiteout = true},
};
static const struct fixture_entry test_behind[] = {
    {"bin/sh", S_IFREG | 0755, .text = "a third shell"},
    {"etc/conf", S_IFREG | 0644, .text = "third"},
};

static void test_image_hiding(void)
{
	struct tree *trees[] = {TREE(test_hiding), TREE(test_base),
				TREE(test_behind)};
	struct test_conflicts c = {""};
	struct image *image = test_image(trees, 3, test_key, &c);

	test_sound(image);
	CU_ASSERT_STRING_EQUAL(c.text, "bin/sh:0-1 ");
	c.text[0] = '\0';
	CU_ASSERT_EQUAL(test_find(image, "bin/sh"), IMAGE_NONE);
	CU_ASSERT_EQUAL(image_inode(image, test_find(image, "bin/bash"))->nlink,
			1);
	CU_ASSERT_EQUAL(test_find(image, "etc/conf"), IMAGE_NONE);
	CU_ASSERT_EQUAL(test_find(image, "etc/d"), IMAGE_NONE);
	CU_ASSERT_NOT_EQUAL(test_find(image, "etc/mine"), IMAGE_NONE);
	CU_ASSERT_EQUAL(test_find(image, "nothing"), IMAGE_NONE);
	CU_ASSERT_EQUAL(test_attr(image, "etc").mode, S_IFDIR | 0711);
	image_put(image);

	/* Behind the package with the names, the whiteouts hide nothing of it,
	 * but what comes after them. */
	image = test_image((struct tree *[]){trees[1], trees[0], trees[2]}, 3,
			   test_key, &c);
	test_sound(image);
	CU_ASSERT_STRING_EQUAL(c.text, "bin/sh:0+1 ");
	CU_ASSERT_NOT_EQUAL(test_find(image, "bin/sh"), IMAGE_NONE);
	CU_ASSERT_NOT_EQUAL(test_find(image, "etc/conf"), IMAGE_NONE);
	CU_ASSERT_NOT_EQUAL(test_find(image, "etc/mine"), IMAGE_NONE);
	image_put(image);
	for (int i = 0; i < 3; i++)
		tree_put(trees[i]);
}

static void test_image_opaque_root(void)
{
	static const struct fixture_entry entries[] = {
	    {"", S_IFDIR | 0755, .opaque = true},
	    {"only", S_IFREG | 0644, .text = "x"},
	};
	struct tree *trees[] = {TREE(entries), TREE(test_base)};
	struct image *image = test_image(trees, 2, test_key, NULL);

	test_sound(image);
	CU_ASSERT_EQUAL(image_inode_count(image), 2);
	CU_ASSERT_EQUAL(test_find(image, "bin"), IMAGE_NONE);
	image_put(image);
	tree_put(trees[0]);
	tree_put(trees[1]);
}

/* Two packages with one of two hard-linked names each in front: the numbers
 * would be the same, and must not be. */
static void test_image_links_split(void)
{
	static const struct fixture_entry front[] = {
	    {"bin/bash", S_IFREG | 0755, .text = "shell"},
	};
	struct tree *trees[] = {TREE(front), TREE(test_base)};
	struct image *image = test_image(trees, 2, test_key, NULL);

	test_sound(image);
	CU_ASSERT_NOT_EQUAL(test_find(image, "bin/bash"),
			    test_find(image, "bin/sh"));
	CU_ASSERT_EQUAL(image_inode(image, test_find(image, "bin/sh"))->nlink,
			1);
	image_put(image);
	tree_put(trees[0]);
	tree_put(trees[1]);
}

/* --- ties ---------------------------------------------------------------- */

/* `count` files NAME0, NAME1, ...; names are owned by the caller. */
static struct fixture_entry *test_many(const char *name, unsigned int count)
{
	struct fixture_entry *entries = (calloc)(count, sizeof(*entries));

	CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
	for (unsigned int i = 0; i < count; i++) {
		char *path;

		ASSERT(asprintf(&path, "%s%u", name, i) > 0);
		entries[i] =
		    (struct fixture_entry){path, S_IFREG | 0644, .text = "x"};
	}
	return entries;
}

static void test_many_free(struct fixture_entry *entries, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		free((char *)(uintptr_t)entries[i].path);
	free(entries);
}

static void test_image_ties(void)
{
	struct fixture_entry *a, *b;
	struct tree *trees[2];
	struct image *image;

	name_cookie_cut_for_tests(6);
	a = test_many("a", 30);
	b = test_many("b", 30);
	trees[0] = fixture_tree(NULL, 1, a, 30);
	trees[1] = fixture_tree(NULL, 1, b, 30);
	for (unsigned int count = 1; count <= 2; count++) {
		image = test_image(trees, count, test_key, NULL);
		test_sound(image);
		CU_ASSERT_EQUAL(image_inode_count(image), 1 + 30 * count);
		for (unsigned int i = 0; i < 30; i++) {
			CU_ASSERT_NOT_EQUAL(test_find(image, a[i].path),
					    IMAGE_NONE);
			CU_ASSERT_EQUAL(test_find(image, b[i].path) !=
					    IMAGE_NONE,
					count == 2);
		}
		CU_ASSERT_EQUAL(test_find(image, "c"), IMAGE_NONE);
		image_put(image);
	}
	test_many_free(a, 30);
	test_many_free(b, 30);
	tree_put(trees[0]);
	tree_put(trees[1]);
	name_cookie_cut_for_tests(63);
}

/* A chain over NAME_CHAIN_MAX, only when both packages come together. */
static void test_image_chain_too_long(void)
{
	struct fixture_entry *a, *b;
	struct timespec since = {0};
	struct tree *trees[2];
	struct image *image;

	name_cookie_cut_for_tests(1);
	a = test_many("a", 40);
	b = test_many("b", 40);
	trees[0] = fixture_tree(NULL, 1, a, 40);
	trees[1] = fixture_tree(NULL, 1, b, 40);
	check_mute();
	CU_ASSERT_EQUAL(
	    image_new(trees, 2, 0, test_key, &since, NULL, NULL, &image),
	    -EMLINK);
	check_unmute();
	test_many_free(a, 40);
	test_many_free(b, 40);
	tree_put(trees[0]);
	tree_put(trees[1]);
	name_cookie_cut_for_tests(63);
}

/* --- whiteouts that are shown --------------------------------------------- */

/* Is there a character device 0/0 of mode 0 at the path? */
static bool test_is_shown_whiteout(const struct image *image, const char *path)
{
	uint32_t i = test_find(image, path);
	struct tree_inode attr;

	if (i == IMAGE_NONE)
		return false;
	return image_attr(image, i, &attr) == NULL && attr.mode == S_IFCHR &&
	       attr.rdev_major == 0 && attr.rdev_minor == 0;
}

static void test_image_shown_whiteouts(void)
{
	struct tree *trees[] = {TREE(test_hiding), TREE(test_base)};
	struct image *plain = test_image(trees, 2, test_key, NULL);
	struct image *shown;
	uint64_t id;

	test_flags = IMAGE_SHOW_WHITEOUTS;
	shown = test_image(trees, 2, test_key, NULL);
	test_sound(shown);
	CU_ASSERT_TRUE(test_is_shown_whiteout(shown, "bin/sh"));
	CU_ASSERT_TRUE(test_is_shown_whiteout(shown, "nothing"));
	CU_ASSERT_FALSE(test_is_shown_whiteout(shown, "bin/same"));
	CU_ASSERT_EQUAL(test_find(plain, "bin/sh"), IMAGE_NONE);
	CU_ASSERT_EQUAL(test_find(plain, "nothing"), IMAGE_NONE);
	CU_ASSERT_EQUAL(image_inode_count(shown), image_inode_count(plain) + 2);
	id = test_id(shown, "bin/sh");
	image_put(shown);
	/* Behind the package with the name, it hides nothing and is not seen;
	 * a whiteout's number depends on its path alone. */
	tree_put(trees[0]);
	trees[0] = trees[1];
	shown = test_image(trees, 1, test_key, NULL);
	CU_ASSERT_FALSE(test_is_shown_whiteout(shown, "bin/sh"));
	CU_ASSERT_NOT_EQUAL(test_id(shown, "bin/sh"), id);
	image_put(shown);
	test_flags = 0;
	image_put(plain);
	tree_put(trees[0]);
}

/* --- no memory ----------------------------------------------------------- */

static void test_image_no_memory(void)
{
	struct tree *trees[] = {TREE(test_hiding), TREE(test_base),
				TREE(test_more)};
	struct timespec since = {0};
	struct image *image;
	int rc = -ENOMEM;

	for (test_fail_at = 1; rc == -ENOMEM; test_fail_at++) {
		test_alloc_count = 0;
		rc = image_new(trees, 3, 0, test_key, &since, NULL, NULL,
			       &image);
		CU_ASSERT_TRUE(rc == 0 || rc == -ENOMEM);
	}
	CU_ASSERT_TRUE(test_fail_at > 10);
	test_fail_at = 0;
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	test_sound(image);
	image_put(image);
	for (int i = 0; i < 3; i++)
		tree_put(trees[i]);
}

static const struct check_test tests[] = {
    {"no package", test_image_empty},
    {"one package", test_image_one},
    {"two packages", test_image_two},
    {"directories of several packages", test_image_directories},
    {"numbers", test_image_numbers},
    {"whiteouts and opaque directories", test_image_hiding},
    {"opaque root", test_image_opaque_root},
    {"links split between packages", test_image_links_split},
    {"ties", test_image_ties},
    {"chain too long", test_image_chain_too_long},
    {"whiteouts that are shown", test_image_shown_whiteouts},
    {"no memory", test_image_no_memory},
};

int main(void)
{
	return check_main("test_image", tests, ARRAY_LEN(tests));
}
