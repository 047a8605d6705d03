/* SPDX-License-Identifier: Apache-2.0 */
/*
 * papers: signed documents of upstreams as they were when this host last
 * accepted them, byte by byte, to be passed on to other hosts (shelf.h), for
 * whom the signatures hold too.  Files below the host's store:
 *
 *   documents/UPSTREAM/depot.json
 *   documents/UPSTREAM/tags/NAME.json
 *
 * Nothing here believes them.
 */
#ifndef DEPOT_PAPERS_H
#define DEPOT_PAPERS_H

#include "depot/base.h"

/* path: LAYOUT_ROOT, or layout_tags() of what is everybody's.  Replaced
 * durably.  Logs. */
MUST_CHECK int papers_keep(const char *root, const char *upstream,
			   const char *path, const void *text, size_t len);
/* Malloc'ed, a NUL added; -ENOENT. */
MUST_CHECK int papers_read(const char *root, const char *upstream,
			   const char *path, void **text, size_t *len);

#endif
