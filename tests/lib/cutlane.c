/* SPDX-License-Identifier: Apache-2.0 */
/* cutlane: see cutlane.h. */
#include "tests/lib/cutlane.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "tests/lib/cutmodel.h"

enum { CUT_STALE = 70, CUT_NONE = 2, CUT_XID_LANE = 26 };
/* Of calls that are in no journal, so that no reply is taken for one that is.
 */
#define CUT_XID_CHECK 0x80000000u

static bool lane_fail(struct cut_lane *lane, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
static bool lane_fail(struct cut_lane *lane, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(lane->trouble, sizeof(lane->trouble), fmt, args);
	va_end(args);
	return false;
}

static uint32_t lane_lot(struct cut_lane *lane, uint32_t below)
{
	lane->rng ^= lane->rng << 13;
	lane->rng ^= lane->rng >> 7;
	lane->rng ^= lane->rng << 17;
	return (uint32_t)(lane->rng >> 33) % below;
}

/* --- setting up ---------------------------------------------------------- */

bool cutlane_package(int number, const char *dir)
{
	static uint8_t bytes[CUT_FILE_MAX];
	char path[600], name[16];
	struct cut_model model;
	bool ok;

	snprintf(path, sizeof(path), "%s/lane%d", dir, number);
	ok = mkdir(path, 0755) == 0;
	snprintf(path, sizeof(path), "%s/lane%d/sub", dir, number);
	ok = ok && mkdir(path, 0755) == 0;
	cutmodel_init(&model, number);
	for (int i = 0; ok && i < CUT_PACKED; i++) {
		CLEANUP_CLOSE int fd = -1;
		const struct cut_file *file = model.slots[i];

		memcpy(bytes, file->bytes, file->size);
		cutmodel_name(i, name);
		snprintf(path, sizeof(path), "%s/lane%d/%s", dir, number, name);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		ok = fd >= 0 && fchmod(fd, 0644) == 0 &&
		     io_pwrite_all(fd, bytes, file->size, 0) == 0;
	}
	cutmodel_clear(&model);
	return ok;
}

static bool lane_dirs(int number, struct raw *raw, const char *export,
		      struct raw_fh *dir, struct raw_fh *sub)
{
	struct raw_fh root;
	char name[32];

	snprintf(name, sizeof(name), "lane%d", number);
	return raw_mount(raw, export, &root) == 0 &&
	       raw_lookup(raw, &root, name, dir, NULL) == 0 &&
	       raw_lookup(raw, dir, "sub", sub, NULL) == 0;
}

bool cutlane_open(struct cut_lane *lane, int number, uint64_t seed, int port,
		  const char *export)
{
	char name[16];

	memset(lane, 0, sizeof(*lane));
	lane->number = number;
	lane->rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) +
		    (uint64_t)number * 7919 + 1;
	lane->grow = -1;
	cutmodel_init(&lane->now, number);
	cutmodel_init(&lane->then, number);
	if (!raw_open(&lane->raw, NULL, port) ||
	    !lane_dirs(number, &lane->raw, export, &lane->dir, &lane->sub))
		return false;
	lane->raw.xid = (uint32_t)(number + 1) << CUT_XID_LANE;
	for (int i = 0; i < CUT_PACKED; i++) {
		struct raw_fh *fh = &lane->now.slots[i]->fh;

		cutmodel_name(i, name);
		if (raw_lookup(&lane->raw, &lane->dir, name, fh, NULL) != 0)
			return false;
		lane->then.slots[i]->fh = *fh;
	}
	return true;
}

void cutlane_close(struct cut_lane *lane)
{
	cutmodel_clear(&lane->now);
	cutmodel_clear(&lane->then);
	cutmodel_clear(&lane->after);
	raw_close(&lane->raw);
	free(lane->ops);
}

/* --- choosing ------------------------------------------------------------ */

static int lane_pick(struct cut_lane *lane, bool existing)
{
	int start = (int)lane_lot(lane, CUT_SLOTS);

	for (int i = 0; i < CUT_SLOTS; i++) {
		int at = (start + i) % CUT_SLOTS;

		if ((lane->now.slots[at] != NULL) == existing)
			return at;
	}
	return -1;
}

static uint64_t file_reach(const struct cut_file *file)
{
	uint64_t size = file->size;

	for (size_t i = 0; i < file->piece_count; i++)
		size = MAX(size, file->pieces[i].off + file->pieces[i].len);
	return size;
}

