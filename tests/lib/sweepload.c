/* SPDX-License-Identifier: Apache-2.0 */
/* sweepload: the client of the fault sweep; see sweepload.h. */
#include <stdarg.h>
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/nfsrig.h"
#include "tests/lib/sweepload.h"

enum {
	SWEEP_ANSWER_TRIES = 6, /* without an answer */
	SWEEP_ASK_TRIES = 3,    /* with an error */
	SWEEP_COMMIT_ROUNDS = 5,
	SWEEP_READ_STEP = 64 << 10,
	SWEEP_UNKNOWN = -1000, /* no status: the server cannot be had */
};

static void PRINTF_LIKE(2, 3)
    sweep_trouble(struct sweep_load *load, const char *fmt, ...)
{
	va_list args;

	if (load->trouble[0])
		return;
	va_start(args, fmt);
	vsnprintf(load->trouble, sizeof(load->trouble), fmt, args);
	va_end(args);
}

/* The call that was begun, until it is answered. */
static int sweep_status(struct sweep_load *load)
{
	load->calls++;
	for (int i = 0; i < SWEEP_ANSWER_TRIES; i++) {
		int rc = raw_status(&load->raw);

		if (rc != RAW_CLOSED && rc != RAW_TIMEOUT)
			return rc;
		load->resent++;
		if (!load->reconnect(load, i))
			return SWEEP_UNKNOWN;
	}
	sweep_trouble(load, "a call is not answered");
	return SWEEP_UNKNOWN;
}

/* Errors that a fault of the host may cause; -105: SYSTEM_ERR. */
static bool sweep_may_be(int rc)
{
	return rc == S_IO || rc == S_NOSPC || rc == S_SERVERFAULT ||
	       rc == S_JUKEBOX || rc == -105;
}

/* Before the call it had happened already. */
static bool sweep_is_done(const struct sweep_op *op, int rc)
{
	switch (op->type) {
	case SWEEP_GUARDED:
	case SWEEP_MKDIR:
	case SWEEP_SYMLINK:
	case SWEEP_MKNOD:
	case SWEEP_LINK:
		return rc == S_EXIST;
	case SWEEP_REMOVE:
	case SWEEP_RMDIR:
	case SWEEP_RENAME:
		return rc == S_NOENT;
	default:
		return false;
	}
}

/* --- names --------------------------------------------------------------- */

static const char *sweep_leaf(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct raw_fh *sweep_parent(struct sweep_load *load,
				   struct sweep_state *state, const char *path)
{
	const char *slash = strchr(path, '/');
	char dir[16];

	if (!slash)
		return &load->root;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	return &sweep_file(state, dir)->fh;
}

static int sweep_lookup(struct sweep_load *load, struct sweep_state *state,
			const char *path, struct raw_fh *fh,
			struct raw_attr *attr)
{
	int rc;

	raw_begin_fh(&load->raw, P_LOOKUP, sweep_parent(load, state, path));
	raw_put_string(&load->raw, sweep_leaf(path));
	rc = sweep_status(load);
	if (rc == 0) {
		raw_get_fh(&load->raw, fh);
		raw_get_post_attr(&load->raw, attr);
	}
	return rc;
}

/* --- content ------------------------------------------------------------- */

static bool sweep_piece_ok(const struct sweep_content *c, const uint8_t *got,
			   uint64_t off, size_t len, uint64_t *bad)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t at = off + i;

		if (got[i] == c->bytes[at] ||
		    (c->doubt[at] && got[i] == c->other[at]))
			continue;
		*bad = at;
		return false;
	}
	return true;
}

/* 0, what READ failed with, or S_INVAL and why: it is not what must be. */
static int sweep_compare(struct sweep_load *load, const struct sweep_file *file,
			 char why[128])
{
	static uint8_t buf[SWEEP_READ_STEP];
	struct sweep_content *c = &load->content;
	struct raw_attr attr;
	uint64_t off = 0, bad;
	bool eof = false;

	sweep_render(file, c);
	while (!eof) {
		uint32_t got;
		int rc;

		raw_begin_fh(&load->raw, P_READ, &file->fh);
		raw_put64(&load->raw, off);
		raw_put32(&load->raw, sizeof(buf));
		rc = sweep_status(load);
		if (rc != 0)
			return rc;
		raw_get_post_attr(&load->raw, &attr);
		got = raw_get32(&load->raw);
		eof = raw_get32(&load->raw);
		got = (uint32_t)raw_get_opaque(&load->raw, buf, sizeof(buf));
		if (off + got > c->size_max ||
		    !sweep_piece_ok(c, buf, off, got, &bad)) {
			snprintf(why, 128, "wrong byte at %llu",
				 (unsigned long long)(off + got > c->size_max
							  ? c->size_max
							  : bad));
			return S_INVAL;
		}
		off += got;
		if (got == 0 && !eof)
			return S_IO;
	}
	if (off >= c->size)
		return 0;
	snprintf(why, 128, "%llu bytes, not %llu", (unsigned long long)off,
		 (unsigned long long)c->size);
	return S_INVAL;
}

