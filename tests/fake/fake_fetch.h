/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_fetch: a host that has taken a package over and has none of its shards,
 * and jobs for them; over fake_source.
 */
#ifndef TESTS_FAKE_FAKE_FETCH_H
#define TESTS_FAKE_FAKE_FETCH_H

#include <pthread.h>

#include "depot/fetch.h"
#include "tests/lib/depotkit.h"

struct fetchrig {
	char *dir, *host, *out, *spare; /* owns */
	struct kit_package package;
	struct kv *state;
	struct store *store;
	struct upstreams *upstreams;
	struct fetch *fetch;
};

/* Three threads, and times so short that a test can wait for them. */
struct fetch_options fetchrig_options(void);
/* The package is of upstream "lab", world 0. */
void fetchrig_open(struct fetchrig *f);
void fetchrig_open_with(struct fetchrig *f,
			const struct fetch_options *options);
/* A copy of it as upstream "spare", world 1; not whole: without the package. */
void fetchrig_add_spare(struct fetchrig *f, bool whole);
void fetchrig_close(struct fetchrig *f);

struct rig_jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned int left, good, bad; /* lock */
	int last_rc;                  /* lock */
	bool unwanted;                /* atomic */
	/* of those started from here on */
	enum fetch_class fetch_class;
	uint32_t who;
	uint64_t looked; /* of fetch_job */
	bool listed;     /* in rig_order */
};

/* What landed, in order. */
struct rig_order {
	pthread_mutex_t lock;
	uint32_t shard[1024], who[1024];    /* lock */
	enum fetch_class fetch_class[1024]; /* lock */
	unsigned int count;                 /* lock */
};
extern struct rig_order rig_order;

struct rig_job {
	struct fetch_job job;
	struct rig_jobs *all;
};

/* Of the class and tenant that `all` says. */
void rig_jobs_more(struct fetchrig *f, struct rig_jobs *all,
		   struct rig_job *jobs, uint32_t first, uint32_t count,
		   uint32_t step);
/* The same of a fresh `all`. */
void rig_jobs_start(struct fetchrig *f, struct rig_jobs *all,
		    struct rig_job *jobs, uint32_t first, uint32_t count,
		    uint32_t step);
void rig_jobs_wait(struct rig_jobs *all);

#endif
