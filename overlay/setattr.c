/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setattr: attributes asked for, and changed.  A change of size follows the
 * order of design 7: the batch says the new size and how far the base is still
 * seen; the host file is cut only when that is stable.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

int view_getattr(struct view *view, struct view_object obj,
		 struct view_attr *attr)
{
	struct inode inode;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load_old(view, obj.fileid, obj.generation, &inode);
	if (rc == 0)
		inode_attr(view, &inode, attr);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

/* --- who may ------------------------------------------------------------- */

static int setattr_may_own(const struct inode *inode,
			   const struct view_cred *cred,
			   const struct view_setattr *set)
{
	bool owner = cred->uid == inode->rec.uid;

	if (cred->uid == 0)
		return 0;
	if ((set->mask & VIEW_SET_MODE) && !owner)
		return -EPERM;
	if ((set->mask & VIEW_SET_UID) &&
	    (!owner || set->uid != inode->rec.uid))
		return -EPERM;
	if ((set->mask & VIEW_SET_GID) &&
	    (!owner ||
	     (set->gid != inode->rec.gid && !cred_in_group(cred, set->gid))))
		return -EPERM;
	return 0;
}

static int setattr_may(struct view *view, const struct inode *inode,
		       const struct view_cred *cred,
		       const struct view_setattr *set)
{
	bool owner = cred->uid == 0 || cred->uid == inode->rec.uid;
	bool write = owner || inode_may(view, inode, cred, VIEW_MAY_WRITE);
	int rc = setattr_may_own(inode, cred, set);

	if (rc < 0)
		return rc;
	if ((set->mask & (VIEW_SET_ATIME | VIEW_SET_MTIME)) && !owner)
		return -EPERM;
	if ((set->mask & (VIEW_SET_ATIME_NOW | VIEW_SET_MTIME_NOW)) && !write)
		return -EACCES;
	if (!(set->mask & VIEW_SET_SIZE))
		return 0;
	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode))
		return -EINVAL;
	if (set->size > VIEW_FILE_SIZE_MAX)
		return -EFBIG;
	return write ? 0 : -EACCES;
}

/* --- size ---------------------------------------------------------------- */

int inline_get_from(struct view *view, unsigned int level, uint64_t fileid,
		    uint8_t *buf, size_t *len)
{
	struct record_key key;
	struct kv_value value;
	int rc = -ENOENT;

	for (; rc == -ENOENT && level < view->layer_count; level++) {
		if (!idset_has(&view->layer[level]->recorded, fileid))
			continue;
		record_key_data(&key, view->layer[level]->id, fileid);
		rc = kv_get(view->kv, key.bytes, key.len, &value);
	}
	if (rc < 0)
		return log_err(-EIO, "delta %s: data of %llx: %s",
			       view->info.path, (unsigned long long)fileid,
			       strerror(-rc));
	if (value.len > RECORD_INLINE_MAX) {
		kv_value_release(&value);
		return log_err(-EIO, "delta %s: data of %llx is too long",
			       view->info.path, (unsigned long long)fileid);
	}
	memcpy(buf, value.data, value.len);
	*len = value.len;
	kv_value_release(&value);
	return 0;
}

int inline_get(struct view *view, uint64_t fileid,
	       uint8_t buf[RECORD_INLINE_MAX], size_t *len)
{
	return inline_get_from(view, 0, fileid, buf, len);
}

static int resize_inline(struct op *op, struct inode *inode, uint64_t size)
{
	uint8_t buf[RECORD_INLINE_MAX];
	struct record_key key;
	size_t len;
	int rc = inline_get(op->view, inode->fileid, buf, &len);

	if (rc < 0 || len <= size)
		return rc;
	record_key_data(&key, view_top(op->view)->id, inode->fileid);
	kv_batch_put(op->batch, key.bytes, key.len, buf, size);
	op->bytes += (int64_t)size - (int64_t)inode->rec.data.used;
	inode->rec.data.used = size;
	return 0;
}

static void resize_host(struct op *op, struct inode *inode, uint64_t size)
{
	struct record_data_state *data = &inode->rec.data;
	struct pages *pages = &inode->node->pages;
	uint64_t used = data->used;

	pages_clear_from(pages, (size + RECORD_PAGE - 1) / RECORD_PAGE);
	pages_save(pages, op->batch, view_top(op->view)->id, inode->fileid);
	data->cut = MIN(data->cut, size);
	data->used = pages_count(pages) * RECORD_PAGE;
	op->bytes += (int64_t)(data->used - used);
}

static int resize(struct op *op, struct inode *inode, uint64_t size)
{
	struct record_data_state *data = &inode->rec.data;
	int rc = 0;

	if (size == 0 && data->size > 0) {
		rc = op_drop_data(op, inode);
	} else if (size < data->size) {
		if (data->kind == RECORD_DATA_INLINE)
			rc = resize_inline(op, inode, size);
		else if (data->kind == RECORD_DATA_HOST)
			resize_host(op, inode, size);
		data->base_limit = MIN(data->base_limit, size);
	}
	data->size = size;
	inode->data_now = true;
	return rc;
}

