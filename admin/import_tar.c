/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_tar: nothing is unpacked; entries go where the tar says, in order.
 */
#include "admin/import_tar.h"

#include <archive.h>
#include <sys/stat.h>

#include "admin/import_archive.h"

enum { TAR_BLOCK = 64 << 10 };

static int tar_take(const struct import_archive *from, struct import *import)
{
	struct archive_entry *entry;
	size_t count = 0;
	int rc;

	while ((rc = import_archive_next(from, &entry)) > 0) {
		rc = import_archive_entry(from, import, entry);
		if (rc < 0)
			return rc;
		count++;
	}
	if (rc == 0 && count == 0)
		return import_archive_bad(from, "it is empty");
	return rc;
}

int import_tar(struct import *import, const char *path, struct failure *failure)
{
	struct import_archive from = {
	    .path = path, .what = "tar", .failure = failure};
	struct archive *archive;
	struct stat st;
	int rc;

	rc = import_origin(import, path);
	if (rc < 0)
		return rc;
	if (stat(path, &st) < 0)
		return failure_errno(failure, -errno, "cannot open %s", path);
	archive = import_archive_new();
	if (!archive)
		return failure_errno(failure, -ENOMEM, "%s", path);
	from.archive = archive;
	if (archive_read_open_filename(archive, path, TAR_BLOCK) == ARCHIVE_OK)
		rc = tar_take(&from, import);
	else
		rc = import_archive_bad(&from, NULL);
	archive_read_free(archive);
	return rc;
}
