/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode: what lies behind a fileid, its attributes, and who may do what.
 * view->lock is held by the callers, shared or alone.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

void record_from_tree(const struct tree *tree, uint32_t inode,
		      const struct tree_inode *attr, struct record *rec)
{
	memset(rec, 0, sizeof(*rec));
	if (tree) {
		rec->has_base = true;
		rec->base_tree = *tree_digest(tree);
		rec->base_inode = inode;
	}
	rec->mode = attr->mode;
	rec->uid = attr->uid;
	rec->gid = attr->gid;
	rec->rdev_major = attr->rdev_major;
	rec->rdev_minor = attr->rdev_minor;
	rec->atime = rec->mtime = rec->ctime = attr->mtime;
	rec->data.size = attr->size;
	rec->data.base_limit = attr->size;
	rec->data.cut = RECORD_NO_CUT;
	rec->data.kind = RECORD_DATA_NONE;
}

void record_from_image(const struct image *image, uint32_t i,
		       struct record *rec)
{
	const struct image_inode *ii = image_inode(image, i);
	struct tree_inode attr;
	const struct tree *tree = image_attr(image, i, &attr);

	record_from_tree(tree, ii->inode, &attr, rec);
	if (S_ISDIR(attr.mode))
		rec->parent = image_inode(image, ii->parent)->fileid;
}

int record_load(struct kv *kv, uint64_t layer, uint64_t fileid,
		struct record *rec)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_inode(&key, layer, fileid);
	rc = kv_get(kv, key.bytes, key.len, &value);
	if (rc == -ENOENT)
		return log_err(-EIO, "layer %llu: record of %llx is missing",
			       (unsigned long long)layer,
			       (unsigned long long)fileid);
	if (rc < 0)
		return rc;
	rc = record_decode(value.data, value.len, rec);
	kv_value_release(&value);
	if (rc == 0 && rec->data.data_id && !rec->data.layer)
		rec->data.layer = layer;
	return rc < 0 ? -EIO : 0;
}

/* The record of a frozen layer, as a copy-up to the top layer would write it:
 * that has no bytes yet. */
static void record_lift(struct record *rec)
{
	struct record_data_state *data = &rec->data;

	data->used = 0;
	if (data->kind != RECORD_DATA_HOST)
		return; /* inline data are looked for in all layers */
	*data = (struct record_data_state){
	    .size = data->size,
	    .base_limit = data->size,
	    .cut = RECORD_NO_CUT,
	    .kind = RECORD_DATA_NONE,
	    .lower = true,
	};
}

/* No ctime is shown that is earlier than `than`. */
static void inode_since(struct inode *inode, const struct timespec *than)
{
	if (time_is_after(than, &inode->rec.ctime))
		inode->rec.ctime = *than;
}

static int inode_from_record(struct view *view, struct inode *inode)
{
	struct layer *layer = view->layer[inode->level];
	int rc;

	if (!recent_get(&layer->recent, inode->fileid, &inode->rec)) {
		rc = record_load(view->kv, layer->id, inode->fileid,
				 &inode->rec);
		if (rc < 0)
			return rc;
		recent_put(&layer->recent, inode->fileid, &inode->rec);
	}
	if (inode->level > 0)
		record_lift(&inode->rec);
	if (lives_was_cut(view->lives, inode->rec.life))
		inode_since(inode, &inode->rec.ctime_bound);
	return 0;
}

unsigned int view_recorded(const struct view *view, uint64_t fileid)
{
	for (unsigned int i = 0; i < view->layer_count; i++)
		if (idset_has(&view->layer[i]->recorded, fileid))
			return i;
	return VIEW_LAYERS_MAX;
}

bool view_touched(const struct view *view, uint64_t dir)
{
	for (unsigned int i = 0; i < view->layer_count; i++)
		if (idset_has(&view->layer[i]->touched, dir))
			return true;
	return false;
}

