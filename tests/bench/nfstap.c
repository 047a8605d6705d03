/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfstap: record what an NFSv3 client asks while it runs a program.
 *
 *   nfstap -l PORT -p PORT -o FILE [-s SERVER]
 *
 * Listens on loopback, passes each connection on to the server, record by
 * record, and writes a line for each call and each reply of the reading kind,
 * in the order in which they came by:
 *
 *   C SEQ MS NAME HANDLE ARGS...   a call; HANDLE is a number, 0 the root
 *   R SEQ STATUS [HANDLE]          its reply; LOOKUP gives its handle a number
 *   H HANDLE PARENT NAME           HANDLE is known from a listing of PARENT
 *
 * Names are escaped as in URLs.  coldstart.c asks the same again: a call goes
 * out when every reply before it in the file has come.  Calls that change
 * something are passed on but not written down.  Ends on SIGTERM.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "trace.h"
#include "wire.h"

enum {
	TAP_PAIRS_MAX = 16,
	TAP_RECORD_MAX = (1 << 20) + 65536,
	TAP_CALLS = 1 << 12, /* in flight, by the low bits of the xid */
	TAP_SLOTS = 1 << 18, /* handles; a power of two */
	TAP_MNT = -1,
	TAP_NONE = -2,
};

/* Half a connection: from one socket to the other, a record at a time. */
struct tap_way {
	int from, to;
	size_t len;
	uint8_t *bytes; /* owns; TAP_RECORD_MAX */
};

struct tap_call {
	bool busy;
	uint32_t xid;
	int proc; /* or TAP_MNT */
	unsigned seq;
	int dir;
	char name[TRACE_NAME_MAX + 1];
};

struct tap_handle {
	bool used, told;
	bool made; /* by the client: the package has no such file */
	struct wire_fh fh;
	int number, parent;
	char *name; /* owns; of those from listings */
};

static struct tap_way tap_ways[2 * TAP_PAIRS_MAX];
static struct tap_call tap_calls[TAP_CALLS];
static struct tap_handle *tap_handles;
static int tap_handle_count;
static unsigned tap_seq;
static FILE *tap_out;
static volatile sig_atomic_t tap_ended;

/* --- handles ------------------------------------------------------------- */

static struct tap_handle *tap_find(const struct wire_fh *fh)
{
	uint64_t hash = 14695981039346656037u;
	size_t i;

	for (uint32_t k = 0; k < fh->len; k++)
		hash = (hash ^ fh->bytes[k]) * 1099511628211u;
	for (i = hash & (TAP_SLOTS - 1);
	     tap_handles[i].used && !wire_same_fh(&tap_handles[i].fh, fh);)
		i = (i + 1) & (TAP_SLOTS - 1);
	return &tap_handles[i];
}

static struct tap_handle *tap_learn(const struct wire_fh *fh)
{
	struct tap_handle *handle = tap_find(fh);

	if (handle->used)
		return handle;
	if (tap_handle_count == TAP_SLOTS / 2)
		errx(1, "too many handles");
	handle->used = true;
	handle->fh = *fh;
	handle->parent = TAP_NONE;
	handle->number = tap_handle_count++;
	return handle;
}

static void tap_print_name(const char *name)
{
	putc(' ', tap_out);
	for (; *name; name++)
		fprintf(tap_out,
			isgraph((unsigned char)*name) && *name != '%'
			    ? "%c"
			    : "%%%02x",
			(unsigned char)*name);
}

/* The number of a call's handle; TAP_NONE: it came from a change. */
static int tap_handle_of(struct wire_in *in)
{
	struct tap_handle *handle;
	struct wire_fh fh;

	wire_get_fh(in, &fh);
	handle = tap_find(&fh);
	if (!handle->used || handle->made)
		return TAP_NONE;
	if (!handle->told) {
		fprintf(tap_out, "H %d %d", handle->number, handle->parent);
		tap_print_name(handle->name);
		putc('\n', tap_out);
		handle->told = true;
	}
	return handle->number;
}

/* --- calls --------------------------------------------------------------- */

static unsigned long tap_ms(void)
{
	static struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (first.tv_sec == 0)
		first = now;
	return (unsigned long)((now.tv_sec - first.tv_sec) * 1000 +
			       (now.tv_nsec - first.tv_nsec) / 1000000);
}

static void tap_get_name(struct wire_in *in, char *name)
{
	size_t len;
	const uint8_t *bytes = wire_get_opaque(in, &len);

	if (!bytes || len > TRACE_NAME_MAX)
		len = 0;
	memcpy(name, bytes ? bytes : (const uint8_t *)"", len);
	name[len] = '\0';
}

