/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_root: the root document of a depot at rest, of both its formats: the
 * first had neither envelope nor depot nor sequences.
 */
#include "depot/document_inside.h"

#include <stdio.h>

#include "depot/format.h"
#include "depot/log.h"

enum { ROOT_FORMAT_PLAIN = 1 };

static json_t *root_packages_json(const struct root_doc *doc)
{
	json_t *packages = json_object();
	bool ok = packages != NULL;

	for (unsigned int i = 0; i < doc->count; i++)
		ok &= document_set(
		    packages, doc->packages[i].name,
		    json_integer((json_int_t)doc->packages[i].sequence));
	if (ok)
		return packages;
	json_decref(packages);
	return NULL;
}

static int root_payload_write(const struct root_doc *doc, char **payload)
{
	json_t *root = json_object();
	bool ok = true;

	ok &= document_set_depot(root, &doc->depot);
	ok &= document_set(root, "expires", json_integer(doc->expires_sec));
	ok &= document_set(root, "format", json_integer(FORMAT_DEPOT));
	ok &= document_set(root, "generation",
			   json_integer((json_int_t)doc->generation));
	ok &= document_set(root, "packages", root_packages_json(doc));
	return document_dump(root, ok, payload);
}

int root_doc_sign(const struct root_doc *doc, const struct sign_key *secret,
		  char **json)
{
	CLEANUP_FREE char *payload = NULL;
	int rc;

	ASSERT(doc && json);

	rc = root_payload_write(doc, &payload);
	return rc < 0 ? rc
		      : envelope_write(FORMAT_DEPOT, payload, secret, json);
}

int root_doc_write(const struct root_doc *doc, char **json)
{
	return root_doc_sign(doc, NULL, json);
}

static int root_compare(const void *a, const void *b)
{
	const struct root_package *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* In their order; each only once. */
static int root_sort(struct root_doc *doc)
{
	if (doc->count > 1)
		qsort(doc->packages, doc->count, sizeof(*doc->packages),
		      root_compare);
	for (unsigned int i = 1; i < doc->count; i++)
		if (root_compare(&doc->packages[i - 1], &doc->packages[i]) == 0)
			return document_bad("depot.json", "a package twice");
	return 0;
}

static int root_room(struct root_doc *doc, size_t count)
{
	doc->packages = calloc(count + 1, sizeof(*doc->packages));
	return doc->packages ? 0 : -ENOMEM;
}

static int root_package_add(struct root_doc *doc, const char *name,
			    uint64_t sequence)
{
	struct root_package *package = &doc->packages[doc->count];

	if (!depot_name_ok(name))
		return document_bad("depot.json", "bad package name");
	snprintf(package->name, sizeof(package->name), "%s", name);
	package->sequence = sequence;
	doc->count++;
	return 0;
}

/* The first format: a list of names. */
static int root_read_plain(json_t *root, struct root_doc *doc)
{
	const json_t *packages = json_object_get(root, "packages");
	const json_t *value;
	size_t i;
	int rc;

	if (!json_is_array(packages))
		return document_bad("depot.json", "no packages");
	rc = root_room(doc, json_array_size(packages));
	json_array_foreach(packages, i, value)
	{
		if (rc == 0 && !json_is_string(value))
			rc = document_bad("depot.json", "bad package name");
		if (rc == 0)
			rc = root_package_add(doc, json_string_value(value), 0);
	}
	return rc;
}

static int root_read_packages(json_t *payload, struct root_doc *doc)
{
	json_t *packages = json_object_get(payload, "packages"), *value;
	const char *name;
	int rc;

	if (!json_is_object(packages))
		return document_bad("depot.json", "no packages");
	rc = root_room(doc, json_object_size(packages));
	json_object_foreach(packages, name, value)
	{
		if (rc == 0 &&
		    (!json_is_integer(value) || json_integer_value(value) < 0))
			rc = document_bad("depot.json", "no right sequence");
		if (rc == 0)
			rc = root_package_add(
			    doc, name, (uint64_t)json_integer_value(value));
	}
	return rc;
}

static int root_read_payload(const char *text, size_t len, struct root_doc *doc)
{
	CLEANUP_JSON json_t *payload = NULL;
	uint64_t expires;
	int rc;

	rc = document_parse("depot.json", text, len, FORMAT_DEPOT, &payload);
	if (rc < 0)
		return rc;
	if (!document_get_depot(payload, &doc->depot))
		return document_bad("depot.json", "no right depot");
	if (!document_get_u64(payload, "expires", &expires))
		return document_bad("depot.json", "no right expiry");
	doc->expires_sec = (int64_t)expires;
	if (!document_get_u64(payload, "generation", &doc->generation))
		return document_bad("depot.json", "no right generation");
	doc->payload = digest_of(text, len);
	return root_read_packages(payload, doc);
}

static int root_read(const char *json, size_t len, json_t *root,
		     const struct sign_keys *trusted, struct root_doc *doc)
{
	const char *payload;
	size_t payload_len;
	int rc;

	if (json_integer_value(json_object_get(root, "format")) ==
	    ROOT_FORMAT_PLAIN) {
		if (trusted)
			return log_err(-EKEYREJECTED, "depot.json: not signed");
		if (!document_get_u64(root, "generation", &doc->generation))
			return document_bad("depot.json",
					    "no right generation");
		return root_read_plain(root, doc);
	}
	rc = envelope_open("depot.json", json, len, root, trusted, &payload,
			   &payload_len);
	return rc < 0 ? rc : root_read_payload(payload, payload_len, doc);
}

int root_doc_prove(const char *json, size_t len,
		   const struct sign_keys *trusted, struct root_doc *doc)
{
	CLEANUP(root_doc_clear) struct root_doc got = {0};
	CLEANUP_JSON json_t *root = NULL;
	int rc;

	rc = document_parse("depot.json", json, len, FORMAT_DEPOT, &root);
	if (rc == 0)
		rc = root_read(json, len, root, trusted, &got);
	if (rc == 0)
		rc = root_sort(&got);
	if (rc < 0)
		return rc;
	*doc = got;
	got.packages = NULL;
	return 0;
}

int root_doc_read(const char *json, size_t len, struct root_doc *doc)
{
	return root_doc_prove(json, len, NULL, doc);
}

const struct root_package *root_doc_find(const struct root_doc *doc,
					 const char *name)
{
	for (unsigned int i = 0; i < doc->count; i++)
		if (strcmp(doc->packages[i].name, name) == 0)
			return &doc->packages[i];
	return NULL;
}

void root_doc_clear(struct root_doc *doc)
{
	free(doc->packages);
	memset(doc, 0, sizeof(*doc));
}
