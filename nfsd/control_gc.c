/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_gc: leases, removal of packages and collection through the admin API.
 */
#include <stdio.h>
#include <time.h>

#include "depot/gc.h"
#include "depot/log.h"
#include "depot/prefetch.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

enum {
	CONTROL_LEASE_IDLE_S = 15 * 60,
	CONTROL_USER_TEXT_MAX = 4 * PACKAGE_NAME_MAX + 128,
	CONTROL_USERS_SAID = 3, /* in the message; the list has all */
	CONTROL_REF_MAX = PACKAGE_NAME_MAX + TAG_NAME_MAX + DIGEST_HEX_LEN + 16,
};

/* --- leases ----------------------------------------------------------------
 */

int control_param_number(struct control_request *req, const char *name,
			 uint64_t max, uint64_t *value)
{
	const char *text = control_param_text(req, name);
	char *end;

	if (!text)
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno == 0 && *text >= '0' && *text <= '9' && !*end &&
	    *value <= max)
		return 0;
	return control_refuse(req, -EINVAL, NULL,
			      "%s: parameter \"%s\" must be a number",
			      req->route->path, name);
}

int control_lease_open(struct control_request *req)
{
	uint64_t lease;
	int rc;

	rc = depot_lease_open(req->control->daemon.depot, CONTROL_LEASE_IDLE_S,
			      &lease);
	if (rc < 0)
		return control_fail(req, rc, "the same again in a moment",
				    "no lease");
	return control_answer(req,
			      json_pack("{s:I}", "lease", (json_int_t)lease));
}

int control_lease_close(struct control_request *req)
{
	uint64_t lease = 0;
	bool named;
	int rc;

	rc = control_param_number(req, "lease", INT64_MAX, &lease);
	if (rc == 0)
		rc = control_param_bool(req, "named", &named);
	if (rc < 0)
		return rc;
	depot_lease_close(req->control->daemon.depot, lease, named);
	return control_answer(req, json_object());
}

/* --- who uses a package ----------------------------------------------------
 */

struct control_removal {
	struct control_request *req;
	const char *ref;
	struct package_info info;
	bool force, dry_run;
	bool other_tag;      /* of the same revision */
	bool other_tree_tag; /* of the same tree */
	json_t *users;       /* owns; sentences */
	unsigned int old;    /* of them, generations that are not current */
};

static void control_removal_clear(struct control_removal *removal)
{
	json_decref(removal->users);
}

static int control_removal_tag(void *ctx, const struct package_info *info)
{
	struct control_removal *removal = ctx;
	const struct package_info *own = &removal->info;

	if (strcmp(info->name, own->name) == 0 &&
	    strcmp(info->tag, own->tag) == 0)
		return 0;
	removal->other_tag |= digest_equal(&info->revision, &own->revision);
	removal->other_tree_tag |= digest_equal(&info->tree, &own->tree);
	return 0;
}

/* A generation uses the tag that it says, or the revision when no other tag
 * has it. */
static bool control_removal_selected(const struct control_removal *removal,
				     const struct package_info *package)
{
	const struct package_info *own = &removal->info;

	return strcmp(package->name, own->name) == 0 &&
	       digest_equal(&package->revision, &own->revision) &&
	       (strcmp(package->tag, own->tag) == 0 || !removal->other_tag);
}

static int control_removal_user(void *ctx, const struct site_tree_user *user)
{
	struct control_removal *removal = ctx;
	char text[CONTROL_USER_TEXT_MAX];

	/* (Open files need the tree, which stays; not the package.) */
	if (user->past || !digest_equal(&user->tree, &removal->info.tree))
		return 0;
	if (user->tenant) {
		if (!control_removal_selected(removal, user->package))
			return 0;
		if (!user->current && removal->force)
			return 0;
		removal->old += !user->current;
		snprintf(text, sizeof(text), "tenant %s (generation %u, %s)",
			 user->tenant, user->generation,
			 user->current ? "current" : "kept for rollback");
	} else if (user->guest) {
		snprintf(text, sizeof(text), "guest %s (applied to it)",
			 user->guest);
	} else {
		if (removal->other_tree_tag)
			return 0;
		if (!*user->delta)
			snprintf(text, sizeof(text),
				 "a delta that is just going");
		else
			snprintf(text, sizeof(text),
				 strchr(user->delta, '@')
				     ? "snapshot %s (changes over its files)"
				     : "guest %s (changes over its files)",
				 user->delta);
	}
	if (json_array_size(removal->users) >= CONTROL_CONFLICTS_MAX)
		return 0;
	return json_array_append_new(removal->users, json_string(text)) == 0
		   ? 0
		   : -ENOMEM;
}

