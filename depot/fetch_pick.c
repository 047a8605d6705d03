/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_pick: what goes next, to which source, and with which neighbours.
 */
#include "depot/fetch_inside.h"
#include "depot/fetch_join.h"

enum {
	FETCH_IDLE_MS = 10000, /* between two looks at the store's flushes */
	FETCH_LOOK_MAX = 256,  /* flights of a group that may not go just now */
	FETCH_MISSES_MAX = 64, /* shards in a row that are no neighbours */
	FETCH_MARKED_PART = 5, /* of these twice the shortest back-off: between
				  two tries of what a source is marked for */
};

struct fetch_choice {
	struct fetch_lane *lane;
	bool find;   /* has it the tree? */
	bool marked; /* it gave wrong bytes, or none, a while ago */
	bool busy;   /* there is a better one, which has its hands full */
};

/* --- a source for a flight ----------------------------------------------- */

static bool fetch_in_hand(const struct fetch_flight *flight,
			  const struct fetch_lane *lane)
{
	return flight->hand_lanes >> lane->number & 1;
}

/* Is this flight better not asked of it? */
static bool fetch_is_marked(struct fetch *fetch,
			    const struct fetch_flight *flight,
			    const struct fetch_lane *lane, uint64_t now)
{
	struct index_place place;
	struct index *index;
	bool gone = false;

	if (fetch_flight_marked(flight, lane->number, now))
		return true;
	if (!lane->has_gone)
		return false;
	index = route_index(fetch->routes, flight->lead->route, lane->number);
	if (index) {
		index_place(index, flight->lead->shard, &place);
		gone = fetch_lane_is_gone(lane, &place.pack, now);
	}
	index_put(index);
	return gone;
}

/* Known to have it before not looked at, before marked. */
static int fetch_choice_rank(const struct fetch_choice *choice)
{
	if (!choice->lane)
		return 3;
	return choice->marked ? 2 : choice->find ? 1 : 0;
}

static void fetch_choose_better(struct fetch_choice *best,
				const struct fetch_choice *other,
				const char *origin, uint64_t now)
{
	int have = fetch_choice_rank(best), get = fetch_choice_rank(other);

	if (get < have ||
	    (get == have &&
	     fetch_lane_better(other->lane, best->lane, origin, now))) {
		best->lane = other->lane;
		best->find = other->find;
		best->marked = other->marked;
	}
}

static void fetch_consider(struct fetch *fetch,
			   const struct fetch_flight *flight,
			   struct fetch_lane *lane, uint64_t now,
			   struct fetch_choice *best, uint64_t *wake_ms)
{
	struct route *route = flight->lead->route;
	struct fetch_choice other = {.lane = lane};
	enum route_state state;
	bool open;

	if (!lane->upstream || fetch_in_hand(flight, lane))
		return;
#ifdef BROKEN_NO_HEDGE
	if (strcmp(lane->name, route_origin(route)) != 0)
		return;
#endif
	state = route_state(fetch->routes, route, lane->number, now);
	if (state == ROUTE_ABSENT)
		return;
	open = fetch_lane_open(fetch, lane, flight->fetch_class, wake_ms);
	other.find = state == ROUTE_UNKNOWN;
	other.marked =
	    state == ROUTE_HAVE && fetch_is_marked(fetch, flight, lane, now);
	if (other.marked && now < lane->marked_at_ms) {
		*wake_ms = MIN(*wake_ms, lane->marked_at_ms);
		open = false;
	}
	if (lane->fails == 0 && !lane->late && !other.marked && !other.find &&
	    (!open || state == ROUTE_FINDING))
		best->busy = true;
	if (open && state != ROUTE_FINDING)
		fetch_choose_better(best, &other, route_origin(route), now);
}

