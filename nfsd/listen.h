/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen: the sockets that connections come in by: the daemon's own, for all
 * guests that have none, and one of each guest's that has.
 *
 * The first worker accepts, whatever their number: a listening address costs a
 * descriptor and no thread.  Any thread may open and close them.  Where a
 * guest's cannot be opened when the daemon starts (its bridge is not there
 * yet), it is tried again every LISTEN_RETRY_MS until it can.
 *
 * Life of one: open (bound and listening, so that nobody else can be; who comes
 * waits in the kernel's queue) -> served -> closed (its memory stays until
 * listeners_tick(), since epoll may have named it) -> freed.
 */
#ifndef NFSD_LISTEN_H
#define NFSD_LISTEN_H

#include <sys/socket.h>

#include "depot/base.h"
#include "overlay/site.h"

enum {
	LISTEN_TEXT_MAX = 64, /* "[V6]:PORT" and its NUL */
	LISTEN_RETRY_MS = 5000,
	LISTEN_TURN_MAX = 64, /* connections that one takes in a turn */
};

struct listeners;
struct listener;

MUST_CHECK int listeners_new(struct listeners **listeners); /* -ENOMEM */
void listeners_free(struct listeners *listeners); /* takes; NULL allowed */

/* "ADDRESS:PORT" or "[V6]:PORT" of numbers; false: it is not of that form. */
bool listen_parse(const char *text, struct site_listen *at);
void listen_format(const struct site_listen *at, char text[LISTEN_TEXT_MAX]);

/* The daemon's own, by "ADDRESS:PORT", names too; port 0: any.  -EINVAL: no
 * such address; -EADDRINUSE ... (logged). */
MUST_CHECK int listeners_open_text(struct listeners *listeners,
				   const char *text);
/* The first of them as bound; -EIO (logged). */
MUST_CHECK int listeners_describe(struct listeners *listeners, char *text,
				  size_t cap);

/*
 * A guest's own; at->port 0: any, and what it is then.  -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES ... (logged, with the address).
 */
MUST_CHECK int listeners_open(struct listeners *listeners,
			      struct site_listen *at,
			      struct listener **listener);
/* From now on it is the guest's of this export.  takes listener. */
void listeners_serve(struct listeners *listeners, struct listener *listener,
		     uint32_t export_id);
void listeners_drop(struct listeners *listeners,
		    struct listener *listener); /* takes; NULL allowed */
/* Both, at once or as soon as it can be.  Its own error (logged), which the
 * caller may show; -ENOMEM. */
MUST_CHECK int listeners_want(struct listeners *listeners,
			      const struct site_listen *at, uint32_t export_id);
/* The guest's own are closed: nobody listens there when this returns. */
void listeners_close(struct listeners *listeners, uint32_t export_id);
/* What listens for one guest listens for another from now on, at one moment for
 * all that are named; nobody waits in vain meanwhile.  to 0: it is closed. */
struct listen_heir {
	uint32_t from, to;
};
void listeners_pass(struct listeners *listeners,
		    const struct listen_heir *heirs, unsigned int count);
/* Those that are wanted and not open: error is the last one. */
void listeners_each_missing(struct listeners *listeners,
			    void (*visit)(void *ctx, uint32_t export_id,
					  const struct site_listen *at,
					  int error),
			    void *ctx);

/*
 * --- the first worker's ------------------------------------------------------
 */

/* Report them to this epoll set, and what is opened later; its data.ptr is a
 * tag.  -errno (logged). */
MUST_CHECK int listeners_watch(struct listeners *listeners, int epoll_fd);
/* No more are accepted. */
void listeners_quiet(struct listeners *listeners);
/* NULL: it is no tag. */
struct listener *listener_of_tag(void *tag);

/* Called with each connection; takes fd.  listener: the guest's export id, 0:
 * the daemon's own.  The listeners' lock is held, so that a connection has
 * reached its worker before whoever gives the address to another guest has the
 * old one's closed; so it calls nothing of here. */
typedef void listen_take_fn(void *ctx, int fd, const struct sockaddr *addr,
			    uint32_t listener);
/* How many had to be refused for want of descriptors. */
unsigned int listeners_accept(struct listeners *listeners,
			      struct listener *listener, listen_take_fn *take,
			      void *ctx);
/* After each turn: what is closed is freed; what is missing is tried again;
 * with `resume`, what was paused for want of descriptors goes on. */
void listeners_tick(struct listeners *listeners, uint64_t now_ms, bool resume);
/* Must a worker that has nothing to do wake for listeners_tick()? */
bool listeners_waiting(struct listeners *listeners);

#endif
