/* SPDX-License-Identifier: Apache-2.0 */
/* attribute: see attribute.h. */
#include "overlay/attribute.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include "depot/log.h"
#include "depot/tree.h"
#include "overlay/record.h"

/* Of the file system hierarchy (hier(7)), and where software of all kinds puts
 * what others look for there.  "*" is one name. */
static const char *const attribute_common[] = {
    "",
    "bin",
    "boot",
    "dev",
    "etc",
    "etc/alternatives",
    "etc/cron.*",
    "etc/default",
    "etc/init.d",
    "etc/ld.so.conf.d",
    "etc/logrotate.d",
    "etc/opt",
    "etc/pam.d",
    "etc/profile.d",
    "etc/rc?.d",
    "etc/skel",
    "etc/systemd",
    "etc/systemd/system",
    "etc/systemd/system/*.wants",
    "etc/xdg",
    "home",
    "home/*",
    "home/*/.cache",
    "home/*/.config",
    "home/*/.local",
    "home/*/.local/bin",
    "home/*/.local/share",
    "lib",
    "lib/*-linux-gnu*",
    "lib/systemd/system",
    "lib??",
    "libx32",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "root/.cache",
    "root/.config",
    "root/.local",
    "root/.local/share",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/games",
    "usr/include",
    "usr/lib",
    "usr/lib/*-linux-gnu*",
    "usr/lib/*-linux-gnu*/pkgconfig",
    "usr/lib/pkgconfig",
    "usr/lib/systemd",
    "usr/lib/systemd/system",
    "usr/lib/tmpfiles.d",
    "usr/lib??",
    "usr/libexec",
    "usr/local",
    "usr/local/*",
    "usr/sbin",
    "usr/share",
    "usr/share/applications",
    "usr/share/bash-completion",
    "usr/share/bash-completion/completions",
    "usr/share/doc",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/man/*",
    "usr/share/mime",
    "usr/share/pixmaps",
    "usr/src",
    "var",
    "var/backups",
    "var/cache",
    "var/lib",
    "var/local",
    "var/lock",
    "var/log",
    "var/mail",
    "var/opt",
    "var/run",
    "var/spool",
    "var/tmp",
};

static bool attribute_is_common(const char *dir)
{
	for (size_t i = 0; i < ARRAY_LEN(attribute_common); i++)
		if (fnmatch(attribute_common[i], dir, FNM_PATHNAME) == 0)
			return true;
	return false;
}

/* --- what the operator has said ------------------------------------------ */

void attribute_rows_clear(struct attribute_rows *rows)
{
	for (unsigned int i = 0; i < rows->count; i++)
		free(rows->row[i].path);
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

int attribute_rows_encode(const struct attribute_rows *rows, uint8_t **value,
			  size_t *len)
{
	size_t need = 5;
	uint8_t *out;

	for (unsigned int i = 0; i < rows->count; i++)
		need += 3 + strlen(rows->row[i].path) +
			strlen(rows->row[i].package);
	out = *value = malloc(need);
	if (!out)
		return -ENOMEM;
	*len = need;
	out[0] = ATTRIBUTE_FORMAT;
	le32_put(out + 1, rows->count);
	out += 5;
	for (unsigned int i = 0; i < rows->count; i++) {
		size_t path_len = strlen(rows->row[i].path);
		size_t name_len = strlen(rows->row[i].package);

		le16_put(out, (uint16_t)path_len);
		memcpy(out + 2, rows->row[i].path, path_len);
		out += 2 + path_len;
		out[0] = (uint8_t)name_len;
		memcpy(out + 1, rows->row[i].package, name_len);
		out += 1 + name_len;
	}
	return 0;
}

/* One row at *in, whose path must come after `before`. */
static int attribute_row_decode(const uint8_t **in, const uint8_t *end,
				const char *before, struct attribute_row *row)
{
	size_t len = end - *in >= 3 ? le16_get(*in) : 0;
	const uint8_t *at = *in + 2;

	if (len == 0 || len > ATTRIBUTE_PATH_MAX ||
	    (size_t)(end - at) < len + 1 || memchr(at, '\0', len))
		return -EBADMSG;
	row->path = strndup((const char *)at, len);
	if (!row->path)
		return -ENOMEM;
	at += len;
	len = *at++;
	if (len > PACKAGE_NAME_MAX || (size_t)(end - at) < len)
		return -EBADMSG;
	memcpy(row->package, at, len);
	row->package[len] = '\0';
	*in = at + len;
	return strlen(row->package) == len && depot_name_ok(row->package) &&
		       (!before || strcmp(before, row->path) < 0)
		   ? 0
		   : -EBADMSG;
}

int attribute_rows_decode(const uint8_t *value, size_t len,
			  struct attribute_rows *rows)
{
	const uint8_t *in = value + 5, *end = value + len;
	uint32_t count;
	int rc = 0;

	memset(rows, 0, sizeof(*rows));
	if (len >= 1 && value[0] > ATTRIBUTE_FORMAT)
		return record_newer("attribution", value[0], ATTRIBUTE_FORMAT);
	if (len < 5 || value[0] != ATTRIBUTE_FORMAT)
		return -EBADMSG;
	count = le32_get(value + 1);
	if (count > ATTRIBUTE_ROWS_MAX)
		return -EBADMSG;
	rows->row = calloc((size_t)count + 1, sizeof(*rows->row));
	if (!rows->row)
		return -ENOMEM;
	while (rc == 0 && rows->count < count) {
		const char *before =
		    rows->count ? rows->row[rows->count - 1].path : NULL;

		rc = attribute_row_decode(&in, end, before,
					  &rows->row[rows->count]);
		rows->count++;
	}
	if (rc == 0 && in != end)
		rc = -EBADMSG;
	if (rc < 0)
		attribute_rows_clear(rows);
	return rc;
}

/* Where the path is, or would go. */
static unsigned int attribute_row_at(const struct attribute_rows *rows,
				     const char *path, bool *found)
{
	unsigned int at = 0;
	int order = 1;

	while (at < rows->count &&
	       (order = strcmp(rows->row[at].path, path)) < 0)
		at++;
	*found = at < rows->count && order == 0;
	return at;
}

static int attribute_rows_insert(struct attribute_rows *rows, unsigned int at,
				 const char *path)
{
	struct attribute_row *bigger;
	char *copy;

	if (rows->count == ATTRIBUTE_ROWS_MAX)
		return log_err(-ENOSPC, "more than %d assigned paths",
			       ATTRIBUTE_ROWS_MAX);
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	bigger = reallocarray(rows->row, rows->count + 1u, sizeof(*bigger));
	if (!bigger) {
		free(copy);
		return -ENOMEM;
	}
	rows->row = bigger;
	memmove(bigger + at + 1, bigger + at,
		(rows->count - at) * sizeof(*bigger));
	bigger[at] = (struct attribute_row){.path = copy};
	rows->count++;
	return 0;
}

int attribute_rows_set(struct attribute_rows *rows, const char *path,
		       const char *package, bool *changed)
{
	unsigned int at = attribute_row_at(rows, path, changed);
	struct attribute_row *row = *changed ? &rows->row[at] : NULL;
	int rc = 0;

	if (!package) {
		if (!row)
			return 0;
		free(row->path);
		rows->count--;
		memmove(row, row + 1, (rows->count - at) * sizeof(*row));
		return 0;
	}
	if (row && strcmp(row->package, package) == 0) {
		*changed = false;
		return 0;
	}
	if (!row)
		rc = attribute_rows_insert(rows, at, path);
	*changed = rc == 0;
	if (rc == 0)
		memcpy(rows->row[at].package, package, strlen(package) + 1);
	return rc;
}

/* --- the rule ------------------------------------------------------------- */

void attribution_add(struct attribution *a, const char *name, struct tree *tree)
{
	ASSERT(a->count < ATTRIBUTE_TREES_MAX);
	memcpy(a->package[a->count].name, name, strlen(name) + 1);
	a->package[a->count++].tree = tree_get(tree);
}

void attribution_clear(struct attribution *a)
{
	for (unsigned int i = 0; i < a->count; i++)
		tree_put(a->package[i].tree);
	attribute_rows_clear(&a->said);
	free(a->dir);
	memset(a, 0, sizeof(*a));
}

/* The directory above a path, in place; false: the path is the root. */
static bool attribute_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!*path)
		return false;
	*(slash ? slash : path) = '\0';
	return true;
}

