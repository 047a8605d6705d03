/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture_view: a depot with packages and a site with guests, in a directory of
 * the test's own; and the operations of a view as calls that wait until they
 * are done and stable, as a guest sees them.
 */
#ifndef TESTS_LIB_FIXTURE_VIEW_H
#define TESTS_LIB_FIXTURE_VIEW_H

#include <pthread.h>
#include <sys/stat.h>

#include "depot/depot.h"
#include "overlay/site.h"
#include "overlay/view.h"

enum { FIXTURE_CHUNK = 40000 }; /* bytes of a chunk, unless told */

struct fixture {
	char *dir; /* owns */
	struct depot *depot;
	struct site *site;
	size_t chunk_len;          /* of files that packages are made of */
	unsigned int pool_threads; /* of the depot when it is opened next */
};

/* Everything here that is void aborts the test program when it fails. */
void fixture_open(struct fixture *fx);
void fixture_close(struct fixture *fx);
/* Close and open the site, and with `depot` the store below it. */
void fixture_restart(struct fixture *fx, bool depot);
/* The site; returns the view of red/vm1. */
struct view *fixture_again(struct fixture *fx);

/* Keep a thread of the pool busy; all that wait for it wait, when there is but
 * one.  fixture_unblock returns when the thread is free. */
struct fixture_block {
	struct pool_job job;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open, gone;
};
void fixture_block(struct fixture *fx, struct fixture_block *block);
void fixture_unblock(struct fixture_block *block);

/* Open what lies in fx->dir, after fixture_close. */
void fixture_reopen(struct fixture *fx);
/* Go on with a copy of the store as it is at this moment, as after the death of
 * the process: nothing is closed in it.  `block` is undone when the copy is
 * made; NULL: none. */
void fixture_crash(struct fixture *fx, struct fixture_block *block);

/* --- packages and guests ------------------------------------------------- */

/* One object of a package.  By mode: type and permissions. */
struct fixture_entry {
	const char *path;
	uint32_t mode;
	const char *text; /* a file's content, a link's target */
	size_t len;       /* without text: so many bytes of check_fill(seed) */
	uint64_t seed;
	uint32_t uid, gid;
	const char *link_to; /* hard link to an entry above it */
	size_t hole;         /* zeros behind the content that are no shard */
	bool whiteout, opaque;
};

void fixture_package(struct fixture *fx, const char *name, const char *tag,
		     const struct fixture_entry *entries, size_t count,
		     struct package_info *info);
/* A tree alone, its shards put into the depot unless that is NULL; reference
 * is the caller's. */
struct tree *fixture_tree(struct depot *depot, size_t chunk_len,
			  const struct fixture_entry *entries, size_t count);
/* Tenant "red" with these packages, guest "red/vm1"; returns its view. */
struct view *fixture_guest(struct fixture *fx,
			   const struct package_info *packages,
			   unsigned int count);
/* All of it at once: opened, one package NAME:1 of these entries, one guest. */
struct view *fixture_one(struct fixture *fx, const char *name,
			 const struct fixture_entry *entries,
			 unsigned int count);
struct view *fixture_view(struct fixture *fx, const char *path);

/* --- one call ------------------------------------------------------------ */

struct fixture_call {
	struct view_wait wait;
	struct view_change change;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken, settled;
	int rc; /* of settled() */
	unsigned int waits;
};
void fixture_call_init(struct fixture_call *call);
void fixture_call_end(struct fixture_call *call);
/* Wait for wake(); always true: while (... == -EINPROGRESS && ...). */
bool fixture_call_woken(struct fixture_call *call);
/* Wait for settled() when it is to come.  Returns rc, or what settled said. */
int fixture_call_done(struct fixture_call *call, int rc);

/* --- operations ---------------------------------------------------------- */

extern const struct view_cred fixture_root;  /* uid 0 */
extern const struct view_cred fixture_user;  /* 1000:1000, groups 2000 2001 */
extern const struct view_cred fixture_other; /* 1001:1001 */

