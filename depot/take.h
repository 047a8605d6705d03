/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take: take a package over from an upstream: its tag document says which
 * revision, tree and index; each is read, proved, and kept durably; then one
 * synced state batch makes the package known.  Blocks on the network.
 *
 * A private package lies below a directory of its own there (layout.h), which
 * is looked into when the upstream has no tags of that name for everybody.
 *
 * Of an upstream that is not --unsigned, root and tag document are proved as
 * trust.h says, and what was accepted is noted in that batch.  Of an --unsigned
 * one a tag document that is expired or older than one seen before is only
 * warned about.
 */
#ifndef DEPOT_TAKE_H
#define DEPOT_TAKE_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/index.h"
#include "depot/kv.h"
#include "depot/trust.h"
#include "depot/upstream.h"

/*
 * `root` is the host's store.  *tree: the digest of the tree that was taken.
 * -ENOENT: the upstream has no such package, tag or revision;
 * -EACCES: it has, or may have, but not for this host; -EHOSTUNREACH;
 * -EBADMSG, -EPROTONOSUPPORT: its bytes are not what they claim.  Nothing is
 * known of the package then.
 */
MUST_CHECK int take_package(struct kv *state, const char *root,
			    struct trust *trust, struct upstream *upstream,
			    const struct package_ref *ref, struct digest *tree);

/* Read a tree that came from `upstream`, and is damaged or missing here, again
 * and keep it.  private: the package below whose directory it lies there, or
 * NULL.  *opened: a reference for the caller. */
MUST_CHECK int take_tree_again(const char *root, struct upstream *upstream,
			       const char *private, const struct digest *tree,
			       struct tree **opened);

/*
 * Read the newest index of a tree that came from `upstream` again, one try a
 * request, and keep it.  *index: a reference for the caller.
 */
MUST_CHECK int take_index_again(struct kv *state, const char *root,
				struct upstream *upstream,
				const struct tree *tree, struct index **index);

/*
 * The same of an upstream that the tree did not come from, if it has it as
 * well; kept apart.  -ENOENT, quietly: it has not.
 */
MUST_CHECK int take_index_beside(struct kv *state, const char *root,
				 struct upstream *upstream,
				 const struct tree *tree, struct index **index);
/* The one that was kept.  -ENOENT, -EBADMSG. */
MUST_CHECK int take_index_kept(const char *root, const char *upstream,
			       const struct tree *tree, struct index **index);

#endif
