/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpdir: see tmpdir.h.  Never follows a symbolic link and stays on one file
 * system, so that a test's links and mounts are not followed out.
 */
#include "tests/lib/tmpdir.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

enum { TMPDIR_OPEN_MAX = 16 };

char *tmpdir_new(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = NULL;

	if (!base || !*base)
		base = "/tmp";
	ASSERT(asprintf(&dir, "%s/vdrive-test-XXXXXX", base) > 0);
	ASSERT(mkdtemp(dir));
	return dir;
}

char *tmpdir_path(const char *dir, const char *name)
{
	char *path = NULL;

	ASSERT(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static int tmpdir_remove_one(const char *path, const struct stat *st UNUSED,
			     int type UNUSED, struct FTW *ftw UNUSED)
{
	remove(path);
	return 0;
}

void tmpdir_remove(char *dir)
{
	if (!dir)
		return;
	nftw(dir, tmpdir_remove_one, TMPDIR_OPEN_MAX,
	     FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(dir);
}