static enum cut_type lane_choose_type(struct cut_lane *lane)
{
	static const struct {
		enum cut_type type;
		uint32_t weight;
	} mix[] = {
	    {CUT_WRITE, 26}, {CUT_UNSTABLE, 20}, {CUT_COMMIT, 12},
	    {CUT_SIZE, 12},  {CUT_CREATE, 7},    {CUT_EXCLUSIVE, 2},
	    {CUT_REMOVE, 5}, {CUT_RENAME, 6},    {CUT_LINK, 4},
	    {CUT_MODE, 2},   {CUT_MKDIR, 4},
	};
	uint32_t lot = lane_lot(lane, 100);
	size_t i = 0;

	while (lot >= mix[i].weight)
		lot -= mix[i++].weight;
	return mix[i].type;
}

static void lane_choose_write(struct cut_lane *lane, struct cut_op *op,
			      uint64_t reach)
{
	uint32_t bits = 1 + lane_lot(lane, 18);

	op->len = 1 + lane_lot(lane, 1u << bits);
	op->len = MIN(op->len, (uint32_t)CUT_WRITE_MAX);
	op->off = lane_lot(lane, (uint32_t)reach + 1 + (reach > 20000) * 8192);
	switch (lane_lot(lane, 4)) {
	case 0:
		op->off = 0;
		break;
	case 1:
		op->off = op->off / 4096 * 4096;
		break;
	case 2:
		op->off = reach;
		break;
	}
	op->off = MIN(op->off, (uint64_t)CUT_FILE_MAX - op->len);
	/* Some files stay so small that they live in the database. */
	if (op->a % 3 == 0 && reach <= CUT_SMALL) {
		op->len = MIN(op->len, (uint32_t)CUT_SMALL);
		op->off = MIN(op->off, (uint64_t)CUT_SMALL - op->len);
	}
}

static void lane_choose_size(struct cut_lane *lane, struct cut_op *op,
			     uint64_t reach)
{
	uint32_t lot = lane_lot(lane, 10);

	if (lot < 8 && reach > 0) {
		op->off = lot < 1 ? 0 : lane_lot(lane, (uint32_t)reach);
		lane->grow = op->a;
	} else {
		op->off =
		    MIN(reach + lane_lot(lane, 50000), (uint64_t)CUT_FILE_MAX);
	}
}

/* What was cut grows again at once: zeros must be what is seen between. */
static void lane_choose_grow(struct cut_lane *lane, struct cut_op *op)
{
	uint64_t reach = file_reach(lane->now.slots[lane->grow]);

	op->a = lane->grow;
	lane->grow = -1;
	if (lane_lot(lane, 2)) {
		op->type = CUT_SIZE;
		op->off = MIN(reach + 1 + lane_lot(lane, 100000),
			      (uint64_t)CUT_FILE_MAX);
		return;
	}
	op->type = lane_lot(lane, 2) ? CUT_WRITE : CUT_UNSTABLE;
	op->len = 1 + lane_lot(lane, 5000);
	op->off = MIN(reach + lane_lot(lane, 60000),
		      (uint64_t)CUT_FILE_MAX - op->len);
}

static void lane_choose_files(struct cut_lane *lane, struct cut_op *op)
{
	bool makes = op->type == CUT_CREATE || op->type == CUT_EXCLUSIVE;

	op->a = lane_pick(lane, !makes);
	op->b = lane_pick(lane, false);
	if (op->a < 0) {
		op->type = makes ? CUT_REMOVE : CUT_CREATE;
		op->a = lane_pick(lane, makes);
	}
	if (op->type == CUT_LINK && op->b < 0)
		op->type = CUT_REMOVE;
	if (op->type == CUT_RENAME && (op->b < 0 || lane_lot(lane, 2)))
		op->b = lane_pick(lane, true); /* over another */
	/* Of two names of one file, neither goes. */
	if (op->type == CUT_RENAME &&
	    lane->now.slots[op->a] == lane->now.slots[op->b])
		op->type = CUT_REMOVE;
}

static void lane_choose(struct cut_lane *lane, struct cut_op *op)
{
	uint64_t reach;

	*op = (struct cut_op){.id = ++lane->next_id, .place = UINT64_MAX};
	op->mode = 0600 + lane_lot(lane, 0100);
	if (lane->grow >= 0 && lane->now.slots[lane->grow]) {
		lane_choose_grow(lane, op);
		return;
	}
	op->type = lane_choose_type(lane);
	if (op->type == CUT_MKDIR) {
		op->a = (int)lane_lot(lane, CUT_DIRS);
		op->type = lane->now.dirs[op->a] ? CUT_RMDIR : CUT_MKDIR;
		return;
	}
	lane_choose_files(lane, op);
	if (!lane->now.slots[op->a])
		return;
	reach = file_reach(lane->now.slots[op->a]);
	if (op->type == CUT_WRITE || op->type == CUT_UNSTABLE)
		lane_choose_write(lane, op, reach);
	else if (op->type == CUT_SIZE)
		lane_choose_size(lane, op, reach);
}

