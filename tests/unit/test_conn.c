/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns of a connection over a socket pair: any split of the stream, budgets,
 * memory, a client that does not read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "nfsd/conn.h"
#include "tests/fake/fake_rig.h"
#include "tests/lib/check.h"

enum { ROOT = 1, TURNS_MAX = 100000 };

struct wire {
	struct rig *rig; /* owns; encodes calls, has the views */
	struct conn_shared shared;
	struct conn *conn; /* owns */
	int fd;            /* the client's end */
	uint8_t *got;      /* owns */
	size_t got_len;
	enum conn_next next; /* of the last turn */
};

static unsigned int room_asked;

static bool no_room(struct conn_shared *shared, struct conn *asking)
{
	(void)shared;
	(void)asking;
	room_asked++;
	return false;
}

static void no_ready(struct peer *peer)
{
	(void)peer;
}

static struct wire *wire_new(size_t receive_max)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	struct sockaddr addr = {.sa_family = AF_UNIX};
	int fds[2];

	ASSERT(wire);
	wire->rig = rig_new();
	fake_view_access(wire->rig->red)->addr[0] = '\0';
	ASSERT(conn_shared_init(&wire->shared, wire->rig->site, wire->rig->drc,
				receive_max, 64 << 20) == 0);
	wire->shared.make_room = no_room;
	wire->shared.rpc.ready = no_ready;
	ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	wire->conn = conn_new(fds[0], &addr);
	ASSERT(wire->conn);
	wire->conn->shared = &wire->shared;
	wire->fd = fds[1];
	wire->got = malloc(RIG_REPLY_MAX);
	ASSERT(wire->got);
	return wire;
}

static void wire_free(struct wire *wire)
{
	if (wire->conn->fd >= 0)
		conn_close(wire->conn);
	conn_free(wire->conn);
	CU_ASSERT_EQUAL(wire->shared.pool.bytes, 0);
	CU_ASSERT_EQUAL(fake_view_pins(wire->rig->red), 0);
	conn_shared_fini(&wire->shared);
	close(wire->fd);
	rig_free(wire->rig);
	free(wire->got);
	free(wire);
}

/* Turns until nothing is left to do without the client. */
static void wire_turns(struct wire *wire)
{
	uint32_t events = EPOLLIN | EPOLLOUT;
	uint8_t peek;

	for (int i = 0; i < TURNS_MAX; i++) {
		wire->next =
		    conn_turn(wire->conn, events & conn_events(wire->conn));
		if (wire->next == CONN_END)
			return;
		if (wire->next == CONN_WAIT &&
		    (!(conn_events(wire->conn) & EPOLLIN) ||
		     recv(wire->conn->fd, &peek, 1, MSG_PEEK) < 0))
			return;
	}
	CU_FAIL("turns without end");
}

static void wire_collect(struct wire *wire)
{
	ssize_t n;

	while ((n = recv(wire->fd, wire->got + wire->got_len,
			 RIG_REPLY_MAX - wire->got_len, 0)) > 0)
		wire->got_len += (size_t)n;
}

/* Send all, with turns in between; the client reads what comes. */
static void wire_send(struct wire *wire, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		ssize_t n = send(wire->fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (wire->next == CONN_END) {
			return;
		}
		wire_turns(wire);
		wire_collect(wire);
	}
}

/* Complete replies so far; each must be one fragment. */
static unsigned int wire_replies(const struct wire *wire)
{
	unsigned int count = 0;
	size_t at = 0;

	while (at + 4 <= wire->got_len) {
		uint32_t mark = be32_get(wire->got + at);

		CU_ASSERT_TRUE_FATAL(mark >> 31);
		at += 4 + (mark & 0x7fffffff);
		count++;
	}
	CU_ASSERT_EQUAL(at, wire->got_len);
	return count;
}

static void call_getattr(struct wire *wire)
{
	rig_call(wire->rig, NFS3_PROGRAM, NFS3_GETATTR);
	rig_fh_of(wire->rig, wire->rig->red, ROOT);
}

/* What was encoded, behind its mark. */
static size_t wire_record(struct wire *wire, uint8_t *to)
{
	size_t len = rig_len(wire->rig);

	be32_put(to, 0x80000000u | (uint32_t)len);
	memcpy(to + 4, wire->rig->call, len);
	return 4 + len;
}

