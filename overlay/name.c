/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name: names in directories, over image and delta.
 *
 * At one cookie of a directory stands at most one name: the delta's record (of
 * the topmost layer that has one), or else the image's entry.  A name is found
 * by probing from its own cookie upward until a value is free; where a removed
 * name would break a chain of ties, a filler is left.  A whiteout stands at the
 * cookie of the image's name that it hides, and a new object of that name takes
 * its place, so an entry keeps its cookie through removal and re-creation (rule
 * N-22).
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

bool name_ok(const char *name, size_t name_len, int *rc)
{
	if (name_len > VIEW_NAME_MAX)
		*rc = -ENAMETOOLONG;
	else if (name_len == 0 || memchr(name, '/', name_len) ||
		 memchr(name, '\0', name_len))
		*rc = -EINVAL;
	else
		return true;
	return false;
}

/* --- one cookie of one directory ----------------------------------------- */

struct slot {
	const struct image_entry *image; /* NULL: the image has none here */
	bool in_delta;
	struct record_name name; /* when in_delta */
};

int name_from_layers(struct view *view, unsigned int level, uint64_t dir,
		     uint64_t cookie, struct record_name *name)
{
	struct record_key key;
	struct kv_value value;
	int rc = -ENOENT;

	for (; rc == -ENOENT && level < view->layer_count; level++) {
		const struct layer *layer = view->layer[level];

		if (!idset_has(&layer->touched, dir))
			continue;
		record_key_name(&key, layer->id, dir, cookie);
		rc = kv_get(view->kv, key.bytes, key.len, &value);
		if (rc < 0)
			continue;
		rc = record_name_decode(value.data, value.len, name) < 0 ? -EIO
									 : 0;
		kv_value_release(&value);
	}
	return rc;
}

static int slot_get(struct view *view, const struct inode *dir, uint64_t cookie,
		    struct slot *slot)
{
	const struct image_entry *end;
	int rc;

	slot->image = NULL;
	slot->in_delta = false;
	if (dir->image != IMAGE_NONE) {
		const struct image_entry *entry =
		    image_from(view->image, dir->image, cookie, &end);

		if (entry != end && entry->cookie == cookie)
			slot->image = entry;
	}
	rc = name_from_layers(view, 0, dir->fileid, cookie, &slot->name);
	/* A filler hides no image: a switch may have put a name there. */
	slot->in_delta =
	    rc == 0 && !(slot->name.kind == RECORD_NAME_FILLER && slot->image);
	return rc == -ENOENT ? 0 : rc;
}

static bool slot_is(const char *name, size_t name_len, const char *other,
		    size_t other_len)
{
	return name_len == other_len && memcmp(name, other, name_len) == 0;
}

/* Is `name` the one that stands here?  Fills the place if so. */
static bool slot_match(struct view *view, const struct slot *slot,
		       uint64_t cookie, const char *name, size_t name_len,
		       struct place *place)
{
	bool image_same =
	    slot->image &&
	    slot_is(name, name_len, slot->image->name, slot->image->name_len);

	if (slot->in_delta) {
		if (slot->name.kind == RECORD_NAME_FILLER ||
		    !slot_is(name, name_len, slot->name.name,
			     slot->name.name_len))
			return false;
		place->exists = slot->name.kind == RECORD_NAME_ENTRY;
		place->fileid = slot->name.fileid;
		place->generation = slot->name.generation;
	} else {
		if (!image_same)
			return false;
		place->exists = true;
		place->fileid =
		    image_inode(view->image, slot->image->inode)->fileid;
		place->generation = 0;
	}
	place->cookie = cookie;
	place->in_image = image_same;
	return true;
}

int place_find(struct view *view, const struct inode *dir, const char *name,
	       size_t name_len, struct place *place)
{
	uint64_t cookie = name_cookie(name, name_len);

	*place = (struct place){0};
	for (int i = 0; i < NAME_CHAIN_MAX; i++) {
		struct slot slot;
		int rc = slot_get(view, dir, cookie, &slot);

		if (rc < 0)
			return rc;
		if (slot_match(view, &slot, cookie, name, name_len, place))
			return 0;
		if (!slot.in_delta && !slot.image) {
			if (!place->cookie)
				place->cookie = cookie;
			return 0;
		}
		if (slot.in_delta && slot.name.kind == RECORD_NAME_FILLER &&
		    !place->cookie)
			place->cookie = cookie;
		cookie = name_cookie_next(cookie);
	}
	return 0; /* no free value in the chain: cookie stays 0 */
}

