/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_lane: what goes next, and what happens to what failed.  No upstream is
 * asked for anything here; every function runs under fetch->lock.
 */
#include <stdio.h>

#include "depot/fetch_inside.h"
#include "depot/fetch_join.h"
#include "depot/log.h"

enum { FETCH_IDLE_MS = 10000 }; /* between two looks at the store's flushes */

void fetch_lane_push(struct fetch *fetch, struct fetch_lane *lane,
		     struct fetch_job *job)
{
	job->next = NULL;
	job->taken = false;
	*lane->tail = job;
	lane->tail = &job->next;
	fetch->queued++;
}

/* At the head: who waited longest goes on waiting first. */
static void fetch_lane_push_back(struct fetch *fetch, struct fetch_lane *lane,
				 struct fetch_job *job)
{
	job->taken = false;
	job->next = lane->head;
	lane->head = job;
	if (!job->next)
		lane->tail = &job->next;
	fetch->queued++;
}

/* Takes out the jobs that are marked `taken`, in order. */
static struct fetch_job *fetch_lane_pull(struct fetch *fetch,
					 struct fetch_lane *lane)
{
	struct fetch_job *pulled = NULL, **end = &pulled, **p = &lane->head;

	while (*p) {
		struct fetch_job *job = *p;

		if (!job->taken) {
			p = &job->next;
			continue;
		}
		*p = job->next;
		job->next = NULL;
		*end = job;
		end = &job->next;
		fetch->queued--;
	}
	lane->tail = p;
	return pulled;
}

struct fetch_lane *fetch_lane_of(struct fetch *fetch, const char *upstream)
{
	struct fetch_lane *lane = fetch->lanes;

	while (lane && strcmp(lane->upstream, upstream) != 0)
		lane = lane->next;
	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	snprintf(lane->upstream, sizeof(lane->upstream), "%s", upstream);
	lane->tail = &lane->head;
	lane->next = fetch->lanes;
	fetch->lanes = lane;
	return lane;
}

/* May the lane be asked now?  *at: else when, 0 for when a range is back. */
static bool fetch_lane_open(struct fetch *fetch, struct fetch_lane *lane,
			    uint64_t now, uint64_t *at)
{
	/* One hanging upstream must leave a thread to the others. */
	unsigned int inflight_max = fetch->lanes->next
					? MAX(1u, fetch->thread_count - 1)
					: fetch->thread_count;

	*at = 0;
	if (lane->fails == 0)
		return lane->inflight < inflight_max;
	if (lane->inflight > 0)
		return false;
	*at = lane->retry_at_ms;
	return now >= lane->retry_at_ms;
}

/* Jobs of the seed's pack that may go now. */
static unsigned int fetch_gather(struct fetch *fetch, struct fetch_job *seed,
				 uint64_t now, struct fetch_batch *batch,
				 struct fetch_place *places)
{
	struct index_place place;
	unsigned int count = 0;

	for (struct fetch_job *job = seed; job && count < FETCH_JOIN_MAX;
	     job = job->next) {
		if (job->not_before_ms > now ||
		    !route_place(fetch->routes, job->route, job->shard, &place))
			continue;
		if (job == seed)
			batch->pack = place.pack;
		else if (!digest_equal(&place.pack, &batch->pack) ||
			 !route_same_scope(job->route, seed->route))
			continue;
		job->off = place.off;
		job->len = place.len;
		places[count].off = place.off;
		places[count].len = place.len;
		places[count++].owner = job;
	}
	return count;
}

/* Fills a batch from the first job that may go. */
static void fetch_fill(struct fetch *fetch, struct fetch_lane *lane,
		       struct fetch_job *seed, uint64_t now,
		       struct fetch_batch *batch)
{
	struct fetch_place places[FETCH_JOIN_MAX];
	struct fetch_range range;
	unsigned int count;

	memset(batch, 0, sizeof(*batch));
	batch->lane = lane;
	seed->taken = true;
	count = fetch_gather(fetch, seed, now, batch, places);
	if (count > 0 && places[0].owner == seed) {
		fetch_join(places, count, 0, &range);
		batch->off = range.off;
		batch->len = range.len;
		for (unsigned int i = 0; i < range.count; i++) {
			struct fetch_job *job = places[range.first + i].owner;

			job->taken = true;
		}
	}
	batch->jobs = fetch_lane_pull(fetch, lane);
	lane->inflight++;
}

/* The most urgent class that a lane can go on with; FETCH_CLASSES: none. */
static enum fetch_class fetch_urgent(const struct fetch_lane *lane,
				     uint64_t now)
{
	enum fetch_class least = FETCH_CLASSES;

	for (const struct fetch_job *job = lane->head; job; job = job->next)
		if (job->not_before_ms <= now)
			least = MIN(least, job->fetch_class);
	return least;
}

bool fetch_pick(struct fetch *fetch, struct fetch_batch *batch,
		uint64_t *wake_at_ms)
{
	uint64_t now = fetch_now_ms(), at;
	enum fetch_class urgent;

	*wake_at_ms = now + FETCH_IDLE_MS;
	for (struct fetch_lane *lane = fetch->lanes; lane; lane = lane->next) {
		if (!lane->head)
			continue;
		if (!fetch_lane_open(fetch, lane, now, &at)) {
			if (at)
				*wake_at_ms = MIN(*wake_at_ms, at);
			continue;
		}
		urgent = fetch_urgent(lane, now);
		for (struct fetch_job *job = lane->head; job; job = job->next) {
			if (job->not_before_ms <= now &&
			    job->fetch_class == urgent) {
				fetch_fill(fetch, lane, job, now, batch);
				return true;
			}
			*wake_at_ms = MIN(*wake_at_ms, job->not_before_ms);
		}
	}
	return false;
}

