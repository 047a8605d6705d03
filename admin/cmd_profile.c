/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_profile: profiles are made of what a guest has changed, listed, shown and
 * removed.  Applying is in cmd_profile_apply.c, files in cmd_profile_file.c.
 */
#include "admin/cmd_profile.h"

#include <stdio.h>
#include <sys/stat.h>

#include "admin/cmd_capture.h"
#include "admin/import_delta.h"
#include "admin/sink_daemon.h"

#define PROFILE_CREATE_USAGE                                                   \
	"vdrive profile create NAME --from TENANT/GUEST[@SNAPSHOT] "           \
	"[--package PACKAGE] [--include PATTERN,...] [--exclude PATTERN,...]"

enum { PROFILE_CHANGES_TOLD = 20 };

/* --- which one ------------------------------------------------------------ */

int profile_ref(struct cli *cli, const char *name, char ref[PROFILE_REF_MAX])
{
	if (depot_name_ok(name)) {
		snprintf(ref, PROFILE_REF_MAX, "%s:" CONTROL_PROFILE_TAG, name);
		return 0;
	}
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "\"%s\" is no name of a profile", name);
	failure_hint(&cli->failure,
		     "try: lower-case letters, digits and . _ + -");
	return -EINVAL;
}

static bool profile_is(const json_t *package)
{
	return strcmp(cmd_text(package, "tag"), CONTROL_PROFILE_TAG) == 0;
}

/* After -ENOENT: a profile of nearly that name. */
static void profile_suggest(struct cli *cli, const char *name)
{
	CLEANUP_FREE const char **names = NULL;
	const char *closest = NULL;
	json_t *json, *row;
	size_t i;

	failure_set(&cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
		    "there is no profile \"%s\"", name);
	failure_hint(&cli->failure, "try: vdrive profile list");
	if (client_json(cli->client,
			&(struct client_request){.method = "GET",
						 .path = "/v1/packages"},
			&json, &(struct failure){0}) < 0)
		return;
	names = calloc(json_array_size(json_object_get(json, "packages")) + 1,
		       sizeof(*names));
	json_array_foreach(json_object_get(json, "packages"), i, row)
	{
		if (names && profile_is(row))
			names[i] = cmd_text(row, "name");
	}
	if (names)
		closest = args_closest(
		    name, names,
		    json_array_size(json_object_get(json, "packages")));
	if (closest)
		failure_hint(&cli->failure, "did you mean: %s", closest);
	json_decref(json);
}

/* Put the records of the revision beside it. */
static int profile_records(struct cli *cli, json_t *json)
{
	json_t *revision = json_loads(cmd_text(json, "revision_json"), 0, NULL);
	json_t *records = json_object_get(revision, "records");

	json_object_set(json, "records", records ? records : json_null());
	json_decref(revision);
	if (json_object_get(records, "profile"))
		return 0;
	return failure_set(&cli->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s:%s is no profile", cmd_text(json, "name"),
			   cmd_text(json, "tag"));
}

int profile_get(struct cli *cli, const char *name, json_t **json)
{
	char ref[PROFILE_REF_MAX];
	int rc = profile_ref(cli, name, ref);

	if (rc < 0)
		return rc;
	rc = cmd_get(cli, "/v1/package", "ref", ref, json);
	if (rc == -ENOENT)
		profile_suggest(cli, name);
	if (rc < 0)
		return rc;
	rc = profile_records(cli, *json);
	if (rc < 0)
		json_decref(*json);
	return rc;
}

char *profile_over(const json_t *records)
{
	const json_t *over = json_object_get(records, "over"), *row;
	size_t len = 1, i;
	char *text;

	json_array_foreach(over, i, row) len += json_string_length(row) + 2;
	text = calloc(1, len);
	json_array_foreach(over, i, row)
	{
		const char *package = json_string_value(row);

		if (!text || !package)
			continue;
		strcat(text, *text ? ", " : "");
		strncat(text, package, strcspn(package, " "));
	}
	return text;
}

