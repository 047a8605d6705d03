/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls without sockets: what is refused and how, parking, duplicates.
 */
#include <stdio.h>

#include "tests/fake/fake_rig.h"
#include "tests/lib/check.h"

enum { ROOT = 1 };

/* What a refused reply says behind its xid. */
static void check_words(struct rig *rig, const uint32_t *want, size_t count)
{
	CU_ASSERT_EQUAL(rig_take(rig), RIG_REFUSED);
	CU_ASSERT_EQUAL(rig->reply_xid, rig->xid);
	for (size_t i = 0; i < count; i++)
		CU_ASSERT_EQUAL(get_u32(&rig->reply), want[i]);
	CU_ASSERT_FALSE(rig->reply.bad);
	CU_ASSERT_PTR_EQUAL(rig->reply.p, rig->reply.end);
}

#define CHECK_REFUSED(rig, ...)                                                \
	do {                                                                   \
		static const uint32_t want_[] = {__VA_ARGS__};                 \
		CU_ASSERT_EQUAL(rig_send(rig, &(rig)->peer), 0);               \
		check_words(rig, want_, ARRAY_LEN(want_));                     \
	} while (0)

static void call_getattr(struct rig *rig)
{
	rig_call(rig, NFS3_PROGRAM, NFS3_GETATTR);
	rig_fh_of(rig, rig->red, ROOT);
}

static void test_programs(void)
{
	struct rig *rig = rig_new();

	static const uint32_t absent[] = {100000, 100021, 100024, 0,
					  UINT32_MAX};
	for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
		rig_call(rig, absent[i], 0);
		CHECK_REFUSED(rig, 1, 0, 0, 0, 1);
	}
	rig_call(rig, NFS3_PROGRAM, 0);
	put_u32(rig->call + 16, 2);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 2, 3, 3);
	put_u32(rig->call + 16, 4);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 2, 3, 3);
	rig_call(rig, MOUNT3_PROGRAM, 1);
	put_u32(rig->call + 16, 1);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 2, 3, 3);
	rig_call(rig, NFS3_PROGRAM, NFS3_PROC_COUNT);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 3);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_PROC_COUNT);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 3);
	rig_call(rig, NFS3_PROGRAM, UINT32_MAX);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 3);
	rig_call(rig, NFS3_PROGRAM, 0);
	put_u32(rig->call + 8, 3); /* RPC version */
	CHECK_REFUSED(rig, 1, 1, 0, 2, 2);
	rig_free(rig);
}

static void test_no_call(void)
{
	struct rig *rig = rig_new();

	call_getattr(rig);
	put_u32(rig->call + 4, 1); /* a reply */
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), -EBADMSG);
	for (size_t len = 0; len < 12; len += 3) {
		call_getattr(rig);
		rig->p = rig->call + len;
		CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), -EBADMSG);
	}
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	rig_free(rig);
}

/* Header with a credential of this flavour and body. */
static void call_with_cred(struct rig *rig, uint32_t proc, uint32_t flavor,
			   const void *body, uint32_t len)
{
	rig->p = rig->call;
	rig_u32(rig, ++rig->xid);
	rig_u32(rig, 0);
	rig_u32(rig, 2);
	rig_u32(rig, NFS3_PROGRAM);
	rig_u32(rig, 3);
	rig_u32(rig, proc);
	rig_u32(rig, flavor);
	rig_bytes(rig, body, len);
	rig_u64(rig, 0);
	if (proc != NFS3_NULL)
		rig_fh_of(rig, rig->red, ROOT);
}

static void test_flavors(void)
{
	struct rig *rig = rig_new();
	uint8_t body[404] = {0};

	/* NULL answers whatever the flavour. */
	for (uint32_t flavor = 0; flavor < 8; flavor++) {
		call_with_cred(rig, NFS3_NULL, flavor, body, 8);
		CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
		CU_ASSERT_EQUAL(rig_take(rig), 0);
		CU_ASSERT_PTR_EQUAL(rig->reply.p, rig->reply.end);
	}
	call_with_cred(rig, NFS3_GETATTR, 0, body, 0);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	call_with_cred(rig, NFS3_GETATTR, 2, body, 0);
	CHECK_REFUSED(rig, 1, 1, 1, 5);
	call_with_cred(rig, NFS3_GETATTR, 6, body, 20);
	CHECK_REFUSED(rig, 1, 1, 1, 5);
	call_with_cred(rig, NFS3_GETATTR, 0, body, 400);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	call_with_cred(rig, NFS3_GETATTR, 0, body, 404);
	CHECK_REFUSED(rig, 1, 1, 1, 1);
	rig_free(rig);
}

