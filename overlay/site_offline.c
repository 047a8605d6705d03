/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_offline: see site_offline.h.  Trees are fetched while no lock is held:
 * an upstream that does not answer must not keep operators from others'.
 */
#include "overlay/site_offline.h"

#include <stdio.h>

#include "depot/array.h"
#include "depot/clock.h"
#include "depot/log.h"
#include "overlay/each.h"

enum { OFFLINE_RETRY_MAX_MS = 300000 };

struct offline {
	struct site *site;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop, kicked; /* guarded by lock */
};

bool offline_may_be(const struct site *site, int rc)
{
	return rc < 0 && rc != -ENOMEM && rc != -EPROTONOSUPPORT && !site->open;
}

int offline_image(const struct tenant *tenant, struct image **image)
{
	return image_new(NULL, 0, 0, tenant->key, &tenant->selection.since,
			 NULL, NULL, image);
}

/* --- loading again -------------------------------------------------------- */

/* Listings borrow the reason. */
static void offline_no_more(struct site *site, char **why)
{
	pthread_rwlock_wrlock(&site->lock);
	free(STEAL(*why));
	pthread_rwlock_unlock(&site->lock);
}

/* What its guests share. */
static int offline_load_past(struct site *site, struct tenant *tenant)
{
	int rc = tenant->past ? 0 : site_load_past(site, tenant);

	if (rc == 0)
		offline_no_more(site, &tenant->why);
	return rc;
}

/* Its tenant is loaded. */
static int offline_load_view(struct site *site, struct tenant *tenant,
			     struct site_view *sv)
{
	struct view *view = sv->view;
	struct image *image;
	int rc;

	if (!view_is_offline(view))
		return 0;
	rc =
	    site_guest_image(site, tenant, sv->own, &tenant->selection, &image);
	if (rc < 0)
		return rc;
	rc = view_go_online(view, sv->record.layer, image, tenant->past);
	image_put(image);
	if (rc < 0)
		return rc;
	offline_no_more(site, &sv->why);
	log_info("guest %s is served again", view->info.path + 1);
	return 0;
}

/* The reason has been logged; who it is about comes in front of it. */
static int offline_still(int rc, const char *what, const char *name)
{
	char reason[512];

	if (rc == 0 || rc == -ENOMEM)
		return rc;
	snprintf(reason, sizeof(reason), "%s", log_last_error());
	log_err(0, "%s %s is offline: %s", what, name, reason);
	return -EHOSTDOWN;
}

static void offline_kick(struct offline *offline)
{
	pthread_mutex_lock(&offline->lock);
	offline->kicked = true;
	pthread_cond_signal(&offline->wake);
	pthread_mutex_unlock(&offline->lock);
}

int offline_load_tenant(struct site *site, struct tenant *tenant)
{
	int rc;

	if (tenant->past)
		return 0;
	rc = offline_load_past(site, tenant);
	if (rc == 0)
		offline_kick(site->offline);
	return offline_still(rc, "tenant", tenant->name);
}

int offline_load_guests(struct site *site, struct tenant *tenant)
{
	int rc = 0;

	if (!site->offline) /* nothing was missing */
		return 0;
	for (unsigned int i = 0; i < site->view_count; i++) {
		struct site_view *sv = &site->views[i];
		int now = 0;

		if (site_view_is_of(sv->view, tenant))
			now = offline_load_guest(site, sv);
		rc = rc < 0 ? rc : now;
	}
	return rc;
}

int offline_load_guest(struct site *site, struct site_view *sv)
{
	struct view *view = sv->view;
	struct tenant *tenant;
	int rc;

	if (!view_is_offline(view))
		return 0;
	tenant = site_find_tenant(site, view->tenant);
	rc = offline_load_past(site, tenant);
	if (rc == 0)
		rc = offline_load_view(site, tenant, sv);
	return offline_still(rc, "guest", view->info.path + 1);
}

/* --- looking for what is missing ------------------------------------------ */

/* What one tenant, or one guest, waits for. */
struct offline_want {
	char name[SITE_EXPORT_PATH_MAX]; /* TENANT or TENANT/GUEST */
	uint64_t layer;                  /* a guest's */
	struct digest *trees;            /* owns */
	size_t count, cap;
	bool missing;
};

struct offline_wants {
	struct offline_want *want; /* owns; tenants first */
	size_t count, cap, tenants;
};

static void wants_clear(struct offline_wants *wants)
{
	for (size_t i = 0; i < wants->count; i++)
		free(wants->want[i].trees);
	free(wants->want);
}

static int want_tree(struct offline_want *want, const struct digest *tree)
{
	for (size_t i = 0; i < want->count; i++)
		if (digest_equal(&want->trees[i], tree))
			return 0;
	if (array_room(&want->trees, want->count, &want->cap,
		       sizeof(*want->trees)) < 0)
		return -ENOMEM;
	want->trees[want->count++] = *tree;
	return 0;
}

static int wants_add(struct offline_wants *wants, const char *name,
		     uint64_t layer, const struct package_info *package,
		     unsigned int count)
{
	struct offline_want *want;
	int rc = array_room(&wants->want, wants->count, &wants->cap,
			    sizeof(*wants->want));

	if (rc < 0)
		return rc;
	want = &wants->want[wants->count++];
	*want = (struct offline_want){.layer = layer};
	snprintf(want->name, sizeof(want->name), "%s", name);
	for (unsigned int i = 0; rc == 0 && i < count; i++)
		rc = want_tree(want, &package[i].tree);
	return rc;
}

