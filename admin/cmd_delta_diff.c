/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_delta_diff: what a delta changes of its packages, whose that is, and what
 * it costs.
 *
 * The daemon sends one JSON object a line; it goes through a temporary file, so
 * that a delta with millions of changes needs no memory for them.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "admin/capture.h"
#include "admin/cmd.h"
#include "admin/interrupt.h"

enum {
	CMD_DU_DIRS_MAX = 100000,
	CMD_DU_NAME_MAX = 255,
};

/* --- the stream ----------------------------------------------------------- */

typedef int cmd_change_fn(void *ctx, const json_t *change);

static int cmd_changes_read(struct cli *cli, FILE *file, cmd_change_fn *visit,
			    void *ctx)
{
	CLEANUP_FREE char *line = NULL;
	size_t cap = 0;
	json_t *change;
	ssize_t len;
	int rc = 0;

	rewind(file);
	while (rc == 0 && (len = getline(&line, &cap, file)) > 0) {
		change = json_loadb(line, (size_t)len, 0, NULL);
		rc = change ? visit(ctx, change) : -EPROTO;
		json_decref(change);
		if (rc == 0 && interrupt_seen())
			rc = -EINTR;
	}
	if (rc == 0 && ferror(file))
		rc = -EIO;
	return rc < 0 ? failure_errno(&cli->failure, rc, "list of changes")
		      : rc;
}

/* The changes of a guest as a file, the caller's. */
static int cmd_changes_get(struct cli *cli, const char *name, FILE **file)
{
	struct client_request request = {.method = "GET",
					 .path = "/v1/delta/diff",
					 .query = {{"name", name}},
					 .is_stream = true,
					 .out = tmpfile()};
	CLEANUP_FREE void *nothing = NULL;
	size_t len;
	int rc;

	if (!request.out)
		return failure_errno(&cli->failure, -errno,
				     "no temporary file");
	rc = client_call(cli->client, &request, &nothing, &len, &cli->failure);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	if (rc < 0)
		fclose(request.out);
	else
		*file = request.out;
	return rc;
}

static int cmd_changes(struct cli *cli, const char *name, cmd_change_fn *visit,
		       void *ctx)
{
	FILE *file;
	int rc = cmd_changes_get(cli, name, &file);

	if (rc < 0)
		return rc;
	rc = cmd_changes_read(cli, file, visit, ctx);
	fclose(file);
	return rc;
}

/* --- diff ----------------------------------------------------------------- */

enum { CMD_DIFF_PACKAGES_MAX = 256 };

struct cmd_diff {
	struct output *out;
	const char *only;    /* --package; NULL: all */
	const char *package; /* whose are printed now */
	json_t *packages;    /* owns; name to how many; "": nobody's */
	json_int_t count, noise;
};

/* Names must not steer a terminal. */
static void cmd_diff_put(const char *name)
{
	for (; *name; name++)
		putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?'
								    : *name);
}

static bool cmd_change_is_dir(const json_t *change)
{
	uint64_t mode = cmd_number(change, "mode");

	return S_ISDIR(mode ? mode : cmd_number(change, "mode_before"));
}

/* The rule by which a change is of a machine or a moment, or NULL. */
static const char *cmd_change_noise(const json_t *change)
{
	static const struct capture_options rules;

	return capture_noise(&rules, cmd_text(change, "path"));
}

static bool cmd_diff_wants(const struct cmd_diff *diff, const json_t *change)
{
	return !diff->only ||
	       strcmp(diff->only, cmd_text(change, "package")) == 0;
}

/* The first time through: whose they are. */
static int cmd_diff_count(void *ctx, const json_t *change)
{
	const char *package = cmd_text(change, "package");
	struct cmd_diff *diff = ctx;
	json_t *count = json_object_get(diff->packages, package);

	if (!cmd_diff_wants(diff, change))
		return 0;
	if (!count && json_object_size(diff->packages) == CMD_DIFF_PACKAGES_MAX)
		return -E2BIG;
	diff->count++;
	diff->noise += cmd_change_noise(change) != NULL;
	return json_object_set_new(diff->packages, package,
				   json_integer(json_integer_value(count) + 1));
}

