/* SPDX-License-Identifier: Apache-2.0 */
/* test_view_read: a guest that changes nothing sees its packages. */
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum {
	TEST_BIG_LEN = 3 * 1000 * 1000 + 17,
	TEST_TOOL_LEN = 100123,
	TEST_HOLE_LEN = 5000,
};

static const struct fixture_entry test_entries[] = {
    {"bin/tool", S_IFREG | 0755, .len = TEST_TOOL_LEN, .seed = 1},
    {"bin/tool2", 0, .link_to = "bin/tool"},
    {"lib/big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 2},
    {"lib/empty", S_IFREG | 0600, .uid = 1000, .gid = 1000},
    {"lib/sparse", S_IFREG | 0644, .len = TEST_HOLE_LEN, .seed = 3,
     .hole = 300000},
    {"lib/only_hole", S_IFREG | 0644, .hole = 200000},
    {"lib/link", S_IFLNK | 0777, .text = "../bin/tool"},
    {"lib/fifo", S_IFIFO | 0644, .len = 0},
    {"secret", S_IFDIR | 0700, .uid = 1000, .gid = 1000},
    {"secret/file", S_IFREG | 0640, .text = "hidden", .uid = 1000, .gid = 2000},
    {"exec_only", S_IFREG | 0711, .text = "#!/bin/sh\n", .uid = 5},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "tools", test_entries, ARRAY_LEN(test_entries));
}

static void test_read_lookup(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_object bin = fixture_find(view, "bin");
	struct view_attr attr, dir_attr;

	CU_ASSERT_EQUAL(fixture_walk(view, "bin/tool", &attr), 0);
	CU_ASSERT_EQUAL(attr.mode, S_IFREG | 0755);
	CU_ASSERT_EQUAL(attr.size, TEST_TOOL_LEN);
	CU_ASSERT_EQUAL(attr.nlink, 2);
	CU_ASSERT_EQUAL(attr.generation, 0);
	CU_ASSERT_EQUAL(attr.mtime.tv_sec, 1000000001);
	CU_ASSERT_EQUAL(attr.mtime.tv_nsec, 5);
	CU_ASSERT_EQUAL(fixture_attr(view, "bin/tool2").fileid, attr.fileid);
	CU_ASSERT_EQUAL(fixture_walk(view, "bin/none", &attr), -ENOENT);
	CU_ASSERT_EQUAL(fixture_walk(view, "bin/tool/x", &attr), -ENOTDIR);
	CU_ASSERT_EQUAL(fixture_attr(view, "bin/.").fileid, bin.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "bin/..").fileid, root.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "..").fileid, root.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "").nlink, 5);

	/* The directory's attributes come with a miss too. */
	dir_attr.fileid = 0;
	CU_ASSERT_EQUAL(
	    view_lookup(view, &fixture_root, bin, "none", 4, &attr, &dir_attr),
	    -ENOENT);
	CU_ASSERT_EQUAL(dir_attr.fileid, bin.fileid);
	CU_ASSERT_EQUAL(
	    view_lookup(view, &fixture_root, bin, "a/b", 3, &attr, &dir_attr),
	    -EINVAL);
	CU_ASSERT_EQUAL(
	    view_lookup(view, &fixture_root, bin, "", 0, &attr, &dir_attr),
	    -EINVAL);
	fixture_close(&fx);
}

/* Handles that name nothing (rule N-15). */
static void test_read_stale(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object tool = fixture_find(view, "bin/tool");
	struct view_object bad[] = {
	    {0, 0},
	    {tool.fileid, 1},
	    {tool.fileid + 1, 0},
	    {tool.fileid | UINT64_C(1) << 63, 0},
	    {UINT64_MAX, UINT32_MAX},
	};
	struct view_attr attr;
	size_t len = 1;
	char buf[1];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT_EQUAL(view_getattr(view, bad[i], &attr), -ESTALE);
		CU_ASSERT_EQUAL(
		    fixture_lookup(view, &fixture_root, bad[i], "x", &attr),
		    -ESTALE);
		CU_ASSERT_EQUAL(fixture_read(view, &fixture_root, bad[i], 0,
					     buf, &len, NULL),
				-ESTALE);
		CU_ASSERT_EQUAL(fixture_commit(view, bad[i]), -ESTALE);
	}
	fixture_close(&fx);
}

