/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry: rows to structs and back.  What was read is checked as if a
 * stranger had written it: a name from here becomes a path or an URL.
 */
#include "depot/registry.h"

#include <stdio.h>

#include "depot/log.h"
#include "depot/store.h"

enum {
	REGISTRY_KEY_MAX = 1 + PACKAGE_NAME_MAX + 1 + TAG_NAME_MAX,
	REGISTRY_DIGEST_KEY_LEN = 1 + DIGEST_LEN,
	REGISTRY_PRIORITY_TEXT = 12,
};

int registry_commit(struct kv *state, struct kv_batch *batch)
{
	int rc;

	rc = kv_write(state, batch);
	return rc < 0 ? rc : kv_sync_log(state);
}

static size_t registry_tag_key(uint8_t *key, const char *name, const char *tag)
{
	size_t name_len = strlen(name), tag_len = strlen(tag);

	ASSERT(name_len <= PACKAGE_NAME_MAX && tag_len <= TAG_NAME_MAX);

	key[0] = STATE_KEY_TAG;
	memcpy(key + 1, name, name_len + 1);
	memcpy(key + 1 + name_len + 1, tag, tag_len);
	return 1 + name_len + 1 + tag_len;
}

static void registry_digest_key(uint8_t *key, int prefix,
				const struct digest *d)
{
	key[0] = (uint8_t)prefix;
	memcpy(key + 1, d->bytes, DIGEST_LEN);
}

/* Text without NUL at the end of a row; may be empty when `may_miss`. */
static bool registry_name_get(const uint8_t *text, size_t len, bool may_miss,
			      char out[PACKAGE_NAME_MAX + 1])
{
	if (len > PACKAGE_NAME_MAX)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return (len == 0 && may_miss) ||
	       (strlen(out) == len && depot_name_ok(out));
}

/* --- tags ---------------------------------------------------------------- */

static int registry_tag_parse(const uint8_t *value, size_t len,
			      struct registry_tag *row)
{
	const struct store_tag *stored = (const struct store_tag *)value;

	if (len < sizeof(*stored) ||
	    !registry_name_get(value + sizeof(*stored), len - sizeof(*stored),
			       true, row->upstream))
		return log_err(-EBADMSG, "state database: tag %s:%s", row->name,
			       row->tag);
	memcpy(row->revision.bytes, stored->revision, DIGEST_LEN);
	memcpy(row->tree.bytes, stored->tree, DIGEST_LEN);
	row->time_sec = (int64_t)le64_get(&stored->time_sec_le);
	return 0;
}

int registry_tag_get(struct kv *state, const char *name, const char *tag,
		     struct registry_tag *row)
{
	uint8_t key[REGISTRY_KEY_MAX];
	struct kv_value value;
	size_t key_len;
	int rc;

	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->tag, sizeof(row->tag), "%s", tag);
	key_len = registry_tag_key(key, row->name, row->tag);
	rc = kv_get(state, key, key_len, &value);
	if (rc < 0)
		return rc;
	rc = registry_tag_parse(value.data, value.len, row);
	kv_value_release(&value);
	return rc;
}

void registry_tag_put(struct kv_batch *batch, const struct registry_tag *row)
{
	uint8_t key[REGISTRY_KEY_MAX];
	uint8_t value[sizeof(struct store_tag) + PACKAGE_NAME_MAX];
	struct store_tag stored;
	size_t upstream_len = strlen(row->upstream);

	memcpy(stored.revision, row->revision.bytes, DIGEST_LEN);
	memcpy(stored.tree, row->tree.bytes, DIGEST_LEN);
	le64_put(&stored.time_sec_le, (uint64_t)row->time_sec);
	memcpy(value, &stored, sizeof(stored));
	memcpy(value + sizeof(stored), row->upstream, upstream_len);
	kv_batch_put(batch, key, registry_tag_key(key, row->name, row->tag),
		     value, sizeof(stored) + upstream_len);
}

void registry_tag_delete(struct kv_batch *batch, const char *name,
			 const char *tag)
{
	uint8_t key[REGISTRY_KEY_MAX];

	kv_batch_delete(batch, key, registry_tag_key(key, name, tag));
}

static int registry_tag_parse_key(const uint8_t *key, size_t len,
				  struct registry_tag *row)
{
	const uint8_t *zero = memchr(key, '\0', len);
	size_t name_len = zero ? (size_t)(zero - key) - 1 : len;
	size_t tag_len = zero ? len - name_len - 2 : 0;

