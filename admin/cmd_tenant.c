/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_tenant: customers and their selections.
 */
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_tenant_columns[] = {
    {"TENANT", "tenant", OUTPUT_TEXT, false},
    {"GUESTS", "guests", OUTPUT_COUNT, false},
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"DELTA", "delta_bytes", OUTPUT_SIZE, false},
    {"QUOTA", "delta_quota_bytes", OUTPUT_LIMIT, false},
    {"PACKAGES", "packages", OUTPUT_TEXT, false},
    {"FILES", "delta_files", OUTPUT_COUNT, true},
    {"FILES QUOTA", "delta_quota_files", OUTPUT_LIMIT_COUNT, true},
};

/* Packages as objects become "name:tag", for a cell. */
json_t *cmd_selection_cells(const json_t *packages)
{
	json_t *list = json_array();
	const json_t *package;
	const char *tag;

	for (size_t i = 0; list && i < json_array_size(packages); i++) {
		package = json_array_get(packages, i);
		tag = cmd_text(package, "tag");
		if (*tag)
			json_array_append_new(
			    list, json_sprintf("%s:%s",
					       cmd_text(package, "name"), tag));
		else
			json_array_append_new(
			    list, json_sprintf("%s@sha256:%.12s",
					       cmd_text(package, "name"),
					       cmd_text(package, "revision")));
	}
	return list;
}

int cmd_tenant_list(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv UNUSED)
{
	json_t *json, *rows, *row;
	size_t i;
	int rc;

	if (cmd_get(cli, "/v1/tenants", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	rows = json_object_get(json, "tenants");
	if (cli->out.json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	json_array_foreach(rows, i, row) json_object_set_new(
	    row, "packages",
	    cmd_selection_cells(json_object_get(row, "packages")));
	rc = output_table(&cli->out, cmd_tenant_columns,
			  ARRAY_LEN(cmd_tenant_columns), rows, &cli->failure);
	if (rc == 0 && json_array_size(rows) == 0 && !cli->out.quiet &&
	    !cli->out.no_header)
		fputs("no tenants yet; try: vdrive tenant create NAME\n",
		      stderr);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

int cmd_tenant_create(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/tenants",
					 .query = {{"name", argv[0]}}};
	struct cmd_quota quota;

	if (cmd_quota(cli, &quota, &request.query[1]) < 0)
		return cmd_fail(cli);
	return cmd_done(cli, &request, "ok  tenant %s", argv[0]);
}

int cmd_tenant_set(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/tenants/quota",
					 .query = {{"name", argv[0]}}};
	struct cmd_quota quota;
	json_t *json;
	int rc;

	if (cmd_quota(cli, &quota, &request.query[1]) < 0)
		return cmd_fail(cli);
	if (!request.query[1].value && !request.query[2].value)
		return cmd_usage(cli,
				 "--quota 2G, --quota-files 100000 or none",
				 "what shall be set for %s?", argv[0]);
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  tenant %s", argv[0]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- remove --------------------------------------------------------------- */

/* "its quota, 3 generations and its name in 2 lists of package entitle" */
static void cmd_tenant_goes(const json_t *json, char *text, size_t cap)
{
	uintmax_t generations = (uintmax_t)cmd_number(json, "generations");
	uintmax_t lists = (uintmax_t)cmd_number(json, "entitlements");
	size_t len;

	snprintf(text, cap, "its quota, %ju generation%s", generations,
		 generations == 1 ? "" : "s");
	len = strlen(text);
	if (lists > 0)
		snprintf(text + len, cap - len,
			 ", its name in %ju list%s of package entitle", lists,
			 lists == 1 ? "" : "s");
}

int cmd_tenant_remove(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/tenants/remove",
	    .query = {{"name", argv[0]}, {"dry_run", "1"}}};
	char goes[128];
	json_t *json;
	/* Guests in the way are told before anybody is asked. */
	int rc = cmd_post(cli, &request, &json);

	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_tenant_goes(json, goes, sizeof(goes));
	if (dry_run && cli->out.json)
		output_json(json);
	else if (dry_run)
		output_line(&cli->out, "would remove tenant %s: %s", argv[0],
			    goes);
	json_decref(json);
	if (dry_run)
		return CONTROL_EXIT_OK;
	if (cmd_confirm(cli, "tenant %s goes for good: %s", argv[0], goes) < 0)
		return cmd_fail(cli);
	request.query[1].value = "0";
	return cmd_done(cli, &request, "ok  tenant %s is gone", argv[0]);
}
