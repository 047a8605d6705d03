/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_read: a delta path by path, with the bytes of its files, as a tree is
 * made from.
 *
 * What is read stands still: the delta is frozen first (or a snapshot is taken
 * as it is), and a view of nobody's, with an empty layer of its own on top, is
 * opened over it.  site->verbs is held throughout, so no layer is merged, no
 * image switched.  The view's own layer is never named in the database: after a
 * crash its empty directory is all that is left.
 */
#include <stdio.h>

#include "depot/array.h"
#include "depot/clock.h"
#include "depot/log.h"
#include "overlay/delta_diff.h"

enum {
	READ_STEP = 256 << 10, /* bytes of a file in one READ */
	READ_LOOK_MS = 200,    /* is the daemon ending? */
};

/* Where a file with several names was told. */
struct read_link {
	uint64_t fileid;
	char *path; /* owns */
};

struct reading {
	struct site *site;
	struct site_view *sv;
	struct view *view;  /* owns */
	struct layer *top;  /* ref */
	struct quota quota; /* of nobody */
	uint64_t frozen, top_id;
	struct attribution owners;
	struct read_link *links; /* owns; sorted by fileid */
	size_t link_count, link_cap;
	int (*visit)(void *ctx, const struct site_object *object);
	void *ctx;
};

/* --- waiting for bytes --------------------------------------------------- */

struct read_wait {
	struct view_wait wait;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken;
};

static void read_wake(struct view_wait *wait)
{
	struct read_wait *w = container_of(wait, struct read_wait, wait);

	pthread_mutex_lock(&w->lock);
	w->woken = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* -ECANCELED (logged): the daemon is ending, and nothing will wake `w`. */
static int read_sleep(const struct site *site, struct read_wait *w)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->woken && rc == 0) {
		struct timespec until = clock_after_ms(READ_LOOK_MS);

		pthread_cond_clockwait(&w->cond, &w->lock, CLOCK_MONOTONIC,
				       &until);
		if (!w->woken)
			rc = site_goes_on(site);
	}
	pthread_mutex_unlock(&w->lock);
	if (rc < 0 && view_wait_cancel(&w->wait))
		return rc;
	pthread_mutex_lock(&w->lock);
	while (!w->woken) /* it is certain to come */
		pthread_cond_wait(&w->cond, &w->lock);
	w->woken = false;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* One READ, and what came of it to `take`; *len: in, out. */
static int read_piece(const struct site_object *object, uint64_t off,
		      size_t *len, struct read_wait *w, site_take_fn *take,
		      void *ctx)
{
	static const struct view_cred root = {0, 0, {0}, 0};
	struct view_object obj = {object->attr.fileid, object->attr.generation};
	struct view_read read = {.iov_count = 0};
	int rc = site_goes_on(object->site);

	while (rc == 0 && (rc = view_read(object->view, &root, obj, off, *len,
					  &w->wait, &read)) == -EINPROGRESS)
		rc = read_sleep(object->site, w);
	*len = 0;
	for (unsigned int i = 0; rc == 0 && i < read.iov_count; i++) {
		rc = take(ctx, read.iov[i].iov_base, read.iov[i].iov_len);
		*len += read.iov[i].iov_len;
	}
	view_read_release(&read, &w->wait);
	return rc;
}

int site_object_data(const struct site_object *object, site_take_fn *take,
		     void *ctx)
{
	struct read_wait w = {.wait = {.wake = read_wake}};
	uint64_t off = 0;
	int rc = 0;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.cond, NULL);
	view_wait_init(&w.wait);
	while (rc == 0 && off < object->attr.size) {
		size_t len = MIN((uint64_t)READ_STEP, object->attr.size - off);

		rc = read_piece(object, off, &len, &w, take, ctx);
		off += len;
		if (rc == 0 && len == 0)
			rc = log_err(-EIO, "delta %s: %s is cut short",
				     object->view->info.path, object->path);
	}
	pthread_cond_destroy(&w.cond);
	pthread_mutex_destroy(&w.lock);
	return rc;
}

/* --- other names of files ------------------------------------------------ */

