/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_export: a delta, or a paused guest with all that is its own, into a
 * stream.  site->verbs is held throughout: nobody freezes, drops or restores.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "depot/io.h"
#include "depot/log.h"
#include "overlay/delta_stream.h"
#include "overlay/each.h"
#include "overlay/site_own.h"

enum { EXPORT_PIECE = 1 << 20 };

struct exporting {
	struct site *site;
	const char *guest; /* "tenant/guest" */
	struct site_view *sv;
	struct stream_out out;
	uint64_t layers[STREAM_LAYERS_MAX]; /* by number in the stream */
	uint32_t count;
	uint8_t *piece; /* owns; EXPORT_PIECE */
};

/* --- head ---------------------------------------------------------------- */

static size_t export_text(uint8_t *out, const char *text)
{
	size_t len = strlen(text);

	out[0] = (uint8_t)len;
	memcpy(out + 1, text, len);
	return 1 + len;
}

/* What is at a letter of the guest; value->len 0: nothing.  Released by the
 * caller. */
static int export_value(const struct exporting *e, char letter,
			struct kv_value *value)
{
	struct record_key key;
	int rc;

	memset(value, 0, sizeof(*value));
	record_key_text(&key, letter, e->guest);
	rc = kv_get(e->site->kv, key.bytes, key.len, value);
	return rc == -ENOENT ? 0 : rc;
}

/* Its own packages and whose its paths are.  of_paths false: a delta's stream,
 * which needs the same packages where it goes. */
static int export_own(struct exporting *e, bool of_paths, bool write, bool *any)
{
	const struct guest_own *own = e->sv->own;
	struct kv_value value = {0};
	int rc = 0;

	*any = own && own->count > 0;
	if (*any)
		rc = export_value(e, 'O', &value);
	if (rc == 0 && value.len > 0 && write)
		stream_out_item(&e->out, 'O', value.data, value.len, NULL, 0,
				NULL, 0);
	kv_value_release(&value);
	memset(&value, 0, sizeof(value));
	if (rc == 0 && of_paths)
		rc = export_value(e, 'W', &value);
	*any |= value.len > 0;
	if (rc == 0 && value.len > 0 && write)
		stream_out_item(&e->out, 'W', value.data, value.len, NULL, 0,
				NULL, 0);
	kv_value_release(&value);
	return rc;
}

static int export_head(struct exporting *e, uint8_t kind)
{
	const struct view *view = e->sv->view;
	struct tenant *tenant = site_find_tenant(e->site, view->tenant);
	uint8_t head[64 + 2 * PACKAGE_NAME_MAX] = "vdelta";
	CLEANUP_FREE uint8_t *selection = malloc(SELECTION_VALUE_MAX);
	uint8_t *at = head + 11;
	bool own;
	int rc;

	if (!selection)
		return -ENOMEM;
	rc = export_own(e, kind == STREAM_GUEST, false, &own);
	if (rc < 0)
		return rc;
	le16_put(head + 8, own ? STREAM_FORMAT : 1);
	head[10] = kind;
	at += export_text(at, view->tenant);
	at += export_text(at, view->guest);
	memcpy(at, tenant->key, SIPHASH_KEY_LEN);
	le64_put(at + 16, __atomic_load_n(&view->id_limit, __ATOMIC_RELAXED));
	le32_put(at + 24, tenant->selection.generation);
	stream_out_item(&e->out, 'H', head, (size_t)(at + 28 - head), selection,
			selection_encode(&tenant->selection, selection), NULL,
			0);
	return export_own(e, kind == STREAM_GUEST, true, &own);
}

/* --- layers -------------------------------------------------------------- */

/* A record as it stands for itself: of no layer, of no life. */
static void export_settle(const struct exporting *e, struct record *rec)
{
	if (lives_was_cut(&e->site->lives, rec->life) &&
	    time_is_after(&rec->ctime_bound, &rec->ctime))
		rec->ctime = rec->ctime_bound;
	rec->ctime_bound = rec->ctime;
	rec->life = 0;
	rec->data.layer = 0;
}

