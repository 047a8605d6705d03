/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict_step: a window, its victims, and their space.
 */
#include "depot/clock.h"
#include "depot/evict_inside.h"
#include "depot/lease.h"
#include "depot/log.h"
#include "depot/store.h"

enum {
	EVICT_BATCH = 64,      /* shards removed under the leases' lock */
	EVICT_FIRST_LOOKS = 8, /* windows that tell the shares at first */
	EVICT_OVER_PART = 16,  /* of a share: above it by less is chance */
};

struct evict_entry {
	struct digest name;
	size_t len;
	unsigned int owner;
	bool kept, goes;
};

struct evict_window {
	struct evict *evict;
	struct evict_entry *entries; /* owns; EVICT_ENTRIES_MAX */
	unsigned int count;
	uint64_t bytes, bytes_max, kept_bytes;
	unsigned int worths, groups; /* of each group's first victim */
};

static int window_visit(void *ctx, const struct digest *name, size_t shard_len)
{
	struct evict_window *window = ctx;
	struct evict_entry *entry = &window->entries[window->count++];

	entry->name = *name;
	entry->len = shard_len;
	entry->owner = usage_owner(window->evict->options.usage, name);
	entry->kept = kept_has(window->evict->kept, name);
	entry->goes = false;
	window->bytes += shard_len;
	if (entry->kept)
		window->kept_bytes += shard_len;
	return window->bytes >= window->bytes_max ||
	       window->count == EVICT_ENTRIES_MAX;
}

/* A 16th of the quota: small stores have small windows. */
uint64_t evict_window_bytes(const struct evict *evict)
{
	uint64_t part = evict->options.quota / 16;

	if (evict->options.quota == 0)
		return EVICT_WINDOW_MAX;
	return MIN(MAX(part, (uint64_t)EVICT_WINDOW_MIN),
		   (uint64_t)EVICT_WINDOW_MAX);
}

/* --- shares -------------------------------------------------------------- */

/* What the last windows held, the older ones for less and less. */
static void window_tally(struct evict_window *window)
{
	struct evict *evict = window->evict;

	evict->owned_sum = 0;
	for (unsigned int o = 0; o < USAGE_OWNERS; o++)
		evict->owned[o] -= evict->owned[o] / 8;
	for (unsigned int i = 0; i < window->count; i++)
		if (!window->entries[i].kept)
			evict->owned[window->entries[i].owner] +=
			    window->entries[i].len;
	for (unsigned int o = 0; o < USAGE_OWNERS; o++)
		evict->owned_sum += evict->owned[o];
	evict->window_kept += window->kept_bytes - evict->window_kept / 8;
	evict->window_bytes += window->bytes - evict->window_bytes / 8;
}

static bool window_over(const struct evict *evict, unsigned int owner)
{
	unsigned int owners = 0;
	uint64_t share;

	if (usage_rule(evict->options.usage) == USAGE_LRU)
		return false;
	for (unsigned int o = 0; o < USAGE_OWNERS; o++)
		owners += evict->owned[o] > 0;
	share = owners > 1 ? evict->owned_sum / owners : UINT64_MAX;
	return evict->owned[owner] > share &&
	       evict->owned[owner] - share > share / EVICT_OVER_PART;
}

/* --- victims ------------------------------------------------------------- */

/* The lowest of a group of neighbours that is still there. */
static struct evict_entry *window_lowest(struct evict_window *window,
					 struct evict_entry *const *group,
					 unsigned int count,
					 unsigned int *worth)
{
	struct usage_pick pick = {0};

	for (unsigned int i = 0; i < count; i++)
		if (!group[i]->goes)
			usage_pick_offer(
			    &pick, group[i],
			    usage_get(window->evict->options.usage,
				      &group[i]->name),
			    window_over(window->evict, group[i]->owner), 0);
	*worth = pick.worth;
	return pick.victim;
}

/* A group of few gives few: else none would be poor by chance. */
static void window_choose_group(struct evict_window *window,
				struct evict_entry *const *group,
				unsigned int count)
{
	unsigned int take = count * EVICT_TAKE / USAGE_SAMPLES, worth;

	for (unsigned int taken = 0;; taken++) {
		struct evict_entry *entry =
		    window_lowest(window, group, count, &worth);

		if (!entry || (taken >= take && worth > 0))
			return;
		entry->goes = true;
		if (taken == 0) {
			window->worths += worth;
			window->groups++;
		}
	}
}

static void window_choose(struct evict_window *window)
{
	struct evict_entry *group[USAGE_SAMPLES];
	unsigned int count = 0;

	for (unsigned int i = 0; i < window->count; i++) {
		if (!window->entries[i].kept)
			group[count++] = &window->entries[i];
		if (count == USAGE_SAMPLES || i + 1 == window->count) {
			window_choose_group(window, group, count);
			count = 0;
		}
	}
}

