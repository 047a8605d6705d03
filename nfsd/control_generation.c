/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_generation: a tenant's selections over time: which there were, back
 * to one of them, and on to what its tags name now; and what a tag names.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

struct control_generation {
	const char *tenant; /* borrows */
	json_t *conflicts;  /* owns */
	/* Of an upgrade: */
	json_t *changes;              /* owns */
	struct package_info *package; /* owns; SITE_SELECTION_MAX */
	unsigned int count;
	uint32_t generation;
};

static void control_generation_clear(struct control_generation *g)
{
	json_decref(g->conflicts);
	json_decref(g->changes);
	free(g->package);
}

static void control_generation_conflict(void *ctx, const char *what)
{
	struct control_generation *g = ctx;

	if (json_array_size(g->conflicts) < CONTROL_CONFLICTS_MAX)
		json_array_append_new(g->conflicts, json_string(what));
}

static int control_generation_fail(struct control_request *req,
				   struct control_generation *g, int rc)
{
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive tenant list",
				      "there is no tenant %s", g->tenant);
	if (rc == -ERANGE)
		return control_refuse(req, -ENOENT, "vdrive tenant history",
				      "tenant %s has no such generation",
				      g->tenant);
	if (rc != -EEXIST)
		return control_fail(req, rc, NULL, "cannot switch %s",
				    g->tenant);
	control_refuse(req, rc,
		       "vdrive delta diff GUEST, then reset or snapshot it",
		       "cannot switch %s: conflicts at %zu paths; nothing has "
		       "changed",
		       g->tenant, json_array_size(g->conflicts));
	control_fail_list(req, "conflicts", STEAL(g->conflicts));
	return rc;
}

/* --- history ------------------------------------------------------------- */

static json_t *control_packages_json(const struct package_info *package,
				     unsigned int count)
{
	char hex[DIGEST_HEX_LEN + 1];
	json_t *list = json_array();

	for (unsigned int i = 0; list && i < count; i++) {
		digest_to_hex(&package[i].revision, hex);
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:s}", "name", package[i].name,
				    "tag", package[i].tag, "revision", hex));
	}
	return list;
}

static int control_history_visit(void *ctx,
				 const struct site_generation *generation)
{
	return control_append(
	    ctx, json_pack("{s:I, s:o, s:o}", "generation",
			   (json_int_t)generation->generation, "since",
			   control_time(generation->since.tv_sec), "packages",
			   control_packages_json(generation->package,
						 generation->package_count)));
}

int control_tenant_history(struct control_request *req)
{
	struct control_generation g = {0};
	json_t *list;
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &g.tenant);
	if (rc < 0)
		return rc;
	list = json_array();
	rc = list ? site_tenant_history(req->control->daemon.site, g.tenant,
					control_history_visit, list)
		  : -ENOMEM;
	if (rc == -ENOENT) {
		json_decref(list);
		return control_generation_fail(req, &g, rc);
	}
	return control_answer_list(req, rc, "tenant-history/1", "generations",
				   list);
}

/* --- back ---------------------------------------------------------------- */

static int control_generation_number(struct control_request *req,
				     uint32_t *number)
{
	const char *text = control_param_text(req, "to");
	char *end;
	unsigned long value;

	*number = 0;
	if (!text)
		return 0;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text >= '1' && *text <= '9' && !*end && errno == 0 &&
	    value <= UINT32_MAX) {
		*number = (uint32_t)value;
		return 0;
	}
	return control_refuse(req, -EINVAL, "vdrive tenant history",
			      "\"%s\" is no number of a generation", text);
}

int control_tenant_rollback(struct control_request *req)
{
	CLEANUP(control_generation_clear) struct control_generation g = {0};
	struct site_switch how = {.conflict = control_generation_conflict,
				  .ctx = &g};
	uint32_t to, from = 0;
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &g.tenant);
	if (rc == 0)
		rc = control_generation_number(req, &to);
	if (rc < 0)
		return rc;
	g.conflicts = json_array();
	if (!g.conflicts)
		return -ENOMEM;
	rc = site_tenant_rollback(req->control->daemon.site, g.tenant, to,
				  &how, &from, &g.generation);
	if (rc < 0)
		return control_generation_fail(req, &g, rc);
	return control_answer(req,
			      json_pack("{s:s, s:s, s:I, s:I}", "schema",
					"tenant-rollback/1", "tenant", g.tenant,
					"from", (json_int_t)from, "generation",
					(json_int_t)g.generation));
}

/* --- on ------------------------------------------------------------------ */

static int control_upgrade_look(void *ctx, const struct site_tenant_info *info)
{
	struct control_generation *g = ctx;

	if (strcmp(info->name, g->tenant) != 0)
		return 0;
	g->count = info->package_count;
	g->generation = info->generation;
	memcpy(g->package, info->package,
	       info->package_count * sizeof(*g->package));
	return 1;
}

