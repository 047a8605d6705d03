/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_diff: what a guest's delta changes of the packages.
 *
 * The merged tree is walked twice, directory by directory: every directory of
 * the packages is compared with itself in the image, wherever it is now, so
 * one that was renamed is told once and what was changed in it under its new
 * path.  The first walk finds the objects of packages that stand where the
 * image has something else; the image then says from where they come, and
 * which of their names in the image are gone.  The second walk tells.
 *
 * view->lock is held shared for one directory at a time, and never while visit
 * runs; site->verbs over all, so layers and image stay.  Memory: the
 * directories that lie on the path of the walk, and what was moved.
 */
#include <stdio.h>

#include "depot/array.h"
#include "depot/log.h"
#include "overlay/delta_diff.h"

int diff_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* --- one object ---------------------------------------------------------- */

/* Bytes of a file in all layers. */
static int diff_bytes(struct view *view, const struct inode *inode,
		      uint64_t *bytes)
{
	struct record rec;

	*bytes = 0;
	if (!S_ISREG(inode->rec.mode))
		return 0;
	for (unsigned int i = 0; i < view->layer_count; i++) {
		int rc;

		if (i == 0 && inode->node) {
			*bytes += inode->node->rec.data.used;
			continue;
		}
		if (!idset_has(&view->layer[i]->recorded, inode->fileid))
			continue;
		rc = record_load(view->kv, view->layer[i]->id, inode->fileid,
				 &rec);
		if (rc < 0)
			return rc;
		*bytes += rec.data.used;
	}
	return 0;
}

/* How an object of the image differs from what it is there; 0: not. */
static char diff_changed(const struct diff *d, const struct inode *inode)
{
	const struct record *rec = &inode->rec;
	const struct record_data_state *data = &rec->data;
	struct tree_inode was;

	(void)image_attr(d->image, inode->image, &was);
	if (S_ISREG(rec->mode) &&
	    (data->kind != RECORD_DATA_NONE || data->lower ||
	     data->base_limit < was.size || data->size != was.size))
		return SITE_CHANGE_MODIFIED;
	if (rec->mode != was.mode || rec->uid != was.uid || rec->gid != was.gid)
		return SITE_CHANGE_META;
	if (!S_ISDIR(rec->mode) && (rec->mtime.tv_sec != was.mtime.tv_sec ||
				    rec->mtime.tv_nsec != was.mtime.tv_nsec))
		return SITE_CHANGE_META;
	return 0;
}

static void diff_judge_place(const struct diff *d, uint64_t dir,
			     const struct inode *inode, struct diff_item *item)
{
	const struct diff_move *move = NULL;
	uint32_t before = item->image ? item->image->inode : IMAGE_NONE;
	struct tree_inode was;

	if (inode->image != IMAGE_NONE)
		move = diff_move_find(d, dir, item);
	item->from = move ? move->from : NULL;
	item->kind[0] = item->image ? SITE_CHANGE_MODIFIED : SITE_CHANGE_ADDED;
	if (move && move->instead && move->from) {
		item->kind[0] = SITE_CHANGE_RENAMED;
		item->kind[1] = diff_changed(d, inode);
		before = inode->image;
	}
	if (before != IMAGE_NONE) {
		(void)image_attr(d->image, before, &was);
		item->mode_before = was.mode;
	}
}

/* A character device 0/0 of the guest's own: its overlay has deleted what is of
 * that name, in a package or in an operating system that we do not see. */
static bool diff_is_whiteout(const struct inode *inode)
{
	const struct record *rec = &inode->rec;

	return S_ISCHR(rec->mode) && rec->rdev_major == 0 &&
	       rec->rdev_minor == 0 && (inode->fileid & RECORD_BORN);
}

static void diff_judge_whiteout(const struct diff *d, struct diff_item *item)
{
	struct tree_inode was;

	item->kind[0] = SITE_CHANGE_DELETED;
	if (item->image) {
		(void)image_attr(d->image, item->image->inode, &was);
		item->mode_before = was.mode;
	}
}

/* What is to be told of an entry of the merged tree. */
static int diff_judge(struct diff *d, uint64_t dir, struct diff_item *item,
		      const struct inode *inode)
{
	struct tree_inode was;

	item->generation = inode->rec.generation;
	if (diff_is_whiteout(inode)) {
		diff_judge_whiteout(d, item);
		return 0;
	}
	if (item->image && inode->image == item->image->inode) {
		item->kind[0] = diff_changed(d, inode);
		if (!item->kind[0])
			return 0;
		(void)image_attr(d->image, inode->image, &was);
		item->mode_before = was.mode;
	} else {
		diff_judge_place(d, dir, inode, item);
	}
	item->mode = inode->rec.mode;
	item->size = inode->rec.data.size;
	return diff_bytes(d->view, inode, &item->delta_bytes);
}

