/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take: order of keeping: tree file, index file, then the state batch.  A
 * crash before the batch leaves files that nobody names, and that the next
 * take-over writes again.
 */
#include "depot/take.h"

#include <stdio.h>
#include <time.h>

#include "depot/document.h"
#include "depot/entitle.h"
#include "depot/io.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/papers.h"
#include "depot/plan_rows.h"
#include "depot/registry.h"

enum {
	/* A box holds a tree that may not shrink, and its table. */
	TAKE_BOX_MAX = TREE_FILE_MAX + (TREE_FILE_MAX >> 4),
	TAKE_FIRST_INDEX = 1,
};

struct take {
	struct kv *state;          /* borrows */
	const char *root;          /* borrows */
	struct upstream *upstream; /* borrows */
	struct trust *trust;       /* borrows; NULL: only a hint is wanted */
	unsigned int tries;
	const char *private; /* borrows; the scope (layout.h) */
	bool denied;         /* what was asked for last */
	bool beside;         /* the tree came from elsewhere */

	struct root_doc depot;     /* owns; of signed upstreams */
	struct tag_doc tags;       /* owns */
	const struct tag_row *row; /* borrows from tags */
	uint32_t index_number;
	struct digest revision;
	char *json;              /* owns */
	struct revision_doc doc; /* owns */
	struct tree *tree;       /* ref */
	struct index *index;     /* ref */
};

static void take_clear(struct take *take)
{
	root_doc_clear(&take->depot);
	tag_doc_clear(&take->tags);
	free(take->json);
	revision_doc_clear(&take->doc);
	tree_put(take->tree);
	index_put(take->index);
}

/* What the upstream sent is no good; the reason has been logged or is `why`. */
static int take_bad(struct take *take, const char *path, int code,
		    const char *why)
{
	log_err(0, "upstream %s: %s: %s", upstream_name(take->upstream), path,
		why);
	return code;
}

/* Codes of parsers: what is damaged, newer, or our own trouble. */
static int take_refused(struct take *take, const char *path, int code)
{
	char why[512];

	switch (code) {
	case -ENOMEM:
		return code;
	case -EPROTONOSUPPORT: /* the parser has told the number */
		snprintf(why, sizeof(why), "written by a newer vdrive (%.400s)",
			 log_last_error());
		return take_bad(take, path, code, why);
	default:
		return take_bad(take, path, -EBADMSG,
				"not what it claims to be");
	}
}

/* The way to a private package is barred. */
static int take_denied(struct take *take, const char *path,
		       const struct source_fault *fault)
{
	log_err(0, "upstream %s: %s: this host may not have it (%s)",
		upstream_name(take->upstream), path, fault->text);
	return -EACCES;
}

static int take_get(struct take *take, const char *path, size_t max, void **buf,
		    size_t *len)
{
	struct source_fault fault;
	int rc;

	rc = upstream_get(take->upstream, path, max, take->tries, buf, len,
			  &fault);
	take->denied = rc == -ENOENT && fault.denied;
	if (take->denied && take->private)
		return take_denied(take, path, &fault);
	if (rc == 0 || rc == -ENOENT)
		return rc;
	log_err(0, "upstream %s: %s", upstream_name(take->upstream),
		fault.text);
	return rc == -EFBIG ? -EBADMSG : rc;
}

/* The same for what a document says is there. */
static int take_get_named(struct take *take, const char *path, size_t max,
			  void **buf, size_t *len)
{
	int rc;

	rc = take_get(take, path, max, buf, len);
	if (rc == -ENOENT)
		return take_bad(take, path, -EBADMSG,
				"named by a document, but not there");
	return rc;
}

/* --- the tag document ---------------------------------------------------- */

struct take_seen {
	struct take *take;
	uint64_t sequence;
};

static int take_seen_visit(void *ctx, const struct registry_tag *row)
{
	struct take_seen *seen = ctx;
	struct registry_origin origin;
	int rc;

	if (strcmp(row->upstream, upstream_name(seen->take->upstream)) != 0)
		return 0;
	rc = registry_origin_get(seen->take->state, &row->tree, &origin);
	if (rc == 0 && strcmp(origin.upstream, row->upstream) == 0)
		seen->sequence = MAX(seen->sequence, origin.sequence);
	return rc == -ENOENT ? 0 : rc;
}

