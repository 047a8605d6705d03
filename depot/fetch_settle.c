/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_settle: what becomes of what failed: to the next source, back into the
 * queue for later, or given up.
 */
#include "depot/fetch_inside.h"
#include "depot/log.h"

void fetch_hand_back(struct fetch_flight *flight, const struct fetch_lane *lane)
{
	flight->hand_lanes &= ~(UINT64_C(1) << lane->number);
}

static bool fetch_lingered(struct fetch *fetch, struct fetch_flight *flight,
			   uint64_t now)
{
	if (fetch_flight_wanted(flight)) {
		flight->unwanted_since_ms = 0;
		return false;
	}
	if (flight->unwanted_since_ms == 0)
		flight->unwanted_since_ms = now;
	return now - flight->unwanted_since_ms >= fetch->options.linger_ms;
}

/* It has been without a hope since `since_ms`: is it time to stop trying? */
static bool fetch_hopeless(struct fetch *fetch, struct fetch_flight *flight,
			   uint64_t since_ms, uint64_t now)
{
	return fetch->stopping || now - since_ms >= fetch->options.give_up_ms ||
	       fetch_lingered(fetch, flight, now);
}

/* --- after a range ------------------------------------------------------- */

/* The source answered, but not with this shard. */
static void fetch_mark_bad(struct fetch *fetch, struct fetch_batch *batch,
			   const struct fetch_item *item, uint64_t now)
{
	uint64_t until = now + fetch->options.avoid_ms;
	struct fetch_lane *lane = batch->lane;
	struct fetch_flight *flight = item->flight;

	fetch_flight_mark(flight, lane->number, until);
	/* Of a pack that is there in parts the next one may be. */
	if (item->rc == -ENOENT && !batch->fault.partial)
		fetch_lane_gone(lane, &batch->pack, until);
	if (!flight->bad_since_ms)
		flight->bad_since_ms = now;
	flight->narrow = batch->len / 2;
	/* Another source at once, this one less and less often. */
	flight->not_before_ms = now;
	if (!fetch_has_other(fetch, flight, now))
		flight->not_before_ms +=
		    fetch_backoff_ms(fetch, ++flight->tries);
}

static void fetch_settle_failed(struct fetch *fetch, struct fetch_batch *batch,
				const struct fetch_item *item, uint64_t now)
{
	struct fetch_flight *flight = item->flight;

	if (fetch_is_bad(item->rc) && item->rc != -EAGAIN) {
		fetch_mark_bad(fetch, batch, item, now);
	} else if (item->rc == -ENOMEM) {
		/* Our own trouble, but it must not last for ever, either. */
		if (!flight->bad_since_ms)
			flight->bad_since_ms = now;
		flight->not_before_ms = now + fetch->options.backoff_min_ms;
	} else if (item->rc == -EHOSTUNREACH) {
		flight->not_before_ms = now;
	}
}

/* What is not asked of anybody goes back, or is given up; its jobs. */
static struct fetch_job *
fetch_put_back(struct fetch *fetch, struct fetch_flight *flight, uint64_t now)
{
	if (flight->hand_lanes || flight->group)
		return NULL;
	if (flight->bad_since_ms &&
	    fetch_hopeless(fetch, flight, flight->bad_since_ms, now))
		return fetch_flight_end(fetch, flight);
	if (!fetch_has_other(fetch, flight, now))
		fetch_flight_turn(fetch, flight, false);
	/* At the head: who waited longest goes on waiting first. */
	if (fetch_queue_push(fetch, flight, true) < 0)
		return fetch_flight_end(fetch, flight);
	return NULL;
}

static struct fetch_job *fetch_jobs_add(struct fetch_job *list,
					struct fetch_job *jobs)
{
	struct fetch_job **end = &jobs;

	while (*end)
		end = &(*end)->joined;
	*end = list;
	return jobs;
}

static struct fetch_job *
fetch_settle_items(struct fetch *fetch, struct fetch_batch *batch, uint64_t now)
{
	struct fetch_job *over = NULL;
	bool wrong = false, gone = false;

	/* From the last, since each goes to the head of its queue. */
	for (unsigned int i = batch->count; i-- > 0;) {
		struct fetch_item *item = &batch->items[i];
		struct fetch_flight *flight = item->flight;

		if (item->rc < 0) {
			fetch_hand_back(flight, batch->lane);
			wrong |= fetch_is_bad(item->rc) &&
				 item->rc != -ENOENT && item->rc != -EAGAIN;
			gone |= item->rc == -ENOENT;
		}
		if (item->rc < 0 && !flight->ended) {
			fetch_settle_failed(fetch, batch, item, now);
			over = fetch_jobs_add(
			    over, fetch_put_back(fetch, flight, now));
		}
		fetch_flight_put(flight);
	}
	if (wrong) {
		batch->lane->wrong++;
		fetch_lane_amiss(batch->lane, FETCH_AMISS_WRONG, now);
	} else if (gone) {
		fetch_lane_amiss(batch->lane, FETCH_AMISS_GONE, now);
	}
	return over;
}

