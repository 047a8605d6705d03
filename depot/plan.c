/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: bytes from an upstream, or from a database that may be damaged, are
 * checked whole before the first use.
 */
#include "depot/plan.h"

#include "depot/format.h"
#include "depot/log.h"
#include "depot/store.h"

_Static_assert(PLAN_FILE_MAX ==
		   sizeof(struct format_plan_header) + 4 * PLAN_SHARDS_MAX,
	       "plan file");
_Static_assert(PLAN_START_MAX ==
		   sizeof(struct store_start) + 4 * PLAN_SHARDS_MAX,
	       "start row");

static int plan_bad(const char *why)
{
	return log_err(-EBADMSG, "plan: %s", why);
}

/* --- lists of shard numbers ---------------------------------------------- */

/* A bit for each of `count` shards, all clear; NULL: no memory. */
static uint64_t *plan_bits_new(uint32_t count)
{
	return calloc((size_t)count / 64 + 1, sizeof(uint64_t));
}

/* Set a bit; was it set already? */
static bool plan_bits_set(uint64_t *bits, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << (i & 63);
	bool was = bits[i / 64] & bit;

	bits[i / 64] |= bit;
	return was;
}

static int plan_list_read(const uint8_t *at, uint32_t count,
			  uint32_t shard_count, uint32_t **list)
{
	CLEANUP_FREE uint64_t *bits = NULL;
	CLEANUP_FREE uint32_t *out = NULL;

	/* Also bounds what a stranger's number makes us allocate. */
	if (count > shard_count)
		return plan_bad("more shards than the tree has");
	bits = plan_bits_new(shard_count);
	out = malloc(((size_t)count + 1) * sizeof(*out));
	if (!bits || !out)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		out[i] = le32_get(at + (size_t)4 * i);
		if (out[i] >= shard_count)
			return plan_bad("a shard that the tree has not");
		if (plan_bits_set(bits, out[i]))
			return plan_bad("a shard that is named twice");
	}
	*list = STEAL(out);
	return 0;
}

/* --- plans --------------------------------------------------------------- */

static int plan_check_header(const struct format_plan_header *header,
			     size_t len, const struct digest *tree,
			     uint32_t shard_count)
{
	uint32_t count, of;

	if (len < sizeof(*header) ||
	    memcmp(header->magic, FORMAT_PLAN_MAGIC, 8) != 0)
		return plan_bad("no plan");
	if (le32_get(&header->format_le) > FORMAT_PLAN)
		return log_err(-EPROTONOSUPPORT,
			       "plan: format %u is newer than this version's "
			       "%d",
			       le32_get(&header->format_le), FORMAT_PLAN);
	if (le32_get(&header->format_le) < 1)
		return plan_bad("bad header");
	count = le32_get(&header->count_le);
	of = le32_get(&header->shard_count_le);
	if (count > PLAN_SHARDS_MAX ||
	    len != sizeof(*header) + (size_t)4 * count)
		return plan_bad("not as long as its count says");
	if (le64_get(&header->budget_le) > PLAN_BUDGET_MAX)
		return plan_bad("an impossible budget");
	/* A tree file has room for so many and no more. */
	if (of > (1u << 30) / DIGEST_LEN)
		return plan_bad("more shards than any tree has");
	if (tree && (memcmp(header->tree, tree->bytes, DIGEST_LEN) != 0 ||
		     of != shard_count))
		return plan_bad("of another tree");
	return 0;
}

int plan_read(const void *bytes, size_t len, const struct digest *tree,
	      uint32_t shard_count, struct plan *plan)
{
	const struct format_plan_header *header = bytes;
	int rc;

	memset(plan, 0, sizeof(*plan));
	rc = plan_check_header(header, len, tree, shard_count);
	if (rc < 0)
		return rc;
	memcpy(plan->tree.bytes, header->tree, DIGEST_LEN);
	plan->shard_count = le32_get(&header->shard_count_le);
	plan->guests = le32_get(&header->guests_le);
	plan->budget = le64_get(&header->budget_le);
	plan->count = le32_get(&header->count_le);
	rc = plan_list_read((const uint8_t *)bytes + sizeof(*header),
			    plan->count, plan->shard_count, &plan->shards);
	if (rc < 0)
		plan_clear(plan);
	return rc;
}

int plan_write(const struct plan *plan, void **bytes, size_t *len)
{
	struct format_plan_header header;
	uint8_t *out;

	ASSERT(plan->count <= PLAN_SHARDS_MAX);
	ASSERT(plan->budget <= PLAN_BUDGET_MAX);

	*len = sizeof(header) + (size_t)4 * plan->count;
	out = malloc(*len);
	if (!out)
		return -ENOMEM;
	memcpy(header.magic, FORMAT_PLAN_MAGIC, sizeof(header.magic));
	le32_put(&header.format_le, FORMAT_PLAN);
	le32_put(&header.count_le, plan->count);
	le32_put(&header.shard_count_le, plan->shard_count);
	le32_put(&header.guests_le, plan->guests);
	le64_put(&header.budget_le, plan->budget);
	memcpy(header.tree, plan->tree.bytes, DIGEST_LEN);
	memcpy(out, &header, sizeof(header));
	for (uint32_t i = 0; i < plan->count; i++)
		le32_put(out + sizeof(header) + (size_t)4 * i, plan->shards[i]);
	*bytes = out;
	return 0;
}

void plan_clear(struct plan *plan)
{
	free(plan->shards);
	memset(plan, 0, sizeof(*plan));
}

/* --- starts -------------------------------------------------------------- */

