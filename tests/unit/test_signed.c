/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_signed: keys, and what an envelope of signatures lets through: the
 * signed bytes and nothing else (T-26), each key once (T-25).
 */
#include <stdio.h>

#include "depot/document.h"
#include "depot/log.h"
#include "tests/lib/check.h"

static struct sign_key test_secret(uint8_t seed)
{
	struct sign_key secret;

	memset(&secret, seed, sizeof(secret));
	return secret;
}

static struct sign_keys test_trust(const struct sign_key *secret)
{
	struct sign_keys keys = {.count = 1};

	keys.key[0] = sign_public(secret);
	return keys;
}

/* RFC 8032, 7.1: tests 1 and 2. */
static void test_vectors(void)
{
	static const struct {
		const char *secret, *public, *message, *signature;
	} cases[] = {
	    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
	     "",
	     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
	     "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
	     "r",
	     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0"
	     "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sign_key secret, key;
		uint8_t got[SIGN_LEN];
		char hex[SIGN_HEX_LEN + 1];

		CU_ASSERT_EQUAL_FATAL(
		    sign_key_from_hex(cases[i].secret, 64, &secret), 0);
		key = sign_public(&secret);
		sign_key_to_hex(&key, hex);
		CU_ASSERT_STRING_EQUAL(hex, cases[i].public);
		sign(&secret, cases[i].message, strlen(cases[i].message), got);
		hex_write(got, SIGN_LEN, hex);
		CU_ASSERT_STRING_EQUAL(hex, cases[i].signature);
		CU_ASSERT(sign_verify(&key, cases[i].message,
				      strlen(cases[i].message), got));
		CU_ASSERT_FALSE(sign_verify(&key, "x", 1, got));
		for (int bit = 0; bit < SIGN_LEN * 8; bit++) {
			got[bit / 8] ^= (uint8_t)(1 << bit % 8);
			CU_ASSERT_FALSE(sign_verify(&key, cases[i].message,
						    strlen(cases[i].message),
						    got));
			got[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void test_pem(void)
{
	static const char rsa_like[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n"
				       "-----END PRIVATE KEY-----\n";
	struct sign_key secret, again;
	char pem[SIGN_PEM_MAX];
	size_t len;

	sign_secret_new(&secret);
	sign_secret_to_pem(&secret, pem);
	len = strlen(pem);
	CU_ASSERT_EQUAL(strncmp(pem, "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	CU_ASSERT_EQUAL_FATAL(sign_secret_from_pem(pem, len, &again), 0);
	CU_ASSERT_EQUAL(sign_key_compare(&secret, &again), 0);
	sign_secret_new(&again);
	CU_ASSERT_NOT_EQUAL(sign_key_compare(&secret, &again), 0);
	for (size_t cut = 0; cut + 2 < len; cut++)
		CU_ASSERT_EQUAL(sign_secret_from_pem(pem, cut, &again),
				-EBADMSG);
	CU_ASSERT_EQUAL(
	    sign_secret_from_pem(rsa_like, strlen(rsa_like), &again), -EBADMSG);
}

/* --- the envelope -------------------------------------------------------- */

static char *test_text(const struct sign_key *secret)
{
	struct tag_row row = {.tag = "1",
			      .revision = digest_of("r", 1),
			      .tree = digest_of("t", 1),
			      .index = 1};
	struct tag_doc doc = {
	    .name = "p", .sequence = 3, .rows = &row, .count = 1};
	char *json;

	ASSERT(tag_doc_sign(&doc, secret, &json) == 0);
	return json;
}

static int test_prove(const char *text, size_t len,
		      const struct sign_keys *trusted)
{
	CLEANUP(tag_doc_clear) struct tag_doc got = {0};

	return tag_doc_prove(text, len, trusted, &got);
}

static void test_right_key_only(void)
{
	struct sign_key secret = test_secret(1), other = test_secret(2);
	CLEANUP_FREE char *text = test_text(&secret);
	CLEANUP_FREE char *plain = test_text(NULL);
	struct sign_keys right = test_trust(&secret),
			 wrong = test_trust(&other);
	static const struct sign_keys none = {.count = 0};
	struct sign_keys signers;

	CU_ASSERT_EQUAL(test_prove(text, strlen(text), &right), 0);
	CU_ASSERT_EQUAL(test_prove(text, strlen(text), NULL), 0);
	CU_ASSERT_EQUAL(test_prove(plain, strlen(plain), NULL), 0);
	CU_ASSERT_EQUAL_FATAL(document_signers(text, strlen(text), &signers),
			      0);
	CU_ASSERT_EQUAL(signers.count, 1);
	CU_ASSERT_EQUAL(sign_key_compare(&signers.key[0], &right.key[0]), 0);
	check_mute();
	CU_ASSERT_EQUAL(test_prove(text, strlen(text), &wrong), -EKEYREJECTED);
	CU_ASSERT_EQUAL(test_prove(text, strlen(text), &none), -EKEYREJECTED);
	CU_ASSERT_EQUAL(test_prove(plain, strlen(plain), &right),
			-EKEYREJECTED);
	/* One of several is enough. */
	wrong.key[wrong.count++] = right.key[0];
	check_unmute();
	CU_ASSERT_EQUAL(test_prove(text, strlen(text), &wrong), 0);
}

/* No single bit can be changed: neither of what is signed nor around it. */
static void test_every_bit(void)
{
	struct sign_key secret = test_secret(1);
	CLEANUP_FREE char *text = test_text(&secret);
	struct sign_keys trusted = test_trust(&secret);
	size_t len = strlen(text);
	unsigned int taken = 0;

	check_mute();
	for (size_t bit = 0; bit < len * 8; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		taken += test_prove(text, len, &trusted) == 0;
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < len; cut++)
		taken += test_prove(text, cut, &trusted) == 0;
	check_unmute();
	/* format 2 and 0, 3, 6: of these "1" would be one bit from nothing */
	CU_ASSERT_EQUAL(taken, 0);
	CU_ASSERT_EQUAL(test_prove(text, len, &trusted), 0);
}

/* Put `insert` before the n-th byte. */
static char *test_insert(const char *text, size_t at, const char *insert)
{
	char *out;

	ASSERT(asprintf(&out, "%.*s%s%s", (int)at, text, insert, text + at) >=
	       0);
	return out;
}

static void test_garbage(void)
{
	static const char *const junk[] = {
	    "\n", "\r\n",
	    " ",  "\r",
	    "{}", "x",
	    "\t", "{\"format\":2,\"payload\":\"{}\",\"signatures\":[]}"};
	struct sign_key secret = test_secret(1);
	CLEANUP_FREE char *text = test_text(&secret);
	struct sign_keys trusted = test_trust(&secret);
	size_t len = strlen(text);
	unsigned int taken = 0;

	check_mute();
	/* At any place: behind the end, before the begin, in the payload. */
	for (size_t i = 0; i < ARRAY_LEN(junk); i++)
		for (size_t at = 0; at <= len; at++) {
			CLEANUP_FREE char *bad = test_insert(text, at, junk[i]);

			taken += test_prove(bad, strlen(bad), &trusted) == 0;
		}
	/* A NUL and what follows it. */
	text[len] = 'x';
	check_unmute();
	CU_ASSERT_EQUAL(taken, 0);
	text[len] = '\0';
	check_mute();
	CU_ASSERT_EQUAL(test_prove(text, len + 1, &trusted), -EBADMSG);
	check_unmute();
}

/* The "sig" of a text, and its place. */
static const char *test_block(const char *text)
{
	const char *block = strstr(text, "{\"key\":");

	ASSERT(block);
	return block;
}

static void test_blocks(void)
{
	struct sign_key secret = test_secret(1), other = test_secret(2);
	CLEANUP_FREE char *text = test_text(&secret);
	CLEANUP_FREE char *by_other = test_text(&other);
	CLEANUP_FREE char *twice = NULL;
	CLEANUP_FREE char *two = NULL;
	CLEANUP_FREE char *member = NULL;
	CLEANUP_FREE char *again = NULL;
	struct sign_keys trusted = test_trust(&secret);
	const char *mine = test_block(text), *theirs = test_block(by_other);
	int head = (int)(mine - text), block = (int)strlen(mine) - 2;
	struct sign_key a = sign_public(&secret), b = sign_public(&other);
	bool mine_first = sign_key_compare(&a, &b) < 0;
	struct sign_keys signers;

	/* The same key twice. */
	ASSERT(asprintf(&twice, "%.*s%.*s,%.*s]}", head, text, block, mine,
			block, mine) >= 0);
	/* Two keys, in order; both have signed. */
	ASSERT(asprintf(&two, "%.*s%.*s,%.*s]}", head, text, block,
			mine_first ? mine : theirs, block,
			mine_first ? theirs : mine) >= 0);
	/* More members, and one member twice. */
	member = test_insert(text, strlen(text) - 1, ",\"x\":1");
	again = test_insert(text, strlen(text) - 1, ",\"payload\":\"{}\"");
	CU_ASSERT_EQUAL(test_prove(two, strlen(two), &trusted), 0);
	CU_ASSERT_EQUAL(document_signers(two, strlen(two), &signers), 0);
	CU_ASSERT_EQUAL(signers.count, 2);
	check_mute();
	CU_ASSERT_EQUAL(test_prove(twice, strlen(twice), &trusted), -EBADMSG);
	CU_ASSERT_EQUAL(document_signers(twice, strlen(twice), &signers),
			-EBADMSG);
	CU_ASSERT_EQUAL(test_prove(member, strlen(member), &trusted), -EBADMSG);
	CU_ASSERT_EQUAL(test_prove(again, strlen(again), &trusted), -EBADMSG);
	check_unmute();
}

static void test_root(void)
{
	struct sign_key secret = test_secret(1), other = test_secret(2);
	struct sign_keys trusted = test_trust(&secret),
			 wrong = test_trust(&other);
	CLEANUP(root_doc_clear) struct root_doc got = {0};
	struct root_package row = {"p", 3};
	struct root_doc doc = {.generation = 1, .packages = &row, .count = 1};
	CLEANUP(tag_doc_clear) struct tag_doc tags = {0};
	CLEANUP_FREE char *json = NULL;
	CLEANUP_FREE char *tag = test_text(&secret);

	ASSERT(root_doc_sign(&doc, &secret, &json) == 0);
	CU_ASSERT_EQUAL_FATAL(
	    root_doc_prove(json, strlen(json), &trusted, &got), 0);
	CU_ASSERT_EQUAL(got.packages[0].sequence, 3);
	root_doc_clear(&got);
	check_mute();
	CU_ASSERT_EQUAL(root_doc_prove(json, strlen(json), &wrong, &got),
			-EKEYREJECTED);
	/* One kind is not taken for the other. */
	CU_ASSERT_EQUAL(tag_doc_prove(json, strlen(json), &trusted, &tags),
			-EBADMSG);
	CU_ASSERT_EQUAL(root_doc_prove(tag, strlen(tag), &trusted, &got),
			-EBADMSG);
	check_unmute();
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"Ed25519: RFC 8032's vectors", test_vectors},
	    {"a secret key's file", test_pem},
	    {"only a trusted key's document is taken", test_right_key_only},
	    {"no bit of a signed document can be changed", test_every_bit},
	    {"nothing can be added anywhere", test_garbage},
	    {"each key signs once", test_blocks},
	    {"root documents", test_root},
	};

	return check_main("test_signed", tests, ARRAY_LEN(tests));
}
