/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_build: collects paths in any order and writes the one canonical tree.
 *
 * The importer gives each object by its path; directories that are only
 * implied are root:root 0755 with time 0 (design 4).  A later object at the
 * same path replaces the earlier one (a directory only its attributes; a type
 * change between directory and other, whiteouts included, is -EEXIST).  Not
 * thread-safe.  A call that fails changes nothing; only after -ENOMEM implied
 * directories may stay.
 *
 * Paths: relative, "usr/bin/x"; one leading "./" or "/" and one trailing "/"
 * are dropped; "", "." is the root.  A path with ".", ".." or an empty ("a//b")
 * or too long component, or one deeper than TREE_DEPTH_MAX is -EINVAL: it
 * leaves the tree, is no name, or would be a second spelling of another.
 */
#ifndef DEPOT_TREE_BUILD_H
#define DEPOT_TREE_BUILD_H

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/tree.h"

struct tree_build;

/* -EINVAL: a type that is not the call's, bits beyond 07777, a bad nsec. */
struct tree_build_attr {
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	struct timespec mtime; /* nsec 0..999999999 */
	uint32_t rdev_major, rdev_minor; /* of device nodes; else ignored */
};

struct tree_build *tree_build_new(void); /* NULL: no memory */
void tree_build_free(struct tree_build *build); /* NULL allowed */

/* Make it the tree of a private package (design 4): TREE_SALT_LEN bytes. */
void tree_build_private(struct tree_build *build, const uint8_t *salt);

/* Directory, FIFO, socket or device node, by attr->mode. */
MUST_CHECK int tree_build_add(struct tree_build *build, const char *path,
			      const struct tree_build_attr *attr);
/* Target 1..TREE_SYMLINK_MAX bytes, no NUL; else -EINVAL. */
MUST_CHECK int tree_build_symlink(struct tree_build *build, const char *path,
				  const struct tree_build_attr *attr,
				  const char *target);

/*
 * Regular file: begin, then its chunks in order, whose lengths (1 to
 * SHARD_CHUNK_MAX) are summed to its size.  tree_build_hole adds zeros that are
 * no shard, of any length; it is stored in pieces of SHARD_CHUNK_MAX, however
 * it was given.  -EINVAL: no file is open, since another object was begun.
 * -EFBIG: 2^48 bytes, or more chunks than a tree can hold.
 */
MUST_CHECK int tree_build_file(struct tree_build *build, const char *path,
			       const struct tree_build_attr *attr);
MUST_CHECK int tree_build_chunk(struct tree_build *build,
				const struct digest *name, uint32_t len);
MUST_CHECK int tree_build_hole(struct tree_build *build, uint32_t len);

/* Another name for an object that is no directory (-EPERM); -ENOENT:
 * `existing` has not been added (yet). */
MUST_CHECK int tree_build_link(struct tree_build *build, const char *path,
			       const char *existing);
MUST_CHECK int tree_build_whiteout(struct tree_build *build, const char *path);
MUST_CHECK int tree_build_opaque(struct tree_build *build, const char *path);
/* Extended attribute of the object at path, recorded, not served; the same
 * name again replaces.  -ENOENT: no object; -EINVAL: name or value too long;
 * -E2BIG: more than TREE_XATTR_MAX. */
MUST_CHECK int tree_build_xattr(struct tree_build *build, const char *path,
				const char *name, const void *value,
				size_t value_len);

/*
 * Write the tree: malloc'ed bytes, which tree_open_memory accepts.  -EFBIG
 * above TREE_FILE_MAX; -EMLINK: more than NAME_CHAIN_MAX names of a directory
 * share a cookie chain.  Objects may be added afterwards and the tree written
 * again.
 */
MUST_CHECK int tree_build_finish(struct tree_build *build, void **bytes,
				 size_t *len);

#endif
