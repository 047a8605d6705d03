/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parked: what guests have changed of files that a switch has changed, too:
 * the versions that gave way, and those that go on.  See rebase.h.
 */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/rebase.h"
#include "overlay/site_offline.h"

enum { PARKED_PATH_MAX = 4096 + VIEW_NAME_MAX + 2 };

/* --- where it was ----------------------------------------------------------
 */

struct parked_find {
	uint32_t inode;
	char *path; /* borrows; PARKED_PATH_MAX */
};

static int parked_find_visit(void *ctx, const char *path,
			     const struct tree_entry *entry, uint32_t inode)
{
	struct parked_find *find = ctx;

	if (!entry || inode != find->inode)
		return 0;
	snprintf(find->path, PARKED_PATH_MAX, "%s", path);
	return 1;
}

/* The path that its package has it at. */
static int parked_base_path(struct view *view, const struct record *rec,
			    char *path)
{
	struct parked_find find = {rec->base_inode, path};
	const struct tree *tree = inode_base(view, rec);
	int rc = tree ? tree_walk(tree, parked_find_visit, &find) : 0;

	if (rc == 0)
		snprintf(path, PARKED_PATH_MAX, "...");
	return MIN(rc, 0);
}

static int parked_path(struct view *view, uint64_t fileid,
		       const struct record *rec, const struct record_name *name,
		       char *path)
{
	uint32_t dir = image_find(view->image, rec->parent);
	size_t len = 0;

	if (rec->under == fileid && rec->has_base)
		return parked_base_path(view, rec, path);
	if (dir == IMAGE_NONE ||
	    !image_dir_path(view->image, dir, path, PARKED_PATH_MAX / 2))
		len = (size_t)snprintf(path, PARKED_PATH_MAX, "...");
	else
		len = strlen(path);
	snprintf(path + len, PARKED_PATH_MAX - len, "%s%.*s",
		 len > 0 ? "/" : "", (int)name->name_len, name->name);
	return 0;
}

/* --- listing ----------------------------------------------------------------
 */

struct parked_list {
	struct view *view;
	int (*visit)(void *ctx, const struct site_met_change *change);
	void *ctx;
};

static int parked_tell(struct parked_list *list, const struct record *rec,
		       bool superseded, const char *path)
{
	struct site_met_change change = {
	    .guest = list->view->info.path + 1,
	    .path = path,
	    .superseded = superseded,
	    .size = rec->data.size,
	    .time = rec->ctime,
	};

	return list->visit(list->ctx, &change);
}

static int parked_superseded(struct parked_list *list)
{
	struct rebase r = {.view = list->view};
	char path[PARKED_PATH_MAX];
	struct rebase_dir *parked;
	int rc = rebase_dir(&r, RECORD_PARKED, &parked);

	for (uint32_t i = 0; rc == 0 && i < parked->count; i++) {
		const struct record_name *name = &parked->names[i].rec;
		struct inode inode;

		if (name->kind != RECORD_NAME_ENTRY)
			continue;
		rc = inode_peek(list->view, name->fileid, &inode);
		if (rc == -ESTALE) {
			rc = 0;
			continue;
		}
		if (rc < 0 || !inode.rec.superseded)
			continue;
		rc = parked_path(list->view, name->fileid, &inode.rec, name,
				 path);
		if (rc == 0)
			rc = parked_tell(list, &inode.rec, true, path);
	}
	rebase_free(&r);
	return rc;
}

static int parked_kept_one(struct parked_list *list, uint64_t fileid,
			   unsigned int level)
{
	struct view *view = list->view;
	char path[PARKED_PATH_MAX];
	struct inode inode;
	int rc;

	if ((fileid & RECORD_BORN) || view_recorded(view, fileid) != level ||
	    image_find(view->image, fileid) != IMAGE_NONE)
		return 0;
	rc = inode_load_id(view, fileid, &inode);
	if (rc == -ESTALE || (rc == 0 && S_ISDIR(inode.rec.mode)))
		return 0;
	if (rc == 0)
		rc = parked_base_path(view, &inode.rec, path);
	return rc < 0 ? rc : parked_tell(list, &inode.rec, false, path);
}

static int parked_kept(struct parked_list *list)
{
	struct view *view = list->view;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < view->layer_count; i++) {
		const struct idset *set = &view->layer[i]->recorded;

		for (size_t k = 0; rc == 0 && k < set->slot_count; k++)
			if (set->slots[k])
				rc = parked_kept_one(list, set->slots[k], i);
	}
	return rc;
}

