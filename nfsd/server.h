/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: listens, and owns the workers (worker.h), each a thread with its own
 * connections.
 *
 * The first worker accepts and gives each new connection to the worker that
 * has the fewest.
 *
 * Life: new (bound, nothing served) -> started -> quiet (calls that have come
 * are finished, no more are read) -> stopped and freed.
 */
#ifndef NFSD_SERVER_H
#define NFSD_SERVER_H

#include "depot/base.h"
#include "nfsd/share.h"
#include "nfsd/stats.h"

enum {
	SERVER_THREADS_MAX = 16,
	SERVER_LISTEN_MAX = 16,
	SERVER_CONNS_MAX = 16384,       /* fewer when descriptors are fewer */
	SERVER_RECEIVE_MAX = 128 << 20, /* bytes of partial records */
	SERVER_HELD_MAX = 64 << 20,     /* bytes of replies that wait */
};

struct server;
struct site;
struct listeners;

struct server_options {
	/* "ADDRESS:PORT", "[V6]:PORT"; port 0: any */
	const char *const *listen;
	unsigned int listen_count;
	unsigned int threads; /* 0: one per CPU */
	unsigned int poll_us;
	unsigned int hold_ms; /* 0: 10 s; how long a call waits for bytes */
	/* What one guest, tenant, address may hold; all 0: share_defaults().
	 * No address has more than half of the connections there can be. */
	struct share_limits limits;
};

/* Binds all addresses.  -EINVAL: an address (logged); -EADDRINUSE ... */
MUST_CHECK int server_new(const struct server_options *options,
			  struct site *site, struct server **server);
MUST_CHECK int server_start(struct server *server);
/* Read no more calls.  Returns at once. */
void server_quiet(struct server *server);
/* Let parked calls that can end do so, for up to 2 s; then close everything. */
void server_stop(struct server *server);
void server_free(struct server *server); /* takes; stopped, or never started */

/*
 * Close the connections that have used an export: the guest has moved or is
 * gone, and its client is to connect again, to the address that has moved with
 * it.  Any thread but a worker; started.  Returns before it is done.
 */
void server_close_export(struct server *server, uint32_t export_id);

/* The first address as bound, "127.0.0.1:2049"; borrowed. */
const char *server_listen_text(const struct server *server);

/* Have a guest listened for; what fails is tried again (listen.h). */
struct site_listen;
MUST_CHECK int server_listen(struct server *server,
			     const struct site_listen *at, uint32_t export_id);
/* Where guests' own listening addresses are opened and closed (listen.h);
 * borrowed, as long as the server. */
struct listeners *server_listeners(struct server *server);

/* Any thread. */
void server_get_stats(struct server *server, struct stats *stats);

#endif
