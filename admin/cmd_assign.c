/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_assign: what a tenant has selected: packages added, reordered, removed,
 * and on to what their tags name now; under guests that run.
 */
#include <stdio.h>

#include "admin/cmd.h"

/* --- what all of them print ------------------------------------------------
 */

/* Guests' changes of files that change, a line each. */
static void cmd_switch_guests(struct cli *cli, const json_t *json,
			      const char *conflict)
{
	const json_t *rows = json_object_get(json, "guest_changes"), *row;
	size_t i;

	if (json_array_size(rows) == 0)
		return;
	output_line(&cli->out, "guests with own changes on changed files:");
	json_array_foreach(rows, i, row)
	{
		const char *kind = cmd_text(row, "kind");
		const char *then = *kind == 'D'   ? "stays deleted"
				   : *kind == 'A' ? "stays the guest's"
				   : json_is_true(json_object_get(row, "stays"))
				       ? "stays the guest's"
				       : conflict;

		output_line(&cli->out, "  %s  %s %s   package: %s   %s",
			    cmd_text(row, "guest"), kind, cmd_text(row, "path"),
			    cmd_text(row, "package"), then);
	}
}

static void cmd_switch_count(struct cli *cli, const json_t *json,
			     const char *key, const char *one, const char *many)
{
	uint64_t count = cmd_number(json, key);

	if (count > 0)
		output_line(&cli->out, "%s %ju file%s%s", one, (uintmax_t)count,
			    count == 1 ? "" : "s", many);
}

/* What became of them. */
static void cmd_switch_outcome(struct cli *cli, const json_t *json)
{
	char list[PACKAGE_NAME_MAX + 64];

	snprintf(list, sizeof(list), "; list: vdrive tenant conflicts %s",
		 cmd_text(json, "tenant"));
	cmd_switch_count(cli, json, "kept", "kept the guest's version of",
			 list);
	cmd_switch_count(cli, json, "superseded", "the package's version of",
			 list);
	cmd_switch_count(cli, json, "restored",
			 "the guest's version is back of", "");
}

static bool cmd_switch_is_dry(const json_t *json)
{
	return json_is_true(json_object_get(json, "dry_run"));
}

static void cmd_switch_end(struct cli *cli, const json_t *json)
{
	if (cmd_switch_is_dry(json)) {
		cmd_switch_guests(cli, json, "CONFLICT");
		output_line(&cli->out, "dry run: nothing has changed");
		return;
	}
	cmd_switch_outcome(cli, json);
	if (cmd_number(json, "guests") > 0)
		output_line(&cli->out,
			    "%ju guests see it within 60 s (actimeo); open "
			    "files keep their old content until closed",
			    (uintmax_t)cmd_number(json, "guests"));
}

