/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_place: where each object ends up in the tree, which of several at one
 * place counts, and the tree itself.
 *
 *   1. links:   a map of all symbolic links by the place they end up at; since
 *               links lie below links this is repeated until nothing changes
 *   2. places:  each object's path with the links on its way followed
 *   3. choice:  of several objects at one place
 *   4. build:   all but hard links, then those, then extended attributes
 *
 * Everything happens in names; nothing here touches a file system.
 */
#include <stdio.h>

#include "admin/import_impl.h"
#include "depot/tree.h"

struct import_placing {
	struct import *import;
	struct import_map links;  /* place -> symbolic link */
	struct import_map places; /* place -> entry that counts */
	/* The last directory followed, and what it came to. */
	char dir_in[IMPORT_PATH_MAX], dir_out[IMPORT_PATH_MAX];
	bool dir_known;
};

static int import_place_refuse(struct import *import,
			       const struct import_entry *entry, int rc,
			       const char *why)
{
	return failure_set(
	    import->failure, rc,
	    rc == -EEXIST ? CONTROL_EXIT_CONFLICT : CONTROL_EXIT_BAD_CONTENT,
	    "%s: entry \"%s\": %s", import_origin_name(import, entry->origin),
	    entry->path, why);
}

/* --- following links ----------------------------------------------------- */

/* Append a component to a place of `used` bytes; false: too long. */
static bool import_place_push(char *place, size_t *used, const char *name,
			      size_t len)
{
	if (*used + len + 2 > IMPORT_PATH_MAX)
		return false;
	if (*used > 0)
		place[(*used)++] = '/';
	memcpy(place + *used, name, len);
	*used += len;
	place[*used] = '\0';
	return true;
}

/* false: there is nothing above the root. */
static bool import_place_pop(char *place, size_t *used)
{
	char *slash = strrchr(place, '/');

	if (*used == 0)
		return false;
	*used = slash ? (size_t)(slash - place) : 0;
	place[*used] = '\0';
	return true;
}

/* Put the link's target before what is left of the path. */
static int import_splice(char *rest, size_t at, const char *target)
{
	size_t left = strlen(rest + at), len = strlen(target);

	if (len + 1 + left + 1 > IMPORT_PATH_MAX)
		return -ENAMETOOLONG;
	memmove(rest + len + 1, rest + at, left + 1);
	memcpy(rest, target, len);
	rest[len] = '/';
	return 0;
}

/*
 * Follow all links in the path of a directory.  -EXDEV: it leaves the tree;
 * -ELOOP; -ENAMETOOLONG.
 */
static int import_follow(const struct import_placing *placing, const char *dir,
			 char *out)
{
	char rest[IMPORT_PATH_MAX];
	size_t used = 0, at = 0, len, before;
	unsigned int followed = 0;
	const char *target;
	uint32_t *link;

	memcpy(rest, dir, strlen(dir) + 1);
	out[0] = '\0';
	for (; rest[at]; at += rest[at] == '/') {
		len = strcspn(rest + at, "/");
		before = used;
		if (len == 0 || (len == 1 && rest[at] == '.')) {
			at += len;
			continue;
		}
		if (len == 2 && memcmp(rest + at, "..", 2) == 0) {
			if (!import_place_pop(out, &used))
				return -EXDEV;
			at += len;
			continue;
		}
		if (!import_place_push(out, &used, rest + at, len))
			return -ENAMETOOLONG;
		at += len;
		link = import_map_get(&placing->links, out, used);
		if (!link)
			continue;
		if (++followed > IMPORT_FOLLOW_MAX)
			return -ELOOP;
		target = placing->import->entries[*link].target;
		used = *target == '/' ? 0 : before;
		out[used] = '\0';
		if (import_splice(rest, at, target) < 0)
			return -ENAMETOOLONG;
		at = 0;
	}
	return 0;
}

