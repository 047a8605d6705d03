/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: opens a tree and answers from its bytes in place.
 */
#include "depot/tree.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "depot/log.h"
#include "depot/tree_image.h"

enum {
	/* Guesses by density before halving: honest hashes need about three. */
	TREE_GUESS_MAX = 20,
	/* A directory's guide has one step for so many entries, as a power. */
	TREE_GUIDE_SHIFT = 4,
};

struct tree {
	atomic_uint refs;
	bool mapped;
	void *bytes; /* owns; img borrows */
	size_t len;
	struct digest digest;
	struct tree_image img;
};

static void tree_bytes_release(struct tree *tree)
{
	if (tree->mapped)
		munmap(tree->bytes, tree->len);
	else
		free(tree->bytes);
	free(tree->img.guide);
}

/* Header and lengths; the rest is tree_image_check()'s. */
static int tree_place(struct tree *tree)
{
	const struct format_tree_header *header = tree->bytes;
	struct tree_image *img = &tree->img;
	uint32_t format;

	if (tree->len < sizeof(*header) ||
	    memcmp(header->magic, FORMAT_TREE_MAGIC, sizeof(header->magic)))
		return -EBADMSG;
	format = le32toh(header->format_le);
	if (format > FORMAT_TREE)
		return log_err(-EPROTONOSUPPORT,
			       "tree: written by a newer vdrive (format %u, "
			       "this one reads up to %d): upgrade vdrive",
			       format, FORMAT_TREE);
	img->inode_count = le32toh(header->inode_count_le);
	img->entry_count = le32toh(header->entry_count_le);
	img->chunk_count = le32toh(header->chunk_count_le);
	img->shard_count = le32toh(header->shard_count_le);
	img->text_len = le64toh(header->text_len_le);
	img->xattr_len = le32toh(header->xattr_len_le);
	if (format != FORMAT_TREE || tree_image_measure(img) < 0 ||
	    img->file_len != tree->len ||
	    img->file_len != le64toh(header->file_len_le)) {
		log_debug("tree: bad lengths in the header");
		return -EBADMSG;
	}
	tree_image_place(img, tree->bytes);
	return 0;
}

/* How many of `count` evenly spread cookies lie below `cookie`. */
static uint32_t tree_density(uint64_t cookie, uint32_t count)
{
	return (uint32_t)(((unsigned __int128)cookie * count) >> 63);
}

/*
 * The guide divides the values of cookies into count / 16 equal parts and tells
 * where in the run each begins.  It is small enough to stay in the processor's
 * cache, so that a lookup in a directory of a million touches one or two cache
 * lines of entries, where halving touches ten.  Runs do not overlap, so neither
 * do their guides when a run's place in the guide follows from its own.
 */
static void tree_guide_dir(const struct tree_image *img, uint32_t first,
			   uint32_t count)
{
	const struct format_tree_entry *run = img->entries + first;
	uint32_t *guide = img->guide + (first >> TREE_GUIDE_SHIFT);
	uint32_t parts = count >> TREE_GUIDE_SHIFT, i = 0;

	for (uint32_t part = 0; part < parts; part++) {
		while (i < count &&
		       tree_density(le64toh(run[i].cookie_le), parts) < part)
			i++;
		guide[part] = i;
	}
}

static int tree_guide_new(struct tree_image *img)
{
	img->guide = malloc(((img->entry_count >> TREE_GUIDE_SHIFT) + 1) *
			    sizeof(*img->guide));
	if (!img->guide)
		return -ENOMEM;
	for (uint32_t i = 0; i < img->inode_count; i++) {
		const struct format_tree_inode *in = &img->inodes[i];

		if (S_ISDIR(le32toh(in->mode_le)))
			tree_guide_dir(img, le32toh(in->first_le),
				       le32toh(in->count_le));
	}
	return 0;
}

/*
 * Position in a run of the first entry whose cookie is not below `cookie`.
 * Hashes are spread evenly, so a cookie tells about where it lies in its part,
 * and the distance to a first try where to try next.  A tree made to defeat
 * that costs TREE_GUESS_MAX tries more.
 */
