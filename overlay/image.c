/* SPDX-License-Identifier: Apache-2.0 */
/* image: lookups in a flattened selection.  Built by image_build.c. */
#include <stdatomic.h>
#include <sys/stat.h>

#include "overlay/image_impl.h"

struct image *image_get(struct image *image)
{
	atomic_fetch_add(&image->refs, 1);
	return image;
}

void image_put(struct image *image)
{
	if (!image || atomic_fetch_sub(&image->refs, 1) != 1)
		return;
	for (unsigned int i = 0; i < image->tree_count; i++)
		tree_put(image->trees[i]);
	free(image->inodes);
	free(image->entries);
	free(image->slots);
	free(image);
}

uint32_t image_inode_count(const struct image *image)
{
	return image->inode_count;
}

const struct image_inode *image_inode(const struct image *image, uint32_t i)
{
	ASSERT(i < image->inode_count);
	return &image->inodes[i];
}

struct tree *image_attr(const struct image *image, uint32_t i,
			struct tree_inode *attr)
{
	const struct image_inode *inode = image_inode(image, i);
	struct tree *tree;

	memset(attr, 0, sizeof(*attr));
	if (inode->inode == TREE_WHITEOUT) {
		attr->mode = S_IFCHR;
		attr->nlink = 1;
		return NULL;
	}
	if (image->tree_count == 0) {
		attr->mode = S_IFDIR | 0755;
		return NULL;
	}
	tree = image->trees[inode->tree];
	tree_inode_get(tree, inode->inode, attr);
	return tree;
}

bool image_is_last(const struct image *image)
{
	return atomic_load(&image->refs) == 1;
}

struct tree *image_tree(const struct image *image, uint32_t tree)
{
	ASSERT(tree < image->tree_count);
	return image->trees[tree];
}

uint32_t image_find(const struct image *image, uint64_t fileid)
{
	uint64_t at = fileid & image->slot_mask;

	for (;;) {
		uint32_t i = image->slots[at];

		if (i == IMAGE_NONE || image->inodes[i].fileid == fileid)
			return i;
		at = (at + 1) & image->slot_mask;
	}
}

const struct image_entry *image_from(const struct image *image, uint32_t dir,
				     uint64_t cookie,
				     const struct image_entry **end)
{
	const struct image_inode *inode = image_inode(image, dir);
	const struct image_entry *low = image->entries;
	size_t count = inode->count;

	*end = low;
	if (count == 0) /* `entries` may be NULL */
		return low;
	low += inode->first;
	*end = low + count;
	while (count > 0) {
		size_t half = count / 2;

		if (low[half].cookie < cookie) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return low;
}

const struct image_entry *image_lookup(const struct image *image, uint32_t dir,
				       const char *name, size_t name_len)
{
	uint64_t cookie = name_cookie(name, name_len);
	const struct image_entry *end;
	const struct image_entry *entry = image_from(image, dir, cookie, &end);

	for (int i = 0; i < NAME_CHAIN_MAX; i++) {
		uint64_t next = name_cookie_next(cookie);

		if (entry == end || entry->cookie != cookie)
			return NULL;
		if (entry->name_len == name_len &&
		    memcmp(entry->name, name, name_len) == 0)
			return entry;
		if (next < cookie)
			entry = image_from(image, dir, next, &end);
		else
			entry++;
		cookie = next;
	}
	return NULL;
}

uint32_t image_tree_count(const struct image *image)
{
	return image->tree_count;
}

const struct timespec *image_since(const struct image *image)
{
	return &image->since;
}
