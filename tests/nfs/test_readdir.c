/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_readdir: listings (rules N-18, N-22 to N-28): 5,000 names of the package
 * with 5,000 of the delta among them, by pages of all sizes, while others
 * change them, over restarts.
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

enum {
	MANY = 5000, /* names of the package in "many", and of the delta */
	BODY_MAX = 64 << 10,
	SMALLEST = 512,
};

static struct rig rig;
static struct raw_fh many; /* 5,000 of each */

static void more_names(const char *dir)
{
	char path[64];

	rig_host_dir(dir, "many", 0755);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "many/package-%04d", i);
		rig_host_file(dir, path, 0644, path, 8);
	}
	rig_host_dir(dir, "long", 0755);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "long/d%04d", i);
		rig_host_dir(dir, path, 0755);
	}
}

/* Calls with a name each, many in flight at a time; returns how many failed. */
static int pipelined(struct raw *raw, uint32_t proc, const struct raw_fh *dir,
		     const char *prefix, int from, int to)
{
	enum { WINDOW = 100 };
	int failed = 0, answered = from;
	char name[64];

	for (int i = from; i < to || answered < to; i++) {
		if (i < to) {
			snprintf(name, sizeof(name), "%s%04d", prefix, i);
			raw_begin_any(raw, proc, dir, dir, name);
			failed += !raw_send(raw);
		}
		if (i - answered < WINDOW && i < to)
			continue;
		failed += raw_reply(raw) != 0 || raw_get32(raw) != S_OK;
		answered++;
	}
	return failed;
}

static void make_many(void)
{
	many = rig_walk(&rig, &rig.root, "many");
	ASSERT(pipelined(&rig.raw, P_CREATE, &many, "delta-", 0, MANY) == 0);
}

/* --- what a listing must be ---------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct raw_entry *)a)->name,
		      ((const struct raw_entry *)b)->name);
}

/* Cookies rise (so none comes twice), are not 0, below 2^63; the verifier is
 * constant (N-23). */
static void cookies_rise(const struct raw_listing *list)
{
	int bad = 0;

	for (size_t i = 0; i < list->count; i++) {
		uint64_t cookie = list->entries[i].cookie;

		bad += cookie == 0 || cookie > INT64_MAX ||
		       (i > 0 && cookie <= list->entries[i - 1].cookie);
	}
	EXPECT(bad, 0);
	CU_ASSERT(list->verifier == 0);
}

static int count_prefix(const struct raw_listing *list, const char *prefix)
{
	int count = 0;

	for (size_t i = 0; i < list->count; i++)
		count +=
		    strncmp(list->entries[i].name, prefix, strlen(prefix)) == 0;
	return count;
}

/* Each name once: sorted by name, no two are the same. */
static int doubles(struct raw_listing *list)
{
	int same = 0;

	qsort(list->entries, list->count, sizeof(list->entries[0]), by_name);
	for (size_t i = 1; i < list->count; i++)
		same += strcmp(list->entries[i - 1].name,
			       list->entries[i].name) == 0;
	return same;
}

static void expect_many(bool plus, uint32_t count, int delta)
{
	struct raw_listing list = {.count = 0};

	EXPECT(raw_list(&rig.raw, &many, plus, count, &list), S_OK);
	cookies_rise(&list);
	EXPECT(count_prefix(&list, "package-"), MANY);
	EXPECT(count_prefix(&list, "delta-"), delta);
	EXPECT(list.count, MANY + delta + 2);
	EXPECT(doubles(&list), 0);
	raw_listing_free(&list);
}

static void t_N_22_page_sizes(void)
{
	static const uint32_t sizes[] = {
	    SMALLEST, 600, 1024, 4096, 8192, 32768, 65536, 1 << 20, UINT32_MAX};

	for (int plus = 0; plus < 2; plus++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			rig_at("plus %d, page %u", plus, sizes[i]);
			expect_many(plus, sizes[i], MANY);
		}
	rig_at("%s", "");
}

