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
 *   GET  /v1/package?ref=REF              one of them, with revision_json, and
 *                                         entitled: null or tenants
 *   POST /v1/packages?name=N&tag=T&tree=HEX   body: revision JSON
 *                                         {"revision":HEX,"created":BOOL};
 *                                         409: the tag names another revision
 *   POST /v1/packages/entitle?name=N      body: "all", "none" or tenants,
 *                                         "red,blue": who may be given the
 *                                         packages of that name
 *   GET  /v1/tree?digest=HEX              bytes: the tree file
 *   POST /v1/tree                         body: the tree file (at most
 *                                         CONTROL_TREE_MAX); held until the
 *                                         package that names it is committed;
 *                                         the oldest of more than
 *                                         CONTROL_TREES_HELD_MAX is dropped
 *   POST /v1/packages/remove?ref=N:T&force=0|1&dry_run=0|1
 *                                         schema "package-remove/1"; 409: it is
 *                                         in use, "conflicts" says by whom.
 *                                         force: generations that are not
 *                                         current and have it are forgotten
 *   POST /v1/leases                       {"lease":N}: what have and put under
 *                                         it find or leave is not collected
 *                                         until it is closed, or nothing came
 *                                         for 15 minutes
 *   POST /v1/leases/close?lease=N&named=0|1
 *                                         named: a package has it all now
 *   POST /v1/shards/have[?lease=N]        body: names, 32 bytes each;
 *                                         bytes: '0' or '1' for each
 *   POST /v1/shards/put[?salt=HEX][&lease=N]
 *                                         body: frames (below), of a private
 *                                         package with its salt; {"added":N,
 *                                         "bytes_added":N}; 410: no such lease
 *   POST /v1/shards/get?tree=HEX          body: shard numbers, u32 LE each, at
 *                                         most CONTROL_GET_MAX; bytes: frames
 *                                         in that order
 *   POST /v1/depot/gc[?step=SHARDS]       a step of the collection (long):
 *                                         schema "depot-gc/1"; again until
 *                                         "done"
 *   GET  /v1/depot/gc?from=HEX[&step=N]   what a step would take, nothing is
 *                                         changed (long); again from "position"
 *   GET  /v1/depot/du?by=package|tenant   schema "depot-du/1" (long)
 *   POST /v1/depot/verify?from=HEX&repair=0|1&files=0|1
 *                                         body: REFs, one a line; none: all.  A
 *                                         step (long): schema "depot-verify/1",
 *                                         again from "next" until "done"; with
 *                                         files the tree files and indexes
 *                                         instead, at once
 *   GET  /v1/tenants                      schema "tenant-list/1"
 *   POST /v1/tenants?name=N[&QUOTA]
 *   POST /v1/tenants/quota?name=N&QUOTA
 *   POST /v1/tenants/remove?name=N&dry_run=0|1
 *                                         {"generations":N,"entitlements":N}
 *                                         of what goes; 409: it has guests
 *   POST /v1/assign?tenant=N&order=0|1    body: REFs, one a line
 *                                         {"generation":N,"conflicts":[...],
 *                                         "notes":[...]}: the latter are
 *                                         directories that packages have with
 *                                         different attributes, never refused;
 *                                         409: nothing changed, "conflicts"
 *   GET  /v1/guests                       schema "guest-list/1"
 *   POST /v1/guests?name=T/G&devices=0|1&squash=0|1&whiteouts=0|1[&WHO]
 *        [&QUOTA]                         409: it exists with other options; or
 *                                         it and another guest could not be
 *                                         told apart; or a listening address
 *                                         is somebody's.  What guests/secret
 *                                         answers
 *   POST /v1/guests/quota?name=T/G&QUOTA
 *   POST /v1/guests/whiteouts?name=T/G&show=0|1
 *   POST /v1/guests/access?name=T/G&WHO
 *                                         how it is told apart; what is left
 *                                         out stays; its connections are closed
 *   POST /v1/guests/access/all            body: as for check, none gone: all of
 *                                         them are told apart so, at one
 *                                         moment, or none; {"guests":N}
 *   POST /v1/guests/check                 body: a JSON list of {"guest":T/G,
 *                                         "gone":BOOL,"addr":A,"listen":L,
 *                                         "secret":BOOL}: could all be told
 *                                         apart if these were so?  409: no
 *   GET  /v1/guests/secret?name=T/G       schema "guest-secret/1": addr, listen
 *                                         and, if it has one, secret_path
 *   POST /v1/guests/pause?name=T/G&pause=0|1
 *   GET  /v1/guests/export?name=T/G       bytes (long): guest and delta; 409:
 *                                         it is not paused
 *   POST /v1/guests/import                body: such a stream (long);
 *                                         {"guest":T/G,"paused":true}
 *   POST /v1/guests/remove?name=T/G&force=0|1
 *                                         409: not paused, and force is 0; its
 *                                         connections are closed
 *   GET  /v1/exports                      schema "export-list/1"
 *   GET  /v1/snapshots?name=T/G           schema "snapshot-list/1"
 *   POST /v1/snapshots?name=T/G&snapshot=S
 *                                         409: the name is taken, or there are
 *                                         as many as delta.snapshots allows
 *   POST /v1/snapshots/remove?name=T/G&snapshot=S
 *   POST /v1/delta/restore?name=T/G&snapshot=S
 *   POST /v1/delta/reset?name=T/G         the delta is empty then
 *   POST /v1/delta/reset/package?name=T/G&package=NAME&dry_run=0|1
 *                                         (long) its changes of one software
 *                                         go ("": of nobody's): schema
 *                                         "delta-reset-package/1"
 *   POST /v1/delta/clone?from=T/G[&snapshot=S]&name=T/NEW and what guests take
 *   GET  /v1/delta/diff?name=T/G          bytes (long): a JSON object a line,
 *                                         {"kind":"A|M|D|R|m","path":P,
 *                                         "from":P,"package":NAME|null,
 *                                         "mode_before":N,"mode":N,"size":N,
 *                                         "delta_bytes":N}; in names that are
 *                                         no UTF-8 '?' for the bytes beyond
 *                                         ASCII
 *   GET  /v1/delta/changes?name=T/G[&snapshot=S]
 *                                         bytes (long): path by path, as
 *                                         site.h's site_delta_objects; "OBJECT"
 *                                         below
 *   GET  /v1/delta/assigned?name=T/G      schema "delta-assigned/1"
 *   POST /v1/delta/assign?name=T/G&path=P[&package=NAME]
 *                                         whose a path is; without package it
 *                                         is unsaid; {"changed":BOOL}
 *   POST /v1/profiles/apply?profile=NAME&guest=T/G&dry_run=0|1
 *                                         [&conflicts=fail|keep|profile]
 *                                         schema "profile-apply/1": what it
 *                                         brings, and in "conflicts" the paths
 *                                         where the guest's packages or it
 *                                         itself have another thing than the
 *                                         profile was made over, in "own" the
 *                                         guest's changes of files that change;
 *                                         409: such (fail), or the latter
 *                                         without keep or profile
 *   POST /v1/profiles/detach?profile=NAME&guest=T/G&dry_run=0|1
 *                                         [&conflicts=keep|profile]
 *   GET  /v1/delta/verify?name=T/G        (long) schema "delta-verify/1", with
 *                                         CONTROL_FINDINGS_MAX findings at most
 *   GET  /v1/delta/export?name=T/G[&snapshot=S]
 *                                         bytes (long): the stream
 *   POST /v1/delta/import?name=T/G        body: a stream (long)
 *   GET  /v1/keys                         schema "key-list/1"
 *   POST /v1/keys?upstream=U&key=HEX      trust a key; 403: U is --unsigned
 *   POST /v1/keys/remove?upstream=U&key=HEX
 *                                         409: it is the last one
 *   POST /v1/pull?ref=REF[&from=U]        (long) take a package over; it, as
 *                                         the listing has it
 *   POST /v1/pull/shards?tree=HEX&first=N (long) fetch what is missing of up to
 *                                         CONTROL_PULL_MAX shards from N on,
 *                                         durably when these are the last:
 *                                         {"next":N,"fetched":N,"here":N}
 *   GET  /v1/plans                        schema "plan-list/1": of each package
 *   GET  /v1/plans/show?ref=REF           schema "plan-show/1": the same and
 *                                         "order", shard numbers
 *   GET  /v1/plans/file?ref=REF           bytes: the plan that a push takes
 *   POST /v1/plans/publish?ref=REF        schema "plan/1"; 409: fewer than 3
 *                                         guests
 *   POST /v1/plans/record?ref=REF&guest=T/G
 *   POST /v1/plans/remove?ref=REF[&starts=1]
 *   POST /v1/prefetch?ref=REF[&what=plan|all][&tenant=T]
 *                                         (long) schema "prefetch/1" with "id":
 *                                         begun; 404: no plan, what=plan
 *   GET  /v1/prefetch?id=N                how far it is
 *   POST /v1/prefetch/cancel?id=N
 *   GET  /v1/resident[?guest=T/G|?ref=REF]
 *                                         (long) schema "package-resident/1"
 *   GET  /v1/upstreams                    schema "upstream-list/1"
 *   POST /v1/upstreams?name=N&url=U&unsigned=0|1[&key=HEX]&ACCESS
 *                                         403: neither, and no key is trusted
 *   POST /v1/upstreams/set?name=N&ACCESS  what is left out stays as it is
 *   GET  /v1/upstreams/test?name=N        (long) schema "upstream-test/1"
 *   POST /v1/upstreams/remove?name=N
 *
 * ACCESS is credentials, endpoint, region, ca, proxy and priority (depot.h,
 * struct upstream_access), an empty one for none.
 *
 * WHO is addr=A, listen=ADDRESS:PORT (port 0: any), each empty for any and
 * none, and secret=0|1|new, a secret path; what is left out stays as it is.
 *
 * QUOTA is quota_bytes=N and quota_files=N, 0 for no limit; what is left out
 * stays as it is (of a new guest: delta.quota).
 *
 * OBJECT is a line of JSON,
 *   {"kind":"A|M|m|D","path":P,"package":NAME|null,"mode":N,"mode_before":N,
 *    "uid":N,"gid":N,"mtime":N,"mtime_nsec":N,"rdev_major":N,"rdev_minor":N,
 *    "base":HEX16|"","opaque":BOOL,"nlink":N,"link":P|null,
 *    "target":TEXT|null,"size":N}
 * and of a regular file its bytes behind it.  Path, link and
 * target are as control_path_escape() writes them.  The last line is
 * {"end":true,"over":["name:tag sha256:HEX",...],"objects":N}.
 *
 * All are served by one thread, one at a time, in order of arrival, but those
 * that are called long: these have a thread of their own each, at most
 * CONTROL_LONG_MAX at one time (503 beyond), so that the others go on.  What
 * waits all the same: an assign or anything else that asks an upstream makes
 * all others wait for it; verbs that change guests wait in the overlay for each
 * other; and while a guest is imported, which may take packages over, requests
 * that change the depot are refused with 503.  When the daemon is ending, long
 * requests end, too, with 503: nothing has been changed by them, but of a reset
 * of one software's changes a part may have been done.
 *
 * Bytes of a stream go through a file without a name in the store's directory,
 * both ways, so they are bounded by its free space only.
 *
 * A frame is: shard name (32 bytes), length (u32 LE), the shard as stored.
 * Other bodies are at most CONTROL_BODY_MAX bytes.  A parameter that is missing
 * or out of form is 400; unknown ones are ignored.  Times are RFC 3339.
 */
#ifndef NFSD_CONTROL_H
#define NFSD_CONTROL_H

#include "depot/base.h"

enum {
	CONTROL_BODY_MAX = 64 << 20,
	CONTROL_TREE_MAX = 512 << 20,   /* a tree of 3 million files */
	CONTROL_BODIES_MAX = 768 << 20, /* of all requests at one time */
	CONTROL_TREES_HELD_MAX = 16,
	CONTROL_GET_MAX = 256,        /* shards of one /v1/shards/get */
	CONTROL_PULL_MAX = 512,       /* of one /v1/pull/shards */
	CONTROL_CONFLICTS_MAX = 1000, /* told of one assign */
	CONTROL_FINDINGS_MAX = 1000,  /* told of one verify */
	CONTROL_LONG_MAX = 4,         /* long requests at one time */
	CONTROL_FRAME_HEADER = 36,
	CONTROL_RECORDS_MAX = 15 << 20, /* text of a revision's records */
};

/* The tag of a profile, which no other package may have. */
#define CONTROL_PROFILE_TAG "profile"

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

/*
 * A path as text: control characters and '%' are %XX, and when the whole is no
 * UTF-8 so are all bytes beyond ASCII; it can be read back.  Malloc'ed; NULL:
 * no memory, or (unescape) no such text.
 */
char *control_path_escape(const char *text, size_t len);
char *control_path_unescape(const char *text);

struct control;
struct depot;
struct site;
struct server;

/* Figures of the daemon that control shows; nfsd.c fills it. */
struct control_daemon {
	struct depot *depot;
	struct site *site;
	struct server *server; /* for connection and call counts */
	const char *listen;    /* "127.0.0.1:2049" as bound */
	int64_t start_time_sec;
	const char *store_path;     /* for files without a name */
	uint64_t quota_bytes;       /* of new guests; 0: no limit */
	unsigned int snapshots_max; /* of a guest */
	unsigned int gc_keep_s;     /* a tree after its last pointer */
};

/* Listen on the socket and serve on a thread of its own.  A socket file that
 * nobody answers on is replaced; -EADDRINUSE: a living daemon holds it. */
MUST_CHECK int control_start(const char *socket_path,
			     const struct control_daemon *daemon,
			     struct control **control);
void control_stop(struct control *control); /* takes; NULL allowed */

#endif
