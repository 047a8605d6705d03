/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shelf: documents, trees, indexes, and packs put together from shards.
 *
 * A pack of a tree that was made here is named by the tree's digest with its
 * last four bytes taken as a number and the pack's number added: so the tree is
 * found by the name alone, also after a restart.  Of packs of other depots it
 * is found by asking the indexes; those that were asked last stay open, and a
 * name that no index has is looked for again only after SHELF_MISS_S.
 */
#include "depot/shelf.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "depot/clock.h"
#include "depot/document.h"
#include "depot/index.h"
#include "depot/inside.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/papers.h"
#include "depot/shard.h"

enum {
	SHELF_TREES = 8,          /* with their places, kept */
	SHELF_PACK_MAX = 1 << 30, /* bytes of a pack of our own making */
	SHELF_PACK_FIRST = sizeof(struct format_pack_header),
	SHELF_MISSES = 64,
	SHELF_MISS_S = 5,
	SHELF_NAME_BYTES = DIGEST_LEN - 4, /* of a tree, in its packs' names */
	SHELF_ID_MAX = DIGEST_HEX_LEN + 16,
};

/* A shard in a pack. */
struct shelf_place {
	uint32_t pack, off, len, shard;
};

/* A tree with the places of its shards, by pack and offset. */
struct shelf_tree {
	struct tree *tree;          /* ref */
	struct index *index;        /* ref */
	struct shelf_place *places; /* owns */
	uint32_t count;
	unsigned int refs; /* shelf->lock */
	uint64_t used;     /* shelf->lock */
};

/* Where in a pack nobody has anything. */
struct shelf_missing {
	struct digest pack;
	uint64_t off;
	time_t time; /* 0: none */
};

struct shelf {
	struct depot *depot; /* borrows */
	pthread_mutex_t lock;
	struct shelf_tree *trees[SHELF_TREES];     /* lock; ref */
	uint64_t clock;                            /* lock */
	struct shelf_missing misses[SHELF_MISSES]; /* lock */
	unsigned int miss_next;                    /* lock */
};

int shelf_new(struct depot *depot, struct shelf **out)
{
	struct shelf *shelf = calloc(1, sizeof(*shelf));

	if (!shelf)
		return -ENOMEM;
	shelf->depot = depot;
	pthread_mutex_init(&shelf->lock, NULL);
	*out = shelf;
	return 0;
}

static void shelf_tree_free(struct shelf_tree *t)
{
	if (!t)
		return;
	tree_put(t->tree);
	index_put(t->index);
	free(t->places);
	free(t);
}

void shelf_free(struct shelf *shelf)
{
	if (!shelf)
		return;
	for (size_t i = 0; i < SHELF_TREES; i++)
		shelf_tree_free(shelf->trees[i]);
	pthread_mutex_destroy(&shelf->lock);
	free(shelf);
}

/* --- what may be shown --------------------------------------------------- */

/* With a reference; -ENOENT also of a private one. */
static int shelf_open_tree(struct shelf *shelf, const struct digest *digest,
			   struct tree **tree)
{
	int rc;

	rc = depot_tree_get(shelf->depot, digest, tree);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -ENOENT;
	if (!tree_salt(*tree))
		return 0;
	tree_put(*tree);
	return -ENOENT;
}

static bool shelf_shows(struct shelf *shelf, const struct digest *digest)
{
	struct tree *tree;

	if (shelf_open_tree(shelf, digest, &tree) < 0)
		return false;
	tree_put(tree);
	return true;
}

/* --- documents ----------------------------------------------------------- */

struct shelf_rows {
	struct shelf *shelf;
	const char *name;          /* of this package; NULL: of all */
	struct package_info *rows; /* owns */
	unsigned int count, cap;
};

