/* SPDX-License-Identifier: Apache-2.0 */
/* test_site: tenants, guests, and selections that change under them. */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

/* Generations by the hundred; no outcome here depends on a sync. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

static const struct fixture_entry test_base[] = {
    {"bin/sh", S_IFREG | 0755, .text = "shell"},
    {"bin/tool", S_IFREG | 0755, .text = "tool 1"},
    {"etc/conf", S_IFREG | 0644, .text = "conf"},
    {"lib/big", S_IFREG | 0644, .len = 100000, .seed = 1},
    {"only1/f", S_IFREG | 0644, .text = "f"},
    {"void", S_IFDIR | 0755, .len = 0},
};
static const struct fixture_entry test_base2[] = {
    {"bin/sh", S_IFREG | 0755, .text = "shell"},
    {"bin/tool", S_IFREG | 0755, .text = "tool 2"},
    {"etc/conf", S_IFREG | 0644, .text = "conf"},
    {"etc/new", S_IFREG | 0644, .text = "new"},
    {"lib/big", S_IFREG | 0644, .len = 100000, .seed = 1},
};
static const struct fixture_entry test_extra[] = {
    {"bin/extra", S_IFREG | 0755, .text = "extra"},
    {"etc/conf", S_IFREG | 0644, .text = "conf"},
    {"extra/x", S_IFREG | 0644, .text = "x"},
};
static const struct fixture_entry test_clash[] = {
    {"etc/conf", S_IFREG | 0644, .text = "another"},
    {"lib", S_IFREG | 0644, .text = "no directory"},
};

/* All packages, in a store of their own. */
struct test {
	struct fixture fx;
	struct package_info base, base2, extra, clash;
	struct view *view;
};

static void test_open(struct test *t)
{
	struct fixture *fx = &t->fx;

	fixture_open(fx);
	fixture_package(fx, "base", "1", test_base, ARRAY_LEN(test_base),
			&t->base);
	fixture_package(fx, "base", "2", test_base2, ARRAY_LEN(test_base2),
			&t->base2);
	fixture_package(fx, "extra", "1", test_extra, ARRAY_LEN(test_extra),
			&t->extra);
	fixture_package(fx, "clash", "1", test_clash, ARRAY_LEN(test_clash),
			&t->clash);
	t->view = fixture_guest(fx, &t->base, 1);
}

static void test_again(struct test *t)
{
	fixture_restart(&t->fx, true);
	t->view = fixture_view(&t->fx, "/red/vm1");
}

struct test_told {
	unsigned int count;
	char last[512];
};

static void test_tell(void *ctx, const char *what)
{
	struct test_told *told = ctx;

	told->count++;
	snprintf(told->last, sizeof(told->last), "%s", what);
}

static int test_assign(struct test *t, const struct package_info *a,
		       const struct package_info *b, bool take_order,
		       uint32_t *generation, struct test_told *told)
{
	struct package_info list[2] = {*a, b ? *b : *a};
	struct test_told here = {0};
	uint32_t number;
	int rc;

	check_mute();
	rc = site_tenant_assign(t->fx.site, "red", list, b ? 2 : 1, take_order,
				test_tell, told ? told : &here,
				generation ? generation : &number);
	check_unmute();
	return rc;
}

static bool test_is(struct view *view, const char *path, const char *text)
{
	return fixture_content_is(view, fixture_find(view, path), text,
				  strlen(text));
}

static uint64_t test_id(struct view *view, const char *path)
{
	return fixture_attr(view, path).fileid;
}

static bool test_absent(struct view *view, const char *path)
{
	struct view_attr attr;

	return fixture_walk(view, path, &attr) == -ENOENT;
}

/* --- tables -------------------------------------------------------------- */

static int test_tenant_names(void *ctx, const struct site_tenant_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, 200 - len, "%s:%u:%u:%u ", info->name,
		 info->generation, info->guests, info->package_count);
	return 0;
}

static int test_guest_names(void *ctx, const struct site_guest_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, 400 - len, "%s/%s:%u:%s%s%s ", info->tenant,
		 info->guest, info->generation, info->access.addr,
		 info->allow_devices ? ":dev" : "",
		 info->root_squash ? ":squash" : "");
	return 0;
}

static int test_stop(void *ctx, const struct site_guest_info *info)
{
	(void)info;
	return ++*(int *)ctx == 2 ? 7 : 0;
}

