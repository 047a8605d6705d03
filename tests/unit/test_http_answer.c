/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_answer: heads and bodies that fit the question, or not; what S3
 * servers write; credentials files.  All that needs no network.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "depot/credentials.h"
#include "depot/http_answer.h"
#include "depot/s3_xml.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

static void test_feed(struct http_answer *answer, const char *head,
		      const char *body)
{
	CLEANUP_FREE char *lines = strdup(head);
	char *rest = lines;

	for (char *line; (line = strsep(&rest, "\n"));)
		http_answer_header(answer, line, strlen(line));
	if (*body)
		(void)http_answer_body(answer, body, strlen(body));
}

static void test_statuses(void)
{
	static const struct {
		const char *line;
		bool writes;
		int rc;
	} cases[] = {
	    {"HTTP/1.1 404 Not Found", false, -ENOENT},
	    {"HTTP/2 403 ", false, -ENOENT},
	    {"HTTP/2 403 ", true, -EACCES},
	    {"HTTP/1.1 401 x", true, -EACCES},
	    {"HTTP/1.1 302 x", false, -EBADMSG},
	    {"HTTP/1.1 416 x", false, -EBADMSG},
	    {"HTTP/1.1 429 x", false, -EHOSTUNREACH},
	    {"HTTP/1.1 500 x", false, -EHOSTUNREACH},
	    {"HTTP/1.1 507 x", true, -ENOSPC},
	    {"HTTP/1.1", false, -EBADMSG},
	    {"HTTP/1.1 99999999999999999999", false, -EBADMSG},
	};
	char why[HTTP_WHY_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_answer answer = {.no_body = cases[i].writes};

		test_feed(&answer, cases[i].line, "sorry");
		CU_ASSERT_FALSE(http_answer_ok(&answer));
		CU_ASSERT_EQUAL(http_answer_refused(&answer, why), cases[i].rc);
		CU_ASSERT_STRING_EQUAL(answer.error, "sorry");
	}
}

/* What came of an interim answer does not count. */
static void test_second_head(void)
{
	char buf[4] = "", why[HTTP_WHY_MAX];
	struct http_answer answer = {
	    .ranged = true, .off = 8, .want = 4, .buf = (uint8_t *)buf};

	test_feed(&answer, "HTTP/1.1 401 no", "a page");
	test_feed(&answer, "HTTP/1.1 206 x\nContent-Range: bytes 8-11/100",
		  "data");
	CU_ASSERT_EQUAL(http_answer_end(&answer, why), 0);
	CU_ASSERT_EQUAL(memcmp(buf, "data", 4), 0);
	test_feed(&answer, "HTTP/1.1 206 x", "data");
	CU_ASSERT_EQUAL(http_answer_end(&answer, why), -EBADMSG);
}

/* --- S3 ------------------------------------------------------------------ */

static void test_error(void)
{
	static const char text[] =
	    "<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code><Message>It "
	    "is &lt;gone&gt;.</Message><Resource>/x</Resource></Error>";
	struct s3_error error;

	s3_error_read(text, strlen(text), &error);
	CU_ASSERT_STRING_EQUAL(error.code, "NoSuchKey");
	CU_ASSERT_STRING_EQUAL(error.message, "It is <gone>.");
	s3_error_read(text, strlen(text) - 60, &error);
	CU_ASSERT_STRING_EQUAL(error.code, "NoSuchKey");
	s3_error_read("<html><Code>x</Code></html>", 27, &error);
	CU_ASSERT_STRING_EQUAL(error.code, "");
	s3_error_read("", 0, &error);
	CU_ASSERT_STRING_EQUAL(error.code, "");
}

struct test_keys {
	char text[256];
};

static int test_key(void *ctx, const char *key, uint64_t len)
{
	struct test_keys *keys = ctx;
	size_t at = strlen(keys->text);

	snprintf(keys->text + at, sizeof(keys->text) - at, "%s=%ju ", key,
		 (uintmax_t)len);
	return 0;
}

