/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_libnfs: an NFS client that is not ours (libnfs, Q-8), with the calls
 * that its users make.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <nfsc/libnfs.h>

#include "tests/lib/nfsrig.h"

static struct rig rig;
static struct nfs_context *nfs;

static void client_open(void)
{
	char url[128];
	struct nfs_url *parsed;

	nfs = nfs_init_context();
	ASSERT(nfs);
	snprintf(url, sizeof(url),
		 "nfs://127.0.0.1/t/g?nfsport=%d&mountport=%d&uid=0&gid=0",
		 rig.daemon.port, rig.daemon.port);
	parsed = nfs_parse_url_dir(nfs, url);
	ASSERT(parsed);
	if (nfs_mount(nfs, parsed->server, parsed->path) != 0) {
		fprintf(stderr, "libnfs: %s\n", nfs_get_error(nfs));
		ASSERT(!"mounted");
	}
	nfs_destroy_url(parsed);
}

static void client_close(void)
{
	nfs_destroy_context(nfs);
}

static void t_Q_8_limits(void)
{
	CU_ASSERT(nfs_get_readmax(nfs) >= 1 << 20);
	CU_ASSERT(nfs_get_writemax(nfs) >= 1 << 20);
}

static void t_Q_8_stat(void)
{
	struct nfs_stat_64 st;

	EXPECT(nfs_stat64(nfs, "/p00/file", &st), 0);
	EXPECT(st.nfs_size, RIG_FILE_LEN);
	EXPECT(st.nfs_mode, S_IFREG | 0644);
	EXPECT(st.nfs_nlink, 1);
	EXPECT(nfs_stat64(nfs, "/p00/one", &st), 0);
	EXPECT(st.nfs_nlink, 2);
	EXPECT(nfs_lstat64(nfs, "/p00/link", &st), 0);
	EXPECT(st.nfs_mode & S_IFMT, S_IFLNK);
	EXPECT(nfs_stat64(nfs, "/p00", &st), 0);
	EXPECT(st.nfs_mode & S_IFMT, S_IFDIR);
	EXPECT(nfs_stat64(nfs, "/p00/none", &st), -ENOENT);
	EXPECT(nfs_stat64(nfs, "/p00/file/x", &st), -ENOTDIR);
}

static bool read_whole(const char *path, uint8_t *buf, size_t len)
{
	struct nfsfh *fh;
	size_t got = 0;
	int n = 1;

	if (nfs_open(nfs, path, O_RDONLY, &fh) != 0)
		return false;
	while (got < len && n > 0) {
		n = nfs_pread(nfs, fh, got, len - got, (char *)buf + got);
		got += n > 0 ? (size_t)n : 0;
	}
	/* ... and there the file ends. */
	n = nfs_pread(nfs, fh, got, 1, (char *)buf + len);
	nfs_close(nfs, fh);
	return got == len && n == 0;
}

static void t_Q_8_read(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	CLEANUP_FREE uint8_t *got = malloc(RIG_BIG_LEN + 1);

	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	CU_ASSERT(read_whole("/p00/big", got, RIG_BIG_LEN));
	EXPECT(memcmp(want, got, RIG_BIG_LEN), 0);
	check_fill(want, RIG_TWO_LEN, RIG_SEED_TWO);
	CU_ASSERT(read_whole("/p00/two", got, RIG_TWO_LEN));
	EXPECT(memcmp(want, got, RIG_TWO_LEN), 0);
	CU_ASSERT(read_whole("/p00/dir/sub/c", got, 10));
	EXPECT(memcmp("content c\n", got, 10), 0);
}

