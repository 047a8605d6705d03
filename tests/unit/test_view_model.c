/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_view_model: random operations on a view and on a plain tree in memory,
 * compared after each few (rule H-3): names, attributes, numbers, contents.
 *
 * SEEDS=N in the environment runs N seeds (30), SEED=N that one alone.  The
 * list of operations of a seed that fails is cut down to the few that make it
 * fail, and printed.
 */
#include <stdio.h>

#include "depot/digest.h"
#include "overlay/merge.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"

enum {
	MODEL_SEEDS = 30,
	MODEL_OPS = 400,
	MODEL_COMPARE_EVERY = 40,
	MODEL_FILE_MAX = 80000,
	MODEL_NAMES_MAX = 64,    /* of one directory */
	MODEL_INODES_MAX = 1024, /* ever, of one run */
	MODEL_SHRINK_RUNS = 400,
};

/* The outcome does not depend on syncs, the time it takes does. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* --- the plain tree ------------------------------------------------------ */

struct model_inode;
struct model_name {
	char name[8];
	struct model_inode *inode;
};
struct model_inode {
	uint32_t mode, uid, gid;
	uint32_t names_of; /* that it has; 0: gone */
	uint64_t fileid;   /* 0: not seen yet */
	uint32_t generation;
	struct model_inode *parent;
	struct model_name names[MODEL_NAMES_MAX]; /* of directories */
	unsigned int count;
	char target[32];
	uint8_t *data; /* owns; MODEL_FILE_MAX */
	size_t size;
};
struct model {
	struct model_inode *inodes[MODEL_INODES_MAX]; /* owns */
	unsigned int count;
	struct fixture fx;
	struct view *view;
	unsigned int frozen; /* snapshots and clones made */
	char names[16][16];  /* of snapshots that are being removed */
	unsigned int name_count;
	char why[256]; /* what is wrong; "" nothing */
};

static void model_wrong(struct model *m, const char *what, const char *name,
			long long got, long long want)
{
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why), "%s of \"%s\": %lld, not %lld",
			 what, name, got, want);
}

static struct model_inode *model_new(struct model *m, uint32_t mode)
{
	struct model_inode *inode = calloc(1, sizeof(*inode));

	ASSERT(inode && m->count < MODEL_INODES_MAX);
	inode->mode = mode;
	if (S_ISREG(mode)) {
		inode->data = calloc(1, MODEL_FILE_MAX);
		ASSERT(inode->data);
	}
	m->inodes[m->count++] = inode;
	return inode;
}

static struct model_name *model_find(struct model_inode *dir, const char *name)
{
	for (unsigned int i = 0; i < dir->count; i++)
		if (strcmp(dir->names[i].name, name) == 0)
			return &dir->names[i];
	return NULL;
}

static void model_add(struct model_inode *dir, const char *name,
		      struct model_inode *inode)
{
	struct model_name *to = &dir->names[dir->count++];

	ASSERT(dir->count <= MODEL_NAMES_MAX);
	snprintf(to->name, sizeof(to->name), "%s", name);
	to->inode = inode;
	inode->names_of++;
	if (S_ISDIR(inode->mode))
		inode->parent = dir;
}

static void model_drop(struct model_inode *dir, struct model_name *name)
{
	name->inode->names_of--;
	*name = dir->names[--dir->count];
}

static uint32_t model_nlink(const struct model_inode *inode)
{
	uint32_t nlink = 2;

	if (!S_ISDIR(inode->mode))
		return inode->names_of;
	for (unsigned int i = 0; i < inode->count; i++)
		nlink += S_ISDIR(inode->names[i].inode->mode);
	return nlink;
}

static void model_free(struct model *m)
{
	for (unsigned int i = 0; i < m->count; i++) {
		free(m->inodes[i]->data);
		free(m->inodes[i]);
	}
}

