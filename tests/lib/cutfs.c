/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cutfs: see cutfs.h.
 *
 * An object (file or directory) is what is synced plus a list of changes that
 * are not, in order.  It lives as long as a name, a change or an open
 * descriptor needs it.
 */
#include "tests/lib/cutfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/io.h"
#include "tests/lib/cutlog.h"

enum { CUTFS_FDS = 65536, CUTFS_PAGE = 4096, CUTFS_SECTOR = 512 };

enum change_type { CHANGE_WRITE, CHANGE_SIZE, CHANGE_SET, CHANGE_DROP };

/* Of a file: WRITE (data NULL: zeros), SIZE.  Of a directory: SET, DROP. */
struct change {
	enum change_type type;
	bool kept; /* a directory that something below has made stable */
	uint64_t place;
	uint64_t off, len;
	const uint8_t *data;   /* borrows from the log */
	char *name;            /* owns */
	char *from;            /* owns: of a rename; NULL */
	struct object *object; /* ref; of SET */
};

struct name {
	char *name;            /* owns */
	struct object *object; /* ref */
};

struct names {
	struct name *all; /* owns */
	size_t count, cap;
};

struct object {
	unsigned int refs;
	bool is_dir;
	struct object *parent;  /* borrows: directories are not moved */
	struct change *changes; /* owns; not synced yet */
	size_t change_count, change_cap;
	/* a file, as it is synced */
	uint8_t *bytes; /* owns; zeros behind size up to cap */
	uint64_t size, cap;
	uint64_t live_size;
	/* a directory, as it is synced and as it is seen */
	struct names stable, live;
};

struct cutfs {
	const uint8_t *log; /* borrows */
	uint64_t log_len, at;
	struct object *root;           /* ref */
	struct object *fds[CUTFS_FDS]; /* ref */
	uint64_t rng;
	char trouble[256];
};

static bool cutfs_fail(struct cutfs *fs, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
static bool cutfs_fail(struct cutfs *fs, const char *fmt, ...)
{
	va_list args;

	if (!*fs->trouble) {
		va_start(args, fmt);
		vsnprintf(fs->trouble, sizeof(fs->trouble), fmt, args);
		va_end(args);
	}
	return false;
}

const char *cutfs_trouble(const struct cutfs *fs)
{
	return fs->trouble;
}

static uint64_t cutfs_lot(struct cutfs *fs, uint64_t below)
{
	fs->rng ^= fs->rng << 13;
	fs->rng ^= fs->rng >> 7;
	fs->rng ^= fs->rng << 17;
	return (fs->rng >> 11) % below;
}

/* --- objects ------------------------------------------------------------- */

static struct object *object_new(bool is_dir, struct object *parent)
{
	struct object *o = calloc(1, sizeof(*o));

	ASSERT(o);
	o->refs = 1;
	o->is_dir = is_dir;
	o->parent = parent;
	return o;
}

static void object_put(struct object *o);

static struct object *object_get(struct object *o)
{
	o->refs++;
	return o;
}

static void names_clear(struct names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		free(names->all[i].name);
		object_put(names->all[i].object);
	}
	free(names->all);
	*names = (struct names){0};
}

static void change_clear(struct change *c)
{
	free(c->name);
	free(c->from);
	if (c->object)
		object_put(c->object);
}

static void object_put(struct object *o)
{
	if (--o->refs > 0)
		return;
	names_clear(&o->stable);
	names_clear(&o->live);
	for (size_t i = 0; i < o->change_count; i++)
		change_clear(&o->changes[i]);
	free(o->changes);
	free(o->bytes);
	free(o);
}

static struct name *names_find(struct names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->all[i].name, name) == 0)
			return &names->all[i];
	return NULL;
}

static void names_drop(struct names *names, const char *name)
{
	struct name *found = names_find(names, name);

	if (!found)
		return;
	free(found->name);
	object_put(found->object);
	*found = names->all[--names->count];
}

