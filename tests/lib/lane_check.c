/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane_check: is everything there that was acknowledged?  See lane.h.
 */
#include "tests/lib/lane.h"

enum { LANE_FRESH_READS = 2, NFS_STALE = 70, NFS_NOENT = 2 };

/* --- what was UNSTABLE is written again ---------------------------------- */

static bool rewrite_part(struct lane *lane, struct lane_object *object,
			 uint64_t from, uint64_t to, uint32_t stable)
{
	uint32_t committed;
	uint64_t verifier;
	int rc =
	    raw_write(&lane->probe, &object->fh, from, object->bytes + from,
		      (uint32_t)(to - from), stable, &committed, &verifier);

	if (rc == RAW_CLOSED)
		return false;
	if (rc != 0)
		lane_trouble(lane, LANE_LOST, "writing again: %d", rc);
	else if (lane->verifier && verifier != lane->verifier)
		lane_trouble(lane, LANE_VERIFIER,
			     "two verifiers in one life of the server");
	memset(object->doubt + from, committed ? LANE_STABLE : LANE_UNSTABLE,
	       to - from);
	return true;
}

static bool rewrite_object(struct lane *lane, struct lane_object *object)
{
	/* Some of it UNSTABLE again: it may be lost a second time. */
	uint32_t stable = lane_random(lane, 3);
	uint64_t from = 0;

	while (object->doubt && from < object->size) {
		uint64_t to = from;

		while (to < object->size && to - from < LANE_WRITE_MAX &&
		       object->doubt[to] == LANE_DOUBTFUL)
			to++;
		if (to > from && !rewrite_part(lane, object, from, to, stable))
			return false;
		from = to > from ? to : from + 1;
	}
	return true;
}

bool lane_rewrite(struct lane *lane)
{
	for (int i = 0; i < LANE_OBJECTS; i++)
		if (!rewrite_object(lane, &lane->objects[i]))
			return false;
	return true;
}

/* --- names --------------------------------------------------------------- */

/* What is listed under a name of the model. */
static void verify_entry(struct lane *lane, int dir, int i,
			 const struct raw_entry *entry)
{
	struct lane_name *name = &lane->names[dir][i];
	const struct lane_object *object = &lane->objects[name->object];

	if (entry->fileid != object->fileid ||
	    entry->attr.fileid != object->fileid ||
	    memcmp(&entry->fh, &object->fh, sizeof(object->fh)) != 0)
		lane_trouble(lane, LANE_LOST, "%s: another handle or number",
			     entry->name);
	if (entry->attr.type != object->type ||
	    entry->attr.nlink != object->nlink ||
	    entry->attr.size != object->size ||
	    (entry->attr.mode & 07777) != object->mode)
		lane_trouble(lane, LANE_LOST,
			     "%s: type %u, %u links, size "
			     "%llu, mode %o for %u, %u, %llu, %o",
			     entry->name, entry->attr.type, entry->attr.nlink,
			     (unsigned long long)entry->attr.size,
			     entry->attr.mode, object->type, object->nlink,
			     (unsigned long long)object->size, object->mode);
	if (name->cookie && name->fileid == object->fileid &&
	    name->cookie != entry->cookie)
		lane_trouble(lane, LANE_LOST, "%s: its cookie has changed",
			     entry->name);
	name->cookie = entry->cookie;
	name->fileid = object->fileid;
}

/* From a cookie seen earlier, also of a name that is gone: the entries behind
 * it, all and no other. */
static bool verify_cookie(struct lane *lane, int dir,
			  const struct raw_listing *all)
{
	int i = (int)lane_random(lane, (uint32_t)lane_name_count(dir));
	uint64_t cookie = lane->names[dir][i].cookie;
	struct raw_listing list = {0};
	size_t behind = 0;
	int rc;

	if (cookie == 0)
		return true;
	rc = raw_readdir(&lane->probe, &lane->dirs[dir], false, cookie, 65536,
			 &list);
	for (size_t j = 0; j < all->count; j++)
		behind += all->entries[j].cookie > cookie;
	if (rc == 0 && (list.count != behind || !list.eof))
		lane_trouble(lane, LANE_LOST,
			     "%zu entries behind a cookie, "
			     "not %zu",
			     list.count, behind);
	else if (rc != 0 && rc != RAW_CLOSED)
		lane_trouble(lane, LANE_LOST, "READDIR from a cookie: %d", rc);
	raw_listing_free(&list);
	return rc != RAW_CLOSED;
}

