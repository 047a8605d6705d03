/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_io: READ, WRITE, COMMIT: boundaries, stability, verifiers, and bytes of
 * the delta over bytes of the package (rules N-01 to N-03, N-21, N-46, N-47,
 * N-49, N-50).
 */
#include <stdio.h>

#include "tests/lib/nfsrig.h"

enum { IO_MAX = 1 << 20 };

static struct rig rig;

static int write_at(const struct raw_fh *fh, uint64_t off, const void *data,
		    uint32_t len, uint32_t stable)
{
	uint32_t committed = 99;
	uint64_t verifier;
	int rc = raw_write(&rig.raw, fh, off, data, len, stable, &committed,
			   &verifier);

	if (rc == S_OK)
		CU_ASSERT(committed >= stable && committed <= 2);
	return rc;
}

static uint64_t size_of(const struct raw_fh *fh)
{
	struct raw_attr attr = {.size = 0};

	EXPECT(raw_getattr(&rig.raw, fh, &attr), S_OK);
	return attr.size;
}

/* --- READ ---------------------------------------------------------------- */

static void read_case(const struct raw_fh *fh, const uint8_t *want,
		      uint64_t size, uint64_t off, uint32_t count, uint8_t *buf)
{
	uint64_t left = off < size ? size - off : 0;
	uint64_t expected = MIN((uint64_t)MIN(count, (uint32_t)IO_MAX), left);
	uint32_t got = 0;
	bool eof = false;

	rig_at("read %u at %llu", count, (unsigned long long)off);
	EXPECT(raw_read(&rig.raw, fh, off, count, buf, &got, &eof), S_OK);
	EXPECT(got, expected);
	EXPECT(eof, off + expected >= size);
	if (expected > 0 && got == expected)
		EXPECT(memcmp(buf, want + off, got), 0);
}

/* N-49: a table of offsets and counts over a file of either layer. */
static void t_N_49_read(void)
{
	static const uint64_t offs[] = {0,           1,
					4095,        4096,
					65535,       65536,
					131072,      RIG_BIG_LEN - 1,
					RIG_BIG_LEN, RIG_BIG_LEN + 1,
					1ull << 32};
	static const uint32_t counts[] = {
	    0,      1,      4096,       65536,    65537,
	    262144, IO_MAX, IO_MAX + 1, 1u << 31, UINT32_MAX};
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	CLEANUP_FREE uint8_t *buf = malloc(IO_MAX);
	struct raw_fh dir, fh;

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		for (size_t i = 0; i < ARRAY_LEN(offs); i++)
			for (size_t j = 0; j < ARRAY_LEN(counts); j++)
				read_case(&fh, want, RIG_BIG_LEN, offs[i],
					  counts[j], buf);
	}
	rig_at("%s", "");
}

/* Random ranges of a package file: joints of chunks are no places to fail. */
static void t_N_49_random(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	CLEANUP_FREE uint8_t *buf = malloc(IO_MAX);
	struct raw_fh dir, fh;
	uint32_t random[2];

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	for (uint64_t i = 0; i < 1000; i++) {
		check_fill(random, sizeof(random), i);
		read_case(&fh, want, RIG_BIG_LEN, random[0] % RIG_BIG_LEN,
			  random[1] % 200000, buf);
	}
	rig_at("%s", "");
}

/* --- WRITE: levels and sizes --------------------------------------------- */

/* N-01: each level with each size; what is stable is there after kill -9. */
static void t_N_01_levels(void)
{
	static const uint32_t sizes[] = {0,     1,     4095,  4096,  4097,
					 16384, 16385, 65536, IO_MAX};
	CLEANUP_FREE uint8_t *data = malloc(IO_MAX);
	struct raw_fh dir, fh[3][ARRAY_LEN(sizes)];
	char name[32];

	check_fill(data, IO_MAX, 77);
	rig_dir(&rig, &dir);
	for (uint32_t level = 0; level < 3; level++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			rig_at("level %u, %u bytes", level, sizes[i]);
			snprintf(name, sizeof(name), "f%u-%zu", level, i);
			fh[level][i] = rig_make(&rig, &dir, name, 0644, "", 0);
			EXPECT(
			    write_at(&fh[level][i], 0, data, sizes[i], level),
			    S_OK);
			CU_ASSERT(
			    rig_same(&rig.raw, &fh[level][i], data, sizes[i]));
		}
	rig_kill(&rig);
	for (uint32_t level = 1; level < 3; level++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			rig_at("after kill: level %u, %u bytes", level,
			       sizes[i]);
			CU_ASSERT(
			    rig_same(&rig.raw, &fh[level][i], data, sizes[i]));
		}
	rig_at("%s", "");
}

