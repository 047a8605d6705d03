/* SPDX-License-Identifier: Apache-2.0 */
/* fixture_view: see fixture_view.h. */
#include "tests/lib/fixture_view.h"

#include <ftw.h>
#include <stdio.h>

#include "depot/document.h"
#include "depot/shard.h"
#include "depot/tree_build.h"
#include "tests/lib/check.h"
#include "tests/lib/tmpdir.h"

enum { FIXTURE_MEMORY = 64 << 20 };

const struct view_cred fixture_root = {0};
const struct view_cred fixture_user = {1000, 1000, {2000, 2001}, 2};
const struct view_cred fixture_other = {1001, 1001, {0}, 0};

/* --- opening and closing ------------------------------------------------- */

static void fixture_open_depot(struct fixture *fx)
{
	struct depot_options options = {
	    .memory_max = FIXTURE_MEMORY,
	    .pool_threads = fx->pool_threads,
	    .upstream.parallel = 1,
	};

	ASSERT(depot_open(fx->dir, &options, &fx->depot) == 0);
}

void fixture_open(struct fixture *fx)
{
	*fx = (struct fixture){
	    .dir = tmpdir_new(),
	    .chunk_len = FIXTURE_CHUNK,
	    .pool_threads = 2,
	};
	fixture_open_depot(fx);
	ASSERT(site_open(fx->depot, &fx->site) == 0);
}

void fixture_close(struct fixture *fx)
{
	site_close(fx->site);
	depot_close(fx->depot);
	tmpdir_remove(fx->dir);
}

void fixture_restart(struct fixture *fx, bool depot)
{
	site_close(fx->site);
	if (depot) {
		depot_close(fx->depot);
		fixture_open_depot(fx);
	}
	ASSERT(site_open(fx->depot, &fx->site) == 0);
}

static void fixture_block_run(struct pool_job *job)
{
	struct fixture_block *block =
	    container_of(job, struct fixture_block, job);

	pthread_mutex_lock(&block->lock);
	while (!block->open)
		pthread_cond_wait(&block->cond, &block->lock);
	block->gone = true;
	pthread_cond_broadcast(&block->cond);
	pthread_mutex_unlock(&block->lock);
}

void fixture_block(struct fixture *fx, struct fixture_block *block)
{
	*block = (struct fixture_block){.job.run = fixture_block_run};
	pthread_mutex_init(&block->lock, NULL);
	pthread_cond_init(&block->cond, NULL);
	pool_submit(depot_pool(fx->depot), &block->job);
}

void fixture_unblock(struct fixture_block *block)
{
	pthread_mutex_lock(&block->lock);
	block->open = true;
	pthread_cond_broadcast(&block->cond);
	while (!block->gone)
		pthread_cond_wait(&block->cond, &block->lock);
	pthread_mutex_unlock(&block->lock);
}

void fixture_reopen(struct fixture *fx)
{
	fixture_open_depot(fx);
	ASSERT(site_open(fx->depot, &fx->site) == 0);
}

void fixture_crash(struct fixture *fx, struct fixture_block *block)
{
	char *copy = tmpdir_new();
	char *command;

	ASSERT(asprintf(&command, "cp -a %s/. %s/", fx->dir, copy) > 0);
	ASSERT(system(command) == 0);
	free(command);
	if (block)
		fixture_unblock(block);
	fixture_close(fx);
	fx->dir = copy;
	fixture_reopen(fx);
}

/* --- packages and guests ------------------------------------------------- */

static void fixture_put_chunk(struct depot *depot, const uint8_t *chunk,
			      size_t len)
{
	struct digest name = shard_name_of(NULL, chunk, len);
	uint8_t *shard = malloc(SHARD_MAX);
	size_t shard_len;
	bool added;

	ASSERT(shard &&
	       shard_seal(chunk, len, 1, shard, SHARD_MAX, &shard_len) == 0);
	ASSERT(depot_shard_put(depot, NULL, &name, shard, shard_len, &added) ==
	       0);
	free(shard);
}

