/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_reset: a delta gives up what it has changed of one software, path by
 * path, while its guest works; the rest stays.
 *
 * Every change is undone by an operation as a guest's own would be: what was
 * made is removed, what was renamed goes back; and by two that no guest can
 * ask for: a name of the packages is there again (reset_name), and an object
 * of theirs is as they have it (reset_inode).  One may uncover the next (what
 * lay below a deleted directory), so the delta is compared until nothing is
 * left, or nothing moves.
 */
#include <stdio.h>

#include "depot/array.h"
#include "depot/log.h"
#include "overlay/delta_diff.h"

enum { RESET_ROUNDS_MAX = 2 * TREE_DEPTH_MAX };

static const struct view_cred reset_cred; /* uid 0 */

struct reset_change {
	char kind; /* enum site_change */
	bool is_dir;
	char *path, *from; /* own; from: of a renamed one */
};

struct reset {
	struct site *site;
	struct view *view;
	const char *package;          /* "": nobody's */
	struct reset_change *changes; /* owns */
	size_t count, cap;
};

static void reset_clear(struct reset *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->changes[i].path);
		free(r->changes[i].from);
	}
	free(r->changes);
	r->changes = NULL;
	r->count = r->cap = 0;
}

static int reset_note(void *ctx, const struct site_delta_change *change)
{
	struct reset *r = ctx;
	struct reset_change *c;
	int rc;

	if (strcmp(change->package ? change->package : "", r->package) != 0)
		return 0;
	rc = array_room(&r->changes, r->count, &r->cap, sizeof(*r->changes));
	if (rc < 0)
		return rc;
	c = &r->changes[r->count++];
	*c = (struct reset_change){.kind = (char)change->kind,
				   .is_dir = S_ISDIR(change->mode),
				   .path = strdup(change->path)};
	if (change->from)
		c->from = strdup(change->from);
	return c->path && (!change->from || c->from) ? 0 : -ENOMEM;
}

/* --- one operation, to its end -------------------------------------------- */

struct reset_call {
	struct view_change change;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool settled;
	int rc;
};

static void reset_settled(struct view_change *change, int rc)
{
	struct reset_call *call =
	    container_of(change, struct reset_call, change);

	pthread_mutex_lock(&call->lock);
	call->settled = true;
	call->rc = rc;
	pthread_cond_signal(&call->cond);
	pthread_mutex_unlock(&call->lock);
}

static void reset_begin(struct reset_call *call)
{
	memset(call, 0, sizeof(*call));
	pthread_mutex_init(&call->lock, NULL);
	pthread_cond_init(&call->cond, NULL);
	call->change.settled = reset_settled;
}

static int reset_end(struct reset_call *call, int rc)
{
	pthread_mutex_lock(&call->lock);
	while (rc == 0 && call->change.pending && !call->settled)
		pthread_cond_wait(&call->cond, &call->lock);
	pthread_mutex_unlock(&call->lock);
	if (rc == 0 && call->settled)
		rc = call->rc;
	pthread_cond_destroy(&call->cond);
	pthread_mutex_destroy(&call->lock);
	return rc;
}

/* The directory of a path, and the name in it; -ENOENT: it is not there. */
static int reset_find(struct view *view, const char *path,
		      struct view_object *dir, const char **name)
{
	struct view_attr attr = {.mode = 0}, dir_attr;
	int rc = 0;

	*dir = view_root(view);
	*name = path;
	for (const char *slash; rc == 0 && (slash = strchr(*name, '/'));
	     *name = slash + 1) {
		rc = view_lookup(view, &reset_cred, *dir, *name,
				 (size_t)(slash - *name), &attr, &dir_attr);
		*dir = (struct view_object){attr.fileid, attr.generation};
	}
	return rc;
}

/* --- as the packages have it ---------------------------------------------- */

