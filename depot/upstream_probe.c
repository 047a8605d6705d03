/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_probe: what a depot says of itself when it is added as an upstream,
 * and whether that is to be believed.
 */
#include <stdio.h>

#include "depot/document.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/trust.h"
#include "depot/upstream.h"

static int upstream_probe_get(struct upstream *upstream, void **text,
			      size_t *len)
{
	struct source_fault fault;
	int rc;

	rc = upstream_get(upstream, LAYOUT_ROOT, DOCUMENT_MAX, UPSTREAM_TRIES,
			  text, len, &fault);
	if (rc == 0)
		return 0;
	log_err(0, "upstream %s: %s%s", upstream_name(upstream), fault.text,
		rc == -ENOENT ? ": no depot there" : "");
	return rc == -ENOENT || rc == -EFBIG ? -EBADMSG : rc;
}

/* Neither key nor --unsigned: tell whose it would be. */
static int upstream_probe_refuse(const char *name, const char *text, size_t len)
{
	char list[SIGN_KEYS_MAX * (DIGEST_HEX_LEN + 2) + 1] = "";
	struct sign_keys signers;
	size_t at = 0;

	if (document_signers(text, len, &signers) < 0)
		signers.count = 0;
	for (unsigned int i = 0; i < signers.count; i++) {
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s",
				       i ? ", " : "");
		sign_key_to_hex(&signers.key[i], list + at);
		at += DIGEST_HEX_LEN;
	}
	if (signers.count == 0)
		log_err(0, "upstream %s: its depot is not signed", name);
	else
		log_err(0, "upstream %s: its depot is signed by key %s", name,
			list);
	return -EPERM;
}

static int upstream_probe_plain(struct upstream *upstream, struct trust *trust,
				const char *url, const char *text, size_t len,
				struct kv_batch *batch)
{
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	int rc;

	rc = root_doc_read(text, len, &root);
	if (rc == -EBADMSG)
		log_err(0,
			"upstream %s: %s: its " LAYOUT_ROOT
			" is no depot's root document",
			upstream_name(upstream), url);
	if (rc < 0)
		return rc;
	return trust_begin(trust, batch, upstream_name(upstream), NULL);
}

static int upstream_probe_signed(struct upstream *upstream, struct trust *trust,
				 const struct sign_key *key,
				 const struct sign_keys *keys, const char *text,
				 size_t len, struct kv_batch *batch)
{
	CLEANUP(root_doc_clear) struct root_doc root = {0};
	const char *name = upstream_name(upstream);
	int rc;

	rc = trust_root(trust, name, keys, true, text, len, &root);
	if (rc == 0 && key)
		rc = trust_begin(trust, batch, name, key);
	if (rc == 0)
		rc = trust_anew(trust, batch, name, &root);
	return rc;
}

int upstream_probe(struct upstream *upstream, struct kv *state,
		   struct trust *trust, const struct upstream_spec *spec,
		   struct kv_batch *batch)
{
	CLEANUP_FREE void *text = NULL;
	struct sign_keys keys;
	size_t len;
	int rc;

	rc = upstream_probe_get(upstream, &text, &len);
	if (rc < 0)
		return rc;
	if (spec->is_unsigned)
		return upstream_probe_plain(upstream, trust, spec->url, text,
					    len, batch);
	rc = trust_keys(state, spec->name, &keys);
	if (rc < 0)
		return rc;
	if (spec->key) {
		keys.key[0] = *spec->key;
		keys.count = 1;
	}
	if (keys.count == 0)
		return upstream_probe_refuse(spec->name, text, len);
	return upstream_probe_signed(upstream, trust, spec->key, &keys, text,
				     len, batch);
}
