/* SPDX-License-Identifier: Apache-2.0 */
/* rawnfs: see rawnfs.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/lib/rawnfs.h"

enum { RAW_WAIT_MS = 30000 };

/* Less, where waiting for a reply that never comes is no news. */
static int raw_wait_ms(void)
{
	const char *ms = getenv("RAW_WAIT_MS");

	return ms ? atoi(ms) : RAW_WAIT_MS;
}

static bool raw_connect(struct raw *raw, const char *from, int from_port,
			const char *host, int port)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	};
	struct sockaddr_in local = {
	    .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)from_port),
	};
	int one = 1;

	memset(raw, 0, sizeof(*raw));
	raw->flavour = 1;
	raw->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, host, &addr.sin_addr);
	if (from)
		inet_pton(AF_INET, from, &local.sin_addr);
	if (raw->fd >= 0 && from_port != 0)
		setsockopt(raw->fd, SOL_SOCKET, SO_REUSEADDR, &one,
			   sizeof(one));
	if (raw->fd < 0 ||
	    (from &&
	     bind(raw->fd, (struct sockaddr *)&local, sizeof(local)) < 0) ||
	    connect(raw->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		base_close_ptr(&raw->fd);
		raw->fd = -1;
		return false;
	}
	setsockopt(raw->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	raw->out = malloc(RAW_MAX);
	raw->in = malloc(RAW_MAX);
	raw->xid = (uint32_t)getpid() << 16;
	return raw->out && raw->in;
}

bool raw_open(struct raw *raw, const char *host, int port)
{
	return raw_connect(raw, getenv("RAW_FROM"), 0,
			   host ? host : "127.0.0.1", port);
}

bool raw_open_from(struct raw *raw, const char *from, int port)
{
	return raw_connect(raw, from, 0, "127.0.0.1", port);
}

bool raw_open_port(struct raw *raw, const char *from, int from_port, int port)
{
	return raw_connect(raw, from, from_port, "127.0.0.1", port);
}

void raw_close(struct raw *raw)
{
	base_close_ptr(&raw->fd);
	raw->fd = -1;
	free(raw->out);
	free(raw->in);
	raw->out = raw->in = NULL;
}

/* --- building ------------------------------------------------------------ */

void raw_put32(struct raw *raw, uint32_t v)
{
	be32_put(raw->out + raw->out_len, v);
	raw->out_len += 4;
}

void raw_put64(struct raw *raw, uint64_t v)
{
	be64_put(raw->out + raw->out_len, v);
	raw->out_len += 8;
}

void raw_put_opaque(struct raw *raw, const void *data, size_t len)
{
	raw_put32(raw, (uint32_t)len);
	memcpy(raw->out + raw->out_len, data, len);
	raw->out_len += len;
	while (raw->out_len % 4)
		raw->out[raw->out_len++] = 0;
}

void raw_put_string(struct raw *raw, const char *text)
{
	raw_put_opaque(raw, text, strlen(text));
}

void raw_put_fh(struct raw *raw, const struct raw_fh *fh)
{
	raw_put_opaque(raw, fh->bytes, fh->len);
}

void raw_put_no_sattr(struct raw *raw)
{
	for (int i = 0; i < 6; i++)
		raw_put32(raw, 0);
}

void raw_put_mode(struct raw *raw, uint32_t mode)
{
	raw_put32(raw, 1);
	raw_put32(raw, mode);
	for (int i = 0; i < 5; i++)
		raw_put32(raw, 0);
}

static void raw_put_optional(struct raw *raw, bool set, uint32_t v)
{
	raw_put32(raw, set);
	if (set)
		raw_put32(raw, v);
}

static void raw_put_time(struct raw *raw, uint32_t how, const uint32_t time[2])
{
	raw_put32(raw, how);
	if (how == RAW_TIME_CLIENT) {
		raw_put32(raw, time[0]);
		raw_put32(raw, time[1]);
	}
}

void raw_put_sattr(struct raw *raw, const struct raw_sattr *set)
{
	raw_put_optional(raw, set->mask & RAW_SET_MODE, set->mode);
	raw_put_optional(raw, set->mask & RAW_SET_UID, set->uid);
	raw_put_optional(raw, set->mask & RAW_SET_GID, set->gid);
	raw_put32(raw, (set->mask & RAW_SET_SIZE) != 0);
	if (set->mask & RAW_SET_SIZE)
		raw_put64(raw, set->size);
	raw_put_time(raw, set->atime_how, set->atime);
	raw_put_time(raw, set->mtime_how, set->mtime);
}

static void raw_put_cred(struct raw *raw)
{
	raw_put32(raw, (uint32_t)raw->flavour);
	if (raw->flavour != 1) {
		raw_put32(raw, 0);
		return;
	}
	raw_put32(raw, 4 + 8 + 4 + 4 + 4 + 4 * raw->group_count);
	raw_put32(raw, 0); /* stamp */
	raw_put_string(raw, "test");
	raw_put32(raw, raw->uid);
	raw_put32(raw, raw->gid);
	raw_put32(raw, raw->group_count);
	for (unsigned int i = 0; i < raw->group_count; i++)
		raw_put32(raw, raw->groups[i]);
}

void raw_begin(struct raw *raw, uint32_t program, uint32_t version,
	       uint32_t proc)
{
	raw->out_len = 4;
	raw_put32(raw, ++raw->xid);
	raw_put32(raw, 0); /* CALL */
	raw_put32(raw, 2);
	raw_put32(raw, program);
	raw_put32(raw, version);
	raw_put32(raw, proc);
	raw_put_cred(raw);
	raw_put32(raw, 0); /* verifier AUTH_NONE */
	raw_put32(raw, 0);
}

bool raw_send_bytes(struct raw *raw, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = send(raw->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool raw_send(struct raw *raw)
{
	be32_put(raw->out, (uint32_t)(raw->out_len - 4) | 0x80000000u);
	return raw_send_bytes(raw, raw->out, raw->out_len);
}

/* --- receiving ----------------------------------------------------------- */

/* 0, RAW_CLOSED or RAW_TIMEOUT */
static int raw_recv(struct raw *raw, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len > 0) {
		struct pollfd pfd = {raw->fd, POLLIN, 0};
		ssize_t n;

		if (poll(&pfd, 1, raw_wait_ms()) == 0)
			return RAW_TIMEOUT;
		n = recv(raw->fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RAW_CLOSED;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int raw_recv_record(struct raw *raw)
{
	uint8_t mark[4];
	uint32_t len;
	int rc = raw_recv(raw, mark, sizeof(mark));

	if (rc < 0)
		return rc;
	len = be32_get(mark);
	/* A reply is one fragment (rule N-53). */
	if (!(len & 0x80000000u) || (len & 0x7fffffffu) > RAW_MAX)
		return RAW_GARBLED;
	raw->in_len = len & 0x7fffffffu;
	raw->in_off = 0;
	raw->short_read = false;
	return raw_recv(raw, raw->in, raw->in_len);
}

bool raw_readable(struct raw *raw, int timeout_ms)
{
	struct pollfd pfd = {raw->fd, POLLIN, 0};

	return poll(&pfd, 1, timeout_ms) > 0;
}

int raw_reply(struct raw *raw)
{
	int rc = raw_recv_record(raw);

	if (rc < 0)
		return rc;
	raw->reply_xid = raw_get32(raw);
	if (raw_get32(raw) != 1)
		return RAW_GARBLED;
	if (raw_get32(raw) == 1) {
		raw->denied = raw_get32(raw);
		raw->denied_why = raw_get32(raw);
		return RAW_DENIED;
	}
	raw_get32(raw);
	raw_get_opaque(raw, NULL, 0); /* verifier */
	rc = (int)raw_get32(raw);
	return raw->short_read ? RAW_GARBLED : rc;
}

int raw_call(struct raw *raw)
{
	int rc;

	if (!raw_send(raw))
		return RAW_CLOSED;
	do
		rc = raw_reply(raw);
	while (rc >= 0 && raw->reply_xid != be32_get(raw->out + 4));
	return rc;
}

uint32_t raw_get32(struct raw *raw)
{
	uint32_t v = 0;

	if (raw->in_len - raw->in_off < 4)
		raw->short_read = true;
	else {
		v = be32_get(raw->in + raw->in_off);
		raw->in_off += 4;
	}
	return v;
}

uint64_t raw_get64(struct raw *raw)
{
	uint64_t high = raw_get32(raw);

	return high << 32 | raw_get32(raw);
}

size_t raw_get_opaque(struct raw *raw, void *buf, size_t cap)
{
	size_t len = raw_get32(raw);
	size_t padded = (len + 3) & ~(size_t)3;

	if (padded > raw->in_len - raw->in_off) {
		raw->short_read = true;
		return 0;
	}
	if (cap > 0)
		memcpy(buf, raw->in + raw->in_off, MIN(len, cap));
	raw->in_off += padded;
	return len;
}

void raw_get_fh(struct raw *raw, struct raw_fh *fh)
{
	/* So that handles can be compared whole. */
	memset(fh, 0, sizeof(*fh));
	fh->len = (uint32_t)raw_get_opaque(raw, fh->bytes, sizeof(fh->bytes));
}

static void raw_get_time(struct raw *raw, uint32_t time[2])
{
	time[0] = raw_get32(raw);
	time[1] = raw_get32(raw);
}

void raw_get_attr(struct raw *raw, struct raw_attr *attr)
{
	attr->present = true;
	attr->type = raw_get32(raw);
	attr->mode = raw_get32(raw);
	attr->nlink = raw_get32(raw);
	attr->uid = raw_get32(raw);
	attr->gid = raw_get32(raw);
	attr->size = raw_get64(raw);
	attr->used = raw_get64(raw);
	attr->rdev[0] = raw_get32(raw);
	attr->rdev[1] = raw_get32(raw);
	attr->fsid = raw_get64(raw);
	attr->fileid = raw_get64(raw);
	raw_get_time(raw, attr->atime);
	raw_get_time(raw, attr->mtime);
	raw_get_time(raw, attr->ctime);
}

void raw_get_post_attr(struct raw *raw, struct raw_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	if (raw_get32(raw))
		raw_get_attr(raw, attr);
}

void raw_get_wcc(struct raw *raw, struct raw_wcc *wcc)
{
	memset(wcc, 0, sizeof(*wcc));
	wcc->has_before = raw_get32(raw);
	if (wcc->has_before) {
		wcc->before_size = raw_get64(raw);
		raw_get_time(raw, wcc->before_mtime);
		raw_get_time(raw, wcc->before_ctime);
	}
	raw_get_post_attr(raw, &wcc->after);
}

/* --- whole calls --------------------------------------------------------- */

int raw_status(struct raw *raw)
{
	int rc = raw_call(raw);

	if (rc < 0)
		return rc;
	if (rc > 0)
		return -(100 + rc);
	return (int)raw_get32(raw);
}

void raw_begin_fh(struct raw *raw, uint32_t proc, const struct raw_fh *fh)
{
	raw_begin(raw, RAW_NFS, 3, proc);
	raw_put_fh(raw, fh);
}

static struct {
	const char *path; /* borrows; NULL: none */
	struct raw_fh root;
} raw_known;

void raw_mounted(const char *path, const struct raw_fh *root)
{
	raw_known.path = path;
	raw_known.root = *root;
}

int raw_mount(struct raw *raw, const char *path, struct raw_fh *root)
{
	int rc;

	if (raw_known.path && strcmp(path, raw_known.path) == 0) {
		*root = raw_known.root;
		return 0;
	}
	raw_begin(raw, RAW_MOUNT, 3, 1);
	raw_put_string(raw, path);
	rc = raw_status(raw);
	if (rc == 0)
		raw_get_fh(raw, root);
	return rc;
}

int raw_getattr(struct raw *raw, const struct raw_fh *fh, struct raw_attr *attr)
{
	int rc;

	raw_begin_fh(raw, P_GETATTR, fh);
	rc = raw_status(raw);
	if (rc == 0)
		raw_get_attr(raw, attr);
	return rc;
}

int raw_lookup(struct raw *raw, const struct raw_fh *dir, const char *name,
	       struct raw_fh *fh, struct raw_attr *attr)
{
	struct raw_attr ignored;
	int rc;

	raw_begin_fh(raw, P_LOOKUP, dir);
	raw_put_string(raw, name);
	rc = raw_status(raw);
	if (rc == 0) {
		raw_get_fh(raw, fh);
		raw_get_post_attr(raw, attr ? attr : &ignored);
	}
	return rc;
}

int raw_walk(struct raw *raw, const struct raw_fh *from, const char *path,
	     struct raw_fh *fh, struct raw_attr *attr)
{
	char name[256];
	int rc = 0;

	*fh = *from;
	while (*path && rc == 0) {
		size_t len = strcspn(path, "/");
		struct raw_fh dir = *fh;

		memcpy(name, path, len);
		name[len] = '\0';
		rc = raw_lookup(raw, &dir, name, fh, attr);
		path += len + (path[len] == '/');
	}
	return rc;
}

int raw_read(struct raw *raw, const struct raw_fh *fh, uint64_t off,
	     uint32_t count, void *buf, uint32_t *got, bool *eof)
{
	struct raw_attr attr;
	int rc;

	raw_begin_fh(raw, P_READ, fh);
	raw_put64(raw, off);
	raw_put32(raw, count);
	rc = raw_status(raw);
	if (rc != 0)
		return rc;
	raw_get_post_attr(raw, &attr);
	*got = raw_get32(raw);
	*eof = raw_get32(raw);
	if (raw_get_opaque(raw, buf, count) != *got)
		return RAW_GARBLED;
	return raw->short_read ? RAW_GARBLED : 0;
}

void raw_begin_write(struct raw *raw, const struct raw_fh *fh, uint64_t off,
		     const void *data, uint32_t len, uint32_t stable)
{
	raw_begin_fh(raw, P_WRITE, fh);
	raw_put64(raw, off);
	raw_put32(raw, len);
	raw_put32(raw, stable);
	raw_put_opaque(raw, data, len);
}

int raw_write(struct raw *raw, const struct raw_fh *fh, uint64_t off,
	      const void *data, uint32_t len, uint32_t stable,
	      uint32_t *committed, uint64_t *verifier)
{
	struct raw_wcc wcc;
	uint32_t count;
	int rc;

	raw_begin_write(raw, fh, off, data, len, stable);
	rc = raw_status(raw);
	if (rc != 0)
		return rc;
	raw_get_wcc(raw, &wcc);
	count = raw_get32(raw);
	*committed = raw_get32(raw);
	*verifier = raw_get64(raw);
	return count == len && !raw->short_read ? 0 : RAW_GARBLED;
}

int raw_commit(struct raw *raw, const struct raw_fh *fh, uint64_t *verifier)
{
	struct raw_wcc wcc;
	int rc;

	raw_begin_fh(raw, P_COMMIT, fh);
	raw_put64(raw, 0);
	raw_put32(raw, 0);
	rc = raw_status(raw);
	if (rc != 0)
		return rc;
	raw_get_wcc(raw, &wcc);
	*verifier = raw_get64(raw);
	return 0;
}

void raw_begin_create(struct raw *raw, const struct raw_fh *dir,
		      const char *name, uint32_t how, uint64_t mode_or_verifier)
{
	raw_begin_fh(raw, P_CREATE, dir);
	raw_put_string(raw, name);
	raw_put32(raw, how);
	if (how == 2)
		raw_put64(raw, mode_or_verifier);
	else
		raw_put_mode(raw, (uint32_t)mode_or_verifier);
}

int raw_create(struct raw *raw, const struct raw_fh *dir, const char *name,
	       uint32_t how, uint64_t mode_or_verifier, struct raw_fh *fh,
	       struct raw_attr *attr)
{
	struct raw_attr ignored;
	int rc;

	raw_begin_create(raw, dir, name, how, mode_or_verifier);
	rc = raw_status(raw);
	if (rc == 0 && raw_get32(raw)) {
		raw_get_fh(raw, fh);
		raw_get_post_attr(raw, attr ? attr : &ignored);
	}
	return rc;
}

void raw_begin_mkdir(struct raw *raw, const struct raw_fh *dir,
		     const char *name, uint32_t mode)
{
	raw_begin_fh(raw, P_MKDIR, dir);
	raw_put_string(raw, name);
	raw_put_mode(raw, mode);
}

int raw_mkdir(struct raw *raw, const struct raw_fh *dir, const char *name,
	      uint32_t mode, struct raw_fh *fh)
{
	int rc;

	raw_begin_mkdir(raw, dir, name, mode);
	rc = raw_status(raw);
	if (rc == 0 && raw_get32(raw))
		raw_get_fh(raw, fh);
	return rc;
}

void raw_begin_remove(struct raw *raw, const struct raw_fh *dir,
		      const char *name, bool rmdir)
{
	raw_begin_fh(raw, rmdir ? P_RMDIR : P_REMOVE, dir);
	raw_put_string(raw, name);
}

int raw_remove(struct raw *raw, const struct raw_fh *dir, const char *name,
	       bool rmdir)
{
	raw_begin_remove(raw, dir, name, rmdir);
	return raw_status(raw);
}

void raw_begin_rename(struct raw *raw, const struct raw_fh *from_dir,
		      const char *from, const struct raw_fh *to_dir,
		      const char *to)
{
	raw_begin_fh(raw, P_RENAME, from_dir);
	raw_put_string(raw, from);
	raw_put_fh(raw, to_dir);
	raw_put_string(raw, to);
}

int raw_rename(struct raw *raw, const struct raw_fh *from_dir, const char *from,
	       const struct raw_fh *to_dir, const char *to)
{
	raw_begin_rename(raw, from_dir, from, to_dir, to);
	return raw_status(raw);
}

void raw_begin_set_size(struct raw *raw, const struct raw_fh *fh, uint64_t size)
{
	raw_begin_fh(raw, P_SETATTR, fh);
	raw_put32(raw, 0);
	raw_put32(raw, 0);
	raw_put32(raw, 0);
	raw_put32(raw, 1);
	raw_put64(raw, size);
	raw_put32(raw, 0);
	raw_put32(raw, 0);
	raw_put32(raw, 0); /* no guard */
}

int raw_set_size(struct raw *raw, const struct raw_fh *fh, uint64_t size)
{
	raw_begin_set_size(raw, fh, size);
	return raw_status(raw);
}

int raw_set_mode(struct raw *raw, const struct raw_fh *fh, uint32_t mode)
{
	raw_begin_fh(raw, P_SETATTR, fh);
	raw_put_mode(raw, mode);
	raw_put32(raw, 0);
	return raw_status(raw);
}
