/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_handles: file handles that are none, that are forged, that are somebody
 * else's, that outlive the server or their object (rules N-15 to N-19, T-08,
 * T-12).
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

enum { FH_LEN = 32 };

static struct rig rig;

/* --- handles that are none ----------------------------------------------- */

static bool has_second(uint32_t proc)
{
	return proc == P_RENAME || proc == P_LINK;
}

/* What every procedure answers to a handle, in either place. */
static void expect_all(const struct raw_fh *bad, const struct raw_fh *good,
		       int want, int or_want)
{
	for (uint32_t proc = 1; proc < P_COUNT; proc++) {
		raw_begin_any(&rig.raw, proc, bad, good, "file");
		EXPECT_ONE_OF(raw_status(&rig.raw), want, or_want);
		CU_ASSERT(!rig.raw.short_read);
		if (!has_second(proc))
			continue;
		raw_begin_any(&rig.raw, proc, good, bad, "file");
		EXPECT_ONE_OF(raw_status(&rig.raw), want, or_want);
	}
}

static void t_N_17_short(void)
{
	struct raw_fh root = rig.root;

	CU_ASSERT(root.len > 0 && root.len <= 32);
}

/* N-17: every length but the right one, up to the protocol's 64. */
static void t_N_15_lengths(void)
{
	struct raw_fh bad, dir;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	for (uint32_t len = 0; len <= RAW_FH_MAX; len++) {
		if (len == dir.len)
			continue;
		rig_at("length %u", len);
		memset(&bad, 0, sizeof(bad));
		memcpy(bad.bytes, dir.bytes, MIN(len, dir.len));
		bad.len = len;
		expect_all(&bad, &dir, S_BADHANDLE, S_STALE);
	}
	rig_at("%s", "");
}

/* Longer than any handle may be: that is no call (N-17, T-01). */
static void t_N_17_too_long(void)
{
	static const uint32_t lens[] = {65,         128,        400,
					0x7fffffff, 0x80000000, UINT32_MAX};
	struct raw *raw = &rig.raw;
	uint8_t body[512] = {0};

	for (uint32_t proc = 1; proc < P_COUNT; proc++)
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			rig_at("procedure %u, length %u", proc, lens[i]);
			raw_begin(raw, RAW_NFS, 3, proc);
			raw_put32(raw, lens[i]);
			memcpy(raw->out + raw->out_len, body, sizeof(body));
			raw->out_len += sizeof(body);
			EXPECT(raw_call(raw), 4);
		}
	rig_at("%s", "");
}

/* A second guest, which 127.0.0.2 alone may mount, and a connection of it. */
static void foreign_open(struct raw *raw, struct raw_fh *root)
{
	static bool made;

	if (!made)
		EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/foreign",
				  "--addr", "127.0.0.2", NULL),
		       0);
	made = true;
	ASSERT(raw_open_from(raw, "127.0.0.2", rig.daemon.port));
	EXPECT(raw_mount(raw, "/t/foreign", root), 0);
}

/* N-17: a sample of all lengths, each power of two and its neighbours among
 * them, with fewer bytes behind it than it says: no call, at once. */
static void t_N_17_lengths(void)
{
	struct raw *raw = &rig.raw;
	struct raw_attr attr;
	uint64_t lens[3 * 32 + 200], x = 88172645463325252ull;
	size_t count = 0;

	for (int bit = 0; bit < 32; bit++)
		for (int d = -1; d < 2; d++)
			lens[count++] = ((1ull << bit) + (uint64_t)d);
	while (count < ARRAY_LEN(lens)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		lens[count++] = x & UINT32_MAX;
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)lens[i];

		if (len <= RAW_FH_MAX)
			continue;
		rig_at("length %u", len);
		raw_begin(raw, RAW_NFS, 3, P_GETATTR);
		raw_put32(raw, len);
		raw->out_len += MIN(len, 1000u) / 4 * 4;
		EXPECT(raw_call(raw), 4);
	}
	rig_at("%s", "");
	EXPECT(raw_getattr(raw, &rig.root, &attr), S_OK);
}

/* N-19: one fsid in an export, over layers and restarts, and another one in
 * another export. */
