/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust: see trust.h.
 *
 * Time is noted when a document is accepted or refused as expired, at the end,
 * and at the start: between two such moments of one process it is the boot
 * clock that carries it on.
 */
#include <stdio.h>
#include <time.h>

#include "depot/log.h"
#include "depot/registry.h"
#include "depot/store.h"
#include "depot/trust_inside.h"

/* --- the clock ----------------------------------------------------------- */

int64_t trust_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec;
}

int64_t trust_now(struct trust *trust)
{
	int64_t wall = trust_clock(CLOCK_REALTIME);
	int64_t boot = trust_clock(CLOCK_BOOTTIME), now;

	pthread_mutex_lock(&trust->lock);
	now = MAX(wall, trust->wall + (boot - trust->boot));
	trust->wall = now;
	trust->boot = boot;
	pthread_mutex_unlock(&trust->lock);
	return now;
}

void trust_clock_put(struct kv_batch *batch, int64_t now)
{
	const uint8_t key = STATE_KEY_SEEN;
	struct store_clock row;

	le64_put(&row.sec_le, (uint64_t)now);
	kv_batch_put(batch, &key, 1, &row, sizeof(row));
}

static int trust_clock_get(struct kv *state, int64_t *now)
{
	const uint8_t key = STATE_KEY_SEEN;
	struct kv_value value;
	int rc;

	*now = 0;
	rc = kv_get(state, &key, 1, &value);
	if (rc == 0 && value.len == sizeof(struct store_clock))
		*now = (int64_t)le64_get(value.data);
	else if (rc == 0)
		rc = log_err(-EBADMSG, "state database: the time seen");
	kv_value_release(&value);
	return rc == -ENOENT ? 0 : rc;
}

int trust_clock_note(struct trust *trust)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	trust_clock_put(batch, trust_now(trust));
	rc = registry_commit(trust->state, batch);
	kv_batch_free(batch);
	return rc;
}

int trust_new(struct kv *state, struct trust **trust)
{
	struct trust *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->state = state;
	t->boot = trust_clock(CLOCK_BOOTTIME);
	pthread_mutex_init(&t->lock, NULL);
	rc = trust_clock_get(state, &t->wall);
	if (rc < 0) {
		free(t);
		return rc;
	}
	*trust = t;
	return 0;
}

void trust_free(struct trust *trust)
{
	int64_t noted;

	if (!trust)
		return;
	/* Who has seen no signed document has no use for it. */
	if (trust_clock_get(trust->state, &noted) == 0 && noted != 0 &&
	    trust_clock_note(trust) < 0)
		log_warn("state database: the time seen is not noted");
	pthread_mutex_destroy(&trust->lock);
	free(trust);
}

/* --- keys ---------------------------------------------------------------- */

size_t trust_row_key(uint8_t row[TRUST_NAME_KEY_MAX], int prefix,
		     const char *upstream, const void *tail, size_t tail_len)
{
	size_t len = strlen(upstream);

	ASSERT(len <= PACKAGE_NAME_MAX && tail_len <= PACKAGE_NAME_MAX);

	row[0] = (uint8_t)prefix;
	memcpy(row + 1, upstream, len + 1);
	if (tail_len > 0)
		memcpy(row + 1 + len + 1, tail, tail_len);
	return 1 + len + 1 + tail_len;
}

static size_t trust_key_key(uint8_t *row, const char *upstream,
			    const struct sign_key *key)
{
	return trust_row_key(row, STATE_KEY_TRUSTED, upstream, key->bytes,
			     sizeof(key->bytes));
}

static void trust_key_put(struct kv_batch *batch, const char *upstream,
			  const struct sign_key *key)
{
	uint8_t row[TRUST_NAME_KEY_MAX];
	struct store_trusted value;

	le64_put(&value.time_sec_le, (uint64_t)trust_clock(CLOCK_REALTIME));
	kv_batch_put(batch, row, trust_key_key(row, upstream, key), &value,
		     sizeof(value));
}

