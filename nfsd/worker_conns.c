/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_conns: the connections of a worker: whose turn it is, who comes, who
 * goes, and who has to go when memory is full.
 */
#include "nfsd/worker_impl.h"

#include <sys/epoll.h>

#include "depot/log.h"

/* --- closed ------------------------------------------------------------- */

static void worker_unready(struct conn *conn)
{
	conn->ready = false;
	conn->worker->ready_count--;
	TAILQ_REMOVE(&conn->worker->ready[conn->lane], conn, ready_link);
}

void worker_close(struct conn *conn)
{
	struct worker *worker = conn->worker;

	if (conn->closed)
		return;
	conn->closed = true;
	if (conn->ready)
		worker_unready(conn);
	LIST_REMOVE(conn, all_link);
	LIST_INSERT_HEAD(&worker->dead, conn, all_link);
	conn_close(conn);
	share_give_address(worker->shares, STEAL(conn->address));
	__atomic_sub_fetch(&worker->conn_count, 1, __ATOMIC_RELAXED);
	stats_count(&worker->shared.rpc.stats.connections, (uint64_t)-1);
}

void worker_bury(struct worker *worker)
{
	struct conn *conn;

	while ((conn = LIST_FIRST(&worker->dead))) {
		LIST_REMOVE(conn, all_link);
		conn_free(conn);
	}
}

void worker_watch(struct conn *conn)
{
	uint32_t events = conn_events(conn);
	struct epoll_event event = {.events = events, .data.ptr = conn};

	if (events == conn->events)
		return;
	if (epoll_ctl(conn->worker->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) <
	    0) {
		log_err(-errno, "epoll_ctl");
		worker_close(conn);
		return;
	}
	conn->events = events;
}

/* --- memory is full ----------------------------------------------------- */

/* Who has taken nothing for longest, of a guest's connections (NULL: of all),
 * goes.  false: there is none. */
static bool worker_close_slowest(struct worker *worker,
				 const struct share *home)
{
	struct conn *conn, *oldest = NULL;

	LIST_FOREACH(conn, &worker->conns, all_link)
	if (conn->stalled_ms > 0 && (!home || conn->peer.home == home) &&
	    (!oldest || conn->stalled_ms < oldest->stalled_ms))
		oldest = conn;
	if (!oldest)
		return false;
	if (worker->shared.rpc.now_ms >= worker->warn_ms) {
		worker->warn_ms = worker->shared.rpc.now_ms + WORKER_WARN_MS;
		log_warn("send memory%s%s is full: closing the slowest "
			 "connections",
			 home ? " of " : "",
			 home ? oldest->peer.info->path : "");
	}
	worker_close(oldest);
	return true;
}

/* Replies that nobody takes. */
static void worker_relieve(struct worker *worker, struct conn *conn)
{
	while (conn_guest_must_relieve(conn) && !conn->closed)
		if (!worker_close_slowest(worker, conn->peer.home))
			break;
	while (conn_must_relieve(&worker->shared))
		if (!worker_close_slowest(worker, NULL))
			break;
}

/* The connection whose record has been partial for longest is the one that
 * means it least. */
static bool worker_make_room(struct conn_shared *shared, struct conn *asking)
{
	struct worker *worker = asking->worker;
	struct conn *conn, *oldest = NULL;

	ASSERT(&worker->shared == shared);

	LIST_FOREACH(conn, &worker->conns, all_link)
	if (conn != asking && conn->partial_ms > 0 && conn->framing.cap > 0 &&
	    (!oldest || conn->partial_ms < oldest->partial_ms))
		oldest = conn;
	if (!oldest)
		return false;
	/* Who fills the memory must not fill the log. */
	if (shared->rpc.now_ms >= worker->warn_ms) {
		worker->warn_ms = shared->rpc.now_ms + WORKER_WARN_MS;
		log_warn("receive memory is full: closing the connections "
			 "whose calls have been incomplete for longest");
	}
	worker_close(oldest);
	return true;
}

/* --- turns -------------------------------------------------------------- */

/* Who is nobody's guest yet has the first; guests have the others in turn, so
 * that as many as there are lanes have one each. */
static unsigned int worker_lane(const struct conn *conn)
{
	const struct share *home = conn->peer.home;

	return home ? 1 + share_number(home) % (WORKER_LANES - 1) : 0;
}

void worker_make_ready(struct conn *conn)
{
	if (conn->ready || conn->closed)
		return;
	conn->ready = true;
	conn->lane = worker_lane(conn);
	conn->worker->ready_count++;
	TAILQ_INSERT_TAIL(&conn->worker->ready[conn->lane], conn, ready_link);
}

