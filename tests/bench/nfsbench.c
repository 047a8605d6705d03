/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsbench: the load generator of the bench.
 *
 * One thread keeps DEPTH calls in flight on each of CONNS connections to an
 * NFSv3 server that exports the files of tree.h, for some seconds after a
 * warm-up, and prints one line of JSON: calls per second, latencies, replies
 * per receive, and the CPU time that each side spent per call.
 *
 * Calls are written by hand (wire.h) from a header made once; all calls of a
 * turn of a connection go out with one send.  Every reply is checked: that it
 * answers a call in flight, accepted, status, handle, file number, size, end
 * of file, and four words of the data of every READ.  Before a run of READs
 * the whole file is read once and all of its words are checked.  The first
 * wrong reply ends the program with status 1: a figure means that nothing was
 * wrong.
 *
 *	nfsbench [-s] [-h ADDRESS] [-p NFS_PORT] [-m MOUNT_PORT] [-e EXPORT]
 *		 [-f HOT_FILE] [-d DIRECTORY] [-w WORKLOAD] [-c CONNS]
 *		 [-n DEPTH] [-t SECONDS] [-u WARM_UP_SECONDS] [-P SERVER_PID]
 *
 * -s spins instead of sleeping: the server then never pays for waking us.
 * -t 0 mounts, looks up and prints nothing: "is it there?".
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "reply.h"
#include "target.h"
#include "tree.h"
#include "wire.h"

enum {
	CONNS_MAX = 256,
	DEPTH_MAX = 256,
	CALL_LEN_MAX = 512,
	REPLY_HEAD_MAX = 1024, /* bytes of a reply without READ's data */
	IN_CAP_MIN = 256 << 10,
	SETTLE_SECONDS = 20, /* set-up and drain together; then SIGALRM */
	HIST_SUB_BITS = 5,   /* 32 steps per octave: 3 % */
	HIST_COUNT = 64 << HIST_SUB_BITS,
};

struct options {
	struct target_server server;
	const char *workload;
	unsigned conns;
	unsigned depth;
	double seconds;
	double warm_seconds;
	pid_t server_pid; /* 0: do not measure it */
	bool spin;
};

/* One call in flight.  Its xid is its index plus a generation. */
struct slot {
	uint32_t xid;
	bool busy;
	uint32_t item; /* index into target.files */
	uint64_t off;  /* of a READ */
	uint64_t sent_ns;
};

struct conn {
	int fd;
	uint8_t *in; /* owns */
	size_t in_start;
	size_t in_end;
	uint8_t *out; /* owns; depth * CALL_LEN_MAX bytes */
	size_t out_len;
	struct slot *slots; /* owns; depth of them */
};

struct counts {
	uint64_t replies;
	uint64_t reply_bytes;
	uint64_t receives;
	uint64_t idle_ns; /* spent on looking where nothing had come */
	uint64_t hist[HIST_COUNT];
};

/* Readings of all clocks at one moment. */
struct reading {
	uint64_t now_ns;
	uint64_t client_ns;
	uint64_t server_ns;
	uint64_t machine_ns; /* all CPUs, busy or stolen */
};

struct run {
	const struct options *opt; /* borrows */
	const struct workload *work;
	struct target target;
	struct conn *conns; /* owns; opt->conns of them */
	int epoll_fd;
	size_t in_cap;
	uint8_t call_head[WIRE_CALL_HEAD_LEN];
	uint64_t now_ns;      /* when the last receive returned */
	uint64_t turn_end_ns; /* when the last turn ended */
	uint32_t next_item;
	uint64_t random;
	bool draining;
	unsigned in_flight;
	struct counts counts;
};

struct workload {
	const char *name;
	uint32_t proc;
	uint32_t read_len; /* bytes per READ, else 0 */
	uint8_t *(*encode)(const struct run *run, const struct slot *slot,
			   uint8_t *p);
	void (*check)(const struct run *run, const struct slot *slot,
		      struct wire_in *in);
};

