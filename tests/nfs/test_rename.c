/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rename: RENAME of files and directories, of the package, of the delta
 * and across them (rules N-33, N-34, N-12), and a model of random operations
 * on names (N-28).
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

static struct rig rig;

/* RENAME, and its two wcc blocks, which a reply has in every case. */
static int rename_wcc(const struct raw_fh *from_dir, const char *from,
		      const struct raw_fh *to_dir, const char *to)
{
	struct raw_wcc wcc[2];
	int rc = raw_rename(&rig.raw, from_dir, from, to_dir, to);

	if (rc < 0)
		return rc;
	raw_get_wcc(&rig.raw, &wcc[0]);
	raw_get_wcc(&rig.raw, &wcc[1]);
	CU_ASSERT(!rig.raw.short_read && rig.raw.in_off == rig.raw.in_len);
	CU_ASSERT(wcc[0].after.present && wcc[1].after.present);
	if (rc == S_OK)
		CU_ASSERT(wcc[0].has_before && wcc[1].has_before);
	return rc;
}

static bool has(const struct raw_fh *dir, const char *path)
{
	struct raw_fh fh;

	return raw_walk(&rig.raw, dir, path, &fh, NULL) == S_OK;
}

/* A plot of each layer, and one to move to of each. */
static void plots(int layer, struct raw_fh *dir, int to_layer,
		  struct raw_fh *to)
{
	rig_at("from layer %d to %d", layer, to_layer);
	rig_plot(&rig, (enum rig_layer)layer, dir);
	rig_plot(&rig, (enum rig_layer)to_layer, to);
}

#define EACH_PAIR(x, y)                                                        \
	for (int x = 0; x < RIG_LAYERS; x++)                                   \
		for (int y = 0; y < RIG_LAYERS; y++)

static void t_N_33_files(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	struct raw_fh dir, to, fh, moved;

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	EACH_PAIR(x, y)
	{
		plots(x, &dir, y, &to);
		fh = rig_walk(&rig, &dir, "big");
		/* to a new name, here and there; over a file of either layer */
		EXPECT(rename_wcc(&dir, "big", &dir, "here"), S_OK);
		EXPECT(rename_wcc(&dir, "here", &to, "there"), S_OK);
		EXPECT(rename_wcc(&to, "there", &to, "file"), S_OK);
		EXPECT(rename_wcc(&to, "file", &dir, "file"), S_OK);
		EXPECT(has(&dir, "big") || has(&dir, "here") ||
			   has(&to, "there") || has(&to, "file"),
		       false);
		moved = rig_walk(&rig, &dir, "file");
		EXPECT(memcmp(&fh, &moved, sizeof(fh)), 0);
		CU_ASSERT(rig_same(&rig.raw, &moved, want, RIG_BIG_LEN));
		EXPECT(rename_wcc(&dir, "none", &dir, "x"), S_NOENT);
	}
	rig_at("%s", "");
}

static void t_N_33_types(void)
{
	struct raw_fh dir, to;

	EACH_PAIR(x, y)
	{
		plots(x, &dir, y, &to);
		EXPECT_ONE_OF(rename_wcc(&dir, "file", &to, "dir"), S_ISDIR,
			      S_EXIST);
		EXPECT_ONE_OF(rename_wcc(&dir, "file", &to, "empty"), S_ISDIR,
			      S_EXIST);
		EXPECT_ONE_OF(rename_wcc(&dir, "dir", &to, "file"), S_NOTDIR,
			      S_EXIST);
		EXPECT_ONE_OF(rename_wcc(&dir, "dir", &to, "link"), S_NOTDIR,
			      S_EXIST);
		EXPECT_ONE_OF(rename_wcc(&dir, "empty", &to, "dir"), S_NOTEMPTY,
			      S_EXIST);
		EXPECT(rename_wcc(&dir, "link", &to, "file"), S_OK);
		CU_ASSERT(has(&dir, "file") && has(&dir, "dir/sub/c"));
		CU_ASSERT(has(&to, "dir/a") && has(&to, "empty"));
	}
	rig_at("%s", "");
}

/* N-33: into itself or below is INVAL; nothing has moved. */
static void t_N_33_own_subtree(void)
{
	struct raw_fh dir, sub, fh;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		sub = rig_walk(&rig, &dir, "dir/sub");
		fh = rig_walk(&rig, &dir, "dir");
		EXPECT(rename_wcc(&dir, "dir", &sub, "x"), S_INVAL);
		EXPECT(rename_wcc(&dir, "dir", &fh, "x"), S_INVAL);
		EXPECT_ONE_OF(rename_wcc(&dir, "dir", &fh, "sub"), S_INVAL);
		/* Over its own parent. */
		EXPECT_ONE_OF(rename_wcc(&fh, "sub", &dir, "dir"), S_NOTEMPTY,
			      S_EXIST, S_INVAL);
		CU_ASSERT(has(&dir, "dir/sub/c"));
	}
}

