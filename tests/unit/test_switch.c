/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_switch: what guests see of a switch beside names and contents: old
 * handles, times of directories, what gave way and comes back; and two packages
 * that delete and provide one path.
 */
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "depot/gc.h"
#include "overlay/past.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

static const struct fixture_entry test_one[] = {
    {"bin/sh", S_IFREG | 0755, .text = "shell"},
    {"bin/tool", S_IFREG | 0755, .text = "tool 1"},
    {"etc/conf", S_IFREG | 0644, .text = "conf 1"},
    {"etc/link", S_IFLNK | 0777, .text = "target 1"},
    {"lib/big", S_IFREG | 0644, .len = 100000, .seed = 1},
    {"old/only", S_IFREG | 0644, .text = "only"},
};
static const struct fixture_entry test_two[] = {
    {"bin/sh", S_IFREG | 0755, .text = "shell"},
    {"bin/tool", S_IFREG | 0755, .text = "tool 2"},
    {"etc/conf", S_IFREG | 0644, .text = "conf 2"},
    {"etc/link", S_IFLNK | 0777, .text = "target 2"},
    {"etc/new", S_IFREG | 0644, .text = "new"},
    {"lib/big", S_IFREG | 0644, .len = 100000, .seed = 1},
};

static const struct fixture_entry test_deletes[] = {
    {"bin/tool", .whiteout = true},
    {"bin/extra", S_IFREG | 0755, .text = "extra"},
};

struct test {
	struct fixture fx;
	struct package_info one, two;
	struct view *view;
};

static void test_open(struct test *t)
{
	fixture_open(&t->fx);
	fixture_package(&t->fx, "p", "1", test_one, ARRAY_LEN(test_one),
			&t->one);
	fixture_package(&t->fx, "p", "2", test_two, ARRAY_LEN(test_two),
			&t->two);
	t->view = fixture_guest(&t->fx, &t->one, 1);
}

static void test_again(struct test *t)
{
	fixture_restart(&t->fx, true);
	t->view = fixture_view(&t->fx, "/red/vm1");
}

static int test_switch(struct test *t, const struct package_info *to,
		       enum site_policy policy, struct site_switch *how)
{
	struct site_switch here = {.policy = policy};
	uint32_t generation;
	int rc;

	check_mute();
	rc = site_tenant_switch(t->fx.site, "red", to, 1, &here, &generation);
	check_unmute();
	if (how)
		*how = here;
	return rc;
}

static bool test_has(struct test *t, struct view_object obj, const char *text)
{
	return fixture_content_is(t->view, obj, text, strlen(text));
}

static bool test_is(struct test *t, const char *path, const char *text)
{
	return test_has(t, fixture_find(t->view, path), text);
}

static void test_put(struct test *t, const char *path, const char *text)
{
	CU_ASSERT_EQUAL(fixture_write(t->view, &fixture_root,
				      fixture_find(t->view, path), 0, text,
				      strlen(text), false, NULL),
			0);
}

static void test_problem(void *ctx, bool problem, const char *what)
{
	if (problem)
		fprintf(stderr, "%s\n", what);
	*(unsigned int *)ctx += problem;
}

static bool test_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool test_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* --- handles ----------------------------------------------------------------
 */

