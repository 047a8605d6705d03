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

struct route {
	struct route *next; /* routes->lock */
	unsigned int refs;  /* routes->lock; the list's is not counted */
	bool listed;        /* routes->lock */
	struct digest tree;
	struct registry_origin origin;
	struct index *index;   /* routes->lock; ref; NULL: none here */
	int64_t refreshed_sec; /* routes->lock; monotonic, 0: never */
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
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	if (!path)
		return;
	rc = io_read_file(path, INDEX_FILE_MAX, &bytes, &len);
	if (rc == 0)
		rc = index_open(bytes, len, &route->tree,
				tree_shard_count(tree), &route->index);
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

const char *route_upstream(const struct route *route)
{
	return route->origin.upstream;
}

const char *route_private(const struct route *route)
{
	return route->origin.package[0] ? route->origin.package : NULL;
}

bool route_same_scope(const struct route *a, const struct route *b)
{
	return strcmp(a->origin.package, b->origin.package) == 0;
}

bool route_place(struct routes *routes, struct route *route, uint32_t shard,
		 struct index_place *place)
{
	bool here;

	pthread_mutex_lock(&routes->lock);
	here = route->index != NULL;
	if (here)
		index_place(route->index, shard, place);
	pthread_mutex_unlock(&routes->lock);
	return here;
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
		     struct index *index)
{
	struct index *old;
	bool same;

	pthread_mutex_lock(&routes->lock);
	old = route->index;
	same = route_same_index(old, index);
	route->index = index;
	pthread_mutex_unlock(&routes->lock);
	index_put(old);
	return !same;
}

bool route_refresh_due(struct routes *routes, struct route *route)
{
	struct timespec now;
	bool due;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	pthread_mutex_lock(&routes->lock);
	due = route->refreshed_sec == 0 ||
	      now.tv_sec - route->refreshed_sec >= ROUTE_REFRESH_S;
	if (due)
		route->refreshed_sec = now.tv_sec;
	pthread_mutex_unlock(&routes->lock);
	return due;
}

void routes_forget(struct routes *routes, const struct digest *tree)
{
	pthread_mutex_lock(&routes->lock);
	/* Moved to the front by the search. */
	if (routes_find(routes, tree))
		routes_drop(routes, &routes->head);
	pthread_mutex_unlock(&routes->lock);
}
