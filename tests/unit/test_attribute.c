/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_attribute: to which software a path belongs, what the operator says of
 * it, and a delta told path by path.
 */
#include <stdio.h>

#include "overlay/attribute.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_TEXT_MAX = 8192 };

#define TEST_DIR(p)                                                            \
	{                                                                      \
		.path = (p), .mode = S_IFDIR | 0755                            \
	}
#define TEST_FILE(p)                                                           \
	{                                                                      \
		.path = (p), .mode = S_IFREG | 0644, .text = (p)               \
	}

static const struct fixture_entry test_ed[] = {
    TEST_DIR("etc"),
    TEST_FILE("etc/ed/rc"),
    TEST_FILE("usr/bin/ed"),
    TEST_FILE("usr/share/ed/a/one"),
    TEST_FILE("usr/share/ed/a/two"),
    TEST_FILE("usr/share/both/ed"),
    TEST_FILE("usr/lib/x86_64-linux-gnu/ed/x"),
    {.path = "gone", .whiteout = true},
};
static const struct fixture_entry test_db[] = {
    TEST_DIR("etc"),         TEST_FILE("etc/db.conf"),
    TEST_FILE("usr/bin/db"), TEST_FILE("usr/bin/ed"),
    TEST_FILE("opt/db/x"),   TEST_FILE("usr/share/both/db"),
};

static void test_rule(void)
{
	static const struct {
		const char *path, *owner;
	} rows[] = {
	    {"usr/bin/ed", "ed"}, /* of both: the first */
	    {"usr/bin/db", "db"},
	    {"etc/ed/rc", "ed"},
	    {"etc/ed/new", "ed"},
	    {"etc/ed/deep/below/new", "ed"},
	    {"usr/share/ed", "ed"}, /* a directory of its own */
	    {"usr/share/ed/a/new", "ed"},
	    {"usr/share/ed/a/one/x", "ed"}, /* below what was a file */
	    {"usr/share/both", "ed"},
	    {"usr/share/both/db", "db"},
	    {"usr/share/both/new", "ed"},
	    {"usr/lib/x86_64-linux-gnu/ed/new", "ed"},
	    {"usr/lib/x86_64-linux-gnu/new", NULL},
	    {"opt/db/new", "db"},
	    {"opt/new", NULL},
	    {"etc", NULL}, /* of the hierarchy */
	    {"etc/new", NULL},
	    {"usr/bin/new", NULL},
	    {"usr", NULL},
	    {"", NULL},
	    {"new", NULL},
	    {"gone", NULL}, /* what a package only deletes is not its own */
	    {"home/ana/x", NULL},
	    {"srv/deep/new", NULL},
	};
	struct attribution a = {.count = 0};
	struct fixture fx;
	struct tree *ed, *db;

	fixture_open(&fx);
	ed = fixture_tree(fx.depot, FIXTURE_CHUNK, test_ed, ARRAY_LEN(test_ed));
	db = fixture_tree(fx.depot, FIXTURE_CHUNK, test_db, ARRAY_LEN(test_db));
	attribution_add(&a, "ed", ed);
	attribution_add(&a, "db", db);
	tree_put(ed);
	tree_put(db);
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			const char *owner = attribution_of(&a, rows[i].path);
			const char *want = rows[i].owner;

			if ((owner && want && strcmp(owner, want) == 0) ||
			    owner == want)
				continue;
			fprintf(stderr, "\"%s\" is %s's\n", rows[i].path,
				owner ? owner : "nobody");
			CU_FAIL("whose it is");
		}
	attribution_clear(&a);
	fixture_close(&fx);
}

/* --- what was said -------------------------------------------------------- */

