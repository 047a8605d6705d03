/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_site_remove: a tenant goes: what is left of it on disk and in memory,
 * who comes after it under its name, and a death in between.
 */
#include "depot/killpoint.h"

#undef KILL_POINT
#define KILL_POINT(name) test_point(name)
static void test_point(const char *name);
#include "overlay/site_remove.c"

#include <stdio.h>

#include "depot/entitle.h"
#include "depot/inside.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"
#include "tests/lib/tmpdir.h"

static const struct fixture_entry test_one[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 1"},
    {"old/only", S_IFREG | 0644, .text = "only 1"},
};
static const struct fixture_entry test_two[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 2"},
    {"bin/new", S_IFREG | 0755, .text = "new 2"},
};

static const char *test_at; /* where to die; NULL: nowhere */
static const struct fixture *test_fx;
static char *test_copy; /* owns: the store as it was then */

static void test_point(const char *name)
{
	char *command;

	if (!test_at || strcmp(name, test_at) != 0)
		return;
	test_copy = tmpdir_new();
	ASSERT(asprintf(&command, "cp -a %s/. %s/", test_fx->dir, test_copy) >
	       0);
	ASSERT(system(command) == 0);
	free(command);
}

/* Tenant red with two generations, a guest that has read and written, starts,
 * entitlements; and blue, which has the same and stays. */
struct test {
	struct fixture fx;
	struct package_info one, two;
};

static void test_start(struct test *t, const char *tenant, const char *guest)
{
	uint32_t shards[] = {0};
	struct plan_start start = {
	    .time_sec = 1, .shard_count = 1, .shards = shards, .count = 1};

	ASSERT(plan_rows_put_start(depot_state(t->fx.depot), &t->one.tree,
				   tenant, guest, &start) == 0);
}

static void test_entitle(struct test *t, const char *name, const char *upstream,
			 const char *text)
{
	struct kv_batch *batch = kv_batch_new();
	struct package_entitled entitled;

	ASSERT(package_entitled_parse(text, &entitled) == 0);
	ASSERT(entitle_put(batch, name, upstream, &entitled) == 0);
	ASSERT(kv_write(depot_state(t->fx.depot), batch) == 0);
	package_entitled_clear(&entitled);
	kv_batch_free(batch);
}

static void test_assign(struct test *t, const char *tenant,
			const struct package_info *package)
{
	uint32_t generation;

	ASSERT(site_tenant_assign(t->fx.site, tenant, package, 1, false, NULL,
				  NULL, &generation) == 0);
}

static void test_open(struct test *t)
{
	struct site_guest_options options = {0};
	const char *const tenants[] = {"red", "blue", "red2"};
	char guest[16];

	fixture_open(&t->fx);
	fixture_package(&t->fx, "p", "1", test_one, ARRAY_LEN(test_one),
			&t->one);
	fixture_package(&t->fx, "p", "2", test_two, ARRAY_LEN(test_two),
			&t->two);
	for (size_t i = 0; i < ARRAY_LEN(tenants); i++) {
		snprintf(guest, sizeof(guest), "%s/vm1", tenants[i]);
		ASSERT(site_tenant_create(t->fx.site, tenants[i]) == 0);
		test_assign(t, tenants[i], &t->one);
		ASSERT(site_guest_add(t->fx.site, guest, &options) == 0);
		test_assign(t, tenants[i], &t->two);
		test_start(t, tenants[i], "vm1");
		test_start(t, tenants[i], "vm2");
	}
	test_entitle(t, "p", NULL, "blue,red,red2");
	test_entitle(t, "q", NULL, "red");
	test_entitle(t, "r", NULL, "blue");
	test_entitle(t, "p", "lab", "blue,red,red2");
}

static int test_remove(struct test *t, bool dry_run,
		       struct site_tenant_removed *removed)
{
	struct site_tenant_removed here;
	int rc;

	check_mute();
	rc = site_tenant_remove(t->fx.site, "red", dry_run,
				removed ? removed : &here);
	check_unmute();
	return rc;
}

static void test_remove_guest(struct test *t)
{
	ASSERT(site_guest_remove(t->fx.site, "red/vm1", true) == 0);
}

