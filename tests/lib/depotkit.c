/* SPDX-License-Identifier: Apache-2.0 */
/*
 * depotkit: see depotkit.h.
 */
#include "tests/lib/depotkit.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "depot/chunker.h"
#include "depot/document.h"
#include "depot/io.h"
#include "depot/shard.h"
#include "depot/tree_build.h"
#include "tests/lib/check.h"

enum { KIT_FILE_MAX = 300 << 10 };

struct depot *kit_open(const char *path)
{
	struct depot_options options = {.memory_max = KIT_MEMORY,
					.pool_threads = 2};
	struct depot *depot = NULL;

	ASSERT(depot_open(path, &options, &depot) == 0);
	return depot;
}

/* --- shards and packages ------------------------------------------------- */

void kit_shard_make(struct kit_shard *shard, size_t chunk_len, uint64_t seed)
{
	shard->chunk = malloc(chunk_len);
	shard->shard = malloc(SHARD_MAX);
	ASSERT(shard->chunk && shard->shard);
	shard->chunk_len = chunk_len;
	check_fill(shard->chunk, chunk_len, seed);
	/* Even seeds compress. */
	if (seed % 2 == 0)
		memset(shard->chunk + chunk_len / 4, 'x', chunk_len / 2);
	shard->name = shard_name_of(NULL, shard->chunk, chunk_len);
	ASSERT(shard_seal(shard->chunk, chunk_len, SHARD_LEVEL_CREATE,
			  shard->shard, SHARD_MAX, &shard->shard_len) == 0);
}

void kit_shard_clear(struct kit_shard *shard)
{
	free(shard->chunk);
	free(shard->shard);
	memset(shard, 0, sizeof(*shard));
}

/* As package create does it: only what is not here is sent. */
static void kit_put_chunk(struct kit_build *kit, const uint8_t *chunk,
			  size_t len)
{
	struct digest name = shard_name_of(kit->salt, chunk, len);
	uint8_t *shard = malloc(SHARD_MAX);
	size_t shard_len;
	bool here = false;

	ASSERT(shard);
	ASSERT(depot_shard_have(kit->depot, kit->lease, &name, &here) == 0);
	if (!here) {
		ASSERT(shard_seal(chunk, len, SHARD_LEVEL_CREATE, shard,
				  SHARD_MAX, &shard_len) == 0);
		ASSERT(depot_shard_put_under(kit->depot, kit->lease, kit->salt,
					     &name, shard, shard_len,
					     &here) == 0);
	}
	ASSERT(tree_build_chunk(kit->build, &name, (uint32_t)len) == 0);
	free(shard);
}

static size_t kit_add_file(struct kit_build *kit, unsigned int number,
			   uint64_t seed)
{
	struct tree_build_attr attr = {.mode = S_IFREG | 0644};
	size_t len = 1 + (number * 40961u + seed * 77u) % KIT_FILE_MAX;
	uint8_t *data = malloc(len);
	char path[32];

	ASSERT(data);
	check_fill(data, len, seed * 1000 + number + 1);
	if (number % 2 == 0)
		memset(data + len / 8, 'y', len / 2);
	snprintf(path, sizeof(path), "data/f%u", number);
	ASSERT(tree_build_file(kit->build, path, &attr) == 0);
	for (size_t off = 0; off < len;) {
		size_t cut = len <= CHUNK_WHOLE_MAX
				 ? len
				 : chunker_cut(data + off, len - off);

		kit_put_chunk(kit, data + off, cut);
		off += cut;
	}
	free(data);
	return len;
}

void kit_build_begin(struct depot *depot, unsigned int files, uint64_t seed,
		     const uint8_t *salt, struct kit_build *kit)
{
	void *bytes;
	size_t len;

	*kit = (struct kit_build){.depot = depot, .files = files, .salt = salt};
	ASSERT(depot_lease_open(depot, 0, &kit->lease) == 0);
	kit->build = tree_build_new();
	ASSERT(kit->build);
	if (salt)
		tree_build_private(kit->build, salt);
	for (unsigned int i = 0; i < files; i++)
		kit->content_len += kit_add_file(kit, i, seed);
	ASSERT(tree_build_finish(kit->build, &bytes, &len) == 0);
	tree_build_free(kit->build);
	ASSERT(tree_open_memory(bytes, len, NULL, &kit->tree) == 0);
	free(bytes);
}

void kit_build_commit(struct kit_build *kit, const char *name, const char *tag,
		      struct kit_package *package)
{
	struct revision_doc doc = {.files = kit->files,
				   .content_len = kit->content_len};

	package->tree = STEAL(kit->tree);
	snprintf(doc.name, sizeof(doc.name), "%s", name);
	snprintf(doc.version, sizeof(doc.version), "%s", tag);
	doc.tree = *tree_digest(package->tree);
	ASSERT(revision_write(&doc, &package->json) == 0);
	ASSERT(depot_package_commit(kit->depot, name, tag, package->json,
				    package->tree, &package->revision) == 0);
	depot_lease_close(kit->depot, kit->lease, true);
}