int profile_guests(struct cli *cli, const char *name, json_t **guests)
{
	json_t *json, *row, *profile;
	size_t i, k;
	int rc = cmd_get(cli, "/v1/guests", NULL, NULL, &json);

	if (rc < 0)
		return rc;
	*guests = json_array();
	json_array_foreach(json_object_get(json, "guests"), i, row)
	{
		json_array_foreach(json_object_get(row, "profiles"), k, profile)
		{
			if (strcmp(json_string_value(profile), name) == 0)
				json_array_append(
				    *guests, json_object_get(row, "guest"));
		}
	}
	json_decref(json);
	return 0;
}

/* --- create --------------------------------------------------------------- */

struct cmd_profile {
	struct cli *cli;
	const char *name, *from;
	struct import *import; /* owns */
	struct sink_daemon sink;
	struct import_summary summary;
	struct delta_result delta;
	struct cmd_patterns include, exclude;
	char *records; /* owns */
};

static void cmd_profile_clear(struct cmd_profile *p)
{
	sink_daemon_end(&p->sink);
	import_free(p->import);
	import_summary_clear(&p->summary);
	delta_result_clear(&p->delta);
	cmd_patterns_clear(&p->include);
	cmd_patterns_clear(&p->exclude);
	free(p->records);
}

/* Nothing in a revision depends on when or where: not even the guest. */
static int cmd_profile_note(struct cmd_profile *p)
{
	json_t *records = json_pack("{s:[s], s:O, s:O}", "profile", "1", "over",
				    p->delta.over, "base", p->delta.base);

	p->records = json_dumps(records, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(records);
	if (!p->records)
		return failure_errno(&p->cli->failure, -ENOMEM, "%s", p->name);
	if (strlen(p->records) > CONTROL_RECORDS_MAX)
		return failure_set(&p->cli->failure, -E2BIG,
				   CONTROL_EXIT_FAILED,
				   "%s: the list of changed files is too long "
				   "for a profile; try: --package or --exclude",
				   p->name);
	import_note(p->import, NULL, p->records);
	return 0;
}

static int cmd_profile_pick(struct cmd_profile *p, FILE *file)
{
	struct failure *failure = &p->cli->failure;
	struct delta_pick pick = {.package = p->cli->args.value[ARGS_PACKAGE],
				  .include = p->include.list,
				  .exclude = p->exclude.list};
	int rc = import_origin(p->import, p->from);

	if (rc == 0)
		rc = import_delta(p->import, file, &pick, &p->delta, failure);
	if (rc == 0)
		rc = delta_check_hits(&pick, &p->delta, p->from, &p->cli->out,
				      failure);
	if (rc < 0 || p->delta.verdict[DELTA_TAKEN] > 0)
		return rc;
	failure_set(failure, -ENOENT, CONTROL_EXIT_MISSING,
		    "%s has changed nothing that %s would have", p->from,
		    p->name);
	failure_hint(failure, "try: vdrive delta diff %.*s",
		     (int)strcspn(p->from, "@"), p->from);
	return -ENOENT;
}

static int cmd_profile_make(struct cmd_profile *p)
{
	struct cli *cli = p->cli;
	struct import_options options = {
	    .dry_run = args_has(&cli->args, ARGS_DRY_RUN)};
	struct import_sink sink = sink_daemon(&p->sink, cli->client);
	FILE *file;
	int rc;

	p->import = import_new(&sink, &options, &cli->out, &cli->failure);
	if (!p->import)
		return failure_errno(&cli->failure, -ENOMEM, "import");
	rc = delta_fetch(cli, p->from, &file);
	if (rc < 0)
		return rc;
	rc = cmd_profile_pick(p, file);
	fclose(file);
	if (rc == 0)
		rc = cmd_profile_note(p);
	if (rc == 0)
		rc = import_finish(p->import, p->name, CONTROL_PROFILE_TAG, "1",
				   NULL, &p->summary);
	if (rc < 0 && cli->failure.code == CONTROL_EXIT_CONFLICT) {
		failure_set(&cli->failure, rc, CONTROL_EXIT_CONFLICT,
			    "profile %s exists with another content", p->name);
		failure_hint(&cli->failure,
			     "try: another name, or: vdrive profile remove %s",
			     p->name);
	}
	return rc;
}

static void cmd_profile_print(struct cmd_profile *p)
{
	const struct import_summary *s = &p->summary;
	bool dry_run = args_has(&p->cli->args, ARGS_DRY_RUN);
	struct output *out = &p->cli->out;
	json_t *records = json_pack("{s:O}", "over", p->delta.over);
	CLEANUP_FREE char *over = profile_over(records);
	char hex[DIGEST_HEX_LEN + 1], size[OUTPUT_NUMBER_MAX];

	json_decref(records);
	digest_to_hex(&s->revision, hex);
	output_size(size, s->bytes, out->exact);
	output_line(out, "%s  sha256:%.*s   %ju paths, %s%s%s%s", p->name,
		    out->exact ? DIGEST_HEX_LEN : 12, hex,
		    (uintmax_t)p->delta.verdict[DELTA_TAKEN], size,
		    over && *over ? ", made over " : "", over ? over : "",
		    dry_run      ? "  (dry run)"
		    : s->created ? ""
				 : "  (here already)");
	delta_print(out, &p->delta, PROFILE_CHANGES_TOLD);
}

static void cmd_profile_print_json(struct cmd_profile *p)
{
	const struct import_summary *s = &p->summary;
	char hex[DIGEST_HEX_LEN + 8] = "sha256:";
	json_t *json;

	digest_to_hex(&s->revision, hex + 7);
	json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b}",
			 "type", "summary", "schema", "profile-create/1",
			 "profile", p->name, "digest", hex, "from", p->from,
			 "paths", (json_int_t)p->delta.verdict[DELTA_TAKEN],
			 "files", (json_int_t)s->files, "bytes",
			 (json_int_t)s->bytes, "created", (int)s->created,
			 "dry_run", (int)args_has(&p->cli->args, ARGS_DRY_RUN));
	delta_print_json(json, &p->delta);
	output_json(json);
	json_decref(json);
}

