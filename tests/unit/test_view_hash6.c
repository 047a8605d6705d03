/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_hash6: directories where nearly all names have the same few hashes
 * (6 bits): chains of ties, fillers, whiteouts in the middle of chains.
 */
#include <stdio.h>

#include "depot/digest.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_NAMES = 64, TEST_PACKAGE_NAMES = 40, TEST_STEPS = 1500 };

/* NAME0..: the first ones are in the package too. */
static void test_name(unsigned int i, char name[16])
{
	snprintf(name, 16, "n%u", i);
}

static struct view *test_open(struct fixture *fx, const char *more,
			      struct package_info *info)
{
	static struct fixture_entry entries[2 * TEST_PACKAGE_NAMES];
	static char paths[2 * TEST_PACKAGE_NAMES][24];
	size_t count = 0;

	for (unsigned int i = 0; i < TEST_PACKAGE_NAMES; i++) {
		snprintf(paths[count], sizeof(paths[count]), "d/n%u", i);
		entries[count] = (struct fixture_entry){
		    paths[count], S_IFREG | 0644, .text = "package"};
		count++;
	}
	fixture_open(fx);
	fixture_package(fx, "p", "1", entries, count, &info[0]);
	for (unsigned int i = 0; more && i < 20; i++) {
		snprintf(paths[i], sizeof(paths[i]), "d/%s%u", more, i);
		entries[i] = (struct fixture_entry){paths[i], S_IFREG | 0644,
						    .text = "more"};
	}
	if (more)
		fixture_package(fx, "more", "1", entries, 20, &info[1]);
	return fixture_guest(fx, info, 1);
}

/* The listing, whole and in pages from every cookie, and look-ups agree with
 * what should be there. */
static void test_check(struct view *view, struct view_object dir,
		       const bool *there, const uint64_t *cookies)
{
	CLEANUP(fixture_list_clear) struct fixture_list list = {.page = 7};
	size_t count = 2;

	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root, dir, 0, &list), 0);
	for (unsigned int i = 0; i < TEST_NAMES; i++) {
		const struct fixture_dirent *ent;
		struct view_attr attr;
		char name[16];

		test_name(i, name);
		ent = fixture_list_find(&list, name);
		CU_ASSERT_EQUAL(ent != NULL, there[i]);
		CU_ASSERT_EQUAL(
		    fixture_lookup(view, &fixture_root, dir, name, &attr),
		    there[i] ? 0 : -ENOENT);
		if (there[i] && ent) {
			CU_ASSERT_EQUAL(attr.fileid, ent->fileid);
			if (cookies && cookies[i])
				CU_ASSERT_EQUAL(ent->cookie, cookies[i]);
		}
		count += there[i];
	}
	CU_ASSERT_EQUAL(list.count, count);
}

static void test_cookies(struct view *view, struct view_object dir,
			 uint64_t *cookies)
{
	CLEANUP(fixture_list_clear) struct fixture_list list = {0};

	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root, dir, 0, &list), 0);
	for (unsigned int i = 0; i < TEST_NAMES; i++) {
		const struct fixture_dirent *ent;
		char name[16];

		test_name(i, name);
		ent = fixture_list_find(&list, name);
		cookies[i] = ent ? ent->cookie : 0;
	}
}

/* One random step on one of the names; `there` follows. */
static void test_step(struct view *view, struct view_object dir, bool *there,
		      uint32_t dice)
{
	unsigned int i = dice % TEST_NAMES, k = dice / 100 % TEST_NAMES;
	char from[16], to[16];
	int rc;

	test_name(i, from);
	test_name(k, to);
	switch (dice >> 28) {
	case 0:
	case 1:
	case 2:
	case 3:
		rc = fixture_touch(view, &fixture_root, dir, from, 0644, NULL);
		CU_ASSERT_EQUAL(rc, there[i] ? -EEXIST : 0);
		there[i] = true;
		break;
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		rc = fixture_rename(view, &fixture_root, dir, from, dir, to,
				    NULL);
		CU_ASSERT_EQUAL(rc, there[i] ? 0 : -ENOENT);
		if (rc == 0 && i != k) {
			there[i] = false;
			there[k] = true;
		}
		break;
	default:
		rc = fixture_remove(view, &fixture_root, dir, from, NULL);
		CU_ASSERT_EQUAL(rc, there[i] ? 0 : -ENOENT);
		there[i] = false;
		break;
	}
}

