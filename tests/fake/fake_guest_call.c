/* SPDX-License-Identifier: Apache-2.0 */
/* fake_guest_call: a call is encoded by hand, and so is its reply read. */
#include "tests/fake/fake_guest_impl.h"

#include <poll.h>

#include "nfsd/status3.h"

uint8_t guest_call_bytes[GUEST_CALL_MAX];
uint8_t guest_reply_bytes[GUEST_REPLY_MAX];
uint8_t guest_last_bytes[GUEST_REPLY_MAX];
uint8_t guest_once_call[GUEST_CALL_MAX];
uint8_t guest_once_reply[GUEST_BODY_MAX];

/* --- one call ------------------------------------------------------------ */

void guest_u32(struct guest *guest, uint32_t v)
{
	guest->p = put_u32(guest->p, v);
}

void guest_u64(struct guest *guest, uint64_t v)
{
	guest->p = put_u64(guest->p, v);
}

void guest_opaque(struct guest *guest, const void *bytes, size_t len)
{
	guest->p = put_opaque(guest->p, bytes, len);
}

void guest_text(struct guest *guest, const char *text)
{
	guest_opaque(guest, text, strlen(text));
}

void guest_begin(struct guest *guest, uint32_t program, uint32_t proc)
{
	guest->proc = program == NFS3_PROGRAM ? proc : NFS3_PROC_COUNT;
	guest->p = guest_call_bytes;
	guest_u32(guest, ++guest->xid);
	guest_u32(guest, 0);
	guest_u32(guest, 2);
	guest_u32(guest, program);
	guest_u32(guest, 3);
	guest_u32(guest, proc);
	guest_u32(guest, 1);
	guest_u32(guest, 28);
	guest_u32(guest, 0);
	guest_text(guest, "guest");
	guest_u32(guest, guest->uid);
	guest_u32(guest, guest->uid);
	guest_u32(guest, 0);
	guest_u64(guest, 0);
}

void guest_begin_at(struct guest *guest, uint32_t proc,
		    const struct guest_node *node)
{
	guest_begin(guest, NFS3_PROGRAM, proc);
	guest_opaque(guest, node->fh, FH_LEN);
}

static void guest_collect(struct guest *guest)
{
	struct out *out = &guest->rpc.out;

	for (unsigned int i = 0; i < out->iov_count; i++) {
		ASSERT(guest->reply_len + out->iov[i].iov_len <
		       GUEST_REPLY_MAX);
		memcpy(guest_reply_bytes + guest->reply_len,
		       out->iov[i].iov_base, out->iov[i].iov_len);
		guest->reply_len += out->iov[i].iov_len;
	}
	out_drop(out);
}

/* Until the parked call has been answered. */
static void guest_wait(struct guest *guest)
{
	struct mailbox *box = &guest->rpc.mailbox;

	while (guest->reply_len == 0) {
		struct pollfd pfd = {.fd = box->fd, .events = POLLIN};

		guest_need(guest, guest->rpc.parked_count > 0, "no reply");
		if (mailbox_sleep(box))
			guest_need(guest, poll(&pfd, 1, GUEST_WAIT_MS) == 1,
				   "no reply in time");
		mailbox_awake(box);
		mailbox_clear(box);
		rpc_deliver_mail(&guest->rpc);
		while (rpc_resume(&guest->rpc, &guest->peer))
			guest_collect(guest);
		guest_collect(guest);
	}
}

/* Serve what is encoded; one reply comes, whole. */
void guest_send(struct guest *guest, size_t len)
{
	uint8_t *record = malloc(len);

	ASSERT(record);
	memcpy(record, guest_call_bytes, len);
	guest->call_len = len;
	guest->reply_len = 0;
	ASSERT(rpc_serve(&guest->rpc, &guest->peer, record, len) == 0);
	memset(record, 0xee, len);
	free(record);
	guest_collect(guest);
	guest_wait(guest);
	guest_need(guest,
		   guest->reply_len >= 24 &&
		       be32_get(guest_reply_bytes) ==
			   (0x80000000u | (guest->reply_len - 4)) &&
		       be32_get(guest_reply_bytes + 4) == guest->xid &&
		       be32_get(guest_reply_bytes + 8) == 1,
		   "not one record with the call's number");
}

