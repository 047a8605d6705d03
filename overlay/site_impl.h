/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_impl: the inside of a site, for site*.c and what moves deltas.
 *
 * site->lock guards the tables; it is shared by look-ups and held alone while
 * tables change (operators' commands, a few a second at most).  Operators'
 * commands that take long (snapshots sync, restores wait for quiet) hold
 * site->verbs instead, one at a time, so that look-ups of guests go on.
 * Tenants and views are never freed before site_close, so a look-up's result
 * stays good; a removed guest's view answers that everything is stale.
 * While the site is opened, what cannot be loaded is offline (site_offline.h).
 */
#ifndef OVERLAY_SITE_IMPL_H
#define OVERLAY_SITE_IMPL_H

#include <stdatomic.h>

#include "overlay/selection.h"
#include "overlay/view_impl.h"

enum { SITE_VIEWS_MAX = 65536, SITE_TENANTS_MAX = 16384 };

struct site_view {
	struct view *view; /* owns */
	struct guest_record record;
	struct guest_own *own; /* owns; NULL: none.  Changes under verbs */
	char *why;             /* owns; it is offline; guarded by lock */
};

/* An image that guests of one tenant share (site_image.c). */
struct tenant_image {
	struct tenant_image *next;
	unsigned int flags;
	struct timespec since;
	unsigned int count;
	struct digest trees[IMAGE_TREES_MAX];
	struct image *image; /* ref */
};

struct tenant {
	char name[PACKAGE_NAME_MAX + 1];
	uint8_t key[SIPHASH_KEY_LEN]; /* of its inode numbers */
	struct quota quota;
	struct selection selection;
	struct tenant_image *images; /* owns; changes under verbs */
	struct past *past;           /* owns; NULL: it is offline */
	char *why;                   /* owns; then; guarded by lock */
};

struct offline;

struct site {
	struct depot *depot; /* borrows */
	struct kv *kv;       /* borrows */
	struct journal *journal;
	struct layers *layers; /* owns */
	struct drops *drops;   /* owns; layers that go */
	struct lives lives;
	struct starts *starts;   /* owns */
	struct offline *offline; /* owns; NULL: nothing was missing */
	bool open;               /* site_open is over */
	uint64_t boot;           /* this life's number */
	enum site_trust trust;   /* verbs */
	pthread_mutex_t verbs;   /* before lock */
	pthread_rwlock_t lock;
	/* guarded by lock: */
	struct tenant **tenants; /* owns; sorted by name */
	unsigned int tenant_count;
	struct site_view *views; /* owns; sorted by path */
	unsigned int view_count;
	struct view **by_id;     /* borrows; hash table by export id */
	unsigned int by_id_size; /* a power of two */
	struct view **removed;   /* owns; views of guests that are gone */
	unsigned int removed_count;
	struct tenant **gone; /* owns; tenants that were removed: those views
				 borrow of them.  verbs */
	unsigned int gone_count;
};

/* --- site.c -------------------------------------------------------------- */

/* What takes long asks this again and again (depot_goes_on). */
MUST_CHECK static inline int site_goes_on(const struct site *site)
{
	return depot_goes_on(site->depot);
}
/* NULL: there is none.  lock is held. */
struct tenant *site_find_tenant(struct site *site, const char *name);
struct site_view *site_find_view(struct site *site, const char *path);
bool site_view_is_of(const struct view *view, const struct tenant *tenant);
/* -EACCES (logged): the tenant may not have one of these packages. */
MUST_CHECK int site_check_entitled(struct site *site, const char *tenant,
				   const struct selection *selection);
/* The guest "tenant/guest"; NULL (logged): there is none.  verbs is held, so
 * that it stays where it is.  It may be offline: for what asks only for its
 * record. */
struct site_view *site_guest_record(struct site *site, const char *name);
/* Likewise, of one that is not offline.  -ENOENT; -EHOSTDOWN, logged: it is. */
MUST_CHECK int site_guest(struct site *site, const char *name,
			  struct site_view **sv);
/* The tenant of that name, not offline (of its guests some may be:
 * offline_load_guests); verbs is held.  -ENOENT, -EHOSTDOWN, logged. */
MUST_CHECK int site_tenant(struct site *site, const char *name,
			   struct tenant **tenant);
/* What its guests may still ask for (past.h), beside the selection's image. */
MUST_CHECK int site_load_past(struct site *site, struct tenant *tenant);
struct view *site_find_id(struct site *site, uint32_t export_id);
/* Open a guest's view and enter it in the tables; lock held alone. */
MUST_CHECK int site_add_view(struct site *site, struct tenant *tenant,
			     const char *guest,
			     const struct guest_record *record);
/* Out of the tables, kept in `removed`; lock held alone.  -ENOMEM. */
MUST_CHECK int site_take_view(struct site *site, struct site_view *sv);
/* Write a batch, durably. */
MUST_CHECK int site_write(struct site *site, struct kv_batch *batch);
/* Put a guest's record in a batch. */
void site_put_guest(struct kv_batch *batch, const char *name,
		    const struct guest_record *record);
/* Enter a tenant that is not there yet; key NULL: a new one; selection and
 * quota NULL: none.  lock is held alone. */
MUST_CHECK int site_make_tenant(struct site *site, const char *name,
				const uint8_t *key,
				const struct selection *selection,
				const struct site_quota *quota);
/* "tenant/guest" in two; -EINVAL, logged. */
MUST_CHECK int site_split_name(const char *name,
			       char tenant[PACKAGE_NAME_MAX + 1],
			       const char **guest);

/* --- site_image.c: which image a guest sees ------------------------------ */

/*
 * The one function that decides it: the trees of the guest's own list (NULL:
 * none), then the selection's, flattened as own->flags say.  Guests of a tenant
 * whose lists and flags are equal share one image: *image is a reference. verbs
 * is held (or the site is being opened).  Errors of selection_image.
 */
MUST_CHECK int site_guest_image(struct site *site, struct tenant *tenant,
				const struct guest_own *own,
				const struct selection *selection,
				struct image **image);
/* Forget what no guest has any more. */
void site_images_trim(struct tenant *tenant);
void site_images_free(struct tenant *tenant);

/* --- site_move.c: guests get another image ------------------------------- */

/*
 * Whatever gives guests another image goes through here: a new selection moves
 * all guests of a tenant, a change of a guest's own list or flags that guest.
 * One durable batch has all of it: the new selection, or the guest's record and
 * list, and what the rebase of each delta writes.  verbs is held.
 * -EEXIST: conflicts, each told, and the policy refuses them; nothing has
 * changed then.  conflict() runs under the views' locks: it must be short and
 * call nothing of this floor.  Errors of site_guest_image, -EIO, -ENOMEM.
 */
struct site_move {
	struct tenant *tenant;
	const struct selection *selection; /* its next; NULL: as it is */
	struct site_view *guest;           /* who moves; NULL: all its guests */
	const struct guest_own *own; /* with guest: its next; NULL: as it is */
	const struct guest_record *record; /* with own: likewise */
	enum site_policy policy;
	bool dry_run;                     /* find conflicts, change nothing */
	site_guest_conflict_fn *conflict; /* may be NULL */
	void *ctx;
	/* out: changes of guests that met others, */
	unsigned int conflicts;
	/* of which the guest's version goes on, or gave way, */
	unsigned int kept, superseded;
	/* and those that had given way before and are back. */
	unsigned int restored;
};
MUST_CHECK int site_move(struct site *site, struct site_move *move);

/* --- site_guest.c -------------------------------------------------------- */

/* Options, a new export id, key and secret; lock is held. */
MUST_CHECK int guest_fill(struct site *site, const char *name,
			  const struct site_guest_options *options,
			  struct guest_record *record);

/* --- site_remove.c ------------------------------------------------------- */

/* The view of a guest that is gone holds no layer, tree or start any more;
 * verbs is held. */
void site_empty_view(struct site *site, struct view *view);

/* --- site_access.c ------------------------------------------------------- */

void access_of_record(const struct guest_record *record,
		      struct site_access *access);
/* addr, listen and, when it has none or `fresh`, a secret.  -EINVAL, logged. */
MUST_CHECK int access_fill(const char *name,
			   const struct site_guest_options *options, bool fresh,
			   struct guest_record *record);
/* Is the record said to be told apart so? */
bool access_matches(const struct guest_record *record,
		    const struct guest_record *wanted);
/* Can this guest and every other one be told apart?  -ENOTUNIQ, logged; lock is
 * held. */
MUST_CHECK int access_check(const struct site *site, const char *name,
			    const struct guest_record *record);

/* --- drop.c: layers that nothing stands on any more ---------------------- */

/* Every layer that a guest (top) or a snapshot names, 0 too; verbs is held. */
MUST_CHECK int
site_each_named(struct site *site,
		int (*visit)(void *ctx, uint64_t layer, bool top), void *ctx);
/* Remove the two directories above a host file of a frozen layer that has just
 * gone, if they are empty: nothing is made in them any more.  Changes path. */
void drop_parents(char *path);
/* The same for all directories of a layer that has no key 'L' any more. */
void drop_dirs(const struct site *site, uint64_t layer);

/* Begins with what earlier lives left to do. */
MUST_CHECK int drops_new(struct site *site, struct drops **drops);
/* Layers may have lost their last guest or snapshot: look for them. */
void drops_kick(struct drops *drops);
/* Wait until nothing is left to drop; for tests. */
void drops_drain(struct drops *drops);
void drops_free(struct drops *drops); /* stops; takes; NULL allowed */

/* --- site_delta.c -------------------------------------------------------- */

/*
 * Freeze a guest's top layer under a new empty one, in one durable batch with
 * what `more` (may be NULL) holds; more(ctx, batch, frozen) is called with the
 * number of the frozen layer, 0 when the delta was empty.  A top layer that is
 * empty already stays.  verbs is held.  -EMLINK, -EIO, what `more` returns.
 */
MUST_CHECK int
delta_freeze(struct site *site, const char *name, struct site_view *sv,
	     int (*more)(void *ctx, struct kv_batch *batch, uint64_t frozen),
	     void *ctx);
/* Stand on other layers: a new empty top over `parent` (0: none).  The old top
 * goes when nothing else stands on it.  verbs is held. */
MUST_CHECK int delta_replace(struct site *site, const char *name,
			     struct site_view *sv, uint64_t parent);
/* The layer of a snapshot; -ENOENT, logged. */
MUST_CHECK int delta_find_snapshot(struct site *site, const char *guest,
				   const char *snapshot, uint64_t *layer);

/* --- delta_fits.c -------------------------------------------------------- */

/*
 * Does every record of a snapshot's layers go with the guest's image, so that
 * nothing it holds is without a name?  verbs is held.  -EEXIST, logged: not,
 * since packages have changed after it; -EIO, -EBADMSG, -ENOMEM.
 */
MUST_CHECK int delta_fits(struct site *site, const char *guest,
			  const struct view *view, const char *snapshot,
			  uint64_t layer);

#endif