/* N-25: both calls give the same, and take each other's cookies. */
static void t_N_25_same(void)
{
	struct raw_listing a = {.count = 0}, b = {.count = 0};
	uint64_t cookie = 0;
	int bad = 0;

	EXPECT(raw_list(&rig.raw, &many, false, 8192, &a), S_OK);
	for (int page = 0; !b.eof; page++) {
		ASSERT(page < 100000);
		if (raw_readdir(&rig.raw, &many, page % 2, cookie, 3000, &b) !=
		    S_OK)
			break;
		cookie = b.entries[b.count - 1].cookie;
	}
	EXPECT(b.count, a.count);
	for (size_t i = 0; i < MIN(a.count, b.count); i++) {
		const struct raw_entry *x = &a.entries[i], *y = &b.entries[i];

		bad += strcmp(x->name, y->name) != 0 ||
		       x->cookie != y->cookie || x->fileid != y->fileid ||
		       (y->attr.present && y->attr.fileid != y->fileid);
	}
	EXPECT(bad, 0);
	raw_listing_free(&a);
	raw_listing_free(&b);
}

/* N-18: LOOKUP, GETATTR and READDIRPLUS tell one story of each entry. */
static void t_N_18_same_attributes(void)
{
	struct raw_listing list = {.count = 0};
	struct raw_attr attr;
	struct raw_fh fh;
	int bad = 0;

	EXPECT(raw_list(&rig.raw, &many, true, 32768, &list), S_OK);
	for (size_t i = 2; i < list.count; i += 7) {
		const struct raw_entry *e = &list.entries[i];

		bad +=
		    raw_lookup(&rig.raw, &many, e->name, &fh, &attr) != S_OK ||
		    memcmp(&fh, &e->fh, sizeof(fh)) != 0 ||
		    memcmp(&attr, &e->attr, sizeof(attr)) != 0 ||
		    attr.fileid != e->fileid;
	}
	EXPECT(bad, 0);
	raw_listing_free(&list);
}

/* N-22: from every cookie the listing goes on behind it, also once its entry
 * has been removed. */
static void t_N_22_every_cookie(void)
{
	struct raw_listing all = {.count = 0}, page = {.count = 0};
	int bad = 0;

	EXPECT(raw_list(&rig.raw, &many, false, 32768, &all), S_OK);
	for (size_t i = 0; i + 1 < all.count; i += 3) {
		page.count = 0;
		bad +=
		    raw_readdir(&rig.raw, &many, i % 2, all.entries[i].cookie,
				SMALLEST, &page) != S_OK ||
		    page.count == 0 ||
		    strcmp(page.entries[0].name, all.entries[i + 1].name) != 0;
	}
	EXPECT(bad, 0);
	raw_listing_free(&all);
	raw_listing_free(&page);
}

static void t_N_22_removed_entries(void)
{
	struct raw_listing all = {.count = 0}, page = {.count = 0};
	struct raw_fh dir;
	int bad = 0;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		EXPECT(pipelined(&rig.raw, P_CREATE, &dir, "n", 0, 100), 0);
		EXPECT(raw_remove(&rig.raw, &dir, "one", false), S_OK);
		EXPECT(raw_list(&rig.raw, &dir, false, 4096, &all), S_OK);
		for (size_t i = 2; i + 1 < all.count; i++) {
			const struct raw_entry *e = &all.entries[i];

			if (e->name[0] == 'n')
				EXPECT(
				    raw_remove(&rig.raw, &dir, e->name, false),
				    S_OK);
			page.count = 0;
			bad += raw_readdir(&rig.raw, &dir, i % 2, e->cookie,
					   SMALLEST, &page) != S_OK ||
			       page.count == 0 ||
			       strcmp(page.entries[0].name,
				      all.entries[i + 1].name) != 0;
		}
		EXPECT(bad, 0);
	}
	raw_listing_free(&all);
	raw_listing_free(&page);
}

