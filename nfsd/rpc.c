/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: serving, parking, waking.  The life of a call is in the header.
 */
#include "nfsd/rpc.h"

#include "depot/killpoint.h"
#include "depot/log.h"
#include "nfsd/attr3.h"
#include "nfsd/status3.h"
#include "nfsd/wirebytes.h"

/* RFC 5531 section 9; libtirpc's enums of the same have other shapes. */
enum {
	MSG_CALL = 0,
	MSG_REPLY = 1,
	RPC_VERSION_2 = 2,
	REPLY_ACCEPTED = 0,
	REPLY_DENIED = 1,
	ACCEPT_PROG_UNAVAIL = 1,
	ACCEPT_PROG_MISMATCH = 2,
	ACCEPT_PROC_UNAVAIL = 3,
	ACCEPT_GARBAGE_ARGS = 4,
	ACCEPT_SYSTEM_ERR = 5,
	DENY_RPC_MISMATCH = 0,
	DENY_AUTH_ERROR = 1,
	AUTH_STAT_BADCRED = 1,
	AUTH_STAT_TOOWEAK = 5,
	FLAVOR_NONE = 0,
	FLAVOR_SYS = 1,
};

struct rpc_header {
	uint32_t xid, rpc_version, program, version, procedure;
	uint32_t flavor;
	const uint8_t *cred; /* borrows */
	size_t cred_len;
};

static void rpc_run(struct call *call);

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
	*peer = (struct peer){.broken = false};
	LIST_INIT(&peer->parked);
	TAILQ_INIT(&peer->woken);
	export_client_init(&peer->client, addr);
}

bool rpc_peer_is_full(const struct peer *peer)
{
	return peer->changing_count >= RPC_PEER_CHANGING_MAX;
}

/* --- what comes from other threads -----------------------------------------
 */

static void rpc_wake(struct view_wait *wait)
{
	struct call *call = container_of(wait, struct call, wait);

	mailbox_post(&call->rpc->mailbox, &call->mail);
}

static void rpc_settled(struct view_change *change, int rc)
{
	struct call *call = container_of(change, struct call, change);

	call->settled_rc = rc;
	mailbox_post(&call->rpc->mailbox, &call->mail);
}

static void rpc_told(struct drc_waiter *waiter)
{
	struct call *call = container_of(waiter, struct call, waiter);

	mailbox_post(&call->rpc->mailbox, &call->mail);
}

/* --- calls ------------------------------------------------------------------
 */

static void rpc_mail(struct mail *mail);
static void rpc_sent(struct out_hold *hold);

static struct call *call_get(struct rpc *rpc)
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

static void call_put(struct call *call)
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

static void rpc_sent(struct out_hold *hold)
{
	call_put(container_of(hold, struct call, hold));
}

/* --- credentials --------------------------------------------------------- */

static uint32_t rpc_safe_id(uint32_t id)
{
	/* (uid_t)-1 means "leave it" to many interfaces below. */
	return id == UINT32_MAX ? RPC_NOBODY : id;
}

/* RFC 5531 appendix A.  false: malformed. */
static bool rpc_auth_sys(const uint8_t *body, size_t len,
			 struct view_cred *cred)
{
	struct wire_reader r = {.p = body, .end = body + len};
	size_t name_len;

	get_u32(&r); /* stamp */
	get_opaque(&r, RPC_MACHINE_NAME_MAX, &name_len);
	cred->uid = rpc_safe_id(get_u32(&r));
	cred->gid = rpc_safe_id(get_u32(&r));
	cred->group_count = get_u32(&r);
	if (r.bad || cred->group_count > VIEW_GROUPS_MAX)
		return false;
	for (unsigned int i = 0; i < cred->group_count; i++)
		cred->groups[i] = rpc_safe_id(get_u32(&r));
	return !r.bad && r.p == r.end;
}

