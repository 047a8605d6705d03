/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: names of objects.
 */
#include "depot/layout.h"

#include <stdarg.h>
#include <stdio.h>

#include "depot/depot.h"

enum { LAYOUT_NUMBER_DIGITS_MAX = 9 };

/* Below the depot's root, or below the private package's directory. */
PRINTF_LIKE(2, 3)
static struct layout_path layout_in(const char *private, const char *fmt, ...)
{
	struct layout_path path;
	size_t used = 0;
	va_list args;

	if (private) {
		ASSERT(depot_name_ok(private));
		used = (size_t)snprintf(path.text, sizeof(path.text),
					"private/%s/", private);
	}
	va_start(args, fmt);
	vsnprintf(path.text + used, sizeof(path.text) - used, fmt, args);
	va_end(args);
	return path;
}

struct layout_path layout_tags(const char *private, const char *package)
{
	ASSERT(depot_name_ok(package));

	return private ? layout_in(private, "tags.json")
		       : layout_in(NULL, "tags/%s.json", package);
}

/* Two levels: no directory of a web server's disk grows too long. */
static struct layout_path layout_by_digest(const char *private, const char *dir,
					   const struct digest *d)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(d, hex);
	return layout_in(private, "%s/%.2s/%s", dir, hex, hex);
}

struct layout_path layout_revision(const char *private,
				   const struct digest *revision)
{
	return layout_by_digest(private, "revisions", revision);
}

struct layout_path layout_tree(const char *private, const struct digest *tree)
{
	return layout_by_digest(private, "trees", tree);
}

struct layout_path layout_pack(const char *private, const struct digest *pack)
{
	return layout_by_digest(private, "packs", pack);
}

struct layout_path layout_index_dir(const char *private)
{
	return layout_in(private, "index");
}

struct layout_path layout_index(const char *private, const struct digest *tree,
				uint32_t number)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(tree, hex);
	return layout_in(private, "index/%s-%u", hex, number);
}

struct layout_path layout_plan(const char *private, const struct digest *tree,
			       uint32_t number)
{
	char hex[DIGEST_HEX_LEN + 1];

	digest_to_hex(tree, hex);
	return layout_in(private, "plans/%s-%u", hex, number);
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

char *layout_host_index_of(const char *root, const struct digest *tree,
			   const char *upstream)
{
	char hex[DIGEST_HEX_LEN + 1], *path;

	ASSERT(depot_name_ok(upstream));

	digest_to_hex(tree, hex);
	return asprintf(&path, "%s/indexes/%s.%s", root, hex, upstream) < 0
		   ? NULL
		   : path;
}