#define LIST(text) "<ListBucketResult xmlns=\"x\">" text "</ListBucketResult>"

static void test_list(void)
{
	static const struct {
		const char *text, *keys;
		int rc;
		bool more;
	} cases[] = {
	    {LIST(""), "", 0, false},
	    {LIST("<Prefix/><IsTruncated>false</IsTruncated>"), "", 0, false},
	    {LIST("<Contents><Key>a&amp;b</Key><Size>12</Size></Contents>"
		  "<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>"
		  "<Prefix>x</Prefix>"),
	     "a&b=12 d/=0 ", 0, false},
	    {LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t"
		  "</NextContinuationToken>"),
	     "", 0, true},
	    {LIST("<IsTruncated>true</IsTruncated>"), "", -EBADMSG, true},
	    {LIST("<Contents><Key>a\nb</Key></Contents>"), "", 0, false},
	    {LIST("<Contents><Size>1</Size></Contents>"), "", 0, false},
	    {LIST("<Contents><Key>a</Contents>"), "", -EBADMSG, false},
	    {"<ListBucketResult><Contents>", "", -EBADMSG, false},
	    {"<Other/>", "", -EBADMSG, false},
	    {"<Other></Other>", "", -EBADMSG, false},
	    {"<!DOCTYPE x>" LIST(""), "", -EBADMSG, false},
	    {"", "", -EBADMSG, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_keys keys = {""};
		struct s3_list_end end;

		CU_ASSERT_EQUAL(s3_list_read(cases[i].text,
					     strlen(cases[i].text), test_key,
					     &keys, &end),
				cases[i].rc);
		CU_ASSERT_STRING_EQUAL(keys.text, cases[i].keys);
		CU_ASSERT_EQUAL(end.more, cases[i].more);
	}
}

/* --- credentials --------------------------------------------------------- */

static void test_credentials(void)
{
	static const struct {
		const char *text;
		int rc;
		const char *user, *secret;
	} cases[] = {
	    {"user = a\npassword = b c\n", 0, "a", "b c"},
	    {"# x\n\n[default]\r\naws_access_key_id=AK\r\n"
	     "aws_secret_access_key = S=1",
	     0, "AK", "S=1"},
	    {"access_key = a:b\nsecret_key = c\nregion = x\n", 0, "a:b", "c"},
	    {"user = a\n", -EBADMSG, NULL, NULL},
	    {"user =\npassword = b\n", -EBADMSG, NULL, NULL},
	    {"nonsense\n", -EBADMSG, NULL, NULL},
	    {"", -EBADMSG, NULL, NULL},
	};
	struct credentials out;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CU_ASSERT_EQUAL(credentials_parse(cases[i].text,
						  strlen(cases[i].text), &out),
				cases[i].rc);
		if (cases[i].rc < 0)
			continue;
		CU_ASSERT_STRING_EQUAL(out.user, cases[i].user);
		CU_ASSERT_STRING_EQUAL(out.secret, cases[i].secret);
	}
}

static void test_credentials_file(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *path = tmpdir_path(dir, "keys");
	struct credentials out;
	bool is_open;

	CU_ASSERT_EQUAL(credentials_read(path, &out, &is_open), -ENOENT);
	kit_file_write(path, "user=a\npassword=b", 17);
	ASSERT(chmod(path, 0640) == 0);
	CU_ASSERT_EQUAL(credentials_read(path, &out, &is_open), -EACCES);
	CU_ASSERT_TRUE(is_open);
	ASSERT(chmod(path, 0600) == 0);
	CU_ASSERT_EQUAL(credentials_read(path, &out, &is_open), 0);
	CU_ASSERT_STRING_EQUAL(out.secret, "b");
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"statuses", test_statuses},
	    {"a second head", test_second_head},
	    {"S3: an error", test_error},
	    {"S3: a listing", test_list},
	    {"credentials", test_credentials},
	    {"a credentials file", test_credentials_file},
	};

	return check_main("test_http_answer", tests, ARRAY_LEN(tests));
}
