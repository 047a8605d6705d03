/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sync: replies and the disk (rules N-01, N-03, N-04, N-06, N-07).  The
 * daemon's syncs are recorded, held back or failed (tests/lib/preload.h): what
 * is promised as stable is answered behind its sync, never before; what could
 * not be synced is never acknowledged; and a call that is sent again while its
 * first copy waits for the disk is done once and answered once, where it was
 * sent last.
 */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/nfsrig.h"
#include "tests/lib/preload.h"

enum {
	QUIET_MS = 150, /* so long nothing may come */
	CALL_MAX = 4096,
	LARGE = 60000, /* of a host file; small files lie in the log */
};

static struct rig rig;
static struct preload *preload;

#define SET(field, value)                                                      \
	__atomic_store_n(&preload->field, value, __ATOMIC_SEQ_CST)
#define GET(field) __atomic_load_n(&preload->field, __ATOMIC_SEQ_CST)

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* --- N-01, N-04: the order of syncs and replies -------------------------- */

/* Where `event` is, from `at` on and before the first reply; -1: nowhere. */
static int event_before_reply(int at, unsigned int event)
{
	uint32_t count = MIN(GET(event_count), (uint32_t)PRELOAD_EVENTS_MAX);

	for (uint32_t i = (uint32_t)at; i < count; i++) {
		if (preload->event[i] == PRELOAD_SENT)
			return -1;
		if (preload->event[i] == event)
			return (int)i;
	}
	return -1;
}

/* A sync of `file` began and ended at or behind `at`, before the reply; where
 * it ended, or -1. */
static int synced_before_reply(int at, enum preload_file file)
{
	int begin = event_before_reply(at, PRELOAD_BEGIN + file);

	return begin < 0 ? -1 : event_before_reply(begin, PRELOAD_DONE + file);
}

/* Nothing that was done before is still being synced. */
static void events_clear(void)
{
	uint32_t count;

	do {
		count = GET(event_count);
		sleep_ms(20);
	} while (GET(event_count) != count);
	SET(event_count, 0);
}

/* N-01: DATA_SYNC, FILE_SYNC and COMMIT. */
static void t_N_01_order(void)
{
	static const uint32_t sizes[] = {1, 4095, 4096, 16384, LARGE, 1 << 20};
	CLEANUP_FREE uint8_t *data = calloc(1, 1 << 20);
	uint32_t committed;
	struct raw_fh dir, fh;
	uint64_t verifier;
	char name[32];
	int at;

	rig_dir(&rig, &dir);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (uint32_t level = 0; level < 3; level++) {
			rig_at("%u bytes, level %u", sizes[i], level);
			snprintf(name, sizeof(name), "f%zu-%u", i, level);
			fh = rig_make(&rig, &dir, name, 0644, "", 0);
			events_clear();
			EXPECT(raw_write(&rig.raw, &fh, 0, data, sizes[i],
					 level, &committed, &verifier),
			       S_OK);
			CU_ASSERT(committed >= level);
			if (committed == 0) {
				events_clear();
				EXPECT(raw_commit(&rig.raw, &fh, &verifier),
				       S_OK);
			}
			/* The data first, then what points at it. */
			at = 0;
			if (sizes[i] > 16384)
				at = synced_before_reply(0, PRELOAD_HOST);
			CU_ASSERT(at >= 0);
			CU_ASSERT(
			    synced_before_reply(MAX(at, 0), PRELOAD_LOG) >= 0);
		}
	rig_at("%s", "");
}

/* A whole page written over: nothing but the data has changed, yet it is
 * synced. */
static void t_N_01_overwrite(void)
{
	CLEANUP_FREE uint8_t *data = calloc(1, LARGE);
	uint32_t committed;
	struct raw_fh dir, fh;
	uint64_t verifier;

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, data, LARGE);
	for (uint32_t i = 0; i < 10; i++) {
		rig_at("overwrite %u", i);
		events_clear();
		EXPECT(raw_write(&rig.raw, &fh, 4096 * i, data, 4096, 2,
				 &committed, &verifier),
		       S_OK);
		CU_ASSERT(synced_before_reply(0, PRELOAD_HOST) >= 0);
	}
	rig_at("%s", "");
}

