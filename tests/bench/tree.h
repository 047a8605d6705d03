/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the files that every server of the bench serves.
 *
 *	hot.bin		TREE_HOT_LEN bytes
 *	dir/f0000 ...	TREE_FILE_COUNT small files
 *
 * All data is a pattern of the offset: the 8 bytes at offset o (a multiple of
 * 8) are tree_word(o), little-endian.  Hence any part of a READ can be proved
 * without keeping a copy, and no compression or dedup makes it smaller.
 */
#ifndef BENCH_TREE_H
#define BENCH_TREE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TREE_HOT_NAME    "hot.bin"
#define TREE_DIR_NAME    "dir"
#define TREE_FILE_FORMAT "f%04u"

enum {
	TREE_HOT_LEN = 64 << 20,
	TREE_FILE_COUNT = 1000,
	TREE_FILE_LEN_MIN = 1024,
};

static inline size_t tree_file_len(unsigned number)
{
	return TREE_FILE_LEN_MIN + 8 * (size_t)number;
}

/* A bijection on 64 bits that leaves no visible order (an avalanche of
 * multiplications and shifts). */
static inline uint64_t tree_word(uint64_t off)
{
	uint64_t x = off / 8 + 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* `off` and `len` are multiples of 8. */
static inline void tree_fill(uint8_t *buf, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = htole64(tree_word(off + i));

		memcpy(buf + i, &word, sizeof(word));
	}
}

#endif
