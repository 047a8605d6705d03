/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_output: numbers, tables and failures, as they are written.
 */
#include "admin/output.h"

#include <fcntl.h>
#include <stdio.h>

#include "tests/lib/check.h"

enum { CAUGHT_MAX = 8192 };

/* What is written to a stream until caught(). */
struct catcher {
	FILE *file, *stream;
	int saved;
	char text[CAUGHT_MAX];
};

static void catch_begin(struct catcher *c, FILE *stream)
{
	fflush(stream);
	c->stream = stream;
	c->file = tmpfile();
	c->saved = dup(fileno(stream));
	ASSERT(c->file && c->saved >= 0);
	dup2(fileno(c->file), fileno(stream));
}

static const char *caught(struct catcher *c)
{
	size_t len;

	fflush(c->stream);
	dup2(c->saved, fileno(c->stream));
	close(c->saved);
	rewind(c->file);
	len = fread(c->text, 1, sizeof(c->text) - 1, c->file);
	c->text[len] = '\0';
	fclose(c->file);
	return c->text;
}

static void check_size(uint64_t bytes, const char *want)
{
	char text[OUTPUT_NUMBER_MAX];

	output_size(text, bytes, false);
	CU_ASSERT_STRING_EQUAL(text, want);
}

static void test_sizes(void)
{
	char text[OUTPUT_NUMBER_MAX];

	check_size(0, "0 B");
	check_size(1023, "1023 B");
	check_size(1024, "1.0 KiB");
	check_size(1024 * 1024 - 1, "1.0 MiB");
	check_size(2254857830u, "2.1 GiB");
	check_size(UINT64_MAX, "16.0 EiB");
	output_size(text, UINT64_MAX, true);
	CU_ASSERT_STRING_EQUAL(text, "18446744073709551615");
}

static void test_counts(void)
{
	char text[OUTPUT_NUMBER_MAX];

	output_count(text, 999, false);
	CU_ASSERT_STRING_EQUAL(text, "999");
	output_count(text, 7084, false);
	CU_ASSERT_STRING_EQUAL(text, "7084");
	output_count(text, 1234567, false);
	CU_ASSERT_STRING_EQUAL(text, "1 234 567");
	output_count(text, UINT64_MAX, false);
	CU_ASSERT_STRING_EQUAL(text, "18 446 744 073 709 551 615");
	output_count(text, 1234567, true);
	CU_ASSERT_STRING_EQUAL(text, "1234567");
}

static void test_durations(void)
{
	char text[OUTPUT_NUMBER_MAX];

	output_duration(text, 59);
	CU_ASSERT_STRING_EQUAL(text, "59 s");
	output_duration(text, 300);
	CU_ASSERT_STRING_EQUAL(text, "5 min");
	output_duration(text, 8100);
	CU_ASSERT_STRING_EQUAL(text, "2 h 15 min");
	output_duration(text, 3 * 86400 + 4 * 3600);
	CU_ASSERT_STRING_EQUAL(text, "3 d 4 h");
}

static const struct output_column columns[] = {
    {"NAME", "name", OUTPUT_TEXT, false},
    {"SIZE", "bytes", OUTPUT_SIZE, false},
    {"UP", "up", OUTPUT_YES, false},
    {"ID", "id", OUTPUT_DIGEST, true},
};

static json_t *rows_new(void)
{
	return json_pack("[{s:s, s:i, s:b, s:s}, {s:s, s:i, s:b, s:s}]", "name",
			 "red", "bytes", 2048, "up", 1, "id",
			 "0123456789abcdef", "name", "a\tlong\nname", "bytes",
			 5, "up", 0, "id", "");
}

static void check_table(struct output out, const char *want)
{
	struct failure failure = {0};
	json_t *rows = rows_new();
	struct catcher c;
	int rc;

	catch_begin(&c, stdout);
	rc = output_table(&out, columns, ARRAY_LEN(columns), rows, &failure);
	CU_ASSERT_STRING_EQUAL(caught(&c), want);
	CU_ASSERT_EQUAL(rc, 0);
	json_decref(rows);
}

