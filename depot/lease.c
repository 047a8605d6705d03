/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease: guards are the first eight bytes of names, in a table each: two shards
 * that share these would only be kept together for a while.
 */
#include "depot/lease.h"

#include <pthread.h>

#include "depot/clock.h"
#include "depot/gc_row.h"
#include "depot/log.h"

enum { LEASE_TABLE_FIRST = 256 };

struct lease {
	struct lease *next;
	uint64_t number;
	unsigned int idle_s;
	int64_t used_sec;
	bool has_put;    /* its row is written */
	bool held_back;  /* a collection left something for its sake */
	bool all;        /* guards everything */
	uint64_t *table; /* owns; 0: free */
	size_t count, cap;
};

struct leases {
	struct kv *state; /* borrows */
	pthread_mutex_t lock;
	/* guarded by lock: */
	struct lease *first; /* owns */
	unsigned int open;
	uint64_t closes;
	uint64_t last_number;
	bool frozen;
	pthread_cond_t thawed;
};

/* --- the rows --------------------------------------------------------------
 */

/* In one batch: the rows of leases go, and a release is counted. */
static int lease_note_garbage(struct kv *state, struct kv_batch *batch)
{
	uint64_t released;
	int rc = gc_row_released(state, &released);

	if (rc < 0)
		return rc;
	gc_row_released_put(batch, released + 1);
	return kv_write(state, batch);
}

static int lease_note_left_open(struct kv *state)
{
	struct kv_batch *batch = kv_batch_new();
	unsigned int count = 0;
	int rc = batch ? 0 : -ENOMEM;

	if (rc == 0)
		rc = gc_row_lease_delete_all(state, batch, &count);
	if (rc == 0 && count > 0)
		rc = lease_note_garbage(state, batch);
	kv_batch_free(batch);
	return rc;
}

/* On failure the row stays, and the next start notes the garbage. */
static void lease_forget_row(struct leases *leases, uint64_t number, bool named)
{
	struct kv_batch *batch = kv_batch_new();
	int rc = batch ? 0 : -ENOMEM;

	if (rc == 0) {
		gc_row_lease_delete(batch, number);
		rc = named ? kv_write(leases->state, batch)
			   : lease_note_garbage(leases->state, batch);
	}
	if (rc < 0)
		log_warn("the row of a lease stays; the next start takes what "
			 "was put under it for garbage");
	kv_batch_free(batch);
}

static int lease_write_row(struct leases *leases, uint64_t number)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	gc_row_lease_put(batch, number);
	rc = kv_write(leases->state, batch);
	kv_batch_free(batch);
	return rc;
}

/* --- tables ----------------------------------------------------------------
 */

static uint64_t lease_key(const struct digest *shard)
{
	uint64_t key = le64_get(shard->bytes);

	return key ? key : 1;
}

/* Where it is, or would be.  Names are hashes: no other is needed. */
static size_t lease_slot(const uint64_t *table, size_t cap, uint64_t key)
{
	size_t i = (size_t)(key >> 16) & (cap - 1);

	while (table[i] && table[i] != key)
		i = (i + 1) & (cap - 1);
	return i;
}

static int lease_grow(struct lease *lease)
{
	size_t cap = lease->cap ? 2 * lease->cap : LEASE_TABLE_FIRST;
	uint64_t *table = calloc(cap, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < lease->cap; i++)
		if (lease->table[i])
			table[lease_slot(table, cap, lease->table[i])] =
			    lease->table[i];
	free(lease->table);
	lease->table = table;
	lease->cap = cap;
	return 0;
}

static int lease_add(struct lease *lease, uint64_t key)
{
	size_t slot;

	if (lease->all)
		return 0;
	if (lease->count >= LEASE_GUARDS_MAX) {
		lease->all = true;
		return 0;
	}
	if (2 * lease->count >= lease->cap && lease_grow(lease) < 0)
		return -ENOMEM;
	slot = lease_slot(lease->table, lease->cap, key);
	lease->count += !lease->table[slot];
	lease->table[slot] = key;
	return 0;
}

static bool lease_has(const struct lease *lease, uint64_t key)
{
	return lease->all ||
	       (lease->cap > 0 &&
		lease->table[lease_slot(lease->table, lease->cap, key)]);
}