/* --- calls --------------------------------------------------------------- */

static const struct raw_fh *slot_dir(const struct raw_fh *dir,
				     const struct raw_fh *sub, int slot)
{
	return slot < CUT_SLOTS_TOP ? dir : sub;
}

/* file: what the operation is about; NULL where only names say it. */
static void op_build(const struct cut_lane *lane, struct raw *raw,
		     const struct cut_op *op, const struct raw_fh *file)
{
	static uint8_t bytes[CUT_WRITE_MAX];
	const struct raw_fh *dir = slot_dir(&lane->dir, &lane->sub, op->a);
	const struct raw_fh *to = slot_dir(&lane->dir, &lane->sub, op->b);
	char name[16], other[16], folder[16];

	cutmodel_name(op->a, name);
	cutmodel_name(op->b, other);
	snprintf(folder, sizeof(folder), "d%d", op->a);
	switch (op->type) {
	case CUT_CREATE:
		raw_begin_create(raw, dir, name, 1, op->mode);
		break;
	case CUT_EXCLUSIVE:
		raw_begin_create(raw, dir, name, 2, op->id);
		break;
	case CUT_WRITE:
	case CUT_UNSTABLE:
		cutmodel_content(lane->number, op->id, op->skip, op->len,
				 bytes);
		raw_begin_write(raw, file, op->off, bytes, op->len,
				op->type == CUT_WRITE ? 2 : 0);
		break;
	case CUT_COMMIT:
		raw_begin_fh(raw, P_COMMIT, file);
		raw_put64(raw, 0);
		raw_put32(raw, 0);
		break;
	case CUT_REMOVE:
		raw_begin_remove(raw, dir, name, false);
		break;
	case CUT_RENAME:
		raw_begin_rename(raw, dir, name, to, other);
		break;
	case CUT_LINK:
		raw_begin_link(raw, file, to, other);
		break;
	case CUT_SIZE:
		raw_begin_set_size(raw, file, op->off);
		break;
	case CUT_MODE:
		raw_begin_fh(raw, P_SETATTR, file);
		raw_put_mode(raw, op->mode);
		raw_put32(raw, 0);
		break;
	case CUT_MKDIR:
		raw_begin_mkdir(raw, &lane->dir, folder, 0755);
		break;
	case CUT_RMDIR:
		raw_begin_remove(raw, &lane->dir, folder, true);
		break;
	}
}

/* Read the results behind status 0 into the operation. */
static bool op_results(struct raw *raw, struct cut_op *op)
{
	struct raw_wcc wcc = {0};

	switch (op->type) {
	case CUT_CREATE:
	case CUT_EXCLUSIVE:
		if (raw_get32(raw))
			raw_get_fh(raw, &op->fh);
		raw_get_post_attr(raw, &op->attr);
		return op->fh.len > 0 && op->attr.present;
	case CUT_LINK:
		raw_get_post_attr(raw, &op->attr);
		return op->attr.present;
	case CUT_WRITE:
	case CUT_UNSTABLE:
		raw_get_wcc(raw, &wcc);
		op->attr = wcc.after;
		if (raw_get32(raw) != op->len)
			return false;
		op->stable = raw_get32(raw) == 2;
		op->verifier = raw_get64(raw);
		return op->stable || op->type == CUT_UNSTABLE;
	case CUT_COMMIT:
	case CUT_SIZE:
	case CUT_MODE:
		raw_get_wcc(raw, &wcc);
		op->attr = wcc.after;
		if (op->type == CUT_COMMIT)
			op->verifier = raw_get64(raw);
		return op->attr.present;
	default:
		return true;
	}
}

static const struct raw_fh *op_file(const struct cut_model *model,
				    const struct cut_op *op)
{
	if (op->type == CUT_MKDIR || op->type == CUT_RMDIR ||
	    !model->slots[op->a])
		return NULL;
	return &model->slots[op->a]->fh;
}

/* --- recording ----------------------------------------------------------- */

