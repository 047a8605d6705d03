/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bareserver: the ceiling of the bench, an NFSv3 server without a file system.
 *
 * It answers MOUNT, NULL, GETATTR, LOOKUP, ACCESS, READ and FSINFO with as
 * many bytes as a true server does, over the made-up files of tree.h, which
 * lie in memory.  No lookup, no locks, no cache, no credentials: what it
 * spends is what RPC over TCP costs on this machine, and no server of the same
 * shape (one thread, epoll, one receive and one sendmsg per connection and
 * turn, data sent from where it lies) can spend less.
 *
 * It is not a server to copy from: a client that breaks a rule is cut off.
 *
 *	bareserver [-p PORT] [-P POLL_US]	serve on 127.0.0.1
 *	bareserver -w DIR			write the same files into DIR
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"
#include "wire.h"

enum {
	IN_CAP = 256 << 10,  /* bytes received per turn and connection */
	CALL_LEN_MAX = 1024, /* bytes; all the calls we know are short */
	CALLS_PER_TURN_MAX = 256,
	REPLY_HEAD_MAX = 512, /* bytes of a reply without READ's data */
	IOV_MAX_OURS = 2 * CALLS_PER_TURN_MAX,
	READ_LEN_MAX = 1 << 20,
	EVENTS_MAX = 64,
	POLL_US_DEFAULT = 50,
	FILEID_ROOT = 1,
	FILEID_DIR = 2,
	FILEID_HOT = 3,
	FILEID_FILES = 100,
	FH_LEN = 32,
	FSID = 0x62656e63,
};

struct conn {
	int fd;
	size_t in_len;
	size_t iov_count; /* of replies under way */
	size_t iov_sent;
	size_t head_len;
	struct iovec iov[IOV_MAX_OURS];
	uint8_t heads[CALLS_PER_TURN_MAX * REPLY_HEAD_MAX];
	uint8_t in[IN_CAP];
};

struct server {
	int epoll_fd;
	int listen_fd;
	uint8_t *hot; /* owns; TREE_HOT_LEN bytes, never changed once filled */
	uint64_t poll_ns;
};

struct call {
	uint32_t xid;
	uint32_t prog;
	uint32_t proc;
	struct wire_in args;
};

