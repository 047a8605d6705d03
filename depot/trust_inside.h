/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_inside: what the files of trust share: trust.c (clock, keys),
 * trust_document.c (documents, what was seen).
 */
#ifndef DEPOT_TRUST_INSIDE_H
#define DEPOT_TRUST_INSIDE_H

#include <pthread.h>
#include <time.h>

#include "depot/trust.h"

enum { TRUST_NAME_KEY_MAX = 1 + PACKAGE_NAME_MAX + 1 + PACKAGE_NAME_MAX };

struct trust {
	struct kv *state; /* borrows */
	pthread_mutex_t lock;
	int64_t wall; /* lock; highest time seen ... */
	int64_t boot; /* lock; ... and CLOCK_BOOTTIME then */
};

int64_t trust_clock(clockid_t id);
void trust_clock_put(struct kv_batch *batch, int64_t now);
/* Note the time, outside of any other change. */
MUST_CHECK int trust_clock_note(struct trust *trust);

/* Key of a row: prefix, upstream, NUL, tail.  Returns its length. */
size_t trust_row_key(uint8_t row[TRUST_NAME_KEY_MAX], int prefix,
		     const char *upstream, const void *tail, size_t tail_len);

#endif
