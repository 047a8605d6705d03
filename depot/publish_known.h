/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_known: where the shards of a depot at rest lie, those of this push
 * included: a map from shard name to (pack, offset, length), and a table of
 * packs.  Not thread-safe.
 */
#ifndef DEPOT_PUBLISH_KNOWN_H
#define DEPOT_PUBLISH_KNOWN_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/index.h"
#include "depot/publish_target.h"
#include "depot/tree.h"

struct publish_known;

/* private: the package below whose directory all of it lies (layout.h), NULL
 * for everybody's; borrowed.  NULL: no memory. */
struct publish_known *publish_known_new(const char *private);
/* The same name again. */
const char *publish_known_private(const struct publish_known *known);
void publish_known_free(struct publish_known *known);

/*
 * Learn what the newest indexes of the target list.  A shard whose pack is
 * missing or too short is left out, so that it is packed again.  -EBADMSG,
 * -EPROTONOSUPPORT: an index or a tree there.
 */
MUST_CHECK int publish_known_load(struct publish_known *known,
				  struct publish_target *target);

/* Of shards that lie in several places the newest index of this tree chooses,
 * so that a tree that does not change keeps its index; what is added from here
 * on is of this tree. */
MUST_CHECK int publish_known_prefer(struct publish_known *known,
				    struct publish_target *target,
				    const struct tree *tree);

/* Number of a pack that has no name yet, then its name. */
MUST_CHECK int publish_known_pack(struct publish_known *known, uint32_t *pack);
void publish_known_name(struct publish_known *known, uint32_t pack,
			const struct digest *name);
/* A place's pack_number is the one of this table. */
MUST_CHECK int publish_known_add(struct publish_known *known,
				 const struct digest *shard,
				 const struct index_place *place);
/* The same in place of what was known of it. */
MUST_CHECK int publish_known_move(struct publish_known *known,
				  const struct digest *shard,
				  const struct index_place *place);
bool publish_known_find(const struct publish_known *known,
			const struct digest *shard, struct index_place *place);
/* Fills in place->pack; the pack is used from now on. */
void publish_known_resolve(struct publish_known *known,
			   struct index_place *place);

/* Packs, by number; len 0: not there, or not written yet. */
uint32_t publish_known_pack_count(const struct publish_known *known);
const struct digest *publish_known_pack_name(const struct publish_known *known,
					     uint32_t pack);
uint64_t publish_known_pack_len(const struct publish_known *known,
				uint32_t pack);
/* -ESTALE: a pack that is used is gone. */
MUST_CHECK int publish_known_check(const struct publish_known *known,
				   struct publish_target *target);

/* The shards that lie in a pack, in no order; visit returns non-zero to stop,
 * which is returned.  salt: NULL, or 32 bytes. */
struct publish_known_shard {
	const struct digest *name;
	const uint8_t *salt;
	uint32_t off, len;
};
MUST_CHECK int publish_known_visit(
    const struct publish_known *known, uint32_t pack,
    int (*visit)(void *ctx, const struct publish_known_shard *shard),
    void *ctx);
/* It lies nowhere. */
void publish_known_drop(struct publish_known *known,
			const struct digest *shard);

/* Indexes that a newer one of the same tree has taken the place of. */
MUST_CHECK int publish_known_old_indexes(
    const struct publish_known *known,
    int (*visit)(void *ctx, const struct digest *tree, uint32_t number),
    void *ctx);
/* The newest index of a tree: its number, 0 when there is none. */
uint32_t publish_known_index(const struct publish_known *known,
			     const struct digest *tree);

#endif
