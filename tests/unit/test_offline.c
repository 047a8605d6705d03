/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_offline: a tree that is missing at a start keeps those from being served
 * that need it, and nobody else.
 */
#include <stdio.h>

#include "depot/gc.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

static const struct fixture_entry test_base[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 1"},
    {"etc/conf", S_IFREG | 0644, .text = "conf"},
};
static const struct fixture_entry test_base2[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 2"},
    {"etc/conf", S_IFREG | 0644, .text = "conf"},
};
static const struct fixture_entry test_extra[] = {
    {"bin/extra", S_IFREG | 0755, .text = "extra"},
};

/* red/vm1 over base:1, blue/vm1 and blue/vm2 over extra. */
struct test {
	struct fixture fx;
	struct package_info base, base2, extra;
	char tree[2]
		 [512]; /* where a lost tree was, and where it is put aside */
};

static int test_assign(struct test *t, const char *tenant,
		       const struct package_info *package)
{
	uint32_t generation;

	return site_tenant_assign(t->fx.site, tenant, package, 1, false, NULL,
				  NULL, &generation);
}

static void test_open(struct test *t)
{
	static const struct site_guest_options plain;
	struct fixture *fx = &t->fx;
	struct view *view;

	fixture_open(fx);
	fixture_package(fx, "base", "1", test_base, ARRAY_LEN(test_base),
			&t->base);
	fixture_package(fx, "base", "2", test_base2, ARRAY_LEN(test_base2),
			&t->base2);
	fixture_package(fx, "extra", "1", test_extra, ARRAY_LEN(test_extra),
			&t->extra);
	view = fixture_guest(fx, &t->base, 1);
	ASSERT(fixture_touch(view, &fixture_root, view_root(view), "mine", 0644,
			     NULL) == 0);
	ASSERT(site_tenant_create(fx->site, "blue") == 0);
	ASSERT(test_assign(t, "blue", &t->extra) == 0);
	ASSERT(site_guest_add(fx->site, "blue/vm1", &plain) == 0);
	ASSERT(site_guest_add(fx->site, "blue/vm2", &plain) == 0);
}

/* Open it again while a package's tree lies aside. */
static void test_lose(struct test *t, const struct package_info *package)
{
	CLEANUP_FREE char *path = layout_host_tree(t->fx.dir, &package->tree);

	snprintf(t->tree[0], sizeof(t->tree[0]), "%s", path);
	snprintf(t->tree[1], sizeof(t->tree[1]), "%s/aside", t->fx.dir);
	ASSERT(rename(t->tree[0], t->tree[1]) == 0);
	check_mute();
	fixture_restart(&t->fx, true);
	check_unmute();
}

static void test_find_tree(struct test *t)
{
	ASSERT(rename(t->tree[1], t->tree[0]) == 0);
}

static int test_reach(struct test *t, const char *export, const char *path)
{
	struct view_attr attr;

	return fixture_walk(fixture_view(&t->fx, export), path, &attr);
}

static int test_list(void *ctx, const struct site_guest_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, 400 - len, "%s/%s%s%s ", info->tenant, info->guest,
		 info->offline ? " offline" : "",
		 info->tenant_offline ? " all" : "");
	if (info->tenant_offline)
		CU_ASSERT_PTR_NOT_NULL(strstr(info->offline, "base:1"));
	if (info->offline)
		CU_ASSERT_PTR_NOT_NULL(strstr(info->offline, "trees/"));
	return 0;
}

static bool test_listed(struct test *t, const char *expected)
{
	char text[400] = "";

	CU_ASSERT_EQUAL(site_guest_list(t->fx.site, test_list, text), 0);
	if (strcmp(text, expected) != 0)
		printf("listed: %s\n", text);
	return strcmp(text, expected) == 0;
}

/* --- a tenant ------------------------------------------------------------- */

static void test_others_are_served(void)
{
	struct test t;

	test_open(&t);
	test_lose(&t, &t.base);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm1", "bin/extra"), 0);
	CU_ASSERT_EQUAL(test_assign(&t, "blue", &t.base2), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm1", "bin/tool"), 0);
	/* Not answered, rather than wrongly. */
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), -ESHUTDOWN);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "mine"), -ESHUTDOWN);
	CU_ASSERT_TRUE(
	    test_listed(&t, "blue/vm1 blue/vm2 red/vm1 offline all "));
	fixture_close(&t.fx);
}

