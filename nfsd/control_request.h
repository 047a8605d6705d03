/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_request: what the files of control share, and nobody else sees: one
 * request and its answer, the table of routes, how failures are worded.
 *
 * Life of a request: refused or accepted by its head (peer, route, length) ->
 * its body collected -> handled -> answered -> freed.  All on the one thread
 * of control, so nothing here is locked.
 */
#ifndef NFSD_CONTROL_REQUEST_H
#define NFSD_CONTROL_REQUEST_H

#include <jansson.h>

#include "nfsd/control.h"

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
	char *socket_path;	      /* owns */
	int fd;			      /* owns, until http has it */
	size_t body_total;	      /* bytes held by all requests */
	struct control_held held[CONTROL_TREES_HELD_MAX];
	uint64_t held_serial;
};

struct control_reply {
	unsigned int status; /* of HTTP; 0: not filled yet */
	bool is_json;
	void *bytes;	   /* owns; or borrowed from tree */
	size_t len;
	struct tree *tree; /* ref; NULL: bytes are malloc'ed */
};

struct control_request {
	struct control *control;     /* borrows */
	struct MHD_Connection *conn; /* borrows */
	const struct control_route *route;
	uint8_t *body; /* owns */
	size_t body_len, body_cap;
	bool failed; /* the rest of the body is thrown away */
	struct control_reply reply;
};

/*
 * A handler fills req->reply and returns 0; or returns -errno, having called
 * control_fail() or not (then the errno alone is worded).
 */
typedef int control_handler(struct control_request *req);

struct control_route {
	const char *method, *path;
	control_handler *handle;
	size_t body_max; /* 0: no body */
};

/* Handlers: packages, trees, shards (control_package.c). */
control_handler control_package_list, control_package_get,
	control_package_commit, control_tree_get, control_tree_hold,
	control_shards_have, control_shards_put, control_shards_get;
/* Tenants, guests, exports, upstreams, status (control_site.c). */
control_handler control_tenant_list, control_tenant_create, control_assign,
	control_guest_list, control_guest_add, control_export_list,
	control_upstream_list, control_upstream_add, control_upstream_remove,
	control_status;

/* Drop the held trees; for the end. */
void control_trees_drop(struct control *control);

/* Query parameter; -EINVAL (answered): missing, or longer than `max`. */
MUST_CHECK int control_param(struct control_request *req, const char *name,
			     size_t max, const char **value);
/* Query parameter that may be missing (NULL); not checked. */
const char *control_param_text(struct control_request *req, const char *name);
/* "0" or "1"; missing is 0. */
MUST_CHECK int control_param_bool(struct control_request *req, const char *name,
				  bool *value);
struct digest;
MUST_CHECK int control_param_digest(struct control_request *req,
				    const char *name, struct digest *digest);

/* Answer with JSON.  takes json (NULL: no memory).  0 or -ENOMEM. */
MUST_CHECK int control_answer(struct control_request *req, json_t *json);
/* Answer with bytes.  takes bytes, malloc'ed. */
MUST_CHECK int control_answer_bytes(struct control_request *req, void *bytes,
				    size_t len);
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
/* Add a list to the answer of a failure.  takes list. */
void control_fail_list(struct control_request *req, const char *key,
		       json_t *list);

/* "2026-11-22T14:02:11Z"; NULL for 0 and out of memory. */
json_t *control_time(int64_t sec);

#endif
