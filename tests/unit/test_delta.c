/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_delta: what site_delta_diff tells, in one layer and in many, and what
 * site_delta_verify finds of damage that is planted.  That verify finds nothing
 * after random operations is test_view_model's.
 */
#include <dirent.h>
#include <stdio.h>

#include "depot/kv.h"
#include "overlay/record.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 300000, TEST_TEXT_MAX = 8192 };

static const struct fixture_entry test_entries[] = {
    {.path = "a", .mode = S_IFDIR | 0755},
    {.path = "a/big", .mode = S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {.path = "a/one", .mode = S_IFREG | 0644, .text = "one"},
    {.path = "a/two", .mode = S_IFREG | 0644, .text = "two"},
    {.path = "d", .mode = S_IFDIR | 0755},
    {.path = "d/e", .mode = S_IFDIR | 0755},
    {.path = "d/e/f", .mode = S_IFREG | 0644, .text = "f"},
    {.path = "d/e/g", .mode = S_IFREG | 0644, .text = "g"},
    {.path = "h1", .mode = S_IFREG | 0644, .text = "linked"},
    {.path = "h2", .link_to = "h1"},
    {.path = "s", .mode = S_IFLNK | 0777, .text = "a/one"},
    {.path = "z", .mode = S_IFREG | 0600, .text = "z"},
};

static const char *test_guest = "red/vm1"; /* that is compared */

struct test {
	struct fixture fx;
	struct view *view;
	bool layers; /* a snapshot after each step */
	unsigned int snapshots;
	struct view_object root;
};

static void test_open(struct test *t, bool layers)
{
	struct package_info info;

	*t = (struct test){.layers = layers};
	fixture_open(&t->fx);
	fixture_package(&t->fx, "p", "1", test_entries, ARRAY_LEN(test_entries),
			&info);
	t->view = fixture_guest(&t->fx, &info, 1);
	t->root = view_root(t->view);
}

/* A step worked; the next one is in another layer. */
static void test_step(struct test *t, int rc)
{
	char name[16];

	CU_ASSERT_EQUAL(rc, 0);
	if (!t->layers || t->snapshots == SITE_LAYERS_MAX - 1)
		return;
	snprintf(name, sizeof(name), "s%u", t->snapshots++);
	CU_ASSERT_EQUAL(site_delta_snapshot(t->fx.site, "red/vm1", name), 0);
}

static void test_rename(struct test *t, const char *from_dir, const char *from,
			const char *to_dir, const char *to)
{
	test_step(t, fixture_rename(t->view, &fixture_root,
				    fixture_find(t->view, from_dir), from,
				    fixture_find(t->view, to_dir), to, NULL));
}

static void test_remove(struct test *t, const char *dir, const char *name)
{
	test_step(t, fixture_remove(t->view, &fixture_root,
				    fixture_find(t->view, dir), name, NULL));
}

static void test_put(struct test *t, const char *path, uint64_t off,
		     const char *text)
{
	test_step(t, fixture_write(t->view, &fixture_root,
				   fixture_find(t->view, path), off, text,
				   strlen(text), true, NULL));
}

static void test_file(struct test *t, const char *dir, const char *name,
		      size_t len)
{
	CLEANUP_FREE uint8_t *data = malloc(len + 1);
	struct view_object f;

	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	check_fill(data, len, 7);
	CU_ASSERT_EQUAL(fixture_touch(t->view, &fixture_root,
				      fixture_find(t->view, dir), name, 0600,
				      &f),
			0);
	test_step(t, len == 0 ? 0
			      : fixture_write(t->view, &fixture_root, f, 0,
					      data, len, true, NULL));
}

static void test_mkdir(struct test *t, const char *dir, const char *name)
{
	test_step(t, fixture_mkdir(t->view, &fixture_root,
				   fixture_find(t->view, dir), name, 0755,
				   &(struct view_object){0}));
}

static void test_chmod(struct test *t, const char *path, uint32_t mode)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = mode};

	test_step(t, fixture_setattr(t->view, &fixture_root,
				     fixture_find(t->view, path), &set, NULL));
}

