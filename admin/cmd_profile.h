/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_profile: what the files of `vdrive profile` share.
 *
 * A profile is a package revision of the host's depot, tagged
 * CONTROL_PROFILE_TAG (nfsd/control.h), whose revision says in "records":
 *
 *   "profile": ["1"]              its format
 *   "over": ["acme:4.2 sha256:HEX", ...]  the packages whose files it changes
 *   "base": ["M ID PATH", ...]    what these had at its paths: the change, the
 *                                 content-and-attribute id (depot/tree.h) in 16
 *                                 digits, the path (control_path_escape); what
 *                                 is not listed had nothing there
 *
 * Its tree has the rest: files whole, deletions as whiteouts.  So the depot
 * keeps, proves and collects it as it does packages.
 */
#ifndef ADMIN_CMD_PROFILE_H
#define ADMIN_CMD_PROFILE_H

#include "admin/cmd.h"

enum { PROFILE_FORMAT = 1, PROFILE_REF_MAX = PACKAGE_NAME_MAX + 16 };

/* "NAME:profile"; -EINVAL, said: it is no name. */
MUST_CHECK int profile_ref(struct cli *cli, const char *name,
			   char ref[PROFILE_REF_MAX]);
/* The package that the profile is, as /v1/package answers, with "records" from
 * its revision beside it; the caller's reference.  -ENOENT, said with another
 * that may be meant; what else the daemon answers, said. */
MUST_CHECK int profile_get(struct cli *cli, const char *name, json_t **json);
/* "acme:4.2, db:1" of its records; malloc'ed.  NULL: no memory. */
char *profile_over(const json_t *records);
/* The guests that have it, an array of "tenant/guest", the caller's reference.
 * What the daemon answers, said; -ENOMEM. */
MUST_CHECK int profile_guests(struct cli *cli, const char *name,
			      json_t **guests);

#endif
