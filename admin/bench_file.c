/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_file: see bench_file.h.
 */
#include "admin/bench_file.h"

#include <math.h>
#include <stdio.h>

#include "admin/bench_stats.h"
#include "depot/io.h"

/* --- checking ------------------------------------------------------------ */

struct bench_check {
	const char *name; /* of the file */
	const char *command;
	struct failure *failure;
};

static int bench_bad(const struct bench_check *check, const char *what)
{
	const char *of = check->command ? check->command : "";

	failure_set(check->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
		    "%s: no results of a benchmark: %s%s%s", check->name, of,
		    *of ? ": " : "", what);
	failure_hint(check->failure,
		     "try: a file that vdrive bench run has written");
	return -EBADMSG;
}

/* An array of `count` numbers, none below 0. */
static bool bench_is_samples(const json_t *array, size_t count)
{
	const json_t *number;
	size_t i;

	if (!json_is_array(array) || json_array_size(array) != count)
		return false;
	json_array_foreach(array, i, number)
	{
		double value = json_number_value(number);

		if (!json_is_number(number) || !isfinite(value) || value < 0)
			return false;
	}
	return true;
}

/* What goes into tables and pictures: printable. */
static bool bench_is_word(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len == 0 || len > BENCH_COMMAND_MAX)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int bench_check_phases(const struct bench_check *check, json_t *phases,
			      size_t count)
{
	const char *key;
	json_t *array;

	if (!phases)
		return 0;
	if (!json_is_object(phases) ||
	    json_object_size(phases) > BENCH_PHASES_MAX)
		return bench_bad(check, "phases are no object of a few");
	json_object_foreach(phases, key, array)
	{
		if (!bench_is_word(key) || !bench_is_samples(array, count))
			return bench_bad(check, "a phase is not one time, in "
						"seconds, for each sample");
	}
	return 0;
}

static int bench_check_result(struct bench_check *check, const json_t *result)
{
	const json_t *times = json_object_get(result, "times");
	const json_t *bytes = json_object_get(result, "bytes");
	size_t count = json_array_size(times);

	check->command = json_string_value(json_object_get(result, "command"));
	if (!bench_is_word(check->command)) {
		check->command = NULL;
		return bench_bad(check, "a result without a command");
	}
	if (count == 0 || count > BENCH_SAMPLES_MAX ||
	    !bench_is_samples(times, count))
		return bench_bad(check, "times are no list of seconds");
	if (bytes && !bench_is_samples(bytes, count))
		return bench_bad(check, "bytes are not one number a sample");
	return bench_check_phases(check, json_object_get(result, "phases"),
				  count);
}

static int bench_check_storage(const struct bench_check *check,
			       const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (!rows)
		return 0;
	if (!json_is_array(rows) || json_array_size(rows) > BENCH_RESULTS_MAX)
		return bench_bad(check, "storage is no list");
	json_array_foreach(rows, i, row)
	{
		const json_t *bytes = json_object_get(row, "bytes");

		if (!bench_is_word(
			json_string_value(json_object_get(row, "design"))) ||
		    !json_is_integer(bytes) || json_integer_value(bytes) < 0)
			return bench_bad(check, "a row of storage without "
						"design or bytes");
	}
	return 0;
}

static int bench_check_failed(const struct bench_check *check,
			      const json_t *failed)
{
	const json_t *command;
	size_t i;

	if (!failed)
		return 0;
	if (!json_is_array(failed) ||
	    json_array_size(failed) > BENCH_SAMPLES_MAX)
		return bench_bad(check, "failed is no list");
	json_array_foreach(failed, i, command)
	{
		if (!bench_is_word(json_string_value(command)))
			return bench_bad(check, "failed has no commands");
	}
	return 0;
}

static int bench_check_all(struct bench_check *check, const json_t *json)
{
	const json_t *results = json_object_get(json, "results"), *result;
	size_t i;
	int rc = 0;

	if (!json_is_array(results) ||
	    json_array_size(results) > BENCH_RESULTS_MAX)
		return bench_bad(check, "\"results\" is no list of up to 1000");
	json_array_foreach(results, i, result)
	{
		rc = bench_check_result(check, result);
		if (rc < 0)
			return rc;
		if (bench_file_find(json, check->command) != result)
			return bench_bad(check, "it is there twice");
	}
	check->command = NULL;
	rc = bench_check_failed(check, json_object_get(json, "failed"));
	if (rc < 0)
		return rc;
	return bench_check_storage(check, json_object_get(json, "storage"));
}

/* --- reading and writing ------------------------------------------------- */

