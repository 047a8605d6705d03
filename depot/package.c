/* SPDX-License-Identifier: Apache-2.0 */
/*
 * package: what this host knows of packages: tags, revisions, their trees; and
 * how it comes to know of them, by commit or from upstream.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "depot/document.h"
#include "depot/format.h"
#include "depot/inside.h"
#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/registry.h"
#include "depot/take.h"
#include "depot/trust.h"

/* --- looking ------------------------------------------------------------- */

/*
 * Is the tree on this host, and how many shards has it?  The header only: a
 * listing of a thousand packages must not map a thousand trees.  What uses the
 * tree proves it.
 */
static int package_look_at_tree(struct depot *depot, struct package_info *info)
{
	CLEANUP_FREE char *path = layout_host_tree(depot->path, &info->tree);
	struct format_tree_header header;
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 ||
	    io_pread_all(fd, &header, sizeof(header), 0) < 0 ||
	    memcmp(header.magic, FORMAT_TREE_MAGIC, 8) != 0 ||
	    le64_get(&header.file_len_le) != (uint64_t)st.st_size)
		return 0;
	info->tree_here = true;
	info->shard_count = le32_get(&header.shard_count_le);
	return 0;
}

/* All but name, tag, time and upstream, from the revision. */
static int package_fill(struct depot *depot, const struct digest *revision,
			struct package_info *info)
{
	CLEANUP(revision_doc_clear) struct revision_doc doc = {0};
	CLEANUP_FREE char *json = NULL;
	int rc;

	rc = registry_revision_get(depot->state, revision, &json);
	if (rc < 0)
		return rc;
	rc = revision_read(json, strlen(json), &doc);
	if (rc < 0)
		return rc;
	memcpy(info->name, doc.name, sizeof(info->name));
	memcpy(info->version, doc.version, sizeof(info->version));
	info->revision = *revision;
	info->tree = doc.tree;
	info->files = doc.files;
	info->content_len = doc.content_len;
	return package_look_at_tree(depot, info);
}

static int package_fill_tagged(struct depot *depot,
			       const struct registry_tag *row,
			       struct package_info *info)
{
	int rc;

	memset(info, 0, sizeof(*info));
	rc = package_fill(depot, &row->revision, info);
	if (rc == -ENOENT)
		rc = log_err(-EBADMSG, "%s:%s: its revision is missing",
			     row->name, row->tag);
	if (rc < 0)
		return rc;
	if (strcmp(info->name, row->name) != 0)
		return log_err(-EBADMSG, "%s:%s: its revision is of %s",
			       row->name, row->tag, info->name);
	memcpy(info->tag, row->tag, sizeof(info->tag));
	memcpy(info->upstream, row->upstream, sizeof(info->upstream));
	info->time_sec = row->time_sec;
	return 0;
}

static int package_get_by_digest(struct depot *depot,
				 const struct package_ref *ref,
				 struct package_info *info)
{
	struct registry_origin origin;
	int rc;

	memset(info, 0, sizeof(*info));
	rc = package_fill(depot, &ref->revision, info);
	if (rc < 0)
		return rc;
	if (strcmp(info->name, ref->name) != 0)
		return -ENOENT;
	rc = registry_origin_get(depot->state, &info->tree, &origin);
	if (rc == 0)
		memcpy(info->upstream, origin.upstream, sizeof(info->upstream));
	return rc == -ENOENT ? 0 : rc;
}

int depot_package_get(struct depot *depot, const struct package_ref *ref,
		      struct package_info *info)
{
	struct registry_tag row;
	int rc;

	if (ref->by_digest)
		return package_get_by_digest(depot, ref, info);
	rc = registry_tag_get(depot->state, ref->name, ref->tag, &row);
	return rc < 0 ? rc : package_fill_tagged(depot, &row, info);
}

struct package_visit {
	struct depot *depot;
	int (*visit)(void *ctx, const struct package_info *info);
	void *ctx;
};

static int package_visit(void *ctx, const struct registry_tag *row)
{
	struct package_visit *v = ctx;
	struct package_info info;
	int rc;

	rc = package_fill_tagged(v->depot, row, &info);
	return rc < 0 ? rc : v->visit(v->ctx, &info);
}

int depot_package_list(struct depot *depot,
		       int (*visit)(void *ctx, const struct package_info *info),
		       void *ctx)
{
	struct package_visit v = {depot, visit, ctx};

	return registry_tag_list(depot->state, NULL, package_visit, &v);
}

