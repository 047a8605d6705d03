/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_dir: two walks, the first to count and to find what cannot be read,
 * the second to take.  Each step is relative to an open directory and refuses
 * links, so that nobody who may write there can lead the walk astray.
 */
#include "admin/import_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "admin/import_impl.h"
#include "admin/interrupt.h"
#include "depot/tree.h"

enum {
	DIR_READ_LEN = 1 << 20,
	DIR_XATTR_LIST_MAX = 64 << 10,
};

struct dir_walk {
	struct import *import;
	struct output *out;
	struct failure *failure;
	const char *root; /* borrows; as the operator named it */
	bool keep_going;
	bool scan; /* the first walk */
	struct output_progress_state progress;
	uint64_t left_out;
	json_t *unreadable;      /* owns */
	struct import_map names; /* (device, inode) -> number in first */
	char **first;            /* owns; the path that was met first */
	size_t first_count, first_cap;
	uint8_t *buf; /* owns */
};

/* One directory entry on its way. */
struct dir_item {
	int dir_fd;
	const char *name, *path; /* borrows */
	struct stat st;
};

static int dir_changed(struct dir_walk *walk, const char *path)
{
	failure_set(walk->failure, -EAGAIN, CONTROL_EXIT_FAILED,
		    "%s: %s changed while it was read; nothing has been stored",
		    walk->root, path);
	failure_hint(walk->failure, "try: again when nothing writes there");
	return -EAGAIN;
}

/* What cannot be read: listed in the first walk, left out in the second. */
static int dir_unreadable(struct dir_walk *walk, const char *path, int rc)
{
	char text[IMPORT_PATH_MAX + 128];

	snprintf(text, sizeof(text), "%s: %s", path, strerrordesc_np(-rc));
	walk->left_out++;
	if (!walk->scan) {
		output_warn(walk->out, "left out: %s", text);
		return 0;
	}
	if (json_array_size(walk->unreadable) < FAILURE_DETAILS_MAX)
		json_array_append_new(walk->unreadable, output_json_name(text));
	return 0;
}

/* --- files --------------------------------------------------------------- */

static void dir_attr(const struct stat *st, struct tree_build_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->mode = st->st_mode;
	attr->uid = st->st_uid;
	attr->gid = st->st_gid;
	attr->mtime = st->st_mtim;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		attr->rdev_major = major(st->st_rdev);
		attr->rdev_minor = minor(st->st_rdev);
	}
}

static bool dir_same_state(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_mode == b->st_mode && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int dir_xattrs(struct dir_walk *walk, int fd, const char *path)
{
	CLEANUP_FREE char *list = malloc(DIR_XATTR_LIST_MAX);
	ssize_t list_len, len;
	int rc = 0;

	if (!list)
		return failure_errno(walk->failure, -ENOMEM, "%s", path);
	list_len = flistxattr(fd, list, DIR_XATTR_LIST_MAX);
	if (list_len < 0)
		return errno == EOPNOTSUPP
			   ? 0
			   : failure_errno(walk->failure, -errno,
					   "%s: extended attributes", path);
	for (const char *name = list; rc == 0 && name < list + list_len;
	     name += strlen(name) + 1) {
		if (!import_xattr_wanted(name))
			continue;
		len = fgetxattr(fd, name, walk->buf, DIR_READ_LEN);
		if (len < 0)
			return dir_changed(walk, path);
		rc = import_xattr(walk->import, name, walk->buf, (size_t)len);
	}
	return rc;
}

static int dir_copy(struct dir_walk *walk, const struct dir_item *item, int fd)
{
	uint64_t left = (uint64_t)item->st.st_size;
	ssize_t n;
	int rc = 0;

	while (rc == 0 && left > 0) {
		n = read(fd, walk->buf, (size_t)MIN(left, DIR_READ_LEN));
		if (n < 0 && errno == EINTR && !interrupt_seen())
			continue;
		if (n < 0)
			return failure_errno(walk->failure, -errno,
					     "cannot read %s/%s", walk->root,
					     item->path);
		if (n == 0)
			return dir_changed(walk, item->path);
		left -= (uint64_t)n;
		rc = import_data(walk->import, walk->buf, (size_t)n);
	}
	return rc;
}

static int dir_file(struct dir_walk *walk, const struct dir_item *item,
		    const struct tree_build_attr *attr)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	int rc;

	/* NONBLOCK: what is a FIFO by now must not hang us. */
	fd = openat(item->dir_fd, item->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return dir_unreadable(walk, item->path, -EACCES);
	if (fd < 0 || fstat(fd, &st) < 0 || !dir_same_state(&st, &item->st))
		return dir_changed(walk, item->path);
	rc = import_file(walk->import, item->path, attr, (uint64_t)st.st_size);
	if (rc < 0)
		return rc;
	rc = dir_copy(walk, item, fd);
	if (rc < 0) {
		import_file_drop(walk->import);
		return rc;
	}
	rc = import_file_end(walk->import);
	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0 || !dir_same_state(&st, &item->st))
		return dir_changed(walk, item->path);
	return dir_xattrs(walk, fd, item->path);
}

