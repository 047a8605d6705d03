/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_file: io writes private files, so each is written beside its place,
 * opened up, and moved there: no reader finds a name he may not read.
 */
#include "tests/lib/publish_file.h"

#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "depot/log.h"

enum { PUBLISH_FILE_MODE = 0644, PUBLISH_DIR_MODE = 0755 };

static int publish_file_path(const char *root, const char *path, char **full)
{
	if (asprintf(full, "%s/%s", root, path) >= 0)
		return 0;
	*full = NULL;
	return -ENOMEM;
}

/* Only what is made here is opened up, parents too: the operator's own modes
 * stay. */
int publish_file_mkdir(const char *dir)
{
	CLEANUP_FREE char *parent = strdup(dir);
	struct stat st;
	char *slash;
	int rc;

	if (!parent)
		return -ENOMEM;
	if (stat(dir, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		rc = publish_file_mkdir(parent);
		if (rc < 0)
			return rc;
	}
	rc = io_mkdirs(dir);
	if (rc < 0)
		return rc;
	return chmod(dir, PUBLISH_DIR_MODE) < 0 ? -errno : 0;
}

/* Each directory between root and file. */
static int publish_file_mkdirs(const char *full, size_t root_len)
{
	CLEANUP_FREE char *dir = strdup(full);
	int rc = 0;

	if (!dir)
		return -ENOMEM;
	for (char *p = dir + root_len + 1; rc == 0 && (p = strchr(p, '/'));
	     p++) {
		*p = '\0';
		rc = publish_file_mkdir(dir);
		*p = '/';
	}
	return rc;
}

static int publish_file_move(const char *from, const char *to)
{
	CLEANUP_FREE char *dir = strdup(to);
	int rc = 0;

	if (!dir)
		return -ENOMEM;
	*strrchr(dir, '/') = '\0';
	if (chmod(from, PUBLISH_FILE_MODE) < 0 || rename(from, to) < 0) {
		rc = -errno;
		unlink(from);
		return rc;
	}
	return io_sync_dir(dir);
}

int publish_file_write(const char *root, const char *path, const void *bytes,
		       size_t len)
{
	CLEANUP_FREE char *full = NULL;
	CLEANUP_FREE char *temp = NULL;
	int rc;

	rc = publish_file_path(root, path, &full);
	if (rc < 0)
		return rc;
	if (asprintf(&temp, "%s.%d.new", full, (int)getpid()) < 0) {
		temp = NULL;
		return -ENOMEM;
	}
	rc = publish_file_mkdirs(full, strlen(root));
	if (rc == 0)
		rc = io_replace_file(temp, bytes, len);
	if (rc == 0)
		rc = publish_file_move(temp, full);
	return rc < 0 ? log_err(rc, "%s: not written", full) : 0;
}

int publish_file_read(const char *root, const char *path, size_t max,
		      void **bytes, size_t *len)
{
	CLEANUP_FREE char *full = NULL;
	int rc;

	rc = publish_file_path(root, path, &full);
	if (rc == 0)
		rc = io_read_file(full, max, bytes, len);
	if (rc < 0 && rc != -ENOENT)
		return log_err(rc, "%s: not read", full ? full : path);
	return rc;
}

int publish_file_len(const char *root, const char *path, uint64_t *len)
{
	CLEANUP_FREE char *full = NULL;
	struct stat st;
	int rc;

	rc = publish_file_path(root, path, &full);
	if (rc < 0)
		return rc;
	if (stat(full, &st) < 0)
		return errno == ENOENT ? -ENOENT : log_err(-errno, "%s", full);
	if (!S_ISREG(st.st_mode))
		return log_err(-EBADMSG, "%s: no file", full);
	*len = (uint64_t)st.st_size;
	return 0;
}

int publish_file_refused(const char *root, const char *path, int rc)
{
	if (rc != -EPROTONOSUPPORT)
		return log_err(rc, "%s/%s: not what it should be", root, path);
	log_err(0, "%s/%s: written by a newer vdrive", root, path);
	return rc;
}