/* The same, remembering the last one: neighbours share their directory. */
static int import_follow_dir(struct import_placing *placing, const char *path,
			     size_t dir_len)
{
	int rc;

	if (placing->dir_known && strlen(placing->dir_in) == dir_len &&
	    memcmp(placing->dir_in, path, dir_len) == 0)
		return 0;
	memcpy(placing->dir_in, path, dir_len);
	placing->dir_in[dir_len] = '\0';
	placing->dir_known = false;
	rc = import_follow(placing, placing->dir_in, placing->dir_out);
	placing->dir_known = rc == 0;
	return rc;
}

/* Place of a path: the links of its directory followed, not the last name.
 * malloc'ed. */
static int import_place_path(struct import_placing *placing,
			     const struct import_entry *entry, const char *path,
			     char **place)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t dir_len = slash ? (size_t)(slash - path) : 0;
	int rc;

	rc = import_follow_dir(placing, path, dir_len);
	if (rc == -ELOOP)
		return import_place_refuse(placing->import, entry, -EBADMSG,
					   "symbolic links go in a circle");
	if (rc < 0)
		return import_place_refuse(
		    placing->import, entry, -EBADMSG,
		    rc == -EXDEV ? "a symbolic link on its way leaves the "
				   "tree"
				 : "the path is too long");
	if (asprintf(place, "%s%s%s", placing->dir_out,
		     *placing->dir_out && *name ? "/" : "", name) < 0)
		return failure_errno(placing->import->failure, -ENOMEM, "%s",
				     path);
	return 0;
}

/* One round over the symbolic links; *changed: one ended up at a new place. */
static int import_place_links(struct import_placing *placing, bool *changed)
{
	struct import *import = placing->import;
	int rc;

	*changed = false;
	placing->dir_known = false;
	for (uint32_t i = 0; i < import->entry_count; i++) {
		CLEANUP_FREE char *place = NULL;
		const struct import_entry *entry = &import->entries[i];

		if (!S_ISLNK(entry->attr.mode))
			continue;
		rc = import_place_path(placing, entry, entry->path, &place);
		if (rc < 0)
			return rc;
		if (import_map_get(&placing->links, place, strlen(place)))
			continue;
		if (import_map_put(&placing->links, place, strlen(place), i) <
		    0)
			return failure_errno(import->failure, -ENOMEM,
					     "import");
		placing->dir_known = false;
		*changed = true;
	}
	return 0;
}

/* --- several objects at one place ---------------------------------------- */

/* The file behind a hard link; NULL: it is not there, or links in a circle. */
static const struct import_entry *
import_link_file(struct import_placing *placing,
		 const struct import_entry *entry)
{
	CLEANUP_FREE char *place = NULL;
	uint32_t *found;

	for (int i = 0; entry && import_is_link(entry); i++) {
		free(STEAL(place));
		if (i == IMPORT_FOLLOW_MAX ||
		    import_place_path(placing, entry, entry->target, &place) <
			0)
			return NULL;
		found = import_map_get(&placing->places, place, strlen(place));
		entry = found ? &placing->import->entries[*found] : NULL;
	}
	return entry && entry->kind == IMPORT_OBJECT ? entry : NULL;
}

static bool import_chunks_equal(const struct import *import,
				const struct import_entry *a,
				const struct import_entry *b)
{
	if (a->chunk_count != b->chunk_count)
		return false;
	for (uint32_t i = 0; i < a->chunk_count; i++) {
		const struct import_chunk *x =
		    &import->chunks[a->first_chunk + i];
		const struct import_chunk *y =
		    &import->chunks[b->first_chunk + i];

		if (x->len != y->len || x->hole != y->hole ||
		    (!x->hole && !digest_equal(&x->name, &y->name)))
			return false;
	}
	return true;
}

