/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge_file: what a file is when its records in two layers become one.
 *
 * Two host files become one by copying pages, into whichever needs fewer: the
 * upper one takes pages that it lacks, or the lower one takes the upper one's
 * pages over its own, which these hide already.  Bytes are stable before the
 * batch says where they are.
 */
#include <stdio.h>

#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/merge.h"

static uint64_t file_into(const struct merge_file *f)
{
	return f->stack[0]->id;
}

static uint64_t file_from(const struct merge_file *f)
{
	return f->stack[1]->id;
}

static uint64_t file_pages_of(uint64_t bytes)
{
	return (bytes + RECORD_PAGE - 1) / RECORD_PAGE;
}

/* --- keys ---------------------------------------------------------------- */

/* Move A's inline data (or link's target); nothing when A has none. */
static int file_move_inline(struct merge_file *f)
{
	struct record_key from, into;
	struct kv_value value;
	int rc;

	record_key_data(&from, file_from(f), f->fileid);
	record_key_data(&into, file_into(f), f->fileid);
	rc = kv_get(f->site->kv, from.bytes, from.len, &value);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	kv_batch_put(f->batch, into.bytes, into.len, value.data, value.len);
	kv_batch_delete(f->batch, from.bytes, from.len);
	kv_value_release(&value);
	return 0;
}

static int file_forget_key(void *ctx, const struct each_key *key)
{
	kv_batch_delete(ctx, key->key, key->key_len);
	return 0;
}

/* A's presence bits and inline data go. */
static int file_forget(struct merge_file *f)
{
	struct record_key key;

	record_key_data(&key, file_from(f), f->fileid);
	kv_batch_delete(f->batch, key.bytes, key.len);
	if (f->from.data.kind != RECORD_DATA_HOST)
		return 0;
	record_key_piece(&key, file_from(f), f->fileid, 0);
	key.len -= 4;
	return each_key(f->site->kv, &key, 4, file_forget_key, f->batch);
}

/* All presence bits, as B's. */
static void file_put_pages(struct merge_file *f, struct pages *pages)
{
	pages_unsave(pages);
	pages_save(pages, f->batch, file_into(f), f->fileid);
}

static void file_reap(struct merge_file *f,
		      const struct record_data_state *data)
{
	if (data->kind == RECORD_DATA_HOST)
		reap_put_key(f->batch, file_from(f), data->layer,
			     data->data_id);
}

int merge_file_move(struct merge_file *f)
{
	struct pages pages = {0};
	int rc = 0;

	f->into = f->from;
	if (f->from.data.kind == RECORD_DATA_HOST) {
		rc = pages_load(&pages, f->site->kv, file_from(f), f->fileid);
		if (rc == 0)
			file_put_pages(f, &pages);
		pages_free(&pages);
	}
	if (rc == 0)
		rc = file_forget(f);
	if (rc == 0 &&
	    (f->from.data.kind == RECORD_DATA_INLINE || S_ISLNK(f->from.mode)))
		rc = file_move_inline(f);
	return rc;
}

int merge_file_drop(struct merge_file *f)
{
	file_reap(f, &f->from.data);
	return file_forget(f);
}

/* --- host files ---------------------------------------------------------- */

/* With nothing in it that the record does not cover. */
static int file_open(struct merge_file *f, const struct record_data_state *data,
		     uint64_t limit, int *fd)
{
	char path[640];
	struct stat st;
	int rc;

	snprintf(path, sizeof(path), "%s/data/%016llx/%02x/%016llx",
		 depot_path(f->site->depot), (unsigned long long)data->layer,
		 (unsigned int)(data->data_id & 0xff),
		 (unsigned long long)data->data_id);
	limit = MIN(limit, MIN(data->cut, data->size));
	rc = io_open(path, false, fd);
	if (rc == 0 && fstat(*fd, &st) < 0)
		rc = -errno;
	if (rc == 0 && (uint64_t)st.st_size > limit)
		rc = io_truncate(*fd, limit);
	return rc < 0 ? log_err(-EIO, "merging layers: host file %s: %s", path,
				strerror(-rc))
		      : 0;
}

