/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_deb: Debian package files, read by libarchive.  Nothing is unpacked to
 * a disk and no maintainer script runs: the package holds what the files hold.
 */
#ifndef ADMIN_IMPORT_DEB_H
#define ADMIN_IMPORT_DEB_H

#include "admin/import.h"

enum {
	DEB_NAME_MAX = 127,
	DEB_VERSION_MAX = 127,
	DEB_CONTROL_MAX = 1 << 20,
};

struct deb {
	char *path; /* owns */
	char name[DEB_NAME_MAX + 1];
	char version[DEB_VERSION_MAX + 1];
	uint64_t installed_bytes; /* by its own word; 0: not said */
};

struct deb_list {
	struct deb *debs; /* owns */
	size_t count;
};
void deb_list_clear(struct deb_list *list);

/*
 * Read name and version of each file, and sort by them, so that what is made
 * depends on the set alone.  -EBADMSG: one is no Debian package; -ENOENT.
 */
MUST_CHECK int deb_list_read(struct deb_list *list, char *const *paths,
			     size_t count, struct failure *failure);
/* "name=version" of each, sorted, NULL-terminated; one malloc'ed block of
 * pointers and text.  NULL: no memory. */
char **deb_list_closure(const struct deb_list *list);

/* Hand over the content of all, in the list's order.  -EBADMSG: damaged, or
 * with an entry that is refused. */
MUST_CHECK int import_debs(struct import *import, const struct deb_list *list,
			   struct output *out, struct failure *failure);

#endif
