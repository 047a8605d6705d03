/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultrule: which requests the fault proxy (tests/tools/faultproxy.c) spoils,
 * and how; and the counts of what it saw.
 *
 * A rule is one line:
 *
 *	PREFIX FAULT [KEY=VALUE...]
 *
 * It is for requests whose path begins with PREFIX; of several that fit, the
 * one that was added last.  FAULT is
 *
 *	pass              nothing: takes a part out of an earlier rule
 *	delay             ms=N before the answer
 *	close, reset      no answer: FIN, RST
 *	hang              no answer, ever; the connection stays
 *	status            code=N, no body; retry-after=S
 *	redirect          302 to=URL
 *	html              200 (206 for a range) and a page of HTML, of the right
 *	                  length for a range
 *	trickle           the body at bps=N
 *	stall             the body pauses for ms=N at=PLACE, then goes on
 *	hang-body         the body stops at=PLACE, and nothing follows
 *	truncate          the connection is closed at=PLACE of the body
 *	short, long       delta=N bytes less or more, and a Content-Length to
 *match wrong-length      Content-Length is delta=N off (may be negative) whole
 *200 and the whole object, though a range was asked for flip              1 bit
 *of the body at=PLACE zeros             n=N bytes of the body are 0, at=PLACE
 *(all without n) other             delta=N: the bytes so far away, said to be
 *those asked for encoding          a Content-Encoding that the bytes do not
 *have
 *
 * PLACE is first, middle, last or a number of bytes.  Further keys of all:
 * times=N, so many requests and no more; ranged=1, only requests for a range.
 */
#ifndef TESTS_LIB_FAULTRULE_H
#define TESTS_LIB_FAULTRULE_H

#include "depot/base.h"

enum fault_kind {
	FAULT_PASS,
	FAULT_DELAY,
	FAULT_CLOSE,
	FAULT_RESET,
	FAULT_HANG,
	FAULT_STATUS,
	FAULT_REDIRECT,
	FAULT_HTML,
	FAULT_TRICKLE,
	FAULT_STALL,
	FAULT_HANG_BODY,
	FAULT_TRUNCATE,
	FAULT_SHORT,
	FAULT_LONG,
	FAULT_WRONG_LENGTH,
	FAULT_WHOLE,
	FAULT_FLIP,
	FAULT_ZEROS,
	FAULT_OTHER,
	FAULT_ENCODING,
	FAULT_KINDS,
};

enum {
	FAULT_AT_FIRST = -1,
	FAULT_AT_MIDDLE = -2,
	FAULT_AT_LAST = -3,
	FAULT_RULES_MAX = 64,
	FAULT_PATHS_MAX = 1 << 16,
	FAULT_TEXT_MAX = 256,
};

struct fault_rule {
	char prefix[FAULT_TEXT_MAX];
	enum fault_kind kind;
	long ms, code, retry_after, bps, delta, n, at, ranged;
	long times; /* requests left; -1: any number */
	char to[FAULT_TEXT_MAX];
};

/* `line` is cut into words.  -EINVAL. */
MUST_CHECK int faultrule_parse(char *line, struct fault_rule *rule);
/* Offset that the rule's `at` means in a body of `len` bytes (0 for none). */
uint64_t faultrule_place(const struct fault_rule *rule, uint64_t len);

/* What follows is one set for the program, and thread-safe. */

MUST_CHECK int faultrule_add(const struct fault_rule *rule); /* -ENOSPC */
void faultrule_clear(void);
/* How many requests rules with `times` would still spoil. */
long faultrule_left(void);
/* The rule for this request, FAULT_PASS without one; uses one of `times`. */
void faultrule_match(const char *path, bool ranged, struct fault_rule *rule);

void faultcount_request(const char *path);
void faultcount_bytes(const char *path, uint64_t bytes);
void faultcount_reset(void);
/* "REQUESTS BYTES PATH" lines of paths that begin with `prefix`, and at last
 * "REQUESTS BYTES total"; to `fd`. */
void faultcount_print(const char *prefix, int fd);

#endif
