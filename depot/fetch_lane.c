/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_lane: the health of sources.
 *
 * Down (fails > 0): it did not answer.  Nothing but one range at a time, each
 * after its back-off, until one is answered.
 * Amiss (0..1): answers that were wrong, late, or not there, fading: any source
 * that is well goes before it meanwhile, a minute at most after the last.
 */
#include <math.h>
#include <stdio.h>

#include "depot/fetch_inside.h"
#include "depot/log.h"

#define FETCH_AMISS_WELL 0.2  /* above it others go first */
#define FETCH_AMISS_FADE 60e3 /* ms till it is 1/e of it */
#define FETCH_AVERAGE    0.2  /* weight of the newest */

enum {
	FETCH_LATE_MORE = 2,     /* ranges beside those that are late */
	FETCH_SPARE_THREADS = 2, /* for other sources, and for demand */
	FETCH_FILL_PART = 4,     /* of the threads at most for it */
	FETCH_PLAN_PART = 2,
	FETCH_REST_MS = 100,         /* without a guest's read: they rest */
	FETCH_RATE_BYTES = 64 << 10, /* shorter ranges tell no rate */
	FETCH_COST_BYTES = 256 << 10,
	FETCH_COST_UNKNOWN = 1000,
};

/* --- which there are ----------------------------------------------------- */

struct fetch_lane *fetch_lane_named(struct fetch *fetch, const char *name)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++)
		if (strcmp(fetch->lanes[i]->name, name) == 0)
			return fetch->lanes[i];
	return NULL;
}

/* A number that no upstream has any more; NULL: none. */
static struct fetch_lane *fetch_lane_reuse(struct fetch *fetch)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_lane *lane = fetch->lanes[i];

		if (lane->upstream || lane->inflight)
			continue;
		routes_forget_source(fetch->routes, i);
		memset(lane, 0, sizeof(*lane));
		fetch_window_init(&lane->fill);
		lane->number = i;
		return lane;
	}
	return NULL;
}

static struct fetch_lane *fetch_lane_make(struct fetch *fetch)
{
	struct fetch_lane *lane;

	if (fetch->lane_count == FETCH_LANES)
		return fetch_lane_reuse(fetch);
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	fetch_window_init(&lane->fill);
	lane->number = fetch->lane_count;
	fetch->lanes[fetch->lane_count++] = lane;
	return lane;
}

static void fetch_lane_set(struct fetch *fetch, struct upstream *upstream)
{
	struct fetch_lane *lane =
	    fetch_lane_named(fetch, upstream_name(upstream));

	if (!lane)
		lane = fetch_lane_make(fetch);
	if (!lane) {
		upstream_put(upstream);
		return;
	}
	/* Another URL under the old name starts with a clean record. */
	if (lane->upstream != upstream) {
		lane->fails = 0;
		lane->amiss = 0;
		lane->has_gone = false;
		lane->latency_ms = lane->rate = 0;
		fetch_window_init(&lane->fill);
	}
	snprintf(lane->name, sizeof(lane->name), "%s", upstream_name(upstream));
	upstream_put(lane->upstream);
	lane->upstream = upstream;
	lane->priority = upstream_priority(upstream);
}

void fetch_lanes_sync(struct fetch *fetch)
{
	unsigned int generation = upstreams_generation(fetch->upstreams);
	struct upstream *all[UPSTREAMS_MAX];
	unsigned int count;

	if (generation == fetch->generation && fetch->lane_count > 0)
		return;
	fetch->generation = generation;
	count = upstreams_all(fetch->upstreams, all);
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_lane *lane = fetch->lanes[i];
		bool stays = false;

		for (unsigned int j = 0; j < count; j++)
			stays |= strcmp(upstream_name(all[j]), lane->name) == 0;
		if (!stays)
			upstream_put(STEAL(lane->upstream));
	}
	for (unsigned int i = 0; i < count; i++)
		fetch_lane_set(fetch, all[i]);
	fetch->lanes_present = count;
}

void fetch_lanes_free(struct fetch *fetch)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		upstream_put(fetch->lanes[i]->upstream);
		free(fetch->lanes[i]);
	}
	fetch->lane_count = 0;
}

/* --- may it be asked ----------------------------------------------------- */

static unsigned int fetch_class_max(const struct fetch *fetch,
				    enum fetch_class fetch_class)
{
	unsigned int n = fetch->thread_count;

