/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify_records: what each layer has in the state database, key by key:
 * records, and names.
 */
#include "overlay/delta_verify.h"
#include "overlay/each.h"

struct records {
	struct verify *v;
	unsigned int level;
};

static int tell_key(struct verify *v, const char *what, unsigned int level)
{
	struct findings f = {0};

	found(&f, true, "layer %llu: a key of %s is damaged",
	      verify_layer_id(v, level), what);
	verify_tell(v, &f);
	return 0;
}

/* --- records ------------------------------------------------------------ */

static int look_record(struct verify *v, const struct look *look,
		       struct findings *f)
{
	struct record_key key;
	struct kv_value value;
	struct record rec;
	int rc;

	record_key_inode(&key, verify_layer_id(v, look->level), look->id);
	rc = kv_get(v->view->kv, key.bytes, key.len, &value);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* gone since it was seen */
	rc = record_decode(value.data, value.len, &rec);
	kv_value_release(&value);
	if (rc < 0) {
		found(f, true, "file %llx, layer %llu: its record is damaged",
		      (unsigned long long)look->id,
		      verify_layer_id(v, look->level));
		return 0;
	}
	if (rec.data.data_id && !rec.data.layer)
		rec.data.layer = verify_layer_id(v, look->level);
	if (!rec.gone) {
		return verify_data(v->view, look->level, look->id, &rec, f);
	}
	if (rec.data.kind != RECORD_DATA_NONE || rec.data.used != 0)
		found(f, true, "file %llx, layer %llu: gone, but it has data",
		      (unsigned long long)look->id,
		      verify_layer_id(v, look->level));
	return 0;
}

/* Its host file, among those of the directory that has it. */
static int records_name_host(struct records *r, uint64_t fileid,
			     const struct record *rec)
{
	uint64_t layer =
	    rec->data.layer ? rec->data.layer : verify_layer_id(r->v, r->level);
	struct findings f = {0};

	for (unsigned int i = 0; i < r->v->view->layer_count; i++) {
		struct idset *named = &r->v->named[i];
		int rc;

		if (verify_layer_id(r->v, i) != layer)
			continue;
		if (idset_has(named, rec->data.data_id))
			found(&f, true,
			      "file %llx, layer %llu: its host file is "
			      "another's too",
			      (unsigned long long)fileid,
			      verify_layer_id(r->v, r->level));
		verify_tell(r->v, &f);
		rc = idset_reserve(named, 1);
		if (rc < 0)
			return rc;
		idset_add(named, rec->data.data_id);
	}
	return 0;
}

/* Sums, and host files, of one record. */
static int records_sum(void *ctx, const struct each_key *key)
{
	struct records *r = ctx;
	struct record rec;
	int rc = site_goes_on(r->v->site);

	if (rc < 0 || key->rest_len != 8)
		return rc;
	r->v->layer_files[r->level]++;
	if (record_decode(key->value, key->value_len, &rec) < 0) {
		r->v->damaged = true;
		return 0;
	}
	r->v->layer_bytes[r->level] += rec.data.used;
	return rec.data.kind == RECORD_DATA_HOST
		   ? records_name_host(r, be64_get(key->rest), &rec)
		   : 0;
}

static int records_visit(void *ctx, const struct each_key *key)
{
	struct records *r = ctx;
	struct verify *v = r->v;
	struct look look = {.level = r->level};
	int rc;

	if (key->rest_len != 8 || be64_get(key->rest) == 0)
		return tell_key(v, "a record", r->level);
	look.id = be64_get(key->rest);
	v->figures->files++;
	rc = records_sum(ctx, key);
	if (rc == 0)
		rc = verify_look(v, look, look_record);
	if (rc == 0 && (look.id & RECORD_BORN))
		rc = verify_link(v, look.id, r->level);
	return rc;
}

int verify_top_again(struct verify *v)
{
	struct records r = {v, 0};
	struct record_key prefix;

	idset_clear(&v->named[0]);
	v->layer_bytes[0] = v->layer_files[0] = 0;
	record_key_kind(&prefix, verify_layer_id(v, 0), 'i');
	return each_key(v->view->kv, &prefix, SIZE_MAX, records_sum, &r);
}

