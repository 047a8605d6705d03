/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_inside: one push, for the files that make it: publish.c (packs,
 * indexes, trees, revisions: what others do not see yet), publish_final.c (tags
 * and root document), publish_verify.c (packs that are there).
 */
#ifndef DEPOT_PUBLISH_INSIDE_H
#define DEPOT_PUBLISH_INSIDE_H

#include "depot/document.h"
#include "depot/publish.h"
#include "depot/publish_known.h"
#include "depot/publish_lock.h"
#include "depot/publish_pack.h"
#include "depot/publish_target.h"

/* What lies in one place: everybody's, or a private package's own. */
struct push_scope {
	struct publish_known *known; /* owns */
	struct publish_pack pack;    /* owns */
};

struct push {
	struct publish *publish;                /* borrows */
	struct publish_target *target;          /* borrows */
	const struct publish_package *packages; /* borrows */
	unsigned int count;
	struct root_doc root; /* owns; as found last */
	bool root_there;
	struct push_scope *scopes; /* owns */
	unsigned int scope_count;
	uint32_t *indexes; /* owns; number of each package's index */
	uint64_t bytes_done, bytes_total;
};

/* The name of a private package, NULL of one that is everybody's. */
const char *push_private(const struct publish_package *package);
bool push_same_scope(const char *a, const char *b);

/* A shard as we would pack it, malloc'ed. */
MUST_CHECK int push_seal(struct push *push, struct tree *tree, uint32_t shard,
			 void **bytes, size_t *len);

/* --- publish_final.c ----------------------------------------------------- */

/* Reads the root document into push->root; one that is signed otherwise than
 * this push would is -EPERM (logged). */
MUST_CHECK int push_read_root(struct push *push);
/* Tags, then root, under the lock.  -ESTALE: packs that were there are gone:
 * start again. */
MUST_CHECK int push_final(struct push *push);

/* --- publish_verify.c ---------------------------------------------------- */

/* Prove all packs of a scope; mend what can be mended in its place, and take
 * the other bad shards for missing. */
MUST_CHECK int push_verify(struct push *push, struct push_scope *scope);

#endif