static int shelf_row(void *ctx, const struct package_info *info)
{
	struct shelf_rows *rows = ctx;
	unsigned int cap = rows->cap ? rows->cap * 2 : 16;
	struct package_info *grown;

	if ((rows->name && strcmp(info->name, rows->name) != 0) ||
	    !shelf_shows(rows->shelf, &info->tree))
		return 0;
	if (rows->count == rows->cap) {
		grown = realloc(rows->rows, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		rows->rows = grown;
		rows->cap = cap;
	}
	rows->rows[rows->count++] = *info;
	return 0;
}

/* When a tag was last set: it rises with each change, as a sequence must,
 * unless this host's clock is set back. */
static uint64_t shelf_sequence(const struct shelf_rows *rows)
{
	int64_t newest = 1;

	for (unsigned int i = 0; i < rows->count; i++)
		newest = MAX(newest, rows->rows[i].time_sec);
	return (uint64_t)newest;
}

static int shelf_root(struct shelf *shelf, void **bytes, size_t *len)
{
	struct shelf_rows rows = {.shelf = shelf};
	struct root_doc root = {0};
	char *text = NULL;
	int rc;

	rc = depot_package_list(shelf->depot, shelf_row, &rows);
	root.packages = calloc(rows.count + 1, sizeof(*root.packages));
	if (rc == 0 && !root.packages)
		rc = -ENOMEM;
	for (unsigned int i = 0; rc == 0 && i < rows.count; i++) {
		if (i > 0 &&
		    strcmp(rows.rows[i].name, rows.rows[i - 1].name) == 0)
			continue;
		snprintf(root.packages[root.count++].name,
			 sizeof(root.packages[0].name), "%s",
			 rows.rows[i].name);
	}
	root.generation = shelf_sequence(&rows);
	if (rc == 0)
		rc = root_doc_write(&root, &text);
	free(rows.rows);
	root_doc_clear(&root);
	if (rc < 0)
		return rc;
	*bytes = text;
	*len = strlen(text);
	return 0;
}

/* Both the publisher's word and this host's hold for others too. */
static int shelf_entitled(struct shelf *shelf, const struct shelf_rows *rows,
			  struct tag_doc *doc)
{
	const char *upstream = rows->rows[0].upstream;
	struct package_entitled entitled = {0};
	int rc;

	rc = depot_package_entitled_both(shelf->depot, doc->name, upstream,
					 &entitled);
	if (rc < 0)
		return rc;
	doc->is_restricted = entitled.is_restricted;
	doc->entitled = entitled.tenants;
	doc->entitled_count = entitled.count;
	return 0;
}

static int shelf_tags(struct shelf *shelf, const char *name, void **bytes,
		      size_t *len)
{
	struct shelf_rows rows = {.shelf = shelf, .name = name};
	struct tag_doc doc = {0};
	char *text = NULL;
	int rc;

	rc = depot_package_list(shelf->depot, shelf_row, &rows);
	if (rc == 0 && rows.count == 0)
		rc = -ENOENT;
	if (rc == 0)
		doc.rows = calloc(rows.count, sizeof(*doc.rows));
	if (rc == 0 && !doc.rows)
		rc = -ENOMEM;
	snprintf(doc.name, sizeof(doc.name), "%s", name);
	doc.sequence = shelf_sequence(&rows);
	for (unsigned int i = 0; rc == 0 && i < rows.count; i++) {
		struct tag_row *row = &doc.rows[doc.count++];

		memcpy(row->tag, rows.rows[i].tag, sizeof(row->tag));
		row->revision = rows.rows[i].revision;
		row->tree = rows.rows[i].tree;
		row->index = 1;
	}
	if (rc == 0)
		rc = shelf_entitled(shelf, &rows, &doc);
	if (rc == 0)
		rc = tag_doc_write(&doc, &text);
	free(rows.rows);
	tag_doc_clear(&doc);
	if (rc < 0)
		return rc;
	*bytes = text;
	*len = strlen(text);
	return 0;
}

static int shelf_revision(struct shelf *shelf, const struct digest *digest,
			  void **bytes, size_t *len)
{
	CLEANUP(revision_doc_clear) struct revision_doc doc = {0};
	CLEANUP_FREE char *json = NULL;
	int rc;

	rc = depot_revision_json(shelf->depot, digest, &json);
	if (rc == 0)
		rc = revision_read(json, strlen(json), &doc);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -ENOENT;
	if (!shelf_shows(shelf, &doc.tree))
		return -ENOENT;
	*len = strlen(json);
	*bytes = STEAL(json);
	return 0;
}

static int shelf_box(struct shelf *shelf, const struct digest *digest,
		     void **bytes, size_t *len)
{
	struct tree *tree;
	int rc;

	rc = shelf_open_tree(shelf, digest, &tree);
	if (rc < 0)
		return rc;
	rc = tree_box_seal(tree, SHARD_LEVEL_CREATE, bytes, len);
	tree_put(tree);
	return rc;
}

/* --- indexes ------------------------------------------------------------- */

/* The name of pack `number` of a tree that was made here. */
static struct digest shelf_pack_name(const struct digest *tree, uint32_t number)
{
	struct digest name = *tree;

	le32_put(name.bytes + SHELF_NAME_BYTES,
		 le32_get(name.bytes + SHELF_NAME_BYTES) + number + 1);
	return name;
}

/* Where the shards of a tree that was made here would lie, one after another;
 * -ENOENT: some are not here. */
static int shelf_places_made(struct shelf *shelf, const struct tree *tree,
			     struct index_place *places)
{
	uint64_t off = SHELF_PACK_FIRST;
	struct kv_value value;
	uint32_t pack = 0;
	int rc;

	for (uint32_t i = 0; i < tree_shard_count(tree); i++) {
		rc = store_get(shelf->depot->store, tree_shard_name(tree, i),
			       &value);
		if (rc < 0)
			return -ENOENT;
		if (off + value.len > SHELF_PACK_MAX) {
			off = SHELF_PACK_FIRST;
			pack++;
		}
		places[i].pack = shelf_pack_name(tree_digest(tree), pack);
		places[i].off = (uint32_t)off;
		places[i].len = (uint32_t)value.len;
		off += value.len;
		kv_value_release(&value);
	}
	return 0;
}

static int shelf_index_made(struct shelf *shelf, const struct tree *tree,
			    struct index **index)
{
	uint32_t count = tree_shard_count(tree);
	CLEANUP_FREE struct index_place *places =
	    calloc((size_t)count + 1, sizeof(*places));
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	if (!places)
		return -ENOMEM;
	rc = shelf_places_made(shelf, tree, places);
	if (rc == 0)
		rc =
		    index_write(tree_digest(tree), places, count, &bytes, &len);
	return rc < 0 ? rc
		      : index_open(bytes, len, tree_digest(tree), count, index);
}

/* The one that came with the tree, or one of our making. */
static int shelf_index(struct shelf *shelf, const struct tree *tree,
		       struct index **index)
{
	CLEANUP_FREE char *path =
	    layout_host_index(shelf->depot->path, tree_digest(tree));
	int rc;

	if (!path)
		return -ENOMEM;
	rc = index_read(path, tree_digest(tree), tree_shard_count(tree), index);
	if (rc == -ENOENT)
		rc = shelf_index_made(shelf, tree, index);
	return rc == 0 || rc == -ENOMEM ? rc : -ENOENT;
}

static int shelf_index_bytes(struct shelf *shelf, const struct digest *digest,
			     void **bytes, size_t *len)
{
	struct index *index;
	struct tree *tree;
	const void *kept;
	int rc;

	rc = shelf_open_tree(shelf, digest, &tree);
	if (rc < 0)
		return rc;
	rc = shelf_index(shelf, tree, &index);
	tree_put(tree);
	if (rc < 0)
		return rc;
	kept = index_bytes(index, len);
	*bytes = malloc(*len + 1);
	if (*bytes)
		memcpy(*bytes, kept, *len);
	index_put(index);
	return *bytes ? 0 : -ENOMEM;
}

/* --- places -------------------------------------------------------------- */

static int shelf_place_compare(const void *a, const void *b)
{
	const struct shelf_place *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return (x->off > y->off) - (x->off < y->off);
}

static int shelf_tree_open(struct shelf *shelf, const struct digest *digest,
			   struct shelf_tree **out)
{
	struct shelf_tree *t = calloc(1, sizeof(*t));
	struct index_place place;
	int rc;

	if (!t)
		return -ENOMEM;
	t->refs = 1;
	rc = shelf_open_tree(shelf, digest, &t->tree);
	if (rc == 0)
		rc = shelf_index(shelf, t->tree, &t->index);
	if (rc == 0) {
		t->count = index_shard_count(t->index);
		t->places = calloc((size_t)t->count + 1, sizeof(*t->places));
		rc = t->places ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; rc == 0 && i < t->count; i++) {
		index_place(t->index, i, &place);
		t->places[i] = (struct shelf_place){place.pack_number,
						    place.off, place.len, i};
	}
	if (rc < 0) {
		shelf_tree_free(t);
		return rc;
	}
	qsort(t->places, t->count, sizeof(t->places[0]), shelf_place_compare);
	*out = t;
	return 0;
}

/* The place of the pack that covers `off`; false: none of its shards does. */
static bool shelf_tree_at(const struct shelf_tree *t, const struct digest *pack,
			  uint64_t off, uint32_t *place)
{
	uint32_t number = 0, low = 0, high = t->count;

	while (number < index_pack_count(t->index) &&
	       !digest_equal(index_pack_name(t->index, number), pack))
		number++;
	if (number == index_pack_count(t->index))
		return false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct shelf_place *p = &t->places[mid];

		if (p->pack < number ||
		    (p->pack == number && (uint64_t)p->off + p->len <= off))
			low = mid + 1;
		else
			high = mid;
	}
	*place = low;
	return low < t->count && t->places[low].pack == number &&
	       t->places[low].off <= off;
}

