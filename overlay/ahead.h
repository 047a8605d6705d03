/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ahead: who reads a package from front to back, and is read ahead of.
 *
 * A tree numbers its shards file by file, in the order of names, so both a
 * large file read to its end and a package read as tar or cp would show as
 * rising shard numbers.  A stream begins where a view had to wait for an
 * upstream. Reads that follow one another, also a little out of order as
 * clients send them, double its window; the shards in it that are not on this
 * host are fetched before they are asked for (depot/prefetch.h).  It crosses
 * the end of a file only when its reader has done so a few times.  A read
 * elsewhere begins another stream.  What is on this host has none, and costs
 * nothing.
 */
#ifndef OVERLAY_AHEAD_H
#define OVERLAY_AHEAD_H

#include <pthread.h>

#include "depot/base.h"
#include "depot/tree.h"

enum {
	AHEAD_STREAMS = 16, /* of a view; the one that rested longest goes */
	/* Shards: */
	AHEAD_MIN = 16,
	AHEAD_MAX = 2048,
	AHEAD_SKIP = 64,  /* a read of the same file may be ahead of its turn */
	AHEAD_BACK = 128, /* or come late by so many */
	AHEAD_CROSS = 16, /* likewise one of another file */
	AHEAD_BYTES = 16 << 20, /* of chunks, about: a window is no larger */
	AHEAD_HITS = 8,         /* reads of several files that make a stream */
};

struct view;

struct ahead_stream {
	const struct tree *tree; /* only compared; NULL: free */
	uint32_t inode;
	uint32_t high;        /* one past the last shard that was read */
	uint32_t asked;       /* one past the last that is fetched ahead */
	uint32_t window;      /* shards; 0: not ahead yet */
	unsigned int hits;    /* reads that followed */
	unsigned int crossed; /* of them, into another file */
	uint64_t last_use;    /* a number that rises */
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
 * Shards first to last (of one file of the tree) are read, and are not all in
 * memory, or for the first time; cold: some of them came from an upstream while
 * the read waited.  view->lock is held.
 */
void ahead_read(struct view *view, struct tree *tree, uint32_t inode,
		uint32_t first, uint32_t last, bool cold);

#endif
