/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: counters in slabs, one a segment, of address space for the largest
 * number; `mask` says how much of each is used.  To grow is to repeat what is
 * there in the next half, then to publish the mask: a digest that had counter i
 * has i or its copy.
 *
 * With USAGE_LRU a byte is the segment's clock when the shard was read last.
 * The clock ticks USAGE_TICKS times while as many reads come as there are
 * residents; a byte that would come round again is kept at the oldest.
 */
#include "depot/usage.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "depot/format.h"
#include "depot/io.h"
#include "depot/log.h"

enum {
	USAGE_SLAB = USAGE_COUNTERS_MAX / USAGE_SEGMENTS,
	USAGE_TOUCHES_MIN = 64, /* of a segment, between two halvings */
	USAGE_TICKS = 64,
	USAGE_TICK_MIN = 2,
};

struct usage_segment {
	_Atomic uint32_t touches;
	_Atomic uint8_t clock;
} __attribute__((aligned(64)));

struct usage {
	enum usage_rule rule;
	uint32_t mask_max;     /* constant */
	_Atomic uint32_t mask; /* counters of a segment, less 1 */
	_Atomic uint64_t residents[2];
	_Atomic uint32_t turn; /* touches between two halvings or ticks */
	uint8_t *counters;     /* owns; USAGE_SEGMENTS slabs; atomic bytes */
	uint8_t *owners;       /* owns; likewise */
	struct usage_segment segments[USAGE_SEGMENTS];
};