static void test_said(void)
{
	struct attribute_rows rows = {.count = 0}, again;
	CLEANUP_FREE uint8_t *value = NULL;
	bool changed;
	size_t len;

	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "m", "ed", &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "a/b", "db", &changed), 0);
	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "z", "ed", &changed), 0);
	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "z", "ed", &changed), 0);
	CU_ASSERT_FALSE(changed);
	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "z", NULL, &changed), 0);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_EQUAL(attribute_rows_set(&rows, "z", NULL, &changed), 0);
	CU_ASSERT_FALSE(changed);
	CU_ASSERT_EQUAL_FATAL(attribute_rows_encode(&rows, &value, &len), 0);
	CU_ASSERT_EQUAL_FATAL(attribute_rows_decode(value, len, &again), 0);
	CU_ASSERT_EQUAL_FATAL(again.count, 2);
	CU_ASSERT_STRING_EQUAL(again.row[0].path, "a/b");
	CU_ASSERT_STRING_EQUAL(again.row[0].package, "db");
	CU_ASSERT_STRING_EQUAL(again.row[1].path, "m");
	attribute_rows_clear(&again);
	/* However it is cut or changed: refused, or another list. */
	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_EQUAL(attribute_rows_decode(value, cut, &again),
				-EBADMSG);
	for (size_t at = 1; at < len; at++) {
		value[at] ^= 0x81;
		if (attribute_rows_decode(value, len, &again) == 0)
			attribute_rows_clear(&again);
		value[at] ^= 0x81;
	}
	value[0] = ATTRIBUTE_FORMAT + 1;
	check_mute();
	CU_ASSERT_EQUAL(attribute_rows_decode(value, len, &again),
			-EPROTONOSUPPORT);
	check_unmute();
	attribute_rows_clear(&rows);
}

static int test_diff_visit(void *ctx, const struct site_delta_change *change)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, TEST_TEXT_MAX - len, "%c %s %s\n", change->kind,
		 change->path, change->package ? change->package : "-");
	return 0;
}

static bool test_diff_is(struct fixture *fx, const char *want)
{
	char text[TEST_TEXT_MAX] = "";

	CU_ASSERT_EQUAL(
	    site_delta_diff(fx->site, "red/vm1", test_diff_visit, text), 0);
	if (strcmp(text, want) == 0)
		return true;
	fprintf(stderr, "%sis not the expected\n%s", text, want);
	return false;
}

static struct view *test_open(struct fixture *fx)
{
	struct package_info info[2];

	fixture_open(fx);
	fixture_package(fx, "ed", "1", test_ed, ARRAY_LEN(test_ed), &info[0]);
	fixture_package(fx, "db", "1", test_db, ARRAY_LEN(test_db), &info[1]);
	return fixture_guest(fx, info, 2);
}

static void test_touch(struct view *view, const char *dir, const char *name)
{
	struct view_object obj;

	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root,
				      fixture_find(view, dir), name, 0600,
				      &obj),
			0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, obj, 0, name,
				      strlen(name), true, NULL),
			0);
}

/* In a guest: assigned, over a restart, and taken back. */
static void test_assigned(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	bool changed;

	test_touch(view, "etc", "new");
	test_touch(view, "opt/db", "mine");
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/new -\nA opt/db/mine db\n"));
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "etc/new", "ed", &changed),
	    0);
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "opt", "ed", &changed), 0);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/new ed\nA opt/db/mine ed\n"));
	fixture_restart(&fx, true);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/new ed\nA opt/db/mine ed\n"));
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "opt/db", "db", &changed), 0);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/new ed\nA opt/db/mine db\n"));
	check_mute();
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "opt", "no", &changed),
	    -ESRCH);
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "/opt", "ed", &changed),
	    -EINVAL);
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm2", "opt", "ed", &changed),
	    -ENOENT);
	check_unmute();
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "opt/db", NULL, &changed), 0);
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "opt", NULL, &changed), 0);
	CU_ASSERT_EQUAL(
	    site_delta_assign(fx.site, "red/vm1", "etc/new", NULL, &changed),
	    0);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/new -\nA opt/db/mine db\n"));
	fixture_close(&fx);
}

