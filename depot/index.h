/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: where the shards of one tree lie in the packs of a depot at rest.
 * Format: struct format_index_* in format.h.
 *
 * An unsigned hint: bytes are proved by their shard's name.  Checked once when
 * it is opened; afterwards it is trusted, and never changes.
 */
#ifndef DEPOT_INDEX_H
#define DEPOT_INDEX_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/format.h"

enum { INDEX_FILE_MAX = 1 << 30 }; /* bytes */

struct index; /* reference counted */

/*
 * Check `len` bytes, and copy them.  expect: the tree's digest, may be NULL;
 * shard_count: its number of shards (any, without expect).  -EBADMSG;
 * -EPROTONOSUPPORT.  *index has one reference, the caller's.
 */
MUST_CHECK int index_open(const void *data, size_t len,
			  const struct digest *expect, uint32_t shard_count,
			  struct index **index);
/* The same of a file, for a tree of so many shards.  Also what reading it fails
 * with: -ENOENT, -EFBIG (above INDEX_FILE_MAX), -EIO ...; then *index is as it
 * was. */
MUST_CHECK int index_read(const char *path, const struct digest *tree,
			  uint32_t shard_count, struct index **index);
struct index *index_get(struct index *index);
void index_put(struct index *index); /* NULL allowed */

const void *index_bytes(const struct index *index, size_t *len);
const struct digest *index_tree(const struct index *index);
uint32_t index_shard_count(const struct index *index);
uint32_t index_pack_count(const struct index *index);
const struct digest *index_pack_name(const struct index *index, uint32_t pack);

struct index_place {
	struct digest pack;
	uint32_t pack_number;
	uint32_t off, len;
};
/* `shard` must be below index_shard_count(). */
void index_place(const struct index *index, uint32_t shard,
		 struct index_place *place);

/*
 * Write an index: the place of each shard; pack_number is not read, packs are
 * numbered in the order of their first use.  Malloc'ed bytes that index_open
 * accepts.
 */
MUST_CHECK int index_write(const struct digest *tree,
			   const struct index_place *places, uint32_t count,
			   void **bytes, size_t *len);

#endif