void call_squash(const struct call *call, const struct view_info *info,
		 struct view_cred *cred)
{
	cred->uid = call->auth.uid;
	cred->gid = call->auth.gid;
	cred->group_count = call->auth.group_count;
	for (unsigned int i = 0; i < cred->group_count; i++)
		cred->groups[i] = call->auth.groups[i];
	if (!info->root_squash)
		return;
	if (cred->uid == 0)
		cred->uid = RPC_NOBODY;
	if (cred->gid == 0)
		cred->gid = RPC_NOBODY;
	for (unsigned int i = 0; i < cred->group_count; i++)
		if (cred->groups[i] == 0)
			cred->groups[i] = RPC_NOBODY;
}

/* Stamp and machine name are left out: a client may change them when it
 * connects again. */
static uint64_t rpc_cred_hash(const struct call *call)
{
	uint32_t words[3 + VIEW_GROUPS_MAX];
	unsigned int count = 0;

	words[count++] = call->flavor;
	words[count++] = call->auth.uid;
	words[count++] = call->auth.gid;
	for (unsigned int i = 0; i < call->auth.group_count; i++)
		words[count++] = call->auth.groups[i];
	for (unsigned int i = 0; i < count; i++)
		words[i] = htole32(words[i]);
	return siphash64(call->info->key, words, count * sizeof(words[0]));
}

/* --- parking ------------------------------------------------------------- */

static void rpc_park(struct call *call, enum call_state state)
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

static void rpc_leave_peer(struct call *call)
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

static void rpc_unpark(struct call *call)
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
static int rpc_wait(struct call *call)
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

/* --- replies ------------------------------------------------------------- */

static void rpc_accepted(struct rpc *rpc, uint32_t xid, uint32_t status)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_ACCEPTED, 0, 0, status};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

static void rpc_prog_mismatch(struct rpc *rpc, uint32_t xid, uint32_t version)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_ACCEPTED,       0,
				  0,         ACCEPT_PROG_MISMATCH, version,
				  version};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

static void rpc_version_mismatch(struct rpc *rpc, uint32_t xid)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_DENIED, DENY_RPC_MISMATCH,
				  RPC_VERSION_2, RPC_VERSION_2};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

static void rpc_auth_error(struct rpc *rpc, uint32_t xid, uint32_t status)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_DENIED, DENY_AUTH_ERROR,
				  status};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

/* The body is complete; answer it to the call's own peer, and end the call. */
static void rpc_answer(struct call *call)
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

static void rpc_complete(struct call *call)
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

static void rpc_prepare_change(struct call *call)
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
static void rpc_after(struct call *call, int rc)
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

/* --- running ------------------------------------------------------------- */

static bool rpc_decode(struct call *call)
{
	XDR xdrs;

	if (!call->procedure->decode)
		return call->args_len == 0;
	xdr_ref_create(&xdrs, call->args_bytes, call->args_len);
	return call->procedure->decode(&xdrs, &call->args) &&
	       xdr_getpos(&xdrs) == call->args_len;
}

/* The connection is one of this guest from now on.  -EBUSY: the guest has all
 * it may; this one is closed. */
static int rpc_settle_in(struct rpc *rpc, struct peer *peer)
{
	if (share_is_full(peer->share, SHARE_CONNS)) {
		if (rpc->now_ms >= rpc->warn_ms) {
			rpc->warn_ms = rpc->now_ms + RPC_WARN_MS;
			log_warn("export %s: it, or its tenant, has all the "
				 "connections it may: refusing more",
				 peer->info->path);
		}
		stats_count(&rpc->stats.connections_refused, 1);
		peer->broken = true;
		return -EBUSY;
	}
	share_add(peer->share, SHARE_CONNS, 1);
	peer->home = peer->share;
	return 0;
}

/* Whose call is it? */
static int rpc_account(struct call *call)
{
	struct peer *peer = call->peer;
	struct rpc *rpc = call->rpc;

	if (!rpc->shares)
		return 0;
	if (peer->info != call->info) {
		peer->share = share_of_guest(rpc->shares, call->info);
		if (!peer->share)
			return -ENOMEM;
		peer->info = call->info;
	}
	call->share = peer->share;
	return peer->home ? 0 : rpc_settle_in(rpc, peer);
}

