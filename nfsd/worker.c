/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the thread: its loop, how it waits, how it is started and stopped.
 */
#include "nfsd/worker_impl.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>

#include "depot/log.h"

/* The tag of epoll's data.ptr that is no connection and no listener. */
static uint64_t worker_tag_mailbox;

/* --- waiting ------------------------------------------------------------ */

static uint64_t worker_clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t worker_now_ns(void)
{
	return worker_clock_ns(CLOCK_MONOTONIC);
}

static int worker_timeout(const struct worker *worker)
{
	if (worker->stop_ms > 0 || worker->shared.rpc.waiting_count > 0)
		return WORKER_TICK_WAITING_MS;
	if (!LIST_EMPTY(&worker->conns) ||
	    (worker->listeners && listeners_waiting(worker->listeners)))
		return WORKER_TICK_MS;
	return -1;
}

static bool worker_has_mail(struct worker *worker)
{
	return __atomic_load_n(&worker->shared.rpc.mailbox.head,
			       __ATOMIC_RELAXED) != NULL;
}

/* Has it paid lately?  And what is being fetched has to be inflated and proved:
 * where processors are few, polling would take from that what it waits for. */
static bool worker_may_poll(const struct worker *worker)
{
	const struct rpc *rpc = &worker->shared.rpc;

	return worker->poll_ns > 0 && worker->poll_score > 0 &&
	       rpc->now_ms >= rpc->fed_ms + WORKER_FED_MS;
}

/* Poll for a while; -1: in vain. */
static int worker_poll(struct worker *worker, struct epoll_event *events)
{
	uint64_t until = worker_now_ns() + worker->poll_ns;
	int count;

	stats_count(&worker->shared.rpc.stats.polls, 1);
	do {
		count =
		    epoll_wait(worker->epoll_fd, events, WORKER_EVENTS_MAX, 0);
		if (count != 0 || worker_has_mail(worker)) {
			worker->poll_score = MIN(worker->poll_score + 1,
						 WORKER_POLL_SCORE_MAX + 0u);
			return MAX(count, 0);
		}
	} while (worker_now_ns() < until);
	worker->poll_score--;
	return -1;
}

/* A sleep that ended so soon would have been better spent polling. */
static void worker_judge_sleep(struct worker *worker, uint64_t from_ns)
{
	uint64_t slept_ns = worker_now_ns() - from_ns;

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
	if (worker_may_poll(worker)) {
		count = worker_poll(worker, events);
		if (count >= 0)
			return count;
	}
	if (!mailbox_sleep(mailbox))
		return 0;
	from_ns = worker_now_ns();
	count = epoll_wait(worker->epoll_fd, events, WORKER_EVENTS_MAX,
			   worker_timeout(worker));
	mailbox_awake(mailbox);
	if (worker->poll_ns > 0 && count > 0)
		worker_judge_sleep(worker, from_ns);
	return MAX(count, 0);
}

/* --- the loop ----------------------------------------------------------- */

static void worker_tick(struct worker *worker)
{
	struct rpc *rpc = &worker->shared.rpc;
	uint64_t every =
	    rpc->waiting_count > 0 ? WORKER_TICK_WAITING_MS : WORKER_TICK_MS;

	if (rpc->now_ms < worker->tick_ms + every)
		return;
	worker->tick_ms = rpc->now_ms;
	rpc_expire(rpc);
	worker_close_late(worker);
	if (worker->listeners)
		listeners_tick(worker->listeners, rpc->now_ms, true);
}

static void worker_events(struct worker *worker,
			  const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		struct conn *conn = events[i].data.ptr;

		if (events[i].data.ptr == &worker_tag_mailbox)
			mailbox_clear(&worker->shared.rpc.mailbox);
		else if (listener_of_tag(events[i].data.ptr))
			worker->accept(worker->ctx,
				       listener_of_tag(events[i].data.ptr));
		else if (!conn->closed) {
			conn->pending |= events[i].events;
			worker_make_ready(conn);
		}
	}
}

