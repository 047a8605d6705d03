/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_write: bytes that a guest changes, wherever they lie: in the
 * database, in a host file, over a package's file.  Who may, and what
 * attributes become: test_view_attr.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum {
	TEST_BIG_LEN = 200123,
	TEST_SMALL_LEN = 9000,
	TEST_INLINE_MAX = 16 << 10,
};

static const struct fixture_entry test_entries[] = {
    {"big", S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {"big2", 0, .link_to = "big"},
    {"small", S_IFREG | 0644, .len = TEST_SMALL_LEN, .seed = 2},
    {"mine", S_IFREG | 06755, .text = "mine", .uid = 1000, .gid = 1000},
    {"locked", S_IFREG | 0444, .text = "x", .uid = 1000, .gid = 1000},
    {"link", S_IFLNK | 0777, .text = "big"},
    {"dir/file", S_IFREG | 0666, .text = "abc"},
    {"holes", S_IFREG | 0644, .len = 20000, .seed = 3, .hole = 100000},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "tools", test_entries, ARRAY_LEN(test_entries));
}

static uint64_t test_size(struct view *view, struct view_object obj)
{
	struct view_attr attr = {0};

	CU_ASSERT_EQUAL(view_getattr(view, obj, &attr), 0);
	return attr.size;
}

static uint64_t test_used(struct view *view, struct view_object obj)
{
	struct view_attr attr = {0};

	CU_ASSERT_EQUAL(view_getattr(view, obj, &attr), 0);
	return attr.used;
}

struct test_bytes {
	uint8_t *at; /* owns */
	size_t len, cap;
};

static struct test_bytes test_bytes_new(size_t cap)
{
	struct test_bytes bytes = {calloc(1, cap), 0, cap};

	ASSERT(bytes.at);
	return bytes;
}

static void test_bytes_free(struct test_bytes *bytes)
{
	free(bytes->at);
}

/* Write bytes of check_fill(seed) into the file and into what it should be. */
static void test_put(struct view *view, struct view_object obj,
		     struct test_bytes *bytes, size_t off, size_t len,
		     uint64_t seed, bool stable)
{
	struct view_done done;

	ASSERT(off + len <= bytes->cap);
	check_fill(bytes->at + off, len, seed);
	if (len > 0)
		bytes->len = MAX(bytes->len, off + len);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, obj, off,
				      bytes->at + off, len, stable, &done),
			0);
	CU_ASSERT_EQUAL(done.written, len);
	CU_ASSERT_TRUE(done.stable == stable || len == 0);
	CU_ASSERT_EQUAL(done.attr.size, bytes->len);
	CU_ASSERT_TRUE(done.wcc[0].has_before && done.wcc[0].has_after);
}

static void test_cut(struct view *view, struct view_object obj,
		     struct test_bytes *bytes, size_t size)
{
	ASSERT(size <= bytes->cap);
	if (size < bytes->len)
		memset(bytes->at + size, 0, bytes->len - size);
	bytes->len = size;
	CU_ASSERT_EQUAL(fixture_resize(view, obj, size), 0);
	CU_ASSERT_EQUAL(test_size(view, obj), size);
}

static void test_is(struct view *view, struct view_object obj,
		    const struct test_bytes *bytes)
{
	CU_ASSERT_TRUE(fixture_content_is(view, obj, bytes->at, bytes->len));
}

/* --- in the database ----------------------------------------------------- */

