/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_site: tenants, guests, exports and the state of all
 * through the admin API.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "nfsd/server.h"
#include "overlay/site.h"

enum {
	CONTROL_URL_MAX = sizeof(((struct upstream_info *)0)->url) - 1,
	CONTROL_GUEST_MAX = 2 * PACKAGE_NAME_MAX + 1,
	CONTROL_ADDR_MAX = 63,
	CONTROL_QUOTA_WARN = 90, /* per cent of a quota */
};

int control_param_name(struct control_request *req, const char *param,
		       const char *what, const char **name)
{
	int rc;

	rc = control_param(req, param, 4 * PACKAGE_NAME_MAX, name);
	if (rc < 0)
		return rc;
	if (depot_name_ok(*name))
		return 0;
	return control_refuse(req, -EINVAL, "a name such as web-1",
			      "\"%s\" is no name of %s: at most %d of a-z 0-9 "
			      ". _ + -, the first a letter or digit",
			      *name, what, PACKAGE_NAME_MAX);
}

int control_append(void *ctx, json_t *json)
{
	return json && json_array_append_new(ctx, json) == 0 ? 0 : -ENOMEM;
}

int control_answer_list(struct control_request *req, int rc, const char *schema,
			const char *key, json_t *list)
{
	if (rc < 0) {
		json_decref(list);
		return control_fail(req, rc, NULL, "cannot list %s", key);
	}
	return control_answer(
	    req, json_pack("{s:s, s:o}", "schema", schema, key, list));
}

/* --- quotas -------------------------------------------------------------- */

static int control_param_limit(struct control_request *req, const char *name,
			       uint64_t *limit, bool *given)
{
	const char *text = control_param_text(req, name);
	char *end;

	if (!text)
		return 0;
	errno = 0;
	*limit = strtoull(text, &end, 10);
	*given = true;
	/* JSON integers are signed. */
	if (*text >= '0' && *text <= '9' && !*end && errno == 0 &&
	    *limit <= INT64_MAX)
		return 0;
	return control_refuse(req, -EINVAL, NULL,
			      "%s: parameter \"%s\" must be a number, 0 for no "
			      "limit",
			      req->route->path, name);
}

int control_param_quota(struct control_request *req, struct site_quota *quota,
			bool *given)
{
	int rc;

	*given = false;
	rc = control_param_limit(req, "quota_bytes", &quota->bytes, given);
	if (rc == 0)
		rc = control_param_limit(req, "quota_files", &quota->files,
					 given);
	return rc;
}

static bool control_quota_equal(const struct site_quota *a,
				const struct site_quota *b)
{
	return a->bytes == b->bytes && a->files == b->files;
}

static int control_quota_answer(struct control_request *req, const char *schema,
				const char *key, const char *name,
				const struct site_quota *quota)
{
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:I}", "schema", schema, key, name,
			   "delta_quota_bytes", (json_int_t)quota->bytes,
			   "delta_quota_files", (json_int_t)quota->files));
}

/* --- tenants ------------------------------------------------------------- */

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
	struct site *site = req->control->daemon.site;
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
	rc = site_tenant_create(site, look->name);
	if (rc == 0 && given && !look->found)
		rc = site_tenant_set_quota(site, look->name, &quota);
	return rc;
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

/* --- assign -------------------------------------------------------------- */

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

/* --- guests and exports -------------------------------------------------- */

static int control_guest_visit(void *ctx, const struct site_guest_info *info)
{
	char name[CONTROL_GUEST_MAX + 1];

	snprintf(name, sizeof(name), "%s/%s", info->tenant, info->guest);
	return control_append(
	    ctx,
	    json_pack("{s:s, s:s, s:I, s:I, s:s, s:b, s:b, s:b, s:b, s:I, s:I, "
		      "s:I, s:I, s:I}",
		      "guest", name, "tenant", info->tenant, "export_id",
		      (json_int_t)info->access.export_id, "generation",
		      (json_int_t)info->generation, "addr", info->access.addr,
		      "devices", (int)info->allow_devices, "root_squash",
		      (int)info->root_squash, "whiteouts",
		      (int)info->show_whiteouts, "paused", (int)info->paused,
		      "delta_bytes", (json_int_t)info->delta_bytes,
		      "delta_files", (json_int_t)info->delta_files,
		      "delta_quota_bytes", (json_int_t)info->quota.bytes,
		      "delta_quota_files", (json_int_t)info->quota.files,
		      "layers", (json_int_t)info->layers));
}