static struct cut_op *lane_next_op(struct cut_lane *lane)
{
	if (lane->op_count == lane->op_cap) {
		lane->op_cap = lane->op_cap * 2 + 256;
		lane->ops =
		    realloc(lane->ops, lane->op_cap * sizeof(*lane->ops));
		ASSERT(lane->ops);
	}
	return &lane->ops[lane->op_count++];
}

static bool lane_send(struct cut_lane *lane, struct cut_op *op)
{
	op_build(lane, &lane->raw, op, op_file(&lane->now, op));
	op->xid = lane->raw.xid;
	lane->busy = true;
	return raw_send(&lane->raw) || lane_fail(lane, "the server is gone");
}

bool cutlane_begin(struct cut_lane *lane)
{
	struct cut_op *op = lane_next_op(lane);

	lane_choose(lane, op);
	return lane_send(lane, op);
}

bool cutlane_answer(struct cut_lane *lane)
{
	struct cut_op *op = &lane->ops[lane->op_count - 1];
	int rc = raw_reply(&lane->raw);
	uint32_t status = rc == 0 ? raw_get32(&lane->raw) : 0;

	ASSERT(lane->busy);
	if (rc != 0 || lane->raw.reply_xid != op->xid || status != 0 ||
	    !op_results(&lane->raw, op))
		return lane_fail(lane,
				 "operation %zu, type %d: RPC %d, "
				 "status %u",
				 lane->op_count, op->type, rc, status);
	lane->busy = false;
	op->answered = true;
	cutmodel_apply(&lane->now, lane->number, op, true);
	return true;
}

/* The newest first: writing it settles what lies under it. */
static bool lane_rewrite(struct cut_lane *lane, int slot)
{
	struct cut_file *file = lane->now.slots[slot];

	while (file->piece_count > 0) {
		struct cut_piece p = file->pieces[file->piece_count - 1];
		struct cut_op *op = lane_next_op(lane);

		*op = (struct cut_op){.type = CUT_WRITE,
				      .a = slot,
				      .off = p.off,
				      .len = p.len,
				      .skip = p.skip,
				      .id = p.id,
				      .place = UINT64_MAX};
		if (!lane_send(lane, op) || !cutlane_answer(lane))
			return false;
	}
	return true;
}

bool cutlane_reopen(struct cut_lane *lane, int port)
{
	struct raw fresh;

	ASSERT(!lane->busy);
	if (!raw_open(&fresh, NULL, port))
		return lane_fail(lane, "no connection");
	base_close_ptr(&lane->raw.fd);
	lane->raw.fd = STEAL_FD(fresh.fd);
	raw_close(&fresh);
	for (int i = 0; i < CUT_SLOTS; i++)
		if (lane->now.slots[i] && !lane_rewrite(lane, i))
			return false;
	return true;
}

/* --- checking ------------------------------------------------------------ */

void cutlane_advance(struct cut_lane *lane, uint64_t place)
{
	while (lane->then_count < lane->op_count) {
		const struct cut_op *op = &lane->ops[lane->then_count];

		if (!op->answered || op->place > place)
			break;
		cutmodel_apply(&lane->then, lane->number, op, true);
		lane->then_count++;
	}
}

/* All of a file: a reply may be short, where its bytes are in many chunks.  0
 * or a status. */
static int check_read(struct raw *raw, const struct raw_fh *fh, uint8_t *got,
		      uint32_t room, uint32_t *len, bool *eof)
{
	uint32_t more = 1;
	int rc = 0;

	*len = 0;
	*eof = false;
	while (rc == 0 && more > 0 && !*eof && *len < room) {
		more = 0;
		rc = raw_read(raw, fh, *len, room - *len, got + *len, &more,
			      eof);
		*len += more;
	}
	return rc;
}

