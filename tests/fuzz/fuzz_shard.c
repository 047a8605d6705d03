/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_shard: opens arbitrary bytes as a shard.  Promises: never more than the
 * cap is written, what shard_open accepts has its name and its header's length,
 * and what it unpacks under a wrong name it accepts under the right one.
 */
#include "depot/shard.h"

enum { FUZZ_SHARD_GUARD = 64, FUZZ_SHARD_FILL = 0xa5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_shard_check(const uint8_t *data, size_t len, uint8_t *out,
			     size_t cap)
{
	struct digest name = {{0}};
	size_t chunk_len = 0, out_len = 0;
	int parse_rc, rc;

	memset(out, FUZZ_SHARD_FILL, cap + FUZZ_SHARD_GUARD);
	parse_rc = shard_chunk_len(data, len, &chunk_len);
	ASSERT(parse_rc == 0 || parse_rc == -EBADMSG ||
	       parse_rc == -EPROTONOSUPPORT);
	ASSERT(parse_rc < 0 || (chunk_len > 0 && chunk_len <= SHARD_CHUNK_MAX));

	/* Nothing hashes to zeros. */
	rc = shard_open(NULL, &name, data, len, out, cap, &out_len);
	ASSERT(rc == (parse_rc ? parse_rc : -EBADMSG));
	for (size_t i = cap; i < cap + FUZZ_SHARD_GUARD; i++)
		ASSERT(out[i] == FUZZ_SHARD_FILL);
	if (parse_rc < 0 || chunk_len > cap)
		return;

	name = shard_name_of(NULL, out, chunk_len);
	rc = shard_open(NULL, &name, data, len, out, cap, &out_len);
	ASSERT(rc == 0 || rc == -EBADMSG);
	if (rc < 0)
		return;
	ASSERT(out_len == chunk_len);
	name.bytes[0] ^= 1;
	ASSERT(shard_open(NULL, &name, data, len, out, cap, &out_len) ==
	       -EBADMSG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t out[SHARD_CHUNK_MAX + FUZZ_SHARD_GUARD];

	fuzz_shard_check(data, len, out, SHARD_CHUNK_MAX);
	fuzz_shard_check(data, len, out, 100);
	return 0;
}