/* N-33: two names of one file, or one name twice: nothing happens. */
static void t_N_33_same_object(void)
{
	struct raw_attr before, after;
	struct raw_fh dir, fh;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "one");
		EXPECT(raw_getattr(&rig.raw, &fh, &before), S_OK);
		EXPECT(rename_wcc(&dir, "one", &dir, "two"), S_OK);
		EXPECT(rename_wcc(&dir, "one", &dir, "one"), S_OK);
		EXPECT(rename_wcc(&dir, "dir", &dir, "dir"), S_OK);
		CU_ASSERT(has(&dir, "one") && has(&dir, "two"));
		EXPECT(raw_getattr(&rig.raw, &fh, &after), S_OK);
		EXPECT(after.nlink, 2);
		EXPECT(memcmp(before.ctime, after.ctime, 8), 0);
	}
}

/* Directories keep handle, number and content wherever they go; a package
 * directory too, deep ones as well, and over a restart. */
static void t_N_33_directories(void)
{
	struct raw_fh dir, to, sub, c, fh;
	uint64_t fileid;

	EACH_PAIR(x, y)
	{
		plots(x, &dir, y, &to);
		sub = rig_walk(&rig, &dir, "dir");
		c = rig_walk(&rig, &dir, "dir/sub/c");
		fileid = rig_fileid(&rig.raw, &sub);
		EXPECT(rename_wcc(&dir, "dir", &to, "moved"), S_OK);
		EXPECT(has(&dir, "dir"), false);
		fh = rig_walk(&rig, &to, "moved");
		EXPECT(rig_fileid(&rig.raw, &fh), fileid);
		fh = rig_walk(&rig, &fh, "..");
		EXPECT(rig_fileid(&rig.raw, &fh), rig_fileid(&rig.raw, &to));
		rig_make(&rig, &sub, "new", 0644, "n", 1);
		EXPECT(raw_remove(&rig.raw, &sub, "a", false), S_OK);
		/* The old name can be had again. */
		EXPECT(raw_mkdir(&rig.raw, &dir, "dir", 0755, &fh), S_OK);
		EXPECT(has(&dir, "dir/b"), false);
		rig_kill(&rig);
		CU_ASSERT(has(&to, "moved/new") && has(&to, "moved/b"));
		EXPECT(has(&to, "moved/a"), false);
		fh = rig_walk(&rig, &to, "moved/sub/c");
		EXPECT(memcmp(&fh, &c, sizeof(fh)), 0);
		CU_ASSERT(rig_same(&rig.raw, &fh, "content c\n", 10));
		EXPECT(has(&dir, "dir/b"), false);
		/* ... and it may go home. */
		EXPECT(rename_wcc(&to, "moved", &dir, "dir"), S_OK);
		CU_ASSERT(has(&dir, "dir/sub/c"));
	}
	rig_at("%s", "");
}

/* Link counts of both directories follow. */
static void t_N_33_nlink(void)
{
	struct raw_attr from, to_attr, after;
	struct raw_fh dir, to;

	EACH_PAIR(x, y)
	{
		plots(x, &dir, y, &to);
		EXPECT(raw_getattr(&rig.raw, &dir, &from), S_OK);
		EXPECT(raw_getattr(&rig.raw, &to, &to_attr), S_OK);
		EXPECT(rename_wcc(&dir, "dir", &to, "new"), S_OK);
		EXPECT(rename_wcc(&dir, "empty", &to, "empty"), S_OK);
		EXPECT(raw_getattr(&rig.raw, &dir, &after), S_OK);
		EXPECT(after.nlink, from.nlink - 2);
		EXPECT(raw_getattr(&rig.raw, &to, &after), S_OK);
		EXPECT(after.nlink, to_attr.nlink + 1);
	}
	rig_at("%s", "");
}