/* The control of what the recorder says: calls that change nothing. */
static void t_N_01_recorder(void)
{
	struct raw_attr attr;
	struct raw_fh dir, fh;

	events_clear();
	EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
	CU_ASSERT(GET(event_count) > 0);
	EXPECT(synced_before_reply(0, PRELOAD_LOG), -1);
	EXPECT(synced_before_reply(0, PRELOAD_HOST), -1);
	/* Nor, the control of the tests around, when a daemon answers without
	 * its sync having been done. */
	rig_dir(&rig, &dir);
	events_clear();
	preload->fail_hidden = 1;
	SET(fail_at, PRELOAD_EVERY);
	SET(fail_mask, PRELOAD_BIT(PRELOAD_LOG));
	EXPECT(raw_mkdir(&rig.raw, &dir, "d", 0755, &fh), S_OK);
	SET(fail_mask, 0);
	SET(fail_at, 0);
	preload->fail_hidden = 0;
	EXPECT(synced_before_reply(0, PRELOAD_LOG), -1);
}

static const uint32_t changing[] = {P_SETATTR, P_CREATE, P_MKDIR,
				    P_SYMLINK, P_MKNOD,  P_REMOVE,
				    P_RMDIR,   P_RENAME, P_LINK};

/* The argument that makes raw_begin_any() succeed in prepare()'s directory. */
static const char *name_for(uint32_t proc)
{
	switch (proc) {
	case P_REMOVE:
	case P_RENAME:
		return "old-file";
	case P_RMDIR:
		return "old-dir";
	default:
		return "new";
	}
}

static struct raw_fh prepare(struct raw_fh *file)
{
	struct raw_fh dir, sub;

	rig_dir(&rig, &dir);
	*file = rig_make(&rig, &dir, "old-file", 0644, "x", 1);
	ASSERT(raw_mkdir(&rig.raw, &dir, "old-dir", 0755, &sub) == 0);
	return dir;
}

/* The call of `proc` in a connection's buffer. */
static void begin_change(struct raw *raw, uint32_t proc,
			 const struct raw_fh *dir, const struct raw_fh *file)
{
	if (proc == P_LINK)
		raw_begin_link(raw, file, dir, "new");
	else if (proc == P_RENAME)
		raw_begin_rename(raw, dir, "old-file", dir, "new");
	else
		raw_begin_any(raw, proc, dir, dir, name_for(proc));
}

/* N-04: the log is synced behind the call and before its reply. */
static void t_N_04_order(void)
{
	struct raw_fh dir, file;

	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		rig_at("procedure %u", changing[i]);
		dir = prepare(&file);
		events_clear();
		begin_change(&rig.raw, changing[i], &dir, &file);
		EXPECT(raw_status(&rig.raw), S_OK);
		CU_ASSERT(synced_before_reply(0, PRELOAD_LOG) >= 0);
	}
	rig_at("%s", "");
}

/* --- syncs that are held back -------------------------------------------- */

static void hold(uint32_t bits)
{
	SET(hold, bits);
}

/* Until a sync waits; false: none comes. */
static bool hold_wait(void)
{
	for (int i = 0; i < 5000 && GET(held) == 0; i++)
		sleep_ms(1);
	return GET(held) > 0;
}

static void let_go(void)
{
	SET(hold, 0);
	while (GET(held) > 0)
		sleep_ms(1);
}

/* N-04: none of the nine is answered while the log is held, each after it. */
static void t_N_04_held(void)
{
	struct raw raws[ARRAY_LEN(changing)];
	struct raw_fh dir, file;

	for (size_t i = 0; i < ARRAY_LEN(changing); i++)
		rig_connect(&rig, &raws[i]);
	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		dir = prepare(&file);
		begin_change(&raws[i], changing[i], &dir, &file);
	}
	hold(PRELOAD_BIT(PRELOAD_LOG));
	for (size_t i = 0; i < ARRAY_LEN(changing); i++)
		CU_ASSERT(raw_send(&raws[i]));
	CU_ASSERT(hold_wait());
	sleep_ms(QUIET_MS);
	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		rig_at("procedure %u", changing[i]);
		CU_ASSERT(!raw_readable(&raws[i], 0));
	}
	let_go();
	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		rig_at("procedure %u", changing[i]);
		EXPECT(raw_reply(&raws[i]), 0);
		EXPECT(raw_get32(&raws[i]), S_OK);
		raw_close(&raws[i]);
	}
	rig_at("%s", "");
}

/* While one guest's call waits for the disk, all that needs no disk goes on,
 * for it and for others. */
