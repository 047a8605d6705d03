/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_image: layout of a tree's bytes, order of names, ids of inodes.
 */
#include "depot/tree_image.h"

#include <sys/stat.h>

static uint64_t tree_image_pad(uint64_t len)
{
	return (len + 7) & ~(uint64_t)7;
}

static uint64_t tree_image_entries_off(const struct tree_image *img)
{
	return sizeof(struct format_tree_header) +
	       (uint64_t)img->inode_count * sizeof(struct format_tree_inode);
}

static uint64_t tree_image_chunks_off(const struct tree_image *img)
{
	return tree_image_entries_off(img) +
	       (uint64_t)img->entry_count * sizeof(struct format_tree_entry);
}

static uint64_t tree_image_shards_off(const struct tree_image *img)
{
	return tree_image_chunks_off(img) +
	       tree_image_pad((uint64_t)img->chunk_count *
			      sizeof(struct format_tree_chunk));
}

static uint64_t tree_image_text_off(const struct tree_image *img)
{
	return tree_image_shards_off(img) +
	       (uint64_t)img->shard_count * DIGEST_LEN;
}

int tree_image_measure(struct tree_image *img)
{
	/* Before it takes part in a sum; the counts have 32 bits. */
	if (img->text_len > TREE_FILE_MAX || img->xattr_len > img->text_len)
		return -EFBIG;
	img->file_len =
	    tree_image_text_off(img) + tree_image_pad(img->text_len);
	return img->file_len <= TREE_FILE_MAX ? 0 : -EFBIG;
}

void tree_image_place(struct tree_image *img, void *bytes)
{
	uint8_t *p = bytes;

	ASSERT(((uintptr_t)bytes & 7) == 0);
	img->header = bytes;
	img->inodes = (void *)(p + sizeof(struct format_tree_header));
	img->entries = (void *)(p + tree_image_entries_off(img));
	img->chunks = (void *)(p + tree_image_chunks_off(img));
	img->shards = (void *)(p + tree_image_shards_off(img));
	img->text = (char *)p + tree_image_text_off(img);
}

int tree_name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, MIN(a_len, b_len));

	if (order != 0)
		return order;
	return (a_len > b_len) - (a_len < b_len);
}

uint64_t tree_name_prefix(const char *name, size_t name_len)
{
	uint8_t head[8] = {0};

	/* Names hold no NUL, so padding with it keeps the order. */
	memcpy(head, name, MIN(name_len, sizeof(head)));
	return be64_get(head);
}

void tree_id_scratch_cleanup(struct tree_id_scratch *scratch)
{
	free(scratch->bytes);
}

static int tree_id_room(struct tree_id_scratch *s, size_t len)
{
	uint8_t *bytes;
	size_t cap;

	if (len <= s->cap)
		return 0;
	cap = MAX(2 * s->cap, len);
	bytes = realloc(s->bytes, cap);
	if (!bytes)
		return -ENOMEM;
	s->bytes = bytes;
	s->cap = cap;
	return 0;
}

static void tree_id_put32(struct tree_id_scratch *s, uint32_t v)
{
	le32_put(s->bytes + s->len, v);
	s->len += 4;
}

static void tree_id_put64(struct tree_id_scratch *s, uint64_t v)
{
	le64_put(s->bytes + s->len, v);
	s->len += 8;
}

static void tree_id_put(struct tree_id_scratch *s, const void *p, size_t len)
{
	memcpy(s->bytes + s->len, p, len);
	s->len += len;
}

static void tree_id_put_chunks(struct tree_id_scratch *s,
			       const struct tree_image *img, uint32_t first,
			       uint32_t count)
{
	static const struct digest hole;
	uint64_t off = 0;

	tree_id_put32(s, count);
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t shard = le32toh(img->chunks[i].shard_le);
		uint64_t end = tree_chunk_end(&img->chunks[i]);

		tree_id_put32(s, (uint32_t)(end - off));
		tree_id_put(s, shard == TREE_HOLE ? &hole : &img->shards[shard],
			    DIGEST_LEN);
		off = end;
	}
}

/* Length of the attributes at `xattr` (1 + offset in text), end mark too. */
static size_t tree_id_xattr_len(const struct tree_image *img, uint32_t xattr)
{
	const char *start = img->text + xattr - 1;
	const char *p = start;

	while (le16_get(p) != 0)
		p += TREE_XATTR_HEAD_LEN + le16_get(p) + le32_get(p + 2);
	return (size_t)(p - start) + 2;
}

/*
 * The id is the first 8 bytes, little-endian, of the SHA-256 of this record:
 *
 *   u32 mode (type and permissions), u32 uid, u32 gid,
 *   u32 device major, u32 device minor,
 *   u32 mtime nanoseconds, i64 mtime seconds, u64 size,
 *   u32 target length, target of a symbolic link,
 *   u32 chunk count, then for each {u32 length, 32 bytes shard name},
 *     a hole's name being zeros,
 *   the extended attributes as they lie in the tree, end mark included;
 *     only the end mark (u16 0) when there are none.
 *
 * Not in it: names, nlink, the opaque flag, a directory's entries.
 */
int tree_image_id(const struct tree_image *img, uint32_t inode,
		  struct tree_id_scratch *s, uint64_t *id)
{
	const struct format_tree_inode *in = &img->inodes[inode];
	uint32_t first = le32toh(in->first_le), count = le32toh(in->count_le);
	uint32_t mode = le32toh(in->mode_le), xattr = le32toh(in->xattr_le);
	uint32_t target_len = S_ISLNK(mode) ? count : 0;
	uint32_t chunk_count = S_ISREG(mode) ? count : 0;
	size_t xattr_len = xattr ? tree_id_xattr_len(img, xattr) : 2;
	struct digest digest;
	int rc;

	rc = tree_id_room(s, 64 + target_len + xattr_len +
				 (4 + DIGEST_LEN) * (size_t)chunk_count);
	if (rc < 0)
		return rc;
	s->len = 0;
	tree_id_put32(s, mode);
	tree_id_put32(s, le32toh(in->uid_le));
	tree_id_put32(s, le32toh(in->gid_le));
	tree_id_put32(s, le32toh(in->rdev_major_le));
	tree_id_put32(s, le32toh(in->rdev_minor_le));
	tree_id_put32(s, le32toh(in->mtime_nsec_le));
	tree_id_put64(s, le64toh((uint64_t)in->mtime_sec_le));
	tree_id_put64(s, le64toh(in->size_le));
	tree_id_put32(s, target_len);
	tree_id_put(s, img->text + (target_len ? first : 0), target_len);
	tree_id_put_chunks(s, img, first, chunk_count);
	tree_id_put(s, xattr ? img->text + xattr - 1 : "\0", xattr_len);
	ASSERT(s->len <= s->cap);

	digest = digest_of(s->bytes, s->len);
	*id = le64_get(digest.bytes);
	return 0;
}
