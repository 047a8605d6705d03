/* SPDX-License-Identifier: Apache-2.0 */
/* record: bytes of the state database's keys and values.  See record.h. */
#include <sys/stat.h>

#include "depot/log.h"
#include "overlay/record.h"

/*
 * Inode record, offsets:
 *   0 format:1 flags:1 kind:1 0:1   4 generation   8 mode   12 uid   16 gid
 *  20 nlink   24 rdev:4+4   32 atime:8+4   44 mtime   56 ctime   68 bound
 *  80 parent   88 size   96 base_limit   104 cut   112 data_id   120 used
 * 128 verifier   136 base tree:32   168 base inode:4   172 life:4
 * 176 layer of the host file   184 under   192 zeros
 */
enum {
	RECORD_FLAG_BASE = 1,
	RECORD_FLAG_VERIFIER = 2,
	RECORD_FLAG_GONE = 4,
	RECORD_FLAG_LOWER = 8,
	RECORD_FLAG_SUPERSEDED = 16,
};

/* Flags that a format knows, by its number. */
static const uint8_t record_flags[] = {0, 7, 15, 31};

static void record_put_time(uint8_t *out, const struct timespec *t)
{
	le64_put(out, (uint64_t)t->tv_sec);
	le32_put(out + 8, (uint32_t)t->tv_nsec);
}

static bool record_get_time(const uint8_t *in, struct timespec *t)
{
	t->tv_sec = (time_t)le64_get(in);
	t->tv_nsec = le32_get(in + 8);
	return t->tv_nsec < 1000000000;
}

void record_encode(const struct record *rec, uint8_t out[RECORD_INODE_LEN])
{
	memset(out, 0, RECORD_INODE_LEN);
	out[0] = RECORD_INODE_FORMAT;
	out[1] = (rec->has_base ? RECORD_FLAG_BASE : 0) |
		 (rec->has_verifier ? RECORD_FLAG_VERIFIER : 0) |
		 (rec->gone ? RECORD_FLAG_GONE : 0) |
		 (rec->data.lower ? RECORD_FLAG_LOWER : 0) |
		 (rec->superseded ? RECORD_FLAG_SUPERSEDED : 0);
	out[2] = rec->data.kind;
	le32_put(out + 4, rec->generation);
	le32_put(out + 8, rec->mode);
	le32_put(out + 12, rec->uid);
	le32_put(out + 16, rec->gid);
	le32_put(out + 20, (uint32_t)rec->nlink);
	le32_put(out + 24, rec->rdev_major);
	le32_put(out + 28, rec->rdev_minor);
	record_put_time(out + 32, &rec->atime);
	record_put_time(out + 44, &rec->mtime);
	record_put_time(out + 56, &rec->ctime);
	record_put_time(out + 68, &rec->ctime_bound);
	le64_put(out + 80, rec->parent);
	le64_put(out + 88, rec->data.size);
	le64_put(out + 96, rec->data.base_limit);
	le64_put(out + 104, rec->data.cut);
	le64_put(out + 112, rec->data.data_id);
	le64_put(out + 120, rec->data.used);
	le64_put(out + 128, rec->verifier);
	memcpy(out + 136, rec->base_tree.bytes, DIGEST_LEN);
	le32_put(out + 168, rec->base_inode);
	le32_put(out + 172, rec->life);
	le64_put(out + 176, rec->data.layer);
	le64_put(out + 184, rec->under);
}

/* Is the record one that this code could have written? */
static bool record_sound(const struct record *rec)
{
	if (rec->data.kind > RECORD_DATA_HOST)
		return false;
	if ((rec->data.kind == RECORD_DATA_HOST) != (rec->data.data_id != 0))
		return false;
	if ((rec->data.kind != RECORD_DATA_NONE || rec->data.lower) &&
	    !S_ISREG(rec->mode))
		return false;
	if (rec->data.base_limit >
	    (rec->has_base || rec->data.lower ? rec->data.size : 0))
		return false;
	return rec->data.size <= VIEW_FILE_SIZE_MAX;
}

int record_newer(const char *what, unsigned int format, unsigned int known)
{
	return log_err(-EPROTONOSUPPORT,
		       "state: %s: written by a newer vdrive (format %u, this "
		       "one reads up to %u): upgrade vdrive",
		       what, format, known);
}

int record_decode(const void *data, size_t len, struct record *rec)
{
	const uint8_t *in = data;
	bool times;

	if (len < 1)
		return log_err(-EBADMSG, "state: empty inode record");
	if (in[0] > RECORD_INODE_FORMAT)
		return record_newer("inode record", in[0], RECORD_INODE_FORMAT);
	if (in[0] == 0 || len != RECORD_INODE_LEN ||
	    (in[1] & ~record_flags[in[0]]))
		return log_err(-EBADMSG, "state: damaged inode record");
	memset(rec, 0, sizeof(*rec));
	rec->has_base = in[1] & RECORD_FLAG_BASE;
	rec->has_verifier = in[1] & RECORD_FLAG_VERIFIER;
	rec->gone = in[1] & RECORD_FLAG_GONE;
	rec->superseded = in[1] & RECORD_FLAG_SUPERSEDED;
	rec->data.kind = in[2];
	rec->generation = le32_get(in + 4);
	rec->mode = le32_get(in + 8);
	rec->uid = le32_get(in + 12);
	rec->gid = le32_get(in + 16);
	rec->nlink = (int32_t)le32_get(in + 20);
	rec->rdev_major = le32_get(in + 24);
	rec->rdev_minor = le32_get(in + 28);
	times = record_get_time(in + 32, &rec->atime) &&
		record_get_time(in + 44, &rec->mtime) &&
		record_get_time(in + 56, &rec->ctime) &&
		record_get_time(in + 68, &rec->ctime_bound);
	rec->parent = le64_get(in + 80);
	rec->data.size = le64_get(in + 88);
	rec->data.base_limit = le64_get(in + 96);
	rec->data.cut = le64_get(in + 104);
	rec->data.data_id = le64_get(in + 112);
	rec->data.used = le64_get(in + 120);
	rec->verifier = le64_get(in + 128);
	memcpy(rec->base_tree.bytes, in + 136, DIGEST_LEN);
	rec->base_inode = le32_get(in + 168);
	rec->data.lower = in[1] & RECORD_FLAG_LOWER;
	rec->life = le32_get(in + 172);
	rec->data.layer = le64_get(in + 176);
	rec->under = in[0] >= 3 ? le64_get(in + 184) : 0;
	if (!times || !record_sound(rec))
		return log_err(-EBADMSG, "state: damaged inode record");
	return 0;
}

