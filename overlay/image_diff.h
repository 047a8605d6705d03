/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_diff: what differs between two images of one tenant: directories whose
 * names or objects differ, and objects that only one of them has.  Made once a
 * switch, for all guests that make it; what a guest's rebase costs follows from
 * it, not from the size of the images.
 */
#ifndef OVERLAY_IMAGE_DIFF_H
#define OVERLAY_IMAGE_DIFF_H

#include "overlay/image.h"

/* A name that stands for another object, or that one image lacks. */
struct image_change {
	uint32_t dir;                             /* in dirs */
	const struct image_entry *before, *after; /* NULL: there is none */
};

struct image_diff_dir {
	uint64_t fileid;
	uint32_t before, after; /* image inodes, IMAGE_NONE: not there */
	bool names;             /* they differ, not only what they stand for */
	uint32_t first, count;  /* of changes; 0: its attributes differ */
};

struct image_diff {
	struct image *before, *after; /* refs */
	struct image_diff_dir *dirs;  /* owns, as all here */
	uint32_t dir_count;
	struct image_change *changes; /* by directory */
	uint32_t change_count;
	uint32_t *gone; /* image inodes of `before` that `after` lacks */
	uint32_t gone_count;
	uint32_t *back; /* image inodes of `after` that `before` lacks */
	uint32_t back_count;
	/* Changes with a before (an after), by the image inode of it. */
	uint32_t *by_before, *by_after;
	uint32_t by_before_count, by_after_count;
};

/* Refs both images.  A directory is in `dirs` also when its own attributes
 * differ.  -ENOMEM. */
MUST_CHECK int image_diff_new(struct image *before, struct image *after,
			      struct image_diff **diff);
void image_diff_free(struct image_diff *diff); /* takes; NULL allowed */

/* The changes that take a name from (give a name to) an image inode: the first
 * of `*count` numbers in by_before (by_after). */
const uint32_t *image_diff_from(const struct image_diff *diff, uint32_t inode,
				uint32_t *count);
const uint32_t *image_diff_to(const struct image_diff *diff, uint32_t inode,
			      uint32_t *count);

/* "a/b/c" of a directory of an image, "" for the root; false: it is longer. */
bool image_dir_path(const struct image *image, uint32_t dir, char *path,
		    size_t path_len);

#endif
