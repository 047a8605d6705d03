/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_guest: guests and exports through the admin API.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "nfsd/listen.h"
#include "nfsd/server.h"
#include "overlay/site.h"

struct control_guests {
	struct site *site;
	json_t *list;
};

static int control_guest_profile(void *ctx, const struct package_info *profile)
{
	return control_append(ctx, json_string(profile->name));
}

static int control_guest_visit(void *ctx, const struct site_guest_info *info)
{
	struct control_guests *guests = ctx;
	json_t *row, *profiles = json_array();
	char name[CONTROL_GUEST_MAX + 1];
	int rc;

	snprintf(name, sizeof(name), "%s/%s", info->tenant, info->guest);
	row = json_pack(
	    "{s:s, s:s, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:I, "
	    "s:I, s:I, s:o}",
	    "guest", name, "tenant", info->tenant, "export_id",
	    (json_int_t)info->access.export_id, "generation",
	    (json_int_t)info->generation, "devices", (int)info->allow_devices,
	    "root_squash", (int)info->root_squash, "whiteouts",
	    (int)info->show_whiteouts, "paused", (int)info->paused, "offline",
	    (int)(info->offline != NULL), "delta_bytes",
	    (json_int_t)info->delta_bytes, "delta_files",
	    (json_int_t)info->delta_files, "delta_quota_bytes",
	    (json_int_t)info->quota.bytes, "delta_quota_files",
	    (json_int_t)info->quota.files, "layers", (json_int_t)info->layers,
	    "profiles", profiles);
	rc =
	    row ? control_access_json(NULL, NULL, &info->access, row) : -ENOMEM;
	if (rc == 0)
		rc = site_guest_own(guests->site, name, control_guest_profile,
				    profiles);
	if (rc == 0)
		return control_append(guests->list, row);
	json_decref(row);
	return rc;
}

int control_guest_list(struct control_request *req)
{
	struct control_guests guests = {req->control->daemon.site,
					json_array()};
	int rc = -ENOMEM;

	if (guests.list)
		rc = site_guest_list(guests.site, control_guest_visit, &guests);
	return control_answer_list(req, rc, "guest-list/1", "guests",
				   guests.list);
}

int control_param_options(struct control_request *req,
			  struct site_guest_options *options)
{
	int rc;

	rc = control_param_bool(req, "devices", &options->allow_devices);
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
		return control_fail(req, rc, control_access_hint(rc),
				    "cannot add guest %s", name);
	snprintf(hint, sizeof(hint), "vdrive tenant create %.*s",
		 (int)strcspn(name, "/"), name);
	return control_refuse(req, rc, hint, "there is no tenant %.*s",
			      (int)strcspn(name, "/"), name);
}

/* Add it, with its quota; one that is there already keeps its own, or it is
 * another form. */
static int control_guest_make(struct control_request *req, const char *name,
			      struct control_access *access)
{
	struct site_quota quota = {.bytes = req->control->daemon.quota_bytes};
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
	rc =
	    control_listen_open(req, name, found ? &info.access : NULL, access);
	if (rc < 0)
		return rc;
	/* With its quota, in one batch: it is there as it was asked for, and
	 * its address is served, or it is not there. */
	access->options.quota = quota;
	return site_guest_add(req->control->daemon.site, name,
			      &access->options);
}

int control_guest_add(struct control_request *req)
{
	struct control_access access = {.listens = false};
	const char *name;
	int rc;

	rc = control_param_guest(req, "name", &name);
	if (rc == 0)
		rc = control_param_access(req, NULL, &access);
	if (rc == 0)
		rc = control_param_options(req, &access.options);
	if (rc < 0)
		return rc;
	rc = control_guest_make(req, name, &access);
	if (rc < 0 && !req->reply.status)
		control_guest_fail(req, rc, name);
	control_listen_end(req, name, rc, &access);
	return rc < 0 ? rc : control_access_answer(req, "guest-add/1", name);
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
	if (daemon->server) {
		listeners_close(server_listeners(daemon->server),
				info.access.export_id);
		server_close_export(daemon->server, info.access.export_id);
	}
	return control_answer(req, json_pack("{s:s, s:s, s:I}", "schema",
					     "guest-remove/1", "guest", name,
					     "delta_bytes",
					     (json_int_t)info.delta_bytes));
}

static int control_export_visit(void *ctx, const struct site_guest_info *info)
{
	char path[SITE_EXPORT_PATH_MAX];
	json_t *row;
	int rc;

	snprintf(path, sizeof(path), "/%s/%s", info->tenant, info->guest);
	row = json_pack("{s:s, s:b, s:b, s:b, s:b, s:I, s:I, s:I}", "export",
			path, "devices", (int)info->allow_devices,
			"root_squash", (int)info->root_squash, "whiteouts",
			(int)info->show_whiteouts, "paused", (int)info->paused,
			"generation", (json_int_t)info->generation,
			"delta_bytes", (json_int_t)info->delta_bytes,
			"delta_quota_bytes", (json_int_t)info->quota.bytes);
	rc =
	    row ? control_access_json(NULL, NULL, &info->access, row) : -ENOMEM;
	if (rc == 0)
		return control_append(ctx, row);
	json_decref(row);
	return rc;
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
