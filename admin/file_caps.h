/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_caps: the attribute security.capability of a file, as the kernel keeps
 * it, to the text that setcap(8) takes.  Capabilities are told by their numbers,
 * so that none is unknown here.
 */
#ifndef ADMIN_FILE_CAPS_H
#define ADMIN_FILE_CAPS_H

#include "depot/base.h"

#define FILE_CAPS_XATTR "security.capability"

/* Room for the text of 64 capabilities in two sets, with the NUL. */
enum { FILE_CAPS_TEXT_MAX = 512 };

/*
 * Such as "13=ep", or "12,13=p 14=i"; "=" for none at all.  -EBADMSG: not of the
 * revisions 1 to 3, or another length than its revision's; -ENOTSUP: of a user
 * namespace's root, who is another one in a guest.
 */
MUST_CHECK int file_caps_text(const void *value, size_t len,
			      char text[FILE_CAPS_TEXT_MAX]);

#endif
