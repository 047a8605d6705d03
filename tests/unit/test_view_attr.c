/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_attr: who may write and set attributes, and what modes and times
 * become of it.
 */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 200123, TEST_SMALL_LEN = 9000 };

static const struct fixture_entry test_entries[] = {
    {"big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {"small", S_IFREG | 0644, .len = TEST_SMALL_LEN, .seed = 2},
    {"mine", S_IFREG | 06755, .text = "mine", .uid = 1000, .gid = 1000},
    {"locked", S_IFREG | 0444, .text = "x", .uid = 1000, .gid = 1000},
    {"link", S_IFLNK | 0777, .text = "big"},
    {"dir/file", S_IFREG | 0666, .text = "abc"},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "tools", test_entries, ARRAY_LEN(test_entries));
}

/* --- who may, and what goes with it -------------------------------------- */

static void test_write_rights(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object locked = fixture_find(view, "locked");

	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_other, locked, 0, "a", 1, true, NULL),
	    -EACCES);
	/* The owner, whatever the mode (rule N-39). */
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_user, locked, 0, "a", 1, true, NULL),
	    0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, view_root(view), 0,
				      "a", 1, true, NULL),
			-EISDIR);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, "link"), 0, "a", 1,
				      true, NULL),
			-EINVAL);
	CU_ASSERT_EQUAL(fixture_commit(view, view_root(view)), -EISDIR);
	CU_ASSERT_EQUAL(fixture_commit(view, fixture_find(view, "link")),
			-EINVAL);
	CU_ASSERT_EQUAL(fixture_resize(view, view_root(view), 0), -EISDIR);
	CU_ASSERT_EQUAL(fixture_resize(view, fixture_find(view, "link"), 0),
			-EINVAL);
	fixture_close(&fx);
}

static uint32_t test_mode(struct view *view, const char *path)
{
	return fixture_attr(view, path).mode & 07777;
}

static void test_write_setuid(void)
{
	struct view_setattr mode = {.mask = VIEW_SET_MODE, .mode = 06777};
	struct view_setattr gid = {.mask = VIEW_SET_GID, .gid = 2000};
	struct view_setattr size = {.mask = VIEW_SET_SIZE, .size = 2};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object mine = fixture_find(view, "mine");

	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, mine, 0, "a", 1, true, NULL), 0);
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 06755);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_user, mine, 0, "a", 1, true, NULL), 0);
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 0755);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_user, mine, &mode, NULL),
			0);
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 06777);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_user, mine, &gid, NULL),
			0);
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 0777);
	CU_ASSERT_EQUAL(fixture_attr(view, "mine").gid, 2000);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_user, mine, &mode, NULL),
			0);
	CU_ASSERT_EQUAL(
	    fixture_setattr(view, &fixture_other, mine, &size, NULL),
	    0); /* 0777 */
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 0777);
	/* setgid only for members of the group (rule N-36). */
	gid.gid = 77;
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root, mine, &gid, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_user, mine, &mode, NULL),
			0);
	CU_ASSERT_EQUAL(test_mode(view, "mine"), 04777);
	fixture_close(&fx);
}

static void test_write_setattr_rights(void)
{
	static const struct {
		struct view_setattr set;
		int owner, other;
	} table[] = {
	    {{.mask = VIEW_SET_MODE, .mode = 0}, 0, -EPERM},
	    {{.mask = VIEW_SET_MODE, .mode = 0600}, 0, -EPERM},
	    {{.mask = VIEW_SET_UID, .uid = 1000}, 0, -EPERM},
	    {{.mask = VIEW_SET_UID, .uid = 0}, -EPERM, -EPERM},
	    {{.mask = VIEW_SET_GID, .gid = 2001}, 0, -EPERM},
	    {{.mask = VIEW_SET_GID, .gid = 5}, -EPERM, -EPERM},
	    {{.mask = VIEW_SET_ATIME, .atime = {1, 2}}, 0, -EPERM},
	    {{.mask = VIEW_SET_MTIME, .mtime = {1, 2}}, 0, -EPERM},
	    {{.mask = VIEW_SET_MTIME_NOW, .size = 0}, 0, -EACCES},
	    {{.mask = VIEW_SET_SIZE, .size = 1}, 0, -EACCES},
	};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object mine = fixture_find(view, "mine");

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_other, mine,
						&table[i].set, NULL),
				table[i].other);
		CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_user, mine,
						&table[i].set, NULL),
				table[i].owner);
		CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root, mine,
						&table[i].set, NULL),
				0);
		if (table[i].set.mask == VIEW_SET_UID) {
			struct view_setattr back = {.mask = VIEW_SET_UID,
						    .uid = 1000};

			CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root,
							mine, &back, NULL),
					0);
		}
	}
	fixture_close(&fx);
}