/* Subdirectories that the image has there and the delta does not. */
static int reset_missing(struct view *view, const struct inode *dir,
			 int32_t *missing)
{
	const struct image_entry *e, *end;
	int rc = 0;

	*missing = 0;
	for (e = image_from(view->image, dir->image, 0, &end);
	     rc == 0 && e != end; e++) {
		struct place place;

		if (image_inode(view->image, e->inode)->parent == IMAGE_NONE)
			continue;
		rc = place_find(view, dir, e->name, e->name_len, &place);
		*missing += rc == 0 && !place.exists;
	}
	return rc;
}

/* Attributes and content of the image; `names` come back. */
static int reset_record(struct op *op, struct inode *inode, int32_t names)
{
	struct record old = inode->rec;
	bool is_dir;
	int rc = op_drop_data(op, inode);

	if (rc < 0)
		return rc;
	record_from_image(op->view->image, inode->image, &inode->rec);
	is_dir = S_ISDIR(inode->rec.mode);
	inode->rec.generation = old.generation;
	inode->rec.ctime = time_after(&old.ctime);
	inode->rec.nlink = old.nlink + (is_dir ? 0 : names);
	if (is_dir && !old.gone)
		inode->rec.parent = old.parent;
	inode->data_now = true;
	op_inode(op, inode);
	return 0;
}

static int reset_inode_locked(struct view *view, struct view_object obj,
			      struct view_change *change)
{
	struct inode inode;
	struct op op;
	int rc = inode_load(view, obj.fileid, obj.generation, &inode);

	if (rc == 0 && inode.image == IMAGE_NONE)
		rc = -ENOENT;
	if (rc < 0)
		return rc;
	rc = op_begin(&op, view, change);
	op.frees = true;
	if (rc == 0)
		rc = reset_record(&op, &inode, 0);
	if (rc == 0)
		rc = op_end(&op, false);
	op_abort(&op);
	return rc;
}

static int reset_inode(struct view *view, struct view_object obj)
{
	struct reset_call call;
	int rc;

	reset_begin(&call);
	pthread_rwlock_wrlock(&view->lock);
	rc = reset_inode_locked(view, obj, &call.change);
	pthread_rwlock_unlock(&view->lock);
	return reset_end(&call, rc);
}

/* In a directory that was gone: the object has another place now, so this name
 * stays away. */
static int reset_keep_away(struct op *op, struct inode *dir,
			   const struct inode *inode, const struct place *place,
			   const struct image_entry *entry)
{
	if (place->exists) {
		op_name_put(op, dir->fileid, entry->cookie,
			    RECORD_NAME_WHITEOUT, entry->name, entry->name_len,
			    0, 0);
		dir->rec.nlink -= S_ISDIR(inode->rec.mode) ? 1 : 0;
	}
	op_inode(op, dir);
	return op_end(op, false);
}

/* The name that the image has in a directory stands for its object again. */
static int reset_put(struct op *op, struct inode *dir,
		     const struct place *place, const struct image_entry *entry,
		     bool below)
{
	struct inode inode;
	int rc = inode_peek(op->view,
			    image_inode(op->view->image, entry->inode)->fileid,
			    &inode);

	if (rc == 0 && below && !inode.rec.gone)
		return reset_keep_away(op, dir, &inode, place, entry);
	if (rc == 0)
		rc = reset_record(op, &inode, !place->exists || inode.rec.gone);
	if (rc == 0 && S_ISDIR(inode.rec.mode)) {
		rc = reset_missing(op->view, &inode, &inode.rec.nlink);
		inode.rec.nlink = -inode.rec.nlink;
		inode.rec.parent = dir->fileid;
		dir->rec.nlink += !place->exists;
	}
	if (rc < 0)
		return rc;
	if (!place->exists)
		op_name_put(op, dir->fileid, entry->cookie, RECORD_NAME_ENTRY,
			    entry->name, entry->name_len, inode.fileid, 0);
	inode_touch(dir, true);
	op_inode(op, dir);
	return op_end(op, false);
}

