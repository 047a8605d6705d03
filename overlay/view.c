/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: opening and closing a guest's view, its figures, its layers.
 */
#include <stdio.h>
#include <sys/statvfs.h>

#include "depot/io.h"
#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/view_impl.h"

/* --- opening ------------------------------------------------------------- */

int layers_get(struct layers *layers, uint64_t top,
	       struct layer *out[VIEW_LAYERS_MAX], unsigned int *count)
{
	uint64_t id = top;
	int rc = 0;

	for (*count = 0; rc == 0 && id != 0; id = out[*count - 1]->parent) {
		if (*count == VIEW_LAYERS_MAX)
			rc = log_err(
			    -EMLINK, "layer %llu stands on more than %d others",
			    (unsigned long long)top, VIEW_LAYERS_MAX - 1);
		else
			rc = layer_get(layers, id, &out[*count]);
		if (rc < 0)
			break;
		++*count;
	}
	while (rc < 0 && *count > 0)
		layer_put(layers, out[--*count]);
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
	if (value.len > 0 && value.data[0] > RECORD_FORMAT)
		rc = record_newer("fileid counter", value.data[0],
				  RECORD_FORMAT);
	else if (value.len == 9 && value.data[0] == RECORD_FORMAT)
		view->next_id = view->id_limit = le64_get(value.data + 1);
	else
		rc = log_err(-EBADMSG, "state: damaged counter of %s",
			     view->info.path);
	kv_value_release(&value);
	return rc;
}

/* The directory of a layer's host files, made and named for good. */
static int view_make_dir(struct view *view, uint64_t layer)
{
	char path[640];
	int rc;

	snprintf(path, sizeof(path), "%s/%016llx", view->data_dir,
		 (unsigned long long)layer);
	rc = io_mkdirs(path);
	return rc < 0 ? log_err(rc, "delta %s: %s", view->info.path, path) : 0;
}

void view_count_layer(struct view *view, const struct layer *layer, int sign)
{
	int64_t bytes = sign * (int64_t)layer->bytes;
	int64_t files = sign * (int64_t)layer->recorded.count;

	quota_add(&view->quota, bytes, files);
	quota_add(view->tenant_quota, bytes, files);
}

static void view_count_unread(struct view *view, int sign)
{
	int64_t bytes = sign * (int64_t)view->unread_bytes;
	int64_t files = sign * (int64_t)view->unread_files;

	quota_add(&view->quota, bytes, files);
	quota_add(view->tenant_quota, bytes, files);
}

/* Its layers are not loaded: its space is its all the same. */
static int view_sum_layers(struct view *view, uint64_t top)
{
	int rc =
	    layer_sum(view->kv, top, &view->unread_bytes, &view->unread_files);

	if (rc < 0 && rc != -ENOMEM) {
		log_warn("delta %s: how much it holds is not known",
			 view->info.path);
		rc = 0;
	}
	view_count_unread(view, 1);
	return rc;
}

static void view_end_unread(struct view *view)
{
	view_count_unread(view, -1);
	view->unread_bytes = view->unread_files = 0;
}

/* It had none before. */
static int view_begin_layers(struct view *view)
{
	for (unsigned int i = 0; i < view->layer_count; i++)
		view_count_layer(view, view->layer[i], 1);
	return reap_all(view);
}

static void view_drop_layers(struct view *view)
{
	for (unsigned int i = 0; i < view->layer_count; i++) {
		view_count_layer(view, view->layer[i], -1);
		layer_put(view->layers, view->layer[i]);
	}
	view->layer_count = 0;
}

static int view_load(struct view *view, uint64_t top)
{
	int rc = view_make_dir(view, top);

	if (rc == 0)
		rc = view_load_ids(view);
	if (rc < 0)
		return rc;
	if (view->offline)
		return view_sum_layers(view, top);
	rc = layers_get(view->layers, top, view->layer, &view->layer_count);
	return rc < 0 ? rc : view_begin_layers(view);
}

int view_go_online(struct view *view, uint64_t top, struct image *image,
		   struct past *past)
{
	struct layer *layers[VIEW_LAYERS_MAX];
	struct image *stood_in = view->image;
	unsigned int count;
	/* Not under the lock: a base may have to come from an upstream. */
	int rc = layers_get(view->layers, top, layers, &count);

	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&view->lock);
	memcpy(view->layer, layers, count * sizeof(struct layer *));
	view->layer_count = count;
	rc = view_begin_layers(view);
	if (rc == 0) {
		view_end_unread(view);
		view->image = image_get(image);
		view->past = past;
		__atomic_store_n(&view->offline, false, __ATOMIC_RELEASE);
	} else {
		view_drop_layers(view);
	}
	pthread_rwlock_unlock(&view->lock);
	if (rc == 0)
		image_put(stood_in);
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
	ahead_init(&v->ahead);
	v->depot = open->depot;
	v->kv = depot_state(open->depot);
	v->journal = open->journal;
	v->info = open->info;
	v->layers = open->layers;
	v->lives = open->lives;
	v->starts = open->starts;
	v->tenant_quota = open->tenant_quota;
	v->since = open->since;
	v->paused = open->paused;
	v->offline = open->offline;
	v->image = image_get(image);
	v->past = open->past;
	snprintf(v->tenant, sizeof(v->tenant), "%s", open->tenant);
	v->who = depot_who(open->tenant);
	snprintf(v->guest, sizeof(v->guest), "%s", open->guest);
	snprintf(v->data_dir, sizeof(v->data_dir), "%s/data",
		 depot_path(v->depot));
	rc = view_load(v, open->layer);
	if (rc < 0)
		view_close(v);
	else
		*view = v;
	return rc;
}

