/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site: all tenants, selections and guests of this host; facade of the
 * administrative half of this floor, as view.h is of the data path.
 *
 * Whatever changes what a guest sees, or reads its delta, is refused with
 * -EHOSTDOWN while a tree that this needs is missing (offline, below).
 * What goes through a delta (export, import, objects, diff, verify, reset of
 * one software, a look at a profile) ends with -ECANCELED after depot_hurry().
 * State lives in the state database; every change is durable before the
 * function returns, and effective at once.  Thread-safe.
 * Names: depot_name_ok().
 */
#ifndef OVERLAY_SITE_H
#define OVERLAY_SITE_H

#include "depot/base.h"
#include "depot/depot.h"
#include "overlay/view.h"

struct site;

enum {
	SITE_SELECTION_MAX = 64, /* packages of a tenant */
	SITE_OWN_MAX = 32,       /* profiles of a guest */
	SITE_EXPORT_PATH_MAX = 2 * PACKAGE_NAME_MAX + 4,
	SITE_SECRET_LEN = 16,
};

/* A listening address of a guest's own; port 0: none. */
struct site_listen {
	uint8_t addr[16]; /* IPv6, or IPv4 mapped into it */
	uint16_t port;
};
/* What its secret path is made of; all 0: none. */
struct site_secret {
	uint8_t bytes[SITE_SECRET_LEN];
};

MUST_CHECK int site_open(struct depot *depot, struct site **site);
void site_close(struct site *site); /* takes site; NULL allowed */

/*
 * Whether two guests may be told apart by nothing but the name of their export,
 * which anybody can type (operators.md b.7).  ALWAYS until it is set.
 */
enum site_trust {
	SITE_TRUST_ALWAYS,
	SITE_TRUST_TENANT, /* guests of one tenant only */
	SITE_TRUST_NEVER,
};
void site_set_trust(struct site *site, enum site_trust trust);

/* An export by the number in its handles, or by its path ("/red/vm1"); NULL
 * when there is none.  The view lives until site_close. */
struct view *site_view_by_id(struct site *site, uint32_t export_id);
struct view *site_view_by_path(struct site *site, const char *path);
/* By its secret; the time it takes does not depend on the bytes. */
struct view *site_view_by_secret(struct site *site,
				 const struct site_secret *secret);

/* Who may use an export. */
struct site_access {
	uint32_t export_id;
	char addr[64]; /* the client's address; "" any */
	/* Port not 0: connections that came in there, and no others; who came
	 * in there may use no other export. */
	struct site_listen listen;
	bool has_secret; /* it is mounted by its secret path, not by name */
};
/* false: there is no such export. */
bool site_access(struct site *site, uint32_t export_id,
		 struct site_access *access);

/* Creating what exists in the same form is success. */
MUST_CHECK int site_tenant_create(struct site *site, const char *tenant);
/* The same; quota (NULL: none): of a new one, one that is there keeps its own.
 */
struct site_quota;
MUST_CHECK int site_tenant_create_with(struct site *site, const char *tenant,
				       const struct site_quota *quota);

/*
 * Forget a tenant that has no guests, durably and at one moment: its quota, its
 * generations and what they have taken away, who started what, and its name in
 * this host's entitlements (what publishers say stays).  One that is made under
 * the same name is another: with other numbers, and entitled to nothing that
 * this host gives to named tenants.  dry_run: only count.  -ENOENT; -EBUSY: it
 * has guests.
 */
struct site_tenant_removed {
	unsigned int guests; /* that are in the way */
	unsigned int generations;
	unsigned int entitlements; /* packages' lists that named it */
};
MUST_CHECK int site_tenant_remove(struct site *site, const char *tenant,
				  bool dry_run,
				  struct site_tenant_removed *removed);

/* Called for what the operator should know: two packages with different
 * content at one path, or a guest's change over a path that would vanish. */
typedef void site_conflict_fn(void *ctx, const char *what);

/* What happens to a guest's change of a file when a switch changes or removes
 * that file. */
