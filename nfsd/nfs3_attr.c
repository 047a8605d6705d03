/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs3_attr: GETATTR SETATTR ACCESS FSSTAT FSINFO PATHCONF.
 */
#include "nfsd/handlers.h"

#include <sys/stat.h>

#include "nfsd/attr3.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

enum {
	NFS3_IO_MULT = 4096,
	NFS3_DTPREF = 64 << 10,
};

/* RFC 1813 section 3.3.1 */
int nfs3_getattr(struct call *call)
{
	struct view_attr attr;
	int rc;

	rc = view_getattr(call->view, call->obj, &attr);
	if (rc < 0)
		return rc;
	call->end = attr3_put(put_u32(call->body, NFS3_OK), &attr,
			      call->info->export_id);
	return 0;
}

/* RFC 1813 section 3.3.2.  The guard is compared by the view in one step with
 * the change. */
int nfs3_setattr(struct call *call)
{
	const SETATTR3args *args = &call->args.setattr;
	const nfstime3 *ctime = &args->guard.sattrguard3_u.obj_ctime;
	struct timespec guard = {.tv_sec = 0};
	struct view_setattr set;
	int rc;

	rc = attr3_get_set(&args->new_attributes, &set);
	if (rc < 0)
		return rc;
	if (args->guard.check)
		guard = (struct timespec){.tv_sec = ctime->seconds,
					  .tv_nsec = ctime->nseconds};
	return view_setattr(call->view, &call->cred, call->obj, &set,
			    args->guard.check ? &guard : NULL, call_wait(call),
			    &call->change);
}

uint8_t *nfs3_wcc_done(struct call *call, const struct view_done *done,
		       uint8_t *p)
{
	p = put_u32(p, NFS3_OK);
	return attr3_put_wcc(p, &done->wcc[0], call->info->export_id);
}

/* Adding and removing names needs both write and search permission. */
static uint32_t nfs3_access_dir(unsigned int may)
{
	uint32_t bits = 0;

	if (may & VIEW_MAY_READ)
		bits |= ACCESS3_READ;
	if (may & VIEW_MAY_EXEC)
		bits |= ACCESS3_LOOKUP;
	if ((may & VIEW_MAY_EXEC) && (may & VIEW_MAY_WRITE))
		bits |= ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_DELETE;
	return bits;
}

static uint32_t nfs3_access_file(unsigned int may)
{
	uint32_t bits = 0;

	if (may & VIEW_MAY_READ)
		bits |= ACCESS3_READ;
	if (may & VIEW_MAY_EXEC)
		bits |= ACCESS3_EXECUTE;
	if (may & VIEW_MAY_WRITE)
		bits |= ACCESS3_MODIFY | ACCESS3_EXTEND;
	return bits;
}

/* RFC 1813 section 3.3.4 */
int nfs3_access(struct call *call)
{
	struct view_attr attr;
	unsigned int may;
	uint32_t bits;
	uint8_t *p;
	int rc;

	rc = view_getattr(call->view, call->obj, &attr);
	if (rc < 0)
		return rc;
	may = view_permissions(&attr, &call->cred);
	bits =
	    S_ISDIR(attr.mode) ? nfs3_access_dir(may) : nfs3_access_file(may);
	p = put_u32(call->body, NFS3_OK);
	p = attr3_put_post_op(p, &attr, call->info->export_id);
	call->end = put_u32(p, bits & call->args.access.access);
	return 0;
}

/* Status and rpcgen's encoding of `resok` behind it. */
static int nfs3_encode(struct call *call, xdrproc_t encode, void *resok)
{
	uint8_t *p = put_u32(call->body, NFS3_OK);
	XDR xdrs;

	xdrmem_create(&xdrs, (char *)p, OUT_REPLY_MAX - 4, XDR_ENCODE);
	if (!encode(&xdrs, resok))
		return -EIO;
	call->end = p + xdr_getpos(&xdrs);
	return 0;
}

/* The attributes that a reply about the file system carries. */
static int nfs3_fs_attr(struct call *call, post_op_attr *post)
{
	struct view_attr attr;
	int rc;

	rc = view_getattr(call->view, call->obj, &attr);
	if (rc < 0)
		return rc;
	attr3_fill_post_op(post, &attr, call->info->export_id);
	return 0;
}

/* RFC 1813 section 3.3.18 */
int nfs3_fsstat(struct call *call)
{
	FSSTAT3resok resok = {.invarsec = 0};
	struct view_statfs statfs;
	int rc;

	rc = nfs3_fs_attr(call, &resok.obj_attributes);
	if (rc < 0)
		return rc;
	rc = view_statfs(call->view, &statfs);
	if (rc < 0)
		return rc;
	resok.tbytes = statfs.total_bytes;
	resok.fbytes = statfs.free_bytes;
	resok.abytes = statfs.avail_bytes;
	resok.tfiles = statfs.total_files;
	resok.ffiles = statfs.free_files;
	resok.afiles = statfs.avail_files;
	return nfs3_encode(call, (xdrproc_t)xdr_FSSTAT3resok, &resok);
}

/* RFC 1813 section 3.3.19 */
int nfs3_fsinfo(struct call *call)
{
	FSINFO3resok resok = {
	    .rtmax = VIEW_IO_MAX,
	    .rtpref = VIEW_IO_MAX,
	    .rtmult = NFS3_IO_MULT,
	    .wtmax = VIEW_IO_MAX,
	    .wtpref = VIEW_IO_MAX,
	    .wtmult = NFS3_IO_MULT,
	    .dtpref = NFS3_DTPREF,
	    .maxfilesize = VIEW_FILE_SIZE_MAX,
	    .time_delta = {.seconds = 0, .nseconds = 1},
	    .properties =
		FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME,
	};
	int rc;

	rc = nfs3_fs_attr(call, &resok.obj_attributes);
	if (rc < 0)
		return rc;
	return nfs3_encode(call, (xdrproc_t)xdr_FSINFO3resok, &resok);
}

/* RFC 1813 section 3.3.20 */
int nfs3_pathconf(struct call *call)
{
	PATHCONF3resok resok = {
	    .linkmax = VIEW_LINK_MAX,
	    .name_max = VIEW_NAME_MAX,
	    .no_trunc = TRUE,
	    .chown_restricted = TRUE,
	    .case_insensitive = FALSE,
	    .case_preserving = TRUE,
	};
	int rc;

	rc = nfs3_fs_attr(call, &resok.obj_attributes);
	if (rc < 0)
		return rc;
	return nfs3_encode(call, (xdrproc_t)xdr_PATHCONF3resok, &resok);
}
