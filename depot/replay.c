/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: chunks get numbers, so that each policy is a few arrays.  The trace
 * was written by somebody: lengths and counts are checked as it is read.
 */
#include "depot/replay.h"

#include "depot/digest.h"
#include "depot/format.h"
#include "depot/io.h"
#include "depot/shard.h"
#include "depot/trace.h"
#include "depot/usage.h"

#define REPLAY_NEVER UINT32_MAX

struct replay_access {
	uint32_t chunk, who;
	uint32_t next; /* access that reads it again; REPLAY_NEVER */
};

struct replay_trace {
	struct replay_access *accesses; /* owns */
	uint32_t count;
	uint64_t *names; /* owns; sorted: the number is the place */
	uint32_t *lens;  /* owns; by number */
	uint32_t chunk_count;
	struct replay_shape shape;
};

/* --- reading ------------------------------------------------------------- */

static int replay_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint32_t replay_number(const struct replay_trace *trace, uint64_t name)
{
	const uint64_t *found = bsearch(&name, trace->names, trace->chunk_count,
					sizeof(name), replay_compare);

	ASSERT(found);
	return (uint32_t)(found - trace->names);
}

static void replay_sort_names(struct replay_trace *trace,
			      const struct format_trace_record *records)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < trace->count; i++)
		trace->names[i] = le64_get(&records[i].shard_le);
	qsort(trace->names, trace->count, sizeof(trace->names[0]),
	      replay_compare);
	for (uint32_t i = 0; i < trace->count; i++)
		if (n == 0 || trace->names[i] != trace->names[n - 1])
			trace->names[n++] = trace->names[i];
	trace->chunk_count = n;
}

static void replay_count_tenants(struct replay_trace *trace)
{
	bool seen[1024] = {false};

	for (uint32_t i = 0; i < trace->count; i++) {
		bool *s = &seen[trace->accesses[i].who % ARRAY_LEN(seen)];

		if (trace->accesses[i].who != 0 && !*s)
			trace->shape.tenants++;
		*s |= trace->accesses[i].who != 0;
	}
}

static int replay_fill(struct replay_trace *trace,
		       const struct format_trace_record *records)
{
	struct replay_shape *shape = &trace->shape;
	CLEANUP_FREE uint32_t *last = NULL;

	replay_sort_names(trace, records);
	trace->lens = calloc(MAX(trace->chunk_count, 1u), sizeof(uint32_t));
	last = malloc(MAX(trace->chunk_count, 1u) * sizeof(uint32_t));
	if (!trace->lens || !last)
		return -ENOMEM;
	memset(last, 0xff, trace->chunk_count * sizeof(uint32_t));
	for (uint32_t i = trace->count; i-- > 0;) {
		struct replay_access *access = &trace->accesses[i];
		uint32_t len = le32_get(&records[i].len_le);

		if (len == 0 || len > SHARD_CHUNK_MAX)
			return -EBADMSG;
		access->chunk =
		    replay_number(trace, le64_get(&records[i].shard_le));
		access->who = le32_get(&records[i].who_le);
		access->next = last[access->chunk];
		last[access->chunk] = i;
		trace->lens[access->chunk] =
		    MAX(trace->lens[access->chunk], len);
		shape->reads++;
	}
	shape->chunks = trace->chunk_count;
	for (uint32_t c = 0; c < trace->chunk_count; c++)
		shape->chunk_bytes += trace->lens[c];
	for (uint32_t i = 0; i < trace->count; i++)
		shape->read_bytes += trace->lens[trace->accesses[i].chunk];
	if (trace->count > 0)
		shape->time_us =
		    le64_get(&records[trace->count - 1].time_us_le);
	replay_count_tenants(trace);
	return 0;
}