static void test_read_permissions(void)
{
	struct view_attr attr = {.mode = S_IFREG | 0640, .uid = 5, .gid = 2001};
	const struct view_cred owner = {.uid = 5, .gid = 9};

	CU_ASSERT_EQUAL(view_permissions(&attr, &owner),
			VIEW_MAY_READ | VIEW_MAY_WRITE);
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_user), VIEW_MAY_READ);
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_other), 0);
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_root),
			VIEW_MAY_READ | VIEW_MAY_WRITE);
	attr.mode = S_IFREG | 0001;
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_root), 7);
	CU_ASSERT_EQUAL(view_permissions(&attr, &owner), 0);
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_other), VIEW_MAY_EXEC);
	attr.mode = S_IFDIR;
	CU_ASSERT_EQUAL(view_permissions(&attr, &fixture_root), 7);
}

static void test_read_access(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object secret = fixture_find(view, "secret");
	struct view_object file = fixture_find(view, "secret/file");
	struct view_object exec = fixture_find(view, "exec_only");
	CLEANUP(fixture_list_clear) struct fixture_list list = {0};
	struct view_attr attr;
	size_t len = 6;
	char buf[16];

	CU_ASSERT_EQUAL(
	    fixture_lookup(view, &fixture_other, secret, "file", &attr),
	    -EACCES);
	CU_ASSERT_EQUAL(
	    fixture_lookup(view, &fixture_user, secret, "file", &attr), 0);
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_other, secret, 0, &list),
			-EACCES);
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_user, secret, 0, &list), 0);
	CU_ASSERT_EQUAL(
	    fixture_read(view, &fixture_other, file, 0, buf, &len, NULL),
	    -EACCES);
	CU_ASSERT_EQUAL(
	    fixture_read(view, &fixture_user, file, 0, buf, &len, NULL), 0);
	/* Who may execute may read: there is no OPEN (rule N-39). */
	len = 10;
	CU_ASSERT_EQUAL(
	    fixture_read(view, &fixture_other, exec, 0, buf, &len, NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_other, exec, 0, "x", 1, true, NULL),
	    -EACCES);
	fixture_close(&fx);
}

static void test_read_whole(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);

	/* Twice: cold or warm, then hot. */
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(fixture_content_filled(
		    view, fixture_find(view, "bin/tool"), TEST_TOOL_LEN, 1));
		CU_ASSERT_TRUE(fixture_content_filled(
		    view, fixture_find(view, "lib/big"), TEST_BIG_LEN, 2));
		CU_ASSERT_TRUE(fixture_content_is(
		    view, fixture_find(view, "lib/empty"), "", 0));
		fixture_restart(&fx, true);
		view = fixture_view(&fx, "/red/vm1");
	}
	fixture_close(&fx);
}

static void test_read_holes(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	uint8_t *want = calloc(1, TEST_HOLE_LEN + 300000);

	CU_ASSERT_PTR_NOT_NULL_FATAL(want);
	CU_ASSERT_TRUE(fixture_content_is(
	    view, fixture_find(view, "lib/only_hole"), want, 200000));
	check_fill(want, TEST_HOLE_LEN, 3);
	CU_ASSERT_TRUE(fixture_content_is(view,
					  fixture_find(view, "lib/sparse"),
					  want, TEST_HOLE_LEN + 300000));
	free(want);
	fixture_close(&fx);
}

/* Ranges at every kind of edge, and the truth about eof. */
static void test_read_ranges(void)
{
	static const uint64_t offs[] = {0,     1,     39999, 40000,
					40001, 79999, 99999, 100122};
	static const size_t lens[] = {0, 1, 2, 4096, 40000, 40001, 90000};
	CLEANUP_FREE uint8_t *want = malloc(TEST_TOOL_LEN);
	CLEANUP_FREE uint8_t *buf = malloc(TEST_TOOL_LEN);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object tool = fixture_find(view, "bin/tool");
	bool eof;

	check_fill(want, TEST_TOOL_LEN, 1);
	for (size_t o = 0; o < ARRAY_LEN(offs); o++)
		for (size_t l = 0; l < ARRAY_LEN(lens); l++) {
			size_t len = lens[l];
			size_t end = MIN(offs[o] + len, TEST_TOOL_LEN);

			CU_ASSERT_EQUAL(fixture_read(view, &fixture_user, tool,
						     offs[o], buf, &len, &eof),
					0);
			CU_ASSERT_EQUAL(len, end - offs[o]);
			CU_ASSERT_EQUAL(eof, end == TEST_TOOL_LEN);
			CU_ASSERT_EQUAL(memcmp(buf, want + offs[o], len), 0);
		}
	fixture_close(&fx);
}

