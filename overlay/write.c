/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write: bytes into the delta, and COMMIT.
 *
 * Up to RECORD_INLINE_MAX the whole file lies in the database, and a write is
 * one batch.  Beyond, whole pages go to the host file: a page that is only
 * partly written is first completed from the base.  Record and presence of a
 * host file follow at COMMIT (node.c).
 */
#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/view_impl.h"

struct writing {
	struct view *view;
	struct inode *inode;
	uint64_t off;
	const uint8_t *data;
	size_t len;
	struct view_wait *wait;
	struct view_change *change;
};

static uint64_t writing_end(const struct writing *w)
{
	return w->off + w->len;
}

/* Want bytes of the base that the write needs as a whole. */
static int write_want(struct writing *w, struct gather *g, uint64_t off,
		      size_t len)
{
	if (!g->tree)
		return log_err(-EIO, "%s: base of a file is missing",
			       w->view->info.path);
	if (gather_add(g, w->inode->rec.base_inode, off, len) < off + len)
		return log_err(-EIO, "%s: a file's chunks are too small",
			       w->view->info.path);
	return 0;
}

/* --- small files: in the database ---------------------------------------- */

/* The file as it is, at most RECORD_INLINE_MAX bytes of it. */
static int inline_load(struct writing *w, uint8_t *buf, size_t *len)
{
	struct record_data_state *data = &w->inode->rec.data;
	struct gather g;
	int rc;

	*len = 0;
	if (data->kind == RECORD_DATA_INLINE)
		return inline_get(w->view, w->inode->fileid, buf, len);
	if (data->base_limit == 0)
		return 0;
	gather_begin(&g, w->view, w->wait, inode_base(w->view, &w->inode->rec));
	rc = write_want(w, &g, 0, data->base_limit);
	if (rc == 0)
		rc = gather_run(&g);
	if (rc < 0)
		return rc;
	*len = data->base_limit;
	gather_copy(w->wait, 0, *len, buf);
	return 0;
}

static void write_attrs(struct writing *w, const struct view_cred *cred)
{
	struct inode *inode = w->inode;

	if (cred->uid != 0)
		inode->rec.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	inode_touch(inode, true);
}

/*
 * A reply is about to show a ctime that only memory has.  It must not be later
 * than what a record on stable media allows for; else this call writes one,
 * once a second at most, and is answered when that is stable (lives.h).
 */
static bool write_passes_bound(const struct timespec *bound,
			       const struct inode *inode)
{
	return time_is_after(&inode->rec.ctime, bound);
}

static int write_inline(struct writing *w, const struct view_cred *cred,
			bool stable)
{
	struct record_data_state *data = &w->inode->rec.data;
	struct timespec bound = w->inode->rec.ctime_bound;
	struct view_done *done = &w->change->done;
	uint8_t buf[RECORD_INLINE_MAX];
	struct record_key key;
	struct op op;
	size_t len;
	int rc = inline_load(w, buf, &len);

	if (rc < 0)
		return rc;
	if (w->off > len)
		memset(buf + len, 0, w->off - len);
	memcpy(buf + w->off, w->data, w->len);
	len = MAX(len, writing_end(w));
	rc = op_begin(&op, w->view, w->change);
	if (rc == 0) {
		record_key_data(&key, view_top(w->view)->id, w->inode->fileid);
		kv_batch_put(op.batch, key.bytes, key.len, buf, len);
		op.bytes = (int64_t)len - (int64_t)data->used;
		op.ahead = !stable;
		data->kind = RECORD_DATA_INLINE;
		data->used = len;
		data->base_limit = 0;
		data->lower = false;
		data->size = MAX(data->size, len);
		w->inode->data_now = true;
		write_attrs(w, cred);
		op_inode(&op, w->inode);
		done->written = w->len;
		done->stable = stable;
		inode_attr(w->view, w->inode, &done->attr);
		wcc_after(w->view, &done->wcc[0], w->inode);
		rc = op_end(&op, true);
	}
	op_abort(&op);
	w->change->pending =
	    rc == 0 && (stable || write_passes_bound(&bound, w->inode));
	if (w->change->pending)
		change_submit(w->view, w->change);
	return rc;
}

