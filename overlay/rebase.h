/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rebase: a guest's delta under another image (design 6).
 *
 * What a delta record holds is found by the number of its object, and numbers
 * follow from path and content: so the objects that a switch takes away or
 * brings back say at once which records it concerns.
 *
 * - A record whose object is in both images: nothing.
 * - Its object goes, and the guest has changed it: a conflict.  KEEP writes
 *   names for it into the delta, PACKAGE parks the record as superseded
 *   (record.h), FAIL tells and nothing is written.  Likewise a file that the
 *   guest has put in the place of one that changes.
 * - A whiteout stays whatever is below it.
 * - A directory that goes, in which the guest has something, goes on as one of
 *   the delta; without, its record is parked until it comes back.
 * - A name of the delta whose cookie the new image claims for another moves.
 * - What was superseded comes back when the switch that did it is undone.
 *
 * Link counts are kept as differences to the image's, so each name that is
 * covered by one of the delta and stands for another object now changes two.
 *
 * A rebase is made with view->lock held alone; the batch it fills is the
 * caller's and has all guests that move together.  When that is written,
 * rebase_apply cannot fail.
 *
 * Where nothing else is said, functions fail with -ENOMEM, and with -EIO when
 * the state database does or has a damaged record (logged).  The rebase is then
 * good for rebase_free only, and the batch is not to be written.  What they
 * give out is borrowed from the rebase.
 */
#ifndef OVERLAY_REBASE_H
#define OVERLAY_REBASE_H

#include "overlay/image_diff.h"
#include "overlay/site.h"
#include "overlay/view_impl.h"

/* A name of a directory, as the delta has it or will have it. */
struct rebase_name {
	struct record_name rec;
	uint64_t cookie; /* where it stands; 0: nowhere yet */
	uint64_t place;  /* where it will */
	bool changed;    /* to be written even if it stays there */
	bool removed;
};

struct rebase_dir {
	struct rebase_dir *next;
	uint64_t fileid;
	uint32_t before, after;    /* image inodes or IMAGE_NONE */
	struct rebase_name *names; /* owns; fillers too */
	uint32_t count, cap;
	uint32_t *slots; /* owns; number + 1 of a name, by its hash; 0: free */
	uint32_t slot_count;
};

struct rebase_record {
	uint64_t fileid;
	struct record rec;
	uint32_t nlink_before; /* as guests saw it */
	uint32_t after;        /* image inode in the new image, or IMAGE_NONE */
	bool dirty;
	bool erase;        /* there is nothing of the guest's in it */
	bool parked;       /* it gives way now */
	bool back;         /* it has names again */
	bool unpark;       /* superseded no longer */
	bool kept;         /* of a directory: it is reachable */
	bool touch;        /* ctime, as if its attributes changed */
	struct node *node; /* borrows; NULL: it has none */
};

/* The guest changed or replaced a file that goes or changes. */
struct rebase_conflict {
	char kind;        /* as in struct site_guest_conflict */
	const char *path; /* borrows */
	bool refused;     /* a directory of the guest's own: it stays */
	/* Trees that have it in the old and new image, borrowed; or NULL. */
	const struct digest *before, *after;
};

struct rebase {
	struct view *view;             /* borrows */
	const struct image_diff *diff; /* borrows */
	enum site_policy policy;
	void (*tell)(void *ctx, const struct rebase_conflict *conflict);
	void *ctx;
	struct rebase_record **records; /* owns; open addressing by fileid */
	uint32_t record_count, record_slots;
	struct rebase_dir *dirs; /* owns */
	uint64_t *touched;       /* owns; directories that get names */
	uint32_t touched_count, touched_cap;
	/* out: */
	unsigned int conflicts;  /* told */
	unsigned int kept;       /* the guest's version goes on */
	unsigned int superseded; /* it is parked */
	unsigned int restored;   /* it is back */
};

/* Find out what has to be done, and tell the conflicts; nothing is changed.
 * view, diff, policy, tell, ctx are set, the rest zeros.  -EIO, -ENOMEM. */
MUST_CHECK int rebase_prepare(struct rebase *r);
/* What was found, for the batch; makes room for rebase_apply.  -EMLINK: no
 * place is left for a name. */
MUST_CHECK int rebase_write(struct rebase *r, struct kv_batch *batch);
/* The batch is in the log: the view has it, and the new image. */
void rebase_apply(struct rebase *r);
void rebase_free(struct rebase *r); /* at any time */

/* Must files that are open now be quiet before? */
bool rebase_needs_still(struct view *view, const struct image_diff *diff);

/* --- rebase_record.c ------------------------------------------------------ */

/* Has the delta anything of it? */
bool rebase_has(const struct rebase *r, uint64_t fileid);
/* Its record as it will be; also what is gone or superseded.  -ESTALE: neither
 * delta nor images have it. */
MUST_CHECK int rebase_record(struct rebase *r, uint64_t fileid,
			     struct rebase_record **rr);
/* A name more or less, to the difference of its link count. */
MUST_CHECK int rebase_links(struct rebase *r, uint64_t fileid, int links);

/* --- rebase_dir.c --------------------------------------------------------- */

/* The delta's names of a directory, read once; an empty list when there are
 * none. */
MUST_CHECK int rebase_dir(struct rebase *r, uint64_t fileid,
			  struct rebase_dir **dir);
/* NULL: nobody has asked for it yet. */
struct rebase_dir *rebase_dir_loaded(const struct rebase *r, uint64_t fileid);
/* Entry or whiteout of this name, or NULL; until the next rebase_put. */
struct rebase_name *rebase_find(struct rebase_dir *dir, const char *name,
				size_t name_len);
/* Was there one, whatever becomes of it? */
bool rebase_had(const struct rebase_dir *dir, const char *name,
		size_t name_len);
/* Put one; a name that stands there is replaced. */
MUST_CHECK int rebase_put(struct rebase_dir *dir, uint8_t kind,
			  const char *name, size_t name_len, uint64_t fileid,
			  uint32_t generation);
/* One of the directory RECORD_PARKED. */
MUST_CHECK int rebase_put_parked(struct rebase_dir *dir, const char *name,
				 size_t name_len, uint64_t fileid,
				 uint32_t generation);
/* Give every name its place, and write what moves or is new.  -EMLINK: no place
 * is left for one. */
MUST_CHECK int rebase_dirs_write(struct rebase *r, struct kv_batch *batch);

#endif
