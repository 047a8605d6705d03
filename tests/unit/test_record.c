/* SPDX-License-Identifier: Apache-2.0 */
/* test_record: records and names there and back, and every damaged byte. */
#include "overlay/record.h"

#include <sys/stat.h>

#include "tests/lib/check.h"

static struct record test_record_full(void)
{
	struct record rec = {
	    .generation = 0x80000003,
	    .mode = S_IFREG | 04755,
	    .uid = 1000,
	    .gid = 2000,
	    .nlink = -2,
	    .rdev_major = 8,
	    .rdev_minor = 1,
	    .atime = {-5, 999999999},
	    .mtime = {1, 2},
	    .ctime = {1700000000, 3},
	    .ctime_bound = {1700000001, 4},
	    .parent = RECORD_BORN | 17,
	    .data = {.size = 1 << 20,
		     .base_limit = 4096,
		     .cut = 70000,
		     .data_id = RECORD_BORN | 18,
		     .layer = 19,
		     .used = 8192,
		     .kind = RECORD_DATA_HOST,
		     .lower = true},
	    .life = 20,
	    .has_base = true,
	    .base_inode = 77,
	    .has_verifier = true,
	    .verifier = 0x1122334455667788,
	    .gone = true,
	};

	check_fill(&rec.base_tree, sizeof(rec.base_tree), 4);
	return rec;
}

static void test_record_round_trip(void)
{
	struct record rec = test_record_full(), out, zero = {0};
	uint8_t bytes[RECORD_INODE_LEN], again[RECORD_INODE_LEN];

	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, sizeof(bytes), &out), 0);
	record_encode(&out, again);
	CU_ASSERT_EQUAL(memcmp(bytes, again, sizeof(bytes)), 0);
	CU_ASSERT_EQUAL(out.nlink, -2);
	CU_ASSERT_EQUAL(out.atime.tv_sec, -5);
	CU_ASSERT_EQUAL(out.atime.tv_nsec, 999999999);
	CU_ASSERT_EQUAL(out.data.cut, 70000);
	CU_ASSERT_EQUAL(out.data.data_id, RECORD_BORN | 18);
	CU_ASSERT_EQUAL(out.data.kind, RECORD_DATA_HOST);
	CU_ASSERT_TRUE(out.data.lower);
	CU_ASSERT_EQUAL(out.data.layer, 19);
	CU_ASSERT_EQUAL(out.life, 20);
	CU_ASSERT_EQUAL(out.parent, RECORD_BORN | 17);
	CU_ASSERT_TRUE(out.has_base && out.has_verifier && out.gone);
	CU_ASSERT_TRUE(digest_equal(&out.base_tree, &rec.base_tree));
	CU_ASSERT_EQUAL(out.base_inode, 77);
	CU_ASSERT_EQUAL(out.verifier, rec.verifier);

	record_encode(&zero, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, sizeof(bytes), &out), 0);
	CU_ASSERT_FALSE(out.has_base || out.has_verifier || out.gone);
}

/* No damage may crash; what is accepted encodes to the same bytes, but for the
 * bytes that are not used. */
static void test_record_each_byte(void)
{
	struct record rec = test_record_full(), out;
	uint8_t bytes[RECORD_INODE_LEN], again[RECORD_INODE_LEN];

	check_mute();
	record_encode(&rec, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++)
		for (unsigned int v = 0; v < 256; v += 5) {
			uint8_t was = bytes[i];
			int rc;

			bytes[i] = (uint8_t)v;
			rc = record_decode(bytes, sizeof(bytes), &out);
			if (rc == 0 && i != 3 && i < 172) {
				record_encode(&out, again);
				CU_ASSERT_EQUAL(bytes[i], again[i]);
			}
			bytes[i] = was;
		}
	for (size_t len = 0; len < sizeof(bytes); len++)
		CU_ASSERT_EQUAL(record_decode(bytes, len, &out), -EBADMSG);
	check_unmute();
}

static void test_record_refused(void)
{
	struct record rec = test_record_full(), out;
	uint8_t bytes[RECORD_INODE_LEN + 1] = {0};

	check_mute();
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, sizeof(bytes), &out), -EBADMSG);
	bytes[0] = RECORD_INODE_FORMAT + 1;
	CU_ASSERT_EQUAL(record_decode(bytes, 1, &out), -EPROTONOSUPPORT);
	bytes[0] = 0;
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);

	rec.data.size = (uint64_t)INT64_MAX + 1;
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);
	rec = test_record_full();
	rec.data.data_id = 0;
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);
	rec = test_record_full();
	rec.data.kind = RECORD_DATA_INLINE; /* and a host file */
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);
	rec = test_record_full();
	rec.mode = S_IFDIR | 0755; /* with a host file */
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);
	rec = test_record_full();
	rec.mtime.tv_nsec = 1000000000;
	record_encode(&rec, bytes);
	CU_ASSERT_EQUAL(record_decode(bytes, RECORD_INODE_LEN, &out), -EBADMSG);
	check_unmute();
}