int depot_revision_json(struct depot *depot, const struct digest *revision,
			char **json)
{
	return registry_revision_get(depot->state, revision, json);
}

int depot_revision_base(struct depot *depot, const struct digest *revision,
			char **base, char **os)
{
	CLEANUP(revision_doc_clear) struct revision_doc doc = {0};
	CLEANUP_FREE char *json = NULL;
	int rc;

	*base = *os = NULL;
	rc = registry_revision_get(depot->state, revision, &json);
	if (rc == 0)
		rc = revision_read(json, strlen(json), &doc);
	if (rc < 0)
		return rc;
	*os = revision_os(&doc);
	*base = STEAL(doc.base);
	return 0;
}

/* --- resolving ----------------------------------------------------------- */

static void package_ref_text(const struct package_ref *ref, char *text,
			     size_t cap)
{
	char hex[DIGEST_HEX_LEN + 1];

	if (ref->by_digest) {
		digest_to_hex(&ref->revision, hex);
		snprintf(text, cap, "%s@sha256:%s", ref->name, hex);
	} else {
		snprintf(text, cap, "%s:%s", ref->name, ref->tag);
	}
}

/* Which of two failures tells the operator more: our own trouble first. */
static unsigned int package_badness(int rc)
{
	static const int order[] = {-ENOENT, -EHOSTUNREACH, -EACCES, -EBADMSG,
				    -EPROTONOSUPPORT};
	unsigned int i = 0;

	while (i < ARRAY_LEN(order) && rc != order[i])
		i++;
	return i;
}

static int package_worse(int a, int b)
{
	return package_badness(a) >= package_badness(b) ? a : b;
}

/*
 * What one upstream does not have, or does not say, is that upstream's fault
 * alone: the next is asked.  from NULL: all.
 */
static int package_take(struct depot *depot, const struct package_ref *ref,
			const char *from)
{
	struct upstream *all[UPSTREAMS_MAX];
	struct trust *trust = upstreams_trust(depot->upstreams);
	unsigned int count;
	int rc = -ENOENT, worst = -ENOENT;
	struct digest tree;
	uint64_t lease;

	/* A tree that is here must not go before it is named. */
	rc = depot_lease_open(depot, 0, &lease);
	if (rc < 0)
		return rc;
	count = upstreams_all(depot->upstreams, all);
	rc = -ENOENT;

	for (unsigned int i = 0; i < count; i++) {
		if (rc < 0 &&
		    (!from || strcmp(from, upstream_name(all[i])) == 0)) {
			rc = take_package(depot->state, depot->path, trust,
					  all[i], ref, &tree);
			worst = package_worse(worst, rc);
		}
		upstream_put(all[i]);
	}
	depot_lease_close(depot, lease, true);
	if (rc < 0)
		return worst;
	fetch_forget(depot->fetch, &tree);
	evict_kept_changed(depot->evict);
	return 0;
}

static int package_take_told(struct depot *depot, const struct package_ref *ref,
			     const char *from, struct package_info *info)
{
	char text[PACKAGE_NAME_MAX + TAG_NAME_MAX + 16];
	int rc;

	log_clear_last_error();
	rc = package_take(depot, ref, from);
	if (rc == 0)
		return depot_package_get(depot, ref, info);
	package_ref_text(ref, text, sizeof(text));
	if (rc == -ENOENT && from)
		log_err(0, "%s: upstream %s has no such package", text, from);
	else if (rc == -ENOENT)
		log_err(0, "%s: not on this host, and no upstream has it",
			text);
	else if (log_last_error()[0] == '\0')
		log_err(rc, "%s", text);
	return rc;
}

int depot_package_pull(struct depot *depot, const struct package_ref *ref,
		       const char *upstream, struct package_info *info)
{
	struct upstream *found;

	if (upstream) {
		found = upstreams_find(depot->upstreams, upstream);
		if (!found)
			return log_err(-ENOENT, "upstream %s", upstream);
		upstream_put(found);
	}
	return package_take_told(depot, ref, upstream, info);
}

int depot_package_resolve(struct depot *depot, const struct package_ref *ref,
			  struct package_info *info)
{
	int rc;

	rc = depot_package_get(depot, ref, info);
	if (rc == 0 && info->tree_here)
		return 0;
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return package_take_told(depot, ref, NULL, info);
}

/* --- commit -------------------------------------------------------------- */

