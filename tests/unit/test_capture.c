/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_capture: comparing an upper directory with a base, without an overlay:
 * what lies in upper is laid there by hand.  Runs as root, for whiteouts.
 */
#include "admin/capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "admin/import_capture.h"
#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/memory_sink.h"
#include "tests/lib/tmpdir.h"

struct fixture {
	char *dir, *upper, *base, *file;
	struct capture_options options;
	struct capture capture;
	struct failure failure;
	struct output out;
};

static char *join(const char *dir, const char *name)
{
	char *path;

	ASSERT(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static void make_dir(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = join(dir, name);

	ASSERT(mkdir(path, 0755) == 0);
}

static void put(const char *dir, const char *name, const char *text)
{
	CLEANUP_FREE char *path = join(dir, name);
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};

	ASSERT(io_replace_file(path, text, strlen(text)) == 0);
	ASSERT(chmod(path, 0644) == 0);
	ASSERT(utimensat(AT_FDCWD, path, old, 0) == 0);
}

static void whiteout(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = join(dir, name);

	ASSERT(mknod(path, S_IFCHR, makedev(0, 0)) == 0);
}

static void fixture_open(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->dir = tmpdir_new();
	make_dir(f->dir, "upper");
	make_dir(f->dir, "base");
	f->upper = join(f->dir, "upper");
	f->base = join(f->dir, "base");
	f->file = join(f->dir, "x.cap");
	f->out.progress = OUTPUT_PROGRESS_NONE;
	f->out.quiet = true;
	f->options = (struct capture_options){
	    .upper = f->upper, .base = f->base, .started = {2000, 0}};
}

static void fixture_close(struct fixture *f)
{
	capture_clear(&f->capture);
	failure_clear(&f->failure);
	free(f->upper);
	free(f->base);
	free(f->file);
	tmpdir_remove(f->dir);
}

static const struct capture_row *row(const struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->capture.count; i++)
		if (strcmp(f->capture.rows[i].path, path) == 0)
			return &f->capture.rows[i];
	return NULL;
}

static char letter(const struct fixture *f, const char *path)
{
	const struct capture_row *found = row(f, path);

	return found ? found->letter : '-';
}

static void compare(struct fixture *f)
{
	CU_ASSERT_EQUAL_FATAL(
	    capture_compare(&f->options, &f->capture, &f->failure), 0);
}

/* --- tests ---------------------------------------------------------------- */

static void test_letters(void)
{
	CLEANUP_FREE char *attr = NULL;
	struct fixture f;

	fixture_open(&f);
	put(f.base, "same", "1");
	put(f.base, "content", "1");
	put(f.base, "mode", "1");
	put(f.base, "gone", "1");
	put(f.base, "type", "1");
	put(f.upper, "same", "1");
	put(f.upper, "content", "2");
	put(f.upper, "mode", "1");
	attr = join(f.upper, "mode");
	ASSERT(chmod(attr, 0600) == 0);
	whiteout(f.upper, "gone");
	make_dir(f.upper, "type");
	put(f.upper, "new", "1");
	compare(&f);
	CU_ASSERT_EQUAL(letter(&f, "same"), '-');
	CU_ASSERT_EQUAL(f.capture.unchanged, 1);
	CU_ASSERT_EQUAL(letter(&f, "content"), 'M');
	CU_ASSERT_EQUAL(letter(&f, "mode"), 'm');
	CU_ASSERT_EQUAL(letter(&f, "gone"), 'D');
	CU_ASSERT_EQUAL(letter(&f, "type"), 'M');
	CU_ASSERT_EQUAL(letter(&f, "new"), 'A');
	fixture_close(&f);
}

/* Directories that were only gone through are there for their children's sake,
 * and not at all without. */
static void test_directories_on_the_way(void)
{
	struct fixture f;

	fixture_open(&f);
	make_dir(f.base, "way");
	make_dir(f.base, "way/deep");
	make_dir(f.base, "nothing");
	make_dir(f.upper, "way");
	make_dir(f.upper, "way/deep");
	put(f.upper, "way/deep/new", "1");
	make_dir(f.upper, "nothing");
	compare(&f);
	CU_ASSERT_EQUAL(letter(&f, "way"), '.');
	CU_ASSERT_EQUAL(letter(&f, "way/deep"), '.');
	CU_ASSERT_EQUAL(letter(&f, "nothing"), '-');
	CU_ASSERT_EQUAL(f.capture.count, 3);
	fixture_close(&f);
}

