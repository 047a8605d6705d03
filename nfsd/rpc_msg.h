/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc_msg: the message of RFC 5531: the header of a call, its credential, and
 * the replies that refuse one.  Arguments and results are not its business
 * (program.h); nor are accepted, successful replies, whose header out_end()
 * writes.
 *
 * A refusal is written to rpc->out, which has room, and counted in
 * rpc->stats.bad_calls.
 */
#ifndef NFSD_RPC_MSG_H
#define NFSD_RPC_MSG_H

#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

/* RFC 5531 section 9; libtirpc's enums of the same have other shapes. */
enum {
	RPC_VERSION_2 = 2,
	ACCEPT_PROG_UNAVAIL = 1,
	ACCEPT_PROG_MISMATCH = 2,
	ACCEPT_PROC_UNAVAIL = 3,
	ACCEPT_GARBAGE_ARGS = 4,
	ACCEPT_SYSTEM_ERR = 5,
};

struct rpc_header {
	uint32_t xid, rpc_version, program, version, procedure;
	uint32_t flavor;     /* of the credential */
	const uint8_t *cred; /* borrows from the record */
	size_t cred_len;
};

/*
 * Read the header of a call; the reader is then at the arguments.  -EBADMSG:
 * this is no call.  -EPERM: credential or verifier is malformed; refused.
 * rpc_version is the caller's to look at, before anything behind it.
 */
MUST_CHECK int rpc_msg_get(struct rpc *rpc, struct wire_reader *r,
			   struct rpc_header *header);

/*
 * Who calls?  AUTH_SYS as sent, nobody for AUTH_NONE; untouched for procedure
 * 0, which anybody may call.  false: another flavour, or malformed; refused.
 */
MUST_CHECK bool rpc_msg_authenticate(struct rpc *rpc,
				     const struct rpc_header *header,
				     struct view_cred *cred);

/* Refuse: MSG_ACCEPTED with one of ACCEPT_ that has no body. */
void rpc_msg_accepted(struct rpc *rpc, uint32_t xid, uint32_t status);
/* ... PROG_MISMATCH: only this version is there. */
void rpc_msg_prog_mismatch(struct rpc *rpc, uint32_t xid, uint32_t version);
/* MSG_DENIED: only version 2 of RPC is there. */
void rpc_msg_version_mismatch(struct rpc *rpc, uint32_t xid);

#endif