/* The n-th living object of a type; the root is always there. */
static struct model_inode *model_pick(struct model *m, uint32_t type,
				      uint32_t n)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < m->count; i++)
		count += (m->inodes[i]->mode & S_IFMT) == type &&
			 m->inodes[i]->names_of > 0;
	if (count == 0)
		return NULL;
	n %= count;
	for (unsigned int i = 0;; i++)
		if ((m->inodes[i]->mode & S_IFMT) == type &&
		    m->inodes[i]->names_of > 0 && n-- == 0)
			return m->inodes[i];
}

/* --- the package, twice -------------------------------------------------- */

static const struct fixture_entry model_package[] = {
    {"a", S_IFDIR | 0755, .uid = 1},
    {"a/a", S_IFREG | 0644, .len = 50000, .seed = 1},
    {"a/b", S_IFREG | 0600, .len = 9000, .seed = 2, .gid = 3},
    {"a/c", S_IFDIR | 0711, .len = 0},
    {"a/c/a", S_IFREG | 0644, .len = 100, .seed = 3},
    {"a/c/b", 0, .link_to = "a/a"},
    {"b", S_IFDIR | 0700, .len = 0},
    {"b/d", 0, .link_to = "a/a"},
    {"b/e", S_IFLNK | 0777, .text = "../a"},
    {"c", S_IFREG | 0644, .len = 20000, .seed = 4, .hole = 30000},
    {"d", S_IFIFO | 0622, .len = 0},
    {"e", S_IFDIR | 0755, .len = 0},
};

/* Directory and last name of a path of the package. */
static struct model_inode *model_walk(struct model *m, const char *path,
				      const char **last)
{
	struct model_inode *at = m->inodes[0];
	const char *slash;

	while ((slash = strchr(path, '/'))) {
		char name[8] = "";

		memcpy(name, path, (size_t)(slash - path));
		at = model_find(at, name)->inode;
		path = slash + 1;
	}
	*last = path;
	return at;
}

static void model_build(struct model *m)
{
	struct model_inode *root = model_new(m, S_IFDIR | 0755);

	root->names_of = 1;
	root->parent = root;
	for (size_t i = 0; i < ARRAY_LEN(model_package); i++) {
		const struct fixture_entry *e = &model_package[i];
		const char *name, *old;
		struct model_inode *dir = model_walk(m, e->path, &name);
		struct model_inode *inode;

		if (e->link_to) {
			inode = model_walk(m, e->link_to, &old);
			model_add(dir, name, model_find(inode, old)->inode);
			continue;
		}
		inode = model_new(m, e->mode);
		inode->uid = e->uid;
		inode->gid = e->gid;
		model_add(dir, name, inode);
		if (S_ISLNK(e->mode))
			snprintf(inode->target, sizeof(inode->target), "%s",
				 e->text);
		if (S_ISREG(e->mode)) {
			check_fill(inode->data, e->len, e->seed);
			inode->size = e->len + e->hole;
		}
	}
}

/* Layers that went into others, of all runs. */
static unsigned int model_merged;

/* --- comparing ----------------------------------------------------------- */

static void model_compare_content(struct model *m, struct model_inode *inode,
				  const struct view_attr *attr,
				  const char *name)
{
	struct view_object obj = fixture_object(attr);
	char target[VIEW_SYMLINK_MAX];
	struct view_attr same;
	size_t len;

	if (S_ISREG(inode->mode)) {
		if (attr->size != inode->size)
			model_wrong(m, "size", name, (long long)attr->size,
				    (long long)inode->size);
		else if (!fixture_content_is(m->view, obj, inode->data,
					     inode->size))
			model_wrong(m, "content", name, 0, 1);
	}
	if (S_ISLNK(inode->mode) &&
	    (view_readlink(m->view, obj, target, &len, &same) < 0 ||
	     len != strlen(inode->target) ||
	     memcmp(target, inode->target, len) != 0))
		model_wrong(m, "target", name, 0, 1);
}