static void fixture_add_file(struct tree_build *build, struct depot *depot,
			     size_t chunk_len, const struct fixture_entry *e,
			     const struct tree_build_attr *attr)
{
	size_t len = e->text ? strlen(e->text) : e->len;
	uint8_t *data = malloc(MAX(len, 1u));

	ASSERT(data && tree_build_file(build, e->path, attr) == 0);
	if (e->text)
		memcpy(data, e->text, len);
	else
		check_fill(data, len, e->seed);
	for (size_t off = 0; off < len; off += chunk_len) {
		size_t n = MIN(chunk_len, len - off);
		struct digest name = shard_name_of(NULL, data + off, n);

		if (depot)
			fixture_put_chunk(depot, data + off, n);
		ASSERT(tree_build_chunk(build, &name, (uint32_t)n) == 0);
	}
	if (e->hole)
		ASSERT(tree_build_hole(build, (uint32_t)e->hole) == 0);
	free(data);
}

static void fixture_add(struct tree_build *build, struct depot *depot,
			size_t chunk_len, const struct fixture_entry *e)
{
	struct tree_build_attr attr = {
	    .mode = e->mode,
	    .uid = e->uid,
	    .gid = e->gid,
	    .mtime = {1000000000 + (time_t)e->seed, 5},
	};

	if (e->whiteout)
		ASSERT(tree_build_whiteout(build, e->path) == 0);
	else if (e->link_to)
		ASSERT(tree_build_link(build, e->path, e->link_to) == 0);
	else if (S_ISREG(e->mode))
		fixture_add_file(build, depot, chunk_len, e, &attr);
	else if (S_ISLNK(e->mode))
		ASSERT(tree_build_symlink(build, e->path, &attr, e->text) == 0);
	else
		ASSERT(tree_build_add(build, e->path, &attr) == 0);
	if (e->opaque)
		ASSERT(tree_build_opaque(build, e->path) == 0);
}

struct tree *fixture_tree(struct depot *depot, size_t chunk_len,
			  const struct fixture_entry *entries, size_t count)
{
	struct tree_build *build = tree_build_new();
	struct tree *tree;
	void *bytes;
	size_t len;

	ASSERT(build);
	for (size_t i = 0; i < count; i++)
		fixture_add(build, depot, chunk_len, &entries[i]);
	ASSERT(tree_build_finish(build, &bytes, &len) == 0);
	ASSERT(tree_open_taken(bytes, len, NULL, &tree) == 0);
	tree_build_free(build);
	return tree;
}

void fixture_package(struct fixture *fx, const char *name, const char *tag,
		     const struct fixture_entry *entries, size_t count,
		     struct package_info *info)
{
	struct tree *tree =
	    fixture_tree(fx->depot, fx->chunk_len, entries, count);
	struct revision_doc doc = {.content_len = tree_content_len(tree)};
	struct package_ref ref = {0};
	struct digest revision;
	char *json;

	snprintf(doc.name, sizeof(doc.name), "%s", name);
	snprintf(doc.version, sizeof(doc.version), "%s", tag);
	doc.tree = *tree_digest(tree);
	ASSERT(revision_write(&doc, &json) == 0);
	ASSERT(depot_package_commit(fx->depot, name, tag, json, tree,
				    &revision) == 0);
	free(json);
	tree_put(tree);
	snprintf(ref.name, sizeof(ref.name), "%s", name);
	snprintf(ref.tag, sizeof(ref.tag), "%s", tag);
	ASSERT(depot_package_get(fx->depot, &ref, info) == 0);
}

struct view *fixture_view(struct fixture *fx, const char *path)
{
	struct view *view = site_view_by_path(fx->site, path);

	ASSERT(view);
	return view;
}

struct view *fixture_guest(struct fixture *fx,
			   const struct package_info *packages,
			   unsigned int count)
{
	struct site_guest_options options = {0};
	uint32_t generation;

	ASSERT(site_tenant_create(fx->site, "red") == 0);
	ASSERT(site_tenant_assign(fx->site, "red", packages, count, false, NULL,
				  NULL, &generation) == 0);
	ASSERT(site_guest_add(fx->site, "red/vm1", &options) == 0);
	return fixture_view(fx, "/red/vm1");
}

