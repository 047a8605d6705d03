/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_depot: two hosts.  The maker creates and publishes; the host adds the
 * directory as an upstream, resolves, and reads.  Then everything that lies
 * between them is damaged in turn: a clear error, no wrong byte, nothing kept.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/depot.h"
#include "depot/index.h"
#include "depot/io.h"
#include "depot/kv.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

struct fixture {
	char *dir, *maker_dir, *host_dir, *out; /* owns */
	struct kit_package package;
	struct depot *maker, *host; /* owns */
};

static void fixture_open(struct fixture *f, unsigned int files)
{
	CLEANUP_FREE char *url = NULL;
	struct publish publish;

	f->dir = tmpdir_new();
	f->maker_dir = tmpdir_path(f->dir, "maker");
	f->host_dir = tmpdir_path(f->dir, "host");
	f->out = tmpdir_path(f->dir, "out");
	f->maker = kit_open(f->maker_dir);
	kit_create(f->maker, "hello", "1", files, 1, &f->package);
	ASSERT(kit_publish(f->maker, f->out, "hello", "1", &f->package,
			   &publish) == 0);
	f->host = kit_open(f->host_dir);
	url = kit_url(f->out);
	ASSERT(depot_upstream_add(f->host, "lab", url, true) == 0);
}

static void fixture_close(struct fixture *f)
{
	depot_close(f->maker);
	depot_close(f->host);
	kit_package_clear(&f->package);
	tmpdir_remove(f->dir);
	free(f->maker_dir);
	free(f->host_dir);
	free(f->out);
}

static int test_resolve(struct fixture *f, const char *text,
			struct package_info *info)
{
	struct package_ref ref;

	ASSERT(package_ref_parse(text, &ref) == 0);
	return depot_package_resolve(f->host, &ref, info);
}

static struct tree *test_tree(struct fixture *f)
{
	struct package_info info;
	struct tree *tree;

	ASSERT(test_resolve(f, "hello:1", &info) == 0);
	ASSERT(depot_tree_get(f->host, &info.tree, &tree) == 0);
	return tree;
}

/* Path of the only pack. */
static char *test_pack(struct fixture *f)
{
	struct layout_path index =
	    layout_index(NULL, tree_digest(f->package.tree), 1);
	CLEANUP_FREE char *path = tmpdir_path(f->out, index.text);
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct layout_path pack;
	struct index *x;
	size_t len;

	kit_file_read(path, &bytes, &len);
	ASSERT(index_open(bytes, len, NULL, 0, &x) == 0);
	pack = layout_pack(NULL, index_pack_name(x, 0));
	index_put(x);
	return tmpdir_path(f->out, pack.text);
}

/* --- the good way -------------------------------------------------------- */

static void test_cold_warm_hot(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct depot_stats stats;
	struct package_info info;
	struct tree *tree;
	uint64_t fetched;
	int64_t len;

	fixture_open(&f, 30);
	CU_ASSERT_EQUAL_FATAL(test_resolve(&f, "hello:1", &info), 0);
	CU_ASSERT_STRING_EQUAL(info.upstream, "lab");
	CU_ASSERT(info.tree_here);
	tree = test_tree(&f);
	len = kit_read_all(f.host, tree, 16);
	CU_ASSERT(len > 1000000);
	depot_get_stats(f.host, &stats);
	CU_ASSERT_EQUAL(stats.reads_cold, tree_shard_count(tree));
	CU_ASSERT_EQUAL(stats.reads_warm, 0);
	CU_ASSERT_EQUAL(stats.fetched_shards, tree_shard_count(tree));
	fetched = stats.fetched_bytes;
	/* All fits into the cache. */
	CU_ASSERT_EQUAL(kit_read_all(f.host, tree, 5), len);
	depot_get_stats(f.host, &stats);
	CU_ASSERT_EQUAL(stats.reads_hot, tree_shard_count(tree));
	CU_ASSERT_EQUAL(stats.fetched_bytes, fetched);
	tree_put(tree);

	/* After a restart it is warm, and needs no upstream. */
	depot_close(f.host);
	f.host = kit_open(f.host_dir);
	ASSERT(depot_upstream_remove(f.host, "lab") == 0);
	tree = test_tree(&f);
	CU_ASSERT_EQUAL(kit_read_all(f.host, tree, DEPOT_READ_MAX), len);
	depot_get_stats(f.host, &stats);
	CU_ASSERT_EQUAL(stats.reads_warm, tree_shard_count(tree));
	CU_ASSERT_EQUAL(stats.reads_cold, 0);
	CU_ASSERT_EQUAL(stats.fetched_bytes, 0);
	tree_put(tree);
}