/* false: none, now. */
static bool fetch_choose(struct fetch *fetch, const struct fetch_flight *flight,
			 uint64_t now, struct fetch_choice *choice,
			 uint64_t *wake_ms)
{
	*choice = (struct fetch_choice){.lane = NULL};
	for (unsigned int i = 0; i < fetch->lane_count; i++)
		fetch_consider(fetch, flight, fetch->lanes[i], now, choice,
			       wake_ms);
	/* Second best is for when the best is not well, not when it is busy. */
	return choice->lane &&
	       (!choice->busy || fetch_choice_rank(choice) == 0);
}

bool fetch_has_other(struct fetch *fetch, const struct fetch_flight *flight,
		     uint64_t now)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_lane *lane = fetch->lanes[i];

		if (lane->upstream && lane->fails == 0 && !lane->late &&
		    !fetch_in_hand(flight, lane) &&
		    route_state(fetch->routes, flight->lead->route,
				lane->number, now) != ROUTE_ABSENT &&
		    !fetch_is_marked(fetch, flight, lane, now))
			return true;
	}
	return false;
}

bool fetch_all_marked(struct fetch *fetch, const struct fetch_flight *flight,
		      uint64_t now)
{
	bool any = false;

	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_lane *lane = fetch->lanes[i];

		if (!lane->upstream || lane->fails > 0 ||
		    route_state(fetch->routes, flight->lead->route, i, now) ==
			ROUTE_ABSENT)
			continue;
		if (!fetch_is_marked(fetch, flight, lane, now))
			return false;
		any = true;
	}
	return any;
}

bool fetch_route_well(struct fetch *fetch, struct route *route, uint64_t now)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++)
		if (fetch->lanes[i]->upstream && fetch->lanes[i]->fails == 0 &&
		    route_state(fetch->routes, route, i, now) != ROUTE_ABSENT)
			return true;
	return false;
}

bool fetch_route_void(struct fetch *fetch, struct route *route, uint64_t now)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_lane *lane = fetch->lanes[i];

		if (lane->upstream &&
		    (strcmp(lane->name, route_origin(route)) == 0 ||
		     route_state(fetch->routes, route, i, now) != ROUTE_ABSENT))
			return false;
	}
	return true;
}

/* --- neighbours ---------------------------------------------------------- */

static uint32_t fetch_range_max(enum fetch_class fetch_class)
{
	static const uint32_t max[FETCH_CLASSES] = {
	    [FETCH_DEMAND] = FETCH_JOIN_RANGE_MAX,
	    [FETCH_AHEAD] = FETCH_JOIN_RANGE_MAX / 4,
	    [FETCH_PLAN] = FETCH_JOIN_RANGE_MAX / 2,
	    [FETCH_FILL] = FETCH_JOIN_RANGE_MAX / 4,
	};

	return max[fetch_class];
}

struct fetch_walk {
	struct fetch *fetch;
	struct fetch_batch *batch;
	const struct index *index; /* borrows */
	struct fetch_place *places;
	unsigned int count;
	uint64_t now;
	uint64_t start, end; /* of what is in places */
};

/* May it ride along?  Less urgent ones only where bytes are proved as they
 * come, and behind those that are waited for. */
static bool fetch_may_join(const struct fetch_walk *walk,
			   const struct fetch_flight *flight, bool upward)
{
	enum fetch_class seed = walk->batch->fetch_class;

	if (!flight || !flight->group ||
	    fetch_in_hand(flight, walk->batch->lane))
		return false;
	/* What failed together is tried again together. */
	if (!walk->batch->marked &&
	    (flight->not_before_ms > walk->now ||
	     fetch_flight_marked(flight, walk->batch->lane->number, walk->now)))
		return false;
	if (flight->fetch_class <= seed)
		return true;
	return upward && flight->fetch_class < FETCH_FILL &&
	       upstream_can_watch(walk->batch->upstream) &&
	       walk->end - walk->start < fetch_range_max(FETCH_AHEAD);
}

