/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_delta: snapshots, restore, reset, clone, verify, export and import of
 * deltas.  What one holds is in cmd_delta_diff.c.
 */
#include <fcntl.h>
#include <stdio.h>

#include "admin/cmd.h"

/* --- snapshots ------------------------------------------------------------ */

static const struct output_column cmd_snapshot_columns[] = {
    {"SNAPSHOT", "snapshot", OUTPUT_TEXT, false},
    {"MADE", "time", OUTPUT_TIME, false},
    {"DELTA", "bytes", OUTPUT_SIZE, false},
    {"FILES", "files", OUTPUT_COUNT, false},
};

static int cmd_snapshots(struct cli *cli, const char *name, json_t **json)
{
	int rc = cmd_get(cli, "/v1/snapshots", "name", name, json);

	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	return rc;
}

static int cmd_snapshot_list(struct cli *cli, const char *name)
{
	const json_t *rows;
	json_t *json;
	int rc = 0;

	if (cmd_snapshots(cli, name, &json) < 0)
		return cmd_fail(cli);
	rows = json_object_get(json, "snapshots");
	if (cli->out.json)
		output_json(json);
	else
		rc = output_table(&cli->out, cmd_snapshot_columns,
				  ARRAY_LEN(cmd_snapshot_columns), rows,
				  &cli->failure);
	if (rc == 0 && !cli->out.json && json_array_size(rows) == 0 &&
	    !cli->out.quiet && !cli->out.no_header)
		fprintf(stderr,
			"no snapshots of %s yet; try: vdrive delta snapshot %s "
			"NAME\n",
			name, name);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* A snapshot's row, the caller's reference; -ENOENT (said). */
static int cmd_snapshot_row(struct cli *cli, const char *name,
			    const char *snapshot, json_t **found)
{
	CLEANUP_FREE const char **names = NULL;
	const char *closest = NULL;
	json_t *json, *rows, *row;
	size_t i;
	int rc;

	rc = cmd_snapshots(cli, name, &json);
	if (rc < 0)
		return rc;
	*found = NULL;
	rows = json_object_get(json, "snapshots");
	names = calloc(json_array_size(rows) + 1, sizeof(*names));
	json_array_foreach(rows, i, row)
	{
		if (names)
			names[i] = cmd_text(row, "snapshot");
		if (strcmp(cmd_text(row, "snapshot"), snapshot) == 0)
			*found = json_incref(row);
	}
	if (!*found) {
		failure_set(&cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
			    "%s has no snapshot %s", name, snapshot);
		failure_hint(&cli->failure, "try: vdrive delta snapshot %s",
			     name);
		if (names)
			closest = args_closest(snapshot, names,
					       json_array_size(rows));
		if (closest)
			failure_hint(&cli->failure, "did you mean: %s",
				     closest);
	}
	json_decref(json);
	return *found ? 0 : -ENOENT;
}

/* After the daemon has said that something is missing: guest or snapshot? */
static void cmd_delta_suggest(struct cli *cli, const char *name)
{
	if (strstr(cli->failure.message, "no guest"))
		cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
}

int cmd_delta_snapshot(struct cli *cli, size_t argc, const char *const *argv)
{
	bool remove = args_has(&cli->args, ARGS_REMOVE);
	struct client_request request = {.method = "POST",
					 .path = remove ? "/v1/snapshots/remove"
							: "/v1/snapshots",
					 .query = {{"name", argv[0]}}};
	json_t *json;
	int rc;

	if (argc == 1 && remove)
		return cmd_usage(cli,
				 "vdrive delta snapshot TENANT/GUEST NAME "
				 "--remove",
				 "which snapshot of %s shall go?", argv[0]);
	if (argc == 1)
		return cmd_snapshot_list(cli, argv[0]);
	request.query[1] = (struct client_query){"snapshot", argv[1]};
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_delta_suggest(cli, argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  snapshot %s of %s%s", argv[1],
			    argv[0], remove ? " is gone" : "");
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- what is lost --------------------------------------------------------- */

/* Show what would go, or have it allowed.  1: it was a dry run. */
static int cmd_delta_lose(struct cli *cli, const char *name, uint64_t bytes,
			  const char *what)
{
	char size[OUTPUT_NUMBER_MAX];
	json_t *json;

	output_size(size, bytes, cli->out.exact);
	if (!args_has(&cli->args, ARGS_DRY_RUN))
		return cmd_confirm(cli, "%s: %s (%s) goes for good", name, what,
				   size);
	if (!cli->out.json) {
		output_line(&cli->out, "would lose of %s: %s, %s", name, what,
			    size);
		return 1;
	}
	json =
	    json_pack("{s:s, s:s, s:b, s:I}", "schema", "delta-loss/1", "guest",
		      name, "dry_run", 1, "delta_bytes", (json_int_t)bytes);
	output_json(json);
	json_decref(json);
	return 1;
}

/* A change that gave way to the package's. */
static int cmd_restore_change(struct cli *cli, const char *guest)
{
	const char *path = cli->args.value[ARGS_SUPERSEDED];
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/restore-change",
	    .query = {{"name", guest}, {"path", path}}};

	return cmd_done(cli, &request, "ok  %s sees its own %s", guest, path);
}

static int cmd_restore_snapshot(struct cli *cli, const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/restore",
	    .query = {{"name", argv[0]}, {"snapshot", argv[1]}}};
	uint64_t bytes, kept;
	char what[128];
	json_t *row;
	int rc;

	if (cmd_guest_row(cli, argv[0], &row) < 0)
		return cmd_fail(cli);
	bytes = cmd_number(row, "delta_bytes");
	json_decref(row);
	if (cmd_snapshot_row(cli, argv[0], argv[1], &row) < 0)
		return cmd_fail(cli);
	kept = cmd_number(row, "bytes");
	json_decref(row);
	snprintf(what, sizeof(what), "what was changed since %.80s", argv[1]);
	rc =
	    cmd_delta_lose(cli, argv[0], bytes > kept ? bytes - kept : 0, what);
	if (rc != 0)
		return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
	return cmd_done(cli, &request, "ok  %s is as in snapshot %s", argv[0],
			argv[1]);
}

