/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_delta: snapshots, restore, reset and clone of deltas through the
 * admin API.  What streams is in control_stream.c.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

enum { CONTROL_DELTA_HINT_MAX = 3 * PACKAGE_NAME_MAX + 64 };

/* --- snapshots ------------------------------------------------------------ */

static int control_snapshot_visit(void *ctx,
				  const struct site_snapshot *snapshot)
{
	return control_append(
	    ctx, json_pack("{s:s, s:o, s:I, s:I}", "snapshot", snapshot->name,
			   "time", control_time(snapshot->time.tv_sec), "bytes",
			   (json_int_t)snapshot->bytes, "files",
			   (json_int_t)snapshot->files));
}

int control_snapshot_list(struct control_request *req)
{
	json_t *list;
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc < 0)
		return rc;
	list = json_array();
	rc = list ? site_delta_snapshots(req->control->daemon.site, name,
					 control_snapshot_visit, list)
		  : -ENOMEM;
	return control_answer_list(req, rc, "snapshot-list/1", "snapshots",
				   list);
}

/* The two that most of these take. */
static int control_snapshot_params(struct control_request *req,
				   const char **name, const char **snapshot)
{
	int rc;

	rc = control_param_guest_here(req, "name", name);
	if (rc < 0)
		return rc;
	return control_param_name(req, "snapshot", "a snapshot", snapshot);
}

static int control_snapshot_answer(struct control_request *req,
				   const char *schema, const char *name,
				   const char *snapshot)
{
	return control_answer(req,
			      json_pack("{s:s, s:s, s:s}", "schema", schema,
					"guest", name, "snapshot", snapshot));
}

struct control_snapshot_count {
	const char *name;
	unsigned int count;
	bool found;
};

static int control_snapshot_count(void *ctx,
				  const struct site_snapshot *snapshot)
{
	struct control_snapshot_count *count = ctx;

	count->count++;
	count->found |= strcmp(snapshot->name, count->name) == 0;
	return 0;
}

static int control_snapshot_taken(struct control_request *req, const char *name,
				  const char *snapshot)
{
	char hint[CONTROL_DELTA_HINT_MAX];

	snprintf(hint, sizeof(hint),
		 "another name, or: vdrive delta snapshot %s %s --remove", name,
		 snapshot);
	return control_refuse(req, -EEXIST, hint,
			      "%s has a snapshot %s already", name, snapshot);
}

/* The number that the operator allows; the overlay has a limit of its own. */
static int control_snapshot_room(struct control_request *req, const char *name,
				 const char *snapshot)
{
	const struct control_daemon *daemon = &req->control->daemon;
	struct control_snapshot_count count = {.name = snapshot};
	char hint[CONTROL_DELTA_HINT_MAX];
	int rc;

	rc = site_delta_snapshots(daemon->site, name, control_snapshot_count,
				  &count);
	if (rc < 0)
		return rc;
	if (count.found)
		return control_snapshot_taken(req, name, snapshot);
	if (count.count < daemon->snapshots_max)
		return 0;
	snprintf(hint, sizeof(hint),
		 "vdrive delta snapshot %s NAME --remove, or a larger "
		 "delta.snapshots",
		 name);
	return control_refuse(req, -EMLINK, hint,
			      "%s has %u snapshots, and delta.snapshots is %u",
			      name, count.count, daemon->snapshots_max);
}

int control_snapshot_add(struct control_request *req)
{
	const char *name, *snapshot, *hint = NULL;
	int rc;

	rc = control_snapshot_params(req, &name, &snapshot);
	if (rc == 0)
		rc = control_snapshot_room(req, name, snapshot);
	if (rc < 0)
		return rc;
	rc = site_delta_snapshot(req->control->daemon.site, name, snapshot);
	if (rc == -EEXIST)
		return control_snapshot_taken(req, name, snapshot);
	if (rc == -EMLINK)
		hint = "vdrive delta snapshot TENANT/GUEST NAME --remove";
	if (rc < 0)
		return control_fail(req, rc, hint,
				    "cannot make snapshot %s of %s", snapshot,
				    name);
	return control_snapshot_answer(req, "snapshot-add/1", name, snapshot);
}

static int control_snapshot_fail(struct control_request *req, int rc,
				 const char *what, const char *name,
				 const char *snapshot)
{
	char hint[CONTROL_DELTA_HINT_MAX];

	snprintf(hint, sizeof(hint), "vdrive delta snapshot %s", name);
	if (rc == -ENOENT)
		return control_refuse(req, rc, hint, "%s has no snapshot %s",
				      name, snapshot);
	return control_fail(req, rc, NULL, "cannot %s snapshot %s of %s", what,
			    snapshot, name);
}

int control_snapshot_remove(struct control_request *req)
{
	const char *name, *snapshot;
	int rc;

	rc = control_snapshot_params(req, &name, &snapshot);
	if (rc < 0)
		return rc;
	rc = site_delta_snapshot_remove(req->control->daemon.site, name,
					snapshot);
	if (rc < 0)
		return control_snapshot_fail(req, rc, "remove", name, snapshot);
	return control_snapshot_answer(req, "snapshot-remove/1", name,
				       snapshot);
}

/* --- back to a snapshot, or to nothing ------------------------------------ */

int control_delta_restore(struct control_request *req)
{
	const char *name, *snapshot;
	int rc;

	rc = control_snapshot_params(req, &name, &snapshot);
	if (rc < 0)
		return rc;
	rc = site_delta_restore(req->control->daemon.site, name, snapshot);
	if (rc < 0)
		return control_snapshot_fail(req, rc, "restore", name,
					     snapshot);
	return control_snapshot_answer(req, "delta-restore/1", name, snapshot);
}

struct control_reset {
	json_t *list;
	uint64_t count;
};