int plan_start_read(const void *bytes, size_t len, struct plan_start *start)
{
	struct store_start row;
	uint32_t count;

	memset(start, 0, sizeof(*start));
	if (len < sizeof(row))
		return plan_bad("a start that is cut short");
	memcpy(&row, bytes, sizeof(row)); /* a database aligns nothing */
	if (le32_get(&row.format_le) > 1)
		return log_err(-EPROTONOSUPPORT,
			       "plan: a start of format %u, newer than 1",
			       le32_get(&row.format_le));
	count = le32_get(&row.count_le);
	if (le32_get(&row.format_le) < 1 || count > PLAN_SHARDS_MAX ||
	    len != sizeof(row) + (size_t)4 * count ||
	    le32_get(&row.shard_count_le) > (1u << 30) / DIGEST_LEN)
		return plan_bad("a start that is not as long as it says");
	start->time_sec = (int64_t)le64_get(&row.time_sec_le);
	start->duration_ms = le32_get(&row.duration_ms_le);
	start->shard_count = le32_get(&row.shard_count_le);
	start->count = count;
	return plan_list_read((const uint8_t *)bytes + sizeof(row), count,
			      start->shard_count, &start->shards);
}

size_t plan_start_write(const struct plan_start *start, uint8_t *out)
{
	struct store_start row;

	ASSERT(start->count <= PLAN_SHARDS_MAX);

	le32_put(&row.format_le, 1);
	le32_put(&row.count_le, start->count);
	le32_put(&row.shard_count_le, start->shard_count);
	le32_put(&row.duration_ms_le, start->duration_ms);
	le64_put(&row.time_sec_le, (uint64_t)start->time_sec);
	memcpy(out, &row, sizeof(row));
	for (uint32_t i = 0; i < start->count; i++)
		le32_put(out + sizeof(row) + (size_t)4 * i, start->shards[i]);
	return sizeof(row) + (size_t)4 * start->count;
}

void plan_start_clear(struct plan_start *start)
{
	free(start->shards);
	memset(start, 0, sizeof(*start));
}

/* --- merging ------------------------------------------------------------- */

struct plan_place {
	uint64_t sum; /* of its places */
	uint32_t shard;
	uint32_t guests;
};

/* By mean place, compared without division; then by number. */
static int plan_place_compare(const void *a, const void *b)
{
	const struct plan_place *x = a, *y = b;
	uint64_t left = x->sum * y->guests, right = y->sum * x->guests;

	if (left != right)
		return left < right ? -1 : 1;
	return x->shard < y->shard ? -1 : x->shard > y->shard;
}

/* Add up the places; returns how many starts fitted. */
static unsigned int plan_merge_count(const struct plan_start *starts,
				     unsigned int count, uint32_t shard_count,
				     struct plan_place *places)
{
	unsigned int used = 0;

	for (unsigned int s = 0; s < count; s++) {
		if (starts[s].shard_count != shard_count)
			continue;
		used++;
		for (uint32_t i = 0; i < starts[s].count; i++) {
			struct plan_place *place = &places[starts[s].shards[i]];

			place->sum += i;
			place->guests++;
		}
	}
	return used;
}

/* Those with enough guests to the front, sorted; returns how many. */
static uint32_t plan_merge_sort(struct plan_place *places, uint32_t shard_count,
				unsigned int guests_min)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < shard_count; i++) {
		if (places[i].guests < MAX(guests_min, 1u))
			continue;
		places[i].shard = i;
		places[kept++] = places[i];
	}
	qsort(places, kept, sizeof(*places), plan_place_compare);
	return MIN(kept, (uint32_t)PLAN_SHARDS_MAX);
}

int plan_merge(const struct plan_start *starts, unsigned int count,
	       uint32_t shard_count, unsigned int guests_min, struct plan *plan,
	       uint16_t **guests)
{
	CLEANUP_FREE struct plan_place *places = NULL;
	CLEANUP_FREE uint32_t *shards = NULL;
	CLEANUP_FREE uint16_t *touched = NULL;

	ASSERT(count <= PLAN_STARTS_MAX);

	memset(plan, 0, sizeof(*plan));
	places = calloc((size_t)shard_count + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	plan->shard_count = shard_count;
	plan->guests = plan_merge_count(starts, count, shard_count, places);
	plan->count = plan_merge_sort(places, shard_count, guests_min);
	shards = malloc(((size_t)plan->count + 1) * sizeof(*shards));
	touched = malloc(((size_t)plan->count + 1) * sizeof(*touched));
	if (!shards || !touched)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->count; i++) {
		shards[i] = places[i].shard;
		touched[i] = (uint16_t)places[i].guests;
	}
	plan->shards = STEAL(shards);
	if (guests)
		*guests = STEAL(touched);
	return 0;
}

int plan_append(struct plan *plan, const struct plan *more)
{
	CLEANUP_FREE uint64_t *bits = plan_bits_new(plan->shard_count);
	uint32_t *shards;

	ASSERT(plan->shard_count == more->shard_count);

	shards = realloc(plan->shards, ((size_t)plan->count + more->count + 1) *
					   sizeof(*shards));
	if (shards)
		plan->shards = shards;
	if (!bits || !shards)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->count; i++)
		(void)plan_bits_set(bits, plan->shards[i]);
	for (uint32_t i = 0; i < more->count; i++)
		if (plan->count < PLAN_SHARDS_MAX &&
		    !plan_bits_set(bits, more->shards[i]))
			plan->shards[plan->count++] = more->shards[i];
	return 0;
}
