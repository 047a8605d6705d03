/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot_look: what the depot holds, and whether it is whole.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/interrupt.h"

/* --- depot du --------------------------------------------------------------
 */

static const struct output_column cmd_du_columns[] = {
    {"NAME", "name", OUTPUT_TEXT, false},
    {"CONTENT", "logical", OUTPUT_SIZE, false},
    {"STORED", "stored", OUTPUT_SIZE, false},
    {"SHARED", "shared", OUTPUT_SIZE, false},
    {"ALONE", "unique", OUTPUT_SIZE, false},
    {"WARM", "shards_here", OUTPUT_COUNT, false},
    {"COLD", "shards_cold", OUTPUT_COUNT, false},
    {"TO FETCH", "cold", OUTPUT_SIZE, false},
    {"SHARDS", "shards", OUTPUT_COUNT, true},
};

static void cmd_du_total(struct output *out, const json_t *total)
{
	static const struct {
		const char *key, *what;
	} rows[] = {
	    {"stored", "stored in all"},
	    {"live", "of it in use"},
	    {"waiting", "of removed packages, kept for a while"},
	    {"garbage", "of nobody, for the next collection"},
	    {"disk", "blocks on the disk"},
	};
	char size[OUTPUT_NUMBER_MAX];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		output_size(size, cmd_number(total, rows[i].key), out->exact);
		output_line(out, "%12s  %s", size, rows[i].what);
	}
}

int cmd_depot_du(struct cli *cli, size_t argc UNUSED,
		 const char *const *argv UNUSED)
{
	const char *by = cli->args.value[ARGS_BY];
	struct client_request request = {.method = "GET",
					 .path = "/v1/depot/du",
					 .query = {{"by", by ? by : "package"}},
					 .is_stream = true};
	json_t *json;
	int rc;

	if (by && strcmp(by, "package") != 0 && strcmp(by, "tenant") != 0)
		return cmd_usage(cli, "vdrive depot du --by tenant",
				 "--by: \"%s\" is neither package nor tenant",
				 by);
	if (cmd_post(cli, &request, &json) < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
		json_decref(json);
		return CONTROL_EXIT_OK;
	}
	rc = output_table(&cli->out, cmd_du_columns, ARRAY_LEN(cmd_du_columns),
			  json_object_get(json, "rows"), &cli->failure);
	if (rc == 0 && !cli->out.no_header)
		cmd_du_total(&cli->out, json_object_get(json, "total"));
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* --- depot verify ----------------------------------------------------------
 */

struct cmd_check {
	struct cli *cli;
	char *refs; /* owns; the body */
	bool repair;
	char from[DIGEST_HEX_LEN + 1];
	struct output_progress_state progress;
	uint64_t files, shards, bytes, cold, bad, repaired, unreachable;
	json_t *list; /* owns */
};

static void cmd_check_clear(struct cmd_check *check)
{
	free(check->refs);
	json_decref(check->list);
}

static int cmd_check_refs(struct cmd_check *check, size_t argc,
			  const char *const *argv)
{
	size_t len = 1;

	for (size_t i = 0; i < argc; i++)
		len += strlen(argv[i]) + 1;
	check->refs = calloc(1, len);
	check->list = json_array();
	if (!check->refs || !check->list)
		return failure_errno(&check->cli->failure, -ENOMEM, "verify");
	for (size_t i = 0; i < argc; i++) {
		strcat(check->refs, argv[i]);
		strcat(check->refs, "\n");
	}
	return 0;
}

/* "shard 0123...: damaged, fetched again (python3:1, ...)" */
static void cmd_check_line(struct cmd_check *check, const json_t *bad)
{
	const json_t *packages = json_object_get(bad, "packages");
	char names[512] = "";
	size_t len = 0;

	for (size_t i = 0; i < json_array_size(packages); i++) {
		int n = snprintf(
		    names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
		    json_string_value(json_array_get(packages, i)));

		if (n < 0 || (size_t)n >= sizeof(names) - len)
			break;
		len += (size_t)n;
	}
	output_line(
	    &check->cli->out, "%s %.*s  %s%s%s  (%s)", cmd_text(bad, "kind"),
	    check->cli->out.exact ? DIGEST_HEX_LEN : 12, cmd_text(bad, "name"),
	    json_is_true(json_object_get(bad, "missing")) ? "missing"
							  : "damaged",
	    json_is_true(json_object_get(bad, "repaired"))
		? ", a good one is here now"
	    : *cmd_text(bad, "why") ? "; "
				    : "",
	    json_is_true(json_object_get(bad, "repaired"))
		? ""
		: cmd_text(bad, "why"),
	    *names ? names : "no package");
}

static void cmd_check_add(struct cmd_check *check, const json_t *json)
{
	const json_t *bad = json_object_get(json, "bad");

	check->files += cmd_number(json, "files");
	check->shards += cmd_number(json, "shards");
	check->bytes += cmd_number(json, "bytes");
	check->cold += cmd_number(json, "cold");
	check->bad += cmd_number(json, "bad_count");
	check->repaired += cmd_number(json, "repaired");
	check->unreachable += cmd_number(json, "unreachable");
	if (json_array_size(bad) > 0)
		output_progress_end(&check->cli->out);
	for (size_t i = 0; i < json_array_size(bad); i++) {
		if (check->cli->out.json)
			json_array_append(check->list, json_array_get(bad, i));
		else
			cmd_check_line(check, json_array_get(bad, i));
	}
	check->progress.bytes_done = check->bytes;
	output_progress(&check->cli->out, &check->progress);
}

static int cmd_check_step(struct cmd_check *check, bool files, bool *done)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/depot/verify",
	    .query = {{"from", check->from},
		      {"repair", check->repair ? "1" : "0"},
		      {"files", files ? "1" : "0"}},
	    .body = check->refs,
	    .body_len = strlen(check->refs),
	    .is_stream = true};
	json_t *json;
	int rc;

	if (interrupt_seen())
		return failure_set(&check->cli->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED, "interrupted");
	rc = client_json(check->cli->client, &request, &json,
			 &check->cli->failure);
	if (rc < 0)
		return rc;
	cmd_check_add(check, json);
	*done = json_is_true(json_object_get(json, "done"));
	if (!files)
		snprintf(check->from, sizeof(check->from), "%s",
			 cmd_text(json, "next"));
	json_decref(json);
	return 0;
}

