/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status3: the one place where an errno becomes an nfsstat3.
 *
 * RFC 1813 lists for each procedure what it may return, and clients handle
 * what is listed.  A status that the procedure must not return becomes its
 * nearest listed one, at last NFS3ERR_IO.
 */
#ifndef NFSD_STATUS3_H
#define NFSD_STATUS3_H

#include "depot/base.h"
#include "gen/nfs3.h"
#include "nfsd/program.h"

/* rc is -errno.  -EBADF: BADHANDLE; -ESTALE: STALE; -EAGAIN: the guard of
 * SETATTR failed (NOT_SYNC), in any other procedure JUKEBOX. */
nfsstat3 status3_of(int rc, enum nfs3_proc proc);

/* May the procedure return it?  For tests. */
bool status3_allowed(nfsstat3 status, enum nfs3_proc proc);

#endif