/* N-34: over an empty directory, also one emptied by whiteouts. */
static void t_N_34_over_directory(void)
{
	struct raw_fh dir, to, sub;

	EACH_PAIR(x, y)
	{
		plots(x, &dir, y, &to);
		EXPECT(rename_wcc(&dir, "dir", &to, "empty"), S_OK);
		CU_ASSERT(has(&to, "empty/sub/c") && !has(&dir, "dir"));
		sub = rig_walk(&rig, &to, "dir/sub");
		EXPECT_ONE_OF(rename_wcc(&dir, "empty", &to, "dir"), S_NOTEMPTY,
			      S_EXIST);
		EXPECT(raw_remove(&rig.raw, &sub, "c", false), S_OK);
		sub = rig_walk(&rig, &to, "dir");
		EXPECT(rename_wcc(&dir, "empty", &sub, "sub"), S_OK);
		EXPECT(raw_remove(&rig.raw, &sub, "sub", true), S_OK);
		EXPECT(raw_remove(&rig.raw, &sub, "a", false), S_OK);
		EXPECT(raw_remove(&rig.raw, &sub, "b", false), S_OK);
		EXPECT(rename_wcc(&to, "empty", &to, "dir"), S_OK);
		CU_ASSERT(has(&to, "dir/sub/c"));
		EXPECT(has(&to, "empty"), false);
	}
	rig_at("%s", "");
}

/* "." and "..", the root, and a directory that is not there any more. */
static void t_N_33_refused(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, gone;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		EXPECT(rename_wcc(&dir, ".", &dir, "x"), S_INVAL);
		EXPECT(rename_wcc(&dir, "..", &dir, "x"), S_INVAL);
		EXPECT_ONE_OF(rename_wcc(&dir, "file", &dir, "."), S_INVAL,
			      S_EXIST);
		EXPECT_ONE_OF(rename_wcc(&dir, "dir", &dir, ".."), S_INVAL,
			      S_EXIST);
		gone = rig_walk(&rig, &dir, "empty");
		EXPECT(raw_remove(raw, &dir, "empty", true), S_OK);
		EXPECT(raw_rename(raw, &dir, "file", &gone, "x"), S_STALE);
		EXPECT(raw_rename(raw, &gone, "x", &dir, "y"), S_STALE);
		CU_ASSERT(has(&dir, "file"));
	}
}

/* --- a model ------------------------------------------------------------- */

enum { MODEL_DIRS = 4, MODEL_NAMES = 40, MODEL_OPS = 3000, MODEL_CHECK = 250 };
enum { KIND_NONE, KIND_FILE, KIND_DIR };

struct model {
	struct raw_fh dirs[MODEL_DIRS];
	uint8_t kind[MODEL_DIRS][MODEL_NAMES];
	uint64_t fileid[MODEL_DIRS][MODEL_NAMES];
	uint64_t random;
};

static unsigned int model_random(struct model *m, unsigned int below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (unsigned int)((m->random >> 20) % below);
}

/* The first names are those of a plot. */
static void model_name(unsigned int n, char name[16])
{
	static const char *const first[] = {"file", "big",   "one",  "suid",
					    "dir",  "owned", "empty"};

	if (n < ARRAY_LEN(first))
		snprintf(name, 16, "%s", first[n]);
	else
		snprintf(name, 16, "n%u", n);
}

static void model_take(struct model *m, unsigned int d, unsigned int n)
{
	uint8_t *kind = &m->kind[d][n];
	bool rmdir = model_random(m, 2);
	char name[16];
	int want = S_OK;

	model_name(n, name);
	if (*kind == KIND_NONE)
		want = S_NOENT;
	else if (*kind == KIND_FILE && rmdir)
		want = S_NOTDIR;
	else if (*kind == KIND_DIR && !rmdir)
		want = S_ISDIR;
	EXPECT(raw_remove(&rig.raw, &m->dirs[d], name, rmdir), want);
	if (want == S_OK)
		*kind = KIND_NONE;
}

static void model_make(struct model *m, unsigned int d, unsigned int n)
{
	uint8_t *kind = &m->kind[d][n], made = KIND_FILE;
	int want = *kind == KIND_NONE ? S_OK : S_EXIST, rc;
	struct raw_fh fh;
	char name[16];

	model_name(n, name);
	if (model_random(m, 3) == 0) {
		made = KIND_DIR;
		rc = raw_mkdir(&rig.raw, &m->dirs[d], name, 0755, &fh);
	} else {
		rc =
		    raw_create(&rig.raw, &m->dirs[d], name, 1, 0644, &fh, NULL);
	}
	EXPECT(rc, want);
	if (want != S_OK)
		return;
	*kind = made;
	m->fileid[d][n] = rig_fileid(&rig.raw, &fh);
}

