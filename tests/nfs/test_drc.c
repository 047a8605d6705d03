/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_drc: calls that come twice or more (rules N-05, N-07 to N-11): on the
 * same connection, on another, after kill -9 and restart.  The reply is the
 * first one, byte for byte, and the effect happens once.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/lib/nfsrig.h"

enum { REPLY_MAX = 1024 };

static struct rig rig;

struct reply {
	int rc; /* accept_stat or RAW_* */
	size_t len;
	uint8_t bytes[REPLY_MAX];
};

/* A call as it was sent, to be sent again. */
struct sent {
	size_t len;
	uint8_t bytes[4096];
};

static void keep_call(struct raw *raw, struct sent *sent)
{
	be32_put(raw->out, (uint32_t)(raw->out_len - 4) | 0x80000000u);
	ASSERT(raw->out_len <= sizeof(sent->bytes));
	memcpy(sent->bytes, raw->out, raw->out_len);
	sent->len = raw->out_len;
}

static void take_reply(struct raw *raw, struct reply *reply)
{
	memset(reply, 0, sizeof(*reply));
	reply->rc = raw_reply(raw);
	if (reply->rc < 0)
		return;
	ASSERT(raw->in_len <= REPLY_MAX);
	reply->len = raw->in_len;
	memcpy(reply->bytes, raw->in, raw->in_len);
}

static void send_again(struct raw *raw, const struct sent *sent,
		       struct reply *reply)
{
	CU_ASSERT(raw_send_bytes(raw, sent->bytes, sent->len));
	take_reply(raw, reply);
}

static int status_of(const struct reply *reply)
{
	return reply->rc == 0 ? (int)be32_get(reply->bytes + 24) : reply->rc;
}

