/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: connections, calls in flight, clocks; see load.h.
 */
#include "load.h"

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

enum {
	IN_CAP_MIN = 256 << 10,
};

struct load_conn {
	int fd;
	size_t in_start;
	size_t in_end;
	uint8_t *in;  /* owns */
	uint8_t *out; /* owns; a call_max for each slot */
	size_t out_len;
	struct load_slot *slots; /* owns; depth of them */
};

/* Readings of all clocks at one moment. */
struct reading {
	uint64_t now_ns;
	uint64_t client_ns;
	uint64_t server_ns;
	uint64_t machine_ns; /* all CPUs, busy or stolen */
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

static struct reading reading_take(const struct load *load)
{
	struct reading reading = {0};
	clockid_t clock;
	int rc;

	reading.machine_ns = machine_busy_ns();
	if (load->opt->server_pid) {
		rc = clock_getcpuclockid(load->opt->server_pid, &clock);
		if (rc)
			errx(1, "process %d: %s", load->opt->server_pid,
			     strerror(rc));
		reading.server_ns = clock_read_ns(clock);
	}
	reading.client_ns = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
	reading.now_ns = clock_read_ns(CLOCK_MONOTONIC);
	return reading;
}

uint64_t load_clock_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

/* Latencies in steps of 1/32 octave. */
static void hist_add(uint64_t *hist, uint64_t ns)
{
	unsigned octave;

	if (ns < 1u << LOAD_HIST_SUB_BITS) {
		hist[ns]++;
		return;
	}
	octave = 63 - (unsigned)__builtin_clzll(ns) - LOAD_HIST_SUB_BITS;
	hist[((octave + 1) << LOAD_HIST_SUB_BITS) +
	     ((ns >> octave) & ((1u << LOAD_HIST_SUB_BITS) - 1))]++;
}

static double hist_us(const uint64_t *hist, uint64_t total, double share)
{
	uint64_t left = (uint64_t)((double)total * share);
	unsigned octave, sub;

	for (unsigned i = 0; i < LOAD_HIST_COUNT; i++) {
		if (hist[i] <= left) {
			left -= hist[i];
			continue;
		}
		octave = i >> LOAD_HIST_SUB_BITS;
		sub = i & ((1u << LOAD_HIST_SUB_BITS) - 1);
		if (!octave)
			return sub / 1e3;
		return (double)((uint64_t)(sub + (1u << LOAD_HIST_SUB_BITS))
				<< (octave - 1)) /
		       1e3;
	}
	return 0;
}

uint64_t load_random(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

/* Put the slot's next call behind the others that go out this turn. */
static void conn_call(struct load *load, struct load_conn *conn,
		      struct load_slot *slot)
{
	uint8_t *call = conn->out + conn->out_len, *end;

	end = load->work->encode(load, slot, call + WIRE_CALL_HEAD_LEN);
	if (!end)
		return;
	slot->xid += LOAD_DEPTH_MAX;
	slot->busy = true;
	slot->sent_ns = load->now_ns;
	memcpy(call, load->heads[slot->proc], WIRE_CALL_HEAD_LEN);
	wire_call_seal(call, end, slot->xid);
	conn->out_len += (size_t)(end - call);
	load->in_flight++;
}

/* All calls of the turn, in one send unless the socket is full. */
static void conn_flush(struct load_conn *conn)
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

static void conn_reply(struct load *load, struct load_conn *conn,
		       struct wire_in *in)
{
	uint32_t xid = wire_get32(in);
	uint32_t index = xid % LOAD_DEPTH_MAX;
	struct load_slot *slot = conn->slots + index;

	if (index >= load->opt->depth || !slot->busy || slot->xid != xid)
		errx(1, "reply to no call in flight: xid %#x", xid);
	reply_accepted(in, load->work->name);
	load->work->check(load, slot, in);
	reply_end(in, load->work->name);
	hist_add(load->counts.hist, load->now_ns - slot->sent_ns);
	load->counts.replies++;
	slot->busy = false;
	load->in_flight--;
	conn_call(load, conn, slot);
}

/* Take the complete replies out of what has come. */
static void conn_replies(struct load *load, struct load_conn *conn)
{
	for (;;) {
		struct wire_in in = {.p = conn->in + conn->in_start,
				     .end = conn->in + conn->in_end};
		uint32_t mark = wire_get32(&in);
		size_t len = mark & ~RPC_LAST_FRAGMENT;

		if (in.bad)
			break;
		if (!(mark & RPC_LAST_FRAGMENT) || len + 4 > load->in_cap)
			errx(1, "record of several fragments or %zu bytes",
			     len);
		if ((size_t)(in.end - in.p) < len)
			break;
		in.end = in.p + len;
		load->counts.reply_bytes += len + 4;
		conn->in_start += len + 4;
		conn_reply(load, conn, &in);
	}
	if (conn->in_start == conn->in_end)
		conn->in_start = conn->in_end = 0;
}

/* Room for the rest of the record that has begun, moving it only then. */
static void conn_make_room(const struct load *load, struct load_conn *conn)
{
	size_t have = conn->in_end - conn->in_start;
	size_t need = IN_CAP_MIN / 2;

	if (have >= 4) {
		struct wire_in in = {.p = conn->in + conn->in_start,
				     .end = conn->in + conn->in_end};

		need = 4 + (wire_get32(&in) & ~RPC_LAST_FRAGMENT) - have;
	}
	if (load->in_cap - conn->in_end >= need)
		return;
	memmove(conn->in, conn->in + conn->in_start, have);
	conn->in_start = 0;
	conn->in_end = have;
}

/* One receive, its replies, one send.  False: nothing had come. */
static bool conn_turn(struct load *load, struct load_conn *conn)
{
	ssize_t got;

	conn_make_room(load, conn);
	got = recv(conn->fd, conn->in + conn->in_end,
		   load->in_cap - conn->in_end, 0);
	load->now_ns = clock_read_ns(CLOCK_MONOTONIC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0)
		errx(1, "connection ended: %s",
		     got ? strerror(errno) : "by the server");
	load->counts.receives++;
	conn->in_end += (size_t)got;
	conn_replies(load, conn);
	conn_flush(conn);
	return true;
}

static bool load_look(struct load *load)
{
	struct epoll_event events[LOAD_CONNS_MAX];
	bool busy = false;
	int count;

	/* One connection that spins needs no one to tell it where to look. */
	if (load->opt->spin && load->opt->conns == 1)
		return conn_turn(load, load->conns);
	count = epoll_wait(load->epoll_fd, events, LOAD_CONNS_MAX,
			   load->opt->spin ? 0 : 100);
	if (count < 0 && errno != EINTR)
		err(1, "epoll_wait");
	for (int i = 0; i < count; i++)
		busy |= conn_turn(load, events[i].data.ptr);
	return busy;
}

static void load_turn(struct load *load)
{
	bool busy = load_look(load);
	uint64_t end_ns = clock_read_ns(CLOCK_MONOTONIC);

	if (!busy)
		load->counts.idle_ns += end_ns - load->turn_end_ns;
	load->turn_end_ns = end_ns;
}

static void load_until(struct load *load, double seconds)
{
	uint64_t end_ns = clock_read_ns(CLOCK_MONOTONIC);

	end_ns += (uint64_t)(seconds * 1e9);
	do
		load_turn(load);
	while (load->turn_end_ns < end_ns);
}

static void load_open(struct load *load)
{
	unsigned depth = load->opt->depth;

	load->in_cap = 2 * load->work->reply_max;
	if (load->in_cap < IN_CAP_MIN)
		load->in_cap = IN_CAP_MIN;
	load->random = 0x2545f4914f6cdd1dull;
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	load->conns = calloc(load->opt->conns, sizeof(*load->conns));
	if (load->epoll_fd < 0 || !load->conns)
		err(1, "connections");
	for (unsigned proc = 0; proc < LOAD_PROC_COUNT; proc++)
		wire_call_head(load->heads[proc], NFS_PROGRAM, proc);
	for (unsigned i = 0; i < load->opt->conns; i++) {
		struct load_conn *conn = load->conns + i;
		struct epoll_event event = {.events = EPOLLIN,
					    .data.ptr = conn};

		conn->fd = talk_connect(&load->opt->server,
					load->opt->server.nfs_port);
		conn->in = malloc(load->in_cap);
		conn->out = malloc(depth * load->work->call_max);
		conn->slots = calloc(depth, sizeof(*conn->slots));
		if (!conn->in || !conn->out || !conn->slots)
			err(1, "connection");
		if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) ||
		    epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event))
			err(1, "connection");
		for (unsigned k = 0; k < depth; k++) {
			conn->slots[k].xid = (i << 24) + k;
			conn->slots[k].conn = (uint16_t)i;
			conn->slots[k].index = (uint16_t)k;
		}
	}
}

