/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_capture_write: writing a capture.  The file is made beside its place,
 * synced, and renamed when it is whole.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "admin/import_archive.h"
#include "admin/import_capture.h"
#include "admin/import_impl.h"
#include "admin/interrupt.h"
#include "depot/io.h"
#include "depot/tree.h"

enum {
	CAPTURE_COPY_LEN = 256 << 10,
	/* Of one object: libarchive reads a head of 1 MiB at most. */
	CAPTURE_XATTRS_HEAD_MAX = 1000 << 10,
};
_Static_assert(CAPTURE_COPY_LEN >= XATTR_SIZE_MAX, "one buffer for both");

struct capture_writer {
	const struct capture_options *options;
	const struct capture *capture;
	struct failure *failure;
	struct output *out;
	struct archive *archive; /* owns */
	const char *path;
	struct import_map links; /* (device, inode) -> row */
	struct output_progress_state progress;
	uint8_t *buf; /* owns */
	char *names;  /* owns; XATTR_LIST_MAX, as the kernel has it */
};

static int capture_put_bad(struct capture_writer *w)
{
	return failure_set(w->failure, -EIO,
			   archive_errno(w->archive) == ENOSPC
			       ? CONTROL_EXIT_NO_SPACE
			       : CONTROL_EXIT_FAILED,
			   "%s: %s", w->path, archive_error_string(w->archive));
}

static int capture_put_header(struct capture_writer *w,
			      struct archive_entry *entry)
{
	int rc = archive_write_header(w->archive, entry);

	archive_entry_free(entry);
	return rc < ARCHIVE_WARN ? capture_put_bad(w) : 0;
}

static int capture_put_text(struct capture_writer *w, const char *name,
			    const char *text, size_t len)
{
	struct archive_entry *entry = archive_entry_new();
	int rc;

	if (!entry)
		return failure_errno(w->failure, -ENOMEM, "%s", w->path);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_mtime(entry, 0, 0);
	archive_entry_set_size(entry, (la_int64_t)len);
	rc = capture_put_header(w, entry);
	if (rc == 0 && len > 0 &&
	    archive_write_data(w->archive, text, len) != (la_ssize_t)len)
		return capture_put_bad(w);
	return rc;
}

/* --- the head ------------------------------------------------------------ */

static const char *capture_type(const struct stat *st)
{
	return S_ISDIR(st->st_mode)    ? "d"
	       : S_ISLNK(st->st_mode)  ? "l"
	       : S_ISREG(st->st_mode)  ? "f"
	       : S_ISFIFO(st->st_mode) ? "p"
				       : "o";
}

/* output_json_name changes what it is given. */
static json_t *capture_name(const char *path)
{
	CLEANUP_FREE char *copy = strdup(path);

	return copy ? output_json_name(copy) : NULL;
}

