/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_plan: in which order packages are wanted: vdrive package plan VERB.
 */
#include <stdio.h>

#include "admin/cmd.h"
#include "depot/tree.h"

static const struct output_column cmd_plan_columns[] = {
    {"PACKAGE", "package", OUTPUT_TEXT, false},
    {"PLAN", "plan", OUTPUT_TEXT, false},
    {"SHARDS", "shards", OUTPUT_COUNT, false},
    {"BYTES", "budget", OUTPUT_SIZE, false},
    {"GUESTS", "guests", OUTPUT_COUNT, false},
    {"STARTS", "starts", OUTPUT_COUNT, false},
    {"LAST", "last_start", OUTPUT_TIME, false},
    {"FETCHED", "bytes_fetched", OUTPUT_SIZE, false},
    {"USED", "bytes_used", OUTPUT_SIZE, false},
    {"WASTED", "bytes_wasted", OUTPUT_SIZE, false},
    {"TREE", "tree", OUTPUT_DIGEST, true},
};

static int cmd_plan_list(struct cli *cli, const char *const *argv UNUSED)
{
	return cmd_list(cli, "/v1/plans", "plans", cmd_plan_columns,
			ARRAY_LEN(cmd_plan_columns),
			"no packages yet; try: vdrive package create "
			"python3:1 deb:python3");
}

/* --- show ---------------------------------------------------------------- */

/* The files of a plan, each where its first shard is. */
struct cmd_plan_files {
	const struct tree *tree; /* borrows */
	uint32_t *owner;         /* owns; of each shard: inode + 1, or 0 */
	uint32_t *counts;        /* owns; of each inode: shards in the plan */
	char **paths;            /* owns; of each inode, when counted */
};

static void cmd_plan_files_clear(struct cmd_plan_files *files)
{
	uint32_t count = files->tree ? tree_inode_count(files->tree) : 0;

	for (uint32_t i = 0; files->paths && i < count; i++)
		free(files->paths[i]);
	free(files->paths);
	free(files->owner);
	free(files->counts);
}

static int cmd_plan_visit(void *ctx, const char *path,
			  const struct tree_entry *entry UNUSED, uint32_t inode)
{
	struct cmd_plan_files *files = ctx;

	if (inode == TREE_WHITEOUT || files->counts[inode] == 0 ||
	    files->paths[inode])
		return 0;
	files->paths[inode] = strdup(path);
	return files->paths[inode] ? 0 : -ENOMEM;
}

/* Which file has which shard; the first, when several do. */
static void cmd_plan_owners(struct cmd_plan_files *files)
{
	struct tree_inode attr;
	struct tree_chunk chunk;

	for (uint32_t i = 0; i < tree_inode_count(files->tree); i++) {
		tree_inode_get(files->tree, i, &attr);
		for (uint32_t c = 0; S_ISREG(attr.mode) && c < attr.count;
		     c++) {
			tree_chunk_get(files->tree, i, c, &chunk);
			if (chunk.shard != TREE_HOLE &&
			    !files->owner[chunk.shard])
				files->owner[chunk.shard] = i + 1;
		}
	}
}

static int cmd_plan_files_fill(struct cmd_plan_files *files,
			       const json_t *order)
{
	uint32_t shards = tree_shard_count(files->tree);
	uint32_t inodes = tree_inode_count(files->tree);

	files->owner = calloc((size_t)shards + 1, sizeof(*files->owner));
	files->counts = calloc((size_t)inodes + 1, sizeof(*files->counts));
	files->paths = calloc((size_t)inodes + 1, sizeof(*files->paths));
	if (!files->owner || !files->counts || !files->paths)
		return -ENOMEM;
	cmd_plan_owners(files);
	for (size_t i = 0; i < json_array_size(order); i++) {
		json_int_t shard = json_integer_value(json_array_get(order, i));

		if (shard >= 0 && shard < shards && files->owner[shard])
			files->counts[files->owner[shard] - 1]++;
	}
	return tree_walk(files->tree, cmd_plan_visit, files);
}

/* A line each, in the order of the plan. */
static void cmd_plan_files_print(struct output *out,
				 struct cmd_plan_files *files,
				 const json_t *order)
{
	uint32_t shards = tree_shard_count(files->tree);

	for (size_t i = 0; i < json_array_size(order); i++) {
		json_int_t shard = json_integer_value(json_array_get(order, i));
		uint32_t inode;

		if (shard < 0 || shard >= shards || !files->owner[shard])
			continue;
		inode = files->owner[shard] - 1;
		if (files->counts[inode] == 0)
			continue;
		output_line(out, "  %6u  %s", files->counts[inode],
			    files->paths[inode] ? files->paths[inode] : "?");
		files->counts[inode] = 0;
	}
}