static void names_set(struct names *names, const char *name, struct object *o)
{
	object_get(o);
	names_drop(names, name);
	if (names->count == names->cap) {
		names->cap = names->cap * 2 + 8;
		names->all =
		    realloc(names->all, names->cap * sizeof(*names->all));
		ASSERT(names->all);
	}
	names->all[names->count++] = (struct name){strdup(name), o};
}

static void names_copy(struct names *to, const struct names *from)
{
	*to = (struct names){0};
	for (size_t i = 0; i < from->count; i++)
		names_set(to, from->all[i].name, from->all[i].object);
}

static void names_apply(struct names *names, const struct change *c)
{
	if (c->from)
		names_drop(names, c->from);
	if (c->type == CHANGE_SET)
		names_set(names, c->name, c->object);
	else
		names_drop(names, c->name);
}

/* takes what the change owns. */
static void object_change(struct object *o, struct change c)
{
	if (o->change_count == o->change_cap) {
		o->change_cap = o->change_cap * 2 + 8;
		o->changes =
		    realloc(o->changes, o->change_cap * sizeof(*o->changes));
		ASSERT(o->changes);
	}
	o->changes[o->change_count++] = c;
	if (o->is_dir)
		names_apply(&o->live, &c);
	else if (c.type == CHANGE_SIZE)
		o->live_size = c.off;
	else
		o->live_size = MAX(o->live_size, c.off + c.len);
}

/* --- bytes of a file ----------------------------------------------------- */

struct image {
	uint8_t *bytes; /* owns; zeros behind size */
	uint64_t size, cap;
};

static void image_reserve(struct image *image, uint64_t cap)
{
	if (cap <= image->cap)
		return;
	cap = MAX(cap, image->cap * 2);
	image->bytes = realloc(image->bytes, cap);
	ASSERT(image->bytes);
	memset(image->bytes + image->cap, 0, cap - image->cap);
	image->cap = cap;
}

static void image_resize(struct image *image, uint64_t size)
{
	if (size < image->size)
		memset(image->bytes + size, 0,
		       MIN(image->size, image->cap) - size);
	image_reserve(image, size);
	image->size = size;
}

/* The part [from, to) of a write, in offsets of the file. */
static void image_write(struct image *image, const struct change *c,
			uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	if (!c->data) { /* a hole does not make the file longer */
		to = MIN(to, image->size);
		if (from < to)
			memset(image->bytes + from, 0, to - from);
		return;
	}
	if (to > image->size)
		image_resize(image, to);
	memcpy(image->bytes + from, c->data + (from - c->off), to - from);
}

static void image_apply(struct image *image, const struct change *c)
{
	if (c->type == CHANGE_SIZE)
		image_resize(image, c->off);
	else
		image_write(image, c, c->off, c->off + c->len);
}

static void image_of_stable(struct image *image, const struct object *o)
{
	*image = (struct image){0};
	image_resize(image, o->size);
	if (o->size > 0)
		memcpy(image->bytes, o->bytes, o->size);
}

/* --- syncs --------------------------------------------------------------- */

static void object_sync(struct object *o, uint64_t place)
{
	struct image image = {o->bytes, o->size, o->cap};
	size_t kept = 0;

	for (size_t i = 0; i < o->change_count; i++) {
		struct change *c = &o->changes[i];

		if (c->place >= place) {
			o->changes[kept++] = *c;
			continue;
		}
		if (o->is_dir)
			names_apply(&o->stable, c);
		else
			image_apply(&image, c);
		change_clear(c);
	}
	o->change_count = kept;
	o->bytes = image.bytes;
	o->size = image.size;
	o->cap = image.cap;
	/* The way to it: the names of the directories above. */
	for (; o->parent && o->parent->parent; o = o->parent)
		for (size_t i = 0; i < o->parent->parent->change_count; i++)
			if (o->parent->parent->changes[i].object == o->parent)
				o->parent->parent->changes[i].kept = true;
}