/* An AUTH_SYS body with so many groups, of which `sent` follow. */
static uint32_t auth_sys(uint8_t *body, const char *name, uint32_t count,
			 uint32_t sent)
{
	uint8_t *p = put_u32(body, 1);

	p = put_opaque(p, name, strlen(name));
	p = put_u32(p, 1);
	p = put_u32(p, 2);
	p = put_u32(p, count);
	for (uint32_t i = 0; i < sent; i++)
		p = put_u32(p, i);
	return (uint32_t)(p - body);
}

static void test_auth_sys(void)
{
	static const uint32_t bad_counts[] = {17, 0x40000000, 0x7fffffff,
					      0x80000000, 0xffffffff};
	struct rig *rig = rig_new();
	uint8_t body[1024];
	char name[300];
	uint32_t len;

	for (uint32_t n = 0; n <= 16; n++) {
		len = auth_sys(body, "host", n, n);
		call_with_cred(rig, NFS3_GETATTR, 1, body, len);
		CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
		/* One word short, one word long. */
		call_with_cred(rig, NFS3_GETATTR, 1, body, len - 4);
		CHECK_REFUSED(rig, 1, 1, 1, 1);
		memset(body + len, 0, 4);
		call_with_cred(rig, NFS3_GETATTR, 1, body, len + 4);
		CHECK_REFUSED(rig, 1, 1, 1, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad_counts); i++) {
		len = auth_sys(body, "host", bad_counts[i], 17);
		call_with_cred(rig, NFS3_GETATTR, 1, body, len);
		CHECK_REFUSED(rig, 1, 1, 1, 1);
	}
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	len = auth_sys(body, name, 0, 0);
	call_with_cred(rig, NFS3_GETATTR, 1, body, len);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	name[255] = 'n';
	name[256] = '\0';
	len = auth_sys(body, name, 0, 0);
	call_with_cred(rig, NFS3_GETATTR, 1, body, len);
	CHECK_REFUSED(rig, 1, 1, 1, 1);
	/* A name whose length is nonsense. */
	len = auth_sys(body, "host", 0, 0);
	put_u32(body + 4, 0xfffffffd);
	call_with_cred(rig, NFS3_GETATTR, 1, body, len);
	CHECK_REFUSED(rig, 1, 1, 1, 1);
	rig_free(rig);
}

static void test_garbage(void)
{
	static const uint32_t lengths[] = {65,         0x7fffffff, 0x80000000,
					   0xfffffffc, 0xfffffffd, 0xffffffff};
	struct rig *rig = rig_new();

	call_getattr(rig);
	rig_u32(rig, 0); /* trailing */
	CHECK_REFUSED(rig, 1, 0, 0, 0, 4);
	call_getattr(rig);
	rig->p -= 4;
	CHECK_REFUSED(rig, 1, 0, 0, 0, 4);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		call_getattr(rig);
		put_u32(rig->p - 36, lengths[i]);
		CHECK_REFUSED(rig, 1, 0, 0, 0, 4);
	}
	rig_call(rig, NFS3_PROGRAM, NFS3_NULL);
	rig_u32(rig, 1);
	CHECK_REFUSED(rig, 1, 0, 0, 0, 4);
	rig_free(rig);
}

static uint64_t add_data(struct rig *rig)
{
	static const char data[] = "some data to be read";

	return fake_view_add_file(rig->red, ROOT, "file", data, sizeof(data));
}

static void call_read(struct rig *rig, uint64_t fileid)
{
	rig_call(rig, NFS3_PROGRAM, NFS3_READ);
	rig_fh_of(rig, rig->red, fileid);
	rig_u64(rig, 5);
	rig_u32(rig, 4);
}

