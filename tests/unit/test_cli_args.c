/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cli_args: command lines, good and bad.
 */
#include "admin/args.h"

#include "tests/lib/check.h"

static const struct command commands[] = {
    {"status", NULL, "", "", 0, 0, 0, NULL},
    {"package", "create", "NAME:TAG SRC", "", 2, SIZE_MAX,
     ARGS_BIT(ARGS_DRY_RUN) | ARGS_BIT(ARGS_DEVICES), NULL},
    {"package", "list", "", "", 0, 0, 0, NULL},
    {"tenant", "assign", "TENANT REF...", "", 2, SIZE_MAX, ARGS_BIT(ARGS_ORDER),
     NULL},
};

struct line {
	struct args args;
	struct failure failure;
	const struct command *command;
	size_t skip;
};

/* Parse words that are parted by spaces; the result must be freed. */
static bool parse(struct line *line, char *text)
{
	char *argv[32] = {NULL}, *save = NULL;
	int argc = 1;

	static char name[] = "vdrive";
	argv[0] = name;
	for (char *p = strtok_r(text, " ", &save); p;
	     p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	memset(line, 0, sizeof(*line));
	if (args_parse(&line->args, argc, argv, &line->failure) < 0)
		return false;
	line->command = args_command(&line->args, commands, ARRAY_LEN(commands),
				     &line->skip, &line->failure);
	return line->command != NULL;
}

static void check_bad(const char *text, const char *message, const char *hint)
{
	CLEANUP_FREE char *copy = strdup(text);
	struct line line;

	CU_ASSERT_FALSE(parse(&line, copy));
	CU_ASSERT_EQUAL(line.failure.code, CONTROL_EXIT_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(line.failure.message, message));
	CU_ASSERT_PTR_NOT_NULL(strstr(line.failure.hint, hint));
	args_clear(&line.args);
}

static void test_options_anywhere(void)
{
	char text[] = "--json package -Hp create -n a:1 --socket=/s dir:x "
		      "-o name,tag --timeout 5 --devices";
	struct line line;

	CU_ASSERT_TRUE_FATAL(parse(&line, text));
	CU_ASSERT_STRING_EQUAL(line.command->verb, "create");
	CU_ASSERT_EQUAL(line.skip, 2);
	CU_ASSERT_EQUAL(line.args.count, 4);
	CU_ASSERT_STRING_EQUAL(line.args.positional[2], "a:1");
	CU_ASSERT_TRUE(args_has(&line.args, ARGS_JSON));
	CU_ASSERT_TRUE(args_has(&line.args, ARGS_NO_HEADER));
	CU_ASSERT_TRUE(args_has(&line.args, ARGS_EXACT));
	CU_ASSERT_TRUE(args_has(&line.args, ARGS_DRY_RUN));
	CU_ASSERT_TRUE(args_has(&line.args, ARGS_DEVICES));
	CU_ASSERT_FALSE(args_has(&line.args, ARGS_QUIET));
	CU_ASSERT_STRING_EQUAL(line.args.value[ARGS_SOCKET], "/s");
	CU_ASSERT_STRING_EQUAL(line.args.value[ARGS_COLUMNS], "name,tag");
	CU_ASSERT_STRING_EQUAL(line.args.value[ARGS_TIMEOUT], "5");
	args_clear(&line.args);
}

static void test_end_of_options(void)
{
	char text[] = "package create -- --json -x";
	struct line line;

	CU_ASSERT_TRUE_FATAL(parse(&line, text));
	CU_ASSERT_FALSE(args_has(&line.args, ARGS_JSON));
	CU_ASSERT_STRING_EQUAL(line.args.positional[2], "--json");
	args_clear(&line.args);
}

static void test_one_word(void)
{
	char text[] = "status";
	struct line line;

	CU_ASSERT_TRUE_FATAL(parse(&line, text));
	CU_ASSERT_EQUAL(line.skip, 1);
	args_clear(&line.args);
}

static void test_wrong_usage(void)
{
	check_bad("statsu", "statsu", "did you mean: status");
	check_bad("package lsit", "package lsit", "did you mean: package list");
	check_bad("package", "package", "vdrive help package");
	check_bad("frobnicate", "frobnicate", "try: vdrive help");
	check_bad("status --jsn", "--jsn", "did you mean: --json");
	check_bad("status -X", "-X", "try: vdrive help");
	check_bad("package create a:1", "too few", "NAME:TAG SRC");
	check_bad("package list x", "too many", "vdrive package list");
	check_bad("status --order", "no option --order", "vdrive status");
	check_bad("package list -n", "no option --dry-run", "package list");
	check_bad("status --percent 5", "no option --percent", "vdrive status");
	check_bad("status --json=1", "takes no value", "");
	check_bad("status --socket", "needs a value", "");
	check_bad("status -o", "needs a value", "");
}

/* Help is given whatever else is wrong. */
static void test_help(void)
{
	char text[] = "package create --help";
	struct line line;

	CU_ASSERT_TRUE(parse(&line, text));
	args_clear(&line.args);
}

static void test_closest(void)
{
	static const char *const names[] = {"postgresql", NULL, "python3",
					    "red"};

	CU_ASSERT_STRING_EQUAL(args_closest("postgress", names, 4),
			       "postgresql");
	CU_ASSERT_STRING_EQUAL(args_closest("pyton3", names, 4), "python3");
	CU_ASSERT_STRING_EQUAL(args_closest("rde", names, 4), "red");
	CU_ASSERT_PTR_NULL(args_closest("x", names, 4));
	CU_ASSERT_PTR_NULL(args_closest("blu", names, 4));
	CU_ASSERT_PTR_NULL(args_closest("", names, 4));
}

static void test_numbers(void)
{
	unsigned long value;

	CU_ASSERT_EQUAL(args_number("60", 100, &value), 0);
	CU_ASSERT_EQUAL(value, 60);
	CU_ASSERT_EQUAL(args_number("101", 100, &value), -EINVAL);
	CU_ASSERT_EQUAL(args_number("-1", 100, &value), -EINVAL);
	CU_ASSERT_EQUAL(args_number(" 1", 100, &value), -EINVAL);
	CU_ASSERT_EQUAL(args_number("1s", 100, &value), -EINVAL);
	CU_ASSERT_EQUAL(args_number("", 100, &value), -EINVAL);
	CU_ASSERT_EQUAL(args_number("99999999999999999999", SIZE_MAX, &value),
			-EINVAL);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"options_anywhere", test_options_anywhere},
	    {"end_of_options", test_end_of_options},
	    {"one_word", test_one_word},
	    {"wrong_usage", test_wrong_usage},
	    {"help", test_help},
	    {"closest", test_closest},
	    {"numbers", test_numbers},
	};

	return check_main("test_cli_args", tests, ARRAY_LEN(tests));
}
