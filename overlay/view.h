/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view: what one guest sees, its selection of packages under its delta, and
 * every operation that nfsd may ask of it.
 *
 * Nothing here knows NFS: results are 0 or -errno, attributes are struct
 * view_attr.  Objects are named by struct view_object, which is what a file
 * handle carries.
 *
 * No call of this floor waits for a disk's sync, an inflate or a network:
 *
 * - An operation that lacks bytes returns -EINPROGRESS, having changed nothing;
 *   it calls wait->wake() once, on any thread, when it is worth running again
 *   from the top with the same arguments.
 * - An operation that changes something does so in memory and in the log
 *   (unsynced), and returns 0 with change->pending set when its effect is not
 *   stable yet; change->settled() then tells, on any thread, when it is.
 *
 * Locks, in this order:
 *   1. site->lock (site.c)        tables of tenants, guests and views
 *   2. view->lock (rwlock)        everything of one view: reading operations
 *                                 share it, changing operations hold it alone
 *   3. the depot's and the journal's own, never held while calling up
 * No lock is held over a sync, an inflate, a fetch or a callback.
 */
#ifndef OVERLAY_VIEW_H
#define OVERLAY_VIEW_H

#include <sys/uio.h>
#include <time.h>

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/pool.h"
#include "overlay/journal.h"

enum {
	VIEW_NAME_MAX = 255,
	VIEW_SYMLINK_MAX = 4095,
	VIEW_IO_MAX = 1 << 20, /* bytes of one read or write */
	VIEW_GROUPS_MAX = 16,
	VIEW_REPLY_MAX = 512,    /* bytes of a stored reply record */
	VIEW_REPLY_SLOTS = 4096, /* ring of reply records of a guest */
	VIEW_LINK_MAX = 65000,
};
#define VIEW_FILE_SIZE_MAX ((uint64_t)INT64_MAX)

struct view;

struct view_object {
	uint64_t fileid;
	uint32_t generation; /* 0 for package objects */
};

struct view_cred {
	uint32_t uid, gid;
	uint32_t groups[VIEW_GROUPS_MAX];
	unsigned int group_count;
};

struct view_attr {
	uint64_t fileid;
	uint32_t generation;
	uint32_t mode; /* type and permissions, as st_mode */
	uint32_t nlink, uid, gid;
	uint32_t rdev_major, rdev_minor;
	uint64_t size, used; /* bytes */
	struct timespec atime, mtime, ctime;
};

/* Attributes around a change, taken in one step with it (RFC 1813 2.6 wcc). */
struct view_wcc {
	bool has_before, has_after;
	uint64_t before_size;
	struct timespec before_mtime, before_ctime;
	struct view_attr after;
};

/*
 * How an operation that returned -EINPROGRESS tells that it should be run
 * again.  Embedded in the call; one operation at a time.  From the moment it is
 * given to an operation until wake() it must not move: wake() comes on any
 * thread, possibly before the operation has returned.
 */
struct view_wait {
	void (*wake)(struct view_wait *wait);
	/* the view's own, from here on */
	struct view *view;
	struct node *node; /* borrows; parked on it */
	struct tree *tree; /* ref: of the chunks gathered */
	struct depot_read depot;
	uint64_t chunk_off[DEPOT_READ_MAX]; /* in the file */
	uint32_t chunk_len[DEPOT_READ_MAX];
	struct view_wait *next;
	struct pool_job job;
	int fd;       /* owns: of a host file to be read ahead */
	uint64_t off; /* likewise */
	size_t len;
	int kind;
	int error; /* what the rerun must answer, or 0 */
	bool warmed;
};

/* Before a wait is first used; wake stays the caller's to set. */
void view_wait_init(struct view_wait *wait);
/* true: wake() has not been and will not be called.  false: it has been, or is
 * certain to be; the caller lets it come before it frees the call. */
bool view_wait_cancel(struct view_wait *wait);
/* Drop the pins a wait has gathered, when the call is finished. */
void view_wait_release(struct view_wait *wait);

/* --- reading ------------------------------------------------------------- */

struct view_object view_root(struct view *view);

MUST_CHECK int view_getattr(struct view *view, struct view_object obj,
			    struct view_attr *attr);
/* "." and ".." too; ".." of the root is the root.  *dir_attr is filled
 * whenever the directory exists.  -ENOENT -ENOTDIR -EACCES -ENAMETOOLONG. */