static void test_byte_at_a_time(void)
{
	struct wire *wire = wire_new(1 << 24);
	uint8_t bytes[512];
	size_t len;

	for (unsigned int n = 1; n <= 3; n++) {
		call_getattr(wire);
		len = wire_record(wire, bytes);
		for (size_t i = 0; i < len; i++)
			wire_send(wire, bytes + i, 1);
		CU_ASSERT_EQUAL(wire_replies(wire), n);
		CU_ASSERT_EQUAL(wire->shared.pool.bytes, 0);
	}
	wire_free(wire);
}

static void test_every_cut(void)
{
	struct wire *wire = wire_new(1 << 24);
	uint8_t bytes[512];
	unsigned int count = 0;
	size_t len;

	call_getattr(wire);
	len = wire_record(wire, bytes);
	for (size_t cut = 1; cut < len; cut++) {
		wire_send(wire, bytes, cut);
		CU_ASSERT_EQUAL(wire_replies(wire), count);
		wire_send(wire, bytes + cut, len - cut);
		CU_ASSERT_EQUAL(wire_replies(wire), ++count);
	}
	wire_free(wire);
}

static void test_fragments(void)
{
	struct wire *wire = wire_new(1 << 24);
	uint8_t data[1900], *bytes = malloc(1 << 16);
	size_t len = 0, call_len;
	uint64_t file = fake_view_add_file(wire->rig->red, ROOT, "f", NULL, 0);

	ASSERT(bytes);
	check_fill(data, sizeof(data), 3);
	rig_call(wire->rig, NFS3_PROGRAM, NFS3_WRITE);
	rig_fh_of(wire->rig, wire->rig->red, file);
	rig_u64(wire->rig, 0);
	rig_u32(wire->rig, sizeof(data));
	rig_u32(wire->rig, 0);
	rig_bytes(wire->rig, data, sizeof(data));
	call_len = rig_len(wire->rig);
	CU_ASSERT_TRUE_FATAL(call_len > 2000 && call_len < 2048);
	/* One byte each, and empty ones up to 2,048. */
	for (size_t i = 0; i < 2048 - call_len; i++, len += 4)
		be32_put(bytes + len, 0);
	for (size_t i = 0; i < call_len; i++, len += 5) {
		be32_put(bytes + len, (i + 1 == call_len) * 0x80000000u + 1);
		bytes[len + 4] = wire->rig->call[i];
	}
	wire_send(wire, bytes, len);
	CU_ASSERT_EQUAL(wire_replies(wire), 1);
	CU_ASSERT_EQUAL(be32_get(wire->got + 28), NFS3_OK);
	CU_ASSERT_EQUAL(fake_view_attr(wire->rig->red, file)->size,
			sizeof(data));
	free(bytes);
	wire_free(wire);
}

static void test_budget(void)
{
	enum { CALLS = 200 };
	struct wire *wire = wire_new(1 << 24);
	uint8_t *bytes = malloc(1 << 16);
	size_t len = 0;

	ASSERT(bytes);
	for (int i = 0; i < CALLS; i++) {
		rig_call(wire->rig, NFS3_PROGRAM, NFS3_NULL);
		len += wire_record(wire, bytes + len);
	}
	CU_ASSERT_EQUAL(send(wire->fd, bytes, len, 0), (ssize_t)len);
	for (int turn = 1; turn <= 4; turn++) {
		CU_ASSERT_EQUAL(conn_turn(wire->conn, EPOLLIN),
				turn < 4 ? CONN_AGAIN : CONN_WAIT);
		wire_collect(wire);
		CU_ASSERT_EQUAL(wire_replies(wire),
				MIN(turn * CONN_TURN_CALLS, CALLS));
		CU_ASSERT_EQUAL(conn_events(wire->conn),
				turn < 4 ? 0 : EPOLLIN);
	}
	CU_ASSERT_EQUAL(wire->shared.rpc.stats.turns, 4);
	CU_ASSERT_EQUAL(wire->shared.rpc.stats.turns_by_batch[6], 3);
	free(bytes);
	wire_free(wire);
}

