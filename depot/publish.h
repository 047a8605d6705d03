/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: write revisions into a depot at rest (design 9), a directory of
 * plain files that any web server, CDN or file share can carry:
 *
 *   depot.json                  root document, written last
 *   tags/NAME.json              tag document of a package (document.h)
 *   revisions/HH/HEX            canonical JSON, HH = first two digits
 *   trees/HH/HEX                tree box
 *   index/TREEHEX-N             where the shards lie, N = 1, 2, ...
 *   packs/HH/HEX                shards in tree order
 *   plans/TREEHEX-N             in which order they are wanted (plan.h), N as
 *                               of the index; may be missing
 *   private/NAME/...            the same of a private package (tree_salt), for
 *                               a web server to guard: tags.json, revisions,
 *                               trees, index, packs; NAME is not in depot.json
 *
 * Content never changes under a name except tags, plans, which are hints, and
 * depot.json.  Order of
 * writing: packs, index, tree, revision, then tags, then depot.json, each file
 * durably replaced; a reader never sees a name that is not there.  A push packs
 * only what no index of the directory lists; an interrupted push leaves packs
 * that nobody names, which the next one writes again.
 */
#ifndef DEPOT_PUBLISH_H
#define DEPOT_PUBLISH_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/digest.h"
#include "depot/tree.h"

enum { PUBLISH_PACK_MAX = 64 << 20 }; /* bytes; a pack ends before it */

struct publish_package {
	const char *name, *tag;
	const char *revision_json; /* canonical */
	struct digest revision;
	struct tree *tree; /* borrows */
	const void *plan;  /* borrows; bytes of plan_write(); NULL: none */
	size_t plan_len;
	/* Who may be given it, of all packages of the name; borrows.  NULL: as
	 * the depot says, everybody when it says nothing. */
	const struct package_entitled *entitled;
};

struct publish {
	const char *dir;
	int level; /* of compression: SHARD_LEVEL_PUBLISH */
	/* A shard of a tree as stored, malloc'ed; 0 or -errno. */
	int (*get_shard)(void *ctx, struct tree *tree, uint32_t shard,
			 void **bytes, size_t *len);
	/* May be NULL. */
	void (*progress)(void *ctx, uint64_t bytes_done, uint64_t bytes_total);
	void *ctx;
	/* out */
	uint32_t packs_new, packs_there, revisions_new;
	uint64_t pack_bytes_new, shards_new, shards_there;
};

/* -EEXIST: a name would be of private and of other packages;
 * -EPROTONOSUPPORT: the directory is a depot of a newer format; -EBADMSG: its
 * documents or indexes are damaged; or an errno of the file system. */
MUST_CHECK int publish_dir(struct publish *publish,
			   const struct publish_package *packages,
			   unsigned int count);

#endif