static int control_removal_users(struct control_removal *removal)
{
	struct control_daemon *daemon = &removal->req->control->daemon;
	int rc;

	rc = depot_package_list(daemon->depot, control_removal_tag, removal);
	if (rc == 0 && !removal->other_tree_tag &&
	    depot_pin_get(daemon->depot, &removal->info.tree))
		rc = json_array_append_new(removal->users,
					   json_string("a pin")) == 0
			 ? 0
			 : -ENOMEM;
	if (rc == 0)
		rc = site_tree_users(daemon->site, control_removal_user,
				     removal);
	if (rc < 0)
		return control_fail(removal->req, rc, NULL,
				    "cannot remove %s: who uses it is not "
				    "known",
				    removal->ref);
	return 0;
}

static int control_removal_refuse(struct control_removal *removal)
{
	size_t count = json_array_size(removal->users);
	char text[CONTROL_USERS_SAID * CONTROL_USER_TEXT_MAX] = "";
	char hint[CONTROL_REF_MAX + 160];
	size_t len = 0;

	for (size_t i = 0; i < MIN(count, (size_t)CONTROL_USERS_SAID); i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%s%s", i ? ", " : "",
		    json_string_value(json_array_get(removal->users, i)));
	if (removal->old == count)
		snprintf(hint, sizeof(hint),
			 "vdrive tenant history TENANT; or vdrive package "
			 "remove %s --force, which gives up "
			 "going back to %s",
			 removal->ref,
			 count == 1 ? "that generation" : "those generations");
	else if (strcmp(removal->info.tag, CONTROL_PROFILE_TAG) == 0)
		snprintf(hint, sizeof(hint),
			 "vdrive profile detach %s TENANT/GUEST",
			 removal->info.name);
	else
		snprintf(hint, sizeof(hint),
			 "vdrive tenant list; vdrive tenant assign TENANT "
			 "other packages; vdrive package unpin");
	control_refuse(removal->req, -EBUSY, hint,
		       "cannot remove %s: used by %s%s", removal->ref, text,
		       count > CONTROL_USERS_SAID ? " and others" : "");
	control_fail_list(removal->req, "conflicts", STEAL(removal->users));
	return -EBUSY;
}

/* --- removing --------------------------------------------------------------
 */

static int control_removal_find(struct control_removal *removal)
{
	struct control_request *req = removal->req;
	struct package_ref ref;
	int rc;

	rc = control_param(req, "ref", CONTROL_REF_MAX, &removal->ref);
	if (rc == 0)
		rc = control_param_bool(req, "force", &removal->force);
	if (rc == 0)
		rc = control_param_bool(req, "dry_run", &removal->dry_run);
	if (rc < 0)
		return rc;
	if (package_ref_parse(removal->ref, &ref) < 0 || ref.by_digest)
		return control_refuse(req, -EINVAL, "vdrive package list",
				      "\"%s\" is no NAME:TAG", removal->ref);
	return control_package_of(req, removal->ref, &ref, &removal->info);
}

