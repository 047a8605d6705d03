/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cloud: a guest's drive as cloud-init's user data and as libvirt's domain
 * metadata.
 *
 * cloud-init's own `mounts` runs before packages are installed, so an image
 * without nfs-common would fail there: units are written instead, and started
 * when all else is done.
 */
#include <ctype.h>
#include <stdio.h>

#include "admin/cmd_mount.h"
#include "depot/io.h"

enum {
	CLOUD_UNIT_MAX = 255, /* of a unit's file name */
	CLOUD_RUN_MAX = 1 << 20,
};
#define CLOUD_RUN_PATH "/usr/share/vdrive/guest/vdrive-run"

struct cloud {
	struct cmd_mount mount;
	const char *name;              /* borrows; "tenant/guest" */
	char unit[CLOUD_UNIT_MAX + 1]; /* without suffix */
};

/* --- names of units ------------------------------------------------------- */

/* As systemd-escape --path does; "" does not fit.  The path is absolute. */
static void cloud_unit(const char *path, char *unit, size_t cap)
{
	size_t len = 0;

	for (const char *p = path + 1; *p && len + 5 < cap; p++) {
		bool first = p == path + 1;

		if (*p == '/')
			unit[len++] = '-';
		else if (isalnum((unsigned char)*p) || *p == ':' || *p == '_' ||
			 (*p == '.' && !first))
			unit[len++] = *p;
		else
			len += (size_t)snprintf(unit + len, 5, "\\x%02x",
						(unsigned char)*p);
		unit[len] = '\0';
		if (len + 5 >= cap)
			unit[0] = '\0';
	}
}

/* A path that systemd leaves as it is, and that YAML does. */
static bool cloud_path_ok(const char *path)
{
	const char *p = path;

	while (*p == '/') {
		size_t len = strcspn(p + 1, "/");

		if (len == 0 || (len == 1 && p[1] == '.') ||
		    (len == 2 && p[1] == '.' && p[2] == '.'))
			return false;
		p += 1 + len;
	}
	for (p = path; *p; p++)
		if ((unsigned char)*p >= 0x80 || strchr("\"'#", *p))
			return false;
	return true;
}

static int cloud_fill(struct cli *cli, struct cloud *cloud, const char *name)
{
	int rc = cmd_mount_fill(cli, &cloud->mount, name);

	if (rc < 0)
		return rc;
	cloud->name = name;
	if (cloud_path_ok(cloud->mount.mountpoint))
		cloud_unit(cloud->mount.mountpoint, cloud->unit,
			   sizeof(cloud->unit));
	if (*cloud->unit)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--mountpoint: \"%s\" makes no name of a systemd unit",
		    cloud->mount.mountpoint);
	failure_hint(&cli->failure,
		     "try: --mountpoint /sw, without //, . and .., quotes and "
		     "#");
	return -EINVAL;
}

/* --- cloud-init ----------------------------------------------------------- */

/* In a unit's file a per cent sign is written twice. */
static void cloud_put(FILE *out, const char *key, const char *before,
		      const char *value)
{
	fprintf(out, "      %s=%s", key, before);
	for (; *value; value++)
		fprintf(out, *value == '%' ? "%%%%" : "%c", *value);
	fputc('\n', out);
}

static void cloud_file(FILE *out, const struct cloud *cloud, const char *kind)
{
	fprintf(out,
		"  - path: '/etc/systemd/system/%s.%s'\n"
		"    permissions: '0644'\n"
		"    content: |\n"
		"      [Unit]\n"
		"      Description=vdrive: drive of %s\n",
		cloud->unit, kind, cloud->name);
}

static void cloud_units(FILE *out, const struct cloud *cloud)
{
	const struct cmd_mount *mount = &cloud->mount;
	char options[CMD_MOUNT_OPTIONS_MAX], server[300];

	cmd_mount_options(mount, options, sizeof(options));
	snprintf(server, sizeof(server), "%s:", mount->server);
	cloud_file(out, cloud, "mount");
	fputs("      Wants=network-online.target\n"
	      "      After=network-online.target\n"
	      "\n"
	      "      [Mount]\n",
	      out);
	cloud_put(out, "What", server, mount->export);
	cloud_put(out, "Where", "", mount->mountpoint);
	cloud_put(out, "Type", "", "nfs");
	cloud_put(out, "Options", options, ",_netdev");
	cloud_put(out, "TimeoutSec", "", "30s");
	cloud_file(out, cloud, "automount");
	fputs("\n      [Automount]\n", out);
	cloud_put(out, "Where", "", mount->mountpoint);
	fputs("\n      [Install]\n", out);
	cloud_put(out, "WantedBy", "", "multi-user.target");
}

static void cloud_base64(FILE *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		uint32_t bits = (uint32_t)bytes[i] << 16 |
				(n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				(n > 2 ? bytes[i + 2] : 0);
		char four[4];

		for (unsigned int k = 0; k < 4; k++)
			four[k] =
			    k > n ? '=' : digits[bits >> (18 - 6 * k) & 63];
		fwrite(four, 1, sizeof(four), out);
	}
}

