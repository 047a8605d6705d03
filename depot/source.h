/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: one upstream seen through one transport.  A vtable, because there
 * are several real kinds, of which some can be written too: a depot is pushed
 * through the same door as it is read.
 *
 * A source moves bytes and proves nothing.  It keeps no account of health and
 * does not try twice: upstream.h and fetch.h do.  Thread-safe; calls block.
 * Paths are relative to the depot's root and come from layout.h.
 *
 * Errors, all with the reason in fault->text:
 *   -ENOENT       the object is not there, or may not be had (404, 403)
 *   -EBADMSG      an answer that does not fit the question: wrong length, no
 *                 such range, a redirect, a Content-Encoding
 *   -EFBIG        longer than asked for
 *   -EHOSTUNREACH no answer, or "later" (429, 5xx); worth another try
 *   -ECANCELED    source_stop() was called, or source_stop_get() and it is a
 *                 get, or the watch's cancel was set
 *   -ENOMEM
 * and of those that write:
 *   -EEXIST       create: the object is there
 *   -EACCES       not allowed: permissions, or the key does not fit
 *   -ENOSPC       the other side is full, or the quota is
 */
#ifndef DEPOT_SOURCE_H
#define DEPOT_SOURCE_H

#include <stdatomic.h>

#include "depot/base.h"

enum { SOURCE_FAULT_MAX = 512 };

struct source_fault {
	char text[SOURCE_FAULT_MAX]; /* "GET http://...: 503" */
	unsigned int retry_after_s;  /* the server's wish, or 0 */
	bool denied;  /* -ENOENT because we may not have it (401, 403) */
	bool partial; /* -ENOENT of this range: others of the object may do */
};

/*
 * A range may take long: who asked can look on, and can end it.  Each call has
 * a watch of its own.
 */
struct source_watch {
	/* Set by anybody, at any time: the call returns -ECANCELED soon. */
	atomic_bool cancel;
	/* [0, len) of the bytes asked for are in `buf`; called by the thread
	 * that asked, now and then, len never falling. */
	void (*landed)(struct source_watch *watch, size_t len);
	/* Set before the call returns: so much of its time went into a
	 * connection that it made first. */
	unsigned int connect_ms;
};

struct source; /* each kind embeds it as its first member */

struct source_ops {
	/* Whole object of at most `max` bytes; malloc'ed, a NUL added. */
	int (*get)(struct source *source, const char *path, size_t max,
		   void **buf, size_t *len, struct source_fault *fault);
	/* Exactly [off, off + len) of an object, len > 0. */
	int (*range)(struct source *source, const char *path, uint64_t off,
		     size_t len, void *buf, struct source_fault *fault);
	/* The same, watched.  NULL where a kind cannot: a call of range then
	 * ends when it ends. */
	int (*range_watched)(struct source *source, const char *path,
			     uint64_t off, size_t len, void *buf,
			     struct source_watch *watch,
			     struct source_fault *fault);
	/* Make calls under way return soon; may be NULL. */
	void (*stop)(struct source *source);
	/* Likewise, but only get: ranges go on.  NULL where it ends soon by
	 * itself. */
	void (*stop_get)(struct source *source);
	void (*free)(struct source *source); /* takes source */

	/* --- these are NULL where a kind cannot be written ------------------
	 *
	 * Whole object, replaced at once: a reader sees the old one or the new,
	 * and after 0 the new one survives a crash of the other side, as far as
	 * its kind can promise that.  Directories are made as needed. */
	int (*put)(struct source *source, const char *path, const void *bytes,
		   size_t len, struct source_fault *fault);
	/* The same, of [0, len) of a file. */
	int (*put_file)(struct source *source, const char *path, int fd,
			uint64_t len, struct source_fault *fault);
	/* The same of one that is not there yet; -EEXIST when it is.  Of two
	 * callers at once one gets 0: a lock can be made of it.  Their bytes
	 * must differ: some kinds tell callers apart by them. */
	int (*create)(struct source *source, const char *path,
		      const void *bytes, size_t len,
		      struct source_fault *fault);
	/* -ENOENT, or 0 where a kind can't tell (S3), when it is not there. */
	int (*remove)(struct source *source, const char *path,
		      struct source_fault *fault);
	/*
	 * Names directly below `dir` ("" is the root), in no order, without
	 * those of puts that were never finished; a directory's name ends in
	 * '/', its len is 0.  A `dir` that is not there is empty.  visit
	 * returns non-zero to stop, which is returned; names are the other
	 * side's: check them before use.
	 */
	int (*list)(struct source *source, const char *dir,
		    int (*visit)(void *ctx, const char *name, uint64_t len),
		    void *ctx, struct source_fault *fault);
};

struct source {
	const struct source_ops *ops;
};

/* How to get there, besides the URL.  Borrowed for the call; NULL: none. */
struct source_options {
	const char *credentials; /* path of a file; read at each start */
	const char *endpoint;    /* of S3: http(s)://HOST[:PORT] */
	const char *region;      /* of S3 */
	const char *ca_file;     /* PEM, instead of the host's own CAs */
	const char *proxy;       /* http://HOST:PORT; never by environment */
};

/*
 * url:
 *   dir:/ABSOLUTE/PATH                 read and written
 *   http://HOST[:PORT][/PATH], https:  read
 *   s3://BUCKET[/PREFIX]               read and written
 *   nfs://HOST[:PORT]/PATH[?nfsport=N&mountport=N&version=3]
 *                                      read and written; without ports the
 *                                      port mapper is asked; with one, MOUNT
 *                                      is there too unless it has its own
 *   vdrive://HOST:PORT/[UPSTREAM]      read: another host's vdrived; all that
 *                                      it has, unsigned, or what it has of one
 *                                      upstream, with its signed documents
 * Nothing is asked yet.  options may be NULL.  -EINVAL: not such a URL, one
 * with user, query or fragment, or an option that this kind has no use for.
 */
MUST_CHECK int source_new(const char *url, const struct source_options *options,
			  struct source **source);

/* What a person calls a URL's kind: "directory", "http", "s3", "nfs", "peer";
 * "" for none.  Static. */
const char *source_kind(const char *url);

/* The first of the options that a URL has no use for ("region"), or NULL. */
const char *source_option_unfit(const char *url,
				const struct source_options *options);

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

static inline void source_stop_get(struct source *source)
{
	if (source->ops->stop_get)
		source->ops->stop_get(source);
}

/* The kinds; `rest` is what follows "dir:", `url` the whole. */
MUST_CHECK int source_dir_new(const char *rest, struct source **source);
MUST_CHECK int source_peer_new(const char *rest,
			       const struct source_options *options,
			       struct source **source);
MUST_CHECK int source_nfs_new(const char *rest, struct source **source);
MUST_CHECK int source_s3_new(const char *rest,
			     const struct source_options *options,
			     struct source **source);
MUST_CHECK int source_http_new(const char *url,
			       const struct source_options *options,
			       struct source **source);

#endif
