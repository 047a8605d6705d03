/* SPDX-License-Identifier: Apache-2.0 */
/* lane: choosing, sending and sending again.  See lane.h. */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>

#include "tests/lib/lane.h"

enum { LANE_DRAIN_MS = 100, LANE_REPEAT = 16 /* one answered call in */ };

/* --- opening ------------------------------------------------------------- */

/* The package's directory, as it is: all its files are fresh. */
static bool lane_learn_package(struct lane *lane)
{
	struct raw_listing list = {0};
	bool good = raw_list(&lane->probe, &lane->dirs[LANE_PACKAGE], true,
			     65536, &list) == 0;

	for (int i = 0; good && i < LANE_NAMES; i++) {
		const struct raw_entry *entry;
		struct lane_object *object;
		char name[16];
		int at;

		lane_name_text(name, sizeof(name), LANE_PACKAGE, i);
		entry = raw_listing_find(&list, name);
		good =
		    entry && entry->attr.type == LANE_REG && entry->fh.len > 0;
		if (!good)
			break;
		at = lane_object_new(lane, LANE_REG);
		object = &lane->objects[at];
		object->fresh = true;
		object->package = i;
		object->fh = entry->fh;
		object->fileid = entry->fileid;
		object->mode = entry->attr.mode & 07777;
		object->size = entry->attr.size;
		lane->names[LANE_PACKAGE][i].object = at;
	}
	raw_listing_free(&list);
	return good;
}

static bool lane_make_dirs(struct lane *lane)
{
	struct raw *raw = &lane->probe;
	char name[16];

	snprintf(name, sizeof(name), "own%d", lane->number);
	if (raw_mkdir(raw, &lane->root, name, 0755, &lane->dirs[0]) != 0 ||
	    raw_mkdir(raw, &lane->dirs[0], "sub", 0755, &lane->dirs[1]) != 0)
		return false;
	snprintf(name, sizeof(name), "pkg%d", lane->number);
	if (raw_lookup(raw, &lane->root, name, &lane->dirs[LANE_PACKAGE],
		       NULL) != 0)
		return false;
	for (int d = 0; d < LANE_DIRS; d++) {
		struct raw_attr attr;

		if (raw_getattr(raw, &lane->dirs[d], &attr) != 0)
			return false;
		lane->dir_ids[d] = attr.fileid;
	}
	return true;
}

bool lane_open(struct lane *lane, int number, uint64_t seed, int port,
	       const char *export, const char *source)
{
	memset(lane, 0, sizeof(*lane));
	lane->raw.fd = lane->probe.fd = -1;
	lane->number = number;
	lane->seed = seed * 2654435761u + (uint64_t)number + 1;
	lane->source = source;
	lane->regrow = -1;
	lane->fresh_left = 1;
	for (int d = 0; d < LANE_DIRS; d++)
		for (int i = 0; i < LANE_NAMES; i++)
			lane->names[d][i].object = -1;
	if (!raw_open(&lane->raw, NULL, port) ||
	    !raw_open(&lane->probe, NULL, port))
		return false;
	/* No two lanes use one xid. */
	lane->raw.xid += (uint32_t)number << 28;
	lane->probe.xid += (uint32_t)number << 28 | 1u << 27;
	return raw_mount(&lane->probe, export, &lane->root) == 0 &&
	       lane_make_dirs(lane) && lane_learn_package(lane);
}

void lane_close(struct lane *lane)
{
	for (int i = 0; i < LANE_OBJECTS; i++)
		lane_object_free(&lane->objects[i]);
	raw_close(&lane->raw);
	raw_close(&lane->probe);
}

/* --- choosing ------------------------------------------------------------ */

enum lane_want { WANT_FREE, WANT_FILE, WANT_LEAF, WANT_DIR };

static bool lane_fits(const struct lane *lane, int dir, int name,
		      enum lane_want want)
{
	int at = lane->names[dir][name].object;
	const struct lane_object *object = at < 0 ? NULL : &lane->objects[at];

	if (!object || want == WANT_FREE)
		return !object && want == WANT_FREE;
	if (object->fresh && lane->fresh_left == 0)
		return false;
	if (want == WANT_FILE)
		return object->type == LANE_REG;
	return (object->type == LANE_DIR) == (want == WANT_DIR);
}

