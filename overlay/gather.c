/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather: the chunks of a package file that one call needs, pinned in its
 * view_wait; and the life of a view_wait.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

void view_wait_init(struct view_wait *wait)
{
	wait->view = NULL;
	wait->node = NULL;
	wait->tree = NULL;
	wait->depot.count = 0;
	wait->next = NULL;
	wait->fd = -1;
	wait->kind = WAIT_IDLE;
	wait->error = 0;
	wait->warmed = false;
}

void view_wait_release(struct view_wait *wait)
{
	ASSERT(wait->kind == WAIT_IDLE || wait->kind == WAIT_LANDED);
	if (wait->kind == WAIT_LANDED) {
		depot_read_release(wait->view->depot, &wait->depot);
		tree_put(wait->tree);
		wait->tree = NULL;
	}
	wait->depot.count = 0;
	wait->kind = WAIT_IDLE;
	wait->error = 0;
}

static bool view_wait_unpark(struct view_wait *wait)
{
	struct view *view = wait->view;
	bool parked;

	pthread_rwlock_wrlock(&view->lock);
	parked = wait->kind == WAIT_NODE || wait->kind == WAIT_VIEW;
	if (parked) {
		struct view_wait **at =
		    wait->kind == WAIT_NODE ? &wait->node->waits : &view->waits;

		while (*at != wait)
			at = &(*at)->next;
		*at = wait->next;
		wait->kind = WAIT_IDLE;
	}
	pthread_rwlock_unlock(&view->lock);
	return parked;
}

bool view_wait_cancel(struct view_wait *wait)
{
	int kind = __atomic_load_n(&wait->kind, __ATOMIC_ACQUIRE);

	if (kind == WAIT_READ &&
	    depot_read_cancel(wait->view->depot, &wait->depot)) {
		tree_put(wait->tree);
		wait->tree = NULL;
		wait->kind = WAIT_IDLE;
		return true;
	}
	return (kind == WAIT_NODE || kind == WAIT_VIEW) &&
	       view_wait_unpark(wait);
}

static void gather_done(struct depot_read *read, int rc)
{
	struct view_wait *wait = container_of(read, struct view_wait, depot);

	wait->error = rc;
	__atomic_store_n(&wait->kind, WAIT_LANDED, __ATOMIC_RELEASE);
	wait->wake(wait);
}

void gather_begin(struct gather *g, struct view *view, struct view_wait *wait,
		  struct tree *tree)
{
	g->view = view;
	g->wait = wait;
	g->tree = tree;
	g->read.count = 0;
}

uint64_t gather_add(struct gather *g, uint32_t inode, uint64_t off, size_t len)
{
	uint64_t end = off + len;
	struct tree_inode attr;
	struct tree_chunk chunk;
	uint32_t i;

	if (len == 0)
		return end;
	tree_inode_get(g->tree, inode, &attr);
	for (i = tree_chunk_find(g->tree, inode, off, &chunk);; i++) {
		unsigned int n = g->read.count;

		if (i >= attr.count)
			return end;
		tree_chunk_get(g->tree, inode, i, &chunk);
		if (chunk.off >= end)
			return end;
		if (chunk.shard == TREE_HOLE ||
		    (n > 0 && g->off[n - 1] == chunk.off))
			continue;
		if (n == DEPOT_READ_MAX)
			return MAX(off, chunk.off);
		g->read.piece[n].tree = g->tree;
		g->read.piece[n].shard = chunk.shard;
		g->off[n] = chunk.off;
		g->len[n] = chunk.len;
		g->read.count++;
	}
}

/* Did an earlier run of the call gather just this? */
static bool gather_same(const struct gather *g)
{
	const struct view_wait *wait = g->wait;

	if (wait->tree != g->tree || wait->depot.count != g->read.count)
		return false;
	for (unsigned int i = 0; i < g->read.count; i++)
		if (wait->depot.piece[i].shard != g->read.piece[i].shard ||
		    wait->chunk_off[i] != g->off[i])
			return false;
	return true;
}

static int gather_check(const struct view_wait *wait)
{
	for (unsigned int i = 0; i < wait->depot.count; i++) {
		const struct depot_piece *piece = &wait->depot.piece[i];

		if (chunk_len(piece->chunk) != wait->chunk_len[i])
			return log_err(-EIO,
				       "shard %u of a tree holds %zu bytes, "
				       "the tree says %u",
				       piece->shard, chunk_len(piece->chunk),
				       wait->chunk_len[i]);
	}
	return 0;
}

int gather_run(struct gather *g)
{
	struct view_wait *wait = g->wait;
	int rc;

	if (wait->kind == WAIT_LANDED) {
		rc = wait->error;
		if (rc == 0 && gather_same(g))
			return gather_check(wait);
		view_wait_release(wait);
		if (rc < 0)
			return rc;
	}
	if (g->read.count == 0)
		return 0;
	wait->view = g->view;
	wait->tree = tree_get(g->tree);
	wait->depot.count = g->read.count;
	for (unsigned int i = 0; i < g->read.count; i++) {
		wait->depot.piece[i] = g->read.piece[i];
		wait->depot.piece[i].chunk = NULL;
		wait->chunk_off[i] = g->off[i];
		wait->chunk_len[i] = g->len[i];
	}
	wait->depot.who = g->view->who;
	starts_touch(g->view, g->tree, g->read.piece, g->read.count);
	wait->depot.done = gather_done;
	__atomic_store_n(&wait->kind, WAIT_READ, __ATOMIC_RELEASE);
	rc = depot_read_start(g->view->depot, &wait->depot);
	if (rc == -EINPROGRESS)
		return rc; /* wake() may have come: hands off */
	wait->kind = WAIT_LANDED;
	wait->error = rc;
	return rc < 0 ? rc : gather_check(wait);
}

void gather_copy(const struct view_wait *wait, uint64_t off, size_t len,
		 uint8_t *out)
{
	uint64_t end = off + len;

	memset(out, 0, len);
	for (unsigned int i = 0; i < wait->depot.count; i++) {
		uint64_t from = MAX(off, wait->chunk_off[i]);
		uint64_t to = MIN(end, wait->chunk_off[i] + wait->chunk_len[i]);

		if (from < to)
			memcpy(out + (from - off),
			       chunk_data(wait->depot.piece[i].chunk) +
				   (from - wait->chunk_off[i]),
			       to - from);
	}
}