static void t_N_04_held_reads(void)
{
	struct raw_fh dir, file, fh;
	struct raw_attr attr;
	struct raw other;
	uint64_t begin;

	rig_connect(&rig, &other);
	dir = prepare(&file);
	hold(PRELOAD_BIT(PRELOAD_LOG));
	raw_begin_create(&rig.raw, &dir, "held", 1, 0644);
	CU_ASSERT(raw_send(&rig.raw));
	CU_ASSERT(hold_wait());
	begin = check_now_ns();
	for (int i = 0; i < 100; i++) {
		EXPECT(raw_getattr(&other, &dir, &attr), S_OK);
		EXPECT(raw_lookup(&other, &dir, "old-file", &fh, NULL), S_OK);
	}
	CU_ASSERT(check_now_ns() - begin < 1000000000ull);
	CU_ASSERT(!raw_readable(&rig.raw, 0));
	let_go();
	EXPECT(raw_reply(&rig.raw), 0);
	EXPECT(raw_get32(&rig.raw), S_OK);
	raw_close(&other);
}

/* --- N-07: sent again while the first waits ------------------------------ */

struct sent {
	size_t len;
	uint32_t xid;
	uint8_t bytes[CALL_MAX];
};

static void keep_call(struct raw *raw, struct sent *sent)
{
	ASSERT(raw->out_len <= sizeof(sent->bytes));
	be32_put(raw->out, (uint32_t)(raw->out_len - 4) | 0x80000000u);
	memcpy(sent->bytes, raw->out, raw->out_len);
	sent->len = raw->out_len;
	sent->xid = be32_get(raw->out + 4);
}

static void send_it(struct raw *raw, const struct sent *sent)
{
	CU_ASSERT(raw_send_bytes(raw, sent->bytes, sent->len));
}

/* The one reply to `sent`, its status; and nothing behind it. */
static int only_reply(struct raw *raw, const struct sent *sent)
{
	int rc = raw_reply(raw);

	if (rc != 0)
		return rc;
	EXPECT(raw->reply_xid, sent->xid);
	rc = (int)raw_get32(raw);
	CU_ASSERT(!raw_readable(raw, QUIET_MS));
	return rc;
}

/* One object of that name in the directory, and no other new one. */
static void one_object(const struct raw_fh *dir, const char *name, size_t names)
{
	struct raw_listing list = {.count = 0};

	EXPECT(raw_list(&rig.raw, dir, false, 8192, &list), S_OK);
	CU_ASSERT(raw_listing_find(&list, name) != NULL);
	EXPECT(list.count, names + 2);
	raw_listing_free(&list);
}

/*
 * The rule's own case, for each procedure: the call waits for the disk, its
 * connection goes, a new one sends it again; then the disk answers.  Exactly
 * one reply, on the new connection, of the one execution: a second one would
 * answer EXIST or NOENT.
 */
static void t_N_07_held_reconnect(void)
{
	struct raw_fh dir, file;
	struct raw a, b;
	struct sent sent;

	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		rig_at("procedure %u", changing[i]);
		dir = prepare(&file);
		rig_connect(&rig, &a);
		begin_change(&a, changing[i], &dir, &file);
		keep_call(&a, &sent);
		hold(PRELOAD_BIT(PRELOAD_LOG));
		send_it(&a, &sent);
		CU_ASSERT(hold_wait());
		raw_close(&a);
		rig_connect(&rig, &b);
		send_it(&b, &sent);
		CU_ASSERT(!raw_readable(&b, QUIET_MS));
		let_go();
		EXPECT(only_reply(&b, &sent), S_OK);
		raw_close(&b);
		if (changing[i] == P_CREATE)
			one_object(&dir, "new", 3);
	}
	rig_at("%s", "");
}

/* Both connections live: the newer one is answered, the older one not. */
static void t_N_07_held_both(void)
{
	struct raw_fh dir, file;
	struct raw raws[3];
	struct sent sent;

	dir = prepare(&file);
	for (int i = 0; i < 3; i++)
		rig_connect(&rig, &raws[i]);
	raw_begin_create(&raws[0], &dir, "new", 1, 0644);
	keep_call(&raws[0], &sent);
	hold(PRELOAD_BIT(PRELOAD_LOG));
	send_it(&raws[0], &sent);
	CU_ASSERT(hold_wait());
	for (int i = 1; i < 3; i++) {
		send_it(&raws[i], &sent);
		CU_ASSERT(!raw_readable(&raws[i], QUIET_MS));
	}
	let_go();
	EXPECT(only_reply(&raws[2], &sent), S_OK);
	for (int i = 0; i < 2; i++)
		CU_ASSERT(!raw_readable(&raws[i], 0));
	one_object(&dir, "new", 3);
	for (int i = 0; i < 3; i++)
		raw_close(&raws[i]);
}

