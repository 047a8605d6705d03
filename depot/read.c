/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read: chunks for parked calls: hot ones at once, warm ones by the pool, cold
 * ones by fetch.
 *
 * Life of a flight, one per chunk that was asked for and is not here:
 * 1. depot_read_start makes it when the cache says CACHE_LOAD.
 * 2. A pool job looks for all flights of one read in the store, so that those
 *    that are cold reach fetch together and can be joined.
 * 3. Warm: a pool job each.  Cold, or no longer what its name says: fetch.
 * 4. Landed or failed: whoever waits is told, and the flight is freed.
 *
 * read->pending counts the pieces that wait, and one for depot_read_start
 * itself while it runs: who takes it to 0 has the read, and only he.
 */
#include <stdio.h>

#include "depot/clock.h"
#include "depot/inside.h"
#include "depot/log.h"
#include "depot/shard.h"

struct flight {
	struct pool_job job;
	struct fetch_job fetch;
	struct depot *depot; /* borrows */
	struct chunk *chunk; /* loading: ours until it lands or fails */
	struct tree *tree;   /* ref */
	uint32_t shard, who;
	uint64_t looked;       /* fetch_stored_count() before that */
	struct kv_value value; /* pinned while warm */
	struct flight *next;   /* of the same read */
};

/* --- telling who waits --------------------------------------------------- */

static bool read_count_down(struct depot_read *read)
{
	int before = __atomic_fetch_sub(&read->pending, 1, __ATOMIC_ACQ_REL);

	ASSERT(before > 0);
	return before == 1;
}

