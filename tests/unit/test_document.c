/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_document: what is written is read, what is canonical is the same for
 * ever, what is not is refused.
 */
#include <stdio.h>

#include "depot/document.h"
#include "tests/lib/check.h"

static struct digest test_digest(const char *text)
{
	return digest_of(text, strlen(text));
}

static void test_revision_round_trip(void)
{
	CLEANUP(revision_doc_clear) struct revision_doc got = {0};
	CLEANUP_FREE char *json = NULL;
	char a[] = "a=1", b[] = "b=2";
	char *closure[] = {a, b, NULL};
	struct revision_doc doc = {.name = "python3",
				   .version = "3.11.2-1+b1",
				   .tree = test_digest("tree"),
				   .files = 7,
				   .content_len = 1ull << 40,
				   .closure = closure};

	CU_ASSERT_EQUAL_FATAL(revision_write(&doc, &json), 0);
	CU_ASSERT_EQUAL_FATAL(revision_read(json, strlen(json), &got), 0);
	CU_ASSERT_STRING_EQUAL(got.name, "python3");
	CU_ASSERT_STRING_EQUAL(got.version, "3.11.2-1+b1");
	CU_ASSERT(digest_equal(&got.tree, &doc.tree));
	CU_ASSERT_EQUAL(got.files, 7);
	CU_ASSERT_EQUAL(got.content_len, 1ull << 40);
	CU_ASSERT_STRING_EQUAL(got.closure[0], "a=1");
	CU_ASSERT_STRING_EQUAL(got.closure[1], "b=2");
	CU_ASSERT_PTR_NULL(got.closure[2]);
}

/* If this fails, every revision's digest has changed. */
static void test_revision_golden(void)
{
	static const char golden[] =
	    "{\"base\":null,\"closure\":[],\"content_len\":2,"
	    "\"environment\":{},\"files\":1,\"format\":1,\"licence\":\"\","
	    "\"name\":\"hello\",\"tree\":"
	    "\"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb82"
	    "92110622\",\"users\":[],\"version\":\"1\"}";
	CLEANUP_FREE char *json = NULL;
	struct revision_doc doc = {.name = "hello",
				   .version = "1",
				   .tree = test_digest("tree"),
				   .files = 1,
				   .content_len = 2};

	CU_ASSERT_EQUAL_FATAL(revision_write(&doc, &json), 0);
	CU_ASSERT_STRING_EQUAL(json, golden);
}

#define TEST_HEX                                                               \
	"dc9c5edb8b2d479e697b4b0b8ab874f32b325138598ce9e7b759eb8292110622"
#define TEST_REVISION(files, name, extra)                                      \
	"{\"closure\":[],\"content_len\":2,\"files\":" files                   \
	",\"format\":1,\"name\":" name ",\"tree\":\"" TEST_HEX                 \
	"\",\"version\":\"1\"" extra "}"

static void test_revision_refused(void)
{
	static const struct {
		const char *json;
		int rc;
	} cases[] = {
	    {"", -EBADMSG},
	    {"{", -EBADMSG},
	    {"[]", -EBADMSG},
	    {"{}", -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", ""), 0},
	    {TEST_REVISION("1", "\"n\"", ",\"x\":1"), 0},
	    {TEST_REVISION("1", "\"n\"", ",\"x\":1.0"), -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", ",\"x\":[{\"y\":1e3}]"), -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", ",\"a\":1"), -EBADMSG}, /* order */
	    {TEST_REVISION("1", "\"n\"", ",\"x\":\"\\u0041\""), -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", ",\"x\":\"\\u0000\""), -EBADMSG},
	    {TEST_REVISION(" 1", "\"n\"", ""), -EBADMSG},
	    {TEST_REVISION("-1", "\"n\"", ""), -EBADMSG},
	    {TEST_REVISION("true", "\"n\"", ""), -EBADMSG},
	    {TEST_REVISION("99999999999999999999", "\"n\"", ""), -EBADMSG},
	    {TEST_REVISION("1", "\"../n\"", ""), -EBADMSG},
	    {TEST_REVISION("1", "\"\"", ""), -EBADMSG},
	    {TEST_REVISION("1", "7", ""), -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", "") "\n", -EBADMSG},
	    {TEST_REVISION("1", "\"n\"", "") "{}", -EBADMSG},
	    {"{\"closure\":[\"b\",\"a\"],\"content_len\":2,\"files\":1,"
	     "\"format\":1,\"name\":\"n\",\"tree\":\"" TEST_HEX
	     "\",\"version\":\"1\"}",
	     -EBADMSG},
	    {"{\"format\":2}", -EPROTONOSUPPORT},
	    {"{\"format\":0}", -EBADMSG},
	    {"{\"format\":\"1\"}", -EBADMSG},
	};

	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(revision_doc_clear) struct revision_doc got = {0};
		int rc =
		    revision_read(cases[i].json, strlen(cases[i].json), &got);

		CU_ASSERT_EQUAL(rc, cases[i].rc);
	}
	check_unmute();
}

