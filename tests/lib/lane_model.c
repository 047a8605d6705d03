/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane_model: what the acknowledged operations of a lane have made, and the
 * replies that say so.  See lane.h.
 */
#include <stdarg.h>
#include <stdio.h>

#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/lane.h"

void lane_trouble(struct lane *lane, enum lane_fault fault, const char *fmt,
		  ...)
{
	va_list args;

	lane->faults[fault]++;
	if (lane->trouble[0])
		return;
	va_start(args, fmt);
	vsnprintf(lane->trouble, sizeof(lane->trouble), fmt, args);
	va_end(args);
}

uint32_t lane_random(struct lane *lane, uint32_t below)
{
	lane->seed ^= lane->seed << 13;
	lane->seed ^= lane->seed >> 7;
	lane->seed ^= lane->seed << 17;
	return (uint32_t)(lane->seed >> 33) % below;
}

int lane_name_count(int dir)
{
	return dir == LANE_PACKAGE ? LANE_NAMES : LANE_OWN_NAMES;
}

void lane_name_text(char *out, size_t len, int dir, int name)
{
	snprintf(out, len, "%c%02d", dir == LANE_PACKAGE ? 'p' : 'n', name);
}

void lane_fill(const struct lane *lane, uint64_t id, uint8_t *buf, size_t len)
{
	check_fill(buf, len, (uint64_t)lane->number << 48 | id);
}

/* --- objects ------------------------------------------------------------- */

static void lane_read_source(struct lane *lane, struct lane_object *object)
{
	CLEANUP_FREE void *buf = NULL;
	char path[512], name[16];
	size_t len;

	lane_name_text(name, sizeof(name), LANE_PACKAGE, object->package);
	snprintf(path, sizeof(path), "%s/pkg%d/%s", lane->source, lane->number,
		 name);
	if (io_read_file(path, LANE_SIZE_MAX, &buf, &len) < 0 ||
	    len != object->size)
		lane_trouble(lane, LANE_LOST, "no source file %s", path);
	else
		memcpy(object->bytes, buf, len);
}

uint8_t *lane_bytes(struct lane *lane, struct lane_object *object)
{
	if (object->bytes)
		return object->bytes;
	object->bytes = calloc(1, LANE_SIZE_MAX);
	object->doubt = calloc(1, LANE_SIZE_MAX);
	ASSERT(object->bytes && object->doubt);
	if (object->package >= 0 && object->size > 0)
		lane_read_source(lane, object);
	return object->bytes;
}

int lane_object_new(struct lane *lane, uint32_t type)
{
	for (int i = 0; i < LANE_OBJECTS; i++) {
		struct lane_object *object = &lane->objects[i];

		if (object->type != 0)
			continue;
		memset(object, 0, sizeof(*object));
		object->type = type;
		object->nlink = type == LANE_DIR ? 2 : 1;
		object->package = -1;
		return i;
	}
	ASSERT(!"an object for each name");
	return -1;
}

void lane_object_free(struct lane_object *object)
{
	free(object->bytes);
	free(object->doubt);
	memset(object, 0, sizeof(*object));
}

bool lane_in_doubt(const struct lane_object *object)
{
	for (uint64_t i = 0; object->doubt && i < object->size; i++)
		if (object->doubt[i] != LANE_STABLE)
			return true;
	return false;
}

/* --- changes ------------------------------------------------------------- */

static void model_size(struct lane *lane, struct lane_object *object,
		       uint64_t size)
{
	uint8_t *bytes = lane_bytes(lane, object);

	if (size < object->size) {
		memset(bytes + size, 0, object->size - size);
		memset(object->doubt + size, 0, object->size - size);
	}
	object->size = size;
}

static void model_write(struct lane *lane, bool stable)
{
	const struct lane_call *call = &lane->call;
	struct lane_object *object = &lane->objects[call->object];
	uint8_t *bytes = lane_bytes(lane, object);

	lane_fill(lane, call->id, bytes + call->off, call->len);
	memset(object->doubt + call->off, stable ? LANE_STABLE : LANE_UNSTABLE,
	       call->len);
	object->size = MAX(object->size, call->off + call->len);
}

