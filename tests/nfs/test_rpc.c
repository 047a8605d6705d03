/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rpc: what comes before any procedure: programs, versions, credentials,
 * arguments that are none, record marks (rules N-53 to N-57, N-61, N-62, T-01,
 * T-02, T-07).
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/lib/nfsrig.h"

enum {
	AUTH_SYS_BODY_MAX = 400,
	RECORD_MAX = (1 << 20) + 4096, /* N-54 */
	SOON_MS = 8000, /* who is held waits for more, or for ever */
};

static struct rig rig;

static void sleep_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

/* --- programs, versions, procedures -------------------------------------- */

static int call_program(uint32_t program, uint32_t version, uint32_t proc)
{
	raw_begin(&rig.raw, program, version, proc);
	return raw_call(&rig.raw);
}

/* N-57, N-61, N-62, T-07: not served, said at once on the same connection. */
static void t_N_57_program_unavailable(void)
{
	static const uint32_t programs[] = {0,      100000,     100001,
					    100002, 100004,     100020,
					    100021, /* NLM */
					    100024, /* NSM */
					    100004, 0x40000000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		uint64_t begin = check_now_ns();

		rig_at("program %u", programs[i]);
		EXPECT(call_program(programs[i], 3, 0), 1);
		EXPECT(call_program(programs[i], 3, 1), 1);
		CU_ASSERT(check_now_ns() - begin < SOON_MS * 1000000ull);
	}
	rig_at("%s", "");
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
}

/* How long a program, all versions and procedures of it that a mount may ask
 * for, takes to be refused. */
static void refused_at_once(uint32_t program)
{
	uint64_t begin = check_now_ns();

	for (uint32_t version = 1; version <= 4; version++)
		for (uint32_t proc = 0; proc < 24; proc++) {
			rig_at("program %u version %u procedure %u", program,
			       version, proc);
			EXPECT(call_program(program, version, proc), 1);
		}
	rig_at("%s", "");
	CU_ASSERT(check_now_ns() - begin < SOON_MS * 1000000ull);
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
}

/* N-61: neither locks nor their status monitor. */
static void t_N_61_no_locks(void)
{
	refused_at_once(100021);
	refused_at_once(100024);
}

enum { ACL_PROGRAM = 100227, ACL_GET = 1, ACL_SET = 2 };

/* One entry of an ACL. */
static void expect_ace(uint32_t tag, uint32_t id, uint32_t perm)
{
	EXPECT(raw_get32(&rig.raw), tag);
	EXPECT(raw_get32(&rig.raw), id);
	EXPECT(raw_get32(&rig.raw), perm);
}

/* The ACL that is asked for, of a file of mode 0640 of 7:8. */
static void expect_acl(const struct raw_fh *fh, uint32_t mask)
{
	struct raw *raw = &rig.raw;
	struct raw_attr attr;

	raw_begin(raw, ACL_PROGRAM, 3, ACL_GET);
	raw_put_fh(raw, fh);
	raw_put32(raw, mask);
	EXPECT(raw_call(raw), 0);
	EXPECT(raw_get32(raw), S_OK);
	raw_get_post_attr(raw, &attr);
	EXPECT(attr.mode & 0777, 0640);
	EXPECT(raw_get32(raw), mask);
	EXPECT(raw_get32(raw), 4);
	EXPECT(raw_get32(raw), mask & 1 ? 4 : 0);
	if (mask & 1) {
		expect_ace(1, 7, 6);
		expect_ace(4, 8, 4);
		expect_ace(16, 0, 4);
		expect_ace(32, 0, 0);
	}
	EXPECT(raw_get32(raw), 0);
	EXPECT(raw_get32(raw), 0);
	EXPECT(raw->in_len - raw->in_off, 0);
}

/* N-62: Linux asks for it on the same connection when it mounts, and its
 * overlayfs for each file that is used by another than its owner: the ACL is
 * the mode.  None can be set. */