static int capture_put_head(struct capture_writer *w, json_t *head)
{
	CLEANUP_FREE char *text = NULL;
	json_t *changes = json_array();

	for (size_t i = 0; changes && i < w->capture->count; i++) {
		const struct capture_row *row = &w->capture->rows[i];
		char letter[2] = {row->letter, '\0'};
		json_t *json;

		if (row->letter == CAPTURE_WAY)
			continue;
		json = json_pack("{s:s, s:o, s:s}", "change", letter, "path",
				 capture_name(row->path), "type",
				 capture_type(&row->st));
		if (json && row->noise)
			json_object_set_new(json, "noise",
					    json_string(row->noise));
		json_array_append_new(changes, json);
	}
	json_object_set_new(head, "changes", changes);
	json_object_set_new(head, "format", json_integer(CAPTURE_FORMAT));
	text = json_dumps(head, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return failure_errno(w->failure, -ENOMEM, "%s", w->path);
	return capture_put_text(w, CAPTURE_HEAD, text, strlen(text));
}

/* --- objects ------------------------------------------------------------- */

static void capture_times(const struct capture_writer *w, const struct stat *st,
			  struct archive_entry *entry)
{
	const struct timespec *t = &st->st_mtim, *start = &w->options->started;
	bool now = t->tv_sec > start->tv_sec ||
		   (t->tv_sec == start->tv_sec && t->tv_nsec >= start->tv_nsec);

	if (now)
		t = &w->capture->newest;
	archive_entry_set_mtime(entry, t->tv_sec, t->tv_nsec);
}

static void capture_xattr_lost(struct capture_writer *w, const char *path,
			       const char *name, const char *why)
{
	output_warn(w->out, "%s: %s is left out: %s", path, name, why);
}

/* Bytes of a head: each is in it twice, once in base64 behind an escaped name,
 * with words and lengths. */
static size_t capture_xattr_cost(const char *name, size_t len)
{
	return 64 + 4 * strlen(name) + len + (len + 2) / 3 * 4;
}

/* What cannot be kept is said. */
static void capture_xattrs(struct capture_writer *w, const char *path,
			   const char *full, struct archive_entry *entry)
{
	ssize_t list_len = llistxattr(full, w->names, XATTR_LIST_MAX), len;
	size_t cost = 0;

	if (list_len < 0 && errno != EOPNOTSUPP)
		capture_xattr_lost(w, path, "what extended attributes it has",
				   strerror(errno));
	for (const char *name = w->names; name < w->names + MAX(list_len, 0);
	     name += strlen(name) + 1) {
		if (!import_xattr_wanted(name))
			continue;
		len = lgetxattr(full, name, w->buf, XATTR_SIZE_MAX);
		if (len < 0) {
			capture_xattr_lost(w, path, name, strerror(errno));
			continue;
		}
		if (archive_entry_xattr_count(entry) == TREE_XATTR_MAX ||
		    cost + capture_xattr_cost(name, (size_t)len) >
			CAPTURE_XATTRS_HEAD_MAX) {
			capture_xattr_lost(w, path, name,
					   "its extended attributes are too "
					   "many");
			continue;
		}
		cost += capture_xattr_cost(name, (size_t)len);
		archive_entry_xattr_add_entry(entry, name, w->buf, (size_t)len);
	}
}

static int capture_copy(struct capture_writer *w, const char *full,
			uint64_t left)
{
	CLEANUP_CLOSE int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return failure_errno(w->failure, -errno, "cannot read %s",
				     full);
	while (left > 0) {
		if (interrupt_seen())
			return failure_set(w->failure, -EINTR,
					   CONTROL_EXIT_INTERRUPTED,
					   "interrupted; nothing is captured");
		got = read(fd, w->buf, CAPTURE_COPY_LEN);
		if (got <= 0)
			return failure_errno(w->failure,
					     got < 0 ? -errno : -EIO,
					     "cannot read %s", full);
		if (archive_write_data(w->archive, w->buf, (size_t)got) != got)
			return capture_put_bad(w);
		left -= MIN(left, (uint64_t)got);
		w->progress.bytes_done += (uint64_t)got;
		output_progress(w->out, &w->progress);
	}
	return 0;
}

/* The path that an inode was written under before, or NULL. */
static const char *capture_linked(struct capture_writer *w, size_t i)
{
	const struct capture_row *row = &w->capture->rows[i];
	uint64_t key[2] = {row->st.st_dev, row->st.st_ino};
	uint32_t *found;

	if (row->st.st_nlink < 2 || S_ISDIR(row->st.st_mode))
		return NULL;
	found = import_map_get(&w->links, key, sizeof(key));
	if (found)
		return w->capture->rows[*found].path;
	/* Without memory a link becomes a file of its own. */
	if (import_map_put(&w->links, key, sizeof(key), (uint32_t)i) < 0)
		return NULL;
	return NULL;
}

static int capture_put_object(struct capture_writer *w, size_t i,
			      const char *full)
{
	const struct capture_row *row = &w->capture->rows[i];
	struct archive_entry *entry = archive_entry_new();
	const char *linked = capture_linked(w, i);
	char target[TREE_SYMLINK_MAX + 1];
	ssize_t len;
	int rc;

	if (!entry)
		return failure_errno(w->failure, -ENOMEM, "%s", w->path);
	archive_entry_copy_stat(entry, &row->st);
	archive_entry_set_pathname(entry, row->path);
	archive_entry_unset_atime(entry);
	archive_entry_unset_ctime(entry);
	capture_times(w, &row->st, entry);
	if (linked) {
		archive_entry_set_size(entry, 0);
		archive_entry_set_hardlink(entry, linked);
		return capture_put_header(w, entry);
	}
	if (S_ISLNK(row->st.st_mode)) {
		len = readlink(full, target, sizeof(target) - 1);
		target[MAX(len, 0)] = '\0';
		archive_entry_set_symlink(entry, target);
	}
	capture_xattrs(w, row->path, full, entry);
	rc = capture_put_header(w, entry);
	if (rc == 0 && S_ISREG(row->st.st_mode))
		rc = capture_copy(w, full, (uint64_t)row->st.st_size);
	return rc;
}

static int capture_put_mark(struct capture_writer *w, const char *dir,
			    size_t dir_len, const char *prefix,
			    const char *name)
{
	CLEANUP_FREE char *path = NULL;

	if (asprintf(&path, "%.*s%s%s%s", (int)dir_len, dir, dir_len ? "/" : "",
		     prefix, name) < 0)
		return failure_errno(w->failure, -ENOMEM, "%s", dir);
	return capture_put_text(w, path, "", 0);
}

static int capture_put_row(struct capture_writer *w, size_t i)
{
	const struct capture_row *row = &w->capture->rows[i];
	const char *slash = strrchr(row->path, '/');
	const char *name = slash ? slash + 1 : row->path;
	CLEANUP_FREE char *full = NULL;
	int rc;

	if (row->noise)
		return 0;
	if (strncmp(name, IMPORT_WHITEOUT_PREFIX,
		    strlen(IMPORT_WHITEOUT_PREFIX)) == 0)
		return failure_set(
		    w->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
		    "%s: names that begin with "
		    "\"" IMPORT_WHITEOUT_PREFIX "\" cannot be captured",
		    row->path);
	if (row->letter == CAPTURE_DELETED)
		return capture_put_mark(w, row->path,
					slash ? (size_t)(slash - row->path) : 0,
					IMPORT_WHITEOUT_PREFIX, name);
	if (asprintf(&full, "%s/%s", w->options->upper, row->path) < 0)
		return failure_errno(w->failure, -ENOMEM, "%s", row->path);
	rc = capture_put_object(w, i, full);
	if (rc == 0 && row->opaque)
		rc = capture_put_mark(w, row->path, strlen(row->path), "",
				      IMPORT_OPAQUE_NAME);
	return rc;
}

static int capture_put_all(struct capture_writer *w, json_t *head, int fd)
{
	int rc;

	w->archive = archive_write_new();
	w->buf = malloc(CAPTURE_COPY_LEN);
	w->names = malloc(XATTR_LIST_MAX);
	if (!w->archive || !w->buf || !w->names)
		return failure_errno(w->failure, -ENOMEM, "%s", w->path);
	archive_write_set_format_pax(w->archive);
	archive_write_add_filter_zstd(w->archive);
	if (archive_write_open_fd(w->archive, fd) != ARCHIVE_OK)
		return capture_put_bad(w);
	w->progress.phase = "writing";
	for (size_t i = 0; i < w->capture->count; i++)
		if (!w->capture->rows[i].noise)
			w->progress.bytes_total +=
			    (uint64_t)w->capture->rows[i].st.st_size;
	rc = capture_put_head(w, head);
	for (size_t i = 0; rc == 0 && i < w->capture->count; i++)
		rc = capture_put_row(w, i);
	if (rc == 0 && archive_write_close(w->archive) != ARCHIVE_OK)
		return capture_put_bad(w);
	return rc;
}

int capture_write(const char *path, const struct capture_options *options,
		  const struct capture *capture, json_t *head,
		  struct output *out, struct failure *failure)
{
	struct capture_writer w = {.options = options,
				   .capture = capture,
				   .failure = failure,
				   .out = out,
				   .path = path};
	CLEANUP_FREE char *temporary = NULL;
	CLEANUP_CLOSE int fd = -1;
	int rc;

	if (asprintf(&temporary, "%s.%d.tmp", path, (int)getpid()) < 0)
		return failure_errno(failure, -ENOMEM, "%s", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failure_errno(failure, -errno, "cannot write %s", path);
	rc = capture_put_all(&w, head, fd);
	archive_write_free(w.archive);
	import_map_clear(&w.links);
	free(w.buf);
	free(w.names);
	if (rc == 0 && (io_sync(fd) < 0 || rename(temporary, path) < 0))
		rc = failure_errno(failure, -errno, "cannot write %s", path);
	if (rc < 0)
		unlink(temporary);
	output_progress_end(out);
	return rc;
}