struct file_copy {
	int from, into;            /* borrows */
	const struct pages *which; /* pages to copy: in these... */
	const struct pages * not ; /* ...and not in these (NULL: none) */
	uint64_t end;              /* bytes from here on are zeros */
};

static bool copy_wants(const struct file_copy *c, uint64_t page)
{
	return page < file_pages_of(c->end) && pages_has(c->which, page) &&
	       !(c->not &&pages_has(c->not, page));
}

static int copy_page(const struct file_copy *c, uint64_t page)
{
	uint64_t off = page * RECORD_PAGE;
	uint8_t buf[RECORD_PAGE] = {0};
	int rc =
	    host_pread(c->from, buf, MIN(sizeof(buf), c->end - off), off, true);

	return rc < 0 ? rc : io_pwrite_all(c->into, buf, sizeof(buf), off);
}

/* Call `visit` (NULL: count only) for each page that is wanted. */
static int copy_each(const struct file_copy *c,
		     int (*visit)(const struct file_copy *c, uint64_t page),
		     uint64_t *count)
{
	int rc = 0;

	*count = 0;
	for (uint32_t i = 0; rc == 0 && i < c->which->count; i++) {
		uint64_t page =
		    (uint64_t)c->which->piece[i].number * RECORD_PIECE_PAGES;
		uint64_t end = page + RECORD_PIECE_PAGES;

		for (; rc == 0 && page < end; page++) {
			if (!copy_wants(c, page))
				continue;
			++*count;
			rc = visit ? visit(c, page) : 0;
		}
	}
	return rc;
}

static int copy_run(struct merge_file *f, const struct file_copy *c)
{
	uint64_t count;
	int rc = copy_each(c, copy_page, &count);

	f->copied += count * RECORD_PAGE;
	if (rc == 0)
		rc = io_sync(c->into);
	KILL_POINT("merge-copied");
	return rc < 0 ? log_err(rc, "merging layers: copying a host file") : 0;
}

/* Set in `pages` what is wanted of the other. */
static int copy_set(const struct file_copy *c, struct pages *pages)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < c->which->count; i++) {
		uint64_t page =
		    (uint64_t)c->which->piece[i].number * RECORD_PIECE_PAGES;
		uint64_t end = page + RECORD_PIECE_PAGES;

		for (; rc == 0 && page < end; page++)
			if (copy_wants(c, page))
				rc = pages_set(pages, page, page + 1);
	}
	return rc;
}

/* --- both have pages ----------------------------------------------------- */

/* B's host file takes what it lacks of A's. */
static int file_fill_upper(struct merge_file *f, const struct pages *from,
			   struct pages *into, uint64_t limit)
{
	CLEANUP_CLOSE int from_fd = -1;
	CLEANUP_CLOSE int into_fd = -1;
	struct file_copy c = {-1, -1, from, into, limit};
	int rc = file_open(f, &f->from.data, limit, &from_fd);

	if (rc == 0)
		rc = file_open(f, &f->into.data, UINT64_MAX, &into_fd);
	c.from = from_fd;
	c.into = into_fd;
	if (rc == 0)
		rc = copy_run(f, &c);
	if (rc == 0)
		rc = copy_set(&c, into);
	if (rc < 0)
		return rc;
	file_put_pages(f, into);
	file_reap(f, &f->from.data);
	f->into.data.used = pages_count(into) * RECORD_PAGE;
	return 0;
}

/*
 * A's host file is about to grow to B's size.  Whoever opens it cuts it to what
 * A's record says, so that must say so before.  B sees no more of it than it
 * did: its base_limit never was above A's size.
 */
