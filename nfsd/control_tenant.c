/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_tenant: tenants through the admin API.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/gc.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

static json_t *control_selection_json(const struct site_tenant_info *info)
{
	char hex[DIGEST_HEX_LEN + 1];
	json_t *list = json_array();
	int rc = 0;

	for (unsigned int i = 0; list && rc == 0 && i < info->package_count;
	     i++) {
		const struct package_info *package = &info->package[i];

		digest_to_hex(&package->revision, hex);
		rc = control_append(list, json_pack("{s:s, s:s, s:s, s:s}",
						    "name", package->name,
						    "tag", package->tag,
						    "version", package->version,
						    "revision", hex));
	}
	if (rc == 0)
		return list;
	json_decref(list);
	return NULL;
}

static int control_tenant_visit(void *ctx, const struct site_tenant_info *info)
{
	json_t *packages = control_selection_json(info);

	if (!packages)
		return -ENOMEM;
	return control_append(
	    ctx,
	    json_pack("{s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:I}", "tenant",
		      info->name, "guests", (json_int_t)info->guests,
		      "generation", (json_int_t)info->generation, "packages",
		      packages, "delta_bytes", (json_int_t)info->delta_bytes,
		      "delta_files", (json_int_t)info->delta_files,
		      "delta_quota_bytes", (json_int_t)info->quota.bytes,
		      "delta_quota_files", (json_int_t)info->quota.files));
}

int control_tenant_list(struct control_request *req)
{
	json_t *list = json_array();
	int rc = -ENOMEM;

	if (list)
		rc = site_tenant_list(req->control->daemon.site,
				      control_tenant_visit, list);
	return control_answer_list(req, rc, "tenant-list/1", "tenants", list);
}

struct control_tenant_look {
	const char *name;
	struct site_quota quota;
	bool found;
};

static int control_tenant_look(void *ctx, const struct site_tenant_info *info)
{
	struct control_tenant_look *look = ctx;

	if (strcmp(info->name, look->name) != 0)
		return 0;
	look->quota = info->quota;
	look->found = true;
	return 1;
}

static int control_tenant_fail(struct control_request *req, int rc,
			       const char *what, const char *name)
{
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive tenant list",
				      "there is no tenant %s", name);
	return control_fail(req, rc, NULL, "cannot %s tenant %s", what, name);
}

/* A tenant that is there already keeps its quota, or it is another form. */
static int control_tenant_make(struct control_request *req,
			       struct control_tenant_look *look)
{
	struct site_quota quota = look->quota;
	char hint[PACKAGE_NAME_MAX + 64];
	bool given;
	int rc;

	rc = control_param_quota(req, &quota, &given);
	if (rc < 0)
		return rc;
	if (look->found && !control_quota_equal(&quota, &look->quota)) {
		snprintf(hint, sizeof(hint),
			 "vdrive tenant set %s --quota SIZE", look->name);
		return control_refuse(req, -EEXIST, hint,
				      "tenant %s exists with another quota",
				      look->name);
	}
	return site_tenant_create_with(req->control->daemon.site, look->name,
				       &quota);
}

int control_tenant_create(struct control_request *req)
{
	struct control_tenant_look look = {.found = false};
	int rc;

	rc = control_param_name(req, "name", "a tenant", &look.name);
	if (rc < 0)
		return rc;
	rc = site_tenant_list(req->control->daemon.site, control_tenant_look,
			      &look);
	if (rc >= 0)
		rc = control_tenant_make(req, &look);
	if (rc < 0 && !req->reply.status)
		return control_tenant_fail(req, rc, "create", look.name);
	if (rc < 0)
		return rc;
	return control_answer(req, json_pack("{s:s, s:s}", "schema",
					     "tenant-create/1", "tenant",
					     look.name));
}

int control_tenant_quota(struct control_request *req)
{
	struct control_tenant_look look = {.found = false};
	struct site *site = req->control->daemon.site;
	bool given;
	int rc;

	rc = control_param_name(req, "name", "a tenant", &look.name);
	if (rc < 0)
		return rc;
	rc = site_tenant_list(site, control_tenant_look, &look);
	if (rc >= 0 && !look.found)
		rc = -ENOENT;
	if (rc < 0)
		return control_tenant_fail(req, rc, "set", look.name);
	rc = control_param_quota(req, &look.quota, &given);
	if (rc < 0)
		return rc;
	rc = site_tenant_set_quota(site, look.name, &look.quota);
	if (rc < 0)
		return control_tenant_fail(req, rc, "set", look.name);
	return control_quota_answer(req, "tenant-set/1", "tenant", look.name,
				    &look.quota);
}