static void t_N_62_acl_is_the_mode(void)
{
	const struct raw_sattr set = {.mask = RAW_SET_MODE | RAW_SET_UID |
					      RAW_SET_GID,
				      .mode = 0640,
				      .uid = 7,
				      .gid = 8};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	EXPECT(raw_create(raw, &dir, "f", 1, 0640, &fh, NULL), S_OK);
	EXPECT(raw_setattr(raw, &fh, &set, NULL, NULL), S_OK);
	expect_acl(&fh, 1 | 2);
	expect_acl(&fh, 1 | 2 | 4 | 8);
	expect_acl(&fh, 2);
	raw_begin(raw, ACL_PROGRAM, 3, ACL_SET);
	raw_put_fh(raw, &fh);
	EXPECT(raw_call(raw), 3);
	raw_begin(raw, ACL_PROGRAM, 2, ACL_GET);
	EXPECT(raw_call(raw), 2);
	raw_begin(raw, ACL_PROGRAM, 3, ACL_GET);
	raw_put_fh(raw, &rig.root);
	raw->out[raw->out_len - 1] ^= 1;
	raw_put32(raw, 1);
	EXPECT(raw_call(raw), 0);
	CU_ASSERT(raw_get32(raw) != S_OK);
}

static void t_N_57_version_mismatch(void)
{
	static const uint32_t versions[] = {0, 1, 2, 4, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		rig_at("version %u", versions[i]);
		EXPECT(call_program(RAW_NFS, versions[i], 0), 2);
		EXPECT(raw_get32(&rig.raw), 3);
		EXPECT(raw_get32(&rig.raw), 3);
		EXPECT(call_program(RAW_MOUNT, versions[i], 0), 2);
		EXPECT(raw_get32(&rig.raw), 3);
		EXPECT(raw_get32(&rig.raw), 3);
	}
	rig_at("%s", "");
}

static void t_N_57_procedure_unavailable(void)
{
	EXPECT(call_program(RAW_NFS, 3, P_COUNT), 3);
	EXPECT(call_program(RAW_NFS, 3, P_COUNT + 1), 3);
	EXPECT(call_program(RAW_NFS, 3, UINT32_MAX), 3);
	EXPECT(call_program(RAW_MOUNT, 3, 6), 3);
	EXPECT(call_program(RAW_MOUNT, 3, UINT32_MAX), 3);
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
	EXPECT(call_program(RAW_MOUNT, 3, 0), 0);
}

static void t_N_57_rpc_version(void)
{
	static const uint32_t versions[] = {0, 1, 3, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		raw_begin(&rig.raw, RAW_NFS, 3, 0);
		be32_put(rig.raw.out + 12, versions[i]);
		EXPECT(raw_call(&rig.raw), RAW_DENIED);
		EXPECT(rig.raw.denied, 0);     /* RPC_MISMATCH */
		EXPECT(rig.raw.denied_why, 2); /* low */
		EXPECT(raw_get32(&rig.raw), 2);
	}
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
}

/* --- credentials --------------------------------------------------------- */

/* A call's header with a credential of our own making. */
static void begin_cred(uint32_t proc, uint32_t flavour, const void *body,
		       size_t body_len, uint32_t announced)
{
	struct raw *raw = &rig.raw;

	raw_begin(raw, RAW_NFS, 3, proc);
	raw->out_len = 4 + 24;
	raw_put32(raw, flavour);
	raw_put_opaque(raw, body, body_len);
	be32_put(raw->out + 32, announced);
	raw_put32(raw, 0);
	raw_put32(raw, 0);
	if (proc != P_NULL)
		raw_put_fh(raw, &rig.root);
}

static void t_N_57_null_any_flavour(void)
{
	static const uint32_t flavours[] = {0, 1, 2, 3, 6, 390003, UINT32_MAX};
	uint8_t body[8] = {0};

	for (size_t i = 0; i < ARRAY_LEN(flavours); i++) {
		rig_at("flavour %u", flavours[i]);
		begin_cred(P_NULL, flavours[i], body, sizeof(body), 8);
		EXPECT(raw_call(&rig.raw), 0);
		begin_cred(P_NULL, flavours[i], body, 0, 0);
		EXPECT(raw_call(&rig.raw), 0);
	}
	rig_at("%s", "");
}

