/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_build: flattens the trees of a selection.
 *
 * One directory at a time, depth first: gather the names of all trees that
 * have it, decide each name, write the run of entries, then go down.
 */
#include <sys/stat.h>

#include "depot/log.h"
#include "overlay/image_impl.h"

struct image_build {
	struct image *image;
	const uint8_t *key;
	unsigned int flags;
	image_conflict_fn *conflict;
	void *ctx;
	uint32_t inode_max, entry_max;     /* capacities */
	uint64_t *links[IMAGE_TREES_MAX];  /* owns: fileids of hard links */
	uint32_t *linked[IMAGE_TREES_MAX]; /* owns: their image inodes */
	char *path; /* owns: of the directory at hand, no NUL at the end */
	size_t path_cap;
};

static int image_grow(void **array, uint32_t count, uint32_t *max, size_t size)
{
	uint32_t wanted = *max ? *max * 2 : 256;
	void *bigger;

	if (count < *max)
		return 0;
	bigger = realloc(*array, (size_t)wanted * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*max = wanted;
	return 0;
}

static int image_path_room(struct image_build *b, size_t len)
{
	char *bigger;

	if (len <= b->path_cap)
		return 0;
	bigger = realloc(b->path, len * 2);
	if (!bigger)
		return -ENOMEM;
	b->path = bigger;
	b->path_cap = len * 2;
	return 0;
}

/*
 * The rule of image.h; `id` NULL for directories.  `begun` of
 * image_number_begin: what the names of one directory have in common is taken
 * in once.
 */
static uint64_t image_number(const struct siphash_begun *begun, char *path,
			     size_t path_len, const char *name, size_t name_len,
			     const uint64_t *id)
{
	size_t len = path_len + 1;
	uint64_t number;

	memcpy(path + len, name, name_len);
	len += name_len;
	path[len++] = '\0';
#ifdef BROKEN_ONE_NUMBER
	id = NULL; /* the control of tests/e2e/mixed */
#endif
	if (id) {
		le64_put(path + len, *id);
		len += 8;
	}
	number = siphash64_rest(begun, path, len) & ~(UINT64_C(1) << 63);
	return number ? number : 1;
}

static struct siphash_begun image_number_begin(const uint8_t *key, char *path,
					       size_t path_len)
{
	path[path_len] = '\0';
	return siphash64_begin(key, path, path_len + 1);
}

enum { IMAGE_NUMBER_ROOM = TREE_NAME_MAX + 16 };

/* --- hard links: numbered by the first path of the tree's walk ----------- */

struct image_link_walk {
	struct image_build *b;
	unsigned int t;
};

static int image_link_visit(void *ctx, const char *path,
			    const struct tree_entry *entry, uint32_t inode)
{
	struct image_link_walk *walk = ctx;
	struct image_build *b = walk->b;
	struct tree *tree = b->image->trees[walk->t];
	struct siphash_begun begun;
	struct tree_inode attr;
	size_t dir_len;

	if (!entry || inode == TREE_WHITEOUT)
		return 0;
	tree_inode_get(tree, inode, &attr);
	if (S_ISDIR(attr.mode) || attr.nlink < 2 || b->links[walk->t][inode])
		return 0;
	dir_len = strlen(path) - entry->name_len;
	if (dir_len > 0)
		dir_len--; /* the slash */
	if (image_path_room(b, dir_len + IMAGE_NUMBER_ROOM) < 0)
		return -ENOMEM;
	memcpy(b->path, path, dir_len);
	begun = image_number_begin(b->key, b->path, dir_len);
	b->links[walk->t][inode] = image_number(
	    &begun, b->path, dir_len, entry->name, entry->name_len, &attr.id);
	return 0;
}

static int image_find_links(struct image_build *b, unsigned int t)
{
	struct image_link_walk walk = {b, t};
	struct tree *tree = b->image->trees[t];
	uint32_t count = tree_inode_count(tree);
	bool any = false;

	for (uint32_t i = 0; i < count && !any; i++) {
		struct tree_inode attr;

		tree_inode_get(tree, i, &attr);
		any = !S_ISDIR(attr.mode) && attr.nlink > 1;
	}
	if (!any)
		return 0;
	b->links[t] = calloc(count, sizeof(*b->links[t]));
	b->linked[t] = calloc(count, sizeof(*b->linked[t]));
	if (!b->links[t] || !b->linked[t])
		return -ENOMEM;
	return tree_walk(tree, image_link_visit, &walk);
}

/* --- inodes and entries -------------------------------------------------- */

static int image_add_inode(struct image_build *b, struct image_source src,
			   uint64_t fileid, uint32_t parent, uint32_t *added)
{
	struct image *image = b->image;
	int rc = image_grow((void **)&image->inodes, image->inode_count,
			    &b->inode_max, sizeof(*image->inodes));

	if (rc < 0)
		return rc;
	*added = image->inode_count++;
	image->inodes[*added] = (struct image_inode){
	    .fileid = fileid,
	    .tree = src.tree,
	    .inode = src.inode,
	    .parent = parent,
	};
	return 0;
}

/* The image inode of one decided name. */
static int image_add_object(struct image_build *b, uint32_t dir,
			    const struct siphash_begun *begun, size_t path_len,
			    const struct image_name *name, uint32_t *added)
{
	struct image_source src = {name->tree, name->entry.inode};
	struct tree_inode attr;
	uint64_t fileid;
	int rc;

	if (name->down_count > 0)
		src = name->says;
	attr = (struct tree_inode){.nlink = 1, .id = TREE_WHITEOUT};
	if (src.inode != TREE_WHITEOUT)
		tree_inode_get(b->image->trees[src.tree], src.inode, &attr);
	if (S_ISDIR(attr.mode)) {
		fileid =
		    image_number(begun, b->path, path_len, name->entry.name,
				 name->entry.name_len, NULL);
		rc = image_add_inode(b, src, fileid, dir, added);
		if (rc < 0)
			return rc;
		b->image->inodes[*added].nlink = 2;
		b->image->inodes[dir].nlink++;
		return 0;
	}
	if (attr.nlink > 1 && b->linked[src.tree][src.inode]) {
		*added = b->linked[src.tree][src.inode];
		b->image->inodes[*added].nlink++;
		return 0;
	}
	fileid = attr.nlink > 1
		     ? b->links[src.tree][src.inode]
		     : image_number(begun, b->path, path_len, name->entry.name,
				    name->entry.name_len, &attr.id);
	rc = image_add_inode(b, src, fileid, IMAGE_NONE, added);
	if (rc < 0)
		return rc;
	b->image->inodes[*added].nlink = 1;
	if (attr.nlink > 1)
		b->linked[src.tree][src.inode] = *added;
	return 0;
}

static int image_add_run(struct image_build *b, uint32_t dir, size_t path_len,
			 const struct image_name *names, uint32_t count)
{
	struct siphash_begun begun =
	    image_number_begin(b->key, b->path, path_len);
	struct image *image = b->image;
	int rc;

	image->inodes[dir].first = image->entry_count;
	image->inodes[dir].count = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t inode;

		if (count - i > IMAGE_STEPS_AHEAD)
			image_name_soon(image, &names[i + IMAGE_STEPS_AHEAD]);
		rc = image_grow((void **)&image->entries, image->entry_count,
				&b->entry_max, sizeof(*image->entries));
		if (rc == 0)
			rc = image_add_object(b, dir, &begun, path_len,
					      &names[i], &inode);
		if (rc < 0)
			return rc;
		image->entries[image->entry_count++] = (struct image_entry){
		    .cookie = names[i].cookie,
		    .name = names[i].entry.name,
		    .name_len = names[i].entry.name_len,
		    .inode = inode,
		};
	}
	return 0;
}

