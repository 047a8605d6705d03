/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_view: nodes in a table by fileid, entries in a hash by (directory,
 * name) and in a list per directory.
 */
#include "tests/fake/fake_view.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/stat.h>

enum {
	FAKE_NODES_MAX = 1 << 14,
	FAKE_BUCKETS = 4096,
	FAKE_ROOT = 1,
	FAKE_FILE_MAX = 1 << 24,
	FAKE_CHUNK = 64 << 10, /* reads come in such pieces */
};

struct fake_entry {
	TAILQ_ENTRY(fake_entry) dir_link;
	LIST_ENTRY(fake_entry) bucket_link;
	uint64_t dir, cookie;
	struct fake_node *node;
	size_t name_len;
	char name[VIEW_NAME_MAX];
};

struct fake_node {
	struct view_attr attr;
	uint64_t parent;
	uint64_t verifier;
	bool exclusive;
	uint8_t *data; /* owns when copied */
	bool copied;
	TAILQ_HEAD(, fake_entry) entries; /* of a directory, by cookie */
};

struct view {
	pthread_rwlock_t lock;
	struct view_info info;
	struct site_access access;
	bool paused;
	struct fake_node *nodes[FAKE_NODES_MAX];
	uint64_t next_fileid, next_cookie;
	int64_t clock;
	LIST_HEAD(, fake_entry) buckets[FAKE_BUCKETS];
	unsigned int hold, changes;
	bool fetched;
	int fail, pins;
	bool pend, late;
	struct view_wait *waits;
	struct view_change *pending;
	struct {
		size_t len;
		uint8_t bytes[VIEW_REPLY_MAX];
	} * replies[VIEW_REPLY_SLOTS];
};

/* --- the tree ------------------------------------------------------------ */

static struct timespec fake_now(struct view *view)
{
	return (struct timespec){.tv_sec = 1700000000,
				 .tv_nsec = ++view->clock};
}

static struct fake_node *fake_node_new(struct view *view, uint32_t mode)
{
	struct fake_node *node = calloc(1, sizeof(*node));

	ASSERT(node && view->next_fileid < FAKE_NODES_MAX);
	node->attr.fileid = view->next_fileid++;
	node->attr.generation = node->attr.fileid == FAKE_ROOT ? 0 : 1;
	node->attr.mode = mode;
	node->attr.nlink = S_ISDIR(mode) ? 2 : 1;
	node->attr.mtime = node->attr.ctime = node->attr.atime = fake_now(view);
	TAILQ_INIT(&node->entries);
	view->nodes[node->attr.fileid] = node;
	return node;
}

static void fake_node_free(struct view *view, struct fake_node *node)
{
	view->nodes[node->attr.fileid] = NULL;
	if (node->copied)
		free(node->data);
	free(node);
}

static struct fake_node *fake_node_get(struct view *view,
				       struct view_object obj)
{
	struct fake_node *node;

	if (obj.fileid >= FAKE_NODES_MAX)
		return NULL;
	node = view->nodes[obj.fileid];
	return node && node->attr.generation == obj.generation ? node : NULL;
}

static unsigned int fake_bucket(uint64_t dir, const char *name, size_t len)
{
	uint64_t h = dir * 0x9e3779b97f4a7c15ull;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ull;
	return (unsigned int)((h >> 32) % FAKE_BUCKETS);
}

static struct fake_entry *fake_find(struct view *view, uint64_t dir,
				    const char *name, size_t len)
{
	struct fake_entry *entry;

	LIST_FOREACH(entry, &view->buckets[fake_bucket(dir, name, len)],
		     bucket_link)
	if (entry->dir == dir && entry->name_len == len &&
	    memcmp(entry->name, name, len) == 0)
		return entry;
	return NULL;
}

static void fake_enter(struct view *view, struct fake_node *dir,
		       const char *name, size_t len, struct fake_node *node)
{
	struct fake_entry *entry = calloc(1, sizeof(*entry));

	ASSERT(entry && len <= VIEW_NAME_MAX);
	entry->dir = dir->attr.fileid;
	entry->cookie = view->next_cookie++;
	entry->node = node;
	entry->name_len = len;
	memcpy(entry->name, name, len);
	TAILQ_INSERT_TAIL(&dir->entries, entry, dir_link);
	LIST_INSERT_HEAD(&view->buckets[fake_bucket(entry->dir, name, len)],
			 entry, bucket_link);
	if (S_ISDIR(node->attr.mode)) {
		node->parent = dir->attr.fileid;
		dir->attr.nlink++;
	}
}

