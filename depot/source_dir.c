/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dir: a depot at rest in a directory of this host, which may well be
 * a mounted share: what is missing while the root is missing is an unreachable
 * upstream, not a missing object.
 */
#include "depot/source_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"

struct source_dir {
	struct source source;
	char *root; /* owns */
};

static struct source_dir *source_dir_of(struct source *source)
{
	return container_of(source, struct source_dir, source);
}

void source_dir_say(struct source *source, const char *path, int code,
		    struct source_fault *fault)
{
	snprintf(fault->text, sizeof(fault->text), "%s/%s: %s",
		 source_dir_of(source)->root, path, strerrordesc_np(-code));
}

static int source_dir_fault(struct source_dir *dir, const char *path, int code,
			    struct source_fault *fault)
{
	struct stat st;

	source_dir_say(&dir->source, path, code, fault);
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
		fault->denied = code == -EACCES;
		return -ENOENT;
	default:
		return -EHOSTUNREACH;
	}
}

int source_dir_full(struct source *source, const char *path, char **full)
{
	if (asprintf(full, "%s/%s", source_dir_of(source)->root, path) >= 0)
		return 0;
	*full = NULL;
	return -ENOMEM;
}

static int source_dir_get(struct source *source, const char *path, size_t max,
			  void **buf, size_t *len, struct source_fault *fault)
{
	struct source_dir *dir = source_dir_of(source);
	CLEANUP_FREE char *full = NULL;
	int rc;

	memset(fault, 0, sizeof(*fault));
	rc = source_dir_full(source, path, &full);
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
	rc = source_dir_full(source, path, &full);
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
    .put = source_dir_put,
    .put_file = source_dir_put_file,
    .create = source_dir_create,
    .remove = source_dir_remove,
    .list = source_dir_list,
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