static size_t read_link_at(const struct reading *r, uint64_t fileid)
{
	size_t low = 0, count = r->link_count;

	while (count > 0) {
		size_t half = count / 2;

		if (r->links[low + half].fileid < fileid) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

/* The path under which the file was told before; else it is noted. */
static int read_link(struct reading *r, const struct view_attr *attr,
		     const char *path, const char **link)
{
	size_t at = read_link_at(r, attr->fileid);
	int rc;

	*link = NULL;
	if (S_ISDIR(attr->mode) || attr->nlink < 2)
		return 0;
	if (at < r->link_count && r->links[at].fileid == attr->fileid) {
		*link = r->links[at].path;
		return 0;
	}
	rc = array_room(&r->links, r->link_count, &r->link_cap,
			sizeof(*r->links));
	if (rc < 0)
		return rc;
	memmove(r->links + at + 1, r->links + at,
		(r->link_count - at) * sizeof(*r->links));
	r->links[at] = (struct read_link){attr->fileid, strdup(path)};
	r->link_count++;
	return r->links[at].path ? 0 : -ENOMEM;
}

/* --- one object ---------------------------------------------------------- */

static int read_here(struct reading *r, const struct diff_item *item,
		     const char *path, char *target, struct site_object *object)
{
	struct view_object obj = {item->fileid, item->generation};
	int rc = view_getattr(r->view, obj, &object->attr);

	if (rc == 0)
		rc = read_link(r, &object->attr, path, &object->link);
	if (rc < 0 || !S_ISLNK(object->attr.mode))
		return rc;
	rc = view_readlink(r->view, obj, target, &object->target_len,
			   &object->attr);
	object->target = target;
	return rc;
}

static int read_tell(struct diff *d, const struct diff_item *item,
		     const char *path)
{
	struct reading *r = d->ctx;
	char target[VIEW_SYMLINK_MAX + 1];
	struct site_object object = {
	    .kind = (enum site_change)item->kind[0],
	    .path = path,
	    .package = attribution_of(&r->owners, path),
	    .mode_before = item->mode_before,
	    .opaque = item->opaque,
	    .view = r->view,
	    .site = r->site,
	};
	struct tree_inode was;
	int rc = 0;

	if (item->image) {
		(void)image_attr(d->image, item->image->inode, &was);
		object.base_id = was.id;
	}
	if (object.kind != SITE_CHANGE_DELETED)
		rc = read_here(r, item, path, target, &object);
	return rc < 0 ? rc : r->visit(r->ctx, &object);
}

/* --- the view of nobody's ------------------------------------------------ */

static int read_frozen(void *ctx, struct kv_batch *batch UNUSED,
		       uint64_t frozen)
{
	*(uint64_t *)ctx = frozen;
	return 0;
}

static int read_open(struct reading *r)
{
	const struct view *of = r->sv->view;
	struct view_open open = {
	    .depot = r->site->depot,
	    .journal = r->site->journal,
	    .layers = r->site->layers,
	    .lives = &r->site->lives,
	    .tenant_quota = &r->quota,
	    .past = of->past,
	    .since = of->since,
	    .tenant = of->tenant,
	    .guest = of->guest,
	};
	int rc = counter_next(r->site->kv, "layer", &r->top_id);

	if (rc == 0)
		rc = layer_new(r->site->layers, r->top_id, r->frozen, &r->top);
	if (rc < 0)
		return rc;
	memcpy(open.info.path, of->info.path, sizeof(open.info.path));
	open.layer = r->top_id;
	return view_open(&open, of->image, &r->view);
}

static void read_close(struct reading *r)
{
	view_close(r->view);
	layer_put(r->site->layers, r->top);
	if (r->top_id)
		drop_dirs(r->site, r->top_id);
	for (size_t i = 0; i < r->link_count; i++)
		free(r->links[i].path);
	free(r->links);
	attribution_clear(&r->owners);
}

static int read_run(struct reading *r, const char *guest, const char *snapshot)
{
	struct diff d = {
	    .site = r->site, .tell = read_tell, .ctx = r, .by_path = true};
	int rc = site_guest(r->site, guest, &r->sv);

	if (rc < 0)
		return rc;
	rc = snapshot
		 ? delta_find_snapshot(r->site, guest, snapshot, &r->frozen)
		 : delta_freeze(r->site, guest, r->sv, read_frozen, &r->frozen);
	if (rc < 0 || r->frozen == 0)
		return rc;
	rc = site_attribution(r->site, guest, r->sv, &r->owners);
	if (rc == 0)
		rc = read_open(r);
	d.view = r->view;
	return rc < 0 ? rc : diff_run(&d);
}

int site_delta_objects(
    struct site *site, const char *guest, const char *snapshot,
    int (*visit)(void *ctx, const struct site_object *object), void *ctx)
{
	struct reading *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->site = site;
	r->visit = visit;
	r->ctx = ctx;
	pthread_mutex_lock(&site->verbs);
	rc = read_run(r, guest, snapshot);
	read_close(r);
	pthread_mutex_unlock(&site->verbs);
	free(r);
	return rc;
}
