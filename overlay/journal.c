/* SPDX-License-Identifier: Apache-2.0 */
/* journal: the log thread.  Contract in journal.h. */
#include <pthread.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/killpoint.h"
#include "depot/kv.h"
#include "depot/log.h"
#include "overlay/journal.h"

struct journal {
	struct kv *kv; /* borrows */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* entries came, or stop */
	pthread_cond_t idle; /* nothing queued and nothing running */
	/* guarded by lock: */
	struct journal_entry *first, **last;
	bool busy, stop;
	bool failed; /* the database has, since it was looked after last */
	unsigned int drainers;
	struct journal_stats stats;
};

static void journal_run_all(struct journal_entry *entry)
{
	while (entry) {
		struct journal_entry *next = entry->next;

		entry->run(entry);
		entry = next;
	}
}

/* Take what is queued, or nothing when the database has to be looked after;
 * false when the journal is told to stop. */
static bool journal_take(struct journal *journal, struct journal_entry **taken)
{
	bool go_on;

	pthread_mutex_lock(&journal->lock);
	journal->busy = false;
	while (!journal->first && !journal->stop && !journal->failed) {
		pthread_cond_broadcast(&journal->idle);
		pthread_cond_wait(&journal->wake, &journal->lock);
	}
	*taken = journal->first;
	journal->first = NULL;
	journal->last = &journal->first;
	go_on = *taken || !journal->stop;
	journal->failed = false;
	journal->busy = go_on;
	if (!go_on)
		pthread_cond_broadcast(&journal->idle);
	pthread_mutex_unlock(&journal->lock);
	return go_on;
}

static void journal_count(struct journal *journal,
			  const struct journal_entry *taken, bool recovered)
{
	pthread_mutex_lock(&journal->lock);
	journal->stats.syncs++;
	journal->stats.recoveries += recovered;
	for (; taken; taken = taken->next)
		journal->stats.entries++;
	pthread_mutex_unlock(&journal->lock);
}

/* --- a database that has failed ------------------------------------------ */

/* On the thread of whoever met the failure. */
static void journal_kv_failed(void *ctx)
{
	struct journal *journal = ctx;

	pthread_mutex_lock(&journal->lock);
	journal->failed = true;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
}

/* What is on disk is unknown: answer nobody.  Guests on hard mounts pause and
 * ask the next server. */
__attribute__((noreturn)) static void journal_give_up(int rc)
{
	log_err(rc, "state: the log cannot be synced; stopping");
	_exit(1);
}

/* Somebody has been waiting for the end for long: he gets it. */
static void journal_pause(struct journal *journal, uint64_t *drain_ms)
{
	struct timespec pause = {0, JOURNAL_RETRY_MS * 1000000L};
	bool drain;

	pthread_mutex_lock(&journal->lock);
	drain = journal->drainers > 0;
	pthread_mutex_unlock(&journal->lock);
	if (!drain)
		*drain_ms = 0;
	else if (*drain_ms == 0)
		*drain_ms = clock_ms();
	else if (clock_ms() - *drain_ms > JOURNAL_DRAIN_S * 1000)
		journal_give_up(-ENOSPC);
	nanosleep(&pause, NULL);
}

/* Returns whether it took a recovery. */
static bool journal_make_stable(struct journal *journal)
{
	int rc = kv_sync_log(journal->kv), first = rc;
	uint64_t drain_ms = 0;

	while (kv_is_full(rc)) {
		rc = kv_recover(journal->kv);
		if (kv_is_full(rc))
			journal_pause(journal, &drain_ms);
	}
	if (rc < 0)
		journal_give_up(rc);
	return first < 0;
}

static void *journal_main(void *arg)
{
	struct journal *journal = arg;
	struct journal_entry *taken;

	while (journal_take(journal, &taken)) {
		bool recovered = journal_make_stable(journal);

		KILL_POINT("log-synced");
		journal_count(journal, taken, recovered);
		journal_run_all(taken);
	}
	return NULL;
}

int journal_new(struct kv *kv, struct journal **journal)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->kv = kv;
	j->last = &j->first;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	pthread_cond_init(&j->idle, NULL);
	kv_on_failure(kv, journal_kv_failed, j);
	j->failed = kv_error(kv) < 0; /* opened for reading only */
	if (pthread_create(&j->thread, NULL, journal_main, j) != 0) {
		kv_on_failure(kv, NULL, NULL);
		free(j);
		return log_err(-EAGAIN, "journal: cannot start its thread");
	}
	*journal = j;
	return 0;
}

void journal_submit(struct journal *journal, struct journal_entry *entry)
{
	ASSERT(entry->run);
	entry->next = NULL;
	pthread_mutex_lock(&journal->lock);
	*journal->last = entry;
	journal->last = &entry->next;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
}

void journal_drain(struct journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	journal->drainers++;
	while (journal->first || journal->busy)
		pthread_cond_wait(&journal->idle, &journal->lock);
	journal->drainers--;
	pthread_mutex_unlock(&journal->lock);
}

void journal_free(struct journal *journal)
{
	if (!journal)
		return;
	journal_drain(journal);
	pthread_mutex_lock(&journal->lock);
	journal->stop = true;
	pthread_cond_signal(&journal->wake);
	pthread_mutex_unlock(&journal->lock);
	pthread_join(journal->thread, NULL);
	kv_on_failure(journal->kv, NULL, NULL);
	pthread_cond_destroy(&journal->idle);
	pthread_cond_destroy(&journal->wake);
	pthread_mutex_destroy(&journal->lock);
	free(journal);
}

void journal_get_stats(struct journal *journal, struct journal_stats *stats)
{
	pthread_mutex_lock(&journal->lock);
	*stats = journal->stats;
	pthread_mutex_unlock(&journal->lock);
}
