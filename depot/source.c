/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: which kind a URL means.
 */
#include "depot/source.h"

static bool source_has_scheme(const char *url, const char *scheme)
{
	return strncmp(url, scheme, strlen(scheme)) == 0;
}

int source_new(const char *url, const struct source_options *options,
	       struct source **source)
{
	static const struct source_options none;

	if (!options)
		options = &none;
	if (source_has_scheme(url, "dir:"))
		return source_dir_new(url + strlen("dir:"), source);
	if (source_has_scheme(url, "http://") ||
	    source_has_scheme(url, "https://"))
		return source_http_new(url, options, source);
	return -EINVAL;
}
