/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attribute: to which software a path of a guest belongs.  NFS shows no
 * process, so this is told from the path alone, by one rule for diff, reset,
 * profiles and removal (design 10):
 *
 *   1. what the operator has said of the path, or of the nearest directory
 *      above it of which something was said;
 *   2. the first package of the selection that has the path;
 *   3. the first one that has the nearest directory above it;
 *   4. nobody: it is unattributed.
 *
 * Directories of the file system hierarchy (the root, etc, usr/bin, home and
 * the like) have many users whichever packages bring them, and so belong to
 * nobody: what is new in one is unattributed.
 *
 * What the operator has said is at 'W' in the state database (record.h):
 *   format:1 count:4, then for each path, in byte order:
 *   path length:2 path, name length:1 package
 *
 * Not thread-safe.  Inside this floor only.
 */
#ifndef OVERLAY_ATTRIBUTE_H
#define OVERLAY_ATTRIBUTE_H

#include "depot/depot.h"
#include "overlay/site.h"

enum {
	ATTRIBUTE_FORMAT = 1,
	ATTRIBUTE_ROWS_MAX = 1024, /* paths of a guest */
	ATTRIBUTE_PATH_MAX = 4096,
	ATTRIBUTE_TREES_MAX = 2 * SITE_SELECTION_MAX,
};

struct attribute_row {
	char *path; /* owns; no slash at either end */
	char package[PACKAGE_NAME_MAX + 1];
};

struct attribute_rows {
	struct attribute_row *row; /* owns; in byte order of paths */
	unsigned int count;
};
void attribute_rows_clear(struct attribute_rows *rows);
/* Malloc'ed value.  -ENOMEM. */
MUST_CHECK int attribute_rows_encode(const struct attribute_rows *rows,
				     uint8_t **value, size_t *len);
/* *rows is empty on failure.  -EBADMSG; -EPROTONOSUPPORT: of a newer format,
 * logged; -ENOMEM. */
MUST_CHECK int attribute_rows_decode(const uint8_t *value, size_t len,
				     struct attribute_rows *rows);
/* Say (package NULL: unsay) whose a path is.  *changed: it was not so before.
 * -ENOSPC: ATTRIBUTE_ROWS_MAX paths; -ENOMEM. */
MUST_CHECK int attribute_rows_set(struct attribute_rows *rows, const char *path,
				  const char *package, bool *changed);

struct attribution {
	struct {
		char name[PACKAGE_NAME_MAX + 1];
		struct tree *tree; /* ref */
	} package[ATTRIBUTE_TREES_MAX];
	unsigned int count;
	struct attribute_rows said;
	/* the last directory that was asked about: */
	char *dir; /* owns; NULL: none */
	const char *dir_package;
};

/* Add a package, behind those that are there, of which there are fewer than
 * ATTRIBUTE_TREES_MAX; refs the tree. */
void attribution_add(struct attribution *a, const char *name,
		     struct tree *tree);
/* The name of the package that `path` (no leading slash) belongs to, borrowed
 * from `a`; NULL: nobody's. */
const char *attribution_of(struct attribution *a, const char *path);
void attribution_clear(struct attribution *a);

#endif
