/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_layers: of the objects of layers, origins in order, those that are
 * seen through all of them; the rest and all whiteouts are dropped.
 *
 * What a layer takes away, it takes from those below it only, wherever in its
 * archive it says so (OCI image specification, "Whiteouts"): so layers are
 * compared by number, never entries by their order.  An object is hidden
 *   - by anything at its own path in a higher layer, and
 *   - by a whiteout, an opaque mark or what is no directory on the way to it.
 *
 * A hard link may outlive the name that it was made of.  Its file is the one
 * that its own layer saw; when that is hidden, the first such link becomes the
 * file.
 */
#include "admin/import_impl.h"

struct import_flattening {
	struct import *import;
	struct import_map top; /* path -> highest layer with an object there */
	struct import_map cut; /* path -> highest layer that hides below it */
	uint32_t *order;       /* owns; entries by path, layer, number */
	bool *hidden;          /* owns; by entry */
	uint32_t *heir;        /* owns; by entry: link that became this file */
};

static int import_raise(struct import_map *map, const char *path,
			uint32_t layer)
{
	uint32_t *at = import_map_get(map, path, strlen(path));

	if (!at)
		return import_map_put(map, path, strlen(path), layer);
	*at = MAX(*at, layer);
	return 0;
}

static int import_note_layers(struct import_flattening *flat)
{
	struct import *import = flat->import;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < import->entry_count; i++) {
		const struct import_entry *entry = &import->entries[i];

		if (entry->kind != IMPORT_OPAQUE)
			rc = import_raise(&flat->top, entry->path,
					  entry->origin);
		if (rc == 0 && !S_ISDIR(entry->attr.mode))
			rc = import_raise(&flat->cut, entry->path,
					  entry->origin);
	}
	return rc;
}

static bool import_above(const struct import_map *map, const char *path,
			 size_t len, uint32_t layer)
{
	const uint32_t *at = import_map_get(map, path, len);

	return at && *at > layer;
}

static bool import_is_hidden(const struct import_flattening *flat,
			     const struct import_entry *entry)
{
	const char *path = entry->path;
	size_t len = strlen(path);

	if (entry->kind != IMPORT_OBJECT ||
	    import_above(&flat->top, path, len, entry->origin))
		return true;
	while (len > 0) {
		while (len > 0 && path[len - 1] != '/')
			len--;
		len -= len > 0;
		if (import_above(&flat->cut, path, len, entry->origin))
			return true;
	}
	return false;
}

/* --- hard links ---------------------------------------------------------- */

static int import_order_compare(const void *a, const void *b, void *ctx)
{
	const struct import_entry *entries = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(entries[x].path, entries[y].path);

	if (order == 0)
		order = (entries[x].origin > entries[y].origin) -
			(entries[x].origin < entries[y].origin);
	return order ? order : (x > y) - (x < y);
}

/* The object at `path` as layer `layer` saw it; IMPORT_NONE. */
static uint32_t import_seen_by(const struct import_flattening *flat,
			       const char *path, uint32_t layer)
{
	const struct import_entry *entries = flat->import->entries;
	size_t low = 0, high = flat->import->entry_count;
	uint32_t i;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order;

		i = flat->order[middle];
		order = strcmp(entries[i].path, path);
		if (order < 0 || (order == 0 && entries[i].origin <= layer))
			low = middle + 1;
		else
			high = middle;
	}
	while (low > 0) {
		i = flat->order[--low];
		if (strcmp(entries[i].path, path) != 0)
			break;
		if (entries[i].kind == IMPORT_OBJECT)
			return i;
	}
	return IMPORT_NONE;
}

/* The file behind a link, through links to links; IMPORT_NONE: there is none
 * (import_place will say so). */
static uint32_t import_link_source(const struct import_flattening *flat,
				   uint32_t link)
{
	const struct import_entry *entries = flat->import->entries;

	for (int i = 0; i < IMPORT_FOLLOW_MAX; i++) {
		link = import_seen_by(flat, entries[link].target,
				      entries[link].origin);
		if (link == IMPORT_NONE || !import_is_link(&entries[link]))
			return link;
	}
	return IMPORT_NONE;
}