/* Name: format:1 kind:1 name length:2 generation:4 fileid:8 name */
size_t record_name_encode(const struct record_name *name, uint8_t *out)
{
	out[0] = RECORD_FORMAT;
	out[1] = name->kind;
	le16_put(out + 2, name->name_len);
	le32_put(out + 4, name->generation);
	le64_put(out + 8, name->fileid);
	memcpy(out + RECORD_NAME_HEAD, name->name, name->name_len);
	return RECORD_NAME_HEAD + name->name_len;
}

int record_name_decode(const void *data, size_t len, struct record_name *name)
{
	const uint8_t *in = data;

	if (len >= 1 && in[0] > RECORD_FORMAT)
		return record_newer("name record", in[0], RECORD_FORMAT);
	if (len < RECORD_NAME_HEAD || in[0] != RECORD_FORMAT)
		return log_err(-EBADMSG, "state: damaged name record");
	name->kind = in[1];
	name->name_len = le16_get(in + 2);
	name->generation = le32_get(in + 4);
	name->fileid = le64_get(in + 8);
	if (name->kind < RECORD_NAME_ENTRY || name->kind > RECORD_NAME_FILLER ||
	    name->name_len == 0 || name->name_len > VIEW_NAME_MAX ||
	    len != (size_t)RECORD_NAME_HEAD + name->name_len)
		return log_err(-EBADMSG, "state: damaged name record");
	memcpy(name->name, in + RECORD_NAME_HEAD, name->name_len);
	return 0;
}

void record_key_kind(struct record_key *key, uint64_t layer, char kind)
{
	key->bytes[0] = 'D';
	be64_put(key->bytes + 1, layer);
	key->bytes[9] = (uint8_t)kind;
	key->len = 10;
}

static void record_key_add64(struct record_key *key, uint64_t v)
{
	be64_put(key->bytes + key->len, v);
	key->len += 8;
}

void record_key_inode(struct record_key *key, uint64_t layer, uint64_t fileid)
{
	record_key_kind(key, layer, 'i');
	record_key_add64(key, fileid);
}

void record_key_dir(struct record_key *key, uint64_t layer, uint64_t dir)
{
	record_key_kind(key, layer, 'd');
	record_key_add64(key, dir);
}

void record_key_name(struct record_key *key, uint64_t layer, uint64_t dir,
		     uint64_t cookie)
{
	record_key_dir(key, layer, dir);
	record_key_add64(key, cookie);
}

void record_key_data(struct record_key *key, uint64_t layer, uint64_t fileid)
{
	record_key_kind(key, layer, 'x');
	record_key_add64(key, fileid);
}

void record_key_piece(struct record_key *key, uint64_t layer, uint64_t fileid,
		      uint32_t piece)
{
	record_key_kind(key, layer, 'p');
	record_key_add64(key, fileid);
	be32_put(key->bytes + key->len, piece);
	key->len += 4;
}

void record_key_reap(struct record_key *key, uint64_t layer, uint64_t data_id)
{
	record_key_kind(key, layer, 'r');
	record_key_add64(key, data_id);
}

static void record_key_export(struct record_key *key, char prefix,
			      uint32_t export_id)
{
	key->bytes[0] = (uint8_t)prefix;
	be32_put(key->bytes + 1, export_id);
	key->len = 5;
}

void record_key_replies(struct record_key *key, uint32_t export_id)
{
	record_key_export(key, 'Y', export_id);
}

void record_key_reply(struct record_key *key, uint32_t export_id, uint32_t slot)
{
	ASSERT(slot < VIEW_REPLY_SLOTS);
	record_key_export(key, 'Y', export_id);
	key->bytes[5] = (uint8_t)(slot >> 8);
	key->bytes[6] = (uint8_t)slot;
	key->len = 7;
}

void record_key_fileids(struct record_key *key, uint32_t export_id)
{
	record_key_export(key, 'E', export_id);
}

void record_key_text(struct record_key *key, char prefix, const char *text)
{
	size_t len = strlen(text);

	ASSERT(len + 1 <= RECORD_KEY_MAX);
	key->bytes[0] = (uint8_t)prefix;
	memcpy(key->bytes + 1, text, len);
	key->len = 1 + len;
}

void record_key_snapshot(struct record_key *key, const char *guest,
			 const char *name)
{
	record_key_text(key, 'P', guest);
	key->bytes[key->len++] = '\0';
	if (name) {
		size_t len = strlen(name);

		ASSERT(key->len + len <= RECORD_KEY_MAX);
		memcpy(key->bytes + key->len, name, len);
		key->len += len;
	}
}

void record_key_layer(struct record_key *key, uint64_t layer)
{
	key->bytes[0] = 'L';
	key->len = 1;
	record_key_add64(key, layer);
}
