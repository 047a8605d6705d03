/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: workers, and the loop of one:
 *
 *	wait (poll or sleep) -> mail -> accept -> turns of connections -> clock
 *
 * Connections that have something to do stand in lanes, those of one guest in
 * the same one, and the lanes have turns in rotation: a guest with hundreds of
 * busy connections is one among the guests, not hundreds.
 *
 * All connections of a worker are touched by its thread only.
 */
#include "nfsd/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "depot/log.h"
#include "nfsd/conn.h"
#include "nfsd/listen.h"

enum {
	WORKER_EVENTS_MAX = 256,
	WORKER_LANES = 16,
	WORKER_SLICE_NS = 500000, /* of turns, before epoll is asked again */
	WORKER_TICK_MS = 1000,
	WORKER_TICK_WAITING_MS = 100, /* while calls wait for bytes */
	WORKER_POLL_SCORE_MAX = 16,
	WORKER_POLL_SCORE_GAIN = 4,
	WORKER_STOP_MS = 2000,
	WORKER_WARN_MS = 10000,
	SERVER_SPARE_FDS = 128, /* for the store */
};

/* The tag of epoll's data.ptr that is no connection and no listener. */
static uint64_t server_tag_mailbox;

LIST_HEAD(conn_list, conn);
TAILQ_HEAD(conn_queue, conn);

struct worker {
	struct conn_shared shared;
	struct server *server; /* borrows */
	pthread_t thread;
	bool started;
	int epoll_fd;                          /* owns */
	struct conn_list conns;                /* owns */
	struct conn_queue ready[WORKER_LANES]; /* to have a turn */
	unsigned int ready_count;
	struct conn_list dead;   /* owns; freed after the turns */
	unsigned int conn_count; /* atomic; with those on their way */
	unsigned int poll_score; /* 0: polling has not paid */
	uint64_t poll_ns;
	uint64_t warn_ms; /* not before it again */
	uint64_t tick_ms;
	uint64_t stop_ms; /* when everything is closed at last, or 0 */
};

struct server {
	struct site *site;           /* borrows */
	struct drc *drc;             /* owns */
	struct shares *shares;       /* owns */
	struct listeners *listeners; /* owns */
	unsigned int conn_max;
	char listen_text[128];
	int quiet, stopping; /* atomic */
	unsigned int worker_count;
	struct worker worker[SERVER_THREADS_MAX];
};

static uint64_t server_now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t server_now_ms(void)
{
	return server_now_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

/* --- connections of a worker -------------------------------------------------
 */

/* Guests may share a lane; who is nobody's guest yet has the first. */
static unsigned int worker_lane(const struct conn *conn)
{
	uint64_t home = (uintptr_t)conn->peer.home;

	return (unsigned int)(home * 0x9e3779b97f4a7c15ull >> 32) %
	       WORKER_LANES;
}

static void worker_make_ready(struct conn *conn)
{
	if (conn->ready || conn->closed)
		return;
	conn->ready = true;
	conn->lane = worker_lane(conn);
	conn->worker->ready_count++;
	TAILQ_INSERT_TAIL(&conn->worker->ready[conn->lane], conn, ready_link);
}

static void worker_unready(struct conn *conn)
{
	conn->ready = false;
	conn->worker->ready_count--;
	TAILQ_REMOVE(&conn->worker->ready[conn->lane], conn, ready_link);
}

static void worker_peer_ready(struct peer *peer)
{
	worker_make_ready(container_of(peer, struct conn, peer));
}

/* The memory stays until the turns are over: epoll may have named it. */
static void worker_close(struct conn *conn)
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
	share_give_address(worker->server->shares, STEAL(conn->address));
	__atomic_sub_fetch(&worker->conn_count, 1, __ATOMIC_RELAXED);
	stats_count(&worker->shared.rpc.stats.connections, (uint64_t)-1);
}

static void worker_bury(struct worker *worker)
{
	struct conn *conn;

	while ((conn = LIST_FIRST(&worker->dead))) {
		LIST_REMOVE(conn, all_link);
		conn_free(conn);
	}
}

static void worker_watch(struct conn *conn)
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

