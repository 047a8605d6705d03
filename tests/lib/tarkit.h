/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tarkit: small tars for tests, made in memory.
 */
#ifndef TESTS_LIB_TARKIT_H
#define TESTS_LIB_TARKIT_H

#include <sys/stat.h>

#include "depot/base.h"

enum { TARKIT_MAX = 8 << 20 };

/* What goes into a tar; a list ends with path NULL. */
struct item {
	const char *path;
	mode_t mode;      /* 0: a hard link to data */
	const char *data; /* of files; target of links */
};

/* Compressed by gzip; malloc'ed. */
void *tar_make(const struct item *items, size_t *len);

#endif