static void test_write_inline(void)
{
	struct test_bytes bytes = test_bytes_new(TEST_INLINE_MAX);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");

	test_is(view, f, &bytes);
	test_put(view, f, &bytes, 0, 0, 1, true);
	test_put(view, f, &bytes, 0, 100, 1, true);
	test_is(view, f, &bytes);
	test_put(view, f, &bytes, 5000, 10, 2, false); /* a gap of zeros */
	test_is(view, f, &bytes);
	test_put(view, f, &bytes, 90, 20, 3, true);
	test_put(view, f, &bytes, TEST_INLINE_MAX - 1, 1, 4, true);
	test_is(view, f, &bytes);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	CU_ASSERT_EQUAL(fixture_commit(view, f), 0);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* A small file of a package: the first write takes it whole. */
static void test_write_inline_over_base(void)
{
	struct test_bytes bytes = test_bytes_new(TEST_INLINE_MAX);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_attr before = fixture_attr(view, "small");
	struct view_object small = fixture_object(&before);
	struct view_attr after;

	check_fill(bytes.at, TEST_SMALL_LEN, 2);
	bytes.len = TEST_SMALL_LEN;
	test_put(view, small, &bytes, 1000, 1, 9, true);
	after = fixture_attr(view, "small");
	CU_ASSERT_EQUAL(after.fileid, before.fileid);
	CU_ASSERT_EQUAL(after.size, before.size);
	CU_ASSERT_EQUAL(after.mode, before.mode);
	test_is(view, small, &bytes);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	view = fixture_again(&fx);
	test_is(view, small, &bytes);
	test_cut(view, small, &bytes, 0);
	test_put(view, small, &bytes, 3, 4, 5, true);
	test_is(view, small, &bytes);
	view = fixture_again(&fx);
	test_is(view, small, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

static void test_write_promote(void)
{
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");

	test_put(view, f, &bytes, 0, 10000, 1, true);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	test_put(view, f, &bytes, 16000, 1000, 2, false);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 1);
	test_is(view, f, &bytes);
	test_put(view, f, &bytes, 500, 10, 3, false);
	test_is(view, f, &bytes);
	CU_ASSERT_EQUAL(fixture_commit(view, f), 0);
	test_is(view, f, &bytes);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 1);
	test_put(view, f, &bytes, 900000, 100, 4, true);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	CU_ASSERT_TRUE(test_used(view, f) < 100000);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* --- over a package's file ----------------------------------------------- */

static void test_write_partial_pages(void)
{
	static const struct {
		size_t off, len;
	} writes[] = {{1, 1},       {4095, 2},   {8192, 4096},   {20000, 10000},
		      {39990, 20},  {100000, 1}, {199999, 124},  {200100, 23},
		      {200122, 10}, {0, 4096},   {130000, 40000}};
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_attr before = fixture_attr(view, "big");
	struct view_object big = fixture_object(&before);

	check_fill(bytes.at, TEST_BIG_LEN, 1);
	bytes.len = TEST_BIG_LEN;
	for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
		test_put(view, big, &bytes, writes[i].off, writes[i].len,
			 i + 10, i % 2);
		test_is(view, big, &bytes);
	}
	CU_ASSERT_EQUAL(fixture_attr(view, "big2").fileid, before.fileid);
	CU_ASSERT_EQUAL(fixture_attr(view, "big2").nlink, 2);
	test_is(view, fixture_find(view, "big2"), &bytes);
	CU_ASSERT_EQUAL(fixture_commit(view, big), 0);
	view = fixture_again(&fx);
	test_is(view, big, &bytes);
	CU_ASSERT_EQUAL(fixture_find(view, "big").fileid, before.fileid);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* One byte of a big package file costs one page of the delta. */
static int test_guest_bytes(void *ctx, const struct site_guest_info *info)
{
	*(uint64_t *)ctx = info->delta_bytes;
	return 0;
}

static uint64_t test_delta_bytes(struct fixture *fx)
{
	uint64_t bytes = UINT64_MAX;

	CU_ASSERT_EQUAL(site_guest_list(fx->site, test_guest_bytes, &bytes), 0);
	return bytes;
}

static void test_write_cost(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_object big = fixture_find(view, "big");
	struct view_object f = fixture_touched(view, "f");
	static uint8_t data[40000];

	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 0);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, big, 100000, "x", 1, true, NULL),
	    0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 4096);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 0, "abc", 3, true, NULL), 0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 4096 + 3);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 0, data, 40000, true, NULL),
	    0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 4096 + 40960);
	CU_ASSERT_EQUAL(fixture_resize(view, f, 4097), 0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 4096 + 8192);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 4096 + 8192);
	CU_ASSERT_EQUAL(fixture_resize(view, big, 0), 0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 8192);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, root, "f", NULL),
			0);
	CU_ASSERT_EQUAL(test_delta_bytes(&fx), 0);
	site_quiesce(fx.site);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	fixture_close(&fx);
}