static uint32_t tree_lower_bound(const struct tree_image *img, uint32_t first,
				 uint32_t count, uint64_t cookie)
{
	const struct format_tree_entry *run = img->entries + first;
	uint32_t parts = img->guide ? count >> TREE_GUIDE_SHIFT : 0;
	uint32_t lo = 0, hi = count, i = tree_density(cookie, count);

	if (parts > 0) {
		const uint32_t *guide =
		    img->guide + (first >> TREE_GUIDE_SHIFT);
		uint32_t part = tree_density(cookie, parts);
		/* What is left of the product is the place in the part. */
		uint64_t rest = (cookie * parts) & TREE_COOKIE_TOP;

		lo = guide[part];
		hi = part + 1 < parts ? guide[part + 1] : count;
		i = lo + tree_density(rest, hi - lo);
	}
	for (int tries = 0; lo < hi; tries++) {
		uint64_t at;
		uint32_t step;

		if (tries >= TREE_GUESS_MAX)
			i = lo + (hi - lo) / 2;
		at = le64toh(run[i].cookie_le);
		if (at == cookie)
			return i;
		if (at < cookie) {
			lo = i + 1;
			step = MAX(tree_density(cookie - at, count), 1);
			i = step < hi - i ? i + step : hi - 1;
		} else {
			hi = i;
			step = MAX(tree_density(at - cookie, count), 1);
			i = step < i - lo ? i - step : lo;
		}
	}
	return lo;
}

/* takes bytes, also on failure */
static int tree_open_bytes(void *bytes, size_t len, bool mapped,
			   const struct digest *expect, struct tree **out)
{
	struct tree taken = {.mapped = mapped, .bytes = bytes, .len = len};
	struct tree *tree;
	int rc = -EBADMSG;

	taken.digest = digest_of(bytes, len);
	if (!expect || digest_equal(&taken.digest, expect))
		rc = tree_place(&taken);
	if (rc == 0)
		rc = tree_image_check(&taken.img);
	if (rc == 0)
		rc = tree_guide_new(&taken.img);
	tree = rc == 0 ? malloc(sizeof(*tree)) : NULL;
	if (!tree) {
		tree_bytes_release(&taken);
		return rc < 0 ? rc : -ENOMEM;
	}
	*tree = taken;
	atomic_init(&tree->refs, 1);
	*out = tree;
	return 0;
}

int tree_open_taken(void *data, size_t len, const struct digest *expect,
		    struct tree **tree)
{
	ASSERT(data && tree);
	return tree_open_bytes(data, len, false, expect, tree);
}

int tree_open_memory(const void *data, size_t len, const struct digest *expect,
		     struct tree **tree)
{
	void *copy;

	ASSERT((data || len == 0) && tree);
	if (len < sizeof(struct format_tree_header) || len > TREE_FILE_MAX)
		return -EBADMSG;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	return tree_open_bytes(copy, len, false, expect, tree);
}