static int cmd_diff_json(void *ctx, const json_t *change)
{
	const char *noise = cmd_change_noise(change);
	struct cmd_diff *diff = ctx;
	json_t *copy;

	if (!cmd_diff_wants(diff, change))
		return 0;
	copy = json_copy((json_t *)(uintptr_t)change);
	json_object_set_new(copy, "type", json_string("change"));
	json_object_set_new(copy, "noise",
			    noise ? json_string(noise) : json_null());
	output_json(copy);
	json_decref(copy);
	return 0;
}

static int cmd_diff_line(void *ctx, const json_t *change)
{
	const char *from = cmd_text(change, "from");
	const char *package = cmd_text(change, "package");
	struct cmd_diff *diff = ctx;
	bool tabs = diff->out->no_header;

	if (tabs ? !cmd_diff_wants(diff, change)
		 : strcmp(package, diff->package) != 0)
		return 0;
	printf("%s%s", cmd_text(change, "kind"), tabs ? "\t" : "  ");
	if (*from) {
		cmd_diff_put(from);
		fputs(tabs ? "\t" : " -> ", stdout);
	}
	cmd_diff_put(cmd_text(change, "path"));
	fputs(cmd_change_is_dir(change) ? "/" : "", stdout);
	if (tabs)
		printf("\t%s", package);
	puts(!cmd_change_noise(change) ? "" : tabs ? "\tnoise" : "  (noise)");
	return 0;
}

/* By software, in the order in which each first comes up; nobody's last. */
static int cmd_diff_text(struct cli *cli, FILE *file, struct cmd_diff *diff)
{
	const char *package;
	json_t *count;
	int rc = 0;

	if (diff->out->no_header)
		return cmd_changes_read(cli, file, cmd_diff_line, diff);
	json_object_foreach(diff->packages, package, count)
	{
		if (rc < 0 || !*package)
			continue;
		printf("%s:\n", package);
		diff->package = package;
		rc = cmd_changes_read(cli, file, cmd_diff_line, diff);
	}
	if (rc < 0 || !json_object_get(diff->packages, ""))
		return rc;
	puts("unattributed:");
	diff->package = "";
	return cmd_changes_read(cli, file, cmd_diff_line, diff);
}

static int cmd_diff_show(struct cli *cli, FILE *file, const char *name,
			 struct cmd_diff *diff)
{
	json_t *json;
	int rc = cmd_changes_read(cli, file, cmd_diff_count, diff);

	if (rc < 0 || (diff->out->quiet && !diff->out->json))
		return rc;
	if (!diff->out->json)
		return cmd_diff_text(cli, file, diff);
	rc = cmd_changes_read(cli, file, cmd_diff_json, diff);
	json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:O}", "type", "summary",
			 "schema", "delta-diff/1", "guest", name, "changes",
			 diff->count, "noise", diff->noise, "packages",
			 diff->packages);
	if (rc == 0)
		output_json(json);
	json_decref(json);
	return rc;
}

