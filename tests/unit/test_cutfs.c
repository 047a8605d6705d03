/* SPDX-License-Identifier: Apache-2.0 */
/* test_cutfs: the disk of the power-cut test loses what it may, and no more. */
#include <fcntl.h>
#include <stdio.h>

#include "depot/io.h"
#include "tests/lib/check.h"
#include "tests/lib/cutfs.h"
#include "tests/lib/cutlog.h"
#include "tests/lib/tmpdir.h"

enum { SEEDS = 60, LOG_MAX = 1 << 20 };

static uint8_t log_bytes[LOG_MAX];
static uint64_t log_len;

static void put(enum cutlog_type type, int fd, uint64_t off, uint64_t value,
		const void *data, size_t len)
{
	struct cutlog_entry e = {
	    .magic = CUTLOG_MAGIC,
	    .type = type,
	    .fd = fd,
	    .flags = O_CREAT,
	    .off = off,
	    .value = value,
	    .len = (uint32_t)len,
	};

	memcpy(log_bytes + log_len, &e, sizeof(e));
	if (len > 0)
		memcpy(log_bytes + log_len + sizeof(e), data, len);
	log_len += sizeof(e) + CUTLOG_PADDED(len);
}

static void put_path(enum cutlog_type type, int fd, const char *path)
{
	put(type, fd, 0, 0, path, strlen(path) + 1);
}

static void put_bytes(int fd, uint64_t off, int byte, size_t len)
{
	static uint8_t bytes[65536];

	memset(bytes, byte, len);
	put(CUTLOG_WRITE, fd, off, 0, bytes, len);
}

static void put_sync(int fd)
{
	put(CUTLOG_SYNC, fd, 0, log_len, NULL, 0);
}

/* The root is descriptor 3; "f" 4, both synced with 8192 times 'a'. */
static void put_synced_file(void)
{
	log_len = 0;
	put(CUTLOG_START, 0, 0, 0, NULL, 0);
	put_path(CUTLOG_OPEN, 3, "/");
	put_path(CUTLOG_OPEN, 4, "/f");
	put_bytes(4, 0, 'a', 8192);
	put_sync(4);
	put_sync(3);
}

struct state {
	char *dir;      /* owns */
	uint8_t *bytes; /* owns: of the file asked for; NULL: not there */
	size_t len;
};

static void state_make(struct state *s, enum cutfs_style style, uint64_t seed,
		       const char *name)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *root = tmpdir_path(dir, "root");
	CLEANUP_FREE char *path = tmpdir_path(root, name);
	struct cutfs *fs = cutfs_new(log_bytes, log_len);
	void *bytes;

	*s = (struct state){0};
	CU_ASSERT(cutfs_play(fs, UINT64_MAX));
	CU_ASSERT(cutfs_write(fs, root, style, seed));
	CU_ASSERT_STRING_EQUAL(cutfs_trouble(fs), "");
	if (io_read_file(path, LOG_MAX, &bytes, &s->len) == 0)
		s->bytes = bytes;
	cutfs_free(fs);
}

static bool all_are(const struct state *s, size_t from, size_t to, int byte)
{
	for (size_t i = from; i < to; i++)
		if (s->bytes[i] != byte)
			return false;
	return true;
}

static void test_synced_stays(void)
{
	struct state s;

	put_synced_file();
	for (int i = 0; i < SEEDS; i++) {
		state_make(&s, (enum cutfs_style)(i % CUTFS_STYLES),
			   (uint64_t)i, "f");
		CU_ASSERT_FATAL(s.bytes != NULL);
		CU_ASSERT(s.len == 8192 && all_are(&s, 0, 8192, 'a'));
		free(s.bytes);
	}
}

/* A write after the sync was asked for is not covered when it returns. */
static void test_sync_covers_what_was(void)
{
	uint64_t asked;
	struct state s;

	put_synced_file();
	asked = log_len;
	put_bytes(4, 0, 'b', 8192);
	put(CUTLOG_SYNC, 4, 0, asked, NULL, 0);
	state_make(&s, CUTFS_NOTHING, 1, "f");
	CU_ASSERT(s.bytes && all_are(&s, 0, 8192, 'a'));
	free(s.bytes);
	state_make(&s, CUTFS_DATA, 1, "f");
	CU_ASSERT(s.bytes && all_are(&s, 0, 8192, 'b'));
	free(s.bytes);
	put_sync(4);
	state_make(&s, CUTFS_NOTHING, 1, "f");
	CU_ASSERT(s.bytes && all_are(&s, 0, 8192, 'b'));
	free(s.bytes);
}

