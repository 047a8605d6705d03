/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_run: what a package needs to run, said to the guest: a file
 * RUN_NOTES_DIR/NAME of the package itself, with a line "KIND TEXT" for each of
 * its records of users, groups, environment and libraries (capture.h), and
 * "capabilities /PATH TEXT" (file_caps.h) for each file that has some, which
 * vdrive-run(8) reads.  So it goes where the package goes, and is part of its
 * digest.
 */
#ifndef ADMIN_IMPORT_RUN_H
#define ADMIN_IMPORT_RUN_H

#include "admin/import.h"

#define RUN_NOTES_DIR "usr/lib/vdrive/run.d"

/* After all files are there.  records: an object of arrays of text; with none of
 * those, nothing is added.  A text of several lines is left out, and so are
 * capabilities that file_caps_text refuses or whose path has a blank.  Errors of
 * import_file. */
MUST_CHECK int import_run_notes(struct import *import, const char *name,
				const json_t *records);

#endif