struct view_object fixture_object(const struct view_attr *attr);
bool fixture_attr_same(const struct view_attr *a, const struct view_attr *b);
/* Walk from the root as uid 0: 0 or the errno of the first failure. */
int fixture_walk(struct view *view, const char *path, struct view_attr *attr);
/* The same, must succeed. */
struct view_object fixture_find(struct view *view, const char *path);
struct view_attr fixture_attr(struct view *view, const char *path);

int fixture_lookup(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   struct view_attr *attr);
/* Reads all of the range, however many READs that takes; *len: in, out. */
int fixture_read(struct view *view, const struct view_cred *cred,
		 struct view_object obj, uint64_t off, void *buf, size_t *len,
		 bool *eof);
/* Outputs may be NULL in all of these. */
int fixture_write(struct view *view, const struct view_cred *cred,
		  struct view_object obj, uint64_t off, const void *data,
		  size_t len, bool stable, struct view_done *done);
int fixture_commit(struct view *view, struct view_object obj);
int fixture_setattr(struct view *view, const struct view_cred *cred,
		    struct view_object obj, const struct view_setattr *set,
		    struct view_done *done);
int fixture_resize(struct view *view, struct view_object obj, uint64_t size);
int fixture_create(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   enum view_create_how how, const struct view_setattr *set,
		   uint64_t verifier, struct view_done *done);
/* GUARDED, as `cred`, with this mode; the object made. */
int fixture_touch(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  struct view_object *obj);
/* That in the root, by root, with 0644; a test that fails when it is not made.
 */
struct view_object fixture_touched(struct view *view, const char *name);
int fixture_mkdir(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  struct view_object *obj);
int fixture_mknod(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  uint32_t major, uint32_t minor, struct view_done *done);
int fixture_symlink(struct view *view, const struct view_cred *cred,
		    struct view_object dir, const char *name,
		    const char *target, struct view_done *done);
int fixture_link(struct view *view, const struct view_cred *cred,
		 struct view_object obj, struct view_object dir,
		 const char *name, struct view_done *done);
int fixture_remove(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   struct view_done *done);
int fixture_rmdir(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name,
		  struct view_done *done);
int fixture_rename(struct view *view, const struct view_cred *cred,
		   struct view_object from_dir, const char *from,
		   struct view_object to_dir, const char *to,
		   struct view_done *done);

/* --- listings and contents ----------------------------------------------- */

enum { FIXTURE_LIST_MAX = 4096 };

struct fixture_dirent {
	uint64_t cookie, fileid;
	uint32_t generation;
	char name[VIEW_NAME_MAX + 1];
	struct view_attr attr; /* when asked for */
};
struct fixture_list {
	struct fixture_dirent *entries; /* owns; "." and ".." too */
	size_t count;
	size_t page; /* entries a call; 0 all */
	bool want_attr, eof;
};
/* Add the entries after `cookie`: one call, or, with page set, as many as it
 * takes.  Also checks that cookies rise. */
int fixture_list(struct view *view, const struct view_cred *cred,
		 struct view_object dir, uint64_t cookie,
		 struct fixture_list *list);
void fixture_list_clear(struct fixture_list *list);
const struct fixture_dirent *fixture_list_find(const struct fixture_list *list,
					       const char *name);
/* Names without "." and "..", sorted by bytes, with a space between. */
char *fixture_names(struct view *view, const char *path); /* owned by caller */
bool fixture_names_are(struct view *view, const char *path, const char *want);

/* Has the file exactly this content?  Says what differs on stderr. */
bool fixture_content_is(struct view *view, struct view_object obj,
			const void *want, size_t len);
/* The same for bytes of check_fill(seed). */
bool fixture_content_filled(struct view *view, struct view_object obj,
			    size_t len, uint64_t seed);

/* Host files of deltas in the store. */
size_t fixture_host_files(const struct fixture *fx);

#endif
