/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_nfs_ops: what a source does, over one connection.
 *
 * Writing: a new file beside its place, WRITE, COMMIT with the verifiers
 * compared, then RENAME over the old one; LINK, which fails when there is one,
 * for create.
 */
#include "depot/array.h"
#include "depot/source_nfs.h"

#include <stdio.h>

#include "depot/io.h"

enum {
	SOURCE_NFS_TEMP_TRIES = 100,
	SOURCE_NFS_ENTRIES_MAX = 10000000, /* of one directory */
	SOURCE_NFS_PAGES_MAX = 1000000,
	SOURCE_NFS_REWRITES = 3, /* the server lost what was not committed */
};

#define SOURCE_NFS_TEMP_END ".tmp"

/* --- walking ------------------------------------------------------------- */

static int source_nfs_enter(struct source_nfs_conn *conn, struct nfsc_fh *dir,
			    const char *name, bool make)
{
	struct nfsc_object object;
	int rc;

	rc = nfsc_lookup(conn->session, dir, name, &object);
	if (rc == NFSC_NOENT && make) {
		conn->changed = true;
		rc = nfsc_mkdir(conn->session, dir, name);
		if (rc == 0 || rc == NFSC_EXIST)
			rc = nfsc_lookup(conn->session, dir, name, &object);
	}
	if (rc == 0 && !object.is_dir)
		rc = NFSC_NOTDIR;
	if (rc == 0)
		*dir = object.fh;
	return rc;
}

/* Through all directories of `path`; its last name, if `last` is wanted, is
 * left to the caller.  Changes path. */
static int source_nfs_walk(struct source_nfs_conn *conn, struct nfsc_fh *dir,
			   char *path, bool make, char **last)
{
	char *name, *rest = path;
	int rc = 0;

	while (rc == 0 && (name = strsep(&rest, "/"))) {
		if (!*name)
			continue;
		if (last && !rest) {
			*last = name;
			return 0;
		}
		rc = source_nfs_enter(conn, dir, name, make);
	}
	return rc;
}

/* The depot's own directory; -ENXIO: it is not there. */
static int source_nfs_base(struct source_nfs *nfs, struct source_nfs_conn *conn,
			   bool make)
{
	CLEANUP_FREE char *rest = NULL;
	struct nfsc_fh dir = *nfsc_session_root(conn->session);
	size_t mounted;
	int rc;

	if (conn->has_base)
		return 0;
	pthread_mutex_lock(&nfs->lock);
	mounted = nfs->mounted;
	pthread_mutex_unlock(&nfs->lock);
	rest = strdup(nfs->path + mounted);
	if (!rest)
		return -ENOMEM;
	rc = source_nfs_walk(conn, &dir, rest, make, NULL);
	if (rc == NFSC_NOENT && !make)
		return -ENXIO;
	conn->base = dir;
	conn->has_base = rc == 0;
	return rc;
}

static int source_nfs_parent(struct source_nfs *nfs,
			     struct source_nfs_conn *conn,
			     const struct source_nfs_op *op, char **copy,
			     struct nfsc_fh *dir, char **name)
{
	int rc;

	*copy = strdup(op->path);
	if (!*copy)
		return -ENOMEM;
	rc = source_nfs_base(nfs, conn, op->make);
	*dir = conn->base;
	*name = NULL;
	if (rc == 0)
		rc = source_nfs_walk(conn, dir, *copy, op->make, name);
	return rc == 0 && !*name ? NFSC_ISDIR : rc;
}

/* --- get and range ------------------------------------------------------- */

static int source_nfs_read(struct source_nfs_conn *conn,
			   const struct nfsc_fh *file, struct source_nfs_op *op)
{
	size_t at = 0, got;
	bool eof = false;
	int rc;

	while (at < op->len) {
		if (eof) {
			op->misfit = "shorter than asked for";
			return -EBADMSG;
		}
		rc = nfsc_read(conn->session, file, op->off + at, op->len - at,
			       op->buf + at, &got, &eof);
		if (rc)
			return rc;
		/* Neither bytes nor an end: it would go on for ever. */
		if (got == 0 && !eof)
			return NFSC_JUKEBOX;
		at += got;
	}
	return 0;
}

static int source_nfs_find(struct source_nfs *nfs, struct source_nfs_conn *conn,
			   const struct source_nfs_op *op,
			   struct nfsc_object *object)
{
	CLEANUP_FREE char *copy = NULL;
	struct nfsc_fh dir;
	char *name;
	int rc;

	rc = source_nfs_parent(nfs, conn, op, &copy, &dir, &name);
	if (rc == 0)
		rc = nfsc_lookup(conn->session, &dir, name, object);
	if (rc == 0 && !object->is_file)
		rc = NFSC_ISDIR;
	return rc;
}

int source_nfs_do_get(struct source_nfs *nfs, struct source_nfs_conn *conn,
		      struct source_nfs_op *op)
{
	struct nfsc_object object;
	int rc;