static int replay_check(const uint8_t *bytes, size_t len)
{
	const struct format_trace *header = (const void *)bytes;

	if (len < sizeof(*header) ||
	    memcmp(header->magic, FORMAT_TRACE_MAGIC, 8) != 0)
		return -EBADMSG;
	if (le32_get(&header->format_le) > FORMAT_TRACE)
		return -EPROTONOSUPPORT;
	if (le32_get(&header->format_le) == 0 ||
	    (len - sizeof(*header)) % sizeof(struct format_trace_record) != 0)
		return -EBADMSG;
	return 0;
}

int replay_open(const char *path, struct replay_trace **trace)
{
	size_t max = sizeof(struct format_trace) +
		     TRACE_RECORDS_MAX * sizeof(struct format_trace_record);
	CLEANUP_FREE void *bytes = NULL;
	struct replay_trace *t;
	size_t len;
	int rc;

	rc = io_read_file(path, max, &bytes, &len);
	if (rc == 0)
		rc = replay_check(bytes, len);
	if (rc < 0)
		return rc;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->count = (uint32_t)((len - sizeof(struct format_trace)) /
			      sizeof(struct format_trace_record));
	t->accesses = calloc(MAX(t->count, 1u), sizeof(*t->accesses));
	t->names = calloc(MAX(t->count, 1u), sizeof(*t->names));
	rc = t->accesses && t->names
		 ? replay_fill(t, (const void *)((uint8_t *)bytes +
						 sizeof(struct format_trace)))
		 : -ENOMEM;
	if (rc < 0)
		replay_close(t);
	else
		*trace = t;
	return rc;
}

void replay_close(struct replay_trace *trace)
{
	if (!trace)
		return;
	free(trace->accesses);
	free(trace->names);
	free(trace->lens);
	free(trace);
}

void replay_get_shape(const struct replay_trace *trace,
		      struct replay_shape *shape)
{
	*shape = trace->shape;
}

/* --- a cache ------------------------------------------------------------- */

/* `at`: place of a resident in order[]; REPLAY_NEVER: not here. */
struct replay_cache {
	const struct replay_trace *trace;
	uint64_t bytes, bytes_max;
	uint32_t *at;    /* owns; by chunk */
	uint32_t *order; /* owns; residents; a heap for REPLAY_BEST */
	uint32_t count;
	uint32_t *key;            /* owns; by chunk: last use, or next */
	uint32_t *after, *before; /* owns; by chunk: a list, oldest first */
	uint32_t oldest, newest;
	struct usage *usage;  /* owns; ours only */
	struct digest *names; /* owns; ours only, by chunk */
	uint8_t *owner;       /* owns; ours only, by chunk */
	uint64_t owned[USAGE_OWNERS];
	unsigned int owners;
	uint64_t random;
};

static uint32_t *replay_array(uint32_t count)
{
	uint32_t *array = malloc(MAX(count, 1u) * sizeof(uint32_t));

	if (array)
		memset(array, 0xff, count * sizeof(uint32_t));
	return array;
}

static void replay_cache_clear(struct replay_cache *cache)
{
	free(cache->at);
	free(cache->order);
	free(cache->key);
	free(cache->after);
	free(cache->before);
	free(cache->names);
	free(cache->owner);
	usage_free(cache->usage);
}

static int replay_cache_init(struct replay_cache *cache, bool ours)
{
	uint32_t n = cache->trace->chunk_count;
	int rc;

	cache->oldest = cache->newest = REPLAY_NEVER;
	cache->random = 88172645463325252u;
	cache->at = replay_array(n);
	cache->order = replay_array(n);
	cache->key = replay_array(n);
	cache->after = replay_array(n);
	cache->before = replay_array(n);
	if (!cache->at || !cache->order || !cache->key || !cache->after ||
	    !cache->before)
		return -ENOMEM;
	if (!ours)
		return 0;
	rc = usage_new(USAGE_COUNTERS_MAX, USAGE_FREQUENCY, &cache->usage);
	if (rc < 0)
		return rc;
	usage_grow(cache->usage, n);
	cache->owner = calloc(MAX(n, 1u), 1);
	cache->names = malloc(MAX(n, 1u) * sizeof(*cache->names));
	if (!cache->names || !cache->owner)
		return -ENOMEM;
	for (uint32_t c = 0; c < n; c++)
		cache->names[c] = digest_of(&cache->trace->names[c], 8);
	return 0;
}

