/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coldstart: ask again what a client asked while it ran a program.
 *
 *   coldstart -p PORT -e EXPORT [-h ADDRESS] [-l FILE] TRACE
 *
 * TRACE is nfstap's.  A call goes out when every reply that came before it in
 * the trace has come here, so what the client had waited for is waited for, and
 * what it had in flight at the same time is in flight at the same time; the
 * program's own work takes no time.  A line M starts the clock anew.  Answers
 * "try again later" are obeyed.
 *
 * Prints a line of JSON: seconds from the first call to the last reply, calls,
 * READs and their bytes, how many were asked again, how many ended otherwise
 * than in the trace, and a sum over all data read: the same for the same bytes,
 * in whatever order they came.  -l writes "OFFSET LENGTH PATH" of each READ.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "reply.h"
#include "talk.h"
#include "target.h"
#include "trace.h"

enum {
	START_RECORD_MAX = (1 << 20) + 4096,
	START_BUFFER = 2 * START_RECORD_MAX,
	START_ARGS_MAX = 4,
	START_LIMIT_S = 600,
	START_AGAIN_US = 100000, /* a client waits longer: 5 s and more */
	NFS3ERR_JUKEBOX = 10008,
};

/* A handle of the trace. */
struct handle {
	struct wire_fh fh; /* len 0: not to be had here */
	char *path;        /* owns; below the root */
};

struct ask {
	bool answered;
	int proc, dir;
	uint32_t status;
	uint64_t args[START_ARGS_MAX];
	char *name;           /* owns; LOOKUP */
	struct wire_fh found; /* LOOKUP */
};

struct start {
	int fd;
	struct ask *asks; /* owns */
	size_t ask_count;
	struct handle *handles; /* owns */
	size_t handle_count;
	struct talk *talk; /* for handles that the trace had from listings */
	FILE *list;
	uint8_t *buffer; /* owns; START_BUFFER; what has come: */
	size_t at, have; /* what is not looked at yet lies between them */
	uint64_t calls, reads, read_bytes, again, differs, sum;
};

static double start_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- handles ------------------------------------------------------------- */

static struct handle *start_handle(struct start *start, size_t number)
{
	size_t count = start->handle_count;

	if (number >= count) {
		count = 2 * number + 64;
		start->handles = reallocarray(start->handles, count,
					      sizeof(*start->handles));
		if (!start->handles)
			err(1, "handles");
		memset(&start->handles[start->handle_count], 0,
		       (count - start->handle_count) * sizeof(struct handle));
		start->handle_count = count;
	}
	return &start->handles[number];
}

static void start_set_handle(struct start *start, size_t number, size_t parent,
			     const char *name, const struct wire_fh *fh)
{
	struct handle *handle = start_handle(start, number);
	const char *above = start_handle(start, parent)->path;

	handle = start_handle(start, number);
	handle->fh = *fh;
	free(handle->path);
	if (asprintf(&handle->path, "%s%s%s", above ? above : "",
		     above && *above ? "/" : "", name) < 0)
		err(1, "handle");
}

/* --- calls --------------------------------------------------------------- */

static void start_send(struct start *start, size_t seq)
{
	struct ask *ask = &start->asks[seq];
	const struct handle *dir = start_handle(start, (size_t)ask->dir);
	uint8_t call[WIRE_CALL_HEAD_LEN + NFS3_FHSIZE + TRACE_NAME_MAX + 64];
	uint8_t *p;

	if (dir->fh.len == 0) {
		ask->answered = true; /* made by the client, back then */
		return;
	}
	p = wire_call_head(call, NFS_PROGRAM, (uint32_t)ask->proc);
	p = wire_put_fh(p, &dir->fh);
	if (ask->name)
		p = wire_put_opaque(p, ask->name, strlen(ask->name));
	if (ask->proc == NFSPROC3_ACCESS) {
		p = wire_put32(p, (uint32_t)ask->args[0]);
	} else if (ask->proc == NFSPROC3_READ) {
		p = wire_put64(p, ask->args[0]);
		p = wire_put32(p, (uint32_t)ask->args[1]);
	} else if (ask->proc == TRACE_READDIR ||
		   ask->proc == NFSPROC3_READDIRPLUS) {
		p = wire_put64(p, ask->args[0]);
		p = wire_put64(p, 0);
		p = wire_put32(p, (uint32_t)ask->args[1]);
		if (ask->proc == NFSPROC3_READDIRPLUS)
			p = wire_put32(p, (uint32_t)ask->args[2]);
	}
	wire_call_seal(call, p, (uint32_t)seq);
	start->calls++;
	if (send(start->fd, call, (size_t)(p - call), MSG_NOSIGNAL) != p - call)
		err(1, "send");
}

/* --- replies ------------------------------------------------------------- */

/* The next `len` bytes, in the buffer till the next call.  One recv() brings as
 * much as there is: the client shares the processors with what it measures. */
