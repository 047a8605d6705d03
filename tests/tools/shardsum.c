/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shardsum: what reading some files of a package must at least fetch.
 *
 *   shardsum TREE INDEX PATH...
 *   shardsum -r TREE INDEX <RANGES
 *
 * TREE is a tree file of a store, INDEX the index of an upstream for it.
 * Prints "BYTES SHARDS": the stored bytes of the distinct shards of the regular
 * files at or below the PATHs; with -r of those that hold the ranges of files
 * on stdin, a line "OFFSET LENGTH PATH" each.
 */
#include <stdio.h>

#include "depot/index.h"
#include "depot/io.h"
#include "depot/tree.h"

struct shardsum {
	struct tree *tree;
	struct index *index;
	const char *path; /* of the argument at hand */
	bool *seen;       /* owns; by shard */
	uint64_t bytes;
	uint32_t count;
};

static void shardsum_file(struct shardsum *sum, uint32_t inode)
{
	struct tree_inode attr;

	tree_inode_get(sum->tree, inode, &attr);
	for (uint32_t i = 0; S_ISREG(attr.mode) && i < attr.count; i++) {
		struct tree_chunk chunk;
		struct index_place place;

		tree_chunk_get(sum->tree, inode, i, &chunk);
		if (chunk.shard == TREE_HOLE || sum->seen[chunk.shard])
			continue;
		sum->seen[chunk.shard] = true;
		index_place(sum->index, chunk.shard, &place);
		sum->bytes += place.len;
		sum->count++;
	}
}

static void shardsum_range(struct shardsum *sum, uint32_t inode, uint64_t off,
			   uint64_t len)
{
	struct tree_chunk chunk;
	struct index_place place;
	struct tree_inode attr;

	tree_inode_get(sum->tree, inode, &attr);
	if (!S_ISREG(attr.mode) || off >= attr.size)
		return;
	for (uint32_t i = tree_chunk_find(sum->tree, inode, off, &chunk);
	     i < attr.count; i++) {
		tree_chunk_get(sum->tree, inode, i, &chunk);
		if (chunk.off >= off + len)
			return;
		if (chunk.shard == TREE_HOLE || sum->seen[chunk.shard])
			continue;
		sum->seen[chunk.shard] = true;
		index_place(sum->index, chunk.shard, &place);
		sum->bytes += place.len;
		sum->count++;
	}
}

/* What is not of this tree is passed over. */
static void shardsum_ranges(struct shardsum *sum)
{
	unsigned long long off, len;
	char *line = NULL;
	size_t cap = 0;
	uint32_t inode;
	int at;

	while (getline(&line, &cap, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%llu %llu %n", &off, &len, &at) == 2 &&
		    tree_find_path(sum->tree, line + at, &inode) == 0)
			shardsum_range(sum, inode, off, len);
	}
	free(line);
}

static int shardsum_visit(void *ctx, const char *path,
			  const struct tree_entry *entry, uint32_t inode)
{
	struct shardsum *sum = ctx;
	size_t len = strlen(sum->path);

	if (entry && inode != TREE_WHITEOUT &&
	    strncmp(path, sum->path, len) == 0 &&
	    (path[len] == '\0' || path[len] == '/'))
		shardsum_file(sum, inode);
	return 0;
}

int main(int argc, char **argv)
{
	struct shardsum sum = {0};
	bool ranges = argc == 4 && strcmp(argv[1], "-r") == 0;
	void *bytes;
	size_t len;

	argv += ranges;
	if (argc < 4) {
		fprintf(stderr, "usage: shardsum TREE INDEX PATH...\n");
		return 2;
	}
	if (tree_open_file(argv[1], NULL, &sum.tree) < 0 ||
	    io_read_file(argv[2], INDEX_FILE_MAX, &bytes, &len) < 0 ||
	    index_open(bytes, len, tree_digest(sum.tree),
		       tree_shard_count(sum.tree), &sum.index) < 0) {
		fprintf(stderr, "shardsum: cannot open %s and %s\n", argv[1],
			argv[2]);
		return 1;
	}
	sum.seen = calloc(tree_shard_count(sum.tree) + 1, sizeof(bool));
	if (!sum.seen)
		return 1;
	if (ranges)
		shardsum_ranges(&sum);
	for (int i = 3; !ranges && i < argc; i++) {
		sum.path = argv[i];
		if (tree_walk(sum.tree, shardsum_visit, &sum) < 0)
			return 1;
	}
	printf("%llu %u\n", (unsigned long long)sum.bytes, sum.count);
	free(sum.seen);
	free(bytes);
	index_put(sum.index);
	tree_put(sum.tree);
	return 0;
}