/* --- merging the names of one directory ---------------------------------- */

static bool image_is_dir(struct image_build *b, const struct image_name *name,
			 struct tree_inode *attr)
{
	if (name->entry.inode == TREE_WHITEOUT)
		return false;
	tree_inode_get(b->image->trees[name->tree], name->entry.inode, attr);
	return S_ISDIR(attr->mode);
}

static void image_report_at(struct image_build *b, size_t path_len,
			    const struct tree_entry *entry,
			    enum image_conflict kind, unsigned int winner,
			    unsigned int loser)
{
	char path[4096];
	size_t dir_len = MIN(path_len, sizeof(path) - TREE_NAME_MAX - 2);
	size_t len = dir_len;

	if (!b->conflict)
		return;
	memcpy(path, b->path, dir_len);
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, entry->name, entry->name_len);
	path[len + entry->name_len] = '\0';
	b->conflict(b->ctx, path, kind, winner, loser);
}

static void image_report(struct image_build *b, size_t path_len,
			 const struct image_name *winner,
			 const struct image_name *loser)
{
	enum image_conflict kind =
	    winner->entry.inode == TREE_WHITEOUT ? IMAGE_CONFLICT_WINNER_DELETES
	    : loser->entry.inode == TREE_WHITEOUT ? IMAGE_CONFLICT_LOSER_DELETES
						  : IMAGE_CONFLICT_CONTENT;

	image_report_at(b, path_len, &winner->entry, kind, winner->tree,
			loser->tree);
}