/* --- accepting: the first worker's -------------------------------------------
 */

static void server_set_options(int fd)
{
	static const char congestion[] = "cubic", second[] = "reno";
	int one = 1, idle_s = 60, interval_s = 15, count = 4;
	unsigned int user_ms = 120000;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* BBR paces even on loopback (peers.md 5). */
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
		       sizeof(congestion) - 1) < 0)
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, second,
			   sizeof(second) - 1);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s,
		   sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms,
		   sizeof(user_ms));
}

static struct worker *server_pick(struct server *server, unsigned int *total)
{
	struct worker *best = NULL;
	unsigned int best_count = 0;

	*total = 0;
	for (unsigned int i = 0; i < server->worker_count; i++) {
		struct worker *worker = &server->worker[i];
		unsigned int count =
		    __atomic_load_n(&worker->conn_count, __ATOMIC_RELAXED);

		*total += count;
		if (!best || count < best_count) {
			best = worker;
			best_count = count;
		}
	}
	return best;
}

static void server_take(void *ctx, int fd, const struct sockaddr *addr,
			uint32_t listener)
{
	struct server *server = ctx;
	struct stats *stats = &server->worker[0].shared.rpc.stats;
	unsigned int total;
	struct worker *worker = server_pick(server, &total);
	struct conn *conn;

	if (total >= server->conn_max) {
		stats_count(&stats->connections_refused, 1);
		close(fd);
		return;
	}
	server_set_options(fd);
	conn = conn_new(fd, addr);
	if (!conn)
		return;
	conn->peer.client.listener = listener;
	conn->address =
	    share_take_address(server->shares, conn->peer.client.addr);
	if (!conn->address) {
		stats_count(&stats->connections_refused, 1);
		close(STEAL_FD(conn->fd));
		conn_free(conn);
		return;
	}
	conn->worker = worker;
	conn->mail.deliver = worker_adopt;
	__atomic_add_fetch(&worker->conn_count, 1, __ATOMIC_RELAXED);
	if (worker == &server->worker[0])
		worker_adopt(&conn->mail);
	else
		mailbox_post(&worker->shared.rpc.mailbox, &conn->mail);
}

static void server_accept(struct server *server, struct listener *listener)
{
	unsigned int refused =
	    listeners_accept(server->listeners, listener, server_take, server);

	if (refused > 0)
		stats_count(
		    &server->worker[0].shared.rpc.stats.connections_refused,
		    refused);
}

/* --- the loop ------------------------------------------------------------ */

static bool worker_is_first(const struct worker *worker)
{
	return worker == &worker->server->worker[0];
}

static int worker_timeout(const struct worker *worker)
{
	if (worker->stop_ms > 0 || worker->shared.rpc.waiting_count > 0)
		return WORKER_TICK_WAITING_MS;
	if (!LIST_EMPTY(&worker->conns) ||
	    (worker_is_first(worker) &&
	     listeners_waiting(worker->server->listeners)))
		return WORKER_TICK_MS;
	return -1;
}

static bool worker_has_mail(struct worker *worker)
{
	return __atomic_load_n(&worker->shared.rpc.mailbox.head,
			       __ATOMIC_RELAXED) != NULL;
}

/* Poll for a while; -1: in vain. */
static int worker_poll(struct worker *worker, struct epoll_event *events)
{
	uint64_t until = server_now_ns(CLOCK_MONOTONIC) + worker->poll_ns;
	int count;

	do {
		count =
		    epoll_wait(worker->epoll_fd, events, WORKER_EVENTS_MAX, 0);
		if (count != 0 || worker_has_mail(worker)) {
			worker->poll_score = MIN(worker->poll_score + 1,
						 WORKER_POLL_SCORE_MAX + 0u);
			return MAX(count, 0);
		}
	} while (server_now_ns(CLOCK_MONOTONIC) < until);
	worker->poll_score--;
	return -1;
}

