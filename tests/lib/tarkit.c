/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/tarkit.h"

#include <archive.h>
#include <archive_entry.h>

static void tar_item(struct archive *tar, const struct item *item)
{
	struct archive_entry *entry = archive_entry_new();
	size_t len = item->data ? strlen(item->data) : 0;

	archive_entry_set_pathname(entry, item->path);
	archive_entry_set_mode(entry, item->mode ? item->mode : S_IFREG | 0644);
	archive_entry_set_mtime(entry, 1000000, 0);
	if (item->mode == 0)
		archive_entry_set_hardlink(entry, item->data);
	else if (S_ISLNK(item->mode))
		archive_entry_set_symlink(entry, item->data);
	else if (S_ISREG(item->mode))
		archive_entry_set_size(entry, (la_int64_t)len);
	else if (S_ISCHR(item->mode))
		archive_entry_set_rdev(entry, (1 << 8) | 3);
	ASSERT(archive_write_header(tar, entry) == ARCHIVE_OK);
	if (S_ISREG(item->mode) && len)
		ASSERT(archive_write_data(tar, item->data, len) ==
		       (la_ssize_t)len);
	archive_entry_free(entry);
}

void *tar_make(const struct item *items, size_t *len)
{
	struct archive *tar = archive_write_new();
	void *bytes = malloc(TARKIT_MAX);

	archive_write_set_format_pax_restricted(tar);
	archive_write_add_filter_gzip(tar);
	ASSERT(archive_write_open_memory(tar, bytes, TARKIT_MAX, len) ==
	       ARCHIVE_OK);
	for (; items->path; items++)
		tar_item(tar, items);
	ASSERT(archive_write_close(tar) == ARCHIVE_OK);
	archive_write_free(tar);
	return bytes;
}
