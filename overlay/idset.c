/* SPDX-License-Identifier: Apache-2.0 */
/* idset: see idset.h.  Linear probing with backward shift on removal. */
#include "overlay/idset.h"

static size_t idset_home(const struct idset *set, uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) &
	       (set->slot_count - 1);
}

static size_t idset_find(const struct idset *set, uint64_t id)
{
	size_t at = idset_home(set, id);

	while (set->slots[at] && set->slots[at] != id)
		at = (at + 1) & (set->slot_count - 1);
	return at;
}

bool idset_has(const struct idset *set, uint64_t id)
{
	/* 0 is what a free slot holds. */
	return id != 0 && set->count > 0 &&
	       set->slots[idset_find(set, id)] == id;
}

int idset_reserve(struct idset *set, size_t more)
{
	struct idset bigger = {.slot_count = MAX(set->slot_count, 16u)};

	if (set->slot_count && (set->count + more) * 2 <= set->slot_count)
		return 0;
	while ((set->count + more) * 2 > bigger.slot_count)
		bigger.slot_count *= 2;
	bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->slot_count; i++)
		if (set->slots[i])
			idset_add(&bigger, set->slots[i]);
	free(set->slots);
	*set = bigger;
	return 0;
}

void idset_add(struct idset *set, uint64_t id)
{
	size_t at;

	ASSERT(id != 0 && set->count * 2 <= set->slot_count);
	at = idset_find(set, id);
	if (set->slots[at] == id)
		return;
	set->slots[at] = id;
	set->count++;
}

void idset_remove(struct idset *set, uint64_t id)
{
	size_t mask = set->slot_count - 1;
	size_t hole, at;

	if (!idset_has(set, id))
		return;
	hole = idset_find(set, id);
	set->count--;
	for (at = (hole + 1) & mask; set->slots[at]; at = (at + 1) & mask) {
		size_t home = idset_home(set, set->slots[at]);

		/* Move back what would not be found across the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			set->slots[hole] = set->slots[at];
			hole = at;
		}
	}
	set->slots[hole] = 0;
}

void idset_clear(struct idset *set)
{
	free(set->slots);
	*set = (struct idset){0};
}