/* N-50: more than wtmax is cut or refused, never more than said is taken. */
static void t_N_50_too_much(void)
{
	CLEANUP_FREE uint8_t *data = malloc(IO_MAX + 1);
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	struct raw_wcc wcc;
	uint32_t count;
	int rc;

	check_fill(data, IO_MAX + 1, 5);
	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	raw_begin_write(raw, &fh, 0, data, IO_MAX + 1, 2);
	rc = raw_status(raw);
	EXPECT_ONE_OF(rc, S_OK, S_INVAL);
	if (rc == S_OK) {
		raw_get_wcc(raw, &wcc);
		count = raw_get32(raw);
		CU_ASSERT(count > 0 && count <= IO_MAX + 1);
		CU_ASSERT(rig_same(raw, &fh, data, count));
	}
}

/* N-50: count and data must agree. */
static void t_N_50_count(void)
{
	static const uint32_t counts[] = {
	    0, 1, 99, 101, 65536, IO_MAX, IO_MAX + 1, 1u << 31, UINT32_MAX};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	uint8_t data[100] = {1};

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		rig_at("count %u", counts[i]);
		raw_begin_fh(raw, P_WRITE, &fh);
		raw_put64(raw, 0);
		raw_put32(raw, counts[i]);
		raw_put32(raw, 2);
		raw_put_opaque(raw, data, sizeof(data));
		EXPECT_ONE_OF(raw_status(raw), S_INVAL, A_GARBAGE);
		EXPECT(size_of(&fh), 0);
	}
	for (uint32_t level = 3; level < 6; level++) {
		raw_begin_write(raw, &fh, 0, data, 4, level);
		EXPECT_ONE_OF(raw_status(raw), S_INVAL, A_GARBAGE);
	}
	raw_begin_write(raw, &fh, 0, data, 4, UINT32_MAX);
	EXPECT_ONE_OF(raw_status(raw), S_INVAL, A_GARBAGE);
	EXPECT(size_of(&fh), 0);
	rig_at("%s", "");
}

/* --- verifiers and COMMIT ------------------------------------------------ */

static uint64_t commit_verifier(const struct raw_fh *fh)
{
	uint64_t verifier = 0;

	EXPECT(raw_commit(&rig.raw, fh, &verifier), S_OK);
	return verifier;
}

/* N-02: one in a life, whatever the level, the file, and the call. */
static void t_N_02_equal(void)
{
	struct raw_fh dir, small, large;
	uint8_t data[20000] = {1};
	uint64_t verifier, first;
	uint32_t committed;

	rig_dir(&rig, &dir);
	small = rig_make(&rig, &dir, "s", 0644, "", 0);
	large = rig_make(&rig, &dir, "l", 0644, data, sizeof(data));
	first = commit_verifier(&small);
	for (uint32_t i = 0; i < 300; i++) {
		rig_at("write %u", i);
		EXPECT(raw_write(&rig.raw, i % 2 ? &small : &large, 100 * i,
				 data, 10, i % 10 == 0 ? 2 : 0, &committed,
				 &verifier),
		       S_OK);
		CU_ASSERT(verifier == first);
		if (i % 10 == 5)
			CU_ASSERT(commit_verifier(i % 2 ? &small : &large) ==
				  first);
	}
	rig_at("%s", "");
}

