/* SPDX-License-Identifier: Apache-2.0 */
#include "nfsd/attr3.h"
#include "nfsd/wirebytes.h"
#include "tests/lib/check.h"

#include <sys/stat.h>

static struct view_attr some_attr(uint32_t mode)
{
	return (struct view_attr){
	    .fileid = 0x8000000000000123,
	    .generation = 4,
	    .mode = mode,
	    .nlink = 3,
	    .uid = 4294967294,
	    .gid = 6,
	    .rdev_major = 8,
	    .rdev_minor = 9,
	    .size = 0x123456789abcdef,
	    .used = 4096,
	    .atime = {.tv_sec = 1, .tv_nsec = 2},
	    .mtime = {.tv_sec = 0xffffffff, .tv_nsec = 999999999},
	    .ctime = {.tv_sec = 5, .tv_nsec = 6},
	};
}

/* By hand and by rpcgen: the same bytes. */
static void test_same_as_rpcgen(void)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR,  S_IFLNK, S_IFBLK,
					 S_IFCHR, S_IFSOCK, S_IFIFO};
	static const ftype3 want[] = {NF3REG, NF3DIR,  NF3LNK, NF3BLK,
				      NF3CHR, NF3SOCK, NF3FIFO};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct view_attr attr = some_attr(types[i] | 06751);
		uint8_t hand[256], gen[256];
		post_op_attr post;
		XDR xdrs;

		attr3_fill_post_op(&post, &attr, 77);
		CU_ASSERT_EQUAL(post.post_op_attr_u.attributes.type, want[i]);
		CU_ASSERT_EQUAL(post.post_op_attr_u.attributes.mode, 06751);
		xdrmem_create(&xdrs, (char *)gen, sizeof(gen), XDR_ENCODE);
		CU_ASSERT_TRUE(xdr_post_op_attr(&xdrs, &post));
		CU_ASSERT_EQUAL(xdr_getpos(&xdrs), ATTR3_POST_LEN);
		CU_ASSERT_PTR_EQUAL(attr3_put_post_op(hand, &attr, 77),
				    hand + ATTR3_POST_LEN);
		CU_ASSERT_EQUAL(memcmp(hand, gen, ATTR3_POST_LEN), 0);
	}
}

static void test_none(void)
{
	struct view_wcc wcc = {.has_before = false};
	uint8_t bytes[16];

	CU_ASSERT_PTR_EQUAL(attr3_put_post_op(bytes, NULL, 1), bytes + 4);
	CU_ASSERT_EQUAL(be32_get(bytes), 0);
	CU_ASSERT_PTR_EQUAL(attr3_put_wcc(bytes, &wcc, 1), bytes + 8);
	CU_ASSERT_EQUAL(be64_get(bytes), 0);
}

static void test_wcc(void)
{
	struct view_wcc wcc = {
	    .has_before = true,
	    .has_after = true,
	    .before_size = 11,
	    .before_mtime = {.tv_sec = 12, .tv_nsec = 13},
	    .before_ctime = {.tv_sec = 14, .tv_nsec = 15},
	};
	uint8_t bytes[256];
	wcc_data data;
	XDR xdrs;

	wcc.after = some_attr(S_IFREG | 0644);
	CU_ASSERT_PTR_EQUAL(attr3_put_wcc(bytes, &wcc, 7),
			    bytes + ATTR3_WCC_LEN);
	xdrmem_create(&xdrs, (char *)bytes, ATTR3_WCC_LEN, XDR_DECODE);
	CU_ASSERT_TRUE(xdr_wcc_data(&xdrs, &data));
	CU_ASSERT_TRUE(data.before.attributes_follow);
	CU_ASSERT_EQUAL(data.before.pre_op_attr_u.attributes.size, 11);
	CU_ASSERT_EQUAL(data.before.pre_op_attr_u.attributes.ctime.nseconds,
			15);
	CU_ASSERT_EQUAL(data.after.post_op_attr_u.attributes.fsid, 7);
}

/* Seconds on the wire are unsigned 32 bit: clamped, not wrapped. */
static void test_clamp(void)
{
	struct view_attr attr = some_attr(S_IFREG);
	post_op_attr post;

	attr.atime.tv_sec = -1;
	attr.mtime.tv_sec = (time_t)1 << 33;
	attr.ctime.tv_sec = ((time_t)1 << 31) + 5;
	attr3_fill_post_op(&post, &attr, 1);
	CU_ASSERT_EQUAL(post.post_op_attr_u.attributes.atime.seconds, 0);
	CU_ASSERT_EQUAL(post.post_op_attr_u.attributes.mtime.seconds,
			UINT32_MAX);
	CU_ASSERT_EQUAL(post.post_op_attr_u.attributes.ctime.seconds,
			(1u << 31) + 5);
}

static sattr3 nothing(void)
{
	sattr3 sattr;

	memset(&sattr, 0, sizeof(sattr));
	return sattr;
}

static void test_set(void)
{
	sattr3 sattr = nothing();
	struct view_setattr set;

	CU_ASSERT_EQUAL(attr3_get_set(&sattr, &set), 0);
	CU_ASSERT_EQUAL(set.mask, 0);
	sattr.mode.set_it = 1;
	sattr.mode.set_mode3_u.mode = 0177777;
	sattr.uid.set_it = 1;
	sattr.uid.set_uid3_u.uid = 5;
	sattr.gid.set_it = 1;
	sattr.gid.set_gid3_u.gid = 6;
	sattr.size.set_it = 1;
	sattr.size.set_size3_u.size = INT64_MAX;
	sattr.atime.set_it = SET_TO_SERVER_TIME;
	sattr.mtime.set_it = SET_TO_CLIENT_TIME;
	sattr.mtime.set_time3_u.time = (nfstime3){UINT32_MAX, 999999999};
	CU_ASSERT_EQUAL(attr3_get_set(&sattr, &set), 0);
	CU_ASSERT_EQUAL(set.mask, VIEW_SET_MODE | VIEW_SET_UID | VIEW_SET_GID |
				      VIEW_SET_SIZE | VIEW_SET_ATIME_NOW |
				      VIEW_SET_MTIME);
	CU_ASSERT_EQUAL(set.mode, 07777);
	CU_ASSERT_EQUAL(set.uid, 5);
	CU_ASSERT_EQUAL(set.gid, 6);
	CU_ASSERT_EQUAL(set.size, INT64_MAX);
	CU_ASSERT_EQUAL(set.mtime.tv_sec, UINT32_MAX);
	CU_ASSERT_EQUAL(set.mtime.tv_nsec, 999999999);
}

static void test_refused(void)
{
	sattr3 sattr = nothing();
	struct view_setattr set;

	sattr.size.set_it = 1;
	sattr.size.set_size3_u.size = (uint64_t)INT64_MAX + 1;
	CU_ASSERT_EQUAL(attr3_get_set(&sattr, &set), -EFBIG);
	sattr = nothing();
	sattr.atime.set_it = SET_TO_CLIENT_TIME;
	sattr.atime.set_time3_u.time.nseconds = 1000000000;
	CU_ASSERT_EQUAL(attr3_get_set(&sattr, &set), -EINVAL);
}

static const struct check_test tests[] = {
    {"same bytes as rpcgen's", test_same_as_rpcgen},
    {"no attributes", test_none},
    {"wcc_data", test_wcc},
    {"seconds are clamped", test_clamp},
    {"sattr3", test_set},
    {"sattr3 refused", test_refused},
};

int main(void)
{
	return check_main("test_attr3", tests, ARRAY_LEN(tests));
}
