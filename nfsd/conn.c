/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: turns of a connection.
 */
#include "nfsd/conn.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

int conn_shared_init(struct conn_shared *shared, struct site *site,
		     struct drc *drc, size_t receive_max, size_t held_max)
{
	int rc;

	shared->quiet = false;
	shared->held_max = held_max;
	shared->held = 0;
	shared->in = malloc(CONN_RECEIVE_MAX);
	if (!shared->in)
		return -ENOMEM;
	bufpool_init(&shared->pool, receive_max);
	rc = rpc_init(&shared->rpc, site, drc);
	if (rc < 0)
		free(STEAL(shared->in));
	return rc;
}

void conn_shared_fini(struct conn_shared *shared)
{
	rpc_fini(&shared->rpc);
	bufpool_fini(&shared->pool);
	free(STEAL(shared->in));
}

struct conn *conn_new(int fd, const struct sockaddr *addr)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->fd = fd;
	conn->receive_len = CONN_RECEIVE_MIN;
	framing_init(&conn->framing);
	peer_init(&conn->peer, addr);
	return conn;
}

static void conn_put_buffer(struct conn *conn)
{
	size_t cap = conn->framing.cap;

	bufpool_put(&conn->shared->pool, framing_take(&conn->framing), cap);
}

static void conn_put_stash(struct conn *conn)
{
	bufpool_put(&conn->shared->pool, STEAL(conn->stash), conn->stash_cap);
	conn->stash_cap = conn->stash_at = conn->stash_len = 0;
}

/* What waits for its client is its guest's. */
static void conn_charge(struct conn *conn, size_t held)
{
	struct share *home = conn->peer.home;

	if (!home || held == conn->charged)
		return;
	if (held > conn->charged)
		share_add(home, SHARE_BYTES, held - conn->charged);
	else
		share_sub(home, SHARE_BYTES, conn->charged - held);
	conn->charged = held;
}

void conn_close(struct conn *conn)
{
	conn_charge(conn, 0);
	rpc_close_peer(&conn->shared->rpc, &conn->peer);
	conn->shared->held -= conn->queue.held;
	out_queue_drop(&conn->queue);
	conn->framing.len = 0;
	conn_put_buffer(conn);
	conn_put_stash(conn);
	close(STEAL_FD(conn->fd));
}

void conn_free(struct conn *conn)
{
	ASSERT(conn->fd < 0);

	free(conn);
}

/* Replies that wait for slow clients hold all the memory that they may. */
static bool conn_is_tight(const struct conn_shared *shared)
{
	return shared->held >= shared->held_max;
}

bool conn_must_relieve(const struct conn_shared *shared)
{
	return shared->held / 3 >= shared->held_max;
}

bool conn_guest_must_relieve(const struct conn *conn)
{
	return conn->queue.unsent > 0 && share_must_relieve(conn->peer.home);
}

/* The memory for replies is used up, or its guest's part of it. */
static bool conn_is_short(const struct conn *conn)
{
	return conn_is_tight(conn->shared) ||
	       share_is_full(conn->peer.home, SHARE_BYTES);
}

/* May another call be served now? */
static bool conn_may_serve(const struct conn *conn)
{
	size_t unsent = conn->queue.unsent;

	if (unsent > 0 && conn_is_short(conn))
		return false;
	return unsent < OUT_UNSENT_MAX && !conn->peer.broken &&
	       !conn->shared->quiet && !rpc_peer_is_full(&conn->peer);
}

static uint8_t *conn_get_buffer(struct conn *conn, size_t len, size_t *cap)
{
	struct conn_shared *shared = conn->shared;
	uint8_t *buf;

	for (;;) {
		buf = bufpool_get(&shared->pool, len, cap);
		if (buf || !shared->make_room ||
		    !shared->make_room(shared, conn))
			return buf;
	}
}

/*
 * Room for `more` bytes that have come.  A client that has sent a whole large
 * record before gets the room for the next at once; others grow with what
 * arrives.
 */
