/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: another program, without a shell, in the C locale, with its output
 * caught.
 */
#ifndef ADMIN_RUN_H
#define ADMIN_RUN_H

#include "depot/base.h"

enum {
	RUN_OUTPUT_MAX = 8 << 20,
	RUN_ERRORS_MAX = 16 << 10, /* of stderr, its last bytes are kept */
};

struct run_result {
	char *output;			 /* owns; stdout, NUL at the end */
	char errors[RUN_ERRORS_MAX + 1]; /* end of stderr */
	int status;			 /* exit status; 128 + signal */
};

/*
 * argv[0] is looked for in PATH; dir NULL: the current one.  0 whatever the
 * status; -ENOENT: no such program; -EFBIG: more output than that (it is then
 * killed); -EINTR: interrupted.
 */
MUST_CHECK int run(const char *const *argv, const char *dir,
		   struct run_result *result);
void run_result_clear(struct run_result *result);

#endif