void view_forget_layers(struct view *view)
{
	pthread_rwlock_wrlock(&view->lock);
	node_close_all(view);
	view_drop_layers(view);
	view_end_unread(view);
	pthread_rwlock_unlock(&view->lock);
}

void view_close(struct view *view)
{
	if (!view)
		return;
	view_drain(view);
	starts_close_view(view);
	view_forget_layers(view);
	image_put(view->image);
	ahead_destroy(&view->ahead);
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

static uint64_t quota_read(const uint64_t *figure)
{
	return __atomic_load_n(figure, __ATOMIC_RELAXED);
}

/* A limit looks like a smaller file system (rule N-44). */
static void statfs_limit(struct view_statfs *s, const struct quota *q)
{
	uint64_t bytes = quota_read(&q->bytes), files = quota_read(&q->files);
	uint64_t bytes_max = quota_read(&q->bytes_max);
	uint64_t files_max = quota_read(&q->files_max);

	s->avail_bytes = quota_left(bytes_max, bytes, s->avail_bytes);
	s->avail_files = quota_left(files_max, files, s->avail_files);
	if (bytes_max > 0) {
		s->total_bytes = MIN(s->total_bytes, bytes_max);
		s->free_bytes = s->avail_bytes;
	}
	if (files_max > 0) {
		s->total_files = MIN(s->total_files, files_max);
		s->free_files = s->avail_files;
	}
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
	statfs_limit(statfs, &view->quota);
	statfs_limit(statfs, view->tenant_quota);
	return 0;
}

struct replies {
	void (*visit)(void *ctx, uint32_t slot, const uint8_t *record,
		      size_t len);
	void *ctx;
};

static int view_visit_reply(void *ctx, const struct each_key *key)
{
	const struct replies *r = ctx;

	if (key->value_len <= VIEW_REPLY_MAX)
		r->visit(r->ctx,
			 (uint32_t)key->rest[0] << 8 | (uint32_t)key->rest[1],
			 key->value, key->value_len);
	return 0;
}

int view_replies(struct view *view,
		 void (*visit)(void *ctx, uint32_t slot, const uint8_t *record,
			       size_t len),
		 void *ctx)
{
	struct replies r = {visit, ctx};
	struct record_key prefix;

	record_key_replies(&prefix, view->info.export_id);
	return each_key(view->kv, &prefix, 2, view_visit_reply, &r);
}

void view_mounted(struct view *view)
{
	starts_mounted(view);
}

bool view_is_paused(const struct view *view)
{
	return __atomic_load_n(&view->paused, __ATOMIC_ACQUIRE) ||
	       view_is_offline(view);
}

bool view_is_offline(const struct view *view)
{
	return __atomic_load_n(&view->offline, __ATOMIC_ACQUIRE);
}

void view_new_verifier(struct view *view)
{
	uint64_t fresh;

	do
		random_bytes(&fresh, sizeof(fresh));
	while (fresh == view->info.verifier);
	__atomic_store_n(&view->info.verifier, fresh, __ATOMIC_RELAXED);
}

/* --- other layers -------------------------------------------------------- */

int view_prepare_layer(struct view *view, uint64_t id, uint64_t parent,
		       struct layer **layer)
{
	int rc = view_make_dir(view, id);

	return rc < 0 ? rc : layer_new(view->layers, id, parent, layer);
}

void view_set_layers(struct view *view, struct layer *const *layers,
		     unsigned int count)
{
	struct layer *old[VIEW_LAYERS_MAX];
	unsigned int old_count = view->layer_count;

	memcpy(old, view->layer, old_count * sizeof(struct layer *));
	for (unsigned int i = 0; i < old_count; i++)
		view_count_layer(view, old[i], -1);
	memcpy(view->layer, layers, count * sizeof(struct layer *));
	view->layer_count = count;
	for (unsigned int i = 0; i < count; i++)
		view_count_layer(view, view->layer[i], 1);
	for (unsigned int i = 0; i < old_count; i++)
		layer_put(view->layers, old[i]);
}
