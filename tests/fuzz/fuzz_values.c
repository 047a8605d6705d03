/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_values: arbitrary bytes as values of the state database.  A store with
 * a package and a guest whose delta has every kind of record is made once; then
 * a switch takes a file away, and the guest gets a profile and a word on whose
 *a path is.  The input damages some of the values, then everything that reads
 * them is run: the registry of packages, the opening of the site, a guest's
 *walk with reads and changes, the file that is gone by its handle, what has
 *changed and whose it is, what points at trees, and the guest's stored replies.
 *
 * Input: entries of which:1, how:1, at:1, length:1 and so many bytes.  `which`
 * counts the keys, those that the switch and what followed it brought last;
 *how: 0 the bytes are the value	1 they are xored in at `at` 2 the value
 *ends at `at`	3 they are put behind it 4 the key goes			5 `at`
 *counts the key of its value 6 it is also under a key with the bytes xored in
 *at `at`
 *
 * Promises: 0, or an error of a kind that damage may have; a guest is never
 * shown -EBADMSG or -EPROTONOSUPPORT; names and numbers that come out are
 *legal; nothing breaks or hangs.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "depot/io.h"
#include "depot/kv.h"
#include "depot/registry.h"
#include "overlay/record.h"
#include "tests/lib/check.h"
#include "tests/lib/fixture_view.h"
#include "tests/lib/tmpdir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum {
	FUZZ_ROWS_MAX = 200,
	FUZZ_EDITS_MAX = 8,
	FUZZ_WALK_MAX = 200,
	FUZZ_FILES_MAX = 16
};

struct fuzz_row {
	uint8_t *key, *value; /* owns */
	size_t key_len, len;
};

static struct fixture fuzz_fx; /* its site is closed between inputs */
static struct fuzz_row fuzz_rows[FUZZ_ROWS_MAX];
static unsigned int fuzz_row_count;
static struct package_info fuzz_info;
static struct view_object fuzz_old; /* the file that the switch took away */

/* --- the good store ------------------------------------------------------ */

static const struct fixture_entry fuzz_package[] = {
    {.path = "d", .mode = S_IFDIR | 0755},
    {.path = "d/file", .mode = S_IFREG | 0644, .len = 9000, .seed = 1},
    {.path = "d/big", .mode = S_IFREG | 0644, .len = 100000, .seed = 2},
    {.path = "d/gone", .mode = S_IFREG | 0644, .text = "gone"},
    {.path = "d/moved", .mode = S_IFREG | 0644, .text = "moved"},
    {.path = "e", .mode = S_IFDIR | 0755},
};
/* Its next revision: d has other entries, one file other bytes. */
static const struct fixture_entry fuzz_package2[] = {
    {.path = "d", .mode = S_IFDIR | 0755},
    {.path = "d/file", .mode = S_IFREG | 0644, .len = 9000, .seed = 3},
    {.path = "d/big", .mode = S_IFREG | 0644, .len = 100000, .seed = 2},
    {.path = "d/gone", .mode = S_IFREG | 0644, .text = "gone"},
    {.path = "d/moved", .mode = S_IFREG | 0644, .text = "moved"},
    {.path = "d/new", .mode = S_IFREG | 0644, .text = "new"},
    {.path = "e", .mode = S_IFDIR | 0755},
};
static const struct fixture_entry fuzz_profile[] = {
    {.path = "d", .mode = S_IFDIR | 0755},
    {.path = "d/mine", .mode = S_IFREG | 0644, .text = "mine"},
};

/* One of each kind of record; everything settled. */
static void fuzz_delta(struct view *view)
{
	const struct view_cred *root = &fixture_root;
	struct view_object top = view_root(view), dir, obj, d, e;
	static uint8_t data[60000];
	struct view_done done;

	d = fixture_find(view, "d");
	e = fixture_find(view, "e");
	ASSERT(fixture_touch(view, root, top, "inline", 0644, &obj) == 0);
	ASSERT(fixture_write(view, root, obj, 0, "inline", 6, true, NULL) == 0);
	ASSERT(fixture_touch(view, root, top, "host", 0644, &obj) == 0);
	ASSERT(fixture_write(view, root, obj, 0, data, 60000, true, NULL) == 0);
	ASSERT(fixture_resize(view, obj, 30000) == 0);
	ASSERT(fixture_mkdir(view, root, top, "dir", 0755, &dir) == 0);
	ASSERT(fixture_link(view, root, obj, dir, "hard", NULL) == 0);
	ASSERT(fixture_symlink(view, root, dir, "soft", "../host", NULL) == 0);
	ASSERT(fixture_create(view, root, dir, "excl", VIEW_CREATE_EXCLUSIVE,
			      &(struct view_setattr){0}, 42, &done) == 0);
	ASSERT(fixture_remove(view, root, d, "gone", NULL) == 0);
	ASSERT(fixture_rename(view, root, d, "moved", e, "here", NULL) == 0);
	ASSERT(fixture_rename(view, root, top, "e", dir, "e2", NULL) == 0);
	obj = fixture_find(view, "d/big");
	ASSERT(fixture_write(view, root, obj, 50000, data, 5000, true, NULL) ==
	       0);
}

