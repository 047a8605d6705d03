/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_delta_stream: deltas out and in again, guests from one site to another,
 * and every damaged stream.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum { TEST_BIG_LEN = 300000 };

static const struct fixture_entry test_entries[] = {
    {.path = "a", .mode = S_IFDIR | 0755},
    {.path = "a/big", .mode = S_IFREG | 0644, .len = TEST_BIG_LEN, .seed = 1},
    {.path = "a/one", .mode = S_IFREG | 0644, .text = "one"},
};

static struct view *test_open(struct fixture *fx)
{
	return fixture_one(fx, "p", test_entries, ARRAY_LEN(test_entries));
}

/* A delta of every kind of record, in two layers. */
static void test_fill(struct fixture *fx, struct view *view)
{
	struct view_object root = view_root(view), a = fixture_find(view, "a");
	struct view_object f;
	static uint8_t data[100000];

	check_fill(data, sizeof(data), 7);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, root, "host", 0640, &f), 0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root, f, 0, data,
				      sizeof(data), true, NULL),
			0);
	CU_ASSERT_EQUAL(fixture_resize(view, f, 1 << 20), 0);
	CU_ASSERT_EQUAL(fixture_link(view, &fixture_root, f, a, "link", NULL),
			0);
	CU_ASSERT_EQUAL(site_delta_snapshot(fx->site, "red/vm1", "s"), 0);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 50000, "NEW", 3, true, NULL),
	    0);
	CU_ASSERT_EQUAL(fixture_write(view, &fixture_root,
				      fixture_find(view, "a/big"), 99999, "NEW",
				      3, true, NULL),
			0);
	CU_ASSERT_EQUAL(
	    fixture_symlink(view, &fixture_root, root, "sym", "target", NULL),
	    0);
	CU_ASSERT_EQUAL(fixture_remove(view, &fixture_root, a, "one", NULL), 0);
	CU_ASSERT_EQUAL(
	    fixture_touch(view, &fixture_root, root, "inline", 0600, &f), 0);
	CU_ASSERT_EQUAL(
	    fixture_write(view, &fixture_root, f, 0, "abc", 3, true, NULL), 0);
}

static bool test_filled(struct view *view)
{
	static uint8_t want[1 << 20], big[TEST_BIG_LEN];

	memset(want, 0, sizeof(want));
	check_fill(want, 100000, 7);
	memcpy(want + 50000, "NEW", 3);
	check_fill(big, sizeof(big), 1);
	memcpy(big + 99999, "NEW", 3);
	return fixture_names_are(view, "", "a host inline sym") &&
	       fixture_names_are(view, "a", "big link") &&
	       fixture_content_is(view, fixture_find(view, "host"), want,
				  sizeof(want)) &&
	       fixture_content_is(view, fixture_find(view, "a/big"), big,
				  sizeof(big)) &&
	       fixture_content_is(view, fixture_find(view, "inline"), "abc",
				  3) &&
	       fixture_attr(view, "a/link").nlink == 2;
}

static int test_file(void)
{
	char path[] = "/tmp/vdrive-test-XXXXXX";
	int fd = mkstemp(path);

	ASSERT(fd >= 0);
	unlink(path);
	return fd;
}

static void test_delta(void)
{
	struct site_guest_options options = {0};
	struct fixture fx;
	struct view *view = test_open(&fx), *other;
	struct view_object f;
	int fd = test_file();

	test_fill(&fx, view);
	CU_ASSERT_EQUAL(site_guest_add(fx.site, "red/vm2", &options), 0);
	other = fixture_view(&fx, "/red/vm2");
	CU_ASSERT_EQUAL(fixture_touch(other, &fixture_root, view_root(other),
				      "gone", 0600, &f),
			0);
	CU_ASSERT_EQUAL(site_delta_export(fx.site, "red/vm1", NULL, fd), 0);
	CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_SET), 0);
	CU_ASSERT_EQUAL(site_delta_import(fx.site, "red/vm2", fd), 0);
	for (int again = 0; again < 2; again++) {
		CU_ASSERT_TRUE(test_filled(view));
		CU_ASSERT_TRUE(test_filled(other));
		CU_ASSERT_EQUAL(fixture_attr(other, "host").fileid,
				fixture_attr(view, "host").fileid);
		fixture_restart(&fx, true);
		view = fixture_view(&fx, "/red/vm1");
		other = fixture_view(&fx, "/red/vm2");
	}
	/* A new object's number is none that came. */
	CU_ASSERT_EQUAL(fixture_touch(other, &fixture_root, view_root(other),
				      "new", 0600, &f),
			0);
	CU_ASSERT_TRUE(f.fileid > fixture_attr(other, "inline").fileid);
	close(fd);
	fixture_close(&fx);
}