static void model_compare_inode(struct model *m, struct model_inode *inode,
				const struct view_attr *attr, const char *name)
{
	if (inode->fileid == 0) {
		inode->fileid = attr->fileid;
		inode->generation = attr->generation;
	}
	if (attr->fileid != inode->fileid)
		model_wrong(m, "fileid", name, (long long)attr->fileid,
			    (long long)inode->fileid);
	if (attr->mode != inode->mode)
		model_wrong(m, "mode", name, attr->mode, inode->mode);
	if (attr->uid != inode->uid)
		model_wrong(m, "uid", name, attr->uid, inode->uid);
	if (attr->gid != inode->gid)
		model_wrong(m, "gid", name, attr->gid, inode->gid);
	if (attr->nlink != model_nlink(inode))
		model_wrong(m, "nlink", name, attr->nlink, model_nlink(inode));
	model_compare_content(m, inode, attr, name);
}

static void model_compare_dir(struct model *m, struct model_inode *dir,
			      struct view_object obj)
{
	CLEANUP(fixture_list_clear)
	struct fixture_list list = {.page = 5, .want_attr = true};
	int rc = fixture_list(m->view, &fixture_root, obj, 0, &list);

	if (rc < 0 || list.count != dir->count + 2) {
		model_wrong(m, "listing", "?", rc < 0 ? rc : (int)list.count,
			    dir->count + 2);
		return;
	}
	if (list.entries[1].fileid != dir->parent->fileid)
		model_wrong(m, "fileid", "..",
			    (long long)list.entries[1].fileid,
			    (long long)dir->parent->fileid);
	for (unsigned int i = 0; i < dir->count && !m->why[0]; i++) {
		struct model_name *name = &dir->names[i];
		const struct fixture_dirent *ent =
		    fixture_list_find(&list, name->name);
		struct view_attr attr;

		rc = fixture_lookup(m->view, &fixture_root, obj, name->name,
				    &attr);
		/* A merge in the background may come between: what lies in
		 * frozen layers counts as used in whole once it is HOST. */
		if (ent && rc == 0)
			attr.used = ent->attr.used;
		if (!ent || rc < 0 || !fixture_attr_same(&attr, &ent->attr)) {
			model_wrong(m, "entry", name->name, rc, 0);
			return;
		}
		model_compare_inode(m, name->inode, &attr, name->name);
		if (S_ISDIR(name->inode->mode) && !m->why[0])
			model_compare_dir(m, name->inode,
					  fixture_object(&attr));
	}
}

static void model_trouble(void *ctx, bool problem, const char *what)
{
	struct model *m = ctx;

	(void)problem;
	if (!m->why[0])
		snprintf(m->why, sizeof(m->why), "verify: %.200s", what);
}

/* What is counted is what the layers hold. */
static void model_compare_quota(struct model *m)
{
	uint64_t bytes = 0, files = 0;

	pthread_rwlock_rdlock(&m->view->lock);
	for (unsigned int i = 0; i < m->view->layer_count; i++) {
		bytes += m->view->layer[i]->bytes;
		files += m->view->layer[i]->recorded.count;
	}
	if (bytes != m->view->quota.bytes)
		model_wrong(m, "quota", "bytes",
			    (long long)m->view->quota.bytes, (long long)bytes);
	if (files != m->view->quota.files)
		model_wrong(m, "quota", "files",
			    (long long)m->view->quota.files, (long long)files);
	pthread_rwlock_unlock(&m->view->lock);
}

static void model_compare(struct model *m)
{
	struct view_attr attr = fixture_attr(m->view, "");
	struct site_delta_figures figures;

	model_compare_quota(m);
	if (site_delta_verify(m->fx.site, view_get_info(m->view)->path + 1,
			      model_trouble, m, &figures) < 0)
		model_wrong(m, "verify", "", -1, 0);

	model_compare_inode(m, m->inodes[0], &attr, "/");
	if (!m->why[0])
		model_compare_dir(m, m->inodes[0], fixture_object(&attr));
}

/* --- operations ---------------------------------------------------------- */

