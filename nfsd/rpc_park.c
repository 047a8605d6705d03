/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_park: the calls of a worker when they do not run: its free list, and
 * those parked, with what they are counted to: the peer, the guest, the worker.
 */
#include "nfsd/rpc_impl.h"

int rpc_init(struct rpc *rpc, struct site *site, struct drc *drc)
{
	int rc;

	*rpc = (struct rpc){
	    .site = site,
	    .drc = drc,
	    .hold_ms = RPC_HOLD_MS,
	    .mailbox = {.fd = -1},
	};
	LIST_INIT(&rpc->waiting);
	rc = mailbox_init(&rpc->mailbox);
	if (rc < 0)
		return rc;
	rc = out_init(&rpc->out);
	if (rc < 0)
		mailbox_fini(&rpc->mailbox);
	return rc;
}

void rpc_fini(struct rpc *rpc)
{
	ASSERT(rpc->parked_count == 0);

	out_fini(&rpc->out);
	while (rpc->free_calls) {
		struct call *call = rpc->free_calls;

		rpc->free_calls = call->next_free;
		free(call);
	}
	mailbox_fini(&rpc->mailbox);
}

void peer_init(struct peer *peer, const struct sockaddr *addr)
{
	static uint64_t last;

	*peer = (struct peer){
	    .order = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED)};
	LIST_INIT(&peer->parked);
	TAILQ_INIT(&peer->woken);
	export_client_init(&peer->client, addr);
}

bool rpc_peer_is_full(const struct peer *peer)
{
	return peer->changing_count >= RPC_PEER_CHANGING_MAX;
}

/* --- taken and put back ------------------------------------------------- */

static void rpc_sent(struct out_hold *hold)
{
	call_put(container_of(hold, struct call, hold));
}

struct call *call_get(struct rpc *rpc)
{
	struct call *call = rpc->free_calls;

	if (call) {
		rpc->free_calls = call->next_free;
		rpc->free_count--;
	} else {
		call = calloc(1, sizeof(*call));
		if (!call)
			return NULL;
		view_wait_init(&call->wait);
		call->wait.wake = rpc_wake;
		call->waiter.told = rpc_told;
		call->mail.deliver = rpc_mail;
		call->hold.release = rpc_sent;
		call->rpc = rpc;
	}
	call->state = CALL_RUNNING;
	call->expired = call->dropped = call->encoded = false;
	call->wait_used = call->has_obj2 = call->has_attr = false;
	call->args_copy = NULL;
	call->view = NULL;
	call->share = NULL;
	call->entry = NULL;
	call->read.iov_count = 0;
	call->read.buf = NULL;
	return call;
}

void call_put(struct call *call)
{
	struct rpc *rpc = call->rpc;

	ASSERT(!call->entry);

	if (call->wait_used) {
		/* view_read() gave bytes, or only pins were gathered. */
		if (call->read.iov_count > 0 || call->read.buf)
			view_read_release(&call->read, &call->wait);
		else
			view_wait_release(&call->wait);
	}
	if (call->args_copy) {
		rpc->copied_bytes -= call->args_len;
		free(STEAL(call->args_copy));
	}
	if (rpc->free_count >= RPC_FREE_CALLS_MAX) {
		free(call);
		return;
	}
	call->next_free = rpc->free_calls;
	rpc->free_calls = call;
	rpc->free_count++;
}

/* --- parked ------------------------------------------------------------- */

void rpc_park(struct call *call, enum call_state state)
{
	struct rpc *rpc = call->rpc;
	struct peer *peer = call->peer;

	call->state = state;
	rpc->parked_count++;
	share_add(call->share, SHARE_PARKED, 1);
	if (call->args_copy)
		share_add(call->share, SHARE_BYTES, call->args_len);
	stats_count(&rpc->stats.in_flight, 1);
	if (peer) {
		LIST_INSERT_HEAD(&peer->parked, call, parked_link);
		if (state == CALL_WAITING)
			peer->waiting_count++;
		else
			peer->changing_count++;
		if (call->args_copy)
			peer->copied_bytes += call->args_len;
	}
	if (state == CALL_WAITING) {
		LIST_INSERT_HEAD(&rpc->waiting, call, waiting_link);
		rpc->waiting_count++;
	}
}

void rpc_leave_peer(struct call *call)
{
	struct peer *peer = call->peer;

	if (!peer)
		return;
	LIST_REMOVE(call, parked_link);
	if (call->state == CALL_WAITING)
		peer->waiting_count--;
	else
		peer->changing_count--;
	if (call->args_copy)
		peer->copied_bytes -= call->args_len;
}

void rpc_unpark(struct call *call)
{
	struct rpc *rpc = call->rpc;

	ASSERT(call->state != CALL_RUNNING && rpc->parked_count > 0);

	rpc_leave_peer(call);
	share_sub(call->share, SHARE_PARKED, 1);
	if (call->args_copy)
		share_sub(call->share, SHARE_BYTES, call->args_len);
	rpc->parked_count--;
	stats_count(&rpc->stats.in_flight, (uint64_t)-1);
	if (call->state == CALL_WAITING) {
		LIST_REMOVE(call, waiting_link);
		rpc->waiting_count--;
		if (rpc->now_ms > call->deadline_ms - rpc->hold_ms)
			rpc->fed_ms = rpc->now_ms;
	}
}

static bool rpc_may_wait(const struct call *call)
{
	const struct rpc *rpc = call->rpc;
	const struct peer *peer = call->peer;

	if (rpc->waiting_count >= RPC_WAITING_MAX ||
	    share_is_full(call->share, SHARE_PARKED))
		return false;
	if (!call->args_copy && share_is_full(call->share, SHARE_BYTES))
		return false;
	if (!call->args_copy &&
	    rpc->copied_bytes + call->args_len > RPC_COPIED_MAX)
		return false;
	return !peer ||
	       (peer->waiting_count < RPC_PEER_WAITING_MAX &&
		peer->copied_bytes + call->args_len <= RPC_PEER_COPIED_MAX);
}

/* The receive buffer will be used again. */
static bool rpc_keep_args(struct call *call)
{
	if (call->args_copy)
		return true;
	call->args_copy = malloc(call->args_len + 1);
	if (!call->args_copy)
		return false;
	memcpy(call->args_copy, call->args_bytes, call->args_len);
	call->args_bytes = call->args_copy;
	call->rpc->copied_bytes += call->args_len;
	return true;
}

/* The view lacks bytes.  0: parked; else what to answer now. */
int rpc_wait(struct call *call)
{
	ASSERT(call->wait_used);

	if (!rpc_may_wait(call) || !rpc_keep_args(call)) {
		if (view_wait_cancel(&call->wait))
			return -ETIMEDOUT;
		/* It is waking already: there is nothing to wait for. */
		if (!rpc_keep_args(call))
			base_assert_failed("memory", __FILE__, __LINE__);
	}
	if (call->state == CALL_RUNNING)
		call->deadline_ms = call->rpc->now_ms + call->rpc->hold_ms;
	rpc_park(call, CALL_WAITING);
	return 0;
}
