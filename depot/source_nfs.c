/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_nfs: a depot on an NFSv3 share that is not mounted here, read and
 * written (nfsc.h).
 *
 * Connections are kept, each with the share mounted, and used again.  One that
 * turns out to be dead before anything was changed over it, as after a reboot
 * of the server, is replaced at once, and so is one whose handles have become
 * stale; JUKEBOX is asked again a few times.  What is left is -EHOSTUNREACH.
 */
#include "depot/source_nfs.h"

#include <stdio.h>
#include <time.h>

enum {
	SOURCE_NFS_PATH_MAX = 1024,
	SOURCE_NFS_JUKEBOX_TRIES = 4,
	SOURCE_NFS_JUKEBOX_MS = 200, /* doubles */
};

static struct source_nfs *source_nfs_of(struct source *source)
{
	return container_of(source, struct source_nfs, source);
}

/* --- connections --------------------------------------------------------- */

/* Mount path, or the nearest directory above it that can be. */
static int source_nfs_mount(struct source_nfs *nfs, struct nfsc_session **out,
			    size_t *mounted, char why[NFSC_WHY_MAX])
{
	struct nfsc_place place = {nfs->host, nfs->port, nfs->mount_port};
	CLEANUP_FREE char *path = strdup(nfs->path);
	char above[NFSC_WHY_MAX], *text = why;
	int rc;

	if (!path)
		return -ENOMEM;
	for (;;) {
		rc = nfsc_session_open(&place, path, &nfs->stopping, out, text);
		text = above; /* the first reason is the one to tell */
		*mounted = strlen(path);
		if (rc <= 0 || *mounted <= 1)
			return rc;
		/* Exports may be mounted from their top only. */
		*strrchr(path, '/') = '\0';
		if (!*path)
			strcpy(path, "/");
	}
}

static int source_nfs_connect(struct source_nfs *nfs,
			      struct source_nfs_conn *conn,
			      char why[NFSC_WHY_MAX])
{
	size_t mounted;
	int rc;

	memset(conn, 0, sizeof(*conn));
	rc = source_nfs_mount(nfs, &conn->session, &mounted, why);
	if (rc)
		return rc > 0 ? -EHOSTUNREACH : rc;
	pthread_mutex_lock(&nfs->lock);
	nfs->mounted = mounted;
	pthread_mutex_unlock(&nfs->lock);
	return 0;
}

static int source_nfs_take(struct source_nfs *nfs, struct source_nfs_conn *conn,
			   char why[NFSC_WHY_MAX])
{
	bool found = false;

	pthread_mutex_lock(&nfs->lock);
	if (nfs->idle_count > 0) {
		*conn = nfs->idle[--nfs->idle_count];
		found = true;
	}
	pthread_mutex_unlock(&nfs->lock);
	if (!found)
		return source_nfs_connect(nfs, conn, why);
	conn->reused = true;
	conn->changed = false;
	return 0;
}

static void source_nfs_give_back(struct source_nfs *nfs,
				 struct source_nfs_conn *conn)
{
	pthread_mutex_lock(&nfs->lock);
	if (nfs->idle_count < SOURCE_NFS_IDLE_MAX) {
		nfs->idle[nfs->idle_count++] = *conn;
		conn->session = NULL;
	}
	pthread_mutex_unlock(&nfs->lock);
	nfsc_session_close(conn->session);
}

/* All that is kept belongs to a server that is no more. */
static void source_nfs_forget(struct source_nfs *nfs)
{
	pthread_mutex_lock(&nfs->lock);
	while (nfs->idle_count > 0)
		nfsc_session_close(nfs->idle[--nfs->idle_count].session);
	memset(nfs->handles, 0, sizeof(nfs->handles));
	pthread_mutex_unlock(&nfs->lock);
}

/* --- handles of files ---------------------------------------------------- */

bool source_nfs_known(struct source_nfs *nfs, const char *path,
		      struct nfsc_fh *fh)
{
	bool found = false;

	pthread_mutex_lock(&nfs->lock);
	for (size_t i = 0; !found && i < SOURCE_NFS_HANDLES; i++) {
		if (strcmp(nfs->handles[i].path, path) != 0)
			continue;
		*fh = nfs->handles[i].fh;
		found = true;
	}
	pthread_mutex_unlock(&nfs->lock);
	return found;
}

void source_nfs_know(struct source_nfs *nfs, const char *path,
		     const struct nfsc_fh *fh)
{
	struct source_nfs_handle *handle;

	if (strlen(path) >= sizeof(nfs->handles[0].path))
		return;
	pthread_mutex_lock(&nfs->lock);
	handle = &nfs->handles[nfs->handle_next++ % SOURCE_NFS_HANDLES];
	strcpy(handle->path, path);
	handle->fh = *fh;
	pthread_mutex_unlock(&nfs->lock);
}

/* --- running one --------------------------------------------------------- */

static void source_nfs_sleep(struct source_nfs *nfs, unsigned int ms)
{
	struct timespec step = {0, 50 * 1000000L};

	for (; ms >= 50 && !atomic_load(&nfs->stopping); ms -= 50)
		nanosleep(&step, NULL);
}