/* --- one call ------------------------------------------------------------ */

static void fixture_wake(struct view_wait *wait)
{
	struct fixture_call *call =
	    container_of(wait, struct fixture_call, wait);

	pthread_mutex_lock(&call->lock);
	ASSERT(!call->woken);
	call->woken = true;
	pthread_cond_signal(&call->cond);
	pthread_mutex_unlock(&call->lock);
}

static void fixture_settled(struct view_change *change, int rc)
{
	struct fixture_call *call =
	    container_of(change, struct fixture_call, change);

	pthread_mutex_lock(&call->lock);
	ASSERT(!call->settled);
	call->settled = true;
	call->rc = rc;
	pthread_cond_signal(&call->cond);
	pthread_mutex_unlock(&call->lock);
}

void fixture_call_init(struct fixture_call *call)
{
	memset(call, 0, sizeof(*call));
	view_wait_init(&call->wait);
	call->wait.wake = fixture_wake;
	call->change.settled = fixture_settled;
	pthread_mutex_init(&call->lock, NULL);
	pthread_cond_init(&call->cond, NULL);
}

void fixture_call_end(struct fixture_call *call)
{
	view_wait_release(&call->wait);
	pthread_mutex_destroy(&call->lock);
	pthread_cond_destroy(&call->cond);
}

bool fixture_call_woken(struct fixture_call *call)
{
	pthread_mutex_lock(&call->lock);
	while (!call->woken)
		pthread_cond_wait(&call->cond, &call->lock);
	call->woken = false;
	call->waits++;
	pthread_mutex_unlock(&call->lock);
	return true;
}

int fixture_call_done(struct fixture_call *call, int rc)
{
	if (rc < 0 || !call->change.pending)
		return rc;
	pthread_mutex_lock(&call->lock);
	while (!call->settled)
		pthread_cond_wait(&call->cond, &call->lock);
	rc = call->rc;
	pthread_mutex_unlock(&call->lock);
	return rc;
}

/* Settle, hand the results on, end the call. */
static int fixture_finish(struct fixture_call *call, int rc,
			  struct view_done *done)
{
	rc = fixture_call_done(call, rc);
	if (done)
		*done = call->change.done;
	fixture_call_end(call);
	return rc;
}

/* --- operations ---------------------------------------------------------- */

struct view_object fixture_object(const struct view_attr *attr)
{
	return (struct view_object){attr->fileid, attr->generation};
}