static void test_write_keeps_identity(void)
{
	CLEANUP(fixture_list_clear) struct fixture_list before = {0};
	CLEANUP(fixture_list_clear) struct fixture_list after = {0};
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object root = view_root(view);
	struct view_attr old = fixture_attr(view, "big"), now;
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0600};

	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root, root, 0, &before), 0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, "big"), 7, "x", 1,
				      true, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_setattr(view, &fixture_root,
					fixture_find(view, "small"), &set,
					NULL),
			0);
	now = fixture_attr(view, "big");
	CU_ASSERT_EQUAL(now.fileid, old.fileid);
	CU_ASSERT_EQUAL(now.generation, old.generation);
	CU_ASSERT_EQUAL(now.nlink, old.nlink);
	CU_ASSERT_TRUE(now.ctime.tv_sec > old.ctime.tv_sec);
	CU_ASSERT_TRUE(now.mtime.tv_sec > old.mtime.tv_sec);
	CU_ASSERT_EQUAL(now.atime.tv_sec, old.atime.tv_sec);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(fixture_list(view, &fixture_root, root, 0, &after), 0);
	CU_ASSERT_EQUAL(after.count, before.count);
	for (size_t i = 0; i < before.count; i++) {
		CU_ASSERT_EQUAL(after.entries[i].cookie,
				before.entries[i].cookie);
		CU_ASSERT_EQUAL(after.entries[i].fileid,
				before.entries[i].fileid);
	}
	fixture_close(&fx);
}

/* --- sizes --------------------------------------------------------------- */

static void test_write_sparse(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");
	const uint64_t far = UINT64_C(3) << 30;
	uint8_t buf[100];
	size_t len = 100;
	bool eof;

	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, far, "x", 1, true, NULL), 0);
	CU_ASSERT_EQUAL(test_size(view, f), far + 1);
	CU_ASSERT_EQUAL(test_used(view, f), 4096);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(
	    fixture_read(view, &fixture_root, f, far - 50, buf, &len, &eof), 0);
	CU_ASSERT_EQUAL(len, 51);
	CU_ASSERT_TRUE(eof);
	CU_ASSERT_EQUAL(buf[50], 'x');
	for (int i = 0; i < 50; i++)
		CU_ASSERT_EQUAL(buf[i], 0);
	fixture_close(&fx);
}

/* Sizes that only a number can have; the beginning stays (rules N-42, N-46). */
static void test_write_huge(void)
{
	static const uint64_t sizes[] = {
	    UINT64_C(1) << 31,  (UINT64_C(1) << 32) + 1,   UINT64_C(1) << 62,
	    VIEW_FILE_SIZE_MAX, (UINT64_C(1) << 60) + 100, UINT64_C(1) << 48};
	struct test_bytes bytes = test_bytes_new(40000);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");
	uint8_t buf[5000];

	test_put(view, f, &bytes, 0, 40000, 1, true);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t len = sizeof(buf);
		bool eof = false;

		CU_ASSERT_EQUAL(fixture_resize(view, f, sizes[i]), 0);
		CU_ASSERT_EQUAL(test_size(view, f), sizes[i]);
		CU_ASSERT_EQUAL(fixture_read(view, &fixture_root, f, 30000, buf,
					     &len, &eof),
				0);
		CU_ASSERT_EQUAL(memcmp(buf, bytes.at + 30000, 5000), 0);
		CU_ASSERT_EQUAL(fixture_read(view, &fixture_root, f,
					     sizes[i] - 100, buf, &len, &eof),
				0);
		CU_ASSERT_EQUAL(len, 100);
		CU_ASSERT_TRUE(eof);
	}
	CU_ASSERT_EQUAL(fixture_resize(view, f, VIEW_FILE_SIZE_MAX + 1),
			-EFBIG);
	CU_ASSERT_EQUAL(fixture_resize(view, f, UINT64_MAX), -EFBIG);
	check_mute();
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f,
				      VIEW_FILE_SIZE_MAX - 1, "ab", 2, true,
				      NULL),
			-EFBIG);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, UINT64_MAX, "ab",
				      2, true, NULL),
			-EFBIG);
	check_unmute();
	test_cut(view, f, &bytes, 39000);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