static void test_by_digest(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct package_ref ref = {.name = "hello", .by_digest = true};
	struct package_info info;

	fixture_open(&f, 3);
	ref.revision = f.package.revision;
	CU_ASSERT_EQUAL_FATAL(depot_package_resolve(f.host, &ref, &info), 0);
	CU_ASSERT(digest_equal(&info.tree, tree_digest(f.package.tree)));
	CU_ASSERT_STRING_EQUAL(info.upstream, "lab");
	check_mute();
	ref.revision.bytes[3] ^= 1;
	CU_ASSERT_EQUAL(depot_package_resolve(f.host, &ref, &info), -ENOENT);
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:2", &info), -ENOENT);
	CU_ASSERT_EQUAL(test_resolve(&f, "nobody:1", &info), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "nobody:1"));
	check_unmute();
}

/* What is known needs no network, and stays after a restart. */
static void test_local_first(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *away = NULL;
	struct package_info info;

	fixture_open(&f, 3);
	away = tmpdir_path(f.dir, "away");
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
	ASSERT(rename(f.out, away) == 0);
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
	depot_close(f.host);
	f.host = kit_open(f.host_dir);
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
	check_mute();
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:2", &info), -EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "upstream lab: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "3 tries in "));
	check_unmute();
}

static int test_list_visit(void *ctx, const struct upstream_info *info)
{
	struct upstream_info *out = ctx;

	out[strcmp(info->name, "lab") == 0] = *info;
	return 0;
}

static void test_upstreams(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *url = NULL;
	struct upstream_info info[2];
	struct package_info package;

	fixture_open(&f, 3);
	memset(info, 0, sizeof(info));
	url = kit_url(f.maker_dir);
	check_mute();
	CU_ASSERT_EQUAL(
	    depot_upstream_add(f.host, "x", "dir:/none/at/all", true),
	    -EHOSTUNREACH);
	/* A directory, but no depot. */
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", url, true), -EBADMSG);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", "ftp://x/", true),
			-EINVAL);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "X", url, true), -EINVAL);
	free(STEAL(url));
	url = kit_url(f.out);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", url, false), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "is not signed"));
	CU_ASSERT_EQUAL(depot_upstream_remove(f.host, "x"), -ENOENT);
	check_unmute();
	CU_ASSERT_EQUAL(depot_upstream_list(f.host, test_list_visit, info), 0);
	CU_ASSERT_STRING_EQUAL(info[1].name, "lab");
	CU_ASSERT(info[1].is_unsigned);
	CU_ASSERT(info[1].up);
	CU_ASSERT_STRING_EQUAL(info[0].name, "");
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &package), 0);
}

/* An upstream without the package, before the one that has it. */
static void test_two_upstreams(void)
{
	CLEANUP(fixture_close) struct fixture f;
	static const char json[] =
	    "{\"format\":1,\"generation\":1,\"packages\":[]}";
	CLEANUP_FREE char *other = NULL;
	CLEANUP_FREE char *root = NULL;
	CLEANUP_FREE char *tags = NULL;
	CLEANUP_FREE char *url = NULL;
	struct package_info info;

	fixture_open(&f, 3);
	other = tmpdir_path(f.dir, "other");
	root = tmpdir_path(other, LAYOUT_ROOT);
	tags = tmpdir_path(other, "tags");
	url = kit_url(other);
	ASSERT(io_mkdirs(tags) == 0);
	kit_file_write(root, json, strlen(json));
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "aaa", url, true), 0);
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
	CU_ASSERT_STRING_EQUAL(info.upstream, "lab");
}

