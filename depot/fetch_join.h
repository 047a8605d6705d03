/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_join: which of several wanted places in one pack are read in one
 * range.  Pure.
 *
 * Bytes between two wanted shards are paid for and thrown away, so gaps are
 * small, and small in sum: a cold start stays within 1.10 of the bytes that
 * were asked for (design 12).
 */
#ifndef DEPOT_FETCH_JOIN_H
#define DEPOT_FETCH_JOIN_H

#include "depot/base.h"

enum {
	FETCH_JOIN_GAP_MAX = 16 << 10,  /* bytes between two places */
	FETCH_JOIN_GAPS_PERCENT = 5,    /* of the range, all of them */
	FETCH_JOIN_RANGE_MAX = 4 << 20, /* bytes */
};

struct fetch_place {
	uint32_t off, len;
	void *owner; /* the caller's */
};

struct fetch_range {
	uint32_t off, len;
	unsigned int first, count; /* of the sorted places */
};

/* Sorts the places by offset; the range holds places[seed], as it was
 * numbered before sorting, and is no longer than `max` unless that one is. */
void fetch_join(struct fetch_place *places, unsigned int count,
		unsigned int seed, uint32_t max, struct fetch_range *range);

#endif