static void test_write_truncate(void)
{
	static const char *const names[] = {"big", "small", "f"};
	static const size_t sizes[] = {199000, 150001, 150000, 180000, 8192,
				       8193,   300000, 100,    5000,   1,
				       0,      70000,  0,      10};
	struct fixture fx;
	struct view *view = test_open(&fx);

	fixture_touched(view, "f");
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		struct test_bytes bytes = test_bytes_new(1 << 20);
		struct view_object obj = fixture_find(view, names[n]);

		bytes.len = n == 0 ? TEST_BIG_LEN : n == 1 ? TEST_SMALL_LEN : 0;
		check_fill(bytes.at, bytes.len, n + 1);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			test_cut(view, obj, &bytes, sizes[i]);
			test_is(view, obj, &bytes);
			if (i % 3 == 1)
				test_put(view, obj, &bytes, sizes[i] / 2, 5000,
					 i, i % 2);
			test_is(view, obj, &bytes);
		}
		CU_ASSERT_EQUAL(fixture_commit(view, obj), 0);
		view = fixture_again(&fx);
		test_is(view, obj, &bytes);
		test_bytes_free(&bytes);
	}
	fixture_close(&fx);
}

/* The same at random, closed and opened on the way. */
static void test_write_random_on(struct fixture *fx, const char *name,
				 struct test_bytes *bytes, uint64_t seed)
{
	static uint32_t dice[300 * 3];
	struct view *view = fixture_view(fx, "/red/vm1");
	struct view_object obj = fixture_find(view, name);

	check_fill(dice, sizeof(dice), seed);
	for (size_t i = 0; i + 3 <= ARRAY_LEN(dice); i += 3) {
		size_t a = dice[i + 1] % (seed % 2 ? 60000 : 20000);
		size_t b = dice[i + 2] % (dice[i + 2] % 3 ? 9000 : 60000);

		switch (dice[i] % 8) {
		case 0:
			test_cut(view, obj, bytes, a);
			break;
		case 1:
			CU_ASSERT_EQUAL(fixture_commit(view, obj), 0);
			if (i % 5 == 0)
				view = fixture_again(fx);
			break;
		case 2:
			a &= ~(size_t)4095;
			b &= ~(size_t)4095; /* fall through */
		default:
			test_put(view, obj, bytes, a, b, i, dice[i] & 8);
			break;
		}
		if (i % 7 == 0)
			test_is(view, obj, bytes);
	}
	test_is(view, obj, bytes);
}

static void test_write_random(void)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct test_bytes bytes = test_bytes_new(1 << 20);
		struct fixture fx;
		struct view *view = test_open(&fx);

		fixture_touched(view, "f");
		test_write_random_on(&fx, "f", &bytes, seed);
		check_fill(bytes.at, TEST_BIG_LEN, 1);
		bytes.len = TEST_BIG_LEN;
		test_write_random_on(&fx, "big", &bytes, seed + 100);
		memset(bytes.at, 0, bytes.cap);
		check_fill(bytes.at, 20000, 3);
		bytes.len = 120000;
		test_write_random_on(&fx, "holes", &bytes, seed + 200);
		test_bytes_free(&bytes);
		fixture_close(&fx);
	}
}

/* --- things that go on beside -------------------------------------------- */

/* A call of its own that is under way. */
static void test_start_write(struct view *view, struct view_object obj,
			     uint64_t off, const void *data, size_t len,
			     struct fixture_call *call)
{
	fixture_call_init(call);
	CU_ASSERT_EQUAL(view_write(view, &fixture_root, obj, off, data, len,
				   true, &call->wait, &call->change),
			0);
	CU_ASSERT_TRUE(call->change.pending);
}

