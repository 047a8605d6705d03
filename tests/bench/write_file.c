/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_file: a big file, in order or page by page; see nfswrite.c.
 *
 * What is written at an offset is the same block of words again and again, but
 * for the first word of each page: that says the offset and, in `salt`, which
 * WRITE it was.  So a page that is lost, old or in a wrong place is seen.
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
	BLOCK_LEN = 1 << 20,
	HALF_LEN = 64 << 10,
	SEQ_NAME_CAP = 32,
};

static uint8_t block[BLOCK_LEN];

static uint64_t page_word(uint64_t off, uint32_t salt)
{
	return htole64(tree_word(off ^ (uint64_t)salt << 40));
}

/* `off` and `len` are multiples of WRITE_PAGE, in one BLOCK_LEN. */
static void page_fill(uint8_t *p, uint64_t off, size_t len, uint32_t salt)
{
	memcpy(p, block + off % BLOCK_LEN, len);
	for (size_t i = 0; i < len; i += WRITE_PAGE) {
		uint64_t word = page_word(off + i, salt);

		memcpy(p + i, &word, sizeof(word));
	}
}

static void page_check(const uint8_t *p, uint64_t off, uint32_t salt)
{
	uint64_t word = page_word(off, salt);

	if (memcmp(p, &word, sizeof(word)) ||
	    memcmp(p + sizeof(word), block + off % BLOCK_LEN + sizeof(word),
		   WRITE_PAGE - sizeof(word)))
		errx(1, "page at %" PRIu64 ": not what was written", off);
}

static struct wire_in file_read(struct write_run *run, struct talk *talk,
				uint64_t off, uint32_t len,
				const uint8_t **data)
{
	struct wire_in in;

	talk_begin(talk, NFS_PROGRAM, NFSPROC3_READ);
	talk->args = wire_put_fh(talk->args, &run->file.fh);
	talk->args = wire_put64(talk->args, off);
	talk->args = wire_put32(talk->args, len);
	in = talk_call(talk, "READ");
	*data = reply_read(&in, &run->file, off, len);
	return in;
}

/* All calls of a run must show the same verifier, or bytes may be lost. */
static void verifier_check(struct write_run *run, uint64_t verf)
{
	if (run->verf && run->verf != verf)
		errx(1, "the verifier has changed");
	run->verf = verf;
}

/* --- in order ------------------------------------------------------------ */

static uint8_t *seq_encode(struct load *load, struct load_slot *slot,
			   uint8_t *p)
{
	struct write_run *run = load->ctx;
	uint32_t len = run->len;

	if (run->next_off < run->size) {
		slot->proc = NFSPROC3_WRITE;
		slot->off = run->next_off;
		run->next_off += len;
		p = wire_put_write(p, &run->file.fh, slot->off, len,
				   NFS3_UNSTABLE);
		page_fill(p, slot->off, len, 0);
		return p + len;
	}
	if (run->committed || load->in_flight > 0)
		return NULL;
	run->committed = true;
	slot->proc = NFSPROC3_COMMIT;
	p = wire_put_fh(p, &run->file.fh);
	p = wire_put64(p, 0);
	return wire_put32(p, 0);
}

static void seq_check(struct load *load, struct load_slot *slot,
		      struct wire_in *in)
{
	struct write_run *run = load->ctx;
	struct file after = {.size = UINT64_MAX};

	if (slot->proc == NFSPROC3_COMMIT) {
		reply_status(in, "COMMIT");
		reply_wcc(in, &after);
		verifier_check(run, wire_get64(in));
		if (after.size != run->size && after.size != UINT64_MAX)
			errx(1, "COMMIT: size %" PRIu64, after.size);
		return;
	}
	reply_status(in, "WRITE");
	verifier_check(run, reply_write(in, run->len, NFS3_UNSTABLE, &after));
	if (after.size < slot->off + run->len)
		errx(1, "WRITE: size %" PRIu64, after.size);
	load->counts.payload += run->len;
}

static void seq_prove(struct write_run *run, struct talk *talk)
{
	run->file.size = run->size;
	for (uint64_t off = 0; off < run->size; off += TALK_READ_LEN) {
		const uint8_t *data;

		file_read(run, talk, off, TALK_READ_LEN, &data);
		for (uint32_t at = 0; at < TALK_READ_LEN; at += WRITE_PAGE)
			page_check(data + at, off + at, 0);
	}
}