/* A sleep that ended so soon would have been better spent polling. */
static void worker_judge_sleep(struct worker *worker, uint64_t from_ns)
{
	uint64_t slept_ns = server_now_ns(CLOCK_MONOTONIC) - from_ns;

	if (slept_ns < worker->poll_ns)
		worker->poll_score =
		    MIN(worker->poll_score + WORKER_POLL_SCORE_GAIN,
			WORKER_POLL_SCORE_MAX + 0u);
}

static int worker_wait(struct worker *worker, struct epoll_event *events)
{
	struct mailbox *mailbox = &worker->shared.rpc.mailbox;
	uint64_t from_ns;
	int count;

	count = epoll_wait(worker->epoll_fd, events, WORKER_EVENTS_MAX, 0);
	if (count > 0 || worker->ready_count > 0 || worker_has_mail(worker))
		return MAX(count, 0);
	if (worker->poll_ns > 0 && worker->poll_score > 0) {
		count = worker_poll(worker, events);
		if (count >= 0)
			return count;
	}
	if (!mailbox_sleep(mailbox))
		return 0;
	from_ns = server_now_ns(CLOCK_MONOTONIC);
	count = epoll_wait(worker->epoll_fd, events, WORKER_EVENTS_MAX,
			   worker_timeout(worker));
	mailbox_awake(mailbox);
	if (worker->poll_ns > 0 && count > 0)
		worker_judge_sleep(worker, from_ns);
	return MAX(count, 0);
}

static void worker_tick(struct worker *worker)
{
	struct rpc *rpc = &worker->shared.rpc;
	struct conn *conn, *next;
	uint64_t every =
	    rpc->waiting_count > 0 ? WORKER_TICK_WAITING_MS : WORKER_TICK_MS;

	if (rpc->now_ms < worker->tick_ms + every)
		return;
	worker->tick_ms = rpc->now_ms;
	rpc_expire(rpc);
	for (conn = LIST_FIRST(&worker->conns); conn; conn = next) {
		next = LIST_NEXT(conn, all_link);
		if (conn_is_late(conn))
			worker_close(conn);
	}
	if (worker_is_first(worker))
		listeners_tick(worker->server->listeners, rpc->now_ms, true);
}

static void worker_events(struct worker *worker,
			  const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct conn *conn = events[i].data.ptr;

		if (events[i].data.ptr == &server_tag_mailbox)
			mailbox_clear(&worker->shared.rpc.mailbox);
		else if (listener_of_tag(events[i].data.ptr))
			server_accept(worker->server,
				      listener_of_tag(events[i].data.ptr));
		else if (!conn->closed) {
			conn->pending |= events[i].events;
			worker_make_ready(conn);
		}
	}
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

/* About as many turns as were ready at the start, and for a slice of time: who
 * is ready again, or still, waits until epoll has been asked. */
static void worker_ready_turns(struct worker *worker)
{
	unsigned int count = worker->ready_count, turns;
	uint64_t until = 0, now;

	while (count > 0 && worker->ready_count > 0) {
		turns = worker_rotate(worker);
		count -= MIN(turns, count);
		if (count == 0)
			return;
		now = server_now_ns(CLOCK_MONOTONIC);
		if (until == 0)
			until = now + WORKER_SLICE_NS;
		else if (now >= until)
			return;
	}
}

static void worker_go_quiet(struct worker *worker)
{
	struct server *server = worker->server;
	struct conn *conn, *next;

	worker->shared.quiet = true;
	if (worker_is_first(worker))
		listeners_quiet(server->listeners);
	for (conn = LIST_FIRST(&worker->conns); conn; conn = next) {
		next = LIST_NEXT(conn, all_link);
		worker_watch(conn);
	}
}

static bool worker_has_unfinished(const struct worker *worker)
{
	const struct conn *conn;

	LIST_FOREACH(conn, &worker->conns, all_link)
	if (conn->peer.changing_count > 0 || conn->queue.first)
		return true;
	return false;
}

/* true: all is closed. */
static bool worker_stop(struct worker *worker)
{
	struct rpc *rpc = &worker->shared.rpc;
	struct conn *conn;

	if (worker->stop_ms == 0)
		worker->stop_ms = rpc->now_ms + WORKER_STOP_MS;
	if (worker_has_unfinished(worker) && rpc->now_ms < worker->stop_ms)
		return false;
	while ((conn = LIST_FIRST(&worker->conns)))
		worker_close(conn);
	worker_bury(worker);
	return rpc->parked_count == 0 ||
	       rpc->now_ms >= worker->stop_ms + WORKER_STOP_MS;
}