int tree_open_file(const char *path, const struct digest *expect,
		   struct tree **tree)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;
	void *bytes;

	ASSERT(path && tree);
	/* Nor wait for a writer, should it be a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > TREE_FILE_MAX ||
	    st.st_size < (off_t)sizeof(struct format_tree_header))
		return -EBADMSG;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	return tree_open_bytes(bytes, (size_t)st.st_size, true, expect, tree);
}

int tree_check_ids(const struct tree *tree)
{
	CLEANUP(tree_id_scratch_cleanup) struct tree_id_scratch scratch = {0};
	const struct tree_image *img = &tree->img;
	uint64_t id;

	for (uint32_t i = 0; i < img->inode_count; i++) {
		int rc = tree_image_id(img, i, &scratch, &id);

		if (rc < 0)
			return rc;
		if (id != le64toh(img->inodes[i].id_le)) {
			log_debug("tree: bad id of inode (%u)", i);
			return -EBADMSG;
		}
	}
	return 0;
}

struct tree *tree_get(struct tree *tree)
{
	unsigned int refs =
	    atomic_fetch_add_explicit(&tree->refs, 1, memory_order_relaxed);

	ASSERT(refs > 0);
	return tree;
}

void tree_put(struct tree *tree)
{
	unsigned int refs;

	if (!tree)
		return;
	refs = atomic_fetch_sub_explicit(&tree->refs, 1, memory_order_acq_rel);
	ASSERT(refs > 0);
	if (refs > 1)
		return;
	tree_bytes_release(tree);
	free(tree);
}

bool tree_is_shared(const struct tree *tree)
{
	return atomic_load_explicit(&tree->refs, memory_order_acquire) > 1;
}

const struct digest *tree_digest(const struct tree *tree)
{
	return &tree->digest;
}

const void *tree_bytes(const struct tree *tree, size_t *len)
{
	*len = tree->len;
	return tree->bytes;
}

uint32_t tree_inode_count(const struct tree *tree)
{
	return tree->img.inode_count;
}

uint32_t tree_entry_count(const struct tree *tree)
{
	return tree->img.entry_count;
}

uint32_t tree_shard_count(const struct tree *tree)
{
	return tree->img.shard_count;
}

uint64_t tree_content_len(const struct tree *tree)
{
	return le64toh(tree->img.header->content_len_le);
}

const struct digest *tree_shard_name(const struct tree *tree, uint32_t shard)
{
	ASSERT(shard < tree->img.shard_count);
	return &tree->img.shards[shard];
}

const uint8_t *tree_salt(const struct tree *tree)
{
	const struct format_tree_header *header = tree->img.header;

	if (!(le32toh(header->flags_le) & TREE_FLAG_PRIVATE))
		return NULL;
	return header->salt;
}

static const struct format_tree_inode *
tree_record(const struct tree *tree, uint32_t inode, uint32_t type)
{
	const struct format_tree_inode *in = &tree->img.inodes[inode];

	ASSERT(inode < tree->img.inode_count);
	ASSERT((le32toh(in->mode_le) & S_IFMT) == type);
	return in;
}

void tree_inode_get(const struct tree *tree, uint32_t inode,
		    struct tree_inode *out)
{
	const struct format_tree_inode *in = &tree->img.inodes[inode];

	ASSERT(inode < tree->img.inode_count);
	*out = (struct tree_inode){
	    .id = le64toh(in->id_le),
	    .size = le64toh(in->size_le),
	    .mtime.tv_sec = (time_t)le64toh((uint64_t)in->mtime_sec_le),
	    .mtime.tv_nsec = (long)le32toh(in->mtime_nsec_le),
	    .mode = le32toh(in->mode_le),
	    .uid = le32toh(in->uid_le),
	    .gid = le32toh(in->gid_le),
	    .nlink = le32toh(in->nlink_le),
	    .rdev_major = le32toh(in->rdev_major_le),
	    .rdev_minor = le32toh(in->rdev_minor_le),
	    .parent = le32toh(in->parent_le),
	    .opaque = le32toh(in->flags_le) & TREE_INODE_OPAQUE,
	    .first = le32toh(in->first_le),
	    .count = le32toh(in->count_le),
	};
}

bool tree_inode_is_implied(const struct tree_inode *inode)
{
	return inode->mode == (S_IFDIR | 0755) && inode->uid == 0 &&
	       inode->gid == 0 && inode->mtime.tv_sec == 0 &&
	       inode->mtime.tv_nsec == 0 && !inode->opaque;
}

void tree_inode_soon(const struct tree *tree, uint32_t inode)
{
	if (inode < tree->img.inode_count)
		__builtin_prefetch(&tree->img.inodes[inode]);
}

const char *tree_symlink(const struct tree *tree, uint32_t inode, size_t *len)
{
	const struct format_tree_inode *in = tree_record(tree, inode, S_IFLNK);

	*len = le32toh(in->count_le);
	return tree->img.text + le32toh(in->first_le);
}

static void tree_entry_out(const struct tree_image *img, uint32_t i,
			   struct tree_entry *out)
{
	const struct format_tree_entry *entry = &img->entries[i];

	*out = (struct tree_entry){
	    .cookie = le64toh(entry->cookie_le),
	    .name = img->text + le32toh(entry->name_off_le),
	    .name_len = le16toh(entry->name_len_le),
	    .inode = le32toh(entry->inode_le),
	};
}

void tree_entry_get(const struct tree *tree, uint32_t dir, uint32_t i,
		    struct tree_entry *out)
{
	const struct format_tree_inode *in = tree_record(tree, dir, S_IFDIR);

	ASSERT(i < le32toh(in->count_le));
	tree_entry_out(&tree->img, le32toh(in->first_le) + i, out);
}

int tree_image_find(const struct tree_image *img, uint32_t first,
		    uint32_t count, uint64_t home, const char *name,
		    size_t name_len, uint32_t *i)
{
	const struct format_tree_entry *run = img->entries + first;
	uint64_t cookie = home;
	uint32_t at;

	if (count == 0)
		return -ENOENT;
	at = tree_lower_bound(img, first, count, home);
	for (int steps = 0; steps < NAME_CHAIN_MAX; steps++) {
		const struct format_tree_entry *entry = &run[at];

		/* A value that nobody has ends every chain through it. */
		if (at == count || le64toh(entry->cookie_le) != cookie)
			return -ENOENT;
		if (le16toh(entry->name_len_le) == name_len &&
		    memcmp(img->text + le32toh(entry->name_off_le), name,
			   name_len) == 0) {
			*i = at;
			return 0;
		}
		at = cookie == TREE_COOKIE_TOP ? 0 : at + 1;
		cookie = name_cookie_next(cookie);
	}
	return -ENOENT;
}

