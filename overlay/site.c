/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site: the tables of tenants and views of this host.
 *
 * site->lock guards the tables; it is shared by look-ups and held alone while
 * state changes (operators' commands, a few a second at most).  Tenants and
 * views are never freed before site_close, so a look-up's result stays good.
 */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/selection.h"
#include "overlay/view_impl.h"

enum { SITE_VIEWS_MAX = 65536, SITE_TENANTS_MAX = 16384 };

struct site_view {
	struct view *view; /* owns */
	struct guest_record record;
};

struct tenant {
	char name[PACKAGE_NAME_MAX + 1];
	uint8_t key[SIPHASH_KEY_LEN]; /* of its inode numbers */
	struct selection selection;
	struct image *image; /* ref */
};

struct site {
	struct depot *depot; /* borrows */
	struct kv *kv;       /* borrows */
	struct journal *journal;
	uint64_t boot; /* this life's number */
	pthread_rwlock_t lock;
	/* guarded by lock: */
	struct tenant **tenants; /* owns; sorted by name */
	unsigned int tenant_count;
	struct site_view *views; /* owns; sorted by path */
	unsigned int view_count;
	struct view **by_id; /* borrows; by export id */
	uint32_t by_id_count;
};

/* --- look-ups ------------------------------------------------------------ */

static struct tenant *site_find_tenant(struct site *site, const char *name)
{
	for (unsigned int i = 0; i < site->tenant_count; i++)
		if (strcmp(site->tenants[i]->name, name) == 0)
			return site->tenants[i];
	return NULL;
}

static struct site_view *site_find_view(struct site *site, const char *path)
{
	for (unsigned int i = 0; i < site->view_count; i++)
		if (strcmp(site->views[i].view->info.path, path) == 0)
			return &site->views[i];
	return NULL;
}

struct view *site_view_by_id(struct site *site, uint32_t export_id)
{
	struct view *view = NULL;

	pthread_rwlock_rdlock(&site->lock);
	if (export_id < site->by_id_count)
		view = site->by_id[export_id];
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

static int site_room_for_view(struct site *site, uint32_t export_id)
{
	struct site_view *views;
	struct view **by_id;
	uint32_t count = MAX(site->by_id_count, export_id + 1);

	if (export_id >= SITE_VIEWS_MAX)
		return log_err(-ENOSPC, "more than %d guests", SITE_VIEWS_MAX);
	views = realloc(site->views, (site->view_count + 1) * sizeof(*views));
	if (!views)
		return -ENOMEM;
	site->views = views;
	by_id = realloc(site->by_id, count * sizeof(struct view *));
	if (!by_id)
		return -ENOMEM;
	for (uint32_t i = site->by_id_count; i < count; i++)
		by_id[i] = NULL;
	site->by_id = by_id;
	site->by_id_count = count;
	return 0;
}

/* Open a guest's view and enter it in the tables. */
static int site_add_view(struct site *site, struct tenant *tenant,
			 const char *guest, const struct guest_record *record)
{
	struct view_open open = {
	    .depot = site->depot,
	    .journal = site->journal,
	    .layer = record->layer,
	    .tenant = tenant->name,
	    .guest = guest,
	};
	unsigned int at = site->view_count;
	struct view *view;
	int rc = site_room_for_view(site, record->export_id);

	if (rc < 0)
		return rc;
	open.info.export_id = record->export_id;
	memcpy(open.info.key, record->key, SIPHASH_KEY_LEN);
	open.info.allow_devices = record->flags & GUEST_FLAG_DEVICES;
	open.info.root_squash = record->flags & GUEST_FLAG_SQUASH;
	memcpy(open.info.addr, record->addr, sizeof(open.info.addr));
	snprintf(open.info.path, sizeof(open.info.path), "/%s/%s", tenant->name,
		 guest);
	/* 64 random bits and the boot counter: distinct in every life. */
	random_bytes(&open.info.verifier, sizeof(open.info.verifier));
	open.info.verifier ^= site->boot;
	rc = view_open(&open, tenant->image, &view);
	if (rc < 0)
		return rc;
	for (; at > 0 &&
	       strcmp(site->views[at - 1].view->info.path, view->info.path) > 0;
	     at--)
		site->views[at] = site->views[at - 1];
	site->views[at] = (struct site_view){view, *record};
	site->view_count++;
	site->by_id[record->export_id] = view;
	return 0;
}

/* --- opening ------------------------------------------------------------- */

static void tenant_free(struct tenant *tenant)
{
	if (tenant)
		image_put(tenant->image);
	free(tenant);
}

static int site_load_tenant(struct site *site, const char *name,
			    const uint8_t *value, size_t len)
{
	struct tenant *tenant;
	int rc;

	if (len != 1 + SIPHASH_KEY_LEN || value[0] != RECORD_FORMAT)
		return log_err(value[0] > RECORD_FORMAT ? -EPROTONOSUPPORT
							: -EBADMSG,
			       "state: record of tenant %s", name);
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return -ENOMEM;
	snprintf(tenant->name, sizeof(tenant->name), "%s", name);
	memcpy(tenant->key, value + 1, SIPHASH_KEY_LEN);
	rc = selection_load(site->kv, name, &tenant->selection);
	if (rc == 0)
		rc = selection_image(site->depot, &tenant->selection,
				     tenant->key, NULL, NULL, &tenant->image);
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

/* Call `load` for each key with a one-letter prefix. */
static int site_load_all(struct site *site, char prefix,
			 int (*load)(struct site *, const char *,
				     const uint8_t *, size_t))
{
	struct kv_iter *it = kv_iter_new(site->kv, &prefix, 1, NULL, 0);
	int rc = 0;

	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		char name[RECORD_KEY_MAX];
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		if (key_len > sizeof(name) || len == 0) {
			rc = log_err(-EBADMSG, "state: damaged key");
			break;
		}
		memcpy(name, key + 1, key_len - 1);
		name[key_len - 1] = '\0';
		rc = load(site, name, value, len);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
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
	rc = journal_new(s->kv, &s->journal);
	if (rc == 0)
		rc = counter_next(s->kv, "boot", &s->boot);
	if (rc == 0)
		rc = site_load_all(s, 'A', site_load_tenant);
	if (rc == 0)
		rc = site_load_all(s, 'G', site_load_guest);
	if (rc < 0)
		site_close(s);
	else
		*site = s;
	return rc;
}

void site_close(struct site *site)
{
	if (!site)
		return;
	if (site->journal)
		site_quiesce(site);
	for (unsigned int i = 0; i < site->view_count; i++)
		view_close(site->views[i].view);
	for (unsigned int i = 0; i < site->tenant_count; i++)
		tenant_free(site->tenants[i]);
	journal_free(site->journal);
	free(site->tenants);
	free(site->views);
	free(site->by_id);
	pthread_rwlock_destroy(&site->lock);
	free(site);
}

void site_quiesce(struct site *site)
{
	for (unsigned int i = 0; i < site->view_count; i++)
		view_drain(site->views[i].view);
	journal_drain(site->journal);
	for (unsigned int i = 0; i < site->view_count; i++)
		view_drain(site->views[i].view);
}

/* --- operators' changes -------------------------------------------------- */

static int site_write(struct site *site, struct kv_batch *batch)
{
	int rc = kv_write(site->kv, batch);

	return rc < 0 ? rc : kv_sync_log(site->kv);
}

static int site_put(struct site *site, char prefix, const char *name,
		    const void *value, size_t len)
{
	struct kv_batch *batch = kv_batch_new();
	struct record_key key;
	int rc;

	if (!batch)
		return -ENOMEM;
	record_key_text(&key, prefix, name);
	kv_batch_put(batch, key.bytes, key.len, value, len);
	rc = site_write(site, batch);
	kv_batch_free(batch);
	return rc;
}

static int site_tenant_create_locked(struct site *site, const char *name)
{
	uint8_t value[1 + SIPHASH_KEY_LEN] = {RECORD_FORMAT};
	int rc;

	if (site_find_tenant(site, name))
		return 0;
	random_bytes(value + 1, SIPHASH_KEY_LEN);
	rc = site_put(site, 'A', name, value, sizeof(value));
	return rc < 0 ? rc : site_load_tenant(site, name, value, sizeof(value));
}

int site_tenant_create(struct site *site, const char *name)
{
	int rc;

	if (!depot_name_ok(name))
		return log_err(-EINVAL, "\"%s\" is no name for a tenant", name);
	pthread_rwlock_wrlock(&site->lock);
	rc = site_tenant_create_locked(site, name);
	pthread_rwlock_unlock(&site->lock);
	return rc;
}

/* Counts conflicts on their way to the caller. */
struct assign_conflicts {
	site_conflict_fn *conflict;
	void *ctx;
	unsigned int count;
};

static void assign_conflict(void *ctx, const char *what)
{
	struct assign_conflicts *c = ctx;

	c->count++;
	if (c->conflict)
		c->conflict(c->ctx, what);
}

static bool view_is_of(const struct view *view, const struct tenant *tenant)
{
	return strcmp(view->tenant, tenant->name) == 0;
}

/* Would every guest's delta still stand on the new image? */
static int assign_check_guests(struct site *site, struct tenant *tenant,
			       struct image *image, struct assign_conflicts *c)
{
	int rc = 0;

	for (unsigned int i = 0; i < site->view_count && rc == 0; i++) {
		struct view *view = site->views[i].view;

		if (!view_is_of(view, tenant))
			continue;
		rc = view_switch_check(view, image, assign_conflict, c);
		if (rc == -EEXIST)
			rc = 0; /* told; all guests' are listed */
	}
	return rc;
}

static int assign_commit(struct site *site, struct tenant *tenant,
			 const struct selection *selection, struct image *image)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	selection_put(batch, tenant->name, selection);
	rc = site_write(site, batch);
	kv_batch_free(batch);
	if (rc < 0)
		return rc;
	tenant->selection = *selection;
	image_put(tenant->image);
	tenant->image = image_get(image);
	for (unsigned int i = 0; i < site->view_count; i++)
		if (view_is_of(site->views[i].view, tenant))
			view_switch(site->views[i].view, image);
	return 0;
}

static int assign_locked(struct site *site, struct tenant *tenant,
			 struct selection *next, bool take_order,
			 struct assign_conflicts *c)
{
	struct assign_conflicts paths = *c;
	struct image *image = NULL;
	int rc;

	if (tenant->selection.generation > 0 &&
	    selection_same(&tenant->selection, next))
		return 0;
	next->generation = tenant->selection.generation + 1;
	next->since = time_after(&tenant->selection.since);
	rc = selection_image(site->depot, next, tenant->key, assign_conflict,
			     &paths, &image);
	if (rc == 0)
		rc = assign_check_guests(site, tenant, image, c);
	if (rc == 0 && c->count > 0)
		rc = log_err(-EEXIST,
			     "%u changes of guests of tenant %s are over files "
			     "that the new selection lacks",
			     c->count, tenant->name);
	if (rc == 0 && paths.count > 0 && !take_order)
		rc = log_err(-EEXIST,
			     "%u paths are in two packages with different "
			     "content",
			     paths.count);
	if (rc == 0)
		rc = assign_commit(site, tenant, next, image);
	image_put(image);
	return rc;
}

int site_tenant_assign(struct site *site, const char *tenant_name,
		       const struct package_info *packages, unsigned int count,
		       bool take_order, site_conflict_fn *conflict, void *ctx,
		       uint32_t *generation)
{
	struct assign_conflicts c = {conflict, ctx, 0};
	struct selection *next;
	struct tenant *tenant;
	int rc;

	if (count > SITE_SELECTION_MAX)
		return log_err(-EINVAL, "a selection has at most %d packages",
			       SITE_SELECTION_MAX);
	next = calloc(1, sizeof(*next));
	if (!next)
		return -ENOMEM;
	next->count = count;
	if (count > 0)
		memcpy(next->package, packages, count * sizeof(*packages));
	pthread_rwlock_wrlock(&site->lock);
	tenant = site_find_tenant(site, tenant_name);
	if (!tenant)
		rc = log_err(-ENOENT, "no tenant \"%s\"", tenant_name);
	else
		rc = assign_locked(site, tenant, next, take_order, &c);
	*generation = tenant ? tenant->selection.generation : 0;
	pthread_rwlock_unlock(&site->lock);
	free(next);
	return rc;
}

static int guest_add_locked(struct site *site, const char *name,
			    struct tenant *tenant, const char *guest,
			    struct guest_record *record)
{
	char path[SITE_EXPORT_PATH_MAX];
	uint8_t value[RECORD_KEY_MAX];
	struct site_view *old;
	uint64_t export_id, layer;
	int rc;

	snprintf(path, sizeof(path), "/%s", name);
	old = site_find_view(site, path);
	if (old) {
		if (old->record.flags != record->flags ||
		    strcmp(old->record.addr, record->addr) != 0)
			return log_err(-EEXIST,
				       "guest %s exists with other options",
				       name);
		return 0;
	}
	rc = counter_next(site->kv, "export", &export_id);
	if (rc == 0)
		rc = counter_next(site->kv, "layer", &layer);
	if (rc < 0)
		return rc;
	record->export_id = (uint32_t)export_id;
	record->layer = layer;
	random_bytes(record->key, sizeof(record->key));
	rc = site_put(site, 'G', name, value, guest_encode(record, value));
	return rc < 0 ? rc : site_add_view(site, tenant, guest, record);
}

int site_guest_add(struct site *site, const char *name,
		   const struct site_guest_options *options)
{
	const char *slash = strchr(name, '/');
	char tenant_name[PACKAGE_NAME_MAX + 1] = "";
	struct guest_record record = {0};
	struct tenant *tenant;
	int rc;

	if (slash && slash - name <= PACKAGE_NAME_MAX)
		snprintf(tenant_name, sizeof(tenant_name), "%.*s",
			 (int)(slash - name), name);
	if (!depot_name_ok(tenant_name) || !depot_name_ok(slash + 1))
		return log_err(-EINVAL, "\"%s\" is no TENANT/GUEST", name);
	record.flags = (options->allow_devices ? GUEST_FLAG_DEVICES : 0) |
		       (options->root_squash ? GUEST_FLAG_SQUASH : 0);
	if (options->addr &&
	    snprintf(record.addr, sizeof(record.addr), "%s", options->addr) >=
		(int)sizeof(record.addr))
		return log_err(-EINVAL, "guest %s: address is too long", name);
	pthread_rwlock_wrlock(&site->lock);
	tenant = site_find_tenant(site, tenant_name);
	rc = tenant ? guest_add_locked(site, name, tenant, slash + 1, &record)
		    : log_err(-ENOENT, "no tenant \"%s\"", tenant_name);
	pthread_rwlock_unlock(&site->lock);
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
		info->guests = 0;
		for (unsigned int v = 0; v < site->view_count; v++)
			info->guests += view_is_of(site->views[v].view, t);
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
	memcpy(info->addr, sv->record.addr, sizeof(info->addr));
	info->export_id = sv->record.export_id;
	info->generation = tenant->selection.generation;
	info->allow_devices = view->info.allow_devices;
	info->root_squash = view->info.root_squash;
	pthread_rwlock_rdlock(&view->lock);
	info->delta_bytes = view->delta_bytes;
	info->delta_files = view->recorded.count;
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
