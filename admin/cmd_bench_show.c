/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench_show: results of a benchmark as lines, as a table for a README, as
 * a picture, and beside older ones.
 */
#include <stdio.h>

#include "admin/bench_rows.h"
#include "admin/bench_stats.h"
#include "admin/cmd_bench.h"
#include "depot/io.h"

/* The document of a file as rows; both are the caller's. */
static int bench_load(struct cli *cli, const char *path, json_t **json,
		      struct bench_rows **rows)
{
	int rc = bench_file_read(path, json, &cli->failure);

	*rows = NULL;
	if (rc == 0 && bench_rows_new(*json, rows) < 0)
		rc = failure_errno(&cli->failure, -ENOMEM, "%s", path);
	return rc;
}

void bench_show(struct cli *cli, const json_t *json)
{
	struct bench_rows *rows;

	if (bench_rows_new(json, &rows) < 0)
		return;
	for (size_t i = 0; i < rows->count; i++)
		output_line(&cli->out, "  %-28s %3zu   p50 %.2f s   p95 %.2f s",
			    rows->rows[i].command, rows->rows[i].samples,
			    rows->rows[i].median, rows->rows[i].p95);
	bench_rows_free(rows);
}

/* --- table --------------------------------------------------------------- */

/* The row of a variant that others are measured by, or NULL. */
static const struct bench_row *bench_row_beside(const struct bench_rows *rows,
						const char *app,
						const char *variant)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->rows[i].app, app) == 0 &&
		    strcmp(rows->rows[i].variant, variant) == 0)
			return &rows->rows[i];
	return NULL;
}

/* What a start takes longer than the same from an image that is here already:
 * the bringing of the software.  A guest that is up does not boot. */
static void bench_table_brought(const struct bench_rows *rows,
				const struct bench_row *row)
{
	const struct bench_row *local =
	    bench_row_beside(rows, row->app, "local");

	if (local && local != row && strncmp(row->variant, "live", 4) != 0)
		printf(" %.2f |", row->median - local->median);
	else
		printf(" |");
}

static void bench_table_row(const struct bench_rows *rows,
			    const struct bench_row *row)
{
	const struct bench_row *copy = bench_row_beside(rows, row->app, "copy");

	printf("| %s | %s |", row->app, row->variant);
	for (size_t i = 0; i < rows->phase_count; i++)
		if (row->phase[i] > 0)
			printf(" %.2f |", row->phase[i]);
		else
			printf(" |");
	printf(" **%.2f** | %.2f |", row->median, row->p95);
	bench_table_brought(rows, row);
	if (row->bytes >= 0)
		printf(" %.2f |", row->bytes / 1e6);
	else
		printf(" |");
	if (copy && row->median > 0)
		printf(" %.1f |\n", copy->median / row->median);
	else
		printf(" |\n");
}

static bool bench_is_work(const struct bench_row *row)
{
	return strcmp(row->app, BENCH_RUN_TIME) == 0;
}

/* Work on the guest's disk and on the drive: pairs of rows, "JOB/ext4" and
 * "JOB/drive". */
static void bench_table_work(const struct bench_rows *rows)
{
	bool first = true;

	for (size_t i = 0; i + 1 < rows->count; i++) {
		const struct bench_row *a = &rows->rows[i];
		const struct bench_row *b = a;
		size_t len = strcspn(a->variant, "/");

		if (!bench_is_work(a) || strcmp(a->variant + len, "/ext4") != 0)
			continue;
		for (size_t j = 0; j < rows->count; j++)
			if (bench_is_work(&rows->rows[j]) &&
			    strncmp(rows->rows[j].variant, a->variant, len) ==
				0 &&
			    strcmp(rows->rows[j].variant + len, "/drive") == 0)
				b = &rows->rows[j];
		if (first)
			printf("\n| once warm | ext4 s | drive s | ratio |\n"
			       "|---|---|---|---|\n");
		first = false;
		printf("| %.*s | %.3f | %.3f | %.2f |\n", (int)len, a->variant,
		       a->median, b->median,
		       a->median > 0 ? b->median / a->median : 0);
	}
}

