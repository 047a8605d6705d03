/* SPDX-License-Identifier: Apache-2.0 */
/* test_view_names: names that come, go and move, over a package and a delta. */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

static const struct fixture_entry test_entries[] = {
    {"a/one", S_IFREG | 0644, .text = "one"},
    {"a/two", S_IFREG | 0644, .text = "two"},
    {"a/sub/deep", S_IFREG | 0644, .text = "deep"},
    {"a/sub/more/x", S_IFREG | 0644, .text = "x"},
    {"b/h1", S_IFREG | 0644, .text = "linked"},
    {"b/h2", 0, .link_to = "b/h1"},
    {"b/h3", 0, .link_to = "b/h1"},
    {"empty", S_IFDIR | 0755, .len = 0},
    {"empty2", S_IFDIR | 0755, .len = 0},
    {"tmp", S_IFDIR | 01777, .len = 0},
    {"shared", S_IFDIR | 02775, .gid = 2000},
    {"ro", S_IFDIR | 0755, .len = 0},
    {"ro/f", S_IFREG | 0644, .text = "f"},
    {"sym", S_IFLNK | 0777, .text = "a/one"},
    {"tmp/theirs", S_IFREG | 0666, .text = "t", .uid = 1001, .gid = 1001},
    {"open", S_IFDIR | 0777, .uid = 1000},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "names", test_entries, ARRAY_LEN(test_entries));
}

static bool test_is(struct view *view, const char *path, const char *text)
{
	return fixture_content_is(view, fixture_find(view, path), text,
				  strlen(text));
}

static bool test_absent(struct view *view, const char *path)
{
	struct view_attr attr;

	return fixture_walk(view, path, &attr) == -ENOENT;
}

static void test_write(struct view *view, struct view_object obj,
		       const char *text)
{
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, obj, 0, text,
				      strlen(text), true, NULL),
			0);
}

static uint64_t test_cookie(struct view *view, const char *dir,
			    const char *name)
{
	CLEANUP(fixture_list_clear) struct fixture_list list = {0};
	const struct fixture_dirent *ent;

	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root,
				     fixture_find(view, dir), 0, &list),
			0);
	ent = fixture_list_find(&list, name);
	return ent ? ent->cookie : 0;
}

/* --- create -------------------------------------------------------------- */

static void test_names_create(void)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0640};
	struct view_setattr cut = {.mask = VIEW_SET_SIZE, .size = 0};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_done done, again;

	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "f",
				       VIEW_CREATE_GUARDED, &set, 0, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFREG | 0640);
	CU_ASSERT_EQUAL(done.attr.nlink, 1);
	CU_ASSERT_TRUE(done.attr.fileid >> 63);
	CU_ASSERT_NOT_EQUAL(done.attr.generation, 0);
	CU_ASSERT_TRUE(done.wcc[0].has_before && done.wcc[0].has_after);
	CU_ASSERT_EQUAL(done.wcc[0].after.fileid, root.fileid);
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "f",
				       VIEW_CREATE_GUARDED, &set, 0, &again),
			-EEXIST);
	CU_ASSERT_TRUE(again.wcc[0].has_before && again.wcc[0].has_after);
	test_write(view, fixture_object(&done.attr), "hello");
	/* UNCHECKED finds it; the mode stays, the size goes when asked. */
	set.mode = 0;
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "f",
				       VIEW_CREATE_UNCHECKED, &set, 0, &again),
			0);
	CU_ASSERT_EQUAL(again.attr.fileid, done.attr.fileid);
	CU_ASSERT_EQUAL(again.attr.mode, S_IFREG | 0640);
	CU_ASSERT_TRUE(test_is(view, "f", "hello"));
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_other, root, "f",
				       VIEW_CREATE_UNCHECKED, &cut, 0, &again),
			-EACCES);
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "f",
				       VIEW_CREATE_UNCHECKED, &cut, 0, &again),
			0);
	CU_ASSERT_EQUAL(again.attr.size, 0);
	CU_ASSERT_EQUAL(again.wcc[0].after.fileid, root.fileid);
	CU_ASSERT_TRUE(test_is(view, "f", ""));
	/* A package's file, too. */
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root,
				       fixture_find(view, "a"), "one",
				       VIEW_CREATE_UNCHECKED, &cut, 0, &again),
			0);
	CU_ASSERT_TRUE(test_is(view, "a/one", ""));
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "a",
				       VIEW_CREATE_UNCHECKED, &cut, 0, &again),
			-EEXIST);
	cut.size = VIEW_FILE_SIZE_MAX + 1;
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "g",
				       VIEW_CREATE_UNCHECKED, &cut, 0, &again),
			-EFBIG);
	CU_ASSERT_TRUE(test_absent(view, "g"));
	fixture_close(&fx);
}