MUST_CHECK int view_lookup(struct view *view, const struct view_cred *cred,
			   struct view_object dir, const char *name,
			   size_t name_len, struct view_attr *attr,
			   struct view_attr *dir_attr);

enum {
	VIEW_MAY_EXEC = 1, /* or search */
	VIEW_MAY_WRITE = 2,
	VIEW_MAY_READ = 4,
};
/* Which of VIEW_MAY_* the caller has by mode bits; uid 0 may all (execute: if
 * anybody may).  Pure. */
unsigned int view_permissions(const struct view_attr *attr,
			      const struct view_cred *cred);

/* buf holds VIEW_SYMLINK_MAX bytes; -EINVAL: no symbolic link. */
MUST_CHECK int view_readlink(struct view *view, struct view_object obj,
			     char *buf, size_t *len, struct view_attr *attr);

struct view_read {
	struct iovec iov[DEPOT_READ_MAX];
	unsigned int iov_count;
	size_t len;
	bool eof;
	bool fetched; /* a part has just come from an upstream */
	struct view_attr attr;
	void *buf; /* owns: bytes that came from the delta */
};
/*
 * Bytes [off, off+len) of a regular file, cut at its end.  The iovecs point
 * into chunks pinned by `wait` and into read->buf: both are released by
 * view_read_release, when the bytes have been sent.
 * -EINPROGRESS -EISDIR -EINVAL (no regular file) -EACCES -EIO.
 */
MUST_CHECK int view_read(struct view *view, const struct view_cred *cred,
			 struct view_object obj, uint64_t off, size_t len,
			 struct view_wait *wait, struct view_read *read);
void view_read_release(struct view_read *read, struct view_wait *wait);

struct view_dirent {
	uint64_t cookie;
	const char *name; /* borrowed for the call of emit */
	size_t name_len;
	const struct view_attr *attr; /* NULL unless asked for */
	uint64_t fileid;
	uint32_t generation;
};
/*
 * Entries after `cookie` (0: from the start) in order of cookies, "." (1) and
 * ".." (2) first, until emit returns false (that entry is not consumed).
 * *eof: emit took the last one.
 */
MUST_CHECK int
view_readdir(struct view *view, const struct view_cred *cred,
	     struct view_object dir, uint64_t cookie, bool want_attr,
	     bool (*emit)(void *ctx, const struct view_dirent *ent), void *ctx,
	     bool *eof, struct view_attr *dir_attr);

struct view_statfs {
	uint64_t total_bytes, free_bytes, avail_bytes;
	uint64_t total_files, free_files, avail_files;
};
MUST_CHECK int view_statfs(struct view *view, struct view_statfs *statfs);

/* --- changing ------------------------------------------------------------ */

/* Results of a changing operation, complete when reply() is called. */
struct view_done {
	struct view_attr attr;  /* of the object made, found or changed */
	struct view_wcc wcc[2]; /* RENAME: from, to; LINK: [0] directory; else
				   [0] of the directory or object */
	size_t written;         /* WRITE */
	bool stable;            /* WRITE: all of it is stable once settled */
	uint64_t verifier;      /* WRITE: to answer with; a COMMIT answers with
				   view_get_info's when it has settled */
};

/*
 * One changing call.  Embedded in nfsd's call; lives, and does not move, until
 * settled() or, when the operation returned an error or pending is false, until
 * it returns.  settled() comes on any thread, possibly before the operation has
 * returned.
 */
struct view_change {
	/*
	 * Called under the view's lock just before the batch is written, on
	 * success only: fill `record` (at most VIEW_REPLY_MAX bytes) with what
	 * a retransmission needs, for the ring slot *slot; the record rides in
	 * the batch of the effect.  Returns its length, 0 for none.  May be
	 * NULL.
	 */
	size_t (*reply)(struct view_change *change,
			const struct view_done *done, uint8_t *record,
			uint32_t *slot);
	/* rc < 0: what was written could not be made stable; answer nobody. */
	void (*settled)(struct view_change *change, int rc);
	/* out */
	bool pending;
	struct view_done done;
	/* the view's own */
	struct journal_entry entry;
	struct view_change *next;
};

