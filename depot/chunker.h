/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunker: where to cut a file into chunks.
 *
 * A file of up to CHUNK_WHOLE_MAX bytes is one chunk.  A longer one is cut by
 * content: FastCDC (Xia et al., USENIX ATC 2016), gear hash with normalised
 * chunking.  The gear table is derived from SHA-256 of fixed text, so it is the
 * same for ever: a change of it changes every tree.
 */
#ifndef DEPOT_CHUNKER_H
#define DEPOT_CHUNKER_H

#include "depot/base.h"

enum {
	CHUNK_WHOLE_MAX = 64 << 10,
	CHUNK_MIN = 16 << 10,
	CHUNK_AVERAGE = 64 << 10,
	CHUNK_MAX = 128 << 10,
};

/*
 * Length of the first chunk of `data`.  Either `len` >= CHUNK_MAX, or data
 * ends the file.  Result 1..MIN(len, CHUNK_MAX) (0 for len 0).  The caller
 * applies CHUNK_WHOLE_MAX by the file's size.
 */
size_t chunker_cut(const uint8_t *data, size_t len);

#endif