static bool fixture_time_same(const struct timespec *a,
			      const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool fixture_attr_same(const struct view_attr *a, const struct view_attr *b)
{
	return a->fileid == b->fileid && a->generation == b->generation &&
	       a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid &&
	       a->gid == b->gid && a->rdev_major == b->rdev_major &&
	       a->rdev_minor == b->rdev_minor && a->size == b->size &&
	       a->used == b->used && fixture_time_same(&a->atime, &b->atime) &&
	       fixture_time_same(&a->mtime, &b->mtime) &&
	       fixture_time_same(&a->ctime, &b->ctime);
}

int fixture_lookup(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   struct view_attr *attr)
{
	struct view_attr dir_attr;

	return view_lookup(view, cred, dir, name, strlen(name), attr,
			   &dir_attr);
}

int fixture_walk(struct view *view, const char *path, struct view_attr *attr)
{
	struct view_object at = view_root(view);
	int rc = view_getattr(view, at, attr);

	while (rc == 0 && *path) {
		size_t len = strcspn(path, "/");
		struct view_attr dir_attr;

		rc = view_lookup(view, &fixture_root, at, path, len, attr,
				 &dir_attr);
		at = fixture_object(attr);
		path += len + (path[len] == '/');
	}
	return rc;
}

struct view_attr fixture_attr(struct view *view, const char *path)
{
	struct view_attr attr;
	int rc = fixture_walk(view, path, &attr);

	if (rc < 0)
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
	ASSERT(rc == 0);
	return attr;
}

struct view_object fixture_find(struct view *view, const char *path)
{
	struct view_attr attr = fixture_attr(view, path);

	return fixture_object(&attr);
}

static int fixture_read_once(struct view *view, const struct view_cred *cred,
			     struct view_object obj, uint64_t off, uint8_t *buf,
			     size_t *len, bool *eof)
{
	struct fixture_call call;
	struct view_read read;
	size_t at = 0;
	int rc;

	fixture_call_init(&call);
	do
		rc = view_read(view, cred, obj, off, MIN(*len, VIEW_IO_MAX),
			       &call.wait, &read);
	while (rc == -EINPROGRESS && fixture_call_woken(&call));
	if (rc == 0) {
		for (unsigned int i = 0; i < read.iov_count; i++) {
			memcpy(buf + at, read.iov[i].iov_base,
			       read.iov[i].iov_len);
			at += read.iov[i].iov_len;
		}
		ASSERT(at == read.len && at <= *len);
		*len = at;
		*eof = read.eof;
		view_read_release(&read, &call.wait);
	}
	fixture_call_end(&call);
	return rc;
}

int fixture_read(struct view *view, const struct view_cred *cred,
		 struct view_object obj, uint64_t off, void *buf, size_t *len,
		 bool *eof)
{
	uint8_t *out = buf;
	size_t wanted = *len;
	bool end = false;
	int rc;

	*len = 0;
	do {
		size_t n = wanted - *len;

		rc = fixture_read_once(view, cred, obj, off + *len, out + *len,
				       &n, &end);
		if (rc < 0)
			return rc;
		ASSERT(n > 0 || end || wanted == 0);
		*len += n;
	} while (!end && *len < wanted);
	if (eof)
		*eof = end;
	return 0;
}

int fixture_write(struct view *view, const struct view_cred *cred,
		  struct view_object obj, uint64_t off, const void *data,
		  size_t len, bool stable, struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	do
		rc = view_write(view, cred, obj, off, data, len, stable,
				&call.wait, &call.change);
	while (rc == -EINPROGRESS && fixture_call_woken(&call));
	return fixture_finish(&call, rc, done);
}

int fixture_commit(struct view *view, struct view_object obj)
{
	struct fixture_call call;

	fixture_call_init(&call);
	return fixture_finish(&call, view_commit(view, obj, &call.change),
			      NULL);
}

int fixture_setattr(struct view *view, const struct view_cred *cred,
		    struct view_object obj, const struct view_setattr *set,
		    struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	do
		rc = view_setattr(view, cred, obj, set, NULL, &call.wait,
				  &call.change);
	while (rc == -EINPROGRESS && fixture_call_woken(&call));
	return fixture_finish(&call, rc, done);
}

int fixture_resize(struct view *view, struct view_object obj, uint64_t size)
{
	struct view_setattr set = {.mask = VIEW_SET_SIZE, .size = size};

	return fixture_setattr(view, &fixture_root, obj, &set, NULL);
}

int fixture_create(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   enum view_create_how how, const struct view_setattr *set,
		   uint64_t verifier, struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	do
		rc = view_create(view, cred, dir, name, strlen(name), how, set,
				 verifier, &call.wait, &call.change);
	while (rc == -EINPROGRESS && fixture_call_woken(&call));
	return fixture_finish(&call, rc, done);
}

int fixture_touch(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  struct view_object *obj)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = mode};
	struct view_done done;
	int rc = fixture_create(view, cred, dir, name, VIEW_CREATE_GUARDED,
				&set, 0, &done);

	if (rc == 0 && obj)
		*obj = fixture_object(&done.attr);
	return rc;
}

int fixture_mknod(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  uint32_t major, uint32_t minor, struct view_done *done)
{
	struct view_setattr set = {.mask = VIEW_SET_MODE, .mode = mode & 07777};
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	rc = view_mknod(view, cred, dir, name, strlen(name), mode & S_IFMT,
			&set, major, minor, &call.change);
	return fixture_finish(&call, rc, done);
}