static int file_let_grow(struct merge_file *f, int fd)
{
	struct record rec = f->from;
	uint8_t value[RECORD_INODE_LEN];
	struct record_key key;
	int rc = io_sync(fd); /* it has been cut */

	if (rc < 0)
		return log_err(rc, "merging layers: cutting a host file");
	rec.data.size = MAX(rec.data.size, f->into.data.size);
	rec.data.cut = RECORD_NO_CUT;
	record_encode(&rec, value);
	record_key_inode(&key, file_from(f), f->fileid);
	merge_views_lock(f->views);
	rc = kv_put(f->site->kv, key.bytes, key.len, value, sizeof(value));
	recent_drop(&f->stack[1]->recent, f->fileid);
	merge_views_unlock(f->views);
	KILL_POINT("merge-grown");
	return rc;
}

/* A's host file takes B's pages, and is B's then. */
static int file_fill_lower(struct merge_file *f, struct pages *from,
			   const struct pages *into, uint64_t limit)
{
	struct record_data_state *data = &f->into.data;
	CLEANUP_CLOSE int from_fd = -1;
	CLEANUP_CLOSE int into_fd = -1;
	struct file_copy c = {-1, -1, into, NULL, data->size};
	int rc = file_open(f, &f->from.data, limit, &from_fd);

	if (rc == 0)
		rc = file_open(f, data, UINT64_MAX, &into_fd);
	c.from = into_fd;
	c.into = from_fd;
	if (rc == 0)
		rc = file_let_grow(f, from_fd);
	if (rc == 0)
		rc = copy_run(f, &c);
	pages_clear_from(from, file_pages_of(limit));
	if (rc == 0)
		rc = copy_set(&c, from);
	if (rc < 0)
		return rc;
	file_put_pages(f, from);
	file_reap(f, data);
	data->data_id = f->from.data.data_id;
	data->layer = f->from.data.layer;
	data->cut = RECORD_NO_CUT; /* done, and synced */
	data->used = pages_count(from) * RECORD_PAGE;
	return 0;
}

static int file_join(struct merge_file *f, uint64_t limit)
{
	struct pages from = {0}, into = {0};
	struct file_copy up = {-1, -1, &from, &into, limit};
	uint64_t lacks = 0;
	int rc = pages_load(&from, f->site->kv, file_from(f), f->fileid);

	if (rc == 0)
		rc = pages_load(&into, f->site->kv, file_into(f), f->fileid);
	if (rc == 0)
		rc = copy_each(&up, NULL, &lacks);
	if (rc == 0)
		rc = lacks <= pages_count(&into)
			 ? file_fill_upper(f, &from, &into, limit)
			 : file_fill_lower(f, &from, &into, limit);
	pages_free(&from);
	pages_free(&into);
	return rc;
}

/* --- one has pages, or none ---------------------------------------------- */

/* B has no bytes of its own: A's host file is B's. */
static int file_take_host(struct merge_file *f, uint64_t limit)
{
	struct record_data_state *data = &f->into.data;
	struct pages pages = {0};
	int rc = pages_load(&pages, f->site->kv, file_from(f), f->fileid);

	if (rc < 0)
		return rc;
	pages_clear_from(&pages, file_pages_of(limit));
	data->used = pages_count(&pages) * RECORD_PAGE;
	if (data->used > 0) {
		data->kind = RECORD_DATA_HOST;
		data->data_id = f->from.data.data_id;
		data->layer = f->from.data.layer;
		/* Also a tail that A's size kept from sight. */
		data->cut = MIN(f->from.data.cut, limit);
		file_put_pages(f, &pages);
	} else {
		file_reap(f, &f->from.data);
	}
	pages_free(&pages);
	return 0;
}

/* The inline data that A's record stands for: A's or of a layer below. */
static int file_get_inline(const struct merge_file *f,
			   uint8_t buf[RECORD_INLINE_MAX], size_t *len)
{
	struct kv_value value;
	struct record_key key;
	int rc = -ENOENT;

	for (unsigned int i = 1; rc == -ENOENT && i < f->count; i++) {
		record_key_data(&key, f->stack[i]->id, f->fileid);
		rc = kv_get(f->site->kv, key.bytes, key.len, &value);
	}
	if (rc < 0)
		return log_err(-EIO, "merging layers: data of %llx: %s",
			       (unsigned long long)f->fileid, strerror(-rc));
	*len = MIN(value.len, (size_t)RECORD_INLINE_MAX);
	memcpy(buf, value.data, *len);
	kv_value_release(&value);
	return 0;
}