/* Worth another try at once, with all that is known forgotten? */
static bool source_nfs_again(const struct source_nfs_conn *conn, int rc,
			     unsigned int tries)
{
	if (tries > 0)
		return false;
	if (rc == NFSC_STALE || rc == NFSC_BADHANDLE)
		return true;
	return rc == -EHOSTUNREACH && conn->reused && !conn->changed;
}

static int source_nfs_try(struct source_nfs *nfs, source_nfs_fn *fn,
			  struct source_nfs_op *op, char why[NFSC_WHY_MAX])
{
	unsigned int jukebox_ms = SOURCE_NFS_JUKEBOX_MS;
	unsigned int jukeboxes = 0, tries = 0;
	struct source_nfs_conn conn;
	int rc;

	for (;;) {
		rc = source_nfs_take(nfs, &conn, why);
		if (rc)
			return rc;
		rc = fn(nfs, &conn, op);
		if (rc == 0 ||
		    (rc > 0 && !source_nfs_again(&conn, rc, tries))) {
			snprintf(why, NFSC_WHY_MAX, "%s", nfsc_status_text(rc));
			source_nfs_give_back(nfs, &conn);
		} else {
			snprintf(why, NFSC_WHY_MAX, "%s",
				 nfsc_session_why(conn.session));
			nfsc_session_close(conn.session);
		}
		if (rc == NFSC_JUKEBOX &&
		    ++jukeboxes < SOURCE_NFS_JUKEBOX_TRIES) {
			source_nfs_sleep(nfs, jukebox_ms);
			jukebox_ms *= 2;
		} else if (source_nfs_again(&conn, rc, tries)) {
			tries++;
			source_nfs_forget(nfs);
		} else {
			return rc;
		}
		op->stopped = 0;
	}
}

static int source_nfs_meaning(int rc, bool writes, bool *denied)
{
	switch (rc) {
	case NFSC_NOENT:
	case NFSC_NOTDIR:
	case NFSC_ISDIR:
		return -ENOENT;
	case NFSC_PERM:
	case NFSC_ACCES:
	case NFSC_ROFS:
		*denied = true;
		return writes ? -EACCES : -ENOENT;
	case NFSC_EXIST:
		return -EEXIST;
	case NFSC_NOSPC:
	case NFSC_DQUOT:
		return -ENOSPC;
	case -ENOMEM:
	case -ECANCELED:
	case -EBADMSG:
	case -EFBIG:
		return rc;
	default:
		return -EHOSTUNREACH;
	}
}

static int source_nfs_run(struct source *source, source_nfs_fn *fn,
			  struct source_nfs_op *op, struct source_fault *fault)
{
	struct source_nfs *nfs = source_nfs_of(source);
	char why[NFSC_WHY_MAX] = "";
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_nfs_try(nfs, fn, op, why);
	if (rc == 0)
		return 0;
	if (op->misfit)
		snprintf(why, sizeof(why), "refused: %s", op->misfit);
	if (rc == -ENXIO)
		snprintf(why, sizeof(why),
			 "the depot's directory is not there");
	if (rc == -ECANCELED)
		snprintf(why, sizeof(why), "stopped");
	snprintf(fault->text, sizeof(fault->text),
		 "nfs://%.100s%.100s/%.100s: %.200s", nfs->host, nfs->path,
		 op->path, why);
	return source_nfs_meaning(rc, op->make, &fault->denied);
}

/* --- the source ---------------------------------------------------------- */

static int source_nfs_get(struct source *source, const char *path, size_t max,
			  void **buf, size_t *len, struct source_fault *fault)
{
	struct source_nfs_op op = {.path = path, .max = max};
	int rc;

	rc = source_nfs_run(source, source_nfs_do_get, &op, fault);
	if (rc < 0) {
		free(op.buf);
		return rc;
	}
	*buf = op.buf;
	*len = op.len;
	return 0;
}

static int source_nfs_range(struct source *source, const char *path,
			    uint64_t off, size_t len, void *buf,
			    struct source_fault *fault)
{
	struct source_nfs_op op = {
	    .path = path, .off = off, .len = len, .buf = buf};

	ASSERT(len > 0);

	return source_nfs_run(source, source_nfs_do_range, &op, fault);
}

static int source_nfs_put(struct source *source, const char *path,
			  const void *bytes, size_t len,
			  struct source_fault *fault)
{
	struct source_nfs_op op = {
	    .path = path, .make = true, .bytes = bytes, .put_len = len};

	return source_nfs_run(source, source_nfs_do_put, &op, fault);
}

static int source_nfs_put_file(struct source *source, const char *path, int fd,
			       uint64_t len, struct source_fault *fault)
{
	struct source_nfs_op op = {
	    .path = path, .make = true, .fd = fd, .put_len = len};

	return source_nfs_run(source, source_nfs_do_put, &op, fault);
}

