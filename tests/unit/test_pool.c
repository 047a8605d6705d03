/* SPDX-License-Identifier: Apache-2.0 */
/* test_pool: every job once, in order; memory free at run; end of the pool. */
#include "depot/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "tests/lib/check.h"

enum { TEST_POOL_JOBS = 20000, TEST_POOL_SUBMITTERS = 4 };

struct test_pool_job {
	struct pool_job job;
	unsigned int number;
	atomic_uint runs;
};

static struct test_pool_job test_pool_jobs[TEST_POOL_JOBS];
static unsigned int test_pool_order[TEST_POOL_JOBS];
static atomic_uint test_pool_ran;

static void test_pool_run(struct pool_job *job)
{
	struct test_pool_job *t = container_of(job, struct test_pool_job, job);

	atomic_fetch_add(&t->runs, 1);
	test_pool_order[atomic_fetch_add(&test_pool_ran, 1)] = t->number;
}

static void test_pool_reset(void)
{
	atomic_store(&test_pool_ran, 0);
	for (unsigned int i = 0; i < TEST_POOL_JOBS; i++) {
		test_pool_jobs[i].job.run = test_pool_run;
		test_pool_jobs[i].number = i;
		atomic_store(&test_pool_jobs[i].runs, 0);
	}
}

static bool test_pool_all_once(void)
{
	bool ok = atomic_load(&test_pool_ran) == TEST_POOL_JOBS;

	for (unsigned int i = 0; i < TEST_POOL_JOBS; i++)
		ok = ok && atomic_load(&test_pool_jobs[i].runs) == 1;
	return ok;
}

static void test_pool_one_thread_in_order(void)
{
	struct pool *pool = NULL;
	bool ok = true;

	test_pool_reset();
	CU_ASSERT_EQUAL_FATAL(pool_new(1, "test", &pool), 0);
	for (int i = 0; i < TEST_POOL_JOBS; i++)
		pool_submit(pool, &test_pool_jobs[i].job);
	pool_free(pool);
	CU_ASSERT_TRUE(test_pool_all_once());
	for (unsigned int i = 0; i < TEST_POOL_JOBS; i++)
		ok = ok && test_pool_order[i] == i;
	CU_ASSERT_TRUE(ok);
}

struct test_pool_part {
	struct pool *pool;
	int from, to;
};

static void *test_pool_submitter(void *arg)
{
	struct test_pool_part *part = arg;

	for (int i = part->from; i < part->to; i++)
		pool_submit(part->pool, &test_pool_jobs[i].job);
	return NULL;
}

static void test_pool_many_submitters(void)
{
	enum { SHARE = TEST_POOL_JOBS / TEST_POOL_SUBMITTERS };
	struct test_pool_part parts[TEST_POOL_SUBMITTERS];
	pthread_t threads[TEST_POOL_SUBMITTERS];
	struct pool *pool = NULL;

	test_pool_reset();
	CU_ASSERT_EQUAL_FATAL(pool_new(3, "test", &pool), 0);
	for (int i = 0; i < TEST_POOL_SUBMITTERS; i++) {
		parts[i] =
		    (struct test_pool_part){pool, i * SHARE, (i + 1) * SHARE};
		CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL,
					       test_pool_submitter, &parts[i]),
				0);
	}
	for (int i = 0; i < TEST_POOL_SUBMITTERS; i++)
		pthread_join(threads[i], NULL);
	pool_free(pool);
	CU_ASSERT_TRUE(test_pool_all_once());
}

/* Several threads really run at once: each waits until all have come. */
static pthread_barrier_t test_pool_barrier;

static void test_pool_meet(struct pool_job *job UNUSED)
{
	pthread_barrier_wait(&test_pool_barrier);
}

static void test_pool_parallel(void)
{
	struct pool_job jobs[4];
	struct pool *pool = NULL;

	pthread_barrier_init(&test_pool_barrier, NULL, 4);
	CU_ASSERT_EQUAL_FATAL(pool_new(4, "test", &pool), 0);
	for (int i = 0; i < 4; i++) {
		jobs[i].run = test_pool_meet;
		pool_submit(pool, &jobs[i]);
	}
	pool_free(pool);
	pthread_barrier_destroy(&test_pool_barrier);
}

/* A job that submits itself again, also while the pool is being freed. */
struct test_pool_chain {
	struct pool_job job;
	struct pool *pool;
	unsigned int left;
};

static void test_pool_chain_run(struct pool_job *job)
{
	struct test_pool_chain *chain =
	    container_of(job, struct test_pool_chain, job);

	/* The pool is done with the memory once we are here. */
	memset(job, 0xff, sizeof(*job));
	job->run = test_pool_chain_run;
	if (--chain->left > 0)
		pool_submit(chain->pool, job);
}

static void test_pool_resubmit(void)
{
	struct test_pool_chain chains[3];
	struct pool *pool = NULL;

	CU_ASSERT_EQUAL_FATAL(pool_new(2, "test", &pool), 0);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		chains[i].job.run = test_pool_chain_run;
		chains[i].pool = pool;
		chains[i].left = 1000;
		pool_submit(pool, &chains[i].job);
	}
	pool_free(pool);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		CU_ASSERT_EQUAL(chains[i].left, 0);
}

static bool test_pool_term_blocked;
static char test_pool_name[16];

static void test_pool_look(struct pool_job *job UNUSED)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	test_pool_term_blocked = sigismember(&set, SIGTERM);
	pthread_getname_np(pthread_self(), test_pool_name,
			   sizeof(test_pool_name));
}

static void test_pool_threads_look(void)
{
	struct pool_job job = {.run = test_pool_look};
	struct pool *pool = NULL;
	sigset_t set;

	CU_ASSERT_EQUAL_FATAL(pool_new(1, "a-name-too-long-for-it", &pool), 0);
	pool_submit(pool, &job);
	pool_free(pool);
	CU_ASSERT_TRUE(test_pool_term_blocked);
	CU_ASSERT_STRING_EQUAL(test_pool_name, "a-name-too-long");
	/* The maker's own mask is as before. */
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	CU_ASSERT_FALSE(sigismember(&set, SIGTERM));
}

static void test_pool_limits(void)
{
	struct pool *pool = NULL;

	CU_ASSERT_EQUAL(pool_new(0, "test", &pool), -EINVAL);
	CU_ASSERT_EQUAL(pool_new(POOL_THREADS_MAX + 1, "test", &pool), -EINVAL);
	CU_ASSERT_PTR_NULL(pool);
	CU_ASSERT_EQUAL_FATAL(pool_new(POOL_THREADS_MAX, "test", &pool), 0);
	pool_free(pool);
	pool_free(NULL);
}

static const struct check_test tests[] = {
    {"one thread runs in order", test_pool_one_thread_in_order},
    {"many submitters", test_pool_many_submitters},
    {"parallel", test_pool_parallel},
    {"resubmit", test_pool_resubmit},
    {"name and signals", test_pool_threads_look},
    {"limits", test_pool_limits},
};

int main(void)
{
	return check_main("test_pool", tests, ARRAY_LEN(tests));
}