static bool check_file(struct cut_lane *lane, struct raw *raw,
		       const struct cut_file *file, const char *name,
		       const struct raw_fh *fh, const struct raw_attr *attr)
{
	static uint8_t got[CUT_FILE_MAX + 1];
	uint64_t wrong_at;
	uint32_t len = 0;
	bool eof = false;
	int rc;

	if (file->fh.len > 0 && (fh->len != file->fh.len ||
				 memcmp(fh, &file->fh, sizeof(*fh)) != 0))
		return lane_fail(lane, "%s: another handle", name);
	if (attr->nlink != file->links)
		return lane_fail(lane, "%s: %u links for %u", name, attr->nlink,
				 file->links);
	if (file->mode != UINT32_MAX && (attr->mode & 07777) != file->mode)
		return lane_fail(lane, "%s: mode %o for %o", name, attr->mode,
				 file->mode);
	if (file->times &&
	    (memcmp(attr->mtime, file->attr.mtime, sizeof(attr->mtime)) != 0 ||
	     memcmp(attr->ctime, file->attr.ctime, sizeof(attr->ctime)) != 0))
		return lane_fail(lane,
				 "%s: times %u.%09u %u.%09u for "
				 "%u.%09u %u.%09u",
				 name, attr->mtime[0], attr->mtime[1],
				 attr->ctime[0], attr->ctime[1],
				 file->attr.mtime[0], file->attr.mtime[1],
				 file->attr.ctime[0], file->attr.ctime[1]);
	rc = check_read(raw, fh, got, sizeof(got), &len, &eof);
	if (rc != 0 || len != attr->size || !eof)
		return lane_fail(lane, "%s: READ gives %d, %u of %llu bytes",
				 name, rc, len, (unsigned long long)attr->size);
	if (!cutmodel_fits(file, lane->number, got, len, &wrong_at))
		return lane_fail(lane,
				 "%s: wrong at byte %llu of %u (stable "
				 "%llu, %zu pieces)",
				 name, (unsigned long long)wrong_at, len,
				 (unsigned long long)file->size,
				 file->piece_count);
	return true;
}

static bool check_slot(struct cut_lane *lane, struct raw *raw,
		       const struct cut_model *model, int slot)
{
	const struct raw_fh *dir = slot_dir(&lane->dir, &lane->sub, slot);
	struct raw_attr attr = {0};
	struct raw_fh fh;
	char name[16];
	int rc;

	cutmodel_name(slot, name);
	rc = raw_lookup(raw, dir, name, &fh, &attr);
	if (!model->slots[slot])
		return rc == CUT_NONE ||
		       lane_fail(lane, "%s: there, or %d", name, rc);
	if (rc != 0 || attr.type != 1)
		return lane_fail(lane, "%s: LOOKUP %d, type %u", name, rc,
				 attr.type);
	return check_file(lane, raw, model->slots[slot], name, &fh, &attr);
}

static bool check_listing(struct cut_lane *lane, struct raw *raw,
			  const struct cut_model *model, bool sub)
{
	struct raw_listing list = {0};
	size_t expected = sub ? 2 : 3;
	bool ok = raw_list(raw, sub ? &lane->sub : &lane->dir, false, 4096,
			   &list) == 0;
	char name[16];

	for (int i = 0; i < CUT_SLOTS; i++) {
		if (!model->slots[i] || (i >= CUT_SLOTS_TOP) != sub)
			continue;
		cutmodel_name(i, name);
		expected++;
		ok = ok && raw_listing_find(&list, name);
	}
	for (int i = 0; i < CUT_DIRS && !sub; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		expected += model->dirs[i];
		ok = ok &&
		     (raw_listing_find(&list, name) != NULL) == model->dirs[i];
	}
	if (!ok || list.count != expected)
		ok = lane_fail(lane, "listing of %s: %zu names for %zu",
			       sub ? "sub" : "the lane", list.count, expected);
	raw_listing_free(&list);
	return ok;
}

static bool check_model(struct cut_lane *lane, struct raw *raw,
			const struct cut_model *model)
{
	unsigned int gone = MIN(model->gone_count, (unsigned int)CUT_GONE);

	if (!check_listing(lane, raw, model, false) ||
	    !check_listing(lane, raw, model, true))
		return false;
	for (int i = 0; i < CUT_SLOTS; i++)
		if (!check_slot(lane, raw, model, i))
			return false;
	for (unsigned int i = 0; i < gone; i++) {
		struct raw_attr attr;
		int rc = raw_getattr(raw, &model->gone[i], &attr);

		if (rc != CUT_STALE)
			return lane_fail(lane, "handle of a removed file: %d",
					 rc);
	}
	return true;
}

/* What was not answered is there, whole, or not. */
static bool check_either(struct cut_lane *lane, struct raw *raw,
			 const struct cut_op *next)
{
	struct cut_model model;
	char first[sizeof(lane->trouble)];
	bool ok = check_model(lane, raw, &lane->then);

	if (ok || !next)
		return ok;
	memcpy(first, lane->trouble, sizeof(first));
	cutmodel_copy(&model, &lane->then);
	cutmodel_apply(&model, lane->number, next, false);
	ok = check_model(lane, raw, &model);
	cutmodel_clear(&model);
	if (!ok) {
		char second[sizeof(lane->trouble)];

		memcpy(second, lane->trouble, sizeof(second));
		lane_fail(lane,
			  "%.100s; or, with the next (type %d, f%d): "
			  "%.100s",
			  first, next->type, next->a, second);
	}
	return ok;
}

