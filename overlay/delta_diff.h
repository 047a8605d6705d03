/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_diff: the walk that finds what a delta changes of the packages, for
 * delta_diff*.c and what reads a delta path by path (delta_read.c).
 *
 * view->lock is taken for one directory at a time, site->verbs is held over
 * all.  Errors: -ENOMEM, -EIO (of the state database, or of a damaged record),
 * -ECANCELED (depot_hurry), and what `tell` and `visit` give, which ends the
 * walk.
 */
#ifndef OVERLAY_DELTA_DIFF_H
#define OVERLAY_DELTA_DIFF_H

#include "overlay/attribute.h"
#include "overlay/site_impl.h"

enum { DIFF_DEPTH_MAX = 4 * TREE_DEPTH_MAX }; /* guests move directories */

/* A package's object at a place that the image does not give it. */
struct diff_move {
	uint64_t fileid;
	uint64_t dir; /* where the name is now */
	char *name;   /* owns */
	size_t name_len;
	size_t number; /* in the order of the walk */
	char *from;    /* owns; path in the packages, or NULL */
	bool instead;  /* of that name, which is gone; else beside it */
};

/* A name that the image has for one of those. */
struct diff_place {
	uint64_t fileid;
	const struct image_entry *entry;
	uint32_t dir; /* image inode */
	bool gone;    /* the merged tree lacks it */
	bool told;    /* by a RENAMED */
	char *path;   /* owns */
};

/* One name of a directory, merged or only the image's. */
struct diff_item {
	const char *name; /* borrows from the frame, or the image */
	size_t name_at;   /* in frame->names, until it is complete */
	uint16_t name_len;
	bool here; /* in the merged tree */
	bool descend;
	bool replaced;   /* another object than the image has there */
	bool opaque;     /* a directory that hides what the image has there */
	char kind[2];    /* enum site_change; 0: none */
	uint64_t fileid; /* when it is here */
	uint32_t generation;
	const struct image_entry *image; /* NULL: the image has none */
	const char *from;                /* borrows from a move */
	uint32_t mode_before, mode;
	uint64_t size, delta_bytes;
};

struct diff_frame {
	uint64_t dir;
	struct diff_item *items; /* owns; in byte order of names */
	size_t count, cap, next;
	char *names; /* owns */
	size_t names_len, names_cap;
	size_t path_len; /* of the directory */
	bool whole;      /* by path: nothing of the image is below it */
};

/* Tell of an item; its path is d->path. */
struct diff;
typedef int diff_tell_fn(struct diff *d, const struct diff_item *item,
			 const char *path);

struct diff {
	struct site *site; /* borrows, as all of these */
	struct view *view;
	const struct image *image; /* borrows from the view */
	diff_tell_fn *tell;
	int (*visit)(void *ctx, const struct site_delta_change *);
	void *ctx;
	struct attribution *owners; /* borrows */
	bool by_path;               /* no object has moved: see diff_run */
	bool telling;               /* the second walk */
	struct diff_frame *frames;  /* owns; a stack */
	size_t depth, depth_cap;
	char *path; /* owns; of the item at hand */
	size_t path_cap;
	struct diff_move *moves; /* owns; after the first walk by fileid */
	size_t move_count, move_cap;
	struct diff_place *places; /* owns; likewise */
	size_t place_count, place_cap;
};

/* Names in the order of their bytes, a shorter one first; as memcmp(). */
int diff_order(const char *a, size_t a_len, const char *b, size_t b_len);

/*
 * Walk, and tell of all that differs.  by_path: as a tree would have to say it:
 * what stands where the packages have something else is there whole, with all
 * below it, wherever it came from.
 */
MUST_CHECK int diff_run(struct diff *d); /* clears what d owns, too */
/* Tells d->visit, with whose it is when d->owners says so. */
diff_tell_fn diff_tell;

/* --- delta_diff_moves.c -------------------------------------------------- */

/* Note an object of a package that stands elsewhere than in the image. */
MUST_CHECK int diff_move_add(struct diff *d, uint64_t dir,
			     const struct diff_item *item);
/* Find from where each came, when all are noted. */
MUST_CHECK int diff_match_moves(struct diff *d);
/* Where it came from, borrowed; NULL: it has not moved. */
const struct diff_move *diff_move_find(const struct diff *d, uint64_t dir,
				       const struct diff_item *item);
/* Is the name of the image gone because its object has another one now? */
bool diff_was_renamed(const struct diff *d, const struct image_entry *entry);

/* --- changes and their software ------------------------------------------ */

/* What paths of this guest are told by: its packages, and what the operator has
 * said.  verbs is held.  `a` is the caller's to clear, whatever the outcome.
 * -ENOMEM, -EIO, -EBADMSG (logged). */
MUST_CHECK int site_attribution(struct site *site, const char *guest,
				struct site_view *sv, struct attribution *a);

#endif