enum model_kind {
	MODEL_TOUCH,
	MODEL_MKDIR,
	MODEL_SYMLINK,
	MODEL_FIFO,
	MODEL_LINK,
	MODEL_REMOVE,
	MODEL_RMDIR,
	MODEL_RENAME,
	MODEL_RENAME_DIR,
	MODEL_WRITE,
	MODEL_RESIZE,
	MODEL_COMMIT,
	MODEL_CHMOD,
	MODEL_RESTART,
	MODEL_SNAPSHOT,
	MODEL_CLONE,
	MODEL_FORGET,
	MODEL_KINDS,
};
static const char *const model_words[] = {
    "touch", "mkdir",   "symlink",    "fifo",  "link",   "remove",
    "rmdir", "rename",  "rename_dir", "write", "resize", "commit",
    "chmod", "restart", "snapshot",   "clone", "forget"};
/* How often, of 64. */
static const uint8_t model_weights[MODEL_KINDS] = {6,  4, 2, 1, 4, 5, 3, 7, 3,
						   10, 5, 2, 3, 1, 4, 1, 3};

struct model_op {
	uint32_t kind, a, b, c, d;
};

/* One operation's picks: a and b say where, c and d what. */
struct model_args {
	struct model_inode *dir, *dir2, *file;
	char name[8], name2[8];
};

/* The object as nfsd would hold it: by its handle. */
static struct view_object model_object(struct model *m,
				       const struct model_inode *inode)
{
	struct view_attr attr = {.fileid = inode->fileid};
	struct view_object obj = {inode->fileid, inode->generation};

	if (view_getattr(m->view, obj, &attr) < 0)
		model_wrong(m, "handle", "?", 0, (long long)inode->fileid);
	return obj;
}

static void model_args(struct model *m, const struct model_op *op,
		       struct model_args *args)
{
	static const char *const names[] = {"a", "b", "c", "d", "e",
					    "f", "g", "h", "i", "j"};

	args->dir = model_pick(m, S_IFDIR, op->a);
	args->dir2 = model_pick(m, S_IFDIR, op->b);
	args->file = model_pick(m, S_IFREG, op->b);
	snprintf(args->name, sizeof(args->name), "%s",
		 names[op->c % ARRAY_LEN(names)]);
	snprintf(args->name2, sizeof(args->name2), "%s",
		 names[op->d % ARRAY_LEN(names)]);
	/* Mostly a name that is there, for what takes names away. */
	if (args->dir->count && op->c >> 30 && op->kind >= MODEL_REMOVE &&
	    op->kind <= MODEL_RENAME_DIR)
		snprintf(args->name, sizeof(args->name), "%s",
			 args->dir->names[op->c % args->dir->count].name);
}

static int model_make(struct model *m, const struct model_op *op,
		      struct model_args *args, int *want)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO};
	struct view_object dir = model_object(m, args->dir);
	uint32_t mode = types[op->kind] |
			(op->kind == MODEL_SYMLINK ? 0777 : op->d & 07777);
	struct view_done done = {0};
	struct view_object obj = {0, 0};
	struct model_inode *made;
	int rc;

	*want = model_find(args->dir, args->name) ? -EEXIST : 0;
	if (op->kind == MODEL_TOUCH)
		rc = fixture_touch(m->view, &fixture_root, dir, args->name,
				   mode & 07777, &obj);
	else if (op->kind == MODEL_SYMLINK)
		rc = fixture_symlink(m->view, &fixture_root, dir, args->name,
				     args->name2, &done);
	else
		rc = fixture_mknod(m->view, &fixture_root, dir, args->name,
				   mode, 0, 0, &done);
	if (*want < 0 || rc < 0)
		return rc;
	made = model_new(m, mode);
	if (args->dir->mode & S_ISGID) {
		made->gid = args->dir->gid;
		if (S_ISDIR(mode))
			made->mode |= S_ISGID;
	}
	made->fileid = obj.fileid ? obj.fileid : done.attr.fileid;
	made->generation = obj.fileid ? obj.generation : done.attr.generation;
	snprintf(made->target, sizeof(made->target), "%s", args->name2);
	model_add(args->dir, args->name, made);
	return rc;
}