static const uint8_t *start_receive(struct start *start, size_t len)
{
	const uint8_t *bytes;

	if (START_BUFFER - start->at < len) {
		start->have -= start->at;
		memmove(start->buffer, start->buffer + start->at, start->have);
		start->at = 0;
	}
	while (start->have - start->at < len) {
		ssize_t got = recv(start->fd, start->buffer + start->have,
				   START_BUFFER - start->have, 0);

		if (got <= 0)
			errx(1, "the server hung up");
		start->have += (size_t)got;
	}
	bytes = start->buffer + start->at;
	start->at += len;
	if (start->at == start->have)
		start->at = start->have = 0;
	return bytes;
}

/* Words of 8 bytes, each times something of its place in the file: bytes at the
 * ends count as their part of a word, so that how a READ is cut does not
 * matter.
 */
static void start_add_sum(struct start *start, const struct ask *ask,
			  const uint8_t *data, size_t len)
{
	uint64_t off = ask->args[0], sum = 0, word;
	size_t i = 0;

	for (; i < len && (off + i) % 8 != 0; i++)
		sum += ((uint64_t)data[i] << (off + i) % 8 * 8) *
		       (2 * ((off + i) / 8) + 1);
	for (uint64_t odd = 2 * ((off + i) / 8) + 1; len - i >= 8;
	     i += 8, odd += 2) {
		memcpy(&word, data + i, 8);
		sum += le64toh(word) * odd;
	}
	for (; i < len; i++)
		sum += ((uint64_t)data[i] << (off + i) % 8 * 8) *
		       (2 * ((off + i) / 8) + 1);
	start->sum += sum * 0x9e3779b97f4a7c15u;
}

/* false: only the beginning came; the rest is asked for. */
static bool start_got_read(struct start *start, size_t seq, struct wire_in *in)
{
	struct ask *ask = &start->asks[seq];
	const uint8_t *data;
	uint32_t count, eof;
	size_t len;

	if (wire_get32(in))
		wire_take(in, FATTR3_LEN);
	count = wire_get32(in);
	eof = wire_get32(in);
	data = wire_get_opaque(in, &len);
	if (!data || len != count || len > ask->args[1])
		errx(1, "READ: %u bytes of %" PRIu64, count, ask->args[1]);
	start_add_sum(start, ask, data, len);
	start->read_bytes += len;
	if (eof || len == ask->args[1])
		return true;
	if (len == 0)
		errx(1, "READ: nothing, and no end of file");
	ask->args[0] += len;
	ask->args[1] -= len;
	start->again++;
	start_send(start, seq);
	return false;
}

static void start_reply(struct start *start)
{
	const uint8_t *record;
	uint32_t mark;
	struct wire_in in;
	struct ask *ask;
	size_t len, seq;

	memcpy(&mark, start_receive(start, sizeof(mark)), sizeof(mark));
	mark = be32toh(mark);
	len = mark & ~RPC_LAST_FRAGMENT;
	if (!(mark & RPC_LAST_FRAGMENT) || len > START_RECORD_MAX)
		errx(1, "reply of several fragments, or too long");
	record = start_receive(start, len);
	in = (struct wire_in){.p = record, .end = record + len};
	seq = wire_get32(&in);
	if (seq >= start->ask_count || start->asks[seq].answered)
		errx(1, "reply to no call of ours");
	ask = &start->asks[seq];
	reply_accepted(&in, trace_proc_name(ask->proc));
	ask->status = wire_get32(&in);
	if (ask->status == NFS3ERR_JUKEBOX) {
		start->again++;
		usleep(START_AGAIN_US);
		start_send(start, seq);
		return;
	}
	if (ask->status == NFS3_OK && ask->proc == NFSPROC3_LOOKUP)
		wire_get_fh(&in, &ask->found);
	if (ask->status == NFS3_OK && ask->proc == NFSPROC3_READ &&
	    !start_got_read(start, seq, &in))
		return;
	ask->answered = true;
}

/* --- the trace ----------------------------------------------------------- */

