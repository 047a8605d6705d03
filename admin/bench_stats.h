/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_stats: what samples of a benchmark say: figures of one set, and whether
 * two sets differ.  Pure; times are in seconds, but nothing depends on it.
 */
#ifndef ADMIN_BENCH_STATS_H
#define ADMIN_BENCH_STATS_H

#include "depot/base.h"

enum {
	BENCH_SAMPLES_MAX = 10000, /* of one set */
	/* Up to it, and without ties, the p value is the exact one. */
	BENCH_EXACT_MAX = 50,
};

struct bench_figures {
	double mean, stddev, median, p95, min, max;
};

/* Samples in any order; count > 0.  stddev is that of a sample (n - 1), 0 of a
 * single one; p95 the smallest that 95 % are not above.  -ENOMEM. */
MUST_CHECK int bench_figures(const double *times, size_t count,
			     struct bench_figures *figures);

/*
 * Mann-Whitney U test, two-sided: the probability that two sets from one
 * distribution differ in ranks at least so much.  Exact where there are no ties
 * and at most BENCH_EXACT_MAX samples on either side; else the normal
 * approximation with the corrections for ties and continuity.  Both counts > 0;
 * all samples equal: 1.  -ENOMEM.
 */
MUST_CHECK int bench_mann_whitney(const double *a, size_t a_count,
				  const double *b, size_t b_count, double *p);

#endif