static void t_Q_8_write(void)
{
	enum { LEN = 3 << 20 };
	CLEANUP_FREE uint8_t *data = malloc(LEN + 1);
	CLEANUP_FREE uint8_t *got = malloc(LEN + 1);
	struct nfsfh *fh = NULL;
	size_t done = 0;

	check_fill(data, LEN, 99);
	EXPECT(nfs_creat(nfs, "/written", 0640, &fh), 0);
	while (fh && done < LEN) {
		int n = nfs_pwrite(nfs, fh, done, MIN(LEN - done, 400000u),
				   data + done);

		CU_ASSERT(n > 0);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	EXPECT(nfs_fsync(nfs, fh), 0);
	nfs_close(nfs, fh);
	CU_ASSERT(read_whole("/written", got, LEN));
	EXPECT(memcmp(data, got, LEN), 0);
	EXPECT(nfs_truncate(nfs, "/written", 1000), 0);
	CU_ASSERT(read_whole("/written", got, 1000));
	/* Over a package file. */
	EXPECT(nfs_open(nfs, "/p01/dir/a", O_RDWR, &fh), 0);
	EXPECT(nfs_pwrite(nfs, fh, 3, 4, "1234"), 4);
	nfs_close(nfs, fh);
	CU_ASSERT(read_whole("/p01/dir/a", got, 10));
	EXPECT(memcmp("con1234 a\n", got, 10), 0);
}

static void t_Q_8_names(void)
{
	struct nfs_stat_64 st;
	char target[64] = "";
	uint8_t got[16];

	EXPECT(nfs_rename(nfs, "/p02/file", "/p02/renamed"), 0);
	EXPECT(nfs_stat64(nfs, "/p02/file", &st), -ENOENT);
	EXPECT(nfs_stat64(nfs, "/p02/renamed", &st), 0);
	EXPECT(st.nfs_size, RIG_FILE_LEN);
	EXPECT(nfs_rename(nfs, "/p02/dir", "/moved-dir"), 0);
	CU_ASSERT(read_whole("/moved-dir/sub/c", got, 10));
	EXPECT(nfs_link(nfs, "/p02/one", "/p02/three"), 0);
	EXPECT(nfs_stat64(nfs, "/p02/three", &st), 0);
	EXPECT(st.nfs_nlink, 3);
	EXPECT(nfs_symlink(nfs, "../else/where", "/p02/sym"), 0);
	EXPECT(nfs_readlink(nfs, "/p02/sym", target, sizeof(target)), 0);
	EXPECT(strcmp(target, "../else/where"), 0);
	EXPECT(nfs_mkdir(nfs, "/p02/made"), 0);
	EXPECT(nfs_mkdir(nfs, "/p02/made"), -EEXIST);
	EXPECT(nfs_rmdir(nfs, "/p02"), -ENOTEMPTY);
	EXPECT(nfs_rmdir(nfs, "/p02/made"), 0);
	EXPECT(nfs_unlink(nfs, "/p02/big"), 0);
	EXPECT(nfs_unlink(nfs, "/p02/big"), -ENOENT);
	EXPECT(nfs_chmod(nfs, "/p02/one", 0600), 0);
	EXPECT(nfs_chown(nfs, "/p02/one", 5, 6), 0);
	EXPECT(nfs_stat64(nfs, "/p02/two", &st), 0);
	EXPECT(st.nfs_mode, S_IFREG | 0600);
	EXPECT(st.nfs_uid, 5);
	EXPECT(st.nfs_gid, 6);
	EXPECT(nfs_access(nfs, "/p02/two", R_OK), 0);
}

static void t_Q_8_times(void)
{
	struct timeval times[2] = {{.tv_sec = 1000, .tv_usec = 5},
				   {.tv_sec = 2000, .tv_usec = 7}};
	struct nfs_stat_64 st;

	EXPECT(nfs_utimes(nfs, "/p03/file", times), 0);
	EXPECT(nfs_stat64(nfs, "/p03/file", &st), 0);
	EXPECT(st.nfs_atime, 1000);
	EXPECT(st.nfs_mtime, 2000);
	EXPECT(st.nfs_mtime_nsec, 7000);
}

static void t_Q_8_exclusive(void)
{
	struct nfsfh *fh;

	EXPECT(nfs_open(nfs, "/p03/big", O_CREAT | O_EXCL | O_WRONLY, &fh),
	       -EEXIST);
	EXPECT(nfs_open(nfs, "/excl", O_CREAT | O_EXCL | O_WRONLY, &fh), 0);
	nfs_close(nfs, fh);
	EXPECT(nfs_open(nfs, "/excl", O_CREAT | O_EXCL | O_WRONLY, &fh),
	       -EEXIST);
}

/* A directory as libnfs reads it: READDIRPLUS. */
static void t_Q_8_readdir(void)
{
	static const char *const names[] = {".",    "..",  "file", "big",
					    "one",  "two", "suid", "owned",
					    "link", "dir", "empty"};
	struct nfsdir *dir = NULL;
	struct nfsdirent *ent;
	size_t seen = 0, count = 0;

	EXPECT(nfs_opendir(nfs, "/p04", &dir), 0);
	while (dir && (ent = nfs_readdir(nfs, dir))) {
		count++;
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			seen += strcmp(ent->name, names[i]) == 0;
		if (strcmp(ent->name, "big") == 0) {
			EXPECT(ent->size, RIG_BIG_LEN);
			EXPECT(ent->type, 1);
			EXPECT(ent->mode & 0777, 0644);
		}
	}
	if (dir)
		nfs_closedir(nfs, dir);
	EXPECT(count, ARRAY_LEN(names));
	EXPECT(seen, ARRAY_LEN(names));
	EXPECT(nfs_opendir(nfs, "/p04/file", &dir), -ENOTDIR);
}

static void t_Q_8_large_directory(void)
{
	enum { NAMES = 3000 };
	struct nfsdir *dir = NULL;
	struct nfsdirent *ent;
	char path[32];
	int count = 0, n;
	bool *seen = calloc(NAMES, 1);

	EXPECT(nfs_mkdir(nfs, "/large"), 0);
	for (int i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "/large/n%d", i);
		EXPECT(nfs_symlink(nfs, "x", path), 0);
	}
	EXPECT(nfs_opendir(nfs, "/large", &dir), 0);
	while (dir && (ent = nfs_readdir(nfs, dir)))
		if (sscanf(ent->name, "n%d", &n) == 1 && !seen[n]) {
			seen[n] = true;
			count++;
		}
	if (dir)
		nfs_closedir(nfs, dir);
	EXPECT(count, NAMES);
	free(seen);
}

