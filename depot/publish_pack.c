/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_pack: the name is known only at the end, so a pack is in memory till
 * then.
 */
#include "depot/publish_pack.h"

#include "depot/format.h"
#include "depot/layout.h"
#include "depot/shard.h"

static int publish_pack_begin(struct publish_pack *pack)
{
	struct format_pack_header header = {.magic = FORMAT_PACK_MAGIC};

	le32_put(&header.format_le, FORMAT_PACK);
	memcpy(pack->bytes, &header, sizeof(header));
	pack->len = sizeof(header);
	pack->shard_count = 0;
	return publish_known_pack(pack->known, &pack->number);
}

static int publish_pack_room(struct publish_pack *pack, size_t need)
{
	size_t cap = MAX(pack->cap, (size_t)1 << 20);
	uint8_t *grown;

	while (cap < need)
		cap *= 2;
	if (cap == pack->cap)
		return 0;
	grown = realloc(pack->bytes, cap);
	if (!grown)
		return -ENOMEM;
	pack->bytes = grown;
	pack->cap = cap;
	return 0;
}

int publish_pack_add(struct publish_pack *pack, const struct digest *name,
		     const void *shard, size_t shard_len)
{
	struct index_place place;
	int rc = 0;

	ASSERT(shard_len > SHARD_HEADER_LEN && shard_len <= SHARD_MAX);

	if (pack->len + shard_len > PUBLISH_PACK_MAX)
		rc = publish_pack_finish(pack);
	if (rc == 0)
		rc = publish_pack_room(
		    pack, MAX(pack->len, sizeof(struct format_pack_header)) +
			      shard_len);
	if (rc == 0 && pack->len == 0)
		rc = publish_pack_begin(pack);
	if (rc < 0)
		return rc;
	place.pack_number = pack->number;
	place.off = (uint32_t)pack->len;
	place.len = (uint32_t)shard_len;
	memcpy(pack->bytes + pack->len, shard, shard_len);
	pack->len += shard_len;
	pack->shard_count++;
	return pack->anew ? publish_known_move(pack->known, name, &place)
			  : publish_known_add(pack->known, name, &place);
}

static int publish_pack_write(struct publish_pack *pack, const char *path)
{
	struct publish *publish = pack->publish;
	uint64_t there;
	int rc;

	rc = publish_target_len(pack->target, path, &there);
	if (rc == 0 && there == pack->len) {
		publish->packs_there++;
		publish->bytes_there += pack->len;
		return 0;
	}
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = publish_target_put(pack->target, path, pack->bytes, pack->len);
	if (rc < 0)
		return rc;
	publish->packs_new++;
	publish->pack_bytes_new += pack->len;
	return 0;
}

int publish_pack_finish(struct publish_pack *pack)
{
	struct format_pack_header *header = (void *)pack->bytes;
	struct layout_path path;
	struct digest name;
	int rc;

	if (pack->len == 0)
		return 0;
	le32_put(&header->shard_count_le, pack->shard_count);
	name = digest_of(pack->bytes, pack->len);
	path = layout_pack(publish_known_private(pack->known), &name);
	rc = publish_pack_write(pack, path.text);
	if (rc < 0)
		return rc;
	publish_known_name(pack->known, pack->number, &name);
	pack->len = 0;
	return 0;
}

void publish_pack_clear(struct publish_pack *pack)
{
	free(pack->bytes);
	memset(pack, 0, sizeof(*pack));
}
