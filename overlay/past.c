/* SPDX-License-Identifier: Apache-2.0 */
/*
 * past: see past.h.  Keys and values of the state database, after the format
 * byte:
 *   'V' tenant 0 tree:32    seconds:8 nanoseconds:4 of the last switch that
 *                           took away something of the tree
 *   'M' tenant 0 dir:8      ctime:8+4 mtime:8+4; dir 0: the ctime that no
 *                           directory is earlier than
 */
#include "overlay/past.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/array.h"
#include "depot/log.h"
#include "depot/tree.h"
#include "overlay/each.h"
#include "overlay/selection.h"
#include "overlay/view_impl.h"

enum { PAST_TREE_LEN = 13, PAST_DIR_LEN = 25 };

struct past_dir {
	uint64_t fileid; /* 0: free */
	struct timespec ctime, mtime;
};
struct past_object {
	uint64_t fileid;      /* 0: free */
	uint32_t tree, inode; /* number in trees */
};
struct past_of_tree {
	struct tree *tree; /* ref */
	struct timespec since;
};

/* Open addressing; sizes are powers of two, or 0. */
struct past_table {
	struct timespec floor;
	struct past_dir *dirs; /* owns, as all here */
	uint32_t dir_count, dir_slots;
	struct past_object *objects;
	uint32_t object_count, object_slots;
	struct past_of_tree *trees;
	uint32_t tree_count;
};

struct past {
	struct depot *depot; /* borrows */
	char tenant[PACKAGE_NAME_MAX + 1];
	pthread_rwlock_t lock;
	struct past_table *table; /* owns; guarded by lock */
};

static unsigned int past_age; /* seconds; for tests */

void past_age_for_tests(unsigned int seconds)
{
	past_age = seconds;
}

/* --- tables --------------------------------------------------------------- */

