/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_document: documents of upstreams, and what was seen of them.
 */
#include <stdio.h>
#include <time.h>

#include "depot/layout.h"
#include "depot/log.h"
#include "depot/store.h"
#include "depot/trust_inside.h"

enum { TRUST_DAY = 86400 };

struct trust_seen {
	uint64_t number;
	struct digest payload;
	struct depot_id depot;
};

/* --- what was seen ------------------------------------------------------- */

static size_t trust_seen_key(uint8_t *row, const char *upstream,
			     const char *package)
{
	return trust_row_key(row, STATE_KEY_SEEN, upstream, package,
			     strlen(package));
}

static int trust_seen_get(struct trust *trust, const char *upstream,
			  const char *package, struct trust_seen *seen)
{
	uint8_t row[TRUST_NAME_KEY_MAX];
	const struct store_seen *stored;
	struct kv_value value;
	int rc;

	rc = kv_get(trust->state, row, trust_seen_key(row, upstream, package),
		    &value);
	stored = (const struct store_seen *)value.data;
	if (rc == 0 && value.len == sizeof(*stored)) {
		seen->number = le64_get(&stored->number_le);
		memcpy(seen->payload.bytes, stored->payload, DIGEST_LEN);
		memcpy(seen->depot.bytes, stored->depot, sizeof(stored->depot));
	} else if (rc == 0) {
		rc = log_err(-EBADMSG, "state database: what was seen of %s %s",
			     upstream, package);
	}
	kv_value_release(&value);
	return rc;
}

static void trust_seen_put(struct kv_batch *batch, const char *upstream,
			   const char *package, const struct trust_seen *seen)
{
	uint8_t row[TRUST_NAME_KEY_MAX];
	struct store_seen stored;

	le64_put(&stored.number_le, seen->number);
	memcpy(stored.payload, seen->payload.bytes, DIGEST_LEN);
	memcpy(stored.depot, seen->depot.bytes, sizeof(stored.depot));
	kv_batch_put(batch, row, trust_seen_key(row, upstream, package),
		     &stored, sizeof(stored));
}

static void trust_forget(struct kv_batch *batch, const char *upstream)
{
	uint8_t from[TRUST_NAME_KEY_MAX], to[TRUST_NAME_KEY_MAX];
	size_t len = trust_seen_key(from, upstream, "");

	memcpy(to, from, len);
	to[len - 1] = 1; /* behind all that begin with NAME and NUL */
	kv_batch_delete_range(batch, from, len, to, len);
}

/* --- documents ----------------------------------------------------------- */

static int trust_refuse(const char *upstream, const char *path, const char *why)
{
	log_err(0, "upstream %s: %s: %s", upstream, path, why);
	return -EBADMSG;
}

/* Codes of document's readers.  Who has signed is told: an operator compares
 * it with what the publisher says. */
static int trust_unproved(const char *upstream, const char *path,
			  const char *text, size_t len, int rc)
{
	char why[1024], hex[DIGEST_HEX_LEN + 1];
	struct sign_keys signers;

	if (rc == -EPROTONOSUPPORT) {
		snprintf(why, sizeof(why), "written by a newer vdrive (%.400s)",
			 log_last_error());
		trust_refuse(upstream, path, why);
		return rc;
	}
	if (rc != -EKEYREJECTED)
		return rc == -EBADMSG ? trust_refuse(upstream, path,
						     "not what it claims to be")
				      : rc;
	if (document_signers(text, len, &signers) < 0 || signers.count == 0)
		return trust_refuse(upstream, path, "not signed");
	sign_key_to_hex(&signers.key[0], hex);
	snprintf(why, sizeof(why),
		 "signed by key %s, which is not trusted for this upstream",
		 hex);
	return trust_refuse(upstream, path, why);
}

