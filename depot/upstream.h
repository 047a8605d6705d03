/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream: the upstream depots of this host: their list, kept in the state
 * database, and requests to them, with an account of how they went.
 *
 * Errors of requests are those of source.h; error texts begin with "upstream
 * NAME: " and hold URL, reason, and tries.  Thread-safe.
 */
#ifndef DEPOT_UPSTREAM_H
#define DEPOT_UPSTREAM_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/kv.h"
#include "depot/source.h"

struct trust;
struct upstreams;
/* Reference counted; lives on when it is removed or replaced, but its requests
 * end then: -ECANCELED. */
struct upstream;

enum { UPSTREAMS_MAX = 64, UPSTREAM_TRIES = 3 };

/* `state` is borrowed till upstreams_close. */
MUST_CHECK int upstreams_open(struct kv *state, struct upstreams **upstreams);
/* Requests under way return soon, new ones -ECANCELED. */
void upstreams_stop(struct upstreams *upstreams);
/* The same of upstream_get, one that is just being added too; ranges go on. */
void upstreams_stop_get(struct upstreams *upstreams);
void upstreams_close(struct upstreams *upstreams); /* takes; NULL allowed */

/* See depot_upstream_set, _remove and _list. -ENOSPC: UPSTREAMS_MAX. */
MUST_CHECK int upstreams_add(struct upstreams *upstreams,
			     const struct upstream_spec *spec);
MUST_CHECK int upstreams_remove(struct upstreams *upstreams, const char *name);
MUST_CHECK int upstreams_list(struct upstreams *upstreams,
			      int (*visit)(void *ctx,
					   const struct upstream_info *info),
			      void *ctx);

struct trust *upstreams_trust(struct upstreams *upstreams); /* borrowed */

/* Rises with each change of the list. */
unsigned int upstreams_generation(struct upstreams *upstreams);
/* With a reference for the caller; NULL: none of that name. */
struct upstream *upstreams_find(struct upstreams *upstreams, const char *name);
/* All, in order of names, each with a reference; their number. */
unsigned int upstreams_all(struct upstreams *upstreams,
			   struct upstream *all[UPSTREAMS_MAX]);
/* One more reference, and upstream. */
struct upstream *upstream_ref(struct upstream *upstream);
void upstream_put(struct upstream *upstream); /* NULL allowed */

const char *upstream_name(const struct upstream *upstream);
bool upstream_is_unsigned(const struct upstream *upstream);
/* Of those that do equally well the highest is to be asked first. */
unsigned int upstream_priority(const struct upstream *upstream);
void upstream_tell(struct upstream *upstream, struct upstream_info *info);

/*
 * Is there a depot, one that we can read, and whose?  Puts into the batch what
 * is trusted and seen from now on; see depot_upstream_set.  upstream_probe.c
 */
struct kv_batch;
MUST_CHECK int upstream_probe(struct upstream *upstream, struct kv *state,
			      struct trust *trust,
			      const struct upstream_spec *spec,
			      struct kv_batch *batch);

/* See depot_upstream_test; upstream_test.c. */
void upstream_test(struct upstream *upstream, struct upstream_test *result);

/*
 * Get a whole object, with `tries` (1..) while the upstream does not answer.
 * Logs nothing: fault->text is the whole text.
 */
MUST_CHECK int upstream_get(struct upstream *upstream, const char *path,
			    size_t max, unsigned int tries, void **buf,
			    size_t *len, struct source_fault *fault);
/* One try, exactly these bytes. */
MUST_CHECK int upstream_range(struct upstream *upstream, const char *path,
			      uint64_t off, size_t len, void *buf,
			      struct source_fault *fault);
/* The same, looked at (source.h) as far as its kind lets itself be. */
MUST_CHECK int upstream_range_watched(struct upstream *upstream,
				      const char *path, uint64_t off,
				      size_t len, void *buf,
				      struct source_watch *watch,
				      struct source_fault *fault);
/* Can it tell of bytes as they come? */
bool upstream_can_watch(const struct upstream *upstream);
/* The caller ended a request that did not answer: it counts as such. */
void upstream_note_silent(struct upstream *upstream,
			  const struct source_fault *fault);

#endif
