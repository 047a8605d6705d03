/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_guest: guests come, are paused, and go.
 */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/site_offline.h"

int site_split_name(const char *name, char tenant[PACKAGE_NAME_MAX + 1],
		    const char **guest)
{
	const char *slash = strchr(name, '/');

	tenant[0] = '\0';
	if (slash && slash - name <= PACKAGE_NAME_MAX)
		snprintf(tenant, PACKAGE_NAME_MAX + 1, "%.*s",
			 (int)(slash - name), name);
	if (!depot_name_ok(tenant) || !depot_name_ok(slash + 1))
		return log_err(-EINVAL, "\"%s\" is no TENANT/GUEST", name);
	*guest = slash + 1;
	return 0;
}

struct site_view *site_guest_record(struct site *site, const char *name)
{
	char path[SITE_EXPORT_PATH_MAX];
	struct site_view *sv = NULL;

	if (snprintf(path, sizeof(path), "/%s", name) < (int)sizeof(path))
		sv = site_find_view(site, path);
	if (!sv)
		log_err(-ENOENT, "no guest \"%s\"", name);
	return sv;
}

int site_guest(struct site *site, const char *name, struct site_view **sv)
{
	*sv = site_guest_record(site, name);
	return *sv ? offline_load_guest(site, *sv) : -ENOENT;
}

void site_put_guest(struct kv_batch *batch, const char *name,
		    const struct guest_record *record)
{
	uint8_t value[RECORD_KEY_MAX];
	struct record_key key;

	record_key_text(&key, 'G', name);
	kv_batch_put(batch, key.bytes, key.len, value,
		     guest_encode(record, value));
}

static int guest_write(struct site *site, const char *name,
		       const struct guest_record *record)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	site_put_guest(batch, name, record);
	rc = site_write(site, batch);
	kv_batch_free(batch);
	return rc;
}

/* --- adding -------------------------------------------------------------- */

int guest_fill(struct site *site, const char *name,
	       const struct site_guest_options *options,
	       struct guest_record *record)
{
	int rc = access_fill(name, options, true, record);
	uint32_t id;

	if (rc < 0)
		return rc;
	record->flags = (options->allow_devices ? GUEST_FLAG_DEVICES : 0) |
			(options->root_squash ? GUEST_FLAG_SQUASH : 0) |
			(options->show_whiteouts ? GUEST_FLAG_WHITEOUTS : 0);
	record->quota = options->quota;
	/* Random, so that a guest can move to any other host (design 6). */
	do {
		random_bytes(&id, sizeof(id));
		id &= INT32_MAX;
	} while (id == 0 || site_find_id(site, id));
	record->export_id = id;
	random_bytes(record->key, sizeof(record->key));
	return 0;
}

/* Opened before it is written down, so that one that cannot be opened (no room
 * for its directory) is not there at the next start.  The lock is held alone:
 * nobody sees it meanwhile. */
static int guest_enter(struct site *site, const char *path,
		       struct tenant *tenant, const char *guest,
		       const struct guest_record *record)
{
	int rc = site_add_view(site, tenant, guest, record);
	struct site_view *sv;
	struct view *view;

	if (rc < 0)
		return rc;
	rc = guest_write(site, path + 1, record);
	if (rc == 0)
		return 0;
	sv = site_find_view(site, path);
	view = sv->view;
	view->removed = true;
	if (site_take_view(site, sv) < 0)
		log_warn("guest %s: no memory to forget it", path + 1);
	site_empty_view(site, view);
	drop_dirs(site, record->layer);
	return rc;
}

static int guest_add_locked(struct site *site, const char *name,
			    struct tenant *tenant, const char *guest,
			    struct guest_record *record)
{
	char path[SITE_EXPORT_PATH_MAX];
	struct site_view *old;
	int rc;

