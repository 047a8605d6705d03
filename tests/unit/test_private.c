/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_private: private packages: their shards' names, what proves under which
 * salt, where they lie, and that nothing is shared but under one salt.
 */
#include <stdio.h>

#include "admin/import_dir.h"
#include "depot/entitle.h"
#include "depot/layout.h"
#include "depot/log.h"
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

/* --- who may have a package ---------------------------------------------- */

static void test_lists(void)
{
	static const char *const bad[] = {
	    "",
	    ",",
	    "red,",
	    ",red",
	    "red,,blue",
	    "Red",
	    "../a",
	    "red blue",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct package_entitled entitled;

	CU_ASSERT_EQUAL_FATAL(
	    package_entitled_parse("red,blue,red,a", &entitled), 0);
	CU_ASSERT(entitled.is_restricted);
	CU_ASSERT_EQUAL_FATAL(entitled.count, 3);
	CU_ASSERT_STRING_EQUAL(entitled.tenants[0], "a");
	CU_ASSERT_STRING_EQUAL(entitled.tenants[1], "blue");
	CU_ASSERT_STRING_EQUAL(entitled.tenants[2], "red");
	package_entitled_clear(&entitled);
	CU_ASSERT_EQUAL(package_entitled_parse("all", &entitled), 0);
	CU_ASSERT_FALSE(entitled.is_restricted);
	CU_ASSERT_EQUAL(package_entitled_parse("none", &entitled), 0);
	CU_ASSERT(entitled.is_restricted);
	CU_ASSERT_EQUAL(entitled.count, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT_EQUAL(package_entitled_parse(bad[i], &entitled),
				-EINVAL);
		CU_ASSERT_PTR_NULL(entitled.tenants);
	}
}

static void entitle(struct depot *depot, const char *upstream, const char *text)
{
	CLEANUP(package_entitled_clear) struct package_entitled entitled = {0};
	struct kv_batch *batch = kv_batch_new();

	CU_ASSERT_EQUAL_FATAL(package_entitled_parse(text, &entitled), 0);
	if (upstream) {
		CU_ASSERT_EQUAL(entitle_put(batch, "acme", upstream, &entitled),
				0);
		CU_ASSERT_EQUAL(registry_commit(depot_state(depot), batch), 0);
	} else {
		CU_ASSERT_EQUAL(depot_package_entitle(depot, "acme", &entitled),
				0);
	}
	kv_batch_free(batch);
}

/* Both must allow it; another package's and another upstream's word is none. */
static void test_permits(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct package_info info = {.name = "acme"}, other = {.name = "acm"};
	struct package_entitled both;
	struct depot *depot = kit_open(dir);
	uint8_t key[] = "Facme";

	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), 0);
	entitle(depot, NULL, "blue,red");
	check_mute();
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), 0);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "re"), -EACCES);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "redd"), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "this host"));
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "blue, red"));
	CU_ASSERT_EQUAL(depot_package_permits(depot, &other, "green"), 0);
	depot_close(depot);
	depot = kit_open(dir);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "green"), -EACCES);

	snprintf(info.upstream, sizeof(info.upstream), "lab");
	entitle(depot, "lab", "red");
	entitle(depot, "la", "blue");
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), 0);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "blue"), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "upstream lab"));
	entitle(depot, NULL, "none");
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "nobody"));
	entitle(depot, NULL, "all");
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), 0);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "green"), -EACCES);
	entitle(depot, NULL, "blue,green,red");
	entitle(depot, "lab", "blue,pink,red");
	CU_ASSERT_EQUAL_FATAL(
	    depot_package_entitled_both(depot, "acme", "lab", &both), 0);
	CU_ASSERT_EQUAL_FATAL(both.count, 2);
	CU_ASSERT_STRING_EQUAL(both.tenants[0], "blue");
	CU_ASSERT_STRING_EQUAL(both.tenants[1], "red");
	package_entitled_clear(&both);
	entitle(depot, NULL, "all");
	CU_ASSERT_EQUAL_FATAL(
	    depot_package_entitled_both(depot, "acme", "lab", &both), 0);
	CU_ASSERT_EQUAL(both.count, 3);
	package_entitled_clear(&both);
	entitle(depot, "lab", "all");
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "green"), 0);

	/* A damaged row lets nobody in. */
	CU_ASSERT_EQUAL(kv_put(depot_state(depot), key, 5, "red", 3), 0);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), -EBADMSG);
	CU_ASSERT_EQUAL(kv_put(depot_state(depot), key, 5, "red\0blue\0", 9),
			0);
	CU_ASSERT_EQUAL(depot_package_permits(depot, &info, "red"), -EBADMSG);
	check_unmute();
	depot_close(depot);
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

/* --- through a depot at rest --------------------------------------------- */

