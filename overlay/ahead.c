/* SPDX-License-Identifier: Apache-2.0 */
/* ahead: see ahead.h. */
#include "overlay/ahead.h"

#include "depot/prefetch.h"
#include "overlay/view_impl.h"

_Static_assert((int)AHEAD_MAX <= (int)PREFETCH_AHEAD_MAX, "one call");

void ahead_init(struct ahead *ahead)
{
	memset(ahead, 0, sizeof(*ahead));
	pthread_mutex_init(&ahead->lock, NULL);
}

void ahead_destroy(struct ahead *ahead)
{
	pthread_mutex_destroy(&ahead->lock);
}

/* Does the read follow what the stream has read? */
static bool ahead_follows(const struct ahead_stream *s, const struct tree *tree,
			  uint32_t inode, uint32_t first, uint32_t last)
{
	bool same = s->inode == inode;

	return s->tree == tree &&
	       first <= s->high + (same ? AHEAD_SKIP : AHEAD_CROSS) &&
	       last + (same ? AHEAD_BACK : 2 * AHEAD_CROSS) >= s->high;
}

/* The stream that a read follows; without one a new one when it was cold, else
 * NULL. */
static struct ahead_stream *ahead_find(struct ahead *ahead,
				       const struct tree *tree, uint32_t inode,
				       uint32_t first, uint32_t last, bool cold)
{
	struct ahead_stream *oldest = &ahead->streams[0];

	for (unsigned int i = 0; i < AHEAD_STREAMS; i++) {
		struct ahead_stream *s = &ahead->streams[i];

		if (ahead_follows(s, tree, inode, first, last))
			return s;
		if (s->last_use < oldest->last_use)
			oldest = s;
	}
	if (!cold)
		return NULL;
	*oldest = (struct ahead_stream){
	    .tree = tree, .inode = inode, .high = last + 1, .asked = last + 1};
	return oldest;
}

/* One past the last shard that the stream may reach. */
static uint32_t ahead_limit(const struct ahead_stream *s, struct tree *tree)
{
	uint32_t shards = tree_shard_count(tree);
	struct tree_chunk chunk;
	struct tree_inode attr;

	if (s->crossed >= AHEAD_HITS)
		return shards;
	tree_inode_get(tree, s->inode, &attr);
	tree_chunk_get(tree, s->inode, attr.count - 1, &chunk);
	/* Its last chunk may be one that an earlier file has, too. */
	if (chunk.shard == TREE_HOLE || chunk.shard < s->high)
		return s->high;
	return MIN(chunk.shard + 1, MIN(shards, s->high + attr.count));
}

static uint32_t ahead_window_max(const struct tree *tree)
{
	uint64_t mean =
	    tree_content_len(tree) / MAX(tree_shard_count(tree), 1u);
	uint64_t shards = AHEAD_BYTES / MAX(mean, (uint64_t)1);

	shards = MIN(shards, (uint64_t)AHEAD_MAX);
	return (uint32_t)MAX(shards, (uint64_t)AHEAD_MIN);
}

/* Shards [*from, *to) to be fetched ahead; equal: nothing now. */
static void ahead_advance(struct ahead_stream *s, struct tree *tree,
			  uint32_t inode, uint32_t last, uint32_t *from,
			  uint32_t *to)
{
	uint32_t limit, target;

	/* A new stream; the same read again; or one that comes late. */
	if (last < s->high)
		return;
	s->high = last + 1;
	s->asked = MAX(s->asked, s->high);
	s->hits++;
	s->crossed += s->inode != inode;
	s->inode = inode;
	if (s->crossed > 0 && s->hits < AHEAD_HITS)
		return;
	if (s->window == 0)
		s->window = AHEAD_MIN;
	limit = ahead_limit(s, tree);
	target = MIN(s->high + s->window, limit);
	/* In large pieces: each is a request of its own. */
	if (target <= s->asked ||
	    (target < limit && target - s->asked < s->window / 4))
		return;
	*from = s->asked;
	*to = s->asked = target;
	s->window = MIN(2 * s->window, ahead_window_max(tree));
}

static void ahead_fetch(struct view *view, struct tree *tree, uint32_t from,
			uint32_t to)
{
	uint32_t shards[PREFETCH_AHEAD_MAX];
	unsigned int count = 0;

	while (from < to && count < PREFETCH_AHEAD_MAX)
		shards[count++] = from++;
	depot_prefetch_ahead(view->depot, tree, shards, count, view->who);
}

void ahead_read(struct view *view, struct tree *tree, uint32_t inode,
		uint32_t first, uint32_t last, bool cold)
{
	struct ahead *ahead = &view->ahead;
	uint32_t from = 0, to = 0;
	struct ahead_stream *s;

	/* Shards that other files have, too, may have any number. */
	if (last < first || last - first > AHEAD_SKIP)
		last = first;
	pthread_mutex_lock(&ahead->lock);
	s = ahead_find(ahead, tree, inode, first, last, cold);
	if (s) {
		s->last_use = ++ahead->uses;
		ahead_advance(s, tree, inode, last, &from, &to);
	}
	pthread_mutex_unlock(&ahead->lock);
	if (from < to)
		ahead_fetch(view, tree, from, to);
}
