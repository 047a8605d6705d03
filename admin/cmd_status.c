/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_status: one screen.
 */
#include <stdio.h>

#include "admin/cmd.h"

static uint64_t cmd_status_calls(const json_t *server)
{
	json_t *calls = json_object_get(server, "calls"), *count;
	uint64_t sum = 0;
	const char *name;

	json_object_foreach(calls, name, count) sum +=
	    (uint64_t)json_integer_value(count);
	return sum;
}

static void cmd_status_head(struct cli *cli, const json_t *json)
{
	const json_t *server = json_object_get(json, "server");
	char up[OUTPUT_NUMBER_MAX], calls[OUTPUT_NUMBER_MAX];

	output_duration(up, cmd_number(json, "uptime_sec"));
	output_count(calls, cmd_status_calls(server), cli->out.exact);
	output_line(&cli->out,
		    "vdrived %-7s ready, up %s, pid %ju, %ju tenants, %ju "
		    "guests",
		    cmd_text(json, "version"), up,
		    (uintmax_t)cmd_number(json, "pid"),
		    (uintmax_t)cmd_number(json, "tenants"),
		    (uintmax_t)cmd_number(json, "guests"));
	output_line(&cli->out, "%-15s %s, %ju connections, %s calls", "nfs",
		    cmd_text(json, "listen"),
		    (uintmax_t)cmd_number(server, "connections"), calls);
}

static void cmd_status_depot(struct cli *cli, const json_t *depot)
{
	char shards[OUTPUT_NUMBER_MAX], stored[OUTPUT_NUMBER_MAX];
	uint64_t logical_bytes = cmd_number(depot, "bytes_logical");
	uint64_t stored_bytes = cmd_number(depot, "bytes_stored");
	char logical[OUTPUT_NUMBER_MAX], ratio[OUTPUT_NUMBER_MAX] = "";

	output_count(shards, cmd_number(depot, "shards"), cli->out.exact);
	output_size(stored, stored_bytes, cli->out.exact);
	output_size(logical, logical_bytes, cli->out.exact);
	if (stored_bytes && logical_bytes > stored_bytes)
		snprintf(ratio, sizeof(ratio), " (%.1fx)",
			 (double)logical_bytes / (double)stored_bytes);
	output_line(&cli->out,
		    "%-15s %ju packages, %s shards, %s stored for %s seen%s",
		    "depot", (uintmax_t)cmd_number(depot, "packages"), shards,
		    stored, logical, ratio);
}

static void cmd_status_store(struct cli *cli, const json_t *depot)
{
	uint64_t cold = cmd_number(depot, "reads_cold");
	uint64_t here =
	    cmd_number(depot, "reads_hot") + cmd_number(depot, "reads_warm");
	uint64_t quota = cmd_number(depot, "store_max");
	char used[OUTPUT_NUMBER_MAX], max[OUTPUT_NUMBER_MAX] = "no quota";
	char reads[64] = "nothing read yet";

	if (here + cold)
		snprintf(reads, sizeof(reads), "%.1f %% of reads answered here",
			 100.0 * (double)here / (double)(here + cold));
	output_size(used, cmd_number(depot, "store_bytes"), cli->out.exact);
	if (quota)
		output_size(max, quota, cli->out.exact);
	output_line(&cli->out, "%-15s %s%s%s, %s", "store", used,
		    quota ? " of " : ", ", max, reads);
	output_size(used, cmd_number(depot, "evicted_bytes"), cli->out.exact);
	if (quota)
		output_line(&cli->out,
			    "%-15s by %s: %s evicted, %ju shards not stored, "
			    "%ju pinned",
			    "", cmd_text(depot, "evict"), used,
			    (uintmax_t)cmd_number(depot, "refused_shards"),
			    (uintmax_t)cmd_number(depot, "pins"));
	output_size(used, cmd_number(depot, "cache_bytes"), cli->out.exact);
	output_size(max, cmd_number(depot, "cache_max"), cli->out.exact);
	output_line(&cli->out, "%-15s %s of %s in memory", "", used, max);
}

static void cmd_status_ahead(struct cli *cli, const json_t *prefetch)
{
	static const char *const kinds[] = {"plan", "ahead", "fill"};
	static const char *const words[] = {"plans", "read-ahead", "fill"};
	char fetched[OUTPUT_NUMBER_MAX], used[OUTPUT_NUMBER_MAX];
	char wasted[OUTPUT_NUMBER_MAX];

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const json_t *row = json_object_get(prefetch, kinds[i]);

		if (cmd_number(row, "fetched") == 0)
			continue;
		output_size(fetched, cmd_number(row, "fetched"),
			    cli->out.exact);
		output_size(used, cmd_number(row, "used"), cli->out.exact);
		output_size(wasted, cmd_number(row, "wasted"), cli->out.exact);
		output_line(&cli->out, "%-15s %s fetched, %s used, %s wasted",
			    words[i], fetched, used, wasted);
	}
}

/* An error of a source that is up is over; `upstream list -o` has it. */
static void cmd_status_upstream(struct cli *cli, const json_t *row)
{
	bool up = json_is_true(json_object_get(row, "up"));
	const char *error = up ? "" : cmd_text(row, "last_error");
	char head[PACKAGE_NAME_MAX + 16];

	snprintf(head, sizeof(head), "upstream %s", cmd_text(row, "upstream"));
	output_line(&cli->out, "%-15s %-4s %s%s%s%s", head, up ? "up" : "DOWN",
		    cmd_text(row, "url"),
		    json_is_true(json_object_get(row, "unsigned"))
			? "  (unsigned)"
			: "",
		    *error ? "  " : "", error);
}

static void cmd_status_upstreams(struct cli *cli, const json_t *json)
{
	const json_t *rows = json_object_get(json, "upstreams");

	for (size_t i = 0; i < json_array_size(rows); i++)
		cmd_status_upstream(cli, json_array_get(rows, i));
	rows = json_object_get(json, "warnings");
	for (size_t i = 0; i < json_array_size(rows); i++)
		output_line(&cli->out, "%-15s %s", "warning",
			    json_string_value(json_array_get(rows, i)));
}

int cmd_status(struct cli *cli, size_t argc UNUSED,
	       const char *const *argv UNUSED)
{
	const json_t *depot;
	json_t *json;

	if (cmd_get(cli, "/v1/status", NULL, NULL, &json) < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
	} else {
		depot = json_object_get(json, "depot");
		cmd_status_head(cli, json);
		cmd_status_depot(cli, depot);
		cmd_status_store(cli, depot);
		cmd_status_ahead(cli, json_object_get(json, "prefetch"));
		cmd_status_upstreams(cli, json);
	}
	json_decref(json);
	return CONTROL_EXIT_OK;
}
