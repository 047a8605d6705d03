/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selection: what a tenant has selected, as numbered generations in the state
 * database, and the records of tenants and guests.  Inside this floor only.
 *
 * Values, after the format byte:
 *   tenant      key:16, from format 2 quota bytes:8 files:8
 *   generation  seconds:8 nanoseconds:4 count:4, then for each package
 *               revision:32 tree:32 name length:1 name tag length:1 tag
 *   guest       export:4 layer:8 key:16 flags:1 address length:1 address, from
 *               format 2 quota bytes:8 files:8 since:8+4, from format 3 listen
 *               address:16 listen port:2 (0: none) secret:16 (all 0: none)
 */
#ifndef OVERLAY_SELECTION_H
#define OVERLAY_SELECTION_H

#include "depot/kv.h"
#include "overlay/image.h"
#include "overlay/record.h"
#include "overlay/site.h"

struct selection {
	uint32_t generation; /* 0: nothing selected yet */
	struct timespec since;
	unsigned int count;
	struct package_info package[SITE_SELECTION_MAX];
};

/* The newest generation; an empty one when there is none. */
MUST_CHECK int selection_load(struct kv *kv, const char *tenant,
			      struct selection *selection);
/* All of them, oldest first; visit's non-zero result ends it and is returned.
 */
MUST_CHECK int selection_each(struct kv *kv, const char *tenant,
			      int (*visit)(void *ctx,
					   const struct selection *selection),
			      void *ctx);
/* Its value; the generation is in the key.  out holds SELECTION_VALUE_MAX. */
enum {
	SELECTION_HEAD = 17,
	SELECTION_ROW_MAX =
	    2 * DIGEST_LEN + 2 + PACKAGE_NAME_MAX + TAG_NAME_MAX,
	SELECTION_VALUE_MAX =
	    SELECTION_HEAD + SITE_SELECTION_MAX * SELECTION_ROW_MAX,
};
size_t selection_encode(const struct selection *selection, uint8_t *out);
MUST_CHECK int selection_decode(const uint8_t *in, size_t len,
				struct selection *selection);
void selection_put(struct kv_batch *batch, const char *tenant,
		   const struct selection *selection);
bool selection_same(const struct selection *a, const struct selection *b);
/*
 * What a guest has beside its tenant's selection: a list of its own, asked
 * first (profiles), and how its image is flattened.
 */
enum { GUEST_OWN_MAX = IMAGE_TREES_MAX - SITE_SELECTION_MAX };
struct guest_own {
	unsigned int flags; /* of image_new */
	unsigned int count;
	struct package_info package[GUEST_OWN_MAX];
};
/* Who is told, in words of paths and packages: conflicts, and what is worth
 * knowing, but in nobody's way (a directory with other attributes). */
struct selection_teller {
	site_conflict_fn *conflict, *note;
	void *ctx; /* of both */
};
/* Flatten a guest's own list (NULL: none) and the selection behind it; teller
 * may be NULL.  *image: the caller's, a reference.  -EBADMSG: a tree is not
 * here, nor at an upstream, or damaged; others as depot_tree_fetch and
 * image_new. */
MUST_CHECK int selection_image(struct depot *depot, const struct guest_own *own,
			       const struct selection *selection,
			       const uint8_t key[SIPHASH_KEY_LEN],
			       const struct selection_teller *teller,
			       struct image **image);

enum {
	GUEST_FLAG_DEVICES = 1,
	GUEST_FLAG_SQUASH = 2,
	GUEST_FLAG_PAUSED = 4,
	GUEST_FLAG_WHITEOUTS = 8, /* shown as character devices 0/0 */
};
struct guest_record {
	uint32_t export_id;
	uint64_t layer;
	uint8_t key[SIPHASH_KEY_LEN];
	uint8_t flags;
	char addr[64];
	struct site_quota quota;
	struct timespec since; /* of the last restore: no ctime is earlier */
	struct site_listen listen;
	struct site_secret secret;
};
/* out holds RECORD_KEY_MAX bytes; returns the length. */
size_t guest_encode(const struct guest_record *guest, uint8_t *out);
MUST_CHECK int guest_decode(const void *data, size_t len,
			    struct guest_record *guest);

/* Value of a snapshot: layer:8 (0: an empty delta) time:8+4. */
enum { SNAPSHOT_RECORD_LEN = 21 };
struct snapshot_record {
	uint64_t layer;
	struct timespec time;
};
void snapshot_encode(const struct snapshot_record *snapshot,
		     uint8_t out[SNAPSHOT_RECORD_LEN]);
MUST_CHECK int snapshot_decode(const void *data, size_t len,
			       struct snapshot_record *snapshot);

/* A counter that only rises; *value is the new one.  Durable: synced. */
MUST_CHECK int counter_next(struct kv *kv, const char *name, uint64_t *value);

/* --- selection_base.c ------------------------------------------------------
 */

/* What the packages were captured over, and the systems they hold
 * (depot_revision_base), by place in the selection. */
struct selection_bases {
	char *base[SITE_SELECTION_MAX]; /* own; NULL: none */
	char *os[SITE_SELECTION_MAX];
};
/* To be cleared whatever the result. */
MUST_CHECK int selection_bases_load(struct depot *depot,
				    const struct selection *selection,
				    struct selection_bases *bases);
void selection_bases_clear(struct selection_bases *bases);
/* Was package `i` captured over the system that package `os` holds? */
bool selection_is_over(const struct selection_bases *bases, unsigned int i,
		       unsigned int os);
/* Tell each package that is not over the base it was captured over. */
void selection_bases_check(const struct selection *selection,
			   const struct selection_bases *bases,
			   site_conflict_fn *conflict, void *ctx);

#endif
