/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output_table: columns of a JSON array of objects, aligned for people or
 * separated by tabs for scripts.
 */
#include <stdio.h>
#include <time.h>

#include "admin/output.h"

enum {
	OUTPUT_CELL_MAX = 1024,
	OUTPUT_DIGEST_SHOWN = 12,
	OUTPUT_GAP = 2,
};

struct output_pick {
	const struct output_column *column[OUTPUT_COLUMNS_MAX];
	size_t width[OUTPUT_COLUMNS_MAX];
	size_t count;
};

static void output_cell_time(char *cell, const char *text, bool exact)
{
	char age[OUTPUT_NUMBER_MAX];
	time_t then, now = time(NULL);
	struct tm tm = {0};

	if (exact || !strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		snprintf(cell, OUTPUT_CELL_MAX, "%s", text);
		return;
	}
	then = timegm(&tm);
	output_duration(age, then < now ? (uint64_t)(now - then) : 0);
	snprintf(cell, OUTPUT_CELL_MAX, "%s ago", age);
}

static void output_cell_list(char *cell, const json_t *list)
{
	const char *text;
	size_t len = 0;
	int n;

	cell[0] = '\0';
	for (size_t i = 0; i < json_array_size(list); i++) {
		text = json_string_value(json_array_get(list, i));
		n = snprintf(cell + len, OUTPUT_CELL_MAX - len, "%s%s",
			     i ? ", " : "", text ? text : "?");
		if (n < 0 || (size_t)n >= OUTPUT_CELL_MAX - len)
			return;
		len += (size_t)n;
	}
}

static void output_cell_number(char *cell, uint64_t value,
			       enum output_kind kind, bool exact)
{
	bool is_limit = kind == OUTPUT_LIMIT || kind == OUTPUT_LIMIT_COUNT;

	if (is_limit && value == 0 && !exact)
		snprintf(cell, OUTPUT_CELL_MAX, "-");
	else if (kind == OUTPUT_SIZE || kind == OUTPUT_LIMIT)
		output_size(cell, value, exact);
	else
		output_count(cell, value, exact || kind == OUTPUT_TEXT);
}

static void output_cell(const struct output *out,
			const struct output_column *column, const json_t *row,
			char *cell)
{
	const json_t *value = json_object_get(row, column->key);
	const char *text = json_string_value(value);

	if (json_is_integer(value))
		output_cell_number(cell, (uint64_t)json_integer_value(value),
				   column->kind, out->exact);
	else if (json_is_boolean(value))
		snprintf(cell, OUTPUT_CELL_MAX, "%s",
			 json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		output_cell_list(cell, value);
	else if (!text || !*text)
		snprintf(cell, OUTPUT_CELL_MAX, "-");
	else if (column->kind == OUTPUT_TIME)
		output_cell_time(cell, text, out->exact);
	else if (column->kind == OUTPUT_DIGEST && !out->exact)
		snprintf(cell, OUTPUT_CELL_MAX, "%.*s", OUTPUT_DIGEST_SHOWN,
			 text);
	else
		snprintf(cell, OUTPUT_CELL_MAX, "%s", text);
	for (char *p = cell; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
}

static int output_pick_names(const struct output_column *columns, size_t count,
			     const char *names, struct output_pick *pick,
			     struct failure *failure)
{
	char known[256] = "";
	size_t len, used = 0, c;

	for (const char *p = names; *p; p += len + (p[len] == ',')) {
		len = strcspn(p, ",");
		for (c = 0; c < count; c++)
			if (strlen(columns[c].key) == len &&
			    memcmp(columns[c].key, p, len) == 0)
				break;
		if (c == count || pick->count == OUTPUT_COLUMNS_MAX)
			goto unknown;
		pick->column[pick->count++] = &columns[c];
	}
	return 0;
unknown:
	for (c = 0; c < count && used < sizeof(known) - 1; c++)
		used += (size_t)snprintf(known + used, sizeof(known) - used,
					 "%s%s", c ? "," : "", columns[c].key);
	failure_set(failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "-o %s: not all of them are columns here", names);
	failure_hint(failure, "columns: %s", known);
	return -EINVAL;
}

static int output_pick(const struct output *out,
		       const struct output_column *columns, size_t count,
		       struct output_pick *pick, struct failure *failure)
{
	ASSERT(count <= OUTPUT_COLUMNS_MAX);
	if (out->columns)
		return output_pick_names(columns, count, out->columns, pick,
					 failure);
	for (size_t c = 0; c < count; c++)
		if (!columns[c].extra)
			pick->column[pick->count++] = &columns[c];
	return 0;
}

static bool output_is_right(const struct output_column *column)
{
	return column->kind == OUTPUT_COUNT || column->kind == OUTPUT_SIZE ||
	       column->kind == OUTPUT_LIMIT ||
	       column->kind == OUTPUT_LIMIT_COUNT;
}

static void output_put_cell(const struct output *out,
			    const struct output_pick *pick, size_t c,
			    const char *cell)
{
	bool last = c + 1 == pick->count;
	int width = (int)pick->width[c];

	if (out->no_header)
		printf("%s%s", cell, last ? "\n" : "\t");
	else if (output_is_right(pick->column[c]))
		printf("%*s%s", width, cell, last ? "\n" : "  ");
	else
		printf("%-*s%s", last ? 0 : width, cell, last ? "\n" : "  ");
}

static void output_measure(const struct output *out, struct output_pick *pick,
			   const json_t *rows)
{
	char cell[OUTPUT_CELL_MAX];

	for (size_t c = 0; c < pick->count; c++) {
		pick->width[c] = strlen(pick->column[c]->title);
		for (size_t r = 0; r < json_array_size(rows); r++) {
			output_cell(out, pick->column[c],
				    json_array_get(rows, r), cell);
			pick->width[c] = MAX(pick->width[c], strlen(cell));
		}
	}
}

int output_table(struct output *out, const struct output_column *columns,
		 size_t count, const json_t *rows, struct failure *failure)
{
	struct output_pick pick = {.count = 0};
	char cell[OUTPUT_CELL_MAX];
	int rc;

	rc = output_pick(out, columns, count, &pick, failure);
	if (rc < 0)
		return rc;
	if (!out->no_header)
		output_measure(out, &pick, rows);
	if (!out->no_header && json_array_size(rows) > 0)
		for (size_t c = 0; c < pick.count; c++)
			output_put_cell(out, &pick, c, pick.column[c]->title);
	for (size_t r = 0; r < json_array_size(rows); r++) {
		for (size_t c = 0; c < pick.count; c++) {
			output_cell(out, pick.column[c],
				    json_array_get(rows, r), cell);
			output_put_cell(out, &pick, c, cell);
		}
	}
	return 0;
}