static uint32_t past_slot(uint64_t fileid, uint32_t slots)
{
	return (uint32_t)(fileid * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
	       (slots - 1);
}

static struct past_dir *past_dir_slot(const struct past_table *t,
				      uint64_t fileid)
{
	uint32_t at = past_slot(fileid, t->dir_slots);

	while (t->dirs[at].fileid && t->dirs[at].fileid != fileid)
		at = (at + 1) & (t->dir_slots - 1);
	return &t->dirs[at];
}

static struct past_object *past_object_slot(const struct past_table *t,
					    uint64_t fileid)
{
	uint32_t at = past_slot(fileid, t->object_slots);

	while (t->objects[at].fileid && t->objects[at].fileid != fileid)
		at = (at + 1) & (t->object_slots - 1);
	return &t->objects[at];
}

static uint32_t past_slots(uint64_t count)
{
	uint32_t slots = 16;

	while (slots < 2 * count)
		slots *= 2;
	return slots;
}

/* Room for so many more; what is there moves over. */
static int past_room(struct past_table *t, uint64_t dirs, uint64_t objects)
{
	struct past_table old = *t;

	t->dir_slots = past_slots(old.dir_count + dirs);
	t->object_slots = past_slots(old.object_count + objects);
	t->dirs = calloc(t->dir_slots, sizeof(*t->dirs));
	t->objects = calloc(t->object_slots, sizeof(*t->objects));
	if (!t->dirs || !t->objects) {
		free(t->dirs);
		free(t->objects);
		*t = old;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < old.dir_slots; i++)
		if (old.dirs[i].fileid)
			*past_dir_slot(t, old.dirs[i].fileid) = old.dirs[i];
	for (uint32_t i = 0; i < old.object_slots; i++)
		if (old.objects[i].fileid)
			*past_object_slot(t, old.objects[i].fileid) =
			    old.objects[i];
	free(old.dirs);
	free(old.objects);
	return 0;
}

static void past_put_dir(struct past_table *t, uint64_t fileid,
			 const struct timespec *ctime,
			 const struct timespec *mtime)
{
	struct past_dir *dir = past_dir_slot(t, fileid);

	t->dir_count += dir->fileid == 0;
	dir->fileid = fileid;
	dir->ctime = *ctime;
	if (time_is_after(mtime, &dir->mtime))
		dir->mtime = *mtime;
}

static void past_put_object(struct past_table *t, uint64_t fileid,
			    uint32_t tree, uint32_t inode)
{
	struct past_object *object = past_object_slot(t, fileid);

	t->object_count += object->fileid == 0;
	*object = (struct past_object){fileid, tree, inode};
}

/* Number of a tree, which is entered when it is new (takes a reference). */
static int past_enter_tree(struct past_table *t, struct tree *tree,
			   const struct timespec *since, uint32_t *number)
{
	struct past_of_tree *bigger;

	for (*number = 0; *number < t->tree_count; ++*number)
		if (t->trees[*number].tree == tree ||
		    digest_equal(tree_digest(t->trees[*number].tree),
				 tree_digest(tree))) {
			t->trees[*number].since = *since;
			return 0;
		}
	bigger = realloc(t->trees, (t->tree_count + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->trees = bigger;
	t->trees[t->tree_count++] =
	    (struct past_of_tree){tree_get(tree), *since};
	return 0;
}

void past_table_free(struct past_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < table->tree_count; i++)
		tree_put(table->trees[i].tree);
	free(table->trees);
	free(table->dirs);
	free(table->objects);
	free(table);
}

/* Numbers of trees in the copy; *numbers is the caller's. */
static int past_copy_trees(const struct past_table *from, const bool *gone,
			   struct past_table *t, uint32_t **numbers)
{
	int rc = 0;

	*numbers = calloc(MAX(from->tree_count, 1u), sizeof(**numbers));
	if (!*numbers)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < from->tree_count; i++)
		if (!gone || !gone[i])
			rc = past_enter_tree(t, from->trees[i].tree,
					     &from->trees[i].since,
					     &(*numbers)[i]);
	return rc;
}

/* gone: by number of tree; what is of those is left out.  NULL: nothing. */
static int past_copy(const struct past_table *from, const bool *gone,
		     struct past_table **to)
{
	struct past_table *t = calloc(1, sizeof(*t));
	CLEANUP_FREE uint32_t *numbers = NULL;
	int rc =
	    t ? past_room(t, from->dir_count, from->object_count) : -ENOMEM;

	if (rc == 0)
		rc = past_copy_trees(from, gone, t, &numbers);
	if (rc < 0) {
		past_table_free(t);
		return rc;
	}
	t->floor = from->floor;
	for (uint32_t i = 0; i < from->dir_slots; i++)
		if (from->dirs[i].fileid)
			past_put_dir(t, from->dirs[i].fileid,
				     &from->dirs[i].ctime,
				     &from->dirs[i].mtime);
	for (uint32_t i = 0; i < from->object_slots; i++) {
		const struct past_object *o = &from->objects[i];

		if (o->fileid && !(gone && gone[o->tree]))
			past_put_object(t, o->fileid, numbers[o->tree],
					o->inode);
	}
	*to = t;
	return 0;
}

/* --- keys ----------------------------------------------------------------- */

static void past_prefix(struct record_key *key, char letter, const char *tenant)
{
	record_key_text(key, letter, tenant);
	key->bytes[key->len++] = '\0';
}

static void past_time_put(uint8_t *out, const struct timespec *t)
{
	le64_put(out, (uint64_t)t->tv_sec);
	le32_put(out + 8, (uint32_t)t->tv_nsec);
}

static struct timespec past_time_get(const uint8_t *in)
{
	return (struct timespec){(time_t)le64_get(in), le32_get(in + 8)};
}

static void past_tree_key(struct record_key *key, const char *tenant,
			  const struct digest *tree)
{
	past_prefix(key, 'V', tenant);
	memcpy(key->bytes + key->len, tree->bytes, DIGEST_LEN);
	key->len += DIGEST_LEN;
}

static void past_write_tree(struct kv_batch *batch, const char *tenant,
			    const struct past_of_tree *t)
{
	uint8_t value[PAST_TREE_LEN] = {RECORD_FORMAT};
	struct record_key key;

	past_tree_key(&key, tenant, tree_digest(t->tree));
	past_time_put(value + 1, &t->since);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
}

static void past_write_dir(struct kv_batch *batch, const char *tenant,
			   uint64_t fileid, const struct timespec *ctime,
			   const struct timespec *mtime)
{
	uint8_t value[PAST_DIR_LEN] = {RECORD_FORMAT};
	struct record_key key;

	past_prefix(&key, 'M', tenant);
	be64_put(key.bytes + key.len, fileid);
	key.len += 8;
	past_time_put(value + 1, ctime);
	past_time_put(value + 13, mtime);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
}

/* --- what is needed ------------------------------------------------------- */

/* Trees of generations that could be rolled back to. */
struct past_kept {
	struct digest *trees; /* owns */
	size_t count, cap;
};

static int past_keep(void *ctx, const struct selection *selection)
{
	struct past_kept *kept = ctx;

	for (unsigned int i = 0; i < selection->count; i++) {
		if (array_room(&kept->trees, kept->count, &kept->cap,
			       sizeof(*kept->trees)) < 0)
			return -ENOMEM;
		kept->trees[kept->count++] = selection->package[i].tree;
	}
	return 0;
}

static bool past_is_kept(const struct past_kept *kept,
			 const struct digest *tree)
{
	for (size_t i = 0; i < kept->count; i++)
		if (digest_equal(&kept->trees[i], tree))
			return true;
	return false;
}

static bool past_is_recent(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - since->tv_sec + (time_t)past_age <
	       PAST_HOURS * 3600;
}

/* One of those that files were taken away of last. */
static bool past_is_among_last(const struct past_table *t, uint32_t number)
{
	const struct timespec *since = &t->trees[number].since;
	unsigned int later = 0;

	for (uint32_t i = 0; i < t->tree_count && later < PAST_OLD_MAX; i++)
		later +=
		    i != number &&
		    (time_is_after(&t->trees[i].since, since) ||
		     (i < number && !time_is_after(since, &t->trees[i].since)));
	return later < PAST_OLD_MAX;
}

static bool past_all_recent(const struct past_table *t)
{
	for (uint32_t i = 0; i < t->tree_count; i++)
		if (!past_is_recent(&t->trees[i].since))
			return false;
	return true;
}

/* What is let go: by number of tree, and its keys in the batch.  *gone: owned
 * by the caller; NULL: nothing is. */
static int past_let_go(struct past *past, struct kv_batch *batch, bool **gone)
{
	const struct past_table *t = past->table;
	struct past_kept kept = {0};
	struct record_key key;
	int rc;

	if (past_all_recent(t))
		return 0;
	*gone = calloc(t->tree_count, sizeof(**gone));
	if (!*gone)
		return -ENOMEM;
	rc = selection_each(depot_state(past->depot), past->tenant, past_keep,
			    &kept);
	for (uint32_t i = 0; rc == 0 && i < t->tree_count; i++) {
		const struct digest *tree = tree_digest(t->trees[i].tree);

		if (past_is_recent(&t->trees[i].since) ||
		    (past_is_among_last(t, i) && past_is_kept(&kept, tree)))
			continue;
		(*gone)[i] = true;
		past_tree_key(&key, past->tenant, tree);
		kv_batch_delete(batch, key.bytes, key.len);
	}
	free(kept.trees);
	return rc;
}

/* --- loading -------------------------------------------------------------- */

struct past_load {
	struct past *past;
	struct past_table *table;
	const uint8_t *key;        /* borrows */
	const struct image *image; /* borrows */
	struct kv_batch *batch;    /* what is forgotten */
	struct past_kept kept;
	bool has_floor;
};

static int past_value(const struct each_key *key, size_t len, const char *what)
{
	if (key->value_len >= 1 && key->value[0] > RECORD_FORMAT)
		return record_newer(what, key->value[0], RECORD_FORMAT);
	return key->value_len == len && key->value[0] == RECORD_FORMAT
		   ? 0
		   : log_err(-EBADMSG, "state: damaged %s", what);
}

static int past_load_dir(void *ctx, const struct each_key *key)
{
	struct past_load *load = ctx;
	uint64_t fileid = be64_get(key->rest);
	struct timespec ctime, mtime;
	int rc = past_value(key, PAST_DIR_LEN, "directory time");

	if (rc < 0)
		return rc;
	ctime = past_time_get(key->value + 1);
	mtime = past_time_get(key->value + 13);
	if (fileid == 0) {
		load->table->floor = ctime;
		load->has_floor = true;
		return 0;
	}
	if (2 * (load->table->dir_count + 1) > load->table->dir_slots)
		rc = past_room(load->table, load->table->dir_count + 1, 0);
	if (rc == 0)
		past_put_dir(load->table, fileid, &ctime, &mtime);
	return rc;
}

/* All objects of a tree that the image has not. */
static int past_load_objects(struct past_load *load, struct tree *tree,
			     const struct timespec *since)
{
	struct past_table *t = load->table;
	struct image *alone;
	uint32_t number, count;
	int rc = image_new(&tree, 1, 0, load->key, since, NULL, NULL, &alone);

	if (rc < 0)
		return rc;
	count = image_inode_count(alone);
	rc = past_enter_tree(t, tree, since, &number);
	if (rc == 0)
		rc = past_room(t, 0, count);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct image_inode *inode = image_inode(alone, i);

		if (inode->parent == IMAGE_NONE &&
		    image_find(load->image, inode->fileid) == IMAGE_NONE)
			past_put_object(t, inode->fileid, number, inode->inode);
	}
	image_put(alone);
	return rc;
}

