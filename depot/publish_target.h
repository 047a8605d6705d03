/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_target: the depot at rest that a push writes, through a source that
 * can be written (source.h), with a few tries a request.  Failures are logged
 * with what was asked and why.  Not thread-safe.
 */
#ifndef DEPOT_PUBLISH_TARGET_H
#define DEPOT_PUBLISH_TARGET_H

#include "depot/base.h"
#include "depot/source.h"

struct publish_target;

/* source, and url, which names it in messages, are borrowed.  -EOPNOTSUPP: it
 * cannot be written (logged). */
MUST_CHECK int publish_target_new(struct source *source, const char *url,
				  struct publish_target **target);
void publish_target_free(struct publish_target *target); /* NULL allowed */
const char *publish_target_url(const struct publish_target *target);

/* Malloc'ed, a NUL added.  -ENOENT is not logged. */
MUST_CHECK int publish_target_get(struct publish_target *target,
				  const char *path, size_t max, void **bytes,
				  size_t *len);
MUST_CHECK int publish_target_put(struct publish_target *target,
				  const char *path, const void *bytes,
				  size_t len);
/* -EEXIST, not logged: it is there.  -EOPNOTSUPP, not logged: that kind, or
 * that server, cannot tell. */
MUST_CHECK int publish_target_create(struct publish_target *target,
				     const char *path, const void *bytes,
				     size_t len);
/* What is not there is no failure. */
MUST_CHECK int publish_target_remove(struct publish_target *target,
				     const char *path);
MUST_CHECK int
publish_target_list(struct publish_target *target, const char *dir,
		    int (*visit)(void *ctx, const char *name, uint64_t len),
		    void *ctx);
/*
 * Is an object there, and how long is it?  -ENOENT.  Its directory is listed
 * once, and then remembered, till publish_target_forget(): so this is for what
 * never changes under a name.
 */
MUST_CHECK int publish_target_len(struct publish_target *target,
				  const char *path, uint64_t *len);
void publish_target_forget(struct publish_target *target);

/* Says that what an object holds is refused, and why; returns rc. */
int publish_target_refused(const struct publish_target *target,
			   const char *path, int rc);

#endif
