/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_many: small files, and listings of them; see nfswrite.c.
 *
 * A slot goes through the steps of one file, then takes the next.  File i of
 * fill is DIRECTORY/d<i / per_dir>/e<i % per_dir>, with leading zeros, so that
 * a listing can be proved by count and sum of the numbers in its names.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nfswrite.h"
#include "target.h"
#include "tree.h"

enum {
	STEP_CREATE = 0,
	STEP_WRITE = 1,
	STEP_REMOVE = 2,
	MANY_NAME_CAP = 32,
	LIST_BODY_MAX = 64 << 10, /* dircount and maxcount */
};

static uint8_t pattern[TALK_READ_LEN];

static uint8_t *dirop_put(uint8_t *p, const struct file *dir, const char *name)
{
	p = wire_put_fh(p, &dir->fh);
	return wire_put_opaque(p, name, strlen(name));
}

static uint8_t *create_put(struct load_slot *slot, uint8_t *p,
			   const struct file *dir, const char *name)
{
	slot->proc = NFSPROC3_CREATE;
	p = dirop_put(p, dir, name);
	p = wire_put32(p, NFS3_GUARDED);
	return wire_put_mode(p, 0644);
}

static uint8_t *content_put(struct write_run *run, struct load_slot *slot,
			    uint8_t *p)
{
	slot->proc = NFSPROC3_WRITE;
	p = wire_put_write(p, &slot->fh, 0, run->len, NFS3_FILE_SYNC);
	memcpy(p, pattern, run->len);
	return p + wire_padded(run->len);
}

/* A reply to CREATE, WRITE or REMOVE of a file that has run->len bytes. */
static void many_check(struct load *load, struct load_slot *slot,
		       struct wire_in *in)
{
	struct write_run *run = load->ctx;
	struct file file = {.type = 0, .size = run->len};

	switch (slot->proc) {
	case NFSPROC3_CREATE:
		reply_status(in, "CREATE");
		reply_made(in, &file, "CREATE");
		if (file.type != NF3REG || file.size != 0)
			errx(1, "CREATE: type %u, %" PRIu64 " bytes", file.type,
			     file.size);
		slot->fh = file.fh;
		slot->step = STEP_WRITE;
		break;
	case NFSPROC3_WRITE:
		reply_status(in, "WRITE");
		reply_write(in, run->len, NFS3_FILE_SYNC, &file);
		if (file.size != run->len)
			errx(1, "WRITE: size %" PRIu64, file.size);
		load->counts.payload += run->len;
		slot->step = STEP_REMOVE;
		break;
	default:
		reply_status(in, "REMOVE");
		reply_wcc(in, NULL);
		slot->step = STEP_CREATE;
	}
}

static void many_work(struct write_run *run,
		      uint8_t *(*encode)(struct load *load,
					 struct load_slot *slot, uint8_t *p))
{
	run->work.call_max = run->len + TALK_HEAD_MAX;
	run->work.reply_max = TALK_HEAD_MAX;
	run->work.encode = encode;
	run->work.check = many_check;
	tree_fill(pattern, 0, sizeof(pattern));
}

/* --- directories --------------------------------------------------------- */

static void dir_make(struct talk *talk, const struct file *parent,
		     const char *name, struct file *made)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_MKDIR);
	talk->args = dirop_put(talk->args, parent, name);
	talk->args = wire_put_mode(talk->args, 0755);
	in = talk_call(talk, name);
	reply_made(&in, made, name);
	reply_end(&in, name);
}

static void dirs_of_fill(struct write_run *run, struct talk *talk, bool make)
{
	const char *path = run->opt.server.dir_path;
	struct file top;

	if (run->per_dir == 0 || run->per_dir > 100000)
		errx(2, "-D: 1 to 100000");
	run->dir_count = (run->count + run->per_dir - 1) / run->per_dir;
	if (run->dir_count > WRITE_DIRS_MAX)
		errx(2, "more than %d directories", WRITE_DIRS_MAX);
	if (make)
		dir_make(talk, &run->root, path, &top);
	else
		target_walk(talk, &run->root, path, &top);
	for (uint32_t i = 0; i < run->dir_count; i++) {
		char name[MANY_NAME_CAP];

		snprintf(name, sizeof(name), "d%04u", i);
		if (make)
			dir_make(talk, &top, name, &run->dirs[i]);
		else
			target_lookup(talk, &top, name, strlen(name),
				      &run->dirs[i]);
	}
}