static void read_set_error(struct depot_read *read, int rc)
{
	int none = 0;

	/* The first error stays. */
	__atomic_compare_exchange_n(&read->rc, &none, rc, false,
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Returns how many there were. */
static unsigned int read_tell(struct depot_piece *waiters, int rc)
{
	struct depot_piece *next;
	unsigned int count = 0;

	for (; waiters; waiters = next, count++) {
		struct depot_read *read = waiters->read;

		/* done() may free the read and its pieces. */
		next = waiters->next_waiter;
		if (rc < 0)
			read_set_error(read, rc);
		if (read_count_down(read))
			read->done(
			    read, __atomic_load_n(&read->rc, __ATOMIC_ACQUIRE));
	}
	return count;
}

/* --- flights ------------------------------------------------------------- */

static const struct digest *flight_name(const struct flight *flight)
{
	return tree_shard_name(flight->tree, flight->shard);
}

static void flight_free(struct flight *flight)
{
	tree_put(flight->tree);
	free(flight);
}

/* takes data and flight */
static void flight_land(struct flight *flight, void *data, size_t len,
			_Atomic uint64_t *counter)
{
	struct depot_piece *waiters;

	prefetch_read(flight->depot->prefetch, flight_name(flight));
	waiters = cache_land(flight->depot->cache, flight->chunk, data, len);
	/* Before done(): who has an answer finds it counted. */
	for (struct depot_piece *p = waiters; p; p = p->next_waiter) {
		atomic_fetch_add(counter, 1);
		if (counter == &flight->depot->reads_cold)
			__atomic_store_n(&p->read->cold, true,
					 __ATOMIC_RELAXED);
	}
	flight_free(flight);
	read_tell(waiters, 0);
}

/* takes flight */
static void flight_fail(struct flight *flight, int rc)
{
	struct depot_piece *waiters;

	waiters = cache_fail(flight->depot->cache, flight->chunk);
	flight_free(flight);
	read_tell(waiters, rc);
}

static struct flight *flight_of_fetch(struct fetch_job *job)
{
	return container_of(job, struct flight, fetch);
}

static bool flight_wanted(struct fetch_job *job)
{
	struct flight *flight = flight_of_fetch(job);

	return cache_wanted(flight->depot->cache, flight->chunk);
}

static void flight_batch_run(struct pool_job *job);

static void flight_fetched(struct fetch_job *job, int rc,
			   struct fetch_result *result)
{
	struct flight *flight = flight_of_fetch(job);

	if (rc == -EEXIST) {
		flight->job.run = flight_batch_run;
		flight->next = NULL;
		pool_submit(flight->depot->pool, &flight->job);
	} else if (rc < 0)
		flight_fail(flight, rc);
	else
		flight_land(flight, STEAL(result->chunk), result->chunk_len,
			    &flight->depot->reads_cold);
}

static struct fetch_job *flight_go_cold(struct flight *flight)
{
	flight->fetch = (struct fetch_job){
	    .tree = flight->tree,
	    .shard = flight->shard,
	    .fetch_class = FETCH_DEMAND,
	    .who = flight->who,
	    .looked = flight->looked,
	    .wanted = flight_wanted,
	    .done = flight_fetched,
	};
	return &flight->fetch;
}

static int flight_open(struct flight *flight, void **data, size_t *len)
{
	size_t cap;
	int rc;

	rc = shard_chunk_len(flight->value.data, flight->value.len, &cap);
	if (rc < 0)
		return rc;
	*data = cache_buffer(cap);
	if (!*data)
		return -ENOMEM;
	rc = shard_open(tree_salt(flight->tree), flight_name(flight),
			flight->value.data, flight->value.len, *data, cap, len);
	if (rc < 0)
		free(*data);
	return rc;
}

/* takes flight */
static void flight_warm(struct flight *flight)
{
	struct depot *depot = flight->depot;
	struct digest bad;
	void *data = NULL;
	size_t len = 0;
	int rc;

	rc = flight_open(flight, &data, &len);
	if (rc == -EBADMSG)
		bad = digest_of(flight->value.data, flight->value.len);
	kv_value_release(&flight->value);
	if (rc == 0) {
		flight_land(flight, data, len, &depot->reads_warm);
		return;
	}
	if (rc == -ENOMEM) {
		flight_fail(flight, rc);
		return;
	}
	/* A codec of a newer vdrive is not damage: it may stay. */
	if (rc == -EBADMSG)
		store_quarantine(depot->store, flight_name(flight), &bad,
				 "not what its name says");
	fetch_submit(depot->fetch, flight_go_cold(flight));
}

static void flight_warm_run(struct pool_job *job)
{
	flight_warm(container_of(job, struct flight, job));
}

static int flight_look(struct flight *flight)
{
	int rc;

	flight->looked = fetch_stored_count(flight->depot->fetch);
	rc = store_get(flight->depot->store, flight_name(flight),
		       &flight->value);
	if (rc == -EBADMSG)
		store_quarantine(flight->depot->store, flight_name(flight),
				 NULL, "the database cannot read it");
	return rc;
}

/* All flights of one read.  takes them */
static void flight_batch_run(struct pool_job *job)
{
	struct flight *flight = container_of(job, struct flight, job), *next;
	struct fetch_job *cold = NULL, **cold_end = &cold;
	struct depot *depot = flight->depot;
	struct flight *last = NULL;

	for (; flight; flight = next) {
		next = flight->next;
		if (flight_look(flight) < 0) {
			*cold_end = flight_go_cold(flight);
			cold_end = &(*cold_end)->next;
			continue;
		}
		flight->job.run = flight_warm_run;
		/* One stays with this thread. */
		if (last)
			pool_submit(depot->pool, &last->job);
		last = flight;
	}
	if (cold)
		fetch_submit(depot->fetch, cold);
	if (last)
		flight_warm(last);
}

/* --- reads --------------------------------------------------------------- */

/* A chunk to be loaded joins the list; without memory all its waiters fail. */
static void read_add_flight(struct depot *depot, struct depot_piece *piece,
			    struct chunk *chunk, struct flight ***end)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight) {
		read_tell(cache_fail(depot->cache, chunk), -ENOMEM);
		return;
	}
	flight->depot = depot;
	flight->chunk = chunk;
	flight->tree = tree_get(piece->tree);
	flight->shard = piece->shard;
	flight->who = piece->read->who;
	**end = flight;
	*end = &flight->next;
}

static void read_ask(struct depot *depot, struct depot_read *read,
		     struct depot_piece *piece, struct flight ***end)
{
	struct chunk *load;
	int answer;

	ASSERT(piece->shard < tree_shard_count(piece->tree));

	piece->chunk = NULL;
	piece->read = read;
	/* Counted before the cache knows it: it may land at once. */
	__atomic_fetch_add(&read->pending, 1, __ATOMIC_RELAXED);
	answer =
	    cache_ask(depot->cache, tree_shard_name(piece->tree, piece->shard),
		      piece, &load);
	if (answer == CACHE_WAITING)
		return;
	if (answer == CACHE_LOAD) {
		read_add_flight(depot, piece, load, end);
		return;
	}
	if (answer == CACHE_OFFERED) {
		read->ahead = true;
		prefetch_read(depot->prefetch,
			      tree_shard_name(piece->tree, piece->shard));
	}
	if (answer < 0)
		read_set_error(read, answer);
	else
		atomic_fetch_add_explicit(&depot->reads_hot, 1,
					  memory_order_relaxed);
	/* depot_read_start holds one, too: this is never the last. */
	if (read_count_down(read))
		ASSERT(false);
}