static int conn_grow(struct conn *conn, size_t more)
{
	struct framing *framing = &conn->framing;
	size_t old_cap = framing->cap, cap;
	size_t hint = MIN(framing_announced(framing), conn->record_len);
	uint8_t *buf;

	buf = conn_get_buffer(conn, MAX(framing->len + more, hint), &cap);
	if (!buf)
		return -ENOMEM;
	bufpool_put(&conn->shared->pool, framing_give(framing, buf, cap),
		    old_cap);
	return 0;
}

static int conn_flush(struct conn *conn)
{
	struct rpc *rpc = &conn->shared->rpc;

	if (rpc->out.reply_count == 0)
		return 0;
	stats_count_batch(&rpc->stats, rpc->out.reply_count);
	stats_count(&rpc->stats.bytes_out, rpc->out.bytes);
	return out_flush(&rpc->out, &conn->queue, conn->fd);
}

static int conn_serve(struct conn *conn, const uint8_t *body, size_t len)
{
	struct rpc *rpc = &conn->shared->rpc;
	size_t out_bytes, used;
	int rc;

	if (out_is_full(&rpc->out)) {
		rc = conn_flush(conn);
		if (rc < 0)
			return rc;
	}
	out_bytes = rpc->out.bytes;
	rc = rpc_serve(rpc, &conn->peer, body, len);
	used = len + rpc->out.bytes - out_bytes;
	conn->budget_bytes -= MIN(used, conn->budget_bytes);
	conn->budget_calls--;
	conn->partial_ms = 0;
	return rc;
}

static bool conn_has_budget(const struct conn *conn)
{
	return conn->budget_calls > 0 && conn->budget_bytes > 0;
}

/* What lies in the shared buffer beyond the budget must leave it. */
static int conn_keep_rest(struct conn *conn, const uint8_t *bytes,
			  const uint8_t *end)
{
	size_t len = (size_t)(end - bytes);

	if (conn->stash) {
		conn->stash_at = conn->stash_len - len;
		return 0;
	}
	conn->stash = conn_get_buffer(conn, len, &conn->stash_cap);
	if (!conn->stash)
		return -ENOMEM;
	memcpy(conn->stash, bytes, len);
	conn->stash_at = 0;
	conn->stash_len = len;
	return 0;
}

/* A gathered record has been served. */
static void conn_gathered(struct conn *conn, size_t len)
{
	conn->record_len = len;
	conn_put_buffer(conn);
}

/* Serve the records in what has come. */
static int conn_process(struct conn *conn, const uint8_t *bytes,
			const uint8_t *end)
{
	struct framing *framing = &conn->framing;
	const uint8_t *body;
	size_t len;
	int rc;

	while (bytes < end) {
		if (!conn_has_budget(conn) || !conn_may_serve(conn))
			return conn_keep_rest(conn, bytes, end);
		rc = framing_next(framing, &bytes, end, &body, &len);
		if (rc < 0)
			return rc;
		if (rc == FRAMING_MORE)
			break;
		if (rc == FRAMING_ROOM)
			rc = conn_grow(conn, MIN((size_t)(end - bytes),
						 framing->fragment_left));
		else
			rc = conn_serve(conn, body, len);
		if (rc < 0)
			return rc;
		if (framing->buf && !framing_is_partial(framing))
			conn_gathered(conn, len);
	}
	if (conn->stash)
		conn_put_stash(conn);
	return 0;
}

/* The part of a receive that went straight to its place. */
static int conn_received(struct conn *conn, size_t len)
{
	struct framing *framing = &conn->framing;
	const uint8_t *body;
	size_t body_len;
	int rc;

	framing_received(framing, len);
	if (framing_complete(framing, &body, &body_len)) {
		rc = conn_serve(conn, body, body_len);
		if (rc < 0)
			return rc;
		conn_gathered(conn, body_len);
		return 0;
	}
	if (framing->len < framing->cap || framing->fragment_left == 0)
		return 0;
	return conn_grow(conn, 1);
}

/* Ask for more next time, or for less, by what came this time. */
static void conn_tune(struct conn *conn, size_t got)
{
	if (got == conn->receive_len)
		conn->receive_len =
		    MIN(4 * conn->receive_len, (size_t)CONN_RECEIVE_MAX);
	else if (got < conn->receive_len / 8)
		conn->receive_len =
		    MAX(conn->receive_len / 4, (size_t)CONN_RECEIVE_MIN);
}

