/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict_inside: struct evict, for evict.c (thread), evict_gate.c and
 * evict_step.c (one step).
 */
#ifndef DEPOT_EVICT_INSIDE_H
#define DEPOT_EVICT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "depot/evict.h"
#include "depot/kept.h"
#include "depot/store.h"
#include "depot/usage.h"

struct evict {
	struct evict_options options;
	char *usage_path;        /* owns */
	_Atomic uint64_t disk;   /* when last looked at */
	_Atomic uint64_t put;    /* bytes put since */
	_Atomic uint64_t coming; /* what the next compaction takes besides */
	_Atomic uint64_t kept_bytes, shards, bytes, refused;
	atomic_uint bar;    /* worth of the last step's victims */
	atomic_bool barred; /* somebody was refused for it */
	atomic_bool tight;  /* less than the floor is free */
	atomic_bool full;
	_Atomic uint64_t looked_ms;
	atomic_bool kicked, kept_stale;
	pthread_mutex_t look_lock; /* of evict_measure() */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running;
	bool stop; /* lock */
	/* the thread's own from here on */
	struct kept *kept; /* owns; sorted */
	uint64_t closes;   /* leases_closes() before it was learnt */
	uint64_t lacking;  /* bytes of free space */
	uint64_t rest_until_ms, saved_ms, learnt_ms; /* the bar */
	unsigned int slice;                          /* next to be merged */
	/* by owner, of the last windows: the shares' estimate */
	uint64_t owned[USAGE_OWNERS], owned_sum;
	uint64_t window_kept, window_bytes;
};

/* Evict from one window; returns the bytes that went, as stored. */
uint64_t evict_step(struct evict *evict);
/* Learn what a newcomer must be worth, and the tenants' shares, from one. */
void evict_sample(struct evict *evict);
uint64_t evict_window_bytes(const struct evict *evict);

extern const struct store_gate evict_gate;
/* How much the files take now: disk, coming.  Looks at each of them. */
void evict_measure(struct evict *evict);
bool evict_has_room(struct evict *evict, size_t len);
uint64_t evict_percent(const struct evict *evict, unsigned int percent);
uint64_t evict_used(struct evict *evict);
void evict_kick(struct evict *evict);

#endif
