/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf: what this host has of its depot, in the form of a depot at rest, so
 * that another host can read it as it reads any other (nfsd/peer.h serves it).
 *
 *   depot.json, tags/NAME.json   written here, unsigned: a host is no publisher
 *   revisions/.., trees/..       of every tag that is here
 *   index/TREE-N                 of a tree that was taken over: the index that
 *                                came with it, whatever N is; of one that was
 *                                made here: where its shards would lie in packs
 *                                of which there are none
 *   packs/..                     ranges only: put together from the shards that
 *                                are here
 *
 * Below upstreams/NAME/ it is the depot NAME as this host knows it: depot.json
 * and tags/ are the signed documents as they were last accepted here, byte by
 * byte (papers.h), so that their signatures hold for the reader; the rest is
 * the same as above.  After another package has moved there, its root may ask
 * for a newer document than the one that is here: then the reader refuses it,
 * and asks its next source.
 *
 * A range that touches a shard that is not here, or is here in another form
 * than in that pack, or bytes that belong to no tree of this host, is -ENOENT,
 * so that the reader asks its next source: what is given is right.  Nothing is
 * fetched for others.  Every shard is proved before it is given.
 *
 * Nothing of private packages is shown.
 */
#ifndef DEPOT_SHELF_H
#define DEPOT_SHELF_H

#include "depot/base.h"
#include "depot/depot.h"

struct shelf;

enum { SHELF_RANGE_MAX = 16 << 20 }; /* bytes */

/* depot is borrowed. */
MUST_CHECK int shelf_new(struct depot *depot, struct shelf **shelf);
void shelf_free(struct shelf *shelf); /* takes; NULL allowed */

/*
 * A whole object, malloc'ed; not of packs.  -ENOENT: not here, not to be shown,
 * or no name of an object; -ENOMEM.
 */
MUST_CHECK int shelf_get(struct shelf *shelf, const char *path, void **bytes,
			 size_t *len);
/* `len` (1..SHELF_RANGE_MAX) bytes of a pack from `off` on, malloc'ed.
 * -ENOENT likewise. */
MUST_CHECK int shelf_range(struct shelf *shelf, const char *path, uint64_t off,
			   size_t len, void **bytes);
/* Does the path name a pack? */
bool shelf_is_pack(const char *path);

#endif
