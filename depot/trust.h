/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust: whose signatures this host takes for an upstream, and what it has seen
 * of it, so that nobody can show it an older state again (T-25).
 *
 * Of each upstream that is not --unsigned, rows of the state database
 * (store.h) keep the trusted keys, and for the root document and each package:
 * the highest number accepted, with the digest of what had that number, and the
 * depot it was of.  They are written in the batch that makes a package known.
 *
 * The clock.  Expiry is judged by the highest time this host has ever seen:
 * the wall clock, but never less than the highest one noted on disk, plus what
 * has passed since the start by the clock that nobody sets (CLOCK_BOOTTIME).
 * So a clock that is stepped back revives nothing, in this process or after a
 * restart.  The price is that a clock that was once far ahead makes documents
 * expire early; an operator who trusts a key (again) also says that the clock
 * is right now, and the noted time becomes the clock's.
 *
 * Thread-safe.  Refusals are -EBADMSG and logged with "upstream NAME: PATH: ",
 * the cause, and what to try where there is something.
 */
#ifndef DEPOT_TRUST_H
#define DEPOT_TRUST_H

#include "depot/base.h"
#include "depot/document.h"
#include "depot/kv.h"

struct trust;

/* `state` is borrowed till trust_free. */
MUST_CHECK int trust_new(struct kv *state, struct trust **trust);
void trust_free(struct trust *trust); /* takes; NULL allowed */

/* --- keys ---------------------------------------------------------------- */

MUST_CHECK int trust_keys(struct kv *state, const char *upstream,
			  struct sign_keys *keys);
/* Durable.  -ENOSPC: SIGN_KEYS_MAX. */
MUST_CHECK int trust_add(struct trust *trust, const char *upstream,
			 const struct sign_key *key);
/* -ENOENT: it is not trusted; -EBUSY: it is the last one. */
MUST_CHECK int trust_remove(struct trust *trust, const char *upstream,
			    const struct sign_key *key);
/* Put into a batch: key is the only one, and the clock is right (key NULL: no
 * key at all). */
MUST_CHECK int trust_begin(struct trust *trust, struct kv_batch *batch,
			   const char *upstream, const struct sign_key *key);
/* By upstream, then key; visit returns non-zero to stop, which is returned. */
struct trust_key {
	char upstream[PACKAGE_NAME_MAX + 1];
	struct sign_key key;
	int64_t time_sec; /* since when */
};
MUST_CHECK int trust_list(struct trust *trust,
			  int (*visit)(void *ctx, const struct trust_key *row),
			  void *ctx);

/* --- documents ----------------------------------------------------------- */

/*
 * Prove and read a root document: a trusted key's signature, the depot that was
 * seen before, not expired, not older.  `is_new`: any depot will do, and what
 * was seen of another one counts no more (upstream add).
 */
MUST_CHECK int trust_root(struct trust *trust, const char *upstream,
			  const struct sign_keys *keys, bool is_new,
			  const char *text, size_t len, struct root_doc *root);
/* The same of the tag document of `package`, which lies at `path`, of the depot of `root` and no
 * older than it says. */
MUST_CHECK int trust_tags(struct trust *trust, const char *upstream,
			  const char *path, const char *package, const struct root_doc *root,
			  const char *text, size_t len, struct tag_doc *tags);
/* Note what was accepted, and the time.  tags NULL: none. */
void trust_accept(struct trust *trust, struct kv_batch *batch,
		  const char *upstream, const struct root_doc *root,
		  const struct tag_doc *tags);
/* The same when an upstream is added: of another depot than before, nothing
 * that was seen counts any more. */
MUST_CHECK int trust_anew(struct trust *trust, struct kv_batch *batch,
			  const char *upstream, const struct root_doc *root);

/* Seconds since 1970 as described above. */
int64_t trust_now(struct trust *trust);

#endif
