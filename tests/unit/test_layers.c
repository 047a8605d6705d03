/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_layers: snapshots, going back to them, clones, quotas, pauses and
 * removals of guests, as site.h offers them.  Random operations over layers are
 * test_view_model's.
 */
#include <stdio.h>

#include "overlay/merge.h"
#include "tests/fake/fake_still.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 300000 };

static const struct fixture_entry test_entries[] = {
    {.path = "a", .mode = S_IFDIR | 0755},
    {.path = "a/big", .mode = S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {.path = "a/one", .mode = S_IFREG | 0644, .text = "one"},
    {.path = "a/two", .mode = S_IFREG | 0644, .text = "two"},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "p", test_entries, ARRAY_LEN(test_entries));
}

static struct view_object test_file(struct view *view, const char *name,
				    size_t len, uint64_t seed)
{
	CLEANUP_FREE uint8_t *data = malloc(len + 1);
	struct view_object f;

	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	check_fill(data, len, seed);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, view_root(view), name, 0600, &f),
	    0);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 0, data, len, true, NULL), 0);
	return f;
}

static void test_put(struct view *view, struct view_object f, uint64_t off,
		     const char *text, bool stable)
{
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, off, text,
				      strlen(text), stable, NULL),
			0);
}

/* The bytes of check_fill(seed), with a text laid over them. */
static bool test_patched(struct view *view, struct view_object f, size_t len,
			 uint64_t seed, size_t at, const char *text)
{
	CLEANUP_FREE uint8_t *want = malloc(len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(want);
	check_fill(want, len, seed);
	memcpy(want + at, text, strlen(text));
	return fixture_content_is(view, f, want, len);
}

static bool time_rose(const struct view_attr *before,
		      const struct view_attr *now)
{
	return now->ctime.tv_sec > before->ctime.tv_sec ||
	       (now->ctime.tv_sec == before->ctime.tv_sec &&
		now->ctime.tv_nsec > before->ctime.tv_nsec);
}

static void test_restore(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), a = fixture_find(view, "a");
	struct view_object big = fixture_find(view, "a/big");
	struct view_object f = test_file(view, "f", 100000, 2), g;
	struct view_attr before, now;

	test_put(view, big, 5000, "first", true);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s"), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s"), -EEXIST);
	test_put(view, big, 5002, "SECOND", true);
	test_put(view, f, 99998, "longer", true);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "two", NULL), 0);
	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, a, "one", 0644, &g),
			0);
	CU_ASSERT_TRUE(
	    test_patched(view, big, TEST_BIG_LEN, 1, 5000, "fiSECOND"));
	before = fixture_attr(view, "a");
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", "nosuch"),
			-ENOENT);
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", "s"), 0);

	for (int again = 0; again < 2; again++) {
		CU_ASSERT_TRUE(fixture_names_are(view, "a", "big two"));
		CU_ASSERT_TRUE(fixture_content_filled(view, f, 100000, 2));
		CU_ASSERT_TRUE(
		    test_patched(view, big, TEST_BIG_LEN, 1, 5000, "first"));
		CU_ASSERT_EQUAL(view_getattr(view, g, &now), -ESTALE);
		now = fixture_attr(view, "a");
		CU_ASSERT_EQUAL(now.fileid, before.fileid);
		CU_ASSERT_TRUE(time_rose(&before, &now));
		fixture_restart(&fx, false);
		view = fixture_view(&fx, "/red/vm1");
	}
	/* A number that was used after the snapshot is not used again. */
	f = test_file(view, "new", 10, 3);
	CU_ASSERT_NOT_EQUAL(f.fileid, g.fileid);
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", NULL), 0);
	CU_ASSERT_TRUE(fixture_names_are(view, "", "a"));
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "big one two"));
	CU_ASSERT_TRUE(fixture_content_filled(view, big, TEST_BIG_LEN, 1));
	CU_ASSERT_EQUAL(view_getattr(view, root, &now), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot_remove(fx.site, "red/vm1", "s"), 0);
	fixture_restart(&fx, true); /* waits for what is dropped */
	site_quiesce(fx.site);
	fixture_close(&fx);
}

/* Bytes written UNSTABLE before a snapshot are in it, and durable. */
static void test_unstable(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object big = fixture_find(view, "a/big");
	struct view_object f = test_file(view, "f", 200000, 2);

	test_put(view, big, 70000, "unstable", false);
	test_put(view, f, 150000, "unstable", false);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s"), 0);
	test_put(view, f, 0, "later", false);
	fixture_crash(&fx, NULL);
	view = fixture_view(&fx, "/red/vm1");
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", "s"), 0);
	CU_ASSERT_TRUE(
	    test_patched(view, big, TEST_BIG_LEN, 1, 70000, "unstable"));
	CU_ASSERT_TRUE(test_patched(view, f, 200000, 2, 150000, "unstable"));
	fixture_close(&fx);
}