/* Rule N-05. */
static void test_names_exclusive(void)
{
	struct view_setattr set = {0};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_done done, again;

	CU_ASSERT_EQUAL(fixture_create(view, &fixture_user, root, "x",
				       VIEW_CREATE_EXCLUSIVE, &set, 77, &done),
			-EACCES);
	root = fixture_find(view, "open");
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_user, root, "x",
				       VIEW_CREATE_EXCLUSIVE, &set, 77, &done),
			0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(fixture_create(view, &fixture_user, root, "x",
					       VIEW_CREATE_EXCLUSIVE, &set, 77,
					       &again),
				0);
		CU_ASSERT_EQUAL(again.attr.fileid, done.attr.fileid);
		CU_ASSERT_EQUAL(again.attr.generation, done.attr.generation);
		CU_ASSERT_EQUAL(fixture_create(view, &fixture_user, root, "x",
					       VIEW_CREATE_EXCLUSIVE, &set, 78,
					       &again),
				-EEXIST);
		view = fixture_again(&fx);
	}
	/* A name of the package exists; one that was removed does not. */
	root = fixture_find(view, "a");
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "one",
				       VIEW_CREATE_EXCLUSIVE, &set, 0, &done),
			-EEXIST);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "one", NULL),
			0);
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_root, root, "one",
				       VIEW_CREATE_EXCLUSIVE, &set, 0, &done),
			0);
	fixture_close(&fx);
}

static void test_names_mkdir(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), d, e;
	uint32_t nlink = fixture_attr(view, "").nlink;

	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root, root, "d", 0751, &d),
			0);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root, root, "d", 0751, &e),
			-EEXIST);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root, root, "a", 0751, &e),
			-EEXIST);
	CU_ASSERT_EQUAL(fixture_attr(view, "d").mode, S_IFDIR | 0751);
	CU_ASSERT_EQUAL(fixture_attr(view, "d").nlink, 2);
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, nlink + 1);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root, d, "e", 0755, &e),
			0);
	CU_ASSERT_EQUAL(fixture_attr(view, "d").nlink, 3);
	CU_ASSERT_EQUAL(fixture_attr(view, "d/e/..").fileid, d.fileid);
	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, e, "f", 0600, NULL),
			0);
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(fixture_names_are(view, "d/e", "f"));
	CU_ASSERT_EQUAL(fixture_attr(view, "d/e/..").fileid, d.fileid);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, d, "e", NULL),
			-ENOTEMPTY);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, e, "f", NULL), 0);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, d, "e", NULL), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "d").nlink, 2);
	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, e, "f", 0600, NULL),
			-ESTALE);
	fixture_close(&fx);
}