/* Expiry and rollback; see the head of take.h. */
static int take_check_age(struct take *take, const char *path)
{
	struct take_seen seen = {.take = take};
	int rc;

	if (take->tags.expires_sec && take->tags.expires_sec < time(NULL))
		log_warn("upstream %s: %s: has expired",
			 upstream_name(take->upstream), path);
	rc = registry_tag_list(take->state, take->tags.name, take_seen_visit,
			       &seen);
	if (rc == 0 && take->tags.sequence < seen.sequence)
		log_warn("upstream %s: %s: sequence %llu is older than %llu, "
			 "seen before",
			 upstream_name(take->upstream), path,
			 (unsigned long long)take->tags.sequence,
			 (unsigned long long)seen.sequence);
	return rc;
}

/* For hosts that read from this one; without it they ask elsewhere. */
static void take_pass_on(struct take *take, const char *path, const void *text,
			 size_t len)
{
	if (take->private)
		return;
	if (papers_keep(take->root, upstream_name(take->upstream), path, text,
			len) < 0)
		log_warn("upstream %s: %s: not kept for other hosts",
			 upstream_name(take->upstream), path);
}

/* Of a signed upstream: which depot this is, and how far it has come. */
static int take_depot(struct take *take)
{
	const char *name = upstream_name(take->upstream);
	CLEANUP_FREE void *text = NULL;
	struct sign_keys keys;
	size_t len;
	int rc;

	rc = trust_keys(take->state, name, &keys);
	if (rc == 0)
		rc = take_get_named(take, LAYOUT_ROOT, DOCUMENT_MAX, &text,
				    &len);
	if (rc == 0)
		rc = trust_root(take->trust, name, &keys, false, text, len,
				&take->depot);
	if (rc == 0)
		take_pass_on(take, LAYOUT_ROOT, text, len);
	return rc;
}

/* A hint: where an index is; what it leads to is proved by names. */
static int take_tags_hint(struct take *take, const char *path, const char *text,
			  size_t len)
{
	struct sign_keys keys;
	int rc;

	rc = trust_keys(take->state, upstream_name(take->upstream), &keys);
	if (rc == 0)
		rc = tag_doc_prove(text, len, &keys, &take->tags);
	return rc < 0 ? take_refused(take, path, rc) : 0;
}

static int take_tags_plain(struct take *take, const char *name,
			   const char *path, const char *text, size_t len)
{
	int rc;

	rc = tag_doc_read(text, len, &take->tags);
	if (rc < 0)
		return take_refused(take, path, rc);
	if (strcmp(take->tags.name, name) != 0)
		return take_bad(take, path, -EBADMSG,
				"tags of another package");
	return take->trust ? take_check_age(take, path) : 0;
}

static int take_tags_of(struct take *take, const char *name)
{
	bool is_signed = !upstream_is_unsigned(take->upstream);
	struct layout_path path = layout_tags(take->private, name);
	CLEANUP_FREE void *text = NULL;
	size_t len;
	int rc;

	rc = take_get(take, path.text, DOCUMENT_MAX, &text, &len);
	if (rc < 0)
		return rc;
	if (is_signed && !take->trust)
		return take_tags_hint(take, path.text, text, len);
	if (is_signed) {
		rc = trust_tags(take->trust, upstream_name(take->upstream),
				path.text, name, &take->depot, text, len,
				&take->tags);
		if (rc == 0)
			take_pass_on(take, path.text, text, len);
		return rc;
	}
	return take_tags_plain(take, name, path.text, text, len);
}

