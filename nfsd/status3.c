/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status3: RFC 1813's ERRORS lists as one table of bits.
 *
 * Beyond the lists, because clients know them and a user is told more: PERM
 * where a sticky directory or an ownership rule refuses (RFC 1813 2.6 gives it
 * that meaning), INVAL for names that cannot be, FBIG where SETATTR or CREATE
 * set a size, ISDIR of REMOVE, MLINK where a directory gains a child.  JUKEBOX
 * is allowed everywhere: section 2.6 gives it to any call.
 */
#include "nfsd/status3.h"

enum {
	S_PERM = 1 << 0,
	S_NOENT = 1 << 1,
	S_NXIO = 1 << 2,
	S_ACCES = 1 << 3,
	S_EXIST = 1 << 4,
	S_XDEV = 1 << 5,
	S_NOTDIR = 1 << 6,
	S_ISDIR = 1 << 7,
	S_INVAL = 1 << 8,
	S_FBIG = 1 << 9,
	S_NOSPC = 1 << 10,
	S_ROFS = 1 << 11,
	S_MLINK = 1 << 12,
	S_NAMETOOLONG = 1 << 13,
	S_NOTEMPTY = 1 << 14,
	S_DQUOT = 1 << 15,
	S_NOT_SYNC = 1 << 16,
	S_BAD_COOKIE = 1 << 17,
	S_NOTSUPP = 1 << 18,
	S_TOOSMALL = 1 << 19,
	S_BADTYPE = 1 << 20,
	S_ALWAYS = 1 << 21, /* OK IO STALE BADHANDLE SERVERFAULT JUKEBOX */

	S_SPACE = S_NOSPC | S_DQUOT | S_ROFS,
	S_MAKE = S_ACCES | S_EXIST | S_NOTDIR | S_NAMETOOLONG | S_NOTSUPP |
		 S_SPACE | S_INVAL | S_PERM | S_MLINK | S_NOENT,
};

static const uint32_t status3_table[NFS3_PROC_COUNT] = {
    [NFS3_GETATTR] = 0,
    [NFS3_SETATTR] = S_PERM | S_ACCES | S_INVAL | S_SPACE | S_NOT_SYNC | S_FBIG,
    [NFS3_LOOKUP] = S_NOENT | S_ACCES | S_NOTDIR | S_NAMETOOLONG | S_INVAL,
    [NFS3_ACCESS] = 0,
    [NFS3_READLINK] = S_INVAL | S_ACCES | S_NOTSUPP,
    [NFS3_READ] = S_NXIO | S_ACCES | S_INVAL,
    [NFS3_WRITE] = S_ACCES | S_FBIG | S_SPACE | S_INVAL,
    [NFS3_CREATE] = S_MAKE | S_FBIG | S_ISDIR,
    [NFS3_MKDIR] = S_MAKE,
    [NFS3_SYMLINK] = S_MAKE,
    [NFS3_MKNOD] = S_MAKE | S_BADTYPE,
    [NFS3_REMOVE] = S_NOENT | S_ACCES | S_NOTDIR | S_NAMETOOLONG | S_ROFS |
		    S_ISDIR | S_PERM | S_INVAL,
    [NFS3_RMDIR] = S_NOENT | S_ACCES | S_INVAL | S_EXIST | S_NOTDIR |
		   S_NAMETOOLONG | S_ROFS | S_NOTEMPTY | S_NOTSUPP | S_PERM,
    [NFS3_RENAME] = S_MAKE | S_XDEV | S_ISDIR | S_NOTEMPTY,
    [NFS3_LINK] = S_MAKE | S_XDEV,
    [NFS3_READDIR] = S_ACCES | S_NOTDIR | S_BAD_COOKIE | S_TOOSMALL,
    [NFS3_READDIRPLUS] =
	S_ACCES | S_NOTDIR | S_BAD_COOKIE | S_TOOSMALL | S_NOTSUPP,
    [NFS3_FSSTAT] = 0,
    [NFS3_FSINFO] = 0,
    [NFS3_PATHCONF] = 0,
    [NFS3_COMMIT] = 0,
};

struct status3_row {
	int error;
	nfsstat3 status;
	uint32_t bit;
	nfsstat3 otherwise; /* where the procedure may not return status */
	uint32_t otherwise_bit;
};

