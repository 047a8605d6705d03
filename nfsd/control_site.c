/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_site: what requests about tenants and about guests share: names,
 * lists, quotas.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"
#include "overlay/site.h"

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

bool control_quota_equal(const struct site_quota *a, const struct site_quota *b)
{
	return a->bytes == b->bytes && a->files == b->files;
}

int control_quota_answer(struct control_request *req, const char *schema,
			 const char *key, const char *name,
			 const struct site_quota *quota)
{
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:I}", "schema", schema, key, name,
			   "delta_quota_bytes", (json_int_t)quota->bytes,
			   "delta_quota_files", (json_int_t)quota->files));
}

/* --- guests by name ------------------------------------------------------ */

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
