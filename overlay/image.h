/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image: the packages of a selection, flattened into one directory tree with
 * computed inode numbers (design 6).  Immutable, reference counted, shared by
 * all guests of a tenant.
 *
 * At equal paths the first package wins; directories are merged, with the
 * attributes of the first that says any (tree_inode_is_implied); a whiteout or
 * an opaque directory hides what later packages have there.  Packages of an
 * ordinary selection have no whiteouts; captured ones do.  With
 * IMAGE_SHOW_WHITEOUTS a whiteout hides what is below it and is an entry
 * itself, a character device 0/0, as overlayfs wants it: so that a guest can
 * lay the drive over its own OS and have the packages' deletions effective
 * there.
 *
 * Inode number: SipHash (key per tenant) of the parent's path, the name and,
 * for all but directories, the content-and-attribute id; 63 bits, never 0.  Of
 * hard-linked names the first of the tree's walk in byte order counts.  A
 * number that is taken gives way to the next free one, in the order of that
 * walk.  So order, subset and rebuild give the same file the same number.
 *
 * Cookies: those of the names; ties take the next free value, in the order of
 * the packages.
 */
#ifndef OVERLAY_IMAGE_H
#define OVERLAY_IMAGE_H

#include "depot/base.h"
#include "depot/tree.h"

struct image;

#define IMAGE_NONE UINT32_MAX
enum { IMAGE_ROOT = 0, IMAGE_TREES_MAX = 96 };
enum { IMAGE_SHOW_WHITEOUTS = 1 }; /* flags of image_new */

struct image_inode {
	uint64_t fileid;
	uint32_t tree;  /* number of the tree that gives attributes and data */
	uint32_t inode; /* in that tree; TREE_WHITEOUT: a whiteout shown */
	uint32_t
	    nlink; /* names in the image; directories: 2 + subdirectories */
	uint32_t parent;       /* directories: image inode; else IMAGE_NONE */
	uint32_t first, count; /* directories: entries */
};

struct image_entry {
	uint64_t cookie;
	const char *name; /* borrows from a tree the image holds */
	uint16_t name_len;
	uint32_t inode; /* image inode */
};

/* Called for a path that two packages have with different content, or that one
 * has and the other deletes; or that both have as a directory, with another
 * mode or owner (the winner's are seen): "" is the root. */
enum image_conflict {
	IMAGE_CONFLICT_CONTENT,
	IMAGE_CONFLICT_WINNER_DELETES,
	IMAGE_CONFLICT_LOSER_DELETES,
	IMAGE_CONFLICT_ATTRIBUTES,
};
typedef void image_conflict_fn(void *ctx, const char *path,
			       enum image_conflict kind, unsigned int winner,
			       unsigned int loser);

/*
 * Flatten `trees` (references are taken).  `since` is when the generation came
 * up: no directory has an earlier ctime, so clients ask for names anew after a
 * switch (rule N-14).  No tree at all gives an empty root,
 * 0755 root:root, time 0.  conflict may be NULL.  -ENOMEM, -EMLINK (a chain of
 * equal cookies longer than NAME_CHAIN_MAX).
 */
MUST_CHECK int image_new(struct tree **trees, unsigned int tree_count,
			 unsigned int flags, const uint8_t key[SIPHASH_KEY_LEN],
			 const struct timespec *since,
			 image_conflict_fn *conflict, void *ctx,
			 struct image **image);
struct image *image_get(struct image *image);
void image_put(struct image *image); /* NULL allowed */

uint32_t image_inode_count(const struct image *image);
const struct image_inode *image_inode(const struct image *image, uint32_t i);
/* Attributes of an image inode, also of the root of an image without trees and
 * of a whiteout that is shown.  Returns the tree that `inode` is of, borrowed;
 * NULL: neither has one. */
struct tree *image_attr(const struct image *image, uint32_t i,
			struct tree_inode *attr);
/* Nobody but the caller holds it; for tables of images. */
bool image_is_last(const struct image *image);
/* Trees in order; borrowed. */
uint32_t image_tree_count(const struct image *image);
struct tree *image_tree(const struct image *image, uint32_t tree);

const struct timespec *image_since(const struct image *image);

/* Image inode with this number, or IMAGE_NONE. */
uint32_t image_find(const struct image *image, uint64_t fileid);
/* Name in a directory; NULL: not there. */
const struct image_entry *image_lookup(const struct image *image, uint32_t dir,
				       const char *name, size_t name_len);
/* First entry of a directory with cookie >= `cookie`, and one past the last;
 * equal when there is none. */
const struct image_entry *image_from(const struct image *image, uint32_t dir,
				     uint64_t cookie,
				     const struct image_entry **end);

#endif