/* What an overlay in the guest has deleted, of packages and of its own OS. */
static void test_whiteouts(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object etc = fixture_find(view, "etc");

	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_root, etc, "db.conf", NULL), 0);
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, etc, "db.conf",
				      S_IFCHR, 0, 0, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_mknod(view, &fixture_root, etc, "motd", S_IFCHR,
				      0, 0, NULL),
			0);
	CU_ASSERT_TRUE(test_diff_is(&fx, "D etc/db.conf db\nD etc/motd -\n"));
	fixture_close(&fx);
}

/* --- path by path --------------------------------------------------------- */

struct test_objects {
	char text[TEST_TEXT_MAX];
	char data[64];
};

static int test_take(void *ctx, const void *data, size_t len)
{
	struct test_objects *t = ctx;

	if (len < sizeof(t->data) - 1)
		strncat(t->data, data, len);
	return 0;
}

static int test_object(void *ctx, const struct site_object *o)
{
	struct test_objects *t = ctx;
	size_t len = strlen(t->text);

	t->data[0] = '\0';
	if (o->kind != SITE_CHANGE_DELETED && S_ISREG(o->attr.mode) && !o->link)
		CU_ASSERT_EQUAL(site_object_data(o, test_take, t), 0);
	snprintf(t->text + len, sizeof(t->text) - len, "%c %s%s%s%s%s%s%s\n",
		 o->kind, o->path, o->opaque ? " opaque" : "",
		 o->base_id ? " base" : "", o->link ? " = " : "",
		 o->link ? o->link : "", *t->data ? " " : "", t->data);
	return 0;
}

static bool test_objects_are(struct fixture *fx, const char *snapshot,
			     const char *want)
{
	struct test_objects t = {.text = ""};

	CU_ASSERT_EQUAL(
	    site_delta_objects(fx->site, "red/vm1", snapshot, test_object, &t),
	    0);
	if (strcmp(t.text, want) == 0)
		return true;
	fprintf(stderr, "%sis not the expected\n%s", t.text, want);
	return false;
}

/* Renamed directories are there whole; a new one over an old one is opaque. */
static void test_paths(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object share = fixture_find(view, "usr/share"), obj;
	size_t files;

	CU_ASSERT_TRUE(test_objects_are(&fx, NULL, ""));
	CU_ASSERT_EQUAL(fixture_rename(view, &fixture_root, share, "ed", share,
				       "moved", NULL),
			0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root,
				       fixture_find(view, "opt/db"), "x", NULL),
			0);
	CU_ASSERT_EQUAL(fixture_rmdir(view, &fixture_root,
				      fixture_find(view, "opt"), "db", NULL),
			0);
	CU_ASSERT_EQUAL(fixture_mkdir(view, &fixture_root,
				      fixture_find(view, "opt"), "db", 0700,
				      &obj),
			0);
	test_touch(view, "opt/db", "own");
	CU_ASSERT_EQUAL(fixture_link(view, &fixture_root,
				     fixture_find(view, "opt/db/own"), obj,
				     "two", NULL),
			0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, "usr/bin/db"), 0, "U",
				      1, true, NULL),
			0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx.site, "red/vm1", "s"), 0);
	files = fixture_host_files(&fx);
	test_touch(view, "etc", "later");
	CU_ASSERT_TRUE(test_objects_are(&fx, "s",
					"M opt/db opaque base\n"
					"A opt/db/own own\n"
					"A opt/db/two = opt/db/own\n"
					"M usr/bin/db base Usr/bin/db\n"
					"D usr/share/ed base\n"
					"A usr/share/moved\n"
					"A usr/share/moved/a\n"
					"A usr/share/moved/a/one "
					"usr/share/ed/a/one\n"
					"A usr/share/moved/a/two "
					"usr/share/ed/a/two\n"));
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/later -\n"
					 "M opt/db db\n"
					 "A opt/db/own db\n"
					 "A opt/db/two db\n"
					 "M usr/bin/db db\n"
					 "R usr/share/moved ed\n"));
	/* Nothing of the reader's stays, and the guest goes on. */
	CU_ASSERT_EQUAL(fixture_host_files(&fx), files);
	test_touch(view, "etc", "after");
	check_mute();
	CU_ASSERT_EQUAL(
	    site_delta_objects(fx.site, "red/vm1", "none", test_object, NULL),
	    -ENOENT);
	check_unmute();
	fixture_restart(&fx, true);
	CU_ASSERT_EQUAL(site_delta_restore(fx.site, "red/vm1", "s"), 0);
	fixture_close(&fx);
}

