/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_request: what the files of control share, and nobody else sees: one
 * request and its answer, the table of routes, how failures are worded.
 *
 * Life of a request: refused or accepted by its head (peer, route, length) ->
 * its body collected -> handled -> answered -> freed.  All on the one thread of
 * control, so nothing here is locked; but a route that is ROUTE_LONG is handled
 * on a thread of its own (control_long.c) while its connection is suspended, so
 * that the request has one owner at a time.
 */
#ifndef NFSD_CONTROL_REQUEST_H
#define NFSD_CONTROL_REQUEST_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control.h"
#include "overlay/site.h"

enum { CONTROL_GUEST_MAX = 2 * PACKAGE_NAME_MAX + 1 };

struct MHD_Connection;
struct MHD_Daemon;
struct tree;

struct control_held {
	struct tree *tree; /* ref; NULL: free */
	uint64_t serial;   /* lowest is the oldest */
};

struct control {
	struct control_daemon daemon; /* its pointers are borrowed */
	struct MHD_Daemon *http;      /* owns */
	char *socket_path;            /* owns */
	int fd;                       /* owns, until http has it */
	size_t body_total;            /* bytes held by all requests */
	struct control_held held[CONTROL_TREES_HELD_MAX];
	uint64_t held_serial;
	pthread_mutex_t lock;      /* of what follows */
	pthread_cond_t idle;       /* long_count has become 0 */
	unsigned int long_count;   /* lock; long requests under way */
	atomic_uint unanswered;    /* requests, till their answer is sent */
	unsigned int long_running; /* lock; those that are not answered yet */
	bool depot_busy;           /* lock; one of them changes the depot */
	bool stopping;             /* lock; begin no more of them */
};

struct control_reply {
	unsigned int status; /* of HTTP; 0: not filled yet */
	bool is_json;
	void *bytes; /* owns; or borrowed from tree */
	size_t len;
	struct tree *tree; /* ref; NULL: bytes are malloc'ed */
	bool is_file;      /* the answer is the file `fd`, whole */
	int fd;            /* owns, when is_file */
};

struct control_request {
	struct control *control;     /* borrows */
	struct MHD_Connection *conn; /* borrows */
	const struct control_route *route;
	uint8_t *body; /* owns */
	size_t body_len, body_cap;
	bool has_file; /* the body goes to a file */
	int body_fd;   /* owns, when has_file */
	bool failed;   /* the rest of the body is thrown away */
	bool handled;  /* by a thread of its own: only send the answer */
	struct control_reply reply;
};

/*
 * A handler fills req->reply and returns 0; or returns -errno, having called
 * control_fail() or not (then the errno alone is worded).
 */
typedef int control_handler(struct control_request *req);

enum {
	ROUTE_LONG = 1,  /* on a thread of its own */
	ROUTE_FILE = 2,  /* the body goes to a file, however long */
	ROUTE_DEPOT = 4, /* changes the depot: not two at one time */
	ROUTE_NAMES = 8, /* points at trees: none is collected meanwhile */
};

struct control_route {
	const char *method, *path;
	control_handler *handle;
	size_t body_max; /* 0: no body */
	unsigned int flags;
};

/* Handlers: packages, trees, shards (control_package.c). */
control_handler control_package_list, control_package_get,
    control_package_commit, control_tree_get, control_tree_hold,
    control_shards_have, control_shards_put, control_shards_get;
/* Who may have a package (control_entitle.c). */
control_handler control_package_entitle;
/* "entitled" (this host's word) and, when its upstream says something,
 * "entitled_upstream", of a package as shown: null or an array of names. */
struct package_info;
MUST_CHECK int control_entitled_show(struct control_request *req,
				     const struct package_info *info,
				     json_t *json);
/* Leases, removal, collection (control_gc.c). */
control_handler control_lease_open, control_lease_close, control_package_remove,
    control_gc_step, control_gc_look;
/* What the depot holds, and whether it is whole (control_look.c). */
control_handler control_depot_du, control_depot_verify;
/* The data cache: pins, traces (control_cache.c). */
control_handler control_package_pin, control_cache_record;
struct depot;
struct package_info;
/* Adds "pinned" to a package as listed or shown; json NULL: nothing. */
void control_pinned(struct depot *depot, const struct package_info *info,
		    json_t *json);
/* Tenants (control_tenant.c) and what they have selected (control_assign.c). */
control_handler control_tenant_list, control_tenant_create,
    control_tenant_quota, control_tenant_remove, control_tenant_conflicts,
    control_assign, control_unassign;
/* Guests and exports (control_guest.c). */
control_handler control_guest_list, control_guest_add, control_guest_quota,
    control_guest_whiteouts, control_guest_pause, control_guest_remove,
    control_export_list;
/* How guests are told apart (control_access.c). */
control_handler control_guest_access, control_guest_check, control_guest_secret;
/* The same of several at once (control_access_all.c). */
control_handler control_guests_access;
/* The state of all (control_status.c). */
control_handler control_status;
/* A tenant's selections over time (control_generation.c). */
control_handler control_tenant_history, control_tenant_rollback,
    control_tenant_upgrade, control_package_tag;