	rc = source_nfs_find(nfs, conn, op, &object);
	if (rc)
		return rc;
	if (object.size > op->max) {
		op->misfit = "longer than asked for";
		return -EFBIG;
	}
	free(op->buf);
	op->len = (size_t)object.size;
	op->buf = malloc(op->len + 1);
	if (!op->buf)
		return -ENOMEM;
	op->buf[op->len] = '\0';
	return source_nfs_read(conn, &object.fh, op);
}

int source_nfs_do_range(struct source_nfs *nfs, struct source_nfs_conn *conn,
			struct source_nfs_op *op)
{
	struct nfsc_object object;
	int rc;

	if (source_nfs_known(nfs, op->path, &object.fh))
		return source_nfs_read(conn, &object.fh, op);
	rc = source_nfs_find(nfs, conn, op, &object);
	if (rc)
		return rc;
	if (op->off > object.size || op->len > object.size - op->off) {
		op->misfit = "no such range";
		return -EBADMSG;
	}
	rc = source_nfs_read(conn, &object.fh, op);
	if (rc == 0)
		source_nfs_know(nfs, op->path, &object.fh);
	return rc;
}

/* --- put and create ------------------------------------------------------ */

static int source_nfs_temp(struct source_nfs_conn *conn,
			   const struct nfsc_fh *dir, const char *name,
			   char temp[NFSC_NAME_BYTES_MAX + 1],
			   struct nfsc_fh *file)
{
	static atomic_uint counter;
	char host[64] = "";
	int rc = NFSC_EXIST;

	gethostname(host, sizeof(host) - 1);
	for (int i = 0; i < SOURCE_NFS_TEMP_TRIES && rc == NFSC_EXIST; i++) {
		snprintf(temp, NFSC_NAME_BYTES_MAX + 1,
			 "%.140s.%s-%d-%u" SOURCE_NFS_TEMP_END, name, host,
			 (int)getpid(), atomic_fetch_add(&counter, 1));
		rc = nfsc_create(conn->session, dir, temp, file);
	}
	return rc;
}

/* -EIO: the file that it comes from. */
static int source_nfs_chunk(const struct source_nfs_op *op, uint64_t off,
			    uint8_t *buf, const void **bytes, size_t *len)
{
	*len = (size_t)MIN(op->put_len - off, (uint64_t)NFSC_IO_MAX);
	if (op->bytes) {
		*bytes = (const uint8_t *)op->bytes + off;
		return 0;
	}
	*bytes = buf;
	return io_pread_all(op->fd, buf, *len, off) < 0 ? -EIO : 0;
}

/* -EAGAIN: the server started anew meanwhile: all again. */
static int source_nfs_fill_once(struct source_nfs_conn *conn,
				const struct source_nfs_op *op,
				const struct nfsc_fh *file, uint8_t *buf)
{
	uint8_t verf[NFSC_VERF_LEN], first[NFSC_VERF_LEN];
	const void *bytes;
	size_t len, got;
	int rc;

	for (uint64_t off = 0; off < op->put_len; off += got) {
		rc = source_nfs_chunk(op, off, buf, &bytes, &len);
		if (rc == 0)
			rc = nfsc_write(conn->session, file, off, bytes, len,
					&got, verf);
		if (rc)
			return rc;
		if (off == 0)
			memcpy(first, verf, sizeof(first));
		else if (memcmp(first, verf, sizeof(first)) != 0)
			return -EAGAIN;
	}
	rc = nfsc_commit(conn->session, file, verf);
	if (rc == 0 && op->put_len > 0 &&
	    memcmp(first, verf, sizeof(first)) != 0)
		return -EAGAIN;
	return rc;
}

static int source_nfs_fill(struct source_nfs_conn *conn,
			   struct source_nfs_op *op, const struct nfsc_fh *file)
{
	CLEANUP_FREE uint8_t *buf = op->bytes ? NULL : malloc(NFSC_IO_MAX);
	int rc = -EAGAIN;

	if (!op->bytes && !buf)
		return -ENOMEM;
	for (int i = 0; i < SOURCE_NFS_REWRITES && rc == -EAGAIN; i++)
		rc = source_nfs_fill_once(conn, op, file, buf);
	if (rc == -EIO)
		op->misfit = "the file to be sent cannot be read";
	if (rc == -EAGAIN)
		op->misfit = "the server starts again and again";
	return rc == -EAGAIN || rc == -EIO ? -ENOSYS : rc;
}

int source_nfs_do_put(struct source_nfs *nfs, struct source_nfs_conn *conn,
		      struct source_nfs_op *op)
{
	char temp[NFSC_NAME_BYTES_MAX + 1], *name;
	CLEANUP_FREE char *copy = NULL;
	struct nfsc_fh dir, file;
	int rc;

