/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: which layers become one, key by key, and how views follow.  See
 * merge.h.  site->verbs is held throughout, so no view comes, goes, or changes
 * its stack, and nothing is dropped that is being merged.
 */
#include "overlay/merge.h"

#include <stdio.h>

#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/each.h"

enum {
	MERGE_BATCH = 256, /* records or names */
	MERGE_BATCH_BYTES = 4 << 20,
	MERGE_STEP = 64,        /* batches */
	MERGE_COPY = 64 << 20,  /* bytes between host files, a step */
	MERGE_CHAIN_MAX = 1024, /* no stack is as long: the state is damaged */
};

/* What a batch does to the sets of fileids. */
struct merge_effect {
	uint64_t fileid;
	bool had, has; /* B a record of it, before and after */
};

struct merge {
	struct site *site;
	struct merge_views views;
	struct layer *stack[VIEW_LAYERS_MAX]; /* refs; [0] is B, [1] is A */
	unsigned int count;
	struct kv_batch *batch; /* owns */
	/* of the batch: */
	struct merge_effect effects[MERGE_BATCH];
	unsigned int effect_count;
	uint64_t dirs[MERGE_BATCH]; /* that get names in B */
	unsigned int dir_count, entry_count;
	size_t value_bytes;
	int64_t from_bytes, into_bytes; /* growth of A and B */
	/* of the step: */
	unsigned int batches;
	uint64_t copied;
	/* the directory that names were last looked at in */
	uint64_t dir;
	bool dir_gone;
};

static unsigned int merge_step_entries; /* 0: MERGE_STEP batches */

void merge_cut_for_tests(unsigned int entries)
{
	merge_step_entries = entries;
}

/* --- views --------------------------------------------------------------- */

void merge_views_lock(const struct merge_views *views)
{
	for (unsigned int i = 0; i < views->count; i++)
		pthread_rwlock_wrlock(&views->views[i]->lock);
}

void merge_views_unlock(const struct merge_views *views)
{
	for (unsigned int i = views->count; i > 0; i--)
		pthread_rwlock_unlock(&views->views[i - 1]->lock);
}

static bool view_stands_on(const struct view *view, const struct layer *layer)
{
	for (unsigned int i = 0; i < view->layer_count; i++)
		if (view->layer[i] == layer)
			return true;
	return false;
}

static int merge_find_views(struct merge *m)
{
	struct site *site = m->site;

	m->views.views =
	    calloc(MAX(site->view_count, 1u), sizeof(struct view *));
	if (!m->views.views)
		return -ENOMEM;
	for (unsigned int i = 0; i < site->view_count; i++)
		if (view_stands_on(site->views[i].view, m->stack[1]))
			m->views.views[m->views.count++] = site->views[i].view;
	return 0;
}

/* --- one batch ----------------------------------------------------------- */

static bool merge_batch_full(const struct merge *m)
{
	return m->entry_count == MERGE_BATCH ||
	       m->value_bytes >= MERGE_BATCH_BYTES;
}

static void merge_batch_clear(struct merge *m)
{
	kv_batch_clear(m->batch);
	m->effect_count = m->dir_count = m->entry_count = 0;
	m->value_bytes = 0;
	m->from_bytes = m->into_bytes = 0;
}

/* The batch is in the log; all views of the layers are locked. */
static void merge_apply(struct merge *m)
{
	struct layer *into = m->stack[0], *from = m->stack[1];
	int64_t files = 0;

	for (unsigned int i = 0; i < m->effect_count; i++) {
		const struct merge_effect *e = &m->effects[i];

		recent_drop(&from->recent, e->fileid);
		recent_drop(&into->recent, e->fileid);
		idset_remove(&from->recorded, e->fileid);
		if (e->has)
			idset_add(&into->recorded, e->fileid);
		else
			idset_remove(&into->recorded, e->fileid);
		files += (int)e->has - (int)e->had - 1;
		for (unsigned int v = 0; v < m->views.count; v++)
			node_let_go(m->views.views[v], e->fileid);
	}
	for (unsigned int i = 0; i < m->dir_count; i++)
		idset_add(&into->touched, m->dirs[i]);
	from->bytes += (uint64_t)m->from_bytes;
	into->bytes += (uint64_t)m->into_bytes;
	for (unsigned int v = 0; v < m->views.count; v++) {
		struct view *view = m->views.views[v];
		int64_t bytes = m->from_bytes + m->into_bytes;

		quota_add(&view->quota, bytes, files);
		quota_add(view->tenant_quota, bytes, files);
	}
}

