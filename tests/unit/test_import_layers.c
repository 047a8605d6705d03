/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_import_layers: tars over tars, and OCI images with whiteouts in any
 * order, made here; images by other programs are tests/e2e/import's.
 */
#include <fcntl.h>
#include <stdio.h>

#include "admin/import_oci.h"
#include "admin/import_tar.h"
#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/memory_sink.h"
#include "tests/lib/tarkit.h"
#include "tests/lib/tmpdir.h"

#define DIR_ITEM(p)                                                            \
	{                                                                      \
		p, S_IFDIR | 0755, NULL                                        \
	}
#define FILE_ITEM(p, d)                                                        \
	{                                                                      \
		p, S_IFREG | 0644, d                                           \
	}

enum { TEXT_MAX = 8192 };

struct fixture {
	char *dir;
	struct memory_sink sink;
	struct failure failure;
	struct output out;
	struct import_summary summary;
	struct oci_result result;
	char layers[TEXT_MAX]; /* descriptors so far */
	char last[DIGEST_HEX_LEN + 1];
};

static void fixture_open(struct fixture *f)
{
	char path[512];

	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->out.progress = OUTPUT_PROGRESS_NONE;
	f->out.quiet = true;
	snprintf(path, sizeof(path), "%s/blobs", f->dir);
	ASSERT(mkdir(path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/blobs/sha256", f->dir);
	ASSERT(mkdir(path, 0755) == 0);
}

static void fixture_close(struct fixture *f)
{
	json_decref(f->result.config);
	memory_sink_clear(&f->sink);
	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
	tmpdir_remove(f->dir);
}

/* --- making an image ------------------------------------------------------ */

/* A blob under its name, which is left in f->last. */
static void blob(struct fixture *f, const void *bytes, size_t len)
{
	struct digest digest = digest_of(bytes, len);
	char path[512];

	digest_to_hex(&digest, f->last);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", f->dir, f->last);
	ASSERT(io_replace_file(path, bytes, len) == 0);
}

static void layer(struct fixture *f, const struct item *items)
{
	CLEANUP_FREE void *tar = NULL;
	size_t len, used = strlen(f->layers);

	tar = tar_make(items, &len);
	blob(f, tar, len);
	snprintf(f->layers + used, sizeof(f->layers) - used,
		 "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+"
		 "gzip\",\"size\":%zu,\"digest\":\"sha256:%s\"}",
		 used ? "," : "", len, f->last);
}

static void image(struct fixture *f)
{
	static const char config[] =
	    "{\"config\":{\"Env\":[\"PATH=/opt/bin\"]}}";
	char text[2 * TEXT_MAX], path[512];

	blob(f, config, sizeof(config) - 1);
	snprintf(text, sizeof(text),
		 "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:%s\"},"
		 "\"layers\":[%s]}",
		 f->last, f->layers);
	blob(f, text, strlen(text));
	snprintf(text, sizeof(text),
		 "{\"manifests\":[{\"digest\":\"sha256:%s\",\"annotations\":{"
		 "\"org.opencontainers.image.ref.name\":\"v1\"}}]}",
		 f->last);
	snprintf(path, sizeof(path), "%s/index.json", f->dir);
	ASSERT(io_replace_file(path, text, strlen(text)) == 0);
}

static int take_oci(struct fixture *f, const char *reference)
{
	struct import_options options = {0};
	struct import_sink sink = memory_sink(&f->sink);
	struct import *import =
	    import_new(&sink, &options, &f->out, &f->failure);
	int rc;

	json_decref(f->result.config);
	rc = import_oci(import, f->dir, reference, &f->out, &f->failure,
			&f->result);
	if (rc == 0)
		rc = import_finish(import, "x", "1", "1", NULL, &f->summary);
	import_free(import);
	return rc;
}

static bool there(struct fixture *f, const char *path)
{
	struct tree_inode inode;

	return memory_sink_stat(&f->sink, path, &inode);
}

static bool holds(struct fixture *f, const char *path, const char *text)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	size_t len;

	if (!there(f, path))
		return false;
	bytes = memory_sink_file(&f->sink, path, &len);
	return len == strlen(text) && memcmp(bytes, text, len) == 0;
}

/* --- tests ---------------------------------------------------------------- */

static const struct item base[] = {
    DIR_ITEM("etc"),
    FILE_ITEM("etc/keep", "1"),
    FILE_ITEM("etc/gone", "1"),
    DIR_ITEM("data"),
    FILE_ITEM("data/old", "1"),
    FILE_ITEM("data/both", "1"),
    DIR_ITEM("turns"),
    FILE_ITEM("turns/into", "1"),
    {"link", S_IFLNK | 0777, "etc"},
    {0},
};

/* The mark stands behind what the same layer adds: it must not hide that. */
static void test_whiteouts_in_any_order(void)
{
	static const struct item late[] = {
	    FILE_ITEM("data/both", "2"),
	    FILE_ITEM("data/new", "2"),
	    FILE_ITEM("data/.wh..wh..opq", ""),
	    FILE_ITEM("etc/.wh.gone", ""),
	    {0},
	};
	static const struct item early[] = {
	    FILE_ITEM("data/.wh..wh..opq", ""),
	    FILE_ITEM("etc/.wh.gone", ""),
	    FILE_ITEM("data/both", "2"),
	    FILE_ITEM("data/new", "2"),
	    {0},
	};
	struct digest trees[2];
	struct fixture f;

	for (int i = 0; i < 2; i++) {
		fixture_open(&f);
		layer(&f, base);
		layer(&f, i ? early : late);
		image(&f);
		CU_ASSERT_EQUAL_FATAL(take_oci(&f, "v1"), 0);
		CU_ASSERT_TRUE(there(&f, "etc/keep"));
		CU_ASSERT_FALSE(there(&f, "etc/gone"));
		CU_ASSERT_FALSE(there(&f, "etc/.wh.gone"));
		CU_ASSERT_FALSE(there(&f, "data/old"));
		CU_ASSERT_TRUE(holds(&f, "data/both", "2"));
		CU_ASSERT_TRUE(holds(&f, "data/new", "2"));
		CU_ASSERT_FALSE(there(&f, "data/.wh..wh..opq"));
		CU_ASSERT_EQUAL(f.result.layers, 2);
		trees[i] = f.summary.tree;
		fixture_close(&f);
	}
	CU_ASSERT_TRUE(digest_equal(&trees[0], &trees[1]));
}

static void test_types_change(void)
{
	static const struct item two[] = {
	    FILE_ITEM("turns", "now a file"),
	    DIR_ITEM("link"),
	    FILE_ITEM("link/inside", "2"),
	    {0},
	};
	static const struct item three[] = {
	    FILE_ITEM(".wh.turns", ""),
	    DIR_ITEM("turns"),
	    FILE_ITEM("turns/again", "3"),
	    {0},
	};
	struct fixture f;

	fixture_open(&f);
	layer(&f, base);
	layer(&f, two);
	layer(&f, three);
	image(&f);
	CU_ASSERT_EQUAL_FATAL(take_oci(&f, NULL), 0);
	CU_ASSERT_TRUE(holds(&f, "turns/again", "3"));
	CU_ASSERT_FALSE(there(&f, "turns/into"));
	CU_ASSERT_TRUE(holds(&f, "link/inside", "2"));
	CU_ASSERT_FALSE(there(&f, "etc/inside"));
	fixture_close(&f);
}

/* A link keeps the file of its own layer, whatever becomes of the name. */
static void test_links_outlive_names(void)
{
	static const struct item two[] = {
	    {"a", 0, "etc/gone"},
	    {"b", 0, "a"},
	    {"c", 0, "data/both"},
	    {0},
	};
	static const struct item three[] = {
	    FILE_ITEM("etc/.wh.gone", ""),
	    FILE_ITEM("data/both", "3"),
	    {0},
	};
	struct tree_inode inode;
	struct fixture f;

	fixture_open(&f);
	layer(&f, base);
	layer(&f, two);
	layer(&f, three);
	image(&f);
	CU_ASSERT_EQUAL_FATAL(take_oci(&f, NULL), 0);
	CU_ASSERT_TRUE(holds(&f, "a", "1"));
	CU_ASSERT_TRUE(holds(&f, "b", "1"));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "a", &inode));
	CU_ASSERT_EQUAL(inode.nlink, 2);
	CU_ASSERT_TRUE(holds(&f, "c", "1"));
	CU_ASSERT_TRUE(holds(&f, "data/both", "3"));
	fixture_close(&f);
}

