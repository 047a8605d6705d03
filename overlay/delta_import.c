/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_import: a stream (delta_stream.h) into layers of their own, and then a
 * guest onto them.
 *
 * Until the stream has proved itself nothing names the new layers, so whatever
 * fails, or a crash, leaves garbage that drop.c finds.  site->verbs is held
 * throughout, which keeps it from looking too early.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "depot/io.h"
#include "depot/log.h"
#include "overlay/attribute.h"
#include "overlay/delta_stream.h"
#include "overlay/site_offline.h"
#include "overlay/site_own.h"

enum { IMPORT_BATCH = 500 /* keys */ };

struct importing {
	struct site *site;
	struct stream_in in;
	uint8_t kind;
	char tenant[PACKAGE_NAME_MAX + 1], guest[PACKAGE_NAME_MAX + 1];
	uint8_t key[SIPHASH_KEY_LEN];
	uint64_t next_id;
	struct selection selection;
	struct guest_own *own; /* owns */
	struct guest_record record;
	bool has_record, has_top;
	uint64_t top;
	uint64_t layers[STREAM_LAYERS_MAX]; /* here, by number in the stream */
	uint8_t depth[STREAM_LAYERS_MAX];
	uint32_t count;
	uint64_t layer;        /* that keys belong to now */
	struct kv_batch *keys; /* owns; of layers */
	struct kv_batch *last; /* owns; written when all is proved */
	int fd;                /* owns; host file that is being written */
	uint64_t data_id;
};

static int import_bad(const char *what)
{
	return log_err(-EBADMSG, "a delta's stream is damaged: %s", what);
}

/* --- head ---------------------------------------------------------------- */

static bool import_text(const uint8_t **at, const uint8_t *end,
			char out[PACKAGE_NAME_MAX + 1])
{
	size_t len = *at < end ? **at : 0;

	if (len == 0 || len > PACKAGE_NAME_MAX || (size_t)(end - *at) < len + 1)
		return false;
	memcpy(out, *at + 1, len);
	out[len] = '\0';
	*at += len + 1;
	return depot_name_ok(out);
}

static int import_head(struct importing *im)
{
	const uint8_t *at = im->in.item, *end = at + im->in.len;
	int rc = stream_in_next(&im->in);

	if (rc < 0)
		return rc;
	at = im->in.item;
	end = at + im->in.len;
	if (im->in.type != 'H' || im->in.len < 11 ||
	    memcmp(at, "vdelta\0", 8) != 0)
		return log_err(-EBADMSG, "this is no delta's stream");
	if (le16_get(at + 8) > STREAM_FORMAT)
		return record_newer("delta's stream", le16_get(at + 8),
				    STREAM_FORMAT);
	im->kind = at[10];
	at += 11;
	if (!import_text(&at, end, im->tenant) ||
	    !import_text(&at, end, im->guest) || end - at < 28)
		return import_bad("its head");
	memcpy(im->key, at, SIPHASH_KEY_LEN);
	im->next_id = le64_get(at + 16);
	rc = selection_decode(at + 28, (size_t)(end - at) - 28, &im->selection);
	im->selection.generation = le32_get(at + 24);
	if (rc == -EBADMSG || im->next_id >= RECORD_BORN)
		return import_bad("its head");
	return rc;
}

/* --- layers -------------------------------------------------------------- */

static void import_path(const struct importing *im, uint64_t data_id, char *out,
			size_t len)
{
	snprintf(out, len, "%s/data/%016llx/%02x", depot_path(im->site->depot),
		 (unsigned long long)im->layer, (unsigned int)(data_id & 0xff));
}

static int import_file_end(struct importing *im)
{
	char dir[640];
	int rc;

	if (im->fd < 0)
		return 0;
	import_path(im, im->data_id, dir, sizeof(dir));
	rc = io_sync(im->fd);
	close(im->fd);
	im->fd = -1;
	return rc == 0 ? io_sync_dir(dir) : rc;
}

static int import_flush(struct importing *im)
{
	int rc = kv_write(im->site->kv, im->keys);

	kv_batch_clear(im->keys);
	return rc;
}