/* --- the log ------------------------------------------------------------- */

/* The directory of a path and its last name; NULL: none. */
static struct object *cutfs_walk(struct cutfs *fs, const char *path,
				 char last[256])
{
	struct object *dir = fs->root;
	struct name *found;

	*last = '\0';
	for (;;) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0 || len > 255)
			return dir;
		if (*last) {
			found = names_find(&dir->live, last);
			if (!found || !found->object->is_dir)
				return NULL;
			dir = found->object;
		}
		memcpy(last, path, len);
		last[len] = '\0';
		path += len;
	}
}

static void cutfs_make(struct object *dir, const char *name, struct object *o,
		       uint64_t place)
{
	object_change(dir, (struct change){.type = CHANGE_SET,
					   .place = place,
					   .name = strdup(name),
					   .object = o});
}

static void cutfs_close(struct cutfs *fs, int fd)
{
	if (fs->fds[fd])
		object_put(STEAL(fs->fds[fd]));
}

static bool cutfs_open(struct cutfs *fs, const struct cutlog_entry *e,
		       const char *path)
{
	char last[256];
	struct object *dir = cutfs_walk(fs, path, last), *o = dir;

	if (dir && *last) {
		struct name *found = names_find(&dir->live, last);

		o = found ? found->object : NULL;
	}
	if (dir && !o && (e->flags & O_CREAT)) {
		o = object_new(false, dir);
		cutfs_make(dir, last, o, fs->at);
	}
	if (!o)
		return cutfs_fail(fs, "open of %s, which is not there", path);
	if ((e->flags & O_TRUNC) && o->live_size > 0)
		object_change(
		    o, (struct change){.type = CHANGE_SIZE, .place = fs->at});
	if (fs->fds[e->fd])
		return cutfs_fail(fs, "the recorder missed a close");
	fs->fds[e->fd] = object_get(o);
	return true;
}

static bool cutfs_rename(struct cutfs *fs, const char *from, const char *to)
{
	char a[256], b[256];
	struct object *dir = cutfs_walk(fs, from, a);
	struct name *found = dir ? names_find(&dir->live, a) : NULL;

	if (!found || cutfs_walk(fs, to, b) != dir)
		return cutfs_fail(fs, "rename of %s to %s", from, to);
	object_change(dir,
		      (struct change){.type = CHANGE_SET,
				      .place = fs->at,
				      .name = strdup(b),
				      .from = strdup(a),
				      .object = object_get(found->object)});
	return true;
}

static bool cutfs_path(struct cutfs *fs, const struct cutlog_entry *e,
		       const char *path)
{
	char last[256];
	struct object *dir = cutfs_walk(fs, path, last);

	if (e->type == CUTLOG_MKDIR && dir == fs->root && !*last)
		return true;
	if (!dir || !*last)
		return cutfs_fail(fs, "%s: no such path", path);
	if (e->type == CUTLOG_MKDIR)
		cutfs_make(dir, last, object_new(true, dir), fs->at);
	else
		object_change(dir, (struct change){.type = CHANGE_DROP,
						   .place = fs->at,
						   .name = strdup(last)});
	return true;
}

static bool cutfs_bytes(struct cutfs *fs, const struct cutlog_entry *e,
			const uint8_t *data)
{
	struct object *o = fs->fds[e->fd];
	struct change c = {.place = fs->at, .off = e->off};

	if (!o)
		return cutfs_fail(fs, "descriptor %d is not open", e->fd);
	if (e->type == CUTLOG_SYNC) {
		object_sync(o, e->value);
		return true;
	}
	c.type = e->type == CUTLOG_TRUNCATE ? CHANGE_SIZE : CHANGE_WRITE;
	if (e->type == CUTLOG_PUNCH && e->off < o->live_size)
		c.len = MIN(e->value, o->live_size - e->off);
	if (e->type == CUTLOG_WRITE) {
		c.data = data;
		c.len = e->len;
	}
	if (c.type == CHANGE_SIZE || c.len > 0)
		object_change(o, c);
	return true;
}

