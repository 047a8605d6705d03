/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages: which 4 KiB pages of a file lie in its host file (design 7).  One bit
 * a page, in pieces of 128 MiB of file, each a value of the state database.
 * In memory while the file has a node; not locked (the view's lock is held).
 */
#ifndef OVERLAY_PAGES_H
#define OVERLAY_PAGES_H

#include "depot/base.h"
#include "overlay/record.h"

struct kv;
struct kv_batch;

struct pages_piece {
	uint32_t number; /* of 128 MiB of the file */
	bool dirty;      /* differs from the database */
	uint8_t *bits;   /* owns; RECORD_PIECE_LEN */
};

/* Sparse: a page far out costs one piece, not all that lie before it. */
struct pages {
	struct pages_piece *piece; /* owns; by rising number */
	uint32_t count, cap;
};

bool pages_has(const struct pages *pages, uint64_t page);
/* Pages [from, to); -ENOMEM, -EFBIG (beyond 2^59 bytes), and then nothing has
 * changed. */
MUST_CHECK int pages_set(struct pages *pages, uint64_t from, uint64_t to);
void pages_clear_from(struct pages *pages, uint64_t page);
/* First page >= `page` and < `end` whose bit differs from that of `page`. */
uint64_t pages_run_end(const struct pages *pages, uint64_t page, uint64_t end);
uint64_t pages_count(const struct pages *pages);
void pages_free(struct pages *pages);

MUST_CHECK int pages_load(struct pages *pages, struct kv *kv, uint64_t layer,
			  uint64_t fileid);
/* Put the dirty pieces into a batch and forget that they are dirty. */
void pages_save(struct pages *pages, struct kv_batch *batch, uint64_t layer,
		uint64_t fileid);
/* The batch failed: every piece is dirty again. */
void pages_unsave(struct pages *pages);

#endif
