/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: new names: files, directories, special files, symbolic and hard
 * links.  Each is one batch: the object's record, its name, the directory's
 * record.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

/* What every creation needs: the directory, the name's place in it. */
struct create {
	struct view *view;
	const struct view_cred *cred;
	const char *name;
	size_t name_len;
	struct view_change *change;
	struct inode dir;
	struct place place;
};

/*
 * Load and check.  -EEXIST is returned with c->place filled, for those who
 * allow it.  wcc[0] has the directory's attributes whenever it exists.
 */
static int create_begin(struct create *c, struct view_object dir)
{
	struct view *view = c->view;
	struct view_wcc *wcc = &c->change->done.wcc[0];
	int rc = inode_load(view, dir.fileid, dir.generation, &c->dir);

	memset(&c->change->done, 0, sizeof(c->change->done));
	c->change->pending = false;
	if (rc < 0)
		return rc;
	wcc_before(wcc, &c->dir);
	wcc_after(view, wcc, &c->dir);
	if (!S_ISDIR(c->dir.rec.mode))
		return -ENOTDIR;
	if (!inode_may(view, &c->dir, c->cred, VIEW_MAY_EXEC))
		return -EACCES;
	if (!name_ok(c->name, c->name_len, &rc))
		return rc;
	if (c->name[0] == '.' &&
	    (c->name_len == 1 || (c->name_len == 2 && c->name[1] == '.')))
		return -EEXIST;
	rc = place_find(view, &c->dir, c->name, c->name_len, &c->place);
	if (rc < 0)
		return rc;
	if (c->place.exists)
		return -EEXIST;
	if (!inode_may(view, &c->dir, c->cred, VIEW_MAY_WRITE))
		return -EACCES;
	if (!c->place.cookie)
		return log_err(-ENOSPC,
			       "%s: more than %d names with one hash in a "
			       "directory",
			       view->info.path, NAME_CHAIN_MAX);
	return 0;
}

/* Owner, group and permissions of a new object (rules N-36, N-37). */
static void create_attrs(const struct create *c, uint32_t type,
			 const struct view_setattr *set, struct inode *inode)
{
	const struct record *dir = &c->dir.rec;
	struct record *rec = &inode->rec;
	const struct view_cred *cred = c->cred;

	rec->mode = type | (set->mask & VIEW_SET_MODE ? set->mode & 07777 : 0);
	rec->uid = cred->uid;
	rec->gid = dir->mode & S_ISGID ? dir->gid : cred->gid;
	if ((set->mask & VIEW_SET_UID) && cred->uid == 0)
		rec->uid = set->uid;
	if ((set->mask & VIEW_SET_GID) &&
	    (cred->uid == 0 || cred_in_group(cred, set->gid)))
		rec->gid = set->gid;
	if (S_ISDIR(type) && (dir->mode & S_ISGID))
		rec->mode |= S_ISGID;
	if (!S_ISDIR(type) && cred->uid != 0 && !cred_in_group(cred, rec->gid))
		rec->mode &= ~(uint32_t)S_ISGID;
	rec->ctime = time_after(&dir->ctime);
	rec->atime = rec->mtime = rec->ctime;
	if (set->mask & VIEW_SET_ATIME)
		rec->atime = set->atime;
	if (set->mask & VIEW_SET_MTIME)
		rec->mtime = set->mtime;
}

static int create_inode(const struct create *c, uint32_t type,
			const struct view_setattr *set, struct inode *inode)
{
	uint64_t id;
	int rc = view_take_id(c->view, &id);

	if (rc < 0)
		return rc;
	memset(inode, 0, sizeof(*inode));
	inode->fileid = id;
	inode->image = IMAGE_NONE;
	inode->rec.generation = c->view->info.export_id | VIEW_BORN;
	inode->rec.nlink = S_ISDIR(type) ? 2 : 1;
	inode->rec.data.cut = RECORD_NO_CUT;
	inode->rec.parent = S_ISDIR(type) ? c->dir.fileid : 0;
	if (S_ISDIR(type))
		inode->rec.data.size = 4096;
	if (S_ISREG(type) && (set->mask & VIEW_SET_SIZE))
		inode->rec.data.size = set->size;
	create_attrs(c, type, set, inode);
	return 0;
}

