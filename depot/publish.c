/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: one push, as far as others do not see it: packs, indexes, trees,
 * revisions.
 */
#include "depot/publish.h"

#include <stdio.h>

#include "depot/index.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/plan.h"
#include "depot/publish_inside.h"
#include "depot/shard.h"

enum { PUBLISH_ATTEMPTS_MAX = 5 };

static void push_clear(struct push *push)
{
	root_doc_clear(&push->root);
	for (unsigned int i = 0; i < push->scope_count; i++) {
		publish_known_free(push->scopes[i].known);
		publish_pack_clear(&push->scopes[i].pack);
	}
	free(push->scopes);
	free(push->indexes);
}

const char *push_private(const struct publish_package *package)
{
	return tree_salt(package->tree) ? package->name : NULL;
}

bool push_same_scope(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The scope of a package; what is there is learnt the first time. */
static int push_scope(struct push *push, const struct publish_package *package,
		      struct push_scope **scope)
{
	const char *private = push_private(package);
	struct push_scope *s = push->scopes;
	int rc;

	for (; s < push->scopes + push->scope_count; s++) {
		if (push_same_scope(publish_known_private(s->known), private)) {
			*scope = s;
			return 0;
		}
	}
	s->known = publish_known_new(private);
	if (!s->known)
		return -ENOMEM;
	s->pack.publish = push->publish;
	s->pack.target = push->target;
	s->pack.known = s->known;
	push->scope_count++;
	*scope = s;
	rc = publish_known_load(s->known, push->target);
	if (rc == 0 && push->publish->verify)
		rc = push_verify(push, s);
	return rc;
}

/* --- shards -------------------------------------------------------------- */

/* As small as we can make it: sealed anew, unless what we got is smaller. */
int push_seal(struct push *push, struct tree *tree, uint32_t shard,
	      void **bytes, size_t *len)
{
	const struct digest *name = tree_shard_name(tree, shard);
	struct publish *publish = push->publish;
	CLEANUP_FREE uint8_t *chunk = malloc(SHARD_CHUNK_MAX);
	CLEANUP_FREE void *sealed = malloc(SHARD_MAX);
	CLEANUP_FREE void *given = NULL;
	size_t given_len, chunk_len, sealed_len;
	char hex[DIGEST_HEX_LEN + 1];
	int rc;

	if (!chunk || !sealed)
		return -ENOMEM;
	rc = publish->get_shard(publish->ctx, tree, shard, &given, &given_len);
	if (rc < 0)
		return rc;
	rc = shard_open(tree_salt(tree), name, given, given_len, chunk,
			SHARD_CHUNK_MAX, &chunk_len);
	if (rc < 0) {
		digest_to_hex(name, hex);
		return log_err(rc, "shard %s: not published", hex);
	}
	rc = shard_seal(chunk, chunk_len, publish->level, sealed, SHARD_MAX,
			&sealed_len);
	if (rc < 0)
		return rc;
	*len = MIN(given_len, sealed_len);
	*bytes = given_len <= sealed_len ? STEAL(given) : STEAL(sealed);
	return 0;
}

static int push_pack_shard(struct push *push, struct push_scope *scope,
			   struct tree *tree, uint32_t shard)
{
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	rc = push_seal(push, tree, shard, &bytes, &len);
	if (rc < 0)
		return rc;
	push->publish->shards_new++;
	return publish_pack_add(&scope->pack, tree_shard_name(tree, shard),
				bytes, len);
}

static void push_progress(struct push *push, uint64_t done)
{
	struct publish *publish = push->publish;

	if (publish->progress)
		publish->progress(publish->ctx, push->bytes_done + done,
				  push->bytes_total);
}

/*
 * Does less than half of a tree, in bytes, lie in packs of its own, those of
 * which it is the half at least?  What is not packed yet will.
 */
static int push_is_scattered(const struct push_scope *scope,
			     const struct tree *tree, bool *scattered)
{
	uint32_t packs = publish_known_pack_count(scope->known);
	uint32_t count = tree_shard_count(tree);
	CLEANUP_FREE uint64_t *bytes = NULL;
	uint64_t own = 0, total = 0;
	struct index_place place;

	bytes = calloc((size_t)packs + 1, sizeof(*bytes));
	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		if (publish_known_find(scope->known, tree_shard_name(tree, i),
				       &place))
			bytes[place.pack_number] += place.len;
		else
			own += tree_content_len(tree) / count;
	}
	total = own;
	for (uint32_t i = 0; i < packs; i++) {
		total += bytes[i];
		if (2 * bytes[i] >= publish_known_pack_len(scope->known, i))
			own += bytes[i];
	}
	*scattered = 2 * own < total;
	return 0;
}

static int push_place_shard(struct push *push, struct push_scope *scope,
			    struct tree *tree, uint32_t shard,
			    struct index_place *place)
{
	const struct digest *name = tree_shard_name(tree, shard);
	int rc;