/* Everybody's package of that name, or the private one. */
static int take_tags(struct take *take, const char *name)
{
	bool denied;
	int rc = 0;

	if (take->trust && !upstream_is_unsigned(take->upstream))
		rc = take_depot(take);
	if (rc < 0)
		return rc;
	take->private = NULL;
	rc = take_tags_of(take, name);
	if (rc != -ENOENT)
		return rc;
	denied = take->denied;
	take->private = name;
	rc = take_tags_of(take, name);
	/* Who is refused what nobody guards (S3 says so of what is not there)
	 * is told nothing by a second refusal. */
	return rc == -EACCES && denied ? -ENOENT : rc;
}

/* By digest, a revision that no tag names any more may still lie there. */
static int take_choose(struct take *take, const struct package_ref *ref)
{
	take->index_number = TAKE_FIRST_INDEX;
	for (unsigned int i = 0; i < take->tags.count; i++) {
		const struct tag_row *row = &take->tags.rows[i];

		if (ref->by_digest
			? !digest_equal(&row->revision, &ref->revision)
			: strcmp(row->tag, ref->tag) != 0)
			continue;
		take->row = row;
		take->index_number = row->index;
		take->revision = row->revision;
		return 0;
	}
	take->revision = ref->revision;
	return ref->by_digest ? 0 : -ENOENT;
}

/* --- what it names ------------------------------------------------------- */

static int take_revision(struct take *take, const char *name)
{
	struct layout_path path =
	    layout_revision(take->private, &take->revision);
	struct digest found;
	void *text;
	size_t len;
	int rc;

	/* Without a row it is our caller who named it. */
	if (take->row)
		rc = take_get_named(take, path.text, DOCUMENT_MAX, &text, &len);
	else
		rc = take_get(take, path.text, DOCUMENT_MAX, &text, &len);
	if (rc < 0)
		return rc;
	take->json = text;
	found = digest_of(take->json, len);
	if (!digest_equal(&found, &take->revision))
		return take_bad(take, path.text, -EBADMSG,
				"not the revision of that digest");
	rc = revision_read(take->json, len, &take->doc);
	if (rc < 0)
		return take_refused(take, path.text, rc);
	if (strcmp(take->doc.name, name) != 0)
		return take_bad(take, path.text, -EBADMSG,
				"revision of another package");
	if (take->row && !digest_equal(&take->doc.tree, &take->row->tree))
		return take_bad(take, path.text, -EBADMSG,
				"another tree than in the tag document");
	return 0;
}

/* A salted tree where everybody may look is its publisher's mistake, and would
 * not be found where it should be. */
static int take_check_scope(struct take *take, const char *path)
{
	if ((tree_salt(take->tree) != NULL) == (take->private != NULL))
		return 0;
	return take_bad(take, path, -EBADMSG,
			take->private ? "not the tree of a private package"
				      : "the tree of a private package");
}

static int take_tree(struct take *take)
{
	CLEANUP_FREE char *file = layout_host_tree(take->root, &take->doc.tree);
	struct layout_path path = layout_tree(take->private, &take->doc.tree);
	CLEANUP_FREE void *box = NULL;
	const void *bytes;
	size_t len;
	int rc;

	if (!file)
		return -ENOMEM;
	/* Here already, for another tag or revision? */
	if (access(file, R_OK) == 0 &&
	    tree_open_file(file, &take->doc.tree, &take->tree) == 0)
		return take_check_scope(take, file);
	rc = take_get_named(take, path.text, TAKE_BOX_MAX, &box, &len);
	if (rc < 0)
		return rc;
	rc = tree_box_open(box, len, &take->doc.tree, &take->tree);
	if (rc < 0)
		return take_refused(take, path.text, rc);
	rc = take_check_scope(take, path.text);
	if (rc < 0)
		return rc;
	bytes = tree_bytes(take->tree, &len);
	rc = io_replace_file(file, bytes, len);
	if (rc < 0)
		return log_err(rc, "%s: not written", file);
	return 0;
}

static char *take_index_file(const struct take *take, const struct tree *tree)
{
	return take->beside
		   ? layout_host_index_of(take->root, tree_digest(tree),
					  upstream_name(take->upstream))
		   : layout_host_index(take->root, tree_digest(tree));
}