static void test_write_parked(void)
{
	struct view_setattr set = {.mask = VIEW_SET_SIZE, .size = 30000};
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture_call write, resize;
	struct fixture_block block;
	struct view_object f;
	struct fixture fx;
	struct view *view;

	test_open(&fx);
	fx.pool_threads = 1;
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	f = fixture_touched(view, "f");
	test_put(view, f, &bytes, 0, 100000, 1, false);
	fixture_block(&fx, &block);
	test_start_write(view, f, 0, bytes.at, 100, &write);
	/* A change of size waits till the flight is over; or not so long. */
	fixture_call_init(&resize);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(view_setattr(view, &fixture_root, f, &set, NULL,
					     &resize.wait, &resize.change),
				-EINPROGRESS);
		CU_ASSERT_EQUAL(test_size(view, f), 100000);
		if (i == 0)
			CU_ASSERT_TRUE(view_wait_cancel(&resize.wait));
	}
	fixture_unblock(&block);
	CU_ASSERT_TRUE(fixture_call_woken(&resize));
	CU_ASSERT_FALSE(view_wait_cancel(&resize.wait));
	CU_ASSERT_EQUAL(fixture_call_done(&write, 0), 0);
	fixture_call_end(&write);
	fixture_call_end(&resize);
	test_cut(view, f, &bytes, 30000);
	test_is(view, f, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* The file goes while its bytes are on their way to the disk. */
static void test_write_removed_in_flight(void)
{
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture_call write[3];
	struct fixture_block block;
	struct view_attr attr;
	struct fixture fx;
	struct view *view;
	struct view_object f;

	test_open(&fx);
	fx.pool_threads = 1;
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	f = fixture_touched(view, "f");
	test_put(view, f, &bytes, 0, 100000, 1, true);
	fixture_block(&fx, &block);
	for (size_t i = 0; i < ARRAY_LEN(write); i++)
		test_start_write(view, f, i, bytes.at, 50000, &write[i]);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_root, view_root(view), "f", NULL), 0);
	CU_ASSERT_EQUAL(view_getattr(view, f, &attr), -ESTALE);
	fixture_unblock(&block);
	for (size_t i = 0; i < ARRAY_LEN(write); i++) {
		CU_ASSERT_EQUAL(fixture_call_done(&write[i], 0), 0);
		fixture_call_end(&write[i]);
	}
	site_quiesce(fx.site);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), 0);
	view = fixture_again(&fx);
	CU_ASSERT_EQUAL(view_getattr(view, f, &attr), -ESTALE);
	CU_ASSERT_EQUAL(fixture_walk(view, "f", &attr), -ENOENT);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* --- trouble ------------------------------------------------------------- */

static atomic_bool test_sync_fails;
static atomic_uint test_syncs_held; /* 1: hold the next one; 2: it is held */

/* Syncs of host files may be made to fail; those of the databases never. */
int fdatasync(int fd)
{
	char link[32], name[512];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, name, sizeof(name) - 1);
	name[MAX(len, 0)] = '\0';
	if (strstr(name, "/data/") && test_syncs_held == 1) {
		test_syncs_held = 2;
		while (test_syncs_held == 2)
			usleep(1000);
		errno = EIO;
		return -1;
	}
	if (test_sync_fails && strstr(name, "/data/")) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

/* Rules N-03, N-06: COMMIT fails, and the verifier is another. */
static void test_write_failed_sync(void)
{
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");
	uint64_t verifier = view_get_info(view)->verifier;

	test_put(view, f, &bytes, 0, 50000, 1, true);
	CU_ASSERT_EQUAL(view_get_info(view)->verifier, verifier);
	test_put(view, f, &bytes, 100, 50000, 2, false);
	test_sync_fails = true;
	check_mute();
	CU_ASSERT_EQUAL(fixture_commit(view, f), -EIO);
	check_unmute();
	test_sync_fails = false;
	CU_ASSERT_NOT_EQUAL(view_get_info(view)->verifier, verifier);
	test_put(view, f, &bytes, 100, 50000, 2, false);
	CU_ASSERT_EQUAL(fixture_commit(view, f), 0);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

/* A write that came while the sync that fails was under way is not stable,
 * either: the next sync proves nothing of it. */
static void test_write_failed_sync_queued(void)
{
	static uint8_t data[50000];
	struct fixture_call first, second;
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object f = fixture_touched(view, "f");
	struct view_done done;
	uint64_t verifier = view_get_info(view)->verifier;

	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, 0, data,
				      sizeof(data), false, &done),
			0);
	CU_ASSERT_EQUAL(done.verifier, verifier);
	check_mute();
	test_syncs_held = 1;
	test_start_write(view, f, 0, data, sizeof(data), &first);
	while (test_syncs_held != 2)
		usleep(1000);
	test_start_write(view, f, 60000, data, 100, &second);
	test_syncs_held = 0;
	CU_ASSERT_EQUAL(fixture_call_done(&first, 0), -EIO);
	CU_ASSERT_EQUAL(fixture_call_done(&second, 0), -EIO);
	check_unmute();
	fixture_call_end(&first);
	fixture_call_end(&second);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, 0, data,
				      sizeof(data), true, &done),
			0);
	CU_ASSERT_NOT_EQUAL(done.verifier, verifier);
	CU_ASSERT_EQUAL(done.verifier, view_get_info(view)->verifier);
	fixture_close(&fx);
}