static void load_start(struct load *load)
{
	load->now_ns = load->turn_end_ns = clock_read_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < load->opt->conns; i++) {
		struct load_conn *conn = load->conns + i;

		for (unsigned k = 0; k < load->opt->depth; k++)
			conn_call(load, conn, conn->slots + k);
		conn_flush(conn);
	}
}

static void load_close(struct load *load)
{
	load->draining = true;
	while (load->in_flight)
		load_turn(load);
	for (unsigned i = 0; i < load->opt->conns; i++) {
		close(load->conns[i].fd);
		free(load->conns[i].in);
		free(load->conns[i].out);
		free(load->conns[i].slots);
	}
	free(load->conns);
	close(load->epoll_fd);
}

static void load_print(const struct load *load, const struct reading *a,
		       const struct reading *b,
		       const struct load_counts *counts)
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
	       "\"bytes_per_reply\":%.1f,\"items_per_s\":%.1f,"
	       "\"client_cpu_us\":%.4f,"
	       "\"client_busy\":%.3f,"
	       "\"server_cpu_us\":%.4f,\"server_cores\":%.3f,"
	       "\"other_cores\":%.3f}\n",
	       load->work->name, load->opt->conns, load->opt->depth, seconds,
	       counts->replies, replies / seconds,
	       (double)counts->payload / seconds / 1e6,
	       hist_us(counts->hist, counts->replies, 0.5),
	       hist_us(counts->hist, counts->replies, 0.99),
	       hist_us(counts->hist, counts->replies, 0.999),
	       replies / (double)counts->receives,
	       (double)counts->reply_bytes / replies,
	       (double)counts->items / seconds, client_us / replies,
	       1 - (double)counts->idle_ns / seconds / 1e9, server_us / replies,
	       server_us / seconds / 1e6, other_us / seconds / 1e6);
}