/* Beyond the end: nothing, and eof, also where sums would overflow. */
static void test_read_beyond(void)
{
	static const uint64_t offs[] = {
	    TEST_TOOL_LEN,          TEST_TOOL_LEN + 1,  UINT64_C(1) << 40,
	    VIEW_FILE_SIZE_MAX - 1, VIEW_FILE_SIZE_MAX, VIEW_FILE_SIZE_MAX + 1,
	    UINT64_MAX - 5};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object tool = fixture_find(view, "bin/tool");

	for (size_t o = 0; o < ARRAY_LEN(offs); o++) {
		size_t len = 100;
		uint8_t buf[100];
		bool eof = false;

		CU_ASSERT_EQUAL(fixture_read(view, &fixture_root, tool, offs[o],
					     buf, &len, &eof),
				0);
		CU_ASSERT_EQUAL(len, 0);
		CU_ASSERT_TRUE(eof);
	}
	fixture_close(&fx);
}

/* A hot READ copies nothing: two of them see the same memory. */
static void test_read_zero_copy(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object big = fixture_find(view, "lib/big");
	struct fixture_call a, b;
	struct view_read ra, rb;
	int rc;

	fixture_call_init(&a);
	fixture_call_init(&b);
	do
		rc = view_read(view, &fixture_root, big, 10, VIEW_IO_MAX,
			       &a.wait, &ra);
	while (rc == -EINPROGRESS && fixture_call_woken(&a));
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_TRUE(a.waits <= 1);
	CU_ASSERT_EQUAL(ra.len, VIEW_IO_MAX);
	CU_ASSERT_EQUAL(ra.iov_count, (10 + VIEW_IO_MAX + 39999) / 40000);
	CU_ASSERT_PTR_NULL(ra.buf);
	CU_ASSERT_FALSE(ra.eof);
	rc = view_read(view, &fixture_root, big, 0, VIEW_IO_MAX, &b.wait, &rb);
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_PTR_EQUAL((uint8_t *)rb.iov[0].iov_base + 10,
			    ra.iov[0].iov_base);
	view_read_release(&ra, &a.wait);
	view_read_release(&rb, &b.wait);
	fixture_call_end(&a);
	fixture_call_end(&b);
	fixture_close(&fx);
}

/* A package of very small chunks, which no good tool makes: reads come out
 * shorter, nothing falls over. */
static void test_read_small_chunks(void)
{
	static const struct fixture_entry entries[] = {
	    {"f", S_IFREG | 0644, .len = 30000, .seed = 9},
	};
	struct package_info info;
	struct fixture fx;
	struct view *view;
	struct view_object f;

	fixture_open(&fx);
	fx.chunk_len = 100;
	fixture_package(&fx, "tiny", "1", entries, 1, &info);
	view = fixture_guest(&fx, &info, 1);
	f = fixture_find(view, "f");
	CU_ASSERT_TRUE(fixture_content_filled(view, f, 30000, 9));
	/* A write into it needs one page of 41 chunks. */
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 5000, "x", 1, true, NULL), 0);
	CU_ASSERT_EQUAL(fixture_attr(view, "f").size, 30000);
	fixture_close(&fx);
}

static void test_read_types(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	char buf[VIEW_SYMLINK_MAX];
	struct view_attr attr;
	size_t len;

	CU_ASSERT_EQUAL(view_readlink(view, fixture_find(view, "lib/link"), buf,
				      &len, &attr),
			0);
	CU_ASSERT_EQUAL(len, 11);
	CU_ASSERT_EQUAL(memcmp(buf, "../bin/tool", 11), 0);
	CU_ASSERT_EQUAL(attr.size, 11);
	CU_ASSERT_EQUAL(
	    view_readlink(view, fixture_find(view, "lib"), buf, &len, &attr),
	    -EINVAL);
	CU_ASSERT_EQUAL(view_readlink(view, fixture_find(view, "bin/tool"), buf,
				      &len, &attr),
			-EINVAL);
	len = 1;
	CU_ASSERT_EQUAL(fixture_read(view, &fixture_root,
				     fixture_find(view, "lib"), 0, buf, &len,
				     NULL),
			-EISDIR);
	CU_ASSERT_EQUAL(fixture_read(view, &fixture_root,
				     fixture_find(view, "lib/link"), 0, buf,
				     &len, NULL),
			-EINVAL);
	/* At once, though nobody writes into it (rule N-47). */
	CU_ASSERT_EQUAL(fixture_read(view, &fixture_root,
				     fixture_find(view, "lib/fifo"), 0, buf,
				     &len, NULL),
			-EINVAL);
	fixture_close(&fx);
}