int cmd_profile_create(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	CLEANUP(cmd_profile_clear)
	struct cmd_profile p = {
	    .cli = cli, .name = argv[0], .from = cli->args.value[ARGS_FROM]};
	char ref[PROFILE_REF_MAX];
	int rc;

	if (!p.from)
		return cmd_usage(cli, PROFILE_CREATE_USAGE,
				 "--from says whose changes");
	rc = profile_ref(cli, p.name, ref);
	if (rc == 0)
		rc = cmd_patterns(cli, ARGS_INCLUDE, &p.include);
	if (rc == 0)
		rc = cmd_patterns(cli, ARGS_EXCLUDE, &p.exclude);
	if (rc == 0)
		rc = cmd_profile_make(&p);
	output_progress_end(&cli->out);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		cmd_profile_print_json(&p);
	else
		cmd_profile_print(&p);
	return CONTROL_EXIT_OK;
}

/* --- list, show ----------------------------------------------------------- */

static const struct output_column cmd_profile_columns[] = {
    {"PROFILE", "profile", OUTPUT_TEXT, false},
    {"DIGEST", "digest", OUTPUT_DIGEST, false},
    {"FILES", "files", OUTPUT_COUNT, false},
    {"SIZE", "bytes", OUTPUT_SIZE, false},
    {"MADE OVER", "over", OUTPUT_TEXT, false},
    {"GUESTS", "guests", OUTPUT_TEXT, false},
    {"MADE", "time", OUTPUT_TIME, false},
};

