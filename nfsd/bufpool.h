/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bufpool: receive buffers of one worker, in three sizes, counted.
 *
 * A connection holds one only while part of a record has come.  A buffer grows
 * by one size at a time, so memory follows what arrives and not what is
 * announced.  Freed ones are kept for reuse, a few of each size: fresh pages
 * would cost more than the receiving.  One thread.
 */
#ifndef NFSD_BUFPOOL_H
#define NFSD_BUFPOOL_H

#include "depot/base.h"
#include "nfsd/framing.h"

enum {
	BUFPOOL_SMALL = 8 << 10,
	BUFPOOL_MIDDLE = 128 << 10,
	BUFPOOL_LARGE = FRAMING_LEN_MAX,
	BUFPOOL_SIZES = 3,
};

struct bufpool_buf;

struct bufpool {
	size_t bytes_max;
	size_t bytes;                            /* handed out */
	struct bufpool_buf *free[BUFPOOL_SIZES]; /* owns */
	unsigned int free_count[BUFPOOL_SIZES];
};

void bufpool_init(struct bufpool *pool, size_t bytes_max);
void bufpool_fini(struct bufpool *pool); /* everything was put back */

/* A buffer of the smallest size that holds len; *cap is its size.  NULL: none
 * is that large, the budget is spent, or no memory. */
uint8_t *bufpool_get(struct bufpool *pool, size_t len, size_t *cap);
/* takes buf (NULL allowed), whose size is cap. */
void bufpool_put(struct bufpool *pool, uint8_t *buf, size_t cap);

#endif
