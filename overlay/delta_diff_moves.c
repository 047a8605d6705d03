/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_diff_moves: objects of packages that stand elsewhere than the image has
 * them: from where each of them came, and which names are gone for it.
 */
#include <stdio.h>

#include "depot/array.h"
#include "overlay/delta_diff.h"

/* --- moved objects ------------------------------------------------------- */

static int diff_move_order(const void *a, const void *b)
{
	const struct diff_move *x = a, *y = b;

	if (x->fileid != y->fileid)
		return x->fileid < y->fileid ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* The first move of an object, or NULL. */
static struct diff_move *diff_moves_of(const struct diff *d, uint64_t fileid)
{
	size_t low = 0, count = d->move_count;

	while (count > 0) {
		size_t half = count / 2;

		if (d->moves[low + half].fileid < fileid) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low < d->move_count && d->moves[low].fileid == fileid
		   ? &d->moves[low]
		   : NULL;
}

const struct diff_move *diff_move_find(const struct diff *d, uint64_t dir,
				       const struct diff_item *item)
{
	const struct diff_move *end = d->moves + d->move_count;
	const struct diff_move *m = diff_moves_of(d, item->fileid);

	for (; m && m < end && m->fileid == item->fileid; m++)
		if (m->dir == dir &&
		    diff_order(m->name, m->name_len, item->name,
			       item->name_len) == 0)
			return m;
	return NULL;
}

int diff_move_add(struct diff *d, uint64_t dir, const struct diff_item *item)
{
	struct diff_move *m;
	int rc = array_room(&d->moves, d->move_count, &d->move_cap, sizeof(*m));

	if (rc < 0)
		return rc;
	m = &d->moves[d->move_count];
	*m = (struct diff_move){.fileid = item->fileid,
				.dir = dir,
				.name_len = item->name_len,
				.number = d->move_count};
	m->name = malloc(item->name_len + 1u);
	if (!m->name)
		return -ENOMEM;
	memcpy(m->name, item->name, item->name_len);
	d->move_count++;
	return 0;
}

/* Path of a name in the image; names: the entry of each directory. */
static char *diff_image_path(const struct image *image,
			     const struct image_entry *const *names,
			     uint32_t dir, const struct image_entry *entry)
{
	size_t len = entry->name_len;
	char *path, *at;

	for (uint32_t i = dir; i != IMAGE_ROOT;
	     i = image_inode(image, i)->parent)
		len += names[i]->name_len + 1u;
	path = malloc(len + 1);
	if (!path)
		return NULL;
	at = path + len;
	*at = '\0';
	for (;;) {
		at -= entry->name_len;
		memcpy(at, entry->name, entry->name_len);
		if (dir == IMAGE_ROOT)
			return path;
		*--at = '/';
		entry = names[dir];
		dir = image_inode(image, dir)->parent;
	}
}

static int diff_place_add(struct diff *d, uint32_t dir,
			  const struct image_entry *entry)
{
	uint64_t fileid = image_inode(d->image, entry->inode)->fileid;
	int rc;

	if (!diff_moves_of(d, fileid))
		return 0;
	rc = array_room(&d->places, d->place_count, &d->place_cap,
			sizeof(*d->places));
	if (rc == 0)
		d->places[d->place_count++] = (struct diff_place){
		    .fileid = fileid, .entry = entry, .dir = dir};
	return rc;
}

/* All names of the image that moved objects have there, with their paths. */
static int diff_find_places(struct diff *d)
{
	const struct image *image = d->image;
	uint32_t count = image_inode_count(image);
	CLEANUP_FREE const struct image_entry **names =
	    calloc(count, sizeof(*names));
	int rc = names ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_entry *e, *end;

		for (e = image_from(image, i, 0, &end); rc == 0 && e != end;
		     e++) {
			names[e->inode] = e;
			rc = diff_place_add(d, i, e);
		}
	}
	for (size_t i = 0; rc == 0 && i < d->place_count; i++) {
		struct diff_place *p = &d->places[i];

		p->path = diff_image_path(image, names, p->dir, p->entry);
		rc = p->path ? 0 : -ENOMEM;
	}
	return rc;
}

/* Does the merged tree lack this name of the image? */
static int diff_place_check(struct diff *d, struct diff_place *p)
{
	struct view *view = d->view;
	struct place place;
	struct inode dir;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load_id(view, image_inode(d->image, p->dir)->fileid, &dir);
	if (rc == 0)
		rc = place_find(view, &dir, p->entry->name, p->entry->name_len,
				&place);
	pthread_rwlock_unlock(&view->lock);
	p->gone = rc == -ESTALE ||
		  (rc == 0 && (!place.exists || place.fileid != p->fileid));
	return rc == -ESTALE ? 0 : rc;
}

static int diff_place_order(const void *a, const void *b)
{
	const struct diff_place *x = a, *y = b;

	if (x->fileid != y->fileid)
		return x->fileid < y->fileid ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int diff_entry_order(const void *a, const void *b)
{
	const struct diff_place *x = a, *y = b;

	return (x->entry > y->entry) - (x->entry < y->entry);
}

/* The place that the next new name of an object stands for, from *next on; when
 * all that are gone are taken, one beside which it is another link. */
static struct diff_place *diff_pick(struct diff_place *places, size_t count,
				    size_t *next, bool *instead)
{
	for (; *next < count; ++*next)
		if (places[*next].gone) {
			*instead = true;
			return &places[(*next)++];
		}
	for (size_t i = 0; i < count; i++)
		if (!places[i].gone)
			return &places[i];
	return &places[0];
}

/* New names stand for those that are gone, both in order. */
static int diff_pair(struct diff *d)
{
	size_t at = 0, count = 0, next = 0;

	for (size_t i = 0; i < d->move_count; i++) {
		struct diff_move *m = &d->moves[i];
		struct diff_place *p;

		if (i == 0 || m->fileid != m[-1].fileid) {
			at += count;
			next = 0;
			for (count = 0; at + count < d->place_count; count++)
				if (d->places[at + count].fileid != m->fileid)
					break;
		}
		if (count == 0)
			continue; /* not so: a package's object has a path */
		p = diff_pick(d->places + at, count, &next, &m->instead);
		p->told |= m->instead;
		m->from = strdup(p->path);
		if (!m->from)
			return -ENOMEM;
	}
	return 0;
}

int diff_match_moves(struct diff *d)
{
	int rc;

	if (d->move_count == 0)
		return 0;
	qsort(d->moves, d->move_count, sizeof(*d->moves), diff_move_order);
	rc = diff_find_places(d);
	for (size_t i = 0; rc == 0 && i < d->place_count; i++)
		rc = diff_place_check(d, &d->places[i]);
	if (rc < 0 || d->place_count == 0)
		return rc;
	qsort(d->places, d->place_count, sizeof(*d->places), diff_place_order);
	rc = diff_pair(d);
	qsort(d->places, d->place_count, sizeof(*d->places), diff_entry_order);
	return rc;
}

bool diff_was_renamed(const struct diff *d, const struct image_entry *entry)
{
	struct diff_place key = {.entry = entry};
	const struct diff_place *p = NULL;

	if (d->place_count > 0)
		p = bsearch(&key, d->places, d->place_count, sizeof(*d->places),
			    diff_entry_order);
	return p && p->told;
}
