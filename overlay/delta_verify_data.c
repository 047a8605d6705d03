/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify_data: the bytes of one file of one layer: is where they should
 * be what should be there?  See delta_verify.h.
 */
#include <stdarg.h>
#include <stdio.h>

#include "depot/io.h"
#include "overlay/delta_verify.h"

void found(struct findings *f, bool problem, const char *fmt, ...)
{
	va_list args;

	if (f->count == FINDINGS_MAX)
		return;
	f->item[f->count].problem = problem;
	va_start(args, fmt);
	vsnprintf(f->item[f->count++].what, FINDING_LEN, fmt, args);
	va_end(args);
}

static unsigned long long layer_id(const struct view *view, unsigned int level)
{
	return view->layer[level]->id;
}

/* --- host files ---------------------------------------------------------- */

/* A record and its host file, while they are compared. */
struct host_look {
	struct view *view;
	struct findings *f;
	char who[96]; /* the file, in words */
	const struct record_data_state *data;
	const struct node *node; /* ahead of the record, or NULL */
	struct pages pages;
	int fd; /* owns */
	uint64_t length;
};

static uint64_t pages_last(const struct pages *pages)
{
	for (uint32_t i = pages->count; i-- > 0;)
		for (uint32_t bit = RECORD_PIECE_PAGES; bit-- > 0;)
			if (pages->piece[i].bits[bit / 8] >> (bit % 8) & 1)
				return (uint64_t)pages->piece[i].number *
					   RECORD_PIECE_PAGES +
				       bit;
	return UINT64_MAX;
}

/* Present pages that are holes read as zeros: nothing was lost if they were
 * zeros when they were written, as after a copy by cp. */
static int host_count_holes(struct host_look *h, uint64_t *holes)
{
	uint64_t from = 0, to = 0;
	int rc = 0;

	*holes = 0;
	for (uint32_t i = 0; rc == 0 && i < h->pages.count; i++) {
		const struct pages_piece *piece = &h->pages.piece[i];

		for (uint32_t b = 0; rc == 0 && b < RECORD_PIECE_PAGES; b++) {
			uint64_t at =
			    ((uint64_t)piece->number * RECORD_PIECE_PAGES + b) *
			    RECORD_PAGE;

			if (!(piece->bits[b / 8] >> (b % 8) & 1))
				continue;
			if (to <= at && from != UINT64_MAX)
				rc = io_next_data(h->fd, at, &from, &to);
			*holes += from >= at + RECORD_PAGE;
		}
	}
	return rc;
}

/* Pages with data that nothing says are there; what a cut under way will take
 * away does not count. */
static int host_count_strays(struct host_look *h, uint64_t *strays)
{
	uint64_t end = MIN(h->data->cut, h->length);
	uint64_t from = 0, to = 0;
	int rc = 0;

	*strays = 0;
	while (rc == 0 && to < end) {
		rc = io_next_data(h->fd, to, &from, &to);
		for (uint64_t at = from; rc == 0 && at < MIN(to, end);
		     at = (at / RECORD_PAGE + 1) * RECORD_PAGE)
			*strays += !pages_has(&h->pages, at / RECORD_PAGE) &&
				   !(h->node && pages_has(&h->node->pages,
							  at / RECORD_PAGE));
	}
	return rc;
}

static int host_compare(struct host_look *h, uint64_t last)
{
	uint64_t size = h->data->size, holes, strays = 0;
	int rc;

	if (h->node)
		size = MAX(size, h->node->rec.data.size);
	if (last != UINT64_MAX && h->length <= last * RECORD_PAGE)
		found(h->f, true,
		      "%s: its host file ends at byte %llu, before pages that "
		      "should be in it",
		      h->who, (unsigned long long)h->length);
	if (h->data->cut == RECORD_NO_CUT &&
	    h->length > (size + RECORD_PAGE - 1) / RECORD_PAGE * RECORD_PAGE)
		found(h->f, false,
		      "%s: its host file is longer than its %llu bytes; it is "
		      "cut when it is opened next",
		      h->who, (unsigned long long)size);
	rc = host_count_holes(h, &holes);
	if (rc == 0)
		rc = host_count_strays(h, &strays);
	if (rc < 0)
		return rc;
	if (holes > 0)
		found(h->f, false,
		      "%s: %llu pages that should be in its host file are "
		      "holes, so they read as zeros",
		      h->who, (unsigned long long)holes);
	if (strays > 0)
		found(h->f, false,
		      "%s: its host file has data in %llu pages that are not "
		      "used",
		      h->who, (unsigned long long)strays);
	return 0;
}

