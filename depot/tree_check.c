/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_check: proves that bytes of unknown origin are a tree (format.h), in one
 * pass over the inodes and one array of counters.  What passes may be used
 * without further checks.
 *
 * Linear: every section is used up in the order of inodes, so no byte is looked
 * at twice; a directory has a lower number than its subdirectories, so there
 * are no cycles to be searched.
 */
#include "depot/tree_image.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "depot/log.h"
#include "depot/shard.h"

struct tree_check {
	const struct tree_image *img; /* borrows */
	uint32_t *names;              /* owns; names met so far, by inode */
	uint16_t *depths; /* owns; of directories, 1 + components; 0: not met */
	/* What the inodes so far have used up. */
	uint64_t entry_next, chunk_next, shard_next, text_next, xattr_next;
	uint64_t content_len;
};

static void tree_check_cleanup(struct tree_check *check)
{
	free(check->names);
	free(check->depths);
}

static int tree_check_bad(const char *what, uint64_t number)
{
	log_debug("tree: bad %s (%" PRIu64 ")", what, number);
	return -EBADMSG;
}

static bool tree_check_zero(const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static int tree_check_header(const struct tree_image *img)
{
	const struct format_tree_header *header = img->header;
	const uint8_t *end = (const uint8_t *)header + img->file_len;
	const uint8_t *chunks_end =
	    (const uint8_t *)&img->chunks[img->chunk_count];
	const uint8_t *text_end = (const uint8_t *)img->text + img->text_len;
	uint32_t flags = le32toh(header->flags_le);

	if (flags & ~(uint32_t)TREE_FLAG_PRIVATE)
		return tree_check_bad("flags", flags);
	if (!(flags & TREE_FLAG_PRIVATE) &&
	    !tree_check_zero(header->salt, sizeof(header->salt)))
		return tree_check_bad("salt", 0);
	if (header->reserved_le != 0)
		return tree_check_bad("header", 0);
	if (img->inode_count == 0)
		return tree_check_bad("inode count", 0);
	if (!tree_check_zero(chunks_end, (size_t)((const uint8_t *)img->shards -
						  chunks_end)) ||
	    !tree_check_zero(text_end, (size_t)(end - text_end)))
		return tree_check_bad("padding", 0);
	return 0;
}

static int tree_check_child(struct tree_check *check, uint32_t dir,
			    uint32_t child, uint32_t *subdirs)
{
	const struct tree_image *img = check->img;
	const struct format_tree_inode *in;

	if (child == TREE_WHITEOUT)
		return 0;
	if (child >= img->inode_count)
		return tree_check_bad("inode of entry", child);
	in = &img->inodes[child];
	check->names[child]++;
	if (!S_ISDIR(le32toh(in->mode_le)))
		return 0;
	if (child <= dir || check->depths[child] != 0 ||
	    le32toh(in->parent_le) != dir)
		return tree_check_bad("parent of directory", child);
	check->depths[child] = (uint16_t)(check->depths[dir] + 1);
	++*subdirs;
	return 0;
}

static int tree_check_entry(struct tree_check *check, uint32_t first,
			    uint32_t count, uint32_t i)
{
	const struct tree_image *img = check->img;
	const struct format_tree_entry *entry = &img->entries[first + i];
	uint64_t cookie = le64toh(entry->cookie_le), home;
	size_t name_len = le16toh(entry->name_len_le);
	const char *name = img->text + check->text_next;
	uint32_t found;

	if (entry->reserved_le != 0 || entry->reserved2_le != 0)
		return tree_check_bad("entry", first + i);
	if (le32toh(entry->name_off_le) != check->text_next ||
	    name_len > img->text_len - img->xattr_len - check->text_next ||
	    !tree_name_ok(name, name_len))
		return tree_check_bad("name of entry", first + i);
	check->text_next += name_len;
	if (cookie < TREE_COOKIE_MIN || cookie > TREE_COOKIE_TOP ||
	    (i > 0 && cookie <= le64toh(entry[-1].cookie_le)))
		return tree_check_bad("cookie of entry", first + i);
	/*
	 * At its own hash value it will be found first, since cookies rise.
	 * Elsewhere it must be found through the chain.  Either way no second
	 * entry can have this name, because a lookup would not come to it.
	 */
	home = name_cookie(name, name_len);
	if (cookie != home && (tree_image_find(img, first, count, home, name,
					       name_len, &found) < 0 ||
			       found != i))
		return tree_check_bad("chain of entry", first + i);
	return 0;
}

/* Names first, whole run: a chain may reach on in the run, and its search
 * reads the offsets of names that lie there. */
static int tree_check_run(struct tree_check *check, uint32_t first,
			  uint32_t count)
{
	const struct tree_image *img = check->img;

	for (uint32_t i = 0; i < count; i++) {
		const struct format_tree_entry *entry =
		    &img->entries[first + i];

		if (le16toh(entry->name_len_le) > img->text_len ||
		    le32toh(entry->name_off_le) >
			img->text_len - le16toh(entry->name_len_le))
			return tree_check_bad("text of entry", first + i);
	}
	for (uint32_t i = 0; i < count; i++) {
		int rc = tree_check_entry(check, first, count, i);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int tree_check_dir(struct tree_check *check, uint32_t inode)
{
	const struct tree_image *img = check->img;
	const struct format_tree_inode *in = &img->inodes[inode];
	uint32_t first = le32toh(in->first_le), count = le32toh(in->count_le);
	uint32_t subdirs = 0;
	int rc;

	if (check->depths[inode] == 0)
		return tree_check_bad("directory without a name", inode);
	if (check->depths[inode] > TREE_DEPTH_MAX && count != 0)
		return tree_check_bad("depth of directory", inode);
	if (le64toh(in->size_le) != TREE_DIR_SIZE ||
	    first != check->entry_next ||
	    count > img->entry_count - check->entry_next)
		return tree_check_bad("directory", inode);
	check->entry_next += count;
	rc = tree_check_run(check, first, count);
	if (rc < 0)
		return rc;
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t child = le32toh(img->entries[i].inode_le);

		rc = tree_check_child(check, inode, child, &subdirs);
		if (rc < 0)
			return rc;
	}
	if (le32toh(in->nlink_le) != 2 + subdirs)
		return tree_check_bad("nlink of directory", inode);
	return 0;
}

static int tree_check_chunk(struct tree_check *check, uint32_t i, uint64_t off)
{
	const struct tree_image *img = check->img;
	const struct format_tree_chunk *chunk = &img->chunks[i];
	uint64_t end = tree_chunk_end(chunk);
	uint32_t shard = le32toh(chunk->shard_le);

	if (chunk->reserved_le != 0 || end <= off ||
	    end - off > SHARD_CHUNK_MAX)
		return tree_check_bad("chunk", i);
	if (shard == TREE_HOLE)
		return 0;
	/* Numbered in the order of first use: no gap, so none is unused. */
	if (shard > check->shard_next || shard >= img->shard_count)
		return tree_check_bad("shard of chunk", i);
	if (shard == check->shard_next)
		check->shard_next++;
	return 0;
}

static int tree_check_file(struct tree_check *check, uint32_t inode)
{
	const struct tree_image *img = check->img;
	const struct format_tree_inode *in = &img->inodes[inode];
	uint32_t first = le32toh(in->first_le), count = le32toh(in->count_le);
	uint64_t off = 0;

	if (first != check->chunk_next ||
	    count > img->chunk_count - check->chunk_next)
		return tree_check_bad("chunks of inode", inode);
	check->chunk_next += count;
	for (uint32_t i = first; i < first + count; i++) {
		int rc = tree_check_chunk(check, i, off);

		if (rc < 0)
			return rc;
		off = tree_chunk_end(&img->chunks[i]);
	}
	/* Cannot overflow: less than 2^27 chunks of at most 2^17 bytes. */
	check->content_len += off;
	if (le64toh(in->size_le) != off)
		return tree_check_bad("size of inode", inode);
	return 0;
}

static int tree_check_symlink(struct tree_check *check, uint32_t inode)
{
	const struct tree_image *img = check->img;
	const struct format_tree_inode *in = &img->inodes[inode];
	uint32_t len = le32toh(in->count_le);

	if (le32toh(in->first_le) != check->text_next || len == 0 ||
	    len > TREE_SYMLINK_MAX ||
	    len > img->text_len - img->xattr_len - check->text_next ||
	    le64toh(in->size_le) != len ||
	    memchr(img->text + check->text_next, '\0', len))
		return tree_check_bad("target of inode", inode);
	check->text_next += len;
	return 0;
}

static int tree_check_xattr(struct tree_check *check, uint32_t inode)
{
	const struct tree_image *img = check->img;
	const char *last = NULL, *p;
	size_t last_len = 0;

	if (le32toh(img->inodes[inode].xattr_le) != check->xattr_next + 1)
		return tree_check_bad("attributes of inode", inode);
	for (unsigned int count = 0; count <= TREE_XATTR_MAX; count++) {
		uint64_t left = img->text_len - check->xattr_next, len;
		size_t name_len;

		p = img->text + check->xattr_next;
		name_len = left < 2 ? 0 : le16_get(p);
		if (left >= 2 && name_len == 0) {
			check->xattr_next += 2;
			return count > 0 ? 0
					 : tree_check_bad("end mark", inode);
		}
		if (left < TREE_XATTR_HEAD_LEN ||
		    name_len > TREE_XATTR_NAME_MAX ||
		    le32_get(p + 2) > TREE_XATTR_VALUE_MAX)
			break;
		len = TREE_XATTR_HEAD_LEN + name_len + le32_get(p + 2);
		p += TREE_XATTR_HEAD_LEN;
		if (len > left || memchr(p, '\0', name_len) ||
		    (last &&
		     tree_name_compare(last, last_len, p, name_len) >= 0))
			break;
		last = p;
		last_len = name_len;
		check->xattr_next += len;
	}
	return tree_check_bad("attribute of inode", inode);
}

static int tree_check_type(struct tree_check *check, uint32_t inode)
{
	const struct format_tree_inode *in = &check->img->inodes[inode];
	uint32_t type = le32toh(in->mode_le) & S_IFMT;
	bool device = type == S_IFCHR || type == S_IFBLK;

	if (!device && (in->rdev_major_le != 0 || in->rdev_minor_le != 0))
		return tree_check_bad("device number of inode", inode);
	if (type == S_IFDIR)
		return tree_check_dir(check, inode);
	if (in->flags_le != 0 || in->parent_le != 0)
		return tree_check_bad("flags of inode", inode);
	if (type == S_IFREG)
		return tree_check_file(check, inode);
	if (type == S_IFLNK)
		return tree_check_symlink(check, inode);
	if (!device && type != S_IFIFO && type != S_IFSOCK)
		return tree_check_bad("type of inode", inode);
	if (in->size_le != 0 || in->first_le != 0 || in->count_le != 0)
		return tree_check_bad("special inode", inode);
	return 0;
}

static int tree_check_inode(struct tree_check *check, uint32_t inode)
{
	const struct format_tree_inode *in = &check->img->inodes[inode];
	int rc;

	if (le32toh(in->mode_le) & ~(uint32_t)(S_IFMT | 07777))
		return tree_check_bad("mode of inode", inode);
	if (le32toh(in->mtime_nsec_le) > TREE_NSEC_MAX)
		return tree_check_bad("time of inode", inode);
	if (le32toh(in->flags_le) & ~(uint32_t)TREE_INODE_OPAQUE)
		return tree_check_bad("flags of inode", inode);
	rc = tree_check_type(check, inode);
	if (rc == 0 && in->xattr_le != 0)
		rc = tree_check_xattr(check, inode);
	return rc;
}

static int tree_check_sums(const struct tree_check *check)
{
	const struct tree_image *img = check->img;

	if (check->entry_next != img->entry_count ||
	    check->chunk_next != img->chunk_count ||
	    check->shard_next != img->shard_count)
		return tree_check_bad("count", 0);
	if (check->text_next != img->text_len - img->xattr_len ||
	    check->xattr_next != img->text_len)
		return tree_check_bad("text length", img->text_len);
	if (check->content_len != le64toh(img->header->content_len_le))
		return tree_check_bad("content length", check->content_len);
	for (uint32_t i = 0; i < img->inode_count; i++) {
		const struct format_tree_inode *in = &img->inodes[i];

		/* A directory's one name was counted with its parent. */
		if (!S_ISDIR(le32toh(in->mode_le)) &&
		    (check->names[i] == 0 ||
		     le32toh(in->nlink_le) != check->names[i]))
			return tree_check_bad("nlink of inode", i);
	}
	return 0;
}

int tree_image_check(const struct tree_image *img)
{
	CLEANUP(tree_check_cleanup) struct tree_check check = {.img = img};
	int rc;

	rc = tree_check_header(img);
	if (rc < 0)
		return rc;
	if (!S_ISDIR(le32toh(img->inodes[TREE_ROOT].mode_le)) ||
	    img->inodes[TREE_ROOT].parent_le != 0)
		return tree_check_bad("root", 0);
	check.names = calloc(img->inode_count, sizeof(*check.names));
	check.depths = calloc(img->inode_count, sizeof(*check.depths));
	if (!check.names || !check.depths)
		return -ENOMEM;
	check.depths[TREE_ROOT] = 1;
	check.xattr_next = img->text_len - img->xattr_len;
	for (uint32_t i = 0; i < img->inode_count; i++) {
		rc = tree_check_inode(&check, i);
		if (rc < 0)
			return rc;
	}
	return tree_check_sums(&check);
}