int cmd_delta_restore(struct cli *cli, size_t argc, const char *const *argv)
{
	bool change = args_has(&cli->args, ARGS_SUPERSEDED);

	if ((argc == 1) != change)
		return cmd_usage(
		    cli,
		    "vdrive delta snapshots, or vdrive tenant "
		    "conflicts",
		    "the name of a snapshot, or --superseded PATH?");
	return change ? cmd_restore_change(cli, argv[0])
		      : cmd_restore_snapshot(cli, argv);
}

enum { RESET_CHANGES_TOLD = 40 };

static void cmd_reset_list(struct output *out, const json_t *json)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(json, "changes"), i, row)
	{
		if (i == RESET_CHANGES_TOLD && !out->verbose) {
			output_line(out, "  and %ju more; -v lists more",
				    (uintmax_t)cmd_number(json, "count") - i);
			return;
		}
		output_line(out, "  %s  %s", cmd_text(row, "kind"),
			    cmd_text(row, "path"));
	}
}

/* What was changed of one software is shown, and asked for, first. */
static int cmd_reset_package(struct cli *cli, const char *name,
			     const char *package)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/reset/package",
	    .query = {{"name", name}, {"package", package}, {"dry_run", "1"}},
	    .is_long = true};
	const char *what = *package ? package : "no software";
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	uint64_t count, left;
	json_t *json;
	int rc = cmd_post(cli, &request, &json);

	if (rc == -ENOENT)
		cmd_delta_suggest(cli, name);
	if (rc < 0)
		return cmd_fail(cli);
	count = cmd_number(json, "count");
	if (cli->out.json && dry_run)
		output_json(json);
	if (!cli->out.json) {
		output_line(&cli->out, "%s: %ju changes of %s", name,
			    (uintmax_t)count, what);
		cmd_reset_list(&cli->out, json);
	}
	json_decref(json);
	if (dry_run || count == 0)
		return CONTROL_EXIT_OK;
	if (cmd_confirm(cli, "%s: what it has changed of %s goes for good",
			name, what) < 0)
		return cmd_fail(cli);
	request.query[2].value = "0";
	if (cmd_post(cli, &request, &json) < 0)
		return cmd_fail(cli);
	left = cmd_number(json, "left");
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  %ju undone, %ju left",
			    (uintmax_t)(count - MIN(left, count)),
			    (uintmax_t)left);
	json_decref(json);
	return left ? CONTROL_EXIT_PARTIAL : CONTROL_EXIT_OK;
}

int cmd_delta_reset(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/delta/reset",
					 .query = {{"name", argv[0]}}};
	json_t *row;
	int rc;

	if (args_has(&cli->args, ARGS_PACKAGE))
		return cmd_reset_package(cli, argv[0],
					 cli->args.value[ARGS_PACKAGE]);
	if (cmd_guest_row(cli, argv[0], &row) < 0)
		return cmd_fail(cli);
	rc = cmd_delta_lose(cli, argv[0], cmd_number(row, "delta_bytes"),
			    "all that it has changed");
	json_decref(row);
	if (rc != 0)
		return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
	return cmd_done(cli, &request, "ok  %s is as its packages are",
			argv[0]);
}

