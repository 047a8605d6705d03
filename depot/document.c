/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document: what all three kinds share is here first: parsing with limits, the
 * canonical text, typed members.  Each kind then has its writer and its reader.
 *
 * jansson sorts the keys, leaves out white space, refuses NULs, numbers above
 * 63 bits and nesting above 2048; that a text is canonical is found by writing
 * it again.
 */
#include "depot/document.h"

#include <jansson.h>
#include <stdio.h>

#include "depot/format.h"
#include "depot/log.h"

enum { DOCUMENT_DUMP_FLAGS = JSON_COMPACT | JSON_SORT_KEYS };

static inline void document_put_ptr(json_t **json)
{
	json_decref(*json);
}
#define CLEANUP_JSON CLEANUP(document_put_ptr)

static int document_bad(const char *what, const char *why)
{
	return log_err(-EBADMSG, "%s: %s", what, why);
}

/* Reads an object of this kind's format; *json is owned by the caller. */
static int document_parse(const char *what, const char *text, size_t len,
			  int format_max, json_t **json)
{
	CLEANUP_JSON json_t *root = NULL;
	json_error_t error;
	json_t *format;

	if (len > DOCUMENT_MAX)
		return document_bad(what, "longer than any document");
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return log_err(-EBADMSG, "%s: line %d: %s", what, error.line,
			       error.text);
	format = json_object_get(root, "format");
	if (!json_is_integer(format) || json_integer_value(format) < 1)
		return document_bad(what, "no format number");
	if (json_integer_value(format) > format_max)
		return log_err(
		    -EPROTONOSUPPORT,
		    "%s: format %lld is newer than this version's %d", what,
		    (long long)json_integer_value(format), format_max);
	*json = STEAL(root);
	return 0;
}

/* takes root, NULL when one of its parts found no memory. */
static int document_dump(json_t *root, bool complete, char **text)
{
	CLEANUP_JSON json_t *owned = root;

	if (!owned || !complete)
		return -ENOMEM;
	*text = json_dumps(owned, DOCUMENT_DUMP_FLAGS);
	return *text ? 0 : -ENOMEM;
}

/* json_object_set_new takes the value also when it fails. */
static bool document_set(json_t *object, const char *key, json_t *value)
{
	return object && json_object_set_new(object, key, value) == 0;
}

static bool document_set_digest(json_t *object, const char *key,
				const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	return document_set(object, key, json_string(hex));
}

static bool document_get_text(const json_t *object, const char *key, char *out,
			      size_t cap)
{
	const json_t *value = json_object_get(object, key);
	size_t len;

	if (!json_is_string(value))
		return false;
	len = json_string_length(value);
	if (len >= cap)
		return false;
	memcpy(out, json_string_value(value), len + 1);
	return true;
}

static bool document_get_u64(const json_t *object, const char *key,
			     uint64_t *out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*out = (uint64_t)json_integer_value(value);
	return true;
}

static bool document_get_digest(const json_t *object, const char *key,
				struct digest *out)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) &&
	       digest_from_hex(json_string_value(value),
			       json_string_length(value), out) == 0;
}

/* Canonical documents hold integers only.  jansson bounds the depth. */
static bool document_has_real(json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_real(value))
		return true;
	json_array_foreach(value, i, member)
	{
		if (document_has_real(member))
			return true;
	}
	json_object_foreach(value, key, member)
	{
		if (document_has_real(member))
			return true;
	}
	return false;
}

static int document_check_canonical(const char *what, json_t *root,
				    const char *text, size_t len)
{
	CLEANUP_FREE char *again = NULL;

	if (document_has_real(root))
		return document_bad(what, "not canonical: a fraction");
	again = json_dumps(root, DOCUMENT_DUMP_FLAGS);
	if (!again)
		return -ENOMEM;
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return document_bad(what, "not in canonical form");
	return 0;
}

/* --- revision ------------------------------------------------------------ */