static void test_clone(void)
{
	struct site_guest_options options = {0};
	struct fixture fx;
	struct view *view = test_open(&fx), *clone;
	struct view_object f = test_file(view, "f", 100000, 2), big;

	CU_ASSERT_EQUAL(
	    site_delta_clone(fx.site, "red/vm1", NULL, "red/vm2", &options), 0);
	CU_ASSERT_EQUAL(
	    site_delta_clone(fx.site, "red/vm1", NULL, "red/vm2", &options),
	    -EEXIST);
	CU_ASSERT_EQUAL(
	    site_delta_clone(fx.site, "red/vm1", NULL, "blue/vm2", &options),
	    -EXDEV);
	clone = fixture_view(&fx, "/red/vm2");
	CU_ASSERT_TRUE(fixture_names_are(clone, "", "a f"));
	big = fixture_find(clone, "a/big");
	test_put(clone, f, 50000, "clone", true);
	test_put(view, f, 50000, "first", true);
	test_put(clone, big, 1, "x", true);
	(void)test_file(clone, "of clone", 20000, 4);
	(void)test_file(view, "of first", 20000, 5);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_root, view_root(view), "f", NULL), 0);
	for (int again = 0; again < 2; again++) {
		CU_ASSERT_TRUE(fixture_names_are(view, "", "a of first"));
		CU_ASSERT_TRUE(fixture_names_are(clone, "", "a f of clone"));
		CU_ASSERT_TRUE(
		    test_patched(clone, f, 100000, 2, 50000, "clone"));
		CU_ASSERT_TRUE(
		    fixture_content_filled(view, big, TEST_BIG_LEN, 1));
		fixture_restart(&fx, true);
		view = fixture_view(&fx, "/red/vm1");
		clone = fixture_view(&fx, "/red/vm2");
	}
	/* The origin goes; what the clone stands on stays. */
	CU_ASSERT_EQUAL(site_guest_remove(fx.site, "red/vm1", false), -EBUSY);
	CU_ASSERT_EQUAL(site_guest_remove(fx.site, "red/vm1", true), 0);
	CU_ASSERT_EQUAL(fixture_walk(view, "a", &(struct view_attr){0}),
			-ESTALE);
	fixture_restart(&fx, true);
	clone = fixture_view(&fx, "/red/vm2");
	CU_ASSERT_PTR_NULL(site_view_by_path(fx.site, "/red/vm1"));
	CU_ASSERT_TRUE(test_patched(clone, f, 100000, 2, 50000, "clone"));
	fixture_close(&fx);
}

static void test_depth(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = test_file(view, "f", 50000, 2);
	char name[16], text[16];
	int rc = 0;

	for (int i = 0; rc == 0 && i < 20; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(text, sizeof(text), "%d", i);
		test_put(view, f, 1000 + 5000 * (uint64_t)i, text, true);
		rc = site_delta_snapshot(fx.site, "red/vm1", name);
		CU_ASSERT_EQUAL(rc, i < SITE_LAYERS_MAX - 1 ? 0 : -EMLINK);
	}
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", "s0"), 0);
	CU_ASSERT_TRUE(test_patched(view, f, 50000, 2, 1000, "0"));
	fixture_close(&fx);
}

/* --- merges -------------------------------------------------------------- */

/* Snapshots come and go, at most six at a time: there is always room. */
static void test_many(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = test_file(view, "f", 50000, 2);
	CLEANUP_FREE uint8_t *want = malloc(50000);
	bool there[30] = {false};
	unsigned int count = 0;
	char name[16], text[16];

	CU_ASSERT_PTR_NOT_NULL_FATAL(want);
	check_fill(want, 50000, 2);
	for (unsigned int i = 0; i < 30; i++) {
		uint64_t off = 1000 + 1600 * (uint64_t)i;

		snprintf(text, sizeof(text), "%u", i);
		memcpy(want + off, text, strlen(text));
		test_put(view, f, off, text, i % 3 > 0);
		snprintf(name, sizeof(name), "s%u", i);
		CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", name),
				0);
		there[i] = true;
		if (++count == 6) {
			/* The oldest, the newest, or one between. */
			unsigned int at = i % 3 == 0   ? 0
					  : i % 3 == 1 ? i
						       : i / 2;

			while (!there[at % 30])
				at++;
			snprintf(name, sizeof(name), "s%u", at % 30);
			there[at % 30] = false;
			count--;
			CU_ASSERT_EQUAL(site_delta_snapshot_remove(
					    fx.site, "red/vm1", name),
					0);
		}
		CU_ASSERT_TRUE(fixture_content_is(view, f, want, 50000));
	}
	drops_drain(fx.site->drops);
	CU_ASSERT_TRUE(view->layer_count <= SITE_LAYERS_MAX);
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	CU_ASSERT_TRUE(fixture_content_is(view, f, want, 50000));
	fixture_close(&fx);
}

