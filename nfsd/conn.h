/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: one TCP connection: bytes in, calls served, replies out.
 *
 * A connection is served in turns.  A turn resumes calls that have woken,
 * receives once, serves what has come (at most CONN_TURN_CALLS calls or
 * CONN_TURN_BYTES bytes, in and out), and sends all replies with one system
 * call.  Nothing here waits.
 *
 * Receive memory: what comes is received into a buffer of the worker; only
 * part of a record at its end is kept, in a buffer of the connection's own
 * (bufpool.h), and the rest of that record is then received directly to its
 * place.  So an idle connection holds no buffer, and the data of a large WRITE
 * is not moved.
 *
 * Nothing is read from a client that leaves OUT_UNSENT_MAX bytes unread, or
 * has RPC_PEER_CHANGING_MAX calls parked.  When the replies that wait for all
 * clients of a worker hold held_max bytes, clients that leave any unread are
 * read no further, and the others are served one call a turn.  As that may
 * still be a large reply each, the server closes, at three times as much, the
 * connection that has taken nothing for longest.  The same holds for the
 * connections of one guest alone when what waits for them is all that the guest
 * may hold (share.h), so that it does not come to that for the others.
 */
#ifndef NFSD_CONN_H
#define NFSD_CONN_H

#include <sys/queue.h>

#include "depot/base.h"
#include "nfsd/bufpool.h"
#include "nfsd/framing.h"
#include "nfsd/mailbox.h"
#include "nfsd/out.h"
#include "nfsd/rpc.h"

enum {
	CONN_TURN_CALLS = 64,
	CONN_TURN_BYTES = 1 << 20,
	CONN_RECEIVE_MIN = 16 << 10, /* a receive asks for this much at first */
	CONN_RECEIVE_MAX = 256 << 10,
	CONN_RECEIVE_TAIL = 4 << 10, /* behind the end of a large record */
	CONN_RECORD_LARGE = 128 << 10,
	CONN_PARTIAL_MS = 30000, /* a record must be complete after it */
};

struct conn;

/* What the connections of a worker share. */
struct conn_shared {
	struct rpc rpc;
	struct bufpool pool;
	size_t held_max, held; /* bytes of replies that wait */
	uint8_t *in;           /* owns; CONN_RECEIVE_MAX bytes */
	bool quiet;            /* read no more calls */
	/* The budget of pool is spent: close a connection other than
	 * `asking`.  false: there is none to close. */
	bool (*make_room)(struct conn_shared *shared, struct conn *asking);
};

struct conn {
	struct peer peer;
	struct conn_shared *shared; /* borrows */
	int fd;                     /* owns */
	struct framing framing;     /* its buffer is of shared->pool */
	uint8_t *stash; /* owns, of the pool: whole calls beyond the budget */
	size_t stash_cap, stash_at, stash_len;
	struct out_queue queue;
	size_t receive_len;  /* how much to ask for */
	size_t record_len;   /* of the last record that was gathered */
	uint64_t partial_ms; /* when a partial record was first seen, or 0 */
	uint64_t stalled_ms; /* when it last took a byte of what waits, or 0 */
	unsigned int budget_calls;
	size_t budget_bytes;
	size_t charged; /* bytes of queue.held that peer.home answers for */
	/* the server's own */
	struct share *address; /* borrows; of the client's address, or NULL */
	uint32_t events;       /* that epoll has been asked for */
	uint32_t pending;      /* what it has reported since the last turn */
	bool ready, closed;
	unsigned int lane; /* while ready */
	struct worker *worker;
	struct mail mail;
	LIST_ENTRY(conn) all_link;
	TAILQ_ENTRY(conn) ready_link;
};

MUST_CHECK int conn_shared_init(struct conn_shared *shared, struct site *site,
				struct drc *drc, size_t receive_max,
				size_t held_max);
void conn_shared_fini(struct conn_shared *shared);

/* takes fd, in every case.  NULL: no memory. */
struct conn *conn_new(int fd, const struct sockaddr *addr);
/* Closes the socket, cancels calls; the memory stays until conn_free(). */
void conn_close(struct conn *conn);
void conn_free(struct conn *conn); /* takes */

enum conn_next {
	CONN_WAIT,  /* for the socket, or for a parked call */
	CONN_AGAIN, /* another turn, without waiting */
	CONN_END,   /* close it */
};

/* One turn; events are epoll's for its socket, or 0. */
enum conn_next conn_turn(struct conn *conn, uint32_t events);
/* What epoll is to report from now on. */
uint32_t conn_events(const struct conn *conn);
/* So much waits that somebody must go. */
bool conn_must_relieve(const struct conn_shared *shared);
/* Likewise for its guest alone. */
bool conn_guest_must_relieve(const struct conn *conn);
/* A record has been partial for too long. */
bool conn_is_late(const struct conn *conn);

#endif
