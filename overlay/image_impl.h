/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_impl: the inside of an image, for image.c, and what image_build.c
 * (the whole) and image_names.c (the names of one directory) share.
 */
#ifndef OVERLAY_IMAGE_IMPL_H
#define OVERLAY_IMAGE_IMPL_H

#include "overlay/image.h"

struct image {
	_Atomic unsigned int refs;
	unsigned int tree_count;
	struct timespec since;
	struct tree *trees[IMAGE_TREES_MAX]; /* refs */
	struct image_inode *inodes;          /* owns */
	uint32_t inode_count;
	struct image_entry *entries; /* owns; one run a directory, by cookie */
	uint32_t entry_count;
	uint32_t *slots; /* owns; fileid -> inode, open addressing */
	uint64_t slot_mask;
};

/* One directory or object of one tree. */
struct image_source {
	uint32_t tree, inode;
};

/* One name of one tree, while a directory is merged. */
struct image_name {
	uint64_t base; /* name_cookie() */
	struct tree_entry entry;
	uint32_t tree;
	unsigned int down_count;
	uint64_t cookie;           /* of the merged entry */
	struct image_source *down; /* owns: sources of a merged directory, */
	struct image_source says;  /* and which has its attributes */
};

/*
 * All names of a directory in all its sources, by base, name and tree; an array
 * of *total, the caller's to free.  *plain: one source without whiteouts, whose
 * own order and cookies stand.  -ENOMEM.
 */
MUST_CHECK int image_names(const struct image *image,
			   const struct image_source *src,
			   unsigned int src_count, struct image_name **names,
			   uint32_t *total, bool *plain);
bool image_same_name(const struct image_name *x, const struct image_name *y);
/*
 * Of names with one hash, the first by package, then by the package's own
 * cookies, has that as its cookie, and the others the next ones that are free;
 * in the end they lie in order of cookies.  -ENOMEM; -EMLINK, logged.
 */
MUST_CHECK int image_place_ties(struct image_name *names, uint32_t count);
/* What is at a place some steps ahead will be needed. */
void image_name_soon(const struct image *image, const struct image_name *name);

enum { IMAGE_STEPS_AHEAD = 12 }; /* of a loop, to be waiting for memory */

#endif