static bool same_reply(const struct reply *a, const struct reply *b)
{
	return a->rc == b->rc && a->len == b->len && a->len > 0 &&
	       memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* --- the calls that change something ------------------------------------- */

enum {
	C_CREATE,
	C_CREATE_EXCLUSIVE,
	C_CREATE_UNCHECKED,
	C_MKDIR,
	C_SYMLINK,
	C_MKNOD,
	C_REMOVE,
	C_RMDIR,
	C_RENAME,
	C_LINK,
	C_SETATTR,
	C_SETATTR_GUARD,
	C_COUNT
};

/* Each call has a plot of its own to act on. */
static void begin_call(struct raw *raw, int c, const struct raw_fh *dir)
{
	struct raw_sattr set = {.mask = RAW_SET_MODE, .mode = 0601};
	struct raw_fh file = rig_walk(&rig, dir, "file");
	struct raw_attr attr = {.present = false};

	switch (c) {
	case C_CREATE:
	case C_CREATE_EXCLUSIVE:
	case C_CREATE_UNCHECKED:
		raw_begin_create(raw, dir, "new",
				 c == C_CREATE_EXCLUSIVE ? 2
				 : c == C_CREATE         ? 1
							 : 0,
				 0600);
		break;
	case C_RMDIR:
		raw_begin_remove(raw, dir, "empty", true);
		break;
	case C_REMOVE:
		raw_begin_remove(raw, dir, "file", false);
		break;
	case C_RENAME:
		raw_begin_rename(raw, dir, "file", dir, "new");
		break;
	case C_LINK:
		raw_begin_link(raw, &file, dir, "new");
		break;
	case C_SETATTR:
		raw_begin_setattr(raw, &file, &set, NULL);
		break;
	case C_SETATTR_GUARD:
		EXPECT(raw_getattr(raw, &file, &attr), S_OK);
		raw_begin_setattr(raw, &file, &set, attr.ctime);
		break;
	default:
		raw_begin_any(raw,
			      c == C_MKDIR     ? P_MKDIR
			      : c == C_SYMLINK ? P_SYMLINK
					       : P_MKNOD,
			      dir, dir, "new");
		break;
	}
}

/* What must not move any more once a call has been done: ctime, names. */
struct state {
	struct raw_attr dir, file;
	size_t names;
};

static void take_state(const struct raw_fh *dir, struct state *state)
{
	struct raw_listing list = {.count = 0};
	struct raw_fh fh;

	memset(state, 0, sizeof(*state));
	EXPECT(raw_getattr(&rig.raw, dir, &state->dir), S_OK);
	if (raw_lookup(&rig.raw, dir, "file", &fh, NULL) == S_OK)
		EXPECT(raw_getattr(&rig.raw, &fh, &state->file), S_OK);
	EXPECT(raw_list(&rig.raw, dir, false, 8192, &list), S_OK);
	state->names = list.count;
	raw_listing_free(&list);
}

static void expect_state(const struct raw_fh *dir, const struct state *want)
{
	struct state state;

	take_state(dir, &state);
	EXPECT(memcmp(&state, want, sizeof(state)), 0);
}

struct trial {
	struct raw_fh dir;
	struct sent sent;
	struct reply reply;
	struct state state;
};

static struct trial trials[RIG_LAYERS][C_COUNT];

/* Do each call once, on plots of both layers. */
static void trials_begin(void)
{
	for (int layer = 0; layer < RIG_LAYERS; layer++)
		for (int c = 0; c < C_COUNT; c++) {
			struct trial *t = &trials[layer][c];

			rig_at("layer %d, call %d", layer, c);
			rig_plot(&rig, (enum rig_layer)layer, &t->dir);
			begin_call(&rig.raw, c, &t->dir);
			keep_call(&rig.raw, &t->sent);
			send_again(&rig.raw, &t->sent, &t->reply);
			EXPECT(status_of(&t->reply), S_OK);
			take_state(&t->dir, &t->state);
		}
	rig_at("%s", "");
}

static void trials_repeat(struct raw *raw, int times)
{
	struct reply reply;

	for (int layer = 0; layer < RIG_LAYERS; layer++)
		for (int c = 0; c < C_COUNT; c++) {
			struct trial *t = &trials[layer][c];

			rig_at("layer %d, call %d again", layer, c);
			for (int i = 0; i < times; i++) {
				send_again(raw, &t->sent, &reply);
				CU_ASSERT(same_reply(&reply, &t->reply));
				EXPECT(status_of(&reply), S_OK);
			}
			expect_state(&t->dir, &t->state);
		}
	rig_at("%s", "");
}

static void t_N_08_same_connection(void)
{
	trials_begin();
	trials_repeat(&rig.raw, 3);
}

/* N-09: another connection has another port. */
static void t_N_09_other_connection(void)
{
	struct raw other;

	rig_connect(&rig, &other);
	trials_repeat(&other, 2);
	raw_close(&other);
	rig_reconnect(&rig);
	trials_repeat(&rig.raw, 1);
}

/* N-10: after kill -9, twice; and after a stop. */
static void t_N_10_after_kill(void)
{
	rig_kill(&rig);
	trials_repeat(&rig.raw, 2);
	rig_kill(&rig);
	trials_repeat(&rig.raw, 1);
}

static void t_N_10_after_stop(void)
{
	EXPECT(daemon_stop(&rig.daemon), 0);
	ASSERT(daemon_start(&rig.daemon));
	rig_reconnect(&rig);
	trials_repeat(&rig.raw, 1);
}

/* N-08: refusals are replayed, too, though the reason may be gone. */
static void t_N_08_refusals(void)
{
	struct raw *raw = &rig.raw;
	struct reply first, again;
	struct raw_fh dir;
	struct sent sent;

	rig_plot(&rig, RIG_DELTA, &dir);
	raw_begin_any(raw, P_MKDIR, &dir, &dir, "file");
	keep_call(raw, &sent);
	send_again(raw, &sent, &first);
	EXPECT(status_of(&first), S_EXIST);
	EXPECT(raw_remove(raw, &dir, "file", false), S_OK);
	send_again(raw, &sent, &again);
	CU_ASSERT(same_reply(&first, &again));
}

/* --- N-11: what the key has in it ---------------------------------------- */

static void t_N_11_other_arguments(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	struct raw_attr attr;
	uint32_t xid;

	rig_dir(&rig, &dir);
	raw_begin_mkdir(raw, &dir, "a", 0700);
	xid = be32_get(raw->out + 4);
	EXPECT(raw_status(raw), S_OK);
	/* The same xid: another name, another mode, another directory. */
	raw_begin_mkdir(raw, &dir, "b", 0700);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_OK);
	EXPECT(raw_lookup(raw, &dir, "b", &fh, NULL), S_OK);
	raw_begin_mkdir(raw, &dir, "a", 0755);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_EXIST);
	raw_begin_mkdir(raw, &fh, "a", 0700);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_OK);
	/* Another procedure with the same argument bytes. */
	raw_begin_remove(raw, &dir, "b", false);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_ISDIR);
	raw_begin_remove(raw, &fh, "a", true);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_OK);
	raw_begin_remove(raw, &dir, "b", true);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_OK);
	EXPECT(raw_lookup(raw, &dir, "a", &fh, &attr), S_OK);
	EXPECT(attr.mode, 0700);
}

