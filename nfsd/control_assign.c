/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_assign: what a tenant has selected, through the admin API.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

enum { CONTROL_URL_MAX = sizeof(((struct upstream_info *)0)->url) - 1 };

struct control_assign {
	const char *tenant; /* borrows */
	bool take_order;
	struct package_info *packages; /* owns; SITE_SELECTION_MAX of them */
	unsigned int count;
	json_t *conflicts; /* owns */
};

static void control_assign_clear(struct control_assign *assign)
{
	free(assign->packages);
	json_decref(assign->conflicts);
}

static int control_upstream_name(void *ctx, const struct upstream_info *info)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, CONTROL_URL_MAX - len, "%s%s",
		 len ? ", " : " nor in upstreams ", info->name);
	return 0;
}

/* What to try when it is another host's depot that fails; NULL: no idea. */
const char *control_depot_hint(int rc)
{
	switch (rc) {
	case -EHOSTUNREACH:
		return "the same when it answers; vdrive upstream list shows "
		       "when";
	case -EACCES:
		return "vdrive upstream set NAME --credentials FILE, or have "
		       "its server let this host in";
	case -EBADMSG:
		return "vdrive depot key list, for whom it must be signed by; "
		       "another upstream; or tell its publisher";
	case -EPROTONOSUPPORT:
		return "a newer vdrive on this host";
	case -EINVAL:
		return "vdrive help upstream, for what URLs and options there "
		       "are";
	default:
		return NULL;
	}
}

static int control_resolve_fail(struct control_request *req, int rc,
				const char *ref)
{
	char upstreams[CONTROL_URL_MAX] = "";

	if (rc != -ENOENT)
		return control_fail(req, rc, control_depot_hint(rc),
				    "package \"%s\"", ref);
	if (depot_upstream_list(req->control->daemon.depot,
				control_upstream_name, upstreams) < 0)
		upstreams[0] = '\0';
	return control_refuse(req, rc, "vdrive package list",
			      "package \"%s\" is not in this depot%s", ref,
			      upstreams);
}

static int control_assign_ref(struct control_request *req,
			      struct control_assign *assign, const char *text)
{
	struct package_info *info = &assign->packages[assign->count];
	struct package_ref ref;
	int rc;

	if (assign->count >= SITE_SELECTION_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "a selection has at most %d packages",
				      SITE_SELECTION_MAX);
	if (package_ref_parse(text, &ref) < 0)
		return control_refuse(req, -EINVAL, "vdrive package list",
				      "\"%s\" is no package reference", text);
	rc = depot_package_resolve(req->control->daemon.depot, &ref, info);
	if (rc < 0)
		return control_resolve_fail(req, rc, text);
	for (unsigned int i = 0; i < assign->count; i++)
		if (digest_equal(&assign->packages[i].revision,
				 &info->revision))
			return control_refuse(req, -EINVAL, "each package once",
					      "package \"%s\" is named twice",
					      text);
	assign->count++;
	return 0;
}

static int control_assign_refs(struct control_request *req,
			       struct control_assign *assign)
{
	CLEANUP_FREE char *text =
	    strndup((const char *)req->body, req->body_len);
	char *save = NULL;
	int rc = 0;

	if (!text)
		return -ENOMEM;
	if (strlen(text) != req->body_len)
		return control_refuse(req, -EINVAL, NULL,
				      "assign: the list is no text");
	for (char *line = strtok_r(text, "\n", &save); line && rc == 0;
	     line = strtok_r(NULL, "\n", &save))
		rc = control_assign_ref(req, assign, line);
	if (rc == 0 && assign->count == 0)
		return control_refuse(req, -EINVAL, NULL,
				      "assign: no package is named");
	return rc;
}

static void control_assign_conflict(void *ctx, const char *what)
{
	struct control_assign *assign = ctx;

	if (json_array_size(assign->conflicts) < CONTROL_CONFLICTS_MAX)
		json_array_append_new(assign->conflicts, json_string(what));
}

static int control_assign_fail(struct control_request *req,
			       struct control_assign *assign, int rc)
{
	char hint[PACKAGE_NAME_MAX + 80];

	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive tenant list",
				      "there is no tenant %s", assign->tenant);
	if (rc == -EACCES)
		return control_fail(req, rc,
				    "vdrive package entitle NAME TENANT,... "
				    "(what an upstream says only its publisher "
				    "can change)",
				    "cannot assign to %s", assign->tenant);
	if (rc != -EEXIST)
		return control_fail(req, rc, NULL, "cannot assign to %s",
				    assign->tenant);
	snprintf(hint, sizeof(hint),
		 "vdrive tenant assign %s ... --order (the first package wins)",
		 assign->tenant);
	control_refuse(req, rc, assign->take_order ? NULL : hint,
		       "cannot assign to %s: conflicts at %zu paths; nothing "
		       "has changed",
		       assign->tenant, json_array_size(assign->conflicts));
	control_fail_list(req, "conflicts", STEAL(assign->conflicts));
	return rc;
}

static int control_assign_run(struct control_request *req,
			      struct control_assign *assign)
{
	uint32_t generation = 0;
	int rc;

	rc = site_tenant_assign(req->control->daemon.site, assign->tenant,
				assign->packages, assign->count,
				assign->take_order, control_assign_conflict,
				assign, &generation);
	if (rc < 0)
		return control_assign_fail(req, assign, rc);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:o}", "schema", "tenant-assign/1",
			   "tenant", assign->tenant, "generation",
			   (json_int_t)generation, "conflicts",
			   STEAL(assign->conflicts)));
}

int control_assign(struct control_request *req)
{
	CLEANUP(control_assign_clear) struct control_assign assign = {0};
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &assign.tenant);
	if (rc < 0)
		return rc;
	rc = control_param_bool(req, "order", &assign.take_order);
	if (rc < 0)
		return rc;
	assign.packages = calloc(SITE_SELECTION_MAX, sizeof(*assign.packages));
	assign.conflicts = json_array();
	if (!assign.packages || !assign.conflicts)
		return -ENOMEM;
	rc = control_assign_refs(req, &assign);
	if (rc < 0)
		return rc;
	return control_assign_run(req, &assign);
}
