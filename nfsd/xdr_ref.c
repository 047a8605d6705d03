/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xdr_ref: XDR fields as references into the record.
 */
#include "nfsd/xdr_ref.h"

void xdr_ref_create(XDR *xdrs, const uint8_t *bytes, size_t len)
{
	ASSERT(len <= UINT32_MAX);

	/* Decoding writes nothing; the cast is for libtirpc's prototype. */
	xdrmem_create(xdrs, (char *)(uintptr_t)bytes, (u_int)len, XDR_DECODE);
	xdrs->x_public = (char *)(uintptr_t)bytes;
}

static bool_t xdr_ref_get(XDR *xdrs, struct xdr_ref *ref, uint32_t len_max)
{
	u_int pos;

	ASSERT(xdrs->x_op == XDR_DECODE && xdrs->x_public);

	if (!xdr_u_int(xdrs, &ref->len) || ref->len > len_max)
		return FALSE;
	pos = xdr_getpos(xdrs);
	/* Rounding must not wrap: a length near 2^32 is no length here. */
	if (ref->len > INT32_MAX ||
	    !xdr_setpos(xdrs, pos + ((ref->len + 3) & ~3u)))
		return FALSE;
	ref->bytes = (const uint8_t *)xdrs->x_public + pos;
	return TRUE;
}

bool_t xdr_nfs_fh3(XDR *xdrs, nfs_fh3 *fh)
{
	return xdr_ref_get(xdrs, fh, NFS3_FHSIZE);
}

bool_t xdr_filename3(XDR *xdrs, filename3 *name)
{
	return xdr_ref_get(xdrs, name, INT32_MAX);
}

bool_t xdr_nfspath3(XDR *xdrs, nfspath3 *path)
{
	return xdr_ref_get(xdrs, path, INT32_MAX);
}

bool_t xdr_write_data3(XDR *xdrs, write_data3 *data)
{
	return xdr_ref_get(xdrs, data, INT32_MAX);
}

bool_t xdr_dirpath3(XDR *xdrs, dirpath3 *path)
{
	return xdr_ref_get(xdrs, path, INT32_MAX);
}