static void worker_peer_ready(struct peer *peer)
{
	worker_make_ready(container_of(peer, struct conn, peer));
}

static void worker_turn(struct conn *conn, uint32_t events)
{
	struct worker *worker = conn->worker;

	switch (conn_turn(conn, events)) {
	case CONN_AGAIN:
		worker_make_ready(conn);
		break;
	case CONN_WAIT:
		break;
	case CONN_END:
		worker_close(conn);
		return;
	}
	worker_relieve(worker, conn);
	if (!conn->closed)
		worker_watch(conn);
}

/* One turn in each lane; how many that were. */
static unsigned int worker_rotate(struct worker *worker)
{
	unsigned int turns = 0;

	for (unsigned int i = 0; i < WORKER_LANES; i++) {
		struct conn *conn = TAILQ_FIRST(&worker->ready[i]);
		uint32_t events;

		if (!conn)
			continue;
		worker_unready(conn);
		events = conn->pending;
		conn->pending = 0;
		worker_turn(conn, events);
		turns++;
	}
	return turns;
}

void worker_ready_turns(struct worker *worker)
{
	unsigned int count = worker->ready_count, turns;
	uint64_t until = 0, now;

	while (count > 0 && worker->ready_count > 0) {
		turns = worker_rotate(worker);
		count -= MIN(turns, count);
		if (count == 0)
			return;
		now = worker_now_ns();
		if (until == 0)
			until = now + WORKER_SLICE_NS;
		else if (now >= until)
			return;
	}
}

void worker_conns_init(struct worker *worker)
{
	LIST_INIT(&worker->conns);
	LIST_INIT(&worker->dead);
	for (unsigned int i = 0; i < WORKER_LANES; i++)
		TAILQ_INIT(&worker->ready[i]);
	worker->shared.make_room = worker_make_room;
	worker->shared.rpc.ready = worker_peer_ready;
}

/* --- who comes ---------------------------------------------------------- */

/* A new connection has come to its worker. */
static void worker_adopt(struct mail *mail)
{
	struct conn *conn = container_of(mail, struct conn, mail);
	struct worker *worker = conn->worker;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

	conn->shared = &worker->shared;
	LIST_INSERT_HEAD(&worker->conns, conn, all_link);
	stats_count(&worker->shared.rpc.stats.connections, 1);
	stats_count(&worker->shared.rpc.stats.connections_accepted, 1);
	conn->events = EPOLLIN;
	if (worker->shared.quiet ||
	    epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) < 0)
		worker_close(conn);
}

void worker_give(struct worker *worker, struct conn *conn)
{
	conn->worker = worker;
	conn->mail.deliver = worker_adopt;
	__atomic_add_fetch(&worker->conn_count, 1, __ATOMIC_RELAXED);
	if (worker->listeners)
		worker_adopt(&conn->mail); /* its own thread accepts */
	else
		mailbox_post(&worker->shared.rpc.mailbox, &conn->mail);
}

unsigned int worker_conn_count(const struct worker *worker)
{
	return __atomic_load_n(&worker->conn_count, __ATOMIC_RELAXED);
}

/* --- who must go -------------------------------------------------------- */

void worker_close_late(struct worker *worker)
{
	struct conn *conn, *next;

	for (conn = LIST_FIRST(&worker->conns); conn; conn = next) {
		next = LIST_NEXT(conn, all_link);
		if (conn_is_late(conn))
			worker_close(conn);
	}
}

struct worker_order {
	struct mail mail;
	struct worker *worker; /* borrows */
	uint32_t export_id;
};

static void worker_obey(struct mail *mail)
{
	struct worker_order *order =
	    container_of(mail, struct worker_order, mail);
	struct conn *conn, *next;

	for (conn = LIST_FIRST(&order->worker->conns); conn; conn = next) {
		next = LIST_NEXT(conn, all_link);
		/* One that came in at its address and has asked for nothing
		 * yet, too: the address may be another guest's now. */
		if (conn->peer.client.listener == order->export_id ||
		    export_client_has(&conn->peer.client, order->export_id))
			worker_close(conn);
	}
	free(order);
}

int worker_close_export(struct worker *worker, uint32_t export_id)
{
	struct worker_order *order = calloc(1, sizeof(*order));

	if (!order)
		return -ENOMEM;
	order->mail.deliver = worker_obey;
	order->worker = worker;
	order->export_id = export_id;
	mailbox_post(&worker->shared.rpc.mailbox, &order->mail);
	return 0;
}
