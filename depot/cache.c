/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache: 64 ways, each a hash table with a mutex of its own.  No function holds
 * two of them.
 *
 * A chunk is pinned under its way's lock and unpinned without: who sees no pins
 * under the lock knows that none can come.
 */
#include "depot/cache.h"

#include <pthread.h>
#include <stdatomic.h>

#include "depot/shard.h"
#include "depot/usage.h"

enum {
	CACHE_WAYS = 64,          /* a power of two */
	CACHE_BUCKETS_MIN = 64,   /* a power of two */
	CACHE_BUFFER_STEP = 4096, /* size classes: freed buffers fit again */
	CACHE_COUNT_STEP = 64,    /* landings between two counts of residents */
};

struct chunk {
	struct digest name;
	struct chunk *next;          /* way; borrows: next in the bucket */
	struct depot_piece *waiters; /* way; borrows */
	uint8_t *data;               /* owns; NULL while loading */
	size_t len;
	unsigned int pins;     /* atomic; raised under the way's lock only */
	unsigned int resident; /* way: place in residents */
	bool transient;        /* way: goes with its last pin */
	bool offered;          /* way: nobody has read it */
	uint8_t owner;         /* way: usage_owner() when it was read first */
	uint64_t used;         /* way: its `touches` at the last use */
};

struct cache_way {
	pthread_mutex_t lock;
	struct chunk **buckets;   /* lock; owns the chunks */
	size_t bucket_count;      /* lock; a power of two */
	struct chunk **residents; /* lock; borrows: the landed ones */
	unsigned int resident_count, resident_cap; /* lock */
	unsigned int chunk_count;                  /* lock; loading ones too */
	uint64_t touches;                          /* lock */
	uint64_t evictions;                        /* lock */
} __attribute__((aligned(64)));

struct cache {
	size_t bytes_max;
	struct usage *usage; /* borrows */
	bool lru;            /* constant */
	_Atomic size_t bytes;
	_Atomic size_t offered; /* of bytes: of chunks that are offered */
	_Atomic size_t reserve; /* that used chunks leave to them, now */
	_Atomic uint64_t offers;
	_Atomic uint64_t random;
	_Atomic uint64_t landings, chunks;
	_Atomic size_t owned[USAGE_OWNERS]; /* bytes by owner */
	atomic_uint owners;                 /* of them that have some */
	struct cache_way ways[CACHE_WAYS];
};

/* Parts of the digest that do not overlap: way 6 bits, usage 32, bucket 64. */
static struct cache_way *cache_way_of(struct cache *cache,
				      const struct digest *name)
{
	return &cache->ways[name->bytes[0] % CACHE_WAYS];
}

static struct chunk **cache_bucket_of(struct cache_way *way,
				      const struct digest *name)
{
	return &way->buckets[le64_get(name->bytes + 8) &
			     (way->bucket_count - 1)];
}

/* What a chunk takes up, the allocator's rounding included. */
static size_t cache_cost(size_t len)
{
	return (len + CACHE_BUFFER_STEP - 1) / CACHE_BUFFER_STEP *
		   CACHE_BUFFER_STEP +
	       sizeof(struct chunk);
}

