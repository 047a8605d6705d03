/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: opening and closing a guest's view, and its switch to another image.
 *
 * Opening reads the keys of the delta once: which files have records, which
 * directories have names, on which trees records are based; and deletes what
 * an earlier life had to reap.
 */
#include <stdio.h>
#include <sys/statvfs.h>

#include "depot/io.h"
#include "depot/log.h"
#include "overlay/view_impl.h"

/* --- opening ------------------------------------------------------------- */

/* Hold the tree that a record is based on, for as long as the view lives. */
static int view_hold_base(struct view *view, const struct record *rec)
{
	struct tree *tree;
	int rc;

	if (!rec->has_base || rec->gone || inode_base(view, rec))
		return 0;
	if (view->tree_count == VIEW_TREES_MAX)
		return log_err(-ENOSPC,
			       "delta %s is based on more than %d trees",
			       view->info.path, VIEW_TREES_MAX);
	rc = depot_tree_get(view->depot, &rec->base_tree, &tree);
	if (rc < 0)
		return rc;
	view->trees[view->tree_count++] = tree;
	return 0;
}

static int view_scan_inode(struct view *view, const uint8_t *key,
			   size_t key_len, const uint8_t *value, size_t len)
{
	struct record rec;
	uint64_t fileid;
	int rc;

	if (key_len != 18)
		return log_err(-EBADMSG, "state: damaged key");
	fileid = be64_get(key + 10);
	rc = record_decode(value, len, &rec);
	if (rc == 0)
		rc = idset_reserve(&view->recorded, 1);
	if (rc < 0)
		return rc;
	idset_add(&view->recorded, fileid);
	view->delta_bytes += rec.data.used;
	return view_hold_base(view, &rec);
}