	snprintf(path, sizeof(path), "/%s", name);
	old = site_find_view(site, path);
	if (old) {
		if ((old->record.flags & ~GUEST_FLAG_PAUSED) != record->flags ||
		    !access_matches(&old->record, record))
			return log_err(-EEXIST,
				       "guest %s exists with other options",
				       name);
		return 0;
	}
	rc = access_check(site, name, record);
	if (rc == 0)
		rc = counter_next(site->kv, "layer", &record->layer);
	return rc < 0 ? rc : guest_enter(site, path, tenant, guest, record);
}

static int guest_add(struct site *site, const char *name, struct tenant *tenant,
		     const char *guest,
		     const struct site_guest_options *options)
{
	struct guest_record record = {0};
	struct image *image;
	/* What it will show: a tree may have to come from an upstream, which is
	 * not to be waited for under the lock of all look-ups. */
	int rc =
	    site_guest_image(site, tenant, NULL, &tenant->selection, &image);

	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&site->lock);
	rc = guest_fill(site, name, options, &record);
	if (rc == 0)
		rc = guest_add_locked(site, name, tenant, guest, &record);
	pthread_rwlock_unlock(&site->lock);
	image_put(image);
	return rc;
}

int site_guest_add(struct site *site, const char *name,
		   const struct site_guest_options *options)
{
	char tenant_name[PACKAGE_NAME_MAX + 1];
	struct tenant *tenant;
	const char *guest;
	int rc = site_split_name(name, tenant_name, &guest);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&site->verbs);
	rc = site_tenant(site, tenant_name, &tenant);
	if (rc == 0)
		rc = guest_add(site, name, tenant, guest, options);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- changing ------------------------------------------------------------ */

/* Give a guest another record, durably; verbs is held. */
static int guest_change(struct site *site, const char *name,
			struct site_view *sv, const struct guest_record *record)
{
	int rc = guest_write(site, name, record);

	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&site->lock);
	sv->record = *record;
	pthread_rwlock_unlock(&site->lock);
	return 0;
}

