/* SPDX-License-Identifier: Apache-2.0 */
/* pages: presence bits of host files.  See pages.h. */
#include "depot/kv.h"
#include "depot/log.h"
#include "overlay/pages.h"

/* Place of the first piece whose number is not below `number`. */
static uint32_t pages_place(const struct pages *pages, uint64_t number)
{
	uint32_t low = 0, count = pages->count;

	while (count > 0) {
		uint32_t half = count / 2;

		if (pages->piece[low + half].number < number) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

static struct pages_piece *pages_find(const struct pages *pages,
				      uint64_t number)
{
	uint32_t at = pages_place(pages, number);

	return at < pages->count && pages->piece[at].number == number
		   ? &pages->piece[at]
		   : NULL;
}

bool pages_has(const struct pages *pages, uint64_t page)
{
	const struct pages_piece *piece =
	    pages_find(pages, page / RECORD_PIECE_PAGES);
	uint32_t bit = (uint32_t)(page % RECORD_PIECE_PAGES);

	return piece && (piece->bits[bit / 8] >> (bit % 8) & 1);
}

static int pages_room(struct pages *pages, uint64_t number)
{
	uint32_t at = pages_place(pages, number);
	struct pages_piece *bigger;
	uint8_t *bits;

	if (number >= UINT32_MAX)
		return -EFBIG;
	if (at < pages->count && pages->piece[at].number == number)
		return 0;
	if (pages->count == pages->cap) {
		uint32_t cap = pages->cap ? pages->cap * 2 : 1;

		bigger = realloc(pages->piece, cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		pages->piece = bigger;
		pages->cap = cap;
	}
	bits = calloc(1, RECORD_PIECE_LEN);
	if (!bits)
		return -ENOMEM;
	memmove(&pages->piece[at + 1], &pages->piece[at],
		(pages->count - at) * sizeof(*pages->piece));
	pages->piece[at] = (struct pages_piece){(uint32_t)number, false, bits};
	pages->count++;
	return 0;
}

int pages_set(struct pages *pages, uint64_t from, uint64_t to)
{
	for (uint64_t number = from / RECORD_PIECE_PAGES;
	     number * RECORD_PIECE_PAGES < to; number++) {
		int rc = pages_room(pages, number);

		if (rc < 0)
			return rc;
	}
	for (uint64_t page = from; page < to; page++) {
		struct pages_piece *piece =
		    pages_find(pages, page / RECORD_PIECE_PAGES);
		uint32_t bit = (uint32_t)(page % RECORD_PIECE_PAGES);
		uint8_t mask = (uint8_t)(1u << (bit % 8));

		if (piece->bits[bit / 8] & mask)
			continue;
		piece->bits[bit / 8] |= mask;
		piece->dirty = true;
	}
	return 0;
}

void pages_clear_from(struct pages *pages, uint64_t page)
{
	for (uint32_t i = pages_place(pages, page / RECORD_PIECE_PAGES);
	     i < pages->count; i++) {
		struct pages_piece *piece = &pages->piece[i];
		uint64_t start = (uint64_t)piece->number * RECORD_PIECE_PAGES;
		uint32_t bit = page > start ? (uint32_t)(page - start) : 0;

		for (; bit < RECORD_PIECE_PAGES; bit++) {
			uint8_t mask = (uint8_t)(1u << (bit % 8));

			if (piece->bits[bit / 8] & mask) {
				piece->bits[bit / 8] &= (uint8_t)~mask;
				piece->dirty = true;
			}
		}
	}
}

uint64_t pages_run_end(const struct pages *pages, uint64_t page, uint64_t end)
{
	bool has = pages_has(pages, page);

	while (page < end && pages_has(pages, page) == has)
		page++;
	return page;
}

uint64_t pages_count(const struct pages *pages)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < pages->count; i++)
		for (uint32_t b = 0; b < RECORD_PIECE_LEN; b++)
			count += (uint64_t)__builtin_popcount(
			    pages->piece[i].bits[b]);
	return count;
}

void pages_free(struct pages *pages)
{
	for (uint32_t i = 0; i < pages->count; i++)
		free(pages->piece[i].bits);
	free(pages->piece);
	*pages = (struct pages){0};
}

/* A piece in the database is the format number, then the bits. */
static int pages_load_piece(struct pages *pages, uint32_t number,
			    const uint8_t *value, size_t len)
{
	int rc;

	if (len >= 1 && value[0] > RECORD_FORMAT)
		return record_newer("presence bits", value[0], RECORD_FORMAT);
	if (len != 1 + RECORD_PIECE_LEN)
		return log_err(-EBADMSG, "state: damaged presence bits");
	rc = pages_room(pages, number);
	if (rc < 0)
		return rc;
	memcpy(pages_find(pages, number)->bits, value + 1, RECORD_PIECE_LEN);
	return 0;
}

int pages_load(struct pages *pages, struct kv *kv, uint64_t layer,
	       uint64_t fileid)
{
	struct record_key key;
	struct kv_iter *it;
	int rc = 0;

	record_key_piece(&key, layer, fileid, 0);
	key.len -= 4;
	it = kv_iter_new(kv, key.bytes, key.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t key_len, len;
		const uint8_t *k = kv_iter_key(it, &key_len);
		const uint8_t *value = kv_iter_value(it, &len);

		rc = key_len == key.len + 4
			 ? pages_load_piece(pages, be32_get(k + key.len), value,
					    len)
			 : log_err(-EBADMSG, "state: damaged key");
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

void pages_save(struct pages *pages, struct kv_batch *batch, uint64_t layer,
		uint64_t fileid)
{
	uint8_t value[1 + RECORD_PIECE_LEN];

	for (uint32_t i = 0; i < pages->count; i++) {
		struct pages_piece *piece = &pages->piece[i];
		struct record_key key;

		if (!piece->dirty)
			continue;
		piece->dirty = false;
		record_key_piece(&key, layer, fileid, piece->number);
		value[0] = RECORD_FORMAT;
		memcpy(value + 1, piece->bits, RECORD_PIECE_LEN);
		kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
	}
}

void pages_unsave(struct pages *pages)
{
	for (uint32_t i = 0; i < pages->count; i++)
		pages->piece[i].dirty = true;
}
