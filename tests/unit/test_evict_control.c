/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_evict_control: what test_store_evict measures shows a quota that does
 * not hold.  Built with a gate that ignores it (tests/fakes.mk); the whole of
 * test_store_evict does the same with make BROKEN=ignore-quota.
 */
#include "tests/lib/check.h"
#include "tests/lib/evict_rig.h"
#include "tests/lib/tmpdir.h"

enum { TEST_SHARDS = (48 << 20) / EVICT_RIG_SHARD };

static void test_control(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	struct evict_rig rig = {.dir = dir, .keep_end = TEST_SHARDS};

	evict_rig_open(&rig, EVICT_QUOTA_MIN, USAGE_FREQUENCY);
	check_mute();
	for (unsigned int i = 0; i < TEST_SHARDS; i++) {
		CU_ASSERT_EQUAL(evict_rig_fetch(&rig, i), 0);
		evict_rig_look(&rig);
	}
	check_unmute();
	CU_ASSERT(rig.disk_most > EVICT_QUOTA_MIN);
	evict_rig_close(&rig);
}

int main(void)
{
	static const struct check_test tests[] = {
	    {"a gate that ignores the quota is found", test_control},
	};

	return check_main("test_evict_control", tests, ARRAY_LEN(tests));
}