static int import_link_to(struct import_entry *link, const char *path)
{
	char *target = strdup(path);

	if (!target)
		return -ENOMEM;
	free(link->target);
	link->target = target;
	return 0;
}

/* The link takes over what its file was; extended attributes too. */
static int import_inherit(struct import *import, uint32_t heir, uint32_t file)
{
	struct import_entry *to = &import->entries[heir];
	const struct import_entry *from = &import->entries[file];
	char *target = NULL;

	if (from->target && !(target = strdup(from->target)))
		return -ENOMEM;
	free(to->target);
	to->target = target;
	to->attr = from->attr;
	to->first_chunk = from->first_chunk;
	to->chunk_count = from->chunk_count;
	for (size_t i = 0; i < import->xattr_count; i++)
		if (import->xattrs[i].entry == file)
			import->xattrs[i].entry = heir;
	return 0;
}

static int import_mend_link(struct import_flattening *flat, uint32_t link)
{
	struct import_entry *entries = flat->import->entries;
	uint32_t file = import_link_source(flat, link);
	int rc;

	if (file == IMPORT_NONE)
		return 0;
	if (!flat->hidden[file])
		return import_link_to(&entries[link], entries[file].path);
	if (flat->heir[file] != IMPORT_NONE)
		return import_link_to(&entries[link],
				      entries[flat->heir[file]].path);
	rc = import_inherit(flat->import, link, file);
	flat->heir[file] = link;
	return rc;
}

static int import_mend_links(struct import_flattening *flat)
{
	struct import *import = flat->import;
	int rc = 0;

	for (uint32_t i = 0; i < import->entry_count; i++) {
		flat->order[i] = i;
		flat->heir[i] = IMPORT_NONE;
		flat->hidden[i] = import_is_hidden(flat, &import->entries[i]);
	}
	qsort_r(flat->order, import->entry_count, sizeof(*flat->order),
		import_order_compare, import->entries);
	for (uint32_t i = 0; rc == 0 && i < import->entry_count; i++)
		if (!flat->hidden[i] && import_is_link(&import->entries[i]))
			rc = import_mend_link(flat, i);
	return rc;
}

/* --- what stays ---------------------------------------------------------- */

static void import_entry_clear(struct import_entry *entry)
{
	free(entry->path);
	free(entry->placed);
	free(entry->target);
}

/* Both arrays shrink in place; an entry's new number goes into heir[]. */
static void import_drop_hidden(struct import_flattening *flat)
{
	struct import *import = flat->import;
	size_t kept = 0;

	for (size_t i = 0; i < import->entry_count; i++) {
		if (flat->hidden[i]) {
			import_entry_clear(&import->entries[i]);
			continue;
		}
		flat->heir[i] = (uint32_t)kept;
		import->entries[kept++] = import->entries[i];
	}
	import->entry_count = kept;
	kept = 0;
	for (size_t i = 0; i < import->xattr_count; i++) {
		struct import_xattr *xattr = &import->xattrs[i];

		if (flat->hidden[xattr->entry]) {
			free(xattr->name);
			free(xattr->value);
			continue;
		}
		xattr->entry = flat->heir[xattr->entry];
		import->xattrs[kept++] = *xattr;
	}
	import->xattr_count = kept;
}

int import_flatten(struct import *import)
{
	struct import_flattening flat = {.import = import};
	size_t count = import->entry_count;
	int rc = -ENOMEM;

	flat.order = calloc(count + 1, sizeof(*flat.order));
	flat.hidden = calloc(count + 1, sizeof(*flat.hidden));
	flat.heir = calloc(count + 1, sizeof(*flat.heir));
	if (flat.order && flat.hidden && flat.heir)
		rc = import_note_layers(&flat);
	if (rc == 0)
		rc = import_mend_links(&flat);
	if (rc == 0)
		import_drop_hidden(&flat);
	import_map_clear(&flat.top);
	import_map_clear(&flat.cut);
	free(flat.order);
	free(flat.hidden);
	free(flat.heir);
	return rc < 0 ? failure_errno(import->failure, rc, "layers") : 0;
}
