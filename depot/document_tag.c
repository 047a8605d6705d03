/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_tag: the tag document of a package.
 */
#include "depot/document_inside.h"

#include <stdio.h>

#include "depot/format.h"

static json_t *tag_row_json(const struct tag_row *row)
{
	json_t *object = json_object();
	bool ok = true;

	ok &= document_set(object, "index", json_integer(row->index));
	if (row->has_previous)
		ok &= document_set_digest(object, "previous", &row->previous);
	else
		ok &= document_set(object, "previous", json_null());
	ok &= document_set_digest(object, "revision", &row->revision);
	ok &= document_set_digest(object, "tree", &row->tree);
	if (!ok) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *tag_entitled_json(const struct tag_doc *doc)
{
	json_t *array;

	if (!doc->is_restricted)
		return json_null();
	array = json_array();
	for (unsigned int i = 0; array && i < doc->entitled_count; i++) {
		if (json_array_append_new(array,
					  json_string(doc->entitled[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static int tag_payload_write(const struct tag_doc *doc, char **payload)
{
	json_t *root = json_object(), *tags = json_object();
	bool ok = true;

	for (unsigned int i = 0; i < doc->count; i++)
		ok &= document_set(tags, doc->rows[i].tag,
				   tag_row_json(&doc->rows[i]));
	ok &= document_set_depot(root, &doc->depot);
	ok &= document_set(root, "entitled", tag_entitled_json(doc));
	ok &= document_set(root, "expires", json_integer(doc->expires_sec));
	ok &= document_set(root, "format", json_integer(FORMAT_TAG));
	ok &= document_set(root, "name", json_string(doc->name));
	ok &= document_set(root, "sequence",
			   json_integer((json_int_t)doc->sequence));
	ok &= document_set(root, "tags", tags);
	return document_dump(root, ok, payload);
}

int tag_doc_write(const struct tag_doc *doc, char **json)
{
	return tag_doc_sign(doc, NULL, json);
}

int tag_doc_sign(const struct tag_doc *doc, const struct sign_key *secret,
		 char **json)
{
	CLEANUP_FREE char *payload = NULL;
	int rc;

	ASSERT(doc && json);

	rc = tag_payload_write(doc, &payload);
	return rc < 0 ? rc : envelope_write(FORMAT_TAG, payload, secret, json);
}

static int tag_row_read(const char *tag, const json_t *object,
			struct tag_row *row)
{
	const json_t *previous = json_object_get(object, "previous");
	uint64_t index;

	if (!depot_tag_ok(tag))
		return document_bad("tag document", "no right tag name");
	memcpy(row->tag, tag, strlen(tag) + 1);
	if (!document_get_digest(object, "revision", &row->revision) ||
	    !document_get_digest(object, "tree", &row->tree))
		return document_bad("tag document", "no right digests");
	if (!document_get_u64(object, "index", &index) || index < 1 ||
	    index > UINT32_MAX)
		return document_bad("tag document", "no right index number");
	row->index = (uint32_t)index;
	if (!previous || json_is_null(previous))
		return 0;
	row->has_previous = true;
	if (!document_get_digest(object, "previous", &row->previous))
		return document_bad("tag document", "bad previous");
	return 0;
}

static int tag_row_compare(const void *a, const void *b)
{
	const struct tag_row *x = a, *y = b;

	return strcmp(x->tag, y->tag);
}

static int tag_rows_read(json_t *payload, struct tag_doc *doc)
{
	json_t *tags = json_object_get(payload, "tags"), *value;
	const char *key;
	int rc;

	if (!json_is_object(tags))
		return document_bad("tag document", "no tags");
	if (json_object_size(tags) == 0)
		return 0;
	doc->rows = calloc(json_object_size(tags), sizeof(*doc->rows));
	if (!doc->rows)
		return -ENOMEM;
	json_object_foreach(tags, key, value)
	{
		rc = tag_row_read(key, value, &doc->rows[doc->count]);
		if (rc < 0)
			return rc;
		doc->count++;
	}
	qsort(doc->rows, doc->count, sizeof(*doc->rows), tag_row_compare);
	return 0;
}

/* Null, and in the first format nothing, is everybody. */
static int tag_entitled_read(const json_t *payload, struct tag_doc *doc)
{
	const json_t *array = json_object_get(payload, "entitled"), *value;
	size_t i;

	if (!array || json_is_null(array))
		return 0;
	if (!json_is_array(array))
		return document_bad("tag document", "bad list of the entitled");
	doc->is_restricted = true;
	doc->entitled =
	    calloc(json_array_size(array) + 1, sizeof(*doc->entitled));
	if (!doc->entitled)
		return -ENOMEM;
	json_array_foreach(array, i, value)
	{
		if (!json_is_string(value) ||
		    !depot_name_ok(json_string_value(value)) ||
		    (i > 0 && strcmp(doc->entitled[i - 1],
				     json_string_value(value)) >= 0))
			return document_bad("tag document",
					    "bad list of the entitled");
		snprintf(doc->entitled[i], sizeof(doc->entitled[i]), "%s",
			 json_string_value(value));
		doc->entitled_count++;
	}
	return 0;
}

bool tag_doc_entitles(const struct tag_doc *doc, const char *tenant)
{
	if (!doc->is_restricted)
		return true;
	for (unsigned int i = 0; i < doc->entitled_count; i++)
		if (strcmp(doc->entitled[i], tenant) == 0)
			return true;
	return false;
}

static int tag_payload_read(const char *text, size_t len, struct tag_doc *doc)
{
	CLEANUP_JSON json_t *root = NULL;
	uint64_t expires;
	int rc;

	rc = document_parse("tag document", text, len, FORMAT_TAG, &root);
	if (rc < 0)
		return rc;
	if (!document_get_text(root, "name", doc->name, sizeof(doc->name)) ||
	    !depot_name_ok(doc->name))
		return document_bad("tag document", "no right name");
	if (!document_get_u64(root, "sequence", &doc->sequence))
		return document_bad("tag document", "no right sequence");
	if (!document_get_u64(root, "expires", &expires))
		return document_bad("tag document", "no right expiry");
	doc->expires_sec = (int64_t)expires;
	if (json_object_get(root, "depot") &&
	    !document_get_depot(root, &doc->depot))
		return document_bad("tag document", "no right depot");
	rc = tag_entitled_read(root, doc);
	return rc < 0 ? rc : tag_rows_read(root, doc);
}

int tag_doc_read(const char *json, size_t len, struct tag_doc *doc)
{
	return tag_doc_prove(json, len, NULL, doc);
}

int tag_doc_prove(const char *json, size_t len, const struct sign_keys *trusted,
		  struct tag_doc *doc)
{
	CLEANUP(tag_doc_clear) struct tag_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	const char *payload;
	size_t payload_len;
	int rc;

	rc = document_parse("tag document", json, len, FORMAT_TAG, &root);
	if (rc == 0)
		rc = envelope_open("tag document", json, len, root, trusted,
				   &payload, &payload_len);
	if (rc == 0)
		rc = tag_payload_read(payload, payload_len, &got);
	if (rc < 0)
		return rc;
	got.payload = digest_of(payload, payload_len);
	*doc = got;
	got.rows = NULL;
	got.entitled = NULL;
	return 0;
}

void tag_doc_clear(struct tag_doc *doc)
{
	free(doc->rows);
	free(doc->entitled);
	memset(doc, 0, sizeof(*doc));
}
