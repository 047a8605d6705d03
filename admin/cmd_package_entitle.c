/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_package_entitle: which tenants may be given a package.
 */
#include "admin/cmd.h"

/* The list holds for the name: a tag of it would be a hole. */
static int cmd_entitle_name(struct cli *cli, const char *text,
			    struct package_ref *ref)
{
	if (package_ref_parse(text, ref) == 0)
		return 0;
	failure_set(&cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
		    "\"%s\" is no package name", text);
	failure_hint(&cli->failure, "try: vdrive package entitle NAME all");
	return -EINVAL;
}

int cmd_package_entitle(struct cli *cli, size_t argc UNUSED,
			const char *const *argv)
{
	struct package_ref ref;
	struct client_request request = {.method = "POST",
					 .path = "/v1/packages/entitle",
					 .query = {{"name", ref.name}},
					 .body = argv[1],
					 .body_len = strlen(argv[1])};
	json_t *json;
	int rc;

	if (cmd_entitle_name(cli, argv[0], &ref) < 0)
		return cmd_fail(cli);
	rc = client_json(cli->client, &request, &json, &cli->failure);
	if (rc == -ENOENT)
		cmd_suggest_package(cli, argv[0]);
	if (rc < 0)
		return cmd_fail(cli);
	if (cli->out.json)
		output_json(json);
	else
		output_line(&cli->out,
			    "ok  package %s (all its tags) may be given to %s",
			    ref.name, argv[1]);
	json_decref(json);
	return CONTROL_EXIT_OK;
}
