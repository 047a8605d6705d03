/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_prefetch: packages brought here before anybody asks, and what of them is
 * here.
 */
#include <stdio.h>
#include <time.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"

enum {
	PREFETCH_POLL_MS = 200,
	PREFETCH_STALL_SEC = 60, /* nothing came for so long: give up */
};

/* --- one package --------------------------------------------------------- */

struct cmd_prefetch {
	struct cli *cli;
	const char *ref; /* borrows */
	char id[24];
	char what[8]; /* "plan" or "all" */
	uint64_t total, done, failed, bytes_total, bytes_done;
	bool over;
	struct output_progress_state progress;
};

static void cmd_prefetch_note(struct cmd_prefetch *p, const json_t *json)
{
	p->over = json_is_true(json_object_get(json, "over"));
	p->total = cmd_number(json, "shards_total");
	p->done = cmd_number(json, "shards_done");
	p->failed = cmd_number(json, "shards_failed");
	p->bytes_total = cmd_number(json, "bytes_total");
	p->bytes_done = cmd_number(json, "bytes_done");
	p->progress.phase = "fetching";
	p->progress.bytes_done = p->bytes_done;
	p->progress.bytes_total = p->bytes_total;
	p->progress.files_done = p->done;
	p->progress.files_total = p->total;
}

static int cmd_prefetch_begin(struct cmd_prefetch *p, const char *what,
			      const char *tenant)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/prefetch",
	    .query = {{"ref", p->ref}, {"what", what}, {"tenant", tenant}},
	    .is_long = true};
	json_t *json;
	int rc;

	rc = cmd_post(p->cli, &request, &json);
	if (rc < 0)
		return rc;
	snprintf(p->id, sizeof(p->id), "%ju",
		 (uintmax_t)cmd_number(json, "id"));
	snprintf(p->what, sizeof(p->what), "%s", cmd_text(json, "what"));
	cmd_prefetch_note(p, json);
	json_decref(json);
	return 0;
}

static void cmd_prefetch_cancel(struct cmd_prefetch *p)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/prefetch/cancel",
					 .query = {{"id", p->id}},
					 .must_finish = true};
	struct failure failure = {.code = 0};
	json_t *json;

	/* What made us give up is what is told. */
	if (client_json(p->cli->client, &request, &json, &failure) == 0)
		json_decref(json);
	failure_clear(&failure);
}

static int cmd_prefetch_poll(struct cmd_prefetch *p)
{
	struct timespec pause = {0, PREFETCH_POLL_MS * 1000000L};
	json_t *json;
	int rc;

	nanosleep(&pause, NULL);
	if (interrupt_seen())
		return failure_set(&p->cli->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED, "interrupted");
	rc = cmd_get(p->cli, "/v1/prefetch", "id", p->id, &json);
	if (rc < 0)
		return rc;
	cmd_prefetch_note(p, json);
	json_decref(json);
	output_progress(&p->cli->out, &p->progress);
	return 0;
}

/* Some shards did not come: in part, or not at all. */
static int cmd_prefetch_short(struct cmd_prefetch *p, bool stalled)
{
	int code = p->done > 0 ? CONTROL_EXIT_PARTIAL : CONTROL_EXIT_UPSTREAM;

	failure_set(&p->cli->failure, -EHOSTUNREACH, code,
		    "%s: %ju of %ju shards came%s", p->ref, (uintmax_t)p->done,
		    (uintmax_t)p->total,
		    stalled ? ", then none for too long" : "");
	failure_hint(&p->cli->failure, "try: vdrive upstream list");
	return -EHOSTUNREACH;
}

static int cmd_prefetch_wait(struct cmd_prefetch *p)
{
	unsigned long stall_sec = PREFETCH_STALL_SEC;
	const char *timeout = p->cli->args.value[ARGS_TIMEOUT];
	uint64_t waited_ms = 0, seen = p->done + p->failed;
	int rc = 0;

	if (timeout && args_number(timeout, 86400, &stall_sec) < 0)
		stall_sec = PREFETCH_STALL_SEC;
	while (rc == 0 && !p->over && waited_ms < stall_sec * 1000) {
		rc = cmd_prefetch_poll(p);
		waited_ms += PREFETCH_POLL_MS;
		if (p->done + p->failed != seen)
			waited_ms = 0;
		seen = p->done + p->failed;
	}
	output_progress_end(&p->cli->out);
	if (rc == 0 && p->over && p->failed == 0)
		return 0;
	if (!p->over)
		cmd_prefetch_cancel(p);
	return rc < 0 ? rc : cmd_prefetch_short(p, !p->over);
}