static bool cutfs_entry(struct cutfs *fs, const struct cutlog_entry *e,
			const uint8_t *data)
{
	const char *text = (const char *)data;

	if (e->fd < 0 || e->fd >= CUTFS_FDS)
		return cutfs_fail(fs, "descriptor %d", e->fd);
	switch (e->type) {
	case CUTLOG_START:
		for (int fd = 0; fd < CUTFS_FDS; fd++)
			cutfs_close(fs, fd);
		return true;
	case CUTLOG_OPEN:
		return cutfs_open(fs, e, text);
	case CUTLOG_CLOSE:
		cutfs_close(fs, e->fd);
		return true;
	case CUTLOG_WRITE:
	case CUTLOG_TRUNCATE:
	case CUTLOG_PUNCH:
	case CUTLOG_SYNC:
		return cutfs_bytes(fs, e, data);
	case CUTLOG_RENAME:
		return cutfs_rename(fs, text, text + strlen(text) + 1);
	case CUTLOG_UNLINK:
	case CUTLOG_MKDIR:
		return cutfs_path(fs, e, text);
	case CUTLOG_SEND:
		return true;
	default:
		return cutfs_fail(fs, "the recorder met %s",
				  e->type == CUTLOG_LINK ? "a hard link"
							 : text);
	}
}

struct cutfs *cutfs_new(const uint8_t *log, uint64_t log_len)
{
	struct cutfs *fs = calloc(1, sizeof(*fs));

	ASSERT(fs);
	fs->log = log;
	fs->log_len = log_len;
	fs->root = object_new(true, NULL);
	return fs;
}

void cutfs_free(struct cutfs *fs)
{
	for (int fd = 0; fd < CUTFS_FDS; fd++)
		cutfs_close(fs, fd);
	object_put(fs->root);
	free(fs);
}

static bool load_object(struct cutfs *fs, struct object *o, const char *path)
{
	struct dirent *entry;
	bool ok = true;
	DIR *dir;

	if (!o->is_dir) {
		if (io_read_file(path, SIZE_MAX / 4, (void **)&o->bytes,
				 &o->size) < 0)
			return cutfs_fail(fs, "%s: not read", path);
		o->cap = o->live_size = o->size;
		return true;
	}
	dir = opendir(path);
	if (!dir)
		return cutfs_fail(fs, "%s: %m", path);
	while (ok && (entry = readdir(dir))) {
		CLEANUP_FREE char *below = NULL;
		struct object *child;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		ASSERT(asprintf(&below, "%s/%s", path, entry->d_name) > 0);
		child = object_new(entry->d_type == DT_DIR, o);
		names_set(&o->stable, entry->d_name, child);
		names_set(&o->live, entry->d_name, child);
		ok = load_object(fs, child, below);
		object_put(child);
	}
	closedir(dir);
	return ok;
}

bool cutfs_load(struct cutfs *fs, const char *dir)
{
	return load_object(fs, fs->root, dir);
}

bool cutfs_play(struct cutfs *fs, uint64_t place)
{
	struct cutlog_entry e;

	while (fs->at < place && fs->at + sizeof(e) <= fs->log_len) {
		memcpy(&e, fs->log + fs->at, sizeof(e));
		if (e.magic != CUTLOG_MAGIC)
			return cutfs_fail(fs, "the log is damaged");
		if (!cutfs_entry(fs, &e, fs->log + fs->at + sizeof(e)))
			return false;
		fs->at += sizeof(e) + CUTLOG_PADDED(e.len);
	}
	return true;
}

