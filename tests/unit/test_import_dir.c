/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_import_dir: a directory of every kind of object goes in and comes out.
 */
#include "admin/import_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/lib/check.h"
#include "tests/lib/memory_sink.h"
#include "tests/lib/tmpdir.h"

enum { BIG_LEN = 3 * 1000 * 1000 + 7, SPARSE_LEN = 4 << 20 };

struct fixture {
	struct memory_sink sink;
	struct failure failure;
	struct output out;
	struct import_options options;
	struct import_summary summary;
	struct import_dir_result result;
	bool keep_going;
};

static int create(struct fixture *f, const char *dir)
{
	struct import_sink sink = memory_sink(&f->sink);
	struct import *import;
	int rc;

	f->out.progress = OUTPUT_PROGRESS_NONE;
	f->out.quiet = true;
	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
	import = import_new(&sink, &f->options, &f->out, &f->failure);
	CU_ASSERT_PTR_NOT_NULL_FATAL(import);
	rc = import_dir(import, dir, f->keep_going, &f->out, &f->failure,
			&f->result);
	if (rc == 0)
		rc =
		    import_finish(import, "stage", "1", "1", NULL, &f->summary);
	import_free(import);
	return rc;
}

static void fixture_clear(struct fixture *f)
{
	memory_sink_clear(&f->sink);
	import_summary_clear(&f->summary);
	failure_clear(&f->failure);
}

static void put_file(const char *dir, const char *name, const void *data,
		     size_t len, mode_t mode)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, name);
	CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	ASSERT(fchmod(fd, mode) == 0);
}

static void put_dir(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, name);

	ASSERT(mkdir(path, 0755) == 0);
}

static void put_link(const char *dir, const char *old, const char *name)
{
	CLEANUP_FREE char *from = tmpdir_path(dir, old);
	CLEANUP_FREE char *to = tmpdir_path(dir, name);

	ASSERT(link(from, to) == 0);
}

static void put_symlink(const char *dir, const char *target, const char *name)
{
	CLEANUP_FREE char *path = tmpdir_path(dir, name);

	ASSERT(symlink(target, path) == 0);
}

static void test_kinds(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};
	CLEANUP_FREE char *fifo = tmpdir_path(dir, "fifo");
	struct tree_inode a, b;
	size_t len;

	put_dir(dir, "bin");
	put_file(dir, "bin/tool", "#!/bin/sh\n", 10, 04755);
	put_link(dir, "bin/tool", "bin/same");
	put_symlink(dir, "../nowhere", "bin/dangling");
	put_file(dir, "empty", "", 0, 0600);
	ASSERT(mkfifo(fifo, 0644) == 0);
	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);

	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "bin/tool", &a));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "bin/same", &b));
	CU_ASSERT_EQUAL(a.nlink, 2);
	CU_ASSERT_EQUAL(a.mode, S_IFREG | 04755);
	CU_ASSERT_EQUAL(a.uid, geteuid());
	CU_ASSERT_EQUAL(a.id, b.id);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "empty", &a));
	CU_ASSERT_EQUAL(a.size, 0);
	CU_ASSERT_EQUAL(a.count, 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "bin/dangling", &a));
	CU_ASSERT_TRUE(S_ISLNK(a.mode));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "fifo", &a));
	CU_ASSERT_TRUE(S_ISFIFO(a.mode));
	free(memory_sink_file(&f.sink, "bin/same", &len));
	CU_ASSERT_EQUAL(len, 10);

	CU_ASSERT_EQUAL(f.summary.files, 4);
	CU_ASSERT_EQUAL(f.summary.bytes, 10);
	CU_ASSERT_EQUAL(f.summary.shards, 1);
	CU_ASSERT_EQUAL(json_array_size(f.summary.setuid), 1);
	CU_ASSERT_TRUE(f.summary.created);
}

/* Content comes back, in chunks; a second time nothing is sent. */
static void test_big_and_again(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};
	CLEANUP_FREE uint8_t *data = malloc(BIG_LEN);
	CLEANUP_FREE uint8_t *got = NULL;
	struct digest first;
	size_t len;

	check_fill(data, BIG_LEN, 1);
	put_file(dir, "big", data, BIG_LEN, 0644);
	put_file(dir, "copy", data, BIG_LEN, 0644);
	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);
	got = memory_sink_file(&f.sink, "copy", &len);
	CU_ASSERT_EQUAL_FATAL(len, BIG_LEN);
	CU_ASSERT_EQUAL(memcmp(got, data, len), 0);
	CU_ASSERT_EQUAL(f.summary.shards, f.summary.shards_new);
	CU_ASSERT_EQUAL(f.summary.shards, f.sink.shard_count);
	CU_ASSERT_TRUE(f.summary.shards > BIG_LEN / (128 << 10));
	CU_ASSERT_TRUE(f.summary.bytes_added > BIG_LEN);
	first = f.summary.tree;

	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);
	CU_ASSERT_EQUAL(f.summary.bytes_added, 0);
	CU_ASSERT_EQUAL(f.summary.shards_new, 0);
	CU_ASSERT_TRUE(digest_equal(&first, &f.summary.tree));
}