int site_guest_set_quota(struct site *site, const char *name,
			 const struct site_quota *quota)
{
	struct guest_record record;
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest_record(site, name);
	rc = sv ? 0 : -ENOENT;
	if (rc == 0) {
		record = sv->record;
		record.quota = *quota;
		rc = guest_change(site, name, sv, &record);
		if (rc == 0)
			quota_set(&sv->view->quota, quota->bytes, quota->files);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- whiteouts shown ------------------------------------------------------ */

static int guest_set_whiteouts(struct site *site, struct site_view *sv,
			       bool show)
{
	struct guest_own own = {0};
	struct guest_record record;
	struct site_move move = {.guest = sv,
				 .own = &own,
				 .record = &record,
				 .policy = SITE_POLICY_KEEP};

	if (sv->own)
		own = *sv->own;
	own.flags = show ? own.flags | IMAGE_SHOW_WHITEOUTS
			 : own.flags & ~(unsigned int)IMAGE_SHOW_WHITEOUTS;
	pthread_rwlock_rdlock(&site->lock);
	record = sv->record;
	move.tenant = site_find_tenant(site, sv->view->tenant);
	pthread_rwlock_unlock(&site->lock);
	record.flags = show ? record.flags | GUEST_FLAG_WHITEOUTS
			    : record.flags & ~GUEST_FLAG_WHITEOUTS;
	if (record.flags == sv->record.flags)
		return 0;
	return site_move(site, &move);
}

int site_guest_set_whiteouts(struct site *site, const char *name, bool show)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, name, &sv);
	if (rc == 0)
		rc = guest_set_whiteouts(site, sv, show);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

int site_guest_set_access(struct site *site, const char *name,
			  const struct site_guest_options *options, bool fresh)
{
	struct guest_record record;
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest_record(site, name);
	rc = sv ? 0 : -ENOENT;
	if (rc == 0) {
		record = sv->record;
		rc = access_fill(name, options, fresh, &record);
		if (rc == 0)
			rc = access_check(site, name, &record);
		if (rc == 0)
			rc = guest_change(site, name, sv, &record);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* What was begun before is carried out to its end. */
static int guest_settle(struct site *site, struct view *view)
{
	int rc = view_still(view);

	if (rc < 0)
		return rc;
	view_stir(view);
	view_drain(view);
	journal_drain(site->journal);
	return 0;
}

/* The record comes last of a pause and first of its end: what fails in the
 * middle leaves the guest as it was, on disk, too. */
static int guest_pause(struct site *site, const char *name,
		       struct site_view *sv, bool pause)
{
	struct guest_record record = sv->record;
	struct view *view = sv->view;
	bool was = record.flags & GUEST_FLAG_PAUSED;
	int rc = 0;

	record.flags = pause ? record.flags | GUEST_FLAG_PAUSED
			     : record.flags & ~GUEST_FLAG_PAUSED;
	if (pause) {
		__atomic_store_n(&view->paused, true, __ATOMIC_RELEASE);
		rc = guest_settle(site, view);
	}
	if (rc == 0)
		rc = guest_change(site, name, sv, &record);
	__atomic_store_n(&view->paused, rc == 0 ? pause : was,
			 __ATOMIC_RELEASE);
	return rc < 0 || pause ? rc : offline_load_guest(site, sv);
}

int site_guest_pause(struct site *site, const char *name, bool pause)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest_record(site, name);
	rc = sv ? 0 : -ENOENT;
	if (rc == 0)
		rc = guest_pause(site, name, sv, pause);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- removing ------------------------------------------------------------ */

static int guest_forget_key(void *ctx, const struct each_key *key)
{
	kv_batch_delete(ctx, key->key, key->key_len);
	return 0;
}

/* Record, counters, replies, snapshots: in one batch.  The layers go later. */
static int guest_remove_keys(struct site *site, const char *name,
			     const struct site_view *sv, struct kv_batch *batch)
{
	const struct guest_record *record = &sv->record;
	struct record_key key, prefix;
	uint64_t parent = 0;
	int rc;

	record_key_fileids(&key, record->export_id);
	kv_batch_delete(batch, key.bytes, key.len);
	record_key_replies(&prefix, record->export_id);
	rc = each_key(site->kv, &prefix, 2, guest_forget_key, batch);
	record_key_snapshot(&prefix, name, NULL);
	if (rc == 0)
		rc = each_key(site->kv, &prefix, SIZE_MAX, guest_forget_key,
			      batch);
	record_key_text(&key, 'G', name);
	kv_batch_delete(batch, key.bytes, key.len);
	record_key_text(&key, 'O', name);
	kv_batch_delete(batch, key.bytes, key.len);
	record_key_text(&key, 'W', name);
	kv_batch_delete(batch, key.bytes, key.len);
	if (rc == 0)
		rc = layer_parent(site->kv, record->layer, &parent);
	layer_put_key(batch, record->layer, parent);
	return rc < 0 ? rc : site_write(site, batch);
}

static int guest_remove(struct site *site, const char *name,
			struct site_view *sv, bool force)
{
	struct view *view = sv->view;
	struct kv_batch *batch;
	int rc;

	/* (One that is offline has a VM that waits.) */
	if (!force && !(sv->record.flags & GUEST_FLAG_PAUSED))
		return log_err(-EBUSY, "guest %s is not paused", name);
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	rc = view_still(view);
	if (rc == 0) {
		rc = guest_remove_keys(site, name, sv, batch);
		view->removed |= rc == 0;
		view_stir(view);
	}
	kv_batch_free(batch);
	if (rc < 0)
		return rc;
	view_drain(view);
	journal_drain(site->journal);
	pthread_rwlock_wrlock(&site->lock);
	rc = site_take_view(site, sv);
	pthread_rwlock_unlock(&site->lock);
	site_empty_view(site, view);
	drops_kick(site->drops);
	return rc;
}

int site_guest_remove(struct site *site, const char *name, bool force)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest_record(site, name);
	rc = sv ? 0 : -ENOENT;
	if (rc == 0)
		rc = guest_remove(site, name, sv, force);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
