/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_upstream: the depots that this host takes packages from.
 */
#include <stdio.h>

#include "admin/cmd.h"

enum { CMD_PATH_MAX = 4096 };

static const struct output_column cmd_upstream_columns[] = {
    {"UPSTREAM", "upstream", OUTPUT_TEXT, false},
    {"KIND", "kind", OUTPUT_TEXT, false},
    {"UP", "up", OUTPUT_YES, false},
    {"UNSIGNED", "unsigned", OUTPUT_YES, false},
    {"FETCHED", "bytes", OUTPUT_SIZE, false},
    {"ERRORS", "errors", OUTPUT_COUNT, false},
    {"URL", "url", OUTPUT_TEXT, false},
    {"REQUESTS", "requests", OUTPUT_COUNT, true},
    {"LATENCY MS", "latency_ms", OUTPUT_COUNT, true},
    {"RATE", "bytes_per_s", OUTPUT_SIZE, true},
    {"SCORE", "score", OUTPUT_COUNT, true},
    {"INFLIGHT", "inflight", OUTPUT_COUNT, true},
    {"DOWN S", "down_s", OUTPUT_COUNT, true},
    {"WRONG", "wrong", OUTPUT_COUNT, true},
    {"PRIORITY", "priority", OUTPUT_COUNT, true},
    {"CREDENTIALS", "credentials", OUTPUT_TEXT, true},
    {"ENDPOINT", "endpoint", OUTPUT_TEXT, true},
    {"REGION", "region", OUTPUT_TEXT, true},
    {"CA", "ca", OUTPUT_TEXT, true},
    {"PROXY", "proxy", OUTPUT_TEXT, true},
    {"LAST ERROR", "last_error", OUTPUT_TEXT, true},
};

int cmd_upstream_list(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv UNUSED)
{
	return cmd_list(cli, "/v1/upstreams", "upstreams", cmd_upstream_columns,
			ARRAY_LEN(cmd_upstream_columns),
			"no upstreams; try: vdrive upstream add NAME URL");
}

/* --- options ------------------------------------------------------------- */

/* What a path is to the daemon, which stands elsewhere. */
struct cmd_access {
	char credentials[CMD_PATH_MAX], ca[CMD_PATH_MAX];
};

static const char *cmd_access_path(const char *given, char path[CMD_PATH_MAX])
{
	char cwd[CMD_PATH_MAX / 2];

	if (!*given || *given == '/' || !getcwd(cwd, sizeof(cwd)))
		snprintf(path, CMD_PATH_MAX, "%s", given);
	else
		snprintf(path, CMD_PATH_MAX, "%s/%.2000s", cwd, given);
	return path;
}

/* What was given, into query[0] and on; returns how many. */
static size_t cmd_access(struct cli *cli, struct cmd_access *access,
			 struct client_query *query)
{
	static const struct {
		enum args_option option;
		const char *param;
	} params[] = {
	    {ARGS_CREDENTIALS, "credentials"},
	    {ARGS_CA, "ca"},
	    {ARGS_ENDPOINT, "endpoint"},
	    {ARGS_REGION, "region"},
	    {ARGS_PROXY, "proxy"},
	    {ARGS_PRIORITY, "priority"},
	};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		const char *value = cli->args.value[params[i].option];

		if (!value)
			continue;
		if (params[i].option == ARGS_CREDENTIALS)
			value = cmd_access_path(value, access->credentials);
		if (params[i].option == ARGS_CA)
			value = cmd_access_path(value, access->ca);
		query[count].key = params[i].param;
		query[count++].value = value;
	}
	return count;
}

/* --- add, set, remove ---------------------------------------------------- */

/* Said before the daemon is asked. */
static int cmd_upstream_key(struct cli *cli)
{
	const char *key = cli->args.value[ARGS_KEY];
	struct sign_key parsed;

	if (key && args_has(&cli->args, ARGS_UNSIGNED)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--key and --unsigned: one of them");
		return -EINVAL;
	}
	if (!key || sign_key_from_hex(key, strlen(key), &parsed) == 0)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--key: \"%s\" is no public key (64 digits, 0-9 a-f)", key);
	failure_hint(&cli->failure, "try: what vdrive depot key new has "
				    "printed where it is published");
	return -EINVAL;
}

static void cmd_upstream_added(struct cli *cli, const char *name,
			       const char *url)
{
	const char *key = cli->args.value[ARGS_KEY];

	if (args_has(&cli->args, ARGS_UNSIGNED))
		output_line(&cli->out, "ok  upstream %s, unsigned, %s", name,
			    url);
	else if (key)
		output_line(&cli->out, "ok  upstream %s, signed by %.12s, %s",
			    name, key, url);
	else
		output_line(&cli->out, "ok  upstream %s, keys as before, %s",
			    name, url);
}

