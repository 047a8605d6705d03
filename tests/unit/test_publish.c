/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_publish: what lies in a published directory, and what a second push,
 * a push of something else, and a rival make of it.
 */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/document.h"
#include "depot/index.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/publish.h"
#include "tests/lib/publish_file.h"
#include "depot/shard.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

struct fixture {
	char *dir, *host, *out; /* owns */
	struct depot *depot;    /* owns */
};

static void fixture_open(struct fixture *f)
{
	f->dir = tmpdir_new();
	f->host = tmpdir_path(f->dir, "host");
	f->out = tmpdir_path(f->dir, "out");
	f->depot = kit_open(f->host);
}

static void fixture_close(struct fixture *f)
{
	depot_close(f->depot);
	tmpdir_remove(f->dir);
	free(f->host);
	free(f->out);
}

static unsigned int test_file_count, test_file_sum;

/* Names and times of all files: any write changes the sum. */
static int test_sum_visit(const char *path, const struct stat *st, int type,
			  struct FTW *ftw UNUSED)
{
	if (type == FTW_F) {
		test_file_count++;
		test_file_sum += (unsigned int)st->st_mtim.tv_nsec +
				 (unsigned int)st->st_ino +
				 (unsigned int)strlen(path);
	}
	CU_ASSERT_EQUAL(st->st_mode & 0777, type == FTW_F ? 0644 : 0755);
	return 0;
}

static unsigned int test_sum(const char *dir)
{
	test_file_count = test_file_sum = 0;
	ASSERT(nftw(dir, test_sum_visit, 8, FTW_PHYS) == 0);
	return test_file_sum;
}

static void test_read_tags(const char *dir, const char *name,
			   struct tag_doc *doc)
{
	struct layout_path path = layout_tags(NULL, name);
	CLEANUP_FREE void *text = NULL;
	size_t len;

	ASSERT(publish_file_read(dir, path.text, DOCUMENT_MAX, &text, &len) ==
	       0);
	ASSERT(tag_doc_read(text, len, doc) == 0);
}

static uint64_t test_generation(const char *dir)
{
	CLEANUP(root_doc_clear) struct root_doc doc = {0};
	CLEANUP_FREE void *text = NULL;
	size_t len;

	ASSERT(publish_file_read(dir, LAYOUT_ROOT, DOCUMENT_MAX, &text, &len) ==
	       0);
	ASSERT(root_doc_read(text, len, &doc) == 0);
	return doc.generation;
}

/* Every shard of the tree lies where the index says, in a pack of the right
 * name and header. */
static void test_check_index(const char *dir, const struct tree *tree,
			     uint32_t number)
{
	struct layout_path path = layout_index(NULL, tree_digest(tree), number);
	CLEANUP_FREE void *bytes = NULL;
	CLEANUP_FREE uint8_t *chunk = malloc(SHARD_CHUNK_MAX);
	struct index *index;
	size_t len;

	ASSERT(chunk);
	ASSERT(publish_file_read(dir, path.text, INDEX_FILE_MAX, &bytes,
				 &len) == 0);
	ASSERT(index_open(bytes, len, tree_digest(tree), tree_shard_count(tree),
			  &index) == 0);
	for (uint32_t i = 0; i < tree_shard_count(tree); i++) {
		CLEANUP_FREE void *pack = NULL;
		struct index_place place;
		struct digest name;
		size_t chunk_len;

		index_place(index, i, &place);
		path = layout_pack(NULL, &place.pack);
		ASSERT(publish_file_read(dir, path.text, PUBLISH_PACK_MAX,
					 &pack, &len) == 0);
		name = digest_of(pack, len);
		CU_ASSERT(digest_equal(&name, &place.pack));
		CU_ASSERT_EQUAL(memcmp(pack, "VDpack\r\n", 8), 0);
		CU_ASSERT_FATAL(place.off + place.len <= len);
		CU_ASSERT_EQUAL(shard_open(NULL, tree_shard_name(tree, i),
					   (uint8_t *)pack + place.off,
					   place.len, chunk, SHARD_CHUNK_MAX,
					   &chunk_len),
				0);
	}
	index_put(index);
}

static void test_first(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	struct layout_path path;
	struct publish publish;
	uint64_t len;

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 20, 1, &package);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 1);
	CU_ASSERT_EQUAL(publish.revisions_new, 1);
	CU_ASSERT_EQUAL(publish.shards_new, tree_shard_count(package.tree));
	CU_ASSERT_EQUAL(publish.shards_there, 0);
	CU_ASSERT(publish.pack_bytes_new > 0);
	test_check_index(f.out, package.tree, 1);
	path = layout_revision(NULL, &package.revision);
	CU_ASSERT_EQUAL(publish_file_len(f.out, path.text, &len), 0);
	CU_ASSERT_EQUAL(len, strlen(package.json));
	path = layout_tree(NULL, tree_digest(package.tree));
	CU_ASSERT_EQUAL(publish_file_len(f.out, path.text, &len), 0);
	test_read_tags(f.out, "hello", &tags);
	CU_ASSERT_EQUAL(tags.sequence, 1);
	CU_ASSERT_EQUAL_FATAL(tags.count, 1);
	CU_ASSERT_EQUAL(tags.rows[0].index, 1);
	CU_ASSERT(digest_equal(&tags.rows[0].revision, &package.revision));
	CU_ASSERT_FALSE(tags.rows[0].has_previous);
	CU_ASSERT_EQUAL(test_generation(f.out), 1);
}

