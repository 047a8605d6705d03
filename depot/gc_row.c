/* SPDX-License-Identifier: Apache-2.0 */
/* gc_row: see gc_row.h. */
#include "depot/gc_row.h"

#include "depot/log.h"
#include "depot/store.h"

enum {
	GC_ROW_KEY_MAX = 2 + DIGEST_LEN,
	GC_ROW_LEASE_LEN = 2 + 8,
	GC_ROW_TREE_LEN = 2 + DIGEST_LEN,
};

static const uint8_t gc_row_released_key[] = {STATE_KEY_GC, 'r'};
static const uint8_t gc_row_walk_key[] = {STATE_KEY_GC, 'w'};

/* A block that RocksDB finds damaged is as a row that is not there. */
static int gc_row_get(struct kv *state, const uint8_t *key, size_t key_len,
		      struct kv_value *value, bool *found)
{
	int rc = kv_get(state, key, key_len, value);

	*found = rc == 0;
	if (rc == -EBADMSG)
		log_warn("state database: a row of the collection is damaged, "
			 "and begins anew");
	return rc == -ENOENT || rc == -EBADMSG ? 0 : rc;
}

/* --- what was released -----------------------------------------------------
 */

int gc_row_released(struct kv *state, uint64_t *released)
{
	struct kv_value value;
	bool found;
	int rc;

	*released = 0;
	rc = gc_row_get(state, gc_row_released_key, sizeof(gc_row_released_key),
			&value, &found);
	if (rc < 0 || !found)
		return rc;
	if (value.len == 8)
		*released = le64_get(value.data);
	kv_value_release(&value);
	return 0;
}

void gc_row_released_put(struct kv_batch *batch, uint64_t released)
{
	uint8_t value[8];

	le64_put(value, released);
	kv_batch_put(batch, gc_row_released_key, sizeof(gc_row_released_key),
		     value, sizeof(value));
}

/* --- the walk --------------------------------------------------------------
 */

bool gc_row_walk_parse(const void *data, size_t len, struct gc_row_walk *walk)
{
	struct gc_row_walk_stored row; /* a copy: data lies anywhere */
	uint32_t phase;

	if (len != sizeof(row))
		return false;
	memcpy(&row, data, sizeof(row));
	phase = le32_get(&row.phase_le);
	if (le32_get(&row.format_le) != GC_ROW_FORMAT ||
	    phase > GC_PHASE_COMPACT)
		return false;
	walk->phase = (enum gc_phase)phase;
	walk->released = le64_get(&row.released_le);
	walk->looked = le64_get(&row.looked_le);
	walk->removed = le64_get(&row.removed_le);
	walk->bytes = le64_get(&row.bytes_le);
	memcpy(walk->position.bytes, row.position, DIGEST_LEN);
	return true;
}

int gc_row_walk_get(struct kv *state, struct gc_row_walk *walk, bool *found)
{
	struct kv_value value;
	int rc;

	rc = gc_row_get(state, gc_row_walk_key, sizeof(gc_row_walk_key), &value,
			found);
	if (rc < 0 || !*found)
		return rc;
	*found = gc_row_walk_parse(value.data, value.len, walk);
	kv_value_release(&value);
	return 0;
}

int gc_row_walk_set(struct kv *state, const struct gc_row_walk *walk)
{
	struct gc_row_walk_stored row;

	le32_put(&row.format_le, GC_ROW_FORMAT);
	le32_put(&row.phase_le, (uint32_t)walk->phase);
	le64_put(&row.released_le, walk->released);
	le64_put(&row.looked_le, walk->looked);
	le64_put(&row.removed_le, walk->removed);
	le64_put(&row.bytes_le, walk->bytes);
	memcpy(row.position, walk->position.bytes, DIGEST_LEN);
	return kv_put(state, gc_row_walk_key, sizeof(gc_row_walk_key), &row,
		      sizeof(row));
}

/* --- leases ----------------------------------------------------------------
 */

static void gc_row_lease_key(uint8_t key[GC_ROW_LEASE_LEN], uint64_t lease)
{
	key[0] = STATE_KEY_GC;
	key[1] = 'l';
	be64_put(key + 2, lease);
}

void gc_row_lease_put(struct kv_batch *batch, uint64_t lease)
{
	uint8_t key[GC_ROW_LEASE_LEN], value[4];

	gc_row_lease_key(key, lease);
	le32_put(value, GC_ROW_FORMAT);
	kv_batch_put(batch, key, sizeof(key), value, sizeof(value));
}

void gc_row_lease_delete(struct kv_batch *batch, uint64_t lease)
{
	uint8_t key[GC_ROW_LEASE_LEN];

	gc_row_lease_key(key, lease);
	kv_batch_delete(batch, key, sizeof(key));
}

int gc_row_lease_delete_all(struct kv *state, struct kv_batch *batch,
			    unsigned int *count)
{
	static const uint8_t prefix[] = {STATE_KEY_GC, 'l'};
	struct kv_iter *it =
	    kv_iter_new(state, prefix, sizeof(prefix), NULL, 0);
	const uint8_t *key;
	size_t len;
	int rc;

	*count = 0;
	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it); kv_iter_next(it)) {
		key = kv_iter_key(it, &len);
		kv_batch_delete(batch, key, len);
		++*count;
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* --- trees without a pointer -----------------------------------------------
 */

static void gc_row_tree_key(uint8_t key[GC_ROW_TREE_LEN],
			    const struct digest *tree)
{
	key[0] = STATE_KEY_GC;
	key[1] = 't';
	memcpy(key + 2, tree->bytes, DIGEST_LEN);
}

int gc_row_tree_get(struct kv *state, const struct digest *tree, int64_t now,
		    int64_t *since)
{
	uint8_t key[GC_ROW_TREE_LEN];
	struct kv_value value;
	bool found;
	int rc;

	*since = 0;
	gc_row_tree_key(key, tree);
	rc = gc_row_get(state, key, sizeof(key), &value, &found);
	if (rc < 0 || !found)
		return rc;
	if (value.len == 8)
		*since = (int64_t)le64_get(value.data);
	kv_value_release(&value);
	if (*since < 0 || *since > now)
		*since = 0;
	return 0;
}

void gc_row_tree_put(struct kv_batch *batch, const struct digest *tree,
		     int64_t since)
{
	uint8_t key[GC_ROW_TREE_LEN], value[8];

	gc_row_tree_key(key, tree);
	le64_put(value, (uint64_t)since);
	kv_batch_put(batch, key, sizeof(key), value, sizeof(value));
}

void gc_row_tree_delete(struct kv_batch *batch, const struct digest *tree)
{
	uint8_t key[GC_ROW_TREE_LEN];

	gc_row_tree_key(key, tree);
	kv_batch_delete(batch, key, sizeof(key));
}

int gc_row_tree_list(struct kv *state,
		     int (*visit)(void *ctx, const struct digest *tree),
		     void *ctx)
{
	static const uint8_t prefix[] = {STATE_KEY_GC, 't'};
	struct kv_iter *it =
	    kv_iter_new(state, prefix, sizeof(prefix), NULL, 0);
	struct digest tree;
	const uint8_t *key;
	size_t len;
	int rc = 0;

	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		key = kv_iter_key(it, &len);
		if (len != GC_ROW_TREE_LEN)
			continue;
		memcpy(tree.bytes, key + 2, DIGEST_LEN);
		rc = visit(ctx, &tree);
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}