int cmd_delta_diff(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct cmd_diff diff = {.out = &cli->out,
				.only = cli->args.value[ARGS_PACKAGE],
				.packages = json_object()};
	FILE *file;
	int rc = cmd_changes_get(cli, argv[0], &file);

	if (rc == 0) {
		rc = cmd_diff_show(cli, file, argv[0], &diff);
		fclose(file);
	}
	json_decref(diff.packages);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* --- assign --------------------------------------------------------------- */

static const struct output_column cmd_assign_columns[] = {
    {"PATH", "path", OUTPUT_TEXT, false},
    {"PACKAGE", "package", OUTPUT_TEXT, false},
};

static int cmd_assign_list(struct cli *cli, const char *name)
{
	const json_t *rows;
	json_t *json;
	int rc = cmd_get(cli, "/v1/delta/assigned", "name", name, &json);

	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	if (rc < 0)
		return cmd_fail(cli);
	rows = json_object_get(json, "assigned");
	if (cli->out.json)
		output_json(json);
	else
		rc = output_table(&cli->out, cmd_assign_columns,
				  ARRAY_LEN(cmd_assign_columns), rows,
				  &cli->failure);
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* As diff shows it, "usr/x/", or as the guest has it, "/usr/x". */
static char *cmd_assign_path(const char *text)
{
	char *path;
	size_t len;

	text += strspn(text, "/");
	len = strlen(text);
	while (len > 0 && text[len - 1] == '/')
		len--;
	path = strndup(text, len);
	return path;
}

int cmd_delta_assign(struct cli *cli, size_t argc, const char *const *argv)
{
	bool remove = args_has(&cli->args, ARGS_REMOVE);
	CLEANUP_FREE char *path = argc > 1 ? cmd_assign_path(argv[1]) : NULL;
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/assign",
	    .query = {{"name", argv[0]},
		      {"path", path},
		      {"package", argc > 2 ? argv[2] : NULL}}};
	json_t *json;
	int rc;

	if (argc == 1 && !remove)
		return cmd_assign_list(cli, argv[0]);
	if (argc != (remove ? 2 : 3))
		return cmd_usage(cli,
				 "vdrive delta assign TENANT/GUEST PATH "
				 "PACKAGE, or PATH --remove",
				 "whose is which path of %s?", argv[0]);
	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT && strstr(cli->failure.message, "no guest"))
		cmd_suggest(cli, "/v1/guests", "guests", "guest", argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  %s of %s %s%s%s", path, argv[0],
			    remove ? "is told by its place" : "belongs to ",
			    remove ? "" : argv[2],
			    json_is_true(json_object_get(json, "changed"))
				? ""
				: ", as before");
	json_decref(json);
	return CONTROL_EXIT_OK;
}

/* --- du ------------------------------------------------------------------- */

static const struct output_column cmd_du_columns[] = {
    {"DELTA", "delta_bytes", OUTPUT_SIZE, false},
    {"CHANGED", "changes", OUTPUT_COUNT, false},
    {"DIRECTORY", "directory", OUTPUT_TEXT, false},
};

struct cmd_du {
	json_t *dirs; /* owns; name to {directory, delta_bytes, changes} */
	json_int_t bytes, changes;
};

static void cmd_du_add(json_t *row, const char *key, json_int_t more)
{
	json_object_set_new(
	    row, key,
	    json_integer(json_integer_value(json_object_get(row, key)) + more));
}

/* Changes by the first component of their path; of files in the root: ".". */
static int cmd_du_visit(void *ctx, const json_t *change)
{
	json_int_t bytes = (json_int_t)cmd_number(change, "delta_bytes");
	const char *path = cmd_text(change, "path");
	size_t len = strcspn(path, "/");
	char dir[CMD_DU_NAME_MAX + 1];
	struct cmd_du *du = ctx;
	json_t *row;

	if (len == 0 || (!path[len] && !cmd_change_is_dir(change)))
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)len, path);
	row = json_object_get(du->dirs, dir);
	if (!row) {
		if (json_object_size(du->dirs) >= CMD_DU_DIRS_MAX)
			return -E2BIG;
		row = json_pack("{s:s}", "directory", dir);
		if (!row || json_object_set_new(du->dirs, dir, row) < 0)
			return -ENOMEM;
	}
	cmd_du_add(row, "delta_bytes", bytes);
	cmd_du_add(row, "changes", 1);
	du->bytes += bytes;
	du->changes++;
	return 0;
}

static int cmd_du_order(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;

	if (cmd_number(x, "delta_bytes") != cmd_number(y, "delta_bytes"))
		return cmd_number(x, "delta_bytes") <
			       cmd_number(y, "delta_bytes")
			   ? 1
			   : -1;
	return strcmp(cmd_text(x, "directory"), cmd_text(y, "directory"));
}

