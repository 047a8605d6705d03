/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_file: files of a depot at rest.  Unlike everything else that vdrive
 * writes they are for others to read: a web server, another host.  Paths are
 * those of layout.h, relative to `root`.
 */
#ifndef TESTS_LIB_PUBLISH_FILE_H
#define TESTS_LIB_PUBLISH_FILE_H

#include "depot/base.h"

/* Durable, whole or not at all, mode 0644, directories made as needed (0755).
 * Logs. */
MUST_CHECK int publish_file_write(const char *root, const char *path,
				  const void *bytes, size_t len);
/* Malloc'ed, a NUL added.  -ENOENT is not logged. */
MUST_CHECK int publish_file_read(const char *root, const char *path, size_t max,
				 void **bytes, size_t *len);
/* Length of a regular file; -ENOENT. */
MUST_CHECK int publish_file_len(const char *root, const char *path,
				uint64_t *len);
MUST_CHECK int publish_file_mkdir(const char *dir);
/* Says that what a file holds is refused, and why; returns rc. */
int publish_file_refused(const char *root, const char *path, int rc);

#endif
