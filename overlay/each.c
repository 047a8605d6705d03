/* SPDX-License-Identifier: Apache-2.0 */
/* each: see each.h. */
#include "overlay/each.h"

#include "depot/log.h"

/* takes it */
static int each_of(struct kv_iter *it, const struct record_key *prefix,
		   size_t rest_len,
		   int (*visit)(void *ctx, const struct each_key *key),
		   void *ctx)
{
	int rc = 0;

	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		struct each_key at;

		at.key = kv_iter_key(it, &at.key_len);
		at.value = kv_iter_value(it, &at.value_len);
		at.rest = at.key + prefix->len;
		at.rest_len = at.key_len - prefix->len;
		rc = rest_len == SIZE_MAX || at.rest_len == rest_len
			 ? visit(ctx, &at)
			 : log_err(-EBADMSG, "state: damaged key");
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

int each_key(struct kv *kv, const struct record_key *prefix, size_t rest_len,
	     int (*visit)(void *ctx, const struct each_key *key), void *ctx)
{
	return each_of(kv_iter_new(kv, prefix->bytes, prefix->len, NULL, 0),
		       prefix, rest_len, visit, ctx);
}

int each_scanned(struct kv *kv, const struct record_key *prefix,
		 size_t rest_len,
		 int (*visit)(void *ctx, const struct each_key *key), void *ctx)
{
	return each_of(kv_scan_new(kv, prefix->bytes, prefix->len), prefix,
		       rest_len, visit, ctx);
}
