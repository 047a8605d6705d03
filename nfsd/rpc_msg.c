/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_msg: call headers read, credentials judged, refusals written.
 */
#include "nfsd/rpc_msg.h"

/* RFC 5531 section 9, for this file alone. */
enum {
	MSG_CALL = 0,
	MSG_REPLY = 1,
	REPLY_ACCEPTED = 0,
	REPLY_DENIED = 1,
	DENY_RPC_MISMATCH = 0,
	DENY_AUTH_ERROR = 1,
	AUTH_STAT_BADCRED = 1,
	AUTH_STAT_TOOWEAK = 5,
	FLAVOR_NONE = 0,
	FLAVOR_SYS = 1,
};

/* --- refusals ----------------------------------------------------------- */

void rpc_msg_accepted(struct rpc *rpc, uint32_t xid, uint32_t status)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_ACCEPTED, 0, 0, status};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

void rpc_msg_prog_mismatch(struct rpc *rpc, uint32_t xid, uint32_t version)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_ACCEPTED,       0,
				  0,         ACCEPT_PROG_MISMATCH, version,
				  version};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

void rpc_msg_version_mismatch(struct rpc *rpc, uint32_t xid)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_DENIED, DENY_RPC_MISMATCH,
				  RPC_VERSION_2, RPC_VERSION_2};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

static void rpc_msg_auth_error(struct rpc *rpc, uint32_t xid, uint32_t status)
{
	const uint32_t words[] = {MSG_REPLY, REPLY_DENIED, DENY_AUTH_ERROR,
				  status};

	stats_count(&rpc->stats.bad_calls, 1);
	out_words(&rpc->out, xid, words, ARRAY_LEN(words));
}

/* --- credentials -------------------------------------------------------- */

static uint32_t rpc_msg_safe_id(uint32_t id)
{
	/* (uid_t)-1 means "leave it" to many interfaces below. */
	return id == UINT32_MAX ? RPC_NOBODY : id;
}

/* RFC 5531 appendix A.  false: malformed. */
static bool rpc_msg_auth_sys(const uint8_t *body, size_t len,
			     struct view_cred *cred)
{
	struct wire_reader r = {.p = body, .end = body + len};
	size_t name_len;

	get_u32(&r); /* stamp */
	get_opaque(&r, RPC_MACHINE_NAME_MAX, &name_len);
	cred->uid = rpc_msg_safe_id(get_u32(&r));
	cred->gid = rpc_msg_safe_id(get_u32(&r));
	cred->group_count = get_u32(&r);
	if (r.bad || cred->group_count > VIEW_GROUPS_MAX)
		return false;
	for (unsigned int i = 0; i < cred->group_count; i++)
		cred->groups[i] = rpc_msg_safe_id(get_u32(&r));
	return !r.bad && r.p == r.end;
}

/* false: refused, and answered. */
bool rpc_msg_authenticate(struct rpc *rpc, const struct rpc_header *header,
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
		rpc_msg_auth_error(rpc, header->xid, AUTH_STAT_TOOWEAK);
		return false;
	}
	if (!rpc_msg_auth_sys(header->cred, header->cred_len, cred)) {
		rpc_msg_auth_error(rpc, header->xid, AUTH_STAT_BADCRED);
		return false;
	}
	return true;
}

/* --- headers ------------------------------------------------------------ */

/* 0; -EBADMSG: no call; -EPERM: refused and answered. */
int rpc_msg_get(struct rpc *rpc, struct wire_reader *r,
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
		rpc_msg_auth_error(rpc, header->xid, AUTH_STAT_BADCRED);
		return -EPERM;
	}
	return 0;
}