/* One shard of the tree; false: too far off. */
static bool fetch_walk_shard(struct fetch_walk *walk, uint32_t shard,
			     bool upward, unsigned int *misses)
{
	struct fetch_flight *flight;
	struct index_place place;

	index_place(walk->index, shard, &place);
	if (!digest_equal(&place.pack, &walk->batch->pack))
		return ++*misses < FETCH_MISSES_MAX;
	if (place.off > walk->end + FETCH_JOIN_GAP_MAX ||
	    place.off + (uint64_t)place.len + FETCH_JOIN_GAP_MAX < walk->start)
		return ++*misses < FETCH_MISSES_MAX;
	flight = fetch_flight_find(walk->fetch,
				   tree_shard_name(walk->batch->tree, shard));
	if (!fetch_may_join(walk, flight, upward))
		return ++*misses < FETCH_MISSES_MAX;
	walk->places[walk->count++] = (struct fetch_place){
	    .off = place.off, .len = place.len, .owner = flight};
	walk->start = MIN(walk->start, (uint64_t)place.off);
	walk->end = MAX(walk->end, (uint64_t)place.off + place.len);
	*misses = 0;
	return walk->count < FETCH_JOIN_MAX &&
	       walk->end - walk->start <
		   fetch_range_max(walk->batch->fetch_class);
}

/* Packs are in tree order, so neighbours there are neighbours here. */
static void fetch_gather(struct fetch_walk *walk, uint32_t seed)
{
	uint32_t count = tree_shard_count(walk->batch->tree);
	unsigned int misses = 0;

	for (uint32_t i = seed + 1; i < count; i++)
		if (!fetch_walk_shard(walk, i, true, &misses))
			break;
	misses = 0;
	for (uint32_t i = seed; i > 0 && walk->count < FETCH_JOIN_MAX; i--)
		if (!fetch_walk_shard(walk, i - 1, false, &misses))
			break;
}

/* --- taking -------------------------------------------------------------- */

static void fetch_begin(struct fetch *fetch, struct fetch_flight *flight,
			struct fetch_lane *lane, uint64_t now,
			struct fetch_batch *batch)
{
	struct fetch_job *lead = flight->lead;

	memset(batch, 0, offsetof(struct fetch_batch, items));
	batch->count = batch->next = 0;
	batch->first_ms = 0;
	batch->got = batch->seen = batch->window_got = 0;
	batch->late = batch->silent = false;
	batch->rc = 0;
	batch->fault.text[0] = '\0';
	batch->fault.retry_after_s = 0;
	batch->fetch = fetch;
	batch->lane = lane;
	batch->upstream = upstream_ref(lane->upstream);
	batch->route = route_ref(fetch->routes, lead->route);
	batch->tree = tree_get(lead->tree);
	batch->is_origin = strcmp(lane->name, route_origin(lead->route)) == 0;
	batch->fetch_class = flight->fetch_class;
	batch->started_ms = batch->moved_ms = batch->window_ms = now;
	lane->inflight++;
	lane->class_inflight[batch->fetch_class]++;
	fetch->inflight++;
	TAILQ_INSERT_TAIL(&fetch->batches, batch, link);
	pthread_cond_signal(&fetch->watch_wake);
}

/* stay: it waits for another source as well. */
static void fetch_take(struct fetch *fetch, struct fetch_batch *batch,
		       const struct fetch_place *place, bool stay)
{
	struct fetch_flight *flight = place->owner;

	batch->items[batch->count++] = (struct fetch_item){
	    .flight = flight, .off = place->off, .len = place->len};
	flight->refs++;
	flight->hand_lanes |= UINT64_C(1) << batch->lane->number;
	if (!stay && flight->group)
		fetch_queue_pull(fetch, flight);
}

