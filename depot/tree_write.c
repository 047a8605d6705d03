/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_write: the one tree of what tree_build.c has collected.
 *
 *  1. number: walk depth-first by names; inodes get their numbers
 *  2. count: shards get theirs; lengths of all sections
 *  3. fill: inode by inode, each with its entries, chunks, text
 *  4. ids, from the finished bytes
 */
#include "depot/tree_build.h"

#include "depot/tree_image.h"
#include "depot/tree_nodes.h"

/* A name to be sorted: by prefix of the name, or by cookie. */
struct tree_write_row {
	uint64_t key;
	struct tree_node *node; /* borrows */
};

struct tree_write {
	const struct tree_build *build; /* borrows */
	struct tree_node **nodes;       /* owns; first name, by inode */
	uint32_t *shard_numbers;        /* owns; TREE_HOLE: not used yet */
	struct tree_write_row *rows;    /* owns; of one directory */
	size_t row_cap;
	struct tree_image img;
	/* Filled so far. */
	uint32_t entry_next, chunk_next;
	uint64_t text_next, xattr_next, content_len;
};

static void tree_write_cleanup(struct tree_write *write)
{
	free(write->nodes);
	free(write->shard_numbers);
	free(write->rows);
}

static int tree_write_compare(const void *a, const void *b)
{
	const struct tree_write_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return tree_name_compare(x->node->name, x->node->name_len,
				 y->node->name, y->node->name_len);
}

/* The names of a directory, as rows without keys. */
static int tree_write_rows(struct tree_write *write,
			   const struct tree_object *dir)
{
	struct tree_node *node;
	size_t i = 0, count = dir->child_count;

	if (count > write->row_cap) {
		free(write->rows);
		write->rows = malloc(2 * count * sizeof(*write->rows));
		write->row_cap = write->rows ? 2 * count : 0;
		if (!write->rows)
			return -ENOMEM;
	}
	for (node = dir->children; node; node = node->sibling)
		write->rows[i++].node = node;
	ASSERT(i == count);
	return 0;
}

/* Link a directory's names in byte order. */
static int tree_write_sort(struct tree_write *write, struct tree_object *dir)
{
	struct tree_node **link = &dir->children;
	size_t count = dir->child_count;
	int rc;

	rc = tree_write_rows(write, dir);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		struct tree_write_row *row = &write->rows[i];

		row->key =
		    tree_name_prefix(row->node->name, row->node->name_len);
	}
	if (count > 1)
		qsort(write->rows, count, sizeof(*write->rows),
		      tree_write_compare);
	for (size_t i = 0; i < count; i++) {
		*link = write->rows[i].node;
		link = &write->rows[i].node->sibling;
	}
	*link = NULL;
	return 0;
}

static int tree_write_number_node(struct tree_write *write,
				  struct tree_node *node)
{
	struct tree_object *object = node->object;
	uint32_t number = write->img.inode_count;

	if (object && (object->number >= number ||
		       write->nodes[object->number]->object != object)) {
		/* Whatever number an earlier writing left: this is its first
		 * name. */
		object->number = number;
		write->nodes[number] = node;
		write->img.inode_count++;
	}
	if (!tree_object_is(object, S_IFDIR))
		return 0;
	return tree_write_sort(write, object);
}

static int tree_write_number(struct tree_write *write)
{
	struct tree_node *node = write->build->root;
	int rc;

	write->nodes =
	    malloc((write->build->node_count + 1) * sizeof(*write->nodes));
	if (!write->nodes)
		return -ENOMEM;
	while (node) {
		rc = tree_write_number_node(write, node);
		if (rc < 0)
			return rc;
		if (tree_object_is(node->object, S_IFDIR) &&
		    node->object->children) {
			node = node->object->children;
			continue;
		}
		while (node && !node->sibling)
			node = node->parent;
		if (node)
			node = node->sibling;
	}
	return 0;
}

static void tree_write_count_object(struct tree_write *write,
				    const struct tree_object *object)
{
	struct tree_image *img = &write->img;
	const struct tree_attrib *attrib;

	if (tree_object_is(object, S_IFDIR)) {
		const struct tree_node *node = object->children;

		for (; node; node = node->sibling)
			img->text_len += node->name_len;
	} else if (tree_object_is(object, S_IFLNK)) {
		img->text_len += object->target_len;
	}
	for (uint32_t i = 0; i < object->piece_count; i++) {
		uint32_t shard = object->pieces[i].shard;

		if (shard != TREE_HOLE &&
		    write->shard_numbers[shard] == TREE_HOLE)
			write->shard_numbers[shard] = img->shard_count++;
	}
	for (attrib = object->attribs; attrib; attrib = attrib->next)
		write->xattr_next +=
		    TREE_XATTR_HEAD_LEN + attrib->name_len + attrib->value_len;
	if (object->attribs)
		write->xattr_next += 2;
}