static void test_switch_handles(void)
{
	struct view_object tool, link, only;
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0600};
	struct view_attr before, attr;
	char target[VIEW_SYMLINK_MAX];
	struct test t;

	test_open(&t);
	tool = fixture_find(t.view, "bin/tool");
	link = fixture_find(t.view, "etc/link");
	only = fixture_find(t.view, "old/only");
	CU_ASSERT_EQUAL(view_getattr(t.view, tool, &before), 0);
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		size_t len = sizeof(target);

		CU_ASSERT_TRUE(test_has(&t, tool, "tool 1"));
		CU_ASSERT_TRUE(test_has(&t, only, "only"));
		CU_ASSERT_TRUE(test_is(&t, "bin/tool", "tool 2"));
		CU_ASSERT_EQUAL(view_getattr(t.view, tool, &attr), 0);
		CU_ASSERT_TRUE(fixture_attr_same(&attr, &before));
		CU_ASSERT_EQUAL(
		    view_readlink(t.view, link, target, &len, &attr), 0);
		CU_ASSERT_TRUE(len == 8 && memcmp(target, "target 1", 8) == 0);
		/* They can be read, not changed. */
		CU_ASSERT_EQUAL(fixture_write(t.view, &fixture_root, tool, 0,
					      "x", 1, true, NULL),
				-ESTALE);
		CU_ASSERT_EQUAL(
		    fixture_setattr(t.view, &fixture_root, tool, &set, NULL),
		    -ESTALE);
		CU_ASSERT_EQUAL(fixture_link(t.view, &fixture_root, tool,
					     view_root(t.view), "again", NULL),
				-ESTALE);
		test_again(&t);
	}
	/* Back: it is the same object again. */
	CU_ASSERT_EQUAL(test_switch(&t, &t.one, SITE_POLICY_FAIL, NULL), 0);
	CU_ASSERT_EQUAL(fixture_find(t.view, "bin/tool").fileid, tool.fileid);
	CU_ASSERT_EQUAL(
	    fixture_write(t.view, &fixture_root, tool, 0, "T", 1, true, NULL),
	    0);
	CU_ASSERT_TRUE(test_is(&t, "bin/tool", "Tool 1"));
	fixture_close(&t.fx);
}

/* After a day, when no generation has the tree any more, it is forgotten. */
static void test_switch_handles_end(void)
{
	struct view_object tool;
	struct view_attr attr;
	unsigned int count;
	struct test t;

	test_open(&t);
	tool = fixture_find(t.view, "bin/tool");
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	past_age_for_tests(PAST_HOURS * 3600 + 1);
	test_again(&t);
	CU_ASSERT_TRUE(test_has(&t, tool, "tool 1"));
	CU_ASSERT_EQUAL(site_forget_generations(t.fx.site, &t.one.revision, "p",
						"1", &count),
			0);
	CU_ASSERT_EQUAL(count, 1);
	past_age_for_tests(PAST_HOURS * 3600 - 60);
	test_again(&t);
	CU_ASSERT_TRUE(test_has(&t, tool, "tool 1"));
	past_age_for_tests(PAST_HOURS * 3600 + 1);
	test_again(&t);
	CU_ASSERT_EQUAL(view_getattr(t.view, tool, &attr), -ESTALE);
	past_age_for_tests(0);
	fixture_close(&t.fx);
}

struct test_trees {
	struct digest tree;
	unsigned int past;
};

static int test_tree_user(void *ctx, const struct site_tree_user *user)
{
	struct test_trees *trees = ctx;

	trees->past += user->past && digest_equal(&user->tree, &trees->tree);
	return 0;
}

/* What may be read still must not be collected. */
static void test_switch_trees(void)
{
	struct test_trees trees = {0};
	struct test t;

	test_open(&t);
	trees.tree = t.one.tree;
	CU_ASSERT_EQUAL(site_tree_users(t.fx.site, test_tree_user, &trees), 0);
	CU_ASSERT_EQUAL(trees.past, 0);
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	CU_ASSERT_EQUAL(site_tree_users(t.fx.site, test_tree_user, &trees), 0);
	CU_ASSERT_EQUAL(trees.past, 1);
	fixture_close(&t.fx);
}

/* A daemon that runs on lets go what nothing needs any more, too. */
static void test_switch_lets_go(void)
{
	struct test_trees trees = {0};
	struct view_object tool;
	struct view_attr attr;
	unsigned int count;
	uint32_t generation;
	struct test t;

	test_open(&t);
	trees.tree = t.one.tree;
	tool = fixture_find(t.view, "bin/tool");
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	CU_ASSERT_EQUAL(site_forget_generations(t.fx.site, &t.one.revision, "p",
						"1", &count),
			0);
	/* Not before the day is over. */
	past_age_for_tests(PAST_HOURS * 3600 - 60);
	CU_ASSERT_EQUAL(site_tenant_assign(t.fx.site, "red", NULL, 0, false,
					   NULL, NULL, &generation),
			0);
	CU_ASSERT_TRUE(test_has(&t, tool, "tool 1"));
	past_age_for_tests(PAST_HOURS * 3600 + 1);
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	CU_ASSERT_EQUAL(view_getattr(t.view, tool, &attr), -ESTALE);
	CU_ASSERT_EQUAL(site_tree_users(t.fx.site, test_tree_user, &trees), 0);
	CU_ASSERT_EQUAL(trees.past, 0);
	test_again(&t);
	CU_ASSERT_EQUAL(view_getattr(t.view, tool, &attr), -ESTALE);
	CU_ASSERT_TRUE(test_is(&t, "bin/tool", "tool 2"));
	past_age_for_tests(0);
	fixture_close(&t.fx);
}