/* N-02: every restart is seen, also one that follows at once. */
static void t_N_02_restarts(void)
{
	enum { RESTARTS = 20 };
	uint64_t seen[RESTARTS], verifier;
	struct raw_fh dir, fh;
	uint32_t committed;

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "", 0);
	for (int i = 0; i < RESTARTS; i++) {
		rig_at("restart %d", i);
		EXPECT(raw_write(&rig.raw, &fh, (uint64_t)i * 8, "unstable", 8,
				 0, &committed, &verifier),
		       S_OK);
		rig_kill(&rig);
		seen[i] = commit_verifier(&fh);
		CU_ASSERT(seen[i] != verifier);
		for (int j = 0; j < i; j++)
			CU_ASSERT(seen[j] != seen[i]);
	}
	rig_at("%s", "");
}

/* N-03: what COMMIT answers for is there after kill -9, in small files and
 * large ones, over package bytes and alone. */
static void t_N_03_committed(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	struct raw_fh dir, big, file;
	uint8_t small[RIG_FILE_LEN];

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
		check_fill(small, sizeof(small), RIG_SEED_FILE);
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		big = rig_walk(&rig, &dir, "big");
		file = rig_walk(&rig, &dir, "file");
		for (uint32_t i = 0; i < 50; i++) {
			uint64_t off = (uint64_t)i * 5003;

			memset(want + off, (int)i, 777);
			EXPECT(write_at(&big, off, want + off, 777, 0), S_OK);
			memset(small + i, (int)i, 3);
			EXPECT(write_at(&file, i, small + i, 3, 0), S_OK);
		}
		commit_verifier(&big);
		commit_verifier(&file);
		rig_kill(&rig);
		CU_ASSERT(rig_same(&rig.raw, &big, want, RIG_BIG_LEN));
		CU_ASSERT(rig_same(&rig.raw, &file, small, sizeof(small)));
	}
}

/* N-03: any range will do. */
static void t_N_03_ranges(void)
{
	static const uint64_t offs[] = {
	    0, 1, 4096, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX};
	static const uint32_t counts[] = {0, 1, 4096, UINT32_MAX};
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;

	rig_dir(&rig, &dir);
	fh = rig_make(&rig, &dir, "f", 0644, "content", 7);
	for (size_t i = 0; i < ARRAY_LEN(offs); i++)
		for (size_t j = 0; j < ARRAY_LEN(counts); j++) {
			rig_at("commit %u at %llx", counts[j],
			       (unsigned long long)offs[i]);
			raw_begin_fh(raw, P_COMMIT, &fh);
			raw_put64(raw, offs[i]);
			raw_put32(raw, counts[j]);
			EXPECT(raw_status(raw), S_OK);
		}
	rig_at("%s", "");
}

/* --- the delta over the package ------------------------------------------ */

/* N-21: parts of pages, over package bytes, at every kind of place. */
static void t_N_21_partial_pages(void)
{
	static const struct {
		uint32_t off, len;
	} parts[] = {{0, 1},
		     {4095, 1},
		     {4095, 2},
		     {4096, 4096},
		     {8191, 4098},
		     {20000, 1},
		     {40000, 10000},
		     {65536, 1},
		     {131071, 2},
		     {150000, 65536},
		     {RIG_BIG_LEN - 1, 1},
		     {RIG_BIG_LEN - 5000, 5000}};
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	struct raw_fh dir, fh;

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "big");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		rig_at("%u bytes at %u", parts[i].len, parts[i].off);
		check_fill(want + parts[i].off, parts[i].len, 1000 + i);
		EXPECT(write_at(&fh, parts[i].off, want + parts[i].off,
				parts[i].len, i % 3),
		       S_OK);
		CU_ASSERT(rig_same(&rig.raw, &fh, want, RIG_BIG_LEN));
	}
	commit_verifier(&fh);
	rig_kill(&rig);
	CU_ASSERT(rig_same(&rig.raw, &fh, want, RIG_BIG_LEN));
	rig_at("%s", "");
}

