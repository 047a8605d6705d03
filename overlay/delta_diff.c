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

#include "depot/log.h"
#include "overlay/site_impl.h"

enum { DIFF_DEPTH_MAX = 4 * TREE_DEPTH_MAX }; /* guests move directories */

/* A package's object at a place that the image does not give it. */
struct diff_move {
	uint64_t fileid;
	uint64_t dir; /* where the name is now */
	char *name;   /* owns */
	size_t name_len;
	size_t number; /* in the order of the walk */
	char *from;    /* owns; path in the packages, or NULL */
	bool instead;  /* of that name, which is gone; else beside it */
};

/* A name that the image has for one of those. */
struct diff_place {
	uint64_t fileid;
	const struct image_entry *entry;
	uint32_t dir; /* image inode */
	bool gone;    /* the merged tree lacks it */
	bool told;    /* by a RENAMED */
	char *path;   /* owns */
};

/* One name of a directory, merged or only the image's. */
struct diff_item {
	const char *name; /* borrows from the frame, or the image */
	size_t name_at;   /* in frame->names, until it is complete */
	uint16_t name_len;
	bool here; /* in the merged tree */
	bool descend;
	char kind[2];                    /* enum site_change; 0: none */
	uint64_t fileid;                 /* when it is here */
	const struct image_entry *image; /* NULL: the image has none */
	const char *from;                /* borrows from a move */
	uint32_t mode_before, mode;
	uint64_t size, delta_bytes;
};

struct diff_frame {
	uint64_t dir;
	struct diff_item *items; /* owns; in byte order of names */
	size_t count, cap, next;
	char *names; /* owns */
	size_t names_len, names_cap;
	size_t path_len; /* of the directory */
};

struct diff {
	struct view *view;
	const struct image *image; /* borrows from the view */
	int (*visit)(void *ctx, const struct site_delta_change *);
	void *ctx;
	bool telling;              /* the second walk */
	struct diff_frame *frames; /* owns; a stack */
	size_t depth, depth_cap;
	char *path; /* owns; of the item at hand */
	size_t path_cap;
	struct diff_move *moves; /* owns; after the first walk by fileid */
	size_t move_count, move_cap;
	struct diff_place *places; /* owns; likewise */
	size_t place_count, place_cap;
};

/* Room for one more of `size` bytes in an array. */
static int diff_room(void *array, size_t count, size_t *cap, size_t size)
{
	void **at = array;
	size_t more = *cap ? *cap * 2 : 16;
	void *bigger;

	if (count < *cap)
		return 0;
	bigger = realloc(*at, more * size);
	if (!bigger)
		return -ENOMEM;
	*at = bigger;
	*cap = more;
	return 0;
}

static int diff_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* --- moved objects ------------------------------------------------------- */

