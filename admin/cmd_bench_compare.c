/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_bench_compare: two files of results, command by command: medians, their
 * ratio, and whether the samples tell them apart.
 */
#include <stdio.h>

#include "admin/bench_rows.h"
#include "admin/bench_stats.h"
#include "admin/cmd_bench.h"

#define BENCH_SIGNIFICANT 0.05

struct bench_compare {
	struct cli *cli;
	double limit;  /* a ratio - 1; below 0: none */
	json_t *rows;  /* owns: numbers */
	json_t *table; /* owns: the same as text */
	size_t above;
	char worst[BENCH_COMMAND_MAX + 1];
	double worst_ratio;
};

/* "10%" or "0.1"; without the option none. */
static int bench_set_limit(struct bench_compare *compare)
{
	const char *text = compare->cli->args.value[ARGS_FAIL_ABOVE];
	char *end = NULL;

	compare->limit = -1;
	if (!text)
		return 0;
	errno = 0;
	if (text[0] >= '0' && text[0] <= '9')
		compare->limit = strtod(text, &end);
	if (end && strcmp(end, "%") == 0) {
		compare->limit /= 100;
		end++;
	}
	if (end && !*end && errno == 0 && compare->limit <= 100)
		return 0;
	failure_set(&compare->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--fail-above: \"%s\" is no part", text);
	failure_hint(&compare->cli->failure, "try: --fail-above 10%%");
	return -EINVAL;
}

/* p of the U test between two results. */
static int bench_p(const json_t *old, const json_t *new, double *p)
{
	CLEANUP_FREE double *a = NULL;
	CLEANUP_FREE double *b = NULL;
	size_t a_count, b_count;
	int rc;

	rc = bench_numbers(json_object_get(old, "times"), &a, &a_count);
	if (rc == 0)
		rc = bench_numbers(json_object_get(new, "times"), &b, &b_count);
	if (rc == 0)
		rc = bench_mann_whitney(a, a_count, b, b_count, p);
	return rc;
}

static int bench_add_row(struct bench_compare *compare,
			 const struct bench_row *old,
			 const struct bench_row *new, double p)
{
	double ratio = old->median > 0 ? new->median / old->median : 1;
	bool above = compare->limit >= 0 && ratio - 1 > compare->limit;
	bool significant = p < BENCH_SIGNIFICANT;
	char from[32], to[32], change[32], p_text[32];
	json_t *row, *line;

	snprintf(from, sizeof(from), "%.3f s", old->median);
	snprintf(to, sizeof(to), "%.3f s", new->median);
	snprintf(change, sizeof(change), "%+.1f %%", (ratio - 1) * 100);
	snprintf(p_text, sizeof(p_text), "%.2g", p);
	row = json_pack("{s:s,s:f,s:f,s:f,s:f,s:I,s:I,s:b,s:b}", "command",
			new->command, "old", old->median, "new", new->median,
			"ratio", ratio, "p", p, "old_samples",
			(json_int_t)old->samples, "new_samples",
			(json_int_t) new->samples, "significant", significant,
			"above", above);
	line = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "command", new->command,
			 "old", from, "new", to, "change", change, "p", p_text,
			 "verdict",
			 above         ? "above the limit"
			 : significant ? "significant"
				       : "not significant");
	compare->above += above;
	if (above && ratio > compare->worst_ratio) {
		compare->worst_ratio = ratio;
		snprintf(compare->worst, sizeof(compare->worst), "%s",
			 new->command);
	}
	if (json_array_append_new(compare->rows, row) < 0 ||
	    json_array_append_new(compare->table, line) < 0)
		return -ENOMEM;
	return 0;
}

static const struct bench_row *bench_row_of(const struct bench_rows *rows,
					    const char *command)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->rows[i].command, command) == 0)
			return &rows->rows[i];
	return NULL;
}

static int bench_compare_rows(struct bench_compare *compare,
			      const json_t *old_json, const json_t *new_json)
{
	struct bench_rows *old = NULL, *new = NULL;
	double p = 1;
	int rc = bench_rows_new(old_json, &old);

	if (rc == 0)
		rc = bench_rows_new(new_json, &new);
	for (size_t i = 0; rc == 0 && i < new->count; i++) {
		const struct bench_row *row = &new->rows[i];
		const struct bench_row *was = bench_row_of(old, row->command);

		if (!was) {
			output_warn(&compare->cli->out, "%s is new",
				    row->command);
			continue;
		}
		rc = bench_p(bench_file_find(old_json, row->command),
			     bench_file_find(new_json, row->command), &p);
		if (rc == 0)
			rc = bench_add_row(compare, was, row, p);
	}
	for (size_t i = 0; rc == 0 && i < old->count; i++)
		if (!bench_row_of(new, old->rows[i].command))
			output_warn(&compare->cli->out, "%s is not there now",
				    old->rows[i].command);
	bench_rows_free(old);
	bench_rows_free(new);
	return rc;
}

static int bench_print(struct bench_compare *compare)
{
	static const struct output_column columns[] = {
	    {"COMMAND", "command", OUTPUT_TEXT, false},
	    {"OLD", "old", OUTPUT_TEXT, false},
	    {"NEW", "new", OUTPUT_TEXT, false},
	    {"CHANGE", "change", OUTPUT_TEXT, false},
	    {"P", "p", OUTPUT_TEXT, false},
	    {"VERDICT", "verdict", OUTPUT_TEXT, false},
	};
	struct cli *cli = compare->cli;
	json_t *json;

	if (!cli->out.json)
		return output_table(&cli->out, columns, ARRAY_LEN(columns),
				    compare->table, &cli->failure);
	json = json_pack("{s:s,s:I,s:O}", "schema", "bench-compare/1", "above",
			 (json_int_t)compare->above, "rows", compare->rows);
	if (!json)
		return -ENOMEM;
	output_json(json);
	json_decref(json);
	return 0;
}

/* Nothing in common is no success. */
static int bench_judge(struct bench_compare *compare, const char *old,
		       const char *new)
{
	struct failure *failure = &compare->cli->failure;

	if (json_array_size(compare->rows) == 0)
		return failure_set(failure, -ENOENT, CONTROL_EXIT_FAILED,
				   "%s and %s have no command in common", old,
				   new);
	if (compare->above > 0)
		return failure_set(
		    failure, -ERANGE, CONTROL_EXIT_FAILED,
		    "%zu slower than %s by more than %.3g %%, most: %s, %+.1f "
		    "%%",
		    compare->above, old, compare->limit * 100, compare->worst,
		    (compare->worst_ratio - 1) * 100);
	return 0;
}

int cmd_bench_compare(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	struct bench_compare compare = {
	    .cli = cli, .rows = json_array(), .table = json_array()};
	json_t *old = NULL, *new = NULL;
	int rc = compare.rows && compare.table ? 0 : -ENOMEM;

	if (rc == 0)
		rc = bench_set_limit(&compare);
	if (rc == 0)
		rc = bench_file_read(argv[0], &old, &cli->failure);
	if (rc == 0)
		rc = bench_file_read(argv[1], &new, &cli->failure);
	if (rc == 0)
		rc = bench_compare_rows(&compare, old, new);
	if (rc == 0)
		rc = bench_print(&compare);
	if (rc == 0)
		rc = bench_judge(&compare, argv[0], argv[1]);
	if (rc < 0 && cli->failure.code == 0)
		failure_errno(&cli->failure, rc, "bench compare");
	json_decref(old);
	json_decref(new);
	json_decref(compare.rows);
	json_decref(compare.table);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