	if (!scope->pack.anew &&
	    publish_known_find(scope->known, name, place)) {
		push->publish->shards_there++;
		return 0;
	}
	rc = push_pack_shard(push, scope, tree, shard);
	if (rc == 0)
		ASSERT(publish_known_find(scope->known, name, place));
	return rc;
}

static int push_place_shards(struct push *push, struct push_scope *scope,
			     struct tree *tree, struct index_place *places)
{
	uint32_t count = tree_shard_count(tree);
	bool scattered = false;
	int rc;

	rc = publish_known_prefer(scope->known, push->target, tree);
	if (rc == 0 && push->publish->repack)
		rc = push_is_scattered(scope, tree, &scattered);
	scope->pack.anew = scattered;
	push->publish->repacked += scattered;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		rc = push_place_shard(push, scope, tree, i, &places[i]);
		push_progress(push, (uint64_t)((double)tree_content_len(tree) *
					       (i + 1.0) / count));
	}
	if (rc == 0)
		rc = publish_pack_finish(&scope->pack);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		publish_known_resolve(scope->known, &places[i]);
	push->bytes_done += tree_content_len(tree);
	return rc;
}

/* --- what lies under content names --------------------------------------- */

static bool push_is_there(struct push *push, const char *path)
{
	uint64_t len;

	return publish_target_len(push->target, path, &len) == 0;
}

/* Does that index say the same?  -ENOENT: there is none of that number. */
static int push_same_index(struct push *push, const char *path,
			   const void *bytes, size_t len, bool *same)
{
	CLEANUP_FREE void *old = NULL;
	size_t old_len;
	int rc;

	rc = publish_target_get(push->target, path, INDEX_FILE_MAX, &old,
				&old_len);
	*same = rc == 0 && old_len == len && memcmp(old, bytes, len) == 0;
	return rc;
}

/* One that says the same stays; another publisher's number is not ours. */
static int push_write_index(struct push *push, struct push_scope *scope,
			    const struct digest *tree, const void *bytes,
			    size_t len, uint32_t *number)
{
	const char *private = publish_known_private(scope->known);
	uint32_t n = publish_known_index(scope->known, tree);
	struct layout_path path = layout_index(private, tree, n);
	bool same = false;
	int rc = 0;

	if (n > 0)
		rc = push_same_index(push, path.text, bytes, len, &same);
	while (rc == 0 && !same) {
		path = layout_index(private, tree, ++n);
		rc = publish_target_create(push->target, path.text, bytes, len);
		if (rc == -EOPNOTSUPP)
			rc = publish_target_put(push->target, path.text, bytes,
						len);
		if (rc == 0)
			break;
		if (rc == -EEXIST)
			rc =
			    push_same_index(push, path.text, bytes, len, &same);
	}
	*number = n;
	return rc;
}

static int push_index(struct push *push, const struct publish_package *package,
		      uint32_t *number)
{
	struct tree *tree = package->tree;
	struct push_scope *scope;
	CLEANUP_FREE struct index_place *places = NULL;
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	places = calloc((size_t)tree_shard_count(tree) + 1, sizeof(*places));
	if (!places)
		return -ENOMEM;
	rc = push_scope(push, package, &scope);
	if (rc == 0)
		rc = push_place_shards(push, scope, tree, places);
	if (rc == 0)
		rc = index_write(tree_digest(tree), places,
				 tree_shard_count(tree), &bytes, &len);
	if (rc == 0)
		rc = push_write_index(push, scope, tree_digest(tree), bytes,
				      len, number);
	return rc;
}

/* A plan is a hint: a newer one takes the place of the old one. */
static int push_plan(struct push *push, const struct publish_package *package,
		     uint32_t number)
{
	struct layout_path path = layout_plan(
	    push_private(package), tree_digest(package->tree), number);
	CLEANUP_FREE void *old = NULL;
	size_t len;
	int rc;

	if (!package->plan)
		return 0;
	rc = publish_target_get(push->target, path.text, PLAN_FILE_MAX, &old,
				&len);
	if (rc == 0 && len == package->plan_len &&
	    memcmp(old, package->plan, len) == 0)
		return 0;
	return publish_target_put(push->target, path.text, package->plan,
				  package->plan_len);
}

static int push_tree(struct push *push, const struct publish_package *package)
{
	struct tree *tree = package->tree;
	struct layout_path path =
	    layout_tree(push_private(package), tree_digest(tree));
	CLEANUP_FREE void *box = NULL;
	size_t len;
	int rc;

	if (push_is_there(push, path.text))
		return 0;
	rc = tree_box_seal(tree, push->publish->level, &box, &len);
	if (rc < 0)
		return rc;
	return publish_target_put(push->target, path.text, box, len);
}

static int push_revision(struct push *push,
			 const struct publish_package *package)
{
	struct layout_path path =
	    layout_revision(push_private(package), &package->revision);
	int rc;

	if (push_is_there(push, path.text))
		return 0;
	rc = publish_target_put(push->target, path.text, package->revision_json,
				strlen(package->revision_json));
	if (rc == 0)
		push->publish->revisions_new++;
	return rc;
}

