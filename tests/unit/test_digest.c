/* SPDX-License-Identifier: Apache-2.0 */
/* test_digest: SHA-256 and SipHash against known answers and libcrypto's. */
#include "depot/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>

#include "tests/lib/check.h"

static void test_digest_known_answers(void)
{
	static const struct {
		const char *text, *hex;
	} known[] = {/* FIPS 180-4 */
		     {"", "e3b0c44298fc1c149afbf4c8996fb924"
			  "27ae41e4649b934ca495991b7852b855"},
		     {"abc", "ba7816bf8f01cfea414140de5dae2223"
			     "b00361a396177a9cb410ff61f20015ad"},
		     {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmno"
		      "mnopnopq",
		      "248d6a61d20638b8e5c026930c3e6039"
		      "a33ce45964ff2167f6ecedd419db06c1"}};
	char hex[DIGEST_HEX_LEN + 1];
	struct digest d;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		d = digest_of(known[i].text, strlen(known[i].text));
		digest_to_hex(&d, hex);
		CU_ASSERT_STRING_EQUAL(hex, known[i].hex);
	}
}

static void test_digest_steps(void)
{
	struct digest_ctx *ctx;
	struct digest whole, steps;
	uint8_t data[5000];
	size_t step;

	check_fill(data, sizeof(data), 1);
	whole = digest_of(data, sizeof(data));
	for (step = 1; step < sizeof(data); step = step * 3 + 1) {
		ctx = digest_ctx_new();
		CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
		for (size_t off = 0; off < sizeof(data); off += step)
			digest_ctx_add(ctx, data + off,
				       MIN(step, sizeof(data) - off));
		steps = digest_ctx_end(ctx);
		CU_ASSERT_TRUE(digest_equal(&whole, &steps));
	}
	/* Given up half-way. */
	ctx = digest_ctx_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
	digest_ctx_add(ctx, data, 10);
	steps = digest_ctx_end(ctx);
	CU_ASSERT_FALSE(digest_equal(&whole, &steps));
}

static void test_digest_order(void)
{
	struct digest a = {{0}}, b = {{0}};

	CU_ASSERT_TRUE(digest_equal(&a, &b));
	CU_ASSERT_EQUAL(digest_compare(&a, &b), 0);
	b.bytes[31] = 1;
	CU_ASSERT_FALSE(digest_equal(&a, &b));
	CU_ASSERT_TRUE(digest_compare(&a, &b) < 0);
	a.bytes[0] = 0x80; /* bytes are unsigned */
	CU_ASSERT_TRUE(digest_compare(&a, &b) > 0);
}

static void test_digest_hex(void)
{
	char hex[DIGEST_HEX_LEN + 1], bad[DIGEST_HEX_LEN + 1];
	struct digest d, back;

	for (int seed = 0; seed < 20; seed++) {
		check_fill(d.bytes, sizeof(d.bytes), (uint64_t)seed);
		digest_to_hex(&d, hex);
		CU_ASSERT_EQUAL(strlen(hex), DIGEST_HEX_LEN);
		CU_ASSERT_EQUAL(digest_from_hex(hex, DIGEST_HEX_LEN, &back), 0);
		CU_ASSERT_TRUE(digest_equal(&d, &back));
	}
	CU_ASSERT_EQUAL(digest_from_hex(hex, 63, &back), -EINVAL);
	CU_ASSERT_EQUAL(digest_from_hex(hex, 65, &back), -EINVAL);
	CU_ASSERT_EQUAL(digest_from_hex(hex, 0, &back), -EINVAL);
	for (size_t i = 0; i < DIGEST_HEX_LEN; i++)
		for (const char *c = "gA/:`@ \x80"; *c; c++) {
			memcpy(bad, hex, sizeof(bad));
			bad[i] = *c;
			CU_ASSERT_EQUAL(
			    digest_from_hex(bad, DIGEST_HEX_LEN, &back),
			    -EINVAL);
		}
	/* A refused one leaves the output alone. */
	CU_ASSERT_TRUE(digest_equal(&d, &back));
}

static void *test_digest_thread(void *arg)
{
	uint8_t *data = arg;
	struct digest first = digest_of(data, 4096), d;

	for (int i = 0; i < 1000; i++) {
		d = digest_of(data, 4096);
		if (!digest_equal(&first, &d))
			return arg;
	}
	return NULL;
}

static void test_digest_threads(void)
{
	static uint8_t data[4][4096];
	pthread_t threads[4];
	void *bad;

	for (int i = 0; i < 4; i++) {
		check_fill(data[i], sizeof(data[i]), (uint64_t)i);
		CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL,
					       test_digest_thread, data[i]),
				0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &bad);
		CU_ASSERT_PTR_NULL(bad);
	}
}