static void test_hash6_random(void)
{
	static uint32_t dice[TEST_STEPS];

	for (uint64_t seed = 1; seed <= 3; seed++) {
		uint64_t cookies[TEST_NAMES];
		bool there[TEST_NAMES] = {false};
		struct package_info info[2];
		struct fixture fx;
		struct view *view = test_open(&fx, NULL, info);
		struct view_object dir = fixture_find(view, "d");

		for (unsigned int i = 0; i < TEST_PACKAGE_NAMES; i++)
			there[i] = true;
		test_check(view, dir, there, NULL);
		test_cookies(view, dir, cookies);
		check_fill(dice, sizeof(dice), seed);
		for (size_t i = 0; i < TEST_STEPS; i++) {
			test_step(view, dir, there, dice[i]);
			if (i % 100 == 0)
				test_check(view, dir, there, cookies);
			if (i % 400 == 399) {
				fixture_restart(&fx, false);
				view = fixture_view(&fx, "/red/vm1");
			}
		}
		test_check(view, dir, there, cookies);
		fixture_close(&fx);
	}
}

/* A cookie stays that of its entry while others come and go (rule N-22). */
static void test_hash6_cookies_stay(void)
{
	struct package_info info[2];
	uint64_t before[TEST_NAMES], after[TEST_NAMES];
	struct fixture fx;
	struct view *view = test_open(&fx, NULL, info);
	struct view_object dir = fixture_find(view, "d");
	char name[16];

	for (unsigned int i = TEST_PACKAGE_NAMES; i < TEST_NAMES; i++) {
		test_name(i, name);
		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, dir, name, 0644, NULL),
		    0);
	}
	test_cookies(view, dir, before);
	for (unsigned int i = 0; i < TEST_NAMES; i += 3) {
		test_name(i, name);
		CU_ASSERT_EQUAL(
		    fixture_remove(view, &fixture_root, dir, name, NULL), 0);
	}
	test_cookies(view, dir, after);
	for (unsigned int i = 0; i < TEST_NAMES; i++)
		CU_ASSERT_EQUAL(after[i], i % 3 == 0 ? 0 : before[i]);
	/* The package's names come back to where they were. */
	for (unsigned int i = 0; i < TEST_PACKAGE_NAMES; i += 3) {
		test_name(i, name);
		CU_ASSERT_EQUAL(
		    fixture_touch(view, &fixture_root, dir, name, 0644, NULL),
		    0);
	}
	test_cookies(view, dir, after);
	for (unsigned int i = 0; i < TEST_PACKAGE_NAMES; i++)
		CU_ASSERT_EQUAL(after[i], before[i]);
	fixture_close(&fx);
}

/* A full chain: NOSPC, and nothing has happened. */
static void test_hash6_full(void)
{
	struct package_info info[2];
	struct fixture fx;
	struct view *view = test_open(&fx, NULL, info);
	struct view_object d, other;
	unsigned int made = 0;
	char *before;
	int rc = 0;

	CU_ASSERT_EQUAL(
	    fixture_mkdir(view, &fixture_root, view_root(view), "e", 0755, &d),
	    0);
	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, view_root(view),
				      "other", 0644, &other),
			0);
	check_mute();
	for (unsigned int i = 0; rc == 0 && i < 300; i++) {
		char name[16];

		test_name(i, name);
		rc = fixture_touch(view, &fixture_root, d, name, 0644, NULL);
		made += rc == 0;
	}
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_TRUE(made >= NAME_CHAIN_MAX && made < 130);
	before = fixture_names(view, "e");
	/* One of these has a full chain, whatever the others have. */
	for (unsigned int i = 300; i < 400; i++) {
		char name[16];

		test_name(i, name);
		rc = fixture_rename(view, &fixture_root, view_root(view),
				    "other", d, name, NULL);
		if (rc == -ENOSPC)
			break;
		CU_ASSERT_EQUAL(fixture_rename(view, &fixture_root, d, name,
					       view_root(view), "other", NULL),
				0);
	}
	check_unmute();
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_TRUE(fixture_names_are(view, "e", before));
	CU_ASSERT_EQUAL(fixture_find(view, "other").fileid, other.fileid);
	free(before);
	fixture_close(&fx);
}