static void test_site_tables(void)
{
	struct site_guest_options plain = {0};
	struct site_guest_options odd = {
	    .addr = "10.0.0.7", .allow_devices = true, .root_squash = true};
	struct test t;
	int seen = 0;

	test_open(&t);
	CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "red"), 0);
	CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "blue"), 0);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm1", &plain), 0);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm0", &odd), 0);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "blue/vm1", &plain), 0);
	check_mute();
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm1", &odd), -EEXIST);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "green/vm1", &plain),
			-ENOENT);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red", &plain), -EINVAL);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/", &plain), -EINVAL);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "/vm1", &plain), -EINVAL);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/a/b", &plain), -EINVAL);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/..", &plain), -EINVAL);
	CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, "Red"), -EINVAL);
	CU_ASSERT_EQUAL(site_tenant_create(t.fx.site, ""), -EINVAL);
	check_unmute();
	for (int i = 0; i < 2; i++) {
		char text[400] = "";
		struct view *view = fixture_view(&t.fx, "/red/vm0");
		uint32_t id = view_get_info(view)->export_id;

		CU_ASSERT_EQUAL(
		    site_tenant_list(t.fx.site, test_tenant_names, text), 0);
		CU_ASSERT_STRING_EQUAL(text, "blue:0:1:0 red:1:2:1 ");
		text[0] = '\0';
		CU_ASSERT_EQUAL(
		    site_guest_list(t.fx.site, test_guest_names, text), 0);
		CU_ASSERT_STRING_EQUAL(text, "blue/vm1:0: "
					     "red/vm0:1:10.0.0.7:dev:squash "
					     "red/vm1:1: ");
		CU_ASSERT_PTR_EQUAL(site_view_by_id(t.fx.site, id), view);
		CU_ASSERT_PTR_NULL(site_view_by_id(t.fx.site, 0));
		CU_ASSERT_PTR_NULL(site_view_by_id(t.fx.site, 99));
		CU_ASSERT_PTR_NULL(site_view_by_id(t.fx.site, UINT32_MAX));
		CU_ASSERT_PTR_NULL(site_view_by_path(t.fx.site, "red/vm0"));
		test_again(&t);
	}
	CU_ASSERT_EQUAL(site_guest_list(t.fx.site, test_stop, &seen), 7);
	CU_ASSERT_EQUAL(seen, 2);
	fixture_close(&t.fx);
}

/* A guest before its tenant has selected anything. */
static void test_site_nothing_selected(void)
{
	struct site_guest_options plain = {0};
	struct fixture fx;
	struct view *view;
	struct view_object d;
	struct package_info info;
	uint32_t generation;

	fixture_open(&fx);
	ASSERT(site_tenant_create(fx.site, "red") == 0);
	ASSERT(site_guest_add(fx.site, "red/vm1", &plain) == 0);
	view = fixture_view(&fx, "/red/vm1");
	CU_ASSERT_EQUAL(fixture_attr(view, "").mode, S_IFDIR | 0755);
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, 2);
	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, view_root(view), "d", 0755, &d),
	    0);
	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, d, "f", 0644, NULL),
			0);
	fixture_package(&fx, "base", "1", test_base, ARRAY_LEN(test_base),
			&info);
	CU_ASSERT_EQUAL(site_tenant_assign(fx.site, "red", &info, 1, false,
					   NULL, NULL, &generation),
			0);
	CU_ASSERT_EQUAL(generation, 1);
	CU_ASSERT_TRUE(fixture_names_are(view, "", "bin d etc lib only1 void"));
	CU_ASSERT_TRUE(fixture_names_are(view, "d", "f"));
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, 8);
	/* And nothing again. */
	CU_ASSERT_EQUAL(site_tenant_assign(fx.site, "red", NULL, 0, false, NULL,
					   NULL, &generation),
			0);
	CU_ASSERT_EQUAL(generation, 2);
	CU_ASSERT_TRUE(fixture_names_are(view, "", "d"));
	fixture_restart(&fx, true);
	CU_ASSERT_TRUE(
	    fixture_names_are(fixture_view(&fx, "/red/vm1"), "", "d"));
	fixture_close(&fx);
}

/* --- generations --------------------------------------------------------- */