void write_seq(struct write_run *run, uint32_t len)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);
	char name[SEQ_NAME_CAP];

	if (run->size == 0 || run->size % BLOCK_LEN)
		errx(2, "-S: not a multiple of %d", BLOCK_LEN);
	snprintf(name, sizeof(name), "seq-%d", getpid());
	tree_fill(block, 0, sizeof(block));
	write_create(talk, &run->root, name, &run->file);
	run->len = len;
	run->work.call_max = len + TALK_HEAD_MAX;
	run->work.reply_max = TALK_HEAD_MAX;
	run->work.encode = seq_encode;
	run->work.check = seq_check;
	load_run_all(&run->load);
	if (!run->committed)
		errx(1, "no COMMIT");
	seq_prove(run, talk);
	write_remove(talk, &run->root, name, NFSPROC3_REMOVE);
	talk_close(talk);
}

/* --- page by page -------------------------------------------------------- */

static void sync_open(struct write_run *run, struct talk *talk)
{
	tree_fill(block, 0, sizeof(block));
	target_walk(talk, &run->root, run->opt.server.hot_path, &run->file);
	if (run->file.type != NF3REG || run->file.size < 2 * HALF_LEN)
		errx(1, "%s: no file, or too small", run->opt.server.hot_path);
}

void write_half(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);
	uint64_t off;
	struct wire_in in;

	sync_open(run, talk);
	for (off = 0; off + HALF_LEN <= run->file.size; off += 2 * HALF_LEN) {
		talk_begin(talk, NFS_PROGRAM, NFSPROC3_WRITE);
		talk->args = wire_put_write(talk->args, &run->file.fh, off,
					    HALF_LEN, NFS3_UNSTABLE);
		page_fill(talk->args, off, HALF_LEN, 0);
		talk->args += HALF_LEN;
		in = talk_call(talk, "WRITE");
		verifier_check(run,
			       reply_write(&in, HALF_LEN, NFS3_UNSTABLE, NULL));
	}
	talk_begin(talk, NFS_PROGRAM, NFSPROC3_COMMIT);
	talk->args = wire_put_fh(talk->args, &run->file.fh);
	talk->args = wire_put64(talk->args, 0);
	talk->args = wire_put32(talk->args, 0);
	in = talk_call(talk, "COMMIT");
	reply_wcc(&in, NULL);
	verifier_check(run, wire_get64(&in));
	talk_close(talk);
}

/* Each page once, in no visible order: a generator of full period over a power
 * of two, numbers beyond the file left out. */
static bool sync_next_page(struct write_run *run, uint64_t *page)
{
	uint64_t pages = run->file.size / WRITE_PAGE, period = 1;

	while (period < pages)
		period *= 2;
	do
		run->next_off = (run->next_off * 1664525 + 1013904223) % period;
	while (run->next_off >= pages);
	*page = run->next_off;
	return run->salts[*page] == 0;
}

static uint8_t *sync_encode(struct load *load, struct load_slot *slot,
			    uint8_t *p)
{
	struct write_run *run = load->ctx;
	uint64_t page;

	/* All were written: a second round would be another workload. */
	if (load->draining || !sync_next_page(run, &page))
		return NULL;
	slot->proc = NFSPROC3_WRITE;
	slot->off = page * WRITE_PAGE;
	run->salts[page] = ++run->next;
	p = wire_put_write(p, &run->file.fh, slot->off, WRITE_PAGE,
			   NFS3_FILE_SYNC);
	page_fill(p, slot->off, WRITE_PAGE, run->next);
	return p + WRITE_PAGE;
}

static void sync_check(struct load *load, struct load_slot *slot,
		       struct wire_in *in)
{
	struct write_run *run = load->ctx;
	struct file after = run->file;

	(void)slot;
	reply_status(in, "WRITE");
	verifier_check(run,
		       reply_write(in, WRITE_PAGE, NFS3_FILE_SYNC, &after));
	if (after.size != run->file.size || after.fileid != run->file.fileid)
		errx(1, "WRITE: attributes of another file");
	load->counts.payload += WRITE_PAGE;
}

void write_sync(struct write_run *run)
{
	struct talk *talk =
	    talk_open(&run->opt.server, run->opt.server.nfs_port);
	uint64_t pages;

	sync_open(run, talk);
	pages = run->file.size / WRITE_PAGE;
	run->salts = calloc(pages, sizeof(*run->salts));
	if (!run->salts)
		err(1, "salts");
	run->next_off = load_clock_ns() / 1000;
	run->work.call_max = WRITE_PAGE + TALK_HEAD_MAX;
	run->work.reply_max = TALK_HEAD_MAX;
	run->work.encode = sync_encode;
	run->work.check = sync_check;
	load_run_seconds(&run->load);
	for (uint64_t page = 0; page < pages; page++) {
		const uint8_t *data;

		if (!run->salts[page])
			continue;
		file_read(run, talk, page * WRITE_PAGE, WRITE_PAGE, &data);
		page_check(data, page * WRITE_PAGE, run->salts[page]);
	}
	free(run->salts);
	talk_close(talk);
}