static int model_link(struct model *m, struct model_args *args, int *want)
{
	struct view_object dir = model_object(m, args->dir);

	if (!args->file)
		return *want = 0;
	*want = model_find(args->dir, args->name) ? -EEXIST : 0;
	if (*want == 0)
		model_add(args->dir, args->name, args->file);
	return fixture_link(m->view, &fixture_root, model_object(m, args->file),
			    dir, args->name, NULL);
}

static int model_remove(struct model *m, const struct model_op *op,
			struct model_args *args, int *want)
{
	struct view_object dir = model_object(m, args->dir);
	struct model_name *name = model_find(args->dir, args->name);
	bool is_dir = name && S_ISDIR(name->inode->mode);

	if (!name)
		*want = -ENOENT;
	else if (op->kind == MODEL_REMOVE)
		*want = is_dir ? -EISDIR : 0;
	else if (!is_dir)
		*want = -ENOTDIR;
	else
		*want = name->inode->count ? -ENOTEMPTY : 0;
	if (*want == 0)
		model_drop(args->dir, name);
	return op->kind == MODEL_REMOVE ? fixture_remove(m->view, &fixture_root,
							 dir, args->name, NULL)
					: fixture_rmdir(m->view, &fixture_root,
							dir, args->name, NULL);
}

static bool model_is_below(const struct model_inode *what,
			   const struct model_inode *dir)
{
	while (dir != what && dir->parent != dir)
		dir = dir->parent;
	return dir == what;
}

static int model_rename_want(const struct model_args *args,
			     const struct model_name *from,
			     const struct model_name *to)
{
	bool is_dir = from && S_ISDIR(from->inode->mode);

	if (!from)
		return -ENOENT;
	if (to && to->inode == from->inode)
		return 1; /* nothing to do */
	if (is_dir && model_is_below(from->inode, args->dir2))
		return -EINVAL;
	if (!to)
		return 0;
	if (is_dir != S_ISDIR(to->inode->mode))
		return is_dir ? -ENOTDIR : -EISDIR;
	return is_dir && to->inode->count ? -ENOTEMPTY : 0;
}

static int model_rename(struct model *m, struct model_args *args, int *want)
{
	struct view_object dir = model_object(m, args->dir);
	struct view_object dir2 = model_object(m, args->dir2);
	struct model_name *from = model_find(args->dir, args->name);
	struct model_name *to = model_find(args->dir2, args->name2);

	*want = model_rename_want(args, from, to);
	if (*want == 0) {
		struct model_inode *moved = from->inode;

		moved->names_of++; /* keep it meanwhile */
		model_drop(args->dir, from);
		to = model_find(args->dir2, args->name2);
		if (to)
			model_drop(args->dir2, to);
		model_add(args->dir2, args->name2, moved);
		moved->names_of--;
	}
	*want = MIN(*want, 0);
	return fixture_rename(m->view, &fixture_root, dir, args->name, dir2,
			      args->name2, NULL);
}

static int model_write(struct model *m, const struct model_op *op,
		       struct model_inode *file)
{
	size_t off = op->c % (op->c >> 31 ? 50000 : 12000);
	size_t len = op->d % (op->d >> 31 ? 25000 : 3000) + 1;

	check_fill(file->data + off, len, op->d);
	file->size = MAX(file->size, off + len);
	return fixture_write(m->view, &fixture_root, model_object(m, file), off,
			     file->data + off, len, op->a % 3 == 0, NULL);
}

static int model_resize(struct model *m, const struct model_op *op,
			struct model_inode *file)
{
	size_t size = op->c % 8 == 0 ? 0 : op->d % 60000;