static void test_read_list(void)
{
	CLEANUP(fixture_list_clear) struct fixture_list list = {0};
	CLEANUP(fixture_list_clear) struct fixture_list again = {.page = 2};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object lib = fixture_find(view, "lib");

	list.want_attr = true;
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_user, lib, 0, &list), 0);
	CU_ASSERT_TRUE(list.eof);
	CU_ASSERT_EQUAL(list.count, 8);
	CU_ASSERT_STRING_EQUAL(list.entries[0].name, ".");
	CU_ASSERT_EQUAL(list.entries[0].cookie, 1);
	CU_ASSERT_EQUAL(list.entries[0].fileid, lib.fileid);
	CU_ASSERT_STRING_EQUAL(list.entries[1].name, "..");
	CU_ASSERT_EQUAL(list.entries[1].cookie, 2);
	CU_ASSERT_EQUAL(list.entries[1].fileid, view_root(view).fileid);
	for (size_t i = 0; i < list.count; i++) {
		struct view_attr attr;

		CU_ASSERT_EQUAL(fixture_lookup(view, &fixture_user, lib,
					       list.entries[i].name, &attr),
				0);
		CU_ASSERT_EQUAL(attr.fileid, list.entries[i].fileid);
		CU_ASSERT_TRUE(fixture_attr_same(&attr, &list.entries[i].attr));
	}
	/* The same in small pages, and from the middle. */
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_user, lib, 0, &again), 0);
	CU_ASSERT_EQUAL(again.count, list.count);
	for (size_t i = 0; i < list.count; i++)
		CU_ASSERT_EQUAL(again.entries[i].cookie,
				list.entries[i].cookie);
	again.count = 0;
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_user, lib,
				     list.entries[4].cookie, &again),
			0);
	CU_ASSERT_EQUAL(again.count, 3);
	again.count = 0;
	CU_ASSERT_EQUAL(
	    fixture_list(view, &fixture_user, lib, UINT64_MAX, &again), 0);
	CU_ASSERT_EQUAL(again.count, 0);
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_user,
				     fixture_find(view, "bin/tool"), 0, &again),
			-ENOTDIR);
	fixture_close(&fx);
}

/* A call that waits for bytes can be given up. */
static void test_read_cancel(void)
{
	struct fixture_block block;
	struct view_object big;
	struct fixture_call call;
	struct view_read read;
	struct fixture fx;
	struct view *view;

	view = test_open(&fx);
	fx.pool_threads = 1;
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	big = fixture_find(view, "lib/big");
	fixture_block(&fx, &block);

	fixture_call_init(&call);
	CU_ASSERT_EQUAL(view_read(view, &fixture_root, big, 0, VIEW_IO_MAX,
				  &call.wait, &read),
			-EINPROGRESS);
	CU_ASSERT_TRUE(view_wait_cancel(&call.wait));
	/* And it may be used again. */
	CU_ASSERT_EQUAL(view_read(view, &fixture_root, big, 0, VIEW_IO_MAX,
				  &call.wait, &read),
			-EINPROGRESS);
	fixture_unblock(&block);
	CU_ASSERT_TRUE(fixture_call_woken(&call));
	CU_ASSERT_FALSE(view_wait_cancel(&call.wait));
	CU_ASSERT_EQUAL(view_read(view, &fixture_root, big, 0, VIEW_IO_MAX,
				  &call.wait, &read),
			0);
	view_read_release(&read, &call.wait);
	CU_ASSERT_FALSE(view_wait_cancel(&call.wait)); /* nothing to cancel */
	fixture_call_end(&call);
	fixture_close(&fx);
}

static void test_read_statfs(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_statfs statfs;

	CU_ASSERT_EQUAL(view_statfs(view, &statfs), 0);
	CU_ASSERT_TRUE(statfs.total_bytes >= statfs.free_bytes);
	CU_ASSERT_TRUE(statfs.free_bytes >= statfs.avail_bytes);
	CU_ASSERT_TRUE(statfs.total_bytes > 0);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"lookup", test_read_lookup},
    {"stale handles", test_read_stale},
    {"permissions", test_read_permissions},
    {"access", test_read_access},
    {"whole files", test_read_whole},
    {"holes", test_read_holes},
    {"ranges", test_read_ranges},
    {"beyond the end", test_read_beyond},
    {"zero copy", test_read_zero_copy},
    {"small chunks", test_read_small_chunks},
    {"other types", test_read_types},
    {"listing", test_read_list},
    {"cancel", test_read_cancel},
    {"statfs", test_read_statfs},
};

int main(void)
{
	return check_main("test_view_read", tests, ARRAY_LEN(tests));
}