/* N-22: any number is taken for a cookie; none starts the listing again. */
static void t_N_22_odd_cookies(void)
{
	static const uint64_t cookies[] = {
	    3,         4,          1000,           1ull << 32, INT64_MAX - 1,
	    INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
	struct raw_listing page = {.count = 0};

	for (size_t i = 0; i < ARRAY_LEN(cookies); i++)
		for (int plus = 0; plus < 2; plus++) {
			rig_at("cookie %llx", (unsigned long long)cookies[i]);
			page.count = 0;
			EXPECT(raw_readdir(&rig.raw, &many, plus, cookies[i],
					   4096, &page),
			       S_OK);
			cookies_rise(&page);
			for (size_t j = 0; j < page.count; j++)
				CU_ASSERT(page.entries[j].cookie > cookies[i]);
			CU_ASSERT(page.count > 0 || page.eof);
		}
	rig_at("%s", "");
	raw_listing_free(&page);
}

/* N-23: any verifier is taken; it never is BAD_COOKIE. */
static void t_N_23_verifier(void)
{
	struct raw_listing page = {.count = 0};
	struct raw_fh dir;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	for (uint64_t i = 0; i < 20; i++) {
		page.verifier = i * 0x123456789abcdefull;
		EXPECT(raw_readdir(&rig.raw, &dir, i % 2, 2, 1024, &page),
		       S_OK);
		EXPECT(page.verifier, 0);
		EXPECT(pipelined(&rig.raw, P_CREATE, &dir, "v", (int)i,
				 (int)i + 1),
		       0);
	}
	raw_listing_free(&page);
}

/* --- limits -------------------------------------------------------------- */

/* N-24: every limit up to 2,048: the reply's body is within it, and there is
 * an entry or it says TOOSMALL; never an empty list that goes on. */
static void limit_case(const struct raw_fh *dir, bool plus, uint32_t limit)
{
	struct raw_listing page = {.count = 0};
	int rc;

	rig_at("plus %d, limit %u", plus, limit);
	rc = raw_readdir(&rig.raw, dir, plus, 0, limit, &page);
	EXPECT_ONE_OF(rc, S_OK, S_TOOSMALL);
	if (rc == S_OK) {
		CU_ASSERT(page.body_len <= limit);
		CU_ASSERT(page.count > 0 || page.eof);
	} else {
		/* One entry of "." must fit long before a usual page. */
		CU_ASSERT(limit < 300);
	}
	raw_listing_free(&page);
}

static void t_N_24_limits(void)
{
	struct raw_fh empty;

	rig_dir(&rig, &empty);
	for (uint32_t limit = 0; limit <= 2048; limit++)
		for (int plus = 0; plus < 2; plus++) {
			limit_case(&many, plus, limit);
			if (limit % 8 == 0)
				limit_case(&empty, plus, limit);
		}
	rig_at("%s", "");
}

static void t_N_24_large_limits(void)
{
	static const uint32_t limits[] = {
	    65536,          65537,          1 << 20,   1u << 31,
	    (1u << 31) - 1, UINT32_MAX - 1, UINT32_MAX};
	struct raw_listing page = {.count = 0};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		for (int plus = 0; plus < 2; plus++) {
			rig_at("plus %d, limit %u", plus, limits[i]);
			page.count = 0;
			EXPECT(raw_readdir(&rig.raw, &many, plus, 0, limits[i],
					   &page),
			       S_OK);
			CU_ASSERT(page.body_len <= limits[i]);
			CU_ASSERT(page.body_len <= BODY_MAX);
			CU_ASSERT(page.body_len > BODY_MAX / 2);
		}
	rig_at("%s", "");
	raw_listing_free(&page);
}

/* dircount is a hint: 0 and very much of it give progress, too. */
static void t_N_24_dircount(void)
{
	static const uint32_t dircounts[] = {0, 1, 20, 512, UINT32_MAX};
	struct raw *raw = &rig.raw;

	for (size_t i = 0; i < ARRAY_LEN(dircounts); i++) {
		struct raw_attr attr;

		rig_at("dircount %u", dircounts[i]);
		raw_begin_fh(raw, P_READDIRPLUS, &many);
		raw_put64(raw, 0);
		raw_put64(raw, 0);
		raw_put32(raw, dircounts[i]);
		raw_put32(raw, 8192);
		EXPECT(raw_status(raw), S_OK);
		CU_ASSERT(raw->in_len <= 8192 + 24);
		raw_get_post_attr(raw, &attr);
		raw_get64(raw);
		EXPECT(raw_get32(raw), 1); /* an entry */
	}
	rig_at("%s", "");
}

/* Names of 255 bytes: the largest entry fits where it says it does. */
static void t_N_24_long_names(void)
{
	struct raw_listing list = {.count = 0};
	struct raw_fh dir, fh;
	char name[256];

	rig_dir(&rig, &dir);
	memset(name, 'x', 255);
	name[255] = '\0';
	for (int i = 0; i < 50; i++) {
		name[0] = (char)('0' + i);
		EXPECT(raw_create(&rig.raw, &dir, name, 1, 0644, &fh, NULL),
		       S_OK);
	}
	for (uint32_t limit = 560; limit < 1200; limit += 7)
		for (int plus = 0; plus < 2; plus++) {
			rig_at("plus %d, limit %u", plus, limit);
			EXPECT(raw_list(&rig.raw, &dir, plus, limit, &list),
			       S_OK);
			EXPECT(list.count, 52);
		}
	rig_at("%s", "");
	raw_listing_free(&list);
}

/* --- "." and ".." -------------------------------------------------------- */

static void t_N_26_dots(void)
{
	struct raw_listing list = {.count = 0};
	const struct raw_entry *dot, *dots;
	struct raw_fh dir, sub;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		sub = rig_walk(&rig, &dir, "dir");
		EXPECT(raw_list(&rig.raw, &sub, true, 4096, &list), S_OK);
		dot = raw_listing_find(&list, ".");
		dots = raw_listing_find(&list, "..");
		ASSERT(dot && dots);
		CU_ASSERT(dot->fileid == rig_fileid(&rig.raw, &sub));
		CU_ASSERT(dots->fileid == rig_fileid(&rig.raw, &dir));
		CU_ASSERT(memcmp(&dot->fh, &sub, sizeof(sub)) == 0);
	}
	/* The root's parent is the root: no handle leads out (CVE-2021-3178).
	 */
	EXPECT(raw_list(&rig.raw, &rig.root, true, 4096, &list), S_OK);
	dots = raw_listing_find(&list, "..");
	ASSERT(dots);
	CU_ASSERT(dots->fileid == rig_fileid(&rig.raw, &rig.root));
	if (dots->fh.len > 0)
		CU_ASSERT(memcmp(&dots->fh, &rig.root, sizeof(rig.root)) == 0);
	raw_listing_free(&list);
}

