/* SPDX-License-Identifier: Apache-2.0 */
/* tree: see tree.h. */
#include "tests/model/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/check.h"

struct tree_row {
	const char *path;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t len;   /* bytes of content */
	uint32_t hole;  /* bytes that are not there, before it */
	const char *to; /* hard link to, or target */
};

static const struct tree_row tree_rows[] = {
    {"plain", S_IFDIR | 0755, 0, 0, 0, 0, NULL},
    {"mine", S_IFDIR | 0755, 1000, 1000, 0, 0, NULL},
    {"mine/sub", S_IFDIR | 0755, 1000, 1000, 0, 0, NULL},
    {"mine/sub/deep", S_IFDIR | 0755, 1000, 1000, 0, 0, NULL},
    {"tmp", S_IFDIR | 01777, 0, 0, 0, 0, NULL},
    {"tmp/his", S_IFDIR | 0777, 1001, 1001, 0, 0, NULL},
    {"tmp/sticky", S_IFDIR | 03777, 1000, 2000, 0, 0, NULL},
    {"group", S_IFDIR | 02775, 0, 2000, 0, 0, NULL},
    {"group/sub", S_IFDIR | 02770, 1001, 2000, 0, 0, NULL},
    {"open", S_IFDIR | 0777, 1000, 1000, 0, 0, NULL},
    {"open/a", S_IFDIR | 0777, 1001, 1001, 0, 0, NULL},
    {"open/a/b", S_IFDIR | 0777, 1000, 1000, 0, 0, NULL},
    {"closed", S_IFDIR | 0700, 1000, 1000, 0, 0, NULL},
    {"search", S_IFDIR | 0711, 1001, 1001, 0, 0, NULL},
    {"noexec", S_IFDIR | 0766, 1001, 1000, 0, 0, NULL},
    {"empty", S_IFDIR | 0777, 0, 0, 0, 0, NULL},
    {"open/empty", S_IFDIR | 0755, 1000, 1000, 0, 0, NULL},
    {"many", S_IFDIR | 0777, 1000, 1000, 0, 0, NULL},
    {"plain/none", S_IFREG | 0644, 0, 0, 0, 0, NULL},
    {"plain/byte", S_IFREG | 0666, 0, 0, 1, 0, NULL},
    {"plain/4095", S_IFREG | 0666, 1000, 1000, 4095, 0, NULL},
    {"plain/4096", S_IFREG | 0644, 1000, 1000, 4096, 0, NULL},
    {"plain/4097", S_IFREG | 0664, 0, 2000, 4097, 0, NULL},
    {"open/16383", S_IFREG | 0666, 1001, 1001, 16383, 0, NULL},
    {"open/16384", S_IFREG | 0666, 1001, 1001, 16384, 0, NULL},
    {"open/16385", S_IFREG | 0666, 1001, 1001, 16385, 0, NULL},
    {"mine/65535", S_IFREG | 0644, 1000, 1000, 65535, 0, NULL},
    {"mine/65536", S_IFREG | 0646, 1000, 1000, 65536, 0, NULL},
    {"mine/65537", S_IFREG | 0600, 1000, 1000, 65537, 0, NULL},
    {"mine/big", S_IFREG | 0666, 1000, 1000, 300000, 0, NULL},
    {"tmp/other", S_IFREG | 0666, 1001, 1001, 307200, 0, NULL},
    {"tmp/sparse", S_IFREG | 0666, 1000, 1000, 100, 120000, NULL},
    {"tmp/hole", S_IFREG | 0666, 0, 0, 0, 70000, NULL},
    {"tmp/holey", S_IFREG | 0666, 1001, 1001, 30000, 9000, NULL},
    {"tmp/fifo", S_IFIFO | 0666, 1000, 1000, 0, 0, NULL},
    {"open/fifo", S_IFIFO | 04622, 1001, 1001, 0, 0, NULL},
    {"group/suid", S_IFREG | 04755, 1000, 2000, 500, 0, NULL},
    {"group/sgid", S_IFREG | 02777, 1001, 2000, 20000, 0, NULL},
    {"group/both", S_IFREG | 06777, 1000, 2000, 100, 0, NULL},
    {"group/lock", S_IFREG | 02666, 1001, 2000, 5000, 0, NULL},
    {"open/foreign", S_IFREG | 06777, 1000, 3000, 100, 0, NULL},
    {"open/mode0", S_IFREG | 0, 1000, 1000, 4000, 0, NULL},
    {"open/read", S_IFREG | 0444, 1001, 1001, 17000, 0, NULL},
    {"open/exec", S_IFREG | 0111, 0, 0, 3000, 0, NULL},
    {"open/write", S_IFREG | 0222, 0, 0, 3000, 0, NULL},
    {"open/group", S_IFREG | 0060, 1001, 2000, 3000, 0, NULL},
    {"closed/x", S_IFREG | 0666, 1000, 1000, 10, 0, NULL},
    {"search/x", S_IFREG | 0666, 1001, 1001, 10, 0, NULL},
    {"noexec/x", S_IFREG | 0666, 1001, 1001, 10, 0, NULL},
    {"open/two", 0, 0, 0, 0, 0, "open/16385"},
    {"tmp/three", 0, 0, 0, 0, 0, "open/16385"},
    {"mine/twin", 0, 0, 0, 0, 0, "mine/big"},
    {"group/twin", 0, 0, 0, 0, 0, "group/sgid"},
    {"open/a/twin", 0, 0, 0, 0, 0, "plain/byte"},
    {"open/link", S_IFLNK | 0777, 1000, 1000, 0, 0, "../plain/byte"},
    {"tmp/dangling", S_IFLNK | 0777, 1001, 1001, 0, 0, "nowhere/at all"},
    {"mine/to-dir", S_IFLNK | 0777, 0, 0, 0, 0, "sub"},
    {"open/...", S_IFREG | 0644, 1000, 1000, 5, 0, NULL},
    {"open/ blank ", S_IFREG | 0644, 1001, 1001, 5, 0, NULL},
    {"open/-rf", S_IFREG | 0644, 0, 0, 5, 0, NULL},
    {"open/line\nfeed", S_IFREG | 0644, 0, 0, 5, 0, NULL},
    {"open/\xff\xfe\x01", S_IFREG | 0644, 0, 0, 5, 0, NULL},
    {"open/.wh.16384", S_IFREG | 0644, 0, 0, 5, 0, NULL},
};