static void object_unsynced(const struct object *o, uint64_t *bytes,
			    uint64_t *names)
{
	for (size_t i = 0; i < o->change_count; i++) {
		*bytes += o->changes[i].len;
		*names += o->is_dir;
	}
	for (size_t i = 0; i < o->live.count; i++)
		object_unsynced(o->live.all[i].object, bytes, names);
}

void cutfs_unsynced(const struct cutfs *fs, uint64_t *bytes, uint64_t *names)
{
	*bytes = *names = 0;
	object_unsynced(fs->root, bytes, names);
}

/* --- a state after the cut ----------------------------------------------- */

/* How much of a file's changes is there. */
struct fate {
	size_t sizes; /* so many truncations */
	size_t from;  /* of the others surely those before this */
	size_t to;    /* and of each page some up to this */
	uint64_t salt;
	bool torn;
};

static void fate_draw(struct cutfs *fs, const struct object *o,
		      enum cutfs_style style, struct fate *f)
{
	size_t n = o->change_count, sizes = 0;

	for (size_t i = 0; i < n; i++)
		sizes += o->changes[i].type == CHANGE_SIZE;
	*f = (struct fate){sizes, n, n, cutfs_lot(fs, UINT64_MAX) | 1, false};
	if (style == CUTFS_LOTS)
		style = (enum cutfs_style)cutfs_lot(fs, CUTFS_STYLES);
	switch (style) {
	case CUTFS_NOTHING:
		*f = (struct fate){.salt = 1};
		break;
	case CUTFS_NAMES:
		f->from = f->to = 0;
		break;
	case CUTFS_LOTS: /* pages by lot, truncations by lot */
		f->from = 0;
		f->sizes = cutfs_lot(fs, sizes + 1);
		f->torn = true;
		break;
	case CUTFS_ALL:
		f->torn = n > 0 && o->changes[n - 1].type == CHANGE_WRITE;
		f->from = f->to = n - f->torn;
		break;
	default:
		break;
	}
}

static size_t fate_of_page(const struct fate *f, uint64_t page)
{
	uint64_t hash = (page + 1) * f->salt * UINT64_C(0x9e3779b97f4a7c15);

	return f->from + (size_t)((hash >> 33) % (f->to - f->from + 1));
}

static void fate_write(struct cutfs *fs, struct image *image,
		       const struct change *c, size_t index,
		       const struct fate *f, uint64_t closed)
{
	uint64_t end = c->off + c->len;

	for (uint64_t at = c->off; at < end;) {
		uint64_t page = at / CUTFS_PAGE;
		uint64_t to = MIN(end, (page + 1) * CUTFS_PAGE);
		size_t limit = fate_of_page(f, page);

		if (page < closed && index < limit)
			image_write(image, c, at, to);
		if (page < closed && index == limit && f->torn) {
			uint64_t cut = (at + cutfs_lot(fs, to - at + 1)) /
				       CUTFS_SECTOR * CUTFS_SECTOR;

			image_write(image, c, at, cut);
		}
		at = to;
	}
}

static void fate_image(struct cutfs *fs, const struct object *o,
		       enum cutfs_style style, struct image *image)
{
	uint64_t size = o->size, closed = UINT64_MAX;
	struct fate f;
	size_t sizes = 0;

	fate_draw(fs, o, style, &f);
	image_of_stable(image, o);
	for (size_t i = 0; i < o->change_count; i++) {
		const struct change *c = &o->changes[i];

		if (c->type == CHANGE_WRITE) {
			fate_write(fs, image, c, i, &f, closed);
			size = MAX(size, c->off + c->len);
			continue;
		}
		if (sizes++ < f.sizes)
			image_resize(image, c->off);
		else if (c->off < size) /* what it freed is not used again */
			closed =
			    MIN(closed, (c->off + CUTFS_PAGE - 1) / CUTFS_PAGE);
		size = c->off;
	}
}