int cmd_upstream_add(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	bool is_unsigned = args_has(&cli->args, ARGS_UNSIGNED);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/upstreams",
	    .query = {{"name", argv[0]},
		      {"url", argv[1]},
		      {"unsigned", is_unsigned ? "1" : "0"},
		      {"key", cli->args.value[ARGS_KEY]}},
	    .is_long = true};
	struct cmd_access access;
	json_t *json;

	if (cmd_upstream_key(cli) < 0)
		return cmd_fail(cli);
	cmd_access(cli, &access, &request.query[4]);
	if (cmd_post(cli, &request, &json) < 0)
		return cmd_fail(cli);
	if (is_unsigned)
		output_warn(&cli->out,
			    "upstream %s is used without signatures: whoever "
			    "controls %s, or the way to it, decides what "
			    "software tenants get",
			    argv[0], argv[1]);
	if (cli->out.json)
		output_json(json);
	else
		cmd_upstream_added(cli, argv[0], argv[1]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_upstream_set(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/upstreams/set",
					 .query = {{"name", argv[0]}},
					 .is_long = true};
	struct cmd_access access;
	json_t *json;
	int rc;

	if (cmd_access(cli, &access, &request.query[1]) == 0)
		return cmd_usage(cli, "vdrive help upstream",
				 "vdrive upstream set: nothing to change");
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/upstreams", "upstreams", "upstream",
			    argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  upstream %s changed, and answers",
			    argv[0]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_upstream_remove(struct cli *cli, size_t argc UNUSED,
			const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/upstreams/remove",
					 .query = {{"name", argv[0]}}};
	json_t *json;
	int rc;

	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/upstreams", "upstreams", "upstream",
			    argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  upstream %s removed", argv[0]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- test ---------------------------------------------------------------- */

static const struct output_column cmd_upstream_test_columns[] = {
    {"CHECK", "check", OUTPUT_TEXT, false},
    {"OK", "ok", OUTPUT_YES, false},
    {"RESULT", "result", OUTPUT_TEXT, false},
};

static void cmd_upstream_test_row(json_t *rows, const char *check, bool is_ok,
				  const char *result)
{
	json_array_append_new(rows,
			      json_pack("{s:s, s:b, s:s}", "check", check, "ok",
					(int)is_ok, "result", result));
}

static void cmd_upstream_test_rows(json_t *rows, const json_t *json)
{
	char text[128];
	bool is_ok = json_is_true(json_object_get(json, "ok"));
	bool ranges = json_is_true(json_object_get(json, "ranges"));

	if (!is_ok) {
		cmd_upstream_test_row(rows, "depot", false,
				      cmd_text(json, "error"));
		return;
	}
	snprintf(text, sizeof(text), "%ju packages, generation %ju",
		 (uintmax_t)cmd_number(json, "packages"),
		 (uintmax_t)cmd_number(json, "generation"));
	cmd_upstream_test_row(rows, "depot", true, text);
	cmd_upstream_test_row(rows, "ranges", ranges,
			      ranges ? "answered as asked"
				     : cmd_text(json, "range_error"));
	snprintf(text, sizeof(text),
		 "%.1f ms, the first %.1f ms, of %ju requests",
		 json_real_value(json_object_get(json, "ms")),
		 json_real_value(json_object_get(json, "first_ms")),
		 (uintmax_t)cmd_number(json, "requests"));
	cmd_upstream_test_row(rows, "latency", true, text);
	cmd_upstream_test_row(rows, "signatures", true,
			      json_is_true(json_object_get(json, "unsigned"))
				  ? "not asked for (--unsigned)"
				  : "asked for");
}

/* -errno of the daemon, in the words of exit codes. */
static int cmd_upstream_test_code(const json_t *json)
{
	int rc = (int)json_integer_value(json_object_get(json, "code"));

	if (rc == -ENOENT)
		return CONTROL_EXIT_BAD_CONTENT;
	if (rc < 0)
		return failure_code(rc);
	if (!json_is_true(json_object_get(json, "ranges")))
		return CONTROL_EXIT_FAILED;
	return CONTROL_EXIT_OK;
}

int cmd_upstream_test(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	json_t *json, *rows;
	int rc, code;

	rc = cmd_get(cli, "/v1/upstreams/test", "name", argv[0], &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/upstreams", "upstreams", "upstream",
			    argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	code = cmd_upstream_test_code(json);
	if (cli->out.json) {
		output_json(json);
	} else {
		rows = json_array();
		cmd_upstream_test_rows(rows, json);
		rc = output_table(&cli->out, cmd_upstream_test_columns,
				  ARRAY_LEN(cmd_upstream_test_columns), rows,
				  &cli->failure);
		json_decref(rows);
	}
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : code;
}