/* --- diff ---------------------------------------------------------------- */

struct test_text {
	char text[TEST_TEXT_MAX];
	struct site_delta_change last;
	uint64_t bytes;
};

static int test_change(void *ctx, const struct site_delta_change *change)
{
	struct test_text *out = ctx;
	size_t len = strlen(out->text);

	snprintf(out->text + len, sizeof(out->text) - len, "%c %s%s%s\n",
		 change->kind, change->path, change->from ? " < " : "",
		 change->from ? change->from : "");
	out->last = *change;
	out->bytes += change->delta_bytes;
	return 0;
}

static bool test_diff_is(struct test *t, const char *want)
{
	struct test_text out = {.text = ""};

	CU_ASSERT_EQUAL(
	    site_delta_diff(t->fx.site, test_guest, test_change, &out), 0);
	if (strcmp(out.text, want) == 0)
		return true;
	fprintf(stderr, "%sis not the expected\n%s", out.text, want);
	return false;
}

static void test_letters_in(bool layers)
{
	struct view_setattr set = {.mask = VIEW_SET_MTIME, .mtime = {5, 6}};
	struct test t;

	test_open(&t, layers);
	CU_ASSERT_TRUE(test_diff_is(&t, ""));
	test_mkdir(&t, "", "new");
	test_file(&t, "new", "deep", 10);
	test_put(&t, "a/big", 5000, "changed");
	test_chmod(&t, "a/one", 0600);
	test_remove(&t, "a", "two");
	test_remove(&t, "d/e", "f");
	test_remove(&t, "d/e", "g");
	test_step(&t, fixture_rmdir(t.view, &fixture_root,
				    fixture_find(t.view, "d"), "e", NULL));
	test_rename(&t, "", "s", "new", "s2");
	test_file(&t, "a", "zz", 100000);
	test_rename(&t, "a", "zz", "", "z"); /* over a package's file */
	test_chmod(&t, "", 0700);
	CU_ASSERT_EQUAL(fixture_resize(t.view, fixture_find(t.view, "h2"), 3),
			0);
	for (int again = 0; again < 2; again++) {
		CU_ASSERT_TRUE(test_diff_is(&t, "m \n"
						"M a/big\n"
						"m a/one\n"
						"D a/two\n"
						"D d/e\n"
						"M h1\n"
						"M h2\n"
						"A new\n"
						"A new/deep\n"
						"R new/s2 < s\n"
						"M z\n"));
		fixture_restart(&t.fx, false);
		t.view = fixture_view(&t.fx, "/red/vm1");
	}
	CU_ASSERT_EQUAL(site_delta_restore(t.fx.site, "red/vm1", NULL), 0);
	CU_ASSERT_TRUE(test_diff_is(&t, ""));
	/* A time alone, of a link too; what reading sets is no change. */
	CU_ASSERT_EQUAL(fixture_setattr(t.view, &fixture_root,
					fixture_find(t.view, "s"), &set, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_setattr(t.view, &fixture_root,
					fixture_find(t.view, "d"), &set, NULL),
			0);
	CU_ASSERT_TRUE(test_diff_is(&t, "m s\n"));
	fixture_close(&t.fx);
}

static void test_letters(void)
{
	test_letters_in(false);
	test_letters_in(true);
}

/* A directory that moved is told once, with what was changed in it. */
static void test_renamed_dir_in(bool layers)
{
	struct test t;

	test_open(&t, layers);
	test_mkdir(&t, "", "b");
	test_rename(&t, "", "d", "b", "moved");
	CU_ASSERT_TRUE(test_diff_is(&t, "A b\nR b/moved < d\n"));
	test_put(&t, "b/moved/e/f", 0, "F");
	test_remove(&t, "b/moved/e", "g");
	test_file(&t, "b/moved/e", "new", 0);
	test_rename(&t, "b/moved", "e", "a", "E");
	test_chmod(&t, "b/moved", 0700);
	test_chmod(&t, "a/one", 0600);
	test_rename(&t, "a", "one", "a", "two"); /* over another */
	CU_ASSERT_TRUE(test_diff_is(&t, "R a/E < d/e\n"
					"M a/E/f\n"
					"D a/E/g\n"
					"A a/E/new\n"
					"R a/two < a/one\n"
					"m a/two\n"
					"A b\n"
					"R b/moved < d\n"
					"m b/moved\n"));
	/* Out of a directory that goes then. */
	test_rename(&t, "a/E", "f", "", "f");
	test_remove(&t, "a/E", "new");
	test_step(&t, fixture_rmdir(t.view, &fixture_root,
				    fixture_find(t.view, "a"), "E", NULL));
	CU_ASSERT_TRUE(test_diff_is(&t, "R a/two < a/one\n"
					"m a/two\n"
					"A b\n"
					"R b/moved < d\n"
					"m b/moved\n"
					"D b/moved/e\n"
					"R f < d/e/f\n"
					"M f\n"));
	fixture_close(&t.fx);
}

static void test_renamed_dir(void)
{
	test_renamed_dir_in(false);
	test_renamed_dir_in(true);
}

/* Two names that change places; an object over a directory's name. */
static void test_replaced(void)
{
	struct test t;

	test_open(&t, false);
	test_rename(&t, "a", "one", "a", "tmp");
	test_rename(&t, "a", "two", "a", "one");
	test_rename(&t, "a", "tmp", "a", "two");
	test_remove(&t, "d/e", "f");
	test_remove(&t, "d/e", "g");
	test_step(&t, fixture_rmdir(t.view, &fixture_root,
				    fixture_find(t.view, "d"), "e", NULL));
	test_file(&t, "d", "e", 3);
	CU_ASSERT_TRUE(test_diff_is(&t, "R a/one < a/two\n"
					"R a/two < a/one\n"
					"M d/e\n"));
	fixture_close(&t.fx);
}

static void test_links_in(bool layers)
{
	struct test t;

	test_open(&t, layers);
	test_step(&t,
		  fixture_link(t.view, &fixture_root,
			       fixture_find(t.view, "h1"), t.root, "h3", NULL));
	CU_ASSERT_TRUE(test_diff_is(&t, "A h3 < h1\n"));
	test_remove(&t, "", "h2");
	CU_ASSERT_TRUE(test_diff_is(&t, "R h3 < h2\n"));
	test_remove(&t, "", "h3");
	CU_ASSERT_TRUE(test_diff_is(&t, "D h2\n"));
	test_put(&t, "h1", 0, "L");
	CU_ASSERT_TRUE(test_diff_is(&t, "M h1\nD h2\n"));
	test_file(&t, "", "n1", 5);
	test_step(&t,
		  fixture_link(t.view, &fixture_root,
			       fixture_find(t.view, "n1"), t.root, "n2", NULL));
	CU_ASSERT_TRUE(test_diff_is(&t, "M h1\nD h2\nA n1\nA n2\n"));
	fixture_close(&t.fx);
}

static void test_links(void)
{
	test_links_in(false);
	test_links_in(true);
}

/* The figures of a change, over layers, and of what is not committed yet. */
static void test_figures(void)
{
	struct test_text out = {.text = ""};
	struct test t;

	test_open(&t, true);
	test_put(&t, "a/big", 5000, "first");
	test_put(&t, "a/big", 50000, "second");
	t.layers = false;
	CU_ASSERT_EQUAL(fixture_write(t.view, &fixture_root,
				      fixture_find(t.view, "a/big"),
				      TEST_BIG_LEN, "third", 5, false, NULL),
			0);
	CU_ASSERT_EQUAL(
	    site_delta_diff(t.fx.site, "red/vm1", test_change, &out), 0);
	CU_ASSERT_STRING_EQUAL(out.text, "M a/big\n");
	CU_ASSERT_EQUAL(out.last.size, TEST_BIG_LEN + 5);
	CU_ASSERT_EQUAL(out.last.delta_bytes, 3 * 4096);
	CU_ASSERT_EQUAL(out.last.mode, S_IFREG | 0644);
	CU_ASSERT_EQUAL(out.last.mode_before, S_IFREG | 0644);
	check_mute();
	CU_ASSERT_EQUAL(site_delta_diff(t.fx.site, "red/no", test_change, &out),
			-ENOENT);
	check_unmute();
	fixture_close(&t.fx);
}

/* --- verify -------------------------------------------------------------- */

struct test_told {
	char text[TEST_TEXT_MAX];
};

static void test_tell(void *ctx, bool problem, const char *what)
{
	struct test_told *told = ctx;
	size_t len = strlen(told->text);

	snprintf(told->text + len, sizeof(told->text) - len, "%c %s\n",
		 problem ? 'P' : 'W', what);
}

static bool test_verify_finds(struct test *t, uint64_t problems,
			      uint64_t warnings, const char *words)
{
	struct test_told told = {.text = ""};
	struct site_delta_figures figures;
	bool right;

	check_mute();
	CU_ASSERT_EQUAL(site_delta_verify(t->fx.site, test_guest, test_tell,
					  &told, &figures),
			0);
	check_unmute();
	right = figures.problems == problems && figures.warnings == warnings &&
		strstr(told.text, words);
	if (!right)
		fprintf(stderr, "not %llu, %llu, \"%s\":\n%s",
			(unsigned long long)problems,
			(unsigned long long)warnings, words, told.text);
	return right;
}

/* A delta with something of everything; "f" and a/big have host files. */
static void test_fill(struct test *t, bool layers)
{
	test_open(t, layers);
	test_file(t, "", "f", 100000);
	test_put(t, "a/big", 5000, "changed");
	test_file(t, "", "small", 100);
	test_mkdir(t, "d", "dir");
	test_rename(t, "d", "e", "d/dir", "e");
	t->layers = false;
	test_remove(t, "a", "two");
	test_step(t, fixture_link(t->view, &fixture_root,
				  fixture_find(t->view, "h1"), t->root, "h3",
				  NULL));
	test_step(t, fixture_symlink(t->view, &fixture_root, t->root, "link",
				     "target", NULL));
	test_chmod(t, "small", 0644);
	test_chmod(t, "link", 0644);
	CU_ASSERT_TRUE(test_verify_finds(t, 0, 0, ""));
}

/* Close the view's files, so that what is planted is seen. */
static void test_reopen(struct test *t)
{
	fixture_restart(&t->fx, false);
	t->view = fixture_view(&t->fx, "/red/vm1");
}

/* The layer that has a record of a file. */
static uint64_t test_layer(struct test *t, uint64_t fileid,
			   uint8_t record[RECORD_INODE_LEN])
{
	struct kv *kv = depot_state(t->fx.depot);

	for (uint64_t layer = 64; layer > 0; layer--) {
		struct record_key key;
		struct kv_value value;
		int rc;

		record_key_inode(&key, layer, fileid);
		rc = kv_get(kv, key.bytes, key.len, &value);
		if (rc == 0)
			memcpy(record, value.data, RECORD_INODE_LEN);
		kv_value_release(&value);
		if (rc == 0)
			return layer;
	}
	CU_FAIL_FATAL("no record");
	return 0;
}

static void test_host_path(struct test *t, const char *path, char *out,
			   size_t out_len)
{
	uint8_t value[RECORD_INODE_LEN];
	struct record rec;
	uint64_t layer =
	    test_layer(t, fixture_find(t->view, path).fileid, value);

	CU_ASSERT_EQUAL_FATAL(record_decode(value, sizeof(value), &rec), 0);
	CU_ASSERT_NOT_EQUAL_FATAL(rec.data.data_id, 0);
	snprintf(out, out_len, "%s/data/%016llx/%02x/%016llx",
		 depot_path(t->fx.depot),
		 (unsigned long long)(rec.data.layer ? rec.data.layer : layer),
		 (unsigned int)(rec.data.data_id & 0xff),
		 (unsigned long long)rec.data.data_id);
}

static void test_host_files_in(bool layers)
{
	char path[4096], other[4200];
	struct test t;
	FILE *file;

	test_fill(&t, layers);
	test_host_path(&t, "f", path, sizeof(path));
	test_reopen(&t);
	CU_ASSERT_EQUAL(truncate(path, 50000), 0);
	CU_ASSERT_TRUE(
	    test_verify_finds(&t, 1, 1, "ends at byte 50000, before"));
	/* As after a copy that makes holes of zeros. */
	CU_ASSERT_EQUAL(truncate(path, 100000), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 1, "are holes"));
	CU_ASSERT_EQUAL(truncate(path, 200000), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 2, "longer"));
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 0, "No such file"));
	fixture_close(&t.fx);

	test_fill(&t, layers);
	test_host_path(&t, "a/big", path, sizeof(path));
	test_reopen(&t);
	file = fopen(path, "r+");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fseek(file, 100000, SEEK_SET), 0);
	CU_ASSERT_NOT_EQUAL(fputs("stray", file), EOF);
	CU_ASSERT_EQUAL(fclose(file), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 1, "in 1 pages that are not"));
	snprintf(other, sizeof(other), "%s", path);
	memcpy(other + strlen(other) - 4, "ab", 2);
	CU_ASSERT_EQUAL(rename(path, other), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 1, "is of no record"));
	memcpy(path, other, strlen(other) - 2);
	memcpy(path + strlen(path) - 2, "zz", 2);
	CU_ASSERT_EQUAL(rename(other, path), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 1, "is no host file"));
	fixture_close(&t.fx);
}

