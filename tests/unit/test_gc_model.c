/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gc_model: packages made, given up, removed, pulled and read by some
 * threads while another collects, and deaths at random points of it, against a
 * model: what is known to be there has all its shards, proved; in the end only
 * those are left.
 *
 *   ROUNDS=200 SEED=7 build/plain/tests/unit/test_gc_model
 *
 * Each life of the store is a process of its own, so that a death loses what
 * kill -9 would lose.  What it must know is in memory that all of them share.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "depot/gc.h"
#include "depot/inside.h"
#include "depot/log.h"
#include "tests/lib/check.h"
#include "tests/lib/depotkit.h"
#include "tests/lib/tmpdir.h"

enum {
	MODEL_PACKAGES = 8,
	MODEL_MAKERS = 2,
	MODEL_OPS = 12,     /* of a maker, in one life */
	MODEL_ROUNDS = 16,  /* lives */
	MODEL_POINTS = 900, /* a life ends at one of them, or not */
	MODEL_DIED = 9,     /* exit status of a death */
	MODEL_FILES = 10,
	MODEL_SEEDS = 3, /* contents: few, so that what one removes the other
			    makes */
};

enum model_state { MODEL_ABSENT, MODEL_PRESENT, MODEL_UNKNOWN };

/* Shared by all lives.  A package is one maker's alone. */
struct model {
	struct {
		_Atomic int state;
		unsigned int files, seed;
		bool pulled;
	} package[MODEL_PACKAGES];
	_Atomic unsigned int made, given_up, removed, pulled, collected, deaths,
	    lost;
	uint64_t left; /* in the end, when all was removed */
};

struct model_life {
	struct model *model;
	struct depot *depot;
	uint64_t seed;
	unsigned int dies_at; /* 0: it does not */
	atomic_uint points;
	atomic_bool done; /* makers */
	const char *upstream;
};

static uint64_t model_next(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * UINT64_C(0x2545F4914F6CDD1D);
}

static void model_at(void *ctx, const char *point UNUSED)
{
	struct model_life *life = ctx;

	if (atomic_fetch_add(&life->points, 1) + 1 == life->dies_at)
		_exit(MODEL_DIED);
}

static int model_roots(void *roots UNUSED,
		       int (*visit)(void *ctx, const struct digest *tree)
			   UNUSED,
		       void *ctx UNUSED)
{
	return 0;
}

static void model_name(char name[16], unsigned int number)
{
	snprintf(name, 16, "p%u", number);
}

/* --- what is there ---------------------------------------------------------
 */

static bool model_find(struct depot *depot, unsigned int number,
		       struct package_info *info)
{
	struct package_ref ref = {.tag = "1"};

	model_name(ref.name, number);
	return depot_package_get(depot, &ref, info) == 0;
}

/* All shards are in the store and are what their names say; of one that was
 * pulled they may be cold. */
static bool model_whole(struct depot *depot, const struct package_info *info,
			bool pulled)
{
	struct tree *tree;
	bool whole = true;

	if (depot_tree_get(depot, &info->tree, &tree) < 0)
		return false;
	for (uint32_t i = 0; i < tree_shard_count(tree); i++) {
		void *bytes = NULL;
		size_t len;
		int rc = depot_shard_get(depot, NULL, tree_shard_name(tree, i),
					 &bytes, &len);

		whole = whole && (rc == 0 || (pulled && rc == -ENOENT));
		free(bytes);
	}
	if (pulled)
		whole = whole && kit_read_all(depot, tree, 9) ==
				     (int64_t)tree_content_len(tree);
	tree_put(tree);
	return whole;
}

static void model_check(struct model_life *life, unsigned int number)
{
	struct model *model = life->model;
	struct package_info info;
	int state = atomic_load(&model->package[number].state);
	bool here = model_find(life->depot, number, &info);

	if (state == MODEL_UNKNOWN) {
		state = here ? MODEL_PRESENT : MODEL_ABSENT;
		atomic_store(&model->package[number].state, state);
	}
	if (here != (state == MODEL_PRESENT) ||
	    (here &&
	     !model_whole(life->depot, &info, model->package[number].pulled))) {
		fprintf(stderr, "# package %u is not whole\n", number);
		atomic_fetch_add(&model->lost, 1);
	}
}

/* --- doing -----------------------------------------------------------------
 */

