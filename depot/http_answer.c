/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_answer: headers that matter, bodies that fit.
 */
#include "depot/http_answer.h"

#include <stdio.h>

enum {
	HTTP_GET_FIRST_CAP = 64 << 10, /* bytes; doubles */
	HTTP_STATUS_LINE_MAX = 32,
	HTTP_RANGE_MAX = 64, /* characters of "bytes FROM-TO/" */
	HTTP_ERROR_BODY_MAX = 64 << 10,
};

bool http_answer_ok(const struct http_answer *answer)
{
	if (answer->no_body)
		return answer->status >= 200 && answer->status <= 204;
	return answer->status == 200 || answer->status == 206;
}

/* --- headers ------------------------------------------------------------- */

/* Value of header `name` when the line is that header; not terminated. */
static const char *http_value(const char *line, size_t len, const char *name,
			      size_t *value_len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0 ||
	    line[name_len] != ':')
		return NULL;
	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && line[len - 1] && strchr(" \t\r\n", line[len - 1]))
		len--;
	*value_len = len;
	return line;
}

/* "bytes FROM-TO/TOTAL"; the total is not ours to know. */
static bool http_range_right(const struct http_answer *answer,
			     const char *value, size_t len)
{
	char want[HTTP_RANGE_MAX];
	int want_len;

	want_len = snprintf(want, sizeof(want), "bytes %llu-%llu/",
			    (unsigned long long)answer->off,
			    (unsigned long long)answer->off + answer->want - 1);
	return len > (size_t)want_len &&
	       strncasecmp(value, want, (size_t)want_len) == 0;
}

static unsigned int http_seconds(const char *value, size_t len)
{
	unsigned int seconds = 0;

	for (size_t i = 0; i < len && value[i] >= '0' && value[i] <= '9'; i++)
		seconds = MIN(seconds * 10 + (unsigned int)(value[i] - '0'),
			      (unsigned int)HTTP_RETRY_AFTER_MAX_S);
	return seconds;
}

/* "HTTP/1.1 206 ..."; a 100 before it starts all over. */
static void http_status_line(struct http_answer *answer, const char *line,
			     size_t len)
{
	char copy[HTTP_STATUS_LINE_MAX] = "";
	const char *space;
	unsigned long status;

	memcpy(copy, line, MIN(len, sizeof(copy) - 1));
	space = strchr(copy, ' ');
	status = space ? strtoul(space, NULL, 10) : 0;
	answer->status = status < 1000 ? (unsigned int)status : 0;
	answer->range_told = answer->too_long = false;
	answer->why = NULL;
	answer->len = 0;
	answer->retry_after_s = 0;
	answer->error_len = 0;
	answer->error[0] = '\0';
}

void http_answer_header(struct http_answer *answer, const char *line,
			size_t len)
{
	const char *value;
	size_t value_len;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		http_status_line(answer, line, len);
		return;
	}
	value = http_value(line, len, "Content-Encoding", &value_len);
	if (value && value_len > 0 &&
	    !(value_len == 8 && strncasecmp(value, "identity", 8) == 0))
		answer->why = "refused: has a Content-Encoding";
	value = http_value(line, len, "Content-Range", &value_len);
	if (value && answer->ranged)
		answer->range_told = http_range_right(answer, value, value_len);
	value = http_value(line, len, "Retry-After", &value_len);
	if (value)
		answer->retry_after_s = http_seconds(value, value_len);
}

/* --- the body ------------------------------------------------------------ */

/* Before the first byte of a good answer: does it fit the question? */
static bool http_fits(struct http_answer *answer)
{
	if (answer->why || answer->no_body)
		return !answer->why;
	if (!answer->ranged) {
		if (answer->status != 200)
			answer->why = "refused: a part of the object";
	} else if (answer->status == 206) {
		if (!answer->range_told)
			answer->why = "refused: another range";
	} else if (answer->off > 0) {
		answer->why = "refused: the server ignores ranges";
	}
	return !answer->why;
}

static bool http_grow(struct http_answer *answer, size_t need)
{
	size_t cap = MAX(answer->cap, (size_t)HTTP_GET_FIRST_CAP);
	uint8_t *grown;

	if (need + 1 <= answer->cap)
		return true;
	while (cap < need + 1)
		cap *= 2;
	grown = realloc(answer->buf, cap);
	if (!grown) {
		answer->no_memory = true;
		return false;
	}
	answer->buf = grown;
	answer->cap = cap;
	return true;
}

/* An error page is read, since the connection is kept, and its beginning may
 * say why. */
static bool http_error_body(struct http_answer *answer, const void *data,
			    size_t len)
{
	size_t take = MIN(len, HTTP_ERROR_MAX - answer->error_len);

	memcpy(answer->error + answer->error_len, data, take);
	answer->error_len += take;
	answer->error[answer->error_len] = '\0';
	answer->len += len;
	return answer->len <= HTTP_ERROR_BODY_MAX;
}

bool http_answer_body(struct http_answer *answer, const void *data, size_t len)
{
	if (!http_answer_ok(answer) || answer->no_body)
		return http_error_body(answer, data, len);
	if (!http_fits(answer))
		return false;
	if (len > answer->want - answer->len) {
		answer->too_long = true;
		return false;
	}
	if (!answer->ranged && !http_grow(answer, answer->len + len))
		return false;
	memcpy(answer->buf + answer->len, data, len);
	answer->len += len;
	return true;
}

int http_answer_end(struct http_answer *answer, char why[HTTP_WHY_MAX])
{
	/* An empty body has asked http_answer_body nothing. */
	if (!http_fits(answer)) {
		snprintf(why, HTTP_WHY_MAX, "%s", answer->why);
		return -EBADMSG;
	}
	if (answer->no_body)
		return 0;
	if (answer->ranged && answer->len != answer->want) {
		snprintf(why, HTTP_WHY_MAX, "%zu bytes instead of %zu",
			 answer->len, answer->want);
		return -EBADMSG;
	}
	if (!answer->ranged && !http_grow(answer, answer->len)) {
		snprintf(why, HTTP_WHY_MAX, "no memory");
		return -ENOMEM;
	}
	if (!answer->ranged)
		answer->buf[answer->len] = '\0';
	return 0;
}

int http_answer_refused(const struct http_answer *answer,
			char why[HTTP_WHY_MAX])
{
	unsigned int status = answer->status;

	snprintf(why, HTTP_WHY_MAX, "%u%s", status,
		 status >= 300 && status < 400 ? " (redirects are not followed)"
					       : "");
	switch (status) {
	case 401:
	case 403:
		return answer->no_body ? -EACCES : -ENOENT;
	case 404:
	case 410:
		return -ENOENT;
	case 408:
	case 429:
		return -EHOSTUNREACH;
	case 507:
		return -ENOSPC;
	default:
		return status >= 500 ? -EHOSTUNREACH : -EBADMSG;
	}
}
