/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers: all procedures, by the file they are in.
 *
 * A handler is called with arguments decoded and, where they begin with a
 * handle, with call->view, call->info, call->obj and the squashed call->cred
 * set.  What it returns: struct procedure in program.h.  A *_done function
 * encodes the successful reply of a call that changed something; it runs under
 * the view's lock and must call nothing of the view.
 */
#ifndef NFSD_HANDLERS_H
#define NFSD_HANDLERS_H

#include "depot/base.h"

struct call;
struct view_done;

/* nfs3_attr.c */
int nfs3_getattr(struct call *call);
int nfs3_setattr(struct call *call);
int nfs3_access(struct call *call);
int nfs3_fsstat(struct call *call);
int nfs3_fsinfo(struct call *call);
int nfs3_pathconf(struct call *call);
uint8_t *nfs3_wcc_done(struct call *call, const struct view_done *done,
		       uint8_t *p); /* SETATTR REMOVE RMDIR */

/* nfs3_name.c */
int nfs3_lookup(struct call *call);
int nfs3_readlink(struct call *call);
int nfs3_create(struct call *call);
int nfs3_mkdir(struct call *call);
int nfs3_symlink(struct call *call);
int nfs3_mknod(struct call *call);
int nfs3_remove(struct call *call);
int nfs3_rmdir(struct call *call);
int nfs3_rename(struct call *call);
int nfs3_link(struct call *call);
uint8_t *nfs3_made_done(struct call *call, const struct view_done *done,
			uint8_t *p); /* CREATE MKDIR SYMLINK MKNOD */
uint8_t *nfs3_rename_done(struct call *call, const struct view_done *done,
			  uint8_t *p);
uint8_t *nfs3_link_done(struct call *call, const struct view_done *done,
			uint8_t *p);

/* nfs3_readdir.c */
int nfs3_readdir(struct call *call);
int nfs3_readdirplus(struct call *call);

/* nfs3_io.c */
int nfs3_read(struct call *call);
int nfs3_write(struct call *call);
int nfs3_commit(struct call *call);
uint8_t *nfs3_write_done(struct call *call, const struct view_done *done,
			 uint8_t *p);
uint8_t *nfs3_commit_done(struct call *call, const struct view_done *done,
			  uint8_t *p);

/* nfsacl3.c */
int nfsacl3_getacl(struct call *call);

/* mount3.c */
int mount3_mnt(struct call *call);
int mount3_dump(struct call *call);
int mount3_umnt(struct call *call);
int mount3_export(struct call *call);

#endif