static void t_N_57_other_flavours(void)
{
	static const uint32_t flavours[] = {2, 3, 6, 390003, UINT32_MAX};
	uint8_t body[8] = {0};

	for (size_t i = 0; i < ARRAY_LEN(flavours); i++) {
		rig_at("flavour %u", flavours[i]);
		begin_cred(P_GETATTR, flavours[i], body, sizeof(body), 8);
		EXPECT(raw_call(&rig.raw), RAW_DENIED);
		EXPECT(rig.raw.denied, 1); /* AUTH_ERROR */
		EXPECT(rig.raw.denied_why, 5);
	}
	rig_at("%s", "");
}

/* AUTH_NONE is nobody: it may look, and not write where others may not. */
static void t_N_57_auth_none(void)
{
	struct raw_attr attr;
	struct raw_fh fh;

	rig.raw.flavour = 0;
	EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
	EXPECT(raw_mkdir(&rig.raw, &rig.root, "none", 0755, &fh), S_ACCES);
	rig.raw.flavour = 1;
	EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
}

/* AUTH_SYS with a name and groups of given lengths; returns the body's. */
static size_t auth_sys(uint8_t *body, uint32_t name_len, uint32_t uid,
		       uint32_t groups)
{
	uint8_t *p = body;

	be32_put(p, 7);
	be32_put(p + 4, name_len);
	p += 8;
	memset(p, 0, name_len + 4);
	memset(p, 'n', name_len);
	p += (name_len + 3) & ~3u;
	be32_put(p, uid);
	be32_put(p + 4, uid);
	be32_put(p + 8, groups);
	p += 12;
	for (uint32_t i = 0; i < groups; i++, p += 4)
		be32_put(p, 100 + i);
	return (size_t)(p - body);
}

static void expect_cred(const uint8_t *body, size_t len, int want)
{
	begin_cred(P_GETATTR, 1, body, len, (uint32_t)len);
	EXPECT(raw_call(&rig.raw), want);
	if (want != RAW_DENIED)
		return;
	EXPECT(rig.raw.denied, 1);
	EXPECT(rig.raw.denied_why, 1); /* AUTH_BADCRED */
}

static void t_N_56_auth_sys_limits(void)
{
	uint8_t body[1024];

	expect_cred(body, auth_sys(body, 4, 0, 0), 0);
	expect_cred(body, auth_sys(body, 4, 0, 16), 0);
	expect_cred(body, auth_sys(body, 4, 0, 17), RAW_DENIED);
	expect_cred(body, auth_sys(body, 4, 0, 60), RAW_DENIED);
	expect_cred(body, auth_sys(body, 0, 0, 0), 0);
	expect_cred(body, auth_sys(body, 255, 0, 16), 0);
	expect_cred(body, auth_sys(body, 256, 0, 0), RAW_DENIED);
	expect_cred(body, 0, RAW_DENIED);
	expect_cred(body, auth_sys(body, 4, 0, 3) - 4, RAW_DENIED);
	memset(body, 0, sizeof(body));
	expect_cred(body, AUTH_SYS_BODY_MAX, RAW_DENIED);
	expect_cred(body, AUTH_SYS_BODY_MAX + 4, RAW_DENIED);
	/* More in it than it says. */
	expect_cred(body, auth_sys(body, 4, 0, 2) + 4, RAW_DENIED);
}

