/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: names of objects.
 */
#include "depot/layout.h"

#include <stdio.h>

#include "depot/depot.h"

enum { LAYOUT_NUMBER_DIGITS_MAX = 9 };

struct layout_path layout_tags(const char *package)
{
	struct layout_path path;

	ASSERT(depot_name_ok(package));

	snprintf(path.text, sizeof(path.text), "tags/%s.json", package);
	return path;
}

/* Two levels: no directory of a web server's disk grows too long. */
static struct layout_path layout_by_digest(const char *dir,
					   const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct layout_path path;

	digest_to_hex(d, hex);
	snprintf(path.text, sizeof(path.text), "%s/%.2s/%s", dir, hex, hex);
	return path;
}

struct layout_path layout_revision(const struct digest *revision)
{
	return layout_by_digest("revisions", revision);
}

struct layout_path layout_tree(const struct digest *tree)
{
	return layout_by_digest("trees", tree);
}

struct layout_path layout_pack(const struct digest *pack)
{
	return layout_by_digest("packs", pack);
}

struct layout_path layout_index(const struct digest *tree, uint32_t number)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct layout_path path;

	digest_to_hex(tree, hex);
	snprintf(path.text, sizeof(path.text), "index/%s-%u", hex, number);
	return path;
}

bool layout_index_parse(const char *file, struct digest *tree, uint32_t *number)
{
	size_t len = strlen(file);
	const char *p = file + DIGEST_HEX_LEN + 1;
	uint32_t n = 0;

	if (len < DIGEST_HEX_LEN + 2 ||
	    len > DIGEST_HEX_LEN + 1 + LAYOUT_NUMBER_DIGITS_MAX ||
	    file[DIGEST_HEX_LEN] != '-' || *p == '0' ||
	    digest_from_hex(file, DIGEST_HEX_LEN, tree) < 0)
		return false;
	for (; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (uint32_t)(*p - '0');
	}
	*number = n;
	return true;
}

static char *layout_host(const char *root, const char *dir,
			 const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1], *path;

	digest_to_hex(d, hex);
	return asprintf(&path, "%s/%s/%s", root, dir, hex) < 0 ? NULL : path;
}

char *layout_host_tree(const char *root, const struct digest *tree)
{
	return layout_host(root, "trees", tree);
}

char *layout_host_index(const char *root, const struct digest *tree)
{
	return layout_host(root, "indexes", tree);
}