/*
 * A name is everybody's or private, with all its tags: readers look into one
 * place, and the better known one first.
 */
static int push_check_name(struct push *push,
			   const struct publish_package *package)
{
	const char *private = push_private(package);
	struct layout_path other =
	    layout_tags(private ? NULL : package->name, package->name);
	bool mixed = push_is_there(push, other.text);

	for (unsigned int i = 0; i < push->count; i++)
		mixed |=
		    strcmp(push->packages[i].name, package->name) == 0 &&
		    !push_same_scope(push_private(&push->packages[i]), private);
	if (!mixed)
		return 0;
	return log_err(-EEXIST,
		       "%s: %s:%s is %sprivate, another package of that name "
		       "there is %s: give one of them another name",
		       push->publish->url, package->name, package->tag,
		       private ? "" : "not ", private ? "not" : "private");
}

/* --- one attempt --------------------------------------------------------- */

static int push_begin(struct push *push)
{
	struct publish *publish = push->publish;
	int rc;

	publish->shards_there = publish->repacked = 0;
	push->scopes = calloc(push->count + 1, sizeof(*push->scopes));
	push->indexes = calloc(push->count + 1, sizeof(*push->indexes));
	if (!push->scopes || !push->indexes)
		return -ENOMEM;
	for (unsigned int i = 0; i < push->count; i++)
		push->bytes_total += tree_content_len(push->packages[i].tree);
	rc = push_read_root(push);
	for (unsigned int i = 0; rc == 0 && i < push->count; i++)
		rc = push_check_name(push, &push->packages[i]);
	return rc;
}

static int push_once(struct publish *publish, struct publish_target *target,
		     const struct publish_package *packages, unsigned int count)
{
	CLEANUP(push_clear)
	struct push push = {.publish = publish,
			    .target = target,
			    .packages = packages,
			    .count = count};
	int rc;

	publish_target_forget(target);
	rc = push_begin(&push);
	for (unsigned int i = 0; rc == 0 && i < count; i++) {
		rc = push_index(&push, &packages[i], &push.indexes[i]);
		if (rc == 0)
			rc = push_plan(&push, &packages[i], push.indexes[i]);
		if (rc == 0)
			rc = push_tree(&push, &packages[i]);
		if (rc == 0)
			rc = push_revision(&push, &packages[i]);
		if (rc == 0 && publish->stop && publish->stop(publish->ctx))
			rc = -EINTR;
	}
	return rc < 0 ? rc : push_final(&push);
}

static int publish_check(const struct publish_package *packages,
			 unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (!depot_name_ok(packages[i].name) ||
		    !depot_tag_ok(packages[i].tag))
			return log_err(-EINVAL, "%.64s:%.128s: bad name or tag",
				       packages[i].name, packages[i].tag);
	return 0;
}

static void publish_target_put_ptr(struct publish_target **target)
{
	publish_target_free(*target);
}

static int publish_any(void *ctx, const char *name UNUSED, uint64_t len UNUSED)
{
	*(bool *)ctx = true;
	return 1;
}

/* A new depot's directory is not there yet, which reads take for a share that
 * is not mounted: the lock makes it. */
static int publish_make_root(struct publish *publish,
			     struct publish_target *target)
{
	struct publish_wait wait = {publish->say, publish->stop, publish->ctx};
	struct publish_lock lock;
	bool any = false;
	int rc;

	rc = publish_target_list(target, "", publish_any, &any);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = publish_lock_take(&lock, target, &wait);
	if (rc == 0)
		publish_lock_drop(&lock);
	return rc;
}

int publish_push(struct publish *publish,
		 const struct publish_package *packages, unsigned int count)
{
	CLEANUP(publish_target_put_ptr) struct publish_target *target = NULL;
	int rc;

	ASSERT(publish->source && publish->get_shard);

	rc = publish_check(packages, count);
	if (rc == 0)
		rc = publish_target_new(publish->source, publish->url, &target);
	if (rc == 0)
		rc = publish_make_root(publish, target);
	if (rc < 0)
		return rc;
	for (int i = 0; i < PUBLISH_ATTEMPTS_MAX; i++) {
		rc = push_once(publish, target, packages, count);
		if (rc != -ESTALE)
			return rc;
		log_info("%s: packs have gone meanwhile; starting again",
			 publish->url);
	}
	return log_err(rc, "%s: packs keep going there", publish->url);
}

int publish_dir(struct publish *publish, const char *dir,
		const struct publish_package *packages, unsigned int count)
{
	struct source *source;
	int rc;

	rc = source_dir_new(dir, &source);
	if (rc < 0)
		return log_err(rc, "%s: not published", dir);
	publish->source = source;
	publish->url = dir;
	rc = publish_push(publish, packages, count);
	source_free(source);
	publish->source = NULL;
	return rc;
}
