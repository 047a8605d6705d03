/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_deb: a .deb is an ar archive of "debian-binary", "control.tar.X" and
 * "data.tar.X".  The inner archives are read as a stream out of the outer one.
 */
#include "admin/import_deb.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>

#include "admin/import_archive.h"
#include "admin/interrupt.h"

#define DEB_WHAT "Debian package"

enum {
	DEB_BLOCK = 64 << 10,
	DEB_FORMAT_MAX = 64, /* bytes of debian-binary */
};

struct deb_reader {
	const char *path;      /* borrows */
	struct archive *outer; /* owns */
	struct archive *inner; /* owns; NULL between members */
	struct failure *failure;
};

static int deb_bad(struct deb_reader *reader, const char *cause)
{
	return failure_set(reader->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s is no whole " DEB_WHAT ": %s", reader->path,
			   cause ? cause : "unknown error");
}

static void deb_close(struct deb_reader *reader)
{
	archive_read_free(reader->inner);
	archive_read_free(reader->outer);
}

static int deb_open(struct deb_reader *reader)
{
	int rc;

	if (access(reader->path, R_OK) < 0)
		return failure_errno(reader->failure, -errno, "cannot open %s",
				     reader->path);
	reader->outer = archive_read_new();
	if (!reader->outer)
		return failure_errno(reader->failure, -ENOMEM, "%s",
				     reader->path);
	archive_read_support_format_ar(reader->outer);
	rc = archive_read_open_filename(reader->outer, reader->path, DEB_BLOCK);
	if (rc != ARCHIVE_OK)
		return deb_bad(reader, archive_error_string(reader->outer));
	return 0;
}

/* --- an archive inside the archive --------------------------------------- */

static la_ssize_t deb_inner_read(struct archive *inner, void *ctx,
				 const void **block)
{
	struct deb_reader *reader = ctx;
	la_int64_t off;
	size_t len = 0;
	int rc;

	do
		rc = archive_read_data_block(reader->outer, block, &len, &off);
	while (rc == ARCHIVE_OK && len == 0);
	if (rc == ARCHIVE_EOF)
		return 0;
	if (rc < ARCHIVE_WARN || interrupt_seen()) {
		archive_set_error(inner, EIO, "%s",
				  archive_error_string(reader->outer));
		return -1;
	}
	return (la_ssize_t)len;
}

static int deb_inner_open(struct deb_reader *reader)
{
	reader->inner = import_archive_new();
	if (!reader->inner)
		return failure_errno(reader->failure, -ENOMEM, "%s",
				     reader->path);
	if (archive_read_open(reader->inner, reader, NULL, deb_inner_read,
			      NULL) != ARCHIVE_OK)
		return deb_bad(reader, archive_error_string(reader->inner));
	return 0;
}

static struct import_archive deb_inner(const struct deb_reader *reader)
{
	return (struct import_archive){.archive = reader->inner,
				       .path = reader->path,
				       .what = DEB_WHAT,
				       .failure = reader->failure};
}

/* --- members ---------------------------------------------------------------
 */

static bool deb_member_is(const char *name, const char *want)
{
	size_t len = strlen(want);

	return strncmp(name, want, len) == 0 &&
	       (name[len] == '\0' || name[len] == '.');
}

/* Go to the member `want` ("data.tar"); -EBADMSG when there is none.  The
 * format of the package is checked on the way. */
static int deb_member_find(struct deb_reader *reader, const char *want)
{
	char format[DEB_FORMAT_MAX] = "";
	struct archive_entry *entry;
	const char *name;
	bool first = true;
	int rc;

	for (;; first = false) {
		rc = archive_read_next_header(reader->outer, &entry);
		if (rc == ARCHIVE_EOF)
			break;
		if (rc < ARCHIVE_WARN)
			return deb_bad(reader,
				       archive_error_string(reader->outer));
		name = archive_entry_pathname(entry);
		if (first) {
			if (!name || strcmp(name, "debian-binary") != 0 ||
			    archive_read_data(reader->outer, format,
					      sizeof(format) - 1) < 2 ||
			    strncmp(format, "2.", 2) != 0)
				return deb_bad(reader, "it does not begin with "
						       "debian-binary 2.x");
			continue;
		}
		if (name && deb_member_is(name, want))
			return 0;
	}
	return failure_set(reader->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s is no whole Debian package: it has no %s",
			   reader->path, want);
}

/* --- control ---------------------------------------------------------------
 */

/* Value of a field of the control file into `out`; false: none, too long. */
static bool deb_field(const char *control, const char *field, char *out,
		      size_t out_cap)
{
	size_t field_len = strlen(field), len;

	for (const char *line = control; *line;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncasecmp(line, field, field_len) != 0 ||
		    line[field_len] != ':')
			continue;
		line += field_len + 1;
		line += strspn(line, " \t");
		len = strcspn(line, "\n");
		while (len > 0 && strchr(" \t\r", line[len - 1]))
			len--;
		if (len == 0 || len >= out_cap)
			return false;
		memcpy(out, line, len);
		out[len] = '\0';
		return true;
	}
	return false;
}

static int deb_control_parse(struct deb_reader *reader, const char *control,
			     struct deb *deb)
{
	char kib[24];

