/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_profile: profiles are put onto guests and taken off.  One that is on a
 * guest is a package of its own list, in front of its tenant's; its delta is
 * moved to the image with it as to that of any other selection (site_move), so
 * taking it off gives what was before.
 */
#include <stdio.h>
#include <time.h>

#include "depot/array.h"
#include "depot/log.h"
#include "overlay/delta_diff.h"
#include "overlay/site_own.h"

/* --- on and off ----------------------------------------------------------- */

static int profile_switch(struct site *site, struct site_view *sv,
			  const struct guest_own *own,
			  struct site_profile_how *how)
{
	struct site_move move = {.guest = sv,
				 .own = own,
				 .policy = how->policy,
				 .dry_run = how->dry_run,
				 .conflict = how->conflict,
				 .ctx = how->ctx};
	int rc;

	pthread_rwlock_rdlock(&site->lock);
	move.tenant = site_find_tenant(site, sv->view->tenant);
	pthread_rwlock_unlock(&site->lock);
	rc = site_move(site, &move);
	how->conflicts = move.conflicts;
	how->kept = move.kept;
	how->superseded = move.superseded;
	how->restored = move.restored;
	return rc;
}

/* Where a profile of this name is in the list; its count: nowhere. */
static unsigned int profile_at(const struct guest_own *own, const char *name)
{
	unsigned int at = 0;

	while (at < own->count && strcmp(own->package[at].name, name) != 0)
		at++;
	return at;
}

/* Another revision takes the place of the one that is there; a new one goes in
 * front: the last applied wins. */
static int profile_enter(struct guest_own *own,
			 const struct package_info *profile)
{
	unsigned int at = profile_at(own, profile->name);

	if (at < own->count) {
		own->package[at] = *profile;
		return 0;
	}
	if (own->count == GUEST_OWN_MAX)
		return log_err(-ENOSPC, "a guest has at most %d profiles",
			       GUEST_OWN_MAX);
	memmove(own->package + 1, own->package,
		own->count * sizeof(*own->package));
	own->package[0] = *profile;
	own->count++;
	return 0;
}

static void profile_leave(struct guest_own *own, unsigned int at)
{
	own->count--;
	memmove(own->package + at, own->package + at + 1,
		(own->count - at) * sizeof(*own->package));
}

/* The guest's list, to be changed; the caller's.  NULL: no memory. */
static struct guest_own *profile_list(const struct site_view *sv)
{
	struct guest_own *own = calloc(1, sizeof(*own));

	if (own && sv->own)
		*own = *sv->own;
	return own;
}

static int profile_apply(struct site *site, struct site_view *sv,
			 const struct package_info *profile,
			 struct site_profile_how *how)
{
	CLEANUP_FREE struct guest_own *own = profile_list(sv);
	unsigned int at;
	int rc = own ? 0 : -ENOMEM;

	if (rc == 0)
		rc = depot_package_permits(site->depot, profile,
					   sv->view->tenant);
	if (rc == 0) {
		at = profile_at(own, profile->name);
		how->changed = at == own->count ||
			       !digest_equal(&own->package[at].revision,
					     &profile->revision);
		rc = profile_enter(own, profile);
	}
	if (rc == 0 && how->changed)
		rc = profile_switch(site, sv, own, how);
	return rc;
}

int site_profile_apply(struct site *site, const char *guest,
		       const struct package_info *profile,
		       struct site_profile_how *how)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = profile_apply(site, sv, profile, how);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

static int profile_detach(struct site *site, const char *guest,
			  struct site_view *sv, const char *name,
			  struct site_profile_how *how)
{
	CLEANUP_FREE struct guest_own *own = profile_list(sv);
	unsigned int at;

	if (!own)
		return -ENOMEM;
	at = profile_at(own, name);
	if (at == own->count)
		return log_err(-ESRCH, "guest %s has no profile %s", guest,
			       name);
	how->changed = true;
	profile_leave(own, at);
	return profile_switch(site, sv, own, how);
}

int site_profile_detach(struct site *site, const char *guest, const char *name,
			struct site_profile_how *how)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = profile_detach(site, guest, sv, name, how);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- what it would meet --------------------------------------------------- */

/* A change of the guest's own. */
struct profile_change {
	char *path; /* owns */
	char kind;
};

struct profile_look {
	const struct image *image; /* borrows */
	struct tree *tree;
	const struct site_profile_base *base; /* sorted by path */
	size_t base_count;
	struct profile_change *changes; /* owns; sorted by path */
	size_t change_count, change_cap;
	int (*visit)(void *ctx, const struct site_profile_path *path);
	void *ctx;
};

