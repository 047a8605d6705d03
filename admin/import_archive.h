/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_archive: entries of a tar that libarchive reads become objects of an
 * import: what import_deb.c, import_tar.c and import_oci.c share.
 */
#ifndef ADMIN_IMPORT_ARCHIVE_H
#define ADMIN_IMPORT_ARCHIVE_H

#include "admin/import.h"

struct archive;
struct archive_entry;

struct import_archive {
	struct archive *archive; /* borrows */
	const char *path;        /* borrows; the file, for messages */
	const char *what;        /* borrows; what it is not, when it fails */
	struct failure *failure;
};

/* A reader of tar in any compression Debian knows; NULL: no memory. */
struct archive *import_archive_new(void);

/* -EBADMSG, said: "PATH is no whole WHAT: cause" (NULL: libarchive's word). */
int import_archive_bad(const struct import_archive *from, const char *cause);

/* 1: *entry is the next; 0: the end; -EBADMSG; -EINTR: interrupted (said). */
MUST_CHECK int import_archive_next(const struct import_archive *from,
				   struct archive_entry **entry);

/* Its name as bytes, NULL: it has none. */
const char *import_archive_name(struct archive_entry *entry);

/* Hand it over: attributes, bytes, extended attributes. */
MUST_CHECK int import_archive_entry(const struct import_archive *from,
				    struct import *import,
				    struct archive_entry *entry);

/*
 * The same of a layer, in which "dir/.wh.NAME" deletes dir/NAME of what lies
 * below and "dir/.wh..wh..opq" all of dir (OCI image specification).
 */
#define IMPORT_WHITEOUT_PREFIX ".wh."
#define IMPORT_OPAQUE_NAME     ".wh..wh..opq"
MUST_CHECK int import_archive_layer_entry(const struct import_archive *from,
					  struct import *import,
					  struct archive_entry *entry);

#endif