/* Lengths in the credential that go beyond the record (T-01). */
static void t_N_56_credential_lengths(void)
{
	static const uint32_t lengths[] = {401,        0x7fffffff, 0x80000000,
					   0xfffffffc, 0xfffffffd, UINT32_MAX};
	uint8_t body[64];
	size_t len = auth_sys(body, 4, 0, 0);

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		rig_at("length %u", lengths[i]);
		begin_cred(P_GETATTR, 1, body, len, lengths[i]);
		EXPECT_ONE_OF(raw_call(&rig.raw), RAW_DENIED, RAW_CLOSED);
		rig_reconnect(&rig);
		/* The machine name's length, and the number of groups. */
		be32_put(body + 4, lengths[i]);
		begin_cred(P_GETATTR, 1, body, len, (uint32_t)len);
		EXPECT(raw_call(&rig.raw), RAW_DENIED);
		be32_put(body + 4, 4);
		be32_put(body + len - 4, lengths[i]);
		begin_cred(P_GETATTR, 1, body, len, (uint32_t)len);
		EXPECT(raw_call(&rig.raw), RAW_DENIED);
		be32_put(body + len - 4, 0);
	}
	rig_at("%s", "");
}

/* T-10: no uid but 0 is root. */
static void t_N_56_uid_extremes(void)
{
	static const uint32_t uids[] = {1, 0x7fffffff, 0x80000000, 0xfffffffe,
					UINT32_MAX};
	struct raw_fh fh;

	for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
		rig_at("uid %u", uids[i]);
		rig_become(&rig.raw, uids[i], uids[i]);
		EXPECT(raw_mkdir(&rig.raw, &rig.root, "uid", 0755, &fh),
		       S_ACCES);
	}
	rig_at("%s", "");
	rig_become(&rig.raw, 0, 0);
}

/* The verifier of a call proves nothing and may be anything up to 400. */
static void t_N_56_call_verifier(void)
{
	struct raw *raw = &rig.raw;
	uint8_t body[AUTH_SYS_BODY_MAX] = {0};

	raw_begin(raw, RAW_NFS, 3, P_GETATTR);
	raw->out_len -= 8;
	raw_put32(raw, 0);
	raw_put_opaque(raw, body, sizeof(body));
	raw_put_fh(raw, &rig.root);
	EXPECT(raw_call(raw), 0);
	EXPECT(raw_get32(raw), S_OK);
}

/* --- arguments that are none --------------------------------------------- */

static void begin_proc(const struct raw_fh *dir, uint32_t proc)
{
	raw_begin_any(&rig.raw, proc, dir, dir, "never");
}

static void expect_garbage(void)
{
	EXPECT(raw_call(&rig.raw), 4);
}

/* N-50, T-02: trailing bytes never pass, whatever the procedure. */
static void t_T_02_trailing_bytes(void)
{
	static const size_t extra[] = {4, 64, 1 << 20};
	struct raw_fh dir;

	rig_dir(&rig, &dir);
	for (uint32_t proc = 0; proc < P_COUNT; proc++)
		for (size_t i = 0; i < ARRAY_LEN(extra); i++) {
			rig_at("procedure %u, %zu bytes more", proc, extra[i]);
			begin_proc(&dir, proc);
			memset(rig.raw.out + rig.raw.out_len, 0, extra[i]);
			rig.raw.out_len += extra[i];
			expect_garbage();
		}
	for (uint32_t proc = 0; proc < 6; proc++) {
		rig_at("MOUNT procedure %u", proc);
		raw_begin(&rig.raw, RAW_MOUNT, 3, proc);
		if (proc == 1 || proc == 3)
			raw_put_string(&rig.raw, "/t/g");
		raw_put32(&rig.raw, 0);
		expect_garbage();
	}
	rig_at("%s", "");
}

/* Every shorter form of every call; and none of them did anything. */
static void t_T_02_truncated_bytes(void)
{
	struct raw_listing list = {.count = 0};
	struct raw_fh dir;
	size_t header, full;

	rig_dir(&rig, &dir);
	raw_begin(&rig.raw, RAW_NFS, 3, 0);
	header = rig.raw.out_len;
	for (uint32_t proc = 1; proc < P_COUNT; proc++) {
		begin_proc(&dir, proc);
		full = rig.raw.out_len;
		for (size_t len = header; len < full; len++) {
			rig_at("procedure %u, %zu of %zu", proc, len - header,
			       full - header);
			begin_proc(&dir, proc);
			rig.raw.out_len = len;
			expect_garbage();
		}
	}
	rig_at("%s", "");
	EXPECT(raw_list(&rig.raw, &dir, false, 4096, &list), S_OK);
	EXPECT(list.count, 2);
	raw_listing_free(&list);
}

