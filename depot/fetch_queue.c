/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_queue: flights that wait.  Those of one class, tenant and tree have the
 * same sources and the same turn, so they are one group: a source that is down
 * costs a look per group, not per flight.
 *
 * Turns are start-time fair queueing over bytes: each tenant's account rises
 * with what it gets, the lowest goes next, and one that had nothing to ask for
 * begins where the others are.
 */
#include "depot/fetch_inside.h"

static struct fetch_turn *fetch_turn_of(struct fetch *fetch, uint32_t who)
{
	return &fetch->turns[who & (FETCH_TURNS - 1)];
}

/* The one there is, or a new one; NULL: no memory. */
static struct fetch_group *fetch_group_of(struct fetch *fetch,
					  enum fetch_class fetch_class,
					  uint32_t who, struct route *route)
{
	struct fetch_groups *groups = &fetch->groups[fetch_class];
	struct fetch_group *group;

	TAILQ_FOREACH(group, groups, link)
	if (group->who == who && group->route == route)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->fetch_class = fetch_class;
	group->who = who;
	group->route = route;
	TAILQ_INIT(&group->flights);
	if (TAILQ_EMPTY(groups))
		fetch->served_ms[fetch_class] = clock_ms();
	TAILQ_INSERT_TAIL(groups, group, link);
	return group;
}

static void fetch_group_add(struct fetch *fetch, struct fetch_group *group,
			    struct fetch_flight *flight, bool first)
{
	struct fetch_turn *turn = fetch_turn_of(fetch, group->who);
	enum fetch_class c = group->fetch_class;

	if (first)
		TAILQ_INSERT_HEAD(&group->flights, flight, link);
	else
		TAILQ_INSERT_TAIL(&group->flights, flight, link);
	flight->group = group;
	if (turn->queued[c]++ == 0)
		turn->spent[c] = MAX(turn->spent[c], fetch->turn_now[c]);
}

int fetch_queue_push(struct fetch *fetch, struct fetch_flight *flight,
		     bool first)
{
	struct fetch_group *group = fetch_group_of(
	    fetch, flight->fetch_class, flight->who, flight->lead->route);

	ASSERT(!flight->group && !flight->ended);

	if (!group)
		return -ENOMEM;
	fetch_group_add(fetch, group, flight, first);
	return 0;
}

bool fetch_queue_move(struct fetch *fetch, struct fetch_flight *flight,
		      enum fetch_class fetch_class, uint32_t who,
		      struct fetch_job *lead)
{
	struct fetch_group *group =
	    fetch_group_of(fetch, fetch_class, who, lead->route);

	ASSERT(flight->group);

	if (!group || group == flight->group)
		return group;
	fetch_queue_pull(fetch, flight);
	flight->fetch_class = fetch_class;
	flight->who = who;
	flight->lead = lead;
	fetch_group_add(fetch, group, flight, false);
	return true;
}

void fetch_queue_pull(struct fetch *fetch, struct fetch_flight *flight)
{
	struct fetch_group *group = STEAL(flight->group);

	fetch_turn_of(fetch, group->who)->queued[group->fetch_class]--;
	TAILQ_REMOVE(&group->flights, flight, link);
	if (!TAILQ_EMPTY(&group->flights))
		return;
	TAILQ_REMOVE(&fetch->groups[group->fetch_class], group, link);
	free(group);
}

void fetch_queue_charge(struct fetch *fetch, enum fetch_class fetch_class,
			uint32_t who, uint64_t bytes)
{
	struct fetch_turn *turn = fetch_turn_of(fetch, who);

	fetch->turn_now[fetch_class] =
	    MAX(fetch->turn_now[fetch_class], turn->spent[fetch_class]);
	turn->spent[fetch_class] += bytes;
	fetch->served_ms[fetch_class] = clock_ms();
}

uint64_t fetch_queue_spent(struct fetch *fetch, const struct fetch_group *group)
{
	return fetch_turn_of(fetch, group->who)->spent[group->fetch_class];
}