static void test_opaque(void)
{
	CLEANUP_FREE char *dir = NULL;
	struct fixture f;

	fixture_open(&f);
	make_dir(f.base, "d");
	put(f.base, "d/old", "1");
	put(f.base, "d/both", "1");
	make_dir(f.upper, "d");
	put(f.upper, "d/both", "1");
	dir = join(f.upper, "d");
	if (setxattr(dir, "trusted.overlay.opaque", "y", 1, 0) < 0) {
		puts("# no trusted xattrs here: not run");
		fixture_close(&f);
		return;
	}
	compare(&f);
	CU_ASSERT_TRUE(row(&f, "d")->opaque);
	CU_ASSERT_EQUAL(letter(&f, "d/old"), 'D');
	CU_ASSERT_EQUAL(letter(&f, "d/both"), '-');
	fixture_close(&f);
}

static void test_patterns(void)
{
	CU_ASSERT_TRUE(capture_match("var/log/**", "var/log/a"));
	CU_ASSERT_TRUE(capture_match("var/log/**", "var/log/a/b"));
	CU_ASSERT_FALSE(capture_match("var/log/**", "var/logs"));
	CU_ASSERT_TRUE(capture_match("etc/*-", "etc/passwd-"));
	CU_ASSERT_FALSE(capture_match("etc/*-", "etc/a/passwd-"));
	CU_ASSERT_TRUE(capture_match("**/x", "a/b/x"));
	CU_ASSERT_TRUE(capture_match("**/x", "x"));
	CU_ASSERT_FALSE(capture_match("**/x", "ax/y"));
	CU_ASSERT_TRUE(capture_match("a?c", "abc"));
	CU_ASSERT_FALSE(capture_match("a?c", "a/c"));
	CU_ASSERT_FALSE(capture_match("abc", "ab"));
	CU_ASSERT_FALSE(capture_match("ab", "abc"));
}

static void test_noise(void)
{
	static const char *const keep[] = {"var/log/keep", NULL};
	static const char *const leave[] = {"opt/junk/**", NULL};
	struct fixture f;

	fixture_open(&f);
	f.options.keep = keep;
	f.options.leave = leave;
	CU_ASSERT_PTR_NULL(capture_noise(&f.options, "var/log/keep"));
	CU_ASSERT_PTR_NOT_NULL(capture_noise(&f.options, "var/log/other"));
	CU_ASSERT_PTR_NOT_NULL(capture_noise(&f.options, "opt/junk/a"));
	CU_ASSERT_PTR_NULL(capture_noise(&f.options, "opt/good"));
	fixture_close(&f);
}

/* Written and read again: deletions, times, hard links, what is left out. */
static void test_round_trip(void)
{
	static const char *const exclude[] = {"not/**", NULL};
	struct import_options options = {0};
	struct import_summary summary = {0};
	CLEANUP_FREE char *a = NULL;
	CLEANUP_FREE char *b = NULL;
	struct memory_sink memory = {0};
	struct import_sink sink = memory_sink(&memory);
	struct tree_inode inode;
	struct import *import;
	json_t *head = json_object(), *got;
	uint64_t left_out;
	struct fixture f;

	fixture_open(&f);
	put(f.base, "gone", "1");
	whiteout(f.upper, "gone");
	put(f.upper, "file", "text");
	a = join(f.upper, "file");
	b = join(f.upper, "linked");
	ASSERT(link(a, b) == 0);
	make_dir(f.upper, "not"); /* made now: gets the newest time, 1000 */
	put(f.upper, "not/this", "1");
	compare(&f);
	CU_ASSERT_EQUAL_FATAL(capture_write(f.file, &f.options, &f.capture,
					    head, &f.out, &f.failure),
			      0);
	json_decref(head);
	CU_ASSERT_TRUE(capture_is(f.file));
	import = import_new(&sink, &options, &f.out, &f.failure);
	CU_ASSERT_EQUAL_FATAL(import_capture(import, f.file, exclude, &left_out,
					     &got, &f.failure),
			      0);
	CU_ASSERT_EQUAL(left_out, 1);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(got, "changes")), 5);
	json_decref(got);
	CU_ASSERT_EQUAL_FATAL(
	    import_finish(import, "x", "1", "1", NULL, &summary), 0);
	import_free(import);
	CU_ASSERT_TRUE(memory_sink_stat(&memory, "linked", &inode));
	CU_ASSERT_EQUAL(inode.nlink, 2);
	CU_ASSERT_TRUE(memory_sink_stat(&memory, "not", &inode));
	CU_ASSERT_EQUAL(inode.mtime.tv_sec, 1000);
	CU_ASSERT_FALSE(memory_sink_stat(&memory, "not/this", &inode));
	CU_ASSERT_EQUAL(tree_entry_count(memory.tree), 4); /* gone, too */
	import_summary_clear(&summary);
	memory_sink_clear(&memory);
	fixture_close(&f);
}

/* --- extended attributes -------------------------------------------------- */

enum { TEST_ATTRS = 120, TEST_NAME_LEN = 64, TEST_VALUE_LEN = 60000 };