static void check_read(struct rig *rig)
{
	const uint8_t *data;
	size_t len;

	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3_OK);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 4);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), 0);
	data = get_opaque(&rig->reply, 100, &len);
	CU_ASSERT_EQUAL_FATAL(len, 4);
	CU_ASSERT_EQUAL(memcmp(data, "data", 4), 0);
	CU_ASSERT_FALSE(rig->reply.bad);
}

static void test_wait_and_wake(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, 2);
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 1);
	/* Others are served meanwhile. */
	call_getattr(rig);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	/* Woken, still lacking, woken again. */
	CU_ASSERT_EQUAL(fake_view_wake(rig->red), 1);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(fake_view_wake(rig->red), 1);
	rig_pump(rig);
	check_read(rig);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	CU_ASSERT_EQUAL(rig->rpc.copied_bytes, 0);
	CU_ASSERT_EQUAL(rig->peer.copied_bytes, 0);
	CU_ASSERT_EQUAL(fake_view_pins(rig->red), 0);
	rig_free(rig);
}

static void test_hold_ends(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, 1);
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	rig->rpc.now_ms = RPC_HOLD_MS - 1;
	rpc_expire(&rig->rpc);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	rig->rpc.now_ms = RPC_HOLD_MS;
	rpc_expire(&rig->rpc);
	rpc_expire(&rig->rpc);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3ERR_JUKEBOX);
	CU_ASSERT_TRUE(rig_skip_post_attr(rig));
	CU_ASSERT_EQUAL(fake_view_waits(rig->red), 0);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	rig_free(rig);
}

/* Too late to cancel: the wake comes, and is answered. */
static void test_hold_ends_late(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, 1);
	fake_view_late_wake(rig->red, true);
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	rig->rpc.now_ms = RPC_HOLD_MS;
	rpc_expire(&rig->rpc);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	fake_view_wake(rig->red);
	rig_pump(rig);
	check_read(rig);
	rig_free(rig);
}

static void test_close_while_waiting(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, 3);
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	rpc_close_peer(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	CU_ASSERT_EQUAL(fake_view_waits(rig->red), 0);

	/* Too late to cancel. */
	fake_view_late_wake(rig->red, true);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	rpc_close_peer(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 1);
	fake_view_wake(rig->red);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);

	/* Woken, but not yet run. */
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	fake_view_wake(rig->red);
	rpc_deliver_mail(&rig->rpc);
	rpc_close_peer(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	CU_ASSERT_EQUAL(rig->rpc.copied_bytes, 0);
	rig_free(rig);
}

static void test_too_many_waiting(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, RPC_PEER_WAITING_MAX + 1);
	for (int i = 0; i < RPC_PEER_WAITING_MAX; i++) {
		call_read(rig, fileid);
		CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	}
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3ERR_JUKEBOX);
	CU_ASSERT_EQUAL(fake_view_wake(rig->red), RPC_PEER_WAITING_MAX);
	rig_pump(rig);
	for (int i = 0; i < RPC_PEER_WAITING_MAX; i++)
		check_read(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	rig_free(rig);
}

static void call_mkdir(struct rig *rig, const char *name)
{
	rig_call(rig, NFS3_PROGRAM, NFS3_MKDIR);
	rig_fh_of(rig, rig->red, ROOT);
	rig_name(rig, name);
	rig_sattr(rig);
}

static void test_pending(void)
{
	struct rig *rig = rig_new();

	fake_view_pend(rig->red, true);
	call_mkdir(rig, "a");
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(fake_view_settle(rig->red, 0), 1);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3_OK);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	rig_free(rig);
}

static void test_pending_fails(void)
{
	struct rig *rig = rig_new();

	fake_view_pend(rig->red, true);
	call_mkdir(rig, "a");
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	fake_view_settle(rig->red, -EIO);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_TRUE(rig->peer.broken);
	rpc_close_peer(&rig->rpc, &rig->peer);
	/* Nor is a retransmission answered. */
	CU_ASSERT_EQUAL(rig_send(rig, &rig->other), 0);
	CU_ASSERT_FALSE(rig->other.broken); /* not its export at all */
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3ERR_BADHANDLE);
	fake_view_access(rig->red)->addr[0] = '\0';
	export_client_init(&rig->other.client,
			   &(struct sockaddr){.sa_family = AF_UNIX});
	CU_ASSERT_EQUAL(rig_send(rig, &rig->other), 0);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_TRUE(rig->other.broken);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
	rig_free(rig);
}

