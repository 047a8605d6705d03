/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: one queue, some threads.  The queue has no maximum of its own: a job is
 * its submitter's memory, whose number the submitter bounds.
 */
#include "depot/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { POOL_NAME_CAP = 16 }; /* the kernel's */

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct pool_job *head;     /* lock; borrows */
	struct pool_job **tail;    /* lock */
	unsigned int idle_count;   /* lock */
	bool stopping;             /* lock */
	unsigned int thread_count; /* not changed while threads run */
	char name[POOL_NAME_CAP];
	pthread_t threads[];
};

static struct pool_job *pool_take(struct pool *pool)
{
	struct pool_job *job;

	pthread_mutex_lock(&pool->lock);
	while (!pool->head && !pool->stopping) {
		pool->idle_count++;
		pthread_cond_wait(&pool->wake, &pool->lock);
		pool->idle_count--;
	}
	job = pool->head;
	if (job) {
		pool->head = job->next;
		if (!pool->head)
			pool->tail = &pool->head;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void *pool_main(void *arg)
{
	struct pool *pool = arg;
	struct pool_job *job;

	pthread_setname_np(pthread_self(), pool->name);
	while ((job = pool_take(pool)))
		job->run(job);
	return NULL;
}

/* Signals are the main thread's business. */
static int pool_start_threads(struct pool *pool, unsigned int count)
{
	sigset_t all, before;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->thread_count < count) {
		rc = pthread_create(&pool->threads[pool->thread_count], NULL,
				    pool_main, pool);
		if (rc)
			break;
		pool->thread_count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int pool_new(unsigned int thread_count, const char *name, struct pool **pool)
{
	struct pool *p;
	int rc;

	if (thread_count == 0 || thread_count > POOL_THREADS_MAX)
		return -EINVAL;
	p = calloc(1, sizeof(*p) + thread_count * sizeof(p->threads[0]));
	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->tail = &p->head;
	snprintf(p->name, sizeof(p->name), "%s", name);
	rc = pool_start_threads(p, thread_count);
	if (rc < 0) {
		pool_free(p);
		return rc;
	}
	*pool = p;
	return 0;
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	ASSERT(job->run);

	job->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->tail = job;
	pool->tail = &job->next;
	/* No wake-up to pay when all are busy: each looks again by itself. */
	if (pool->idle_count > 0)
		pthread_cond_signal(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	ASSERT(!pool->head);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