	switch (fetch_class) {
	case FETCH_FILL:
		return MAX(1u, n / FETCH_FILL_PART);
	case FETCH_PLAN:
		return MAX(1u, n / FETCH_PLAN_PART);
	case FETCH_AHEAD:
		return n > FETCH_SPARE_THREADS ? n - FETCH_SPARE_THREADS : 1;
	default:
		return n;
	}
}

static unsigned int fetch_lane_max(const struct fetch *fetch,
				   const struct fetch_lane *lane)
{
	unsigned int max = fetch->thread_count;

	/* One hanging source must leave threads to the others. */
	if (fetch->lanes_present > 1)
		max = max > FETCH_SPARE_THREADS ? max - FETCH_SPARE_THREADS : 1;
	if (lane->late)
		max = MIN(max, lane->late + FETCH_LATE_MORE);
	return max;
}

/* A fill: does it leave the link to others? */
static bool fetch_fill_may(struct fetch *fetch, const struct fetch_lane *lane,
			   uint64_t *wake_ms)
{
	uint64_t rest_ms = fetch->served_ms[FETCH_DEMAND] + FETCH_REST_MS;
	uint64_t now = clock_ms();

	if (fetch_window_room(&lane->fill) == 0)
		return false;
	if (now >= rest_ms || !fetch_window_yields(&lane->fill, now))
		return true;
	*wake_ms = MIN(*wake_ms, rest_ms);
	return false;
}

bool fetch_lane_open(struct fetch *fetch, const struct fetch_lane *lane,
		     enum fetch_class fetch_class, uint64_t *wake_ms)
{
	if (!lane->upstream)
		return false;
	if (lane->fails > 0) {
		if (lane->inflight == 0)
			*wake_ms = MIN(*wake_ms, lane->retry_at_ms);
		return false;
	}
	if (lane->inflight >= fetch_lane_max(fetch, lane) ||
	    lane->class_inflight[fetch_class] >=
		fetch_class_max(fetch, fetch_class))
		return false;
	if (fetch_class == FETCH_FILL && !fetch_fill_may(fetch, lane, wake_ms))
		return false;
	return fetch->bytes_inflight < fetch->options.bytes_max &&
	       lane->bytes < fetch->options.lane_bytes_max;
}

/* --- which is the better ------------------------------------------------- */

static double fetch_lane_is_amiss(const struct fetch_lane *lane, uint64_t now)
{
	return lane->amiss *
	       exp(-(double)(now - lane->amiss_ms) / FETCH_AMISS_FADE);
}

static double fetch_lane_cost(const struct fetch_lane *lane, const char *origin)
{
	if (lane->latency_ms <= 0)
		return strcmp(lane->name, origin) == 0 ? 0 : FETCH_COST_UNKNOWN;
	return lane->latency_ms +
	       (lane->rate > 0 ? FETCH_COST_BYTES / lane->rate : 0);
}

bool fetch_lane_better(const struct fetch_lane *a, const struct fetch_lane *b,
		       const char *origin, uint64_t now)
{
	bool a_well =
	    !a->late && fetch_lane_is_amiss(a, now) < FETCH_AMISS_WELL;
	bool b_well =
	    !b->late && fetch_lane_is_amiss(b, now) < FETCH_AMISS_WELL;

	if (a_well != b_well)
		return a_well;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return fetch_lane_cost(a, origin) < fetch_lane_cost(b, origin);
}

/* --- packs that are not there -------------------------------------------- */

void fetch_lane_gone(struct fetch_lane *lane, const struct digest *pack,
		     uint64_t until_ms)
{
	unsigned int at = FETCH_GONE;

	for (unsigned int i = 0; i < FETCH_GONE; i++)
		if (lane->gone[i].until_ms &&
		    digest_equal(&lane->gone[i].pack, pack))
			at = i;
	if (at == FETCH_GONE)
		at = lane->next_gone++ % FETCH_GONE;
	lane->gone[at].pack = *pack;
	lane->gone[at].until_ms = until_ms;
	lane->has_gone = true;
}

bool fetch_lane_is_gone(const struct fetch_lane *lane,
			const struct digest *pack, uint64_t now)
{
	for (unsigned int i = 0; i < FETCH_GONE; i++)
		if (lane->gone[i].until_ms > now &&
		    digest_equal(&lane->gone[i].pack, pack))
			return true;
	return false;
}

/* --- after a request ----------------------------------------------------- */