static int test_name(void *ctx, const struct site_tenant_info *info)
{
	strcat(ctx, info->name);
	strcat(ctx, " ");
	return 0;
}

static bool test_tenants_are(struct test *t, const char *want)
{
	char text[256] = "";

	CU_ASSERT_EQUAL(site_tenant_list(t->fx.site, test_name, text), 0);
	if (strcmp(text, want) != 0)
		fprintf(stderr, "tenants: %s\n", text);
	return strcmp(text, want) == 0;
}

/* --- refused -------------------------------------------------------------- */

static void test_refused(void)
{
	struct site_tenant_removed removed;
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(test_remove(&t, false, &removed), -EBUSY);
	CU_ASSERT_EQUAL(removed.guests, 1);
	CU_ASSERT_EQUAL(test_remove(&t, true, NULL), -EBUSY);
	test_remove_guest(&t);
	check_mute();
	CU_ASSERT_EQUAL(site_tenant_remove(t.fx.site, "pink", false, &removed),
			-ENOENT);
	check_unmute();
	CU_ASSERT_EQUAL(test_remove(&t, true, &removed), 0);
	CU_ASSERT_EQUAL(removed.guests, 0);
	CU_ASSERT_EQUAL(removed.generations, 2);
	CU_ASSERT_EQUAL(removed.entitlements, 2);
	CU_ASSERT_TRUE(test_tenants_are(&t, "blue red red2 "));
	fixture_restart(&t.fx, true);
	CU_ASSERT_TRUE(test_tenants_are(&t, "blue red red2 "));
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), -ENOENT);
	fixture_close(&t.fx);
}

/* --- what is left --------------------------------------------------------- */

/* Keys of the state database that name the tenant, but for publishers' lists:
 * "red" with neither letter nor digit behind it. */
static unsigned int test_keys(struct test *t, const char *tenant)
{
	struct kv_iter *it =
	    kv_iter_new(depot_state(t->fx.depot), NULL, 0, NULL, 0);
	size_t name_len = strlen(tenant), len;
	unsigned int found = 0;

	for (; kv_iter_valid(it); kv_iter_next(it)) {
		const uint8_t *key = kv_iter_key(it, &len);
		const uint8_t *at = memmem(key, len, tenant, name_len);
		size_t after = at ? (size_t)(at - key) + name_len : 0;

		found += at && (after == len || key[after] == '\0' ||
				key[after] == '/');
	}
	kv_iter_free(it);
	return found;
}

static bool test_entitled_are(struct test *t, const char *name,
			      const char *upstream, const char *want)
{
	struct package_entitled entitled;
	char text[256] = "";

	CU_ASSERT_EQUAL(
	    depot_package_entitled(t->fx.depot, name, upstream, &entitled), 0);
	CU_ASSERT_TRUE(entitled.is_restricted);
	for (unsigned int i = 0; i < entitled.count; i++) {
		strcat(text, entitled.tenants[i]);
		strcat(text, " ");
	}
	package_entitled_clear(&entitled);
	return strcmp(text, want) == 0;
}

static void test_left(void)
{
	unsigned int blue, red2;
	struct test t;

	test_open(&t);
	blue = test_keys(&t, "blue");
	red2 = test_keys(&t, "red2");
	/* A 'A', two 'S', 'G', a 'V', some 'M', two 'B'. */
	CU_ASSERT_TRUE(test_keys(&t, "red") >= 8);
	test_remove_guest(&t);
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(test_tenants_are(&t, "blue red2 "));
		CU_ASSERT_EQUAL(test_keys(&t, "red"), 0);
		CU_ASSERT_EQUAL(test_keys(&t, "blue"), blue);
		CU_ASSERT_EQUAL(test_keys(&t, "red2"), red2);
		CU_ASSERT_TRUE(test_entitled_are(&t, "p", NULL, "blue red2 "));
		CU_ASSERT_TRUE(test_entitled_are(&t, "q", NULL, ""));
		CU_ASSERT_TRUE(test_entitled_are(&t, "r", NULL, "blue "));
		CU_ASSERT_TRUE(
		    test_entitled_are(&t, "p", "lab", "blue red red2 "));
		CU_ASSERT_EQUAL(
		    fixture_attr(fixture_view(&t.fx, "/blue/vm1"), "bin/tool")
			.size,
		    6);
		fixture_restart(&t.fx, true);
	}
	fixture_close(&t.fx);
}