static uint8_t usage_byte(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void usage_set_byte(uint8_t *p, unsigned int value)
{
	__atomic_store_n(p, (uint8_t)value, __ATOMIC_RELAXED);
}

static size_t usage_floor_pow2(size_t n)
{
	size_t p = USAGE_COUNTERS_MIN;

	while (2 * p <= MIN(n, (size_t)USAGE_COUNTERS_MAX))
		p *= 2;
	return p;
}

static uint8_t *usage_map(void)
{
	void *p = mmap(NULL, USAGE_COUNTERS_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int usage_new(size_t counters_max, enum usage_rule rule, struct usage **usage)
{
	struct usage *u = aligned_alloc(64, sizeof(*u));

	if (!u)
		return -ENOMEM;
	memset(u, 0, sizeof(*u));
	u->rule = rule;
	u->mask = USAGE_COUNTERS_MIN / USAGE_SEGMENTS - 1;
	u->mask_max =
	    (uint32_t)(usage_floor_pow2(counters_max) / USAGE_SEGMENTS) - 1;
	u->counters = usage_map();
	u->owners = usage_map();
	if (!u->counters || !u->owners) {
		usage_free(u);
		return -ENOMEM;
	}
	usage_set_residents(u, USAGE_MEMORY, 0);
	*usage = u;
	return 0;
}

void usage_free(struct usage *usage)
{
	if (!usage)
		return;
	if (usage->counters)
		munmap(usage->counters, USAGE_COUNTERS_MAX);
	if (usage->owners)
		munmap(usage->owners, USAGE_COUNTERS_MAX);
	free(usage);
}

enum usage_rule usage_rule(const struct usage *usage)
{
	return usage->rule;
}

size_t usage_counters(const struct usage *usage)
{
	return ((size_t)atomic_load(&usage->mask) + 1) * USAGE_SEGMENTS;
}

/* --- counting ------------------------------------------------------------ */

static unsigned int usage_segment_of(const struct digest *name)
{
	return name->bytes[0] % USAGE_SEGMENTS;
}

static size_t usage_at(const struct usage *usage, const struct digest *name)
{
	uint32_t mask =
	    atomic_load_explicit(&usage->mask, memory_order_relaxed);

	return (size_t)usage_segment_of(name) * USAGE_SLAB +
	       (le32_get(name->bytes + 2) & mask);
}

static void usage_halve(struct usage *usage, unsigned int segment)
{
	uint8_t *p = usage->counters + (size_t)segment * USAGE_SLAB;
	size_t count = (size_t)atomic_load(&usage->mask) + 1;

	/* Eight at a time; a count that comes in between is lost. */
	for (size_t i = 0; i < count; i += 8) {
		uint64_t *eight = (uint64_t *)(void *)(p + i);
		uint64_t v = __atomic_load_n(eight, __ATOMIC_RELAXED);

		if (v != 0)
			__atomic_store_n(eight,
					 v >> 1 & UINT64_C(0x7f7f7f7f7f7f7f7f),
					 __ATOMIC_RELAXED);
	}
}

/* What was never read must look old at all times: 0 is kept for it. */
static unsigned int usage_clock_next(unsigned int clock)
{
	return clock >= UINT8_MAX ? 1 : clock + 1;
}

static void usage_tick(struct usage *usage, unsigned int segment)
{
	uint8_t *p = usage->counters + (size_t)segment * USAGE_SLAB;
	size_t count = (size_t)atomic_load(&usage->mask) + 1;
	unsigned int now =
	    usage_clock_next(atomic_load(&usage->segments[segment].clock));

	for (size_t i = 0; i < count; i++)
		if (usage_byte(p + i) == now)
			usage_set_byte(p + i, 0);
	atomic_store(&usage->segments[segment].clock, (uint8_t)now);
}

static void usage_count_touch(struct usage *usage, unsigned int segment)
{
	_Atomic uint32_t *touches = &usage->segments[segment].touches;
	uint32_t turn =
	    atomic_load_explicit(&usage->turn, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(touches, memory_order_relaxed) + 1;

	atomic_store_explicit(touches, n, memory_order_relaxed);
	if (n < turn || !atomic_compare_exchange_strong(touches, &n, 0))
		return;
	if (usage->rule == USAGE_FREQUENCY)
		usage_halve(usage, segment);
	else
		usage_tick(usage, segment);
}

unsigned int usage_owner_of(uint32_t who)
{
	return who == 0 ? 0 : 1 + (who - 1) % (USAGE_OWNERS - 1);
}

void usage_touch(struct usage *usage, const struct digest *name, uint32_t who)
{
	unsigned int segment = usage_segment_of(name);
	size_t at = usage_at(usage, name);
	unsigned int count = usage_byte(usage->counters + at);

	if (count == 0)
		usage_set_byte(usage->owners + at, usage_owner_of(who));
	if (usage->rule == USAGE_FREQUENCY)
		usage_set_byte(usage->counters + at,
			       count + (count < UINT8_MAX));
	else
		usage_set_byte(usage->counters + at,
			       MAX(1u, atomic_load_explicit(
					   &usage->segments[segment].clock,
					   memory_order_relaxed)));
	usage_count_touch(usage, segment);
}

unsigned int usage_get(const struct usage *usage, const struct digest *name)
{
	unsigned int byte = usage_byte(usage->counters + usage_at(usage, name));
	unsigned int clock, age;

	if (usage->rule == USAGE_FREQUENCY || byte == 0)
		return byte;
	clock = MAX(
	    1u, atomic_load(&usage->segments[usage_segment_of(name)].clock));
	age = clock >= byte ? clock - byte : clock + UINT8_MAX - byte;
	return UINT8_MAX - MIN(age, UINT8_MAX - 1u);
}

unsigned int usage_owner(const struct usage *usage, const struct digest *name)
{
	return usage_byte(usage->owners + usage_at(usage, name));
}

void usage_set_residents(struct usage *usage, enum usage_level level,
			 uint64_t residents)
{
	uint64_t most, turn;

	atomic_store_explicit(&usage->residents[level], residents,
			      memory_order_relaxed);
	most = MAX(atomic_load_explicit(&usage->residents[USAGE_MEMORY],
					memory_order_relaxed),
		   atomic_load_explicit(&usage->residents[USAGE_DISK],
					memory_order_relaxed));
	if (usage->rule == USAGE_FREQUENCY)
		turn = MAX(USAGE_HALVE_FACTOR * most / USAGE_SEGMENTS,
			   (uint64_t)USAGE_TOUCHES_MIN);
	else
		turn = MAX(most / USAGE_SEGMENTS / USAGE_TICKS,
			   (uint64_t)USAGE_TICK_MIN);
	atomic_store_explicit(&usage->turn, (uint32_t)MIN(turn, UINT32_MAX),
			      memory_order_relaxed);
}

static void usage_spread(uint8_t *bytes, size_t count, size_t wanted)
{
	for (unsigned int s = 0; s < USAGE_SEGMENTS; s++) {
		uint8_t *p = bytes + (size_t)s * USAGE_SLAB;

		for (size_t i = count; i < wanted; i++)
			usage_set_byte(p + i, usage_byte(p + i % count));
	}
}

void usage_grow(struct usage *usage, uint64_t known_shards)
{
	uint64_t want = known_shards * USAGE_PER_SHARD / USAGE_SEGMENTS;
	size_t count = (size_t)atomic_load(&usage->mask) + 1, wanted = count;

	while (wanted < want && wanted <= usage->mask_max)
		wanted *= 2;
	if (wanted == count)
		return;
	usage_spread(usage->counters, count, wanted);
	usage_spread(usage->owners, count, wanted);
	atomic_store(&usage->mask, (uint32_t)wanted - 1);
}

/* --- choosing ------------------------------------------------------------ */

void usage_pick_offer(struct usage_pick *pick, void *candidate,
		      unsigned int worth, bool over, uint64_t used)
{
	bool better;

	/* Nobody's share protects what is not used any more. */
	over |= worth == 0;
	if (!pick->victim)
		better = true;
	else if (over != pick->over)
		better = over;
	else if (worth != pick->worth)
		better = worth < pick->worth;
	else
		better = used < pick->used;
	if (better)
		*pick = (struct usage_pick){candidate, worth, over, used};
}

bool usage_admits(const struct usage_pick *pick, unsigned int worth, bool over)
{
	if (over != pick->over)
		return pick->over;
	return worth >= pick->worth;
}

/* --- on disk ------------------------------------------------------------- */

static size_t usage_file_len(size_t counters)
{
	return sizeof(struct format_usage) + 2 * counters + DIGEST_LEN;
}

static void usage_gather(const uint8_t *bytes, size_t count, uint8_t *to)
{
	for (unsigned int s = 0; s < USAGE_SEGMENTS; s++)
		for (size_t i = 0; i < count; i++)
			to[s * count + i] =
			    usage_byte(bytes + (size_t)s * USAGE_SLAB + i);
}

int usage_save(const struct usage *usage, const char *path)
{
	size_t count = (size_t)atomic_load(&usage->mask) + 1;
	size_t counters = count * USAGE_SEGMENTS;
	size_t len = usage_file_len(counters);
	struct format_usage header = {
	    .format_le = htole32(FORMAT_USAGE),
	    .rule_le = htole32(usage->rule),
	    .counters_le = htole64(counters),
	};
	CLEANUP_FREE uint8_t *file = malloc(len);
	struct digest sum;

	if (!file)
		return -ENOMEM;
	memcpy(header.magic, FORMAT_USAGE_MAGIC, sizeof(header.magic));
	for (unsigned int s = 0; s < USAGE_SEGMENTS; s++)
		header.clocks[s] = atomic_load(&usage->segments[s].clock);
	memcpy(file, &header, sizeof(header));
	usage_gather(usage->counters, count, file + sizeof(header));
	usage_gather(usage->owners, count, file + sizeof(header) + counters);
	sum = digest_of(file, len - DIGEST_LEN);
	memcpy(file + len - DIGEST_LEN, sum.bytes, DIGEST_LEN);
	return io_replace_file(path, file, len);
}

static int usage_check_file(const struct usage *usage, const uint8_t *file,
			    size_t len)
{
	const struct format_usage *header = (const void *)file;
	struct digest sum;
	uint64_t counters;

	if (len < usage_file_len(0) ||
	    memcmp(header->magic, FORMAT_USAGE_MAGIC, 8) != 0 ||
	    le32_get(&header->format_le) != FORMAT_USAGE ||
	    le32_get(&header->rule_le) != usage->rule)
		return -EBADMSG;
	counters = le64_get(&header->counters_le);
	if (counters < USAGE_SEGMENTS || counters > USAGE_COUNTERS_MAX ||
	    (counters & (counters - 1)) != 0 || len != usage_file_len(counters))
		return -EBADMSG;
	sum = digest_of(file, len - DIGEST_LEN);
	return memcmp(sum.bytes, file + len - DIGEST_LEN, DIGEST_LEN) == 0
		   ? 0
		   : -EBADMSG;
}

/* One segment's row of `from_count` into `to_count` counters: spread, or folded
 * by the larger one. */
static void usage_take_row(const uint8_t *from, size_t from_count, uint8_t *to,
			   size_t to_count)
{
	for (size_t i = 0; i < to_count; i++)
		usage_set_byte(to + i, from[i % from_count]);
	for (size_t i = to_count; i < from_count; i++)
		usage_set_byte(to + i % to_count,
			       MAX(from[i], usage_byte(to + i % to_count)));
}

int usage_load(struct usage *usage, const char *path)
{
	const struct format_usage *header;
	CLEANUP_FREE void *bytes = NULL;
	size_t len, from, count, wanted;
	const uint8_t *file;
	int rc;

	rc = io_read_file(path, usage_file_len(USAGE_COUNTERS_MAX), &bytes,
			  &len);
	if (rc < 0)
		return rc == -ENOENT || rc == -ENOMEM ? rc : -EBADMSG;
	file = bytes;
	header = bytes;
	rc = usage_check_file(usage, file, len);
	if (rc < 0)
		return rc;
	wanted = le64_get(&header->counters_le);
	from = wanted / USAGE_SEGMENTS;
	usage_grow(usage, wanted / USAGE_PER_SHARD);
	count = (size_t)atomic_load(&usage->mask) + 1;
	for (unsigned int s = 0; s < USAGE_SEGMENTS; s++) {
		const uint8_t *row = file + sizeof(*header) + s * from;
		size_t at = (size_t)s * USAGE_SLAB;

		usage_take_row(row, from, usage->counters + at, count);
		usage_take_row(row + wanted, from, usage->owners + at, count);
		atomic_store(&usage->segments[s].clock, header->clocks[s]);
	}
	return 0;
}
