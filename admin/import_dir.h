/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_dir: a directory on this machine becomes a package, as it lies there.
 *
 * Symbolic links are taken, not followed.  What changes while it is read is an
 * error: a package must be a state that once was.
 */
#ifndef ADMIN_IMPORT_DIR_H
#define ADMIN_IMPORT_DIR_H

#include "admin/import.h"

struct import_dir_result {
	uint64_t left_out; /* objects that could not be read */
};

/*
 * keep_going: objects that cannot be read are warned about, counted and left
 * out.  Without it they are listed in the failure before anything is sent.
 */
MUST_CHECK int import_dir(struct import *import, const char *path,
			  bool keep_going, struct output *out,
			  struct failure *failure,
			  struct import_dir_result *result);

#endif
