/* SPDX-License-Identifier: Apache-2.0 */
/* rebase: what a switch does to a delta, object by object.  See rebase.h. */
#include "overlay/rebase.h"

#include <stdio.h>

#include "depot/log.h"

enum { REBASE_PATH_MAX = 4096 };

bool rebase_needs_still(struct view *view, const struct image_diff *diff)
{
	bool needs = false;

	pthread_rwlock_rdlock(&view->lock);
	for (unsigned int i = 0; !needs && i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = view->nodes[i]; n; n = n->hash_next)
			needs |=
			    !(n->fileid & RECORD_BORN) &&
			    image_find(diff->after, n->fileid) == IMAGE_NONE;
	pthread_rwlock_unlock(&view->lock);
	return needs;
}

/* --- telling -------------------------------------------------------------- */

static const struct digest *rebase_tree(const struct image *image,
					const struct image_entry *entry)
{
	const struct tree *tree;
	struct tree_inode attr;

	if (!entry)
		return NULL;
	tree = image_attr(image, entry->inode, &attr);
	return tree ? tree_digest(tree) : NULL;
}

static void rebase_tell(struct rebase *r, char kind,
			const struct image_change *change, bool refused)
{
	const struct image_diff *diff = r->diff;
	const struct image_diff_dir *dir = &diff->dirs[change->dir];
	const struct image_entry *entry =
	    change->before ? change->before : change->after;
	struct rebase_conflict conflict = {
	    .kind = kind,
	    .refused = refused,
	    .before = rebase_tree(diff->before, change->before),
	    .after = rebase_tree(diff->after, change->after),
	};
	char path[REBASE_PATH_MAX + VIEW_NAME_MAX + 2];
	bool fits = dir->before != IMAGE_NONE
			? image_dir_path(diff->before, dir->before, path,
					 REBASE_PATH_MAX)
			: image_dir_path(diff->after, dir->after, path,
					 REBASE_PATH_MAX);
	size_t len = fits ? strlen(path) : 0;

	snprintf(path + len, sizeof(path) - len, "%s%.*s",
		 !fits     ? ".../"
		 : len > 0 ? "/"
			   : "",
		 (int)entry->name_len, entry->name);
	conflict.path = path;
	r->conflicts += kind == 'M' || kind == 'm';
	if (r->tell)
		r->tell(r->ctx, &conflict);
}

/* --- names ---------------------------------------------------------------- */

static bool rebase_is_dir(const struct image *image,
			  const struct image_entry *entry)
{
	return entry && image_inode(image, entry->inode)->parent != IMAGE_NONE;
}

static uint64_t rebase_id(const struct image *image,
			  const struct image_entry *entry)
{
	return entry ? image_inode(image, entry->inode)->fileid : 0;
}

/* A directory's record has all there is to it: no tree need be kept for it. */
static void rebase_drop_base(struct rebase_record *rr)
{
	rr->rec.has_base = false;
	rr->rec.data.base_limit = 0;
}

/* A covered name stands, or stood, for this object of an image: its link
 * counts less there than the image says. */
static int rebase_cover(struct rebase *r, uint64_t dir,
			const struct image *image,
			const struct image_entry *entry, int links)
{
	uint64_t fileid = rebase_id(image, entry);
	struct rebase_record *rr;
	int rc;

	if (!entry)
		return 0;
	if (!rebase_is_dir(image, entry))
		return rebase_links(r, fileid, links);
	rc = rebase_links(r, dir, links);
	if (rc < 0 || image != r->diff->after || rebase_has(r, fileid))
		return rc;
	/* A new directory that nobody can see. */
	rc = rebase_record(r, fileid, &rr);
	if (rc == 0) {
		rr->rec.superseded = rr->dirty = true;
		rebase_drop_base(rr);
	}
	return rc;
}

/* Is the name covered by one of the delta?  Before the switch, or by what is
 * there behind it. */
