/* SPDX-License-Identifier: Apache-2.0 */
/* ahead: see ahead.h. */
#include "overlay/ahead.h"

#include "depot/prefetch.h"
#include "overlay/view_impl.h"

void ahead_init(struct ahead *ahead)
{
	memset(ahead, 0, sizeof(*ahead));
	pthread_mutex_init(&ahead->lock, NULL);
}

void ahead_destroy(struct ahead *ahead)
{
	pthread_mutex_destroy(&ahead->lock);
}

/* NULL: the file has none, and `make` is false. */
static struct ahead_stream *ahead_find(struct ahead *ahead,
				       const struct tree *tree, uint32_t inode,
				       bool make)
{
	struct ahead_stream *oldest = &ahead->streams[0];

	for (unsigned int i = 0; i < AHEAD_STREAMS; i++) {
		struct ahead_stream *s = &ahead->streams[i];

		if (s->tree == tree && s->inode == inode)
			return s;
		if (s->last_use < oldest->last_use)
			oldest = s;
	}
	if (!make)
		return NULL;
	*oldest = (struct ahead_stream){.tree = tree, .inode = inode};
	return oldest;
}

/* Does the read follow what was read? */
static bool ahead_follows(const struct ahead_stream *s, uint64_t off,
			  uint64_t end)
{
	return off <= s->high + AHEAD_SKIP_MAX &&
	       end + AHEAD_BACK_MAX >= s->high;
}

/* Bytes [*from, *to) to be fetched ahead; equal: nothing now. */
static void ahead_advance(struct ahead_stream *s, uint64_t off, uint64_t end,
			  uint64_t size, uint64_t *from, uint64_t *to)
{
	uint64_t target;

	*from = *to = 0;
	if (s->high == 0 || !ahead_follows(s, off, end)) {
		s->high = s->asked = end;
		s->window = 0;
		return;
	}
	if (end <= s->high)
		return; /* the same read again, or one that comes late */
	s->high = end;
	s->asked = MAX(s->asked, end);
	if (s->window == 0)
		s->window = AHEAD_MIN;
	target = MIN(s->high + s->window, size);
	/* In large pieces: each is a request of its own. */
	if (target <= s->asked ||
	    (target < size && target - s->asked < s->window / 4))
		return;
	*from = s->asked;
	*to = s->asked = target;
	s->window = MIN(2 * s->window, (uint32_t)AHEAD_MAX);
}

static void ahead_fetch(struct view *view, struct tree *tree, uint32_t inode,
			uint32_t chunks, uint64_t from, uint64_t to)
{
	uint32_t shards[PREFETCH_AHEAD_MAX];
	struct tree_chunk chunk;
	unsigned int count = 0;

	for (uint32_t i = tree_chunk_find(tree, inode, from, &chunk);
	     i < chunks && count < PREFETCH_AHEAD_MAX; i++) {
		tree_chunk_get(tree, inode, i, &chunk);
		if (chunk.off >= to)
			break;
		if (chunk.shard != TREE_HOLE)
			shards[count++] = chunk.shard;
	}
	if (count > 0)
		depot_prefetch_ahead(view->depot, tree, shards, count,
				     view->who);
}

void ahead_read(struct view *view, struct tree *tree, uint32_t inode,
		uint64_t off, uint64_t end, bool cold)
{
	struct ahead *ahead = &view->ahead;
	uint64_t from = 0, to = 0;
	struct ahead_stream *s;
	struct tree_inode attr;

	tree_inode_get(tree, inode, &attr);
	pthread_mutex_lock(&ahead->lock);
	s = ahead_find(ahead, tree, inode, cold);
	if (s) {
		s->last_use = ++ahead->uses;
		ahead_advance(s, off, end, attr.size, &from, &to);
	}
	pthread_mutex_unlock(&ahead->lock);
	if (from < to)
		ahead_fetch(view, tree, inode, attr.count, from, to);
}
