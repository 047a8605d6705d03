/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: a thread with its own epoll set and its own connections, and the
 * loop it runs:
 *
 *	wait (poll or sleep) -> mail -> accept -> turns of connections -> clock
 *
 * Connections that have something to do stand in lanes, those of one guest in
 * the same one, and the lanes have turns in rotation: a guest with hundreds of
 * busy connections is one among the guests, not hundreds.
 *
 * Before it sleeps, a worker polls for a while, but only where polling has
 * lately paid.
 *
 * All connections of a worker are touched by its thread only.  Others talk to
 * it by mail and by flags; what server.h promises of them is kept here.
 *
 * Life: new -> started -> quiet -> told to stop -> joined -> freed.
 */
#ifndef NFSD_WORKER_H
#define NFSD_WORKER_H

#include "nfsd/conn.h"
#include "nfsd/listen.h"

enum {
	WORKER_EVENTS_MAX = 256, /* taken from epoll at once */
	WORKER_LANES = 16,
	WORKER_SLICE_NS = 500000, /* of turns, before epoll is asked again */
	WORKER_TICK_MS = 1000,
	WORKER_TICK_WAITING_MS = 100, /* while calls wait for bytes */
	WORKER_POLL_SCORE_MAX = 16,
	WORKER_POLL_SCORE_GAIN = 4,
	WORKER_FED_MS = 20, /* since cold bytes came: more will */
	WORKER_STOP_MS = 2000,  /* for parked calls to end, then once more */
	WORKER_WARN_MS = 10000, /* between two warnings of full memory */
};

struct worker;

struct worker_setup {
	struct site *site;     /* borrows, as all pointers here */
	struct drc *drc;       /* all workers' */
	struct shares *shares; /* all workers' */
	/* This worker accepts, and calls accept() on its thread with each of
	 * them that has somebody waiting.  NULL: another one does. */
	struct listeners *listeners;
	void (*accept)(void *ctx, struct listener *listener);
	void *ctx;
	size_t receive_max, held_max; /* bytes, of this worker */
	unsigned int poll_us;         /* 0: sleep at once */
	unsigned int hold_ms;         /* 0: RPC_HOLD_MS */
};

/* -ENOMEM, -EMFILE, other errors of epoll (logged). */
MUST_CHECK int worker_new(const struct worker_setup *setup,
			  struct worker **worker);
/* takes; NULL allowed.  It has not been started, or has been joined.  One with
 * calls that were never ended stays in memory: their owner may write to them.
 */
void worker_free(struct worker *worker);

/* The thread, called nfsd-NUMBER, with the caller's signal mask.  -EAGAIN. */
MUST_CHECK int worker_start(struct worker *worker, unsigned int number);
/* Read no more calls.  Returns at once; any thread. */
void worker_quiet(struct worker *worker);
/* End, when parked calls have or WORKER_STOP_MS are over.  Likewise. */
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker); /* not started: nothing */
/* Have it look around: something that it does not watch has changed. */
void worker_kick(struct worker *worker);

/* Give it a connection; takes.  From the thread that accepts. */
void worker_give(struct worker *worker, struct conn *conn);
/* How many it has, with those on their way; any thread. */
unsigned int worker_conn_count(const struct worker *worker);
/* Close the connections that have used an export; any thread.  Returns before
 * it is done.  -ENOMEM. */
MUST_CHECK int worker_close_export(struct worker *worker, uint32_t export_id);
/* Its counters, as long as it lives; they may be read by any thread. */
struct stats *worker_stats(struct worker *worker);

#endif