/* What the second package has: some of it hidden by the first, some of it in
 * directories that both have. */
static const struct tree_row tree_second[] = {
    {"open", S_IFDIR | 0700, 0, 0, 0, 0, NULL},
    {"many", S_IFDIR | 0711, 1001, 0, 0, 0, NULL},
    {"group", S_IFDIR | 0755, 0, 0, 0, 0, NULL},
    {"group/sub", S_IFDIR | 0755, 0, 0, 0, 0, NULL},
    {"second", S_IFDIR | 0777, 1001, 1001, 0, 0, NULL},
    {"second/sub", S_IFDIR | 01777, 1000, 1000, 0, 0, NULL},
    {"open/16384", S_IFREG | 0600, 0, 0, 1000, 0, NULL},
    {"open/a", S_IFREG | 0600, 0, 0, 1000, 0, NULL},
    {"open/second", S_IFREG | 0666, 1000, 1000, 40000, 0, NULL},
    {"many/entry 1", S_IFDIR | 0755, 0, 0, 0, 0, NULL},
    {"many/entry 1/hidden", S_IFREG | 0644, 0, 0, 9, 0, NULL},
    {"many/second", S_IFREG | 0644, 1000, 1000, 9, 0, NULL},
    {"group/sub/x", S_IFREG | 0664, 1001, 2000, 20000, 0, NULL},
    {"second/x", S_IFREG | 0666, 1001, 1001, 17000, 0, NULL},
    {"second/fifo", S_IFIFO | 0644, 1001, 1001, 0, 0, NULL},
    {"second/link", S_IFLNK | 0777, 1001, 1001, 0, 0, "../open/16384"},
    {"open/of second", 0, 0, 0, 0, 0, "second/x"},
    {"second/sub/twin", 0, 0, 0, 0, 0, "second/x"},
    /* One of the two names is hidden. */
    {"plain/byte", 0, 0, 0, 0, 0, "second/x"},
};

static void tree_content(int fd, const struct tree_row *row, uint64_t seed)
{
	CLEANUP_FREE uint8_t *buf = malloc(row->len + 1);

	ASSERT(buf);
	check_fill(buf, row->len, seed);
	ASSERT(ftruncate(fd, row->hole + row->len) == 0);
	ASSERT(pwrite(fd, buf, row->len, row->hole) == (ssize_t)row->len);
}