	if (size < file->size)
		memset(file->data + size, 0, file->size - size);
	file->size = size;
	return fixture_resize(m->view, model_object(m, file), size);
}

static int model_chmod(struct model *m, const struct model_op *op,
		       struct model_inode *inode)
{
	struct view_setattr set = {
	    .mask = VIEW_SET_MODE | VIEW_SET_UID | VIEW_SET_GID,
	    .mode = op->d & 07777,
	    .uid = op->a % 5,
	    .gid = op->b % 5,
	};

	inode->mode = (inode->mode & S_IFMT) | set.mode;
	inode->uid = set.uid;
	inode->gid = set.gid;
	return fixture_setattr(m->view, &fixture_root, model_object(m, inode),
			       &set, NULL);
}

/* What was written UNSTABLE would be lost: it is committed before. */
static int model_restart(struct model *m)
{
	char path[SITE_EXPORT_PATH_MAX];
	uint64_t bytes;
	int rc = 0;

	for (unsigned int i = 0; i < m->count && rc == 0; i++)
		if (S_ISREG(m->inodes[i]->mode) && m->inodes[i]->names_of > 0)
			rc = fixture_commit(m->view,
					    model_object(m, m->inodes[i]));
	snprintf(path, sizeof(path), "%s", view_get_info(m->view)->path);
	drops_drain(m->fx.site->drops);
	bytes = m->view->quota.bytes;
	fixture_restart(&m->fx, false);
	m->view = fixture_view(&m->fx, path);
	drops_drain(m->fx.site->drops);
	if (m->view->quota.bytes != bytes)
		model_wrong(m, "bytes after a restart", "",
			    (long long)m->view->quota.bytes, (long long)bytes);
	return rc;
}

/* Nothing of either is seen; as many layers as there may be. */
static int model_freeze(struct model *m, bool clone)
{
	const char *guest = view_get_info(m->view)->path + 1;
	struct site_guest_options options = {0};
	char name[16], path[64];
	int rc;

	snprintf(name, sizeof(name), "n%u", ++m->frozen);
	if (!clone) {
		rc = site_delta_snapshot(m->fx.site, guest, name);
		return rc == -EMLINK ? 0 : rc;
	}
	snprintf(path, sizeof(path), "/red/%s", name);
	rc = site_delta_clone(m->fx.site, guest, NULL, path + 1, &options);
	if (rc == 0)
		m->view = fixture_view(&m->fx, path);
	return rc == -EMLINK ? 0 : rc;
}

static int model_forget_visit(void *ctx, const struct site_snapshot *snapshot)
{
	struct model *m = ctx;

	ASSERT(m->name_count < ARRAY_LEN(m->names));
	snprintf(m->names[m->name_count++], sizeof(m->names[0]), "%.15s",
		 snapshot->name);
	return 0;
}

static int model_forget_guest(struct model *m, const char *guest)
{
	char path[64];

	snprintf(path, sizeof(path), "/red/%s", guest);
	if (strcmp(path, view_get_info(m->view)->path) == 0 ||
	    !site_view_by_path(m->fx.site, path))
		return 0;
	return site_guest_remove(m->fx.site, path + 1, true);
}

/* Merge what may be; whatever files are open, and not committed, stay so. */
static int model_merge(struct model *m, unsigned int keep)
{
	unsigned int before = m->view->layer_count, after;
	int rc;

	pthread_mutex_lock(&m->fx.site->verbs);
	rc = merge_stack(m->fx.site, view_top(m->view)->id, keep, &after);
	if (rc == 0 && after != m->view->layer_count)
		model_wrong(m, "layers", "", m->view->layer_count, after);
	if (before > after)
		model_merged += before - after;
	pthread_mutex_unlock(&m->fx.site->verbs);
	return rc;
}

