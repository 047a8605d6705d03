/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: bytes from a stranger, checked whole before the first use.
 */
#include "depot/index.h"

#include <stdatomic.h>

#include "depot/io.h"
#include "depot/log.h"
#include "depot/shard.h"

struct index {
	atomic_uint refs;
	size_t len;
	uint32_t shard_count, pack_count;
	struct digest tree;
	const struct format_index_row *rows;  /* borrows from bytes */
	const struct format_pack_name *packs; /* borrows from bytes */
	uint8_t bytes[];
};

static int index_bad(const char *why)
{
	return log_err(-EBADMSG, "index: %s", why);
}

static int index_check_header(const struct format_index_header *header,
			      size_t len, const struct digest *expect,
			      uint32_t shard_count)
{
	uint64_t need;

	if (len < sizeof(*header) ||
	    memcmp(header->magic, FORMAT_INDEX_MAGIC, 8) != 0)
		return index_bad("no index");
	if (le32_get(&header->format_le) > FORMAT_INDEX)
		return log_err(-EPROTONOSUPPORT,
			       "index: format %u is newer than this version's "
			       "%d",
			       le32_get(&header->format_le), FORMAT_INDEX);
	if (le32_get(&header->format_le) < 1 ||
	    le32_get(&header->reserved_le) != 0)
		return index_bad("bad header");
	need = sizeof(*header) +
	       (uint64_t)le32_get(&header->shard_count_le) *
		   sizeof(struct format_index_row) +
	       (uint64_t)le32_get(&header->pack_count_le) *
		   sizeof(struct format_pack_name);
	if (need != len)
		return index_bad("not as long as its counts say");
	if (!expect)
		return 0;
	if (memcmp(header->tree, expect->bytes, DIGEST_LEN) != 0)
		return index_bad("of another tree");
	if (le32_get(&header->shard_count_le) != shard_count)
		return index_bad("not as many shards as the tree");
	return 0;
}

static int index_check_rows(const struct index *index)
{
	for (uint32_t i = 0; i < index->shard_count; i++) {
		const struct format_index_row *row = &index->rows[i];
		uint32_t off = le32_get(&row->off_le);
		uint32_t len = le32_get(&row->len_le);

		if (le32_get(&row->pack_le) >= index->pack_count)
			return index_bad("a shard in no pack");
		if (len <= SHARD_HEADER_LEN || len > SHARD_MAX)
			return index_bad("a shard of impossible length");
		if (off < sizeof(struct format_pack_header) ||
		    off > UINT32_MAX - len)
			return index_bad("a shard at an impossible place");
	}
	return 0;
}

int index_open(const void *data, size_t len, const struct digest *expect,
	       uint32_t shard_count, struct index **index)
{
	const struct format_index_header *header = data;
	struct index *x;
	int rc;

	if (len > INDEX_FILE_MAX)
		return index_bad("longer than any index");
	rc = index_check_header(header, len, expect, shard_count);
	if (rc < 0)
		return rc;
	x = malloc(sizeof(*x) + len);
	if (!x)
		return -ENOMEM;
	atomic_init(&x->refs, 1);
	x->len = len;
	memcpy(x->bytes, data, len);
	x->shard_count = le32_get(&header->shard_count_le);
	x->pack_count = le32_get(&header->pack_count_le);
	memcpy(x->tree.bytes, header->tree, DIGEST_LEN);
	/* Read with le32_get only: alignment does not matter. */
	x->rows = (const void *)(x->bytes + sizeof(*header));
	x->packs = (const void *)(x->rows + x->shard_count);
	rc = index_check_rows(x);
	if (rc < 0) {
		free(x);
		return rc;
	}
	*index = x;
	return 0;
}

int index_read(const char *path, const struct digest *tree,
	       uint32_t shard_count, struct index **index)
{
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc = io_read_file(path, INDEX_FILE_MAX, &bytes, &len);

	return rc < 0 ? rc : index_open(bytes, len, tree, shard_count, index);
}

struct index *index_get(struct index *index)
{
	atomic_fetch_add(&index->refs, 1);
	return index;
}

void index_put(struct index *index)
{
	if (index && atomic_fetch_sub(&index->refs, 1) == 1)
		free(index);
}

const void *index_bytes(const struct index *index, size_t *len)
{
	*len = index->len;
	return index->bytes;
}

const struct digest *index_tree(const struct index *index)
{
	return &index->tree;
}

uint32_t index_shard_count(const struct index *index)
{
	return index->shard_count;
}

uint32_t index_pack_count(const struct index *index)
{
	return index->pack_count;
}

const struct digest *index_pack_name(const struct index *index, uint32_t pack)
{
	ASSERT(pack < index->pack_count);

	/* Both are 32 plain bytes. */
	return (const struct digest *)index->packs[pack].name;
}

void index_place(const struct index *index, uint32_t shard,
		 struct index_place *place)
{
	const struct format_index_row *row;

	ASSERT(shard < index->shard_count);

	row = &index->rows[shard];
	place->pack_number = le32_get(&row->pack_le);
	place->pack = *index_pack_name(index, place->pack_number);
	place->off = le32_get(&row->off_le);
	place->len = le32_get(&row->len_le);
}

/* --- writing ------------------------------------------------------------- */

/* Number of `pack` among the names so far; a new one at the end.  Shards of
 * one pack follow one another mostly: the last is looked at first. */
static uint32_t index_pack_number(struct format_pack_name *packs,
				  uint32_t *count, const struct digest *pack)
{
	for (uint32_t i = *count; i > 0; i--)
		if (memcmp(packs[i - 1].name, pack->bytes, DIGEST_LEN) == 0)
			return i - 1;
	memcpy(packs[*count].name, pack->bytes, DIGEST_LEN);
	return (*count)++;
}

int index_write(const struct digest *tree, const struct index_place *places,
		uint32_t count, void **bytes, size_t *len)
{
	CLEANUP_FREE struct format_pack_name *packs = NULL;
	CLEANUP_FREE uint8_t *out = NULL;
	struct format_index_header header = {.magic = FORMAT_INDEX_MAGIC};
	size_t rows_len = count * sizeof(struct format_index_row);
	uint32_t pack_count = 0;

	packs = calloc((size_t)count + 1, sizeof(*packs));
	out =
	    malloc(sizeof(header) + rows_len + (size_t)count * sizeof(*packs));
	if (!packs || !out)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct format_index_row row;

		le32_put(&row.pack_le, index_pack_number(packs, &pack_count,
							 &places[i].pack));
		le32_put(&row.off_le, places[i].off);
		le32_put(&row.len_le, places[i].len);
		memcpy(out + sizeof(header) + i * sizeof(row), &row,
		       sizeof(row));
	}
	le32_put(&header.format_le, FORMAT_INDEX);
	le32_put(&header.shard_count_le, count);
	le32_put(&header.pack_count_le, pack_count);
	memcpy(header.tree, tree->bytes, DIGEST_LEN);
	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header) + rows_len, packs,
	       pack_count * sizeof(*packs));
	*len = sizeof(header) + rows_len + pack_count * sizeof(*packs);
	*bytes = STEAL(out);
	return 0;
}
