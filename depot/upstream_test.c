/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_test: how an upstream answers now.  By the requests that a fetch
 * makes too, so that what is good here is good there.
 */
#include <stdio.h>
#include <time.h>

#include "depot/document.h"
#include "depot/layout.h"
#include "depot/upstream.h"

enum { UPSTREAM_TEST_MORE = 5 };

static double upstream_test_ms(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from->tv_sec) * 1e3 +
	       (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

static int upstream_test_get(struct upstream *upstream, void **text,
			     size_t *len, double *ms, char error[512])
{
	struct source_fault fault;
	struct timespec from;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &from);
	rc = upstream_get(upstream, LAYOUT_ROOT, DOCUMENT_MAX, 1, text, len,
			  &fault);
	*ms = upstream_test_ms(&from);
	if (rc < 0)
		snprintf(error, 512, "%s", fault.text);
	return rc;
}

static int upstream_test_less(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Connections are warm now. */
static void upstream_test_more(struct upstream *upstream,
			       struct upstream_test *result)
{
	double ms[UPSTREAM_TEST_MORE];
	size_t len;
	void *text;

	for (size_t i = 0; i < ARRAY_LEN(ms) && result->rc == 0; i++) {
		result->requests++;
		result->rc = upstream_test_get(upstream, &text, &len, &ms[i],
					       result->error);
		if (result->rc == 0)
			free(text);
	}
	qsort(ms, ARRAY_LEN(ms), sizeof(ms[0]), upstream_test_less);
	result->ms = ms[ARRAY_LEN(ms) / 2];
}

static void upstream_test_range(struct upstream *upstream, const uint8_t *text,
				size_t len, struct upstream_test *result)
{
	struct source_fault fault;
	uint8_t part[16];
	size_t part_len = MIN(len - 1, sizeof(part));
	int rc;

	result->requests++;
	rc = upstream_range(upstream, LAYOUT_ROOT, 1, part_len, part, &fault);
	result->ranges = rc == 0 && memcmp(part, text + 1, part_len) == 0;
	if (rc < 0)
		snprintf(result->range_error, sizeof(result->range_error), "%s",
			 fault.text);
	else if (!result->ranges)
		snprintf(result->range_error, sizeof(result->range_error),
			 "a range has other bytes than the whole");
}

void upstream_test(struct upstream *upstream, struct upstream_test *result)
{
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	CLEANUP_FREE void *text = NULL;
	size_t len = 0;

	memset(result, 0, sizeof(*result));
	result->requests++;
	result->rc = upstream_test_get(upstream, &text, &len, &result->first_ms,
				       result->error);
	if (result->rc < 0)
		return;
	result->rc = root_doc_read(text, len, &root);
	if (result->rc < 0) {
		snprintf(result->error, sizeof(result->error), "%s: %s",
			 LAYOUT_ROOT,
			 result->rc == -EPROTONOSUPPORT
			     ? "of a newer format than this vdrive's"
			     : "no depot's root document");
		return;
	}
	result->generation = root.generation;
	result->packages = root.count;
	upstream_test_range(upstream, text, len, result);
	upstream_test_more(upstream, result);
}