/* A switch, a profile, and a word on whose a path is: 'V', 'M', 'O', 'W'. */
static void fuzz_switch(void)
{
	struct site_profile_how how = {.policy = SITE_POLICY_FAIL};
	struct site *site = fuzz_fx.site;
	struct package_info info;
	uint32_t generation;
	bool changed;

	fuzz_old = fixture_find(fixture_view(&fuzz_fx, "/red/vm1"), "d/file");
	fixture_package(&fuzz_fx, "p", "2", fuzz_package2,
			ARRAY_LEN(fuzz_package2), &info);
	ASSERT(site_tenant_assign(site, "red", &info, 1, false, NULL, NULL,
				  &generation) == 0 &&
	       generation == 2);
	fixture_package(&fuzz_fx, "settings", "1", fuzz_profile,
			ARRAY_LEN(fuzz_profile), &info);
	ASSERT(site_profile_apply(site, "red/vm1", &info, &how) == 0);
	ASSERT(site_delta_assign(site, "red/vm1", "inline", "p", &changed) ==
		   0 &&
	       changed);
}

/* That of a key; a new one's is empty. */
static struct fuzz_row *fuzz_row(const void *key, size_t len)
{
	struct fuzz_row *row = fuzz_rows;

	for (unsigned int i = 0; i < fuzz_row_count; i++, row++)
		if (row->key_len == len && memcmp(row->key, key, len) == 0)
			return row;
	ASSERT(++fuzz_row_count < FUZZ_ROWS_MAX);
	row->key = memcpy(malloc(len), key, len);
	row->key_len = len;
	return row;
}

/* All keys and values as they are now, new ones behind those known. */
static void fuzz_keep(struct kv *kv)
{
	struct kv_iter *it = kv_iter_new(kv, "", 0, NULL, 0);
	unsigned int count = 0;

	ASSERT(it);
	for (; kv_iter_valid(it); kv_iter_next(it), count++) {
		size_t len;
		const void *p = kv_iter_key(it, &len);
		struct fuzz_row *row = fuzz_row(p, len);

		p = kv_iter_value(it, &row->len);
		free(row->value);
		row->value = malloc(row->len + 1);
		memcpy(row->value, p, row->len);
	}
	ASSERT(kv_iter_error(it) == 0 && count == fuzz_row_count);
	kv_iter_free(it);
}

static void fuzz_has(const char *letters)
{
	for (; *letters; letters++) {
		unsigned int i = 0;

		while (i < fuzz_row_count && fuzz_rows[i].key[0] != *letters)
			i++;
		ASSERT(i < fuzz_row_count);
	}
}

/* Host files, which changes of a guest are made to. */
static struct {
	char *path;
	void *bytes;
	size_t len;
} fuzz_files[FUZZ_FILES_MAX];
static unsigned int fuzz_file_count;

static int fuzz_keep_file(const char *path, const struct stat *st, int kind,
			  struct FTW *ftw)
{
	unsigned int i = fuzz_file_count;

	(void)st;
	(void)ftw;
	if (kind != FTW_F)
		return 0;
	ASSERT(i < FUZZ_FILES_MAX);
	fuzz_files[i].path = strdup(path);
	ASSERT(io_read_file(path, 1 << 20, &fuzz_files[i].bytes,
			    &fuzz_files[i].len) == 0);
	fuzz_file_count++;
	return 0;
}