static int take_index(struct take *take, const struct tree *tree)
{
	struct layout_path path =
	    layout_index(take->private, tree_digest(tree), take->index_number);
	CLEANUP_FREE char *file = take_index_file(take, tree);
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	if (!file)
		return -ENOMEM;
	/* Beside, nothing says that it is there. */
	if (take->beside)
		rc = take_get(take, path.text, INDEX_FILE_MAX, &bytes, &len);
	else
		rc = take_get_named(take, path.text, INDEX_FILE_MAX, &bytes,
				    &len);
	if (rc < 0)
		return rc;
	rc = index_open(bytes, len, tree_digest(tree), tree_shard_count(tree),
			&take->index);
	if (rc < 0)
		return take_refused(take, path.text, rc);
	rc = io_replace_file(file, bytes, len);
	if (rc < 0)
		return log_err(rc, "%s: not written", file);
	return 0;
}

/* The plan beside the index, when there is one: a hint, so whatever is wrong
 * with it is no reason not to have the package.  What was made here stays. */
static void take_plan(struct take *take)
{
	const struct digest *tree = tree_digest(take->tree);
	uint32_t shards = tree_shard_count(take->tree);
	struct layout_path path =
	    layout_plan(take->private, tree, take->index_number);
	struct plan_row row = {.kind = PLAN_KIND_TAKEN,
			       .number = take->index_number},
			old;
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	bool ours;

	if (take_get(take, path.text, PLAN_FILE_MAX, &bytes, &len) < 0)
		return;
	ours = plan_rows_get(take->state, tree, shards, &old) == 0 &&
	       old.kind != PLAN_KIND_TAKEN;
	plan_clear(&old.plan);
	if (ours)
		return;
	if (plan_read(bytes, len, tree, shards, &row.plan) == 0 &&
	    plan_rows_put(take->state, &row) == 0)
		log_debug("upstream %s: %s: a plan of %u shards",
			  upstream_name(take->upstream), path.text,
			  row.plan.count);
	else
		log_warn("upstream %s: %s: not used",
			 upstream_name(take->upstream), path.text);
	plan_clear(&row.plan);
}

/* --- keeping ------------------------------------------------------------- */

/* What the document says holds for all of its packages. */
static int take_entitled(struct take *take, struct kv_batch *batch)
{
	struct package_entitled entitled = {
	    .is_restricted = take->tags.is_restricted,
	    .tenants = take->tags.entitled, /* borrowed */
	    .count = take->tags.entitled_count,
	};

	return entitle_put(batch, take->tags.name,
			   upstream_name(take->upstream), &entitled);
}

static void take_fill_batch(struct take *take, struct kv_batch *batch,
			    const struct registry_origin *origin)
{
	struct registry_tag tag = {
	    .revision = take->revision,
	    .tree = take->doc.tree,
	    .time_sec = time(NULL),
	};

	registry_revision_put(batch, &take->revision, take->json);
	registry_origin_put(batch, &take->doc.tree, origin);
	if (!take->row)
		return;
	memcpy(tag.name, take->doc.name, sizeof(tag.name));
	memcpy(tag.tag, take->row->tag, sizeof(tag.tag));
	snprintf(tag.upstream, sizeof(tag.upstream), "%s", origin->upstream);
	registry_tag_put(batch, &tag);
}

static int take_commit(struct take *take)
{
	struct registry_origin origin = {.sequence = 0}, seen;
	struct kv_batch *batch;
	int rc;

	snprintf(origin.upstream, sizeof(origin.upstream), "%s",
		 upstream_name(take->upstream));
	if (take->private)
		snprintf(origin.package, sizeof(origin.package), "%s",
			 take->private);
	origin.sequence = take->tags.sequence;
	rc = registry_origin_get(take->state, &take->doc.tree, &seen);
	if (rc == 0 && strcmp(seen.upstream, origin.upstream) == 0)
		origin.sequence = MAX(origin.sequence, seen.sequence);
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	take_fill_batch(take, batch, &origin);
	rc = take_entitled(take, batch);
	if (!upstream_is_unsigned(take->upstream))
		trust_accept(take->trust, batch, origin.upstream, &take->depot,
			     &take->tags);
	if (rc == 0)
		rc = registry_commit(take->state, batch);
	kv_batch_free(batch);
	return rc;
}