/* Name and directory of a new object, then the batch. */
static int create_end(struct create *c, struct op *op, struct inode *inode)
{
	struct view_done *done = &c->change->done;

	op_name_put(op, c->dir.fileid, c->place.cookie, RECORD_NAME_ENTRY,
		    c->name, c->name_len, inode->fileid, inode->rec.generation);
	if (S_ISDIR(inode->rec.mode) && !inode->recorded)
		c->dir.rec.nlink++;
	inode_touch(&c->dir, true);
	op_inode(op, &c->dir);
	op_inode(op, inode);
	inode_attr(c->view, inode, &done->attr);
	wcc_after(c->view, &done->wcc[0], &c->dir);
	return op_end(op, false);
}

static int create_new(struct create *c, uint32_t type,
		      const struct view_setattr *set, const uint64_t *verifier,
		      uint32_t rdev_major, uint32_t rdev_minor)
{
	struct inode inode;
	struct op op;
	int rc = op_begin(&op, c->view, c->change);

	if (rc == 0)
		rc = create_inode(c, type, set, &inode);
	if (rc == 0) {
		inode.rec.rdev_major = rdev_major;
		inode.rec.rdev_minor = rdev_minor;
		inode.rec.has_verifier = verifier != NULL;
		inode.rec.verifier = verifier ? *verifier : 0;
		rc = create_end(c, &op, &inode);
	}
	op_abort(&op);
	return rc;
}

/* EXCLUSIVE on a name that exists: a retransmission, or somebody else's. */
static int create_again(struct create *c, uint64_t verifier)
{
	struct inode inode;
	int rc = inode_load_id(c->view, c->place.fileid, &inode);

	if (rc < 0)
		return rc;
	if (!inode.rec.has_verifier || inode.rec.verifier != verifier)
		return -EEXIST;
	inode_attr(c->view, &inode, &c->change->done.attr);
	c->change->pending = true;
	change_submit(c->view, c->change);
	return 0;
}

/* UNCHECKED on a name that exists: at most its size changes. */
static int create_over(struct create *c, const struct view_setattr *set,
		       struct view_wait *wait)
{
	struct view_setattr only = {.mask = VIEW_SET_SIZE, .size = set->size};
	struct inode inode;
	int rc = inode_load_id(c->view, c->place.fileid, &inode);

	if (rc < 0)
		return rc;
	if (!S_ISREG(inode.rec.mode))
		return -EEXIST;
	inode_attr(c->view, &inode, &c->change->done.attr);
	if (!(set->mask & VIEW_SET_SIZE) || set->size == inode.rec.data.size)
		return 0;
	return setattr_apply(c->view, c->cred, &inode, &only, wait, c->change,
			     &c->change->done.wcc[0]);
}

int view_create(struct view *view, const struct view_cred *cred,
		struct view_object dir, const char *name, size_t name_len,
		enum view_create_how how, const struct view_setattr *set,
		uint64_t verifier, struct view_wait *wait,
		struct view_change *change)
{
	struct create c = {view, cred, name, name_len, change, {0}, {0}};
	int rc;

	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	if ((set->mask & VIEW_SET_SIZE) && set->size > VIEW_FILE_SIZE_MAX)
		return -EFBIG;
	pthread_rwlock_wrlock(&view->lock);
	rc = create_begin(&c, dir);
	if (rc == 0)
		rc = create_new(&c, S_IFREG, set,
				how == VIEW_CREATE_EXCLUSIVE ? &verifier : NULL,
				0, 0);
	else if (rc == -EEXIST && c.place.exists &&
		 how == VIEW_CREATE_EXCLUSIVE)
		rc = create_again(&c, verifier);
	else if (rc == -EEXIST && c.place.exists &&
		 how == VIEW_CREATE_UNCHECKED)
		rc = create_over(&c, set, wait);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_mknod(struct view *view, const struct view_cred *cred,
	       struct view_object dir, const char *name, size_t name_len,
	       uint32_t type, const struct view_setattr *set,
	       uint32_t rdev_major, uint32_t rdev_minor,
	       struct view_change *change)
{
	struct create c = {view, cred, name, name_len, change, {0}, {0}};
	bool device = S_ISBLK(type) || S_ISCHR(type);
	/* Overlayfs's whiteout opens nothing: it is no device. */
	bool whiteout = S_ISCHR(type) && rdev_major == 0 && rdev_minor == 0;
	int rc;