/* T-01: each word of each call's arguments takes each awkward value. */
static void t_T_01_awkward_words(void)
{
	static const uint32_t values[] = {0,          1,          0x7fffffff,
					  0x80000000, 0xfffffffc, 0xfffffffd,
					  0xfffffffe, 0xffffffff};
	struct raw_fh dir;
	struct raw_attr attr;
	size_t header, full;

	raw_begin(&rig.raw, RAW_NFS, 3, 0);
	header = rig.raw.out_len;
	for (uint32_t proc = 1; proc < P_COUNT; proc++) {
		rig_dir(&rig, &dir);
		begin_proc(&dir, proc);
		full = rig.raw.out_len;
		for (size_t at = header; at + 4 <= full; at += 4)
			for (size_t i = 0; i < ARRAY_LEN(values); i++) {
				rig_at("procedure %u, word %zu is %x", proc,
				       (at - header) / 4, values[i]);
				begin_proc(&dir, proc);
				be32_put(rig.raw.out + at, values[i]);
				EXPECT_ONE_OF(raw_call(&rig.raw), 0, 4);
			}
	}
	rig_at("%s", "");
	EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
}

/* A record that is no call ends the connection, and only that one. */
static void t_N_53_no_call(void)
{
	static const char *const records[] = {
	    "\x80\0\0\0",                           /* empty */
	    "\x80\0\0\4\0\0\0\1",                   /* an xid */
	    "\x80\0\0\x0c\0\0\0\1\0\0\0\1\0\0\0\0", /* a reply */
	};
	static const size_t lens[] = {4, 8, 16};
	struct raw other;

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		rig_at("record %zu", i);
		rig_connect(&rig, &other);
		CU_ASSERT(raw_send_bytes(&other, records[i], lens[i]));
		EXPECT(raw_reply(&other), RAW_CLOSED);
		raw_close(&other);
		EXPECT(call_program(RAW_NFS, 3, 0), 0);
	}
	rig_at("%s", "");
}

/* --- record marks -------------------------------------------------------- */

struct write_call {
	struct raw_fh fh;
	uint8_t data[700];
	uint8_t copy[2048]; /* the call, without record mark */
	size_t len;
};

/* A call of about 1 KiB whose effect can be seen: a WRITE. */
static void write_call_make(struct write_call *w, uint64_t seed)
{
	check_fill(w->data, sizeof(w->data), seed);
	rig.raw.group_count = 16;
	raw_begin_write(&rig.raw, &w->fh, 0, w->data, sizeof(w->data), 0);
	rig.raw.group_count = 0;
	w->len = rig.raw.out_len - 4;
	ASSERT(w->len <= sizeof(w->copy));
	memcpy(w->copy, rig.raw.out + 4, w->len);
}

static void send_fragment(const void *data, size_t len, bool last)
{
	uint8_t mark[4];

	be32_put(mark, (uint32_t)len | (last ? 0x80000000u : 0));
	CU_ASSERT(raw_send_bytes(&rig.raw, mark, 4));
	if (len > 0)
		CU_ASSERT(raw_send_bytes(&rig.raw, data, len));
}

static void expect_write_done(const struct write_call *w)
{
	uint8_t buf[sizeof(w->data)];
	uint32_t got = 0;
	bool eof;

	EXPECT(raw_reply(&rig.raw), 0);
	EXPECT(rig.raw.reply_xid, be32_get(w->copy));
	EXPECT(raw_get32(&rig.raw), S_OK);
	EXPECT(raw_read(&rig.raw, &w->fh, 0, sizeof(buf), buf, &got, &eof), 0);
	EXPECT(got, sizeof(buf));
	EXPECT(memcmp(buf, w->data, sizeof(buf)), 0);
}