/* --- larger files: host file --------------------------------------------- */

/* Is this page only partly written, and is it the package's until now? */
static bool page_needs_base(const struct writing *w, uint64_t page,
			    uint64_t *seen)
{
	uint64_t start = page * RECORD_PAGE;
	struct node_source source;

	if (start >= w->off && start + RECORD_PAGE <= writing_end(w))
		return false;
	source = node_source(w->inode->node, page);
	*seen = source.seen;
	return source.kind == NODE_BASE;
}

static int write_gather(struct writing *w)
{
	uint64_t first = w->off / RECORD_PAGE;
	uint64_t last = (writing_end(w) - 1) / RECORD_PAGE;
	struct gather g;
	uint64_t seen;
	int rc = 0;

	gather_begin(&g, w->view, w->wait, inode_base(w->view, &w->inode->rec));
	for (uint64_t page = first; rc == 0; page = last) {
		uint64_t start = page * RECORD_PAGE;

		if (page_needs_base(w, page, &seen))
			rc = write_want(
			    w, &g, start,
			    MIN(seen - start, (uint64_t)RECORD_PAGE));
		if (page == last)
			break;
	}
	return rc < 0 ? rc : gather_run(&g);
}

/* A page that the top layer lacks, as it is now. */
static int write_fill(struct writing *w, const struct node_source *source,
		      uint64_t start, uint8_t buf[RECORD_PAGE])
{
	memset(buf, 0, RECORD_PAGE);
	if (source->kind == NODE_BELOW)
		return node_below_read(source, buf, RECORD_PAGE, start, true);
	if (source->kind == NODE_BASE)
		gather_copy(w->wait, start,
			    MIN(source->seen - start, (uint64_t)RECORD_PAGE),
			    buf);
	return 0;
}

/* One page that is written in part: what is there, then the new bytes. */
static int write_edge(struct writing *w, uint64_t page)
{
	struct inode *inode = w->inode;
	struct node_source source = node_source(inode->node, page);
	uint64_t start = page * RECORD_PAGE;
	uint64_t from = MAX(start, w->off);
	uint64_t to = MIN(start + RECORD_PAGE, writing_end(w));
	uint8_t buf[RECORD_PAGE];
	int rc;

	if (source.kind == NODE_HERE)
		return io_pwrite_all(inode->node->fd, w->data + (from - w->off),
				     to - from, from);
	rc = write_fill(w, &source, start, buf);
	if (rc < 0)
		return rc;
	memcpy(buf + (from - start), w->data + (from - w->off), to - from);
	return io_pwrite_all(inode->node->fd, buf, sizeof(buf), start);
}

static int write_pages(struct writing *w)
{
	uint64_t end = writing_end(w);
	uint64_t whole = (w->off + RECORD_PAGE - 1) / RECORD_PAGE;
	uint64_t whole_end = end / RECORD_PAGE;
	uint64_t first = w->off / RECORD_PAGE;
	uint64_t last = (end - 1) / RECORD_PAGE;
	int rc = 0;

	if (first < whole)
		rc = write_edge(w, first);
	if (rc == 0 && whole < whole_end)
		rc = io_pwrite_all(w->inode->node->fd,
				   w->data + (whole * RECORD_PAGE - w->off),
				   (whole_end - whole) * RECORD_PAGE,
				   whole * RECORD_PAGE);
	if (rc == 0 && last >= whole_end && (last != first || first >= whole))
		rc = write_edge(w, last);
	return rc < 0 ? log_err(rc, "delta %s: writing a host file",
				w->view->info.path)
		      : 0;
}

