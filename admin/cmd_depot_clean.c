/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_depot_clean: what nothing in a depot at rest names any more.
 */
#include "admin/cmd_depot.h"
#include "admin/interrupt.h"
#include "depot/log.h"
#include "depot/publish.h"

static void cmd_clean_say(void *ctx, const char *text)
{
	struct cli *cli = ctx;

	output_warn(&cli->out, "%s", text);
}

static bool cmd_clean_stop(void *ctx UNUSED)
{
	return interrupt_seen();
}

static void cmd_clean_print(struct cli *cli, const char *url,
			    const struct publish_cleaning *c)
{
	char gone[OUTPUT_NUMBER_MAX], kept[OUTPUT_NUMBER_MAX];
	json_t *json;

	if (cli->out.json) {
		json = json_pack(
		    "{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "schema",
		    "depot-clean/1", "depot", url, "dry_run", (int)c->dry_run,
		    "packs_removed", (json_int_t)c->packs_removed,
		    "bytes_removed", (json_int_t)c->bytes_removed,
		    "indexes_removed", (json_int_t)c->indexes_removed,
		    "packs_kept", (json_int_t)c->packs_kept, "bytes_kept",
		    (json_int_t)c->bytes_kept, "indexes_kept",
		    (json_int_t)c->indexes_kept);
		if (json)
			output_json(json);
		json_decref(json);
		return;
	}
	output_size(gone, c->bytes_removed, cli->out.exact);
	output_size(kept, c->bytes_kept, cli->out.exact);
	output_line(&cli->out, "%s  %u packs (%s), %u indexes",
		    c->dry_run ? "would go" : "removed ", c->packs_removed,
		    gone, c->indexes_removed);
	output_line(&cli->out,
		    "kept      %u packs (%s), %u indexes: unnamed, but not yet "
		    "for 7 days",
		    c->packs_kept, kept, c->indexes_kept);
}

int cmd_depot_clean(struct cli *cli, size_t argc UNUSED,
		    const char *const *argv)
{
	CLEANUP(cmd_place_clear) struct cmd_place place = {.source = NULL};
	struct publish_cleaning cleaning = {
	    .dry_run = args_has(&cli->args, ARGS_DRY_RUN)};
	struct publish publish = {.say = cmd_clean_say,
				  .stop = cmd_clean_stop,
				  .ctx = cli,
				  .adopt = args_has(&cli->args, ARGS_ADOPT)};
	int rc;

	rc = cmd_place_open(cli, argv[0], &place);
	if (rc < 0)
		return cmd_fail(cli);
	publish.source = place.source;
	publish.url = place.url;
	publish.secret = place.is_signed ? &place.secret : NULL;
	rc = publish_clean(&publish, &cleaning);
	if (rc < 0)
		return cmd_place_fail(cli, rc, "clean", place.url);
	cmd_clean_print(cli, place.url, &cleaning);
	return CONTROL_EXIT_OK;
}