/* The package itself is not touched: another guest sees the old bytes. */
static void t_N_21_package_untouched(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	struct raw_fh root, dir, fh;
	struct raw raw;
	char name[32];

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	EXPECT(daemon_cli(&rig.daemon, "guest", "add", "t/other", NULL), 0);
	ASSERT(raw_open(&raw, NULL, rig.daemon.port));
	EXPECT(raw_mount(&raw, "/t/other", &root), 0);
	rig_plot(&rig, RIG_PACKAGE, &dir);
	snprintf(name, sizeof(name), "p%02u/big", rig.plots_used - 1);
	fh = rig_walk(&rig, &dir, "big");
	EXPECT(write_at(&fh, 100, "ours", 4, 2), S_OK);
	EXPECT(raw_set_size(&rig.raw, &fh, 50000), S_OK);
	EXPECT(raw_walk(&raw, &root, name, &fh, NULL), S_OK);
	CU_ASSERT(rig_same(&raw, &fh, want, RIG_BIG_LEN));
	raw_close(&raw);
}

/* Behind the end: zeros between; a hole costs nothing. */
static void t_N_46_sparse(void)
{
	static const uint64_t offs[] = {16383,      16384,      100000,
					0x7fffffff, 0xfffffffe, 0xffffffff,
					1ull << 36, 1ull << 40};
	struct raw_fh dir, fh;
	struct raw_attr attr;
	uint8_t buf[4096], zeros[4096] = {0};
	uint32_t got;
	bool eof;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "file");
		for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
			rig_at("layer %d, offset %llx", layer,
			       (unsigned long long)offs[i]);
			EXPECT(write_at(&fh, offs[i], "end", 3, 2), S_OK);
			CU_ASSERT(size_of(&fh) == offs[i] + 3);
			EXPECT(raw_read(&rig.raw, &fh, offs[i] - 4096, 4096,
					buf, &got, &eof),
			       S_OK);
			EXPECT(got, 4096);
			if (offs[i] > 20000)
				EXPECT(memcmp(buf + 100, zeros, 3900), 0);
			EXPECT(raw_read(&rig.raw, &fh, offs[i], 4096, buf, &got,
					&eof),
			       S_OK);
			EXPECT(got, 3);
			EXPECT(eof, true);
			EXPECT(memcmp(buf, "end", 3), 0);
		}
		EXPECT(raw_getattr(&rig.raw, &fh, &attr), S_OK);
		CU_ASSERT(attr.used < 1 << 20);
	}
	rig_kill(&rig);
	CU_ASSERT(size_of(&fh) == (1ull << 40) + 3);
	rig_at("%s", "");
}

/* N-46: at the top of what an offset can be: never a wrap, never an error that
 * makes a client try for ever (INVAL does: CVE-2022-48827). */
static void t_N_46_read_top(void)
{
	static const uint64_t offs[] = {(1ull << 62),        INT64_MAX - IO_MAX,
					INT64_MAX - 4096,    INT64_MAX - 1,
					INT64_MAX,           1ull << 63,
					(1ull << 63) + 4096, UINT64_MAX - 4096,
					UINT64_MAX - 1,      UINT64_MAX};
	static const uint32_t counts[] = {0, 1, 4096, IO_MAX, UINT32_MAX};
	CLEANUP_FREE uint8_t *buf = malloc(IO_MAX);
	struct raw_fh dir, fh;
	uint32_t got;
	bool eof;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		for (size_t i = 0; i < ARRAY_LEN(offs); i++)
			for (size_t j = 0; j < ARRAY_LEN(counts); j++) {
				rig_at("read %u at %llx", counts[j],
				       (unsigned long long)offs[i]);
				EXPECT(raw_read(&rig.raw, &fh, offs[i],
						counts[j], buf, &got, &eof),
				       S_OK);
				EXPECT(got, 0);
				EXPECT(eof, true);
			}
	}
	rig_at("%s", "");
}

