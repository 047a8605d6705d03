/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict_rig: a store with a quota, its usage counters and its eviction, without
 * a depot around it.  Shards are numbers: the same number is the same name and
 * the same EVICT_RIG_SHARD bytes that no codec makes smaller.
 */
#ifndef TESTS_LIB_EVICT_RIG_H
#define TESTS_LIB_EVICT_RIG_H

#include "depot/evict.h"
#include "depot/store.h"
#include "depot/usage.h"

enum {
	EVICT_RIG_SHARD = 32 << 10,
	EVICT_RIG_WAIT_MS = 60000, /* for room: a disk may be slow */
};

struct evict_rig {
	char *dir; /* borrows; set before the opening, as the next four */
	struct space *space;              /* NULL: no floor */
	uint64_t free_min;                /* the floor */
	struct leases *leases;            /* NULL: none */
	unsigned int keep_from, keep_end; /* numbers that must stay */
	char usage_path[1024];
	struct store *store;
	struct usage *usage;
	struct evict *evict;
	uint64_t disk_most; /* that evict_rig_look() saw */
};

void evict_rig_open(struct evict_rig *rig, uint64_t quota,
		    enum usage_rule rule);
void evict_rig_close(struct evict_rig *rig);

/* Another end of the numbers that must stay. */
void evict_rig_keep(struct evict_rig *rig, unsigned int end);

struct digest evict_rig_name(unsigned int number);
/* Reads of all numbers in [from, end) by tenant who, so many times. */
void evict_rig_touch(struct evict_rig *rig, unsigned int from, unsigned int end,
		     unsigned int times, uint32_t who);
/* As a read that found nothing here: counted, fetched, perhaps stored.  What
 * store_put_fetched() gives. */
int evict_rig_fetch(struct evict_rig *rig, unsigned int number);
/* The same until it is stored: a read that finds no room is served, and a later
 * one keeps it.  Not within EVICT_RIG_WAIT_MS: a failed assertion. */
void evict_rig_store(struct evict_rig *rig, unsigned int number);
/* How many of [from, end) are here. */
unsigned int evict_rig_count(struct evict_rig *rig, unsigned int from,
			     unsigned int end);
void evict_rig_look(struct evict_rig *rig);
/* Wait until there is room for more; none within EVICT_RIG_WAIT_MS: a failed
 * assertion. */
void evict_rig_settle(struct evict_rig *rig);
/* Fetch [from, from + count), as fast as a link of about 300 MB/s would bring
 * them; settle: no faster than room is made.  All are stored or refused. */
void evict_rig_load(struct evict_rig *rig, unsigned int from,
		    unsigned int count, bool settle);
void evict_rig_pause(unsigned int ms);

#endif
