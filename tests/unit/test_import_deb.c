/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_import_deb: small packages, made here, good and bad.
 */
#include "admin/import_deb.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/import_apt.h"
#include "tests/lib/check.h"
#include "tests/lib/memory_sink.h"
#include "tests/lib/tarkit.h"
#include "tests/lib/tmpdir.h"

enum { BODY_LEN = 300 * 1000 };

/* --- packages ----------------------------------------------------------------
 */

static void ar_member(struct archive *ar, const char *name, const void *data,
		      size_t len)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_size(entry, (la_int64_t)len);
	ASSERT(archive_write_header(ar, entry) == ARCHIVE_OK);
	ASSERT(archive_write_data(ar, data, len) == (la_ssize_t)len);
	archive_entry_free(entry);
}

static char *deb_make(const char *dir, const char *name,
		      const struct item *items)
{
	CLEANUP_FREE void *control = NULL;
	CLEANUP_FREE void *data = NULL;
	struct archive *ar = archive_write_new();
	char text[256], *path = NULL;
	size_t control_len, data_len;
	struct item control_items[2] = {{"./control", S_IFREG | 0644, text},
					{0}};

	snprintf(text, sizeof(text),
		 "Package: %s\nVersion: 1:2.0-1\nInstalled-Size: 3\n", name);
	control = tar_make(control_items, &control_len);
	data = tar_make(items, &data_len);
	ASSERT(asprintf(&path, "%s/%s.deb", dir, name) > 0);
	archive_write_set_format_ar_svr4(ar);
	ASSERT(archive_write_open_filename(ar, path) == ARCHIVE_OK);
	ar_member(ar, "debian-binary", "2.0\n", 4);
	ar_member(ar, "control.tar.gz", control, control_len);
	ar_member(ar, "data.tar.gz", data, data_len);
	ASSERT(archive_write_close(ar) == ARCHIVE_OK);
	archive_write_free(ar);
	return path;
}

/* --- fixture -----------------------------------------------------------------
 */

struct fixture {
	char *dir;
	struct memory_sink sink;
	struct failure failure;
	struct output out;
	struct import_options options;
	struct import_summary summary;
	char *paths[8];
	size_t count;
};

static void fixture_open(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	f->out.progress = OUTPUT_PROGRESS_NONE;
	f->out.quiet = true;
}

static void fixture_close(struct fixture *f)
{
	for (size_t i = 0; i < f->count; i++)
		free(f->paths[i]);
	memory_sink_clear(&f->sink);
	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
	tmpdir_remove(f->dir);
}

static void add(struct fixture *f, const char *name, const struct item *items)
{
	f->paths[f->count++] = deb_make(f->dir, name, items);
}

static int create(struct fixture *f)
{
	CLEANUP(deb_list_clear) struct deb_list list = {0};
	CLEANUP_FREE char **closure = NULL;
	struct import_sink sink = memory_sink(&f->sink);
	struct import *import;
	int rc;

	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
	rc = deb_list_read(&list, f->paths, f->count, &f->failure);
	if (rc < 0)
		return rc;
	closure = deb_list_closure(&list);
	import = import_new(&sink, &f->options, &f->out, &f->failure);
	rc = import_debs(import, &list, &f->out, &f->failure);
	if (rc == 0)
		rc = import_finish(import, "x", "1", "1", closure, &f->summary);
	import_free(import);
	return rc;
}

/* One package with these items is refused, and the text names them. */
static void refused(const struct item *items, int code, const char *word)
{
	struct fixture f;

	fixture_open(&f);
	add(&f, "bad", items);
	CU_ASSERT_TRUE(create(&f) < 0);
	CU_ASSERT_EQUAL(f.failure.code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "bad.deb"));
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, word));
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
	fixture_close(&f);
}

/* --- tests -------------------------------------------------------------------
 */

