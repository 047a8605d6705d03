/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_tenant_export: a tenant and its guests as a file for `vdrive apply`.
 */
#include <stdio.h>

#include "admin/apply_plan.h"

static void export_text(FILE *out, const json_t *row, enum apply_key key)
{
	char now[APPLY_TEXT_MAX], text[APPLY_TEXT_MAX];

	apply_now(row, key, now, sizeof(now));
	apply_shown(key, now, text, sizeof(text));
	fprintf(out, "%s = %s\n", apply_key_name(key), text);
}

static void export_yes(FILE *out, const json_t *row, enum apply_key key)
{
	char now[APPLY_TEXT_MAX];

	apply_now(row, key, now, sizeof(now));
	if (strcmp(now, "1") == 0)
		fprintf(out, "%s = yes\n", apply_key_name(key));
}

static void export_tenant(FILE *out, const json_t *row)
{
	json_t *cells = cmd_selection_cells(json_object_get(row, "packages"));
	const json_t *packages = json_object_get(row, "packages"), *package;

	fprintf(out, "[tenant %s]\n", cmd_text(row, "tenant"));
	export_text(out, row, APPLY_QUOTA);
	export_text(out, row, APPLY_QUOTA_FILES);
	for (size_t i = 0; i < json_array_size(packages); i++) {
		package = json_array_get(packages, i);
		/* A cell cuts digests. */
		if (*cmd_text(package, "tag"))
			fprintf(out, "packages = %s\n",
				json_string_value(json_array_get(cells, i)));
		else
			fprintf(out, "packages = %s@sha256:%s\n",
				cmd_text(package, "name"),
				cmd_text(package, "revision"));
	}
	json_decref(cells);
}

static void export_guest(FILE *out, const json_t *row)
{
	fprintf(out, "\n[guest %s]\n", cmd_text(row, "guest"));
	export_text(out, row, APPLY_ADDR);
	export_text(out, row, APPLY_LISTEN);
	export_yes(out, row, APPLY_SECRET_PATH);
	export_yes(out, row, APPLY_DEVICES);
	export_yes(out, row, APPLY_ROOT_SQUASH);
	export_yes(out, row, APPLY_WHITEOUTS);
	export_text(out, row, APPLY_QUOTA);
	export_text(out, row, APPLY_QUOTA_FILES);
}

int cmd_tenant_export(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	CLEANUP(apply_clear) struct apply a = {.cli = cli};
	const json_t *row, *rows;

	if (cmd_get(cli, "/v1/tenants", NULL, NULL, &a.tenants) < 0 ||
	    cmd_get(cli, "/v1/guests", NULL, NULL, &a.guests) < 0)
		return cmd_fail(cli);
	row = apply_row(a.tenants, "tenants", "tenant", argv[0]);
	if (!row) {
		failure_set(&cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
			    "there is no tenant %s", argv[0]);
		failure_hint(&cli->failure, "try: vdrive tenant list");
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
		return cmd_fail(cli);
	}
	export_tenant(stdout, row);
	rows = json_object_get(a.guests, "guests");
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (strcmp(cmd_text(json_array_get(rows, i), "tenant"),
			   argv[0]) == 0)
			export_guest(stdout, json_array_get(rows, i));
	return CONTROL_EXIT_OK;
}