static void t_N_19_fsid(void)
{
	struct raw_fh dir, file, foreign;
	struct raw_attr attr, first;
	struct raw other;

	EXPECT(raw_getattr(&rig.raw, &rig.root, &first), S_OK);
	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		for (int i = 0; i < 2; i++) {
			rig_at("layer %d, round %d", layer, i);
			file = rig_walk(&rig, &dir, "dir/sub/c");
			EXPECT(raw_getattr(&rig.raw, &file, &attr), S_OK);
			CU_ASSERT(attr.fsid == first.fsid);
			/* Copied up, it stays. */
			EXPECT(raw_set_mode(&rig.raw, &file, 0600), S_OK);
			EXPECT(raw_getattr(&rig.raw, &file, &attr), S_OK);
			CU_ASSERT(attr.fsid == first.fsid);
			rig_kill(&rig);
		}
	}
	rig_at("%s", "");
	foreign_open(&other, &foreign);
	EXPECT(raw_getattr(&other, &foreign, &attr), S_OK);
	CU_ASSERT(attr.fsid != first.fsid);
	raw_close(&other);
}

static void flip_bits(const struct raw_fh *fh, const struct raw_fh *good)
{
	struct raw_fh bad;

	for (uint32_t bit = 0; bit < fh->len * 8; bit++) {
		rig_at("bit %u", bit);
		bad = *fh;
		bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		expect_all(&bad, good, S_BADHANDLE, S_STALE);
	}
	rig_at("%s", "");
}

/* T-08: each bit of a handle of a package object and of one of the delta. */
static void t_N_15_bits_of_package(void)
{
	struct raw_fh dir;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	flip_bits(&dir, &dir);
	EXPECT(rig_fileid(&rig.raw, &dir) != 0, true);
}

static void t_N_15_bits_of_delta(void)
{
	struct raw_fh dir, file;

	rig_dir(&rig, &dir);
	file = rig_make(&rig, &dir, "file", 0644, "x", 1);
	flip_bits(&file, &dir);
	CU_ASSERT(rig_same(&rig.raw, &file, "x", 1));
}

/* T-08: random ones; and right ones in all but the MAC. */
static void t_T_08_random(void)
{
	struct raw_attr attr;
	struct raw_fh bad;

	for (uint64_t i = 0; i < 10000; i++) {
		bad = rig.root;
		check_fill(bad.bytes, sizeof(bad.bytes), i + 1000);
		bad.len = i % 8 ? FH_LEN : (uint32_t)(i % 65);
		if (i % 2) /* as ours, but proved by nothing */
			memcpy(bad.bytes, rig.root.bytes, 20);
		rig_at("handle %d", (int)i);
		EXPECT_ONE_OF(raw_getattr(&rig.raw, &bad, &attr), S_BADHANDLE,
			      S_STALE);
	}
	rig_at("%s", "");
}

/* --- somebody else's ----------------------------------------------------- */

static void t_T_08_foreign(void)
{
	struct raw_fh foreign, dir, file, mixed;
	struct raw other;
	struct raw_attr attr;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	foreign_open(&other, &foreign);
	EXPECT(raw_getattr(&other, &foreign, &attr), S_OK);
	expect_all(&foreign, &dir, S_BADHANDLE, S_STALE);
	EXPECT(raw_create(&other, &foreign, "f", 0, 0644, &file, NULL), S_OK);
	expect_all(&file, &dir, S_BADHANDLE, S_STALE);
	/* Our object under its export's id, and the reverse. */
	mixed = dir;
	memcpy(mixed.bytes + 4, foreign.bytes + 4, 4);
	expect_all(&mixed, &dir, S_BADHANDLE, S_STALE);
	EXPECT_ONE_OF(raw_getattr(&other, &mixed, &attr), S_BADHANDLE, S_STALE);
	raw_close(&other);
}

/* T-12: both handles are checked, in both orders; the same package file has
 * the same number for both guests, and is another object. */
