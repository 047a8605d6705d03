/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cache: the data cache: what is pinned.
 */
#include <stdio.h>

#include "admin/cmd.h"

/* --- pins ---------------------------------------------------------------- */

static int cmd_pin(struct cli *cli, const char *ref, const char *pin)
{
	struct client_request request = {
	    .method = "POST",
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
