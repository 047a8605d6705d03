/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: workers made, started, stopped; new connections given to them.
 */
#include "nfsd/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "depot/log.h"
#include "nfsd/worker.h"

enum {
	SERVER_SPARE_FDS = 128, /* for the store */
};

struct server {
	struct site *site;           /* borrows */
	struct drc *drc;             /* owns */
	struct shares *shares;       /* owns */
	struct listeners *listeners; /* owns */
	unsigned int conn_max;
	char listen_text[128];
	unsigned int worker_count;
	struct worker *worker[SERVER_THREADS_MAX]; /* owns; the first accepts */
};

/* --- accepting, on the first worker's thread ---------------------------- */

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
		unsigned int count = worker_conn_count(server->worker[i]);

		*total += count;
		if (!best || count < best_count) {
			best = server->worker[i];
			best_count = count;
		}
	}
	return best;
}

static void server_take(void *ctx, int fd, const struct sockaddr *addr,
			uint32_t listener)
{
	struct server *server = ctx;
	struct stats *stats = worker_stats(server->worker[0]);
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
	worker_give(worker, conn);
}

static void server_accept(void *ctx, struct listener *listener)
{
	struct server *server = ctx;
	unsigned int refused =
	    listeners_accept(server->listeners, listener, server_take, server);

	if (refused > 0)
		stats_count(
		    &worker_stats(server->worker[0])->connections_refused,
		    refused);
}

/* --- start and stop ----------------------------------------------------- */

static unsigned int server_conn_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur <= SERVER_SPARE_FDS)
		return SERVER_SPARE_FDS / 4;
	return (unsigned int)MIN(limit.rlim_cur - SERVER_SPARE_FDS,
				 (rlim_t)SERVER_CONNS_MAX);
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

static int server_make_workers(struct server *server,
			       const struct server_options *options)
{
	struct worker_setup setup = {
	    .site = server->site,
	    .drc = server->drc,
	    .shares = server->shares,
	    .listeners = server->listeners, /* the first one's */
	    .accept = server_accept,
	    .ctx = server,
	    .receive_max = SERVER_RECEIVE_MAX / server->worker_count,
	    .held_max = SERVER_HELD_MAX / server->worker_count,
	    .poll_us = options->poll_us,
	    .hold_ms = options->hold_ms,
	};
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < server->worker_count; i++) {
		rc = worker_new(&setup, &server->worker[i]);
		setup.listeners = NULL;
	}
	return rc;
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
	return rc < 0 ? rc : server_make_workers(server, options);
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
	for (unsigned int i = 0; rc == 0 && i < server->worker_count; i++)
		rc = worker_start(server->worker[i], i);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc < 0)
		return log_err(rc, "cannot start a worker");
	return 0;
}

void server_quiet(struct server *server)
{
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_quiet(server->worker[i]);
}

void server_stop(struct server *server)
{
	server_quiet(server);
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_stop(server->worker[i]);
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_join(server->worker[i]);
}

void server_free(struct server *server)
{
	if (!server)
		return;
	for (unsigned int i = 0; i < server->worker_count; i++)
		worker_free(server->worker[i]);
	listeners_free(server->listeners);
	shares_free(server->shares);
	drc_free(server->drc);
	free(server);
}

void server_close_export(struct server *server, uint32_t export_id)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < server->worker_count; i++)
		rc = worker_close_export(server->worker[i], export_id);
	if (rc < 0)
		log_warn("no memory to close connections");
}

/* --- what others ask ---------------------------------------------------- */

const char *server_listen_text(const struct server *server)
{
	return server->listen_text;
}

int server_listen(struct server *server, const struct site_listen *at,
		  uint32_t export_id)
{
	int rc = listeners_want(server->listeners, at, export_id);

	/* Who sleeps without a limit must try again, too. */
	worker_kick(server->worker[0]);
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
		stats_add(stats, worker_stats(server->worker[i]));
}
