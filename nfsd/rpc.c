/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: a call runs, from its record to its reply or to where it is parked.
 * The life of a call is in the header.
 */
#include "nfsd/rpc_impl.h"
#include "nfsd/rpc_msg.h"

/* --- replies ------------------------------------------------------------ */

/* The body is complete; answer it to the call's own peer, and end the call. */
void rpc_answer(struct call *call)
{
	struct rpc *rpc = call->rpc;
	bool held = call->read.iov_count > 0;
	uint8_t *end = call->end;

	ASSERT(call->peer && call->end >= call->body);

	if (call->body == call->waiter.body) {
		uint8_t *body = out_begin(&rpc->out);
		size_t len = (size_t)(call->end - call->body);

		memcpy(body, call->body, len);
		end = body + len;
	}
	out_end(&rpc->out, call->xid, end, call->read.iov, call->read.iov_count,
		held ? &call->hold : NULL);
	if (!held)
		call_put(call);
}

void rpc_complete(struct call *call)
{
	bool taken = false;

	if (call->entry)
		taken = drc_finish(STEAL(call->entry), call->body,
				   (size_t)(call->end - call->body));
	if (taken || !call->peer)
		call_put(call);
	else
		rpc_answer(call);
}

/* Called by the view, under its lock: the record that rides in the batch. */
static size_t rpc_make_record(struct view_change *change,
			      const struct view_done *done, uint8_t *record,
			      uint32_t *slot)
{
	struct call *call = container_of(change, struct call, change);

	ASSERT(call->entry && !call->encoded);

	call->end = call->procedure->done(call, done, call->body);
	call->encoded = true;
	return drc_store(call->entry, call->body,
			 (size_t)(call->end - call->body), record, slot);
}

void rpc_prepare_change(struct call *call)
{
	call->change = (struct view_change){
	    .reply = call->entry ? rpc_make_record : NULL,
	    .settled = rpc_settled,
	};
	call->encoded = false;
}

/*
 * The guest is being moved: nothing may be done here, and the client is to send
 * the call again, to the new place.  true: the call is gone, unanswered.  A
 * call that the duplicate cache or a park knows of is answered JUKEBOX instead,
 * which ends it here for good.
 */
static bool rpc_drop_paused(struct call *call)
{
	if (call->entry || call->state != CALL_RUNNING)
		return false;
	call_put(call);
	return true;
}

/* What the handler returned. */
void rpc_after(struct call *call, int rc)
{
	const struct procedure *procedure = call->procedure;

	if (rc == -ESHUTDOWN) {
		if (rpc_drop_paused(call))
			return;
		rc = -ETIMEDOUT;
	}
	if (rc == -EINPROGRESS) {
		rc = rpc_wait(call);
		if (rc == 0)
			return;
	}
	if (rc < 0) {
		call_fail(call, rc);
	} else if (procedure->flags & PROCEDURE_CHANGES) {
		if (!call->encoded)
			call->end = procedure->done(call, &call->change.done,
						    call->body);
		ASSERT(call->end <= call->body + sizeof(call->waiter.body));
		if (call->change.pending) {
			rpc_park(call, CALL_PENDING);
			return;
		}
	}
	rpc_complete(call);
}

/* --- running ------------------------------------------------------------ */

static bool rpc_decode(struct call *call)
{
	XDR xdrs;

	if (!call->procedure->decode)
		return call->args_len == 0;
	xdr_ref_create(&xdrs, call->args_bytes, call->args_len);
	return call->procedure->decode(&xdrs, &call->args) &&
	       xdr_getpos(&xdrs) == call->args_len;
}

/* Is it a retransmission?  0: no, run it; 1: nothing is left to do. */
static int rpc_once(struct call *call)
{
	struct drc_key key = {
	    .xid = call->xid,
	    .proc = call->number,
	    .cred_hash = rpc_cred_hash(call),
	    .args_sum =
		siphash64(call->info->key, call->args_bytes, call->args_len),
	};
	int rc;

	call->waiter.order = call->peer->order;
	rc = drc_begin(call->rpc->drc, call->view, &key, &call->waiter,
		       &call->entry);
	if (rc < 0)
		return rc;
	if (rc == DRC_NEW)
		return 0;
	stats_count(&call->rpc->stats.retransmissions, 1);
	if (rc == DRC_BUSY) {
		rpc_park(call, CALL_DUPLICATE);
	} else if (rc == DRC_REPLAY) {
		call->end = call->body + call->waiter.body_len;
		rpc_answer(call);
	} else {
		call->peer->broken |= rc == DRC_LOST;
		call_put(call);
	}
	return 1;
}