/* On the same connection, five copies: one reply. */
static void t_N_07_held_same(void)
{
	struct raw_fh dir, file;
	struct sent sent;
	struct raw raw;

	dir = prepare(&file);
	rig_connect(&rig, &raw);
	raw_begin_mkdir(&raw, &dir, "new", 0755);
	keep_call(&raw, &sent);
	hold(PRELOAD_BIT(PRELOAD_LOG));
	send_it(&raw, &sent);
	CU_ASSERT(hold_wait());
	for (int i = 0; i < 4; i++)
		send_it(&raw, &sent);
	CU_ASSERT(!raw_readable(&raw, QUIET_MS));
	let_go();
	EXPECT(only_reply(&raw, &sent), S_OK);
	one_object(&dir, "new", 3);
	raw_close(&raw);
}

/* The connection of the retransmission goes, too; a third one asks. */
static void t_N_07_held_thrice(void)
{
	struct raw_fh dir, file;
	struct sent sent;
	struct raw raw;

	dir = prepare(&file);
	for (int i = 0; i < 4; i++) {
		rig_at("connection %d", i);
		rig_connect(&rig, &raw);
		if (i == 0) {
			raw_begin_rename(&raw, &dir, "old-file", &dir, "new");
			keep_call(&raw, &sent);
			hold(PRELOAD_BIT(PRELOAD_LOG));
		}
		send_it(&raw, &sent);
		CU_ASSERT(hold_wait());
		CU_ASSERT(!raw_readable(&raw, 20));
		if (i == 3) {
			let_go();
			EXPECT(only_reply(&raw, &sent), S_OK);
		}
		raw_close(&raw);
	}
	one_object(&dir, "new", 2);
	rig_at("%s", "");
}

/* The last connection goes while the call is held, and only then the disk
 * answers: who asks later gets the reply of the one execution. */
static void t_N_07_held_later(void)
{
	struct raw_fh dir, file;
	struct sent sent;
	struct raw raw;

	dir = prepare(&file);
	rig_connect(&rig, &raw);
	raw_begin_remove(&raw, &dir, "old-file", false);
	keep_call(&raw, &sent);
	hold(PRELOAD_BIT(PRELOAD_LOG));
	send_it(&raw, &sent);
	CU_ASSERT(hold_wait());
	raw_close(&raw);
	sleep_ms(QUIET_MS);
	let_go();
	rig_connect(&rig, &raw);
	send_it(&raw, &sent);
	EXPECT(only_reply(&raw, &sent), S_OK);
	raw_close(&raw);
}

/*
 * WRITE and COMMIT are no part of the cache, since doing them again does the
 * same: sent again while the first waits, on a new connection, they are
 * answered there, rightly, behind a sync, and the file is right.
 */
static void t_N_07_write_commit(void)
{
	static const uint32_t holds[] = {PRELOAD_BIT(PRELOAD_LOG),
					 PRELOAD_BIT(PRELOAD_HOST)};
	uint8_t data[LARGE], part[3000];
	struct raw_fh dir, fh;
	struct raw a, b;
	struct sent sent;
	uint64_t verifier;

	check_fill(data, sizeof(data), 3);
	check_fill(part, sizeof(part), 4);
	memcpy(data + 40001, part, sizeof(part));
	for (int i = 0; i < 4; i++) {
		rig_at("case %d", i);
		rig_dir(&rig, &dir);
		fh = rig_make(&rig, &dir, "f", 0644, data, 40001);
		if (i >= 2)
			EXPECT(raw_write(&rig.raw, &fh, 40001, part,
					 sizeof(part), 0, &(uint32_t){0},
					 &verifier),
			       S_OK);
		rig_connect(&rig, &a);
		if (i < 2)
			raw_begin_write(&a, &fh, 40001, part, sizeof(part), 2);
		else
			raw_begin_fh(&a, P_COMMIT, &fh);
		if (i >= 2) {
			raw_put64(&a, 0);
			raw_put32(&a, 0);
		}
		keep_call(&a, &sent);
		hold(holds[i % 2]);
		send_it(&a, &sent);
		CU_ASSERT(hold_wait());
		raw_close(&a);
		rig_connect(&rig, &b);
		send_it(&b, &sent);
		CU_ASSERT(!raw_readable(&b, QUIET_MS));
		let_go();
		EXPECT(only_reply(&b, &sent), S_OK);
		raw_close(&b);
		CU_ASSERT(rig_same(&rig.raw, &fh, data, 40001 + sizeof(part)));
		rig_kill(&rig);
		CU_ASSERT(rig_same(&rig.raw, &fh, data, 40001 + sizeof(part)));
	}
	rig_at("%s", "");
}