static int host_open(struct host_look *h)
{
	char path[640];
	struct stat st;
	int rc;

	data_path(h->view, h->data->layer, h->data->data_id, path,
		  sizeof(path));
	rc = io_open(path, false, &h->fd);
	if (rc == 0 && fstat(h->fd, &st) < 0)
		rc = -errno;
	if (rc == 0)
		h->length = (uint64_t)st.st_size;
	else
		found(h->f, true, "%s: host file %s: %s", h->who, path,
		      strerror(-rc));
	return rc;
}

static void host_close(struct host_look *h)
{
	base_close_ptr(&h->fd);
	pages_free(&h->pages);
}

static int look_host(struct view *view, unsigned int level, uint64_t fileid,
		     const struct record *rec, struct findings *f)
{
	CLEANUP(host_close)
	struct host_look h = {
	    .view = view, .f = f, .data = &rec->data, .fd = -1};
	uint64_t last;
	int rc;

	snprintf(h.who, sizeof(h.who), "file %llx, layer %llu",
		 (unsigned long long)fileid, layer_id(view, level));
	if (level == 0)
		h.node = node_find(view, fileid);
	rc = pages_load(&h.pages, view->kv, layer_id(view, level), fileid);
	if (rc == -ENOMEM || rc == -EIO)
		return rc;
	if (rc < 0) {
		found(f, true, "%s: its presence bits are damaged", h.who);
		return 0;
	}
	last = pages_last(&h.pages);
	if (last != UINT64_MAX && last * RECORD_PAGE >= rec->data.size)
		found(f, true, "%s: presence bits beyond its %llu bytes", h.who,
		      (unsigned long long)rec->data.size);
	if (pages_count(&h.pages) * RECORD_PAGE != rec->data.used)
		found(f, true,
		      "%s: %llu pages are present, but %llu bytes used", h.who,
		      (unsigned long long)pages_count(&h.pages),
		      (unsigned long long)rec->data.used);
	return host_open(&h) < 0 ? 0 : host_compare(&h, last);
}

/* --- one record ---------------------------------------------------------- */

static int look_inline(struct view *view, unsigned int level, uint64_t fileid,
		       const struct record *rec, struct findings *f)
{
	uint8_t buf[RECORD_INLINE_MAX];
	struct record_key key;
	struct kv_value value;
	size_t len = 0;
	int rc;

	record_key_data(&key, layer_id(view, level), fileid);
	rc = kv_get(view->kv, key.bytes, key.len, &value);
	if (rc == 0)
		len = value.len;
	kv_value_release(&value);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	/* A link's target is not counted. */
	if (!S_ISLNK(rec->mode) && len != rec->data.used)
		found(f, true,
		      "file %llx, layer %llu: %zu bytes are in the database, "
		      "but %llu used",
		      (unsigned long long)fileid, layer_id(view, level), len,
		      (unsigned long long)rec->data.used);
	/* A record that was only copied up has none: a layer below has. */
	else if (inline_get_from(view, level, fileid, buf, &len) < 0)
		found(f, true, "file %llx, layer %llu: its data are missing",
		      (unsigned long long)fileid, layer_id(view, level));
	if (len > rec->data.size)
		found(f, true,
		      "file %llx, layer %llu: %zu bytes of data, but its size "
		      "is %llu",
		      (unsigned long long)fileid, layer_id(view, level), len,
		      (unsigned long long)rec->data.size);
	return 0;
}

static void look_base(struct view *view, unsigned int level, uint64_t fileid,
		      const struct record *rec, struct findings *f)
{
	struct tree *tree = inode_base(view, rec);
	struct tree_inode base = {.mode = 0};

	if (!rec->has_base)
		return;
	if (tree && rec->base_inode < tree_inode_count(tree))
		tree_inode_get(tree, rec->base_inode, &base);
	if ((base.mode & S_IFMT) != (rec->mode & S_IFMT) ||
	    (!rec->data.lower && rec->data.base_limit > base.size))
		found(f, true,
		      "file %llx, layer %llu: its record does not fit the "
		      "package it is from",
		      (unsigned long long)fileid, layer_id(view, level));
}

int verify_data(struct view *view, unsigned int level, uint64_t fileid,
		const struct record *rec, struct findings *f)
{
	look_base(view, level, fileid, rec, f);
	if (rec->data.kind == RECORD_DATA_HOST)
		return look_host(view, level, fileid, rec, f);
	if (rec->data.kind == RECORD_DATA_INLINE ||
	    (S_ISLNK(rec->mode) && (fileid & RECORD_BORN)))
		return look_inline(view, level, fileid, rec, f);
	if (rec->data.used != 0)
		found(f, true,
		      "file %llx, layer %llu: no data, but %llu bytes used",
		      (unsigned long long)fileid, layer_id(view, level),
		      (unsigned long long)rec->data.used);
	return 0;
}
