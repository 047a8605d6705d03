/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_remove: tenants go, and what guests that have gone still held.
 *
 * All keys of a tenant go in one batch, so that after a crash it is wholly
 * there or wholly gone.  Its memory stays until site_close, since look-ups'
 * results do, but names no tree any more: a collection need not wait for that.
 */
#include <time.h>

#include "depot/killpoint.h"
#include "depot/log.h"
#include "depot/plan_rows.h"
#include "overlay/site_impl.h"

/* --- guests that are gone ------------------------------------------------- */

void site_empty_view(struct site *site, struct view *view)
{
	struct tenant *tenant = site_find_tenant(site, view->tenant);
	struct timespec now;
	struct image *none;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	view_forget_layers(view);
	rc = image_new(NULL, 0, 0, view->info.key, &now, NULL, NULL, &none);
	if (rc < 0) /* its trees stay until the next start, then */
		return;
	pthread_rwlock_wrlock(&view->lock);
	image_put(view->image);
	view->image = none;
	starts_switched(view);
	pthread_rwlock_unlock(&view->lock);
	if (tenant)
		site_images_trim(tenant);
}

/* --- tenants -------------------------------------------------------------- */

static unsigned int remove_count_guests(const struct site *site,
					const struct tenant *tenant)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < site->view_count; i++)
		count += site_view_is_of(site->views[i].view, tenant);
	return count;
}

static int remove_count_generation(void *ctx,
				   const struct selection *selection UNUSED)
{
	++*(unsigned int *)ctx;
	return 0;
}

/* All keys LETTER tenant 0 ... */
static void remove_keys(struct kv_batch *batch, char letter, const char *tenant)
{
	struct record_key from, to;

	record_key_text(&from, letter, tenant);
	to = from;
	from.bytes[from.len++] = '\0';
	to.bytes[to.len++] = '\1';
	kv_batch_delete_range(batch, from.bytes, from.len, to.bytes, to.len);
}

static int remove_gather(struct site *site, const char *name,
			 struct kv_batch *batch,
			 struct site_tenant_removed *removed)
{
	struct record_key key;
	int rc = depot_entitled_forget(site->depot, name, batch,
				       &removed->entitlements);

	if (rc == 0)
		rc = plan_rows_forget_tenant(site->kv, name, batch);
	record_key_text(&key, 'A', name);
	kv_batch_delete(batch, key.bytes, key.len);
	remove_keys(batch, 'S', name);
	remove_keys(batch, 'V', name);
	remove_keys(batch, 'M', name);
	return rc;
}

/* Out of the table, kept in `gone`; what it points at is let go of. */
static void remove_take(struct site *site, struct tenant *tenant)
{
	unsigned int at = 0;

	pthread_rwlock_wrlock(&site->lock);
	while (site->tenants[at] != tenant)
		at++;
	memmove(&site->tenants[at], &site->tenants[at + 1],
		(site->tenant_count - at - 1) * sizeof(struct tenant *));
	site->tenant_count--;
	site->gone[site->gone_count++] = tenant;
	pthread_rwlock_unlock(&site->lock);
	site_images_free(tenant);
	if (tenant->past)
		past_empty(tenant->past);
}

static int remove_tenant(struct site *site, struct tenant *tenant, bool dry_run,
			 struct site_tenant_removed *removed)
{
	struct kv_batch *batch = kv_batch_new();
	struct tenant **gone;
	int rc;

	gone = realloc(site->gone,
		       (site->gone_count + 1) * sizeof(struct tenant *));
	if (gone)
		site->gone = gone;
	rc = batch && gone ? remove_gather(site, tenant->name, batch, removed)
			   : -ENOMEM;
	KILL_POINT("tenant-leaving");
	if (rc == 0 && !dry_run) {
		rc = site_write(site, batch);
		KILL_POINT("tenant-left");
		if (rc == 0)
			remove_take(site, tenant);
	}
	kv_batch_free(batch);
	return rc;
}

int site_tenant_remove(struct site *site, const char *name, bool dry_run,
		       struct site_tenant_removed *removed)
{
	struct tenant *tenant;
	int rc = 0;

	*removed = (struct site_tenant_removed){.guests = 0};
	pthread_mutex_lock(&site->verbs);
	tenant = site_find_tenant(site, name);
	if (tenant)
		removed->guests = remove_count_guests(site, tenant);
	if (!tenant)
		rc = log_err(-ENOENT, "no tenant \"%s\"", name);
	else if (removed->guests > 0)
		rc = log_err(-EBUSY, "tenant %s has %u guests", name,
			     removed->guests);
	else
		rc = selection_each(site->kv, name, remove_count_generation,
				    &removed->generations);
	/* A start of a guest that has just gone may be being saved. */
	if (rc == 0 && !dry_run)
		starts_save(site->starts);
	if (rc == 0)
		rc = remove_tenant(site, tenant, dry_run, removed);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