/* --- while others change it ---------------------------------------------- */

/*
 * N-22: one connection lists, another creates, removes and renames between the
 * pages and within one flight; names that live throughout come exactly once.
 */
static void churn(struct raw *other, int round)
{
	enum { NAMES = 40 };
	char from[64], to[64];

	EXPECT(pipelined(other, P_CREATE, &many, "churn-", round * NAMES,
			 (round + 1) * NAMES),
	       0);
	snprintf(from, sizeof(from), "churn-%04d", round * NAMES);
	snprintf(to, sizeof(to), "churned-%04d", round);
	EXPECT(raw_rename(other, &many, from, &many, to), S_OK);
	EXPECT(pipelined(other, P_REMOVE, &many, "churn-", round * NAMES + 1,
			 (round + 1) * NAMES),
	       0);
}

static void list_under_churn(struct raw *other, bool plus, uint32_t limit,
			     int *round)
{
	struct raw_listing list = {.count = 0};
	uint64_t cookie = 0;

	for (int page = 0; !list.eof; page++) {
		ASSERT(page < 10000);
		if (raw_readdir(&rig.raw, &many, plus, cookie, limit, &list) !=
		    S_OK)
			break;
		cookie = list.entries[list.count - 1].cookie;
		if (page % 5 == 0 && page < 100)
			churn(other, (*round)++);
	}
	EXPECT(list.eof, true);
	cookies_rise(&list);
	EXPECT(count_prefix(&list, "package-"), MANY);
	EXPECT(count_prefix(&list, "delta-"), MANY);
	EXPECT(doubles(&list), 0);
	raw_listing_free(&list);
}