static void fuzz_put_files(void)
{
	for (unsigned int i = 0; i < fuzz_file_count; i++) {
		int fd = open(fuzz_files[i].path,
			      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		ASSERT(fd >= 0);
		ASSERT(io_pwrite_all(fd, fuzz_files[i].bytes, fuzz_files[i].len,
				     0) == 0);
		close(fd);
	}
}

static void fuzz_end(void)
{
	tmpdir_remove(fuzz_fx.dir);
}

static void fuzz_make(void)
{
	struct site_guest_options options = {.addr = "127.0.0.1"};
	struct kv_batch *batch = kv_batch_new();
	struct registry_upstream upstream = {
	    .name = "lab", .url = "dir:/nowhere", .is_unsigned = true};
	struct registry_origin origin = {
	    .upstream = "lab", .package = "p", .sequence = 3};
	uint8_t reply[60] = {1, 8};
	struct record_key key;
	struct view *view;
	struct kv *kv;
	char *data;

	atexit(fuzz_end);
	fixture_open(&fuzz_fx);
	fixture_package(&fuzz_fx, "p", "1", fuzz_package,
			ARRAY_LEN(fuzz_package), &fuzz_info);
	view = fixture_guest(&fuzz_fx, &fuzz_info, 1);
	ASSERT(site_guest_add(fuzz_fx.site, "red/vm2", &options) == 0);
	fuzz_delta(view);
	kv = depot_state(fuzz_fx.depot);
	record_key_reply(&key, 1, 5);
	kv_batch_put(batch, key.bytes, key.len, reply, sizeof(reply));
	registry_upstream_put(batch, &upstream);
	registry_origin_put(batch, &fuzz_info.tree, &origin);
	ASSERT(registry_commit(kv, batch) == 0);
	kv_batch_free(batch);
	site_quiesce(fuzz_fx.site);
	fuzz_keep(kv);
	fuzz_switch();
	site_close(fuzz_fx.site);
	fuzz_keep(kv);
	fuzz_has("ASGOWVMCEYD");
	ASSERT(asprintf(&data, "%s/data", fuzz_fx.dir) > 0);
	ASSERT(nftw(data, fuzz_keep_file, 16, FTW_PHYS) == 0);
	ASSERT(fuzz_file_count > 0);
	free(data);
}

/* --- damage -------------------------------------------------------------- */

static void fuzz_edit_key(struct kv_batch *batch, const struct fuzz_row *row,
			  uint8_t at, const uint8_t *bytes, size_t n)
{
	size_t len = row->key_len + (n > 8 ? n - 8 : 0);
	uint8_t *key = calloc(1, len);

	ASSERT(key);
	memcpy(key, row->key, row->key_len);
	for (size_t i = 0; i < n && at % len + i < len; i++)
		key[at % len + i] ^= bytes[i];
	kv_batch_put(batch, key, len, row->value, row->len);
	free(key);
}

static void fuzz_edit(struct kv_batch *batch, const uint8_t *head,
		      const uint8_t *bytes, size_t n)
{
	const struct fuzz_row *row = &fuzz_rows[head[0] % fuzz_row_count];
	const struct fuzz_row *other = &fuzz_rows[head[2] % fuzz_row_count];
	uint8_t *value = malloc(row->len + n + 1);
	size_t len = row->len, at = len ? head[2] % len : 0;

	ASSERT(value);
	memcpy(value, row->value, len);
	switch (head[1] % 7) {
	case 0:
		memcpy(value, bytes, n);
		len = n;
		break;
	case 1:
		for (size_t i = 0; i < n && at + i < len; i++)
			value[at + i] ^= bytes[i];
		break;
	case 2:
		len = at;
		break;
	case 3:
		memcpy(value + len, bytes, n);
		len += n;
		break;
	}
	if (head[1] % 7 == 6)
		fuzz_edit_key(batch, row, head[2], bytes, n);
	else if (head[1] % 7 == 4)
		kv_batch_delete(batch, row->key, row->key_len);
	else if (head[1] % 7 == 5)
		kv_batch_put(batch, row->key, row->key_len, other->value,
			     other->len);
	else
		kv_batch_put(batch, row->key, row->key_len, value, len);
	free(value);
}

static void fuzz_damage(struct kv *kv, const uint8_t *data, size_t len)
{
	struct kv_batch *batch = kv_batch_new();

	ASSERT(batch);
	for (int i = 0; i < FUZZ_EDITS_MAX && len >= 4; i++) {
		size_t n = MIN((size_t)data[3], len - 4);

		fuzz_edit(batch, data, data + 4, n);
		data += 4 + n;
		len -= 4 + n;
	}
	ASSERT(kv_write(kv, batch) == 0);
	kv_batch_free(batch);
}

/* Every key of the good store, and no other. */
static void fuzz_restore(struct kv *kv)
{
	struct kv_batch *batch = kv_batch_new();
	static const uint8_t last[RECORD_KEY_MAX] = {255, 255};

	ASSERT(batch);
	kv_batch_delete_range(batch, "", 0, last, sizeof(last));
	for (unsigned int i = 0; i < fuzz_row_count; i++)
		kv_batch_put(batch, fuzz_rows[i].key, fuzz_rows[i].key_len,
			     fuzz_rows[i].value, fuzz_rows[i].len);
	ASSERT(kv_write(kv, batch) == 0);
	kv_batch_free(batch);
}

/* --- what reads it ------------------------------------------------------- */

static void fuzz_rc(int rc)
{
	/* Those of damage, of newer formats, and of what is not there. */
	ASSERT(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT ||
	       rc == -ENOENT || rc == -ENOSPC || rc == -EINVAL || rc == -EIO ||
	       rc == -EHOSTUNREACH || rc == -EHOSTDOWN || rc == -EEXIST ||
	       rc == -ENODATA || rc == -ELOOP);
}

static int fuzz_tag(void *ctx, const struct registry_tag *row)
{
	(void)ctx;
	ASSERT(depot_name_ok(row->name) && depot_tag_ok(row->tag));
	return 0;
}

static int fuzz_upstream(void *ctx, const struct registry_upstream *row)
{
	(void)ctx;
	ASSERT(depot_name_ok(row->name));
	ASSERT(strlen(row->url) <= UPSTREAM_URL_MAX);
	return 0;
}

static int fuzz_package_seen(void *ctx, const struct package_info *info)
{
	(void)ctx;
	ASSERT(depot_name_ok(info->name));
	return 0;
}

static void fuzz_registry(struct kv *kv)
{
	struct package_ref ref = {.name = "p", .tag = "1"};
	struct registry_origin origin;
	struct registry_tag tag;
	struct package_info info;
	char *json;
	int rc;

	fuzz_rc(registry_tag_list(kv, NULL, fuzz_tag, NULL));
	fuzz_rc(registry_tag_get(kv, "p", "1", &tag));
	rc = registry_revision_get(kv, &fuzz_info.revision, &json);
	fuzz_rc(rc);
	if (rc == 0)
		free(json);
	rc = registry_origin_get(kv, &fuzz_info.tree, &origin);
	fuzz_rc(rc);
	if (rc == 0)
		ASSERT(depot_name_ok(origin.upstream));
	fuzz_rc(registry_upstream_list(kv, fuzz_upstream, NULL));
	fuzz_rc(depot_package_get(fuzz_fx.depot, &ref, &info));
	fuzz_rc(depot_package_list(fuzz_fx.depot, fuzz_package_seen, NULL));
}

/* What a guest gets for what is damaged. */
static void fuzz_served(int rc)
{
	ASSERT(rc <= 0 && rc != -EBADMSG && rc != -EPROTONOSUPPORT);
}

struct fuzz_walk {
	struct view *view;
	unsigned int left;
	struct view_object dirs[FUZZ_WALK_MAX];
	unsigned int dir_count;
};

static void fuzz_object(struct fuzz_walk *w, struct view_object obj,
			const struct view_attr *attr)
{
	static uint8_t buf[VIEW_IO_MAX];
	size_t len = 200000;
	bool eof;

	if (S_ISREG(attr->mode)) {
		fuzz_served(fixture_read(
		    w->view, &fixture_root, obj,
		    attr->size > len ? attr->size - len : 0, buf, &len, &eof));
		fuzz_served(fixture_write(w->view, &fixture_root, obj, 3, "xyz",
					  3, true, NULL));
		fuzz_served(fixture_resize(w->view, obj, 2000));
	} else if (S_ISLNK(attr->mode)) {
		struct view_attr again;

		fuzz_served(
		    view_readlink(w->view, obj, (char *)buf, &len, &again));
	} else if (S_ISDIR(attr->mode) && w->dir_count < FUZZ_WALK_MAX) {
		w->dirs[w->dir_count++] = obj;
	}
}

static bool fuzz_emit(void *ctx, const struct view_dirent *ent)
{
	struct fuzz_walk *w = ctx;

	ASSERT(ent->name_len > 0 && ent->name_len <= VIEW_NAME_MAX);
	return w->left-- > 1;
}

static void fuzz_dir(struct fuzz_walk *w, struct view_object dir)
{
	static const char *const names[] = {
	    "d",  "e",    "inline", "host", "dir",  "hard", "soft",  "excl",
	    "e2", "here", "file",   "big",  "gone", "..",   "moved",
	};
	struct view_attr attr, dir_attr;
	bool eof;

	w->left = 100;
	fuzz_served(view_readdir(w->view, &fixture_root, dir, 0, true,
				 fuzz_emit, w, &eof, &dir_attr));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int rc = fixture_lookup(w->view, &fixture_root, dir, names[i],
					&attr);

		fuzz_served(rc);
		if (rc == 0 && strcmp(names[i], "..") != 0)
			fuzz_object(w, fixture_object(&attr), &attr);
	}
	fuzz_served(fixture_create(w->view, &fixture_root, dir, "new",
				   VIEW_CREATE_UNCHECKED,
				   &(struct view_setattr){0}, 0, NULL));
	fuzz_served(fixture_rename(w->view, &fixture_root, dir, "new", dir,
				   "gone", NULL));
	fuzz_served(fixture_remove(w->view, &fixture_root, dir, "hard", NULL));
	fuzz_served(fixture_remove(w->view, &fixture_root, dir, "host", NULL));
}