static void *worker_run(void *arg)
{
	struct epoll_event events[WORKER_EVENTS_MAX];
	struct worker *worker = arg;
	struct server *server = worker->server;
	struct rpc *rpc = &worker->shared.rpc;

	for (;;) {
		int count = worker_wait(worker, events);

		rpc->now_ms = server_now_ms();
		rpc_deliver_mail(rpc);
		worker_events(worker, events, count);
		worker_ready_turns(worker);
		worker_tick(worker);
		worker_bury(worker);
		if (__atomic_load_n(&server->quiet, __ATOMIC_ACQUIRE) &&
		    !worker->shared.quiet)
			worker_go_quiet(worker);
		if (__atomic_load_n(&server->stopping, __ATOMIC_ACQUIRE) &&
		    worker_stop(worker))
			return NULL;
	}
}

/* --- start and stop ------------------------------------------------------ */

static unsigned int server_conn_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur <= SERVER_SPARE_FDS)
		return SERVER_SPARE_FDS / 4;
	return (unsigned int)MIN(limit.rlim_cur - SERVER_SPARE_FDS,
				 (rlim_t)SERVER_CONNS_MAX);
}

static int worker_init(struct worker *worker, struct server *server,
		       const struct server_options *options)
{
	struct epoll_event event = {.events = EPOLLIN,
				    .data.ptr = &server_tag_mailbox};
	int rc;

	worker->server = server;
	LIST_INIT(&worker->conns);
	LIST_INIT(&worker->dead);
	for (unsigned int i = 0; i < WORKER_LANES; i++)
		TAILQ_INIT(&worker->ready[i]);
	worker->poll_ns = (uint64_t)options->poll_us * 1000;
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0)
		return log_err(-errno, "epoll_create1");
	rc = conn_shared_init(&worker->shared, server->site, server->drc,
			      SERVER_RECEIVE_MAX / server->worker_count,
			      SERVER_HELD_MAX / server->worker_count);
	if (rc < 0) {
		close(STEAL_FD(worker->epoll_fd));
		return log_err(rc, "worker");
	}
	worker->shared.rpc.shares = server->shares;
	worker->shared.make_room = worker_make_room;
	worker->shared.rpc.ready = worker_peer_ready;
	if (options->hold_ms > 0)
		worker->shared.rpc.hold_ms = options->hold_ms;
	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD,
		      worker->shared.rpc.mailbox.fd, &event) < 0)
		return log_err(-errno, "epoll_ctl");
	return 0;
}

static int server_share(struct server *server,
			const struct share_limits *wanted)
{
	struct share_limits limits = *wanted;

	if (limits.address_conns == 0)
		limits = share_defaults();
	limits.address_conns =
	    MIN(limits.address_conns, (size_t)server->conn_max / 2);
	return shares_new(&limits, &server->shares);
}

static int server_init(struct server *server,
		       const struct server_options *options)
{
	int rc;

	rc = server_share(server, &options->limits);
	if (rc == 0)
		rc = drc_new(&server->drc);
	if (rc == 0)
		rc = listeners_new(&server->listeners);
	for (unsigned int i = 0; rc == 0 && i < options->listen_count; i++)
		rc = listeners_open_text(server->listeners, options->listen[i]);
	if (rc == 0)
		rc = listeners_describe(server->listeners, server->listen_text,
					sizeof(server->listen_text));
	for (unsigned int i = 0; rc == 0 && i < server->worker_count; i++)
		rc = worker_init(&server->worker[i], server, options);
	return rc < 0 ? rc
		      : listeners_watch(server->listeners,
					server->worker[0].epoll_fd);
}