static void lease_free(struct lease *lease)
{
	free(lease->table);
	free(lease);
}

/* --- life ------------------------------------------------------------------
 */

int leases_new(struct kv *state, struct leases **leases)
{
	struct leases *l;
	int rc;

	/* On a full disk the rows wait for the next start. */
	rc = lease_note_left_open(state);
	if (rc < 0 && !kv_is_full(rc))
		return rc;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->state = state;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->thawed, NULL);
	/* Nobody who had a lease before a restart may meet his number. */
	random_bytes(&l->last_number, sizeof(l->last_number));
	l->last_number = l->last_number >> 16 | UINT64_C(1) << 40;
	*leases = l;
	return 0;
}

void leases_free(struct leases *leases)
{
	struct lease *lease, *next;

	if (!leases)
		return;
	/* Rows of what is open stay, for the next start. */
	for (lease = leases->first; lease; lease = next) {
		next = lease->next;
		lease_free(lease);
	}
	pthread_cond_destroy(&leases->thawed);
	pthread_mutex_destroy(&leases->lock);
	free(leases);
}

/* lock; NULL: none */
static struct lease *lease_find(struct leases *leases, uint64_t number)
{
	struct lease *lease = leases->first;

	while (lease && lease->number != number)
		lease = lease->next;
	return lease;
}

/* lock; *lease is out of the list then. */
static void lease_unlink(struct leases *leases, struct lease *lease)
{
	struct lease **at = &leases->first;

	while (*at != lease)
		at = &(*at)->next;
	*at = lease->next;
	leases->open--;
	leases->closes++;
}

/* lock; list of those that nobody has used for too long, taken out. */
static struct lease *lease_expire(struct leases *leases)
{
	struct lease *old = NULL, *lease, *next;
	int64_t now = clock_sec();

	for (lease = leases->first; lease; lease = next) {
		next = lease->next;
		if (lease->idle_s == 0 ||
		    now - lease->used_sec <= (int64_t)lease->idle_s)
			continue;
		lease_unlink(leases, lease);
		lease->next = old;
		old = lease;
	}
	return old;
}

static void lease_end_all(struct leases *leases, struct lease *list, bool named)
{
	struct lease *next;

	for (; list; list = next) {
		next = list->next;
		if (list->has_put)
			lease_forget_row(leases, list->number,
					 named && !list->held_back);
		lease_free(list);
	}
}

int lease_open(struct leases *leases, unsigned int idle_s, uint64_t *number)
{
	struct lease *lease = calloc(1, sizeof(*lease)), *old;
	int rc = 0;

	if (!lease)
		return -ENOMEM;
	lease->idle_s = idle_s;
	lease->used_sec = clock_sec();
	pthread_mutex_lock(&leases->lock);
	while (leases->frozen)
		pthread_cond_wait(&leases->thawed, &leases->lock);
	old = lease_expire(leases);
	if (leases->open < LEASE_MAX) {
		lease->number = ++leases->last_number;
		*number = lease->number;
		lease->next = leases->first;
		leases->first = lease;
		leases->open++;
	} else {
		rc = -EAGAIN;
	}
	pthread_mutex_unlock(&leases->lock);
	lease_end_all(leases, old, false);
	if (rc < 0) {
		free(lease);
		return log_err(rc, "more than %d leases of the depot are open",
			       LEASE_MAX);
	}
	return 0;
}

void lease_close(struct leases *leases, uint64_t number, bool named)
{
	struct lease *lease;

	pthread_mutex_lock(&leases->lock);
	lease = lease_find(leases, number);
	if (lease) {
		lease_unlink(leases, lease);
		lease->next = NULL;
	}
	pthread_mutex_unlock(&leases->lock);
	lease_end_all(leases, lease, named);
}

static int lease_stale(void)
{
	return log_err(-ESTALE,
		       "its lease is gone: the daemon was restarted, or "
		       "nothing was sent for %d minutes",
		       LEASE_IDLE_S / 60);
}

int lease_use(struct leases *leases, uint64_t number)
{
	struct lease *lease, *old;

	pthread_mutex_lock(&leases->lock);
	old = lease_expire(leases);
	lease = lease_find(leases, number);
	if (lease)
		lease->used_sec = clock_sec();
	pthread_mutex_unlock(&leases->lock);
	lease_end_all(leases, old, false);
	return lease ? 0 : lease_stale();
}

