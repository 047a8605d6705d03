/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route: which upstream has the shards of a tree, and where: a cache of what
 * the state database and indexes/HEX say.  Thread-safe.
 */
#ifndef DEPOT_ROUTE_H
#define DEPOT_ROUTE_H

#include "depot/base.h"
#include "depot/index.h"
#include "depot/kv.h"
#include "depot/tree.h"

enum { ROUTES_MAX = 256 }; /* kept while nobody uses them */

struct routes;
struct route; /* reference counted */

/* Both are borrowed till routes_free. */
MUST_CHECK int routes_new(struct kv *state, const char *root,
			  struct routes **routes);
void routes_free(struct routes *routes); /* takes routes; NULL allowed */

/* Reads a disk the first time.  -ENOENT: the tree came from no upstream. */
MUST_CHECK int route_get(struct routes *routes, const struct tree *tree,
			 struct route **route);
void route_put(struct routes *routes, struct route *route); /* NULL allowed */

const char *route_upstream(const struct route *route);
/* The private package below whose directory the shards lie (layout.h); NULL:
 * they are everybody's. */
const char *route_private(const struct route *route);
/* Do both have the same? */
bool route_same_scope(const struct route *a, const struct route *b);
/* false: no index is here (any more): take_index_again(). */
bool route_place(struct routes *routes, struct route *route, uint32_t shard,
		 struct index_place *place);
/* takes index; true: it says something else than the one before. */
bool route_set_index(struct routes *routes, struct route *route,
		     struct index *index);
/* Nobody has asked this in the last ROUTE_REFRESH_S: a pack that has gone is
 * found by many at once, and one reading of the index serves all.  Jobs that
 * go on failing ask again and again: an index may have been damaged when it
 * was read, and be good by now. */
enum { ROUTE_REFRESH_S = 5 };
bool route_refresh_due(struct routes *routes, struct route *route);
/* A tree was taken over again, perhaps from elsewhere. */
void routes_forget(struct routes *routes, const struct digest *tree);

#endif
