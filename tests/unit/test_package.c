/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_package: references; packages made on this host, and what is refused.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "depot/tree.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

#define TEST_HEX                                                               \
	"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622"

static void test_names(void)
{
	char longest[PACKAGE_NAME_MAX + 2];

	memset(longest, 'a', sizeof(longest));
	longest[PACKAGE_NAME_MAX + 1] = '\0';
	CU_ASSERT_FALSE(depot_name_ok(longest));
	longest[PACKAGE_NAME_MAX] = '\0';
	CU_ASSERT(depot_name_ok(longest));
	CU_ASSERT(depot_name_ok("libstdc++6"));
	CU_ASSERT(depot_name_ok("0.a_b-c"));
	CU_ASSERT_FALSE(depot_name_ok(""));
	CU_ASSERT_FALSE(depot_name_ok(".a"));
	CU_ASSERT_FALSE(depot_name_ok("-a"));
	CU_ASSERT_FALSE(depot_name_ok("A"));
	CU_ASSERT_FALSE(depot_name_ok("a/b"));
	CU_ASSERT_FALSE(depot_name_ok("a:b"));
	CU_ASSERT_FALSE(depot_name_ok("a b"));
	CU_ASSERT(depot_tag_ok("1:2.0~rc1-1+b1"));
	CU_ASSERT(depot_tag_ok("Z"));
	CU_ASSERT_FALSE(depot_tag_ok(""));
	CU_ASSERT_FALSE(depot_tag_ok("~1"));
	CU_ASSERT_FALSE(depot_tag_ok("a/b"));
}

static void test_refs(void)
{
	static const char *const bad[] = {
	    "",
	    "A",
	    ":1",
	    "a:",
	    "a:/",
	    "a@",
	    "a@sha256:",
	    "a@md5:" TEST_HEX,
	    "a@sha256:" TEST_HEX "0",
	    "a b",
	    "a@sha256:X" TEST_HEX,
	    "../a:1",
	};
	struct package_ref ref;

	CU_ASSERT_EQUAL(package_ref_parse("a", &ref), 0);
	CU_ASSERT_STRING_EQUAL(ref.name, "a");
	CU_ASSERT_STRING_EQUAL(ref.tag, "latest");
	CU_ASSERT_FALSE(ref.by_digest);
	CU_ASSERT_EQUAL(package_ref_parse("python3:3.11.2-1+b1", &ref), 0);
	CU_ASSERT_STRING_EQUAL(ref.name, "python3");
	CU_ASSERT_STRING_EQUAL(ref.tag, "3.11.2-1+b1");
	CU_ASSERT_EQUAL(package_ref_parse("redis:5:7.0", &ref), 0);
	CU_ASSERT_STRING_EQUAL(ref.tag, "5:7.0");
	CU_ASSERT_EQUAL(package_ref_parse("a@sha256:" TEST_HEX, &ref), 0);
	CU_ASSERT(ref.by_digest);
	CU_ASSERT_STRING_EQUAL(ref.tag, "");
	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT_EQUAL(package_ref_parse(bad[i], &ref), -EINVAL);
	check_unmute();
}