/* All here, and none of them to be collected until the lease is closed. */
static int package_check_shards(struct depot *depot, struct tree *tree,
				uint64_t lease)
{
	char hex[DIGEST_HEX_LEN + 1];

	for (uint32_t i = 0; i < tree_shard_count(tree); i++) {
		const struct digest *name = tree_shard_name(tree, i);
		bool here = false;
		int rc;

		rc = depot_shard_have(depot, lease, name, &here);
		if (rc < 0)
			return rc;
		if (here)
			continue;
		digest_to_hex(name, hex);
		return log_err(-ENODATA, "shard %s of the package is not here",
			       hex);
	}
	return 0;
}

static int package_write_tree(struct depot *depot, const struct tree *tree)
{
	CLEANUP_FREE char *path =
	    layout_host_tree(depot->path, tree_digest(tree));
	const void *bytes;
	size_t len;
	int rc;

	if (!path)
		return -ENOMEM;
	bytes = tree_bytes(tree, &len);
	rc = io_replace_file(path, bytes, len);
	return rc < 0 ? log_err(rc, "%s: not written", path) : 0;
}

static int package_write_rows(struct depot *depot,
			      const struct registry_tag *row, const char *json)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	registry_revision_put(batch, &row->revision, json);
	registry_tag_put(batch, row);
	rc = registry_commit(depot->state, batch);
	kv_batch_free(batch);
	return rc;
}

static int package_check_json(const char *name, const char *tag,
			      const char *json, const struct tree *tree)
{
	CLEANUP(revision_doc_clear) struct revision_doc doc = {0};
	int rc;

	if (!depot_name_ok(name) || !depot_tag_ok(tag))
		return log_err(-EINVAL, "%.64s:%.128s: bad name or tag", name,
			       tag);
	rc = revision_read(json, strlen(json), &doc);
	if (rc < 0)
		return rc;
	if (strcmp(doc.name, name) != 0 ||
	    !digest_equal(&doc.tree, tree_digest(tree)))
		return log_err(-EINVAL,
			       "%s:%s: revision of another name or tree", name,
			       tag);
	return 0;
}

/* Data before the pointer to it: shards, tree, rows. */
static int package_keep(struct depot *depot, const struct registry_tag *row,
			const char *json, struct tree *tree, uint64_t lease)
{
	int rc;

	/* Before the flush: what it wrote is what we count on.  After it: a
	 * database that was opened again may have lost some. */
	rc = package_check_shards(depot, tree, lease);
	if (rc == 0)
		rc = store_flush(depot->store);
	if (rc == 0)
		rc = package_check_shards(depot, tree, lease);
	if (rc == 0)
		rc = package_write_tree(depot, tree);
	KILL_POINT("package-tree");
	if (rc == 0)
		rc = package_write_rows(depot, row, json);
	return rc;
}

int depot_package_commit(struct depot *depot, const char *name, const char *tag,
			 const char *json, struct tree *tree,
			 struct digest *revision)
{
	struct registry_tag row = {.time_sec = time(NULL)};
	uint64_t lease = 0;
	int rc;

	rc = package_check_json(name, tag, json, tree);
	if (rc < 0)
		return rc;
	snprintf(row.name, sizeof(row.name), "%s", name);
	snprintf(row.tag, sizeof(row.tag), "%s", tag);
	row.revision = digest_of(json, strlen(json));
	row.tree = *tree_digest(tree);
	rc = depot_lease_open(depot, 0, &lease);
	if (rc == 0)
		rc = package_keep(depot, &row, json, tree, lease);
	depot_lease_close(depot, lease, true);
	if (rc < 0)
		return rc;
	evict_kept_changed(depot->evict);
	*revision = row.revision;
	return 0;
}

int depot_package_tag(struct depot *depot, const struct package_info *info,
		      const char *tag)
{
	struct registry_tag row = {
	    .revision = info->revision,
	    .tree = info->tree,
	    .time_sec = time(NULL),
	};
	CLEANUP_FREE char *json = NULL;
	struct kv_batch *batch;
	int rc;

	if (!depot_tag_ok(tag))
		return -EINVAL;
	rc = depot_revision_json(depot, &info->revision, &json);
	if (rc < 0)
		return rc;
	memcpy(row.name, info->name, sizeof(row.name));
	memcpy(row.upstream, info->upstream, sizeof(row.upstream));
	snprintf(row.tag, sizeof(row.tag), "%s", tag);
	batch = kv_batch_new();
	if (!batch)
		return -ENOMEM;
	registry_tag_put(batch, &row);
	rc = registry_commit(depot->state, batch);
	kv_batch_free(batch);
	return rc;
}