static int merge_batch_write(struct merge *m)
{
	struct layer *into = m->stack[0];
	int rc = 0;

	if (m->entry_count == 0)
		return 0;
	merge_views_lock(&m->views);
	rc = idset_reserve(&into->recorded, m->effect_count);
	if (rc == 0)
		rc = idset_reserve(&into->touched, m->dir_count);
	if (rc == 0)
		rc = kv_write(m->site->kv, m->batch);
	if (rc == 0)
		merge_apply(m);
	merge_views_unlock(&m->views);
	KILL_POINT("merge-batch");
	merge_batch_clear(m);
	m->batches++;
	return rc;
}

/* --- records ------------------------------------------------------------- */

static bool merge_is_below(const struct merge *m, uint64_t fileid)
{
	for (unsigned int i = 2; i < m->count; i++)
		if (idset_has(&m->stack[i]->recorded, fileid))
			return true;
	return false;
}

static int merge_record(struct merge *m, uint64_t fileid, const uint8_t *value,
			size_t len)
{
	struct layer *into = m->stack[0], *from = m->stack[1];
	struct merge_file f = {m->site, &m->views, m->batch, m->stack, m->count,
			       fileid,  {0},       {0},      0};
	struct merge_effect *e = &m->effects[m->effect_count];
	uint8_t out[RECORD_INODE_LEN];
	struct record_key key;
	uint64_t used = 0;
	bool retired;
	int rc = record_decode(value, len, &f.from);

	if (rc < 0)
		return rc;
	if (f.from.data.data_id && !f.from.data.layer)
		f.from.data.layer = from->id;
	*e = (struct merge_effect){fileid, false, true};
	e->had = idset_has(&into->recorded, fileid);
	rc = e->had ? record_load(m->site->kv, into->id, fileid, &f.into) : 0;
	if (rc < 0)
		return rc;
	used = f.into.data.used;
	/* A number that is nowhere is as stale as one that is gone. */
	retired = (e->had ? f.into.gone : f.from.gone) &&
		  (fileid & RECORD_BORN) && !merge_is_below(m, fileid);
	rc = e->had    ? merge_file_data(&f)
	     : retired ? merge_file_drop(&f)
		       : merge_file_move(&f);
	if (rc < 0)
		return rc;
	record_key_inode(&key, from->id, fileid);
	kv_batch_delete(m->batch, key.bytes, key.len);
	record_key_inode(&key, into->id, fileid);
	if (retired) {
		e->has = false;
		kv_batch_delete(m->batch, key.bytes, key.len);
		f.into.data.used = 0;
	} else {
		record_encode(&f.into, out);
		kv_batch_put(m->batch, key.bytes, key.len, out, sizeof(out));
	}
	m->from_bytes -= (int64_t)f.from.data.used;
	m->into_bytes += (int64_t)(f.into.data.used - used);
	m->value_bytes += sizeof(out) + RECORD_INLINE_MAX;
	m->copied += f.copied;
	m->effect_count++;
	m->entry_count++;
	return 0;
}

/* --- names --------------------------------------------------------------- */

