/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_tar: a tar file, plain or compressed by gzip, bzip2, xz, lzma or zstd.
 * Names that begin with "/" are taken as below the root; ".." is refused.
 */
#ifndef ADMIN_IMPORT_TAR_H
#define ADMIN_IMPORT_TAR_H

#include "admin/import.h"

/* -ENOENT and such: cannot be opened; -EBADMSG: no whole tar, or with an entry
 * that is refused. */
MUST_CHECK int import_tar(struct import *import, const char *path,
			  struct failure *failure);

#endif