int site_met_changes(struct site *site, const char *tenant_name,
		     int (*visit)(void *ctx,
				  const struct site_met_change *change),
		     void *ctx)
{
	struct tenant *tenant;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_tenant(site, tenant_name, &tenant);
	if (rc == 0) /* what has not been read is not "none" */
		rc = offline_load_guests(site, tenant);
	for (unsigned int i = 0; rc == 0 && i < site->view_count; i++) {
		struct parked_list list = {site->views[i].view, visit, ctx};

		if (!site_view_is_of(list.view, tenant))
			continue;
		pthread_rwlock_rdlock(&list.view->lock);
		rc = parked_superseded(&list);
		if (rc == 0)
			rc = parked_kept(&list);
		pthread_rwlock_unlock(&list.view->lock);
	}
	pthread_mutex_unlock(&site->verbs);
	return rc;
}

/* --- back by hand ------------------------------------------------------------
 */

/* The parked object of a path; the last that gave way there. */
static int parked_look(struct rebase *r, const char *path,
		       struct record_name *name)
{
	char at[PARKED_PATH_MAX];
	struct rebase_dir *parked;
	struct timespec newest = {0};
	bool found = false;
	int rc = rebase_dir(r, RECORD_PARKED, &parked);

	for (uint32_t i = 0; rc == 0 && i < parked->count; i++) {
		const struct record_name *n = &parked->names[i].rec;
		struct inode inode;

		if (n->kind != RECORD_NAME_ENTRY)
			continue;
		rc = inode_peek(r->view, n->fileid, &inode);
		if (rc == 0 && inode.rec.superseded)
			rc = parked_path(r->view, n->fileid, &inode.rec, n, at);
		else
			continue;
		if (rc == 0 && strcmp(at, path) == 0 &&
		    !time_is_after(&newest, &inode.rec.ctime)) {
			*name = *n;
			newest = inode.rec.ctime;
			found = true;
		}
	}
	return rc < 0 ? rc : found ? 0 : -ENOENT;
}

/* What the packages have there is covered by it. */
static int parked_cover(struct rebase *r, const struct rebase_dir *dir,
			const struct record_name *name)
{
	const struct image *image = r->view->image;
	const struct image_entry *e =
	    dir->before == IMAGE_NONE
		? NULL
		: image_lookup(image, dir->before, name->name, name->name_len);

	if (!e)
		return 0;
	if (image_inode(image, e->inode)->parent != IMAGE_NONE)
		return -EEXIST;
	return rebase_links(r, image_inode(image, e->inode)->fileid, -1);
}

static int parked_put_back(struct rebase *r, const struct record_name *name)
{
	struct rebase_record *rr, *parent;
	const struct rebase_name *there;
	struct rebase_dir *dir;
	int rc = rebase_record(r, name->fileid, &rr);

	if (rc == 0)
		rc = rebase_record(r, rr->rec.parent, &parent);
	if (rc == -ESTALE ||
	    (rc == 0 && (parent->rec.gone || parent->rec.superseded)))
		return -ENOTDIR;
	if (rc == 0)
		rc = rebase_dir(r, parent->fileid, &dir);
	if (rc < 0)
		return rc;
	there = rebase_find(dir, name->name, name->name_len);
	if (there && there->rec.kind == RECORD_NAME_ENTRY)
		return -EEXIST;
	if (!there)
		rc = parked_cover(r, dir, name);
	if (rc == 0)
		rc = rebase_put(dir, RECORD_NAME_ENTRY, name->name,
				name->name_len, rr->fileid, rr->rec.generation);
	rr->rec.nlink++;
	rr->rec.parent = rr->rec.under = 0;
	rr->dirty = rr->back = parent->dirty = parent->touch = true;
	parent->rec.mtime = time_after(&parent->rec.ctime);
	return rc;
}

static int parked_write(struct site *site, struct rebase *r)
{
	struct kv_batch *batch = kv_batch_new();
	int rc = batch ? rebase_write(r, batch) : -ENOMEM;

	if (rc == 0)
		rc = kv_write(site->kv, batch);
	if (rc == 0)
		rebase_apply(r);
	kv_batch_free(batch);
	return rc;
}

static int parked_restore(struct site *site, struct view *view,
			  const char *path)
{
	struct rebase r = {.view = view};
	struct record_name name;
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = parked_look(&r, path, &name);
	if (rc == 0)
		rc = parked_put_back(&r, &name);
	if (rc == 0)
		rc = parked_write(site, &r);
	pthread_rwlock_unlock(&view->lock);
	rebase_free(&r);
	return rc < 0 ? rc : kv_sync_log(site->kv);
}

int site_delta_restore_change(struct site *site, const char *guest,
			      const char *path)
{
	struct site_view *sv;
	int rc;

	pthread_mutex_lock(&site->verbs);
	rc = site_guest(site, guest, &sv);
	if (rc == 0)
		rc = parked_restore(site, sv->view, path);
	pthread_mutex_unlock(&site->verbs);
	return rc;
}
