/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_peer: another host's depot through its peer port: a host that has all of
 * a package, one that has a half of it, private packages, hostile requests.
 */
#include <stdio.h>

#include "depot/document.h"
#include "depot/layout.h"
#include "depot/source.h"
#include "nfsd/peer.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

struct fixture {
	char *dir, *a_dir, *b_dir, *out; /* own */
	struct depot *a, *b;
	struct peer *peer; /* of a */
	char url[160];
	struct kit_package package;
};

static void fixture_peer(struct fixture *f, uint64_t rate)
{
	ASSERT(peer_start("127.0.0.1:0", rate, f->a, &f->peer) == 0);
	snprintf(f->url, sizeof(f->url), "vdrive://%s/",
		 peer_listen_text(f->peer));
}

static void fixture_start(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->a_dir = tmpdir_path(f->dir, "a");
	f->b_dir = tmpdir_path(f->dir, "b");
	f->out = tmpdir_path(f->dir, "out");
	f->a = kit_open(f->a_dir);
	f->b = kit_open(f->b_dir);
	kit_create(f->a, "hello", "1", 40, 1, &f->package);
	fixture_peer(f, 0);
}

static void fixture_end(struct fixture *f)
{
	peer_stop(f->peer);
	kit_package_clear(&f->package);
	depot_close(f->b);
	depot_close(f->a);
	tmpdir_cleanup(&f->dir);
	free(f->a_dir);
	free(f->b_dir);
	free(f->out);
}

static struct tree *test_resolve(struct depot *depot, const char *text)
{
	struct package_info info;
	struct package_ref ref;
	struct tree *tree;

	ASSERT(package_ref_parse(text, &ref) == 0);
	if (depot_package_resolve(depot, &ref, &info) < 0)
		return NULL;
	ASSERT(depot_tree_get(depot, &info.tree, &tree) == 0);
	return tree;
}

/* Made on a: b takes it over and reads all of it. */
static void test_made(void)
{
	struct fixture f;
	struct tree *tree;

	fixture_start(&f);
	CU_ASSERT_EQUAL(depot_upstream_add(f.b, "peer", f.url, true), 0);
	tree = test_resolve(f.b, "hello:1");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
	CU_ASSERT_TRUE(kit_read_all(f.b, tree, 16) > 0);
	for (uint32_t i = 0; i < tree_shard_count(tree); i++)
		CU_ASSERT_TRUE(depot_shard_here(f.b, tree_shard_name(tree, i)));
	tree_put(tree);
	fixture_end(&f);
}

/* --- a chain: published, taken over by a, read from a by b --------------- */

static void test_take_over(struct fixture *f)
{
	CLEANUP_FREE char *maker_dir = tmpdir_path(f->dir, "maker");
	CLEANUP_FREE char *url = kit_url(f->out);
	struct depot *maker = kit_open(maker_dir);
	struct publish publish;

	kit_package_clear(&f->package);
	kit_create(maker, "far", "2", 40, 7, &f->package);
	ASSERT(kit_publish(maker, f->out, "far", "2", &f->package, &publish) ==
	       0);
	depot_close(maker);
	ASSERT(depot_upstream_add(f->a, "lab", url, true) == 0);
}

static struct source *test_source(struct fixture *f)
{
	struct source *source;

	ASSERT(source_new(f->url, NULL, &source) == 0);
	return source;
}