/* Only empty directories can be removed: the proof that all files are gone. */
static void dirs_remove(struct write_run *run, struct talk *talk)
{
	const char *path = run->opt.server.dir_path;
	struct file top;

	target_walk(talk, &run->root, path, &top);
	for (uint32_t i = 0; i < run->dir_count; i++) {
		char name[MANY_NAME_CAP];

		snprintf(name, sizeof(name), "d%04u", i);
		write_remove(talk, &top, name, NFSPROC3_RMDIR);
	}
	write_remove(talk, &run->root, path, NFSPROC3_RMDIR);
}

/* --- create, write, remove ----------------------------------------------- */

static uint8_t *small_encode(struct load *load, struct load_slot *slot,
			     uint8_t *p)
{
	struct write_run *run = load->ctx;
	const struct file *dir = &run->dirs[slot->conn];
	char name[MANY_NAME_CAP];

	if (slot->step == STEP_CREATE) {
		/* The name of the file that is begun. */
		if (load->draining)
			return NULL;
		slot->item = ++run->next;
	}
	snprintf(name, sizeof(name), "s%u", slot->item);
	if (slot->step == STEP_CREATE)
		return create_put(slot, p, dir, name);
	if (slot->step == STEP_WRITE)
		return content_put(run, slot, p);
	load->counts.items++;
	slot->proc = NFSPROC3_REMOVE;
	return dirop_put(p, dir, name);
}

void write_small(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);
	char name[MANY_NAME_CAP];

	for (uint32_t i = 0; i < run->opt.conns; i++) {
		snprintf(name, sizeof(name), "small-%d-%u", getpid(), i);
		dir_make(talk, &run->root, name, &run->dirs[i]);
	}
	many_work(run, small_encode);
	load_run_seconds(&run->load);
	for (uint32_t i = 0; i < run->opt.conns; i++) {
		snprintf(name, sizeof(name), "small-%d-%u", getpid(), i);
		write_remove(talk, &run->root, name, NFSPROC3_RMDIR);
	}
	talk_close(talk);
}

/* --- many files ---------------------------------------------------------- */

static const struct file *many_name(struct write_run *run,
				    const struct load_slot *slot,
				    char name[MANY_NAME_CAP])
{
	snprintf(name, MANY_NAME_CAP, "e%05u", slot->item % run->per_dir);
	return &run->dirs[slot->item / run->per_dir];
}

static uint8_t *fill_encode(struct load *load, struct load_slot *slot,
			    uint8_t *p)
{
	struct write_run *run = load->ctx;
	const struct file *dir;
	char name[MANY_NAME_CAP];

	if (slot->step == STEP_WRITE && run->len > 0)
		return content_put(run, slot, p);
	if (run->next == run->count)
		return NULL;
	slot->item = run->next++;
	load->counts.items++;
	dir = many_name(run, slot, name);
	return create_put(slot, p, dir, name);
}

void write_fill(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);

	dirs_of_fill(run, talk, true);
	talk_close(talk);
	many_work(run, fill_encode);
	load_run_all(&run->load);
}

static uint8_t *empty_encode(struct load *load, struct load_slot *slot,
			     uint8_t *p)
{
	struct write_run *run = load->ctx;
	const struct file *dir;
	char name[MANY_NAME_CAP];

	if (run->next == run->count)
		return NULL;
	slot->item = run->next++;
	load->counts.items++;
	dir = many_name(run, slot, name);
	slot->proc = NFSPROC3_REMOVE;
	return dirop_put(p, dir, name);
}

void write_empty(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);

	dirs_of_fill(run, talk, false);
	many_work(run, empty_encode);
	load_run_all(&run->load);
	dirs_remove(run, talk);
	talk_close(talk);
}

/* --- listings ------------------------------------------------------------ */

static uint8_t *list_put(uint8_t *p, const struct file *dir, uint64_t cookie,
			 uint64_t verf)
{
	p = wire_put_fh(p, &dir->fh);
	p = wire_put64(p, cookie);
	p = wire_put64(p, verf);
	p = wire_put32(p, LIST_BODY_MAX);
	return wire_put32(p, LIST_BODY_MAX);
}