int depot_read_start(struct depot *depot, struct depot_read *read)
{
	struct flight *flights = NULL, **end = &flights;

	ASSERT(read->count <= DEPOT_READ_MAX && read->done);

	__atomic_store_n(&read->pending, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&read->rc, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&read->cold, false, __ATOMIC_RELAXED);
	read->ahead = false;
	for (unsigned int i = 0; i < read->count; i++)
		read_ask(depot, read, &read->piece[i], &end);
	if (flights) {
		flights->job.run = flight_batch_run;
		pool_submit(depot->pool, &flights->job);
	}
	if (read_count_down(read))
		return __atomic_load_n(&read->rc, __ATOMIC_ACQUIRE);
	/* From here on the read may be gone. */
	return -EINPROGRESS;
}

/* A count of our own keeps done() from being called, and the read from going,
 * under our hands.  false: it is too late for that. */
static bool read_hold(struct depot_read *read)
{
	int pending = __atomic_load_n(&read->pending, __ATOMIC_ACQUIRE);

	while (pending > 0)
		if (__atomic_compare_exchange_n(
			&read->pending, &pending, pending + 1, false,
			__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

bool depot_read_cancel(struct depot *depot, struct depot_read *read)
{
	if (!read_hold(read))
		return false;
	read_set_error(read, -ECANCELED);
	for (unsigned int i = 0; i < read->count; i++) {
		struct depot_piece *piece = &read->piece[i];

		if (cache_leave(depot->cache,
				tree_shard_name(piece->tree, piece->shard),
				piece) &&
		    read_count_down(read))
			ASSERT(false); /* ours is still there */
	}
	/* Not the last: a piece is just landing, and done() comes with it. */
	if (!read_count_down(read))
		return false;
	depot_read_release(depot, read);
	return true;
}

void depot_read_release(struct depot *depot, struct depot_read *read)
{
	bool traced = trace_is_on(depot->trace);

	for (unsigned int i = 0; i < read->count; i++) {
		if (traced && read->piece[i].chunk)
			trace_note(depot->trace,
				   tree_shard_name(read->piece[i].tree,
						   read->piece[i].shard),
				   read->who, chunk_len(read->piece[i].chunk));
		if (read->piece[i].chunk)
			cache_release(depot->cache, read->piece[i].chunk);
		read->piece[i].chunk = NULL;
	}
}

/* --- the control thread's forms ------------------------------------------ */

/* The control thread serves one request at a time: an upstream that is down
 * must not hold it for the five minutes that a guest's read may wait. */
enum { READ_WAIT_S = 20, READ_WAIT_STEP_MS = 200 };

struct read_wait {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done; /* lock */
	int rc;    /* lock */
};
#define READ_WAIT_INIT                                                         \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER,                             \
		.wake = PTHREAD_COND_INITIALIZER                               \
	}

static void read_wait_wake(struct read_wait *wait, int rc)
{
	pthread_mutex_lock(&wait->lock);
	wait->done = true;
	wait->rc = rc;
	pthread_cond_signal(&wait->wake);
	/* The waiter may leave, and its stack go, once this is unlocked. */
	pthread_mutex_unlock(&wait->lock);
}

/* false: it is not done after READ_WAIT_S, or the depot is about to close. */
static bool read_wait_some(const struct depot *depot, struct read_wait *wait)
{
	struct timespec until;
	bool done;

	pthread_mutex_lock(&wait->lock);
	for (int i = 0; !wait->done && !atomic_load(&depot->hurried) &&
			i < READ_WAIT_S * 1000 / READ_WAIT_STEP_MS;) {
		until = clock_after_ms(READ_WAIT_STEP_MS);
		i += pthread_cond_clockwait(&wait->wake, &wait->lock,
					    CLOCK_MONOTONIC,
					    &until) == ETIMEDOUT;
	}
	done = wait->done;
	pthread_mutex_unlock(&wait->lock);
	return done;
}

static int read_wait_for(struct read_wait *wait)
{
	pthread_mutex_lock(&wait->lock);
	while (!wait->done)
		pthread_cond_wait(&wait->wake, &wait->lock);
	pthread_mutex_unlock(&wait->lock);
	return wait->rc;
}

/* depot_read has no room for a context: the read is put beside its waiter. */
struct read_waiting {
	struct depot_read read;
	struct read_wait wait;
};

static void read_waiting_done(struct depot_read *read, int rc)
{
	struct read_waiting *waiting =
	    container_of(read, struct read_waiting, read);

	read_wait_wake(&waiting->wait, rc);
}

/* The pieces move into a read of our own, since its done() is ours. */
int depot_read_wait(struct depot *depot, struct depot_read *read)
{
	struct read_waiting waiting = {.wait = READ_WAIT_INIT};
	int rc;

	memcpy(waiting.read.piece, read->piece, sizeof(read->piece));
	waiting.read.count = read->count;
	waiting.read.who = read->who;
	waiting.read.done = read_waiting_done;
	rc = depot_read_start(depot, &waiting.read);
	if (rc == -EINPROGRESS && !read_wait_some(depot, &waiting.wait) &&
	    depot_read_cancel(depot, &waiting.read))
		return atomic_load(&depot->hurried)
			   ? depot_goes_on(depot)
			   : log_err(-EHOSTUNREACH,
				     "package data did not come within %d s",
				     READ_WAIT_S);
	if (rc == -EINPROGRESS)
		rc = read_wait_for(&waiting.wait);
	memcpy(read->piece, waiting.read.piece, sizeof(read->piece));
	return rc < 0 ? log_err(rc, "package data could not be read") : 0;
}

/* -EBADMSG: *bad is the digest of what is there instead, when it can be read
 * (*readable). */
static int read_stored(struct depot *depot, const uint8_t *salt,
		       const struct digest *name, void **shard,
		       size_t *shard_len, struct digest *bad, bool *readable)
{
	struct kv_value value;
	size_t chunk_len;
	void *copy;
	int rc;

	*readable = false;
	rc = store_get(depot->store, name, &value);
	if (rc < 0)
		return rc;
	copy = malloc(value.len + SHARD_CHUNK_MAX);
	rc = copy ? shard_open(salt, name, value.data, value.len,
			       (uint8_t *)copy + value.len, SHARD_CHUNK_MAX,
			       &chunk_len)
		  : -ENOMEM;
	if (rc == 0) {
		memcpy(copy, value.data, value.len);
		*shard = copy;
		*shard_len = value.len;
	} else {
		*readable = true;
		*bad = digest_of(value.data, value.len);
		free(copy);
	}
	kv_value_release(&value);
	return rc;
}

int depot_shard_get(struct depot *depot, const uint8_t *salt,
		    const struct digest *name, void **shard, size_t *shard_len)
{
	struct digest bad;
	bool readable;

	return read_stored(depot, salt, name, shard, shard_len, &bad,
			   &readable);
}

struct read_shard {
	struct fetch_job job;
	struct read_wait wait;
	void *shard; /* owns */
	size_t shard_len;
};

static bool read_shard_wanted(struct fetch_job *job UNUSED)
{
	return true;
}

static void read_shard_done(struct fetch_job *job, int rc,
			    struct fetch_result *result)
{
	struct read_shard *want = container_of(job, struct read_shard, job);

	if (rc == 0) {
		want->shard = malloc(result->shard_len);
		if (want->shard)
			memcpy(want->shard, result->shard, result->shard_len);
		else
			rc = -ENOMEM;
		want->shard_len = result->shard_len;
	}
	read_wait_wake(&want->wait, rc);
}

/* From the store, else asked for.  -EEXIST: it has come in between. */
static int read_shard_once(struct depot *depot, struct tree *tree,
			   uint32_t shard, void **bytes, size_t *len)
{
	const struct digest *name = tree_shard_name(tree, shard);
	struct read_shard want = {
	    .job = {.tree = tree,
		    .shard = shard,
		    .looked = fetch_stored_count(depot->fetch),
		    .wanted = read_shard_wanted,
		    .done = read_shard_done},
	    .wait = READ_WAIT_INIT,
	};
	struct digest bad;
	bool readable;
	int rc;

	rc = read_stored(depot, tree_salt(tree), name, bytes, len, &bad,
			 &readable);
	if (rc != -ENOENT && rc != -EBADMSG)
		return rc;
	if (rc == -EBADMSG)
		store_quarantine(depot->store, name, readable ? &bad : NULL,
				 "not what its name says");
	fetch_submit(depot->fetch, &want.job);
	rc = read_wait_for(&want.wait);
	if (rc == -EEXIST)
		return rc;
	if (rc < 0)
		return log_err(rc, "a shard of the package could not be read");
	*bytes = want.shard;
	*len = want.shard_len;
	return 0;
}

int depot_tree_shard_get(struct depot *depot, struct tree *tree, uint32_t shard,
			 void **bytes, size_t *len)
{
	int rc;

	do
		rc = read_shard_once(depot, tree, shard, bytes, len);
	while (rc == -EEXIST);
	return rc;
}