static int reset_name_locked(struct view *view, struct view_object dir_obj,
			     const char *name, size_t name_len, bool below,
			     struct view_change *change)
{
	const struct image_entry *entry = NULL;
	struct place place;
	struct inode dir;
	struct op op;
	int rc = inode_load(view, dir_obj.fileid, dir_obj.generation, &dir);

	if (rc == 0 && dir.image != IMAGE_NONE)
		entry = image_lookup(view->image, dir.image, name, name_len);
	if (rc == 0)
		rc = entry ? place_find(view, &dir, name, name_len, &place)
			   : -ENOENT;
	if (rc == 0 && place.exists &&
	    place.fileid != image_inode(view->image, entry->inode)->fileid)
		rc = -EEXIST; /* something else is there */
	if (rc < 0)
		return rc;
	rc = op_begin(&op, view, change);
	op.frees = true;
	if (rc == 0)
		rc = reset_put(&op, &dir, &place, entry, below);
	op_abort(&op);
	return rc;
}

static int reset_one_name(struct view *view, struct view_object dir,
			  const char *name, size_t name_len, bool below)
{
	struct reset_call call;
	int rc;

	reset_begin(&call);
	pthread_rwlock_wrlock(&view->lock);
	rc = reset_name_locked(view, dir, name, name_len, below, &call.change);
	pthread_rwlock_unlock(&view->lock);
	return reset_end(&call, rc);
}

/* With all that the image has below it: objects that went with their directory
 * have no name records of their own to tell of them. */
static int reset_name(struct view *view, struct view_object dir,
		      const char *name, size_t name_len, bool below)
{
	const struct image_entry *e, *end, *entry = NULL;
	struct view_object self;
	struct inode inode;
	uint32_t down = IMAGE_NONE;
	int rc = reset_one_name(view, dir, name, name_len, below);

	if (rc < 0)
		return rc;
	/* verbs is held: the image stays. */
	pthread_rwlock_rdlock(&view->lock);
	rc = inode_load(view, dir.fileid, dir.generation, &inode);
	if (rc == 0)
		entry = image_lookup(view->image, inode.image, name, name_len);
	pthread_rwlock_unlock(&view->lock);
	if (entry &&
	    image_inode(view->image, entry->inode)->parent != IMAGE_NONE)
		down = entry->inode;
	if (rc < 0 || down == IMAGE_NONE)
		return rc;
	self = (struct view_object){image_inode(view->image, down)->fileid, 0};
	for (e = image_from(view->image, down, 0, &end); rc == 0 && e != end;
	     e++) {
		rc = reset_name(view, self, e->name, e->name_len, true);
		if (rc == -EEXIST)
			rc = 0; /* another change, told by itself */
	}
	return rc;
}

/* --- one change ----------------------------------------------------------- */

static int reset_remove(struct view *view, struct view_object dir,
			const char *name)
{
	struct view_attr attr, dir_attr;
	struct reset_call call;
	int rc = view_lookup(view, &reset_cred, dir, name, strlen(name), &attr,
			     &dir_attr);

	if (rc < 0)
		return rc;
	reset_begin(&call);
	rc = view_remove(view, &reset_cred, dir, name, strlen(name),
			 S_ISDIR(attr.mode), &call.change);
	return reset_end(&call, rc);
}

static int reset_rename(struct view *view, struct view_object dir,
			const char *name, const char *to)
{
	struct view_object to_dir;
	struct reset_call call;
	const char *to_name;
	int rc = reset_find(view, to, &to_dir, &to_name);

	if (rc < 0)
		return rc;
	reset_begin(&call);
	rc = view_rename(view, &reset_cred, dir, name, strlen(name), to_dir,
			 to_name, strlen(to_name), &call.change);
	return reset_end(&call, rc);
}

/* Modified: the package's object, or another in its place? */
static int reset_modified(struct view *view, struct view_object dir,
			  const char *name)
{
	struct view_attr attr, dir_attr;
	int rc = view_lookup(view, &reset_cred, dir, name, strlen(name), &attr,
			     &dir_attr);

	if (rc < 0)
		return rc;
	if (attr.fileid & RECORD_BORN)
		return reset_remove(view, dir, name);
	return reset_inode(view,
			   (struct view_object){attr.fileid, attr.generation});
}

