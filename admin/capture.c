/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: one walk over upper, beside the base.  Each step is relative to open
 * directories and follows no link.
 */
#include "admin/capture.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "admin/import_impl.h"
#include "admin/interrupt.h"
#include "depot/tree.h"

enum { CAPTURE_READ_LEN = 64 << 10 };
_Static_assert(CAPTURE_READ_LEN >= XATTR_SIZE_MAX, "one buffer for both");

struct capture_walk {
	const struct capture_options *options;
	struct capture *capture;
	struct failure *failure;
	uint8_t *buf; /* owns; two halves */
};

/* A directory in both places; base -1: the base has none. */
struct capture_dir {
	int upper, base;
	const char *path;
};

static int capture_failed(struct capture_walk *walk, const char *path)
{
	return failure_errno(walk->failure, -errno, "cannot read %s/%s",
			     walk->options->upper, path);
}

static bool capture_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool capture_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* takes path */
static int capture_add(struct capture_walk *walk, char letter, char *path,
		       const struct stat *st)
{
	struct capture *capture = walk->capture;
	struct capture_row *row;

	if (import_grow(&capture->rows, capture->count, &capture->cap,
			sizeof(*capture->rows)) < 0) {
		free(path);
		return failure_errno(walk->failure, -ENOMEM, "changes");
	}
	row = &capture->rows[capture->count++];
	*row = (struct capture_row){.letter = letter, .st = *st, .path = path};
	if (!S_ISDIR(st->st_mode) && letter != CAPTURE_DELETED)
		row->noise = capture_noise(walk->options, path);
	if (letter != CAPTURE_DELETED && letter != CAPTURE_WAY && !row->noise &&
	    capture_before(&st->st_mtim, &walk->options->started) &&
	    capture_before(&capture->newest, &st->st_mtim))
		capture->newest = st->st_mtim;
	return 0;
}

/* --- the same? ----------------------------------------------------------- */

static ssize_t capture_fill(int fd, uint8_t *buf)
{
	size_t len = 0;
	ssize_t got = 1;

	while (got > 0 && len < CAPTURE_READ_LEN) {
		got = read(fd, buf + len, CAPTURE_READ_LEN - len);
		if (got > 0)
			len += (size_t)got;
	}
	return got < 0 ? -1 : (ssize_t)len;
}

/* One object as it is now, and as the base has it. */
struct capture_pair {
	int a, b; /* own */
};

static void capture_pair_close(struct capture_pair *pair)
{
	base_close_ptr(&pair->a);
	base_close_ptr(&pair->b);
}

static struct capture_pair capture_open(const struct capture_dir *dir,
					const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;

	return (struct capture_pair){openat(dir->upper, name, flags),
				     openat(dir->base, name, flags)};
}

/* 1: equal, 0: not; -errno, said. */
static int capture_same_bytes(struct capture_walk *walk,
			      const struct capture_dir *dir, const char *name,
			      const char *path)
{
	CLEANUP(capture_pair_close)
	struct capture_pair pair = capture_open(dir, name);
	ssize_t a_len, b_len;

	if (pair.a < 0 || pair.b < 0)
		return capture_failed(walk, path);
	do {
		a_len = capture_fill(pair.a, walk->buf);
		b_len = capture_fill(pair.b, walk->buf + CAPTURE_READ_LEN);
		if (a_len < 0 || b_len < 0)
			return capture_failed(walk, path);
		if (a_len != b_len ||
		    memcmp(walk->buf, walk->buf + CAPTURE_READ_LEN,
			   (size_t)a_len) != 0)
			return 0;
	} while (a_len > 0);
	return 1;
}

static int capture_same_target(struct capture_walk *walk,
			       const struct capture_dir *dir, const char *name,
			       const char *path)
{
	char a[TREE_SYMLINK_MAX + 1], b[TREE_SYMLINK_MAX + 1];
	ssize_t a_len = readlinkat(dir->upper, name, a, sizeof(a));
	ssize_t b_len = readlinkat(dir->base, name, b, sizeof(b));

	if (a_len < 0 || b_len < 0)
		return capture_failed(walk, path);
	return a_len == b_len && memcmp(a, b, (size_t)a_len) == 0;
}

static int capture_same_content(struct capture_walk *walk,
				const struct capture_dir *dir, const char *name,
				const char *path, const struct stat *upper,
				const struct stat *base)
{
	if (S_ISDIR(upper->st_mode))
		return 1;
	if (S_ISLNK(upper->st_mode))
		return capture_same_target(walk, dir, name, path);
	if (!S_ISREG(upper->st_mode))
		return upper->st_rdev == base->st_rdev;
	if (upper->st_size != base->st_size)
		return 0;
	return capture_same_bytes(walk, dir, name, path);
}