/* Inline data below pages: they become pages too. */
static int file_fill_inline(struct merge_file *f, const uint8_t *buf,
			    size_t len)
{
	struct record_data_state *data = &f->into.data;
	CLEANUP_CLOSE int fd = -1;
	struct pages pages = {0};
	int rc = pages_load(&pages, f->site->kv, file_into(f), f->fileid);

	if (rc == 0)
		rc = file_open(f, data, UINT64_MAX, &fd);
	for (uint64_t page = 0; rc == 0 && page < file_pages_of(len); page++) {
		size_t off = page * RECORD_PAGE;
		uint8_t bytes[RECORD_PAGE] = {0};

		if (pages_has(&pages, page))
			continue;
		memcpy(bytes, buf + off, MIN(sizeof(bytes), len - off));
		rc = io_pwrite_all(fd, bytes, sizeof(bytes), off);
		if (rc == 0)
			rc = pages_set(&pages, page, page + 1);
	}
	if (rc == 0)
		rc = io_sync(fd);
	if (rc == 0) {
		file_put_pages(f, &pages);
		data->used = pages_count(&pages) * RECORD_PAGE;
	}
	pages_free(&pages);
	return rc < 0 ? log_err(rc, "merging layers: writing a host file") : 0;
}

static int file_take_inline(struct merge_file *f, uint64_t limit)
{
	struct record_data_state *data = &f->into.data;
	uint8_t buf[RECORD_INLINE_MAX];
	struct record_key key;
	size_t len = 0;
	int rc = file_get_inline(f, buf, &len);

	if (rc < 0)
		return rc;
	len = MIN(len, limit);
	if (data->kind == RECORD_DATA_HOST)
		return file_fill_inline(f, buf, len);
	record_key_data(&key, file_into(f), f->fileid);
	kv_batch_put(f->batch, key.bytes, key.len, buf, len);
	data->kind = RECORD_DATA_INLINE;
	data->used = len;
	return 0;
}

/* B's file stands on A's: they become one. */
static int file_unite(struct merge_file *f)
{
	struct record_data_state *data = &f->into.data;
	const struct record_data_state *below = &f->from.data;
	uint64_t limit = MIN(data->base_limit, below->size);
	bool is_inline = below->kind == RECORD_DATA_INLINE;
	int rc = 0;

	if (is_inline)
		rc = file_take_inline(f, limit);
	else if (below->kind == RECORD_DATA_HOST)
		rc = data->kind == RECORD_DATA_HOST ? file_join(f, limit)
						    : file_take_host(f, limit);
	data->base_limit =
	    is_inline ? 0 : MIN(data->base_limit, below->base_limit);
	data->lower = !is_inline && below->lower;
	return rc < 0 ? rc : file_forget(f);
}

/* B's inline data, or link's target, are looked for below B. */
static int file_lacks_inline(struct merge_file *f, bool *lacks)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	record_key_data(&key, file_into(f), f->fileid);
	rc = kv_get(f->site->kv, key.bytes, key.len, &value);
	kv_value_release(&value);
	*lacks = rc == -ENOENT;
	return *lacks ? 0 : rc;
}

int merge_file_data(struct merge_file *f)
{
	bool lacks = false;
	int rc = 0;

	if (f->into.gone)
		return merge_file_drop(f);
	if (f->into.data.lower)
		return file_unite(f);
	if (f->into.data.kind == RECORD_DATA_INLINE || S_ISLNK(f->into.mode))
		rc = file_lacks_inline(f, &lacks);
	if (rc == 0)
		rc = merge_file_drop(f);
	if (rc == 0 && lacks) {
		f->into.data.used = f->from.data.used;
		rc = file_move_inline(f);
	}
	return rc;
}