static void test_host_files(void)
{
	test_host_files_in(false);
	test_host_files_in(true);
}

static void test_write_record(struct test *t, uint64_t layer, uint64_t fileid,
			      const void *value, size_t len)
{
	struct record_key key;

	record_key_inode(&key, layer, fileid);
	CU_ASSERT_EQUAL(
	    kv_put(depot_state(t->fx.depot), key.bytes, key.len, value, len),
	    0);
}

static void test_records(void)
{
	uint8_t was[RECORD_INODE_LEN], bad[RECORD_INODE_LEN];
	struct record_key key;
	struct record rec;
	uint64_t id, layer;
	struct kv *kv;
	struct test t;

	test_fill(&t, false);
	test_reopen(&t);
	kv = depot_state(t.fx.depot);
	id = fixture_find(t.view, "small").fileid;
	layer = test_layer(&t, id, was);
	test_write_record(&t, layer, id, "rubbish", 7);
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 0, "record is damaged"));
	test_write_record(&t, layer, id, was, sizeof(was));
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));

	CU_ASSERT_EQUAL(record_decode(was, sizeof(was), &rec), 0);
	rec.nlink++;
	record_encode(&rec, bad);
	test_write_record(&t, layer, id, bad, sizeof(bad));
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 0, "1 names, but 2 links"));
	rec.nlink--;
	rec.data.used += 5;
	record_encode(&rec, bad);
	test_write_record(&t, layer, id, bad, sizeof(bad));
	CU_ASSERT_TRUE(test_verify_finds(&t, 2, 0, "quota:"));
	test_write_record(&t, layer, id, was, sizeof(was));

	record_key_data(&key, layer, id);
	CU_ASSERT_EQUAL(kv_delete(kv, key.bytes, key.len), 0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 1, 0, "0 bytes are in the"));
	record_key_inode(&key, layer, id);
	CU_ASSERT_EQUAL(kv_delete(kv, key.bytes, key.len), 0);
	/* Quota, the name; that links cannot be counted. */
	CU_ASSERT_TRUE(test_verify_finds(&t, 2, 0, "without its object"));
	fixture_close(&t.fx);
}