/* The rows, the largest first; NULL: no memory. */
static json_t *cmd_du_rows(struct cmd_du *du)
{
	size_t count = json_object_size(du->dirs), i = 0;
	CLEANUP_FREE json_t **rows = calloc(count + 1, sizeof(json_t *));
	json_t *list = json_array(), *row;
	const char *dir;

	if (!rows || !list) {
		json_decref(list);
		return NULL;
	}
	json_object_foreach(du->dirs, dir, row) rows[i++] = row;
	qsort(rows, count, sizeof(json_t *), cmd_du_order);
	for (i = 0; i < count; i++)
		json_array_append(list, rows[i]);
	return list;
}

static void cmd_du_print(struct cli *cli, const struct cmd_du *du,
			 const json_t *guest, const json_t *snapshots)
{
	char size[OUTPUT_NUMBER_MAX];
	const json_t *row;

	output_size(size, (uint64_t)du->bytes, cli->out.exact);
	output_line(&cli->out, "seen      %s, %ju changes", size,
		    (uintmax_t)du->changes);
	output_size(size, cmd_number(guest, "delta_bytes"), cli->out.exact);
	output_line(&cli->out, "kept      %s, %ju objects in %ju layers", size,
		    (uintmax_t)cmd_number(guest, "delta_files"),
		    (uintmax_t)cmd_number(guest, "layers"));
	for (size_t i = 0; i < json_array_size(snapshots); i++) {
		row = json_array_get(snapshots, i);
		output_size(size, cmd_number(row, "bytes"), cli->out.exact);
		output_line(&cli->out, "snapshot  %s: %s, %ju objects",
			    cmd_text(row, "snapshot"), size,
			    (uintmax_t)cmd_number(row, "files"));
	}
}

static void cmd_du_json(const struct cmd_du *du, const json_t *guest,
			json_t *rows, json_t *snapshots)
{
	json_t *json;

	json = json_pack(
	    "{s:s, s:s, s:O, s:I, s:I, s:O, s:O, s:O, s:O}", "schema",
	    "delta-du/1", "guest", cmd_text(guest, "guest"), "directories",
	    rows, "seen_bytes", du->bytes, "changes", du->changes,
	    "delta_bytes", json_object_get(guest, "delta_bytes"), "delta_files",
	    json_object_get(guest, "delta_files"), "layers",
	    json_object_get(guest, "layers"), "snapshots", snapshots);
	output_json(json);
	json_decref(json);
}

static int cmd_du_show(struct cli *cli, struct cmd_du *du, const json_t *guest,
		       json_t *snapshots)
{
	json_t *rows = cmd_du_rows(du);
	int rc = 0;

	if (!rows)
		return failure_errno(&cli->failure, -ENOMEM, "du");
	if (cli->out.json)
		cmd_du_json(du, guest, rows, snapshots);
	else
		rc = output_table(&cli->out, cmd_du_columns,
				  ARRAY_LEN(cmd_du_columns), rows,
				  &cli->failure);
	if (rc == 0 && !cli->out.json && !cli->out.no_header &&
	    !cli->out.columns)
		cmd_du_print(cli, du, guest, snapshots);
	json_decref(rows);
	return rc;
}

int cmd_delta_du(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct cmd_du du = {.dirs = json_object()};
	json_t *guest = NULL, *json = NULL;
	int rc;

	rc = cmd_guest_row(cli, argv[0], &guest);
	if (rc == 0)
		rc = cmd_get(cli, "/v1/snapshots", "name", argv[0], &json);
	if (rc == 0)
		rc = cmd_changes(cli, argv[0], cmd_du_visit, &du);
	if (rc == 0)
		rc = cmd_du_show(cli, &du, guest,
				 json_object_get(json, "snapshots"));
	json_decref(json);
	json_decref(guest);
	json_decref(du.dirs);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