enum {
	VIEW_SET_MODE = 1,
	VIEW_SET_UID = 2,
	VIEW_SET_GID = 4,
	VIEW_SET_SIZE = 8,
	VIEW_SET_ATIME = 16, /* to .atime */
	VIEW_SET_MTIME = 32,
	VIEW_SET_ATIME_NOW = 64, /* to the server's time */
	VIEW_SET_MTIME_NOW = 128,
};
struct view_setattr {
	unsigned int mask;
	uint32_t mode; /* permissions only */
	uint32_t uid, gid;
	uint64_t size;
	struct timespec atime, mtime;
};

/* guard: NULL, or the ctime the object must have (-EAGAIN otherwise, reported
 * as NOT_SYNC). */
MUST_CHECK int view_setattr(struct view *view, const struct view_cred *cred,
			    struct view_object obj,
			    const struct view_setattr *set,
			    const struct timespec *guard,
			    struct view_wait *wait, struct view_change *change);

enum view_create_how {
	VIEW_CREATE_UNCHECKED,
	VIEW_CREATE_GUARDED,
	VIEW_CREATE_EXCLUSIVE,
};
MUST_CHECK int view_create(struct view *view, const struct view_cred *cred,
			   struct view_object dir, const char *name,
			   size_t name_len, enum view_create_how how,
			   const struct view_setattr *set, uint64_t verifier,
			   struct view_wait *wait, struct view_change *change);
/* mode carries the type: directory, FIFO, socket; devices -EPERM unless the
 * export allows them and the caller is root, but for the character device 0/0,
 * which anybody may make: to an overlayfs over the drive it is a whiteout. */
MUST_CHECK int view_mknod(struct view *view, const struct view_cred *cred,
			  struct view_object dir, const char *name,
			  size_t name_len, uint32_t type,
			  const struct view_setattr *set, uint32_t rdev_major,
			  uint32_t rdev_minor, struct view_change *change);
MUST_CHECK int view_symlink(struct view *view, const struct view_cred *cred,
			    struct view_object dir, const char *name,
			    size_t name_len, const char *target,
			    size_t target_len, const struct view_setattr *set,
			    struct view_change *change);
MUST_CHECK int view_link(struct view *view, const struct view_cred *cred,
			 struct view_object obj, struct view_object dir,
			 const char *name, size_t name_len,
			 struct view_change *change);
/* rmdir false: anything but a directory (-EISDIR); true: an empty one
 * (-ENOTDIR, -ENOTEMPTY). */
MUST_CHECK int view_remove(struct view *view, const struct view_cred *cred,
			   struct view_object dir, const char *name,
			   size_t name_len, bool rmdir,
			   struct view_change *change);
MUST_CHECK int view_rename(struct view *view, const struct view_cred *cred,
			   struct view_object from_dir, const char *from,
			   size_t from_len, struct view_object to_dir,
			   const char *to, size_t to_len,
			   struct view_change *change);
/*
 * stable: false UNSTABLE, true FILE_SYNC (DATA_SYNC is treated as that).
 * `data` must stay until the function returns.
 */
MUST_CHECK int view_write(struct view *view, const struct view_cred *cred,
			  struct view_object obj, uint64_t off,
			  const void *data, size_t len, bool stable,
			  struct view_wait *wait, struct view_change *change);
/* The whole file; a range is at least what was asked. */
MUST_CHECK int view_commit(struct view *view, struct view_object obj,
			   struct view_change *change);

/* --- the view itself ----------------------------------------------------- */

struct view_info {
	uint32_t export_id;
	uint8_t key[SIPHASH_KEY_LEN]; /* of the handles' MAC */
	uint64_t verifier;            /* write verifier of this server life */
	char path[2 * PACKAGE_NAME_MAX + 4]; /* "/tenant/guest" */
	bool allow_devices;
	bool root_squash;
};
const struct view_info *view_get_info(const struct view *view);
/* It is being moved to another host, or offline: its calls must be neither
 * carried out nor answered.  Two atomic loads.  An operation that finds it so
 * returns -ESHUTDOWN. */
bool view_is_paused(const struct view *view);
/* What it shows cannot be loaded now: a package's tree is missing. */
bool view_is_offline(const struct view *view);
/* A guest mounts it: what it reads next may be a start (overlay/starts.h). */
void view_mounted(struct view *view);

/* Reply records that were stored with their effects, for the duplicate request
 * cache after a start.  -EIO. */
MUST_CHECK int view_replies(struct view *view,
			    void (*visit)(void *ctx, uint32_t slot,
					  const uint8_t *record, size_t len),
			    void *ctx);

#endif