static void test_large_writes(void)
{
	static const uint32_t sizes[] = {100,    8192,    65536, 1 << 20,
					 300000, 1 << 20, 8,     1 << 20};
	struct wire *wire = wire_new(1 << 24);
	uint64_t file = fake_view_add_file(wire->rig->red, ROOT, "f", NULL, 0);
	uint8_t *data = malloc(1 << 20), *bytes = malloc(8 << 20);
	size_t len = 0;
	uint64_t off = 0;

	ASSERT(data && bytes);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		check_fill(data, sizes[i], i);
		rig_call(wire->rig, NFS3_PROGRAM, NFS3_WRITE);
		rig_fh_of(wire->rig, wire->rig->red, file);
		rig_u64(wire->rig, off);
		rig_u32(wire->rig, sizes[i]);
		rig_u32(wire->rig, 2);
		rig_bytes(wire->rig, data, sizes[i]);
		len += wire_record(wire, bytes + len);
		off += sizes[i];
	}
	wire_send(wire, bytes, len);
	CU_ASSERT_EQUAL(wire_replies(wire), ARRAY_LEN(sizes));
	CU_ASSERT_EQUAL(fake_view_attr(wire->rig->red, file)->size, off);
	CU_ASSERT_EQUAL(wire->shared.pool.bytes, 0);
	off = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		wire->got_len = 0;
		rig_call(wire->rig, NFS3_PROGRAM, NFS3_READ);
		rig_fh_of(wire->rig, wire->rig->red, file);
		rig_u64(wire->rig, off);
		rig_u32(wire->rig, sizes[i]);
		wire_send(wire, bytes, wire_record(wire, bytes));
		for (int n = 0; n < 1000 && wire->conn->queue.first; n++) {
			wire_turns(wire);
			wire_collect(wire);
		}
		check_fill(data, sizes[i], i);
		CU_ASSERT_EQUAL(memcmp(wire->got + wire->got_len - sizes[i],
				       data, sizes[i]),
				0);
		off += sizes[i];
	}
	free(data);
	free(bytes);
	wire_free(wire);
}

/* N-54: what is announced takes no memory; over the limit closes. */
static void test_announced(void)
{
	static const uint32_t too_long[] = {0xffffffff, 0x7fffffff,
					    0x80000000u + FRAMING_LEN_MAX + 1};
	uint8_t bytes[8] = {0};

	for (size_t i = 0; i < ARRAY_LEN(too_long); i++) {
		struct wire *wire = wire_new(1 << 24);

		be32_put(bytes, too_long[i]);
		wire_send(wire, bytes, 8);
		CU_ASSERT_EQUAL(wire->next, CONN_END);
		CU_ASSERT_EQUAL(wire->shared.pool.bytes, 0);
		wire_free(wire);
	}
	struct wire *wire = wire_new(1 << 24);

	be32_put(bytes, 0x80000000u + FRAMING_LEN_MAX);
	wire_send(wire, bytes, 8);
	CU_ASSERT_EQUAL(wire->next, CONN_WAIT);
	CU_ASSERT_EQUAL(wire->shared.pool.bytes, BUFPOOL_SMALL);
	wire_free(wire);
}

static void test_late(void)
{
	struct wire *wire = wire_new(1 << 24);
	uint8_t bytes[512];
	size_t len;

	wire->shared.rpc.now_ms = 5000;
	call_getattr(wire);
	len = wire_record(wire, bytes);
	wire_send(wire, bytes, len);
	CU_ASSERT_FALSE(conn_is_late(wire->conn));
	wire->shared.rpc.now_ms = 100000;
	CU_ASSERT_FALSE(conn_is_late(wire->conn)); /* idle is no crime */
	wire_send(wire, bytes, 20);
	wire->shared.rpc.now_ms += CONN_PARTIAL_MS - 1;
	wire_send(wire, bytes + 20, 1);
	CU_ASSERT_FALSE(conn_is_late(wire->conn));
	wire->shared.rpc.now_ms += 3;
	CU_ASSERT_TRUE(conn_is_late(wire->conn));
	wire_send(wire, bytes + 21, len - 21);
	CU_ASSERT_FALSE(conn_is_late(wire->conn));
	CU_ASSERT_EQUAL(wire_replies(wire), 2);
	wire_free(wire);
}

