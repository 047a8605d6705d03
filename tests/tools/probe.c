/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: does the time of a first read tell whether the same bytes are on the
 * host already, for somebody else (T-40)?
 *
 *   probe PORT EXPORT LIST
 *
 * LIST has lines "0 PATH" (nobody has these bytes) and "1 PATH" (somebody has).
 * Each file's beginning is read once, alone, in an order drawn by lot, and the
 * two samples of times are compared by rank (Mann and Whitney), two-sided.
 * Prints medians and p; the exit status is 0 for whatever it finds.
 */
#include <math.h>
#include <stdio.h>

#include "tests/lib/check.h"
#include "tests/lib/corruption.h"
#include "tests/lib/rawnfs.h"

enum { PROBE_READ = 4096, PROBES_MAX = 100000, PROBE_JUKEBOX = 10008 };

struct probe {
	char path[120];
	bool present;
	double us;
};

static struct probe probes[PROBES_MAX];
static size_t probe_count;

static void probe_load(const char *path)
{
	FILE *file = fopen(path, "re");
	int present;

	ASSERT(file);
	while (probe_count < PROBES_MAX &&
	       fscanf(file, "%d %119s", &present, probes[probe_count].path) ==
		   2)
		probes[probe_count++].present = present;
	fclose(file);
}

static void probe_shuffle(uint64_t random)
{
	for (size_t i = probe_count; i > 1; i--) {
		size_t j = corruption_random(&random) % i;
		struct probe kept = probes[i - 1];

		probes[i - 1] = probes[j];
		probes[j] = kept;
	}
}

/* Looking it up is no part of it: names are here for everybody. */
static bool probe_one(struct raw *raw, const struct raw_fh *root,
		      struct probe *probe)
{
	uint8_t buf[PROBE_READ];
	struct raw_attr attr;
	struct raw_fh fh;
	uint64_t begin;
	uint32_t got;
	int status;
	bool eof;

	if (raw_walk(raw, root, probe->path, &fh, &attr) != 0)
		return false;
	begin = check_now_ns();
	do {
		status = raw_read(raw, &fh, 0, sizeof(buf), buf, &got, &eof);
	} while (status == PROBE_JUKEBOX);
	probe->us = (double)(check_now_ns() - begin) / 1000;
	return status == 0 && got > 0;
}

/* --- the two samples ----------------------------------------------------- */

static int probe_by_time(const void *a, const void *b)
{
	const struct probe *x = a, *y = b;

	return x->us < y->us ? -1 : x->us > y->us;
}

static double probe_median(bool present, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < probe_count; i++)
		if (probes[i].present == present && at++ == count / 2)
			return probes[i].us;
	return 0;
}

/* Sorted.  Normal approximation, equal times sharing their ranks. */
static double probe_p(size_t n0, size_t n1, double *z)
{
	double rank_sum = 0, ties = 0, n = (double)probe_count, mean, variance;
	size_t end;

	for (size_t i = 0; i < probe_count; i = end) {
		for (end = i;
		     end < probe_count && probes[end].us == probes[i].us;)
			end++;
		for (size_t k = i; k < end; k++)
			if (probes[k].present)
				rank_sum += ((double)i + 1 + (double)end) / 2;
		ties += pow((double)(end - i), 3) - (double)(end - i);
	}
	mean = (double)n1 * (n + 1) / 2;
	variance =
	    (double)n0 * (double)n1 / 12 * (n + 1 - ties / (n * (n - 1)));
	*z = (rank_sum - mean) / sqrt(variance);
	return erfc(fabs(*z) / sqrt(2));
}

int main(int argc, char **argv)
{
	size_t present = 0, absent;
	struct raw_fh root;
	struct raw raw;
	double z, p;

	if (argc != 4)
		return 2;
	probe_load(argv[3]);
	probe_shuffle(check_now_ns() | 1);
	ASSERT(raw_open(&raw, "127.0.0.1", atoi(argv[1])));
	ASSERT(raw_mount(&raw, argv[2], &root) == 0);
	for (size_t i = 0; i < probe_count; i++) {
		ASSERT(probe_one(&raw, &root, &probes[i]));
		present += probes[i].present;
	}
	raw_close(&raw);
	absent = probe_count - present;
	ASSERT(present > 0 && absent > 0);
	qsort(probes, probe_count, sizeof(*probes), probe_by_time);
	p = probe_p(absent, present, &z);
	printf("n=%zu median_absent_us=%.0f median_present_us=%.0f z=%.2f "
	       "p=%.4g\n",
	       probe_count, probe_median(false, absent),
	       probe_median(true, present), z, p > 1e-99 ? p : 1e-99);
	return 0;
}
