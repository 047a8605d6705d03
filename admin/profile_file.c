/* SPDX-License-Identifier: Apache-2.0 */
/* profile_file: see profile_file.h. */
#include "admin/profile_file.h"

#include "admin/interrupt.h"

enum { PROFILE_BLOCK = 256 << 10 };

void profile_file_clear(struct profile_file *file)
{
	if (file->digest)
		(void)digest_ctx_end(file->digest);
	free(file->revision_json);
	revision_doc_clear(&file->doc);
	tree_put(file->tree);
	file->digest = NULL;
	file->revision_json = NULL;
	file->tree = NULL;
}

/* --- writing -------------------------------------------------------------- */

int profile_file_put(struct profile_file *out, const void *bytes, size_t len)
{
	digest_ctx_add(out->digest, bytes, len);
	if (fwrite(bytes, 1, len, out->file) == len)
		return 0;
	return failure_errno(out->failure, errno ? -errno : -EIO,
			     "cannot write %s", out->path);
}

/* A part with its length before it. */
static int profile_put_part(struct profile_file *out, const void *bytes,
			    size_t len)
{
	uint8_t head[4];
	int rc;

	le32_put(head, (uint32_t)len);
	rc = profile_file_put(out, head, sizeof(head));
	return rc < 0 ? rc : profile_file_put(out, bytes, len);
}

int profile_file_begin(struct profile_file *out, const char *revision_json,
		       const struct tree *tree)
{
	uint8_t head[PROFILE_FILE_HEAD] = PROFILE_FILE_MAGIC, count[4];
	CLEANUP_FREE void *box = NULL;
	size_t box_len;
	int rc = tree_box_seal(tree, SHARD_LEVEL_CREATE, &box, &box_len);

	if (rc == 0 && box_len > PROFILE_BOX_MAX)
		rc = -EFBIG;
	out->digest = digest_ctx_new();
	if (rc < 0 || !out->digest)
		return failure_errno(out->failure, rc < 0 ? rc : -ENOMEM,
				     "tree of %s", out->path);
	le16_put(head + 8, PROFILE_FILE_FORMAT);
	le32_put(count, tree_shard_count(tree));
	rc = profile_file_put(out, head, sizeof(head));
	if (rc == 0)
		rc =
		    profile_put_part(out, revision_json, strlen(revision_json));
	if (rc == 0)
		rc = profile_put_part(out, box, box_len);
	return rc < 0 ? rc : profile_file_put(out, count, sizeof(count));
}

int profile_file_end(struct profile_file *out)
{
	struct digest digest = digest_ctx_end(out->digest);

	out->digest = NULL;
	if (fwrite(digest.bytes, 1, DIGEST_LEN, out->file) == DIGEST_LEN &&
	    fflush(out->file) == 0)
		return 0;
	return failure_errno(out->failure, errno ? -errno : -EIO,
			     "cannot write %s", out->path);
}

/* --- reading -------------------------------------------------------------- */

static int profile_bad(const struct profile_file *in, const char *why)
{
	failure_set(in->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
		    "%s is no whole profile: %s", in->path, why);
	failure_hint(in->failure, "try: another copy of it");
	return -EBADMSG;
}

/* Does what is before the last digest have it? */
static int profile_prove(struct profile_file *in)
{
	CLEANUP_FREE uint8_t *buf = malloc(PROFILE_BLOCK + DIGEST_LEN);
	struct digest_ctx *ctx = digest_ctx_new();
	struct digest digest;
	size_t kept = 0, got;

	if (!buf || !ctx) {
		if (ctx)
			(void)digest_ctx_end(ctx);
		return failure_errno(in->failure, -ENOMEM, "%s", in->path);
	}
	/* The last bytes that were read may be the digest: they wait. */
	while ((got = fread(buf + kept, 1, PROFILE_BLOCK, in->file)) > 0 &&
	       !interrupt_seen()) {
		size_t all = kept + got;

		kept = MIN(all, (size_t)DIGEST_LEN);
		digest_ctx_add(ctx, buf, all - kept);
		memmove(buf, buf + all - kept, kept);
	}
	digest = digest_ctx_end(ctx);
	if (interrupt_seen())
		return failure_set(in->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED, "interrupted");
	if (ferror(in->file))
		return failure_errno(in->failure, -EIO, "%s", in->path);
	if (kept != DIGEST_LEN || memcmp(digest.bytes, buf, DIGEST_LEN) != 0)
		return profile_bad(in, "its digest is another");
	rewind(in->file);
	return 0;
}

