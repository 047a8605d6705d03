/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfs3_name: LOOKUP READLINK CREATE MKDIR SYMLINK MKNOD REMOVE RMDIR RENAME
 * LINK.
 *
 * Names are bytes (reliability.md N-29); what they may not be is checked here
 * once for all procedures, "." and ".." by the view.
 */
#include "nfsd/handlers.h"

#include <sys/stat.h>

#include "nfsd/attr3.h"
#include "nfsd/fh.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

static int nfs3_check_name(const filename3 *name)
{
	if (name->len > VIEW_NAME_MAX)
		return -ENAMETOOLONG;
	if (name->len == 0 || memchr(name->bytes, '/', name->len) ||
	    memchr(name->bytes, '\0', name->len))
		return -EINVAL;
	return 0;
}

static const char *nfs3_name(const filename3 *name)
{
	return (const char *)name->bytes;
}

/* A name that is made or removed; the directory is call->obj. */
static bool nfs3_is_dots(const filename3 *name)
{
	return name->bytes[0] == '.' &&
	       (name->len == 1 || (name->len == 2 && name->bytes[1] == '.'));
}

static uint8_t *nfs3_put_fh(const struct call *call, uint8_t *p,
			    const struct view_attr *attr)
{
	struct view_object obj = {.fileid = attr->fileid,
				  .generation = attr->generation};

	p = put_u32(p, FH_LEN);
	fh_make(call->info, obj, p);
	return p + FH_LEN;
}

/* RFC 1813 section 3.3.3 */
int nfs3_lookup(struct call *call)
{
	const filename3 *name = &call->args.lookup.what.name;
	uint32_t export_id = call->info->export_id;
	struct view_attr attr;
	uint8_t *p;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	rc = view_lookup(call->view, &call->cred, call->obj, nfs3_name(name),
			 name->len, &attr, &call->attr);
	if (rc < 0) {
		/* A third of an application's start: no second look for the
		 * directory's attributes. */
		call->has_attr = rc == -ENOENT || rc == -EACCES;
		return rc;
	}
	p = put_u32(call->body, NFS3_OK);
	p = nfs3_put_fh(call, p, &attr);
	p = attr3_put_post_op(p, &attr, export_id);
	call->end = attr3_put_post_op(p, &call->attr, export_id);
	return 0;
}

/* RFC 1813 section 3.3.5 */
int nfs3_readlink(struct call *call)
{
	char target[VIEW_SYMLINK_MAX];
	struct view_attr attr;
	size_t len;
	uint8_t *p;
	int rc;

	rc = view_readlink(call->view, call->obj, target, &len, &attr);
	if (rc < 0)
		return rc;
	ASSERT(len <= sizeof(target));
	p = put_u32(call->body, NFS3_OK);
	p = attr3_put_post_op(p, &attr, call->info->export_id);
	call->end = put_opaque(p, target, len);
	return 0;
}

/* RFC 1813 section 3.3.8 */
int nfs3_create(struct call *call)
{
	const CREATE3args *args = &call->args.create;
	const filename3 *name = &args->where.name;
	enum view_create_how how = VIEW_CREATE_EXCLUSIVE;
	struct view_setattr set = {.mask = 0};
	uint64_t verifier = 0;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EEXIST;
	if (args->how.mode == EXCLUSIVE) {
		memcpy(&verifier, args->how.createhow3_u.verf,
		       sizeof(verifier));
	} else {
		how = args->how.mode == GUARDED ? VIEW_CREATE_GUARDED
						: VIEW_CREATE_UNCHECKED;
		rc = attr3_get_set(&args->how.createhow3_u.unchecked, &set);
		if (rc < 0)
			return rc;
	}
	return view_create(call->view, &call->cred, call->obj, nfs3_name(name),
			   name->len, how, &set, verifier, call_wait(call),
			   &call->change);
}

/* RFC 1813 section 3.3.9 */
int nfs3_mkdir(struct call *call)
{
	const MKDIR3args *args = &call->args.mkdir;
	const filename3 *name = &args->where.name;
	struct view_setattr set;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EEXIST;
	rc = attr3_get_set(&args->attributes, &set);
	if (rc < 0)
		return rc;
	return view_mknod(call->view, &call->cred, call->obj, nfs3_name(name),
			  name->len, S_IFDIR, &set, 0, 0, &call->change);
}

/* RFC 1813 section 3.3.10 */
int nfs3_symlink(struct call *call)
{
	const SYMLINK3args *args = &call->args.symlink;
	const filename3 *name = &args->where.name;
	const nfspath3 *target = &args->symlink.symlink_data;
	struct view_setattr set;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EEXIST;
	if (target->len > VIEW_SYMLINK_MAX)
		return -ENAMETOOLONG;
	if (target->len == 0 || memchr(target->bytes, '\0', target->len))
		return -EINVAL;
	rc = attr3_get_set(&args->symlink.symlink_attributes, &set);
	if (rc < 0)
		return rc;
	return view_symlink(call->view, &call->cred, call->obj, nfs3_name(name),
			    name->len, (const char *)target->bytes, target->len,
			    &set, &call->change);
}