int control_guest_list(struct control_request *req)
{
	json_t *list = json_array();
	int rc = -ENOMEM;

	if (list)
		rc = site_guest_list(req->control->daemon.site,
				     control_guest_visit, list);
	return control_answer_list(req, rc, "guest-list/1", "guests", list);
}

int control_param_guest(struct control_request *req, const char *param,
			const char **name)
{
	char tenant[CONTROL_GUEST_MAX + 1];
	char *slash;
	int rc;

	rc = control_param(req, param, CONTROL_GUEST_MAX, name);
	if (rc < 0)
		return rc;
	memcpy(tenant, *name, strlen(*name) + 1);
	slash = strchr(tenant, '/');
	if (slash) {
		*slash = '\0';
		if (depot_name_ok(tenant) && depot_name_ok(slash + 1))
			return 0;
	}
	return control_refuse(req, -EINVAL, "vdrive guest list",
			      "\"%s\" is no guest: TENANT/GUEST", *name);
}

int control_param_guest_here(struct control_request *req, const char *param,
			     const char **name)
{
	char path[SITE_EXPORT_PATH_MAX];
	int rc;

	rc = control_param_guest(req, param, name);
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/%s", *name);
	if (site_view_by_path(req->control->daemon.site, path))
		return 0;
	return control_refuse(req, -ENOENT, "vdrive guest list",
			      "there is no guest %s", *name);
}

struct control_guest_look {
	const char *name;
	struct site_guest_info *info;
};

static int control_guest_look(void *ctx, const struct site_guest_info *info)
{
	struct control_guest_look *look = ctx;
	char name[CONTROL_GUEST_MAX + 1];

	snprintf(name, sizeof(name), "%s/%s", info->tenant, info->guest);
	if (strcmp(name, look->name) != 0)
		return 0;
	*look->info = *info;
	return 1;
}

int control_guest_find(struct control_request *req, const char *name,
		       struct site_guest_info *info)
{
	struct control_guest_look look = {.name = name, .info = info};
	int rc;

	rc = site_guest_list(req->control->daemon.site, control_guest_look,
			     &look);
	return rc == 0 ? -ENOENT : MIN(rc, 0);
}

/* Missing or empty: any address. */
static int control_guest_addr(struct control_request *req, const char *text,
			      const char **addr)
{
	unsigned char buf[sizeof(struct in6_addr)];

	*addr = text && *text ? text : NULL;
	if (!*addr || (strlen(text) <= CONTROL_ADDR_MAX &&
		       (inet_pton(AF_INET, text, buf) == 1 ||
			inet_pton(AF_INET6, text, buf) == 1)))
		return 0;
	return control_refuse(req, -EINVAL, "--addr 10.20.0.11",
			      "\"%s\" is no IPv4 or IPv6 address", text);
}

int control_param_options(struct control_request *req,
			  struct site_guest_options *options)
{
	int rc;

	rc = control_guest_addr(req, control_param_text(req, "addr"),
				&options->addr);
	if (rc == 0)
		rc =
		    control_param_bool(req, "devices", &options->allow_devices);
	if (rc == 0)
		rc = control_param_bool(req, "squash", &options->root_squash);
	if (rc == 0)
		rc = control_param_bool(req, "whiteouts",
					&options->show_whiteouts);
	return rc;
}

static int control_guest_fail(struct control_request *req, int rc,
			      const char *name)
{
	char hint[PACKAGE_NAME_MAX + 32];

	if (rc == -EEXIST)
		return control_refuse(req, rc, "vdrive guest list",
				      "guest %s exists with other options",
				      name);
	if (rc != -ENOENT)
		return control_fail(req, rc, NULL, "cannot add guest %s", name);
	snprintf(hint, sizeof(hint), "vdrive tenant create %.*s",
		 (int)strcspn(name, "/"), name);
	return control_refuse(req, rc, hint, "there is no tenant %.*s",
			      (int)strcspn(name, "/"), name);
}

/* Add it, with its quota; one that is there already keeps its own, or it is
 * another form. */
