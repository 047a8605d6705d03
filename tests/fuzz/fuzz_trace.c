/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_trace: arbitrary bytes as an access trace, and as a file of usage
 * counters.  Promises: what is taken can be replayed by each policy, none
 * answers more than was asked, and the one that knows the future answers no
 * less than nothing; counters that are not whole change nothing.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "depot/replay.h"
#include "depot/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_replay(const char *path)
{
	struct replay_trace *trace;
	struct replay_result result;
	struct replay_shape shape;

	if (replay_open(path, &trace) < 0)
		return;
	replay_get_shape(trace, &shape);
	for (int p = 0; p < REPLAY_POLICY_COUNT; p++) {
		ASSERT(replay_run(trace, (enum replay_policy)p,
				  shape.chunk_bytes / 3, &result) == 0);
		ASSERT(result.hits <= shape.reads - MIN(shape.reads, 1u));
		ASSERT(result.hit_bytes <= shape.read_bytes);
	}
	replay_close(trace);
}

static void fuzz_usage(const char *path)
{
	struct digest name = {{0}};
	struct usage *usage;

	if (usage_new(USAGE_COUNTERS_MIN, USAGE_FREQUENCY, &usage) < 0)
		return;
	if (usage_load(usage, path) < 0)
		ASSERT(usage_get(usage, &name) == 0);
	usage_touch(usage, &name, 1);
	usage_free(usage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	if (fd < 0)
		return 0;
	if (write(fd, data, len) == (ssize_t)len) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		fuzz_replay(path);
		fuzz_usage(path);
	}
	close(fd);
	return 0;
}
