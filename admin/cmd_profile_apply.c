/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_profile_apply: profiles onto guests, and off them. */
#include <stdio.h>

#include "admin/cmd_profile.h"

enum { PROFILE_CONFLICTS_TOLD = 40 };

/* The packages of `has` that `over` names too, in other revisions. */
static void apply_print_has(const json_t *json, char *text, size_t cap)
{
	const json_t *over, *has;
	size_t used = 0, i, k;

	*text = '\0';
	json_array_foreach(json_object_get(json, "over"), i, over)
	{
		const char *was = json_string_value(over);

		json_array_foreach(json_object_get(json, "has"), k, has)
		{
			const char *is = json_string_value(has);
			size_t len = strcspn(is, ":");

			if (strncmp(was, is, len + 1) == 0 &&
			    strcmp(was, is) != 0 && used + 200 < cap)
				used +=
				    (size_t)snprintf(text + used, cap - used,
						     "%s%.*s", used ? ", " : "",
						     (int)strcspn(is, " "), is);
		}
	}
}

static void apply_print_conflicts(struct output *out, const json_t *json)
{
	const json_t *rows = json_object_get(json, "conflicts"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		bool gone = cmd_number(row, "now_mode") == 0;

		if (i == PROFILE_CONFLICTS_TOLD && !out->verbose) {
			output_line(out, "  and %zu more; -v lists all",
				    json_array_size(rows) - i);
			return;
		}
		if (json_is_true(json_object_get(row, "differs")))
			output_line(
			    out, "  %-40s %s over %s  (kept: profile)",
			    cmd_text(row, "path"), cmd_text(row, "profile"),
			    gone                                    ? "D"
			    : strcmp(cmd_text(row, "profile"), "A") ? "M"
								    : "A");
	}
}

/* The guest's own changes of files that change. */
static void apply_print_own(struct output *out, const json_t *json)
{
	const char *kept = cmd_number(json, "kept")     ? "kept: the guest's"
			   : cmd_number(json, "parked") ? "parked"
							: "in the way";
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(json, "own"), i, row)
	    output_line(out, "  %-40s changed by the guest  (%s)",
			cmd_text(row, "path"), kept);
}

static void apply_print(struct cli *cli, const json_t *json)
{
	CLEANUP_FREE char *over = profile_over(json);
	const char *guest = cmd_text(json, "guest");
	bool dry_run = json_is_true(json_object_get(json, "dry_run"));
	struct output *out = &cli->out;
	char has[2048];

	apply_print_has(json, has, sizeof(has));
	output_line(
	    out,
	    "%s  %s: %ju added, %ju modified, %ju with other attributes, "
	    "%ju deleted",
	    dry_run ? "would" : "ok", guest,
	    (uintmax_t)cmd_number(json, "added"),
	    (uintmax_t)cmd_number(json, "modified"),
	    (uintmax_t)cmd_number(json, "meta"),
	    (uintmax_t)cmd_number(json, "deleted"));
	if (over && *over)
		output_line(out, "  made over %s%s%s%s%s: %ju paths differ",
			    over, *has ? ", " : "", *has ? guest : "",
			    *has ? " has " : "", has,
			    (uintmax_t)cmd_number(json, "differing"));
	apply_print_conflicts(out, json);
	apply_print_own(out, json);
	if (!dry_run && !json_is_true(json_object_get(json, "changed")))
		output_line(out, "  it had the profile already");
}

static int apply_one(struct cli *cli, const char *name, const char *guest)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/profiles/apply",
	    .query = {{"profile", name},
		      {"guest", guest},
		      {"dry_run", dry_run ? "1" : "0"},
		      {"conflicts", cli->args.value[ARGS_CONFLICTS]}},
	    .is_long = true};
	json_t *json;
	int rc = cmd_post(cli, &request, &json);

	if (rc == -ENOENT && strstr(cli->failure.message, "no guest"))
		cmd_suggest(cli, "/v1/guests", "guests", "guest", guest);
	if (rc < 0)
		return rc;
	if (cli->out.json)
		output_json(json);
	else
		apply_print(cli, json);
	json_decref(json);
	return 0;
}

int cmd_profile_apply(struct cli *cli, size_t argc, const char *const *argv)
{
	json_t *json;
	int rc = profile_get(cli, argv[0], &json);

	if (rc == 0)
		json_decref(json);
	for (size_t i = 1; rc == 0 && i < argc; i++)
		rc = apply_one(cli, argv[0], argv[i]);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

static void detach_print(struct cli *cli, const json_t *json)
{
	output_line(
	    &cli->out, "%s  profile %s is off %s%s",
	    json_is_true(json_object_get(json, "dry_run")) ? "would" : "ok",
	    cmd_text(json, "profile"), cmd_text(json, "guest"),
	    cmd_number(json, "kept") ? ", which keeps what it has changed of it"
				     : "");
	apply_print_own(&cli->out, json);
}

int cmd_profile_detach(struct cli *cli, size_t argc, const char *const *argv)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/profiles/detach",
	    .query = {{"profile", argv[0]},
		      {"guest", NULL},
		      {"dry_run", dry_run ? "1" : "0"},
		      {"conflicts", cli->args.value[ARGS_CONFLICTS]}},
	    .is_long = true};
	json_t *json;

	for (size_t i = 1; i < argc; i++) {
		request.query[1].value = argv[i];
		if (cmd_post(cli, &request, &json) < 0)
			return cmd_fail(cli);
		if (cli->out.json)
			output_json(json);
		else
			detach_print(cli, json);
		json_decref(json);
	}
	return CONTROL_EXIT_OK;
}