/* --- one operation ------------------------------------------------------- */

/* WRITE of a piece, and what its answer makes of it. */
static int sweep_write(struct sweep_load *load, const struct raw_fh *fh,
		       struct sweep_piece *piece, uint32_t stable)
{
	static uint8_t buf[SWEEP_FILE_MAX];
	struct raw_wcc wcc;
	uint32_t count, committed;
	int rc;

	sweep_bytes(piece->seed, buf, piece->len);
	raw_begin_write(&load->raw, fh, piece->off, buf, piece->len, stable);
	rc = sweep_status(load);
	if (rc != 0)
		return rc;
	raw_get_wcc(&load->raw, &wcc);
	count = raw_get32(&load->raw);
	committed = raw_get32(&load->raw);
	piece->verifier = raw_get64(&load->raw);
	if (count != piece->len || committed < stable)
		sweep_trouble(load, "WRITE: %u of %u bytes, level %u of %u",
			      count, piece->len, committed, stable);
	piece->doubt = piece->waits = committed == 0;
	return 0;
}

/* Until nothing of the file waits. */
static int sweep_commit(struct sweep_load *load, struct sweep_file *file)
{
	for (int round = 0; round < SWEEP_COMMIT_ROUNDS; round++) {
		struct raw_wcc wcc;
		uint64_t verifier;
		bool again = false;
		int rc;

		raw_begin_fh(&load->raw, P_COMMIT, &file->fh);
		raw_put64(&load->raw, 0);
		raw_put32(&load->raw, 0);
		rc = sweep_status(load);
		if (rc != 0)
			return rc;
		raw_get_wcc(&load->raw, &wcc);
		verifier = raw_get64(&load->raw);
		for (unsigned int i = 0; i < file->piece_count; i++) {
			struct sweep_piece *piece = &file->pieces[i];

			if (!piece->waits)
				continue;
			if (piece->verifier == verifier) {
				piece->doubt = piece->waits = false;
				continue;
			}
			load->rewritten++;
			again = true;
			rc = sweep_write(load, &file->fh, piece, 0);
			if (rc != 0)
				return rc;
		}
		if (!again)
			return 0;
	}
	sweep_trouble(load, "COMMIT: the verifier changes for ever");
	return SWEEP_UNKNOWN;
}

static void sweep_build(struct sweep_load *load, struct sweep_state *state,
			const struct sweep_op *op)
{
	const struct raw_fh *dir = sweep_parent(load, state, op->a);
	const struct sweep_file *file = sweep_file(state, op->a);
	struct raw_sattr set = {.mask = RAW_SET_MODE,
				.mode = (uint32_t)op->off};
	const char *leaf = sweep_leaf(op->a);
	struct raw *raw = &load->raw;

	switch (op->type) {
	case SWEEP_CREATE:
	case SWEEP_GUARDED:
		raw_begin_create(raw, dir, leaf, op->type == SWEEP_GUARDED,
				 op->off);
		break;
	case SWEEP_EXCLUSIVE:
		raw_begin_create(raw, dir, leaf, 2, 0x1234567890);
		break;
	case SWEEP_MKDIR:
		raw_begin_mkdir(raw, dir, leaf, (uint32_t)op->off);
		break;
	case SWEEP_SYMLINK:
		raw_begin_symlink(raw, dir, leaf, "target", 6);
		break;
	case SWEEP_MKNOD:
		raw_begin_mknod(raw, dir, leaf, SWEEP_FIFO, (uint32_t)op->off);
		break;
	case SWEEP_LINK:
		raw_begin_link(raw, &file->fh, sweep_parent(load, state, op->b),
			       sweep_leaf(op->b));
		break;
	case SWEEP_REMOVE:
	case SWEEP_RMDIR:
		raw_begin_remove(raw, dir, leaf, op->type == SWEEP_RMDIR);
		break;
	case SWEEP_RENAME:
		raw_begin_rename(raw, dir, leaf,
				 sweep_parent(load, state, op->b),
				 sweep_leaf(op->b));
		break;
	case SWEEP_MODE:
		raw_begin_setattr(raw, &file->fh, &set, NULL);
		break;
	default:
		raw_begin_set_size(raw, &file->fh, op->off);
	}
}

