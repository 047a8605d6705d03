/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fetch_window: a link in numbers, with a fill on it alone, beside others
 * and after them: how much of the link it gets, and how long the way there is.
 */
#include <stdio.h>

#include "depot/fetch_window.h"
#include "tests/lib/check.h"

/* One link with a queue before it; time in ms. */
struct link {
	struct fetch_window window;
	double rate;  /* bytes a ms */
	double way;   /* ms there and back */
	double queue; /* bytes that wait before the link */
	double now;
};

enum { RANGES_MAX = 64 };

struct range {
	double started, first, end;
	size_t len;
};

/* A range asked for now: when its first and last byte come. */
static struct range link_ask(struct link *link, size_t len)
{
	struct range range = {.started = link->now, .len = len};

	range.first = link->now + link->way + link->queue / link->rate;
	link->queue += (double)len;
	range.end = link->now + link->way + link->queue / link->rate;
	return range;
}

static void link_pass(struct link *link, double ms)
{
	link->now += ms;
	link->queue -= MIN(link->queue, ms * link->rate);
}

static void link_land(struct link *link, const struct range *range, bool fill)
{
	fetch_window_measure(&link->window, (uint64_t)(1000 + range->started),
			     (uint64_t)(range->first - range->started + 0.5),
			     fill ? range->len : 0,
			     (uint64_t)(1000 + link->now));
	if (fill)
		link->window.bytes -= range->len;
}

/*
 * So many ms of a fill, and of others that put `other` bytes a ms on the link.
 * Returns the fill's part of the link in percent; *wait_ms: how long a guest's
 * read found the way, at most, in the second half.
 */
static unsigned int link_run(struct link *link, double ms, double other,
			     double *wait_ms)
{
	double until = link->now + ms, from = link->now, filled = 0;
	struct range range[RANGES_MAX];
	unsigned int count = 0;
	size_t room;

	*wait_ms = 0;
	for (; link->now < until; link_pass(link, 0.5)) {
		link->queue += other * 0.5;
		for (unsigned int i = 0; i < count;) {
			if (range[i].end > link->now) {
				i++;
				continue;
			}
			link_land(link, &range[i], true);
			filled += (double)range[i].len;
			range[i] = range[--count];
		}
		while (count < RANGES_MAX &&
		       (room = fetch_window_room(&link->window)) > 0) {
			range[count++] = link_ask(link, room);
			link->window.bytes += room;
		}
		if (link->now > from + ms / 2)
			*wait_ms =
			    MAX(*wait_ms, link->way + link->queue / link->rate);
	}
	/* What is under way lands. */
	while (count > 0) {
		link_pass(link, MAX(range[count - 1].end - link->now, 0.0));
		link_land(link, &range[--count], true);
	}
	return (unsigned int)(100 * filled / (ms * link->rate));
}

static struct link link_of(double mbit, double way)
{
	struct link link = {.rate = mbit * 125, .way = way};

	fetch_window_init(&link.window);
	return link;
}

/* Alone it gets nearly all, and does not lengthen the way to more than twice
 * itself, or by one small range. */
static void test_alone(void)
{
	static const struct {
		double mbit, way;
		unsigned int least; /* percent of the link */
	} links[] = {{1000, 20, 80}, {1000, 1, 80}, {100, 20, 70},
		     {100, 1, 70},   {10, 20, 60},  {1000, 100, 45}};

	for (unsigned int i = 0; i < ARRAY_LEN(links); i++) {
		struct link link = link_of(links[i].mbit, links[i].way);
		double wait_ms, small = FETCH_WINDOW_MIN / link.rate;
		unsigned int part = link_run(&link, 5000, 0, &wait_ms);

		printf("  %4.0f Mbit/s, %3.0f ms: %u %% of the link, a read "
		       "waits %.1f ms at most\n",
		       links[i].mbit, links[i].way, part, wait_ms);
		CU_ASSERT(part >= links[i].least);
		CU_ASSERT(wait_ms <=
			  2.5 * links[i].way + MAX(small, 5.0) * 2 + 3);
	}
}

/* Others fill the link: it goes down to one small range at a time, and comes
 * back when they have gone. */
static void test_beside_others(void)
{
	struct link link = link_of(100, 20);
	unsigned int part, beside;
	double wait_ms;

	part = link_run(&link, 3000, 0, &wait_ms);
	link.queue = 0;
	beside = link_run(&link, 3000, link.rate * 1.1, &wait_ms);
	printf("  beside others %u %%, alone %u %%\n", beside, part);
	CU_ASSERT(beside < 20);
	CU_ASSERT(beside > 0);
	CU_ASSERT_EQUAL(link.window.max, FETCH_WINDOW_MIN);
	link.queue = 0;
	CU_ASSERT(link_run(&link, 3000, 0, &wait_ms) > part / 2);
}

/* A guest's answers alone make it neither larger nor smaller. */
static void test_reads_only(void)
{
	struct fetch_window window = {0};
	size_t before;

	fetch_window_init(&window);
	before = window.max;
	for (uint64_t i = 1; i < 1000; i++)
		fetch_window_measure(&window, 10 * i, i % 7 == 0 ? 50 : 1, 0,
				     10 * i + 1);
	CU_ASSERT_EQUAL(window.max, before);
	CU_ASSERT(fetch_window_room(&window) > 0);
}

/* A way that has become longer is learnt within a minute. */
static void test_longer_way(void)
{
	struct link link = link_of(1000, 5);
	double wait_ms;

	link_run(&link, 2000, 0, &wait_ms);
	link.way = 60;
	link_run(&link, 70000, 0, &wait_ms);
	CU_ASSERT(link.window.max > FETCH_WINDOW_MIN);
	CU_ASSERT(link_run(&link, 5000, 0, &wait_ms) > 50);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"a fill alone", test_alone},
	    {"a fill beside others", test_beside_others},
	    {"reads only", test_reads_only},
	    {"a way that becomes longer", test_longer_way},
	};

	return check_main("test_fetch_window", tests, ARRAY_LEN(tests));
}
