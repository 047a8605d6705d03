/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate: many threads use a thing; now and then one has to have it alone, to
 * put another in its place (kv.c).
 *
 * A user enters and leaves: two atomic operations while nobody closes.  What a
 * user keeps beyond that is a pin.  Closing is done in two steps, so that it
 * cannot wait for a thread that waits for it:
 * 1. gate_pin() refuses (the caller makes a copy), all else goes on, until the
 *    pins are gone: a pin may lie in the queue of threads that enter.
 * 2. Who enters waits, but for threads that are inside already, until all have
 *    left.
 */
#ifndef DEPOT_GATE_H
#define DEPOT_GATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "depot/base.h"

struct gate {
	atomic_uint users, pins;
	atomic_int state;
	pthread_mutex_t lock;
	pthread_cond_t change; /* with lock: of anything above */
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);

/* inside: this thread has entered already and not left; it never waits. */
void gate_enter(struct gate *gate, bool inside);
void gate_leave(struct gate *gate);

/* By a user, before it leaves.  false: no pins now. */
bool gate_pin(struct gate *gate);
void gate_unpin(struct gate *gate); /* by anybody */

/* Nobody is inside and nothing pinned. */
bool gate_is_idle(struct gate *gate);

/* Have it alone.  One thread at a time, itself not inside.  -ETIMEDOUT: not
 * all were gone in time, and it is open as before. */
MUST_CHECK int gate_close(struct gate *gate, unsigned int timeout_s);
void gate_open(struct gate *gate);

#endif
