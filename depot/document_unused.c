/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_unused: what nothing in a depot at rest names any more.
 */
#include "depot/document_inside.h"

#include <stdio.h>

#include "depot/format.h"

static const char unused_what[] = "unused.json";

int unused_doc_write(const struct unused_doc *doc, char **json)
{
	json_t *root = json_object(), *since = json_object();
	bool ok = since != NULL;

	ASSERT(doc && json);

	for (unsigned int i = 0; i < doc->count; i++)
		ok &= document_set(since, doc->rows[i].path,
				   json_integer(doc->rows[i].since_sec));
	ok &= document_set(root, "format", json_integer(FORMAT_UNUSED));
	ok &= document_set(root, "since", since);
	return document_dump(root, ok, json);
}

static int unused_row_read(const char *path, const json_t *value,
			   struct unused_row *row)
{
	if (strlen(path) >= sizeof(row->path) || !json_is_integer(value) ||
	    json_integer_value(value) < 0)
		return document_bad(unused_what, "no right row");
	snprintf(row->path, sizeof(row->path), "%s", path);
	row->since_sec = json_integer_value(value);
	return 0;
}

static int unused_compare(const void *a, const void *b)
{
	const struct unused_row *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int unused_doc_read(const char *json, size_t len, struct unused_doc *doc)
{
	CLEANUP(unused_doc_clear) struct unused_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	json_t *since, *value;
	const char *path;
	int rc;

	rc = document_parse(unused_what, json, len, FORMAT_UNUSED, &root);
	if (rc < 0)
		return rc;
	since = json_object_get(root, "since");
	if (!json_is_object(since))
		return document_bad(unused_what, "no rows");
	got.rows = calloc(json_object_size(since) + 1, sizeof(*got.rows));
	if (!got.rows)
		return -ENOMEM;
	json_object_foreach(since, path, value)
	{
		rc = unused_row_read(path, value, &got.rows[got.count]);
		if (rc < 0)
			return rc;
		got.count++;
	}
	qsort(got.rows, got.count, sizeof(*got.rows), unused_compare);
	*doc = got;
	got.rows = NULL;
	return 0;
}

const struct unused_row *unused_doc_find(const struct unused_doc *doc,
					 const char *path)
{
	for (unsigned int i = 0; i < doc->count; i++)
		if (strcmp(doc->rows[i].path, path) == 0)
			return &doc->rows[i];
	return NULL;
}

void unused_doc_clear(struct unused_doc *doc)
{
	free(doc->rows);
	memset(doc, 0, sizeof(*doc));
}
