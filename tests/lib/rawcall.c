/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rawcall: the less frequent half of rawnfs.h: attributes, links, special
 * files, any procedure at all, listings.
 */
#include "tests/lib/rawnfs.h"

enum { LISTING_STEP = 1024, LISTING_PAGES_MAX = 100000 };

void raw_begin_setattr(struct raw *raw, const struct raw_fh *fh,
		       const struct raw_sattr *set, const uint32_t guard[2])
{
	raw_begin_fh(raw, P_SETATTR, fh);
	raw_put_sattr(raw, set);
	raw_put32(raw, guard != NULL);
	if (guard) {
		raw_put32(raw, guard[0]);
		raw_put32(raw, guard[1]);
	}
}

int raw_setattr(struct raw *raw, const struct raw_fh *fh,
		const struct raw_sattr *set, const uint32_t guard[2],
		struct raw_wcc *wcc)
{
	int rc;

	raw_begin_setattr(raw, fh, set, guard);
	rc = raw_status(raw);
	if (rc >= 0 && wcc)
		raw_get_wcc(raw, wcc);
	return rc;
}

int raw_access(struct raw *raw, const struct raw_fh *fh, uint32_t bits,
	       uint32_t *granted)
{
	struct raw_attr attr;
	int rc;

	raw_begin_fh(raw, P_ACCESS, fh);
	raw_put32(raw, bits);
	rc = raw_status(raw);
	if (rc == 0) {
		raw_get_post_attr(raw, &attr);
		*granted = raw_get32(raw);
	}
	return rc;
}

int raw_readlink(struct raw *raw, const struct raw_fh *fh, char *buf,
		 size_t cap, size_t *len)
{
	struct raw_attr attr;
	int rc;

	raw_begin_fh(raw, P_READLINK, fh);
	rc = raw_status(raw);
	if (rc == 0) {
		raw_get_post_attr(raw, &attr);
		*len = raw_get_opaque(raw, buf, cap);
	}
	return rc;
}

/* The handle in the reply of a call that made something. */
static int raw_made(struct raw *raw, struct raw_fh *fh)
{
	int rc = raw_status(raw);

	if (rc == 0 && raw_get32(raw))
		raw_get_fh(raw, fh);
	return rc;
}

void raw_begin_symlink(struct raw *raw, const struct raw_fh *dir,
		       const char *name, const void *target, size_t target_len)
{
	raw_begin_fh(raw, P_SYMLINK, dir);
	raw_put_string(raw, name);
	raw_put_no_sattr(raw);
	raw_put_opaque(raw, target, target_len);
}

int raw_symlink(struct raw *raw, const struct raw_fh *dir, const char *name,
		const void *target, size_t target_len, struct raw_fh *fh)
{
	raw_begin_symlink(raw, dir, name, target, target_len);
	return raw_made(raw, fh);
}

static void raw_begin_device(struct raw *raw, const struct raw_fh *dir,
			     const char *name, uint32_t type, uint32_t mode,
			     const uint32_t rdev[2])
{
	raw_begin_fh(raw, P_MKNOD, dir);
	raw_put_string(raw, name);
	raw_put32(raw, type);
	if (type == 1 || type == 2 || type == 5 || type > 7)
		return;
	raw_put_mode(raw, mode);
	if (type == 3 || type == 4) {
		raw_put32(raw, rdev[0]);
		raw_put32(raw, rdev[1]);
	}
}

void raw_begin_mknod(struct raw *raw, const struct raw_fh *dir,
		     const char *name, uint32_t type, uint32_t mode)
{
	static const uint32_t rdev[2] = {1, 3};

	raw_begin_device(raw, dir, name, type, mode, rdev);
}

int raw_whiteout(struct raw *raw, const struct raw_fh *dir, const char *name,
		 struct raw_fh *fh)
{
	static const uint32_t rdev[2] = {0, 0};

	raw_begin_device(raw, dir, name, 4, 0, rdev);
	return raw_made(raw, fh);
}

int raw_mknod(struct raw *raw, const struct raw_fh *dir, const char *name,
	      uint32_t type, uint32_t mode, struct raw_fh *fh)
{
	raw_begin_mknod(raw, dir, name, type, mode);
	return raw_made(raw, fh);
}

void raw_begin_link(struct raw *raw, const struct raw_fh *fh,
		    const struct raw_fh *dir, const char *name)
{
	raw_begin_fh(raw, P_LINK, fh);
	raw_put_fh(raw, dir);
	raw_put_string(raw, name);
}

int raw_link(struct raw *raw, const struct raw_fh *fh, const struct raw_fh *dir,
	     const char *name)
{
	raw_begin_link(raw, fh, dir, name);
	return raw_status(raw);
}

int raw_lookup_bytes(struct raw *raw, const struct raw_fh *dir,
		     const void *name, size_t len, struct raw_fh *fh)
{
	int rc;

	raw_begin_fh(raw, P_LOOKUP, dir);
	raw_put_opaque(raw, name, len);
	rc = raw_status(raw);
	if (rc == 0)
		raw_get_fh(raw, fh);
	return rc;
}

/* --- any procedure ------------------------------------------------------- */