static int rebase_is_covered(struct rebase *r, const struct image_change *c,
			     bool before, bool *covered)
{
	const struct image_entry *e = c->before ? c->before : c->after;
	uint64_t fileid = r->diff->dirs[c->dir].fileid;
	struct rebase_dir *dir;
	int rc;

	*covered = false;
	if (!view_touched(r->view, fileid) && !rebase_dir_loaded(r, fileid))
		return 0;
	rc = rebase_dir(r, fileid, &dir);
	if (rc == 0)
		*covered = before
			       ? rebase_had(dir, e->name, e->name_len)
			       : rebase_find(dir, e->name, e->name_len) != NULL;
	return rc;
}

/* Has the delta anything of a directory, or in it? */
static bool rebase_has_dir(const struct rebase *r, uint64_t fileid)
{
	return rebase_has(r, fileid) || view_touched(r->view, fileid);
}

static int rebase_keep_dir(struct rebase *r, uint64_t fileid);

/* The delta gets a name for what the image named so far. */
static int rebase_keep_name(struct rebase *r, const struct image_change *c,
			    uint64_t fileid, bool is_dir)
{
	const struct image_entry *e = c->before;
	uint64_t parent = r->diff->dirs[c->dir].fileid;
	struct rebase_dir *dir;
	int rc = rebase_keep_dir(r, parent);

	if (rc == 0)
		rc = rebase_dir(r, parent, &dir);
	if (rc == 0)
		rc = rebase_put(dir, RECORD_NAME_ENTRY, e->name, e->name_len,
				fileid, 0);
	if (rc == 0)
		rc = rebase_links(r, is_dir ? parent : fileid, 1);
	return rc < 0 ? rc
		      : rebase_cover(r, parent, r->diff->after, c->after, -1);
}

/* A directory must be reachable: the new image has it, or the delta. */
static int rebase_keep_dir(struct rebase *r, uint64_t fileid)
{
	const struct image_diff *diff = r->diff;
	uint32_t before = image_find(diff->before, fileid), count = 0;
	const uint32_t *names;
	struct rebase_record *rr;
	bool covered = true;
	int rc = rebase_record(r, fileid, &rr);

	if (rc < 0 || rr->after != IMAGE_NONE || rr->kept || rr->rec.gone)
		return rc;
	rr->kept = rr->dirty = rr->touch = true;
	rr->rec.superseded = false;
	rebase_drop_base(rr);
	rr->rec.mtime = time_after(&rr->rec.ctime);
	if (before == IMAGE_NONE || (fileid & RECORD_BORN))
		return rebase_keep_dir(r, rr->rec.parent);
	if (!rebase_has_dir(r, fileid))
		rr->rec.nlink += 2; /* else rebase_gone does it */
	names = image_diff_from(diff, before, &count);
	if (count > 0)
		rc = rebase_is_covered(r, &diff->changes[names[0]], true,
				       &covered);
	if (rc < 0)
		return rc;
	return covered ? rebase_keep_dir(r, rr->rec.parent)
		       : rebase_keep_name(r, &diff->changes[names[0]], fileid,
					  true);
}

/* --- parking ---------------------------------------------------------------
 */

/* Its name is remembered in the directory of what is parked. */
static int rebase_park(struct rebase *r, struct rebase_record *rr, uint64_t dir,
		       const char *name, size_t name_len, uint64_t under)
{
	struct rebase_dir *parked;
	int rc = rebase_dir(r, RECORD_PARKED, &parked);

	if (rc == 0)
		rc = rebase_put_parked(parked, name, name_len, rr->fileid,
				       rr->rec.generation);
	if (rc < 0)
		return rc;
	rr->rec.parent = dir;
	rr->rec.under = under;
	rr->dirty = rr->parked = true;
	r->superseded++;
	return 0;
}

/* A name of the guest's own gives way to the package's. */
static int rebase_park_name(struct rebase *r, struct rebase_dir *dir,
			    struct rebase_name *n, uint64_t under)
{
	struct rebase_record *rr;
	int rc = rebase_record(r, n->rec.fileid, &rr);

	if (rc < 0)
		return rc;
	n->removed = true;
	rr->rec.nlink--;
	return rebase_park(r, rr, dir->fileid, n->rec.name, n->rec.name_len,
			   under);
}