static void shelf_tree_put(struct shelf *shelf, struct shelf_tree *t)
{
	bool last;

	pthread_mutex_lock(&shelf->lock);
	last = --t->refs == 0;
	pthread_mutex_unlock(&shelf->lock);
	if (last)
		shelf_tree_free(t);
}

/* One of the kept ones, with a reference; NULL: none has it. */
static struct shelf_tree *shelf_kept(struct shelf *shelf,
				     const struct digest *pack, uint64_t off,
				     uint32_t *place)
{
	struct shelf_tree *found = NULL;

	pthread_mutex_lock(&shelf->lock);
	for (size_t i = 0; !found && i < SHELF_TREES; i++)
		if (shelf->trees[i] &&
		    shelf_tree_at(shelf->trees[i], pack, off, place))
			found = shelf->trees[i];
	if (found) {
		found->refs++;
		found->used = ++shelf->clock;
	}
	pthread_mutex_unlock(&shelf->lock);
	return found;
}

/* In place of the one that was used longest ago. */
static void shelf_keep(struct shelf *shelf, struct shelf_tree *t)
{
	struct shelf_tree **oldest = &shelf->trees[0], *old;

	pthread_mutex_lock(&shelf->lock);
	for (size_t i = 0; i < SHELF_TREES && *oldest; i++)
		if (!shelf->trees[i] || shelf->trees[i]->used < (*oldest)->used)
			oldest = &shelf->trees[i];
	old = *oldest;
	*oldest = t;
	t->refs++;
	t->used = ++shelf->clock;
	pthread_mutex_unlock(&shelf->lock);
	if (old)
		shelf_tree_put(shelf, old);
}