/* --- N-03, N-06: syncs that fail ------------------------------------------
 *
 * A workload of every kind of promise, with the k-th sync failing, for every k.
 * The client obeys the protocol: a call without an answer is sent again with
 * its xid, an unstable WRITE is sent again unless a COMMIT answers with its
 * verifier.  No answer may be a promise while a sync it needs has failed.
 */

struct fault {
	unsigned int k;
	int error;
	unsigned int restarts, errors, rewrites;
};

static void fault_revive(struct fault *f)
{
	/* It ends itself when its log fails. */
	for (int i = 0; i < 500 && daemon_lives(&rig.daemon); i++)
		sleep_ms(1);
	if (!daemon_lives(&rig.daemon)) {
		daemon_kill(&rig.daemon);
		ASSERT(daemon_start(&rig.daemon));
		f->restarts++;
	}
	rig_reconnect(&rig);
}

/* Syncs of the store that have succeeded. */
static uint32_t fault_syncs(void)
{
	uint32_t count = 0;

	for (int i = 0; i < PRELOAD_FILES; i++)
		count += GET(syncs[i]);
	return count;
}

/*
 * The call in rig.raw until it is answered; its status.  An answer that came
 * although a sync failed since it was sent: *failed.  A log without room is
 * recovered: its records go to synced tables, which takes several syncs; what
 * is answered then is stable (kv_recover in depot/kv.h).
 */
static int fault_call(struct fault *f, bool *failed)
{
	struct sent sent;
	uint32_t before, syncs;
	int rc;

	keep_call(&rig.raw, &sent);
	for (int tries = 0; tries < 5; tries++) {
		before = GET(failed);
		syncs = fault_syncs();
		send_it(&rig.raw, &sent);
		rc = raw_reply(&rig.raw);
		*failed = GET(failed) != before &&
			  !(f->error == ENOSPC && fault_syncs() >= syncs + 3);
		if (rc == 0)
			return (int)raw_get32(&rig.raw);
		EXPECT(rc, RAW_CLOSED);
		fault_revive(f);
	}
	CU_FAIL("a call is never answered");
	return RAW_CLOSED;
}

/* A call that is stable when it is answered: OK and a failed sync do not go
 * together.  An error is no promise: try again, as a program would. */
static void fault_stable(struct fault *f, void (*begin)(const void *args),
			 const void *args)
{
	bool failed;
	int rc = S_IO;

	for (int tries = 0; tries < 3 && rc != S_OK; tries++) {
		begin(args);
		rc = fault_call(f, &failed);
		if (rc == S_OK)
			EXPECT(failed, false);
		else
			EXPECT_ONE_OF(rc, S_IO, S_NOSPC);
		f->errors += rc != S_OK;
	}
	EXPECT(rc, S_OK);
}

struct fault_args {
	struct raw_fh dir, file;
	const char *name;
	uint64_t off;
	const uint8_t *data;
	uint32_t len;
};

static void begin_create(const void *args)
{
	const struct fault_args *a = args;

	raw_begin_create(&rig.raw, &a->dir, a->name, 1, 0644);
}

static void begin_mkdir(const void *args)
{
	const struct fault_args *a = args;

	raw_begin_mkdir(&rig.raw, &a->dir, a->name, 0755);
}

static void begin_rename(const void *args)
{
	const struct fault_args *a = args;

	raw_begin_rename(&rig.raw, &a->dir, a->name, &a->dir, "renamed");
}

static void begin_stable_write(const void *args)
{
	const struct fault_args *a = args;

	raw_begin_write(&rig.raw, &a->file, a->off, a->data, a->len, 2);
}