static void test_names_special(void)
{
	struct site_guest_options options = {.allow_devices = true};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_done done;
	char target[VIEW_SYMLINK_MAX + 2], buf[VIEW_SYMLINK_MAX];
	struct view_attr attr;
	size_t len;

	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, root, "p",
				      S_IFIFO | 0600, 5, 6, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFIFO | 0600);
	CU_ASSERT_EQUAL(done.attr.rdev_major, 0);
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, root, "s",
				      S_IFSOCK | 0600, 0, 0, &done),
			0);
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, root, "n",
				      S_IFCHR | 0600, 1, 3, &done),
			-EPERM);
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "l", "../..", &done), 0);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFLNK | 0777);
	CU_ASSERT_EQUAL(done.attr.size, 5);
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "l0", "", &done),
	    -EINVAL);
	memset(target, 't', sizeof(target));
	target[VIEW_SYMLINK_MAX + 1] = '\0';
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "l1", target, &done),
	    -ENAMETOOLONG);
	target[VIEW_SYMLINK_MAX] = '\0';
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "l2", target, &done), 0);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(
	    view_readlink(view, fixture_find(view, "l2"), buf, &len, &attr), 0);
	CU_ASSERT_EQUAL(len, VIEW_SYMLINK_MAX);
	CU_ASSERT_EQUAL(memcmp(buf, target, len), 0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "l2", NULL),
			0);

	ASSERT(site_guest_add(fx.site, "red/vm2", &options) == 0);
	view = fixture_view(&fx, "/red/vm2");
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_user,
				      fixture_find(view, "open"), "n",
				      S_IFCHR | 0600, 1, 3, &done),
			-EPERM);
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, view_root(view), "n",
				      S_IFBLK | 0600, 1, 3, &done),
			0);
	fixture_restart(&fx, false);
	attr = fixture_attr(fixture_view(&fx, "/red/vm2"), "n");
	CU_ASSERT_EQUAL(attr.mode, S_IFBLK | 0600);
	CU_ASSERT_EQUAL(attr.rdev_major, 1);
	CU_ASSERT_EQUAL(attr.rdev_minor, 3);
	fixture_close(&fx);
}

/* --- hard links ---------------------------------------------------------- */

static void test_names_link(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_attr h = fixture_attr(view, "b/h1");
	struct view_object obj = fixture_object(&h);
	struct view_done done;

	CU_ASSERT_EQUAL(h.nlink, 3);
	CU_ASSERT_EQUAL(
	    fixture_link(view, &fixture_root, obj, root, "h4", &done), 0);
	CU_ASSERT_EQUAL(done.attr.nlink, 4);
	CU_ASSERT_EQUAL(done.attr.fileid, h.fileid);
	CU_ASSERT_EQUAL(
	    fixture_link(view, &fixture_root, obj, root, "h4", &done), -EEXIST);
	CU_ASSERT_EQUAL(fixture_link(view, &fixture_root,
				     fixture_find(view, "a"), root, "dir",
				     &done),
			-EPERM);
	/* One object under all names, those of the package too (rule N-32). */
	test_write(view, fixture_find(view, "b/h2"), "LINK");
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(test_is(view, "b/h1", "LINKed"));
	CU_ASSERT_TRUE(test_is(view, "b/h3", "LINKed"));
	CU_ASSERT_TRUE(test_is(view, "h4", "LINKed"));
	CU_ASSERT_EQUAL(fixture_attr(view, "b/h3").fileid, h.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "h4").nlink, 4);
	for (uint32_t i = 1; i <= 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "h%u", i);
		CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
					       fixture_find(view, "b"), name,
					       NULL),
				0);
		CU_ASSERT_EQUAL(fixture_attr(view, "h4").nlink, 4 - i);
	}
	CU_ASSERT_TRUE(fixture_names_are(view, "b", ""));
	CU_ASSERT_TRUE(test_is(view, "h4", "LINKed"));
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "h4", NULL),
			0);
	CU_ASSERT_EQUAL(view_getattr(view, obj, &h), -ESTALE);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(view_getattr(view, obj, &h), -ESTALE);
	CU_ASSERT_EQUAL(
	    fixture_link(view, &fixture_root, obj, root, "h5", &done), -ESTALE);
	fixture_close(&fx);
}