static int import_layer(struct importing *im)
{
	uint32_t number, below;
	uint64_t id;
	int rc;

	if (im->in.len != 8)
		return import_bad("a layer");
	number = le32_get(im->in.item);
	below = le32_get(im->in.item + 4);
	if (number != im->count || number >= STREAM_LAYERS_MAX ||
	    (below != UINT32_MAX && below >= number))
		return import_bad("the order of its layers");
	im->depth[number] =
	    (uint8_t)(below == UINT32_MAX ? 1 : im->depth[below] + 1);
	if (im->depth[number] > VIEW_LAYERS_MAX)
		return import_bad("too many layers");
	rc = import_file_end(im);
	if (rc == 0)
		rc = counter_next(im->site->kv, "layer", &id);
	if (rc < 0)
		return rc;
	im->layers[im->count++] = im->layer = id;
	layer_put_key(im->keys, id,
		      below == UINT32_MAX ? 0 : im->layers[below]);
	return import_flush(im);
}

static bool import_key_ok(const uint8_t *rest, size_t rest_len,
			  const uint8_t *value, size_t len)
{
	struct record_name name;
	struct record rec;

	switch (rest[0]) {
	case 'i':
		return rest_len == 9 && be64_get(rest + 1) != 0 &&
		       record_decode(value, len, &rec) == 0 &&
		       rec.data.layer == 0;
	case 'd':
		return rest_len == 17 &&
		       record_name_decode(value, len, &name) == 0;
	case 'x':
		return rest_len == 9 && len <= RECORD_INLINE_MAX;
	case 'p':
		return rest_len == 13 && len == 1 + RECORD_PIECE_LEN;
	default:
		return false;
	}
}

static int import_key(struct importing *im)
{
	const uint8_t *item = im->in.item;
	size_t rest_len = im->in.len > 0 ? item[0] : 0;
	const uint8_t *value = item + 1 + rest_len;
	struct record_key key;

	if (im->layer == 0 || rest_len == 0 || im->in.len < 1 + rest_len ||
	    !import_key_ok(item + 1, rest_len, value,
			   im->in.len - 1 - rest_len))
		return import_bad("a key");
	record_key_kind(&key, im->layer, (char)item[1]);
	memcpy(key.bytes + key.len, item + 2, rest_len - 1);
	key.len += rest_len - 1;
	kv_batch_put(im->keys, key.bytes, key.len, value,
		     im->in.len - 1 - rest_len);
	return kv_batch_count(im->keys) >= IMPORT_BATCH ? import_flush(im) : 0;
}

static int import_open(struct importing *im, uint64_t data_id)
{
	char path[700], parent[640];
	struct record_key key;
	int rc = import_file_end(im);

	if (rc < 0)
		return rc;
	import_path(im, data_id, parent, sizeof(parent));
	/* Should nothing come of it, drop.c finds the file by this key. */
	record_key_reap(&key, im->layer, data_id);
	rc = kv_put(im->site->kv, key.bytes, key.len, "\1", 1);
	if (rc == 0)
		rc = io_mkdirs(parent);
	snprintf(path, sizeof(path), "%s/%016llx", parent,
		 (unsigned long long)data_id);
	if (rc == 0)
		rc = io_open(path, true, &im->fd);
	im->data_id = data_id;
	return rc < 0 ? log_err(rc, "delta of %s: %s", im->guest, path) : 0;
}

static int import_file(struct importing *im)
{
	uint64_t data_id, off;
	int rc = 0;

	if (im->layer == 0 || im->in.len < 16)
		return import_bad("a host file");
	data_id = le64_get(im->in.item);
	off = le64_get(im->in.item + 8);
	if (off > VIEW_FILE_SIZE_MAX - STREAM_ITEM_MAX)
		return import_bad("a host file");
	if (im->fd < 0 || im->data_id != data_id)
		rc = import_open(im, data_id);
	if (rc < 0)
		return rc;
	return im->in.len == 16 ? io_truncate(im->fd, off)
				: io_pwrite_all(im->fd, im->in.item + 16,
						im->in.len - 16, off);
}