/*
 * Remove some, but none that a lease guards; nothing when a lease was closed
 * since the kept were learnt.  *count: how many went.
 */
static uint64_t window_remove_some(struct evict_window *window,
				   struct digest *names, unsigned int *count)
{
	struct leases *leases = window->evict->options.leases;
	unsigned int all = *count;
	uint64_t removed = 0;

	if (leases) {
		leases_lock(leases);
		if (!leases_unchanged(leases, window->evict->closes))
			all = 0;
		*count = 0;
		for (unsigned int i = 0; i < all; i++)
			if (!leases_guarded(leases, &names[i]))
				names[(*count)++] = names[i];
	}
	/* Out of room: that is logged where it is born. */
	if (*count > 0 && store_remove_list(window->evict->options.store, names,
					    *count, &removed) < 0)
		*count = 0;
	if (leases)
		leases_unlock(leases);
	return removed;
}

static uint64_t window_remove(struct evict_window *window)
{
	CLEANUP_FREE struct digest *names =
	    malloc(STORE_REMOVE_MAX * sizeof(*names));
	unsigned int count = 0, shards = 0;
	uint64_t bytes = 0;

	if (!names)
		return 0;
	for (unsigned int i = 0; i <= window->count; i++) {
		if (i < window->count && window->entries[i].goes)
			names[count++] = window->entries[i].name;
		/* Few at a time: those who guard wait meanwhile. */
		if (count < EVICT_BATCH && i < window->count)
			continue;
		bytes += window_remove_some(window, names, &count);
		shards += count;
		count = 0;
	}
	atomic_fetch_add(&window->evict->shards, shards);
	atomic_fetch_add(&window->evict->bytes, bytes);
	return bytes;
}

static void window_learn(struct evict_window *window)
{
	struct evict *evict = window->evict;
	struct store_stats stats;

	store_get_stats(evict->options.store, &stats);
	if (evict->window_bytes > 0)
		atomic_store(&evict->kept_bytes,
			     (uint64_t)((double)stats.bytes *
					(double)evict->window_kept /
					(double)evict->window_bytes));
	evict->learnt_ms = clock_coarse_ms();
	/* By recency whoever comes is worth most. */
	if (usage_rule(evict->options.usage) == USAGE_FREQUENCY)
		atomic_store(&evict->bar, window->groups
					      ? window->worths / window->groups
					      : 0);
}

/* Random shards from a random one on; < 0: none can be read. */
static int window_fill(struct evict_window *window, uint64_t bytes_max)
{
	struct digest from;

	random_bytes(&from, sizeof(from));
	window->bytes_max = bytes_max;
	window->count = 0;
	window->bytes = window->kept_bytes = 0;
	return store_walk(window->evict->options.store, &from, window_visit,
			  window);
}

/* One window tells little of who has how much, and nothing more is known yet.
 */
static void window_first_looks(struct evict_window *window)
{
	uint64_t part = evict_window_bytes(window->evict) / EVICT_FIRST_LOOKS;

	for (int i = 0; i < EVICT_FIRST_LOOKS; i++)
		if (window_fill(window, MAX(part, EVICT_WINDOW_MIN)) >= 0)
			window_tally(window);
}

static int window_new(struct evict *evict, struct evict_window *window)
{
	*window = (struct evict_window){.evict = evict};
	window->entries = malloc(EVICT_ENTRIES_MAX * sizeof(*window->entries));
	if (!window->entries)
		return -ENOMEM;
	if (evict->owned_sum == 0)
		window_first_looks(window);
	return 0;
}

void evict_sample(struct evict *evict)
{
	struct evict_window window;

	if (window_new(evict, &window) < 0)
		return;
	if (window_fill(&window, EVICT_WINDOW_MIN) >= 0 && window.count > 0) {
		window_tally(&window);
		window_choose(&window);
		window_learn(&window);
	}
	free(window.entries);
}

uint64_t evict_step(struct evict *evict)
{
	struct evict_window window;
	uint64_t freed = 0;
	int rc;

	if (window_new(evict, &window) < 0)
		return 0;
	rc = window_fill(&window, evict_window_bytes(evict));
	if (rc >= 0 && window.count > 0) {
		window_tally(&window);
		window_choose(&window);
		freed = window_remove(&window);
		window_learn(&window);
	}
	if (freed > 0)
		rc =
		    store_compact(evict->options.store, &window.entries[0].name,
				  &window.entries[window.count - 1].name);
	if (rc < 0)
		log_warn("store: a step of eviction failed: %s", strerror(-rc));
	free(window.entries);
	return freed;
}