static json_t *revision_closure_json(const struct revision_doc *doc)
{
	json_t *array = json_array();

	for (char **p = doc->closure; array && p && *p; p++) {
		if (json_array_append_new(array, json_string(*p)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int revision_write(const struct revision_doc *doc, char **json)
{
	json_t *root = json_object();
	bool ok = true;

	ASSERT(doc && json);

	ok &= document_set(root, "base", json_null());
	ok &= document_set(root, "closure", revision_closure_json(doc));
	ok &= document_set(root, "content_len",
			   json_integer((json_int_t)doc->content_len));
	ok &= document_set(root, "files", json_integer((json_int_t)doc->files));
	ok &= document_set(root, "format", json_integer(FORMAT_REVISION));
	ok &= document_set(root, "licence", json_string(""));
	ok &= document_set(root, "name", json_string(doc->name));
	ok &= document_set_digest(root, "tree", &doc->tree);
	ok &= document_set(root, "users", json_array());
	ok &= document_set(root, "environment", json_object());
	ok &= document_set(root, "version", json_string(doc->version));
	return document_dump(root, ok, json);
}

static int revision_closure_read(const json_t *root, struct revision_doc *doc)
{
	const json_t *array = json_object_get(root, "closure");
	const json_t *value;
	size_t i;

	if (!json_is_array(array))
		return document_bad("revision", "no closure");
	if (json_array_size(array) == 0)
		return 0;
	doc->closure =
	    calloc(json_array_size(array) + 1, sizeof(*doc->closure));
	if (!doc->closure)
		return -ENOMEM;
	json_array_foreach(array, i, value)
	{
		if (!json_is_string(value))
			return document_bad("revision", "bad closure");
		if (i > 0 &&
		    strcmp(doc->closure[i - 1], json_string_value(value)) >= 0)
			return document_bad("revision", "closure not sorted");
		doc->closure[i] = strdup(json_string_value(value));
		if (!doc->closure[i])
			return -ENOMEM;
	}
	return 0;
}

int revision_read(const char *json, size_t len, struct revision_doc *doc)
{
	CLEANUP(revision_doc_clear) struct revision_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	int rc;

	rc = document_parse("revision", json, len, FORMAT_REVISION, &root);
	if (rc < 0)
		return rc;
	rc = document_check_canonical("revision", root, json, len);
	if (rc < 0)
		return rc;
	if (!document_get_text(root, "name", got.name, sizeof(got.name)) ||
	    !depot_name_ok(got.name))
		return document_bad("revision", "no right name");
	if (!document_get_text(root, "version", got.version,
			       sizeof(got.version)))
		return document_bad("revision", "no right version");
	if (!document_get_digest(root, "tree", &got.tree))
		return document_bad("revision", "no right tree");
	if (!document_get_u64(root, "files", &got.files) ||
	    !document_get_u64(root, "content_len", &got.content_len))
		return document_bad("revision", "no right counts");
	rc = revision_closure_read(root, &got);
	if (rc < 0)
		return rc;
	*doc = got;
	got.closure = NULL;
	return 0;
}

void revision_doc_clear(struct revision_doc *doc)
{
	for (char **p = doc->closure; p && *p; p++)
		free(*p);
	free(doc->closure);
	memset(doc, 0, sizeof(*doc));
}

/* --- tag document -------------------------------------------------------- */

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

static int tag_payload_write(const struct tag_doc *doc, char **payload)
{
	json_t *root = json_object(), *tags = json_object();
	bool ok = true;

	for (unsigned int i = 0; i < doc->count; i++)
		ok &= document_set(tags, doc->rows[i].tag,
				   tag_row_json(&doc->rows[i]));
	ok &= document_set(root, "entitled", json_null());
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
	CLEANUP_FREE char *payload = NULL;
	json_t *root;
	bool ok = true;
	int rc;

	ASSERT(doc && json);

	rc = tag_payload_write(doc, &payload);
	if (rc < 0)
		return rc;
	root = json_object();
	ok &= document_set(root, "format", json_integer(FORMAT_TAG));
	ok &= document_set(root, "payload", json_string(payload));
	ok &= document_set(root, "signatures", json_array());
	return document_dump(root, ok, json);
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
	return tag_rows_read(root, doc);
}

int tag_doc_read(const char *json, size_t len, struct tag_doc *doc)
{
	CLEANUP(tag_doc_clear) struct tag_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	const json_t *payload;
	int rc;

	rc = document_parse("tag document", json, len, FORMAT_TAG, &root);
	if (rc < 0)
		return rc;
	payload = json_object_get(root, "payload");
	if (!json_is_string(payload))
		return document_bad("tag document", "no payload");
	rc = tag_payload_read(json_string_value(payload),
			      json_string_length(payload), &got);
	if (rc < 0)
		return rc;
	*doc = got;
	got.rows = NULL;
	return 0;
}

void tag_doc_clear(struct tag_doc *doc)
{
	free(doc->rows);
	memset(doc, 0, sizeof(*doc));
}

/* --- root document ------------------------------------------------------- */

int root_doc_write(const struct root_doc *doc, char **json)
{
	json_t *root = json_object(), *packages = json_array();
	bool ok = packages != NULL;

	ASSERT(doc && json);

	for (unsigned int i = 0; ok && i < doc->count; i++)
		ok = json_array_append_new(packages,
					   json_string(doc->packages[i])) == 0;
	ok &= document_set(root, "format", json_integer(FORMAT_DEPOT));
	ok &= document_set(root, "generation",
			   json_integer((json_int_t)doc->generation));
	ok &= document_set(root, "packages", packages);
	return document_dump(root, ok, json);
}

static int root_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int root_packages_read(const json_t *root, struct root_doc *doc)
{
	const json_t *packages = json_object_get(root, "packages");
	const json_t *value;
	size_t i;

	if (!json_is_array(packages))
		return document_bad("depot.json", "no packages");
	if (json_array_size(packages) == 0)
		return 0;
	doc->packages =
	    calloc(json_array_size(packages), sizeof(*doc->packages));
	if (!doc->packages)
		return -ENOMEM;
	json_array_foreach(packages, i, value)
	{
		if (!json_is_string(value) ||
		    !depot_name_ok(json_string_value(value)))
			return document_bad("depot.json", "bad package name");
		snprintf(doc->packages[i], sizeof(doc->packages[i]), "%s",
			 json_string_value(value));
		doc->count++;
	}
	qsort(doc->packages, doc->count, sizeof(*doc->packages), root_compare);
	return 0;
}

int root_doc_read(const char *json, size_t len, struct root_doc *doc)
{
	CLEANUP(root_doc_clear) struct root_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	int rc;

	rc = document_parse("depot.json", json, len, FORMAT_DEPOT, &root);
	if (rc < 0)
		return rc;
	if (!document_get_u64(root, "generation", &got.generation))
		return document_bad("depot.json", "no right generation");
	rc = root_packages_read(root, &got);
	if (rc < 0)
		return rc;
	*doc = got;
	got.packages = NULL;
	return 0;
}

void root_doc_clear(struct root_doc *doc)
{
	free(doc->packages);
	memset(doc, 0, sizeof(*doc));
}