static void worker_go_quiet(struct worker *worker)
{
	struct conn *conn, *next;

	worker->shared.quiet = true;
	if (worker->listeners)
		listeners_quiet(worker->listeners);
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
static bool worker_end(struct worker *worker)
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
	struct rpc *rpc = &worker->shared.rpc;

	for (;;) {
		int count = worker_wait(worker, events);

		rpc->now_ms = worker_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
		rpc_deliver_mail(rpc);
		worker_events(worker, events, count);
		worker_ready_turns(worker);
		worker_tick(worker);
		worker_bury(worker);
		if (__atomic_load_n(&worker->quiet, __ATOMIC_ACQUIRE) &&
		    !worker->shared.quiet)
			worker_go_quiet(worker);
		if (__atomic_load_n(&worker->stopping, __ATOMIC_ACQUIRE) &&
		    worker_end(worker))
			return NULL;
	}
}

/* --- from outside ------------------------------------------------------- */

static int worker_init(struct worker *worker, const struct worker_setup *setup)
{
	struct epoll_event event = {.events = EPOLLIN,
				    .data.ptr = &worker_tag_mailbox};
	int rc;

	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll_fd < 0)
		return log_err(-errno, "epoll_create1");
	rc = conn_shared_init(&worker->shared, setup->site, setup->drc,
			      setup->receive_max, setup->held_max);
	if (rc < 0) {
		close(STEAL_FD(worker->epoll_fd));
		return log_err(rc, "worker");
	}
	worker_conns_init(worker);
	worker->shared.rpc.shares = setup->shares;
	if (setup->hold_ms > 0)
		worker->shared.rpc.hold_ms = setup->hold_ms;
	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD,
		      worker->shared.rpc.mailbox.fd, &event) < 0)
		return log_err(-errno, "epoll_ctl");
	return setup->listeners
		   ? listeners_watch(setup->listeners, worker->epoll_fd)
		   : 0;
}

int worker_new(const struct worker_setup *setup, struct worker **worker)
{
	struct worker *made = calloc(1, sizeof(*made));
	int rc;

	ASSERT(!setup->listeners || setup->accept);

	if (!made)
		return -ENOMEM;
	made->shares = setup->shares;
	made->listeners = setup->listeners;
	made->accept = setup->accept;
	made->ctx = setup->ctx;
	made->poll_ns = (uint64_t)setup->poll_us * 1000;
	rc = worker_init(made, setup);
	if (rc < 0) {
		worker_free(made);
		return rc;
	}
	*worker = made;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	ASSERT(!worker->started);

	if (worker->epoll_fd >= 0) {
		close(STEAL_FD(worker->epoll_fd));
		if (worker->shared.rpc.parked_count > 0) {
			/* Their owner may still write to them. */
			log_warn("%u calls were never ended",
				 worker->shared.rpc.parked_count);
			return;
		}
		conn_shared_fini(&worker->shared);
	}
	free(worker);
}

int worker_start(struct worker *worker, unsigned int number)
{
	char name[16];
	int rc = -pthread_create(&worker->thread, NULL, worker_run, worker);

	if (rc < 0)
		return rc;
	worker->started = true;
	snprintf(name, sizeof(name), "nfsd-%u", number);
	pthread_setname_np(worker->thread, name);
	return 0;
}

void worker_join(struct worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}

void worker_kick(struct worker *worker)
{
	uint64_t one = 1;
	ssize_t n UNUSED;

	n = write(worker->shared.rpc.mailbox.fd, &one, sizeof(one));
}

void worker_quiet(struct worker *worker)
{
	__atomic_store_n(&worker->quiet, 1, __ATOMIC_SEQ_CST);
	worker_kick(worker);
}

void worker_stop(struct worker *worker)
{
	__atomic_store_n(&worker->stopping, 1, __ATOMIC_SEQ_CST);
	worker_kick(worker);
}

struct stats *worker_stats(struct worker *worker)
{
	return &worker->shared.rpc.stats;
}