static void t_T_12_two_exports(void)
{
	struct raw_fh foreign, dir, file, their_dir, their_file;
	struct raw other;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	file = rig_walk(&rig, &dir, "file");
	foreign_open(&other, &foreign);
	ASSERT(raw_walk(&other, &foreign, "p00", &their_dir, NULL) == 0);
	ASSERT(raw_walk(&other, &their_dir, "file", &their_file, NULL) == 0);
	/* 127.0.0.2 may use both exports: XDEV, not a crossing. */
	EXPECT(raw_rename(&other, &dir, "file", &their_dir, "x"), S_XDEV);
	EXPECT(raw_rename(&other, &their_dir, "file", &dir, "x"), S_XDEV);
	EXPECT(raw_link(&other, &file, &their_dir, "x"), S_XDEV);
	EXPECT(raw_link(&other, &their_file, &dir, "x"), S_XDEV);
	/* 127.0.0.1 may not. */
	EXPECT_ONE_OF(raw_rename(&rig.raw, &dir, "file", &their_dir, "x"),
		      S_BADHANDLE, S_STALE);
	EXPECT_ONE_OF(raw_link(&rig.raw, &file, &their_dir, "x"), S_BADHANDLE,
		      S_STALE);
	raw_close(&other);
}

/* T-41: same names, same numbers, different content. */
static void t_T_41_same_names(void)
{
	struct raw_fh foreign, mine, theirs, dir;
	uint32_t committed;
	uint64_t verifier;
	struct raw other;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	mine = rig_walk(&rig, &dir, "dir/a");
	foreign_open(&other, &foreign);
	rig.plots_used--; /* the same plot in the other view */
	rig_plot(&rig, RIG_PACKAGE, &dir);
	{
		char path[32];

		snprintf(path, sizeof(path), "p%02u/dir/a", rig.plots_used - 1);
		ASSERT(raw_walk(&other, &foreign, path, &theirs, NULL) == 0);
	}
	EXPECT(
	    raw_write(&other, &theirs, 0, "THEIR", 5, 2, &committed, &verifier),
	    S_OK);
	CU_ASSERT(rig_same(&rig.raw, &mine, "content a\n", 10));
	CU_ASSERT(rig_same(&other, &theirs, "THEIRnt a\n", 10));
	raw_close(&other);
}

/* --- as long as the object lives ----------------------------------------- */

enum { KEPT_MAX = 4000 };

struct kept {
	struct raw_fh fh;
	uint64_t fileid, fsid;
	uint32_t type;
};

struct keeping {
	struct kept kept[KEPT_MAX];
	size_t count;
};

/* Handles, numbers and types of everything below a directory. */
static void keep_below(struct keeping *k, const struct raw_fh *dir)
{
	struct raw_listing list = {.count = 0};

	EXPECT(raw_list(&rig.raw, dir, true, 8192, &list), S_OK);
	for (size_t i = 0; i < list.count; i++) {
		const struct raw_entry *e = &list.entries[i];

		if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
			continue;
		ASSERT(k->count < KEPT_MAX);
		CU_ASSERT(e->fh.len > 0 && e->attr.present);
		EXPECT(e->attr.fileid, e->fileid);
		k->kept[k->count++] =
		    (struct kept){e->fh, e->fileid, e->attr.fsid, e->attr.type};
		if (e->attr.type == 2)
			keep_below(k, &e->fh);
	}
	raw_listing_free(&list);
}

static void keep_check(const struct keeping *k)
{
	struct raw_attr attr = {.present = false};
	int bad = 0;

	for (size_t i = 0; i < k->count; i++) {
		const struct kept *kept = &k->kept[i];

		bad += raw_getattr(&rig.raw, &kept->fh, &attr) != S_OK ||
		       attr.fileid != kept->fileid || attr.fsid != kept->fsid ||
		       attr.type != kept->type;
	}
	EXPECT(bad, 0);
}

static int by_fileid(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->fileid < y->fileid ? -1 : x->fileid > y->fileid;
}

/* N-18: never 0, unique but for hard links. */
static void keep_unique(struct keeping *k)
{
	int same = 0;

	qsort(k->kept, k->count, sizeof(k->kept[0]), by_fileid);
	CU_ASSERT(k->kept[0].fileid != 0);
	for (size_t i = 1; i < k->count; i++) {
		const struct kept *x = &k->kept[i - 1], *y = &k->kept[i];

		same += x->fileid == y->fileid &&
			memcmp(&x->fh, &y->fh, sizeof(x->fh)) != 0;
		CU_ASSERT(x->fsid == y->fsid); /* N-19 */
	}
	EXPECT(same, 0);
}

/* N-16: over kill -9, over a stop, with a copied-up, renamed and new objects
 * among them, and with another guest added in between. */
