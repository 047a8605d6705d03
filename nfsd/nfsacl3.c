/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsacl3: GETACL.  There are no ACLs here but what the mode says, and that is
 * what is answered, as Solaris and Linux do for a file without one.
 *
 * Why at all: Linux' overlayfs asks the file system of a layer for its ACLs
 * whenever anybody but the owner uses a file, and takes a server that does not
 * know the program for an error: without this a program of a user of its own
 * (a database, a web server's workers) can't open a file of the drive below an
 * overlay, not even /bin/sh.
 */
#include "nfsd/handlers.h"

#include <sys/stat.h>

#include "nfsd/attr3.h"
#include "nfsd/rpc.h"
#include "nfsd/wirebytes.h"

enum {
	NFSACL_ACCESS = 1,       /* the mask: the ACL, */
	NFSACL_ACCESS_COUNT = 2, /* only how many entries it has, */
	NFSACL_DEFAULT = 4,      /* and the same of a directory's default */
	NFSACL_DEFAULT_COUNT = 8,
	NFSACL_ALL = 15,

	NFSACL_USER_OBJ = 1, /* tags of entries */
	NFSACL_GROUP_OBJ = 4,
	NFSACL_MASK = 16,
	NFSACL_OTHER = 32,

	NFSACL_ENTRIES = 4, /* the least that an ACL has on the wire */
};

static uint8_t *nfsacl3_put_entry(uint8_t *p, uint32_t tag, uint32_t id,
				  uint32_t perm)
{
	p = put_u32(p, tag);
	p = put_u32(p, id);
	return put_u32(p, perm & 7);
}

/* Number of entries, then those that were asked for: an array. */
static uint8_t *nfsacl3_put_access(uint8_t *p, const struct view_attr *attr,
				   uint32_t mask)
{
	uint32_t group = attr->mode >> 3;

	p = put_u32(p, NFSACL_ENTRIES);
	if (!(mask & NFSACL_ACCESS))
		return put_u32(p, 0);
	p = put_u32(p, NFSACL_ENTRIES);
	p = nfsacl3_put_entry(p, NFSACL_USER_OBJ, attr->uid, attr->mode >> 6);
	p = nfsacl3_put_entry(p, NFSACL_GROUP_OBJ, attr->gid, group);
	p = nfsacl3_put_entry(p, NFSACL_MASK, 0, group);
	return nfsacl3_put_entry(p, NFSACL_OTHER, 0, attr->mode);
}

/* No RFC: fs/nfs_common/nfsacl.c and fs/nfsd/nfs3acl.c of Linux. */
int nfsacl3_getacl(struct call *call)
{
	uint32_t mask = call->args.access.access & NFSACL_ALL;
	struct view_attr attr;
	uint8_t *p;
	int rc;

	rc = view_getattr(call->view, call->obj, &attr);
	if (rc < 0)
		return rc;
	p = put_u32(call->body, NFS3_OK);
	p = attr3_put_post_op(p, &attr, call->info->export_id);
	p = put_u32(p, mask);
	p = nfsacl3_put_access(p, &attr, mask);
	p = put_u32(p, 0);         /* a default ACL: none, */
	call->end = put_u32(p, 0); /* an empty array */
	return 0;
}