static int tree_write_count(struct tree_write *write)
{
	const struct tree_build *build = write->build;
	size_t shard_bytes = build->shard_count * sizeof(uint32_t);
	struct tree_image *img = &write->img;

	/* Before 32 bits could be too few. */
	if (build->node_count > TREE_FILE_MAX / sizeof(*img->entries))
		return -EFBIG;
	write->shard_numbers = malloc(MAX(shard_bytes, 1));
	if (!write->shard_numbers)
		return -ENOMEM;
	memset(write->shard_numbers, 0xff, shard_bytes);
	img->entry_count = (uint32_t)build->node_count;
	for (uint32_t i = 0; i < img->inode_count; i++)
		tree_write_count_object(write, write->nodes[i]->object);
	img->chunk_count = (uint32_t)build->piece_count;
	if (write->xattr_next > TREE_FILE_MAX)
		return -EFBIG;
	img->xattr_len = (uint32_t)write->xattr_next;
	img->text_len += img->xattr_len;
	write->xattr_next = img->text_len - img->xattr_len;
	return tree_image_measure(img);
}

/*
 * Turn hash values into cookies: sorted by value, then name, each takes its own
 * value or the first free one above.  Values pushed past the top go on from the
 * bottom, and then stand first.
 */
static int tree_write_place(struct tree_write_row *rows, size_t count,
			    size_t *wrapped)
{
	/* The last values given out, at the bottom and so far. */
	uint64_t bottom = TREE_COOKIE_MIN - 1, last = bottom;
	size_t above;

	/* How many are pushed past the top, and take the lowest values? */
	*wrapped = 0;
	for (size_t i = 0; i < count; i++) {
		if (last == TREE_COOKIE_TOP)
			++*wrapped;
		else
			last = MAX(rows[i].key, last + 1);
	}
	last = bottom += *wrapped;
	above = count - *wrapped;
	for (size_t i = 0; i < count; i++) {
		uint64_t home = rows[i].key, steps;

		if (i < above) {
			last = MAX(home, last + 1);
			steps = last - home;
			rows[i].key = last;
		} else {
			rows[i].key = TREE_COOKIE_MIN + (i - above);
			steps = TREE_COOKIE_TOP - home + 1 + (i - above);
		}
		if (steps >= NAME_CHAIN_MAX)
			return -EMLINK;
	}
	return 0;
}

static void tree_write_entry(struct tree_write *write,
			     const struct tree_write_row *row)
{
	const struct tree_node *node = row->node;
	struct format_tree_entry *entry =
	    &write->img.entries[write->entry_next++];
	uint32_t inode = node->object ? node->object->number : TREE_WHITEOUT;

	entry->cookie_le = htole64(row->key);
	entry->inode_le = htole32(inode);
	entry->name_off_le = htole32((uint32_t)write->text_next);
	entry->name_len_le = htole16(node->name_len);
	memcpy(write->img.text + write->text_next, node->name, node->name_len);
	write->text_next += node->name_len;
}

static int tree_write_dir(struct tree_write *write, struct tree_node *dir,
			  struct format_tree_inode *in)
{
	size_t count = dir->object->child_count, wrapped;
	uint32_t subdirs = 0;
	int rc;

	rc = tree_write_rows(write, dir->object);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		struct tree_write_row *row = &write->rows[i];

		row->key = name_cookie(row->node->name, row->node->name_len);
		if (tree_object_is(row->node->object, S_IFDIR))
			subdirs++;
	}
	if (count > 1)
		qsort(write->rows, count, sizeof(*write->rows),
		      tree_write_compare);
	rc = tree_write_place(write->rows, count, &wrapped);
	if (rc < 0)
		return rc;
	in->size_le = htole64(TREE_DIR_SIZE);
	in->nlink_le = htole32(2 + subdirs);
	in->parent_le = htole32(dir->parent ? dir->parent->object->number : 0);
	in->first_le = htole32(write->entry_next);
	in->count_le = htole32((uint32_t)count);
	in->flags_le = htole32(dir->object->opaque ? TREE_INODE_OPAQUE : 0);
	for (size_t i = 0; i < count; i++) {
		size_t from = (i + count - wrapped) % count;

		tree_write_entry(write, &write->rows[from]);
	}
	return 0;
}

static void tree_write_file(struct tree_write *write,
			    const struct tree_object *object,
			    struct format_tree_inode *in)
{
	uint64_t end = 0;

	in->size_le = htole64(object->size);
	in->first_le = htole32(write->chunk_next);
	in->count_le = htole32(object->piece_count);
	for (uint32_t i = 0; i < object->piece_count; i++) {
		const struct tree_piece *piece = &object->pieces[i];
		struct format_tree_chunk *chunk =
		    &write->img.chunks[write->chunk_next++];
		uint32_t shard = TREE_HOLE;

		if (piece->shard != TREE_HOLE) {
			shard = write->shard_numbers[piece->shard];
			write->img.shards[shard] =
			    write->build->shards[piece->shard];
		}
		end += piece->len;
		chunk->end_lo_le = htole32((uint32_t)end);
		chunk->end_hi_le = htole16((uint16_t)(end >> 32));
		chunk->shard_le = htole32(shard);
	}
	write->content_len += end;
}