static char *attr_name(unsigned int i)
{
	char *name;

	ASSERT(asprintf(&name, "user.%03u%0*d", i, TEST_NAME_LEN - 8, 0) > 0);
	return name;
}

/* false: this file system has no room for them. */
static bool give_attrs(const struct fixture *f, const char *file,
		       unsigned int count, size_t len)
{
	CLEANUP_FREE char *path = join(f->upper, file);
	CLEANUP_FREE uint8_t *value = calloc(1, len + 1);
	bool given = true;

	ASSERT(value);
	for (unsigned int i = 0; given && i < count; i++) {
		CLEANUP_FREE char *name = attr_name(i);

		value[0] = (uint8_t)i;
		given = setxattr(path, name, value, len, 0) == 0;
	}
	return given;
}

/* Where a file can have more than the 4 KiB of an inode and a block. */
static bool fixture_open_for_attrs(struct fixture *f)
{
	static const char *const places[] = {"/var/tmp", "/dev/shm"};
	bool found = false;

	for (size_t i = 0; !found && i < ARRAY_LEN(places); i++) {
		setenv("TMPDIR", places[i], 1);
		fixture_open(f);
		put(f->upper, "many", "1");
		found = give_attrs(f, "many", TEST_ATTRS, 1);
		if (!found)
			fixture_close(f);
	}
	unsetenv("TMPDIR");
	if (!found)
		puts("# no file system for many attributes here: not run");
	return found;
}

/* User 1000 may read it, beside its owner and group. */
static void give_acl(const struct fixture *f, const char *file)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, bits;
			uint32_t id;
		} entry[5];
	} acl = {2,
		 {{1, 6, UINT32_MAX},
		  {2, 4, 1000},
		  {4, 4, UINT32_MAX},
		  {16, 4, UINT32_MAX},
		  {32, 0, UINT32_MAX}}};
	CLEANUP_FREE char *path = join(f->upper, file);

	ASSERT(setxattr(path, "system.posix_acl_access", &acl, sizeof(acl),
			0) == 0);
}

/* Captured, and made a package of; what was warned of goes to `warned`. */
static void capture_and_import(struct fixture *f, struct memory_sink *memory,
			       FILE *warned)
{
	struct import_sink sink = memory_sink(memory);
	struct import_options options = {0};
	struct import_summary summary = {0};
	json_t *head = json_object(), *got;
	struct import *import;
	uint64_t left_out;
	int saved = dup(STDERR_FILENO);

	compare(f);
	f->out.quiet = false;
	dup2(fileno(warned), STDERR_FILENO);
	CU_ASSERT_EQUAL_FATAL(capture_write(f->file, &f->options, &f->capture,
					    head, &f->out, &f->failure),
			      0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	f->out.quiet = true;
	json_decref(head);
	import = import_new(&sink, &options, &f->out, &f->failure);
	CU_ASSERT_EQUAL_FATAL(
	    import_capture(import, f->file, NULL, &left_out, &got, &f->failure),
	    0);
	json_decref(got);
	CU_ASSERT_EQUAL_FATAL(
	    import_finish(import, "x", "1", "1", NULL, &summary), 0);
	import_free(import);
	import_summary_clear(&summary);
}

/* How many user attributes it has, the n-th with a value that begins with n;
 * *acl: it has one. */
static unsigned int attrs_of(const struct memory_sink *memory, const char *path,
			     size_t len, bool *acl)
{
	struct tree_xattr xattr;
	uint32_t inode, pos = 0;
	unsigned int count = 0, number;

	*acl = false;
	ASSERT(tree_find_path(memory->tree, path, &inode) == 0);
	while (tree_xattr_next(memory->tree, inode, &pos, &xattr)) {
		if (strncmp(xattr.name, "user.", 5) != 0) {
			*acl = true;
			continue;
		}
		CU_ASSERT_EQUAL(xattr.value_len, len);
		number = 0;
		CU_ASSERT_EQUAL(sscanf(xattr.name, "user.%3u", &number), 1);
		CU_ASSERT_EQUAL(*(const uint8_t *)xattr.value, (uint8_t)number);
		count++;
	}
	return count;
}

static unsigned int lines_with(FILE *file, const char *begin)
{
	unsigned int count = 0;
	char line[512];

	rewind(file);
	while (fgets(line, sizeof(line), file))
		count += strncmp(line, begin, strlen(begin)) == 0;
	return count;
}

/* However many a file has (the list of their names was cut at 4 KiB, and then
 * none was kept); and of those that no package or archive can hold each is
 * said, and whose it is. */
static void test_many_attributes(void)
{
	struct memory_sink memory = {0};
	FILE *warned = tmpfile();
	unsigned int count;
	struct fixture f;
	bool acl;

	if (!fixture_open_for_attrs(&f))
		return;
	give_acl(&f, "many");
	put(f.upper, "more", "1");
	ASSERT(give_attrs(&f, "more", TREE_XATTR_MAX + 44, 1));
	put(f.upper, "large", "1");
	ASSERT(give_attrs(&f, "large", 20, TEST_VALUE_LEN));
	capture_and_import(&f, &memory, warned);
	CU_ASSERT_EQUAL(attrs_of(&memory, "many", 1, &acl), TEST_ATTRS);
	CU_ASSERT_TRUE(acl);
	CU_ASSERT_EQUAL(lines_with(warned, "warning: many:"), 0);
	CU_ASSERT_EQUAL(attrs_of(&memory, "more", 1, &acl), TREE_XATTR_MAX);
	CU_ASSERT_EQUAL(lines_with(warned, "warning: more: user."), 44);
	count = attrs_of(&memory, "large", TEST_VALUE_LEN, &acl);
	CU_ASSERT_TRUE(count >= 7 && count < 20);
	CU_ASSERT_EQUAL(lines_with(warned, "warning: large: user."),
			20 - count);
	fclose(warned);
	memory_sink_clear(&memory);
	fixture_close(&f);
}

/* What an installer allows a program of the base to do (setcap), or takes from
 * it, is a change. */
static void test_attributes_alone(void)
{
	static const char *const names[] = {"same", "given", "taken",
					    "another"};
	struct fixture f;

	if (!fixture_open_for_attrs(&f))
		return;
	make_dir(f.base, "dir");
	make_dir(f.upper, "dir");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP_FREE char *base = join(f.base, names[i]);
		CLEANUP_FREE char *upper = join(f.upper, names[i]);

		put(f.base, names[i], "1");
		put(f.upper, names[i], "1");
		ASSERT(i == 1 || setxattr(base, "user.a", "1", 1, 0) == 0);
		ASSERT(i == 2 || setxattr(upper, "user.a", i == 3 ? "2" : "1",
					  1, 0) == 0);
	}
	compare(&f);
	CU_ASSERT_EQUAL(letter(&f, "same"), '-');
	CU_ASSERT_EQUAL(letter(&f, "given"), 'm');
	CU_ASSERT_EQUAL(letter(&f, "taken"), 'm');
	CU_ASSERT_EQUAL(letter(&f, "another"), 'm');
	CU_ASSERT_EQUAL(letter(&f, "dir"), '-');
	fixture_close(&f);
}

