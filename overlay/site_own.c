/* SPDX-License-Identifier: Apache-2.0 */
/* site_own: see site_own.h. */
#include "overlay/site_own.h"

#include "depot/log.h"
#include "overlay/each.h"

_Static_assert((int)GUEST_OWN_MAX == (int)SITE_OWN_MAX, "one limit");

int own_encode(const struct guest_own *own, uint8_t **value, size_t *len)
{
	CLEANUP_FREE struct selection *s = calloc(1, sizeof(*s));

	*value = malloc(SELECTION_VALUE_MAX);
	if (!s || !*value)
		return -ENOMEM;
	s->count = own->count;
	memcpy(s->package, own->package, own->count * sizeof(*own->package));
	*len = selection_encode(s, *value);
	return 0;
}

int own_decode(const uint8_t *value, size_t len, struct guest_own *own)
{
	CLEANUP_FREE struct selection *s = calloc(1, sizeof(*s));
	int rc = s ? selection_decode(value, len, s) : -ENOMEM;

	if (rc == 0 && s->count > GUEST_OWN_MAX)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	own->count = s->count;
	memcpy(own->package, s->package, s->count * sizeof(*s->package));
	return 0;
}

int own_load(struct kv *kv, const char *guest, unsigned int flags,
	     struct guest_own *own)
{
	struct record_key key;
	struct kv_value value;
	int rc;

	memset(own, 0, sizeof(*own));
	own->flags = flags;
	record_key_text(&key, 'O', guest);
	rc = kv_get(kv, key.bytes, key.len, &value);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	rc = own_decode(value.data, value.len, own);
	kv_value_release(&value);
	return rc == -EBADMSG
		   ? log_err(rc, "state: own packages of guest %s", guest)
		   : rc;
}

int own_put(struct kv_batch *batch, const char *guest,
	    const struct guest_own *own)
{
	CLEANUP_FREE uint8_t *value = NULL;
	struct record_key key;
	size_t len;
	int rc;

	record_key_text(&key, 'O', guest);
	if (own->count == 0) {
		kv_batch_delete(batch, key.bytes, key.len);
		return 0;
	}
	rc = own_encode(own, &value, &len);
	if (rc < 0)
		return rc;
	kv_batch_put(batch, key.bytes, key.len, value, len);
	return 0;
}

bool own_same(const struct guest_own *a, const struct guest_own *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!digest_equal(&a->package[i].revision,
				  &b->package[i].revision))
			return false;
	return true;
}

int site_guest_own(struct site *site, const char *guest,
		   int (*visit)(void *ctx, const struct package_info *package),
		   void *ctx)
{
	CLEANUP_FREE struct guest_own *own = malloc(sizeof(*own));
	int rc = own ? own_load(site->kv, guest, 0, own) : -ENOMEM;

	for (unsigned int i = 0; rc == 0 && i < own->count; i++)
		rc = visit(ctx, &own->package[i]);
	return rc;
}
