/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bufpool: free lists threaded through the free buffers themselves.
 */
#include "nfsd/bufpool.h"

struct bufpool_buf {
	struct bufpool_buf *next;
};

static const struct {
	size_t cap;
	unsigned int keep_max;
} bufpool_size[BUFPOOL_SIZES] = {
    {BUFPOOL_SMALL, 64},
    {BUFPOOL_MIDDLE, 16},
    {BUFPOOL_LARGE, 8},
};

void bufpool_init(struct bufpool *pool, size_t bytes_max)
{
	*pool = (struct bufpool){.bytes_max = bytes_max};
}

void bufpool_fini(struct bufpool *pool)
{
	ASSERT(pool->bytes == 0);

	for (unsigned int i = 0; i < BUFPOOL_SIZES; i++) {
		while (pool->free[i]) {
			struct bufpool_buf *buf = pool->free[i];

			pool->free[i] = buf->next;
			free(buf);
		}
	}
}

uint8_t *bufpool_get(struct bufpool *pool, size_t len, size_t *cap)
{
	struct bufpool_buf *buf;
	unsigned int i = 0;

	while (i < BUFPOOL_SIZES && bufpool_size[i].cap < len)
		i++;
	if (i == BUFPOOL_SIZES ||
	    pool->bytes + bufpool_size[i].cap > pool->bytes_max)
		return NULL;
	buf = pool->free[i];
	if (buf) {
		pool->free[i] = buf->next;
		pool->free_count[i]--;
	} else {
		buf = malloc(bufpool_size[i].cap);
		if (!buf)
			return NULL;
	}
	pool->bytes += bufpool_size[i].cap;
	*cap = bufpool_size[i].cap;
	return (uint8_t *)buf;
}

void bufpool_put(struct bufpool *pool, uint8_t *buf, size_t cap)
{
	struct bufpool_buf *head = (struct bufpool_buf *)buf;
	unsigned int i = 0;

	if (!buf)
		return;
	while (i < BUFPOOL_SIZES && bufpool_size[i].cap != cap)
		i++;
	ASSERT(i < BUFPOOL_SIZES && pool->bytes >= cap);

	pool->bytes -= cap;
	if (pool->free_count[i] >= bufpool_size[i].keep_max) {
		free(buf);
		return;
	}
	head->next = pool->free[i];
	pool->free[i] = head;
	pool->free_count[i]++;
}