int bench_file_parse(const char *text, size_t len, const char *name,
		     json_t **json, struct failure *failure)
{
	struct bench_check check = {.name = name, .failure = failure};
	const char *schema;
	json_error_t error;
	int rc;

	*json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!*json)
		return bench_bad(&check, error.text);
	schema = json_string_value(json_object_get(*json, "schema"));
	if (schema && strcmp(schema, BENCH_SCHEMA) != 0)
		rc =
		    failure_set(failure, -EPROTONOSUPPORT, CONTROL_EXIT_FAILED,
				"%s: its schema is %.64s, this vdrive knows %s",
				name, schema, BENCH_SCHEMA);
	else
		rc = bench_check_all(&check, *json);
	if (rc < 0) {
		json_decref(*json);
		*json = NULL;
	}
	return rc;
}

int bench_file_read(const char *path, json_t **json, struct failure *failure)
{
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	*json = NULL;
	rc = io_read_file(path, BENCH_FILE_MAX, &text, &len);
	if (rc < 0)
		return failure_errno(failure, rc, "cannot read %s", path);
	return bench_file_parse(text, len, path, json, failure);
}

int bench_file_write(const char *path, const json_t *json,
		     struct failure *failure)
{
	CLEANUP_FREE char *text =
	    json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
	int rc = text ? io_replace_file(path, text, strlen(text)) : -ENOMEM;

	return rc < 0 ? failure_errno(failure, rc, "cannot write %s", path) : 0;
}

const json_t *bench_file_find(const json_t *json, const char *command)
{
	const json_t *results = json_object_get(json, "results"), *result;
	const char *text;
	size_t i;

	json_array_foreach(results, i, result)
	{
		text = json_string_value(json_object_get(result, "command"));
		if (text && strcmp(text, command) == 0)
			return result;
	}
	return NULL;
}

int bench_numbers(const json_t *array, double **numbers, size_t *count)
{
	const json_t *number;
	size_t i;

	*count = json_array_size(array);
	*numbers = calloc(*count + 1, sizeof(**numbers));
	if (!*numbers)
		return -ENOMEM;
	json_array_foreach(array, i, number)(*numbers)[i] =
	    json_number_value(number);
	return 0;
}

/* --- a result of samples ------------------------------------------------- */

/* The array `name` of `in`, made if it was not there. */
static json_t *bench_array(json_t *in, const char *name)
{
	json_t *array = json_object_get(in, name);

	if (array)
		return array;
	array = json_array();
	if (json_object_set_new(in, name, array) < 0)
		return NULL;
	return array;
}

/* One sample's phases behind those of the samples before it. */
static int bench_add_phases(json_t *phases, json_t *of, size_t before)
{
	const char *key;
	json_t *value;

	json_object_foreach(of, key, value)
	{
		json_t *array = bench_array(phases, key);

		while (array && json_array_size(array) < before)
			if (json_array_append_new(array, json_real(0)) < 0)
				return -ENOMEM;
		if (!array || json_array_append(array, value) < 0)
			return -ENOMEM;
	}
	json_object_foreach(phases, key, value)
	{
		if (json_array_size(value) == before &&
		    json_array_append_new(value, json_real(0)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int bench_add_samples(json_t *result, const json_t *samples)
{
	json_t *times = bench_array(result, "times");
	json_t *codes = bench_array(result, "exit_codes");
	json_t *bytes = bench_array(result, "bytes");
	json_t *phases = json_object(), *sample;
	size_t i;

	if (!times || !codes || !bytes ||
	    json_object_set_new(result, "phases", phases) < 0)
		return -ENOMEM;
	json_array_foreach(samples, i, sample)
	{
		json_t *moved = json_object_get(sample, "bytes");

		if (json_array_append(times,
				      json_object_get(sample, "seconds")) < 0 ||
		    json_array_append_new(codes, json_integer(0)) < 0 ||
		    json_array_append_new(
			bytes, json_integer(json_integer_value(moved))) < 0 ||
		    bench_add_phases(phases, json_object_get(sample, "phases"),
				     i) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int bench_add_figures(json_t *result)
{
	CLEANUP_FREE double *times = NULL;
	struct bench_figures f;
	size_t count;
	json_t *more;
	int rc;

	rc = bench_numbers(json_object_get(result, "times"), &times, &count);
	if (rc == 0)
		rc = bench_figures(times, count, &f);
	if (rc < 0)
		return rc;
	more = json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "mean", f.mean, "stddev",
			 f.stddev, "median", f.median, "p95", f.p95, "min",
			 f.min, "max", f.max);
	rc = more && json_object_update(result, more) == 0 ? 0 : -ENOMEM;
	json_decref(more);
	return rc;
}

int bench_result_new(const char *app, const char *variant,
		     const json_t *samples, json_t **result)
{
	char command[BENCH_COMMAND_MAX + 1];
	int rc;

	snprintf(command, sizeof(command), "%s/%s", app, variant);
	*result = json_pack("{s:s,s:{s:s,s:s}}", "command", command,
			    "parameters", "app", app, "variant", variant);
	if (!*result)
		return -ENOMEM;
	rc = bench_add_samples(*result, samples);
	if (rc == 0)
		rc = bench_add_figures(*result);
	if (rc < 0) {
		json_decref(*result);
		*result = NULL;
	}
	return rc;
}
