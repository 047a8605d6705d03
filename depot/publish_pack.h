/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_pack: collects shards in memory and writes them as packs of at most
 * PUBLISH_PACK_MAX bytes, each named by the SHA-256 of its content.
 */
#ifndef DEPOT_PUBLISH_PACK_H
#define DEPOT_PUBLISH_PACK_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/publish.h"
#include "depot/publish_known.h"

struct publish_pack {
	struct publish *publish;     /* borrows; its counters go up */
	struct publish_target *target; /* borrows */
	struct publish_known *known; /* borrows */
	uint8_t *bytes;              /* owns */
	size_t len, cap;
	uint32_t shard_count;
	uint32_t number; /* in `known` */
	bool anew;       /* what is added lies here from now on */
};

/* Put a shard into the pack at hand, or the next one; `known` then has it. */
MUST_CHECK int publish_pack_add(struct publish_pack *pack,
				const struct digest *name, const void *shard,
				size_t shard_len);
/* Write the pack at hand, if it holds anything and is not there: a push that
 * was interrupted has packed the same. */
MUST_CHECK int publish_pack_finish(struct publish_pack *pack);
void publish_pack_clear(struct publish_pack *pack);

#endif
