/* SPDX-License-Identifier: Apache-2.0 */
/*
 * papers: files.
 */
#include "depot/papers.h"

#include <stdio.h>

#include "depot/depot.h"
#include "depot/document.h"
#include "depot/io.h"
#include "depot/log.h"

/* Both names are checked ones: nothing leaves the directory. */
static char *papers_path(const char *root, const char *upstream,
			 const char *path)
{
	char *full;

	ASSERT(depot_name_ok(upstream) && !strstr(path, ".."));

	if (asprintf(&full, "%s/documents/%s/%s", root, upstream, path) < 0)
		return NULL;
	return full;
}

int papers_keep(const char *root, const char *upstream, const char *path,
		const void *text, size_t len)
{
	CLEANUP_FREE char *full = papers_path(root, upstream, path);
	char *slash;
	int rc;

	if (!full)
		return -ENOMEM;
	slash = strrchr(full, '/');
	*slash = '\0';
	rc = io_mkdirs(full);
	*slash = '/';
	if (rc == 0)
		rc = io_replace_file(full, text, len);
	return rc < 0 ? log_err(rc, "%s: not written", full) : 0;
}

int papers_read(const char *root, const char *upstream, const char *path,
		void **text, size_t *len)
{
	CLEANUP_FREE char *full = papers_path(root, upstream, path);

	if (!full)
		return -ENOMEM;
	return io_read_file(full, DOCUMENT_MAX, text, len);
}
