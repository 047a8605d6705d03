/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_known: an open-addressed table, filled from trees and indexes: an
 * index has no shard names, its tree has.
 */
#include "depot/publish_known.h"

#include "depot/format.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/tree.h"

enum { KNOWN_SLOTS_MIN = 1024 }; /* a power of two */

struct known_row {
	struct digest shard;
	uint32_t pack, off, len; /* len 0: free */
	uint32_t bad_pack;       /* 1 + the pack where it is bad; 0: none */
	uint16_t salt;           /* 1 + number in salts; 0: none */
	bool dropped;
};

struct known_pack {
	struct digest name;
	uint64_t len; /* of the file; 0: not here */
	bool used;    /* by an index of this push */
};

struct known_salt {
	uint8_t bytes[32];
};

struct known_index {
	struct digest tree;
	uint32_t number;
};

struct publish_known {
	const char *private;    /* borrows; NULL: everybody's */
	struct known_row *rows; /* owns */
	size_t row_cap, row_count;
	struct known_pack *packs; /* owns */
	size_t pack_count, pack_cap;
	struct known_index *indexes; /* owns; by tree, the newest first */
	size_t index_count, index_cap;
	struct known_salt *salts; /* owns */
	uint16_t salt_count;
	uint16_t salt; /* of what is added now */
};

const char *publish_known_private(const struct publish_known *known)
{
	return known->private;
}

struct publish_known *publish_known_new(const char *private)
{
	struct publish_known *known = calloc(1, sizeof(*known));

	if (!known)
		return NULL;
	known->private = private;
	known->row_cap = KNOWN_SLOTS_MIN;
	known->rows = calloc(known->row_cap, sizeof(*known->rows));
	if (!known->rows) {
		free(known);
		return NULL;
	}
	return known;
}

void publish_known_free(struct publish_known *known)
{
	if (!known)
		return;
	free(known->rows);
	free(known->packs);
	free(known->indexes);
	free(known->salts);
	free(known);
}

/* --- shards -------------------------------------------------------------- */

/* The row of a shard, or the free one where it would be. */
static struct known_row *known_slot(struct known_row *rows, size_t cap,
				    const struct digest *shard)
{
	size_t i = le64_get(shard->bytes) & (cap - 1);

	while (rows[i].len && !digest_equal(&rows[i].shard, shard))
		i = (i + 1) & (cap - 1);
	return &rows[i];
}

static int known_grow(struct publish_known *known)
{
	size_t cap = 2 * known->row_cap;
	struct known_row *rows;

	if (2 * known->row_count < known->row_cap)
		return 0;
	rows = calloc(cap, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < known->row_cap; i++)
		if (known->rows[i].len)
			*known_slot(rows, cap, &known->rows[i].shard) =
			    known->rows[i];
	free(known->rows);
	known->rows = rows;
	known->row_cap = cap;
	return 0;
}

static int known_put(struct publish_known *known, const struct digest *shard,
		     const struct index_place *place, bool moves)
{
	struct known_row *row;
	int rc;

	ASSERT(place->len > 0 && place->pack_number < known->pack_count);

	rc = known_grow(known);
	if (rc < 0)
		return rc;
	row = known_slot(known->rows, known->row_cap, shard);
	if (row->len && !row->dropped && !moves)
		return 0;
	if (row->bad_pack == place->pack_number + 1)
		return 0;
	known->row_count += !row->len;
	row->shard = *shard;
	row->pack = place->pack_number;
	row->off = place->off;
	row->len = place->len;
	row->salt = known->salt;
	row->dropped = false;
	return 0;
}

int publish_known_add(struct publish_known *known, const struct digest *shard,
		      const struct index_place *place)
{
	return known_put(known, shard, place, false);
}

int publish_known_move(struct publish_known *known, const struct digest *shard,
		       const struct index_place *place)
{
	return known_put(known, shard, place, true);
}

void publish_known_drop(struct publish_known *known, const struct digest *shard)
{
	struct known_row *row = known_slot(known->rows, known->row_cap, shard);

	row->dropped = true;
	row->bad_pack = row->pack + 1;
}

bool publish_known_find(const struct publish_known *known,
			const struct digest *shard, struct index_place *place)
{
	const struct known_row *row =
	    known_slot(known->rows, known->row_cap, shard);

	if (!row->len || row->dropped)
		return false;
	place->pack_number = row->pack;
	place->off = row->off;
	place->len = row->len;
	return true;
}