/* What cannot be done rightly is refused, and nothing is lost meanwhile. */
static void test_refused_and_kept(void)
{
	static const struct site_guest_options plain;
	static const struct site_quota quota = {.bytes = 1 << 20};
	struct test t;
	uint32_t id;

	test_open(&t);
	id = view_get_info(fixture_view(&t.fx, "/red/vm1"))->export_id;
	test_lose(&t, &t.base);
	check_mute();
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.base2), -EHOSTDOWN);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm2", &plain),
			-EHOSTDOWN);
	CU_ASSERT_EQUAL(site_delta_snapshot(t.fx.site, "red/vm1", "s"),
			-EHOSTDOWN);
	CU_ASSERT_EQUAL(site_delta_restore(t.fx.site, "red/vm1", NULL),
			-EHOSTDOWN);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", false),
			-EHOSTDOWN);
	check_unmute();
	/* Its record and name are there. */
	CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "red"), 0);
	CU_ASSERT_EQUAL(site_guest_set_quota(t.fx.site, "red/vm1", &quota), 0);

	/* Once more, since a start must not have worn anything off. */
	check_mute();
	fixture_restart(&t.fx, true);
	check_unmute();
	test_find_tree(&t);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "mine"), 0);
	CU_ASSERT_EQUAL(
	    view_get_info(fixture_view(&t.fx, "/red/vm1"))->export_id, id);
	CU_ASSERT_TRUE(test_listed(&t, "blue/vm1 blue/vm2 red/vm1 "));
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.base2), 0);
	CU_ASSERT_TRUE(fixture_content_is(
	    fixture_view(&t.fx, "/red/vm1"),
	    fixture_find(fixture_view(&t.fx, "/red/vm1"), "bin/tool"), "tool 2",
	    6));
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "mine"), 0);
	fixture_close(&t.fx);
}

static void test_paused_stays_paused(void)
{
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", true), 0);
	test_lose(&t, &t.base);
	test_find_tree(&t);
	/* A verb on it has it loaded; it is paused all the same. */
	CU_ASSERT_EQUAL(site_delta_snapshot(t.fx.site, "red/vm1", "s"), 0);
	CU_ASSERT_TRUE(test_listed(&t, "blue/vm1 blue/vm2 red/vm1 "));
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), -ESHUTDOWN);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), 0);
	fixture_close(&t.fx);
}

/* --- a guest ---------------------------------------------------------------
 */

static void test_own_list(void)
{
	static const struct site_guest_options plain;
	struct site_profile_how how = {.policy = SITE_POLICY_KEEP};
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(
	    site_profile_apply(t.fx.site, "blue/vm1", &t.base2, &how), 0);
	test_lose(&t, &t.base2);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm2", "bin/extra"), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm1", "bin/extra"), -ESHUTDOWN);
	CU_ASSERT_TRUE(test_listed(&t, "blue/vm1 offline blue/vm2 red/vm1 "));
	/* Its delta cannot follow a switch. */
	check_mute();
	CU_ASSERT_EQUAL(test_assign(&t, "blue", &t.base), -EHOSTDOWN);
	/* Its tenant is not: it can have others. */
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "blue/vm3", &plain), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm3", "bin/extra"), 0);
	/* Its VM waits: without force only what is paused goes. */
	CU_ASSERT_EQUAL(site_guest_remove(t.fx.site, "blue/vm1", false),
			-EBUSY);
	check_unmute();
	CU_ASSERT_EQUAL(site_guest_remove(t.fx.site, "blue/vm1", true), 0);
	CU_ASSERT_EQUAL(test_assign(&t, "blue", &t.base), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/blue/vm2", "bin/tool"), 0);
	fixture_close(&t.fx);
}

/* What a delta has changed is over a tree that the selection has no more. */
static void test_base_of_delta(void)
{
	static const struct site_guest_options plain;
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm2", &plain), 0);
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.base2), 0);
	test_lose(&t, &t.base);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm2", "bin/tool"), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/tool"), -ESHUTDOWN);
	CU_ASSERT_TRUE(
	    test_listed(&t, "blue/vm1 blue/vm2 red/vm1 offline red/vm2 "));
	test_find_tree(&t);
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.extra), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "bin/extra"), 0);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "mine"), 0);
	fixture_close(&t.fx);
}