static void test_digest_siphash_by_evp(EVP_MAC_CTX *ctx, const uint8_t *key,
				       const uint8_t *data, size_t len,
				       size_t out_len, uint8_t *out)
{
	size_t got = 0;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_len),
	    OSSL_PARAM_construct_end(),
	};

	CU_ASSERT_EQUAL_FATAL(EVP_MAC_CTX_set_params(ctx, params), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_MAC_init(ctx, key, SIPHASH_KEY_LEN, NULL), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_MAC_update(ctx, data, len), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_MAC_final(ctx, out, &got, out_len), 1);
	CU_ASSERT_EQUAL(got, out_len);
}

static void test_digest_siphash(void)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	uint8_t key[SIPHASH_KEY_LEN], data[1001], want[16], got[16];
	struct siphash_begun begun;

	for (uint64_t seed = 0; seed < 3; seed++) {
		check_fill(key, sizeof(key), 100 + seed);
		check_fill(data, sizeof(data), seed);
		for (size_t len = 0; len <= sizeof(data);
		     len += len < 65 ? 1 : 117) {
			test_digest_siphash_by_evp(ctx, key, data, len, 8,
						   want);
			begun = siphash64_begin(key, data, len * 5 / 8);
			le64_put(got, siphash64(key, data, len));
			CU_ASSERT_EQUAL(siphash64_rest(&begun, data, len),
					le64_get(got));
			CU_ASSERT_EQUAL(memcmp(want, got, 8), 0);
			test_digest_siphash_by_evp(ctx, key, data, len, 16,
						   want);
			siphash128(key, data, len, got);
			CU_ASSERT_EQUAL(memcmp(want, got, 16), 0);
		}
	}
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

/* Last line of the paper's table: key 00..0f, message 00..0e. */
static void test_digest_siphash_paper(void)
{
	uint8_t key[SIPHASH_KEY_LEN], data[15];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	CU_ASSERT_EQUAL(siphash64(key, data, sizeof(data)),
			0xa129ca6149be45e5ull);
}

static void test_digest_secret_equal(void)
{
	uint8_t a[12], b[12];

	check_fill(a, sizeof(a), 1);
	memcpy(b, a, sizeof(b));
	CU_ASSERT_TRUE(secret_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x40;
		CU_ASSERT_FALSE(secret_equal(a, b, sizeof(a)));
		b[i] ^= 0x40;
	}
}

static void test_digest_random(void)
{
	uint8_t a[1000], b[1000];

	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
	random_bytes(a, 0);
}

static void test_digest_cookie(void)
{
	/* On disk in every tree: these never change. */
	CU_ASSERT_EQUAL(name_cookie("bin", 3), 0x2b52a4a570240cabull);
	CU_ASSERT_EQUAL(name_cookie("", 0), 0x1e924b9d737700d7ull);
	CU_ASSERT_EQUAL(name_cookie("libcrypto.so.3", 14),
			0x327e249dcee61ea1ull);

	CU_ASSERT_EQUAL(name_cookie_next(3), 4);
	CU_ASSERT_EQUAL(name_cookie_next(INT64_MAX - 1), INT64_MAX);
	CU_ASSERT_EQUAL(name_cookie_next(INT64_MAX), 3);
}

static void test_digest_cookie_cut(void)
{
	static const unsigned int cuts[] = {1, 2, 6, 16};
	uint64_t whole[1000], cut, low;
	char name[16];
	bool ok = true;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		len = (size_t)snprintf(name, sizeof(name), "file%zu", i);
		whole[i] = name_cookie(name, len);
		ok = ok && whole[i] >= 3 && whole[i] <= INT64_MAX;
	}
	for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
		name_cookie_cut_for_tests(cuts[c]);
		for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
			len =
			    (size_t)snprintf(name, sizeof(name), "file%zu", i);
			cut = name_cookie(name, len);
			low = whole[i] & ((1u << cuts[c]) - 1);
			ok = ok && cut == (low < 3 ? low + 3 : low);
		}
	}
	name_cookie_cut_for_tests(63);
	ok = ok && name_cookie("file0", 5) == whole[0];
	CU_ASSERT_TRUE(ok);
}

static const struct check_test tests[] = {
    {"known answers", test_digest_known_answers},
    {"steps", test_digest_steps},
    {"order", test_digest_order},
    {"hex", test_digest_hex},
    {"threads", test_digest_threads},
    {"siphash as libcrypto's", test_digest_siphash},
    {"siphash as in the paper", test_digest_siphash_paper},
    {"secret_equal", test_digest_secret_equal},
    {"random_bytes", test_digest_random},
    {"cookie", test_digest_cookie},
    {"cookie cut", test_digest_cookie_cut},
};

int main(void)
{
	return check_main("test_digest", tests, ARRAY_LEN(tests));
}
