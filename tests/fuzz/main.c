/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: runs a fuzz target over files and directories, for `make check`: every
 * input that was ever of interest, once.  A crash is the failure.  Under clang
 * libFuzzer's own main takes this one's place (make fuzz).
 */
#include <dirent.h>
#include <stdio.h>

#include "depot/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_INPUT_MAX = 16 << 20 };

static unsigned int fuzz_count;

static void fuzz_file(const char *path)
{
	void *data;
	size_t len;

	if (io_read_file(path, FUZZ_INPUT_MAX, &data, &len) < 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	(void)LLVMFuzzerTestOneInput(data, len);
	fuzz_count++;
	free(data);
}

static void fuzz_path(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *ent;

	if (!dir) {
		fuzz_file(path);
		return;
	}
	while ((ent = readdir(dir))) {
		char below[4096];

		if (ent->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, ent->d_name);
		fuzz_path(below);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');

	for (int i = 1; i < argc; i++)
		fuzz_path(argv[i]);
	printf("%s: %u passed, %d failed\n", name ? name + 1 : argv[0],
	       fuzz_count, fuzz_count == 0);
	return fuzz_count == 0;
}