/* Needed for a day, and while a generation could be rolled back to. */
static bool past_needs(const struct past_load *load, const struct digest *tree,
		       const struct timespec *since)
{
	return past_is_recent(since) ||
	       (load->table->tree_count < PAST_OLD_MAX &&
		past_is_kept(&load->kept, tree));
}

static int past_load_tree(void *ctx, const struct each_key *key)
{
	struct past_load *load = ctx;
	struct timespec since;
	struct digest digest;
	struct tree *tree;
	int rc = past_value(key, PAST_TREE_LEN, "retired tree");

	if (rc < 0)
		return rc;
	since = past_time_get(key->value + 1);
	memcpy(digest.bytes, key->rest, DIGEST_LEN);
	if (!past_needs(load, &digest, &since)) {
		kv_batch_delete(load->batch, key->key, key->key_len);
		return 0;
	}
	rc = depot_tree_get(load->past->depot, &digest, &tree);
	if (rc == -ENOENT || rc == -EBADMSG) {
		/* It may be back at the next start. */
		log_warn("tenant %s: files that switches took away are stale: "
			 "a tree of them is missing",
			 load->past->tenant);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = past_load_objects(load, tree, &since);
	tree_put(tree);
	return rc;
}

static int past_load(struct past_load *load)
{
	struct kv *kv = depot_state(load->past->depot);
	const char *tenant = load->past->tenant;
	struct record_key prefix;
	int rc = selection_each(kv, tenant, past_keep, &load->kept);

	past_prefix(&prefix, 'M', tenant);
	if (rc == 0)
		rc = each_key(kv, &prefix, 8, past_load_dir, load);
	past_prefix(&prefix, 'V', tenant);
	if (rc == 0)
		rc = each_key(kv, &prefix, DIGEST_LEN, past_load_tree, load);
	if (rc == 0)
		rc = kv_write(kv, load->batch);
	free(STEAL(load->kept.trees));
	return kv_is_full(rc) ? 0 : rc;
}

int past_open(struct depot *depot, const char *tenant,
	      const uint8_t key[SIPHASH_KEY_LEN], const struct image *image,
	      const struct timespec *since, struct past **past)
{
	struct past *p = calloc(1, sizeof(*p));
	struct past_load load = {.past = p, .key = key, .image = image};
	int rc;

	if (!p)
		return -ENOMEM;
	p->depot = depot;
	snprintf(p->tenant, sizeof(p->tenant), "%s", tenant);
	pthread_rwlock_init(&p->lock, NULL);
	p->table = load.table = calloc(1, sizeof(*p->table));
	load.batch = kv_batch_new();
	rc = p->table && load.batch ? past_room(p->table, 0, 0) : -ENOMEM;
	if (rc == 0)
		rc = past_load(&load);
	if (rc == 0 && !load.has_floor)
		p->table->floor = *since;
	kv_batch_free(load.batch);
	if (rc < 0)
		past_free(p);
	else
		*past = p;
	return rc;
}

void past_free(struct past *past)
{
	if (!past)
		return;
	past_table_free(past->table);
	pthread_rwlock_destroy(&past->lock);
	free(past);
}

/* --- switches ------------------------------------------------------------- */

static int past_add_objects(struct past_table *t, const struct image_diff *diff,
			    const struct timespec *now)
{
	uint32_t numbers[IMAGE_TREES_MAX];
	int rc = 0;

	for (uint32_t i = 0; i < IMAGE_TREES_MAX; i++)
		numbers[i] = UINT32_MAX;
	for (uint32_t i = 0; rc == 0 && i < diff->gone_count; i++) {
		const struct image_inode *inode =
		    image_inode(diff->before, diff->gone[i]);
		struct tree_inode attr;
		struct tree *tree =
		    image_attr(diff->before, diff->gone[i], &attr);

		if (!tree || S_ISDIR(attr.mode))
			continue;
		if (numbers[inode->tree] == UINT32_MAX)
			rc = past_enter_tree(t, tree, now,
					     &numbers[inode->tree]);
		if (rc == 0)
			past_put_object(t, inode->fileid, numbers[inode->tree],
					inode->inode);
	}
	return rc;
}

static void past_add_dirs(struct past *past, struct past_table *t,
			  const struct image_diff *diff,
			  const struct timespec *now, struct kv_batch *batch)
{
	static const struct timespec never;

	for (uint32_t i = 0; i < diff->dir_count; i++) {
		const struct image_diff_dir *dir = &diff->dirs[i];
		const struct past_dir *put = past_dir_slot(t, dir->fileid);
		struct timespec when = *now;

		if (dir->after == IMAGE_NONE)
			continue;
		/* The clock may have been set back: never earlier. */
		if (put->fileid && !time_is_after(now, &put->ctime))
			when = time_after(&put->ctime);
		past_put_dir(t, dir->fileid, &when,
			     dir->names ? &when : &never);
		past_write_dir(batch, past->tenant, dir->fileid, &put->ctime,
			       &put->mtime);
	}
}

int past_next(struct past *past, struct image_diff *const *diffs,
	      unsigned int count, const struct timespec *now, bool let_go,
	      struct kv_batch *batch, struct past_table **next)
{
	CLEANUP_FREE bool *gone = NULL;
	uint64_t dirs = 0, objects = 0;
	struct past_table *t = NULL;
	int rc = let_go ? past_let_go(past, batch, &gone) : 0;

	if (rc == 0)
		rc = past_copy(past->table, gone, &t);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < count; i++) {
		dirs += diffs[i]->dir_count;
		objects += diffs[i]->gone_count;
	}
	rc = past_room(t, dirs, objects);
	for (unsigned int i = 0; rc == 0 && i < count; i++) {
		rc = past_add_objects(t, diffs[i], now);
		if (rc == 0)
			past_add_dirs(past, t, diffs[i], now, batch);
	}
	if (rc < 0) {
		past_table_free(t);
		return rc;
	}
	if (t->floor.tv_sec == 0) /* the first selection */
		t->floor = *now;
	past_write_dir(batch, past->tenant, 0, &t->floor, &t->floor);
	for (uint32_t i = 0; i < t->tree_count; i++)
		past_write_tree(batch, past->tenant, &t->trees[i]);
	*next = t;
	return 0;
}