/* --- what is a guest's own ----------------------------------------------- */

static int import_number(const struct importing *im, uint64_t *layer)
{
	uint32_t number = le32_get(im->in.item);

	*layer = 0;
	if (number == UINT32_MAX)
		return 0;
	if (number >= im->count)
		return import_bad("a layer that has not come");
	*layer = im->layers[number];
	return 0;
}

static int import_reply(struct importing *im)
{
	struct record_key key;

	if (!im->has_record || im->in.len < 4 ||
	    im->in.len > 4 + VIEW_REPLY_MAX ||
	    le32_get(im->in.item) >= VIEW_REPLY_SLOTS)
		return import_bad("a reply");
	record_key_reply(&key, im->record.export_id, le32_get(im->in.item));
	kv_batch_put(im->last, key.bytes, key.len, im->in.item + 4,
		     im->in.len - 4);
	return 0;
}

static int import_snapshot(struct importing *im)
{
	struct snapshot_record record = {0};
	uint8_t value[SNAPSHOT_RECORD_LEN];
	char name[PACKAGE_NAME_MAX + 1] = "", guest[SITE_EXPORT_PATH_MAX];
	struct record_key key;

	if (im->in.len <= 16 || im->in.len > 16 + PACKAGE_NAME_MAX)
		return import_bad("a snapshot");
	memcpy(name, im->in.item + 16, im->in.len - 16);
	record.time.tv_sec = (time_t)le64_get(im->in.item + 4);
	record.time.tv_nsec = le32_get(im->in.item + 12);
	if (!depot_name_ok(name) || import_number(im, &record.layer) < 0)
		return import_bad("a snapshot");
	snprintf(guest, sizeof(guest), "%s/%s", im->tenant, im->guest);
	snapshot_encode(&record, value);
	record_key_snapshot(&key, guest, name);
	kv_batch_put(im->last, key.bytes, key.len, value, sizeof(value));
	return 0;
}

/* A value of the guest's that goes with it as it is. */
static void import_value(struct importing *im, char letter)
{
	char guest[SITE_EXPORT_PATH_MAX];
	struct record_key key;

	snprintf(guest, sizeof(guest), "%s/%s", im->tenant, im->guest);
	record_key_text(&key, letter, guest);
	kv_batch_put(im->last, key.bytes, key.len, im->in.item, im->in.len);
}

/* Its profiles: its tenant may have them here, and they are here. */
static int import_own(struct importing *im)
{
	struct tree *tree;
	int rc = own_decode(im->in.item, im->in.len, im->own);

	if (rc == -EBADMSG)
		return import_bad("its own packages");
	for (unsigned int i = 0;
	     rc == 0 && im->kind == STREAM_GUEST && i < im->own->count; i++) {
		const struct package_info *p = &im->own->package[i];

		rc = depot_package_permits(im->site->depot, p, im->tenant);
		if (rc < 0)
			return rc;
		rc = depot_tree_get(im->site->depot, &p->tree, &tree);
		if (rc < 0)
			return log_err(rc,
				       "guest %s/%s has profile %s, which is "
				       "not here: profile export it there, "
				       "profile import it here",
				       im->tenant, im->guest, p->name);
		tree_put(tree);
	}
	if (rc == 0 && im->kind == STREAM_GUEST)
		import_value(im, 'O');
	return rc;
}

static int import_paths(struct importing *im)
{
	struct attribute_rows rows;
	int rc = attribute_rows_decode(im->in.item, im->in.len, &rows);

	if (rc == -EBADMSG)
		return import_bad("whose its paths are");
	if (rc < 0)
		return rc;
	attribute_rows_clear(&rows);
	if (im->kind == STREAM_GUEST)
		import_value(im, 'W');
	return 0;
}

static int import_item(struct importing *im)
{
	switch (im->in.type) {
	case 'O':
		return import_own(im);
	case 'W':
		return import_paths(im);
	case 'L':
		return import_layer(im);
	case 'K':
		return import_key(im);
	case 'F':
		return import_file(im);
	case 'T':
		im->has_top = im->in.len == 4;
		return im->has_top ? import_number(im, &im->top)
				   : import_bad("its top");
	case 'G':
		im->has_record = true;
		return guest_decode(im->in.item, im->in.len, &im->record);
	case 'Y':
		return import_reply(im);
	case 'P':
		return import_snapshot(im);
	default:
		return import_bad("an unknown item");
	}
}