enum site_policy {
	SITE_POLICY_FAIL,    /* the switch is refused */
	SITE_POLICY_KEEP,    /* the guest goes on seeing its version */
	SITE_POLICY_PACKAGE, /* it sees the package's; its own is parked */
};
struct site_guest_conflict {
	const char *guest; /* "tenant/guest"; all are borrowed for the call */
	/* 'M': changed or replaced, 'm': its attributes only.  No conflicts,
	 * but worth a word: 'D': the guest has deleted what changes, and 'A':
	 * it has made what the packages bring now; both stay so. */
	char kind;
	const char *path; /* without a leading slash */
	bool gone;        /* the new selection has nothing there */
	bool refused;     /* it stays: a directory of the guest's own cannot
			     give way */
	/* The packages that have it before and after; NULL: none. */
	const struct package_info *before, *after;
};
typedef void site_guest_conflict_fn(void *ctx,
				    const struct site_guest_conflict *conflict);

/* How a selection takes the place of another. */
struct site_switch {
	bool take_order; /* at paths that two packages have, the first wins */
	bool dry_run;    /* nothing changes; what would be in the way is told */
	enum site_policy policy;
	site_conflict_fn *conflict; /* two packages; may be NULL */
	/* Directories that two packages have with different mode or owner: the
	 * first one's is seen, and nothing is refused; may be NULL. */
	site_conflict_fn *note;
	site_guest_conflict_fn
	    *guest; /* may be NULL; must not call site_...() */
	void *ctx;  /* of all three */
	/* out: */
	unsigned int paths; /* that two packages have with different content */
	/* Changes of guests of files that change, too; those among them of
	 * which the guest goes on seeing its version, or not; and those that an
	 * earlier switch had taken, and this one brings back. */
	unsigned int conflicts, kept, superseded, restored;
};

/*
 * Give a tenant a new generation of its selection: `packages` in order, the
 * first wins at equal paths.  They must be in the depot (depot_package_resolve
 * first).  All guests see it at once, whatever they have changed: see
 * overlay/rebase.h.  -ENOENT: no such tenant; -EACCES: it may not have one of
 * them (depot_package_permits); -EEXIST: paths without take_order, or conflicts
 * under SITE_POLICY_FAIL; nothing has changed then.  *generation: the new
 * number, or the current one when nothing changes.
 */
MUST_CHECK int site_tenant_switch(struct site *site, const char *tenant,
				  const struct package_info *packages,
				  unsigned int count, struct site_switch *how,
				  uint32_t *generation);
/* A guest's change that met one of the packages', at some switch so far. */
struct site_met_change {
	const char *guest, *path; /* borrowed for the call */
	bool superseded;          /* it gave way; else the guest sees it */
	uint64_t size;
	struct timespec time; /* of the switch, or of its last change */
};
/* All of a tenant's guests; visit returns non-zero to stop, returned, and must
 * not call site_...().  -ENOENT: no such tenant. */
MUST_CHECK int site_met_changes(struct site *site, const char *tenant,
				int (*visit)(void *ctx,
					     const struct site_met_change *),
				void *ctx);
/*
 * Let the guest see again what gave way at this path (the last, if several
 * did).  -ENOENT: no such guest, or nothing gave way there; -EEXIST: it has put
 * something else there, or the packages have a directory; -ENOTDIR: the
 * directory is gone.
 */
MUST_CHECK int site_delta_restore_change(struct site *site, const char *guest,
					 const char *path);
/* Names of files that stand for another object in the one tree than in the
 * other, or are in one only.  Errors of depot_tree_get. */
MUST_CHECK int site_package_changes(struct site *site,
				    const struct digest *before,
				    const struct digest *after,
				    uint64_t *files);
/* site_tenant_switch under SITE_POLICY_FAIL; conflict is told both kinds in
 * words. */
MUST_CHECK int site_tenant_assign(struct site *site, const char *tenant,
				  const struct package_info *packages,
				  unsigned int count, bool take_order,
				  site_conflict_fn *conflict, void *ctx,
				  uint32_t *generation);

/*
 * The generations of a tenant, oldest first; all are kept.  visit's non-zero
 * result ends it and is returned.  -ENOENT: no such tenant.
 */
struct site_generation {
	uint32_t generation;
	struct timespec since;
	unsigned int package_count;
	const struct package_info *package; /* borrows: for the call */
};
MUST_CHECK int site_tenant_history(struct site *site, const char *tenant,
				   int (*visit)(void *ctx,
						const struct site_generation *),
				   void *ctx);
/*
 * Publish what an earlier generation had (to 0: the one before the current) as
 * a new one.  Errors of site_tenant_switch, which decides as for any other
 * list; -ERANGE: there is no such generation.  *from: the one taken.
 */