static void test_tags_round_trip(void)
{
	CLEANUP(tag_doc_clear) struct tag_doc got = {0};
	CLEANUP_FREE char *json = NULL;
	struct tag_row rows[2] = {
	    {.tag = "1:2.0-1~rc1",
	     .revision = test_digest("r1"),
	     .tree = test_digest("t1"),
	     .index = 3},
	    {.tag = "stable",
	     .revision = test_digest("r2"),
	     .tree = test_digest("t2"),
	     .previous = test_digest("r1"),
	     .has_previous = true,
	     .index = 1},
	};
	struct tag_doc doc = {.name = "redis",
			      .sequence = 9,
			      .expires_sec = 5,
			      .rows = rows,
			      .count = 2};

	CU_ASSERT_EQUAL_FATAL(tag_doc_write(&doc, &json), 0);
	CU_ASSERT_EQUAL_FATAL(tag_doc_read(json, strlen(json), &got), 0);
	CU_ASSERT_STRING_EQUAL(got.name, "redis");
	CU_ASSERT_EQUAL(got.sequence, 9);
	CU_ASSERT_EQUAL(got.expires_sec, 5);
	CU_ASSERT_EQUAL_FATAL(got.count, 2);
	CU_ASSERT_STRING_EQUAL(got.rows[0].tag, "1:2.0-1~rc1");
	CU_ASSERT_EQUAL(got.rows[0].index, 3);
	CU_ASSERT_FALSE(got.rows[0].has_previous);
	CU_ASSERT(digest_equal(&got.rows[1].revision, &rows[1].revision));
	CU_ASSERT(digest_equal(&got.rows[1].tree, &rows[1].tree));
	CU_ASSERT(got.rows[1].has_previous);
	CU_ASSERT(digest_equal(&got.rows[1].previous, &rows[1].previous));
	CU_ASSERT_FALSE(got.is_restricted);
	CU_ASSERT(tag_doc_entitles(&got, "anybody"));
}

static void test_entitled(void)
{
	char names[2][PACKAGE_NAME_MAX + 1] = {"blue", "red"};
	struct tag_doc doc = {.name = "redis", .sequence = 1};

	/* Nobody is not everybody. */
	for (unsigned int count = 0; count <= 2; count++) {
		CLEANUP(tag_doc_clear) struct tag_doc got = {0};
		CLEANUP_FREE char *json = NULL;

		doc.is_restricted = true;
		doc.entitled = names;
		doc.entitled_count = count;
		CU_ASSERT_EQUAL_FATAL(tag_doc_write(&doc, &json), 0);
		CU_ASSERT_EQUAL_FATAL(tag_doc_read(json, strlen(json), &got),
				      0);
		CU_ASSERT(got.is_restricted);
		CU_ASSERT_EQUAL(got.entitled_count, count);
		CU_ASSERT_EQUAL(tag_doc_entitles(&got, "blue"), count > 0);
		CU_ASSERT_EQUAL(tag_doc_entitles(&got, "red"), count > 1);
		CU_ASSERT_FALSE(tag_doc_entitles(&got, "re"));
	}
}

