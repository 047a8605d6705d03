/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_sink: where an import goes in tests: a depot in memory that proves
 * what it is given, and fails where a test wants it to.
 */
#ifndef TESTS_LIB_MEMORY_SINK_H
#define TESTS_LIB_MEMORY_SINK_H

#include "admin/import.h"
#include "depot/tree.h"

struct memory_shard {
	struct digest name;
	uint8_t *chunk; /* owns; opened */
	size_t len;
};

struct memory_sink {
	struct memory_shard *shards; /* owns */
	size_t shard_count;
	unsigned int have_calls, put_calls, commit_calls;
	unsigned int fail_put; /* the n-th put fails; 0: none */
	struct tree *tree;     /* ref; of the last commit */
	char *revision_json;   /* owns; likewise */
};

struct import_sink memory_sink(struct memory_sink *sink);
void memory_sink_clear(struct memory_sink *sink);

/* Whole content of a file of the last tree, malloc'ed; aborts when a shard is
 * not there. */
uint8_t *memory_sink_file(const struct memory_sink *sink, const char *path,
			  size_t *len);
/* Attributes of a path of the last tree; false: not there. */
bool memory_sink_stat(const struct memory_sink *sink, const char *path,
		      struct tree_inode *inode);

#endif
