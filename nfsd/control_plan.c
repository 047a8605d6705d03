/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_plan: plans, prefetching, and what is resident, through the admin
 * API.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "depot/plan_rows.h"
#include "depot/prefetch.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

/* --- which package, which tree ------------------------------------------- */

/* The package "ref" of this depot, and its tree with a reference. */
static int control_plan_tree(struct control_request *req, const char **name,
			     struct package_info *info, struct tree **tree)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_ref ref;
	int rc;

	rc = control_param_ref(req, name, &ref);
	if (rc < 0)
		return rc;
	rc = control_package_of(req, *name, &ref, info);
	if (rc < 0)
		return rc;
	rc = depot_tree_get(depot, &info->tree, tree);
	return rc < 0 ? control_fail(req, rc, NULL, "package \"%s\"", *name)
		      : 0;
}

static const char *control_plan_kind(const struct plan_figures *figures)
{
	if (!figures->has_plan)
		return "none";
	switch (figures->kind) {
	case PLAN_KIND_PUBLISHED:
		return "published";
	case PLAN_KIND_RECORDED:
		return "recorded";
	default:
		return "upstream";
	}
}

static json_t *control_plan_json(struct control_request *req,
				 const struct package_info *info)
{
	struct depot *depot = req->control->daemon.depot;
	struct prefetch_bytes bytes;
	struct plan_figures figures;
	char ref[PACKAGE_NAME_MAX + TAG_NAME_MAX + 2];
	char tree[DIGEST_HEX_LEN + 1];

	if (plan_rows_figures(depot_state(depot), &info->tree, &figures) < 0)
		return NULL;
	depot_prefetch_of_tree(depot, &info->tree, &bytes);
	digest_to_hex(&info->tree, tree);
	snprintf(ref, sizeof(ref), "%s%s%s", info->name, *info->tag ? ":" : "",
		 info->tag);
	return json_pack(
	    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I}",
	    "package", ref, "tree", tree, "plan", control_plan_kind(&figures),
	    "shards", (json_int_t)figures.plan_shards, "guests",
	    (json_int_t)figures.plan_guests, "budget",
	    (json_int_t)figures.budget, "starts", (json_int_t)figures.starts,
	    "last_start", control_time(figures.last_sec), "bytes_fetched",
	    (json_int_t)bytes.fetched, "bytes_used", (json_int_t)bytes.used,
	    "bytes_wasted", (json_int_t)bytes.wasted);
}

/* --- plans --------------------------------------------------------------- */

struct control_plans {
	struct control_request *req;
	json_t *list;
};

static int control_plan_visit(void *ctx, const struct package_info *info)
{
	struct control_plans *plans = ctx;

	return control_append(plans->list, control_plan_json(plans->req, info));
}

int control_plan_list(struct control_request *req)
{
	struct control_plans plans = {req, json_array()};
	int rc;

	if (!plans.list)
		return -ENOMEM;
	site_save_starts(req->control->daemon.site);
	rc = depot_package_list(req->control->daemon.depot, control_plan_visit,
				&plans);
	return control_answer_list(req, rc, "plan-list/1", "plans", plans.list);
}

