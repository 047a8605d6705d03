/* SPDX-License-Identifier: Apache-2.0 */
#include "nfsd/drc.h"
#include "nfsd/program.h"
#include "tests/fake/fake_view.h"
#include "tests/lib/check.h"

struct teller {
	struct drc_waiter waiter;
	unsigned int told;
};

static struct view *red, *blue;
static struct drc *drc;

static void teller_told(struct drc_waiter *waiter)
{
	container_of(waiter, struct teller, waiter)->told++;
}

static struct teller teller_new(void)
{
	return (struct teller){.waiter = {.told = teller_told}};
}

static void set_up(void)
{
	red = fake_view_new(7, "/red/vm1", "");
	blue = fake_view_new(8, "/blue/vm1", "");
	ASSERT(drc_new(&drc) == 0);
}

static void tear_down(void)
{
	drc_free(drc);
	fake_view_free(red);
	fake_view_free(blue);
}

static struct drc_key key_of(uint32_t xid)
{
	return (struct drc_key){
	    .xid = xid, .proc = NFS3_CREATE, .cred_hash = 11, .args_sum = 22};
}

static int begin(struct view *view, const struct drc_key *key,
		 struct teller *teller, struct drc_entry **entry)
{
	*entry = NULL;
	return drc_begin(drc, view, key, &teller->waiter, entry);
}

/* Begin, store (when `keep`) and finish with the body. */
static void run(struct view *view, const struct drc_key *key, const char *body,
		bool keep)
{
	struct teller teller = teller_new();
	struct drc_entry *entry;
	uint8_t record[VIEW_REPLY_MAX];
	uint32_t slot;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(begin(view, key, &teller, &entry), DRC_NEW);
	if (keep) {
		len = drc_store(entry, (const uint8_t *)body, strlen(body),
				record, &slot);
		CU_ASSERT_EQUAL(len, DRC_RECORD_HEADER + strlen(body));
		fake_view_set_reply(view, slot, record, len);
	}
	CU_ASSERT_FALSE(drc_finish(entry, (const uint8_t *)body, strlen(body)));
}

static bool replays(struct view *view, const struct drc_key *key,
		    const char *body)
{
	struct teller teller = teller_new();
	struct drc_entry *entry;
	int rc = begin(view, key, &teller, &entry);

	if (rc == DRC_NEW)
		drc_finish(entry, (const uint8_t *)"none", 4);
	return rc == DRC_REPLAY && teller.waiter.body_len == strlen(body) &&
	       memcmp(teller.waiter.body, body, strlen(body)) == 0;
}

static void test_finished(void)
{
	struct drc_key key = key_of(1);

	set_up();
	run(red, &key, "reply one", true);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_TRUE(replays(red, &key, "reply one"));
	tear_down();
}

/* Each part of the key tells calls apart. */
static void test_key(void)
{
	struct drc_key key = key_of(1), other;

	set_up();
	run(red, &key, "mine", true);
	other = key;
	other.xid++;
	CU_ASSERT_FALSE(replays(red, &other, "mine"));
	other = key;
	other.proc = NFS3_REMOVE;
	CU_ASSERT_FALSE(replays(red, &other, "mine"));
	other = key;
	other.cred_hash++;
	CU_ASSERT_FALSE(replays(red, &other, "mine"));
	other = key;
	other.args_sum++;
	CU_ASSERT_FALSE(replays(red, &other, "mine"));
	CU_ASSERT_FALSE(replays(blue, &key, "mine"));
	CU_ASSERT_TRUE(replays(red, &key, "mine"));
	tear_down();
}

