/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_offline: see site_offline.h.  Trees are fetched while no lock is held:
 * an upstream that does not answer must not keep operators from others'.
 */
#include "overlay/site_offline.h"

#include <stdio.h>

#include "depot/clock.h"
#include "depot/log.h"

enum { OFFLINE_RETRY_MAX_MS = 300000 };

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

int offline_load_tenant(struct site *site, struct tenant *tenant)
{
	int rc, first;

	if (!site->offline) /* nothing was missing */
		return 0;
	rc = first = offline_load_past(site, tenant);
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++) {
		struct site_view *sv = &site->views[i];
		int now = 0;

		if (site_view_is_of(sv->view, tenant))
			now = offline_load_view(site, tenant, sv);
		first = first < 0 ? first : now;
	}
	return offline_still(first, "tenant", tenant->name);
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

struct offline {
	struct site *site;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop; /* guarded by lock */
};

/* What one tenant, or one guest with a list of its own, waits for. */
struct offline_want {
	char name[SITE_EXPORT_PATH_MAX]; /* TENANT or TENANT/GUEST */
	bool guest;
	unsigned int count;
	struct digest trees[IMAGE_TREES_MAX];
};

struct offline_wants {
	struct offline_want *want; /* owns */
	unsigned int count;
};

/* Room for one more; NULL: no memory. */
static struct offline_want *wants_add(struct offline_wants *wants,
				      const char *name, bool guest)
{
	struct offline_want *more =
	    reallocarray(wants->want, wants->count + 1, sizeof(*wants->want));
	struct offline_want *want;

	if (!more)
		return NULL;
	wants->want = more;
	want = &more[wants->count++];
	memset(want, 0, sizeof(*want));
	snprintf(want->name, sizeof(want->name), "%s", name);
	want->guest = guest;
	return want;
}

static int wants_tenant(struct offline_wants *wants,
			const struct tenant *tenant)
{
	const struct selection *selection = &tenant->selection;
	struct offline_want *want;

	if (tenant->past)
		return 0;
	want = wants_add(wants, tenant->name, false);
	if (!want)
		return -ENOMEM;
	for (unsigned int i = 0; i < selection->count; i++)
		want->trees[want->count++] = selection->package[i].tree;
	return 0;
}

static int wants_guest(struct offline_wants *wants, const struct site_view *sv)
{
	const struct guest_own *own = sv->own;
	struct offline_want *want;

	if (!view_is_offline(sv->view))
		return 0;
	want = wants_add(wants, sv->view->info.path + 1, true);
	if (!want)
		return -ENOMEM;
	for (unsigned int i = 0; own && i < own->count; i++)
		want->trees[want->count++] = own->package[i].tree;
	return 0;
}

/* Tenants first: a guest cannot be had without its own. */
static int wants_gather(struct site *site, struct offline_wants *wants)
{
	int rc = 0;

	*wants = (struct offline_wants){0};
	pthread_mutex_lock(&site->verbs);
	for (unsigned int i = 0; rc == 0 && i < site->tenant_count; i++)
		rc = wants_tenant(wants, site->tenants[i]);
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++)
		rc = wants_guest(wants, &site->views[i]);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* Are its trees all here now?  Blocks on the network. */
static bool want_fetch(struct site *site, const struct offline_want *want)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < want->count; i++) {
		struct tree *tree;

		rc = depot_tree_get(site->depot, &want->trees[i], &tree);
		if (rc == -ENOENT || rc == -EBADMSG)
			rc = depot_tree_fetch(site->depot, &want->trees[i],
					      &tree);
		if (rc == 0)
			tree_put(tree);
	}
	return rc == 0;
}

/* It may have been removed meanwhile, or loaded by a command. */
static int want_load(struct site *site, const struct offline_want *want)
{
	char path[SITE_EXPORT_PATH_MAX + 1];
	struct tenant *tenant;
	struct site_view *sv;
	int rc = 0;

	pthread_mutex_lock(&site->verbs);
	if (want->guest) {
		snprintf(path, sizeof(path), "/%s", want->name);
		sv = site_find_view(site, path);
		if (sv)
			rc = offline_load_guest(site, sv);
	} else {
		tenant = site_find_tenant(site, want->name);
		if (tenant)
			rc = offline_load_tenant(site, tenant);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* false: nothing is missing any more. */
static bool offline_round(struct offline *offline)
{
	struct offline_wants wants;
	int rc = wants_gather(offline->site, &wants);
	bool missing = rc < 0;

	for (unsigned int i = 0; i < wants.count; i++)
		missing |= !want_fetch(offline->site, &wants.want[i]) ||
			   want_load(offline->site, &wants.want[i]) < 0;
	free(wants.want);
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

		while (!offline->stop &&
		       pthread_cond_timedwait(&offline->wake, &offline->lock,
					      &until) == 0)
			;
		if (offline->stop)
			break;
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
	rc = -pthread_create(&o->thread, NULL, offline_run, o);
	if (rc < 0) {
		free(o);
		return log_err(rc, "no thread to look for missing trees");
	}
	*offline = o;
	return 0;
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