/* What was written in an earlier life may be lost: it stays doubtful. */
static void model_commit(struct lane_object *object)
{
	for (uint64_t i = 0; object->doubt && i < object->size; i++)
		if (object->doubt[i] == LANE_UNSTABLE)
			object->doubt[i] = LANE_STABLE;
}

/* A name goes; the object, too, when it was the last. */
static void model_unlink(struct lane *lane, struct lane_name *name)
{
	struct lane_object *object = &lane->objects[name->object];

	name->object = -1;
	object->fresh = false;
	if (object->type != LANE_DIR && --object->nlink > 0)
		return;
	lane->dead[lane->dead_count++ % LANE_DEAD] = object->fh;
	lane_object_free(object);
}

static void model_rename(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct lane_name *from = &lane->names[call->dir][call->name];
	struct lane_name *to = &lane->names[call->to_dir][call->to_name];

	lane->objects[from->object].fresh = false;
	if (to->object == from->object)
		return; /* two names of one object: both stay */
	if (to->object >= 0)
		model_unlink(lane, to);
	to->object = from->object;
	from->object = -1;
}

/* --- replies ------------------------------------------------------------- */

static void take_verifier(struct lane *lane)
{
	uint64_t verifier = raw_get64(&lane->raw);

	if (lane->verifier && verifier != lane->verifier)
		lane_trouble(lane, LANE_VERIFIER,
			     "two verifiers in one life of the server");
}

/* The attributes of an object in a reply, as the model has it now. */
static void take_attr(struct lane *lane, const struct raw_attr *attr,
		      const struct lane_object *object)
{
	lane->object_after = *attr;
	if (!attr->present || attr->fileid != object->fileid ||
	    attr->type != object->type || attr->nlink != object->nlink)
		lane_trouble(lane, LANE_REPLY,
			     "operation %d: attributes of another object",
			     lane->call.op);
}

static void take_dir(struct lane *lane, struct raw_attr *after, int dir)
{
	struct raw_wcc wcc;

	raw_get_wcc(&lane->raw, &wcc);
	*after = wcc.after;
	if (!after->present || after->fileid != lane->dir_ids[dir])
		lane_trouble(lane, LANE_REPLY,
			     "operation %d: attributes of another directory",
			     lane->call.op);
}

static void take_made(struct lane *lane, uint32_t type)
{
	const struct lane_call *call = &lane->call;
	struct raw *raw = &lane->raw;
	struct lane_object *object;
	struct raw_attr attr;
	int at = lane_object_new(lane, type);

	object = &lane->objects[at];
	if (raw_get32(raw))
		raw_get_fh(raw, &object->fh);
	else
		lane_trouble(lane, LANE_REPLY, "operation %d: no handle",
			     call->op);
	raw_get_post_attr(raw, &attr);
	object->fileid = attr.fileid;
	object->mode = call->how == 2 && type == LANE_REG ? attr.mode & 07777
		       : type == LANE_LNK                 ? 0777
							  : call->mode;
	if (type == LANE_LNK) {
		snprintf(object->target, sizeof(object->target), "target-%llu",
			 (unsigned long long)call->id);
		object->size = strlen(object->target);
	}
	if (type == LANE_DIR)
		object->size = attr.size;
	if (attr.size != object->size)
		lane_trouble(lane, LANE_REPLY, "operation %d: size %llu",
			     call->op, (unsigned long long)attr.size);
	take_attr(lane, &attr, object);
	take_dir(lane, &lane->dir_after, call->dir);
	lane->names[call->dir][call->name].object = at;
}

static void take_link(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct lane_object *object = &lane->objects[call->object];
	struct raw_attr attr;

	object->nlink++;
	object->fresh = false;
	raw_get_post_attr(&lane->raw, &attr);
	take_attr(lane, &attr, object);
	take_dir(lane, &lane->dir_after, call->to_dir);
	lane->names[call->to_dir][call->to_name].object = call->object;
}