static void t_N_53_two_fragments(void)
{
	struct write_call w;
	struct raw_fh dir;

	rig_dir(&rig, &dir);
	w.fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	write_call_make(&w, 1);
	for (size_t split = 0; split <= w.len; split++) {
		rig_at("split at %zu", split);
		write_call_make(&w, split);
		send_fragment(w.copy, split, false);
		send_fragment(w.copy + split, w.len - split, true);
		expect_write_done(&w);
	}
	rig_at("%s", "");
}

/* The same record in two TCP segments, record mark included. */
static void t_N_53_two_segments(void)
{
	struct write_call w;
	struct raw_fh dir;
	uint8_t bytes[4 + sizeof(w.copy)];

	rig_dir(&rig, &dir);
	w.fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	write_call_make(&w, 1);
	for (size_t split = 1; split < 4 + w.len; split++) {
		rig_at("split at %zu", split);
		write_call_make(&w, split);
		be32_put(bytes, (uint32_t)w.len | 0x80000000u);
		memcpy(bytes + 4, w.copy, w.len);
		CU_ASSERT(raw_send_bytes(&rig.raw, bytes, split));
		if (split % 4 == 0)
			sleep_us(100);
		CU_ASSERT(
		    raw_send_bytes(&rig.raw, bytes + split, 4 + w.len - split));
		expect_write_done(&w);
	}
	rig_at("%s", "");
}

static void t_N_53_byte_at_a_time(void)
{
	struct write_call w;
	struct raw_fh dir;
	uint8_t mark[4];

	rig_dir(&rig, &dir);
	w.fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	write_call_make(&w, 5);
	be32_put(mark, (uint32_t)w.len | 0x80000000u);
	for (size_t i = 0; i < 4; i++)
		CU_ASSERT(raw_send_bytes(&rig.raw, mark + i, 1));
	for (size_t i = 0; i < w.len; i++) {
		CU_ASSERT(raw_send_bytes(&rig.raw, w.copy + i, 1));
		sleep_us(20);
	}
	expect_write_done(&w);
	/* Each byte a fragment. */
	write_call_make(&w, 6);
	for (size_t i = 0; i < w.len; i++)
		send_fragment(w.copy + i, 1, i + 1 == w.len);
	expect_write_done(&w);
}

static void t_N_53_2048_fragments(void)
{
	struct write_call w;
	struct raw_fh dir;
	size_t at = 0;

	rig_dir(&rig, &dir);
	w.fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	write_call_make(&w, 7);
	for (int i = 0; i < 2047; i++) {
		size_t len = at < w.len - 1 && i % 2 == 0 ? 1 : 0;

		send_fragment(w.copy + at, len, false);
		at += len;
	}
	send_fragment(w.copy + at, w.len - at, true);
	expect_write_done(&w);
	/* Empty ones at both ends. */
	write_call_make(&w, 8);
	for (int i = 0; i < 5; i++)
		send_fragment(NULL, 0, false);
	send_fragment(w.copy, w.len, false);
	for (int i = 0; i < 5; i++)
		send_fragment(NULL, 0, false);
	send_fragment(NULL, 0, true);
	expect_write_done(&w);
}

/* N-54: empty fragments are limited, or a peer feeds them for ever. */
static void t_N_54_endless_fragments(void)
{
	uint8_t marks[4096] = {0};
	struct raw other;
	bool sent = true;

	rig_connect(&rig, &other);
	for (int i = 0; sent && i < 64; i++)
		sent = raw_send_bytes(&other, marks, sizeof(marks));
	EXPECT(raw_reply(&other), RAW_CLOSED);
	raw_close(&other);
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
}

