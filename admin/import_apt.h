/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_apt: names of Debian packages to .deb files, by asking apt-get what an
 * empty system would need and letting it download that.  Nothing is installed
 * and no state of apt's changes.
 */
#ifndef ADMIN_IMPORT_APT_H
#define ADMIN_IMPORT_APT_H

#include "admin/output.h"
#include "depot/base.h"

enum { APT_PACKAGES_MAX = 4096 };

struct apt_item {
	char *name, *version; /* own */
};

struct apt_fetch {
	struct apt_item *items; /* owns */
	size_t count;
	char **paths;	/* owns; of the .deb files, count of them */
	char *dir;	/* owns; where they are downloaded to */
	bool dir_is_ours; /* temporary: removed by apt_fetch_clear */
};

/*
 * The packages named and all they depend on, as files.  They go to
 * $VDRIVE_DEB_CACHE when that is set, and files that are there are not
 * downloaded again; else to a temporary directory.
 */
MUST_CHECK int apt_fetch(struct apt_fetch *fetch, char *const *names,
			 size_t count, struct output *out,
			 struct failure *failure);
void apt_fetch_clear(struct apt_fetch *fetch);

/* What apt-get -s prints into items; for apt_fetch, and tests. -EBADMSG. */
MUST_CHECK int apt_parse_simulation(struct apt_fetch *fetch, const char *text);
/* A package's name or name=version, and nothing that apt would take for an
 * option. */
bool apt_name_ok(const char *name);

#endif