/* Times apart: two packages that carry the same file were built twice. */
static bool import_same(struct import_placing *placing,
			const struct import_entry *a,
			const struct import_entry *b)
{
	a = import_link_file(placing, a);
	b = import_link_file(placing, b);
	if (!a || !b || a->attr.mode != b->attr.mode ||
	    a->attr.uid != b->attr.uid || a->attr.gid != b->attr.gid ||
	    a->attr.rdev_major != b->attr.rdev_major ||
	    a->attr.rdev_minor != b->attr.rdev_minor)
		return false;
	if (a->target || b->target)
		return a->target && b->target &&
		       strcmp(a->target, b->target) == 0;
	return import_chunks_equal(placing->import, a, b);
}

/* *newer: of the two at one place the new one counts. */
static int import_choose(struct import_placing *placing,
			 const struct import_entry *old,
			 const struct import_entry *entry, bool *newer)
{
	bool old_dir = S_ISDIR(old->attr.mode);
	bool dir = S_ISDIR(entry->attr.mode);
	char why[IMPORT_PATH_MAX + 128];

	*newer = placing->import->layered;
	if (*newer)
		return 0;
	/* Deleted and made again is made. */
	if (old->kind == IMPORT_WHITEOUT || entry->kind == IMPORT_WHITEOUT) {
		*newer = entry->kind == IMPORT_OBJECT;
		return 0;
	}
	/* dpkg goes on below a link that stands where a directory would. */
	if (dir && S_ISLNK(old->attr.mode))
		return 0;
	if (old_dir && S_ISLNK(entry->attr.mode)) {
		*newer = true;
		return 0;
	}
	*newer = old->origin == entry->origin;
	if ((old_dir && dir) || (*newer && !old_dir && !dir))
		return 0;
	if (!old_dir && !dir && import_same(placing, old, entry))
		return 0;
	snprintf(why, sizeof(why), "%s has something else at that path",
		 import_origin_name(placing->import, old->origin));
	return import_place_refuse(placing->import, entry, -EEXIST, why);
}

static int import_place_one(struct import_placing *placing, uint32_t i)
{
	struct import *import = placing->import;
	struct import_entry *entry = &import->entries[i];
	bool newer = true;
	uint32_t *old;
	int rc;

	rc = import_place_path(placing, entry, entry->path, &entry->placed);
	if (rc < 0)
		return rc;
	if (entry->kind == IMPORT_OPAQUE)
		return 0; /* a mark on another's place */
	if (!*entry->placed && !S_ISDIR(entry->attr.mode))
		return import_place_refuse(import, entry, -EBADMSG,
					   "the root must be a directory");
	old = import_map_get(&placing->places, entry->placed,
			     strlen(entry->placed));
	if (old) {
		rc = import_choose(placing, &import->entries[*old], entry,
				   &newer);
		if (rc < 0)
			return rc;
		free(STEAL(import->entries[newer ? *old : i].placed));
	}
	if (!newer)
		return 0;
	rc = import_map_put(&placing->places, entry->placed,
			    strlen(entry->placed), i);
	return rc < 0 ? failure_errno(import->failure, rc, "import") : 0;
}

/* Hard links take the place of their file, now that it is known. */
static int import_place_hard(struct import_placing *placing)
{
	struct import *import = placing->import;
	const struct import_entry *file;

	for (size_t i = 0; i < import->entry_count; i++) {
		struct import_entry *entry = &import->entries[i];

		if (!entry->placed || !import_is_link(entry))
			continue;
		file = import_link_file(placing, entry);
		if (!file || S_ISDIR(file->attr.mode))
			return import_place_refuse(
			    import, entry, -EBADMSG,
			    "a hard link to what is not there");
		free(entry->target);
		entry->target = strdup(file->placed);
		if (!entry->target)
			return failure_errno(import->failure, -ENOMEM,
					     "import");
	}
	return 0;
}