uint64_t fetch_backoff_ms(struct fetch *fetch, unsigned int fails)
{
	uint64_t ms = fetch->options.backoff_min_ms;
	uint16_t jitter;

	while (fails > 1 && ms < fetch->options.backoff_max_ms) {
		ms *= 2;
		fails--;
	}
	ms = MIN(ms, fetch->options.backoff_max_ms);
	/* From half to all of it: clients of one depot must not march. */
	random_bytes(&jitter, sizeof(jitter));
	return ms / 2 + ms * jitter / UINT16_MAX / 2;
}

/* However much was amiss, its turn is to come again within a minute. */
void fetch_lane_amiss(struct fetch_lane *lane, enum fetch_amiss what,
		      uint64_t now)
{
	static const struct {
		double more, most;
	} weights[] = {
	    [FETCH_AMISS_LATE] = {0.1, 0.4},
	    [FETCH_AMISS_GONE] = {0.05, 0.4},
	    [FETCH_AMISS_WRONG] = {0.5, 0.5}, /* at once behind all others */
	};
	double was = fetch_lane_is_amiss(lane, now);
	double is = was + (1 - was) * weights[what].more;

	lane->amiss = MIN(is, MAX(was, weights[what].most));
	lane->amiss_ms = now;
}

static void fetch_average(double *average, double value)
{
	*average = *average > 0 ? *average + (value - *average) * FETCH_AVERAGE
				: value;
}

static void fetch_lane_measure(struct fetch_lane *lane,
			       const struct fetch_batch *batch, uint64_t now)
{
	uint64_t first = atomic_load(&batch->first_ms), waited;

	if (!first)
		first = now;
	waited = first - batch->started_ms;
	fetch_average(&lane->latency_ms, (double)MAX(waited, UINT64_C(1)));
	/* A fill's first ranges each make a connection: that is no delay. */
	waited -= MIN(waited, (uint64_t)batch->watch.connect_ms);
	fetch_window_measure(&lane->fill, batch->started_ms, waited,
			     batch->fetch_class == FETCH_FILL ? batch->len : 0,
			     now);
	if (batch->len >= FETCH_RATE_BYTES)
		fetch_average(&lane->rate,
			      (double)batch->len /
				  (double)MAX(now - first, UINT64_C(1)));
}

static void fetch_lane_down(struct fetch *fetch, struct fetch_lane *lane,
			    const struct source_fault *fault, uint64_t now)
{
	/* Ranges that were under way together fail together: once. */
	if (lane->fails > 0 && now < lane->retry_at_ms)
		return;
	if (lane->fails == 0) {
		lane->down_since_ms = now;
		log_err(0, "upstream %s: %s; trying again", lane->name,
			fault->text);
	}
	lane->fails++;
	lane->retry_at_ms = now + MAX(fetch_backoff_ms(fetch, lane->fails),
				      fault->retry_after_s * UINT64_C(1000));
}

void fetch_lane_judge(struct fetch *fetch, struct fetch_batch *batch,
		      uint64_t now)
{
	struct fetch_lane *lane = batch->lane;

	if (batch->rc == -EHOSTUNREACH) {
		fetch_lane_down(fetch, lane, &batch->fault, now);
		return;
	}
	/* Our own doing, which says nothing of it. */
	if (batch->rc == -ECANCELED || batch->rc == -ENOMEM)
		return;
	if (lane->fails > 0)
		log_info("upstream %s: answers again after %.1f s", lane->name,
			 (double)(now - lane->down_since_ms) / 1000);
	lane->fails = 0;
	if (batch->rc == 0 && !batch->find)
		fetch_lane_measure(lane, batch, now);
	/* What it is marked for comes again: no need to go slow. */
	if (batch->marked && batch->count > 0 && batch->items[0].rc == 0)
		lane->marked_at_ms = 0;
}

void fetch_tell_source(struct fetch *fetch, struct upstream_info *info)
{
	uint64_t now = clock_ms();
	struct fetch_lane *lane;

	pthread_mutex_lock(&fetch->lock);
	lane = fetch_lane_named(fetch, info->name);
	if (lane) {
		double score = 100 * (1 - fetch_lane_is_amiss(lane, now));

		info->latency_ms = (unsigned int)lround(lane->latency_ms);
		info->bytes_per_s = (uint64_t)(lane->rate * 1000);
		info->inflight = lane->inflight;
		info->wrong = lane->wrong;
		if (lane->late)
			score /= 2;
		info->score = lane->fails ? 0 : (unsigned int)lround(score);
		if (lane->fails)
			info->down_s =
			    (unsigned int)((now - lane->down_since_ms) / 1000);
	}
	pthread_mutex_unlock(&fetch->lock);
}
