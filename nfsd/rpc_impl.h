/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_impl: what the files of rpc share; for rpc*.c only.
 *
 *	rpc.c        a call runs: arguments, handler, reply
 *	rpc_msg.c    its header and credential; refusals (rpc_msg.h)
 *	rpc_admit.c  its export, object and credential; whose share it uses
 *	rpc_park.c   it waits: lists and counts
 *	rpc_wake.c   it goes on, or is given up
 *	rpc_fail.c   the reply of one that failed
 *
 * All of it runs on the worker's thread, but the three callbacks that say so.
 */
#ifndef NFSD_RPC_IMPL_H
#define NFSD_RPC_IMPL_H

#include "nfsd/rpc.h"

/* --- rpc.c -------------------------------------------------------------- */

/* Run it, for the first time or again; it is then answered, parked or gone. */
void rpc_run(struct call *call);
/* Likewise from where its handler returned rc. */
void rpc_after(struct call *call, int rc);
/* call->change is as a handler is to find it. */
void rpc_prepare_change(struct call *call);
/* The body is complete: tell the drc, answer, and end the call. */
void rpc_complete(struct call *call);
/* Answer to the call's own peer, and end the call; the drc knows. */
void rpc_answer(struct call *call);

/* --- rpc_admit.c -------------------------------------------------------- */

/*
 * Prove the first handle, and take the call into its export: view, object,
 * squashed credential, share.  -EBADF, -ESTALE, -EACCES: export_of_handle();
 * -EBUSY: the guest has all the connections it may, and this one is closed;
 * -ENOMEM.
 */
MUST_CHECK int rpc_admit(struct call *call);
/* Of the credential as sent; the same for all retransmissions of a call.  The
 * call has been admitted. */
uint64_t rpc_cred_hash(const struct call *call);

/* --- rpc_park.c --------------------------------------------------------- */

/* A running call with nothing in it.  NULL: no memory. */
struct call *call_get(struct rpc *rpc);
/* takes; it is not parked, and the drc holds nothing of it. */
void call_put(struct call *call);

/* Park a running call in its peer's and its worker's lists, counted. */
void rpc_park(struct call *call, enum call_state state);
/* Its peer's list and counts only: the peer goes. */
void rpc_leave_peer(struct call *call);
/* All of them; call->state still says how it was parked. */
void rpc_unpark(struct call *call);
/* The view lacks bytes.  0: parked as CALL_WAITING; -ETIMEDOUT: too much waits
 * already, the view is told so, and this is what to answer now. */
MUST_CHECK int rpc_wait(struct call *call);

/* --- rpc_wake.c: callbacks ---------------------------------------------- */

/* Any thread. */
void rpc_wake(struct view_wait *wait);
void rpc_settled(struct view_change *change, int rc);
void rpc_told(struct drc_waiter *waiter);
/* The worker's: mail of one of the three. */
void rpc_mail(struct mail *mail);

#endif
