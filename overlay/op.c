/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op: one changing operation, written as one batch (design 7).
 *
 * Memory follows the database: sets and nodes are changed only when the batch
 * is in the log.  view->lock is held alone from op_begin to op_end.
 */
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/view_impl.h"

int op_begin(struct op *op, struct view *view, struct view_change *change)
{
	memset(op, 0, sizeof(*op));
	op->view = view;
	op->change = change;
	change->pending = false;
	op->batch = kv_batch_new();
	return op->batch ? 0 : -ENOMEM;
}

void op_abort(struct op *op)
{
	kv_batch_free(op->batch);
	op->batch = NULL;
	for (unsigned int i = 0; i < op->reap_count; i++)
		reap_free(op->reaps[i]);
	op->reap_count = 0;
}

int view_take_id(struct view *view, uint64_t *id)
{
	struct record_key key;
	uint8_t value[9] = {RECORD_FORMAT};
	int rc;

	if (view->next_id == view->id_limit) {
		uint64_t limit = view->id_limit + VIEW_ID_BLOCK;

		/* In the log before any batch that uses one of them. */
		record_key_fileids(&key, view->info.export_id);
		le64_put(value + 1, limit);
		rc = kv_put(view->kv, key.bytes, key.len, value, sizeof(value));
		if (rc < 0)
			return rc;
		__atomic_store_n(&view->id_limit, limit, __ATOMIC_RELAXED);
		KILL_POINT("fileid-block");
	}
	*id = view->next_id++ | RECORD_BORN;
	return 0;
}

void op_inode(struct op *op, struct inode *inode)
{
	for (unsigned int i = 0; i < op->inode_count; i++)
		if (op->inodes[i] == inode)
			return;
	ASSERT(op->inode_count < OP_INODES_MAX);
	op->inodes[op->inode_count++] = inode;
}

static void op_touched(struct op *op, uint64_t dir)
{
	for (unsigned int i = 0; i < op->touched_count; i++)
		if (op->touched[i] == dir)
			return;
	ASSERT(op->touched_count < ARRAY_LEN(op->touched));
	op->touched[op->touched_count++] = dir;
}

void op_name_put(struct op *op, uint64_t dir, uint64_t cookie,
		 enum record_name_kind kind, const char *name, size_t name_len,
		 uint64_t fileid, uint32_t generation)
{
	uint8_t value[RECORD_NAME_MAX];
	struct record_name rec = {
	    .kind = (uint8_t)kind,
	    .generation = generation,
	    .fileid = fileid,
	    .name_len = (uint16_t)name_len,
	};
	struct record_key key;
	size_t len;

	memcpy(rec.name, name, name_len);
	len = record_name_encode(&rec, value);
	record_key_name(&key, view_top(op->view)->id, dir, cookie);
	kv_batch_put(op->batch, key.bytes, key.len, value, len);
	op_touched(op, dir);
	op->names |= kind == RECORD_NAME_ENTRY;
}

void op_name_delete(struct op *op, uint64_t dir, uint64_t cookie)
{
	struct record_key key;

	record_key_name(&key, view_top(op->view)->id, dir, cookie);
	kv_batch_delete(op->batch, key.bytes, key.len);
}

