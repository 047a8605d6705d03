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
    {"DELTA", "delta_bytes", OUTPUT_SIZE, true},
    {"QUOTA", "delta_quota_bytes", OUTPUT_LIMIT, true},
    {"PAUSED", "paused", OUTPUT_YES, true},
};

/* ",quota=2G", as it may be given to --quota; "" for none. */
static void cmd_export_quota(uint64_t bytes, char *text, size_t cap)
{
	unsigned int unit = 0;

	text[0] = '\0';
	if (bytes == 0)
		return;
	while (unit < 4 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, cap, ",quota=%ju%.*s", (uintmax_t)bytes, unit ? 1 : 0,
		 &"BKMGT"[unit]);
}

/* ",listen=...,secret_path" */
static void cmd_export_access(const json_t *row, char *text, size_t cap)
{
	const char *listen = cmd_text(row, "listen");

	snprintf(text, cap, "%s%s%s", *listen ? ",listen=" : "", listen,
		 json_is_true(json_object_get(row, "secret")) ? ",secret_path"
							      : "");
}

static void cmd_export_print(struct cli *cli, const json_t *rows)
{
	const char *addr, *path;
	char quota[40], access[128];
	const json_t *row;
	size_t width = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		path = cmd_text(json_array_get(rows, i), "export");
		width = MAX(width, strlen(path));
	}
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		addr = cmd_text(row, "addr");
		cmd_export_quota(cmd_number(row, "delta_quota_bytes"), quota,
				 sizeof(quota));
		cmd_export_access(row, access, sizeof(access));
		output_line(
		    &cli->out, "%-*s  %s(rw,%s%s%s%s,gen=%ju%s%s)", (int)width,
		    cmd_text(row, "export"), *addr ? addr : "*",
		    json_is_true(json_object_get(row, "root_squash"))
			? "root_squash"
			: "no_root_squash",
		    json_is_true(json_object_get(row, "devices")) ? ",devices"
								  : "",
		    json_is_true(json_object_get(row, "whiteouts"))
			? ",whiteouts"
			: "",
		    access, (uintmax_t)cmd_number(row, "generation"), quota,
		    json_is_true(json_object_get(row, "paused")) ? ",paused"
								 : "");
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