/* N-11: a reply never goes to another user. */
static void t_N_11_other_credential(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir;
	struct sent sent;
	struct reply reply;
	uint32_t xid;

	rig_dir(&rig, &dir);
	EXPECT(raw_set_mode(raw, &dir, 0755), S_OK);
	raw_begin_mkdir(raw, &dir, "a", 0700);
	xid = be32_get(raw->out + 4);
	keep_call(raw, &sent);
	send_again(raw, &sent, &reply);
	EXPECT(status_of(&reply), S_OK);
	for (uint32_t who = 0; who < 3; who++) {
		rig_at("credential %u", who);
		rig_become(raw, who == 0 ? 1000 : 0, who == 1 ? 5 : 0);
		raw->group_count = who == 2;
		raw->groups[0] = 7;
		raw_begin_mkdir(raw, &dir, "a", 0700);
		be32_put(raw->out + 4, xid);
		EXPECT(raw_status(raw), S_EXIST);
	}
	rig_become(raw, 0, 0);
	raw->flavour = 0;
	raw_begin_mkdir(raw, &dir, "a", 0700);
	be32_put(raw->out + 4, xid);
	EXPECT(raw_status(raw), S_EXIST);
	raw->flavour = 1;
	rig_at("%s", "");
}

/* Stamp and machine name are no part of who it is: a client may change them
 * with its connection. */
static void t_N_11_other_stamp(void)
{
	struct raw *raw = &rig.raw;
	struct reply first, again;
	struct raw_fh dir;
	struct sent sent;

	rig_dir(&rig, &dir);
	raw_begin_mkdir(raw, &dir, "a", 0700);
	keep_call(raw, &sent);
	send_again(raw, &sent, &first);
	be32_put(sent.bytes + 36, 12345);   /* stamp */
	memcpy(sent.bytes + 44, "same", 4); /* name */
	send_again(raw, &sent, &again);
	CU_ASSERT(same_reply(&first, &again));
}

/* N-11: whatever one guest does, another's entries stay. */
static void t_N_11_other_guest(void)
{
	enum { CALLS = 6000, WINDOW = 200 };
	struct reply first, again;
	struct raw_fh root, dir, fh;
	struct sent sent;
	struct raw other;
	int failed = 0;

	rig_dir(&rig, &dir);
	raw_begin_mkdir(&rig.raw, &dir, "a", 0700);
	keep_call(&rig.raw, &sent);
	send_again(&rig.raw, &sent, &first);
	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/busy", NULL), 0);
	ASSERT(raw_open(&other, NULL, rig.daemon.port));
	EXPECT(raw_mount(&other, "/t/busy", &root), 0);
	EXPECT(raw_create(&other, &root, "f", 0, 0644, &fh, NULL), S_OK);
	for (int i = 0; i < CALLS + WINDOW; i++) {
		struct raw_sattr set = {.mask = RAW_SET_MODE,
					.mode = (uint32_t)i & 0777};

		if (i < CALLS) {
			raw_begin_setattr(&other, &fh, &set, NULL);
			failed += !raw_send(&other);
		}
		if (i >= WINDOW)
			failed +=
			    raw_reply(&other) != 0 || raw_get32(&other) != S_OK;
	}
	EXPECT(failed, 0);
	send_again(&rig.raw, &sent, &again);
	CU_ASSERT(same_reply(&first, &again));
	rig_kill(&rig);
	send_again(&rig.raw, &sent, &again);
	CU_ASSERT(same_reply(&first, &again));
	raw_close(&other);
}