/* --- removing ---------------------------------------------------------------
 */

enum { CONTROL_GUESTS_SAID = 3 };

/* The first of a tenant's guests, as text. */
struct control_tenant_guests {
	const char *tenant;
	unsigned int count;
	char first[CONTROL_GUEST_MAX + 1];
	char text[CONTROL_GUESTS_SAID * (CONTROL_GUEST_MAX + 3)];
};

static int control_tenant_guest(void *ctx, const struct site_guest_info *info)
{
	struct control_tenant_guests *guests = ctx;
	size_t len = strlen(guests->text);

	if (strcmp(info->tenant, guests->tenant) != 0)
		return 0;
	if (guests->count == 0)
		snprintf(guests->first, sizeof(guests->first), "%s/%s",
			 info->tenant, info->guest);
	if (guests->count++ < CONTROL_GUESTS_SAID)
		snprintf(guests->text + len, sizeof(guests->text) - len,
			 "%s%s/%s", len > 0 ? ", " : "", info->tenant,
			 info->guest);
	return 0;
}

static int control_tenant_in_use(struct control_request *req, const char *name)
{
	struct control_tenant_guests guests = {.tenant = name};
	char hint[2 * CONTROL_GUEST_MAX + 80];
	int rc;

	rc = site_guest_list(req->control->daemon.site, control_tenant_guest,
			     &guests);
	if (rc < 0)
		return rc;
	snprintf(hint, sizeof(hint),
		 "vdrive guest remove %s; or vdrive guest move %s --to HOST",
		 guests.first, guests.first);
	return control_refuse(
	    req, -EBUSY, hint,
	    "cannot remove tenant %s: it has %u guest%s: "
	    "%s%s",
	    name, guests.count, guests.count == 1 ? "" : "s", guests.text,
	    guests.count > CONTROL_GUESTS_SAID ? " and others" : "");
}

int control_tenant_remove(struct control_request *req)
{
	const struct control_daemon *daemon = &req->control->daemon;
	struct site_tenant_removed removed;
	const char *name;
	bool dry_run;
	int rc;

	rc = control_param_name(req, "name", "a tenant", &name);
	if (rc == 0)
		rc = control_param_bool(req, "dry_run", &dry_run);
	if (rc < 0)
		return rc;
	rc = site_tenant_remove(daemon->site, name, dry_run, &removed);
	if (rc == -EBUSY)
		return control_tenant_in_use(req, name);
	if (rc < 0)
		return control_tenant_fail(req, rc, "remove", name);
	if (!dry_run) {
		log_info("tenant %s removed", name);
		depot_gc_kick(daemon->depot);
	}
	return control_answer(
	    req,
	    json_pack("{s:s, s:s, s:b, s:I, s:I}", "schema", "tenant-remove/1",
		      "tenant", name, "dry_run", (int)dry_run, "generations",
		      (json_int_t)removed.generations, "entitlements",
		      (json_int_t)removed.entitlements));
}

/* --- changes that met others ------------------------------------------------
 */

static int control_met_visit(void *ctx, const struct site_met_change *change)
{
	return control_append(
	    ctx, json_pack("{s:s, s:o, s:s, s:I, s:o}", "guest", change->guest,
			   "path", control_path_json(change->path), "state",
			   change->superseded ? "superseded" : "kept", "bytes",
			   (json_int_t)change->size, "since",
			   control_time(change->time.tv_sec)));
}

int control_tenant_conflicts(struct control_request *req)
{
	const char *tenant;
	json_t *list;
	int rc;

	rc = control_param_name(req, "tenant", "a tenant", &tenant);
	if (rc < 0)
		return rc;
	list = json_array();
	rc = list ? site_met_changes(req->control->daemon.site, tenant,
				     control_met_visit, list)
		  : -ENOMEM;
	if (rc == -ENOENT) {
		json_decref(list);
		return control_refuse(req, rc, "vdrive tenant list",
				      "there is no tenant %s", tenant);
	}
	return control_answer_list(req, rc, "tenant-conflicts/1", "changes",
				   list);
}