static int diff_move_order(const void *a, const void *b)
{
	const struct diff_move *x = a, *y = b;

	if (x->fileid != y->fileid)
		return x->fileid < y->fileid ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* The first move of an object, or NULL. */
static struct diff_move *diff_moves_of(const struct diff *d, uint64_t fileid)
{
	size_t low = 0, count = d->move_count;

	while (count > 0) {
		size_t half = count / 2;

		if (d->moves[low + half].fileid < fileid) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low < d->move_count && d->moves[low].fileid == fileid
		   ? &d->moves[low]
		   : NULL;
}

static const struct diff_move *
diff_move_find(const struct diff *d, uint64_t dir, const struct diff_item *item)
{
	const struct diff_move *end = d->moves + d->move_count;
	const struct diff_move *m = diff_moves_of(d, item->fileid);

	for (; m && m < end && m->fileid == item->fileid; m++)
		if (m->dir == dir &&
		    diff_order(m->name, m->name_len, item->name,
			       item->name_len) == 0)
			return m;
	return NULL;
}

static int diff_move_add(struct diff *d, uint64_t dir,
			 const struct diff_item *item)
{
	struct diff_move *m;
	int rc = diff_room(&d->moves, d->move_count, &d->move_cap, sizeof(*m));

	if (rc < 0)
		return rc;
	m = &d->moves[d->move_count];
	*m = (struct diff_move){.fileid = item->fileid,
				.dir = dir,
				.name_len = item->name_len,
				.number = d->move_count};
	m->name = malloc(item->name_len + 1u);
	if (!m->name)
		return -ENOMEM;
	memcpy(m->name, item->name, item->name_len);
	d->move_count++;
	return 0;
}

/* Path of a name in the image; names: the entry of each directory. */
static char *diff_image_path(const struct image *image,
			     const struct image_entry *const *names,
			     uint32_t dir, const struct image_entry *entry)
{
	size_t len = entry->name_len;
	char *path, *at;

	for (uint32_t i = dir; i != IMAGE_ROOT;
	     i = image_inode(image, i)->parent)
		len += names[i]->name_len + 1u;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	at = path + len;
	*at = '\0';
	for (;;) {
		at -= entry->name_len;
		memcpy(at, entry->name, entry->name_len);
		if (dir == IMAGE_ROOT)
			return path;
		*--at = '/';
		entry = names[dir];
		dir = image_inode(image, dir)->parent;
	}
}

static int diff_place_add(struct diff *d, uint32_t dir,
			  const struct image_entry *entry)
{
	uint64_t fileid = image_inode(d->image, entry->inode)->fileid;
	int rc;

	if (!diff_moves_of(d, fileid))
		return 0;
	rc = diff_room(&d->places, d->place_count, &d->place_cap,
		       sizeof(*d->places));
	if (rc == 0)
		d->places[d->place_count++] = (struct diff_place){
		    .fileid = fileid, .entry = entry, .dir = dir};
	return rc;
}

/* All names of the image that moved objects have there, with their paths. */
static int diff_find_places(struct diff *d)
{
	const struct image *image = d->image;
	uint32_t count = image_inode_count(image);
	CLEANUP_FREE const struct image_entry **names =
	    calloc(count, sizeof(*names));
	int rc = names ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_entry *e, *end;

		for (e = image_from(image, i, 0, &end); rc == 0 && e != end;
		     e++) {
			names[e->inode] = e;
			rc = diff_place_add(d, i, e);
		}
	}
	for (size_t i = 0; rc == 0 && i < d->place_count; i++) {
		struct diff_place *p = &d->places[i];

		p->path = diff_image_path(image, names, p->dir, p->entry);
		rc = p->path ? 0 : -ENOMEM;
	}
	return rc;
}

/* Does the merged tree lack this name of the image? */
static int diff_place_check(struct diff *d, struct diff_place *p)
{
	struct view *view = d->view;
	struct place place;
	struct inode dir;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load_id(view, image_inode(d->image, p->dir)->fileid, &dir);
	if (rc == 0)
		rc = place_find(view, &dir, p->entry->name, p->entry->name_len,
				&place);
	pthread_rwlock_unlock(&view->lock);
	p->gone = rc == -ESTALE ||
		  (rc == 0 && (!place.exists || place.fileid != p->fileid));
	return rc == -ESTALE ? 0 : rc;
}

static int diff_place_order(const void *a, const void *b)
{
	const struct diff_place *x = a, *y = b;

	if (x->fileid != y->fileid)
		return x->fileid < y->fileid ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int diff_entry_order(const void *a, const void *b)
{
	const struct diff_place *x = a, *y = b;

	return (x->entry > y->entry) - (x->entry < y->entry);
}

/* The place that the next new name of an object stands for, from *next on; when
 * all that are gone are taken, one beside which it is another link. */
static struct diff_place *diff_pick(struct diff_place *places, size_t count,
				    size_t *next, bool *instead)
{
	for (; *next < count; ++*next)
		if (places[*next].gone) {
			*instead = true;
			return &places[(*next)++];
		}
	for (size_t i = 0; i < count; i++)
		if (!places[i].gone)
			return &places[i];
	return &places[0];
}

/* New names stand for those that are gone, both in order. */
static int diff_pair(struct diff *d)
{
	size_t at = 0, count = 0, next = 0;

	for (size_t i = 0; i < d->move_count; i++) {
		struct diff_move *m = &d->moves[i];
		struct diff_place *p;

		if (i == 0 || m->fileid != m[-1].fileid) {
			at += count;
			next = 0;
			for (count = 0; at + count < d->place_count; count++)
				if (d->places[at + count].fileid != m->fileid)
					break;
		}
		if (count == 0)
			continue; /* not so: a package's object has a path */
		p = diff_pick(d->places + at, count, &next, &m->instead);
		p->told |= m->instead;
		m->from = strdup(p->path);
		if (!m->from)
			return -ENOMEM;
	}
	return 0;
}

static int diff_match_moves(struct diff *d)
{
	int rc;

	if (d->move_count == 0)
		return 0;
	qsort(d->moves, d->move_count, sizeof(*d->moves), diff_move_order);
	rc = diff_find_places(d);
	for (size_t i = 0; rc == 0 && i < d->place_count; i++)
		rc = diff_place_check(d, &d->places[i]);
	if (rc < 0 || d->place_count == 0)
		return rc;
	qsort(d->places, d->place_count, sizeof(*d->places), diff_place_order);
	rc = diff_pair(d);
	qsort(d->places, d->place_count, sizeof(*d->places), diff_entry_order);
	return rc;
}

static bool diff_was_renamed(const struct diff *d,
			     const struct image_entry *entry)
{
	struct diff_place key = {.entry = entry};
	const struct diff_place *p = NULL;

	if (d->place_count > 0)
		p = bsearch(&key, d->places, d->place_count, sizeof(*d->places),
			    diff_entry_order);
	return p && p->told;
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

/* What is to be told of an entry of the merged tree. */
static int diff_judge(struct diff *d, uint64_t dir, struct diff_item *item,
		      const struct inode *inode)
{
	struct tree_inode was;

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
	int rc = diff_room(&f->items, f->count, &f->cap, sizeof(*item));

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
		int rc = diff_room(&f->names, f->names_cap, &f->names_cap, 1);

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
		rc = frame_join(d, f, dir.image);
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

static int diff_push(struct diff *d, uint64_t dir, size_t path_len)
{
	int rc;

	if (d->depth == DIFF_DEPTH_MAX)
		return log_err(-ELOOP, "delta %s: directories are too deep",
			       d->view->info.path);
	rc = diff_room(&d->frames, d->depth, &d->depth_cap, sizeof(*d->frames));
	if (rc < 0)
		return rc;
	d->frames[d->depth++] =
	    (struct diff_frame){.dir = dir, .path_len = path_len};
	return frame_fill(d, &d->frames[d->depth - 1]);
}

/* The item's path, in d->path; its length, or -ENOMEM. */
static int diff_set_path(struct diff *d, size_t at,
			 const struct diff_item *item, size_t *len)
{
	*len = at + (at > 0) + item->name_len;
	while (*len + 1 > d->path_cap) {
		int rc = diff_room(&d->path, d->path_cap, &d->path_cap, 1);

		if (rc < 0)
			return rc;
	}
	if (at > 0)
		d->path[at++] = '/';
	memcpy(d->path + at, item->name, item->name_len);
	d->path[*len] = '\0';
	return 0;
}

static int diff_tell(struct diff *d, const struct diff_item *item,
		     const char *path)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 2 && item->kind[i]; i++) {
		struct site_delta_change change = {
		    .kind = (enum site_change)item->kind[i],
		    .path = path,
		    .from = i == 0 ? item->from : NULL,
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
	}
	pthread_rwlock_unlock(&d->view->lock);
	return rc < 0 ? rc : diff_tell(d, &item, "");
}

static int diff_walk(struct diff *d, uint64_t root, bool telling)
{
	int rc = 0;

	d->telling = telling;
	if (telling)
		rc = diff_root(d, root);
	if (rc == 0)
		rc = diff_push(d, root, 0);
	while (rc == 0 && d->depth > 0) {
		struct diff_frame *f = &d->frames[d->depth - 1];
		const struct diff_item *item;
		size_t len;

		if (f->next == f->count) {
			frame_free(f);
			d->depth--;
			continue;
		}
		item = &f->items[f->next++];
		rc = diff_set_path(d, f->path_len, item, &len);
		if (rc == 0)
			rc = diff_tell(d, item, d->path);
		if (rc == 0 && item->descend)
			rc = diff_push(d, item->fileid, len);
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

int site_delta_diff(struct site *site, const char *guest,
		    int (*visit)(void *ctx, const struct site_delta_change *),
		    void *ctx)
{
	struct diff d = {.visit = visit, .ctx = ctx};
	struct site_view *sv;
	int rc = -ENOENT;

	pthread_mutex_lock(&site->verbs);
	sv = site_guest(site, guest);
	if (sv) {
		uint64_t root = view_root(sv->view).fileid;

		d.view = sv->view;
		d.image = sv->view->image;
		rc = diff_walk(&d, root, false);
		if (rc == 0)
			rc = diff_match_moves(&d);
		if (rc == 0)
			rc = diff_walk(&d, root, true);
		diff_free(&d);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