/* A file as long as can be: short reads at its end, with progress. */
static void t_N_46_longest_file(void)
{
	static const uint32_t before_end[] = {1,          2,      4096,
					      IO_MAX - 1, IO_MAX, IO_MAX + 1};
	CLEANUP_FREE uint8_t *buf = malloc(IO_MAX);
	struct raw_fh dir, fh;
	uint32_t got;
	bool eof;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		EXPECT(raw_set_size(&rig.raw, &fh, INT64_MAX), S_OK);
		for (size_t i = 0; i < ARRAY_LEN(before_end); i++) {
			rig_at("layer %d, %u before the end", layer,
			       before_end[i]);
			EXPECT(raw_read(&rig.raw, &fh,
					(uint64_t)INT64_MAX - before_end[i],
					IO_MAX, buf, &got, &eof),
			       S_OK);
			EXPECT(got, MIN(before_end[i], (uint32_t)IO_MAX));
			EXPECT(eof, before_end[i] <= IO_MAX);
		}
	}
	rig_at("%s", "");
}

/* Writes at the top: FBIG, or done; a host file system may end earlier. */
static void t_N_46_write_top(void)
{
	static const uint64_t too_far[] = {INT64_MAX, 1ull << 63,
					   UINT64_MAX - 4095, UINT64_MAX};
	static const uint64_t far[] = {1ull << 44, 1ull << 50, 1ull << 62,
				       INT64_MAX - 4096};
	struct raw_fh dir, fh;
	uint64_t size;

	for (int layer = 0; layer < RIG_LAYERS; layer++) {
		rig_plot(&rig, (enum rig_layer)layer, &dir);
		fh = rig_walk(&rig, &dir, "big");
		for (size_t i = 0; i < ARRAY_LEN(too_far); i++) {
			rig_at("layer %d, offset %llx", layer,
			       (unsigned long long)too_far[i]);
			EXPECT(write_at(&fh, too_far[i], "four", 4, 2), S_FBIG);
			EXPECT(size_of(&fh), RIG_BIG_LEN);
		}
		for (size_t i = 0; i < ARRAY_LEN(far); i++) {
			int rc = write_at(&fh, far[i], "four", 4, 2);

			rig_at("layer %d, offset %llx", layer,
			       (unsigned long long)far[i]);
			EXPECT_ONE_OF(rc, S_OK, S_FBIG);
			size = size_of(&fh);
			CU_ASSERT(rc == S_OK ? size == far[i] + 4
					     : size <= far[i]);
			/* The file works as before. */
			EXPECT(write_at(&fh, 0, "begin", 5, 2), S_OK);
		}
	}
	rig_at("%s", "");
}

/* N-47: no special file is ever opened; it is refused at once. */
static void t_N_47_no_file(void)
{
	struct raw *raw = &rig.raw;
	struct raw_fh dir, fh;
	uint64_t begin = check_now_ns();
	uint8_t buf[16];
	uint32_t got;
	bool eof;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	EXPECT(raw_mknod(raw, &dir, "fifo", 7, 0666, &fh), S_OK);
	EXPECT(raw_read(raw, &fh, 0, 16, buf, &got, &eof), S_INVAL);
	EXPECT(write_at(&fh, 0, "x", 1, 2), S_INVAL);
	EXPECT(raw_mknod(raw, &dir, "socket", 6, 0666, &fh), S_OK);
	EXPECT(raw_read(raw, &fh, 0, 16, buf, &got, &eof), S_INVAL);
	fh = rig_walk(&rig, &dir, "link");
	EXPECT(raw_read(raw, &fh, 0, 16, buf, &got, &eof), S_INVAL);
	EXPECT(write_at(&fh, 0, "x", 1, 2), S_INVAL);
	EXPECT_ONE_OF(raw_read(raw, &dir, 0, 16, buf, &got, &eof), S_ISDIR,
		      S_INVAL);
	EXPECT_ONE_OF(write_at(&dir, 0, "x", 1, 2), S_ISDIR, S_INVAL);
	CU_ASSERT(check_now_ns() - begin < 1000000000ull);
}

/* --- a model: fsx in small ----------------------------------------------- */

enum { MODEL_MAX = 200000, MODEL_OPS = 1200 };

struct model {
	uint8_t bytes[MODEL_MAX];
	size_t len;
	uint64_t random;
};

static uint32_t model_random(struct model *m, uint32_t below)
{
	uint32_t v;

	check_fill(&v, sizeof(v), m->random++);
	return v % below;
}