static uint64_t clock_read_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		err(1, "clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Busy and stolen time of all CPUs; what is not ours or the server's is a
 * disturbance that the reader should know of. */
static uint64_t machine_busy_ns(void)
{
	uint64_t user, nice, sys, idle, wait, irq, softirq, steal, ticks;
	FILE *stat = fopen("/proc/stat", "re");

	if (!stat)
		err(1, "/proc/stat");
	if (fscanf(stat,
		   "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
		   &user, &nice, &sys, &idle, &wait, &irq, &softirq,
		   &steal) != 8)
		errx(1, "/proc/stat: not understood");
	fclose(stat);
	ticks = user + nice + sys + irq + softirq + steal;
	return ticks * 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
}

static struct reading reading_take(const struct run *run)
{
	struct reading reading = {0};
	clockid_t clock;
	int rc;

	reading.machine_ns = machine_busy_ns();
	if (run->opt->server_pid) {
		rc = clock_getcpuclockid(run->opt->server_pid, &clock);
		if (rc)
			errx(1, "process %d: %s", run->opt->server_pid,
			     strerror(rc));
		reading.server_ns = clock_read_ns(clock);
	}
	reading.client_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	reading.now_ns = clock_read_ns(CLOCK_MONOTONIC);
	return reading;
}

/* Latencies in steps of 1/32 octave. */
static void hist_add(uint64_t *hist, uint64_t ns)
{
	unsigned octave;

	if (ns < 1u << HIST_SUB_BITS) {
		hist[ns]++;
		return;
	}
	octave = 63 - (unsigned)__builtin_clzll(ns) - HIST_SUB_BITS;
	hist[((octave + 1) << HIST_SUB_BITS) +
	     ((ns >> octave) & ((1u << HIST_SUB_BITS) - 1))]++;
}

static double hist_us(const uint64_t *hist, uint64_t total, double share)
{
	uint64_t left = (uint64_t)((double)total * share);
	unsigned octave, sub;

	for (unsigned i = 0; i < HIST_COUNT; i++) {
		if (hist[i] <= left) {
			left -= hist[i];
			continue;
		}
		octave = i >> HIST_SUB_BITS;
		sub = i & ((1u << HIST_SUB_BITS) - 1);
		if (!octave)
			return sub / 1e3;
		return (double)((uint64_t)(sub + (1u << HIST_SUB_BITS))
				<< (octave - 1)) /
		       1e3;
	}
	return 0;
}

static uint8_t *null_encode(const struct run *run, const struct slot *slot,
			    uint8_t *p)
{
	(void)run;
	(void)slot;
	return p;
}

static void null_check(const struct run *run, const struct slot *slot,
		       struct wire_in *in)
{
	(void)run;
	(void)slot;
	(void)in;
}

static uint8_t *getattr_encode(const struct run *run, const struct slot *slot,
			       uint8_t *p)
{
	return wire_put_fh(p, &run->target.files[slot->item].fh);
}

static void getattr_check(const struct run *run, const struct slot *slot,
			  struct wire_in *in)
{
	reply_status(in, "GETATTR");
	reply_attr(in, &run->target.files[slot->item], "GETATTR");
}

static uint8_t *lookup_encode(const struct run *run, const struct slot *slot,
			      uint8_t *p)
{
	const char *name = run->target.names[slot->item];

	p = wire_put_fh(p, &run->target.dir.fh);
	return wire_put_opaque(p, name, strlen(name));
}

static void lookup_check(const struct run *run, const struct slot *slot,
			 struct wire_in *in)
{
	const struct file *want = &run->target.files[slot->item];
	struct wire_fh fh;

	reply_status(in, "LOOKUP");
	wire_get_fh(in, &fh);
	if (in->bad || !wire_same_fh(&fh, &want->fh))
		errx(1, "LOOKUP: %s has another handle than before",
		     run->target.names[slot->item]);
	reply_post_op_attr(in, want, "LOOKUP");
	reply_post_op_attr(in, &run->target.dir, "LOOKUP");
}

static uint8_t *access_encode(const struct run *run, const struct slot *slot,
			      uint8_t *p)
{
	p = wire_put_fh(p, &run->target.files[slot->item].fh);
	return wire_put32(p, ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_EXECUTE);
}

static void access_check(const struct run *run, const struct slot *slot,
			 struct wire_in *in)
{
	uint32_t granted;

	reply_status(in, "ACCESS");
	reply_post_op_attr(in, &run->target.files[slot->item], "ACCESS");
	granted = wire_get32(in);
	if (!(granted & ACCESS3_READ))
		errx(1, "ACCESS: granted %#x", granted);
}

static uint8_t *read_encode(const struct run *run, const struct slot *slot,
			    uint8_t *p)
{
	p = wire_put_fh(p, &run->target.hot.fh);
	p = wire_put64(p, slot->off);
	return wire_put32(p, run->work->read_len);
}

static void read_check(const struct run *run, const struct slot *slot,
		       struct wire_in *in)
{
	size_t len = run->work->read_len;
	const uint8_t *data;

	reply_status(in, "READ");
	data = reply_read(in, &run->target.hot, slot->off, len);
	reply_word(data, slot->off, 0);
	reply_word(data, slot->off, (slot->xid * 8ul) % (len / 2));
	reply_word(data, slot->off, len / 2 + (slot->xid * 72ul) % (len / 2));
	reply_word(data, slot->off, len - 8);
}

static const struct workload workloads[] = {
    {"null", NFSPROC3_NULL, 0, null_encode, null_check},
    {"getattr", NFSPROC3_GETATTR, 0, getattr_encode, getattr_check},
    {"lookup", NFSPROC3_LOOKUP, 0, lookup_encode, lookup_check},
    {"access", NFSPROC3_ACCESS, 0, access_encode, access_check},
    {"read4k", NFSPROC3_READ, 4 << 10, read_encode, read_check},
    {"read64k", NFSPROC3_READ, 64 << 10, read_encode, read_check},
    {"read1m", NFSPROC3_READ, 1 << 20, read_encode, read_check},
};

static const struct workload *workload_find(const char *name)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(*workloads); i++)
		if (!strcmp(workloads[i].name, name))
			return &workloads[i];
	errx(2, "no workload %s", name);
}

