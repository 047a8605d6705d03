/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish: one push, from the packs to the root document.
 *
 * Two publishers on one host are kept apart by a lock on the directory; two
 * that see it over a network, where locks may not reach, by the generation in
 * depot.json: a push that finds it moved starts again, and finds its packs
 * there.
 */
#include "depot/publish.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "depot/document.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/plan.h"
#include "depot/publish_file.h"
#include "depot/publish_known.h"
#include "depot/publish_pack.h"
#include "depot/shard.h"

enum { PUBLISH_ATTEMPTS_MAX = 5 };

/* What lies in one place: everybody's, or a private package's own. */
struct push_scope {
	struct publish_known *known; /* owns */
	struct publish_pack pack;    /* owns */
};

struct push {
	struct publish *publish;                /* borrows */
	const struct publish_package *packages; /* borrows */
	unsigned int count;
	struct root_doc root; /* owns; as found */
	bool root_there, changed;
	struct push_scope *scopes; /* owns */
	unsigned int scope_count;
	uint32_t *indexes; /* owns; number of each package's index */
	uint64_t bytes_done, bytes_total;
};

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

static const char *push_private(const struct publish_package *package)
{
	return tree_salt(package->tree) ? package->name : NULL;
}

static bool push_same_scope(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The scope of a package; what is there is learnt the first time. */
static int push_scope(struct push *push, const struct publish_package *package,
		      struct push_scope **scope)
{
	const char *private = push_private(package);
	struct push_scope *s = push->scopes;

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
	s->pack.known = s->known;
	push->scope_count++;
	*scope = s;
	return publish_known_load(s->known, push->publish->dir);
}

/* --- the root document --------------------------------------------------- */

/* -ENOENT: none yet. */
static int push_read_root(const struct push *push, struct root_doc *root)
{
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	rc = publish_file_read(push->publish->dir, LAYOUT_ROOT, DOCUMENT_MAX,
			       &text, &len);
	if (rc < 0)
		return rc;
	rc = root_doc_read(text, len, root);
	return rc < 0
		   ? publish_file_refused(push->publish->dir, LAYOUT_ROOT, rc)
		   : 0;
}

/* -EAGAIN: somebody else has published since we began. */
static int push_check_generation(const struct push *push)
{
	CLEANUP(root_doc_clear) struct root_doc now = {0};
	int rc;

	rc = push_read_root(push, &now);
	if (rc == -ENOENT)
		return push->root_there ? -EAGAIN : 0;
	if (rc < 0)
		return rc;
	return push->root_there && now.generation == push->root.generation
		   ? 0
		   : -EAGAIN;
}

/* A package is in the root document from its first push on. */
/* Private ones are nobody else's business. */
static int push_merge_names(const struct push *push, struct root_doc *merged)
{
	const struct root_doc *root = &push->root;
	size_t at = 0;

	merged->packages = calloc((size_t)root->count + push->count + 1,
				  sizeof(*merged->packages));
	if (!merged->packages)
		return -ENOMEM;
	if (root->count > 0)
		memcpy(merged->packages, root->packages,
		       root->count * sizeof(*root->packages));
	merged->count = root->count;
	for (unsigned int i = 0; i < push->count; i++) {
		const char *name = push->packages[i].name;
		struct root_package *row;

		if (push_private(&push->packages[i]) ||
		    root_doc_find(merged, name))
			continue;
		for (at = 0; at < merged->count; at++)
			if (strcmp(merged->packages[at].name, name) > 0)
				break;
		row = &merged->packages[at];
		memmove(row + 1, row, (merged->count - at) * sizeof(*row));
		memset(row, 0, sizeof(*row));
		snprintf(row->name, sizeof(row->name), "%s", name);
		merged->count++;
	}
	return 0;
}

static int push_write_root(struct push *push)
{
	CLEANUP(root_doc_clear) struct root_doc merged = {0};
	CLEANUP_FREE char *json = NULL;
	int rc;

	rc = push_check_generation(push);
	if (rc == 0)
		rc = push_merge_names(push, &merged);
	if (rc < 0)
		return rc;
	if (push->root_there && !push->changed &&
	    merged.count == push->root.count)
		return 0;
	merged.generation = push->root.generation + 1;
	rc = root_doc_write(&merged, &json);
	if (rc < 0)
		return rc;
	return publish_file_write(push->publish->dir, LAYOUT_ROOT, json,
				  strlen(json));
}

/* --- shards -------------------------------------------------------------- */

/* As small as we can make it: sealed anew, unless what we got is smaller. */
static int push_pack_shard(struct push *push, struct push_scope *scope,
			   struct tree *tree, uint32_t shard)
{
	const struct digest *name = tree_shard_name(tree, shard);
	struct publish *publish = push->publish;
	CLEANUP_FREE uint8_t *chunk = malloc(SHARD_CHUNK_MAX);
	CLEANUP_FREE uint8_t *sealed = malloc(SHARD_MAX);
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
	publish->shards_new++;
	if (given_len <= sealed_len)
		return publish_pack_add(&scope->pack, name, given, given_len);
	return publish_pack_add(&scope->pack, name, sealed, sealed_len);
}

static void push_progress(struct push *push, uint64_t done)
{
	struct publish *publish = push->publish;

	if (publish->progress)
		publish->progress(publish->ctx, push->bytes_done + done,
				  push->bytes_total);
}

static int push_place_shards(struct push *push, struct push_scope *scope,
			     struct tree *tree, struct index_place *places)
{
	uint32_t count = tree_shard_count(tree);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct digest *name = tree_shard_name(tree, i);

		if (publish_known_find(scope->known, name, &places[i])) {
			push->publish->shards_there++;
		} else {
			rc = push_pack_shard(push, scope, tree, i);
			if (rc == 0 &&
			    !publish_known_find(scope->known, name, &places[i]))
				ASSERT(false);
		}
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

	return publish_file_len(push->publish->dir, path, &len) == 0;
}

/* The newest index stays when it says the same. */
static int push_write_index(struct push *push, struct push_scope *scope,
			    const struct digest *tree, const void *bytes,
			    size_t len, uint32_t *number)
{
	const char *private = publish_known_private(scope->known);
	uint32_t newest = publish_known_index(scope->known, tree);
	struct layout_path path = layout_index(private, tree, newest);
	CLEANUP_FREE void *old = NULL;
	size_t old_len;
	int rc;

	*number = newest;
	if (newest > 0) {
		rc = publish_file_read(push->publish->dir, path.text,
				       INDEX_FILE_MAX, &old, &old_len);
		if (rc < 0)
			return rc;
		if (old_len == len && memcmp(old, bytes, len) == 0)
			return 0;
	}
	*number = newest + 1;
	path = layout_index(private, tree, *number);
	return publish_file_write(push->publish->dir, path.text, bytes, len);
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
	rc = publish_file_read(push->publish->dir, path.text, PLAN_FILE_MAX,
			       &old, &len);
	if (rc == 0 && len == package->plan_len &&
	    memcmp(old, package->plan, len) == 0)
		return 0;
	return publish_file_write(push->publish->dir, path.text, package->plan,
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
	return publish_file_write(push->publish->dir, path.text, box, len);
}

static int push_revision(struct push *push,
			 const struct publish_package *package)
{
	struct layout_path path =
	    layout_revision(push_private(package), &package->revision);
	int rc;

	if (push_is_there(push, path.text))
		return 0;
	rc = publish_file_write(push->publish->dir, path.text,
				package->revision_json,
				strlen(package->revision_json));
	if (rc == 0)
		push->publish->revisions_new++;
	return rc;
}

/* --- tags ---------------------------------------------------------------- */

static int push_read_tags(struct push *push, const char *path, const char *name,
			  struct tag_doc *doc)
{
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	rc = publish_file_read(push->publish->dir, path, DOCUMENT_MAX, &text,
			       &len);
	if (rc == -ENOENT) {
		snprintf(doc->name, sizeof(doc->name), "%s", name);
		return 0;
	}
	if (rc < 0)
		return rc;
	rc = tag_doc_read(text, len, doc);
	if (rc == 0 && strcmp(doc->name, name) != 0)
		rc = -EBADMSG;
	return rc < 0 ? publish_file_refused(push->publish->dir, path, rc) : 0;
}

/* The row of a tag; a new one has revision zeros. */
static struct tag_row *push_tag_row(struct tag_doc *doc, const char *tag)
{
	unsigned int i = 0;

	while (i < doc->count && strcmp(doc->rows[i].tag, tag) < 0)
		i++;
	if (i < doc->count && strcmp(doc->rows[i].tag, tag) == 0)
		return &doc->rows[i];
	memmove(&doc->rows[i + 1], &doc->rows[i],
		(doc->count - i) * sizeof(*doc->rows));
	memset(&doc->rows[i], 0, sizeof(*doc->rows));
	snprintf(doc->rows[i].tag, sizeof(doc->rows[i].tag), "%s", tag);
	doc->count++;
	return &doc->rows[i];
}

/* true: that changed something. */
static bool push_set_tag(struct tag_doc *doc,
			 const struct publish_package *package, uint32_t index)
{
	unsigned int count = doc->count;
	struct tag_row *row = push_tag_row(doc, package->tag);
	bool is_new = doc->count > count;

	if (!is_new && digest_equal(&row->revision, &package->revision)) {
		if (row->index == index)
			return false;
	} else if (!is_new) {
		row->previous = row->revision;
		row->has_previous = true;
	}
	row->revision = package->revision;
	row->tree = *tree_digest(package->tree);
	row->index = index;
	return true;
}

static bool push_same_entitled(const struct tag_doc *doc,
			       const struct package_entitled *entitled)
{
	if (doc->is_restricted != entitled->is_restricted)
		return false;
	if (!doc->is_restricted)
		return true;
	if (doc->entitled_count != entitled->count)
		return false;
	for (unsigned int i = 0; i < entitled->count; i++)
		if (strcmp(doc->entitled[i], entitled->tenants[i]) != 0)
			return false;
	return true;
}

/* *changed: that is news to the depot. */
static int push_entitle(struct tag_doc *doc,
			const struct package_entitled *entitled, bool *changed)
{
	size_t size = sizeof(*doc->entitled);

	if (!entitled || push_same_entitled(doc, entitled))
		return 0;
	*changed = true;
	free(doc->entitled);
	doc->entitled_count = 0;
	doc->entitled = calloc((size_t)entitled->count + 1, size);
	if (!doc->entitled)
		return -ENOMEM;
	doc->is_restricted = entitled->is_restricted;
	if (entitled->count)
		memcpy(doc->entitled, entitled->tenants,
		       entitled->count * size);
	doc->entitled_count = entitled->count;
	return 0;
}

/* All tags of one package name, of this push. */
static int push_tags(struct push *push, const struct publish_package *package)
{
	CLEANUP(tag_doc_clear) struct tag_doc doc = {0};
	const char *name = package->name;
	struct layout_path path = layout_tags(push_private(package), name);
	CLEANUP_FREE char *json = NULL;
	struct tag_row *grown;
	bool changed = false;
	int rc;

	rc = push_read_tags(push, path.text, name, &doc);
	if (rc < 0)
		return rc;
	grown = realloc(doc.rows, (doc.count + push->count) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	doc.rows = grown;
	for (unsigned int i = 0; i < push->count; i++)
		if (strcmp(push->packages[i].name, name) == 0)
			changed |= push_set_tag(&doc, &push->packages[i],
						push->indexes[i]);
	rc = push_entitle(&doc, package->entitled, &changed);
	if (rc < 0)
		return rc;
	if (!changed)
		return 0;
	push->changed = true;
	doc.sequence++;
	rc = tag_doc_write(&doc, &json);
	if (rc < 0)
		return rc;
	return publish_file_write(push->publish->dir, path.text, json,
				  strlen(json));
}

static int push_all_tags(struct push *push)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < push->count; i++) {
		unsigned int first = 0;

		while (strcmp(push->packages[first].name,
			      push->packages[i].name) != 0)
			first++;
		if (first == i)
			rc = push_tags(push, &push->packages[i]);
	}
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
		       push->publish->dir, package->name, package->tag,
		       private ? "" : "not ", private ? "not" : "private");
}