/* A change will be parked until it is stable; its guest has as many parked as
 * it may. */
static bool rpc_has_too_many(const struct call *call)
{
	return (call->procedure->flags & PROCEDURE_CHANGES) &&
	       call->state == CALL_RUNNING &&
	       share_is_full(call->share, SHARE_PARKED);
}

void rpc_run(struct call *call)
{
	const struct procedure *procedure = call->procedure;
	int rc = 0;

	if (!rpc_decode(call)) {
		/* A call that waited was decoded before. */
		ASSERT(call->state == CALL_RUNNING);
		rpc_msg_accepted(call->rpc, call->xid, ACCEPT_GARBAGE_ARGS);
		call_put(call);
		return;
	}
	/* A reply that may be parked is encoded in the call itself. */
	call->body = procedure->flags & PROCEDURE_CHANGES
			 ? call->waiter.body
			 : out_begin(&call->rpc->out);
	call->end = call->body;
	if ((procedure->flags & PROCEDURE_HANDLE) && !call->view)
		rc = rpc_admit(call);
	if (rc == 0 && call->view && view_is_paused(call->view))
		rc = -ESHUTDOWN;
	if (rc == 0 && (procedure->flags & PROCEDURE_ONCE) && !call->entry)
		rc = rpc_once(call);
	if (rc > 0)
		return;
	if (rc == 0) {
		if (procedure->flags & PROCEDURE_CHANGES)
			rpc_prepare_change(call);
		if (rpc_has_too_many(call))
			rc = -ETIMEDOUT;
		else if (procedure->handler)
			rc = procedure->handler(call);
	}
	rpc_after(call, rc);
}

/* --- from the record ---------------------------------------------------- */

/* RFC 5531 section 9; what is wrong with it is answered.  false: no row. */
static bool rpc_find(struct rpc *rpc, const struct rpc_header *header,
		     const struct procedure **procedure)
{
	const struct program *program;

	if (header->rpc_version != RPC_VERSION_2) {
		rpc_msg_version_mismatch(rpc, header->xid);
		return false;
	}
	program = program_find(header->program);
	if (!program) {
		rpc_msg_accepted(rpc, header->xid, ACCEPT_PROG_UNAVAIL);
		return false;
	}
	if (header->version != program->version) {
		rpc_msg_prog_mismatch(rpc, header->xid, program->version);
		return false;
	}
	if (header->procedure >= program->procedure_count) {
		rpc_msg_accepted(rpc, header->xid, ACCEPT_PROC_UNAVAIL);
		return false;
	}
	*procedure = &program->procedure[header->procedure];
	if (program->number == NFS3_PROGRAM)
		stats_count(&rpc->stats.nfs3_calls[header->procedure], 1);
	else if (program->number == MOUNT3_PROGRAM)
		stats_count(&rpc->stats.mount3_calls[header->procedure], 1);
	return true;
}

int rpc_serve(struct rpc *rpc, struct peer *peer, const uint8_t *record,
	      size_t len)
{
	struct wire_reader r = {.p = record, .end = record + len};
	const struct procedure *procedure;
	struct rpc_header header;
	struct call *call;
	int rc;

	ASSERT(!out_is_full(&rpc->out) && !peer->broken);

	rc = rpc_msg_get(rpc, &r, &header);
	if (rc < 0)
		return rc == -EPERM ? 0 : rc;
	if (!rpc_find(rpc, &header, &procedure))
		return 0;
	call = call_get(rpc);
	if (!call) {
		rpc_msg_accepted(rpc, header.xid, ACCEPT_SYSTEM_ERR);
		return 0;
	}
	if (!rpc_msg_authenticate(rpc, &header, &call->auth)) {
		call_put(call);
		return 0;
	}
	call->peer = peer;
	call->procedure = procedure;
	call->number = header.procedure;
	call->xid = header.xid;
	call->flavor = header.flavor;
	call->args_bytes = r.p;
	call->args_len = (size_t)(r.end - r.p);
	rpc_run(call);
	return 0;
}
