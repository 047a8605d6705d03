/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: regular files that have a host file in the delta, while in memory.
 *
 * Life: opened by the first read or write that needs the host file (an earlier
 * cut is repeated, a tail that no record covers is cut off) -> written to
 * (dirty) -> committed by flights, one at a time: snapshot under the lock, sync
 * of the host file, then one batch with record and presence, then the log
 * (design 7: data first) -> clean, may be closed; or detached when the object
 * or its data goes.
 */
#include <fcntl.h>
#include <stdio.h>

#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/view_impl.h"

static struct node **node_slot(struct view *view, uint64_t fileid)
{
	uint64_t hash = fileid * UINT64_C(0x9e3779b97f4a7c15);

	return &view->nodes[(hash >> 32) % VIEW_NODE_SLOTS];
}

struct node *node_find(struct view *view, uint64_t fileid)
{
	struct node *node = *node_slot(view, fileid);

	while (node && node->fileid != fileid)
		node = node->hash_next;
	return node;
}

void view_flight_begin(struct view *view)
{
	pthread_mutex_lock(&view->idle_lock);
	view->flights++;
	pthread_mutex_unlock(&view->idle_lock);
}

void view_flight_end(struct view *view)
{
	pthread_mutex_lock(&view->idle_lock);
	if (--view->flights == 0)
		pthread_cond_broadcast(&view->idle);
	pthread_mutex_unlock(&view->idle_lock);
}

void view_drain(struct view *view)
{
	pthread_mutex_lock(&view->idle_lock);
	while (view->flights > 0)
		pthread_cond_wait(&view->idle, &view->idle_lock);
	pthread_mutex_unlock(&view->idle_lock);
}

/* --- host files ---------------------------------------------------------- */

static void data_dir(const struct view *view, uint64_t layer, uint64_t data_id,
		     char *dir, size_t dir_len)
{
	snprintf(dir, dir_len, "%s/%016llx/%02x", view->data_dir,
		 (unsigned long long)layer,
		 (unsigned int)(data_id & (DATA_DIRS - 1)));
}

void data_path(const struct view *view, uint64_t layer, uint64_t data_id,
	       char *path, size_t path_len)
{
	snprintf(path, path_len, "%s/%016llx/%02x/%016llx", view->data_dir,
		 (unsigned long long)layer,
		 (unsigned int)(data_id & (DATA_DIRS - 1)),
		 (unsigned long long)data_id);
}

int data_create(struct view *view, uint64_t data_id, int *fd)
{
	uint64_t layer = view_top(view)->id;
	char path[640];
	int rc;

	data_dir(view, layer, data_id, path, sizeof(path));
	/* Names are synced by the first flight: no sync under view->lock. */
	rc = io_mkdirs(path);
	if (rc < 0)
		return log_err(rc, "delta %s: %s", view->info.path, path);
	data_path(view, layer, data_id, path, sizeof(path));
	rc = io_open(path, true, fd);
	if (rc == 0)
		rc = io_truncate(*fd, 0);
	return rc < 0 ? log_err(rc, "delta %s: %s", view->info.path, path) : 0;
}

/* Nothing beyond `size`; never makes the file longer, since sizes may be such
 * that the host's file system has no room for. */
static int data_cut(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size > size ? io_truncate(fd, size) : 0;
}

/* --- opening and closing ------------------------------------------------- */

int data_open(struct view *view, const struct record_data_state *data, int *fd)
{
	char path[640];
	int rc;

	data_path(view, data->layer, data->data_id, path, sizeof(path));
	rc = io_open(path, false, fd);
	if (rc == 0)
		rc = data_cut(*fd, MIN(data->cut, data->size));
	return rc < 0 ? log_err(-EIO, "delta %s: host file %s: %s",
				view->info.path, path, strerror(-rc))
		      : 0;
}

int node_load_pages(struct view *view, uint64_t layer, uint64_t fileid,
		    struct pages *pages)
{
	int rc = pages_load(pages, view->kv, layer, fileid);

	if (rc == 0 || rc == -ENOMEM)
		return rc;
	return log_err(-EIO, "delta %s: presence of %llx: %s", view->info.path,
		       (unsigned long long)fileid, strerror(-rc));
}

