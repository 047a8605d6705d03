/* SPDX-License-Identifier: Apache-2.0 */
/*
 * delta_verify: the inside of site_delta_verify, for delta_verify*.c only.
 */
#ifndef OVERLAY_DELTA_VERIFY_H
#define OVERLAY_DELTA_VERIFY_H

#include "overlay/view_impl.h"

enum { FINDINGS_MAX = 8, FINDING_LEN = 320 };

/* What one look has found. */
struct findings {
	unsigned int count;
	struct {
		bool problem;
		char what[FINDING_LEN];
	} item[FINDINGS_MAX];
};

/* One more; what is beyond FINDINGS_MAX is left out. */
void found(struct findings *f, bool problem, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/*
 * Compare what a record of layer number `level` says of the file's bytes (base,
 * inline data, presence bits, host file) with what there is.  rec->data.layer
 * is filled in; view->lock is held, shared or alone.  What is wrong is no
 * error: -ENOMEM, -EIO (of the database).
 */
MUST_CHECK int verify_data(struct view *view, unsigned int level,
			   uint64_t fileid, const struct record *rec,
			   struct findings *f);

#endif