static void fetch_release(struct fetch *fetch, struct fetch_batch *batch)
{
	struct fetch_lane *lane = batch->lane;

	TAILQ_REMOVE(&fetch->batches, batch, link);
	lane->inflight--;
	lane->class_inflight[batch->fetch_class]--;
	lane->bytes -= batch->find ? 0 : batch->len;
	if (batch->late)
		lane->late--;
	fetch->bytes_inflight -= batch->find ? 0 : batch->len;
	fetch->inflight--;
}

void fetch_settle(struct fetch *fetch, struct fetch_batch *batch)
{
	uint64_t now = clock_ms();
	struct fetch_job *over;

	pthread_mutex_lock(&fetch->lock);
	fetch_release(fetch, batch);
	fetch_lane_judge(fetch, batch, now);
	if (batch->fetch_class == FETCH_FILL && !batch->find)
		batch->lane->fill.bytes -= batch->len;
	over = fetch_settle_items(fetch, batch, now);
	/* A source may have opened: others can go on with it. */
	pthread_cond_signal(&fetch->wake);
	pthread_mutex_unlock(&fetch->lock);
	if (over)
		log_err(0, "upstream %s: gave up a shard: %s",
			batch->lane->name,
			batch->fault.text[0] ? batch->fault.text
					     : "no right bytes");
	fetch_tell(fetch, over, -EIO, NULL);
	upstream_put(batch->upstream);
	route_put(fetch->routes, batch->route);
	tree_put(batch->tree);
}

/* --- those that nobody can be asked for ---------------------------------- */

/* Since when has it been without a hope?  0: it has one. */
static uint64_t fetch_hopeless_since(struct fetch *fetch,
				     struct fetch_flight *flight, bool well,
				     uint64_t now)
{
	/* What others found gone is gone for it, too. */
	if (!flight->bad_since_ms && fetch_all_marked(fetch, flight, now))
		flight->bad_since_ms = now;
	/* Of the flight, since a trial takes it out of its group. */
	if (well)
		flight->stuck_since_ms = 0;
	else if (!flight->stuck_since_ms)
		flight->stuck_since_ms = now;
	if (flight->stuck_since_ms && flight->bad_since_ms)
		return MIN(flight->stuck_since_ms, flight->bad_since_ms);
	return flight->stuck_since_ms ? flight->stuck_since_ms
				      : flight->bad_since_ms;
}

static struct fetch_job *
fetch_sweep_group(struct fetch *fetch, struct fetch_group *group, uint64_t now)
{
	struct fetch_flight *flight, *next;
	struct fetch_job *over = NULL;
	bool none = fetch_route_void(fetch, group->route, now);
	bool well = !none && fetch_route_well(fetch, group->route, now);
	unsigned int left = 0;
	uint64_t since;

	TAILQ_FOREACH(flight, &group->flights, link)
	left++;
	/* The last one takes the group with it. */
	for (flight = TAILQ_FIRST(&group->flights); left > 0; flight = next) {
		next = --left > 0 ? TAILQ_NEXT(flight, link) : NULL;
		since = fetch_hopeless_since(fetch, flight, well, now);
		if (!since || flight->hand_lanes ||
		    fetch_flight_turn(fetch, flight, none))
			continue;
		if (none || fetch_hopeless(fetch, flight, since, now))
			over = fetch_jobs_add(over,
					      fetch_flight_end(fetch, flight));
	}
	return over;
}

struct fetch_job *fetch_sweep(struct fetch *fetch, uint64_t now)
{
	struct fetch_job *over = NULL;
	struct fetch_group *group, *next;

	for (unsigned int c = 0; c < FETCH_CLASSES; c++)
		for (group = TAILQ_FIRST(&fetch->groups[c]); group;
		     group = next) {
			next = TAILQ_NEXT(group, link);
			over = fetch_jobs_add(
			    over, fetch_sweep_group(fetch, group, now));
		}
	return over;
}

/* --- requests that nobody needs ------------------------------------------ */

static bool fetch_batch_idle(const struct fetch_batch *batch)
{
	/* A trial is for the source's sake, too: a quicker one must not end it
	 * each time. */
	if (batch->find || batch->trial)
		return false;
	for (unsigned int i = 0; i < batch->count; i++)
		if (!batch->items[i].flight->ended)
			return false;
	return true;
}

void fetch_cancel_idle(struct fetch *fetch)
{
	struct fetch_batch *batch;

	TAILQ_FOREACH(batch, &fetch->batches, link)
	if (fetch_batch_idle(batch))
		atomic_store(&batch->watch.cancel, true);
}
