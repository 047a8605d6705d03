/* SPDX-License-Identifier: Apache-2.0 */
/* cutmodel: see cutmodel.h. */
#include "tests/lib/cutmodel.h"

#include <stdio.h>

#include "tests/lib/check.h"

enum { CUT_PACKED_ID = 1 << 30, CUT_CONTENT_MAX = 512 << 10 };

void cutmodel_name(int slot, char name[16])
{
	snprintf(name, 16, "f%d", slot);
}

uint64_t cutmodel_packed_len(int slot)
{
	static const uint64_t lens[CUT_PACKED] = {700, 9000, 40000, 150001,
						  300000};

	return slot < CUT_PACKED ? lens[slot] : 0;
}

void cutmodel_content(int lane, uint64_t id, uint32_t skip, uint32_t len,
		      uint8_t *out)
{
	static uint8_t bytes[CUT_CONTENT_MAX];

	ASSERT((uint64_t)skip + len <= sizeof(bytes));
	check_fill(bytes, skip + len, (uint64_t)(lane + 1) << 48 | id);
	memcpy(out, bytes + skip, len);
}

/* --- files --------------------------------------------------------------- */

static struct cut_file *file_new(void)
{
	struct cut_file *file = calloc(1, sizeof(*file));

	ASSERT(file);
	file->bytes = calloc(1, CUT_FILE_MAX);
	ASSERT(file->bytes);
	file->links = 1;
	return file;
}

static void file_put(struct cut_file *file)
{
	if (--file->links > 0)
		return;
	free(file->bytes);
	free(file->pieces);
	free(file);
}

static void file_add_piece(struct cut_file *file, struct cut_piece piece)
{
	if (piece.len == 0)
		return;
	file->pieces = realloc(file->pieces,
			       (file->piece_count + 1) * sizeof(*file->pieces));
	ASSERT(file->pieces);
	file->pieces[file->piece_count++] = piece;
}

/* No piece covers [from, to) any more. */
static void file_punch(struct cut_file *file, uint64_t from, uint64_t to)
{
	struct cut_piece *old = file->pieces;
	size_t count = file->piece_count;

	file->pieces = NULL;
	file->piece_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct cut_piece p = old[i], rest = old[i];
		uint64_t end = p.off + p.len;

		if (from > p.off)
			p.len = (uint32_t)(MIN(from, end) - p.off);
		else
			p.len = 0;
		file_add_piece(file, p);
		if (to < end) {
			uint32_t cut =
			    to > rest.off ? (uint32_t)(to - rest.off) : 0;

			rest.off += cut;
			rest.skip += cut;
			rest.len -= cut;
			file_add_piece(file, rest);
		}
	}
	free(old);
}

static void file_size(struct cut_file *file, uint64_t size)
{
	if (size < file->size)
		memset(file->bytes + size, 0, file->size - size);
	file_punch(file, size, UINT64_MAX);
	file->size = size;
}

static void file_write(struct cut_file *file, int lane, struct cut_piece p)
{
	file_punch(file, p.off, p.off + p.len);
	cutmodel_content(lane, p.id, p.skip, p.len, file->bytes + p.off);
	file->size = MAX(file->size, p.off + p.len);
}

static void file_commit(struct cut_file *file, int lane)
{
	for (size_t i = 0; i < file->piece_count; i++) {
		struct cut_piece p = file->pieces[i];

		cutmodel_content(lane, p.id, p.skip, p.len,
				 file->bytes + p.off);
		file->size = MAX(file->size, p.off + p.len);
	}
	file->piece_count = 0;
}

static bool file_size_fits(const struct cut_file *file, uint64_t size)
{
	if (size == file->size)
		return true;
	for (size_t i = 0; i < file->piece_count; i++)
		if (size > file->size &&
		    size == file->pieces[i].off + file->pieces[i].len)
			return true;
	return false;
}

bool cutmodel_fits(const struct cut_file *file, int lane, const uint8_t *got,
		   uint64_t got_len, uint64_t *wrong_at)
{
	static uint8_t fits[CUT_FILE_MAX], bytes[CUT_WRITE_MAX];

	*wrong_at = got_len;
	if (!file_size_fits(file, got_len))
		return false;
	/* Beyond the stable size the stable bytes are zeros. */
	for (uint64_t i = 0; i < got_len; i++)
		fits[i] = got[i] == file->bytes[i];
	for (size_t n = 0; n < file->piece_count; n++) {
		const struct cut_piece *p = &file->pieces[n];

		cutmodel_content(lane, p->id, p->skip, p->len, bytes);
		for (uint64_t i = 0; i < p->len && p->off + i < got_len; i++)
			fits[p->off + i] |= got[p->off + i] == bytes[i];
	}
	for (uint64_t i = 0; i < got_len; i++)
		if (!fits[i]) {
			*wrong_at = i;
			return false;
		}
	return true;
}

