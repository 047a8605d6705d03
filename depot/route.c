/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route: a list, the last used first.  A host has few trees that are not all
 * here, and of them the same few are asked for.
 */
#include "depot/route.h"

#include <pthread.h>
#include <time.h>

#include "depot/depot.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/registry.h"

struct route_source {
	enum route_state state;
	uint64_t absent_until_ms;
	int64_t refreshed_sec; /* monotonic, 0: never */
	struct index *index;   /* ref; ROUTE_HAVE only */
};

struct route {
	struct route *next; /* routes->lock */
	unsigned int refs;  /* routes->lock; the list's is not counted */
	bool listed;        /* routes->lock */
	struct digest tree;
	struct registry_origin origin;
	struct index *index; /* routes->lock; ref; the origin's, till it has a
				number */
	struct route_source sources[ROUTE_SOURCES_MAX]; /* routes->lock */
};

struct routes {
	struct kv *state; /* borrows */
	const char *root; /* borrows */
	pthread_mutex_t lock;
	struct route *head; /* lock */
	unsigned int count; /* lock */
};

int routes_new(struct kv *state, const char *root, struct routes **routes)
{
	struct routes *r;

	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->state = state;
	r->root = root;
	pthread_mutex_init(&r->lock, NULL);
	*routes = r;
	return 0;
}

static void route_free(struct route *route)
{
	index_put(route->index);
	for (unsigned int i = 0; i < ROUTE_SOURCES_MAX; i++)
		index_put(route->sources[i].index);
	free(route);
}

void routes_free(struct routes *routes)
{
	struct route *route, *next;

	if (!routes)
		return;
	for (route = routes->head; route; route = next) {
		next = route->next;
		ASSERT(route->refs == 0);
		route_free(route);
	}
	pthread_mutex_destroy(&routes->lock);
	free(routes);
}

/* An index that is damaged or missing is read from upstream again: a hint. */
static void route_load_index(struct routes *routes, const struct tree *tree,
			     struct route *route)
{
	CLEANUP_FREE char *path = layout_host_index(routes->root, &route->tree);
	int rc;

	if (!path)
		return;
	rc = index_read(path, &route->tree, tree_shard_count(tree),
			&route->index);
	if (rc < 0)
		log_warn("%s: not used: %s", path, strerrordesc_np(-rc));
}

/* Found and moved to the front; lock. */
static struct route *routes_find(struct routes *routes,
				 const struct digest *tree)
{
	struct route **p = &routes->head, *route;

	while (*p && !digest_equal(&(*p)->tree, tree))
		p = &(*p)->next;
	route = *p;
	if (!route)
		return NULL;
	*p = route->next;
	route->next = routes->head;
	routes->head = route;
	return route;
}

/* lock */
static void routes_drop(struct routes *routes, struct route **p)
{
	struct route *route = *p;

	*p = route->next;
	routes->count--;
	route->listed = false;
	if (route->refs == 0)
		route_free(route);
}

/* The least recently used that nobody holds; lock. */
static void routes_trim(struct routes *routes)
{
	struct route **victim = NULL;

	if (routes->count <= ROUTES_MAX)
		return;
	for (struct route **p = &routes->head; *p; p = &(*p)->next)
		if ((*p)->refs == 0)
			victim = p;
	if (victim)
		routes_drop(routes, victim);
}

int route_get(struct routes *routes, const struct tree *tree,
	      struct route **route)
{
	const struct digest *digest = tree_digest(tree);
	struct route *found, *fresh;
	int rc;

	pthread_mutex_lock(&routes->lock);
	found = routes_find(routes, digest);
	if (found)
		found->refs++;
	pthread_mutex_unlock(&routes->lock);
	*route = found;
	if (found)
		return 0;

	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->tree = *digest;
	rc = registry_origin_get(routes->state, digest, &fresh->origin);
	if (rc < 0) {
		free(fresh);
		return rc;
	}
	route_load_index(routes, tree, fresh);
	pthread_mutex_lock(&routes->lock);
	found = routes_find(routes, digest);
	if (!found) {
		found = STEAL(fresh);
		found->listed = true;
		found->next = routes->head;
		routes->head = found;
		routes->count++;
	}
	found->refs++;
	routes_trim(routes);
	pthread_mutex_unlock(&routes->lock);
	if (fresh)
		route_free(fresh);
	*route = found;
	return 0;
}

void route_put(struct routes *routes, struct route *route)
{
	bool last;

	if (!route)
		return;
	pthread_mutex_lock(&routes->lock);
	ASSERT(route->refs > 0);
	last = --route->refs == 0 && !route->listed;
	pthread_mutex_unlock(&routes->lock);
	if (last)
		route_free(route);
}

struct route *route_ref(struct routes *routes, struct route *route)
{
	pthread_mutex_lock(&routes->lock);
	route->refs++;
	pthread_mutex_unlock(&routes->lock);
	return route;
}

