/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xdr_ref: variable-length XDR fields decoded as references.
 *
 * libtirpc's own xdr_bytes() allocates what the wire announces and copies it.
 * These point into the record instead: no allocation, no copy, and nothing to
 * free.  A reference lives as long as the record's bytes.
 *
 * They decode only, from an XDR stream made by xdr_ref_create().
 */
#ifndef NFSD_XDR_REF_H
#define NFSD_XDR_REF_H

/* First: libtirpc brings sys/param.h, which has a MIN and MAX of its own. */
#include "depot/base.h"

#include <rpc/xdr.h>

enum { NFS3_FHSIZE = 64 };

struct xdr_ref {
	const uint8_t *bytes; /* borrows from the record */
	uint32_t len;
};

typedef struct xdr_ref nfs_fh3; /* at most NFS3_FHSIZE bytes */
typedef struct xdr_ref filename3;
typedef struct xdr_ref nfspath3;
typedef struct xdr_ref write_data3;
typedef struct xdr_ref dirpath3;

/* A decoding stream over a record's bytes, which it borrows. */
void xdr_ref_create(XDR *xdrs, const uint8_t *bytes, size_t len);

/* FALSE: the field does not fit in what is left;
 * a handle is longer than NFS3_FHSIZE. */
bool_t xdr_nfs_fh3(XDR *xdrs, nfs_fh3 *fh);
bool_t xdr_filename3(XDR *xdrs, filename3 *name);
bool_t xdr_nfspath3(XDR *xdrs, nfspath3 *path);
bool_t xdr_write_data3(XDR *xdrs, write_data3 *data);
bool_t xdr_dirpath3(XDR *xdrs, dirpath3 *path);

#endif