static void test_names_link_born(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), f;
	struct view_object b = fixture_find(view, "b");
	struct view_attr attr;

	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, root, "f", 0600, &f),
			0);
	test_write(view, f, "born");
	CU_ASSERT_EQUAL(fixture_link(view, &fixture_root, f, b, "g", NULL), 0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "f", NULL),
			0);
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(test_is(view, "b/g", "born"));
	CU_ASSERT_EQUAL(fixture_attr(view, "b/g").nlink, 1);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, b, "g", NULL), 0);
	CU_ASSERT_EQUAL(view_getattr(view, f, &attr), -ESTALE);
	fixture_close(&fx);
}

/* --- removing ------------------------------------------------------------ */

static void test_names_remove(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object a = fixture_find(view, "a");
	struct view_object one = fixture_find(view, "a/one");
	struct view_attr attr;

	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "sub", NULL),
			-EISDIR);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, a, "one", NULL),
			-ENOTDIR);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, a, "sub", NULL),
			-ENOTEMPTY);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "none", NULL),
			-ENOENT);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_user, a, "one", NULL),
			-EACCES);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL), 0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL),
			-ENOENT);
	CU_ASSERT_EQUAL(view_getattr(view, one, &attr), -ESTALE);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "sub two"));
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "sub two"));
	CU_ASSERT_TRUE(test_absent(view, "a/one"));
	CU_ASSERT_EQUAL(view_getattr(view, one, &attr), -ESTALE);
	/* A package directory with nothing but whiteouts is empty (N-34). */
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
				       fixture_find(view, "a/sub/more"), "x",
				       NULL),
			0);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root,
				      fixture_find(view, "a/sub"), "more",
				      NULL),
			0);
	CU_ASSERT_EQUAL(fixture_attr(view, "a/sub").nlink, 2);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
				       fixture_find(view, "a/sub"), "deep",
				       NULL),
			0);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, a, "sub", NULL), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "a").nlink, 2);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "two"));
	fixture_close(&fx);
}

/* Rule N-22: an entry keeps its cookie through removal and re-creation; a new
 * directory shows nothing of the package's old one. */
static void test_names_whiteout(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), d;
	struct view_object a = fixture_find(view, "a");
	uint64_t cookie = test_cookie(view, "a", "one");
	uint64_t empty = test_cookie(view, "", "empty");
	struct view_object old = fixture_find(view, "a/one"), one;

	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(
		    fixture_remove(view, &fixture_root, a, "one", NULL), 0);
		CU_ASSERT_EQUAL(test_cookie(view, "a", "one"), 0);
		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, a, "one", 0600, &one),
		    0);
		CU_ASSERT_NOT_EQUAL(one.fileid, old.fileid);
		old = one;
		CU_ASSERT_EQUAL(test_cookie(view, "a", "one"), cookie);
		CU_ASSERT_TRUE(fixture_names_are(view, "a", "one sub two"));
		CU_ASSERT_TRUE(test_is(view, "a/one", ""));
		view = fixture_again(&fx);
	}
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root, root, "empty", NULL),
			0);
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, root, "empty", 0700, &d), 0);
	CU_ASSERT_EQUAL(test_cookie(view, "", "empty"), empty);
	/* Take a's whole content away, put an empty "a" there. */
	CU_ASSERT_EQUAL(
	    fixture_rename(view, &fixture_root, root, "a", root, "moved", NULL),
	    0);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root, root, "a", 0700, &d),
			0);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", ""));
	CU_ASSERT_TRUE(fixture_names_are(view, "moved", "one sub two"));
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", ""));
	CU_ASSERT_TRUE(fixture_names_are(view, "moved/sub", "deep more"));
	fixture_close(&fx);
}

/* --- rename -------------------------------------------------------------- */

