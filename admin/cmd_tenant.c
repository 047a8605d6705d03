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

/* --- assign -------------------------------------------------------------- */

static void cmd_assign_print(struct cli *cli, const json_t *json)
{
	const json_t *conflicts = json_object_get(json, "conflicts");

	if (cli->out.json) {
		output_json(json);
		return;
	}
	output_line(&cli->out, "assigned at generation %ju",
		    (uintmax_t)cmd_number(json, "generation"));
	for (size_t i = 0; i < json_array_size(conflicts); i++)
		output_line(&cli->out, "  %s",
			    json_string_value(json_array_get(conflicts, i)));
}

/* What is missing, tenant or package?  The answer says it in words only. */
static void cmd_assign_suggest(struct cli *cli, size_t argc,
			       const char *const *argv)
{
	char quoted[PACKAGE_NAME_MAX + 3];

	if (strstr(cli->failure.message, "no tenant")) {
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
		return;
	}
	for (size_t i = 1; i < argc; i++) {
		snprintf(quoted, sizeof(quoted), "\"%s", argv[i]);
		if (!strstr(cli->failure.message, quoted))
			continue;
		cmd_suggest_package(cli, argv[i]);
		return;
	}
}

/* What the guests will want first, here before they can see it. */
static int cmd_assign_prefetch(struct cli *cli, size_t argc,
			       const char *const *argv)
{
	const char *what = args_has(&cli->args, ARGS_ALL) ? "all" : NULL;
	int rc = 0;

	for (size_t i = 1; rc == 0 && i < argc; i++)
		rc = cmd_prefetch_ref(cli, argv[i], what, argv[0]);
	return rc;
}

int cmd_tenant_assign(struct cli *cli, size_t argc, const char *const *argv)
{
	const char *order = args_has(&cli->args, ARGS_ORDER) ? "1" : "0";
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/assign",
	    .query = {{"tenant", argv[0]}, {"order", order}},
	    .is_long = true};
	CLEANUP_FREE char *body = NULL;
	size_t len = 1;
	json_t *json;
	int rc;

	if (args_has(&cli->args, ARGS_PREFETCH) &&
	    cmd_assign_prefetch(cli, argc, argv) < 0)
		return cmd_fail(cli);
	for (size_t i = 1; i < argc; i++)
		len += strlen(argv[i]) + 1;
	body = calloc(1, len);
	for (size_t i = 1; body && i < argc; i++) {
		strcat(body, argv[i]);
		strcat(body, "\n");
	}
	request.body = body;
	request.body_len = len - 1;
	rc = body ? cmd_post(cli, &request, &json)
		  : failure_errno(&cli->failure, -ENOMEM, "assign");
	if (rc == -ENOENT)
		cmd_assign_suggest(cli, argc, argv);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_assign_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}
