/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corruption: what disks and networks do to bytes.
 */
#ifndef TESTS_LIB_CORRUPTION_H
#define TESTS_LIB_CORRUPTION_H

#include "depot/base.h"

enum corruption {
	CORRUPTION_BIT,   /* one bit */
	CORRUPTION_BITS,  /* up to 64 of them */
	CORRUPTION_CUT,   /* its end is missing */
	CORRUPTION_GROWN, /* more behind its end */
	CORRUPTION_EMPTY, /* no byte */
	CORRUPTION_ZEROS, /* a run of up to 4 KiB is zeros */
	CORRUPTION_HEAD,  /* noise in the first 8 bytes */
	CORRUPTION_NOISE, /* all of it */
	CORRUPTION_MOVED, /* the second half lies one byte further on */
	CORRUPTION_KINDS,
};

/* xorshift64*, never 0. */
uint64_t corruption_random(uint64_t *state);

/* Another text than the given one (len > 0), malloc'ed. */
uint8_t *corruption_make(enum corruption kind, uint64_t *random,
			 const void *bytes, size_t len, size_t *out_len);

#endif
