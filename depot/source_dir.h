/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dir: what the two halves of this kind of source know of each other.
 * For everybody else: source.h.
 */
#ifndef DEPOT_SOURCE_DIR_H
#define DEPOT_SOURCE_DIR_H

#include "depot/source.h"

/* ROOT/PATH, malloc'ed; -ENOMEM. */
MUST_CHECK int source_dir_full(struct source *source, const char *path,
			       char **full);
/* "ROOT/PATH: reason" into fault->text. */
void source_dir_say(struct source *source, const char *path, int code,
		    struct source_fault *fault);

/* source_dir_write.c; see source.h. */
int source_dir_put(struct source *source, const char *path, const void *bytes,
		   size_t len, struct source_fault *fault);
int source_dir_put_file(struct source *source, const char *path, int fd,
			uint64_t len, struct source_fault *fault);
int source_dir_create(struct source *source, const char *path,
		      const void *bytes, size_t len,
		      struct source_fault *fault);
int source_dir_remove(struct source *source, const char *path,
		      struct source_fault *fault);
int source_dir_list(struct source *source, const char *dir,
		    int (*visit)(void *ctx, const char *name, uint64_t len),
		    void *ctx, struct source_fault *fault);

#endif