/* Bring the host file to what the record says of it. */
static int node_open_file(struct view *view, struct node *node,
			  unsigned int level)
{
	int rc = 0;

	if (node->rec.data.kind == RECORD_DATA_HOST) {
		rc = data_open(view, &node->rec.data, &node->fd);
		if (rc == 0)
			rc = node_load_pages(view, view_top(view)->id,
					     node->fileid, &node->pages);
	}
	/* A record of a frozen layer stands for what that layer has. */
	return rc < 0 ? rc : node_below_open(view, node, level);
}

static void node_free(struct node *node)
{
	base_close_ptr(&node->fd);
	pages_free(&node->pages);
	node_below_close(node);
	free(node);
}

static bool node_is_idle(const struct node *node)
{
	return !node->dirty && !node->flight && !node->cutting &&
	       !node->waits && !node->commits && !node->broken;
}

static void node_make_room(struct view *view)
{
	if (view->node_count < VIEW_NODES_MAX)
		return;
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++) {
		struct node *node = view->nodes[i];

		while (node) {
			struct node *next = node->hash_next;

			if (node_is_idle(node))
				node_close(view, node);
			node = next;
		}
	}
}

int node_open(struct view *view, struct inode *inode)
{
	struct node *node;
	int rc;

	ASSERT(!inode->node && S_ISREG(inode->rec.mode));
	node_make_room(view);
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->fileid = inode->fileid;
	node->rec = inode->rec;
	node->saved = inode->rec.data;
	node->recorded = inode->recorded;
	node->fd = -1;
	node->commits_last = &node->commits;
	rc = node_open_file(view, node, MAX(inode->level, 1u));
	if (rc < 0) {
		node_free(node);
		return rc;
	}
	node->hash_next = *node_slot(view, node->fileid);
	*node_slot(view, node->fileid) = node;
	view->node_count++;
	inode->node = node;
	return 0;
}

static void node_unhash(struct view *view, struct node *node)
{
	struct node **at = node_slot(view, node->fileid);

	while (*at && *at != node)
		at = &(*at)->hash_next;
	if (*at) {
		*at = node->hash_next;
		view->node_count--;
	}
}

void node_close(struct view *view, struct node *node)
{
	ASSERT(node_is_idle(node));
	node_unhash(view, node);
	node_free(node);
}

void node_let_go(struct view *view, uint64_t fileid)
{
	struct node *node = node_find(view, fileid);

	if (node && node_is_idle(node))
		node_close(view, node);
}

void node_close_all(struct view *view)
{
	for (unsigned int i = 0; i < VIEW_NODE_SLOTS; i++)
		while (view->nodes[i]) {
			struct node *node = view->nodes[i];

			node_unhash(view, node);
			node_free(node);
		}
}

void node_detach(struct view *view, struct node *node)
{
	node_unhash(view, node);
	node->dead = true;
	if (!node->flight && !node->cutting)
		node_free(node);
}

int node_mend(struct view *view, struct inode *inode)
{
	struct node *node = inode->node;

	if (!node || !node->broken)
		return 0;
	ASSERT(!node->dirty && !node->flight && !node->cutting);
	node_detach(view, node);
	inode->node = NULL;
	return node_open(view, inode);
}

/* --- waiting for quiet --------------------------------------------------- */

/* Unlink all that are parked; they are woken after the lock is dropped. */
static struct view_wait *node_take_waits(struct node *node)
{
	struct view_wait *waits = node->waits;

	node->waits = NULL;
	for (struct view_wait *w = waits; w; w = w->next)
		__atomic_store_n(&w->kind, WAIT_IDLE, __ATOMIC_RELEASE);
	return waits;
}

static void node_wake(struct view_wait *wait)
{
	while (wait) {
		struct view_wait *next = wait->next;

		wait->wake(wait);
		wait = next;
	}
}

/* --- flights ------------------------------------------------------------- */

struct flight {
	struct pool_job job;
	struct view *view;
	struct node *node;
	struct view_change *changes; /* to be settled by this round */
	struct kv_batch *batch;      /* owns */
	struct record_data_state snap;
	bool new_file;
	bool new_dir; /* of the new file: its name is not surely on disk */
};

/* Only the top layer gets new files; of another one nothing is known. */
static bool *data_dir_synced(struct view *view,
			     const struct record_data_state *data)
{
	struct layer *top = view_top(view);

	return top->id == data->layer
		   ? &top->dirs_synced[data->data_id & (DATA_DIRS - 1)]
		   : NULL;
}

