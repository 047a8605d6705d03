/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: SHA-256 and Ed25519 (by libcrypto; its only includer) and
 * SipHash-2-4.
 *
 * SipHash (Aumasson, Bernstein 2012) is ours because it runs once per call and
 * per name: of 30 bytes ours takes 26 ns, libcrypto's EVP_MAC 60 to 140 for its
 * set-up.  The tests compare it with libcrypto's.
 */
#ifndef DEPOT_DIGEST_H
#define DEPOT_DIGEST_H

#include "depot/base.h"

enum {
	DIGEST_LEN = 32,
	DIGEST_HEX_LEN = 64,
	SIPHASH_KEY_LEN = 16,
};

struct digest {
	uint8_t bytes[DIGEST_LEN];
};

struct digest digest_of(const void *data, size_t len); /* cannot fail */
/* Of one behind the other; cannot fail. */
struct digest digest_of_two(const void *first, size_t first_len,
			    const void *second, size_t second_len);

/* SHA-256 in steps; new may return NULL (no memory).  End it also to give up.
 */
struct digest_ctx;
struct digest_ctx *digest_ctx_new(void);
void digest_ctx_add(struct digest_ctx *ctx, const void *data, size_t len);
struct digest digest_ctx_end(struct digest_ctx *ctx); /* takes ctx */

bool digest_equal(const struct digest *a, const struct digest *b);
int digest_compare(const struct digest *a, const struct digest *b);

/* hex must hold DIGEST_HEX_LEN + 1 bytes; lower case. */
void digest_to_hex(const struct digest *d, char *hex);
/* Exactly 64 hex digits, lower case; -EINVAL for anything else. */
MUST_CHECK int digest_from_hex(const char *hex, size_t len, struct digest *d);

uint64_t siphash64(const uint8_t key[SIPHASH_KEY_LEN], const void *data,
		   size_t len);
/*
 * The same for many messages that begin alike: siphash64_begin takes the
 * beginning in, siphash64_rest the whole message, beginning included.
 */
struct siphash_begun {
	uint64_t v[4];
	size_t len; /* of the beginning, down to whole words */
};
struct siphash_begun siphash64_begin(const uint8_t key[SIPHASH_KEY_LEN],
				     const void *beginning, size_t len);
uint64_t siphash64_rest(const struct siphash_begun *begun, const void *data,
			size_t len);
void siphash128(const uint8_t key[SIPHASH_KEY_LEN], const void *data,
		size_t len, uint8_t out[16]);

/*
 * Ed25519 (RFC 8032) signatures.  A key of either kind is 32 bytes; a public
 * one is named by its 64 hex digits.  A secret one is kept in a file as PEM
 * (PKCS #8), as `openssl genpkey -algorithm ed25519` writes it.
 */
enum { SIGN_LEN = 64, SIGN_HEX_LEN = 128, SIGN_PEM_MAX = 512 };

struct sign_key {
	uint8_t bytes[32];
};

void sign_secret_new(struct sign_key *secret);
struct sign_key sign_public(const struct sign_key *secret);
void sign(const struct sign_key *secret, const void *data, size_t len,
	  uint8_t signature[SIGN_LEN]);
bool sign_verify(const struct sign_key *key, const void *data, size_t len,
		 const uint8_t signature[SIGN_LEN]);
int sign_key_compare(const struct sign_key *a, const struct sign_key *b);
/* hex must hold DIGEST_HEX_LEN + 1 bytes. */
void sign_key_to_hex(const struct sign_key *key, char *hex);
/* Lower case; -EINVAL. */
MUST_CHECK int sign_key_from_hex(const char *hex, size_t len,
				 struct sign_key *key);
/* NUL-terminated. */
void sign_secret_to_pem(const struct sign_key *secret, char pem[SIGN_PEM_MAX]);
/* -EBADMSG: no Ed25519 key, or one that asks for a pass phrase. */
MUST_CHECK int sign_secret_from_pem(const void *text, size_t len,
				    struct sign_key *secret);

/* Lower case; hex must hold 2 * len + 1 bytes. */
void hex_write(const void *bytes, size_t len, char *hex);
/* Exactly 2 * len digits, lower case; -EINVAL. */
MUST_CHECK int hex_read(const char *hex, size_t hex_len, void *bytes,
			size_t len);

/* In constant time. */
bool secret_equal(const void *a, const void *b, size_t len);
/* From the kernel; cannot fail after boot. */
void random_bytes(void *buf, size_t len);

/*
 * The READDIR cookie that a name starts from (design 6): 63-bit hash of the
 * name, never 0, 1 or 2.  The same in trees, images and deltas.  Ties take the
 * next free value, at most NAME_CHAIN_MAX of them.
 */
enum { NAME_CHAIN_MAX = 64 };
uint64_t name_cookie(const char *name, size_t name_len);
uint64_t name_cookie_next(uint64_t cookie); /* wraps past the top to 3 */
/* Tests only: keep `bits` bits of the hash (63 is all). */
void name_cookie_cut_for_tests(unsigned int bits);

#endif
