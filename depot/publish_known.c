/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_known: an open-addressed table, filled from trees and indexes: an
 * index has no shard names, its tree has.
 */
#include "depot/publish_known.h"

#include <dirent.h>
#include <stdio.h>

#include "depot/format.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/publish_file.h"
#include "depot/tree.h"

enum { KNOWN_SLOTS_MIN = 1024 }; /* a power of two */

struct known_row {
	struct digest shard;
	uint32_t pack, off, len; /* len 0: free */
};

struct known_pack {
	struct digest name;
	uint64_t len; /* of the file; 0: not here */
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
	struct known_index *indexes; /* owns; sorted by tree */
	size_t index_count, index_cap;
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

int publish_known_add(struct publish_known *known, const struct digest *shard,
		      const struct index_place *place)
{
	struct known_row *row;
	int rc;

	ASSERT(place->len > 0 && place->pack_number < known->pack_count);

	rc = known_grow(known);
	if (rc < 0)
		return rc;
	row = known_slot(known->rows, known->row_cap, shard);
	if (row->len)
		return 0;
	row->shard = *shard;
	row->pack = place->pack_number;
	row->off = place->off;
	row->len = place->len;
	known->row_count++;
	return 0;
}

bool publish_known_find(const struct publish_known *known,
			const struct digest *shard, struct index_place *place)
{
	const struct known_row *row =
	    known_slot(known->rows, known->row_cap, shard);

	if (!row->len)
		return false;
	place->pack_number = row->pack;
	place->off = row->off;
	place->len = row->len;
	return true;
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

void publish_known_resolve(const struct publish_known *known,
			   struct index_place *place)
{
	ASSERT(place->pack_number < known->pack_count);

	place->pack = known->packs[place->pack_number].name;
}

/* A pack that an index names, and how long it is here. */
static int known_pack_of(struct publish_known *known, const char *root,
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
	rc = publish_file_len(root, path.text, &known->packs[*pack].len);
	if (rc == -ENOENT) {
		log_warn("%s/%s: an index names it, but it is missing", root,
			 path.text);
		rc = 0;
	}
	return rc;
}

/* --- loading ------------------------------------------------------------- */

static int known_add_all(struct publish_known *known, const char *root,
			 const struct tree *tree, const struct index *index)
{
	CLEANUP_FREE uint32_t *packs = NULL;
	struct index_place place;
	int rc = 0;

	packs = calloc((size_t)index_pack_count(index) + 1, sizeof(*packs));
	if (!packs)
		return -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < index_pack_count(index); i++)
		rc = known_pack_of(known, root, index_pack_name(index, i),
				   &packs[i]);
	for (uint32_t i = 0; rc == 0 && i < tree_shard_count(tree); i++) {
		index_place(index, i, &place);
		place.pack_number = packs[place.pack_number];
		if ((uint64_t)place.off + place.len <=
		    known->packs[place.pack_number].len)
			rc = publish_known_add(known, tree_shard_name(tree, i),
					       &place);
	}
	return rc;
}

/* -ENOENT: a push was cut off between index and tree. */
static int known_open_tree(const char *root, const char *private,
			   const struct digest *digest, struct tree **tree)
{
	struct layout_path path = layout_tree(private, digest);
	CLEANUP_FREE void *box = NULL;
	size_t len;
	int rc;

	rc = publish_file_read(root, path.text, SIZE_MAX / 4, &box, &len);
	if (rc < 0)
		return rc;
	rc = tree_box_open(box, len, digest, tree);
	return rc < 0 ? publish_file_refused(root, path.text, rc) : 0;
}

static int known_load_index(struct publish_known *known, const char *root,
			    const struct known_index *which)
{
	struct layout_path path =
	    layout_index(known->private, &which->tree, which->number);
	CLEANUP_FREE void *bytes = NULL;
	struct index *index;
	struct tree *tree;
	size_t len;
	int rc;

	rc = known_open_tree(root, known->private, &which->tree, &tree);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = publish_file_read(root, path.text, INDEX_FILE_MAX, &bytes, &len);
	if (rc == 0)
		rc = index_open(bytes, len, &which->tree,
				tree_shard_count(tree), &index);
	if (rc == 0) {
		rc = known_add_all(known, root, tree, index);
		index_put(index);
	} else {
		rc = publish_file_refused(root, path.text, rc);
	}
	tree_put(tree);
	return rc;
}

static int known_index_compare(const void *a, const void *b)
{
	const struct known_index *x = a, *y = b;
	int order = digest_compare(&x->tree, &y->tree);

	if (order)
		return order;
	/* The newest first: it is the one that is kept. */
	return x->number > y->number ? -1 : x->number < y->number;
}

static int known_note_index(struct publish_known *known, const char *file)
{
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

static int known_list_indexes(struct publish_known *known, const char *root)
{
	CLEANUP_FREE char *path = NULL;
	struct dirent *entry;
	size_t kept = 0;
	int rc = 0;
	DIR *dir;

	if (asprintf(&path, "%s/%s", root,
		     layout_index_dir(known->private).text) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : log_err(-errno, "%s", path);
	while (rc == 0 && (entry = readdir(dir)))
		rc = known_note_index(known, entry->d_name);
	closedir(dir);
	if (known->index_count == 0)
		return rc;
	qsort(known->indexes, known->index_count, sizeof(*known->indexes),
	      known_index_compare);
	for (size_t i = 1; i < known->index_count; i++)
		if (!digest_equal(&known->indexes[i].tree,
				  &known->indexes[kept].tree))
			known->indexes[++kept] = known->indexes[i];
	known->index_count = kept + 1;
	return rc;
}

int publish_known_load(struct publish_known *known, const char *root)
{
	int rc;

	rc = known_list_indexes(known, root);
	for (size_t i = 0; rc == 0 && i < known->index_count; i++)
		rc = known_load_index(known, root, &known->indexes[i]);
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