MUST_CHECK int site_tenant_rollback(struct site *site, const char *tenant,
				    uint32_t to, struct site_switch *how,
				    uint32_t *from, uint32_t *generation);

struct site_quota {
	uint64_t bytes; /* of data in the delta; 0: no limit */
	uint64_t files; /* objects of the delta; 0: no limit */
};

struct site_guest_options {
	const char *addr; /* client address that may mount; NULL or "" any */
	struct site_listen listen;
	bool has_secret; /* a secret path, of bits made here */
	bool allow_devices;
	bool root_squash;
	bool show_whiteouts;     /* of its packages, as character devices 0/0 */
	struct site_quota quota; /* one that is there keeps its own */
};
/* name "tenant/guest".  -ENOENT: no such tenant; -EEXIST: with other options;
 * -ENOTUNIQ: it or another guest could pass for the other (site_set_trust),
 * with the names of both logged. */
MUST_CHECK int site_guest_add(struct site *site, const char *name,
			      const struct site_guest_options *options);

struct site_tenant_info {
	char name[PACKAGE_NAME_MAX + 1];
	uint32_t generation; /* 0: nothing assigned yet */
	unsigned int guests;
	const char *offline;     /* as a guest's, which all of it are then */
	struct site_quota quota; /* of all its guests together */
	uint64_t delta_bytes, delta_files;
	unsigned int package_count;
	struct package_info package[SITE_SELECTION_MAX];
};
struct site_guest_info {
	char tenant[PACKAGE_NAME_MAX + 1];
	char guest[PACKAGE_NAME_MAX + 1];
	uint32_t generation;
	struct site_access access;
	bool allow_devices, root_squash, show_whiteouts;
	bool paused;         /* its calls are not answered: it is being moved */
	const char *offline; /* likewise: a tree of its packages is missing; the
				reason, borrowed; NULL: it is served */
	bool tenant_offline; /* that of its tenant */
	struct site_quota quota;
	uint64_t delta_bytes, delta_files; /* of all its layers */
	unsigned int layers;               /* 1: no snapshot below */
};
/* In byte order of names; visit returns non-zero to stop, returned. */
MUST_CHECK int site_tenant_list(struct site *site,
				int (*visit)(void *ctx,
					     const struct site_tenant_info *),
				void *ctx);
MUST_CHECK int site_guest_list(struct site *site,
			       int (*visit)(void *ctx,
					    const struct site_guest_info *),
			       void *ctx);

/* What a guest, or all guests of a tenant together, may keep in deltas.  Below
 * what is there already it stops growth only.  -ENOENT. */
MUST_CHECK int site_tenant_set_quota(struct site *site, const char *tenant,
				     const struct site_quota *quota);
MUST_CHECK int site_guest_set_quota(struct site *site, const char *guest,
				    const struct site_quota *quota);
/* Whether the deletions of its packages are shown to it, as character devices
 * 0/0.  -ENOENT, or errors of a switch (site_tenant_assign). */
MUST_CHECK int site_guest_set_whiteouts(struct site *site, const char *guest,
					bool show);

/*
 * Have a guest told apart in another way: addr, listen and has_secret of the
 * options.  A secret that it has stays, unless `fresh`.  Connections decide by
 * it once, so the caller closes those there are.  -ENOENT; -ENOTUNIQ as above.
 */
MUST_CHECK int site_guest_set_access(struct site *site, const char *guest,
				     const struct site_guest_options *options,
				     bool fresh);
/*
 * Could all guests be told apart if these were so?  Nothing is changed; the
 * guests that are not named count as they are.  -ENOTUNIQ, -EINVAL, logged.
 */
struct site_guest_wish {
	const char *name; /* "tenant/guest", which may not be there yet */
	struct site_guest_options options; /* addr, listen, has_secret count */
	bool gone;
};
MUST_CHECK int site_guests_check(struct site *site,
				 const struct site_guest_wish *wishes,
				 unsigned int count);
/*
 * Have several guests told apart in other ways, at one moment and durably: all
 * of them or none, judged as above, so that they may change places.  A secret
 * that one has stays.  -ENOENT: no such guest; -ENOTUNIQ; -EINVAL: also of one
 * that is named twice, or gone.  Connections: as site_guest_set_access.
 */
