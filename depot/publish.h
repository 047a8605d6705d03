/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: write revisions into a depot at rest (design 9), a directory of
 * plain files that any web server, CDN or file share can carry:
 *
 *   depot.json                  root document, written last
 *   tags/NAME.json              tag document of a package (document.h)
 *   revisions/HH/HEX            canonical JSON, HH = first two digits
 *   trees/HH/HEX                tree box
 *   index/TREEHEX-N             where the shards lie, N = 1, 2, ...
 *   packs/HH/HEX                shards in tree order
 *   plans/TREEHEX-N             in which order they are wanted (plan.h), N as
 *                               of the index; may be missing
 *   private/NAME/...            the same of a private package (tree_salt), for
 *                               a web server to guard: tags.json, revisions,
 *                               trees, index, packs; NAME is not in depot.json
 *
 *   publisher.lock              while somebody publishes (publish_lock.h)
 *   unused.json                 what publish_clean() will remove, and when
 *
 * Content never changes under a name except tags, depot.json, unused.json, and
 * plans, which are hints.
 * Order of writing: packs, index, tree, revision, then tags, then depot.json,
 * each replaced at once; a reader never sees a name that is not there.  A push
 * packs only what no index of the depot lists; one that was interrupted has
 * left packs that nobody names, which the next one finds by their names and
 * does not send again.
 *
 * Two at once: all but tags and root never meet.  These are written under the
 * lock by who finds the generation in depot.json as it was when the push began,
 * or else has looked again.
 *
 * Signing: what a push writes is signed by its key, and so is what was there
 * and is written again with it.  So that nobody's words get a signature they
 * should not have, a push with a key refuses documents that this key has not
 * signed, unless it is told to adopt them; and one without a key refuses signed
 * ones, which its successors nobody would take.
 */
#ifndef DEPOT_PUBLISH_H
#define DEPOT_PUBLISH_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/digest.h"
#include "depot/source.h"
#include "depot/tree.h"

enum { PUBLISH_PACK_MAX = 64 << 20 }; /* bytes; a pack ends before it */

struct publish_package {
	const char *name, *tag;
	const char *revision_json; /* canonical */
	struct digest revision;
	struct tree *tree; /* borrows */
	const void *plan;  /* borrows; bytes of plan_write(); NULL: none */
	size_t plan_len;
	/* Who may be given it, of all packages of the name; borrows.  NULL: as
	 * the depot says, everybody when it says nothing. */
	const struct package_entitled *entitled;
};

struct publish {
	struct source *source; /* borrows */
	const char *url;       /* borrows; names it in messages */
	int level;             /* of compression: SHARD_LEVEL_PUBLISH */
	const struct sign_key *secret; /* borrows; NULL: unsigned */
	bool adopt;                    /* sign what others have written */
	int64_t expires_sec;           /* of what is written; 0: never */
	bool repack; /* what lies for more than half in others' packs */
	bool verify; /* prove all packs that are there, and mend them */
	/* A shard of a tree as stored, malloc'ed; 0 or -errno. */
	int (*get_shard)(void *ctx, struct tree *tree, uint32_t shard,
			 void **bytes, size_t *len);
	/* May be NULL. */
	void (*progress)(void *ctx, uint64_t bytes_done, uint64_t bytes_total);
	/* A line for the operator; may be NULL. */
	void (*say)(void *ctx, const char *text);
	/* true: give up (-EINTR); may be NULL. */
	bool (*stop)(void *ctx);
	void *ctx;
	/* out */
	uint32_t packs_new, revisions_new, repacked;
	uint32_t packs_there; /* that an interrupted push had sent, ... */
	uint64_t bytes_there; /* ... and their bytes */
	uint64_t pack_bytes_new, shards_new, shards_there;
	/* of verify: packs proved, found bad, mended in place; shards that were
	 * not, and are packed anew if they are of what is pushed */
	uint32_t packs_proved, packs_bad, packs_mended;
	uint64_t shards_bad;
};

/* -EEXIST: a name would be of private and of other packages; -EPERM: signed
 * otherwise than this push would; -EPROTONOSUPPORT: a depot of a newer format;
 * -EBADMSG: its documents or indexes are damaged; -EOPNOTSUPP: that source
 * cannot be written; or those of source.h. */
MUST_CHECK int publish_push(struct publish *publish,
			    const struct publish_package *packages,
			    unsigned int count);
/* The same into a directory, an absolute path; source and url are not read. */
MUST_CHECK int publish_dir(struct publish *publish, const char *dir,
			   const struct publish_package *packages,
			   unsigned int count);

/*
 * Remove what no newest index names any more, and has not for PUBLISH_KEEP_S by
 * this host's clock: first indexes that a newer one has replaced, then packs.
 * What is found unnamed for the first time is noted in unused.json and stays.
 * Of `publish` only source, url, secret, adopt, say and stop are read.
 */
enum { PUBLISH_KEEP_S = 7 * 86400 };
struct publish_cleaning {
	bool dry_run; /* remove and note nothing */
	/* out */
	uint32_t packs_removed, packs_kept, indexes_removed, indexes_kept;
	uint64_t bytes_removed, bytes_kept; /* kept: unnamed, but too young */
};
MUST_CHECK int publish_clean(struct publish *publish,
			     struct publish_cleaning *cleaning);

#endif
