/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document: the JSON documents of packages; this floor's only includer of
 * jansson.
 *
 * Canonical JSON: UTF-8, keys sorted by bytes, no white space, integers only.
 *
 * Revision (its digest is the SHA-256 of the canonical text):
 *   {"base":null,"closure":["python3=3.11.2-1+b1",...],"content_len":N,
 *    "files":N,"format":1,"licence":"","name":"python3","tree":"HEX",
 *    "users":[],"environment":{},"version":"3.11.2-1+b1"}
 * nothing in it depends on when, where or after what it was made.
 *
 * Tag document, one per package name.  What is signed is the text of
 * "payload", verified before it is parsed:
 *   {"format":1,"payload":"...","signatures":[{"key":"HEX","sig":"HEX"}]}
 * payload: {"entitled":null,"expires":0,"format":1,"name":"python3",
 *    "sequence":N,"tags":{"1":{"index":N,"previous":"HEX"|null,
 *    "revision":"HEX","tree":"HEX"}}}
 * sequence rises with every publication; expires is in seconds of UNIX time, 0
 * for never; index is the N of index/TREE-N; entitled null means everybody.
 *
 * Root document: {"format":1,"generation":N,"packages":["python3",...]}
 *
 * Readers: -EBADMSG for what is no such document, -EPROTONOSUPPORT for a newer
 * format.  Unknown keys are kept out of the way: ignored.
 */
#ifndef DEPOT_DOCUMENT_H
#define DEPOT_DOCUMENT_H

#include "depot/base.h"
#include "depot/depot.h"

enum { DOCUMENT_MAX = 16 << 20 }; /* bytes of one document */

struct revision_doc {
	char name[PACKAGE_NAME_MAX + 1];
	char version[TAG_NAME_MAX + 1];
	struct digest tree;
	uint64_t files, content_len;
	char **closure; /* owns; sorted; NULL-terminated, NULL when empty */
};

/* Canonical text, malloc'ed. */
MUST_CHECK int revision_write(const struct revision_doc *doc, char **json);
/* Refuses text that is not canonical (-EBADMSG). */
MUST_CHECK int revision_read(const char *json, size_t len,
			     struct revision_doc *doc);
void revision_doc_clear(struct revision_doc *doc);

struct tag_row {
	char tag[TAG_NAME_MAX + 1];
	struct digest revision, tree, previous;
	bool has_previous;
	uint32_t index;
};
struct tag_doc {
	char name[PACKAGE_NAME_MAX + 1];
	uint64_t sequence;
	int64_t expires_sec;
	struct tag_row *rows; /* owns; sorted by tag */
	unsigned int count;
};
MUST_CHECK int tag_doc_write(const struct tag_doc *doc, char **json);
MUST_CHECK int tag_doc_read(const char *json, size_t len, struct tag_doc *doc);
void tag_doc_clear(struct tag_doc *doc);

struct root_doc {
	uint64_t generation;
	char (*packages)[PACKAGE_NAME_MAX + 1]; /* owns; sorted */
	unsigned int count;
};
MUST_CHECK int root_doc_write(const struct root_doc *doc, char **json);
MUST_CHECK int root_doc_read(const char *json, size_t len,
			     struct root_doc *doc);
void root_doc_clear(struct root_doc *doc);

#endif