static void test_record_name(void)
{
	struct record_name name = {
	    .kind = RECORD_NAME_ENTRY,
	    .generation = 5,
	    .fileid = 6,
	    .name_len = VIEW_NAME_MAX,
	};
	uint8_t bytes[RECORD_NAME_MAX + 1];
	struct record_name out;
	size_t len;

	check_fill(name.name, sizeof(name.name), 1);
	len = record_name_encode(&name, bytes);
	CU_ASSERT_EQUAL(len, RECORD_NAME_MAX);
	CU_ASSERT_EQUAL(record_name_decode(bytes, len, &out), 0);
	CU_ASSERT_EQUAL(out.kind, name.kind);
	CU_ASSERT_EQUAL(out.generation, 5);
	CU_ASSERT_EQUAL(out.fileid, 6);
	CU_ASSERT_EQUAL(out.name_len, VIEW_NAME_MAX);
	CU_ASSERT_EQUAL(memcmp(out.name, name.name, sizeof(out.name)), 0);

	check_mute();
	for (size_t i = 0; i < len; i++)
		CU_ASSERT_EQUAL(record_name_decode(bytes, i, &out), -EBADMSG);
	CU_ASSERT_EQUAL(record_name_decode(bytes, len + 1, &out), -EBADMSG);
	bytes[1] = 0;
	CU_ASSERT_EQUAL(record_name_decode(bytes, len, &out), -EBADMSG);
	bytes[1] = RECORD_NAME_FILLER + 1;
	CU_ASSERT_EQUAL(record_name_decode(bytes, len, &out), -EBADMSG);
	bytes[0] = RECORD_FORMAT + 1;
	CU_ASSERT_EQUAL(record_name_decode(bytes, len, &out), -EPROTONOSUPPORT);
	check_unmute();
	name.name_len = 0;
	len = record_name_encode(&name, bytes);
	check_mute();
	CU_ASSERT_EQUAL(record_name_decode(bytes, len, &out), -EBADMSG);
	check_unmute();
}

/* Byte order of keys is order of numbers, and prefixes are prefixes. */
static void test_record_keys(void)
{
	struct record_key a, b, prefix;

	record_key_name(&a, 1, 5, 0xff);
	record_key_name(&b, 1, 5, 0x100);
	CU_ASSERT_TRUE(memcmp(a.bytes, b.bytes, a.len) < 0);
	record_key_dir(&prefix, 1, 5);
	CU_ASSERT_EQUAL(memcmp(a.bytes, prefix.bytes, prefix.len), 0);
	CU_ASSERT_EQUAL(a.len, prefix.len + 8);
	record_key_kind(&prefix, 1, 'd');
	CU_ASSERT_EQUAL(memcmp(a.bytes, prefix.bytes, prefix.len), 0);
	record_key_inode(&a, 1, RECORD_BORN | 1);
	record_key_inode(&b, 2, 1);
	CU_ASSERT_TRUE(memcmp(a.bytes, b.bytes, a.len) < 0);
	record_key_reply(&a, 7, 255);
	record_key_reply(&b, 7, 256);
	CU_ASSERT_TRUE(memcmp(a.bytes, b.bytes, a.len) < 0);
	record_key_replies(&prefix, 7);
	CU_ASSERT_EQUAL(memcmp(a.bytes, prefix.bytes, prefix.len), 0);
	record_key_piece(&a, 1, 2, 3);
	record_key_piece(&b, 1, 2, 0x10000);
	CU_ASSERT_TRUE(memcmp(a.bytes, b.bytes, a.len) < 0);
	record_key_text(&a, 'G', "red/vm1");
	CU_ASSERT_EQUAL(a.len, 8);
	CU_ASSERT_EQUAL(memcmp(a.bytes, "Gred/vm1", 8), 0);
}

static const struct check_test tests[] = {
    {"round trip", test_record_round_trip},
    {"each byte", test_record_each_byte},
    {"refused", test_record_refused},
    {"names", test_record_name},
    {"keys", test_record_keys},
};

int main(void)
{
	return check_main("test_record", tests, ARRAY_LEN(tests));
}
