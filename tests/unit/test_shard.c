/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shard: round trips, both codec libraries over the same bytes, and every
 * kind of bytes that are no shard.
 */
#include "depot/shard.h"

#include <pthread.h>
#include <zlib.h>

#include "tests/lib/check.h"

#ifndef HAVE_LIBDEFLATE
#define HAVE_LIBDEFLATE 0
#endif
#if HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif

static uint8_t test_shard_chunk[SHARD_CHUNK_MAX + 1];
static uint8_t test_shard_bytes[SHARD_MAX + 64];
static uint8_t test_shard_out[SHARD_CHUNK_MAX + 64];

static const size_t test_shard_lens[] = {1,    15,    16,    17,     100,
					 4096, 65535, 65536, 100001, 131072};

/* About half random, half repeated: compresses, but not to nothing. */
static void test_shard_fill_text(size_t len, uint64_t seed)
{
	check_fill(test_shard_chunk, len, seed);
	for (size_t i = 0; i < len; i++)
		if (i & 64)
			test_shard_chunk[i] = (uint8_t)("vdrive"[i % 6]);
}

static size_t test_shard_seal(size_t chunk_len, int level)
{
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(shard_seal(test_shard_chunk, chunk_len, level,
					 test_shard_bytes, SHARD_MAX, &len),
			      0);
	CU_ASSERT_TRUE(len > SHARD_HEADER_LEN && len <= SHARD_MAX);
	CU_ASSERT_TRUE(len <= SHARD_HEADER_LEN + chunk_len);
	return len;
}

static int test_shard_open(size_t chunk_len, const uint8_t *shard,
			   size_t shard_len)
{
	struct digest name = shard_name_of(NULL, test_shard_chunk, chunk_len);
	size_t out_len = 0;
	int rc;

	memset(test_shard_out, 0xee, sizeof(test_shard_out));
	rc = shard_open(NULL, &name, shard, shard_len, test_shard_out,
			SHARD_CHUNK_MAX, &out_len);
	for (size_t i = SHARD_CHUNK_MAX; i < sizeof(test_shard_out); i++)
		CU_ASSERT_EQUAL(test_shard_out[i], 0xee);
	if (rc == 0) {
		CU_ASSERT_EQUAL(out_len, chunk_len);
		CU_ASSERT_EQUAL(
		    memcmp(test_shard_out, test_shard_chunk, chunk_len), 0);
	}
	return rc;
}

static void test_shard_round_trip(void)
{
	size_t len, chunk_len;

	for (size_t i = 0; i < ARRAY_LEN(test_shard_lens); i++)
		for (int level = 1; level <= 12; level++) {
			test_shard_fill_text(test_shard_lens[i], i);
			len = test_shard_seal(test_shard_lens[i], level);
			CU_ASSERT_EQUAL(
			    shard_chunk_len(test_shard_bytes, len, &chunk_len),
			    0);
			CU_ASSERT_EQUAL(chunk_len, test_shard_lens[i]);
			CU_ASSERT_EQUAL(test_shard_open(test_shard_lens[i],
							test_shard_bytes, len),
					0);
		}
}

static void test_shard_raw(void)
{
	size_t len;

	/* Random bytes do not compress: stored as they are. */
	for (size_t i = 0; i < ARRAY_LEN(test_shard_lens); i++) {
		check_fill(test_shard_chunk, test_shard_lens[i], i);
		len = test_shard_seal(test_shard_lens[i], SHARD_LEVEL_CREATE);
		CU_ASSERT_EQUAL(len, SHARD_HEADER_LEN + test_shard_lens[i]);
		CU_ASSERT_EQUAL(test_shard_bytes[0], 0);
		CU_ASSERT_EQUAL(
		    test_shard_open(test_shard_lens[i], test_shard_bytes, len),
		    0);
	}
}