static json_t *control_plan_order(const struct plan *plan)
{
	json_t *list = json_array();

	for (uint32_t i = 0; list && i < plan->count; i++)
		if (json_array_append_new(
			list, json_integer((json_int_t)plan->shards[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

int control_plan_show(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_info info;
	struct plan plan = {0};
	struct tree *tree;
	const char *name;
	json_t *json;
	int rc;

	rc = control_plan_tree(req, &name, &info, &tree);
	if (rc < 0)
		return rc;
	site_save_starts(req->control->daemon.site);
	rc = depot_plan_get(depot, tree, NULL, &plan);
	tree_put(tree);
	if (rc < 0 && rc != -ENOENT)
		return control_fail(req, rc, NULL, "the plan of %s", name);
	json = control_plan_json(req, &info);
	if (json) {
		json_object_set_new(json, "schema", json_string("plan-show/1"));
		json_object_set_new(json, "order", control_plan_order(&plan));
	}
	plan_clear(&plan);
	return control_answer(req, json);
}

int control_plan_file(struct control_request *req)
{
	CLEANUP(plan_clear) struct plan plan = {0};
	struct package_info info;
	struct plan_row row;
	struct tree *tree;
	const char *name;
	void *bytes;
	size_t len;
	int rc;

	rc = control_plan_tree(req, &name, &info, &tree);
	if (rc < 0)
		return rc;
	rc = plan_rows_get(depot_state(req->control->daemon.depot), &info.tree,
			   tree_shard_count(tree), &row);
	tree_put(tree);
	if (rc == 0)
		plan = row.plan;
	/* What one guest did stays on this host. */
	if (rc == 0 && row.kind == PLAN_KIND_RECORDED)
		rc = -ENOENT;
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive package plan publish",
				      "%s has no published plan", name);
	if (rc == 0)
		rc = plan_write(&plan, &bytes, &len);
	return rc < 0 ? control_fail(req, rc, NULL, "the plan of %s", name)
		      : control_answer_bytes(req, bytes, len);
}

static int control_plan_done(struct control_request *req,
			     const struct package_info *info)
{
	json_t *json = control_plan_json(req, info);

	if (json)
		json_object_set_new(json, "schema", json_string("plan/1"));
	return control_answer(req, json);
}

int control_plan_publish(struct control_request *req)
{
	struct package_info info;
	struct tree *tree;
	const char *name;
	int rc;

	rc = control_plan_tree(req, &name, &info, &tree);
	if (rc < 0)
		return rc;
	site_save_starts(req->control->daemon.site);
	rc = depot_plan_publish(req->control->daemon.depot, tree);
	tree_put(tree);
	if (rc == -ENODATA)
		rc = -EBUSY; /* no damage: it is too early */
	if (rc < 0)
		return control_fail(req, rc,
				    "again when 3 guests have started it, or "
				    "vdrive package plan record",
				    "no plan of %s can be published", name);
	return control_plan_done(req, &info);
}

int control_plan_record(struct control_request *req)
{
	char tenant[PACKAGE_NAME_MAX + 1];
	const char *name, *guest, *slash;
	struct package_info info;
	struct tree *tree;
	int rc;

	rc = control_param_guest(req, "guest", &guest);
	if (rc == 0)
		rc = control_plan_tree(req, &name, &info, &tree);
	if (rc < 0)
		return rc;
	slash = strchr(guest, '/');
	snprintf(tenant, sizeof(tenant), "%.*s", (int)(slash - guest), guest);
	site_save_starts(req->control->daemon.site);
	rc = depot_plan_record(req->control->daemon.depot, tree, tenant,
			       slash + 1);
	tree_put(tree);
	if (rc == -ENODATA)
		rc = -ENOENT;
	if (rc < 0)
		return control_fail(req, rc,
				    "start it in that guest, then the same "
				    "again",
				    "no plan of %s is recorded", name);
	return control_plan_done(req, &info);
}

int control_plan_remove(struct control_request *req)
{
	struct package_info info;
	struct tree *tree;
	const char *name;
	bool starts;
	int rc;

	rc = control_param_bool(req, "starts", &starts);
	if (rc == 0)
		rc = control_plan_tree(req, &name, &info, &tree);
	if (rc < 0)
		return rc;
	tree_put(tree);
	rc = plan_rows_remove(depot_state(req->control->daemon.depot),
			      &info.tree, starts);
	if (rc < 0)
		return control_fail(req, rc, NULL, "the plan of %s", name);
	return control_plan_done(req, &info);
}

/* --- prefetching --------------------------------------------------------- */

static int control_prefetch_resolve(struct control_request *req,
				    const char **name, struct tree **tree)
{
	struct depot *depot = req->control->daemon.depot;
	struct package_info info;
	struct package_ref ref;
	int rc;

	rc = control_param_ref(req, name, &ref);
	if (rc < 0)
		return rc;
	rc = depot_package_resolve(depot, &ref, &info);
	if (rc == 0)
		rc = depot_tree_get(depot, &info.tree, tree);
	if (rc < 0)
		return control_fail(req, rc,
				    rc == -EHOSTUNREACH ? "vdrive upstream list"
							: NULL,
				    "cannot get package \"%s\"", *name);
	return 0;
}

static int control_prefetch_answer(struct control_request *req, uint64_t id,
				   const char *what,
				   const struct prefetch_progress *progress)
{
	return control_answer(
	    req, json_pack("{s:s, s:I, s:s*, s:b, s:I, s:I, s:I, s:I, s:I}",
			   "schema", "prefetch/1", "id", (json_int_t)id, "what",
			   what, "over", (int)progress->over, "shards_total",
			   (json_int_t)progress->total, "shards_done",
			   (json_int_t)progress->done, "shards_failed",
			   (json_int_t)progress->failed, "bytes_total",
			   (json_int_t)progress->bytes_total, "bytes_done",
			   (json_int_t)progress->bytes_done));
}

int control_prefetch_start(struct control_request *req)
{
	const char *what = control_param_text(req, "what");
	const char *tenant = control_param_text(req, "tenant");
	struct depot *depot = req->control->daemon.depot;
	struct prefetch_progress progress = {.over = false};
	bool all = what && strcmp(what, "all") == 0;
	struct tree *tree;
	const char *name;
	uint64_t id;
	int rc;

	if (tenant && !depot_name_ok(tenant))
		return control_refuse(req, -EINVAL, NULL, "no tenant's name");
	rc = control_prefetch_resolve(req, &name, &tree);
	if (rc < 0)
		return rc;
	site_save_starts(req->control->daemon.site);
	rc = depot_prefetch_start(
	    depot, tree, all ? PREFETCH_ALL : PREFETCH_PLAN, tenant, &id);
	/* Neither "plan" nor "all" was asked for: what there is. */
	if (rc == -ENODATA && !what) {
		all = true;
		rc = depot_prefetch_start(depot, tree, PREFETCH_ALL, tenant,
					  &id);
	}
	tree_put(tree);
	if (rc == -ENODATA)
		return control_refuse(req, -ENOENT,
				      "vdrive package prefetch --all",
				      "no plan of %s is known here", name);
	if (rc == 0)
		rc = depot_prefetch_ask(depot, id, &progress);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot prefetch %s", name);
	return control_prefetch_answer(req, id, all ? "all" : "plan",
				       &progress);
}

static json_t *control_bytes_json(const struct prefetch_bytes *bytes)
{
	return json_pack(
	    "{s:I, s:I, s:I}", "fetched", (json_int_t)bytes->fetched, "used",
	    (json_int_t)bytes->used, "wasted", (json_int_t)bytes->wasted);
}

json_t *control_prefetch_json(struct depot *depot)
{
	struct prefetch_figures figures;

	depot_prefetch_figures(depot, &figures);
	return json_pack("{s:o, s:o, s:o, s:I}", "plan",
			 control_bytes_json(&figures.plan), "ahead",
			 control_bytes_json(&figures.ahead), "fill",
			 control_bytes_json(&figures.fill), "runs",
			 (json_int_t)figures.runs);
}

static int control_param_id(struct control_request *req, uint64_t *id)
{
	const char *text;
	char *end;
	int rc = control_param(req, "id", 20, &text);

	if (rc < 0)
		return rc;
	errno = 0;
	*id = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && errno == 0)
		return 0;
	return control_refuse(req, -EINVAL, NULL, "\"%s\" is no number", text);
}

int control_prefetch_ask(struct control_request *req)
{
	struct prefetch_progress progress;
	uint64_t id;
	int rc;

	rc = control_param_id(req, &id);
	if (rc < 0)
		return rc;
	rc = depot_prefetch_ask(req->control->daemon.depot, id, &progress);
	if (rc < 0)
		return control_refuse(req, rc, NULL,
				      "no prefetch has this number");
	return control_prefetch_answer(req, id, NULL, &progress);
}

int control_prefetch_cancel(struct control_request *req)
{
	uint64_t id;
	int rc;

	rc = control_param_id(req, &id);
	if (rc < 0)
		return rc;
	depot_prefetch_cancel(req->control->daemon.depot, id);
	return control_answer(req, control_document("prefetch-cancel/1"));
}

/* --- resident ------------------------------------------------------------ */

static int control_resident_add(struct control_request *req, json_t *list,
				const struct package_info *info,
				const char *tenant)
{
	struct depot *depot = req->control->daemon.depot;
	char ref[PACKAGE_NAME_MAX + TAG_NAME_MAX + 2];
	struct prefetch_resident r;
	struct tree *tree;
	int rc;

	snprintf(ref, sizeof(ref), "%s%s%s", info->name, *info->tag ? ":" : "",
		 info->tag);
	rc = depot_tree_get(depot, &info->tree, &tree);
	/* A tree that cannot be read is not here, whatever its shards. */
	if (rc == -ENOENT || rc == -EBADMSG)
		return control_append(
		    list, json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:s}",
				    "package", ref, "resident", 0, "shards",
				    (json_int_t)info->shard_count,
				    "shards_here", (json_int_t)0, "bytes",
				    (json_int_t)info->content_len, "bytes_here",
				    (json_int_t)0, "plan", "none"));
	if (rc < 0)
		return rc;
	rc = depot_prefetch_resident(depot, tree, tenant, &r);
	tree_put(tree);
	if (rc < 0)
		return rc;
	return control_append(
	    list,
	    json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:s, s:I, s:I}",
		      "package", ref, "resident",
		      (int)(r.shards == r.shards_here), "shards",
		      (json_int_t)r.shards, "shards_here",
		      (json_int_t)r.shards_here, "bytes", (json_int_t)r.bytes,
		      "bytes_here", (json_int_t)r.bytes_here, "plan",
		      !r.has_plan                    ? "none"
		      : r.plan_shards == r.plan_here ? "here"
						     : "missing",
		      "plan_shards", (json_int_t)r.plan_shards,
		      "plan_shards_here", (json_int_t)r.plan_here));
}