static int test_past_trees(void *ctx, const struct site_tree_user *user)
{
	*(unsigned int *)ctx += user->past;
	return 0;
}

/* Very many upgrades: generations that are kept need no more than the last of
 * them. */
static void test_switch_many(void)
{
	struct fixture_entry entry = {.path = "bin/tool",
				      .mode = S_IFREG | 0755};
	char text[PAST_OLD_MAX + 20][16];
	struct view_object first = {0}, last = {0};
	struct package_info info;
	struct view_attr attr;
	unsigned int past = 0;
	struct test t;

	test_open(&t);
	past_age_for_tests(PAST_HOURS * 3600 + 1);
	for (unsigned int i = 0; i < ARRAY_LEN(text); i++) {
		snprintf(text[i], sizeof(text[i]), "%u", i);
		entry.text = text[i];
		fixture_package(&t.fx, "many", text[i], &entry, 1, &info);
		CU_ASSERT_EQUAL(test_switch(&t, &info, SITE_POLICY_FAIL, NULL),
				0);
		last = fixture_find(t.view, "bin/tool");
		if (i == 0)
			first = last;
	}
	CU_ASSERT_EQUAL(site_tree_users(t.fx.site, test_past_trees, &past), 0);
	/* That of the last switch was still seen when it was made. */
	CU_ASSERT_EQUAL(past, PAST_OLD_MAX + 1);
	CU_ASSERT_EQUAL(view_getattr(t.view, first, &attr), -ESTALE);
	CU_ASSERT_EQUAL(test_switch(&t, &t.one, SITE_POLICY_FAIL, NULL), 0);
	CU_ASSERT_TRUE(test_has(&t, last, text[ARRAY_LEN(text) - 1]));
	past_age_for_tests(0);
	fixture_close(&t.fx);
}

struct test_roots {
	struct site *site;
	bool without_own; /* the control */
	int (*visit)(void *ctx, const struct digest *tree);
	void *ctx;
};

static int test_root(void *ctx, const struct site_tree_user *user)
{
	struct test_roots *roots = ctx;

	return user->guest && roots->without_own
		   ? 0
		   : roots->visit(roots->ctx, &user->tree);
}

static int test_roots(void *ctx,
		      int (*visit)(void *ctx, const struct digest *tree),
		      void *visit_ctx)
{
	struct test_roots *roots = ctx;

	roots->visit = visit;
	roots->ctx = visit_ctx;
	return site_tree_users(roots->site, test_root, roots);
}

/* A whole collection; how many trees went, or will when their time is up. */
static unsigned int test_collect(struct test *t, bool without_own)
{
	struct gc_options options = {.keep_s = 0, .manual = true};
	struct test_roots roots = {t->fx.site, without_own, NULL, NULL};
	struct gc_report report = {0};
	unsigned int removed = 0;

	ASSERT(depot_gc_start(t->fx.depot, test_roots, &roots, &options) == 0);
	for (int i = 0; i < 1000 && !report.done; i++) {
		ASSERT(depot_gc_step(t->fx.depot, GC_STEP, &report) == 0);
		removed += report.trees_removed;
	}
	depot_gc_stop(t->fx.depot);
	return removed + report.trees_waiting + report.trees_busy;
}

