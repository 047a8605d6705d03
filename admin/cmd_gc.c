/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_gc: packages are removed, and what nothing points at any more is
 * collected.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"

/* --- package remove --------------------------------------------------------
 */

static int cmd_remove_one(struct cli *cli, const char *ref, bool dry_run,
			  json_t **json)
{
	const char *force = args_has(&cli->args, ARGS_FORCE) ? "1" : "0";
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/packages/remove",
	    .query = {{"ref", ref},
		      {"force", force},
		      {"dry_run", dry_run ? "1" : "0"}}};
	int rc;

	rc = cmd_post(cli, &request, json);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, ref);
	return rc;
}

static void cmd_remove_told(struct cli *cli, const char *ref,
			    const json_t *json)
{
	bool dry_run = json_is_true(json_object_get(json, "dry_run"));
	const char *until = cmd_text(json, "kept_until");

	if (cli->out.json) {
		output_json(json);
		return;
	}
	if (!*until)
		output_line(&cli->out,
			    "%s %s; its content stays: another tag, or "
			    "something else, points at it",
			    dry_run ? "would remove" : "ok  removed", ref);
	else
		output_line(&cli->out,
			    "%s %s; its content stays until %s, then the "
			    "depot collects it",
			    dry_run ? "would remove" : "ok  removed", ref,
			    until);
}

int cmd_package_remove(struct cli *cli, size_t argc, const char *const *argv)
{
	bool dry_run = args_has(&cli->args, ARGS_DRY_RUN);
	json_t *json;

	/* All are asked for before one goes. */
	for (size_t i = 0; i < argc; i++) {
		if (cmd_remove_one(cli, argv[i], true, &json) < 0)
			return cmd_fail(cli);
		if (dry_run)
			cmd_remove_told(cli, argv[i], json);
		json_decref(json);
	}
	if (dry_run)
		return CONTROL_EXIT_OK;
	if (cmd_confirm(cli, "%s%s %s from this depot", argv[0],
			argc > 1 ? " and others" : "",
			argc > 1 ? "go" : "goes") < 0)
		return cmd_fail(cli);
	for (size_t i = 0; i < argc; i++) {
		if (cmd_remove_one(cli, argv[i], false, &json) < 0)
			return cmd_fail(cli);
		cmd_remove_told(cli, argv[i], json);
		json_decref(json);
	}
	return CONTROL_EXIT_OK;
}

/* --- depot gc --------------------------------------------------------------
 */

struct cmd_gc {
	struct cli *cli;
	bool dry_run;
	const char *step; /* borrows; NULL: the daemon's */
	char from[DIGEST_HEX_LEN + 1];
	struct output_progress_state progress;
	uint64_t looked, removed, bytes, guarded, trees_removed, trees_waiting,
	    trees_busy;
	char next_due[40];
	bool nothing;
};

static void cmd_gc_progress(struct cmd_gc *gc, const json_t *json)
{
	unsigned int first = 0;

	sscanf(cmd_text(json, "position"), "%4x", &first);
	gc->progress.phase = json_is_true(json_object_get(json, "compacting"))
				 ? "giving space back"
				 : "collecting";
	gc->progress.bytes_done = gc->progress.bytes_total / 65536 * first;
	output_progress(&gc->cli->out, &gc->progress);
}

/* A step's answer; of a dry run figures are of the step alone. */
static void cmd_gc_add(struct cmd_gc *gc, const json_t *json, bool first)
{
	if (!gc->dry_run)
		gc->looked = gc->removed = gc->bytes = 0;
	gc->looked += cmd_number(json, "looked");
	gc->removed += cmd_number(json, "removed");
	gc->bytes += cmd_number(json, "bytes");
	gc->guarded += cmd_number(json, "guarded");
	if (gc->dry_run)
		gc->trees_removed = 0;
	gc->trees_removed += cmd_number(json, "trees_removed");
	if (first) {
		gc->trees_waiting = cmd_number(json, "trees_waiting");
		gc->trees_busy = cmd_number(json, "trees_busy");
		snprintf(gc->next_due, sizeof(gc->next_due), "%s",
			 cmd_text(json, "next_due"));
		gc->nothing = json_is_true(json_object_get(json, "nothing"));
	}
	snprintf(gc->from, sizeof(gc->from), "%s", cmd_text(json, "position"));
}