/* Give the file a host file; what lay in the database goes into it. */
static int host_promote(struct writing *w)
{
	struct inode *inode = w->inode;
	struct node *node = inode->node;
	struct record_data_state *data = &node->rec.data;
	uint8_t buf[RECORD_INLINE_MAX] = {0};
	uint64_t used = data->used;
	size_t len = 0;
	uint64_t id;
	int rc = 0;

	if (data->kind == RECORD_DATA_INLINE)
		rc = inline_get(w->view, inode->fileid, buf, &len);
	if (rc == 0)
		rc = view_take_id(w->view, &id);
	if (rc == 0)
		rc = reap_promise(w->view, id);
	KILL_POINT("promote-promised");
	if (rc == 0)
		rc = data_create(w->view, id, &node->fd);
	KILL_POINT("promote-created");
	if (rc == 0 && len > 0) {
		uint64_t pages = (len + RECORD_PAGE - 1) / RECORD_PAGE;

		rc = io_pwrite_all(node->fd, buf, pages * RECORD_PAGE, 0);
		if (rc == 0)
			rc = pages_set(&node->pages, 0, pages);
	}
	if (rc < 0) {
		base_close_ptr(&node->fd);
		node->fd = -1;
		pages_free(&node->pages);
		return rc;
	}
	KILL_POINT("promote-copied");
	data->kind = RECORD_DATA_HOST;
	data->data_id = id;
	data->layer = view_top(w->view)->id;
	data->used = pages_count(&node->pages) * RECORD_PAGE;
	view_account(w->view, (int64_t)(data->used - used), 0);
	node->new_file = true;
	/* Also when the write fails: only a flight may name the file. */
	node->dirty = true;
	inode->rec.data = *data;
	return 0;
}

/* Pages of the write that the top layer has not yet. */
static uint64_t host_absent(const struct writing *w)
{
	uint64_t end = (writing_end(w) - 1) / RECORD_PAGE + 1;
	uint64_t absent = 0;

	for (uint64_t page = w->off / RECORD_PAGE; page < end; page++)
		absent += !pages_has(&w->inode->node->pages, page);
	return absent;
}

static int host_room(const struct writing *w)
{
	return view_may_grow(w->view, (int64_t)(host_absent(w) * RECORD_PAGE),
			     w->inode->node->recorded ? 0 : 1);
}

static int host_prepare(struct writing *w)
{
	struct inode *inode = w->inode;
	int rc;

	if (w->view->still)
		return view_park(w->view, w->wait);
	if (inode->node && inode->node->cutting)
		return node_park(w->view, inode->node, w->wait);
	rc = space_check(depot_space(w->view->depot), w->len);
	if (rc == 0)
		rc = inode->node ? node_mend(w->view, inode)
				 : node_open(w->view, inode);
	if (rc == 0)
		rc = write_gather(w);
	if (rc == 0)
		rc = host_room(w);
	if (rc == 0 && inode->rec.data.kind != RECORD_DATA_HOST)
		rc = host_promote(w);
	return rc;
}

/* Pages written, now in memory: present, and the file as long as they reach. */
static int host_account(struct writing *w)
{
	struct node *node = w->inode->node;
	struct record_data_state *data = &node->rec.data;
	uint64_t first = w->off / RECORD_PAGE;
	uint64_t end = (writing_end(w) - 1) / RECORD_PAGE + 1;
	uint64_t absent = host_absent(w);
	int rc;

	rc = pages_set(&node->pages, first, end);
	if (rc < 0)
		return rc;
	data->used += absent * RECORD_PAGE;
	view_account(w->view, (int64_t)(absent * RECORD_PAGE), 0);
	data->size = MAX(data->size, writing_end(w));
	node->dirty = true;
	return 0;
}

/* Write a record that allows for this ctime, with the data as they were saved
 * last; the call is answered when it is stable. */
static int write_bound(struct writing *w)
{
	struct op op;
	int rc = op_begin(&op, w->view, w->change);

	if (rc == 0) {
		op.frees = true; /* what was counted in host_room */
		op.ahead = true;
		op_inode(&op, w->inode);
		rc = op_end(&op, false);
	}
	op_abort(&op);
	return rc;
}

static int write_host(struct writing *w, const struct view_cred *cred,
		      bool stable)
{
	struct view_done *done = &w->change->done;
	struct inode *inode = w->inode;
	int rc = host_prepare(w);

	if (rc == 0)
		rc = write_pages(w);
	if (rc == 0)
		rc = host_account(w);
	if (rc < 0)
		return rc;
	inode->rec.data = inode->node->rec.data;
	write_attrs(w, cred);
	inode->node->rec = inode->rec;
	done->written = w->len;
	done->stable = stable;
	inode_attr(w->view, inode, &done->attr);
	wcc_after(w->view, &done->wcc[0], inode);
	if (stable)
		node_commit(w->view, inode->node, w->change);
	else if (write_passes_bound(&inode->rec.ctime_bound, inode))
		return write_bound(w);
	return 0;
}

