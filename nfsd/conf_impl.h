/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_impl: what the files of conf share: places that values come from, and
 * the table of keys.
 */
#ifndef NFSD_CONF_IMPL_H
#define NFSD_CONF_IMPL_H

#include "nfsd/conf.h"

enum conf_place { PLACE_DEFAULT, PLACE_FILE, PLACE_ENV, PLACE_OPTION };

/* Set the error; -EINVAL. */
int conf_error(struct conf *conf, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Set a key, as of conf->place.  -EINVAL: no such key, or no value of it. */
MUST_CHECK int conf_set(struct conf *conf, const char *section, const char *key,
			const char *value);
/* The section of the i-th key; NULL: there are no more. */
const char *conf_section(size_t i);

#endif