static void tap_print_args(struct tap_call *call, struct wire_in *in)
{
	switch (call->proc) {
	case NFSPROC3_LOOKUP:
		tap_get_name(in, call->name);
		tap_print_name(call->name);
		break;
	case NFSPROC3_ACCESS:
		fprintf(tap_out, " %u", wire_get32(in));
		break;
	case NFSPROC3_READ:
		fprintf(tap_out, " %" PRIu64, wire_get64(in));
		fprintf(tap_out, " %u", wire_get32(in));
		break;
	case TRACE_READDIR:
	case NFSPROC3_READDIRPLUS:
		fprintf(tap_out, " %" PRIu64, wire_get64(in));
		wire_get64(in); /* verifier: constant */
		fprintf(tap_out, " %u", wire_get32(in));
		if (call->proc == NFSPROC3_READDIRPLUS)
			fprintf(tap_out, " %u", wire_get32(in));
		break;
	default:
		break;
	}
	putc('\n', tap_out);
}

static bool tap_makes(int proc)
{
	return proc == NFSPROC3_CREATE || proc == NFSPROC3_MKDIR ||
	       proc == TRACE_SYMLINK;
}

static void tap_call(struct wire_in *in)
{
	uint32_t xid = wire_get32(in), prog, proc;
	struct tap_call *call = &tap_calls[xid % TAP_CALLS];
	size_t len;

	wire_get64(in); /* CALL, RPC version */
	prog = wire_get32(in);
	wire_get32(in);
	proc = wire_get32(in);
	for (int i = 0; i < 2; i++) { /* credential, verifier */
		wire_get32(in);
		wire_get_opaque(in, &len);
	}
	*call = (struct tap_call){.xid = xid, .seq = tap_seq};
	if (prog == MOUNT_PROGRAM && proc == MOUNT_MNT) {
		call->proc = TAP_MNT;
		call->busy = true;
	}
	if (prog == NFS_PROGRAM && tap_makes((int)proc)) {
		call->proc = (int)proc;
		call->busy = true;
	}
	if (prog != NFS_PROGRAM || !trace_proc_name((int)proc))
		return;
	call->proc = (int)proc;
	call->dir = tap_handle_of(in);
	if (call->dir == TAP_NONE)
		return;
	call->busy = true;
	fprintf(tap_out, "C %u %lu %s %d", tap_seq++, tap_ms(),
		trace_proc_name(call->proc), call->dir);
	tap_print_args(call, in);
}

/* --- replies ------------------------------------------------------------- */

static void tap_post_op_attr(struct wire_in *in)
{
	if (wire_get32(in))
		wire_take(in, FATTR3_LEN);
}