/* `body_max`: bytes the result may have. */
bool guest_call(struct guest *guest, size_t body_max)
{
	size_t len = (size_t)(guest->p - guest_call_bytes);

	ASSERT(len <= GUEST_CALL_MAX);
	guest_send(guest, len);
	memcpy(guest_last_bytes, guest_reply_bytes, guest->reply_len);
	guest->last_len = guest->reply_len;
	guest->last_once =
	    guest->proc == NFS3_SETATTR ||
	    (guest->proc >= NFS3_CREATE && guest->proc <= NFS3_LINK);
	guest->r = (struct wire_reader){
	    .p = guest_reply_bytes + 8,
	    .end = guest_reply_bytes + guest->reply_len,
	};
	for (int i = 0; i < 5; i++) /* REPLY ACCEPTED, verifier, SUCCESS */
		guest->status = get_u32(&guest->r);
	guest_need(guest, guest->status == 0 && guest->reply_len >= 28,
		   "refused");
	guest_need(guest, guest->reply_len - 28 <= body_max, "reply too long");
	guest->status = get_u32(&guest->r);
	if (guest->proc < NFS3_PROC_COUNT)
		guest_need(guest, status3_allowed(guest->status, guest->proc),
			   "status that it may not have");
	return guest->status == NFS3_OK;
}

/* The call that was answered just now has changed something: its reply is to
 * outlive the server. */
void guest_keep(struct guest *guest)
{
	ASSERT(guest->last_once && guest->last_len <= GUEST_BODY_MAX);
	memcpy(guest_once_call, guest_call_bytes, guest->call_len);
	memcpy(guest_once_reply, guest_last_bytes, guest->last_len);
	guest->once_call_len = guest->call_len;
	guest->once_reply_len = guest->last_len;
	guest->once_xid = guest->xid;
	guest->once_proc = guest->proc;
}

/* --- what is in replies -------------------------------------------------- */

uint64_t guest_get64(struct guest *guest)
{
	uint64_t high = get_u32(&guest->r);

	return high << 32 | get_u32(&guest->r);
}

void guest_end(struct guest *guest)
{
	guest_need(guest, !guest->r.bad && guest->r.p == guest->r.end,
		   "reply does not decode to its end");
}

void guest_get_attr(struct guest *guest, struct guest_attr *attr)
{
	uint64_t sec;

	attr->type = get_u32(&guest->r);
	attr->mode = get_u32(&guest->r);
	attr->nlink = get_u32(&guest->r);
	attr->uid = get_u32(&guest->r);
	attr->gid = get_u32(&guest->r);
	attr->size = guest_get64(guest);
	attr->used = guest_get64(guest);
	guest_get64(guest); /* rdev */
	attr->fsid = guest_get64(guest);
	attr->fileid = guest_get64(guest);
	for (int i = 0; i < 2; i++) {
		get_u32(&guest->r);
		guest_need(guest, get_u32(&guest->r) < 1000000000, "time");
	}
	sec = get_u32(&guest->r);
	attr->ctime = sec * 1000000000 + get_u32(&guest->r);
	guest_need(guest,
		   !guest->r.bad && attr->type >= NF3REG &&
		       attr->type <= NF3FIFO,
		   "attributes do not decode");
}

void guest_learn_id(struct guest *guest, struct guest_node *node,
		    uint64_t fileid)
{
	if (node->fileid == 0) {
		guest_need(guest, fileid != 0, "a file number of 0");
		for (unsigned int i = 0; i < guest->node_count; i++)
			guest_need(guest, guest->nodes[i].fileid != fileid,
				   "two objects with one file number");
		node->fileid = fileid;
	}
	guest_need(guest, node->fileid == fileid, "another file number");
}

