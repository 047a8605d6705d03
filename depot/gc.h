/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc: collection of what nothing points at any more; a facade of this floor.
 *
 * Nothing is counted.  A tree stays while a tag, a selection, a pin, a record
 * of a delta or somebody at work points at it, and gc_options.keep_s after that
 * (design 6); a shard stays while a tree that is here names it, or a lease
 * guards it (lease.h says why that is enough).
 *
 * One collection, a step at a time, each bounded in shards, bytes and time:
 * 1. Trees: those without a pointer get a time; those whose time is up go, with
 *    their index, revision and origin.  Was nothing released since the last
 *    complete walk: done.
 * 2. Walk: the store in the order of keys; of what the window of live names
 *    (live.h) lacks, whatever no lease guards is deleted.  Now and then the
 *    store is flushed, and then the position saved: never before, so that a
 *    kill repeats some of the walk and leaves nothing out.
 * 3. Compact: the space goes back to the file system, a range at a time.
 * Killed anywhere there is nothing to repair.  A tree that is here or pointed
 * at and cannot be read stops the collection with -EBADMSG or -ENOENT: what it
 * names is not known.
 *
 * Thread-safe.  Steps run one at a time.
 */
#ifndef DEPOT_GC_H
#define DEPOT_GC_H

#include "depot/base.h"
#include "depot/depot.h"

/*
 * Tell every tree that something above this floor points at; one may be told
 * often.  Visit returns non-zero to stop, which is returned.  Failure stops the
 * collection.
 */
typedef int gc_roots_fn(void *roots,
			int (*visit)(void *ctx, const struct digest *tree),
			void *ctx);

enum {
	GC_KEEP_S = 24 * 3600, /* a tree after its last pointer */
	GC_STEP = 4096,        /* shards of a step, unless told otherwise */
	GC_STEP_MAX = 65536,
	GC_STEP_MS = 200,    /* of a step */
	GC_BACKGROUND = 256, /* shards of a step in the background: 8 MB */
	GC_PAUSE_MS = 250,   /* between two steps in the background */
};

struct gc_options {
	unsigned int keep_s;   /* GC_KEEP_S is not put in for 0 */
	unsigned int pause_ms; /* 0: GC_PAUSE_MS */
	bool manual;           /* tests: no thread */
	/* Tests: told at each point between two effects. */
	void (*at)(void *ctx, const char *point);
	void *at_ctx;
};

/* Who points at trees is known now: without this nothing is collected.  Starts
 * the background thread, which works after a removal, at a low rate. */
MUST_CHECK int depot_gc_start(struct depot *depot, gc_roots_fn *roots,
			      void *ctx, const struct gc_options *options);
/* Before roots goes; also done by depot_close.  Steps get -ECANCELED. */
void depot_gc_stop(struct depot *depot);
/* Something may have been released. */
void depot_gc_kick(struct depot *depot);

struct gc_report {
	bool done;       /* this was the last step */
	bool nothing;    /* nothing was released since the last walk */
	bool compacting; /* the walk is over, space is being given back */
	uint64_t looked, removed, bytes; /* shards of this walk so far */
	uint64_t guarded; /* of this step: not live, but under a lease */
	unsigned int trees_removed; /* of this step */
	unsigned int trees_waiting; /* without a pointer; their time runs */
	unsigned int trees_busy;    /* time is up, but somebody is at work */
	int64_t next_due_sec;       /* when the first of them may go; 0 none */
	struct digest position;
};

/* One step of the collection.  -EAGAIN: depot_gc_start was not called;
 * -EBADMSG, -ENOENT: see above; logged. */
MUST_CHECK int depot_gc_step(struct depot *depot, unsigned int shards,
			     struct gc_report *report);
/*
 * What depot_gc_step would do if it ran to the end now, a step from `from` on;
 * the next begins with report->position.  looked, removed and bytes are of this
 * step alone.  Changes nothing.
 */
MUST_CHECK int depot_gc_look(struct depot *depot, const struct digest *from,
			     unsigned int shards, struct gc_report *report);

/* --- removing a package --------------------------------------------------- */

struct gc_removed {
	bool last;  /* nothing else points at its tree: its time runs */
	bool named; /* another tag has the same revision */
};
/*
 * Take a tag away, durably; what it named goes by and by.  Who else uses it is
 * for the caller to ask.  -ENOENT: there is no such tag.
 */
MUST_CHECK int depot_package_remove(struct depot *depot, const char *name,
				    const char *tag,
				    struct gc_removed *removed);

/* --- leases of those who make packages -------------------------------------
 */

/* See lease.h; idle_s as there.  Lease 0, in the two below: the depot's own,
 * which lasts LEASE_IDLE_S after its last use. */
MUST_CHECK int depot_lease_open(struct depot *depot, unsigned int idle_s,
				uint64_t *lease);
void depot_lease_close(struct depot *depot, uint64_t lease, bool named);
/* *here stays true until the lease is closed.  -ESTALE. */
MUST_CHECK int depot_shard_have(struct depot *depot, uint64_t lease,
				const struct digest *name, bool *here);
/* depot_shard_put under a lease. */
MUST_CHECK int depot_shard_put_under(struct depot *depot, uint64_t lease,
				     const uint8_t *salt,
				     const struct digest *name,
				     const void *shard, size_t shard_len,
				     bool *added);

#endif