int inode_peek(struct view *view, uint64_t fileid, struct inode *inode)
{
	int rc;

	if (view->removed)
		return -ESTALE;
	inode->fileid = fileid;
	inode->data_now = false;
	inode->image =
	    fileid & RECORD_BORN ? IMAGE_NONE : image_find(view->image, fileid);
	inode->node = node_find(view, fileid);
	inode->level = view_recorded(view, fileid);
	inode->recorded = inode->level < VIEW_LAYERS_MAX;
	if (inode->node) {
		inode->rec = inode->node->rec;
	} else if (inode->recorded) {
		rc = inode_from_record(view, inode);
		if (rc < 0)
			return rc;
	} else if (inode->image != IMAGE_NONE) {
		record_from_image(view->image, inode->image, &inode->rec);
	} else {
		return -ESTALE;
	}
	if (S_ISDIR(inode->rec.mode) && inode->image != IMAGE_NONE)
		past_times(view->past, fileid, &inode->rec);
	inode_since(inode, &view->since);
	return 0;
}

int inode_load_id(struct view *view, uint64_t fileid, struct inode *inode)
{
	int rc = inode_peek(view, fileid, inode);

	return rc == 0 && (inode->rec.gone || inode->rec.superseded) ? -ESTALE
								     : rc;
}

int inode_load(struct view *view, uint64_t fileid, uint32_t generation,
	       struct inode *inode)
{
	int rc;

	/* Here, under the lock, since nfsd's own question is asked before it:
	 * what had not begun when the pause did must not be done after it. */
	if (view_is_paused(view) && !view->removed)
		return -ESHUTDOWN;
	rc = inode_load_id(view, fileid, inode);
	if (rc == 0 && inode->rec.generation != generation)
		return -ESTALE;
	return rc;
}

int inode_load_old(struct view *view, uint64_t fileid, uint32_t generation,
		   struct inode *inode)
{
	int rc;

	if (view_is_paused(view) && !view->removed)
		return -ESHUTDOWN;
	inode->old = false;
	rc = inode_peek(view, fileid, inode);
	if (rc == 0 && inode->rec.gone)
		return -ESTALE;
	if (rc == 0 && inode->rec.superseded) {
		if (S_ISDIR(inode->rec.mode))
			return -ESTALE;
		inode->old = true;
		inode->image = IMAGE_NONE;
		inode->rec.nlink = 1;
	}
	if (rc == -ESTALE && !view->removed && !(fileid & RECORD_BORN) &&
	    past_find(view->past, fileid, &inode->rec)) {
		inode->old = true;
		inode_since(inode, &view->since);
		rc = 0;
	}
	return rc == 0 && inode->rec.generation != generation ? -ESTALE : rc;
}

int inode_load_dir(struct view *view, struct view_object obj,
		   struct inode *inode)
{
	int rc = inode_load(view, obj.fileid, obj.generation, inode);

	if (rc == 0 && !S_ISDIR(inode->rec.mode))
		return -ENOTDIR;
	return rc;
}

struct tree *inode_base(struct view *view, const struct record *rec)
{
	if (!rec->has_base)
		return NULL;
	for (unsigned int i = 0; i < image_tree_count(view->image); i++)
		if (digest_equal(tree_digest(image_tree(view->image, i)),
				 &rec->base_tree))
			return image_tree(view->image, i);
	for (unsigned int i = 0; i < view->layer_count; i++) {
		struct tree *tree = layer_tree(view->layer[i], &rec->base_tree);

		if (tree)
			return tree;
	}
	return past_tree(view->past, &rec->base_tree);
}

int view_hold_record(struct view *view, const struct record *rec)
{
	struct layer *top = view_top(view);
	struct tree *tree = rec->gone ? NULL : inode_base(view, rec);
	int rc = idset_reserve(&top->recorded, 1);

	return rc == 0 && tree ? layer_hold_tree(top, tree) : rc;
}

void view_add_record(struct view *view, uint64_t fileid)
{
	struct layer *top = view_top(view);

	if (idset_has(&top->recorded, fileid))
		return;
	idset_add(&top->recorded, fileid);
	view_account(view, 0, 1);
}

