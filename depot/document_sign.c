/* SPDX-License-Identifier: Apache-2.0 */
/*
 * document_sign: the envelope of signed documents.
 *
 * What is signed is the payload's text, as bytes, and nothing is parsed of it
 * before a trusted key's signature over these bytes has been proved.  The
 * envelope itself must be read first, so it is kept as narrow as JSON allows:
 * canonical text (no white space, no second spelling of a character, nothing
 * behind its end), these three members only, and signatures in strictly rising
 * order of keys, so that none can be there twice.
 */
#include "depot/document_inside.h"

#include <limits.h>

#include "depot/format.h"
#include "depot/log.h"

static bool signature_read(const json_t *object, struct sign_key *key,
			   uint8_t signature[SIGN_LEN])
{
	const json_t *key_text = json_object_get(object, "key");
	const json_t *text = json_object_get(object, "sig");

	return json_object_size(object) == 2 && json_is_string(key_text) &&
	       json_is_string(text) &&
	       sign_key_from_hex(json_string_value(key_text),
				 json_string_length(key_text), key) == 0 &&
	       hex_read(json_string_value(text), json_string_length(text),
			signature, SIGN_LEN) == 0;
}

/* All keys whose signature is right; every one must be well formed. */
static int signatures_prove(const char *what, const json_t *signatures,
			    const char *payload, size_t len,
			    struct sign_keys *signers)
{
	uint8_t signature[SIGN_LEN];
	struct sign_key key, last;
	const json_t *object;
	size_t i;

	signers->count = 0;
	if (!json_is_array(signatures) ||
	    json_array_size(signatures) > SIGN_KEYS_MAX)
		return document_bad(what, "no right list of signatures");
	json_array_foreach(signatures, i, object)
	{
		if (!signature_read(object, &key, signature))
			return document_bad(what, "a signature has no form");
		if (i > 0 && sign_key_compare(&last, &key) >= 0)
			return document_bad(what,
					    "signatures are not in order, or "
					    "one key has signed twice");
		if (sign_verify(&key, payload, len, signature))
			signers->key[signers->count++] = key;
		last = key;
	}
	return 0;
}

static bool signatures_trusted(const struct sign_keys *signers,
			       const struct sign_keys *trusted)
{
	for (unsigned int i = 0; i < signers->count; i++)
		for (unsigned int j = 0; j < trusted->count; j++)
			if (sign_key_compare(&signers->key[i],
					     &trusted->key[j]) == 0)
				return true;
	return false;
}

static int envelope_payload(const char *what, const char *text, size_t len,
			    json_t *root, const json_t **payload)
{
	int rc;

	rc = document_check_canonical(what, root, text, len);
	if (rc < 0)
		return rc;
	*payload = json_object_get(root, "payload");
	if (!json_is_string(*payload) || json_object_size(root) != 3)
		return document_bad(what, "not a payload and its signatures");
	return 0;
}

int envelope_open(const char *what, const char *text, size_t len, json_t *root,
		  const struct sign_keys *trusted, const char **payload,
		  size_t *payload_len)
{
	struct sign_keys signers;
	const json_t *value;
	int rc;

	rc = envelope_payload(what, text, len, root, &value);
	if (rc < 0)
		return rc;
	*payload = json_string_value(value);
	*payload_len = json_string_length(value);
	if (!trusted)
		return 0;
	rc = signatures_prove(what, json_object_get(root, "signatures"),
			      *payload, *payload_len, &signers);
	if (rc < 0)
		return rc;
	if (!signatures_trusted(&signers, trusted))
		return log_err(-EKEYREJECTED, "%s: not signed by a trusted key",
			       what);
	return 0;
}

int document_signers(const char *json, size_t len, struct sign_keys *signers)
{
	CLEANUP_JSON json_t *root = NULL;
	const json_t *payload;
	int rc;

	signers->count = 0;
	rc = document_parse("document", json, len, INT_MAX, &root);
	if (rc < 0)
		return rc;
	/* The first root documents had no envelope. */
	if (!json_object_get(root, "payload"))
		return 0;
	rc = envelope_payload("document", json, len, root, &payload);
	if (rc < 0)
		return rc;
	return signatures_prove("document", json_object_get(root, "signatures"),
				json_string_value(payload),
				json_string_length(payload), signers);
}

static json_t *signature_json(const struct sign_key *secret,
			      const char *payload)
{
	struct sign_key key = sign_public(secret);
	char key_hex[DIGEST_HEX_LEN + 1], hex[SIGN_HEX_LEN + 1];
	uint8_t signature[SIGN_LEN];

	sign(secret, payload, strlen(payload), signature);
	sign_key_to_hex(&key, key_hex);
	hex_write(signature, SIGN_LEN, hex);
	return json_pack("{s:s, s:s}", "key", key_hex, "sig", hex);
}

int envelope_write(int format, const char *payload,
		   const struct sign_key *secret, char **text)
{
	json_t *root = json_object(), *signatures = json_array();
	bool ok = signatures != NULL;

	if (secret)
		ok =
		    ok && json_array_append_new(
			      signatures, signature_json(secret, payload)) == 0;
	ok &= document_set(root, "signatures", signatures);
	ok &= document_set(root, "format", json_integer(format));
	ok &= document_set(root, "payload", json_string(payload));
	return document_dump(root, ok, text);
}
