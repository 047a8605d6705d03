/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: what the objects of a depot at rest are called, relative to its root
 * (publish.h draws them).  The one place that makes these names, for the writer
 * and all readers; made of checked names and digests only, so no path and no
 * URL leaves the depot.
 */
#ifndef DEPOT_LAYOUT_H
#define DEPOT_LAYOUT_H

#include "depot/base.h"
#include "depot/digest.h"

enum { LAYOUT_PATH_MAX = 160 };

struct layout_path {
	char text[LAYOUT_PATH_MAX];
};

#define LAYOUT_ROOT "depot.json"

struct layout_path layout_tags(const char *package); /* depot_name_ok */
struct layout_path layout_revision(const struct digest *revision);
struct layout_path layout_tree(const struct digest *tree);
struct layout_path layout_index(const struct digest *tree, uint32_t number);
struct layout_path layout_pack(const struct digest *pack);

/* Is `file`, a name in index/, the name of an index? */
bool layout_index_parse(const char *file, struct digest *tree,
			uint32_t *number);

/*
 * Files of the host's own store, which is drawn in depot.h: trees/HEX and
 * indexes/HEX below `root`.  Malloc'ed; NULL: no memory.
 */
char *layout_host_tree(const char *root, const struct digest *tree);
char *layout_host_index(const char *root, const struct digest *tree);

#endif