static const struct status3_row status3_rows[] = {
    {EPERM, NFS3ERR_PERM, S_PERM, NFS3ERR_ACCES, S_ACCES},
    {ENOENT, NFS3ERR_NOENT, S_NOENT, NFS3ERR_STALE, S_ALWAYS},
    {EIO, NFS3ERR_IO, S_ALWAYS, NFS3ERR_IO, S_ALWAYS},
    {ENXIO, NFS3ERR_NXIO, S_NXIO, NFS3ERR_IO, S_ALWAYS},
    {EACCES, NFS3ERR_ACCES, S_ACCES, NFS3ERR_IO, S_ALWAYS},
    {EEXIST, NFS3ERR_EXIST, S_EXIST, NFS3ERR_IO, S_ALWAYS},
    {EXDEV, NFS3ERR_XDEV, S_XDEV, NFS3ERR_INVAL, S_INVAL},
    {ENOTDIR, NFS3ERR_NOTDIR, S_NOTDIR, NFS3ERR_INVAL, S_INVAL},
    {EISDIR, NFS3ERR_ISDIR, S_ISDIR, NFS3ERR_INVAL, S_INVAL},
    {EINVAL, NFS3ERR_INVAL, S_INVAL, NFS3ERR_IO, S_ALWAYS},
    {EFBIG, NFS3ERR_FBIG, S_FBIG, NFS3ERR_INVAL, S_INVAL},
    {EOVERFLOW, NFS3ERR_FBIG, S_FBIG, NFS3ERR_INVAL, S_INVAL},
    {ENOSPC, NFS3ERR_NOSPC, S_NOSPC, NFS3ERR_JUKEBOX, S_ALWAYS},
    {EROFS, NFS3ERR_ROFS, S_ROFS, NFS3ERR_ACCES, S_ACCES},
    {EMLINK, NFS3ERR_MLINK, S_MLINK, NFS3ERR_NOSPC, S_NOSPC},
    {ENAMETOOLONG, NFS3ERR_NAMETOOLONG, S_NAMETOOLONG, NFS3ERR_INVAL, S_INVAL},
    {ENOTEMPTY, NFS3ERR_NOTEMPTY, S_NOTEMPTY, NFS3ERR_EXIST, S_EXIST},
    {EDQUOT, NFS3ERR_DQUOT, S_DQUOT, NFS3ERR_JUKEBOX, S_ALWAYS},
    {ESTALE, NFS3ERR_STALE, S_ALWAYS, NFS3ERR_IO, S_ALWAYS},
    {EBADF, NFS3ERR_BADHANDLE, S_ALWAYS, NFS3ERR_IO, S_ALWAYS},
    {EAGAIN, NFS3ERR_NOT_SYNC, S_NOT_SYNC, NFS3ERR_JUKEBOX, S_ALWAYS},
    {EBUSY, NFS3ERR_JUKEBOX, S_ALWAYS, NFS3ERR_JUKEBOX, S_ALWAYS},
    {ETIMEDOUT, NFS3ERR_JUKEBOX, S_ALWAYS, NFS3ERR_IO, S_ALWAYS},
    {ENOMEM, NFS3ERR_JUKEBOX, S_ALWAYS, NFS3ERR_IO, S_ALWAYS},
    {EOPNOTSUPP, NFS3ERR_NOTSUPP, S_NOTSUPP, NFS3ERR_INVAL, S_INVAL},
    {ENOSYS, NFS3ERR_NOTSUPP, S_NOTSUPP, NFS3ERR_INVAL, S_INVAL},
    {EMSGSIZE, NFS3ERR_TOOSMALL, S_TOOSMALL, NFS3ERR_INVAL, S_INVAL},
    {EPROTOTYPE, NFS3ERR_BADTYPE, S_BADTYPE, NFS3ERR_INVAL, S_INVAL},
};

nfsstat3 status3_of(int rc, enum nfs3_proc proc)
{
	uint32_t allowed;

	ASSERT(rc <= 0 && proc < NFS3_PROC_COUNT);

	if (rc == 0)
		return NFS3_OK;
	allowed = status3_table[proc] | S_ALWAYS;
	for (size_t i = 0; i < ARRAY_LEN(status3_rows); i++) {
		const struct status3_row *row = &status3_rows[i];

		if (row->error != -rc)
			continue;
		if (row->bit & allowed)
			return row->status;
		if (row->otherwise_bit & allowed)
			return row->otherwise;
		break;
	}
	return NFS3ERR_IO;
}

bool status3_allowed(nfsstat3 status, enum nfs3_proc proc)
{
	ASSERT(proc < NFS3_PROC_COUNT);

	if (status == NFS3_OK || status == NFS3ERR_SERVERFAULT)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(status3_rows); i++) {
		const struct status3_row *row = &status3_rows[i];
		uint32_t allowed = status3_table[proc] | S_ALWAYS;

		if ((row->status == status && (row->bit & allowed)) ||
		    (row->otherwise == status &&
		     (row->otherwise_bit & allowed)))
			return true;
	}
	return false;
}