/* Nothing in the delta is about the object, and it is at its place. */
static bool diff_is_plain(const struct diff *d, const struct diff_item *item)
{
	return item->image &&
	       image_inode(d->image, item->image->inode)->fileid ==
		   item->fileid &&
	       view_recorded(d->view, item->fileid) == VIEW_LAYERS_MAX &&
	       !node_find(d->view, item->fileid);
}

static int diff_look(struct diff *d, uint64_t dir, struct diff_item *item)
{
	struct inode inode;
	int rc;

	if (diff_is_plain(d, item)) {
		item->descend =
		    image_inode(d->image, item->image->inode)->parent !=
		    IMAGE_NONE;
		return 0;
	}
	rc = inode_load_id(d->view, item->fileid, &inode);
	if (rc == -ESTALE) {
		log_warn("delta %s: name \"%.*s\" without an object",
			 d->view->info.path, (int)item->name_len, item->name);
		return 0;
	}
	if (rc < 0)
		return rc;
	item->descend = S_ISDIR(inode.rec.mode);
	item->replaced = !item->image || item->image->inode != inode.image;
	item->opaque = item->descend && item->image && item->replaced;
	if (d->telling)
		return diff_judge(d, dir, item, &inode);
	if (inode.image != IMAGE_NONE &&
	    !(item->image && item->image->inode == inode.image))
		return diff_move_add(d, dir, item);
	return 0;
}

/* A name that only the image has. */
static void diff_look_gone(struct diff *d, struct diff_item *item)
{
	struct tree_inode was;

	if (!d->telling || diff_was_renamed(d, item->image))
		return;
	(void)image_attr(d->image, item->image->inode, &was);
	item->kind[0] = SITE_CHANGE_DELETED;
	item->mode_before = was.mode;
}

/* --- one directory ------------------------------------------------------- */

static int diff_item_order(const void *a, const void *b)
{
	const struct diff_item *x = a, *y = b;

	return diff_order(x->name, x->name_len, y->name, y->name_len);
}

static int frame_add(struct diff_frame *f, const struct diff_item *item)
{
	int rc = array_room(&f->items, f->count, &f->cap, sizeof(*item));

	if (rc == 0)
		f->items[f->count++] = *item;
	return rc;
}

static int frame_collect(void *ctx, const struct dir_entry *entry)
{
	struct diff_frame *f = ctx;
	struct diff_item item = {
	    .name_at = f->names_len,
	    .name_len = (uint16_t)entry->name_len,
	    .here = true,
	    .fileid = entry->fileid,
	};

	while (f->names_len + entry->name_len > f->names_cap) {
		int rc = array_room(&f->names, f->names_cap, &f->names_cap, 1);

		if (rc < 0)
			return rc;
	}
	memcpy(f->names + f->names_len, entry->name, entry->name_len);
	f->names_len += entry->name_len;
	return frame_add(f, &item);
}

/* Put the image's names beside the merged ones. */
static int frame_join(struct diff *d, struct diff_frame *f, uint32_t image)
{
	const struct image_entry *e, *end;
	size_t merged = f->count;
	int rc = 0;

	for (size_t i = 0; i < merged; i++)
		f->items[i].name = f->names + f->items[i].name_at;
	if (merged > 0)
		qsort(f->items, merged, sizeof(*f->items), diff_item_order);
	if (image == IMAGE_NONE)
		return 0;
	for (e = image_from(d->image, image, 0, &end); rc == 0 && e != end;
	     e++) {
		struct diff_item gone = {
		    .name = e->name, .name_len = e->name_len, .image = e};
		struct diff_item *item = NULL;

		if (merged > 0)
			item = bsearch(&gone, f->items, merged, sizeof(gone),
				       diff_item_order);
		if (item)
			item->image = e;
		else
			rc = frame_add(f, &gone);
	}
	if (f->count > merged)
		qsort(f->items, f->count, sizeof(*f->items), diff_item_order);
	return rc;
}

/* Look at every name; keep those of which there is something to do. */
static int frame_look(struct diff *d, struct diff_frame *f)
{
	size_t kept = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		struct diff_item *item = &f->items[i];

		if (item->here)
			rc = diff_look(d, f->dir, item);
		else
			diff_look_gone(d, item);
		if (item->kind[0] || item->descend)
			f->items[kept++] = *item;
	}
	f->count = kept;
	return rc;
}

/* A directory that is gone meanwhile has no entries. */
static int frame_fill(struct diff *d, struct diff_frame *f)
{
	struct view *view = d->view;
	struct inode dir;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load_id(view, f->dir, &dir);
	if (rc == 0)
		rc = dir_each(view, &dir, 0, frame_collect, f);
	if (rc == 0)
		rc = frame_join(d, f, f->whole ? IMAGE_NONE : dir.image);
	if (rc == 0)
		rc = frame_look(d, f);
	pthread_rwlock_unlock(&view->lock);
	return rc == -ESTALE ? 0 : rc;
}

static void frame_free(struct diff_frame *f)
{
	free(f->items);
	free(f->names);
}

/* --- the walk ------------------------------------------------------------ */