/* A row of the list, NULL: said. */
static json_t *cmd_profile_row(struct cli *cli, const char *name)
{
	CLEANUP_FREE char *over = NULL;
	json_t *json, *guests, *row;

	if (profile_get(cli, name, &json) < 0)
		return NULL;
	if (profile_guests(cli, name, &guests) < 0) {
		json_decref(json);
		return NULL;
	}
	over = profile_over(json_object_get(json, "records"));
	row = json_pack(
	    "{s:s, s:O, s:O, s:O, s:O, s:s, s:o, s:O, s:O}", "profile", name,
	    "digest", json_object_get(json, "revision"), "tree",
	    json_object_get(json, "tree"), "files",
	    json_object_get(json, "files"), "bytes",
	    json_object_get(json, "content_len"), "over", over ? over : "",
	    "guests", guests, "time", json_object_get(json, "time"), "records",
	    json_object_get(json, "records"));
	json_decref(json);
	return row;
}

static int cmd_profile_rows(struct cli *cli, json_t *rows)
{
	json_t *json, *package, *row;
	size_t i;
	int rc = cmd_get(cli, "/v1/packages", NULL, NULL, &json);

	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(json, "packages"), i, package)
	{
		if (!profile_is(package))
			continue;
		row = cmd_profile_row(cli, cmd_text(package, "name"));
		if (!row) {
			rc = -EIO; /* said */
			break;
		}
		json_object_del(row, "records");
		json_array_append_new(rows, row);
	}
	json_decref(json);
	return rc;
}

int cmd_profile_list(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv UNUSED)
{
	json_t *rows = json_array(), *json;
	int rc = cmd_profile_rows(cli, rows);

	if (rc == 0 && cli->out.json) {
		json = json_pack("{s:s, s:O}", "schema", "profile-list/1",
				 "profiles", rows);
		output_json(json);
		json_decref(json);
	} else if (rc == 0) {
		rc = output_table(&cli->out, cmd_profile_columns,
				  ARRAY_LEN(cmd_profile_columns), rows,
				  &cli->failure);
		if (json_array_size(rows) == 0 && !cli->out.quiet &&
		    !cli->out.no_header)
			fprintf(stderr, "no profiles yet; try: "
					"vdrive profile create NAME --from "
					"TENANT/GUEST\n");
	}
	json_decref(rows);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

static void cmd_profile_show_text(struct cli *cli, const json_t *row)
{
	const json_t *guests = json_object_get(row, "guests");
	const json_t *records = json_object_get(row, "records");
	struct output *out = &cli->out;
	char size[OUTPUT_NUMBER_MAX];
	const json_t *over;
	size_t i;

	output_size(size, cmd_number(row, "bytes"), out->exact);
	output_line(out, "%-10s %s", "profile", cmd_text(row, "profile"));
	output_line(out, "%-10s sha256:%s", "revision",
		    cmd_text(row, "digest"));
	output_line(out, "%-10s %s", "tree", cmd_text(row, "tree"));
	output_line(out, "%-10s %ju files, %s; %zu paths that its packages had",
		    "content", (uintmax_t)cmd_number(row, "files"), size,
		    json_array_size(json_object_get(records, "base")));
	json_array_foreach(json_object_get(records, "over"), i, over)
	    output_line(out, "%-10s %s", i ? "" : "made over",
			json_string_value(over));
	for (i = 0; i < json_array_size(guests); i++)
		output_line(out, "%-10s %s", i ? "" : "applied to",
			    json_string_value(json_array_get(guests, i)));
	if (json_array_size(guests) == 0)
		output_line(out, "%-10s nobody", "applied to");
}

int cmd_profile_show(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	json_t *row = cmd_profile_row(cli, argv[0]);

	if (!row)
		return cmd_fail(cli);
	if (cli->out.json) {
		json_object_set_new(row, "schema",
				    json_string("profile-show/1"));
		output_json(row);
	} else {
		cmd_profile_show_text(cli, row);
	}
	json_decref(row);
	return CONTROL_EXIT_OK;
}

/* --- diff ----------------------------------------------------------------- */

struct cmd_profile_diff {
	struct output *out;
	const struct tree *tree;
	json_t *kinds; /* owns; escaped path to its letter */
	json_t *rows;  /* owns */
};

static int cmd_profile_diff_visit(void *ctx, const char *path,
				  const struct tree_entry *entry UNUSED,
				  uint32_t number)
{
	CLEANUP_FREE char *escaped = control_path_escape(path, strlen(path));
	struct cmd_profile_diff *diff = ctx;
	struct tree_inode inode = {.mode = 0};
	const char *kind;

	if (!escaped)
		return -ENOMEM;
	kind = json_string_value(json_object_get(diff->kinds, escaped));
	if (number != TREE_WHITEOUT) {
		tree_inode_get(diff->tree, number, &inode);
		if (!kind && tree_inode_is_implied(&inode))
			return 0;
	}
	return json_array_append_new(
	    diff->rows, json_pack("{s:s, s:s, s:i, s:I}", "change",
				  number == TREE_WHITEOUT ? "D"
				  : kind                  ? kind
							  : "A",
				  "path", escaped, "mode", (int)inode.mode,
				  "size", (json_int_t)inode.size));
}

/* "M ID PATH" */
static void cmd_profile_kinds(const json_t *records, json_t *kinds)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(records, "base"), i, row)
	{
		const char *text = json_string_value(row);

		if (text && json_string_length(row) > 19)
			json_object_set_new(kinds, text + 19,
					    json_stringn(text, 1));
	}
}

