/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_drc: arbitrary bytes as the stored reply records of a guest, which are
 * read back at its first call after a start.
 *
 * Input: entries of slot:2, flags:1, length:2 and so many bytes.  Flag 1 puts
 * a true checksum in, flag 2 a sequence number that fits the slot; flag 4 puts
 * what drc_store() wrote for a call, then patches it with the bytes.
 *
 * Promises: nothing breaks; a record whose checksum is not right answers
 * nobody; one that is right answers its own call with its own body; a new call
 * gets a record of its own, and all goes on working.
 */
#include "nfsd/drc.h"
#include "nfsd/program.h"
#include "tests/fake/fake_site.h"
#include "tests/fake/fake_view.h"

enum { FUZZ_DRC_ENTRIES_MAX = 64, FUZZ_DRC_HEAD = 5 };
enum { FUZZ_DRC_SUM = 1, FUZZ_DRC_SEQUENCE = 2, FUZZ_DRC_TRUE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_told(struct drc_waiter *waiter)
{
	(void)waiter;
}

static uint64_t fuzz_sum(const struct view_info *info, const uint8_t *record,
			 size_t len)
{
	uint8_t copy[VIEW_REPLY_MAX];

	memcpy(copy, record, len);
	memset(copy + 32, 0, 8);
	return siphash64(info->key, copy, len);
}

/* What drc_store() writes for a call of a guest that had none before. */
static size_t fuzz_true_record(uint8_t *record)
{
	struct view *view = fake_view_new(7, "/red/vm1", "");
	struct drc_key key = {1, NFS3_CREATE, 2, 3};
	static struct drc_waiter waiter = {.told = fuzz_told};
	struct drc_entry *entry;
	struct drc *drc;
	uint32_t slot;
	size_t len;

	ASSERT(drc_new(&drc) == 0);
	ASSERT(drc_begin(drc, view, &key, &waiter, &entry) == DRC_NEW);
	len = drc_store(entry, (const uint8_t *)"body", 4, record, &slot);
	ASSERT(drc_finish(entry, (const uint8_t *)"body", 4) == false);
	drc_free(drc);
	fake_view_free(view);
	return len;
}

/* One entry of the input into a slot. */
static void fuzz_put(struct view *view, const uint8_t *head,
		     const uint8_t *bytes, size_t len)
{
	uint32_t slot = (head[0] | head[1] << 8) % VIEW_REPLY_SLOTS;
	uint8_t record[VIEW_REPLY_MAX] = {0};
	size_t record_len = MIN(len, (size_t)VIEW_REPLY_MAX);

	if (head[2] & FUZZ_DRC_TRUE) {
		size_t true_len = fuzz_true_record(record);

		for (size_t i = 0; i < record_len; i++)
			record[i] ^= bytes[i];
		record_len = MAX(record_len, true_len);
	} else {
		memcpy(record, bytes, record_len);
	}
	if ((head[2] & FUZZ_DRC_SEQUENCE) && record_len >= 32)
		le64_put(record + 24, le64_get(record + 24) / VIEW_REPLY_SLOTS *
					      VIEW_REPLY_SLOTS +
					  slot);
	if ((head[2] & FUZZ_DRC_SUM) && record_len >= DRC_RECORD_HEADER)
		le64_put(record + 32,
			 fuzz_sum(view_get_info(view), record, record_len));
	fake_view_set_reply(view, slot, record, record_len);
}

/* What a stored record must lead to. */
static void fuzz_ask(struct drc *drc, struct view *view, uint32_t slot)
{
	static struct drc_waiter waiter = {.told = fuzz_told};
	struct drc_entry *entry;
	const uint8_t *record;
	size_t len = fake_view_get_reply(view, slot, &record);
	struct drc_key key;
	bool right;
	int rc;

	if (len < DRC_RECORD_HEADER)
		return;
	key = (struct drc_key){le32_get(record + 4), record[1],
			       le64_get(record + 8), le64_get(record + 16)};
	right =
	    record[0] == DRC_RECORD_FORMAT &&
	    le64_get(record + 32) == fuzz_sum(view_get_info(view), record, len);
	rc = drc_begin(drc, view, &key, &waiter, &entry);
	ASSERT(rc == DRC_NEW || rc == DRC_REPLAY);
	if (rc == DRC_REPLAY) {
		ASSERT(waiter.body_len > 0 && waiter.body_len <= DRC_BODY_MAX);
		/* Another record may say the same of the same call. */
		if (!right)
			return;
	} else {
		ASSERT(!right || len < DRC_RECORD_HEADER + 4 ||
		       record[1] >= NFS3_PROC_COUNT ||
		       le64_get(record + 24) % VIEW_REPLY_SLOTS != slot ||
		       le64_get(record + 24) == UINT64_MAX);
		ASSERT(!drc_finish(entry, (const uint8_t *)"new!", 4));
	}
}

static void fuzz_new_call(struct drc *drc, struct view *view)
{
	struct drc_key key = {0x12345678, NFS3_REMOVE, 0xfeed, 0xbeef};
	static struct drc_waiter waiter = {.told = fuzz_told};
	uint8_t record[VIEW_REPLY_MAX];
	struct drc_entry *entry;
	uint32_t slot;
	int rc = drc_begin(drc, view, &key, &waiter, &entry);

	if (rc == DRC_REPLAY)
		return; /* the input says so, and signed it */
	ASSERT(rc == DRC_NEW);
	ASSERT(drc_store(entry, (const uint8_t *)"late", 4, record, &slot) ==
	       DRC_RECORD_HEADER + 4);
	ASSERT(slot < VIEW_REPLY_SLOTS);
	ASSERT(!drc_finish(entry, (const uint8_t *)"late", 4));
	ASSERT(drc_begin(drc, view, &key, &waiter, &entry) == DRC_REPLAY);
	ASSERT(waiter.body_len == 4 && memcmp(waiter.body, "late", 4) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view *view = fake_view_new(7, "/red/vm1", "");
	uint32_t slots[FUZZ_DRC_ENTRIES_MAX];
	unsigned int count = 0;
	struct drc *drc;

	while (len >= FUZZ_DRC_HEAD && count < FUZZ_DRC_ENTRIES_MAX) {
		size_t n =
		    MIN((size_t)(data[3] | data[4] << 8), len - FUZZ_DRC_HEAD);

		slots[count++] = (data[0] | data[1] << 8) % VIEW_REPLY_SLOTS;
		fuzz_put(view, data, data + FUZZ_DRC_HEAD, n);
		data += FUZZ_DRC_HEAD + n;
		len -= FUZZ_DRC_HEAD + n;
	}
	ASSERT(drc_new(&drc) == 0);
	for (unsigned int i = 0; i < count; i++)
		fuzz_ask(drc, view, slots[i]);
	fuzz_new_call(drc, view);
	ASSERT(drc_count(drc, view) <= DRC_ENTRIES_MAX);
	drc_free(drc);
	fake_view_free(view);
	return 0;
}
