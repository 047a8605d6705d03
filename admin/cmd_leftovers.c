/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_leftovers: what guests have changed of software that is taken from their
 * tenant.  Modified files that stay behind look like a working installation, so
 * they are always named, and go with it when that is asked for.  Before it is
 * taken: whose they are is told by the packages that the guests have.
 */
#include <stdio.h>

#include "admin/cmd.h"

struct leftovers {
	struct cli *cli;
	bool remove;
	uint64_t changes; /* told */
	uint64_t left;    /* could not be undone */
};

static int leftovers_ask(struct leftovers *l, const char *guest,
			 const char *package, bool look, json_t **json)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/delta/reset/package",
	    .query = {{"name", guest},
		      {"package", package},
		      {"dry_run", look ? "1" : "0"}},
	    .is_long = true};

	return cmd_post(l->cli, &request, json);
}

static int leftovers_one(struct leftovers *l, const char *guest,
			 const char *package)
{
	json_t *json;
	uint64_t count;
	int rc = leftovers_ask(l, guest, package, !l->remove, &json);

	if (rc < 0)
		return rc;
	count = cmd_number(json, "count");
	l->changes += count;
	l->left += cmd_number(json, "left");
	if (count > 0 && !l->cli->out.json)
		output_line(&l->cli->out,
			    l->remove ? "%s: %ju changes of %s are gone"
				      : "%s: %ju changes of %s",
			    guest, (uintmax_t)count, package);
	json_decref(json);
	return 0;
}

/* Every guest of the tenant, every package: NAME of NAME[:TAG]. */
static int leftovers_each(struct leftovers *l, const char *tenant,
			  const char *const *refs, size_t count)
{
	json_t *json, *row;
	size_t i;
	int rc = cmd_get(l->cli, "/v1/guests", NULL, NULL, &json);

	if (rc < 0)
		return rc;
	json_array_foreach(json_object_get(json, "guests"), i, row)
	{
		if (strcmp(cmd_text(row, "tenant"), tenant) != 0)
			continue;
		for (size_t k = 0; rc == 0 && k < count; k++) {
			CLEANUP_FREE char *name =
			    strndup(refs[k], strcspn(refs[k], ":@"));

			rc = name ? leftovers_one(l, cmd_text(row, "guest"),
						  name)
				  : failure_errno(&l->cli->failure, -ENOMEM,
						  "%s", refs[k]);
		}
	}
	json_decref(json);
	return rc;
}

int cmd_leftovers(struct cli *cli, const char *tenant, const char *const *refs,
		  size_t count)
{
	struct leftovers l = {.cli = cli};
	int rc = leftovers_each(&l, tenant, refs, count);

	if (rc < 0 || l.changes == 0 || args_has(&cli->args, ARGS_DRY_RUN))
		return rc;
	if (!args_has(&cli->args, ARGS_WITH_CHANGES)) {
		output_warn(&cli->out,
			    "these changes stay behind; --with-changes, or "
			    "later delta reset, takes them away");
		return 0;
	}
	rc = cmd_confirm(cli, "%ju changes of guests of %s go for good",
			 (uintmax_t)l.changes, tenant);
	l.remove = true;
	if (rc == 0)
		rc = leftovers_each(&l, tenant, refs, count);
	if (rc == 0 && l.left > 0)
		output_warn(&cli->out, "%ju changes could not be undone",
			    (uintmax_t)l.left);
	return rc;
}
