/* SPDX-License-Identifier: Apache-2.0 */
/* image_impl: the inside of an image, for image.c and image_build.c only. */
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

#endif