/* What the guest below and its clone see of the merged layers. */
static void test_merged_is(struct view *view, struct view_object big,
			   struct view_object f, struct view_object cut,
			   const char *text)
{
	CLEANUP_FREE uint8_t *want = calloc(1, 90000);
	struct view_object link = fixture_find(view, "link");
	char target[VIEW_SYMLINK_MAX];
	struct view_attr attr;
	size_t len;

	CU_ASSERT_PTR_NOT_NULL_FATAL(want);
	CU_ASSERT_TRUE(fixture_names_are(view, "", "a cut f link new small"));
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "big two"));
	CU_ASSERT_TRUE(test_patched(view, big, TEST_BIG_LEN, 1, 5000, text));
	CU_ASSERT_TRUE(test_patched(view, f, 100000, 2, 99990, "0123456789"));
	check_fill(want, 30001, 3);
	CU_ASSERT_TRUE(fixture_content_is(view, cut, want, 90000));
	CU_ASSERT_TRUE(
	    fixture_content_filled(view, fixture_find(view, "small"), 3000, 4));
	CU_ASSERT_EQUAL(view_readlink(view, link, target, &len, &attr), 0);
	CU_ASSERT_TRUE(len == 6 && memcmp(target, "target", 6) == 0);
}

/* A merge that is cut short after each file and name goes on. */
static void test_merge_crash(void)
{
	struct site_guest_options options = {0};
	struct fixture fx;
	struct view *view = test_open(&fx), *clone;
	struct view_object root = view_root(view), a = fixture_find(view, "a");
	struct view_object big = fixture_find(view, "a/big"), g;
	struct view_object f = test_file(view, "f", 100000, 2);
	struct view_object cut = test_file(view, "cut", 80000, 3);
	struct view_setattr mode = {.mask = VIEW_SET_MODE, .mode = 0640};
	unsigned int steps = 0;
	bool more = true;
	uint64_t into;

	(void)test_file(view, "small", 3000, 4);
	(void)test_file(view, "gone", 60000, 5);
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "link", "target", NULL),
	    0);
	test_put(view, big, 5000, "abcdef", true);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s0"), 0);
	test_put(view, big, 5002, "XY", true);
	test_put(view, f, 99990, "0123456789", true);
	CU_ASSERT_EQUAL(fixture_resize(view, cut, 30001), 0);
	CU_ASSERT_EQUAL(fixture_resize(view, cut, 90000), 0);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root,
					fixture_find(view, "small"), &mode,
					NULL),
			0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "gone", NULL),
			0);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, root, "new", 0600, &g), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s1"), 0);
	CU_ASSERT_EQUAL(
	    site_delta_clone(fx.site, "red/vm1", "s1", "red/vm2", &options), 0);
	CU_ASSERT_EQUAL(site_delta_snapshot_remove(fx.site, "red/vm1", "s0"),
			0);
	clone = fixture_view(&fx, "/red/vm2");
	/* Its node stays open, with bytes in it that are not stable. */
	test_put(view, big, 5000, "!", false);
	into = clone->layer[1]->id;
	CU_ASSERT_EQUAL(clone->layer_count, 3);
	merge_cut_for_tests(1);
	while (more && steps++ < 100) {
		test_merged_is(view, big, f, cut, "!bXYef");
		test_merged_is(clone, big, f, cut, "abXYef");
		pthread_mutex_lock(&fx.site->verbs);
		CU_ASSERT_EQUAL_FATAL(merge_step(fx.site, into, &more), 0);
		pthread_mutex_unlock(&fx.site->verbs);
		test_merged_is(view, big, f, cut, "!bXYef");
		test_merged_is(clone, big, f, cut, "abXYef");
		CU_ASSERT_EQUAL(fixture_commit(view, big), 0);
		fixture_crash(&fx, NULL);
		view = fixture_view(&fx, "/red/vm1");
		clone = fixture_view(&fx, "/red/vm2");
	}
	merge_cut_for_tests(0);
	CU_ASSERT_FALSE(more);
	CU_ASSERT_TRUE(steps > 10);
	CU_ASSERT_EQUAL(clone->layer_count, 2);
	CU_ASSERT_EQUAL(view->layer_count, 2);
	test_merged_is(view, big, f, cut, "!bXYef");
	test_merged_is(clone, big, f, cut, "abXYef");
	/* big of the guest; one each of big, f and cut of the layers. */
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 4);
	fixture_close(&fx);
}