/* What only a guest's own list names, no tag any more, is no garbage. */
static void test_switch_own_kept(void)
{
	static const struct fixture_entry entry[] = {
	    {"home/edrc", S_IFREG | 0644, .text = "mine"},
	};
	struct site_profile_how how = {.policy = SITE_POLICY_FAIL};
	struct gc_removed removed;
	struct package_info info;
	struct test t;

	test_open(&t);
	fixture_package(&t.fx, "mine", "profile", entry, 1, &info);
	CU_ASSERT_EQUAL(site_profile_apply(t.fx.site, "red/vm1", &info, &how),
			0);
	CU_ASSERT_EQUAL(
	    depot_package_remove(t.fx.depot, "mine", "profile", &removed), 0);
	test_again(&t);
	CU_ASSERT_EQUAL(test_collect(&t, false), 0);
	test_again(&t);
	CU_ASSERT_TRUE(test_is(&t, "home/edrc", "mine"));
	CU_ASSERT_EQUAL(test_collect(&t, true), 1);
	fixture_close(&t.fx);
}

/* --- times
 * -------------------------------------------------------------------- */

static void test_switch_times(void)
{
	static const char *const dirs[] = {"", "bin", "etc", "lib"};
	/* Names differ in the root and etc; in bin what a name stands for. */
	static const bool ctime[] = {true, true, true, false};
	static const bool mtime[] = {true, false, true, false};
	struct view_attr attrs[2][ARRAY_LEN(dirs)];
	struct test t;

	test_open(&t);
	for (int to = 0; to < 4; to++) {
		for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
			attrs[0][i] = fixture_attr(t.view, dirs[i]);
		CU_ASSERT_EQUAL(test_switch(&t, to % 2 ? &t.one : &t.two,
					    SITE_POLICY_FAIL, NULL),
				0);
		for (int again = 0; again < 2; again++) {
			for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
				struct view_attr *a = &attrs[0][i];
				struct view_attr *b = &attrs[1][i];

				*b = fixture_attr(t.view, dirs[i]);
				CU_ASSERT_EQUAL(
				    test_later(&b->ctime, &a->ctime), ctime[i]);
				CU_ASSERT_EQUAL(
				    test_same_time(&b->ctime, &a->ctime),
				    !ctime[i]);
				CU_ASSERT_EQUAL(
				    test_later(&b->mtime, &a->mtime), mtime[i]);
				CU_ASSERT_EQUAL(
				    test_same_time(&b->mtime, &a->mtime),
				    !mtime[i]);
			}
			test_again(&t);
		}
	}
	fixture_close(&t.fx);
}

static _Atomic time_t test_ahead; /* seconds that the clock is ahead */

/* Before the C library's. */
int clock_gettime(clockid_t id, struct timespec *now)
{
	int rc = (int)syscall(SYS_clock_gettime, id, now);

	if (id == CLOCK_REALTIME)
		now->tv_sec += test_ahead;
	return rc;
}

/* A guest's own list changed while the clock was an hour ahead.  A client takes
 * an older time for an older answer, and would go on with the names it has. */
static void test_switch_clock_back(void)
{
	struct timespec before, after;
	struct package_info list[2];
	uint32_t generation;
	struct test t;

	test_open(&t);
	fixture_package(&t.fx, "q", "1", test_deletes, ARRAY_LEN(test_deletes),
			&list[0]);
	list[1] = t.one;
	CU_ASSERT_EQUAL(
	    site_tenant_switch(t.fx.site, "red", list, 2,
			       &(struct site_switch){.take_order = true},
			       &generation),
	    0);
	test_ahead = 3600;
	CU_ASSERT_EQUAL(site_guest_set_whiteouts(t.fx.site, "red/vm1", true),
			0);
	before = fixture_attr(t.view, "bin").ctime;
	test_ahead = 0;
	CU_ASSERT_EQUAL(site_guest_set_whiteouts(t.fx.site, "red/vm1", false),
			0);
	after = fixture_attr(t.view, "bin").ctime;
	CU_ASSERT_TRUE(test_later(&after, &before));
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, NULL), 0);
	before = fixture_attr(t.view, "bin").ctime;
	CU_ASSERT_TRUE(test_later(&before, &after));
	fixture_close(&t.fx);
}

/* --- policies
 * ------------------------------------------------------------------ */