/* Presence bits, a directory's links, names. */
static void test_pieces(void)
{
	uint8_t was[RECORD_INODE_LEN], bad[RECORD_INODE_LEN];
	uint8_t bits[1 + RECORD_PIECE_LEN] = {RECORD_FORMAT, 2, 0, 0, 0, 1};
	struct record_name name = {.kind = RECORD_NAME_ENTRY,
				   .fileid = RECORD_BORN | 0x7777,
				   .name_len = 4,
				   .name = "lost"};
	uint8_t value[RECORD_NAME_MAX];
	struct record_key key;
	struct record rec;
	uint64_t id, layer;
	struct test t;

	test_fill(&t, false);
	id = fixture_find(t.view, "f").fileid;
	layer = test_layer(&t, id, was);
	record_key_piece(&key, layer, id, 0);
	test_reopen(&t);
	CU_ASSERT_EQUAL(kv_put(depot_state(t.fx.depot), key.bytes, key.len,
			       bits, sizeof(bits)),
			0);
	/* Beyond, not as many as used, the file too short; hole and strays. */
	CU_ASSERT_TRUE(test_verify_finds(&t, 3, 2, "presence bits beyond"));
	fixture_close(&t.fx);

	test_fill(&t, false);
	id = fixture_find(t.view, "d/dir").fileid;
	layer = test_layer(&t, id, was);
	test_reopen(&t);
	CU_ASSERT_EQUAL(record_decode(was, sizeof(was), &rec), 0);
	rec.nlink++;
	rec.parent = t.root.fileid;
	record_encode(&rec, bad);
	test_write_record(&t, layer, id, bad, sizeof(bad));
	CU_ASSERT_TRUE(test_verify_finds(&t, 2, 0, "1 subdirectories, but 4"));
	test_write_record(&t, layer, id, was, sizeof(was));
	record_key_name(&key, layer, id, name_cookie("lost", 4));
	CU_ASSERT_EQUAL(kv_put(depot_state(t.fx.depot), key.bytes, key.len,
			       value, record_name_encode(&name, value)),
			0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 2, 0, "name \"lost\""));
	fixture_close(&t.fx);
}

