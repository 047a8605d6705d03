/* SPDX-License-Identifier: Apache-2.0 */
/* file_caps: file capabilities as text. */
#include "admin/file_caps.h"

#include <linux/capability.h>
#include <stdio.h>

struct file_caps {
	uint64_t permitted, inheritable;
	uint32_t root;
	bool effective;
};

/* Words: magic, then (permitted, inheritable) of 32 capabilities each, then in
 * revision 3 the root's number. */
static int file_caps_read(const uint8_t *bytes, size_t len,
			  struct file_caps *caps)
{
	uint32_t magic = len < sizeof(magic) ? 0 : le32_get(bytes);
	size_t pairs;

	*caps = (struct file_caps){0};
	if ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_1 &&
	    len == XATTR_CAPS_SZ_1)
		pairs = VFS_CAP_U32_1;
	else if ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_2 &&
		 len == XATTR_CAPS_SZ_2)
		pairs = VFS_CAP_U32_2;
	else if ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_3 &&
		 len == XATTR_CAPS_SZ_3)
		pairs = VFS_CAP_U32_3;
	else
		return -EBADMSG;
	caps->effective = magic & VFS_CAP_FLAGS_EFFECTIVE;
	for (size_t i = 0; i < pairs; i++) {
		const uint8_t *pair = bytes + 4 + 8 * i;

		caps->permitted |= (uint64_t)le32_get(pair) << (32 * i);
		caps->inheritable |= (uint64_t)le32_get(pair + 4) << (32 * i);
	}
	if (len == XATTR_CAPS_SZ_3)
		caps->root = le32_get(bytes + 4 + 8 * pairs);
	return 0;
}

/* A clause of the capabilities that are in just these sets. */
static void file_caps_clause(FILE *out, uint64_t set, bool effective,
			     const char *flags)
{
	const char *before = ftell(out) > 0 ? " " : "";

	if (!set)
		return;
	for (unsigned i = 0; i < 64; i++) {
		if (!(set >> i & 1))
			continue;
		fprintf(out, "%s%u", before, i);
		before = ",";
	}
	fprintf(out, "=%s%s", effective ? "e" : "", flags);
}

int file_caps_text(const void *value, size_t len, char text[FILE_CAPS_TEXT_MAX])
{
	struct file_caps caps;
	FILE *out;
	int rc = file_caps_read(value, len, &caps);

	if (rc < 0)
		return rc;
	if (caps.root)
		return -ENOTSUP;
	out = fmemopen(text, FILE_CAPS_TEXT_MAX, "w");
	if (!out)
		return -ENOMEM;
	file_caps_clause(out, caps.permitted & ~caps.inheritable,
			 caps.effective, "p");
	file_caps_clause(out, caps.inheritable & ~caps.permitted,
			 caps.effective, "i");
	file_caps_clause(out, caps.permitted & caps.inheritable, caps.effective,
			 "ip");
	if (ftell(out) == 0)
		fputs("=", out);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}
