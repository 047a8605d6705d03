/* SPDX-License-Identifier: Apache-2.0 */
/* test_journal: entries run once, in order, after a sync that they share. */
#include "overlay/journal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "depot/kv.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_JOURNAL_MEMORY = 8 << 20, TEST_JOURNAL_EACH = 500 };

static atomic_uint test_journal_syncs;
static atomic_bool test_journal_fails;
static atomic_int test_journal_full; /* so many syncs of a log say ENOSPC */

/* Syncs of the log are counted, and may be made to fail. */
int fdatasync(int fd)
{
	if (test_journal_fails) {
		errno = EIO;
		return -1;
	}
	if (test_journal_full > 0) {
		test_journal_full--;
		errno = ENOSPC;
		return -1;
	}
	test_journal_syncs++;
	return (int)syscall(SYS_fdatasync, fd);
}

struct test_entry {
	struct journal_entry entry;
	unsigned int number, syncs_before;
	struct test_order *order;
	bool again;
	struct journal *journal;
};

struct test_order {
	unsigned int run, wrong;
};

static void test_entry_run(struct journal_entry *entry)
{
	struct test_entry *t = container_of(entry, struct test_entry, entry);

	t->order->wrong += t->number != t->order->run;
	t->order->run++;
	CU_ASSERT_TRUE(test_journal_syncs > t->syncs_before);
	if (t->again) { /* may submit, also itself */
		t->again = false;
		t->number = t->order->run;
		journal_submit(t->journal, entry);
	}
}

static struct kv *test_journal_kv(const char *dir)
{
	struct kv *kv = NULL;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_JOURNAL_MEMORY, &kv),
			      0);
	return kv;
}

static void test_journal_order(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static struct test_entry entries[TEST_JOURNAL_EACH];
	struct kv *kv = test_journal_kv(dir);
	struct test_order order = {0};
	struct journal_stats stats;
	struct journal *journal;

	CU_ASSERT_EQUAL_FATAL(journal_new(kv, &journal), 0);
	journal_drain(journal);
	for (unsigned int i = 0; i < TEST_JOURNAL_EACH; i++) {
		CU_ASSERT_EQUAL(kv_put(kv, &i, sizeof(i), "x", 1), 0);
		entries[i] = (struct test_entry){
		    .entry.run = test_entry_run,
		    .number = i,
		    .syncs_before = test_journal_syncs,
		    .order = &order,
		};
		journal_submit(journal, &entries[i].entry);
	}
	journal_drain(journal);
	CU_ASSERT_EQUAL(order.run, TEST_JOURNAL_EACH);
	CU_ASSERT_EQUAL(order.wrong, 0);
	journal_get_stats(journal, &stats);
	CU_ASSERT_EQUAL(stats.entries, TEST_JOURNAL_EACH);
	CU_ASSERT_TRUE(stats.syncs >= 1 && stats.syncs <= TEST_JOURNAL_EACH);
	journal_free(journal);
	journal_free(NULL);
	kv_close(kv);
}

/* journal_drain also waits for what an entry submits while it runs. */
static void test_journal_resubmit(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_journal_kv(dir);
	struct test_order order = {0};
	struct journal *journal;
	struct test_entry entry = {
	    .entry.run = test_entry_run,
	    .order = &order,
	    .again = true,
	    .syncs_before = test_journal_syncs,
	};

	CU_ASSERT_EQUAL_FATAL(journal_new(kv, &journal), 0);
	entry.journal = journal;
	CU_ASSERT_EQUAL(kv_put(kv, "a", 1, "x", 1), 0);
	journal_submit(journal, &entry.entry);
	journal_drain(journal);
	CU_ASSERT_EQUAL(order.run, 2);
	CU_ASSERT_EQUAL(order.wrong, 0);
	journal_free(journal);
	kv_close(kv);
}

struct test_waiter {
	struct journal_entry entry;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool run;
};