/* The first package that has the path; *is_dir: a directory. */
static const char *attribute_owner(const struct attribution *a,
				   const char *path, bool *is_dir)
{
	struct tree_inode attr;
	uint32_t inode;

	for (unsigned int i = 0; i < a->count; i++) {
		const struct tree *tree = a->package[i].tree;

		if (tree_find_path(tree, path, &inode) < 0)
			continue;
		tree_inode_get(tree, inode, &attr);
		*is_dir = S_ISDIR(attr.mode);
		return a->package[i].name;
	}
	return NULL;
}

/* What was said of the path or, nearest first, of a directory above it. */
static const char *attribute_said(const struct attribution *a, char *path)
{
	bool found;

	if (a->said.count == 0)
		return NULL;
	do {
		unsigned int at = attribute_row_at(&a->said, path, &found);

		if (found)
			return a->said.row[at].package;
	} while (attribute_up(path));
	return NULL;
}

/* Of the nearest directory that a package has, from `dir` (changed) on up. */
static const char *attribute_nearest(const struct attribution *a, char *dir)
{
	const char *owner;
	bool is_dir;

	do {
		if (attribute_is_common(dir))
			return NULL;
		owner = attribute_owner(a, dir, &is_dir);
		if (owner && is_dir)
			return owner;
	} while (attribute_up(dir));
	return NULL;
}

const char *attribution_of(struct attribution *a, const char *path)
{
	CLEANUP_FREE char *work = strdup(path);
	bool is_dir = false;
	const char *owner;

	if (!work)
		return NULL;
	owner = attribute_said(a, work);
	if (owner)
		return owner;
	owner = attribute_owner(a, path, &is_dir);
	if (owner)
		return is_dir && attribute_is_common(path) ? NULL : owner;
	memcpy(work, path, strlen(path) + 1);
	if (!attribute_up(work))
		return NULL;
	if (!a->dir || strcmp(a->dir, work) != 0) {
		free(a->dir);
		a->dir = strdup(work);
		a->dir_package = attribute_nearest(a, work);
	}
	return a->dir_package;
}