static void test_normal(void)
{
	static const struct item items[] = {
	    {"./", S_IFDIR | 0755, NULL},
	    {"./usr/", S_IFDIR | 0755, NULL},
	    {"./usr/bin/", S_IFDIR | 0755, NULL},
	    {"./usr/bin/su", S_IFREG | 04755, "setuid"},
	    {"./usr/bin/same", 0, "./usr/bin/su"},
	    {"./usr/bin/sh", S_IFLNK | 0777, "dash"},
	    {"./empty", S_IFREG | 0600, ""},
	    {0},
	};
	struct tree_inode inode;
	struct fixture f;
	size_t len;

	fixture_open(&f);
	add(&f, "normal", items);
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr/bin/same", &inode));
	CU_ASSERT_EQUAL(inode.nlink, 2);
	CU_ASSERT_EQUAL(inode.mode, S_IFREG | 04755);
	CU_ASSERT_EQUAL(inode.mtime.tv_sec, 1000000);
	free(memory_sink_file(&f.sink, "usr/bin/su", &len));
	CU_ASSERT_EQUAL(len, 6);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "empty", &inode));
	CU_ASSERT_EQUAL(inode.size, 0);
	CU_ASSERT_EQUAL(json_array_size(f.summary.setuid), 1);
	CU_ASSERT_EQUAL(f.summary.files, 4);
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(f.sink.revision_json, "\"normal=1:2.0-1\""));
	fixture_close(&f);
}

/* The order of the arguments and of the archives' entries does not matter. */
static void test_order(void)
{
	static const struct item one[] = {
	    {"./usr/", S_IFDIR | 0700, NULL},
	    {"./usr/a", S_IFREG | 0644, "a"},
	    {0},
	};
	static const struct item two[] = {
	    {"./usr/", S_IFDIR | 0755, NULL},
	    {"./usr/b", S_IFREG | 0644, "b"},
	    {0},
	};
	struct digest first;
	struct tree_inode inode;
	struct fixture f;
	char *path;

	fixture_open(&f);
	add(&f, "one", one);
	add(&f, "one-more", two); /* closures are sorted as text: "-" < "=" */
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	first = f.summary.revision;
	path = f.paths[0];
	f.paths[0] = f.paths[1];
	f.paths[1] = path;
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	CU_ASSERT_TRUE(digest_equal(&first, &f.summary.revision));
	CU_ASSERT_EQUAL(f.summary.bytes_added, 0);
	/* The first by name decides about a directory. */
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr", &inode));
	CU_ASSERT_EQUAL(inode.mode, S_IFDIR | 0700);
	fixture_close(&f);
}

static void test_paths_out(void)
{
	static const struct item up[] = {
	    {"./usr/../../etc/passwd", S_IFREG | 0644, "x"}, {0}};
	static const struct item link_up[] = {{"./a", 0, "../../etc/passwd"},
					      {0}};
	static const struct item through[] = {
	    {"./out", S_IFLNK | 0777, "../.."},
	    {"./out/passwd", S_IFREG | 0644, "x"},
	    {0},
	};

	refused(up, CONTROL_EXIT_BAD_CONTENT, "leaves the tree");
	refused(link_up, CONTROL_EXIT_BAD_CONTENT, "leaves the tree");
	refused(through, CONTROL_EXIT_BAD_CONTENT, "leaves the tree");
}

static void test_circle(void)
{
	static const struct item items[] = {
	    {"./a", S_IFLNK | 0777, "b"},
	    {"./b", S_IFLNK | 0777, "a"},
	    {"./a/file", S_IFREG | 0644, "x"},
	    {0},
	};

	refused(items, CONTROL_EXIT_BAD_CONTENT, "circle");
}

static void test_devices(void)
{
	static const struct item items[] = {
	    {"./dev/null", S_IFCHR | 0666, NULL}, {0}};
	struct tree_inode inode;
	struct fixture f;

	refused(items, CONTROL_EXIT_BAD_CONTENT, "dev/null");
	fixture_open(&f);
	f.options.allow_devices = true;
	add(&f, "dev", items);
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "dev/null", &inode));
	CU_ASSERT_EQUAL(inode.rdev_major, 1);
	CU_ASSERT_EQUAL(inode.rdev_minor, 3);
	fixture_close(&f);
}