static void test_waiter_run(struct journal_entry *entry)
{
	struct test_waiter *w = container_of(entry, struct test_waiter, entry);

	pthread_mutex_lock(&w->lock);
	w->run = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* The entry is the submitter's again once it runs: here it is a local. */
static void *test_journal_submitter(void *arg)
{
	for (unsigned int i = 0; i < 50; i++) {
		struct test_waiter w = {.entry.run = test_waiter_run};

		pthread_mutex_init(&w.lock, NULL);
		pthread_cond_init(&w.cond, NULL);
		journal_submit(arg, &w.entry);
		pthread_mutex_lock(&w.lock);
		while (!w.run)
			pthread_cond_wait(&w.cond, &w.lock);
		pthread_mutex_unlock(&w.lock);
		pthread_cond_destroy(&w.cond);
		pthread_mutex_destroy(&w.lock);
	}
	return NULL;
}

static void test_journal_threads(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct kv *kv = test_journal_kv(dir);
	struct journal_stats stats;
	struct journal *journal;
	pthread_t threads[4];

	CU_ASSERT_EQUAL_FATAL(journal_new(kv, &journal), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL,
						     test_journal_submitter,
						     journal),
				      0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	journal_get_stats(journal, &stats);
	CU_ASSERT_EQUAL(stats.entries, 50 * ARRAY_LEN(threads));
	journal_free(journal);
	kv_close(kv);
}

/* A full disk: opened again, and whoever waits is told; also by itself. */
static void test_journal_full_disk(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static struct test_entry entries[100];
	struct kv *kv = test_journal_kv(dir);
	struct test_order order = {0};
	struct journal_stats stats;
	struct journal *journal;

	CU_ASSERT_EQUAL_FATAL(journal_new(kv, &journal), 0);
	check_mute();
	/* More than one: the opening's own syncs fail, too, at first. */
	test_journal_full = 3;
	for (unsigned int i = 0; i < ARRAY_LEN(entries); i++) {
		while (kv_put(kv, &i, sizeof(i), "x", 1) < 0)
			usleep(1000);
		entries[i] = (struct test_entry){
		    .entry.run = test_entry_run,
		    .number = i,
		    .order = &order,
		};
		journal_submit(journal, &entries[i].entry);
	}
	journal_drain(journal);
	CU_ASSERT_EQUAL(order.run, ARRAY_LEN(entries));
	CU_ASSERT_EQUAL(order.wrong, 0);
	journal_get_stats(journal, &stats);
	CU_ASSERT_TRUE(stats.recoveries >= 1);
	CU_ASSERT_EQUAL(kv_error(kv), 0);
	/* Somebody else's failure, and nobody waits. */
	test_journal_full = 1;
	CU_ASSERT_EQUAL(kv_sync_log(kv), -ENOSPC);
	for (int i = 0; i < 500 && kv_error(kv) < 0; i++)
		usleep(10000);
	check_unmute();
	CU_ASSERT_EQUAL(kv_error(kv), 0);
	journal_free(journal);
	for (unsigned int i = 0; i < ARRAY_LEN(entries); i++) {
		struct kv_value value;

		CU_ASSERT_EQUAL(kv_get(kv, &i, sizeof(i), &value), 0);
		kv_value_release(&value);
	}
	kv_close(kv);
}

static void test_journal_told(struct journal_entry *entry)
{
	(void)entry;
	_exit(3); /* acknowledged what was not stable */
}

/* A process whose log fails: ends, having run nothing. */
static int test_journal_child(const char *dir)
{
	struct journal_entry entry = {.run = test_journal_told};
	struct journal *journal;
	struct kv *kv;

	check_mute();
	if (kv_open(dir, KV_STATE, TEST_JOURNAL_MEMORY, &kv) < 0 ||
	    journal_new(kv, &journal) < 0 || kv_put(kv, "a", 1, "x", 1) < 0)
		return 4;
	test_journal_fails = true;
	journal_submit(journal, &entry);
	journal_drain(journal);
	return 5;
}

static void test_journal_failed_sync(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "test_journal", dir, (char *)NULL);
		_exit(127);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 1);
}

static const struct check_test tests[] = {
    {"order", test_journal_order},
    {"submitting while running", test_journal_resubmit},
    {"threads", test_journal_threads},
    {"a full disk", test_journal_full_disk},
    {"a sync that fails", test_journal_failed_sync},
};

int main(int argc, char **argv)
{
	if (argc == 2)
		return test_journal_child(argv[1]);
	return check_main("test_journal", tests, ARRAY_LEN(tests));
}