static void fuzz_reply(void *ctx, uint32_t slot, const uint8_t *record,
		       size_t len)
{
	(void)ctx;
	(void)record;
	ASSERT(slot < VIEW_REPLY_SLOTS);
	ASSERT(len <= 1 << 20);
}

/* What a handle of before the switch gives. */
static void fuzz_read_old(struct view *view)
{
	static uint8_t buf[10000];
	size_t len = sizeof(buf);
	bool eof;

	fuzz_served(
	    fixture_read(view, &fixture_root, fuzz_old, 0, buf, &len, &eof));
}

static void fuzz_serve(struct view *view)
{
	struct fuzz_walk w = {.view = view};

	fuzz_read_old(view);
	w.dirs[w.dir_count++] = view_root(view);
	for (unsigned int i = 0; i < w.dir_count && i < 12; i++)
		fuzz_dir(&w, w.dirs[i]);
	fuzz_served(view_replies(view, fuzz_reply, NULL));
}

static int fuzz_change(void *ctx, const struct site_delta_change *change)
{
	(void)ctx;
	ASSERT(!change->package || depot_name_ok(change->package));
	return 0;
}

static int fuzz_assigned(void *ctx, const char *path, const char *package)
{
	(void)ctx;
	ASSERT(*path && depot_name_ok(package));
	return 0;
}

