/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_package: packages, trees and shards through the admin API.
 */
#include <microhttpd.h>

#include "depot/depot.h"
#include "depot/document.h"
#include "depot/gc.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "nfsd/control_request.h"

enum {
	CONTROL_REF_MAX = PACKAGE_NAME_MAX + TAG_NAME_MAX + DIGEST_HEX_LEN + 16,
	CONTROL_HELD_BYTES_MAX = 1 << 30,
};

/* --- packages ------------------------------------------------------------ */

json_t *control_package_json(const struct package_info *info)
{
	char revision[DIGEST_HEX_LEN + 1], tree[DIGEST_HEX_LEN + 1];

	digest_to_hex(&info->revision, revision);
	digest_to_hex(&info->tree, tree);
	return json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:s, s:o}", "name",
	    info->name, "tag", info->tag, "version", info->version, "revision",
	    revision, "tree", tree, "files", (json_int_t)info->files,
	    "content_len", (json_int_t)info->content_len, "shards",
	    (json_int_t)info->shard_count, "tree_here", (int)info->tree_here,
	    "upstream", info->upstream, "time", control_time(info->time_sec));
}

struct control_packages {
	struct depot *depot;
	json_t *list;
};

static int control_package_visit(void *ctx, const struct package_info *info)
{
	struct control_packages *packages = ctx;
	json_t *json = control_package_json(info);

	control_pinned(packages->depot, info, json);
	return json && json_array_append_new(packages->list, json) == 0
		   ? 0
		   : -ENOMEM;
}

int control_package_list(struct control_request *req)
{
	json_t *list = json_array();
	struct control_packages packages = {req->control->daemon.depot, list};
	int rc;

	if (!list)
		return -ENOMEM;
	rc = depot_package_list(packages.depot, control_package_visit,
				&packages);
	if (rc < 0) {
		json_decref(list);
		return control_fail(req, rc, NULL, "cannot list packages");
	}
	return control_answer(req,
			      json_pack("{s:s, s:o}", "schema",
					"package-list/1", "packages", list));
}

int control_param_ref(struct control_request *req, const char **text,
		      struct package_ref *ref)
{
	int rc;

	rc = control_param(req, "ref", CONTROL_REF_MAX, text);
	if (rc < 0)
		return rc;
	if (package_ref_parse(*text, ref) == 0)
		return 0;
	return control_refuse(req, -EINVAL, "vdrive package list",
			      "\"%s\" is no package reference (NAME, NAME:TAG "
			      "or NAME@sha256:HEX)",
			      *text);
}

int control_package_of(struct control_request *req, const char *text,
		       const struct package_ref *ref, struct package_info *info)
{
	int rc = depot_package_get(req->control->daemon.depot, ref, info);

	if (rc == -ENOENT)
		return control_refuse(req, rc, "vdrive package list",
				      "package \"%s\" is not in this depot",
				      text);
	return rc < 0 ? control_fail(req, rc, NULL, "package \"%s\"", text) : 0;
}

int control_package_get(struct control_request *req)
{
	CLEANUP_FREE char *text = NULL;
	struct package_info info;
	struct package_ref ref;
	const char *name;
	json_t *json;
	int rc;

	rc = control_param_ref(req, &name, &ref);
	if (rc < 0)
		return rc;
	rc = control_package_of(req, name, &ref, &info);
	if (rc < 0)
		return rc;
	rc = depot_revision_json(req->control->daemon.depot, &info.revision,
				 &text);
	if (rc < 0)
		return control_fail(req, rc, NULL, "package \"%s\"", name);
	json = control_package_json(&info);
	if (!json)
		return -ENOMEM;
	control_pinned(req->control->daemon.depot, &info, json);
	json_object_set_new(json, "schema", json_string("package-show/1"));
	json_object_set_new(json, "revision_json", json_string(text));
	rc = control_entitled_show(req, &info, json);
	if (rc < 0) {
		json_decref(json);
		return rc;
	}
	return control_answer(req, json);
}

/* --- trees held until their package is committed ------------------------- */

void control_trees_drop(struct control *control)
{
	for (size_t i = 0; i < ARRAY_LEN(control->held); i++) {
		tree_put(control->held[i].tree);
		control->held[i].tree = NULL;
	}
}

static struct control_held *control_held_find(struct control *control,
					      const struct digest *digest)
{
	struct control_held *held = control->held;

	for (size_t i = 0; i < ARRAY_LEN(control->held); i++)
		if (held[i].tree &&
		    digest_equal(tree_digest(held[i].tree), digest))
			return &held[i];
	return NULL;
}