static int source_nfs_create(struct source *source, const char *path,
			     const void *bytes, size_t len,
			     struct source_fault *fault)
{
	struct source_nfs_op op = {.path = path,
				   .make = true,
				   .is_new = true,
				   .bytes = bytes,
				   .put_len = len};

	return source_nfs_run(source, source_nfs_do_put, &op, fault);
}

static int source_nfs_remove(struct source *source, const char *path,
			     struct source_fault *fault)
{
	struct source_nfs_op op = {.path = path};
	int rc;

	rc = source_nfs_run(source, source_nfs_do_remove, &op, fault);
	return fault->denied ? -EACCES : rc;
}

static int source_nfs_list(struct source *source, const char *dir,
			   int (*visit)(void *ctx, const char *name,
					uint64_t len),
			   void *ctx, struct source_fault *fault)
{
	struct source_nfs_op op = {.path = dir, .visit = visit, .ctx = ctx};
	int rc;

	rc = source_nfs_run(source, source_nfs_do_list, &op, fault);
	return rc < 0 ? rc : op.stopped;
}

static void source_nfs_stop(struct source *source)
{
	atomic_store(&source_nfs_of(source)->stopping, true);
}

static void source_nfs_free(struct source *source)
{
	struct source_nfs *nfs = source_nfs_of(source);

	source_nfs_forget(nfs);
	pthread_mutex_destroy(&nfs->lock);
	free(nfs->host);
	free(nfs->path);
	free(nfs);
}

static const struct source_ops source_nfs_ops = {
    .get = source_nfs_get,
    .range = source_nfs_range,
    .stop = source_nfs_stop,
    .free = source_nfs_free,
    .put = source_nfs_put,
    .put_file = source_nfs_put_file,
    .create = source_nfs_create,
    .remove = source_nfs_remove,
    .list = source_nfs_list,
};

/* --- URLs ---------------------------------------------------------------- */

static bool source_nfs_port(const char *text, size_t len, unsigned int *port)
{
	char copy[8] = "";
	char *end;

	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	*port = (unsigned int)strtoul(copy, &end, 10);
	return *end == '\0' && *port > 0 && *port < 65536;
}

/* "nfsport=N&mountport=N&version=3" */
static bool source_nfs_query(struct source_nfs *nfs, const char *query)
{
	while (*query) {
		size_t len = strcspn(query, "&");

		if (strncmp(query, "nfsport=", 8) == 0) {
			if (!source_nfs_port(query + 8, len - 8, &nfs->port))
				return false;
		} else if (strncmp(query, "mountport=", 10) == 0) {
			if (!source_nfs_port(query + 10, len - 10,
					     &nfs->mount_port))
				return false;
		} else if (len != 9 || strncmp(query, "version=3", 9) != 0) {
			return false;
		}
		query += len + (query[len] == '&');
	}
	return true;
}

static bool source_nfs_path_ok(const char *path)
{
	size_t len = strlen(path);

	for (const char *p = path; *p; p++)
		if (*p <= ' ' || *p == 0x7f)
			return false;
	return len > 1 && len < SOURCE_NFS_PATH_MAX && !strstr(path, "//") &&
	       !strstr(path, "/../") &&
	       !(len >= 3 && strcmp(path + len - 3, "/..") == 0);
}

/* HOST[:PORT]/PATH[?QUERY] */
static int source_nfs_parse(struct source_nfs *nfs, const char *rest)
{
	size_t host_len = strcspn(rest, "/"), path_len;
	const char *path = rest + host_len, *colon;

	path_len = strcspn(path, "?");
	colon = *rest == '[' ? strchr(rest, ']') : NULL;
	colon = strchr(colon ? colon : rest, ':');
	if (colon && colon < path) {
		if (!source_nfs_port(colon + 1, (size_t)(path - colon) - 1,
				     &nfs->port))
			return -EINVAL;
		host_len = (size_t)(colon - rest);
	}
	if (host_len == 0 || strcspn(rest, "@?#") < host_len ||
	    (path[path_len] && !source_nfs_query(nfs, path + path_len + 1)))
		return -EINVAL;
	if (nfs->port && !nfs->mount_port)
		nfs->mount_port = nfs->port;
	if (*rest == '[')
		nfs->host = strndup(rest + 1, host_len - MIN(host_len, 2));
	else
		nfs->host = strndup(rest, host_len);
	while (path_len > 1 && path[path_len - 1] == '/')
		path_len--;
	nfs->path = strndup(path, path_len);
	if (!nfs->host || !nfs->path)
		return -ENOMEM;
	return source_nfs_path_ok(nfs->path) ? 0 : -EINVAL;
}

int source_nfs_new(const char *rest, struct source **source)
{
	struct source_nfs *nfs = calloc(1, sizeof(*nfs));
	int rc;

	if (!nfs)
		return -ENOMEM;
	nfs->source.ops = &source_nfs_ops;
	pthread_mutex_init(&nfs->lock, NULL);
	rc = source_nfs_parse(nfs, rest);
	if (rc < 0) {
		source_nfs_free(&nfs->source);
		return rc;
	}
	*source = &nfs->source;
	return 0;
}