int fixture_mkdir(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name, uint32_t mode,
		  struct view_object *obj)
{
	struct view_done done;
	int rc =
	    fixture_mknod(view, cred, dir, name, S_IFDIR | mode, 0, 0, &done);

	if (rc == 0 && obj)
		*obj = fixture_object(&done.attr);
	return rc;
}

int fixture_symlink(struct view *view, const struct view_cred *cred,
		    struct view_object dir, const char *name,
		    const char *target, struct view_done *done)
{
	struct view_setattr set = {0};
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	rc = view_symlink(view, cred, dir, name, strlen(name), target,
			  strlen(target), &set, &call.change);
	return fixture_finish(&call, rc, done);
}

int fixture_link(struct view *view, const struct view_cred *cred,
		 struct view_object obj, struct view_object dir,
		 const char *name, struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	rc = view_link(view, cred, obj, dir, name, strlen(name), &call.change);
	return fixture_finish(&call, rc, done);
}

static int fixture_take_out(struct view *view, const struct view_cred *cred,
			    struct view_object dir, const char *name,
			    bool rmdir_, struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	rc = view_remove(view, cred, dir, name, strlen(name), rmdir_,
			 &call.change);
	return fixture_finish(&call, rc, done);
}

int fixture_remove(struct view *view, const struct view_cred *cred,
		   struct view_object dir, const char *name,
		   struct view_done *done)
{
	return fixture_take_out(view, cred, dir, name, false, done);
}

int fixture_rmdir(struct view *view, const struct view_cred *cred,
		  struct view_object dir, const char *name,
		  struct view_done *done)
{
	return fixture_take_out(view, cred, dir, name, true, done);
}

int fixture_rename(struct view *view, const struct view_cred *cred,
		   struct view_object from_dir, const char *from,
		   struct view_object to_dir, const char *to,
		   struct view_done *done)
{
	struct fixture_call call;
	int rc;

	fixture_call_init(&call);
	rc = view_rename(view, cred, from_dir, from, strlen(from), to_dir, to,
			 strlen(to), &call.change);
	return fixture_finish(&call, rc, done);
}

/* --- listings and contents ----------------------------------------------- */

struct fixture_emit {
	struct fixture_list *list;
	size_t taken;
};

static bool fixture_emit(void *ctx, const struct view_dirent *ent)
{
	struct fixture_emit *emit = ctx;
	struct fixture_list *list = emit->list;
	struct fixture_dirent *to;

	if (list->page && emit->taken == list->page)
		return false;
	ASSERT(list->count < FIXTURE_LIST_MAX);
	ASSERT(ent->name_len <= VIEW_NAME_MAX);
	ASSERT(!!ent->attr == list->want_attr);
	to = &list->entries[list->count++];
	to->cookie = ent->cookie;
	to->fileid = ent->fileid;
	to->generation = ent->generation;
	memcpy(to->name, ent->name, ent->name_len);
	to->name[ent->name_len] = '\0';
	if (ent->attr)
		to->attr = *ent->attr;
	emit->taken++;
	return true;
}

int fixture_list(struct view *view, const struct view_cred *cred,
		 struct view_object dir, uint64_t cookie,
		 struct fixture_list *list)
{
	struct view_attr attr;

	if (!list->entries)
		list->entries =
		    calloc(FIXTURE_LIST_MAX, sizeof(*list->entries));
	ASSERT(list->entries);
	do {
		struct fixture_emit emit = {list, 0};
		size_t before = list->count;
		int rc = view_readdir(view, cred, dir, cookie, list->want_attr,
				      fixture_emit, &emit, &list->eof, &attr);

		if (rc < 0)
			return rc;
		for (size_t i = before; i < list->count; i++) {
			ASSERT(list->entries[i].cookie > cookie);
			cookie = list->entries[i].cookie;
		}
		ASSERT(list->eof || list->count > before);
	} while (!list->eof);
	return 0;
}

