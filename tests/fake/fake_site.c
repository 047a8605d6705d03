/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/fake_site.h"

#include <pthread.h>
#include <stdio.h>

#include "depot/clock.h"
#include "depot/log.h"
#include "tests/fake/fake_view.h"

enum { FAKE_VIEWS_MAX = 64 };

struct site {
	struct view *views[FAKE_VIEWS_MAX];
	unsigned int count;
	struct depot *depot; /* borrows; may be NULL */
	pthread_mutex_t lock;
	pthread_cond_t released;
	bool hold;         /* lock */
	unsigned int held; /* lock */
	uint64_t imported; /* lock */
};

int site_open(struct depot *depot, struct site **site)
{
	*site = calloc(1, sizeof(**site));
	if (!*site)
		return -ENOMEM;
	(*site)->depot = depot;
	pthread_mutex_init(&(*site)->lock, NULL);
	pthread_cond_init(&(*site)->released, NULL);
	return 0;
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

/* Of all that have one, this is the secret. */
struct view *site_view_by_secret(struct site *site,
				 const struct site_secret *secret)
{
	struct site_secret want;

	memset(&want, FAKE_SECRET, sizeof(want));
	for (unsigned int i = 0; i < site->count; i++)
		if (fake_view_access(site->views[i])->has_secret &&
		    memcmp(secret, &want, sizeof(want)) == 0)
			return site->views[i];
	return NULL;
}

bool site_access(struct site *site, uint32_t export_id,
		 struct site_access *access)
{
	struct view *view = site_view_by_id(site, export_id);

	if (view)
		*access = *fake_view_access(view);
	return view != NULL;
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

int site_met_changes(struct site *site, const char *tenant,
		     int (*visit)(void *ctx, const struct site_met_change *),
		     void *ctx)
{
	(void)site;
	(void)tenant;
	(void)visit;
	(void)ctx;
	return -EOPNOTSUPP;
}

int site_delta_restore_change(struct site *site, const char *guest,
			      const char *path)
{
	(void)site;
	(void)guest;
	(void)path;
	return -EOPNOTSUPP;
}

int site_package_changes(struct site *site, const struct digest *before,
			 const struct digest *after, uint64_t *files)
{
	(void)site;
	(void)before;
	(void)after;
	(void)files;
	return -EOPNOTSUPP;
}

int site_tenant_switch(struct site *site, const char *tenant,
		       const struct package_info *packages, unsigned int count,
		       struct site_switch *how, uint32_t *generation)
{
	(void)site;
	(void)tenant;
	(void)packages;
	(void)count;
	(void)how;
	(void)generation;
	return -EOPNOTSUPP;
}

int site_tenant_history(struct site *site, const char *tenant,
			int (*visit)(void *ctx, const struct site_generation *),
			void *ctx)
{
	(void)site;
	(void)tenant;
	(void)visit;
	(void)ctx;
	return -EOPNOTSUPP;
}

int site_tenant_rollback(struct site *site, const char *tenant, uint32_t to,
			 struct site_switch *how, uint32_t *from,
			 uint32_t *generation)
{
	(void)site;
	(void)tenant;
	(void)to;
	(void)how;
	(void)from;
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

int site_guest_set_access(struct site *site, const char *guest,
			  const struct site_guest_options *options, bool fresh)
{
	(void)site;
	(void)guest;
	(void)options;
	(void)fresh;
	return -EOPNOTSUPP;
}

int site_guests_check(struct site *site, const struct site_guest_wish *wishes,
		      unsigned int count)
{
	(void)site;
	(void)wishes;
	(void)count;
	return -EOPNOTSUPP;
}

int site_guest_secret(struct site *site, const char *guest,
		      struct site_secret *secret)
{
	(void)site;
	(void)guest;
	(void)secret;
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
		struct site_guest_info guest = {
		    .access = *fake_view_access(site->views[i])};
		int rc;

		if (sscanf(info->path, "/%63[^/]/%63s", guest.tenant,
			   guest.guest) != 2)
			continue;
		rc = visit(ctx, &guest);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* --- deltas --------------------------------------------------------------- */

void fake_site_hold(struct site *site, bool hold)
{
	pthread_mutex_lock(&site->lock);
	site->hold = hold;
	pthread_cond_broadcast(&site->released);
	pthread_mutex_unlock(&site->lock);
}

unsigned int fake_site_held(struct site *site)
{
	unsigned int held;

	pthread_mutex_lock(&site->lock);
	held = site->held;
	pthread_mutex_unlock(&site->lock);
	return held;
}

uint64_t fake_site_imported(struct site *site)
{
	uint64_t imported;

	pthread_mutex_lock(&site->lock);
	imported = site->imported;
	pthread_mutex_unlock(&site->lock);
	return imported;
}

int site_delta_verify(struct site *site, const char *guest UNUSED,
		      void (*tell)(void *ctx, bool problem, const char *what),
		      void *ctx, struct site_delta_figures *figures)
{
	int rc = 0;

	pthread_mutex_lock(&site->lock);
	site->held++;
	while (rc == 0 && site->hold) {
		struct timespec until = clock_after_ms(10);

		pthread_cond_clockwait(&site->released, &site->lock,
				       CLOCK_MONOTONIC, &until);
		rc = depot_goes_on(site->depot);
	}
	pthread_mutex_unlock(&site->lock);
	if (rc < 0)
		return rc;
	tell(ctx, true, "file 7: \xff is no name");
	figures->problems = 1;
	return 0;
}

/* Byte number n of a stream. */
static uint8_t fake_stream_byte(uint64_t n)
{
	return (uint8_t)(n * 2654435761u >> 13);
}

int site_delta_export(struct site *site UNUSED, const char *guest UNUSED,
		      const char *snapshot UNUSED, int fd)
{
	static uint8_t bytes[1 << 20];

	for (uint64_t at = 0; at < FAKE_STREAM_LEN; at += sizeof(bytes)) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = fake_stream_byte(at + i);
		if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
			return -errno;
	}
	return 0;
}

int site_delta_import(struct site *site, const char *guest UNUSED, int fd)
{
	static uint8_t bytes[1 << 20];
	bool right = true;
	uint64_t at = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			right = right &&
				bytes[i] == fake_stream_byte(at + (uint64_t)i);
		at += (uint64_t)n;
	}
	pthread_mutex_lock(&site->lock);
	site->imported = right ? at : UINT64_MAX;
	pthread_mutex_unlock(&site->lock);
	return n < 0 ? -errno : 0;
}

int site_tenant_create_with(struct site *site UNUSED, const char *tenant UNUSED,
			    const struct site_quota *quota UNUSED)
{
	return -EOPNOTSUPP;
}

int site_tenant_remove(struct site *site UNUSED, const char *tenant UNUSED,
		       bool dry_run UNUSED,
		       struct site_tenant_removed *removed UNUSED)
{
	return -EOPNOTSUPP;
}

int site_tenant_set_quota(struct site *site UNUSED, const char *tenant UNUSED,
			  const struct site_quota *quota UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_set_quota(struct site *site UNUSED, const char *guest UNUSED,
			 const struct site_quota *quota UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_snapshot(struct site *site UNUSED, const char *guest UNUSED,
			const char *snapshot UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_snapshot_remove(struct site *site UNUSED,
			       const char *guest UNUSED,
			       const char *snapshot UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_snapshots(struct site *site UNUSED, const char *guest UNUSED,
			 int (*visit)(void *ctx, const struct site_snapshot *)
			     UNUSED,
			 void *ctx UNUSED)
{
	return 0;
}

int site_delta_restore(struct site *site UNUSED, const char *guest UNUSED,
		       const char *snapshot UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_clone(struct site *site UNUSED, const char *from UNUSED,
		     const char *snapshot UNUSED, const char *to UNUSED,
		     const struct site_guest_options *options UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_diff(struct site *site UNUSED, const char *guest UNUSED,
		    int (*visit)(void *ctx, const struct site_delta_change *),
		    void *ctx)
{
	struct site_delta_change change = {.kind = SITE_CHANGE_RENAMED,
					   .path = "a/\xff\n",
					   .from = "b",
					   .mode = 0100644};

	return visit(ctx, &change);
}

int site_guests_set_access(struct site *site UNUSED,
			   const struct site_guest_wish *wishes UNUSED,
			   unsigned int count UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_pause(struct site *site UNUSED, const char *guest UNUSED,
		     bool pause UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_export(struct site *site UNUSED, const char *guest UNUSED,
		      int fd UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_import(struct site *site UNUSED, int fd UNUSED,
		      char *name UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_remove(struct site *site UNUSED, const char *guest UNUSED,
		      bool force UNUSED)
{
	return -EOPNOTSUPP;
}

void site_save_starts(struct site *site UNUSED)
{
}

int site_tree_users(struct site *site UNUSED,
		    int (*visit)(void *ctx, const struct site_tree_user *)
			UNUSED,
		    void *ctx UNUSED)
{
	return 0;
}

int site_forget_generations(struct site *site UNUSED,
			    const struct digest *revision UNUSED,
			    const char *name UNUSED, const char *tag UNUSED,
			    unsigned int *count)
{
	*count = 0;
	return 0;
}

void site_quiesce(struct site *site)
{
	(void)site;
}

int site_delta_assign(struct site *site UNUSED, const char *guest UNUSED,
		      const char *path UNUSED, const char *package UNUSED,
		      bool *changed UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_assigned(struct site *site UNUSED, const char *guest UNUSED,
			int (*visit)(void *ctx, const char *path,
				     const char *package) UNUSED,
			void *ctx UNUSED)
{
	return 0;
}

int site_delta_objects(struct site *site UNUSED, const char *guest UNUSED,
		       const char *snapshot UNUSED,
		       int (*visit)(void *ctx, const struct site_object *)
			   UNUSED,
		       void *ctx UNUSED)
{
	return -EOPNOTSUPP;
}

int site_object_data(const struct site_object *object UNUSED,
		     site_take_fn *take UNUSED, void *ctx UNUSED)
{
	return -EOPNOTSUPP;
}

int site_delta_reset_package(struct site *site UNUSED, const char *guest UNUSED,
			     const char *package UNUSED, bool dry_run UNUSED,
			     int (*visit)(void *ctx,
					  const struct site_delta_change *)
				 UNUSED,
			     void *ctx UNUSED, uint64_t *left UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_own(struct site *site UNUSED, const char *guest UNUSED,
		   int (*visit)(void *ctx, const struct package_info *package)
		       UNUSED,
		   void *ctx UNUSED)
{
	return 0;
}

int site_profile_apply(struct site *site UNUSED, const char *guest UNUSED,
		       const struct package_info *profile UNUSED,
		       struct site_profile_how *how UNUSED)
{
	return -EOPNOTSUPP;
}

int site_profile_detach(struct site *site UNUSED, const char *guest UNUSED,
			const char *name UNUSED,
			struct site_profile_how *how UNUSED)
{
	return -EOPNOTSUPP;
}

int site_profile_look(struct site *site UNUSED, const char *guest UNUSED,
		      const struct package_info *profile UNUSED,
		      const struct site_profile_base *base UNUSED,
		      size_t base_count UNUSED,
		      int (*visit)(void *ctx, const struct site_profile_path *)
			  UNUSED,
		      void *ctx UNUSED)
{
	return -EOPNOTSUPP;
}

int site_guest_set_whiteouts(struct site *site UNUSED, const char *guest UNUSED,
			     bool show UNUSED)
{
	return -EOPNOTSUPP;
}
