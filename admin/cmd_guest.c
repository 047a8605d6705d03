/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_guest: VMs, and the line that mounts their drive.
 */
#include <ctype.h>
#include <stdio.h>

#include "admin/cmd.h"

static const struct output_column cmd_guest_columns[] = {
    {"GUEST", "guest", OUTPUT_TEXT, false},
    {"ADDRESS", "addr", OUTPUT_TEXT, false},
    {"GEN", "generation", OUTPUT_COUNT, false},
    {"DELTA", "delta_bytes", OUTPUT_SIZE, false},
    {"FILES", "delta_files", OUTPUT_COUNT, false},
    {"DEVICES", "devices", OUTPUT_YES, true},
    {"ROOT SQUASH", "root_squash", OUTPUT_YES, true},
    {"EXPORT", "export_id", OUTPUT_COUNT, true},
    {"TENANT", "tenant", OUTPUT_TEXT, true},
};

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
		{"squash",
		 args_has(&cli->args, ARGS_ROOT_SQUASH) ? "1" : "0"}}};
	char tenant[PACKAGE_NAME_MAX + 1];
	json_t *json;
	int rc;

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
	const json_t *rows, *row;
	bool found = false;
	json_t *json;
	int rc;

	rc = cmd_get(cli, "/v1/guests", NULL, NULL, &json);
	if (rc < 0)
		return rc;
	rows = json_object_get(json, "guests");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		if (strcmp(cmd_text(row, "guest"), name) != 0)
			continue;
		found = true;
		fstab->devices = json_is_true(json_object_get(row, "devices"));
	}
	json_decref(json);
	if (found)
		return 0;
	failure_set(&cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
		    "there is no guest %s", name);
	failure_hint(&cli->failure, "try: vdrive guest list");
	cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	return -ENOENT;
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