static void test_site_assign(void)
{
	struct view_object tool;
	struct view_attr attr;
	struct timespec ctime;
	uint64_t sh, conf, root, old;
	uint32_t generation;
	struct test t;

	test_open(&t);
	sh = test_id(t.view, "bin/sh");
	conf = test_id(t.view, "etc/conf");
	root = test_id(t.view, "");
	old = test_id(t.view, "bin/tool");
	tool = fixture_find(t.view, "bin/tool");
	ctime = fixture_attr(t.view, "bin").ctime;

	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, NULL, false, &generation, NULL), 0);
	CU_ASSERT_EQUAL(generation, 1); /* the same: no new generation */
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base2, NULL, false, &generation, NULL), 0);
	CU_ASSERT_EQUAL(generation, 2);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(test_is(t.view, "bin/tool", "tool 2"));
		CU_ASSERT_TRUE(test_is(t.view, "etc/new", "new"));
		CU_ASSERT_TRUE(test_absent(t.view, "only1"));
		CU_ASSERT_EQUAL(test_id(t.view, ""), root);
		CU_ASSERT_EQUAL(test_id(t.view, "bin/sh"), sh);
		CU_ASSERT_EQUAL(test_id(t.view, "etc/conf"), conf);
		CU_ASSERT_NOT_EQUAL(test_id(t.view, "bin/tool"), old);
		/* Rule N-14: clients must look names up anew. */
		attr = fixture_attr(t.view, "bin");
		CU_ASSERT_TRUE(attr.ctime.tv_sec > ctime.tv_sec ||
			       attr.ctime.tv_nsec != ctime.tv_nsec);
		/* Rule N-20: the old handle has the old bytes. */
		CU_ASSERT_TRUE(fixture_content_is(t.view, tool, "tool 1", 6));
		test_again(&t);
	}
	/* Rolling back is a new generation with the old numbers. */
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, NULL, false, &generation, NULL), 0);
	CU_ASSERT_EQUAL(generation, 3);
	CU_ASSERT_EQUAL(test_id(t.view, "bin/tool"), old);
	CU_ASSERT_TRUE(test_is(t.view, "only1/f", "f"));
	fixture_close(&t.fx);
}

static void test_site_order(void)
{
	static const char *const paths[] = {"",         "bin",      "bin/sh",
					    "etc/conf", "bin/tool", "lib/big"};
	uint64_t ids[ARRAY_LEN(paths)];
	struct test t;

	test_open(&t);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		ids[i] = test_id(t.view, paths[i]);
	for (int order = 0; order < 2; order++) {
		CU_ASSERT_EQUAL(test_assign(&t, order ? &t.base : &t.extra,
					    order ? &t.extra : &t.base, false,
					    NULL, NULL),
				0);
		for (size_t i = 0; i < ARRAY_LEN(paths); i++)
			CU_ASSERT_EQUAL(test_id(t.view, paths[i]), ids[i]);
		CU_ASSERT_TRUE(test_is(t.view, "extra/x", "x"));
		test_again(&t);
	}
	fixture_close(&t.fx);
}

static void test_site_package_conflict(void)
{
	struct test_told told = {0};
	uint32_t generation;
	struct test t;

	test_open(&t);
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, &t.clash, false, &generation, &told),
	    -EEXIST);
	CU_ASSERT_EQUAL(generation, 1);
	CU_ASSERT_EQUAL(told.count, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(told.last, "base:1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(told.last, "clash:1"));
	CU_ASSERT_TRUE(test_is(t.view, "etc/conf", "conf"));
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, &t.clash, true, &generation, &told), 0);
	CU_ASSERT_EQUAL(generation, 2);
	CU_ASSERT_EQUAL(told.count, 4);
	CU_ASSERT_TRUE(test_is(t.view, "etc/conf", "conf"));
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.clash, &t.base, true, &generation, &told), 0);
	CU_ASSERT_TRUE(test_is(t.view, "etc/conf", "another"));
	CU_ASSERT_TRUE(S_ISREG(fixture_attr(t.view, "lib").mode));
	check_mute();
	CU_ASSERT_EQUAL(site_tenant_assign(t.fx.site, "green", &t.base, 1,
					   false, NULL, NULL, &generation),
			-ENOENT);
	check_unmute();
	fixture_close(&t.fx);
}

/* --- deltas over a switch ------------------------------------------------ */

static void test_write(struct view *view, const char *path, uint64_t off,
		       const char *text)
{
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, path), off, text,
				      strlen(text), true, NULL),
			0);
}