/* Data that follows a reply's head; len 0 where there is none. */
struct payload {
	const uint8_t *data; /* borrows from server.hot */
	size_t len;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t file_len(uint64_t fileid)
{
	if (fileid == FILEID_HOT)
		return TREE_HOT_LEN;
	if (fileid >= FILEID_FILES)
		return tree_file_len((unsigned)(fileid - FILEID_FILES));
	return 4096;
}

static uint64_t file_find(const uint8_t *name, size_t len)
{
	unsigned number = 0;

	if (len == strlen(TREE_HOT_NAME) && !memcmp(name, TREE_HOT_NAME, len))
		return FILEID_HOT;
	if (len == strlen(TREE_DIR_NAME) && !memcmp(name, TREE_DIR_NAME, len))
		return FILEID_DIR;
	if (len != 5 || name[0] != 'f')
		return 0;
	for (size_t i = 1; i < len; i++)
		number = 10 * number + (unsigned)(name[i] - '0');
	return number < TREE_FILE_COUNT ? FILEID_FILES + number : 0;
}

static uint8_t *put_fh(uint8_t *p, uint64_t fileid)
{
	uint8_t fh[FH_LEN] = {0};

	memcpy(fh, &fileid, sizeof(fileid));
	return wire_put_opaque(p, fh, sizeof(fh));
}

/* The file that a handle names; 0: none of ours. */
static uint64_t get_fh(struct wire_in *in)
{
	size_t len;
	const uint8_t *p = wire_get_opaque(in, &len);
	uint64_t fileid = 0;

	if (p && len == FH_LEN)
		memcpy(&fileid, p, sizeof(fileid));
	return fileid < FILEID_FILES + TREE_FILE_COUNT ? fileid : 0;
}

static uint8_t *put_attr(uint8_t *p, uint64_t fileid)
{
	bool is_dir = fileid == FILEID_ROOT || fileid == FILEID_DIR;

	p = wire_put32(p, is_dir ? NF3DIR : NF3REG);
	p = wire_put32(p, is_dir ? 0755 : 0644);
	p = wire_put32(p, is_dir ? 2 : 1);
	p = wire_put64(p, 0); /* uid, gid */
	p = wire_put64(p, file_len(fileid));
	p = wire_put64(p, file_len(fileid));
	p = wire_put64(p, 0); /* rdev */
	p = wire_put64(p, FSID);
	p = wire_put64(p, fileid);
	for (int i = 0; i < 3; i++)
		p = wire_put64(p, 1700000000ull << 32);
	return p;
}

static uint8_t *put_post_op_attr(uint8_t *p, uint64_t fileid)
{
	p = wire_put32(p, true);
	return put_attr(p, fileid);
}

static uint8_t *put_stale(uint8_t *p)
{
	p = wire_put32(p, NFS3ERR_STALE);
	return wire_put32(p, false);
}

static uint8_t *answer_mnt(uint8_t *p)
{
	p = wire_put32(p, 0);
	p = put_fh(p, FILEID_ROOT);
	p = wire_put32(p, 1);
	return wire_put32(p, RPC_AUTH_SYS);
}

static uint8_t *answer_getattr(struct wire_in *args, uint8_t *p)
{
	uint64_t fileid = get_fh(args);

	if (!fileid)
		return wire_put32(p, NFS3ERR_STALE);
	p = wire_put32(p, NFS3_OK);
	return put_attr(p, fileid);
}

static uint8_t *answer_lookup(struct wire_in *args, uint8_t *p)
{
	uint64_t dir = get_fh(args), found = 0;
	size_t len;
	const uint8_t *name = wire_get_opaque(args, &len);

	if (!dir)
		return put_stale(p);
	if (name)
		found = file_find(name, len);
	if (!found) {
		p = wire_put32(p, NFS3ERR_NOENT);
		return put_post_op_attr(p, dir);
	}
	p = wire_put32(p, NFS3_OK);
	p = put_fh(p, found);
	p = put_post_op_attr(p, found);
	return put_post_op_attr(p, dir);
}

static uint8_t *answer_access(struct wire_in *args, uint8_t *p)
{
	uint64_t fileid = get_fh(args);
	uint32_t wanted = wire_get32(args);

	if (!fileid)
		return put_stale(p);
	p = wire_put32(p, NFS3_OK);
	p = put_post_op_attr(p, fileid);
	return wire_put32(p, wanted);
}

/* Every file is a part of the same pattern, so one buffer serves them all. */
static uint8_t *answer_read(const struct server *server, struct wire_in *args,
			    uint8_t *p, struct payload *payload)
{
	uint64_t fileid = get_fh(args);
	uint64_t off = wire_get64(args);
	size_t len = wire_get32(args);
	uint64_t size = file_len(fileid);

	if (!fileid)
		return put_stale(p);
	if (off > size)
		off = size;
	if (len > READ_LEN_MAX)
		len = READ_LEN_MAX;
	if (len > size - off)
		len = (size_t)(size - off);
	len &= ~(size_t)3; /* no padding to send; our lengths never need it */
	p = wire_put32(p, NFS3_OK);
	p = put_post_op_attr(p, fileid);
	p = wire_put32(p, (uint32_t)len);
	p = wire_put32(p, off + len == size);
	payload->data = server->hot + off;
	payload->len = len;
	return wire_put32(p, (uint32_t)len);
}

static uint8_t *answer_fsinfo(struct wire_in *args, uint8_t *p)
{
	uint64_t fileid = get_fh(args);

	if (!fileid)
		return put_stale(p);
	p = wire_put32(p, NFS3_OK);
	p = put_post_op_attr(p, fileid);
	for (int i = 0; i < 2; i++) { /* read, then write: max, pref, mult */
		p = wire_put32(p, READ_LEN_MAX);
		p = wire_put32(p, READ_LEN_MAX);
		p = wire_put32(p, 4096);
	}
	p = wire_put32(p, 65536);          /* dtpref */
	p = wire_put64(p, INT64_MAX);      /* maxfilesize */
	p = wire_put64(p, 1);              /* time_delta: 1 ns */
	return wire_put32(p, 0x02 | 0x08); /* symlinks, homogeneous */
}

static uint8_t *answer_nfs(const struct server *server, struct call *call,
			   uint8_t *p, struct payload *payload)
{
	switch (call->proc) {
	case NFSPROC3_NULL:
		return p;
	case NFSPROC3_GETATTR:
		return answer_getattr(&call->args, p);
	case NFSPROC3_LOOKUP:
		return answer_lookup(&call->args, p);
	case NFSPROC3_ACCESS:
		return answer_access(&call->args, p);
	case NFSPROC3_READ:
		return answer_read(server, &call->args, p, payload);
	case NFSPROC3_FSINFO:
		return answer_fsinfo(&call->args, p);
	default:
		return NULL;
	}
}

/* The whole reply but its data; returns the end of it. */
static uint8_t *answer(const struct server *server, struct call *call,
		       uint8_t *head, struct payload *payload)
{
	uint8_t *p = head + 4, *status, *end = NULL;

	p = wire_put32(p, call->xid);
	p = wire_put32(p, RPC_REPLY);
	p = wire_put32(p, RPC_ACCEPTED);
	p = wire_put64(p, 0); /* verifier: none */
	status = p;
	p = wire_put32(p, RPC_SUCCESS);
	if (call->prog == NFS_PROGRAM)
		end = answer_nfs(server, call, p, payload);
	else if (call->prog == MOUNT_PROGRAM && !call->proc)
		end = p;
	else if (call->prog == MOUNT_PROGRAM && call->proc == MOUNT_MNT)
		end = answer_mnt(p);
	if (!end) {
		wire_put32(status, RPC_PROC_UNAVAIL);
		end = p;
	}
	wire_put32(head, RPC_LAST_FRAGMENT | (uint32_t)((size_t)(end - head) -
							4 + payload->len));
	return end;
}

static bool call_parse(struct call *call, const uint8_t *body, size_t len)
{
	struct wire_in in = {.p = body, .end = body + len};
	size_t auth_len;

	call->xid = wire_get32(&in);
	if (wire_get32(&in) != RPC_CALL || wire_get32(&in) != RPC_VERSION)
		return false;
	call->prog = wire_get32(&in);
	wire_get32(&in); /* version */
	call->proc = wire_get32(&in);
	for (int i = 0; i < 2; i++) { /* credential, verifier */
		wire_get32(&in);
		wire_get_opaque(&in, &auth_len);
	}
	call->args = in;
	return !in.bad;
}

/* Add bytes to what goes out; heads that touch become one piece. */
static void conn_queue(struct conn *conn, const void *bytes, size_t len)
{
	struct iovec *last = conn->iov + conn->iov_count - 1;

	if (conn->iov_count &&
	    (const uint8_t *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += len;
		return;
	}
	conn->iov[conn->iov_count++] = (struct iovec){
	    .iov_base = (void *)(uintptr_t)bytes,
	    .iov_len = len,
	};
}

/* Answer the complete calls that have come; false: this is no RPC client. */
static bool conn_answer(const struct server *server, struct conn *conn)
{
	size_t off = 0;

	for (int n = 0; n < CALLS_PER_TURN_MAX; n++) {
		struct wire_in in = {.p = conn->in + off,
				     .end = conn->in + conn->in_len};
		uint32_t mark = wire_get32(&in);
		size_t len = mark & ~RPC_LAST_FRAGMENT;
		uint8_t *head = conn->heads + conn->head_len, *end;
		struct payload payload = {.len = 0};
		struct call call;

		if (in.bad)
			break;
		if (!(mark & RPC_LAST_FRAGMENT) || len > CALL_LEN_MAX)
			return false;
		if ((size_t)(in.end - in.p) < len)
			break;
		if (!call_parse(&call, in.p, len))
			return false;
		end = answer(server, &call, head, &payload);
		conn_queue(conn, head, (size_t)(end - head));
		if (payload.len)
			conn_queue(conn, payload.data, payload.len);
		conn->head_len += (size_t)(end - head);
		off += 4 + len;
	}
	conn->in_len -= off;
	if (off)
		memmove(conn->in, conn->in + off, conn->in_len);
	return true;
}

/* Send what is queued; false: the client is gone. */
static bool conn_send(struct conn *conn)
{
	struct msghdr msg = {
	    .msg_iov = conn->iov + conn->iov_sent,
	    .msg_iovlen = conn->iov_count - conn->iov_sent,
	};
	ssize_t sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	while (conn->iov_sent < conn->iov_count) {
		struct iovec *iov = conn->iov + conn->iov_sent;

		if ((size_t)sent < iov->iov_len) {
			iov->iov_base = (uint8_t *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
			return true;
		}
		sent -= (ssize_t)iov->iov_len;
		conn->iov_sent++;
	}
	conn->iov_count = conn->iov_sent = conn->head_len = 0;
	return true;
}

static void conn_arm(const struct server *server, struct conn *conn,
		     uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event))
		err(1, "epoll_ctl");
}

/*
 * One turn of a connection.  While its client does not take what was sent,
 * nothing more is read from it.
 */
static bool conn_turn(const struct server *server, struct conn *conn)
{
	bool was_stuck = conn->iov_count;
	ssize_t got;

	if (was_stuck) {
		if (!conn_send(conn))
			return false;
		if (conn->iov_count)
			return true;
	} else {
		got = recv(conn->fd, conn->in + conn->in_len,
			   IN_CAP - conn->in_len, 0);
		if (got <= 0)
			return got < 0 && (errno == EAGAIN || errno == EINTR);
		conn->in_len += (size_t)got;
	}
	do {
		if (!conn_answer(server, conn))
			return false;
		if (!conn->iov_count)
			break;
		if (!conn_send(conn))
			return false;
	} while (!conn->iov_count);
	if (was_stuck != (conn->iov_count != 0))
		conn_arm(server, conn, conn->iov_count ? EPOLLOUT : EPOLLIN);
	return true;
}

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	free(conn);
}

