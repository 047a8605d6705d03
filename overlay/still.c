/* SPDX-License-Identifier: Apache-2.0 */
/*
 * still: a moment in which nothing of a view changes or is unsaved, for
 * snapshots, restores and moves.
 *
 * First what is dirty is committed while writers go on, so that the second
 * round, which keeps them out, is short.  Operations that only write a batch
 * need not be kept out: they are whole or not there.
 */
#include <time.h>

#include "depot/log.h"
#include "overlay/view_impl.h"

enum {
	STILL_STEP_US = 1000,
	STILL_FIRST_STEPS = 5000,
	STILL_STEPS = 30000,
};

/* Start what has to be done; how many nodes are not quiet? */
static unsigned int still_kick(struct view *view)
{
	unsigned int busy = 0;

	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = view->nodes[i]; n; n = n->hash_next) {
			if (!n->dirty && !n->flight && !n->cutting)
				continue;
			busy++;
			if (!n->flight && !n->cutting)
				node_flush(view, n);
		}
	return busy;
}

static void still_step(void)
{
	struct timespec t = {0, STILL_STEP_US * 1000};

	nanosleep(&t, NULL);
}

int view_still(struct view *view)
{
	for (int i = 0; i < STILL_STEPS; i++) {
		unsigned int busy;

		pthread_rwlock_wrlock(&view->lock);
		busy = still_kick(view);
		if (view->still && busy == 0) {
			node_close_all(view);
			return 0;
		}
		view->still |= busy == 0 || i >= STILL_FIRST_STEPS;
		pthread_rwlock_unlock(&view->lock);
		if (busy > 0)
			still_step();
	}
	pthread_rwlock_wrlock(&view->lock);
	view_stir(view);
	return log_err(-EIO, "delta %s: what was written cannot be synced",
		       view->info.path);
}

void view_stir(struct view *view)
{
	struct view_wait *waits = view->waits;

	view->still = false;
	view->waits = NULL;
	for (struct view_wait *w = waits; w; w = w->next)
		__atomic_store_n(&w->kind, WAIT_IDLE, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&view->lock);
	while (waits) {
		struct view_wait *next = waits->next;

		waits->wake(waits);
		waits = next;
	}
}

int view_park(struct view *view, struct view_wait *wait)
{
	view_wait_release(wait);
	wait->view = view;
	wait->next = view->waits;
	__atomic_store_n(&wait->kind, WAIT_VIEW, __ATOMIC_RELEASE);
	view->waits = wait;
	return -EINPROGRESS;
}