static void fake_leave(struct view *view, struct fake_node *dir,
		       struct fake_entry *entry)
{
	TAILQ_REMOVE(&dir->entries, entry, dir_link);
	LIST_REMOVE(entry, bucket_link);
	if (S_ISDIR(entry->node->attr.mode))
		dir->attr.nlink--;
	(void)view;
	free(entry);
}

struct view *fake_view_new(uint32_t export_id, const char *path,
			   const char *addr)
{
	struct view *view = calloc(1, sizeof(*view));

	ASSERT(view);
	pthread_rwlock_init(&view->lock, NULL);
	view->next_fileid = FAKE_ROOT;
	view->next_cookie = 1000;
	view->info.export_id = export_id;
	view->info.verifier = 0x1122334455667788ull;
	memset(view->info.key, (int)export_id, sizeof(view->info.key));
	snprintf(view->info.path, sizeof(view->info.path), "%s", path);
	view->access.export_id = export_id;
	snprintf(view->access.addr, sizeof(view->access.addr), "%s", addr);
	fake_node_new(view, S_IFDIR | 0755)->parent = FAKE_ROOT;
	return view;
}

void fake_view_free(struct view *view)
{
	ASSERT(!view->waits && !view->pending && view->pins == 0);

	for (unsigned int i = 0; i < FAKE_NODES_MAX; i++) {
		struct fake_node *node = view->nodes[i];
		struct fake_entry *entry;

		while (node && (entry = TAILQ_FIRST(&node->entries)))
			fake_leave(view, node, entry);
	}
	for (unsigned int i = 0; i < FAKE_NODES_MAX; i++)
		if (view->nodes[i])
			fake_node_free(view, view->nodes[i]);
	for (unsigned int i = 0; i < VIEW_REPLY_SLOTS; i++)
		free(view->replies[i]);
	pthread_rwlock_destroy(&view->lock);
	free(view);
}

struct view_info *fake_view_info(struct view *view)
{
	return &view->info;
}

struct site_access *fake_view_access(struct view *view)
{
	return &view->access;
}

uint64_t fake_view_add_file(struct view *view, uint64_t dir, const char *name,
			    const void *data, size_t len)
{
	struct fake_node *node = fake_node_new(view, S_IFREG | 0644);

	node->data = (uint8_t *)(uintptr_t)data;
	node->attr.size = node->attr.used = len;
	fake_enter(view, view->nodes[dir], name, strlen(name), node);
	return node->attr.fileid;
}

uint64_t fake_view_add_dir(struct view *view, uint64_t dir, const char *name)
{
	struct fake_node *node = fake_node_new(view, S_IFDIR | 0755);

	fake_enter(view, view->nodes[dir], name, strlen(name), node);
	return node->attr.fileid;
}

struct view_attr *fake_view_attr(struct view *view, uint64_t fileid)
{
	return &view->nodes[fileid]->attr;
}

/* --- what tests ask for -------------------------------------------------- */

void fake_view_hold(struct view *view, unsigned int count)
{
	__atomic_store_n(&view->hold, count, __ATOMIC_RELAXED);
}

void fake_view_fetched(struct view *view, bool fetched)
{
	__atomic_store_n(&view->fetched, fetched, __ATOMIC_RELAXED);
}

unsigned int fake_view_wake(struct view *view)
{
	struct view_wait *wait;
	unsigned int count = 0;

	pthread_rwlock_wrlock(&view->lock);
	wait = STEAL(view->waits);
	pthread_rwlock_unlock(&view->lock);
	while (wait) {
		struct view_wait *next = wait->next;

		wait->kind = 0;
		wait->wake(wait);
		wait = next;
		count++;
	}
	return count;
}

void fake_view_late_wake(struct view *view, bool late)
{
	view->late = late;
}

void fake_view_pend(struct view *view, bool pend)
{
	view->pend = pend;
}

