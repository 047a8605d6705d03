/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: the directories that the model test starts from, made on the host: once
 * to be packaged, and once for each run as the thing to compare with.
 *
 * Always the same: names, contents, owners, modes and times.  Hard links in one
 * directory and over two, symbolic links, FIFOs, sticky and setgid directories,
 * setuid files, holes, files around the sizes at which the server changes its
 * ways (4, 16 and 64 KiB), names of up to 255 bytes.
 */
#ifndef TESTS_MODEL_TREE_H
#define TESTS_MODEL_TREE_H

#include "depot/base.h"

/* Two packages; of what both have the first's is seen, directories are joined.
 * TREE_BOTH is what a guest of both sees. */
enum tree_part { TREE_FIRST = 1, TREE_SECOND = 2, TREE_BOTH = 3 };

enum {
	TREE_MANY = 90,      /* entries of "many" */
	TREE_MANY_HASH6 = 24 /* the same where names have 6 bits of hash */
};

/* Into an existing empty directory; aborts on failure.  Wants root. */
void tree_make(const char *dir, enum tree_part part, unsigned int many);

#endif
