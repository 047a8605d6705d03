/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot_key: keys that sign depots at rest, and those that this host trusts
 * for its upstreams.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "admin/cmd.h"
#include "admin/cmd_depot.h"
#include "depot/digest.h"
#include "depot/io.h"

static const char cmd_key_usage[] =
    "vdrive depot key new FILE | list | trust UPSTREAM KEY [--remove]";

/* --- files --------------------------------------------------------------- */

static int cmd_key_create(const char *path, const char *pem)
{
	CLEANUP_CLOSE int fd = -1;
	int rc;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = io_pwrite_all(fd, pem, strlen(pem), 0);
	if (rc == 0)
		rc = io_sync(fd);
	if (rc < 0)
		unlink(path);
	return rc;
}

static int cmd_key_new(struct cli *cli, const char *path)
{
	char pem[SIGN_PEM_MAX], hex[DIGEST_HEX_LEN + 1];
	struct sign_key secret, key;
	json_t *json;
	int rc;

	sign_secret_new(&secret);
	sign_secret_to_pem(&secret, pem);
	rc = cmd_key_create(path, pem);
	if (rc < 0) {
		failure_errno(&cli->failure, rc, "cannot write %s", path);
		if (rc == -EEXIST)
			failure_hint(&cli->failure,
				     "try: another name: a key that is lost "
				     "cannot be made again");
		return cmd_fail(cli);
	}
	key = sign_public(&secret);
	sign_key_to_hex(&key, hex);
	if (cli->out.json) {
		json = json_pack("{s:s, s:s, s:s}", "schema", "key-new/1",
				 "key", hex, "file", path);
		if (json)
			output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	output_line(&cli->out, "%s", hex);
	output_line(&cli->out,
		    "  %s holds the secret key: keep it, and keep it secret",
		    path);
	output_line(&cli->out, "  publish: vdrive depot push URL --key %s",
		    path);
	output_line(&cli->out,
		    "  use:     vdrive upstream add NAME URL --key %s", hex);
	return CONTROL_EXIT_OK;
}

static int cmd_key_read(const char *path, char text[SIGN_PEM_MAX], size_t *len,
			bool *is_open)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > SIGN_PEM_MAX)
		return -EBADMSG;
	*len = (size_t)st.st_size;
	*is_open = st.st_mode & 077;
	return io_pread_all(fd, text, *len, 0);
}

int cmd_key_load(struct cli *cli, const char *path, struct sign_key *secret)
{
	char text[SIGN_PEM_MAX];
	bool is_open = false;
	size_t len = 0;
	int rc;

	rc = cmd_key_read(path, text, &len, &is_open);
	if (rc == 0)
		rc = sign_secret_from_pem(text, len, secret);
	if (rc < 0) {
		failure_errno(&cli->failure, rc,
			      rc == -EBADMSG ? "%s holds no Ed25519 secret key"
					     : "cannot read the key %s",
			      path);
		if (rc == -ENOENT)
			cli->failure.code = CONTROL_EXIT_FAILED;
		failure_hint(&cli->failure, "try: vdrive depot key new FILE");
		return rc;
	}
	if (is_open)
		output_warn(&cli->out,
			    "others may read the key %s; try: chmod 600 %s",
			    path, path);
	return 0;
}

/* --- trust --------------------------------------------------------------- */

static const struct output_column cmd_key_columns[] = {
    {"UPSTREAM", "upstream", OUTPUT_TEXT, false},
    {"KEY", "key", OUTPUT_TEXT, false},
    {"SINCE", "since", OUTPUT_TIME, false},
};

static int cmd_key_trust(struct cli *cli, const char *upstream, const char *key)
{
	bool is_removal = args_has(&cli->args, ARGS_REMOVE);
	struct client_request request = {
	    .method = "POST",
	    .path = is_removal ? "/v1/keys/remove" : "/v1/keys",
	    .query = {{"upstream", upstream}, {"key", key}}};

	return cmd_done(cli, &request,
			is_removal ? "ok  key %.12s is trusted no more for %s"
				   : "ok  key %.12s is trusted for %s",
			key, upstream);
}

int cmd_depot_key(struct cli *cli, size_t argc, const char *const *argv)
{
	if (strcmp(argv[0], "new") == 0 && argc == 2)
		return cmd_key_new(cli, argv[1]);
	if (strcmp(argv[0], "trust") == 0 && argc == 3)
		return cmd_key_trust(cli, argv[1], argv[2]);
	if (strcmp(argv[0], "list") == 0 && argc == 1)
		return cmd_list(cli, "/v1/keys", "keys", cmd_key_columns,
				ARRAY_LEN(cmd_key_columns),
				"no keys are trusted; try: vdrive upstream add "
				"NAME URL --key KEY");
	return cmd_usage(cli, cmd_key_usage,
			 "vdrive depot key: what shall be "
			 "done?");
}
