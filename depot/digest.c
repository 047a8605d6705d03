/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: SHA-256 and Ed25519 by libcrypto, SipHash-2-4 by hand.
 *
 * libcrypto looks an algorithm up by name at each use unless it was fetched
 * before, and allocates a context for each digest: both are done once here,
 * per process and per thread.
 */
#include "depot/digest.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <sys/random.h>

#define NAME_COOKIE_TOP ((1ull << 63) - 1)
enum { NAME_COOKIE_FIRST = 3, NAME_COOKIE_BITS = 63 };

struct digest_ctx {
	EVP_MD_CTX *evp; /* owns */
};

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;    /* owned for the life of the process */
static pthread_key_t digest_key; /* frees digest_thread_ctx */
static __thread EVP_MD_CTX *digest_thread_ctx;

static uint64_t name_cookie_mask = NAME_COOKIE_TOP;

static void digest_thread_end(void *ctx)
{
	EVP_MD_CTX_free(ctx);
	digest_thread_ctx = NULL;
}

static void digest_setup(void)
{
	digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	ASSERT(digest_sha256);
	ASSERT(pthread_key_create(&digest_key, digest_thread_end) == 0);
}

static __attribute__((noinline)) EVP_MD_CTX *digest_thread_start(void)
{
	pthread_once(&digest_once, digest_setup);
	digest_thread_ctx = EVP_MD_CTX_new();
	ASSERT(digest_thread_ctx);
	ASSERT(pthread_setspecific(digest_key, digest_thread_ctx) == 0);
	return digest_thread_ctx;
}

struct digest digest_of(const void *data, size_t len)
{
	return digest_of_two(data, len, NULL, 0);
}

struct digest digest_of_two(const void *first, size_t first_len,
			    const void *second, size_t second_len)
{
	EVP_MD_CTX *evp = digest_thread_ctx;
	struct digest d;

	if (!evp)
		evp = digest_thread_start();
	ASSERT(EVP_DigestInit_ex2(evp, digest_sha256, NULL) == 1);
	ASSERT(EVP_DigestUpdate(evp, first, first_len) == 1);
	if (second_len)
		ASSERT(EVP_DigestUpdate(evp, second, second_len) == 1);
	ASSERT(EVP_DigestFinal_ex(evp, d.bytes, NULL) == 1);
	return d;
}

struct digest_ctx *digest_ctx_new(void)
{
	CLEANUP_FREE struct digest_ctx *ctx = NULL;

	pthread_once(&digest_once, digest_setup);
	ctx = malloc(sizeof(*ctx));
	if (!ctx)
		return NULL;
	ctx->evp = EVP_MD_CTX_new();
	if (!ctx->evp)
		return NULL;
	ASSERT(EVP_DigestInit_ex2(ctx->evp, digest_sha256, NULL) == 1);
	return STEAL(ctx);
}

void digest_ctx_add(struct digest_ctx *ctx, const void *data, size_t len)
{
	ASSERT(EVP_DigestUpdate(ctx->evp, data, len) == 1);
}

struct digest digest_ctx_end(struct digest_ctx *ctx)
{
	struct digest d;

	ASSERT(EVP_DigestFinal_ex(ctx->evp, d.bytes, NULL) == 1);
	EVP_MD_CTX_free(ctx->evp);
	free(ctx);
	return d;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_LEN) == 0;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_LEN);
}