static size_t control_held_bytes(const struct control *control)
{
	size_t len, total = 0;

	for (size_t i = 0; i < ARRAY_LEN(control->held); i++) {
		if (!control->held[i].tree)
			continue;
		tree_bytes(control->held[i].tree, &len);
		total += len;
	}
	return total;
}

/* An empty place: creators that died leave trees behind, the oldest goes. */
static struct control_held *control_held_room(struct control *control,
					      size_t len)
{
	struct control_held *held, *oldest;

	for (;;) {
		oldest = NULL;
		held = NULL;
		for (size_t i = 0; i < ARRAY_LEN(control->held); i++) {
			struct control_held *h = &control->held[i];

			if (!h->tree)
				held = h;
			else if (!oldest || h->serial < oldest->serial)
				oldest = h;
		}
		if (held && (!oldest || control_held_bytes(control) + len <=
					    CONTROL_HELD_BYTES_MAX))
			return held;
		tree_put(oldest->tree);
		oldest->tree = NULL;
	}
}

int control_tree_hold(struct control_request *req)
{
	struct control *control = req->control;
	struct control_held *held;
	char hex[DIGEST_HEX_LEN + 1];
	struct tree *tree;
	int rc;

	rc = tree_open_memory(req->body, req->body_len, NULL, &tree);
	if (rc < 0)
		return control_fail(req, rc, NULL, "the tree sent is refused");
	digest_to_hex(tree_digest(tree), hex);
	if (control_held_find(control, tree_digest(tree))) {
		tree_put(tree);
	} else {
		held = control_held_room(control, req->body_len);
		held->tree = tree;
		held->serial = ++control->held_serial;
	}
	return control_answer(req, json_pack("{s:s}", "tree", hex));
}

int control_tree_get(struct control_request *req)
{
	struct control_reply *reply = &req->reply;
	struct digest digest;
	struct tree *tree;
	char hex[DIGEST_HEX_LEN + 1];
	int rc;

	rc = control_param_digest(req, "digest", &digest);
	if (rc < 0)
		return rc;
	digest_to_hex(&digest, hex);
	rc = depot_tree_get(req->control->daemon.depot, &digest, &tree);
	if (rc < 0)
		return control_fail(req, rc, NULL, "tree %s", hex);
	reply->status = MHD_HTTP_OK;
	reply->tree = tree;
	/* MHD's parameter is not const, but it only reads. */
	reply->bytes = (void *)(uintptr_t)tree_bytes(tree, &reply->len);
	return 0;
}

/* --- commit -------------------------------------------------------------- */

struct control_commit {
	const char *name, *tag; /* borrow from the request */
	struct digest tree;
	char *json; /* owns */
};

static void control_commit_clear(struct control_commit *commit)
{
	free(commit->json);
}

static int control_commit_params(struct control_request *req,
				 struct control_commit *commit)
{
	int rc;

	rc = control_param(req, "name", PACKAGE_NAME_MAX, &commit->name);
	if (rc < 0)
		return rc;
	rc = control_param(req, "tag", TAG_NAME_MAX, &commit->tag);
	if (rc < 0)
		return rc;
	rc = control_param_digest(req, "tree", &commit->tree);
	if (rc < 0)
		return rc;
	if (!depot_name_ok(commit->name))
		return control_refuse(req, -EINVAL, NULL,
				      "\"%s\" is no package name",
				      commit->name);
	if (!depot_tag_ok(commit->tag))
		return control_refuse(req, -EINVAL, NULL, "\"%s\" is no tag",
				      commit->tag);
	return 0;
}

/* The tag of profiles is theirs: packages that a guest may be given beside its
 * tenant's. */
static int control_commit_profile(struct control_request *req,
				  const struct control_commit *commit,
				  const struct revision_doc *doc)
{
	json_t *records =
	    doc->records ? json_loads(doc->records, 0, NULL) : NULL;
	bool is = json_object_get(records, "profile") != NULL;

	json_decref(records);
	if (is == (strcmp(commit->tag, CONTROL_PROFILE_TAG) == 0))
		return 0;
	return control_refuse(
	    req, -EINVAL, is ? "tag " CONTROL_PROFILE_TAG : "another tag",
	    "%s:%s: the tag \"" CONTROL_PROFILE_TAG "\" is for profiles",
	    commit->name, commit->tag);
}

