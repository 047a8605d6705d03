/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document: what all three kinds share is here: parsing with limits, the
 * canonical text, typed members; then revisions.  Tag and root documents are in
 * document_tag.c and document_root.c, signatures in document_sign.c.
 *
 * jansson sorts the keys, leaves out white space, refuses NULs, numbers above
 * 63 bits and nesting above 2048; that a text is canonical is found by writing
 * it again.
 */
#include "depot/document.h"

#include <stdio.h>

#include "depot/document_inside.h"
#include "depot/format.h"
#include "depot/log.h"

enum { DOCUMENT_DUMP_FLAGS = JSON_COMPACT | JSON_SORT_KEYS };

int document_bad(const char *what, const char *why)
{
	return log_err(-EBADMSG, "%s: %s", what, why);
}

/* Reads an object of this kind's format; *json is owned by the caller. */
int document_parse(const char *what, const char *text, size_t len,
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
int document_dump(json_t *root, bool complete, char **text)
{
	CLEANUP_JSON json_t *owned = root;

	if (!owned || !complete)
		return -ENOMEM;
	*text = json_dumps(owned, DOCUMENT_DUMP_FLAGS);
	return *text ? 0 : -ENOMEM;
}

/* json_object_set_new takes the value also when it fails. */
bool document_set(json_t *object, const char *key, json_t *value)
{
	return object && json_object_set_new(object, key, value) == 0;
}

bool document_set_digest(json_t *object, const char *key,
			 const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	return document_set(object, key, json_string(hex));
}

bool document_get_text(const json_t *object, const char *key, char *out,
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

bool document_get_u64(const json_t *object, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*out = (uint64_t)json_integer_value(value);
	return true;
}

bool document_get_digest(const json_t *object, const char *key,
			 struct digest *out)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) &&
	       digest_from_hex(json_string_value(value),
			       json_string_length(value), out) == 0;
}

bool document_set_depot(json_t *object, const struct depot_id *depot)
{
	char hex[DEPOT_ID_HEX_LEN + 1];

	hex_write(depot->bytes, sizeof(depot->bytes), hex);
	return document_set(object, "depot", json_string(hex));
}

bool document_get_depot(const json_t *object, struct depot_id *depot)
{
	const json_t *value = json_object_get(object, "depot");

	return json_is_string(value) &&
	       hex_read(json_string_value(value), json_string_length(value),
			depot->bytes, sizeof(depot->bytes)) == 0;
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

int document_check_canonical(const char *what, json_t *root, const char *text,
			     size_t len)
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

	ok &= document_set(root, "base",
			   doc->base ? json_string(doc->base) : json_null());
	if (doc->records)
		ok &= document_set(root, "records",
				   json_loads(doc->records, 0, NULL));
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

/* Both may be missing: revisions of earlier versions have neither. */
static int revision_records_read(const json_t *root, struct revision_doc *doc)
{
	const json_t *base = json_object_get(root, "base");
	json_t *records = json_object_get(root, "records"), *list, *text;
	const char *key;
	size_t i;

	if (json_is_string(base)) {
		doc->base = strdup(json_string_value(base));
		if (!doc->base)
			return -ENOMEM;
	}
	if (!records)
		return 0;
	if (!json_is_object(records))
		return document_bad("revision", "bad records");
	json_object_foreach(records, key, list)
	{
		if (!json_is_array(list))
			return document_bad("revision", "bad records");
		json_array_foreach(list, i, text)
		{
			if (!json_is_string(text))
				return document_bad("revision", "bad records");
		}
	}
	doc->records = json_dumps(records, DOCUMENT_DUMP_FLAGS);
	return doc->records ? 0 : -ENOMEM;
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
	if (rc == 0)
		rc = revision_records_read(root, &got);
	if (rc < 0)
		return rc;
	*doc = got;
	got.closure = NULL;
	got.base = got.records = NULL;
	return 0;
}

char *revision_os(const struct revision_doc *doc)
{
	CLEANUP_JSON json_t *records =
	    doc->records ? json_loads(doc->records, 0, NULL) : NULL;
	const char *os = json_string_value(
	    json_array_get(json_object_get(records, "os"), 0));

	return os ? strdup(os) : NULL;
}

void revision_doc_clear(struct revision_doc *doc)
{
	for (char **p = doc->closure; p && *p; p++)
		free(*p);
	free(doc->closure);
	free(doc->base);
	free(doc->records);
	memset(doc, 0, sizeof(*doc));
}