static void model_write(struct model *m, const struct raw_fh *fh, int op)
{
	uint32_t off = model_random(m, MODEL_MAX - 1);
	uint32_t len_max = op % 5 == 0 ? 60000 : 3000;
	uint32_t len = 1 + model_random(m, MIN(len_max, MODEL_MAX - off));

	if (op % 3 == 0)
		off = MIN(off, (uint32_t)m->len); /* no hole */
	check_fill(m->bytes + off, len, m->random);
	if (off > m->len)
		memset(m->bytes + m->len, 0, off - m->len);
	m->len = MAX(m->len, (size_t)off + len);
	EXPECT(write_at(fh, off, m->bytes + off, len, model_random(m, 3)),
	       S_OK);
}

static void model_size(struct model *m, const struct raw_fh *fh)
{
	uint32_t size = model_random(m, 4) ? model_random(m, MODEL_MAX)
					   : model_random(m, 20000);

	if (model_random(m, 12) == 0)
		size = 0;
	if (size > m->len)
		memset(m->bytes + m->len, 0, size - m->len);
	m->len = size;
	EXPECT(raw_set_size(&rig.raw, fh, size), S_OK);
}

static void model_read(struct model *m, const struct raw_fh *fh, uint8_t *buf)
{
	uint32_t off = model_random(m, MODEL_MAX);
	uint32_t count = model_random(m, 70000);
	size_t left = off < m->len ? m->len - off : 0;
	uint32_t got = 0;
	bool eof;

	EXPECT(raw_read(&rig.raw, fh, off, count, buf, &got, &eof), S_OK);
	EXPECT(got, MIN((size_t)count, left));
	EXPECT(memcmp(buf, m->bytes + off, got), 0);
}

static void model_run(struct model *m, const struct raw_fh *fh, uint8_t *buf)
{
	for (int op = 0; op < MODEL_OPS; op++) {
		rig_at("operation %d, size %zu", op, m->len);
		switch (model_random(m, 6)) {
		case 0:
			model_size(m, fh);
			break;
		case 1:
		case 2:
			model_write(m, fh, op);
			break;
		case 3:
			if (op % 4 == 0)
				commit_verifier(fh);
			break;
		default:
			model_read(m, fh, buf);
			break;
		}
		if (op % 100 == 0)
			CU_ASSERT(rig_same(&rig.raw, fh, m->bytes, m->len));
		if (op % 300 == 299) {
			commit_verifier(fh);
			rig_kill(&rig);
			CU_ASSERT(rig_same(&rig.raw, fh, m->bytes, m->len));
		}
	}
	rig_at("%s", "");
}

/* Random writes, truncations, reads, commits and kills against an array, over
 * a package file of 70,000 bytes and over a new file. */
static void t_N_46_model(void)
{
	static struct model m;
	CLEANUP_FREE uint8_t *buf = malloc(IO_MAX);
	struct raw_fh dir, fh;

	rig_plot(&rig, RIG_PACKAGE, &dir);
	fh = rig_walk(&rig, &dir, "one");
	m.random = 100000;
	m.len = RIG_TWO_LEN;
	check_fill(m.bytes, m.len, RIG_SEED_TWO);
	model_run(&m, &fh, buf);
	fh = rig_make(&rig, &dir, "new", 0644, "", 0);
	memset(&m, 0, sizeof(m));
	m.random = 200000;
	model_run(&m, &fh, buf);
}

static void t_ends_well(void)
{
	rig_ends_well(&rig);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}
static const struct check_test tests[] = {
    TEST(t_N_49_read),
    TEST(t_N_49_random),
    TEST(t_N_01_levels),
    TEST(t_N_50_too_much),
    TEST(t_N_50_count),
    TEST(t_N_02_equal),
    TEST(t_N_02_restarts),
    TEST(t_N_03_committed),
    TEST(t_N_03_ranges),
    TEST(t_N_21_partial_pages),
    TEST(t_N_21_package_untouched),
    TEST(t_N_46_sparse),
    TEST(t_N_46_read_top),
    TEST(t_N_46_longest_file),
    TEST(t_N_46_write_top),
    TEST(t_N_47_no_file),
    TEST(t_N_46_model),
    TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	rc = check_main("test_io", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
