/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr3: attributes to and from the wire (RFC 1813 section 2.5, 2.6).
 *
 * The attr3_put_* functions write XDR by hand, since nearly every reply
 * carries attributes; attr3_fill_post_op() fills rpcgen's type for the others.
 * The fsid of an object is its export's id.  Times outside 1970..2106 are
 * clamped, not wrapped.
 */
#ifndef NFSD_ATTR3_H
#define NFSD_ATTR3_H

#include "depot/base.h"
#include "gen/nfs3.h"
#include "overlay/view.h"

enum {
	ATTR3_LEN = 84,      /* fattr3 */
	ATTR3_POST_LEN = 88, /* post_op_attr with attributes */
	ATTR3_WCC_LEN = 116, /* wcc_data with both */
};

uint8_t *attr3_put(uint8_t *p, const struct view_attr *attr,
		   uint32_t export_id);
/* attr NULL: none follow. */
uint8_t *attr3_put_post_op(uint8_t *p, const struct view_attr *attr,
			   uint32_t export_id);
uint8_t *attr3_put_wcc(uint8_t *p, const struct view_wcc *wcc,
		       uint32_t export_id);

void attr3_fill_post_op(post_op_attr *post, const struct view_attr *attr,
			uint32_t export_id);

/* sattr3 to the view's words.  -EINVAL: nanoseconds of a second or more;
 * -EFBIG: a size beyond what a file can have. */
MUST_CHECK int attr3_get_set(const sattr3 *sattr, struct view_setattr *set);

#endif