static int cmd_plan_order(struct cli *cli, const char *ref, const json_t *order)
{
	CLEANUP(cmd_plan_files_clear) struct cmd_plan_files files = {0};
	struct tree *tree;
	json_t *package;
	int rc;

	if (json_array_size(order) == 0)
		return 0;
	rc = cmd_package(cli, ref, &package);
	if (rc < 0)
		return rc;
	rc = cmd_package_tree(cli, package, &tree);
	json_decref(package);
	if (rc < 0)
		return rc;
	files.tree = tree;
	rc = cmd_plan_files_fill(&files, order);
	if (rc < 0) {
		failure_errno(&cli->failure, rc, "the plan of %s", ref);
	} else {
		output_line(&cli->out, "%-10s in this order:", "files");
		cmd_plan_files_print(&cli->out, &files, order);
	}
	cmd_plan_files_clear(&files);
	files = (struct cmd_plan_files){0};
	tree_put(tree);
	return rc;
}

static void cmd_plan_print(struct cli *cli, const json_t *json)
{
	char bytes[OUTPUT_NUMBER_MAX], fetched[OUTPUT_NUMBER_MAX];
	char used[OUTPUT_NUMBER_MAX], wasted[OUTPUT_NUMBER_MAX];
	struct output *out = &cli->out;

	output_size(bytes, cmd_number(json, "budget"), out->exact);
	output_size(fetched, cmd_number(json, "bytes_fetched"), out->exact);
	output_size(used, cmd_number(json, "bytes_used"), out->exact);
	output_size(wasted, cmd_number(json, "bytes_wasted"), out->exact);
	output_line(out, "%-10s %s", "package", cmd_text(json, "package"));
	output_line(out, "%-10s %s", "plan", cmd_text(json, "plan"));
	if (strcmp(cmd_text(json, "plan"), "none") != 0)
		output_line(out, "%-10s %ju shards, %s, of %ju guests", "",
			    (uintmax_t)cmd_number(json, "shards"), bytes,
			    (uintmax_t)cmd_number(json, "guests"));
	output_line(out, "%-10s of %ju guests are recorded here", "starts",
		    (uintmax_t)cmd_number(json, "starts"));
	output_line(out, "%-10s %s fetched ahead, %s of it used, %s wasted",
		    "so far", fetched, used, wasted);
}

static int cmd_plan_show(struct cli *cli, const char *const *argv)
{
	json_t *json;
	int rc;

	rc = cmd_get(cli, "/v1/plans/show", "ref", argv[0], &json);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json) {
		output_json(json);
	} else {
		cmd_plan_print(cli, json);
		rc = cmd_plan_order(cli, argv[0],
				    json_object_get(json, "order"));
	}
	json_decref(json);
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}

/* --- changes ------------------------------------------------------------- */

static int cmd_plan_publish(struct cli *cli, const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/plans/publish",
					 .query = {{"ref", argv[0]}}};

	return cmd_done(cli, &request,
			"ok  plan of %s; vdrive depot push takes it along",
			argv[0]);
}

static int cmd_plan_record(struct cli *cli, const char *const *argv)
{
	const char *guest = cli->args.value[ARGS_GUEST];
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/plans/record",
	    .query = {{"ref", argv[0]}, {"guest", guest}}};

	if (!guest)
		return cmd_usage(cli, "--guest TENANT/GUEST",
				 "whose last start of %s shall be its plan?",
				 argv[0]);
	return cmd_done(cli, &request, "ok  plan of %s, from %s", argv[0],
			guest);
}

static int cmd_plan_remove(struct cli *cli, const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/plans/remove",
	    .query = {{"ref", argv[0]},
		      {"starts", args_has(&cli->args, ARGS_ALL) ? "1" : "0"}}};

	return cmd_done(cli, &request, "ok  no plan of %s", argv[0]);
}

static const struct cmd_plan_verb {
	const char *name;
	size_t args;
	int (*run)(struct cli *cli, const char *const *argv);
} cmd_plan_verbs[] = {
    {"list", 0, cmd_plan_list},       {"show", 1, cmd_plan_show},
    {"publish", 1, cmd_plan_publish}, {"record", 1, cmd_plan_record},
    {"remove", 1, cmd_plan_remove},
};

int cmd_package_plan(struct cli *cli, size_t argc, const char *const *argv)
{
	for (size_t i = 0; i < ARRAY_LEN(cmd_plan_verbs); i++) {
		const struct cmd_plan_verb *verb = &cmd_plan_verbs[i];

		if (strcmp(argv[0], verb->name) != 0)
			continue;
		if (argc != verb->args + 1)
			return cmd_usage(cli, "vdrive help package",
					 "package plan %s takes %s", verb->name,
					 verb->args ? "one package"
						    : "nothing");
		return verb->run(cli, argv + 1);
	}
	return cmd_usage(cli, "list, show, publish, record or remove",
			 "package plan: what is \"%s\"?", argv[0]);
}
