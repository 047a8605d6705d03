/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_restart: what was replied is there after a restart and after a
 * crash; what was not is gone cleanly.
 */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 150000, TEST_FILES = 40 };

static const struct fixture_entry test_entries[] = {
    {"a/one", S_IFREG | 0644, .text = "one"},
    {"a/big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {"b", S_IFDIR | 0755, .len = 0},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "p", test_entries, ARRAY_LEN(test_entries));
}

enum test_how { TEST_SITE, TEST_DEPOT, TEST_CRASH, TEST_HOWS };

static struct view *test_again(struct fixture *fx, enum test_how how)
{
	if (how == TEST_CRASH)
		fixture_crash(fx, NULL);
	else
		fixture_restart(fx, how == TEST_DEPOT);
	return fixture_view(fx, "/red/vm1");
}

static void test_fill(struct view *view, struct view_object obj, uint64_t off,
		      size_t len, uint64_t seed, bool stable)
{
	CLEANUP_FREE uint8_t *data = malloc(len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	check_fill(data, len, seed);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, obj, off, data, len,
				      stable, NULL),
			0);
}

/* One of everything; all of it replied as stable. */
static void test_do_all(struct view *view)
{
	struct view_object root = view_root(view), f;
	struct view_object a = fixture_find(view, "a");
	struct view_setattr set = {
	    .mask = VIEW_SET_MODE | VIEW_SET_UID, .mode = 04711, .uid = 9};

	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, root, "big", 0600, &f), 0);
	test_fill(view, f, 0, 100000, 2, true);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, root, "small", 0600, &f), 0);
	test_fill(view, f, 0, 1000, 3, true);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root, f, &set, NULL), 0);
	test_fill(view, fixture_find(view, "a/big"), 0, TEST_BIG_LEN, 4, false);
	CU_ASSERT_EQUAL(fixture_commit(view, fixture_find(view, "a/big")), 0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_rename(view, &fixture_root, root, "b", a, "c", NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, a, "l", "small", NULL), 0);
	CU_ASSERT_EQUAL(fixture_link(view, &fixture_root, f, a, "hard", NULL),
			0);
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, root, "d", 0700, NULL), 0);
}

static void test_check_all(struct view *view)
{
	CU_ASSERT_TRUE(fixture_names_are(view, "", "a big d small"));
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "big c hard l"));
	CU_ASSERT_TRUE(fixture_names_are(view, "a/c", ""));
	CU_ASSERT_TRUE(
	    fixture_content_filled(view, fixture_find(view, "big"), 100000, 2));
	CU_ASSERT_TRUE(fixture_content_filled(
	    view, fixture_find(view, "a/hard"), 1000, 3));
	CU_ASSERT_TRUE(fixture_content_filled(view, fixture_find(view, "a/big"),
					      TEST_BIG_LEN, 4));
	CU_ASSERT_EQUAL(fixture_attr(view, "small").mode, S_IFREG | 04711);
	CU_ASSERT_EQUAL(fixture_attr(view, "small").uid, 9);
	CU_ASSERT_EQUAL(fixture_attr(view, "small").nlink, 2);
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, 4);
	CU_ASSERT_EQUAL(fixture_attr(view, "a").nlink, 3);
}

static void test_restart_all(void)
{
	for (int how = 0; how < TEST_HOWS; how++) {
		struct fixture fx;
		struct view *view = test_open(&fx);
		static const char *const paths[] = {"",    "a",     "a/big",
						    "a/c", "small", "d"};
		struct view_attr before[ARRAY_LEN(paths)];

		test_do_all(view);
		test_check_all(view);
		for (size_t i = 0; i < ARRAY_LEN(paths); i++)
			before[i] = fixture_attr(view, paths[i]);
		for (int twice = 0; twice < 2; twice++) {
			view = test_again(&fx, (enum test_how)how);
			test_check_all(view);
			for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
				struct view_attr now =
				    fixture_attr(view, paths[i]);

				CU_ASSERT_TRUE(
				    fixture_attr_same(&now, &before[i]));
			}
		}
		fixture_close(&fx);
	}
}

/* Rule N-18: also over the number blocks that are reserved. */
static void test_restart_fileids(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	uint64_t last = 0;

	for (int i = 0; i < TEST_FILES; i++) {
		struct view_object f = {0, 0};

		CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root,
					      view_root(view), "f", 0600, &f),
				0);
		CU_ASSERT_TRUE(f.fileid > last);
		last = f.fileid;
		if (i % 2)
			test_fill(view, f, 0, 30000, 1, true);
		CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
					       view_root(view), "f", NULL),
				0);
		if (i % 8 == 0)
			view = test_again(&fx, (enum test_how)(i / 8 % 3));
	}
	fixture_close(&fx);
}