/* --- damage on the way --------------------------------------------------- */

enum test_damage {
	TEST_DAMAGE_CUT,
	TEST_DAMAGE_FLIP_HEAD,
	TEST_DAMAGE_FLIP_MIDDLE,
	TEST_DAMAGE_FLIP_END,
	TEST_DAMAGE_EMPTY,
	TEST_DAMAGE_HTML,
	TEST_DAMAGE_COUNT,
};

static void test_damage(const char *path, enum test_damage how)
{
	static const char html[] = "<html><body>not here</body></html>";
	uint8_t *bytes;
	size_t len;

	kit_file_read(path, &bytes, &len);
	free(bytes);
	switch (how) {
	case TEST_DAMAGE_CUT:
		kit_file_cut(path, len - len / 3);
		break;
	case TEST_DAMAGE_FLIP_HEAD:
		kit_file_flip(path, 2);
		break;
	case TEST_DAMAGE_FLIP_MIDDLE:
		kit_file_flip(path, len / 2);
		break;
	case TEST_DAMAGE_FLIP_END:
		kit_file_flip(path, len - 1);
		break;
	case TEST_DAMAGE_EMPTY:
		kit_file_write(path, "", 0);
		break;
	default:
		kit_file_write(path, html, strlen(html));
	}
}

static bool test_is_known(struct fixture *f)
{
	struct package_info info;
	struct package_ref ref;

	ASSERT(package_ref_parse("hello:1", &ref) == 0);
	return depot_package_get(f->host, &ref, &info) == 0;
}

/* A document or a tree that is damaged refuses the take-over as a whole, and
 * names the file; healed, it goes through.  `may_pass`: a flipped bit of an
 * index may give another legal hint, and of a tag document another name. */
static void test_damage_object(struct fixture *f, const char *object,
			       bool may_pass)
{
	CLEANUP_FREE char *path = tmpdir_path(f->out, object);
	CLEANUP_FREE uint8_t *good = NULL;
	struct package_info info;
	size_t len;

	kit_file_read(path, &good, &len);
	for (int how = 0; how < TEST_DAMAGE_COUNT; how++) {
		int rc;

		test_damage(path, how);
		rc = test_resolve(f, "hello:1", &info);
		if (rc == 0 && may_pass)
			goto passed;
		CU_ASSERT(rc == -EBADMSG || rc == -ENOENT ||
			  rc == -EPROTONOSUPPORT);
		CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), object));
		CU_ASSERT_FALSE(test_is_known(f));
		kit_file_write(path, good, len);
	}
	/* Gone, though a document names it. */
	ASSERT(unlink(path) == 0);
	CU_ASSERT(test_resolve(f, "hello:1", &info) < 0);
	CU_ASSERT_FALSE(test_is_known(f));
passed:
	kit_file_write(path, good, len);
}

static void test_damaged_objects(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct package_info info;

	fixture_open(&f, 10);
	check_mute();
	test_damage_object(&f, layout_revision(NULL, &f.package.revision).text,
			   false);
	test_damage_object(
	    &f, layout_tree(NULL, tree_digest(f.package.tree)).text, false);
	test_damage_object(
	    &f, layout_index(NULL, tree_digest(f.package.tree), 1).text, true);
	check_unmute();
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
}

