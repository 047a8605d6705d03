/* SPDX-License-Identifier: Apache-2.0 */
/* lane: see lane.h. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/lane.h"

static void lane_trouble(struct lane *lane, const char *fmt, ...)
	PRINTF_LIKE(2, 3);

static void lane_trouble(struct lane *lane, const char *fmt, ...)
{
	va_list args;

	if (lane->lost++ > 0)
		return;
	va_start(args, fmt);
	vsnprintf(lane->trouble, sizeof(lane->trouble), fmt, args);
	va_end(args);
}

static uint32_t lane_random(struct lane *lane, uint32_t below)
{
	lane->seed ^= lane->seed << 13;
	lane->seed ^= lane->seed >> 7;
	lane->seed ^= lane->seed << 17;
	return (uint32_t)(lane->seed >> 33) % below;
}

static void lane_name(char *out, size_t len, char kind, int i)
{
	snprintf(out, len, "%c%d", kind, i);
}

bool lane_open(struct lane *lane, int number, uint64_t seed, int port,
	       const char *export)
{
	char name[16];

	memset(lane, 0, sizeof(*lane));
	lane->number = number;
	lane->seed = seed * 2654435761u + (uint64_t)number + 1;
	lane->next_id = 1;
	if (!raw_open(&lane->raw, NULL, port))
		return false;
	lane->raw.xid += (uint32_t)number << 26;
	snprintf(name, sizeof(name), "lane%d", number);
	return raw_mount(&lane->raw, export, &lane->root) == 0 &&
	       raw_mkdir(&lane->raw, &lane->root, name, 0755, &lane->dir) == 0;
}

/* --- one operation ------------------------------------------------------- */

static int lane_pick(struct lane *lane, bool existing)
{
	int start = (int)lane_random(lane, LANE_FILES);

	for (int i = 0; i < LANE_FILES; i++) {
		int at = (start + i) % LANE_FILES;

		if (lane->files[at].exists == existing)
			return at;
	}
	return -1;
}

static void lane_choose(struct lane *lane)
{
	static const enum lane_op mix[] = {
		LANE_CREATE, LANE_EXCLUSIVE, LANE_WRITE, LANE_WRITE, LANE_WRITE,
		LANE_UNSTABLE, LANE_UNSTABLE, LANE_COMMIT, LANE_REMOVE,
		LANE_RENAME, LANE_SIZE, LANE_MKDIR, LANE_RMDIR};
	enum lane_op op = mix[lane_random(lane, ARRAY_LEN(mix))];
	bool makes = op == LANE_CREATE || op == LANE_EXCLUSIVE;

	lane->op = op;
	lane->id = ++lane->next_id;
	if (op == LANE_MKDIR || op == LANE_RMDIR) {
		lane->a = (int)lane_random(lane, LANE_DIRS);
		lane->op = lane->dirs[lane->a] ? LANE_RMDIR : LANE_MKDIR;
		return;
	}
	lane->a = lane_pick(lane, !makes);
	if (lane->a < 0) { /* all or none exist: do the opposite */
		lane->op = makes ? LANE_REMOVE : LANE_CREATE;
		lane->a = lane_pick(lane, makes);
	}
	lane->b = (int)lane_random(lane, LANE_FILES);
	if (lane->b == lane->a)
		lane->b = (lane->a + 1) % LANE_FILES;
	lane->block = lane_random(lane, LANE_BLOCKS);
	lane->size = lane_random(lane, LANE_BLOCKS * LANE_BLOCK);
}

static void lane_fill(const struct lane *lane, uint64_t id, uint8_t *block)
{
	check_fill(block, LANE_BLOCK, (uint64_t)lane->number << 48 | id);
}

static void lane_build(struct lane *lane)
{
	struct raw *raw = &lane->raw;
	const struct lane_file *file = &lane->files[lane->a];
	uint8_t block[LANE_BLOCK];
	char name[16], other[16];

	lane_name(name, sizeof(name),
		  lane->op == LANE_MKDIR || lane->op == LANE_RMDIR ? 'd' : 'f',
		  lane->a);
	lane_name(other, sizeof(other), 'f', lane->b);
	switch (lane->op) {
	case LANE_CREATE:
		raw_begin_create(raw, &lane->dir, name, 1, 0644);
		break;
	case LANE_EXCLUSIVE:
		raw_begin_create(raw, &lane->dir, name, 2, lane->id);
		break;
	case LANE_WRITE:
	case LANE_UNSTABLE:
		lane_fill(lane, lane->id, block);
		raw_begin_write(raw, &file->fh,
				(uint64_t)lane->block * LANE_BLOCK, block,
				LANE_BLOCK, lane->op == LANE_WRITE ? 2 : 0);
		break;
	case LANE_COMMIT:
		raw_begin(raw, RAW_NFS, 3, P_COMMIT);
		raw_put_fh(raw, &file->fh);
		raw_put64(raw, 0);
		raw_put32(raw, 0);
		break;
	case LANE_REMOVE:
		raw_begin_remove(raw, &lane->dir, name, false);
		break;
	case LANE_RENAME:
		raw_begin_rename(raw, &lane->dir, name, &lane->dir, other);
		break;
	case LANE_SIZE:
		raw_begin_set_size(raw, &file->fh, lane->size);
		break;
	case LANE_MKDIR:
		raw_begin_mkdir(raw, &lane->dir, name, 0755);
		break;
	default:
		raw_begin_remove(raw, &lane->dir, name, true);
	}
}