/* --- which tree a pack belongs to ---------------------------------------- */

/* Nobody makes us read all indexes all the time. */
static bool shelf_missed(struct shelf *shelf, const struct digest *pack,
			 uint64_t off)
{
	time_t now = clock_sec();
	bool missed = false;

	pthread_mutex_lock(&shelf->lock);
	for (size_t i = 0; !missed && i < SHELF_MISSES; i++)
		missed = shelf->misses[i].time &&
			 now - shelf->misses[i].time < SHELF_MISS_S &&
			 shelf->misses[i].off == off &&
			 digest_equal(&shelf->misses[i].pack, pack);
	pthread_mutex_unlock(&shelf->lock);
	return missed;
}

static void shelf_miss(struct shelf *shelf, const struct digest *pack,
		       uint64_t off)
{
	pthread_mutex_lock(&shelf->lock);
	shelf->misses[shelf->miss_next++ % SHELF_MISSES] =
	    (struct shelf_missing){*pack, off, clock_sec()};
	pthread_mutex_unlock(&shelf->lock);
}

struct shelf_search {
	struct shelf *shelf;
	const struct digest *pack;
	uint64_t off;
	struct digest last; /* tree that was looked at last */
	struct shelf_tree *found;
	uint32_t place;
};

static int shelf_search(void *ctx, const struct package_info *info)
{
	struct shelf_search *search = ctx;
	struct shelf_tree *t;

	/* Tags of one tree often follow one another. */
	if (digest_equal(&search->last, &info->tree))
		return 0;
	search->last = info->tree;
	/* A pack of ours names its tree. */
	if (!*info->upstream && memcmp(info->tree.bytes, search->pack->bytes,
				       SHELF_NAME_BYTES) != 0)
		return 0;
	if (shelf_tree_open(search->shelf, &info->tree, &t) < 0)
		return 0;
	if (!shelf_tree_at(t, search->pack, search->off, &search->place)) {
		shelf_tree_free(t);
		return 0;
	}
	search->found = t;
	return 1;
}