/* SETATTR; and CREATE of an existing name with size 0. */
static void take_setattr(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct lane_object *object = &lane->objects[call->object];
	struct raw_wcc wcc;

	object->fresh = false;
	if (call->op == LANE_MODE)
		object->mode = call->mode;
	else
		model_size(lane, object, call->size);
	raw_get_wcc(&lane->raw, &wcc);
	take_attr(lane, &wcc.after, object);
	/* What was UNSTABLE before a death is not written again yet. */
	if ((wcc.after.size != object->size && !lane_in_doubt(object)) ||
	    (wcc.after.mode & 07777) != object->mode)
		lane_trouble(lane, LANE_REPLY,
			     "SETATTR gives size %llu, mode "
			     "%o for %llu, %o",
			     (unsigned long long)wcc.after.size, wcc.after.mode,
			     (unsigned long long)object->size, object->mode);
}

static void take_empty(struct lane *lane)
{
	struct lane_object *object = &lane->objects[lane->call.object];
	struct raw_attr attr;
	struct raw_fh fh = {0};

	object->fresh = false;
	model_size(lane, object, 0);
	if (raw_get32(&lane->raw))
		raw_get_fh(&lane->raw, &fh);
	if (memcmp(&fh, &object->fh, sizeof(fh)) != 0)
		lane_trouble(lane, LANE_REPLY, "CREATE over: another handle");
	raw_get_post_attr(&lane->raw, &attr);
	if (attr.size != 0)
		lane_trouble(lane, LANE_REPLY, "CREATE over: size %llu",
			     (unsigned long long)attr.size);
	take_attr(lane, &attr, object);
	take_dir(lane, &lane->dir_after, lane->call.dir);
}

static void take_write(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct raw_wcc wcc;
	uint32_t count, committed;

	raw_get_wcc(&lane->raw, &wcc);
	count = raw_get32(&lane->raw);
	committed = raw_get32(&lane->raw);
	lane->objects[call->object].fresh = false;
	if (count != call->len || committed < call->stable || committed > 2)
		lane_trouble(lane, LANE_LOST, "WRITE of %u, stable %u: %u, %u",
			     call->len, call->stable, count, committed);
	take_verifier(lane);
	model_write(lane, committed > 0);
}

void lane_take(struct lane *lane)
{
	const struct lane_call *call = &lane->call;
	struct raw_wcc wcc;

	memset(&lane->dir_after, 0, sizeof(lane->dir_after));
	memset(&lane->to_after, 0, sizeof(lane->to_after));
	memset(&lane->object_after, 0, sizeof(lane->object_after));
	switch (call->op) {
	case LANE_CREATE:
		take_made(lane, LANE_REG);
		break;
	case LANE_MKDIR:
		take_made(lane, LANE_DIR);
		break;
	case LANE_SYMLINK:
		take_made(lane, LANE_LNK);
		break;
	case LANE_MKNOD:
		take_made(lane, LANE_FIFO);
		break;
	case LANE_LINK:
		take_link(lane);
		break;
	case LANE_REMOVE:
	case LANE_RMDIR:
		model_unlink(lane, &lane->names[call->dir][call->name]);
		take_dir(lane, &lane->dir_after, call->dir);
		break;
	case LANE_RENAME:
		model_rename(lane);
		take_dir(lane, &lane->dir_after, call->dir);
		take_dir(lane, &lane->to_after, call->to_dir);
		break;
	case LANE_SIZE:
	case LANE_MODE:
		take_setattr(lane);
		break;
	case LANE_EMPTY:
		take_empty(lane);
		break;
	case LANE_WRITE:
		take_write(lane);
		break;
	case LANE_COMMIT:
		raw_get_wcc(&lane->raw, &wcc);
		take_verifier(lane);
		model_commit(&lane->objects[call->object]);
		break;
	case LANE_NONE:
		break;
	}
	if (lane->raw.short_read)
		lane_trouble(lane, LANE_REPLY, "operation %d: short reply",
			     call->op);
}