static char *trace_name(const char *escaped)
{
	char *name = strdup(escaped), *to = name;
	unsigned code;

	if (!name)
		err(1, "trace");
	for (const char *p = escaped; *p; p++) {
		if (*p == '%' && sscanf(p + 1, "%2x", &code) == 1) {
			*to++ = (char)code;
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return name;
}

static struct ask *start_new_ask(struct start *start, size_t seq)
{
	if (seq != start->ask_count)
		errx(1, "trace: call %zu after %zu", seq, start->ask_count);
	if ((seq & (seq - 1)) == 0) {
		start->asks = reallocarray(start->asks, 2 * seq + 1,
					   sizeof(*start->asks));
		if (!start->asks)
			err(1, "trace");
	}
	memset(&start->asks[seq], 0, sizeof(*start->asks));
	start->ask_count++;
	return &start->asks[seq];
}

static void start_call(struct start *start, char *line)
{
	char proc[32], rest[3 * TRACE_NAME_MAX + 1] = "";
	struct ask *ask;
	size_t seq;
	int dir;

	if (sscanf(line, "C %zu %*u %31s %d %765[^\n]", &seq, proc, &dir,
		   rest) < 3)
		errx(1, "trace: %s", line);
	ask = start_new_ask(start, seq);
	ask->proc = trace_proc_of(proc);
	ask->dir = dir;
	if (ask->proc < 0 || dir < 0)
		errx(1, "trace: %s", line);
	if (ask->proc == NFSPROC3_LOOKUP)
		ask->name = trace_name(rest);
	else
		sscanf(rest, "%" SCNu64 " %" SCNu64 " %" SCNu64, &ask->args[0],
		       &ask->args[1], &ask->args[2]);
	if (ask->proc == NFSPROC3_READ) {
		const char *path = start_handle(start, (size_t)dir)->path;

		start->reads++;
		if (start->list && path)
			fprintf(start->list, "%" PRIu64 " %" PRIu64 " %s\n",
				ask->args[0], ask->args[1], path);
	}
	start_send(start, seq);
}

static void start_wait(struct start *start, const char *line)
{
	struct ask *ask;
	size_t seq, number;
	unsigned status;
	int fields = sscanf(line, "R %zu %u %zu", &seq, &status, &number);

	if (fields < 2 || seq >= start->ask_count)
		errx(1, "trace: %s", line);
	while (!start->asks[seq].answered)
		start_reply(start);
	ask = &start->asks[seq];
	if (ask->status != status)
		start->differs++;
	if (fields == 3)
		start_set_handle(start, number, (size_t)ask->dir,
				 ask->name ? ask->name : "", &ask->found);
}

/* What the client knew from a listing is looked up. */
static void start_look(struct start *start, const char *line)
{
	char escaped[3 * TRACE_NAME_MAX + 1], *name;
	struct file parent = {.size = 0}, found;
	size_t number, above;

	if (sscanf(line, "H %zu %zu %765s", &number, &above, escaped) != 3)
		errx(1, "trace: %s", line);
	name = trace_name(escaped);
	parent.fh = start_handle(start, above)->fh;
	target_lookup(start->talk, &parent, name, strlen(name), &found);
	start_set_handle(start, number, above, name, &found.fh);
	free(name);
}

static void start_drain(struct start *start)
{
	for (size_t i = 0; i < start->ask_count; i++)
		while (!start->asks[i].answered)
			start_reply(start);
}

static double start_run(struct start *start, FILE *trace)
{
	double begun = start_clock();
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, trace) > 0) {
		if (*line == 'C')
			start_call(start, line);
		else if (*line == 'R')
			start_wait(start, line);
		else if (*line == 'H')
			start_look(start, line);
		else if (*line == 'M') {
			start_drain(start);
			begun = start_clock();
		}
	}
	free(line);
	start_drain(start);
	return start_clock() - begun;
}

int main(int argc, char **argv)
{
	struct talk_server server = {.address = "127.0.0.1", .export = "/"};
	struct start start = {.fd = -1};
	struct file root;
	double seconds;
	FILE *trace;
	int letter;

	while ((letter = getopt(argc, argv, "h:p:e:l:")) != -1) {
		if (letter == 'h')
			server.address = optarg;
		else if (letter == 'p')
			server.nfs_port = (uint16_t)atoi(optarg);
		else if (letter == 'e')
			server.export = optarg;
		else if (letter == 'l')
			start.list = fopen(optarg, "we");
		else
			errx(2, "usage: see the top of coldstart.c");
	}
	if (optind != argc - 1 || server.nfs_port == 0)
		errx(2, "usage: see the top of coldstart.c");
	trace = fopen(argv[optind], "re");
	if (!trace)
		err(1, "%s", argv[optind]);
	alarm(START_LIMIT_S);
	server.mount_port = server.nfs_port;
	start.buffer = malloc(START_BUFFER);
	if (!start.buffer)
		err(1, "set-up");
	target_mount(&server, &root);
	start_set_handle(&start, 0, 0, "", &root.fh);
	start.talk = talk_open(&server, server.nfs_port);
	start.fd = talk_connect(&server, server.nfs_port);
	seconds = start_run(&start, trace);
	printf("{\"seconds\":%.6f,\"calls\":%" PRIu64 ",\"reads\":%" PRIu64
	       ",\"read_bytes\":%" PRIu64 ",\"again\":%" PRIu64
	       ",\"differs\":%" PRIu64 ",\"sum\":\"%016" PRIx64 "\"}\n",
	       seconds, start.calls, start.reads, start.read_bytes, start.again,
	       start.differs, start.sum);
	if (start.list && fclose(start.list))
		err(1, "list");
	return 0;
}