/* What a has is given as it lies in the publisher's packs, and nothing else. */
static void test_half(void)
{
	struct source_fault fault;
	struct depot_read read = {.count = 8};
	struct fixture f;
	struct tree *tree;
	struct source *source;
	struct layout_path path;
	uint8_t *pack, byte[64];
	CLEANUP_FREE void *index = NULL;
	CLEANUP_FREE char *file = NULL;
	size_t len, pack_len;

	fixture_start(&f);
	test_take_over(&f);
	tree = test_resolve(f.a, "far:2");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
	for (uint32_t i = 0; i < read.count; i++) {
		read.piece[i].tree = tree;
		read.piece[i].shard = i;
	}
	ASSERT(depot_read_wait(f.a, &read) == 0);
	depot_read_release(f.a, &read);

	source = test_source(&f);
	path = layout_index(NULL, tree_digest(tree), 1);
	CU_ASSERT_EQUAL_FATAL(
	    source->ops->get(source, path.text, 1 << 20, &index, &len, &fault),
	    0);
	/* The first row, and the first pack's name behind the rows. */
	path = layout_pack(
	    NULL, (const struct digest *)((uint8_t *)index + 56 +
					  12 * (size_t)tree_shard_count(tree)));
	ASSERT(asprintf(&file, "%s/%s", f.out, path.text) > 0);
	kit_file_read(file, &pack, &pack_len);
	CU_ASSERT_EQUAL(
	    source->ops->range(source, path.text, 16, 64, byte, &fault), 0);
	CU_ASSERT_EQUAL(memcmp(byte, pack + 16, 64), 0);
	/* Its end is of a shard that is not here. */
	CU_ASSERT_EQUAL(source->ops->range(source, path.text, pack_len - 64, 64,
					   byte, &fault),
			-ENOENT);
	/* The head of a pack is no shard. */
	CU_ASSERT_EQUAL(
	    source->ops->range(source, path.text, 0, 64, byte, &fault),
	    -ENOENT);
	CU_ASSERT_EQUAL(
	    source->ops->range(source, path.text, pack_len, 64, byte, &fault),
	    -ENOENT);
	free(pack);
	source_free(source);
	tree_put(tree);
	fixture_end(&f);
}

/* What the publisher would have signed. */
static void test_sign(const char *dir, const struct sign_key *secret)
{
	CLEANUP_FREE char *root_path = tmpdir_path(dir, "depot.json");
	CLEANUP_FREE char *tags_path = tmpdir_path(dir, "tags/far.json");
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	CLEANUP_FREE char *json = NULL;
	CLEANUP_FREE char *json2 = NULL;
	CLEANUP_FREE uint8_t *text = NULL;
	CLEANUP_FREE uint8_t *text2 = NULL;
	size_t len;

	kit_file_read(root_path, &text, &len);
	ASSERT(root_doc_read((char *)text, len, &root) == 0);
	kit_file_read(tags_path, &text2, &len);
	ASSERT(tag_doc_read((char *)text2, len, &tags) == 0);
	memset(root.depot.bytes, 7, sizeof(root.depot.bytes));
	tags.depot = root.depot;
	root.packages[0].sequence = tags.sequence;
	ASSERT(root_doc_sign(&root, secret, &json) == 0);
	ASSERT(tag_doc_sign(&tags, secret, &json2) == 0);
	kit_file_write(root_path, json, strlen(json));
	kit_file_write(tags_path, json2, strlen(json2));
}

/* The signatures of an upstream of a hold for b, who reads from a alone. */
static void test_signed(void)
{
	CLEANUP_FREE char *out_url = NULL;
	CLEANUP_FREE char *gone = NULL;
	struct sign_key secret, public, other;
	struct upstream_spec spec = {.name = "lab", .key = &public};
	struct fixture f;
	struct tree *tree;
	char url[200];

	fixture_start(&f);
	test_take_over(&f);
	sign_secret_new(&secret);
	public = sign_public(&secret);
	test_sign(f.out, &secret);
	out_url = kit_url(f.out);
	spec.url = out_url;
	CU_ASSERT_EQUAL_FATAL(depot_upstream_set(f.a, &spec), 0);
	tree = test_resolve(f.a, "far:2");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
	CU_ASSERT_TRUE(kit_read_all(f.a, tree, 16) > 0);
	tree_put(tree);
	gone = tmpdir_path(f.dir, "gone");
	ASSERT(rename(f.out, gone) == 0);

	snprintf(url, sizeof(url), "%slab", f.url);
	spec.url = url;
	sign_secret_new(&secret);
	other = sign_public(&secret);
	spec.key = &other;
	check_mute();
	CU_ASSERT_TRUE(depot_upstream_set(f.b, &spec) < 0);
	check_unmute();
	spec.key = &public;
	CU_ASSERT_EQUAL(depot_upstream_set(f.b, &spec), 0);
	tree = test_resolve(f.b, "far:2");
	CU_ASSERT_PTR_NOT_NULL_FATAL(tree);
	CU_ASSERT_TRUE(kit_read_all(f.b, tree, 16) > 0);
	tree_put(tree);
	fixture_end(&f);
}