static void tree_write_symlink(struct tree_write *write,
			       const struct tree_object *object,
			       struct format_tree_inode *in)
{
	in->size_le = htole64(object->target_len);
	in->first_le = htole32((uint32_t)write->text_next);
	in->count_le = htole32(object->target_len);
	memcpy(write->img.text + write->text_next, object->target,
	       object->target_len);
	write->text_next += object->target_len;
}

static void tree_write_xattrs(struct tree_write *write,
			      const struct tree_object *object,
			      struct format_tree_inode *in)
{
	const struct tree_attrib *attrib = object->attribs;
	char *p = write->img.text + write->xattr_next;

	if (!attrib)
		return;
	in->xattr_le = htole32((uint32_t)write->xattr_next + 1);
	for (; attrib; attrib = attrib->next) {
		size_t len = attrib->name_len + (size_t)attrib->value_len;

		le16_put(p, attrib->name_len);
		le32_put(p + 2, attrib->value_len);
		memcpy(p + TREE_XATTR_HEAD_LEN, attrib->data, len);
		p += TREE_XATTR_HEAD_LEN + len;
	}
	/* The end mark is zeros that are there. */
	write->xattr_next = (uint64_t)(p + 2 - write->img.text);
}

static int tree_write_inode(struct tree_write *write, uint32_t inode)
{
	struct tree_node *node = write->nodes[inode];
	const struct tree_object *object = node->object;
	const struct tree_build_attr *attr = &object->attr;
	struct format_tree_inode *in = &write->img.inodes[inode];
	int rc = 0;

	in->mtime_sec_le = (int64_t)htole64((uint64_t)attr->mtime.tv_sec);
	in->mtime_nsec_le = htole32((uint32_t)attr->mtime.tv_nsec);
	in->mode_le = htole32(attr->mode);
	in->uid_le = htole32(attr->uid);
	in->gid_le = htole32(attr->gid);
	in->nlink_le = htole32(object->refs);
	in->rdev_major_le = htole32(attr->rdev_major);
	in->rdev_minor_le = htole32(attr->rdev_minor);
	if (S_ISDIR(attr->mode))
		rc = tree_write_dir(write, node, in);
	else if (S_ISREG(attr->mode))
		tree_write_file(write, object, in);
	else if (S_ISLNK(attr->mode))
		tree_write_symlink(write, object, in);
	tree_write_xattrs(write, object, in);
	return rc;
}

static void tree_write_header(struct tree_write *write)
{
	const struct tree_image *img = &write->img;
	struct format_tree_header *header = img->header;

	memcpy(header->magic, FORMAT_TREE_MAGIC, sizeof(header->magic));
	header->format_le = htole32(FORMAT_TREE);
	header->inode_count_le = htole32(img->inode_count);
	header->entry_count_le = htole32(img->entry_count);
	header->chunk_count_le = htole32(img->chunk_count);
	header->shard_count_le = htole32(img->shard_count);
	header->text_len_le = htole64(img->text_len);
	header->file_len_le = htole64(img->file_len);
	header->content_len_le = htole64(write->content_len);
	header->xattr_len_le = htole32(img->xattr_len);
	if (write->build->private) {
		header->flags_le = htole32(TREE_FLAG_PRIVATE);
		memcpy(header->salt, write->build->salt, sizeof(header->salt));
	}
}

static int tree_write_ids(struct tree_write *write)
{
	CLEANUP(tree_id_scratch_cleanup) struct tree_id_scratch scratch = {0};
	const struct tree_image *img = &write->img;
	uint64_t id;

	for (uint32_t i = 0; i < img->inode_count; i++) {
		int rc = tree_image_id(img, i, &scratch, &id);

		if (rc < 0)
			return rc;
		img->inodes[i].id_le = htole64(id);
	}
	return 0;
}

static int tree_write_fill(struct tree_write *write)
{
	const struct tree_image *img = &write->img;
	int rc;

	for (uint32_t i = 0; i < img->inode_count; i++) {
		rc = tree_write_inode(write, i);
		if (rc < 0)
			return rc;
	}
	ASSERT(write->entry_next == img->entry_count);
	ASSERT(write->chunk_next == img->chunk_count);
	ASSERT(write->text_next == img->text_len - img->xattr_len);
	ASSERT(write->xattr_next == img->text_len);
	tree_write_header(write);
	return tree_write_ids(write);
}

int tree_build_finish(struct tree_build *build, void **bytes, size_t *len)
{
	CLEANUP(tree_write_cleanup) struct tree_write write = {.build = build};
	CLEANUP_FREE void *out = NULL;
	int rc;

	ASSERT(build && bytes && len);
	build->file = NULL;
	rc = tree_write_number(&write);
	if (rc < 0)
		return rc;
	rc = tree_write_count(&write);
	if (rc < 0)
		return rc;
	/* Zeroed: what is not written is reserved or padding. */
	out = calloc(1, write.img.file_len);
	if (!out)
		return -ENOMEM;
	tree_image_place(&write.img, out);
	rc = tree_write_fill(&write);
	if (rc < 0)
		return rc;
	*bytes = STEAL(out);
	*len = write.img.file_len;
	return 0;
}