struct rest {
	char *dir, *here, *there, *out; /* own */
	struct depot *a, *b;            /* own */
	struct kit_package shared, acme, acme2;
};

static void rest_open(struct rest *r)
{
	memset(r, 0, sizeof(*r));
	r->dir = tmpdir_new();
	r->here = tmpdir_path(r->dir, "a");
	r->there = tmpdir_path(r->dir, "b");
	r->out = tmpdir_path(r->dir, "out");
	r->a = kit_open(r->here);
	r->b = kit_open(r->there);
	kit_create(r->a, "shared", "1", 12, 5, &r->shared);
	kit_create_salted(r->a, "acme", "1", 12, 5, salt_a, &r->acme);
	kit_create_salted(r->a, "acme2", "1", 14, 5, salt_a, &r->acme2);
}

static void rest_close(struct rest *r)
{
	kit_package_clear(&r->shared);
	kit_package_clear(&r->acme);
	kit_package_clear(&r->acme2);
	depot_close(r->a);
	depot_close(r->b);
	tmpdir_remove(r->dir);
	free(r->here);
	free(r->there);
	free(r->out);
}

static int rest_push(struct rest *r, const char *name,
		     const struct kit_package *package, struct publish *publish)
{
	return kit_publish(r->a, r->out, name, "1", package, publish);
}

static bool rest_has(const struct rest *r, const char *path)
{
	CLEANUP_FREE char *full = tmpdir_path(r->out, path);

	return access(full, F_OK) == 0;
}

