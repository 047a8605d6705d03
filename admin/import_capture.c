/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_capture: reading a capture.
 */
#include "admin/import_capture.h"

#include <archive.h>
#include <archive_entry.h>

#include "admin/import_archive.h"

enum { CAPTURE_BLOCK = 256 << 10 };

static int capture_open(const char *path, struct import_archive *from,
			struct failure *failure)
{
	*from = (struct import_archive){
	    .path = path, .what = "capture", .failure = failure};
	if (access(path, R_OK) < 0)
		return failure_errno(failure, -errno, "cannot open %s", path);
	from->archive = import_archive_new();
	if (!from->archive)
		return failure_errno(failure, -ENOMEM, "%s", path);
	if (archive_read_open_filename(from->archive, path, CAPTURE_BLOCK) !=
	    ARCHIVE_OK)
		return import_archive_bad(from, NULL);
	return 0;
}

static int capture_parse_head(const struct import_archive *from,
			      const char *text, size_t len, json_t **head)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_int_t format = json_integer_value(json_object_get(json, "format"));

	if (format > CAPTURE_FORMAT) {
		json_decref(json);
		return failure_set(
		    from->failure, -EPROTONOSUPPORT, CONTROL_EXIT_BAD_CONTENT,
		    "%s: written by a newer vdrive (format %ju, "
		    "this one reads up to %d): upgrade vdrive",
		    from->path, (uintmax_t)format, CAPTURE_FORMAT);
	}
	if (format != CAPTURE_FORMAT ||
	    !json_is_array(json_object_get(json, "changes"))) {
		json_decref(json);
		return import_archive_bad(from, "its head is damaged");
	}
	*head = json;
	return 0;
}

static int capture_take_head(const struct import_archive *from, json_t **head)
{
	CLEANUP_FREE char *text = NULL;
	struct archive_entry *entry;
	const char *name;
	la_int64_t size;
	int rc;

	rc = import_archive_next(from, &entry);
	if (rc < 0)
		return rc;
	name = rc > 0 ? import_archive_name(entry) : NULL;
	if (!name || strcmp(name, CAPTURE_HEAD) != 0)
		return import_archive_bad(from, "it does not begin with "
						"the list of changes");
	size = archive_entry_size(entry);
	if (size < 0 || size > CAPTURE_HEAD_MAX)
		return import_archive_bad(from, "its head is too long");
	text = malloc((size_t)size + 1);
	if (!text)
		return failure_errno(from->failure, -ENOMEM, "%s", from->path);
	if (archive_read_data(from->archive, text, (size_t)size) != size)
		return import_archive_bad(from, NULL);
	return capture_parse_head(from, text, (size_t)size, head);
}

bool capture_is(const char *path)
{
	struct archive *archive = import_archive_new();
	struct archive_entry *entry;
	const char *name = NULL;
	bool is;

	if (archive &&
	    archive_read_open_filename(archive, path, CAPTURE_BLOCK) ==
		ARCHIVE_OK &&
	    archive_read_next_header(archive, &entry) >= ARCHIVE_WARN)
		name = import_archive_name(entry);
	is = name && strcmp(name, CAPTURE_HEAD) == 0;
	archive_read_free(archive);
	return is;
}

int capture_read_head(const char *path, json_t **head, struct failure *failure)
{
	struct import_archive from;
	int rc;

	rc = capture_open(path, &from, failure);
	if (rc == 0)
		rc = capture_take_head(&from, head);
	archive_read_free(from.archive);
	return rc;
}

/* "a/.wh.b" is about a/b. */
static bool capture_excluded(struct archive_entry *entry,
			     const char *const *exclude)
{
	const char *name = import_archive_name(entry), *base;
	char path[IMPORT_PATH_MAX];

	if (!name || strlen(name) >= sizeof(path))
		return false; /* refused later */
	memcpy(path, name, strlen(name) + 1);
	base = strrchr(name, '/');
	base = base ? base + 1 : name;
	if (strncmp(base, IMPORT_WHITEOUT_PREFIX,
		    strlen(IMPORT_WHITEOUT_PREFIX)) == 0)
		strcpy(path + (base - name),
		       base + strlen(IMPORT_WHITEOUT_PREFIX));
	if (*path && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	for (; exclude && *exclude; exclude++)
		if (capture_match(*exclude, path))
			return true;
	return false;
}

static int capture_take(const struct import_archive *from,
			struct import *import, const char *const *exclude,
			uint64_t *left_out)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = import_archive_next(from, &entry)) > 0) {
		if (capture_excluded(entry, exclude)) {
			(*left_out)++;
			continue;
		}
		rc = import_archive_layer_entry(from, import, entry);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int import_capture(struct import *import, const char *path,
		   const char *const *exclude, uint64_t *left_out,
		   json_t **head, struct failure *failure)
{
	struct import_archive from;
	int rc;

	*head = NULL;
	*left_out = 0;
	rc = import_origin(import, path);
	if (rc < 0)
		return rc;
	rc = capture_open(path, &from, failure);
	if (rc == 0)
		rc = capture_take_head(&from, head);
	if (rc == 0)
		rc = capture_take(&from, import, exclude, left_out);
	archive_read_free(from.archive);
	return rc;
}