/* One receive.  -ECONNRESET: the other end has closed. */
static int conn_receive(struct conn *conn)
{
	struct conn_shared *shared = conn->shared;
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	size_t direct_len, tail_len = conn->receive_len, got;
	uint8_t *direct;
	ssize_t n;
	int rc;

	direct_len = framing_rest(&conn->framing, &direct);
	if (framing_announced(&conn->framing) > CONN_RECORD_LARGE)
		tail_len = CONN_RECEIVE_TAIL;
	if (direct_len > 0)
		iov[msg.msg_iovlen++] = (struct iovec){direct, direct_len};
	iov[msg.msg_iovlen++] = (struct iovec){shared->in, tail_len};
	n = recvmsg(conn->fd, &msg, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	got = (size_t)n;
	stats_count(&shared->rpc.stats.bytes_in, got);
	if (direct_len > 0) {
		size_t len = MIN(got, direct_len);

		rc = conn_received(conn, len);
		if (rc < 0)
			return rc;
		got -= len;
	}
	if (tail_len == conn->receive_len)
		conn_tune(conn, got);
	return conn_process(conn, shared->in, shared->in + got);
}

static int conn_read_and_serve(struct conn *conn, uint32_t events)
{
	if (!conn_may_serve(conn))
		return 0;
	if (conn->stash)
		return conn_process(conn, conn->stash + conn->stash_at,
				    conn->stash + conn->stash_len);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		return conn_receive(conn);
	return 0;
}

/* The clock of a partial record runs while we read. */
static void conn_note_partial(struct conn *conn)
{
	if (!framing_is_partial(&conn->framing))
		conn->partial_ms = 0;
	else if (conn->partial_ms == 0 || !conn_may_serve(conn))
		conn->partial_ms = conn->shared->rpc.now_ms + 1;
}

static enum conn_next conn_take_turn(struct conn *conn, uint32_t events)
{
	struct rpc *rpc = &conn->shared->rpc;
	bool more_woken;
	int rc = 0, flush_rc;

	ASSERT(conn->fd >= 0 && rpc->out.reply_count == 0);

	conn->budget_calls = conn_is_short(conn) ? 1 : CONN_TURN_CALLS;
	conn->budget_bytes = CONN_TURN_BYTES;
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		return CONN_END;
	if (conn->queue.first && (events & EPOLLOUT))
		rc = out_queue_send(&conn->queue, conn->fd);
	if (rc < 0)
		return CONN_END;
	more_woken = rpc_resume(rpc, &conn->peer);
	if (!more_woken)
		rc = conn_read_and_serve(conn, events);
	/* What was answered before a bad record still goes out. */
	flush_rc = conn_flush(conn);
	if (rc < 0 || flush_rc < 0 || conn->peer.broken)
		return CONN_END;
	conn_note_partial(conn);
	if (more_woken || (conn->stash && conn_may_serve(conn)))
		return CONN_AGAIN;
	return CONN_WAIT;
}

enum conn_next conn_turn(struct conn *conn, uint32_t events)
{
	size_t unsent = conn->queue.unsent, held = conn->queue.held;
	enum conn_next next = conn_take_turn(conn, events);

	conn->shared->held += conn->queue.held - held;
	conn_charge(conn, conn->queue.held);
	if (conn->queue.unsent == 0)
		conn->stalled_ms = 0;
	else if (unsent == 0 || conn->queue.unsent < unsent)
		conn->stalled_ms = conn->shared->rpc.now_ms + 1;
	return next;
}

uint32_t conn_events(const struct conn *conn)
{
	uint32_t events = 0;

	if (!conn->stash && conn_may_serve(conn))
		events |= EPOLLIN;
	if (conn->queue.first)
		events |= EPOLLOUT;
	return events;
}

bool conn_is_late(const struct conn *conn)
{
	return conn->partial_ms > 0 &&
	       conn->shared->rpc.now_ms > conn->partial_ms + CONN_PARTIAL_MS;
}
