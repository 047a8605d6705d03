/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify: is a guest's delta in order?  The inside of
 * site_delta_verify(), for delta_verify*.c only.
 *
 * In this sequence, so that what the guest does meanwhile looks wrong as seldom
 * as can be: host files are listed, names of the merged tree are counted, then
 * every record, name and image object is looked at, and what they add up to.
 *
 *	delta_verify.c          the sequence; how one thing is looked at
 *	delta_verify_links.c    names of the merged tree, and links
 *	delta_verify_records.c  records and names of each layer
 *	delta_verify_data.c     the bytes of one file
 *	delta_verify_sums.c     host files that nothing names; quota
 *
 * view->lock is held shared for one directory, record or name at a time, and
 * site->verbs over all, so that layers and image stay.  What looks wrong is
 * looked at once more with view->lock held alone, and told only when it still
 * is.  Counts of links and unknown host files, which take more than one look,
 * are gathered and counted anew together.
 *
 * A problem: the guest has lost, or will lose, something.  A warning: space is
 * wasted, or bytes are not what they could be expected to be.  Neither is an
 * error of a function here: those are -ENOMEM, -ECANCELED (depot_hurry), -EIO
 * and what else the state database or a directory of host files may fail with.
 */
#ifndef OVERLAY_DELTA_VERIFY_H
#define OVERLAY_DELTA_VERIFY_H

#include "overlay/site_impl.h"

enum { FINDINGS_MAX = 8, FINDING_LEN = 320 };

/* What one look has found. */
struct findings {
	unsigned int count;
	struct {
		bool problem;
		char what[FINDING_LEN];
	} item[FINDINGS_MAX];
};

struct names_of {        /* of one born object */
	uint64_t fileid; /* 0: free */
	uint32_t names;
};

struct host_name {
	unsigned int level; /* layer whose directory has it */
	uint64_t data_id;
};

/* One run; all of it is of the thread that runs. */
struct verify {
	struct site *site;         /* borrows */
	struct view *view;         /* borrows */
	const struct image *image; /* borrows from the view */
	void (*tell)(void *ctx, bool problem, const char *what);
	void *ctx;
	struct site_delta_figures *figures;    /* borrows */
	uint64_t layer_bytes[VIEW_LAYERS_MAX]; /* sums of records */
	uint64_t layer_files[VIEW_LAYERS_MAX];
	struct idset named[VIEW_LAYERS_MAX]; /* host files, by directory */
	struct host_name *host;              /* owns; files there are */
	size_t host_count, host_cap;
	uint64_t *dirs; /* owns; to be walked */
	size_t dir_count, dir_cap;
	uint32_t *image_names; /* owns; names of each object of the image */
	struct names_of *born; /* owns; hash table, at most half full */
	size_t born_count, born_slots;
	uint64_t *suspects; /* owns; objects whose count looks wrong */
	size_t suspect_count, suspect_cap;
	bool halted;  /* a directory could not be read */
	bool damaged; /* a record could not, so sums cannot be right */
};

/* One thing to look at. */
struct look {
	unsigned int level;
	uint64_t id, cookie;
	bool again; /* counted already */
};

/* --- findings and looks --------------------------------------------------- */

/* One more; what is beyond FINDINGS_MAX is left out. */
void found(struct findings *f, bool problem, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Count them, and tell them to who asked. */
void verify_tell(struct verify *v, const struct findings *f);
/* Look, view->lock held shared; what is wrong is looked at once more with
 * nobody else in, and told when it still is.  What fn fails with. */
MUST_CHECK int verify_look(struct verify *v, struct look look,
			   int (*fn)(struct verify *v, const struct look *look,
				     struct findings *f));

/* The number of a layer, as words and keys have it. */
unsigned long long verify_layer_id(const struct verify *v, unsigned int level);

/* --- links ---------------------------------------------------------------- */

/* Count all names, from the root down.  alone: view->lock is held alone, and
 * nothing is told. */
MUST_CHECK int verify_walk(struct verify *v, bool alone);
/* Has an object as many links as it has names?  Else it is a suspect.  One that
 * a layer above `level` records was looked at before. */
MUST_CHECK int verify_link(struct verify *v, uint64_t fileid,
			   unsigned int level);
/* The image's objects likewise; then suspects are counted anew, and told. */
MUST_CHECK int verify_links(struct verify *v);

/* --- records -------------------------------------------------------------- */

/* Every record and name of every layer, summed up. */
MUST_CHECK int verify_layers(struct verify *v);
/* Sum up the top layer anew; view->lock is held alone. */
MUST_CHECK int verify_top_again(struct verify *v);

/*
 * Compare what a record of layer number `level` says of the file's bytes (base,
 * inline data, presence bits, host file) with what there is.  rec->data.layer
 * is filled in; view->lock is held, shared or alone.
 */
MUST_CHECK int verify_data(struct view *view, unsigned int level,
			   uint64_t fileid, const struct record *rec,
			   struct findings *f);

/* --- sums ----------------------------------------------------------------- */

/* List the host files there are; before anything else. */
MUST_CHECK int verify_list_host(struct verify *v);
/* Quota, and host files that nothing names; when all records are summed up. */
MUST_CHECK int verify_sums(struct verify *v);

#endif
