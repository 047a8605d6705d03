/* SPDX-License-Identifier: Apache-2.0 */
#include "nfsd/framing.h"
#include "tests/lib/check.h"

enum { STREAM_MAX = 3 << 20, BUF_CAP = FRAMING_LEN_MAX };

struct stream {
	uint8_t *bytes; /* owns */
	size_t len;
};

static struct stream stream_new(void)
{
	struct stream s = {.bytes = malloc(STREAM_MAX)};

	ASSERT(s.bytes);
	return s;
}

static void stream_add(struct stream *s, bool last, const void *bytes,
		       size_t len)
{
	be32_put(s->bytes + s->len, (last ? 0x80000000u : 0) | (uint32_t)len);
	if (len > 0)
		memcpy(s->bytes + s->len + 4, bytes, len);
	s->len += 4 + len;
}

/* Feed in pieces of `step` bytes, give exact room when asked; the records one
 * behind another into out.  Returns how many, or -errno. */
static int stream_feed(const struct stream *s, size_t step, uint8_t *out,
		       size_t *out_len)
{
	struct framing framing;
	const uint8_t *body;
	size_t len, at = 0;
	int count = 0, rc;

	framing_init(&framing);
	*out_len = 0;
	while (at < s->len) {
		/* An exact copy, so that sanitizers see an overrun. */
		size_t n = MIN(step, s->len - at);
		CLEANUP_FREE uint8_t *piece = malloc(n);
		const uint8_t *p = piece;

		memcpy(piece, s->bytes + at, n);
		at += n;
		while (p < piece + n) {
			rc = framing_next(&framing, &p, piece + n, &body, &len);
			if (rc == FRAMING_ROOM) {
				size_t cap = framing.len + n;

				free(framing_give(&framing, malloc(cap), cap));
				continue;
			}
			if (rc < 0 || rc == FRAMING_MORE) {
				if (rc < 0) {
					free(framing.buf);
					return rc;
				}
				continue;
			}
			if (len > 0)
				memcpy(out + *out_len, body, len);
			*out_len += len;
			count++;
			if (framing.buf && !framing_is_partial(&framing))
				free(framing_take(&framing));
		}
	}
	CU_ASSERT_FALSE(framing_is_partial(&framing));
	free(framing.buf);
	return count;
}

static void check_records(const struct stream *s, size_t step, int count,
			  const uint8_t *want, size_t want_len)
{
	CLEANUP_FREE uint8_t *out = malloc(STREAM_MAX);
	size_t len;

	CU_ASSERT_EQUAL(stream_feed(s, step, out, &len), count);
	CU_ASSERT_EQUAL(len, want_len);
	CU_ASSERT_EQUAL(memcmp(out, want, want_len), 0);
}

static void test_whole(void)
{
	struct stream s = stream_new();
	uint8_t data[300];

	check_fill(data, sizeof(data), 1);
	stream_add(&s, true, data, 100);
	stream_add(&s, true, data + 100, 0);
	stream_add(&s, true, data + 100, 200);
	for (size_t step = 1; step <= s.len; step++)
		check_records(&s, step, 3, data, sizeof(data));
	free(s.bytes);
}

/* Every way to cut a record in two fragments, fed in three step sizes. */
static void test_two_fragments(void)
{
	uint8_t data[1024];

	check_fill(data, sizeof(data), 2);
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		struct stream s = stream_new();

		stream_add(&s, false, data, cut);
		stream_add(&s, true, data + cut, sizeof(data) - cut);
		check_records(&s, s.len, 1, data, sizeof(data));
		check_records(&s, 7, 1, data, sizeof(data));
		check_records(&s, 1, 1, data, sizeof(data));
		free(s.bytes);
	}
}

static void test_many_fragments(void)
{
	struct stream s = stream_new();
	uint8_t data[2048];

	check_fill(data, sizeof(data), 3);
	for (size_t i = 0; i < sizeof(data); i++)
		stream_add(&s, i + 1 == sizeof(data), data + i, 1);
	check_records(&s, s.len, 1, data, sizeof(data));
	check_records(&s, 4096, 1, data, sizeof(data));
	check_records(&s, 1, 1, data, sizeof(data));
	free(s.bytes);
}