void fixture_list_clear(struct fixture_list *list)
{
	free(list->entries);
	*list = (struct fixture_list){0};
}

const struct fixture_dirent *fixture_list_find(const struct fixture_list *list,
					       const char *name)
{
	const struct fixture_dirent *found = NULL;

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->entries[i].name, name) == 0) {
			ASSERT(!found); /* listed twice */
			found = &list->entries[i];
		}
	return found;
}

static int fixture_compare(const void *a, const void *b)
{
	const struct fixture_dirent *x = a, *y = b;

	return strcmp(x->name, y->name);
}

char *fixture_names(struct view *view, const char *path)
{
	CLEANUP(fixture_list_clear) struct fixture_list list = {0};
	size_t size = 1;
	char *text;

	ASSERT(fixture_list(view, &fixture_root, fixture_find(view, path), 2,
			    &list) == 0);
	if (list.count)
		qsort(list.entries, list.count, sizeof(*list.entries),
		      fixture_compare);
	for (size_t i = 0; i < list.count; i++)
		size += strlen(list.entries[i].name) + 1;
	text = calloc(1, size);
	ASSERT(text);
	for (size_t i = 0; i < list.count; i++) {
		if (i > 0)
			strcat(text, " ");
		strcat(text, list.entries[i].name);
	}
	return text;
}

bool fixture_names_are(struct view *view, const char *path, const char *want)
{
	CLEANUP_FREE char *names = fixture_names(view, path);
	bool same = strcmp(names, want) == 0;

	if (!same)
		fprintf(stderr, "%s: \"%s\", wanted \"%s\"\n", path, names,
			want);
	return same;
}

bool fixture_content_is(struct view *view, struct view_object obj,
			const void *want, size_t len)
{
	CLEANUP_FREE uint8_t *buf = malloc(len + 1);
	const uint8_t *w = want;
	size_t got = len + 1, at = 0;
	bool eof = false;
	int rc;

	ASSERT(buf);
	rc = fixture_read(view, &fixture_root, obj, 0, buf, &got, &eof);
	if (rc < 0 || got != len || !eof) {
		fprintf(stderr, "read: rc %d, %zu bytes, wanted %zu, eof %d\n",
			rc, rc < 0 ? 0 : got, len, eof);
		return false;
	}
	while (at < len && buf[at] == w[at])
		at++;
	if (at < len)
		fprintf(stderr, "read: byte %zu of %zu is %02x, not %02x\n", at,
			len, buf[at], w[at]);
	return at == len;
}

bool fixture_content_filled(struct view *view, struct view_object obj,
			    size_t len, uint64_t seed)
{
	CLEANUP_FREE uint8_t *want = malloc(len + 1);

	ASSERT(want);
	check_fill(want, len, seed);
	return fixture_content_is(view, obj, want, len);
}

static size_t fixture_host_count;

static int fixture_count_file(const char *path UNUSED,
			      const struct stat *st UNUSED, int type,
			      struct FTW *ftw UNUSED)
{
	fixture_host_count += type == FTW_F;
	return 0;
}

size_t fixture_host_files(const struct fixture *fx)
{
	CLEANUP_FREE char *data = tmpdir_path(fx->dir, "data");

	fixture_host_count = 0;
	nftw(data, fixture_count_file, 8, FTW_PHYS);
	return fixture_host_count;
}

struct view *fixture_one(struct fixture *fx, const char *name,
			 const struct fixture_entry *entries,
			 unsigned int count)
{
	struct package_info info;

	fixture_open(fx);
	fixture_package(fx, name, "1", entries, count, &info);
	return fixture_guest(fx, &info, 1);
}

struct view *fixture_again(struct fixture *fx)
{
	fixture_restart(fx, false);
	return fixture_view(fx, "/red/vm1");
}

struct view_object fixture_touched(struct view *view, const char *name)
{
	struct view_object obj = {0, 0};

	CU_ASSERT_EQUAL(fixture_touch(view, &fixture_root, view_root(view),
				      name, 0644, &obj),
			0);
	return obj;
}