MUST_CHECK int site_guests_set_access(struct site *site,
				      const struct site_guest_wish *wishes,
				      unsigned int count);
/* For the operator.  -ENOENT: no such guest, or it has none. */
MUST_CHECK int site_guest_secret(struct site *site, const char *guest,
				 struct site_secret *secret);

/*
 * --- deltas ---------------------------------------------------------------
 *
 * `guest` is "tenant/guest"; -ENOENT when there is none, or no such snapshot.
 * Each logs what was wrong.  A snapshot holds everything that was written
 * before the call, UNSTABLE bytes too; writers pause while those are synced.
 */
enum { SITE_LAYERS_MAX = 8 }; /* of one delta; for a moment one more */

/* O(1) in the size of the delta, unless it has SITE_LAYERS_MAX layers and two
 * that nobody else uses have to be merged first.  -EEXIST: the name is taken;
 * -EMLINK: there are no such two. */
MUST_CHECK int site_delta_snapshot(struct site *site, const char *guest,
				   const char *snapshot);
/* Its space comes back in the background: what the layers above hide. */
MUST_CHECK int site_delta_snapshot_remove(struct site *site, const char *guest,
					  const char *snapshot);
struct site_snapshot {
	char name[PACKAGE_NAME_MAX + 1];
	struct timespec time;
	uint64_t bytes, files; /* of the layers below it, its own too */
};
/* In byte order of names; visit returns non-zero to stop, returned. */
MUST_CHECK int site_delta_snapshots(struct site *site, const char *guest,
				    int (*visit)(void *ctx,
						 const struct site_snapshot *),
				    void *ctx);
/* Back to a snapshot, or (NULL) to an empty delta.  What was changed since is
 * lost; handles of objects that are not there then are stale.  -EEXIST: it has
 * changes of files of packages or profiles that have changed since, which
 * nobody could see; nothing has changed. */
MUST_CHECK int site_delta_restore(struct site *site, const char *guest,
				  const char *snapshot);
/* A new guest of the same tenant whose delta begins as a snapshot of `from`,
 * or (NULL) as it is now.  O(1) then.  -EXDEV: another tenant; -EEXIST: `to`
 * is there, or as for a restore; -EMLINK. */
MUST_CHECK int site_delta_clone(struct site *site, const char *from,
				const char *snapshot, const char *to,
				const struct site_guest_options *options);

enum site_change {
	SITE_CHANGE_ADDED = 'A',
	SITE_CHANGE_MODIFIED = 'M', /* bytes, or replaced by another object */
	SITE_CHANGE_DELETED = 'D',
	SITE_CHANGE_RENAMED = 'R',
	SITE_CHANGE_META = 'm', /* attributes only */
};
struct site_delta_change {
	enum site_change kind;
	const char *path;    /* from the root, without a leading slash */
	const char *from;    /* RENAMED: the path it has in the packages; of
				another link to a package's object likewise */
	const char *package; /* whose it is (attribute.h); NULL: nobody's */
	uint32_t mode_before, mode; /* st_mode; 0 where there is none */
	uint64_t size;              /* now, bytes */
	uint64_t delta_bytes;       /* of it in the delta */
};
/*
 * What the delta changes of the packages, in byte order of names within each
 * directory, each name's directory behind it.  What was changed of a renamed
 * object is told too, behind its RENAMED; a replaced or deleted directory is
 * told once; a whiteout of the guest's own overlay is DELETED.  Root is "". The
 * lock is dropped between directories and while visit runs, which must not call
 * site_...(); non-zero stops, returned.  -ENOENT; -EIO, or -ELOOP (a directory
 * below itself): damage.
 */
MUST_CHECK int site_delta_diff(struct site *site, const char *guest,
			       int (*visit)(void *ctx,
					    const struct site_delta_change *),
			       void *ctx);

/*
 * What a delta changes, path by path, as a tree would say it: what was renamed
 * is there whole at its new place, and its old one is DELETED.  Directories
 * come before what is in them; of a replaced directory all is told.
 */