/* What export, import and clones make is in order, and the same changes. */
static void test_copies(void)
{
	struct site_guest_options options = {0};
	struct test_text out = {.text = ""};
	struct test t;
	FILE *file = tmpfile();

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	test_fill(&t, true);
	CU_ASSERT_EQUAL(
	    site_delta_diff(t.fx.site, "red/vm1", test_change, &out), 0);
	CU_ASSERT_EQUAL(
	    site_delta_export(t.fx.site, "red/vm1", NULL, fileno(file)), 0);
	CU_ASSERT_EQUAL(site_guest_add(t.fx.site, "red/vm2", &options), 0);
	CU_ASSERT_EQUAL(lseek(fileno(file), 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(site_delta_import(t.fx.site, "red/vm2", fileno(file)),
			0);
	CU_ASSERT_EQUAL(site_delta_snapshot_remove(t.fx.site, "red/vm1", "s0"),
			0);
	CU_ASSERT_EQUAL(
	    site_delta_clone(t.fx.site, "red/vm1", NULL, "red/vm3", &options),
	    0);
	for (int again = 0; again < 2; again++) {
		test_guest = "red/vm2";
		CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));
		CU_ASSERT_TRUE(test_diff_is(&t, out.text));
		test_guest = "red/vm3";
		CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));
		CU_ASSERT_TRUE(test_diff_is(&t, out.text));
		fixture_restart(&t.fx, true);
	}
	test_guest = "red/vm1";
	fclose(file);
	fixture_close(&t.fx);
}