/* Codec 1 exactly when at least 1/16 is saved. */
static void test_shard_saving(void)
{
	const size_t chunk_len = 1600;
	bool raw = false, packed = false;
	size_t len;

	for (size_t zeros = 0; zeros <= 300; zeros++) {
		check_fill(test_shard_chunk, chunk_len, 5);
		memset(test_shard_chunk, 0, zeros);
		len = test_shard_seal(chunk_len, SHARD_LEVEL_CREATE);
		if (test_shard_bytes[0] == 1) {
			CU_ASSERT_TRUE(len <= SHARD_HEADER_LEN + chunk_len -
						  chunk_len / 16);
			packed = true;
		} else {
			CU_ASSERT_EQUAL(len, SHARD_HEADER_LEN + chunk_len);
			CU_ASSERT_TRUE(zeros < 200);
			raw = true;
		}
	}
	CU_ASSERT_TRUE(raw && packed);
}

static void test_shard_seal_limits(void)
{
	size_t len;

	CU_ASSERT_EQUAL(shard_seal(test_shard_chunk, 0, 6, test_shard_bytes,
				   SHARD_MAX, &len),
			-EINVAL);
	CU_ASSERT_EQUAL(shard_seal(test_shard_chunk, SHARD_CHUNK_MAX + 1, 6,
				   test_shard_bytes, SHARD_MAX, &len),
			-EINVAL);
}

/* The header as format.h draws it, around a payload made elsewhere. */
static void test_shard_header(uint8_t codec, size_t chunk_len)
{
	memset(test_shard_bytes, 0, SHARD_HEADER_LEN);
	test_shard_bytes[0] = codec;
	le32_put(test_shard_bytes + 4, (uint32_t)chunk_len);
}

static size_t test_shard_seal_by_zlib(size_t chunk_len, int level)
{
	uLongf len = sizeof(test_shard_bytes) - SHARD_HEADER_LEN;

	test_shard_header(1, chunk_len);
	CU_ASSERT_EQUAL_FATAL(compress2(test_shard_bytes + SHARD_HEADER_LEN,
					&len, test_shard_chunk, chunk_len,
					level),
			      Z_OK);
	return SHARD_HEADER_LEN + len;
}

/* zlib reads what we seal, we open what zlib packs. */
static void test_shard_zlib(void)
{
	static uint8_t out[SHARD_CHUNK_MAX];
	uLongf out_len;
	size_t len;

	for (size_t i = 4; i < ARRAY_LEN(test_shard_lens); i++)
		for (int level = 1; level <= 9; level++) {
			test_shard_fill_text(test_shard_lens[i], i);
			len = test_shard_seal(test_shard_lens[i], level);
			CU_ASSERT_EQUAL_FATAL(test_shard_bytes[0], 1);
			out_len = sizeof(out);
			CU_ASSERT_EQUAL(
			    uncompress(out, &out_len,
				       test_shard_bytes + SHARD_HEADER_LEN,
				       len - SHARD_HEADER_LEN),
			    Z_OK);
			CU_ASSERT_EQUAL(out_len, test_shard_lens[i]);
			CU_ASSERT_EQUAL(memcmp(out, test_shard_chunk, out_len),
					0);
			len =
			    test_shard_seal_by_zlib(test_shard_lens[i], level);
			CU_ASSERT_EQUAL(test_shard_open(test_shard_lens[i],
							test_shard_bytes, len),
					0);
		}
}

/* Made by libdeflate 1.14 at level 12: 4,096 bytes of "vdrive". */
static void test_shard_libdeflate_sample(void)
{
	static const uint8_t shard[] = {
	    0x01, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x78, 0xda, 0xed,
	    0xc4, 0x21, 0x11, 0x00, 0x00, 0x08, 0x04, 0xb0, 0xb2, 0x20, 0xb0,
	    0x88, 0xcf, 0x4f, 0x0f, 0x6e, 0x13, 0x4b, 0xed, 0xa4, 0x63, 0xdb,
	    0xb6, 0x6d, 0xdb, 0xb6, 0x1f, 0x7f, 0x8f, 0x08, 0xd5, 0xb0,
	};

	for (size_t i = 0; i < 4096; i++)
		test_shard_chunk[i] = (uint8_t)("vdrive"[i % 6]);
	CU_ASSERT_EQUAL(test_shard_open(4096, shard, sizeof(shard)), 0);
}

