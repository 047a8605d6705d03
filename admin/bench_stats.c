/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_stats: see bench_stats.h.
 */
#include "admin/bench_stats.h"

#include <math.h>

static int bench_compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int bench_figures(const double *times, size_t count,
		  struct bench_figures *figures)
{
	CLEANUP_FREE double *sorted = NULL;
	double sum = 0, squares = 0;

	ASSERT(count > 0 && count <= BENCH_SAMPLES_MAX);

	sorted = calloc(count, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, times, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), bench_compare_double);
	for (size_t i = 0; i < count; i++)
		sum += sorted[i];
	figures->mean = sum / (double)count;
	for (size_t i = 0; i < count; i++)
		squares +=
		    (sorted[i] - figures->mean) * (sorted[i] - figures->mean);
	figures->stddev = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
	figures->median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
	figures->p95 = sorted[(count * 95 + 99) / 100 - 1];
	figures->min = sorted[0];
	figures->max = sorted[count - 1];
	return 0;
}

/* --- Mann-Whitney -------------------------------------------------------- */

struct bench_ranked {
	double value;
	bool is_a;
};

static int bench_compare_ranked(const void *a, const void *b)
{
	const struct bench_ranked *x = a, *y = b;

	return x->value < y->value ? -1 : x->value > y->value;
}

/* The sum of a's ranks, equal values sharing the mean of theirs; *ties: the sum
 * of t^3 - t over all groups of equal values. */
static double bench_rank_sum(struct bench_ranked *all, size_t count,
			     double *ties)
{
	double sum = 0;
	size_t to;

	*ties = 0;
	qsort(all, count, sizeof(*all), bench_compare_ranked);
	for (size_t from = 0; from < count; from = to) {
		double rank, t;

		to = from + 1;
		while (to < count && all[to].value == all[from].value)
			to++;
		t = (double)(to - from);
		rank = ((double)from + 1 + (double)to) / 2;
		for (size_t i = from; i < to; i++)
			sum += all[i].is_a ? rank : 0;
		*ties += t * t * t - t;
	}
	return sum;
}

/*
 * P(U >= u) when all orders are equally likely.  ways[j][v] is the number of
 * orders of i a's and j b's with U = v, as a share of all of them: the largest
 * value is an a (which beats j b's) with probability i / (i + j), or a b.
 */
static int bench_exact(size_t n, size_t m, size_t u, double *p)
{
	size_t cells = n * m + 1;
	CLEANUP_FREE double *ways = calloc((m + 1) * cells, sizeof(*ways));

	if (!ways)
		return -ENOMEM;
	for (size_t j = 0; j <= m; j++)
		ways[j * cells] = 1;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			double *now = ways + j * cells;
			const double *less = now - cells; /* a b fewer */
			double part = (double)i / (double)(i + j);

			for (size_t v = cells; v-- > 0;)
				now[v] = (v >= j ? part * now[v - j] : 0) +
					 (1 - part) * less[v];
		}
	}
	*p = 0;
	for (size_t v = u; v < cells; v++)
		*p += ways[m * cells + v];
	return 0;
}

static double bench_normal(size_t n, size_t m, double u, double ties)
{
	double count = (double)(n + m), product = (double)n * (double)m;
	double variance =
	    product / 12 * (count + 1 - ties / (count * (count - 1)));

	if (variance <= 0)
		return 0.5;
	return erfc((u - product / 2 - 0.5) / sqrt(variance) / sqrt(2)) / 2;
}

int bench_mann_whitney(const double *a, size_t a_count, const double *b,
		       size_t b_count, double *p)
{
	size_t count = a_count + b_count;
	CLEANUP_FREE struct bench_ranked *all = NULL;
	double product = (double)a_count * (double)b_count;
	double u, ties, tail;
	int rc = 0;

	ASSERT(a_count > 0 && b_count > 0);
	ASSERT(a_count <= BENCH_SAMPLES_MAX && b_count <= BENCH_SAMPLES_MAX);

	all = calloc(count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < a_count; i++)
		all[i] = (struct bench_ranked){a[i], true};
	for (size_t i = 0; i < b_count; i++)
		all[a_count + i] = (struct bench_ranked){b[i], false};
	u = bench_rank_sum(all, count, &ties) -
	    (double)a_count * (double)(a_count + 1) / 2;
	u = MAX(u, product - u);
	if (ties == 0 && a_count <= BENCH_EXACT_MAX &&
	    b_count <= BENCH_EXACT_MAX)
		rc = bench_exact(a_count, b_count, (size_t)u, &tail);
	else
		tail = bench_normal(a_count, b_count, u, ties);
	if (rc == 0)
		*p = MIN(1.0, 2 * tail);
	return rc;
}
