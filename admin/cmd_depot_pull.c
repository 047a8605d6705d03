/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot_pull: a package from an upstream into this host's depot, by the
 * daemon; its content, too, when that is asked for.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"

struct cmd_pull {
	struct cli *cli;
	json_t *package; /* owns */
	uint64_t shards, fetched, here;
};

static int cmd_pull_step(struct cmd_pull *pull, uint64_t *next)
{
	char first[OUTPUT_NUMBER_MAX];
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/pull/shards",
	    .query = {{"tree", cmd_text(pull->package, "tree")},
		      {"first", first}},
	    .is_long = true};
	json_t *json;
	int rc;

	snprintf(first, sizeof(first), "%ju", (uintmax_t)*next);
	rc = cmd_post(pull->cli, &request, &json);
	if (rc < 0)
		return rc;
	*next = cmd_number(json, "next");
	pull->fetched += cmd_number(json, "fetched");
	pull->here = cmd_number(json, "here");
	json_decref(json);
	return 0;
}

static int cmd_pull_shards(struct cmd_pull *pull)
{
	uint64_t bytes = cmd_number(pull->package, "content_len"), next = 0;
	struct output_progress_state progress = {.phase = "pulling",
						 .bytes_total = bytes};
	int rc = 0;

	pull->shards = cmd_number(pull->package, "shards");
	do {
		if (interrupt_seen())
			rc = failure_set(&pull->cli->failure, -EINTR,
					 CONTROL_EXIT_INTERRUPTED,
					 "interrupted; what has come is kept");
		else
			rc = cmd_pull_step(pull, &next);
		progress.bytes_done =
		    (uint64_t)((double)bytes * (double)next /
			       (double)MAX(pull->shards, (uint64_t)1));
		output_progress(&pull->cli->out, &progress);
	} while (rc == 0 && next < pull->shards);
	output_progress_end(&pull->cli->out);
	if (rc == 0 && pull->here < pull->shards) {
		rc = failure_set(&pull->cli->failure, -ENOSPC,
				 CONTROL_EXIT_NO_SPACE,
				 "%ju of %ju shards could not be kept: the "
				 "store is full",
				 (uintmax_t)(pull->shards - pull->here),
				 (uintmax_t)pull->shards);
		failure_hint(&pull->cli->failure,
			     "try: a larger store.size, or vdrive package pin");
	}
	return rc;
}

static void cmd_pull_print(const struct cmd_pull *pull, bool all)
{
	struct output *out = &pull->cli->out;
	const json_t *package = pull->package;

	if (out->json) {
		if (all) {
			json_object_set_new(
			    pull->package, "fetched",
			    json_integer((json_int_t)pull->fetched));
			json_object_set_new(
			    pull->package, "here",
			    json_integer((json_int_t)pull->here));
		}
		output_json(package);
		return;
	}
	output_line(out, "%s:%s  sha256:%.12s  from upstream %s",
		    cmd_text(package, "name"), cmd_text(package, "tag"),
		    cmd_text(package, "revision"),
		    cmd_text(package, "upstream"));
	if (all)
		output_line(out, "  all %ju shards are here, %ju were fetched",
			    (uintmax_t)pull->here, (uintmax_t)pull->fetched);
}

int cmd_depot_pull(struct cli *cli, size_t argc UNUSED, const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/pull",
	    .query = {{"ref", argv[0]}, {"from", cli->args.value[ARGS_FROM]}},
	    .is_long = true};
	bool all = args_has(&cli->args, ARGS_ALL_SHARDS);
	struct cmd_pull pull = {.cli = cli};
	int rc;

	rc = cmd_post(cli, &request, &pull.package);
	if (rc < 0)
		return cmd_fail(cli);
	if (all)
		rc = cmd_pull_shards(&pull);
	if (rc == 0)
		cmd_pull_print(&pull, all);
	json_decref(pull.package);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
