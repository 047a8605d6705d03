/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io: the only place that asks the kernel to read, write, sync or rename files
 * of the store.  Whole transfers only; -EIO for a short file.  Tests replace
 * this module by tests/fake/fake_io.c, which fails the n-th call.
 *
 * Every function returns 0 or -errno.  They log nothing: the caller knows the
 * object's name.  Files are made with mode 0600, directories with 0700.
 */
#ifndef DEPOT_IO_H
#define DEPOT_IO_H

#include "depot/base.h"

MUST_CHECK int io_pread_all(int fd, void *buf, size_t len, uint64_t off);
MUST_CHECK int io_pwrite_all(int fd, const void *buf, size_t len, uint64_t off);

/* fdatasync: data and the size.  io_sync_dir: names made or removed in it. */
MUST_CHECK int io_sync(int fd);
MUST_CHECK int io_sync_dir(const char *dir);
MUST_CHECK int io_truncate(int fd, uint64_t len);
/* Make the file so long, with blocks of its own, and sync that. */
MUST_CHECK int io_allocate(int fd, uint64_t len);
/* The next run of bytes from `off` on that is no hole: [*from, *to); both are
 * UINT64_MAX when there is none.  Holes are what the file system says. */
MUST_CHECK int io_next_data(int fd, uint64_t off, uint64_t *from, uint64_t *to);

/* Open for reading and writing (created when `create`); *fd is owned by the
 * caller.  -ENOENT without create. */
MUST_CHECK int io_open(const char *path, bool create, int *fd);
/* Remove a file; one that is not there is success. */
MUST_CHECK int io_unlink(const char *path);
/* Make a directory and its parents, mode 0700; one that is there is success. */
MUST_CHECK int io_mkdirs(const char *path);

/* Whole file into *buf (owned by caller, one NUL byte added); -EFBIG when it
 * is longer than max; -EISDIR, -EINVAL: not a regular file. */
MUST_CHECK int io_read_file(const char *path, size_t max, void **buf,
			    size_t *len);
/*
 * Replace `path` durably and atomically: temporary file beside it, fdatasync,
 * rename, sync of the directory.  After a crash the file is the old or the new;
 * "PATH.*.tmp" may be left beside it.  After an error, likewise the old or the
 * new.
 */
MUST_CHECK int io_replace_file(const char *path, const void *buf, size_t len);

#endif
