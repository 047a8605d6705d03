/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_bench: arbitrary text as results of a benchmark.  Promises: what is
 * taken makes rows and a picture, whatever its numbers and names are, and what
 * comes between two of them is a probability.
 */
#include <stdio.h>

#include "admin/bench_rows.h"
#include "admin/bench_stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FUZZ_TIMES_MAX = 64 }; /* beyond, the exact test only takes long */

static void fuzz_p(const json_t *json)
{
	const json_t *results = json_object_get(json, "results");
	const json_t *times =
	    json_object_get(json_array_get(results, 0), "times");
	const json_t *last = json_object_get(
	    json_array_get(results, json_array_size(results) - 1), "times");
	double *a, *b, p = -1;
	size_t n, m;

	if (json_array_size(times) == 0 ||
	    json_array_size(times) > FUZZ_TIMES_MAX ||
	    json_array_size(last) > FUZZ_TIMES_MAX)
		return;
	ASSERT(bench_numbers(times, &a, &n) == 0);
	ASSERT(bench_numbers(last, &b, &m) == 0);
	ASSERT(bench_mann_whitney(a, n, b, m, &p) == 0);
	ASSERT(p >= 0 && p <= 1);
	free(a);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct failure failure = {0};
	struct bench_rows *rows;
	json_t *json;
	char *svg;
	size_t svg_len;
	int rc;

	rc = bench_file_parse((const char *)data, len, "fuzz", &json, &failure);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	failure_clear(&failure);
	if (rc < 0)
		return 0;
	ASSERT(bench_rows_new(json, &rows) == 0);
	ASSERT(bench_svg(rows, "t", &svg, &svg_len) == 0);
	ASSERT(svg_len == strlen(svg));
	fuzz_p(json);
	free(svg);
	bench_rows_free(rows);
	json_decref(json);
	return 0;
}
