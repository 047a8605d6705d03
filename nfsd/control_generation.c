/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_generation: a tenant's selections over time: which there were, back
 * to one of them, and on to what its tags name now; and what a tag names.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/prefetch.h"
#include "nfsd/control_switch.h"

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
	struct control_switch s = {.verb = "look at"};
	json_t *list;
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &s.tenant);
	if (rc < 0)
		return rc;
	list = json_array();
	rc = list ? site_tenant_history(req->control->daemon.site, s.tenant,
					control_history_visit, list)
		  : -ENOMEM;
	if (rc == -ENOENT) {
		json_decref(list);
		return control_switch_fail(req, &s, rc);
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
	CLEANUP(control_switch_clear)
	struct control_switch s = {.verb = "roll back"};
	uint32_t to;
	int rc = control_switch_begin(req, &s);

	if (rc == 0)
		rc = control_generation_number(req, &to);
	if (rc < 0)
		return rc;
	rc = site_tenant_rollback(req->control->daemon.site, s.tenant, to,
				  &s.how, &s.from, &s.generation);
	if (rc < 0)
		return control_switch_fail(req, &s, rc);
	return control_switch_answer(req, &s, "tenant-rollback/1");
}

/* --- on ------------------------------------------------------------------ */

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

/* Its words for a revision: the version, or the digest when it has none. */
static void control_upgrade_words(struct control_request *req,
				  const struct package_info *package,
				  char text[TAG_NAME_MAX + 1])
{
	struct package_ref ref = {.by_digest = true};
	struct package_info info;
	char hex[DIGEST_HEX_LEN + 1];

	memcpy(ref.name, package->name, sizeof(ref.name));
	ref.revision = package->revision;
	digest_to_hex(&package->revision, hex);
	if (depot_package_get(req->control->daemon.depot, &ref, &info) == 0 &&
	    info.version[0])
		snprintf(text, TAG_NAME_MAX + 1, "%s", info.version);
	else
		snprintf(text, TAG_NAME_MAX + 1, "%.12s", hex);
}

/* Files that differ, and bytes that are not here. */
static int control_upgrade_figures(struct control_request *req,
				   const struct package_info *before,
				   const struct package_info *after,
				   json_t *row)
{
	struct depot *depot = req->control->daemon.depot;
	struct prefetch_resident here = {0};
	uint64_t files = 0;
	struct tree *tree;
	int rc = site_package_changes(req->control->daemon.site, &before->tree,
				      &after->tree, &files);

	if (rc == 0)
		rc = depot_tree_get(depot, &after->tree, &tree);
	if (rc == 0) {
		rc = depot_prefetch_resident(depot, tree, NULL, &here);
		tree_put(tree);
	}
	json_object_set_new(row, "files", json_integer((json_int_t)files));
	json_object_set_new(
	    row, "fetch_bytes",
	    json_integer((json_int_t)(here.bytes - here.bytes_here)));
	return rc;
}

static int control_upgrade_one(struct control_request *req,
			       struct control_switch *s,
			       struct package_info *package)
{
	char before[DIGEST_HEX_LEN + 1], after[DIGEST_HEX_LEN + 1];
	char was[TAG_NAME_MAX + 1], is[TAG_NAME_MAX + 1];
	struct package_info now;
	json_t *row;
	int rc;

	/* One that was named by its digest is meant to stay. */
	if (!package->tag[0] || !control_upgrade_wanted(req, package->name))
		return 0;
	rc = control_upgrade_resolve(req, package, &now);
	if (rc < 0 || digest_equal(&now.revision, &package->revision))
		return rc;
	digest_to_hex(&package->revision, before);
	digest_to_hex(&now.revision, after);
	control_upgrade_words(req, package, was);
	control_upgrade_words(req, &now, is);
	if (strcmp(was, is) == 0) { /* one version, built twice */
		snprintf(was, sizeof(was), "%.12s", before);
		snprintf(is, sizeof(is), "%.12s", after);
	}
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "name", now.name,
			"tag", now.tag, "version", now.version, "from", before,
			"to", after, "from_version", was, "to_version", is);
	rc = control_append(s->changes, row);
	if (rc == 0)
		rc = control_upgrade_figures(req, package, &now, row);
	if (rc < 0)
		return control_fail(req, rc, control_depot_hint(rc),
				    "package \"%s:%s\"", now.name, now.tag);
	*package = now;
	return 0;
}

int control_tenant_upgrade(struct control_request *req)
{
	CLEANUP(control_switch_clear)
	struct control_switch s = {.verb = "upgrade"};
	int rc = control_switch_begin(req, &s);

	if (rc < 0)
		return rc;
	if (req->body_len > 0 && req->body[req->body_len - 1] != '\n')
		return control_refuse(req, -EINVAL, NULL,
				      "upgrade: a name a line");
	for (unsigned int i = 0; rc == 0 && i < s.count; i++)
		rc = control_upgrade_one(req, &s, &s.package[i]);
	s.how.take_order = true; /* it has been agreed to before */
	if (rc == 0 && json_array_size(s.changes) > 0)
		rc = control_switch_run(req, &s);
	return rc < 0 ? rc : control_switch_answer(req, &s, "tenant-upgrade/1");
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
	rc = control_package_of(req, text, &ref, &info);
	if (rc < 0)
		return rc;
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
