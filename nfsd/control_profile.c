/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_profile: what packages and profiles are made of that come from a
 * guest: its changes path by path, and whose they are.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

enum { CONTROL_PATH_MAX = 4096 };

/* --- a delta, path by path ------------------------------------------------ */

struct control_changes {
	FILE *file; /* owns */
	uint64_t objects;
};

/* Text in its escaped form, null for NULL. */
static json_t *control_bytes(const char *text, size_t len)
{
	CLEANUP_FREE char *escaped = NULL;

	if (!text)
		return json_null();
	escaped = control_path_escape(text, len);
	return escaped ? json_string(escaped) : NULL;
}

static json_t *control_object_json(const struct site_object *object)
{
	char kind[] = {(char)object->kind, '\0'}, base[17] = "";
	const struct view_attr *attr = &object->attr;

	if (object->base_id)
		snprintf(base, sizeof(base), "%016llx",
			 (unsigned long long)object->base_id);
	return json_pack(
	    "{s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, "
	    "s:I, s:I, s:o, s:o, s:o}",
	    "kind", kind, "package", object->package, "mode",
	    (json_int_t)attr->mode, "mode_before",
	    (json_int_t)object->mode_before, "uid", (json_int_t)attr->uid,
	    "gid", (json_int_t)attr->gid, "mtime",
	    (json_int_t)attr->mtime.tv_sec, "mtime_nsec",
	    (json_int_t)attr->mtime.tv_nsec, "rdev_major",
	    (json_int_t)attr->rdev_major, "rdev_minor",
	    (json_int_t)attr->rdev_minor, "base", base, "opaque",
	    (int)object->opaque, "nlink", (json_int_t)attr->nlink, "size",
	    (json_int_t)attr->size, "path",
	    control_bytes(object->path, strlen(object->path)), "link",
	    control_bytes(object->link,
			  object->link ? strlen(object->link) : 0),
	    "target", control_bytes(object->target, object->target_len));
}

/* takes json. */
static int control_line(FILE *file, json_t *json)
{
	int rc = json ? json_dumpf(json, file, JSON_COMPACT) : -1;

	json_decref(json);
	return rc < 0 || fputc('\n', file) == EOF ? -ENOSPC : 0;
}

static int control_take(void *ctx, const void *data, size_t len)
{
	return fwrite(data, 1, len, ctx) == len ? 0 : -ENOSPC;
}

static int control_object(void *ctx, const struct site_object *object)
{
	struct control_changes *changes = ctx;
	int rc = control_line(changes->file, control_object_json(object));

	changes->objects++;
	if (rc == 0 && object->kind != SITE_CHANGE_DELETED &&
	    S_ISREG(object->attr.mode))
		rc = site_object_data(object, control_take, changes->file);
	return rc;
}

struct control_over {
	const char *tenant; /* borrows; "tenant/guest" */
	size_t tenant_len;
	json_t *list;
};

static int control_over_visit(void *ctx, const struct site_tenant_info *info)
{
	struct control_over *over = ctx;
	char hex[DIGEST_HEX_LEN + 1];

	if (strlen(info->name) != over->tenant_len ||
	    memcmp(info->name, over->tenant, over->tenant_len) != 0)
		return 0;
	for (unsigned int i = 0; i < info->package_count; i++) {
		digest_to_hex(&info->package[i].revision, hex);
		json_array_append_new(over->list,
				      json_sprintf("%s:%s sha256:%s",
						   info->package[i].name,
						   info->package[i].tag, hex));
	}
	return 0;
}

/* The packages that a guest of this tenant has changed something of. */
static json_t *control_over(struct control_request *req, const char *guest)
{
	struct control_over over = {guest, strcspn(guest, "/"), json_array()};

	if (site_tenant_list(req->control->daemon.site, control_over_visit,
			     &over) < 0) {
		json_decref(over.list);
		return NULL;
	}
	return over.list;
}

static int control_changes_write(struct control_request *req, const char *name,
				 const char *snapshot, int fd)
{
	struct control_changes changes = {.file = NULL};
	int rc = control_file_stream(fd, &changes.file);

	if (rc < 0)
		return rc;
	rc = site_delta_objects(req->control->daemon.site, name, snapshot,
				control_object, &changes);
	if (rc == 0)
		rc = control_line(changes.file,
				  json_pack("{s:b, s:o, s:I}", "end", 1, "over",
					    control_over(req, name), "objects",
					    (json_int_t)changes.objects));
	if (fclose(changes.file) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

int control_delta_changes(struct control_request *req)
{
	const char *name, *snapshot = NULL;
	CLEANUP_CLOSE int fd = -1;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0 && control_param_text(req, "snapshot"))
		rc = control_param_name(req, "snapshot", "a snapshot",
					&snapshot);
	if (rc == 0)
		rc = control_file_new(req, &fd);
	if (rc < 0)
		return rc;
	rc = control_changes_write(req, name, snapshot, fd);
	if (rc == -ENOENT && snapshot)
		return control_refuse(req, rc,
				      "vdrive delta snapshot TENANT/GUEST",
				      "%s has no snapshot %s", name, snapshot);
	if (rc < 0)
		return control_fail(req, rc, NULL,
				    "cannot read what %s has changed", name);
	return control_answer_file(req, STEAL_FD(fd));
}

/* --- whose a path is ------------------------------------------------------ */

static int control_assigned_visit(void *ctx, const char *path,
				  const char *package)
{
	return control_append(ctx, json_pack("{s:o, s:s}", "path",
					     control_path_json(path), "package",
					     package));
}

int control_delta_assigned(struct control_request *req)
{
	const char *name;
	json_t *list;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc < 0)
		return rc;
	list = json_array();
	rc = list ? site_delta_assigned(req->control->daemon.site, name,
					control_assigned_visit, list)
		  : -ENOMEM;
	return control_answer_list(req, rc, "delta-assigned/1", "assigned",
				   list);
}

int control_delta_assign(struct control_request *req)
{
	const char *name, *path, *package = NULL;
	bool changed;
	int rc;

	rc = control_param_guest_here(req, "name", &name);
	if (rc == 0)
		rc = control_param(req, "path", CONTROL_PATH_MAX, &path);
	if (rc == 0 && control_param_text(req, "package"))
		rc = control_param_name(req, "package", "a package", &package);
	if (rc < 0)
		return rc;
	rc = site_delta_assign(req->control->daemon.site, name, path, package,
			       &changed);
	if (rc == -ESRCH)
		return control_refuse(
		    req, -ENOENT, "vdrive tenant list",
		    "%s has no package \"%s\" to which a path "
		    "could be assigned",
		    name, package);
	if (rc == -EINVAL)
		return control_refuse(req, rc, "a path as delta diff tells it",
				      "\"%s\" is no path of %s", path, name);
	if (rc < 0)
		return control_fail(req, rc, NULL, "cannot assign \"%s\"",
				    path);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:s, s:s?, s:b}", "schema",
			   "delta-assign/1", "guest", name, "path", path,
			   "package", package, "changed", (int)changed));
}
