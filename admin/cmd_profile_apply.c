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
		const char *guest = cmd_text(row, "guest");
		bool gone = cmd_number(row, "now_mode") == 0;

		if (i == PROFILE_CONFLICTS_TOLD && !out->verbose) {
			output_line(out, "  and %zu more; -v lists all",
				    json_array_size(rows) - i);
			return;
		}
		if (*guest)
			output_line(out, "  %-40s %s over the guest's own %s",
				    cmd_text(row, "path"),
				    cmd_text(row, "profile"), guest);
		else
			output_line(
			    out, "  %-40s %s over %s  (kept: profile)",
			    cmd_text(row, "path"), cmd_text(row, "profile"),
			    gone                                    ? "D"
			    : strcmp(cmd_text(row, "profile"), "A") ? "M"
								    : "A");
	}
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
	if (!dry_run && !json_is_true(json_object_get(json, "changed")))
		output_line(out, "  it had the profile already");
}

static int apply_one(struct cli *cli, const char *name, const char *guest,
		     bool careful)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/profiles/apply",
	    .query = {{"profile", name},
		      {"guest", guest},
		      {"dry_run", dry_run ? "1" : "0"},
		      {"careful", careful ? "1" : "0"}},
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

/* --conflicts: "fail" refuses whatever differs; else the profile's version is
 * seen. */
static int apply_careful(struct cli *cli, bool *careful)
{
	const char *text = cli->args.value[ARGS_CONFLICTS];

	*careful = text && strcmp(text, "fail") == 0;
	if (!text || *careful || strcmp(text, "profile") == 0)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "--conflicts: \"%s\" is not known", text);
	failure_hint(&cli->failure, "try: fail or profile");
	return -EINVAL;
}

int cmd_profile_apply(struct cli *cli, size_t argc, const char *const *argv)
{
	bool careful;
	json_t *json;
	int rc = apply_careful(cli, &careful);

	if (rc == 0)
		rc = profile_get(cli, argv[0], &json);
	if (rc == 0)
		json_decref(json);
	for (size_t i = 1; rc == 0 && i < argc; i++)
		rc = apply_one(cli, argv[0], argv[i], careful);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

int cmd_profile_detach(struct cli *cli, size_t argc, const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/profiles/detach",
					 .query = {{"profile", argv[0]}},
					 .is_long = true};
	int rc = CONTROL_EXIT_OK;

	for (size_t i = 1; rc == CONTROL_EXIT_OK && i < argc; i++) {
		request.query[1] = (struct client_query){"guest", argv[i]};
		rc = cmd_done(cli, &request, "ok  profile %s is off %s",
			      argv[0], argv[i]);
	}
	return rc;
}