/* The directory itself, as its "." is listed. */
static void verify_self(struct lane *lane, int dir,
			const struct raw_listing *list)
{
	const struct raw_entry *self = raw_listing_find(list, ".");
	uint32_t nlink = dir == 0 ? 3 : 2; /* "sub" */

	for (int i = 0; i < lane_name_count(dir); i++) {
		int at = lane->names[dir][i].object;

		nlink += at >= 0 && lane->objects[at].type == LANE_DIR;
	}
	if (!self || self->fileid != lane->dir_ids[dir] ||
	    memcmp(&self->fh, &lane->dirs[dir], sizeof(self->fh)) != 0)
		lane_trouble(lane, LANE_LOST, "directory %d: another", dir);
	else if (self->attr.nlink != nlink)
		lane_trouble(lane, LANE_LOST, "directory %d: %u links, not %u",
			     dir, self->attr.nlink, nlink);
}

static bool verify_dir(struct lane *lane, int dir)
{
	struct raw_listing list = {0};
	size_t expected = dir == 0 ? 3 : 2; /* "." ".." "sub" */
	int rc = raw_list(&lane->probe, &lane->dirs[dir], true, 65536, &list);
	bool open = rc != RAW_CLOSED;

	if (rc != 0 && open)
		lane_trouble(lane, LANE_LOST, "READDIRPLUS: %d", rc);
	for (int i = 0; rc == 0 && i < lane_name_count(dir); i++) {
		const struct raw_entry *entry;
		char name[16];

		lane_name_text(name, sizeof(name), dir, i);
		entry = raw_listing_find(&list, name);
		if (lane->names[dir][i].object < 0) {
			if (entry)
				lane_trouble(lane, LANE_LOST,
					     "%s: removed, but there", name);
			continue;
		}
		expected++;
		if (!entry)
			lane_trouble(lane, LANE_LOST, "%s: not there", name);
		else
			verify_entry(lane, dir, i, entry);
	}
	if (rc == 0 && list.count != expected)
		lane_trouble(lane, LANE_LOST, "%zu names, not %zu", list.count,
			     expected);
	if (rc == 0)
		verify_self(lane, dir, &list);
	open = open && (rc != 0 || verify_cookie(lane, dir, &list));
	raw_listing_free(&list);
	return open;
}

/* --- content ------------------------------------------------------------- */

static bool verify_content(struct lane *lane, struct lane_object *object)
{
	static uint8_t got[LANE_SIZE_MAX + 1];
	const uint8_t *bytes = lane_bytes(lane, object);
	uint32_t len = 0;
	bool eof = false;
	int rc = raw_read(&lane->probe, &object->fh, 0, sizeof(got), got, &len,
			  &eof);

	if (rc == RAW_CLOSED)
		return false;
	if (rc != 0 || len != object->size || !eof)
		lane_trouble(lane, LANE_LOST, "READ gives %d, %u of %llu bytes",
			     rc, len, (unsigned long long)object->size);
	for (uint32_t i = 0; rc == 0 && i < MIN(len, object->size); i++)
		if (got[i] != bytes[i]) {
			lane_trouble(lane, LANE_LOST,
				     "file %llx of %llu bytes:"
				     " byte %u is not what was acknowledged",
				     (unsigned long long)object->fileid,
				     (unsigned long long)object->size, i);
			break;
		}
	return true;
}

static bool verify_target(struct lane *lane, const struct lane_object *object)
{
	char got[sizeof(object->target)] = "";
	size_t len = 0;
	int rc =
	    raw_readlink(&lane->probe, &object->fh, got, sizeof(got), &len);

	if (rc == RAW_CLOSED)
		return false;
	if (rc != 0 || len != strlen(object->target) ||
	    memcmp(got, object->target, len) != 0)
		lane_trouble(lane, LANE_LOST, "a link's target: %d", rc);
	return true;
}

/* A handle of what was removed stays dead. */
static bool verify_dead(struct lane *lane)
{
	for (unsigned int i = 0; i < MIN(lane->dead_count, LANE_DEAD); i++) {
		struct raw_attr attr;
		int rc = raw_getattr(&lane->probe, &lane->dead[i], &attr);

		if (rc == RAW_CLOSED)
			return false;
		if (rc != NFS_STALE)
			lane_trouble(lane, LANE_LOST,
				     "handle of a removed object: %d", rc);
	}
	return true;
}

bool lane_verify(struct lane *lane)
{
	int fresh_reads = LANE_FRESH_READS;
	int first = (int)lane_random(lane, LANE_OBJECTS);

	for (int dir = 0; dir < LANE_DIRS; dir++)
		if (!verify_dir(lane, dir))
			return false;
	for (int i = 0; i < LANE_OBJECTS; i++) {
		struct lane_object *object =
		    &lane->objects[(first + i) % LANE_OBJECTS];
		bool open = true;

		if (object->type == LANE_LNK)
			open = verify_target(lane, object);
		if (object->type == LANE_REG &&
		    (!object->fresh || fresh_reads-- > 0))
			open = verify_content(lane, object);
		if (!open)
			return false;
	}
	return verify_dead(lane);
}