/* --- one software's changes go -------------------------------------------- */

/* Whatever red/vm1 sees, with all that a client could tell it by but ctime, and
 * the times of directories. */
static void test_see(struct view *view, const char *path, char *out)
{
	struct fixture_list list = {.want_attr = true};
	char below[512];

	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root,
				     fixture_find(view, path), 0, &list),
			0);
	for (size_t i = 0; i < list.count; i++) {
		const struct view_attr *a = &list.entries[i].attr;
		bool dir = S_ISDIR(a->mode);
		size_t len = strlen(out);

		if (list.entries[i].name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "",
			 list.entries[i].name);
		snprintf(out + len, TEST_TEXT_MAX * 4 - len,
			 "%s %llx %o %u %u:%u %llu %lld.%ld\n", below,
			 (unsigned long long)a->fileid, a->mode, a->nlink,
			 a->uid, a->gid, (unsigned long long)a->size,
			 dir ? 0LL : (long long)a->mtime.tv_sec,
			 dir ? 0L : a->mtime.tv_nsec);
		if (dir)
			test_see(view, below, out);
	}
	fixture_list_clear(&list);
}

static char *test_seen(struct view *view)
{
	char *text = calloc(1, TEST_TEXT_MAX * 4);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	test_see(view, "", text);
	return text;
}

static void test_same(const char *after, const char *before)
{
	CU_ASSERT_STRING_EQUAL(after, before);
	if (strcmp(after, before) != 0)
		fprintf(stderr, "%sis not\n%s", after, before);
}

static void test_rm(struct view *view, const char *dir, const char *name,
		    bool rmdir)
{
	struct view_object obj = fixture_find(view, dir);

	CU_ASSERT_EQUAL(
	    rmdir ? fixture_rmdir(view, &fixture_root, obj, name, NULL)
		  : fixture_remove(view, &fixture_root, obj, name, NULL),
	    0);
}

static uint64_t test_give_up(struct fixture *fx, const char *package)
{
	uint64_t left = 99;

	CU_ASSERT_EQUAL(site_delta_reset_package(fx->site, "red/vm1", package,
						 false, NULL, NULL, &left),
			0);
	return left;
}

/* All kinds of changes of ed; one of db and one of nobody. */
static void test_spoil(struct fixture *fx, struct view *view, bool layers)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0700};

	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, "etc/ed/rc"), 2, "X",
				      1, true, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root,
					fixture_find(view, "usr/bin/ed"), &set,
					NULL),
			0);
	test_rm(view, "usr/share/ed/a", "one", false);
	if (layers)
		CU_ASSERT_EQUAL(site_delta_snapshot(fx->site, "red/vm1", "s"),
				0);
	CU_ASSERT_EQUAL(fixture_rename(view, &fixture_root,
				       fixture_find(view, "usr/share/ed/a"),
				       "two", fixture_find(view, "usr"),
				       "moved", NULL),
			0);
	test_rm(view, "usr/share/ed", "a", true);
	test_rm(view, "usr/share", "ed", true);
	test_touch(view, "usr/lib/x86_64-linux-gnu/ed", "new");
	test_touch(view, "opt/db", "mine");
	test_touch(view, "etc", "own");
}

