/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starts: see starts.h.
 *
 * Readers hold view->lock shared, so whoever holds it alone may take bits and
 * list away.  A start stays in its slot, without them, until the view mounts
 * again: that is how a reader sees that it is over.
 */
#include "overlay/starts.h"

#include <pthread.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/log.h"
#include "depot/plan_rows.h"
#include "depot/prefetch.h"
#include "overlay/view_impl.h"

enum { STARTS_TICK_MS = 1000 };

struct start {
	struct tree *tree;  /* ref */
	struct view *view;  /* borrows */
	uint32_t *bits;     /* owns; atomic words; NULL: it is over */
	uint32_t *order;    /* owns; with bits */
	uint32_t max;       /* of order */
	uint32_t count;     /* atomic; may be more than max */
	uint32_t saved;     /* starts->lock; count when it was saved */
	uint64_t begin_ms;  /* monotonic */
	uint64_t last_ms;   /* atomic; of the last first touch */
	int64_t begin_sec;  /* UNIX time */
	bool ends;          /* starts->lock; its tree is not read any more */
	struct start *next; /* starts->lock; of those being recorded */
};

struct starts {
	struct depot *depot; /* borrows */
	uint64_t quiet_ms;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct start *active;   /* lock */
	pthread_mutex_t saving; /* one at a time; before view->lock */
	bool stop;              /* lock */
	bool has_thread;
	pthread_t thread;
};

/* --- slots --------------------------------------------------------------- */

static unsigned int starts_hash(const struct tree *tree)
{
	return (unsigned int)((uintptr_t)tree * UINT64_C(0x9e3779b97f4a7c15) >>
			      57);
}
_Static_assert(STARTS_SLOTS == 1 << (64 - 57), "hash");

/* Where the start of this tree is, or would go.  Never full. */
static struct start **starts_slot(struct starts_view *sv,
				  const struct tree *tree, struct start **found)
{
	unsigned int at = starts_hash(tree);

	for (;; at = (at + 1) % STARTS_SLOTS) {
		*found = __atomic_load_n(&sv->slot[at], __ATOMIC_ACQUIRE);
		if (!*found || (*found)->tree == tree)
			return &sv->slot[at];
	}
}

static void start_free(struct start *start)
{
	if (!start)
		return;
	tree_put(start->tree);
	free(start->bits);
	free(start->order);
	free(start);
}

static struct start *start_new(struct view *view, struct tree *tree)
{
	uint32_t shards = tree_shard_count(tree);
	struct start *start = calloc(1, sizeof(*start));

	if (!start)
		return NULL;
	start->tree = tree_get(tree);
	start->view = view;
	start->max = MIN(shards, (uint32_t)PLAN_SHARDS_MAX);
	start->bits = calloc(shards / 32 + 1, sizeof(uint32_t));
	start->order = malloc(((size_t)start->max + 1) * sizeof(uint32_t));
	start->begin_ms = start->last_ms = clock_coarse_ms();
	start->begin_sec = time(NULL);
	if (start->bits && start->order)
		return start;
	start_free(start);
	return NULL;
}

/* view->lock is held shared: others may be here, too. */
static struct start *starts_begin(struct view *view, struct tree *tree)
{
	struct starts *starts = view->starts;
	struct start **slot, *start;
	bool begun = false;

	pthread_mutex_lock(&starts->lock);
	slot = starts_slot(&view->started, tree, &start);
	if (!start && view->started.count < STARTS_FULL && !starts->stop) {
		start = start_new(view, tree);
		begun = start;
		if (start) {
			start->next = starts->active;
			starts->active = start;
			view->started.count++;
			__atomic_store_n(slot, start, __ATOMIC_RELEASE);
			pthread_cond_signal(&starts->wake);
		}
	}
	pthread_mutex_unlock(&starts->lock);
	/* Before the caller asks for the shards himself. */
	if (begun)
		depot_prefetch_started(starts->depot, tree, view->tenant);
	return start;
}

/* Does the view still read this tree? */
static bool starts_reads(const struct view *view, const struct tree *tree)
{
	for (uint32_t i = 0; i < image_tree_count(view->image); i++)
		if (image_tree(view->image, i) == tree)
			return true;
	for (unsigned int i = 0; i < view->layer_count; i++)
		if (layer_tree(view->layer[i], tree_digest(tree)))
			return true;
	return false;
}