/* What follows the handle in the calls that name nothing. */
static void raw_put_rest(struct raw *raw, uint32_t proc)
{
	switch (proc) {
	case P_SETATTR:
		raw_put_mode(raw, 0755);
		raw_put32(raw, 0);
		break;
	case P_ACCESS:
		raw_put32(raw, 0x3f);
		break;
	case P_READ:
		raw_put64(raw, 0);
		raw_put32(raw, 4096);
		break;
	case P_WRITE:
		raw_put64(raw, 0);
		raw_put32(raw, 4);
		raw_put32(raw, 0);
		raw_put_string(raw, "abcd");
		break;
	case P_COMMIT:
		raw_put64(raw, 0);
		raw_put32(raw, 0);
		break;
	case P_READDIR:
	case P_READDIRPLUS:
		raw_put64(raw, 0);
		raw_put64(raw, 0);
		raw_put32(raw, 4096);
		if (proc == P_READDIRPLUS)
			raw_put32(raw, 4096);
		break;
	default:
		break;
	}
}

void raw_begin_any(struct raw *raw, uint32_t proc, const struct raw_fh *fh,
		   const struct raw_fh *fh2, const char *name)
{
	char to[300] = "";

	switch (proc) {
	case P_NULL:
		raw_begin(raw, RAW_NFS, 3, P_NULL);
		break;
	case P_CREATE:
		raw_begin_create(raw, fh, name, 1, 0644);
		break;
	case P_MKDIR:
		raw_begin_mkdir(raw, fh, name, 0755);
		break;
	case P_SYMLINK:
		raw_begin_symlink(raw, fh, name, "target", 6);
		break;
	case P_MKNOD:
		raw_begin_mknod(raw, fh, name, 7, 0644);
		break;
	case P_REMOVE:
	case P_RMDIR:
		raw_begin_remove(raw, fh, name, proc == P_RMDIR);
		break;
	case P_RENAME:
		memcpy(to, name, MIN(strlen(name), sizeof(to) - 3));
		strcat(to, "-2");
		raw_begin_rename(raw, fh, name, fh2, to);
		break;
	case P_LINK:
		raw_begin_link(raw, fh, fh2, name);
		break;
	default:
		raw_begin_fh(raw, proc, fh);
		if (proc == P_LOOKUP)
			raw_put_string(raw, name);
		raw_put_rest(raw, proc);
		break;
	}
}

/* --- listing ------------------------------------------------------------- */

void raw_listing_free(struct raw_listing *list)
{
	free(STEAL(list->entries));
	list->count = list->cap = 0;
}

static struct raw_entry *raw_listing_add(struct raw_listing *list)
{
	struct raw_entry *entry;

	if (list->count == list->cap) {
		list->cap += LISTING_STEP;
		list->entries =
		    realloc(list->entries, list->cap * sizeof(*list->entries));
		ASSERT(list->entries);
	}
	entry = &list->entries[list->count++];
	memset(entry, 0, sizeof(*entry));
	return entry;
}

static void raw_get_entry(struct raw *raw, bool plus, struct raw_entry *entry)
{
	entry->fileid = raw_get64(raw);
	entry->name_len =
	    raw_get_opaque(raw, entry->name, sizeof(entry->name) - 1);
	entry->cookie = raw_get64(raw);
	if (!plus)
		return;
	raw_get_post_attr(raw, &entry->attr);
	if (raw_get32(raw))
		raw_get_fh(raw, &entry->fh);
}

int raw_readdir(struct raw *raw, const struct raw_fh *dir, bool plus,
		uint64_t cookie, uint32_t count, struct raw_listing *list)
{
	struct raw_attr attr;
	size_t start;
	int rc;

	raw_begin_fh(raw, plus ? P_READDIRPLUS : P_READDIR, dir);
	raw_put64(raw, cookie);
	raw_put64(raw, list->verifier);
	raw_put32(raw, count);
	if (plus)
		raw_put32(raw, count);
	rc = raw_status(raw);
	start = raw->in_off - 4;
	list->body_len = raw->in_len - start;
	list->eof = false;
	if (rc != 0)
		return rc;
	raw_get_post_attr(raw, &attr);
	list->verifier = raw_get64(raw);
	while (raw_get32(raw) && !raw->short_read)
		raw_get_entry(raw, plus, raw_listing_add(list));
	list->eof = raw_get32(raw);
	return raw->short_read || raw->in_off != raw->in_len ? RAW_GARBLED : 0;
}

int raw_list(struct raw *raw, const struct raw_fh *dir, bool plus,
	     uint32_t count, struct raw_listing *list)
{
	uint64_t cookie = 0;

	list->count = 0;
	for (int page = 0; page < LISTING_PAGES_MAX; page++) {
		size_t before = list->count;
		int rc = raw_readdir(raw, dir, plus, cookie, count, list);

		if (rc != 0 || list->eof)
			return rc;
		if (list->count == before)
			return RAW_GARBLED; /* no progress: a client loops */
		cookie = list->entries[list->count - 1].cookie;
	}
	return RAW_GARBLED;
}

const struct raw_entry *raw_listing_find(const struct raw_listing *list,
					 const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < list->count; i++)
		if (list->entries[i].name_len == len &&
		    memcmp(list->entries[i].name, name, len) == 0)
			return &list->entries[i];
	return NULL;
}