static void test_second_writes_nothing(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	struct publish publish;
	unsigned int sum;

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 20, 1, &package);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	sum = test_sum(f.out);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 0);
	CU_ASSERT_EQUAL(publish.shards_new, 0);
	CU_ASSERT_EQUAL(publish.revisions_new, 0);
	CU_ASSERT_EQUAL(publish.shards_there, tree_shard_count(package.tree));
	CU_ASSERT_EQUAL(test_sum(f.out), sum);
}

/* A new version that shares files packs only what is new, and its index names
 * the old pack, too. */
static void test_upgrade(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package one = {0}, two = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	struct publish publish;

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 10, 1, &one);
	kit_create(f.depot, "hello", "2", 14, 1, &two);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &one, &publish), 0);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "2", &two, &publish), 0);
	CU_ASSERT_EQUAL(publish.shards_there, tree_shard_count(one.tree));
	CU_ASSERT_EQUAL(publish.shards_new, tree_shard_count(two.tree) -
						tree_shard_count(one.tree));
	test_check_index(f.out, one.tree, 1);
	test_check_index(f.out, two.tree, 1);
	test_read_tags(f.out, "hello", &tags);
	CU_ASSERT_EQUAL(tags.sequence, 2);
	CU_ASSERT_EQUAL(tags.count, 2);
	CU_ASSERT_EQUAL(test_generation(f.out), 2);
	tag_doc_clear(&tags);
	/* A tag that moves remembers what it named. */
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &two, &publish), 0);
	test_read_tags(f.out, "hello", &tags);
	CU_ASSERT_EQUAL(tags.sequence, 3);
	CU_ASSERT(tags.rows[0].has_previous);
	CU_ASSERT(digest_equal(&tags.rows[0].previous, &one.revision));
}

/* A pack that is gone or cut is made again, and a new index says where. */
static void test_lost_pack(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	CLEANUP_FREE char *packs = NULL;
	struct publish publish;
	char command[600];

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 10, 1, &package);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	packs = tmpdir_path(f.out, "packs");
	snprintf(command, sizeof(command), "truncate -s 40000 %s/*/*", packs);
	ASSERT(system(command) == 0);
	check_mute();
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 1);
	CU_ASSERT(publish.shards_there > 0);
	snprintf(command, sizeof(command), "rm -r %s", packs);
	ASSERT(system(command) == 0);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	check_unmute();
	test_read_tags(f.out, "hello", &tags);
	CU_ASSERT(tags.rows[0].index > 1);
	test_check_index(f.out, package.tree, tags.rows[0].index);
}

struct rival {
	struct depot *depot;
	const char *dir;
	unsigned int moves, calls;
};

/* Publishes in the middle of ours: moves the generation. */
static int rival_get_shard(void *ctx, struct tree *tree, uint32_t shard,
			   void **bytes, size_t *len)
{
	struct rival *rival = ctx;
	char json[100];

	if (rival->calls++ % 5 == 0 && rival->moves > 0) {
		rival->moves--;
		snprintf(json, sizeof(json),
			 "{\"format\":1,\"generation\":%u,"
			 "\"packages\":[\"rival\"]}",
			 1000 - rival->moves);
		ASSERT(publish_file_write(rival->dir, LAYOUT_ROOT, json,
					  strlen(json)) == 0);
	}
	return depot_tree_shard_get(rival->depot, tree, shard, bytes, len);
}

static void test_rival(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	struct rival rival = {.moves = 1};
	struct publish publish;
	struct publish_package row;
	CLEANUP_FREE void *text = NULL;
	size_t len;

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 10, 1, &package);
	row = (struct publish_package){.name = "hello",
				       .tag = "1",
				       .revision_json = package.json,
				       .revision = package.revision,
				       .tree = package.tree};
	rival.depot = f.depot;
	rival.dir = f.out;
	publish = (struct publish){
	    .level = 6, .get_shard = rival_get_shard, .ctx = &rival};
	check_mute();
	CU_ASSERT_EQUAL_FATAL(publish_dir(&publish, f.out, &row, 1), 0);
	check_unmute();
	CU_ASSERT_EQUAL(test_generation(f.out), 1001);
	ASSERT(publish_file_read(f.out, LAYOUT_ROOT, DOCUMENT_MAX, &text,
				 &len) == 0);
	ASSERT(root_doc_read(text, len, &root) == 0);
	CU_ASSERT_EQUAL(root.count, 2);
	test_check_index(f.out, package.tree, 1);
	test_read_tags(f.out, "hello", &tags);
	CU_ASSERT_EQUAL(tags.sequence, 1);
}