/* A sparse file and its plain copy give the same tree. */
static void test_sparse(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(tmpdir_cleanup) char *plain = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};
	CLEANUP_FREE uint8_t *zeros = calloc(1, SPARSE_LEN);
	CLEANUP_FREE char *path = tmpdir_path(dir, "f");
	CLEANUP_FREE char *path_plain = tmpdir_path(plain, "f");
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct digest first;

	put_file(dir, "f", "", 0, 0644);
	ASSERT(truncate(path, SPARSE_LEN) == 0);
	put_file(plain, "f", zeros, SPARSE_LEN, 0644);
	ASSERT(utimensat(AT_FDCWD, path, times, 0) == 0);
	ASSERT(utimensat(AT_FDCWD, path_plain, times, 0) == 0);
	ASSERT(utimensat(AT_FDCWD, dir, times, 0) == 0);
	ASSERT(utimensat(AT_FDCWD, plain, times, 0) == 0);
	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);
	CU_ASSERT_EQUAL(f.summary.shards, 0);
	CU_ASSERT_EQUAL(f.summary.bytes, SPARSE_LEN);
	first = f.summary.tree;
	CU_ASSERT_EQUAL_FATAL(create(&f, plain), 0);
	CU_ASSERT_TRUE(digest_equal(&first, &f.summary.tree));
}

static void test_socket_left_out(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct tree_inode inode;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	ASSERT(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CU_ASSERT_EQUAL(create(&f, dir), 0);
	CU_ASSERT_FALSE(memory_sink_stat(&f.sink, "s", &inode));
}

static void test_device_refused(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};
	CLEANUP_FREE char *path = tmpdir_path(dir, "null");
	struct tree_inode inode;

	if (mknod(path, S_IFCHR | 0666, (1 << 8) | 3) < 0)
		return; /* not root */
	CU_ASSERT_EQUAL(create(&f, dir), -EBADMSG);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "null"));
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.hint, "--devices"));
	f.options.allow_devices = true;
	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "null", &inode));
	CU_ASSERT_EQUAL(inode.rdev_major, 1);
	CU_ASSERT_EQUAL(inode.rdev_minor, 3);
}

/* Root may read all: then the test is of a child that is nobody. */
static void unreadable_as_nobody(const char *dir)
{
	struct fixture f = {.keep_going = false};
	struct tree_inode inode;

	CU_ASSERT_EQUAL(create(&f, dir), -EACCES);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_FAILED);
	CU_ASSERT_EQUAL(json_array_size(f.failure.details), 2);
	CU_ASSERT_EQUAL(f.sink.put_calls, 0);
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
	f.keep_going = true;
	CU_ASSERT_EQUAL(create(&f, dir), 0);
	CU_ASSERT_EQUAL(f.result.left_out, 2);
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "open", &inode));
	CU_ASSERT_FALSE(memory_sink_stat(&f.sink, "secret", &inode));
	CU_ASSERT_TRUE(memory_sink_stat(&f.sink, "closed", &inode));
	fixture_clear(&f);
}

static void test_unreadable(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *closed = tmpdir_path(dir, "closed");
	bool is_root = geteuid() == 0;

	put_file(dir, "open", "x", 1, 0644);
	put_file(dir, "secret", "y", 1, 0000);
	put_dir(dir, "closed");
	put_file(dir, "closed/inner", "z", 1, 0644);
	ASSERT(chmod(closed, 0) == 0);
	ASSERT(chmod(dir, 0755) == 0);
	if (is_root)
		ASSERT(seteuid(65534) == 0);
	unreadable_as_nobody(dir);
	if (is_root)
		ASSERT(seteuid(0) == 0);
	ASSERT(chmod(closed, 0755) == 0);
}

static void test_dry_run(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.options.dry_run = true};

	put_file(dir, "f", "content", 7, 0644);
	CU_ASSERT_EQUAL_FATAL(create(&f, dir), 0);
	CU_ASSERT_EQUAL(f.summary.shards_new, 1);
	CU_ASSERT_TRUE(f.summary.bytes_added > 7);
	CU_ASSERT_EQUAL(f.sink.put_calls, 0);
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
}

static void test_failed_put(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP(fixture_clear) struct fixture f = {.sink.fail_put = 1};

	put_file(dir, "f", "content", 7, 0644);
	CU_ASSERT_EQUAL(create(&f, dir), -ENOSPC);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_NO_SPACE);
	CU_ASSERT_EQUAL(f.sink.commit_calls, 0);
}

static void test_no_such_directory(void)
{
	CLEANUP(fixture_clear) struct fixture f = {.keep_going = false};

	CU_ASSERT_EQUAL(create(&f, "/nonexistent/stage"), -ENOENT);
	CU_ASSERT_EQUAL(f.failure.code, CONTROL_EXIT_MISSING);
	CU_ASSERT_PTR_NOT_NULL(strstr(f.failure.message, "/nonexistent/stage"));
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"kinds", test_kinds},
	    {"big_and_again", test_big_and_again},
	    {"sparse", test_sparse},
	    {"socket_left_out", test_socket_left_out},
	    {"device_refused", test_device_refused},
	    {"unreadable", test_unreadable},
	    {"dry_run", test_dry_run},
	    {"failed_put", test_failed_put},
	    {"no_such_directory", test_no_such_directory},
	};

	return check_main("test_import_dir", tests, ARRAY_LEN(tests));
}
