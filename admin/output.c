/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output: failures, lines and numbers.  Tables are in output_table.c, progress
 * in output_progress.c.
 */
#include "admin/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "depot/log.h"

/* --- failures ------------------------------------------------------------ */

int failure_code(int rc)
{
	switch (rc) {
	case 0:
		return CONTROL_EXIT_OK;
	case -ENOENT:
		return CONTROL_EXIT_MISSING;
	case -EEXIST:
		return CONTROL_EXIT_CONFLICT;
	case -EPERM:
	case -EACCES:
		return CONTROL_EXIT_NOT_PERMITTED;
	case -EBUSY:
		return CONTROL_EXIT_LOCKED;
	case -EHOSTUNREACH:
		return CONTROL_EXIT_UPSTREAM;
	case -EBADMSG:
		return CONTROL_EXIT_BAD_CONTENT;
	case -ENOSPC:
	case -EDQUOT:
		return CONTROL_EXIT_NO_SPACE;
	case -EINTR:
		return CONTROL_EXIT_INTERRUPTED;
	default:
		return CONTROL_EXIT_FAILED;
	}
}

/* Names come from packages: they must not steer a terminal. */
static void failure_clean(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
}

static int failure_vset(struct failure *failure, int rc, int code,
			const char *fmt, va_list args)
    __attribute__((format(printf, 4, 0)));
static int failure_vset(struct failure *failure, int rc, int code,
			const char *fmt, va_list args)
{
	failure_clear(failure);
	failure->code = code;
	vsnprintf(failure->message, sizeof(failure->message), fmt, args);
	failure_clean(failure->message);
	return rc;
}

int failure_set(struct failure *failure, int rc, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	failure_vset(failure, rc, code, fmt, args);
	va_end(args);
	return rc;
}

/* The cause in the words of the module that failed, if it was just now. */
static const char *failure_cause(int rc)
{
	const char *words = strerrordesc_np(-rc);
	const char *last = log_last_error();
	size_t words_len, last_len = strlen(last);

	if (!words)
		return *last ? last : "unknown error";
	words_len = strlen(words);
	if (last_len > words_len &&
	    strcmp(last + last_len - words_len, words) == 0)
		return last;
	return words;
}

int failure_errno(struct failure *failure, int rc, const char *fmt, ...)
{
	va_list args;
	size_t len;

	va_start(args, fmt);
	failure_vset(failure, rc, failure_code(rc), fmt, args);
	va_end(args);
	len = strlen(failure->message);
	snprintf(failure->message + len, sizeof(failure->message) - len, ": %s",
		 failure_cause(rc));
	log_clear_last_error();
	return rc;
}

void failure_hint(struct failure *failure, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure->hint, sizeof(failure->hint), fmt, args);
	va_end(args);
	failure_clean(failure->hint);
}

void failure_clear(struct failure *failure)
{
	json_decref(failure->details);
	memset(failure, 0, sizeof(*failure));
}

static void output_failure_json(const struct failure *failure)
{
	json_t *json = json_pack("{s:s, s:i, s:s}", "type", "error", "code",
				 failure->code, "message", failure->message);

	if (!json) {
		fprintf(stderr, "{\"type\":\"error\",\"code\":%d}\n",
			failure->code);
		return;
	}
	if (failure->hint[0])
		json_object_set_new(json, "hint", json_string(failure->hint));
	if (failure->details)
		json_object_set(json, "details", failure->details);
	json_dumpf(json, stderr, JSON_COMPACT);
	fputc('\n', stderr);
	json_decref(json);
}

int output_failure(struct output *out, const struct failure *failure)
{
	const json_t *line;

	output_progress_end(out);
	fflush(stdout);
	if (out->json) {
		output_failure_json(failure);
		return failure->code;
	}
	fprintf(stderr, "vdrive: %s\n", failure->message);
	for (size_t i = 0; i < json_array_size(failure->details); i++) {
		line = json_array_get(failure->details, i);
		if (json_is_string(line))
			fprintf(stderr, "  %s\n", json_string_value(line));
	}
	if (failure->hint[0])
		fprintf(stderr, "  %s\n", failure->hint);
	return failure->code;
}

/* --- lines --------------------------------------------------------------- */

void output_setup(struct output *out)
{
	if (out->quiet)
		out->progress = OUTPUT_PROGRESS_NONE;
	if (out->progress != OUTPUT_PROGRESS_AUTO)
		return;
	if (out->json)
		out->progress = OUTPUT_PROGRESS_JSON;
	else if (isatty(STDERR_FILENO))
		out->progress = OUTPUT_PROGRESS_BAR;
	else
		out->progress = OUTPUT_PROGRESS_PLAIN;
}

static void output_stderr(struct output *out, const char *head, const char *fmt,
			  va_list args) __attribute__((format(printf, 3, 0)));
static void output_stderr(struct output *out, const char *head, const char *fmt,
			  va_list args)
{
	char text[FAILURE_MESSAGE_MAX];

	output_progress_end(out);
	vsnprintf(text, sizeof(text), fmt, args);
	failure_clean(text);
	fprintf(stderr, "%s: %s\n", head, text);
}

void output_warn(struct output *out, const char *fmt, ...)
{
	va_list args;

	if (out->quiet)
		return;
	va_start(args, fmt);
	output_stderr(out, "warning", fmt, args);
	va_end(args);
}

void output_verbose(struct output *out, const char *fmt, ...)
{
	va_list args;

	if (!out->verbose || out->quiet)
		return;
	va_start(args, fmt);
	output_stderr(out, "vdrive", fmt, args);
	va_end(args);
}

void output_line(struct output *out, const char *fmt, ...)
{
	va_list args;

	if (out->quiet)
		return;
	output_progress_end(out);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

void output_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
}

json_t *output_json_name(char *text)
{
	json_t *json = json_string(text);

	if (json)
		return json;
	for (char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(text);
}

/* --- numbers and times --------------------------------------------------- */

void output_size(char text[OUTPUT_NUMBER_MAX], uint64_t bytes, bool exact)
{
	static const char *const units[] = {"KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (exact || bytes < 1024) {
		snprintf(text, OUTPUT_NUMBER_MAX, exact ? "%ju" : "%ju B",
			 (uintmax_t)bytes);
		return;
	}
	/* 1023.95 KiB would be printed as 1024.0 KiB. */
	while (value >= 1023.95 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, OUTPUT_NUMBER_MAX, "%.1f %s", value, units[unit]);
}

void output_count(char text[OUTPUT_NUMBER_MAX], uint64_t count, bool exact)
{
	char digits[OUTPUT_NUMBER_MAX];
	size_t len, at = 0;

	len = (size_t)snprintf(digits, sizeof(digits), "%ju", (uintmax_t)count);
	if (exact || len <= 4) {
		memcpy(text, digits, len + 1);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[at++] = ' ';
		text[at++] = digits[i];
	}
	text[at] = '\0';
}

void output_duration(char text[OUTPUT_NUMBER_MAX], uint64_t sec)
{
	uintmax_t s = sec, min = s / 60, h = min / 60, d = h / 24;

	if (s < 60)
		snprintf(text, OUTPUT_NUMBER_MAX, "%ju s", s);
	else if (min < 60)
		snprintf(text, OUTPUT_NUMBER_MAX, "%ju min", min);
	else if (h < 48)
		snprintf(text, OUTPUT_NUMBER_MAX, "%ju h %ju min", h, min % 60);
	else
		snprintf(text, OUTPUT_NUMBER_MAX, "%ju d %ju h", d, h % 24);
}