static int trust_parse(struct kv_iter *it, struct trust_key *out)
{
	size_t len, value_len, name_len;
	const uint8_t *key = kv_iter_key(it, &len);
	const uint8_t *value = kv_iter_value(it, &value_len);
	const uint8_t *zero = memchr(key, '\0', len);

	name_len = zero ? (size_t)(zero - key) - 1 : 0;
	if (name_len == 0 || name_len > PACKAGE_NAME_MAX ||
	    len != 1 + name_len + 1 + sizeof(out->key.bytes) ||
	    value_len != sizeof(struct store_trusted))
		return log_err(-EBADMSG, "state database: a trusted key");
	memcpy(out->upstream, key + 1, name_len + 1);
	memcpy(out->key.bytes, zero + 1, sizeof(out->key.bytes));
	out->time_sec = (int64_t)le64_get(value);
	return depot_name_ok(out->upstream)
		   ? 0
		   : log_err(-EBADMSG, "state database: a trusted key");
}

static int trust_walk(struct kv *state, const char *upstream,
		      int (*visit)(void *ctx, const struct trust_key *row),
		      void *ctx)
{
	uint8_t prefix[TRUST_NAME_KEY_MAX] = {STATE_KEY_TRUSTED};
	struct trust_key row;
	struct kv_iter *it;
	size_t len = 1;
	int rc = 0;

	if (upstream)
		len = trust_row_key(prefix, STATE_KEY_TRUSTED, upstream, "", 0);
	it = kv_iter_new(state, prefix, len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		rc = trust_parse(it, &row);
		if (rc == 0)
			rc = visit(ctx, &row);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int trust_list(struct trust *trust,
	       int (*visit)(void *ctx, const struct trust_key *row), void *ctx)
{
	return trust_walk(trust->state, NULL, visit, ctx);
}

static int trust_keys_visit(void *ctx, const struct trust_key *row)
{
	struct sign_keys *keys = ctx;

	if (keys->count < SIGN_KEYS_MAX)
		keys->key[keys->count++] = row->key;
	return 0;
}

int trust_keys(struct kv *state, const char *upstream, struct sign_keys *keys)
{
	keys->count = 0;
	return trust_walk(state, upstream, trust_keys_visit, keys);
}

static bool trust_has(const struct sign_keys *keys, const struct sign_key *key)
{
	for (unsigned int i = 0; i < keys->count; i++)
		if (sign_key_compare(&keys->key[i], key) == 0)
			return true;
	return false;
}

/* The operator says that the clock is right. */
static void trust_clock_reset(struct trust *trust, struct kv_batch *batch)
{
	int64_t wall = trust_clock(CLOCK_REALTIME);

	pthread_mutex_lock(&trust->lock);
	trust->wall = wall;
	trust->boot = trust_clock(CLOCK_BOOTTIME);
	pthread_mutex_unlock(&trust->lock);
	trust_clock_put(batch, wall);
}

int trust_add(struct trust *trust, const char *upstream,
	      const struct sign_key *key)
{
	struct kv_batch *batch;
	struct sign_keys keys;
	int rc;

	rc = trust_keys(trust->state, upstream, &keys);
	if (rc < 0)
		return rc;
	if (!trust_has(&keys, key) && keys.count == SIGN_KEYS_MAX)
		return log_err(-ENOSPC, "upstream %s: %d keys are trusted",
			       upstream, SIGN_KEYS_MAX);
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	if (!trust_has(&keys, key))
		trust_key_put(batch, upstream, key);
	trust_clock_reset(trust, batch);
	rc = registry_commit(trust->state, batch);
	kv_batch_free(batch);
	return rc;
}

int trust_remove(struct trust *trust, const char *upstream,
		 const struct sign_key *key)
{
	uint8_t row[TRUST_NAME_KEY_MAX];
	struct kv_batch *batch;
	struct sign_keys keys;
	int rc;

	rc = trust_keys(trust->state, upstream, &keys);
	if (rc < 0)
		return rc;
	if (!trust_has(&keys, key))
		return -ENOENT;
	if (keys.count == 1)
		return -EBUSY;
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	kv_batch_delete(batch, row, trust_key_key(row, upstream, key));
	rc = registry_commit(trust->state, batch);
	kv_batch_free(batch);
	return rc;
}

int trust_begin(struct trust *trust, struct kv_batch *batch,
		const char *upstream, const struct sign_key *key)
{
	uint8_t row[TRUST_NAME_KEY_MAX];
	struct sign_keys keys;
	int rc;

	rc = trust_keys(trust->state, upstream, &keys);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < keys.count; i++)
		kv_batch_delete(batch, row,
				trust_key_key(row, upstream, &keys.key[i]));
	if (!key)
		return 0;
	trust_key_put(batch, upstream, key);
	trust_clock_reset(trust, batch);
	return 0;
}