	memset(row, 0, sizeof(*row));
	if (!zero || tag_len > TAG_NAME_MAX ||
	    !registry_name_get(key + 1, name_len, false, row->name))
		return log_err(-EBADMSG, "state database: a tag's key");
	memcpy(row->tag, zero + 1, tag_len);
	if (strlen(row->tag) != tag_len || !depot_tag_ok(row->tag))
		return log_err(-EBADMSG, "state database: a tag of %s",
			       row->name);
	return 0;
}

static int registry_tag_visit(struct kv_iter *it,
			      int (*visit)(void *ctx,
					   const struct registry_tag *row),
			      void *ctx)
{
	struct registry_tag row;
	const uint8_t *data;
	size_t len;
	int rc;

	data = kv_iter_key(it, &len);
	rc = registry_tag_parse_key(data, len, &row);
	if (rc < 0)
		return rc;
	data = kv_iter_value(it, &len);
	rc = registry_tag_parse(data, len, &row);
	return rc < 0 ? rc : visit(ctx, &row);
}

int registry_tag_list(struct kv *state, const char *name,
		      int (*visit)(void *ctx, const struct registry_tag *row),
		      void *ctx)
{
	uint8_t prefix[REGISTRY_KEY_MAX] = {STATE_KEY_TAG};
	size_t prefix_len = 1;
	struct kv_iter *it;
	int rc = 0;

	if (name)
		prefix_len = registry_tag_key(prefix, name, "");
	it = kv_iter_new(state, prefix, prefix_len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it))
		rc = registry_tag_visit(it, visit, ctx);
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* --- revisions ----------------------------------------------------------- */

int registry_revision_get(struct kv *state, const struct digest *revision,
			  char **json)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];
	char hex[DIGEST_HEX_LEN + 1];
	struct kv_value value;
	struct digest found;
	int rc;

	registry_digest_key(key, STATE_KEY_REVISION, revision);
	rc = kv_get(state, key, sizeof(key), &value);
	if (rc < 0)
		return rc;
	found = digest_of(value.data, value.len);
	*json = NULL;
	if (digest_equal(&found, revision)) {
		*json = strndup((const char *)value.data, value.len);
		rc = *json ? 0 : -ENOMEM;
	} else {
		digest_to_hex(revision, hex);
		rc = log_err(-EBADMSG, "state database: revision %s", hex);
	}
	kv_value_release(&value);
	return rc;
}

void registry_revision_put(struct kv_batch *batch,
			   const struct digest *revision, const char *json)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];

	registry_digest_key(key, STATE_KEY_REVISION, revision);
	kv_batch_put(batch, key, sizeof(key), json, strlen(json));
}

void registry_revision_delete(struct kv_batch *batch,
			      const struct digest *revision)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];

	registry_digest_key(key, STATE_KEY_REVISION, revision);
	kv_batch_delete(batch, key, sizeof(key));
}

int registry_revision_list(struct kv *state,
			   int (*visit)(void *ctx,
					const struct digest *revision,
					const char *json, size_t len),
			   void *ctx)
{
	static const uint8_t prefix = STATE_KEY_REVISION;
	struct kv_iter *it = kv_iter_new(state, &prefix, 1, NULL, 0);
	struct digest revision;
	const uint8_t *data;
	size_t len;
	int rc = 0;

	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		data = kv_iter_key(it, &len);
		if (len != REGISTRY_DIGEST_KEY_LEN)
			continue;
		memcpy(revision.bytes, data + 1, DIGEST_LEN);
		data = kv_iter_value(it, &len);
		rc = visit(ctx, &revision, (const char *)data, len);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* --- where trees came from ----------------------------------------------- */

static bool registry_origin_parse(const struct kv_value *value,
				  struct registry_origin *row)
{
	size_t head = sizeof(struct store_origin), len;
	const uint8_t *names, *zero;

	memset(row, 0, sizeof(*row));
	if (value->len <= head)
		return false;
	row->sequence = le64_get(value->data);
	names = value->data + head;
	len = value->len - head;
	zero = memchr(names, 0, len);
	if (zero &&
	    !registry_name_get(zero + 1, (size_t)(names + len - zero) - 1,
			       false, row->package))
		return false;
	return registry_name_get(names, zero ? (size_t)(zero - names) : len,
				 false, row->upstream);
}

int registry_origin_get(struct kv *state, const struct digest *tree,
			struct registry_origin *row)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];
	char hex[DIGEST_HEX_LEN + 1];
	struct kv_value value;
	int rc;

	registry_digest_key(key, STATE_KEY_ORIGIN, tree);
	rc = kv_get(state, key, sizeof(key), &value);
	if (rc < 0)
		return rc;
	if (!registry_origin_parse(&value, row)) {
		digest_to_hex(tree, hex);
		rc =
		    log_err(-EBADMSG, "state database: origin of tree %s", hex);
	}
	kv_value_release(&value);
	return rc;
}

