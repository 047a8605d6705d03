/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site: all tenants, selections and guests of this host; facade of the
 * administrative half of this floor, as view.h is of the data path.
 *
 * State lives in the state database; every change is durable before the
 * function returns, and effective at once.  Thread-safe.
 * Names: depot_name_ok().
 */
#ifndef OVERLAY_SITE_H
#define OVERLAY_SITE_H

#include "depot/base.h"
#include "depot/depot.h"
#include "overlay/view.h"

struct site;

enum {
	SITE_SELECTION_MAX = 64, /* packages of a tenant */
	SITE_EXPORT_PATH_MAX = 2 * PACKAGE_NAME_MAX + 4,
};

MUST_CHECK int site_open(struct depot *depot, struct site **site);
void site_close(struct site *site); /* takes site; NULL allowed */

/* An export by the number in its handles, or by its path ("/red/vm1"); NULL
 * when there is none.  The view lives until site_close. */
struct view *site_view_by_id(struct site *site, uint32_t export_id);
struct view *site_view_by_path(struct site *site, const char *path);

/* Creating what exists in the same form is success. */
MUST_CHECK int site_tenant_create(struct site *site, const char *tenant);

/* Called for what the operator should know: two packages with different
 * content at one path, or a guest's change over a path that would vanish. */
typedef void site_conflict_fn(void *ctx, const char *what);

/*
 * Give a tenant a new generation of its selection: `refs` in order, the first
 * wins at equal paths.  The packages must be in the depot
 * (depot_package_resolve first).  -ENOENT: no such tenant; -EEXIST (conflict):
 * two packages have different content at one path and take_order is false, or a
 * guest's delta builds on an object that the new generation lacks; nothing has
 * changed then. *generation: the new number, or the current one when nothing
 * changes.
 */
MUST_CHECK int site_tenant_assign(struct site *site, const char *tenant,
				  const struct package_info *packages,
				  unsigned int count, bool take_order,
				  site_conflict_fn *conflict, void *ctx,
				  uint32_t *generation);

struct site_guest_options {
	const char *addr; /* client address that may mount; NULL or "" any */
	bool allow_devices;
	bool root_squash;
};
/* name "tenant/guest".  -ENOENT: no such tenant; -EEXIST: with other options.
 */
MUST_CHECK int site_guest_add(struct site *site, const char *name,
			      const struct site_guest_options *options);

struct site_tenant_info {
	char name[PACKAGE_NAME_MAX + 1];
	uint32_t generation; /* 0: nothing assigned yet */
	unsigned int guests;
	unsigned int package_count;
	struct package_info package[SITE_SELECTION_MAX];
};
struct site_guest_info {
	char tenant[PACKAGE_NAME_MAX + 1];
	char guest[PACKAGE_NAME_MAX + 1];
	uint32_t export_id;
	uint32_t generation;
	char addr[64];
	bool allow_devices, root_squash;
	uint64_t delta_bytes, delta_files;
};
/* In byte order of names; visit returns non-zero to stop, returned. */
MUST_CHECK int site_tenant_list(struct site *site,
				int (*visit)(void *ctx,
					     const struct site_tenant_info *),
				void *ctx);
MUST_CHECK int site_guest_list(struct site *site,
			       int (*visit)(void *ctx,
					    const struct site_guest_info *),
			       void *ctx);

/* Wait until everything replied as stable is on disk; before exit. */
void site_quiesce(struct site *site);

#endif