static uint64_t random_next(struct run *run)
{
	run->random ^= run->random << 13;
	run->random ^= run->random >> 7;
	run->random ^= run->random << 17;
	return run->random;
}

/* Put the slot's next call behind the others that go out this turn. */
static void conn_call(struct run *run, struct conn *conn, struct slot *slot)
{
	uint8_t *call = conn->out + conn->out_len, *end;

	slot->xid += DEPTH_MAX;
	slot->busy = true;
	slot->sent_ns = run->now_ns;
	if (run->work->read_len) {
		uint64_t blocks = TREE_HOT_LEN / run->work->read_len;

		slot->off = random_next(run) % blocks * run->work->read_len;
	} else if (++run->next_item >= TREE_FILE_COUNT) {
		run->next_item = 0;
	}
	slot->item = run->next_item;
	memcpy(call, run->call_head, WIRE_CALL_HEAD_LEN);
	end = run->work->encode(run, slot, call + WIRE_CALL_HEAD_LEN);
	wire_call_seal(call, end, slot->xid);
	conn->out_len += (size_t)(end - call);
	run->in_flight++;
}

/* All calls of the turn, in one send unless the socket is full. */
static void conn_flush(struct conn *conn)
{
	struct pollfd pollfd = {.fd = conn->fd, .events = POLLOUT};
	size_t off = 0;

	while (off < conn->out_len) {
		ssize_t sent = send(conn->fd, conn->out + off,
				    conn->out_len - off, MSG_NOSIGNAL);

		if (sent >= 0)
			off += (size_t)sent;
		else if (errno == EAGAIN)
			poll(&pollfd, 1, -1);
		else
			err(1, "send");
	}
	conn->out_len = 0;
}

