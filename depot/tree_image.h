/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_image: where the parts of a tree's bytes lie.
 *
 * Shared by the files that read (tree.c), check (tree_check.c) and write
 * (tree_write.c) trees; nobody else includes it.
 */
#ifndef DEPOT_TREE_IMAGE_H
#define DEPOT_TREE_IMAGE_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/format.h"
#include "depot/tree.h"

#define TREE_COOKIE_TOP ((uint64_t)INT64_MAX)
#define TREE_COOKIE_MIN 3

enum {
	TREE_DIR_SIZE = 4096,
	TREE_NSEC_MAX = 999999999,
	/* {u16 name length, u32 value length} before each attribute. */
	TREE_XATTR_HEAD_LEN = 6,
};

struct tree_image {
	uint32_t inode_count, entry_count, chunk_count, shard_count;
	uint32_t xattr_len;
	uint64_t text_len; /* with the attributes */
	uint64_t file_len;
	/* All borrow one buffer, aligned to 8 bytes; readers don't write. */
	struct format_tree_header *header;
	struct format_tree_inode *inodes;
	struct format_tree_entry *entries;
	struct format_tree_chunk *chunks;
	struct digest *shards;
	char *text;
	uint32_t *guide; /* owned by struct tree, see tree.c; NULL: none yet */
};

/* file_len from the counts and text_len.  -EFBIG: above TREE_FILE_MAX. */
MUST_CHECK int tree_image_measure(struct tree_image *img);
/* The pointers, over file_len bytes, once measured. */
void tree_image_place(struct tree_image *img, void *bytes);

/* The whole check of a placed image (tree_check.c).  -EBADMSG, -ENOMEM. */
MUST_CHECK int tree_image_check(const struct tree_image *img);

/*
 * Find a name that hashes to `home` in the run of `count` entries at `first`
 * (tree.c).  Only the order of cookies is trusted.  *i counts from `first`.
 */
MUST_CHECK int tree_image_find(const struct tree_image *img, uint32_t first,
			       uint32_t count, uint64_t home, const char *name,
			       size_t name_len, uint32_t *i);

/* Byte order, the shorter first. */
int tree_name_compare(const char *a, size_t a_len, const char *b, size_t b_len);
/* First 8 bytes as a number in the same order: most compares end there. */
uint64_t tree_name_prefix(const char *name, size_t name_len);

struct tree_id_scratch {
	uint8_t *bytes; /* owns */
	size_t len, cap;
};

/* Content-and-attribute id of an inode of a sound image.  -ENOMEM. */
MUST_CHECK int tree_image_id(const struct tree_image *img, uint32_t inode,
			     struct tree_id_scratch *scratch, uint64_t *id);
void tree_id_scratch_cleanup(struct tree_id_scratch *scratch);

static inline uint64_t tree_chunk_end(const struct format_tree_chunk *chunk)
{
	return (uint64_t)le16toh(chunk->end_hi_le) << 32 |
	       le32toh(chunk->end_lo_le);
}

#endif
