/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_box: a tree as shards, for transport (format.h).  A box is one file that
 * is fetched whole, so its chunks are simply SHARD_CHUNK_MAX bytes each.
 */
#include "depot/tree_image.h"

#include "depot/log.h"
#include "depot/shard.h"

enum { TREE_BOX_SHARDS_MAX = TREE_FILE_MAX / SHARD_CHUNK_MAX };

static size_t tree_box_table_len(uint32_t shard_count)
{
	return sizeof(struct format_tree_box_header) +
	       shard_count * sizeof(struct format_tree_box_row);
}

int tree_box_seal(const struct tree *tree, int level, void **box,
		  size_t *box_len)
{
	CLEANUP_FREE uint8_t *out = NULL;
	struct format_tree_box_header *header;
	struct format_tree_box_row *rows;
	size_t len, end, shard_len, cap;
	const uint8_t *bytes = tree_bytes(tree, &len);
	uint32_t count = (uint32_t)((len - 1) / SHARD_CHUNK_MAX + 1);
	void *cut;

	end = tree_box_table_len(count);
	cap = end + (size_t)count * SHARD_MAX;
	out = calloc(1, cap);
	if (!out)
		return -ENOMEM;
	header = (void *)out;
	memcpy(header->magic, FORMAT_TREE_BOX_MAGIC, sizeof(header->magic));
	header->format_le = htole32(FORMAT_TREE_BOX);
	header->shard_count_le = htole32(count);
	header->tree_len_le = htole64(len);
	rows = (void *)(header + 1);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *chunk = bytes + (size_t)i * SHARD_CHUNK_MAX;
		size_t chunk_len = MIN((size_t)SHARD_CHUNK_MAX,
				       len - (size_t)i * SHARD_CHUNK_MAX);
		struct digest name = shard_name_of(NULL, chunk, chunk_len);
		int rc = shard_seal(chunk, chunk_len, level, out + end,
				    cap - end, &shard_len);

		if (rc < 0)
			return rc;
		memcpy(rows[i].name, name.bytes, DIGEST_LEN);
		rows[i].shard_len_le = htole32((uint32_t)shard_len);
		rows[i].chunk_len_le = htole32((uint32_t)chunk_len);
		end += shard_len;
	}
	cut = realloc(out, end);
	*box = cut ? cut : out;
	out = NULL;
	*box_len = end;
	return 0;
}

static int tree_box_bad(const char *what)
{
	log_debug("tree box: bad %s", what);
	return -EBADMSG;
}

/* The header and the sums of the table, before anything is allocated. */
static int tree_box_check(const uint8_t *box, size_t box_len,
			  struct format_tree_box_header *header)
{
	uint64_t shards_len = 0, chunks_len = 0;
	uint32_t count;

	if (box_len < sizeof(*header))
		return tree_box_bad("length");
	memcpy(header, box, sizeof(*header));
	if (memcmp(header->magic, FORMAT_TREE_BOX_MAGIC,
		   sizeof(header->magic)) != 0)
		return tree_box_bad("magic");
	if (le32toh(header->format_le) > FORMAT_TREE_BOX)
		return log_err(-EPROTONOSUPPORT,
			       "tree: box format %u is newer than this "
			       "version's %d",
			       le32toh(header->format_le), FORMAT_TREE_BOX);
	count = le32toh(header->shard_count_le);
	if (le32toh(header->format_le) != FORMAT_TREE_BOX || count == 0 ||
	    count > TREE_BOX_SHARDS_MAX || box_len < tree_box_table_len(count))
		return tree_box_bad("header");
	for (uint32_t i = 0; i < count; i++) {
		struct format_tree_box_row row;

		memcpy(&row, box + tree_box_table_len(i), sizeof(row));
		shards_len += le32toh(row.shard_len_le);
		chunks_len += le32toh(row.chunk_len_le);
		if (le32toh(row.chunk_len_le) == 0 ||
		    le32toh(row.chunk_len_le) > SHARD_CHUNK_MAX)
			return tree_box_bad("row");
	}
	if (shards_len != box_len - tree_box_table_len(count) ||
	    chunks_len != le64toh(header->tree_len_le))
		return tree_box_bad("lengths");
	return 0;
}

static int tree_box_open_shards(const uint8_t *box, uint32_t count,
				uint8_t *out)
{
	const uint8_t *shard = box + tree_box_table_len(count);

	for (uint32_t i = 0; i < count; i++) {
		struct format_tree_box_row row;
		struct digest name;
		size_t len;
		int rc;

		memcpy(&row, box + tree_box_table_len(i), sizeof(row));
		memcpy(name.bytes, row.name, DIGEST_LEN);
		rc = shard_open(NULL, &name, shard, le32toh(row.shard_len_le),
				out, le32toh(row.chunk_len_le), &len);
		if (rc < 0)
			return rc;
		if (len != le32toh(row.chunk_len_le))
			return tree_box_bad("chunk");
		shard += le32toh(row.shard_len_le);
		out += len;
	}
	return 0;
}

int tree_box_open(const void *box, size_t box_len, const struct digest *expect,
		  struct tree **tree)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct format_tree_box_header header;
	struct tree *opened;
	size_t len;
	int rc;

	ASSERT((box || box_len == 0) && tree);
	rc = tree_box_check(box, box_len, &header);
	if (rc < 0)
		return rc;
	len = le64toh(header.tree_len_le);
	bytes = malloc(len);
	if (!bytes)
		return -ENOMEM;
	rc = tree_box_open_shards(box, le32toh(header.shard_count_le), bytes);
	if (rc < 0)
		return rc;
	rc = tree_open_taken(STEAL(bytes), len, expect, &opened);
	if (rc < 0)
		return rc;
	rc = tree_check_ids(opened);
	if (rc < 0)
		tree_put(opened);
	else
		*tree = opened;
	return rc;
}
