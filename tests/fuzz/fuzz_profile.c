/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_profile: files of profiles that have been tampered with.  The input is
 * how:1, a list of patches of a good file, 5 bytes each (where, xor), and what
 * is left over is its new length.  how & 1: the last digest is made right
 * again, as somebody would who means harm; 2: the input itself is the file.
 *
 * Promises: without a right digest only the very file is taken; with one, what
 * is taken is a tree with the name its revision says, and frames of that
 * tree's shards, none too long; nothing breaks or hangs.  And an escaped path
 * (nfsd/control.h) reads back as what it was.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "admin/profile_file.h"
#include "depot/tree_build.h"

enum { FUZZ_FILES = 40, FUZZ_PATCH_LEN = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fuzz_file {
	uint8_t *bytes; /* owns */
	size_t len;
	struct digest tree;
};

static struct tree *fuzz_tree(uint8_t shards[FUZZ_FILES][SHARD_MAX],
			      size_t lens[FUZZ_FILES])
{
	struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	struct tree_build *build = tree_build_new();
	struct tree *tree;
	char path[16], text[64];
	void *bytes;
	size_t len;

	ASSERT(build);
	for (unsigned int i = 0; i < FUZZ_FILES; i++) {
		int text_len =
		    snprintf(text, sizeof(text), "the content of %u", i);
		struct digest name =
		    shard_name_of(NULL, text, (size_t)text_len);

		snprintf(path, sizeof(path), "d/f%u", i);
		ASSERT(tree_build_file(build, path, &attr) == 0);
		ASSERT(tree_build_chunk(build, &name, (uint32_t)text_len) == 0);
		ASSERT(shard_seal(text, (size_t)text_len, 6, shards[i],
				  SHARD_MAX, &lens[i]) == 0);
	}
	ASSERT(tree_build_whiteout(build, "d/gone") == 0);
	ASSERT(tree_build_finish(build, &bytes, &len) == 0);
	tree_build_free(build);
	ASSERT(tree_open_taken(bytes, len, NULL, &tree) == 0);
	return tree;
}

/* Frames need not be told apart: the reader looks at names and lengths. */
static void fuzz_put_shards(struct profile_file *out,
			    uint8_t shards[FUZZ_FILES][SHARD_MAX],
			    const size_t lens[FUZZ_FILES])
{
	uint8_t head[CONTROL_FRAME_HEADER];

	for (uint32_t i = 0; i < tree_shard_count(out->tree); i++) {
		memcpy(head, tree_shard_name(out->tree, i)->bytes, DIGEST_LEN);
		le32_put(head + DIGEST_LEN, (uint32_t)lens[i]);
		ASSERT(profile_file_put(out, head, sizeof(head)) == 0);
		ASSERT(profile_file_put(out, shards[i], lens[i]) == 0);
	}
}

static void fuzz_make(struct fuzz_file *file)
{
	static uint8_t shards[FUZZ_FILES][SHARD_MAX];
	struct failure failure = {0};
	struct profile_file out = {.path = "good", .failure = &failure};
	struct revision_doc doc = {.name = "ana", .version = "1", .files = 40};
	size_t lens[FUZZ_FILES];
	char *json, *bytes;

	out.tree = fuzz_tree(shards, lens);
	doc.tree = file->tree = *tree_digest(out.tree);
	ASSERT(revision_write(&doc, &json) == 0);
	out.file = open_memstream(&bytes, &file->len);
	ASSERT(out.file);
	ASSERT(profile_file_begin(&out, json, out.tree) == 0);
	fuzz_put_shards(&out, shards, lens);
	ASSERT(profile_file_end(&out) == 0);
	fclose(out.file);
	profile_file_clear(&out);
	free(json);
	file->bytes = (uint8_t *)bytes;
}

/* Read all of it; false: refused somewhere. */
static bool fuzz_read(void *bytes, size_t len, struct digest *tree)
{
	static uint8_t frame[PROFILE_FRAME_MAX];
	struct failure failure = {0};
	struct profile_file in = {.path = "input", .failure = &failure};
	size_t frame_len;
	int rc;

	in.file = fmemopen(bytes, len, "r");
	ASSERT(in.file);
	rc = profile_file_open(&in);
	for (uint32_t i = 0; rc == 0 && i < tree_shard_count(in.tree); i++) {
		rc = profile_file_next(&in, i, frame, &frame_len);
		ASSERT(rc < 0 || frame_len <= PROFILE_FRAME_MAX);
	}
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	ASSERT(rc == 0 || failure.message[0]);
	if (rc == 0) {
		*tree = *tree_digest(in.tree);
		ASSERT(digest_equal(tree, &in.doc.tree));
	}
	fclose(in.file);
	profile_file_clear(&in);
	failure_clear(&failure);
	return rc == 0;
}

static void fuzz_escape(const uint8_t *data, size_t len)
{
	char *text = strndup((const char *)data, len), *escaped, *back;

	ASSERT(text);
	escaped = control_path_escape(text, strlen(text));
	ASSERT(escaped);
	back = control_path_unescape(escaped);
	ASSERT(back && strcmp(back, text) == 0);
	free(back);
	free(escaped);
	back = control_path_unescape(text);
	free(back);
	free(text);
}

static void fuzz_patched(const struct fuzz_file *good, const uint8_t *data,
			 size_t len, bool seal)
{
	uint8_t *copy = malloc(good->len);
	size_t copy_len = good->len;
	struct digest tree;
	bool same;

	ASSERT(copy);
	memcpy(copy, good->bytes, copy_len);
	for (; len >= FUZZ_PATCH_LEN; len -= FUZZ_PATCH_LEN) {
		copy[le32_get(data) % copy_len] ^= data[4];
		data += FUZZ_PATCH_LEN;
	}
	if (len >= 2)
		copy_len = MIN((size_t)le16_get(data) + 1, copy_len);
	same =
	    copy_len == good->len && memcmp(copy, good->bytes, copy_len) == 0;
	if (seal && copy_len > DIGEST_LEN) {
		tree = digest_of(copy, copy_len - DIGEST_LEN);
		memcpy(copy + copy_len - DIGEST_LEN, tree.bytes, DIGEST_LEN);
	}
	if (fuzz_read(copy, copy_len, &tree) && !seal)
		ASSERT(same && digest_equal(&tree, &good->tree));
	else
		ASSERT(!same || seal);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz_file good;
	struct digest tree;
	void *copy;

	if (!good.bytes)
		fuzz_make(&good);
	if (len == 0)
		return 0;
	fuzz_escape(data, len);
	if (data[0] & 2) {
		if (len < 2)
			return 0;
		copy = malloc(len);
		ASSERT(copy);
		memcpy(copy, data + 1, len - 1);
		(void)fuzz_read(copy, len - 1, &tree);
		free(copy);
	} else {
		fuzz_patched(&good, data + 1, len - 1, data[0] & 1);
	}
	return 0;
}
