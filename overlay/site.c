/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site: the tables of tenants and views of this host.  Guests are made and
 * unmade in site_guest.c, their deltas change in site_delta.c.
 */
#include <stdio.h>
#include <unistd.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/site_offline.h"
#include "overlay/site_own.h"

/* --- look-ups ------------------------------------------------------------ */

struct tenant *site_find_tenant(struct site *site, const char *name)
{
	for (unsigned int i = 0; i < site->tenant_count; i++)
		if (strcmp(site->tenants[i]->name, name) == 0)
			return site->tenants[i];
	return NULL;
}

int site_tenant(struct site *site, const char *name, struct tenant **tenant)
{
	*tenant = site_find_tenant(site, name);
	return *tenant ? offline_load_tenant(site, *tenant)
		       : log_err(-ENOENT, "no tenant \"%s\"", name);
}

struct site_view *site_find_view(struct site *site, const char *path)
{
	for (unsigned int i = 0; i < site->view_count; i++)
		if (strcmp(site->views[i].view->info.path, path) == 0)
			return &site->views[i];
	return NULL;
}

/* Where an export id is in by_id, or would go.  Ids are random. */
static unsigned int site_id_slot(const struct site *site, uint32_t export_id)
{
	unsigned int mask = site->by_id_size - 1;
	unsigned int at = (export_id * 2654435761u >> 7) & mask;

	while (site->by_id[at] && site->by_id[at]->info.export_id != export_id)
		at = (at + 1) & mask;
	return at;
}

struct view *site_find_id(struct site *site, uint32_t export_id)
{
	return site->by_id_size > 0 ? site->by_id[site_id_slot(site, export_id)]
				    : NULL;
}

struct view *site_view_by_id(struct site *site, uint32_t export_id)
{
	struct view *view;

	pthread_rwlock_rdlock(&site->lock);
	view = site_find_id(site, export_id);
	pthread_rwlock_unlock(&site->lock);
	return view;
}

struct view *site_view_by_path(struct site *site, const char *path)
{
	struct view *view = NULL;
	struct site_view *found;

	pthread_rwlock_rdlock(&site->lock);
	found = site_find_view(site, path);
	if (found) /* the table may move when the lock is dropped */
		view = found->view;
	pthread_rwlock_unlock(&site->lock);
	return view;
}

/* --- tables -------------------------------------------------------------- */

