/* SPDX-License-Identifier: Apache-2.0 */
/*
 * treetrace: traces for coldstart (tests/bench) in which a client reads files
 * of a package from end to end, by READs of up to 1 MiB, DEPTH of them in
 * flight.
 *
 *   treetrace TREE DEPTH               every file once, as tar or cp would
 *   treetrace TREE DEPTH COUNT SEED    COUNT files drawn by chance, some much
 *                                      more often than others: the file of rank
 *                                      r as often as 1/r (Zipf's law); ranks
 *                                      are the same whatever SEED is; of files
 *                                      above 4 MiB their first 4 MiB
 *
 * TREE is a tree file of a store.  The trace goes to stdout.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "depot/tree.h"

enum {
	TRACE_READ_LEN = 1 << 20,
	TRACE_DRAWN_MAX = 4 << 20,
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
	/* To draw from: */
	bool draws;
	struct trace_file {
		unsigned int handle;
		uint64_t size;
		double until; /* sum of the weights up to this one */
	} * files;            /* owns */
	size_t file_count;
	uint64_t random;
};

static uint64_t trace_random(struct treetrace *trace)
{
	trace->random ^= trace->random << 13;
	trace->random ^= trace->random >> 7;
	trace->random ^= trace->random << 17;
	return trace->random;
}

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

static int trace_keep(struct treetrace *trace, unsigned int handle,
		      uint64_t size)
{
	struct trace_file *files = trace->files;
	size_t n = trace->file_count;

	if ((n & (n - 1)) == 0) {
		files = reallocarray(files, 2 * n + 1, sizeof(*files));
		if (!files)
			return -ENOMEM;
		trace->files = files;
	}
	files[trace->file_count++] =
	    (struct trace_file){.handle = handle, .size = size};
	return 0;
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
	else if (trace->draws)
		return trace_keep(trace, handle,
				  MIN(attr.size, (uint64_t)TRACE_DRAWN_MAX));
	else
		trace_read(trace, handle, attr.size);
	return 0;
}

/* Ranks by chance, but always the same; then the draws. */
static void trace_draw(struct treetrace *trace, unsigned long count,
		       uint64_t seed)
{
	size_t n = trace->file_count;
	double sum = 0;

	for (size_t i = n; i > 1; i--) {
		size_t other = trace_random(trace) % i;
		struct trace_file file = trace->files[i - 1];

		trace->files[i - 1] = trace->files[other];
		trace->files[other] = file;
	}
	for (size_t i = 0; i < n; i++) {
		sum += 1.0 / (double)(i + 1);
		trace->files[i].until = sum;
	}
	trace->random ^= seed * 0x9e3779b97f4a7c15u;
	puts("M");
	while (n > 0 && count-- > 0) {
		double at =
		    ldexp((double)(trace_random(trace) >> 11), -53) * sum;
		size_t low = 0, high = n - 1;

		while (low < high) {
			size_t middle = (low + high) / 2;

			if (trace->files[middle].until < at)
				low = middle + 1;
			else
				high = middle;
		}
		trace_read(trace, trace->files[low].handle,
			   trace->files[low].size);
	}
}

int main(int argc, char **argv)
{
	struct treetrace trace = {.random = 88172645463325252u};
	int rc;

	if (argc == 3 || argc == 5)
		trace.depth = (unsigned int)atoi(argv[2]);
	if (trace.depth < 1 || trace.depth > TRACE_DEPTH_MAX) {
		fprintf(stderr, "usage: treetrace TREE DEPTH [COUNT SEED]\n");
		return 2;
	}
	trace.draws = argc == 5;
	rc = tree_open_file(argv[1], NULL, &trace.tree);
	if (rc == 0)
		rc = tree_walk(trace.tree, trace_visit, &trace);
	if (rc == 0 && trace.draws)
		trace_draw(&trace, strtoul(argv[3], NULL, 10),
			   strtoull(argv[4], NULL, 10));
	while (trace.done < trace.sent)
		trace_land(&trace);
	free(trace.files);
	if (rc < 0) {
		fprintf(stderr, "treetrace: %s: %s\n", argv[1], strerror(-rc));
		return 1;
	}
	tree_put(trace.tree);
	return 0;
}
