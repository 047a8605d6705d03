/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify: is a guest's delta in order?  In this sequence, so that what
 * the guest does meanwhile looks wrong as seldom as can be: host files are
 * listed, names of the merged tree are counted, then every record, name and
 * image object is looked at, and what they add up to.
 *
 * view->lock is held shared for one directory, record or name at a time, and
 * site->verbs over all, so that layers and image stay.  What looks wrong is
 * looked at once more with view->lock held alone, and told only when it still
 * is.  Counts of links and unknown host files, which take more than one look,
 * are gathered and counted anew together.
 *
 * A problem: the guest has lost, or will lose, something.  A warning: space is
 * wasted, or bytes are not what they could be expected to be.
 */
#include <dirent.h>
#include <stdio.h>

#include "depot/log.h"
#include "overlay/delta_verify.h"
#include "overlay/each.h"
#include "overlay/site_impl.h"

struct names_of {        /* of one born object */
	uint64_t fileid; /* 0: free */
	uint32_t names;
};

struct host_name {
	unsigned int level; /* layer whose directory has it */
	uint64_t data_id;
};

struct verify {
	struct view *view;
	const struct image *image; /* borrows from the view */
	void (*tell)(void *ctx, bool problem, const char *what);
	void *ctx;
	struct site_delta_figures *figures;
	uint64_t layer_bytes[VIEW_LAYERS_MAX]; /* sums of records */
	uint64_t layer_files[VIEW_LAYERS_MAX];
	struct idset named[VIEW_LAYERS_MAX]; /* host files, by directory */
	struct host_name *host;              /* owns; files there are */
	size_t host_count, host_cap;
	uint64_t *dirs; /* owns; to be walked */
	size_t dir_count, dir_cap;
	uint32_t *image_names; /* owns; names of each object of the image */
	struct names_of *born; /* owns; hash table, at most half full */
	size_t born_count, born_slots;
	uint64_t *suspects; /* owns; objects whose count looks wrong */
	size_t suspect_count, suspect_cap;
	bool halted;  /* a directory could not be read */
	bool damaged; /* a record could not, so sums cannot be right */
};

/* One thing to look at. */
struct look {
	unsigned int level;
	uint64_t id, cookie;
	bool again; /* counted already */
};

static void verify_tell(struct verify *v, const struct findings *f)
{
	for (unsigned int i = 0; i < f->count; i++) {
		if (f->item[i].problem)
			v->figures->problems++;
		else
			v->figures->warnings++;
		v->tell(v->ctx, f->item[i].problem, f->item[i].what);
	}
}

/* Look; what is wrong is looked at once more with nobody else in. */
static int verify_look(struct verify *v, struct look look,
		       int (*fn)(struct verify *v, const struct look *look,
				 struct findings *f))
{
	struct findings f = {0};
	int rc;

	pthread_rwlock_rdlock(&v->view->lock);
	rc = fn(v, &look, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0 || f.count == 0)
		return rc;
	f.count = 0;
	look.again = true;
	pthread_rwlock_wrlock(&v->view->lock);
	rc = fn(v, &look, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc == 0)
		verify_tell(v, &f);
	return rc;
}