/* Rule N-02; and the handle's key and the export's number stay. */
static void test_restart_verifier(void)
{
	uint64_t seen[6];
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_info info = *view_get_info(view);

	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		const struct view_info *now = view_get_info(view);

		seen[i] = now->verifier;
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(seen[k], seen[i]);
		CU_ASSERT_EQUAL(now->export_id, info.export_id);
		CU_ASSERT_EQUAL(memcmp(now->key, info.key, sizeof(info.key)),
				0);
		CU_ASSERT_STRING_EQUAL(now->path, "/red/vm1");
		view = test_again(&fx, (enum test_how)(i % 2));
	}
	fixture_close(&fx);
}

/* UNSTABLE bytes that no COMMIT followed: the old file or what was committed,
 * never a mixture with a wrong size, never another file's bytes. */
static void test_restart_unsaved(void)
{
	for (int how = 0; how < TEST_HOWS; how++) {
		struct fixture fx;
		struct view *view = test_open(&fx);
		struct view_object big = fixture_find(view, "a/big"), f, g;
		struct view_object root = view_root(view);

		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, root, "f", 0600, &f), 0);
		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, root, "g", 0600, &g), 0);
		test_fill(view, f, 0, 50000, 2, true);
		test_fill(view, f, 50000, 50000, 3, false);
		test_fill(view, g, 0, 50000, 4, false);
		test_fill(view, big, TEST_BIG_LEN, 50000, 5, false);
		CU_ASSERT_EQUAL(fixture_attr(view, "a/big").size,
				TEST_BIG_LEN + 50000);
		CU_ASSERT_EQUAL(fixture_host_files(&fx), 3);
		view = test_again(&fx, (enum test_how)how);
		/* Orphans are reaped at the start. */
		CU_ASSERT_EQUAL(fixture_host_files(&fx), 1);
		CU_ASSERT_TRUE(fixture_content_filled(view, f, 50000, 2));
		CU_ASSERT_TRUE(fixture_content_is(view, g, "", 0));
		CU_ASSERT_TRUE(
		    fixture_content_filled(view, big, TEST_BIG_LEN, 1));
		/* What was lost does not come back when the file grows. */
		CU_ASSERT_EQUAL(fixture_resize(view, f, 60000), 0);
		CU_ASSERT_EQUAL(fixture_resize(view, f, 50000), 0);
		CU_ASSERT_TRUE(fixture_content_filled(view, f, 50000, 2));
		/* And it can be sent again. */
		test_fill(view, g, 0, 50000, 4, true);
		view = test_again(&fx, (enum test_how)how);
		CU_ASSERT_TRUE(fixture_content_filled(view, g, 50000, 4));
		fixture_close(&fx);
	}
}

/* Bytes beyond the end of the record are zeros when the file grows over them,
 * within one page too. */
static void test_restart_tail(void)
{
	static uint8_t want[9000];
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), f;

	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, root, "f", 0600, &f),
			0);
	test_fill(view, f, 0, 30000, 2, true);
	CU_ASSERT_EQUAL(fixture_resize(view, f, 5000), 0);
	CU_ASSERT_EQUAL(fixture_commit(view, f), 0);
	test_fill(view, f, 5000, 2000, 3, false);
	view = test_again(&fx, TEST_CRASH);
	CU_ASSERT_EQUAL(fixture_resize(view, f, 9000), 0);
	check_fill(want, 5000, 2);
	CU_ASSERT_TRUE(fixture_content_is(view, f, want, sizeof(want)));
	fixture_close(&fx);
}

/* Host files of what was removed go, whenever the server died. */
static void test_restart_reap(void)
{
	for (int how = 0; how < TEST_HOWS; how++) {
		struct fixture_block block;
		struct fixture fx;
		struct view *view;
		struct view_object f;

		test_open(&fx);
		fx.pool_threads = 1;
		fixture_restart(&fx, true);
		view = fixture_view(&fx, "/red/vm1");
		CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root,
					      view_root(view), "f", 0600, &f),
				0);
		test_fill(view, f, 0, 50000, 2, true);
		CU_ASSERT_EQUAL(fixture_host_files(&fx), 1);
		fixture_block(&fx, &block);
		CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
					       view_root(view), "f", NULL),
				0);
		if (how == TEST_CRASH) {
			fixture_crash(&fx, &block);
		} else {
			fixture_unblock(&block);
			view = test_again(&fx, (enum test_how)how);
		}
		CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
		fixture_close(&fx);
	}
}

