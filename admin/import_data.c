/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_data: the bytes of files become chunks, chunks that were not met
 * before wait in a batch, and of a batch the depot is sent what it lacks.
 *
 * Only what is new is compressed, so an import of known content runs at the
 * speed of SHA-256.
 */
#include <stdio.h>

#include "admin/import_impl.h"
#include "admin/interrupt.h"
#include "depot/shard.h"

enum {
	IMPORT_WINDOW = 1 << 20, /* holds CHUNK_MAX, amortises the move */
	IMPORT_FRAMES_MAX =
	    IMPORT_BATCH_BYTES +
	    IMPORT_BATCH_MAX * (CONTROL_FRAME_HEADER + SHARD_HEADER_LEN),
};
_Static_assert((int)IMPORT_FRAMES_MAX < (int)CONTROL_BODY_MAX, "one request");
_Static_assert((int)IMPORT_WINDOW > (int)CHUNK_MAX, "a chunk fits");

int import_data_open(struct import *import)
{
	import->window = malloc(IMPORT_WINDOW);
	import->batch = malloc(IMPORT_BATCH_MAX * sizeof(*import->batch));
	import->batch_len =
	    malloc(IMPORT_BATCH_MAX * sizeof(*import->batch_len));
	import->batch_bytes = malloc(IMPORT_BATCH_BYTES);
	import->frames = malloc(IMPORT_FRAMES_MAX + SHARD_MAX);
	import->plain = malloc(IMPORT_BATCH_MAX * sizeof(*import->plain));
	import->sealed_len =
	    malloc(IMPORT_BATCH_MAX * sizeof(*import->sealed_len));
	return import->plain && import->sealed_len && import->window &&
		       import->batch && import->batch_len &&
		       import->batch_bytes && import->frames
		   ? 0
		   : -ENOMEM;
}

void import_data_close(struct import *import)
{
	free(import->window);
	free(import->batch);
	free(import->batch_len);
	free(import->batch_bytes);
	free(import->frames);
	free(import->plain);
	free(import->sealed_len);
	import_map_clear(&import->seen);
}

/* --- the batch ----------------------------------------------------------- */

/* The frame number `i`. */
static int import_seal(struct import *import, const struct digest *name,
		       const uint8_t *chunk, size_t len, size_t i, size_t *used)
{
	uint8_t *frame = import->frames + *used;
	size_t shard_len;
	int rc;

	rc = shard_seal(chunk, len, SHARD_LEVEL_CREATE,
			frame + CONTROL_FRAME_HEADER, SHARD_MAX, &shard_len);
	if (rc < 0)
		return failure_errno(import->failure, rc,
				     "cannot compress a chunk");
	memcpy(frame, name->bytes, DIGEST_LEN);
	le32_put(frame + DIGEST_LEN, (uint32_t)shard_len);
	*used += CONTROL_FRAME_HEADER + shard_len;
	import->sealed_len[i] = (uint32_t)shard_len;
	if (import->options.salt)
		import->plain[i] = shard_name_of(NULL, chunk, len);
	return 0;
}

/* What privacy costs: of what is sent, what is here for everybody. */
static int import_count_unshared(struct import *import, size_t count)
{
	bool here[IMPORT_BATCH_MAX];
	int rc;

	if (!import->options.salt || count == 0)
		return 0;
	rc = import->sink->have(import->sink->ctx, import->plain, count, here,
				import->failure);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		import->shards_unshared += here[i];
		import->bytes_unshared += here[i] ? import->sealed_len[i] : 0;
	}
	return rc;
}

static int import_send(struct import *import, size_t new_count, size_t used)
{
	uint64_t added = 0, bytes_added = 0;
	int rc;

	if (new_count == 0)
		return 0;
	if (import->options.dry_run) {
		import->shards_new += new_count;
		import->bytes_added += used - new_count * CONTROL_FRAME_HEADER;
		return 0;
	}
	rc = import->sink->put(import->sink->ctx, import->options.salt,
			       import->frames, used, &added, &bytes_added,
			       import->failure);
	import->shards_new += added;
	import->bytes_added += bytes_added;
	return rc;
}

int import_data_flush(struct import *import)
{
	bool here[IMPORT_BATCH_MAX];
	const uint8_t *chunk = import->batch_bytes;
	size_t used = 0, new_count = 0;
	int rc;

	if (import->batch_count == 0)
		return 0;
	rc = import->sink->have(import->sink->ctx, import->batch,
				import->batch_count, here, import->failure);
	for (size_t i = 0; rc == 0 && i < import->batch_count; i++) {
		if (!here[i]) {
			rc =
			    import_seal(import, &import->batch[i], chunk,
					import->batch_len[i], new_count, &used);
			new_count++;
		}
		chunk += import->batch_len[i];
	}
	if (rc == 0)
		rc = import_count_unshared(import, new_count);
	if (rc == 0)
		rc = import_send(import, new_count, used);
	import->batch_count = 0;
	import->batch_used = 0;
	return rc;
}