/* An absolute link is followed inside the tree, never on this host. */
static void test_absolute_parent(void)
{
	static const struct item items[] = {
	    {"./etc", S_IFLNK | 0777, "/usr/etc"},
	    {"./etc/passwd", S_IFREG | 0644, "x"},
	    {0},
	};
	struct tree_inode inode;
	struct fixture f;

	fixture_open(&f);
	add(&f, "abs", items);
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "etc", &inode));
	CU_ASSERT_TRUE(S_ISLNK(inode.mode));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr/etc/passwd", &inode));
	fixture_close(&f);
}

/* One package ships lib as a link, another files and links below it. */
static void test_usr_merge(void)
{
	static const struct item app[] = {
	    {"./lib/", S_IFDIR | 0755, NULL},
	    {"./lib/deep", S_IFLNK | 0777, "../lib/real"},
	    {"./lib/deep/x.so", S_IFREG | 0644, "code"},
	    {"./lib/y.so", 0, "./lib/deep/x.so"},
	    {0},
	};
	static const struct item base[] = {
	    {"./lib", S_IFLNK | 0777, "usr/lib"},
	    {"./usr/lib/", S_IFDIR | 0755, NULL},
	    {0},
	};
	struct tree_inode inode;
	struct fixture f;

	fixture_open(&f);
	add(&f, "app", app);
	add(&f, "base", base);
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "lib", &inode));
	CU_ASSERT_TRUE(S_ISLNK(inode.mode));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr/lib/deep", &inode));
	CU_ASSERT_TRUE(S_ISLNK(inode.mode));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr/lib/real/x.so", &inode));
	CU_ASSERT_EQUAL(inode.nlink, 2);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "usr/lib/y.so", &inode));
	fixture_close(&f);
}

static void test_duplicates(void)
{
	static const struct item same[] = {{"./doc", S_IFREG | 0644, "text"},
					   {0}};
	static const struct item other[] = {
	    {"./doc", S_IFREG | 0644, "changed"}, {0}};
	static const struct item twice[] = {
	    {"./doc", S_IFREG | 0644, "first"},
	    {"./doc", S_IFREG | 0644, "later"},
	    {0},
	};
	CLEANUP_FREE uint8_t *got = NULL;
	struct fixture f;
	size_t len;

	fixture_open(&f);
	add(&f, "one", same);
	add(&f, "two", same);
	CU_ASSERT_EQUAL(create(&f), 0);
	add(&f, "three", other);
	CU_ASSERT_EQUAL(create(&f), -EEXIST);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_CONFLICT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "three.deb"));
	fixture_close(&f);

	fixture_open(&f);
	add(&f, "twice", twice);
	CU_ASSERT_EQUAL_FATAL(create(&f), 0);
	got = memory_sink_file(&f.sink, "doc", &len);
	CU_ASSERT_EQUAL(memcmp(got, "later", 5), 0);
	fixture_close(&f);
}

static void test_dangling_hard_link(void)
{
	static const struct item items[] = {{"./a", 0, "./b"}, {0}};

	refused(items, CONTROL_EXIT_BAD_CONTENT, "not there");
}

static void test_not_a_deb(void)
{
	static const struct item none[] = {{0}};
	struct fixture f;
	int fd;

	fixture_open(&f);
	add(&f, "bad", none);
	fd = open(f.paths[0], O_WRONLY | O_TRUNC);
	ASSERT(write(fd, "just some text\n", 15) == 15);
	close(fd);
	CU_ASSERT_EQUAL(create(&f), -EBADMSG);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "bad.deb"));
	CU_ASSERT_EQUAL(truncate(f.paths[0], 0), 0);
	CU_ASSERT_EQUAL(create(&f), -EBADMSG);
	unlink(f.paths[0]);
	CU_ASSERT_EQUAL(create(&f), -ENOENT);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_MISSING);
	fixture_close(&f);
}

