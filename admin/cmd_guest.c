/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_guest: VMs, and the line that mounts their drive.  How one moves to
 * another host is in cmd_move.c.
 */
#include <ctype.h>
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_guest_columns[] = {
    {"GUEST", "guest", OUTPUT_TEXT, false},
    {"ADDRESS", "addr", OUTPUT_TEXT, false},
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"DELTA", "delta_bytes", OUTPUT_SIZE, false},
    {"QUOTA", "delta_quota_bytes", OUTPUT_LIMIT, false},
    {"FILES", "delta_files", OUTPUT_COUNT, false},
    {"PAUSED", "paused", OUTPUT_YES, false},
    {"FILES QUOTA", "delta_quota_files", OUTPUT_LIMIT_COUNT, true},
    {"LAYERS", "layers", OUTPUT_COUNT, true},
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

int cmd_guest_add(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/guests",
	    .query = {
		{"name", argv[0]},
		{"addr", cli->args.value[ARGS_ADDR]},
		{"devices", args_has(&cli->args, ARGS_DEVICES) ? "1" : "0"},
		{"squash", args_has(&cli->args, ARGS_ROOT_SQUASH) ? "1" : "0"},
		{"whiteouts", NULL}}};
	char tenant[PACKAGE_NAME_MAX + 1];
	struct cmd_quota quota;
	json_t *json;
	int rc;

	if (cmd_quota(cli, &quota, &request.query[5]) < 0 ||
	    cmd_whiteouts(cli, &request.query[4].value) < 0)
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
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out,
			    "ok  guest %s; its line: vdrive guest fstab %s",
			    argv[0], argv[0]);
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

int cmd_guest_set(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/guests/quota",
					 .query = {{"name", argv[0]}}};
	struct client_request whiteouts = {
	    .method = "POST",
	    .path = "/v1/guests/whiteouts",
	    .query = {{"name", argv[0]}, {"show", NULL}}};
	struct cmd_quota quota;
	json_t *json;
	bool quotas;

	if (cmd_quota(cli, &quota, &request.query[1]) < 0)
		return cmd_fail(cli);
	if (cmd_whiteouts(cli, &whiteouts.query[1].value) < 0)
		return cmd_fail(cli);
	quotas = request.query[1].value || request.query[2].value;
	if (!quotas && !whiteouts.query[1].value)
		return cmd_usage(cli,
				 "--quota 2G, --quota-files 100000, none; "
				 "--whiteouts on",
				 "what shall be set for %s?", argv[0]);
	if (!cmd_guest_is_here(cli, argv[0]))
		return cmd_fail(cli);
	if (!quotas)
		return cmd_done(cli, &whiteouts, "ok  guest %s", argv[0]);
	if (whiteouts.query[1].value) {
		if (cmd_post(cli, &whiteouts, &json) < 0)
			return cmd_fail(cli);
		json_decref(json);
	}
	return cmd_done(cli, &request, "ok  guest %s", argv[0]);
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

/* --- fstab --------------------------------------------------------------- */

struct cmd_fstab {
	char server[256]; /* as in the line: IPv6 in brackets */
	char port[8];
	const char *mountpoint; /* borrows */
	bool is_v6;
	bool devices;
};

static bool cmd_fstab_is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 ||
	       strcmp(host, "") == 0;
}

/* Letters, digits, dots and colons: nothing that breaks the line. */
static bool cmd_fstab_host_ok(const char *host)
{
	for (const char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".:-_[]%", *p))
			return false;
	return *host != '\0';
}

static int cmd_fstab_server(struct cli *cli, struct cmd_fstab *fstab,
			    const char *listen)
{
	const char *server = cli->args.value[ARGS_SERVER];
	const char *colon = strrchr(listen, ':');
	unsigned long port;
	char host[256];

	if (!colon || args_number(colon + 1, 65535, &port) < 0)
		return failure_set(&cli->failure, -EPROTO, CONTROL_EXIT_FAILED,
				   "the daemon serves no port: \"%s\"", listen);
	snprintf(fstab->port, sizeof(fstab->port), "%lu", port);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	if (!server && cmd_fstab_is_any(host)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "the daemon listens on every address (%s); which "
			    "one does the guest see?",
			    listen);
		failure_hint(&cli->failure, "try: --server ADDRESS");
		return -EINVAL;
	}
	if (server && !cmd_fstab_host_ok(server)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--server: \"%s\" is no address or name", server);
		failure_hint(&cli->failure, "try: --server 10.20.0.1");
		return -EINVAL;
	}
	if (server)
		snprintf(host, sizeof(host), "%s", server);
	fstab->is_v6 = strchr(host, ':') != NULL;
	snprintf(fstab->server, sizeof(fstab->server),
		 fstab->is_v6 && host[0] != '[' ? "[%.250s]" : "%.250s", host);
	return 0;
}

static int cmd_fstab_mountpoint(struct cli *cli, struct cmd_fstab *fstab)
{
	const char *path = cli->args.value[ARGS_MOUNTPOINT];
	bool ok;

	fstab->mountpoint = path ? path : "/sw";
	ok = fstab->mountpoint[0] == '/';
	for (const char *p = fstab->mountpoint; *p; p++)
		ok = ok && (unsigned char)*p > ' ' && *p != '\\' && *p != 0x7f;
	if (ok)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--mountpoint: \"%s\" must begin with / and have no spaces",
		    fstab->mountpoint);
	failure_hint(&cli->failure, "try: --mountpoint /sw");
	return -EINVAL;
}

/* The guest must be there, and may be allowed devices. */
static int cmd_fstab_guest(struct cli *cli, struct cmd_fstab *fstab,
			   const char *name)
{
	json_t *row;
	int rc;

	rc = cmd_guest_row(cli, name, &row);
	if (rc < 0)
		return rc;
	fstab->devices = json_is_true(json_object_get(row, "devices"));
	json_decref(row);
	return 0;
}

static void cmd_fstab_print(struct cli *cli, const struct cmd_fstab *fstab,
			    const char *name)
{
	const char *proto = fstab->is_v6 ? "tcp6" : "tcp";
	char options[512];
	json_t *json;

	snprintf(options, sizeof(options),
		 "vers=3,proto=%s,port=%s,mountport=%s,mountproto=%s,nolock,"
		 "hard,nosuid,%sactimeo=30,_netdev,nofail,x-systemd.automount,"
		 "x-systemd.mount-timeout=30s",
		 proto, fstab->port, fstab->port, proto,
		 fstab->devices ? "" : "nodev,");
	if (!cli->out.json) {
		printf("%s:/%s  %s  nfs  %s  0  0\n", fstab->server, name,
		       fstab->mountpoint, options);
		return;
	}
	json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "schema",
			 "guest-fstab/1", "guest", name, "server",
			 fstab->server, "port", fstab->port, "mountpoint",
			 fstab->mountpoint, "options", options);
	if (json)
		output_json(json);
	json_decref(json);
}

int cmd_guest_fstab(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	struct cmd_fstab fstab = {.devices = false};
	json_t *status;
	int rc;

	rc = cmd_get(cli, "/v1/status", NULL, NULL, &status);
	if (rc < 0)
		return cmd_fail(cli);
	rc = cmd_fstab_guest(cli, &fstab, argv[0]);
	if (rc == 0)
		rc = cmd_fstab_server(cli, &fstab, cmd_text(status, "listen"));
	if (rc == 0)
		rc = cmd_fstab_mountpoint(cli, &fstab);
	json_decref(status);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_fstab_print(cli, &fstab, argv[0]);
	return CONTROL_EXIT_OK;
}