static int control_guest_make(struct control_request *req, const char *name,
			      const struct site_guest_options *options)
{
	struct site_quota quota = {.bytes = req->control->daemon.quota_bytes};
	struct site *site = req->control->daemon.site;
	struct site_guest_info info;
	bool given, found;
	int rc;

	rc = control_guest_find(req, name, &info);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	found = rc == 0;
	if (found)
		quota = info.quota;
	rc = control_param_quota(req, &quota, &given);
	if (rc < 0)
		return rc;
	if (found && !control_quota_equal(&quota, &info.quota))
		return -EEXIST;
	rc = site_guest_add(site, name, options);
	if (rc == 0 && !found)
		rc = site_guest_set_quota(site, name, &quota);
	return rc;
}

int control_guest_add(struct control_request *req)
{
	struct site_guest_options options = {0};
	const char *name;
	int rc;

	rc = control_param_guest(req, "name", &name);
	if (rc == 0)
		rc = control_param_options(req, &options);
	if (rc < 0)
		return rc;
	rc = control_guest_make(req, name, &options);
	if (rc < 0 && !req->reply.status)
		return control_guest_fail(req, rc, name);
	if (rc < 0)
		return rc;
	return control_answer(req, json_pack("{s:s, s:s}", "schema",
					     "guest-add/1", "guest", name));
}

int control_guest_quota(struct control_request *req)
{
	struct site_guest_info info;
	const char *name;
	bool given;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc < 0)
		return rc;
	rc = control_guest_find(req, name, &info);
	if (rc == 0)
		rc = control_param_quota(req, &info.quota, &given);
	if (rc == 0)
		rc = site_guest_set_quota(req->control->daemon.site, name,
					  &info.quota);
	if (rc < 0 && !req->reply.status)
		return control_fail(req, rc, NULL, "cannot set guest %s", name);
	if (rc < 0)
		return rc;
	return control_quota_answer(req, "guest-set/1", "guest", name,
				    &info.quota);
}

int control_guest_whiteouts(struct control_request *req)
{
	const char *name;
	bool show;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_param_bool(req, "show", &show);
	if (rc < 0)
		return rc;
	rc = site_guest_set_whiteouts(req->control->daemon.site, name, show);
	if (rc < 0)
		return control_fail(req, rc, NULL,
				    "cannot %s whiteouts to guest %s",
				    show ? "show" : "hide", name);
	return control_answer(req, json_pack("{s:s, s:s, s:b}", "schema",
					     "guest-set/1", "guest", name,
					     "whiteouts", (int)show));
}

int control_guest_pause(struct control_request *req)
{
	const char *name;
	bool pause;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_param_bool(req, "pause", &pause);
	if (rc < 0)
		return rc;
	rc = site_guest_pause(req->control->daemon.site, name, pause);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot %s guest %s",
				    pause ? "pause" : "resume", name);
	return control_answer(req, json_pack("{s:s, s:s, s:b}", "schema",
					     "guest-pause/1", "guest", name,
					     "paused", (int)pause));
}

int control_guest_remove(struct control_request *req)
{
	const struct control_daemon *daemon = &req->control->daemon;
	char hint[2 * PACKAGE_NAME_MAX + 64];
	struct site_guest_info info;
	const char *name;
	bool force;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_param_bool(req, "force", &force);
	if (rc == 0)
		rc = control_guest_find(req, name, &info);
	if (rc < 0)
		return rc;
	rc = site_guest_remove(daemon->site, name, force);
	if (rc == -EBUSY) {
		snprintf(hint, sizeof(hint), "vdrive guest pause %s", name);
		return control_refuse(req, rc, hint, "guest %s is not paused",
				      name);
	}
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot remove guest %s",
				    name);
	if (daemon->server)
		server_close_export(daemon->server, info.access.export_id);
	return control_answer(req, json_pack("{s:s, s:s, s:I}", "schema",
					     "guest-remove/1", "guest", name,
					     "delta_bytes",
					     (json_int_t)info.delta_bytes));
}