/* The revision must be of this package and tree: it is what gets signed. */
static int control_commit_check(struct control_request *req,
				struct control_commit *commit)
{
	struct revision_doc doc;
	bool same;
	int rc;

	commit->json = strndup((const char *)req->body, req->body_len);
	if (!commit->json)
		return -ENOMEM;
	rc = revision_read(commit->json, req->body_len, &doc);
	if (rc < 0)
		return control_fail(req, rc, NULL, "revision of %s:%s",
				    commit->name, commit->tag);
	same = strcmp(doc.name, commit->name) == 0 &&
	       digest_equal(&doc.tree, &commit->tree);
	rc = same ? control_commit_profile(req, commit, &doc) : 0;
	revision_doc_clear(&doc);
	if (rc < 0)
		return rc;
	if (!same)
		return control_refuse(req, -EBADMSG, NULL,
				      "revision of %s:%s: it is of another "
				      "package or tree",
				      commit->name, commit->tag);
	return 0;
}

/* *same: the tag names this very revision already. */
static int control_commit_tag(struct control_request *req,
			      const struct control_commit *commit, bool *same)
{
	struct digest revision = digest_of(commit->json, req->body_len);
	struct package_ref ref = {.by_digest = false};
	struct package_info info;
	char hex[DIGEST_HEX_LEN + 1];
	int rc;

	memcpy(ref.name, commit->name, strlen(commit->name) + 1);
	memcpy(ref.tag, commit->tag, strlen(commit->tag) + 1);
	*same = false;
	rc = depot_package_get(req->control->daemon.depot, &ref, &info);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return control_fail(req, rc, NULL, "package %s:%s",
				    commit->name, commit->tag);
	*same = digest_equal(&info.revision, &revision) && info.tree_here;
	if (digest_equal(&info.revision, &revision))
		return 0;
	digest_to_hex(&info.revision, hex);
	hex[12] = '\0';
	return control_refuse(req, -EEXIST, "another tag",
			      "%s:%s exists with another content (sha256:%s)",
			      commit->name, commit->tag, hex);
}

static int control_commit_tree(struct control_request *req,
			       const struct control_commit *commit,
			       struct digest *revision)
{
	struct control *control = req->control;
	struct control_held *held = control_held_find(control, &commit->tree);
	struct tree *tree;
	int rc;

	if (held) {
		tree = tree_get(held->tree);
	} else {
		rc =
		    depot_tree_get(control->daemon.depot, &commit->tree, &tree);
		if (rc < 0)
			return control_fail(req, rc, NULL,
					    "tree of %s:%s has not been sent",
					    commit->name, commit->tag);
	}
	rc = depot_package_commit(control->daemon.depot, commit->name,
				  commit->tag, commit->json, tree, revision);
	if (rc < 0)
		control_fail(req, rc, NULL, "cannot store %s:%s", commit->name,
			     commit->tag);
	if (rc == 0 && held) {
		tree_put(held->tree);
		held->tree = NULL;
	}
	tree_put(tree);
	return rc;
}

int control_package_commit(struct control_request *req)
{
	CLEANUP(control_commit_clear) struct control_commit commit = {0};
	char hex[DIGEST_HEX_LEN + 1];
	struct digest revision;
	bool same;
	int rc;

	if (req->body_len == 0 || req->body_len > DOCUMENT_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "the revision is empty or too long");
	rc = control_commit_params(req, &commit);
	if (rc < 0)
		return rc;
	rc = control_commit_check(req, &commit);
	if (rc < 0)
		return rc;
	rc = control_commit_tag(req, &commit, &same);
	if (rc < 0)
		return rc;
	if (same)
		revision = digest_of(commit.json, req->body_len);
	else
		rc = control_commit_tree(req, &commit, &revision);
	if (rc < 0)
		return rc;
	digest_to_hex(&revision, hex);
	return control_answer(req, json_pack("{s:s, s:b}", "revision", hex,
					     "created", (int)!same));
}

/* --- shards -------------------------------------------------------------- */

int control_shards_have(struct control_request *req)
{
	struct depot *depot = req->control->daemon.depot;
	size_t count = req->body_len / DIGEST_LEN;
	uint64_t lease = 0;
	struct digest name;
	char *here;
	bool is = false;
	int rc;

	rc = control_param_number(req, "lease", INT64_MAX, &lease);
	if (rc < 0)
		return rc;
	if (req->body_len % DIGEST_LEN != 0)
		return control_refuse(req, -EINVAL, NULL,
				      "shards/have: names are of %d bytes",
				      DIGEST_LEN);
	here = malloc(count + 1);
	if (!here)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		memcpy(name.bytes, req->body + i * DIGEST_LEN, DIGEST_LEN);
		rc = depot_shard_have(depot, lease, &name, &is);
		if (rc < 0) {
			free(here);
			return control_fail(req, rc, "the same again",
					    "shards/have");
		}
		here[i] = is ? '1' : '0';
	}
	return control_answer_bytes(req, here, count);
}