/*
 * A switch that brings names between those of the delta, or takes away what
 * they gave way to: it is refused, or nothing is lost.
 */
static void test_hash6_switch_on(unsigned int first, unsigned int step,
				 unsigned int *done)
{
	bool there[TEST_NAMES] = {false};
	struct package_info info[2];
	struct fixture fx;
	struct view *view = test_open(&fx, "m", info);
	struct view_object dir = fixture_find(view, "d");
	uint32_t generation;

	for (unsigned int i = 0; i < TEST_PACKAGE_NAMES; i++)
		there[i] = true;
	for (unsigned int i = first; i < TEST_NAMES; i += step) {
		char name[16];

		test_name(i, name);
		if (i % 2 && i < TEST_PACKAGE_NAMES)
			CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, dir,
						       name, NULL),
					0);
		if (i >= TEST_PACKAGE_NAMES)
			CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, dir,
						      name, 0644, NULL),
					0);
		there[i] = i >= TEST_PACKAGE_NAMES || i % 2 == 0;
		/* Leave fillers behind. */
		if (i % 5 == 0 && i >= TEST_PACKAGE_NAMES) {
			CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, dir,
						       name, NULL),
					0);
			there[i] = false;
		}
	}
	check_mute();
	for (int count = 2; count >= 1; count--) {
		/* Both packages; then the second alone, which has no n0... */
		int rc = site_tenant_assign(
		    fx.site, "red", count == 2 ? info : info + 1,
		    (unsigned int)count, true, NULL, NULL, &generation);
		CLEANUP(fixture_list_clear) struct fixture_list list = {0};

		CU_ASSERT_TRUE(rc == 0 || rc == -EEXIST);
		if (rc < 0)
			continue;
		++*done;
		for (unsigned int i = 0; count == 1 && i < TEST_PACKAGE_NAMES;
		     i++)
			there[i] = false;
		CU_ASSERT_EQUAL(
		    fixture_list(view, &fixture_root, dir, 0, &list), 0);
		for (size_t i = 2; i < list.count; i++) {
			struct view_attr attr;

			CU_ASSERT_EQUAL(fixture_lookup(view, &fixture_root, dir,
						       list.entries[i].name,
						       &attr),
					0);
		}
		for (unsigned int i = 0; i < TEST_NAMES; i++) {
			char name[16];

			test_name(i, name);
			CU_ASSERT_EQUAL(fixture_list_find(&list, name) != NULL,
					there[i]);
		}
		CU_ASSERT_PTR_NOT_NULL(fixture_list_find(&list, "m0"));
		CU_ASSERT_PTR_NOT_NULL(fixture_list_find(&list, "m19"));
	}
	check_unmute();
	fixture_close(&fx);
}

static void test_hash6_switch(void)
{
	unsigned int done = 0;

	for (unsigned int first = 0; first < 60; first += 3)
		test_hash6_switch_on(first, 7 + first % 11, &done);
	for (unsigned int first = TEST_NAMES - 10; first < TEST_NAMES; first++)
		test_hash6_switch_on(first, TEST_NAMES, &done);
	CU_ASSERT_TRUE(done > 3);
}

static const struct check_test tests[] = {
    {"random", test_hash6_random},
    {"cookies stay", test_hash6_cookies_stay},
    {"a full chain", test_hash6_full},
    {"switches", test_hash6_switch},
};

int main(void)
{
	name_cookie_cut_for_tests(6);
	return check_main("test_view_hash6", tests, ARRAY_LEN(tests));
}