static int control_reset_visit(void *ctx, const struct site_delta_change *c)
{
	char kind[] = {(char)c->kind, '\0'};
	struct control_reset *reset = ctx;

	reset->count++;
	if (json_array_size(reset->list) >= CONTROL_CONFLICTS_MAX)
		return 0;
	return control_append(reset->list,
			      json_pack("{s:s, s:o, s:o}", "kind", kind, "path",
					control_path_json(c->path), "from",
					control_path_json(c->from)));
}

int control_delta_reset_package(struct control_request *req)
{
	const char *package = control_param_text(req, "package");
	struct control_reset reset = {.count = 0};
	const char *name;
	bool dry_run;
	uint64_t left = 0;
	int rc;

	package = package ? package : ""; /* nobody's */
	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_param_bool(req, "dry_run", &dry_run);
	if (rc < 0)
		return rc;
	reset.list = json_array();
	rc = site_delta_reset_package(req->control->daemon.site, name, package,
				      dry_run, control_reset_visit, &reset,
				      &left);
	if (rc < 0) {
		json_decref(reset.list);
		return control_fail(req, rc, NULL,
				    "cannot reset what %s has changed of %s",
				    name, package);
	}
	return control_answer(
	    req, json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:o}", "schema",
			   "delta-reset-package/1", "guest", name, "package",
			   package, "dry_run", (int)dry_run, "count",
			   (json_int_t)reset.count, "left", (json_int_t)left,
			   "changes", reset.list));
}

int control_delta_reset(struct control_request *req)
{
	const char *name;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc < 0)
		return rc;
	rc = site_delta_restore(req->control->daemon.site, name, NULL);
	if (rc < 0)
		return control_fail(req, rc, NULL,
				    "cannot reset the delta of %s", name);
	return control_answer(req, json_pack("{s:s, s:s}", "schema",
					     "delta-reset/1", "guest", name));
}

/* --- clone ---------------------------------------------------------------- */

struct control_clone {
	const char *from, *to;
	const char *snapshot; /* NULL: as it is now */
	struct control_access access;
};

static int control_clone_params(struct control_request *req,
				struct control_clone *clone)
{
	struct site_guest_info info;
	bool given;
	int rc;

	rc = control_param_guest_here(req, "from", &clone->from);
	if (rc == 0)
		rc = control_param_guest(req, "name", &clone->to);
	if (rc == 0)
		rc = control_param_options(req, &clone->access.options);
	if (rc == 0)
		rc = control_param_access(req, NULL, &clone->access);
	if (rc == 0 && control_param_text(req, "snapshot"))
		rc = control_param_name(req, "snapshot", "a snapshot",
					&clone->snapshot);
	if (rc < 0)
		return rc;
	/* To repeat it is no success: the clone may have changed since. */
	rc = control_guest_find(req, clone->to, &info);
	if (rc == 0)
		return control_refuse(req, -EEXIST, "another name",
				      "guest %s exists", clone->to);
	if (rc != -ENOENT)
		return rc;
	clone->access.options.quota.bytes = req->control->daemon.quota_bytes;
	return control_param_quota(req, &clone->access.options.quota, &given);
}

static int control_clone_fail(struct control_request *req, int rc,
			      const struct control_clone *clone)
{
	char hint[CONTROL_DELTA_HINT_MAX];

	if (rc == -ENOENT && clone->snapshot)
		return control_snapshot_fail(req, rc, "clone", clone->from,
					     clone->snapshot);
	snprintf(hint, sizeof(hint), "vdrive delta snapshot %s NAME --remove",
		 clone->from);
	if (rc == -EXDEV)
		return control_refuse(req, rc, "a guest of the same tenant",
				      "cannot clone %s as %s: they are of two "
				      "tenants",
				      clone->from, clone->to);
	return control_fail(req, rc,
			    rc == -EMLINK ? hint : control_access_hint(rc),
			    "cannot clone %s as %s", clone->from, clone->to);
}

int control_delta_clone(struct control_request *req)
{
	struct site *site = req->control->daemon.site;
	struct control_clone clone = {.snapshot = NULL};
	int rc;

	rc = control_clone_params(req, &clone);
	if (rc < 0)
		return rc;
	rc = control_listen_open(req, clone.to, NULL, &clone.access);
	if (rc < 0)
		return rc;
	rc = site_delta_clone(site, clone.from, clone.snapshot, clone.to,
			      &clone.access.options);
	if (rc < 0)
		control_clone_fail(req, rc, &clone);
	control_listen_end(req, clone.to, rc, &clone.access);
	if (rc < 0)
		return rc;
	return control_answer(req, json_pack("{s:s, s:s, s:s, s:s?}", "schema",
					     "delta-clone/1", "guest", clone.to,
					     "from", clone.from, "snapshot",
					     clone.snapshot));
}

/* --- what gave way to the packages' -----------------------------------------
 */

int control_delta_restore_change(struct control_request *req)
{
	const char *guest, *path;
	int rc;

	rc = control_param_guest(req, "name", &guest);
	if (rc == 0)
		rc = control_param(req, "path", 4096, &path);
	if (rc < 0)
		return rc;
	rc = site_delta_restore_change(req->control->daemon.site, guest, path);
	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive tenant conflicts TENANT",
				      "guest %s: nothing gave way at %s", guest,
				      path);
	if (rc == -EEXIST)
		return control_refuse(
		    req, rc, "move what is there away in the guest",
		    "guest %s has something else at %s", guest, path);
	if (rc < 0)
		return control_fail(req, rc, NULL, "guest %s: %s", guest, path);
	return control_answer(req, json_pack("{s:s, s:s, s:o}", "schema",
					     "delta-restore-change/1", "guest",
					     guest, "path",
					     control_path_json(path)));
}