/* Is the directory gone in B?  Then nobody sees names in it. */
static int merge_look_at_dir(struct merge *m, uint64_t dir)
{
	struct record rec;
	int rc;

	if (m->dir == dir)
		return 0;
	m->dir_gone = false;
	if (idset_has(&m->stack[0]->recorded, dir)) {
		rc = record_load(m->site->kv, m->stack[0]->id, dir, &rec);
		if (rc < 0)
			return rc;
		m->dir_gone = rec.gone;
	}
	m->dir = dir;
	return 0;
}

static int merge_name(struct merge *m, uint64_t dir, uint64_t cookie,
		      const uint8_t *value, size_t len)
{
	struct record_key key;
	struct kv_value hides;
	int rc = merge_look_at_dir(m, dir);

	if (rc < 0)
		return rc;
	record_key_name(&key, m->stack[0]->id, dir, cookie);
	rc = m->dir_gone ? 0 : kv_get(m->site->kv, key.bytes, key.len, &hides);
	if (rc == -ENOENT) {
		kv_batch_put(m->batch, key.bytes, key.len, value, len);
		if (m->dir_count == 0 || m->dirs[m->dir_count - 1] != dir)
			m->dirs[m->dir_count++] = dir;
		rc = 0;
	} else if (rc == 0 && !m->dir_gone) {
		kv_value_release(&hides);
	}
	record_key_name(&key, m->stack[1]->id, dir, cookie);
	kv_batch_delete(m->batch, key.bytes, key.len);
	m->value_bytes += len;
	m->entry_count++;
	return rc;
}

/* --- a step -------------------------------------------------------------- */

static int merge_key(struct merge *m, char kind, const struct kv_iter *it)
{
	size_t key_len, len;
	const uint8_t *key = kv_iter_key(it, &key_len);
	const uint8_t *value = kv_iter_value(it, &len);

	if (key_len != (kind == 'i' ? 18u : 26u))
		return log_err(-EBADMSG, "state: damaged key");
	return kind == 'i' ? merge_record(m, be64_get(key + 10), value, len)
			   : merge_name(m, be64_get(key + 10),
					be64_get(key + 18), value, len);
}

