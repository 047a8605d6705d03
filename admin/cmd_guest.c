/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_guest: VMs.  What makes them mount their drives is in cmd_mount.c, how
 * one moves to another host in cmd_move.c.
 */
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_guest_columns[] = {
    {"GUEST", "guest", OUTPUT_TEXT, false},
    {"ADDRESS", "addr", OUTPUT_TEXT, false},
    {"LISTEN", "listen", OUTPUT_TEXT, true},
    {"SECRET", "secret", OUTPUT_YES, true},
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"DELTA", "delta_bytes", OUTPUT_SIZE, false},
    {"QUOTA", "delta_quota_bytes", OUTPUT_LIMIT, false},
    {"FILES", "delta_files", OUTPUT_COUNT, false},
    {"PAUSED", "paused", OUTPUT_YES, false},
    {"FILES QUOTA", "delta_quota_files", OUTPUT_LIMIT_COUNT, true},
    {"LAYERS", "layers", OUTPUT_COUNT, true},
    {"OFFLINE", "offline", OUTPUT_YES, true},
    {"DEVICES", "devices", OUTPUT_YES, true},
    {"ROOT SQUASH", "root_squash", OUTPUT_YES, true},
    {"WHITEOUTS", "whiteouts", OUTPUT_YES, true},
    {"EXPORT", "export_id", OUTPUT_COUNT, true},
    {"TENANT", "tenant", OUTPUT_TEXT, true},
};

int cmd_whiteouts(struct cli *cli, const char **value)
{
	const char *text = cli->args.value[ARGS_WHITEOUTS];

	*value = NULL;
	if (!text)
		return 0;
	if (strcmp(text, "on") == 0)
		*value = "1";
	else if (strcmp(text, "off") == 0)
		*value = "0";
	else
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--whiteouts: \"%s\" is neither on nor off", text);
	return *value ? 0 : -EINVAL;
}

int cmd_guest_list(struct cli *cli, size_t argc UNUSED,
		   const char *const *argv UNUSED)
{
	return cmd_list(cli, "/v1/guests", "guests", cmd_guest_columns,
			ARRAY_LEN(cmd_guest_columns),
			"no guests yet; try: vdrive guest add TENANT/GUEST");
}

static const char *cmd_or_none(const char *text, const char *none)
{
	return text && strcmp(text, none) == 0 ? "" : text;
}

void cmd_access_query(const struct cli *cli, struct client_query *query)
{
	const struct args *args = &cli->args;
	const char *secret = NULL;

	if (args_has(args, ARGS_SECRET_PATH))
		secret = "new";
	else if (args_has(args, ARGS_NO_SECRET_PATH))
		secret = "0";
	query[0] = (struct client_query){
	    "addr", cmd_or_none(args->value[ARGS_ADDR], "any")};
	query[1] = (struct client_query){
	    "listen", cmd_or_none(args->value[ARGS_LISTEN], "none")};
	query[2] = (struct client_query){"secret", secret};
}

/* How a guest that has just been made or changed is to be mounted. */
void cmd_access_print(struct cli *cli, const json_t *json)
{
	const char *name = cmd_text(json, "guest");

	if (cli->out.json) {
		output_json(json);
		return;
	}
	output_line(&cli->out, "ok  guest %s; its line: vdrive guest fstab %s",
		    name, name);
	if (*cmd_text(json, "listen"))
		output_line(&cli->out, "  it is served on %s alone",
			    cmd_text(json, "listen"));
	if (*cmd_text(json, "secret_path"))
		output_line(&cli->out,
			    "  its export is %s: who knows it may mount it",
			    cmd_text(json, "secret_path"));
}

