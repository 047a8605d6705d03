/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: how often shards are read, in one byte each: the counters by which
 * memory (cache.h) and disk (evict.h) choose what goes and what may stay.
 *
 * A counter belongs to bits of the digest, whether the shard is here or not; a
 * collision costs a point of hit ratio, never correctness.  +1 per read, at
 * most 255; all are halved after USAGE_HALVE_FACTOR reads per resident.  Beside
 * it lies an owner: the tenant that read it first since the counter was 0.
 *
 * With USAGE_LRU the byte is a time instead, and usage_get() says how lately
 * the shard was read: the same callers then evict the least recently used, and
 * admit everything.
 *
 * Thread-safe and without locks: a count may be lost when two threads meet.
 * The counters lie in USAGE_SEGMENTS parts by the digest's first byte, each
 * halved by itself, by the reader whose turn it is.
 */
#ifndef DEPOT_USAGE_H
#define DEPOT_USAGE_H

#include "depot/base.h"
#include "depot/digest.h"

struct usage;

enum {
	USAGE_SEGMENTS = 64,
	USAGE_COUNTERS_MIN = 1 << 20,
	USAGE_COUNTERS_MAX = 64 << 20, /* bytes too; as many owners beside */
	USAGE_PER_SHARD = 4,           /* counters per known shard, at least */
	USAGE_HALVE_FACTOR = 10,
	USAGE_SAMPLES = 16,
	USAGE_OWNERS = 256, /* 0: nobody */
};

enum usage_rule { USAGE_FREQUENCY, USAGE_LRU };

/* counters_max: rounded down to a power of two, within the bounds above. */
MUST_CHECK int usage_new(size_t counters_max, enum usage_rule rule,
			 struct usage **usage);
void usage_free(struct usage *usage); /* takes usage; NULL allowed */

enum usage_rule usage_rule(const struct usage *usage);
/* A read by tenant `who` (0: nobody's). */
void usage_touch(struct usage *usage, const struct digest *name, uint32_t who);
/* What keeping it is worth, 0 to 255. */
unsigned int usage_get(const struct usage *usage, const struct digest *name);
/* Who read it first: usage_owner_of(who), or 0. */
unsigned int usage_owner(const struct usage *usage, const struct digest *name);
unsigned int usage_owner_of(uint32_t who); /* 1 to 255; of 0: 0 */

/* So many shards are known: more counters, up to the maximum.  Keeps what was
 * counted.  One thread at a time. */
void usage_grow(struct usage *usage, uint64_t known_shards);
size_t usage_counters(const struct usage *usage);
/* How many shards the readers' choice is about; the larger set counts. */
enum usage_level { USAGE_MEMORY, USAGE_DISK };
void usage_set_residents(struct usage *usage, enum usage_level level,
			 uint64_t residents);

/*
 * The rule of all who choose: of USAGE_SAMPLES candidates drawn at random the
 * one that is worth least goes, of equals the one used longest ago; those of
 * tenants above their share go before all others.  A newcomer stays when it is
 * worth no less than the victim.
 */
struct usage_pick {
	void *victim; /* NULL: no candidate yet */
	unsigned int worth;
	bool over;
	uint64_t used;
};
/* Offer a candidate; it replaces a victim that is worth more.  used: a time,
 * or 0 for all. */
void usage_pick_offer(struct usage_pick *pick, void *candidate,
		      unsigned int worth, bool over, uint64_t used);
/* May a newcomer of that worth take the victim's place? */
bool usage_admits(const struct usage_pick *pick, unsigned int worth, bool over);

/*
 * Save to a file (format.h, struct format_usage), durably and atomically; load
 * it again.  A file of another number of counters is folded or spread.  Load:
 * -ENOENT; -EBADMSG: damaged, of another rule or too new: nothing has changed.
 * Blocks: not on a call's path.
 */
MUST_CHECK int usage_save(const struct usage *usage, const char *path);
MUST_CHECK int usage_load(struct usage *usage, const char *path);

#endif