/* As long as the range may be, one shard being always allowed. */
static uint32_t fetch_room(const struct fetch *fetch,
			   const struct fetch_batch *batch)
{
	const struct fetch_options *o = &fetch->options;
	size_t room =
	    MIN(o->bytes_max - MIN(o->bytes_max, fetch->bytes_inflight),
		o->lane_bytes_max - MIN(o->lane_bytes_max, batch->lane->bytes));

	if (batch->fetch_class == FETCH_FILL)
		room = MIN(room, fetch_window_room(&batch->lane->fill));
	return (uint32_t)MIN((size_t)fetch_range_max(batch->fetch_class), room);
}

/* A range that begins with this flight. */
static void fetch_fill(struct fetch *fetch, struct fetch_flight *flight,
		       struct fetch_batch *batch, uint64_t now, bool alone)
{
	struct fetch_place places[FETCH_JOIN_MAX];
	struct fetch_range range;
	struct index_place place;
	uint32_t room;
	struct fetch_walk walk = {.fetch = fetch,
				  .batch = batch,
				  .places = places,
				  .count = 1,
				  .now = now};
	struct index *index =
	    route_index(fetch->routes, batch->route, batch->lane->number);

	ASSERT(index);

	index_place(index, flight->lead->shard, &place);
	batch->pack = place.pack;
	places[0] = (struct fetch_place){
	    .off = place.off, .len = place.len, .owner = flight};
	walk.index = index;
	walk.start = place.off;
	walk.end = walk.start + place.len;
	if (!alone)
		fetch_gather(&walk, flight->lead->shard);
	/* Halves of what failed: one bad part must not hide good ones. */
	room = fetch_room(fetch, batch);
	if (batch->marked)
		room = MIN(room, flight->narrow);
	fetch_join(places, walk.count, 0, room, &range);
	batch->off = range.off;
	batch->len = range.len;
	for (unsigned int i = 0; i < range.count; i++)
		fetch_take(fetch, batch, &places[range.first + i], alone);
	batch->lane->bytes += batch->len;
	if (batch->fetch_class == FETCH_FILL)
		batch->lane->fill.bytes += batch->len;
	fetch->bytes_inflight += batch->len;
	index_put(index);
}

static void fetch_go(struct fetch *fetch, struct fetch_flight *flight,
		     const struct fetch_choice *choice, uint64_t now,
		     struct fetch_batch *batch, bool alone)
{
	uint32_t who = flight->who;

	fetch_begin(fetch, flight, choice->lane, now, batch);
	if (choice->find) {
		/* It stays where it is, and goes on when that is known. */
		batch->find = true;
		route_set_finding(fetch->routes, batch->route,
				  choice->lane->number);
		return;
	}
	batch->marked = choice->marked;
	if (choice->marked)
		choice->lane->marked_at_ms =
		    now + fetch->options.backoff_min_ms * FETCH_MARKED_PART / 2;
	fetch_fill(fetch, flight, batch, now, alone);
	fetch_queue_charge(fetch, batch->fetch_class, who, batch->len);
}

/* --- sources that are down ----------------------------------------------- */

/* A flight to try it with: any that it may have. */
static struct fetch_flight *fetch_trial_flight(struct fetch *fetch,
					       struct fetch_lane *lane,
					       uint64_t now,
					       struct fetch_choice *choice)
{
	struct fetch_group *group;

	for (unsigned int c = 0; c < FETCH_CLASSES; c++)
		TAILQ_FOREACH(group, &fetch->groups[c], link)
		{
			struct fetch_flight *flight =
			    TAILQ_FIRST(&group->flights);
			enum route_state state = route_state(
			    fetch->routes, group->route, lane->number, now);

			if ((state != ROUTE_HAVE && state != ROUTE_UNKNOWN) ||
			    flight->not_before_ms > now ||
			    fetch_in_hand(flight, lane))
				continue;
			/* Marked, and all that there is? */
			choice->marked =
			    fetch_flight_marked(flight, lane->number, now);
			if (choice->marked &&
			    fetch_has_other(fetch, flight, now))
				continue;
			choice->lane = lane;
			choice->find = state == ROUTE_UNKNOWN;
			return flight;
		}
	return NULL;
}