/* Has the guest changed nothing of it that it could miss? */
static bool rebase_is_pristine(const struct rebase_record *rr,
			       const struct image *image, uint32_t inode)
{
	const struct record *rec = &rr->rec;
	struct tree_inode attr;

	(void)image_attr(image, inode, &attr);
	return rec->mode == attr.mode && rec->uid == attr.uid &&
	       rec->gid == attr.gid && rec->mtime.tv_sec == attr.mtime.tv_sec &&
	       rec->mtime.tv_nsec == attr.mtime.tv_nsec &&
	       (!S_ISREG(attr.mode) ||
		(rec->data.kind == RECORD_DATA_NONE && !rec->data.lower &&
		 rec->data.size == attr.size &&
		 rec->data.base_limit == attr.size && !rr->node));
}

/* --- 1. names of the delta over names that change ------------------------- */

/* The guest has put something of its own in the place of what changes. */
static int rebase_meet(struct rebase *r, struct rebase_dir *dir,
		       struct rebase_name *n, const struct image_change *c,
		       bool *parked)
{
	uint64_t before = rebase_id(r->diff->before, c->before);
	uint64_t after = rebase_id(r->diff->after, c->after);
	struct rebase_record *rr;
	bool is_dir;
	int rc;

	if (n->rec.kind == RECORD_NAME_WHITEOUT && before && after)
		rebase_tell(r, 'D', c, false);
	if (n->rec.kind == RECORD_NAME_ENTRY && !before &&
	    n->rec.fileid != after)
		rebase_tell(r, 'A', c, false);
	if (n->rec.kind != RECORD_NAME_ENTRY || !before ||
	    n->rec.fileid == after)
		return 0;
	rc = rebase_record(r, n->rec.fileid, &rr);
	if (rc < 0)
		return rc;
	if (n->rec.fileid == before &&
	    rebase_is_pristine(rr, r->diff->before, c->before->inode)) {
		/* Moved to and fro: it is the package's. */
		*parked = n->removed = rr->dirty = true;
		rr->rec.nlink--;
		rr->rec.under = rr->fileid;
		return 0;
	}
	is_dir = S_ISDIR(rr->rec.mode);
	if (is_dir && n->rec.fileid == before)
		return 0; /* it goes on as the delta's */
	rebase_tell(r, 'M', c, is_dir && r->policy == SITE_POLICY_PACKAGE);
	if (is_dir || r->policy != SITE_POLICY_PACKAGE) {
		r->kept++;
		return 0;
	}
	*parked = true;
	return rebase_park_name(r, dir, n, before);
}

static int rebase_change(struct rebase *r, struct rebase_dir *dir,
			 const struct image_change *c)
{
	const struct image_diff *diff = r->diff;
	const struct image_entry *e = c->before ? c->before : c->after;
	struct rebase_name *n = rebase_find(dir, e->name, e->name_len);
	bool parked = false;
	int rc;

	if (!n || rebase_id(diff->before, c->before) ==
		      rebase_id(diff->after, c->after))
		return 0;
	rc = rebase_cover(r, dir->fileid, diff->before, c->before, 1);
	if (rc == 0)
		rc = rebase_meet(r, dir, n, c, &parked);
	if (rc < 0 || parked)
		return rc;
	return rebase_cover(r, dir->fileid, diff->after, c->after, -1);
}

static int rebase_names(struct rebase *r)
{
	const struct image_diff *diff = r->diff;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < diff->dir_count; i++) {
		const struct image_diff_dir *d = &diff->dirs[i];
		struct rebase_dir *dir;

		if (!view_touched(r->view, d->fileid))
			continue;
		rc = rebase_dir(r, d->fileid, &dir);
		for (uint32_t k = 0; rc == 0 && k < d->count; k++)
			rc =
			    rebase_change(r, dir, &diff->changes[d->first + k]);
	}
	return rc;
}

/* --- 2. objects that go ----------------------------------------------------
 */

/* Only attributes, no bytes? */
static char rebase_kind(const struct rebase_record *rr)
{
	const struct record_data_state *data = &rr->rec.data;

	return S_ISDIR(rr->rec.mode) ||
		       (data->kind == RECORD_DATA_NONE && !data->lower &&
			data->base_limit == data->size)
		   ? 'm'
		   : 'M';
}