static int rpc_enter_export(struct call *call)
{
	const nfs_fh3 *fh = &call->args.handle;
	struct export_view export;
	int rc;

	rc = export_of_handle(&call->peer->client, call->rpc->site, fh->bytes,
			      fh->len, &export, &call->obj);
	if (rc < 0)
		return rc;
	call->view = export.view;
	call->info = export.info;
	call_squash(call, call->info, &call->cred);
	return rpc_account(call);
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
		call->peer->broken = true;
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

static void rpc_run(struct call *call)
{
	const struct procedure *procedure = call->procedure;
	int rc = 0;

	if (!rpc_decode(call)) {
		/* A call that waited was decoded before. */
		ASSERT(call->state == CALL_RUNNING);
		rpc_accepted(call->rpc, call->xid, ACCEPT_GARBAGE_ARGS);
		call_put(call);
		return;
	}
	/* A reply that may be parked is encoded in the call itself. */
	call->body = procedure->flags & PROCEDURE_CHANGES
			 ? call->waiter.body
			 : out_begin(&call->rpc->out);
	call->end = call->body;
	if ((procedure->flags & PROCEDURE_HANDLE) && !call->view)
		rc = rpc_enter_export(call);
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

/* RFC 5531 section 9; what is wrong with it is answered.  false: no row. */
static bool rpc_find(struct rpc *rpc, const struct rpc_header *header,
		     const struct procedure **procedure)
{
	const struct program *program;

	if (header->rpc_version != RPC_VERSION_2) {
		rpc_version_mismatch(rpc, header->xid);
		return false;
	}
	program = program_find(header->program);
	if (!program) {
		rpc_accepted(rpc, header->xid, ACCEPT_PROG_UNAVAIL);
		return false;
	}
	if (header->version != program->version) {
		rpc_prog_mismatch(rpc, header->xid, program->version);
		return false;
	}
	if (header->procedure >= program->procedure_count) {
		rpc_accepted(rpc, header->xid, ACCEPT_PROC_UNAVAIL);
		return false;
	}
	*procedure = &program->procedure[header->procedure];
	if (program->number == NFS3_PROGRAM)
		stats_count(&rpc->stats.nfs3_calls[header->procedure], 1);
	else if (program->number == MOUNT3_PROGRAM)
		stats_count(&rpc->stats.mount3_calls[header->procedure], 1);
	return true;
}

/* false: refused, and answered. */
static bool rpc_authenticate(struct rpc *rpc, const struct rpc_header *header,
			     struct view_cred *cred)
{
	/* NULL is a ping: any flavour will do (RFC 5531 section 8.2 leaves
	 * it to the server). */
	if (header->procedure == 0)
		return true;
	if (header->flavor == FLAVOR_NONE) {
		cred->uid = cred->gid = RPC_NOBODY;
		cred->group_count = 0;
		return true;
	}
	if (header->flavor != FLAVOR_SYS) {
		rpc_auth_error(rpc, header->xid, AUTH_STAT_TOOWEAK);
		return false;
	}
	if (!rpc_auth_sys(header->cred, header->cred_len, cred)) {
		rpc_auth_error(rpc, header->xid, AUTH_STAT_BADCRED);
		return false;
	}
	return true;
}

/* 0; -EBADMSG: no call; -EPERM: refused and answered. */
static int rpc_get_header(struct rpc *rpc, struct wire_reader *r,
			  struct rpc_header *header)
{
	size_t verf_len;
	uint32_t type;

	header->xid = get_u32(r);
	type = get_u32(r);
	header->rpc_version = get_u32(r);
	if (r->bad || type != MSG_CALL)
		return -EBADMSG;
	header->program = get_u32(r);
	header->version = get_u32(r);
	header->procedure = get_u32(r);
	header->flavor = get_u32(r);
	header->cred = get_opaque(r, RPC_AUTH_LEN_MAX, &header->cred_len);
	get_u32(r); /* the verifier proves nothing in these flavours */
	get_opaque(r, RPC_AUTH_LEN_MAX, &verf_len);
	if (r->bad && header->rpc_version == RPC_VERSION_2) {
		rpc_auth_error(rpc, header->xid, AUTH_STAT_BADCRED);
		return -EPERM;
	}
	return 0;
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

	rc = rpc_get_header(rpc, &r, &header);
	if (rc < 0)
		return rc == -EPERM ? 0 : rc;
	if (!rpc_find(rpc, &header, &procedure))
		return 0;
	call = call_get(rpc);
	if (!call) {
		rpc_accepted(rpc, header.xid, ACCEPT_SYSTEM_ERR);
		return 0;
	}
	if (!rpc_authenticate(rpc, &header, &call->auth)) {
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

/* --- waking -------------------------------------------------------------- */

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

static void rpc_mail(struct mail *mail)
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

/* --- for handlers -------------------------------------------------------- */

int call_second_handle(struct call *call, const nfs_fh3 *fh)
{
	struct export_view export;
	int rc;

	rc = export_of_handle(&call->peer->client, call->rpc->site, fh->bytes,
			      fh->len, &export, &call->obj2);
	if (rc < 0)
		return rc;
	if (export.view != call->view)
		return -EXDEV;
	call->has_obj2 = true;
	return 0;
}

/* Attributes for a failed reply: better asked for than left out, since a
 * client without them must ask itself. */
static uint8_t *rpc_put_attr(struct call *call, uint8_t *p)
{
	if (!call->has_attr && call->view)
		call->has_attr =
		    view_getattr(call->view, call->obj, &call->attr) == 0;
	return attr3_put_post_op(p, call->has_attr ? &call->attr : NULL,
				 call->view ? call->info->export_id : 0);
}

/* RFC 1813 section 2.6: what cannot be told for sure is not told. */
static uint8_t *rpc_put_wcc(struct call *call, struct view_wcc *wcc,
			    const struct view_object *obj, uint8_t *p)
{
	struct view_wcc none = {.has_before = false};

	if (!call->view)
		return attr3_put_wcc(p, &none, 0);
	if (!wcc->has_after && obj)
		wcc->has_after =
		    view_getattr(call->view, *obj, &wcc->after) == 0;
	return attr3_put_wcc(p, wcc, call->info->export_id);
}

void call_fail(struct call *call, int rc)
{
	nfsstat3 status = status3_of(rc, call->number);
	struct view_wcc *wcc = call->change.done.wcc;
	const struct view_object *obj2 = call->has_obj2 ? &call->obj2 : NULL;
	uint8_t *p;

	/* The handle was refused before the change was prepared. */
	if ((call->procedure->flags & PROCEDURE_CHANGES) && !call->view)
		rpc_prepare_change(call);
	stats_count(&call->rpc->stats.nfs3_errors[call->number], 1);
	if (status == NFS3ERR_JUKEBOX)
		stats_count(&call->rpc->stats.jukebox, 1);
	p = put_u32(call->body, status);
	switch (call->procedure->fail) {
	case FAIL_NOTHING:
		break;
	case FAIL_ATTR:
		p = rpc_put_attr(call, p);
		break;
	case FAIL_WCC:
		p = rpc_put_wcc(call, &wcc[0], &call->obj, p);
		break;
	case FAIL_WCC_WCC:
		p = rpc_put_wcc(call, &wcc[0], &call->obj, p);
		p = rpc_put_wcc(call, &wcc[1], obj2, p);
		break;
	case FAIL_ATTR_WCC:
		p = rpc_put_attr(call, p);
		p = rpc_put_wcc(call, &wcc[0], obj2, p);
		break;
	}
	call->end = p;
}
