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