/* --- clone ---------------------------------------------------------------- */

struct cmd_delta_name {
	char guest[2 * PACKAGE_NAME_MAX + 2];
	const char *snapshot; /* borrows; NULL: as it is now */
};

/* "T/G" or "T/G@SNAPSHOT". */
static int cmd_delta_name(struct cli *cli, const char *text,
			  struct cmd_delta_name *name)
{
	size_t len = strcspn(text, "@");

	if (len >= sizeof(name->guest) || (text[len] && !text[len + 1])) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "\"%s\" names no delta", text);
		failure_hint(&cli->failure, "try: TENANT/GUEST or "
					    "TENANT/GUEST@SNAPSHOT");
		return -EINVAL;
	}
	snprintf(name->guest, sizeof(name->guest), "%.*s", (int)len, text);
	name->snapshot = text[len] ? text + len + 1 : NULL;
	return 0;
}

int cmd_delta_clone(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	const struct args *args = &cli->args;
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/clone",
	    .query = {[2] = {"name", argv[1]},
		      {"devices", args_has(args, ARGS_DEVICES) ? "1" : "0"},
		      {"squash", args_has(args, ARGS_ROOT_SQUASH) ? "1" : "0"},
		      {"whiteouts", NULL}}};
	struct cmd_delta_name from;
	struct cmd_quota quota;
	json_t *json;
	int rc;

	if (cmd_delta_name(cli, argv[0], &from) < 0 ||
	    cmd_whiteouts(cli, &request.query[5].value) < 0 ||
	    cmd_quota(cli, &quota, &request.query[9]) < 0)
		return cmd_fail(cli);
	cmd_access_query(cli, &request.query[6]);
	request.query[0] = (struct client_query){"from", from.guest};
	request.query[1] = (struct client_query){"snapshot", from.snapshot};
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_delta_suggest(cli, from.guest);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out,
			    "ok  guest %s; its line: vdrive guest fstab %s",
			    argv[1], argv[1]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- verify --------------------------------------------------------------- */

static void cmd_delta_findings(struct cli *cli, const json_t *json)
{
	const json_t *findings = json_object_get(json, "findings"), *finding;
	char bytes[OUTPUT_NUMBER_MAX];

	for (size_t i = 0; i < json_array_size(findings); i++) {
		finding = json_array_get(findings, i);
		output_line(&cli->out, "%s  %s",
			    json_is_true(json_object_get(finding, "problem"))
				? "problem"
				: "warning",
			    cmd_text(finding, "text"));
	}
	output_size(bytes, cmd_number(json, "bytes"), cli->out.exact);
	output_line(&cli->out, "%s  %ju objects, %ju names, %s of data",
		    cmd_number(json, "problems") ? "BAD" : "ok",
		    (uintmax_t)cmd_number(json, "files"),
		    (uintmax_t)cmd_number(json, "names"), bytes);
}

int cmd_delta_verify(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {.method = "GET",
					 .path = "/v1/delta/verify",
					 .query = {{"name", argv[0]}},
					 .is_stream = true};
	uintmax_t problems;
	json_t *json;
	int rc;

	rc = client_json(cli->client, &request, &json, &cli->failure);
	if (rc == -ENOENT)
		cmd_delta_suggest(cli, argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		cmd_delta_findings(cli, json);
	problems = (uintmax_t)cmd_number(json, "problems");
	json_decref(json);
	if (problems == 0)
		return CONTROL_EXIT_OK;
	failure_set(&cli->failure, -EBADMSG, CONTROL_EXIT_FAILED,
		    "the delta of %s is not as it should be: %ju problems",
		    argv[0], problems);
	failure_hint(&cli->failure,
		     "try: vdrive delta restore %s SNAPSHOT, or vdrive delta "
		     "import %s FILE",
		     argv[0], argv[0]);
	return cmd_fail(cli);
}

/* --- streams -------------------------------------------------------------- */

/* Where a stream goes: stdout, or a file that appears when it is whole. */
struct cmd_stream {
	const char *path; /* borrows; NULL: stdout */
	char *part;       /* owns; its name till then */
	FILE *file;
};

static int cmd_stream_open(struct cli *cli, struct cmd_stream *stream)
{
	int fd;

	stream->path = cli->args.value[ARGS_COLUMNS];
	if (!stream->path && isatty(STDOUT_FILENO)) {
		failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "a stream is nothing for a terminal");
		failure_hint(&cli->failure, "try: -o FILE");
		return -EINVAL;
	}
	if (!stream->path || strcmp(stream->path, "-") == 0) {
		stream->path = NULL;
		stream->file = stdout;
		return 0;
	}
	if (asprintf(&stream->part, "%s.XXXXXX", stream->path) < 0)
		return failure_errno(&cli->failure, -ENOMEM, "export");
	fd = mkostemp(stream->part, O_CLOEXEC);
	if (fd < 0) {
		failure_errno(&cli->failure, -errno, "cannot write %s",
			      stream->path);
		failure_hint(&cli->failure, "try: another -o FILE");
		free(STEAL(stream->part));
		return -EIO;
	}
	stream->file = fdopen(fd, "w");
	ASSERT(stream->file);
	return 0;
}

