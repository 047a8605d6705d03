/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard: seal and open.  Two libraries do the same work: libdeflate where it
 * was found at build time (2.3 times faster), zlib elsewhere.  The state of
 * either is kept per thread, since opening is the cost of every cache miss.
 */
#include "depot/shard.h"

#include <pthread.h>

#include "depot/chunker.h"
#include "depot/format.h"

#ifndef HAVE_LIBDEFLATE
#define HAVE_LIBDEFLATE 0
#endif

#if HAVE_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif

enum {
	SHARD_LEVEL_MAX = 12,
	SHARD_MIN_SAVING = 16, /* of the chunk: 1/16 */
};

_Static_assert((int)SHARD_CHUNK_MAX == (int)CHUNK_MAX, "chunk length");
_Static_assert(sizeof(((struct format_tree_header *)0)->salt) == SHARD_SALT_LEN,
	       "salt");
_Static_assert(sizeof(struct format_shard) == SHARD_HEADER_LEN, "header");

/*
 * What a thread keeps for the next shard.  The compressor is that of the last
 * level used: a thread seals at one level for a long time.
 */
struct shard_thread {
	int level;
	bool has_deflate, has_inflate;
#if HAVE_LIBDEFLATE
	struct libdeflate_compressor *deflate;   /* owns */
	struct libdeflate_decompressor *inflate; /* owns */
#else
	z_stream deflate, inflate;
#endif
};

static pthread_once_t shard_once = PTHREAD_ONCE_INIT;
static pthread_key_t shard_key;
static __thread struct shard_thread shard_state;

#if HAVE_LIBDEFLATE

const char *shard_codec_library(void)
{
	return "libdeflate";
}

static void shard_deflate_end(struct shard_thread *t)
{
	libdeflate_free_compressor(t->deflate);
}

static void shard_inflate_end(struct shard_thread *t)
{
	libdeflate_free_decompressor(t->inflate);
}

static bool shard_deflate_start(struct shard_thread *t, int level)
{
	t->deflate = libdeflate_alloc_compressor(level);
	return t->deflate != NULL;
}

static bool shard_inflate_start(struct shard_thread *t)
{
	t->inflate = libdeflate_alloc_decompressor();
	return t->inflate != NULL;
}

/* Length of the stream, 0 when it is longer than cap. */
static size_t shard_deflate(struct shard_thread *t, const void *in,
			    size_t in_len, uint8_t *out, size_t cap)
{
	return libdeflate_zlib_compress(t->deflate, in, in_len, out, cap);
}

/* Whether `in` is one whole stream of exactly out_len bytes. */
static bool shard_inflate(struct shard_thread *t, const uint8_t *in,
			  size_t in_len, void *out, size_t out_len)
{
	enum libdeflate_result result;
	size_t in_used;

	/* Without a place for the output's length, a shorter one fails. */
	result = libdeflate_zlib_decompress_ex(t->inflate, in, in_len, out,
					       out_len, &in_used, NULL);
	return result == LIBDEFLATE_SUCCESS && in_used == in_len;
}

#else

const char *shard_codec_library(void)
{
	return "zlib";
}

static void shard_deflate_end(struct shard_thread *t)
{
	deflateEnd(&t->deflate);
}

static void shard_inflate_end(struct shard_thread *t)
{
	inflateEnd(&t->inflate);
}

static bool shard_deflate_start(struct shard_thread *t, int level)
{
	memset(&t->deflate, 0, sizeof(t->deflate));
	return deflateInit(&t->deflate, MIN(level, Z_BEST_COMPRESSION)) == Z_OK;
}

static bool shard_inflate_start(struct shard_thread *t)
{
	memset(&t->inflate, 0, sizeof(t->inflate));
	return inflateInit(&t->inflate) == Z_OK;
}

static size_t shard_deflate(struct shard_thread *t, const void *in,
			    size_t in_len, uint8_t *out, size_t cap)
{
	z_stream *z = &t->deflate;

	ASSERT(deflateReset(z) == Z_OK);
	z->next_in = (z_const Bytef *)in;
	z->avail_in = (uInt)in_len;
	z->next_out = out;
	z->avail_out = (uInt)cap;
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return 0;
	return cap - z->avail_out;
}

static bool shard_inflate(struct shard_thread *t, const uint8_t *in,
			  size_t in_len, void *out, size_t out_len)
{
	z_stream *z = &t->inflate;

	ASSERT(inflateReset(z) == Z_OK);
	z->next_in = (z_const Bytef *)in;
	z->avail_in = (uInt)in_len;
	z->next_out = out;
	z->avail_out = (uInt)out_len;
	return inflate(z, Z_FINISH) == Z_STREAM_END && z->avail_in == 0 &&
	       z->avail_out == 0;
}

#endif

static void shard_thread_end(void *arg)
{
	struct shard_thread *t = arg;

	if (t->has_deflate)
		shard_deflate_end(t);
	if (t->has_inflate)
		shard_inflate_end(t);
	t->has_deflate = false;
	t->has_inflate = false;
}