#if HAVE_LIBDEFLATE
static void test_shard_libdeflate(void)
{
	static uint8_t out[SHARD_CHUNK_MAX];
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(12);
	size_t len, n;

	for (size_t i = 4; i < ARRAY_LEN(test_shard_lens); i++) {
		n = test_shard_lens[i];
		test_shard_fill_text(n, i);
		len = test_shard_seal_by_zlib(n, 6);
		CU_ASSERT_EQUAL(libdeflate_zlib_decompress(
				    d, test_shard_bytes + SHARD_HEADER_LEN,
				    len - SHARD_HEADER_LEN, out, n, NULL),
				LIBDEFLATE_SUCCESS);
		len = libdeflate_zlib_compress(
		    c, test_shard_chunk, n, test_shard_bytes + SHARD_HEADER_LEN,
		    sizeof(test_shard_bytes) - SHARD_HEADER_LEN);
		test_shard_header(1, n);
		CU_ASSERT_EQUAL(test_shard_open(n, test_shard_bytes,
						SHARD_HEADER_LEN + len),
				0);
	}
	libdeflate_free_compressor(c);
	libdeflate_free_decompressor(d);
}
#endif

/* Every bit of the header, every bit of a payload, every length. */
static void test_shard_damage(void)
{
	const size_t chunk_len = 700;
	static uint8_t copy[SHARD_MAX];
	size_t len, n, harmless;
	int rc;

	for (int raw = 0; raw < 2; raw++) {
		if (raw)
			check_fill(test_shard_chunk, chunk_len, 3);
		else
			test_shard_fill_text(chunk_len, 3);
		len = test_shard_seal(chunk_len, SHARD_LEVEL_CREATE);
		CU_ASSERT_EQUAL(test_shard_bytes[0], raw ? 0 : 1);
		harmless = 0;
		for (size_t bit = 0; bit < len * 8; bit++) {
			memcpy(copy, test_shard_bytes, len);
			copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
			rc = test_shard_open(chunk_len, copy, len);
			harmless += rc == 0;
			CU_ASSERT_TRUE(rc == 0 || rc == -EBADMSG ||
				       rc == -EPROTONOSUPPORT);
		}
		/* Some bits of zlib's header and the padding before its sum
		 * mean nothing; the content was right all the same. */
		CU_ASSERT_TRUE(harmless <= (raw ? 0 : 12));
		for (n = 0; n < len; n++)
			CU_ASSERT_EQUAL(
			    test_shard_open(chunk_len, test_shard_bytes, n),
			    -EBADMSG);
		memcpy(copy, test_shard_bytes, len);
		copy[len] = 0;
		CU_ASSERT_EQUAL(test_shard_open(chunk_len, copy, len + 1),
				-EBADMSG);
	}
}

/* Not less and not more than the header says, whatever the stream holds. */
static void test_shard_declared(void)
{
	const size_t chunk_len = 5000;
	size_t len, got;
	int off;

	test_shard_fill_text(chunk_len, 1);
	len = test_shard_seal(chunk_len, SHARD_LEVEL_CREATE);
	for (off = -3; off <= 3; off++) {
		le32_put(test_shard_bytes + 4,
			 (uint32_t)((int)chunk_len + off));
		CU_ASSERT_EQUAL(
		    test_shard_open(chunk_len, test_shard_bytes, len),
		    off ? -EBADMSG : 0);
	}
	le32_put(test_shard_bytes + 4, 0);
	CU_ASSERT_EQUAL(shard_chunk_len(test_shard_bytes, len, &got), -EBADMSG);
	le32_put(test_shard_bytes + 4, SHARD_CHUNK_MAX + 1);
	CU_ASSERT_EQUAL(shard_chunk_len(test_shard_bytes, len, &got), -EBADMSG);
	le32_put(test_shard_bytes + 4, UINT32_MAX);
	CU_ASSERT_EQUAL(shard_chunk_len(test_shard_bytes, len, &got), -EBADMSG);
}