static void conn_reply(struct run *run, struct conn *conn, struct wire_in *in)
{
	uint32_t xid = wire_get32(in);
	uint32_t index = xid % DEPTH_MAX;
	struct slot *slot = conn->slots + index;

	if (index >= run->opt->depth || !slot->busy || slot->xid != xid)
		errx(1, "reply to no call in flight: xid %#x", xid);
	reply_accepted(in, run->work->name);
	run->work->check(run, slot, in);
	reply_end(in, run->work->name);
	hist_add(run->counts.hist, run->now_ns - slot->sent_ns);
	run->counts.replies++;
	slot->busy = false;
	run->in_flight--;
	if (!run->draining)
		conn_call(run, conn, slot);
}

/* Take the complete replies out of what has come. */
static void conn_replies(struct run *run, struct conn *conn)
{
	for (;;) {
		struct wire_in in = {.p = conn->in + conn->in_start,
				     .end = conn->in + conn->in_end};
		uint32_t mark = wire_get32(&in);
		size_t len = mark & ~RPC_LAST_FRAGMENT;

		if (in.bad)
			break;
		if (!(mark & RPC_LAST_FRAGMENT) || len + 4 > run->in_cap)
			errx(1, "record of several fragments or %zu bytes",
			     len);
		if ((size_t)(in.end - in.p) < len)
			break;
		in.end = in.p + len;
		run->counts.reply_bytes += len + 4;
		conn->in_start += len + 4;
		conn_reply(run, conn, &in);
	}
	if (conn->in_start == conn->in_end)
		conn->in_start = conn->in_end = 0;
}

/* Room for the rest of the record that has begun, moving it only then. */
static void conn_make_room(const struct run *run, struct conn *conn)
{
	size_t have = conn->in_end - conn->in_start;
	size_t need = IN_CAP_MIN / 2;

	if (have >= 4) {
		struct wire_in in = {.p = conn->in + conn->in_start,
				     .end = conn->in + conn->in_end};

		need = 4 + (wire_get32(&in) & ~RPC_LAST_FRAGMENT) - have;
	}
	if (run->in_cap - conn->in_end >= need)
		return;
	memmove(conn->in, conn->in + conn->in_start, have);
	conn->in_start = 0;
	conn->in_end = have;
}

/* One receive, its replies, one send.  False: nothing had come. */
static bool conn_turn(struct run *run, struct conn *conn)
{
	ssize_t got;

	conn_make_room(run, conn);
	got = recv(conn->fd, conn->in + conn->in_end,
		   run->in_cap - conn->in_end, 0);
	run->now_ns = clock_read_ns(CLOCK_MONOTONIC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0)
		errx(1, "connection ended: %s",
		     got ? strerror(errno) : "by the server");
	run->counts.receives++;
	conn->in_end += (size_t)got;
	conn_replies(run, conn);
	conn_flush(conn);
	return true;
}

static bool run_look(struct run *run)
{
	struct epoll_event events[CONNS_MAX];
	bool busy = false;
	int count;

	/* One connection that spins needs no one to tell it where to look. */
	if (run->opt->spin && run->opt->conns == 1)
		return conn_turn(run, run->conns);
	count = epoll_wait(run->epoll_fd, events, CONNS_MAX,
			   run->opt->spin ? 0 : 100);
	if (count < 0 && errno != EINTR)
		err(1, "epoll_wait");
	for (int i = 0; i < count; i++)
		busy |= conn_turn(run, events[i].data.ptr);
	return busy;
}