static void test_site_delta_stays(void)
{
	static uint8_t want[100000];
	struct view_object root;
	struct test t;

	test_open(&t);
	root = view_root(t.view);
	test_write(t.view, "lib/big", 50000, "mine");
	test_write(t.view, "etc/conf", 4, "igured");
	CU_ASSERT_EQUAL(
	    fixture_touch(t.view, &fixture_root, root, "own", 0644, NULL), 0);
	CU_ASSERT_EQUAL(fixture_touch(t.view, &fixture_root,
				      fixture_find(t.view, "etc"), "new", 0644,
				      NULL),
			0);
	test_write(t.view, "etc/new", 0, "the guest's");
	CU_ASSERT_EQUAL(fixture_remove(t.view, &fixture_root,
				       fixture_find(t.view, "bin"), "sh", NULL),
			0);
	CU_ASSERT_EQUAL(test_assign(&t, &t.base2, &t.extra, false, NULL, NULL),
			0);
	check_fill(want, sizeof(want), 1);
	memcpy(want + 50000, "mine", 4);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(
		    fixture_content_is(t.view, fixture_find(t.view, "lib/big"),
				       want, sizeof(want)));
		CU_ASSERT_TRUE(test_is(t.view, "etc/conf", "configured"));
		CU_ASSERT_TRUE(test_is(t.view, "etc/new", "the guest's"));
		CU_ASSERT_TRUE(test_is(t.view, "own", ""));
		CU_ASSERT_TRUE(fixture_names_are(t.view, "bin", "extra tool"));
		test_again(&t);
	}
	/* The guest's own file goes; the package's name was hidden by it. */
	CU_ASSERT_EQUAL(fixture_remove(t.view, &fixture_root,
				       fixture_find(t.view, "etc"), "new",
				       NULL),
			0);
	CU_ASSERT_TRUE(test_absent(t.view, "etc/new"));
	CU_ASSERT_TRUE(fixture_names_are(t.view, "etc", "conf"));
	test_again(&t);
	CU_ASSERT_TRUE(fixture_names_are(t.view, "etc", "conf"));
	fixture_close(&t.fx);
}

static void test_site_delta_conflict(void)
{
	struct test_told told = {0};
	uint32_t generation;
	struct test t;

	test_open(&t);
	test_write(t.view, "bin/tool", 0, "Tool");
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base2, NULL, true, &generation, &told), -EEXIST);
	CU_ASSERT_EQUAL(generation, 1);
	CU_ASSERT_EQUAL(told.count, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(told.last, "red/vm1"));
	CU_ASSERT_TRUE(test_is(t.view, "bin/tool", "Tool 1"));
	/* When the guest has removed its change, there is none. */
	CU_ASSERT_EQUAL(fixture_remove(t.view, &fixture_root,
				       fixture_find(t.view, "bin"), "tool",
				       NULL),
			0);
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base2, NULL, true, &generation, &told), 0);
	CU_ASSERT_EQUAL(generation, 2);
	/* The whiteout is of the name: the other file stays hidden. */
	CU_ASSERT_TRUE(test_absent(t.view, "bin/tool"));
	test_again(&t);
	CU_ASSERT_TRUE(test_absent(t.view, "bin/tool"));
	CU_ASSERT_TRUE(test_absent(t.view, "only1"));
	fixture_close(&t.fx);
}

/* Bytes that are not committed yet count as a change, too. */
static void test_site_delta_unsaved(void)
{
	static uint8_t data[50000];
	struct test_told told = {0};
	struct view_object big;
	struct test t;

	test_open(&t);
	big = fixture_find(t.view, "lib/big");
	CU_ASSERT_EQUAL(fixture_write(t.view, &fixture_root, big, 0, data,
				      sizeof(data), false, NULL),
			0);
	CU_ASSERT_EQUAL(test_assign(&t, &t.extra, NULL, true, NULL, &told),
			-EEXIST);
	CU_ASSERT_TRUE(told.count >= 1);
	CU_ASSERT_EQUAL(test_assign(&t, &t.base2, NULL, true, NULL, &told), 0);
	CU_ASSERT_EQUAL(fixture_commit(t.view, big), 0);
	test_again(&t);
	CU_ASSERT_EQUAL(fixture_attr(t.view, "lib/big").fileid, big.fileid);
	CU_ASSERT_EQUAL(fixture_attr(t.view, "lib/big").size, 100000);
	fixture_close(&t.fx);
}

