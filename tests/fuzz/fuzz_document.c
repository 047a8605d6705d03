/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_document: arbitrary text as each of the three documents.  Promises: what
 * is taken has legal names, and says the same when it is written and read
 * again.
 */
#include "depot/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_document_rc(int rc)
{
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
}

static void fuzz_revision(const char *text, size_t len)
{
	struct revision_doc doc = {0}, again = {0};
	int rc = revision_read(text, len, &doc);
	char *json;

	fuzz_document_rc(rc);
	if (rc < 0)
		return;
	ASSERT(depot_name_ok(doc.name));
	ASSERT(revision_write(&doc, &json) == 0);
	ASSERT(revision_read(json, strlen(json), &again) == 0);
	ASSERT(digest_equal(&doc.tree, &again.tree));
	ASSERT(doc.files == again.files &&
	       doc.content_len == again.content_len);
	free(json);
	revision_doc_clear(&doc);
	revision_doc_clear(&again);
}

static void fuzz_tags(const char *text, size_t len)
{
	struct tag_doc doc = {0}, again = {0};
	int rc = tag_doc_read(text, len, &doc);
	char *json;

	fuzz_document_rc(rc);
	if (rc < 0)
		return;
	ASSERT(tag_doc_write(&doc, &json) == 0);
	ASSERT(tag_doc_read(json, strlen(json), &again) == 0);
	ASSERT(doc.count == again.count && doc.sequence == again.sequence);
	for (unsigned int i = 0; i < doc.count; i++) {
		ASSERT(depot_tag_ok(doc.rows[i].tag));
		ASSERT(strcmp(doc.rows[i].tag, again.rows[i].tag) == 0);
		ASSERT(i == 0 ||
		       strcmp(doc.rows[i - 1].tag, doc.rows[i].tag) < 0);
	}
	free(json);
	tag_doc_clear(&doc);
	tag_doc_clear(&again);
}

static void fuzz_root(const char *text, size_t len)
{
	struct root_doc doc = {0}, again = {0};
	int rc = root_doc_read(text, len, &doc);
	char *json;

	fuzz_document_rc(rc);
	if (rc < 0)
		return;
	ASSERT(root_doc_write(&doc, &json) == 0);
	ASSERT(root_doc_read(json, strlen(json), &again) == 0);
	ASSERT(doc.count == again.count && doc.generation == again.generation);
	free(json);
	root_doc_clear(&doc);
	root_doc_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* jansson's own reader is bounded by length, not by a NUL. */
	const char *text = (const char *)data;

	fuzz_revision(text, len);
	fuzz_tags(text, len);
	fuzz_root(text, len);
	return 0;
}