/* The handle of what was just made. */
static int sweep_take_handle(struct sweep_load *load, struct sweep_state *next,
			     const struct sweep_op *op, bool reply)
{
	struct sweep_file *file = sweep_file(next, op->a);
	struct raw_attr attr;

	if (op->type > SWEEP_MKNOD)
		return 0;
	if (reply && raw_get32(&load->raw)) {
		raw_get_fh(&load->raw, &file->fh);
		return 0;
	}
	return sweep_lookup(load, next, op->a, &file->fh, &attr);
}

/* An operation on names or attributes; `next` is the state after it. */
static int sweep_change(struct sweep_load *load, struct sweep_story *story,
			const struct sweep_op *op, bool asked)
{
	struct sweep_state next = story->now;
	int rc;

	sweep_apply(&next, op);
	sweep_build(load, &story->now, op);
	rc = sweep_status(load);
	if (rc == 0)
		rc = sweep_take_handle(load, &next, op, true);
	else if (asked && sweep_is_done(op, rc))
		rc = sweep_take_handle(load, &next, op, false);
	if (rc == 0) {
		story->now = next;
		story->either = false;
	} else {
		story->other = next;
		story->either = true;
	}
	return rc;
}

static struct sweep_piece *sweep_piece_add(struct sweep_file *file,
					   const struct sweep_op *op)
{
	struct sweep_piece *piece = &file->pieces[file->piece_count++];

	ASSERT(file->piece_count <= SWEEP_PIECES);
	*piece = (struct sweep_piece){.off = op->off,
				      .len = op->len,
				      .seed = (uint32_t)(op - sweep_ops) + 1,
				      .doubt = true};
	return piece;
}

static int sweep_ask(struct sweep_load *load, struct sweep_story *story,
		     const struct sweep_op *op, bool asked)
{
	struct sweep_file *file = sweep_file(&story->now, op->a);
	char why[128] = "";
	int rc;

	switch (op->type) {
	case SWEEP_UNSTABLE:
	case SWEEP_DATA_SYNC:
	case SWEEP_FILE_SYNC:
		if (!asked)
			sweep_piece_add(file, op);
		return sweep_write(load, &file->fh,
				   &file->pieces[file->piece_count - 1],
				   op->type - SWEEP_UNSTABLE);
	case SWEEP_COMMIT:
		return sweep_commit(load, file);
	case SWEEP_READ:
		rc = sweep_compare(load, file, why);
		if (why[0])
			sweep_trouble(load, "READ of %s: %s", op->a, why);
		return rc;
	default:
		return sweep_change(load, story, op, asked);
	}
}

static void sweep_tell(struct sweep_load *load, const struct sweep_op *op)
{
	struct sweep_story *story = &load->stories[op->story];

	if (story->stopped)
		return;
	for (int i = 0; i < SWEEP_ASK_TRIES; i++) {
		int rc = sweep_ask(load, story, op, i > 0);

		if (rc == 0) {
			load->acknowledged++;
			return;
		}
		load->errors++;
		if (rc == SWEEP_UNKNOWN)
			break;
		if (!sweep_may_be(rc))
			sweep_trouble(load, "operation %d on %s answered %d",
				      (int)(op - sweep_ops), op->a, rc);
	}
	story->stopped = true;
}

bool sweep_load_run(struct sweep_load *load)
{
	for (size_t i = 0; i < sweep_op_count && !load->trouble[0]; i++)
		sweep_tell(load, &sweep_ops[i]);
	return !load->trouble[0];
}

bool sweep_load_begin(struct sweep_load *load, const char *export)
{
	int rc = raw_mount(&load->raw, export, &load->root);

	for (int s = 0; s < SWEEP_STORIES; s++) {
		struct sweep_state *state = &load->stories[s].now;

		load->stories[s] = (struct sweep_story){.stopped = false};
		sweep_state_init(state, s);
		for (int i = 0; rc == 0 && i < SWEEP_NAMES; i++) {
			const struct sweep_name *name = &state->names[i];
			struct raw_attr attr;

			if (name->file >= 0)
				rc = sweep_lookup(load, state, name->path,
						  &state->files[name->file].fh,
						  &attr);
		}
	}
	if (rc != 0)
		sweep_trouble(load, "mount: %d", rc);
	return rc == 0;
}

