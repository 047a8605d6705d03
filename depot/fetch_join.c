/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_join: greedy, from the seed to both sides, upward first: programs read
 * forward.
 */
#include "depot/fetch_join.h"

static int fetch_place_compare(const void *a, const void *b)
{
	const struct fetch_place *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->len < y->len ? -1 : x->len > y->len;
}

struct fetch_span {
	uint64_t start, end, gaps;
};

/* The span with one more place; false: that would be too much. */
static bool fetch_span_add(struct fetch_span *span,
			   const struct fetch_place *place, uint32_t max)
{
	uint64_t start = place->off, end = start + place->len, gap = 0;
	struct fetch_span wide = {
	    .start = MIN(span->start, start),
	    .end = MAX(span->end, end),
	};

	if (start > span->end)
		gap = start - span->end;
	else if (end < span->start)
		gap = span->start - end;
	wide.gaps = span->gaps + gap;
	if (gap > FETCH_JOIN_GAP_MAX || wide.end - wide.start > max ||
	    wide.gaps * 100 > (wide.end - wide.start) * FETCH_JOIN_GAPS_PERCENT)
		return false;
	*span = wide;
	return true;
}

void fetch_join(struct fetch_place *places, unsigned int count,
		unsigned int seed, uint32_t max, struct fetch_range *range)
{
	struct fetch_place from = places[seed];
	unsigned int first = 0, last, before;
	struct fetch_span span = {from.off, (uint64_t)from.off + from.len, 0};

	ASSERT(seed < count);

	qsort(places, count, sizeof(*places), fetch_place_compare);
	while (places[first].owner != from.owner ||
	       places[first].off != from.off)
		first++;
	last = first;
	/* A gap that is too wide for a short range may do for a longer one. */
	do {
		before = last - first;
		while (last + 1 < count &&
		       fetch_span_add(&span, &places[last + 1], max))
			last++;
		while (first > 0 &&
		       fetch_span_add(&span, &places[first - 1], max))
			first--;
	} while (last - first != before);
	range->off = (uint32_t)span.start;
	range->len = (uint32_t)(span.end - span.start);
	range->first = first;
	range->count = last - first + 1;
}