static int test_rename(struct view *view, const char *from_dir,
		       const char *from, const char *to_dir, const char *to)
{
	struct view_done done;
	int rc =
	    fixture_rename(view, &fixture_root, fixture_find(view, from_dir),
			   from, fixture_find(view, to_dir), to, &done);

	for (int i = 0; i < 2; i++)
		CU_ASSERT_TRUE(done.wcc[i].has_before && done.wcc[i].has_after);
	return rc;
}

static void test_names_rename(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	uint64_t id = fixture_find(view, "a/one").fileid;
	struct view_object two = fixture_find(view, "a/two");
	struct view_attr attr;

	CU_ASSERT_EQUAL(test_rename(view, "a", "none", "a", "x"), -ENOENT);
	CU_ASSERT_EQUAL(test_rename(view, "a", "one", "a", "uno"), 0);
	CU_ASSERT_EQUAL(fixture_find(view, "a/uno").fileid, id);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "sub two uno"));
	/* Over a package's file, which is gone then. */
	CU_ASSERT_EQUAL(test_rename(view, "a", "uno", "a", "two"), 0);
	CU_ASSERT_EQUAL(fixture_find(view, "a/two").fileid, id);
	CU_ASSERT_EQUAL(view_getattr(view, two, &attr), -ESTALE);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "sub two"));
	CU_ASSERT_EQUAL(test_rename(view, "a", "two", "", "three"), 0);
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "sub"));
	CU_ASSERT_TRUE(test_is(view, "three", "one"));
	CU_ASSERT_EQUAL(fixture_attr(view, "three").nlink, 1);
	/* Back to where it came from. */
	CU_ASSERT_EQUAL(test_rename(view, "", "three", "a", "one"), 0);
	CU_ASSERT_EQUAL(fixture_find(view, "a/one").fileid, id);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "one sub"));
	/* Onto itself, and onto another name of itself: nothing (N-33). */
	CU_ASSERT_EQUAL(test_rename(view, "a", "one", "a", "one"), 0);
	CU_ASSERT_EQUAL(test_rename(view, "b", "h1", "b", "h2"), 0);
	CU_ASSERT_TRUE(fixture_names_are(view, "b", "h1 h2 h3"));
	/* Over one of three links. */
	CU_ASSERT_EQUAL(test_rename(view, "a", "one", "b", "h2"), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "b/h1").nlink, 2);
	CU_ASSERT_TRUE(test_is(view, "b/h2", "one"));
	/* A symbolic link is moved, not followed. */
	CU_ASSERT_EQUAL(test_rename(view, "", "sym", "a", "sym"), 0);
	CU_ASSERT_TRUE(S_ISLNK(fixture_attr(view, "a/sym").mode));
	fixture_close(&fx);
}

static void test_names_rename_kinds(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	uint32_t nlink = fixture_attr(view, "").nlink;

	CU_ASSERT_EQUAL(test_rename(view, "", "sym", "", "empty"), -EISDIR);
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "", "sym"), -ENOTDIR);
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "", "a"), -ENOTEMPTY);
	CU_ASSERT_EQUAL(test_rename(view, "", "a", "", "empty"), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, nlink - 1);
	CU_ASSERT_TRUE(fixture_names_are(view, "empty", "one sub two"));
	CU_ASSERT_TRUE(test_absent(view, "a"));
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "", "."), -EINVAL);
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "", ".."), -EINVAL);
	CU_ASSERT_EQUAL(test_rename(view, "empty", ".", "", "x"), -EINVAL);
	CU_ASSERT_EQUAL(test_rename(view, "empty", "..", "", "x"), -EINVAL);
	CU_ASSERT_EQUAL(fixture_rename(view, &fixture_root,
				       fixture_find(view, "sym"), "x",
				       view_root(view), "y", NULL),
			-ENOTDIR);
	fixture_close(&fx);
}