static void t_N_22_churn(void)
{
	struct raw other;
	int round = 0;

	rig_connect(&rig, &other);
	list_under_churn(&other, false, 4096, &round);
	list_under_churn(&other, true, 8192, &round);
	list_under_churn(&other, true, 2048, &round);
	list_under_churn(&other, false, 65536, &round);
	EXPECT(pipelined(&rig.raw, P_REMOVE, &many, "churned-", 0, round), 0);
	raw_close(&other);
}

/* N-22: a listing that is under way when the server dies goes on. */
static void t_N_22_restart(void)
{
	struct raw_listing list = {.count = 0};
	uint64_t cookie = 0;

	for (int page = 0; !list.eof; page++) {
		ASSERT(page < 10000);
		EXPECT(raw_readdir(&rig.raw, &many, page % 2, cookie, 16384,
				   &list),
		       S_OK);
		cookie = list.entries[list.count - 1].cookie;
		if (page % 10 == 3 && page < 40)
			rig_kill(&rig);
	}
	EXPECT(list.count, 2 * MANY + 2);
	cookies_rise(&list);
	EXPECT(doubles(&list), 0);
	raw_listing_free(&list);
}

/* N-28: half of the package's names removed, half of those made anew. */
static void t_N_28_whiteouts(void)
{
	struct raw_listing list = {.count = 0};

	EXPECT(pipelined(&rig.raw, P_REMOVE, &many, "package-", 0, MANY / 2),
	       0);
	EXPECT(pipelined(&rig.raw, P_CREATE, &many, "package-", 0, MANY / 4),
	       0);
	EXPECT(raw_list(&rig.raw, &many, true, 32768, &list), S_OK);
	EXPECT(count_prefix(&list, "package-"), MANY * 3 / 4);
	EXPECT(count_prefix(&list, "delta-"), MANY);
	cookies_rise(&list);
	EXPECT(doubles(&list), 0);
	raw_listing_free(&list);
}

/* A directory with nothing in it, and one whose entries have all gone. */
static void t_N_28_emptied(void)
{
	struct raw_listing list = {.count = 0};
	struct raw_fh dir;

	dir = rig_walk(&rig, &rig.root, "long");
	EXPECT(pipelined(&rig.raw, P_RMDIR, &dir, "d", 0, 100), 0);
	for (int plus = 0; plus < 2; plus++) {
		EXPECT(raw_list(&rig.raw, &dir, plus, 1024, &list), S_OK);
		EXPECT(list.count, 2);
		EXPECT(list.eof, true);
	}
	EXPECT(raw_remove(&rig.raw, &rig.root, "long", true), S_OK);
	raw_listing_free(&list);
}

static void t_ends_well(void)
{
	rig_ends_well(&rig);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}
static const struct check_test tests[] = {
    TEST(t_N_22_page_sizes),
    TEST(t_N_25_same),
    TEST(t_N_18_same_attributes),
    TEST(t_N_22_every_cookie),
    TEST(t_N_22_removed_entries),
    TEST(t_N_22_odd_cookies),
    TEST(t_N_23_verifier),
    TEST(t_N_24_limits),
    TEST(t_N_24_large_limits),
    TEST(t_N_24_dircount),
    TEST(t_N_24_long_names),
    TEST(t_N_26_dots),
    TEST(t_N_22_churn),
    TEST(t_N_22_restart),
    TEST(t_N_28_whiteouts),
    TEST(t_N_28_emptied),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open_with(&rig, more_names);
	make_many();
	rc = check_main("test_readdir", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