static void server_accept(const struct server *server)
{
	static const char congestion[] = "reno";
	struct epoll_event event = {.events = EPOLLIN};
	struct conn *conn;
	int one = 1;
	int fd = accept4(server->listen_fd, NULL, NULL,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
		   sizeof(congestion) - 1);
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		err(1, "connection");
	conn->fd = fd;
	event.data.ptr = conn;
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll_ctl");
}

/* Poll for a while after traffic, then sleep. */
static int server_wait(const struct server *server, struct epoll_event *events)
{
	uint64_t until = clock_ns() + server->poll_ns;
	int count;

	do {
		count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, 0);
		if (count)
			return count;
	} while (clock_ns() < until);
	return epoll_wait(server->epoll_fd, events, EVENTS_MAX, -1);
}

static void server_run(const struct server *server)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int count = server_wait(server, events);

		if (count < 0 && errno != EINTR)
			err(1, "epoll_wait");
		for (int i = 0; i < count; i++) {
			struct conn *conn = events[i].data.ptr;

			if (!conn)
				server_accept(server);
			else if (!conn_turn(server, conn))
				conn_close(conn);
		}
	}
}

static void server_listen(struct server *server, uint16_t port)
{
	struct sockaddr_in addr = {
	    .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct epoll_event event = {.events = EPOLLIN};
	int one = 1;

	server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->listen_fd < 0 || server->epoll_fd < 0)
		err(1, "socket");
	setsockopt(server->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one,
		   sizeof(one));
	if (bind(server->listen_fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "bind 127.0.0.1:%u", port);
	if (listen(server->listen_fd, 64) ||
	    fcntl(server->listen_fd, F_SETFL, O_NONBLOCK) ||
	    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd,
		      &event))
		err(1, "listen");
}