static void shard_setup(void)
{
	ASSERT(pthread_key_create(&shard_key, shard_thread_end) == 0);
}

static bool shard_thread_register(struct shard_thread *t)
{
	pthread_once(&shard_once, shard_setup);
	return pthread_setspecific(shard_key, t) == 0;
}

/* This thread's state, ready to seal at `level`; NULL: no memory. */
static struct shard_thread *shard_ready_deflate(int level)
{
	struct shard_thread *t = &shard_state;

	if (t->has_deflate && t->level == level)
		return t;
	if (!shard_thread_register(t))
		return NULL;
	if (t->has_deflate)
		shard_deflate_end(t);
	t->has_deflate = shard_deflate_start(t, level);
	t->level = level;
	return t->has_deflate ? t : NULL;
}

static struct shard_thread *shard_ready_inflate(void)
{
	struct shard_thread *t = &shard_state;

	if (t->has_inflate)
		return t;
	if (!shard_thread_register(t))
		return NULL;
	t->has_inflate = shard_inflate_start(t);
	return t->has_inflate ? t : NULL;
}

struct digest shard_name_of(const uint8_t *salt, const void *chunk,
			    size_t chunk_len)
{
	return salt ? digest_of_two(salt, SHARD_SALT_LEN, chunk, chunk_len)
		    : digest_of(chunk, chunk_len);
}

int shard_seal(const void *chunk, size_t chunk_len, int level, uint8_t *out,
	       size_t out_cap, size_t *out_len)
{
	struct format_shard header = {.codec = SHARD_CODEC_ZLIB};
	uint8_t *payload = out + SHARD_HEADER_LEN;
	struct shard_thread *t;
	size_t payload_len;

	ASSERT(out_cap >= SHARD_MAX);
	ASSERT(level >= 1 && level <= SHARD_LEVEL_MAX);

	if (chunk_len == 0 || chunk_len > SHARD_CHUNK_MAX)
		return -EINVAL;
	t = shard_ready_deflate(level);
	if (!t)
		return -ENOMEM;
	/* A stream that saves too little simply does not fit. */
	payload_len =
	    shard_deflate(t, chunk, chunk_len, payload,
			  chunk_len - (chunk_len + 15) / SHARD_MIN_SAVING);
	if (payload_len == 0) {
		header.codec = SHARD_CODEC_RAW;
		payload_len = chunk_len;
		memcpy(payload, chunk, chunk_len);
	}
	header.chunk_len_le = htole32((uint32_t)chunk_len);
	memcpy(out, &header, sizeof(header));
	*out_len = SHARD_HEADER_LEN + payload_len;
	return 0;
}

/* The control run of tests/e2e/corrupt must fail. */
#ifdef BROKEN_NO_VERIFY
static const bool shard_trusting = true;
#else
static const bool shard_trusting;
#endif

/* Everything that the header says, checked; lengths are not codec's yet. */
static int shard_parse(const void *shard, size_t shard_len, uint8_t *codec,
		       size_t *chunk_len)
{
	struct format_shard header;
	size_t len;

	if (shard_len <= SHARD_HEADER_LEN || shard_len > SHARD_MAX)
		return -EBADMSG;
	memcpy(&header, shard, sizeof(header));
	/* A later vdrive's, or damage: only its name could tell. */
	if (header.codec > SHARD_CODEC_ZLIB || header.flags ||
	    header.reserved[0] || header.reserved[1])
		return -EPROTONOSUPPORT;
	len = le32toh(header.chunk_len_le);
	if (len == 0 || len > SHARD_CHUNK_MAX)
		return -EBADMSG;
	if (header.codec == SHARD_CODEC_RAW &&
	    shard_len != SHARD_HEADER_LEN + len)
		return -EBADMSG;
	*codec = header.codec;
	*chunk_len = len;
	return 0;
}

int shard_chunk_len(const void *shard, size_t shard_len, size_t *chunk_len)
{
	uint8_t codec;

	return shard_parse(shard, shard_len, &codec, chunk_len);
}

int shard_open(const uint8_t *salt, const struct digest *name,
	       const void *shard, size_t shard_len, void *out, size_t out_cap,
	       size_t *out_len)
{
	const uint8_t *payload = (const uint8_t *)shard + SHARD_HEADER_LEN;
	struct shard_thread *t;
	struct digest digest;
	size_t chunk_len;
	uint8_t codec;
	int rc;

	rc = shard_parse(shard, shard_len, &codec, &chunk_len);
	if (rc < 0)
		return rc;
	if (chunk_len > out_cap)
		return -EBADMSG;
	if (codec == SHARD_CODEC_RAW) {
		memcpy(out, payload, chunk_len);
	} else {
		t = shard_ready_inflate();
		if (!t)
			return -ENOMEM;
		if (!shard_inflate(t, payload, shard_len - SHARD_HEADER_LEN,
				   out, chunk_len))
			return -EBADMSG;
	}
	digest = shard_name_of(salt, out, chunk_len);
	if (!digest_equal(&digest, name) && !shard_trusting)
		return -EBADMSG;
	*out_len = chunk_len;
	return 0;
}