static void test_reset_in(bool layers)
{
	CLEANUP_FREE char *before = NULL;
	CLEANUP_FREE char *after = NULL;
	struct fixture fx;
	struct view *view = test_open(&fx);
	uint64_t left;

	before = test_seen(view);
	test_spoil(&fx, view, layers);
	CU_ASSERT_EQUAL(site_delta_reset_package(fx.site, "red/vm1", "ed", true,
						 NULL, NULL, &left),
			0);
	CU_ASSERT_EQUAL(
	    fixture_walk(view, "usr/moved", &(struct view_attr){.mode = 0}),
	    0); /* a dry run */
	CU_ASSERT_EQUAL(test_give_up(&fx, "ed"), 0);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/own -\nA opt/db/mine db\n"));
	CU_ASSERT_EQUAL(test_give_up(&fx, "db"), 0);
	CU_ASSERT_EQUAL(test_give_up(&fx, ""), 0);
	CU_ASSERT_TRUE(test_diff_is(&fx, ""));
	after = test_seen(view);
	test_same(after, before);
	fixture_restart(&fx, true);
	CU_ASSERT_TRUE(test_diff_is(&fx, ""));
	fixture_close(&fx);
}

static void test_reset(void)
{
	test_reset_in(false);
	test_reset_in(true);
}

/* --- profiles ------------------------------------------------------------- */

static const struct fixture_entry test_profile[] = {
    {.path = "etc/ed/rc", .mode = S_IFREG | 0600, .text = "other"},
    {.path = "usr/share/ed/a/two", .whiteout = true},
    {.path = "usr/share/ed/a/plug", .mode = S_IFREG | 0644, .text = "plug"},
    {.path = "opt/db", .mode = S_IFDIR | 0711, .opaque = true},
    {.path = "opt/db/only", .mode = S_IFREG | 0644, .text = "only"},
};

/* Off again, everything is as it was: attributes, numbers, listings. */
static void test_detach(void)
{
	struct site_profile_how how = {.policy = SITE_POLICY_FAIL};
	CLEANUP_FREE char *before = NULL;
	CLEANUP_FREE char *with = NULL;
	CLEANUP_FREE char *after = NULL;
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct package_info info;

	test_touch(view, "etc", "own");
	test_rm(view, "usr/bin", "db", false);
	before = test_seen(view);
	fixture_package(&fx, "prof", "profile", test_profile,
			ARRAY_LEN(test_profile), &info);
	CU_ASSERT_EQUAL(site_profile_apply(fx.site, "red/vm1", &info, &how), 0);
	CU_ASSERT_TRUE(how.changed);
	with = test_seen(view);
	CU_ASSERT_TRUE(fixture_names_are(view, "opt/db", "only"));
	CU_ASSERT_TRUE(fixture_names_are(view, "usr/share/ed/a", "one plug"));
	CU_ASSERT_EQUAL(fixture_attr(view, "opt/db").mode, S_IFDIR | 0711);
	CU_ASSERT_EQUAL(fixture_attr(view, "etc").mode, S_IFDIR | 0755);
	CU_ASSERT_TRUE(test_diff_is(&fx, "A etc/own -\nD usr/bin/db db\n"));
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	after = test_seen(view);
	test_same(after, with);
	free(after);
	CU_ASSERT_EQUAL(site_profile_apply(fx.site, "red/vm1", &info, &how), 0);
	CU_ASSERT_FALSE(how.changed);
	CU_ASSERT_EQUAL(site_profile_detach(fx.site, "red/vm1", "prof", &how),
			0);
	after = test_seen(view);
	test_same(after, before);
	check_mute();
	CU_ASSERT_EQUAL(site_profile_detach(fx.site, "red/vm1", "prof", &how),
			-ESRCH);
	check_unmute();
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"the rule", test_rule},
    {"what was said", test_said},
    {"assigned paths of a guest", test_assigned},
    {"whiteouts of the guest's overlay", test_whiteouts},
    {"path by path", test_paths},
    {"one software's changes go", test_reset},
    {"a profile on and off", test_detach},
};

int main(void)
{
	return check_main("test_attribute", tests, ARRAY_LEN(tests));
}
