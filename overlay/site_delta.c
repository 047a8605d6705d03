/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_delta: snapshots of deltas, going back to them, clones.
 *
 * All is done by pointing guests and snapshots at layers (layer.h), in one
 * durable batch each; nothing is copied.
 */
#include <stdio.h>
#include <time.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/merge.h"
#include "overlay/site_own.h"

/* --- standing on other layers -------------------------------------------- */

static int delta_depth(struct site *site, uint64_t top, unsigned int *depth)
{
	int rc = 0;

	for (*depth = 0; rc == 0 && top != 0; ++*depth)
		rc = layer_parent(site->kv, top, &top);
	return rc;
}

static int delta_too_deep(const char *name)
{
	return log_err(-EMLINK,
		       "delta %s has %d layers already, and snapshots or other "
		       "guests need each: remove snapshots, or export and "
		       "import it",
		       name, SITE_LAYERS_MAX);
}

/*
 * Room for one layer more than `below` has.  Layers are merged for it when
 * there is none; when `below` is about to be frozen, and may be merged with the
 * one below it then, that is left to the background.
 */
static int delta_make_room(struct site *site, const char *name, uint64_t below,
			   bool freezes)
{
	unsigned int depth;
	bool may = false;
	int rc = delta_depth(site, below, &depth);

	if (rc < 0 || depth < SITE_LAYERS_MAX)
		return rc;
	log_info("delta %s has %u layers: merging some first", name, depth);
	rc = merge_stack(site, below, SITE_LAYERS_MAX - 1, &depth);
	if (rc < 0 || depth < SITE_LAYERS_MAX)
		return rc;
	if (freezes && depth < VIEW_LAYERS_MAX)
		rc = merge_may_below(site, below, &may);
	if (rc < 0 || may)
		return rc;
	return delta_too_deep(name);
}

struct stand {
	struct site *site;
	const char *name;
	struct site_view *sv;
	struct guest_record record;               /* the new one */
	struct layer *stack[VIEW_LAYERS_MAX + 1]; /* refs until taken over */
	unsigned int count;
	struct kv_batch *batch; /* owns */
	bool done;
};

/* A new top layer over `parent`, in memory only. */
static int stand_begin(struct stand *s, struct site *site, const char *name,
		       struct site_view *sv, uint64_t parent, bool freezes)
{
	int rc;

	*s = (struct stand){site, name, sv, sv->record, {0}, 0, NULL, false};
	rc = delta_make_room(site, name, parent, freezes);
	if (rc == 0)
		rc = counter_next(site->kv, "layer", &s->record.layer);
	if (rc == 0)
		rc = view_prepare_layer(sv->view, s->record.layer, parent,
					&s->stack[0]);
	if (rc < 0)
		return rc;
	s->count = 1;
	rc = layers_get(site->layers, parent, s->stack + 1, &s->count);
	s->count = rc < 0 ? 1 : s->count + 1;
	s->batch = rc == 0 ? kv_batch_new() : NULL;
	return rc == 0 && !s->batch ? -ENOMEM : rc;
}

/* In a still view: into the log, then memory. */
static int stand_commit(struct stand *s)
{
	struct view *view = s->sv->view;
	struct layer *old = view_top(view);
	int rc;

	layer_put_key(s->batch, s->record.layer, s->stack[0]->parent);
	layer_put_key(s->batch, old->id, old->parent);
	site_put_guest(s->batch, s->name, &s->record);
	rc = kv_write(s->site->kv, s->batch);
	if (rc < 0)
		return rc;
	view->since = s->record.since;
	view_set_layers(view, s->stack, s->count);
	s->count = 0;
	s->done = true;
	return 0;
}

/* Not in a still view: what listings show, and what was not taken over. */
static void stand_end(struct stand *s)
{
	if (s->done) {
		pthread_rwlock_wrlock(&s->site->lock);
		s->sv->record = s->record;
		pthread_rwlock_unlock(&s->site->lock);
	} else if (s->count > 0) {
		drop_dirs(s->site, s->record.layer);
	}
	for (unsigned int i = 0; i < s->count; i++)
		layer_put(s->site->layers, s->stack[i]);
	kv_batch_free(s->batch);
}

/* Nothing in it, and nothing waiting to be. */
static bool layer_is_empty(const struct layer *layer)
{
	return layer->recorded.count == 0 && layer->touched.count == 0;
}

int delta_freeze(struct site *site, const char *name, struct site_view *sv,
		 int (*more)(void *ctx, struct kv_batch *batch,
			     uint64_t frozen),
		 void *ctx)
{
	struct view *view = sv->view;
	struct stand s;
	int rc = stand_begin(&s, site, name, sv, view_top(view)->id, true);

	if (rc == 0)
		rc = view_still(view);
	if (rc == 0) {
		bool empty = layer_is_empty(view_top(view));
		uint64_t frozen =
		    empty ? view_top(view)->parent : view_top(view)->id;

		rc = more ? more(ctx, s.batch, frozen) : 0;
		if (rc == 0 && empty)
			rc = kv_write(site->kv, s.batch);
		else if (rc == 0)
			rc = stand_commit(&s);
		view_stir(view);
	}
	stand_end(&s);
	drops_kick(site->drops); /* merges */
	return rc < 0 ? rc : kv_sync_log(site->kv);
}