/* A tree with a shard at `off` of the pack, with a reference, and its place. */
static int shelf_find(struct shelf *shelf, const struct digest *pack,
		      uint64_t off, struct shelf_tree **t, uint32_t *place)
{
	struct shelf_search search = {.shelf = shelf, .pack = pack, .off = off};
	int rc;

	*t = shelf_kept(shelf, pack, off, place);
	if (*t)
		return 0;
	if (shelf_missed(shelf, pack, off))
		return -ENOENT;
	rc = depot_package_list(shelf->depot, shelf_search, &search);
	if (rc < 0)
		return rc;
	if (!search.found) {
		shelf_miss(shelf, pack, off);
		return -ENOENT;
	}
	shelf_keep(shelf, search.found);
	*t = search.found;
	*place = search.place;
	return 0;
}

/* --- a range of a pack --------------------------------------------------- */

/* The part of one shard that lies in [off, off + len). */
static int shelf_copy(struct shelf *shelf, const struct shelf_tree *t,
		      const struct shelf_place *place, uint64_t off, size_t len,
		      uint8_t *out)
{
	uint64_t from = MAX(place->off, off);
	uint64_t to = MIN((uint64_t)place->off + place->len, off + len);
	CLEANUP_FREE void *shard = NULL;
	size_t shard_len;
	int rc;

	rc = depot_shard_get(shelf->depot, NULL,
			     tree_shard_name(t->tree, place->shard), &shard,
			     &shard_len);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -ENOENT;
	if (shard_len != place->len)
		return -ENOENT;
	memcpy(out + (from - off), (uint8_t *)shard + (from - place->off),
	       to - from);
	return 0;
}

/* From *at on, as far as this tree's shards follow one another. */
static int shelf_run(struct shelf *shelf, const struct shelf_tree *t,
		     uint32_t i, uint64_t *at, uint64_t off, size_t len,
		     uint8_t *out)
{
	uint32_t pack = t->places[i].pack;
	int rc;

	for (; i < t->count && t->places[i].pack == pack &&
	       t->places[i].off <= *at && *at < off + len;
	     i++) {
		rc = shelf_copy(shelf, t, &t->places[i], off, len, out);
		if (rc < 0)
			return rc;
		*at = (uint64_t)t->places[i].off + t->places[i].len;
	}
	return 0;
}

static int shelf_fill(struct shelf *shelf, const struct digest *pack,
		      uint64_t off, size_t len, uint8_t *out)
{
	struct shelf_tree *t;
	uint64_t at = off;
	uint32_t place;
	int rc = 0;

	while (rc == 0 && at < off + len) {
		rc = shelf_find(shelf, pack, at, &t, &place);
		if (rc < 0)
			return rc;
		rc = shelf_run(shelf, t, place, &at, off, len, out);
		shelf_tree_put(shelf, t);
	}
	return rc;
}

/* --- names --------------------------------------------------------------- */

/* "DIR/aa/HEX" of layout.h. */
static bool shelf_path_digest(const char *path, const char *dir,
			      struct digest *digest)
{
	size_t dir_len = strlen(dir);
	const char *hex = path + dir_len + 4;

