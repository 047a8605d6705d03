/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount: what makes a guest mount its drive, to paste.
 */
#include <ctype.h>
#include <stdio.h>

#include "admin/cmd_mount.h"

static bool cmd_mount_is_any(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 ||
	       strcmp(host, "") == 0;
}

/* Letters, digits, dots and colons: nothing that breaks the line. */
static bool cmd_mount_host_ok(const char *host)
{
	for (const char *p = host; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(".:-_[]%", *p))
			return false;
	return *host != '\0';
}

static int cmd_mount_server(struct cli *cli, struct cmd_mount *mount,
			    const char *listen)
{
	const char *server = cli->args.value[ARGS_SERVER];
	const char *colon = strrchr(listen, ':');
	unsigned long port;
	char host[256];

	if (!colon || args_number(colon + 1, 65535, &port) < 0)
		return failure_set(&cli->failure, -EPROTO, CONTROL_EXIT_FAILED,
				   "the daemon serves no port: \"%s\"", listen);
	snprintf(mount->port, sizeof(mount->port), "%lu", port);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
	if (!server && cmd_mount_is_any(host)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "the daemon listens on every address (%s); which "
			    "one does the guest see?",
			    listen);
		failure_hint(&cli->failure, "try: --server ADDRESS");
		return -EINVAL;
	}
	if (server && !cmd_mount_host_ok(server)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "--server: \"%s\" is no address or name", server);
		failure_hint(&cli->failure, "try: --server 10.20.0.1");
		return -EINVAL;
	}
	if (server)
		snprintf(host, sizeof(host), "%s", server);
	mount->is_v6 = strchr(host, ':') != NULL;
	snprintf(mount->server, sizeof(mount->server),
		 mount->is_v6 && host[0] != '[' ? "[%.250s]" : "%.250s", host);
	return 0;
}

static int cmd_mount_point(struct cli *cli, struct cmd_mount *mount)
{
	const char *path = cli->args.value[ARGS_MOUNTPOINT];
	bool ok;

	mount->mountpoint = path ? path : "/sw";
	ok = mount->mountpoint[0] == '/';
	for (const char *p = mount->mountpoint; *p; p++)
		ok = ok && (unsigned char)*p > ' ' && *p != '\\' && *p != 0x7f;
	if (ok)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--mountpoint: \"%s\" must begin with / and have no spaces",
		    mount->mountpoint);
	failure_hint(&cli->failure, "try: --mountpoint /sw");
	return -EINVAL;
}

/* The guest must be there; where it is served, and under which path. */
static int cmd_mount_guest(struct cli *cli, struct cmd_mount *mount,
			   const char *name, const char *listen)
{
	const char *own, *secret;
	json_t *row, *access;
	int rc;

	rc = cmd_guest_row(cli, name, &row);
	if (rc < 0)
		return rc;
	mount->devices = json_is_true(json_object_get(row, "devices"));
	json_decref(row);
	rc = cmd_get(cli, "/v1/guests/secret", "name", name, &access);
	if (rc < 0)
		return rc;
	own = cmd_text(access, "listen");
	secret = cmd_text(access, "secret_path");
	snprintf(mount->export, sizeof(mount->export), "%s%s",
		 *secret ? "" : "/", *secret ? secret : name);
	rc = cmd_mount_server(cli, mount, *own ? own : listen);
	json_decref(access);
	return rc;
}

int cmd_mount_fill(struct cli *cli, struct cmd_mount *mount, const char *name)
{
	json_t *status;
	int rc;

	rc = cmd_get(cli, "/v1/status", NULL, NULL, &status);
	if (rc < 0)
		return rc;
	rc = cmd_mount_guest(cli, mount, name, cmd_text(status, "listen"));
	json_decref(status);
	return rc < 0 ? rc : cmd_mount_point(cli, mount);
}

void cmd_mount_options(const struct cmd_mount *mount, char *options, size_t cap)
{
	const char *proto = mount->is_v6 ? "tcp6" : "tcp";

	snprintf(options, cap,
		 "vers=3,proto=%s,port=%s,mountport=%s,mountproto=%s,nolock,"
		 "hard,nosuid,%sactimeo=30",
		 proto, mount->port, mount->port, proto,
		 mount->devices ? "" : "nodev,");
}

static void cmd_fstab_print(struct cli *cli, const struct cmd_mount *mount,
			    const char *name)
{
	char options[CMD_MOUNT_OPTIONS_MAX];
	json_t *json;

	cmd_mount_options(mount, options, sizeof(options));
	strcat(options, ",_netdev,nofail,x-systemd.automount,"
			"x-systemd.mount-timeout=30s");
	if (!cli->out.json) {
		printf("%s:%s  %s  nfs  %s  0  0\n", mount->server,
		       mount->export, mount->mountpoint, options);
		return;
	}
	json =
	    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "schema",
		      "guest-fstab/1", "guest", name, "server", mount->server,
		      "port", mount->port, "export", mount->export,
		      "mountpoint", mount->mountpoint, "options", options);
	if (json)
		output_json(json);
	json_decref(json);
}

int cmd_guest_fstab(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	struct cmd_mount mount = {.devices = false};

	if (cmd_mount_fill(cli, &mount, argv[0]) < 0)
		return cmd_fail(cli);
	cmd_fstab_print(cli, &mount, argv[0]);
	return CONTROL_EXIT_OK;
}