/* What is to be made, and with which attributes.  -EPROTOTYPE: BADTYPE. */
static int nfs3_mknod_type(const mknoddata3 *what, uint32_t *type,
			   const sattr3 **sattr, specdata3 *spec)
{
	const devicedata3 *device = &what->mknoddata3_u.chr_device;

	*spec = (specdata3){.specdata1 = 0};
	switch (what->type) {
	case NF3CHR:
	case NF3BLK:
		*type = what->type == NF3CHR ? S_IFCHR : S_IFBLK;
		*sattr = &device->dev_attributes;
		*spec = device->spec;
		return 0;
	case NF3SOCK:
		*type = S_IFSOCK;
		*sattr = &what->mknoddata3_u.sock_attributes;
		return 0;
	case NF3FIFO:
		*type = S_IFIFO;
		*sattr = &what->mknoddata3_u.pipe_attributes;
		return 0;
	default:
		return -EPROTOTYPE;
	}
}

/* RFC 1813 section 3.3.11 */
int nfs3_mknod(struct call *call)
{
	const MKNOD3args *args = &call->args.mknod;
	const filename3 *name = &args->where.name;
	const sattr3 *sattr;
	struct view_setattr set;
	specdata3 spec;
	uint32_t type;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EEXIST;
	rc = nfs3_mknod_type(&args->what, &type, &sattr, &spec);
	if (rc < 0)
		return rc;
	rc = attr3_get_set(sattr, &set);
	if (rc < 0)
		return rc;
	return view_mknod(call->view, &call->cred, call->obj, nfs3_name(name),
			  name->len, type, &set, spec.specdata1, spec.specdata2,
			  &call->change);
}

uint8_t *nfs3_made_done(struct call *call, const struct view_done *done,
			uint8_t *p)
{
	uint32_t export_id = call->info->export_id;

	p = put_u32(p, NFS3_OK);
	p = put_u32(p, true); /* the handle follows */
	p = nfs3_put_fh(call, p, &done->attr);
	p = attr3_put_post_op(p, &done->attr, export_id);
	return attr3_put_wcc(p, &done->wcc[0], export_id);
}

/* RFC 1813 section 3.3.12 */
int nfs3_remove(struct call *call)
{
	const filename3 *name = &call->args.remove.object.name;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EINVAL;
	return view_remove(call->view, &call->cred, call->obj, nfs3_name(name),
			   name->len, false, &call->change);
}

/* RFC 1813 section 3.3.13: "." is INVAL, ".." EXIST. */
int nfs3_rmdir(struct call *call)
{
	const filename3 *name = &call->args.remove.object.name;
	int rc;

	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return name->len == 1 ? -EINVAL : -EEXIST;
	return view_remove(call->view, &call->cred, call->obj, nfs3_name(name),
			   name->len, true, &call->change);
}

/* RFC 1813 section 3.3.14 */
int nfs3_rename(struct call *call)
{
	const RENAME3args *args = &call->args.rename;
	const filename3 *from = &args->from.name, *to = &args->to.name;
	int rc;

	rc = call_second_handle(call, &args->to.dir);
	if (rc < 0)
		return rc;
	rc = nfs3_check_name(from);
	if (rc < 0)
		return rc;
	rc = nfs3_check_name(to);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(from) || nfs3_is_dots(to))
		return -EINVAL;
	return view_rename(call->view, &call->cred, call->obj, nfs3_name(from),
			   from->len, call->obj2, nfs3_name(to), to->len,
			   &call->change);
}

uint8_t *nfs3_rename_done(struct call *call, const struct view_done *done,
			  uint8_t *p)
{
	uint32_t export_id = call->info->export_id;

	p = put_u32(p, NFS3_OK);
	p = attr3_put_wcc(p, &done->wcc[0], export_id);
	return attr3_put_wcc(p, &done->wcc[1], export_id);
}

/* RFC 1813 section 3.3.15 */
int nfs3_link(struct call *call)
{
	const LINK3args *args = &call->args.link;
	const filename3 *name = &args->link.name;
	int rc;

	rc = call_second_handle(call, &args->link.dir);
	if (rc < 0)
		return rc;
	rc = nfs3_check_name(name);
	if (rc < 0)
		return rc;
	if (nfs3_is_dots(name))
		return -EEXIST;
	return view_link(call->view, &call->cred, call->obj, call->obj2,
			 nfs3_name(name), name->len, &call->change);
}

uint8_t *nfs3_link_done(struct call *call, const struct view_done *done,
			uint8_t *p)
{
	uint32_t export_id = call->info->export_id;

	p = put_u32(p, NFS3_OK);
	p = attr3_put_post_op(p, &done->attr, export_id);
	return attr3_put_wcc(p, &done->wcc[0], export_id);
}
