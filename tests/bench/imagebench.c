/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imagebench: how long a selection takes to be flattened (overlay/image.h), and
 * what an image costs.
 *
 *   imagebench [-n ENTRIES] [-d FILES] [-t TREES] [-r ROUNDS]
 *
 * ENTRIES (1,000,000) names in all, over TREES (1) packages; FILES (50) in a
 * directory, as in a Debian system; of each package's directories every other
 * one is also one of the other packages', with other files in it.  Prints one
 * line of JSON a round: milliseconds, those of the CPU, objects, bytes of
 * memory that the image has taken.
 */
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/tree.h"
#include "depot/tree_build.h"
#include "overlay/image.h"

enum { IMAGEBENCH_TREES_MAX = 16, IMAGEBENCH_FAN = 30 };

static struct {
	unsigned long entries, files, trees, rounds;
} image_options = {1000000, 50, 1, 5};

/* Directory `d` of a tree, as a path three levels deep. */
static int imagebench_dir(char *path, size_t len, unsigned int tree,
			  unsigned long d)
{
	unsigned int owner = d % 2 ? tree : 0;

	return snprintf(path, len, "usr/lib%u/part-%lu/python3-module-%lu",
			owner, d / IMAGEBENCH_FAN, d);
}

static struct tree *imagebench_tree(unsigned int t)
{
	struct tree_build *build = tree_build_new();
	struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	unsigned long left = image_options.entries / image_options.trees;
	struct tree *tree = NULL;
	char path[256];
	void *bytes;
	size_t len;
	int rc = 0, dir_len;

	if (!build)
		abort();
	for (unsigned long d = 0; left > 0; d++) {
		dir_len = imagebench_dir(path, sizeof(path), t, d);
		left -= left > 0; /* the directory itself */
		for (unsigned long f = 0;
		     rc == 0 && left > 0 && f < image_options.files;
		     f++, left--) {
			snprintf(path + dir_len, sizeof(path) - (size_t)dir_len,
				 "/some_source_file_%u_%lu.py", t, f);
			attr.mtime.tv_sec = (time_t)(d * 1000 + f);
			rc = tree_build_file(build, path, &attr);
		}
	}
	if (rc == 0)
		rc = tree_build_finish(build, &bytes, &len);
	tree_build_free(build);
	if (rc == 0)
		rc = tree_open_taken(bytes, len, NULL, &tree);
	if (rc < 0) {
		fprintf(stderr, "imagebench: tree: %s\n", strerror(-rc));
		exit(1);
	}
	return tree;
}

static double imagebench_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void imagebench_round(struct tree **trees)
{
	static const uint8_t key[SIPHASH_KEY_LEN] = "imagebench";
	static const struct timespec since = {1, 0};
	struct mallinfo2 before = mallinfo2(), after;
	double start, cpu;
	struct image *image;
	int rc;

	start = imagebench_ms(CLOCK_MONOTONIC);
	cpu = imagebench_ms(CLOCK_PROCESS_CPUTIME_ID);
	rc = image_new(trees, (unsigned int)image_options.trees, 0, key, &since,
		       NULL, NULL, &image);
	cpu = imagebench_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	start = imagebench_ms(CLOCK_MONOTONIC) - start;
	if (rc < 0) {
		fprintf(stderr, "imagebench: %s\n", strerror(-rc));
		exit(1);
	}
	after = mallinfo2();
	printf("{\"server\":\"image\",\"trees\":%lu,\"files\":%lu,"
	       "\"objects\":%u,\"ms\":%.1f,\"cpu_ms\":%.1f,\"bytes\":%zu}\n",
	       image_options.trees, image_options.files,
	       image_inode_count(image), start, cpu,
	       after.uordblks + after.hblkhd - before.uordblks - before.hblkhd);
	image_put(image);
}

int main(int argc, char **argv)
{
	struct tree *trees[IMAGEBENCH_TREES_MAX];
	int option;

	while ((option = getopt(argc, argv, "n:d:t:r:")) >= 0) {
		unsigned long value =
		    option == '?' ? 0 : strtoul(optarg, NULL, 10);

		if (value == 0 || (option == 't' && value > ARRAY_LEN(trees))) {
			fprintf(stderr, "usage: imagebench [-n ENTRIES] "
					"[-d FILES] [-t TREES] [-r ROUNDS]\n");
			return 2;
		}
		*(option == 'n'   ? &image_options.entries
		  : option == 'd' ? &image_options.files
		  : option == 't' ? &image_options.trees
				  : &image_options.rounds) = value;
	}
	for (unsigned int t = 0; t < image_options.trees; t++)
		trees[t] = imagebench_tree(t);
	for (unsigned long r = 0; r < image_options.rounds; r++)
		imagebench_round(trees);
	for (unsigned int t = 0; t < image_options.trees; t++)
		tree_put(trees[t]);
	return 0;
}