int import_place(struct import *import)
{
	struct import_placing *placing = calloc(1, sizeof(*placing));
	bool changed = true;
	int rc = 0;

	if (!placing)
		return failure_errno(import->failure, -ENOMEM, "import");
	placing->import = import;
	/* Each round settles links that lie below those of the round before. */
	for (int i = 0; rc == 0 && changed && i < IMPORT_FOLLOW_MAX; i++)
		rc = import_place_links(placing, &changed);
	placing->dir_known = false;
	for (uint32_t i = 0; rc == 0 && i < import->entry_count; i++)
		rc = import_place_one(placing, i);
	if (rc == 0)
		rc = import_place_hard(placing);
	import_map_clear(&placing->links);
	import_map_clear(&placing->places);
	free(placing);
	return rc;
}

/* --- the tree ------------------------------------------------------------ */

static int import_build_file(struct import *import, struct tree_build *build,
			     const struct import_entry *entry)
{
	int rc;

	rc = tree_build_file(build, entry->placed, &entry->attr);
	for (uint32_t i = 0; rc == 0 && i < entry->chunk_count; i++) {
		const struct import_chunk *chunk =
		    &import->chunks[entry->first_chunk + i];

		rc = chunk->hole
			 ? tree_build_hole(build, chunk->len)
			 : tree_build_chunk(build, &chunk->name, chunk->len);
	}
	return rc;
}

static int import_build_entry(struct import *import, struct tree_build *build,
			      const struct import_entry *entry, bool links)
{
	int rc = 0;

	/* What needs another object to be there comes last. */
	if (!entry->placed ||
	    links != (import_is_link(entry) || entry->kind == IMPORT_OPAQUE))
		return 0;
	if (entry->kind == IMPORT_WHITEOUT)
		rc = tree_build_whiteout(build, entry->placed);
	else if (entry->kind == IMPORT_OPAQUE)
		rc = tree_build_opaque(build, entry->placed);
	else if (links)
		rc = tree_build_link(build, entry->placed, entry->target);
	else if (S_ISREG(entry->attr.mode))
		rc = import_build_file(import, build, entry);
	else if (S_ISLNK(entry->attr.mode))
		rc = tree_build_symlink(build, entry->placed, &entry->attr,
					entry->target);
	else
		rc = tree_build_add(build, entry->placed, &entry->attr);
	if (rc == -EEXIST || rc == -ENOTDIR)
		return import_place_refuse(
		    import, entry, -EEXIST,
		    "its path goes through what is no directory");
	if (rc < 0)
		return failure_errno(import->failure, rc, "%s: entry \"%s\"",
				     import_origin_name(import, entry->origin),
				     entry->path);
	return 0;
}

static int import_build_all(struct import *import, struct tree_build *build)
{
	int rc = 0;

	for (int links = 0; links < 2; links++)
		for (size_t i = 0; rc == 0 && i < import->entry_count; i++)
			rc = import_build_entry(import, build,
						&import->entries[i], links);
	for (size_t i = 0; rc == 0 && i < import->xattr_count; i++) {
		const struct import_xattr *xattr = &import->xattrs[i];
		const struct import_entry *entry =
		    &import->entries[xattr->entry];

		if (!entry->placed)
			continue;
		rc = tree_build_xattr(build, entry->placed, xattr->name,
				      xattr->value, xattr->len);
		if (rc < 0)
			failure_errno(import->failure, rc,
				      "%s: extended attribute %s",
				      entry->placed, xattr->name);
	}
	return rc;
}

int import_build(struct import *import, void **bytes, size_t *len)
{
	struct tree_build *build = tree_build_new();
	int rc;

	if (!build)
		return failure_errno(import->failure, -ENOMEM, "tree");
	if (import->options.salt)
		tree_build_private(build, import->options.salt);
	rc = import_build_all(import, build);
	if (rc == 0) {
		rc = tree_build_finish(build, bytes, len);
		if (rc < 0)
			failure_errno(import->failure, rc, "the tree");
	}
	tree_build_free(build);
	return rc;
}