/* Those of `a` that are content: are they the same of `b`?  *count: how many.
 */
static bool capture_has_xattrs(struct capture_walk *walk, int a, int b,
			       char *names, size_t *count)
{
	ssize_t len = flistxattr(a, names, XATTR_LIST_MAX), a_len, b_len;

	*count = 0;
	/* (Of what cannot be read the writer of the capture tells.) */
	for (const char *name = names; name < names + MAX(len, 0);
	     name += strlen(name) + 1) {
		if (!import_xattr_wanted(name))
			continue;
		++*count;
		a_len = fgetxattr(a, name, walk->buf, XATTR_SIZE_MAX);
		b_len = fgetxattr(b, name, walk->buf + CAPTURE_READ_LEN,
				  XATTR_SIZE_MAX);
		if (a_len != b_len ||
		    (a_len > 0 &&
		     memcmp(walk->buf, walk->buf + CAPTURE_READ_LEN,
			    (size_t)a_len) != 0))
			return false;
	}
	return true;
}

/* 1: equal, 0: not; -errno, said. */
static int capture_same_xattrs(struct capture_walk *walk,
			       const struct capture_dir *dir, const char *name,
			       const char *path)
{
	CLEANUP(capture_pair_close)
	struct capture_pair pair = capture_open(dir, name);
	CLEANUP_FREE char *names = malloc(XATTR_LIST_MAX);
	size_t a_count, b_count;

	if (!names)
		return failure_errno(walk->failure, -ENOMEM, "%s", path);
	if (pair.a < 0 || pair.b < 0)
		return capture_failed(walk, path);
	return capture_has_xattrs(walk, pair.a, pair.b, names, &a_count) &&
	       capture_has_xattrs(walk, pair.b, pair.a, names, &b_count) &&
	       a_count == b_count;
}

/* A letter, or 0: no change (a directory: only on the way). */
static int capture_letter(struct capture_walk *walk,
			  const struct capture_dir *dir, const char *name,
			  const char *path, const struct stat *st)
{
	struct stat base;
	int same;

	if (dir->base < 0 ||
	    fstatat(dir->base, name, &base, AT_SYMLINK_NOFOLLOW) < 0)
		return CAPTURE_ADDED;
	if ((st->st_mode & S_IFMT) != (base.st_mode & S_IFMT))
		return CAPTURE_MODIFIED;
	same = capture_same_content(walk, dir, name, path, st, &base);
	if (same <= 0)
		return same < 0 ? same : CAPTURE_MODIFIED;
	if (st->st_mode != base.st_mode || st->st_uid != base.st_uid ||
	    st->st_gid != base.st_gid)
		return CAPTURE_META;
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return 0;
	same = capture_same_xattrs(walk, dir, name, path);
	return same <= 0 ? same < 0 ? same : CAPTURE_META : 0;
}

/* --- the walk ------------------------------------------------------------ */