/* 130 bytes that unpack to 128 KiB must stop at the caller's cap. */
static void test_shard_bomb(void)
{
	const size_t cap = 1000;
	struct digest name;
	size_t len, out_len;

	memset(test_shard_chunk, 0, SHARD_CHUNK_MAX);
	len = test_shard_seal(SHARD_CHUNK_MAX, SHARD_LEVEL_CREATE);
	name = shard_name_of(NULL, test_shard_chunk, SHARD_CHUNK_MAX);
	for (int lie = 0; lie < 2; lie++) {
		if (lie)
			le32_put(test_shard_bytes + 4, (uint32_t)cap);
		memset(test_shard_out, 0xee, sizeof(test_shard_out));
		CU_ASSERT_EQUAL(shard_open(NULL, &name, test_shard_bytes, len,
					   test_shard_out, cap, &out_len),
				-EBADMSG);
		for (size_t i = cap; i < sizeof(test_shard_out); i++)
			CU_ASSERT_EQUAL(test_shard_out[i], 0xee);
	}
}

static void test_shard_newer(void)
{
	static const size_t places[] = {0, 1, 2, 3};
	size_t len, got;
	uint8_t before;

	test_shard_fill_text(1000, 1);
	len = test_shard_seal(1000, SHARD_LEVEL_CREATE);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		before = test_shard_bytes[places[i]];
		test_shard_bytes[places[i]] = 2;
		CU_ASSERT_EQUAL(test_shard_open(1000, test_shard_bytes, len),
				-EPROTONOSUPPORT);
		CU_ASSERT_EQUAL(shard_chunk_len(test_shard_bytes, len, &got),
				-EPROTONOSUPPORT);
		test_shard_bytes[places[i]] = before;
	}
	CU_ASSERT_EQUAL(test_shard_open(1000, test_shard_bytes, len), 0);
}

static void test_shard_wrong_name(void)
{
	size_t len;

	test_shard_fill_text(3000, 1);
	len = test_shard_seal(3000, SHARD_LEVEL_CREATE);
	test_shard_chunk[2999] ^= 1;
	CU_ASSERT_EQUAL(test_shard_open(3000, test_shard_bytes, len), -EBADMSG);
}

static void *test_shard_thread(void *arg)
{
	const size_t chunk_len = 20000;
	CLEANUP_FREE uint8_t *shard = malloc(SHARD_MAX);
	CLEANUP_FREE uint8_t *out = malloc(chunk_len);
	CLEANUP_FREE uint8_t *chunk = calloc(1, chunk_len);
	struct digest name;
	size_t len, out_len;

	ASSERT(shard && out && chunk);
	for (uint64_t i = 0; i < 40; i++) {
		check_fill(chunk, chunk_len / 2, (uintptr_t)arg + i);
		name = shard_name_of(NULL, chunk, chunk_len);
		if (shard_seal(chunk, chunk_len, 1 + (int)i % 12, shard,
			       SHARD_MAX, &len) < 0 ||
		    shard_open(NULL, &name, shard, len, out, chunk_len,
			       &out_len) < 0)
			return arg;
	}
	return NULL;
}

static void test_shard_threads(void)
{
	pthread_t threads[3];
	void *bad;

	for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL,
					       test_shard_thread,
					       (void *)(i * 100 + 1)),
				0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &bad);
		CU_ASSERT_PTR_NULL(bad);
	}
}

static void test_shard_library(void)
{
	CU_ASSERT_STRING_EQUAL(shard_codec_library(),
			       HAVE_LIBDEFLATE ? "libdeflate" : "zlib");
}

static const struct check_test tests[] = {
    {"round trip", test_shard_round_trip},
    {"raw", test_shard_raw},
    {"saving", test_shard_saving},
    {"seal limits", test_shard_seal_limits},
    {"zlib's streams", test_shard_zlib},
    {"libdeflate's sample", test_shard_libdeflate_sample},
#if HAVE_LIBDEFLATE
    {"libdeflate's streams", test_shard_libdeflate},
#endif
    {"damage", test_shard_damage},
    {"declared length", test_shard_declared},
    {"bomb", test_shard_bomb},
    {"newer", test_shard_newer},
    {"wrong name", test_shard_wrong_name},
    {"threads", test_shard_threads},
    {"library", test_shard_library},
};

int main(void)
{
	return check_main("test_shard", tests, ARRAY_LEN(tests));
}