static int trust_check_expiry(struct trust *trust, const char *upstream,
			      const char *path, int64_t expires)
{
	int64_t now = trust_now(trust);
	bool set_back = now > trust_clock(CLOCK_REALTIME) + TRUST_DAY;
	char why[256], date[32];
	struct tm tm;

	if (expires == 0 || now < expires)
		return 0;
	/* It stays expired, whatever the clock says tomorrow. */
	if (trust_clock_note(trust) < 0)
		log_warn("state database: the time seen is not noted");
	if (!gmtime_r(&expires, &tm) ||
	    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		date[0] = '\0';
	snprintf(why, sizeof(why), "has expired on %s%s", date,
		 set_back ? " (this host's clock has been set back; what it "
			    "has shown before counts)"
			  : "");
	return trust_refuse(upstream, path, why);
}

static int trust_check_depot(const char *upstream, const char *path,
			     const struct depot_id *is,
			     const struct depot_id *expected)
{
	static const struct depot_id none;

	if (memcmp(is, &none, sizeof(none)) == 0)
		return trust_refuse(upstream, path,
				    "says of no depot that it "
				    "is of it");
	if (memcmp(is, expected, sizeof(*is)) != 0)
		return trust_refuse(upstream, path, "of another depot");
	return 0;
}

/* Not older than what was seen, and the same when it is as old. */
static int trust_check_number(const char *upstream, const char *path,
			      const char *word, uint64_t number,
			      const struct digest *payload,
			      const struct trust_seen *seen)
{
	char why[200];

	if (number < seen->number) {
		snprintf(why, sizeof(why),
			 "rolled back: %s %llu, and %llu has been seen", word,
			 (unsigned long long)number,
			 (unsigned long long)seen->number);
		return trust_refuse(upstream, path, why);
	}
	if (number == seen->number && number > 0 &&
	    !digest_equal(payload, &seen->payload)) {
		snprintf(why, sizeof(why),
			 "%s %llu has been seen with another content", word,
			 (unsigned long long)number);
		return trust_refuse(upstream, path, why);
	}
	return 0;
}

static int trust_check_root(struct trust *trust, const char *upstream,
			    bool is_new, const struct root_doc *root)
{
	static const char path[] = LAYOUT_ROOT;
	struct trust_seen seen;
	bool other;
	int rc;

	rc = trust_check_expiry(trust, upstream, path, root->expires_sec);
	if (rc < 0)
		return rc;
	rc = trust_seen_get(trust, upstream, "", &seen);
	if (rc == -ENOENT)
		return trust_check_depot(upstream, path, &root->depot,
					 &root->depot);
	if (rc < 0)
		return rc;
	other = memcmp(&seen.depot, &root->depot, sizeof(seen.depot)) != 0;
	rc = trust_check_depot(upstream, path, &root->depot,
			       is_new ? &root->depot : &seen.depot);
	if (rc == 0 && !other)
		rc =
		    trust_check_number(upstream, path, "generation",
				       root->generation, &root->payload, &seen);
	return rc;
}

int trust_root(struct trust *trust, const char *upstream,
	       const struct sign_keys *keys, bool is_new, const char *text,
	       size_t len, struct root_doc *root)
{
	int rc;

	rc = root_doc_prove(text, len, keys, root);
	if (rc < 0)
		return trust_unproved(upstream, "depot.json", text, len, rc);
	rc = trust_check_root(trust, upstream, is_new, root);
	if (rc < 0)
		root_doc_clear(root);
	return rc;
}

static int trust_check_tags(struct trust *trust, const char *upstream,
			    const char *path, const struct root_doc *root,
			    const struct tag_doc *tags)
{
	const struct root_package *listed = root_doc_find(root, tags->name);
	struct trust_seen seen;
	int rc;

	rc = trust_check_depot(upstream, path, &tags->depot, &root->depot);
	if (rc == 0)
		rc = trust_check_expiry(trust, upstream, path,
					tags->expires_sec);
	if (rc == 0 && listed && tags->sequence < listed->sequence)
		rc = trust_refuse(upstream, path,
				  "older than depot.json says it is");
	if (rc < 0)
		return rc;
	rc = trust_seen_get(trust, upstream, tags->name, &seen);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return trust_check_number(upstream, path, "sequence", tags->sequence,
				  &tags->payload, &seen);
}

int trust_tags(struct trust *trust, const char *upstream, const char *path,
	       const char *package, const struct root_doc *root,
	       const char *text, size_t len, struct tag_doc *tags)
{
	struct sign_keys keys;
	int rc;

	rc = trust_keys(trust->state, upstream, &keys);
	if (rc < 0)
		return rc;
	rc = tag_doc_prove(text, len, &keys, tags);
	if (rc < 0)
		return trust_unproved(upstream, path, text, len, rc);
	if (strcmp(tags->name, package) != 0)
		rc = trust_refuse(upstream, path, "tags of another package");
	else
		rc = trust_check_tags(trust, upstream, path, root, tags);
	if (rc < 0)
		tag_doc_clear(tags);
	return rc;
}

void trust_accept(struct trust *trust, struct kv_batch *batch,
		  const char *upstream, const struct root_doc *root,
		  const struct tag_doc *tags)
{
	struct trust_seen seen = {root->generation, root->payload, root->depot};

	trust_seen_put(batch, upstream, "", &seen);
	trust_clock_put(batch, trust_now(trust));
	if (!tags)
		return;
	seen.number = tags->sequence;
	seen.payload = tags->payload;
	seen.depot = tags->depot;
	trust_seen_put(batch, upstream, tags->name, &seen);
}

int trust_anew(struct trust *trust, struct kv_batch *batch,
	       const char *upstream, const struct root_doc *root)
{
	struct trust_seen seen;
	int rc;

	rc = trust_seen_get(trust, upstream, "", &seen);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == 0 &&
	    memcmp(&seen.depot, &root->depot, sizeof(seen.depot)) != 0)
		trust_forget(batch, upstream);
	trust_accept(trust, batch, upstream, root, NULL);
	return 0;
}
