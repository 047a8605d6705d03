/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_wake: parked calls go on: other threads post them to the worker's
 * mailbox, and each has its turn with its connection, or ends when time is up
 * or the connection goes.
 */
#include "nfsd/rpc_impl.h"

#include "depot/killpoint.h"

/* --- what comes from other threads -------------------------------------- */

void rpc_wake(struct view_wait *wait)
{
	struct call *call = container_of(wait, struct call, wait);

	mailbox_post(&call->rpc->mailbox, &call->mail);
}

void rpc_settled(struct view_change *change, int rc)
{
	struct call *call = container_of(change, struct call, change);

	call->settled_rc = rc;
	mailbox_post(&call->rpc->mailbox, &call->mail);
}

void rpc_told(struct drc_waiter *waiter)
{
	struct call *call = container_of(waiter, struct call, waiter);

	mailbox_post(&call->rpc->mailbox, &call->mail);
}

/* --- one of them goes on ------------------------------------------------ */

/* A WRITE or COMMIT whose data did not reach the disk: the client is told
 * (rule N-03), and finds the verifier changed. */
static void rpc_not_stable(struct call *call)
{
	struct view_wcc *wcc = &call->change.done.wcc[0];

	/* As they were before the sync, they say nothing now. */
	wcc->has_before = wcc->has_after = false;
	call->body = call->waiter.body;
	call_fail(call, call->settled_rc);
	rpc_complete(call);
}

static void rpc_resume_one(struct call *call)
{
	rpc_unpark(call);
	switch (call->state) {
	case CALL_WAITING:
		if (!call->expired) {
			rpc_run(call);
			return;
		}
		call->body = call->procedure->flags & PROCEDURE_CHANGES
				 ? call->waiter.body
				 : out_begin(&call->rpc->out);
		rpc_after(call, -ETIMEDOUT);
		return;
	case CALL_PENDING:
		if (call->settled_rc == 0) {
			if (call->procedure->flags & PROCEDURE_LATE)
				call->end = call->procedure->done(
				    call, &call->change.done, call->body);
			KILL_POINT("reply");
			rpc_complete(call);
			return;
		}
		if (!call->entry) {
			rpc_not_stable(call);
			return;
		}
		/* Nothing may be acknowledged that might not be on disk. */
		drc_lose(STEAL(call->entry));
		break;
	case CALL_DUPLICATE:
		if (call->waiter.verdict == DRC_REPLAY && call->peer) {
			call->end = call->body + call->waiter.body_len;
			rpc_answer(call);
			return;
		}
		if (call->waiter.verdict == DRC_BUSY) {
			call_put(call);
			return;
		}
		break;
	case CALL_RUNNING:
		ASSERT(!"parked");
	}
	if (call->peer)
		call->peer->broken = true;
	call_put(call);
}

/* From here on only rpc_resume() or rpc_close_peer() touches it. */
static void rpc_ready(struct call *call)
{
	struct peer *peer = call->peer;

	if (!peer) {
		rpc_resume_one(call);
		return;
	}
	TAILQ_INSERT_TAIL(&peer->woken, call, woken_link);
	call->rpc->ready(peer);
}

void rpc_mail(struct mail *mail)
{
	struct call *call = container_of(mail, struct call, mail);

	if (call->dropped) {
		rpc_unpark(call);
		call_put(call);
		return;
	}
	rpc_ready(call);
}

void rpc_deliver_mail(struct rpc *rpc)
{
	struct mail *mail = mailbox_take(&rpc->mailbox);

	while (mail) {
		struct mail *next = mail->next;

		mail->deliver(mail);
		mail = next;
	}
}

bool rpc_resume(struct rpc *rpc, struct peer *peer)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&peer->woken))) {
		if (out_is_full(&rpc->out))
			return true;
		TAILQ_REMOVE(&peer->woken, call, woken_link);
		rpc_resume_one(call);
	}
	return false;
}

/* --- no longer waited for ----------------------------------------------- */

void rpc_expire(struct rpc *rpc)
{
	struct call *call = LIST_FIRST(&rpc->waiting);

	while (call) {
		struct call *next = LIST_NEXT(call, waiting_link);

		if (!call->expired && !call->dropped &&
		    rpc->now_ms >= call->deadline_ms &&
		    view_wait_cancel(&call->wait)) {
			call->expired = true;
			rpc_ready(call);
		}
		call = next;
	}
}

/* One parked call whose connection goes; `woken`: its mail has come. */
static void rpc_orphan(struct call *call, bool woken)
{
	rpc_leave_peer(call);
	call->peer = NULL;
	if (call->entry || call->state == CALL_PENDING) {
		if (woken)
			rpc_resume_one(call);
		return;
	}
	if (woken ||
	    (call->state == CALL_WAITING ? view_wait_cancel(&call->wait)
					 : drc_cancel(&call->waiter))) {
		rpc_unpark(call);
		call_put(call);
		return;
	}
	call->dropped = true;
}

void rpc_close_peer(struct rpc *rpc, struct peer *peer)
{
	struct call *call;

	(void)rpc;
	share_sub(peer->home, SHARE_CONNS, 1);
	peer->home = NULL;
	while ((call = TAILQ_FIRST(&peer->woken))) {
		TAILQ_REMOVE(&peer->woken, call, woken_link);
		rpc_orphan(call, true);
	}
	while ((call = LIST_FIRST(&peer->parked)))
		rpc_orphan(call, false);
	ASSERT(peer->waiting_count == 0 && peer->changing_count == 0);
}