/* N-54: too long by one mark, and by the sum of several. */
static void t_N_54_oversized(void)
{
	static const uint32_t marks[] = {0x80000000u | (RECORD_MAX + 1),
					 RECORD_MAX + 1, 0xffffffffu,
					 0x7fffffffu, 0x80000000u | (64 << 20)};
	CLEANUP_FREE uint8_t *half = calloc(1, RECORD_MAX);
	struct raw other;
	uint8_t mark[4];

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		rig_at("mark %x", marks[i]);
		rig_connect(&rig, &other);
		be32_put(mark, marks[i]);
		CU_ASSERT(raw_send_bytes(&other, mark, 4));
		EXPECT(raw_reply(&other), RAW_CLOSED);
		raw_close(&other);
	}
	rig_at("%s", "a sum");
	rig_connect(&rig, &other);
	be32_put(mark, RECORD_MAX - 100);
	CU_ASSERT(raw_send_bytes(&other, mark, 4));
	CU_ASSERT(raw_send_bytes(&other, half, RECORD_MAX - 100));
	be32_put(mark, 101);
	CU_ASSERT(raw_send_bytes(&other, mark, 4));
	EXPECT(raw_reply(&other), RAW_CLOSED);
	raw_close(&other);
	rig_at("%s", "");
	EXPECT(call_program(RAW_NFS, 3, 0), 0);
}

/* --- clients that disturb others ----------------------------------------- */

/* Milliseconds that `calls` GETATTRs take on the rig's connection. */
static uint64_t ask_ms(int calls)
{
	uint64_t begin = check_now_ns();
	struct raw_attr attr;

	for (int i = 0; i < calls; i++)
		EXPECT(raw_getattr(&rig.raw, &rig.root, &attr), S_OK);
	return (check_now_ns() - begin) / 1000000;
}

/* Half calls, of any length, hold nobody else; and are answered in the end. */
static void t_N_55_half_calls(void)
{
	enum { HALVES = 16 };
	struct raw halves[HALVES];
	struct raw_attr attr;

	for (int i = 0; i < HALVES; i++) {
		rig_connect(&rig, &halves[i]);
		raw_begin_fh(&halves[i], P_GETATTR, &rig.root);
		be32_put(halves[i].out,
			 (uint32_t)(halves[i].out_len - 4) | 0x80000000u);
		CU_ASSERT(raw_send_bytes(&halves[i], halves[i].out,
					 (size_t)(2 + 5 * i)));
	}
	CU_ASSERT(ask_ms(200) < SOON_MS);
	for (int i = 0; i < HALVES; i++) {
		size_t sent = (size_t)(2 + 5 * i);

		rig_at("half %d", i);
		CU_ASSERT(!raw_readable(&halves[i], 0));
		CU_ASSERT(raw_send_bytes(&halves[i], halves[i].out + sent,
					 halves[i].out_len - sent));
		EXPECT(raw_reply(&halves[i]), 0);
		EXPECT(raw_get32(&halves[i]), S_OK);
		raw_get_attr(&halves[i], &attr);
		EXPECT(attr.type, 2);
		raw_close(&halves[i]);
	}
	rig_at("%s", "");
}

/* Fill the socket with READs of which no reply is read; how many went out. */
static int slow_send(struct raw *slow, const struct raw_fh *fh, int max)
{
	int flags = fcntl(slow->fd, F_GETFL), count = 0;

	fcntl(slow->fd, F_SETFL, flags | O_NONBLOCK);
	while (count < max) {
		size_t sent = 0;

		raw_begin_fh(slow, P_READ, fh);
		raw_put64(slow, 0);
		raw_put32(slow, 1 << 20);
		be32_put(slow->out,
			 (uint32_t)(slow->out_len - 4) | 0x80000000u);
		while (sent < slow->out_len) {
			ssize_t n = send(slow->fd, slow->out + sent,
					 slow->out_len - sent, MSG_NOSIGNAL);

			if (n > 0)
				sent += (size_t)n;
			else if (sent == 0)
				break;
		}
		if (sent == 0)
			break;
		count++;
	}
	fcntl(slow->fd, F_SETFL, flags);
	return count;
}

