/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials: a file with a user's name and its password, or an S3 access key
 * and its secret:
 *
 *   # comment
 *   user = NAME                 or access_key, aws_access_key_id
 *   password = SECRET           or secret_key, aws_secret_access_key
 *
 * Lines "[...]" and keys that are not known are left alone, so that a file of
 * another S3 tool will do when it has one set of keys.
 */
#ifndef DEPOT_CREDENTIALS_H
#define DEPOT_CREDENTIALS_H

#include "depot/base.h"

enum { CREDENTIALS_TEXT_MAX = 255, CREDENTIALS_FILE_MAX = 16 << 10 };

struct credentials {
	char user[CREDENTIALS_TEXT_MAX + 1];
	char secret[CREDENTIALS_TEXT_MAX + 1];
};

/* -EBADMSG: a line that is none of these, or one of the two is missing or too
 * long. */
MUST_CHECK int credentials_parse(const char *text, size_t len,
				 struct credentials *out);
/*
 * Read a file.  -EACCES also when others than its owner may read it (and
 * *is_open is set); -EBADMSG; -errno of open.  Logs nothing.
 */
MUST_CHECK int credentials_read(const char *path, struct credentials *out,
				bool *is_open);

#endif