static int look_note(void *ctx, const struct site_delta_change *change)
{
	struct profile_look *look = ctx;
	int rc = array_room(&look->changes, look->change_count,
			    &look->change_cap, sizeof(*look->changes));

	if (rc < 0)
		return rc;
	look->changes[look->change_count] = (struct profile_change){
	    .path = strdup(change->path), .kind = (char)change->kind};
	return look->changes[look->change_count++].path ? 0 : -ENOMEM;
}

static int look_order(const void *a, const void *b)
{
	const struct profile_change *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static char look_guest(const struct profile_look *look, const char *path)
{
	struct profile_change key = {.path = (char *)(uintptr_t)path};
	const struct profile_change *found = NULL;

	if (look->change_count > 0)
		found = bsearch(&key, look->changes, look->change_count,
				sizeof(key), look_order);
	return found ? found->kind : 0;
}

static const struct site_profile_base *
look_base(const struct profile_look *look, const char *path)
{
	size_t low = 0, count = look->base_count;

	while (count > 0) {
		size_t half = count / 2;
		int order = strcmp(look->base[low + half].path, path);

		if (order == 0)
			return &look->base[low + half];
		if (order < 0) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return NULL;
}

/* What the image has at a path; IMAGE_NONE: nothing. */
static uint32_t look_image(const struct image *image, const char *path)
{
	uint32_t at = IMAGE_ROOT;

	while (*path && at != IMAGE_NONE) {
		size_t len = strcspn(path, "/");
		const struct image_entry *entry =
		    at == IMAGE_ROOT ||
			    image_inode(image, at)->parent != IMAGE_NONE
			? image_lookup(image, at, path, len)
			: NULL;

		at = entry ? entry->inode : IMAGE_NONE;
		path += len + (path[len] == '/');
	}
	return at;
}

/* Content and attributes are the id's; of what is there and what is to come. */
static void look_compare(const struct profile_look *look,
			 const struct tree_inode *mine,
			 struct site_profile_path *p)
{
	const struct site_profile_base *base = look_base(look, p->path);
	uint32_t at = look_image(look->image, p->path);
	struct tree_inode now = {.id = 0};

	if (at != IMAGE_NONE)
		(void)image_attr(look->image, at, &now);
	p->now_mode = now.mode;
	if (base)
		p->kind = base->kind;
	p->differs = now.id != (base ? base->id : 0) &&
		     !(mine && mine->id == now.id) && (mine || now.id);
	/* A directory of the same kind on both sides is merged. */
	if (!base && mine && S_ISDIR(mine->mode) && S_ISDIR(now.mode) &&
	    !mine->opaque)
		p->differs = false;
}

static int look_visit(void *ctx, const char *path,
		      const struct tree_entry *entry UNUSED, uint32_t number)
{
	struct profile_look *look = ctx;
	struct site_profile_path p = {.path = path, .kind = SITE_CHANGE_ADDED};
	struct tree_inode mine;

	if (number == TREE_WHITEOUT) {
		p.kind = SITE_CHANGE_DELETED;
		look_compare(look, NULL, &p);
		p.kind = SITE_CHANGE_DELETED;
	} else {
		tree_inode_get(look->tree, number, &mine);
		if (tree_inode_is_implied(&mine) && !look_base(look, path))
			return 0;
		p.mode = mine.mode;
		look_compare(look, &mine, &p);
	}
	p.guest = (enum site_change)look_guest(look, path);
	return look->visit(look->ctx, &p);
}

static int look_run(struct site *site, const char *guest,
		    const struct package_info *profile,
		    struct profile_look *look)
{
	struct diff d = {
	    .site = site, .tell = diff_tell, .visit = look_note, .ctx = look};
	struct site_view *sv;
	int rc = site_guest(site, guest, &sv);

	if (rc < 0)
		return rc;
	rc = depot_tree_get(site->depot, &profile->tree, &look->tree);
	if (rc < 0)
		return log_err(rc, "profile %s: its tree", profile->name);
	d.view = sv->view;
	look->image = sv->view->image;
	rc = diff_run(&d);
	if (look->change_count > 0)
		qsort(look->changes, look->change_count, sizeof(*look->changes),
		      look_order);
	if (rc == 0)
		rc = tree_walk(look->tree, look_visit, look);
	tree_put(look->tree);
	return rc;
}

int site_profile_look(
    struct site *site, const char *guest, const struct package_info *profile,
    const struct site_profile_base *base, size_t base_count,
    int (*visit)(void *ctx, const struct site_profile_path *path), void *ctx)
{
	struct profile_look look = {
	    .base = base, .base_count = base_count, .visit = visit, .ctx = ctx};
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = look_run(site, guest, profile, &look);
	pthread_mutex_unlock(&site->verbs);
	for (size_t i = 0; i < look.change_count; i++)
		free(look.changes[i].path);
	free(look.changes);
	return rc;
}