/* All of A's keys of one kind, or as many as a step takes (*more). */
static int merge_kind(struct merge *m, char kind, bool *more)
{
	struct record_key prefix;
	struct kv_iter *it;
	int rc = 0;

	record_key_kind(&prefix, m->stack[1]->id, kind);
	it = kv_iter_new(m->site->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	*more = false;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		if ((merge_step_entries &&
		     m->entry_count >= merge_step_entries) ||
		    m->batches >= MERGE_STEP || m->copied >= MERGE_COPY) {
			*more = true;
			break;
		}
		rc = merge_key(m, kind, it);
		if (rc == 0 && merge_batch_full(m))
			rc = merge_batch_write(m);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	if (rc == 0)
		rc = merge_batch_write(m);
	kv_iter_free(it);
	return rc;
}

/* --- host files that go -------------------------------------------------- */

static int merge_reap(void *ctx, const struct each_key *key)
{
	struct merge *m = ctx;
	uint64_t layer = m->stack[1]->id, data_id = be64_get(key->rest);
	char path[640];
	int rc;

	if (key->value_len == 9)
		layer = le64_get(key->value + 1);
	snprintf(path, sizeof(path), "%s/data/%016llx/%02x/%016llx",
		 depot_path(m->site->depot), (unsigned long long)layer,
		 (unsigned int)(data_id & 0xff), (unsigned long long)data_id);
	rc = io_unlink(path);
	if (rc < 0)
		return log_err(rc, "deleting %s", path);
	drop_parents(path);
	KILL_POINT("merge-reaped");
	return kv_delete(m->site->kv, key->key, key->key_len);
}

/* What the batches gave up, and what A had to reap before. */
static int merge_reap_all(struct merge *m)
{
	struct record_key prefix;
	int rc = kv_sync_log(m->site->kv);

	record_key_kind(&prefix, m->stack[1]->id, 'r');
	return rc < 0 ? rc : each_key(m->site->kv, &prefix, 8, merge_reap, m);
}

/* --- the end of A -------------------------------------------------------- */

/* A, empty, is out of the stack; its reference is the caller's. */
static void view_take_out(struct view *view, const struct layer *layer)
{
	unsigned int i = 0;

	view_count_layer(view, layer, -1);
	while (view->layer[i] != layer)
		i++;
	view->layer_count--;
	memmove(&view->layer[i], &view->layer[i + 1],
		(view->layer_count - i) * sizeof(struct layer *));
}

static int merge_end(struct merge *m)
{
	struct layer *into = m->stack[0], *from = m->stack[1];
	struct record_key first, last, key;
	int rc;

	merge_batch_clear(m);
	record_key_kind(&first, from->id, '\0');
	record_key_kind(&last, from->id, '\xff');
	record_key_layer(&key, from->id);
	layer_put_key(m->batch, into->id, from->parent);
	kv_batch_delete(m->batch, key.bytes, key.len);
	kv_batch_delete_range(m->batch, first.bytes, first.len, last.bytes,
			      last.len);
	merge_views_lock(&m->views);
	rc = kv_write(m->site->kv, m->batch);
	into->parent = rc == 0 ? from->parent : into->parent;
	for (unsigned int i = 0; rc == 0 && i < m->views.count; i++)
		view_take_out(m->views.views[i], from);
	merge_views_unlock(&m->views);
	if (rc < 0)
		return rc;
	KILL_POINT("merge-end");
	for (unsigned int i = 0; i < m->views.count; i++)
		layer_put(m->site->layers, from);
	rc = kv_sync_log(m->site->kv);
	drop_dirs(m->site, from->id);
	return rc;
}

static int merge_run(struct merge *m, bool *more)
{
	struct layer *into = m->stack[0], *from = m->stack[1];
	int rc = merge_find_views(m);

	/* B's records will be based on them. */
	merge_views_lock(&m->views);
	for (unsigned int i = 0; i < from->tree_count && rc == 0; i++)
		rc = layer_hold_tree(into, from->trees[i]);
	merge_views_unlock(&m->views);
	if (rc == 0)
		rc = merge_kind(m, 'd', more);
	if (rc == 0 && !*more)
		rc = merge_kind(m, 'i', more);
	if (rc == 0)
		rc = merge_reap_all(m);
	return rc == 0 && !*more ? merge_end(m) : rc;
}

int merge_step(struct site *site, uint64_t into, bool *more)
{
	struct merge *m = calloc(1, sizeof(*m));
	int rc;

	*more = false;
	if (!m)
		return -ENOMEM;
	m->site = site;
	m->batch = kv_batch_new();
	rc = m->batch ? layers_get(site->layers, into, m->stack, &m->count)
		      : -ENOMEM;
	if (rc == 0 && m->count > 1)
		rc = merge_run(m, more);
	while (m->count > 0)
		layer_put(site->layers, m->stack[--m->count]);
	kv_batch_free(m->batch);
	free(m->views.views);
	free(m);
	return rc;
}

/* --- which --------------------------------------------------------------- */

/* Layers, by who uses them.  (A top that was never frozen has no key 'L', and
 * stands on nothing.) */
struct merge_uses {
	struct kv *kv;
	struct idset live;
	struct idset named;  /* by a guest or a snapshot */
	struct idset tops;   /* of guests */
	struct idset stood;  /* on by a living layer */
	struct idset shared; /* by two or more */
};

static int uses_add(struct idset *set, uint64_t id)
{
	int rc = idset_reserve(set, 1);

	if (rc == 0 && !idset_has(set, id))
		idset_add(set, id);
	return rc;
}

static int uses_visit(void *ctx, uint64_t layer, bool top)
{
	struct merge_uses *u = ctx;
	uint64_t id = layer;
	int rc = layer ? uses_add(&u->named, layer) : 0;

	if (rc == 0 && layer && top)
		rc = uses_add(&u->tops, layer);
	while (rc == 0 && id != 0 && !idset_has(&u->live, id)) {
		rc = uses_add(&u->live, id);
		if (rc == 0)
			rc = layer_parent(u->kv, id, &id);
		if (rc == 0 && id != 0)
			rc = uses_add(idset_has(&u->stood, id) ? &u->shared
							       : &u->stood,
				      id);
	}
	return rc;
}

static void uses_free(struct merge_uses *u)
{
	idset_clear(&u->live);
	idset_clear(&u->named);
	idset_clear(&u->tops);
	idset_clear(&u->stood);
	idset_clear(&u->shared);
}

/* The lowest layer of a stack that may take in the one below it, 0: none.
 * *count: layers of the stack. */
static int uses_pick(const struct merge_uses *u, uint64_t top, uint64_t *into,
		     unsigned int *count)
{
	uint64_t id = top;
	int rc = 0;

	*into = 0;
	for (*count = 0; rc == 0 && id != 0; ++*count) {
		uint64_t below;

		if (*count == MERGE_CHAIN_MAX)
			return log_err(-EBADMSG,
				       "state: layers stand in a ring");
		rc = layer_parent(u->kv, id, &below);
		if (rc == 0 && below != 0 && !idset_has(&u->tops, id) &&
		    !idset_has(&u->named, below) &&
		    !idset_has(&u->shared, below))
			*into = id;
		id = below;
	}
	return rc;
}

/* As uses_pick, from the database as it is now. */
static int merge_pick(struct site *site, uint64_t top, uint64_t *into,
		      unsigned int *count)
{
	struct merge_uses uses = {.kv = site->kv};
	int rc = site_each_named(site, uses_visit, &uses);

	if (rc == 0)
		rc = uses_pick(&uses, top, into, count);
	uses_free(&uses);
	return rc;
}

int merge_may_below(struct site *site, uint64_t layer, bool *may)
{
	struct merge_uses uses = {.kv = site->kv};
	uint64_t below;
	int rc = layer_parent(site->kv, layer, &below);

	if (rc == 0)
		rc = site_each_named(site, uses_visit, &uses);
	*may = rc == 0 && below != 0 && !idset_has(&uses.named, below) &&
	       !idset_has(&uses.shared, below);
	uses_free(&uses);
	return rc;
}

int merge_stack(struct site *site, uint64_t top, unsigned int keep,
		unsigned int *count)
{
	for (;;) {
		uint64_t into;
		bool more = true;
		int rc = merge_pick(site, top, &into, count);

		if (rc < 0 || *count <= keep || into == 0)
			return rc;
		while (rc == 0 && more)
			rc = merge_step(site, into, &more);
		if (rc < 0)
			return rc;
		log_info("layer %llu took in the one below it",
			 (unsigned long long)into);
	}
}

/* --- in the background --------------------------------------------------- */

/* A guest's layer that may take in the one below it, 0: none has too many. */
static int merge_pick_guest(struct site *site, uint64_t *into)
{
	struct merge_uses uses = {.kv = site->kv};
	bool collected = false;
	int rc = 0;

	*into = 0;
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++) {
		const struct view *view = site->views[i].view;
		unsigned int count;

		if (view->layer_count <= MERGE_KEEP)
			continue;
		if (!collected)
			rc = site_each_named(site, uses_visit, &uses);
		collected = true;
		if (rc == 0)
			rc = uses_pick(&uses, view_top(view)->id, into, &count);
		if (*into != 0)
			break;
	}
	uses_free(&uses);
	return rc;
}

int merge_guests(struct site *site, const bool *stop)
{
	uint64_t into = 1;
	int rc = 0;

	while (rc == 0 && into != 0 &&
	       !__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		bool more;

		pthread_mutex_lock(&site->verbs);
		rc = merge_pick_guest(site, &into);
		if (rc == 0 && into != 0)
			rc = merge_step(site, into, &more);
		pthread_mutex_unlock(&site->verbs);
	}
	return rc;
}
