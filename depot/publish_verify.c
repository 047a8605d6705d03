/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish_verify: packs that are there, and are no longer what their names say.
 *
 * A pack is mended in its place, so that every index that names it is right
 * again: the shards that are still good stay as they are, the bad ones are
 * sealed once more from our own, and when the whole has its name again it is
 * written.  Compression is the same for the same library; where it is not, or
 * where a bad shard is not ours, the bad shards are taken for missing: those of
 * what is being pushed are packed anew.
 */
#include "depot/publish_inside.h"

#include <stdio.h>

#include "depot/format.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/shard.h"

struct verify {
	struct push *push;        /* borrows */
	struct push_scope *scope; /* borrows */
	uint8_t *bytes;           /* owns; the pack as it is there */
	size_t len;
	uint8_t *chunk;     /* owns */
	struct digest *bad; /* owns; shards */
	size_t bad_count, bad_cap;
	bool hopeless; /* a bad shard is not ours */
};

static void verify_clear(struct verify *verify)
{
	free(verify->bytes);
	free(verify->chunk);
	free(verify->bad);
}

/* Ours, sealed as a push would, of the same length as there: or hopeless. */
static int verify_replace(struct verify *verify,
			  const struct publish_known_shard *shard)
{
	struct push *push = verify->push;
	const char *private = publish_known_private(verify->scope->known);
	CLEANUP_FREE void *bytes = NULL;
	struct tree *tree = NULL;
	uint32_t number = 0;
	size_t len;
	int rc;

	for (unsigned int i = 0; !tree && i < push->count; i++) {
		struct tree *t = push->packages[i].tree;

		if (!push_same_scope(push_private(&push->packages[i]), private))
			continue;
		for (number = 0; number < tree_shard_count(t); number++)
			if (digest_equal(tree_shard_name(t, number),
					 shard->name))
				break;
		if (number < tree_shard_count(t))
			tree = t;
	}
	verify->hopeless |= !tree;
	if (verify->hopeless)
		return 0;
	rc = push_seal(push, tree, number, &bytes, &len);
	if (rc < 0)
		return rc;
	verify->hopeless = len != shard->len;
	if (!verify->hopeless)
		memcpy(verify->bytes + shard->off, bytes, len);
	return 0;
}

static int verify_shard(void *ctx, const struct publish_known_shard *shard)
{
	struct verify *verify = ctx;
	struct digest *grown;
	size_t chunk_len;

	if (shard_open(shard->salt, shard->name, verify->bytes + shard->off,
		       shard->len, verify->chunk, SHARD_CHUNK_MAX,
		       &chunk_len) == 0)
		return 0;
	if (verify->bad_count == verify->bad_cap) {
		verify->bad_cap = MAX((size_t)16, 2 * verify->bad_cap);
		grown = realloc(verify->bad,
				verify->bad_cap * sizeof(struct digest));
		if (!grown)
			return -ENOMEM;
		verify->bad = grown;
	}
	verify->bad[verify->bad_count++] = *shard->name;
	return verify_replace(verify, shard);
}

static int verify_count(void *ctx,
			const struct publish_known_shard *shard UNUSED)
{
	++*(uint32_t *)ctx;
	return 0;
}

static bool verify_has_name(const struct verify *verify,
			    const struct digest *name)
{
	struct digest found = digest_of(verify->bytes, verify->len);

	return digest_equal(&found, name);
}

/* Also its head, whose only unknown is the number of shards. */
static bool verify_try(struct verify *verify, uint32_t pack)
{
	const struct publish_known *known = verify->scope->known;
	const struct digest *name = publish_known_pack_name(known, pack);
	struct format_pack_header header = {.magic = FORMAT_PACK_MAGIC};
	uint32_t count = 0;

	if (verify->hopeless || verify->len < sizeof(header))
		return false;
	memcpy(&header.shard_count_le,
	       verify->bytes +
		   offsetof(struct format_pack_header, shard_count_le),
	       sizeof(header.shard_count_le));
	le32_put(&header.format_le, FORMAT_PACK);
	memcpy(verify->bytes, &header, sizeof(header));
	if (verify_has_name(verify, name))
		return true;
	if (publish_known_visit(known, pack, verify_count, &count) < 0)
		return false;
	le32_put(&header.shard_count_le, count);
	memcpy(verify->bytes, &header, sizeof(header));
	return verify_has_name(verify, name);
}

static void verify_say(struct verify *verify, const char *path, bool mended)
{
	const struct publish *publish = verify->push->publish;
	char text[400];

	snprintf(text, sizeof(text),
		 mended ? "%s was damaged (%zu shards), and is mended"
			: "%s is damaged (%zu shards); what is pushed now is "
			  "packed anew, for other packages push them, too",
		 path, verify->bad_count);
	if (publish->say)
		publish->say(publish->ctx, text);
}

static int verify_bad(struct verify *verify, const char *path, uint32_t pack)
{
	struct publish_known *known = verify->scope->known;
	struct publish *publish = verify->push->publish;
	bool mended;
	int rc;

	publish->packs_bad++;
	rc = publish_known_visit(known, pack, verify_shard, verify);
	if (rc < 0)
		return rc;
	mended = verify_try(verify, pack);
	if (mended)
		rc = publish_target_put(verify->push->target, path,
					verify->bytes, verify->len);
	if (rc < 0)
		return rc;
	publish->packs_mended += mended;
	verify_say(verify, path, mended);
	for (size_t i = 0; !mended && i < verify->bad_count; i++) {
		publish_known_drop(known, &verify->bad[i]);
		publish->shards_bad++;
	}
	return 0;
}

static int verify_pack(struct push *push, struct push_scope *scope,
		       uint32_t pack)
{
	CLEANUP(verify_clear)
	struct verify verify = {.push = push, .scope = scope};
	const struct digest *name = publish_known_pack_name(scope->known, pack);
	struct layout_path path =
	    layout_pack(publish_known_private(scope->known), name);
	void *bytes;
	int rc;

	rc = publish_target_get(push->target, path.text, PUBLISH_PACK_MAX,
				&bytes, &verify.len);
	if (rc < 0)
		return rc;
	verify.bytes = bytes;
	verify.chunk = malloc(SHARD_CHUNK_MAX);
	if (!verify.chunk)
		return -ENOMEM;
	push->publish->packs_proved++;
	if (verify_has_name(&verify, name))
		return 0;
	return verify_bad(&verify, path.text, pack);
}

int push_verify(struct push *push, struct push_scope *scope)
{
	uint32_t count = publish_known_pack_count(scope->known);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < count; i++)
		if (publish_known_pack_len(scope->known, i) > 0)
			rc = verify_pack(push, scope, i);
	return rc;
}