static int profile_get(struct profile_file *in, void *buf, size_t len)
{
	return fread(buf, 1, len, in->file) == len
		   ? 0
		   : profile_bad(in, "it is cut short");
}

/* A part, malloc'ed, with a NUL behind it. */
static int profile_get_part(struct profile_file *in, size_t max, void **part,
			    size_t *len)
{
	uint8_t head[4];
	int rc = profile_get(in, head, sizeof(head));

	if (rc < 0)
		return rc;
	*len = le32_get(head);
	if (*len > max)
		return profile_bad(in, "a part is too long");
	*part = malloc(*len + 1);
	if (!*part)
		return failure_errno(in->failure, -ENOMEM, "%s", in->path);
	((char *)*part)[*len] = '\0';
	return profile_get(in, *part, *len);
}

static int profile_get_head(struct profile_file *in)
{
	uint8_t head[PROFILE_FILE_HEAD];
	unsigned int format;

	if (fread(head, 1, sizeof(head), in->file) != sizeof(head) ||
	    memcmp(head, PROFILE_FILE_MAGIC, 8) != 0)
		return profile_bad(in, "it does not begin as one");
	format = le16_get(head + 8);
	if (format > PROFILE_FILE_FORMAT)
		return failure_set(
		    in->failure, -EPROTONOSUPPORT, CONTROL_EXIT_BAD_CONTENT,
		    "%s: written by a newer vdrive (format %u, this one reads "
		    "up to %d): upgrade vdrive",
		    in->path, format, PROFILE_FILE_FORMAT);
	return format ? 0 : profile_bad(in, "its format is 0");
}

static int profile_get_tree(struct profile_file *in)
{
	CLEANUP_FREE void *box = NULL;
	uint8_t count[4];
	size_t len;
	int rc = profile_get_part(in, PROFILE_BOX_MAX, &box, &len);

	if (rc < 0)
		return rc;
	rc = tree_box_open(box, len, &in->doc.tree, &in->tree);
	if (rc == -EBADMSG || rc == -EPROTONOSUPPORT)
		return profile_bad(in, "its tree is damaged");
	if (rc < 0)
		return failure_errno(in->failure, rc, "%s: its tree", in->path);
	rc = profile_get(in, count, sizeof(count));
	if (rc == 0 && le32_get(count) != tree_shard_count(in->tree))
		rc = profile_bad(in, "it has other shards than its tree");
	return rc;
}

int profile_file_open(struct profile_file *in)
{
	void *json = NULL;
	size_t len;
	int rc = profile_get_head(in);

	if (rc == 0) {
		rewind(in->file);
		rc = profile_prove(in);
	}
	if (rc == 0)
		rc = profile_get_head(in);
	if (rc == 0)
		rc = profile_get_part(in, DOCUMENT_MAX, &json, &len);
	in->revision_json = json;
	if (rc < 0)
		return rc;
	rc = revision_read(in->revision_json, len, &in->doc);
	if (rc == -EBADMSG || rc == -EPROTONOSUPPORT)
		return profile_bad(in, "its revision is damaged");
	if (rc < 0)
		return failure_errno(in->failure, rc, "%s: its revision",
				     in->path);
	return profile_get_tree(in);
}

int profile_file_next(struct profile_file *in, uint32_t shard, uint8_t *buf,
		      size_t *len)
{
	const struct digest *name = tree_shard_name(in->tree, shard);
	int rc = profile_get(in, buf, CONTROL_FRAME_HEADER);

	if (rc < 0)
		return rc;
	*len = le32_get(buf + DIGEST_LEN);
	if (memcmp(buf, name->bytes, DIGEST_LEN) != 0 || *len > SHARD_MAX)
		return profile_bad(in, "its shards are not those of its tree");
	rc = profile_get(in, buf + CONTROL_FRAME_HEADER, *len);
	*len += CONTROL_FRAME_HEADER;
	return rc;
}