/* --- trees -----------------------------------------------------------------
 */

static int test_user(void *ctx, const struct site_tree_user *user)
{
	return digest_equal(&user->tree, ctx);
}

/* Is the tree free to be collected: named by nobody, held by nobody?  What was
 * being recorded of a start is let go of within a second or two. */
static bool test_tree_is_free(struct test *t, struct digest tree)
{
	int rc = site_tree_users(t->fx.site, test_user, &tree);
	bool free_now = false;

	ASSERT(rc >= 0);
	for (int i = 0; rc == 0 && !free_now && i < 100; i++) {
		if (i > 0)
			usleep(50000);
		free_now = depot_tree_forget(t->fx.depot, &tree);
	}
	return free_now;
}

static void test_trees_of_tenant(bool restart)
{
	struct site_tenant_removed removed;
	struct view_attr attr;
	struct view *view;
	struct test t;

	test_open(&t);
	test_assign(&t, "red", &t.one);
	view = fixture_view(&t.fx, "/red/vm1");
	CU_ASSERT_TRUE(fixture_content_is(view, fixture_find(view, "bin/tool"),
					  "tool 1", 6));
	for (int i = 0; i < 2; i++) {
		const char *tenant = i ? "red2" : "blue";
		char guest[16];

		snprintf(guest, sizeof(guest), "%s/vm1", tenant);
		ASSERT(site_guest_remove(t.fx.site, guest, true) == 0);
		ASSERT(site_tenant_remove(t.fx.site, tenant, false, &removed) ==
		       0);
	}
	CU_ASSERT_FALSE(test_tree_is_free(&t, t.one.tree));
	test_remove_guest(&t);
	CU_ASSERT_EQUAL(view_getattr(view, view_root(view), &attr), -ESTALE);
	CU_ASSERT_FALSE(test_tree_is_free(&t, t.one.tree));
	if (restart)
		fixture_restart(&t.fx, true);
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
	CU_ASSERT_TRUE(test_tree_is_free(&t, t.one.tree));
	CU_ASSERT_TRUE(test_tree_is_free(&t, t.two.tree));
	fixture_close(&t.fx);
}

/* A collection need not wait for a restart: neither a tenant that is gone nor
 * the views of its guests hold trees. */
static void test_trees_let_go(void)
{
	test_trees_of_tenant(false);
	test_trees_of_tenant(true);
}

/* Nor does the view of a guest that is gone, when its tenant stays. */
static void test_guest_lets_go(void)
{
	struct package_info other;
	unsigned int count;
	struct view *view;
	struct test t;

	test_open(&t);
	fixture_package(&t.fx, "p", "3", test_two, 1, &other);
	test_assign(&t, "red", &t.one);
	view = fixture_view(&t.fx, "/red/vm1");
	CU_ASSERT_TRUE(fixture_content_is(view, fixture_find(view, "old/only"),
					  "only 1", 6));
	test_remove_guest(&t);
	for (int i = 0; i < 2; i++) {
		test_assign(&t, "red", &other);
		test_assign(&t, "blue", &other);
		test_assign(&t, "red2", &other);
		CU_ASSERT_EQUAL(site_forget_generations(t.fx.site,
							&t.one.revision, "p",
							"1", &count),
				0);
		past_age_for_tests(25 * 3600);
		test_assign(&t, "red", &t.two);
		test_assign(&t, "blue", &t.two);
		test_assign(&t, "red2", &t.two);
	}
	CU_ASSERT_TRUE(test_tree_is_free(&t, t.one.tree));
	past_age_for_tests(0);
	fixture_close(&t.fx);
}

/* --- who comes after -------------------------------------------------------
 */