static void replay_leave(struct replay_cache *cache, uint32_t chunk)
{
	uint32_t last = cache->order[--cache->count];

	cache->order[cache->at[chunk]] = last;
	cache->at[last] = cache->at[chunk];
	cache->at[chunk] = REPLAY_NEVER;
	cache->bytes -= cache->trace->lens[chunk];
}

static void replay_enter(struct replay_cache *cache, uint32_t chunk)
{
	cache->at[chunk] = cache->count;
	cache->order[cache->count++] = chunk;
	cache->bytes += cache->trace->lens[chunk];
}

/* --- ours ---------------------------------------------------------------- */

static bool replay_over(const struct replay_cache *cache, unsigned int owner)
{
	return cache->owners > 1 &&
	       cache->owned[owner] > cache->bytes_max / cache->owners;
}

static void replay_charge(struct replay_cache *cache, uint32_t chunk)
{
	uint64_t *owned = &cache->owned[cache->owner[chunk]];

	cache->owners += *owned == 0;
	*owned += cache->trace->lens[chunk];
}

static void replay_discharge(struct replay_cache *cache, uint32_t chunk)
{
	uint64_t *owned = &cache->owned[cache->owner[chunk]];

	*owned -= cache->trace->lens[chunk];
	cache->owners -= *owned == 0;
}

/* xorshift64 (Marsaglia 2003). */
static uint64_t replay_random(struct replay_cache *cache)
{
	cache->random ^= cache->random << 13;
	cache->random ^= cache->random >> 7;
	cache->random ^= cache->random << 17;
	return cache->random;
}

static struct usage_pick replay_sample(struct replay_cache *cache)
{
	struct usage_pick pick = {0};

	for (int i = 0; i < USAGE_SAMPLES && cache->count > 0; i++) {
		uint32_t *chunk =
		    &cache->order[replay_random(cache) % cache->count];

		usage_pick_offer(&pick, chunk,
				 usage_get(cache->usage, &cache->names[*chunk]),
				 replay_over(cache, cache->owner[*chunk]),
				 cache->key[*chunk]);
	}
	return pick;
}

static void replay_miss_ours(struct replay_cache *cache, uint32_t chunk)
{
	unsigned int worth = usage_get(cache->usage, &cache->names[chunk]);
	uint32_t len = cache->trace->lens[chunk];

	cache->owner[chunk] =
	    (uint8_t)usage_owner(cache->usage, &cache->names[chunk]);
	while (cache->count > 0 && cache->bytes + len > cache->bytes_max) {
		struct usage_pick pick = replay_sample(cache);
		uint32_t victim = *(uint32_t *)pick.victim;

		if (!usage_admits(&pick, worth,
				  replay_over(cache, cache->owner[chunk])))
			return;
		replay_discharge(cache, victim);
		replay_leave(cache, victim);
	}
	if (cache->bytes + len > cache->bytes_max)
		return;
	replay_enter(cache, chunk);
	replay_charge(cache, chunk);
	usage_set_residents(cache->usage, USAGE_MEMORY, cache->count);
}

/* --- by recency, by age -------------------------------------------------- */

static void replay_unlink(struct replay_cache *cache, uint32_t chunk)
{
	uint32_t before = cache->before[chunk], after = cache->after[chunk];

	*(before == REPLAY_NEVER ? &cache->oldest : &cache->after[before]) =
	    after;
	*(after == REPLAY_NEVER ? &cache->newest : &cache->before[after]) =
	    before;
}

static void replay_link(struct replay_cache *cache, uint32_t chunk)
{
	cache->before[chunk] = cache->newest;
	cache->after[chunk] = REPLAY_NEVER;
	*(cache->newest == REPLAY_NEVER ? &cache->oldest
					: &cache->after[cache->newest]) = chunk;
	cache->newest = chunk;
}

