/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_below: a file whose bytes lie in several layers.
 *
 * The top layer's host file has the pages that were written since the last
 * snapshot; a page that it lacks is the file's as the next layer below has it,
 * as far as that one is still seen (base_limit), and so on down to the package.
 */
#include "depot/io.h"
#include "depot/log.h"
#include "overlay/view_impl.h"

static void below_free(struct node_below *b)
{
	base_close_ptr(&b->fd);
	pages_free(&b->pages);
	free(b->inline_buf);
}

void node_below_close(struct node *node)
{
	for (unsigned int i = 0; i < node->below_count; i++)
		below_free(&node->below[i]);
	free(node->below);
	node->below = NULL;
	node->below_count = 0;
}

/* The file as one frozen layer has it; false in *more: nothing below counts. */
static int below_open(struct view *view, uint64_t fileid, unsigned int level,
		      uint64_t *limit, struct node_below *b, bool *more)
{
	const struct layer *layer = view->layer[level];
	struct record rec;
	int rc = record_load(view->kv, layer->id, fileid, &rec);

	*b = (struct node_below){.limit = *limit, .fd = -1};
	if (rc < 0)
		return rc;
	b->limit = *limit = MIN(*limit, rec.data.size);
	if (rec.data.kind == RECORD_DATA_HOST) {
		rc = data_open(view, &rec.data, &b->fd);
		if (rc == 0)
			rc =
			    node_load_pages(view, layer->id, fileid, &b->pages);
	} else if (rec.data.kind == RECORD_DATA_INLINE) {
		b->inline_buf = malloc(RECORD_INLINE_MAX);
		rc = b->inline_buf
			 ? inline_get_from(view, level, fileid, b->inline_buf,
					   &b->inline_len)
			 : -ENOMEM;
	}
	*limit = MIN(*limit, rec.data.base_limit);
	*more = rec.data.kind != RECORD_DATA_INLINE && rec.data.lower;
	if (rec.data.kind == RECORD_DATA_INLINE)
		*limit = 0;
	return rc;
}

int node_below_open(struct view *view, struct node *node, unsigned int level)
{
	uint64_t limit = node->rec.data.base_limit;
	bool more = node->rec.data.lower;
	int rc = 0;

	node->base_seen = limit;
	if (!more)
		return 0;
	node->below = calloc(view->layer_count, sizeof(*node->below));
	if (!node->below)
		return -ENOMEM;
	for (; rc == 0 && more && level < view->layer_count; level++) {
		struct node_below *b = &node->below[node->below_count];

		if (!idset_has(&view->layer[level]->recorded, node->fileid))
			continue;
		node->below_count++;
		rc = below_open(view, node->fileid, level, &limit, b, &more);
	}
	if (rc == 0 && more)
		rc = log_err(-EIO, "delta %s: %llx lacks a layer",
			     view->info.path, (unsigned long long)node->fileid);
	if (rc < 0)
		node_below_close(node);
	node->base_seen = limit;
	return rc;
}

struct node_source node_source(const struct node *node, uint64_t page)
{
	uint64_t start = page * RECORD_PAGE;
	uint64_t seen = node->rec.data.base_limit;

	if (pages_has(&node->pages, page))
		return (struct node_source){NODE_HERE, UINT64_MAX, NULL};
	for (unsigned int i = 0; i < node->below_count; i++) {
		const struct node_below *b = &node->below[i];

		seen = MIN(seen, b->limit);
		if (start >= seen)
			return (struct node_source){NODE_ZERO, 0, NULL};
		if (b->inline_buf || pages_has(&b->pages, page))
			return (struct node_source){NODE_BELOW, seen, b};
	}
	seen = MIN(seen, node->base_seen);
	if (start >= seen)
		return (struct node_source){NODE_ZERO, 0, NULL};
	return (struct node_source){NODE_BASE, seen, NULL};
}

uint64_t node_source_end(const struct node *node, uint64_t page, uint64_t end)
{
	struct node_source first = node_source(node, page);

	if (node->below_count == 0)
		return pages_run_end(&node->pages, page, end);
	while (++page < end) {
		struct node_source next = node_source(node, page);

		if (next.kind != first.kind || next.below != first.below)
			break;
	}
	return page;
}

int node_below_read(const struct node_source *source, uint8_t *buf, size_t len,
		    uint64_t off, bool may_block)
{
	const struct node_below *b = source->below;
	uint64_t end = MAX(off, MIN(off + len, source->seen));
	size_t seen = end - off;

	memset(buf + seen, 0, len - seen);
	if (seen == 0)
		return 0;
	if (!b->inline_buf)
		return host_pread(b->fd, buf, seen, off, may_block);
	memset(buf, 0, seen);
	if (off < b->inline_len)
		memcpy(buf, b->inline_buf + off,
		       MIN(seen, b->inline_len - off));
	return 0;
}