/* Is it one of those that are to be upgraded?  No list: all are. */
static bool control_upgrade_wanted(const struct control_request *req,
				   const char *name)
{
	const char *p = (const char *)req->body, *end = p + req->body_len;
	size_t len = strlen(name);

	/* The body ends with a newline. */
	for (; p < end;
	     p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1)
		if ((size_t)(end - p) > len && memcmp(p, name, len) == 0 &&
		    p[len] == '\n')
			return true;
	return req->body_len == 0;
}

/* What its tag names now: upstream, where it came from there. */
static int control_upgrade_resolve(struct control_request *req,
				   const struct package_info *old,
				   struct package_info *now)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_ref ref = {0};
	int rc;

	memcpy(ref.name, old->name, sizeof(ref.name));
	memcpy(ref.tag, old->tag, sizeof(ref.tag));
	rc = depot_package_get(depot, &ref, now);
	if (rc == 0 && now->upstream[0])
		rc = depot_package_pull(depot, &ref, now->upstream, now);
	if (rc == -ENOENT) {
		*now = *old; /* its tag has gone: it stays as it is */
		return 0;
	}
	if (rc < 0)
		return control_fail(req, rc, control_depot_hint(rc),
				    "package \"%s:%s\"", old->name, old->tag);
	return 0;
}

static int control_upgrade_one(struct control_request *req,
			       struct control_generation *g,
			       struct package_info *package)
{
	char before[DIGEST_HEX_LEN + 1], after[DIGEST_HEX_LEN + 1];
	struct package_info now;
	int rc;

	/* One that was named by its digest is meant to stay. */
	if (!package->tag[0] || !control_upgrade_wanted(req, package->name))
		return 0;
	rc = control_upgrade_resolve(req, package, &now);
	if (rc < 0 || digest_equal(&now.revision, &package->revision))
		return rc;
	digest_to_hex(&package->revision, before);
	digest_to_hex(&now.revision, after);
	*package = now;
	return control_append(
	    g->changes, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", now.name,
				  "tag", now.tag, "version", now.version,
				  "from", before, "to", after));
}

static int control_upgrade_switch(struct control_request *req,
				  struct control_generation *g)
{
	bool dry_run;
	int rc;

	rc = control_param_bool(req, "dry_run", &dry_run);
	if (rc < 0)
		return rc;
	if (!dry_run && json_array_size(g->changes) > 0) {
		rc = site_tenant_assign(
		    req->control->daemon.site, g->tenant, g->package, g->count,
		    true, control_generation_conflict, g, &g->generation);
		if (rc < 0)
			return control_generation_fail(req, g, rc);
	}
	return control_answer(
	    req,
	    json_pack("{s:s, s:s, s:I, s:b, s:O, s:O}", "schema",
		      "tenant-upgrade/1", "tenant", g->tenant, "generation",
		      (json_int_t)g->generation, "dry_run", (int)dry_run,
		      "changes", g->changes, "conflicts", g->conflicts));
}

int control_tenant_upgrade(struct control_request *req)
{
	CLEANUP(control_generation_clear) struct control_generation g = {0};
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &g.tenant);
	if (rc < 0)
		return rc;
	if (req->body_len > 0 && req->body[req->body_len - 1] != '\n')
		return control_refuse(req, -EINVAL, NULL,
				      "upgrade: a name a line");
	g.conflicts = json_array();
	g.changes = json_array();
	g.package = calloc(SITE_SELECTION_MAX, sizeof(*g.package));
	if (!g.conflicts || !g.changes || !g.package)
		return -ENOMEM;
	rc = site_tenant_list(req->control->daemon.site, control_upgrade_look,
			      &g);
	if (rc == 0)
		rc = -ENOENT;
	if (rc < 0)
		return control_generation_fail(req, &g, rc);
	for (unsigned int i = 0; i < g.count; i++) {
		rc = control_upgrade_one(req, &g, &g.package[i]);
		if (rc < 0)
			return rc;
	}
	return control_upgrade_switch(req, &g);
}

/* --- what a tag names ---------------------------------------------------- */

int control_package_tag(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_info info;
	struct package_ref ref;
	const char *text, *tag;
	int rc;

	rc = control_param(req, "package",
			   PACKAGE_NAME_MAX + DIGEST_HEX_LEN + TAG_NAME_MAX,
			   &text);
	if (rc == 0)
		rc = control_param(req, "tag", TAG_NAME_MAX, &tag);
	if (rc < 0)
		return rc;
	if (package_ref_parse(text, &ref) < 0)
		return control_refuse(req, -EINVAL, "vdrive package list",
				      "\"%s\" is no package reference", text);
	rc = depot_package_get(depot, &ref, &info);
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive package list",
				      "package \"%s\" is not in this depot",
				      text);
	if (rc == 0)
		rc = depot_package_tag(depot, &info, tag);
	if (rc == -EINVAL)
		return control_refuse(req, rc,
				      "letters, digits and . _ + ~ : -",
				      "\"%s\" is no tag", tag);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", text);
	return control_answer(req, json_pack("{s:s, s:s, s:s}", "schema",
					     "package-tag/1", "name", info.name,
					     "tag", tag));
}