static void test_switch_package(void)
{
	struct site_switch how;
	struct view_object conf;
	struct test t;

	test_open(&t);
	test_put(&t, "etc/conf", "mine");
	conf = fixture_find(t.view, "etc/conf");
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_FAIL, &how),
			-EEXIST);
	CU_ASSERT_EQUAL(how.conflicts, 1);
	CU_ASSERT_TRUE(test_is(&t, "etc/conf", "mine 1"));
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_PACKAGE, &how), 0);
	CU_ASSERT_EQUAL(how.superseded, 1);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(test_is(&t, "etc/conf", "conf 2"));
		/* Who has it open reads on in what he had. */
		CU_ASSERT_TRUE(test_has(&t, conf, "mine 1"));
		CU_ASSERT_EQUAL(fixture_write(t.view, &fixture_root, conf, 0,
					      "x", 1, true, NULL),
				-ESTALE);
		CU_ASSERT_EQUAL(fixture_commit(t.view, conf), 0);
		test_again(&t);
	}
	CU_ASSERT_EQUAL(test_switch(&t, &t.one, SITE_POLICY_FAIL, &how), 0);
	CU_ASSERT_EQUAL(how.restored, 1);
	CU_ASSERT_TRUE(test_is(&t, "etc/conf", "mine 1"));
	CU_ASSERT_EQUAL(fixture_find(t.view, "etc/conf").fileid, conf.fileid);
	fixture_close(&t.fx);
}

static void test_switch_keep(void)
{
	struct site_switch how;
	struct view_object conf;
	struct test t;

	test_open(&t);
	test_put(&t, "etc/conf", "mine");
	test_put(&t, "old/only", "ONLY");
	conf = fixture_find(t.view, "etc/conf");
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_KEEP, &how), 0);
	CU_ASSERT_EQUAL(how.kept, 2);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(test_is(&t, "etc/conf", "mine 1"));
		CU_ASSERT_TRUE(test_is(&t, "old/only", "ONLY"));
		CU_ASSERT_TRUE(test_is(&t, "etc/new", "new"));
		CU_ASSERT_EQUAL(fixture_find(t.view, "etc/conf").fileid,
				conf.fileid);
		test_again(&t);
	}
	test_put(&t, "etc/conf", "MINE");
	CU_ASSERT_TRUE(test_is(&t, "etc/conf", "MINE 1"));
	fixture_close(&t.fx);
}

static int test_met(void *ctx, const struct site_met_change *change)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, 256 - len, "%s:%s:%s ", change->guest,
		 change->path, change->superseded ? "superseded" : "kept");
	return 0;
}

/* What gave way is listed, and comes back by hand. */
static void test_switch_by_hand(void)
{
	char text[256] = "";
	struct view_object conf;
	struct test t;

	test_open(&t);
	test_put(&t, "etc/conf", "mine");
	conf = fixture_find(t.view, "etc/conf");
	CU_ASSERT_EQUAL(test_switch(&t, &t.two, SITE_POLICY_PACKAGE, NULL), 0);
	CU_ASSERT_EQUAL(site_met_changes(t.fx.site, "red", test_met, text), 0);
	CU_ASSERT_STRING_EQUAL(text, "red/vm1:etc/conf:superseded ");
	CU_ASSERT_EQUAL(
	    site_delta_restore_change(t.fx.site, "red/vm1", "etc/new"),
	    -ENOENT);
	/* Not over what the guest has there now. */
	CU_ASSERT_EQUAL(fixture_remove(t.view, &fixture_root,
				       fixture_find(t.view, "etc"), "conf",
				       NULL),
			0);
	CU_ASSERT_EQUAL(fixture_touch(t.view, &fixture_root,
				      fixture_find(t.view, "etc"), "conf", 0644,
				      NULL),
			0);
	CU_ASSERT_EQUAL(
	    site_delta_restore_change(t.fx.site, "red/vm1", "etc/conf"),
	    -EEXIST);
	CU_ASSERT_EQUAL(fixture_remove(t.view, &fixture_root,
				       fixture_find(t.view, "etc"), "conf",
				       NULL),
			0);
	CU_ASSERT_EQUAL(
	    site_delta_restore_change(t.fx.site, "red/vm1", "etc/conf"), 0);
	for (int i = 0; i < 2; i++) {
		struct site_delta_figures figures;
		unsigned int problems = 0;

		CU_ASSERT_TRUE(test_is(&t, "etc/conf", "mine 1"));
		CU_ASSERT_EQUAL(fixture_find(t.view, "etc/conf").fileid,
				conf.fileid);
		CU_ASSERT_EQUAL(site_delta_verify(t.fx.site, "red/vm1",
						  test_problem, &problems,
						  &figures),
				0);
		CU_ASSERT_EQUAL(problems, 0);
		test_again(&t);
	}
	text[0] = '\0';
	CU_ASSERT_EQUAL(site_met_changes(t.fx.site, "red", test_met, text), 0);
	CU_ASSERT_STRING_EQUAL(text, "red/vm1:etc/conf:kept ");
	fixture_close(&t.fx);
}

