/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_gc_row: the walk's row of a collection, whatever lies there. */
#include "depot/gc_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct gc_row_walk walk;

	if (!gc_row_walk_parse(data, len, &walk))
		return 0;
	ASSERT(walk.phase == GC_PHASE_DONE || walk.phase == GC_PHASE_WALK ||
	       walk.phase == GC_PHASE_COMPACT);
	ASSERT(memcmp(walk.position.bytes, data + len - DIGEST_LEN,
		      DIGEST_LEN) == 0);
	return 0;
}