static int import_batch_add(struct import *import, const struct digest *name,
			    const uint8_t *chunk, size_t len)
{
	int rc;

	if (import_map_get(&import->seen, name->bytes, DIGEST_LEN))
		return 0;
	if (import_map_put(&import->seen, name->bytes, DIGEST_LEN, 0) < 0)
		return failure_errno(import->failure, -ENOMEM, "import");
	import->shards++;
	if (import->batch_count == IMPORT_BATCH_MAX ||
	    import->batch_used + len > IMPORT_BATCH_BYTES) {
		rc = import_data_flush(import);
		if (rc < 0)
			return rc;
	}
	import->batch[import->batch_count] = *name;
	import->batch_len[import->batch_count] = (uint32_t)len;
	memcpy(import->batch_bytes + import->batch_used, chunk, len);
	import->batch_count++;
	import->batch_used += len;
	return 0;
}

/* --- chunks -------------------------------------------------------------- */

static bool import_is_zeros(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* A chunk of zeros is a hole wherever it comes from, so that a sparse file and
 * its plain copy give the same tree. */
static int import_chunk_add(struct import *import, const uint8_t *data,
			    size_t len)
{
	struct import_entry *entry = &import->entries[import->entry_count - 1];
	struct import_chunk *chunk;

	if (import_grow(&import->chunks, import->chunk_count,
			&import->chunk_cap, sizeof(*import->chunks)) < 0)
		return failure_errno(import->failure, -ENOMEM, "import");
	chunk = &import->chunks[import->chunk_count++];
	entry->chunk_count++;
	chunk->len = (uint32_t)len;
	chunk->hole = import_is_zeros(data, len);
	if (chunk->hole)
		return 0;
	chunk->name = shard_name_of(import->options.salt, data, len);
	return import_batch_add(import, &chunk->name, data, len);
}

/* Cut what is in the window, all of it when the file ends there. */
static int import_cut(struct import *import, bool end)
{
	size_t at = 0, len;
	int rc = 0;

	while (
	    rc == 0 && at < import->window_len &&
	    (end || (!import->whole && import->window_len - at >= CHUNK_MAX))) {
		len = import->window_len - at;
		if (!import->whole)
			len = chunker_cut(import->window + at, len);
		rc = import_chunk_add(import, import->window + at, len);
		at += len;
	}
	import->window_len -= at;
	memmove(import->window, import->window + at, import->window_len);
	return rc;
}

static int import_too_much(struct import *import)
{
	const struct import_entry *entry =
	    &import->entries[import->entry_count - 1];

	return failure_set(import->failure, -EBADMSG, CONTROL_EXIT_BAD_CONTENT,
			   "%s: %s: its content is not of the length that was "
			   "announced (%ju bytes)",
			   import_origin_name(import, entry->origin),
			   entry->path, (uintmax_t)import->file_size);
}

static int import_take(struct import *import, const uint8_t *data, size_t len)
{
	size_t part;
	int rc;

	if (interrupt_seen())
		return failure_set(import->failure, -EINTR,
				   CONTROL_EXIT_INTERRUPTED,
				   "interrupted; nothing has been stored");
	while (len > 0) {
		part = MIN(len, IMPORT_WINDOW - import->window_len);
		if (data)
			memcpy(import->window + import->window_len, data, part);
		else
			memset(import->window + import->window_len, 0, part);
		import->window_len += part;
		data = data ? data + part : NULL;
		len -= part;
		if (import->window_len < IMPORT_WINDOW)
			continue;
		rc = import_cut(import, false);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int import_data(struct import *import, const void *data, size_t len)
{
	ASSERT(import->in_file);
	if (len > import->file_size - import->file_got)
		return import_too_much(import);
	import->file_got += len;
	import_os_data(import, data, len);
	import->progress.bytes_done += len;
	output_progress(import->out, &import->progress);
	return import_take(import, data, len);
}

int import_zeros(struct import *import, uint64_t len)
{
	size_t part;
	int rc = 0;

	ASSERT(import->in_file);
	if (len > import->file_size - import->file_got)
		return import_too_much(import);
	import->file_got += len;
	import->os_file = NULL; /* no text */
	import->progress.bytes_done += len;
	for (; rc == 0 && len > 0; len -= part) {
		part = (size_t)MIN(len, (uint64_t)IMPORT_WINDOW);
		rc = import_take(import, NULL, part);
		output_progress(import->out, &import->progress);
	}
	return rc;
}

int import_file_end(struct import *import)
{
	ASSERT(import->in_file);
	import->in_file = false;
	if (import->file_got != import->file_size)
		return import_too_much(import);
	import->progress.files_done++;
	return import_cut(import, true);
}