/* splitmix64 (Steele, Lea, Flood 2014); quality hardly matters here. */
static uint64_t cache_random(struct cache *cache)
{
	uint64_t z = atomic_fetch_add_explicit(
	    &cache->random, 0x9e3779b97f4a7c15, memory_order_relaxed);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

int cache_new(size_t bytes_max, struct usage *usage, struct cache **cache)
{
	struct cache *c;
	bool ok = true;

	c = aligned_alloc(64, sizeof(*c));
	if (!c)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->bytes_max = bytes_max;
	c->usage = usage;
	c->lru = usage_rule(usage) == USAGE_LRU;
	for (unsigned int i = 0; i < CACHE_WAYS; i++) {
		struct cache_way *way = &c->ways[i];

		pthread_mutex_init(&way->lock, NULL);
		way->bucket_count = CACHE_BUCKETS_MIN;
		way->buckets = calloc(way->bucket_count, sizeof(*way->buckets));
		ok &= way->buckets != NULL;
	}
	if (!ok) {
		cache_free(c);
		return -ENOMEM;
	}
	*cache = c;
	return 0;
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (unsigned int i = 0; i < CACHE_WAYS; i++) {
		struct cache_way *way = &cache->ways[i];

		/* Every chunk is resident, or its flight would be lost. */
		ASSERT(way->resident_count == way->chunk_count);
		for (unsigned int r = 0; r < way->resident_count; r++) {
			ASSERT(way->residents[r]->pins == 0);
			free(way->residents[r]->data);
			free(way->residents[r]);
		}
		free(way->residents);
		free(way->buckets);
		pthread_mutex_destroy(&way->lock);
	}
	free(cache);
}

/* --- shares ------------------------------------------------------------- */

static void cache_charge(struct cache *cache, const struct chunk *chunk)
{
	size_t cost = cache_cost(chunk->len);

	if (atomic_fetch_add(&cache->owned[chunk->owner], cost) == 0)
		atomic_fetch_add(&cache->owners, 1);
	atomic_fetch_add(&cache->bytes, cost);
}

/* An offered chunk is nobody's: it takes no share. */
static void cache_discharge(struct cache *cache, const struct chunk *chunk)
{
	size_t cost = cache_cost(chunk->len);

	if (chunk->offered)
		atomic_fetch_sub(&cache->offered, cost);
	else if (atomic_fetch_sub(&cache->owned[chunk->owner], cost) == cost)
		atomic_fetch_sub(&cache->owners, 1);
	atomic_fetch_sub(&cache->bytes, cost);
}

static bool cache_over(struct cache *cache, unsigned int owner)
{
	unsigned int owners =
	    atomic_load_explicit(&cache->owners, memory_order_relaxed);

	return !cache->lru && owners > 1 &&
	       atomic_load_explicit(&cache->owned[owner],
				    memory_order_relaxed) >
		   cache->bytes_max / owners;
}

/* --- one way, locked ----------------------------------------------------- */

static struct chunk *way_find(struct cache_way *way, const struct digest *name)
{
	struct chunk *chunk = *cache_bucket_of(way, name);

	while (chunk && !digest_equal(&chunk->name, name))
		chunk = chunk->next;
	return chunk;
}

/* Best effort: without memory the chains grow longer. */
static void way_grow(struct cache_way *way)
{
	struct chunk **old = way->buckets, **grown;
	size_t old_count = way->bucket_count;

	if (way->chunk_count < 2 * old_count)
		return;
	grown = calloc(2 * old_count, sizeof(*grown));
	if (!grown)
		return;
	way->buckets = grown;
	way->bucket_count = 2 * old_count;
	for (size_t i = 0; i < old_count; i++) {
		struct chunk *chunk = old[i], *next;

		for (; chunk; chunk = next) {
			struct chunk **bucket =
			    cache_bucket_of(way, &chunk->name);

			next = chunk->next;
			chunk->next = *bucket;
			*bucket = chunk;
		}
	}
	free(old);
}

/* A place among the residents is made now, so that landing cannot fail. */
static bool way_reserve_resident(struct cache_way *way)
{
	struct chunk **grown;
	unsigned int cap;

	if (way->chunk_count < way->resident_cap)
		return true;
	cap = MAX(64u, 2 * way->resident_cap);
	grown = realloc(way->residents, cap * sizeof(struct chunk *));
	if (!grown)
		return false;
	way->residents = grown;
	way->resident_cap = cap;
	return true;
}

static struct chunk *way_add(struct cache_way *way, const struct digest *name)
{
	struct chunk **bucket, *chunk;

	if (!way_reserve_resident(way))
		return NULL;
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->name = *name;
	bucket = cache_bucket_of(way, name);
	chunk->next = *bucket;
	*bucket = chunk;
	way->chunk_count++;
	way_grow(way);
	return chunk;
}

/* Out of the bucket; what it holds is the caller's. */
static void way_unlink(struct cache_way *way, struct chunk *chunk)
{
	struct chunk **p = cache_bucket_of(way, &chunk->name);

	while (*p != chunk)
		p = &(*p)->next;
	*p = chunk->next;
	way->chunk_count--;
}

static void way_evict(struct cache *cache, struct cache_way *way,
		      struct chunk *chunk)
{
	struct chunk *last = way->residents[way->resident_count - 1];

	ASSERT(__atomic_load_n(&chunk->pins, __ATOMIC_ACQUIRE) == 0);

	last->resident = chunk->resident;
	way->residents[chunk->resident] = last;
	way->resident_count--;
	way_unlink(way, chunk);
	way->evictions++;
	atomic_fetch_sub(&cache->chunks, 1);
	cache_discharge(cache, chunk);
	free(chunk->data);
	free(chunk);
}

/* By recency only the time counts; what the counters know is too coarse. */
static unsigned int cache_worth(const struct cache *cache,
				const struct digest *name)
{
	return cache->lru ? 1 : usage_get(cache->usage, name);
}

/* What was offered within the reserve makes no room by going. */
static bool cache_spares(struct cache *cache, const struct chunk *chunk)
{
	return chunk->offered &&
	       atomic_load(&cache->offered) <= atomic_load(&cache->reserve);
}

static struct usage_pick way_victim(struct cache *cache, struct cache_way *way)
{
	struct usage_pick pick = {0};

	for (int i = 0; i < USAGE_SAMPLES && way->resident_count > 0; i++) {
		struct chunk *chunk =
		    way->residents[cache_random(cache) % way->resident_count];

		if (__atomic_load_n(&chunk->pins, __ATOMIC_ACQUIRE) > 0 ||
		    cache_spares(cache, chunk))
			continue;
		usage_pick_offer(&pick, chunk, cache_worth(cache, &chunk->name),
				 !chunk->offered &&
				     cache_over(cache, chunk->owner),
				 chunk->used);
	}
	return pick;
}

/* The oldest of a few that were offered and not read; NULL: none. */
static struct chunk *way_oldest_offered(struct cache *cache,
					struct cache_way *way)
{
	struct chunk *oldest = NULL;

	for (int i = 0; i < USAGE_SAMPLES && way->resident_count > 0; i++) {
		struct chunk *chunk =
		    way->residents[cache_random(cache) % way->resident_count];

		if (chunk->offered && (!oldest || chunk->used < oldest->used))
			oldest = chunk;
	}
	return oldest;
}

/* --- all of them --------------------------------------------------------- */

static bool cache_full(struct cache *cache)
{
	size_t offered = atomic_load(&cache->offered);
	size_t reserve = atomic_load(&cache->reserve);

	return atomic_load(&cache->bytes) + reserve - MIN(offered, reserve) >
	       cache->bytes_max;
}

/*
 * Make room.  false: the victims are worth more than a newcomer of that worth
 * and share, which should not stay.
 */
static bool cache_trim(struct cache *cache, unsigned int worth, bool over)
{
	unsigned int start = (unsigned int)cache_random(cache);
	bool stays = true;

	for (unsigned int i = 0; i < CACHE_WAYS && stays; i++) {
		struct cache_way *way = &cache->ways[(start + i) % CACHE_WAYS];
		struct usage_pick pick;

		if (!cache_full(cache))
			break;
		pthread_mutex_lock(&way->lock);
		while (cache_full(cache)) {
			pick = way_victim(cache, way);
			if (!pick.victim)
				break;
			stays = usage_admits(&pick, worth, over);
			if (!stays)
				break;
			way_evict(cache, way, pick.victim);
			/* Spread: emptying one way would be no sample. */
			if (way->resident_count < USAGE_SAMPLES)
				break;
		}
		pthread_mutex_unlock(&way->lock);
	}
	return stays;
}

/* Room for a chunk that is being read: of others, or else it goes with its last
 * pin.  The caller has one. */
static void cache_admit(struct cache *cache, struct chunk *chunk)
{
	struct cache_way *way = cache_way_of(cache, &chunk->name);

	if (cache_trim(cache, cache_worth(cache, &chunk->name),
		       cache_over(cache, chunk->owner)))
		return;
	pthread_mutex_lock(&way->lock);
	chunk->transient = true;
	pthread_mutex_unlock(&way->lock);
}

/* Its first reader; way. */
static void way_adopt(struct cache *cache, struct chunk *chunk)
{
	cache_discharge(cache, chunk);
	chunk->offered = false;
	chunk->owner = (uint8_t)usage_owner(cache->usage, &chunk->name);
	cache_charge(cache, chunk);
}

int cache_ask(struct cache *cache, const struct digest *name,
	      struct depot_piece *piece, struct chunk **load)
{
	struct cache_way *way = cache_way_of(cache, name);
	struct chunk *chunk;
	int answer;

	usage_touch(cache->usage, name, piece->read ? piece->read->who : 0);
	pthread_mutex_lock(&way->lock);
	way->touches++;
	chunk = way_find(way, name);
	if (chunk && chunk->data) {
		chunk->used = way->touches;
		__atomic_fetch_add(&chunk->pins, 1, __ATOMIC_RELAXED);
		piece->chunk = chunk;
		answer = chunk->offered ? CACHE_OFFERED : CACHE_HOT;
		if (chunk->offered)
			way_adopt(cache, chunk);
		goto out;
	}
	answer = CACHE_WAITING;
	if (!chunk) {
		chunk = way_add(way, name);
		answer = chunk ? CACHE_LOAD : -ENOMEM;
		*load = chunk;
	}
	if (chunk) {
		piece->next_waiter = chunk->waiters;
		chunk->waiters = piece;
	}
out:
	pthread_mutex_unlock(&way->lock);
	if (answer == CACHE_OFFERED)
		cache_admit(cache, chunk);
	return answer;
}

void *cache_buffer(size_t len)
{
	ASSERT(len > 0 && len <= SHARD_CHUNK_MAX);

	return malloc((len + CACHE_BUFFER_STEP - 1) / CACHE_BUFFER_STEP *
		      CACHE_BUFFER_STEP);
}

/* Now and then the counters are told how many there are; and when no offers
 * have come, what is kept for them is given back. */
static void cache_count(struct cache *cache)
{
	uint64_t chunks = atomic_fetch_add(&cache->chunks, 1) + 1;

	if (atomic_fetch_add(&cache->landings, 1) % CACHE_COUNT_STEP != 0)
		return;
	usage_set_residents(cache->usage, USAGE_MEMORY, chunks);
	if (atomic_exchange(&cache->offers, 0) == 0)
		atomic_store(&cache->reserve, 0);
}

/* What a chunk holds, from now on; way. */
static void way_settle(struct cache_way *way, struct chunk *chunk, void *data,
		       size_t len)
{
	chunk->data = data;
	chunk->len = len;
	chunk->used = way->touches;
	chunk->resident = way->resident_count;
	way->residents[way->resident_count++] = chunk;
}

struct depot_piece *cache_land(struct cache *cache, struct chunk *chunk,
			       void *data, size_t len)
{
	struct cache_way *way = cache_way_of(cache, &chunk->name);
	struct depot_piece *waiters;

	ASSERT(data && !chunk->data);

	pthread_mutex_lock(&way->lock);
	/* Our own pin: the chunk must outlive the trimming below. */
	chunk->pins = 1;
	waiters = chunk->waiters;
	chunk->waiters = NULL;
	for (struct depot_piece *p = waiters; p; p = p->next_waiter) {
		p->chunk = chunk;
		chunk->pins++;
	}
	way_settle(way, chunk, data, len);
	chunk->owner = (uint8_t)usage_owner(cache->usage, &chunk->name);
	cache_charge(cache, chunk);
	pthread_mutex_unlock(&way->lock);

	cache_count(cache);
	cache_admit(cache, chunk);
	cache_release(cache, chunk);
	return waiters;
}

/* --- offers -------------------------------------------------------------- */

static bool cache_offered_too_many(struct cache *cache)
{
	return cache_full(cache) ||
	       atomic_load(&cache->offered) >
		   MAX(cache->bytes_max / CACHE_OFFERED_PART,
		       atomic_load(&cache->reserve));
}

/* Counted before it is here, so that many who offer stay within the budget
 * together; false: no room, and not counted.  way */
static bool way_make_room(struct cache *cache, struct cache_way *way,
			  size_t cost, bool displaces)
{
	struct chunk *oldest;

	atomic_fetch_add(&cache->bytes, cost);
	atomic_fetch_add(&cache->offered, cost);
	while (cache_offered_too_many(cache)) {
		oldest = displaces ? way_oldest_offered(cache, way) : NULL;
		if (!oldest) {
			atomic_fetch_sub(&cache->offered, cost);
			atomic_fetch_sub(&cache->bytes, cost);
			return false;
		}
		way_evict(cache, way, oldest);
	}
	return true;
}

/* As cache_count(), when what is read has all been offered. */
static void cache_note_offer(struct cache *cache)
{
	uint64_t before = atomic_fetch_add(&cache->offers, 1);

	if (before == 0)
		atomic_store(&cache->reserve,
			     cache->bytes_max / CACHE_RESERVE_PART);
	if (before % CACHE_COUNT_STEP == 0)
		usage_set_residents(cache->usage, USAGE_MEMORY,
				    atomic_load(&cache->chunks));
}

bool cache_offer(struct cache *cache, const struct digest *name, void *data,
		 size_t len, bool displaces)
{
	struct cache_way *way = cache_way_of(cache, name);
	size_t cost = cache_cost(len);
	struct chunk *chunk = NULL;

	ASSERT(data);

	cache_note_offer(cache);
	pthread_mutex_lock(&way->lock);
	if (!way_find(way, name) &&
	    way_make_room(cache, way, cost, displaces)) {
		chunk = way_add(way, name);
		if (chunk) {
			way_settle(way, chunk, data, len);
			chunk->offered = true;
			atomic_fetch_add(&cache->chunks, 1);
		} else {
			atomic_fetch_sub(&cache->offered, cost);
			atomic_fetch_sub(&cache->bytes, cost);
		}
	}
	pthread_mutex_unlock(&way->lock);
	return chunk != NULL;
}

/* --- the rest ------------------------------------------------------------ */

struct depot_piece *cache_fail(struct cache *cache, struct chunk *chunk)
{
	struct cache_way *way = cache_way_of(cache, &chunk->name);
	struct depot_piece *waiters;

	pthread_mutex_lock(&way->lock);
	ASSERT(!chunk->data);
	waiters = chunk->waiters;
	way_unlink(way, chunk);
	pthread_mutex_unlock(&way->lock);
	free(chunk);
	return waiters;
}

bool cache_leave(struct cache *cache, const struct digest *name,
		 struct depot_piece *piece)
{
	struct cache_way *way = cache_way_of(cache, name);
	struct depot_piece **p;
	struct chunk *chunk;
	bool left = false;

	pthread_mutex_lock(&way->lock);
	chunk = way_find(way, name);
	for (p = chunk ? &chunk->waiters : NULL; p && *p && !left;) {
		left = *p == piece;
		if (left)
			*p = piece->next_waiter;
		else
			p = &(*p)->next_waiter;
	}
	pthread_mutex_unlock(&way->lock);
	return left;
}

bool cache_wanted(struct cache *cache, struct chunk *chunk)
{
	struct cache_way *way = cache_way_of(cache, &chunk->name);
	bool wanted;

	pthread_mutex_lock(&way->lock);
	wanted = chunk->waiters != NULL;
	pthread_mutex_unlock(&way->lock);
	return wanted;
}

/* The last pin of a chunk that must not stay; somebody may pin it meanwhile. */
static void cache_release_slow(struct cache *cache, const struct digest *name)
{
	struct cache_way *way = cache_way_of(cache, name);
	struct chunk *chunk;

	pthread_mutex_lock(&way->lock);
	chunk = way_find(way, name);
	if (chunk && chunk->data && chunk->transient &&
	    __atomic_load_n(&chunk->pins, __ATOMIC_ACQUIRE) == 0)
		way_evict(cache, way, chunk);
	pthread_mutex_unlock(&way->lock);
	/* All was pinned when the budget was passed. */
	if (cache_full(cache))
		cache_trim(cache, UINT8_MAX, false);
}

void cache_release(struct cache *cache, struct chunk *chunk)
{
	struct digest name;
	unsigned int before;

	if (!cache_full(cache)) {
		before = __atomic_fetch_sub(&chunk->pins, 1, __ATOMIC_RELEASE);
		ASSERT(before > 0);
		return;
	}
	/* Without the pin the chunk may be gone at once: only its name stays.
	 */
	name = chunk->name;
	before = __atomic_fetch_sub(&chunk->pins, 1, __ATOMIC_RELEASE);
	ASSERT(before > 0);
	if (before == 1)
		cache_release_slow(cache, &name);
}

void cache_get_stats(struct cache *cache, struct cache_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->bytes = atomic_load(&cache->bytes);
	stats->bytes_max = cache->bytes_max;
	stats->offered = atomic_load(&cache->offered);
	stats->owners = atomic_load(&cache->owners);
	for (unsigned int i = 0; i < CACHE_WAYS; i++) {
		struct cache_way *way = &cache->ways[i];

		pthread_mutex_lock(&way->lock);
		stats->chunks += way->resident_count;
		stats->evictions += way->evictions;
		pthread_mutex_unlock(&way->lock);
	}
}

const uint8_t *chunk_data(const struct chunk *chunk)
{
	return chunk->data;
}

size_t chunk_len(const struct chunk *chunk)
{
	return chunk->len;
}
