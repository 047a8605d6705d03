/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead: who reads a package's file from front to back, and is read ahead of.
 *
 * A stream is one file of a view that had to wait for an upstream.  Reads that
 * follow one another, also a little out of order as clients send them, double
 * its window from AHEAD_MIN to AHEAD_MAX bytes; the shards in it that are not
 * on this host are fetched before they are asked for (depot/prefetch.h).  A
 * read elsewhere begins anew.  Files whose bytes are here have no stream, and
 * cost nothing.
 */
#ifndef OVERLAY_AHEAD_H
#define OVERLAY_AHEAD_H

#include <pthread.h>

#include "depot/base.h"
#include "depot/tree.h"

enum {
	AHEAD_STREAMS = 16, /* of a view; the one that rested longest goes */
	AHEAD_MIN = 512 << 10,
	AHEAD_MAX = 16 << 20,
	AHEAD_SKIP_MAX = 2 << 20, /* bytes a read may be ahead of its turn */
	AHEAD_BACK_MAX = 8 << 20, /* bytes it may come late */
};

struct view;

struct ahead_stream {
	const struct tree *tree; /* only compared; NULL: free */
	uint32_t inode;
	uint64_t high;     /* end of what was read */
	uint64_t asked;    /* end of what is being fetched ahead */
	uint32_t window;   /* 0: one read so far */
	uint64_t last_use; /* a number that rises */
};

/* Of one view; ahead_init() it. */
struct ahead {
	pthread_mutex_t lock; /* a leaf */
	struct ahead_stream streams[AHEAD_STREAMS];
	uint64_t uses;
};

void ahead_init(struct ahead *ahead);
void ahead_destroy(struct ahead *ahead);

/*
 * Bytes [off, end) of a file of the tree are read, and are not all in memory;
 * cold: some of them came from an upstream.  view->lock is held.
 */
void ahead_read(struct view *view, struct tree *tree, uint32_t inode,
		uint64_t off, uint64_t end, bool cold);

#endif