static void test_damaged_tags(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE uint8_t *good = NULL;
	struct package_info info;
	size_t len;

	fixture_open(&f, 3);
	path = tmpdir_path(f.out, layout_tags(NULL, "hello").text);
	kit_file_read(path, &good, &len);
	check_mute();
	/* Every byte in turn: refused, or the same revision. */
	for (size_t i = 0; i < len; i += 3) {
		int rc;

		kit_file_flip(path, i);
		rc = test_resolve(&f, "hello:1", &info);
		kit_file_write(path, good, len);
		CU_ASSERT(rc < 0 ||
			  digest_equal(&info.revision, &f.package.revision));
		if (rc < 0)
			CU_ASSERT_FALSE(test_is_known(&f));
		if (rc == 0)
			break;
	}
	check_unmute();
	CU_ASSERT_EQUAL(test_resolve(&f, "hello:1", &info), 0);
}

static void test_damaged_root(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE char *url = NULL;

	fixture_open(&f, 3);
	path = tmpdir_path(f.out, LAYOUT_ROOT);
	url = kit_url(f.out);
	check_mute();
	test_damage(path, TEST_DAMAGE_CUT);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", url, true), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "upstream x"));
	test_damage(path, TEST_DAMAGE_HTML);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", url, true), -EBADMSG);
	kit_file_write(path, "{\"format\":3}", 12);
	CU_ASSERT_EQUAL(depot_upstream_add(f.host, "x", url, true),
			-EPROTONOSUPPORT);
	check_unmute();
}

/* One read under way, with which the test does as it likes. */
struct test_read {
	struct depot_read read;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
	int rc;
};

static void test_read_done(struct depot_read *read, int rc)
{
	struct test_read *test = container_of(read, struct test_read, read);

	pthread_mutex_lock(&test->lock);
	test->done = true;
	test->rc = rc;
	pthread_cond_signal(&test->wake);
	pthread_mutex_unlock(&test->lock);
}

static int test_read_start(struct depot *depot, struct test_read *test,
			   struct tree *tree, uint32_t first,
			   unsigned int count)
{
	memset(test, 0, sizeof(*test));
	pthread_mutex_init(&test->lock, NULL);
	pthread_cond_init(&test->wake, NULL);
	test->read.count = count;
	test->read.done = test_read_done;
	for (unsigned int i = 0; i < count; i++) {
		test->read.piece[i].tree = tree;
		test->read.piece[i].shard =
		    (first + i) % tree_shard_count(tree);
	}
	return depot_read_start(depot, &test->read);
}

/* rc: of test_read_start.  Chunks that land before it returns make it 0, and
 * then there is no done(). */
static int test_read_wait(struct test_read *test, int rc)
{
	if (rc != -EINPROGRESS)
		return rc;
	pthread_mutex_lock(&test->lock);
	while (!test->done)
		pthread_cond_wait(&test->wake, &test->lock);
	pthread_mutex_unlock(&test->lock);
	return test->rc;
}

/* All shards cold again. */
static void test_forget_shards(struct fixture *f)
{
	char command[300];

	depot_close(f->host);
	snprintf(command, sizeof(command), "rm -r %s/shards", f->host_dir);
	ASSERT(system(command) == 0);
	f->host = kit_open(f->host_dir);
}

/* The pack is damaged, and read while it is; then it is healed.  Returns how
 * many shards were refused. */
static uint64_t test_damaged_pack(struct fixture *f, const char *path,
				  const uint8_t *good, size_t len)
{
	struct depot_stats stats;
	struct test_read test;
	struct tree *tree;
	int rc;

	test_forget_shards(f);
	tree = test_tree(f);
	rc = test_read_start(f->host, &test, tree, 0,
			     MIN(tree_shard_count(tree), DEPOT_READ_MAX));
	usleep(50000);
	kit_file_write(path, good, len);
	CU_ASSERT_EQUAL(test_read_wait(&test, rc), 0);
	depot_read_release(f->host, &test.read);
	CU_ASSERT(kit_read_all(f->host, tree, 30) > 0);
	depot_get_stats(f->host, &stats);
	CU_ASSERT_EQUAL(stats.verify_failures_store, 0);
	tree_put(tree);

	/* What was kept is right: all of it proves at the next load. */
	depot_close(f->host);
	f->host = kit_open(f->host_dir);
	tree = test_tree(f);
	CU_ASSERT(kit_read_all(f->host, tree, 30) > 0);
	tree_put(tree);
	return stats.verify_failures_upstream;
}