/* A whiteout stays effective when the name below vanishes and comes back. */
static void test_site_whiteout_stays(void)
{
	struct view_object root;
	struct test t;

	test_open(&t);
	root = view_root(t.view);
	CU_ASSERT_EQUAL(
	    fixture_rmdir(t.view, &fixture_root, root, "void", NULL), 0);
	CU_ASSERT_EQUAL(test_assign(&t, &t.base2, NULL, false, NULL, NULL), 0);
	CU_ASSERT_TRUE(fixture_names_are(t.view, "", "bin etc lib"));
	CU_ASSERT_EQUAL(test_assign(&t, &t.base, NULL, false, NULL, NULL), 0);
	CU_ASSERT_TRUE(fixture_names_are(t.view, "", "bin etc lib only1"));
	fixture_close(&t.fx);
}

/* --- who sees what ------------------------------------------------------- */

static void test_site_apart(void)
{
	struct site_guest_options plain = {0};
	struct view *one, *two, *blue;
	struct view_object own;
	struct view_attr attr;
	uint32_t generation;
	struct test t;

	test_open(&t);
	ASSERT(site_guest_add(t.fx.site, "red/vm2", &plain) == 0);
	ASSERT(site_tenant_create(t.fx.site, "blue") == 0);
	ASSERT(site_tenant_assign(t.fx.site, "blue", &t.base, 1, false, NULL,
				  NULL, &generation) == 0);
	ASSERT(site_guest_add(t.fx.site, "blue/vm1", &plain) == 0);
	one = t.view;
	two = fixture_view(&t.fx, "/red/vm2");
	blue = fixture_view(&t.fx, "/blue/vm1");
	test_write(one, "etc/conf", 0, "CONF");
	CU_ASSERT_EQUAL(fixture_touch(one, &fixture_root, view_root(one), "own",
				      0644, &own),
			0);
	CU_ASSERT_EQUAL(fixture_remove(two, &fixture_root,
				       fixture_find(two, "bin"), "sh", NULL),
			0);
	CU_ASSERT_TRUE(test_is(one, "etc/conf", "CONF"));
	CU_ASSERT_TRUE(test_is(two, "etc/conf", "conf"));
	CU_ASSERT_TRUE(test_is(blue, "etc/conf", "conf"));
	CU_ASSERT_TRUE(test_absent(two, "own"));
	CU_ASSERT_TRUE(fixture_names_are(one, "bin", "sh tool"));
	CU_ASSERT_TRUE(fixture_names_are(two, "bin", "tool"));
	/* The first object of another guest has another handle. */
	CU_ASSERT_EQUAL(view_getattr(two, own, &attr), -ESTALE);
	CU_ASSERT_EQUAL(
	    fixture_touch(two, &fixture_root, view_root(two), "o2", 0644, NULL),
	    0);
	CU_ASSERT_EQUAL(view_getattr(two, own, &attr), -ESTALE);
	CU_ASSERT_EQUAL(test_id(one, "bin/tool"), test_id(two, "bin/tool"));
	CU_ASSERT_NOT_EQUAL(test_id(one, "bin/tool"),
			    test_id(blue, "bin/tool"));
	CU_ASSERT_NOT_EQUAL(view_get_info(one)->export_id,
			    view_get_info(two)->export_id);
	CU_ASSERT_NOT_EQUAL(memcmp(view_get_info(one)->key,
				   view_get_info(two)->key, SIPHASH_KEY_LEN),
			    0);
	fixture_close(&t.fx);
}

/* --- more switches than a view can hold trees ---------------------------- */

static void test_site_many_generations(void)
{
	enum { TEST_GENERATIONS = 300 };
	struct package_info info;
	struct fixture_entry entries[2] = {
	    {"big", S_IFREG | 0644, .len = 50000, .seed = 1},
	    {"other", S_IFREG | 0644, .len = 4},
	};
	static uint8_t want[50000];
	struct fixture fx;
	struct view *view = NULL;
	uint32_t generation;

	fixture_open(&fx);
	for (unsigned int i = 0; i < TEST_GENERATIONS; i++) {
		char tag[16];

		snprintf(tag, sizeof(tag), "%u", i);
		entries[1].seed = i;
		fixture_package(&fx, "p", tag, entries, 2, &info);
		if (i == 0)
			view = fixture_guest(&fx, &info, 1);
		CU_ASSERT_EQUAL(site_tenant_assign(fx.site, "red", &info, 1,
						   false, NULL, NULL,
						   &generation),
				0);
		if (i == 280)
			test_write(view, "big", 20000, "based on tree 280");
	}
	check_fill(want, sizeof(want), 1);
	memcpy(want + 20000, "based on tree 280", 17);
	CU_ASSERT_TRUE(fixture_content_is(view, fixture_find(view, "big"), want,
					  sizeof(want)));
	fixture_close(&fx);
}

