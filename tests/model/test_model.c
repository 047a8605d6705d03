/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_model: random operations on the running server and on a directory of
 * the host, compared (reliability H-3): every status, the attributes of what an
 * operation was about, and in the end all listings, attributes, identities and
 * contents.  As three callers, root among them.  Wants root.
 *
 * SEEDS=N seeds (200; the first is FIRST, 1), or SEED=n alone.  Each is 60 to
 * 200 operations on a fresh guest of one package; each tenth has the server
 * killed or ended and started in the middle.  A seed that fails is cut down to
 * the few operations that make it fail, and those are printed.  TRACE=1 prints
 * all operations.  TERM ends it behind a seed.  ORACLE=DIR puts the host's
 * trees there.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "tests/lib/check.h"
#include "tests/model/act.h"

enum {
	MODEL_SEEDS = 200,
	MODEL_OPS_MIN = 60,
	MODEL_OPS_MAX = 200,
	MODEL_RESTART_EVERY = 10,
	MODEL_SHRINK_RUNS = 400,
	MODEL_FAILURES_MAX = 10,
	MODEL_FDS = 4096,
	MODEL_SAY_EVERY = 250,
};

static struct world_server server;
static volatile sig_atomic_t model_stop;

struct run {
	struct act_dice ops[MODEL_OPS_MAX];
	size_t count;
	bool trace;
	char why[600];
	uint32_t kind; /* of the operation that failed */
	uint64_t calls, refused;
};

static uint64_t model_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void model_ops(struct run *run, uint64_t seed)
{
	uint64_t dice;

	check_fill(&dice, sizeof(dice), seed * 77 + 1);
	memset(run, 0, sizeof(*run));
	run->count = MODEL_OPS_MIN + dice % (MODEL_OPS_MAX - MODEL_OPS_MIN);
	check_fill(run->ops, sizeof(run->ops), seed);
	for (size_t i = 0; i < run->count; i++)
		run->ops[i].kind = act_kind_of(run->ops[i].kind);
	if (seed % MODEL_RESTART_EVERY == 0)
		run->ops[run->count / 2].kind =
		    seed / MODEL_RESTART_EVERY % 2 ? ACT_KILL : ACT_STOP;
}

/* run->why: "" when all is well. */
static void model_run(struct run *run)
{
	struct world *world = calloc(1, sizeof(*world));

	ASSERT(world);
	world_open(world, &server);
	world->trace = run->trace;
	run->kind = ACT_KINDS;
	for (size_t i = 0; i < run->count && !world->why[0]; i++) {
		run->kind = run->ops[i].kind;
		act_do(world, &run->ops[i]);
	}
	if (!world->why[0])
		run->kind = ACT_KINDS; /* only seen in the end */
	world_compare(world, true);
	memcpy(run->why, world->why, sizeof(run->why));
	run->calls = world->calls;
	run->refused = world->refused;
	world_close(world);
	free(world);
}

/* Take operations out, halves first, while the same one still fails. */
static void model_shrink(struct run *run)
{
	unsigned int runs = 0;

	for (size_t step = run->count / 2; step > 0; step /= 2)
		for (size_t at = 0; at + step <= run->count;) {
			struct run less = *run;

			if (++runs > MODEL_SHRINK_RUNS)
				return;
			memmove(less.ops + at, less.ops + at + step,
				(run->count - at - step) * sizeof(*less.ops));
			less.count -= step;
			model_run(&less);
			if (less.why[0] && less.kind == run->kind)
				*run = less;
			else
				at += step;
		}
}

static bool model_seed(uint64_t seed, uint64_t *calls, uint64_t *refused)
{
	struct run run;

	model_ops(&run, seed);
	run.trace = model_env("TRACE", 0);
	model_run(&run);
	*calls += run.calls;
	*refused += run.refused;
	if (!run.why[0])
		return true;
	printf("seed %llu: %s\n", (unsigned long long)seed, run.why);
	fflush(stdout);
	run.trace = false;
	model_shrink(&run);
	printf("seed %llu, cut to %zu operations:\n", (unsigned long long)seed,
	       run.count);
	run.trace = true;
	model_run(&run);
	printf("  %s\n", run.why[0] ? run.why : "does not fail every time");
	fflush(stdout);
	return false;
}