#define TEST_TAGS(payload)                                                     \
	"{\"format\":1,\"payload\":\"" payload "\",\"signatures\":[]}"
#define TEST_PAYLOAD(tags)                                                     \
	"{\\\"expires\\\":0,\\\"format\\\":1,\\\"name\\\":\\\"n\\\","          \
	"\\\"sequence\\\":1,\\\"tags\\\":" tags "}"
#define TEST_ROW(tag, index)                                                   \
	"{\\\"" tag "\\\":{\\\"index\\\":" index                               \
	",\\\"revision\\\":\\\"" TEST_HEX "\\\",\\\"tree\\\":\\\"" TEST_HEX    \
	"\\\"}}"

static void test_tags_refused(void)
{
	static const struct {
		const char *json;
		int rc;
	} cases[] = {
	    {"", -EBADMSG},
	    {"null", -EBADMSG},
	    {"{\"format\":1}", -EBADMSG},
	    {"{\"format\":3}", -EPROTONOSUPPORT},
	    {TEST_TAGS(""), -EBADMSG},
	    {TEST_TAGS("{\\\"format\\\":7}"), -EPROTONOSUPPORT},
	    {TEST_TAGS(TEST_PAYLOAD("{}")), 0},
	    {TEST_TAGS(TEST_PAYLOAD("[]")), -EBADMSG},
	    {TEST_TAGS(TEST_PAYLOAD(TEST_ROW("1", "1"))), 0},
	    {TEST_TAGS(TEST_PAYLOAD(TEST_ROW("1", "0"))), -EBADMSG},
	    {TEST_TAGS(TEST_PAYLOAD(TEST_ROW("1", "4294967296"))), -EBADMSG},
	    {TEST_TAGS(TEST_PAYLOAD(TEST_ROW("../1", "1"))), -EBADMSG},
	    {TEST_TAGS(TEST_PAYLOAD(TEST_ROW("", "1"))), -EBADMSG},
	    {TEST_TAGS(TEST_PAYLOAD("{\\\"1\\\":null}")), -EBADMSG},
	};

	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(tag_doc_clear) struct tag_doc got = {0};
		int rc =
		    tag_doc_read(cases[i].json, strlen(cases[i].json), &got);

		CU_ASSERT_EQUAL(rc, cases[i].rc);
	}
	check_unmute();
}

static void test_root(void)
{
	CLEANUP(root_doc_clear) struct root_doc got = {0};
	CLEANUP_FREE char *json = NULL;
	struct root_package rows[2] = {{"a", 7}, {"b", 0}};
	struct root_doc doc = {
	    .generation = 4, .expires_sec = 9, .packages = rows, .count = 2};

	doc.depot.bytes[15] = 0xab;
	CU_ASSERT_EQUAL_FATAL(root_doc_write(&doc, &json), 0);
	CU_ASSERT_STRING_EQUAL(
	    json, "{\"format\":2,\"payload\":\"{"
		  "\\\"depot\\\":\\\"000000000000000000000000000000ab\\\","
		  "\\\"expires\\\":9,\\\"format\\\":2,\\\"generation\\\":4,"
		  "\\\"packages\\\":{\\\"a\\\":7,\\\"b\\\":0}}\","
		  "\"signatures\":[]}");
	CU_ASSERT_EQUAL_FATAL(root_doc_read(json, strlen(json), &got), 0);
	CU_ASSERT_EQUAL(memcmp(&got.depot, &doc.depot, sizeof(got.depot)), 0);
	CU_ASSERT_EQUAL(got.generation, 4);
	CU_ASSERT_EQUAL(got.expires_sec, 9);
	CU_ASSERT_EQUAL(got.count, 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root_doc_find(&got, "a"));
	CU_ASSERT_EQUAL(root_doc_find(&got, "a")->sequence, 7);
	CU_ASSERT_PTR_NOT_NULL(root_doc_find(&got, "b"));
	CU_ASSERT_PTR_NULL(root_doc_find(&got, "c"));
}