static void model_make(struct model_life *life, unsigned int number,
		       uint64_t *x)
{
	struct model *model = life->model;
	unsigned int files = 1 + (unsigned int)(model_next(x) % MODEL_FILES);
	unsigned int seed = 1 + (unsigned int)(model_next(x) % MODEL_SEEDS);
	struct kit_package package = {0};
	struct kit_build build;
	char name[16];

	kit_build_begin(life->depot, files, seed, NULL, &build);
	if (model_next(x) % 4 == 0) {
		kit_build_drop(&build);
		atomic_fetch_add(&model->given_up, 1);
		return;
	}
	model_name(name, number);
	model->package[number].pulled = false;
	atomic_store(&model->package[number].state, MODEL_UNKNOWN);
	kit_build_commit(&build, name, "1", &package);
	atomic_store(&model->package[number].state, MODEL_PRESENT);
	kit_package_clear(&package);
	atomic_fetch_add(&model->made, 1);
}

static void model_pull(struct model_life *life, unsigned int number)
{
	struct model *model = life->model;
	struct package_ref ref = {.tag = "1"};
	struct package_info info;

	model_name(ref.name, number);
	model->package[number].pulled = true;
	atomic_store(&model->package[number].state, MODEL_UNKNOWN);
	if (depot_package_resolve(life->depot, &ref, &info) < 0) {
		atomic_fetch_add(&model->lost, 1);
		return;
	}
	atomic_store(&model->package[number].state, MODEL_PRESENT);
	atomic_fetch_add(&model->pulled, 1);
}

static void model_remove(struct model_life *life, unsigned int number)
{
	struct model *model = life->model;
	struct gc_removed removed;
	char name[16];

	model_name(name, number);
	atomic_store(&model->package[number].state, MODEL_UNKNOWN);
	ASSERT(depot_package_remove(life->depot, name, "1", &removed) == 0);
	atomic_store(&model->package[number].state, MODEL_ABSENT);
	atomic_fetch_add(&model->removed, 1);
}

struct model_maker {
	struct model_life *life;
	unsigned int number;
	pthread_t thread;
};

static void *model_maker(void *arg)
{
	struct model_maker *maker = arg;
	struct model_life *life = maker->life;
	uint64_t x = life->seed * 31 + maker->number + 1;

	for (int i = 0; i < MODEL_OPS; i++) {
		unsigned int number =
		    (unsigned int)(model_next(&x) %
				   (MODEL_PACKAGES / MODEL_MAKERS)) *
			MODEL_MAKERS +
		    maker->number;
		int state = atomic_load(&life->model->package[number].state);

		model_check(life, number);
		if (state == MODEL_PRESENT)
			model_remove(life, number);
		else if (number >= MODEL_PACKAGES - MODEL_MAKERS)
			model_pull(life, number);
		else
			model_make(life, number, &x);
	}
	return NULL;
}

static void *model_collector(void *arg)
{
	struct model_life *life = arg;
	struct gc_report report;

	while (!atomic_load(&life->done)) {
		ASSERT(depot_gc_step(life->depot, 5, &report) == 0);
		atomic_fetch_add(&life->model->collected,
				 report.done && !report.nothing);
	}
	return NULL;
}

/* --- lives -----------------------------------------------------------------
 */

static void model_start(struct model_life *life, const char *dir)
{
	struct gc_options options = {
	    .manual = true, .at = model_at, .at_ctx = life};

	life->depot = kit_open(dir);
	ASSERT(depot_gc_start(life->depot, model_roots, NULL, &options) == 0);
	for (unsigned int i = 0; i < MODEL_PACKAGES; i++)
		model_check(life, i);
}

/* In a process of its own. */
static void model_live(struct model_life *life, const char *dir)
{
	struct model_maker makers[MODEL_MAKERS];
	pthread_t collector;

	log_setup("life", LOG_LEVEL_NONE);
	model_start(life, dir);
	ASSERT(pthread_create(&collector, NULL, model_collector, life) == 0);
	for (unsigned int i = 0; i < MODEL_MAKERS; i++) {
		makers[i].life = life;
		makers[i].number = i;
		ASSERT(pthread_create(&makers[i].thread, NULL, model_maker,
				      &makers[i]) == 0);
	}
	for (unsigned int i = 0; i < MODEL_MAKERS; i++)
		pthread_join(makers[i].thread, NULL);
	atomic_store(&life->done, true);
	pthread_join(collector, NULL);
	depot_close(life->depot);
	_exit(0);
}