static int control_removal_do(struct control_removal *removal,
			      struct gc_removed *removed,
			      unsigned int *forgotten)
{
	struct control_daemon *daemon = &removal->req->control->daemon;
	const struct package_info *info = &removal->info;
	int rc = 0;

	if (removal->force)
		rc = site_forget_generations(
		    daemon->site, &info->revision, info->name,
		    removal->other_tag ? info->tag : "", forgotten);
	if (rc == 0)
		rc = depot_package_remove(daemon->depot, info->name, info->tag,
					  removed);
	if (rc < 0)
		return control_fail(removal->req, rc, NULL, "cannot remove %s",
				    removal->ref);
	if (removed->last)
		depot_prefetch_forget(daemon->depot, &info->tree);
	log_info("package %s:%s removed", info->name, info->tag);
	return 0;
}

int control_package_remove(struct control_request *req)
{
	CLEANUP(control_removal_clear)
	struct control_removal removal = {.req = req, .users = json_array()};
	struct gc_removed removed = {0};
	unsigned int forgotten = 0;
	char hex[DIGEST_HEX_LEN + 1];
	int rc;

	if (!removal.users)
		return -ENOMEM;
	rc = control_removal_find(&removal);
	if (rc == 0)
		rc = control_removal_users(&removal);
	if (rc < 0)
		return rc;
	if (json_array_size(removal.users) > 0)
		return control_removal_refuse(&removal);
	if (removal.dry_run)
		removed.last = !removal.other_tree_tag;
	else
		rc = control_removal_do(&removal, &removed, &forgotten);
	if (rc < 0)
		return rc;
	digest_to_hex(&removal.info.tree, hex);
	return control_answer(
	    req,
	    json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:I, s:o}", "schema",
		"package-remove/1", "package", removal.ref, "tree", hex,
		"dry_run", (int)removal.dry_run, "last", (int)removed.last,
		"generations_forgotten", (json_int_t)forgotten, "kept_until",
		removed.last
		    ? control_time(time(NULL) + req->control->daemon.gc_keep_s)
		    : json_null()));
}

/* --- collection ------------------------------------------------------------
 */

static int control_gc_answer(struct control_request *req,
			     const struct gc_report *report, bool dry_run)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(&report->position, hex);
	return control_answer(
	    req,
	    json_pack("{s:s, s:b, s:b, s:b, s:b, s:s, s:I, s:I, s:I, s:I, "
		      "s:I, s:I, s:I, s:o}",
		      "schema", "depot-gc/1", "dry_run", (int)dry_run, "done",
		      (int)report->done, "nothing", (int)report->nothing,
		      "compacting", (int)report->compacting, "position", hex,
		      "looked", (json_int_t)report->looked, "removed",
		      (json_int_t)report->removed, "bytes",
		      (json_int_t)report->bytes, "guarded",
		      (json_int_t)report->guarded, "trees_removed",
		      (json_int_t)report->trees_removed, "trees_waiting",
		      (json_int_t)report->trees_waiting, "trees_busy",
		      (json_int_t)report->trees_busy, "next_due",
		      control_time(report->next_due_sec)));
}

static int control_gc_fail(struct control_request *req, int rc)
{
	return control_fail(req, rc,
			    rc == -EBADMSG || rc == -ENOENT
				? "vdrive depot verify --repair"
				: NULL,
			    "cannot collect");
}

int control_gc_step(struct control_request *req)
{
	struct gc_report report;
	uint64_t step = GC_STEP;
	int rc;

	rc = control_param_number(req, "step", GC_STEP_MAX, &step);
	if (rc < 0)
		return rc;
	rc = depot_gc_step(req->control->daemon.depot, (unsigned int)step,
			   &report);
	return rc < 0 ? control_gc_fail(req, rc)
		      : control_gc_answer(req, &report, false);
}

int control_gc_look(struct control_request *req)
{
	struct gc_report report;
	struct digest from;
	uint64_t step = GC_STEP;
	int rc;

	rc = control_param_number(req, "step", GC_STEP_MAX, &step);
	if (rc == 0)
		rc = control_param_digest(req, "from", &from);
	if (rc < 0)
		return rc;
	rc = depot_gc_look(req->control->daemon.depot, &from,
			   (unsigned int)step, &report);
	return rc < 0 ? control_gc_fail(req, rc)
		      : control_gc_answer(req, &report, true);
}