/* --- one attempt --------------------------------------------------------- */

static int push_begin(struct push *push)
{
	int rc;

	push->publish->shards_there = 0;
	push->scopes = calloc(push->count + 1, sizeof(*push->scopes));
	push->indexes = calloc(push->count + 1, sizeof(*push->indexes));
	if (!push->scopes || !push->indexes)
		return -ENOMEM;
	for (unsigned int i = 0; i < push->count; i++)
		push->bytes_total += tree_content_len(push->packages[i].tree);
	rc = push_read_root(push, &push->root);
	push->root_there = rc == 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = 0;
	for (unsigned int i = 0; rc == 0 && i < push->count; i++)
		rc = push_check_name(push, &push->packages[i]);
	return rc;
}

static int push_once(struct publish *publish,
		     const struct publish_package *packages, unsigned int count)
{
	CLEANUP(push_clear)
	struct push push = {
	    .publish = publish, .packages = packages, .count = count};
	int rc;

	rc = push_begin(&push);
	for (unsigned int i = 0; rc == 0 && i < count; i++) {
		rc = push_index(&push, &packages[i], &push.indexes[i]);
		if (rc == 0)
			rc = push_plan(&push, &packages[i], push.indexes[i]);
		if (rc == 0)
			rc = push_tree(&push, &packages[i]);
		if (rc == 0)
			rc = push_revision(&push, &packages[i]);
	}
	/* From here on others see it: not over somebody else's. */
	if (rc == 0)
		rc = push_check_generation(&push);
	if (rc == 0)
		rc = push_all_tags(&push);
	if (rc == 0)
		rc = push_write_root(&push);
	return rc;
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

int publish_dir(struct publish *publish, const struct publish_package *packages,
		unsigned int count)
{
	CLEANUP_CLOSE int lock = -1;
	int rc;

	ASSERT(publish->dir && publish->get_shard);

	rc = publish_check(packages, count);
	if (rc < 0)
		return rc;
	rc = publish_file_mkdir(publish->dir);
	if (rc < 0)
		return log_err(rc, "%s: not published", publish->dir);
	lock = open(publish->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Best effort: not every file system has locks. */
	if (lock >= 0 && flock(lock, LOCK_EX) < 0)
		log_warn("%s: not locked: %s", publish->dir,
			 strerrordesc_np(errno));
	for (int i = 0; i < PUBLISH_ATTEMPTS_MAX; i++) {
		rc = push_once(publish, packages, count);
		if (rc != -EAGAIN)
			return rc;
		log_info("%s: somebody else has published; starting again",
			 publish->dir);
	}
	return log_err(rc, "%s: others keep publishing there", publish->dir);
}