/* T-04: replies that nobody takes cost little, and nobody else. */
static void t_T_04_slow_reader(void)
{
	enum { READS = 400, RSS_MAX_KB = 48 << 10 };
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	CLEANUP_FREE uint8_t *data = malloc(RIG_BIG_LEN);
	uint64_t rss = daemon_status_kb(&rig.daemon, "VmRSS");
	int sent, wrong = 0;
	struct raw_attr attr;
	struct raw_fh dir, fh;
	struct raw slow;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	/* Warm: more than a few calls that wait for data are sent away. */
	CU_ASSERT(rig_same(&rig.raw, &fh, want, RIG_BIG_LEN));
	rig_connect(&rig, &slow);
	sent = slow_send(&slow, &fh, READS);
	CU_ASSERT(ask_ms(200) < SOON_MS);
	CU_ASSERT(daemon_status_kb(&rig.daemon, "VmRSS") < rss + RSS_MAX_KB);
	for (int i = 0; i < sent; i++) {
		EXPECT(raw_reply(&slow), 0);
		EXPECT(raw_get32(&slow), S_OK);
		raw_get_post_attr(&slow, &attr);
		raw_get32(&slow);
		raw_get32(&slow);
		wrong +=
		    raw_get_opaque(&slow, data, RIG_BIG_LEN) != RIG_BIG_LEN ||
		    memcmp(data, want, RIG_BIG_LEN) != 0;
	}
	CU_ASSERT(sent > 0);
	EXPECT(wrong, 0);
	raw_close(&slow);
}

/* A client that goes while replies wait for it. */
static void t_T_04_reader_goes(void)
{
	struct raw_fh dir, fh;
	struct raw slow;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	for (int i = 0; i < 20; i++) {
		rig_connect(&rig, &slow);
		CU_ASSERT(slow_send(&slow, &fh, 100) > 0);
		raw_close(&slow);
	}
	CU_ASSERT(ask_ms(200) < SOON_MS);
}

/* Many calls in one go: each is answered once, whatever the order. */
static void t_N_53_pipeline(void)
{
	enum { CALLS = 2000, CALL_MAX = 160 };
	CLEANUP_FREE uint8_t *bytes = malloc(CALLS * CALL_MAX);
	CLEANUP_FREE uint8_t *seen = calloc(1, CALLS);
	uint32_t first = rig.raw.xid + 1;
	size_t len = 0;
	int bad = 0;

	for (int i = 0; i < CALLS; i++) {
		raw_begin_fh(&rig.raw, P_GETATTR, &rig.root);
		be32_put(rig.raw.out,
			 (uint32_t)(rig.raw.out_len - 4) | 0x80000000u);
		ASSERT(rig.raw.out_len <= CALL_MAX);
		memcpy(bytes + len, rig.raw.out, rig.raw.out_len);
		len += rig.raw.out_len;
	}
	CU_ASSERT(raw_send_bytes(&rig.raw, bytes, len));
	for (int i = 0; i < CALLS; i++) {
		uint32_t n;

		bad += raw_reply(&rig.raw) != 0 || raw_get32(&rig.raw) != S_OK;
		n = rig.raw.reply_xid - first;
		bad += n >= CALLS || seen[n]++;
	}
	EXPECT(bad, 0);
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
    TEST(t_N_57_program_unavailable),
    TEST(t_N_61_no_locks),
    TEST(t_N_62_acl_is_the_mode),
    TEST(t_N_57_version_mismatch),
    TEST(t_N_57_procedure_unavailable),
    TEST(t_N_57_rpc_version),
    TEST(t_N_57_null_any_flavour),
    TEST(t_N_57_other_flavours),
    TEST(t_N_57_auth_none),
    TEST(t_N_56_auth_sys_limits),
    TEST(t_N_56_credential_lengths),
    TEST(t_N_56_uid_extremes),
    TEST(t_N_56_call_verifier),
    TEST(t_T_02_trailing_bytes),
    TEST(t_T_02_truncated_bytes),
    TEST(t_T_01_awkward_words),
    TEST(t_N_53_no_call),
    TEST(t_N_53_two_fragments),
    TEST(t_N_53_two_segments),
    TEST(t_N_53_byte_at_a_time),
    TEST(t_N_53_2048_fragments),
    TEST(t_N_54_endless_fragments),
    TEST(t_N_54_oversized),
    TEST(t_N_55_half_calls),
    TEST(t_T_04_slow_reader),
    TEST(t_T_04_reader_goes),
    TEST(t_N_53_pipeline),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_rpc", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
