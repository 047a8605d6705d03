/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_names: the names of one directory out of all trees that have it.
 *
 * A tree's own directories lie in order of cookies, so those of several are
 * merged, not sorted; and a cookie is the name's hash, unless the one before it
 * is taken too and the name may have given way.  Only such names are hashed
 * anew, and only where one has given way is there anything to sort.
 */
#include "depot/log.h"
#include "overlay/image_impl.h"

/* --- order --------------------------------------------------------------- */

static int image_compare_names(const void *a, const void *b)
{
	const struct image_name *x = a, *y = b;
	size_t len = MIN(x->entry.name_len, y->entry.name_len);
	int c;

	if (x->base != y->base)
		return x->base < y->base ? -1 : 1;
	c = memcmp(x->entry.name, y->entry.name, len);
	if (c == 0)
		c = (int)x->entry.name_len - (int)y->entry.name_len;
	return c ? c : (int)x->tree - (int)y->tree;
}

static int image_compare_cookies(const void *a, const void *b)
{
	const struct image_name *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

/* By package, then by the package's own cookies: who takes a tie first. */
static int image_compare_rank(const void *a, const void *b)
{
	const struct image_name *x = a, *y = b;

	if (x->tree != y->tree)
		return x->tree < y->tree ? -1 : 1;
	if (x->entry.cookie != y->entry.cookie)
		return x->entry.cookie < y->entry.cookie ? -1 : 1;
	return 0;
}

bool image_same_name(const struct image_name *x, const struct image_name *y)
{
	return x->entry.name_len == y->entry.name_len &&
	       memcmp(x->entry.name, y->entry.name, x->entry.name_len) == 0;
}

void image_name_soon(const struct image *image, const struct image_name *name)
{
	tree_inode_soon(image->trees[name->tree], name->entry.inode);
	__builtin_prefetch(name->entry.name);
}

/* --- merging ------------------------------------------------------------- */

/* Where a source is being read. */
struct image_head {
	const struct tree *tree;
	uint32_t dir, next, count; /* next: the entry after `name` */
	uint64_t last;             /* cookie of the entry before it */
	struct image_name name;
};

struct image_merge {
	struct image_head *heads; /* owns; those with names left are in front */
	unsigned int head_count;
	bool tied;      /* a name had given way to another */
	bool whiteouts; /* there are some */
};

static void image_head_read(struct image_merge *m, struct image_head *head)
{
	struct image_name *name = &head->name;
	uint64_t cookie;

	tree_entry_get(head->tree, head->dir, head->next++, &name->entry);
	cookie = name->cookie = name->base = name->entry.cookie;
	if (cookie == name_cookie_next(head->last)) {
		name->base =
		    name_cookie(name->entry.name, name->entry.name_len);
		m->tied |= name->base != cookie;
	}
	head->last = cookie;
	m->whiteouts |= name->entry.inode == TREE_WHITEOUT;
}

/* The least of what the heads hold. */
static unsigned int image_merge_least(const struct image_merge *m)
{
	unsigned int best = 0;

	for (unsigned int h = 1; h < m->head_count; h++) {
		const struct image_name *x = &m->heads[h].name;
		const struct image_name *y = &m->heads[best].name;

		if (x->base < y->base ||
		    (x->base == y->base && image_compare_names(x, y) < 0))
			best = h;
	}
	return best;
}

static void image_merge_run(struct image_merge *m, struct image_name *names)
{
	while (m->head_count > 0) {
		struct image_head *head = &m->heads[image_merge_least(m)];

		*names++ = head->name;
		if (head->next < head->count)
			image_head_read(m, head);
		else
			*head = m->heads[--m->head_count];
	}
}

int image_names(const struct image *image, const struct image_source *src,
		unsigned int src_count, struct image_name **names,
		uint32_t *total, bool *plain)
{
	struct image_head heads[IMAGE_TREES_MAX];
	struct image_merge merge = {.heads = heads};

	ASSERT(src_count <= IMAGE_TREES_MAX);
	*total = 0;
	for (unsigned int s = 0; s < src_count; s++) {
		struct image_head *head = &heads[merge.head_count];
		struct tree_inode attr;

		tree_inode_get(image->trees[src[s].tree], src[s].inode, &attr);
		*total += attr.count;
		*head = (struct image_head){
		    .tree = image->trees[src[s].tree],
		    .dir = src[s].inode,
		    .count = attr.count,
		    .last = UINT64_MAX, /* the first one may follow the top */
		    .name.tree = src[s].tree,
		};
		if (attr.count == 0)
			continue;
		image_head_read(&merge, head);
		merge.head_count++;
	}
	*names = malloc(MAX(*total, 1u) * sizeof(**names));
	if (!*names)
		return -ENOMEM;
	image_merge_run(&merge, *names);
	*plain = src_count == 1 && !merge.whiteouts;
	if (merge.tied && !*plain)
		qsort(*names, *total, sizeof(**names), image_compare_names);
	return 0;
}

/* --- ties ---------------------------------------------------------------- */

/* Marks a cookie as taken; false: it was. */
static bool image_take_slot(uint64_t *taken, uint64_t slots, uint64_t cookie)
{
	uint64_t at = (cookie * UINT64_C(0x9e3779b97f4a7c15)) & (slots - 1);

	while (taken[at] && taken[at] != cookie)
		at = (at + 1) & (slots - 1);
	if (taken[at])
		return false;
	taken[at] = cookie;
	return true;
}

int image_place_ties(struct image_name *names, uint32_t count)
{
	uint64_t slots = 16;
	uint64_t *taken;
	int rc = 0;

	while (slots < (uint64_t)count * 2)
		slots *= 2;
	taken = calloc(slots, sizeof(*taken)); /* 0: free; cookies are not 0 */
	if (!taken)
		return -ENOMEM;
	qsort(names, count, sizeof(*names), image_compare_rank);
	for (uint32_t i = 0; i < count && rc == 0; i++) {
		uint64_t cookie = names[i].base;
		int tries = 0;

		while (!image_take_slot(taken, slots, cookie) && rc == 0) {
			if (++tries == NAME_CHAIN_MAX)
				rc = log_err(-EMLINK,
					     "more than %d names with one hash",
					     NAME_CHAIN_MAX);
			cookie = name_cookie_next(cookie);
		}
		names[i].cookie = cookie;
	}
	free(taken);
	qsort(names, count, sizeof(*names), image_compare_cookies);
	return rc;
}