/* Host B takes it over and reads all of it. */
static void rest_read(struct rest *r, const char *ref_text,
		      const struct kit_package *package, uint64_t *fetched)
{
	struct package_info info;
	struct package_ref ref;
	struct depot_stats before, after;
	struct tree *tree;

	CU_ASSERT_EQUAL_FATAL(package_ref_parse(ref_text, &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(r->b, &ref, &info), 0);
	CU_ASSERT(digest_equal(&info.revision, &package->revision));
	CU_ASSERT_EQUAL_FATAL(depot_tree_get(r->b, &info.tree, &tree), 0);
	depot_get_stats(r->b, &before);
	CU_ASSERT_EQUAL(kit_read_all(r->b, tree, 16),
			(int64_t)tree_content_len(tree));
	depot_get_stats(r->b, &after);
	*fetched = after.fetched_shards - before.fetched_shards;
	tree_put(tree);
}

static void test_publish(void)
{
	struct publish publish;
	struct rest r;
	char hex[DIGEST_HEX_LEN + 1], path[200];

	rest_open(&r);
	CU_ASSERT_EQUAL(rest_push(&r, "acme", &r.acme, &publish), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 1);
	/* Nothing of it lies where everybody looks. */
	CU_ASSERT(rest_has(&r, "private/acme/tags.json"));
	CU_ASSERT(rest_has(&r, "private/acme/packs"));
	CU_ASSERT(rest_has(&r, "private/acme/trees"));
	CU_ASSERT(rest_has(&r, "private/acme/revisions"));
	digest_to_hex(tree_digest(r.acme.tree), hex);
	snprintf(path, sizeof(path), "private/acme/index/%s-1", hex);
	CU_ASSERT(rest_has(&r, path));
	CU_ASSERT_FALSE(rest_has(&r, "tags"));
	CU_ASSERT_FALSE(rest_has(&r, "packs"));
	CU_ASSERT_FALSE(rest_has(&r, "trees"));
	CU_ASSERT_FALSE(rest_has(&r, "revisions"));
	CU_ASSERT_FALSE(rest_has(&r, "index"));
	CU_ASSERT_EQUAL(rest_push(&r, "acme", &r.acme, &publish), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 0);
	/* One salt: the same names, but a place, and guards, of its own. */
	CU_ASSERT_EQUAL(rest_push(&r, "acme2", &r.acme2, &publish), 0);
	CU_ASSERT_EQUAL(publish.shards_there, 0);
	CU_ASSERT_EQUAL(rest_push(&r, "shared", &r.shared, &publish), 0);
	CU_ASSERT_EQUAL(publish.shards_there, 0);
	check_mute();
	CU_ASSERT_EQUAL(
	    kit_publish(r.a, r.out, "acme", "2", &r.shared, &publish), -EEXIST);
	CU_ASSERT_EQUAL(
	    kit_publish(r.a, r.out, "shared", "2", &r.acme, &publish), -EEXIST);
	check_unmute();
	rest_close(&r);
}

/* The publisher's word goes with the package, and holds there. */
static void test_publish_entitled(void)
{
	struct package_entitled red;
	struct publish publish;
	struct publish_package row;
	struct package_info info;
	struct package_ref ref;
	CLEANUP_FREE char *url = NULL;
	struct rest r;

	rest_open(&r);
	CU_ASSERT_EQUAL(package_entitled_parse("red", &red), 0);
	CU_ASSERT_EQUAL(rest_push(&r, "acme", &r.acme, &publish), 0);
	row = (struct publish_package){.name = "acme",
				       .tag = "1",
				       .revision_json = r.acme.json,
				       .revision = r.acme.revision,
				       .tree = r.acme.tree,
				       .entitled = &red};
	CU_ASSERT_EQUAL(publish_dir(&publish, r.out, &row, 1), 0);
	url = kit_url(r.out);
	CU_ASSERT_EQUAL_FATAL(depot_upstream_add(r.b, "lab", url, true), 0);
	CU_ASSERT_EQUAL_FATAL(package_ref_parse("acme:1", &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(r.b, &ref, &info), 0);
	check_mute();
	CU_ASSERT_EQUAL(depot_package_permits(r.b, &info, "red"), 0);
	CU_ASSERT_EQUAL(depot_package_permits(r.b, &info, "blue"), -EACCES);
	check_unmute();
	/* A push that has nothing to say about it changes nothing. */
	CU_ASSERT_EQUAL(kit_publish(r.a, r.out, "acme", "2", &r.acme, &publish),
			0);
	CU_ASSERT_EQUAL_FATAL(package_ref_parse("acme:2", &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(r.b, &ref, &info), 0);
	check_mute();
	CU_ASSERT_EQUAL(depot_package_permits(r.b, &info, "blue"), -EACCES);
	check_unmute();
	package_entitled_clear(&red);
	rest_close(&r);
}

/* T-40: what is here already, for others, says nothing: each private package
 * costs its whole fetch, and so does everybody's. */
static void test_nothing_shared(void)
{
	CLEANUP_FREE char *url = NULL;
	uint64_t shared, acme, acme2;
	struct publish publish;
	struct rest r;

	rest_open(&r);
	CU_ASSERT_EQUAL(rest_push(&r, "shared", &r.shared, &publish), 0);
	CU_ASSERT_EQUAL(rest_push(&r, "acme", &r.acme, &publish), 0);
	CU_ASSERT_EQUAL(rest_push(&r, "acme2", &r.acme2, &publish), 0);
	url = kit_url(r.out);
	CU_ASSERT_EQUAL_FATAL(depot_upstream_add(r.b, "lab", url, true), 0);
	rest_read(&r, "shared:1", &r.shared, &shared);
	CU_ASSERT_EQUAL(shared, tree_shard_count(r.shared.tree));
	rest_read(&r, "acme:1", &r.acme, &acme);
	CU_ASSERT_EQUAL(acme, shared);
	/* Under one salt only what is new comes. */
	rest_read(&r, "acme2:1", &r.acme2, &acme2);
	CU_ASSERT_EQUAL(acme2, tree_shard_count(r.acme2.tree) - acme);
	rest_close(&r);
}

/* The route to it holds after a restart; a damaged copy heals by it. */
static void test_restart(void)
{
	CLEANUP_FREE char *url = NULL;
	struct registry_origin origin;
	struct publish publish;
	struct package_info info;
	struct package_ref ref;
	struct tree *tree;
	struct rest r;

	rest_open(&r);
	CU_ASSERT_EQUAL(rest_push(&r, "acme", &r.acme, &publish), 0);
	url = kit_url(r.out);
	CU_ASSERT_EQUAL_FATAL(depot_upstream_add(r.b, "lab", url, true), 0);
	CU_ASSERT_EQUAL_FATAL(package_ref_parse("acme:1", &ref), 0);
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(r.b, &ref, &info), 0);
	CU_ASSERT_EQUAL(
	    registry_origin_get(depot_state(r.b), &info.tree, &origin), 0);
	CU_ASSERT_STRING_EQUAL(origin.package, "acme");
	depot_close(r.b);
	r.b = kit_open(r.there);
	check_mute();
	CU_ASSERT_EQUAL_FATAL(depot_tree_fetch(r.b, &info.tree, &tree), 0);
	check_unmute();
	CU_ASSERT_EQUAL(kit_read_all(r.b, tree, 8),
			(int64_t)tree_content_len(tree));
	tree_put(tree);
	rest_close(&r);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"names", test_names},
	    {"proofs", test_proofs},
	    {"layout", test_layout},
	    {"origin_rows", test_origin_rows},
	    {"lists", test_lists},
	    {"permits", test_permits},
	    {"create", test_create},
	    {"publish", test_publish},
	    {"publish_entitled", test_publish_entitled},
	    {"nothing_shared", test_nothing_shared},
	    {"restart", test_restart},
	};

	return check_main("test_private", tests, ARRAY_LEN(tests));
}