/* --- WRITE --------------------------------------------------------------- */

static int write_check(struct view *view, const struct inode *inode,
		       const struct view_cred *cred, uint64_t off, size_t len)
{
	if (S_ISDIR(inode->rec.mode))
		return -EISDIR;
	if (!S_ISREG(inode->rec.mode))
		return -EINVAL;
	if (cred->uid != inode->rec.uid &&
	    !inode_may(view, inode, cred, VIEW_MAY_WRITE))
		return -EACCES;
	if (off > VIEW_FILE_SIZE_MAX || len > VIEW_FILE_SIZE_MAX - off)
		return -EFBIG;
	return 0;
}

static int write_locked(struct writing *w, const struct view_cred *cred,
			bool stable)
{
	const struct record_data_state *data = &w->inode->rec.data;
	struct view_done *done = &w->change->done;
	uint64_t reach = MAX(data->size, writing_end(w));

	if (w->len == 0) {
		done->stable = true;
		inode_attr(w->view, w->inode, &done->attr);
		return 0;
	}
	/* Data that a bigger file keeps below RECORD_INLINE_MAX stays there. */
	if (data->kind == RECORD_DATA_INLINE &&
	    writing_end(w) <= RECORD_INLINE_MAX)
		return write_inline(w, cred, stable);
	if (data->kind == RECORD_DATA_NONE && !data->lower &&
	    reach <= RECORD_INLINE_MAX && !w->inode->node)
		return write_inline(w, cred, stable);
	return write_host(w, cred, stable);
}

int view_write(struct view *view, const struct view_cred *cred,
	       struct view_object obj, uint64_t off, const void *data,
	       size_t len, bool stable, struct view_wait *wait,
	       struct view_change *change)
{
	struct view_wcc *wcc = &change->done.wcc[0];
	struct inode inode;
	struct writing w = {view, &inode, off, data, len, wait, change};
	int rc;

	ASSERT(len <= VIEW_IO_MAX);
	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load(view, obj.fileid, obj.generation, &inode);
	if (rc == 0) {
		wcc_before(wcc, &inode);
		wcc_after(view, wcc, &inode);
		change->done.verifier = view->info.verifier;
		rc = write_check(view, &inode, cred, off, len);
		if (rc == 0)
			rc = write_locked(&w, cred, stable);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static int commit_locked(struct view *view, struct inode *inode,
			 struct view_change *change)
{
	struct node *node = inode->node;
	struct op op;
	int rc;

	if (node && (node->dirty || node->flight)) {
		node_commit(view, node, change);
		return 0;
	}
	if (inode->old || !inode->recorded ||
	    !time_is_after(&inode->rec.ctime_bound, &inode->rec.ctime)) {
		change->pending = true;
		change_submit(view, change);
		return 0;
	}
	/* All that was shown is stable now: no bound ahead of it. */
	rc = op_begin(&op, view, change);
	if (rc == 0) {
		op.frees = true;
		op_inode(&op, inode);
		rc = op_end(&op, false);
	}
	op_abort(&op);
	return rc;
}

int view_commit(struct view *view, struct view_object obj,
		struct view_change *change)
{
	struct view_wcc *wcc = &change->done.wcc[0];
	struct inode inode;
	int rc;

	memset(&change->done, 0, sizeof(change->done));
	change->pending = false;
	pthread_rwlock_wrlock(&view->lock);
	rc = inode_load_old(view, obj.fileid, obj.generation, &inode);
	if (rc == 0) {
		wcc_before(wcc, &inode);
		wcc_after(view, wcc, &inode);
		if (!S_ISREG(inode.rec.mode))
			rc = S_ISDIR(inode.rec.mode) ? -EISDIR : -EINVAL;
		else
			rc = commit_locked(view, &inode, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