/* --- the model ----------------------------------------------------------- */

void cutmodel_init(struct cut_model *model, int lane)
{
	memset(model, 0, sizeof(*model));
	for (int i = 0; i < CUT_PACKED; i++) {
		struct cut_file *file = file_new();

		file->size = cutmodel_packed_len(i);
		file->mode = 0644;
		cutmodel_content(lane, CUT_PACKED_ID + (uint64_t)i, 0,
				 (uint32_t)file->size, file->bytes);
		model->slots[i] = file;
	}
}

void cutmodel_copy(struct cut_model *to, const struct cut_model *from)
{
	*to = *from;
	for (int i = 0; i < CUT_SLOTS; i++) {
		const struct cut_file *old = from->slots[i];
		struct cut_file *fresh;
		int first = 0;

		if (!old)
			continue;
		while (from->slots[first] != old)
			first++;
		if (first < i) {
			to->slots[i] = to->slots[first];
			continue;
		}
		fresh = file_new();
		free(fresh->bytes);
		*fresh = *old;
		fresh->bytes = malloc(CUT_FILE_MAX);
		fresh->pieces =
		    malloc((old->piece_count + 1) * sizeof(*old->pieces));
		ASSERT(fresh->bytes && fresh->pieces);
		memcpy(fresh->bytes, old->bytes, CUT_FILE_MAX);
		if (old->piece_count > 0)
			memcpy(fresh->pieces, old->pieces,
			       old->piece_count * sizeof(*old->pieces));
		to->slots[i] = fresh;
	}
}

static void model_unlink(struct cut_model *model, int slot)
{
	struct cut_file *file = model->slots[slot];

	if (!file)
		return;
	model->slots[slot] = NULL;
	file->times = false;
	if (file->links == 1 && file->fh.len > 0)
		model->gone[model->gone_count++ % CUT_GONE] = file->fh;
	file_put(file);
}

void cutmodel_clear(struct cut_model *model)
{
	for (int i = 0; i < CUT_SLOTS; i++)
		model_unlink(model, i);
}

static void model_create(struct cut_model *model, const struct cut_op *op,
			 bool certain)
{
	struct cut_file *file = file_new();

	file->fh = certain ? op->fh : (struct raw_fh){0};
	file->mode = op->type == CUT_CREATE ? op->mode
		     : certain              ? op->attr.mode
					    : UINT32_MAX;
	model->slots[op->a] = file;
}

static void model_write(struct cut_file *file, int lane,
			const struct cut_op *op, bool certain)
{
	struct cut_piece piece = {op->off, op->id, op->len, op->skip};

	if (certain && op->stable)
		file_write(file, lane, piece);
	else
		file_add_piece(file, piece);
}

static void model_change(struct cut_file *file, int lane,
			 const struct cut_op *op, bool certain)
{
	switch (op->type) {
	case CUT_WRITE:
	case CUT_UNSTABLE:
		model_write(file, lane, op, certain);
		break;
	case CUT_COMMIT:
		if (certain)
			file_commit(file, lane);
		break;
	case CUT_SIZE:
		file_size(file, op->off);
		break;
	case CUT_MODE:
		file->mode = op->mode;
		break;
	default:
		break;
	}
}

void cutmodel_apply(struct cut_model *model, int lane, const struct cut_op *op,
		    bool certain)
{
	struct cut_file *file;

	switch (op->type) {
	case CUT_CREATE:
	case CUT_EXCLUSIVE:
		model_create(model, op, certain);
		break;
	case CUT_REMOVE:
		model_unlink(model, op->a);
		return;
	case CUT_RENAME:
		model_unlink(model, op->b);
		model->slots[op->b] = model->slots[op->a];
		model->slots[op->a] = NULL;
		model->slots[op->b]->times = false;
		return;
	case CUT_LINK:
		model->slots[op->b] = model->slots[op->a];
		model->slots[op->b]->links++;
		break;
	case CUT_MKDIR:
	case CUT_RMDIR:
		model->dirs[op->a] = op->type == CUT_MKDIR;
		return;
	default:
		model_change(model->slots[op->a], lane, op, certain);
	}
	file = model->slots[op->a];
	file->times = certain && op->attr.present && file->piece_count == 0;
	if (file->times)
		file->attr = op->attr;
}