/* Turns the lane to the end of the list: upstreams take turns. */
static void fetch_rotate(struct fetch *fetch, struct fetch_lane *lane)
{
	struct fetch_lane **p = &fetch->lanes;

	if (!lane->next)
		return;
	while (*p != lane)
		p = &(*p)->next;
	*p = lane->next;
	lane->next = NULL;
	while (*p)
		p = &(*p)->next;
	*p = lane;
}

/* --- after a range ------------------------------------------------------- */

static uint64_t fetch_backoff_ms(struct fetch *fetch, unsigned int fails)
{
	uint64_t ms = fetch->options.backoff_min_ms;
	uint16_t jitter;

	while (--fails > 0 && ms < fetch->options.backoff_max_ms)
		ms *= 2;
	ms = MIN(ms, fetch->options.backoff_max_ms);
	/* From half to all of it: clients of one depot must not march. */
	random_bytes(&jitter, sizeof(jitter));
	return ms / 2 + ms * jitter / UINT16_MAX / 2;
}

/* The lane's health, after a request. */
static void fetch_lane_judge(struct fetch *fetch, struct fetch_batch *batch,
			     uint64_t now)
{
	struct fetch_lane *lane = batch->lane;

	if (batch->rc != -EHOSTUNREACH) {
		if (lane->fails > 0)
			log_info("upstream %s: answers again after %.1f s",
				 lane->upstream,
				 (double)(now - lane->down_since_ms) / 1000);
		lane->fails = 0;
		return;
	}
	/* Ranges that were under way together fail together: once. */
	if (lane->fails > 0 && now < lane->retry_at_ms)
		return;
	if (lane->fails == 0) {
		lane->down_since_ms = now;
		log_err(0, "upstream %s: %s; trying again", lane->upstream,
			batch->fault.text);
	}
	lane->fails++;
	lane->retry_at_ms =
	    now + MAX(fetch_backoff_ms(fetch, lane->fails),
		      batch->fault.retry_after_s * UINT64_C(1000));
}

static bool fetch_lingered(struct fetch *fetch, struct fetch_job *job,
			   uint64_t now)
{
	for (struct fetch_job *j = job; j; j = j->joined)
		if (j->wanted(j)) {
			job->unwanted_since_ms = 0;
			return false;
		}
	if (job->unwanted_since_ms == 0)
		job->unwanted_since_ms = now;
	return now - job->unwanted_since_ms >= fetch->options.linger_ms;
}

/* Is it time to stop trying? */
static bool fetch_hopeless(struct fetch *fetch, struct fetch_lane *lane,
			   struct fetch_job *job, uint64_t now)
{
	uint64_t since = UINT64_MAX;

	if (job->rc == -ENODEV || job->rc == -ECANCELED || fetch->stopping)
		return true;
	if (job->bad_since_ms)
		since = job->bad_since_ms;
	if (lane->fails > 0)
		since = MIN(since, MAX(lane->down_since_ms, job->submitted_ms));
	if (since == UINT64_MAX)
		return false;
	return now - since >= fetch->options.give_up_ms ||
	       fetch_lingered(fetch, job, now);
}

/* A job that got no right bytes goes back, or onto the list of the hopeless. */
static void fetch_put_back(struct fetch *fetch, struct fetch_lane *lane,
			   struct fetch_job *job, uint64_t now,
			   struct fetch_job **hopeless)
{
	if (fetch_is_bad(job->rc)) {
		if (!job->bad_since_ms)
			job->bad_since_ms = now;
		/* At once with the index just read; then less and less. */
		if (job->tries > 0)
			job->not_before_ms =
			    now + fetch_backoff_ms(fetch, job->tries);
		job->tries++;
	} else if (job->rc == -ENOMEM) {
		/* Our own trouble, but it must not last for ever, either. */
		if (!job->bad_since_ms)
			job->bad_since_ms = now;
		job->not_before_ms = now + fetch->options.backoff_min_ms;
	}
	if (fetch_hopeless(fetch, lane, job, now)) {
		job->next = *hopeless;
		*hopeless = job;
	} else {
		fetch_lane_push_back(fetch, lane, job);
	}
}

/* Those in the queue of a lane that is down grow old, too. */
static void fetch_sweep(struct fetch *fetch, struct fetch_lane *lane,
			uint64_t now, struct fetch_job **hopeless)
{
	struct fetch_job **end = hopeless;

	if (lane->fails == 0)
		return;
	for (struct fetch_job *job = lane->head; job; job = job->next)
		job->taken = fetch_hopeless(fetch, lane, job, now);
	while (*end)
		end = &(*end)->next;
	*end = fetch_lane_pull(fetch, lane);
}

void fetch_lane_settle(struct fetch *fetch, struct fetch_batch *batch,
		       struct fetch_job **hopeless)
{
	struct fetch_lane *lane = batch->lane;
	uint64_t now = fetch_now_ms();
	struct fetch_job *job, *next;

	lane->inflight--;
	fetch_lane_judge(fetch, batch, now);
	for (job = batch->jobs; job; job = next) {
		next = job->next;
		fetch_put_back(fetch, lane, job, now, hopeless);
	}
	fetch_sweep(fetch, lane, now, hopeless);
	fetch_rotate(fetch, lane);
}
