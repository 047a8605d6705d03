/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_archive: names and targets are bytes; where the C locale cannot
 * express them they are there in UTF-8.
 */
#include "admin/import_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>

#include "admin/interrupt.h"

struct archive *import_archive_new(void)
{
	struct archive *archive = archive_read_new();

	if (!archive)
		return NULL;
	archive_read_support_format_tar(archive);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_zstd(archive);
	archive_read_support_filter_bzip2(archive);
	archive_read_support_filter_lzma(archive);
	return archive;
}

int import_archive_bad(const struct import_archive *from, const char *cause)
{
	if (!cause)
		cause = archive_error_string(from->archive);
	return failure_set(from->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s is no whole %s: %s", from->path, from->what,
			   cause ? cause : "unknown error");
}

int import_archive_next(const struct import_archive *from,
			struct archive_entry **entry)
{
	int rc;

	if (interrupt_seen())
		return failure_set(from->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been stored");
	rc = archive_read_next_header(from->archive, entry);
	if (rc == ARCHIVE_EOF)
		return 0;
	/* A warning is about names in another charset: bytes are kept. */
	if (rc < ARCHIVE_WARN)
		return import_archive_bad(from, NULL);
	return 1;
}

static const char *import_archive_text(const char *plain, const char *utf8)
{
	return plain ? plain : utf8;
}

const char *import_archive_name(struct archive_entry *entry)
{
	return import_archive_text(archive_entry_pathname(entry),
				   archive_entry_pathname_utf8(entry));
}

static int import_archive_data(const struct import_archive *from,
			       struct import *import)
{
	la_int64_t off, at = 0;
	const void *block;
	size_t len;
	int rc = 0, got;

	for (;;) {
		got =
		    archive_read_data_block(from->archive, &block, &len, &off);
		if (got == ARCHIVE_EOF)
			return 0;
		if (got < ARCHIVE_WARN || off < at)
			return import_archive_bad(from, NULL);
		if (off > at)
			rc = import_zeros(import, (uint64_t)(off - at));
		if (rc == 0)
			rc = import_data(import, block, len);
		if (rc < 0)
			return rc;
		at = off + (la_int64_t)len;
	}
}

static int import_archive_file(const struct import_archive *from,
			       struct import *import,
			       struct archive_entry *entry, const char *path,
			       const struct tree_build_attr *attr)
{
	uint64_t size = (uint64_t)archive_entry_size(entry);
	int rc;

	if (!archive_entry_size_is_set(entry) || archive_entry_size(entry) < 0)
		return import_archive_bad(from, "a file has no length");
	rc = import_file(import, path, attr, size);
	if (rc < 0)
		return rc;
	rc = import_archive_data(from, import);
	if (rc < 0) {
		import_file_drop(import);
		return rc;
	}
	return import_file_end(import);
}

static int import_archive_xattrs(struct import *import,
				 struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t len;
	int rc = 0;

	archive_entry_xattr_reset(entry);
	while (rc == 0 && archive_entry_xattr_next(entry, &name, &value,
						   &len) == ARCHIVE_OK)
		rc = import_xattr(import, name, value, len);
	return rc;
}

static void import_archive_attr(struct archive_entry *entry,
				struct tree_build_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->mode = archive_entry_mode(entry);
	attr->uid = (uint32_t)archive_entry_uid(entry);
	attr->gid = (uint32_t)archive_entry_gid(entry);
	attr->mtime.tv_sec = archive_entry_mtime(entry);
	attr->mtime.tv_nsec = archive_entry_mtime_nsec(entry);
	if (S_ISCHR(attr->mode) || S_ISBLK(attr->mode)) {
		attr->rdev_major = (uint32_t)archive_entry_rdevmajor(entry);
		attr->rdev_minor = (uint32_t)archive_entry_rdevminor(entry);
	}
}

int import_archive_entry(const struct import_archive *from,
			 struct import *import, struct archive_entry *entry)
{
	struct tree_build_attr attr;
	const char *path, *target;
	int rc;

	path = import_archive_name(entry);
	if (!path)
		return import_archive_bad(from, "an entry has no name");
	target = import_archive_text(archive_entry_hardlink(entry),
				     archive_entry_hardlink_utf8(entry));
	if (target)
		return import_link(import, path, target);
	import_archive_attr(entry, &attr);
	if (S_ISLNK(attr.mode)) {
		target = import_archive_text(archive_entry_symlink(entry),
					     archive_entry_symlink_utf8(entry));
		rc = import_symlink(import, path, &attr, target ? target : "");
	} else if (S_ISREG(attr.mode)) {
		rc = import_archive_file(from, import, entry, path, &attr);
	} else {
		rc = import_add(import, path, &attr);
		if (S_ISSOCK(attr.mode))
			return rc;
	}
	return rc < 0 ? rc : import_archive_xattrs(import, entry);
}

int import_archive_layer_entry(const struct import_archive *from,
			       struct import *import,
			       struct archive_entry *entry)
{
	const char *path = import_archive_name(entry), *name;
	CLEANUP_FREE char *clean = NULL;

	if (!path)
		return import_archive_bad(from, "an entry has no name");
	name = strrchr(path, '/');
	name = name ? name + 1 : path;
	if (strncmp(name, IMPORT_WHITEOUT_PREFIX,
		    strlen(IMPORT_WHITEOUT_PREFIX)) != 0)
		return import_archive_entry(from, import, entry);
	if (asprintf(&clean, "%.*s%s", (int)(name - path), path,
		     strcmp(name, IMPORT_OPAQUE_NAME) == 0
			 ? ""
			 : name + strlen(IMPORT_WHITEOUT_PREFIX)) < 0)
		return failure_errno(from->failure, -ENOMEM, "%s", path);
	if (strcmp(name, IMPORT_OPAQUE_NAME) == 0)
		return import_opaque(import, clean);
	/* ".wh..wh.aufs" and the like: of another layer file system. */
	if (strncmp(name, IMPORT_WHITEOUT_PREFIX IMPORT_WHITEOUT_PREFIX,
		    2 * strlen(IMPORT_WHITEOUT_PREFIX)) == 0)
		return 0;
	if (!name[strlen(IMPORT_WHITEOUT_PREFIX)])
		return import_archive_bad(from, "a whiteout of nothing");
	return import_whiteout(import, clean);
}