/* Changes that take an uncovered name from an object; `list` holds them. */
static int rebase_uncovered(struct rebase *r, uint32_t inode, uint32_t **list,
			    uint32_t *count)
{
	const uint32_t *names = image_diff_from(r->diff, inode, count);
	uint32_t n = 0;

	*list = malloc(MAX(*count, 1u) * sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (uint32_t i = 0; i < *count; i++) {
		bool covered;
		int rc = rebase_is_covered(r, &r->diff->changes[names[i]], true,
					   &covered);

		if (rc < 0) {
			free(*list);
			return rc;
		}
		if (!covered)
			(*list)[n++] = names[i];
	}
	*count = n;
	return 0;
}

static bool rebase_has_entries(const struct rebase_dir *dir)
{
	for (uint32_t i = 0; i < dir->count; i++)
		if (!dir->names[i].removed &&
		    dir->names[i].rec.kind == RECORD_NAME_ENTRY)
			return true;
	return false;
}

static bool rebase_dir_changed(const struct rebase *r,
			       const struct rebase_record *rr, uint32_t before)
{
	struct tree_inode attr;

	(void)image_attr(r->diff->before, before, &attr);
	return rr->rec.mode != attr.mode || rr->rec.uid != attr.uid ||
	       rr->rec.gid != attr.gid;
}

static int rebase_gone_dir(struct rebase *r, struct rebase_record *rr,
			   uint32_t before, const uint32_t *names,
			   uint32_t count)
{
	struct rebase_dir *dir;
	int rc = rebase_dir(r, rr->fileid, &dir);

	if (rc < 0)
		return rc;
	rr->rec.nlink += 2;
	rr->dirty = true;
	if (rr->rec.superseded)
		return 0;
	if (count == 0 || rr->kept || rebase_has_entries(dir))
		return rebase_keep_dir(r, rr->fileid);
	if (rebase_dir_changed(r, rr, before)) {
		rebase_tell(r, 'm', &r->diff->changes[names[0]], false);
		if (r->policy == SITE_POLICY_KEEP) {
			r->kept++;
			return rebase_keep_dir(r, rr->fileid);
		}
		r->superseded++;
	}
	rr->rec.superseded = true;
	rebase_drop_base(rr);
	return 0;
}

static int rebase_keep_file(struct rebase *r, struct rebase_record *rr,
			    const uint32_t *names, uint32_t count)
{
	int rc = 0;

	rr->rec.under = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = rebase_keep_name(r, &r->diff->changes[names[i]],
				      rr->fileid, false);
	r->kept++;
	return rc;
}

static int rebase_gone_file(struct rebase *r, struct rebase_record *rr,
			    uint32_t before, const uint32_t *names,
			    uint32_t count)
{
	const struct image_change *c;

	rr->dirty = true;
	if (rr->rec.superseded) {
		rr->erase = rr->rec.parent == 0 &&
			    rebase_is_pristine(rr, r->diff->before, before);
		return 0;
	}
	if (count == 0) /* the guest's own names stay */
		return 0;
	/* What names the packages had for it come back with it. */
	rr->rec.under = rr->fileid;
	if (rr->parked || rebase_is_pristine(rr, r->diff->before, before))
		return 0;
	c = &r->diff->changes[names[0]];
	rebase_tell(r, rebase_kind(rr), c, false);
	if (r->policy != SITE_POLICY_PACKAGE)
		return rebase_keep_file(r, rr, names, count);
	if (rr->rec.nlink > 0) { /* under other names of the guest's */
		r->kept++;
		return 0;
	}
	return rebase_park(r, rr, r->diff->dirs[c->dir].fileid, c->before->name,
			   c->before->name_len, rr->fileid);
}

static int rebase_gone(struct rebase *r, uint32_t before, bool is_dir)
{
	uint64_t fileid = image_inode(r->diff->before, before)->fileid;
	struct rebase_record *rr;
	uint32_t *names, count;
	int rc;

	if (!(is_dir ? rebase_has_dir(r, fileid) : rebase_has(r, fileid)))
		return 0;
	rc = rebase_record(r, fileid, &rr);
	if (rc < 0 || rr->rec.gone)
		return rc;
	rc = rebase_uncovered(r, before, &names, &count);
	if (rc < 0)
		return rc;
	rc = S_ISDIR(rr->rec.mode)
		 ? rebase_gone_dir(r, rr, before, names, count)
		 : rebase_gone_file(r, rr, before, names, count);
	free(names);
	return rc;
}

/* --- 3. objects that come --------------------------------------------------
 */

/* The guest has deleted or moved it while the packages lacked it. */
static int rebase_delete_again(struct rebase *r, const struct image_change *c)
{
	uint64_t fileid = r->diff->dirs[c->dir].fileid;
	struct rebase_dir *dir;
	int rc = rebase_dir(r, fileid, &dir);

	if (rc == 0)
		rc = rebase_put(dir, RECORD_NAME_WHITEOUT, c->after->name,
				c->after->name_len, 0, 0);
	return rc < 0 ? rc
		      : rebase_cover(r, fileid, r->diff->after, c->after, -1);
}

/* Does a name of the delta stand in the place of this directory, or one above
 * it? */
static int rebase_is_hidden(struct rebase *r, uint32_t dir, bool *hidden)
{
	const struct image *image = r->diff->after;
	struct rebase_record *rr;

	*hidden = false;
	for (; dir != IMAGE_NONE && dir != IMAGE_ROOT && !*hidden;
	     dir = image_inode(image, dir)->parent) {
		int rc = rebase_record(r, image_inode(image, dir)->fileid, &rr);

		if (rc < 0)
			return rc;
		*hidden = rr->rec.superseded || rr->rec.gone;
	}
	return 0;
}

/* Did it give way under another name than that of the packages? */
static bool rebase_is_parked_elsewhere(const struct rebase_record *rr)
{
	return rr->rec.superseded && rr->rec.parent != 0 &&
	       rr->rec.under != rr->fileid && !S_ISDIR(rr->rec.mode);
}

static int rebase_back_names(struct rebase *r, struct rebase_record *rr,
			     uint32_t after, bool *seen)
{
	uint32_t count;
	const uint32_t *names = image_diff_to(r->diff, after, &count);
	int rc = 0;

	*seen = false;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_change *c = &r->diff->changes[names[i]];
		bool covered, hidden = false;

		rc = rebase_is_covered(r, c, false, &covered);
		if (rc == 0 && !covered)
			rc = rebase_is_hidden(r, r->diff->dirs[c->dir].after,
					      &hidden);
		if (rc < 0 || covered || hidden)
			continue;
		if ((rr->rec.superseded || rr->rec.under == rr->fileid) &&
		    !rebase_is_parked_elsewhere(rr))
			*seen = true;
		else
			rc = rebase_delete_again(r, c);
	}
	return rc;
}

