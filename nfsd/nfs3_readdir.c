/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs3_readdir: READDIR READDIRPLUS.
 *
 * Entries are encoded as the view emits them, straight into the reply, until
 * the next one would pass the client's limit.  The limit is kept for the whole
 * body, status included, so that it holds however a client counts.  The cookie
 * verifier is always zero (reliability.md N-23), and any is accepted.
 */
#include "nfsd/handlers.h"

#include <sys/stat.h>

#include "nfsd/attr3.h"
#include "nfsd/fh.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

enum {
	READDIR_BODY_MAX = 64 << 10,
	READDIR_HEAD_LEN = 4 + ATTR3_POST_LEN + NFS3_COOKIEVERFSIZE,
	READDIR_TAIL_LEN = 8,        /* no more entries; eof */
	READDIR_ENTRY_LEN = 24,      /* follows, fileid, name length, cookie */
	READDIR_FH_LEN = 8 + FH_LEN, /* post_op_fh3 */
};

struct readdir {
	const struct view_info *info;
	uint8_t *p, *limit;
	size_t names_left; /* bytes of names, fileids, cookies: dircount */
	bool plus, some;
};

/* Entry without what READDIRPLUS adds; NULL: it does not fit. */
static uint8_t *readdir_put(struct readdir *dir, const struct view_dirent *ent,
			    size_t extra)
{
	size_t len = READDIR_ENTRY_LEN + wire_padded(ent->name_len);
	uint8_t *p = dir->p;

	if (len + extra > (size_t)(dir->limit - p))
		return NULL;
	p = put_u32(p, true);
	p = put_u64(p, ent->fileid);
	p = put_opaque(p, ent->name, ent->name_len);
	return put_u64(p, ent->cookie);
}

static bool readdir_emit(void *ctx, const struct view_dirent *ent)
{
	struct readdir *dir = ctx;
	uint8_t *p = readdir_put(dir, ent, 0);

	if (!p)
		return false;
	dir->p = p;
	dir->some = true;
	return true;
}

static bool readdir_emit_plus(void *ctx, const struct view_dirent *ent)
{
	struct readdir *dir = ctx;
	struct view_object obj = {.fileid = ent->fileid,
				  .generation = ent->generation};
	size_t extra = (ent->attr ? ATTR3_POST_LEN : 4) + READDIR_FH_LEN;
	size_t name_cost = READDIR_ENTRY_LEN - 4 + wire_padded(ent->name_len);
	uint8_t *p;

	/* dircount is a hint: one entry is always given. */
	if (dir->some && name_cost > dir->names_left)
		return false;
	p = readdir_put(dir, ent, extra);
	if (!p)
		return false;
	p = attr3_put_post_op(p, ent->attr, dir->info->export_id);
	p = put_u32(p, true);
	p = put_u32(p, FH_LEN);
	fh_make(dir->info, obj, p);
	dir->p = p + FH_LEN;
	dir->names_left -= MIN(name_cost, dir->names_left);
	dir->some = true;
	return true;
}

static int nfs3_list(struct call *call, struct readdir *dir, uint64_t cookie,
		     size_t body_max)
{
	struct view_attr attr;
	bool eof = false;
	uint8_t *p;
	int rc;

	if (body_max < READDIR_HEAD_LEN + READDIR_TAIL_LEN) {
		/* Still, a file is NOTDIR and a dead handle STALE. */
		rc = view_getattr(call->view, call->obj, &attr);
		if (rc < 0)
			return rc;
		return S_ISDIR(attr.mode) ? -EMSGSIZE : -ENOTDIR;
	}
	body_max = MIN(body_max, (size_t)READDIR_BODY_MAX);
	dir->info = call->info;
	dir->p = call->body + READDIR_HEAD_LEN;
	dir->limit = call->body + body_max - READDIR_TAIL_LEN;
	rc = view_readdir(call->view, &call->cred, call->obj, cookie, dir->plus,
			  dir->plus ? readdir_emit_plus : readdir_emit, dir,
			  &eof, &attr);
	if (rc < 0)
		return rc;
	if (!dir->some && !eof)
		return -EMSGSIZE;
	p = put_u32(call->body, NFS3_OK);
	p = attr3_put_post_op(p, &attr, call->info->export_id);
	p = put_u64(p, 0);
	ASSERT(p == call->body + READDIR_HEAD_LEN);
	p = put_u32(dir->p, false);
	call->end = put_u32(p, eof);
	return 0;
}

/* RFC 1813 section 3.3.16 */
int nfs3_readdir(struct call *call)
{
	const READDIR3args *args = &call->args.readdir;
	struct readdir dir = {.plus = false};

	return nfs3_list(call, &dir, args->cookie, args->count);
}

/* RFC 1813 section 3.3.17 */
int nfs3_readdirplus(struct call *call)
{
	const READDIRPLUS3args *args = &call->args.readdirplus;
	struct readdir dir = {.plus = true, .names_left = args->dircount};

	return nfs3_list(call, &dir, args->cookie, args->maxcount);
}