/* The path under which this inode was taken before, or NULL. */
static const char *dir_linked(struct dir_walk *walk,
			      const struct dir_item *item)
{
	uint64_t key[2] = {item->st.st_dev, item->st.st_ino};
	uint32_t *found;

	if (item->st.st_nlink < 2)
		return NULL;
	found = import_map_get(&walk->names, key, sizeof(key));
	return found ? walk->first[*found] : NULL;
}

static int dir_remember(struct dir_walk *walk, const struct dir_item *item)
{
	uint64_t key[2] = {item->st.st_dev, item->st.st_ino};
	char *copy;

	if (item->st.st_nlink < 2)
		return 0;
	copy = strdup(item->path);
	if (!copy || import_grow(&walk->first, walk->first_count,
				 &walk->first_cap, sizeof(*walk->first)) < 0) {
		free(copy);
		return failure_errno(walk->failure, -ENOMEM, "%s", item->path);
	}
	walk->first[walk->first_count++] = copy;
	if (import_map_put(&walk->names, key, sizeof(key),
			   (uint32_t)walk->first_count - 1) < 0)
		return failure_errno(walk->failure, -ENOMEM, "%s", item->path);
	return 0;
}

static int dir_symlink(struct dir_walk *walk, const struct dir_item *item,
		       const struct tree_build_attr *attr)
{
	char target[TREE_SYMLINK_MAX + 2];
	ssize_t len;

	len = readlinkat(item->dir_fd, item->name, target, sizeof(target) - 1);
	if (len < 0 || len != item->st.st_size)
		return dir_changed(walk, item->path);
	target[len] = '\0';
	return import_symlink(walk->import, item->path, attr, target);
}

/* --- the walk ------------------------------------------------------------ */

static int dir_scan_one(struct dir_walk *walk, const struct dir_item *item)
{
	if (!S_ISREG(item->st.st_mode))
		return 0;
	walk->progress.files_total++;
	walk->progress.bytes_total += (uint64_t)item->st.st_size;
	walk->progress.bytes_done = walk->progress.bytes_total;
	output_progress(walk->out, &walk->progress);
	if (faccessat(item->dir_fd, item->name, R_OK, AT_EACCESS) < 0)
		return dir_unreadable(walk, item->path, -errno);
	return 0;
}

static int dir_take_one(struct dir_walk *walk, const struct dir_item *item)
{
	uint64_t left_out = walk->left_out;
	struct tree_build_attr attr;
	const char *existing;
	int rc;

	dir_attr(&item->st, &attr);
	if (S_ISLNK(item->st.st_mode))
		return dir_symlink(walk, item, &attr);
	if (!S_ISREG(item->st.st_mode))
		return import_add(walk->import, item->path, &attr);
	existing = dir_linked(walk, item);
	if (existing)
		return import_link(walk->import, item->path, existing);
	rc = dir_file(walk, item, &attr);
	if (rc < 0 || walk->left_out != left_out)
		return rc;
	return dir_remember(walk, item);
}

