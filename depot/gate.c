/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate: who enters counts itself, then looks at the state; who closes sets the
 * state, then looks at the count.  One of them sees the other.
 */
#include "depot/gate.h"

#include <time.h>

enum { GATE_OPEN, GATE_DRAINING, GATE_CLOSED };

void gate_init(struct gate *gate)
{
	pthread_condattr_t attr;

	memset(gate, 0, sizeof(*gate));
	pthread_mutex_init(&gate->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->change, &attr);
	pthread_condattr_destroy(&attr);
}

void gate_destroy(struct gate *gate)
{
	pthread_cond_destroy(&gate->change);
	pthread_mutex_destroy(&gate->lock);
}

static void gate_tell(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	pthread_cond_broadcast(&gate->change);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_enter_closed(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	atomic_fetch_sub(&gate->users, 1);
	pthread_cond_broadcast(&gate->change);
	while (atomic_load(&gate->state) == GATE_CLOSED)
		pthread_cond_wait(&gate->change, &gate->lock);
	/* The state is changed under the lock: nobody has closed meanwhile
	 * without counting us. */
	atomic_fetch_add(&gate->users, 1);
	pthread_mutex_unlock(&gate->lock);
}

void gate_enter(struct gate *gate, bool inside)
{
	atomic_fetch_add(&gate->users, 1);
	if (atomic_load(&gate->state) == GATE_CLOSED && !inside)
		gate_enter_closed(gate);
}

void gate_leave(struct gate *gate)
{
	unsigned int before = atomic_fetch_sub(&gate->users, 1);

	ASSERT(before > 0);
	if (before == 1 && atomic_load(&gate->state) != GATE_OPEN)
		gate_tell(gate);
}

bool gate_pin(struct gate *gate)
{
	atomic_fetch_add(&gate->pins, 1);
	if (atomic_load(&gate->state) == GATE_OPEN)
		return true;
	gate_unpin(gate);
	return false;
}

void gate_unpin(struct gate *gate)
{
	unsigned int before = atomic_fetch_sub(&gate->pins, 1);

	ASSERT(before > 0);
	if (before == 1 && atomic_load(&gate->state) != GATE_OPEN)
		gate_tell(gate);
}

bool gate_is_idle(struct gate *gate)
{
	return atomic_load(&gate->users) == 0 && atomic_load(&gate->pins) == 0;
}

/* gate->lock is held. */
static int gate_wait_zero(struct gate *gate, const atomic_uint *count,
			  const struct timespec *until)
{
	int rc = 0;

	while (atomic_load(count) > 0 && rc == 0)
		rc = pthread_cond_timedwait(&gate->change, &gate->lock, until);
	return atomic_load(count) > 0 ? -ETIMEDOUT : 0;
}

int gate_close(struct gate *gate, unsigned int timeout_s)
{
	struct timespec until;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_s;
	pthread_mutex_lock(&gate->lock);
	ASSERT(atomic_load(&gate->state) == GATE_OPEN);
	atomic_store(&gate->state, GATE_DRAINING);
	rc = gate_wait_zero(gate, &gate->pins, &until);
	if (rc == 0) {
		/* No pin comes any more: each looks at the state after it has
		 * counted itself. */
		atomic_store(&gate->state, GATE_CLOSED);
		rc = gate_wait_zero(gate, &gate->users, &until);
	}
	if (rc < 0) {
		atomic_store(&gate->state, GATE_OPEN);
		pthread_cond_broadcast(&gate->change);
	}
	pthread_mutex_unlock(&gate->lock);
	return rc;
}

void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	ASSERT(atomic_load(&gate->state) == GATE_CLOSED);
	atomic_store(&gate->state, GATE_OPEN);
	pthread_cond_broadcast(&gate->change);
	pthread_mutex_unlock(&gate->lock);
}