int delta_replace(struct site *site, const char *name, struct site_view *sv,
		  uint64_t parent)
{
	struct view *view = sv->view;
	struct stand s;
	int rc = stand_begin(&s, site, name, sv, parent, false);

	if (rc == 0)
		rc = view_still(view);
	if (rc == 0) {
		/* Whatever a client has cached, it must ask again. */
		s.record.since = time_after(&view->since);
		rc = stand_commit(&s);
		if (rc == 0)
			view_new_verifier(view);
		view_stir(view);
	}
	stand_end(&s);
	if (rc == 0)
		rc = kv_sync_log(site->kv);
	drops_kick(site->drops);
	return rc;
}

/* --- snapshots ----------------------------------------------------------- */

int delta_find_snapshot(struct site *site, const char *guest,
			const char *snapshot, uint64_t *layer)
{
	struct snapshot_record record;
	struct record_key key;
	struct kv_value value;
	int rc;

	if (!depot_name_ok(snapshot))
		return log_err(-EINVAL, "\"%s\" is no name for a snapshot",
			       snapshot);
	record_key_snapshot(&key, guest, snapshot);
	rc = kv_get(site->kv, key.bytes, key.len, &value);
	if (rc == -ENOENT)
		return log_err(rc, "guest %s has no snapshot \"%s\"", guest,
			       snapshot);
	if (rc < 0)
		return rc;
	rc = snapshot_decode(value.data, value.len, &record);
	*layer = record.layer;
	kv_value_release(&value);
	return rc;
}

struct snapshot {
	const char *guest, *name;
};

static int snapshot_more(void *ctx, struct kv_batch *batch, uint64_t frozen)
{
	const struct snapshot *s = ctx;
	struct snapshot_record record = {.layer = frozen};
	uint8_t value[SNAPSHOT_RECORD_LEN];
	struct record_key key;

	clock_gettime(CLOCK_REALTIME, &record.time);
	snapshot_encode(&record, value);
	record_key_snapshot(&key, s->guest, s->name);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
	return 0;
}

static int snapshot_take(struct site *site, const char *guest,
			 struct site_view *sv, const char *name)
{
	struct snapshot s = {guest, name};
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_snapshot(&key, guest, name);
	rc = kv_get(site->kv, key.bytes, key.len, &value);
	kv_value_release(&value);
	if (rc == 0)
		return log_err(-EEXIST,
			       "guest %s has a snapshot \"%s\" already", guest,
			       name);
	return rc == -ENOENT ? delta_freeze(site, guest, sv, snapshot_more, &s)
			     : rc;
}

int site_delta_snapshot(struct site *site, const char *guest,
			const char *snapshot)
{
	struct site_view *sv;
	int rc;

	if (!depot_name_ok(snapshot))
		return log_err(-EINVAL, "\"%s\" is no name for a snapshot",
			       snapshot);
	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = snapshot_take(site, guest, sv, snapshot);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

static int snapshot_remove(struct site *site, const char *guest,
			   const char *snapshot)
{
	struct record_key key;
	uint64_t layer;
	int rc = delta_find_snapshot(site, guest, snapshot, &layer);

	if (rc < 0)
		return rc;
	record_key_snapshot(&key, guest, snapshot);
	rc = kv_delete(site->kv, key.bytes, key.len);
	return rc < 0 ? rc : kv_sync_log(site->kv);
}

int site_delta_snapshot_remove(struct site *site, const char *guest,
			       const char *snapshot)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&site->verbs);
	if (site_guest_record(site, guest))
		rc = snapshot_remove(site, guest, snapshot);
	pthread_mutex_unlock(&site->verbs);
	drops_kick(site->drops);
	return rc;
}

struct snapshot_walk {
	struct site *site;
	int (*visit)(void *ctx, const struct site_snapshot *);
	void *ctx;
};

static int snapshot_visit(void *ctx, const struct each_key *key)
{
	struct snapshot_walk *walk = ctx;
	struct layer *stack[VIEW_LAYERS_MAX];
	struct snapshot_record record;
	struct site_snapshot out = {0};
	unsigned int count;
	int rc = snapshot_decode(key->value, key->value_len, &record);

	if (rc == 0)
		rc =
		    layers_get(walk->site->layers, record.layer, stack, &count);
	if (rc < 0)
		return rc;
	memcpy(out.name, key->rest, MIN(key->rest_len, sizeof(out.name) - 1));
	out.time = record.time;
	while (count > 0) {
		out.bytes += stack[--count]->bytes;
		out.files += stack[count]->recorded.count;
		layer_put(walk->site->layers, stack[count]);
	}
	return walk->visit(walk->ctx, &out);
}

