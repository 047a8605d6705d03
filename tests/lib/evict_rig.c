/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict_rig: see evict_rig.h.
 */
#include "tests/lib/evict_rig.h"

#include <stdio.h>
#include <time.h>

#include "depot/kept.h"
#include "tests/lib/check.h"

struct digest evict_rig_name(unsigned int number)
{
	return digest_of(&number, sizeof(number));
}

static int evict_rig_kept(void *ctx, struct kept **kept, uint64_t *known)
{
	struct evict_rig *rig = ctx;
	unsigned int end = __atomic_load_n(&rig->keep_end, __ATOMIC_SEQ_CST);

	*kept = kept_new();
	*known = 1000;
	for (unsigned int i = rig->keep_from; i < end; i++) {
		struct digest name = evict_rig_name(i);

		ASSERT(kept_add(*kept, &name) == 0);
	}
	return 0;
}

void evict_rig_open(struct evict_rig *rig, uint64_t quota, enum usage_rule rule)
{
	struct store_options store = {
	    .memory_max = 8 << 20, .disk_max = quota, .space = rig->space};
	struct evict_options options = {.quota = quota,
					.space = rig->space,
					.free_min = rig->free_min,
					.leases = rig->leases,
					.usage_path = rig->usage_path,
					.kept = evict_rig_kept,
					.ctx = rig};

	ASSERT(store_open_with(rig->dir, &store, &rig->store) == 0);
	ASSERT(usage_new(USAGE_COUNTERS_MIN, rule, &rig->usage) == 0);
	snprintf(rig->usage_path, sizeof(rig->usage_path), "%s.usage",
		 rig->dir);
	options.store = rig->store;
	options.usage = rig->usage;
	ASSERT(evict_new(&options, &rig->evict) == 0);
}

void evict_rig_close(struct evict_rig *rig)
{
	evict_free(rig->evict);
	store_close(rig->store);
	usage_free(rig->usage);
	unlink(rig->usage_path);
}

void evict_rig_keep(struct evict_rig *rig, unsigned int end)
{
	__atomic_store_n(&rig->keep_end, end, __ATOMIC_SEQ_CST);
	evict_kept_changed(rig->evict);
}

void evict_rig_pause(unsigned int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

void evict_rig_touch(struct evict_rig *rig, unsigned int from, unsigned int end,
		     unsigned int times, uint32_t who)
{
	for (unsigned int i = from; i < end; i++) {
		struct digest name = evict_rig_name(i);

		for (unsigned int t = 0; t < times; t++)
			usage_touch(rig->usage, &name, who);
	}
}

int evict_rig_fetch(struct evict_rig *rig, unsigned int number)
{
	uint8_t bytes[EVICT_RIG_SHARD];
	struct digest name = evict_rig_name(number);
	unsigned int x = number;

	usage_touch(rig->usage, &name, 0);
	for (size_t i = 0; i < sizeof(bytes); i += 4) {
		x = x * 1664525u + 1013904223u;
		le32_put(bytes + i, x);
	}
	return store_put_fetched(rig->store, &name, bytes, sizeof(bytes));
}

void evict_rig_store(struct evict_rig *rig, unsigned int number)
{
	int rc = evict_rig_fetch(rig, number);

	for (int ms = 0; rc == -EDQUOT && ms < EVICT_RIG_WAIT_MS; ms += 5) {
		evict_rig_pause(5);
		rc = evict_rig_fetch(rig, number);
	}
	CU_ASSERT_EQUAL(rc, 0);
}

unsigned int evict_rig_count(struct evict_rig *rig, unsigned int from,
			     unsigned int end)
{
	unsigned int count = 0;

	for (unsigned int i = from; i < end; i++) {
		struct digest name = evict_rig_name(i);

		count += store_has(rig->store, &name);
	}
	return count;
}

void evict_rig_look(struct evict_rig *rig)
{
	rig->disk_most = MAX(rig->disk_most, store_disk_bytes(rig->store));
}

void evict_rig_settle(struct evict_rig *rig)
{
	struct evict_stats stats;

	for (int ms = 0; ms < EVICT_RIG_WAIT_MS; ms += 2) {
		evict_get_stats(rig->evict, &stats);
		evict_rig_look(rig);
		if (stats.room)
			return;
		evict_rig_pause(2);
	}
	CU_FAIL("no room is made");
}

void evict_rig_load(struct evict_rig *rig, unsigned int from,
		    unsigned int count, bool settle)
{
	for (unsigned int i = 0; i < count; i++) {
		int rc = evict_rig_fetch(rig, from + i);

		CU_ASSERT(rc == 0 || rc == -EDQUOT);
		if (settle)
			evict_rig_settle(rig);
		else if (i % 32 == 0)
			evict_rig_pause(3);
		if (i % 32 == 0)
			evict_rig_look(rig);
	}
}