static void t_Q_8_statvfs(void)
{
	struct nfs_statvfs_64 fs;

	EXPECT(nfs_statvfs64(nfs, "/p04", &fs), 0);
	CU_ASSERT(fs.f_blocks > 0 && fs.f_bfree <= fs.f_blocks);
}

/* P-14: it reconnects by itself and goes on where it was. */
static void t_Q_8_restart(void)
{
	CLEANUP_FREE uint8_t *want = malloc(RIG_BIG_LEN);
	CLEANUP_FREE uint8_t *got = malloc(RIG_BIG_LEN + 1);
	struct nfsfh *fh = NULL;

	nfs_set_autoreconnect(nfs, 5);
	check_fill(want, RIG_BIG_LEN, RIG_SEED_BIG);
	EXPECT(nfs_open(nfs, "/p05/big", O_RDWR, &fh), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT(nfs_pread(nfs, fh, 1000, 5000, (char *)got), 5000);
		EXPECT(memcmp(want + 1000, got, 5000), 0);
		rig_kill(&rig);
		memset(want + 2000, i, 100);
		EXPECT(nfs_pwrite(nfs, fh, 2000, 100, want + 2000), 100);
	}
	nfs_close(nfs, fh);
	CU_ASSERT(read_whole("/p05/big", got, RIG_BIG_LEN));
	EXPECT(memcmp(want, got, RIG_BIG_LEN), 0);
}

static void t_ends_well(void)
{
	client_close();
	rig_ends_well(&rig);
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}
static const struct check_test tests[] = {
    TEST(t_Q_8_limits),    TEST(t_Q_8_stat),    TEST(t_Q_8_read),
    TEST(t_Q_8_write),     TEST(t_Q_8_names),   TEST(t_Q_8_times),
    TEST(t_Q_8_exclusive), TEST(t_Q_8_readdir), TEST(t_Q_8_large_directory),
    TEST(t_Q_8_statvfs),   TEST(t_Q_8_restart), TEST(t_ends_well),
};

int main(void)
{
	int rc;

	rig_open(&rig);
	client_open();
	rc = check_main("test_libnfs", tests, ARRAY_LEN(tests));
	rig_close(&rig);
	return rc;
}