/* A full ring: at least the newest of a guest's own are there, also after a
 * restart. */
static void t_N_11_ring(void)
{
	enum { CALLS = 5000, KEPT = 1000 };
	static struct sent sents[KEPT];
	static struct reply replies[KEPT];
	struct reply again;
	struct raw_fh dir;
	char name[32];
	int bad = 0;

	rig_dir(&rig, &dir);
	for (int i = 0; i < CALLS; i++) {
		int k = i - (CALLS - KEPT);

		snprintf(name, sizeof(name), "n%d", i % 10);
		raw_begin_any(&rig.raw, i / 10 % 2 ? P_REMOVE : P_CREATE, &dir,
			      &dir, name);
		if (k < 0) {
			bad += raw_status(&rig.raw) != S_OK;
			continue;
		}
		keep_call(&rig.raw, &sents[k]);
		send_again(&rig.raw, &sents[k], &replies[k]);
		bad += status_of(&replies[k]) != S_OK;
	}
	EXPECT(bad, 0);
	for (int round = 0; round < 2; round++) {
		bad = 0;
		for (int k = 0; k < KEPT; k++) {
			send_again(&rig.raw, &sents[k], &again);
			bad += !same_reply(&again, &replies[k]);
		}
		rig_at("round %d", round);
		EXPECT(bad, 0);
		rig_kill(&rig);
	}
	rig_at("%s", "");
}

/* --- N-07: while the first is still under way ------------------------------
 */

/* Both copies in one segment: one or two replies, equal, and one effect. */
static void t_N_07_back_to_back(void)
{
	struct raw *raw = &rig.raw;
	struct reply first, second;
	struct raw_fh dir, fh;
	struct sent sent;
	uint8_t twice[2 * sizeof(sent.bytes)];
	char name[32];
	int answers = 0;

	rig_dir(&rig, &dir);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		rig_at("name %s", name);
		raw_begin_create(raw, &dir, name, 1, 0644);
		keep_call(raw, &sent);
		memcpy(twice, sent.bytes, sent.len);
		memcpy(twice + sent.len, sent.bytes, sent.len);
		CU_ASSERT(raw_send_bytes(raw, twice, 2 * sent.len));
		take_reply(raw, &first);
		EXPECT(status_of(&first), S_OK);
		/* Its answer, or that of the copy before it. */
		raw_begin_fh(raw, P_GETATTR, &dir);
		CU_ASSERT(raw_send(raw));
		take_reply(raw, &second);
		answers++;
		if (be32_get(second.bytes) == be32_get(first.bytes)) {
			CU_ASSERT(same_reply(&first, &second));
			answers++;
			take_reply(raw, &second);
		}
		EXPECT(be32_get(second.bytes), be32_get(raw->out + 4));
		EXPECT(raw_lookup(raw, &dir, name, &fh, NULL), S_OK);
	}
	rig_at("%s", "");
	CU_ASSERT(answers >= 200);
}

/*
 * The connection goes right after the call; the retransmission on a new one
 * gets the answer, exactly one, whether the call was begun, done or not yet
 * read when it came.
 */
static void t_N_07_connection_lost(void)
{
	struct raw_fh dir, fh;
	struct reply reply;
	struct sent sent;
	struct raw a, b;
	char name[32];

	rig_dir(&rig, &dir);
	for (int i = 0; i < 200; i++) {
		uint32_t proc = i % 2 ? P_REMOVE : P_CREATE;

		snprintf(name, sizeof(name), "n%d", i / 2);
		rig_at("call %d", i);
		ASSERT(raw_open(&a, NULL, rig.daemon.port));
		a.xid += (uint32_t)i + 5000000;
		raw_begin_any(&a, proc, &dir, &dir, name);
		keep_call(&a, &sent);
		CU_ASSERT(raw_send_bytes(&a, sent.bytes, sent.len));
		raw_close(&a);
		ASSERT(raw_open(&b, NULL, rig.daemon.port));
		send_again(&b, &sent, &reply);
		EXPECT(status_of(&reply), S_OK);
		EXPECT(raw_lookup(&b, &dir, name, &fh, NULL),
		       proc == P_CREATE ? S_OK : S_NOENT);
		CU_ASSERT(!raw_readable(&b, 0));
		raw_close(&b);
	}
	rig_at("%s", "");
}

