/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent: inode records of a layer that were used lately, decoded.
 *
 * The state database answers in 1 to 3 us, this in 0.05: what GETATTR, LOOKUP
 * and READDIRPLUS of files born in the delta live from.  It holds what the
 * database says of this layer, no more: what views make of it (lifted from a
 * frozen layer, a ctime bound) they make of a copy.  Who gets, and puts what he
 * has just read, holds the lock of his view shared: a frozen layer does not
 * change, however many views read it.  Who changes a record of a top layer
 * holds its view's lock alone, and puts or drops it then.  Memory is bounded
 * for all layers together (RECENT_BYTES_MAX) and given back with the layer.
 */
#ifndef OVERLAY_RECENT_H
#define OVERLAY_RECENT_H

#include <pthread.h>

#include "overlay/record.h"

enum {
	RECENT_STRIPES = 16,        /* locks; a power of two */
	RECENT_SLOTS_MIN = 16,      /* of a stripe; powers of two */
	RECENT_SLOTS_MAX = 8 << 10, /* 128 Ki records a layer: 40 MB */
	RECENT_WAYS = 4,            /* places where a record may be */
	RECENT_BYTES_MAX = 128 << 20,
};

struct recent_slot;
struct recent_stripe {
	pthread_mutex_t lock;
	struct recent_slot *slots; /* owns; NULL: nothing yet */
	uint32_t slot_count;
	uint32_t turn; /* which of the ways goes next */
};

struct recent {
	struct recent_stripe stripes[RECENT_STRIPES];
};

void recent_init(struct recent *recent);
void recent_fini(struct recent *recent);

bool recent_get(struct recent *recent, uint64_t fileid, struct record *rec);
/* Without memory it is not kept. */
void recent_put(struct recent *recent, uint64_t fileid,
		const struct record *rec);
void recent_drop(struct recent *recent, uint64_t fileid);
/* Nothing is kept any more, so that the database itself is asked. */
void recent_clear(struct recent *recent);

#endif