static void test_model(void)
{
	uint64_t one = model_env("SEED", 0), first = model_env("FIRST", 1);
	uint64_t seeds = one ? 1 : model_env("SEEDS", MODEL_SEEDS);
	uint64_t calls = 0, refused = 0, failed = 0, done = 0;
	uint64_t begin = check_now_ns();

	first = one ? one : first;
	for (; done < seeds && failed < MODEL_FAILURES_MAX && !model_stop;
	     done++) {
		failed += !model_seed(first + done, &calls, &refused);
		if (done % MODEL_SAY_EVERY == MODEL_SAY_EVERY - 1) {
			printf("... %llu seeds, %llu failed, %.0f s\n",
			       (unsigned long long)done + 1,
			       (unsigned long long)failed,
			       (double)(check_now_ns() - begin) / 1e9);
			fflush(stdout);
		}
	}
	CU_ASSERT_EQUAL(failed, 0);
	rules_print();
	printf("%llu seeds from %llu, %llu failed; %llu operations, %llu "
	       "refused, %llu restarts, %.1f s\n",
	       (unsigned long long)done, (unsigned long long)first,
	       (unsigned long long)failed, (unsigned long long)calls,
	       (unsigned long long)refused, (unsigned long long)server.restarts,
	       (double)(check_now_ns() - begin) / 1e9);
}

/* The check itself: each kind of difference on the host is seen. */
static bool model_sees(const char *command)
{
	struct world *world = calloc(1, sizeof(*world));
	char line[900];
	bool seen;

	ASSERT(world);
	world_open(world, &server);
	seen = !world->why[0];
	snprintf(line, sizeof(line),
		 "cd %s; keep() { t=$(stat -c %%y $1); f=$1; shift; "
		 "\"$@\" && touch -d \"$t\" $f; }; %s",
		 world->dir, command);
	ASSERT(system(line) == 0);
	world_compare(world, true);
	seen = seen && world->why[0];
	world_close(world);
	free(world);
	return seen;
}

static void test_model_sees(void)
{
	/* "keep FILE COMMAND": with the file's mtime as before. */
	static const char *const differences[] = {
	    "chmod 0754 mine",
	    "chown 1 plain/4096",
	    "chgrp 1 open/fifo",
	    "keep open rm open/...",
	    "keep open/a ln open/two open/a/new",
	    "touch -d 2015-01-01 tmp/hole",
	    "keep mine/big dd if=/dev/zero of=mine/big bs=1 seek=299999 "
	    "count=1 conv=notrunc status=none",
	    "keep mine/big truncate -s 300001 mine/big",
	    "keep many mv many/'entry 1' many/z && "
	    "keep many mv many/'entry 3' many/'entry 1' && "
	    "keep many mv many/z many/'entry 3'",
	    "keep mine ln -sfn sub/deep mine/to-dir && "
	    "touch -hd @1500056000.445 mine/to-dir",
	};

	CU_ASSERT_FALSE(model_sees("true"));
	for (size_t i = 0; i < ARRAY_LEN(differences); i++)
		CU_ASSERT_TRUE(model_sees(differences[i]));
}

/* TERM: no more seeds, but the figures of those that were. */
static void model_on_term(int number)
{
	model_stop = number;
}

static const struct check_test tests[] = {
    {"the check itself", test_model_sees},
    {"random operations", test_model},
};

int main(void)
{
	struct rlimit fds = {MODEL_FDS, MODEL_FDS};
	int rc;

	umask(0);
	/* The host's side needs its own identity per call; the store needs no
	 * disk: fdatasync is cheap here. */
	if (geteuid() != 0) {
		fprintf(stderr, "test_model: wants root\n");
		return 1;
	}
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	setrlimit(RLIMIT_NOFILE, &fds);
	signal(SIGTERM, model_on_term);
	server.hash6 = model_env("HASH6", 0);
	rc = check_main(server.hash6 ? "test_model_hash6" : "test_model", tests,
			ARRAY_LEN(tests));
	world_server_free(&server);
	return rc;
}