static void let_both_in(struct rig *rig)
{
	fake_view_access(rig->red)->addr[0] = '\0';
}

/* N-07: held, connection lost, retransmitted on a new one, released. */
static void test_duplicate_in_progress(void)
{
	struct rig *rig = rig_new();

	let_both_in(rig);
	fake_view_pend(rig->red, true);
	call_mkdir(rig, "a");
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	rpc_close_peer(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->other), 0);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 2);
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3_OK);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	rig_free(rig);
}

/* Both connections live: one answer, on the newest. */
static void test_duplicate_answered_once(void)
{
	struct rig *rig = rig_new();

	let_both_in(rig);
	fake_view_pend(rig->red, true);
	call_mkdir(rig, "a");
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->other), 0);
	rig_pump(rig); /* the one in the middle is dropped */
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 2);
	fake_view_settle(rig->red, 0);
	rpc_deliver_mail(&rig->rpc);
	rpc_resume(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig->rpc.out.reply_count, 0);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
	rig_free(rig);
}

/* The retransmission's connection goes as well: the first is answered. */
static void test_duplicate_gone(void)
{
	struct rig *rig = rig_new();

	let_both_in(rig);
	fake_view_pend(rig->red, true);
	call_mkdir(rig, "a");
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->other), 0);
	rpc_close_peer(&rig->rpc, &rig->other);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 1);
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	rig_free(rig);
}

/* A waiting CREATE outlives its connection: the retransmission gets it. */
static void test_duplicate_of_waiting(void)
{
	struct rig *rig = rig_new();

	let_both_in(rig);
	fake_view_hold(rig->red, 1);
	rig_call(rig, NFS3_PROGRAM, NFS3_CREATE);
	rig_fh_of(rig, rig->red, ROOT);
	rig_name(rig, "new");
	rig_u32(rig, EXCLUSIVE);
	rig_u64(rig, 99);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	rpc_close_peer(&rig->rpc, &rig->peer);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->other), RIG_NO_REPLY);
	fake_view_wake(rig->red);
	rig_pump(rig);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3_OK);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 1);
	rig_free(rig);
}

/* Reading stops when too much is parked; nothing is refused. */
static void test_full(void)
{
	struct rig *rig = rig_new();

	fake_view_pend(rig->red, true);
	for (int i = 0; i < RPC_PEER_CHANGING_MAX; i++) {
		char name[16];

		CU_ASSERT_FALSE(rpc_peer_is_full(&rig->peer));
		snprintf(name, sizeof(name), "d%d", i);
		call_mkdir(rig, name);
		CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	}
	CU_ASSERT_TRUE(rpc_peer_is_full(&rig->peer));
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	CU_ASSERT_FALSE(rpc_peer_is_full(&rig->peer));
	for (int i = 0; i < RPC_PEER_CHANGING_MAX; i++)
		CU_ASSERT_EQUAL(rig_take(rig), 0);
	rig_free(rig);
}

/* A WRITE that waits keeps its data, though the buffer is used again. */
static void test_write_waits(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = fake_view_add_file(rig->red, ROOT, "w", NULL, 0);
	uint8_t data[1000];

	check_fill(data, sizeof(data), 6);
	fake_view_hold(rig->red, 1);
	rig_call(rig, NFS3_PROGRAM, NFS3_WRITE);
	rig_fh_of(rig, rig->red, fileid);
	rig_u64(rig, 0);
	rig_u32(rig, sizeof(data));
	rig_u32(rig, FILE_SYNC);
	rig_bytes(rig, data, sizeof(data));
	fake_view_pend(rig->red, true);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	CU_ASSERT_TRUE(rig->peer.copied_bytes > sizeof(data));
	fake_view_wake(rig->red);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), RIG_NO_REPLY);
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3_OK);
	CU_ASSERT_EQUAL(rig->peer.copied_bytes, 0);
	rig_call(rig, NFS3_PROGRAM, NFS3_READ);
	rig_fh_of(rig, rig->red, fileid);
	rig_u64(rig, 0);
	rig_u32(rig, sizeof(data));
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	CU_ASSERT_EQUAL(
	    memcmp(rig->reply.end - sizeof(data), data, sizeof(data)), 0);
	rig_free(rig);
}