static void run_turn(struct run *run)
{
	bool busy = run_look(run);
	uint64_t end_ns = clock_read_ns(CLOCK_MONOTONIC);

	if (!busy)
		run->counts.idle_ns += end_ns - run->turn_end_ns;
	run->turn_end_ns = end_ns;
}

static void run_until(struct run *run, double seconds)
{
	uint64_t end_ns = clock_read_ns(CLOCK_MONOTONIC);

	end_ns += (uint64_t)(seconds * 1e9);
	do
		run_turn(run);
	while (run->turn_end_ns < end_ns);
}

/* What the workload needs to know, and everything warm. */
static void run_prepare(struct run *run)
{
	if (run->work->read_len)
		target_prove_hot(&run->target, &run->opt->server);
	else if (run->work->proc != NFSPROC3_NULL)
		target_learn_files(&run->target, &run->opt->server);
}

static void run_open(struct run *run)
{
	unsigned depth = run->opt->depth;

	run->in_cap = 2 * (run->work->read_len + REPLY_HEAD_MAX);
	if (run->in_cap < IN_CAP_MIN)
		run->in_cap = IN_CAP_MIN;
	run->random = 0x2545f4914f6cdd1dull;
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->conns = calloc(run->opt->conns, sizeof(*run->conns));
	if (run->epoll_fd < 0 || !run->conns)
		err(1, "connections");
	wire_call_head(run->call_head, NFS_PROGRAM, run->work->proc);
	for (unsigned i = 0; i < run->opt->conns; i++) {
		struct conn *conn = run->conns + i;
		struct epoll_event event = {.events = EPOLLIN,
					    .data.ptr = conn};

		conn->fd = target_connect(&run->opt->server,
					  run->opt->server.nfs_port);
		conn->in = malloc(run->in_cap);
		conn->out = malloc((size_t)depth * CALL_LEN_MAX);
		conn->slots = calloc(depth, sizeof(*conn->slots));
		if (!conn->in || !conn->out || !conn->slots)
			err(1, "connection");
		if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) ||
		    epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event))
			err(1, "connection");
		for (unsigned k = 0; k < depth; k++)
			conn->slots[k].xid = (i << 24) + k;
	}
}

static void run_start(struct run *run)
{
	run->now_ns = run->turn_end_ns = clock_read_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < run->opt->conns; i++) {
		struct conn *conn = run->conns + i;

		for (unsigned k = 0; k < run->opt->depth; k++)
			conn_call(run, conn, conn->slots + k);
		conn_flush(conn);
	}
}

static void run_close(struct run *run)
{
	run->draining = true;
	while (run->in_flight)
		run_turn(run);
	for (unsigned i = 0; i < run->opt->conns; i++) {
		close(run->conns[i].fd);
		free(run->conns[i].in);
		free(run->conns[i].out);
		free(run->conns[i].slots);
	}
	free(run->conns);
	close(run->epoll_fd);
}

static void run_print(const struct run *run, const struct reading *a,
		      const struct reading *b, const struct counts *counts)
{
	double seconds = (double)(b->now_ns - a->now_ns) / 1e9;
	double replies = (double)counts->replies;
	double client_us = (double)(b->client_ns - a->client_ns) / 1e3;
	double server_us = (double)(b->server_ns - a->server_ns) / 1e3;
	double other_us = (double)(b->machine_ns - a->machine_ns) / 1e3;

	if (!counts->replies)
		errx(1, "no reply in %.1f s", seconds);
	other_us -= client_us + server_us;
	if (other_us < 0)
		other_us = 0;
	printf("{\"workload\":\"%s\",\"conns\":%u,\"depth\":%u,"
	       "\"seconds\":%.3f,\"replies\":%" PRIu64 ",\"ops_per_s\":%.1f,"
	       "\"mb_per_s\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,"
	       "\"p999_us\":%.2f,\"replies_per_recv\":%.3f,"
	       "\"bytes_per_reply\":%.1f,\"client_cpu_us\":%.4f,"
	       "\"client_busy\":%.3f,"
	       "\"server_cpu_us\":%.4f,\"server_cores\":%.3f,"
	       "\"other_cores\":%.3f}\n",
	       run->work->name, run->opt->conns, run->opt->depth, seconds,
	       counts->replies, replies / seconds,
	       replies * run->work->read_len / seconds / 1e6,
	       hist_us(counts->hist, counts->replies, 0.5),
	       hist_us(counts->hist, counts->replies, 0.99),
	       hist_us(counts->hist, counts->replies, 0.999),
	       replies / (double)counts->receives,
	       (double)counts->reply_bytes / replies, client_us / replies,
	       1 - (double)counts->idle_ns / seconds / 1e9, server_us / replies,
	       server_us / seconds / 1e6, other_us / seconds / 1e6);
}

