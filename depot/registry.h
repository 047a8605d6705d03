/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry: the rows of the state database that this floor owns, as structs:
 * tags, revisions, upstreams, and where trees came from.  Keys and values are
 * drawn in store.h.  No state of its own; -EBADMSG: a row is damaged.
 */
#ifndef DEPOT_REGISTRY_H
#define DEPOT_REGISTRY_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/kv.h"

/* Write what a batch holds, durably. */
MUST_CHECK int registry_commit(struct kv *state, struct kv_batch *batch);

struct registry_tag {
	char name[PACKAGE_NAME_MAX + 1];
	char tag[TAG_NAME_MAX + 1];
	struct digest revision, tree;
	int64_t time_sec;
	char upstream[PACKAGE_NAME_MAX + 1]; /* "" when made here */
};
MUST_CHECK int registry_tag_get(struct kv *state, const char *name,
				const char *tag, struct registry_tag *row);
void registry_tag_put(struct kv_batch *batch, const struct registry_tag *row);
void registry_tag_delete(struct kv_batch *batch, const char *name,
			 const char *tag);
/* By name, then tag; visit returns non-zero to stop, which is returned.  name
 * NULL: of all packages. */
MUST_CHECK int registry_tag_list(struct kv *state, const char *name,
				 int (*visit)(void *ctx,
					      const struct registry_tag *row),
				 void *ctx);

/* Canonical JSON, malloc'ed; -ENOENT; -EBADMSG: not what its digest says. */
MUST_CHECK int registry_revision_get(struct kv *state,
				     const struct digest *revision,
				     char **json);
void registry_revision_put(struct kv_batch *batch,
			   const struct digest *revision, const char *json);
void registry_revision_delete(struct kv_batch *batch,
			      const struct digest *revision);
/* All of them, not proved: json is borrowed for the call, and has no NUL. */
MUST_CHECK int
registry_revision_list(struct kv *state,
		       int (*visit)(void *ctx, const struct digest *revision,
				    const char *json, size_t len),
		       void *ctx);

/* Where a tree came from; -ENOENT: made here. */
struct registry_origin {
	char upstream[PACKAGE_NAME_MAX + 1];
	char package[PACKAGE_NAME_MAX + 1]; /* of a private tree; else "" */
	uint64_t sequence;
};
MUST_CHECK int registry_origin_get(struct kv *state, const struct digest *tree,
				   struct registry_origin *row);
void registry_origin_put(struct kv_batch *batch, const struct digest *tree,
			 const struct registry_origin *row);
void registry_origin_delete(struct kv_batch *batch, const struct digest *tree);

/* Pinned trees: none of their shards is evicted. */
bool registry_pin_get(struct kv *state, const struct digest *tree);
void registry_pin_put(struct kv_batch *batch, const struct digest *tree,
		      int64_t time_sec);
void registry_pin_delete(struct kv_batch *batch, const struct digest *tree);
MUST_CHECK int registry_pin_list(struct kv *state,
				 int (*visit)(void *ctx,
					      const struct digest *tree),
				 void *ctx);

struct registry_upstream {
	char name[PACKAGE_NAME_MAX + 1];
	char url[UPSTREAM_URL_MAX + 1];
	bool is_unsigned;
	struct upstream_access access;
};
void registry_upstream_put(struct kv_batch *batch,
			   const struct registry_upstream *row);
void registry_upstream_delete(struct kv_batch *batch, const char *name);
MUST_CHECK int registry_upstream_list(
    struct kv *state,
    int (*visit)(void *ctx, const struct registry_upstream *row), void *ctx);

#endif