void hex_write(const void *bytes, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++) {
		*hex++ = digits[p[i] >> 4];
		*hex++ = digits[p[i] & 15];
	}
	*hex = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int hex_read(const char *hex, size_t hex_len, void *bytes, size_t len)
{
	uint8_t *p = bytes;

	if (hex_len != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < hex_len; i++)
		if (hex_value(hex[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 |
				 hex_value(hex[2 * i + 1]));
	return 0;
}

void digest_to_hex(const struct digest *d, char *hex)
{
	hex_write(d->bytes, DIGEST_LEN, hex);
}

int digest_from_hex(const char *hex, size_t len, struct digest *d)
{
	return hex_read(hex, len, d->bytes, DIGEST_LEN);
}

/* --- Ed25519 ------------------------------------------------------------- */

static EVP_PKEY *sign_pkey(const struct sign_key *secret)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(
	    EVP_PKEY_ED25519, NULL, secret->bytes, sizeof(secret->bytes));

	ASSERT(pkey);
	return pkey;
}

void sign_secret_new(struct sign_key *secret)
{
	random_bytes(secret->bytes, sizeof(secret->bytes));
}

struct sign_key sign_public(const struct sign_key *secret)
{
	EVP_PKEY *pkey = sign_pkey(secret);
	struct sign_key key;
	size_t len = sizeof(key.bytes);

	ASSERT(EVP_PKEY_get_raw_public_key(pkey, key.bytes, &len) == 1 &&
	       len == sizeof(key.bytes));
	EVP_PKEY_free(pkey);
	return key;
}

void sign(const struct sign_key *secret, const void *data, size_t len,
	  uint8_t signature[SIGN_LEN])
{
	EVP_PKEY *pkey = sign_pkey(secret);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t signature_len = SIGN_LEN;

	ASSERT(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1);
	ASSERT(EVP_DigestSign(ctx, signature, &signature_len, data, len) == 1 &&
	       signature_len == SIGN_LEN);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
}

bool sign_verify(const struct sign_key *key, const void *data, size_t len,
		 const uint8_t signature[SIGN_LEN])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, key->bytes, sizeof(key->bytes));
	bool good;

	/* No memory is no proof. */
	good = ctx && pkey &&
	       EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	       EVP_DigestVerify(ctx, signature, SIGN_LEN, data, len) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

int sign_key_compare(const struct sign_key *a, const struct sign_key *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

void sign_key_to_hex(const struct sign_key *key, char *hex)
{
	hex_write(key->bytes, sizeof(key->bytes), hex);
}

int sign_key_from_hex(const char *hex, size_t len, struct sign_key *key)
{
	return hex_read(hex, len, key->bytes, sizeof(key->bytes));
}

void sign_secret_to_pem(const struct sign_key *secret, char pem[SIGN_PEM_MAX])
{
	EVP_PKEY *pkey = sign_pkey(secret);
	BIO *bio = BIO_new(BIO_s_secmem());
	int len;

	ASSERT(bio && PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL,
					       NULL) == 1);
	len = BIO_read(bio, pem, SIGN_PEM_MAX - 1);
	ASSERT(len > 0 && len < SIGN_PEM_MAX - 1);
	pem[len] = '\0';
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

/* Nobody is asked for a pass phrase. */
static int sign_no_pass_phrase(char *buf UNUSED, int size UNUSED, int rw UNUSED,
			       void *ctx UNUSED)
{
	return -1;
}

int sign_secret_from_pem(const void *text, size_t len, struct sign_key *secret)
{
	size_t raw_len = sizeof(secret->bytes);
	EVP_PKEY *pkey = NULL;
	bool good;
	BIO *bio;

	if (len > SIGN_PEM_MAX)
		return -EBADMSG;
	bio = BIO_new_mem_buf(text, (int)len);
	if (!bio)
		return -ENOMEM;
	pkey = PEM_read_bio_PrivateKey(bio, NULL, sign_no_pass_phrase, NULL);
	good =
	    pkey && EVP_PKEY_get_id(pkey) == EVP_PKEY_ED25519 &&
	    EVP_PKEY_get_raw_private_key(pkey, secret->bytes, &raw_len) == 1 &&
	    raw_len == sizeof(secret->bytes);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	return good ? 0 : -EBADMSG;
}

/* --- SipHash ------------------------------------------------------------- */

static inline uint64_t siphash_rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static inline __attribute__((always_inline)) void siphash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = siphash_rotl(v[1], 13) ^ v[0];
	v[0] = siphash_rotl(v[0], 32);
	v[2] += v[3];
	v[3] = siphash_rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = siphash_rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = siphash_rotl(v[1], 17) ^ v[2];
	v[2] = siphash_rotl(v[2], 32);
}

static inline __attribute__((always_inline)) void siphash_word(uint64_t v[4],
							       uint64_t word)
{
	v[3] ^= word;
	siphash_round(v);
	siphash_round(v);
	v[0] ^= word;
}

