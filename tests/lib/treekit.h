/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treekit: small trees for the tests of trees.  What fails here is a failed
 * assertion: the test is wrong, or out of memory.
 */
#ifndef TESTS_LIB_TREEKIT_H
#define TESTS_LIB_TREEKIT_H

#include <sys/stat.h>

#include "depot/tree.h"
#include "depot/tree_build.h"

/* mode with its type; owner 7, group 8, one time. */
struct tree_build_attr treekit_attr(uint32_t mode);
/* Of chunk number `number`. */
struct digest treekit_digest(uint32_t number);

/* --- what goes into a tree being built ------------------------------------ */

/* Directory, device (4, 64), fifo or socket. */
void treekit_add(struct tree_build *build, const char *path, uint32_t mode);
/* A file of so many chunks: number i is treekit_digest(i), 1000 + i bytes. */
void treekit_file(struct tree_build *build, const char *path, uint32_t mode,
		  uint32_t chunks);
void treekit_symlink(struct tree_build *build, const char *path,
		     const char *target);
/* One object of every kind; the caller's. */
struct tree_build *treekit_sample(void);

/* --- the finished tree ---------------------------------------------------- */

/* takes build; malloc'ed bytes of the tree. */
void *treekit_finish(struct tree_build *build, size_t *len);
/* takes build; one reference, the caller's. */
struct tree *treekit_open(struct tree_build *build);
/* The inode of a path that there is. */
uint32_t treekit_find(const struct tree *tree, const char *path);
struct tree_inode treekit_stat(const struct tree *tree, const char *path);
/* Turn bit number `bit` of a tree's bytes. */
void treekit_flip(uint8_t *bytes, size_t bit);

#endif