static void cmd_check_print(struct cmd_check *check)
{
	struct output *out = &check->cli->out;
	char size[OUTPUT_NUMBER_MAX], count[OUTPUT_NUMBER_MAX];
	json_t *json;

	if (out->json) {
		json = json_pack(
		    "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "type",
		    "summary", "schema", "depot-verify/1", "files",
		    (json_int_t)check->files, "shards",
		    (json_int_t)check->shards, "bytes",
		    (json_int_t)check->bytes, "cold", (json_int_t)check->cold,
		    "bad", (json_int_t)check->bad, "repaired",
		    (json_int_t)check->repaired, "findings", check->list);
		if (json)
			output_json(json);
		json_decref(json);
		return;
	}
	output_size(size, check->bytes, out->exact);
	output_count(count, check->shards, out->exact);
	output_line(out,
		    "%s%s shards (%s) and %ju trees read again; %ju bad, %ju "
		    "of them repaired; %ju shards are only upstream",
		    check->bad == 0 ? "ok  " : "", count, size,
		    (uintmax_t)check->files, (uintmax_t)check->bad,
		    (uintmax_t)check->repaired, (uintmax_t)check->cold);
}

/* What is bad and stays so, as an exit code. */
static int cmd_check_end(struct cmd_check *check)
{
	struct failure *failure = &check->cli->failure;
	uint64_t left = check->bad - check->repaired;

	if (left == 0)
		return CONTROL_EXIT_OK;
	if (!check->repair) {
		failure_set(failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			    "%ju objects of the depot are damaged or missing",
			    (uintmax_t)left);
		failure_hint(failure, "try: vdrive depot verify --repair");
	} else if (check->unreachable > 0) {
		failure_set(failure, -EHOSTUNREACH, CONTROL_EXIT_UPSTREAM,
			    "%ju objects are not repaired: no upstream gave "
			    "%ju of them",
			    (uintmax_t)left, (uintmax_t)check->unreachable);
		failure_hint(failure, "try: vdrive upstream list");
	} else {
		failure_set(failure, -EBADMSG, CONTROL_EXIT_FAILED,
			    "%ju objects cannot be repaired: they came from no "
			    "upstream",
			    (uintmax_t)left);
		failure_hint(failure, "try: vdrive package create of the same "
				      "content again");
	}
	return cmd_fail(check->cli);
}

int cmd_depot_verify(struct cli *cli, size_t argc, const char *const *argv)
{
	CLEANUP(cmd_check_clear)
	struct cmd_check check = {.cli = cli,
				  .repair = args_has(&cli->args, ARGS_REPAIR),
				  .progress.phase = "verifying"};
	bool done = false;
	json_t *json;
	int rc;

	memset(check.from, '0', DIGEST_HEX_LEN);
	if (cmd_check_refs(&check, argc, argv) < 0 ||
	    cmd_get(cli, "/v1/status", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	if (argc == 0)
		check.progress.bytes_total =
		    cmd_number(json_object_get(json, "depot"), "bytes_stored");
	json_decref(json);
	rc = cmd_check_step(&check, true, &done);
	for (done = false; rc == 0 && !done;)
		rc = cmd_check_step(&check, false, &done);
	output_progress_end(&cli->out);
	if (rc < 0)
		return cmd_fail(cli);
	cmd_check_print(&check);
	return cmd_check_end(&check);
}