unsigned int fake_view_settle(struct view *view, int rc)
{
	struct view_change *change;
	unsigned int count = 0;

	pthread_rwlock_wrlock(&view->lock);
	change = STEAL(view->pending);
	pthread_rwlock_unlock(&view->lock);
	while (change) {
		struct view_change *next = change->next;

		change->settled(change, rc);
		change = next;
		count++;
	}
	return count;
}

void fake_view_fail(struct view *view, int rc)
{
	view->fail = rc;
}

unsigned int fake_view_changes(const struct view *view)
{
	return view->changes;
}

unsigned int fake_view_pins(const struct view *view)
{
	return (unsigned int)view->pins;
}

unsigned int fake_view_waits(const struct view *view)
{
	unsigned int count = 0;

	for (const struct view_wait *w = view->waits; w; w = w->next)
		count++;
	return count;
}

void fake_view_set_reply(struct view *view, uint32_t slot, const void *record,
			 size_t len)
{
	ASSERT(slot < VIEW_REPLY_SLOTS && len <= VIEW_REPLY_MAX);
	if (!view->replies[slot])
		view->replies[slot] = calloc(1, sizeof(*view->replies[slot]));
	ASSERT(view->replies[slot]);
	view->replies[slot]->len = len;
	if (len > 0)
		memcpy(view->replies[slot]->bytes, record, len);
}

size_t fake_view_get_reply(struct view *view, uint32_t slot,
			   const uint8_t **record)
{
	if (!view->replies[slot])
		return 0;
	*record = view->replies[slot]->bytes;
	return view->replies[slot]->len;
}

/* --- waits --------------------------------------------------------------- */

void view_wait_init(struct view_wait *wait)
{
	memset(wait, 0, sizeof(*wait));
}

bool view_wait_cancel(struct view_wait *wait)
{
	struct view *view = wait->view;
	struct view_wait **at;
	bool found = false;

	pthread_rwlock_wrlock(&view->lock);
	for (at = &view->waits; *at && !view->late; at = &(*at)->next) {
		if (*at == wait) {
			*at = wait->next;
			found = true;
			break;
		}
	}
	pthread_rwlock_unlock(&view->lock);
	return found;
}

void view_wait_release(struct view_wait *wait)
{
	(void)wait;
}

/* Under the lock: does this operation lack bytes? */
static bool fake_lacks(struct view *view, struct view_wait *wait)
{
	if (__atomic_load_n(&view->hold, __ATOMIC_RELAXED) == 0)
		return false;
	__atomic_store_n(&view->hold, view->hold - 1, __ATOMIC_RELAXED);
	wait->view = view;
	wait->next = view->waits;
	view->waits = wait;
	return true;
}

static int fake_begin(struct view *view)
{
	/* Readers share the lock: write only when there is something. */
	int rc = view->fail;

	if (rc)
		view->fail = 0;
	return rc;
}

/* --- reading ------------------------------------------------------------- */

const struct view_info *view_get_info(const struct view *view)
{
	return &view->info;
}

void view_mounted(struct view *view UNUSED)
{
}

bool view_is_paused(const struct view *view)
{
	return view->paused;
}

void fake_view_pause(struct view *view, bool pause)
{
	view->paused = pause;
}

struct view_object view_root(struct view *view)
{
	return (struct view_object){
	    .fileid = FAKE_ROOT,
	    .generation = view->nodes[FAKE_ROOT]->attr.generation,
	};
}

int view_getattr(struct view *view, struct view_object obj,
		 struct view_attr *attr)
{
	struct fake_node *node;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0)
		*attr = node->attr;
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

unsigned int view_permissions(const struct view_attr *attr,
			      const struct view_cred *cred)
{
	unsigned int bits = attr->mode & 7;
	bool member = cred->gid == attr->gid;

	if (cred->uid == 0)
		return VIEW_MAY_READ | VIEW_MAY_WRITE |
		       (attr->mode & 0111 || S_ISDIR(attr->mode) ? VIEW_MAY_EXEC
								 : 0);
	for (unsigned int i = 0; i < cred->group_count; i++)
		member |= cred->groups[i] == attr->gid;
	if (cred->uid == attr->uid)
		bits = attr->mode >> 6 & 7;
	else if (member)
		bits = attr->mode >> 3 & 7;
	return bits;
}