int publish_known_visit(const struct publish_known *known, uint32_t pack,
			int (*visit)(void *ctx,
				     const struct publish_known_shard *shard),
			void *ctx)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->row_cap; i++) {
		const struct known_row *row = &known->rows[i];
		struct publish_known_shard shard = {&row->shard, NULL, row->off,
						    row->len};

		if (!row->len || row->dropped || row->pack != pack)
			continue;
		if (row->salt)
			shard.salt = known->salts[row->salt - 1].bytes;
		rc = visit(ctx, &shard);
	}
	return rc;
}

/* Shards that are added from now on are of trees with this salt. */
static int known_set_salt(struct publish_known *known, const uint8_t *salt)
{
	struct known_salt *grown;

	known->salt = 0;
	for (uint16_t i = 0; salt && i < known->salt_count; i++)
		if (memcmp(known->salts[i].bytes, salt, 32) == 0)
			known->salt = (uint16_t)(i + 1);
	if (!salt || known->salt)
		return 0;
	if (known->salt_count == UINT16_MAX - 1)
		return -ENOSPC;
	grown =
	    realloc(known->salts, (known->salt_count + 1u) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	known->salts = grown;
	memcpy(grown[known->salt_count].bytes, salt, 32);
	known->salt = ++known->salt_count;
	return 0;
}

/* --- packs --------------------------------------------------------------- */

int publish_known_pack(struct publish_known *known, uint32_t *pack)
{
	struct known_pack *grown;

	if (known->pack_count == known->pack_cap) {
		known->pack_cap = MAX((size_t)64, 2 * known->pack_cap);
		grown = realloc(known->packs,
				known->pack_cap * sizeof(struct known_pack));
		if (!grown)
			return -ENOMEM;
		known->packs = grown;
	}
	memset(&known->packs[known->pack_count], 0, sizeof(*known->packs));
	*pack = (uint32_t)known->pack_count++;
	return 0;
}

void publish_known_name(struct publish_known *known, uint32_t pack,
			const struct digest *name)
{
	ASSERT(pack < known->pack_count);

	known->packs[pack].name = *name;
}

void publish_known_resolve(struct publish_known *known,
			   struct index_place *place)
{
	ASSERT(place->pack_number < known->pack_count);

	known->packs[place->pack_number].used = true;
	place->pack = known->packs[place->pack_number].name;
}

uint32_t publish_known_pack_count(const struct publish_known *known)
{
	return (uint32_t)known->pack_count;
}

const struct digest *publish_known_pack_name(const struct publish_known *known,
					     uint32_t pack)
{
	return &known->packs[pack].name;
}

uint64_t publish_known_pack_len(const struct publish_known *known,
				uint32_t pack)
{
	return known->packs[pack].len;
}

int publish_known_check(const struct publish_known *known,
			struct publish_target *target)
{
	struct layout_path path;
	uint64_t len;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->pack_count; i++) {
		if (!known->packs[i].used)
			continue;
		path = layout_pack(known->private, &known->packs[i].name);
		rc = publish_target_len(target, path.text, &len);
	}
	return rc == -ENOENT ? -ESTALE : rc;
}

/* A pack that an index names, and how long it is here. */
static int known_pack_of(struct publish_known *known,
			 struct publish_target *target,
			 const struct digest *name, uint32_t *pack)
{
	struct layout_path path = layout_pack(known->private, name);
	int rc;

	for (uint32_t i = (uint32_t)known->pack_count; i > 0; i--) {
		if (digest_equal(&known->packs[i - 1].name, name)) {
			*pack = i - 1;
			return 0;
		}
	}
	rc = publish_known_pack(known, pack);
	if (rc < 0)
		return rc;
	known->packs[*pack].name = *name;
	rc = publish_target_len(target, path.text, &known->packs[*pack].len);
	if (rc == -ENOENT) {
		log_warn("%s: %s: an index names it, but it is missing",
			 publish_target_url(target), path.text);
		rc = 0;
	}
	return rc;
}

/* --- loading ------------------------------------------------------------- */

static int known_add_all(struct publish_known *known,
			 struct publish_target *target, const struct tree *tree,
			 const struct index *index, bool moves)
{
	CLEANUP_FREE uint32_t *packs = NULL;
	struct index_place place;
	int rc = 0;

	packs = calloc((size_t)index_pack_count(index) + 1, sizeof(*packs));
	if (!packs)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < index_pack_count(index); i++)
		rc = known_pack_of(known, target, index_pack_name(index, i),
				   &packs[i]);
	if (rc == 0)
		rc = known_set_salt(known, tree_salt(tree));
	for (uint32_t i = 0; rc == 0 && i < tree_shard_count(tree); i++) {
		index_place(index, i, &place);
		place.pack_number = packs[place.pack_number];
		if ((uint64_t)place.off + place.len <=
		    known->packs[place.pack_number].len)
			rc = known_put(known, tree_shard_name(tree, i), &place,
				       moves);
	}
	return rc;
}