int site_delta_snapshots(struct site *site, const char *guest,
			 int (*visit)(void *ctx, const struct site_snapshot *),
			 void *ctx)
{
	struct snapshot_walk walk = {site, visit, ctx};
	struct record_key prefix;
	int rc = -ENOENT;

	pthread_mutex_lock(&site->verbs);
	if (site_guest_record(site, guest)) {
		record_key_snapshot(&prefix, guest, NULL);
		rc = each_key(site->kv, &prefix, SIZE_MAX, snapshot_visit,
			      &walk);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

int site_delta_restore(struct site *site, const char *guest,
		       const char *snapshot)
{
	struct site_view *sv;
	uint64_t layer = 0;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0 && snapshot)
		rc = delta_find_snapshot(site, guest, snapshot, &layer);
	if (rc == 0 && layer != 0)
		rc = delta_fits(site, guest, sv->view, snapshot, layer);
	if (rc == 0)
		rc = delta_replace(site, guest, sv, layer);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- clones -------------------------------------------------------------- */

struct clone {
	struct site *site;
	const char *to;
	struct guest_record record;
	const struct view *from;
	const struct guest_own *own; /* NULL: none */
};

static int clone_more(void *ctx, struct kv_batch *batch, uint64_t frozen)
{
	struct clone *c = ctx;
	uint8_t value[9] = {RECORD_FORMAT};
	struct record_key key;
	unsigned int depth;
	int rc = delta_depth(c->site, frozen, &depth);

	if (rc == 0 && depth >= VIEW_LAYERS_MAX)
		rc = delta_too_deep(c->to);
	if (rc < 0)
		return rc;
	layer_put_key(batch, c->record.layer, frozen);
	/* Numbers below may be in the layers. */
	le64_put(value + 1,
		 __atomic_load_n(&c->from->id_limit, __ATOMIC_RELAXED));
	record_key_fileids(&key, c->record.export_id);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
	site_put_guest(batch, c->to, &c->record);
	return c->own ? own_put(batch, c->to, c->own) : 0;
}

/* The new guest's record, in a batch of its own or that of the freeze. */
static int clone_write(struct clone *c, const char *from, struct site_view *sv,
		       const char *snapshot)
{
	struct kv_batch *batch;
	uint64_t layer = 0;
	int rc;

	if (!snapshot)
		return delta_freeze(c->site, from, sv, clone_more, c);
	rc = delta_find_snapshot(c->site, from, snapshot, &layer);
	if (rc == 0 && layer != 0)
		rc = delta_fits(c->site, from, sv->view, snapshot, layer);
	if (rc == 0)
		rc = delta_make_room(c->site, c->to, layer, false);
	if (rc < 0)
		return rc;
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	rc = clone_more(c, batch, layer);
	if (rc == 0)
		rc = site_write(c->site, batch);
	kv_batch_free(batch);
	return rc;
}

static int clone_check(struct site *site, const char *from, const char *to,
		       char tenant[PACKAGE_NAME_MAX + 1], const char **guest)
{
	char path[SITE_EXPORT_PATH_MAX];
	int rc = site_split_name(to, tenant, guest);

	if (rc < 0)
		return rc;
	if (strncmp(from, to, (size_t)(*guest - to)) != 0)
		return log_err(-EXDEV,
			       "%s and %s are of different tenants: their "
			       "packages have different file numbers",
			       from, to);
	snprintf(path, sizeof(path), "/%s", to);
	if (site_find_view(site, path))
		return log_err(-EEXIST, "guest %s exists", to);
	return 0;
}

static int clone_make(struct site *site, const char *from, const char *snapshot,
		      const char *to, const struct site_guest_options *options)
{
	struct clone c = {.site = site, .to = to};
	char tenant[PACKAGE_NAME_MAX + 1];
	struct site_view *sv;
	const char *guest;
	int rc = site_guest(site, from, &sv);

	if (rc == 0)
		rc = clone_check(site, from, to, tenant, &guest);
	if (rc == 0) {
		pthread_rwlock_rdlock(&site->lock);
		rc = guest_fill(site, to, options, &c.record);
		if (rc == 0)
			rc = access_check(site, to, &c.record);
		pthread_rwlock_unlock(&site->lock);
	}
	if (rc == 0)
		rc = counter_next(site->kv, "layer", &c.record.layer);
	if (rc < 0)
		return rc;
	c.from = sv->view;
	c.own = sv->own;
	c.record.since = sv->record.since;
	rc = clone_write(&c, from, sv, snapshot);
	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&site->lock);
	rc = site_add_view(site, site_find_tenant(site, tenant), guest,
			   &c.record);
	pthread_rwlock_unlock(&site->lock);
	return rc;
}

int site_delta_clone(struct site *site, const char *from, const char *snapshot,
		     const char *to, const struct site_guest_options *options)
{
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = clone_make(site, from, snapshot, to, options);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
