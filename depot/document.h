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
 * of a capture also "base":"debian-12 sha256:HEX" and
 *    "records":{"users":["acme:x:998:..."],...}, see admin/capture.h; and of what
 *    can be a base, "records":{"os":["debian-12 sha256:HEX"]};
 * nothing in it depends on when, where or after what it was made.
 *
 * Tag document, one per package name, and root document, one per depot, are
 * envelopes:
 *   {"format":2,"payload":"...","signatures":[{"key":"HEX64","sig":"HEX128"}]}
 * What is signed (Ed25519) is the text of "payload", as bytes, which is proved
 * before any of it is parsed.  The envelope is canonical and has these members
 * only; keys rise strictly, so no key signs twice.
 *
 * Payload of a tag document, canonical when we write it:
 *   {"depot":"HEX32","entitled":null|["tenant",...],"expires":0,"format":2,
 *    "name":"python3","sequence":N,"tags":{"1":{"index":N,
 *    "previous":"HEX"|null,"revision":"HEX","tree":"HEX"}}}
 * Payload of the root document, depot.json:
 *   {"depot":"HEX32","expires":0,"format":2,"generation":N,
 *    "packages":{"python3":SEQUENCE,...}}
 * depot names the depot, drawn at random at its first push: a document of
 * another depot is refused.  sequence rises with every publication of the
 * package, generation with every publication; the root tells the sequence that
 * each package has at least, so that an old tag document cannot stand beside a
 * new root.  expires is in seconds of UNIX time, 0 for never; index is the N of
 * index/TREE-N; entitled null means everybody, and its names rise strictly.
 *
 * Format 1 is read still: tag documents without depot and entitled, and the
 * root document as {"format":1,"generation":N,"packages":["python3",...]},
 * without an envelope, which nobody can have signed.
 *
 * What nothing names any more, unused.json, is for publishers only, unsigned:
 *   {"format":1,"since":{"packs/HH/HEX":SECONDS,"index/TREE-N":SECONDS,...}}
 *
 * Readers: -EBADMSG for what is no such document, -EPROTONOSUPPORT for a newer
 * format.  Unknown keys of payloads are kept out of the way: ignored.
 */
#ifndef DEPOT_DOCUMENT_H
#define DEPOT_DOCUMENT_H

#include "depot/base.h"
#include "depot/depot.h"
#include "depot/layout.h"

enum { DOCUMENT_MAX = 16 << 20 }; /* bytes of one document */

struct revision_doc {
	char name[PACKAGE_NAME_MAX + 1];
	char version[TAG_NAME_MAX + 1];
	struct digest tree;
	uint64_t files, content_len;
	char **closure; /* owns; sorted; NULL-terminated, NULL when empty */
	char *base;	/* owns; what it was captured over; NULL: nothing */
	char *records;	/* owns; JSON object of arrays of text; NULL: none */
};

/* Canonical text, malloc'ed. */
MUST_CHECK int revision_write(const struct revision_doc *doc, char **json);
/* Refuses text that is not canonical (-EBADMSG). */
MUST_CHECK int revision_read(const char *json, size_t len,
			     struct revision_doc *doc);
void revision_doc_clear(struct revision_doc *doc);
/* The operating system that a package holds, as bases are named: the first of
 * its records' "os"; malloc'ed, or NULL: none. */
char *revision_os(const struct revision_doc *doc);

/* --- who signs ----------------------------------------------------------- */

enum { SIGN_KEYS_MAX = 16 }; /* of a document, of an upstream */

struct sign_keys {
	struct sign_key key[SIGN_KEYS_MAX];
	unsigned int count;
};

/* The keys whose signature of a tag or root document is right, each once. */
MUST_CHECK int document_signers(const char *json, size_t len,
				struct sign_keys *signers);

enum { DEPOT_ID_HEX_LEN = 32 };
struct depot_id {
	uint8_t bytes[16]; /* zeros: of a depot that has none */
};

/* --- tag and root -------------------------------------------------------- */

struct tag_row {
	char tag[TAG_NAME_MAX + 1];
	struct digest revision, tree, previous;
	bool has_previous;
	uint32_t index;
};
struct tag_doc {
	char name[PACKAGE_NAME_MAX + 1];
	struct depot_id depot;
	uint64_t sequence;
	int64_t expires_sec;
	bool is_restricted; /* to the entitled; else everybody is */
	char (*entitled)[PACKAGE_NAME_MAX + 1]; /* owns; tenants, sorted */
	unsigned int entitled_count;
	struct tag_row *rows; /* owns; sorted by tag */
	unsigned int count;
	struct digest payload; /* of the text; when read */
};
/* Unsigned; malloc'ed. */
MUST_CHECK int tag_doc_write(const struct tag_doc *doc, char **json);
/* Signed by secret; NULL: by nobody. */
MUST_CHECK int tag_doc_sign(const struct tag_doc *doc,
			    const struct sign_key *secret, char **json);
/* Whoever has signed it. */
MUST_CHECK int tag_doc_read(const char *json, size_t len, struct tag_doc *doc);
/* Only when one of these keys has signed it, or else -EKEYREJECTED. */
MUST_CHECK int tag_doc_prove(const char *json, size_t len,
			     const struct sign_keys *trusted,
			     struct tag_doc *doc);
bool tag_doc_entitles(const struct tag_doc *doc, const char *tenant);
void tag_doc_clear(struct tag_doc *doc);

struct root_package {
	char name[PACKAGE_NAME_MAX + 1];
	uint64_t sequence; /* of its tag document, at least; 0: not known */
};
struct root_doc {
	struct depot_id depot;
	uint64_t generation;
	int64_t expires_sec;
	struct root_package *packages; /* owns; sorted */
	unsigned int count;
	struct digest payload; /* of the text; when read in format 2 */
};
/* As of tag documents. */
MUST_CHECK int root_doc_write(const struct root_doc *doc, char **json);
MUST_CHECK int root_doc_sign(const struct root_doc *doc,
			     const struct sign_key *secret, char **json);
MUST_CHECK int root_doc_read(const char *json, size_t len,
			     struct root_doc *doc);
MUST_CHECK int root_doc_prove(const char *json, size_t len,
			      const struct sign_keys *trusted,
			      struct root_doc *doc);
/* NULL: it lists no such package. */
const struct root_package *root_doc_find(const struct root_doc *doc,
					 const char *name);
void root_doc_clear(struct root_doc *doc);

/* --- unused.json --------------------------------------------------------- */

struct unused_row {
	char path[LAYOUT_PATH_MAX];
	int64_t since_sec; /* when it was first found so */
};
struct unused_doc {
	struct unused_row *rows; /* owns; sorted when read */
	unsigned int count;
};
MUST_CHECK int unused_doc_write(const struct unused_doc *doc, char **json);
MUST_CHECK int unused_doc_read(const char *json, size_t len,
			       struct unused_doc *doc);
const struct unused_row *unused_doc_find(const struct unused_doc *doc,
					 const char *path);
void unused_doc_clear(struct unused_doc *doc);

#endif