/* A dry run tells what is in the way, and changes nothing. */
static void test_switch_dry(void)
{
	struct site_switch how = {.dry_run = true};
	uint32_t generation;
	struct test t;

	test_open(&t);
	test_put(&t, "etc/conf", "mine");
	CU_ASSERT_EQUAL(
	    site_tenant_switch(t.fx.site, "red", &t.two, 1, &how, &generation),
	    0);
	CU_ASSERT_EQUAL(how.conflicts, 1);
	CU_ASSERT_EQUAL(generation, 1);
	CU_ASSERT_TRUE(test_is(&t, "etc/conf", "mine 1"));
	CU_ASSERT_TRUE(test_is(&t, "bin/tool", "tool 1"));
	fixture_close(&t.fx);
}

/* --- one deletes what the other provides
 * ----------------------------------------- */

static void test_count_path(void *ctx, const char *what)
{
	*(bool *)ctx |=
	    strstr(what, "bin/tool") != NULL && strstr(what, "deletes") != NULL;
}

static void test_switch_deletes(void)
{
	struct package_info list[2];
	struct test t;

	test_open(&t);
	list[0] = t.one;
	fixture_package(&t.fx, "q", "1", test_deletes, ARRAY_LEN(test_deletes),
			&list[1]);
	for (int first = 0; first < 2; first++) {
		bool told = false;
		struct site_switch how = {.conflict = test_count_path,
					  .ctx = &told};
		struct view_attr attr;
		uint32_t generation;

		check_mute();
		CU_ASSERT_EQUAL(site_tenant_switch(t.fx.site, "red", list, 2,
						   &how, &generation),
				-EEXIST);
		check_unmute();
		CU_ASSERT_TRUE(told);
		CU_ASSERT_EQUAL(how.paths, 1);
		how = (struct site_switch){.take_order = true};
		CU_ASSERT_EQUAL(site_tenant_switch(t.fx.site, "red", list, 2,
						   &how, &generation),
				0);
		/* The order decides. */
		CU_ASSERT_EQUAL(fixture_walk(t.view, "bin/tool", &attr),
				first == 0 ? 0 : -ENOENT);
		CU_ASSERT_TRUE(test_is(&t, "bin/extra", "extra"));
		list[1] = list[0];
		CU_ASSERT_EQUAL(depot_package_get(t.fx.depot,
						  &(struct package_ref){
						      .name = "q", .tag = "1"},
						  &list[0]),
				0);
	}
	fixture_close(&t.fx);
}

static const struct check_test tests[] = {
    {"old handles", test_switch_handles},
    {"old handles end", test_switch_handles_end},
    {"trees are kept", test_switch_trees},
    {"a guest's own list keeps its trees", test_switch_own_kept},
    {"old trees are let go while running", test_switch_lets_go},
    {"of very many upgrades the last are kept", test_switch_many},
    {"times of directories", test_switch_times},
    {"times of directories, the clock set back", test_switch_clock_back},
    {"the package's version", test_switch_package},
    {"the guest's version", test_switch_keep},
    {"back by hand", test_switch_by_hand},
    {"dry run", test_switch_dry},
    {"one deletes what another provides", test_switch_deletes},
};

int main(void)
{
	return check_main("test_switch", tests, ARRAY_LEN(tests));
}