struct site_object {
	enum site_change kind; /* never RENAMED */
	const char *path;      /* root: "" */
	const char *package;   /* whose it is; NULL: nobody's */
	struct view_attr attr; /* of what is there; not of DELETED ones */
	uint32_t mode_before;  /* of what the packages have there, or 0 */
	uint64_t base_id;      /* its content-and-attribute id, or 0 */
	bool opaque;           /* a directory that hides what they have there */
	const char *link;      /* a path told before with the same file; or */
	const char *target;    /* of a symbolic link, no NUL at the end */
	size_t target_len;
	struct view *view; /* the overlay's own; as site */
	struct site *site;
};
/*
 * As the delta is now, or (snapshot) was then; writers pause for a moment.
 * Visit may call site_object_data, but no other site_...(); non-zero stops,
 * returned.  -ENOENT, -EMLINK (as of a snapshot), -EIO.
 */
MUST_CHECK int
site_delta_objects(struct site *site, const char *guest, const char *snapshot,
		   int (*visit)(void *ctx, const struct site_object *),
		   void *ctx);
/* All bytes of a regular file, in order; may wait for upstreams.  take's
 * non-zero ends it and is returned. */
typedef int site_take_fn(void *ctx, const void *data, size_t len);
MUST_CHECK int site_object_data(const struct site_object *object,
				site_take_fn *take, void *ctx);

/*
 * Give up what the delta has changed of one software (attribute.h; "": of
 * nobody's), each change told first as site_delta_diff does; the rest stays,
 * and the guest goes on.  visit may be NULL.  *left: changes that could not be
 * undone, since others are in or over them.  -ENOENT, -EIO.
 */
MUST_CHECK int site_delta_reset_package(
    struct site *site, const char *guest, const char *package, bool dry_run,
    int (*visit)(void *ctx, const struct site_delta_change *), void *ctx,
    uint64_t *left);

/*
 * --- profiles ---------------------------------------------------------------
 *
 * A profile is a package (of a tree that a delta gave) that one guest has in
 * front of its tenant's: between those and its delta.
 */

/* How a guest gets, or loses, one. */
struct site_profile_how {
	enum site_policy policy; /* PACKAGE: the profile's is seen */
	bool dry_run;
	/* The guest's own changes of what changes; may be NULL. */
	site_guest_conflict_fn *conflict;
	void *ctx;
	/* out: */
	bool changed; /* it was not so before */
	unsigned int conflicts, kept, superseded, restored;
};
/*
 * Give a guest a profile, in front of those it has; one of the same name gives
 * way to it in its place.  Seen at once, durable.  -ENOENT: no such guest;
 * -EACCES: its tenant may not have it; -EEXIST: changes of the guest are in the
 * way, each told, and the policy refuses them; -ENOSPC: SITE_OWN_MAX.
 */
MUST_CHECK int site_profile_apply(struct site *site, const char *guest,
				  const struct package_info *profile,
				  struct site_profile_how *how);
/* Take it away: the guest sees what it saw before.  -ESRCH: it has none of that
 * name. */
MUST_CHECK int site_profile_detach(struct site *site, const char *guest,
				   const char *name,
				   struct site_profile_how *how);
/* Those of a guest, the first wins; of one that there is not: none. */
MUST_CHECK int site_guest_own(struct site *site, const char *guest,
			      int (*visit)(void *ctx,
					   const struct package_info *package),
			      void *ctx);

/* What its packages had where a profile changes something. */
struct site_profile_base {
	enum site_change kind;
	uint64_t id; /* content and attributes */
	const char *path;
};
/* What a profile would do at a path of a guest, and what it meets there. */
struct site_profile_path {
	const char *path;
	enum site_change kind;  /* of the profile */
	uint32_t mode;          /* what it brings, 0: it deletes */
	uint32_t now_mode;      /* what the guest's packages have, 0: nothing */
	bool differs;           /* that is not what it was made over */
	enum site_change guest; /* the guest's own change there, 0: none */
};
/* base: in byte order of paths.  visit's non-zero ends it, returned; it must
 * not call site_...(). */
MUST_CHECK int site_profile_look(
    struct site *site, const char *guest, const struct package_info *profile,
    const struct site_profile_base *base, size_t base_count,
    int (*visit)(void *ctx, const struct site_profile_path *), void *ctx);

/*
 * Say whose a path of this guest is, with all below it (package NULL: unsay);
 * durable.  -EINVAL: no path; -ESRCH: the guest has no such package; -ENOSPC:
 * too many.  *changed: it was not so before.
 */
MUST_CHECK int site_delta_assign(struct site *site, const char *guest,
				 const char *path, const char *package,
				 bool *changed);
