/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fh: make, parse, prove.
 */
#include "nfsd/fh.h"

enum { FH_SIGNED_LEN = FH_LEN - FH_MAC_LEN };

static void fh_mac(const uint8_t *bytes, const uint8_t key[SIPHASH_KEY_LEN],
		   uint8_t mac[16])
{
	siphash128(key, bytes, FH_SIGNED_LEN, mac);
}

void fh_make(const struct view_info *info, struct view_object obj,
	     uint8_t bytes[FH_LEN])
{
	uint8_t mac[16];

	bytes[0] = FH_VERSION;
	memset(bytes + 1, 0, 3);
	le32_put(bytes + 4, info->export_id);
	le64_put(bytes + 8, obj.fileid);
	le32_put(bytes + 16, obj.generation);
	fh_mac(bytes, info->key, mac);
	memcpy(bytes + FH_SIGNED_LEN, mac, FH_MAC_LEN);
}

int fh_parse(const uint8_t *bytes, size_t len, struct fh *fh)
{
	if (len != FH_LEN || bytes[0] != FH_VERSION || bytes[1] != 0 ||
	    bytes[2] != 0 || bytes[3] != 0)
		return -EBADF;
	fh->export_id = le32_get(bytes + 4);
	fh->obj.fileid = le64_get(bytes + 8);
	fh->obj.generation = le32_get(bytes + 16);
	return 0;
}

bool fh_proved(const uint8_t bytes[FH_LEN], const uint8_t key[SIPHASH_KEY_LEN])
{
	uint8_t mac[16];

	fh_mac(bytes, key, mac);
	return secret_equal(bytes + FH_SIGNED_LEN, mac, FH_MAC_LEN);
}
