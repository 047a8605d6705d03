/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks: a hash table of names under one lock.  It is asked when a shard is
 * loaded from disk or network, never for a chunk that is open already.
 */
#include "depot/marks.h"
#include "depot/clock.h"

#include <pthread.h>

enum { MARKS_SLOTS = 1 << 14 };

struct marks_tree {
	struct marks_tree *next;
	struct digest tree;
	struct marks_figures figures;
};

struct mark {
	struct mark *next;
	struct digest name;
	struct marks_tree *tree; /* borrows; NULL: not counted apart */
	uint64_t bytes;          /* 0: on its way */
	uint64_t landed_ms;
	enum fetch_class fetch_class;
	bool read; /* while it was on its way */
};

struct marks {
	uint64_t waste_ms;
	unsigned int count; /* atomic; changed with lock */
	pthread_mutex_t lock;
	struct mark *slot[MARKS_SLOTS];              /* lock; owns */
	struct marks_tree *trees;                    /* lock; owns */
	unsigned int tree_count;                     /* lock */
	struct marks_figures figures[FETCH_CLASSES]; /* lock */
};

int marks_new(uint64_t waste_ms, struct marks **marks)
{
	struct marks *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->waste_ms = waste_ms ? waste_ms : MARKS_WASTE_MS;
	pthread_mutex_init(&m->lock, NULL);
	*marks = m;
	return 0;
}

void marks_free(struct marks *marks)
{
	struct marks_tree *tree;
	struct mark *mark;

	if (!marks)
		return;
	for (unsigned int i = 0; i < MARKS_SLOTS; i++)
		while ((mark = marks->slot[i])) {
			marks->slot[i] = mark->next;
			free(mark);
		}
	while ((tree = marks->trees)) {
		marks->trees = tree->next;
		free(tree);
	}
	pthread_mutex_destroy(&marks->lock);
	free(marks);
}

/* Where the mark of a name is, or NULL's place; lock. */
static struct mark **marks_find(struct marks *marks, const struct digest *name)
{
	struct mark **at = &marks->slot[le32_get(name->bytes) % MARKS_SLOTS];

	while (*at && !digest_equal(&(*at)->name, name))
		at = &(*at)->next;
	return at;
}

/* NULL: none, and `make` could not make it; lock. */
static struct marks_tree *marks_find_tree(struct marks *marks,
					  const struct digest *tree, bool make)
{
	struct marks_tree *t = marks->trees;

	while (t && !digest_equal(&t->tree, tree))
		t = t->next;
	if (t || !make || marks->tree_count == MARKS_TREES_MAX)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->tree = *tree;
	t->next = marks->trees;
	marks->trees = t;
	marks->tree_count++;
	return t;
}

static struct marks_tree *marks_plan_tree(struct marks *marks,
					  const struct digest *tree,
					  enum fetch_class fetch_class)
{
	return fetch_class == FETCH_PLAN ? marks_find_tree(marks, tree, true)
					 : NULL;
}

/* lock */
static void marks_remove(struct marks *marks, struct mark **at)
{
	struct mark *mark = *at;

	*at = mark->next;
	free(mark);
	__atomic_fetch_sub(&marks->count, 1, __ATOMIC_RELAXED);
}

void marks_put(struct marks *marks, const struct digest *name,
	       const struct digest *tree, enum fetch_class fetch_class)
{
	struct mark **at, *mark;

	pthread_mutex_lock(&marks->lock);
	at = marks_find(marks, name);
	if (!*at && marks->count < MARKS_MAX &&
	    (mark = calloc(1, sizeof(*mark)))) {
		mark->name = *name;
		mark->tree = marks_plan_tree(marks, tree, fetch_class);
		mark->fetch_class = fetch_class;
		*at = mark;
		__atomic_fetch_add(&marks->count, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&marks->lock);
}

/* lock */
static void marks_use(struct marks *marks, struct mark **at)
{
	struct mark *mark = *at;

	marks->figures[mark->fetch_class].used += mark->bytes;
	if (mark->tree)
		mark->tree->figures.used += mark->bytes;
	marks_remove(marks, at);
}

void marks_land(struct marks *marks, const struct digest *name,
		const struct digest *tree, enum fetch_class fetch_class,
		uint64_t bytes)
{
	struct marks_tree *t;
	struct mark **at;

	pthread_mutex_lock(&marks->lock);
	marks->figures[fetch_class].bytes += bytes;
	t = marks_plan_tree(marks, tree, fetch_class);
	if (t)
		t->figures.bytes += bytes;
	at = marks_find(marks, name);
	if (*at && (*at)->bytes == 0) {
		(*at)->bytes = bytes;
		(*at)->landed_ms = clock_coarse_ms();
		if ((*at)->read)
			marks_use(marks, at);
	}
	pthread_mutex_unlock(&marks->lock);
}

void marks_drop(struct marks *marks, const struct digest *name)
{
	struct mark **at;

	pthread_mutex_lock(&marks->lock);
	at = marks_find(marks, name);
	if (*at && (*at)->bytes == 0)
		marks_remove(marks, at);
	pthread_mutex_unlock(&marks->lock);
}

void marks_read(struct marks *marks, const struct digest *name)
{
	struct mark **at;

	if (__atomic_load_n(&marks->count, __ATOMIC_RELAXED) == 0)
		return;
	pthread_mutex_lock(&marks->lock);
	at = marks_find(marks, name);
	if (*at && (*at)->bytes > 0)
		marks_use(marks, at);
	else if (*at)
		(*at)->read = true;
	pthread_mutex_unlock(&marks->lock);
}

void marks_sweep(struct marks *marks)
{
	uint64_t now = clock_coarse_ms();

	if (__atomic_load_n(&marks->count, __ATOMIC_RELAXED) == 0)
		return;
	for (unsigned int i = 0; i < MARKS_SLOTS; i++) {
		struct mark **at = &marks->slot[i];

		pthread_mutex_lock(&marks->lock);
		while (*at) {
			struct mark *mark = *at;

			if (mark->bytes == 0 ||
			    now < mark->landed_ms + marks->waste_ms) {
				at = &mark->next;
				continue;
			}
			marks->figures[mark->fetch_class].wasted += mark->bytes;
			if (mark->tree)
				mark->tree->figures.wasted += mark->bytes;
			marks_remove(marks, at);
		}
		pthread_mutex_unlock(&marks->lock);
	}
}

void marks_get(struct marks *marks, enum fetch_class fetch_class,
	       struct marks_figures *figures)
{
	pthread_mutex_lock(&marks->lock);
	*figures = marks->figures[fetch_class];
	pthread_mutex_unlock(&marks->lock);
}

void marks_get_tree(struct marks *marks, const struct digest *tree,
		    struct marks_figures *figures)
{
	const struct marks_tree *t;

	memset(figures, 0, sizeof(*figures));
	pthread_mutex_lock(&marks->lock);
	t = marks_find_tree(marks, tree, false);
	if (t)
		*figures = t->figures;
	pthread_mutex_unlock(&marks->lock);
}