	rc = source_nfs_parent(nfs, conn, op, &copy, &dir, &name);
	if (rc)
		return rc;
	conn->changed = true;
	rc = source_nfs_temp(conn, &dir, name, temp, &file);
	if (rc)
		return rc == NFSC_EXIST ? NFSC_JUKEBOX : rc;
	rc = source_nfs_fill(conn, op, &file);
	if (rc == 0 && op->is_new)
		rc = nfsc_link(conn->session, &file, &dir, name);
	else if (rc == 0)
		rc = nfsc_rename(conn->session, &dir, temp, &dir, name);
	/* With the connection gone it stays; readers pass over its name. */
	if ((rc != 0 || op->is_new) && (rc >= 0 || rc == -ENOSYS) &&
	    nfsc_remove(conn->session, &dir, temp) < 0)
		rc = rc ? rc : -EHOSTUNREACH;
	return rc;
}

int source_nfs_do_remove(struct source_nfs *nfs, struct source_nfs_conn *conn,
			 struct source_nfs_op *op)
{
	CLEANUP_FREE char *copy = NULL;
	struct nfsc_fh dir;
	char *name;
	int rc;

	rc = source_nfs_parent(nfs, conn, op, &copy, &dir, &name);
	if (rc)
		return rc;
	conn->changed = true;
	return nfsc_remove(conn->session, &dir, name);
}

/* --- list ---------------------------------------------------------------- */

static bool source_nfs_is_temp(const char *name)
{
	size_t len = strlen(name), end_len = strlen(SOURCE_NFS_TEMP_END);

	return len > end_len &&
	       strcmp(name + len - end_len, SOURCE_NFS_TEMP_END) == 0;
}

struct source_nfs_entries {
	struct source_nfs_op *op;
	/* Entries whose attributes were not told, to be asked for. */
	char **names; /* owns; each malloc'ed */
	size_t count, cap;
};

static int source_nfs_later(struct source_nfs_entries *entries,
			    const char *name)
{
	int rc = array_room(&entries->names, entries->count, &entries->cap,
			    sizeof(*entries->names));

	if (rc < 0)
		return rc;
	entries->names[entries->count] = strdup(name);
	return entries->names[entries->count++] ? 0 : -ENOMEM;
}

static int source_nfs_tell(struct source_nfs_op *op, const char *name,
			   bool is_file, bool is_dir, uint64_t size)
{
	char dir_name[NFSC_NAME_BYTES_MAX + 2];

	if (is_file)
		return op->visit(op->ctx, name, size);
	if (!is_dir)
		return 0;
	snprintf(dir_name, sizeof(dir_name), "%s/", name);
	return op->visit(op->ctx, dir_name, 0);
}

static int source_nfs_entry(void *ctx, const char *name, bool has_attr,
			    bool is_file, bool is_dir, uint64_t size)
{
	struct source_nfs_entries *entries = ctx;

	if (source_nfs_is_temp(name))
		return 0;
	if (!has_attr)
		return source_nfs_later(entries, name);
	return source_nfs_tell(entries->op, name, is_file, is_dir, size);
}

static int source_nfs_pages(struct source_nfs_conn *conn,
			    const struct nfsc_fh *dir,
			    struct source_nfs_entries *entries)
{
	struct nfsc_list list = {.visit = source_nfs_entry, .ctx = entries};
	uint64_t total = 0;
	int rc = 0;

	for (unsigned int page = 0; rc == 0 && !list.eof; page++) {
		rc = nfsc_list_page(conn->session, dir, &list);
		total += list.count;
		entries->op->stopped = list.stopped;
		if (rc || list.stopped)
			break;
		/* No entries and no end, or no end at all. */
		if ((list.count == 0 && !list.eof) ||
		    total > SOURCE_NFS_ENTRIES_MAX ||
		    page == SOURCE_NFS_PAGES_MAX) {
			entries->op->misfit = "a listing without end";
			return -EBADMSG;
		}
	}
	return rc;
}

int source_nfs_do_list(struct source_nfs *nfs, struct source_nfs_conn *conn,
		       struct source_nfs_op *op)
{
	struct source_nfs_entries entries = {.op = op};
	CLEANUP_FREE char *copy = strdup(op->path);
	struct nfsc_object object;
	struct nfsc_fh dir;
	int rc;

	if (!copy)
		return -ENOMEM;
	rc = source_nfs_base(nfs, conn, false);
	dir = conn->base;
	if (rc == 0)
		rc = source_nfs_walk(conn, &dir, copy, false, NULL);
	if (rc == NFSC_NOENT)
		return 0;
	if (rc == 0)
		rc = source_nfs_pages(conn, &dir, &entries);
	for (size_t i = 0; i < entries.count; i++) {
		if (rc == 0 && !op->stopped)
			rc = nfsc_lookup(conn->session, &dir, entries.names[i],
					 &object);
		if (rc == 0 && !op->stopped)
			op->stopped = source_nfs_tell(
			    op, entries.names[i], object.is_file, object.is_dir,
			    object.size);
		if (rc == NFSC_NOENT)
			rc = 0; /* gone meanwhile */
		free(entries.names[i]);
	}
	free(entries.names);
	return rc;
}
