/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpdir: a directory of a test's own, below $TMPDIR or /tmp.
 */
#ifndef TESTS_LIB_TMPDIR_H
#define TESTS_LIB_TMPDIR_H

#include "depot/base.h"

/* Path of a new empty directory, owned by the caller; aborts on failure. */
char *tmpdir_new(void);
/* "DIR/NAME", owned by the caller. */
char *tmpdir_path(const char *dir, const char *name);
/* Remove it with all that is in it.  takes dir; NULL allowed. */
void tmpdir_remove(char *dir);

/* CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new(); */
static inline void tmpdir_cleanup(char **dir)
{
	tmpdir_remove(*dir);
}

#endif