static void test_private(void)
{
	static const uint8_t salt[32] = {1, 2, 3};
	CLEANUP_FREE void *buf = NULL;
	struct source_fault fault;
	struct kit_package package;
	struct layout_path path;
	struct fixture f;
	struct source *source;
	size_t len;

	fixture_start(&f);
	kit_create_salted(f.a, "secret", "1", 4, 9, salt, &package);
	source = test_source(&f);
	CU_ASSERT_EQUAL(source->ops->get(source, "tags/secret.json", 1 << 20,
					 &buf, &len, &fault),
			-ENOENT);
	path = layout_tree(NULL, tree_digest(package.tree));
	CU_ASSERT_EQUAL(
	    source->ops->get(source, path.text, 1 << 20, &buf, &len, &fault),
	    -ENOENT);
	path = layout_revision(NULL, &package.revision);
	CU_ASSERT_EQUAL(
	    source->ops->get(source, path.text, 1 << 20, &buf, &len, &fault),
	    -ENOENT);
	path = layout_index(NULL, tree_digest(package.tree), 1);
	CU_ASSERT_EQUAL(
	    source->ops->get(source, path.text, 1 << 20, &buf, &len, &fault),
	    -ENOENT);
	CU_ASSERT_EQUAL_FATAL(
	    source->ops->get(source, "depot.json", 1 << 20, &buf, &len, &fault),
	    0);
	CU_ASSERT_PTR_NULL(strstr(buf, "secret"));
	CU_ASSERT_PTR_NOT_NULL(strstr(buf, "hello"));
	kit_package_clear(&package);
	source_free(source);
	fixture_end(&f);
}

static void test_names(void)
{
	static const char *const none[] = {
	    "",
	    "depot.json/",
	    "tags/.json",
	    "tags/none.json",
	    "index/x-1",
	    "trees/aa/bb",
	    "state/CURRENT",
	    "upstreams/",
	    "upstreams/x/depot.json",
	    "upstreams/x/upstreams/x/depot.json",
	    "upstreams/../depot.json/x",
	    "../a/state/CURRENT",
	    "packs/00/"
	    "00000000000000000000000000000000000000000000000000000000000000",
	};
	struct source_fault fault;
	struct fixture f;
	struct source *source;
	void *buf;
	size_t len;

	fixture_start(&f);
	source = test_source(&f);
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		CU_ASSERT_EQUAL(source->ops->get(source, none[i], 1 << 20, &buf,
						 &len, &fault),
				-ENOENT);
	source_free(source);
	fixture_end(&f);
}

static void test_rate(void)
{
	struct source_fault fault;
	struct fixture f;
	struct source *source;
	unsigned int refused = 0;
	size_t len;
	void *buf;
	int rc;

	fixture_start(&f);
	peer_stop(f.peer);
	fixture_peer(&f, 200);
	source = test_source(&f);
	for (int i = 0; i < 6; i++) {
		rc = source->ops->get(source, "depot.json", 1 << 20, &buf, &len,
				      &fault);
		if (rc == 0)
			free(buf);
		CU_ASSERT_TRUE(rc == 0 || rc == -EHOSTUNREACH);
		refused += rc == -EHOSTUNREACH && fault.retry_after_s == 1;
	}
	CU_ASSERT_TRUE(refused > 0 && refused < 6);
	source_free(source);
	fixture_end(&f);
}

static void test_range_text(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t off;
		size_t len;
	} cases[] = {
	    {"bytes=0-0", true, 0, 1},
	    {"bytes=10-19", true, 10, 10},
	    {"bytes=18446744073709551615-18446744073709551615", true,
	     UINT64_MAX, 1},
	    {"bytes=18446744073709551616-18446744073709551617", false, 0, 0},
	    {"bytes=5-4", false, 0, 0},
	    {"bytes=5-", false, 0, 0},
	    {"bytes=-5", false, 0, 0},
	    {"bytes=0-1,3-4", false, 0, 0},
	    {"bytes=0-16777215", true, 0, 1 << 24},
	    {"bytes=0-16777216", false, 0, 0},
	    {"lines=0-1", false, 0, 0},
	    {"", false, 0, 0},
	};
	uint64_t off;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CU_ASSERT_EQUAL(peer_range_parse(cases[i].text, &off, &len),
				cases[i].ok);
		if (!cases[i].ok)
			continue;
		CU_ASSERT_EQUAL(off, cases[i].off);
		CU_ASSERT_EQUAL(len, cases[i].len);
	}
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"a package that was made there", test_made},
	    {"half of one that was taken over there", test_half},
	    {"signatures are passed on", test_signed},
	    {"private packages", test_private},
	    {"names of nothing", test_names},
	    {"the rate", test_rate},
	    {"ranges", test_range_text},
	};

	return check_main("test_peer", tests, ARRAY_LEN(tests));
}