/* A name that fits; false when there is none. */
static bool lane_pick(struct lane *lane, enum lane_want want, int *dir,
		      int *name)
{
	int first_dir = (int)lane_random(lane, LANE_DIRS);

	for (int i = 0; i < LANE_DIRS; i++) {
		int count = lane_name_count((first_dir + i) % LANE_DIRS);
		int first = (int)lane_random(lane, (uint32_t)count);

		*dir = (first_dir + i) % LANE_DIRS;
		for (int j = 0; j < count; j++) {
			*name = (first + j) % count;
			if (lane_fits(lane, *dir, *name, want))
				return true;
		}
	}
	return false;
}

/* Around 4 KiB, around the inline limit, up to 256 KiB. */
static uint32_t lane_length(struct lane *lane)
{
	static const uint32_t near[] = {1,     4095,  4096,  4097, 8192,
					16383, 16384, 16385, 20480};

	switch (lane_random(lane, 8)) {
	case 0:
		return 1 + lane_random(lane, LANE_WRITE_MAX);
	case 1:
		return lane_random(lane, 2) ? LANE_WRITE_MAX : 65536;
	case 2:
	case 3:
		return 1 + lane_random(lane, 6000);
	default:
		return near[lane_random(lane, ARRAY_LEN(near))];
	}
}

static void lane_choose_write(struct lane *lane, struct lane_call *call)
{
	const struct lane_object *object = &lane->objects[call->object];

	call->len = lane_length(lane);
	call->stable = lane_random(lane, 3);
	switch (lane_random(lane, 4)) {
	case 0:
		call->off = 0;
		break;
	case 1:
		call->off = object->size;
		break;
	case 2:
		call->off = (uint64_t)lane_random(lane, 32) * 4096;
		break;
	default:
		call->off = lane_random(lane, 100000);
	}
	call->off = MIN(call->off, (uint64_t)LANE_SIZE_MAX - call->len);
}

/* Half of those that were cut are made longer again at once. */
static void lane_choose_size(struct lane *lane, struct lane_call *call)
{
	const struct lane_object *object = &lane->objects[call->object];

	if (lane->regrow == call->object) {
		lane->regrow = -1;
		call->size =
		    object->size + 1 + lane_random(lane, LANE_SIZE_MAX / 2);
		call->size = MIN(call->size, (uint64_t)LANE_SIZE_MAX);
		return;
	}
	call->size = object->size > 0
			 ? lane_random(lane, (uint32_t)object->size + 1)
			 : lane_random(lane, LANE_SIZE_MAX);
	if (lane_random(lane, 3) == 0)
		call->size -= call->size % 4096;
	if (lane_random(lane, 2))
		lane->regrow = call->object;
}

static bool lane_choose_names(struct lane *lane, struct lane_call *call)
{
	enum lane_want want = lane_random(lane, 5) ? WANT_LEAF : WANT_DIR;

	switch (call->op) {
	case LANE_CREATE:
	case LANE_MKDIR:
	case LANE_SYMLINK:
	case LANE_MKNOD:
		return lane_pick(lane, WANT_FREE, &call->dir, &call->name);
	case LANE_LINK:
		return lane_pick(lane, WANT_LEAF, &call->dir, &call->name) &&
		       lane_pick(lane, WANT_FREE, &call->to_dir,
				 &call->to_name);
	case LANE_REMOVE:
		return lane_pick(lane, WANT_LEAF, &call->dir, &call->name);
	case LANE_RMDIR:
		return lane_pick(lane, WANT_DIR, &call->dir, &call->name);
	case LANE_RENAME:
		if (!lane_pick(lane, want, &call->dir, &call->name))
			return false;
		if (lane_random(lane, 2))
			want = WANT_FREE;
		return lane_pick(lane, want, &call->to_dir, &call->to_name) &&
		       (call->dir != call->to_dir ||
			call->name != call->to_name);
	default:
		return lane_pick(lane, WANT_FILE, &call->dir, &call->name);
	}
}

/* Name the object of a call; what is fresh no longer stays so. */
static void lane_choose_object(struct lane *lane, struct lane_call *call)
{
	const struct lane_name *name = &lane->names[call->dir][call->name];

	call->object = name->object;
	if (call->object >= 0 && lane->objects[call->object].fresh)
		lane->fresh_left = 0;
	if (call->op == LANE_RENAME) {
		int over = lane->names[call->to_dir][call->to_name].object;

		if (over >= 0 && lane->objects[over].fresh)
			lane->fresh_left = 0;
	}
}

