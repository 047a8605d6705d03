/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks: which of the shards that nobody had asked for were of use.
 *
 * A shard is marked before it is fetched ahead.  Read before the mark is
 * MARKS_WASTE_MS old: its bytes were used; else they were wasted.  A shard that
 * somebody asks for while it is on its way counts as used: it came sooner.
 *
 * At most MARKS_MAX marks; shards beyond count as fetched only.  In memory:
 * what was on its way at the end of a life is neither.  Thread-safe.
 */
#ifndef DEPOT_MARKS_H
#define DEPOT_MARKS_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/fetch.h"

enum {
	MARKS_MAX = 1 << 17,
	MARKS_TREES_MAX = 1024, /* counted apart; others in the sum only */
	MARKS_WASTE_MS = 10 * 60 * 1000,
};

struct marks;

/* waste_ms 0: MARKS_WASTE_MS. */
MUST_CHECK int marks_new(uint64_t waste_ms, struct marks **marks);
void marks_free(struct marks *marks); /* takes marks; NULL allowed */

/* It is about to be fetched ahead, as part of this tree. */
void marks_put(struct marks *marks, const struct digest *name,
	       const struct digest *tree, enum fetch_class fetch_class);
/* It is here, `bytes` as stored. */
void marks_land(struct marks *marks, const struct digest *name,
		const struct digest *tree, enum fetch_class fetch_class,
		uint64_t bytes);
/* It did not come. */
void marks_drop(struct marks *marks, const struct digest *name);
/* It is read.  One atomic load when nothing is marked. */
void marks_read(struct marks *marks, const struct digest *name);
/* Old marks become waste; now and then. */
void marks_sweep(struct marks *marks);

struct marks_figures {
	uint64_t bytes, used, wasted; /* the rest waits to be read */
};
void marks_get(struct marks *marks, enum fetch_class fetch_class,
	       struct marks_figures *figures);
/* Of plans for one tree; zeros when nothing is known. */
void marks_get_tree(struct marks *marks, const struct digest *tree,
		    struct marks_figures *figures);

#endif
