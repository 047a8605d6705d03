/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_apply: make tenants, guests, upstreams, selections and entitlements what
 * a file says (apply_file.h), and nothing else.
 *
 * In phases: read the file -> read what is there -> list the changes, and
 * refuse what cannot be (all of it before anything is changed) -> make them, in
 * an order in which each finds what it needs -> or only show them.
 */
#include <stdio.h>

#include "admin/apply_plan.h"
#include "depot/io.h"

/* --- reading -------------------------------------------------------------- */

static int apply_read_stdin(void **bytes, size_t *len)
{
	char *text = malloc(APPLY_FILE_MAX + 2);

	if (!text)
		return -ENOMEM;
	*len = fread(text, 1, APPLY_FILE_MAX + 1, stdin);
	text[*len] = '\0';
	*bytes = text;
	return ferror(stdin) ? -EIO : *len > APPLY_FILE_MAX ? -EFBIG : 0;
}

static int apply_read(struct apply *a, const char *path)
{
	CLEANUP_FREE void *bytes = NULL;
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;
	bool is_stdin = strcmp(path, "-") == 0;
	int rc;

	a->name = is_stdin ? "(stdin)" : path;
	rc = is_stdin ? apply_read_stdin(&bytes, &len)
		      : io_read_file(path, APPLY_FILE_MAX, &bytes, &len);
	if (rc < 0) {
		failure_set(&a->cli->failure, rc, CONTROL_EXIT_USAGE, "%s: %s",
			    a->name, strerrordesc_np(-rc));
		failure_hint(&a->cli->failure,
			     "try: vdrive tenant export NAME, for what such a "
			     "file looks like");
		return rc;
	}
	text = strndup(bytes, len);
	if (!text)
		return failure_errno(&a->cli->failure, -ENOMEM, "apply");
	if (strlen(text) != len) {
		failure_set(&a->cli->failure, -EINVAL, CONTROL_EXIT_USAGE,
			    "%s: this is no text", a->name);
		return -EINVAL;
	}
	rc = apply_file_parse(&a->file, a->name, text);
	if (rc == -EINVAL) {
		failure_set(&a->cli->failure, rc, CONTROL_EXIT_USAGE, "%s",
			    a->file.error);
		failure_hint(&a->cli->failure,
			     "try: man vdrive-apply, for what may stand there");
	}
	return rc;
}

/* --- doing ---------------------------------------------------------------- */

static int apply_make(struct apply *a, const struct apply_change *change)
{
	struct client_request request = {.method = "POST",
					 .path = change->path,
					 .body = change->body,
					 .is_long = change->is_long};
	json_t *json;
	int rc;

	_Static_assert(sizeof(change->query) <= sizeof(request.query), "room");
	memcpy(request.query, change->query, sizeof(change->query));
	if (change->body)
		request.body_len = strlen(change->body);
	rc = client_json(a->cli->client, &request, &json, &a->cli->failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

/* How all guests that are there are told apart, at one moment. */
static int apply_make_access(struct apply *a)
{
	CLEANUP_FREE char *body = json_dumps(a->access, JSON_COMPACT);
	const struct apply_change change = {.path = APPLY_ACCESS_PATH,
					    .body = body};

	if (json_array_size(a->access) == 0)
		return 0;
	return body ? apply_make(a, &change) : -ENOMEM;
}

static json_t *apply_json(const struct apply *a, bool dry, unsigned int done)
{
	json_t *list = json_array();
	char sign[2] = "";

	for (unsigned int step = 0, at = 0; list && step < STEPS; step++) {
		for (unsigned int i = 0; i < a->count; i++) {
			if (a->change[i].step != step)
				continue;
			sign[0] = a->change[i].sign;
			json_array_append_new(
			    list, json_pack("{s:s, s:s, s:b}", "sign", sign,
					    "what", a->change[i].text, "done",
					    !dry && at++ < done));
		}
	}
	return json_pack("{s:s, s:b, s:o}", "schema", "apply/1", "dry_run",
			 (int)dry, "changes", list);
}

/* In order of the steps; each is shown when it is done, or would be. */
static int apply_run(struct apply *a, bool dry, unsigned int *done)
{
	int rc = 0;

	*done = 0;
	for (unsigned int step = 0; rc == 0 && step < STEPS; step++) {
		if (!dry && step == STEP_ACCESS)
			rc = apply_make_access(a);
		for (unsigned int i = 0; rc == 0 && i < a->count; i++) {
			if (a->change[i].step != step)
				continue;
			if (!dry && step != STEP_ACCESS)
				rc = apply_make(a, &a->change[i]);
			if (rc < 0)
				return rc;
			++*done;
			if (!a->cli->out.json)
				output_line(&a->cli->out, "%c %s",
					    a->change[i].sign,
					    a->change[i].text);
		}
	}
	return rc;
}

/* Guests and their deltas go with the operator's leave only. */
static int apply_confirm(struct apply *a)
{
	unsigned int gone = 0;

	for (unsigned int i = 0; i < a->count; i++)
		gone += a->change[i].step == STEP_REMOVE_GUEST;
	return gone == 0 ? 0
			 : cmd_confirm(a->cli,
				       "%u guests and their deltas go for good",
				       gone);
}

static int apply_all(struct apply *a, const char *path, bool dry)
{
	unsigned int done = 0;
	json_t *json;
	int rc;

	rc = apply_read(a, path);
	if (rc == 0)
		rc = apply_plan(a, args_has(&a->cli->args, ARGS_PRUNE));
	if (rc == 0 && !dry)
		rc = apply_confirm(a);
	if (rc < 0)
		return rc;
	rc = apply_run(a, dry, &done);
	if (a->cli->out.json && (rc == 0 || done > 0)) {
		json = apply_json(a, dry, done);
		output_json(json);
		json_decref(json);
	} else if (rc == 0 && a->count > 0) {
		output_line(&a->cli->out, "%u change%s%s", a->count,
			    a->count == 1 ? "" : "s", dry ? " (dry run)" : "");
	}
	if (rc < 0 && done > 0)
		output_warn(&a->cli->out,
			    "%u of %u changes are made, the rest is not begun; "
			    "the same again goes on",
			    done, a->count);
	return rc;
}

int cmd_apply(struct cli *cli, size_t argc UNUSED,
	      const char *const *argv UNUSED)
{
	CLEANUP(apply_clear) struct apply apply = {.cli = cli};
	const char *path = cli->args.value[ARGS_FILE];
	int rc;

	if (!path)
		return cmd_usage(cli, "vdrive apply -f tenants.conf",
				 "which file?");
	rc = apply_all(&apply, path, args_has(&cli->args, ARGS_DRY_RUN));
	if (rc == -ENOMEM)
		failure_errno(&cli->failure, -ENOMEM, "apply");
	return rc < 0 ? cmd_fail(cli) : CONTROL_EXIT_OK;
}