static void lane_choose(struct lane *lane)
{
	static const enum lane_op mix[] = {
	    LANE_CREATE, LANE_CREATE, LANE_CREATE, LANE_MKDIR,  LANE_SYMLINK,
	    LANE_MKNOD,  LANE_LINK,   LANE_LINK,   LANE_REMOVE, LANE_REMOVE,
	    LANE_RMDIR,  LANE_RENAME, LANE_RENAME, LANE_RENAME, LANE_SIZE,
	    LANE_SIZE,   LANE_MODE,   LANE_EMPTY,  LANE_WRITE,  LANE_WRITE,
	    LANE_WRITE,  LANE_WRITE,  LANE_WRITE,  LANE_WRITE,  LANE_WRITE,
	    LANE_COMMIT, LANE_COMMIT};
	struct lane_call *call = &lane->call;

	*call = (struct lane_call){.id = ++lane->next_id};
	if (lane->regrow >= 0 && lane->objects[lane->regrow].type == LANE_REG) {
		call->op = LANE_SIZE;
		call->dir = call->name = -1;
		call->object = lane->regrow;
	} else {
		lane->regrow = -1;
		do {
			call->op = mix[lane_random(lane, ARRAY_LEN(mix))];
		} while (!lane_choose_names(lane, call));
		lane_choose_object(lane, call);
	}
	call->once = call->op != LANE_WRITE && call->op != LANE_COMMIT;
	call->how = lane_random(lane, 3);
	call->mode = 0600 | lane_random(lane, 0200);
	if (call->op == LANE_WRITE)
		lane_choose_write(lane, call);
	if (call->op == LANE_SIZE)
		lane_choose_size(lane, call);
}

/* --- sending ------------------------------------------------------------- */

static void lane_build_made(struct lane *lane, const char *name)
{
	const struct lane_call *call = &lane->call;
	const struct raw_fh *dir = &lane->dirs[call->dir];
	struct raw *raw = &lane->raw;
	char target[64];

	switch (call->op) {
	case LANE_CREATE:
		raw_begin_create(raw, dir, name, call->how,
				 call->how == 2 ? call->id : call->mode);
		break;
	case LANE_MKDIR:
		raw_begin_mkdir(raw, dir, name, call->mode);
		break;
	case LANE_MKNOD:
		raw_begin_mknod(raw, dir, name, LANE_FIFO, call->mode);
		break;
	default:
		snprintf(target, sizeof(target), "target-%llu",
			 (unsigned long long)call->id);
		raw_begin_symlink(raw, dir, name, target, strlen(target));
	}
}

/* false: the connection is gone. */
static bool lane_ask_ctime(struct lane *lane, const struct raw_fh *fh,
			   struct raw_attr *attr)
{
	int rc;

	memset(attr, 0, sizeof(*attr));
	rc = raw_getattr(&lane->probe, fh, attr);
	if (rc != 0 && rc != RAW_CLOSED)
		lane_trouble(lane, LANE_LOST, "GETATTR: %d", rc);
	return rc != RAW_CLOSED;
}

/* A change of mode asks for the ctime that is there, so that executing it
 * twice would be seen. */
static bool lane_build_mode(struct lane *lane)
{
	const struct lane_object *object = &lane->objects[lane->call.object];
	struct raw_sattr set = {.mask = RAW_SET_MODE, .mode = lane->call.mode};
	struct raw_attr attr;

	if (lane_in_doubt(object)) {
		/* Its ctime may go back in a crash, with its data. */
		raw_begin_setattr(&lane->raw, &object->fh, &set, NULL);
		return true;
	}
	if (!lane_ask_ctime(lane, &object->fh, &attr))
		return false;
	raw_begin_setattr(&lane->raw, &object->fh, &set, attr.ctime);
	return true;
}

static void lane_build_write(struct lane *lane)
{
	static uint8_t content[LANE_WRITE_MAX];
	const struct lane_call *call = &lane->call;

	lane_fill(lane, call->id, content, call->len);
	raw_begin_write(&lane->raw, &lane->objects[call->object].fh, call->off,
			content, call->len, call->stable);
}

static void lane_build_empty(struct lane *lane, const char *name)
{
	struct raw_sattr set = {.mask = RAW_SET_SIZE};

	raw_begin_fh(&lane->raw, P_CREATE, &lane->dirs[lane->call.dir]);
	raw_put_string(&lane->raw, name);
	raw_put32(&lane->raw, 0); /* UNCHECKED */
	raw_put_sattr(&lane->raw, &set);
}

