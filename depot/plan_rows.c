/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_rows: rows to structs and back.
 */
#include "depot/plan_rows.h"

#include <stdio.h>

#include "depot/format.h"
#include "depot/log.h"
#include "depot/registry.h"
#include "depot/store.h"

_Static_assert((int)PLAN_KIND_PUBLISHED == STORE_PLAN_PUBLISHED &&
		   (int)PLAN_KIND_RECORDED == STORE_PLAN_RECORDED &&
		   (int)PLAN_KIND_TAKEN == STORE_PLAN_TAKEN,
	       "kinds");

enum {
	PLAN_ROWS_TREE_LEN = 1 + DIGEST_LEN,
	PLAN_ROWS_KEY_MAX = PLAN_ROWS_TREE_LEN + 2 * (PACKAGE_NAME_MAX + 1),
};

/* --- keys ---------------------------------------------------------------- */

/* Of the plan itself, and a prefix of all rows of the tree. */
static void plan_rows_tree_key(uint8_t key[PLAN_ROWS_TREE_LEN],
			       const struct digest *tree)
{
	key[0] = STATE_KEY_PLAN;
	memcpy(key + 1, tree->bytes, DIGEST_LEN);
}

/* guest "": prefix of the tenant's; tenant NULL: prefix of the tree's. */
static size_t plan_rows_start_key(uint8_t key[PLAN_ROWS_KEY_MAX],
				  const struct digest *tree, const char *tenant,
				  const char *guest)
{
	size_t tenant_len, guest_len;

	plan_rows_tree_key(key, tree);
	if (!tenant)
		return PLAN_ROWS_TREE_LEN;
	tenant_len = strlen(tenant);
	guest_len = strlen(guest);
	ASSERT(tenant_len <= PACKAGE_NAME_MAX && guest_len <= PACKAGE_NAME_MAX);
	memcpy(key + PLAN_ROWS_TREE_LEN, tenant, tenant_len + 1);
	memcpy(key + PLAN_ROWS_TREE_LEN + tenant_len + 1, guest, guest_len);
	return PLAN_ROWS_TREE_LEN + tenant_len + 1 + guest_len;
}

/* --- starts -------------------------------------------------------------- */

struct plan_rows_oldest {
	uint8_t key[PLAN_ROWS_KEY_MAX];
	size_t key_len;
	int64_t time_sec;
	unsigned int count; /* of other guests */
};

/* The oldest start of the tenant's guests but the one with `key`. */
static int plan_rows_find_oldest(struct kv *state, const struct digest *tree,
				 const char *tenant, const uint8_t *key,
				 size_t key_len,
				 struct plan_rows_oldest *oldest)
{
	uint8_t prefix[PLAN_ROWS_KEY_MAX];
	struct kv_iter *it;
	int rc;