/* What the first version wrote. */
static void test_first_format(void)
{
	static const char root[] = "{\"format\":1,\"generation\":4,"
				   "\"packages\":[\"a\",\"b\"]}";
	static const char tags[] = TEST_TAGS(TEST_PAYLOAD(TEST_ROW("1", "1")));
	static const struct sign_keys nobody = {.count = 0};
	CLEANUP(root_doc_clear) struct root_doc got = {0};
	CLEANUP(tag_doc_clear) struct tag_doc tag = {0};
	struct sign_keys signers;

	CU_ASSERT_EQUAL_FATAL(root_doc_read(root, strlen(root), &got), 0);
	CU_ASSERT_EQUAL(got.generation, 4);
	CU_ASSERT_EQUAL(got.count, 2);
	CU_ASSERT_STRING_EQUAL(got.packages[1].name, "b");
	CU_ASSERT_EQUAL_FATAL(tag_doc_read(tags, strlen(tags), &tag), 0);
	CU_ASSERT_EQUAL(tag.count, 1);
	CU_ASSERT_FALSE(tag.is_restricted);
	CU_ASSERT_EQUAL(document_signers(root, strlen(root), &signers), 0);
	CU_ASSERT_EQUAL(signers.count, 0);
	CU_ASSERT_EQUAL(document_signers(tags, strlen(tags), &signers), 0);
	CU_ASSERT_EQUAL(signers.count, 0);
	check_mute();
	CU_ASSERT_EQUAL(root_doc_prove(root, strlen(root), &nobody, &got),
			-EKEYREJECTED);
	CU_ASSERT_EQUAL(tag_doc_prove(tags, strlen(tags), &nobody, &tag),
			-EKEYREJECTED);
	check_unmute();
}

static void test_root_refused(void)
{
	static const char *const cases[] = {
	    "{\"format\":1,\"generation\":-1,\"packages\":[]}",
	    "{\"format\":1,\"packages\":[]}",
	    "{\"format\":1,\"generation\":1}",
	    "{\"format\":1,\"generation\":1,\"packages\":[\"A\"]}",
	    "{\"format\":1,\"generation\":1,\"packages\":[1]}",
	    "<html>404</html>",
	    "{\"format\":2,\"generation\":1,\"packages\":[]}",
	    "{\"format\":2,\"payload\":\"{}\",\"signatures\":[]}",
	    "{\"format\":2,\"payload\":\"{\\\"depot\\\":\\\"0\\\","
	    "\\\"expires\\\":0,\\\"format\\\":2,\\\"generation\\\":1,"
	    "\\\"packages\\\":{}}\",\"signatures\":[]}",
	};

	check_mute();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(root_doc_clear) struct root_doc got = {0};

		CU_ASSERT_EQUAL(root_doc_read(cases[i], strlen(cases[i]), &got),
				-EBADMSG);
	}
	check_unmute();
}

/* A cut at any byte is refused, and never crashes. */
static void test_every_prefix(void)
{
	static const char text[] = TEST_TAGS(TEST_PAYLOAD(TEST_ROW("1", "1")));

	check_mute();
	for (size_t len = 0; len < strlen(text); len++) {
		CLEANUP(tag_doc_clear) struct tag_doc got = {0};
		CLEANUP_FREE char *copy = malloc(len + 1);

		ASSERT(copy);
		memcpy(copy, text, len);
		CU_ASSERT_EQUAL(tag_doc_read(copy, len, &got), -EBADMSG);
	}
	check_unmute();
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"revision: round trip", test_revision_round_trip},
	    {"revision: golden text", test_revision_golden},
	    {"revision: refused", test_revision_refused},
	    {"tags: round trip", test_tags_round_trip},
	    {"tags: refused", test_tags_refused},
	    {"tags: the entitled", test_entitled},
	    {"root: round trip", test_root},
	    {"the first format is read", test_first_format},
	    {"root: refused", test_root_refused},
	    {"every prefix is refused", test_every_prefix},
	};

	return check_main("test_document", tests, ARRAY_LEN(tests));
}