static void test_names_rename_directory(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view), d;
	uint64_t sub = fixture_find(view, "a/sub").fileid;
	uint64_t deep = fixture_find(view, "a/sub/deep").fileid;
	uint64_t cookie = test_cookie(view, "a/sub", "deep");

	/* Its content goes with it, at the cost of a name. */
	CU_ASSERT_EQUAL(test_rename(view, "a", "sub", "empty", "moved"), 0);
	CU_ASSERT_EQUAL(fixture_find(view, "empty/moved").fileid, sub);
	CU_ASSERT_EQUAL(fixture_find(view, "empty/moved/deep").fileid, deep);
	CU_ASSERT_EQUAL(test_cookie(view, "empty/moved", "deep"), cookie);
	CU_ASSERT_EQUAL(fixture_attr(view, "empty/moved/..").fileid,
			fixture_find(view, "empty").fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "empty/moved/more/..").fileid, sub);
	CU_ASSERT_EQUAL(fixture_attr(view, "a").nlink, 2);
	CU_ASSERT_EQUAL(fixture_attr(view, "empty").nlink, 3);
	CU_ASSERT_EQUAL(fixture_attr(view, "empty/moved").nlink, 3);
	view = fixture_again(&fx);
	CU_ASSERT_TRUE(fixture_names_are(view, "empty/moved", "deep more"));
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "one two"));
	CU_ASSERT_TRUE(test_is(view, "empty/moved/more/x", "x"));
	/* Into itself, or below: no (N-33). */
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "empty", "in"), -EINVAL);
	CU_ASSERT_EQUAL(
	    test_rename(view, "", "empty", "empty/moved/more", "in"), -EINVAL);
	CU_ASSERT_EQUAL(test_rename(view, "empty", "moved", "empty/moved", "x"),
			-EINVAL);
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, root, "born", 0755, &d), 0);
	CU_ASSERT_EQUAL(test_rename(view, "", "empty", "born", "e"), 0);
	CU_ASSERT_EQUAL(test_rename(view, "", "born", "born/e/moved", "loop"),
			-EINVAL);
	CU_ASSERT_TRUE(test_is(view, "born/e/moved/deep", "deep"));
	/* And home again. */
	CU_ASSERT_EQUAL(test_rename(view, "born/e", "moved", "a", "sub"), 0);
	CU_ASSERT_EQUAL(test_rename(view, "born", "e", "", "empty"), 0);
	CU_ASSERT_EQUAL(fixture_find(view, "a/sub/deep").fileid, deep);
	CU_ASSERT_EQUAL(fixture_attr(view, "a").nlink, 3);
	CU_ASSERT_EQUAL(fixture_attr(view, "born").nlink, 2);
	fixture_close(&fx);
}

/* --- rules --------------------------------------------------------------- */