/* 1. Under the lock: what this round makes stable. */
static void flight_snapshot(struct flight *f)
{
	struct node *node = f->node;
	const bool *synced;

	f->changes = node->commits;
	node->commits = NULL;
	node->commits_last = &node->commits;
	f->snap = node->rec.data;
	f->snap.cut =
	    RECORD_NO_CUT; /* the sync covers a cut that was applied */
	f->new_file = node->new_file;
	synced = data_dir_synced(f->view, &f->snap);
	f->new_dir = f->new_file && !(synced && *synced);
	node->new_file = false;
	node->dirty = false;
	kv_batch_clear(f->batch);
	pages_save(&node->pages, f->batch, view_top(f->view)->id, node->fileid);
}

/* 2. No lock held: the bytes, and the name of a new host file. */
static int flight_sync(struct flight *f)
{
	char dir[640];
#ifdef BROKEN_NO_DATA_SYNC
	int rc = 0; /* a control of the power-cut test */
#else
	int rc = io_sync(f->node->fd);
#endif

#ifdef BROKEN_IGNORE_SYNC
	rc = 0; /* the control of the fault sweep */
#endif
	data_dir(f->view, f->snap.layer, f->snap.data_id, dir, sizeof(dir));
	if (rc == 0 && f->new_file)
		rc = io_sync_dir(dir);
	if (rc == 0 && f->new_dir) {
		*strrchr(dir, '/') = '\0';
		rc = io_sync_dir(dir);
	}
	if (rc < 0)
		return log_err(rc, "delta %s: sync of host file %016llx",
			       f->view->info.path,
			       (unsigned long long)f->snap.data_id);
	return 0;
}

/* 3. Under the lock: record and presence in one batch. */
static int flight_write(struct flight *f)
{
	struct view *view = f->view;
	struct node *node = f->node;
	struct layer *top = view_top(view);
	struct record rec = node->rec;
	uint8_t value[RECORD_INODE_LEN];
	struct record_key key;
	bool *synced;
	int rc;

	synced = data_dir_synced(view, &f->snap);
	if (synced)
		*synced |= f->new_dir;
	if (node->dead)
		return 0;
	rec.data = f->snap;
	inode_bound(view, &rec, false);
	record_encode(&rec, value);
	record_key_inode(&key, top->id, node->fileid);
	kv_batch_put(f->batch, key.bytes, key.len, value, sizeof(value));
	if (node->saved.kind == RECORD_DATA_INLINE) {
		record_key_data(&key, top->id, node->fileid);
		kv_batch_delete(f->batch, key.bytes, key.len);
	}
	if (node->saved.kind != RECORD_DATA_HOST) {
		record_key_reap(&key, top->id, f->snap.data_id);
		kv_batch_delete(f->batch, key.bytes, key.len);
	}
	rc = view_hold_record(view, &rec);
	if (rc == 0)
		rc = kv_write(view->kv, f->batch);
	if (rc < 0)
		return rc;
	KILL_POINT("flight-written");
	view_add_record(view, node->fileid);
	recent_drop(&top->recent, node->fileid);
	node->recorded = true;
	node->saved = f->snap;
	node->rec.ctime_bound = rec.ctime_bound;
	node->rec.data.cut = RECORD_NO_CUT;
	return 0;
}

/* The bytes since the last sync may be gone, those among them that no guest
 * sends again: what came out of the database or the package.  The file is
 * again what its record says; a new host file is reaped at the next start. */
static void flight_lost(struct flight *f)
{
	struct node *node = f->node;
	int64_t used = (int64_t)node->rec.data.used;

	view_account(f->view, (int64_t)node->saved.used - used, 0);
	f->view->since = time_after(&node->rec.ctime); /* rule N-13 */
	node_detach(f->view, node);
}

/*
 * What was not made stable is dirty again, or, when it was the sync that
 * failed, lost; whoever sent it sends it anew, since the verifier has changed
 * (rule N-02).  Those who wait for the next round fail with this one: their
 * bytes may be among those that the kernel has given up, and a second sync that
 * succeeds proves nothing.
 */
static void flight_failed(struct flight *f, bool synced)
{
	struct node *node = f->node;
	struct view_change **last = &f->changes;

	while (*last)
		last = &(*last)->next;
	*last = node->commits;
	node->commits = NULL;
	node->commits_last = &node->commits;
	view_new_verifier(f->view);
	if (!synced) {
		flight_lost(f);
		return;
	}
	pages_unsave(&node->pages);
	node->dirty = true;
	node->new_file |= f->new_file;
}

