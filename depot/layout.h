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

enum { LAYOUT_PATH_MAX = 192 };

struct layout_path {
	char text[LAYOUT_PATH_MAX];
};

#define LAYOUT_ROOT   "depot.json"
#define LAYOUT_UNUSED "unused.json"
#define LAYOUT_LOCK   "publisher.lock"

/*
 * What belongs to a private package lies below private/NAME/, whatever it is,
 * so that one rule of a web server's guards all of it.  Each name is asked for
 * with its scope: `private` is the name of the private package (depot_name_ok),
 * NULL for what is everybody's.
 */
/* Of NULL: tags/PACKAGE.json; else private/PRIVATE/tags.json. */
struct layout_path layout_tags(const char *private, const char *package);
struct layout_path layout_revision(const char *private,
				   const struct digest *revision);
struct layout_path layout_tree(const char *private, const struct digest *tree);
struct layout_path layout_index(const char *private, const struct digest *tree,
				uint32_t number);
/* The plan of a tree is named like the index that its tag names. */
struct layout_path layout_plan(const char *private, const struct digest *tree,
			       uint32_t number);
struct layout_path layout_pack(const char *private, const struct digest *pack);
/* index, or private/PRIVATE/index. */
struct layout_path layout_index_dir(const char *private);

/* Is `file`, a name in index/, the name of an index? */
bool layout_index_parse(const char *file, struct digest *tree,
			uint32_t *number);

/*
 * Files of the host's own store, which is drawn in depot.h: trees/HEX and
 * indexes/HEX below `root`.  Malloc'ed; NULL: no memory.
 */
char *layout_host_tree(const char *root, const struct digest *tree);
char *layout_host_index(const char *root, const struct digest *tree);
/* indexes/HEX.UPSTREAM: of one that the tree did not come from. */
char *layout_host_index_of(const char *root, const struct digest *tree,
			   const char *upstream);

#endif