static int control_export_visit(void *ctx, const struct site_guest_info *info)
{
	char path[SITE_EXPORT_PATH_MAX];

	snprintf(path, sizeof(path), "/%s/%s", info->tenant, info->guest);
	return control_append(
	    ctx,
	    json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:I, s:I, s:I}", "export",
		      path, "addr", info->access.addr, "devices",
		      (int)info->allow_devices, "root_squash",
		      (int)info->root_squash, "whiteouts",
		      (int)info->show_whiteouts, "paused", (int)info->paused,
		      "generation", (json_int_t)info->generation, "delta_bytes",
		      (json_int_t)info->delta_bytes, "delta_quota_bytes",
		      (json_int_t)info->quota.bytes));
}

int control_export_list(struct control_request *req)
{
	json_t *list = json_array();
	int rc = -ENOMEM;

	if (list)
		rc = site_guest_list(req->control->daemon.site,
				     control_export_visit, list);
	return control_answer_list(req, rc, "export-list/1", "exports", list);
}

/* --- status -------------------------------------------------------------- */

struct control_count {
	json_int_t tenants, guests;
};

static int control_count_tenant(void *ctx, const struct site_tenant_info *info)
{
	struct control_count *count = ctx;

	count->tenants++;
	count->guests += info->guests;
	return 0;
}

/* Counts by procedure that are not 0. */
static json_t *control_by_procedure(const uint64_t *counts)
{
	json_t *json = json_object();

	for (int i = 0; json && i < NFS3_PROC_COUNT; i++)
		if (counts[i])
			json_object_set_new(
			    json, program_nfs3_name((enum nfs3_proc)i),
			    json_integer((json_int_t)counts[i]));
	return json;
}

/* The only place that knows the server's counters. */
static json_t *control_server_json(const struct control_daemon *daemon)
{
	struct stats stats = {0};

	if (!daemon->server)
		return json_object();
	server_get_stats(daemon->server, &stats);
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
	    "connections", (json_int_t)stats.connections, "accepted",
	    (json_int_t)stats.connections_accepted, "refused",
	    (json_int_t)stats.connections_refused, "in_flight",
	    (json_int_t)stats.in_flight, "replies", (json_int_t)stats.replies,
	    "jukebox", (json_int_t)stats.jukebox, "retransmissions",
	    (json_int_t)stats.retransmissions, "bytes_in",
	    (json_int_t)stats.bytes_in, "bytes_out",
	    (json_int_t)stats.bytes_out, "calls",
	    control_by_procedure(stats.nfs3_calls), "errors",
	    control_by_procedure(stats.nfs3_errors));
}

static void control_warn(json_t *warnings, const char *text)
{
	json_array_append_new(warnings, json_string(text));
}

/* Who has little of a quota left, and who is paused. */
static void control_warn_quota(json_t *warnings, const char *what,
			       const char *name, uint64_t used,
			       const char *unit, uint64_t quota)
{
	uint64_t percent =
	    quota ? (uint64_t)((double)used * 100.0 / (double)quota) : 0;
	char text[512];

	if (percent < CONTROL_QUOTA_WARN)
		return;
	snprintf(text, sizeof(text),
		 "%s %s: %ju %s in deltas, %ju %% of the quota", what, name,
		 (uintmax_t)used, unit, (uintmax_t)percent);
	control_warn(warnings, text);
}

static int control_warn_tenant(void *ctx, const struct site_tenant_info *info)
{
	control_warn_quota(ctx, "tenant", info->name, info->delta_bytes,
			   "bytes", info->quota.bytes);
	control_warn_quota(ctx, "tenant", info->name, info->delta_files,
			   "objects", info->quota.files);
	return 0;
}

static int control_warn_guest(void *ctx, const struct site_guest_info *info)
{
	char name[CONTROL_GUEST_MAX + 1], text[512];

	snprintf(name, sizeof(name), "%s/%s", info->tenant, info->guest);
	control_warn_quota(ctx, "guest", name, info->delta_bytes, "bytes",
			   info->quota.bytes);
	control_warn_quota(ctx, "guest", name, info->delta_files, "objects",
			   info->quota.files);
	if (info->paused) {
		snprintf(text, sizeof(text),
			 "guest %s is paused: its calls are not answered",
			 name);
		control_warn(ctx, text);
	}
	return 0;
}