static int rebase_back(struct rebase *r, uint32_t after)
{
	uint64_t fileid = image_inode(r->diff->after, after)->fileid;
	struct rebase_record *rr;
	bool was, seen;
	int rc;

	if (!rebase_has(r, fileid))
		return 0;
	rc = rebase_record(r, fileid, &rr);
	if (rc < 0)
		return rc;
	was = rr->rec.superseded;
	rr->dirty = true;
	rc = rebase_back_names(r, rr, after, &seen);
	if (rc < 0 || rr->rec.gone)
		return rc;
	if (S_ISDIR(rr->rec.mode)) {
		rr->rec.nlink -= 2;
		rr->rec.superseded = was && !seen;
	} else if (seen) {
		rr->back = true;
		r->restored += was && rr->rec.parent != 0;
		rr->rec.parent = rr->rec.under = 0;
	}
	return 0;
}

/* --- 4. what gave way and may stand again ----------------------------------
 */

/* The change of a name in a directory; NULL: none. */
static const struct image_change *
rebase_change_of(const struct image_diff *diff, uint64_t dir,
		 const struct record_name *name)
{
	uint32_t before = image_find(diff->before, dir);
	uint32_t after = image_find(diff->after, dir);
	const struct image_entry *e = NULL;
	const uint32_t *list = NULL;
	uint32_t count = 0;

	if (before != IMAGE_NONE)
		e = image_lookup(diff->before, before, name->name,
				 name->name_len);
	if (e)
		list = image_diff_from(diff, e->inode, &count);
	if (!e && after != IMAGE_NONE) {
		e = image_lookup(diff->after, after, name->name,
				 name->name_len);
		if (e)
			list = image_diff_to(diff, e->inode, &count);
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct image_change *c = &diff->changes[list[i]];

		if (c->before == e || c->after == e)
			return c;
	}
	return NULL;
}