	if (!deb_field(control, "Package", deb->name, sizeof(deb->name)) ||
	    !deb_field(control, "Version", deb->version, sizeof(deb->version)))
		return deb_bad(reader,
			       "its control file names no package and version");
	if (deb_field(control, "Installed-Size", kib, sizeof(kib)))
		deb->installed_bytes = strtoull(kib, NULL, 10) * 1024;
	return 0;
}

static int deb_control_read(struct deb_reader *reader, struct deb *deb)
{
	CLEANUP_FREE char *text = calloc(1, DEB_CONTROL_MAX + 1);
	struct import_archive inner = deb_inner(reader);
	struct archive_entry *entry;
	const char *name;
	int rc;

	if (!text)
		return failure_errno(reader->failure, -ENOMEM, "%s",
				     reader->path);
	while ((rc = import_archive_next(&inner, &entry)) > 0) {
		name = archive_entry_pathname(entry);
		if (!name || (strcmp(name, "./control") != 0 &&
			      strcmp(name, "control") != 0))
			continue;
		if (archive_read_data(reader->inner, text, DEB_CONTROL_MAX) < 0)
			return deb_bad(reader,
				       archive_error_string(reader->inner));
		return deb_control_parse(reader, text, deb);
	}
	return rc < 0 ? rc : deb_bad(reader, "it has no control file");
}

static int deb_read(const char *path, struct deb *deb, struct failure *failure)
{
	CLEANUP(deb_close)
	struct deb_reader reader = {.path = path, .failure = failure};
	int rc;

	rc = deb_open(&reader);
	if (rc == 0)
		rc = deb_member_find(&reader, "control.tar");
	if (rc == 0)
		rc = deb_inner_open(&reader);
	if (rc == 0)
		rc = deb_control_read(&reader, deb);
	if (rc < 0)
		return rc;
	deb->path = strdup(path);
	return deb->path ? 0 : failure_errno(failure, -ENOMEM, "%s", path);
}

void deb_list_clear(struct deb_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->debs[i].path);
	free(list->debs);
	memset(list, 0, sizeof(*list));
}

static int deb_compare(const void *a, const void *b)
{
	const struct deb *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->version, y->version);
}

int deb_list_read(struct deb_list *list, char *const *paths, size_t count,
		  struct failure *failure)
{
	int rc;

	list->debs = calloc(count + 1, sizeof(*list->debs));
	if (!list->debs)
		return failure_errno(failure, -ENOMEM, "packages");
	for (size_t i = 0; i < count; i++) {
		rc = deb_read(paths[i], &list->debs[i], failure);
		if (rc < 0)
			return rc;
		list->count++;
	}
	qsort(list->debs, list->count, sizeof(*list->debs), deb_compare);
	for (size_t i = 1; i < list->count; i++)
		if (strcmp(list->debs[i - 1].name, list->debs[i].name) == 0)
			return failure_set(
			    failure, -EEXIST, CONTROL_EXIT_CONFLICT,
			    "%s and %s are both of package %s",
			    list->debs[i - 1].path, list->debs[i].path,
			    list->debs[i].name);
	return 0;
}

static int deb_text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted as text: "python3-minimal=1" comes before "python3=1". */
char **deb_list_closure(const struct deb_list *list)
{
	size_t row = DEB_NAME_MAX + DEB_VERSION_MAX + 2;
	size_t table = (list->count + 1) * sizeof(char *);
	char **closure = calloc(1, table + list->count * row);
	char *text = (char *)closure + table;

	for (size_t i = 0; closure && i < list->count; i++, text += row) {
		closure[i] = text;
		snprintf(text, row, "%s=%s", list->debs[i].name,
			 list->debs[i].version);
	}
	if (closure)
		qsort(closure, list->count, sizeof(*closure), deb_text_compare);
	return closure;
}

/* --- data ---------------------------------------------------------------- */

static int deb_import(struct import *import, const struct deb *deb,
		      struct failure *failure)
{
	CLEANUP(deb_close)
	struct deb_reader reader = {.path = deb->path, .failure = failure};
	struct import_archive inner;
	struct archive_entry *entry;
	int rc;

	rc = import_origin(import, deb->path);
	if (rc == 0)
		rc = deb_open(&reader);
	if (rc == 0)
		rc = deb_member_find(&reader, "data.tar");
	if (rc == 0)
		rc = deb_inner_open(&reader);
	if (rc < 0)
		return rc;
	inner = deb_inner(&reader);
	while ((rc = import_archive_next(&inner, &entry)) > 0) {
		rc = import_archive_entry(&inner, import, entry);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int import_debs(struct import *import, const struct deb_list *list,
		struct output *out, struct failure *failure)
{
	uint64_t total = 0;
	int rc;

	for (size_t i = 0; i < list->count; i++)
		total += list->debs[i].installed_bytes;
	import_set_total(import, total);
	for (size_t i = 0; i < list->count; i++) {
		output_verbose(out, "unpacking %s %s", list->debs[i].name,
			       list->debs[i].version);
		rc = deb_import(import, &list->debs[i], failure);
		if (rc < 0)
			return rc;
	}
	return 0;
}