/* A change of size needs a quiet node; -EINPROGRESS when it is not. */
static int resize_prepare(struct view *view, struct inode *inode,
			  struct view_wait *wait)
{
	struct node *node = inode->node;

	if (view->still)
		return view_park(view, wait);
	if (node && (node->dirty || node->flight || node->cutting))
		return node_park(view, node, wait);
	if (node)
		return node_mend(view, inode);
	if (inode->rec.data.kind == RECORD_DATA_HOST)
		return node_open(view, inode);
	return 0;
}

/* --- the change ---------------------------------------------------------- */

static void setattr_mode(struct inode *inode, const struct view_cred *cred,
			 const struct view_setattr *set)
{
	struct record *rec = &inode->rec;

	if (set->mask & VIEW_SET_UID)
		rec->uid = set->uid;
	if (set->mask & VIEW_SET_GID)
		rec->gid = set->gid;
	if (set->mask & VIEW_SET_MODE) {
		rec->mode = (rec->mode & S_IFMT) | (set->mode & 07777);
		if (cred->uid != 0 && !cred_in_group(cred, rec->gid))
			rec->mode &= ~(uint32_t)S_ISGID;
	} else if (cred->uid != 0 && !S_ISDIR(rec->mode) &&
		   (set->mask &
		    (VIEW_SET_UID | VIEW_SET_GID | VIEW_SET_SIZE))) {
		rec->mode &= ~(uint32_t)(S_ISUID | S_ISGID); /* rule N-37 */
	} else if (!S_ISDIR(rec->mode) &&
		   (set->mask & (VIEW_SET_UID | VIEW_SET_GID))) {
		/* Root's chown too, as Linux does: a client leaves it to us. */
		rec->mode &= ~(uint32_t)S_ISUID;
		if (rec->mode & S_IXGRP)
			rec->mode &= ~(uint32_t)S_ISGID;
	}
}

static void setattr_times(struct inode *inode, const struct view_setattr *set)
{
	struct record *rec = &inode->rec;

	inode_touch(inode, set->mask & VIEW_SET_SIZE);
	if (set->mask & VIEW_SET_ATIME)
		rec->atime = set->atime;
	if (set->mask & VIEW_SET_ATIME_NOW)
		rec->atime = rec->ctime;
	if (set->mask & VIEW_SET_MTIME)
		rec->mtime = set->mtime;
	if (set->mask & VIEW_SET_MTIME_NOW)
		rec->mtime = rec->ctime;
}

static int setattr_write(struct view *view, const struct view_cred *cred,
			 struct inode *inode, const struct view_setattr *set,
			 struct view_change *change,
			 const struct view_wcc *dir_wcc)
{
	struct view_done *done = &change->done;
	struct node *node;
	struct op op;
	int rc = op_begin(&op, view, change);

	if (rc == 0 && (set->mask & VIEW_SET_SIZE))
		rc = resize(&op, inode, set->size);
	node = inode->node;
	if (rc == 0) {
		setattr_mode(inode, cred, set);
		setattr_times(inode, set);
		op_inode(&op, inode);
		inode_attr(view, inode, &done->attr);
		if (dir_wcc)
			done->wcc[0] = *dir_wcc;
		else
			wcc_after(view, &done->wcc[0], inode);
		rc = op_end(&op, false);
	}
	op_abort(&op);
	if (node && rc < 0 && (set->mask & VIEW_SET_SIZE))
		node_detach(view, node); /* its pages are ahead: read anew */
	if (node && rc == 0 && node->rec.data.cut != RECORD_NO_CUT &&
	    (set->mask & VIEW_SET_SIZE))
		node_cut(view, node);
	return rc;
}

int setattr_apply(struct view *view, const struct view_cred *cred,
		  struct inode *inode, const struct view_setattr *set,
		  struct view_wait *wait, struct view_change *change,
		  const struct view_wcc *dir_wcc)
{
	int rc = setattr_may(view, inode, cred, set);

	if (rc == 0 && (set->mask & VIEW_SET_SIZE))
		rc = resize_prepare(view, inode, wait);
	if (rc < 0)
		return rc;
	return setattr_write(view, cred, inode, set, change, dir_wcc);
}

int view_setattr(struct view *view, const struct view_cred *cred,
		 struct view_object obj, const struct view_setattr *set,
		 const struct timespec *guard, struct view_wait *wait,
		 struct view_change *change)
{
	struct view_wcc *wcc = &change->done.wcc[0];
	struct inode inode;
	int rc;

	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load(view, obj.fileid, obj.generation, &inode);
	if (rc == 0) {
		wcc_before(wcc, &inode);
		wcc_after(view, wcc, &inode);
		if (guard && (guard->tv_sec != inode.rec.ctime.tv_sec ||
			      guard->tv_nsec != inode.rec.ctime.tv_nsec))
			rc = -EAGAIN;
		else
			rc = setattr_apply(view, cred, &inode, set, wait,
					   change, NULL);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