/* Rule N-29: what is no name, for every call that takes one. */
static void test_names_rules(void)
{
	static char long_name[VIEW_NAME_MAX + 2];
	const struct {
		const char *name;
		size_t len;
		int lookup, create, remove, rename;
	} table[] = {
	    {"", 0, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {".", 1, 0, -EEXIST, -EINVAL, -EINVAL},
	    {"..", 2, 0, -EEXIST, -ENOTEMPTY, -EINVAL},
	    {"/", 1, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {"a/b", 3, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {"../x", 4, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {"a\0b", 3, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {"\0", 1, -EINVAL, -EINVAL, -EINVAL, -EINVAL},
	    {long_name, VIEW_NAME_MAX + 1, -ENAMETOOLONG, -ENAMETOOLONG,
	     -ENAMETOOLONG, -ENAMETOOLONG},
	};
	struct view_setattr set = {0};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object a = fixture_find(view, "a");
	struct view_object one = fixture_find(view, "a/one");

	memset(long_name, 'n', sizeof(long_name));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *name = table[i].name;
		size_t len = table[i].len;
		struct view_attr attr, dir_attr;
		struct fixture_call c;

		fixture_call_init(&c);
		CU_ASSERT_EQUAL(view_lookup(view, &fixture_root, a, name, len,
					    &attr, &dir_attr),
				table[i].lookup);
		for (int how = 0; how < 3; how++)
			CU_ASSERT_EQUAL(
			    view_create(view, &fixture_root, a, name, len,
					(enum view_create_how)how, &set, 0,
					&c.wait, &c.change),
			    table[i].create);
		CU_ASSERT_EQUAL(view_mknod(view, &fixture_root, a, name, len,
					   S_IFDIR, &set, 0, 0, &c.change),
				table[i].create);
		CU_ASSERT_EQUAL(view_symlink(view, &fixture_root, a, name, len,
					     "t", 1, &set, &c.change),
				table[i].create);
		CU_ASSERT_EQUAL(view_link(view, &fixture_root, one, a, name,
					  len, &c.change),
				table[i].create);
		for (int rmdir_ = 0; rmdir_ < 2; rmdir_++)
			CU_ASSERT_EQUAL(view_remove(view, &fixture_root, a,
						    name, len, rmdir_,
						    &c.change),
					table[i].remove);
		CU_ASSERT_EQUAL(view_rename(view, &fixture_root, a, "one", 3, a,
					    name, len, &c.change),
				table[i].rename);
		CU_ASSERT_EQUAL(view_rename(view, &fixture_root, a, name, len,
					    a, "x", 1, &c.change),
				table[i].rename);
		CU_ASSERT_FALSE(c.change.pending);
		fixture_call_end(&c);
	}
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "one sub two"));
	fixture_close(&fx);
}

/* Every other byte string is a name, markers of other systems too (N-30). */
static void test_names_bytes(void)
{
	static const char *const names[] = {
	    "...", ".wh.one", ".wh..wh..opq", "\xff\xfe", "\x01",
	    " ",   "A",       "a\\b",         "one ",     ".nfs0001"};
	static char long_name[VIEW_NAME_MAX + 1];
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object a = fixture_find(view, "a");
	struct view_attr attr;

	memset(long_name, 'n', VIEW_NAME_MAX);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, a, long_name, 0600, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, a, names[i], 0600, NULL),
		    0);
	view = fixture_again(&fx);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CU_ASSERT_EQUAL(
		    fixture_lookup(view, &fixture_root, a, names[i], &attr), 0);
		CU_ASSERT_EQUAL(
		    fixture_remove(view, &fixture_root, a, names[i], NULL), 0);
	}
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, long_name, NULL),
			0);
	CU_ASSERT_TRUE(fixture_names_are(view, "a", "one sub two"));
	fixture_close(&fx);
}

/* Rule N-35. */
static void test_names_sticky(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object tmp = fixture_find(view, "tmp");

	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_user, tmp, "mine", 0666, NULL), 0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_other, tmp, "mine", NULL),
			-EPERM);
	CU_ASSERT_EQUAL(
	    fixture_rename(view, &fixture_other, tmp, "mine", tmp, "x", NULL),
	    -EPERM);
	CU_ASSERT_EQUAL(fixture_rename(view, &fixture_other, tmp, "theirs", tmp,
				       "mine", NULL),
			-EPERM);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_user, tmp, "theirs", NULL), -EPERM);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_other, tmp, "theirs", NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_rename(view, &fixture_user, tmp, "mine", tmp, "my", NULL),
	    0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, tmp, "my", NULL),
			0);
	fixture_close(&fx);
}