static int cmd_profile_diff_one(struct cli *cli, const char *name)
{
	struct cmd_profile_diff diff = {
	    .out = &cli->out, .kinds = json_object(), .rows = json_array()};
	struct tree *tree = NULL;
	json_t *json, *row;
	size_t i;
	int rc = profile_get(cli, name, &json);

	if (rc == 0) {
		rc = cmd_package_tree(cli, json, &tree);
		cmd_profile_kinds(json_object_get(json, "records"), diff.kinds);
		json_decref(json);
	}
	diff.tree = tree;
	if (rc == 0)
		rc = tree_walk(tree, cmd_profile_diff_visit, &diff);
	tree_put(tree);
	json = json_pack("{s:s, s:s, s:O}", "schema", "profile-diff/1",
			 "profile", name, "changes", diff.rows);
	if (rc == 0 && cli->out.json)
		output_json(json);
	json_decref(json);
	json_array_foreach(diff.rows, i, row)
	{
		if (rc == 0 && !cli->out.json)
			output_line(
			    &cli->out, "%s%s%s%s", cmd_text(row, "change"),
			    cli->out.no_header ? "\t" : "  ",
			    cmd_text(row, "path"),
			    S_ISDIR(cmd_number(row, "mode")) ? "/" : "");
	}
	json_decref(diff.kinds);
	json_decref(diff.rows);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

int cmd_profile_diff(struct cli *cli, size_t argc, const char *const *argv)
{
	char refs[2][PROFILE_REF_MAX];
	const char *both[] = {refs[0], refs[1]};

	if (argc == 1)
		return cmd_profile_diff_one(cli, argv[0]);
	if (profile_ref(cli, argv[0], refs[0]) < 0 ||
	    profile_ref(cli, argv[1], refs[1]) < 0)
		return cmd_fail(cli);
	return cmd_package_diff(cli, 2, both);
}

/* --- remove --------------------------------------------------------------- */

int cmd_profile_remove(struct cli *cli, size_t argc UNUSED,
		       const char *const *argv)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	char ref[PROFILE_REF_MAX];
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/packages/remove",
	    .query = {{"ref", ref}, {"dry_run", "1"}}};
	json_t *json;
	int rc = profile_get(cli, argv[0], &json);

	if (rc == 0) {
		json_decref(json);
		rc = profile_ref(cli, argv[0], ref);
	}
	/* Who uses it is said before anybody is asked. */
	if (rc == 0)
		rc = cmd_post(cli, &request, &json);
	if (rc < 0)
		return cmd_fail(cli);
	json_decref(json);
	if (dry_run) {
		output_line(&cli->out, "would remove profile %s", argv[0]);
		return CONTROL_EXIT_OK;
	}
	if (cmd_confirm(cli, "profile %s goes from this depot", argv[0]) < 0)
		return cmd_fail(cli);
	request.query[1].value = "0";
	return cmd_done(cli, &request, "ok  profile %s is gone", argv[0]);
}