static int dir_name_compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int dir_name_wanted(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

static int dir_walk_dir(struct dir_walk *walk, const struct dir_item *dir,
			unsigned int depth);

static int dir_walk_entry(struct dir_walk *walk, int fd, const char *dir_path,
			  const char *name, unsigned int depth)
{
	CLEANUP_FREE char *path = NULL;
	struct dir_item item = {.dir_fd = fd, .name = name};

	if (interrupt_seen())
		return failure_set(walk->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been stored");
	if (asprintf(&path, "%s%s%s", dir_path, *dir_path ? "/" : "", name) < 0)
		return failure_errno(walk->failure, -ENOMEM, "%s", name);
	item.path = path;
	if (strlen(path) >= IMPORT_PATH_MAX)
		return failure_errno(walk->failure, -ENAMETOOLONG, "%s", path);
	if (fstatat(fd, name, &item.st, AT_SYMLINK_NOFOLLOW) < 0)
		return dir_changed(walk, path);
	if (S_ISDIR(item.st.st_mode))
		return dir_walk_dir(walk, &item, depth + 1);
	return walk->scan ? dir_scan_one(walk, &item)
			  : dir_take_one(walk, &item);
}

static int dir_walk_names(struct dir_walk *walk, int fd, const char *path,
			  unsigned int depth)
{
	struct dirent **names;
	int count, rc = 0;

	count = scandirat(fd, ".", &names, dir_name_wanted, dir_name_compare);
	if (count < 0)
		return failure_errno(walk->failure, -errno, "cannot read %s/%s",
				     walk->root, path);
	for (int i = 0; i < count; i++) {
		if (rc == 0)
			rc = dir_walk_entry(walk, fd, path, names[i]->d_name,
					    depth);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int dir_walk_dir(struct dir_walk *walk, const struct dir_item *dir,
			unsigned int depth)
{
	CLEANUP_CLOSE int fd = -1;
	struct tree_build_attr attr;
	struct stat st;
	int rc = 0;

	if (depth > TREE_DEPTH_MAX)
		return failure_errno(walk->failure, -ENAMETOOLONG,
				     "%s/%s: too deep", walk->root, dir->path);
	dir_attr(&dir->st, &attr);
	if (!walk->scan)
		rc = import_add(walk->import, dir->path, &attr);
	if (rc < 0)
		return rc;
	fd = openat(dir->dir_fd, dir->name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		return dir_unreadable(walk, dir->path, -EACCES);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return failure_errno(walk->failure, -errno, "%s/%s", walk->root,
				     dir->path);
	if (fd < 0 || fstat(fd, &st) < 0 || !dir_same_state(&st, &dir->st))
		return dir_changed(walk, dir->path);
	if (faccessat(fd, ".", X_OK, AT_EACCESS) < 0)
		return dir_unreadable(walk, dir->path, -errno);
	if (!walk->scan)
		rc = dir_xattrs(walk, fd, dir->path);
	if (rc == 0)
		rc = dir_walk_names(walk, fd, dir->path, depth);
	if (rc == 0 && (fstat(fd, &st) < 0 || !dir_same_state(&st, &dir->st)))
		return dir_changed(walk, dir->path);
	return rc;
}

static int dir_refuse_unreadable(struct dir_walk *walk)
{
	failure_set(walk->failure, -EACCES, CONTROL_EXIT_FAILED,
		    "%s: %ju objects cannot be read; nothing has been stored",
		    walk->root, (uintmax_t)walk->left_out);
	failure_hint(walk->failure,
		     "try: sudo, or --keep-going to leave them out");
	walk->failure->details = STEAL(walk->unreadable);
	return -EACCES;
}

static int dir_both_walks(struct dir_walk *walk, const struct dir_item *root)
{
	int rc;

	walk->scan = true;
	walk->progress.phase = "scanning";
	rc = dir_walk_dir(walk, root, 0);
	if (rc < 0)
		return rc;
	if (walk->left_out > 0 && !walk->keep_going)
		return dir_refuse_unreadable(walk);
	import_set_total(walk->import, walk->progress.bytes_total);
	walk->scan = false;
	walk->left_out = 0;
	return dir_walk_dir(walk, root, 0);
}

int import_dir(struct import *import, const char *path, bool keep_going,
	       struct output *out, struct failure *failure,
	       struct import_dir_result *result)
{
	struct dir_walk walk = {.import = import,
				.out = out,
				.failure = failure,
				.root = path,
				.keep_going = keep_going};
	struct dir_item root = {.name = ".", .path = "", .dir_fd = -1};
	CLEANUP_CLOSE int fd = -1;
	int rc;

	rc = import_origin(import, path);
	if (rc < 0)
		return rc;
	/* The root itself may be named through a link. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &root.st) < 0)
		return failure_errno(failure, -errno, "cannot open %s", path);
	root.dir_fd = fd;
	walk.buf = malloc(DIR_READ_LEN);
	walk.unreadable = json_array();
	if (walk.buf && walk.unreadable)
		rc = dir_both_walks(&walk, &root);
	else
		rc = failure_errno(failure, -ENOMEM, "%s", path);
	result->left_out = walk.left_out;
	for (size_t i = 0; i < walk.first_count; i++)
		free(walk.first[i]);
	free(walk.first);
	import_map_clear(&walk.names);
	json_decref(walk.unreadable);
	free(walk.buf);
	return rc;
}