/* Replies with that xid on any of the connections; waits for the first. */
static int collect(struct raw *raws, int count, uint32_t xid,
		   struct reply *reply)
{
	uint64_t until = check_now_ns() + 5000000000ull;
	struct reply next;
	int answered = 0;

	while (answered == 0 && check_now_ns() < until)
		for (int i = 0; i < count; i++) {
			if (!raw_readable(&raws[i], 1))
				continue;
			take_reply(&raws[i], &next);
			/* Another one may be late, of the round before. */
			if (be32_get(next.bytes) != xid)
				continue;
			*reply = next;
			answered++;
		}
	return answered;
}

/* Three connections send the same call at once: one effect, at least one
 * answer (that of the newest), and then the same to everybody who asks. */
static void t_N_07_three_at_once(void)
{
	struct reply reply = {.len = 0}, again;
	struct raw_fh dir;
	struct raw raws[3];
	struct sent sent;
	char name[32];

	rig_dir(&rig, &dir);
	for (int i = 0; i < 3; i++)
		rig_connect(&rig, &raws[i]);
	for (int round = 0; round < 100; round++) {
		int answered;

		snprintf(name, sizeof(name), "n%d", round);
		rig_at("round %d", round);
		raw_begin_any(&rig.raw, P_MKDIR, &dir, &dir, name);
		keep_call(&rig.raw, &sent);
		for (int i = 0; i < 3; i++)
			CU_ASSERT(
			    raw_send_bytes(&raws[i], sent.bytes, sent.len));
		answered = collect(raws, 3, be32_get(sent.bytes + 4), &reply);
		CU_ASSERT(answered >= 1 && answered <= 3);
		EXPECT(status_of(&reply), S_OK);
		send_again(&rig.raw, &sent, &again);
		CU_ASSERT(same_reply(&reply, &again));
	}
	rig_at("%s", "");
	for (int i = 0; i < 3; i++)
		raw_close(&raws[i]);
}

/* N-10: killed right after the call was sent: done once, or not yet; then the
 * retransmission does it, and the answer is OK in both cases. */
static void t_N_10_killed_under_way(void)
{
	struct raw_fh dir, fh;
	struct reply reply;
	struct sent sent;
	char name[32];

	rig_dir(&rig, &dir);
	for (int i = 0; i < 12; i++) {
		uint32_t proc = i % 2 ? P_REMOVE : P_CREATE;

		snprintf(name, sizeof(name), "n%d", i / 2);
		rig_at("call %d", i);
		raw_begin_any(&rig.raw, proc, &dir, &dir, name);
		keep_call(&rig.raw, &sent);
		CU_ASSERT(raw_send_bytes(&rig.raw, sent.bytes, sent.len));
		if (i % 3)
			raw_readable(&rig.raw, 1);
		rig_kill(&rig);
		send_again(&rig.raw, &sent, &reply);
		EXPECT(status_of(&reply), S_OK);
		EXPECT(raw_lookup(&rig.raw, &dir, name, &fh, NULL),
		       proc == P_CREATE ? S_OK : S_NOENT);
	}
	rig_at("%s", "");
}

/* --- N-66: a guest that starts again ----------------------------------------
 */

/* A client on a port of its own choice, as one that starts from the same state
 * each time has; xids from 1 on. */
static void reboot_open(struct raw *raw)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	ASSERT(raw_open_port(raw, "127.0.0.1", 40021, rig.daemon.port));
	/* At the next "reboot" nothing says goodbye: the peer sees a reset. */
	setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	raw->xid = 0;
	ASSERT(raw_mount(raw, "/t/g", &rig.root) == 0);
}

/*
 * The guest is reset 20 times under load.  Each time it has the same address,
 * port and xids as before: its calls are new ones, are executed, and answered
 * for what they ask.
 */
