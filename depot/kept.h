/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept: a set of shards that must stay.  Eight bytes of each digest, sorted: a
 * collision keeps one too many.  Filled by one thread, then constant.
 */
#ifndef DEPOT_KEPT_H
#define DEPOT_KEPT_H

#include "depot/base.h"
#include "depot/digest.h"

struct kept;

struct kept *kept_new(void);       /* NULL: no memory */
void kept_free(struct kept *kept); /* takes kept; NULL allowed */
MUST_CHECK int kept_add(struct kept *kept, const struct digest *name);
MUST_CHECK int kept_add_all(struct kept *kept, const struct kept *other);
/* After the last kept_add(), before the first kept_has(). */
void kept_sort(struct kept *kept);
bool kept_has(const struct kept *kept, const struct digest *name);
size_t kept_count(const struct kept *kept);

#endif
