/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_archive: arbitrary bytes as a tar, as a capture, and as two layers of an
 * image, by the first byte; the rest is the archive.  Promises: what is refused
 * is refused with words, and nothing is committed; what is taken is within its
 * limits and has no device nodes.
 */
#include <archive.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "admin/import_archive.h"
#include "admin/import_capture.h"
#include "admin/import_tar.h"
#include "tests/lib/memory_sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	FUZZ_TAR = 0,
	FUZZ_CAPTURE,
	FUZZ_LAYERS,
	FUZZ_KINDS,
	FUZZ_BYTES_MAX = 4 << 20,
	FUZZ_FILES_MAX = 10000,
};

/* The bytes as a file, for what opens its archive by path. */
static int fuzz_file(const uint8_t *data, size_t len, char path[32])
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	ASSERT(fd >= 0);
	ASSERT(write(fd, data, len) == (ssize_t)len);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static int fuzz_layer(struct import *import, const char *name,
		      const uint8_t *data, size_t len, struct failure *failure)
{
	struct import_archive from = {.archive = import_archive_new(),
				      .path = name,
				      .what = "layer",
				      .failure = failure};
	struct archive_entry *entry;
	int rc;

	ASSERT(from.archive);
	rc = import_origin(import, name);
	if (rc == 0 &&
	    archive_read_open_memory(from.archive, data, len) != ARCHIVE_OK)
		rc = import_archive_bad(&from, NULL);
	while (rc == 0 && (rc = import_archive_next(&from, &entry)) > 0)
		rc = import_archive_layer_entry(&from, import, entry);
	archive_read_free(from.archive);
	return rc;
}

static int fuzz_take(struct import *import, int kind, const uint8_t *data,
		     size_t len, struct failure *failure)
{
	json_t *head = NULL;
	uint64_t left_out;
	char path[32];
	int rc, fd;

	if (kind == FUZZ_LAYERS) {
		import_layers(import);
		rc = fuzz_layer(import, "lower", data, len / 2, failure);
		return rc < 0 ? rc
			      : fuzz_layer(import, "upper", data + len / 2,
					   len - len / 2, failure);
	}
	fd = fuzz_file(data, len, path);
	rc = kind == FUZZ_TAR ? import_tar(import, path, failure)
			      : import_capture(import, path, NULL, &left_out,
					       &head, failure);
	if (kind == FUZZ_CAPTURE)
		json_decref(head);
	close(fd);
	return rc;
}

static int fuzz_object(void *ctx, const char *path,
		       const struct tree_entry *entry UNUSED, uint32_t inode)
{
	const struct tree *tree = ctx;
	struct tree_inode attr;

	ASSERT(path[0] != '/');
	if (inode == TREE_WHITEOUT)
		return 0;
	tree_inode_get(tree, inode, &attr);
	ASSERT(!S_ISCHR(attr.mode) && !S_ISBLK(attr.mode));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct output out = {.progress = OUTPUT_PROGRESS_NONE, .quiet = true};
	struct import_options options = {.bytes_max = FUZZ_BYTES_MAX,
					 .files_max = FUZZ_FILES_MAX};
	struct import_summary summary = {0};
	struct failure failure = {0};
	struct memory_sink sink = {0};
	struct import_sink to = memory_sink(&sink);
	struct import *import = import_new(&to, &options, &out, &failure);
	int rc;

	ASSERT(import);
	if (len > 0) {
		rc = fuzz_take(import, data[0] % FUZZ_KINDS, data + 1, len - 1,
			       &failure);
		if (rc == 0)
			rc = import_finish(import, "x", "1", "1", NULL,
					   &summary);
		ASSERT(rc == 0 || failure.message[0]);
		ASSERT((rc == 0) == (sink.commit_calls == 1));
		ASSERT(summary.bytes <= FUZZ_BYTES_MAX);
		ASSERT(rc < 0 ||
		       tree_walk(sink.tree, fuzz_object, sink.tree) == 0);
	}
	import_free(import);
	import_summary_clear(&summary);
	failure_clear(&failure);
	memory_sink_clear(&sink);
	return 0;
}
