/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_switch: what assign, unassign, upgrade and rollback have in common:
 * a selection takes the place of another under guests that run.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"
#include "nfsd/control_switch.h"

void control_switch_clear(struct control_switch *s)
{
	free(s->package);
	json_decref(s->paths);
	json_decref(s->notes);
	json_decref(s->guests);
	json_decref(s->changes);
}

static void control_switch_path(void *ctx, const char *what)
{
	struct control_switch *s = ctx;

	if (json_array_size(s->paths) < CONTROL_CONFLICTS_MAX)
		json_array_append_new(s->paths, json_string(what));
}

static void control_switch_note(void *ctx, const char *what)
{
	struct control_switch *s = ctx;

	if (json_array_size(s->notes) < CONTROL_CONFLICTS_MAX)
		json_array_append_new(s->notes, json_string(what));
}

static json_t *control_switch_package(const struct package_info *package)
{
	return package ? json_sprintf("%s%s%s", package->name,
				      *package->tag ? ":" : "", package->tag)
		       : json_null();
}

static void control_switch_guest(void *ctx, const struct site_guest_conflict *c)
{
	char kind[2] = {c->kind, '\0'};
	struct control_switch *s = ctx;

	if (json_array_size(s->guests) >= CONTROL_CONFLICTS_MAX)
		return;
	json_array_append_new(
	    s->guests, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:b, s:b}",
				 "guest", c->guest, "kind", kind, "path",
				 control_path_json(c->path), "package",
				 c->gone ? "gone" : "changed too", "before",
				 control_switch_package(c->before), "after",
				 control_switch_package(c->after), "conflict",
				 c->kind == 'M' || c->kind == 'm', "stays",
				 (int)c->refused));
}

static int control_switch_policy(struct control_request *req,
				 enum site_policy *policy)
{
	static const char *const words[] = {[SITE_POLICY_FAIL] = "fail",
					    [SITE_POLICY_KEEP] = "keep",
					    [SITE_POLICY_PACKAGE] = "package"};
	const char *text = control_param_text(req, "conflicts");

	*policy = SITE_POLICY_FAIL;
	for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*policy = (enum site_policy)i;
			return 0;
		}
	return text ? control_refuse(req, -EINVAL, NULL,
				     "conflicts: \"%s\" is not fail, keep or "
				     "package",
				     text)
		    : 0;
}

static int control_switch_look(void *ctx, const struct site_tenant_info *info)
{
	struct control_switch *s = ctx;

	if (strcmp(info->name, s->tenant) != 0)
		return 0;
	s->count = info->package_count;
	s->generation = s->from = info->generation;
	s->guest_count = info->guests;
	memcpy(s->package, info->package,
	       info->package_count * sizeof(*s->package));
	return 1;
}

int control_switch_begin(struct control_request *req, struct control_switch *s)
{
	int rc = control_param_name(req, "tenant", "a tenant", &s->tenant);

	if (rc == 0)
		rc = control_param_bool(req, "dry_run", &s->how.dry_run);
	if (rc == 0)
		rc = control_switch_policy(req, &s->how.policy);
	if (rc < 0)
		return rc;
	s->paths = json_array();
	s->notes = json_array();
	s->guests = json_array();
	s->changes = json_array();
	s->package = calloc(SITE_SELECTION_MAX, sizeof(*s->package));
	if (!s->paths || !s->notes || !s->guests || !s->changes || !s->package)
		return -ENOMEM;
	s->how.conflict = control_switch_path;
	s->how.note = control_switch_note;
	s->how.guest = control_switch_guest;
	s->how.ctx = s;
	rc =
	    site_tenant_list(req->control->daemon.site, control_switch_look, s);
	return rc == 0 ? control_switch_fail(req, s, -ENOENT) : MIN(rc, 0);
}

/* What is in the way, a line each. */
static json_t *control_switch_lines(struct control_switch *s)
{
	json_t *lines = STEAL(s->paths), *row;
	size_t i;

	json_array_foreach(s->guests, i, row)
	{
		if (!json_is_true(json_object_get(row, "conflict")))
			continue;
		json_array_append_new(
		    lines,
		    json_sprintf(
			"%s  %s %s  package: %s",
			json_string_value(json_object_get(row, "guest")),
			json_string_value(json_object_get(row, "kind")),
			json_string_value(json_object_get(row, "path")),
			json_string_value(json_object_get(row, "package"))));
	}
	return lines;
}

static int control_switch_conflicts(struct control_request *req,
				    struct control_switch *s)
{
	char hint[PACKAGE_NAME_MAX + 160];
	unsigned int paths = s->how.take_order ? 0 : s->how.paths;

	if (paths > 0)
		snprintf(hint, sizeof(hint),
			 "vdrive tenant assign %s ... --order (the first "
			 "package wins), or --prefer PACKAGE",
			 s->tenant);
	else
		snprintf(hint, sizeof(hint),
			 "--conflicts keep (the guests' versions go on), or "
			 "--conflicts package (they give way, and can be "
			 "brought back)");
	control_refuse(req, -EEXIST, hint,
		       "cannot %s %s: conflicts at %u paths; nothing has "
		       "changed",
		       s->verb, s->tenant, paths ? paths : s->how.conflicts);
	control_fail_list(req, "conflicts", control_switch_lines(s));
	return -EEXIST;
}

int control_switch_fail(struct control_request *req, struct control_switch *s,
			int rc)
{
	switch (rc) {
	case -ENOENT:
		return control_refuse(req, rc, "vdrive tenant list",
				      "there is no tenant %s", s->tenant);
	case -ERANGE:
		return control_refuse(req, -ENOENT, "vdrive tenant history",
				      "tenant %s has no such generation",
				      s->tenant);
	case -EACCES:
		return control_fail(req, rc,
				    "vdrive package entitle NAME TENANT,... "
				    "(what an upstream says only its publisher "
				    "can change)",
				    "cannot %s %s", s->verb, s->tenant);
	case -EEXIST:
		return control_switch_conflicts(req, s);
	default:
		return control_fail(req, rc, NULL, "cannot %s %s", s->verb,
				    s->tenant);
	}
}

int control_switch_run(struct control_request *req, struct control_switch *s)
{
	int rc =
	    site_tenant_switch(req->control->daemon.site, s->tenant, s->package,
			       s->count, &s->how, &s->generation);

	return rc < 0 ? control_switch_fail(req, s, rc) : 0;
}

int control_switch_answer(struct control_request *req, struct control_switch *s,
			  const char *schema)
{
	return control_answer(
	    req, json_pack(
		     "{s:s, s:s, s:I, s:I, s:b, s:O, s:O, s:O, s:O, s:I, s:I, "
		     "s:I, s:I, s:I}",
		     "schema", schema, "tenant", s->tenant, "generation",
		     (json_int_t)s->generation, "from", (json_int_t)s->from,
		     "dry_run", (int)s->how.dry_run, "changes", s->changes,
		     "conflicts", s->paths, "notes", s->notes, "guest_changes",
		     s->guests, "guest_conflicts", (json_int_t)s->how.conflicts,
		     "kept", (json_int_t)s->how.kept, "superseded",
		     (json_int_t)s->how.superseded, "restored",
		     (json_int_t)s->how.restored, "guests",
		     (json_int_t)s->guest_count));
}
