/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_window: how much of a source's link a fill may use: what others leave.
 *
 * The time till the first byte of an answer says how long the way there is, and
 * how much lies before it on the link.  The shortest of the last minute is the
 * way; a fill that makes answers wait half as long again (or WINDOW_SLACK_MS
 * longer) is too much.  What is asked for at once doubles in each round trip
 * till that is met, and is halved then, at most once per round trip; from there
 * on it grows slowly.  So a guest's read finds about a round trip of the fill
 * before it at most, and a link that others fill leaves it one small range at a
 * time.  Where even that is too much, the way being short or the link slow, it
 * waits until they rest, but for one such range a second.
 */
#include "depot/fetch_window.h"

enum {
	WINDOW_START = 256 << 10,
	WINDOW_PARTS = 4, /* ranges at once, each of a part */
	WINDOW_SLACK_MS = 3,
	WINDOW_CROWDED_MS = 1000,
	WINDOW_SLOWLY = 4,     /* of it in a round trip, after the first cut */
	WINDOW_AGE_MS = 30000, /* the shortest way: of this and the last one */
};

void fetch_window_init(struct fetch_window *window)
{
	*window =
	    (struct fetch_window){.bytes = window->bytes, .max = WINDOW_START};
}

bool fetch_window_yields(const struct fetch_window *window, uint64_t now)
{
	return window->crowded_ms > 0 &&
	       now < window->crowded_ms + WINDOW_CROWDED_MS;
}

size_t fetch_window_room(const struct fetch_window *window)
{
	size_t part = MAX(window->max / WINDOW_PARTS, (size_t)FETCH_WINDOW_MIN);

	if (window->bytes == 0)
		return part;
	return window->bytes + part <= window->max ? part : 0;
}

static uint64_t window_way_ms(struct fetch_window *window, uint64_t waited_ms,
			      uint64_t now)
{
	if (window->way_since_ms == 0 ||
	    now >= window->way_since_ms + WINDOW_AGE_MS) {
		window->way_before_ms =
		    window->way_since_ms ? window->way_ms : waited_ms;
		window->way_ms = waited_ms;
		window->way_since_ms = now;
	}
	window->way_ms = MIN(window->way_ms, waited_ms);
	return MIN(window->way_ms, window->way_before_ms);
}

void fetch_window_measure(struct fetch_window *window, uint64_t started_ms,
			  uint64_t waited_ms, size_t filled, uint64_t now)
{
	uint64_t way_ms = window_way_ms(window, waited_ms, now);
	uint64_t both_ms = MIN(waited_ms, window->last_ms);

	window->last_ms = waited_ms;
	/* Twice in a row: one alone may have waited for a processor.  But what
	 * still doubles is stopped by the first. */
	if (window->cut_ms == 0)
		both_ms = waited_ms;
	if (both_ms > way_ms + MAX(way_ms / 2, (uint64_t)WINDOW_SLACK_MS)) {
		/* What was asked for before the last cut tells of that. */
		if (window->bytes == 0 || started_ms < window->cut_ms)
			return;
		if (window->max == FETCH_WINDOW_MIN)
			window->crowded_ms = now;
		window->max = MAX(window->max / 2, (size_t)FETCH_WINDOW_MIN);
		window->cut_ms = now;
		return;
	}
	/* Only a window that was used has been found to do no harm. */
	if (window->bytes < window->max / WINDOW_PARTS)
		return;
	if (window->cut_ms > 0)
		filled /= WINDOW_SLOWLY;
	window->max = MIN(window->max + filled, (size_t)FETCH_WINDOW_MAX);
}