/* The run-time environment's script goes along. */
static int cloud_run(struct cli *cli, FILE *out)
{
	const char *path = cli->args.value[ARGS_RUN_TIME];
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	if (!path)
		return 0;
	if (strcmp(path, "installed") == 0)
		path = CLOUD_RUN_PATH;
	rc = io_read_file(path, CLOUD_RUN_MAX, &bytes, &len);
	if (rc < 0) {
		failure_set(&cli->failure, rc, CONTROL_EXIT_FAILED,
			    "--run-time: cannot read %s: %s", path,
			    strerrordesc_np(-rc));
		failure_hint(&cli->failure, "try: --run-time FILE, the "
					    "vdrive-run that guests are to "
					    "have");
		return rc;
	}
	fputs("  - path: /usr/local/sbin/vdrive-run\n"
	      "    permissions: '0755'\n"
	      "    encoding: b64\n"
	      "    content: ",
	      out);
	cloud_base64(out, bytes, len);
	fputc('\n', out);
	return 0;
}

static int cloud_init(struct cli *cli, const struct cloud *cloud, FILE *out)
{
	int rc;

	fprintf(out, "#cloud-config\n"
		     "packages:\n"
		     "  - nfs-common\n"
		     "write_files:\n");
	cloud_units(out, cloud);
	rc = cloud_run(cli, out);
	fprintf(out,
		"runcmd:\n"
		"  - [systemctl, daemon-reload]\n"
		"  - [systemctl, enable, --now, '%s.automount']\n",
		cloud->unit);
	return rc;
}

/* The text as it is, or as the member `key` of a document. */
static void cloud_print(struct cli *cli, const char *schema, const char *key,
			const struct cloud *cloud, const char *text)
{
	json_t *json;

	if (!cli->out.json) {
		fputs(text, stdout);
		return;
	}
	json = json_pack("{s:s, s:s, s:s}", "schema", schema, "guest",
			 cloud->name, key, text);
	if (json)
		output_json(json);
	json_decref(json);
}

int cmd_guest_cloud_init(struct cli *cli, size_t argc UNUSED,
			 const char *const *argv)
{
	CLEANUP_FREE char *text = NULL;
	struct cloud cloud = {.name = NULL};
	size_t len;
	FILE *out;
	int rc;

	if (cloud_fill(cli, &cloud, argv[0]) < 0)
		return cmd_fail(cli);
	out = open_memstream(&text, &len);
	if (!out) {
		failure_errno(&cli->failure, -ENOMEM, "cloud-init");
		return cmd_fail(cli);
	}
	rc = cloud_init(cli, &cloud, out);
	fclose(out);
	if (rc < 0)
		return cmd_fail(cli);
	cloud_print(cli, "guest-cloud-init/1", "user_data", &cloud, text);
	return CONTROL_EXIT_OK;
}

/* --- libvirt -------------------------------------------------------------- */

/* name="value", value of letters, digits and "./:[]+-_". */
static void cloud_attribute(FILE *out, const char *name, const char *value)
{
	if (*value)
		fprintf(out, "\n      %s=\"%s\"", name, value);
}

static void cloud_libvirt(FILE *out, const char *name, const json_t *row,
			  bool ephemeral)
{
	uint64_t quota = cmd_number(row, "delta_quota_bytes");
	char bytes[OUTPUT_NUMBER_MAX] = "none";

	if (quota > 0)
		snprintf(bytes, sizeof(bytes), "%ju", (uintmax_t)quota);
	fprintf(out,
		"<metadata>\n"
		"  <vdrive:guest xmlns:vdrive=\"urn:vdrive:guest:1\"\n"
		"      name=\"%s\"",
		name);
	cloud_attribute(out, "addr", cmd_text(row, "addr"));
	cloud_attribute(out, "listen", cmd_text(row, "listen"));
	if (json_is_true(json_object_get(row, "secret")))
		cloud_attribute(out, "secret-path", "yes");
	if (json_is_true(json_object_get(row, "devices")))
		cloud_attribute(out, "devices", "yes");
	if (json_is_true(json_object_get(row, "root_squash")))
		cloud_attribute(out, "root-squash", "yes");
	if (json_is_true(json_object_get(row, "whiteouts")))
		cloud_attribute(out, "whiteouts", "on");
	cloud_attribute(out, "quota", bytes);
	if (ephemeral)
		cloud_attribute(out, "ephemeral", "yes");
	fputs("/>\n</metadata>\n", out);
}

int cmd_guest_libvirt(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	struct cloud cloud = {.name = argv[0]};
	CLEANUP_FREE char *text = NULL;
	json_t *row = NULL;
	size_t len;
	FILE *out;

	if (cmd_guest_row(cli, argv[0], &row) < 0)
		return cmd_fail(cli);
	out = open_memstream(&text, &len);
	if (!out) {
		json_decref(row);
		failure_errno(&cli->failure, -ENOMEM, "libvirt");
		return cmd_fail(cli);
	}
	cloud_libvirt(out, argv[0], row, args_has(&cli->args, ARGS_EPHEMERAL));
	fclose(out);
	json_decref(row);
	cloud_print(cli, "guest-libvirt/1", "metadata", &cloud, text);
	return CONTROL_EXIT_OK;
}