/* --- guards ----------------------------------------------------------------
 */

int lease_guard(struct leases *leases, uint64_t number,
		const struct digest *shard)
{
	struct lease *lease;
	int rc = -ESTALE;

	pthread_mutex_lock(&leases->lock);
	lease = lease_find(leases, number);
	if (lease) {
		lease->used_sec = clock_sec();
		rc = lease_add(lease, lease_key(shard));
	}
	pthread_mutex_unlock(&leases->lock);
	return rc == -ESTALE ? lease_stale() : rc;
}

int lease_guard_put(struct leases *leases, uint64_t number,
		    const struct digest *shard)
{
	struct lease *lease;
	bool first = false;
	int rc;

	rc = lease_guard(leases, number, shard);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&leases->lock);
	lease = lease_find(leases, number);
	if (lease) {
		first = !lease->has_put;
		lease->has_put = true;
	}
	pthread_mutex_unlock(&leases->lock);
	return first ? lease_write_row(leases, number) : 0;
}

/* --- for the collection ----------------------------------------------------
 */

uint64_t leases_closes(struct leases *leases)
{
	struct lease *old;
	uint64_t closes;

	pthread_mutex_lock(&leases->lock);
	old = lease_expire(leases);
	closes = leases->closes;
	pthread_mutex_unlock(&leases->lock);
	lease_end_all(leases, old, false);
	return closes;
}

unsigned int leases_open_count(struct leases *leases)
{
	unsigned int open;

	pthread_mutex_lock(&leases->lock);
	open = leases->open;
	pthread_mutex_unlock(&leases->lock);
	return open;
}

void leases_lock(struct leases *leases)
{
	pthread_mutex_lock(&leases->lock);
}

void leases_unlock(struct leases *leases)
{
	pthread_mutex_unlock(&leases->lock);
}

#ifdef BROKEN_GC_NO_LEASE
/* The control of the tests: a collection that knows of no leases. */
bool leases_unchanged(const struct leases *leases UNUSED,
		      uint64_t closes UNUSED)
{
	return true;
}

static bool leases_none_open(const struct leases *leases UNUSED)
{
	return true;
}

bool leases_guarded(struct leases *leases UNUSED,
		    const struct digest *shard UNUSED)
{
	(void)lease_has;
	return false;
}
#else
bool leases_unchanged(const struct leases *leases, uint64_t closes)
{
	return leases->closes == closes;
}

static bool leases_none_open(const struct leases *leases)
{
	return leases->open == 0;
}

bool leases_guarded(struct leases *leases, const struct digest *shard)
{
	uint64_t key = lease_key(shard);
	bool guarded = false;

	for (struct lease *l = leases->first; l; l = l->next) {
		if (!lease_has(l, key))
			continue;
		l->held_back = true;
		guarded = true;
	}
	return guarded;
}
#endif

/* The next lease that held something back and has no row; 0: none. */
static uint64_t lease_held_next(struct leases *leases)
{
	uint64_t number = 0;

	pthread_mutex_lock(&leases->lock);
	for (struct lease *l = leases->first; l && number == 0; l = l->next) {
		if (!l->held_back || l->has_put)
			continue;
		l->has_put = true;
		number = l->number;
	}
	pthread_mutex_unlock(&leases->lock);
	return number;
}

int leases_note_held(struct leases *leases)
{
	uint64_t number;
	int rc = 0;

	while (rc == 0 && (number = lease_held_next(leases)) != 0)
		rc = lease_write_row(leases, number);
	return rc;
}

bool leases_freeze(struct leases *leases, uint64_t closes)
{
	bool quiet;

	pthread_mutex_lock(&leases->lock);
	quiet = leases_none_open(leases) && leases_unchanged(leases, closes);
	leases->frozen = quiet;
	pthread_mutex_unlock(&leases->lock);
	return quiet;
}

void leases_thaw(struct leases *leases)
{
	pthread_mutex_lock(&leases->lock);
	leases->frozen = false;
	pthread_cond_broadcast(&leases->thawed);
	pthread_mutex_unlock(&leases->lock);
}