static int reset_one(struct view *view, const struct reset_change *c)
{
	struct view_object dir;
	const char *name;
	int rc = reset_find(view, c->path, &dir, &name);

	if (rc < 0)
		return rc;
	if (!*name) /* the root */
		return reset_inode(view, dir);
	switch (c->kind) {
	case SITE_CHANGE_ADDED:
		return reset_remove(view, dir, name);
	case SITE_CHANGE_DELETED:
		rc = reset_name(view, dir, name, strlen(name), false);
		/* The guest's overlay has a whiteout of its own there. */
		return rc == -EEXIST || rc == -ENOENT
			   ? reset_remove(view, dir, name)
			   : rc;
	case SITE_CHANGE_RENAMED:
		return reset_rename(view, dir, name, c->from);
	default:
		return reset_modified(view, dir, name);
	}
}

/* --- all of them ---------------------------------------------------------- */

static int reset_look(struct reset *r, struct attribution *owners)
{
	struct diff d = {.site = r->site,
			 .view = r->view,
			 .tell = diff_tell,
			 .visit = reset_note,
			 .ctx = r,
			 .owners = owners};

	reset_clear(r);
	return diff_run(&d);
}

/* What is below goes first.  *moved: how many were undone. */
static int reset_round(struct reset *r, size_t *moved)
{
	*moved = 0;
	for (size_t i = r->count; i > 0; i--) {
		int rc = site_goes_on(r->site);

		if (rc < 0)
			return rc;
		rc = reset_one(r->view, &r->changes[i - 1]);
		/* Another one is in its way, or has undone it with itself. */
		if (rc == -ENOTEMPTY || rc == -EEXIST || rc == -ENOENT ||
		    rc == -ENOTDIR || rc == -EISDIR || rc == -ESTALE)
			continue;
		if (rc < 0)
			return log_err(rc, "delta %s: %s could not be reset",
				       r->view->info.path,
				       r->changes[i - 1].path);
		++*moved;
	}
	return 0;
}

static int reset_run(struct reset *r, struct attribution *owners,
		     uint64_t *left)
{
	size_t moved = 1;
	int rc = 0;

	for (int i = 0; rc == 0 && r->count > 0 && moved > 0; i++) {
		if (i == RESET_ROUNDS_MAX)
			break;
		rc = reset_round(r, &moved);
		if (rc == 0)
			rc = reset_look(r, owners);
	}
	*left = r->count;
	return rc;
}

static int reset_tell(const struct reset *r,
		      int (*visit)(void *ctx,
				   const struct site_delta_change *change),
		      void *ctx)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && visit && i < r->count; i++) {
		const struct reset_change *c = &r->changes[i];
		struct site_delta_change change = {
		    .kind = (enum site_change)c->kind,
		    .path = c->path,
		    .from = c->from,
		    .package = *r->package ? r->package : NULL,
		    .mode = c->is_dir ? S_IFDIR : S_IFREG,
		};

		rc = visit(ctx, &change);
	}
	return rc;
}

int site_delta_reset_package(struct site *site, const char *guest,
			     const char *package, bool dry_run,
			     int (*visit)(void *ctx,
					  const struct site_delta_change *),
			     void *ctx, uint64_t *left)
{
	struct attribution owners = {.count = 0};
	struct reset r = {.site = site, .package = package};
	struct site_view *sv;
	int rc;

	*left = 0;
	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = site_attribution(site, guest, sv, &owners);
	if (rc == 0) {
		r.view = sv->view;
		rc = reset_look(&r, &owners);
	}
	if (rc == 0)
		rc = reset_tell(&r, visit, ctx);
	if (rc == 0 && !dry_run)
		rc = reset_run(&r, &owners, left);
	pthread_mutex_unlock(&site->verbs);
	reset_clear(&r);
	attribution_clear(&owners);
	return rc;
}
