/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_window: how much of a source's link a fill may use, found by how long
 * answers take.  Pure: the caller has the lock and the clock.
 */
#ifndef DEPOT_FETCH_WINDOW_H
#define DEPOT_FETCH_WINDOW_H

#include "depot/base.h"

enum {
	FETCH_WINDOW_MIN = 64 << 10, /* bytes */
	FETCH_WINDOW_MAX = 8 << 20,
};

/* Of one source. */
struct fetch_window {
	size_t bytes; /* asked for by fills and not yet here; the caller's */
	size_t max;   /* that may be */
	uint64_t way_ms, way_before_ms, way_since_ms, last_ms;
	uint64_t cut_ms;     /* when max was lowered last; 0: never */
	uint64_t crowded_ms; /* when the least was found too much; 0: never */
};

/* Nothing is known of it; `bytes` stays. */
void fetch_window_init(struct fetch_window *window);
/* Should it wait while guests are waiting for shards of this source? */
bool fetch_window_yields(const struct fetch_window *window, uint64_t now);
/* Bytes of the fill's next range, about; 0: not now. */
size_t fetch_window_room(const struct fetch_window *window);
/*
 * An answer has come, to whomsoever: asked for at started_ms, its first byte
 * came waited_ms later.  filled: bytes of it that were a fill's; `bytes` counts
 * them still.
 */
void fetch_window_measure(struct fetch_window *window, uint64_t started_ms,
			  uint64_t waited_ms, size_t filled, uint64_t now);

#endif