void kit_build_drop(struct kit_build *kit)
{
	tree_put(STEAL(kit->tree));
	depot_lease_close(kit->depot, kit->lease, false);
}

void kit_create_salted(struct depot *depot, const char *name, const char *tag,
		       unsigned int files, uint64_t seed, const uint8_t *salt,
		       struct kit_package *package)
{
	struct kit_build kit;

	kit_build_begin(depot, files, seed, salt, &kit);
	kit_build_commit(&kit, name, tag, package);
}

void kit_create(struct depot *depot, const char *name, const char *tag,
		unsigned int files, uint64_t seed, struct kit_package *package)
{
	kit_create_salted(depot, name, tag, files, seed, NULL, package);
}

void kit_package_clear(struct kit_package *package)
{
	free(package->json);
	tree_put(package->tree);
	memset(package, 0, sizeof(*package));
}

static int kit_get_shard(void *ctx, struct tree *tree, uint32_t shard,
			 void **bytes, size_t *len)
{
	return depot_tree_shard_get(ctx, tree, shard, bytes, len);
}

int kit_publish(struct depot *depot, const char *dir, const char *name,
		const char *tag, const struct kit_package *package,
		struct publish *publish)
{
	struct publish_package row = {.name = name,
				      .tag = tag,
				      .revision_json = package->json,
				      .revision = package->revision,
				      .tree = package->tree};

	*publish = (struct publish){.level = SHARD_LEVEL_PUBLISH,
				    .get_shard = kit_get_shard,
				    .ctx = depot};
	return publish_dir(publish, dir, &row, 1);
}

char *kit_url(const char *dir)
{
	char *url = NULL;

	ASSERT(asprintf(&url, "dir:%s", dir) > 0);
	return url;
}

/* --- reading ------------------------------------------------------------- */

struct kit_read {
	struct depot_read read;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
	int rc;
};

static void kit_read_done(struct depot_read *read, int rc)
{
	struct kit_read *kit = container_of(read, struct kit_read, read);

	pthread_mutex_lock(&kit->lock);
	kit->done = true;
	kit->rc = rc;
	pthread_cond_signal(&kit->wake);
	pthread_mutex_unlock(&kit->lock);
}

static int kit_read_some(struct depot *depot, struct kit_read *kit)
{
	int rc;

	kit->done = false;
	kit->read.done = kit_read_done;
	rc = depot_read_start(depot, &kit->read);
	if (rc != -EINPROGRESS)
		return rc;
	pthread_mutex_lock(&kit->lock);
	while (!kit->done)
		pthread_cond_wait(&kit->wake, &kit->lock);
	pthread_mutex_unlock(&kit->lock);
	return kit->rc;
}

/* -EBADMSG: bytes of another name were shown. */
static int64_t kit_read_prove(const struct depot_read *read)
{
	int64_t bytes = 0;

	for (unsigned int i = 0; i < read->count; i++) {
		const struct depot_piece *p = &read->piece[i];
		struct digest found =
		    shard_name_of(tree_salt(p->tree), chunk_data(p->chunk),
				  chunk_len(p->chunk));

		if (!digest_equal(&found, tree_shard_name(p->tree, p->shard)))
			return -EBADMSG;
		bytes += (int64_t)chunk_len(p->chunk);
	}
	return bytes;
}

int64_t kit_read_all(struct depot *depot, struct tree *tree,
		     unsigned int window)
{
	struct kit_read kit = {.lock = PTHREAD_MUTEX_INITIALIZER,
			       .wake = PTHREAD_COND_INITIALIZER};
	uint32_t count = tree_shard_count(tree);
	int64_t total = 0, got;

	for (uint32_t i = 0; i < count; i += kit.read.count) {
		kit.read.count = MIN(window, count - i);
		for (unsigned int k = 0; k < kit.read.count; k++) {
			kit.read.piece[k].tree = tree;
			kit.read.piece[k].shard = i + k;
		}
		got = kit_read_some(depot, &kit);
		if (got == 0)
			got = kit_read_prove(&kit.read);
		depot_read_release(depot, &kit.read);
		if (got < 0)
			return got;
		total += got;
	}
	return total;
}

/* --- files --------------------------------------------------------------- */

void kit_file_read(const char *path, uint8_t **bytes, size_t *len)
{
	void *got;

	ASSERT(io_read_file(path, 1 << 30, &got, len) == 0);
	*bytes = got;
}

void kit_file_write(const char *path, const void *bytes, size_t len)
{
	ASSERT(io_replace_file(path, bytes, len) == 0);
}

void kit_file_flip(const char *path, size_t off)
{
	uint8_t *bytes;
	size_t len;

	kit_file_read(path, &bytes, &len);
	bytes[off % len] ^= 0x10;
	kit_file_write(path, bytes, len);
	free(bytes);
}

void kit_file_cut(const char *path, size_t len)
{
	ASSERT(truncate(path, (off_t)len) == 0);
}