static void replay_miss_list(struct replay_cache *cache, uint32_t chunk)
{
	uint32_t len = cache->trace->lens[chunk];

	if (len > cache->bytes_max)
		return;
	while (cache->bytes + len > cache->bytes_max) {
		uint32_t victim = cache->oldest;

		replay_unlink(cache, victim);
		replay_leave(cache, victim);
	}
	replay_enter(cache, chunk);
	replay_link(cache, chunk);
}

/* --- by the future: order[] is a heap, the latest next use on top --------- */

static void replay_swap(struct replay_cache *cache, uint32_t a, uint32_t b)
{
	uint32_t chunk = cache->order[a];

	cache->order[a] = cache->order[b];
	cache->order[b] = chunk;
	cache->at[cache->order[a]] = a;
	cache->at[cache->order[b]] = b;
}

static uint32_t replay_heap_key(const struct replay_cache *cache, uint32_t at)
{
	return cache->key[cache->order[at]];
}

static void replay_sift(struct replay_cache *cache, uint32_t at)
{
	while (at > 0 && replay_heap_key(cache, at) >
			     replay_heap_key(cache, (at - 1) / 2)) {
		replay_swap(cache, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t top = at;

		for (uint32_t c = 2 * at + 1; c <= 2 * at + 2; c++)
			if (c < cache->count && replay_heap_key(cache, c) >
						    replay_heap_key(cache, top))
				top = c;
		if (top == at)
			return;
		replay_swap(cache, at, top);
		at = top;
	}
}

static void replay_miss_best(struct replay_cache *cache, uint32_t chunk)
{
	uint32_t len = cache->trace->lens[chunk];

	if (cache->key[chunk] == REPLAY_NEVER)
		return;
	while (cache->count > 0 && cache->bytes + len > cache->bytes_max) {
		uint32_t victim = cache->order[0];

		if (cache->key[victim] <= cache->key[chunk])
			return;
		replay_leave(cache, victim);
		if (cache->count > 0)
			replay_sift(cache, 0);
	}
	if (cache->bytes + len > cache->bytes_max)
		return;
	replay_enter(cache, chunk);
	replay_sift(cache, cache->count - 1);
}

/* --- a run --------------------------------------------------------------- */

static void replay_access(struct replay_cache *cache, enum replay_policy policy,
			  uint32_t i, struct replay_result *result)
{
	const struct replay_access *access = &cache->trace->accesses[i];
	uint32_t chunk = access->chunk;
	bool hit = cache->at[chunk] != REPLAY_NEVER;

	if (policy == REPLAY_OURS)
		usage_touch(cache->usage, &cache->names[chunk], access->who);
	cache->key[chunk] = policy == REPLAY_BEST ? access->next : i;
	if (hit) {
		result->hits++;
		result->hit_bytes += cache->trace->lens[chunk];
	}
	if (hit && policy == REPLAY_LRU) {
		replay_unlink(cache, chunk);
		replay_link(cache, chunk);
	} else if (hit && policy == REPLAY_BEST) {
		replay_sift(cache, cache->at[chunk]);
	} else if (!hit && policy == REPLAY_OURS) {
		replay_miss_ours(cache, chunk);
	} else if (!hit && policy == REPLAY_BEST) {
		replay_miss_best(cache, chunk);
	} else if (!hit) {
		replay_miss_list(cache, chunk);
	}
}

int replay_run(const struct replay_trace *trace, enum replay_policy policy,
	       uint64_t bytes_max, struct replay_result *result)
{
	struct replay_cache cache = {.trace = trace, .bytes_max = bytes_max};
	int rc = replay_cache_init(&cache, policy == REPLAY_OURS);

	*result = (struct replay_result){0};
	for (uint32_t i = 0; rc == 0 && i < trace->count; i++)
		replay_access(&cache, policy, i, result);
	replay_cache_clear(&cache);
	return rc;
}
