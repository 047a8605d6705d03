/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot: packages out of the daemon into a depot at rest, plain files that
 * any web server can carry (depot/publish.h).
 */
#include <stdio.h>

#include "admin/cmd_depot.h"
#include "admin/interrupt.h"
#include "depot/document.h"
#include "depot/log.h"
#include "depot/publish.h"
#include "depot/shard.h"

enum { PUSH_AHEAD = 64 };

struct cmd_push_package {
	json_t *json; /* owns; what publish_package points into */
	void *plan;   /* owns; NULL: none */
	char tree_hex[DIGEST_HEX_LEN + 1];
	struct package_entitled entitled; /* owns */
};

struct cmd_push {
	struct cli *cli;
	const char *url;                  /* borrows */
	struct publish_package *packages; /* owns */
	struct cmd_push_package *own;     /* owns */
	unsigned int count;
	struct output_progress_state progress;
	/* Shards asked for ahead: of one tree, from `first` on. */
	const struct tree *ahead_tree; /* borrows */
	uint32_t ahead_first, ahead_count, ahead_at;
	void *frames; /* owns */
	size_t frames_len, frames_off;
};

static void cmd_push_clear(struct cmd_push *push)
{
	for (unsigned int i = 0; i < push->count; i++) {
		tree_put(push->packages[i].tree);
		json_decref(push->own[i].json);
		free(push->own[i].plan);
		package_entitled_clear(&push->own[i].entitled);
	}
	free(push->packages);
	free(push->own);
	free(push->frames);
}

/* --- which packages ------------------------------------------------------ */

static bool cmd_push_in(const json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), name) ==
		    0)
			return true;
	return !json_is_array(list);
}

/* Those whom both this host and where it is from give it to. */
static int cmd_push_entitled(struct cmd_push *push,
			     struct cmd_push_package *own)
{
	const json_t *here = json_object_get(own->json, "entitled");
	const json_t *there = json_object_get(own->json, "entitled_upstream");
	const json_t *some = json_is_array(here) ? here : there;
	CLEANUP_FREE char *text = NULL;
	size_t size = 8, used = 0;

	if (!json_is_array(some))
		return package_entitled_parse("all", &own->entitled);
	size += json_array_size(some) * (PACKAGE_NAME_MAX + 1);
	text = malloc(size);
	if (!text)
		return failure_errno(&push->cli->failure, -ENOMEM, "push");
	strcpy(text, "none");
	for (size_t i = 0; i < json_array_size(some); i++) {
		const char *name = json_string_value(json_array_get(some, i));

		if (cmd_push_in(here, name) && cmd_push_in(there, name))
			used += (size_t)snprintf(text + used, size - used,
						 "%s%s", used ? "," : "", name);
	}
	return package_entitled_parse(text, &own->entitled);
}

/* The plan that goes with it; there may be none. */
static int cmd_push_plan(struct cmd_push *push, const char *ref,
			 struct cmd_push_package *own,
			 struct publish_package *package)
{
	struct client_request request = {
	    .method = "GET", .path = "/v1/plans/file", .query = {{"ref", ref}}};
	int rc;

	rc = client_call(push->cli->client, &request, &own->plan,
			 &package->plan_len, &push->cli->failure);
	if (rc == -ENOENT) {
		failure_clear(&push->cli->failure);
		return 0;
	}
	package->plan = own->plan;
	return rc;
}

static int cmd_push_add(struct cmd_push *push, const char *ref)
{
	struct publish_package *package = &push->packages[push->count];
	struct cmd_push_package *own = &push->own[push->count];
	const char *hex;
	int rc;

	rc = cmd_package(push->cli, ref, &own->json);
	if (rc < 0)
		return rc;
	push->count++;
	package->name = cmd_text(own->json, "name");
	package->tag = cmd_text(own->json, "tag");
	package->revision_json = cmd_text(own->json, "revision_json");
	package->revision =
	    digest_of(package->revision_json, strlen(package->revision_json));
	hex = cmd_text(own->json, "tree");
	snprintf(own->tree_hex, sizeof(own->tree_hex), "%s", hex);
	if (!*package->tag) {
		failure_set(&push->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "%s has no tag, and depots are read by tags", ref);
		failure_hint(&push->cli->failure, "try: NAME:TAG");
		return -EINVAL;
	}
	rc = cmd_push_entitled(push, own);
	if (rc < 0)
		return rc;
	package->entitled = &own->entitled;
	rc = cmd_push_plan(push, ref, own, package);
	if (rc < 0)
		return rc;
	return cmd_package_tree(push->cli, own->json, &package->tree);
}

static int cmd_push_room(struct cmd_push *push, size_t count)
{
	push->packages = calloc(count + 1, sizeof(*push->packages));
	push->own = calloc(count + 1, sizeof(*push->own));
	if (push->packages && push->own)
		return 0;
	return failure_errno(&push->cli->failure, -ENOMEM, "push");
}

