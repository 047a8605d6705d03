/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bench: figures of samples, the U test against values that scipy computed
 * (scipy.stats.mannwhitneyu 1.10, two-sided), results as documents.
 */
#include <math.h>

#include "admin/bench_file.h"
#include "admin/bench_stats.h"
#include "tests/lib/check.h"

static bool is_near(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

static void test_figures(void)
{
	static const double times[] = {4, 1, 3, 2};
	double many[40];
	struct bench_figures f;

	CU_ASSERT_EQUAL(bench_figures(times, 4, &f), 0);
	CU_ASSERT(is_near(f.mean, 2.5) && is_near(f.median, 2.5));
	CU_ASSERT(is_near(f.min, 1) && is_near(f.max, 4));
	CU_ASSERT(is_near(f.stddev, 1.2909944487358056));
	CU_ASSERT(is_near(f.p95, 4));
	for (int i = 0; i < 40; i++)
		many[i] = 40 - i;
	CU_ASSERT_EQUAL(bench_figures(many, 40, &f), 0);
	CU_ASSERT(is_near(f.p95, 38) && is_near(f.median, 20.5));
	CU_ASSERT_EQUAL(bench_figures(times, 1, &f), 0);
	CU_ASSERT(is_near(f.stddev, 0) && is_near(f.p95, 4));
}

static double p_of(const double *a, size_t n, const double *b, size_t m)
{
	double p = -1;

	CU_ASSERT_EQUAL(bench_mann_whitney(a, n, b, m, &p), 0);
	return p;
}

static void test_exact(void)
{
	static const double a[] = {1, 2, 3}, b[] = {4, 5, 6};
	static const double c[] = {1.1, 2.2, 3.3, 4.4, 5.5};
	static const double d[] = {2, 3, 6, 7, 8, 9};
	double e[12], f[9];

	for (int i = 0; i < 12; i++)
		e[i] = i;
	for (int i = 0; i < 9; i++)
		f[i] = i * 1.3 + 2.05;
	CU_ASSERT(is_near(p_of(a, 3, b, 3), 0.1));
	CU_ASSERT(is_near(p_of(b, 3, a, 3), 0.1));
	CU_ASSERT(is_near(p_of(c, 5, d, 6), 0.17748917748917747));
	CU_ASSERT(is_near(p_of(e, 12, f, 9), 0.31002619671350323));
	CU_ASSERT(is_near(p_of(a, 1, b, 1), 1));
}

static void test_ties(void)
{
	static const double a[] = {1, 2, 2, 3, 4}, b[] = {2, 3, 5, 5, 6, 7};
	static const double same[] = {2, 2, 2};
	double c[60], d[55];

	for (int i = 0; i < 60; i++)
		c[i] = (i * 37 % 101) / 10.0;
	for (int i = 0; i < 55; i++)
		d[i] = (i * 53 % 97) / 10.0 + 1;
	CU_ASSERT(is_near(p_of(a, 5, b, 6), 0.06414661873440437));
	CU_ASSERT(is_near(p_of(c, 60, d, 55), 0.21488656127174544));
	CU_ASSERT(is_near(p_of(same, 3, same, 3), 1));
}

static int parse(const char *text, struct failure *failure)
{
	json_t *json;
	int rc = bench_file_parse(text, strlen(text), "f", &json, failure);

	json_decref(json);
	return rc;
}

static void test_bad_files(void)
{
	static const char *const bad[] = {
	    "",
	    "[]",
	    "{}",
	    "{\"results\":{}}",
	    "{\"results\":[1]}",
	    "{\"results\":[{\"command\":\"\",\"times\":[1]}]}",
	    "{\"results\":[{\"command\":\"a\\u0007\",\"times\":[1]}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[]}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[-1]}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[\"1\"]}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[1],\"bytes\":[]}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[1],"
	    "\"phases\":{\"x\":[1,2]}}]}",
	    "{\"results\":[{\"command\":\"a\",\"times\":[1]},"
	    "{\"command\":\"a\",\"times\":[1]}]}",
	    "{\"results\":[],\"storage\":[{\"design\":\"x\"}]}",
	};
	struct failure failure = {0};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT_EQUAL(parse(bad[i], &failure), -EBADMSG);
	CU_ASSERT_EQUAL(failure.code, CONTROL_EXIT_BAD_CONTENT);
	CU_ASSERT_EQUAL(
	    parse("{\"schema\":\"bench-run/2\",\"results\":[]}", &failure),
	    -EPROTONOSUPPORT);
	CU_ASSERT_PTR_NOT_NULL(strstr(failure.message, "bench-run/2"));
	/* hyperfine's */
	CU_ASSERT_EQUAL(parse("{\"results\":[{\"command\":\"sleep 1\",\"user\""
			      ":0.1,\"times\":[1.0,1]}]}",
			      &failure),
			0);
	failure_clear(&failure);
}

/* A phase that only the second sample has is 0 in the first. */
static void test_result(void)
{
	json_t *samples = json_loads(
	    "[{\"seconds\":3.0,\"phases\":{\"image\":1.0,\"kernel\":2.0},"
	    "\"bytes\":7},{\"seconds\":5.0,\"phases\":{\"mounted\":5.0}}]",
	    0, NULL);
	json_t *result, *phases;

	CU_ASSERT_EQUAL_FATAL(bench_result_new("a", "b/c", samples, &result),
			      0);
	phases = json_object_get(result, "phases");
	CU_ASSERT_STRING_EQUAL(
	    json_string_value(json_object_get(result, "command")), "a/b/c");
	CU_ASSERT(
	    is_near(json_number_value(json_object_get(result, "median")), 4));
	CU_ASSERT(is_near(json_number_value(json_array_get(
			      json_object_get(phases, "mounted"), 0)),
			  0));
	CU_ASSERT(is_near(json_number_value(json_array_get(
			      json_object_get(phases, "mounted"), 1)),
			  5));
	CU_ASSERT(is_near(json_number_value(json_array_get(
			      json_object_get(phases, "image"), 1)),
			  0));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(result, "bytes")), 2);
	json_decref(result);
	json_decref(samples);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"figures", test_figures}, {"exact", test_exact},
	    {"ties", test_ties},       {"bad_files", test_bad_files},
	    {"result", test_result},
	};

	return check_main("test_bench", tests, ARRAY_LEN(tests));
}