/* Drop what is over and, unless `all`, of a tree that is not read any more: a
 * collection waits for it.  view->lock is held alone, and starts->lock. */
static void starts_drop(struct view *view, bool all)
{
	struct starts_view *sv = &view->started;
	struct start *kept[STARTS_SLOTS], *start;
	unsigned int count = 0;

	for (unsigned int i = 0; i < STARTS_SLOTS; i++) {
		start = sv->slot[i];
		sv->slot[i] = NULL;
		if (start && start->bits && !all)
			start->ends = !starts_reads(view, start->tree);
		if (start &&
		    (start->bits || (!all && starts_reads(view, start->tree))))
			kept[count++] = start;
		else
			start_free(start);
	}
	sv->count = count;
	for (unsigned int i = 0; i < count; i++)
		*starts_slot(sv, kept[i]->tree, &start) = kept[i];
}

void starts_switched(struct view *view)
{
	if (!view->starts)
		return;
	pthread_mutex_lock(&view->starts->lock);
	starts_drop(view, false);
	pthread_mutex_unlock(&view->starts->lock);
}

/* --- touching ------------------------------------------------------------ */

static void start_add(struct start *start, uint32_t shard)
{
	uint32_t bit = 1u << (shard & 31), at;

	if (__atomic_fetch_or(&start->bits[shard / 32], bit, __ATOMIC_RELAXED) &
	    bit)
		return;
	at = __atomic_fetch_add(&start->count, 1, __ATOMIC_RELAXED);
	if (at < start->max)
		start->order[at] = shard;
	__atomic_store_n(&start->last_ms, clock_coarse_ms(), __ATOMIC_RELAXED);
}

void starts_touch(struct view *view, struct tree *tree,
		  const struct depot_piece *pieces, unsigned int count)
{
	struct start *start;

	if (!view->starts)
		return;
	(void)starts_slot(&view->started, tree, &start);
	if (!start)
		start = starts_begin(view, tree);
	if (!start || !start->bits)
		return;
	for (unsigned int i = 0; i < count; i++) {
		uint32_t shard = pieces[i].shard;

		/* Nearly always: a read without a write. */
		if (__atomic_load_n(&start->bits[shard / 32],
				    __ATOMIC_RELAXED) &
		    1u << (shard & 31))
			continue;
		start_add(start, shard);
	}
}

/* --- saving -------------------------------------------------------------- */

/* What has been recorded so far; `end` takes bits and list away, so that it is
 * over, and may be gone when this returns.  The row's list is the caller's.
 * false: nothing to save. */
static bool start_take(struct start *start, bool end, struct plan_start *row,
		       struct digest *tree)
{
	struct view *view = start->view;
	uint32_t count;
	bool removed;

	pthread_rwlock_wrlock(&view->lock);
	removed = view->removed;
	*tree = *tree_digest(start->tree);
	row->time_sec = start->begin_sec;
	row->duration_ms = (uint32_t)(start->last_ms - start->begin_ms);
	row->shard_count = tree_shard_count(start->tree);
	row->count = MIN(start->count, start->max);
	if (end) {
		row->shards = STEAL(start->order);
		free(STEAL(start->bits));
	} else {
		row->shards =
		    malloc(((size_t)row->count + 1) * sizeof(uint32_t));
		if (row->shards)
			memcpy(row->shards, start->order,
			       row->count * sizeof(uint32_t));
	}
	count = row->count;
	if (end)
		starts_switched(view);
	pthread_rwlock_unlock(&view->lock);
	return row->shards && count > 0 && !removed;
}

static void start_save(struct starts *starts, struct start *start, bool end)
{
	CLEANUP(plan_start_clear) struct plan_start row = {0};
	struct view *view = start->view;
	struct digest tree;
	int rc;

	if (!start_take(start, end, &row, &tree) ||
	    space_check(depot_space(starts->depot), PLAN_START_MAX) < 0 ||
	    kv_error(view->kv) < 0)
		return;
	rc = plan_rows_put_start(view->kv, &tree, view->tenant, view->guest,
				 &row);
	if (rc < 0)
		log_warn("%s: a start of %u shards was not recorded",
			 view->info.path, row.count);
}

static bool start_is_over(const struct starts *starts,
			  const struct start *start, uint64_t now)
{
	uint32_t count = __atomic_load_n(&start->count, __ATOMIC_RELAXED);
	uint64_t last = __atomic_load_n(&start->last_ms, __ATOMIC_RELAXED);

	return start->ends || (start->max > 0 && count >= start->max) ||
	       now >= last + starts->quiet_ms ||
	       now >= start->begin_ms + STARTS_MAX_MS;
}