/* Copy-up, then an end in the middle of things (rule N-21). */
static void test_restart_links(void)
{
	static const struct fixture_entry entries[] = {
	    {"x/h1", S_IFREG | 0644, .len = 50000, .seed = 7},
	    {"x/h2", 0, .link_to = "x/h1"},
	};
	struct package_info info;
	struct view_attr attr;
	struct fixture fx;
	struct view *view;

	fixture_open(&fx);
	fixture_package(&fx, "p", "1", entries, ARRAY_LEN(entries), &info);
	view = fixture_guest(&fx, &info, 1);
	attr = fixture_attr(view, "x/h1");
	test_fill(view, fixture_object(&attr), 0, 50000, 8, true);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
				       fixture_find(view, "x"), "h1", NULL),
			0);
	view = test_again(&fx, TEST_CRASH);
	CU_ASSERT_EQUAL(fixture_attr(view, "x/h2").fileid, attr.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "x/h2").nlink, 1);
	CU_ASSERT_TRUE(
	    fixture_content_filled(view, fixture_object(&attr), 50000, 8));
	fixture_close(&fx);
}

/* --- replies ------------------------------------------------------------- */

struct test_reply {
	struct fixture_call call;
	uint32_t slot;
	size_t len;
};

static size_t test_reply_fill(struct view_change *change,
			      const struct view_done *done, uint8_t *record,
			      uint32_t *slot)
{
	struct fixture_call *call =
	    container_of(change, struct fixture_call, change);
	struct test_reply *r = container_of(call, struct test_reply, call);

	CU_ASSERT_TRUE(done->wcc[0].has_after);
	*slot = r->slot;
	check_fill(record, r->len, r->slot);
	return r->len;
}

struct test_seen {
	unsigned int count, wrong;
	size_t len[8];
};

static void test_reply_visit(void *ctx, uint32_t slot, const uint8_t *record,
			     size_t len)
{
	struct test_seen *seen = ctx;
	uint8_t want[VIEW_REPLY_MAX];

	seen->count++;
	check_fill(want, len, slot);
	seen->wrong += memcmp(want, record, len) != 0;
	if (slot < ARRAY_LEN(seen->len))
		seen->len[slot] = len;
}

/* Records of replies ride in the batch of the effect (rule N-10). */
static void test_restart_replies(void)
{
	static const struct {
		uint32_t slot;
		size_t len;
		int rc;
	} calls[] = {{3, 10, 0},
		     {VIEW_REPLY_SLOTS - 1, VIEW_REPLY_MAX, 0},
		     {3, 20, 0},
		     {4, 0, 0},
		     {5, 7, -EEXIST}};
	struct test_seen seen = {0};
	struct fixture fx;
	struct view *view = test_open(&fx);

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct view_setattr set = {0};
		struct test_reply r;
		char name[8];
		int rc;

		fixture_call_init(&r.call);
		r.call.change.reply = test_reply_fill;
		r.slot = calls[i].slot;
		r.len = calls[i].len;
		snprintf(name, sizeof(name), "f%zu", MIN(i, 3u));
		rc = view_create(view, &fixture_root, view_root(view), name, 2,
				 VIEW_CREATE_GUARDED, &set, 0, &r.call.wait,
				 &r.call.change);
		CU_ASSERT_EQUAL(fixture_call_done(&r.call, rc), calls[i].rc);
		fixture_call_end(&r.call);
	}
	view = test_again(&fx, TEST_CRASH);
	CU_ASSERT_EQUAL(view_replies(view, test_reply_visit, &seen), 0);
	CU_ASSERT_EQUAL(seen.count, 2);
	CU_ASSERT_EQUAL(seen.wrong, 0);
	CU_ASSERT_EQUAL(seen.len[3], 20);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"everything", test_restart_all},
    {"fileids", test_restart_fileids},
    {"verifier", test_restart_verifier},
    {"unsaved bytes", test_restart_unsaved},
    {"tail of a page", test_restart_tail},
    {"reaping", test_restart_reap},
    {"links", test_restart_links},
    {"replies", test_restart_replies},
};

int main(void)
{
	return check_main("test_view_restart", tests, ARRAY_LEN(tests));
}
