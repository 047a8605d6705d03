/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_own: a guest's own packages, profiles, which its image has in front of
 * its tenant's: between those and its delta.  Kept at 'O' (record.h) in the
 * form of a selection, without a time.  Inside this floor only.
 */
#ifndef OVERLAY_SITE_OWN_H
#define OVERLAY_SITE_OWN_H

#include "overlay/site_impl.h"

/* What the database has for "tenant/guest": an empty list when there is
 * nothing.  flags: of image_new.  -EBADMSG, logged; -EIO, -ENOMEM. */
MUST_CHECK int own_load(struct kv *kv, const char *guest, unsigned int flags,
			struct guest_own *own);
/* Nothing, when the list is empty.  -ENOMEM. */
MUST_CHECK int own_put(struct kv_batch *batch, const char *guest,
		       const struct guest_own *own);
/* Of a stream (delta_stream.h): the value as it is stored; malloc'ed.  -ENOMEM:
 * *value is to be freed all the same. */
MUST_CHECK int own_encode(const struct guest_own *own, uint8_t **value,
			  size_t *len);
/* -EBADMSG, also for more than GUEST_OWN_MAX; -EPROTONOSUPPORT: of a newer
 * format; -ENOMEM.  own->flags stays. */
MUST_CHECK int own_decode(const uint8_t *value, size_t len,
			  struct guest_own *own);
/* The same packages in the same order. */
bool own_same(const struct guest_own *a, const struct guest_own *b);

#endif
