/* SPDX-License-Identifier: Apache-2.0 */
/* corruption: see corruption.h. */
#include "tests/lib/corruption.h"

enum {
	CORRUPTION_MORE_MAX = 4096,
	CORRUPTION_BITS_MAX = 64,
	CORRUPTION_HEAD_LEN = 8,
};

uint64_t corruption_random(uint64_t *state)
{
	uint64_t x = *state ? *state : 1;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static void corruption_noise(uint64_t *random, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(corruption_random(random) >> 32);
}

static void corruption_flip(uint64_t *random, uint8_t *bytes, size_t len)
{
	uint64_t bit = corruption_random(random) % (len * 8);

	bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void corruption_zeros(uint64_t *random, uint8_t *bytes, size_t len)
{
	size_t from = corruption_random(random) % len;
	size_t n = 1 + corruption_random(random) % CORRUPTION_MORE_MAX;

	memset(bytes + from, 0, MIN(n, len - from));
}

static void corruption_spoil(enum corruption kind, uint64_t *random,
			     uint8_t *bytes, size_t *len)
{
	size_t was = *len, n;

	switch (kind) {
	case CORRUPTION_BITS:
		n = 1 + corruption_random(random) % CORRUPTION_BITS_MAX;
		while (n-- > 0)
			corruption_flip(random, bytes, was);
		break;
	case CORRUPTION_CUT:
		*len = corruption_random(random) % was;
		break;
	case CORRUPTION_GROWN:
		n = 1 + corruption_random(random) % CORRUPTION_MORE_MAX;
		corruption_noise(random, bytes + was, n);
		*len = was + n;
		break;
	case CORRUPTION_EMPTY:
		*len = 0;
		break;
	case CORRUPTION_ZEROS:
		corruption_zeros(random, bytes, was);
		break;
	case CORRUPTION_HEAD:
		corruption_noise(random, bytes,
				 MIN(was, (size_t)CORRUPTION_HEAD_LEN));
		break;
	case CORRUPTION_NOISE:
		corruption_noise(random, bytes, was);
		break;
	case CORRUPTION_MOVED:
		memmove(bytes + was / 2 + 1, bytes + was / 2,
			was - was / 2 - 1);
		break;
	default:
		corruption_flip(random, bytes, was);
	}
}

uint8_t *corruption_make(enum corruption kind, uint64_t *random,
			 const void *bytes, size_t len, size_t *out_len)
{
	uint8_t *out = malloc(len + CORRUPTION_MORE_MAX);

	ASSERT(out && len > 0);
	memcpy(out, bytes, len);
	*out_len = len;
	corruption_spoil(kind, random, out, out_len);
	/* Zeros over zeros, two flips of one bit. */
	if (*out_len == len && memcmp(out, bytes, len) == 0)
		corruption_flip(random, out, len);
	return out;
}