static void test_damaged_blob(void)
{
	struct fixture f;
	char path[512];

	fixture_open(&f);
	layer(&f, base);
	/* Behind the end of the tar: only the digest can tell. */
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", f.dir, f.last);
	image(&f);
	CU_ASSERT_EQUAL_FATAL(take_oci(&f, NULL), 0);
	f.sink.commit_calls = 0;
	{
		CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_APPEND);

		CU_ASSERT_EQUAL(write(fd, "\0", 1), 1);
	}
	CU_ASSERT_EQUAL(take_oci(&f, NULL), -EBADMSG);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, path));
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
	fixture_close(&f);
}

static void test_no_such_image(void)
{
	struct fixture f;

	fixture_open(&f);
	layer(&f, base);
	image(&f);
	CU_ASSERT_EQUAL(take_oci(&f, "v2"), -ENOENT);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_MISSING);
	CU_ASSERT_STRING_EQUAL(
	    json_string_value(json_array_get(f.failure.details, 0)), "v1");
	fixture_close(&f);
}

static void test_layer_leaves_the_tree(void)
{
	static const struct item out[] = {FILE_ITEM("../etc/.wh.passwd", ""),
					  {0}};
	struct fixture f;

	fixture_open(&f);
	layer(&f, base);
	layer(&f, out);
	image(&f);
	CU_ASSERT_EQUAL(take_oci(&f, NULL), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "leaves the tree"));
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
	fixture_close(&f);
}

