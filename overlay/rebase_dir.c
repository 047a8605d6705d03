/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebase_dir: the delta's names of a directory under another image, and their
 * places.  See rebase.h, and name.c for what a place is.
 */
#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/rebase.h"

/* --- loading ------------------------------------------------------------- */

static int dir_add(struct rebase_dir *dir, struct rebase_name **name)
{
	uint32_t wanted = MAX(8u, dir->cap * 2);
	struct rebase_name *bigger;

	if (dir->count == dir->cap) {
		bigger = realloc(dir->names, wanted * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		dir->names = bigger;
		dir->cap = wanted;
	}
	*name = &dir->names[dir->count++];
	memset(*name, 0, sizeof(**name));
	return 0;
}

struct dir_load {
	struct rebase_dir *dir;
	uint32_t above; /* names of the layers above, in order of cookies */
};

static int dir_compare_cookies(const void *a, const void *b)
{
	const struct rebase_name *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static int dir_load_name(void *ctx, const struct each_key *key)
{
	struct dir_load *load = ctx;
	struct rebase_name probe = {.cookie = be64_get(key->rest)}, *name;
	int rc;

	if (load->above > 0 && bsearch(&probe, load->dir->names, load->above,
				       sizeof(probe), dir_compare_cookies))
		return 0; /* hidden */
	rc = dir_add(load->dir, &name);
	if (rc < 0)
		return rc;
	name->cookie = name->place = probe.cookie;
	return record_name_decode(key->value, key->value_len, &name->rec) < 0
		   ? -EIO
		   : 0;
}

static int dir_load(struct rebase *r, struct rebase_dir *dir)
{
	struct view *view = r->view;
	struct record_key prefix;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < view->layer_count; i++) {
		const struct layer *layer = view->layer[i];
		struct dir_load load = {dir, dir->count};

		if (!idset_has(&layer->touched, dir->fileid))
			continue;
		record_key_dir(&prefix, layer->id, dir->fileid);
		rc = each_key(view->kv, &prefix, 8, dir_load_name, &load);
		if (dir->count > 0)
			qsort(dir->names, dir->count, sizeof(*dir->names),
			      dir_compare_cookies);
	}
	return rc;
}

static bool name_is(const struct rebase_name *n, const char *name,
		    size_t name_len)
{
	return n->rec.name_len == name_len &&
	       memcmp(n->rec.name, name, name_len) == 0;
}

static bool name_counts(const struct rebase_name *n)
{
	return !n->removed && n->rec.kind != RECORD_NAME_FILLER;
}

/* --- by name ------------------------------------------------------------- */

static uint32_t dir_slot_of(const struct rebase_dir *dir, const char *name,
			    size_t name_len)
{
	uint64_t hash = name_cookie(name, name_len);

	return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
	       (dir->slot_count - 1);
}

static void dir_enter(struct rebase_dir *dir, uint32_t i)
{
	const struct record_name *rec = &dir->names[i].rec;
	uint32_t at = dir_slot_of(dir, rec->name, rec->name_len);

	while (dir->slots[at])
		at = (at + 1) & (dir->slot_count - 1);
	dir->slots[at] = i + 1;
}

/* Enter them all, when there is no room for one more. */
static int dir_index(struct rebase_dir *dir)
{
	if (dir->slots && 2 * (dir->count + 1) < dir->slot_count)
		return 0;
	free(dir->slots);
	dir->slot_count = 16;
	while (dir->slot_count < 4 * (dir->count + 1))
		dir->slot_count *= 2;
	dir->slots = calloc(dir->slot_count, sizeof(*dir->slots));
	if (!dir->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < dir->count; i++)
		if (dir->names[i].rec.kind != RECORD_NAME_FILLER)
			dir_enter(dir, i);
	return 0;
}

bool rebase_had(const struct rebase_dir *dir, const char *name, size_t name_len)
{
	uint32_t at = dir_slot_of(dir, name, name_len);

	for (; dir->slots[at]; at = (at + 1) & (dir->slot_count - 1)) {
		const struct rebase_name *n = &dir->names[dir->slots[at] - 1];

		if (n->cookie != 0 && n->rec.kind != RECORD_NAME_FILLER &&
		    name_is(n, name, name_len))
			return true;
	}
	return false;
}

struct rebase_name *rebase_find(struct rebase_dir *dir, const char *name,
				size_t name_len)
{
	uint32_t at = dir_slot_of(dir, name, name_len);

	for (; dir->slots[at]; at = (at + 1) & (dir->slot_count - 1)) {
		struct rebase_name *n = &dir->names[dir->slots[at] - 1];

		if (name_counts(n) && name_is(n, name, name_len))
			return n;
	}
	return NULL;
}

struct rebase_dir *rebase_dir_loaded(const struct rebase *r, uint64_t fileid)
{
	struct rebase_dir *dir = r->dirs;

	while (dir && dir->fileid != fileid)
		dir = dir->next;
	return dir;
}

int rebase_dir(struct rebase *r, uint64_t fileid, struct rebase_dir **dir)
{
	const struct image *before = r->view->image;
	const struct image *after = r->diff ? r->diff->after : before;
	bool born = fileid & RECORD_BORN;
	struct rebase_dir *d;
	int rc;

	*dir = rebase_dir_loaded(r, fileid);
	if (*dir)
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->fileid = fileid;
	d->before = born ? IMAGE_NONE : image_find(before, fileid);
	d->after = born ? IMAGE_NONE : image_find(after, fileid);
	rc = dir_load(r, d);
	if (rc == 0)
		rc = dir_index(d);
	if (rc < 0) {
		free(d->names);
		free(d->slots);
		free(d);
		return rc;
	}
	d->next = r->dirs;
	r->dirs = d;
	*dir = d;
	return 0;
}

int rebase_put(struct rebase_dir *dir, uint8_t kind, const char *name,
	       size_t name_len, uint64_t fileid, uint32_t generation)
{
	struct rebase_name *n = rebase_find(dir, name, name_len);
	bool fresh = !n;
	int rc = 0;

	if (fresh)
		rc = dir_index(dir);
	if (rc == 0 && fresh)
		rc = dir_add(dir, &n);
	if (rc < 0)
		return rc;
	n->rec.kind = kind;
	n->rec.fileid = fileid;
	n->rec.generation = generation;
	n->rec.name_len = (uint16_t)name_len;
	memcpy(n->rec.name, name, name_len);
	n->changed = true;
	if (fresh)
		dir_enter(dir, dir->count - 1);
	return 0;
}

int rebase_put_parked(struct rebase_dir *dir, const char *name, size_t name_len,
		      uint64_t fileid, uint32_t generation)
{
	struct rebase_name *n;
	int rc = dir_add(dir, &n);

	if (rc < 0)
		return rc;
	n->rec.kind = RECORD_NAME_ENTRY;
	n->rec.fileid = n->place = fileid;
	n->rec.generation = generation;
	n->rec.name_len = (uint16_t)name_len;
	memcpy(n->rec.name, name, name_len);
	return 0;
}

/* --- places -------------------------------------------------------------- */

static const struct image *dir_image(const struct rebase *r)
{
	return r->diff ? r->diff->after : r->view->image;
}

/* The new image's entry at a cookie; NULL: there is none. */
static const struct image_entry *dir_entry_at(const struct rebase *r,
					      const struct rebase_dir *dir,
					      uint64_t cookie)
{
	const struct image_entry *end, *e;

	if (dir->after == IMAGE_NONE)
		return NULL;
	e = image_from(dir_image(r), dir->after, cookie, &end);
	return e != end && e->cookie == cookie ? e : NULL;
}

/* The name that is to stand at a cookie, in names[0..placed). */
static struct rebase_name *dir_placed_at(struct rebase_dir *dir,
					 uint64_t cookie)
{
	for (uint32_t i = 0; i < dir->count; i++)
		if (name_counts(&dir->names[i]) &&
		    dir->names[i].place == cookie)
			return &dir->names[i];
	return NULL;
}

/* Where the image has the same name. */
static void dir_place_over(struct rebase *r, struct rebase_dir *dir)
{
	for (uint32_t i = 0; i < dir->count; i++) {
		struct rebase_name *n = &dir->names[i];
		const struct image_entry *e;

		if (!name_counts(n))
			continue;
		e = dir->after == IMAGE_NONE
			? NULL
			: image_lookup(dir_image(r), dir->after, n->rec.name,
				       n->rec.name_len);
		if (e)
			n->place = e->cookie;
		else if (dir_entry_at(r, dir, n->cookie))
			n->place = 0; /* another name's now */
	}
}

/* A name whose place another moves to gives way.  (Names that stay never meet,
 * and those that move go over an entry of the image of their own.) */
static void dir_place_twice(struct rebase_dir *dir)
{
	for (uint32_t i = 0; i < dir->count; i++) {
		const struct rebase_name *n = &dir->names[i];

		if (!name_counts(n) || n->place == 0 || n->place == n->cookie)
			continue;
		for (uint32_t k = 0; k < dir->count; k++)
			if (k != i && dir->names[k].place == n->place)
				dir->names[k].place = 0;
	}
}

static int dir_place_free(struct rebase *r, struct rebase_dir *dir,
			  struct rebase_name *n)
{
	uint64_t at = name_cookie(n->rec.name, n->rec.name_len);

	for (int i = 0; i < NAME_CHAIN_MAX; i++) {
		if (!dir_entry_at(r, dir, at) && !dir_placed_at(dir, at)) {
			n->place = at;
			return 0;
		}
		at = name_cookie_next(at);
	}
	return log_err(-EMLINK,
		       "delta %s: no place is left for the name \"%.*s\"",
		       r->view->info.path, (int)n->rec.name_len, n->rec.name);
}

static int dir_place(struct rebase *r, struct rebase_dir *dir)
{
	int rc = 0;

	if (dir->fileid == RECORD_PARKED)
		return 0;
	dir_place_over(r, dir);
	dir_place_twice(dir);
	for (uint32_t i = 0; rc == 0 && i < dir->count; i++)
		if (name_counts(&dir->names[i]) && dir->names[i].place == 0)
			rc = dir_place_free(r, dir, &dir->names[i]);
	return rc;
}

/* --- writing ------------------------------------------------------------- */

static void dir_write_name(struct rebase *r, const struct rebase_dir *dir,
			   const struct rebase_name *n, uint8_t kind,
			   uint64_t cookie, struct kv_batch *batch)
{
	struct record_name rec = n->rec;
	uint8_t value[RECORD_NAME_MAX];
	struct record_key key;
	size_t len;

	rec.kind = kind;
	if (kind == RECORD_NAME_FILLER)
		rec.fileid = rec.generation = 0;
	len = record_name_encode(&rec, value);
	record_key_name(&key, view_top(r->view)->id, dir->fileid, cookie);
	kv_batch_put(batch, key.bytes, key.len, value, len);
}

/* Anything of the delta at this cookie, as it was. */
static bool dir_had(const struct rebase_dir *dir, uint64_t cookie)
{
	for (uint32_t i = 0; i < dir->count; i++)
		if (dir->names[i].cookie == cookie)
			return true;
	return false;
}

/* A chain of ties runs from a name's own cookie to its place. */
static void dir_write_chain(struct rebase *r, struct rebase_dir *dir,
			    const struct rebase_name *n, struct kv_batch *batch)
{
	uint64_t at = name_cookie(n->rec.name, n->rec.name_len);

	for (int i = 0; at != n->place && i < NAME_CHAIN_MAX; i++) {
		if (!dir_entry_at(r, dir, at) && !dir_placed_at(dir, at) &&
		    !dir_had(dir, at))
			dir_write_name(r, dir, n, RECORD_NAME_FILLER, at,
				       batch);
		at = name_cookie_next(at);
	}
}

/* A name left its cookie: what is below it, or a chain, must not suffer. */
static void dir_write_left(struct rebase *r, struct rebase_dir *dir,
			   const struct rebase_name *n, struct kv_batch *batch)
{
	if (n->cookie == 0 || dir_placed_at(dir, n->cookie))
		return;
	dir_write_name(r, dir, n, RECORD_NAME_FILLER, n->cookie, batch);
}

static int dir_touch(struct rebase *r, uint64_t fileid)
{
	uint32_t wanted = MAX(16u, r->touched_cap * 2);
	uint64_t *bigger;

	if (r->touched_count == r->touched_cap) {
		bigger = realloc(r->touched, wanted * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		r->touched = bigger;
		r->touched_cap = wanted;
	}
	r->touched[r->touched_count++] = fileid;
	return 0;
}

static int dir_write(struct rebase *r, struct rebase_dir *dir,
		     struct kv_batch *batch)
{
	int rc = dir_place(r, dir);

	for (uint32_t i = 0; rc == 0 && i < dir->count; i++) {
		const struct rebase_name *n = &dir->names[i];

		if (n->rec.kind == RECORD_NAME_FILLER)
			continue;
		if (n->removed || n->place != n->cookie)
			dir_write_left(r, dir, n, batch);
		if (n->removed)
			continue;
		if (n->changed || n->place != n->cookie)
			dir_write_name(r, dir, n, n->rec.kind, n->place, batch);
		if (dir->fileid != RECORD_PARKED)
			dir_write_chain(r, dir, n, batch);
	}
	return rc < 0 ? rc : dir_touch(r, dir->fileid);
}

int rebase_dirs_write(struct rebase *r, struct kv_batch *batch)
{
	int rc = 0;

	for (struct rebase_dir *d = r->dirs; rc == 0 && d; d = d->next)
		if (d->count > 0)
			rc = dir_write(r, d, batch);
	return rc;
}
