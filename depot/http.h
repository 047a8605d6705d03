/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: requests to one web server, by libcurl; this floor's only includer of
 * it.  Kinds of sources that speak HTTP stand on it.
 *
 * What the operator gave is where requests go: no redirect, no proxy by
 * environment, no .netrc.  Credentials are sent to the scheme, host and port
 * that the http was made for and to nobody else.  TLS is always verified, 1.2
 * or later; HTTP/2 where the server offers it.  Handles are kept and used
 * again, so that connections are.
 *
 * Patience: 5 s to connect; a peer that is gone is found by the kernel in
 * HTTP_DEAD_MS, so one that is only slow may take its time, but not below
 * 1 KiB/s for HTTP_SLOW_S on end (HTTP_SLOW_WHOLE_S for whole objects, which
 * nobody watches).  Each new connection asks for the address; while the
 * resolver has none, the last good one serves for an hour.
 *
 * Thread-safe; calls block.
 */
#ifndef DEPOT_HTTP_H
#define DEPOT_HTTP_H

#include "depot/http_answer.h"
#include "depot/source.h"

enum {
	HTTP_URL_MAX = 2048,
	HTTP_HEADERS_MAX = 4,
};

struct http;

struct http_options {
	const char *ca_file, *proxy; /* or NULL; borrowed for the call */
	const char *credentials; /* path of a file (credentials.h), or NULL */
	/* "aws:amz:REGION:s3": sign with the credentials; NULL: HTTP basic. */
	const char *sign;
};

/*
 * base: "http[s]://HOST[:PORT]/" and perhaps more; each request's URL begins
 * with its scheme, host and port.  -EINVAL: no such URL, or one with user,
 * query or fragment; a proxy that is none.
 */
MUST_CHECK int http_new(const char *base, const struct http_options *options,
			struct http **http);
void http_free(struct http *http); /* takes; NULL allowed */
/* Requests under way return soon, new ones -ECANCELED. */
void http_stop(struct http *http);
/* The same of those that get whole objects; ranges go on. */
void http_stop_get(struct http *http);

struct http_request {
	const char *method;                    /* "GET", "PUT", "DELETE" */
	const char *url;                       /* borrows */
	const char *headers[HTTP_HEADERS_MAX]; /* borrows; to the first NULL */
	/* What is sent; bytes NULL and fd -1: nothing. */
	const void *bytes; /* borrows */
	int fd;            /* borrows; read from 0 on */
	uint64_t len;
	struct source_watch *watch; /* borrows; of a ranged one; NULL: none */
};

/*
 * One request; `answer` has its question filled and gets the rest.  0: a
 * success that fits.  Errors are those of source.h, in fault; what was refused
 * by its status is in answer->status and answer->error.
 */
MUST_CHECK int http_call(struct http *http, const struct http_request *request,
			 struct http_answer *answer,
			 struct source_fault *fault);

/* "METHOD URL: why" into fault->text; returns rc. */
int http_fault(struct source_fault *fault, int rc, const char *method,
	       const char *url, const char *why);

/* Is it "http[s]://HOST[:PORT][/PATH]", and nothing that is a secret? */
bool http_url_ok(const char *url);

#endif