static void test_empty_fragments(void)
{
	struct stream s = stream_new();
	CLEANUP_FREE uint8_t *out = malloc(STREAM_MAX);
	uint8_t data[8] = "abcdefg";
	size_t len;

	for (int i = 0; i < 100; i++)
		stream_add(&s, false, NULL, 0);
	stream_add(&s, true, data, sizeof(data));
	check_records(&s, 5, 1, data, sizeof(data));
	s.len = 0;
	for (int i = 0; i < FRAMING_FRAGMENTS_MAX + 1; i++)
		stream_add(&s, false, NULL, 0);
	CU_ASSERT_EQUAL(stream_feed(&s, s.len, out, &len), -EMSGSIZE);
	CU_ASSERT_EQUAL(stream_feed(&s, 3, out, &len), -EMSGSIZE);
	free(s.bytes);
}

static void test_too_long(void)
{
	struct stream s = stream_new();
	CLEANUP_FREE uint8_t *out = malloc(STREAM_MAX);
	CLEANUP_FREE uint8_t *data = malloc(FRAMING_LEN_MAX);
	size_t len;

	check_fill(data, FRAMING_LEN_MAX, 4);
	stream_add(&s, true, data, FRAMING_LEN_MAX);
	check_records(&s, s.len, 1, data, FRAMING_LEN_MAX);
	check_records(&s, 100000, 1, data, FRAMING_LEN_MAX);

	s.len = 0;
	stream_add(&s, false, data, FRAMING_LEN_MAX);
	stream_add(&s, true, data, 1);
	CU_ASSERT_EQUAL(stream_feed(&s, 65536, out, &len), -EMSGSIZE);

	/* Announced only: refused before anything is asked for. */
	s.len = 4;
	be32_put(s.bytes, 0xffffffff);
	CU_ASSERT_EQUAL(stream_feed(&s, 4, out, &len), -EMSGSIZE);
	be32_put(s.bytes, 0x7fffffff);
	CU_ASSERT_EQUAL(stream_feed(&s, 1, out, &len), -EMSGSIZE);
	be32_put(s.bytes, 0x80000000u | (FRAMING_LEN_MAX + 1));
	CU_ASSERT_EQUAL(stream_feed(&s, 4, out, &len), -EMSGSIZE);
	free(s.bytes);
}

/* Receiving directly behind what was gathered. */
static void test_direct(void)
{
	struct framing framing;
	uint8_t buf[64], head[4 + 10], *room;
	const uint8_t *p = head, *body;
	size_t len;

	framing_init(&framing);
	be32_put(head, 0x80000000u | 40);
	memcpy(head + 4, "0123456789", 10);
	CU_ASSERT_EQUAL(
	    framing_next(&framing, &p, head + sizeof(head), &body, &len),
	    FRAMING_ROOM);
	CU_ASSERT_EQUAL(framing_announced(&framing), 40);
	CU_ASSERT_PTR_NULL(framing_give(&framing, buf, sizeof(buf)));
	CU_ASSERT_EQUAL(
	    framing_next(&framing, &p, head + sizeof(head), &body, &len),
	    FRAMING_MORE);
	CU_ASSERT_EQUAL(framing_rest(&framing, &room), 30);
	CU_ASSERT_PTR_EQUAL(room, buf + 10);
	framing_received(&framing, 29);
	CU_ASSERT_FALSE(framing_complete(&framing, &body, &len));
	CU_ASSERT_EQUAL(framing_rest(&framing, &room), 1);
	framing_received(&framing, 1);
	CU_ASSERT_TRUE(framing_complete(&framing, &body, &len));
	CU_ASSERT_EQUAL(len, 40);
	CU_ASSERT_PTR_EQUAL(body, buf);
	CU_ASSERT_FALSE(framing_is_partial(&framing));
	CU_ASSERT_PTR_EQUAL(framing_take(&framing), buf);
}

static const struct check_test tests[] = {
    {"whole records, any steps", test_whole},
    {"every cut in two fragments", test_two_fragments},
    {"2,048 fragments of one byte", test_many_fragments},
    {"empty fragments, bounded", test_empty_fragments},
    {"limit on the running total", test_too_long},
    {"direct receive", test_direct},
};

int main(void)
{
	return check_main("test_framing", tests, ARRAY_LEN(tests));
}
