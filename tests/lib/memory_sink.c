/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_sink: see memory_sink.h.
 */
#include "tests/lib/memory_sink.h"

#include "depot/shard.h"

static struct memory_shard *memory_find(const struct memory_sink *sink,
					const struct digest *name)
{
	for (size_t i = 0; i < sink->shard_count; i++)
		if (digest_equal(&sink->shards[i].name, name))
			return &sink->shards[i];
	return NULL;
}

static int memory_have(void *ctx, const struct digest *names, size_t count,
		       bool *here, struct failure *failure UNUSED)
{
	struct memory_sink *sink = ctx;

	sink->have_calls++;
	for (size_t i = 0; i < count; i++)
		here[i] = memory_find(sink, &names[i]) != NULL;
	return 0;
}

static void memory_add(struct memory_sink *sink, const uint8_t *salt,
		       const uint8_t *frame, size_t len, uint64_t *added,
		       uint64_t *bytes_added)
{
	struct memory_shard shard;

	memcpy(shard.name.bytes, frame, DIGEST_LEN);
	ASSERT(!memory_find(sink, &shard.name));
	shard.chunk = malloc(SHARD_CHUNK_MAX);
	ASSERT(shard.chunk);
	ASSERT(shard_open(salt, &shard.name, frame + CONTROL_FRAME_HEADER, len,
			  shard.chunk, SHARD_CHUNK_MAX, &shard.len) == 0);
	sink->shards =
	    reallocarray(sink->shards, sink->shard_count + 1, sizeof(shard));
	ASSERT(sink->shards);
	sink->shards[sink->shard_count++] = shard;
	*added += 1;
	*bytes_added += len;
}

static int memory_put(void *ctx, const uint8_t *salt, const void *frames,
		      size_t len, uint64_t *added, uint64_t *bytes_added,
		      struct failure *failure)
{
	struct memory_sink *sink = ctx;
	const uint8_t *bytes = frames;
	size_t shard_len;

	if (++sink->put_calls == sink->fail_put)
		return failure_errno(failure, -ENOSPC, "put");
	for (size_t off = 0; off < len;
	     off += CONTROL_FRAME_HEADER + shard_len) {
		ASSERT(len - off > CONTROL_FRAME_HEADER);
		shard_len = le32_get(bytes + off + DIGEST_LEN);
		ASSERT(shard_len <= len - off - CONTROL_FRAME_HEADER);
		memory_add(sink, salt, bytes + off, shard_len, added,
			   bytes_added);
	}
	return 0;
}

static int memory_commit(void *ctx, const struct import_commit *commit,
			 bool *created, struct failure *failure UNUSED)
{
	struct memory_sink *sink = ctx;

	sink->commit_calls++;
	tree_put(sink->tree);
	free(sink->revision_json);
	ASSERT(tree_open_memory(commit->tree_bytes, commit->tree_len,
				&commit->tree, &sink->tree) == 0);
	for (uint32_t i = 0; i < tree_shard_count(sink->tree); i++)
		ASSERT(memory_find(sink, tree_shard_name(sink->tree, i)));
	sink->revision_json = strdup(commit->revision_json);
	*created = true;
	return 0;
}

struct import_sink memory_sink(struct memory_sink *sink)
{
	return (struct import_sink){.have = memory_have,
				    .put = memory_put,
				    .commit = memory_commit,
				    .ctx = sink};
}

void memory_sink_clear(struct memory_sink *sink)
{
	for (size_t i = 0; i < sink->shard_count; i++)
		free(sink->shards[i].chunk);
	free(sink->shards);
	tree_put(sink->tree);
	free(sink->revision_json);
	memset(sink, 0, sizeof(*sink));
}

bool memory_sink_stat(const struct memory_sink *sink, const char *path,
		      struct tree_inode *inode)
{
	uint32_t number;

	if (!sink->tree || tree_find_path(sink->tree, path, &number) < 0)
		return false;
	tree_inode_get(sink->tree, number, inode);
	return true;
}

uint8_t *memory_sink_file(const struct memory_sink *sink, const char *path,
			  size_t *len)
{
	struct memory_shard *shard;
	struct tree_inode inode;
	struct tree_chunk chunk;
	uint32_t number;
	uint8_t *bytes;

	ASSERT(tree_find_path(sink->tree, path, &number) == 0);
	tree_inode_get(sink->tree, number, &inode);
	bytes = calloc(1, inode.size + 1);
	ASSERT(bytes);
	for (uint32_t i = 0; i < inode.count; i++) {
		tree_chunk_get(sink->tree, number, i, &chunk);
		if (chunk.shard == TREE_HOLE)
			continue;
		shard =
		    memory_find(sink, tree_shard_name(sink->tree, chunk.shard));
		ASSERT(shard && shard->len == chunk.len);
		memcpy(bytes + chunk.off, shard->chunk, chunk.len);
	}
	*len = inode.size;
	return bytes;
}