static void test_commit(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	struct depot *depot = kit_open(dir);
	CLEANUP_FREE char *json = NULL;
	struct package_info info;
	struct package_ref ref;
	struct tree *tree;

	kit_create(depot, "hello", "1", 5, 1, &package);
	depot_close(depot);

	depot = kit_open(dir);
	CU_ASSERT_EQUAL(package_ref_parse("hello:1", &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_get(depot, &ref, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.name, "hello");
	CU_ASSERT_STRING_EQUAL(info.tag, "1");
	CU_ASSERT_STRING_EQUAL(info.upstream, "");
	CU_ASSERT(info.tree_here);
	CU_ASSERT_EQUAL(info.files, 5);
	CU_ASSERT_EQUAL(info.content_len, tree_content_len(package.tree));
	CU_ASSERT_EQUAL(info.shard_count, tree_shard_count(package.tree));
	CU_ASSERT(digest_equal(&info.revision, &package.revision));
	CU_ASSERT(info.time_sec > 0);
	CU_ASSERT_EQUAL(depot_revision_json(depot, &info.revision, &json), 0);
	CU_ASSERT_STRING_EQUAL(json, package.json);

	ref = (struct package_ref){
	    .name = "hello", .by_digest = true, .revision = package.revision};
	CU_ASSERT_EQUAL(depot_package_resolve(depot, &ref, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.tag, "");
	ref.revision.bytes[0] ^= 1;
	check_mute();
	CU_ASSERT_EQUAL(depot_package_resolve(depot, &ref, &info), -ENOENT);
	check_unmute();

	CU_ASSERT_EQUAL_FATAL(
	    depot_tree_get(depot, tree_digest(package.tree), &tree), 0);
	CU_ASSERT_EQUAL(kit_read_all(depot, tree, 7),
			(int64_t)tree_content_len(tree));
	tree_put(tree);
	depot_close(depot);
}

static int test_list_visit(void *ctx, const struct package_info *info)
{
	char *text = ctx;

	strcat(text, info->name);
	strcat(text, ":");
	strcat(text, info->tag);
	strcat(text, " ");
	return 0;
}

static int test_list_stop(void *ctx UNUSED,
			  const struct package_info *info UNUSED)
{
	return 7;
}

static void test_list(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static const char *const made[][2] = {
	    {"b", "2"}, {"a", "2"}, {"b", "1"}, {"ab", "1"}, {"a", "10"}};
	struct depot *depot = kit_open(dir);
	struct depot_stats stats;
	char text[100] = "";

	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		struct kit_package package;

		kit_create(depot, made[i][0], made[i][1], 1, 1, &package);
		kit_package_clear(&package);
	}
	CU_ASSERT_EQUAL(depot_package_list(depot, test_list_visit, text), 0);
	CU_ASSERT_STRING_EQUAL(text, "a:10 a:2 ab:1 b:1 b:2 ");
	CU_ASSERT_EQUAL(depot_package_list(depot, test_list_stop, NULL), 7);
	depot_get_stats(depot, &stats);
	CU_ASSERT_EQUAL(stats.packages, 5);
	CU_ASSERT(stats.logical_bytes > 0);
	depot_close(depot);
}

static void test_commit_refused(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(tmpdir_cleanup) char *other_dir = tmpdir_new();
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	struct depot *other = kit_open(other_dir);
	struct depot *depot = kit_open(dir);
	struct package_ref ref;
	struct package_info info;
	struct digest revision;

	kit_create(other, "hello", "1", 5, 1, &package);
	check_mute();
	/* Its shards are in the other depot. */
	CU_ASSERT_EQUAL(depot_package_commit(depot, "hello", "1", package.json,
					     package.tree, &revision),
			-ENODATA);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "shard"));
	CU_ASSERT_EQUAL(depot_package_commit(other, "hallo", "1", package.json,
					     package.tree, &revision),
			-EINVAL);
	CU_ASSERT_EQUAL(depot_package_commit(other, "hello", "a/b",
					     package.json, package.tree,
					     &revision),
			-EINVAL);
	CU_ASSERT_EQUAL(depot_package_commit(other, "hello", "1", "{}",
					     package.tree, &revision),
			-EBADMSG);
	check_unmute();
	CU_ASSERT_EQUAL(package_ref_parse("hello:1", &ref), 0);
	CU_ASSERT_EQUAL(depot_package_get(depot, &ref, &info), -ENOENT);
	depot_close(depot);
	depot_close(other);
}

/* Only one process has a store open, and the message says which store. */
static void test_locked(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct depot_options options = {.memory_max = KIT_MEMORY};
	struct depot *depot = kit_open(dir), *second;

	check_mute();
	CU_ASSERT_EQUAL(depot_open(dir, &options, &second), -EBUSY);
	check_unmute();
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), dir));
	depot_close(depot);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"names", test_names},
	    {"references", test_refs},
	    {"commit, get, read, after a restart", test_commit},
	    {"list", test_list},
	    {"commit refused", test_commit_refused},
	    {"one process at a time", test_locked},
	};

	return check_main("test_package", tests, ARRAY_LEN(tests));
}
