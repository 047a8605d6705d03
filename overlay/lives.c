/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lives: see lives.h.  Counter keys "clean" (last life that ended in order:8)
 * and "cut" (oldest:4, then the lives that were cut off, 4 each).
 */
#include "overlay/lives.h"

#include "depot/log.h"
#include "overlay/record.h"

static int lives_get(struct kv *kv, const char *name, uint8_t *out, size_t max,
		     size_t *len)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_text(&key, 'C', name);
	rc = kv_get(kv, key.bytes, key.len, &value);
	*len = 0;
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	if (value.len < 1 || value.len > max ||
	    value.data[0] != RECORD_FORMAT) {
		rc =
		    value.len > 0 && value.data[0] > RECORD_FORMAT
			? record_newer("counter", value.data[0], RECORD_FORMAT)
			: log_err(-EBADMSG, "state: value of counter %s", name);
	} else {
		memcpy(out, value.data, value.len);
		*len = value.len;
	}
	kv_value_release(&value);
	return rc;
}

static int lives_put(struct kv *kv, const struct lives *lives)
{
	uint8_t value[5 + 4 * LIVES_MAX] = {RECORD_FORMAT};
	struct record_key key;

	le32_put(value + 1, lives->oldest);
	for (unsigned int i = 0; i < lives->cut_count; i++)
		le32_put(value + 5 + 4 * i, lives->cut[i]);
	record_key_text(&key, 'C', "cut");
	return kv_put(kv, key.bytes, key.len, value,
		      5 + 4 * (size_t)lives->cut_count);
}

static void lives_add_cut(struct lives *lives, uint32_t life)
{
	if (lives->cut_count == LIVES_MAX) {
		lives->oldest = lives->cut[0] + 1;
		memmove(lives->cut, lives->cut + 1,
			(LIVES_MAX - 1) * sizeof(lives->cut[0]));
		lives->cut_count--;
	}
	lives->cut[lives->cut_count++] = life;
}

/* The lives after the last one that ended in order, up to this one: those that
 * could not be recorded on a full disk are among them. */
static bool lives_add_missing(struct lives *lives, uint64_t clean)
{
	uint32_t next = lives->oldest, count = lives->cut_count;

	if (count > 0)
		next = MAX(next, lives->cut[count - 1] + 1);
	if (clean < lives->now)
		next = MAX(next, (uint32_t)clean + 1);
	if (next >= lives->now)
		return false;
	if (lives->now - next > LIVES_MAX) {
		lives->oldest = next = lives->now - LIVES_MAX;
		lives->cut_count = 0;
	}
	for (; next < lives->now; next++)
		lives_add_cut(lives, next);
	return true;
}

int lives_begin(struct kv *kv, uint32_t now, bool recorded, struct lives *lives)
{
	uint8_t value[5 + 4 * LIVES_MAX];
	uint64_t clean = 0;
	uint32_t random;
	size_t len;
	int rc = lives_get(kv, "cut", value, sizeof(value), &len);

	*lives = (struct lives){.now = now};
	if (rc == 0 && len >= 5) {
		lives->oldest = le32_get(value + 1);
		lives->cut_count = (unsigned int)((len - 5) / 4);
		for (unsigned int i = 0; i < lives->cut_count; i++)
			lives->cut[i] = le32_get(value + 5 + 4 * i);
	}
	if (rc == 0)
		rc = lives_get(kv, "clean", value, 9, &len);
	if (rc < 0)
		return rc;
	if (len == 9)
		clean = le64_get(value + 1);
	if (lives_add_missing(lives, clean) && recorded)
		rc = lives_put(kv, lives);
	if (recorded && !kv_is_full(rc))
		return rc;
	random_bytes(&random, sizeof(random));
	lives->now = LIVES_NAMELESS | random;
	return 0;
}

int lives_end(struct kv *kv, const struct lives *lives)
{
	uint8_t value[9] = {RECORD_FORMAT};
	struct record_key key;

	if (lives->now >= LIVES_NAMELESS)
		return 0;
	le64_put(value + 1, lives->now);
	record_key_text(&key, 'C', "clean");
	return kv_put(kv, key.bytes, key.len, value, sizeof(value));
}

bool lives_was_cut(const struct lives *lives, uint32_t life)
{
	if (life == lives->now)
		return false;
	if (life < lives->oldest || life >= LIVES_NAMELESS)
		return true;
	for (unsigned int i = 0; i < lives->cut_count; i++)
		if (lives->cut[i] == life)
			return true;
	return false;
}
