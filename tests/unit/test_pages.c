/* SPDX-License-Identifier: Apache-2.0 */
/* test_pages: bits of presence, in memory and through the database. */
#include "overlay/pages.h"

#include "depot/kv.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { TEST_PAGES_MEMORY = 8 << 20, TEST_PAGES_LAYER = 3, TEST_PAGES_FILE = 9 };

static void test_pages_bits(void)
{
	struct pages pages = {0};

	CU_ASSERT_FALSE(pages_has(&pages, 0));
	CU_ASSERT_EQUAL(pages_count(&pages), 0);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 0, 100), 100);
	CU_ASSERT_EQUAL(pages_set(&pages, 3, 3), 0);
	CU_ASSERT_EQUAL(pages_count(&pages), 0);
	CU_ASSERT_EQUAL(pages_set(&pages, 3, 11), 0);
	CU_ASSERT_FALSE(pages_has(&pages, 2));
	CU_ASSERT_TRUE(pages_has(&pages, 3));
	CU_ASSERT_TRUE(pages_has(&pages, 10));
	CU_ASSERT_FALSE(pages_has(&pages, 11));
	CU_ASSERT_EQUAL(pages_count(&pages), 8);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 0, 100), 3);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 4, 100), 11);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 4, 6), 6);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 11, 40), 40);
	pages_clear_from(&pages, 9);
	CU_ASSERT_EQUAL(pages_count(&pages), 6);
	pages_clear_from(&pages, 0);
	CU_ASSERT_EQUAL(pages_count(&pages), 0);
	pages_free(&pages);
	CU_ASSERT_FALSE(pages_has(&pages, 3));
}

/* Over the edge of a piece of 128 MiB. */
static void test_pages_pieces(void)
{
	const uint64_t edge = RECORD_PIECE_PAGES;
	struct pages pages = {0};

	CU_ASSERT_EQUAL(pages_set(&pages, edge - 2, edge + 2), 0);
	CU_ASSERT_EQUAL(pages_count(&pages), 4);
	CU_ASSERT_EQUAL(pages_run_end(&pages, edge - 2, 2 * edge), edge + 2);
	CU_ASSERT_EQUAL(pages_run_end(&pages, 0, 2 * edge), edge - 2);
	pages_clear_from(&pages, edge + 1);
	CU_ASSERT_EQUAL(pages_count(&pages), 3);
	pages_clear_from(&pages, edge - 1);
	CU_ASSERT_EQUAL(pages_count(&pages), 1);
	CU_ASSERT_TRUE(pages_has(&pages, edge - 2));
	pages_free(&pages);
}

/* A page far out must cost no memory for what lies before it, and a file cut
 * far out must keep its beginning. */
static void test_pages_far(void)
{
	const uint64_t far = (UINT64_C(1) << 58) / RECORD_PAGE;
	const uint64_t top = VIEW_FILE_SIZE_MAX / RECORD_PAGE;
	struct pages pages = {0};

	CU_ASSERT_EQUAL(pages_set(&pages, 0, 2), 0);
	CU_ASSERT_EQUAL(pages_set(&pages, far, far + 1), 0);
	CU_ASSERT_TRUE(pages_has(&pages, far));
	CU_ASSERT_FALSE(pages_has(&pages, far - 1));
	pages_clear_from(&pages, top);
	CU_ASSERT_EQUAL(pages_count(&pages), 3);
	pages_clear_from(&pages, UINT64_C(1) << 48);
	CU_ASSERT_EQUAL(pages_count(&pages), 3);
	pages_clear_from(&pages, far);
	CU_ASSERT_EQUAL(pages_count(&pages), 2);
	CU_ASSERT_EQUAL(pages_set(&pages, top - 1, top), -EFBIG);
	CU_ASSERT_EQUAL(pages_count(&pages), 2);
	pages_free(&pages);
}

static struct kv *test_pages_kv(const char *dir)
{
	struct kv *kv = NULL;

	CU_ASSERT_EQUAL_FATAL(kv_open(dir, KV_STATE, TEST_PAGES_MEMORY, &kv),
			      0);
	return kv;
}