static uint8_t *list_encode(struct load *load, struct load_slot *slot,
			    uint8_t *p)
{
	struct write_run *run = load->ctx;

	if (load->draining)
		return NULL;
	if (slot->step == 0) {
		if (run->next == run->dir_count)
			run->next = 0;
		/* Only once through when there is no time to fill. */
		if (run->opt.seconds == 0 && run->next_off == run->dir_count)
			return NULL;
		run->next_off++;
		slot->item = run->next++;
		slot->off = slot->verf = slot->sum = 0;
		slot->step = 1;
	}
	slot->proc = NFSPROC3_READDIRPLUS;
	return list_put(p, &run->dirs[slot->item], slot->off, slot->verf);
}

/* "e00042": 42.  "." and ".." are no files. */
static bool entry_number(const uint8_t *name, size_t len, uint32_t *number)
{
	if (name[0] == '.' && len <= 2)
		return false;
	if (len != 6 || name[0] != 'e')
		errx(1, "READDIRPLUS: name %.*s", (int)len, (const char *)name);
	*number = 0;
	for (size_t i = 1; i < len; i++)
		*number = *number * 10 + (name[i] - '0');
	return true;
}

/* One entryplus3, after its "follows": attributes and handle must be there. */
static bool entry_take(struct wire_in *in, uint64_t *cookie, uint32_t *number)
{
	const uint8_t *name;
	size_t len, fh_len;
	bool is_file;

	wire_get64(in); /* fileid */
	name = wire_get_opaque(in, &len);
	*cookie = wire_get64(in);
	if (!name || len == 0 || in->bad)
		errx(1, "READDIRPLUS: damaged entry");
	is_file = entry_number(name, len, number);
	if (wire_get32(in))
		wire_take(in, FATTR3_LEN);
	else if (is_file)
		errx(1, "READDIRPLUS: no attributes");
	if (wire_get32(in))
		wire_get_opaque(in, &fh_len);
	else if (is_file)
		errx(1, "READDIRPLUS: no handle");
	return is_file;
}

/* The files of one directory: how many, and the sum of their numbers; both in
 * one word, since neither reaches 2^32. */
static uint64_t list_sum(const struct write_run *run, uint32_t dir)
{
	uint64_t count = run->count - dir * run->per_dir;

	if (count > run->per_dir)
		count = run->per_dir;

	return count << 40 | count * (count - 1) / 2;
}

static void list_check(struct load *load, struct load_slot *slot,
		       struct wire_in *in)
{
	struct write_run *run = load->ctx;
	uint32_t number;

	reply_status(in, "READDIRPLUS");
	if (wire_get32(in))
		wire_take(in, FATTR3_LEN);
	slot->verf = wire_get64(in);
	while (wire_get32(in)) {
		if (!entry_take(in, &slot->off, &number))
			continue;
		slot->sum += UINT64_C(1) << 40 | number;
		load->counts.items++;
	}
	if (!wire_get32(in)) /* eof */
		return;
	if (slot->sum != list_sum(run, slot->item))
		errx(1, "READDIRPLUS: %" PRIu64 " files, or not those",
		     slot->sum >> 40);
	slot->step = 0;
}

void write_list(struct write_run *run, bool forever)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);

	dirs_of_fill(run, talk, false);
	talk_close(talk);
	run->work.call_max = TALK_HEAD_MAX;
	run->work.reply_max = 2 * LIST_BODY_MAX;
	run->work.encode = list_encode;
	run->work.check = list_check;
	if (forever)
		load_run_seconds(&run->load);
	else
		load_run_all(&run->load);
}

void write_look(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);
	struct wire_in in;
	uint64_t cookie;
	uint32_t number, seen = 0;

	run->count = run->per_dir = 1;
	dirs_of_fill(run, talk, false);
	if (run->dirs[0].type != NF3DIR)
		errx(1, "GETATTR: no directory");
	talk_begin(talk, NFS_PROGRAM, NFSPROC3_READDIRPLUS);
	talk->args = list_put(talk->args, &run->dirs[0], 0, 0);
	in = talk_call(talk, "READDIRPLUS");
	if (wire_get32(&in))
		wire_take(&in, FATTR3_LEN);
	wire_get64(&in);
	while (wire_get32(&in))
		seen += entry_take(&in, &cookie, &number);
	wire_get32(&in);
	reply_end(&in, "READDIRPLUS");
	if (seen == 0)
		errx(1, "READDIRPLUS: no files");
	talk_close(talk);
}
