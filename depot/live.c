/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live: names are hashes, so a count of them by their first 16 bits says how
 * far a window may reach; then the tables are read once more.
 */
#include "depot/live.h"

enum { LIVE_BUCKETS = 1 << 16 };

struct live {
	struct tree **trees; /* owns the array and a reference each */
	uint32_t tree_count, tree_cap;
	bool dropped; /* trees were given back: no more windows */
	size_t entries_max;
	struct live_entry *entries; /* owns */
	size_t count, cap;
	struct digest from;
	uint32_t end; /* bucket; LIVE_BUCKETS: to the end.  0: no window */
};

int live_new(size_t bytes_max, struct live **live)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->entries_max =
	    MAX(bytes_max / sizeof(struct live_entry), (size_t)LIVE_WINDOW_MIN);
	*live = l;
	return 0;
}

void live_drop_trees(struct live *live)
{
	for (uint32_t i = 0; i < live->tree_count; i++)
		tree_put(live->trees[i]);
	live->tree_count = 0;
	live->dropped = true;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	live_drop_trees(live);
	free(live->trees);
	free(live->entries);
	free(live);
}

int live_add(struct live *live, struct tree *tree)
{
	struct tree **grown;

	ASSERT(!live->dropped);

	live->end = 0;
	live->count = 0;
	if (live->tree_count == live->tree_cap) {
		live->tree_cap = MAX(64u, 2 * live->tree_cap);
		grown = realloc(live->trees,
				live->tree_cap * sizeof(struct tree *));
		if (!grown)
			return -ENOMEM;
		live->trees = grown;
	}
	live->trees[live->tree_count++] = tree_get(tree);
	return 0;
}

/* --- windows ---------------------------------------------------------------
 */

static uint32_t live_bucket(const struct digest *name)
{
	return (uint32_t)name->bytes[0] << 8 | name->bytes[1];
}

static uint32_t *live_histogram(const struct live *live,
				const struct digest *from)
{
	uint32_t *counts = calloc(LIVE_BUCKETS, sizeof(*counts));
	const struct digest *name;

	for (uint32_t t = 0; counts && t < live->tree_count; t++) {
		for (uint32_t i = 0; i < tree_shard_count(live->trees[t]);
		     i++) {
			name = tree_shard_name(live->trees[t], i);
			if (digest_compare(name, from) >= 0)
				counts[live_bucket(name)]++;
		}
	}
	return counts;
}

/* Room for a window, and where it ends: one bucket at least. */
static int live_measure(struct live *live, const struct digest *from)
{
	CLEANUP_FREE uint32_t *counts = live_histogram(live, from);
	struct live_entry *entries;
	uint32_t end = live_bucket(from) + 1;
	size_t count;

	if (!counts)
		return -ENOMEM;
	count = counts[end - 1];
	while (end < LIVE_BUCKETS && count + counts[end] <= live->entries_max)
		count += counts[end++];
	if (count > live->cap) {
		entries = malloc(count * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		free(live->entries);
		live->entries = entries;
		live->cap = count;
	}
	live->from = *from;
	live->end = end;
	return 0;
}

static int live_compare(const void *a, const void *b)
{
	const struct live_entry *x = a, *y = b;
	int order = digest_compare(&x->name, &y->name);

	if (order)
		return order;
	return x->tree < y->tree ? -1 : x->tree > y->tree;
}

int live_window(struct live *live, const struct digest *from)
{
	int rc;

	/* Of no trees nothing would be live. */
	ASSERT(!live->dropped);

	live->count = 0;
	live->end = 0;
	rc = live_measure(live, from);
	if (rc < 0)
		return rc;
	for (uint32_t t = 0; t < live->tree_count; t++) {
		for (uint32_t i = 0; i < tree_shard_count(live->trees[t]);
		     i++) {
			const struct digest *name =
			    tree_shard_name(live->trees[t], i);

			if (!live_covers(live, name))
				continue;
			ASSERT(live->count < live->cap);
			live->entries[live->count++] = (struct live_entry){
			    .name = *name, .tree = t, .shard = i};
		}
	}
	if (live->count > 0) /* else entries may be NULL */
		qsort(live->entries, live->count, sizeof(*live->entries),
		      live_compare);
	return 0;
}

bool live_covers(const struct live *live, const struct digest *name)
{
	return live_bucket(name) < live->end &&
	       digest_compare(name, &live->from) >= 0;
}

bool live_end(const struct live *live, struct digest *end)
{
	ASSERT(live->end > 0);

	memset(end, 0, sizeof(*end));
	if (live->end >= LIVE_BUCKETS)
		return false;
	end->bytes[0] = (uint8_t)(live->end >> 8);
	end->bytes[1] = (uint8_t)live->end;
	return true;
}

size_t live_find(const struct live *live, const struct digest *name,
		 const struct live_entry **first)
{
	size_t low = 0, high = live->count, n = 0;

	ASSERT(live_covers(live, name));

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (digest_compare(&live->entries[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*first = live->entries + low;
	while (low + n < live->count && digest_equal(&(*first)[n].name, name))
		n++;
	return n;
}

const struct live_entry *live_entries(const struct live *live, size_t *count)
{
	*count = live->count;
	return live->entries;
}