static uint8_t *hot_make(void)
{
	uint8_t *hot = mmap(NULL, TREE_HOT_LEN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (hot == MAP_FAILED)
		err(1, "%d bytes", TREE_HOT_LEN);
	tree_fill(hot, 0, TREE_HOT_LEN);
	return hot;
}

static void file_write(const char *dir, const char *name, const uint8_t *data,
		       size_t len)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", path);
	while (len) {
		ssize_t written = write(fd, data, len);

		if (written < 0)
			err(1, "%s", path);
		data += written;
		len -= (size_t)written;
	}
	if (close(fd))
		err(1, "%s", path);
}

static void tree_write(const char *dir, const uint8_t *hot)
{
	char path[4096], name[16];

	snprintf(path, sizeof(path), "%s/%s", dir, TREE_DIR_NAME);
	if (mkdir(path, 0755) && errno != EEXIST)
		err(1, "%s", path);
	file_write(dir, TREE_HOT_NAME, hot, TREE_HOT_LEN);
	for (unsigned i = 0; i < TREE_FILE_COUNT; i++) {
		snprintf(name, sizeof(name), TREE_FILE_FORMAT, i);
		file_write(path, name, hot, tree_file_len(i));
	}
}

int main(int argc, char **argv)
{
	struct server server = {.poll_ns = POLL_US_DEFAULT * 1000};
	const char *write_dir = NULL;
	uint16_t port = 20490;
	int opt;

	while ((opt = getopt(argc, argv, "p:P:w:")) != -1) {
		if (opt == 'p')
			port = (uint16_t)atoi(optarg);
		else if (opt == 'P')
			server.poll_ns = strtoull(optarg, NULL, 10) * 1000;
		else if (opt == 'w')
			write_dir = optarg;
		else
			errx(2, "usage: bareserver [-p PORT] [-P POLL_US] | "
				"-w DIR");
	}
	server.hot = hot_make();
	if (write_dir) {
		tree_write(write_dir, server.hot);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	server_listen(&server, port);
	server_run(&server);
	return 0;
}