static int capture_name_wanted(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

static int capture_name_compare(const struct dirent **a,
				const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static char *capture_join(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0 ? NULL
									 : path;
}

static int capture_walk_dir(struct capture_walk *walk,
			    const struct capture_dir *dir, unsigned int depth);

/* All that a directory that has gone, or hides, held. */
static int capture_gone(struct capture_walk *walk, int upper, int base,
			const char *path)
{
	struct dirent **names;
	struct stat st;
	int count, rc = 0;

	count = scandirat(base, ".", &names, capture_name_wanted,
			  capture_name_compare);
	if (count < 0)
		return capture_failed(walk, path);
	for (int i = 0; i < count; i++) {
		const char *name = names[i]->d_name;
		char *full;

		if (rc == 0 &&
		    fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    fstatat(base, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			full = capture_join(path, name);
			rc = full
				 ? capture_add(walk, CAPTURE_DELETED, full, &st)
				 : -ENOMEM;
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

static int capture_enter(struct capture_walk *walk,
			 const struct capture_dir *dir, const char *name,
			 size_t row, unsigned int depth)
{
	CLEANUP_CLOSE int upper = -1;
	CLEANUP_CLOSE int base = -1;
	struct capture_dir inner;
	char opaque = 0;
	int rc = 0;

	upper = openat(dir->upper, name,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return capture_failed(walk, walk->capture->rows[row].path);
	if (dir->base >= 0)
		base = openat(dir->base, name,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	inner = (struct capture_dir){
	    .upper = upper,
	    .base = base,
	    .path = walk->capture->rows[row].path,
	};
	if (base >= 0 &&
	    fgetxattr(upper, "trusted.overlay.opaque", &opaque, 1) == 1 &&
	    opaque == 'y') {
		walk->capture->rows[row].opaque = true;
		rc = capture_gone(walk, upper, base, inner.path);
	}
	return rc < 0 ? rc : capture_walk_dir(walk, &inner, depth + 1);
}

/* Of a directory on the way to nothing only the memory goes. */
static void capture_drop_if_empty(struct capture_walk *walk, size_t row)
{
	struct capture *capture = walk->capture;

	if (capture->count != row + 1 ||
	    capture->rows[row].letter != CAPTURE_WAY ||
	    capture->rows[row].opaque)
		return;
	free(capture->rows[row].path);
	capture->count--;
}

/*
 * A name that stands for nothing any more; takes path.  So does a socket: it
 * died with the program that made it, and no archive can hold it.
 */
static int capture_hides(struct capture_walk *walk,
			 const struct capture_dir *dir, const char *name,
			 char *path, const struct stat *upper)
{
	struct stat base;
	bool had = dir->base >= 0 &&
		   fstatat(dir->base, name, &base, AT_SYMLINK_NOFOLLOW) == 0;

	if (S_ISSOCK(upper->st_mode) && (!had || S_ISSOCK(base.st_mode))) {
		free(path);
		return 0;
	}
	return capture_add(walk, CAPTURE_DELETED, path, had ? &base : upper);
}

static int capture_entry(struct capture_walk *walk,
			 const struct capture_dir *dir, const char *name,
			 unsigned int depth)
{
	char *path = capture_join(dir->path, name);
	size_t row = walk->capture->count;
	struct stat st;
	int letter, rc;

	if (!path)
		return failure_errno(walk->failure, -ENOMEM, "%s", name);
	if (fstatat(dir->upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		free(path);
		return capture_failed(walk, name);
	}
	if (capture_is_whiteout(&st) || S_ISSOCK(st.st_mode))
		return capture_hides(walk, dir, name, path, &st);
	letter = capture_letter(walk, dir, name, path, &st);
	if (letter < 0 || (letter == 0 && !S_ISDIR(st.st_mode))) {
		walk->capture->unchanged += letter == 0;
		free(path);
		return letter;
	}
	rc = capture_add(walk, letter ? (char)letter : CAPTURE_WAY, path, &st);
	if (rc < 0 || !S_ISDIR(st.st_mode))
		return rc;
	rc = capture_enter(walk, dir, name, row, depth);
	if (rc == 0)
		capture_drop_if_empty(walk, row);
	return rc;
}

static int capture_walk_dir(struct capture_walk *walk,
			    const struct capture_dir *dir, unsigned int depth)
{
	struct dirent **names;
	int count, rc = 0;

	if (depth > TREE_DEPTH_MAX)
		return failure_errno(walk->failure, -ENAMETOOLONG,
				     "%s: too deep", dir->path);
	count = scandirat(dir->upper, ".", &names, capture_name_wanted,
			  capture_name_compare);
	if (count < 0)
		return capture_failed(walk, dir->path);
	for (int i = 0; i < count; i++) {
		if (rc == 0 && interrupt_seen())
			rc = failure_set(walk->failure, -EINTR,
					 CONTROL_EXIT_INTERRUPTED,
					 "interrupted; nothing is captured");
		if (rc == 0)
			rc = capture_entry(walk, dir, names[i]->d_name, depth);
		free(names[i]);
	}
	free(names);
	return rc;
}

int capture_compare(const struct capture_options *options,
		    struct capture *capture, struct failure *failure)
{
	CLEANUP_CLOSE int upper =
	    open(options->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSE int base =
	    open(options->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FREE uint8_t *buf = malloc(2 * CAPTURE_READ_LEN);
	struct capture_walk walk = {.options = options,
				    .capture = capture,
				    .failure = failure,
				    .buf = buf};
	struct capture_dir root = {.upper = upper, .base = base, .path = ""};
	int rc;

	memset(capture, 0, sizeof(*capture));
	if (upper < 0 || base < 0)
		return failure_errno(failure, -errno, "cannot open %s",
				     upper < 0 ? options->upper
					       : options->base);
	if (!buf)
		return failure_errno(failure, -ENOMEM, "capture");
	rc = capture_walk_dir(&walk, &root, 0);
	return rc < 0 ? rc : capture_records(options, capture, failure);
}

void capture_clear(struct capture *capture)
{
	for (size_t i = 0; i < capture->count; i++)
		free(capture->rows[i].path);
	free(capture->rows);
	json_decref(capture->records);
	memset(capture, 0, sizeof(*capture));
}
