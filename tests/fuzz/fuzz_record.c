/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_record: finds records in an arbitrary stream that arrives in arbitrary
 * pieces.  Promises: any split gives the same records and the same end, also
 * byte by byte; a buffer never needs more than what was fed; no record passes
 * the limit.
 *
 * Input: a count of pieces (0..31) and the length of each (0 is 256); then the
 * stream, which is cut into such pieces, over and over.
 */
#include "nfsd/framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fuzz_record_result {
	uint64_t sum; /* over all records and their lengths */
	unsigned int count;
	int rc;
};

static void fuzz_record_add(struct fuzz_record_result *result,
			    const uint8_t *body, size_t len)
{
	ASSERT(len <= FRAMING_LEN_MAX);
	result->count++;
	result->sum = (result->sum ^ len) * 0x100000001b3ull;
	for (size_t i = 0; i < len; i++)
		result->sum = (result->sum ^ body[i]) * 0x100000001b3ull;
}

/* One piece; 0, or the framing's error. */
static int fuzz_record_piece(struct framing *framing, const uint8_t *p,
			     const uint8_t *end, size_t fed,
			     struct fuzz_record_result *result)
{
	const uint8_t *body;
	size_t len;
	int rc;

	while (p < end) {
		rc = framing_next(framing, &p, end, &body, &len);
		if (rc < 0)
			return rc;
		if (rc == FRAMING_DONE) {
			fuzz_record_add(result, body, len);
		} else if (rc == FRAMING_ROOM) {
			size_t cap = framing->len + (size_t)(end - p);

			ASSERT(cap <= fed);
			free(framing_give(framing, malloc(cap), cap));
		} else {
			ASSERT(p == end);
		}
		if (framing->buf && !framing_is_partial(framing))
			free(framing_take(framing));
	}
	return 0;
}

/* `pieces`: lengths to cut into, over and over; count 0: all at once. */
static struct fuzz_record_result fuzz_record_feed(const uint8_t *data,
						  size_t len,
						  const uint8_t *pieces,
						  unsigned int count)
{
	struct fuzz_record_result result = {.sum = 1};
	struct framing framing;
	unsigned int next = 0;
	size_t at = 0;

	framing_init(&framing);
	while (at < len && result.rc == 0) {
		size_t n = len - at;
		uint8_t *piece;

		if (count > 0) {
			size_t want = pieces[next++ % count];

			n = MIN(n, want ? want : 256);
		}
		piece = malloc(n);
		ASSERT(piece);
		memcpy(piece, data + at, n);
		at += n;
		result.rc =
		    fuzz_record_piece(&framing, piece, piece + n, at, &result);
		free(piece);
	}
	free(framing.buf);
	return result;
}

static void fuzz_record_same(const struct fuzz_record_result *a,
			     const struct fuzz_record_result *b)
{
	ASSERT(a->rc == b->rc);
	ASSERT(a->count == b->count && a->sum == b->sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t one = 1;
	struct fuzz_record_result whole, split, single;
	unsigned int count = len > 0 ? data[0] % 32u : 0;

	if (len < 1 + count)
		return 0;
	len -= 1 + count;
	whole = fuzz_record_feed(data + 1 + count, len, NULL, 0);
	split = fuzz_record_feed(data + 1 + count, len, data + 1, count);
	single = fuzz_record_feed(data + 1 + count, len, &one, 1);
	fuzz_record_same(&whole, &split);
	fuzz_record_same(&whole, &single);
	return 0;
}