static void t_N_16_restarts(void)
{
	CLEANUP_FREE struct keeping *k = calloc(1, sizeof(*k));
	struct raw_fh dir, file;
	uint32_t committed;
	uint64_t verifier;

	ASSERT(k);
	rig_plot(&rig, RIG_DELTA, &dir);
	rig_plot(&rig, RIG_PACKAGE, &dir);
	file = rig_walk(&rig, &dir, "big");
	EXPECT(
	    raw_write(&rig.raw, &file, 5, "abc", 3, 2, &committed, &verifier),
	    S_OK);
	EXPECT(raw_rename(&rig.raw, &dir, "dir", &dir, "moved"), S_OK);
	keep_below(k, &rig.root);
	CU_ASSERT(k->count > 300);
	keep_unique(k);
	rig_kill(&rig);
	keep_check(k);
	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/another", NULL), 0);
	EXPECT(daemon_stop(&rig.daemon), 0);
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	keep_check(k);
	rig_kill(&rig);
	keep_check(k);
}

/* --- objects that have gone ---------------------------------------------- */

/* STALE whatever is asked of it; nothing else is said. */
static void expect_stale(const struct raw_fh *gone, const struct raw_fh *good)
{
	expect_all(gone, good, S_STALE, S_STALE);
}

static void remove_and_check(enum rig_layer layer)
{
	struct raw_fh dir, file, sub, again;
	struct raw *raw = &rig.raw;

	rig_at("layer %d", layer);
	rig_plot(&rig, layer, &dir);
	file = rig_walk(&rig, &dir, "file");
	sub = rig_walk(&rig, &dir, "empty");
	EXPECT(raw_remove(raw, &dir, "file", false), S_OK);
	EXPECT(raw_remove(raw, &dir, "empty", true), S_OK);
	expect_stale(&file, &dir);
	expect_stale(&sub, &dir);
	/* The name comes back as another object. */
	again = rig_make(&rig, &dir, "file", 0644, "new", 3);
	CU_ASSERT(memcmp(&again, &file, sizeof(file)) != 0);
	expect_stale(&file, &dir);
	EXPECT(raw_remove(raw, &dir, "file", false), S_OK);
	expect_stale(&again, &dir);
	rig_kill(&rig);
	expect_stale(&file, &dir);
	expect_stale(&sub, &dir);
	expect_stale(&again, &dir);
	rig_at("%s", "");
}

static void t_N_15_removed_package(void)
{
	remove_and_check(RIG_PACKAGE);
}

static void t_N_15_removed_delta(void)
{
	remove_and_check(RIG_DELTA);
}

/* An object lives as long as one of its names, and goes with the last. */
static void t_N_15_last_name(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, one;
	struct raw_attr attr;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_at("layer %d", layer);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		one = rig_walk(&rig, &dir, "one");
		EXPECT(raw_remove(raw, &dir, "one", false), S_OK);
		EXPECT(raw_getattr(raw, &one, &attr), S_OK);
		EXPECT(attr.nlink, 1);
		EXPECT(raw_remove(raw, &dir, "two", false), S_OK);
		expect_stale(&one, &dir);
	}
	rig_at("%s", "");
}

/* Replaced by RENAME: the old object's handle is dead, the moved one's lives.
 */
static void t_N_15_renamed_over(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, over, moved;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_at("layer %d", layer);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		over = rig_walk(&rig, &dir, "owned");
		moved = rig_walk(&rig, &dir, "file");
		EXPECT(raw_rename(raw, &dir, "file", &dir, "owned"), S_OK);
		expect_stale(&over, &dir);
		EXPECT(rig_fileid(raw, &moved) != 0, true);
	}
	rig_at("%s", "");
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
    TEST(t_N_17_short),
    TEST(t_N_17_too_long),
    TEST(t_N_17_lengths),
    TEST(t_N_19_fsid),
    TEST(t_N_15_lengths),
    TEST(t_N_15_bits_of_package),
    TEST(t_N_15_bits_of_delta),
    TEST(t_T_08_random),
    TEST(t_T_08_foreign),
    TEST(t_T_12_two_exports),
    TEST(t_T_41_same_names),
    TEST(t_N_16_restarts),
    TEST(t_N_15_removed_package),
    TEST(t_N_15_removed_delta),
    TEST(t_N_15_last_name),
    TEST(t_N_15_renamed_over),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_handles", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