/* Upstreams (control_upstream.c). */
control_handler control_upstream_list, control_upstream_add,
    control_upstream_set, control_upstream_test, control_upstream_remove;
/* Packages from upstreams, and the keys they are signed by (control_depot.c).
 */
control_handler control_key_list, control_key_trust, control_key_remove,
    control_pull, control_pull_shards;
/* Deltas (control_delta.c). */
control_handler control_snapshot_list, control_snapshot_add,
    control_snapshot_remove, control_delta_restore,
    control_delta_restore_change, control_delta_reset, control_delta_clone;
/* Plans, prefetching, what is resident (control_plan.c). */
control_handler control_plan_list, control_plan_show, control_plan_file,
    control_plan_publish, control_plan_record, control_plan_remove,
    control_prefetch_start, control_prefetch_ask, control_prefetch_cancel,
    control_resident;
/* What was fetched ahead, for the status; NULL: no memory. */
struct depot;
json_t *control_prefetch_json(struct depot *depot);
/* What streams (control_stream.c). */
control_handler control_delta_diff, control_delta_verify, control_delta_export,
    control_delta_import, control_guest_export, control_guest_import;

/* Whose changes are, and what a delta is path by path (control_profile.c). */
control_handler control_delta_changes, control_delta_assign,
    control_delta_assigned, control_profile_apply, control_profile_detach,
    control_delta_reset_package;

/* Hand a request to a thread of its own; its connection is suspended.  -EAGAIN
 * (answered): too many, or the daemon is ending.  control_long.c */
MUST_CHECK int control_long_start(struct control_request *req);
/* May a request that changes the depot run now?  -EAGAIN (answered). */
MUST_CHECK int control_depot_free(struct control_request *req);
/* Begin no more, and wait for those under way; depot_hurry() has been called,
 * which ends them. */
void control_long_stop(struct control *control);
/* Is the daemon ending?  Any thread. */
bool control_is_stopping(struct control *control);

/*
 * Listen on a socket of this name, mode 0660; *fd: the caller's.  What lies
 * there and is a socket that nobody answers on goes.  -EADDRINUSE: somebody
 * does.  -ENOTSOCK: it is something else.  -ENAMETOOLONG, and what socket(2),
 * bind(2), listen(2) and unlink(2) fail with.
 */
MUST_CHECK int control_socket_open(const char *path, int *fd);
/* Handle the request, on whatever thread; its answer is filled then. */
void control_run(struct control_request *req);

/* A file without a name in the store's directory; answers a failure. */
MUST_CHECK int control_file_new(struct control_request *req, int *fd);
/* The same file as a stream to be written, the caller's. */
MUST_CHECK int control_file_stream(int fd, FILE **file);
/* A path as JSON, null for NULL.  In one that is no UTF-8 the bytes beyond
 * ASCII become '?'. */
json_t *control_path_json(const char *path);
/* Answer with a file, from its beginning.  takes fd. */
MUST_CHECK int control_answer_file(struct control_request *req, int fd);

/* Drop the held trees; for the end. */
void control_trees_drop(struct control *control);

/* Query parameter; -EINVAL (answered): missing, or longer than `max`. */
MUST_CHECK int control_param(struct control_request *req, const char *name,
			     size_t max, const char **value);
/* Query parameter that may be missing (NULL); not checked. */
const char *control_param_text(struct control_request *req, const char *name);
/* Decimal; one that is missing leaves *value as it is. */
MUST_CHECK int control_param_number(struct control_request *req,
				    const char *name, uint64_t max,
				    uint64_t *value);
/* "0" or "1"; missing is 0. */
MUST_CHECK int control_param_bool(struct control_request *req, const char *name,
				  bool *value);
/* A name of depot_name_ok(); `what`, "a tenant", is for the refusal. */
MUST_CHECK int control_param_name(struct control_request *req,
				  const char *param, const char *what,
				  const char **name);
/* "TENANT/GUEST" in form, whether or not there is one. */
MUST_CHECK int control_param_guest(struct control_request *req,
				   const char *param, const char **name);
/* The same of a guest that there is; -ENOENT (answered). */
MUST_CHECK int control_param_guest_here(struct control_request *req,
					const char *param, const char **name);
/*
 * Answer with a file that `write` makes of the delta "name" of the request, or
 * of its "snapshot", when there is one.  `what` is for the refusal: "cannot
 * WHAT of TENANT/GUEST".  A snapshot that is not there: -ENOENT (answered),
 * which is also what write says of it.
 */
typedef int control_delta_write_fn(struct control_request *req,
				   const char *name, const char *snapshot,
				   int fd);
MUST_CHECK int control_answer_delta(struct control_request *req,
				    control_delta_write_fn *write,
				    const char *what);
/* quota_bytes and quota_files; what is missing keeps its value. *given: any of
 * them was there. */
MUST_CHECK int control_param_quota(struct control_request *req,
				   struct site_quota *quota, bool *given);
bool control_quota_equal(const struct site_quota *a,
			 const struct site_quota *b);