	return strlen(path) == dir_len + 4 + DIGEST_HEX_LEN &&
	       memcmp(path, dir, dir_len) == 0 && path[dir_len] == '/' &&
	       hex[-1] == '/' && hex[-3] == hex[0] && hex[-2] == hex[1] &&
	       digest_from_hex(hex, DIGEST_HEX_LEN, digest) == 0;
}

static bool shelf_path_tags(const char *path, char name[PACKAGE_NAME_MAX + 1])
{
	size_t len = strlen(path);

	if (len < 11 || len - 10 > PACKAGE_NAME_MAX ||
	    strncmp(path, "tags/", 5) != 0 ||
	    strcmp(path + len - 5, ".json") != 0)
		return false;
	memcpy(name, path + 5, len - 10);
	name[len - 10] = '\0';
	return depot_name_ok(name);
}

/* "upstreams/NAME/REST": REST, or NULL when it is none. */
static const char *shelf_path_upstream(const char *path,
				       char name[PACKAGE_NAME_MAX + 1])
{
	static const char prefix[] = "upstreams/";
	size_t len;

	if (strncmp(path, prefix, sizeof(prefix) - 1) != 0)
		return NULL;
	path += sizeof(prefix) - 1;
	len = strcspn(path, "/");
	if (!path[len] || len > PACKAGE_NAME_MAX)
		return NULL;
	memcpy(name, path, len);
	name[len] = '\0';
	return depot_name_ok(name) ? path + len + 1 : NULL;
}

static int shelf_paper(struct shelf *shelf, const char *upstream,
		       const char *path, void **bytes, size_t *len)
{
	char name[PACKAGE_NAME_MAX + 1];
	int rc;

	if (strcmp(path, LAYOUT_ROOT) != 0 && !shelf_path_tags(path, name))
		return shelf_get(shelf, path, bytes, len);
	rc = papers_read(shelf->depot->path, upstream, path, bytes, len);
	return rc == -ENOMEM ? rc : rc < 0 ? -ENOENT : 0;
}

int shelf_get(struct shelf *shelf, const char *path, void **bytes, size_t *len)
{
	char upstream[PACKAGE_NAME_MAX + 1];
	const char *below = shelf_path_upstream(path, upstream);
	char name[PACKAGE_NAME_MAX + 1];
	struct digest digest;
	uint32_t number;

	if (below && strncmp(below, "upstreams/", 10) != 0)
		return shelf_paper(shelf, upstream, below, bytes, len);
	if (strcmp(path, LAYOUT_ROOT) == 0)
		return shelf_root(shelf, bytes, len);
	if (shelf_path_tags(path, name))
		return shelf_tags(shelf, name, bytes, len);
	if (shelf_path_digest(path, "revisions", &digest))
		return shelf_revision(shelf, &digest, bytes, len);
	if (shelf_path_digest(path, "trees", &digest))
		return shelf_box(shelf, &digest, bytes, len);
	if (strncmp(path, "index/", 6) == 0 &&
	    strlen(path) < 6 + SHELF_ID_MAX &&
	    layout_index_parse(path + 6, &digest, &number))
		return shelf_index_bytes(shelf, &digest, bytes, len);
	return -ENOENT;
}

static bool shelf_path_pack(const char *path, struct digest *pack)
{
	char upstream[PACKAGE_NAME_MAX + 1];
	const char *below = shelf_path_upstream(path, upstream);

	return shelf_path_digest(below ? below : path, "packs", pack);
}

bool shelf_is_pack(const char *path)
{
	struct digest pack;

	return shelf_path_pack(path, &pack);
}

int shelf_range(struct shelf *shelf, const char *path, uint64_t off, size_t len,
		void **bytes)
{
	CLEANUP_FREE uint8_t *out = NULL;
	struct digest pack;
	int rc;

	ASSERT(len > 0 && len <= SHELF_RANGE_MAX);

	if (!shelf_path_pack(path, &pack) || off > UINT32_MAX - (uint64_t)len)
		return -ENOENT;
	out = malloc(len);
	if (!out)
		return -ENOMEM;
	rc = shelf_fill(shelf, &pack, off, len, out);
	if (rc == 0)
		*bytes = STEAL(out);
	return rc;
}
