/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_export: what is offered over NFS, as exportfs -v would print it.
 */
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_export_columns[] = {
    {"EXPORT", "export", OUTPUT_TEXT, false},
    {"CLIENT", "addr", OUTPUT_TEXT, false},
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"ROOT SQUASH", "root_squash", OUTPUT_YES, false},
    {"DEVICES", "devices", OUTPUT_YES, false},
};

static void cmd_export_print(struct cli *cli, const json_t *rows)
{
	const char *addr, *path;
	const json_t *row;
	size_t width = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		path = cmd_text(json_array_get(rows, i), "export");
		width = MAX(width, strlen(path));
	}
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		addr = cmd_text(row, "addr");
		output_line(&cli->out, "%-*s  %s(rw,%s%s,gen=%ju)", (int)width,
			    cmd_text(row, "export"), *addr ? addr : "*",
			    json_is_true(json_object_get(row, "root_squash"))
				? "root_squash"
				: "no_root_squash",
			    json_is_true(json_object_get(row, "devices"))
				? ",devices"
				: "",
			    (uintmax_t)cmd_number(row, "generation"));
	}
}

int cmd_export_list(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv UNUSED)
{
	json_t *json;

	if (cli->out.json || cli->out.no_header || cli->out.columns)
		return cmd_list(cli, "/v1/exports", "exports",
				cmd_export_columns,
				ARRAY_LEN(cmd_export_columns), "no exports");
	if (cmd_get(cli, "/v1/exports", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	cmd_export_print(cli, json_object_get(json, "exports"));
	json_decref(json);
	return CONTROL_EXIT_OK;
}