/* A client that asks and does not read: bounded; then it reads all of it. */
static void test_slow_reader(void)
{
	enum { SIZE = 1 << 20, CALLS = 7 };
	struct wire *wire = wire_new(1 << 24);
	uint8_t *data = malloc(SIZE), bytes[512];
	uint64_t file;

	ASSERT(data);
	check_fill(data, SIZE, 5);
	file = fake_view_add_file(wire->rig->red, ROOT, "f", data, SIZE);
	for (int i = 0; i < CALLS; i++) {
		rig_call(wire->rig, NFS3_PROGRAM, NFS3_READ);
		rig_fh_of(wire->rig, wire->rig->red, file);
		rig_u64(wire->rig, 0);
		rig_u32(wire->rig, SIZE);
		CU_ASSERT_TRUE(
		    send(wire->fd, bytes, wire_record(wire, bytes), 0) > 0);
		wire_turns(wire);
	}
	CU_ASSERT_TRUE(wire->conn->queue.unsent >= OUT_UNSENT_MAX);
	CU_ASSERT_TRUE(wire->conn->queue.unsent < OUT_UNSENT_MAX + 2 * SIZE);
	CU_ASSERT_EQUAL(conn_events(wire->conn), EPOLLOUT);
	CU_ASSERT_TRUE(fake_view_pins(wire->rig->red) > 0);
	for (int i = 0; i < TURNS_MAX && wire->got_len < CALLS * (SIZE + 128);
	     i++) {
		wire_collect(wire);
		wire_turns(wire);
		if (!wire->conn->queue.first && wire->got_len > CALLS * SIZE)
			break;
	}
	wire_collect(wire);
	CU_ASSERT_EQUAL(wire_replies(wire), CALLS);
	for (size_t at = 0; at < wire->got_len;) {
		at += 4 + (be32_get(wire->got + at) & 0x7fffffff);
		CU_ASSERT_EQUAL(memcmp(wire->got + at - SIZE, data, SIZE), 0);
	}
	CU_ASSERT_EQUAL(conn_events(wire->conn), EPOLLIN);
	wire_free(wire);
	free(data);
}

/* Closed with replies unsent: the pins go (wire_free looks). */
static void test_close_with_backlog(void)
{
	enum { SIZE = 1 << 20 };
	struct wire *wire = wire_new(1 << 24);
	uint8_t *data = calloc(1, SIZE), bytes[512];
	uint64_t file;

	ASSERT(data);
	file = fake_view_add_file(wire->rig->red, ROOT, "f", data, SIZE);
	for (int i = 0; i < 3; i++) {
		rig_call(wire->rig, NFS3_PROGRAM, NFS3_READ);
		rig_fh_of(wire->rig, wire->rig->red, file);
		rig_u64(wire->rig, 0);
		rig_u32(wire->rig, SIZE);
		CU_ASSERT_TRUE(
		    send(wire->fd, bytes, wire_record(wire, bytes), 0) > 0);
		wire_turns(wire);
	}
	CU_ASSERT_TRUE(fake_view_pins(wire->rig->red) > 0);
	wire_free(wire);
	free(data);
}

/* What was asked before nonsense is answered; then the end. */
static void test_nonsense(void)
{
	struct wire *wire = wire_new(1 << 24);
	uint8_t bytes[1024];
	size_t len;

	call_getattr(wire);
	len = wire_record(wire, bytes);
	len += wire_record(wire, bytes + len);
	memcpy(bytes + len, "GET / HTTP/1.1\r\n\r\n", 18);
	CU_ASSERT_TRUE(send(wire->fd, bytes, len + 18, 0) > 0);
	wire_turns(wire);
	wire_collect(wire);
	CU_ASSERT_EQUAL(wire->next, CONN_END);
	CU_ASSERT_EQUAL(wire_replies(wire), 2);
	wire_free(wire);
}

static void test_hang_up(void)
{
	struct wire *wire = wire_new(1 << 24);

	shutdown(wire->fd, SHUT_RDWR);
	CU_ASSERT_EQUAL(conn_turn(wire->conn, EPOLLIN | EPOLLHUP), CONN_END);
	wire_free(wire);
}

/* The receive budget is spent and nobody can be closed. */
static void test_no_room(void)
{
	struct wire *wire = wire_new(BUFPOOL_SMALL);
	uint8_t *bytes = calloc(1, 100000);

	ASSERT(bytes);
	room_asked = 0;
	be32_put(bytes, 0x80000000u + 90000);
	wire_send(wire, bytes, 6000);
	CU_ASSERT_EQUAL(wire->next, CONN_WAIT);
	CU_ASSERT_EQUAL(room_asked, 0);
	wire_send(wire, bytes, 6000);
	CU_ASSERT_EQUAL(wire->next, CONN_END);
	CU_ASSERT_EQUAL(room_asked, 1);
	free(bytes);
	wire_free(wire);
}

static const struct check_test tests[] = {
    {"a byte at a time", test_byte_at_a_time},
    {"every cut of a call", test_every_cut},
    {"2,048 fragments", test_fragments},
    {"budget of a turn", test_budget},
    {"large writes", test_large_writes},
    {"announced lengths", test_announced},
    {"late records", test_late},
    {"slow reader", test_slow_reader},
    {"closed with a backlog", test_close_with_backlog},
    {"nonsense after calls", test_nonsense},
    {"hang-up", test_hang_up},
    {"no room", test_no_room},
};

int main(void)
{
	return check_main("test_conn", tests, ARRAY_LEN(tests));
}