/* Delete every key that begins with `prefix`. */
static int op_delete_all(struct op *op, const struct record_key *prefix)
{
	struct kv_iter *it =
	    kv_iter_new(op->view->kv, prefix->bytes, prefix->len, NULL, 0);
	int rc;

	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		size_t len;
		const uint8_t *key = kv_iter_key(it, &len);

		kv_batch_delete(op->batch, key, len);
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int op_drop_data(struct op *op, struct inode *inode)
{
	struct record_data_state *data = &inode->rec.data;
	struct record_key key;
	uint64_t layer = view_top(op->view)->id;
	/* A node may be ahead of the database: give up what either has. */
	uint8_t kind = inode->node ? inode->node->saved.kind : data->kind;
	int rc = 0;

	if (data->kind == RECORD_DATA_HOST) {
		ASSERT(op->reap_count < OP_REAPS_MAX);
		rc = reap_new(op->view, data->layer, data->data_id,
			      &op->reaps[op->reap_count]);
		if (rc < 0)
			return rc;
		op->reap_count++;
		reap_put_key(op->batch, layer, data->layer, data->data_id);
		record_key_piece(&key, layer, inode->fileid, 0);
		key.len -= 4;
		rc = op_delete_all(op, &key);
	}
	if (kind == RECORD_DATA_INLINE || S_ISLNK(inode->rec.mode)) {
		record_key_data(&key, layer, inode->fileid);
		kv_batch_delete(op->batch, key.bytes, key.len);
	}
	if (inode->node) {
		op->detached[op->detached_count++] = inode->node;
		inode->node = NULL;
	}
	op->bytes -= (int64_t)data->used;
	*data = (struct record_data_state){.cut = RECORD_NO_CUT};
	inode->data_now = true;
	return rc;
}

/* Has a frozen layer a record of it? */
static bool op_is_below(const struct op *op, uint64_t fileid)
{
	for (unsigned int i = 1; i < op->view->layer_count; i++)
		if (idset_has(&op->view->layer[i]->recorded, fileid))
			return true;
	return false;
}

int op_erase(struct op *op, struct inode *inode)
{
	struct record_key key;
	struct layer *top = view_top(op->view);
	int rc = op_drop_data(op, inode);

	op->frees = true;
	if (rc == 0 && S_ISDIR(inode->rec.mode) &&
	    idset_has(&top->touched, inode->fileid)) {
		record_key_dir(&key, top->id, inode->fileid);
		rc = op_delete_all(op, &key);
	}
	if (rc < 0)
		return rc;
	if ((inode->fileid & RECORD_BORN) && !op_is_below(op, inode->fileid)) {
		record_key_inode(&key, top->id, inode->fileid);
		kv_batch_delete(op->batch, key.bytes, key.len);
		op->erased[op->erased_count++] = inode->fileid;
		return 0;
	}
	/* The number of an object that lies below stays retired: its handle is
	 * stale, its record there is hidden. */
	inode->rec.gone = true;
	op_inode(op, inode);
	return 0;
}

static int op_put_inode(struct op *op, struct inode *inode)
{
	uint8_t value[RECORD_INODE_LEN];
	struct record_key key;
	struct record rec;

	inode_bound(op->view, &inode->rec, op->ahead);
	rec = inode->rec;
	/* Bytes that are not stable yet must not be named by a record. */
	if (inode->node && !inode->data_now)
		rec.data = inode->node->saved;
	record_encode(&rec, value);
	record_key_inode(&key, view_top(op->view)->id, inode->fileid);
	kv_batch_put(op->batch, key.bytes, key.len, value, sizeof(value));
	return view_hold_record(op->view, &rec);
}

static int op_put_reply(struct op *op)
{
	struct view_change *change = op->change;
	uint8_t record[VIEW_REPLY_MAX];
	struct record_key key;
	uint32_t slot = 0;
	size_t len;

	if (!change->reply)
		return 0;
	len = change->reply(change, &change->done, record, &slot);
	if (len == 0)
		return 0;
	ASSERT(len <= sizeof(record));
	record_key_reply(&key, op->view->info.export_id, slot);
	kv_batch_put(op->batch, key.bytes, key.len, record, len);
	return 0;
}

/* The batch is in the log: bring memory up to it. */
static void op_apply(struct op *op)
{
	struct view *view = op->view;
	struct layer *top = view_top(view);

	for (unsigned int i = 0; i < op->inode_count; i++) {
		struct inode *inode = op->inodes[i];

		view_add_record(view, inode->fileid);
		if (!inode->node) {
			recent_put(&top->recent, inode->fileid, &inode->rec);
			continue;
		}
		recent_drop(&top->recent, inode->fileid);
		inode->node->rec = inode->rec;
		inode->node->recorded = true;
		if (inode->data_now)
			inode->node->saved = inode->rec.data;
	}
	for (unsigned int i = 0; i < op->erased_count; i++) {
		if (idset_has(&top->recorded, op->erased[i]))
			view_account(view, 0, -1);
		idset_remove(&top->recorded, op->erased[i]);
		recent_drop(&top->recent, op->erased[i]);
	}
	for (unsigned int i = 0; i < op->touched_count; i++)
		idset_add(&top->touched, op->touched[i]);
	for (unsigned int i = 0; i < op->detached_count; i++)
		node_detach(view, op->detached[i]);
	view_account(view, op->bytes, 0);
	for (unsigned int i = 0; i < op->reap_count; i++)
		reap_submit(op->reaps[i]);
	op->reap_count = 0;
}

/* Removing and truncating go on when the disk is full. */
static int op_check_space(const struct op *op)
{
	if (op->frees || (op->bytes <= 0 && !op->names))
		return 0;
	return space_check(depot_space(op->view->depot),
			   (uint64_t)MAX(op->bytes, 0));
}

/* Is there room for what the operation adds? */
static int op_may(const struct op *op)
{
	int64_t files = 0;
	int rc = op_check_space(op);

	if (rc < 0 || op->frees)
		return rc;
	for (unsigned int i = 0; i < op->inode_count; i++)
		files += !idset_has(&view_top(op->view)->recorded,
				    op->inodes[i]->fileid);
	return view_may_grow(op->view, op->bytes, files);
}

int op_end(struct op *op, bool hold)
{
	struct view *view = op->view;
	struct layer *top = view_top(view);
	int rc = op_may(op);

	for (unsigned int i = 0; i < op->inode_count && rc == 0; i++)
		rc = op_put_inode(op, op->inodes[i]);
	if (rc == 0)
		rc = idset_reserve(&top->recorded, op->inode_count);
	if (rc == 0)
		rc = idset_reserve(&top->touched, op->touched_count);
	if (rc == 0)
		rc = op_put_reply(op);
	if (rc == 0)
		rc = kv_write(view->kv, op->batch);
	if (rc == 0) {
		KILL_POINT("op-written");
		op_apply(op);
		op->change->pending = true;
		if (!hold)
			change_submit(view, op->change);
	}
	op_abort(op);
	return rc;
}

static void change_stable(struct journal_entry *entry)
{
	struct view_change *change =
	    container_of(entry, struct view_change, entry);

	change->settled(change, 0);
}

void change_submit(struct view *view, struct view_change *change)
{
	ASSERT(change->pending); /* set by whoever the caller can see */
	change->entry.run = change_stable;
	journal_submit(view->journal, &change->entry);
}