static void tree_object(int dir, const struct tree_row *row, uint64_t seed)
{
	if (S_ISDIR(row->mode)) {
		ASSERT(mkdirat(dir, row->path, 0700) == 0);
	} else if (S_ISLNK(row->mode)) {
		ASSERT(symlinkat(row->to, dir, row->path) == 0);
	} else if (S_ISFIFO(row->mode)) {
		ASSERT(mkfifoat(dir, row->path, 0600) == 0);
	} else {
		CLEANUP_CLOSE int fd =
		    openat(dir, row->path,
			   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		ASSERT(fd >= 0);
		tree_content(fd, row, seed);
	}
	ASSERT(fchownat(dir, row->path, row->uid, row->gid,
			AT_SYMLINK_NOFOLLOW) == 0);
	if (!S_ISLNK(row->mode))
		ASSERT(fchmodat(dir, row->path, row->mode & 07777, 0) == 0);
}

/* Times of long ago, with nanoseconds, each its own. */
static void tree_time(int dir, const char *path, unsigned int i)
{
	struct timespec times[2] = {{1400000000 + i, 5},
				    {1500000000 + i * 1000, 1 + i * 7919}};

	ASSERT(utimensat(dir, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

static void tree_many(int dir, unsigned int many)
{
	char path[64];

	for (unsigned int i = 0; i < many; i++) {
		struct tree_row row = {
		    path,         i % 9 == 8 ? S_IFDIR | 0755 : S_IFREG | 0644,
		    1000 + i % 2, 1000,
		    i % 7 * 50,   0,
		    NULL};

		snprintf(path, sizeof(path), "many/entry %u", i);
		tree_object(dir, &row, 1000 + i);
		tree_time(dir, path, 1000 + i);
	}
}

static void tree_long_names(int dir)
{
	static const int lens[] = {255, 254, 128};

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct tree_row row = {NULL, S_IFREG | 0666, 1000, 1000, 50, 0,
				       NULL};
		char path[300] = "open/";

		memset(path + 5, 'a' + (int)i, (size_t)lens[i]);
		row.path = path;
		tree_object(dir, &row, 2000 + i);
		tree_time(dir, path, 2000 + (unsigned int)i);
	}
}

/* made: of each row, whether it was not there yet. */
static void tree_rows_make(int dir, const struct tree_row *rows, size_t count,
			   uint64_t seed, bool *made)
{
	struct stat st;

	for (size_t i = 0; i < count; i++) {
		const struct tree_row *row = &rows[i];
		CLEANUP_FREE char *parent = strdup(row->path);

		ASSERT(parent);
		if (strchr(parent, '/'))
			*strrchr(parent, '/') = '\0';
		/* Hidden, or in a directory that is hidden by a file. */
		made[i] =
		    fstatat(dir, row->path, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    (!strchr(row->path, '/') ||
		     fstatat(dir, parent, &st, 0) < 0 || S_ISDIR(st.st_mode));
		if (!made[i])
			continue;
		if (row->mode == 0)
			ASSERT(linkat(dir, row->to, dir, row->path, 0) == 0);
		else
			tree_object(dir, row, seed + i);
	}
}

/* Directories too: when nothing in them changes any more. */
static void tree_rows_time(int dir, const struct tree_row *rows, size_t count,
			   unsigned int first, const bool *made)
{
	for (size_t i = 0; i < count; i++)
		if (made[i] && rows[i].mode != 0)
			tree_time(dir, rows[i].path, first + (unsigned int)i);
}

void tree_make(const char *path, enum tree_part part, unsigned int many)
{
	bool made[ARRAY_LEN(tree_rows)], made_second[ARRAY_LEN(tree_second)];
	CLEANUP_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT(dir >= 0);
	ASSERT(fchmod(dir, part & TREE_FIRST ? 0777 : 0700) == 0);
	if (part & TREE_FIRST) {
		tree_rows_make(dir, tree_rows, ARRAY_LEN(tree_rows), 1, made);
		tree_many(dir, many);
		tree_long_names(dir);
	} else {
		/* For a name that is linked there. */
		ASSERT(mkdirat(dir, "plain", 0700) == 0);
	}
	if (part & TREE_SECOND)
		tree_rows_make(dir, tree_second, ARRAY_LEN(tree_second), 500,
			       made_second);
	if (part & TREE_FIRST)
		tree_rows_time(dir, tree_rows, ARRAY_LEN(tree_rows), 0, made);
	if (part & TREE_SECOND)
		tree_rows_time(dir, tree_second, ARRAY_LEN(tree_second), 500,
			       made_second);
	/* The first package's directories are what the guest sees. */
	tree_time(dir, ".", part & TREE_FIRST ? 900 : 950);
}