static int site_add_tenant(struct site *site, struct tenant *tenant)
{
	struct tenant **bigger;
	unsigned int at = site->tenant_count;

	if (at == SITE_TENANTS_MAX)
		return log_err(-ENOSPC, "more than %d tenants",
			       SITE_TENANTS_MAX);
	bigger = realloc(site->tenants, (at + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	site->tenants = bigger;
	for (; at > 0 && strcmp(bigger[at - 1]->name, tenant->name) > 0; at--)
		bigger[at] = bigger[at - 1];
	bigger[at] = tenant;
	site->tenant_count++;
	return 0;
}

/* Enter all views in a table of `size` slots. */
static int site_hash_ids(struct site *site, unsigned int size)
{
	struct view **fresh = calloc(size, sizeof(struct view *));

	if (!fresh)
		return -ENOMEM;
	free(site->by_id);
	site->by_id = fresh;
	site->by_id_size = size;
	for (unsigned int i = 0; i < site->view_count; i++) {
		struct view *view = site->views[i].view;

		fresh[site_id_slot(site, view->info.export_id)] = view;
	}
	return 0;
}

static int site_room_for_view(struct site *site)
{
	struct site_view *views;

	if (site->view_count == SITE_VIEWS_MAX)
		return log_err(-ENOSPC, "more than %d guests", SITE_VIEWS_MAX);
	views = realloc(site->views, (site->view_count + 1) * sizeof(*views));
	if (!views)
		return -ENOMEM;
	site->views = views;
	if (2 * (site->view_count + 1) > site->by_id_size)
		return site_hash_ids(site, MAX(64u, 2 * site->by_id_size));
	return 0;
}

/* Its own packages, and what its record asks of its image; NULL: nothing. */
static int site_own_of(struct site *site, const struct tenant *tenant,
		       const char *guest, const struct guest_record *record,
		       struct guest_own **own)
{
	char name[SITE_EXPORT_PATH_MAX];
	unsigned int flags = 0;
	int rc;

	if (record->flags & GUEST_FLAG_WHITEOUTS)
		flags = IMAGE_SHOW_WHITEOUTS;
	snprintf(name, sizeof(name), "%s/%s", tenant->name, guest);
	*own = malloc(sizeof(**own));
	rc = *own ? own_load(site->kv, name, flags, *own) : -ENOMEM;
	if (rc == 0 && (flags || (*own)->count > 0))
		return 0;
	free(*own);
	*own = NULL;
	return rc;
}

/* What it shows, and its delta. */
static int site_view_open(struct site *site, struct tenant *tenant,
			  const struct guest_own *own, struct view_open *open,
			  struct view **view)
{
	struct image *image;
	int rc = -EIO;

	if (tenant->past)
		rc = site_guest_image(site, tenant, own, &tenant->selection,
				      &image);
	if (rc < 0)
		return rc;
	rc = view_open(open, image, view);
	image_put(image);
	return rc;
}

/* What stands for one that could not be opened; *why: the caller's. */
static int site_view_offline(const struct tenant *tenant,
			     struct view_open *open, struct view **view,
			     char **why)
{
	struct image *image;
	int rc = offline_image(tenant, &image);

	*why = strdup(tenant->past ? log_last_error() : tenant->why);
	if (rc < 0)
		return rc;
	log_warn("guest %s/%s is offline; others are served", tenant->name,
		 open->guest);
	open->offline = true;
	rc = *why ? view_open(open, image, view) : -ENOMEM;
	image_put(image);
	return rc;
}

int site_add_view(struct site *site, struct tenant *tenant, const char *guest,
		  const struct guest_record *record)
{
	struct view_open open = {
	    .depot = site->depot,
	    .journal = site->journal,
	    .layers = site->layers,
	    .lives = &site->lives,
	    .starts = site->starts,
	    .tenant_quota = &tenant->quota,
	    .past = tenant->past,
	    .layer = record->layer,
	    .since = record->since,
	    .paused = record->flags & GUEST_FLAG_PAUSED,
	    .tenant = tenant->name,
	    .guest = guest,
	};
	unsigned int at = site->view_count;
	CLEANUP_FREE struct guest_own *own = NULL;
	CLEANUP_FREE char *why = NULL;
	struct view *view;
	int rc = site_room_for_view(site);

	if (rc == 0)
		rc = site_own_of(site, tenant, guest, record, &own);
	if (rc < 0)
		return rc;
	open.info.export_id = record->export_id;
	memcpy(open.info.key, record->key, SIPHASH_KEY_LEN);
	open.info.allow_devices = record->flags & GUEST_FLAG_DEVICES;
	open.info.root_squash = record->flags & GUEST_FLAG_SQUASH;
	snprintf(open.info.path, sizeof(open.info.path), "/%s/%s", tenant->name,
		 guest);
	/* 64 random bits and the boot counter: distinct in every life. */
	random_bytes(&open.info.verifier, sizeof(open.info.verifier));
	open.info.verifier ^= site->boot;
	rc = site_view_open(site, tenant, own, &open, &view);
	if (offline_may_be(site, rc))
		rc = site_view_offline(tenant, &open, &view, &why);
	if (rc < 0)
		return rc;
	quota_set(&view->quota, record->quota.bytes, record->quota.files);
	for (; at > 0 &&
	       strcmp(site->views[at - 1].view->info.path, view->info.path) > 0;
	     at--)
		site->views[at] = site->views[at - 1];
	site->views[at] =
	    (struct site_view){view, *record, STEAL(own), STEAL(why)};
	site->view_count++;
	site->by_id[site_id_slot(site, record->export_id)] = view;
	return 0;
}

int site_take_view(struct site *site, struct site_view *sv)
{
	struct view **bigger = realloc(
	    site->removed, (site->removed_count + 1) * sizeof(struct view *));

	if (!bigger)
		return -ENOMEM;
	site->removed = bigger;
	site->removed[site->removed_count++] = sv->view;
	free(sv->own);
	free(sv->why);
	memmove(sv, sv + 1,
		(size_t)(site->views + site->view_count - sv - 1) *
		    sizeof(*sv));
	site->view_count--;
	return site_hash_ids(site, site->by_id_size);
}

/* --- opening ------------------------------------------------------------- */

bool site_view_is_of(const struct view *view, const struct tenant *tenant)
{
	return strcmp(view->tenant, tenant->name) == 0;
}

static void tenant_free(struct tenant *tenant)
{
	if (!tenant)
		return;
	site_images_free(tenant);
	past_free(tenant->past);
	free(tenant->why);
	free(tenant);
}

/* Value of a tenant: format 1 lacks the quota. */
enum {
	TENANT_FORMAT = 2,
	TENANT_LEN_1 = 1 + SIPHASH_KEY_LEN,
	TENANT_LEN = TENANT_LEN_1 + 16,
};

static void tenant_encode(const struct tenant *tenant, uint8_t out[TENANT_LEN])
{
	out[0] = TENANT_FORMAT;
	memcpy(out + 1, tenant->key, SIPHASH_KEY_LEN);
	le64_put(out + TENANT_LEN_1, tenant->quota.bytes_max);
	le64_put(out + TENANT_LEN_1 + 8, tenant->quota.files_max);
}

static int tenant_decode(const uint8_t *value, size_t len,
			 struct tenant *tenant)
{
	if (value[0] > TENANT_FORMAT)
		return record_newer("tenant record", value[0], TENANT_FORMAT);
	if (len != (size_t)(value[0] == 1 ? TENANT_LEN_1 : TENANT_LEN))
		return log_err(-EBADMSG, "state: damaged record of tenant %s",
			       tenant->name);
	memcpy(tenant->key, value + 1, SIPHASH_KEY_LEN);
	if (value[0] > 1)
		quota_set(&tenant->quota, le64_get(value + TENANT_LEN_1),
			  le64_get(value + TENANT_LEN_1 + 8));
	return 0;
}

int site_load_past(struct site *site, struct tenant *tenant)
{
	struct image *image;
	int rc =
	    site_guest_image(site, tenant, NULL, &tenant->selection, &image);

	if (rc < 0)
		return rc;
	rc = past_open(site->depot, tenant->name, tenant->key, image,
		       &tenant->selection.since, &tenant->past);
	image_put(image);
	return rc;
}

/* While the site is opened, a tenant that cannot be served is no error. */
static int site_load_tenant_past(struct site *site, struct tenant *tenant)
{
	int rc = site_load_past(site, tenant);

	if (!offline_may_be(site, rc))
		return rc;
	tenant->why = strdup(log_last_error());
	log_warn("tenant %s is offline; others are served", tenant->name);
	return tenant->why ? 0 : -ENOMEM;
}

static int site_load_tenant(struct site *site, const char *name,
			    const uint8_t *value, size_t len)
{
	struct tenant *tenant = calloc(1, sizeof(*tenant));
	int rc;

	if (!tenant)
		return -ENOMEM;
	snprintf(tenant->name, sizeof(tenant->name), "%s", name);
	rc = tenant_decode(value, len, tenant);
	if (rc == 0)
		rc = selection_load(site->kv, name, &tenant->selection);
	if (rc == 0)
		rc = site_load_tenant_past(site, tenant);
	if (rc == 0)
		rc = site_add_tenant(site, tenant);
	if (rc < 0)
		tenant_free(tenant);
	return rc;
}

static int site_load_guest(struct site *site, const char *name,
			   const uint8_t *value, size_t len)
{
	const char *slash = strchr(name, '/');
	char tenant_name[PACKAGE_NAME_MAX + 1];
	struct guest_record record;
	struct tenant *tenant = NULL;
	int rc = guest_decode(value, len, &record);

	if (rc < 0)
		return rc;
	if (slash && slash - name <= PACKAGE_NAME_MAX) {
		snprintf(tenant_name, sizeof(tenant_name), "%.*s",
			 (int)(slash - name), name);
		tenant = site_find_tenant(site, tenant_name);
	}
	if (!tenant)
		return log_err(-EBADMSG, "state: guest %s has no tenant", name);
	return site_add_view(site, tenant, slash + 1, &record);
}

typedef int site_load_fn(struct site *site, const char *name,
			 const uint8_t *value, size_t len);

struct site_load {
	struct site *site;
	site_load_fn *load;
};

static int site_load_visit(void *ctx, const struct each_key *key)
{
	const struct site_load *l = ctx;
	char name[RECORD_KEY_MAX];

	if (key->rest_len >= sizeof(name) || key->value_len == 0)
		return log_err(-EBADMSG, "state: damaged key");
	memcpy(name, key->rest, key->rest_len);
	name[key->rest_len] = '\0';
	return l->load(l->site, name, key->value, key->value_len);
}

/* Call `load` for each key with a one-letter prefix. */
static int site_load_all(struct site *site, char letter, site_load_fn *load)
{
	struct site_load l = {site, load};
	struct record_key prefix;

	record_key_text(&prefix, letter, "");
	return each_key(site->kv, &prefix, SIZE_MAX, site_load_visit, &l);
}

/*
 * A write that had failed, and was answered so, is in the database after all:
 * sets and tables in memory are no longer what it says.  Whoever starts us
 * again reads it anew.
 */
static void site_recovered(void *ctx, bool exact)
{
	(void)ctx;
	if (exact)
		return;
	log_err(-EIO, "state: a write that had failed is there after the "
		      "recovery: ending, to read everything again");
	_exit(1);
}

int site_open(struct depot *depot, struct site **site)
{
	struct site *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->depot = depot;
	s->kv = depot_state(depot);
	pthread_rwlock_init(&s->lock, NULL);
	pthread_mutex_init(&s->verbs, NULL);
	kv_on_recover(s->kv, site_recovered, NULL);
	rc = journal_new(s->kv, &s->journal);
	if (rc == 0)
		rc = layers_new(depot, &s->layers);
	if (rc == 0)
		rc = counter_next(s->kv, "boot", &s->boot);
	/* The disk is full: the verifiers' random bits must do. */
	if (rc == 0 || kv_is_full(rc))
		rc = lives_begin(s->kv, (uint32_t)s->boot, rc == 0, &s->lives);
	if (rc == 0)
		rc = starts_new(depot, 0, &s->starts);
	if (rc == 0)
		rc = site_load_all(s, 'A', site_load_tenant);
	if (rc == 0)
		rc = site_load_all(s, 'G', site_load_guest);
	if (rc == 0)
		rc = drops_new(s, &s->drops);
	s->open = true;
	if (rc == 0)
		rc = offline_new(s, &s->offline);
	if (rc < 0)
		site_close(s);
	else
		*site = s;
	return rc;
}

/* Files with bytes that were never synced make it no orderly end. */
static void site_end_life(struct site *site)
{
	int rc = site->lives.now > 0 ? lives_end(site->kv, &site->lives) : 0;

	if (rc == 0 && site->lives.now > 0)
		rc = kv_sync_log(site->kv);
	if (rc < 0)
		log_warn("the end of this life could not be recorded");
}

void site_close(struct site *site)
{
	if (!site)
		return;
	offline_free(site->offline);
	drops_free(site->drops);
	if (site->starts)
		starts_stop(site->starts);
	if (site->journal)
		site_quiesce(site);
	for (unsigned int i = 0; i < site->view_count; i++) {
		view_close(site->views[i].view);
		free(site->views[i].own);
		free(site->views[i].why);
	}
	for (unsigned int i = 0; i < site->removed_count; i++)
		view_close(site->removed[i]);
	for (unsigned int i = 0; i < site->tenant_count; i++)
		tenant_free(site->tenants[i]);
	for (unsigned int i = 0; i < site->gone_count; i++)
		tenant_free(site->gone[i]);
	starts_free(site->starts);
	site_end_life(site);
	journal_free(site->journal);
	layers_free(site->layers);
	free(site->tenants);
	free(site->gone);
	free(site->views);
	free(site->removed);
	free(site->by_id);
	pthread_mutex_destroy(&site->verbs);
	pthread_rwlock_destroy(&site->lock);
	free(site);
}

void site_save_starts(struct site *site)
{
	starts_save(site->starts);
}

void site_quiesce(struct site *site)
{
	for (unsigned int i = 0; i < site->view_count; i++)
		view_drain(site->views[i].view);
	for (unsigned int i = 0; i < site->removed_count; i++)
		view_drain(site->removed[i]);
	journal_drain(site->journal);
	for (unsigned int i = 0; i < site->view_count; i++)
		view_drain(site->views[i].view);
	for (unsigned int i = 0; i < site->removed_count; i++)
		view_drain(site->removed[i]);
}

/* --- operators' changes -------------------------------------------------- */

int site_write(struct site *site, struct kv_batch *batch)
{
	int rc = kv_write(site->kv, batch);

	return rc < 0 ? rc : kv_sync_log(site->kv);
}

static int site_put_tenant(struct site *site, const struct tenant *tenant,
			   const struct selection *selection)
{
	struct kv_batch *batch = kv_batch_new();
	uint8_t value[TENANT_LEN];
	struct record_key key;
	int rc;

	if (!batch)
		return -ENOMEM;
	tenant_encode(tenant, value);
	record_key_text(&key, 'A', tenant->name);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
	if (selection)
		selection_put(batch, tenant->name, selection);
	rc = site_write(site, batch);
	kv_batch_free(batch);
	return rc;
}

int site_make_tenant(struct site *site, const char *name, const uint8_t *key,
		     const struct selection *selection,
		     const struct site_quota *quota)
{
	struct tenant fresh = {0};
	uint8_t value[TENANT_LEN];
	int rc;

	snprintf(fresh.name, sizeof(fresh.name), "%s", name);
	if (key)
		memcpy(fresh.key, key, SIPHASH_KEY_LEN);
	else
		random_bytes(fresh.key, SIPHASH_KEY_LEN);
	if (quota)
		quota_set(&fresh.quota, quota->bytes, quota->files);
	rc = site_put_tenant(site, &fresh, selection);
	tenant_encode(&fresh, value);
	return rc < 0 ? rc : site_load_tenant(site, name, value, sizeof(value));
}

int site_tenant_create(struct site *site, const char *name)
{
	return site_tenant_create_with(site, name, NULL);
}

int site_tenant_create_with(struct site *site, const char *name,
			    const struct site_quota *quota)
{
	int rc = 0;

	if (!depot_name_ok(name))
		return log_err(-EINVAL, "\"%s\" is no name for a tenant", name);
	pthread_mutex_lock(&site->verbs);
	pthread_rwlock_wrlock(&site->lock);
	if (!site_find_tenant(site, name))
		rc = site_make_tenant(site, name, NULL, NULL, quota);
	pthread_rwlock_unlock(&site->lock);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

int site_tenant_set_quota(struct site *site, const char *name,
			  const struct site_quota *quota)
{
	struct tenant *tenant;
	struct tenant next;
	int rc;

	pthread_mutex_lock(&site->verbs);
	pthread_rwlock_wrlock(&site->lock);
	tenant = site_find_tenant(site, name);
	if (tenant) {
		next = *tenant;
		quota_set(&next.quota, quota->bytes, quota->files);
		rc = site_put_tenant(site, &next, NULL);
		if (rc == 0)
			quota_set(&tenant->quota, quota->bytes, quota->files);
	} else {
		rc = log_err(-ENOENT, "no tenant \"%s\"", name);
	}
	pthread_rwlock_unlock(&site->lock);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

int site_check_entitled(struct site *site, const char *tenant,
			const struct selection *selection)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < selection->count; i++)
		rc = depot_package_permits(site->depot, &selection->package[i],
					   tenant);
	return rc;
}

/* --- listings ------------------------------------------------------------ */

int site_tenant_list(struct site *site,
		     int (*visit)(void *ctx, const struct site_tenant_info *),
		     void *ctx)
{
	struct site_tenant_info *info = calloc(1, sizeof(*info));
	int rc = 0;

	if (!info)
		return -ENOMEM;
	pthread_rwlock_rdlock(&site->lock);
	for (unsigned int i = 0; i < site->tenant_count && rc == 0; i++) {
		const struct tenant *t = site->tenants[i];

		snprintf(info->name, sizeof(info->name), "%s", t->name);
		info->generation = t->selection.generation;
		info->package_count = t->selection.count;
		memcpy(info->package, t->selection.package,
		       sizeof(info->package));
		info->quota.bytes = t->quota.bytes_max;
		info->quota.files = t->quota.files_max;
		info->delta_bytes = t->quota.bytes;
		info->delta_files = t->quota.files;
		info->offline = t->why;
		info->guests = 0;
		for (unsigned int v = 0; v < site->view_count; v++)
			info->guests += site_view_is_of(site->views[v].view, t);
		rc = visit(ctx, info);
	}
	pthread_rwlock_unlock(&site->lock);
	free(info);
	return rc;
}

static void site_fill_guest(struct site *site, struct site_view *sv,
			    struct site_guest_info *info)
{
	struct view *view = sv->view;
	struct tenant *tenant = site_find_tenant(site, view->tenant);

	memset(info, 0, sizeof(*info));
	memcpy(info->tenant, view->tenant, sizeof(info->tenant));
	memcpy(info->guest, view->guest, sizeof(info->guest));
	access_of_record(&sv->record, &info->access);
	info->generation = tenant->selection.generation;
	info->allow_devices = view->info.allow_devices;
	info->root_squash = view->info.root_squash;
	info->show_whiteouts = sv->record.flags & GUEST_FLAG_WHITEOUTS;
	info->paused = sv->record.flags & GUEST_FLAG_PAUSED;
	info->offline = sv->why;
	info->tenant_offline = tenant->why;
	info->quota = sv->record.quota;
	pthread_rwlock_rdlock(&view->lock);
	info->delta_bytes = view->quota.bytes;
	info->delta_files = view->quota.files;
	info->layers = view->layer_count;
	pthread_rwlock_unlock(&view->lock);
}

int site_guest_list(struct site *site,
		    int (*visit)(void *ctx, const struct site_guest_info *),
		    void *ctx)
{
	int rc = 0;

	pthread_rwlock_rdlock(&site->lock);
	for (unsigned int i = 0; i < site->view_count && rc == 0; i++) {
		struct site_guest_info info;

		site_fill_guest(site, &site->views[i], &info);
		rc = visit(ctx, &info);
	}
	pthread_rwlock_unlock(&site->lock);
	return rc;
}