/* The host's file system refuses: what was there stays, also over a restart. */
static void test_write_refused_on(const char *name, struct test_bytes *bytes)
{
	struct rlimit was, limit;
	struct fixture fx;
	struct view *view = test_open(&fx);
	struct view_object obj;

	if (strcmp(name, "f") == 0)
		test_put(view, fixture_touched(view, "f"), bytes, 0, 10000, 1,
			 true);
	obj = fixture_find(view, name);
	ASSERT(getrlimit(RLIMIT_FSIZE, &was) == 0);
	limit = was;
	limit.rlim_cur = 1 << 20;
	ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	check_mute();
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, obj, 2 << 20, "x", 1,
				      true, NULL),
			-EFBIG);
	check_unmute();
	ASSERT(setrlimit(RLIMIT_FSIZE, &was) == 0);
	test_is(view, obj, bytes);
	test_cut(view, obj, bytes, 5000);
	test_is(view, obj, bytes);
	view = fixture_again(&fx);
	test_is(view, obj, bytes);
	test_put(view, obj, bytes, 30000, 5000, 8, true);
	view = fixture_again(&fx);
	test_is(view, obj, bytes);
	fixture_close(&fx);
}

static void test_write_refused(void)
{
	struct test_bytes bytes = test_bytes_new(1 << 20);

	signal(SIGXFSZ, SIG_IGN);
	test_write_refused_on("f", &bytes);
	memset(bytes.at, 0, bytes.cap);
	bytes.len = TEST_BIG_LEN;
	check_fill(bytes.at, bytes.len, 1);
	test_write_refused_on("big", &bytes);
	test_bytes_free(&bytes);
}

/* Killed after the reply, before the host file was cut. */
static void test_write_cut_and_crash(void)
{
	struct test_bytes bytes = test_bytes_new(1 << 20);
	struct fixture_block block;
	struct view_object f;
	struct fixture fx;
	struct view *view;
	struct fixture_call call;
	struct view_setattr set = {.mask = VIEW_SET_SIZE, .size = 5000};

	test_open(&fx);
	fx.pool_threads = 1;
	fixture_restart(&fx, true);
	view = fixture_view(&fx, "/red/vm1");
	f = fixture_touched(view, "f");
	test_put(view, f, &bytes, 0, 100000, 1, true);
	fixture_block(&fx, &block);
	fixture_call_init(&call);
	CU_ASSERT_EQUAL(view_setattr(view, &fixture_root, f, &set, NULL,
				     &call.wait, &call.change),
			0);
	CU_ASSERT_EQUAL(fixture_call_done(&call, 0), 0);
	fixture_call_end(&call);
	/* The copy is made while the pool is held up; the old one is closed
	 * when it goes on. */
	fixture_crash(&fx, &block);
	view = fixture_view(&fx, "/red/vm1");
	memset(bytes.at + 5000, 0, 95000);
	bytes.len = 5000;
	test_is(view, f, &bytes);
	test_cut(view, f, &bytes, 60000);
	test_is(view, f, &bytes);
	test_put(view, f, &bytes, 59000, 5000, 3, true);
	test_is(view, f, &bytes);
	view = fixture_again(&fx);
	test_is(view, f, &bytes);
	test_bytes_free(&bytes);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"inline", test_write_inline},
    {"inline over a base", test_write_inline_over_base},
    {"promotion", test_write_promote},
    {"partial pages over a base", test_write_partial_pages},
    {"what it costs", test_write_cost},
    {"identity", test_write_keeps_identity},
    {"sparse", test_write_sparse},
    {"huge sizes", test_write_huge},
    {"truncate", test_write_truncate},
    {"random", test_write_random},
    {"parked", test_write_parked},
    {"removed in flight", test_write_removed_in_flight},
    {"failed sync", test_write_failed_sync},
    {"failed sync, more queued", test_write_failed_sync_queued},
    {"refused by the host", test_write_refused},
    {"cut and crash", test_write_cut_and_crash},
};

int main(void)
{
	return check_main("test_view_write", tests, ARRAY_LEN(tests));
}