int view_may_grow(const struct view *view, int64_t bytes, int64_t files)
{
	int rc = quota_check(&view->quota, bytes, files);

	return rc < 0 ? rc : quota_check(view->tenant_quota, bytes, files);
}

void inode_bound(const struct view *view, struct record *rec, bool ahead)
{
	rec->life = view->lives->now;
	if (ahead && time_is_after(&rec->ctime_bound, &rec->ctime))
		return;
	rec->ctime_bound = rec->ctime;
	rec->ctime_bound.tv_sec += ahead;
}

uint32_t inode_nlink(struct view *view, const struct inode *inode)
{
	int64_t nlink = inode->rec.nlink;

	if (inode->image != IMAGE_NONE)
		nlink += image_inode(view->image, inode->image)->nlink;
	return nlink > 0 ? (uint32_t)nlink : 0;
}

void inode_attr(struct view *view, const struct inode *inode,
		struct view_attr *attr)
{
	const struct record *rec = &inode->rec;
	uint64_t below = MIN(rec->data.base_limit, rec->data.size);

	attr->fileid = inode->fileid;
	attr->generation = rec->generation;
	attr->mode = rec->mode;
	attr->nlink = inode_nlink(view, inode);
	attr->uid = rec->uid;
	attr->gid = rec->gid;
	attr->rdev_major = rec->rdev_major;
	attr->rdev_minor = rec->rdev_minor;
	attr->size = rec->data.size;
	attr->used = S_ISREG(rec->mode)
			 ? MIN(below + rec->data.used,
			       (rec->data.size + 4095) & ~UINT64_C(4095))
			 : rec->data.size;
	attr->atime = rec->atime;
	attr->mtime = rec->mtime;
	attr->ctime = rec->ctime;
}

bool cred_in_group(const struct view_cred *cred, uint32_t gid)
{
	if (cred->gid == gid)
		return true;
	for (unsigned int i = 0; i < cred->group_count; i++)
		if (cred->groups[i] == gid)
			return true;
	return false;
}

unsigned int view_permissions(const struct view_attr *attr,
			      const struct view_cred *cred)
{
	unsigned int bits = attr->mode & 07;

	if (cred->uid == 0) {
		bool exec = S_ISDIR(attr->mode) || (attr->mode & 0111);

		return VIEW_MAY_READ | VIEW_MAY_WRITE |
		       (exec ? VIEW_MAY_EXEC : 0);
	}
	if (cred->uid == attr->uid)
		bits = attr->mode >> 6 & 07;
	else if (cred_in_group(cred, attr->gid))
		bits = attr->mode >> 3 & 07;
	return bits; /* VIEW_MAY_* are the bits of a mode */
}

bool inode_may(struct view *view, const struct inode *inode,
	       const struct view_cred *cred, unsigned int want)
{
	struct view_attr attr;

	inode_attr(view, inode, &attr);
	return (view_permissions(&attr, cred) & want) == want;
}

void wcc_before(struct view_wcc *wcc, const struct inode *inode)
{
	wcc->has_before = true;
	wcc->before_size = inode->rec.data.size;
	wcc->before_mtime = inode->rec.mtime;
	wcc->before_ctime = inode->rec.ctime;
}

void wcc_after(struct view *view, struct view_wcc *wcc,
	       const struct inode *inode)
{
	wcc->has_after = true;
	inode_attr(view, inode, &wcc->after);
}

bool time_is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

struct timespec time_after(const struct timespec *old)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (time_is_after(&now, old))
		return now;
	now = *old;
	if (++now.tv_nsec == 1000000000) {
		now.tv_nsec = 0;
		now.tv_sec++;
	}
	return now;
}

void inode_touch(struct inode *inode, bool content)
{
	inode->rec.ctime = time_after(&inode->rec.ctime);
	if (content)
		inode->rec.mtime = inode->rec.ctime;
}
