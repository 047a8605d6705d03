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
	return control_answer_delta(req, control_changes_write,
				    "read the changes");
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

/* --- profiles of guests --------------------------------------------------- */

struct control_profile {
	struct control_request *req;
	const char *name, *guest;
	bool dry_run, careful; /* refuse whatever differs */
	enum site_policy policy;
	struct package_info info;
	json_t *revision;               /* owns */
	struct site_profile_base *base; /* owns; its paths too */
	size_t base_count;
	json_t *conflicts;   /* owns; paths */
	json_t *told;        /* owns; changes of the guest in the way */
	uint64_t differing;  /* paths */
	uint64_t count[128]; /* of paths by letter */
};

static void control_profile_clear(struct control_profile *p)
{
	for (size_t i = 0; i < p->base_count; i++)
		free((char *)(uintptr_t)p->base[i].path);
	free(p->base);
	json_decref(p->revision);
	json_decref(p->conflicts);
	json_decref(p->told);
}

/* fail: whatever differs; keep: the guest's own changes are seen; profile: they
 * give way; nothing: refuse when there are such. */
static int control_profile_policy(struct control_request *req,
				  struct control_profile *p)
{
	const char *text = control_param_text(req, "conflicts");

	p->policy = SITE_POLICY_FAIL;
	if (!text || !*text)
		return 0;
	p->careful = strcmp(text, "fail") == 0;
	if (strcmp(text, "keep") == 0)
		p->policy = SITE_POLICY_KEEP;
	else if (strcmp(text, "profile") == 0)
		p->policy = SITE_POLICY_PACKAGE;
	else if (!p->careful)
		return control_refuse(req, -EINVAL, "fail, keep or profile",
				      "conflicts=%s is not known", text);
	return 0;
}

static int control_profile_begin(struct control_request *req,
				 struct control_profile *p)
{
	int rc;

	p->req = req;
	p->conflicts = json_array();
	p->told = json_array();
	if (!p->conflicts || !p->told)
		return -ENOMEM;
	rc = control_param_name(req, "profile", "a profile", &p->name);
	if (rc == 0)
		rc = control_param_guest_here(req, "guest", &p->guest);
	if (rc == 0)
		rc = control_param_bool(req, "dry_run", &p->dry_run);
	return rc == 0 ? control_profile_policy(req, p) : rc;
}

/* "M ID PATH" */
static int control_base_row(struct control_profile *p, const char *text)
{
	struct site_profile_base *base = &p->base[p->base_count];
	char *end = NULL;

	if (!text || !strchr("MmD", text[0]) || strlen(text) < 20 ||
	    text[1] != ' ' || text[18] != ' ')
		return -EBADMSG;
	base->kind = (enum site_change)text[0];
	base->id = strtoull(text + 2, &end, 16);
	if (end != text + 18)
		return -EBADMSG;
	base->path = control_path_unescape(text + 19);
	if (!base->path)
		return -EBADMSG;
	p->base_count++;
	return 0;
}

