/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/fake_site.h"

#include <stdio.h>

enum { FAKE_VIEWS_MAX = 64 };

struct site {
	struct view *views[FAKE_VIEWS_MAX];
	unsigned int count;
};

int site_open(struct depot *depot, struct site **site)
{
	(void)depot;
	*site = calloc(1, sizeof(**site));
	return *site ? 0 : -ENOMEM;
}

void site_close(struct site *site)
{
	free(site);
}

void fake_site_add(struct site *site, struct view *view)
{
	ASSERT(site->count < FAKE_VIEWS_MAX);

	site->views[site->count++] = view;
}

struct view *site_view_by_id(struct site *site, uint32_t export_id)
{
	for (unsigned int i = 0; i < site->count; i++)
		if (view_get_info(site->views[i])->export_id == export_id)
			return site->views[i];
	return NULL;
}

struct view *site_view_by_path(struct site *site, const char *path)
{
	for (unsigned int i = 0; i < site->count; i++)
		if (strcmp(view_get_info(site->views[i])->path, path) == 0)
			return site->views[i];
	return NULL;
}

int site_tenant_create(struct site *site, const char *tenant)
{
	(void)site;
	(void)tenant;
	return -EOPNOTSUPP;
}

int site_tenant_assign(struct site *site, const char *tenant,
		       const struct package_info *packages, unsigned int count,
		       bool take_order, site_conflict_fn *conflict, void *ctx,
		       uint32_t *generation)
{
	(void)site;
	(void)tenant;
	(void)packages;
	(void)count;
	(void)take_order;
	(void)conflict;
	(void)ctx;
	(void)generation;
	return -EOPNOTSUPP;
}

int site_guest_add(struct site *site, const char *name,
		   const struct site_guest_options *options)
{
	(void)site;
	(void)name;
	(void)options;
	return -EOPNOTSUPP;
}

int site_tenant_list(struct site *site,
		     int (*visit)(void *ctx, const struct site_tenant_info *),
		     void *ctx)
{
	(void)site;
	(void)visit;
	(void)ctx;
	return 0;
}

int site_guest_list(struct site *site,
		    int (*visit)(void *ctx, const struct site_guest_info *),
		    void *ctx)
{
	for (unsigned int i = 0; i < site->count; i++) {
		const struct view_info *info = view_get_info(site->views[i]);
		struct site_guest_info guest = {.export_id = info->export_id};
		int rc;

		if (sscanf(info->path, "/%63[^/]/%63s", guest.tenant,
			   guest.guest) != 2)
			continue;
		memcpy(guest.addr, info->addr, sizeof(guest.addr));
		rc = visit(ctx, &guest);
		if (rc != 0)
			return rc;
	}
	return 0;
}

void site_quiesce(struct site *site)
{
	(void)site;
}
