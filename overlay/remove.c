/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remove: names that go, and names that move.
 *
 * A package object is never deleted: its name gets a whiteout, its record says
 * that it is gone.  Moving a package directory moves its name only: what lies
 * in it is found by its number.
 */
#include "depot/log.h"
#include "overlay/view_impl.h"

static bool name_is_dots(const char *name, size_t name_len)
{
	return name[0] == '.' &&
	       (name_len == 1 || (name_len == 2 && name[1] == '.'));
}

/* RFC 1813 leaves it to the server; POSIX: who may take a name out of a sticky
 * directory (rule N-35). */
static bool sticky_forbids(const struct inode *dir, const struct inode *victim,
			   const struct view_cred *cred)
{
	return (dir->rec.mode & S_ISVTX) && cred->uid != 0 &&
	       cred->uid != dir->rec.uid && cred->uid != victim->rec.uid;
}

/* One directory and one name of it. */
struct named {
	struct inode *dir;
	const char *name;
	size_t name_len;
	struct place place;
};

static int named_find(struct view *view, const struct view_cred *cred,
		      struct named *n)
{
	int rc;

	if (!S_ISDIR(n->dir->rec.mode))
		return -ENOTDIR;
	if (!inode_may(view, n->dir, cred, VIEW_MAY_EXEC))
		return -EACCES;
	if (!name_ok(n->name, n->name_len, &rc))
		return rc;
	if (name_is_dots(n->name, n->name_len))
		return n->name_len == 1 ? -EINVAL : -ENOTEMPTY;
	return place_find(view, n->dir, n->name, n->name_len, &n->place);
}

/* May this object's name be taken out, by type and rights? */
static int remove_check(struct view *view, const struct view_cred *cred,
			const struct inode *dir, const struct inode *victim,
			bool rmdir)
{
	bool empty;
	int rc;

	if (!inode_may(view, dir, cred, VIEW_MAY_WRITE))
		return -EACCES;
	if (sticky_forbids(dir, victim, cred))
		return -EPERM;
	if (!rmdir)
		return S_ISDIR(victim->rec.mode) ? -EISDIR : 0;
	if (!S_ISDIR(victim->rec.mode))
		return -ENOTDIR;
	rc = dir_is_empty(view, victim, &empty);
	if (rc < 0)
		return rc;
	return empty ? 0 : -ENOTEMPTY;
}

/* The object loses one name; `dir` is where it was. */
static int op_release(struct op *op, struct inode *dir, struct inode *victim)
{
	if (S_ISDIR(victim->rec.mode)) {
		dir->rec.nlink--;
		return op_erase(op, victim);
	}
	victim->rec.nlink--;
	inode_touch(victim, false);
	if (inode_nlink(op->view, victim) == 0)
		return op_erase(op, victim);
	op_inode(op, victim);
	return 0;
}

static int remove_locked(struct view *view, const struct view_cred *cred,
			 struct named *n, bool rmdir,
			 struct view_change *change)
{
	struct inode victim;
	struct op op;
	int rc = named_find(view, cred, n);

	if (rc == 0 && !n->place.exists)
		rc = -ENOENT;
	if (rc == 0)
		rc = inode_load_id(view, n->place.fileid, &victim);
	if (rc == 0)
		rc = remove_check(view, cred, n->dir, &victim, rmdir);
	if (rc < 0)
		return rc;
	rc = op_begin(&op, view, change);
	op.frees = true;
	if (rc == 0)
		rc = op_unlink(&op, n->dir, &n->place, n->name, n->name_len,
			       false);
	if (rc == 0)
		rc = op_release(&op, n->dir, &victim);
	if (rc == 0) {
		inode_touch(n->dir, true);
		op_inode(&op, n->dir);
		wcc_after(view, &change->done.wcc[0], n->dir);
		rc = op_end(&op, false);
	}
	op_abort(&op);
	return rc;
}

