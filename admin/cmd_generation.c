/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_generation: a tenant's selections over time.
 */
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_history_columns[] = {
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"SINCE", "since", OUTPUT_TIME, false},
    {"PACKAGES", "packages", OUTPUT_TEXT, false},
};

int cmd_tenant_history(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	json_t *json, *rows, *row;
	size_t i;
	int rc;

	rc = cmd_get(cli, "/v1/tenants/history", "tenant", argv[0], &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	rows = json_object_get(json, "generations");
	json_array_foreach(rows, i, row) json_object_set_new(
	    row, "packages",
	    cmd_selection_cells(json_object_get(row, "packages")));
	rc = output_table(&cli->out, cmd_history_columns,
			  ARRAY_LEN(cmd_history_columns), rows, &cli->failure);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

int cmd_tenant_rollback(struct cli *cli, size_t argc UNUSED,
			const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/tenants/rollback",
					 .query = {{"tenant", argv[0]}},
					 .is_long = true};
	json_t *json;
	int rc;

	if (args_has(&cli->args, ARGS_TO)) {
		request.query[1].key = "to";
		request.query[1].value = cli->args.value[ARGS_TO];
	}
	rc = cmd_post(cli, &request, &json);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "generation %ju = %ju",
			    (uintmax_t)cmd_number(json, "generation"),
			    (uintmax_t)cmd_number(json, "from"));
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- upgrade ------------------------------------------------------------- */

static void cmd_upgrade_print(struct cli *cli, const json_t *json)
{
	const json_t *changes = json_object_get(json, "changes"), *row;
	size_t i;

	if (json_array_size(changes) == 0) {
		output_line(&cli->out, "generation %ju is what the tags name",
			    (uintmax_t)cmd_number(json, "generation"));
		return;
	}
	output_line(&cli->out, "generation %ju%s",
		    (uintmax_t)cmd_number(json, "generation"),
		    json_is_true(json_object_get(json, "dry_run"))
			? " would be followed by one with"
			: "");
	json_array_foreach(changes, i, row) output_line(
	    &cli->out, "  %s:%s  %.12s -> %.12s  version %s",
	    cmd_text(row, "name"), cmd_text(row, "tag"), cmd_text(row, "from"),
	    cmd_text(row, "to"), cmd_text(row, "version"));
}

/* One name a line, without the tag: what the selection calls it. */
static char *cmd_upgrade_names(size_t argc, const char *const *argv)
{
	size_t len = 1;
	char *body;

	for (size_t i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	body = calloc(1, len);
	for (size_t i = 0; body && i < argc; i++) {
		strncat(body, argv[i], strcspn(argv[i], ":"));
		strcat(body, "\n");
	}
	return body;
}

int cmd_tenant_upgrade(struct cli *cli, size_t argc, const char *const *argv)
{
	const char *dry = args_has(&cli->args, ARGS_DRY_RUN) ? "1" : "0";
	CLEANUP_FREE char *body = cmd_upgrade_names(argc - 1, argv + 1);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/tenants/upgrade",
	    .query = {{"tenant", argv[0]}, {"dry_run", dry}},
	    .is_long = true};
	json_t *json;
	int rc;

	request.body = body;
	request.body_len = body ? strlen(body) : 0;
	rc = body ? cmd_post(cli, &request, &json)
		  : failure_errno(&cli->failure, -ENOMEM, "upgrade");
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		cmd_upgrade_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}
