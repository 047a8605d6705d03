/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_http: whatever a web server or an S3 server may say.  The first byte
 * says what the rest is; of an answer the next two are the question.  Promises:
 * never a byte more than was asked for; an answer that is taken is the one to
 * the question; names of a listing are texts.
 */
#include "depot/credentials.h"
#include "depot/http_answer.h"
#include "depot/s3_xml.h"

enum { FUZZ_WANT_MAX = 64, FUZZ_CANARY = 0xa5, FUZZ_STEP_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Head lines to the first empty one; the place behind it. */
static size_t fuzz_head(struct http_answer *answer, const uint8_t *data,
			size_t len)
{
	size_t at = 0;

	while (at < len) {
		const uint8_t *end = memchr(data + at, '\n', len - at);
		size_t line = end ? (size_t)(end - data) + 1 - at : len - at;

		if (line <= 2 && data[at + line - 1] == '\n')
			return at + line;
		http_answer_header(answer, (const char *)data + at, line);
		at += line;
	}
	return at;
}

static void fuzz_body(struct http_answer *answer, const uint8_t *data,
		      size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step)
		if (!http_answer_body(answer, data + at, MIN(step, len - at)))
			return;
}

static void fuzz_judge(struct http_answer *answer)
{
	char why[HTTP_WHY_MAX];
	int rc;

	ASSERT(answer->error_len <= HTTP_ERROR_MAX);
	ASSERT(answer->retry_after_s <= HTTP_RETRY_AFTER_MAX_S);
	if (!http_answer_ok(answer)) {
		rc = http_answer_refused(answer, why);
		ASSERT(rc == -ENOENT || rc == -EACCES || rc == -EHOSTUNREACH ||
		       rc == -ENOSPC || rc == -EBADMSG);
		return;
	}
	if (answer->why || answer->too_long)
		return;
	rc = http_answer_end(answer, why);
	ASSERT(rc == 0 || rc == -EBADMSG);
	if (rc < 0 || answer->no_body)
		return;
	ASSERT(answer->len <= answer->want);
	if (!answer->ranged) {
		ASSERT(answer->status == 200 && answer->buf[answer->len] == 0);
		return;
	}
	ASSERT(answer->len == answer->want);
	ASSERT((answer->status == 206 && answer->range_told) ||
	       (answer->status == 200 && answer->off == 0));
}

static void fuzz_answer(const uint8_t *data, size_t len)
{
	uint8_t buf[FUZZ_WANT_MAX + 1];
	struct http_answer answer = {.ranged = data[0] & 1,
				     .no_body = data[0] & 2};
	size_t at, step = (data[0] >> 2) % FUZZ_STEP_MAX + 1;

	answer.want = data[1] % FUZZ_WANT_MAX + answer.ranged;
	if (answer.ranged) {
		answer.off = (data[1] & 0x80) ? 100 : 0;
		answer.buf = buf;
		answer.no_body = false;
	}
	memset(buf, FUZZ_CANARY, sizeof(buf));
	at = fuzz_head(&answer, data + 2, len - 2) + 2;
	fuzz_body(&answer, data + at, len - at, step);
	/* A second head: what libcurl does after a 100 or a 401. */
	if (data[0] & 0x80) {
		fuzz_head(&answer, data + 2, len - 2);
		fuzz_body(&answer, data + at, len - at, step);
	}
	fuzz_judge(&answer);
	for (size_t i = MIN(answer.want, (size_t)FUZZ_WANT_MAX);
	     answer.ranged && i < sizeof(buf); i++)
		ASSERT(buf[i] == FUZZ_CANARY);
	if (!answer.ranged)
		free(answer.buf);
}

static int fuzz_key(void *ctx, const char *key, uint64_t len UNUSED)
{
	unsigned int *count = ctx;
	size_t key_len = strlen(key);

	ASSERT(key_len > 0 && key_len <= S3_KEY_MAX);
	for (size_t i = 0; i < key_len; i++)
		ASSERT((unsigned char)key[i] >= ' ' && key[i] != 0x7f);
	return ++*count == 1000 ? 7 : 0;
}

static void fuzz_list(const uint8_t *data, size_t len)
{
	struct s3_list_end end;
	unsigned int count = 0;
	int rc;

	rc = s3_list_read((const char *)data, len, fuzz_key, &count, &end);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == 7);
	if (rc == 0 && end.more)
		ASSERT(*end.token && strlen(end.token) <= S3_TOKEN_MAX);
}

static void fuzz_error(const uint8_t *data, size_t len)
{
	struct s3_error error;

	s3_error_read((const char *)data, len, &error);
	ASSERT(strlen(error.code) <= S3_CODE_MAX);
	ASSERT(strlen(error.message) <= S3_MESSAGE_MAX);
}

static void fuzz_credentials(const uint8_t *data, size_t len)
{
	struct credentials out;
	int rc;

	rc = credentials_parse((const char *)data, len, &out);
	ASSERT(rc == 0 || rc == -EBADMSG);
	if (rc == 0)
		ASSERT(*out.user && *out.secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy;

	if (len < 3)
		return 0;
	/* Of its own length: what reads behind it is seen. */
	copy = malloc(len - 1);
	ASSERT(copy);
	memcpy(copy, data + 1, len - 1);
	switch (data[0]) {
	case 'h':
		fuzz_answer(copy, len - 1);
		break;
	case 'l':
		fuzz_list(copy, len - 1);
		break;
	case 'e':
		fuzz_error(copy, len - 1);
		break;
	case 'c':
		fuzz_credentials(copy, len - 1);
		break;
	default:
		break;
	}
	free(copy);
	return 0;
}
