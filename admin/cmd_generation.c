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

/* --- guests' changes that met the packages' ----------------------------------
 */

static const struct output_column cmd_conflicts_columns[] = {
    {"GUEST", "guest", OUTPUT_TEXT, false},
    {"STATE", "state", OUTPUT_TEXT, false},
    {"PATH", "path", OUTPUT_TEXT, false},
    {"SIZE", "bytes", OUTPUT_SIZE, false},
    {"SINCE", "since", OUTPUT_TIME, false},
};

int cmd_tenant_conflicts(struct cli *cli, size_t argc UNUSED,
			 const char *const *argv)
{
	json_t *json, *rows;
	int rc;

	rc = cmd_get(cli, "/v1/tenants/conflicts", "tenant", argv[0], &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	rows = json_object_get(json, "changes");
	rc =
	    output_table(&cli->out, cmd_conflicts_columns,
			 ARRAY_LEN(cmd_conflicts_columns), rows, &cli->failure);
	if (rc == 0 && json_array_size(rows) == 0 && !cli->out.quiet &&
	    !cli->out.no_header)
		fputs("no change of a guest has met one of the packages'\n",
		      stderr);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
