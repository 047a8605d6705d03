/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_xdr: arbitrary bytes as the arguments of each procedure of NFS and of
 * MOUNT.
 *
 * Input: which procedure, then the bytes.
 *
 * Promises: no more is taken than there is, and all references lie within it;
 * what is taken says, encoded, as many bytes as were read and the same ones
 * but for padding and for truths other than 1; decoded again it is equal.
 *
 * The decoders of references (xdr_ref.c) only decode.  Here the real ones are
 * compiled in under other names, and theirs go to an encoder when encoding.
 */
#define xdr_nfs_fh3     fuzz_real_nfs_fh3
#define xdr_filename3   fuzz_real_filename3
#define xdr_nfspath3    fuzz_real_nfspath3
#define xdr_write_data3 fuzz_real_write_data3
#define xdr_dirpath3    fuzz_real_dirpath3
#include "nfsd/xdr_ref.c"
#undef xdr_nfs_fh3
#undef xdr_filename3
#undef xdr_nfspath3
#undef xdr_write_data3
#undef xdr_dirpath3

#include "nfsd/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FUZZ_XDR_MAX = 4096 };

bool_t xdr_nfs_fh3(XDR *xdrs, nfs_fh3 *fh);
bool_t xdr_filename3(XDR *xdrs, filename3 *name);
bool_t xdr_nfspath3(XDR *xdrs, nfspath3 *path);
bool_t xdr_write_data3(XDR *xdrs, write_data3 *data);
bool_t xdr_dirpath3(XDR *xdrs, dirpath3 *path);

/* What the references of one decoding must lie within. */
static const uint8_t *fuzz_begin, *fuzz_end;

static bool_t fuzz_ref(XDR *xdrs, struct xdr_ref *ref,
		       bool_t (*real)(XDR *, struct xdr_ref *))
{
	if (xdrs->x_op == XDR_ENCODE)
		return xdr_u_int(xdrs, &ref->len) &&
		       xdr_opaque(xdrs, (char *)(uintptr_t)ref->bytes,
				  ref->len);
	if (!real(xdrs, ref))
		return FALSE;
	ASSERT(ref->bytes >= fuzz_begin && ref->bytes <= fuzz_end);
	ASSERT(ref->len <= (size_t)(fuzz_end - ref->bytes));
	return TRUE;
}

bool_t xdr_nfs_fh3(XDR *xdrs, nfs_fh3 *fh)
{
	bool_t taken = fuzz_ref(xdrs, fh, fuzz_real_nfs_fh3);

	ASSERT(!taken || fh->len <= NFS3_FHSIZE);
	return taken;
}

bool_t xdr_filename3(XDR *xdrs, filename3 *name)
{
	return fuzz_ref(xdrs, name, fuzz_real_filename3);
}

bool_t xdr_nfspath3(XDR *xdrs, nfspath3 *path)
{
	return fuzz_ref(xdrs, path, fuzz_real_nfspath3);
}

bool_t xdr_write_data3(XDR *xdrs, write_data3 *data)
{
	return fuzz_ref(xdrs, data, fuzz_real_write_data3);
}

bool_t xdr_dirpath3(XDR *xdrs, dirpath3 *path)
{
	return fuzz_ref(xdrs, path, fuzz_real_dirpath3);
}

/* false: not taken; *used: bytes read. */
static bool fuzz_decode(const struct procedure *procedure, const uint8_t *bytes,
			size_t len, union call_args *args, size_t *used)
{
	XDR xdrs;

	fuzz_begin = bytes;
	fuzz_end = bytes + len;
	memset(args, 0, sizeof(*args));
	xdr_ref_create(&xdrs, bytes, len);
	if (!procedure->decode(&xdrs, args))
		return false;
	*used = xdr_getpos(&xdrs);
	ASSERT(*used <= len && *used % 4 == 0);
	return true;
}

static size_t fuzz_encode(const struct procedure *procedure,
			  union call_args *args, uint8_t *out)
{
	XDR xdrs;

	xdrmem_create(&xdrs, (char *)out, FUZZ_XDR_MAX, XDR_ENCODE);
	ASSERT(procedure->decode(&xdrs, args));
	return xdr_getpos(&xdrs);
}

static const struct procedure *fuzz_procedure(unsigned int number)
{
	const struct program *nfs = program_find(NFS3_PROGRAM);
	const struct program *mount = program_find(MOUNT3_PROGRAM);

	ASSERT(nfs && nfs->procedure_count == NFS3_PROC_COUNT);
	number %= NFS3_PROC_COUNT + MOUNT3_PROC_COUNT;
	return number < NFS3_PROC_COUNT
		   ? &nfs->procedure[number]
		   : &mount->procedure[number - NFS3_PROC_COUNT];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t once[FUZZ_XDR_MAX], twice[FUZZ_XDR_MAX];
	const struct procedure *procedure;
	size_t used, once_len, twice_len;
	union call_args args, again;
	uint8_t *copy;

	if (len < 1 || len > FUZZ_XDR_MAX)
		return 0;
	procedure = fuzz_procedure(data[0]);
	if (!procedure->decode)
		return 0;
	/* Exactly as long, so that sanitizers see an overrun. */
	copy = malloc(len > 1 ? len - 1 : 1);
	ASSERT(copy);
	memcpy(copy, data + 1, len - 1);
	if (fuzz_decode(procedure, copy, len - 1, &args, &used)) {
		once_len = fuzz_encode(procedure, &args, once);
		ASSERT(once_len == used);
		ASSERT(fuzz_decode(procedure, once, once_len, &again, &used));
		ASSERT(used == once_len);
		twice_len = fuzz_encode(procedure, &again, twice);
		ASSERT(twice_len == once_len);
		ASSERT(memcmp(once, twice, once_len) == 0);
		/* One byte less is too little. */
		ASSERT(
		    !fuzz_decode(procedure, once, once_len - 1, &again, &used));
	}
	free(copy);
	return 0;
}