bool lane_begin(struct lane *lane)
{
	lane_choose(lane);
	lane_build(lane);
	return raw_send(&lane->raw);
}

/* --- the model ----------------------------------------------------------- */

static void model_size(struct lane_file *file, uint64_t size)
{
	for (uint32_t i = 0; i < LANE_BLOCKS; i++) {
		uint64_t start = (uint64_t)i * LANE_BLOCK;
		uint32_t kept = size > start ? (uint32_t)MIN(
						       size - start,
						       (uint64_t)LANE_BLOCK)
					     : 0;

		file->cut[i] = MIN(file->cut[i], kept);
		if (kept == 0) {
			file->ids[i] = 0;
			file->unstable[i] = false;
		}
	}
	file->size = size;
}

static void model_write(struct lane *lane, bool stable, uint64_t verifier)
{
	struct lane_file *file = &lane->files[lane->a];

	file->ids[lane->block] = lane->id;
	file->cut[lane->block] = LANE_BLOCK;
	file->unstable[lane->block] = !stable;
	file->verifier[lane->block] = verifier;
	file->life[lane->block] = lane->life;
	file->size = MAX(file->size, (uint64_t)(lane->block + 1) * LANE_BLOCK);
}

static void model_commit(struct lane *lane, uint64_t verifier)
{
	struct lane_file *file = &lane->files[lane->a];

	for (uint32_t i = 0; i < LANE_BLOCKS; i++)
		if (file->unstable[i] && file->verifier[i] == verifier)
			file->unstable[i] = false;
}

static void lane_take_write(struct lane *lane)
{
	struct raw_wcc wcc;
	uint32_t count, committed;

	raw_get_wcc(&lane->raw, &wcc);
	count = raw_get32(&lane->raw);
	committed = raw_get32(&lane->raw);
	if (count != LANE_BLOCK || (lane->op == LANE_WRITE && committed != 2))
		lane_trouble(lane, "WRITE took %u bytes, committed %u", count,
			     committed);
	model_write(lane, committed == 2, raw_get64(&lane->raw));
}

static void lane_take_create(struct lane *lane)
{
	struct lane_file *file = &lane->files[lane->a];

	memset(file, 0, sizeof(*file));
	file->exists = true;
	if (raw_get32(&lane->raw))
		raw_get_fh(&lane->raw, &file->fh);
	else
		lane_trouble(lane, "CREATE gave no handle");
}

/* The call succeeded: what must be there from now on. */
static void lane_take(struct lane *lane)
{
	struct raw_wcc wcc;

	lane->acknowledged++;
	switch (lane->op) {
	case LANE_CREATE:
	case LANE_EXCLUSIVE:
		lane_take_create(lane);
		break;
	case LANE_WRITE:
	case LANE_UNSTABLE:
		lane_take_write(lane);
		break;
	case LANE_COMMIT:
		raw_get_wcc(&lane->raw, &wcc);
		model_commit(lane, raw_get64(&lane->raw));
		break;
	case LANE_REMOVE:
		lane->files[lane->a].exists = false;
		break;
	case LANE_RENAME:
		lane->files[lane->b] = lane->files[lane->a];
		lane->files[lane->a].exists = false;
		break;
	case LANE_SIZE:
		model_size(&lane->files[lane->a], lane->size);
		break;
	case LANE_MKDIR:
		lane->dirs[lane->a] = true;
		break;
	default:
		lane->dirs[lane->a] = false;
	}
	lane->op = LANE_NONE;
}

static bool lane_take_reply(struct lane *lane)
{
	uint32_t status;
	int rc = raw_reply(&lane->raw);

	if (rc == RAW_CLOSED)
		return false;
	status = rc == 0 ? raw_get32(&lane->raw) : 0;
	if (rc != 0 || status != 0) {
		lane_trouble(lane, "operation %d on %d: RPC %d, status %u",
			     lane->op, lane->a, rc, status);
		lane->op = LANE_NONE;
		return true;
	}
	lane_take(lane);
	return true;
}

bool lane_answer(struct lane *lane)
{
	return lane_take_reply(lane);
}

void lane_drain(struct lane *lane)
{
	struct pollfd pfd = {lane->raw.fd, POLLIN, 0};

	while (lane->op != LANE_NONE && poll(&pfd, 1, 100) == 1 &&
	       (pfd.revents & POLLIN) && lane_take_reply(lane))
		;
}

