/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsbench: the load generator of the bench, reading side.
 *
 * It keeps calls in flight (load.h) to an NFSv3 server that exports the files
 * of tree.h, for some seconds after a warm-up, and prints one line of JSON:
 * calls per second, latencies, replies per receive, and the CPU time that each
 * side spent per call.
 *
 * Calls are written by hand (wire.h).  Every reply is checked: that it
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
#include <stdlib.h>
#include <unistd.h>

#include "load.h"
#include "reply.h"
#include "target.h"
#include "tree.h"
#include "wire.h"

enum {
	CALL_LEN_MAX = 512,
	REPLY_HEAD_MAX = 1024, /* bytes of a reply without READ's data */
};

struct run {
	struct load load;
	const struct workload *work;
	struct target target;
	uint32_t next_item;
};

struct workload {
	const char *name;
	uint32_t proc;
	uint32_t read_len; /* bytes per READ, else 0 */
	uint8_t *(*encode)(const struct run *run, const struct load_slot *slot,
			   uint8_t *p);
	void (*check)(const struct run *run, const struct load_slot *slot,
		      struct wire_in *in);
};

static uint8_t *null_encode(const struct run *run, const struct load_slot *slot,
			    uint8_t *p)
{
	(void)run;
	(void)slot;
	return p;
}

static void null_check(const struct run *run, const struct load_slot *slot,
		       struct wire_in *in)
{
	(void)run;
	(void)slot;
	(void)in;
}

static uint8_t *getattr_encode(const struct run *run,
			       const struct load_slot *slot, uint8_t *p)
{
	return wire_put_fh(p, &run->target.files[slot->item].fh);
}

static void getattr_check(const struct run *run, const struct load_slot *slot,
			  struct wire_in *in)
{
	reply_status(in, "GETATTR");
	reply_attr(in, &run->target.files[slot->item], "GETATTR");
}

static uint8_t *lookup_encode(const struct run *run,
			      const struct load_slot *slot, uint8_t *p)
{
	const char *name = run->target.names[slot->item];

	p = wire_put_fh(p, &run->target.dir.fh);
	return wire_put_opaque(p, name, strlen(name));
}

static void lookup_check(const struct run *run, const struct load_slot *slot,
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

static uint8_t *access_encode(const struct run *run,
			      const struct load_slot *slot, uint8_t *p)
{
	p = wire_put_fh(p, &run->target.files[slot->item].fh);
	return wire_put32(p, ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_EXECUTE);
}

static void access_check(const struct run *run, const struct load_slot *slot,
			 struct wire_in *in)
{
	uint32_t granted;

	reply_status(in, "ACCESS");
	reply_post_op_attr(in, &run->target.files[slot->item], "ACCESS");
	granted = wire_get32(in);
	if (!(granted & ACCESS3_READ))
		errx(1, "ACCESS: granted %#x", granted);
}

static uint8_t *read_encode(const struct run *run, const struct load_slot *slot,
			    uint8_t *p)
{
	p = wire_put_fh(p, &run->target.hot.fh);
	p = wire_put64(p, slot->off);
	return wire_put32(p, run->work->read_len);
}

static void read_check(const struct run *run, const struct load_slot *slot,
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

static uint8_t *run_encode(struct load *load, struct load_slot *slot,
			   uint8_t *p)
{
	struct run *run = load->ctx;

	if (load->draining)
		return NULL;
	slot->proc = run->work->proc;
	if (run->work->read_len) {
		uint64_t blocks = TREE_HOT_LEN / run->work->read_len;

		slot->off = load_random(load) % blocks * run->work->read_len;
	} else if (++run->next_item >= TREE_FILE_COUNT) {
		run->next_item = 0;
	}
	slot->item = run->next_item;
	return run->work->encode(run, slot, p);
}

static void run_check(struct load *load, struct load_slot *slot,
		      struct wire_in *in)
{
	struct run *run = load->ctx;

	run->work->check(run, slot, in);
	load->counts.payload += run->work->read_len;
}

/* What the workload needs to know, and everything warm. */
static void run_prepare(struct run *run, const struct talk_server *server)
{
	if (run->work->read_len)
		target_prove_hot(&run->target, server);
	else if (run->work->proc != NFSPROC3_NULL)
		target_learn_files(&run->target, server);
}

int main(int argc, char **argv)
{
	static struct run run;
	struct load_options opt = LOAD_OPTIONS_DEFAULT;
	struct load_work work = {
	    .call_max = CALL_LEN_MAX,
	    .encode = run_encode,
	    .check = run_check,
	};
	int letter;

	run.work = workload_find("getattr");
	while ((letter = getopt(argc, argv, LOAD_OPTIONS "f:d:w:")) != -1) {
		if (letter == 'f')
			opt.server.hot_path = optarg;
		else if (letter == 'd')
			opt.server.dir_path = optarg;
		else if (letter == 'w')
			run.work = workload_find(optarg);
		else if (!load_option(&opt, letter, optarg))
			errx(2, "usage: see the top of nfsbench.c");
	}
	load_options_check(&opt);
	work.name = run.work->name;
	work.reply_max = run.work->read_len + REPLY_HEAD_MAX;
	run.load.opt = &opt;
	run.load.work = &work;
	run.load.ctx = &run;
	alarm((unsigned)(opt.seconds + opt.warm_seconds) + LOAD_SETTLE_SECONDS);
	target_open(&run.target, &opt.server, run.work->read_len);
	if (opt.seconds > 0) {
		run_prepare(&run, &opt.server);
		load_run_seconds(&run.load);
	}
	return 0;
}
