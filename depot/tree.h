/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the immutable image of one revision's names, inodes and shard lists.
 *
 * A tree is checked once, whole, when it is opened (every offset, count, name,
 * order, cycle); afterwards lookups use it in place and trust it.  Thread-safe:
 * it never changes.  Format: struct format_tree_* in format.h.
 *
 * Building: tree_build.h.
 */
#ifndef DEPOT_TREE_H
#define DEPOT_TREE_H

#include <sys/stat.h>
#include <time.h>

#include "depot/base.h"
#include "depot/digest.h"
#include "depot/format.h"

enum {
	TREE_NAME_MAX = 255,
	TREE_SYMLINK_MAX = 4095,
	TREE_DEPTH_MAX = 1024,
	TREE_FILE_MAX = 1 << 30, /* bytes of one tree file */
	TREE_XATTR_MAX = 256,    /* extended attributes of one inode */
	TREE_XATTR_NAME_MAX = 255,
	TREE_XATTR_VALUE_MAX = 64 << 10,
	TREE_SALT_LEN = 32,
	TREE_ROOT = 0,
};

struct tree; /* reference counted */

/*
 * Check `len` bytes and take them as a tree.  tree_open_memory copies them
 * (tests, import); tree_open_taken takes a malloc'ed buffer, also when it
 * fails; tree_open_file maps the file, which must not change any more.  In all,
 * the digest of the whole is compared with `expect` when that is not NULL.
 * -EBADMSG: no tree, damaged, or not the one expected; -EPROTONOSUPPORT:
 * written by a newer vdrive.  *tree has one reference, the caller's.
 * Nothing is logged but, at debug level, what is wrong: the caller knows the
 * tree's name.
 */
MUST_CHECK int tree_open_memory(const void *data, size_t len,
				const struct digest *expect,
				struct tree **tree);
MUST_CHECK int tree_open_taken(void *data, size_t len,
			       const struct digest *expect, struct tree **tree);
MUST_CHECK int tree_open_file(const char *path, const struct digest *expect,
			      struct tree **tree);
/*
 * Recompute the content-and-attribute ids, which opening takes on trust: guests
 * know files by them (design 6).  For a tree that arrives; tree_box_open does
 * it.  -EBADMSG, -ENOMEM.
 */
MUST_CHECK int tree_check_ids(const struct tree *tree);
struct tree *tree_get(struct tree *tree);
void tree_put(struct tree *tree); /* NULL allowed */
/* Has anybody another reference than the caller's? */
bool tree_is_shared(const struct tree *tree);

const struct digest *tree_digest(const struct tree *tree);
const void *tree_bytes(const struct tree *tree, size_t *len);
uint32_t tree_inode_count(const struct tree *tree);
uint32_t tree_entry_count(const struct tree *tree);
uint32_t tree_shard_count(const struct tree *tree);
uint64_t tree_content_len(const struct tree *tree);
const struct digest *tree_shard_name(const struct tree *tree, uint32_t shard);
/* TREE_SALT_LEN bytes of a private package, NULL for others. */
const uint8_t *tree_salt(const struct tree *tree);

struct tree_inode {
	uint64_t id; /* content and attributes, 8 bytes of SHA-256 */
	uint64_t size;
	struct timespec mtime;
	uint32_t mode; /* type and permissions */
	uint32_t uid, gid;
	uint32_t nlink; /* of directories: 2 + subdirectories */
	uint32_t rdev_major, rdev_minor;
	uint32_t parent; /* directories only */
	bool opaque;
	uint32_t first, count;
};

/* `inode` must be below tree_inode_count(). */
void tree_inode_get(const struct tree *tree, uint32_t inode,
		    struct tree_inode *out);
/* It will be asked for soon: no more than a hint, any number is allowed. */
void tree_inode_soon(const struct tree *tree, uint32_t inode);
/* A directory of which a tree says no more than that there is one: it leads to
 * what is in it (tree_build.h). */
bool tree_inode_is_implied(const struct tree_inode *inode);
/* Target of a symbolic link; borrowed from the tree, no NUL at the end. */
const char *tree_symlink(const struct tree *tree, uint32_t inode, size_t *len);

struct tree_entry {
	uint64_t cookie;
	const char *name; /* borrows from the tree, no NUL at the end */
	uint16_t name_len;
	uint32_t inode; /* TREE_WHITEOUT: deleted */
};

/* Entry `i` of directory `dir`, 0 <= i < its count, in order of cookies. */
void tree_entry_get(const struct tree *tree, uint32_t dir, uint32_t i,
		    struct tree_entry *out);
/* Find a name in `dir`, a directory; -ENOENT.  A whiteout is found, with inode
 * TREE_WHITEOUT. */
MUST_CHECK int tree_lookup(const struct tree *tree, uint32_t dir,
			   const char *name, size_t name_len,
			   struct tree_entry *out);

struct tree_chunk {
	uint64_t off; /* in the file */
	uint32_t len;
	uint32_t shard; /* TREE_HOLE: zeros */
};

/* The chunk of a regular file that holds byte `off` (< size): number among the
 * file's chunks, and the chunk. */
uint32_t tree_chunk_find(const struct tree *tree, uint32_t inode, uint64_t off,
			 struct tree_chunk *out);
void tree_chunk_get(const struct tree *tree, uint32_t inode, uint32_t i,
		    struct tree_chunk *out);

struct tree_xattr {
	const char *name; /* borrows from the tree, no NUL at the end */
	uint16_t name_len;
	const void *value; /* borrows from the tree */
	uint32_t value_len;
};

/* Step through an inode's extended attributes, by rising names; *pos is 0 for
 * the first.  False at the end. */
bool tree_xattr_next(const struct tree *tree, uint32_t inode, uint32_t *pos,
		     struct tree_xattr *out);

/*
 * Walk all names depth-first, a directory before its content, its entries in
 * byte order of names.  `path` has no leading slash; for the root it is "", as
 * is the entry's name.  `inode` is the entry's (TREE_WHITEOUT: deleted).  visit
 * returns non-zero to stop, which tree_walk returns.  -ENOMEM.
 */
typedef int tree_visit_fn(void *ctx, const char *path,
			  const struct tree_entry *entry, uint32_t inode);
MUST_CHECK int tree_walk(const struct tree *tree, tree_visit_fn *visit,
			 void *ctx);
/* Find a path ("usr/bin/python3", "" is the root); symbolic links are not
 * followed; -ENOENT, also for a whiteout. */
MUST_CHECK int tree_find_path(const struct tree *tree, const char *path,
			      uint32_t *inode);

/* Name rules of trees, also for importers: no "", ".", "..", '/', NUL, and at
 * most TREE_NAME_MAX bytes. */
bool tree_name_ok(const char *name, size_t name_len);

/*
 * Tree box (format.h): a tree as shards, for transport.  tree_box_seal gives a
 * malloc'ed buffer.  tree_box_open proves every shard, then the tree and its
 * ids.
 */
MUST_CHECK int tree_box_seal(const struct tree *tree, int level, void **box,
			     size_t *box_len);
MUST_CHECK int tree_box_open(const void *box, size_t box_len,
			     const struct digest *expect, struct tree **tree);

#endif