static void t_N_66_reboot(void)
{
	enum { BOOTS = 20, CALLS = 60, LEFT = 10 };
	struct raw_fh dir, fh, found;
	struct raw raw;
	char name[32];

	rig_dir(&rig, &dir);
	for (int boot = 0; boot < BOOTS; boot++) {
		reboot_open(&raw);
		for (int i = 0; i < CALLS; i++) {
			rig_at("boot %d, call %d", boot, i);
			snprintf(name, sizeof(name), "b%d-%d", boot, i);
			EXPECT(raw_create(&raw, &dir, name, 1, 0644, &fh, NULL),
			       S_OK);
			EXPECT(raw_lookup(&raw, &dir, name, &found, NULL),
			       S_OK);
			EXPECT(memcmp(&fh, &found, sizeof(fh)), 0);
			EXPECT(raw_remove(&raw, &dir, name, false), S_OK);
			EXPECT(raw_lookup(&raw, &dir, name, &found, NULL),
			       S_NOENT);
		}
		/* Under way when the power goes. */
		for (int i = 0; i < LEFT; i++) {
			snprintf(name, sizeof(name), "left%d-%d", boot, i);
			raw_begin_mkdir(&raw, &dir, name, 0755);
			CU_ASSERT(raw_send(&raw));
		}
		raw_close(&raw);
	}
	rig_at("%s", "");
}

/* --- exclusive create ---------------------------------------------------- */

static int exclusive(const struct raw_fh *dir, const char *name, uint64_t verf,
		     struct raw_fh *fh)
{
	return raw_create(&rig.raw, dir, name, 2, verf, fh, NULL);
}

/* N-05: not by the cache (the xid differs) but by the stored verifier. */
static void t_N_05_exclusive(void)
{
	struct raw_sattr set = {.mask = RAW_SET_MODE,
				.mode = 0640,
				.atime_how = RAW_TIME_CLIENT,
				.mtime_how = RAW_TIME_CLIENT,
				.atime = {1, 1},
				.mtime = {2, 2}};
	struct raw_fh dir, fh, again;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_at("layer %d", layer);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		EXPECT(exclusive(&dir, "new", 0x1122334455667788, &fh), S_OK);
		EXPECT(exclusive(&dir, "new", 0x1122334455667788, &again),
		       S_OK);
		EXPECT(memcmp(&fh, &again, sizeof(fh)), 0);
		EXPECT(exclusive(&dir, "new", 0x1122334455667789, &again),
		       S_EXIST);
		rig_kill(&rig);
		EXPECT(exclusive(&dir, "new", 0x1122334455667788, &again),
		       S_OK);
		EXPECT(memcmp(&fh, &again, sizeof(fh)), 0);
		EXPECT(exclusive(&dir, "new", 0, &again), S_EXIST);
		/* The SETATTR that follows sets what it says. */
		EXPECT(raw_setattr(&rig.raw, &fh, &set, NULL, NULL), S_OK);
		/* Names that were not made exclusively. */
		EXPECT(exclusive(&dir, "file", 0, &again), S_EXIST);
		EXPECT(exclusive(&dir, "dir", 0, &again), S_EXIST);
		EXPECT(exclusive(&dir, "link", 5, &again), S_EXIST);
		/* A removed one can be made. */
		EXPECT(raw_remove(&rig.raw, &dir, "file", false), S_OK);
		EXPECT(exclusive(&dir, "file", 7, &again), S_OK);
		EXPECT(exclusive(&dir, "zero", 0, &again), S_OK);
		EXPECT(exclusive(&dir, "zero", 0, &again), S_OK);
	}
	rig_at("%s", "");
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
    TEST(t_N_08_same_connection),
    TEST(t_N_09_other_connection),
    TEST(t_N_10_after_kill),
    TEST(t_N_10_after_stop),
    TEST(t_N_08_refusals),
    TEST(t_N_11_other_arguments),
    TEST(t_N_11_other_credential),
    TEST(t_N_11_other_stamp),
    TEST(t_N_11_other_guest),
    TEST(t_N_11_ring),
    TEST(t_N_07_back_to_back),
    TEST(t_N_07_connection_lost),
    TEST(t_N_07_three_at_once),
    TEST(t_N_10_killed_under_way),
    TEST(t_N_66_reboot),
    TEST(t_N_05_exclusive),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_drc", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