/* Every byte that is changed, and every cut, is refused; nothing has changed,
 * and nothing is left lying about. */
static void test_damaged(void)
{
	struct fixture fx;
	struct view *view = test_open(&fx);
	int fd = test_file();
	off_t len;
	size_t files;

	test_fill(&fx, view);
	CU_ASSERT_EQUAL(site_delta_export(fx.site, "red/vm1", NULL, fd), 0);
	len = lseek(fd, 0, SEEK_END);
	files = fixture_host_files(&fx);
	check_mute();
	for (int i = 0; i < 60; i++) {
		off_t at = i < 30 ? i : (off_t)(check_now_ns() % (uint64_t)len);
		uint8_t byte;

		ASSERT(pread(fd, &byte, 1, at) == 1);
		byte ^= 0x40;
		ASSERT(pwrite(fd, &byte, 1, at) == 1);
		lseek(fd, 0, SEEK_SET);
		CU_ASSERT_NOT_EQUAL(site_delta_import(fx.site, "red/vm1", fd),
				    0);
		byte ^= 0x40;
		ASSERT(pwrite(fd, &byte, 1, at) == 1);
	}
	ASSERT(io_truncate(fd, (uint64_t)len - 1) == 0);
	lseek(fd, 0, SEEK_SET);
	CU_ASSERT_EQUAL(site_delta_import(fx.site, "red/vm1", fd), -EBADMSG);
	check_unmute();
	CU_ASSERT_TRUE(test_filled(view));
	for (int i = 0; i < 2000 && fixture_host_files(&fx) > files; i++)
		usleep(1000);
	CU_ASSERT_EQUAL(fixture_host_files(&fx), files);
	close(fd);
	fixture_close(&fx);
}

struct test_replies {
	unsigned int count;
	uint8_t last[VIEW_REPLY_MAX];
	size_t len;
};

static void test_reply_visit(void *ctx, uint32_t slot, const uint8_t *record,
			     size_t len)
{
	struct test_replies *r = ctx;

	r->count += slot == 9;
	memcpy(r->last, record, len);
	r->len = len;
}

static size_t test_reply(struct view_change *change,
			 const struct view_done *done, uint8_t *record,
			 uint32_t *slot)
{
	(void)change;
	(void)done;
	memcpy(record, "reply", 5);
	*slot = 9;
	return 5;
}

/* A call that leaves a reply record, and nothing else. */
static void test_replied(struct view *view)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = 0600};
	struct fixture_call call;

	fixture_call_init(&call);
	call.change.reply = test_reply;
	CU_ASSERT_EQUAL(
	    fixture_call_done(&call,
			      view_create(view, &fixture_root, view_root(view),
					  "r", 1, VIEW_CREATE_GUARDED, &set, 0,
					  &call.wait, &call.change)),
	    0);
	fixture_call_end(&call);
	CU_ASSERT_EQUAL(
	    fixture_remove(view, &fixture_root, view_root(view), "r", NULL), 0);
}