/* Rule N-36. */
static void test_names_setgid(void)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 02777};
	const struct view_cred member = {5, 6, {2000}, 1};
	const struct view_cred stranger = {0, 6, {0}, 0};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object shared = fixture_find(view, "shared");
	struct view_object open = fixture_find(view, "open"), d;
	struct view_done done;

	CU_ASSERT_EQUAL(fixture_create(view, &member, shared, "f",
				       VIEW_CREATE_GUARDED, &set, 0, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.gid, 2000);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFREG | 02777);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &member, shared, "d", 0755, &d), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "shared/d").gid, 2000);
	CU_ASSERT_EQUAL(fixture_attr(view, "shared/d").mode, S_IFDIR | 02755);
	CU_ASSERT_EQUAL(fixture_create(view, &stranger, shared, "g",
				       VIEW_CREATE_GUARDED, &set, 0, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.gid, 2000);
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_other, open, "g",
				       VIEW_CREATE_GUARDED, &set, 0, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.gid, 1001);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFREG | 02777);
	/* Not in the group of the directory: the bit goes. */
	set.mask |= VIEW_SET_MODE;
	set.mode = 0777;
	CU_ASSERT_EQUAL(
	    fixture_setattr(view, &fixture_root, shared, &set, NULL), 0);
	set.mode = 02777;
	CU_ASSERT_EQUAL(
	    fixture_setattr(view, &fixture_root, shared, &set, NULL), 0);
	CU_ASSERT_EQUAL(fixture_create(view, &fixture_other, shared, "h",
				       VIEW_CREATE_GUARDED, &set, 0, &done),
			0);
	CU_ASSERT_EQUAL(done.attr.gid, 2000);
	CU_ASSERT_EQUAL(done.attr.mode, S_IFREG | 0777);
	fixture_close(&fx);
}

/* A directory that the caller may not write, or not search. */
static void test_names_rights(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object ro = fixture_find(view, "ro");
	struct view_object open = fixture_find(view, "open");
	struct view_object f = fixture_find(view, "ro/f");
	const struct view_cred *c = &fixture_other;

	CU_ASSERT_EQUAL(fixture_touch(view, c, ro, "x", 0600, NULL), -EACCES);
	CU_ASSERT_EQUAL(fixture_touch(view, c, ro, "f", 0600, NULL), -EEXIST);
	CU_ASSERT_EQUAL(fixture_mkdir(view, c, ro, "x", 0600, NULL), -EACCES);
	CU_ASSERT_EQUAL(fixture_symlink(view, c, ro, "x", "y", NULL), -EACCES);
	CU_ASSERT_EQUAL(fixture_link(view, c, f, ro, "x", NULL), -EACCES);
	CU_ASSERT_EQUAL(fixture_link(view, c, f, open, "x", NULL), 0);
	CU_ASSERT_EQUAL(fixture_rename(view, c, ro, "f", open, "y", NULL),
			-EACCES);
	CU_ASSERT_EQUAL(fixture_rename(view, c, open, "x", ro, "y", NULL),
			-EACCES);
	CU_ASSERT_EQUAL(fixture_remove(view, c, ro, "f", NULL), -EACCES);
	CU_ASSERT_EQUAL(fixture_remove(view, c, open, "x", NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_user, open, "d", 0600, NULL), 0);
	/* No search right: not even whether it exists. */
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_user,
				       fixture_find(view, "open/d"), "q", NULL),
			-EACCES);
	/* A directory whose ".." would change must be writable. */
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, open, "theirs", 0755, NULL), 0);
	CU_ASSERT_EQUAL(fixture_rename(view, c, open, "theirs",
				       fixture_find(view, "tmp"), "theirs2",
				       NULL),
			-EACCES);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"create", test_names_create},
    {"exclusive", test_names_exclusive},
    {"mkdir", test_names_mkdir},
    {"special files and symbolic links", test_names_special},
    {"links to a package's file", test_names_link},
    {"links to a new file", test_names_link_born},
    {"remove", test_names_remove},
    {"whiteouts", test_names_whiteout},
    {"rename", test_names_rename},
    {"rename over other kinds", test_names_rename_kinds},
    {"rename of directories", test_names_rename_directory},
    {"rules of names", test_names_rules},
    {"any bytes", test_names_bytes},
    {"sticky", test_names_sticky},
    {"setgid", test_names_setgid},
    {"rights", test_names_rights},
};

int main(void)
{
	return check_main("test_view_names", tests, ARRAY_LEN(tests));
}