static void test_again(void)
{
	struct site_guest_options options = {0};
	struct view *old, *view;
	struct view_object tool;
	struct view_attr attr;
	uint32_t id, generation;
	uint64_t fileid;
	struct test t;

	test_open(&t);
	old = fixture_view(&t.fx, "/red/vm1");
	id = view_get_info(old)->export_id;
	tool = fixture_find(old, "bin/tool");
	fileid = tool.fileid;
	test_remove_guest(&t);
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "red"), 0);
		/* "p" is not for it, though its name was in the list. */
		check_mute();
		CU_ASSERT_EQUAL(site_tenant_assign(t.fx.site, "red", &t.two, 1,
						   false, NULL, NULL,
						   &generation),
				-EACCES);
		check_unmute();
		if (i == 0)
			fixture_restart(&t.fx, true);
	}
	test_entitle(&t, "p", NULL, "all");
	CU_ASSERT_EQUAL(site_tenant_assign(t.fx.site, "red", &t.two, 1, false,
					   NULL, NULL, &generation),
			0);
	CU_ASSERT_EQUAL(generation, 1);
	ASSERT(site_guest_add(t.fx.site, "red/vm1", &options) == 0);
	view = fixture_view(&t.fx, "/red/vm1");
	CU_ASSERT_PTR_NULL(site_view_by_id(t.fx.site, id));
	CU_ASSERT_NOT_EQUAL(view_get_info(view)->export_id, id);
	CU_ASSERT_NOT_EQUAL(fixture_attr(view, "bin/tool").fileid, fileid);
	CU_ASSERT_EQUAL(view_getattr(view, tool, &attr), -ESTALE);
	CU_ASSERT_TRUE(fixture_content_is(view, fixture_find(view, "bin/tool"),
					  "tool 2", 6));
	fixture_close(&t.fx);
}

/* In one life: removed and made again, with guests, many times. */
static void test_often(void)
{
	struct site_guest_options options = {0};
	struct test t;

	test_open(&t);
	test_entitle(&t, "p", NULL, "all");
	for (int i = 0; i < 20; i++) {
		test_remove_guest(&t);
		CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
		CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "red"), 0);
		test_assign(&t, "red", &t.one);
		ASSERT(site_guest_add(t.fx.site, "red/vm1", &options) == 0);
		fixture_touched(fixture_view(&t.fx, "/red/vm1"), "own");
		test_assign(&t, "red", &t.two);
	}
	CU_ASSERT_TRUE(
	    fixture_names_are(fixture_view(&t.fx, "/red/vm1"), "", "bin own"));
	fixture_restart(&t.fx, true);
	CU_ASSERT_TRUE(
	    fixture_names_are(fixture_view(&t.fx, "/red/vm1"), "", "bin own"));
	fixture_close(&t.fx);
}

/* --- a death ----------------------------------------------------------------
 */

static void test_kill_at(const char *point, bool gone)
{
	struct test t;

	test_open(&t);
	test_remove_guest(&t);
	test_at = point;
	test_fx = &t.fx;
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), 0);
	test_at = NULL;
	CU_ASSERT_PTR_NOT_NULL_FATAL(test_copy);
	fixture_close(&t.fx);
	t.fx.dir = test_copy;
	test_copy = NULL;
	fixture_reopen(&t.fx);
	CU_ASSERT_TRUE(
	    test_tenants_are(&t, gone ? "blue red2 " : "blue red red2 "));
	CU_ASSERT_EQUAL(test_keys(&t, "red") == 0, gone);
	CU_ASSERT_TRUE(test_entitled_are(
	    &t, "p", NULL, gone ? "blue red2 " : "blue red red2 "));
	CU_ASSERT_EQUAL(test_remove(&t, false, NULL), gone ? -ENOENT : 0);
	fixture_close(&t.fx);
}

static void test_killed(void)
{
	test_kill_at("tenant-leaving", false);
	test_kill_at("tenant-left", true);
}

static const struct check_test tests[] = {
    {"refused while it has guests", test_refused},
    {"nothing of it is left", test_left},
    {"its trees are let go of", test_trees_let_go},
    {"a guest that is gone holds no tree", test_guest_lets_go},
    {"the next of its name is another", test_again},
    {"removed and made again", test_often},
    {"a death in between", test_killed},
};

int main(void)
{
	return check_main("test_site_remove", tests, ARRAY_LEN(tests));
}
