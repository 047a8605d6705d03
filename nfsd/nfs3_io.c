/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs3_io: READ WRITE COMMIT.
 */
#include "nfsd/handlers.h"

#include "nfsd/attr3.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

/* RFC 1813 section 3.3.6.  The data is not copied: the reply refers to the
 * pinned chunks and is held until it has been sent (rpc.h, phase 5). */
int nfs3_read(struct call *call)
{
	const READ3args *args = &call->args.read;
	struct view_read *read = &call->read;
	size_t len = MIN(args->count, (uint32_t)VIEW_IO_MAX);
	uint8_t *p;
	int rc;

	rc = view_read(call->view, &call->cred, call->obj, args->offset, len,
		       call_wait(call), read);
	if (rc < 0) {
		read->iov_count = 0;
		read->buf = NULL;
		return rc;
	}
	ASSERT(read->len <= len && read->iov_count <= DEPOT_READ_MAX);
	if (read->fetched)
		call->rpc->fed_ms = call->rpc->now_ms;
	p = put_u32(call->body, NFS3_OK);
	p = attr3_put_post_op(p, &read->attr, call->info->export_id);
	p = put_u32(p, (uint32_t)read->len);
	p = put_u32(p, read->eof);
	call->end = put_u32(p, (uint32_t)read->len);
	return 0;
}

/* RFC 1813 section 3.3.7 */
int nfs3_write(struct call *call)
{
	const WRITE3args *args = &call->args.write;
	size_t len = MIN(args->count, (uint32_t)VIEW_IO_MAX);

	if (args->count != args->data.len || args->stable < UNSTABLE ||
	    args->stable > FILE_SYNC)
		return -EINVAL;
	if (args->offset > VIEW_FILE_SIZE_MAX ||
	    len > VIEW_FILE_SIZE_MAX - args->offset)
		return -EFBIG;
	return view_write(call->view, &call->cred, call->obj, args->offset,
			  args->data.bytes, len, args->stable != UNSTABLE,
			  call_wait(call), &call->change);
}

/* The verifier is opaque: the same bytes in WRITE and COMMIT are all that
 * matters (reliability.md N-02). */
static uint8_t *nfs3_put_verifier(uint8_t *p, uint64_t verifier)
{
	memcpy(p, &verifier, NFS3_WRITEVERFSIZE);
	return p + NFS3_WRITEVERFSIZE;
}

/* The verifier is the one of the moment of the write: when a flush fails
 * before this is sent, the client must see that it changed. */
uint8_t *nfs3_write_done(struct call *call, const struct view_done *done,
			 uint8_t *p)
{
	p = put_u32(p, NFS3_OK);
	p = attr3_put_wcc(p, &done->wcc[0], call->info->export_id);
	p = put_u32(p, (uint32_t)done->written);
	p = put_u32(p, done->stable ? FILE_SYNC : UNSTABLE);
	return nfs3_put_verifier(p, done->verifier);
}

/* RFC 1813 section 3.3.21 */
int nfs3_commit(struct call *call)
{
	return view_commit(call->view, call->obj, &call->change);
}

/* Encoded when all is flushed (PROCEDURE_LATE): a flush that failed meanwhile
 * has changed the verifier, and that is what tells the client. */
uint8_t *nfs3_commit_done(struct call *call, const struct view_done *done,
			  uint8_t *p)
{
	p = put_u32(p, NFS3_OK);
	p = attr3_put_wcc(p, &done->wcc[0], call->info->export_id);
	return nfs3_put_verifier(
	    p, __atomic_load_n(&call->info->verifier, __ATOMIC_RELAXED));
}