/* Snapshots go, one or all, and guests that this one is a clone of. */
static int model_forget(struct model *m, const struct model_op *op)
{
	const char *guest = view_get_info(m->view)->path + 1;
	char name[16];
	int rc;

	m->name_count = 0;
	rc = site_delta_snapshots(m->fx.site, guest, model_forget_visit, m);
	for (unsigned int i = 0; i < m->name_count && rc == 0; i++)
		if (op->a % 2 || i == op->b % m->name_count)
			rc = site_delta_snapshot_remove(m->fx.site, guest,
							m->names[i]);
	if (rc == 0 && op->c % 2)
		rc = model_forget_guest(m, "vm1");
	for (unsigned int i = 1; i <= m->frozen && rc == 0 && op->c % 2; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		rc = model_forget_guest(m, name);
	}
	if (rc == 0)
		rc = model_merge(m, op->d % 4 + 1);
	if (rc == 0)
		model_compare(m);
	return rc;
}

static void model_do(struct model *m, const struct model_op *op)
{
	struct model_args args;
	int rc = 0, want = 0;

	model_args(m, op, &args);
	if (op->kind <= MODEL_FIFO)
		rc = model_make(m, op, &args, &want);
	else if (op->kind == MODEL_LINK)
		rc = model_link(m, &args, &want);
	else if (op->kind <= MODEL_RMDIR)
		rc = model_remove(m, op, &args, &want);
	else if (op->kind <= MODEL_RENAME_DIR)
		rc = model_rename(m, &args, &want);
	else if (op->kind == MODEL_CHMOD)
		rc = model_chmod(
		    m, op, op->c % 2 || !args.file ? args.dir : args.file);
	else if (op->kind == MODEL_RESTART)
		rc = model_restart(m);
	else if (op->kind == MODEL_FORGET)
		rc = model_forget(m, op);
	else if (op->kind >= MODEL_SNAPSHOT)
		rc = model_freeze(m, op->kind == MODEL_CLONE);
	else if (!args.file)
		rc = 0;
	else if (op->kind == MODEL_WRITE)
		rc = model_write(m, op, args.file);
	else if (op->kind == MODEL_RESIZE)
		rc = model_resize(m, op, args.file);
	else
		rc = fixture_commit(m->view, model_object(m, args.file));
	if (rc != want)
		model_wrong(m, model_words[op->kind], args.name, rc, want);
}

/* --- runs ---------------------------------------------------------------- */

/* When all guests are gone, so is everything that they had on disk. */
static void model_leave(struct model *m)
{
	const char *guest = view_get_info(m->view)->path + 1;
	CLEANUP_FREE char *data = NULL;
	int rc = model_forget_guest(m, "vm1");
	char name[16];

	for (unsigned int i = 1; i <= m->frozen && rc == 0; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		rc = model_forget_guest(m, name);
	}
	if (rc == 0)
		rc = site_guest_remove(m->fx.site, guest, true);
	drops_drain(m->fx.site->drops);
	ASSERT(asprintf(&data, "%s/data", m->fx.dir) > 0);
	if (rc < 0 || fixture_host_files(&m->fx) > 0)
		model_wrong(m, "host files left", "data", rc,
			    (long long)fixture_host_files(&m->fx));
	else if (rmdir(data) < 0)
		model_wrong(m, "directories left", "data", -errno, 0);
}

/* Empty text: all is well. */
static void model_run(const struct model_op *ops, size_t count, bool hash6,
		      char why[256])
{
	struct model *m = calloc(1, sizeof(*m));
	struct package_info info;

	ASSERT(m);
	name_cookie_cut_for_tests(hash6 ? 6 : 63);
	fixture_open(&m->fx);
	fixture_package(&m->fx, "p", "1", model_package,
			ARRAY_LEN(model_package), &info);
	m->view = fixture_guest(&m->fx, &info, 1);
	model_build(m);
	model_compare(m);
	for (size_t i = 0; i < count && !m->why[0]; i++) {
		model_do(m, &ops[i]);
		if (!m->why[0] && i % MODEL_COMPARE_EVERY == 0)
			model_compare(m);
	}
	if (!m->why[0])
		model_compare(m);
	model_leave(m);
	memcpy(why, m->why, sizeof(m->why));
	fixture_close(&m->fx);
	model_free(m);
	free(m);
}

