/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: one upstream seen through one transport.  A vtable, because there
 * are several real kinds: source_dir.c, source_http.c.
 *
 * A source moves bytes and proves nothing.  It keeps no account of health and
 * does not try twice: upstream.h and fetch.h do.  Thread-safe; calls block.
 *
 * Errors, all with the reason in fault->text:
 *   -ENOENT       the object is not there, or may not be had (404, 403)
 *   -EBADMSG      an answer that does not fit the question: wrong length, no
 *                 such range, a redirect, a Content-Encoding
 *   -EFBIG        longer than asked for
 *   -EHOSTUNREACH no answer, or "later" (429, 5xx); worth another try
 *   -ECANCELED    source_stop() was called
 *   -ENOMEM
 */
#ifndef DEPOT_SOURCE_H
#define DEPOT_SOURCE_H

#include "depot/base.h"

enum { SOURCE_FAULT_MAX = 512 };

struct source_fault {
	char text[SOURCE_FAULT_MAX]; /* "GET http://...: 503" */
	unsigned int retry_after_s;  /* the server's wish, or 0 */
};

struct source; /* each kind embeds it as its first member */

struct source_ops {
	/* Whole object of at most `max` bytes; malloc'ed, a NUL added. */
	int (*get)(struct source *source, const char *path, size_t max,
		   void **buf, size_t *len, struct source_fault *fault);
	/* Exactly [off, off + len) of an object, len > 0. */
	int (*range)(struct source *source, const char *path, uint64_t off,
		     size_t len, void *buf, struct source_fault *fault);
	/* Make calls under way return soon; may be NULL. */
	void (*stop)(struct source *source);
	void (*free)(struct source *source); /* takes source */
};

struct source {
	const struct source_ops *ops;
};

/*
 * url: dir:/ABSOLUTE/PATH, http://HOST[:PORT][/PATH] or https://...  Nothing is
 * asked yet.  -EINVAL: not such a URL, or one with user, query or fragment.
 */
MUST_CHECK int source_new(const char *url, struct source **source);

static inline void source_free(struct source *source)
{
	if (source)
		source->ops->free(source);
}

static inline void source_stop(struct source *source)
{
	if (source->ops->stop)
		source->ops->stop(source);
}

/* The kinds; `rest` is what follows "dir:", `url` the whole. */
MUST_CHECK int source_dir_new(const char *rest, struct source **source);
MUST_CHECK int source_http_new(const char *url, struct source **source);

#endif
