/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_impl: the inside of a worker, for worker.c (the thread and its loop)
 * and worker_conns.c (its connections).  All of it is the worker's thread's,
 * but what is marked.
 */
#ifndef NFSD_WORKER_IMPL_H
#define NFSD_WORKER_IMPL_H

#include <pthread.h>

#include "nfsd/worker.h"

LIST_HEAD(conn_list, conn);
TAILQ_HEAD(conn_queue, conn);

struct worker {
	struct conn_shared shared;
	struct shares *shares;       /* borrows */
	struct listeners *listeners; /* borrows; NULL: another one accepts */
	void (*accept)(void *ctx, struct listener *listener);
	void *ctx; /* borrows */
	pthread_t thread;
	bool started;           /* whose thread starts and joins it */
	int quiet, stopping;    /* atomic; what it has been told */
	int epoll_fd;           /* owns */
	struct conn_list conns; /* owns */
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

uint64_t worker_now_ns(void); /* monotonic */

/* --- worker_conns.c ------------------------------------------------------- */

/* Lists, and what conn.h and rpc.h call back. */
void worker_conns_init(struct worker *worker);

/* To have a turn, unless it has one coming or is closed. */
void worker_make_ready(struct conn *conn);
/* About as many turns as were ready at the start, and for a slice of time: who
 * is ready again, or still, waits until epoll has been asked. */
void worker_ready_turns(struct worker *worker);
/* Have epoll report what the connection waits for now; closed on failure. */
void worker_watch(struct conn *conn);
/* Close, once.  The memory stays until worker_bury(): epoll may have named it.
 */
void worker_close(struct conn *conn);
/* Free what has been closed. */
void worker_bury(struct worker *worker);
/* Close those whose record has been partial for too long. */
void worker_close_late(struct worker *worker);

#endif