/* The host files are to stay: their records are written. */
static void import_keep_files(struct importing *im)
{
	for (uint32_t i = 0; i < im->count; i++) {
		struct record_key from, to;

		record_key_kind(&from, im->layers[i], 'r');
		record_key_kind(&to, im->layers[i], 'r' + 1);
		kv_batch_delete_range(im->keys, from.bytes, from.len, to.bytes,
				      to.len);
	}
}

/* All items up to the proof; then the layers are durable, and unnamed. */
static int import_body(struct importing *im)
{
	int rc = stream_in_next(&im->in);

	for (; rc == 0 && im->in.type != 'E'; rc = stream_in_next(&im->in)) {
		rc = site_goes_on(im->site);
		if (rc == 0)
			rc = import_item(im);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = import_file_end(im);
	if (rc == 0) {
		import_keep_files(im);
		rc = import_flush(im);
	}
	if (rc == 0 &&
	    (!im->has_top || (im->kind == STREAM_GUEST) != im->has_record))
		rc = import_bad("something is missing");
	return rc < 0 ? rc : kv_sync_log(im->site->kv);
}

static int import_begin(struct importing *im, struct site *site, int fd,
			uint8_t kind)
{
	int rc;

	im->site = site;
	im->fd = -1;
	im->keys = kv_batch_new();
	im->last = kv_batch_new();
	im->own = calloc(1, sizeof(*im->own));
	rc = stream_in_begin(&im->in, fd);
	if (rc == 0 && (!im->keys || !im->last || !im->own))
		rc = -ENOMEM;
	if (rc == 0)
		rc = import_head(im);
	if (rc == 0 && im->kind != kind)
		rc = log_err(-EINVAL, "this stream holds a %s, not a %s",
			     im->kind == STREAM_GUEST ? "guest" : "delta",
			     kind == STREAM_GUEST ? "guest" : "delta");
	return rc;
}

static void import_end(struct importing *im)
{
	base_close_ptr(&im->fd);
	stream_in_end(&im->in);
	kv_batch_free(im->keys);
	kv_batch_free(im->last);
	free(im->own);
	drops_kick(im->site->drops);
	free(im);
}

/* --- onto a guest -------------------------------------------------------- */

/* Numbers in the delta are computed with the tenant's key, over its image. */
static int import_check_tenant(const struct importing *im,
			       const struct tenant *tenant)
{
	if (secret_equal(im->key, tenant->key, SIPHASH_KEY_LEN) &&
	    selection_same(&im->selection, &tenant->selection))
		return 0;
	return log_err(-EXDEV,
		       "the delta comes from a tenant with another key or "
		       "other packages than %s has here",
		       tenant->name);
}

/* It is over the profiles of the guest it comes from, too. */
static int import_check_own(const struct importing *im,
			    const struct site_view *sv)
{
	static const struct guest_own none;

	if (own_same(im->own, sv->own ? sv->own : &none))
		return 0;
	return log_err(-EXDEV,
		       "the delta comes from a guest with other profiles than "
		       "%s has here",
		       sv->view->info.path);
}

/* File numbers that are in the delta must not be given out again. */
static int import_raise_ids(struct importing *im, struct view *view)
{
	uint8_t value[9] = {RECORD_FORMAT};
	struct record_key key;
	int rc = 0;

	pthread_rwlock_wrlock(&view->lock);
	if (view->id_limit < im->next_id) {
		record_key_fileids(&key, view->info.export_id);
		le64_put(value + 1, im->next_id);
		rc = kv_put(view->kv, key.bytes, key.len, value, sizeof(value));
		if (rc == 0)
			view->next_id = view->id_limit = im->next_id;
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int site_delta_import(struct site *site, const char *guest, int fd)
{
	struct importing *im = calloc(1, sizeof(*im));
	struct site_view *sv;
	int rc;

	if (!im)
		return -ENOMEM;
	pthread_mutex_lock(&site->verbs);
	rc = import_begin(im, site, fd, STREAM_DELTA);
	if (rc == 0)
		rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = import_check_tenant(
		    im, site_find_tenant(site, sv->view->tenant));
	if (rc == 0)
		rc = import_body(im);
	if (rc == 0)
		rc = import_check_own(im, sv);
	if (rc == 0)
		rc = import_raise_ids(im, sv->view);
	if (rc == 0)
		rc = delta_replace(site, guest, sv, im->top);
	pthread_mutex_unlock(&site->verbs);
	import_end(im);
	return rc;
}

/* --- a guest ------------------------------------------------------------- */

/* The tenant's packages are here, or can be had. */
static int import_packages(struct importing *im)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < im->selection.count; i++) {
		const struct package_info *p = &im->selection.package[i];
		struct tree *tree;

		rc = depot_tree_get(im->site->depot, &p->tree, &tree);
		if (rc == -ENOENT || rc == -EBADMSG)
			rc = depot_tree_fetch(im->site->depot, &p->tree, &tree);
		if (rc == 0)
			tree_put(tree);
		else
			log_err(rc,
				"guest %s/%s needs package %s:%s, which is "
				"neither here nor upstream: package pull it",
				im->tenant, im->guest, p->name, p->tag);
	}
	return rc;
}

static int import_check_guest(struct importing *im, const char *name)
{
	struct tenant *tenant = site_find_tenant(im->site, im->tenant);
	char path[SITE_EXPORT_PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "/%s", name);
	if (site_find_view(im->site, path))
		return log_err(-EEXIST, "guest %s exists here", name);
	if (tenant) {
		rc = offline_load_tenant(im->site, tenant);
		return rc < 0 ? rc : import_check_tenant(im, tenant);
	}
	rc = site_check_entitled(im->site, im->tenant, &im->selection);
	return rc < 0 ? rc : import_packages(im);
}

/* All is here and proved: the tenant, if need be, and the guest, paused. */
static int import_guest(struct importing *im, const char *name)
{
	struct site *site = im->site;
	uint8_t value[9] = {RECORD_FORMAT};
	struct tenant *tenant = site_find_tenant(site, im->tenant);
	struct record_key key;
	int rc;

	if (site_find_id(site, im->record.export_id))
		return log_err(-EEXIST,
			       "export id %u of guest %s is taken here",
			       im->record.export_id, name);
	rc = access_check(site, name, &im->record);
	if (rc == 0 && !tenant)
		rc = site_make_tenant(site, im->tenant, im->key, &im->selection,
				      NULL);
	if (rc < 0)
		return rc;
	im->record.layer = im->top;
	im->record.flags |= GUEST_FLAG_PAUSED;
	le64_put(value + 1, im->next_id);
	record_key_fileids(&key, im->record.export_id);
	kv_batch_put(im->last, key.bytes, key.len, value, sizeof(value));
	site_put_guest(im->last, name, &im->record);
	rc = site_write(site, im->last);
	tenant = site_find_tenant(site, im->tenant);
	return rc < 0 ? rc
		      : site_add_view(site, tenant, im->guest, &im->record);
}

int site_guest_import(struct site *site, int fd, char *name)
{
	struct importing *im = calloc(1, sizeof(*im));
	int rc;

	if (!im)
		return -ENOMEM;
	pthread_mutex_lock(&site->verbs);
	rc = import_begin(im, site, fd, STREAM_GUEST);
	snprintf(name, SITE_EXPORT_PATH_MAX, "%s/%s", im->tenant, im->guest);
	if (rc == 0)
		rc = import_check_guest(im, name);
	if (rc == 0)
		rc = import_body(im);
	if (rc == 0) {
		pthread_rwlock_wrlock(&site->lock);
		rc = import_guest(im, name);
		pthread_rwlock_unlock(&site->lock);
	}
	pthread_mutex_unlock(&site->verbs);
	import_end(im);
	return rc;
}
