/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idset: a set of 64-bit numbers in memory, open addressing, 16 bytes a number
 * at most.  Says without asking the database whether a file or directory has
 * anything in the delta.  Not locked.  0 is no member.
 */
#ifndef OVERLAY_IDSET_H
#define OVERLAY_IDSET_H

#include "depot/base.h"

struct idset {
	uint64_t *slots; /* owns; 0 free */
	size_t slot_count, count;
};

bool idset_has(const struct idset *set, uint64_t id);
/* Make room for `more` numbers, so that adding them cannot fail. */
MUST_CHECK int idset_reserve(struct idset *set, size_t more);
void idset_add(struct idset *set, uint64_t id); /* room was reserved */
void idset_remove(struct idset *set, uint64_t id);
void idset_clear(struct idset *set);

#endif