/* --- times --------------------------------------------------------------- */

static bool test_later(const struct timespec *a, const struct timespec *b)
{
	return b->tv_sec > a->tv_sec ||
	       (b->tv_sec == a->tv_sec && b->tv_nsec > a->tv_nsec);
}

/* Rule N-13: every change moves ctime; rule N-12: before and after join up. */
static void test_write_ctime(void)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0644};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");
	struct view_attr last;
	static uint8_t data[20000];

	CU_ASSERT_EQUAL(view_getattr(view, f, &last), 0);
	for (size_t i = 0; i < 100; i++) {
		struct view_done done;
		int rc =
		    i % 3 == 0
			? fixture_setattr(view, &fixture_root, f, &set, &done)
			: fixture_write(view, &fixture_root, f, 0, data,
					i < 50 ? 10 : 20000, i % 2, &done);

		CU_ASSERT_EQUAL(rc, 0);
		CU_ASSERT_TRUE(test_later(&last.ctime, &done.attr.ctime));
		CU_ASSERT_EQUAL(memcmp(&done.wcc[0].before_ctime, &last.ctime,
				       sizeof(last.ctime)),
				0);
		CU_ASSERT_EQUAL(memcmp(&done.wcc[0].before_mtime, &last.mtime,
				       sizeof(last.mtime)),
				0);
		CU_ASSERT_EQUAL(done.wcc[0].before_size, last.size);
		CU_ASSERT_TRUE(
		    fixture_attr_same(&done.wcc[0].after, &done.attr));
		last = done.attr;
	}
	fixture_close(&fx);
}

static void test_write_times(void)
{
	struct view_setattr set = {
	    .mask = VIEW_SET_ATIME | VIEW_SET_MTIME,
	    .atime = {5000000000, 999999999},
	    .mtime = {0, 1},
	};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object small = fixture_find(view, "small");
	struct view_attr attr;

	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root, small, &set, NULL),
			0);
	view = fixture_again(&fx);
	attr = fixture_attr(view, "small");
	CU_ASSERT_EQUAL(attr.atime.tv_sec, 5000000000);
	CU_ASSERT_EQUAL(attr.atime.tv_nsec, 999999999);
	CU_ASSERT_EQUAL(attr.mtime.tv_sec, 0);
	CU_ASSERT_EQUAL(attr.mtime.tv_nsec, 1);
	CU_ASSERT_TRUE(fixture_content_filled(view, small, TEST_SMALL_LEN, 2));
	set.mask = VIEW_SET_ATIME_NOW | VIEW_SET_MTIME_NOW;
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root, small, &set, NULL),
			0);
	attr = fixture_attr(view, "small");
	CU_ASSERT_EQUAL(attr.atime.tv_sec, attr.ctime.tv_sec);
	CU_ASSERT_EQUAL(attr.mtime.tv_nsec, attr.ctime.tv_nsec);
	fixture_close(&fx);
}

static void test_write_guard(void)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0600};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_attr attr = fixture_attr(view, "small");
	struct timespec guard = attr.ctime;
	struct fixture_call call;

	guard.tv_nsec++;
	fixture_call_init(&call);
	CU_ASSERT_EQUAL(view_setattr(view, &fixture_root, fixture_object(&attr),
				     &set, &guard, &call.wait, &call.change),
			-EAGAIN);
	CU_ASSERT_FALSE(call.change.pending);
	CU_ASSERT_EQUAL(test_mode(view, "small"), 0644);
	guard.tv_nsec--;
	CU_ASSERT_EQUAL(view_setattr(view, &fixture_root, fixture_object(&attr),
				     &set, &guard, &call.wait, &call.change),
			0);
	CU_ASSERT_EQUAL(fixture_call_done(&call, 0), 0);
	fixture_call_end(&call);
	CU_ASSERT_EQUAL(test_mode(view, "small"), 0600);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"rights", test_write_rights},
    {"setuid", test_write_setuid},
    {"rights to set attributes", test_write_setattr_rights},
    {"ctime", test_write_ctime},
    {"times", test_write_times},
    {"guard", test_write_guard},
};

int main(void)
{
	return check_main("test_view_attr", tests, ARRAY_LEN(tests));
}