/* A source that is down is due: it gets one range.  While others are well that
 * one stays in the queue for them, too: nobody waits for a trial. */
static bool fetch_pick_trial(struct fetch *fetch, uint64_t now,
			     struct fetch_batch *batch)
{
	for (unsigned int i = 0; i < fetch->lane_count; i++) {
		struct fetch_choice trial = {.lane = NULL}, other;
		struct fetch_lane *lane = fetch->lanes[i];
		struct fetch_flight *flight;
		uint64_t wake_ms = UINT64_MAX;

		if (!lane->upstream || lane->fails == 0 || lane->inflight ||
		    now < lane->retry_at_ms)
			continue;
		flight = fetch_trial_flight(fetch, lane, now, &trial);
		if (!flight)
			continue;
		fetch_go(fetch, flight, &trial, now, batch,
			 fetch_choose(fetch, flight, now, &other, &wake_ms) ||
			     other.busy);
		batch->trial = true;
		return true;
	}
	return false;
}

/* --- the next ------------------------------------------------------------ */

/* The first of a group that can go; NULL: none, now. */
static struct fetch_flight *
fetch_group_ready(struct fetch *fetch, struct fetch_group *group, uint64_t now,
		  struct fetch_choice *choice, uint64_t *wake_ms)
{
	struct fetch_flight *flight;
	unsigned int looked = 0;

	TAILQ_FOREACH(flight, &group->flights, link)
	{
		if (looked++ == FETCH_LOOK_MAX)
			break;
		if (flight->not_before_ms > now)
			*wake_ms = MIN(*wake_ms, flight->not_before_ms);
		else if (fetch_choose(fetch, flight, now, choice, wake_ms))
			return flight;
	}
	return NULL;
}

static bool fetch_pick_class(struct fetch *fetch, enum fetch_class fetch_class,
			     uint64_t now, struct fetch_batch *batch,
			     uint64_t *wake_ms)
{
	struct fetch_choice choice, best_choice = {.lane = NULL};
	struct fetch_flight *flight, *best = NULL;
	struct fetch_group *group;
	uint64_t least = 0;

	TAILQ_FOREACH(group, &fetch->groups[fetch_class], link)
	{
		uint64_t spent = fetch_queue_spent(fetch, group);

		if (best && spent >= least)
			continue;
		flight = fetch_group_ready(fetch, group, now, &choice, wake_ms);
		if (!flight)
			continue;
		best = flight;
		best_choice = choice;
		least = spent;
	}
	if (!best)
		return false;
	/* Trees of one tenant take turns, too. */
	group = best->group;
	TAILQ_REMOVE(&fetch->groups[fetch_class], group, link);
	TAILQ_INSERT_TAIL(&fetch->groups[fetch_class], group, link);
	fetch_go(fetch, best, &best_choice, now, batch, false);
	return true;
}

bool fetch_pick(struct fetch *fetch, struct fetch_batch *batch,
		uint64_t *wake_ms)
{
	uint64_t now = clock_ms();

	*wake_ms = now + FETCH_IDLE_MS;
	fetch_lanes_sync(fetch);
	if (fetch_pick_trial(fetch, now, batch))
		return true;
	for (unsigned int c = FETCH_CLASSES; c-- > FETCH_DEMAND + 1;)
		if (!TAILQ_EMPTY(&fetch->groups[c]) &&
		    now - fetch->served_ms[c] >= FETCH_SHARE_MS &&
		    fetch_pick_class(fetch, c, now, batch, wake_ms))
			return true;
	for (unsigned int c = 0; c < FETCH_CLASSES; c++)
		if (fetch_pick_class(fetch, c, now, batch, wake_ms))
			return true;
	return false;
}