/* Of one directory: who says something else of it than is seen? */
static void image_report_says(struct image_build *b, size_t path_len,
			      const struct tree_entry *entry,
			      const struct image_source *sources,
			      unsigned int count, struct image_source says)
{
	struct tree_inode seen, attr;

	if (!b->conflict)
		return;
	tree_inode_get(b->image->trees[says.tree], says.inode, &seen);
	for (unsigned int i = 0; i < count; i++) {
		tree_inode_get(b->image->trees[sources[i].tree],
			       sources[i].inode, &attr);
		if (!tree_inode_is_implied(&attr) &&
		    (attr.mode != seen.mode || attr.uid != seen.uid ||
		     attr.gid != seen.gid))
			image_report_at(b, path_len, entry,
					IMAGE_CONFLICT_ATTRIBUTES, says.tree,
					sources[i].tree);
	}
}

/* Of one directory in several trees: the first that says more of it than that
 * it is there. */
static struct image_source image_says(const struct image_build *b,
				      const struct image_source *sources,
				      unsigned int count)
{
	struct tree_inode attr;

	for (unsigned int i = 0; i < count; i++) {
		tree_inode_get(b->image->trees[sources[i].tree],
			       sources[i].inode, &attr);
		if (!tree_inode_is_implied(&attr))
			return sources[i];
	}
	return sources[0];
}

/*
 * Decide one name that `count` trees have, best first.  A directory gathers
 * what lies below it in later trees until something hides them.
 */
static int image_decide(struct image_build *b, size_t path_len,
			struct image_name *names, unsigned int count)
{
	struct tree_inode first, attr;
	unsigned int n = 0;

	if (count == 1) /* a directory of one source needs no list of them */
		return 0;
	if (!image_is_dir(b, &names[0], &first)) {
		for (unsigned int i = 1; i < count; i++) {
			bool dir = image_is_dir(b, &names[i], &attr);

			bool deletes = names[0].entry.inode == TREE_WHITEOUT ||
				       names[i].entry.inode == TREE_WHITEOUT;

			/* Both may delete it. */
			if (!(names[0].entry.inode == TREE_WHITEOUT &&
			      names[i].entry.inode == TREE_WHITEOUT) &&
			    (deletes || dir || attr.id != first.id))
				image_report(b, path_len, &names[0], &names[i]);
			if (deletes)
				break;
		}
		return 0;
	}
	names[0].down = calloc(count, sizeof(*names[0].down));
	if (!names[0].down)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		if (!image_is_dir(b, &names[i], &attr)) {
			image_report(b, path_len, &names[0], &names[i]);
			break;
		}
		names[0].down[n++] =
		    (struct image_source){names[i].tree, names[i].entry.inode};
		if (attr.opaque)
			break;
	}
	names[0].down_count = n;
	names[0].says = image_says(b, names[0].down, n);
	image_report_says(b, path_len, &names[0].entry, names[0].down, n,
			  names[0].says);
	return 0;
}

/* names: sorted, all of one directory.  Keeps the decided ones in front. */
static int image_decide_all(struct image_build *b, size_t path_len,
			    struct image_name *names, uint32_t *count)
{
	uint32_t kept = 0;
	bool ties = false;

	for (uint32_t i = 0; i < *count;) {
		uint32_t run = 1;
		int rc;

		while (i + run < *count &&
		       image_same_name(&names[i], &names[i + run]))
			run++;
		rc = image_decide(b, path_len, &names[i], run);
		if (rc < 0)
			return rc;
		if (names[i].entry.inode != TREE_WHITEOUT ||
		    (b->flags & IMAGE_SHOW_WHITEOUTS)) {
			names[kept] = names[i];
			if (kept != i)
				names[i].down = NULL;
			names[kept].cookie = names[kept].base;
			ties |= kept > 0 &&
				names[kept - 1].base == names[kept].base;
			kept++;
		}
		i += run;
	}
	*count = kept;
	return ties ? image_place_ties(names, kept) : 0;
}

static void image_free_names(struct image_name *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(names[i].down);
	free(names);
}

static int image_merge_dir(struct image_build *b, uint32_t dir,
			   const struct image_source *src,
			   unsigned int src_count, size_t path_len);