static void test_in_progress(void)
{
	struct teller first = teller_new(), second = teller_new();
	struct teller third = teller_new();
	struct drc_key key = key_of(5);
	struct drc_entry *entry, *none;

	set_up();
	CU_ASSERT_EQUAL(begin(red, &key, &first, &entry), DRC_NEW);
	CU_ASSERT_EQUAL(begin(red, &key, &second, &none), DRC_BUSY);
	CU_ASSERT_EQUAL(begin(red, &key, &third, &none), DRC_BUSY);
	CU_ASSERT_EQUAL(second.told, 1);
	CU_ASSERT_EQUAL(second.waiter.verdict, DRC_BUSY);
	CU_ASSERT_FALSE(drc_cancel(&second.waiter));
	CU_ASSERT_EQUAL(third.told, 0);
	CU_ASSERT_TRUE(drc_finish(entry, (const uint8_t *)"done", 4));
	CU_ASSERT_EQUAL(third.told, 1);
	CU_ASSERT_EQUAL(third.waiter.verdict, DRC_REPLAY);
	CU_ASSERT_EQUAL(third.waiter.body_len, 4);
	CU_ASSERT_EQUAL(first.told, 0);
	CU_ASSERT_TRUE(replays(red, &key, "done"));
	tear_down();
}

static void test_cancel(void)
{
	struct teller first = teller_new(), second = teller_new();
	struct drc_key key = key_of(5);
	struct drc_entry *entry, *none;

	set_up();
	CU_ASSERT_EQUAL(begin(red, &key, &first, &entry), DRC_NEW);
	CU_ASSERT_EQUAL(begin(red, &key, &second, &none), DRC_BUSY);
	CU_ASSERT_TRUE(drc_cancel(&second.waiter));
	CU_ASSERT_FALSE(drc_cancel(&second.waiter));
	CU_ASSERT_FALSE(drc_finish(entry, (const uint8_t *)"done", 4));
	CU_ASSERT_EQUAL(second.told, 0);
	tear_down();
}

/* The log failed: nobody is answered, ever, by this process. */
static void test_lost(void)
{
	struct teller first = teller_new(), second = teller_new();
	struct drc_key key = key_of(5);
	struct drc_entry *entry, *none;

	set_up();
	CU_ASSERT_EQUAL(begin(red, &key, &first, &entry), DRC_NEW);
	CU_ASSERT_EQUAL(begin(red, &key, &second, &none), DRC_BUSY);
	drc_lose(entry);
	CU_ASSERT_EQUAL(second.told, 1);
	CU_ASSERT_EQUAL(second.waiter.verdict, DRC_LOST);
	CU_ASSERT_EQUAL(begin(red, &key, &second, &none), DRC_LOST);
	tear_down();
}

static void restart(void)
{
	drc_free(drc);
	ASSERT(drc_new(&drc) == 0);
}

/* Successes survive, failures do not; numbers go on. */
static void test_restart(void)
{
	struct drc_key kept = key_of(1), failed = key_of(2), more = key_of(3);
	const uint8_t *record;

	set_up();
	run(red, &kept, "kept", true);
	run(red, &failed, "failed", false);
	restart();
	CU_ASSERT_TRUE(replays(red, &kept, "kept"));
	CU_ASSERT_FALSE(replays(red, &failed, "failed"));
	run(red, &more, "more", true);
	CU_ASSERT_NOT_EQUAL(fake_view_get_reply(red, 2, &record), 0);
	restart();
	CU_ASSERT_TRUE(replays(red, &kept, "kept"));
	CU_ASSERT_TRUE(replays(red, &more, "more"));
	tear_down();
}

/* The oldest goes first; the other guest's stay; slots are used again. */
static void test_bound(void)
{
	struct drc_key key;

	set_up();
	key = key_of(1);
	run(blue, &key, "blue", true);
	for (uint32_t xid = 1; xid <= DRC_ENTRIES_MAX + 10; xid++) {
		key = key_of(xid);
		run(red, &key, "body", true);
	}
	CU_ASSERT_EQUAL(drc_count(drc, red), DRC_ENTRIES_MAX);
	CU_ASSERT_EQUAL(drc_count(drc, blue), 1);
	key = key_of(11);
	CU_ASSERT_TRUE(replays(red, &key, "body"));
	restart();
	key = key_of(DRC_ENTRIES_MAX + 10);
	CU_ASSERT_TRUE(replays(red, &key, "body"));
	key = key_of(11);
	CU_ASSERT_TRUE(replays(red, &key, "body"));
	CU_ASSERT_EQUAL(drc_count(drc, red), DRC_ENTRIES_MAX);
	key = key_of(10);
	CU_ASSERT_FALSE(replays(red, &key, "body"));
	key = key_of(1);
	CU_ASSERT_TRUE(replays(blue, &key, "blue"));
	tear_down();
}