/* A file that is open outlives the switch, also a start without its tree. */
static void test_open_file(void)
{
	static const struct site_guest_options plain;
	struct view_attr attr;
	struct view_object old;
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm2", &plain), 0);
	old = fixture_find(fixture_view(&t.fx, "/red/vm2"), "bin/tool");
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.base2), 0);
	test_lose(&t, &t.base);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm2", "bin/tool"), 0);
	CU_ASSERT_EQUAL(
	    view_getattr(fixture_view(&t.fx, "/red/vm2"), old, &attr), -ESTALE);
	test_find_tree(&t);
	check_mute();
	fixture_restart(&t.fx, true);
	check_unmute();
	CU_ASSERT_TRUE(fixture_content_is(fixture_view(&t.fx, "/red/vm2"), old,
					  "tool 1", 6));
	fixture_close(&t.fx);
}

static int test_snapshot_count(void *ctx,
			       const struct site_snapshot *snapshot UNUSED)
{
	++*(unsigned int *)ctx;
	return 0;
}

/* "No such guest" would be untrue of one whose layers cannot be read. */
static void test_snapshots_of_it(void)
{
	unsigned int count = 0;
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(site_delta_snapshot(t.fx.site, "red/vm1", "s"), 0);
	CU_ASSERT_EQUAL(test_assign(&t, "red", &t.base2), 0);
	test_lose(&t, &t.base);
	check_mute();
	CU_ASSERT_EQUAL(site_delta_snapshots(t.fx.site, "red/vm1",
					     test_snapshot_count, &count),
			-EHOSTDOWN);
	CU_ASSERT_PTR_NOT_NULL(strstr(log_last_error(), "trees/"));
	check_unmute();
	test_find_tree(&t);
	CU_ASSERT_EQUAL(site_delta_snapshots(t.fx.site, "red/vm1",
					     test_snapshot_count, &count),
			0);
	CU_ASSERT_EQUAL(count, 1);
	fixture_close(&t.fx);
}

static int test_met_none(void *ctx UNUSED,
			 const struct site_met_change *change UNUSED)
{
	return 0;
}

/* "None" would be untrue of what has not been read. */
static void test_changes_of_it(void)
{
	struct test t;

	test_open(&t);
	test_lose(&t, &t.base);
	check_mute();
	CU_ASSERT_EQUAL(site_met_changes(t.fx.site, "red", test_met_none, NULL),
			-EHOSTDOWN);
	check_unmute();
	CU_ASSERT_EQUAL(
	    site_met_changes(t.fx.site, "blue", test_met_none, NULL), 0);
	test_find_tree(&t);
	CU_ASSERT_EQUAL(site_met_changes(t.fx.site, "red", test_met_none, NULL),
			0);
	fixture_close(&t.fx);
}

struct test_figures {
	uint64_t bytes, files;
};

static int test_figures_guest(void *ctx, const struct site_guest_info *info)
{
	struct test_figures *figures = ctx;

	if (strcmp(info->tenant, "red") == 0) {
		figures->bytes += info->delta_bytes;
		figures->files += info->delta_files;
	}
	return 0;
}

static int test_figures_tenant(void *ctx, const struct site_tenant_info *info)
{
	const struct test_figures *figures = ctx;

	if (strcmp(info->name, "red") == 0) {
		CU_ASSERT_EQUAL(info->delta_bytes, figures->bytes);
		CU_ASSERT_EQUAL(info->delta_files, figures->files);
	}
	return 0;
}

/* Of red's guests, and the same of red. */
static struct test_figures test_figures(struct test *t)
{
	struct test_figures figures = {0};

	ASSERT(site_guest_list(t->fx.site, test_figures_guest, &figures) == 0);
	ASSERT(site_tenant_list(t->fx.site, test_figures_tenant, &figures) ==
	       0);
	return figures;
}

/* How much would be lost is asked before it is: also of one that is offline,
 * and its tenant's quota holds. */
