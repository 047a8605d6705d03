/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_capture: the file that `package capture` writes and `package create`
 * reads: a tar (pax, zstd) whose first entry is CAPTURE_HEAD,
 *
 *   {"format":1,"base":"debian-12 sha256:HEX","command":["TEXT"...],"status":N,
 *    "records":{"users":["TEXT"...],...},
 *    "changes":[{"change":"A","path":"TEXT","type":"f","noise":"RULE"}...]}
 *
 * then every change that is no noise in order of paths, with the directories on
 * the way; deletions as in a layer (import_archive.h).
 */
#ifndef ADMIN_IMPORT_CAPTURE_H
#define ADMIN_IMPORT_CAPTURE_H

#include "admin/capture.h"
#include "admin/import.h"

enum { CAPTURE_FORMAT = 1, CAPTURE_HEAD_MAX = 256 << 20 };
#define CAPTURE_HEAD ".vdrive-capture.json"

/* Write a capture to `path`, which is replaced when it is whole.  `head` lacks
 * "changes", which this adds. */
MUST_CHECK int capture_write(const char *path,
			     const struct capture_options *options,
			     const struct capture *capture, json_t *head,
			     struct output *out, struct failure *failure);

/* Is the file a capture, by its first entry?  false: also what can't be read.
 */
bool capture_is(const char *path);

/* Its head, the caller's reference.  -EBADMSG; -EPROTONOSUPPORT: newer. */
MUST_CHECK int capture_read_head(const char *path, json_t **head,
				 struct failure *failure);

/*
 * Hand over the content, without what a pattern of `exclude` (NULL-ended)
 * matches; *left_out counts that.
 */
MUST_CHECK int import_capture(struct import *import, const char *path,
			      const char *const *exclude, uint64_t *left_out,
			      json_t **head, struct failure *failure);

#endif