void registry_origin_put(struct kv_batch *batch, const struct digest *tree,
			 const struct registry_origin *row)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];
	uint8_t value[sizeof(struct store_origin) + 2 * PACKAGE_NAME_MAX + 1];
	size_t name_len = strlen(row->upstream);
	size_t package_len = strlen(row->package);
	size_t len = sizeof(struct store_origin) + name_len;

	ASSERT(name_len > 0 && name_len <= PACKAGE_NAME_MAX);
	ASSERT(package_len <= PACKAGE_NAME_MAX);

	registry_digest_key(key, STATE_KEY_ORIGIN, tree);
	le64_put(value, row->sequence);
	memcpy(value + sizeof(struct store_origin), row->upstream, name_len);
	if (package_len) {
		value[len++] = '\0';
		memcpy(value + len, row->package, package_len);
		len += package_len;
	}
	kv_batch_put(batch, key, sizeof(key), value, len);
}

/* --- pins ---------------------------------------------------------------- */

bool registry_pin_get(struct kv *state, const struct digest *tree)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];
	struct kv_value value;
	int rc;

	registry_digest_key(key, STATE_KEY_PIN, tree);
	rc = kv_get(state, key, sizeof(key), &value);
	kv_value_release(&value);
	/* In doubt it is: what cannot be read must not be lost for it. */
	return rc != -ENOENT;
}

void registry_pin_put(struct kv_batch *batch, const struct digest *tree,
		      int64_t time_sec)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN], value[8];

	registry_digest_key(key, STATE_KEY_PIN, tree);
	le64_put(value, (uint64_t)time_sec);
	kv_batch_put(batch, key, sizeof(key), value, sizeof(value));
}

void registry_pin_delete(struct kv_batch *batch, const struct digest *tree)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];

	registry_digest_key(key, STATE_KEY_PIN, tree);
	kv_batch_delete(batch, key, sizeof(key));
}

