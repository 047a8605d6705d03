/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_private: private packages: their shards' names, what proves under which
 * salt, where they lie, and that nothing is shared but under one salt.
 */
#include <stdio.h>

#include "admin/import_dir.h"
#include "depot/layout.h"
#include "depot/registry.h"
#include "depot/shard.h"
#include "depot/store.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/memory_sink.h"
#include "tests/lib/tmpdir.h"

enum { TEST_MEMORY = 8 << 20, CHUNK_LEN = 5000 };

static const uint8_t salt_a[SHARD_SALT_LEN] = {1};
static const uint8_t salt_b[SHARD_SALT_LEN] = {2};

/* --- names and proofs ---------------------------------------------------- */

static void test_names(void)
{
	static const struct digest expected = {
	    {0x86, 0xcd, 0x26, 0x87, 0x0c, 0x89, 0x5d, 0x5a, 0x03, 0x56, 0x83,
	     0x80, 0xfd, 0xb4, 0x9b, 0xf9, 0x93, 0x9a, 0x68, 0xf8, 0x18, 0x68,
	     0xc2, 0x21, 0x7c, 0x18, 0xb9, 0x87, 0x13, 0x68, 0xe3, 0x40}};
	uint8_t joined[SHARD_SALT_LEN + CHUNK_LEN];
	struct digest plain, a, b, whole;

	memcpy(joined, salt_a, SHARD_SALT_LEN);
	check_fill(joined + SHARD_SALT_LEN, CHUNK_LEN, 1);
	plain = shard_name_of(NULL, joined + SHARD_SALT_LEN, CHUNK_LEN);
	a = shard_name_of(salt_a, joined + SHARD_SALT_LEN, CHUNK_LEN);
	b = shard_name_of(salt_b, joined + SHARD_SALT_LEN, CHUNK_LEN);
	whole = digest_of(joined, sizeof(joined));
	CU_ASSERT(digest_equal(&a, &whole));
	CU_ASSERT_FALSE(digest_equal(&a, &plain));
	CU_ASSERT_FALSE(digest_equal(&a, &b));
	/* Pinned: printf '\1', 31 NULs and "abc", by sha256sum. */
	a = shard_name_of(salt_a, "abc", 3);
	CU_ASSERT(digest_equal(&a, &expected));
}

/* Each proof holds under its own salt, and under no other. */
static void test_proofs(void)
{
	static const uint8_t *const salts[] = {NULL, salt_a, salt_b};
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(kit_shard_clear) struct kit_shard shard = {0};
	uint8_t out[CHUNK_LEN];
	struct store_stats stats;
	struct digest names[3];
	struct store *store;
	bool added;
	size_t len;

	kit_shard_make(&shard, CHUNK_LEN, 2);
	CU_ASSERT_EQUAL_FATAL(store_open(dir, TEST_MEMORY, NULL, &store), 0);
	for (int i = 0; i < 3; i++)
		names[i] = shard_name_of(salts[i], shard.chunk, CHUNK_LEN);
	check_mute();
	for (int name = 0; name < 3; name++) {
		for (int salt = 0; salt < 3; salt++) {
			int expected = name == salt ? 0 : -EBADMSG;

			CU_ASSERT_EQUAL(shard_open(salts[salt], &names[name],
						   shard.shard, shard.shard_len,
						   out, sizeof(out), &len),
					expected);
			CU_ASSERT_EQUAL(store_put(store, salts[salt],
						  &names[name], shard.shard,
						  shard.shard_len, &added),
					expected);
			/* Nobody else's copy is taken for it. */
			if (expected == 0)
				CU_ASSERT(added);
		}
	}
	check_unmute();
	store_get_stats(store, &stats);
	CU_ASSERT_EQUAL(stats.shards, 3);
	store_close(store);
}

/* --- where they lie ------------------------------------------------------ */