static int cmd_push_all(struct cmd_push *push)
{
	char ref[PACKAGE_NAME_MAX + TAG_NAME_MAX + 2];
	const json_t *rows, *row;
	json_t *json;
	int rc;

	rc = cmd_get(push->cli, "/v1/packages", NULL, NULL, &json);
	if (rc < 0)
		return rc;
	rows = json_object_get(json, "packages");
	rc = cmd_push_room(push, json_array_size(rows));
	for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
		row = json_array_get(rows, i);
		/* What a customer has made of it goes out by name only. */
		if (strcmp(cmd_text(row, "tag"), CONTROL_PROFILE_TAG) == 0)
			continue;
		snprintf(ref, sizeof(ref), "%s:%s", cmd_text(row, "name"),
			 cmd_text(row, "tag"));
		rc = cmd_push_add(push, ref);
	}
	json_decref(json);
	return rc;
}

static int cmd_push_choose(struct cmd_push *push, size_t argc,
			   const char *const *argv)
{
	int rc;

	if (argc == 0)
		rc = cmd_push_all(push);
	else
		rc = cmd_push_room(push, argc);
	for (size_t i = 0; rc == 0 && i < argc; i++)
		rc = cmd_push_add(push, argv[i]);
	if (rc == 0 && push->count == 0) {
		failure_set(&push->cli->failure, -ENOENT, CONTROL_EXIT_MISSING,
			    "there are no packages to push");
		failure_hint(&push->cli->failure,
			     "try: vdrive package create NAME:TAG SOURCE");
		return -ENOENT;
	}
	return rc;
}

/* --- shards -------------------------------------------------------------- */

static const char *cmd_push_tree_hex(const struct cmd_push *push,
				     const struct tree *tree)
{
	for (unsigned int i = 0; i < push->count; i++)
		if (push->packages[i].tree == tree)
			return push->own[i].tree_hex;
	return NULL;
}

/* A shard that is asked for after its neighbour will be followed by more. */
static int cmd_push_fill(struct cmd_push *push, struct tree *tree,
			 uint32_t shard)
{
	bool in_turn = push->ahead_tree == tree &&
		       shard == push->ahead_first + push->ahead_count;
	uint32_t left = tree_shard_count(tree) - shard;

	free(STEAL(push->frames));
	push->ahead_tree = tree;
	push->ahead_first = shard;
	push->ahead_at = shard;
	push->ahead_count =
	    in_turn || shard == 0 ? MIN(left, (uint32_t)PUSH_AHEAD) : 1;
	push->frames_off = 0;
	return cmd_shards(push->cli, cmd_push_tree_hex(push, tree), shard,
			  push->ahead_count, &push->frames, &push->frames_len);
}

static int cmd_push_get_shard(void *ctx, struct tree *tree, uint32_t shard,
			      void **bytes, size_t *len)
{
	struct cmd_push *push = ctx;
	const void *found;
	int rc = 0;

	if (interrupt_seen())
		return failure_set(&push->cli->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED, "interrupted");
	if (push->ahead_tree != tree || shard < push->ahead_at ||
	    shard >= push->ahead_first + push->ahead_count)
		rc = cmd_push_fill(push, tree, shard);
	/* The frames before it are skipped: they were there already. */
	for (; rc == 0 && push->ahead_at <= shard; push->ahead_at++)
		rc = cmd_frame(push->cli, push->frames, push->frames_len,
			       &push->frames_off,
			       tree_shard_name(tree, push->ahead_at), &found,
			       len);
	if (rc < 0) {
		push->ahead_tree = NULL;
		return rc;
	}
	*bytes = malloc(*len + 1);
	if (!*bytes)
		return -ENOMEM;
	memcpy(*bytes, found, *len);
	return 0;
}

static void cmd_push_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct cmd_push *push = ctx;

	push->progress.bytes_done = done;
	push->progress.bytes_total = total;
	output_progress(&push->cli->out, &push->progress);
}

static void cmd_push_say(void *ctx, const char *text)
{
	struct cmd_push *push = ctx;

	output_progress_end(&push->cli->out);
	output_warn(&push->cli->out, "%s: %s", push->url, text);
}

static bool cmd_push_stop(void *ctx)
{
	struct cmd_push *push = ctx;

	if (interrupt_seen())
		failure_set(&push->cli->failure, -EINTR,
			    CONTROL_EXIT_INTERRUPTED,
			    "interrupted; what has been sent will not be sent "
			    "again");
	return interrupt_seen();
}

/* --- result -------------------------------------------------------------- */