static bool check_resend(struct cut_lane *lane, struct raw *raw,
			 struct cut_op *op, const struct raw_fh *file)
{
	uint32_t xid = raw->xid;
	int status;

	raw->xid = op->xid - 1;
	op_build(lane, raw, op, file);
	status = raw_status(raw);
	raw->xid = xid;
	if (status != 0 || !op_results(raw, op))
		return lane_fail(lane, "type %d sent again: %d", op->type,
				 status);
	return true;
}

static bool op_runs_once(const struct cut_op *op)
{
	return op->type != CUT_WRITE && op->type != CUT_UNSTABLE &&
	       op->type != CUT_COMMIT && op->type != CUT_SIZE &&
	       op->type != CUT_MODE;
}

static bool check_next(struct cut_lane *lane, struct raw *raw,
		       const struct cut_op *next)
{
	char first[sizeof(lane->trouble)];
	struct cut_op op = *next;

	if (!check_resend(lane, raw, &op, op_file(&lane->then, &op)))
		return false;
	if (next->answered && next->verifier && op.verifier == next->verifier)
		return lane_fail(lane, "the write verifier has not changed");
	/* What the lost server had in memory this COMMIT cannot save. */
	cutmodel_apply(&lane->after, lane->number, &op, op.type != CUT_COMMIT);
	if (check_model(lane, raw, &lane->after))
		return true;
	memcpy(first, lane->trouble, sizeof(first));
	return lane_fail(lane, "after type %d on f%d again: %.200s", op.type,
			 op.a, first);
}

static bool check_all(struct cut_lane *lane, struct raw *raw)
{
	const struct cut_op *next = lane->then_count < lane->op_count
					? &lane->ops[lane->then_count]
					: NULL;
	bool ok = check_either(lane, raw, next);

	if (ok && lane->then_count > 0) {
		struct cut_op op = lane->ops[lane->then_count - 1];

		if (op_runs_once(&op))
			ok = check_resend(lane, raw, &op,
					  op_file(&lane->then, &op));
	}
	cutmodel_clear(&lane->after);
	cutmodel_copy(&lane->after, &lane->then);
	return ok && (!next || check_next(lane, raw, next));
}

bool cutlane_resume(struct cut_lane *lane, int port)
{
	cutmodel_clear(&lane->now);
	cutmodel_clear(&lane->then);
	lane->now = lane->after;
	lane->after = (struct cut_model){0};
	cutmodel_copy(&lane->then, &lane->now);
	lane->op_count = lane->then_count = 0;
	lane->busy = false;
	lane->grow = -1;
	return cutlane_reopen(lane, port);
}

void cutlane_tell(const struct cut_lane *lane)
{
	size_t from = lane->then_count > 4 ? lane->then_count - 4 : 0;

	for (size_t i = from; i < lane->op_count && i <= lane->then_count;
	     i++) {
		const struct cut_op *op = &lane->ops[i];

		printf("    %zu: type %d, f%d, f%d, at %llu, %u bytes, reply "
		       "at %llu%s, mtime %u.%09u\n",
		       i, op->type, op->a, op->b, (unsigned long long)op->off,
		       op->len, (unsigned long long)op->place,
		       op->stable ? ", stable" : "", op->attr.mtime[0],
		       op->attr.mtime[1]);
	}
}

bool cutlane_check(struct cut_lane *lane, int port, const char *export)
{
	struct raw_fh dir, sub;
	struct raw raw;
	bool ok;

	*lane->trouble = '\0';
	if (!raw_open(&raw, NULL, port))
		return lane_fail(lane, "no connection");
	raw.xid = CUT_XID_CHECK;
	ok = lane_dirs(lane->number, &raw, export, &dir, &sub) ||
	     lane_fail(lane, "no mount, or no directory");
	if (ok && (memcmp(&dir, &lane->dir, sizeof(dir)) != 0 ||
		   memcmp(&sub, &lane->sub, sizeof(sub)) != 0))
		ok = lane_fail(lane, "other handles of the directories");
	ok = ok && check_all(lane, &raw);
	if (ok)
		*lane->trouble = '\0'; /* of what it might have been */
	raw_close(&raw);
	return ok;
}
