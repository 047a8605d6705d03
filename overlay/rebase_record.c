/* SPDX-License-Identifier: Apache-2.0 */
/* rebase_record: the records that a rebase changes, and how they are written.
 * See rebase.h. */
#include "depot/log.h"
#include "overlay/rebase.h"

bool rebase_has(const struct rebase *r, uint64_t fileid)
{
	return view_recorded(r->view, fileid) < VIEW_LAYERS_MAX ||
	       node_find(r->view, fileid);
}

/* --- the table ----------------------------------------------------------- */

static struct rebase_record **record_slot(struct rebase_record **slots,
					  uint32_t count, uint64_t fileid)
{
	uint32_t at = (uint32_t)(fileid * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	at &= count - 1;
	while (slots[at] && slots[at]->fileid != fileid)
		at = (at + 1) & (count - 1);
	return &slots[at];
}

static int record_room(struct rebase *r)
{
	uint32_t wanted = MAX(64u, r->record_slots * 2);
	struct rebase_record **slots;

	if (2 * (r->record_count + 1) < r->record_slots)
		return 0;
	slots = calloc(wanted, sizeof(struct rebase_record *));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->record_slots; i++)
		if (r->records[i])
			*record_slot(slots, wanted, r->records[i]->fileid) =
			    r->records[i];
	free(r->records);
	r->records = slots;
	r->record_slots = wanted;
	return 0;
}

static uint32_t record_after(const struct rebase *r, uint64_t fileid)
{
	const struct image *image = r->diff ? r->diff->after : r->view->image;

	return fileid & RECORD_BORN ? IMAGE_NONE : image_find(image, fileid);
}

static int record_fill(struct rebase *r, struct rebase_record *rr)
{
	struct inode inode;
	int rc = inode_peek(r->view, rr->fileid, &inode);

	rr->after = record_after(r, rr->fileid);
	if (rc == 0) {
		rr->rec = inode.rec;
		rr->node = inode.node;
		rr->nlink_before = inode_nlink(r->view, &inode);
		return 0;
	}
	if (rc != -ESTALE || rr->after == IMAGE_NONE)
		return rc;
	/* It comes with the switch; a name of the delta may cover it. */
	record_from_image(r->diff->after, rr->after, &rr->rec);
	return 0;
}

int rebase_record(struct rebase *r, uint64_t fileid, struct rebase_record **rr)
{
	struct rebase_record *fresh;
	int rc;

	if (r->record_slots > 0) {
		*rr = *record_slot(r->records, r->record_slots, fileid);
		if (*rr)
			return 0;
	}
	rc = record_room(r);
	if (rc < 0)
		return rc;
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->fileid = fileid;
	rc = record_fill(r, fresh);
	if (rc < 0) {
		free(fresh);
		return rc;
	}
	*record_slot(r->records, r->record_slots, fileid) = fresh;
	r->record_count++;
	*rr = fresh;
	return 0;
}

int rebase_links(struct rebase *r, uint64_t fileid, int links)
{
	struct rebase_record *rr;
	int rc = rebase_record(r, fileid, &rr);

	if (rc < 0)
		return rc;
	rr->rec.nlink += links;
	rr->dirty = true;
	return 0;
}

/* --- writing ------------------------------------------------------------- */

static int64_t record_nlink(const struct rebase *r,
			    const struct rebase_record *rr)
{
	const struct image *image = r->diff ? r->diff->after : r->view->image;
	int64_t nlink = rr->rec.nlink;

	if (rr->after != IMAGE_NONE)
		nlink += image_inode(image, rr->after)->nlink;
	return nlink;
}

/* Names decide whether a file is there: those of the new image and the
 * delta's. */
static void record_settle(const struct rebase *r, struct rebase_record *rr)
{
	struct record *rec = &rr->rec;
	bool before = rec->superseded, has_name;
	int64_t nlink;

	if (rec->gone)
		return;
	nlink = record_nlink(r, rr);
	/* Names in a directory that cannot be seen are none. */
	if (before && !rr->back && !S_ISDIR(rec->mode)) {
		rec->nlink -= (int32_t)nlink;
		nlink = 0;
	}
	has_name = S_ISDIR(rec->mode) ? !rec->superseded : nlink > 0;
	rec->superseded = !has_name;
	rr->unpark |= before && has_name;
	if (rr->touch || before != rec->superseded ||
	    (has_name && nlink != rr->nlink_before))
		rec->ctime = time_after(&rec->ctime);
}

/* The base, if it is the new image's, is held as others are. */
static int record_hold(struct rebase *r, const struct rebase_record *rr)
{
	struct layer *top = view_top(r->view);
	int rc = view_hold_record(r->view, &rr->rec);

	if (rc < 0 || !rr->rec.has_base || rr->rec.gone || !r->diff)
		return rc;
	for (uint32_t i = 0; i < image_tree_count(r->diff->after); i++) {
		struct tree *tree = image_tree(r->diff->after, i);

		if (digest_equal(tree_digest(tree), &rr->rec.base_tree))
			return layer_hold_tree(top, tree);
	}
	return 0;
}