int server_new(const struct server_options *options, struct site *site,
	       struct server **server)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int threads = options->threads;
	struct server *made;
	int rc;

	ASSERT(options->listen_count > 0 &&
	       options->listen_count <= SERVER_LISTEN_MAX);

	if (threads == 0)
		threads = cpus > 0 ? (unsigned int)cpus : 1;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->site = site;
	made->worker_count = MIN(threads, SERVER_THREADS_MAX + 0u);
	made->conn_max = server_conn_max();
	for (unsigned int i = 0; i < SERVER_THREADS_MAX; i++)
		made->worker[i].epoll_fd = -1;
	rc = server_init(made, options);
	if (rc < 0) {
		server_free(made);
		return rc;
	}
	*server = made;
	return 0;
}

int server_start(struct server *server)
{
	sigset_t all, old;
	int rc = 0;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 0; rc == 0 && i < server->worker_count; i++) {
		struct worker *worker = &server->worker[i];
		char name[16];

		rc = -pthread_create(&worker->thread, NULL, worker_run, worker);
		if (rc < 0)
			break;
		worker->started = true;
		snprintf(name, sizeof(name), "nfsd-%u", i);
		pthread_setname_np(worker->thread, name);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0)
		return log_err(rc, "cannot start a worker");
	return 0;
}

static void worker_kick(struct worker *worker)
{
	uint64_t one = 1;
	ssize_t n UNUSED;

	n = write(worker->shared.rpc.mailbox.fd, &one, sizeof(one));
}

static void server_kick(struct server *server, int *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_kick(&server->worker[i]);
}

void server_quiet(struct server *server)
{
	server_kick(server, &server->quiet);
}

void server_stop(struct server *server)
{
	server_quiet(server);
	server_kick(server, &server->stopping);
	for (unsigned int i = 0; i < server->worker_count; i++) {
		struct worker *worker = &server->worker[i];

		if (worker->started)
			pthread_join(worker->thread, NULL);
		worker->started = false;
	}
}

static void worker_fini(struct worker *worker)
{
	ASSERT(!worker->started);

	if (worker->epoll_fd < 0)
		return;
	close(STEAL_FD(worker->epoll_fd));
	if (worker->shared.rpc.parked_count > 0) {
		/* Their owner may still write to them. */
		log_warn("%u calls were never ended",
			 worker->shared.rpc.parked_count);
		return;
	}
	conn_shared_fini(&worker->shared);
}

void server_free(struct server *server)
{
	if (!server)
		return;
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_fini(&server->worker[i]);
	listeners_free(server->listeners);
	shares_free(server->shares);
	drc_free(server->drc);
	free(server);
}

struct server_order {
	struct mail mail;
	struct worker *worker; /* borrows */
	uint32_t export_id;
};

static void worker_close_export(struct mail *mail)
{
	struct server_order *order =
	    container_of(mail, struct server_order, mail);
	struct conn *conn, *next;

	for (conn = LIST_FIRST(&order->worker->conns); conn; conn = next) {
		next = LIST_NEXT(conn, all_link);
		if (export_client_has(&conn->peer.client, order->export_id))
			worker_close(conn);
	}
	free(order);
}

void server_close_export(struct server *server, uint32_t export_id)
{
	for (unsigned int i = 0; i < server->worker_count; i++) {
		struct server_order *order = calloc(1, sizeof(*order));

		if (!order) {
			log_warn("no memory to close connections");
			return;
		}
		order->mail.deliver = worker_close_export;
		order->worker = &server->worker[i];
		order->export_id = export_id;
		mailbox_post(&server->worker[i].shared.rpc.mailbox,
			     &order->mail);
	}
}

const char *server_listen_text(const struct server *server)
{
	return server->listen_text;
}

int server_listen(struct server *server, const struct site_listen *at,
		  uint32_t export_id)
{
	int rc = listeners_want(server->listeners, at, export_id);

	/* Who sleeps without a limit must try again, too. */
	worker_kick(&server->worker[0]);
	return rc;
}

struct listeners *server_listeners(struct server *server)
{
	return server->listeners;
}

void server_get_stats(struct server *server, struct stats *stats)
{
	*stats = (struct stats){.turns = 0};
	for (unsigned int i = 0; i < server->worker_count; i++)
		stats_add(stats, &server->worker[i].shared.rpc.stats);
}
