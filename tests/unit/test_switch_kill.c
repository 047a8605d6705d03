/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_switch_kill: the process dies at each step of a switch.  What the next
 * start finds: every guest, with its own changes, wholly on one generation.
 */
#include "depot/killpoint.h"

#undef KILL_POINT
#define KILL_POINT(name) test_point(name)
static void test_point(const char *name);
#include "overlay/site_move.c"

#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"
#include "tests/lib/tmpdir.h"

static const struct fixture_entry test_one[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 1"},
    {"etc/conf", S_IFREG | 0644, .text = "conf 1"},
    {"old/only", S_IFREG | 0644, .text = "only 1"},
};
static const struct fixture_entry test_two[] = {
    {"bin/tool", S_IFREG | 0755, .text = "tool 2"},
    {"etc/conf", S_IFREG | 0644, .text = "conf 2"},
    {"etc/new", S_IFREG | 0644, .text = "new 2"},
};

static const char *const test_points[] = {"switch-rebased", "switch-written",
					  "switch-applied", "switch-synced"};
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

static void test_put(struct view *view, const char *path, const char *text)
{
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, path), 0, text,
				      strlen(text), true, NULL),
			0);
}

static bool test_is(struct view *view, const char *path, const char *text)
{
	return fixture_content_is(view, fixture_find(view, path), text,
				  strlen(text));
}

static void test_problem(void *ctx, bool problem, const char *what)
{
	if (!problem)
		return;
	fprintf(stderr, "%s\n", what);
	++*(unsigned int *)ctx;
}

/* Which generation a guest is on, in all it sees; 0: on none wholly. */
static int test_generation(struct view *view, enum site_policy policy)
{
	struct view_attr attr;
	bool new = fixture_walk(view, "etc/new", &attr) == 0;
	bool kept = policy == SITE_POLICY_KEEP || !new;
	bool right = test_is(view, "bin/tool", new ? "tool 2" : "tool 1") &&
		     test_is(view, "etc/conf", kept ? "mine 1" : "conf 2");

	if (kept)
		right &= test_is(view, "old/only", "ONLY 1");
	else
		right &= fixture_walk(view, "old/only", &attr) == -ENOENT;
	return !right ? 0 : new ? 2 : 1;
}

static void test_kill_at(const char *point, enum site_policy policy)
{
	struct site_guest_options options = {0};
	struct site_switch how = {.policy = policy};
	const char *const guests[] = {"/red/vm1", "/red/vm2"};
	struct site_delta_figures figures;
	struct package_info one, two;
	unsigned int problems = 0;
	struct fixture fx;
	uint32_t generation;
	int seen[2];

	fixture_open(&fx);
	fixture_package(&fx, "p", "1", test_one, ARRAY_LEN(test_one), &one);
	fixture_package(&fx, "p", "2", test_two, ARRAY_LEN(test_two), &two);
	fixture_guest(&fx, &one, 1);
	CU_ASSERT_EQUAL(site_guest_add(fx.site, "red/vm2", &options), 0);
	for (int i = 0; i < 2; i++) {
		test_put(fixture_view(&fx, guests[i]), "etc/conf", "mine");
		test_put(fixture_view(&fx, guests[i]), "old/only", "ONLY");
	}
	test_at = point;
	test_fx = &fx;
	CU_ASSERT_EQUAL(
	    site_tenant_switch(fx.site, "red", &two, 1, &how, &generation), 0);
	test_at = NULL;
	CU_ASSERT_PTR_NOT_NULL_FATAL(test_copy);
	fixture_close(&fx);
	fx.dir = test_copy;
	test_copy = NULL;
	fixture_reopen(&fx);
	for (int i = 0; i < 2; i++) {
		seen[i] = test_generation(fixture_view(&fx, guests[i]), policy);
		CU_ASSERT_EQUAL(site_delta_verify(fx.site, guests[i] + 1,
						  test_problem, &problems,
						  &figures),
				0);
	}
	CU_ASSERT_EQUAL(problems, 0);
	CU_ASSERT_NOT_EQUAL(seen[0], 0);
	CU_ASSERT_EQUAL(seen[0], seen[1]);
	/* What was answered is there. */
	if (strcmp(point, "switch-synced") == 0)
		CU_ASSERT_EQUAL(seen[0], 2);
	if (strcmp(point, "switch-rebased") == 0)
		CU_ASSERT_EQUAL(seen[0], 1);
	fixture_close(&fx);
}

static void test_switch_kill(void)
{
	for (size_t i = 0; i < ARRAY_LEN(test_points); i++) {
		test_kill_at(test_points[i], SITE_POLICY_KEEP);
		test_kill_at(test_points[i], SITE_POLICY_PACKAGE);
	}
}

/* --- figures
 * ------------------------------------------------------------------ */

/* 100 guests with changes of their own: the switch takes under a second. */
static void test_switch_hundred(void)
{
	struct site_guest_options options = {0};
	struct site_switch how = {.policy = SITE_POLICY_KEEP};
	struct package_info one, two;
	struct timespec from, to;
	struct fixture fx;
	uint32_t generation;
	long ms;

	fixture_open(&fx);
	fixture_package(&fx, "p", "1", test_one, ARRAY_LEN(test_one), &one);
	fixture_package(&fx, "p", "2", test_two, ARRAY_LEN(test_two), &two);
	fixture_guest(&fx, &one, 1);
	for (int i = 2; i <= 100; i++) {
		char name[16], path[20];

		snprintf(name, sizeof(name), "red/vm%d", i);
		snprintf(path, sizeof(path), "/%s", name);
		CU_ASSERT_EQUAL(site_guest_add(fx.site, name, &options), 0);
		test_put(fixture_view(&fx, path), "etc/conf", "mine");
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	CU_ASSERT_EQUAL(
	    site_tenant_switch(fx.site, "red", &two, 1, &how, &generation), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ms = (to.tv_sec - from.tv_sec) * 1000 +
	     (to.tv_nsec - from.tv_nsec) / 1000000;
	fprintf(stderr,
		"switch of 100 guests, each with a change that meets "
		"another: %ld ms\n",
		ms);
	CU_ASSERT_EQUAL(how.kept, 99);
	CU_ASSERT_TRUE(ms < 1000);
	CU_ASSERT_TRUE(
	    test_is(fixture_view(&fx, "/red/vm100"), "etc/conf", "mine 1"));
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"a death at each step", test_switch_kill},
    {"100 guests", test_switch_hundred},
};

int main(void)
{
	return check_main("test_switch_kill", tests, ARRAY_LEN(tests));
}