static int diff_push(struct diff *d, uint64_t dir, size_t path_len, bool whole)
{
	int rc;

	if (d->depth == DIFF_DEPTH_MAX)
		return log_err(-ELOOP, "delta %s: directories are too deep",
			       d->view->info.path);
	rc =
	    array_room(&d->frames, d->depth, &d->depth_cap, sizeof(*d->frames));
	if (rc < 0)
		return rc;
	d->frames[d->depth++] = (struct diff_frame){
	    .dir = dir, .path_len = path_len, .whole = whole};
	return frame_fill(d, &d->frames[d->depth - 1]);
}

/* The item's path, in d->path; its length, or -ENOMEM. */
static int diff_set_path(struct diff *d, size_t at,
			 const struct diff_item *item, size_t *len)
{
	*len = at + (at > 0) + item->name_len;
	while (*len + 1 > d->path_cap) {
		int rc = array_room(&d->path, d->path_cap, &d->path_cap, 1);

		if (rc < 0)
			return rc;
	}
	if (at > 0)
		d->path[at++] = '/';
	memcpy(d->path + at, item->name, item->name_len);
	d->path[*len] = '\0';
	return 0;
}

int diff_tell(struct diff *d, const struct diff_item *item, const char *path)
{
	const char *owner = NULL;
	int rc = 0;

	if (d->owners && item->kind[0])
		owner =
		    attribution_of(d->owners, item->from ? item->from : path);

	for (int i = 0; rc == 0 && i < 2 && item->kind[i]; i++) {
		struct site_delta_change change = {
		    .kind = (enum site_change)item->kind[i],
		    .path = path,
		    .from = i == 0 ? item->from : NULL,
		    .package = owner,
		    .mode_before = item->mode_before,
		    .mode = item->mode,
		    .size = item->size,
		    .delta_bytes = item->delta_bytes,
		};

		rc = d->visit(d->ctx, &change);
	}
	return rc;
}

/* The root has no name; only its attributes can differ. */
static int diff_root(struct diff *d, uint64_t root)
{
	struct diff_item item = {.fileid = root, .name = ""};
	struct inode inode;
	int rc;

	pthread_rwlock_rdlock(&d->view->lock);
	rc = inode_load_id(d->view, root, &inode);
	if (rc == 0) {
		struct tree_inode was;

		(void)image_attr(d->image, IMAGE_ROOT, &was);
		item.kind[0] = diff_changed(d, &inode);
		item.mode_before = was.mode;
		item.mode = inode.rec.mode;
		item.generation = inode.rec.generation;
		item.descend = true;
	}
	pthread_rwlock_unlock(&d->view->lock);
	return rc < 0 || !item.kind[0] ? rc : d->tell(d, &item, "");
}

static int diff_walk(struct diff *d, uint64_t root, bool telling)
{
	int rc = 0;

	d->telling = telling;
	if (telling)
		rc = diff_root(d, root);
	if (rc == 0)
		rc = diff_push(d, root, 0, false);
	while (rc == 0 && d->depth > 0) {
		struct diff_frame *f = &d->frames[d->depth - 1];
		const struct diff_item *item;
		bool whole;
		size_t len;

		if (f->next == f->count) {
			frame_free(f);
			d->depth--;
			continue;
		}
		item = &f->items[f->next++];
		whole = d->by_path && (f->whole || item->replaced);
		rc = site_goes_on(d->site);
		if (rc == 0)
			rc = diff_set_path(d, f->path_len, item, &len);
		if (rc == 0 && item->kind[0])
			rc = d->tell(d, item, d->path);
		if (rc == 0 && item->descend)
			rc = diff_push(d, item->fileid, len, whole);
	}
	while (d->depth > 0)
		frame_free(&d->frames[--d->depth]);
	return rc;
}

static void diff_free(struct diff *d)
{
	for (size_t i = 0; i < d->move_count; i++) {
		free(d->moves[i].name);
		free(d->moves[i].from);
	}
	for (size_t i = 0; i < d->place_count; i++)
		free(d->places[i].path);
	free(d->moves);
	free(d->places);
	free(d->frames);
	free(d->path);
}

int diff_run(struct diff *d)
{
	uint64_t root = view_root(d->view).fileid;
	int rc = 0;

	d->image = d->view->image;
	if (!d->by_path)
		rc = diff_walk(d, root, false);
	if (rc == 0 && !d->by_path)
		rc = diff_match_moves(d);
	if (rc == 0)
		rc = diff_walk(d, root, true);
	diff_free(d);
	return rc;
}

int site_delta_diff(struct site *site, const char *guest,
		    int (*visit)(void *ctx, const struct site_delta_change *),
		    void *ctx)
{
	struct diff d = {
	    .site = site, .tell = diff_tell, .visit = visit, .ctx = ctx};
	struct attribution owners = {.count = 0};
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = site_attribution(site, guest, sv, &owners);
	if (rc == 0) {
		d.view = sv->view;
		d.owners = &owners;
		rc = diff_run(&d);
	}
	pthread_mutex_unlock(&site->verbs);
	attribution_clear(&owners);
	return rc;
}