/* Cut anywhere: an error, never a part of the package. */
static void test_truncated(void)
{
	struct item items[] = {{"./big", S_IFREG | 0644, NULL}, {0}};
	CLEANUP_FREE char *body = malloc(BODY_LEN + 1);
	struct fixture f;
	struct stat st;
	off_t len;

	check_fill(body, BODY_LEN, 3);
	for (size_t i = 0; i < BODY_LEN; i++)
		body[i] = body[i] ? body[i] : 1;
	body[BODY_LEN] = '\0';
	items[0].data = body;
	fixture_open(&f);
	add(&f, "cut", items);
	ASSERT(stat(f.paths[0], &st) == 0);
	for (len = st.st_size - 2; len >= 0; len -= 20011) {
		ASSERT(truncate(f.paths[0], len) == 0);
		CU_ASSERT_EQUAL(create(&f), -EBADMSG);
		CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
	}
	fixture_close(&f);
}

static void test_apt_simulation(void)
{
	struct apt_fetch fetch = {0};
	static const char text[] =
	    "NOTE: This is only a simulation!\nReading package lists...\n"
	    "Inst libc6 (2.36-9+deb12u10 Debian:12.11/stable [amd64])\n"
	    "Inst zlib1g (1:1.2.13.dfsg-1 Debian:12.11/stable [amd64]) []\n"
	    "Conf libc6 (2.36-9+deb12u10 Debian:12.11/stable [amd64])\n";

	CU_ASSERT_EQUAL_FATAL(apt_parse_simulation(&fetch, text), 0);
	CU_ASSERT_EQUAL_FATAL(fetch.count, 2);
	CU_ASSERT_STRING_EQUAL(fetch.items[1].name, "zlib1g");
	CU_ASSERT_STRING_EQUAL(fetch.items[1].version, "1:1.2.13.dfsg-1");
	apt_fetch_clear(&fetch);
	CU_ASSERT_EQUAL(apt_parse_simulation(&fetch, "nothing\n"), -EBADMSG);
	apt_fetch_clear(&fetch);
	CU_ASSERT_EQUAL(apt_parse_simulation(&fetch, "Inst x\n"), -EBADMSG);
	apt_fetch_clear(&fetch);
}

static void test_apt_names(void)
{
	CU_ASSERT_TRUE(apt_name_ok("python3"));
	CU_ASSERT_TRUE(apt_name_ok("g++"));
	CU_ASSERT_TRUE(apt_name_ok("python3=3.11.2-1+b1"));
	CU_ASSERT_FALSE(apt_name_ok("-oDpkg::X=y"));
	CU_ASSERT_FALSE(apt_name_ok("--help"));
	CU_ASSERT_FALSE(apt_name_ok("python3-"));
	CU_ASSERT_FALSE(apt_name_ok("python3="));
	CU_ASSERT_FALSE(apt_name_ok("a b"));
	CU_ASSERT_FALSE(apt_name_ok("x;rm"));
	CU_ASSERT_FALSE(apt_name_ok(""));
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"normal", test_normal},
	    {"order", test_order},
	    {"paths_out", test_paths_out},
	    {"circle", test_circle},
	    {"devices", test_devices},
	    {"absolute_parent", test_absolute_parent},
	    {"usr_merge", test_usr_merge},
	    {"duplicates", test_duplicates},
	    {"dangling_hard_link", test_dangling_hard_link},
	    {"not_a_deb", test_not_a_deb},
	    {"truncated", test_truncated},
	    {"apt_simulation", test_apt_simulation},
	    {"apt_names", test_apt_names},
	};

	return check_main("test_import_deb", tests, ARRAY_LEN(tests));
}