/* --- afterwards ---------------------------------------------------------- */

static bool sweep_check_name(struct sweep_load *load, struct sweep_state *state,
			     const struct sweep_name *name, char why[128])
{
	struct sweep_file *file = &state->files[name->file];
	struct raw_attr attr = {.present = false};
	struct raw_fh known = file->fh, fh;
	int rc = sweep_lookup(load, state, name->path, &fh, &attr);

	if (rc != 0) {
		snprintf(why, 128, "LOOKUP gives %d", rc);
		return false;
	}
	file->fh = fh;
	if (known.len > 0 &&
	    (known.len != fh.len || memcmp(known.bytes, fh.bytes, fh.len) != 0))
		snprintf(why, 128, "another handle");
	else if (attr.type != file->type ||
		 (file->type != SWEEP_LNK && attr.mode != file->mode))
		snprintf(why, 128, "type %u mode %o, not %u %o", attr.type,
			 attr.mode, file->type, file->mode);
	else if (file->type != SWEEP_DIR && attr.nlink != file->links)
		snprintf(why, 128, "%u links, not %u", attr.nlink, file->links);
	else if (file->type == SWEEP_REG) {
		rc = sweep_compare(load, file, why);
		if (rc != 0 && !why[0])
			snprintf(why, 128, "READ gives %d", rc);
	}
	return !why[0];
}

/* Nobody else has those names. */
static bool sweep_check_absent(struct sweep_load *load,
			       struct sweep_state *state, int story,
			       const char *path, char why[128])
{
	const char *slash = path ? strchr(path, '/') : NULL;
	struct raw_attr attr;
	struct raw_fh fh;
	char dir[16];
	int rc;

	if (!path || sweep_find(state, path) >= 0)
		return true;
	if (slash) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		if (sweep_find(state, dir) < 0)
			return true;
	}
	rc = sweep_lookup(load, state, path, &fh, &attr);
	if (rc == S_NOENT)
		return true;
	snprintf(why, 128, "story %d: LOOKUP of what is not gives %d", story,
		 rc);
	return false;
}

static bool sweep_check(struct sweep_load *load, struct sweep_state *state,
			int story, char text[256])
{
	char why[128] = "";
	const char *path = "";
	bool ok = true;

	/* A directory's name comes before those in it. */
	for (int i = 0; ok && i < SWEEP_NAMES; i++) {
		path = state->names[i].path;
		if (state->names[i].file >= 0)
			ok = sweep_check_name(load, state, &state->names[i],
					      why);
	}
	for (size_t i = 0; ok && i < sweep_op_count; i++) {
		const struct sweep_op *op = &sweep_ops[i];

		if (op->story != story)
			continue;
		path = op->a;
		ok = sweep_check_absent(load, state, story, op->a, why);
		if (!ok)
			break;
		path = op->b;
		ok = sweep_check_absent(load, state, story, op->b, why);
	}
	if (!ok)
		snprintf(text, 256, "%s: %s", path, why);
	return ok;
}

bool sweep_load_verify(struct sweep_load *load)
{
	for (int s = 0; s < SWEEP_STORIES && !load->trouble[0]; s++) {
		struct sweep_story *story = &load->stories[s];
		char text[256] = "", other[256] = "no other state";

		if (sweep_check(load, &story->now, s, text))
			continue;
		if (story->either && sweep_check(load, &story->other, s, other))
			continue;
		sweep_trouble(load, "%s (or: %s)", text, other);
	}
	return !load->trouble[0];
}

int sweep_load_probe(struct sweep_load *load)
{

	struct sweep_piece piece = {.len = 100, .seed = 77};
	struct raw_fh fh;
	int rc;

	raw_begin_create(&load->raw, &load->root, "probe", 0, 0644);
	rc = sweep_status(load);
	if (rc != 0)
		return rc;
	if (raw_get32(&load->raw))
		raw_get_fh(&load->raw, &fh);
	else
		return S_SERVERFAULT;
	rc = sweep_write(load, &fh, &piece, 2);
	if (rc != 0)
		return rc;
	piece.len = 40000;
	rc = sweep_write(load, &fh, &piece, 0);
	if (rc != 0)
		return rc;
	return sweep_write(load, &fh, &piece, 2);
}