/* --- quotas -------------------------------------------------------------- */

static void test_quota(void)
{
	struct site_quota guest = {.bytes = 100000}, tenant = {.files = 3};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_statfs fs;
	struct view_object f = test_file(view, "f", 60000, 2), g;
	static uint8_t data[60000];

	CU_ASSERT_EQUAL(site_guest_set_quota(fx.site, "red/no", &guest),
			-ENOENT);
	CU_ASSERT_EQUAL(site_guest_set_quota(fx.site, "red/vm1", &guest), 0);
	for (int again = 0; again < 2; again++) {
		CU_ASSERT_EQUAL(view_statfs(view, &fs), 0);
		CU_ASSERT_EQUAL(fs.total_bytes, 100000);
		CU_ASSERT_EQUAL(fs.avail_bytes, 100000 - 61440);
		CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, 61440,
					      data, 60000, false, NULL),
				-EDQUOT);
		CU_ASSERT_TRUE(fixture_content_filled(view, f, 60000, 2));
		fixture_restart(&fx, false);
		view = fixture_view(&fx, "/red/vm1");
	}
	/* Over the limit what is there can be changed, and given up. */
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 0, data, 60000, true, NULL),
	    0);
	CU_ASSERT_EQUAL(site_tenant_set_quota(fx.site, "red", &tenant), 0);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, view_root(view), "g", 0600, &g),
	    0);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, view_root(view), "h", 0600, &g),
	    -EDQUOT);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_root, view_root(view), "f", NULL), 0);
	CU_ASSERT_EQUAL(view_statfs(view, &fs), 0);
	CU_ASSERT_EQUAL(fs.avail_bytes, 100000);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, view_root(view), "h", 0600, &g),
	    0);
	fixture_close(&fx);
}

static int test_paused_visit(void *ctx, const struct site_guest_info *info)
{
	*(bool *)ctx = info->paused;
	return 0;
}

static void test_pause(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	bool paused = false;

	CU_ASSERT_EQUAL(site_guest_pause(fx.site, "red/vm1", true), 0);
	CU_ASSERT_TRUE(view_is_paused(view));
	fixture_restart(&fx, false);
	view = fixture_view(&fx, "/red/vm1");
	CU_ASSERT_TRUE(view_is_paused(view));
	CU_ASSERT_EQUAL(site_guest_list(fx.site, test_paused_visit, &paused),
			0);
	CU_ASSERT_TRUE(paused);
	CU_ASSERT_EQUAL(site_guest_pause(fx.site, "red/vm1", false), 0);
	CU_ASSERT_FALSE(view_is_paused(view));
	fixture_close(&fx);
}

/* What it has written cannot be made stable: a pause that fails leaves the
 * guest as it was, served or paused, also over a restart. */
static void test_pause_fails(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);

	for (int paused = 0; paused < 2; paused++) {
		fake_still_fail(true);
		CU_ASSERT_EQUAL(site_guest_pause(fx.site, "red/vm1", true),
				-EIO);
		fake_still_fail(false);
		CU_ASSERT_EQUAL(view_is_paused(view), paused);
		fixture_restart(&fx, false);
		view = fixture_view(&fx, "/red/vm1");
		CU_ASSERT_EQUAL(view_is_paused(view), paused);
		if (!paused)
			(void)fixture_touched(view, "f");
		CU_ASSERT_EQUAL(site_guest_pause(fx.site, "red/vm1", true), 0);
	}
	fixture_close(&fx);
}

/* Everything of a guest goes with it: the store is as it was before. */
static void test_remove_all(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);

	(void)test_file(view, "f", 100000, 2);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s"), 0);
	(void)test_file(view, "g", 100000, 3);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 2);
	CU_ASSERT_EQUAL(site_guest_remove(fx.site, "red/vm1", true), 0);
	for (int i = 0; i < 1000 && fixture_host_files(&fx) > 0; i++)
		usleep(1000);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"restore", test_restore},
    {"unstable bytes are in a snapshot", test_unstable},
    {"clone", test_clone},
    {"at most eight layers", test_depth},
    {"thirty snapshots", test_many},
    {"a merge cut short", test_merge_crash},
    {"quota", test_quota},
    {"pause", test_pause},
    {"a pause that fails", test_pause_fails},
    {"remove", test_remove_all},
};

int main(void)
{
	return check_main("test_layers", tests, ARRAY_LEN(tests));
}