void past_set(struct past *past, struct past_table *next)
{
	struct past_table *old;

	pthread_rwlock_wrlock(&past->lock);
	old = past->table;
	past->table = next;
	pthread_rwlock_unlock(&past->lock);
	past_table_free(old);
}

void past_empty(struct past *past)
{
	struct past_table *t = past->table;

	pthread_rwlock_wrlock(&past->lock);
	for (uint32_t i = 0; i < t->tree_count; i++)
		tree_put(t->trees[i].tree);
	memset(t->objects, 0, t->object_slots * sizeof(*t->objects));
	memset(t->dirs, 0, t->dir_slots * sizeof(*t->dirs));
	t->tree_count = t->object_count = t->dir_count = 0;
	pthread_rwlock_unlock(&past->lock);
}

/* --- look-ups --------------------------------------------------------------
 */

bool past_find(struct past *past, uint64_t fileid, struct record *rec)
{
	const struct past_object *object;
	struct tree_inode attr;
	struct tree *tree;
	bool found;

	pthread_rwlock_rdlock(&past->lock);
	object = past_object_slot(past->table, fileid);
	found = fileid != 0 && object->fileid == fileid;
	if (found) {
		tree = past->table->trees[object->tree].tree;
		tree_inode_get(tree, object->inode, &attr);
		record_from_tree(tree, object->inode, &attr, rec);
		rec->nlink = 1;
	}
	pthread_rwlock_unlock(&past->lock);
	return found;
}