static void bench_table_starts(const struct bench_rows *rows)
{
	printf("| program | variant |");
	for (size_t i = 0; i < rows->phase_count; i++)
		printf(" %s |", rows->phase[i]);
	printf(" p50 s | p95 s | beyond local, s | MB over the link | "
	       "copy / it |\n|---|---|");
	for (size_t i = 0; i < rows->phase_count + 5; i++)
		printf("---|");
	printf("\n");
	for (size_t i = 0; i < rows->count; i++)
		if (!bench_is_work(&rows->rows[i]))
			bench_table_row(rows, &rows->rows[i]);
}

/* Bytes of the first design for the same softwares and guests. */
static double bench_full_bytes(const json_t *storage, const json_t *of)
{
	const json_t *row;
	size_t i;

	json_array_foreach(storage, i, row)
	{
		if (cmd_number(row, "softwares") ==
			cmd_number(of, "softwares") &&
		    cmd_number(row, "guests") == cmd_number(of, "guests"))
			return (double)cmd_number(row, "bytes");
	}
	return 0;
}

static void bench_table_storage(const json_t *storage)
{
	const json_t *row;
	const char *key;
	json_t *value;
	size_t i;

	if (json_array_size(storage) == 0)
		return;
	printf("\n| guests x softwares | design | MB stored | of the first | "
	       "parts, MB |\n|---|---|---|---|---|\n");
	json_array_foreach(storage, i, row)
	{
		double bytes = (double)cmd_number(row, "bytes");
		double full = bench_full_bytes(storage, row);
		json_t *parts = json_object_get(row, "parts");
		const char *gap = "";

		printf("| %ju x %ju | %s | %.1f | %.3f | ",
		       (uintmax_t)cmd_number(row, "guests"),
		       (uintmax_t)cmd_number(row, "softwares"),
		       cmd_text(row, "design"), bytes / 1e6,
		       full > 0 ? bytes / full : 0);
		json_object_foreach(parts, key, value)
		{
			printf("%s%s %.1f", gap, key,
			       json_number_value(value) / 1e6);
			gap = ", ";
		}
		printf(" |\n");
	}
}

/* Commands of samples that there are not. */
static void bench_table_failed(const json_t *failed)
{
	const json_t *command;
	size_t i;

	json_array_foreach(failed, i, command)
		printf("%s%s", i == 0 ? "\nFailed: " : ", ",
		       json_string_value(command));
	if (json_array_size(failed) > 0)
		printf(".\n");
}

int cmd_bench_table(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	struct bench_rows *rows = NULL;
	json_t *json = NULL;
	int rc = bench_load(cli, argv[0], &json, &rows);

	if (rc == 0 && cli->out.json) {
		output_json(json);
	} else if (rc == 0) {
		bench_table_starts(rows);
		bench_table_work(rows);
		bench_table_storage(json_object_get(json, "storage"));
		bench_table_failed(json_object_get(json, "failed"));
	}
	bench_rows_free(rows);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* --- plot ---------------------------------------------------------------- */

/* The picture is of starts. */
static void bench_drop_work(struct bench_rows *rows)
{
	size_t kept = 0;

	for (size_t i = 0; i < rows->count; i++)
		if (!bench_is_work(&rows->rows[i]))
			rows->rows[kept++] = rows->rows[i];
	rows->count = kept;
}

static void bench_title(const json_t *json, char title[128])
{
	uint64_t mbit = cmd_number(json, "link_mbit");

	if (mbit > 0)
		snprintf(title, 128,
			 "To the first answer at %ju Mbit/s, "
			 "medians of %ju runs",
			 (uintmax_t)mbit, (uintmax_t)cmd_number(json, "runs"));
	else
		snprintf(title, 128, "Medians");
}

int cmd_bench_plot(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	const char *path = cli->args.value[ARGS_COLUMNS];
	CLEANUP_FREE char *svg = NULL;
	struct bench_rows *rows = NULL;
	json_t *json = NULL;
	char title[128];
	size_t len = 0;
	int rc;

	if (!path)
		return cmd_usage(cli, "vdrive bench plot FILE -o START.svg",
				 "which file takes the picture?");
	rc = bench_load(cli, argv[0], &json, &rows);
	if (rc == 0) {
		bench_title(json, title);
		bench_drop_work(rows);
		rc = bench_svg(rows, title, &svg, &len);
		if (rc == 0)
			rc = io_replace_file(path, svg, len);
		if (rc < 0)
			failure_errno(&cli->failure, rc, "cannot write %s",
				      path);
	}
	if (rc == 0)
		output_line(&cli->out, "written %s, %zu bars", path,
			    rows->count);
	bench_rows_free(rows);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
