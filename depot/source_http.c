/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_http: a depot behind any web server; also another host's vdrived,
 * which serves what it has in the same form (nfsd/peer.h).
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/http.h"
#include "depot/source.h"

struct source_http {
	struct source source;
	struct http *http; /* owns */
	char *base;        /* owns; ends in '/' */
	bool is_peer;      /* has parts of packs */
};

static struct source_http *source_http_of(struct source *source)
{
	return container_of(source, struct source_http, source);
}

static int source_http_ask(struct source *source, const char *path,
			   struct http_answer *answer,
			   struct source_watch *watch,
			   struct source_fault *fault)
{
	struct source_http *this = source_http_of(source);
	char url[HTTP_URL_MAX];
	struct http_request request = {
	    .method = "GET", .url = url, .fd = -1, .watch = watch};

	snprintf(url, sizeof(url), "%s%s", this->base, path);
	return http_call(this->http, &request, answer, fault);
}

static int source_http_get(struct source *source, const char *path, size_t max,
			   void **buf, size_t *len, struct source_fault *fault)
{
	struct http_answer answer = {.want = max};
	int rc;

	rc = source_http_ask(source, path, &answer, NULL, fault);
	if (rc < 0) {
		free(answer.buf);
		return rc;
	}
	*buf = answer.buf;
	*len = answer.len;
	return 0;
}

static int source_http_range_watched(struct source *source, const char *path,
				     uint64_t off, size_t len, void *buf,
				     struct source_watch *watch,
				     struct source_fault *fault)
{
	struct http_answer answer = {
	    .ranged = true, .off = off, .want = len, .buf = buf};

	int rc;

	ASSERT(len > 0);

	rc = source_http_ask(source, path, &answer, watch, fault);
	fault->partial = rc == -ENOENT && source_http_of(source)->is_peer;
	return rc;
}

static int source_http_range(struct source *source, const char *path,
			     uint64_t off, size_t len, void *buf,
			     struct source_fault *fault)
{
	return source_http_range_watched(source, path, off, len, buf, NULL,
					 fault);
}

static void source_http_stop(struct source *source)
{
	http_stop(source_http_of(source)->http);
}

static void source_http_stop_get(struct source *source)
{
	http_stop_get(source_http_of(source)->http);
}

static void source_http_free(struct source *source)
{
	struct source_http *this = source_http_of(source);

	http_free(this->http);
	free(this->base);
	free(this);
}

static const struct source_ops source_http_ops = {
    .get = source_http_get,
    .range = source_http_range,
    .range_watched = source_http_range_watched,
    .stop = source_http_stop,
    .stop_get = source_http_stop_get,
    .free = source_http_free,
};

int source_http_new(const char *url, const struct source_options *options,
		    struct source **source)
{
	struct http_options http_options = {
	    .ca_file = options->ca_file,
	    .proxy = options->proxy,
	    .credentials = options->credentials,
	};
	struct source_http *this;
	bool slash;
	int rc;

	this = calloc(1, sizeof(*this));
	if (!this)
		return -ENOMEM;
	this->source.ops = &source_http_ops;
	rc = http_new(url, &http_options, &this->http);
	if (rc < 0) {
		free(this);
		return rc;
	}
	slash = url[strlen(url) - 1] == '/';
	if (asprintf(&this->base, "%s%s", url, slash ? "" : "/") < 0) {
		this->base = NULL;
		source_http_free(&this->source);
		return -ENOMEM;
	}
	*source = &this->source;
	return 0;
}

/* A peer speaks HTTP: "HOST:PORT/", or "HOST:PORT/UPSTREAM" for what it has of
 * that upstream, with the upstream's own documents (shelf.h). */
int source_peer_new(const char *rest, const struct source_options *options,
		    struct source **source)
{
	size_t len = strcspn(rest, "/");
	CLEANUP_FREE char *url = NULL;
	int rc;

	const char *name = rest[len] ? rest + len + 1 : "";

	/* There is no port that everybody knows. */
	if (!memchr(rest, ':', len) || (*name && !depot_name_ok(name)))
		return -EINVAL;
	if (asprintf(&url, "http://%.*s/%s%s", (int)len, rest,
		     *name ? "upstreams/" : "", name) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	rc = source_http_new(url, options, source);
	if (rc == 0)
		source_http_of(*source)->is_peer = true;
	return rc;
}