static int export_data(struct exporting *e, int fd, uint64_t data_id, off_t at,
		       off_t end)
{
	uint8_t head[16];
	int rc = 0;

	le64_put(head, data_id);
	while (at < end && rc == 0) {
		size_t len = MIN((size_t)(end - at), (size_t)EXPORT_PIECE);

		le64_put(head + 8, (uint64_t)at);
		rc = site_goes_on(e->site);
		if (rc == 0)
			rc = io_pread_all(fd, e->piece, len, (uint64_t)at);
		if (rc == 0)
			stream_out_item(&e->out, 'F', head, sizeof(head),
					e->piece, len, NULL, 0);
		at += (off_t)len;
	}
	return rc;
}

/* Its bytes, and how long it is; holes are left out. */
static int export_file(struct exporting *e,
		       const struct record_data_state *data)
{
	uint8_t head[16];
	off_t size, at = 0;
	int fd, rc = data_open(e->sv->view, data, &fd);

	if (rc < 0)
		return rc;
	size = lseek(fd, 0, SEEK_END);
	le64_put(head, data->data_id);
	le64_put(head + 8, (uint64_t)size);
	stream_out_item(&e->out, 'F', head, sizeof(head), NULL, 0, NULL, 0);
	while (rc == 0 && at < size) {
		off_t from = lseek(fd, at, SEEK_DATA);

		if (from < 0)
			break; /* a hole to the end */
		at = lseek(fd, from, SEEK_HOLE);
		at = at < 0 ? size : at;
		rc = export_data(e, fd, data->data_id, from, at);
	}
	close(fd);
	if (rc < 0 && rc != -ECANCELED)
		log_err(rc, "delta %s: host file %016llx", e->guest,
			(unsigned long long)data->data_id);
	return rc < 0 ? rc : e->out.error;
}

struct export_layer {
	struct exporting *e;
	uint64_t layer;
	char kind;
};

static int export_key(void *ctx, const struct each_key *key)
{
	const struct export_layer *l = ctx;
	uint8_t head[2] = {(uint8_t)(1 + key->rest_len), (uint8_t)l->kind};
	uint8_t value[RECORD_INODE_LEN];
	struct record rec;
	int rc = site_goes_on(l->e->site);

	if (rc < 0)
		return rc;
	if (l->kind != 'i') {
		uint8_t rest[32];

		memcpy(rest, head, 2);
		memcpy(rest + 2, key->rest, key->rest_len);
		stream_out_item(&l->e->out, 'K', rest, 2 + key->rest_len,
				key->value, key->value_len, NULL, 0);
		return l->e->out.error;
	}
	rc = record_decode(key->value, key->value_len, &rec);
	if (rc < 0)
		return rc;
	if (rec.data.kind == RECORD_DATA_HOST) {
		if (!rec.data.layer)
			rec.data.layer = l->layer;
		rc = export_file(l->e, &rec.data);
	}
	export_settle(l->e, &rec);
	record_encode(&rec, value);
	stream_out_item(&l->e->out, 'K', head, sizeof(head), key->rest,
			key->rest_len, value, sizeof(value));
	return rc < 0 ? rc : l->e->out.error;
}

static int export_keys(struct exporting *e, uint64_t layer)
{
	static const struct {
		char kind;
		size_t rest_len;
	} kinds[] = {{'i', 8}, {'d', 16}, {'x', 8}, {'p', 12}};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds) && rc == 0; i++) {
		struct export_layer l = {e, layer, kinds[i].kind};
		struct record_key prefix;

		record_key_kind(&prefix, layer, l.kind);
		rc = each_key(e->site->kv, &prefix, kinds[i].rest_len,
			      export_key, &l);
	}
	return rc;
}

/* A layer and, before it, those below; once each.  *number: in the stream. */
static int export_layer(struct exporting *e, uint64_t layer, uint32_t *number)
{
	uint64_t stack[VIEW_LAYERS_MAX];
	unsigned int depth = 0;
	uint8_t head[8];
	int rc = 0;

	*number = UINT32_MAX;
	for (; rc == 0 && layer != 0; depth++) {
		if (depth == VIEW_LAYERS_MAX)
			return log_err(-EBADMSG, "state: too many layers");
		stack[depth] = layer;
		rc = layer_parent(e->site->kv, layer, &layer);
	}
	while (rc == 0 && depth-- > 0) {
		uint32_t at = 0, below = *number;

		while (at < e->count && e->layers[at] != stack[depth])
			at++;
		*number = at;
		if (at < e->count)
			continue;
		if (e->count == STREAM_LAYERS_MAX)
			return log_err(-E2BIG, "guest %s has too many layers",
				       e->guest);
		e->layers[e->count++] = stack[depth];
		le32_put(head, at);
		le32_put(head + 4, below);
		stream_out_item(&e->out, 'L', head, 8, NULL, 0, NULL, 0);
		rc = export_keys(e, stack[depth]);
	}
	return rc;
}