/* Room for one more of `size` bytes in an array. */
static int verify_room(void *array, size_t count, size_t *cap, size_t size)
{
	void **at = array;
	size_t more = *cap ? *cap * 2 : 64;
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

static unsigned long long layer_id(const struct verify *v, unsigned int level)
{
	return v->view->layer[level]->id;
}

/* --- counts of names ----------------------------------------------------- */

static size_t born_slot(const struct names_of *table, size_t slots,
			uint64_t fileid)
{
	size_t at = (fileid * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slots - 1);

	while (table[at].fileid && table[at].fileid != fileid)
		at = (at + 1) & (slots - 1);
	return at;
}

static int born_grow(struct verify *v)
{
	size_t slots = v->born_slots ? v->born_slots * 2 : 1024;
	struct names_of *bigger;

	if ((v->born_count + 1) * 2 <= v->born_slots)
		return 0;
	bigger = calloc(slots, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (size_t i = 0; i < v->born_slots; i++)
		if (v->born[i].fileid)
			bigger[born_slot(bigger, slots, v->born[i].fileid)] =
			    v->born[i];
	free(v->born);
	v->born = bigger;
	v->born_slots = slots;
	return 0;
}

/* One more name of an object; *names counts it. */
static int names_add(struct verify *v, uint64_t fileid, uint32_t image,
		     uint32_t *names)
{
	struct names_of *n;
	int rc;

	if (image != IMAGE_NONE) {
		*names = ++v->image_names[image];
		return 0;
	}
	rc = born_grow(v);
	if (rc < 0)
		return rc;
	n = &v->born[born_slot(v->born, v->born_slots, fileid)];
	v->born_count += n->fileid == 0;
	n->fileid = fileid;
	*names = ++n->names;
	return 0;
}

static uint32_t names_get(const struct verify *v, uint64_t fileid)
{
	uint32_t image =
	    fileid & RECORD_BORN ? IMAGE_NONE : image_find(v->image, fileid);

	if (image != IMAGE_NONE)
		return v->image_names[image];
	if (v->born_slots == 0)
		return 0;
	return v->born[born_slot(v->born, v->born_slots, fileid)].names;
}

static void names_clear(struct verify *v)
{
	memset(v->image_names, 0,
	       image_inode_count(v->image) * sizeof(*v->image_names));
	free(v->born);
	v->born = NULL;
	v->born_count = v->born_slots = 0;
	v->dir_count = 0;
	v->halted = false;
}

/* --- the merged tree ----------------------------------------------------- */

struct dir_look {
	struct verify *v;
	struct findings *f;
	uint64_t dir;
	uint32_t subdirs;
	bool count;
};

static int dir_look_push(struct verify *v, uint64_t fileid)
{
	int rc =
	    verify_room(&v->dirs, v->dir_count, &v->dir_cap, sizeof(*v->dirs));

	if (rc == 0)
		v->dirs[v->dir_count++] = fileid;
	return rc;
}

static int dir_look_entry(void *ctx, const struct dir_entry *entry)
{
	struct dir_look *d = ctx;
	struct inode inode;
	uint32_t names = 0;
	bool is_dir;
	int rc = inode_load_id(d->v->view, entry->fileid, &inode);

	if (rc == -ESTALE)
		found(
		    d->f, true,
		    "name \"%.*s\" in directory %llx: there is no object %llx",
		    (int)entry->name_len, entry->name,
		    (unsigned long long)d->dir,
		    (unsigned long long)entry->fileid);
	/* A damaged record is told by itself; it may be of a directory. */
	if (rc == -EIO)
		d->v->halted = true;
	if (rc < 0)
		return rc == -ESTALE || rc == -EIO ? 0 : rc;
	is_dir = S_ISDIR(inode.rec.mode);
	d->subdirs += is_dir;
	if (is_dir && inode.rec.parent != d->dir)
		found(d->f, true,
		      "directory \"%.*s\" (%llx) is in %llx, but says %llx",
		      (int)entry->name_len, entry->name,
		      (unsigned long long)entry->fileid,
		      (unsigned long long)d->dir,
		      (unsigned long long)inode.rec.parent);
	if (!d->count)
		return 0;
	rc = names_add(d->v, entry->fileid, inode.image, &names);
	if (rc == 0 && is_dir && names == 1)
		rc = dir_look_push(d->v, entry->fileid);
	return rc;
}

static int look_dir(struct verify *v, const struct look *look,
		    struct findings *f)
{
	struct dir_look d = {v, f, look->id, 0, !look->again};
	struct inode dir;
	int rc = inode_load_id(v->view, look->id, &dir);

	if (rc == 0)
		rc = dir_each(v->view, &dir, 0, dir_look_entry, &d);
	else if (rc == -ESTALE)
		return 0; /* gone since it was seen */
	if (rc == -EIO) {
		found(f, true, "directory %llx cannot be read",
		      (unsigned long long)look->id);
		v->halted = true;
		return 0;
	}
	if (rc == 0 && inode_nlink(v->view, &dir) != 2 + d.subdirs)
		found(f, true,
		      "directory %llx has %u subdirectories, but %u links",
		      (unsigned long long)look->id, d.subdirs,
		      inode_nlink(v->view, &dir));
	return rc;
}

/* Count all names; alone: the lock is held alone, and nothing is told. */
static int verify_walk(struct verify *v, bool alone)
{
	uint64_t root = image_inode(v->image, IMAGE_ROOT)->fileid;
	uint32_t names;
	int rc;

	names_clear(v);
	rc = names_add(v, root, IMAGE_ROOT, &names);
	if (rc == 0)
		rc = dir_look_push(v, root);
	while (rc == 0 && v->dir_count > 0) {
		struct look look = {.id = v->dirs[--v->dir_count]};
		struct findings ignored = {0};

		rc = alone ? look_dir(v, &look, &ignored)
			   : verify_look(v, look, look_dir);
	}
	return rc;
}

/* How many names should it have? */
static int links_wanted(struct verify *v, uint64_t fileid, uint32_t *want)
{
	struct inode inode;
	int rc = inode_load_id(v->view, fileid, &inode);

	*want = 0;
	if (rc == 0)
		*want =
		    S_ISDIR(inode.rec.mode) ? 1 : inode_nlink(v->view, &inode);
	return rc == -ESTALE ? 0 : rc;
}

/* One that a layer above `level` records was looked at before. */
static int links_look(struct verify *v, uint64_t fileid, unsigned int level)
{
	uint32_t want;
	bool before;
	int rc;

	pthread_rwlock_rdlock(&v->view->lock);
	before = view_recorded(v->view, fileid) < level;
	rc = links_wanted(v, fileid, &want);
	pthread_rwlock_unlock(&v->view->lock);
	if (before || rc == -EIO) /* that is told as a record */
		return 0;
	if (rc < 0 || names_get(v, fileid) == want)
		return rc;
	rc = verify_room(&v->suspects, v->suspect_count, &v->suspect_cap,
			 sizeof(*v->suspects));
	if (rc == 0)
		v->suspects[v->suspect_count++] = fileid;
	return rc;
}

/* What lies in directories that nobody can see (a name of the delta stands in
 * their place) has no names either: it is counted as if it had.  view->lock is
 * held. */
static int links_hide(struct verify *v)
{
	CLEANUP_FREE bool *hidden =
	    calloc(image_inode_count(v->image), sizeof(*hidden));
	const struct image_entry *e, *end;

	if (!hidden)
		return -ENOMEM;
	/* A directory comes before what is in it. */
	for (uint32_t i = 0; i < image_inode_count(v->image); i++) {
		const struct image_inode *inode = image_inode(v->image, i);

		if (inode->parent == IMAGE_NONE ||
		    (!hidden[i] && (v->image_names[i] > 0 ||
				    view_recorded(v->view, inode->fileid) ==
					VIEW_LAYERS_MAX)))
			continue;
		for (e = image_from(v->image, i, 0, &end); e != end; e++)
			if (view_recorded(
				v->view,
				image_inode(v->image, e->inode)->fileid) ==
			    VIEW_LAYERS_MAX) {
				v->image_names[e->inode]++;
				hidden[e->inode] = true;
			}
	}
	return 0;
}

static int links_tell(struct verify *v)
{
	int rc = verify_walk(v, true);

	if (rc == 0)
		rc = links_hide(v);
	if (rc == 0 && v->halted) {
		struct findings f = {0};

		found(&f, false,
		      "a directory cannot be read, so counts of "
		      "links were not compared");
		verify_tell(v, &f);
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < v->suspect_count; i++) {
		uint64_t fileid = v->suspects[i];
		uint32_t names = names_get(v, fileid), want;
		struct findings f = {0};

		rc = links_wanted(v, fileid, &want);
		if (rc == 0 && names != want)
			found(&f, true, "file %llx has %u names, but %u links",
			      (unsigned long long)fileid, names, want);
		rc = rc == -EIO ? 0 : rc;
		verify_tell(v, &f);
	}
	return rc;
}

static int verify_links(struct verify *v)
{
	int rc;

	pthread_rwlock_rdlock(&v->view->lock);
	rc = links_hide(v);
	pthread_rwlock_unlock(&v->view->lock);
	for (uint32_t i = 0; rc == 0 && i < image_inode_count(v->image); i++)
		rc = links_look(v, image_inode(v->image, i)->fileid, 0);
	if (rc == 0 && v->suspect_count > 0) {
		pthread_rwlock_wrlock(&v->view->lock);
		rc = links_tell(v);
		pthread_rwlock_unlock(&v->view->lock);
	}
	return rc;
}

/* --- records ------------------------------------------------------------- */

static int look_record(struct verify *v, const struct look *look,
		       struct findings *f)
{
	struct record_key key;
	struct kv_value value;
	struct record rec;
	int rc;

	record_key_inode(&key, layer_id(v, look->level), look->id);
	rc = kv_get(v->view->kv, key.bytes, key.len, &value);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* gone since it was seen */
	rc = record_decode(value.data, value.len, &rec);
	kv_value_release(&value);
	if (rc < 0) {
		found(f, true, "file %llx, layer %llu: its record is damaged",
		      (unsigned long long)look->id, layer_id(v, look->level));
		return 0;
	}
	if (rec.data.data_id && !rec.data.layer)
		rec.data.layer = layer_id(v, look->level);
	if (!rec.gone) {
		return verify_data(v->view, look->level, look->id, &rec, f);
	}
	if (rec.data.kind != RECORD_DATA_NONE || rec.data.used != 0)
		found(f, true, "file %llx, layer %llu: gone, but it has data",
		      (unsigned long long)look->id, layer_id(v, look->level));
	return 0;
}

struct records {
	struct verify *v;
	unsigned int level;
};

static int tell_key(struct verify *v, const char *what, unsigned int level)
{
	struct findings f = {0};

	found(&f, true, "layer %llu: a key of %s is damaged",
	      layer_id(v, level), what);
	verify_tell(v, &f);
	return 0;
}

/* Its host file, among those of the directory that has it. */
static int records_name_host(struct records *r, uint64_t fileid,
			     const struct record *rec)
{
	uint64_t layer =
	    rec->data.layer ? rec->data.layer : layer_id(r->v, r->level);
	struct findings f = {0};

	for (unsigned int i = 0; i < r->v->view->layer_count; i++) {
		struct idset *named = &r->v->named[i];
		int rc;

		if (layer_id(r->v, i) != layer)
			continue;
		if (idset_has(named, rec->data.data_id))
			found(&f, true,
			      "file %llx, layer %llu: its host file is "
			      "another's too",
			      (unsigned long long)fileid,
			      layer_id(r->v, r->level));
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

	if (key->rest_len != 8)
		return 0;
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
		rc = links_look(v, look.id, r->level);
	return rc;
}

/* --- names --------------------------------------------------------------- */

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
		record_key_inode(&key, layer_id(v, level), fileid);
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
	unsigned long long layer = layer_id(v, look->level);
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

static int verify_layers(struct verify *v)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < v->view->layer_count; i++) {
		struct records r = {v, i};
		struct record_key prefix;

		record_key_kind(&prefix, layer_id(v, i), 'i');
		rc =
		    each_key(v->view->kv, &prefix, SIZE_MAX, records_visit, &r);
		record_key_kind(&prefix, layer_id(v, i), 'd');
		if (rc == 0)
			rc = each_key(v->view->kv, &prefix, SIZE_MAX,
				      names_visit, &r);
	}
	for (unsigned int i = 0; i < v->view->layer_count; i++)
		v->figures->bytes += v->layer_bytes[i];
	return rc;
}

/* --- host files without a record ----------------------------------------- */

struct host_dir {
	unsigned int level, low; /* low byte of the numbers in it */
};

static int host_list_file(struct verify *v, struct host_dir dir,
			  const char *path, const char *name)
{
	struct findings f = {0};
	char *end;
	uint64_t data_id = strtoull(name, &end, 16);
	int rc;

	if (strlen(name) != 16 || *end || (data_id & 0xff) != dir.low) {
		found(&f, false, "%s/%s is no host file", path, name);
		verify_tell(v, &f);
		return 0;
	}
	rc = verify_room(&v->host, v->host_count, &v->host_cap,
			 sizeof(*v->host));
	if (rc == 0)
		v->host[v->host_count++] =
		    (struct host_name){dir.level, data_id};
	return rc;
}

static int host_list_dir(struct verify *v, struct host_dir at, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int rc = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return log_err(-errno, "delta %s: %s", v->view->info.path,
			       path);
	while (rc == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = host_list_file(v, at, path, e->d_name);
	closedir(dir);
	return rc;
}

static int verify_list_host(struct verify *v)
{
	int rc = 0;

	for (unsigned int i = 0; i < v->view->layer_count; i++)
		for (unsigned int low = 0; rc == 0 && low < 256; low++) {
			char path[640];

			snprintf(path, sizeof(path), "%s/%016llx/%02x",
				 v->view->data_dir, layer_id(v, i), low);
			rc = host_list_dir(v, (struct host_dir){i, low}, path);
		}
	return rc;
}

/* Will it be deleted, or is it still to be named? */
static int host_has_reap(struct verify *v, uint64_t data_id, bool *has)
{
	*has = false;
	for (unsigned int i = 0; !*has && i < v->view->layer_count; i++) {
		struct record_key key;
		struct kv_value value;
		int rc;

		record_key_reap(&key, layer_id(v, i), data_id);
		rc = kv_get(v->view->kv, key.bytes, key.len, &value);
		kv_value_release(&value);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		*has = rc == 0;
	}
	return 0;
}

/* Drop from the list what is named, to be deleted, or gone. */
static int host_sift(struct verify *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->host_count; i++) {
		struct host_name h = v->host[i];
		char path[640];
		bool reap = false;
		int rc;

		data_path(v->view, layer_id(v, h.level), h.data_id, path,
			  sizeof(path));
		if (idset_has(&v->named[h.level], h.data_id) ||
		    access(path, F_OK) < 0)
			continue;
		rc = host_has_reap(v, h.data_id, &reap);
		if (rc < 0)
			return rc;
		if (!reap)
			v->host[kept++] = h;
	}
	v->host_count = kept;
	return 0;
}

/* Sum up the top layer anew; the lock is held alone. */
static int verify_top_again(struct verify *v)
{
	struct records r = {v, 0};
	struct record_key prefix;

	idset_clear(&v->named[0]);
	v->layer_bytes[0] = v->layer_files[0] = 0;
	record_key_kind(&prefix, layer_id(v, 0), 'i');
	return each_key(v->view->kv, &prefix, SIZE_MAX, records_sum, &r);
}

/* --- quota --------------------------------------------------------------- */

/* What is in use, by the records and by open files that are ahead of them. */
static void quota_sum(const struct verify *v, uint64_t *bytes, uint64_t *files)
{
	*bytes = *files = 0;
	for (unsigned int i = 0; i < v->view->layer_count; i++) {
		*bytes += v->layer_bytes[i];
		*files += v->layer_files[i];
	}
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (const struct node *n = v->view->nodes[i]; n;
		     n = n->hash_next)
			*bytes += n->rec.data.used - n->saved.used;
}

static bool quota_is_right(const struct verify *v, struct findings *f)
{
	const struct quota *q = &v->view->quota;
	uint64_t in_use = __atomic_load_n(&q->bytes, __ATOMIC_RELAXED);
	uint64_t objects = __atomic_load_n(&q->files, __ATOMIC_RELAXED);
	uint64_t bytes, files;

	quota_sum(v, &bytes, &files);
	if (v->damaged || (bytes == in_use && files == objects))
		return true;
	found(f, true,
	      "quota: %llu bytes and %llu files are counted, but there are "
	      "%llu and %llu",
	      (unsigned long long)in_use, (unsigned long long)objects,
	      (unsigned long long)bytes, (unsigned long long)files);
	return false;
}

/* Quota, and host files that nothing names. */
static int verify_sums(struct verify *v)
{
	struct findings f = {0};
	bool right;
	int rc = host_sift(v);

	pthread_rwlock_rdlock(&v->view->lock);
	right = quota_is_right(v, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0 || (right && v->host_count == 0))
		return rc;
	f.count = 0;
	pthread_rwlock_wrlock(&v->view->lock);
	rc = verify_top_again(v);
	if (rc == 0)
		rc = host_sift(v);
	if (rc == 0)
		(void)quota_is_right(v, &f);
	pthread_rwlock_unlock(&v->view->lock);
	if (rc < 0)
		return rc;
	verify_tell(v, &f);
	for (size_t i = 0; i < v->host_count; i++) {
		f.count = 0;
		found(&f, false,
		      "layer %llu: host file %016llx is of no record",
		      layer_id(v, v->host[i].level),
		      (unsigned long long)v->host[i].data_id);
		verify_tell(v, &f);
	}
	return 0;
}

/* --- all of it ----------------------------------------------------------- */

static void verify_free(struct verify *v)
{
	for (unsigned int i = 0; i < VIEW_LAYERS_MAX; i++)
		idset_clear(&v->named[i]);
	free(v->host);
	free(v->dirs);
	free(v->image_names);
	free(v->born);
	free(v->suspects);
}

static int verify_run(struct verify *v)
{
	int rc;

	v->image_names =
	    calloc(image_inode_count(v->image), sizeof(*v->image_names));
	if (!v->image_names)
		return -ENOMEM;
	rc = verify_list_host(v);
	if (rc == 0)
		rc = verify_walk(v, false);
	if (rc == 0)
		rc = verify_layers(v);
	if (rc == 0)
		rc = verify_links(v);
	return rc < 0 ? rc : verify_sums(v);
}

int site_delta_verify(struct site *site, const char *guest,
		      void (*tell)(void *ctx, bool problem, const char *what),
		      void *ctx, struct site_delta_figures *figures)
{
	struct verify v = {.tell = tell, .ctx = ctx, .figures = figures};
	struct site_view *sv;
	int rc = -ENOENT;

	*figures = (struct site_delta_figures){0};
	pthread_mutex_lock(&site->verbs);
	sv = site_guest(site, guest);
	if (sv) {
		v.view = sv->view;
		v.image = sv->view->image;
		/* What the database says is verified, not what is kept of it.
		 */
		for (unsigned int i = 0; i < sv->view->layer_count; i++)
			recent_clear(&sv->view->layer[i]->recent);
		rc = verify_run(&v);
		verify_free(&v);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
