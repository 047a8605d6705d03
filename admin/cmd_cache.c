/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cache: the data cache: what is pinned; traces of what is read, and what
 * caches of other sizes would have made of them.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "depot/replay.h"

/* --- pins ---------------------------------------------------------------- */

static int cmd_pin(struct cli *cli, const char *ref, const char *pin)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/packages/pin",
					 .query = {{"ref", ref}, {"pin", pin}}};
	json_t *json;

	if (cmd_post(cli, &request, &json) < 0) {
		if (cli->failure.code == CONTROL_EXIT_MISSING)
			cmd_suggest_package(cli, ref);
		return cmd_fail(cli);
	}
	if (cli->out.json)
		output_json(json);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_package_pin(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	return cmd_pin(cli, argv[0], "1");
}

int cmd_package_unpin(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv)
{
	return cmd_pin(cli, argv[0], "0");
}

/* --- record -------------------------------------------------------------- */

int cmd_cache_record(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv UNUSED)
{
	struct client_request request = {
	    .method = "GET", .path = "/v1/cache/record", .is_stream = true};
	const char *path = cli->args.value[ARGS_COLUMNS];
	CLEANUP_FREE void *nothing = NULL;
	char seconds[24], size[OUTPUT_NUMBER_MAX];
	unsigned long time;
	size_t len = 0;
	int rc;

	if (!path)
		return cmd_usage(cli, "vdrive cache record -o FILE",
				 "which file takes the trace?");
	if (cmd_for(cli, "10m", &time) < 0)
		return cmd_fail(cli);
	snprintf(seconds, sizeof(seconds), "%lu", time);
	request.query[0] = (struct client_query){"seconds", seconds};
	request.out = fopen(path, "we");
	if (!request.out) {
		failure_errno(&cli->failure, -errno, "cannot write %s", path);
		return cmd_fail(cli);
	}
	rc = client_call(cli->client, &request, &nothing, &len, &cli->failure);
	if (fclose(request.out) != 0 && rc == 0)
		rc = failure_errno(&cli->failure, -errno, "cannot write %s",
				   path);
	if (rc < 0) {
		unlink(path);
		return cmd_fail(cli);
	}
	output_size(size, len, cli->out.exact);
	if (cli->out.json)
		printf("{\"schema\":\"cache-record/1\",\"bytes\":%zu}\n", len);
	else
		output_line(&cli->out, "ok  %s: %s", path, size);
	return CONTROL_EXIT_OK;
}

/* --- replay -------------------------------------------------------------- */

enum { CMD_REPLAY_SIZES_MAX = 32 };

struct cmd_replay {
	struct cli *cli;
	struct replay_trace *trace; /* owns */
	struct replay_shape shape;
	uint64_t sizes[CMD_REPLAY_SIZES_MAX];
	unsigned int count;
	json_t *rows;  /* owns: numbers */
	json_t *table; /* owns: the same as text */
};

static const char *const cmd_policies[REPLAY_POLICY_COUNT] = {"vdrive", "lru",
							      "fifo", "best"};

static int cmd_replay_list(struct cmd_replay *replay, const char *text,
			   bool percent)
{
	CLEANUP_FREE char *copy = strdup(text);
	char *rest = copy, *word;
	unsigned long part;
	uint64_t size;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		int rc = percent ? args_number(word, 100, &part)
				 : args_size(word, &size);

		if (rc == 0 && percent)
			size = replay->shape.chunk_bytes * part / 100;
		if (rc < 0 || size == 0 ||
		    replay->count == CMD_REPLAY_SIZES_MAX)
			return failure_set(
			    &replay->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "%s: \"%s\" is no list of up to %d %s",
			    percent ? "--percent" : "--size", text,
			    CMD_REPLAY_SIZES_MAX,
			    percent ? "numbers from 1 to 100" : "sizes");
		replay->sizes[replay->count++] = size;
	}
	return 0;
}

static int cmd_replay_sizes(struct cmd_replay *replay)
{
	const struct args *args = &replay->cli->args;
	int rc = 0;

	if (args->value[ARGS_SIZE])
		rc = cmd_replay_list(replay, args->value[ARGS_SIZE], false);
	if (rc == 0 && args->value[ARGS_PERCENT])
		rc = cmd_replay_list(replay, args->value[ARGS_PERCENT], true);
	if (rc == 0 && replay->count == 0)
		rc = cmd_replay_list(replay, "5,10,20,40", true);
	return rc;
}