static bool image_save(const struct image *image, const char *path)
{
	CLEANUP_CLOSE int fd =
	    open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	static const uint8_t zeros[CUTFS_PAGE];

	if (fd < 0 || ftruncate(fd, (off_t)image->size) < 0)
		return false;
	for (uint64_t at = 0; at < image->size; at += CUTFS_PAGE) {
		uint64_t n = MIN(image->size - at, (uint64_t)CUTFS_PAGE);

		if (memcmp(image->bytes + at, zeros, n) != 0 &&
		    io_pwrite_all(fd, image->bytes + at, n, at) < 0)
			return false;
	}
	return true;
}

/* The names that are there. */
static void fate_names(struct cutfs *fs, const struct object *dir,
		       enum cutfs_style style, struct names *names)
{
	size_t there = dir->change_count;

	if (style == CUTFS_NOTHING || style == CUTFS_DATA)
		there = 0;
	else if (style == CUTFS_LOTS)
		there = (size_t)cutfs_lot(fs, there + 1);
	names_copy(names, &dir->stable);
	for (size_t i = 0; i < dir->change_count; i++)
		if (i < there || dir->changes[i].kept)
			names_apply(names, &dir->changes[i]);
}

static bool cutfs_write_object(struct cutfs *fs, const struct object *o,
			       const char *path, enum cutfs_style style)
{
	struct names names;
	bool ok = true;

	if (!o->is_dir) {
		struct image image;

		fate_image(fs, o, style, &image);
		ok = image_save(&image, path);
		free(image.bytes);
		return ok || cutfs_fail(fs, "%s: %m", path);
	}
	if (mkdir(path, 0700) < 0)
		return cutfs_fail(fs, "%s: %m", path);
	fate_names(fs, o, style, &names);
	for (size_t i = 0; ok && i < names.count; i++) {
		CLEANUP_FREE char *below = NULL;

		ASSERT(asprintf(&below, "%s/%s", path, names.all[i].name) > 0);
		ok = cutfs_write_object(fs, names.all[i].object, below, style);
	}
	names_clear(&names);
	return ok;
}

bool cutfs_write(struct cutfs *fs, const char *dir, enum cutfs_style style,
		 uint64_t seed)
{
	fs->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (int i = 0; i < 8; i++)
		cutfs_lot(fs, 2);
	return cutfs_write_object(fs, fs->root, dir, style);
}

/* --- comparing with a real directory ------------------------------------- */

static bool same_file(struct cutfs *fs, const struct object *o,
		      const char *path)
{
	CLEANUP_FREE void *got = NULL;
	struct image image;
	size_t len;
	bool same;

	image_of_stable(&image, o);
	for (size_t i = 0; i < o->change_count; i++)
		image_apply(&image, &o->changes[i]);
	same = io_read_file(path, SIZE_MAX / 4, &got, &len) == 0 &&
	       len == image.size &&
	       (len == 0 || memcmp(got, image.bytes, len) == 0);
	free(image.bytes);
	return same || cutfs_fail(fs, "%s is not what was recorded", path);
}

static bool same_object(struct cutfs *fs, struct object *o, const char *path)
{
	struct dirent *entry;
	size_t count = 0;
	bool same = true;
	DIR *dir;

	if (!o->is_dir)
		return same_file(fs, o, path);
	dir = opendir(path);
	if (!dir)
		return cutfs_fail(fs, "%s: %m", path);
	while (same && (entry = readdir(dir))) {
		CLEANUP_FREE char *below = NULL;
		struct name *found = names_find(&o->live, entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		ASSERT(asprintf(&below, "%s/%s", path, entry->d_name) > 0);
		count++;
		same = found ? same_object(fs, found->object, below)
			     : cutfs_fail(fs, "%s was not recorded", below);
	}
	closedir(dir);
	if (same && count != o->live.count)
		return cutfs_fail(fs, "%s has too few names", path);
	return same;
}

bool cutfs_same(struct cutfs *fs, const char *dir)
{
	return same_object(fs, fs->root, dir);
}