static void cmd_prefetch_print(struct cmd_prefetch *p)
{
	char bytes[OUTPUT_NUMBER_MAX];
	json_t *json;

	if (!p->cli->out.json) {
		output_size(bytes, p->bytes_done, p->cli->out.exact);
		output_line(&p->cli->out,
			    "ok  %s: %s is here, %ju shards (%s) "
			    "fetched",
			    p->ref,
			    strcmp(p->what, "all") == 0 ? "all of it"
							: "its plan",
			    (uintmax_t)p->done, bytes);
		return;
	}
	json = json_pack("{s:s, s:s, s:s, s:I, s:I}", "schema",
			 "package-prefetch/1", "package", p->ref, "what",
			 p->what, "shards", (json_int_t)p->done, "bytes",
			 (json_int_t)p->bytes_done);
	if (json)
		output_json(json);
	json_decref(json);
}

int cmd_prefetch_ref(struct cli *cli, const char *ref, const char *what,
		     const char *tenant)
{
	struct cmd_prefetch p = {.cli = cli, .ref = ref};
	int rc;

	rc = cmd_prefetch_begin(&p, what, tenant);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, ref);
	if (rc == 0)
		rc = cmd_prefetch_wait(&p);
	if (rc == 0)
		cmd_prefetch_print(&p);
	return rc;
}

/* All are tried; the first failure is the one that is told. */
int cmd_package_prefetch(struct cli *cli, size_t argc, const char *const *argv)
{
	const char *what = NULL;
	int code = CONTROL_EXIT_OK;

	if (args_has(&cli->args, ARGS_ALL))
		what = "all";
	else if (args_has(&cli->args, ARGS_PLAN))
		what = "plan";
	for (size_t i = 0; i < argc; i++) {
		if (cmd_prefetch_ref(cli, argv[i], what, NULL) == 0)
			continue;
		if (code == CONTROL_EXIT_OK)
			code = cli->failure.code;
		(void)cmd_fail(cli);
		failure_clear(&cli->failure);
		if (code == CONTROL_EXIT_INTERRUPTED)
			break;
	}
	return code;
}

/* --- resident ------------------------------------------------------------ */

static const struct output_column cmd_resident_columns[] = {
    {"PACKAGE", "package", OUTPUT_TEXT, false},
    {"RESIDENT", "resident", OUTPUT_YES, false},
    {"SHARDS", "shards", OUTPUT_COUNT, false},
    {"HERE", "shards_here", OUTPUT_COUNT, false},
    {"SIZE", "bytes", OUTPUT_SIZE, false},
    {"SIZE HERE", "bytes_here", OUTPUT_SIZE, false},
    {"PLAN", "plan", OUTPUT_TEXT, false},
    {"PLAN SHARDS", "plan_shards", OUTPUT_COUNT, true},
    {"PLAN HERE", "plan_shards_here", OUTPUT_COUNT, true},
};

/* Rows of one argument added to `all`. */
static int cmd_resident_add(struct cli *cli, const char *name, json_t *all)
{
	bool guest = name && strchr(name, '/');
	struct client_request request = {
	    .method = "GET",
	    .path = "/v1/resident",
	    .query = {{guest ? "guest" : "ref", name}},
	    .is_long = true};
	json_t *json;
	int rc;

	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT && guest)
		cmd_suggest(cli, "/v1/guests", "guests", "guest", name);
	else if (rc == -ENOENT)
		cmd_suggest_package(cli, name);
	if (rc < 0)
		return rc;
	json_array_extend(all, json_object_get(json, "packages"));
	json_decref(json);
	return 0;
}

static bool cmd_resident_whole(const json_t *rows)
{
	bool whole = true;

	for (size_t i = 0; i < json_array_size(rows); i++)
		whole &= json_is_true(
		    json_object_get(json_array_get(rows, i), "resident"));
	return whole;
}

static int cmd_resident_print(struct cli *cli, json_t *all)
{
	bool whole = cmd_resident_whole(all);
	struct output *out = &cli->out;
	json_t *json;
	int rc;

	if (out->json) {
		json =
		    json_pack("{s:s, s:b, s:O}", "schema", "package-resident/1",
			      "resident", (int)whole, "packages", all);
		if (json)
			output_json(json);
		json_decref(json);
	} else {
		rc = output_table(out, cmd_resident_columns,
				  ARRAY_LEN(cmd_resident_columns), all,
				  &cli->failure);
		if (rc < 0)
			return cmd_fail(cli);
		if (!out->no_header && !out->quiet)
			fprintf(stderr, "%s\n",
				whole ? "all of it is here: it would live "
					"through an outage"
				      : "not all of it is here: try: vdrive "
					"package prefetch --all");
	}
	return whole ? CONTROL_EXIT_OK : CONTROL_EXIT_FAILED;
}

int cmd_package_resident(struct cli *cli, size_t argc, const char *const *argv)
{
	json_t *all = json_array();
	int rc = all ? 0 : -ENOMEM;
	int code;

	if (rc < 0)
		failure_errno(&cli->failure, rc, "resident");
	if (rc == 0 && argc == 0)
		rc = cmd_resident_add(cli, NULL, all);
	for (size_t i = 0; rc == 0 && i < argc; i++)
		rc = cmd_resident_add(cli, argv[i], all);
	code = rc < 0 ? cmd_fail(cli) : cmd_resident_print(cli, all);
	json_decref(all);
	return code;
}