/* To another site: handles, numbers, replies, snapshots and key go along. */
static void test_move(void)
{
	struct fixture from, to;
	struct view *view = test_open(&from), *moved;
	struct test_replies replies = {0};
	struct view_info info;
	struct view_object f;
	struct package_info package;
	struct view_attr attr, before;
	char name[SITE_EXPORT_PATH_MAX];
	int fd = test_file();

	test_fill(&from, view);
	test_replied(view);
	before = fixture_attr(view, "host");
	f = fixture_object(&before);
	info = *view_get_info(view);
	CU_ASSERT_EQUAL(site_guest_export(from.site, "red/vm1", fd), -EBUSY);
	CU_ASSERT_EQUAL(site_guest_pause(from.site, "red/vm1", true), 0);
	CU_ASSERT_EQUAL(site_guest_export(from.site, "red/vm1", fd), 0);

	fixture_open(&to);
	lseek(fd, 0, SEEK_SET);
	CU_ASSERT_NOT_EQUAL(site_guest_import(to.site, fd, name), 0);
	fixture_package(&to, "p", "1", test_entries, ARRAY_LEN(test_entries),
			&package);
	lseek(fd, 0, SEEK_SET);
	CU_ASSERT_EQUAL(site_guest_import(to.site, fd, name), 0);
	CU_ASSERT_STRING_EQUAL(name, "red/vm1");
	lseek(fd, 0, SEEK_SET);
	CU_ASSERT_EQUAL(site_guest_import(to.site, fd, name), -EEXIST);
	moved = fixture_view(&to, "/red/vm1");
	CU_ASSERT_TRUE(view_is_paused(moved));
	CU_ASSERT_EQUAL(site_guest_pause(to.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(site_guest_remove(from.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(view_getattr(view, f, &attr), -ESTALE);

	for (int again = 0; again < 2; again++) {
		CU_ASSERT_TRUE(test_filled(moved));
		CU_ASSERT_EQUAL(view_getattr(moved, f, &attr), 0);
		CU_ASSERT_TRUE(fixture_attr_same(&attr, &before));
		CU_ASSERT_EQUAL(view_get_info(moved)->export_id,
				info.export_id);
		CU_ASSERT_EQUAL(memcmp(view_get_info(moved)->key, info.key,
				       sizeof(info.key)),
				0);
		CU_ASSERT_NOT_EQUAL(view_get_info(moved)->verifier,
				    info.verifier);
		replies.count = 0;
		CU_ASSERT_EQUAL(view_replies(moved, test_reply_visit, &replies),
				0);
		CU_ASSERT_EQUAL(replies.count, 1);
		CU_ASSERT_EQUAL(replies.len, 5);
		fixture_restart(&to, true);
		moved = fixture_view(&to, "/red/vm1");
	}
	CU_ASSERT_EQUAL(site_delta_restore(to.site, "red/vm1", "s"), 0);
	CU_ASSERT_TRUE(fixture_names_are(moved, "", "a host"));
	CU_ASSERT_TRUE(fixture_names_are(moved, "a", "big link one"));
	close(fd);
	fixture_close(&from);
	fixture_close(&to);
}

/* A guest brings along no profile that its tenant may not have here. */
static void test_move_entitled(void)
{
	static const struct fixture_entry entries[] = {
	    {.path = "a/conf", .mode = S_IFREG | 0644, .text = "conf"},
	};
	struct site_profile_how how = {.policy = SITE_POLICY_FAIL};
	struct package_entitled blue, all;
	struct package_info package, profile;
	char name[SITE_EXPORT_PATH_MAX];
	struct fixture from, to;
	int fd = test_file();

	(void)test_open(&from);
	fixture_package(&from, "prof", "profile", entries, 1, &profile);
	CU_ASSERT_EQUAL(
	    site_profile_apply(from.site, "red/vm1", &profile, &how), 0);
	CU_ASSERT_EQUAL(site_guest_pause(from.site, "red/vm1", true), 0);
	CU_ASSERT_EQUAL(site_guest_export(from.site, "red/vm1", fd), 0);

	fixture_open(&to);
	fixture_package(&to, "p", "1", test_entries, ARRAY_LEN(test_entries),
			&package);
	fixture_package(&to, "prof", "profile", entries, 1, &profile);
	CU_ASSERT_EQUAL(package_entitled_parse("blue", &blue), 0);
	CU_ASSERT_EQUAL(package_entitled_parse("all", &all), 0);
	CU_ASSERT_EQUAL(depot_package_entitle(to.depot, "prof", &blue), 0);
	lseek(fd, 0, SEEK_SET);
	check_mute();
	CU_ASSERT_EQUAL(site_guest_import(to.site, fd, name), -EACCES);
	check_unmute();
	CU_ASSERT_PTR_NULL(site_view_by_path(to.site, "/red/vm1"));
	CU_ASSERT_EQUAL(depot_package_entitle(to.depot, "prof", &all), 0);
	lseek(fd, 0, SEEK_SET);
	CU_ASSERT_EQUAL(site_guest_import(to.site, fd, name), 0);
	CU_ASSERT_EQUAL(site_guest_pause(to.site, "red/vm1", false), 0);
	CU_ASSERT_EQUAL(
	    fixture_attr(fixture_view(&to, "/red/vm1"), "a/conf").size, 4);
	package_entitled_clear(&blue);
	close(fd);
	fixture_close(&from);
	fixture_close(&to);
}

/* --- the daemon ends while somebody asks ---------------------------------- */

struct test_hurry {
	struct depot *depot;
	unsigned int told;
	size_t taken; /* bytes of a file */
	int rc;       /* of asking for them */
};

static int test_hurry_change(void *ctx,
			     const struct site_delta_change *change UNUSED)
{
	struct test_hurry *h = ctx;

	h->told++;
	depot_hurry(h->depot);
	return 0;
}

static int test_hurry_take(void *ctx, const void *data UNUSED, size_t len)
{
	struct test_hurry *h = ctx;

	h->taken += len;
	depot_hurry(h->depot);
	return 0;
}

/* Of a file that takes several READs the first is told. */
static int test_hurry_object(void *ctx, const struct site_object *object)
{
	struct test_hurry *h = ctx;

	if (object->kind == SITE_CHANGE_DELETED ||
	    !S_ISREG(object->attr.mode) || object->attr.size < TEST_BIG_LEN)
		return 0;
	h->rc = site_object_data(object, test_hurry_take, h);
	return 0;
}

static void test_hurry_tell(void *ctx, bool problem, const char *what UNUSED)
{
	*(unsigned int *)ctx += problem;
}

/* Before anything of it: ended at once, and nothing is changed. */
static void test_hurry_all(struct fixture *fx, int stream)
{
	struct site_delta_figures figures;
	unsigned int problems = 0;
	uint64_t left;
	int fd = test_file();

	CU_ASSERT_EQUAL(site_delta_verify(fx->site, "red/vm1", test_hurry_tell,
					  &problems, &figures),
			-ECANCELED);
	CU_ASSERT_EQUAL(site_delta_export(fx->site, "red/vm1", NULL, fd),
			-ECANCELED);
	CU_ASSERT_EQUAL(site_delta_export(fx->site, "red/vm1", "s", fd),
			-ECANCELED);
	lseek(stream, 0, SEEK_SET);
	CU_ASSERT_EQUAL(site_delta_import(fx->site, "red/vm1", stream),
			-ECANCELED);
	CU_ASSERT_EQUAL(site_delta_reset_package(fx->site, "red/vm1", "p",
						 false, NULL, NULL, &left),
			-ECANCELED);
	CU_ASSERT_EQUAL(site_guest_pause(fx->site, "red/vm1", true), 0);
	CU_ASSERT_EQUAL(site_guest_export(fx->site, "red/vm1", fd), -ECANCELED);
	CU_ASSERT_EQUAL(site_guest_pause(fx->site, "red/vm1", false), 0);
	close(fd);
}

static void test_ending(void)
{
	struct site_delta_figures figures;
	struct test_hurry h = {.told = 0};
	unsigned int problems = 0;
	struct fixture fx;
	struct view *view = test_open(&fx);
	int fd = test_file();

	test_fill(&fx, view);
	CU_ASSERT_EQUAL(site_delta_export(fx.site, "red/vm1", NULL, fd), 0);
	check_mute();
	h.depot = fx.depot;
	CU_ASSERT_EQUAL(
	    site_delta_diff(fx.site, "red/vm1", test_hurry_change, &h),
	    -ECANCELED);
	CU_ASSERT_EQUAL(h.told, 1);
	test_hurry_all(&fx, fd);
	fixture_restart(&fx, true);
	h = (struct test_hurry){.depot = fx.depot};
	CU_ASSERT_EQUAL(
	    site_delta_objects(fx.site, "red/vm1", NULL, test_hurry_object, &h),
	    -ECANCELED);
	CU_ASSERT_TRUE(h.taken > 0 && h.taken < TEST_BIG_LEN);
	CU_ASSERT_EQUAL(h.rc, -ECANCELED);
	check_unmute();
	fixture_restart(&fx, true);
	CU_ASSERT_TRUE(test_filled(fixture_view(&fx, "/red/vm1")));
	CU_ASSERT_EQUAL(site_delta_verify(fx.site, "red/vm1", test_hurry_tell,
					  &problems, &figures),
			0);
	CU_ASSERT_EQUAL(problems, 0);
	close(fd);
	fixture_close(&fx);
}

static const struct check_test tests[] = {
    {"a delta out and in", test_delta},
    {"damaged streams", test_damaged},
    {"a guest moves", test_move},
    {"a guest moves with what it may have", test_move_entitled},
    {"the daemon ends meanwhile", test_ending},
};

int main(void)
{
	return check_main("test_delta_stream", tests, ARRAY_LEN(tests));
}