static void test_several(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package a = {0}, b = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	struct publish_package rows[3];
	struct rival rival = {.moves = 0};
	struct publish publish;

	fixture_open(&f);
	kit_create(f.depot, "a", "1", 5, 1, &a);
	kit_create(f.depot, "b", "1", 5, 2, &b);
	rows[0] = (struct publish_package){.name = "a",
					   .tag = "1",
					   .revision_json = a.json,
					   .revision = a.revision,
					   .tree = a.tree};
	rows[1] = (struct publish_package){.name = "b",
					   .tag = "1",
					   .revision_json = b.json,
					   .revision = b.revision,
					   .tree = b.tree};
	rows[2] = (struct publish_package){.name = "a",
					   .tag = "stable",
					   .revision_json = a.json,
					   .revision = a.revision,
					   .tree = a.tree};
	rival.depot = f.depot;
	publish = (struct publish){
	    .level = 6, .get_shard = rival_get_shard, .ctx = &rival};
	CU_ASSERT_EQUAL_FATAL(publish_dir(&publish, f.out, rows, 3), 0);
	CU_ASSERT_EQUAL(publish.packs_new, 2);
	CU_ASSERT_EQUAL(publish.revisions_new, 2);
	test_read_tags(f.out, "a", &tags);
	CU_ASSERT_EQUAL(tags.sequence, 1);
	CU_ASSERT_EQUAL_FATAL(tags.count, 2);
	CU_ASSERT_STRING_EQUAL(tags.rows[1].tag, "stable");
	CU_ASSERT(digest_equal(&tags.rows[1].revision, &a.revision));
	CU_ASSERT_EQUAL(test_generation(f.out), 1);
}

/* Damaged and newer documents are named, and nothing is written. */
static void test_damaged(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP(kit_package_clear) struct kit_package package = {0};
	static const struct {
		const char *path;
		const char *text;
		int rc;
	} cases[] = {
	    {"depot.json", "{\"format\":9}", -EPROTONOSUPPORT},
	    {"depot.json", "rubbish", -EBADMSG},
	    {"tags/hello.json", "{\"format\":9}", -EPROTONOSUPPORT},
	    {"tags/hello.json", "{\"format\":1}", -EBADMSG},
	};
	struct publish publish;

	fixture_open(&f);
	kit_create(f.depot, "hello", "1", 3, 1, &package);
	CU_ASSERT_EQUAL_FATAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_FREE void *old = NULL;
		size_t len;

		ASSERT(publish_file_read(f.out, cases[i].path, DOCUMENT_MAX,
					 &old, &len) == 0);
		ASSERT(publish_file_write(f.out, cases[i].path, cases[i].text,
					  strlen(cases[i].text)) == 0);
		CU_ASSERT_EQUAL(kit_publish(f.depot, f.out, "hello", "1",
					    &package, &publish),
				cases[i].rc);
		CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), cases[i].path));
		ASSERT(publish_file_write(f.out, cases[i].path, old, len) == 0);
	}
	check_unmute();
	CU_ASSERT_EQUAL(
	    kit_publish(f.depot, f.out, "hello", "1", &package, &publish), 0);
}

static void test_index_refused(void)
{
	struct digest tree = digest_of("t", 1), pack = digest_of("p", 1);
	struct index_place places[2] = {
	    {.pack = pack, .off = 16, .len = 9},
	    {.pack = pack, .off = 25, .len = SHARD_MAX}};
	CLEANUP_FREE void *bytes = NULL;
	struct index *index;
	uint8_t *p;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(index_write(&tree, places, 2, &bytes, &len), 0);
	p = bytes;
	CU_ASSERT_EQUAL_FATAL(index_open(bytes, len, &tree, 2, &index), 0);
	CU_ASSERT_EQUAL(index_pack_count(index), 1);
	index_put(index);
	check_mute();
	CU_ASSERT_EQUAL(index_open(bytes, len, &pack, 2, &index), -EBADMSG);
	CU_ASSERT_EQUAL(index_open(bytes, len, &tree, 3, &index), -EBADMSG);
	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_EQUAL(index_open(bytes, cut, &tree, 2, &index),
				-EBADMSG);
	p[56] = 1; /* no such pack */
	CU_ASSERT_EQUAL(index_open(bytes, len, &tree, 2, &index), -EBADMSG);
	p[56] = 0;
	p[60] = 15; /* inside the pack's header */
	CU_ASSERT_EQUAL(index_open(bytes, len, &tree, 2, &index), -EBADMSG);
	p[60] = 16;
	p[64] = 8; /* a header without payload */
	CU_ASSERT_EQUAL(index_open(bytes, len, &tree, 2, &index), -EBADMSG);
	p[64] = 9;
	p[8] = 2;
	CU_ASSERT_EQUAL(index_open(bytes, len, &tree, 2, &index),
			-EPROTONOSUPPORT);
	check_unmute();
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"a first push", test_first},
	    {"a second push writes nothing", test_second_writes_nothing},
	    {"an upgrade packs only what is new", test_upgrade},
	    {"lost and cut packs", test_lost_pack},
	    {"a rival", test_rival},
	    {"several packages and tags", test_several},
	    {"damaged documents", test_damaged},
	    {"index: refused", test_index_refused},
	};

	return check_main("test_publish", tests, ARRAY_LEN(tests));
}
