/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_index: arbitrary bytes as an index.  Promises: what is taken has places
 * that are inside packs, and can be written and read again.
 */
#include "depot/index.h"
#include "depot/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_index_again(const struct index *index,
			     const struct index_place *places)
{
	uint32_t count = index_shard_count(index);
	struct index_place place;
	struct index *again;
	void *bytes;
	size_t len;

	ASSERT(index_write(index_tree(index), places, count, &bytes, &len) ==
	       0);
	ASSERT(index_open(bytes, len, index_tree(index), count, &again) == 0);
	for (uint32_t i = 0; i < count; i++) {
		index_place(again, i, &place);
		ASSERT(digest_equal(&place.pack, &places[i].pack));
		ASSERT(place.off == places[i].off &&
		       place.len == places[i].len);
	}
	index_put(again);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct index_place *places;
	struct index *index;
	const void *kept;
	size_t kept_len;
	int rc;

	rc = index_open(data, len, NULL, 0, &index);
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT);
	if (rc < 0)
		return 0;
	kept = index_bytes(index, &kept_len);
	ASSERT(kept_len == len && memcmp(kept, data, len) == 0);
	places = calloc((size_t)index_shard_count(index) + 1, sizeof(*places));
	ASSERT(places);
	for (uint32_t i = 0; i < index_shard_count(index); i++) {
		index_place(index, i, &places[i]);
		ASSERT(places[i].pack_number < index_pack_count(index));
		ASSERT(places[i].len > SHARD_HEADER_LEN &&
		       places[i].len <= SHARD_MAX);
		ASSERT(places[i].off >= 16 &&
		       places[i].off + places[i].len > places[i].off);
	}
	fuzz_index_again(index, places);
	free(places);
	index_put(index);
	return 0;
}
