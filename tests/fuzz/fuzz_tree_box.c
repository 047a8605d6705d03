/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tree_box: boxes that were right and have been tampered with.  A box is
 * proved shard by shard, so arbitrary bytes (fuzz_tree) end at its table: here
 * the input is a list of patches of a good box, 5 bytes each (where, xor), and
 * what is left over is its new length.  Promise: only the very tree that is
 * expected comes out.
 */
#include <sys/stat.h>

#include "depot/shard.h"
#include "depot/tree.h"
#include "depot/tree_build.h"

enum { FUZZ_BOX_FILES = 4000, FUZZ_BOX_PATCH_LEN = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fuzz_box {
	void *bytes; /* owns */
	size_t len;
	struct digest tree;
};

/* A tree of several boxed shards. */
static void fuzz_box_make(struct fuzz_box *box)
{
	struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	struct tree_build *build = tree_build_new();
	struct tree *tree;
	char path[16];
	void *bytes;
	size_t len;

	ASSERT(build);
	for (unsigned int i = 0; i < FUZZ_BOX_FILES; i++) {
		struct digest name = digest_of(&i, sizeof(i));

		memcpy(path, "d/f0000", 8);
		for (unsigned int k = 6, n = i; n; n /= 10)
			path[k--] = (char)('0' + n % 10);
		ASSERT(tree_build_file(build, path, &attr) == 0);
		ASSERT(tree_build_chunk(build, &name, 100 + i) == 0);
	}
	ASSERT(tree_build_finish(build, &bytes, &len) == 0);
	tree_build_free(build);
	ASSERT(tree_open_memory(bytes, len, NULL, &tree) == 0);
	free(bytes);
	ASSERT(tree_box_seal(tree, 1, &box->bytes, &box->len) == 0);
	box->tree = *tree_digest(tree);
	tree_put(tree);
}

static void fuzz_box_patch(uint8_t *box, size_t *box_len, const uint8_t *data,
			   size_t len)
{
	size_t all = *box_len;

	for (; len >= FUZZ_BOX_PATCH_LEN; len -= FUZZ_BOX_PATCH_LEN) {
		box[le32_get(data) % all] ^= data[4];
		data += FUZZ_BOX_PATCH_LEN;
	}
	if (len >= 3)
		*box_len = (data[0] | data[1] << 8 | data[2] << 16) % all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz_box good;
	struct tree *tree;
	uint8_t *box;
	size_t box_len;
	int rc;

	if (!good.bytes)
		fuzz_box_make(&good);
	box_len = good.len;
	box = malloc(box_len);
	ASSERT(box);
	memcpy(box, good.bytes, box_len);
	fuzz_box_patch(box, &box_len, data, len);
	rc = tree_box_open(box, box_len, &good.tree, &tree);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	if (rc == 0) {
		ASSERT(digest_equal(tree_digest(tree), &good.tree));
		tree_put(tree);
	}
	/* Without an expected digest it must be a whole tree, at least. */
	if (tree_box_open(box, box_len, NULL, &tree) == 0)
		tree_put(tree);
	free(box);
	return 0;
}