/* UNSTABLE, in pieces; the verifier, or 0 when it was not the same for all or
 * one was refused. */
static uint64_t fault_write(struct fault *f, const struct fault_args *a)
{
	enum { PIECE = 20000 };
	struct raw *raw = &rig.raw;
	uint64_t first = 0, verifier;
	struct raw_wcc wcc;
	bool same = true;
	uint32_t len;
	int rc;

	for (uint32_t at = 0; at < a->len; at += len) {
		len = MIN(a->len - at, (uint32_t)PIECE);
		/* Too long to be kept by fault_call(). */
		raw_begin_write(raw, &a->file, a->off + at, a->data + at, len,
				0);
		rc = raw_status(raw);
		if (rc == RAW_CLOSED) {
			/* Its ctime bound (N-13) waited for the log: all of
			 * it again, at the next life. */
			fault_revive(f);
			return 0;
		}
		if (rc != S_OK) {
			EXPECT_ONE_OF(rc, S_IO, S_NOSPC);
			f->errors++;
			return 0;
		}
		raw_get_wcc(raw, &wcc);
		EXPECT(raw_get32(raw), len);
		raw_get32(raw);
		verifier = raw_get64(raw);
		same = same && (at == 0 || verifier == first);
		first = verifier;
	}
	return same ? first : 0;
}

/* The status of a COMMIT of it all, and its verifier. */
static int fault_commit(struct fault *f, const struct fault_args *a,
			uint64_t *verifier, bool *failed)
{
	struct raw_wcc wcc;
	int rc;

	raw_begin_fh(&rig.raw, P_COMMIT, &a->file);
	raw_put64(&rig.raw, 0);
	raw_put32(&rig.raw, 0);
	rc = fault_call(f, failed);
	if (rc != S_OK)
		return rc;
	raw_get_wcc(&rig.raw, &wcc);
	*verifier = raw_get64(&rig.raw);
	return rc;
}

/* WRITE and COMMIT until the verifiers are the same. */
static void fault_write_commit(struct fault *f, const struct fault_args *a)
{
	uint64_t written, verifier = 0;
	bool failed;

	for (int tries = 0; tries < 5; tries++) {
		written = fault_write(f, a);
		if (written == 0)
			continue;
		if (fault_commit(f, a, &verifier, &failed) == S_OK) {
			if (verifier == written) {
				EXPECT(failed, false);
				return;
			}
		} else {
			f->errors++;
			/* N-06: and now all must be sent again. */
			EXPECT(fault_commit(f, a, &verifier, &failed), S_OK);
			CU_ASSERT(verifier != written);
		}
		f->rewrites++;
	}
	CU_FAIL("no COMMIT ever holds");
}

static void fault_workload(struct fault *f)
{
	static uint8_t data[LARGE];
	struct fault_args a = {.name = "new", .data = data, .len = LARGE};
	uint8_t want[LARGE];

	rig_dir(&rig, &a.dir);
	check_fill(data, sizeof(data), f->k);
	preload->counted = preload->failed = 0;
	SET(fail_at, f->k);
	fault_stable(f, begin_create, &a);
	a.file = rig_walk(&rig, &a.dir, "new");
	fault_write_commit(f, &a); /* promotes it to a host file */
	memcpy(want, data, sizeof(want));
	check_fill(data, sizeof(data), f->k + 1000);
	a.off = 8192;
	a.len = 4096;
	fault_write_commit(f, &a); /* over what is there */
	memcpy(want + 8192, data, 4096);
	a.off = 100;
	a.len = 300;
	fault_stable(f, begin_stable_write, &a);
	memcpy(want + 100, data, 300);
	a.name = "sub";
	fault_stable(f, begin_mkdir, &a);
	a.name = "new";
	fault_stable(f, begin_rename, &a);
	SET(fail_at, 0);
	rig_kill(&rig);
	a.file = rig_walk(&rig, &a.dir, "renamed");
	CU_ASSERT(rig_same(&rig.raw, &a.file, want, LARGE));
	rig_walk(&rig, &a.dir, "sub");
}