/* Attributes that follow must be the model's of now. */
bool guest_attr_of(struct guest *guest, struct guest_node *node)
{
	struct guest_attr attr;

	if (!node || !guest_is_live(guest, node))
		return false;
	guest_get_attr(guest, &attr);
	guest_need(guest, attr.type == node->type, "another type");
	guest_learn_id(guest, node, attr.fileid);
	guest_need(guest, attr.fsid == view_get_info(guest->view)->export_id,
		   "fsid");
	if (node->type != NF3DIR)
		guest_need(guest, attr.nlink == node->names, "nlink");
	else
		guest_need(guest,
			   attr.nlink == 2 + guest_count(guest, node, true),
			   "nlink of a directory");
	if (node->type == NF3REG || node->type == NF3LNK)
		guest_need(guest, attr.size == node->size, "size");
	if (node->mode_known)
		guest_need(guest, attr.mode == node->mode, "mode");
	guest_need(guest, attr.uid == node->uid, "uid");
	guest_need(guest, attr.ctime >= node->ctime, "ctime fell");
	node->ctime = attr.ctime;
	return true;
}

void guest_post_attr(struct guest *guest, struct guest_node *node)
{
	struct guest_attr attr;
	uint32_t follows = get_u32(&guest->r);

	guest_need(guest, follows <= 1, "a truth that is none");
	if (follows && !guest_attr_of(guest, node))
		guest_get_attr(guest, &attr);
}

/* before_size: of a regular file before the call; -1: not asked for. */
void guest_wcc(struct guest *guest, struct guest_node *node,
	       int64_t before_size)
{
	uint32_t follows = get_u32(&guest->r);

	guest_need(guest, follows <= 1, "a truth that is none");
	if (follows) {
		uint64_t size = guest_get64(guest);

		if (before_size >= 0)
			guest_need(guest, size == (uint64_t)before_size,
				   "size before the call");
		guest_get64(guest);
		guest_get64(guest);
	}
	guest_post_attr(guest, node);
}

void guest_learn(struct guest *guest, struct guest_node *node)
{
	const uint8_t *fh;
	size_t len;

	fh = get_opaque(&guest->r, NFS3_FHSIZE, &len);
	guest_need(guest, fh && len == FH_LEN, "not a handle");
	if (!node->has_fh) {
		memcpy(node->fh, fh, FH_LEN);
		node->has_fh = true;
		guest->known[guest->known_count++] = node;
	}
	guest_need(guest, memcmp(node->fh, fh, FH_LEN) == 0, "another handle");
}

void guest_post_fh(struct guest *guest, struct guest_node *node)
{
	guest_need(guest, get_u32(&guest->r) == 1, "no handle");
	guest_learn(guest, node);
}

/* It went as in the model, but for want of room or of rights. */
bool guest_as(struct guest *guest, bool expected)
{
	bool ok = guest->status == NFS3_OK;

	if (ok == expected)
		return ok;
	if (ok)
		guest_fail(guest, "succeeds and should not");
	if (guest->status == NFS3ERR_NOSPC || guest->status == NFS3ERR_FBIG)
		return false;
	if (guest->uid != 0 &&
	    (guest->status == NFS3ERR_ACCES || guest->status == NFS3ERR_PERM))
		return false;
	guest_fail(guest, "fails and should not");
}

/* The handle is of nothing any more: that, and nothing else, is said. */
void guest_stale(struct guest *guest, const struct guest_node *node)
{
	if (!guest_is_live(guest, node))
		guest_need(guest, guest->status == NFS3ERR_STALE, "not STALE");
	else
		guest_need(guest,
			   guest->status != NFS3ERR_STALE &&
			       guest->status != NFS3ERR_BADHANDLE,
			   "STALE, but it lives");
}