/* {"schema", `key`: name, the quota}. */
MUST_CHECK int control_quota_answer(struct control_request *req,
				    const char *schema, const char *key,
				    const char *name,
				    const struct site_quota *quota);
/* devices and squash. */
MUST_CHECK int control_param_options(struct control_request *req,
				     struct site_guest_options *options);

/*
 * How a guest is told apart (control_access.c): addr, listen ("" for any and
 * none) and secret (0, 1, new) of a request; what is missing is as in `now`,
 * or, when that is NULL, none.  Borrows from req and now.
 */
struct listener;
struct control_access {
	struct site_guest_options options;
	bool listens;              /* options.listen counts, port 0 too: any */
	bool fresh;                /* a new secret */
	struct listener *listener; /* owns; open, and not served yet */
};
MUST_CHECK int control_param_access(struct control_request *req,
				    const struct site_access *now,
				    struct control_access *access);
/* Open the listening address, if it is another than the guest has; answers a
 * failure.  To be ended with control_listen_end(). */
MUST_CHECK int control_listen_open(struct control_request *req,
				   const char *name,
				   const struct site_access *now,
				   struct control_access *access);
/* The guest has been changed (rc 0): its address is served; or has not. */
void control_listen_end(struct control_request *req, const char *name, int rc,
			struct control_access *access);
/* What to try when a listening address cannot be opened; NULL: no idea. */
const char *control_listen_hint(int rc);
bool control_listen_same(const struct site_listen *a,
			 const struct site_listen *b);
/* The guests of a body as they shall be told apart, each by its name.  To be
 * cleared whatever the result; -EINVAL (answered), -ENOMEM. */
struct control_wishes {
	json_t *list;                 /* owns */
	struct site_guest_wish *wish; /* owns; borrows texts from list */
	unsigned int count;
};
MUST_CHECK int control_wishes_read(struct control_request *req,
				   struct control_wishes *wishes);
void control_wishes_clear(struct control_wishes *wishes);
/* What to try when two guests cannot be told apart; NULL: no idea. */
const char *control_access_hint(int rc);
/* addr, listen and secret (a bool) to a row; with a name secret_path too, which
 * is for nobody but the operator. */
MUST_CHECK int control_access_json(struct control_request *req,
				   const char *name,
				   const struct site_access *access,
				   json_t *json);
/* {"schema", "guest", and all of that} */
MUST_CHECK int control_access_answer(struct control_request *req,
				     const char *schema, const char *name);
/* All about one guest; -ENOENT, not answered. */
MUST_CHECK int control_guest_find(struct control_request *req, const char *name,
				  struct site_guest_info *info);
struct sign_key;
MUST_CHECK int control_param_key(struct control_request *req,
				 struct sign_key *key); /* "key" */
struct package_ref;
MUST_CHECK int control_param_ref(struct control_request *req, const char **text,
				 struct package_ref *ref); /* "ref" */
/* The package that ref, written `text`, names.  It is refused when it is not in
 * this depot; what was answered. */
struct package_info;
MUST_CHECK int control_package_of(struct control_request *req, const char *text,
				  const struct package_ref *ref,
				  struct package_info *info);
/* A package as the listing has it; NULL: no memory. */
json_t *control_package_json(const struct package_info *info);
struct digest;
MUST_CHECK int control_param_digest(struct control_request *req,
				    const char *name, struct digest *digest);

/* Answer with JSON.  takes json (NULL: no memory).  0 or -ENOMEM. */
MUST_CHECK int control_answer(struct control_request *req, json_t *json);
/* Answer with bytes.  takes bytes, malloc'ed. */
MUST_CHECK int control_answer_bytes(struct control_request *req, void *bytes,
				    size_t len);
/* Append to the list `ctx` in a visitor.  takes json. */
MUST_CHECK int control_append(void *ctx, json_t *json);
/* Answer with a list that was gathered with result `rc`.  takes list. */
MUST_CHECK int control_answer_list(struct control_request *req, int rc,
				   const char *schema, const char *key,
				   json_t *list);
/* New document with "schema"; NULL: no memory. */
json_t *control_document(const char *schema);

/*
 * Answer that the request failed: "WHAT: CAUSE", the cause being the text of
 * this thread's last log_err(), else errno's words.  `hint`, what to type, may
 * be NULL.  Returns rc.
 */
int control_fail(struct control_request *req, int rc, const char *hint,
		 const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same with the cause in the text. */
int control_refuse(struct control_request *req, int rc, const char *hint,
		   const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What to try when it is another host's depot that fails; NULL: no idea. */
const char *control_depot_hint(int rc);
struct upstream_info;
/* A visitor of depot_upstream_list: a row to the list `ctx`. */
MUST_CHECK int control_upstream_visit(void *ctx,
				      const struct upstream_info *info);
/* Add a list to the answer of a failure.  takes list. */
void control_fail_list(struct control_request *req, const char *key,
		       json_t *list);

/* "2026-11-22T14:02:11Z"; NULL for 0 and out of memory. */
json_t *control_time(int64_t sec);

#endif
