/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attribute_site: the packages that a guest's paths are told by, and what its
 * operator has said of them.
 */
#include "depot/log.h"
#include "overlay/attribute.h"
#include "overlay/delta_diff.h"
#include "overlay/selection.h"

static int attribute_load(struct site *site, const char *guest,
			  struct attribute_rows *rows)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_text(&key, 'W', guest);
	rc = kv_get(site->kv, key.bytes, key.len, &value);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	rc = attribute_rows_decode(value.data, value.len, rows);
	kv_value_release(&value);
	return rc == -EBADMSG
		   ? log_err(rc, "state: attribution of guest %s", guest)
		   : rc;
}

static int attribute_add(struct site *site, struct attribution *a,
			 const struct package_info *package)
{
	struct tree *tree;
	int rc = depot_tree_get(site->depot, &package->tree, &tree);

	if (rc == -ENOENT || rc == -EBADMSG)
		rc = depot_tree_fetch(site->depot, &package->tree, &tree);
	if (rc < 0)
		return log_err(rc, "package %s:%s: its tree", package->name,
			       package->tag);
	attribution_add(a, package->name, tree);
	tree_put(tree);
	return 0;
}

int site_attribution(struct site *site, const char *guest, struct site_view *sv,
		     struct attribution *a)
{
	const struct tenant *tenant = site_find_tenant(site, sv->view->tenant);
	const struct selection *selection = &tenant->selection;
	int rc = attribute_load(site, guest, &a->said);

	for (unsigned int i = 0; rc == 0 && i < selection->count; i++)
		rc = attribute_add(site, a, &selection->package[i]);
	return rc;
}

/* --- what the operator says ----------------------------------------------- */

/* The guest must have the package: what nobody has is a slip of the pen. */
static int attribute_check_package(const struct attribution *a,
				   const char *guest, const char *package)
{
	for (unsigned int i = 0; i < a->count; i++)
		if (strcmp(a->package[i].name, package) == 0)
			return 0;
	return log_err(-ESRCH, "guest %s has no package %s", guest, package);
}

static int attribute_save(struct site *site, const char *guest,
			  const struct attribute_rows *rows)
{
	CLEANUP_FREE uint8_t *value = NULL;
	struct record_key key;
	size_t len;
	int rc;

	record_key_text(&key, 'W', guest);
	if (rows->count == 0) {
		rc = kv_delete(site->kv, key.bytes, key.len);
	} else {
		rc = attribute_rows_encode(rows, &value, &len);
		if (rc == 0)
			rc = kv_put(site->kv, key.bytes, key.len, value, len);
	}
	return rc < 0 ? rc : kv_sync_log(site->kv);
}

static int attribute_assign(struct site *site, const char *guest,
			    struct attribution *a, const char *path,
			    const char *package, bool *changed)
{
	int rc = package ? attribute_check_package(a, guest, package) : 0;

	if (rc == 0)
		rc = attribute_rows_set(&a->said, path, package, changed);
	return rc == 0 && *changed ? attribute_save(site, guest, &a->said) : rc;
}

/* One spelling of each path. */
static bool attribute_path_ok(const char *path)
{
	size_t len = strlen(path);

	if (len == 0 || len > ATTRIBUTE_PATH_MAX || path[len - 1] == '/')
		return false;
	for (const char *at = path; at; at = strchr(at, '/')) {
		size_t name;

		at += at > path;
		name = strcspn(at, "/");
		if (!tree_name_ok(at, name))
			return false;
	}
	return true;
}

int site_delta_assign(struct site *site, const char *guest, const char *path,
		      const char *package, bool *changed)
{
	struct attribution a = {.count = 0};
	struct site_view *sv;
	int rc;

	*changed = false;
	if (!attribute_path_ok(path))
		return log_err(-EINVAL, "\"%s\" is no path of a guest", path);
	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = site_attribution(site, guest, sv, &a);
	if (rc == 0)
		rc = attribute_assign(site, guest, &a, path, package, changed);
	pthread_mutex_unlock(&site->verbs);
	attribution_clear(&a);
	return rc;
}

int site_delta_assigned(struct site *site, const char *guest,
			int (*visit)(void *ctx, const char *path,
				     const char *package),
			void *ctx)
{
	struct attribute_rows rows = {.count = 0};
	int rc = -ENOENT;

	pthread_mutex_lock(&site->verbs);
	if (site_guest_record(site, guest))
		rc = attribute_load(site, guest, &rows);
	pthread_mutex_unlock(&site->verbs);
	for (unsigned int i = 0; rc == 0 && i < rows.count; i++)
		rc = visit(ctx, rows.row[i].path, rows.row[i].package);
	attribute_rows_clear(&rows);
	return rc;
}