static size_t test_pages_save(struct pages *pages, struct kv *kv)
{
	struct kv_batch *batch = kv_batch_new();
	size_t count;

	pages_save(pages, batch, TEST_PAGES_LAYER, TEST_PAGES_FILE);
	count = kv_batch_count(batch);
	CU_ASSERT_EQUAL(kv_write(kv, batch), 0);
	kv_batch_free(batch);
	return count;
}

static void test_pages_through_kv(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	const uint64_t far = UINT64_C(5) * RECORD_PIECE_PAGES + 17;
	struct kv *kv = test_pages_kv(dir);
	struct pages pages = {0}, loaded = {0}, other = {0};

	CU_ASSERT_EQUAL(pages_set(&pages, 0, 9), 0);
	CU_ASSERT_EQUAL(pages_set(&pages, far, far + 3), 0);
	CU_ASSERT_EQUAL(test_pages_save(&pages, kv), 2);
	CU_ASSERT_EQUAL(test_pages_save(&pages, kv), 0);
	CU_ASSERT_EQUAL(pages_set(&pages, 8, 9), 0); /* was set */
	CU_ASSERT_EQUAL(test_pages_save(&pages, kv), 0);
	pages_clear_from(&pages, far + 1);
	CU_ASSERT_EQUAL(test_pages_save(&pages, kv), 1);
	pages_unsave(&pages);
	CU_ASSERT_EQUAL(test_pages_save(&pages, kv), 2);

	CU_ASSERT_EQUAL(
	    pages_load(&loaded, kv, TEST_PAGES_LAYER, TEST_PAGES_FILE), 0);
	CU_ASSERT_EQUAL(pages_count(&loaded), 10);
	CU_ASSERT_TRUE(pages_has(&loaded, far));
	CU_ASSERT_EQUAL(pages_run_end(&loaded, 0, 100), 9);
	CU_ASSERT_EQUAL(test_pages_save(&loaded, kv), 0);
	CU_ASSERT_EQUAL(
	    pages_load(&other, kv, TEST_PAGES_LAYER, TEST_PAGES_FILE + 1), 0);
	CU_ASSERT_EQUAL(pages_count(&other), 0);
	pages_free(&pages);
	pages_free(&loaded);
	pages_free(&other);
	kv_close(kv);
}

static void test_pages_damaged(void)
{
	CLEANUP(tmpdir_cleanup) char *dir = tmpdir_new();
	static uint8_t value[2 + RECORD_PIECE_LEN] = {RECORD_FORMAT};
	struct kv *kv = test_pages_kv(dir);
	struct pages pages = {0};
	struct record_key key;

	check_mute();
	record_key_piece(&key, TEST_PAGES_LAYER, TEST_PAGES_FILE, 0);
	for (int i = 0; i < 3; i++) {
		static const size_t len[] = {RECORD_PIECE_LEN,
					     2 + RECORD_PIECE_LEN, 0};

		CU_ASSERT_EQUAL(kv_put(kv, key.bytes, key.len, value, len[i]),
				0);
		CU_ASSERT_EQUAL(
		    pages_load(&pages, kv, TEST_PAGES_LAYER, TEST_PAGES_FILE),
		    -EBADMSG);
		pages_free(&pages);
	}
	value[0] = RECORD_FORMAT + 1;
	CU_ASSERT_EQUAL(kv_put(kv, key.bytes, key.len, value, 9), 0);
	CU_ASSERT_EQUAL(
	    pages_load(&pages, kv, TEST_PAGES_LAYER, TEST_PAGES_FILE),
	    -EPROTONOSUPPORT);
	check_unmute();
	pages_free(&pages);
	kv_close(kv);
}

static const struct check_test tests[] = {
    {"bits", test_pages_bits},
    {"pieces", test_pages_pieces},
    {"far out", test_pages_far},
    {"through the database", test_pages_through_kv},
    {"damaged", test_pages_damaged},
};

int main(void)
{
	return check_main("test_pages", tests, ARRAY_LEN(tests));
}