int view_lookup(struct view *view, const struct view_cred *cred,
		struct view_object dir, const char *name, size_t name_len,
		struct view_attr *attr, struct view_attr *dir_attr)
{
	struct fake_node *node, *found = NULL;
	struct fake_entry *entry;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, dir);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && !S_ISDIR(node->attr.mode))
		rc = -ENOTDIR;
	if (node)
		*dir_attr = node->attr;
	if (rc == 0 && !(view_permissions(&node->attr, cred) & VIEW_MAY_EXEC))
		rc = -EACCES;
	if (rc == 0) {
		if (name_len == 1 && name[0] == '.') {
			found = node;
		} else if (name_len == 2 && memcmp(name, "..", 2) == 0) {
			found = view->nodes[node->parent];
		} else {
			entry =
			    fake_find(view, node->attr.fileid, name, name_len);
			found = entry ? entry->node : NULL;
		}
		if (found)
			*attr = found->attr;
		else
			rc = -ENOENT;
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_readlink(struct view *view, struct view_object obj, char *buf,
		  size_t *len, struct view_attr *attr)
{
	struct fake_node *node;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && !S_ISLNK(node->attr.mode))
		rc = -EINVAL;
	if (rc == 0) {
		*len = node->attr.size;
		memcpy(buf, node->data, *len);
		*attr = node->attr;
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static void fake_pieces(struct view *view, struct fake_node *node, uint64_t off,
			size_t len, struct view_read *read)
{
	read->iov_count = 0;
	read->buf = NULL;
	read->len = len;
	read->eof = off + len >= node->attr.size;
	read->attr = node->attr;
	while (len > 0) {
		size_t part = MIN(len, FAKE_CHUNK - off % FAKE_CHUNK);

		read->iov[read->iov_count++] = (struct iovec){
		    .iov_base = node->data + off,
		    .iov_len = part,
		};
		off += part;
		len -= part;
	}
	if (read->iov_count > 0)
		__atomic_add_fetch(&view->pins, 1, __ATOMIC_RELAXED);
}

int view_read(struct view *view, const struct view_cred *cred,
	      struct view_object obj, uint64_t off, size_t len,
	      struct view_wait *wait, struct view_read *read)
{
	struct fake_node *node;
	int rc;

	(void)cred;
	if (__atomic_load_n(&view->hold, __ATOMIC_RELAXED) > 0)
		pthread_rwlock_wrlock(&view->lock);
	else
		pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && !S_ISREG(node->attr.mode))
		rc = S_ISDIR(node->attr.mode) ? -EISDIR : -EINVAL;
	if (rc == 0 && fake_lacks(view, wait))
		rc = -EINPROGRESS;
	if (rc == 0) {
		off = MIN(off, node->attr.size);
		wait->view = view;
		read->fetched =
		    __atomic_load_n(&view->fetched, __ATOMIC_RELAXED);
		fake_pieces(view, node, off, MIN(len, node->attr.size - off),
			    read);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

void view_read_release(struct view_read *read, struct view_wait *wait)
{
	if (read->iov_count > 0)
		__atomic_sub_fetch(&wait->view->pins, 1, __ATOMIC_RELAXED);
	read->iov_count = 0;
}

static bool fake_emit(bool (*emit)(void *, const struct view_dirent *),
		      void *ctx, const char *name, size_t name_len,
		      uint64_t cookie, const struct fake_node *node,
		      bool want_attr)
{
	struct view_dirent ent = {
	    .cookie = cookie,
	    .name = name,
	    .name_len = name_len,
	    .attr = want_attr ? &node->attr : NULL,
	    .fileid = node->attr.fileid,
	    .generation = node->attr.generation,
	};

	return emit(ctx, &ent);
}

static bool fake_list(struct view *view, struct fake_node *node,
		      uint64_t cookie, bool want_attr,
		      bool (*emit)(void *, const struct view_dirent *),
		      void *ctx)
{
	struct fake_entry *entry;

	if (cookie < 1 && !fake_emit(emit, ctx, ".", 1, 1, node, want_attr))
		return false;
	if (cookie < 2 && !fake_emit(emit, ctx, "..", 2, 2,
				     view->nodes[node->parent], want_attr))
		return false;
	TAILQ_FOREACH(entry, &node->entries, dir_link)
	if (entry->cookie > cookie &&
	    !fake_emit(emit, ctx, entry->name, entry->name_len, entry->cookie,
		       entry->node, want_attr))
		return false;
	return true;
}

int view_readdir(struct view *view, const struct view_cred *cred,
		 struct view_object dir, uint64_t cookie, bool want_attr,
		 bool (*emit)(void *ctx, const struct view_dirent *ent),
		 void *ctx, bool *eof, struct view_attr *dir_attr)
{
	struct fake_node *node;
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, dir);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && !S_ISDIR(node->attr.mode))
		rc = -ENOTDIR;
	if (rc == 0 && !(view_permissions(&node->attr, cred) & VIEW_MAY_READ))
		rc = -EACCES;
	if (rc == 0) {
		*dir_attr = node->attr;
		*eof = fake_list(view, node, cookie, want_attr, emit, ctx);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_statfs(struct view *view, struct view_statfs *statfs)
{
	(void)view;
	*statfs = (struct view_statfs){1000, 600, 500, 100, 60, 50};
	return 0;
}

/* --- changing ------------------------------------------------------------ */

static void fake_before(struct view_wcc *wcc, const struct fake_node *node)
{
	wcc->has_before = true;
	wcc->before_size = node->attr.size;
	wcc->before_mtime = node->attr.mtime;
	wcc->before_ctime = node->attr.ctime;
}

static void fake_after(struct view *view, struct view_wcc *wcc,
		       struct fake_node *node)
{
	node->attr.mtime = node->attr.ctime = fake_now(view);
	wcc->has_after = true;
	wcc->after = node->attr;
}

/* The end of a change, under the lock: record, and settled or not. */
static int fake_commit(struct view *view, struct view_change *change)
{
	uint8_t record[VIEW_REPLY_MAX];
	uint32_t slot = 0;
	size_t len = 0;

	view->changes++;
	if (change->reply)
		len = change->reply(change, &change->done, record, &slot);
	if (len > 0)
		fake_view_set_reply(view, slot, record, len);
	change->pending = view->pend;
	if (view->pend) {
		change->next = view->pending;
		view->pending = change;
	}
	return 0;
}

/* Locks; on an error (returned) the lock is dropped again. */
static int fake_open_dir(struct view *view, const struct view_cred *cred,
			 struct view_object obj, struct fake_node **dir)
{
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = fake_begin(view);
	*dir = fake_node_get(view, obj);
	if (rc == 0 && !*dir)
		rc = -ESTALE;
	if (rc == 0 && !S_ISDIR((*dir)->attr.mode))
		rc = -ENOTDIR;
	if (rc == 0 &&
	    !(view_permissions(&(*dir)->attr, cred) & VIEW_MAY_WRITE))
		rc = -EACCES;
	if (rc < 0)
		pthread_rwlock_unlock(&view->lock);
	return rc;
}

static void fake_resize(struct fake_node *node, size_t size)
{
	uint8_t *data = calloc(1, size + 1);

	ASSERT(data);
	if (node->attr.size > 0)
		memcpy(data, node->data, MIN(size, node->attr.size));
	if (node->copied)
		free(node->data);
	node->data = data;
	node->copied = true;
	node->attr.size = node->attr.used = size;
}

static int fake_apply(struct view *view, struct fake_node *node,
		      const struct view_setattr *set)
{
	if (set->mask & VIEW_SET_SIZE) {
		if (!S_ISREG(node->attr.mode))
			return -EINVAL;
		if (set->size > FAKE_FILE_MAX)
			return -ENOSPC;
		fake_resize(node, set->size);
	}
	if (set->mask & VIEW_SET_MODE)
		node->attr.mode = (node->attr.mode & S_IFMT) | set->mode;
	if (set->mask & VIEW_SET_UID)
		node->attr.uid = set->uid;
	if (set->mask & VIEW_SET_GID)
		node->attr.gid = set->gid;
	if (set->mask & VIEW_SET_ATIME)
		node->attr.atime = set->atime;
	if (set->mask & VIEW_SET_MTIME)
		node->attr.mtime = set->mtime;
	node->attr.ctime = fake_now(view);
	return 0;
}

static int fake_setattr(struct view *view, const struct view_cred *cred,
			struct fake_node *node, const struct view_setattr *set,
			const struct timespec *guard,
			struct view_change *change)
{
	struct view_wcc *wcc = &change->done.wcc[0];
	int rc;

	if (guard && (guard->tv_sec != node->attr.ctime.tv_sec ||
		      guard->tv_nsec != node->attr.ctime.tv_nsec))
		return -EAGAIN;
	if (cred->uid != 0 &&
	    (cred->uid != node->attr.uid || (set->mask & VIEW_SET_UID)))
		return -EPERM;
	fake_before(wcc, node);
	rc = fake_apply(view, node, set);
	if (rc < 0)
		return rc;
	wcc->has_after = true;
	wcc->after = change->done.attr = node->attr;
	return fake_commit(view, change);
}

int view_setattr(struct view *view, const struct view_cred *cred,
		 struct view_object obj, const struct view_setattr *set,
		 const struct timespec *guard, struct view_wait *wait,
		 struct view_change *change)
{
	struct fake_node *node;
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && fake_lacks(view, wait))
		rc = -EINPROGRESS;
	if (rc == 0)
		rc = fake_setattr(view, cred, node, set, guard, change);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

/* Under the lock: a new node of this mode, or -EEXIST. */
static int fake_make(struct view *view, const struct view_cred *cred,
		     struct fake_node *dir, const char *name, size_t name_len,
		     uint32_t type, const struct view_setattr *set,
		     struct fake_node **made, struct view_change *change)
{
	struct view_wcc *wcc = &change->done.wcc[0];
	struct view_setattr own = *set;

	fake_before(wcc, dir);
	if (fake_find(view, dir->attr.fileid, name, name_len))
		return -EEXIST;
	if (view->next_fileid == FAKE_NODES_MAX)
		return -ENOSPC;
	*made = fake_node_new(view, type | (S_ISDIR(type) ? 0755 : 0644));
	(*made)->attr.uid = cred->uid;
	fake_enter(view, dir, name, name_len, *made);
	if (cred->uid != 0)
		own.mask &= ~(unsigned int)VIEW_SET_UID;
	if (fake_apply(view, *made, &own) < 0)
		(*made)->attr.size = 0;
	fake_after(view, wcc, dir);
	change->done.attr = (*made)->attr;
	return 0;
}

/* UNCHECKED on a file that exists. */
static int fake_resize_over(struct view *view, struct fake_node *node,
			    uint64_t size, struct view_change *change)
{
	struct view_setattr only = {.mask = VIEW_SET_SIZE, .size = size};
	int rc = fake_apply(view, node, &only);

	change->done.attr = node->attr;
	return rc < 0 ? rc : fake_commit(view, change);
}

int view_create(struct view *view, const struct view_cred *cred,
		struct view_object dir_obj, const char *name, size_t name_len,
		enum view_create_how how, const struct view_setattr *set,
		uint64_t verifier, struct view_wait *wait,
		struct view_change *change)
{
	struct fake_node *dir, *node;
	struct fake_entry *entry;
	int rc;

	rc = fake_open_dir(view, cred, dir_obj, &dir);
	if (rc < 0)
		return rc;
	entry = fake_find(view, dir->attr.fileid, name, name_len);
	if (fake_lacks(view, wait)) {
		rc = -EINPROGRESS;
	} else if (!entry) {
		rc = fake_make(view, cred, dir, name, name_len, S_IFREG, set,
			       &node, change);
		if (rc == 0 && how == VIEW_CREATE_EXCLUSIVE) {
			node->verifier = verifier;
			node->exclusive = true;
		}
		if (rc == 0)
			rc = fake_commit(view, change);
	} else {
		node = entry->node;
		fake_before(&change->done.wcc[0], dir);
		change->done.wcc[0].has_after = true;
		change->done.wcc[0].after = dir->attr;
		if (how == VIEW_CREATE_GUARDED ||
		    (how == VIEW_CREATE_EXCLUSIVE &&
		     (!node->exclusive || node->verifier != verifier)))
			rc = -EEXIST;
		else if (!S_ISREG(node->attr.mode))
			rc = -EEXIST;
		else if (how == VIEW_CREATE_UNCHECKED &&
			 (set->mask & VIEW_SET_SIZE))
			rc = fake_resize_over(view, node, set->size, change);
		else
			change->done.attr = node->attr;
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_mknod(struct view *view, const struct view_cred *cred,
	       struct view_object dir_obj, const char *name, size_t name_len,
	       uint32_t type, const struct view_setattr *set,
	       uint32_t rdev_major, uint32_t rdev_minor,
	       struct view_change *change)
{
	struct fake_node *dir, *node;
	int rc;

	if ((S_ISCHR(type) || S_ISBLK(type)) && !view->info.allow_devices)
		return -EPERM;
	rc = fake_open_dir(view, cred, dir_obj, &dir);
	if (rc < 0)
		return rc;
	rc = fake_make(view, cred, dir, name, name_len, type, set, &node,
		       change);
	if (rc == 0) {
		node->attr.rdev_major = rdev_major;
		node->attr.rdev_minor = rdev_minor;
		change->done.attr = node->attr;
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_symlink(struct view *view, const struct view_cred *cred,
		 struct view_object dir_obj, const char *name, size_t name_len,
		 const char *target, size_t target_len,
		 const struct view_setattr *set, struct view_change *change)
{
	struct fake_node *dir, *node;
	int rc;

	rc = fake_open_dir(view, cred, dir_obj, &dir);
	if (rc < 0)
		return rc;
	rc = fake_make(view, cred, dir, name, name_len, S_IFLNK, set, &node,
		       change);
	if (rc == 0) {
		fake_resize(node, target_len);
		memcpy(node->data, target, target_len);
		change->done.attr = node->attr;
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_link(struct view *view, const struct view_cred *cred,
	      struct view_object obj, struct view_object dir_obj,
	      const char *name, size_t name_len, struct view_change *change)
{
	struct fake_node *dir, *node;
	int rc;

	rc = fake_open_dir(view, cred, dir_obj, &dir);
	if (rc < 0)
		return rc;
	node = fake_node_get(view, obj);
	if (!node)
		rc = -ESTALE;
	else if (S_ISDIR(node->attr.mode))
		rc = -EPERM;
	else if (fake_find(view, dir->attr.fileid, name, name_len))
		rc = -EEXIST;
	if (rc == 0) {
		fake_before(&change->done.wcc[0], dir);
		fake_enter(view, dir, name, name_len, node);
		node->attr.nlink++;
		fake_after(view, &change->done.wcc[0], dir);
		change->done.attr = node->attr;
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static void fake_unlink(struct view *view, struct fake_node *dir,
			struct fake_entry *entry)
{
	struct fake_node *node = entry->node;

	fake_leave(view, dir, entry);
	if (S_ISDIR(node->attr.mode) || --node->attr.nlink == 0)
		fake_node_free(view, node);
}

int view_remove(struct view *view, const struct view_cred *cred,
		struct view_object dir_obj, const char *name, size_t name_len,
		bool rmdir, struct view_change *change)
{
	struct fake_entry *entry;
	struct fake_node *dir;
	int rc;

	rc = fake_open_dir(view, cred, dir_obj, &dir);
	if (rc < 0)
		return rc;
	fake_before(&change->done.wcc[0], dir);
	entry = fake_find(view, dir->attr.fileid, name, name_len);
	if (!entry)
		rc = -ENOENT;
	else if (rmdir != S_ISDIR(entry->node->attr.mode))
		rc = rmdir ? -ENOTDIR : -EISDIR;
	else if (rmdir && !TAILQ_EMPTY(&entry->node->entries))
		rc = -ENOTEMPTY;
	if (rc == 0) {
		fake_unlink(view, dir, entry);
		fake_after(view, &change->done.wcc[0], dir);
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

static bool fake_is_below(struct view *view, uint64_t fileid, uint64_t above)
{
	while (fileid != FAKE_ROOT && fileid != above)
		fileid = view->nodes[fileid]->parent;
	return fileid == above;
}

static int fake_rename(struct view *view, struct fake_node *from_dir,
		       struct fake_entry *from, struct fake_node *to_dir,
		       const char *to, size_t to_len)
{
	struct fake_entry *target =
	    fake_find(view, to_dir->attr.fileid, to, to_len);
	struct fake_node *node = from->node;

	if (S_ISDIR(node->attr.mode) &&
	    fake_is_below(view, to_dir->attr.fileid, node->attr.fileid))
		return -EINVAL;
	if (target && target->node == node)
		return 0;
	if (target && S_ISDIR(target->node->attr.mode)) {
		if (!S_ISDIR(node->attr.mode))
			return -EISDIR;
		if (!TAILQ_EMPTY(&target->node->entries))
			return -ENOTEMPTY;
	} else if (target && S_ISDIR(node->attr.mode)) {
		return -ENOTDIR;
	}
	if (target)
		fake_unlink(view, to_dir, target);
	fake_leave(view, from_dir, from);
	fake_enter(view, to_dir, to, to_len, node);
	return 0;
}

int view_rename(struct view *view, const struct view_cred *cred,
		struct view_object from_obj, const char *from, size_t from_len,
		struct view_object to_obj, const char *to, size_t to_len,
		struct view_change *change)
{
	struct view_wcc *wcc = change->done.wcc;
	struct fake_node *from_dir, *to_dir;
	struct fake_entry *entry;
	int rc;

	rc = fake_open_dir(view, cred, from_obj, &from_dir);
	if (rc < 0)
		return rc;
	to_dir = fake_node_get(view, to_obj);
	fake_before(&wcc[0], from_dir);
	entry = fake_find(view, from_dir->attr.fileid, from, from_len);
	if (!to_dir)
		rc = -ESTALE;
	else if (!S_ISDIR(to_dir->attr.mode))
		rc = -ENOTDIR;
	else if (!entry)
		rc = -ENOENT;
	if (rc == 0) {
		fake_before(&wcc[1], to_dir);
		rc = fake_rename(view, from_dir, entry, to_dir, to, to_len);
	}
	if (rc == 0) {
		fake_after(view, &wcc[0], from_dir);
		fake_after(view, &wcc[1], to_dir);
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_write(struct view *view, const struct view_cred *cred,
	       struct view_object obj, uint64_t off, const void *data,
	       size_t len, bool stable, struct view_wait *wait,
	       struct view_change *change)
{
	struct fake_node *node;
	int rc;

	(void)cred;
	pthread_rwlock_wrlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0 && !S_ISREG(node->attr.mode))
		rc = S_ISDIR(node->attr.mode) ? -EISDIR : -EINVAL;
	if (rc == 0 && off + len > FAKE_FILE_MAX)
		rc = -ENOSPC;
	if (rc == 0 && fake_lacks(view, wait))
		rc = -EINPROGRESS;
	if (rc == 0) {
		fake_before(&change->done.wcc[0], node);
		if (len > 0) {
			if (!node->copied || off + len > node->attr.size)
				fake_resize(node,
					    MAX(off + len, node->attr.size));
			memcpy(node->data + off, data, len);
		}
		fake_after(view, &change->done.wcc[0], node);
		change->done.attr = node->attr;
		change->done.written = len;
		change->done.stable = stable;
		change->done.verifier = view->info.verifier;
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_commit(struct view *view, struct view_object obj,
		struct view_change *change)
{
	struct fake_node *node;
	int rc;

	pthread_rwlock_wrlock(&view->lock);
	rc = fake_begin(view);
	node = fake_node_get(view, obj);
	if (rc == 0 && !node)
		rc = -ESTALE;
	if (rc == 0) {
		fake_before(&change->done.wcc[0], node);
		change->done.wcc[0].has_after = true;
		change->done.wcc[0].after = node->attr;
		rc = fake_commit(view, change);
	}
	pthread_rwlock_unlock(&view->lock);
	return rc;
}

int view_replies(struct view *view,
		 void (*visit)(void *ctx, uint32_t slot, const uint8_t *record,
			       size_t len),
		 void *ctx)
{
	int rc;

	pthread_rwlock_rdlock(&view->lock);
	rc = fake_begin(view);
	for (uint32_t i = 0; rc == 0 && i < VIEW_REPLY_SLOTS; i++)
		if (view->replies[i])
			visit(ctx, i, view->replies[i]->bytes,
			      view->replies[i]->len);
	pthread_rwlock_unlock(&view->lock);
	return rc;
}
