/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: asks the daemon through its admin API (nfsd/control.h), HTTP over a
 * UNIX socket.
 *
 * A failure is told in a struct failure, in words for the operator; the code
 * returned is only there to go up.
 */
#ifndef ADMIN_CLIENT_H
#define ADMIN_CLIENT_H

#include <jansson.h>
#include <stdio.h>

#include "admin/output.h"
#include "depot/base.h"

enum {
	CLIENT_TIMEOUT_SEC = 60,
	/* A request that may wait for an upstream: 5 min is the depot's. */
	CLIENT_TIMEOUT_LONG_SEC = 400,
	/* One that reads or writes a whole delta. */
	CLIENT_TIMEOUT_STREAM_SEC = 86400,
	CLIENT_PATH_MAX = 8192,
};

struct client;

/*
 * socket NULL: $VDRIVE_SOCKET, else root's /run/vdrive/vdrive.sock, else
 * $XDG_RUNTIME_DIR/vdrive.sock, else ~/.local/state/vdrive/vdrive.sock.
 * timeout_sec 0: the defaults above.  NULL: no memory.  Does not connect.
 */
struct client *client_new(const char *socket, unsigned int timeout_sec);
void client_free(struct client *client); /* takes; NULL allowed */
const char *client_socket(const struct client *client);

/* What to ask.  Query parameters are escaped by the client. */
struct client_query {
	const char *key, *value; /* value NULL: left out */
};
struct client_request {
	const char *method, *path;
	struct client_query query[16]; /* to the first key NULL */
	const void *body; /* borrows; POST */
	size_t body_len;
	bool is_long;	  /* may wait for an upstream */
	bool must_finish; /* an interrupt does not end it */
	bool is_stream;	  /* may take as long as a delta is large */
	FILE *in;  /* borrows; POST: the body is what it holds, to its end */
	FILE *out; /* borrows; an answer that is no failure goes there */
};

/* The answer's bytes, malloc'ed, one NUL byte added; with `out`: none, and
 * *reply_len how many have gone there.  -EPIPE: `out` takes no more. */
MUST_CHECK int client_call(struct client *client,
			   const struct client_request *request, void **reply,
			   size_t *reply_len, struct failure *failure);
/* The answer as a JSON object; the caller's reference. */
MUST_CHECK int client_json(struct client *client,
			   const struct client_request *request, json_t **json,
			   struct failure *failure);

#endif