/* Any byte of a record changed, any length: ignored, no crash. */
static void test_corrupt(void)
{
	uint8_t bytes[VIEW_REPLY_MAX];
	struct drc_key key = key_of(9);
	const uint8_t *record;
	size_t len;

	set_up();
	run(red, &key, "twelve bytes", true);
	len = fake_view_get_reply(red, 1, &record);
	CU_ASSERT_EQUAL_FATAL(len, DRC_RECORD_HEADER + 12);
	memcpy(bytes, record, len);
	check_mute();
	for (size_t i = 0; i < len; i++) {
		bytes[i] ^= 0x40;
		fake_view_set_reply(red, 1, bytes, len);
		restart();
		CU_ASSERT_FALSE(replays(red, &key, "twelve bytes"));
		bytes[i] ^= 0x40;
	}
	for (size_t i = 0; i < len; i++) {
		fake_view_set_reply(red, 1, bytes, i);
		restart();
		CU_ASSERT_FALSE(replays(red, &key, "twelve bytes"));
	}
	/* Right, but in another slot than its number says. */
	fake_view_set_reply(red, 1, bytes, 0);
	fake_view_set_reply(red, 2, bytes, len);
	restart();
	CU_ASSERT_FALSE(replays(red, &key, "twelve bytes"));
	fake_view_set_reply(red, 1, bytes, len);
	restart();
	CU_ASSERT_TRUE(replays(red, &key, "twelve bytes"));
	check_unmute();
	tear_down();
}

static void test_unreadable(void)
{
	struct teller teller = teller_new();
	struct drc_key key = key_of(9);
	struct drc_entry *entry;

	set_up();
	run(red, &key, "kept", true);
	restart();
	fake_view_fail(red, -EIO);
	CU_ASSERT_EQUAL(begin(red, &key, &teller, &entry), -EIO);
	CU_ASSERT_TRUE(replays(red, &key, "kept"));
	tear_down();
}

/* The copy over the connection that has gone is read last: it must not take the
 * answer with it. */
static void test_older_connection(void)
{
	struct teller first = teller_new(), late = teller_new();
	struct teller newer = teller_new(), between = teller_new();
	struct drc_key key = key_of(1);
	struct drc_entry *entry, *none;

	set_up();
	first.waiter.order = 2;
	late.waiter.order = 1;
	newer.waiter.order = 4;
	between.waiter.order = 3;
	CU_ASSERT_EQUAL_FATAL(begin(red, &key, &first, &entry), DRC_NEW);
	CU_ASSERT_EQUAL(begin(red, &key, &late, &none), DRC_OLD);
	CU_ASSERT_FALSE(drc_finish(entry, (const uint8_t *)"one", 3));
	CU_ASSERT_EQUAL(late.told, 0);
	/* Nor from a retransmission that waits. */
	key = key_of(2);
	CU_ASSERT_EQUAL_FATAL(begin(red, &key, &first, &entry), DRC_NEW);
	CU_ASSERT_EQUAL(begin(red, &key, &newer, &none), DRC_BUSY);
	CU_ASSERT_EQUAL(begin(red, &key, &between, &none), DRC_OLD);
	CU_ASSERT_TRUE(drc_finish(entry, (const uint8_t *)"two", 3));
	CU_ASSERT_EQUAL(newer.told, 1);
	CU_ASSERT_EQUAL(newer.waiter.verdict, DRC_REPLAY);
	CU_ASSERT_EQUAL(between.told, 0);
	tear_down();
}

static const struct check_test tests[] = {
    {"finished: replayed", test_finished},
    {"key", test_key},
    {"in progress: the newest is told", test_in_progress},
    {"in progress: cancelled", test_cancel},
    {"in progress: over an older connection", test_older_connection},
    {"lost", test_lost},
    {"restart", test_restart},
    {"bound per guest", test_bound},
    {"corrupt records", test_corrupt},
    {"records cannot be read", test_unreadable},
};

int main(void)
{
	return check_main("test_drc", tests, ARRAY_LEN(tests));
}
