/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent: see recent.h.  Each stripe is a table of its own: a record may be in
 * RECENT_WAYS neighbouring slots; when they are taken the table doubles, or, at
 * its bounds, one of them gives way.
 */
#include "overlay/recent.h"

struct recent_slot {
	uint64_t fileid; /* 0: free */
	struct record rec;
};

static uint64_t recent_bytes; /* atomic; of all layers */

static uint64_t recent_hash(uint64_t fileid)
{
	return (fileid * UINT64_C(0x9e3779b97f4a7c15)) >> 24;
}

static struct recent_stripe *recent_stripe(struct recent *recent,
					   uint64_t fileid)
{
	return &recent->stripes[recent_hash(fileid) % RECENT_STRIPES];
}

static struct recent_slot *recent_way(const struct recent_stripe *stripe,
				      uint64_t fileid, uint32_t way)
{
	uint64_t at = recent_hash(fileid) / RECENT_STRIPES + way;

	return &stripe->slots[at & (stripe->slot_count - 1)];
}

static struct recent_slot *recent_find(const struct recent_stripe *stripe,
				       uint64_t fileid)
{
	for (uint32_t way = 0; stripe->slots && way < RECENT_WAYS; way++) {
		struct recent_slot *slot = recent_way(stripe, fileid, way);

		if (slot->fileid == fileid)
			return slot;
	}
	return NULL;
}

static void recent_free(struct recent_stripe *stripe)
{
	free(stripe->slots);
	__atomic_sub_fetch(&recent_bytes,
			   stripe->slot_count * sizeof(*stripe->slots),
			   __ATOMIC_RELAXED);
	stripe->slots = NULL;
	stripe->slot_count = 0;
}

void recent_init(struct recent *recent)
{
	memset(recent, 0, sizeof(*recent));
	for (unsigned int i = 0; i < RECENT_STRIPES; i++)
		pthread_mutex_init(&recent->stripes[i].lock, NULL);
}

void recent_fini(struct recent *recent)
{
	for (unsigned int i = 0; i < RECENT_STRIPES; i++) {
		recent_free(&recent->stripes[i]);
		pthread_mutex_destroy(&recent->stripes[i].lock);
	}
}

void recent_clear(struct recent *recent)
{
	for (unsigned int i = 0; i < RECENT_STRIPES; i++) {
		struct recent_stripe *stripe = &recent->stripes[i];

		pthread_mutex_lock(&stripe->lock);
		for (uint32_t slot = 0; slot < stripe->slot_count; slot++)
			stripe->slots[slot].fileid = 0;
		pthread_mutex_unlock(&stripe->lock);
	}
}

/* Twice the slots, if the bounds and the memory allow. */
static bool recent_grow(struct recent_stripe *stripe)
{
	struct recent_stripe bigger = {
	    .slot_count = MAX(2 * stripe->slot_count, RECENT_SLOTS_MIN + 0u),
	};
	size_t bytes = bigger.slot_count * sizeof(*bigger.slots);

	if (bigger.slot_count > RECENT_SLOTS_MAX)
		return false;
	if (__atomic_add_fetch(&recent_bytes, bytes, __ATOMIC_RELAXED) <=
	    RECENT_BYTES_MAX)
		bigger.slots = calloc(1, bytes);
	if (!bigger.slots) {
		__atomic_sub_fetch(&recent_bytes, bytes, __ATOMIC_RELAXED);
		return false;
	}
	for (uint32_t i = 0; i < stripe->slot_count; i++) {
		const struct recent_slot *slot = &stripe->slots[i];
		struct recent_slot *to;

		for (uint32_t way = 0; slot->fileid && way < RECENT_WAYS;
		     way++) {
			to = recent_way(&bigger, slot->fileid, way);
			if (!to->fileid) {
				*to = *slot;
				break;
			}
		}
	}
	recent_free(stripe);
	stripe->slots = bigger.slots;
	stripe->slot_count = bigger.slot_count;
	return true;
}

bool recent_get(struct recent *recent, uint64_t fileid, struct record *rec)
{
	struct recent_stripe *stripe = recent_stripe(recent, fileid);
	const struct recent_slot *slot;

	pthread_mutex_lock(&stripe->lock);
	slot = recent_find(stripe, fileid);
	if (slot)
		*rec = slot->rec;
	pthread_mutex_unlock(&stripe->lock);
	return slot != NULL;
}

/* A slot for a record that has none. */
static struct recent_slot *recent_room(struct recent_stripe *stripe,
				       uint64_t fileid)
{
	struct recent_slot *slot;

	do {
		for (uint32_t way = 0; stripe->slots && way < RECENT_WAYS;
		     way++) {
			slot = recent_way(stripe, fileid, way);
			if (!slot->fileid)
				return slot;
		}
	} while (recent_grow(stripe));
	if (!stripe->slots)
		return NULL;
	return recent_way(stripe, fileid, stripe->turn++ % RECENT_WAYS);
}

void recent_put(struct recent *recent, uint64_t fileid,
		const struct record *rec)
{
	struct recent_stripe *stripe = recent_stripe(recent, fileid);
	struct recent_slot *slot;

	ASSERT(fileid != 0);
	pthread_mutex_lock(&stripe->lock);
	slot = recent_find(stripe, fileid);
	if (!slot)
		slot = recent_room(stripe, fileid);
	if (slot) {
		slot->fileid = fileid;
		slot->rec = *rec;
	}
	pthread_mutex_unlock(&stripe->lock);
}

void recent_drop(struct recent *recent, uint64_t fileid)
{
	struct recent_stripe *stripe = recent_stripe(recent, fileid);
	struct recent_slot *slot;

	pthread_mutex_lock(&stripe->lock);
	slot = recent_find(stripe, fileid);
	if (slot)
		slot->fileid = 0;
	pthread_mutex_unlock(&stripe->lock);
}