static void model_ops(struct model_op *ops, uint64_t seed)
{
	check_fill(ops, MODEL_OPS * sizeof(*ops), seed);
	for (size_t i = 0; i < MODEL_OPS; i++) {
		uint32_t dice = ops[i].kind % 64;

		ops[i].kind = 0;
		while (dice >= model_weights[ops[i].kind])
			dice -= model_weights[ops[i].kind++];
	}
}

/* Take operations out, halves first, while it still fails. */
static size_t model_shrink(struct model_op *ops, size_t count, bool hash6,
			   char why[256])
{
	unsigned int runs = 0;

	for (size_t step = count / 2; step > 0; step /= 2)
		for (size_t at = 0; at + step <= count;) {
			struct model_op less[MODEL_OPS];
			char less_why[256];

			if (++runs > MODEL_SHRINK_RUNS)
				return count;
			memcpy(less, ops, at * sizeof(*ops));
			memcpy(less + at, ops + at + step,
			       (count - at - step) * sizeof(*ops));
			model_run(less, count - step, hash6, less_why);
			if (!less_why[0]) {
				at += step;
				continue;
			}
			count -= step;
			memcpy(ops, less, count * sizeof(*ops));
			memcpy(why, less_why, sizeof(less_why));
		}
	return count;
}

static bool model_seed(uint64_t seed)
{
	static struct model_op ops[MODEL_OPS];
	bool hash6 = seed % 2;
	size_t count = MODEL_OPS;
	char why[256];

	model_ops(ops, seed);
	model_run(ops, count, hash6, why);
	if (!why[0])
		return true;
	printf("seed %llu: %s\n", (unsigned long long)seed, why);
	check_mute();
	count = model_shrink(ops, count, hash6, why);
	check_unmute();
	printf("%zu operations, %s:\n", count, why);
	for (size_t i = 0; i < count; i++)
		printf("  %-10s %u %u %u %u\n", model_words[ops[i].kind],
		       ops[i].a, ops[i].b, ops[i].c, ops[i].d);
	return false;
}

static uint64_t model_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_model(void)
{
	uint64_t one = model_env("SEED", 0);
	uint64_t seeds = model_env("SEEDS", MODEL_SEEDS);

	for (uint64_t seed = one ? one : 1; seed <= (one ? one : seeds); seed++)
		CU_ASSERT_TRUE(model_seed(seed));
	if (!one)
		printf(
		    "seeds 1 to %llu, %d operations each, %u layers merged\n",
		    (unsigned long long)seeds, MODEL_OPS, model_merged);
	if (!one)
		CU_ASSERT_TRUE(model_merged > seeds);
}

/* The check itself: a wrong model is found, and cut down to what shows it. */
static void test_model_finds(void)
{
	static struct model_op ops[MODEL_OPS];
	struct model *m = calloc(1, sizeof(*m));
	struct package_info info;

	ASSERT(m);
	model_ops(ops, 1);
	fixture_open(&m->fx);
	fixture_package(&m->fx, "p", "1", model_package,
			ARRAY_LEN(model_package), &info);
	m->view = fixture_guest(&m->fx, &info, 1);
	model_build(m);
	m->inodes[0]->names[0].inode->mode ^= 1;
	model_compare(m);
	CU_ASSERT_PTR_NOT_NULL(strstr(m->why, "mode"));
	m->inodes[0]->names[0].inode->mode ^= 1;
	m->why[0] = '\0';
	model_compare(m);
	CU_ASSERT_STRING_EQUAL(m->why, "");
	fixture_close(&m->fx);
	model_free(m);
	free(m);
}

static const struct check_test tests[] = {
    {"the check itself", test_model_finds},
    {"random operations", test_model},
};

int main(void)
{
	return check_main("test_view_model", tests, ARRAY_LEN(tests));
}
