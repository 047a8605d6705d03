/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard: one immutable, content-addressed piece of file data at rest.
 *
 * A chunk is plain bytes cut from a file.  Sealing a chunk gives a shard, whose
 * name is the SHA-256 of the chunk: same bytes, same name, stored once.
 *
 * In a private package it is the SHA-256 of the package's salt, then the chunk:
 * names that nobody without the salt can know or ask for, and that meet no
 * other package's.  Salts go with trees (tree_salt()), never with shards, so
 * who asks says through which tree: each proof takes the salt, and NULL is said
 * where there is none.
 *
 * This module turns chunks into shards and back, in memory.  The only includer
 * of zlib and libdeflate: shards are in zlib format (RFC 1950), so either
 * library reads what the other wrote.  Format: struct format_shard in format.h.
 */
#ifndef DEPOT_SHARD_H
#define DEPOT_SHARD_H

#include "depot/base.h"
#include "depot/digest.h"

enum {
	SHARD_CHUNK_MAX = 128 << 10, /* bytes of a chunk; = CHUNK_MAX */
	SHARD_HEADER_LEN = 8,
	SHARD_MAX =
	    SHARD_HEADER_LEN + SHARD_CHUNK_MAX, /* raw when not smaller */
	SHARD_LEVEL_CREATE = 6,
	SHARD_LEVEL_PUBLISH = 12,
	SHARD_SALT_LEN = 32,
};

/* A shard name is the digest of its chunk.  salt: SHARD_SALT_LEN bytes; NULL:
 * of no private package. */
struct digest shard_name_of(const uint8_t *salt, const void *chunk,
			    size_t chunk_len);

/*
 * Seal: compress at `level` (1..12), raw when that saves less than 1/16.
 * out_cap must be at least SHARD_MAX.  -EINVAL: chunk_len is 0 or above
 * SHARD_CHUNK_MAX; -ENOMEM.
 */
MUST_CHECK int shard_seal(const void *chunk, size_t chunk_len, int level,
			  uint8_t *out, size_t out_cap, size_t *out_len);

/* Length of the chunk inside, from the header alone.  -EBADMSG: no shard;
 * -EPROTONOSUPPORT: a codec or flag this version does not know. */
MUST_CHECK int shard_chunk_len(const void *shard, size_t shard_len,
			       size_t *chunk_len);

/*
 * Open a shard into `out` and prove that it is the one called `name` under this
 * salt (NULL: none).
 * out_cap bounds what is written whatever the header claims.
 * -EBADMSG: it is not (bit rot, wrong pack, a bomb); `out` is then garbage.
 * -EPROTONOSUPPORT: see shard_chunk_len.
 */
MUST_CHECK int shard_open(const uint8_t *salt, const struct digest *name,
			  const void *shard, size_t shard_len, void *out,
			  size_t out_cap, size_t *out_len);

/* "libdeflate" or "zlib": what inflates in this build. */
const char *shard_codec_library(void);

#endif