static bool lane_build(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct raw *raw = &lane->raw;
	const struct raw_fh *dir = &lane->dirs[MAX(call->dir, 0)];
	const struct raw_fh *fh = &lane->objects[MAX(call->object, 0)].fh;
	char name[16], other[16];

	lane_name_text(name, sizeof(name), call->dir, call->name);
	lane_name_text(other, sizeof(other), call->to_dir, call->to_name);
	switch (call->op) {
	case LANE_LINK:
		raw_begin_link(raw, fh, &lane->dirs[call->to_dir], other);
		break;
	case LANE_REMOVE:
	case LANE_RMDIR:
		raw_begin_remove(raw, dir, name, call->op == LANE_RMDIR);
		break;
	case LANE_RENAME:
		raw_begin_rename(raw, dir, name, &lane->dirs[call->to_dir],
				 other);
		break;
	case LANE_SIZE:
		raw_begin_set_size(raw, fh, call->size);
		break;
	case LANE_MODE:
		return lane_build_mode(lane);
	case LANE_EMPTY:
		lane_build_empty(lane, name);
		break;
	case LANE_WRITE:
		lane_build_write(lane);
		break;
	case LANE_COMMIT:
		raw_begin_fh(raw, P_COMMIT, fh);
		raw_put64(raw, 0);
		raw_put32(raw, 0);
		break;
	default:
		lane_build_made(lane, name);
	}
	return true;
}

bool lane_begin(struct lane *lane)
{
	if (lane->call.once && lane->reply_len > 0 && !lane->again &&
	    lane_random(lane, LANE_REPEAT) == 0) {
		lane->again = true;
	} else {
		lane->again = false;
		lane->reply_len = 0;
		lane_choose(lane);
		if (!lane_build(lane)) {
			lane->call = (struct lane_call){.op = LANE_NONE};
			return false;
		}
	}
	lane->waiting = true;
	return raw_send(&lane->raw);
}

/* --- answers ------------------------------------------------------------- */

/* The same call, answered again: the same bytes. */
static void lane_compare(struct lane *lane, int rc)
{
	const struct raw *raw = &lane->raw;

	lane->repeated++;
	if (raw->in_len == lane->reply_len &&
	    memcmp(raw->in, lane->reply, raw->in_len) == 0)
		return;
	lane_trouble(lane, LANE_REPLY,
		     "operation %d, answered, sent again: another reply, RPC "
		     "%d, status %u",
		     lane->call.op, rc, rc == 0 ? raw_get32(&lane->raw) : 0);
}

bool lane_answer(struct lane *lane)
{
	struct raw *raw = &lane->raw;
	uint32_t status;
	int rc = raw_reply(raw);

	if (rc == RAW_CLOSED)
		return false;
	lane->waiting = false;
	if (lane->again) {
		lane_compare(lane, rc);
		return true;
	}
	status = rc == 0 ? raw_get32(raw) : 0;
	if (rc != 0 || status != 0) {
		lane_trouble(lane, LANE_REPLY,
			     "operation %d: RPC %d, status "
			     "%u%s",
			     lane->call.op, rc, status,
			     lane->resending ? ", sent again" : "");
		return true;
	}
	lane->acknowledged++;
	if (lane->call.once && raw->in_len <= sizeof(lane->reply)) {
		memcpy(lane->reply, raw->in, raw->in_len);
		lane->reply_len = raw->in_len;
	}
	lane_take(lane);
	return true;
}

void lane_drain(struct lane *lane)
{
	while (lane->waiting && raw_readable(&lane->raw, LANE_DRAIN_MS) &&
	       lane_answer(lane))
		;
}

/* --- after the death ----------------------------------------------------- */

static int lane_port(const struct raw *raw)
{
	struct sockaddr_in addr = {0};
	socklen_t len = sizeof(addr);

	getsockname(raw->fd, (struct sockaddr *)&addr, &len);
	return ntohs(addr.sin_port);
}

/* A new connection from another port for what `raw` has to say. */
static bool lane_reconnect(struct raw *raw, int port)
{
	int old_port = lane_port(raw);
	struct raw fresh;

	if (!raw_open(&fresh, NULL, port))
		return false;
	if (lane_port(&fresh) == old_port) {
		struct raw other;
		bool good = raw_open(&other, NULL, port);

		raw_close(&fresh);
		if (!good)
			return false;
		fresh = other;
	}
	base_close_ptr(&raw->fd);
	raw->fd = fresh.fd;
	fresh.fd = -1;
	raw_close(&fresh);
	return true;
}