static int view_scan_inodes(struct view *view)
{
	struct record_key prefix;
	struct kv_iter *it;
	int rc = 0;

	record_key_kind(&prefix, view->layer, 'i');
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		rc = view_scan_inode(view, key, key_len, value, len);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

static int view_scan_dirs(struct view *view)
{
	struct record_key prefix;
	struct kv_iter *it;
	int rc = 0;

	record_key_kind(&prefix, view->layer, 'd');
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t len;
		const uint8_t *key = kv_iter_key(it, &len);

		if (len != 26)
			rc = log_err(-EBADMSG, "state: damaged key");
		else
			rc = idset_reserve(&view->touched, 1);
		if (rc == 0)
			idset_add(&view->touched, be64_get(key + 10));
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* Numbers below the stored limit may have been used: begin at it. */
static int view_load_ids(struct view *view)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_fileids(&key, view->info.export_id);
	rc = kv_get(view->kv, key.bytes, key.len, &value);
	view->next_id = view->id_limit = 1;
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (value.len == 9 && value.data[0] == RECORD_FORMAT)
		view->next_id = view->id_limit = le64_get(value.data + 1);
	else
		rc = log_err(-EBADMSG, "state: damaged counter of %s",
			     view->info.path);
	kv_value_release(&value);
	return rc;
}

static int view_load(struct view *view)
{
	int rc = io_mkdirs(view->data_dir);

	if (rc < 0)
		return log_err(rc, "delta %s: %s", view->info.path,
			       view->data_dir);
	rc = view_load_ids(view);
	if (rc == 0)
		rc = view_scan_inodes(view);
	if (rc == 0)
		rc = view_scan_dirs(view);
	if (rc == 0)
		rc = reap_all(view);
	return rc;
}

int view_open(const struct view_open *open, struct image *image,
	      struct view **view)
{
	struct view *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	pthread_rwlock_init(&v->lock, NULL);
	pthread_mutex_init(&v->idle_lock, NULL);
	pthread_cond_init(&v->idle, NULL);
	v->depot = open->depot;
	v->kv = depot_state(open->depot);
	v->journal = open->journal;
	v->info = open->info;
	v->layer = open->layer;
	v->image = image_get(image);
	snprintf(v->tenant, sizeof(v->tenant), "%s", open->tenant);
	snprintf(v->guest, sizeof(v->guest), "%s", open->guest);
	snprintf(v->data_dir, sizeof(v->data_dir), "%s/data/%016llx",
		 depot_path(v->depot), (unsigned long long)v->layer);
	rc = view_load(v);
	if (rc < 0)
		view_close(v);
	else
		*view = v;
	return rc;
}

void view_close(struct view *view)
{
	if (!view)
		return;
	view_drain(view);
	node_close_all(view);
	for (unsigned int i = 0; i < view->tree_count; i++)
		tree_put(view->trees[i]);
	image_put(view->image);
	idset_clear(&view->recorded);
	idset_clear(&view->touched);
	pthread_cond_destroy(&view->idle);
	pthread_mutex_destroy(&view->idle_lock);
	pthread_rwlock_destroy(&view->lock);
	free(view);
}

/* --- what nfsd asks of the view itself ----------------------------------- */

const struct view_info *view_get_info(const struct view *view)
{
	return &view->info;
}

struct view_object view_root(struct view *view)
{
	struct view_object root = {0, 0};

	pthread_rwlock_rdlock(&view->lock);
	root.fileid = image_inode(view->image, IMAGE_ROOT)->fileid;
	pthread_rwlock_unlock(&view->lock);
	return root;
}

int view_statfs(struct view *view, struct view_statfs *statfs)
{
	struct statvfs st;

	if (statvfs(view->data_dir, &st) < 0)
		return log_err(-errno, "delta %s: %s", view->info.path,
			       view->data_dir);
	statfs->total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	statfs->free_bytes = (uint64_t)st.f_bfree * st.f_frsize;
	statfs->avail_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	statfs->total_files = st.f_files;
	statfs->free_files = st.f_ffree;
	statfs->avail_files = st.f_favail;
	return 0;
}

int view_replies(struct view *view,
		 void (*visit)(void *ctx, uint32_t slot, const uint8_t *record,
			       size_t len),
		 void *ctx)
{
	struct record_key prefix;
	struct kv_iter *it;
	int rc;

	record_key_replies(&prefix, view->info.export_id);
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		if (key_len == prefix.len + 2 && len <= VIEW_REPLY_MAX)
			visit(ctx, (uint32_t)key[5] << 8 | (uint32_t)key[6],
			      value, len);
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

void view_new_verifier(struct view *view)
{
	uint64_t fresh;

	do
		random_bytes(&fresh, sizeof(fresh));
	while (fresh == view->info.verifier);
	__atomic_store_n(&view->info.verifier, fresh, __ATOMIC_RELAXED);
}

/* --- another image ------------------------------------------------------- */

struct switching {
	struct view *view;
	struct image *image;
	void (*conflict)(void *ctx, const char *what);
	void *ctx;
	unsigned int count;
};

static void switch_tell(struct switching *s, const char *what, uint64_t fileid,
			const char *name, size_t name_len)
{
	char text[512];

	s->count++;
	snprintf(text, sizeof(text), "%s%s %.*s (file number %llu)",
		 s->view->info.path, what, (int)name_len, name,
		 (unsigned long long)fileid);
	if (s->conflict)
		s->conflict(s->ctx, text);
}

/* A record of a package object: the new image must have the object. */
static int switch_check_record(struct switching *s, uint64_t fileid,
			       const uint8_t *value, size_t len)
{
	struct record rec;
	int rc;

	if ((fileid & RECORD_BORN) ||
	    image_find(s->image, fileid) != IMAGE_NONE)
		return 0;
	rc = record_decode(value, len, &rec);
	if (rc == 0 && !rec.gone)
		switch_tell(s, ": changed file is gone or other:", fileid, "",
			    0);
	return rc;
}

/* Is there a name at this cookie, in the delta or the new image? */
static int switch_is_taken(struct switching *s, uint64_t dir, uint32_t image,
			   uint64_t cookie, bool *taken)
{
	const struct image_entry *entry, *end;
	struct record_key key;
	struct kv_value value;
	int rc;

	entry = image_from(s->image, image, cookie, &end);
	*taken = entry != end && entry->cookie == cookie;
	if (*taken)
		return 0;
	record_key_name(&key, s->view->layer, dir, cookie);
	rc = kv_get(s->view->kv, key.bytes, key.len, &value);
	*taken = rc == 0;
	kv_value_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

/* A name that gave way to others is found only while they are there. */
static int switch_check_chain(struct switching *s, uint64_t dir, uint32_t image,
			      uint64_t cookie, const struct record_name *name)
{
	uint64_t at = name_cookie(name->name, name->name_len);

	for (int i = 0; at != cookie && i < NAME_CHAIN_MAX; i++) {
		bool taken;
		int rc = switch_is_taken(s, dir, image, at, &taken);

		if (rc < 0)
			return rc;
		if (!taken) {
			switch_tell(s, ": place moves of", dir, name->name,
				    name->name_len);
			return 0;
		}
		at = name_cookie_next(at);
	}
	return 0;
}

/* A name of the delta: the new image must not claim its cookie for another
 * name, nor the name at another cookie. */
static int switch_check_name(struct switching *s, uint64_t dir, uint64_t cookie,
			     const uint8_t *value, size_t len)
{
	const struct image_entry *entry, *end;
	struct record_name name;
	uint32_t i = image_find(s->image, dir);
	int rc = record_name_decode(value, len, &name);

	if (rc < 0 || i == IMAGE_NONE || name.kind == RECORD_NAME_FILLER)
		return rc;
	entry = image_from(s->image, i, cookie, &end);
	if (entry != end && entry->cookie == cookie &&
	    (entry->name_len != name.name_len ||
	     memcmp(entry->name, name.name, name.name_len) != 0))
		switch_tell(s, ": place is taken of", dir, name.name,
			    name.name_len);
	entry = image_lookup(s->image, i, name.name, name.name_len);
	if (entry && entry->cookie != cookie)
		switch_tell(s, ": place moves of", dir, name.name,
			    name.name_len);
	if (entry || name.kind != RECORD_NAME_ENTRY)
		return 0;
	return switch_check_chain(s, dir, i, cookie, &name);
}

static int switch_check_kind(struct switching *s, char kind)
{
	struct view *view = s->view;
	struct record_key prefix;
	struct kv_iter *it;
	int rc = 0;

	record_key_kind(&prefix, view->layer, kind);
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *key = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		rc =
		    kind == 'i'
			? switch_check_record(s, be64_get(key + 10), value, len)
			: switch_check_name(s, be64_get(key + 10),
					    be64_get(key + 18), value, len);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* Files that are written to just now may have no record yet. */
static void switch_check_nodes(struct switching *s)
{
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = s->view->nodes[i]; n; n = n->hash_next)
			if (!n->recorded && !(n->fileid & RECORD_BORN) &&
			    image_find(s->image, n->fileid) == IMAGE_NONE)
				switch_tell(s, ": open file is gone or other:",
					    n->fileid, "", 0);
}

int view_switch_check(struct view *view, struct image *image,
		      void (*conflict)(void *ctx, const char *what), void *ctx)
{
	struct switching s = {view, image, conflict, ctx, 0};
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	switch_check_nodes(&s);
	rc = switch_check_kind(&s, 'i');
	if (rc == 0)
		rc = switch_check_kind(&s, 'd');
	pthread_rwlock_unlock(&view->lock);
	if (rc == 0 && s.count > 0)
		rc = -EEXIST;
	return rc;
}

static void view_mark_tree(struct view *view, const struct record *rec,
			   bool *wanted)
{
	for (unsigned int i = 0; i < view->tree_count; i++)
		wanted[i] |=
		    rec->has_base && !rec->gone &&
		    digest_equal(tree_digest(view->trees[i]), &rec->base_tree);
}

/* Which of view->trees are records or open files based on? */
static int view_mark_trees(struct view *view, bool *wanted)
{
	struct record_key prefix;
	struct kv_iter *it;
	struct record rec;
	int rc = 0;

	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = view->nodes[i]; n; n = n->hash_next)
			view_mark_tree(view, &n->rec, wanted);
	record_key_kind(&prefix, view->layer, 'i');
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t len;
		const uint8_t *value = kv_iter_value(it, &len);

		rc = record_decode(value, len, &rec);
		if (rc == 0)
			view_mark_tree(view, &rec, wanted);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* Drop the trees that nothing is based on any more; all stay in doubt. */
static void view_drop_trees(struct view *view)
{
	bool wanted[VIEW_TREES_MAX] = {false};
	unsigned int kept = 0;

	if (view_mark_trees(view, wanted) < 0)
		return;
	for (unsigned int i = 0; i < view->tree_count; i++)
		if (wanted[i])
			view->trees[kept++] = view->trees[i];
		else
			tree_put(view->trees[i]);
	view->tree_count = kept;
}

/* Trees of the image that goes stay while records are based on them. */
static void view_keep_trees(struct view *view, struct image *old)
{
	if (view->tree_count + image_tree_count(old) > VIEW_TREES_MAX)
		view_drop_trees(view);
	for (unsigned int i = 0; i < image_tree_count(old); i++) {
		struct tree *tree = image_tree(old, i);
		struct record probe = {.has_base = true};

		probe.base_tree = *tree_digest(tree);
		if (inode_base(view, &probe))
			continue;
		if (view->tree_count == VIEW_TREES_MAX)
			log_err(-ENOSPC,
				"delta %s is based on more than %d trees",
				view->info.path, VIEW_TREES_MAX);
		else
			view->trees[view->tree_count++] = tree_get(tree);
	}
}

void view_switch(struct view *view, struct image *image)
{
	struct image *old;

	pthread_rwlock_wrlock(&view->lock);
	old = view->image;
	view->image = image_get(image);
	view_keep_trees(view, old);
	pthread_rwlock_unlock(&view->lock);
	image_put(old);
}