static int cmd_gc_step(struct cmd_gc *gc, bool first, bool *done)
{
	struct client_request request = {
	    .method = gc->dry_run ? "GET" : "POST",
	    .path = "/v1/depot/gc",
	    .query = {{"step", gc->step},
		      {"from", gc->dry_run ? gc->from : NULL}},
	    .is_long = true};
	json_t *json;
	int rc;

	if (interrupt_seen())
		return failure_set(&gc->cli->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED,
				   "interrupted; the next collection goes on "
				   "from here");
	/* A query parameter without a value would end the list. */
	if (!gc->step) {
		request.query[0] = request.query[1];
		request.query[1].key = NULL;
	}
	rc = client_json(gc->cli->client, &request, &json, &gc->cli->failure);
	if (rc < 0)
		return rc;
	cmd_gc_add(gc, json, first);
	*done = json_is_true(json_object_get(json, "done"));
	cmd_gc_progress(gc, json);
	json_decref(json);
	return 0;
}

static void cmd_gc_json(const struct cmd_gc *gc)
{
	json_t *json = json_pack(
	    "{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
	    "type", "summary", "schema", "depot-gc/1", "dry_run",
	    (int)gc->dry_run, "nothing", (int)gc->nothing, "looked",
	    (json_int_t)gc->looked, "removed", (json_int_t)gc->removed, "bytes",
	    (json_int_t)gc->bytes, "guarded", (json_int_t)gc->guarded,
	    "trees_removed", (json_int_t)gc->trees_removed, "trees_waiting",
	    (json_int_t)gc->trees_waiting, "trees_busy",
	    (json_int_t)gc->trees_busy, "next_due",
	    *gc->next_due ? json_string(gc->next_due) : json_null());

	if (json)
		output_json(json);
	json_decref(json);
}

static void cmd_gc_text(const struct cmd_gc *gc)
{
	struct output *out = &gc->cli->out;
	char count[OUTPUT_NUMBER_MAX], size[OUTPUT_NUMBER_MAX];

	output_count(count, gc->removed, out->exact);
	output_size(size, gc->bytes, out->exact);
	if (gc->nothing)
		output_line(out, "nothing was released since the last "
				 "collection");
	else
		output_line(out, "%s %s shards (%s) and %ju trees",
			    gc->dry_run ? "would remove" : "removed", count,
			    size, (uintmax_t)gc->trees_removed);
	if (gc->guarded > 0)
		output_line(out,
			    "  %ju shards stay: somebody is just making "
			    "a package of them",
			    (uintmax_t)gc->guarded);
	if (gc->trees_busy > 0)
		output_line(out,
			    "  %ju trees stay: somebody is at work on "
			    "them, or on the depot",
			    (uintmax_t)gc->trees_busy);
	if (gc->trees_waiting > 0)
		output_line(out,
			    "  %ju trees without a pointer wait, the "
			    "first until %s",
			    (uintmax_t)gc->trees_waiting, gc->next_due);
}

int cmd_depot_gc(struct cli *cli, size_t argc UNUSED,
		 const char *const *argv UNUSED)
{
	struct cmd_gc gc = {.cli = cli,
			    .dry_run = args_has(&cli->args, ARGS_DRY_RUN),
			    .step = cli->args.value[ARGS_STEP]};
	unsigned long step = 0;
	bool done = false;
	json_t *json;

	if (gc.step && (args_number(gc.step, 65536, &step) < 0 || step == 0))
		return cmd_usage(cli, "vdrive depot gc --step 1000",
				 "--step: \"%s\" is no number of shards up to "
				 "65536",
				 gc.step);
	if (cmd_get(cli, "/v1/status", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	gc.progress.bytes_total =
	    cmd_number(json_object_get(json, "depot"), "bytes_stored");
	json_decref(json);
	memset(gc.from, '0', DIGEST_HEX_LEN);
	for (bool first = true; !done; first = false)
		if (cmd_gc_step(&gc, first, &done) < 0) {
			output_progress_end(&cli->out);
			return cmd_fail(cli);
		}
	output_progress_end(&cli->out);
	if (cli->out.json)
		cmd_gc_json(&gc);
	else
		cmd_gc_text(&gc);
	return CONTROL_EXIT_OK;
}