/* The read waits, shows nothing, keeps nothing; healed, it goes through by
 * itself. */
static void test_damaged_packs(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FREE uint8_t *foreign = NULL;
	CLEANUP_FREE uint8_t *good = NULL;
	uint64_t refused;
	size_t len;

	fixture_open(&f, 16);
	ASSERT(tree_shard_count(f.package.tree) <= DEPOT_READ_MAX);
	path = test_pack(&f);
	kit_file_read(path, &good, &len);
	check_mute();
	for (int how = 0; how < TEST_DAMAGE_COUNT; how++) {
		test_damage(path, how);
		refused = test_damaged_pack(&f, path, good, len);
		if (how == TEST_DAMAGE_FLIP_MIDDLE ||
		    how == TEST_DAMAGE_FLIP_END)
			CU_ASSERT(refused > 0);
	}
	/* A foreign pack: right shards at wrong places. */
	foreign = malloc(len);
	ASSERT(foreign);
	memcpy(foreign, good + 512, len - 512);
	memcpy(foreign + len - 512, good, 512);
	kit_file_write(path, foreign, len);
	refused = test_damaged_pack(&f, path, good, len);
	check_unmute();
	CU_ASSERT(refused > 0);
}

/* Down: the read waits; it succeeds when the upstream is back. */
static void test_down_and_back(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *away = NULL;
	struct depot_stats stats;
	struct test_read test;
	struct tree *tree;

	fixture_open(&f, 10);
	away = tmpdir_path(f.dir, "away");
	tree = test_tree(&f);
	check_mute();
	ASSERT(rename(f.out, away) == 0);
	CU_ASSERT_EQUAL(test_read_start(f.host, &test, tree, 0, 8),
			-EINPROGRESS);
	usleep(300000);
	CU_ASSERT_FALSE(__atomic_load_n(&test.done, __ATOMIC_ACQUIRE));
	depot_get_stats(f.host, &stats);
	CU_ASSERT(stats.fetch_waiting > 0);
	CU_ASSERT(stats.fetch_errors > 0);
	ASSERT(rename(away, f.out) == 0);
	CU_ASSERT_EQUAL(test_read_wait(&test, -EINPROGRESS), 0);
	depot_read_release(f.host, &test.read);
	check_unmute();
	tree_put(tree);
}

/* --- the store's own damage ---------------------------------------------- */

/* Rot, a swap of two names, nothing at all: fetched again. */
static void test_local_damage(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *shards = NULL;
	struct depot_stats stats;
	struct kv_value value;
	struct tree *tree;
	struct kv *kv;
	int64_t len;

	fixture_open(&f, 10);
	tree = test_tree(&f);
	len = kit_read_all(f.host, tree, 30);
	CU_ASSERT(len > 0);
	depot_close(f.host);
	shards = tmpdir_path(f.host_dir, "shards");
	ASSERT(kv_open(shards, KV_SHARDS, 8 << 20, &kv) == 0);
	ASSERT(kv_get(kv, tree_shard_name(tree, 1)->bytes, 32, &value) == 0);
	ASSERT(kv_put(kv, tree_shard_name(tree, 0)->bytes, 32, value.data,
		      value.len) == 0);
	ASSERT(kv_put(kv, tree_shard_name(tree, 2)->bytes, 32, value.data,
		      value.len - 1) == 0);
	ASSERT(kv_put(kv, tree_shard_name(tree, 3)->bytes, 32, "", 0) == 0);
	ASSERT(kv_delete(kv, tree_shard_name(tree, 4)->bytes, 32) == 0);
	kv_value_release(&value);
	ASSERT(kv_flush(kv) == 0);
	kv_close(kv);

	check_mute();
	f.host = kit_open(f.host_dir);
	CU_ASSERT_EQUAL(kit_read_all(f.host, tree, 30), len);
	check_unmute();
	depot_get_stats(f.host, &stats);
	CU_ASSERT_EQUAL(stats.verify_failures_store, 3);
	CU_ASSERT_EQUAL(stats.fetched_shards, 4);
	CU_ASSERT_EQUAL(stats.verify_failures_upstream, 0);
	tree_put(tree);
}