static int export_top(struct exporting *e, uint64_t layer)
{
	uint32_t number;
	uint8_t head[4];
	int rc = export_layer(e, layer, &number);

	le32_put(head, number);
	if (rc == 0)
		stream_out_item(&e->out, 'T', head, 4, NULL, 0, NULL, 0);
	return rc;
}

/* --- what is a guest's own ----------------------------------------------- */

static int export_reply(void *ctx, const struct each_key *key)
{
	struct exporting *e = ctx;
	uint8_t head[4];

	le32_put(head, (uint32_t)key->rest[0] << 8 | (uint32_t)key->rest[1]);
	stream_out_item(&e->out, 'Y', head, 4, key->value, key->value_len, NULL,
			0);
	return e->out.error;
}

static int export_snapshot(void *ctx, const struct each_key *key)
{
	struct exporting *e = ctx;
	struct snapshot_record record;
	uint32_t number;
	uint8_t head[16];
	int rc = snapshot_decode(key->value, key->value_len, &record);

	if (rc == 0)
		rc = export_layer(e, record.layer, &number);
	if (rc < 0)
		return rc;
	le32_put(head, number);
	le64_put(head + 4, (uint64_t)record.time.tv_sec);
	le32_put(head + 12, (uint32_t)record.time.tv_nsec);
	stream_out_item(&e->out, 'P', head, sizeof(head), key->rest,
			key->rest_len, NULL, 0);
	return e->out.error;
}

static int export_guest(struct exporting *e)
{
	uint8_t value[RECORD_KEY_MAX];
	struct record_key prefix;
	int rc;

	stream_out_item(&e->out, 'G', value,
			guest_encode(&e->sv->record, value), NULL, 0, NULL, 0);
	record_key_replies(&prefix, e->sv->record.export_id);
	rc = each_key(e->site->kv, &prefix, 2, export_reply, e);
	if (rc == 0)
		rc = export_top(e, view_top(e->sv->view)->id);
	record_key_snapshot(&prefix, e->guest, NULL);
	if (rc == 0)
		rc = each_key(e->site->kv, &prefix, SIZE_MAX, export_snapshot,
			      e);
	return rc;
}

/* --- verbs --------------------------------------------------------------- */

static int export_run(struct exporting *e, int fd, uint8_t kind, uint64_t top)
{
	int rc = stream_out_begin(&e->out, fd), end;

	if (rc < 0)
		return rc;
	e->piece = malloc(EXPORT_PIECE);
	rc = e->piece ? export_head(e, kind) : -ENOMEM;
	if (rc == 0)
		rc =
		    kind == STREAM_GUEST ? export_guest(e) : export_top(e, top);
	free(e->piece);
	if (rc < 0 && e->out.error == 0)
		e->out.error = rc;
	end = stream_out_end(&e->out);
	return rc < 0 ? rc : end;
}

static int export_frozen(void *ctx, struct kv_batch *batch, uint64_t frozen)
{
	(void)batch;
	*(uint64_t *)ctx = frozen;
	return 0;
}

int site_delta_export(struct site *site, const char *guest,
		      const char *snapshot, int fd)
{
	struct exporting e = {.site = site, .guest = guest};
	uint64_t top = 0;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &e.sv);
	if (rc == 0)
		rc = snapshot
			 ? delta_find_snapshot(site, guest, snapshot, &top)
			 : delta_freeze(site, guest, e.sv, export_frozen, &top);
	if (rc == 0)
		rc = export_run(&e, fd, STREAM_DELTA, top);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

int site_guest_export(struct site *site, const char *guest, int fd)
{
	struct exporting e = {.site = site, .guest = guest};
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &e.sv);
	if (rc == 0)
		rc = view_is_paused(e.sv->view)
			 ? export_run(&e, fd, STREAM_GUEST, 0)
			 : log_err(-EBUSY, "guest %s is not paused", guest);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