void load_run_seconds(struct load *load)
{
	struct reading before, after;
	struct load_counts *counts = malloc(sizeof(*counts));

	if (!counts)
		err(1, "counts");
	load_open(load);
	load_start(load);
	load_until(load, load->opt->warm_seconds);
	memset(&load->counts, 0, sizeof(load->counts));
	before = reading_take(load);
	load_until(load, load->opt->seconds);
	after = reading_take(load);
	*counts = load->counts;
	load_close(load);
	load_print(load, &before, &after, counts);
	free(counts);
}

void load_run_all(struct load *load)
{
	struct reading before, after;

	load_open(load);
	memset(&load->counts, 0, sizeof(load->counts));
	before = reading_take(load);
	load_start(load);
	while (load->in_flight)
		load_turn(load);
	after = reading_take(load);
	load_close(load);
	load_print(load, &before, &after, &load->counts);
}

unsigned long load_number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value > max)
		errx(2, "%s: not a number up to %lu", text, max);
	return value;
}

void load_options_check(struct load_options *opt)
{
	if (!opt->conns || !opt->depth)
		errx(2, "no connections or no calls");
	if (!opt->server.mount_port)
		opt->server.mount_port = opt->server.nfs_port;
}

bool load_option(struct load_options *opt, int letter, const char *arg)
{
	switch (letter) {
	case 's':
		opt->spin = true;
		return true;
	case 'h':
		opt->server.address = arg;
		return true;
	case 'p':
		opt->server.nfs_port = (uint16_t)load_number(arg, 65535);
		return true;
	case 'm':
		opt->server.mount_port = (uint16_t)load_number(arg, 65535);
		return true;
	case 'e':
		opt->server.export = arg;
		return true;
	case 'c':
		opt->conns = (unsigned)load_number(arg, LOAD_CONNS_MAX);
		return true;
	case 'n':
		opt->depth = (unsigned)load_number(arg, LOAD_DEPTH_MAX);
		return true;
	case 't':
		opt->seconds = strtod(arg, NULL);
		return true;
	case 'u':
		opt->warm_seconds = strtod(arg, NULL);
		return true;
	case 'P':
		opt->server_pid = (pid_t)load_number(arg, 1 << 30);
		return true;
	default:
		return false;
	}
}