static void test_layout(void)
{
	struct digest d = digest_of("x", 1);
	char hex[DIGEST_HEX_LEN + 1], text[LAYOUT_PATH_MAX];
	char longest[PACKAGE_NAME_MAX + 1];

	digest_to_hex(&d, hex);
	CU_ASSERT_STRING_EQUAL(layout_tags(NULL, "a").text, "tags/a.json");
	CU_ASSERT_STRING_EQUAL(layout_tags("a", "a").text,
			       "private/a/tags.json");
	snprintf(text, sizeof(text), "packs/%.2s/%s", hex, hex);
	CU_ASSERT_STRING_EQUAL(layout_pack(NULL, &d).text, text);
	snprintf(text, sizeof(text), "private/a/packs/%.2s/%s", hex, hex);
	CU_ASSERT_STRING_EQUAL(layout_pack("a", &d).text, text);
	snprintf(text, sizeof(text), "private/a/trees/%.2s/%s", hex, hex);
	CU_ASSERT_STRING_EQUAL(layout_tree("a", &d).text, text);
	snprintf(text, sizeof(text), "private/a/revisions/%.2s/%s", hex, hex);
	CU_ASSERT_STRING_EQUAL(layout_revision("a", &d).text, text);
	snprintf(text, sizeof(text), "index/%s-7", hex);
	CU_ASSERT_STRING_EQUAL(layout_index(NULL, &d, 7).text, text);
	/* Nothing is cut off. */
	memset(longest, 'z', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	snprintf(text, sizeof(text), "private/%s/index/%s-4294967295", longest,
		 hex);
	CU_ASSERT_STRING_EQUAL(layout_index(longest, &d, UINT32_MAX).text,
			       text);
}

static void test_origin_rows(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct registry_origin row = {.upstream = "lab", .sequence = 7}, got;
	struct digest shared = digest_of("s", 1), private = digest_of("p", 1);
	struct kv_batch *batch = kv_batch_new();
	struct kv *kv;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_MEMORY, &kv), 0);
	registry_origin_put(batch, &shared, &row);
	snprintf(row.package, sizeof(row.package), "acme");
	registry_origin_put(batch, &private, &row);
	CU_ASSERT_EQUAL(registry_commit(kv, batch), 0);
	kv_batch_free(batch);
	CU_ASSERT_EQUAL(registry_origin_get(kv, &shared, &got), 0);
	CU_ASSERT_STRING_EQUAL(got.upstream, "lab");
	CU_ASSERT_STRING_EQUAL(got.package, "");
	CU_ASSERT_EQUAL(registry_origin_get(kv, &private, &got), 0);
	CU_ASSERT_STRING_EQUAL(got.upstream, "lab");
	CU_ASSERT_STRING_EQUAL(got.package, "acme");
	CU_ASSERT_EQUAL(got.sequence, 7);
	kv_close(kv);
}

/* --- making them --------------------------------------------------------- */

struct fixture {
	struct memory_sink sink;
	struct failure failure;
	struct output out;
	struct import_summary summary;
};

static void fixture_clear(struct fixture *f)
{
	memory_sink_clear(&f->sink);
	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
}

static void create(struct fixture *f, const char *dir, const uint8_t *salt)
{
	struct import_sink sink = memory_sink(&f->sink);
	struct import_options options = {.salt = salt};
	struct import_dir_result result = {0};
	struct import *import;

	f->out.progress = OUTPUT_PROGRESS_NONE;
	f->out.quiet = true;
	import_summary_clear(&f->summary);
	import = import_new(&sink, &options, &f->out, &f->failure);
	CU_ASSERT_PTR_NOT_NULL_FATAL(import);
	CU_ASSERT_EQUAL_FATAL(
	    import_dir(import, dir, false, &f->out, &f->failure, &result), 0);
	CU_ASSERT_EQUAL_FATAL(
	    import_finish(import, "acme", "1", "1", NULL, &f->summary), 0);
	import_free(import);
}

static void test_create(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.sink = {0}};
	CLEANUP_FREE char *path = tmpdir_path(dir, "file");
	CLEANUP_FREE uint8_t *bytes = malloc(1 << 20);
	CLEANUP_FREE uint8_t *got = NULL;
	struct digest shared_tree;
	uint64_t shards, stored;
	size_t len;
	FILE *file = fopen(path, "w");

	check_fill(bytes, 1 << 20, 3);
	ASSERT(file && fwrite(bytes, 1 << 20, 1, file) == 1);
	ASSERT(fclose(file) == 0);

	create(&f, dir, NULL);
	CU_ASSERT_PTR_NULL(tree_salt(f.sink.tree));
	shared_tree = f.summary.tree;
	shards = f.summary.shards_new;
	stored = f.summary.bytes_added;
	CU_ASSERT_EQUAL(f.summary.bytes_unshared, 0);

	/* The same bytes again, and it says what that costs. */
	create(&f, dir, salt_a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree_salt(f.sink.tree));
	CU_ASSERT_EQUAL(memcmp(tree_salt(f.sink.tree), salt_a, SHARD_SALT_LEN),
			0);
	CU_ASSERT_FALSE(digest_equal(&shared_tree, &f.summary.tree));
	CU_ASSERT_EQUAL(f.summary.shards_new, shards);
	CU_ASSERT_EQUAL(f.summary.bytes_added, stored);
	CU_ASSERT_EQUAL(f.summary.shards_unshared, shards);
	CU_ASSERT_EQUAL(f.summary.bytes_unshared, stored);
	got = memory_sink_file(&f.sink, "file", &len);
	CU_ASSERT_EQUAL_FATAL(len, 1 << 20);
	CU_ASSERT_EQUAL(memcmp(got, bytes, len), 0);

	/* Under one salt it is shared, under another it is not. */
	create(&f, dir, salt_a);
	CU_ASSERT_EQUAL(f.summary.shards_new, 0);
	CU_ASSERT_EQUAL(f.summary.bytes_unshared, 0);
	create(&f, dir, salt_b);
	CU_ASSERT_EQUAL(f.summary.shards_new, shards);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"names", test_names},   {"proofs", test_proofs},
	    {"layout", test_layout}, {"origin_rows", test_origin_rows},
	    {"create", test_create},
	};

	return check_main("test_private", tests, ARRAY_LEN(tests));
}