/* What was said, in byte order of paths; non-zero stops, returned. */
MUST_CHECK int site_delta_assigned(struct site *site, const char *guest,
				   int (*visit)(void *ctx, const char *path,
						const char *package),
				   void *ctx);

struct site_delta_figures {
	uint64_t files, names;       /* records looked at */
	uint64_t bytes;              /* of data */
	uint64_t problems, warnings; /* told */
};
/* Compare records, names, link counts, presence bits and host files.  tell()
 * gets a sentence for each problem (or warning); 0 also when there are some. */
MUST_CHECK int site_delta_verify(struct site *site, const char *guest,
				 void (*tell)(void *ctx, bool problem,
					      const char *what),
				 void *ctx, struct site_delta_figures *figures);

/*
 * A delta as one stream (overlay/delta_stream.h draws it), from a snapshot or
 * (NULL) as it is now.  fd: a regular file or a pipe, borrowed.
 */
MUST_CHECK int site_delta_export(struct site *site, const char *guest,
				 const char *snapshot, int fd);
/* Give a guest the delta of a stream in place of its own.  The stream must come
 * from a guest of a tenant with the same key and selection: -EXDEV otherwise.
 * -EBADMSG: damaged; -EPROTONOSUPPORT: of a newer format. */
MUST_CHECK int site_delta_import(struct site *site, const char *guest, int fd);

/*
 * --- moving a guest -------------------------------------------------------
 *
 * On the source: pause, export, and when the destination has it, forget (or
 * resume).  While it is paused its calls are neither carried out nor answered;
 * pausing outlives a restart; a pause that fails (-EIO: what was written cannot
 * be synced) leaves it as it was.  On the destination: import makes the guest,
 * with its export id, keys, counters and reply records, paused until
 * site_guest_pause(false).  The tenant is made when it is missing; -EXDEV when
 * it has another key or selection, -EEXIST when guest or export id is taken,
 * -ENOENT when a package is neither here nor upstream, -EACCES when the tenant
 * may not have one of them, or of the guest's profiles, here.
 */
MUST_CHECK int site_guest_pause(struct site *site, const char *guest,
				bool pause);
MUST_CHECK int site_guest_export(struct site *site, const char *guest, int fd);
/* name: holds SITE_EXPORT_PATH_MAX bytes; "tenant/guest" of what came. */
MUST_CHECK int site_guest_import(struct site *site, int fd, char *name);
/* The guest and its delta are gone, and its handles stale.  -EBUSY: it is not
 * paused and `force` is false. */
MUST_CHECK int site_guest_remove(struct site *site, const char *guest,
				 bool force);

/* What guests have touched so far is in the state database, for whoever reads
 * starts there (depot/plan_rows.h). */
void site_save_starts(struct site *site);

/*
 * --- what points at trees --------------------------------------------------
 *
 * Every tree of every generation that is kept, and every tree that a record of
 * a delta has as its base, whosever it is.  Texts are borrowed for the call.
 */
struct site_tree_user {
	struct digest tree;
	/* of a generation: */
	const char *tenant; /* NULL: of a delta, or a guest's own */
	uint32_t generation;
	bool current; /* the tenant's newest */
	const struct package_info *package;
	/* of a guest that has the package as a profile: "tenant/guest" */
	const char *guest; /* NULL: of another kind */
	/* of a delta: "tenant/guest" or "tenant/guest@snapshot"; one that is
	 * just going has no name left: "" */
	const char *delta;
	/* a switch has taken files of it away, whose handles are still good
	 * (overlay/past.h); tenant NULL, delta "" */
	bool past;
};
/* Visit returns non-zero to stop, which is returned.  -EBADMSG: a record is
 * damaged, so that not all is known.  May scan for seconds; no lock is held. */
MUST_CHECK int site_tree_users(struct site *site,
			       int (*visit)(void *ctx,
					    const struct site_tree_user *user),
			       void *ctx);
/* Forget the generations of all tenants, but the current ones, that have this
 * revision under this name and tag (tag "": under any).  *count: how many. */
MUST_CHECK int site_forget_generations(struct site *site,
				       const struct digest *revision,
				       const char *name, const char *tag,
				       unsigned int *count);

/* Wait until everything replied as stable is on disk; before exit. */
void site_quiesce(struct site *site);

#endif
