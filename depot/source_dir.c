/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dir: a depot at rest in a directory of this host, which may well be
 * a mounted share: what is missing while the root is missing is an unreachable
 * upstream, not a missing object.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "depot/layout.h"
#include "depot/source.h"

struct source_dir {
	struct source source;
	char *root; /* owns */
};

static struct source_dir *source_dir_of(struct source *source)
{
	return container_of(source, struct source_dir, source);
}

static int source_dir_fault(struct source_dir *dir, const char *path, int code,
			    struct source_fault *fault)
{
	struct stat st;

	snprintf(fault->text, sizeof(fault->text), "%s/%s: %s", dir->root, path,
		 strerrordesc_np(-code));
	switch (code) {
	case -ENOMEM:
	case -EFBIG:
	case -EBADMSG:
		return code;
	case -ENOENT:
	case -EACCES:
	case -EISDIR:
		/* Unmounted, the root is empty or gone. */
		if (stat(dir->root, &st) < 0)
			return -EHOSTUNREACH;
		return -ENOENT;
	default:
		return -EHOSTUNREACH;
	}
}

static int source_dir_path(struct source_dir *dir, const char *path,
			   char **full)
{
	*full = NULL;
	return asprintf(full, "%s/%s", dir->root, path) < 0 ? -ENOMEM : 0;
}

static int source_dir_get(struct source *source, const char *path, size_t max,
			  void **buf, size_t *len, struct source_fault *fault)
{
	struct source_dir *dir = source_dir_of(source);
	CLEANUP_FREE char *full = NULL;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_path(dir, path, &full);
	if (rc == 0)
		rc = io_read_file(full, max, buf, len);
	return rc < 0 ? source_dir_fault(dir, path, rc, fault) : 0;
}

static int source_dir_read(const char *full, uint64_t off, size_t len,
			   void *buf)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	/* O_NONBLOCK: a FIFO of that name must not hang us. */
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || off > (uint64_t)st.st_size ||
	    len > (uint64_t)st.st_size - off)
		return -EBADMSG;
	return io_pread_all(fd, buf, len, off);
}

static int source_dir_range(struct source *source, const char *path,
			    uint64_t off, size_t len, void *buf,
			    struct source_fault *fault)
{
	struct source_dir *dir = source_dir_of(source);
	CLEANUP_FREE char *full = NULL;
	int rc;

	ASSERT(len > 0);

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_path(dir, path, &full);
	if (rc == 0)
		rc = source_dir_read(full, off, len, buf);
	return rc < 0 ? source_dir_fault(dir, path, rc, fault) : 0;
}

static void source_dir_free(struct source *source)
{
	struct source_dir *dir = source_dir_of(source);

	free(dir->root);
	free(dir);
}

static const struct source_ops source_dir_ops = {
    .get = source_dir_get,
    .range = source_dir_range,
    .free = source_dir_free,
};

int source_dir_new(const char *rest, struct source **source)
{
	struct source_dir *dir;
	size_t len = strlen(rest);

	if (rest[0] != '/')
		return -EINVAL;
	while (len > 1 && rest[len - 1] == '/')
		len--;
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return -ENOMEM;
	dir->source.ops = &source_dir_ops;
	dir->root = strndup(rest, len);
	if (!dir->root) {
		free(dir);
		return -ENOMEM;
	}
	*source = &dir->source;
	return 0;
}