int registry_pin_list(struct kv *state,
		      int (*visit)(void *ctx, const struct digest *tree),
		      void *ctx)
{
	uint8_t prefix = STATE_KEY_PIN;
	struct kv_iter *it = kv_iter_new(state, &prefix, 1, NULL, 0);
	struct digest tree;
	const uint8_t *key;
	size_t len;
	int rc = 0;

	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		key = kv_iter_key(it, &len);
		if (len != REGISTRY_DIGEST_KEY_LEN)
			continue;
		memcpy(tree.bytes, key + 1, DIGEST_LEN);
		rc = visit(ctx, &tree);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

void registry_origin_delete(struct kv_batch *batch, const struct digest *tree)
{
	uint8_t key[REGISTRY_DIGEST_KEY_LEN];

	registry_digest_key(key, STATE_KEY_ORIGIN, tree);
	kv_batch_delete(batch, key, sizeof(key));
}

/* --- upstreams ----------------------------------------------------------- */

static size_t registry_upstream_key(uint8_t *key, const char *name)
{
	size_t len = strlen(name);

	ASSERT(len > 0 && len <= PACKAGE_NAME_MAX);

	key[0] = STATE_KEY_UPSTREAM;
	memcpy(key + 1, name, len);
	return 1 + len;
}

/* The texts of an upstream's row, each with its letter. */
struct registry_option {
	uint8_t letter;
	size_t at, max; /* in struct upstream_access, bytes */
};

#define REGISTRY_OPTION(letter, member)                                        \
	{                                                                      \
		letter, offsetof(struct upstream_access, member),              \
		    sizeof(((struct upstream_access *)0)->member) - 1          \
	}

static const struct registry_option registry_options[] = {
    REGISTRY_OPTION(STORE_OPTION_CREDENTIALS, credentials),
    REGISTRY_OPTION(STORE_OPTION_ENDPOINT, endpoint),
    REGISTRY_OPTION(STORE_OPTION_REGION, region),
    REGISTRY_OPTION(STORE_OPTION_CA_FILE, ca_file),
    REGISTRY_OPTION(STORE_OPTION_PROXY, proxy),
};

static size_t registry_option_add(uint8_t *value, size_t len, int letter,
				  const char *text)
{
	size_t text_len = strlen(text);

	if (text_len == 0)
		return len;
	value[len++] = '\0';
	value[len++] = (uint8_t)letter;
	memcpy(value + len, text, text_len);
	return len + text_len;
}

void registry_upstream_put(struct kv_batch *batch,
			   const struct registry_upstream *row)
{
	uint8_t key[REGISTRY_KEY_MAX];
	uint8_t value[sizeof(struct store_upstream) + sizeof(*row)];
	size_t len = sizeof(struct store_upstream) + strlen(row->url);
	char priority[REGISTRY_PRIORITY_TEXT] = "";

	le32_put(value, row->is_unsigned ? STORE_UPSTREAM_UNSIGNED : 0);
	memcpy(value + sizeof(struct store_upstream), row->url,
	       strlen(row->url));
	for (size_t i = 0; i < ARRAY_LEN(registry_options); i++)
		len = registry_option_add(
		    value, len, registry_options[i].letter,
		    (const char *)&row->access + registry_options[i].at);
	if (row->access.priority)
		snprintf(priority, sizeof(priority), "%u",
			 row->access.priority);
	len = registry_option_add(value, len, STORE_OPTION_PRIORITY, priority);
	kv_batch_put(batch, key, registry_upstream_key(key, row->name), value,
		     len);
}

void registry_upstream_delete(struct kv_batch *batch, const char *name)
{
	uint8_t key[REGISTRY_KEY_MAX];

	kv_batch_delete(batch, key, registry_upstream_key(key, name));
}

/* One option, `text` from its letter on; false: damaged. */
static bool registry_option_parse(const uint8_t *text, size_t len,
				  struct upstream_access *access)
{
	char number[REGISTRY_PRIORITY_TEXT];

	if (len < 2)
		return false;
	if (*text == STORE_OPTION_PRIORITY) {
		if (len - 1 >= sizeof(number))
			return false;
		memcpy(number, text + 1, len - 1);
		number[len - 1] = '\0';
		access->priority = (unsigned int)strtoul(number, NULL, 10);
		return access->priority <= UPSTREAM_PRIORITY_MAX;
	}
	for (size_t i = 0; i < ARRAY_LEN(registry_options); i++) {
		if (*text != registry_options[i].letter)
			continue;
		if (len - 1 > registry_options[i].max)
			return false;
		memcpy((char *)access + registry_options[i].at, text + 1,
		       len - 1);
		return true;
	}
	return true; /* a newer vdrive's */
}

static bool registry_options_parse(const uint8_t *text, size_t len,
				   struct upstream_access *access)
{
	while (len > 0) {
		const uint8_t *end;
		size_t one;

		text++; /* the NUL before it */
		len--;
		end = memchr(text, '\0', len);
		one = end ? (size_t)(end - text) : len;
		if (!registry_option_parse(text, one, access))
			return false;
		text += one;
		len -= one;
	}
	return true;
}

static int registry_upstream_parse(struct kv_iter *it,
				   struct registry_upstream *row)
{
	size_t key_len, len, url_len = 0, head = sizeof(struct store_upstream);
	const uint8_t *key = kv_iter_key(it, &key_len);
	const uint8_t *value = kv_iter_value(it, &len);

	memset(row, 0, sizeof(*row));
	if (!registry_name_get(key + 1, key_len - 1, false, row->name))
		return log_err(-EBADMSG, "state database: an upstream's key");
	if (len > head)
		url_len = strnlen((const char *)value + head, len - head);
	if (url_len == 0 || url_len > UPSTREAM_URL_MAX ||
	    !registry_options_parse(value + head + url_len,
				    len - head - url_len, &row->access))
		return log_err(-EBADMSG, "state database: upstream %s",
			       row->name);
	row->is_unsigned = le32_get(value) & STORE_UPSTREAM_UNSIGNED;
	memcpy(row->url, value + head, url_len);
	return 0;
}

int registry_upstream_list(struct kv *state,
			   int (*visit)(void *ctx,
					const struct registry_upstream *row),
			   void *ctx)
{
	uint8_t prefix = STATE_KEY_UPSTREAM;
	struct registry_upstream row;
	struct kv_iter *it;
	int rc = 0;

	it = kv_iter_new(state, &prefix, 1, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		rc = registry_upstream_parse(it, &row);
		if (rc == 0)
			rc = visit(ctx, &row);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}
