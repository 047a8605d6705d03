/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfswrite: the load generator of the bench, writing side.
 *
 *	nfswrite [-s] [-h ADDRESS] [-p NFS_PORT] [-m MOUNT_PORT] [-e EXPORT]
 *		 [-c CONNS] [-n DEPTH] [-t SECONDS] [-u WARM_UP_SECONDS]
 *		 [-P SERVER_PID] [-f FILE] [-d DIRECTORY] [-S BYTES] [-N COUNT]
 *		 [-D PER_DIRECTORY] [-L LENGTH] -w WORKLOAD [-- SERVER...]
 *
 *	seq64k, seq1m	a new file of BYTES in order, UNSTABLE, then COMMIT;
 *			read back and removed behind the measurement
 *	half		every other 64 KiB of FILE (to be in the delta); no line
 *	sync4k		4 KiB of FILE, FILE_SYNC, at random, for SECONDS; each
 *			page once; then all are read back
 *	small		CREATE, WRITE of LENGTH (FILE_SYNC), REMOVE, again and
 *			again; each connection in a directory of its own
 *	fill		COUNT files of LENGTH, PER_DIRECTORY each, in DIRECTORY
 *	list		READDIRPLUS of all that; again and again when SECONDS
 *	empty		removes what fill made
 *	ready		starts SERVER and asks until MNT, GETATTR and
 *READDIRPLUS of DIRECTORY's first directory are answered rightly; prints the
 *time from exec, leaves SERVER running
 *
 * One line of JSON as from nfsbench, and the same promise: every reply is
 * checked, the first wrong one ends the program with status 1.
 */
#include "nfswrite.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

enum {
	RUN_SECONDS_MAX = 900, /* of a workload that has an end of its own */
	READY_SECONDS_MAX = 120,
};

void write_create(struct talk *talk, const struct file *dir, const char *name,
		  struct file *made)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_CREATE);
	talk->args = wire_put_fh(talk->args, &dir->fh);
	talk->args = wire_put_opaque(talk->args, name, strlen(name));
	talk->args = wire_put32(talk->args, NFS3_GUARDED);
	talk->args = wire_put_mode(talk->args, 0644);
	in = talk_call(talk, "CREATE");
	reply_made(&in, made, "CREATE");
	reply_end(&in, "CREATE");
}

void write_remove(struct talk *talk, const struct file *dir, const char *name,
		  uint32_t proc)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, proc);
	talk->args = wire_put_fh(talk->args, &dir->fh);
	talk->args = wire_put_opaque(talk->args, name, strlen(name));
	in = talk_call(talk, name);
	reply_wcc(&in, NULL);
	reply_end(&in, name);
}

/* In a process of its own, since a wrong answer ends it. */
static bool ready_probe(struct write_run *run)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		alarm(10);
		target_mount(&run->opt.server, &run->root);
		write_look(run);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void ready(struct write_run *run, char **server)
{
	uint64_t begin_ns, end_ns;
	pid_t pid;
	int none;

	if (!server[0])
		errx(2, "ready: which server?");
	begin_ns = load_clock_ns();
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		setsid();
		/* Our output is a pipe that must end with us. */
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execvp(server[0], server);
		err(1, "%s", server[0]);
	}
	while (!ready_probe(run)) {
		if (waitpid(pid, &none, WNOHANG) != 0)
			errx(1, "ready: the server has ended");
		if (load_clock_ns() - begin_ns >
		    READY_SECONDS_MAX * 1000000000ull)
			errx(1, "ready: no answer in %d s", READY_SECONDS_MAX);
		usleep(1000);
	}
	end_ns = load_clock_ns();
	printf("{\"workload\":\"ready\",\"pid\":%d,\"ready_ms\":%.1f}\n", pid,
	       (double)(end_ns - begin_ns) / 1e6);
}

static void run_workload(struct write_run *run, const char *name)
{
	if (!strcmp(name, "seq64k"))
		write_seq(run, 64 << 10);
	else if (!strcmp(name, "seq1m"))
		write_seq(run, 1 << 20);
	else if (!strcmp(name, "half"))
		write_half(run);
	else if (!strcmp(name, "sync4k"))
		write_sync(run);
	else if (!strcmp(name, "small"))
		write_small(run);
	else if (!strcmp(name, "fill"))
		write_fill(run);
	else if (!strcmp(name, "list"))
		write_list(run, run->opt.seconds > 0);
	else if (!strcmp(name, "empty"))
		write_empty(run);
	else
		errx(2, "no workload %s", name);
}

static void run_options(struct write_run *run, int argc, char **argv)
{
	int letter;

	while ((letter = getopt(argc, argv, LOAD_OPTIONS "f:d:w:S:N:D:L:")) !=
	       -1) {
		if (letter == 'f')
			run->opt.server.hot_path = optarg;
		else if (letter == 'd')
			run->opt.server.dir_path = optarg;
		else if (letter == 'w')
			run->work.name = optarg;
		else if (letter == 'S')
			run->size = load_number(optarg, 1ul << 40);
		else if (letter == 'N')
			run->count = (uint32_t)load_number(optarg, 100000000);
		else if (letter == 'D')
			run->per_dir = (uint32_t)load_number(optarg, 100000000);
		else if (letter == 'L')
			run->len = (uint32_t)load_number(optarg, 65536);
		else if (!load_option(&run->opt, letter, optarg))
			errx(2, "usage: see the top of nfswrite.c");
	}
	load_options_check(&run->opt);
	if (!run->work.name)
		errx(2, "which workload?");
}

int main(int argc, char **argv)
{
	static struct write_run run = {
	    .opt = LOAD_OPTIONS_DEFAULT,
	    .size = 256 << 20,
	    .count = 10000,
	    .per_dir = 10000,
	    .len = WRITE_PAGE,
	};

	run_options(&run, argc, argv);
	run.load.opt = &run.opt;
	run.load.work = &run.work;
	run.load.ctx = &run;
	alarm(RUN_SECONDS_MAX);
	if (!strcmp(run.work.name, "ready")) {
		ready(&run, argv + optind);
		return 0;
	}
	target_mount(&run.opt.server, &run.root);
	run_workload(&run, run.work.name);
	return 0;
}
