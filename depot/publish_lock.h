/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_lock: one publisher at a time, wherever the depot lies.
 *
 * The lock is the object publisher.lock, made by a create() that fails when it
 * is there.  Its text names the holder, who changes it now and then; one whose
 * text has not changed for 60 s, by the clock of who waits, is of a publisher
 * that has died: it is removed, with a word.  Two that break it at the same
 * time may both go on, so whoever holds it looks again before each thing that
 * others see (publish_lock_keep), and the generation in depot.json has the last
 * word.
 */
#ifndef DEPOT_PUBLISH_LOCK_H
#define DEPOT_PUBLISH_LOCK_H

#include "depot/base.h"
#include "depot/publish_target.h"

enum { PUBLISH_LOCK_STALE_S = 60 };

struct publish_lock {
	struct publish_target *target; /* borrows */
	char token[33];
	unsigned int count;  /* of changes */
	int64_t changed_sec; /* of CLOCK_MONOTONIC */
	bool held, none;     /* none: there are no locks there */
};

struct publish_wait {
	void (*say)(void *ctx, const char *text); /* NULL allowed */
	bool (*stop)(void *ctx);                  /* NULL allowed */
	void *ctx;
};

/* -EINTR: stop() said so.  Where there are no locks: 0, and a word. */
MUST_CHECK int publish_lock_take(struct publish_lock *lock,
				 struct publish_target *target,
				 const struct publish_wait *wait);
/* Still ours?  -EAGAIN: somebody has broken it. */
MUST_CHECK int publish_lock_keep(struct publish_lock *lock);
void publish_lock_drop(struct publish_lock *lock);

#endif
