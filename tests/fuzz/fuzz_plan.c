/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_plan: arbitrary bytes as a plan and as a start's row.  Promises: what is
 * taken names shards below the tree's count, none twice, within a possible
 * budget, and is written as the same bytes; a plan of another tree is refused.
 */
#include "depot/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_plan_list(const uint32_t *shards, uint32_t count,
			   uint32_t shard_count)
{
	uint8_t *seen = calloc((size_t)shard_count + 1, 1);

	ASSERT(seen && count <= PLAN_SHARDS_MAX && count <= shard_count);
	for (uint32_t i = 0; i < count; i++) {
		ASSERT(shards[i] < shard_count && !seen[shards[i]]);
		seen[shards[i]] = 1;
	}
	free(seen);
}

static void fuzz_plan_plan(const uint8_t *data, size_t len)
{
	struct plan plan, again;
	struct digest other;
	void *bytes;
	size_t out;
	int rc;

	rc = plan_read(data, len, NULL, 0, &plan);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	if (rc < 0)
		return;
	fuzz_plan_list(plan.shards, plan.count, plan.shard_count);
	ASSERT(plan.budget <= PLAN_BUDGET_MAX);
	ASSERT(plan_write(&plan, &bytes, &out) == 0);
	ASSERT(out == len && memcmp(bytes, data, len) == 0);
	ASSERT(plan_read(bytes, out, &plan.tree, plan.shard_count, &again) ==
	       0);
	ASSERT(again.count == plan.count && again.budget == plan.budget);
	plan_clear(&again);
	ASSERT(plan_read(bytes, out, &plan.tree, plan.shard_count + 1,
			 &again) == -EBADMSG);
	other = plan.tree;
	other.bytes[31] ^= 1;
	ASSERT(plan_read(bytes, out, &other, plan.shard_count, &again) ==
	       -EBADMSG);
	free(bytes);
	plan_clear(&plan);
}

static void fuzz_plan_start(const uint8_t *data, size_t len)
{
	static uint8_t out[PLAN_START_MAX];
	struct plan_start start;
	int rc;

	rc = plan_start_read(data, len, &start);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	if (rc == 0) {
		fuzz_plan_list(start.shards, start.count, start.shard_count);
		ASSERT(plan_start_write(&start, out) == len);
		ASSERT(memcmp(out, data, len) == 0);
	}
	plan_start_clear(&start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_plan_plan(data, len);
	fuzz_plan_start(data, len);
	return 0;
}
