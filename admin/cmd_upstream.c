/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_upstream: the depots that this host takes packages from.
 */
#include "admin/cmd.h"

static const struct output_column cmd_upstream_columns[] = {
    {"UPSTREAM", "upstream", OUTPUT_TEXT, false},
    {"UP", "up", OUTPUT_YES, false},
    {"UNSIGNED", "unsigned", OUTPUT_YES, false},
    {"FETCHED", "bytes", OUTPUT_SIZE, false},
    {"ERRORS", "errors", OUTPUT_COUNT, false},
    {"URL", "url", OUTPUT_TEXT, false},
    {"REQUESTS", "requests", OUTPUT_COUNT, true},
    {"LAST ERROR", "last_error", OUTPUT_TEXT, true},
};

int cmd_upstream_list(struct cli *cli, size_t argc UNUSED,
		      const char *const *argv UNUSED)
{
	return cmd_list(cli, "/v1/upstreams", "upstreams", cmd_upstream_columns,
			ARRAY_LEN(cmd_upstream_columns),
			"no upstreams; try: vdrive upstream add NAME URL");
}

/* Said before the daemon is asked: it is the operator's decision. */
static int cmd_upstream_refuse(struct cli *cli, const char *name,
			       const char *url)
{
	failure_set(&cli->failure, -EPERM, CONTROL_EXIT_NOT_PERMITTED,
		    "cannot add upstream %s: this version cannot check "
		    "signatures, so whoever controls %s, or the way to it, "
		    "would decide what software tenants get",
		    name, url);
	failure_hint(&cli->failure,
		     "try: vdrive upstream add %s %s --unsigned  (if you "
		     "trust both)",
		     name, url);
	return cmd_fail(cli);
}

int cmd_upstream_add(struct cli *cli, size_t argc UNUSED,
		     const char *const *argv)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/upstreams",
	    .query = {{"name", argv[0]}, {"url", argv[1]}, {"unsigned", "1"}},
	    .is_long = true};
	json_t *json;

	if (!args_has(&cli->args, ARGS_UNSIGNED))
		return cmd_upstream_refuse(cli, argv[0], argv[1]);
	if (cmd_post(cli, &request, &json) < 0)
		return cmd_fail(cli);
	output_warn(&cli->out,
		    "upstream %s is used without signatures: whoever controls "
		    "%s, or the way to it, decides what software tenants get",
		    argv[0], argv[1]);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  upstream %s, unsigned, %s", argv[0],
			    argv[1]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}

int cmd_upstream_remove(struct cli *cli, size_t argc UNUSED,
			const char *const *argv)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/upstreams/remove",
					 .query = {{"name", argv[0]}}};
	json_t *json;
	int rc;

	rc = cmd_post(cli, &request, &json);
	if (rc == -ENOENT)
		cmd_suggest(cli, "/v1/upstreams", "upstreams", "upstream",
			    argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out, "ok  upstream %s removed", argv[0]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}