struct control_selected {
	const char *tenant;
	struct site_tenant_info *info; /* filled when there is one */
};

static int control_selected_visit(void *ctx,
				  const struct site_tenant_info *info)
{
	struct control_selected *s = ctx;

	if (strcmp(info->name, s->tenant) != 0)
		return 0;
	*s->info = *info;
	return 1;
}

/* The packages of a guest's tenant; looked at when the site is free again. */
static int control_resident_guest(struct control_request *req,
				  const char *guest, json_t *list)
{
	CLEANUP_FREE struct site_tenant_info *info = calloc(1, sizeof(*info));
	char tenant[PACKAGE_NAME_MAX + 1];
	struct control_selected s = {tenant, info};
	int rc;

	if (!info)
		return -ENOMEM;
	snprintf(tenant, sizeof(tenant), "%.*s",
		 (int)(strchr(guest, '/') - guest), guest);
	rc = site_tenant_list(req->control->daemon.site, control_selected_visit,
			      &s);
	if (rc > 0)
		rc = 0;
	for (unsigned int i = 0; rc == 0 && i < info->package_count; i++)
		rc = control_resident_add(req, list, &info->package[i], tenant);
	return rc;
}

static int control_resident_visit(void *ctx, const struct package_info *info)
{
	struct control_plans *all = ctx;

	return control_resident_add(all->req, all->list, info, NULL);
}

static int control_resident_ref(struct control_request *req, json_t *list)
{
	struct package_info info;
	struct package_ref ref;
	const char *name;
	int rc;

	rc = control_param_ref(req, &name, &ref);
	if (rc == 0)
		rc = control_package_of(req, name, &ref, &info);
	return rc < 0 ? rc : control_resident_add(req, list, &info, NULL);
}

int control_resident(struct control_request *req)
{
	struct control_plans all = {req, json_array()};
	const char *guest;
	int rc = 0;

	if (!all.list)
		return -ENOMEM;
	if (control_param_text(req, "guest")) {
		rc = control_param_guest_here(req, "guest", &guest);
		if (rc == 0)
			rc = control_resident_guest(req, guest, all.list);
	} else if (control_param_text(req, "ref")) {
		rc = control_resident_ref(req, all.list);
	} else {
		rc = depot_package_list(req->control->daemon.depot,
					control_resident_visit, &all);
	}
	if (rc < 0 && req->reply.status) { /* told already */
		json_decref(all.list);
		return rc;
	}
	return control_answer_list(req, rc, "package-resident/1", "packages",
				   all.list);
}
