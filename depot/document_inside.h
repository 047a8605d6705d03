/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_inside: what the files of document share, and nobody else sees.
 */
#ifndef DEPOT_DOCUMENT_INSIDE_H
#define DEPOT_DOCUMENT_INSIDE_H

#include <jansson.h>

#include "depot/document.h"

static inline void document_put_ptr(json_t **json)
{
	json_decref(*json);
}
#define CLEANUP_JSON CLEANUP(document_put_ptr)

/* Logs "WHAT: WHY"; -EBADMSG. */
int document_bad(const char *what, const char *why);

/* Reads an object of this kind's format; *json is owned by the caller. */
MUST_CHECK int document_parse(const char *what, const char *text, size_t len,
			      int format_max, json_t **json);
/* Is `text`, which was parsed to root, its canonical text? */
MUST_CHECK int document_check_canonical(const char *what, json_t *root,
					const char *text, size_t len);

/* takes root, NULL when one of its parts found no memory. */
MUST_CHECK int document_dump(json_t *root, bool complete, char **text);
/* takes value (NULL: no memory).  false: no memory. */
bool document_set(json_t *object, const char *key, json_t *value);
bool document_set_digest(json_t *object, const char *key,
			 const struct digest *d);

/* false: it is not there, or of another form. */
bool document_get_text(const json_t *object, const char *key, char *out,
		       size_t cap);
bool document_get_u64(const json_t *object, const char *key, uint64_t *out);
bool document_get_digest(const json_t *object, const char *key,
			 struct digest *out);

bool document_set_depot(json_t *object, const struct depot_id *depot);
bool document_get_depot(const json_t *object, struct depot_id *depot);

/* --- envelopes (document_sign.c) ----------------------------------------- */

/*
 * A payload and who has signed it.  In: text of {"format":N,"payload":"...",
 * "signatures":[...]}, canonical and with nothing else in it; `root` as
 * document_parse() gave it.  trusted NULL: signatures are not proved.  The
 * payload is borrowed from root.  -EKEYREJECTED: none of the trusted keys has
 * signed it.
 */
MUST_CHECK int envelope_open(const char *what, const char *text, size_t len,
			     json_t *root, const struct sign_keys *trusted,
			     const char **payload, size_t *payload_len);
/* Signed by secret, or by nobody (NULL). */
MUST_CHECK int envelope_write(int format, const char *payload,
			      const struct sign_key *secret, char **text);

#endif