/* A flush fails between a call and its answer: WRITE answers with the verifier
 * of its moment, COMMIT with that of the end. */
static void test_verifier_moves(void)
{
	struct rig *rig = rig_new();
	uint64_t file = fake_view_add_file(rig->red, ROOT, "w", NULL, 0);
	uint64_t old = fake_view_info(rig->red)->verifier, new = old + 1;

	fake_view_pend(rig->red, true);
	rig_call(rig, NFS3_PROGRAM, NFS3_WRITE);
	rig_fh_of(rig, rig->red, file);
	rig_u64(rig, 0);
	rig_u32(rig, 3);
	rig_u32(rig, UNSTABLE);
	rig_name(rig, "abc");
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	fake_view_info(rig->red)->verifier = new;
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(memcmp(rig->reply.end - 8, &old, 8), 0);

	fake_view_info(rig->red)->verifier = old;
	rig_call(rig, NFS3_PROGRAM, NFS3_COMMIT);
	rig_fh_of(rig, rig->red, file);
	rig_u64(rig, 0);
	rig_u32(rig, 0);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	fake_view_info(rig->red)->verifier = new;
	fake_view_settle(rig->red, 0);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(memcmp(rig->reply.end - 8, &new, 8), 0);
	rig_free(rig);
}

/* Of a paused guest nothing is carried out or answered, and the connection
 * stays; what waited is sent away, to come again.  Others do not notice. */
static void test_paused(void)
{
	struct rig *rig = rig_new();
	uint64_t fileid = add_data(rig);

	fake_view_hold(rig->red, 1);
	call_read(rig, fileid);
	CU_ASSERT_EQUAL(rig_send(rig, &rig->peer), 0);
	fake_view_pause(rig->red, true);
	call_getattr(rig);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	rig_call(rig, NFS3_PROGRAM, NFS3_MKDIR);
	rig_fh_of(rig, rig->red, 1);
	rig_name(rig, "new");
	rig_sattr(rig);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	rig_call(rig, MOUNT3_PROGRAM, MOUNT3_MNT);
	rig_name(rig, "/red/vm1");
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), RIG_NO_REPLY);
	CU_ASSERT_FALSE(rig->peer.broken);
	CU_ASSERT_EQUAL(fake_view_changes(rig->red), 0);
	CU_ASSERT_EQUAL(fake_view_wake(rig->red), 1);
	rig_pump(rig);
	CU_ASSERT_EQUAL(rig_take(rig), 0);
	CU_ASSERT_EQUAL(get_u32(&rig->reply), NFS3ERR_JUKEBOX);
	CU_ASSERT_EQUAL(rig->rpc.parked_count, 0);
	fake_view_pause(rig->red, false);
	call_getattr(rig);
	CU_ASSERT_EQUAL(rig_status(rig, &rig->peer), NFS3_OK);
	rig_free(rig);
}

static const struct check_test tests[] = {
    {"programs, versions, procedures", test_programs},
    {"no call at all", test_no_call},
    {"flavours", test_flavors},
    {"AUTH_SYS bounds", test_auth_sys},
    {"garbage arguments", test_garbage},
    {"wait and wake", test_wait_and_wake},
    {"JUKEBOX after the hold", test_hold_ends},
    {"the hold ends, but the wake is coming", test_hold_ends_late},
    {"close while waiting", test_close_while_waiting},
    {"too many waiting", test_too_many_waiting},
    {"pending change", test_pending},
    {"pending change fails", test_pending_fails},
    {"duplicate of a lost connection", test_duplicate_in_progress},
    {"duplicate answered once", test_duplicate_answered_once},
    {"duplicate gone too", test_duplicate_gone},
    {"duplicate of a waiting call", test_duplicate_of_waiting},
    {"full of changes", test_full},
    {"WRITE waits with its data", test_write_waits},
    {"verifier of WRITE and of COMMIT", test_verifier_moves},
    {"a paused guest", test_paused},
};

int main(void)
{
	return check_main("test_rpc", tests, ARRAY_LEN(tests));
}