int take_package(struct kv *state, const char *root, struct trust *trust,
		 struct upstream *upstream, const struct package_ref *ref,
		 struct digest *tree)
{
	CLEANUP(take_clear)
	struct take take = {.state = state,
			    .root = root,
			    .trust = trust,
			    .upstream = upstream,
			    .tries = UPSTREAM_TRIES};
	int rc;

	rc = take_tags(&take, ref->name);
	if (rc == 0)
		rc = take_choose(&take, ref);
	if (rc == 0)
		rc = take_revision(&take, ref->name);
	if (rc == 0)
		rc = take_tree(&take);
	if (rc == 0)
		rc = take_index(&take, take.tree);
	if (rc == 0)
		rc = take_commit(&take);
	if (rc < 0)
		return rc;
	take_plan(&take);
	*tree = take.doc.tree;
	return 0;
}

/* --- the tree alone, the index alone ------------------------------------- */

int take_tree_again(const char *root, struct upstream *upstream,
		    const char *private, const struct digest *tree,
		    struct tree **opened)
{
	CLEANUP(take_clear)
	struct take take = {.root = root,
			    .upstream = upstream,
			    .tries = UPSTREAM_TRIES,
			    .private = private,
			    .doc.tree = *tree};
	int rc;

	rc = take_tree(&take);
	if (rc == 0)
		*opened = STEAL(take.tree);
	return rc;
}

struct take_names {
	const struct digest *tree;
	char name[PACKAGE_NAME_MAX + 1];
};

static int take_names_visit(void *ctx, const struct registry_tag *row)
{
	struct take_names *names = ctx;

	if (!digest_equal(&row->tree, names->tree))
		return 0;
	memcpy(names->name, row->name, sizeof(names->name));
	return 1;
}

static int take_index_anew(struct kv *state, const char *root,
			   struct upstream *upstream, bool beside,
			   const struct tree *tree, struct index **index)
{
	CLEANUP(take_clear)
	struct take take = {.state = state,
			    .root = root,
			    .upstream = upstream,
			    .tries = 1,
			    .beside = beside,
			    .index_number = TAKE_FIRST_INDEX};
	struct take_names names = {.tree = tree_digest(tree)};
	struct registry_origin origin;
	int rc;

	rc = registry_origin_get(state, tree_digest(tree), &origin);
	if (rc < 0)
		return rc;
	if (origin.package[0])
		take.private = origin.package;
	rc = registry_tag_list(state, NULL, take_names_visit, &names);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		rc = take_tags_of(&take,
				  take.private ? take.private : names.name);
		if (rc < 0)
			return rc;
	}
	for (unsigned int i = 0; i < take.tags.count; i++)
		if (digest_equal(&take.tags.rows[i].tree, tree_digest(tree)))
			take.index_number = take.tags.rows[i].index;
	rc = take_index(&take, tree);
	if (rc < 0)
		return rc;
	*index = STEAL(take.index);
	return 0;
}

int take_index_again(struct kv *state, const char *root,
		     struct upstream *upstream, const struct tree *tree,
		     struct index **index)
{
	return take_index_anew(state, root, upstream, false, tree, index);
}

int take_index_beside(struct kv *state, const char *root,
		      struct upstream *upstream, const struct tree *tree,
		      struct index **index)
{
	return take_index_anew(state, root, upstream, true, tree, index);
}

int take_index_kept(const char *root, const char *upstream,
		    const struct tree *tree, struct index **index)
{
	CLEANUP_FREE char *file =
	    layout_host_index_of(root, tree_digest(tree), upstream);
	CLEANUP_FREE void *bytes = NULL;
	size_t len;
	int rc;

	if (!file)
		return -ENOMEM;
	rc = io_read_file(file, INDEX_FILE_MAX, &bytes, &len);
	return rc < 0 ? rc
		      : index_open(bytes, len, tree_digest(tree),
				   tree_shard_count(tree), index);
}