static void sweep(int error, uint32_t mask)
{
	enum { K_MAX = 50 };
	struct fault f = {.error = error};
	unsigned int fired = 0;

	preload->fail_errno = (uint32_t)error;
	preload->fail_mask = mask;
	for (f.k = 1; f.k <= K_MAX; f.k++) {
		rig_at("errno %d, sync %u", error, f.k);
		fault_workload(&f);
		if (preload->failed == 0)
			break;
		fired++;
	}
	preload->fail_mask = 0;
	rig_at("errno %d, mask %x", error, mask);
	/* All were tried: the last round had none left to fail. */
	CU_ASSERT(fired > 0 && f.k <= K_MAX);
	CU_ASSERT(f.errors + f.restarts > 0);
	printf("errno %d: %u syncs failed; %u errors, %u restarts, %u times "
	       "sent again\n",
	       error, fired, f.errors, f.restarts, f.rewrites);
	rig_at("%s", "");
}

static const uint32_t all_files = PRELOAD_BIT(PRELOAD_LOG) |
				  PRELOAD_BIT(PRELOAD_HOST) |
				  PRELOAD_BIT(PRELOAD_DIR);

static void t_N_03_every_sync_eio(void)
{
	sweep(EIO, all_files);
}

static void t_N_03_every_sync_enospc(void)
{
	sweep(ENOSPC, all_files);
}

/* The control: with a daemon that does not look at what a sync says, the
 * COMMIT is the false promise which the sweep looks for. */
static void t_N_03_control(void)
{
	struct fault f = {.k = 1};
	struct fault_args a = {.len = LARGE};
	CLEANUP_FREE uint8_t *data = calloc(1, LARGE);
	uint64_t written, verifier = 0;
	bool failed = false;

	rig_dir(&rig, &a.dir);
	a.file = rig_make(&rig, &a.dir, "f", 0644, data, LARGE);
	a.data = data;
	written = fault_write(&f, &a);
	preload->counted = preload->failed = 0;
	preload->fail_errno = EIO;
	preload->fail_hidden = 1;
	SET(fail_at, 1);
	SET(fail_mask, PRELOAD_BIT(PRELOAD_HOST));
	EXPECT(fault_commit(&f, &a, &verifier, &failed), S_OK);
	SET(fail_mask, 0);
	preload->fail_hidden = 0;
	CU_ASSERT(verifier == written && failed);
}

/* N-02, N-06: a failed write-back changes the verifier at once, for all files
 * of the export, and COMMIT says so. */
static void t_N_06_verifier(void)
{
	uint8_t data[LARGE] = {1};
	struct raw_fh dir, fh, other;
	uint64_t before, after;
	uint32_t committed;

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, data, LARGE);
	other = rig_make(&rig, &dir, "other", 0644, data, 10);
	EXPECT(raw_write(&rig.raw, &fh, 0, data, 4096, 0, &committed, &before),
	       S_OK);
	preload->counted = preload->failed = 0;
	preload->fail_errno = EIO;
	SET(fail_at, 1);
	SET(fail_mask, PRELOAD_BIT(PRELOAD_HOST));
	EXPECT(raw_commit(&rig.raw, &fh, &after), S_IO);
	EXPECT(preload->failed, 1);
	SET(fail_mask, 0);
	SET(fail_at, 0);
	/* A second sync that succeeds proves nothing. */
	EXPECT(raw_commit(&rig.raw, &fh, &after), S_OK);
	CU_ASSERT(after != before);
	EXPECT(raw_commit(&rig.raw, &other, &before), S_OK);
	CU_ASSERT(after == before);
	EXPECT(raw_write(&rig.raw, &fh, 0, data, 4096, 0, &committed, &before),
	       S_OK);
	CU_ASSERT(after == before);
	EXPECT(raw_commit(&rig.raw, &fh, &after), S_OK);
	CU_ASSERT(after == before);
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
    TEST(t_N_01_order),          TEST(t_N_01_overwrite),
    TEST(t_N_01_recorder),       TEST(t_N_04_order),
    TEST(t_N_04_held),           TEST(t_N_04_held_reads),
    TEST(t_N_07_held_reconnect), TEST(t_N_07_held_both),
    TEST(t_N_07_held_same),      TEST(t_N_07_held_thrice),
    TEST(t_N_07_held_later),     TEST(t_N_07_write_commit),
    TEST(t_N_06_verifier),       TEST(t_N_03_control),
    TEST(t_N_03_every_sync_eio), TEST(t_N_03_every_sync_enospc),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	ASSERT(daemon_stop(&rig.daemon) == 0);
	preload = daemon_preload(&rig.daemon);
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	rc = check_main("test_sync", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