/* What a listing shows of handles; told only when one is used. */
static void tap_listing(const struct tap_call *call, struct wire_in *in)
{
	tap_post_op_attr(in);
	wire_get64(in); /* verifier */
	while (wire_get32(in) && !in->bad) {
		struct tap_handle *handle;
		char name[TRACE_NAME_MAX + 1];
		struct wire_fh fh;

		wire_get64(in); /* fileid */
		tap_get_name(in, name);
		wire_get64(in); /* cookie */
		tap_post_op_attr(in);
		if (!wire_get32(in))
			continue;
		wire_get_fh(in, &fh);
		if (in->bad || !strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		handle = tap_learn(&fh);
		if (handle->told || handle->made || handle->parent != TAP_NONE)
			continue;
		handle->parent = call->dir;
		handle->name = strdup(name);
		if (!handle->name)
			err(1, "handle");
	}
}

static void tap_reply(struct wire_in *in)
{
	uint32_t xid = wire_get32(in), status;
	struct tap_call *call = &tap_calls[xid % TAP_CALLS];
	struct tap_handle *handle = NULL;
	struct wire_fh fh;
	size_t len;

	if (!call->busy || call->xid != xid)
		return;
	call->busy = false;
	wire_get64(in); /* REPLY, accepted */
	wire_get32(in); /* verifier */
	wire_get_opaque(in, &len);
	wire_get32(in); /* accept_stat */
	status = wire_get32(in);
	if (tap_makes(call->proc)) {
		if (status == NFS3_OK && wire_get32(in)) {
			wire_get_fh(in, &fh);
			tap_learn(&fh)->made = true;
		}
		return;
	}
	if (status == NFS3_OK &&
	    (call->proc == TAP_MNT || call->proc == NFSPROC3_LOOKUP)) {
		wire_get_fh(in, &fh);
		handle = tap_learn(&fh);
		handle->told = true;
	}
	if (call->proc == TAP_MNT)
		return;
	fprintf(tap_out, "R %u %u", call->seq, status);
	if (handle && !handle->made)
		fprintf(tap_out, " %d", handle->number);
	putc('\n', tap_out);
	if (status == NFS3_OK && call->proc == NFSPROC3_READDIRPLUS)
		tap_listing(call, in);
}

/* --- passing on ---------------------------------------------------------- */

static void tap_stop(int signal)
{
	(void)signal;
	tap_ended = 1;
}

static void tap_close(struct tap_way *way)
{
	struct tap_way *pair = &tap_ways[(size_t)(way - tap_ways) & ~1ul];

	for (int i = 0; i < 2; i++) {
		if (pair[i].from >= 0)
			close(pair[i].from);
		pair[i].from = pair[i].to = -1;
		pair[i].len = 0;
	}
}

static bool tap_send(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t sent = send(fd, p, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* The whole records at the head of what has come. */
static bool tap_pass(struct tap_way *way)
{
	bool is_call = (way - tap_ways) % 2 == 0;
	size_t done = 0;

	while (way->len - done >= 4) {
		struct wire_in in = {.p = way->bytes + done,
				     .end = way->bytes + way->len};
		uint32_t mark = wire_get32(&in);
		size_t len = mark & ~RPC_LAST_FRAGMENT;

		if (!(mark & RPC_LAST_FRAGMENT) || len > TAP_RECORD_MAX - 4)
			errx(1, "a record of several fragments, or too long");
		if (way->len - done - 4 < len)
			break;
		in.end = in.p + len;
		if (is_call)
			tap_call(&in);
		else
			tap_reply(&in);
		if (!tap_send(way->to, way->bytes + done, len + 4))
			return false;
		done += len + 4;
	}
	way->len -= done;
	memmove(way->bytes, way->bytes + done, way->len);
	return true;
}

static void tap_receive(struct tap_way *way)
{
	ssize_t got = recv(way->from, way->bytes + way->len,
			   TAP_RECORD_MAX - way->len, 0);

	if (got > 0)
		way->len += (size_t)got;
	if (got <= 0 || !tap_pass(way))
		tap_close(way);
}

static int tap_connect(const char *server, uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, server, &addr.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s:%u", server, port);
	return fd;
}

static void tap_accept(int listener, const char *server, uint16_t port)
{
	int one = 1, fd = accept(listener, NULL, NULL);
	unsigned i = 0;

	if (fd < 0)
		return;
	while (i < 2 * TAP_PAIRS_MAX && tap_ways[i].from >= 0)
		i += 2;
	if (i == 2 * TAP_PAIRS_MAX)
		errx(1, "more than %d connections", TAP_PAIRS_MAX);
	tap_ways[i].from = tap_ways[i + 1].to = fd;
	tap_ways[i].to = tap_ways[i + 1].from = tap_connect(server, port);
	for (unsigned k = i; k < i + 2; k++) {
		setsockopt(tap_ways[k].from, IPPROTO_TCP, TCP_NODELAY, &one,
			   sizeof(one));
		if (!tap_ways[k].bytes)
			tap_ways[k].bytes = malloc(TAP_RECORD_MAX);
		if (!tap_ways[k].bytes)
			err(1, "connection");
	}
}

static void tap_run(int listener, const char *server, uint16_t port)
{
	struct pollfd fds[2 * TAP_PAIRS_MAX + 1];

	while (!tap_ended) {
		for (unsigned i = 0; i < 2 * TAP_PAIRS_MAX; i++)
			fds[i] = (struct pollfd){.fd = tap_ways[i].from,
						 .events = POLLIN};
		fds[2 * TAP_PAIRS_MAX] =
		    (struct pollfd){.fd = listener, .events = POLLIN};
		if (poll(fds, 2 * TAP_PAIRS_MAX + 1, -1) <= 0)
			continue;
		for (unsigned i = 0; i < 2 * TAP_PAIRS_MAX; i++)
			if (fds[i].revents && tap_ways[i].from >= 0)
				tap_receive(&tap_ways[i]);
		if (fds[2 * TAP_PAIRS_MAX].revents)
			tap_accept(listener, server, port);
	}
}

static int tap_listen(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd, TAP_PAIRS_MAX))
		err(1, "port %u", port);
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction stop = {.sa_handler = tap_stop};
	const char *server = "127.0.0.1", *path = NULL;
	int from = 0, to = 0, letter, listener;

	while ((letter = getopt(argc, argv, "l:p:s:o:")) != -1) {
		if (letter == 'l')
			from = atoi(optarg);
		else if (letter == 'p')
			to = atoi(optarg);
		else if (letter == 's')
			server = optarg;
		else if (letter == 'o')
			path = optarg;
		else
			errx(2, "usage: see the top of nfstap.c");
	}
	if (from <= 0 || to <= 0 || !path)
		errx(2, "usage: see the top of nfstap.c");
	tap_out = fopen(path, "we");
	tap_handles = calloc(TAP_SLOTS, sizeof(*tap_handles));
	if (!tap_out || !tap_handles)
		err(1, "%s", path);
	for (unsigned i = 0; i < 2 * TAP_PAIRS_MAX; i++)
		tap_ways[i].from = tap_ways[i].to = -1;
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	listener = tap_listen((uint16_t)from);
	tap_run(listener, server, (uint16_t)to);
	if (fclose(tap_out))
		err(1, "%s", path);
	return 0;
}