int view_remove(struct view *view, const struct view_cred *cred,
		struct view_object dir_obj, const char *name, size_t name_len,
		bool rmdir, struct view_change *change)
{
	struct inode dir;
	struct named n = {&dir, name, name_len, {0}};
	int rc;

	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load(view, dir_obj.fileid, dir_obj.generation, &dir);
	if (rc == 0) {
		wcc_before(&change->done.wcc[0], &dir);
		wcc_after(view, &change->done.wcc[0], &dir);
		rc = remove_locked(view, cred, &n, rmdir, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

/* --- rename -------------------------------------------------------------- */

struct rename {
	struct view *view;
	const struct view_cred *cred;
	struct named from, to; /* .dir may be the same inode */
	struct inode moved, over;
	bool has_over;
};

/* Is `dir` the object itself, or somewhere below it? */
static int rename_is_below(struct view *view, uint64_t object,
			   const struct inode *dir, bool *below)
{
	struct inode at = *dir;

	for (int depth = 0; depth < 4 * TREE_DEPTH_MAX; depth++) {
		uint64_t parent = at.rec.parent;
		int rc;

		*below = at.fileid == object;
		if (*below || parent == at.fileid)
			return 0;
		rc = inode_load_id(view, parent, &at);
		if (rc < 0)
			return rc == -ESTALE ? -EIO : rc;
	}
	return -ELOOP;
}

static int rename_check_over(struct rename *r)
{
	bool dir = S_ISDIR(r->moved.rec.mode);

	if (dir && !S_ISDIR(r->over.rec.mode))
		return -ENOTDIR;
	if (!dir && S_ISDIR(r->over.rec.mode))
		return -EISDIR;
	return remove_check(r->view, r->cred, r->to.dir, &r->over, dir);
}

static int rename_check(struct rename *r)
{
	struct view *view = r->view;
	bool dir = S_ISDIR(r->moved.rec.mode);
	bool below = false;
	int rc = 0;

	if (!inode_may(view, r->from.dir, r->cred, VIEW_MAY_WRITE) ||
	    !inode_may(view, r->to.dir, r->cred, VIEW_MAY_WRITE))
		return -EACCES;
	if (sticky_forbids(r->from.dir, &r->moved, r->cred))
		return -EPERM;
	if (dir && r->from.dir != r->to.dir &&
	    !inode_may(view, &r->moved, r->cred, VIEW_MAY_WRITE))
		return -EACCES; /* its ".." changes */
	if (dir)
		rc = rename_is_below(view, r->moved.fileid, r->to.dir, &below);
	if (rc == 0 && below)
		rc = -EINVAL;
	if (rc == 0 && dir && r->from.dir != r->to.dir &&
	    inode_nlink(view, r->to.dir) >= VIEW_LINK_MAX)
		rc = -EMLINK;
	if (rc == 0 && r->has_over)
		rc = rename_check_over(r);
	if (rc == 0 && !r->to.place.cookie)
		rc = log_err(-ENOSPC, "%s: no room for a name in a directory",
			     view->info.path);
	return rc;
}

/* The batch of a rename that was checked. */
static int rename_write(struct rename *r, struct op *op)
{
	struct inode *moved = &r->moved;
	/* The new name may sit behind the old one in a chain of ties. */
	bool chained =
	    r->from.dir == r->to.dir &&
	    r->to.place.cookie == name_cookie_next(r->from.place.cookie);
	int rc = op_unlink(op, r->from.dir, &r->from.place, r->from.name,
			   r->from.name_len, chained);

	if (rc == 0 && r->has_over)
		rc = op_release(op, r->to.dir, &r->over);
	if (rc < 0)
		return rc;
	op_name_put(op, r->to.dir->fileid, r->to.place.cookie,
		    RECORD_NAME_ENTRY, r->to.name, r->to.name_len,
		    moved->fileid, moved->rec.generation);
	inode_touch(moved, false);
	if (S_ISDIR(moved->rec.mode) && r->from.dir != r->to.dir) {
		moved->rec.parent = r->to.dir->fileid;
		r->from.dir->rec.nlink--;
		r->to.dir->rec.nlink++;
	}
	op_inode(op, moved);
	inode_touch(r->from.dir, true);
	op_inode(op, r->from.dir);
	if (r->to.dir != r->from.dir) {
		inode_touch(r->to.dir, true);
		op_inode(op, r->to.dir);
	}
	return 0;
}

static int rename_locked(struct rename *r, struct view_change *change)
{
	struct view *view = r->view;
	struct op op;
	int rc = named_find(view, r->cred, &r->from);

	if (rc == 0)
		rc = named_find(view, r->cred, &r->to);
	if (rc == -ENOTEMPTY)
		rc = -EINVAL; /* ".." cannot be renamed */
	if (rc == 0 && !r->from.place.exists)
		rc = -ENOENT;
	if (rc == 0)
		rc = inode_load_id(view, r->from.place.fileid, &r->moved);
	r->has_over = rc == 0 && r->to.place.exists;
	if (r->has_over && r->to.place.fileid == r->from.place.fileid) {
		/* Two names of one object: nothing to do (rule N-33). */
		return 0;
	}
	if (r->has_over)
		rc = inode_load_id(view, r->to.place.fileid, &r->over);
	if (rc == 0)
		rc = rename_check(r);
	if (rc < 0)
		return rc;
	rc = op_begin(&op, view, change);
	if (rc == 0)
		rc = rename_write(r, &op);
	if (rc == 0) {
		wcc_after(view, &change->done.wcc[0], r->from.dir);
		wcc_after(view, &change->done.wcc[1], r->to.dir);
		rc = op_end(&op, false);
	}
	op_abort(&op);
	return rc;
}

int view_rename(struct view *view, const struct view_cred *cred,
		struct view_object from_dir, const char *from, size_t from_len,
		struct view_object to_dir, const char *to, size_t to_len,
		struct view_change *change)
{
	struct inode dirs[2];
	struct rename r = {
	    .view = view,
	    .cred = cred,
	    .from = {&dirs[0], from, from_len, {0}},
	    .to = {&dirs[1], to, to_len, {0}},
	};
	int rc, rc_to;

	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load(view, from_dir.fileid, from_dir.generation, &dirs[0]);
	rc_to = inode_load(view, to_dir.fileid, to_dir.generation, &dirs[1]);
	for (int i = 0; i < 2; i++)
		if ((i ? rc_to : rc) == 0) {
			wcc_before(&change->done.wcc[i], &dirs[i]);
			wcc_after(view, &change->done.wcc[i], &dirs[i]);
		}
	if (rc == 0 && rc_to == 0 && dirs[0].fileid == dirs[1].fileid)
		r.to.dir = &dirs[0];
	rc = rc < 0 ? rc : rc_to;
	if (rc == 0)
		rc = rename_locked(&r, change);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
