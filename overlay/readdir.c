/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir: one listing of a directory, merged from image and delta.  Both are
 * sorted by cookie, so an entry keeps its place whatever layer it is in.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

struct merge {
	struct view *view;
	const struct image_entry *image, *image_end;
	struct kv_iter *it[VIEW_LAYERS_MAX]; /* owns; topmost layer first */
	unsigned int count;
	size_t prefix_len;
};

static void merge_end(struct merge *m)
{
	for (unsigned int i = 0; i < m->count; i++)
		kv_iter_free(m->it[i]);
}

static int merge_begin(struct merge *m, struct view *view,
		       const struct inode *dir, uint64_t after)
{
	struct record_key prefix, from;

	*m = (struct merge){.view = view};
	if (dir->image != IMAGE_NONE)
		m->image = image_from(view->image, dir->image, after + 1,
				      &m->image_end);
	for (unsigned int i = 0; i < view->layer_count; i++) {
		const struct layer *layer = view->layer[i];

		if (!idset_has(&layer->touched, dir->fileid))
			continue;
		record_key_dir(&prefix, layer->id, dir->fileid);
		record_key_name(&from, layer->id, dir->fileid, after + 1);
		m->prefix_len = prefix.len;
		m->it[m->count] = kv_iter_new(view->kv, prefix.bytes,
					      prefix.len, from.bytes, from.len);
		if (!m->it[m->count]) {
			merge_end(m);
			return -ENOMEM;
		}
		m->count++;
	}
	return 0;
}

/*
 * The lowest cookie at which a layer has a record: that of the topmost one,
 * decoded into *name; the others' are passed over.  0: none, 1: one.
 */
static int merge_delta(struct merge *m, uint64_t *cookie,
		       struct record_name *name)
{
	struct kv_iter *best = NULL;
	const uint8_t *value;
	size_t len;
	int rc = 0;

	for (unsigned int i = 0; i < m->count; i++) {
		const uint8_t *key;
		uint64_t at;

		if (!kv_iter_valid(m->it[i])) {
			rc = kv_iter_error(m->it[i]);
			if (rc < 0)
				return rc;
			continue;
		}
		key = kv_iter_key(m->it[i], &len);
		if (len != m->prefix_len + 8)
			return log_err(-EIO, "state: damaged key");
		at = be64_get(key + m->prefix_len);
		if (!best || at < *cookie) {
			best = m->it[i];
			*cookie = at;
		}
	}
	if (!best)
		return 0;
	value = kv_iter_value(best, &len);
	return record_name_decode(value, len, name) < 0 ? -EIO : 1;
}

/* Go on behind a cookie that has been dealt with. */
static void merge_pass(struct merge *m, uint64_t cookie)
{
	for (unsigned int i = 0; i < m->count; i++) {
		size_t len;

		if (kv_iter_valid(m->it[i]) &&
		    be64_get(kv_iter_key(m->it[i], &len) + m->prefix_len) ==
			cookie)
			kv_iter_next(m->it[i]);
	}
}

/* Next visible entry; 0 at the end, 1 when there is one. */
static int merge_next(struct merge *m, struct dir_entry *entry,
		      struct record_name *name)
{
	for (;;) {
		bool has_image = m->image != m->image_end;
		uint64_t cookie = 0;
		int rc = merge_delta(m, &cookie, name);

		if (rc < 0 || (rc == 0 && !has_image))
			return rc;
		if (has_image && (rc == 0 || m->image->cookie < cookie)) {
			const struct image_entry *e = m->image++;

			*entry = (struct dir_entry){
			    e->cookie,
			    image_inode(m->view->image, e->inode)->fileid,
			    e->name, e->name_len};
			return 1;
		}
		merge_pass(m, cookie);
		if (name->kind == RECORD_NAME_FILLER)
			continue; /* hides nothing of the image */
		if (has_image && m->image->cookie == cookie)
			m->image++; /* the delta's record stands for it */
		if (name->kind != RECORD_NAME_ENTRY)
			continue;
		*entry = (struct dir_entry){cookie, name->fileid, name->name,
					    name->name_len};
		return 1;
	}
}

int dir_each(struct view *view, const struct inode *dir, uint64_t after,
	     int (*visit)(void *ctx, const struct dir_entry *entry), void *ctx)
{
	struct record_name name;
	struct dir_entry entry;
	struct merge m;
	int rc = merge_begin(&m, view, dir, after);

	if (rc < 0)
		return rc;
	while ((rc = merge_next(&m, &entry, &name)) > 0) {
		/* kv_iter has moved on: the name is in `name`. */
		rc = visit(ctx, &entry);
		if (rc != 0)
			break;
	}
	merge_end(&m);
	return rc;
}

struct listing {
	struct view *view;
	bool want_attr, stopped;
	bool (*emit)(void *ctx, const struct view_dirent *ent);
	void *ctx;
};

static int listing_emit(struct listing *l, uint64_t cookie, const char *name,
			size_t name_len, uint64_t fileid)
{
	struct view_dirent ent = {
	    .cookie = cookie,
	    .name = name,
	    .name_len = name_len,
	    .fileid = fileid,
	};
	struct view_attr attr;
	struct inode inode;

	if (l->want_attr) {
		int rc = inode_load_id(l->view, fileid, &inode);

		if (rc < 0)
			return rc == -ESTALE ? -EIO : rc;
		inode_attr(l->view, &inode, &attr);
		ent.attr = &attr;
		ent.generation = attr.generation;
	}
	l->stopped = !l->emit(l->ctx, &ent);
	return l->stopped ? 1 : 0;
}

static int listing_visit(void *ctx, const struct dir_entry *entry)
{
	return listing_emit(ctx, entry->cookie, entry->name, entry->name_len,
			    entry->fileid);
}

static int listing_run(struct listing *l, const struct inode *dir,
		       uint64_t cookie)
{
	int rc = 0;

	if (cookie < 1)
		rc = listing_emit(l, 1, ".", 1, dir->fileid);
	if (rc == 0 && cookie < 2)
		rc = listing_emit(l, 2, "..", 2, dir->rec.parent);
	/* Cookies have the top bit clear; beyond it there is nothing. */
	if (rc == 0 && cookie < INT64_MAX)
		rc = dir_each(l->view, dir, MAX(cookie, UINT64_C(2)),
			      listing_visit, l);
	return rc < 0 ? rc : 0;
}

int view_readdir(struct view *view, const struct view_cred *cred,
		 struct view_object dir_obj, uint64_t cookie, bool want_attr,
		 bool (*emit)(void *ctx, const struct view_dirent *ent),
		 void *ctx, bool *eof, struct view_attr *dir_attr)
{
	struct listing l = {view, want_attr, false, emit, ctx};
	struct inode dir;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load(view, dir_obj.fileid, dir_obj.generation, &dir);
	if (rc == 0) {
		inode_attr(view, &dir, dir_attr);
		if (!S_ISDIR(dir.rec.mode))
			rc = -ENOTDIR;
		else if (!inode_may(view, &dir, cred, VIEW_MAY_READ))
			rc = -EACCES;
		else
			rc = listing_run(&l, &dir, cookie);
	} else {
		memset(dir_attr, 0, sizeof(*dir_attr));
	}
	*eof = rc == 0 && !l.stopped;
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
