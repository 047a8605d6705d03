/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_source: stands for depot/source.c: directories with faults to order, and
 * no network.  URLs whose path ends in "spare" are of world 1, all others of
 * world 0; faults and counts are a world's.
 */
#ifndef TESTS_FAKE_FAKE_SOURCE_H
#define TESTS_FAKE_FAKE_SOURCE_H

#include "depot/base.h"

enum { FAKE_WORLDS = 2 };

enum fake_fault {
	FAKE_FAULT_NONE,
	FAKE_FAULT_DOWN,    /* ranges and whole objects */
	FAKE_FAULT_MISSING, /* from here on: ranges only */
	FAKE_FAULT_SHORT,
	FAKE_FAULT_WRONG, /* one bit */
	FAKE_FAULT_ZEROS,
	FAKE_FAULT_HANG,    /* till it is cancelled or stopped */
	FAKE_FAULT_TRICKLE, /* half of it, then a byte every 5 ms */
	FAKE_FAULT_DELAY,   /* 40 ms, then all is well */
	FAKE_FAULT_CONNECT, /* likewise, for a connection has to be made */
};

/* strikes: ranges that fail; -1: all.  Counts begin anew. */
void fake_source_set(unsigned int world, enum fake_fault fault, int strikes);
/* While held, ranges of all worlds wait. */
void fake_source_hold(bool hold);

struct fake_source_counts {
	unsigned int ranges, gets, cancelled;
	unsigned int inflight, inflight_max;
	uint64_t bytes, bytes_inflight, bytes_inflight_max;
};
struct fake_source_counts fake_source_counts(unsigned int world);

#endif
