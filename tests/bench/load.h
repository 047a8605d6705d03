/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: the engine of the load generators.
 *
 * One thread keeps `depth` calls in flight on each of `conns` connections and
 * counts replies, latencies and the CPU time of both sides.  What is called
 * and how a reply is checked is the workload's; all calls of a turn of a
 * connection go out with one send.  The first wrong reply ends the program.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <sys/types.h>

#include "talk.h"
#include "tree.h"
#include "wire.h"

enum {
	LOAD_CONNS_MAX = 256,
	LOAD_DEPTH_MAX = 256,
	LOAD_PROC_COUNT = 22,     /* procedures of NFS version 3 */
	LOAD_SETTLE_SECONDS = 20, /* set-up and drain together; then SIGALRM */
	LOAD_HIST_SUB_BITS = 5,   /* 32 steps per octave: 3 % */
	LOAD_HIST_COUNT = 64 << LOAD_HIST_SUB_BITS,
};

struct load_options {
	struct talk_server server;
	unsigned conns;
	unsigned depth;
	double seconds;
	double warm_seconds;
	pid_t server_pid; /* 0: do not measure it */
	bool spin;
};

#define LOAD_OPTIONS_DEFAULT                                                   \
	{                                                                      \
		.server =                                                      \
		    {                                                          \
			.address = "127.0.0.1",                                \
			.nfs_port = 2049,                                      \
			.export = "/",                                         \
			.hot_path = TREE_HOT_NAME,                             \
			.dir_path = TREE_DIR_NAME,                             \
		    },                                                         \
		.conns = 4, .depth = 16, .seconds = 1.5, .warm_seconds = 0.5,  \
	}

/* One call in flight.  Its xid is its index plus a generation. */
struct load_slot {
	uint32_t xid;
	bool busy;
	uint16_t conn;  /* number of its connection */
	uint16_t index; /* of the slot in its connection */
	uint32_t proc;  /* set by the workload's encode */
	uint64_t sent_ns;
	/* The workload's own: */
	uint32_t item;
	uint32_t step;
	uint64_t off;
	uint64_t sum;
	uint64_t verf;
	struct wire_fh fh;
};

struct load_counts {
	uint64_t replies;
	uint64_t reply_bytes;
	uint64_t receives;
	uint64_t idle_ns; /* spent on looking where nothing had come */
	uint64_t payload; /* file data read or written, bytes */
	uint64_t items;   /* what the workload counts: files, entries */
	uint64_t hist[LOAD_HIST_COUNT];
};

struct load;

struct load_work {
	const char *name;
	size_t call_max;  /* bytes of a call, at most */
	size_t reply_max; /* bytes of a reply, at most */
	/*
	 * Write the arguments of the slot's next call at p, set slot->proc,
	 * return their end.  NULL: the slot has no more to do.
	 */
	uint8_t *(*encode)(struct load *load, struct load_slot *slot,
			   uint8_t *p);
	/* The results of it, to be taken apart to their end. */
	void (*check)(struct load *load, struct load_slot *slot,
		      struct wire_in *in);
};

struct load_conn;

struct load {
	const struct load_options *opt; /* borrows */
	const struct load_work *work;   /* borrows */
	void *ctx;                      /* the workload's */
	struct load_counts counts;
	uint64_t now_ns; /* when the last receive returned */
	bool draining;   /* time is up: end what was begun, begin nothing */
	unsigned in_flight;
	/* The engine's own: */
	struct load_conn *conns; /* owns; opt->conns of them */
	int epoll_fd;
	size_t in_cap;
	uint8_t heads[LOAD_PROC_COUNT][WIRE_CALL_HEAD_LEN];
	uint64_t turn_end_ns; /* when the last turn ended */
	uint64_t random;
};

/* Some calls for opt->seconds after a warm-up; prints the line of JSON. */
void load_run_seconds(struct load *load);

/* Calls until every slot has no more to do; prints likewise. */
void load_run_all(struct load *load);

uint64_t load_random(struct load *load);

uint64_t load_clock_ns(void); /* CLOCK_MONOTONIC */

/* One letter of the options that all generators have ("shpmecntuP"); false:
 * not one of them. */
#define LOAD_OPTIONS "sh:p:m:e:c:n:t:u:P:"
bool load_option(struct load_options *opt, int letter, const char *arg);
void load_options_check(struct load_options *opt);
unsigned long load_number(const char *text, unsigned long max);

#endif