/* Only what no frozen layer has can go. */
static bool record_may_erase(const struct rebase *r,
			     const struct rebase_record *rr)
{
	for (unsigned int i = 1; i < r->view->layer_count; i++)
		if (idset_has(&r->view->layer[i]->recorded, rr->fileid))
			return false;
	return !rr->node;
}

static int record_put(struct rebase *r, struct rebase_record *rr,
		      struct kv_batch *batch)
{
	uint8_t value[RECORD_INODE_LEN];
	struct record_key key;
	struct record rec;

	rr->erase = rr->erase && record_may_erase(r, rr);
	record_key_inode(&key, view_top(r->view)->id, rr->fileid);
	if (rr->erase) {
		kv_batch_delete(batch, key.bytes, key.len);
		return 0;
	}
	record_settle(r, rr);
	inode_bound(r->view, &rr->rec, false);
	rec = rr->rec;
	/* Bytes that are not stable yet must not be named by a record. */
	if (rr->node)
		rec.data = rr->node->saved;
	record_encode(&rec, value);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
	return record_hold(r, rr);
}

/* What is parked no more needs no name there. */
static int record_unpark(struct rebase *r, const struct rebase_record *rr)
{
	struct rebase_dir *parked;
	int rc = rebase_dir(r, RECORD_PARKED, &parked);

	for (uint32_t i = 0; rc == 0 && i < parked->count; i++)
		if (parked->names[i].rec.fileid == rr->fileid &&
		    parked->names[i].rec.kind == RECORD_NAME_ENTRY)
			parked->names[i].removed = true;
	return rc;
}

int rebase_write(struct rebase *r, struct kv_batch *batch)
{
	struct layer *top = view_top(r->view);
	int rc = idset_reserve(&top->recorded, r->record_count);

	for (uint32_t i = 0; rc == 0 && i < r->record_slots; i++) {
		struct rebase_record *rr = r->records[i];

		if (!rr || !rr->dirty)
			continue;
		rc = record_put(r, rr, batch);
		if (rc == 0 && rr->unpark)
			rc = record_unpark(r, rr);
	}
	if (rc == 0)
		rc = rebase_dirs_write(r, batch);
	if (rc == 0)
		rc = idset_reserve(&top->touched, r->touched_count);
	return rc;
}

/* --- memory follows ------------------------------------------------------- */

static void record_apply(struct rebase *r, const struct rebase_record *rr)
{
	struct layer *top = view_top(r->view);
	struct record_data_state data;

	recent_drop(&top->recent, rr->fileid);
	if (rr->erase) {
		if (idset_has(&top->recorded, rr->fileid))
			view_account(r->view, 0, -1);
		idset_remove(&top->recorded, rr->fileid);
		return;
	}
	view_add_record(r->view, rr->fileid);
	if (!rr->node)
		return;
	data = rr->node->rec.data;
	rr->node->rec = rr->rec;
	rr->node->rec.data = data;
	rr->node->recorded = true;
}

/* Records hold their bases themselves; open files may have no record yet. */
static void view_hold_nodes(struct view *view)
{
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		for (struct node *n = view->nodes[i]; n; n = n->hash_next) {
			struct tree *tree = inode_base(view, &n->rec);

			if (tree && layer_hold_tree(view_top(view), tree) < 0)
				log_err(-ENOMEM, "delta %s: base of %llx",
					view->info.path,
					(unsigned long long)n->fileid);
		}
}

void rebase_apply(struct rebase *r)
{
	struct view *view = r->view;
	struct image *old = view->image;

	view_hold_nodes(view);
	for (uint32_t i = 0; i < r->record_slots; i++)
		if (r->records[i] && r->records[i]->dirty)
			record_apply(r, r->records[i]);
	for (uint32_t i = 0; i < r->touched_count; i++)
		idset_add(&view_top(view)->touched, r->touched[i]);
	if (!r->diff)
		return;
	view->image = image_get(r->diff->after);
	starts_switched(view);
	image_put(old);
}

void rebase_free(struct rebase *r)
{
	for (uint32_t i = 0; i < r->record_slots; i++)
		free(r->records[i]);
	free(r->records);
	while (r->dirs) {
		struct rebase_dir *next = r->dirs->next;

		free(r->dirs->names);
		free(r->dirs->slots);
		free(r->dirs);
		r->dirs = next;
	}
	free(r->touched);
	r->records = NULL;
	r->touched = NULL;
	r->record_slots = r->record_count = r->touched_count = 0;
}