int cmd_guest_add(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests",
	    .query = {
		{"name", argv[0]},
		{"devices", args_has(&cli->args, ARGS_DEVICES) ? "1" : "0"},
		{"squash", args_has(&cli->args, ARGS_ROOT_SQUASH) ? "1" : "0"},
		{"whiteouts", NULL}}};
	char tenant[PACKAGE_NAME_MAX + 1];
	struct cmd_quota quota;
	json_t *json;
	int rc;

	cmd_access_query(cli, &request.query[4]);
	if (cmd_quota(cli, &quota, &request.query[7]) < 0 ||
	    cmd_whiteouts(cli, &request.query[3].value) < 0)
		return cmd_fail(cli);
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT) {
		snprintf(tenant, sizeof(tenant), "%.*s",
			 (int)MIN(strcspn(argv[0], "/"), sizeof(tenant) - 1),
			 argv[0]);
		cmd_suggest(cli, "/v1/tenants", "tenants", "tenant", tenant);
	}
	if (rc < 0)
		return cmd_fail(cli);
	cmd_access_print(cli, json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- set, pause, resume, remove ------------------------------------------ */

static bool cmd_guest_is_here(struct cli *cli, const char *name)
{
	json_t *row;

	if (cmd_guest_row(cli, name, &row) < 0)
		return false;
	json_decref(row);
	return true;
}

/* One of the requests of `set`, if it asks for anything; *json, the answer of
 * the last that did, is replaced. */
static int cmd_guest_set_one(struct cli *cli,
			     const struct client_request *request,
			     json_t **json)
{
	bool asked = false;
	json_t *answer;

	for (unsigned int i = 1; request->query[i].key; i++)
		asked |= request->query[i].value != NULL;
	if (!asked)
		return 0;
	if (cmd_post(cli, request, &answer) < 0)
		return -EIO; /* said */
	json_decref(*json);
	*json = answer;
	return 0;
}

int cmd_guest_set(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request quotas = {.method = "POST",
					.path = "/v1/guests/quota",
					.query = {{"name", argv[0]}}};
	struct client_request whiteouts = {
	    .method = "POST",
	    .path = "/v1/guests/whiteouts",
	    .query = {{"name", argv[0]}, {"show", NULL}}};
	struct client_request access = {.method = "POST",
					.path = "/v1/guests/access",
					.query = {{"name", argv[0]}}};
	struct cmd_quota quota;
	json_t *json = NULL;
	int rc;

	cmd_access_query(cli, &access.query[1]);
	if (cmd_quota(cli, &quota, &quotas.query[1]) < 0 ||
	    cmd_whiteouts(cli, &whiteouts.query[1].value) < 0 ||
	    !cmd_guest_is_here(cli, argv[0]))
		return cmd_fail(cli);
	rc = cmd_guest_set_one(cli, &quotas, &json);
	if (rc == 0)
		rc = cmd_guest_set_one(cli, &whiteouts, &json);
	if (rc == 0)
		rc = cmd_guest_set_one(cli, &access, &json);
	if (rc == 0 && !json)
		return cmd_usage(cli,
				 "--quota 2G, --addr ADDRESS, --whiteouts on; "
				 "vdrive help guest set shows all",
				 "what shall be set for %s?", argv[0]);
	if (rc == 0 && strcmp(cmd_text(json, "schema"), "guest-access/1") == 0)
		cmd_access_print(cli, json);
	else if (rc == 0 && cli->out.json)
		output_json(json);
	else if (rc == 0)
		output_line(&cli->out, "ok  guest %s", argv[0]);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

static int cmd_guest_set_paused(struct cli *cli, const char *name, bool pause)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests/pause",
	    .query = {{"name", name}, {"pause", pause ? "1" : "0"}}};

	if (!cmd_guest_is_here(cli, name))
		return cmd_fail(cli);
	return cmd_done(cli, &request, "ok  guest %s is %s", name,
			pause ? "paused: its calls wait" : "served");
}

int cmd_guest_pause(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	return cmd_guest_set_paused(cli, argv[0], true);
}

int cmd_guest_resume(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	return cmd_guest_set_paused(cli, argv[0], false);
}

static int cmd_guest_remove_dry(struct cli *cli, const char *name,
				const json_t *row, const char *size)
{
	json_t *json;

	if (!cli->out.json) {
		output_line(&cli->out,
			    "would remove guest %s and its delta: %s, %ju "
			    "objects",
			    name, size,
			    (uintmax_t)cmd_number(row, "delta_files"));
		return CONTROL_EXIT_OK;
	}
	json = json_pack("{s:s, s:s, s:b, s:O}", "schema", "guest-remove/1",
			 "guest", name, "dry_run", 1, "delta_bytes",
			 json_object_get(row, "delta_bytes"));
	output_json(json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_guest_remove(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests/remove",
	    .query = {{"name", argv[0]}, {"force", "1"}}};
	char size[OUTPUT_NUMBER_MAX];
	uintmax_t files;
	json_t *row;
	int code = -1;

	if (cmd_guest_row(cli, argv[0], &row) < 0)
		return cmd_fail(cli);
	output_size(size, cmd_number(row, "delta_bytes"), cli->out.exact);
	files = (uintmax_t)cmd_number(row, "delta_files");
	if (args_has(&cli->args, ARGS_DRY_RUN))
		code = cmd_guest_remove_dry(cli, argv[0], row, size);
	json_decref(row);
	if (code >= 0)
		return code;
	if (cmd_confirm(cli,
			"guest %s and its delta (%s, %ju objects) go for good",
			argv[0], size, files) < 0)
		return cmd_fail(cli);
	return cmd_done(cli, &request, "ok  guest %s is gone, with %s", argv[0],
			size);
}