static void test_pages_and_sectors(void)
{
	int mixed = 0, torn = 0;
	struct state s;

	put_synced_file();
	put_bytes(4, 0, 'b', 8192);
	for (int i = 0; i < SEEDS; i++) {
		state_make(&s, CUTFS_LOTS, (uint64_t)i, "f");
		CU_ASSERT_FATAL(s.bytes && s.len == 8192);
		for (size_t at = 0; at < 8192; at += 512)
			CU_ASSERT(all_are(&s, at, at + 512, s.bytes[at]));
		mixed += s.bytes[0] != s.bytes[4096];
		torn += s.bytes[4096] != s.bytes[8191];
		free(s.bytes);
	}
	CU_ASSERT(mixed > 0 && mixed < SEEDS);
	CU_ASSERT(torn > 0 && torn < SEEDS);
}

/* A name needs a sync of its directory, and a directory's name does not. */
static void test_names(void)
{
	struct state s;

	put_synced_file();
	put_path(CUTLOG_MKDIR, 0, "/d");
	put_path(CUTLOG_OPEN, 5, "/d");
	put_path(CUTLOG_OPEN, 6, "/d/new");
	put_bytes(6, 0, 'n', 10);
	put_sync(6);
	state_make(&s, CUTFS_NOTHING, 1, "d/new");
	CU_ASSERT(!s.bytes);
	state_make(&s, CUTFS_NAMES, 1, "d/new");
	CU_ASSERT(s.bytes && s.len == 10);
	free(s.bytes);
	put_sync(5);
	state_make(&s, CUTFS_NOTHING, 1, "d/new");
	CU_ASSERT(s.bytes && s.len == 10 && all_are(&s, 0, 10, 'n'));
	free(s.bytes);
	put_path(CUTLOG_UNLINK, 0, "/d/new");
	state_make(&s, CUTFS_NOTHING, 1, "d/new");
	CU_ASSERT(s.bytes != NULL);
	free(s.bytes);
	put_sync(5);
	state_make(&s, CUTFS_NOTHING, 1, "d/new");
	CU_ASSERT(!s.bytes);
}

static void test_rename_is_whole(void)
{
	static const char words[] = "/f\0/g";
	int old = 0, new = 0;

	put_synced_file();
	put(CUTLOG_RENAME, 0, 0, 0, words, sizeof(words));
	for (int i = 0; i < SEEDS; i++) {
		struct state f, g;

		state_make(&f, CUTFS_LOTS, (uint64_t)i, "f");
		state_make(&g, CUTFS_LOTS, (uint64_t)i, "g");
		CU_ASSERT((f.bytes != NULL) != (g.bytes != NULL));
		old += f.bytes != NULL;
		new += g.bytes != NULL;
		free(f.bytes);
		free(g.bytes);
	}
	CU_ASSERT(old > 0 && new > 0);
}

/* What a truncation cut off does not come back with a growth. */
static void test_truncations(void)
{
	int seen[3] = {0};

	put_synced_file();
	put(CUTLOG_TRUNCATE, 4, 100, 0, NULL, 0);
	put(CUTLOG_TRUNCATE, 4, 6000, 0, NULL, 0);
	for (int i = 0; i < SEEDS; i++) {
		struct state s;

		state_make(&s, CUTFS_LOTS, (uint64_t)i, "f");
		CU_ASSERT_FATAL(s.bytes != NULL);
		CU_ASSERT(all_are(&s, 0, 100, 'a'));
		if (s.len == 8192)
			seen[0] += all_are(&s, 0, 8192, 'a');
		else if (s.len == 100)
			seen[1]++;
		else if (s.len == 6000)
			seen[2] += all_are(&s, 100, 6000, 0);
		free(s.bytes);
	}
	CU_ASSERT(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
	CU_ASSERT(seen[0] + seen[1] + seen[2] == SEEDS);
}

/* It tells a directory that the log does not explain. */
static void test_compare(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	CLEANUP_FREE char *root = tmpdir_path(dir, "root");
	CLEANUP_FREE char *path = tmpdir_path(root, "f");
	struct cutfs *fs;

	put_synced_file();
	put_bytes(4, 100, 'b', 10);
	fs = cutfs_new(log_bytes, log_len);
	CU_ASSERT(cutfs_play(fs, UINT64_MAX));
	CU_ASSERT(cutfs_write(fs, root, CUTFS_DATA, 1));
	CU_ASSERT(cutfs_same(fs, root));
	CU_ASSERT(io_replace_file(path, "x", 1) == 0);
	CU_ASSERT(!cutfs_same(fs, root));
	cutfs_free(fs);
	put_path(CUTLOG_BAD, 0, "a call");
	fs = cutfs_new(log_bytes, log_len);
	CU_ASSERT(!cutfs_play(fs, UINT64_MAX));
	CU_ASSERT_STRING_EQUAL(cutfs_trouble(fs), "the recorder met a call");
	cutfs_free(fs);
}

static const struct check_test tests[] = {
    {"what was synced stays", test_synced_stays},
    {"a sync covers what was written before it", test_sync_covers_what_was},
    {"pages and sectors", test_pages_and_sectors},
    {"names", test_names},
    {"a rename is whole", test_rename_is_whole},
    {"truncations", test_truncations},
    {"comparing with a directory", test_compare},
};

int main(void)
{
	return check_main("test_cutfs", tests, ARRAY_LEN(tests));
}