static void model_finish(struct model_life *life)
{
	struct gc_report report = {.done = false};

	for (int i = 0; i < 100000 && !(report.done && report.nothing); i++)
		ASSERT(depot_gc_step(life->depot, 1000, &report) == 0);
}

/* What is left is what the packages name, and no more.  In a process of its
 * own. */
static void model_last(struct model_life *life, const char *dir)
{
	struct depot_stats stats;
	struct gc_removed removed;
	char name[16];

	model_start(life, dir);
	model_finish(life);
	for (unsigned int i = 0; i < MODEL_PACKAGES; i++)
		model_check(life, i);
	for (unsigned int i = 0; i < MODEL_PACKAGES; i++) {
		if (atomic_load(&life->model->package[i].state) !=
		    MODEL_PRESENT)
			continue;
		model_name(name, i);
		ASSERT(depot_package_remove(life->depot, name, "1", &removed) ==
		       0);
	}
	model_finish(life);
	depot_get_stats(life->depot, &stats);
	life->model->left = stats.shards + stats.packages;
	depot_close(life->depot);
	_exit(0);
}

static unsigned int model_env(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 10) : otherwise;
}

/* Packages that are pulled come from here; the host gets its upstream. */
static void model_publish(const char *at, const char *pub, const char *host)
{
	struct publish publish = {.level = 1};
	struct depot *depot = kit_open(at);
	char *url = kit_url(pub);

	for (unsigned int i = MODEL_PACKAGES - MODEL_MAKERS; i < MODEL_PACKAGES;
	     i++) {
		struct kit_package package = {0};
		char name[16];

		model_name(name, i);
		kit_create(depot, name, "1", MODEL_FILES, 1 + i % MODEL_SEEDS,
			   &package);
		ASSERT(kit_publish(depot, pub, name, "1", &package, &publish) ==
		       0);
		kit_package_clear(&package);
	}
	depot_close(depot);
	depot = kit_open(host);
	ASSERT(depot_upstream_add(depot, "lab", url, true) == 0);
	depot_close(depot);
	free(url);
	_exit(0);
}

/* RocksDB has threads of its own, which a fork would leave behind: the parent
 * of all opens no store. */
static int model_wait(pid_t pid)
{
	int status;

	ASSERT(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One life, that dies at a point that the seed says; its exit status. */
static int model_round(struct model_life *life, const char *host)
{
	uint64_t x = life->seed;
	pid_t pid;

	for (int k = 0; k < 10; k++)
		model_next(&x);
	life->dies_at = 1 + (unsigned int)(model_next(&x) % MODEL_POINTS);
	pid = fork();
	if (pid == 0)
		model_live(life, host);
	return model_wait(pid);
}

static void test_lives(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *from = tmpdir_path(dir, "from");
	CLEANUP_FREE char *pub = tmpdir_path(dir, "pub");
	CLEANUP_FREE char *host = tmpdir_path(dir, "host");
	unsigned int rounds = model_env("ROUNDS", MODEL_ROUNDS);
	struct model_life life = {.seed = model_env("SEED", 1)};
	struct model *model;
	pid_t pid;
	int status;

	model = mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT(model != MAP_FAILED);
	life.model = model;
	pid = fork();
	if (pid == 0)
		model_publish(from, pub, host);
	CU_ASSERT_EQUAL_FATAL(model_wait(pid), 0);
	for (unsigned int i = 0; i < rounds; i++, life.seed++) {
		status = model_round(&life, host);
		CU_ASSERT(status == 0 || status == MODEL_DIED);
		model->deaths += status == MODEL_DIED;
	}
	life.dies_at = 0;
	pid = fork();
	if (pid == 0)
		model_last(&life, host);
	CU_ASSERT_EQUAL(model_wait(pid), 0);
	printf("# %u made, %u given up, %u removed, %u pulled; %u collections, "
	       "%u deaths in %u lives\n",
	       model->made, model->given_up, model->removed, model->pulled,
	       model->collected, model->deaths, rounds);
	CU_ASSERT_EQUAL(model->lost, 0);
	CU_ASSERT_EQUAL(model->left, 0);
	munmap(model, sizeof(*model));
}

static const struct check_test tests[] = {
    {"lives and deaths against a model", test_lives},
};

int main(void)
{
	log_setup("test_gc_model", LOG_LEVEL_WARN);
	return check_main("test_gc_model", tests, ARRAY_LEN(tests));
}