static void model_move(struct model *m, unsigned int d, unsigned int n)
{
	unsigned int d2 = model_random(m, MODEL_DIRS);
	unsigned int n2 = model_random(m, MODEL_NAMES);
	uint8_t *from = &m->kind[d][n], *to = &m->kind[d2][n2];
	char name[16], name2[16];
	int want = S_OK;

	model_name(n, name);
	model_name(n2, name2);
	if (*from == KIND_NONE)
		want = S_NOENT;
	else if (from == to)
		want = S_OK;
	else if (*from == KIND_DIR && *to == KIND_FILE)
		want = S_NOTDIR;
	else if (*from == KIND_FILE && *to == KIND_DIR)
		want = S_ISDIR;
	EXPECT(raw_rename(&rig.raw, &m->dirs[d], name, &m->dirs[d2], name2),
	       want);
	if (want != S_OK || from == to)
		return;
	*to = *from;
	m->fileid[d2][n2] = m->fileid[d][n];
	*from = KIND_NONE;
}

static void model_check(struct model *m)
{
	struct raw_listing list = {.count = 0};
	const struct raw_entry *entry;
	char name[16];

	for (unsigned int d = 0; d < MODEL_DIRS; d++) {
		size_t count = 2;

		EXPECT(raw_list(&rig.raw, &m->dirs[d], true, 1500, &list),
		       S_OK);
		for (unsigned int n = 0; n < MODEL_NAMES; n++) {
			model_name(n, name);
			entry = raw_listing_find(&list, name);
			EXPECT(entry != NULL, m->kind[d][n] != KIND_NONE);
			if (!entry || m->kind[d][n] == KIND_NONE)
				continue;
			count++;
			EXPECT(entry->attr.type, m->kind[d][n]);
			CU_ASSERT(entry->fileid == m->fileid[d][n]);
		}
		EXPECT(list.count, count);
	}
	raw_listing_free(&list);
}

/* Two plots of the package without what the model has no kind for, a directory
 * of the delta, and one of the package that was emptied. */
static void model_begin(struct model *m, uint64_t seed)
{
	static const char *const files[] = {"file", "big", "one", "suid"};
	struct raw *raw = &rig.raw;
	struct raw_fh fh;

	memset(m, 0, sizeof(*m));
	m->random = seed * 2654435761u + 1;
	for (unsigned int d = 0; d < 2; d++) {
		rig_plot(&rig, RIG_PACKAGE, &m->dirs[d]);
		EXPECT(raw_remove(raw, &m->dirs[d], "two", false), S_OK);
		EXPECT(raw_remove(raw, &m->dirs[d], "link", false), S_OK);
		EXPECT(raw_remove(raw, &m->dirs[d], "owned", false), S_OK);
		fh = rig_walk(&rig, &m->dirs[d], "dir");
		EXPECT(raw_rename(raw, &fh, "sub", &rig.root, d ? "s1" : "s0"),
		       S_OK);
		EXPECT(raw_remove(raw, &fh, "a", false), S_OK);
		EXPECT(raw_remove(raw, &fh, "b", false), S_OK);
		for (unsigned int i = 0; i < ARRAY_LEN(files); i++) {
			fh = rig_walk(&rig, &m->dirs[d], files[i]);
			m->kind[d][i] = KIND_FILE;
			m->fileid[d][i] = rig_fileid(raw, &fh);
		}
		fh = rig_walk(&rig, &m->dirs[d], "dir");
		m->kind[d][4] = KIND_DIR;
		m->fileid[d][4] = rig_fileid(raw, &fh);
		fh = rig_walk(&rig, &m->dirs[d], "empty");
		m->kind[d][6] = KIND_DIR;
		m->fileid[d][6] = rig_fileid(raw, &fh);
	}
	rig_dir(&rig, &m->dirs[2]);
	rig_plot(&rig, RIG_PACKAGE, &fh);
	m->dirs[3] = rig_walk(&rig, &fh, "empty");
}

static void t_N_28_model(void)
{
	static struct model m;

	model_begin(&m, 42);
	model_check(&m);
	for (int op = 1; op <= MODEL_OPS; op++) {
		unsigned int d = model_random(&m, MODEL_DIRS);
		unsigned int n = model_random(&m, MODEL_NAMES);

		rig_at("operation %d, directory %u, name %u", op, d, n);
		switch (model_random(&m, 4)) {
		case 0:
			model_take(&m, d, n);
			break;
		case 1:
		case 2:
			model_make(&m, d, n);
			break;
		default:
			model_move(&m, d, n);
			break;
		}
		if (op % MODEL_CHECK == 0)
			model_check(&m);
		if (op % (4 * MODEL_CHECK) == 0) {
			rig_kill(&rig);
			model_check(&m);
		}
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
    TEST(t_N_33_files),          TEST(t_N_33_types),
    TEST(t_N_33_own_subtree),    TEST(t_N_33_same_object),
    TEST(t_N_33_directories),    TEST(t_N_33_nlink),
    TEST(t_N_34_over_directory), TEST(t_N_33_refused),
    TEST(t_N_28_model),          TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_rename", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