static double cmd_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static int cmd_replay_size(struct cmd_replay *replay, uint64_t size)
{
	json_t *row = json_object(), *line = json_object();
	struct replay_result result;
	char key[32], text[32];
	int rc = row && line ? 0 : -ENOMEM;

	json_object_set_new(row, "size", json_integer((json_int_t)size));
	json_object_set_new(line, "size", json_integer((json_int_t)size));
	for (int p = 0; rc == 0 && p < REPLAY_POLICY_COUNT; p++) {
		rc = replay_run(replay->trace, (enum replay_policy)p, size,
				&result);
		snprintf(key, sizeof(key), "%s_hits", cmd_policies[p]);
		json_object_set_new(row, key,
				    json_integer((json_int_t)result.hits));
		snprintf(key, sizeof(key), "%s_hit_bytes", cmd_policies[p]);
		json_object_set_new(row, key,
				    json_integer((json_int_t)result.hit_bytes));
		snprintf(
		    text, sizeof(text), "%.1f / %.1f",
		    cmd_percent(result.hits, replay->shape.reads),
		    cmd_percent(result.hit_bytes, replay->shape.read_bytes));
		json_object_set_new(line, cmd_policies[p], json_string(text));
	}
	if (json_array_append_new(replay->rows, row) < 0 ||
	    json_array_append_new(replay->table, line) < 0)
		rc = -ENOMEM;
	return rc;
}

static int cmd_replay_print(struct cmd_replay *replay)
{
	static const struct output_column columns[] = {
	    {"SIZE", "size", OUTPUT_SIZE, false},
	    {"VDRIVE", "vdrive", OUTPUT_TEXT, false},
	    {"LRU", "lru", OUTPUT_TEXT, false},
	    {"FIFO", "fifo", OUTPUT_TEXT, false},
	    {"BEST", "best", OUTPUT_TEXT, false},
	};
	struct output *out = &replay->cli->out;
	const struct replay_shape *shape = &replay->shape;
	char foot[OUTPUT_NUMBER_MAX], bytes[OUTPUT_NUMBER_MAX];
	json_t *json;

	if (out->json) {
		json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:i, s:O}",
				 "schema", "cache-replay/1", "reads",
				 (json_int_t)shape->reads, "read_bytes",
				 (json_int_t)shape->read_bytes, "chunks",
				 (json_int_t)shape->chunks, "chunk_bytes",
				 (json_int_t)shape->chunk_bytes, "tenants",
				 (int)shape->tenants, "rows", replay->rows);
		if (!json)
			return -ENOMEM;
		output_json(json);
		json_decref(json);
		return 0;
	}
	output_size(foot, shape->chunk_bytes, out->exact);
	output_size(bytes, shape->read_bytes, out->exact);
	if (!out->no_header)
		output_line(out,
			    "%ju reads of %s by %u tenants, %ju chunks of %s; "
			    "percent of reads / of bytes answered:",
			    (uintmax_t)shape->reads, bytes, shape->tenants,
			    (uintmax_t)shape->chunks, foot);
	return output_table(out, columns, ARRAY_LEN(columns), replay->table,
			    &replay->cli->failure);
}

int cmd_cache_replay(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct cmd_replay replay = {
	    .cli = cli, .rows = json_array(), .table = json_array()};
	int rc = replay.rows && replay.table ? 0 : -ENOMEM;

	if (rc == 0)
		rc = replay_open(argv[0], &replay.trace);
	if (rc < 0)
		failure_errno(&cli->failure, rc,
			      "%s: no trace that can be read", argv[0]);
	if (rc == 0) {
		replay_get_shape(replay.trace, &replay.shape);
		rc = cmd_replay_sizes(&replay);
	}
	for (unsigned int i = 0; rc == 0 && i < replay.count; i++)
		rc = cmd_replay_size(&replay, replay.sizes[i]);
	if (rc == 0)
		rc = cmd_replay_print(&replay);
	if (rc < 0 && cli->failure.code == 0)
		failure_errno(&cli->failure, rc, "%s", argv[0]);
	replay_close(replay.trace);
	json_decref(replay.rows);
	json_decref(replay.table);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