/* --- names -------------------------------------------------------------- */

/* Is there such an object, as this layer and those below it have it? */
static int name_has_object(struct verify *v, unsigned int level,
			   uint64_t fileid, bool *has)
{
	struct view *view = v->view;

	for (; level < view->layer_count; level++) {
		struct record_key key;
		struct kv_value value;
		struct record rec;
		int rc;

		if (!idset_has(&view->layer[level]->recorded, fileid))
			continue;
		record_key_inode(&key, verify_layer_id(v, level), fileid);
		rc = kv_get(view->kv, key.bytes, key.len, &value);
		/* Of a damaged record only that is told. */
		*has = rc == 0 &&
		       (record_decode(value.data, value.len, &rec) < 0 ||
			!rec.gone);
		kv_value_release(&value);
		return rc == -ENOENT ? 0 : rc;
	}
	*has = !(fileid & RECORD_BORN) &&
	       image_find(v->image, fileid) != IMAGE_NONE;
	return 0;
}

static bool name_is_in_place(const struct record_name *name, uint64_t cookie)
{
	uint64_t at = name_cookie(name->name, name->name_len);

	for (int i = 0; i < NAME_CHAIN_MAX; i++) {
		if (at == cookie)
			return true;
		at = name_cookie_next(at);
	}
	return false;
}

static int look_name(struct verify *v, const struct look *look,
		     struct findings *f)
{
	unsigned long long layer = verify_layer_id(v, look->level);
	struct record_name name;
	struct record_key key;
	struct kv_value value;
	bool has;
	int rc;

	record_key_name(&key, layer, look->id, look->cookie);
	rc = kv_get(v->view->kv, key.bytes, key.len, &value);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* gone since it was seen */
	rc = record_name_decode(value.data, value.len, &name);
	kv_value_release(&value);
	if (rc < 0) {
		found(f, true,
		      "directory %llx, layer %llu: a name at %llx is damaged",
		      (unsigned long long)look->id, layer,
		      (unsigned long long)look->cookie);
		return 0;
	}
	if (look->id != RECORD_PARKED && !name_is_in_place(&name, look->cookie))
		found(f, true,
		      "directory %llx, layer %llu: name \"%.*s\" is where it "
		      "is not found",
		      (unsigned long long)look->id, layer, (int)name.name_len,
		      name.name);
	if (name.kind != RECORD_NAME_ENTRY)
		return 0;
	rc = name_has_object(v, look->level, name.fileid, &has);
	if (rc == 0 && !has)
		found(f, true,
		      "directory %llx, layer %llu: name \"%.*s\" without its "
		      "object %llx",
		      (unsigned long long)look->id, layer, (int)name.name_len,
		      name.name, (unsigned long long)name.fileid);
	return rc;
}

static int names_visit(void *ctx, const struct each_key *key)
{
	struct records *r = ctx;
	struct look look = {.level = r->level};

	if (key->rest_len != 16)
		return tell_key(r->v, "a name", r->level);
	look.id = be64_get(key->rest);
	look.cookie = be64_get(key->rest + 8);
	r->v->figures->names++;
	return verify_look(r->v, look, look_name);
}

int verify_layers(struct verify *v)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < v->view->layer_count; i++) {
		struct records r = {v, i};
		struct record_key prefix;

		record_key_kind(&prefix, verify_layer_id(v, i), 'i');
		rc =
		    each_key(v->view->kv, &prefix, SIZE_MAX, records_visit, &r);
		record_key_kind(&prefix, verify_layer_id(v, i), 'd');
		if (rc == 0)
			rc = each_key(v->view->kv, &prefix, SIZE_MAX,
				      names_visit, &r);
	}
	for (unsigned int i = 0; i < v->view->layer_count; i++)
		v->figures->bytes += v->layer_bytes[i];
	return rc;
}
