/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_rows: a document of bench_file.h as rows of figures, for tables and
 * pictures.
 */
#ifndef ADMIN_BENCH_ROWS_H
#define ADMIN_BENCH_ROWS_H

#include "admin/bench_file.h"

struct bench_row {
	const char *command;             /* borrows, of the document */
	const char *variant;             /* what follows the first '/', or "" */
	char app[BENCH_COMMAND_MAX + 1]; /* what is before it */
	size_t samples;
	double median, p95;             /* seconds */
	double phase[BENCH_PHASES_MAX]; /* medians, seconds */
	double bytes;                   /* median; -1: not told */
};

struct bench_rows {
	/* Borrow; those of a start in their order, then others as they come. */
	const char *phase[BENCH_PHASES_MAX];
	size_t phase_count;
	struct bench_row *rows; /* owns */
	size_t count;
};

/* Of a document that was checked, which must live as long.  Phases beyond
 * BENCH_PHASES_MAX names are left out.  -ENOMEM. */
MUST_CHECK int bench_rows_new(const json_t *json, struct bench_rows **rows);
void bench_rows_free(struct bench_rows *rows); /* NULL: nothing */

/* The picture, the caller's: an SVG of stacked bars, one a row, for light and
 * dark.  -ENOMEM. */
MUST_CHECK int bench_svg(const struct bench_rows *rows, const char *title,
			 char **svg, size_t *len);

#endif