/* -ENOENT: a push was cut off between index and tree. */
static int known_open_tree(struct publish_known *known,
			   struct publish_target *target,
			   const struct digest *digest, struct tree **tree)
{
	struct layout_path path = layout_tree(known->private, digest);
	CLEANUP_FREE void *box = NULL;
	size_t len;
	int rc;

	rc = publish_target_get(target, path.text, SIZE_MAX / 4, &box, &len);
	if (rc < 0)
		return rc;
	rc = tree_box_open(box, len, digest, tree);
	return rc < 0 ? publish_target_refused(target, path.text, rc) : 0;
}

/* What an index of a tree says; moves: in place of what is known. */
static int known_load_places(struct publish_known *known,
			     struct publish_target *target,
			     const struct tree *tree, uint32_t number,
			     bool moves)
{
	struct layout_path path =
	    layout_index(known->private, tree_digest(tree), number);
	CLEANUP_FREE void *bytes = NULL;
	struct index *index;
	size_t len;
	int rc;

	rc =
	    publish_target_get(target, path.text, INDEX_FILE_MAX, &bytes, &len);
	if (rc == 0)
		rc = index_open(bytes, len, tree_digest(tree),
				tree_shard_count(tree), &index);
	if (rc < 0)
		return publish_target_refused(target, path.text, rc);
	rc = known_add_all(known, target, tree, index, moves);
	index_put(index);
	return rc;
}

static int known_load_index(struct publish_known *known,
			    struct publish_target *target,
			    const struct known_index *which)
{
	struct tree *tree;
	int rc;

	rc = known_open_tree(known, target, &which->tree, &tree);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = known_load_places(known, target, tree, which->number, false);
	tree_put(tree);
	return rc;
}

int publish_known_prefer(struct publish_known *known,
			 struct publish_target *target, const struct tree *tree)
{
	uint32_t number = publish_known_index(known, tree_digest(tree));

	return number ? known_load_places(known, target, tree, number, true)
		      : known_set_salt(known, tree_salt(tree));
}

static int known_index_compare(const void *a, const void *b)
{
	const struct known_index *x = a, *y = b;
	int order = digest_compare(&x->tree, &y->tree);

	if (order)
		return order;
	/* The newest first: it is the one that counts. */
	return x->number > y->number ? -1 : x->number < y->number;
}

static int known_note_index(void *ctx, const char *file, uint64_t len UNUSED)
{
	struct publish_known *known = ctx;
	struct known_index index, *grown;

	/* What a cut-off push left behind is no index. */
	if (!layout_index_parse(file, &index.tree, &index.number))
		return 0;
	if (known->index_count == known->index_cap) {
		known->index_cap = MAX((size_t)64, 2 * known->index_cap);
		grown = realloc(known->indexes,
				known->index_cap * sizeof(struct known_index));
		if (!grown)
			return -ENOMEM;
		known->indexes = grown;
	}
	known->indexes[known->index_count++] = index;
	return 0;
}

/* Another one than its neighbour before? */
static bool known_is_newest(const struct publish_known *known, size_t i)
{
	return i == 0 || !digest_equal(&known->indexes[i].tree,
				       &known->indexes[i - 1].tree);
}

int publish_known_load(struct publish_known *known,
		       struct publish_target *target)
{
	struct layout_path dir = layout_index_dir(known->private);
	int rc;

	rc = publish_target_list(target, dir.text, known_note_index, known);
	if (known->index_count > 1)
		qsort(known->indexes, known->index_count,
		      sizeof(*known->indexes), known_index_compare);
	for (size_t i = 0; rc == 0 && i < known->index_count; i++)
		if (known_is_newest(known, i))
			rc =
			    known_load_index(known, target, &known->indexes[i]);
	return rc;
}

int publish_known_old_indexes(const struct publish_known *known,
			      int (*visit)(void *ctx, const struct digest *tree,
					   uint32_t number),
			      void *ctx)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->index_count; i++)
		if (!known_is_newest(known, i))
			rc = visit(ctx, &known->indexes[i].tree,
				   known->indexes[i].number);
	return rc;
}

uint32_t publish_known_index(const struct publish_known *known,
			     const struct digest *tree)
{
	for (size_t i = 0; i < known->index_count; i++)
		if (digest_equal(&known->indexes[i].tree, tree))
			return known->indexes[i].number;
	return 0;
}
