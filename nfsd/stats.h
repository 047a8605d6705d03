/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: counters of the NFS side.
 *
 * Each worker counts in a struct of its own; nobody else writes to it, so
 * counting is an add without a lock.  stats_add() may read it meanwhile, on
 * any thread: each number is right, and all together are of about one moment.
 */
#ifndef NFSD_STATS_H
#define NFSD_STATS_H

#include "depot/base.h"
#include "nfsd/program.h"

enum { STATS_BATCH_STEPS = 8 }; /* 1, 2, 3-4, 5-8, ... 65 and more */

struct stats {
	uint64_t connections; /* open now */
	uint64_t connections_accepted;
	uint64_t connections_refused; /* over a limit, or no descriptor */
	uint64_t in_flight;           /* calls parked now */
	uint64_t replies;
	uint64_t jukebox;         /* calls answered "try again later" */
	uint64_t bad_calls;       /* refused before any procedure ran */
	uint64_t retransmissions; /* answered from the reply cache */
	uint64_t bytes_in, bytes_out;
	uint64_t polls; /* times of waiting without sleep */
	uint64_t turns; /* of connections, with replies */
	uint64_t turns_by_batch[STATS_BATCH_STEPS]; /* replies in a turn */
	uint64_t nfs3_calls[NFS3_PROC_COUNT];
	uint64_t nfs3_errors[NFS3_PROC_COUNT]; /* status other than OK */
	uint64_t mount3_calls[MOUNT3_PROC_COUNT];
};

/* Count; the struct is this thread's. */
static inline void stats_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void stats_count_batch(struct stats *stats, unsigned int reply_count);

/* sum += part, which another thread may be counting in. */
void stats_add(struct stats *sum, const struct stats *part);

#endif