static void run_measure(struct run *run)
{
	struct reading before, after;
	struct counts *counts = malloc(sizeof(*counts));

	if (!counts)
		err(1, "counts");
	run_open(run);
	run_start(run);
	run_until(run, run->opt->warm_seconds);
	memset(&run->counts, 0, sizeof(run->counts));
	before = reading_take(run);
	run_until(run, run->opt->seconds);
	after = reading_take(run);
	*counts = run->counts;
	run_close(run);
	run_print(run, &before, &after, counts);
	free(counts);
}

static unsigned option_number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value > max)
		errx(2, "%s: not a number up to %u", text, max);
	return (unsigned)value;
}

static void options_set(struct options *opt, int letter, const char *arg)
{
	switch (letter) {
	case 's':
		opt->spin = true;
		break;
	case 'h':
		opt->server.address = arg;
		break;
	case 'p':
		opt->server.nfs_port = (uint16_t)option_number(arg, 65535);
		break;
	case 'm':
		opt->server.mount_port = (uint16_t)option_number(arg, 65535);
		break;
	case 'e':
		opt->server.export = arg;
		break;
	case 'f':
		opt->server.hot_path = arg;
		break;
	case 'd':
		opt->server.dir_path = arg;
		break;
	case 'w':
		opt->workload = arg;
		break;
	case 'c':
		opt->conns = option_number(arg, CONNS_MAX);
		break;
	case 'n':
		opt->depth = option_number(arg, DEPTH_MAX);
		break;
	case 't':
		opt->seconds = strtod(arg, NULL);
		break;
	case 'u':
		opt->warm_seconds = strtod(arg, NULL);
		break;
	case 'P':
		opt->server_pid = (pid_t)option_number(arg, 1 << 30);
		break;
	default:
		errx(2, "usage: see the top of nfsbench.c");
	}
}

int main(int argc, char **argv)
{
	struct options opt = {
	    .server =
		{
		    .address = "127.0.0.1",
		    .nfs_port = 2049,
		    .export = "/",
		    .hot_path = TREE_HOT_NAME,
		    .dir_path = TREE_DIR_NAME,
		},
	    .workload = "getattr",
	    .conns = 4,
	    .depth = 16,
	    .seconds = 1.5,
	    .warm_seconds = 0.5,
	};
	struct run *run = calloc(1, sizeof(*run));
	int letter;

	if (!run)
		err(1, "run");
	while ((letter = getopt(argc, argv, "sh:p:m:e:f:d:w:c:n:t:u:P:")) != -1)
		options_set(&opt, letter, optarg);
	if (!opt.conns || !opt.depth)
		errx(2, "no connections or no calls");
	if (!opt.server.mount_port)
		opt.server.mount_port = opt.server.nfs_port;
	run->opt = &opt;
	run->work = workload_find(opt.workload);
	alarm((unsigned)(opt.seconds + opt.warm_seconds) + SETTLE_SECONDS);
	target_open(&run->target, &opt.server, run->work->read_len);
	if (opt.seconds > 0) {
		run_prepare(run);
		run_measure(run);
	}
	free(run);
	return 0;
}