bool lane_reopen(struct lane *lane, int port, uint64_t verifier)
{
	if (!lane_reconnect(&lane->raw, port) ||
	    !lane_reconnect(&lane->probe, port))
		return false;
	lane->verifier = verifier;
	lane->fresh_left = 1;
	for (int i = 0; i < LANE_OBJECTS; i++) {
		struct lane_object *object = &lane->objects[i];

		for (uint64_t j = 0; object->doubt && j < object->size; j++)
			if (object->doubt[j] == LANE_UNSTABLE)
				object->doubt[j] = LANE_DOUBTFUL;
	}
	return true;
}

/* Can it be seen that the call was executed before the death? */
static bool lane_executed(struct lane *lane, bool *executed)
{
	const struct lane_call *call = &lane->call;
	bool made = call->op >= LANE_CREATE && call->op <= LANE_LINK;
	bool to = call->op == LANE_LINK;
	struct raw_fh fh;
	char name[16];
	int rc;

	*executed = false;
	if (!made && call->op != LANE_REMOVE && call->op != LANE_RMDIR &&
	    call->op != LANE_RENAME)
		return true;
	lane_name_text(name, sizeof(name), to ? call->to_dir : call->dir,
		       to ? call->to_name : call->name);
	rc =
	    raw_lookup(&lane->probe, &lane->dirs[to ? call->to_dir : call->dir],
		       name, &fh, NULL);
	if (rc == RAW_CLOSED)
		return false;
	if (rc != 0 && rc != 2)
		lane_trouble(lane, LANE_LOST, "LOOKUP of %s: %d", name, rc);
	*executed = rc == (made ? 0 : 2);
	return true;
}

static bool lane_same_ctime(const struct raw_attr *a, const struct raw_attr *b)
{
	return a->ctime[0] == b->ctime[0] && a->ctime[1] == b->ctime[1];
}

/* The reply must tell of the state as it is, whether it was made just now or
 * before the death. */
static bool lane_judge_reply(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	const struct raw_attr *told[3] = {&lane->dir_after, &lane->to_after,
					  &lane->object_after};
	const struct raw_fh *fhs[3] = {
	    &lane->dirs[call->op == LANE_LINK ? call->to_dir
					      : MAX(call->dir, 0)],
	    &lane->dirs[call->to_dir], NULL};

	if (call->op == LANE_SIZE || call->op == LANE_MODE ||
	    call->op == LANE_LINK)
		fhs[2] = &lane->objects[call->object].fh;
	for (int i = 0; i < 3; i++) {
		struct raw_attr now;
		int rc;

		if (!told[i]->present || !fhs[i])
			continue;
		rc = raw_getattr(&lane->probe, fhs[i], &now);
		if (rc == RAW_CLOSED)
			return false;
		if (rc != 0 || !lane_same_ctime(told[i], &now))
			lane_trouble(lane, LANE_REPLY,
				     "operation %d sent "
				     "again: a reply of another time",
				     call->op);
	}
	return true;
}

static bool lane_resend_open(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	const struct raw_fh *dir =
	    &lane->dirs[call->op == LANE_LINK ? call->to_dir
					      : MAX(call->dir, 0)];
	struct raw_attr before, after;
	bool executed, answered;

	if (!lane_executed(lane, &executed) ||
	    !lane_ask_ctime(lane, dir, &before))
		return false;
	lane->resending = true;
	answered = raw_send(&lane->raw) && lane_answer(lane);
	lane->resending = false;
	if (!answered)
		return false;
	lane->resent++;
	if (!call->once || lane->reply_len == 0)
		return true;
	if (executed) {
		lane->executed_before++;
		if (!lane_ask_ctime(lane, dir, &after))
			return false;
		if (!lane_same_ctime(&before, &after))
			lane_trouble(lane, LANE_REPLY,
				     "operation %d: executed twice", call->op);
	}
	return lane_judge_reply(lane);
}

/* What was under way; or what was answered last: its reply outlives us. */
bool lane_resend(struct lane *lane)
{
	if (lane->waiting && !lane->again)
		return lane_resend_open(lane);
	if (!lane->call.once || lane->reply_len == 0)
		return true;
	lane->again = true;
	lane->waiting = true;
	return raw_send(&lane->raw) && lane_answer(lane);
}
