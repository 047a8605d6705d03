/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_answer: what a web server says, line by line and piece by piece, and
 * whether it is what was asked for.  No network and no libcurl in it: tests
 * and a fuzz target feed it.
 *
 * A range is taken only as 206 with the right Content-Range, or as 200 where it
 * begins at 0; never a byte more than was asked for, no Content-Encoding, no
 * redirect.
 */
#ifndef DEPOT_HTTP_ANSWER_H
#define DEPOT_HTTP_ANSWER_H

#include "depot/base.h"

enum {
	HTTP_ERROR_MAX = 4096, /* kept of a body that is no success */
	HTTP_WHY_MAX = 320,
	HTTP_RETRY_AFTER_MAX_S = 30,
};

struct http_answer {
	/* The question, set before. */
	bool ranged;  /* exactly [off, off + want); else at most want */
	bool no_body; /* a success has no body of interest: PUT, DELETE */
	uint64_t off;
	size_t want;
	uint8_t *buf; /* ranged: borrows, want bytes; else owns: free() it */
	/* The answer. */
	size_t len, cap;
	unsigned int status; /* 0: none yet */
	bool range_told;     /* Content-Range is the right one */
	bool too_long, no_memory;
	const char *why; /* refused; static text */
	unsigned int retry_after_s;
	char error[HTTP_ERROR_MAX + 1]; /* beginning of its body */
	size_t error_len;
};

/* One line of a head, its end included or not. */
void http_answer_header(struct http_answer *answer, const char *line,
			size_t len);
/* Bytes of the body; false: no more are wanted. */
bool http_answer_body(struct http_answer *answer, const void *data, size_t len);
/* A whole answer was a success and has come to its end: a NUL behind the bytes
 * (not ranged).  -EBADMSG, why; -ENOMEM. */
MUST_CHECK int http_answer_end(struct http_answer *answer,
			       char why[HTTP_WHY_MAX]);
bool http_answer_ok(const struct http_answer *answer);
/* What a status that is no success means, in the words of source.h; `why` is
 * filled.  Also after a body that was refused. */
MUST_CHECK int http_answer_refused(const struct http_answer *answer,
				   char why[HTTP_WHY_MAX]);

#endif