int tree_lookup(const struct tree *tree, uint32_t dir, const char *name,
		size_t name_len, struct tree_entry *out)
{
	const struct format_tree_inode *in = tree_record(tree, dir, S_IFDIR);
	uint32_t first = le32toh(in->first_le), i;
	int rc;

	rc = tree_image_find(&tree->img, first, le32toh(in->count_le),
			     name_cookie(name, name_len), name, name_len, &i);
	if (rc == 0)
		tree_entry_out(&tree->img, first + i, out);
	return rc;
}

void tree_chunk_get(const struct tree *tree, uint32_t inode, uint32_t i,
		    struct tree_chunk *out)
{
	const struct format_tree_inode *in = tree_record(tree, inode, S_IFREG);
	const struct format_tree_chunk *chunk =
	    &tree->img.chunks[le32toh(in->first_le) + i];

	ASSERT(i < le32toh(in->count_le));
	out->off = i > 0 ? tree_chunk_end(chunk - 1) : 0;
	out->len = (uint32_t)(tree_chunk_end(chunk) - out->off);
	out->shard = le32toh(chunk->shard_le);
}

uint32_t tree_chunk_find(const struct tree *tree, uint32_t inode, uint64_t off,
			 struct tree_chunk *out)
{
	const struct format_tree_inode *in = tree_record(tree, inode, S_IFREG);
	const struct format_tree_chunk *run =
	    &tree->img.chunks[le32toh(in->first_le)];
	uint32_t lo = 0, hi = le32toh(in->count_le);

	ASSERT(off < le64toh(in->size_le));
	/* The first chunk that ends behind off. */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (tree_chunk_end(&run[mid]) <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	tree_chunk_get(tree, inode, lo, out);
	return lo;
}

bool tree_xattr_next(const struct tree *tree, uint32_t inode, uint32_t *pos,
		     struct tree_xattr *out)
{
	uint32_t xattr = le32toh(tree->img.inodes[inode].xattr_le);
	const char *p = tree->img.text + xattr - 1 + *pos;

	ASSERT(inode < tree->img.inode_count);
	if (xattr == 0 || le16_get(p) == 0)
		return false;
	out->name_len = le16_get(p);
	out->value_len = le32_get(p + 2);
	out->name = p + TREE_XATTR_HEAD_LEN;
	out->value = out->name + out->name_len;
	*pos += TREE_XATTR_HEAD_LEN + out->name_len + out->value_len;
	return true;
}

bool tree_name_ok(const char *name, size_t name_len)
{
	if (name_len == 0 || name_len > TREE_NAME_MAX)
		return false;
	if (name[0] == '.' &&
	    (name_len == 1 || (name_len == 2 && name[1] == '.')))
		return false;
	return !memchr(name, '/', name_len) && !memchr(name, '\0', name_len);
}

int tree_find_path(const struct tree *tree, const char *path, uint32_t *inode)
{
	uint32_t at = TREE_ROOT;

	while (*path != '\0') {
		size_t len = (size_t)(strchrnul(path, '/') - path);
		struct tree_entry entry;
		int rc;

		if (!S_ISDIR(le32toh(tree->img.inodes[at].mode_le)))
			return -ENOENT;
		rc = tree_lookup(tree, at, path, len, &entry);
		if (rc < 0)
			return rc;
		if (entry.inode == TREE_WHITEOUT)
			return -ENOENT;
		at = entry.inode;
		path += len;
		/* "a/" asks for an empty name, which is never found. */
		if (path[0] == '/' && path[1] != '\0')
			path++;
	}
	*inode = at;
	return 0;
}