	memset(oldest, 0, sizeof(*oldest));
	it =
	    kv_iter_new(state, prefix,
			plan_rows_start_key(prefix, tree, tenant, ""), NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		int64_t sec = INT64_MIN; /* a damaged one goes first */
		size_t at_len, len;
		const uint8_t *at = kv_iter_key(it, &at_len);
		const uint8_t *value = kv_iter_value(it, &len);

		if (at_len > sizeof(oldest->key) ||
		    (at_len == key_len && memcmp(at, key, key_len) == 0))
			continue;
		if (len >= sizeof(struct store_start))
			sec = (int64_t)le64_get(
			    value + offsetof(struct store_start, time_sec_le));
		if (oldest->count++ > 0 && sec >= oldest->time_sec)
			continue;
		oldest->time_sec = sec;
		oldest->key_len = at_len;
		memcpy(oldest->key, at, at_len);
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int plan_rows_put_start(struct kv *state, const struct digest *tree,
			const char *tenant, const char *guest,
			const struct plan_start *start)
{
	CLEANUP_FREE uint8_t *value = malloc(PLAN_START_MAX);
	uint8_t key[PLAN_ROWS_KEY_MAX];
	struct plan_rows_oldest oldest;
	struct kv_batch *batch;
	size_t key_len;
	int rc;

	key_len = plan_rows_start_key(key, tree, tenant, guest);
	rc = plan_rows_find_oldest(state, tree, tenant, key, key_len, &oldest);
	if (rc < 0)
		return rc;
	batch = kv_batch_new();
	if (value && batch) {
		kv_batch_put(batch, key, key_len, value,
			     plan_start_write(start, value));
		if (oldest.count >= PLAN_GUESTS_MAX)
			kv_batch_delete(batch, oldest.key, oldest.key_len);
		rc = kv_write(state, batch);
	} else {
		rc = -ENOMEM;
	}
	kv_batch_free(batch);
	return rc;
}

int plan_rows_get_start(struct kv *state, const struct digest *tree,
			const char *tenant, const char *guest,
			struct plan_start *start)
{
	uint8_t key[PLAN_ROWS_KEY_MAX];
	struct kv_value value;
	int rc;

	rc = kv_get(state, key, plan_rows_start_key(key, tree, tenant, guest),
		    &value);
	if (rc < 0)
		return rc;
	rc = plan_start_read(value.data, value.len, start);
	kv_value_release(&value);
	return rc;
}

/* Starts of a tenant (NULL: all) with this tree, at most PLAN_STARTS_MAX. */
static int plan_rows_load(struct kv *state, const struct digest *tree,
			  const char *tenant, struct plan_start *starts,
			  unsigned int *count)
{
	uint8_t prefix[PLAN_ROWS_KEY_MAX];
	struct kv_iter *it;
	int rc = 0;

	*count = 0;
	it =
	    kv_iter_new(state, prefix,
			plan_rows_start_key(prefix, tree, tenant, ""), NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it) && *count < PLAN_STARTS_MAX;
	     kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *value;

		kv_iter_key(it, &key_len);
		if (key_len == PLAN_ROWS_TREE_LEN)
			continue; /* the plan */
		value = kv_iter_value(it, &len);
		rc = plan_start_read(value, len, &starts[*count]);
		if (rc == 0)
			++*count;
		else if (rc != -ENOMEM)
			rc = 0; /* logged, and left out */
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int plan_rows_merge(struct kv *state, const struct digest *tree,
		    uint32_t shard_count, const char *tenant,
		    unsigned int guests_min, struct plan *plan,
		    uint16_t **guests)
{
	CLEANUP_FREE struct plan_start *starts = NULL;
	unsigned int count = 0;
	int rc;

	starts = calloc(PLAN_STARTS_MAX, sizeof(*starts));
	if (!starts)
		return -ENOMEM;
	rc = plan_rows_load(state, tree, tenant, starts, &count);
	if (rc == 0 && count == 0)
		rc = -ENOENT;
	if (rc == 0)
		rc = plan_merge(starts, count, shard_count, guests_min, plan,
				guests);
	if (rc == 0)
		plan->tree = *tree;
	for (unsigned int i = 0; i < count; i++)
		plan_start_clear(&starts[i]);
	return rc;
}

/* --- plans --------------------------------------------------------------- */

static int plan_rows_bad(const struct digest *tree)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(tree, hex);
	return log_err(-EBADMSG, "state database: plan of tree %s", hex);
}

int plan_rows_get(struct kv *state, const struct digest *tree,
		  uint32_t shard_count, struct plan_row *row)
{
	uint8_t key[PLAN_ROWS_TREE_LEN];
	size_t head = sizeof(struct store_plan);
	struct kv_value value;
	int rc;

	memset(row, 0, sizeof(*row));
	plan_rows_tree_key(key, tree);
	rc = kv_get(state, key, sizeof(key), &value);
	if (rc < 0)
		return rc;
	if (value.len >= head) {
		row->kind = le32_get(value.data);
		row->number = le32_get(value.data + 4);
		rc = plan_read(value.data + head, value.len - head, tree,
			       shard_count, &row->plan);
	} else {
		rc = plan_rows_bad(tree);
	}
	kv_value_release(&value);
	return rc;
}

int plan_rows_put(struct kv *state, const struct plan_row *row)
{
	uint8_t key[PLAN_ROWS_TREE_LEN];
	CLEANUP_FREE uint8_t *value = NULL;
	CLEANUP_FREE void *bytes = NULL;
	size_t head = sizeof(struct store_plan), len;
	struct kv_batch *batch;
	int rc;

	rc = plan_write(&row->plan, &bytes, &len);
	if (rc < 0)
		return rc;
	value = malloc(head + len);
	batch = kv_batch_new();
	if (value && batch) {
		le32_put(value, row->kind);
		le32_put(value + 4, row->number);
		memcpy(value + head, bytes, len);
		plan_rows_tree_key(key, &row->plan.tree);
		kv_batch_put(batch, key, sizeof(key), value, head + len);
		rc = registry_commit(state, batch);
	} else {
		rc = -ENOMEM;
	}
	kv_batch_free(batch);
	return rc;
}

void plan_rows_forget(struct kv_batch *batch, const struct digest *tree)
{
	uint8_t from[PLAN_ROWS_TREE_LEN], to[PLAN_ROWS_TREE_LEN + 1];

	/* Names begin with a letter or digit: all sort before 0xff. */
	plan_rows_tree_key(from, tree);
	plan_rows_tree_key(to, tree);
	to[PLAN_ROWS_TREE_LEN] = 0xff;
	kv_batch_delete_range(batch, from, sizeof(from), to, sizeof(to));
}

int plan_rows_forget_tenant(struct kv *state, const char *tenant,
			    struct kv_batch *batch)
{
	static const uint8_t prefix = STATE_KEY_PLAN;
	struct kv_iter *it = kv_scan_new(state, &prefix, 1);
	size_t tenant_len = strlen(tenant) + 1, len;
	int rc;

	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		const uint8_t *key = kv_iter_key(it, &len);

		if (len > PLAN_ROWS_TREE_LEN + tenant_len &&
		    memcmp(key + PLAN_ROWS_TREE_LEN, tenant, tenant_len) == 0)
			kv_batch_delete(batch, key, len);
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int plan_rows_remove(struct kv *state, const struct digest *tree, bool starts)
{
	uint8_t key[PLAN_ROWS_TREE_LEN];
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	plan_rows_tree_key(key, tree);
	if (starts)
		plan_rows_forget(batch, tree);
	else
		kv_batch_delete(batch, key, sizeof(key));
	rc = registry_commit(state, batch);
	kv_batch_free(batch);
	return rc;
}

/* --- figures ------------------------------------------------------------- */

static void plan_rows_count_plan(const uint8_t *value, size_t len,
				 struct plan_figures *figures)
{
	size_t head = sizeof(struct store_plan);
	struct format_plan_header header; /* a database aligns nothing */

	if (len < head + sizeof(header))
		return;
	memcpy(&header, value + head, sizeof(header));
	figures->has_plan = true;
	figures->kind = le32_get(value);
	figures->number = le32_get(value + 4);
	figures->plan_shards = le32_get(&header.count_le);
	figures->plan_guests = le32_get(&header.guests_le);
	figures->budget = le64_get(&header.budget_le);
}

int plan_rows_figures(struct kv *state, const struct digest *tree,
		      struct plan_figures *figures)
{
	uint8_t prefix[PLAN_ROWS_TREE_LEN];
	struct kv_iter *it;
	int rc;

	memset(figures, 0, sizeof(*figures));
	plan_rows_tree_key(prefix, tree);
	it = kv_iter_new(state, prefix, sizeof(prefix), NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *value = kv_iter_value(it, &len);
		int64_t sec = 0;

		kv_iter_key(it, &key_len);
		if (key_len == PLAN_ROWS_TREE_LEN) {
			plan_rows_count_plan(value, len, figures);
			continue;
		}
		figures->starts++;
		if (len >= sizeof(struct store_start))
			sec = (int64_t)le64_get(
			    value + offsetof(struct store_start, time_sec_le));
		figures->last_sec = MAX(figures->last_sec, sec);
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}