static void cmd_push_print_json(const struct cmd_push *push,
				const struct publish *publish)
{
	json_t *tags = json_array(), *json;

	for (unsigned int i = 0; tags && i < push->count; i++)
		json_array_append_new(
		    tags, json_sprintf("%s:%s", push->packages[i].name,
				       push->packages[i].tag));
	json = json_pack(
	    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
	    "s:I, s:I, s:b, s:o}",
	    "type", "summary", "schema", "depot-push/1", "depot", push->url,
	    "packs_new", (json_int_t)publish->packs_new, "packs_there",
	    (json_int_t)publish->packs_there, "bytes_there",
	    (json_int_t)publish->bytes_there, "pack_bytes_new",
	    (json_int_t)publish->pack_bytes_new, "shards_new",
	    (json_int_t)publish->shards_new, "shards_there",
	    (json_int_t)publish->shards_there, "revisions_new",
	    (json_int_t)publish->revisions_new, "repacked",
	    (json_int_t)publish->repacked, "packs_proved",
	    (json_int_t)publish->packs_proved, "packs_bad",
	    (json_int_t)publish->packs_bad, "packs_mended",
	    (json_int_t)publish->packs_mended, "shards_bad",
	    (json_int_t)publish->shards_bad, "signed",
	    (int)(publish->secret != NULL), "tags", tags);
	if (json)
		output_json(json);
	json_decref(json);
}

static void cmd_push_print_text(const struct cmd_push *push,
				const struct publish *publish)
{
	struct output *out = &push->cli->out;
	char size[OUTPUT_NUMBER_MAX], there[OUTPUT_NUMBER_MAX];

	output_size(size, publish->pack_bytes_new, out->exact);
	output_size(there, publish->bytes_there, out->exact);
	output_line(out, "packs      %u new (%s)", publish->packs_new, size);
	if (publish->packs_there > 0)
		output_line(out,
			    "           %u had been sent before (%s), and were "
			    "not sent again",
			    publish->packs_there, there);
	output_line(out, "shards     %ju new, %ju there already",
		    (uintmax_t)publish->shards_new,
		    (uintmax_t)publish->shards_there);
	output_line(out, "revisions  %u new", publish->revisions_new);
	if (publish->verify)
		output_line(out, "verified   %u packs, %u bad, %u mended",
			    publish->packs_proved, publish->packs_bad,
			    publish->packs_mended);
	if (publish->repack)
		output_line(out, "repacked   %u packages", publish->repacked);
	for (unsigned int i = 0; i < push->count; i++)
		output_line(out, "%-10s %s:%s", i ? "" : "tags",
			    push->packages[i].name, push->packages[i].tag);
}

/* --- push ---------------------------------------------------------------- */

/* --entitled instead of what this host and the upstream say. */
static int cmd_push_entitle(struct cmd_push *push)
{
	const char *text = push->cli->args.value[ARGS_ENTITLED];
	int rc;

	for (unsigned int i = 0; text && i < push->count; i++) {
		package_entitled_clear(&push->own[i].entitled);
		rc = package_entitled_parse(text, &push->own[i].entitled);
		if (rc == 0)
			continue;
		failure_set(&push->cli->failure, rc, CONTROL_EXIT_USAGE,
			    "--entitled: \"%s\" is no list of tenants", text);
		failure_hint(&push->cli->failure,
			     "try: --entitled red,blue, or all, or none");
		return rc;
	}
	return 0;
}

static int cmd_push_setup(struct cmd_push *push, struct cmd_place *place,
			  struct publish *publish, const char *url)
{
	const struct args *args = &push->cli->args;
	int rc;

	rc = cmd_place_open(push->cli, url, place);
	if (rc < 0)
		return rc;
	push->url = place->url;
	publish->source = place->source;
	publish->url = place->url;
	publish->secret = place->is_signed ? &place->secret : NULL;
	publish->adopt = args_has(args, ARGS_ADOPT);
	publish->repack = args_has(args, ARGS_REPACK);
	publish->verify = args_has(args, ARGS_VERIFY);
	return cmd_place_expiry(push->cli, &publish->expires_sec);
}

int cmd_depot_push(struct cli *cli, size_t argc, const char *const *argv)
{
	CLEANUP(cmd_push_clear)
	struct cmd_push push = {.cli = cli, .progress.phase = "packing"};
	CLEANUP(cmd_place_clear) struct cmd_place place = {.source = NULL};
	struct publish publish = {.level = SHARD_LEVEL_PUBLISH,
				  .get_shard = cmd_push_get_shard,
				  .progress = cmd_push_progress,
				  .say = cmd_push_say,
				  .stop = cmd_push_stop,
				  .ctx = &push};
	int rc;

	rc = cmd_push_setup(&push, &place, &publish, argv[0]);
	if (rc == 0)
		rc = cmd_push_choose(&push, argc - 1, argv + 1);
	if (rc == 0)
		rc = cmd_push_entitle(&push);
	if (rc < 0)
		return cmd_fail(cli);
	log_clear_last_error();
	rc = publish_push(&publish, push.packages, push.count);
	output_progress_end(&cli->out);
	if (rc < 0)
		return cmd_place_fail(cli, rc, "push to", place.url);
	if (cli->out.json)
		cmd_push_print_json(&push, &publish);
	else
		cmd_push_print_text(&push, &publish);
	return CONTROL_EXIT_OK;
}
