/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefetch_inside: what the files of prefetch share: prefetch.c has the thread
 * and the runs, prefetch_plan.c what a plan holds and what is here.
 */
#ifndef DEPOT_PREFETCH_INSIDE_H
#define DEPOT_PREFETCH_INSIDE_H

#include <pthread.h>

#include "depot/fetch.h"
#include "depot/index.h"
#include "depot/marks.h"
#include "depot/plan.h"
#include "depot/prefetch.h"

enum run_kind {
	RUN_AHEAD, /* a list, at once */
	RUN_PLAN,
	RUN_FILL, /* the whole tree, at the fill's rate */
	RUN_ALL,  /* the whole tree, for an operator */
};

struct run {
	struct run *next; /* lock */
	enum run_kind kind;
	enum fetch_class fetch_class;
	uint64_t id; /* an operator's; else 0 */
	uint32_t who;
	struct tree *tree; /* ref */
	char tenant[PACKAGE_NAME_MAX + 1];
	/* the thread's own */
	bool prepared;
	bool is_auto;        /* a fill that nobody set a rate for */
	struct index *index; /* ref; NULL: lengths are not known */
	uint32_t *list;      /* owns; NULL: every shard of the tree */
	uint32_t count, at;
	uint64_t budget; /* bytes left */
	/* lock */
	bool cancelled; /* atomic too: asked by fetch */
	unsigned int inflight;
	uint64_t inflight_bytes;
	struct prefetch_progress progress;
	uint64_t over_ms;
};

struct prefetch_again {
	struct digest tree;
	uint32_t who;
	uint64_t time_ms;
};
enum { PREFETCH_AGAIN_SLOTS = 256 };

struct prefetch {
	struct depot *depot; /* borrows */
	struct marks *marks; /* owns */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct prefetch_options options;                   /* lock */
	struct run *runs, **runs_end;                      /* lock; owns */
	unsigned int run_count;                            /* lock */
	unsigned int inflight;                             /* lock */
	bool crowded; /* lock; a run waits for others' jobs to end */
	uint64_t last_id;                                  /* lock */
	struct prefetch_again again[PREFETCH_AGAIN_SLOTS]; /* lock; a ring */
	unsigned int again_next;                           /* lock */
	uint64_t rest_until_ms; /* lock; fills by themselves wait so long */
	int64_t fill_tokens;    /* the thread's own */
	uint64_t fill_ms;       /* likewise; when they were last added to */
	bool stop;              /* lock */
	bool has_thread;
	pthread_t thread;
};

/* The index of a tree as it lies on this host; NULL: none. */
struct index *prefetch_load_index(struct depot *depot, struct tree *tree);
/* Bytes of a shard as stored: by the index, else by the store; 0: unknown. */
uint32_t prefetch_shard_len(struct depot *depot, struct tree *tree,
			    const struct index *index, uint32_t shard);

#endif