static int rebase_unpark(struct rebase *r, struct rebase_record *rr,
			 struct rebase_dir *dir, const struct record_name *name)
{
	int rc = rebase_put(dir, RECORD_NAME_ENTRY, name->name, name->name_len,
			    rr->fileid, rr->rec.generation);

	rr->rec.nlink++;
	rr->rec.parent = rr->rec.under = 0;
	rr->dirty = rr->back = true;
	r->restored++;
	return rc;
}

/* Has the guest a version of a package's file, and sees it? */
static int rebase_is_edited(struct rebase *r, uint64_t fileid, bool *edited)
{
	uint32_t after = image_find(r->diff->after, fileid);
	struct rebase_record *rr;
	int rc;

	*edited = false;
	if (after == IMAGE_NONE || !rebase_has(r, fileid))
		return 0;
	rc = rebase_record(r, fileid, &rr);
	if (rc == 0)
		*edited = !rr->rec.gone && (!rr->rec.superseded || rr->back) &&
			  !rebase_is_pristine(rr, r->diff->after, after);
	return rc;
}

static int rebase_stand_again(struct rebase *r, const struct record_name *name)
{
	const struct image_diff *diff = r->diff;
	const struct image_change *c;
	struct rebase_record *rr, *parent;
	struct rebase_dir *dir;
	bool covered;
	int rc = rebase_record(r, name->fileid, &rr);

	if (rc < 0 || rr->rec.gone || !rr->rec.superseded ||
	    rr->rec.under == rr->fileid)
		return rc;
	c = rebase_change_of(diff, rr->rec.parent, name);
	if (!c || rebase_id(diff->after, c->after) != rr->rec.under ||
	    rebase_is_dir(diff->after, c->after))
		return 0; /* (a directory is not hidden by what comes back) */
	rc = rebase_is_covered(r, c, false, &covered);
	if (rc == 0 && !covered)
		rc = rebase_is_edited(r, rr->rec.under, &covered);
	if (rc == 0 && !covered)
		rc = rebase_keep_dir(r, rr->rec.parent);
	if (rc == 0 && !covered)
		rc = rebase_record(r, rr->rec.parent, &parent);
	if (rc < 0 || covered || parent->rec.gone || parent->rec.superseded)
		return rc;
	rc = rebase_dir(r, diff->dirs[c->dir].fileid, &dir);
	if (rc == 0)
		rc = rebase_unpark(r, rr, dir, name);
	return rc < 0 ? rc
		      : rebase_cover(r, dir->fileid, diff->after, c->after, -1);
}

static int rebase_parked(struct rebase *r)
{
	struct rebase_dir *parked;
	uint32_t count;
	int rc;

	if (!view_touched(r->view, RECORD_PARKED))
		return 0;
	rc = rebase_dir(r, RECORD_PARKED, &parked);
	count = rc == 0 ? parked->count : 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct record_name name = parked->names[i].rec;

		/* What is parked just now has no place yet. */
		if (name.kind == RECORD_NAME_ENTRY && parked->names[i].cookie)
			rc = rebase_stand_again(r, &name);
	}
	return rc;
}

/* --- the whole --------------------------------------------------------------
 */

int rebase_prepare(struct rebase *r)
{
	const struct image_diff *diff = r->diff;
	int rc = rebase_names(r);

	/* Files first, then directories from below: one with something that is
	 * kept in it is not parked. */
	for (int dirs = 0; dirs < 2; dirs++)
		for (uint32_t i = diff->gone_count; rc == 0 && i > 0; i--) {
			uint32_t inode = diff->gone[i - 1];
			bool is_dir =
			    image_inode(diff->before, inode)->parent !=
			    IMAGE_NONE;

			if (is_dir == dirs)
				rc = rebase_gone(r, inode, is_dir);
		}
	for (uint32_t i = 0; rc == 0 && i < diff->back_count; i++)
		rc = rebase_back(r, diff->back[i]);
	return rc < 0 ? rc : rebase_parked(r);
}
