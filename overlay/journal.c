/* SPDX-License-Identifier: Apache-2.0 */
/* journal: the log thread.  Contract in journal.h. */
#include <pthread.h>

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

/* Take what is queued; NULL when the journal is told to stop. */
static struct journal_entry *journal_take(struct journal *journal)
{
	struct journal_entry *taken;

	pthread_mutex_lock(&journal->lock);
	journal->busy = false;
	while (!journal->first && !journal->stop) {
		pthread_cond_broadcast(&journal->idle);
		pthread_cond_wait(&journal->wake, &journal->lock);
	}
	taken = journal->first;
	journal->first = NULL;
	journal->last = &journal->first;
	journal->busy = taken != NULL;
	if (!taken)
		pthread_cond_broadcast(&journal->idle);
	pthread_mutex_unlock(&journal->lock);
	return taken;
}

static void journal_count(struct journal *journal,
			  const struct journal_entry *taken)
{
	pthread_mutex_lock(&journal->lock);
	journal->stats.syncs++;
	for (; taken; taken = taken->next)
		journal->stats.entries++;
	pthread_mutex_unlock(&journal->lock);
}

static void *journal_main(void *arg)
{
	struct journal *journal = arg;
	struct journal_entry *taken;

	while ((taken = journal_take(journal))) {
		int rc = kv_sync_log(journal->kv);

		if (rc < 0) {
			/* What is on disk is unknown: answer nobody.  Guests
			 * on hard mounts pause and ask the next server. */
			log_err(rc,
				"state: the log cannot be synced; stopping");
			_exit(1);
		}
		KILL_POINT("log-synced");
		journal_count(journal, taken);
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
	if (pthread_create(&j->thread, NULL, journal_main, j) != 0) {
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
	while (journal->first || journal->busy)
		pthread_cond_wait(&journal->idle, &journal->lock);
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
