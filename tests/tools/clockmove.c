/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clockmove: sets the clocks of programs that run with tests/preload.so:
 *
 *	clockmove FILE real|mono SECONDS
 *
 * FILE is their $TEST_PRELOAD; it is made when it is not there.  SECONDS, which
 * may be negative, is how far their own code sees that clock moved.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/preload.h"

int main(int argc, char **argv)
{
	size_t off = offsetof(struct preload, real_offset);
	int64_t ns;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: clockmove FILE real|mono SECONDS\n");
		return 2;
	}
	if (strcmp(argv[2], "mono") == 0)
		off = offsetof(struct preload, mono_offset);
	ns = atoll(argv[3]) * 1000000000ll;
	fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0 || ftruncate(fd, sizeof(struct preload)) < 0 ||
	    pwrite(fd, &ns, sizeof(ns), (off_t)off) != sizeof(ns)) {
		perror(argv[1]);
		return 1;
	}
	close(fd);
	return 0;
}