/* Nowhere to fetch it from: an error, at once. */
static void test_local_damage_alone(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *shards = NULL;
	struct tree *tree;
	struct kv *kv;

	fixture_open(&f, 5);
	depot_close(f.maker);
	shards = tmpdir_path(f.maker_dir, "shards");
	tree = f.package.tree;
	ASSERT(kv_open(shards, KV_SHARDS, 8 << 20, &kv) == 0);
	ASSERT(kv_put(kv, tree_shard_name(tree, 0)->bytes, 32, "rot", 3) == 0);
	ASSERT(kv_flush(kv) == 0);
	kv_close(kv);
	f.maker = kit_open(f.maker_dir);
	check_mute();
	CU_ASSERT_EQUAL(kit_read_all(f.maker, tree, 1), -EIO);
	check_unmute();
}

static void test_newer_store(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *state = tmpdir_path(dir, "state");
	struct depot_options options = {.memory_max = KIT_MEMORY};
	uint8_t number[4];
	struct depot *depot;
	struct kv *kv;

	depot_close(kit_open(dir));
	ASSERT(kv_open(state, KV_STATE, 8 << 20, &kv) == 0);
	le32_put(number, 7);
	ASSERT(kv_put(kv, "format", 6, number, 4) == 0);
	kv_close(kv);
	check_mute();
	CU_ASSERT_EQUAL(depot_open(dir, &options, &depot), -EPROTONOSUPPORT);
	check_unmute();
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "newer vdrive"));
}

/* --- reads, many at once ------------------------------------------------- */

static void test_same_chunk_twice(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct test_read test;
	struct tree *tree;
	int rc;

	fixture_open(&f, 5);
	tree = test_tree(&f);
	rc = test_read_start(f.host, &test, tree, 0,
			     2 * tree_shard_count(tree) > DEPOT_READ_MAX
				 ? DEPOT_READ_MAX
				 : 2 * tree_shard_count(tree));
	CU_ASSERT_EQUAL(test_read_wait(&test, rc), 0);
	CU_ASSERT_PTR_EQUAL(test.read.piece[0].chunk,
			    test.read.piece[tree_shard_count(tree)].chunk);
	depot_read_release(f.host, &test.read);
	tree_put(tree);
}

static void test_wait(void)
{
	CLEANUP(fixture_close) struct fixture f;
	struct depot_read read = {.count = 2};
	struct tree *tree;

	fixture_open(&f, 5);
	tree = test_tree(&f);
	read.piece[0] = (struct depot_piece){.tree = tree, .shard = 0};
	read.piece[1] = (struct depot_piece){.tree = tree, .shard = 1};
	CU_ASSERT_EQUAL(depot_read_wait(f.host, &read), 0);
	CU_ASSERT_PTR_NOT_NULL(read.piece[1].chunk);
	depot_read_release(f.host, &read);
	CU_ASSERT_PTR_NULL(read.piece[1].chunk);
	tree_put(tree);
}

struct test_thread {
	struct fixture *f;
	struct tree *tree;
	unsigned int seed;
	unsigned int cancelled, finished, wrong;
};

