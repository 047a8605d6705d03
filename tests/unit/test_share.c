/* SPDX-License-Identifier: Apache-2.0 */
/* test_share: accounts of guests, tenants and addresses (promise P-18). */
#include "nfsd/share.h"

#include "overlay/view.h"
#include "tests/lib/check.h"

static const struct share_limits limits = {
    .guest = {[SHARE_CONNS] = 2, [SHARE_PARKED] = 10, [SHARE_BYTES] = 100},
    .tenant = {[SHARE_CONNS] = 3, [SHARE_PARKED] = 15, [SHARE_BYTES] = 150},
    .address_conns = 2,
};
static const struct view_info one = {.export_id = 1, .path = "/t/one"};
static const struct view_info two = {.export_id = 2, .path = "/t/two"};
static const struct view_info other = {.export_id = 3, .path = "/tt/one"};

static struct shares *shares_make(void)
{
	struct shares *shares;

	ASSERT(shares_new(&limits, &shares) == 0);
	return shares;
}

static void test_same_account(void)
{
	struct shares *shares = shares_make();
	struct share *share = share_of_guest(shares, &one);

	CU_ASSERT_PTR_NOT_NULL(share);
	CU_ASSERT_PTR_EQUAL(share_of_guest(shares, &one), share);
	CU_ASSERT_PTR_NOT_EQUAL(share_of_guest(shares, &two), share);
	/* By hash, one in sixteen guests had its turns behind another's. */
	CU_ASSERT_EQUAL(share_number(share), 0);
	CU_ASSERT_EQUAL(share_number(share_of_guest(shares, &two)), 1);
	shares_free(shares);
}

/* Each kind by itself; a guest is full when its tenant is. */
static void test_full(void)
{
	struct shares *shares = shares_make();
	struct share *a = share_of_guest(shares, &one);
	struct share *b = share_of_guest(shares, &two);
	struct share *c = share_of_guest(shares, &other);

	share_add(a, SHARE_CONNS, 1);
	CU_ASSERT_FALSE(share_is_full(a, SHARE_CONNS));
	share_add(a, SHARE_CONNS, 1);
	CU_ASSERT_TRUE(share_is_full(a, SHARE_CONNS));
	CU_ASSERT_FALSE(share_is_full(a, SHARE_PARKED));
	CU_ASSERT_FALSE(share_is_full(b, SHARE_CONNS));
	share_add(b, SHARE_CONNS, 1);
	CU_ASSERT_TRUE(share_is_full(b, SHARE_CONNS)); /* the tenant's 3 */
	CU_ASSERT_FALSE(share_is_full(c, SHARE_CONNS));
	share_sub(a, SHARE_CONNS, 2);
	CU_ASSERT_FALSE(share_is_full(a, SHARE_CONNS));
	CU_ASSERT_FALSE(share_is_full(b, SHARE_CONNS));
	shares_free(shares);
}

static void test_relieve(void)
{
	struct shares *shares = shares_make();
	struct share *a = share_of_guest(shares, &one);

	share_add(a, SHARE_BYTES, 299);
	CU_ASSERT_TRUE(share_is_full(a, SHARE_BYTES));
	CU_ASSERT_FALSE(share_must_relieve(a));
	share_add(a, SHARE_BYTES, 1);
	CU_ASSERT_TRUE(share_must_relieve(a));
	shares_free(shares);
}

static void test_addresses(void)
{
	struct shares *shares = shares_make();
	struct share *taken[2], *third;

	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t addr[16] = {0};

		le32_put(addr, i);
		for (int k = 0; k < 2; k++) {
			taken[k] = share_take_address(shares, addr);
			CU_ASSERT_PTR_NOT_NULL(taken[k]);
		}
		third = share_take_address(shares, addr);
		CU_ASSERT_PTR_NULL(third);
		share_give_address(shares, taken[0]);
		taken[0] = share_take_address(shares, addr);
		CU_ASSERT_PTR_NOT_NULL(taken[0]);
		for (int k = 0; k < 2; k++)
			share_give_address(shares, taken[k]);
	}
	shares_free(shares);
}

static void test_nobody(void)
{
	share_add(NULL, SHARE_PARKED, 5);
	share_sub(NULL, SHARE_PARKED, 5);
	CU_ASSERT_FALSE(share_is_full(NULL, SHARE_PARKED));
	CU_ASSERT_FALSE(share_must_relieve(NULL));
	share_give_address(NULL, NULL);
}

static const struct check_test tests[] = {
    {"one account a guest", test_same_account},
    {"full by kind, with the tenant", test_full},
    {"relieve", test_relieve},
    {"addresses", test_addresses},
    {"nobody", test_nobody},
};

int main(void)
{
	return check_main("test_share", tests, ARRAY_LEN(tests));
}