/* An installer that puts a link where a fact is read must not be shown, as a
 * fact, what the link leads to on this host. */
static void test_links_are_no_facts(void)
{
	static const char *const names[] = {"etc/passwd", "etc/environment",
					    "etc/ld.so.conf"};
	CLEANUP_FREE char *secret = NULL;
	struct fixture f;

	fixture_open(&f);
	put(f.dir, "secret", "SECRET=of-the-host\n");
	secret = join(f.dir, "secret");
	make_dir(f.upper, "etc");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP_FREE char *at = join(f.upper, names[i]);

		ASSERT(symlink(secret, at) == 0);
	}
	compare(&f);
	CU_ASSERT_EQUAL(letter(&f, "etc/passwd"), 'A');
	CU_ASSERT_EQUAL(json_object_size(f.capture.records), 0);
	fixture_close(&f);
}

/* What a socket was is gone with the program that made it. */
static void test_sockets_are_left_out(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	json_t *head = json_object();
	struct fixture f;

	fixture_open(&f);
	put(f.upper, "file", "text");
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/agent", f.upper);
	ASSERT(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	compare(&f);
	CU_ASSERT_EQUAL(letter(&f, "file"), 'A');
	CU_ASSERT_EQUAL(letter(&f, "agent"), '-');
	CU_ASSERT_EQUAL(capture_write(f.file, &f.options, &f.capture, head,
				      &f.out, &f.failure),
			0);
	json_decref(head);
	fixture_close(&f);
}

static void test_no_capture(void)
{
	struct fixture f;
	json_t *head;

	fixture_open(&f);
	CU_ASSERT_FALSE(capture_is(f.file));
	put(f.dir, "x.cap", "no capture");
	CU_ASSERT_FALSE(capture_is(f.file));
	CU_ASSERT_EQUAL(capture_read_head(f.file, &head, &f.failure), -EBADMSG);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, f.file));
	fixture_close(&f);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"letters", test_letters},
	    {"directories on the way", test_directories_on_the_way},
	    {"opaque", test_opaque},
	    {"patterns", test_patterns},
	    {"noise", test_noise},
	    {"round trip", test_round_trip},
	    {"many extended attributes", test_many_attributes},
	    {"changes of extended attributes", test_attributes_alone},
	    {"links are no facts", test_links_are_no_facts},
	    {"sockets are left out", test_sockets_are_left_out},
	    {"no capture", test_no_capture},
	};

	return check_main("test_capture", tests, ARRAY_LEN(tests));
}