struct tree *past_tree(struct past *past, const struct digest *digest)
{
	struct tree *tree = NULL;

	pthread_rwlock_rdlock(&past->lock);
	for (uint32_t i = 0; !tree && i < past->table->tree_count; i++)
		if (digest_equal(tree_digest(past->table->trees[i].tree),
				 digest))
			tree = past->table->trees[i].tree;
	pthread_rwlock_unlock(&past->lock);
	return tree;
}

void past_times(struct past *past, uint64_t dir, struct record *rec)
{
	const struct past_dir *found;

	pthread_rwlock_rdlock(&past->lock);
	if (time_is_after(&past->table->floor, &rec->ctime))
		rec->ctime = past->table->floor;
	found = past_dir_slot(past->table, dir);
	/* What the guest has changed since is later, and says its own mtime. */
	if (found->fileid == dir && time_is_after(&found->ctime, &rec->ctime)) {
		rec->ctime = found->ctime;
		if (time_is_after(&found->mtime, &rec->mtime))
			rec->mtime = found->mtime;
	}
	pthread_rwlock_unlock(&past->lock);
}

struct past_walk {
	int (*visit)(void *ctx, const struct digest *tree);
	void *ctx;
};

static int past_walk_visit(void *ctx, const struct each_key *key)
{
	const struct past_walk *walk = ctx;
	struct digest tree;

	if (key->rest_len < DIGEST_LEN + 2)
		return log_err(-EBADMSG, "state: damaged key");
	memcpy(tree.bytes, key->rest + key->rest_len - DIGEST_LEN, DIGEST_LEN);
	return walk->visit(walk->ctx, &tree);
}

int past_each_tree(struct kv *kv,
		   int (*visit)(void *ctx, const struct digest *tree),
		   void *ctx)
{
	struct past_walk walk = {visit, ctx};
	struct record_key prefix;

	record_key_text(&prefix, 'V', "");
	return each_key(kv, &prefix, SIZE_MAX, past_walk_visit, &walk);
}
