/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: a few threads for whatever inflates, reads a disk or syncs (design 8).
 * Workers never wait; they submit a job and are told when it is done.
 */
#ifndef DEPOT_POOL_H
#define DEPOT_POOL_H

#include "depot/base.h"

enum { POOL_THREADS_MAX = 256 };

struct pool;

struct pool_job {
	void (*run)(struct pool_job *job); /* on a pool thread */
	struct pool_job *next;             /* the pool's own */
};

/* -EINVAL: thread_count is not 1..POOL_THREADS_MAX.  The threads have all
 * signals blocked; `name` shows in ps and gdb, cut to 15 bytes. */
MUST_CHECK int pool_new(unsigned int thread_count, const char *name,
			struct pool **pool);
/* Jobs are run in order of submission; job memory is the submitter's, and is
 * free for reuse as soon as run() has been entered.  A job may submit jobs. */
void pool_submit(struct pool *pool, struct pool_job *job);
/* Runs what is queued, then ends the threads.  takes pool; NULL allowed. */
void pool_free(struct pool *pool);

#endif