/* --- after the death ----------------------------------------------------- */

bool lane_reopen(struct lane *lane, int port, const char *export)
{
	struct raw fresh;
	struct raw_fh root;

	if (!raw_open(&fresh, NULL, port))
		return false;
	/* The call under way and its xid live on in the new connection. */
	base_close_ptr(&lane->raw.fd);
	lane->raw.fd = fresh.fd;
	fresh.fd = -1;
	raw_close(&fresh);
	lane->life++;
	if (lane->op != LANE_NONE)
		return true;
	return raw_mount(&lane->raw, export, &root) == 0;
}

bool lane_resend(struct lane *lane)
{
	if (lane->op == LANE_NONE)
		return true;
	lane->resent++;
	return raw_send_bytes(&lane->raw, lane->raw.out, lane->raw.out_len) &&
	       lane_take_reply(lane);
}

/* The server has forgotten what was UNSTABLE; its verifier must say so. */
bool lane_rewrite(struct lane *lane)
{
	uint8_t block[LANE_BLOCK];

	for (int f = 0; f < LANE_FILES; f++) {
		struct lane_file *file = &lane->files[f];

		for (uint32_t i = 0; file->exists && i < LANE_BLOCKS; i++) {
			uint32_t committed;
			uint64_t verifier;
			int rc;

			if (!file->unstable[i] || file->cut[i] == 0)
				continue;
			lane_fill(lane, file->ids[i], block);
			rc = raw_write(&lane->raw, &file->fh,
				       (uint64_t)i * LANE_BLOCK, block,
				       file->cut[i], 2, &committed, &verifier);
			if (rc == RAW_CLOSED)
				return false;
			if (rc != 0)
				lane_trouble(lane, "rewriting f%d: %d", f, rc);
			if (verifier == file->verifier[i] &&
			    file->life[i] != lane->life)
				lane_trouble(lane, "verifier did not change");
			file->unstable[i] = false;
		}
	}
	return true;
}

static void verify_content(struct lane *lane, int f)
{
	static uint8_t got[LANE_BLOCKS * LANE_BLOCK + 1];
	const struct lane_file *file = &lane->files[f];
	uint8_t want[LANE_BLOCK];
	uint32_t len = 0;
	bool eof = false;
	int rc = raw_read(&lane->raw, &file->fh, 0, sizeof(got), got, &len,
			  &eof);

	if (rc != 0 || len != file->size || !eof) {
		lane_trouble(lane, "f%d: READ gives %d, %u of %llu bytes%s", f,
			     rc, len, (unsigned long long)file->size,
			     eof ? ", end" : "");
		return;
	}
	for (uint32_t i = 0; (uint64_t)i * LANE_BLOCK < len; i++) {
		uint32_t n = MIN(len - i * LANE_BLOCK, (uint32_t)LANE_BLOCK);

		memset(want, 0, sizeof(want));
		if (file->ids[i]) {
			lane_fill(lane, file->ids[i], want);
			memset(want + file->cut[i], 0,
			       LANE_BLOCK - file->cut[i]);
		}
		if (memcmp(got + i * LANE_BLOCK, want, n) != 0)
			lane_trouble(lane, "f%d: block %u is not what was "
				     "acknowledged", f, i);
	}
}

static void verify_file(struct lane *lane, int f)
{
	const struct lane_file *file = &lane->files[f];
	struct raw_attr attr;
	struct raw_fh fh;
	char name[16];
	int rc;

	lane_name(name, sizeof(name), 'f', f);
	rc = raw_lookup(&lane->raw, &lane->dir, name, &fh, &attr);
	if (!file->exists) {
		if (rc != 2)
			lane_trouble(lane, "%s: removed, but LOOKUP gives %d",
				     name, rc);
		return;
	}
	if (rc != 0 || fh.len != file->fh.len ||
	    memcmp(fh.bytes, file->fh.bytes, fh.len) != 0 ||
	    attr.size != file->size) {
		lane_trouble(lane, "%s: LOOKUP gives %d, size %llu for %llu",
			     name, rc, (unsigned long long)attr.size,
			     (unsigned long long)file->size);
		return;
	}
	verify_content(lane, f);
}

void lane_verify(struct lane *lane)
{
	for (int f = 0; f < LANE_FILES; f++)
		verify_file(lane, f);
	for (int d = 0; d < LANE_DIRS; d++) {
		struct raw_fh fh;
		char name[16];
		int rc;

		lane_name(name, sizeof(name), 'd', d);
		rc = raw_lookup(&lane->raw, &lane->dir, name, &fh, NULL);
		if (rc != (lane->dirs[d] ? 0 : 2))
			lane_trouble(lane, "%s: LOOKUP gives %d", name, rc);
	}
}