/* One name a line. */
static char *cmd_lines(size_t argc, const char *const *argv, bool names)
{
	size_t len = 1;
	char *body;

	for (size_t i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	body = calloc(1, len);
	for (size_t i = 0; body && i < argc; i++) {
		if (names)
			strncat(body, argv[i], strcspn(argv[i], ":@"));
		else
			strcat(body, argv[i]);
		strcat(body, "\n");
	}
	return body;
}

/* A request of this file: tenant, dry_run, conflicts. */
static struct client_request
cmd_switch_request(const struct cli *cli, const char *path, const char *tenant)
{
	bool dry = args_has(&cli->args, ARGS_DRY_RUN);
	struct client_request request = {
	    .method = "POST",
	    .path = path,
	    .query = {{"tenant", tenant}, {"dry_run", dry ? "1" : "0"}},
	    .is_long = true};

	if (args_has(&cli->args, ARGS_CONFLICTS))
		request.query[2] = (struct client_query){
		    "conflicts", cli->args.value[ARGS_CONFLICTS]};
	else
		request.query[2] = (struct client_query){"conflicts", "fail"};
	return request;
}

static int cmd_switch_post(struct cli *cli, struct client_request *request,
			   const char *body, json_t **json)
{
	request->body = body;
	request->body_len = body ? strlen(body) : 0;
	return body
		   ? cmd_post(cli, request, json)
		   : failure_errno(&cli->failure, -ENOMEM, "%s", request->path);
}

/* --- assign ----------------------------------------------------------------
 */

static void cmd_assign_print(struct cli *cli, const json_t *json)
{
	const json_t *conflicts = json_object_get(json, "conflicts");
	const json_t *notes = json_object_get(json, "notes");

	if (cli->out.json) {
		output_json(json);
		return;
	}
	if (!cmd_switch_is_dry(json))
		output_line(&cli->out, "assigned at generation %ju",
			    (uintmax_t)cmd_number(json, "generation"));
	for (size_t i = 0; i < json_array_size(conflicts); i++)
		output_line(&cli->out, "  %s",
			    json_string_value(json_array_get(conflicts, i)));
	for (size_t i = 0; i < json_array_size(notes); i++)
		output_line(&cli->out, "  note: %s",
			    json_string_value(json_array_get(notes, i)));
	cmd_switch_end(cli, json);
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
	struct client_request request =
	    cmd_switch_request(cli, "/v1/assign", argv[0]);
	CLEANUP_FREE char *body = cmd_lines(argc - 1, argv + 1, false);
	struct client_query *query = &request.query[3];
	json_t *json;
	int rc;

	*query++ = (struct client_query){
	    "order", args_has(&cli->args, ARGS_ORDER) ? "1" : "0"};
	*query++ = (struct client_query){
	    "mode", args_has(&cli->args, ARGS_ONLY) ? "only" : "add"};
	if (args_has(&cli->args, ARGS_PREFER))
		*query++ = (struct client_query){"prefer",
						 cli->args.value[ARGS_PREFER]};
	if (args_has(&cli->args, ARGS_PREFETCH) &&
	    !args_has(&cli->args, ARGS_DRY_RUN) &&
	    cmd_assign_prefetch(cli, argc, argv) < 0)
		return cmd_fail(cli);
	rc = cmd_switch_post(cli, &request, body, &json);
	if (rc == -ENOENT)
		cmd_assign_suggest(cli, argc, argv);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_assign_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_tenant_unassign(struct cli *cli, size_t argc, const char *const *argv)
{
	struct client_request request =
	    cmd_switch_request(cli, "/v1/unassign", argv[0]);
	CLEANUP_FREE char *body = cmd_lines(argc - 1, argv + 1, true);
	json_t *json;
	int rc = cmd_leftovers(cli, argv[0], argv + 1, argc - 1);

	if (rc == 0)
		rc = cmd_switch_post(cli, &request, body, &json);
	if (rc == -ENOENT && strstr(cli->failure.message, "no tenant"))
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_assign_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- upgrade ---------------------------------------------------------------
 */

static void cmd_upgrade_print(struct cli *cli, const json_t *json)
{
	const json_t *changes = json_object_get(json, "changes"), *row;
	uintmax_t from = cmd_number(json, "from");
	char bytes[OUTPUT_NUMBER_MAX];
	size_t i;

	if (json_array_size(changes) == 0) {
		output_line(&cli->out, "generation %ju is what the tags name",
			    from);
		return;
	}
	output_line(&cli->out, "generation %ju -> %ju", from, from + 1);
	json_array_foreach(changes, i, row)
	{
		output_size(bytes, cmd_number(row, "fetch_bytes"),
			    cli->out.exact);
		output_line(&cli->out,
			    "  %s:%s  %s -> %s   %ju files change, %s to fetch",
			    cmd_text(row, "name"), cmd_text(row, "tag"),
			    cmd_text(row, "from_version"),
			    cmd_text(row, "to_version"),
			    (uintmax_t)cmd_number(row, "files"), bytes);
	}
	cmd_switch_end(cli, json);
}

/* All that changes is here before anybody sees it; what cannot be had leaves
 * everything as it is. */
static int cmd_upgrade_prefetch(struct cli *cli,
				const struct client_request *request,
				const char *body, const char *tenant)
{
	struct client_request look = *request;
	const json_t *row;
	json_t *json;
	size_t i;
	int rc;

	look.query[1].value = "1"; /* dry run */
	rc = cmd_switch_post(cli, &look, body, &json);
	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(json, "changes"), i, row)
	{
		char ref[PACKAGE_NAME_MAX + DIGEST_HEX_LEN + 16];

		snprintf(ref, sizeof(ref), "%s@sha256:%s",
			 cmd_text(row, "name"), cmd_text(row, "to"));
		rc = cmd_prefetch_ref(cli, ref, "all", tenant);
		if (rc < 0)
			break;
	}
	json_decref(json);
	return rc;
}

int cmd_tenant_upgrade(struct cli *cli, size_t argc, const char *const *argv)
{
	struct client_request request =
	    cmd_switch_request(cli, "/v1/tenants/upgrade", argv[0]);
	CLEANUP_FREE char *body = cmd_lines(argc - 1, argv + 1, true);
	json_t *json;
	int rc = 0;

	if (args_has(&cli->args, ARGS_PREFETCH) &&
	    !args_has(&cli->args, ARGS_DRY_RUN))
		rc = cmd_upgrade_prefetch(cli, &request, body, argv[0]);
	if (rc == 0)
		rc = cmd_switch_post(cli, &request, body, &json);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		cmd_upgrade_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_tenant_rollback(struct cli *cli, size_t argc UNUSED,
			const char *const *argv)
{
	struct client_request request =
	    cmd_switch_request(cli, "/v1/tenants/rollback", argv[0]);
	json_t *json;

	if (args_has(&cli->args, ARGS_TO))
		request.query[3] =
		    (struct client_query){"to", cli->args.value[ARGS_TO]};
	if (cmd_post(cli, &request, &json) < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
	} else {
		if (!cmd_switch_is_dry(json))
			output_line(&cli->out, "generation %ju = %ju",
				    (uintmax_t)cmd_number(json, "generation"),
				    (uintmax_t)cmd_number(json, "from"));
		cmd_switch_end(cli, json);
	}
	json_decref(json);
	return CONTROL_EXIT_OK;
}