/* What a tenant may not have is not assigned, and what it has it keeps. */
static void test_site_entitled(void)
{
	struct package_entitled blue, all;
	struct test t;
	uint32_t generation;

	test_open(&t);
	CU_ASSERT_EQUAL(package_entitled_parse("blue", &blue), 0);
	CU_ASSERT_EQUAL(package_entitled_parse("all", &all), 0);
	CU_ASSERT_EQUAL(depot_package_entitle(t.fx.depot, "extra", &blue), 0);
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, &t.extra, true, &generation, NULL),
	    -EACCES);
	CU_ASSERT_EQUAL(generation, 1);
	CU_ASSERT_TRUE(test_absent(t.view, "bin/extra"));
	CU_ASSERT_EQUAL(depot_package_entitle(t.fx.depot, "extra", &all), 0);
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base, &t.extra, true, &generation, NULL), 0);
	CU_ASSERT_TRUE(test_is(t.view, "bin/extra", "extra"));
	CU_ASSERT_EQUAL(depot_package_entitle(t.fx.depot, "extra", &blue), 0);
	test_again(&t);
	CU_ASSERT_TRUE(test_is(t.view, "bin/extra", "extra"));
	/* Not even the same once more. */
	CU_ASSERT_EQUAL(test_assign(&t, &t.base, &t.extra, true, NULL, NULL),
			-EACCES);
	CU_ASSERT_EQUAL(test_assign(&t, &t.base2, NULL, true, NULL, NULL), 0);
	package_entitled_clear(&blue);
	fixture_close(&t.fx);
}

static int test_history_note(void *ctx, const struct site_generation *g)
{
	char *text = ctx;

	snprintf(text + strlen(text), 64, "%u:%u:%.8s ", g->generation,
		 g->package_count, g->package_count ? g->package[0].tag : "");
	return 0;
}

static void test_site_rollback(void)
{
	struct site_switch how = {.policy = SITE_POLICY_FAIL};
	uint32_t generation, from;
	char text[512] = "";
	struct test t;
	uint64_t old;

	test_open(&t);
	old = test_id(t.view, "bin/tool");
	CU_ASSERT_EQUAL(
	    test_assign(&t, &t.base2, &t.extra, true, &generation, NULL), 0);
	CU_ASSERT_EQUAL(generation, 2);
	CU_ASSERT_EQUAL(
	    site_tenant_rollback(t.fx.site, "red", 0, &how, &from, &generation),
	    0);
	CU_ASSERT_EQUAL(from, 1);
	CU_ASSERT_EQUAL(generation, 3);
	/* The very file that it was: the same number. */
	CU_ASSERT_EQUAL(test_id(t.view, "bin/tool"), old);
	CU_ASSERT_TRUE(test_is(t.view, "only1/f", "f"));
	CU_ASSERT_EQUAL(
	    site_tenant_rollback(t.fx.site, "red", 2, &how, &from, &generation),
	    0);
	CU_ASSERT_EQUAL(generation, 4);
	CU_ASSERT_TRUE(test_is(t.view, "bin/tool", "tool 2"));
	test_again(&t);
	CU_ASSERT_EQUAL(
	    site_tenant_history(t.fx.site, "red", test_history_note, text), 0);
	CU_ASSERT_STRING_EQUAL(text, "1:1:1 2:2:2 3:1:1 4:2:2 ");
	check_mute();
	CU_ASSERT_EQUAL(
	    site_tenant_rollback(t.fx.site, "red", 9, &how, &from, &generation),
	    -ERANGE);
	CU_ASSERT_EQUAL(site_tenant_rollback(t.fx.site, "none", 0, &how, &from,
					     &generation),
			-ENOENT);
	check_unmute();
	fixture_close(&t.fx);
}

static const struct check_test tests[] = {
    {"rollback", test_site_rollback},
    {"tables", test_site_tables},
    {"nothing selected", test_site_nothing_selected},
    {"assign", test_site_assign},
    {"order", test_site_order},
    {"conflict of packages", test_site_package_conflict},
    {"delta stays", test_site_delta_stays},
    {"conflict with a delta", test_site_delta_conflict},
    {"unsaved bytes", test_site_delta_unsaved},
    {"whiteout stays", test_site_whiteout_stays},
    {"guests apart", test_site_apart},
    {"entitled", test_site_entitled},
    {"many generations", test_site_many_generations},
};

int main(void)
{
	return check_main("test_site", tests, ARRAY_LEN(tests));
}