	ASSERT(device || S_ISDIR(type) || S_ISFIFO(type) || S_ISSOCK(type));
	pthread_rwlock_wrlock(&view->lock);
	rc = create_begin(&c, dir);
	if (rc == 0 && device && !whiteout &&
	    (!view->info.allow_devices || cred->uid != 0))
		rc = -EPERM;
	if (rc == 0 && S_ISDIR(type) &&
	    inode_nlink(view, &c.dir) >= VIEW_LINK_MAX)
		rc = -EMLINK;
	if (rc == 0)
		rc = create_new(&c, type, set, NULL, device ? rdev_major : 0,
				device ? rdev_minor : 0);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static int symlink_new(struct create *c, const char *target, size_t target_len,
		       const struct view_setattr *set)
{
	struct view_setattr attrs = *set;
	struct record_key key;
	struct inode inode;
	struct op op;
	int rc = op_begin(&op, c->view, c->change);

	attrs.mask = (set->mask & ~(unsigned int)VIEW_SET_SIZE) | VIEW_SET_MODE;
	attrs.mode = 0777;
	if (rc == 0)
		rc = create_inode(c, S_IFLNK, &attrs, &inode);
	if (rc == 0) {
		inode.rec.data.size = target_len;
		record_key_data(&key, view_top(c->view)->id, inode.fileid);
		kv_batch_put(op.batch, key.bytes, key.len, target, target_len);
		rc = create_end(c, &op, &inode);
	}
	op_abort(&op);
	return rc;
}

int view_symlink(struct view *view, const struct view_cred *cred,
		 struct view_object dir, const char *name, size_t name_len,
		 const char *target, size_t target_len,
		 const struct view_setattr *set, struct view_change *change)
{
	struct create c = {view, cred, name, name_len, change, {0}, {0}};
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = create_begin(&c, dir);
	if (rc == 0 && target_len > VIEW_SYMLINK_MAX)
		rc = -ENAMETOOLONG;
	if (rc == 0 && (target_len == 0 || memchr(target, '\0', target_len)))
		rc = -EINVAL;
	if (rc == 0)
		rc = symlink_new(&c, target, target_len, set);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static int link_new(struct create *c, struct inode *inode)
{
	struct op op;
	int rc = op_begin(&op, c->view, c->change);

	if (rc == 0) {
		inode->rec.nlink++;
		inode_touch(inode, false);
		rc = create_end(c, &op, inode);
	}
	op_abort(&op);
	return rc;
}

int view_link(struct view *view, const struct view_cred *cred,
	      struct view_object obj, struct view_object dir, const char *name,
	      size_t name_len, struct view_change *change)
{
	struct create c = {view, cred, name, name_len, change, {0}, {0}};
	struct inode inode;
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = create_begin(&c, dir);
	if (rc == 0 || rc == -EEXIST) {
		int found =
		    inode_load(view, obj.fileid, obj.generation, &inode);

		if (found == 0)
			inode_attr(view, &inode, &change->done.attr);
		rc = found < 0 ? found : rc;
	}
	if (rc == 0 && S_ISDIR(inode.rec.mode))
		rc = -EPERM;
	if (rc == 0 && inode_nlink(view, &inode) >= VIEW_LINK_MAX)
		rc = -EMLINK;
	if (rc == 0)
		rc = link_new(&c, &inode);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