/* What a death leaves behind is no problem: the record says what counts. */
static void test_after_death(void)
{
	struct test_told told = {.text = ""};
	struct site_delta_figures figures;
	struct view_object f;
	struct test t;

	test_fill(&t, true);
	f = fixture_find(t.view, "f");
	CU_ASSERT_EQUAL(fixture_resize(t.view, f, 30000), 0);
	CU_ASSERT_EQUAL(fixture_write(t.view, &fixture_root, f, 200000, "late",
				      4, false, NULL),
			0);
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));
	fixture_crash(&t.fx, NULL);
	t.view = fixture_view(&t.fx, "/red/vm1");
	CU_ASSERT_EQUAL(
	    site_delta_verify(t.fx.site, "red/vm1", test_tell, &told, &figures),
	    0);
	CU_ASSERT_EQUAL(figures.problems, 0);
	if (figures.problems > 0)
		fprintf(stderr, "%s", told.text);
	CU_ASSERT_TRUE(figures.files >= 8 && figures.names >= 8);
	CU_ASSERT_TRUE(figures.bytes >= 8192);
	fixture_close(&t.fx);
}

/* --- while the guest works ----------------------------------------------- */

struct test_busy {
	struct test *t;
	bool stop; /* atomic */
};

static void *test_busy_run(void *arg)
{
	struct test_busy *busy = arg;
	struct test *t = busy->t;
	static uint8_t data[30000];
	struct view_object f;

	for (unsigned int i = 0;
	     !__atomic_load_n(&busy->stop, __ATOMIC_RELAXED); i++) {
		char name[16];

		snprintf(name, sizeof(name), "w%u", i % 7);
		(void)fixture_remove(t->view, &fixture_root, t->root, name,
				     NULL);
		if (fixture_touch(t->view, &fixture_root, t->root, name, 0600,
				  &f) == 0)
			(void)fixture_write(t->view, &fixture_root, f, 0, data,
					    (i % 3) * 15000, i % 2, NULL);
		(void)fixture_resize(t->view, f, 17000);
		(void)fixture_rename(
		    t->view, &fixture_root, fixture_find(t->view, "d"),
		    i % 2 ? "f2" : "f1", fixture_find(t->view, "a"), "m", NULL);
		(void)fixture_rename(
		    t->view, &fixture_root, fixture_find(t->view, "a"), "m",
		    fixture_find(t->view, "d"), i % 2 ? "f1" : "f2", NULL);
	}
	return NULL;
}