/* Put it in its place; or, when `rc` says so, away. */
static int cmd_stream_close(struct cli *cli, struct cmd_stream *stream, int rc)
{
	if (!stream->path) {
		if (fflush(stream->file) != 0 && rc == 0)
			rc = failure_errno(&cli->failure, -errno, "stdout");
		return rc;
	}
	if (rc == 0 &&
	    (fflush(stream->file) != 0 || fsync(fileno(stream->file)) < 0 ||
	     rename(stream->part, stream->path) < 0))
		rc = failure_errno(&cli->failure, -errno, "cannot write %s",
				   stream->path);
	fclose(stream->file);
	if (rc < 0)
		unlink(stream->part);
	free(STEAL(stream->part));
	return rc;
}

int cmd_delta_export(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {
	    .method = "GET", .path = "/v1/delta/export", .is_stream = true};
	struct cmd_stream stream = {.path = NULL};
	CLEANUP_FREE void *nothing = NULL;
	char size[OUTPUT_NUMBER_MAX];
	struct cmd_delta_name name;
	size_t len = 0;
	int rc;

	if (cmd_delta_name(cli, argv[0], &name) < 0 ||
	    cmd_stream_open(cli, &stream) < 0)
		return cmd_fail(cli);
	request.query[0] = (struct client_query){"name", name.guest};
	request.query[1] = (struct client_query){"snapshot", name.snapshot};
	request.out = stream.file;
	rc = client_call(cli->client, &request, &nothing, &len, &cli->failure);
	if (rc == -ENOENT)
		cmd_delta_suggest(cli, name.guest);
	rc = cmd_stream_close(cli, &stream, rc);
	if (rc < 0)
		return cmd_fail(cli);
	if (!stream.path)
		return CONTROL_EXIT_OK;
	output_size(size, len, cli->out.exact);
	if (cli->out.json)
		printf("{\"schema\":\"delta-export/1\",\"guest\":\"%s\","
		       "\"bytes\":%zu}\n",
		       name.guest, len);
	else
		output_line(&cli->out, "ok  %s: %s", stream.path, size);
	return CONTROL_EXIT_OK;
}

static int cmd_import_open(struct cli *cli, const char *path, FILE **file)
{
	*file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (*file)
		return 0;
	failure_errno(&cli->failure, -errno, "cannot read %s", path);
	failure_hint(&cli->failure, "try: a file that `vdrive delta export` "
				    "wrote");
	return -EIO;
}

/* 1: it was a dry run; 0: go on. */
static int cmd_import_ask(struct cli *cli, const char *name)
{
	json_t *row;
	int rc;

	rc = cmd_guest_row(cli, name, &row);
	if (rc < 0)
		return rc;
	if (args_has(&cli->args, ARGS_DRY_RUN) ||
	    cmd_number(row, "delta_files") > 0)
		rc = cmd_delta_lose(cli, name, cmd_number(row, "delta_bytes"),
				    "all that it has changed");
	json_decref(row);
	return rc;
}

int cmd_delta_import(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/delta/import",
					 .query = {{"name", argv[0]}},
					 .is_stream = true};
	bool is_stdin = strcmp(argv[1], "-") == 0;
	int code, rc;

	if (is_stdin && isatty(STDIN_FILENO))
		return cmd_usage(cli,
				 "vdrive delta import TENANT/GUEST - <FILE",
				 "stdin is a terminal, not a stream");
	if (cmd_import_open(cli, argv[1], &request.in) < 0)
		return cmd_fail(cli);
	rc = cmd_import_ask(cli, argv[0]);
	if (rc == 0)
		code = cmd_done(cli, &request, "ok  %s has the delta of %s",
				argv[0], is_stdin ? "the stream" : argv[1]);
	else
		code = rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
	if (!is_stdin)
		fclose(request.in);
	return code;
}
