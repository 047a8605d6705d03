/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_content: what tree_build.h takes into an object: chunks, holes and
 * extended attributes.
 */
#include "depot/tree_build.h"

#include "depot/shard.h"
#include "depot/tree_image.h"
#include "depot/tree_nodes.h"

#define TREE_CONTENT_SIZE_MAX (((uint64_t)1 << 48) - 1)

enum {
	TREE_CONTENT_SHARDS_MIN = 1 << 8,
	TREE_CONTENT_PIECES_MAX =
	    TREE_FILE_MAX / sizeof(struct format_tree_chunk),
};

static uint32_t *tree_content_slot(const struct tree_build *build,
				   const struct digest *name)
{
	uint32_t mask = build->slot_count - 1;
	/* Content can be made so that its digests begin alike. */
	uint64_t hash = le64_get(name->bytes) * (le64_get(build->hash_key) | 1);
	uint32_t i = (uint32_t)(hash >> 32) & mask;

	while (build->slots[i] != 0 &&
	       !digest_equal(&build->shards[build->slots[i] - 1], name))
		i = (i + 1) & mask;
	return &build->slots[i];
}

/* Room for one more shard name. */
static int tree_content_shard_room(struct tree_build *build)
{
	uint32_t cap = MAX(2 * build->shard_cap, TREE_CONTENT_SHARDS_MIN);
	struct digest *shards;
	uint32_t *slots;

	if (build->shard_count < build->shard_cap)
		return 0;
	shards = realloc(build->shards, cap * sizeof(*shards));
	if (!shards)
		return -ENOMEM;
	build->shards = shards;
	slots = calloc(2 * (size_t)cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(build->slots);
	build->slots = slots;
	build->slot_count = 2 * cap;
	build->shard_cap = cap;
	for (uint32_t i = 0; i < build->shard_count; i++)
		*tree_content_slot(build, &shards[i]) = i + 1;
	return 0;
}

static int tree_content_shard(struct tree_build *build,
			      const struct digest *name, uint32_t *shard)
{
	uint32_t *slot;
	int rc;

	rc = tree_content_shard_room(build);
	if (rc < 0)
		return rc;
	slot = tree_content_slot(build, name);
	if (*slot == 0) {
		/* More than a tree can hold: replaced files leave theirs. */
		if (build->shard_count == TREE_FILE_MAX / DIGEST_LEN)
			return -EFBIG;
		build->shards[build->shard_count++] = *name;
		*slot = build->shard_count;
	}
	*shard = *slot - 1;
	return 0;
}

/* Room for `count` more pieces, so that adding them cannot fail. */
static int tree_content_room(const struct tree_build *build, uint32_t count)
{
	struct tree_object *file = build->file;
	struct tree_piece *pieces;
	uint32_t cap;

	if (count > TREE_CONTENT_PIECES_MAX - build->piece_count)
		return -EFBIG;
	if (count <= file->piece_cap - file->piece_count)
		return 0;
	/* Most files have one piece: none to spare before the second. */
	cap = MAX(2 * file->piece_cap, file->piece_count + count);
	pieces = realloc(file->pieces, cap * sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	file->pieces = pieces;
	file->piece_cap = cap;
	return 0;
}

static void tree_content_piece(struct tree_build *build, uint32_t shard,
			       uint32_t len)
{
	struct tree_object *file = build->file;

	ASSERT(file->piece_count < file->piece_cap);
	file->pieces[file->piece_count++] = (struct tree_piece){shard, len};
	file->size += len;
	build->piece_count++;
}

int tree_build_chunk(struct tree_build *build, const struct digest *name,
		     uint32_t len)
{
	uint32_t shard;
	int rc;

	ASSERT(build && name);
	if (!build->file || len == 0 || len > SHARD_CHUNK_MAX)
		return -EINVAL;
	if (len > TREE_CONTENT_SIZE_MAX - build->file->size)
		return -EFBIG;
	rc = tree_content_room(build, 1);
	if (rc < 0)
		return rc;
	rc = tree_content_shard(build, name, &shard);
	if (rc == 0)
		tree_content_piece(build, shard, len);
	return rc;
}

int tree_build_hole(struct tree_build *build, uint32_t len)
{
	struct tree_object *file = build->file;
	struct tree_piece *last;
	uint32_t more;
	int rc;

	ASSERT(build);
	if (!file || len == 0)
		return -EINVAL;
	if (len > TREE_CONTENT_SIZE_MAX - file->size)
		return -EFBIG;
	rc = tree_content_room(build, (len - 1) / SHARD_CHUNK_MAX + 1);
	if (rc < 0)
		return rc;
	/* One hole is stored in one way, however many calls it took. */
	last = file->piece_count ? &file->pieces[file->piece_count - 1] : NULL;
	if (last && last->shard == TREE_HOLE) {
		more = MIN(len, SHARD_CHUNK_MAX - last->len);
		last->len += more;
		file->size += more;
		len -= more;
	}
	for (; len > 0; len -= more) {
		more = MIN(len, (uint32_t)SHARD_CHUNK_MAX);
		tree_content_piece(build, TREE_HOLE, more);
	}
	return 0;
}

static struct tree_attrib *tree_content_attrib(const char *name,
					       size_t name_len,
					       const void *value,
					       size_t value_len)
{
	struct tree_attrib *attrib =
	    malloc(sizeof(*attrib) + name_len + value_len);

	if (!attrib)
		return NULL;
	attrib->name_len = (uint8_t)name_len;
	attrib->value_len = (uint32_t)value_len;
	memcpy(attrib->data, name, name_len);
	if (value_len > 0)
		memcpy(attrib->data + name_len, value, value_len);
	return attrib;
}

int tree_build_xattr(struct tree_build *build, const char *path,
		     const char *name, const void *value, size_t value_len)
{
	struct tree_attrib *attrib, **at, *old = NULL;
	struct tree_node *node;
	size_t name_len;
	unsigned int count = 0;
	int order = 1, rc;

	ASSERT(build && path && name && (value || value_len == 0));
	name_len = strlen(name);
	if (name_len == 0 || name_len > TREE_XATTR_NAME_MAX ||
	    value_len > TREE_XATTR_VALUE_MAX)
		return -EINVAL;
	rc = tree_build_find(build, path, &node);
	if (rc < 0)
		return rc;
	if (!node->object)
		return -ENOENT;
	for (attrib = node->object->attribs; attrib; attrib = attrib->next)
		count++;
	for (at = &node->object->attribs; *at; at = &(*at)->next) {
		order = tree_name_compare((*at)->data, (*at)->name_len, name,
					  name_len);
		if (order >= 0)
			break;
	}
	if (*at && order == 0)
		old = *at;
	else if (count == TREE_XATTR_MAX)
		return -E2BIG;
	attrib = tree_content_attrib(name, name_len, value, value_len);
	if (!attrib)
		return -ENOMEM;
	attrib->next = old ? old->next : *at;
	*at = attrib;
	free(old);
	return 0;
}
