/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names: what may be the name of a package, a tag; references to revisions.
 * Names become keys, paths and URLs: no slash, no NUL, no leading dot.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "depot/log.h"

static bool names_are(const char *text, size_t max, const char *first,
		      const char *rest)
{
	size_t len = strlen(text);

	return len > 0 && len <= max && strchr(first, text[0]) &&
	       strspn(text + 1, rest) == len - 1;
}

#define NAMES_LOWER "abcdefghijklmnopqrstuvwxyz"
#define NAMES_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAMES_DIGIT "0123456789"

bool depot_name_ok(const char *name)
{
	return names_are(name, PACKAGE_NAME_MAX, NAMES_LOWER NAMES_DIGIT,
			 NAMES_LOWER NAMES_DIGIT "._+-");
}

bool depot_tag_ok(const char *tag)
{
	return names_are(tag, TAG_NAME_MAX, NAMES_LOWER NAMES_UPPER NAMES_DIGIT,
			 NAMES_LOWER NAMES_UPPER NAMES_DIGIT "._+~:-");
}

static int package_ref_bad(const char *text)
{
	return log_err(-EINVAL,
		       "\"%.200s\": no package reference (NAME, NAME:TAG or "
		       "NAME@sha256:HEX)",
		       text);
}

int package_ref_parse(const char *text, struct package_ref *ref)
{
	static const char algorithm[] = "@sha256:";
	size_t name_len = strcspn(text, ":@");
	const char *rest = text + name_len;

	memset(ref, 0, sizeof(*ref));
	if (name_len > PACKAGE_NAME_MAX)
		return package_ref_bad(text);
	memcpy(ref->name, text, name_len);
	if (!depot_name_ok(ref->name))
		return package_ref_bad(text);
	if (strncmp(rest, algorithm, strlen(algorithm)) == 0) {
		rest += strlen(algorithm);
		ref->by_digest = true;
		if (digest_from_hex(rest, strlen(rest), &ref->revision) < 0)
			return package_ref_bad(text);
		return 0;
	}
	if (*rest == '@')
		return package_ref_bad(text);
	rest = *rest == ':' ? rest + 1 : "latest";
	if (!depot_tag_ok(rest))
		return package_ref_bad(text);
	snprintf(ref->tag, sizeof(ref->tag), "%s", rest);
	return 0;
}

uint32_t depot_who(const char *tenant)
{
	struct digest d = digest_of(tenant, strlen(tenant));

	return MAX(le32_get(d.bytes), 1u);
}