static json_t *control_warnings(struct site *site,
				const struct depot_stats *stats,
				const json_t *upstreams)
{
	json_t *list = json_array(), *up;
	char text[512];
	size_t i;

	if (stats->verify_failures_store) {
		snprintf(text, sizeof(text),
			 "%ju shards on this host were damaged and have been "
			 "fetched again",
			 (uintmax_t)stats->verify_failures_store);
		control_warn(list, text);
	}
	if (stats->verify_failures_upstream) {
		snprintf(text, sizeof(text),
			 "%ju shards from upstreams were not what they claimed",
			 (uintmax_t)stats->verify_failures_upstream);
		control_warn(list, text);
	}
	if (stats->full) {
		snprintf(text, sizeof(text),
			 "packages made here or pinned (about %ju MiB) leave "
			 "no room within the store's quota of %ju MiB: what is "
			 "fetched is not stored",
			 (uintmax_t)(stats->kept_bytes >> 20),
			 (uintmax_t)(stats->disk_max >> 20));
		control_warn(list, text);
	}
	json_array_foreach((json_t *)(uintptr_t)upstreams, i, up)
	{
		if (json_is_true(json_object_get(up, "up")))
			continue;
		snprintf(text, sizeof(text), "upstream %s does not answer",
			 json_string_value(json_object_get(up, "upstream")));
		control_warn(list, text);
	}
	if (site_tenant_list(site, control_warn_tenant, list) < 0 ||
	    site_guest_list(site, control_warn_guest, list) < 0)
		control_warn(list, "tenants and guests cannot be listed");
	return list;
}

static json_t *control_depot_json(const struct depot_stats *stats)
{
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
	    "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}",
	    "packages", (json_int_t)stats->packages, "shards",
	    (json_int_t)stats->shards, "bytes_stored",
	    (json_int_t)stats->shard_bytes, "bytes_logical",
	    (json_int_t)stats->logical_bytes, "cache_bytes",
	    (json_int_t)stats->cache_bytes, "cache_max",
	    (json_int_t)stats->cache_max, "reads_hot",
	    (json_int_t)stats->reads_hot, "reads_warm",
	    (json_int_t)stats->reads_warm, "reads_cold",
	    (json_int_t)stats->reads_cold, "fetched_bytes",
	    (json_int_t)stats->fetched_bytes, "fetched_shards",
	    (json_int_t)stats->fetched_shards, "fetch_errors",
	    (json_int_t)stats->fetch_errors, "fetch_waiting",
	    (json_int_t)stats->fetch_waiting, "verify_failures_store",
	    (json_int_t)stats->verify_failures_store,
	    "verify_failures_upstream",
	    (json_int_t)stats->verify_failures_upstream, "cache_evictions",
	    (json_int_t)stats->cache_evictions, "store_bytes",
	    (json_int_t)stats->disk_bytes, "store_max",
	    (json_int_t)stats->disk_max, "store_kept_bytes",
	    (json_int_t)stats->kept_bytes, "pins", (json_int_t)stats->pins,
	    "evicted_shards", (json_int_t)stats->evicted_shards,
	    "evicted_bytes", (json_int_t)stats->evicted_bytes, "refused_shards",
	    (json_int_t)stats->refused_shards, "store_full", (int)stats->full,
	    "evict", stats->lru ? "lru" : "frequency");
}

int control_status(struct control_request *req)
{
	const struct control_daemon *daemon = &req->control->daemon;
	struct control_count count = {0};
	struct depot_stats stats = {0};
	json_t *upstreams = json_array();
	int rc = -ENOMEM;

	if (upstreams)
		rc = depot_upstream_list(daemon->depot, control_upstream_visit,
					 upstreams);
	if (rc == 0)
		rc = site_tenant_list(daemon->site, control_count_tenant,
				      &count);
	if (rc < 0) {
		json_decref(upstreams);
		return control_fail(req, rc, NULL, "status");
	}
	depot_get_stats(daemon->depot, &stats);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:o, s:o, s:o, "
			   "s:o, s:o}",
			   "schema", "status/1", "version", VDRIVE_VERSION,
			   "pid", (json_int_t)getpid(), "listen",
			   daemon->listen, "uptime_sec",
			   (json_int_t)time(NULL) - daemon->start_time_sec,
			   "tenants", count.tenants, "guests", count.guests,
			   "depot", control_depot_json(&stats), "prefetch",
			   control_prefetch_json(daemon->depot), "server",
			   control_server_json(daemon), "warnings",
			   control_warnings(daemon->site, &stats, upstreams),
			   "upstreams", upstreams));
}