/* The last 0 to 7 bytes, with the length in the top byte. */
static inline uint64_t siphash_tail(const uint8_t *p, size_t len)
{
	uint64_t word = (uint64_t)len << 56;

	switch (len & 7) {
	case 7:
		word |= (uint64_t)p[6] << 48;
		/* fall through */
	case 6:
		word |= (uint64_t)p[5] << 40;
		/* fall through */
	case 5:
		word |= (uint64_t)p[4] << 32;
		/* fall through */
	case 4:
		word |= (uint64_t)le32_get(p);
		break;
	case 3:
		word |= (uint64_t)p[2] << 16;
		/* fall through */
	case 2:
		word |= (uint64_t)p[1] << 8;
		/* fall through */
	case 1:
		word |= (uint64_t)p[0];
		break;
	default:
		break;
	}
	return word;
}

static inline __attribute__((always_inline)) void
siphash_key(uint64_t v[4], const uint8_t key[SIPHASH_KEY_LEN], uint64_t mark)
{
	uint64_t k0 = le64_get(key), k1 = le64_get(key + 8);

	v[0] = 0x736f6d6570736575ull ^ k0;
	v[1] = 0x646f72616e646f6dull ^ k1 ^ mark;
	v[2] = 0x6c7967656e657261ull ^ k0;
	v[3] = 0x7465646279746573ull ^ k1;
}

/* State after the whole message; `mark` tells 64 from 128 bit output. */
static inline __attribute__((always_inline)) void
siphash_absorb(uint64_t v[4], const uint8_t key[SIPHASH_KEY_LEN],
	       const void *data, size_t len, uint64_t mark)
{
	const uint8_t *p = data;

	siphash_key(v, key, mark);
	for (size_t i = 0; i < len / 8; i++, p += 8)
		siphash_word(v, le64_get(p));
	siphash_word(v, siphash_tail(p, len));
}

static inline __attribute__((always_inline)) uint64_t
siphash_finish(uint64_t v[4])
{
	for (int i = 0; i < 4; i++)
		siphash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t siphash64(const uint8_t key[SIPHASH_KEY_LEN], const void *data,
		   size_t len)
{
	uint64_t v[4];

	siphash_absorb(v, key, data, len, 0);
	v[2] ^= 0xff;
	return siphash_finish(v);
}

struct siphash_begun siphash64_begin(const uint8_t key[SIPHASH_KEY_LEN],
				     const void *beginning, size_t len)
{
	struct siphash_begun begun = {.len = len & ~(size_t)7};
	const uint8_t *p = beginning;

	siphash_key(begun.v, key, 0);
	for (size_t i = 0; i < begun.len; i += 8)
		siphash_word(begun.v, le64_get(p + i));
	return begun;
}

uint64_t siphash64_rest(const struct siphash_begun *begun, const void *data,
			size_t len)
{
	const uint8_t *p = data;
	uint64_t v[4];
	size_t i = begun->len;

	ASSERT(len >= i);
	memcpy(v, begun->v, sizeof(v));
	for (; len - i >= 8; i += 8)
		siphash_word(v, le64_get(p + i));
	siphash_word(v, siphash_tail(p + i, len));
	v[2] ^= 0xff;
	return siphash_finish(v);
}

void siphash128(const uint8_t key[SIPHASH_KEY_LEN], const void *data,
		size_t len, uint8_t out[16])
{
	uint64_t v[4];

	siphash_absorb(v, key, data, len, 0xee);
	v[2] ^= 0xee;
	le64_put(out, siphash_finish(v));
	v[1] ^= 0xdd;
	le64_put(out + 8, siphash_finish(v));
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void random_bytes(void *buf, size_t len)
{
	uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		ASSERT(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

uint64_t name_cookie(const char *name, size_t name_len)
{
	static const uint8_t key[SIPHASH_KEY_LEN];
	uint64_t cookie = siphash64(key, name, name_len) & name_cookie_mask;

	return cookie < NAME_COOKIE_FIRST ? cookie + NAME_COOKIE_FIRST : cookie;
}

uint64_t name_cookie_next(uint64_t cookie)
{
	return cookie >= NAME_COOKIE_TOP ? NAME_COOKIE_FIRST : cookie + 1;
}

void name_cookie_cut_for_tests(unsigned int bits)
{
	ASSERT(bits >= 1 && bits <= NAME_COOKIE_BITS);
	name_cookie_mask = (1ull << bits) - 1;
}