/* Reads here and there, and gives up every third. */
static void *test_thread_main(void *arg)
{
	struct test_thread *t = arg;
	unsigned int x = t->seed;

	for (int i = 0; i < 150; i++) {
		struct test_read test;
		int rc;

		x = x * 1664525u + 1013904223u;
		rc = test_read_start(t->f->host, &test, t->tree, x >> 16,
				     1 + (x >> 8) % 20);
		if (rc == -EINPROGRESS && i % 3 == 0 &&
		    depot_read_cancel(t->f->host, &test.read)) {
			t->cancelled++;
			continue;
		}
		rc = test_read_wait(&test, rc);
		for (unsigned int k = 0; rc == 0 && k < test.read.count; k++) {
			struct depot_piece *p = &test.read.piece[k];
			struct digest name = digest_of(chunk_data(p->chunk),
						       chunk_len(p->chunk));

			t->wrong += !digest_equal(
			    &name, tree_shard_name(p->tree, p->shard));
		}
		t->wrong += rc < 0 && rc != -ECANCELED;
		t->finished++;
		depot_read_release(t->f->host, &test.read);
	}
	return NULL;
}

static void test_many(void)
{
	enum { THREADS = 4 };
	CLEANUP(fixture_close) struct fixture f;
	struct depot_options options = {.memory_max = 2 << 20,
					.pool_threads = 2};
	struct test_thread t[THREADS];
	pthread_t threads[THREADS];
	struct depot_stats stats;
	struct tree *tree;

	fixture_open(&f, 30);
	tree_put(test_tree(&f));
	depot_close(f.host);
	/* A cache far too small: evictions and warm loads all the time. */
	ASSERT(depot_open(f.host_dir, &options, &f.host) == 0);
	tree = test_tree(&f);
	for (unsigned int i = 0; i < THREADS; i++) {
		t[i] = (struct test_thread){&f, tree, i * 77 + 5, 0, 0, 0};
		ASSERT(pthread_create(&threads[i], NULL, test_thread_main,
				      &t[i]) == 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		CU_ASSERT_EQUAL(t[i].wrong, 0);
		CU_ASSERT(t[i].finished > 0);
	}
	depot_get_stats(f.host, &stats);
	CU_ASSERT(stats.fetched_shards <= tree_shard_count(tree));
	CU_ASSERT_EQUAL(stats.verify_failures_store, 0);
	tree_put(tree);
}

/* Closing with reads under way that cannot end: they end with -EIO. */
static void test_close_under_way(void)
{
	CLEANUP(fixture_close) struct fixture f;
	CLEANUP_FREE char *away = NULL;
	struct test_read test;
	struct tree *tree;

	fixture_open(&f, 10);
	away = tmpdir_path(f.dir, "away");
	tree = test_tree(&f);
	check_mute();
	ASSERT(rename(f.out, away) == 0);
	CU_ASSERT_EQUAL(test_read_start(f.host, &test, tree, 0, 8),
			-EINPROGRESS);
	usleep(20000);
	CU_ASSERT_FALSE(__atomic_load_n(&test.done, __ATOMIC_ACQUIRE));
	depot_close(f.host);
	f.host = NULL;
	CU_ASSERT_EQUAL(test_read_wait(&test, -EINPROGRESS), -EIO);
	check_unmute();
	tree_put(tree);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"cold, hot, warm", test_cold_warm_hot},
	    {"by digest, and what is nowhere", test_by_digest},
	    {"what is known needs no upstream", test_local_first},
	    {"upstreams", test_upstreams},
	    {"two upstreams", test_two_upstreams},
	    {"damaged objects", test_damaged_objects},
	    {"damaged tags", test_damaged_tags},
	    {"damaged root document", test_damaged_root},
	    {"damaged packs", test_damaged_packs},
	    {"down, and back", test_down_and_back},
	    {"damage in the store", test_local_damage},
	    {"damage in the store, no upstream", test_local_damage_alone},
	    {"a newer store", test_newer_store},
	    {"one chunk twice in a read", test_same_chunk_twice},
	    {"the waiting form", test_wait},
	    {"many reads, some cancelled", test_many},
	    {"closed with reads under way", test_close_under_way},
	};

	return check_main("test_depot", tests, ARRAY_LEN(tests));
}