static void test_tables(void)
{
	check_table((struct output){0}, "NAME            SIZE  UP\n"
					"red          2.0 KiB  yes\n"
					"a?long?name      5 B  no\n");
	check_table((struct output){.no_header = true},
		    "red\t2.0 KiB\tyes\na?long?name\t5 B\tno\n");
	check_table((struct output){.no_header = true, .exact = true},
		    "red\t2048\tyes\na?long?name\t5\tno\n");
	check_table((struct output){.columns = "id,name", .no_header = true},
		    "0123456789ab\tred\n-\ta?long?name\n");
	check_table((struct output){.columns = "id", .exact = true},
		    "ID\n0123456789abcdef\n-\n");
}

static void test_unknown_column(void)
{
	struct output out = {.columns = "name,nosuch"};
	struct failure failure = {0};
	json_t *rows = rows_new();

	CU_ASSERT_EQUAL(
	    output_table(&out, columns, ARRAY_LEN(columns), rows, &failure),
	    -EINVAL);
	CU_ASSERT_EQUAL(failure.code, CONTROL_EXIT_USAGE);
	CU_ASSERT_STRING_EQUAL(failure.hint, "columns: name,bytes,up,id");
	json_decref(rows);
}

static void test_failures(void)
{
	struct output out = {0};
	struct failure failure = {0};
	struct catcher c;

	CU_ASSERT_EQUAL(
	    failure_errno(&failure, -ENOSPC, "cannot write %s", "a\nb"),
	    -ENOSPC);
	failure_hint(&failure, "try: less");
	catch_begin(&c, stderr);
	CU_ASSERT_EQUAL(output_failure(&out, &failure), CONTROL_EXIT_NO_SPACE);
	CU_ASSERT_STRING_EQUAL(caught(&c),
			       "vdrive: cannot write a?b: No space left on "
			       "device\n  try: less\n");
	out.json = true;
	catch_begin(&c, stderr);
	output_failure(&out, &failure);
	CU_ASSERT_STRING_EQUAL(
	    caught(&c),
	    "{\"type\":\"error\",\"code\":14,\"message\":\"cannot write "
	    "a?b: No space left on device\",\"hint\":\"try: less\"}\n");
	failure_clear(&failure);
}

static void test_progress(void)
{
	struct output_progress_state state = {.phase = "sharding",
					      .bytes_total = 1000};
	struct output out = {.quiet = true};
	struct catcher c;

	output_setup(&out);
	CU_ASSERT_EQUAL(out.progress, OUTPUT_PROGRESS_NONE);
	catch_begin(&c, stderr);
	/* The first line comes after a while, not at once. */
	output_progress(&out, &state);
	out.progress = OUTPUT_PROGRESS_JSON;
	output_progress(&out, &state);
	CU_ASSERT_STRING_EQUAL(caught(&c), "");
	state.bytes_done = 500;
	out.progress_last_ms -= 1000;
	catch_begin(&c, stderr);
	output_progress(&out, &state);
	CU_ASSERT_STRING_EQUAL(
	    caught(&c),
	    "{\"type\":\"progress\",\"phase\":\"sharding\",\"bytes_done\":"
	    "500,\"bytes_total\":1000,\"files_done\":0,\"files_total\":0}"
	    "\n");
	out.progress = OUTPUT_PROGRESS_PLAIN;
	out.progress_last_ms -= 30000;
	catch_begin(&c, stderr);
	output_progress(&out, &state);
	CU_ASSERT_STRING_EQUAL(caught(&c), "sharding 500 B / 1000 B\n");
}

static void test_names(void)
{
	char bad[] = "a\xff"
		     "b";
	json_t *json = output_json_name(bad);

	CU_ASSERT_STRING_EQUAL(json_string_value(json), "a?b");
	json_decref(json);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"sizes", test_sizes},
	    {"counts", test_counts},
	    {"durations", test_durations},
	    {"tables", test_tables},
	    {"unknown_column", test_unknown_column},
	    {"failures", test_failures},
	    {"progress", test_progress},
	    {"names", test_names},
	};

	return check_main("test_output", tests, ARRAY_LEN(tests));
}