static int wants_gather(struct site *site, struct offline_wants *wants)
{
	int rc = 0;

	*wants = (struct offline_wants){0};
	pthread_mutex_lock(&site->verbs);
	for (unsigned int i = 0; rc == 0 && i < site->tenant_count; i++) {
		const struct tenant *t = site->tenants[i];

		if (!t->past)
			rc = wants_add(wants, t->name, 0, t->selection.package,
				       t->selection.count);
	}
	wants->tenants = wants->count;
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++) {
		const struct site_view *sv = &site->views[i];

		if (view_is_offline(sv->view))
			rc = wants_add(wants, sv->view->info.path + 1,
				       sv->record.layer,
				       sv->own ? sv->own->package : NULL,
				       sv->own ? sv->own->count : 0);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* A guest cannot be had without its tenant. */
static bool wants_in_vain(const struct offline_wants *wants, size_t i)
{
	for (size_t t = 0; i >= wants->tenants && t < wants->tenants; t++) {
		size_t len = strlen(wants->want[t].name);

		if (wants->want[t].missing && wants->want[i].name[len] == '/' &&
		    strncmp(wants->want[t].name, wants->want[i].name, len) == 0)
			return true;
	}
	return false;
}

static int want_base(void *ctx, const struct each_key *key)
{
	struct record rec;
	int rc = record_decode(key->value, key->value_len, &rec);

	return rc < 0 || !rec.has_base || rec.gone
		   ? rc
		   : want_tree(ctx, &rec.base_tree);
}

/* What its delta has changed; it changes no more while it is offline. */
static int want_bases(struct site *site, struct offline_want *want)
{
	uint64_t layer = want->layer;
	struct record_key prefix;
	int rc = 0;

	while (rc == 0 && layer != 0) {
		record_key_kind(&prefix, layer, 'i');
		rc = each_scanned(site->kv, &prefix, 8, want_base, want);
		if (rc == 0)
			rc = layer_parent(site->kv, layer, &layer);
	}
	return rc;
}

/* Are its trees all here now?  Blocks on the network; no lock is held. */
static int want_fetch(struct site *site, struct offline_want *want)
{
	int rc = want_bases(site, want);

	for (size_t i = 0; rc == 0 && i < want->count; i++) {
		struct tree *tree;

		rc = depot_tree_get(site->depot, &want->trees[i], &tree);
		if (rc == -ENOENT || rc == -EBADMSG)
			rc = depot_tree_fetch(site->depot, &want->trees[i],
					      &tree);
		if (rc == 0)
			tree_put(tree);
	}
	return rc;
}

/* It may have been removed meanwhile, or loaded by a command. */
static int want_load(struct site *site, const struct offline_want *want)
{
	char path[SITE_EXPORT_PATH_MAX + 1];
	struct tenant *tenant;
	struct site_view *sv;
	int rc = 0;

	snprintf(path, sizeof(path), "/%s", want->name);
	pthread_mutex_lock(&site->verbs);
	tenant = site_find_tenant(site, want->name);
	sv = site_find_view(site, path);
	if (tenant)
		rc = offline_load_tenant(site, tenant);
	else if (sv)
		rc = offline_load_guest(site, sv);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* false: nothing is missing any more. */
static bool offline_round(struct offline *offline)
{
	struct offline_wants wants;
	int rc = wants_gather(offline->site, &wants);
	bool missing = rc < 0;

	for (size_t i = 0; i < wants.count; i++) {
		struct offline_want *want = &wants.want[i];

		want->missing = wants_in_vain(&wants, i) ||
				want_fetch(offline->site, want) < 0 ||
				want_load(offline->site, want) < 0;
		missing |= want->missing;
	}
	wants_clear(&wants);
	return missing;
}

static void *offline_run(void *arg)
{
	struct offline *offline = arg;
	uint64_t wait_ms = OFFLINE_RETRY_MS;
	bool missing = true;

	pthread_mutex_lock(&offline->lock);
	while (missing && !offline->stop) {
		struct timespec until = clock_after_ms(wait_ms);

		while (!offline->stop && !offline->kicked &&
		       pthread_cond_timedwait(&offline->wake, &offline->lock,
					      &until) == 0)
			;
		if (offline->stop)
			break;
		offline->kicked = false;
		pthread_mutex_unlock(&offline->lock);
		missing = offline_round(offline);
		wait_ms = MIN(2 * wait_ms, (uint64_t)OFFLINE_RETRY_MAX_MS);
		pthread_mutex_lock(&offline->lock);
	}
	pthread_mutex_unlock(&offline->lock);
	return NULL;
}

static bool offline_any(struct site *site)
{
	bool any = false;

	for (unsigned int i = 0; i < site->tenant_count; i++)
		any |= !site->tenants[i]->past;
	for (unsigned int i = 0; i < site->view_count; i++)
		any |= view_is_offline(site->views[i].view);
	return any;
}

int offline_new(struct site *site, struct offline **offline)
{
	pthread_condattr_t attr;
	struct offline *o;
	int rc;

	*offline = NULL;
	if (!offline_any(site))
		return 0;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->site = site;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->wake, &attr);
	pthread_condattr_destroy(&attr);
	*offline = o; /* the thread looks at it */
	rc = -pthread_create(&o->thread, NULL, offline_run, o);
	if (rc == 0)
		return 0;
	*offline = NULL;
	free(o);
	return log_err(rc, "no thread to look for missing trees");
}

void offline_free(struct offline *offline)
{
	if (!offline)
		return;
	pthread_mutex_lock(&offline->lock);
	offline->stop = true;
	pthread_cond_signal(&offline->wake);
	pthread_mutex_unlock(&offline->lock);
	pthread_join(offline->thread, NULL);
	pthread_cond_destroy(&offline->wake);
	pthread_mutex_destroy(&offline->lock);
	free(offline);
}