static void test_busy(void)
{
	struct test_text out = {.text = ""};
	struct test t;
	struct test_busy busy = {.t = &t};
	pthread_t thread;

	test_fill(&t, false);
	test_file(&t, "d", "f1", 10);
	CU_ASSERT_EQUAL_FATAL(
	    pthread_create(&thread, NULL, test_busy_run, &busy), 0);
	for (int i = 0; i < 50; i++) {
		CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));
		out.text[0] = '\0';
		CU_ASSERT_EQUAL(
		    site_delta_diff(t.fx.site, "red/vm1", test_change, &out),
		    0);
		CU_ASSERT_PTR_NOT_NULL(strstr(out.text, "R d/dir/e < d/e\n"));
	}
	__atomic_store_n(&busy.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(test_verify_finds(&t, 0, 0, ""));
	fixture_close(&t.fx);
}

static const struct check_test tests[] = {
    {"diff: every letter", test_letters},
    {"diff: renamed directories", test_renamed_dir},
    {"diff: replaced objects", test_replaced},
    {"diff: hard links", test_links},
    {"diff: figures", test_figures},
    {"verify: host files", test_host_files},
    {"verify: records", test_records},
    {"verify: presence and names", test_pieces},
    {"verify: copies", test_copies},
    {"verify: after a death", test_after_death},
    {"a guest that works", test_busy},
};

int main(void)
{
	return check_main("test_delta", tests, ARRAY_LEN(tests));
}
