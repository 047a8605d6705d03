/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treetrace: a trace for coldstart (tests/bench) in which a client reads every
 * file of a package once, as tar or cp would: by name, READs of up to 1 MiB one
 * after another, a number of them in flight.
 *
 *   treetrace TREE DEPTH
 *
 * TREE is a tree file of a store.  The trace goes to stdout.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "depot/tree.h"

enum {
	TRACE_READ_LEN = 1 << 20,
	TRACE_DEPTH_MAX = 1024,
	TRACE_LEVELS_MAX = 256, /* directories in each other */
};

struct treetrace {
	struct tree *tree;
	unsigned int depth;
	unsigned int calls, handles;
	unsigned int dir[TRACE_LEVELS_MAX]; /* handles down to where we are */
	unsigned int flying[TRACE_DEPTH_MAX];
	unsigned int sent, done; /* READs */
};

static void trace_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf(isgraph((unsigned char)name[i]) && name[i] != '%'
			   ? "%c"
			   : "%%%02x",
		       (unsigned char)name[i]);
}

static unsigned int trace_lookup(struct treetrace *trace, unsigned int dir,
				 const char *name, size_t len)
{
	unsigned int seq = trace->calls++, handle = ++trace->handles;

	printf("C %u 0 lookup %u ", seq, dir);
	trace_name(name, len);
	printf("\nR %u 0 %u\n", seq, handle);
	return handle;
}

static void trace_land(struct treetrace *trace)
{
	printf("R %u 0\n", trace->flying[trace->done++ % trace->depth]);
}

static void trace_read(struct treetrace *trace, unsigned int handle,
		       uint64_t size)
{
	for (uint64_t off = 0; off < size; off += TRACE_READ_LEN) {
		if (trace->sent - trace->done == trace->depth)
			trace_land(trace);
		trace->flying[trace->sent++ % trace->depth] = trace->calls;
		printf("C %u 0 read %u %llu %u\n", trace->calls++, handle,
		       (unsigned long long)off, TRACE_READ_LEN);
	}
}

static int trace_visit(void *ctx, const char *path,
		       const struct tree_entry *entry, uint32_t inode)
{
	struct treetrace *trace = ctx;
	struct tree_inode attr;
	unsigned int level = 0, handle;

	if (!entry || !*path || inode == TREE_WHITEOUT)
		return 0;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		level++;
	if (level + 1 >= TRACE_LEVELS_MAX)
		return -ENAMETOOLONG;
	tree_inode_get(trace->tree, inode, &attr);
	if (!S_ISDIR(attr.mode) && !S_ISREG(attr.mode))
		return 0;
	handle = trace_lookup(trace, trace->dir[level], entry->name,
			      entry->name_len);
	if (S_ISDIR(attr.mode))
		trace->dir[level + 1] = handle;
	else
		trace_read(trace, handle, attr.size);
	return 0;
}

int main(int argc, char **argv)
{
	struct treetrace trace = {0};
	int rc;

	if (argc == 3)
		trace.depth = (unsigned int)atoi(argv[2]);
	if (trace.depth < 1 || trace.depth > TRACE_DEPTH_MAX) {
		fprintf(stderr, "usage: treetrace TREE DEPTH\n");
		return 2;
	}
	rc = tree_open_file(argv[1], NULL, &trace.tree);
	if (rc == 0)
		rc = tree_walk(trace.tree, trace_visit, &trace);
	while (trace.done < trace.sent)
		trace_land(&trace);
	if (rc < 0) {
		fprintf(stderr, "treetrace: %s: %s\n", argv[1], strerror(-rc));
		return 1;
	}
	tree_put(trace.tree);
	return 0;
}