/* Take the first that is over (all: any) out of the list; NULL: none. */
static struct start *starts_pull(struct starts *starts, bool all)
{
	uint64_t now = clock_coarse_ms();
	struct start **at, *found = NULL;

	pthread_mutex_lock(&starts->lock);
	for (at = &starts->active; *at && !found;) {
		if (all || start_is_over(starts, *at, now)) {
			found = *at;
			*at = found->next;
		} else {
			at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&starts->lock);
	return found;
}

static void starts_end(struct starts *starts, bool all)
{
	struct start *start;

	pthread_mutex_lock(&starts->saving);
	while ((start = starts_pull(starts, all)))
		start_save(starts, start, true);
	pthread_mutex_unlock(&starts->saving);
}

void starts_save(struct starts *starts)
{
	struct start *start;

	/* Nobody else takes from the list meanwhile; others may add in front.
	 */
	pthread_mutex_lock(&starts->saving);
	pthread_mutex_lock(&starts->lock);
	start = starts->active;
	while (start) {
		uint32_t count =
		    __atomic_load_n(&start->count, __ATOMIC_RELAXED);
		bool save = count != start->saved;

		start->saved = count;
		pthread_mutex_unlock(&starts->lock);
		if (save)
			start_save(starts, start, false);
		pthread_mutex_lock(&starts->lock);
		start = start->next;
	}
	pthread_mutex_unlock(&starts->lock);
	pthread_mutex_unlock(&starts->saving);
}

/* --- the thread ---------------------------------------------------------- */

static void *starts_main(void *arg)
{
	struct starts *starts = arg;
	struct timespec until;

	pthread_setname_np(pthread_self(), "starts");
	pthread_mutex_lock(&starts->lock);
	while (!starts->stop) {
		if (!starts->active) {
			pthread_cond_wait(&starts->wake, &starts->lock);
			continue;
		}
		until = clock_after_ms(STARTS_TICK_MS);
		pthread_cond_timedwait(&starts->wake, &starts->lock, &until);
		pthread_mutex_unlock(&starts->lock);
		starts_end(starts, false);
		pthread_mutex_lock(&starts->lock);
	}
	pthread_mutex_unlock(&starts->lock);
	return NULL;
}

int starts_new(struct depot *depot, unsigned int quiet_ms,
	       struct starts **starts)
{
	struct starts *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return -ENOMEM;
	s->depot = depot;
	s->quiet_ms = quiet_ms ? quiet_ms : STARTS_QUIET_MS;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->saving, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&s->thread, NULL, starts_main, s) != 0) {
		starts_free(s);
		return log_err(-EAGAIN, "starts: cannot start their thread");
	}
	s->has_thread = true;
	*starts = s;
	return 0;
}

void starts_stop(struct starts *starts)
{
	pthread_mutex_lock(&starts->lock);
	starts->stop = true;
	pthread_cond_signal(&starts->wake);
	pthread_mutex_unlock(&starts->lock);
	if (starts->has_thread)
		pthread_join(starts->thread, NULL);
	starts->has_thread = false;
	starts_end(starts, true);
}

void starts_free(struct starts *starts)
{
	if (!starts)
		return;
	starts_stop(starts);
	pthread_cond_destroy(&starts->wake);
	pthread_mutex_destroy(&starts->saving);
	pthread_mutex_destroy(&starts->lock);
	free(starts);
}

/* --- views --------------------------------------------------------------- */

void starts_mounted(struct view *view)
{
	if (!view->starts)
		return;
	pthread_rwlock_wrlock(&view->lock);
	pthread_mutex_lock(&view->starts->lock);
	starts_drop(view, true);
	pthread_mutex_unlock(&view->starts->lock);
	pthread_rwlock_unlock(&view->lock);
	pthread_rwlock_rdlock(&view->lock);
	for (uint32_t i = 0; i < image_tree_count(view->image); i++)
		depot_prefetch_started(view->depot, image_tree(view->image, i),
				       view->tenant);
	pthread_rwlock_unlock(&view->lock);
}

void starts_close_view(struct view *view)
{
	for (unsigned int i = 0; i < STARTS_SLOTS; i++)
		start_free(STEAL(view->started.slot[i]));
}