/* Go down into the directories among the entries of `dir`. */
static int image_merge_below(struct image_build *b, uint32_t dir,
			     const struct image_name *names, size_t path_len)
{
	uint32_t first = b->image->inodes[dir].first;
	uint32_t count = b->image->inodes[dir].count;

	for (uint32_t i = 0; i < count; i++) {
		struct image_entry entry = b->image->entries[first + i];
		struct image_inode inode = b->image->inodes[entry.inode];
		struct image_source one = {inode.tree, inode.inode};
		size_t len = path_len;
		int rc;

		if (inode.parent == IMAGE_NONE)
			continue;
		rc = image_path_room(b, len + 1 + entry.name_len +
					    IMAGE_NUMBER_ROOM);
		if (rc < 0)
			return rc;
		if (len > 0)
			b->path[len++] = '/';
		memcpy(b->path + len, entry.name, entry.name_len);
		len += entry.name_len;
		if (names[i].down)
			rc = image_merge_dir(b, entry.inode, names[i].down,
					     names[i].down_count, len);
		else
			rc = image_merge_dir(b, entry.inode, &one, 1, len);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int image_merge_dir(struct image_build *b, uint32_t dir,
			   const struct image_source *src,
			   unsigned int src_count, size_t path_len)
{
	struct image_name *names;
	uint32_t count, total;
	bool plain;
	int rc = image_names(b->image, src, src_count, &names, &total, &plain);

	if (rc < 0)
		return rc;
	count = total;
	if (!plain)
		rc = image_decide_all(b, path_len, names, &count);
	if (rc == 0)
		rc = image_add_run(b, dir, path_len, names, count);
	if (rc == 0)
		rc = image_merge_below(b, dir, names, path_len);
	image_free_names(names, total);
	return rc;
}

/* --- the whole ----------------------------------------------------------- */

/* Puts inode `i` at its number; one that is taken gives way to the next. */
static void image_index_add(struct image *image, uint32_t i)
{
	struct image_inode *inode = &image->inodes[i];
	uint64_t at = inode->fileid & image->slot_mask;

	while (image->slots[at] != IMAGE_NONE) {
		if (image->inodes[image->slots[at]].fileid == inode->fileid) {
			inode->fileid =
			    (inode->fileid + 1) & ~(UINT64_C(1) << 63);
			at = inode->fileid & image->slot_mask;
			continue;
		}
		at = (at + 1) & image->slot_mask;
	}
	image->slots[at] = i;
}

static int image_index(struct image *image)
{
	uint32_t count = image->inode_count;
	uint64_t slots = 16;

	while (slots < (uint64_t)count * 2)
		slots *= 2;
	image->slots = malloc(slots * sizeof(*image->slots));
	if (!image->slots)
		return -ENOMEM;
	memset(image->slots, 0xff, slots * sizeof(*image->slots));
	image->slot_mask = slots - 1;
	for (uint32_t i = 0; i < count; i++) {
		if (count - i > IMAGE_STEPS_AHEAD)
			__builtin_prefetch(
			    &image->slots[image->inodes[i + IMAGE_STEPS_AHEAD]
					      .fileid &
					  image->slot_mask]);
		image_index_add(image, i);
	}
	return 0;
}

static int image_merge_all(struct image_build *b)
{
	struct image_source roots[IMAGE_TREES_MAX];
	unsigned int count = b->image->tree_count;
	static const struct tree_entry no_name = {.name = ""};
	struct image_source first = {0, TREE_ROOT};
	struct siphash_begun begun;
	struct tree_inode attr = {0};
	uint32_t root;
	int rc = image_path_room(b, IMAGE_NUMBER_ROOM);

	/* An opaque root hides the packages behind it. */
	for (unsigned int t = 0; t < count && rc == 0; t++) {
		roots[t] = (struct image_source){t, TREE_ROOT};
		rc = image_find_links(b, t);
		tree_inode_get(b->image->trees[t], TREE_ROOT, &attr);
		if (attr.opaque)
			count = t + 1;
	}
	if (rc == 0 && count > 0) {
		first = image_says(b, roots, count);
		image_report_says(b, 0, &no_name, roots, count, first);
	}
	if (rc == 0) {
		begun = image_number_begin(b->key, b->path, 0);
		rc = image_add_inode(
		    b, first, image_number(&begun, b->path, 0, "", 0, NULL), 0,
		    &root);
	}
	if (rc < 0)
		return rc;
	b->image->inodes[root].nlink = 2;
	rc = image_merge_dir(b, root, roots, count, 0);
	return rc < 0 ? rc : image_index(b->image);
}

int image_new(struct tree **trees, unsigned int tree_count, unsigned int flags,
	      const uint8_t key[SIPHASH_KEY_LEN], const struct timespec *since,
	      image_conflict_fn *conflict, void *ctx, struct image **image)
{
	struct image_build b = {
	    .key = key, .flags = flags, .conflict = conflict, .ctx = ctx};
	int rc;

	ASSERT(tree_count <= IMAGE_TREES_MAX);
	b.image = calloc(1, sizeof(*b.image));
	if (!b.image)
		return -ENOMEM;
	b.image->refs = 1;
	b.image->since = *since;
	b.image->tree_count = tree_count;
	for (unsigned int i = 0; i < tree_count; i++)
		b.image->trees[i] = tree_get(trees[i]);
	rc = image_merge_all(&b);
	for (unsigned int i = 0; i < tree_count; i++) {
		free(b.links[i]);
		free(b.linked[i]);
	}
	free(b.path);
	if (rc < 0)
		image_put(b.image);
	else
		*image = b.image;
	return rc;
}