static int fuzz_tree_user(void *ctx, const struct site_tree_user *user)
{
	(void)ctx;
	ASSERT(!user->package || depot_name_ok(user->package->name));
	return 0;
}

/* What operators ask. */
static void fuzz_ask(struct site *site)
{
	static const char guest[] = "red/vm1";

	fuzz_rc(site_guest_own(site, guest, fuzz_package_seen, NULL));
	fuzz_rc(site_delta_assigned(site, guest, fuzz_assigned, NULL));
	fuzz_rc(site_delta_diff(site, guest, fuzz_change, NULL));
	fuzz_rc(site_tree_users(site, fuzz_tree_user, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct site_switch how = {.policy = SITE_POLICY_KEEP};
	static unsigned int count;
	uint32_t generation;
	struct site *site;
	struct kv *kv;
	int rc;

	if (count++ == 0)
		fuzz_make();
	kv = depot_state(fuzz_fx.depot);
	fuzz_damage(kv, data, len);
	fuzz_registry(kv);
	rc = site_open(fuzz_fx.depot, &site);
	fuzz_rc(rc);
	if (rc == 0) {
		static const char *const paths[] = {"/red/vm1", "/red/vm2"};

		fuzz_ask(site);
		for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
			struct view *view = site_view_by_path(site, paths[i]);

			if (view)
				fuzz_serve(view);
		}
		fuzz_rc(site_tenant_switch(site, "red", NULL, 0, &how,
					   &generation));
		site_close(site);
	}
	fuzz_restore(kv);
	fuzz_put_files();
	return 0;
}