const char *route_origin(const struct route *route)
{
	return route->origin.upstream;
}

const char *route_private(const struct route *route)
{
	return route->origin.package[0] ? route->origin.package : NULL;
}

/* --- its sources --------------------------------------------------------- */

/* lock; what was there is returned, to be put without it. */
static struct index *route_change(struct route *route, unsigned int number,
				  enum route_state state, struct index *index)
{
	struct route_source *source = &route->sources[number];
	struct index *old = source->index;

	ASSERT(number < ROUTE_SOURCES_MAX);
	ASSERT((state == ROUTE_HAVE) == (index != NULL));

	source->state = state;
	source->index = index;
	return old;
}

static void route_set(struct routes *routes, struct route *route,
		      unsigned int number, enum route_state state)
{
	struct index *old;

	pthread_mutex_lock(&routes->lock);
	old = route_change(route, number, state, NULL);
	pthread_mutex_unlock(&routes->lock);
	index_put(old);
}

void route_set_finding(struct routes *routes, struct route *route,
		       unsigned int number)
{
	route_set(routes, route, number, ROUTE_FINDING);
}

void route_set_unknown(struct routes *routes, struct route *route,
		       unsigned int number)
{
	route_set(routes, route, number, ROUTE_UNKNOWN);
}

void route_set_absent(struct routes *routes, struct route *route,
		      unsigned int number, uint64_t until_ms)
{
	struct index *old;

	pthread_mutex_lock(&routes->lock);
	old = route_change(route, number, ROUTE_ABSENT, NULL);
	route->sources[number].absent_until_ms = until_ms;
	pthread_mutex_unlock(&routes->lock);
	index_put(old);
}

void route_bind_origin(struct routes *routes, struct route *route,
		       unsigned int number)
{
	pthread_mutex_lock(&routes->lock);
	if (route->index && route->sources[number].state == ROUTE_UNKNOWN)
		index_put(route_change(route, number, ROUTE_HAVE,
				       STEAL(route->index)));
	pthread_mutex_unlock(&routes->lock);
}

enum route_state route_state(struct routes *routes, struct route *route,
			     unsigned int number, uint64_t now_ms)
{
	struct route_source *source = &route->sources[number];
	enum route_state state;

	pthread_mutex_lock(&routes->lock);
	if (source->state == ROUTE_ABSENT && now_ms >= source->absent_until_ms)
		source->state = ROUTE_UNKNOWN;
	state = source->state;
	pthread_mutex_unlock(&routes->lock);
	return state;
}

struct index *route_index(struct routes *routes, struct route *route,
			  unsigned int number)
{
	struct index *index = NULL;

	pthread_mutex_lock(&routes->lock);
	if (route->sources[number].index)
		index = index_get(route->sources[number].index);
	pthread_mutex_unlock(&routes->lock);
	return index;
}

static bool route_same_index(const struct index *a, const struct index *b)
{
	const void *a_bytes, *b_bytes;
	size_t a_len, b_len;

	if (!a || !b)
		return a == b;
	a_bytes = index_bytes(a, &a_len);
	b_bytes = index_bytes(b, &b_len);
	return a_len == b_len && memcmp(a_bytes, b_bytes, a_len) == 0;
}

bool route_set_index(struct routes *routes, struct route *route,
		     unsigned int number, struct index *index)
{
	struct index *old;
	bool same;

	pthread_mutex_lock(&routes->lock);
	old = route_change(route, number, ROUTE_HAVE, index);
	same = route_same_index(old, index);
	pthread_mutex_unlock(&routes->lock);
	index_put(old);
	return !same;
}

bool route_refresh_due(struct routes *routes, struct route *route,
		       unsigned int number)
{
	struct route_source *source = &route->sources[number];
	struct timespec now;
	bool due;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&routes->lock);
	due = source->refreshed_sec == 0 ||
	      now.tv_sec - source->refreshed_sec >= ROUTE_REFRESH_S;
	if (due)
		source->refreshed_sec = now.tv_sec;
	pthread_mutex_unlock(&routes->lock);
	return due;
}

void routes_forget_source(struct routes *routes, unsigned int number)
{
	pthread_mutex_lock(&routes->lock);
	for (struct route *route = routes->head; route; route = route->next) {
		index_put(route_change(route, number, ROUTE_UNKNOWN, NULL));
		route->sources[number].refreshed_sec = 0;
	}
	pthread_mutex_unlock(&routes->lock);
}

void routes_forget(struct routes *routes, const struct digest *tree)
{
	pthread_mutex_lock(&routes->lock);
	/* Moved to the front by the search. */
	if (routes_find(routes, tree))
		routes_drop(routes, &routes->head);
	pthread_mutex_unlock(&routes->lock);
}
