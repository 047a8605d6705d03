/* SPDX-License-Identifier: Apache-2.0 */
/* import_run: notes for the guest, in the package. */
#include "admin/import_run.h"

#include <stdio.h>
#include <sys/stat.h>

#include "admin/file_caps.h"
#include "admin/import_impl.h"

static void run_notes_of(FILE *out, const json_t *records, const char *kind)
{
	const json_t *texts = json_object_get(records, kind), *text;
	size_t i;

	json_array_foreach(texts, i, text)
	{
		const char *line = json_string_value(text);

		if (line && *line && !strchr(line, '\n'))
			fprintf(out, "%s %s\n", kind, line);
	}
}

static void run_notes_capabilities(FILE *out, const struct import *import)
{
	char text[FILE_CAPS_TEXT_MAX];

	for (size_t i = 0; i < import->xattr_count; i++) {
		const struct import_xattr *xattr = &import->xattrs[i];
		const char *path = import->entries[xattr->entry].path;

		if (strcmp(xattr->name, FILE_CAPS_XATTR) == 0 &&
		    !strpbrk(path, " \t\n\\") &&
		    file_caps_text(xattr->value, xattr->len, text) == 0)
			fprintf(out, "capabilities /%s %s\n", path, text);
	}
}

/* malloc'ed; NULL: no memory. */
static char *run_notes(const struct import *import, const json_t *records,
		       size_t *len)
{
	static const char *const kinds[] = {"users", "groups", "environment",
					    "libraries"};
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		run_notes_of(out, records, kinds[i]);
	run_notes_capabilities(out, import);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

int import_run_notes(struct import *import, const char *name,
		     const json_t *records)
{
	const struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	CLEANUP_FREE char *text = NULL;
	CLEANUP_FREE char *path = NULL;
	size_t len;
	int rc;

	text = run_notes(import, records, &len);
	if (!text || asprintf(&path, RUN_NOTES_DIR "/%s", name) < 0)
		return -ENOMEM;
	if (len == 0)
		return 0;
	rc = import_origin(import, RUN_NOTES_DIR);
	if (rc == 0)
		rc = import_file(import, path, &attr, len);
	if (rc == 0)
		rc = import_data(import, text, len);
	return rc < 0 ? rc : import_file_end(import);
}