/* --- lookup -------------------------------------------------------------- */

static int name_lookup_dots(struct view *view, const struct inode *dir,
			    size_t name_len, struct inode *child)
{
	if (name_len == 1)
		return inode_load_id(view, dir->fileid, child);
	return inode_load_id(view, dir->rec.parent, child);
}

static int name_lookup(struct view *view, const struct view_cred *cred,
		       const struct inode *dir, const char *name,
		       size_t name_len, struct inode *child)
{
	const struct image_entry *entry;
	struct place place;
	int rc;

	if (!inode_may(view, dir, cred, VIEW_MAY_EXEC))
		return -EACCES;
	if (!name_ok(name, name_len, &rc))
		return rc;
	if (name[0] == '.' &&
	    (name_len == 1 || (name_len == 2 && name[1] == '.')))
		return name_lookup_dots(view, dir, name_len, child);
	if (!view_touched(view, dir->fileid)) {
		if (dir->image == IMAGE_NONE)
			return -ENOENT;
		entry = image_lookup(view->image, dir->image, name, name_len);
		if (!entry)
			return -ENOENT;
		return inode_load_id(
		    view, image_inode(view->image, entry->inode)->fileid,
		    child);
	}
	rc = place_find(view, dir, name, name_len, &place);
	if (rc < 0)
		return rc;
	return place.exists ? inode_load_id(view, place.fileid, child)
			    : -ENOENT;
}

int view_lookup(struct view *view, const struct view_cred *cred,
		struct view_object dir_obj, const char *name, size_t name_len,
		struct view_attr *attr, struct view_attr *dir_attr)
{
	struct inode dir, child;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load(view, dir_obj.fileid, dir_obj.generation, &dir);
	if (rc == 0) {
		inode_attr(view, &dir, dir_attr);
		rc = S_ISDIR(dir.rec.mode)
			 ? name_lookup(view, cred, &dir, name, name_len, &child)
			 : -ENOTDIR;
		if (rc == -ESTALE) /* the entry's object, not the handle's */
			rc = log_err(-EIO, "delta %s: a name without object",
				     view->info.path);
		if (rc == 0)
			inode_attr(view, &child, attr);
	} else {
		memset(dir_attr, 0, sizeof(*dir_attr));
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

/* --- taking a name out --------------------------------------------------- */

/* Would a frozen layer's name show through? */
static bool op_name_is_below(struct op *op, uint64_t dir, uint64_t cookie)
{
	struct record_name name;

	return name_from_layers(op->view, 1, dir, cookie, &name) != -ENOENT;
}

int op_unlink(struct op *op, const struct inode *dir, const struct place *place,
	      const char *name, size_t name_len, bool chained)
{
	struct slot next;
	int rc;

	if (place->in_image) {
		op_name_put(op, dir->fileid, place->cookie,
			    RECORD_NAME_WHITEOUT, name, name_len, 0, 0);
		return 0;
	}
	rc = slot_get(op->view, dir, name_cookie_next(place->cookie), &next);
	if (rc < 0)
		return rc;
	if (chained || next.in_delta || next.image ||
	    op_name_is_below(op, dir->fileid, place->cookie))
		op_name_put(op, dir->fileid, place->cookie, RECORD_NAME_FILLER,
			    name, name_len, 0, 0);
	else
		op_name_delete(op, dir->fileid, place->cookie);
	return 0;
}

static int dir_seen(void *ctx, const struct dir_entry *entry)
{
	(void)entry;
	*(bool *)ctx = false;
	return 1;
}

int dir_is_empty(struct view *view, const struct inode *dir, bool *empty)
{
	int rc;

	*empty = true;
	rc = dir_each(view, dir, 0, dir_seen, empty);
	return rc < 0 ? rc : 0;
}