static int control_frame_put(struct control_request *req, uint64_t lease,
			     const uint8_t *salt, const uint8_t *frame,
			     size_t len, bool *added)
{
	char hex[DIGEST_HEX_LEN + 1];
	struct digest name;
	int rc;

	memcpy(name.bytes, frame, DIGEST_LEN);
	rc = depot_shard_put_under(req->control->daemon.depot, lease, salt,
				   &name, frame + CONTROL_FRAME_HEADER, len,
				   added);
	if (rc == 0)
		return 0;
	digest_to_hex(&name, hex);
	return control_fail(req, rc, rc == -ESTALE ? "the same again" : NULL,
			    "cannot store shard %s", hex);
}

int control_shards_put(struct control_request *req)
{
	json_int_t added_count = 0, added_bytes = 0;
	const uint8_t *salt = NULL;
	struct digest salt_param;
	size_t off = 0, len;
	uint64_t lease = 0;
	bool added;
	int rc;

	rc = control_param_number(req, "lease", INT64_MAX, &lease);
	if (rc < 0)
		return rc;
	if (control_param_text(req, "salt")) {
		rc = control_param_digest(req, "salt", &salt_param);
		if (rc < 0)
			return rc;
		salt = salt_param.bytes;
	}
	while (off < req->body_len) {
		len = 0;
		if (req->body_len - off >= CONTROL_FRAME_HEADER)
			len = le32_get(req->body + off + DIGEST_LEN);
		if (len == 0 || len > SHARD_MAX ||
		    len > req->body_len - off - CONTROL_FRAME_HEADER)
			return control_refuse(req, -EINVAL, NULL,
					      "shards/put: no frame at byte "
					      "%zu of %zu",
					      off, req->body_len);
		rc = control_frame_put(req, lease, salt, req->body + off, len,
				       &added);
		if (rc < 0)
			return rc;
		if (added) {
			added_count++;
			added_bytes += (json_int_t)len;
		}
		off += CONTROL_FRAME_HEADER + len;
	}
	return control_answer(req, json_pack("{s:I, s:I}", "added", added_count,
					     "bytes_added", added_bytes));
}

/* A shard that is only upstream, or damaged here: the read path fetches and
 * proves it; what we send is sealed anew from that chunk. */
static int control_shard_fetch(struct depot *depot, struct tree *tree,
			       uint32_t shard, size_t chunk_len, void **bytes,
			       size_t *len)
{
	CLEANUP_FREE struct depot_read *read = calloc(1, sizeof(*read));
	CLEANUP_FREE uint8_t *out = malloc(SHARD_MAX);
	int rc;

	if (!read || !out)
		return -ENOMEM;
	read->piece[0].tree = tree;
	read->piece[0].shard = shard;
	read->count = 1;
	rc = depot_read_wait(depot, read);
	if (rc == 0)
		rc = shard_seal(chunk_data(read->piece[0].chunk), chunk_len,
				SHARD_LEVEL_CREATE, out, SHARD_MAX, len);
	depot_read_release(depot, read);
	if (rc == 0)
		*bytes = STEAL(out);
	return rc;
}

/* Lengths of a tree's chunks by shard number, as its files say; malloc'ed. */
static uint32_t *control_chunk_lens(const struct tree *tree)
{
	uint32_t *lens =
	    calloc((size_t)tree_shard_count(tree) + 1, sizeof(*lens));
	struct tree_inode inode;
	struct tree_chunk chunk;

	for (uint32_t i = 0; lens && i < tree_inode_count(tree); i++) {
		tree_inode_get(tree, i, &inode);
		for (uint32_t c = 0; S_ISREG(inode.mode) && c < inode.count;
		     c++) {
			tree_chunk_get(tree, i, c, &chunk);
			if (chunk.shard != TREE_HOLE)
				lens[chunk.shard] = chunk.len;
		}
	}
	return lens;
}

struct control_frames {
	struct tree *tree;    /* ref */
	uint32_t *chunk_lens; /* owns; made when first needed */
	uint8_t *bytes;       /* owns */
	size_t len, cap;
};

