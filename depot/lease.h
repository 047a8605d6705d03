/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: what keeps a collection (gc.h) from taking away what somebody is just
 * about to name.
 *
 * Who makes trees known (package create, pull, assign, import of a guest) holds
 * a lease from before he looks what is here until what he made is named.  Under
 * it he guards each shard that he counts on.  The rule, and why it is enough:
 *
 *   have   guard the shard, then look whether it is here.  A collection deletes
 *          under this module's lock and looks for guards there: it has deleted
 *          before the guard was set, and then the shard is found missing, or it
 *          will not delete it until the lease is closed.
 *   name   shards guarded, shards flushed, tree and rows written, lease closed.
 *          Closing counts `closes` up; a live set that was made before that is
 *          void, and the one made after it has the tree.
 *   tree   a collection removes one only while no lease is open and none was
 *          closed since it looked for pointers.
 *
 * So no shard needs a time of its own, nor is one that is here put again.  A
 * read of a cold shard needs no lease: it has a reference to the tree, and a
 * tree that somebody refers to is not removed, so its shards are live.
 *
 * Leases are in memory: after a crash there are none, what was put under them
 * is garbage like any other, and who still thinks that he has one is told
 * -ESTALE.  That there was one is a row of the state database (gc_row.h), so
 * that the next start knows of the garbage.  Thread-safe.
 */
#ifndef DEPOT_LEASE_H
#define DEPOT_LEASE_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/kv.h"

enum {
	LEASE_IDLE_S = 15 * 60,     /* of one that somebody else holds for us */
	LEASE_MAX = 256,            /* open at one time */
	LEASE_GUARDS_MAX = 1 << 22, /* of one; beyond: it guards everything */
};

struct leases;

/* state: borrowed till leases_free.  Leases that an earlier life left open are
 * noted as garbage. */
MUST_CHECK int leases_new(struct kv *state, struct leases **leases);
void leases_free(struct leases *leases); /* takes; NULL allowed */

/* idle_s 0: until it is closed; else that long after its last use.  -EAGAIN:
 * LEASE_MAX are open.  *lease is never 0. */
MUST_CHECK int lease_open(struct leases *leases, unsigned int idle_s,
			  uint64_t *lease);
/* named: all that was put under it has a name now; else it is noted as garbage
 * for the next collection.  One that is not there (any more) is no error. */
void lease_close(struct leases *leases, uint64_t lease, bool named);
/* Used again.  -ESTALE: there is none of that number (any more). */
MUST_CHECK int lease_use(struct leases *leases, uint64_t lease);

/* Not to be deleted while the lease is open; to be called before one looks
 * whether it is here.  -ESTALE, -ENOMEM. */
MUST_CHECK int lease_guard(struct leases *leases, uint64_t lease,
			   const struct digest *shard);
/* The same for one that is about to be put, which may become garbage. */
MUST_CHECK int lease_guard_put(struct leases *leases, uint64_t lease,
			       const struct digest *shard);

/* --- for the collection --------------------------------------------------- */

/* Leases closed so far. */
uint64_t leases_closes(struct leases *leases);
unsigned int leases_open_count(struct leases *leases);
/* Hold the lock: short, no sync, no request.  Between the two: */
void leases_lock(struct leases *leases);
void leases_unlock(struct leases *leases);
/* No lease was closed since leases_closes() was `closes`. */
bool leases_unchanged(const struct leases *leases, uint64_t closes);
bool leases_guarded(struct leases *leases, const struct digest *shard);
/* Without the lock, after leases_guarded() has said so: what the leases held
 * back is noted as garbage when they end, also by a death. */
MUST_CHECK int leases_note_held(struct leases *leases);

/*
 * For the removal of a tree, which syncs: true when no lease is open and none
 * was closed since leases_closes() was `closes`; lease_open() waits then, until
 * leases_thaw().
 */
bool leases_freeze(struct leases *leases, uint64_t closes);
void leases_thaw(struct leases *leases);

#endif
