/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify_links: every name of the merged tree is counted, and each
 * object's links are compared with its names.
 */
#include "depot/array.h"
#include "overlay/delta_verify.h"

/* --- counts of names ---------------------------------------------------- */

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

/* --- the merged tree ---------------------------------------------------- */

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
	    array_room(&v->dirs, v->dir_count, &v->dir_cap, sizeof(*v->dirs));

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

int verify_walk(struct verify *v, bool alone)
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

		rc = site_goes_on(v->site);
		if (rc == 0)
			rc = alone ? look_dir(v, &look, &ignored)
				   : verify_look(v, look, look_dir);
	}
	return rc;
}

/* --- links -------------------------------------------------------------- */

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

int verify_link(struct verify *v, uint64_t fileid, unsigned int level)
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
	rc = array_room(&v->suspects, v->suspect_count, &v->suspect_cap,
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

int verify_links(struct verify *v)
{
	int rc;

	pthread_rwlock_rdlock(&v->view->lock);
	rc = links_hide(v);
	pthread_rwlock_unlock(&v->view->lock);
	for (uint32_t i = 0; rc == 0 && i < image_inode_count(v->image); i++) {
		rc = site_goes_on(v->site);
		if (rc == 0)
			rc =
			    verify_link(v, image_inode(v->image, i)->fileid, 0);
	}
	if (rc == 0 && v->suspect_count > 0) {
		pthread_rwlock_wrlock(&v->view->lock);
		rc = links_tell(v);
		pthread_rwlock_unlock(&v->view->lock);
	}
	return rc;
}