static int control_base_order(const void *a, const void *b)
{
	const struct site_profile_base *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static int control_profile_base(struct control_profile *p)
{
	const json_t *records = json_object_get(p->revision, "records");
	const json_t *base = json_object_get(records, "base"), *row;
	int rc = json_object_get(records, "profile") ? 0 : -EBADMSG;
	size_t i;

	p->base = calloc(json_array_size(base) + 1, sizeof(*p->base));
	if (!p->base)
		return -ENOMEM;
	json_array_foreach(base, i, row)
	{
		if (rc == 0)
			rc = control_base_row(p, json_string_value(row));
	}
	if (rc == 0 && p->base_count > 0)
		qsort(p->base, p->base_count, sizeof(*p->base),
		      control_base_order);
	return rc;
}

static int control_profile_find(struct control_profile *p)
{
	struct depot *depot = p->req->control->daemon.depot;
	struct package_ref ref = {.tag = CONTROL_PROFILE_TAG};
	CLEANUP_FREE char *json = NULL;
	int rc;

	snprintf(ref.name, sizeof(ref.name), "%s", p->name);
	rc = depot_package_get(depot, &ref, &p->info);
	if (rc == -ENOENT)
		return control_refuse(p->req, rc, "vdrive profile list",
				      "there is no profile \"%s\"", p->name);
	if (rc == 0)
		rc = depot_revision_json(depot, &p->info.revision, &json);
	if (rc == 0) {
		p->revision = json_loads(json, 0, NULL);
		rc = control_profile_base(p);
	}
	return rc < 0 ? control_fail(p->req, rc, NULL, "profile %s", p->name)
		      : 0;
}

/* --- what it meets -------------------------------------------------------- */

static int control_profile_path(void *ctx, const struct site_profile_path *path)
{
	char mine[] = {(char)path->kind, '\0'};
	char guest[] = {(char)path->guest, '\0'};
	struct control_profile *p = ctx;

	p->count[(unsigned char)path->kind & 127]++;
	p->differing += path->differs;
	if ((!path->differs && !path->guest) ||
	    json_array_size(p->conflicts) >= CONTROL_CONFLICTS_MAX)
		return 0;
	return control_append(p->conflicts,
			      json_pack("{s:o, s:s, s:I, s:I, s:b, s:s}",
					"path", control_path_json(path->path),
					"profile", mine, "mode",
					(json_int_t)path->mode, "now_mode",
					(json_int_t)path->now_mode, "differs",
					(int)path->differs, "guest", guest));
}

static void control_profile_told(void *ctx,
				 const struct site_guest_conflict *conflict)
{
	struct control_profile *p = ctx;
	char kind[] = {conflict->kind, '\0'};

	if (json_array_size(p->told) < CONTROL_CONFLICTS_MAX)
		json_array_append_new(
		    p->told,
		    json_pack("{s:o, s:s, s:b, s:b}", "path",
			      control_path_json(conflict->path), "kind", kind,
			      "gone", (int)conflict->gone, "refused",
			      (int)conflict->refused));
}

static int control_profile_look(struct control_profile *p)
{
	int rc =
	    site_profile_look(p->req->control->daemon.site, p->guest, &p->info,
			      p->base, p->base_count, control_profile_path, p);

	return rc < 0 ? control_fail(p->req, rc, NULL,
				     "cannot compare profile %s with %s",
				     p->name, p->guest)
		      : 0;
}

/* "M etc/x" of what is in the way, as failures show it. */
static json_t *control_profile_lines(const struct control_profile *p)
{
	json_t *lines = json_array(), *row;
	size_t i;

	json_array_foreach(p->told, i, row) json_array_append_new(
	    lines, json_sprintf(
		       "%s %s", json_string_value(json_object_get(row, "kind")),
		       json_string_value(json_object_get(row, "path"))));
	return lines;
}

static int control_profile_refuse(struct control_profile *p, const char *verb,
				  int rc)
{
	if (rc == -EEXIST) {
		control_refuse(p->req, rc,
			       "--conflicts keep, to go on with the guest's "
			       "own, or --conflicts profile, to park it",
			       "cannot %s profile %s: %s has changed %zu files "
			       "that it would change",
			       verb, p->name, p->guest,
			       json_array_size(p->told));
		control_fail_list(p->req, "conflicts",
				  control_profile_lines(p));
		return rc;
	}
	if (rc == -ESRCH)
		return control_refuse(p->req, -ENOENT, "vdrive guest list",
				      "%s has no profile %s", p->guest,
				      p->name);
	return control_fail(p->req, rc, NULL, "cannot %s profile %s: %s", verb,
			    p->name, p->guest);
}

static json_t *control_profile_answer(struct control_profile *p,
				      const struct site_profile_how *how)
{
	const json_t *records = json_object_get(p->revision, "records");
	json_t *over = json_object_get(records, "over");

	return json_pack(
	    "{s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:O, s:o, "
	    "s:O, s:O, s:I, s:I, s:I}",
	    "schema", "profile-apply/1", "profile", p->name, "guest", p->guest,
	    "dry_run", (int)p->dry_run, "changed", (int)how->changed, "added",
	    (json_int_t)p->count['A'], "modified", (json_int_t)p->count['M'],
	    "meta", (json_int_t)p->count['m'], "deleted",
	    (json_int_t)p->count['D'], "differing", (json_int_t)p->differing,
	    "over", over ? over : json_null(), "has",
	    control_over(p->req, p->guest), "conflicts", p->conflicts, "own",
	    p->told, "kept", (json_int_t)how->kept, "parked",
	    (json_int_t)how->superseded, "restored", (json_int_t)how->restored);
}

int control_profile_apply(struct control_request *req)
{
	CLEANUP(control_profile_clear) struct control_profile p = {.req = NULL};
	struct site_profile_how how = {.conflict = control_profile_told,
				       .ctx = &p};
	int rc = control_profile_begin(req, &p);

	if (rc == 0)
		rc = control_profile_find(&p);
	if (rc == 0)
		rc = control_profile_look(&p);
	if (rc < 0)
		return rc;
	if (!p.dry_run && p.careful && json_array_size(p.conflicts) > 0) {
		control_refuse(req, -EEXIST, "vdrive profile apply -n",
			       "profile %s: %zu paths of %s are not what it "
			       "was made over",
			       p.name, json_array_size(p.conflicts), p.guest);
		control_fail_list(req, "conflicts", json_incref(p.conflicts));
		return -EEXIST;
	}
	how.policy = p.policy;
	how.dry_run = p.dry_run;
	rc = site_profile_apply(req->control->daemon.site, p.guest, &p.info,
				&how);
	if (rc < 0)
		return control_profile_refuse(&p, "apply", rc);
	return control_answer(req, control_profile_answer(&p, &how));
}

int control_profile_detach(struct control_request *req)
{
	CLEANUP(control_profile_clear) struct control_profile p = {.req = NULL};
	struct site_profile_how how = {.conflict = control_profile_told,
				       .ctx = &p};
	int rc = control_profile_begin(req, &p);

	if (rc < 0)
		return rc;
	how.policy = p.policy;
	how.dry_run = p.dry_run;
	rc = site_profile_detach(req->control->daemon.site, p.guest, p.name,
				 &how);
	if (rc < 0)
		return control_profile_refuse(&p, "detach", rc);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:s, s:b, s:O, s:I, s:I, s:I}", "schema",
			   "profile-detach/1", "profile", p.name, "guest",
			   p.guest, "dry_run", (int)p.dry_run, "own", p.told,
			   "kept", (json_int_t)how.kept, "parked",
			   (json_int_t)how.superseded, "restored",
			   (json_int_t)how.restored));
}