static void test_figures_of_it(void)
{
	struct test_figures before, now;
	struct test t;

	test_open(&t);
	ASSERT(site_delta_snapshot(t.fx.site, "red/vm1", "s") == 0);
	ASSERT(fixture_touch(fixture_view(&t.fx, "/red/vm1"), &fixture_root,
			     view_root(fixture_view(&t.fx, "/red/vm1")), "more",
			     0644, NULL) == 0);
	before = test_figures(&t);
	CU_ASSERT_TRUE(before.files >= 3);
	test_lose(&t, &t.base);
	now = test_figures(&t);
	CU_ASSERT_EQUAL(now.bytes, before.bytes);
	CU_ASSERT_EQUAL(now.files, before.files);
	test_find_tree(&t);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", false), 0);
	now = test_figures(&t);
	CU_ASSERT_EQUAL(now.bytes, before.bytes);
	CU_ASSERT_EQUAL(now.files, before.files);
	test_lose(&t, &t.base);
	CU_ASSERT_EQUAL(site_guest_remove(t.fx.site, "red/vm1", true), 0);
	now = test_figures(&t);
	CU_ASSERT_EQUAL(now.files, 0);
	fixture_close(&t.fx);
}

/* --- collections ---------------------------------------------------------- */

struct test_roots {
	struct site *site;
	bool without_red; /* the control */
	int (*visit)(void *ctx, const struct digest *tree);
	void *ctx;
};

static int test_root(void *ctx, const struct site_tree_user *user)
{
	struct test_roots *roots = ctx;

	return roots->without_red ? 0 : roots->visit(roots->ctx, &user->tree);
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

/* A whole collection, as far as it goes; shards that it has removed. */
static uint64_t test_collect(struct test *t, bool without_red, int *rc)
{
	struct gc_options options = {.keep_s = 0, .manual = true};
	struct test_roots roots = {t->fx.site, without_red, NULL, NULL};
	struct gc_report report = {0};

	check_mute();
	ASSERT(depot_gc_start(t->fx.depot, test_roots, &roots, &options) == 0);
	for (*rc = 0; *rc == 0 && !report.done;)
		*rc = depot_gc_step(t->fx.depot, GC_STEP, &report);
	depot_gc_stop(t->fx.depot);
	check_unmute();
	return report.removed;
}

static bool test_whole(struct test *t)
{
	struct view *view = fixture_view(&t->fx, "/red/vm1");

	return fixture_content_is(view, fixture_find(view, "bin/tool"),
				  "tool 1", 6) &&
	       fixture_content_is(view, fixture_find(view, "etc/conf"), "conf",
				  4);
}

/* What names the shards of a tree that is not here is not known: none goes, nor
 * the trees that its generations have beside it. */
static void test_collected_meanwhile(bool control)
{
	struct gc_removed removed;
	struct test t;
	int rc;

	test_open(&t);
	ASSERT(depot_package_remove(t.fx.depot, "base", "1", &removed) == 0);
	ASSERT(depot_package_remove(t.fx.depot, "base", "2", &removed) == 0);
	test_lose(&t, &t.base);
	if (control) {
		CU_ASSERT_TRUE(test_collect(&t, true, &rc) > 0);
		CU_ASSERT_EQUAL(rc, 0);
	} else {
		CU_ASSERT_EQUAL(test_collect(&t, false, &rc), 0);
		CU_ASSERT_TRUE(rc < 0);
	}
	test_find_tree(&t);
	CU_ASSERT_EQUAL(site_guest_pause(t.fx.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(test_whole(&t), !control);
	CU_ASSERT_EQUAL(test_reach(&t, "/red/vm1", "mine"), 0);
	if (!control) {
		/* Served again, it is collected again: base:2 goes. */
		CU_ASSERT_TRUE(test_collect(&t, false, &rc) > 0);
		CU_ASSERT_EQUAL(rc, 0);
		CU_ASSERT_TRUE(test_whole(&t));
	}
	fixture_close(&t.fx);
}

static void test_nothing_collected(void)
{
	test_collected_meanwhile(false);
}

static void test_nothing_collected_control(void)
{
	test_collected_meanwhile(true);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"others are served", test_others_are_served},
	    {"refused, and kept", test_refused_and_kept},
	    {"paused stays paused", test_paused_stays_paused},
	    {"a guest's own list", test_own_list},
	    {"the base of a delta", test_base_of_delta},
	    {"a file that is open", test_open_file},
	    {"snapshots of one that is offline", test_snapshots_of_it},
	    {"changes that met others", test_changes_of_it},
	    {"its figures", test_figures_of_it},
	    {"nothing is collected meanwhile", test_nothing_collected},
	    {"the control: without its names it would be",
	     test_nothing_collected_control},
	};

	return check_main("test_offline", tests, ARRAY_LEN(tests));
}
