/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_rows: see bench_rows.h; the picture is in bench_svg.c.
 */
#include "admin/bench_rows.h"

#include <stdio.h>

#include "admin/bench_stats.h"

static int bench_median(const json_t *array, double *median, double *p95)
{
	CLEANUP_FREE double *numbers = NULL;
	struct bench_figures figures;
	size_t count;
	int rc;

	rc = bench_numbers(array, &numbers, &count);
	if (rc == 0)
		rc = bench_figures(numbers, count, &figures);
	if (rc < 0)
		return rc;
	*median = figures.median;
	if (p95)
		*p95 = figures.p95;
	return 0;
}

static void bench_add_phase(struct bench_rows *rows, const char *name)
{
	for (size_t i = 0; i < rows->phase_count; i++)
		if (strcmp(rows->phase[i], name) == 0)
			return;
	if (rows->phase_count < BENCH_PHASES_MAX)
		rows->phase[rows->phase_count++] = name;
}

/* Names of the phases that there are. */
static void bench_find_phases(struct bench_rows *rows, const json_t *results)
{
	static const char *const known[] = {"image", "kernel", "userspace",
					    "mounted", "answered"};
	const json_t *result;
	const char *key;
	json_t *value;
	size_t i;

	for (size_t k = 0; k < ARRAY_LEN(known); k++)
		json_array_foreach(
		    results, i,
		    result) if (json_object_get(json_object_get(result,
								"phases"),
						known[k]))
		    bench_add_phase(rows, known[k]);
	json_array_foreach(results, i, result)
	{
		json_t *phases = json_object_get(result, "phases");

		json_object_foreach(phases, key, value)
		    bench_add_phase(rows, key);
	}
}

static int bench_fill_row(const struct bench_rows *rows, const json_t *result,
			  struct bench_row *row)
{
	const json_t *phases = json_object_get(result, "phases");
	const json_t *bytes = json_object_get(result, "bytes");
	const char *slash;
	int rc;

	row->command = json_string_value(json_object_get(result, "command"));
	slash = strchr(row->command, '/');
	row->variant = slash ? slash + 1 : "";
	snprintf(row->app, sizeof(row->app), "%.*s",
		 (int)(slash ? slash - row->command : BENCH_COMMAND_MAX),
		 row->command);
	row->samples = json_array_size(json_object_get(result, "times"));
	rc = bench_median(json_object_get(result, "times"), &row->median,
			  &row->p95);
	row->bytes = -1;
	if (rc == 0 && bytes)
		rc = bench_median(bytes, &row->bytes, NULL);
	for (size_t i = 0; rc == 0 && i < rows->phase_count; i++) {
		const json_t *times = json_object_get(phases, rows->phase[i]);

		if (times)
			rc = bench_median(times, &row->phase[i], NULL);
	}
	return rc;
}

int bench_rows_new(const json_t *json, struct bench_rows **out)
{
	const json_t *results = json_object_get(json, "results"), *result;
	struct bench_rows *rows = calloc(1, sizeof(*rows));
	size_t i;
	int rc = 0;

	*out = NULL;
	if (!rows)
		return -ENOMEM;
	rows->rows = calloc(json_array_size(results) + 1, sizeof(*rows->rows));
	if (!rows->rows)
		rc = -ENOMEM;
	else
		bench_find_phases(rows, results);
	json_array_foreach(results, i, result)
	{
		if (rc == 0)
			rc = bench_fill_row(rows, result,
					    &rows->rows[rows->count++]);
	}
	if (rc < 0)
		bench_rows_free(rows);
	else
		*out = rows;
	return rc;
}

void bench_rows_free(struct bench_rows *rows)
{
	if (!rows)
		return;
	free(rows->rows);
	free(rows);
}
