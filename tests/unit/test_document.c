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
	    {"{\"format\":2}", -EPROTONOSUPPORT},
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
	char names[2][PACKAGE_NAME_MAX + 1] = {"a", "b"};
	struct root_doc doc = {.generation = 4, .packages = names, .count = 2};

	CU_ASSERT_EQUAL_FATAL(root_doc_write(&doc, &json), 0);
	CU_ASSERT_STRING_EQUAL(json, "{\"format\":1,\"generation\":4,"
				     "\"packages\":[\"a\",\"b\"]}");
	CU_ASSERT_EQUAL_FATAL(root_doc_read(json, strlen(json), &got), 0);
	CU_ASSERT_EQUAL(got.generation, 4);
	CU_ASSERT_EQUAL(got.count, 2);
	CU_ASSERT_STRING_EQUAL(got.packages[1], "b");
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
	    {"root: round trip", test_root},
	    {"root: refused", test_root_refused},
	    {"every prefix is refused", test_every_prefix},
	};

	return check_main("test_document", tests, ARRAY_LEN(tests));
}
