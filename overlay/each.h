/* SPDX-License-Identifier: Apache-2.0 */
/*
 * each: all keys of the state database that begin with a prefix.
 */
#ifndef OVERLAY_EACH_H
#define OVERLAY_EACH_H

#include "depot/kv.h"
#include "overlay/record.h"

struct each_key {
	const uint8_t *key; /* borrowed for the call of visit, as all here */
	size_t key_len;
	const uint8_t *rest; /* of the key, behind the prefix */
	size_t rest_len;
	const uint8_t *value;
	size_t value_len;
};

/*
 * In byte order, as the database was when the call began, until visit returns
 * other than 0: then that is returned.  rest_len SIZE_MAX: any; else a key
 * whose rest has another length is -EBADMSG (logged).  -ENOMEM, -EIO.
 */
MUST_CHECK int each_key(struct kv *kv, const struct record_key *prefix,
			size_t rest_len,
			int (*visit)(void *ctx, const struct each_key *key),
			void *ctx);
/* Likewise where they may be very many: reads ahead and leaves the cache to
 * others. */
MUST_CHECK int each_scanned(struct kv *kv, const struct record_key *prefix,
			    size_t rest_len,
			    int (*visit)(void *ctx, const struct each_key *key),
			    void *ctx);

#endif