/* Without layers whiteouts are the package's: it deletes from its base. */
static void test_whiteouts_are_kept(void)
{
	struct import_options options = {0};
	struct tree_build_attr attr = {.mode = S_IFDIR | 0755};
	struct import_sink sink;
	struct tree_inode inode;
	struct import *import;
	struct fixture f;

	fixture_open(&f);
	sink = memory_sink(&f.sink);
	import = import_new(&sink, &options, &f.out, &f.failure);
	CU_ASSERT_EQUAL(import_origin(import, "capture"), 0);
	CU_ASSERT_EQUAL(import_opaque(import, "dir"), 0);
	CU_ASSERT_EQUAL(import_whiteout(import, "etc/motd"), 0);
	CU_ASSERT_EQUAL(import_add(import, "dir", &attr), 0);
	CU_ASSERT_EQUAL_FATAL(
	    import_finish(import, "x", "1", "1", NULL, &f.summary), 0);
	import_free(import);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "dir", &inode));
	CU_ASSERT_TRUE(inode.opaque);
	CU_ASSERT_FALSE(memory_sink_stat(&f.sink, "etc/motd", &inode));
	CU_ASSERT_EQUAL(tree_entry_count(f.sink.tree), 3); /* dir etc motd */
	fixture_close(&f);
}

static int take_tar(struct fixture *f, const char *path)
{
	struct import_options options = {0};
	struct import_sink sink = memory_sink(&f->sink);
	struct import *import =
	    import_new(&sink, &options, &f->out, &f->failure);
	int rc;

	rc = import_tar(import, path, &f->failure);
	if (rc == 0)
		rc = import_finish(import, "x", "1", "1", NULL, &f->summary);
	import_free(import);
	return rc;
}

static void test_tar(void)
{
	CLEANUP_FREE void *tar = NULL;
	char path[512];
	struct fixture f;
	size_t len;

	fixture_open(&f);
	snprintf(path, sizeof(path), "%s/x.tar.gz", f.dir);
	CU_ASSERT_EQUAL(take_tar(&f, path), -ENOENT);
	failure_clear(&f.failure);
	tar = tar_make(base, &len);
	CU_ASSERT_EQUAL(io_replace_file(path, tar, len), 0);
	CU_ASSERT_EQUAL_FATAL(take_tar(&f, path), 0);
	CU_ASSERT_TRUE(holds(&f, "etc/keep", "1"));
	/* Cut short, or no tar at all. */
	CU_ASSERT_EQUAL(io_replace_file(path, tar, len / 2), 0);
	CU_ASSERT_EQUAL(take_tar(&f, path), -EBADMSG);
	failure_clear(&f.failure);
	CU_ASSERT_EQUAL(io_replace_file(path, "no tar", 6), 0);
	CU_ASSERT_EQUAL(take_tar(&f, path), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, path));
	fixture_close(&f);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"whiteouts in any order", test_whiteouts_in_any_order},
	    {"types change", test_types_change},
	    {"links outlive names", test_links_outlive_names},
	    {"damaged blob", test_damaged_blob},
	    {"no such image", test_no_such_image},
	    {"layer leaves the tree", test_layer_leaves_the_tree},
	    {"whiteouts are kept", test_whiteouts_are_kept},
	    {"tar", test_tar},
	};

	return check_main("test_import_layers", tests, ARRAY_LEN(tests));
}