static void flight_settle(struct flight *f, int rc)
{
	while (f->changes) {
		struct view_change *change = f->changes;

		f->changes = change->next;
		if (rc < 0)
			change->settled(change, rc);
		else
			change_submit(f->view, change);
	}
}

static void flight_run(struct pool_job *job)
{
	struct flight *f = container_of(job, struct flight, job);
	struct view *view = f->view;
	struct node *node = f->node;
	struct view_wait *waits = NULL;
	bool again = true;

	while (again) {
		bool synced;
		int rc;

		pthread_rwlock_wrlock(&view->lock);
		flight_snapshot(f);
		pthread_rwlock_unlock(&view->lock);
		rc = flight_sync(f);
		synced = rc == 0;
		KILL_POINT("flight-synced");
		pthread_rwlock_wrlock(&view->lock);
		if (rc == 0)
			rc = flight_write(f);
		if (rc < 0 && !node->dead)
			flight_failed(f, synced);
		again = node->commits != NULL;
		if (!again) {
			node->flight = false;
			waits = node_take_waits(node);
			if (node->dead)
				node_free(node);
		}
		pthread_rwlock_unlock(&view->lock);
		flight_settle(f, rc);
	}
	node_wake(waits);
	kv_batch_free(f->batch);
	free(f);
	view_flight_end(view);
}

static int flight_start(struct view *view, struct node *node)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->batch = kv_batch_new();
	if (!f->batch) {
		free(f);
		return -ENOMEM;
	}
	f->view = view;
	f->node = node;
	f->job.run = flight_run;
	node->flight = true;
	view_flight_begin(view);
	pool_submit(depot_pool(view->depot), &f->job);
	return 0;
}

void node_flush(struct view *view, struct node *node)
{
	if (flight_start(view, node) < 0)
		log_warn("delta %s: no memory for a commit", view->info.path);
}

int node_park(struct view *view, struct node *node, struct view_wait *wait)
{
	int rc = 0;

	if (node->broken)
		return -EIO;
	if (!node->flight && !node->cutting)
		rc = flight_start(view, node);
	if (rc < 0)
		return rc;
	wait->view = view;
	wait->node = node;
	wait->next = node->waits;
	__atomic_store_n(&wait->kind, WAIT_NODE, __ATOMIC_RELEASE);
	node->waits = wait;
	return -EINPROGRESS;
}

void node_commit(struct view *view, struct node *node,
		 struct view_change *change)
{
	change->pending = true;
	change->next = NULL;
	*node->commits_last = change;
	node->commits_last = &change->next;
	/* Without memory the call stays queued for the next commit. */
	if (!node->flight && flight_start(view, node) < 0)
		log_warn("delta %s: no memory for a commit", view->info.path);
}

/* --- cuts ---------------------------------------------------------------- */

struct cut {
	struct journal_entry entry;
	struct pool_job job;
	struct view *view;
	struct node *node;
	uint64_t size;
};

static void cut_run(struct pool_job *job)
{
	struct cut *cut = container_of(job, struct cut, job);
	struct view *view = cut->view;
	struct node *node = cut->node;
	int rc = data_cut(node->fd, cut->size);
	struct view_wait *waits;

	pthread_rwlock_wrlock(&view->lock);
	node->cutting = false;
	if (rc < 0) {
		node->broken = true;
		log_err(rc, "delta %s: cutting host file %016llx",
			view->info.path,
			(unsigned long long)node->rec.data.data_id);
	}
	waits = node_take_waits(node);
	if (node->dead && !node->flight)
		node_free(node);
	pthread_rwlock_unlock(&view->lock);
	node_wake(waits);
	free(cut);
	view_flight_end(view);
}

static void cut_stable(struct journal_entry *entry)
{
	struct cut *cut = container_of(entry, struct cut, entry);

	KILL_POINT("cut-stable");
	pool_submit(depot_pool(cut->view->depot), &cut->job);
}

void node_cut(struct view *view, struct node *node)
{
	struct cut *cut = calloc(1, sizeof(*cut));

	ASSERT(!node->flight && !node->cutting);
	if (!cut) {
		/* The record says it; opening the file again repeats it. */
		node->broken = true;
		return;
	}
	cut->view = view;
	cut->node = node;
	cut->size = node->rec.data.cut;
	cut->entry.run = cut_stable;
	cut->job.run = cut_run;
	node->cutting = true;
	view_flight_begin(view);
	journal_submit(view->journal, &cut->entry);
}
