/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunker: FastCDC with the gear hash and two masks (normalised chunking, level
 * 2): cuts are made harder to find before the normal size and easier after it,
 * which keeps lengths near the average.
 *
 * The gear hash shifts left by a bit a byte, so bit 63 depends on the last 64
 * bytes and the low bits on a few: masks take the top bits.  The window is
 * filled before the first possible cut, so whether a place is a cut depends on
 * its 64 bytes alone and not on where the chunk began.
 */
#include "depot/chunker.h"

#include <pthread.h>

#include "depot/digest.h"

enum {
	CHUNKER_WINDOW = 64,
	/* Measured on random data: makes the mean length CHUNK_AVERAGE. */
	CHUNKER_NORMAL = 52 << 10,
	CHUNKER_AVERAGE_BITS = 16,
	CHUNKER_LEVEL = 2,
};
_Static_assert(1 << CHUNKER_AVERAGE_BITS == CHUNK_AVERAGE, "average");

#define CHUNKER_TOP_BITS(n) (~0ull << (64 - (n)))

#define CHUNKER_HARD CHUNKER_TOP_BITS(CHUNKER_AVERAGE_BITS + CHUNKER_LEVEL)
#define CHUNKER_EASY CHUNKER_TOP_BITS(CHUNKER_AVERAGE_BITS - CHUNKER_LEVEL)

static pthread_once_t chunker_once = PTHREAD_ONCE_INIT;
static uint64_t chunker_gear[256];

static void chunker_setup(void)
{
	uint8_t text[] = "vdrive gear?";
	struct digest d;

	for (int i = 0; i < 256; i++) {
		text[sizeof(text) - 2] = (uint8_t)i;
		d = digest_of(text, sizeof(text) - 1);
		chunker_gear[i] = le64_get(d.bytes);
	}
}

/* Where to cut within (from, to]: after the first byte at which the masked hash
 * is 0.  0: nowhere, and *hash goes on. */
static inline size_t chunker_scan(const uint8_t *data, size_t from, size_t to,
				  uint64_t mask, uint64_t *hash)
{
	uint64_t h = *hash;

	for (size_t i = from; i < to; i++) {
		h = (h << 1) + chunker_gear[data[i]];
		if (!(h & mask))
			return i + 1;
	}
	*hash = h;
	return 0;
}

size_t chunker_cut(const uint8_t *data, size_t len)
{
	size_t end = MIN(len, CHUNK_MAX);
	size_t normal = MIN(end, CHUNKER_NORMAL);
	uint64_t hash = 0;
	size_t cut;

	if (len <= CHUNK_MIN)
		return len;
	pthread_once(&chunker_once, chunker_setup);
	for (size_t i = CHUNK_MIN - CHUNKER_WINDOW; i < CHUNK_MIN; i++)
		hash = (hash << 1) + chunker_gear[data[i]];
	cut = chunker_scan(data, CHUNK_MIN, normal, CHUNKER_HARD, &hash);
	if (!cut)
		cut = chunker_scan(data, normal, end, CHUNKER_EASY, &hash);
	return cut ? cut : end;
}
