/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the admin API of vdrived, HTTP/1.1 on a UNIX socket (mode 0660; the
 * caller's uid must be root's or the daemon's own).  admin/ is its client.
 *
 * Answers are JSON but where "bytes" is said.  Success is 200.  A failure is
 *   {"error":{"code":N,"message":"...","try":"...","conflicts":[...]}}
 * with code = the exit code that the CLI ends with (CONTROL_EXIT_*), and HTTP
 * status 400, 403, 404, 405, 409, 413, 502, 503, 507 or 500.  "message" names
 * the object and the cause; "try" and "conflicts" may be missing.
 *
 *   GET  /v1/status                       schema "status/1"
 *   GET  /v1/packages                     schema "package-list/1"
 *   GET  /v1/package?ref=REF              one of them, with revision_json
 *   POST /v1/packages?name=N&tag=T&tree=HEX   body: revision JSON
 *                                         {"revision":HEX,"created":BOOL};
 *                                         409: the tag names another revision
 *   GET  /v1/tree?digest=HEX              bytes: the tree file
 *   POST /v1/tree                         body: the tree file (at most
 *                                         CONTROL_TREE_MAX); held until the
 *                                         package that names it is committed;
 *                                         the oldest of more than
 *                                         CONTROL_TREES_HELD_MAX is dropped
 *   POST /v1/shards/have                  body: names, 32 bytes each;
 *                                         bytes: '0' or '1' for each
 *   POST /v1/shards/put                   body: frames (below); {"added":N,
 *                                         "bytes_added":N}
 *   POST /v1/shards/get?tree=HEX          body: shard numbers, u32 LE each, at
 *                                         most CONTROL_GET_MAX; bytes: frames
 *                                         in that order
 *   GET  /v1/tenants                      schema "tenant-list/1"
 *   POST /v1/tenants?name=N
 *   POST /v1/assign?tenant=N&order=0|1    body: REFs, one a line
 *                                         {"generation":N,"conflicts":[...]};
 *                                         409: nothing changed, "conflicts"
 *   GET  /v1/guests                       schema "guest-list/1"
 *   POST /v1/guests?name=T/G&addr=A&devices=0|1&squash=0|1
 *   GET  /v1/exports                      schema "export-list/1"
 *   GET  /v1/upstreams                    schema "upstream-list/1"
 *   POST /v1/upstreams?name=N&url=U&unsigned=0|1
 *   POST /v1/upstreams/remove?name=N
 *
 * A frame is: shard name (32 bytes), length (u32 LE), the shard as stored.
 * Bodies are at most CONTROL_BODY_MAX bytes.  A parameter that is missing or
 * out of form is 400; unknown ones are ignored.  Times are RFC 3339.
 */
#ifndef NFSD_CONTROL_H
#define NFSD_CONTROL_H

#include "depot/base.h"

enum {
	CONTROL_BODY_MAX = 64 << 20,
	CONTROL_TREE_MAX = 512 << 20, /* a tree of 3 million files */
	CONTROL_BODIES_MAX = 768 << 20, /* of all requests at one time */
	CONTROL_TREES_HELD_MAX = 16,
	CONTROL_GET_MAX = 256, /* shards of one /v1/shards/get */
	CONTROL_CONFLICTS_MAX = 1000, /* told of one assign */
	CONTROL_FRAME_HEADER = 36,
};

/* Exit codes of vdrive (operators.md b.5), also the "code" of errors. */
enum control_exit {
	CONTROL_EXIT_OK = 0,
	CONTROL_EXIT_FAILED = 1,
	CONTROL_EXIT_USAGE = 2,
	CONTROL_EXIT_PARTIAL = 3,
	CONTROL_EXIT_MISSING = 4,
	CONTROL_EXIT_CONFLICT = 5,
	CONTROL_EXIT_NOT_PERMITTED = 6,
	CONTROL_EXIT_NO_DAEMON = 10,
	CONTROL_EXIT_LOCKED = 11,
	CONTROL_EXIT_UPSTREAM = 12,
	CONTROL_EXIT_BAD_CONTENT = 13,
	CONTROL_EXIT_NO_SPACE = 14,
	CONTROL_EXIT_INTERRUPTED = 130,
};

struct control;
struct depot;
struct site;
struct server;

/* Figures of the daemon that control shows; nfsd.c fills it. */
struct control_daemon {
	struct depot *depot;
	struct site *site;
	struct server *server;	  /* for connection and call counts */
	const char *listen;	  /* "127.0.0.1:2049" as bound */
	int64_t start_time_sec;
};

/* Listen on the socket and serve on a thread of its own.  A socket file that
 * nobody answers on is replaced; -EADDRINUSE: a living daemon holds it. */
MUST_CHECK int control_start(const char *socket_path,
			     const struct control_daemon *daemon,
			     struct control **control);
void control_stop(struct control *control); /* takes; NULL allowed */

#endif
