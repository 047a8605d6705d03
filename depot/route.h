/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route: which upstreams have the shards of a tree, and where: a cache of what
 * the state database and the files of indexes/ say.  Thread-safe.
 *
 * The upstream that a tree came from is its origin.  Others of this host may
 * have it, too: that is found out when it is needed (fetch.h), and remembered
 * in indexes/HEX.UPSTREAM.  Here a source is a number, given by who asks
 * (fetch_lane.c): what is known of it, for one tree, is one of
 *
 *   unknown   nobody has looked
 *   finding   somebody is looking
 *   absent    it has not got the tree, or no usable index of it; forgotten
 *             after a while
 *   have      its index is here
 */
#ifndef DEPOT_ROUTE_H
#define DEPOT_ROUTE_H

#include "depot/base.h"
#include "depot/index.h"
#include "depot/kv.h"
#include "depot/tree.h"

enum {
	ROUTES_MAX = 256, /* kept while nobody uses them */
	ROUTE_SOURCES_MAX = 64,
};

struct routes;
struct route; /* reference counted */

/* Both are borrowed till routes_free. */
MUST_CHECK int routes_new(struct kv *state, const char *root,
			  struct routes **routes);
void routes_free(struct routes *routes); /* takes routes; NULL allowed */

/* Reads a disk the first time.  -ENOENT: the tree came from no upstream. */
MUST_CHECK int route_get(struct routes *routes, const struct tree *tree,
			 struct route **route);
/* One more reference, and route. */
struct route *route_ref(struct routes *routes, struct route *route);
void route_put(struct routes *routes, struct route *route); /* NULL allowed */
/* A tree was taken over again, perhaps from elsewhere. */
void routes_forget(struct routes *routes, const struct digest *tree);
/* Source `number` is another upstream from now on. */
void routes_forget_source(struct routes *routes, unsigned int number);

const char *route_origin(const struct route *route); /* name of its upstream */
/* The private package below whose directory the shards lie (layout.h); NULL:
 * they are everybody's. */
const char *route_private(const struct route *route);
/* The origin has this number: what is in its index file is its. */
void route_bind_origin(struct routes *routes, struct route *route,
		       unsigned int number);

enum route_state { ROUTE_UNKNOWN, ROUTE_FINDING, ROUTE_ABSENT, ROUTE_HAVE };
/* now_ms: of the caller's clock, as in route_set_absent(). */
enum route_state route_state(struct routes *routes, struct route *route,
			     unsigned int number, uint64_t now_ms);
/* A reference for the caller; NULL: not ROUTE_HAVE. */
struct index *route_index(struct routes *routes, struct route *route,
			  unsigned int number);

void route_set_finding(struct routes *routes, struct route *route,
		       unsigned int number);
void route_set_unknown(struct routes *routes, struct route *route,
		       unsigned int number);
void route_set_absent(struct routes *routes, struct route *route,
		      unsigned int number, uint64_t until_ms);
/* takes index; true: it says something else than the one before. */
bool route_set_index(struct routes *routes, struct route *route,
		     unsigned int number, struct index *index);
/* Nobody has asked this in the last ROUTE_REFRESH_S: a pack that has gone is
 * found by many at once, and one reading of the index serves all.  Jobs that
 * go on failing ask again and again: an index may have been damaged when it
 * was read, and be good by now. */
enum { ROUTE_REFRESH_S = 5 };
bool route_refresh_due(struct routes *routes, struct route *route,
		       unsigned int number);

#endif