static void control_frames_clear(struct control_frames *frames)
{
	tree_put(frames->tree);
	free(frames->chunk_lens);
	free(frames->bytes);
}

static int control_frames_read(struct control_request *req,
			       struct control_frames *frames, uint32_t shard,
			       void **bytes, size_t *len)
{
	struct depot *depot = req->control->daemon.depot;
	int rc;

	rc = depot_shard_get(depot, tree_salt(frames->tree),
			     tree_shard_name(frames->tree, shard), bytes, len);
	if (rc != -ENOENT && rc != -EBADMSG)
		return rc;
	if (!frames->chunk_lens)
		frames->chunk_lens = control_chunk_lens(frames->tree);
	if (!frames->chunk_lens)
		return -ENOMEM;
	return control_shard_fetch(depot, frames->tree, shard,
				   frames->chunk_lens[shard], bytes, len);
}

static int control_frames_add(struct control_request *req,
			      struct control_frames *frames, uint32_t shard)
{
	CLEANUP_FREE void *bytes = NULL;
	char hex[DIGEST_HEX_LEN + 1];
	size_t len = 0, want;
	uint8_t *p;
	int rc;

	if (shard >= tree_shard_count(frames->tree))
		return control_refuse(req, -EINVAL, NULL,
				      "shards/get: the tree has no shard %u",
				      shard);
	rc = control_frames_read(req, frames, shard, &bytes, &len);
	if (rc < 0) {
		digest_to_hex(tree_shard_name(frames->tree, shard), hex);
		return control_fail(req, rc, NULL, "shard %s", hex);
	}
	want = frames->len + CONTROL_FRAME_HEADER + len;
	if (want > frames->cap) {
		p = realloc(frames->bytes, want * 2);
		if (!p)
			return -ENOMEM;
		frames->bytes = p;
		frames->cap = want * 2;
	}
	p = frames->bytes + frames->len;
	memcpy(p, tree_shard_name(frames->tree, shard)->bytes, DIGEST_LEN);
	le32_put(p + DIGEST_LEN, (uint32_t)len);
	memcpy(p + CONTROL_FRAME_HEADER, bytes, len);
	frames->len = want;
	return 0;
}

/* Of what is only upstream, many at a time: the fetcher joins neighbours into
 * one request.  Failures come to light, with a name, when each is read. */
static void control_frames_fetch(struct control_request *req,
				 struct control_frames *frames)
{
	CLEANUP_FREE struct depot_read *read = calloc(1, sizeof(*read));
	struct depot *depot = req->control->daemon.depot;
	uint32_t shard;

	for (size_t off = 0; read && off < req->body_len;) {
		for (read->count = 0;
		     read->count < DEPOT_READ_MAX && off < req->body_len;
		     off += sizeof(uint32_t)) {
			shard = le32_get(req->body + off);
			if (shard >= tree_shard_count(frames->tree) ||
			    depot_shard_here(
				depot, tree_shard_name(frames->tree, shard)))
				continue;
			read->piece[read->count].tree = frames->tree;
			read->piece[read->count++].shard = shard;
		}
		if (read->count == 0)
			return;
		if (depot_read_wait(depot, read) < 0)
			log_debug("control: shards/get: not all were fetched");
		depot_read_release(depot, read);
		memset(read, 0, sizeof(*read));
	}
}

int control_shards_get(struct control_request *req)
{
	CLEANUP(control_frames_clear) struct control_frames frames = {0};
	struct digest digest;
	int rc;

	if (req->body_len % sizeof(uint32_t) != 0 ||
	    req->body_len / sizeof(uint32_t) > CONTROL_GET_MAX)
		return control_refuse(req, -EINVAL, NULL,
				      "shards/get: at most %d numbers of 4 "
				      "bytes",
				      CONTROL_GET_MAX);
	rc = control_param_digest(req, "tree", &digest);
	if (rc < 0)
		return rc;
	rc = depot_tree_get(req->control->daemon.depot, &digest, &frames.tree);
	if (rc < 0)
		return control_fail(req, rc, NULL, "shards/get: its tree");
	control_frames_fetch(req, &frames);
	for (size_t off = 0; off < req->body_len; off += sizeof(uint32_t)) {
		rc =
		    control_frames_add(req, &frames, le32_get(req->body + off));
		if (rc < 0)
			return rc;
	}
	return control_answer_bytes(req, STEAL(frames.bytes), frames.len);
}
