/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_flight: one flight per shard.
 *
 * Jobs of one shard may come through different trees, and so from different
 * upstreams: the flight goes by the tree of one of them, its lead, and takes
 * the next one's when that one's sources fail.
 */
#include "depot/cache.h"
#include "depot/fetch_inside.h"

static struct fetch_flight **fetch_slot(struct fetch *fetch,
					const struct digest *name)
{
	return &fetch->hash[le32_get(name->bytes) & (FETCH_HASH - 1)];
}

struct fetch_flight *fetch_flight_find(struct fetch *fetch,
				       const struct digest *name)
{
	struct fetch_flight *flight = *fetch_slot(fetch, name);

	while (flight && !digest_equal(&flight->name, name))
		flight = flight->hash_next;
	return flight;
}

static struct fetch_flight *fetch_flight_new(struct fetch_job *job)
{
	struct fetch_flight *flight = calloc(1, sizeof(*flight));
	const uint8_t *salt = tree_salt(job->tree);

	if (!flight)
		return NULL;
	flight->name = *tree_shard_name(job->tree, job->shard);
	if (salt) {
		flight->salted = true;
		memcpy(flight->salt, salt, SHARD_SALT_LEN);
	}
	flight->jobs = flight->lead = job;
	flight->fetch_class = job->fetch_class;
	flight->who = job->who;
	flight->refs = 1;
	return flight;
}

/* More urgent than it was: to the other queue, if there is memory. */
static void fetch_flight_raise(struct fetch *fetch, struct fetch_flight *flight,
			       const struct fetch_job *job)
{
	if (job->fetch_class >= flight->fetch_class)
		return;
	/* A guest's patience begins when it asks. */
	if (job->fetch_class == FETCH_DEMAND)
		flight->stuck_since_ms = flight->bad_since_ms = 0;
	if (flight->group) {
		fetch_queue_move(fetch, flight, job->fetch_class, job->who,
				 flight->lead);
		return;
	}
	flight->fetch_class = job->fetch_class;
	flight->who = job->who;
}

int fetch_flight_join(struct fetch *fetch, struct fetch_job *job)
{
	const struct digest *name = tree_shard_name(job->tree, job->shard);
	struct fetch_flight *flight = fetch_flight_find(fetch, name);
	struct fetch_flight **slot = fetch_slot(fetch, name);
	int rc;

	job->joined = NULL;
	if (flight) {
		job->joined = flight->jobs;
		flight->jobs = job;
		fetch_flight_raise(fetch, flight, job);
		return 0;
	}
	if (fetch->flights >= FETCH_QUEUE_MAX)
		return -ENOMEM;
	flight = fetch_flight_new(job);
	if (!flight)
		return -ENOMEM;
	rc = fetch_queue_push(fetch, flight, false);
	if (rc < 0) {
		free(flight);
		return rc;
	}
	flight->hash_next = *slot;
	*slot = flight;
	fetch->flights++;
	return 0;
}

void fetch_flight_put(struct fetch_flight *flight)
{
	ASSERT(flight->refs > 0);

	if (--flight->refs == 0)
		free(flight);
}

struct fetch_job *fetch_flight_end(struct fetch *fetch,
				   struct fetch_flight *flight)
{
	struct fetch_flight **p = fetch_slot(fetch, &flight->name);
	struct fetch_job *jobs = STEAL(flight->jobs);

	if (flight->ended)
		return NULL;
	flight->ended = true;
	flight->lead = NULL;
	if (flight->group)
		fetch_queue_pull(fetch, flight);
	while (*p != flight)
		p = &(*p)->hash_next;
	*p = flight->hash_next;
	fetch->flights--;
	fetch_flight_put(flight);
	return jobs;
}

void fetch_flight_stored(struct fetch *fetch, const struct fetch_flight *flight)
{
	uint64_t number = atomic_load(&fetch->stored_count);

	fetch->stored[number & (FETCH_STORED - 1)] = flight->name;
	atomic_store(&fetch->stored_count, number + 1);
}

bool fetch_was_stored(struct fetch *fetch, const struct fetch_job *job)
{
	const struct digest *name = tree_shard_name(job->tree, job->shard);
	uint64_t end = atomic_load(&fetch->stored_count), i = job->looked;

	if (i == 0 || end - i > FETCH_STORED)
		return false;
	for (; i < end; i++)
		if (digest_equal(&fetch->stored[i & (FETCH_STORED - 1)], name))
			return true;
	return false;
}

static void fetch_tell_one(struct fetch *fetch, struct fetch_job *job, int rc,
			   struct fetch_result *result)
{
	route_put(fetch->routes, STEAL(job->route));
	job->done(job, rc, rc < 0 ? NULL : result);
}

/* The spare ones after the others, out of their list. */
static struct fetch_job *fetch_spare_last(struct fetch_job *jobs)
{
	struct fetch_job *spare = NULL, **spare_end = &spare;
	struct fetch_job *first = NULL, **end = &first;

	for (; jobs; jobs = jobs->joined) {
		struct fetch_job ***to = jobs->spare ? &spare_end : &end;

		**to = jobs;
		*to = &jobs->joined;
	}
	*spare_end = NULL;
	*end = spare;
	return first;
}

void fetch_tell(struct fetch *fetch, struct fetch_job *jobs, int rc,
		struct fetch_result *result)
{
	struct fetch_job *next;

	for (jobs = fetch_spare_last(jobs); jobs; jobs = next) {
		struct fetch_result own;

		next = jobs->joined;
		/* done() may take the chunk: each but spare ones gets one of
		 * its own. */
		if (rc < 0 || !next || next->spare) {
			fetch_tell_one(fetch, jobs, rc, result);
			continue;
		}
		own = *result;
		own.chunk = cache_buffer(own.chunk_len);
		if (own.chunk)
			memcpy(own.chunk, result->chunk, own.chunk_len);
		fetch_tell_one(fetch, jobs, own.chunk ? 0 : -ENOMEM, &own);
		free(own.chunk);
	}
}

bool fetch_flight_wanted(const struct fetch_flight *flight)
{
	for (struct fetch_job *job = flight->jobs; job; job = job->joined)
		if (job->wanted(job))
			return true;
	return false;
}

void fetch_flight_mark(struct fetch_flight *flight, unsigned int lane,
		       uint64_t until_ms)
{
	struct fetch_mark *mark = NULL;

	for (unsigned int i = 0; i < FETCH_MARKS; i++)
		if (flight->marks[i].until_ms && flight->marks[i].lane == lane)
			mark = &flight->marks[i];
	if (!mark)
		mark = &flight->marks[flight->next_mark++ % FETCH_MARKS];
	mark->lane = lane;
	mark->until_ms = until_ms;
}

bool fetch_flight_marked(const struct fetch_flight *flight, unsigned int lane,
			 uint64_t now)
{
	for (unsigned int i = 0; i < FETCH_MARKS; i++)
		if (flight->marks[i].lane == lane &&
		    flight->marks[i].until_ms > now)
			return true;
	return false;
}

bool fetch_flight_turn(struct fetch *fetch, struct fetch_flight *flight,
		       bool down)
{
	uint64_t now = clock_ms();
	struct fetch_job *job;

	for (job = flight->jobs; job; job = job->joined) {
		if (job->route == flight->lead->route ||
		    (!fetch_route_well(fetch, job->route, now) &&
		     (!down || fetch_route_void(fetch, job->route, now))))
			continue;
		if (flight->group)
			return fetch_queue_move(fetch, flight,
						flight->fetch_class,
						flight->who, job);
		flight->lead = job;
		return true;
	}
	return false;
}
