/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the policy is short: prove, then put; what fails its proof later is
 * taken out, since it can be fetched again.
 */
#include "depot/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "depot/clock.h"
#include "depot/format.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "depot/space.h"

static const char store_format_key[] = "format";
enum { STORE_FORMAT_KEY_LEN = sizeof(store_format_key) - 1 };

/* Shards here, and their stored bytes: two u64 LE that ride in the batch of
 * each change, so that they are lost with it or not at all. */
static const char store_figures_key[] = "figures";
enum {
	STORE_FIGURES_KEY_LEN = sizeof(store_figures_key) - 1,
	STORE_FIGURES_LEN = 16,
	STORE_WALK_STEP = 256, /* names that a walk reads at a time */
	STORE_MEND_S = 5,      /* between two tries where there is damage */
};

struct store {
	struct kv *kv;                 /* owns */
	struct space *space;           /* borrows; NULL */
	char *path;                    /* owns */
	const struct store_gate *gate; /* borrows; NULL */
	void *gate_ctx;
	atomic_bool dirty;
	_Atomic int64_t flushed_sec;
	int64_t mended_sec; /* space's thread */
	_Atomic uint64_t verify_failures;
	pthread_mutex_t lock; /* of changes */
	/* guarded by lock: */
	uint64_t shards, bytes;
};

static int64_t store_now_sec(void)
{
	return (int64_t)(clock_coarse_ms() / 1000);
}

static int store_write_format(struct kv *kv, enum kv_kind kind)
{
	uint8_t value[4];
	int rc;

	le32_put(value, FORMAT_STORE);
	rc = kv_put(kv, store_format_key, STORE_FORMAT_KEY_LEN, value,
		    sizeof(value));
	if (rc < 0)
		return rc;
	return kind == KV_STATE ? kv_sync_log(kv) : kv_flush(kv);
}

int store_check_format(struct kv *kv, enum kv_kind kind, const char *what)
{
	struct kv_value value;
	uint32_t number = 0;
	int rc;

	rc = kv_get(kv, store_format_key, STORE_FORMAT_KEY_LEN, &value);
	if (rc == -ENOENT)
		return store_write_format(kv, kind);
	if (rc == -EBADMSG && kind == KV_SHARDS) {
		/* Its block is damaged.  Shards prove themselves, and can be
		 * fetched again. */
		log_warn("%s: its format number is damaged; written anew",
			 what);
		rc = store_write_format(kv, kind);
		/* A merge has met damage just now: store_mend() is next, and
		 * another start writes the number. */
		return rc == -EBADMSG ? 0 : rc;
	}
	if (rc < 0)
		return rc;
	if (value.len == sizeof(number))
		number = le32_get(value.data);
	kv_value_release(&value);
	if (number == 0)
		return log_err(-EBADMSG, "%s: no format number", what);
	if (number > FORMAT_STORE)
		return log_err(-EPROTONOSUPPORT,
			       "%s: written by a newer vdrive (format %u, "
			       "this one reads up to %d): upgrade vdrive",
			       what, number, FORMAT_STORE);
	return 0;
}

static int store_load_figures(struct store *store)
{
	struct kv_value value;
	int rc =
	    kv_get(store->kv, store_figures_key, STORE_FIGURES_KEY_LEN, &value);

	store->shards = store->bytes = 0;
	if (rc == -ENOENT)
		return 0;
	if (rc == -EBADMSG) {
		log_warn("store %s: its figures are damaged and begin anew",
			 store->path);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (value.len == STORE_FIGURES_LEN) {
		store->shards = le64_get(value.data);
		store->bytes = le64_get(value.data + 8);
	} else {
		log_warn("store %s: its figures are damaged", store->path);
	}
	kv_value_release(&value);
	return 0;
}

/* --- a full disk, and damage --------------------------------------------- */

/* A merge that meets damage again at once must not keep everybody out. */
static bool store_may_mend(struct store *store)
{
	int64_t now = store_now_sec();

	if (store->mended_sec > 0 && now - store->mended_sec < STORE_MEND_S)
		return false;
	store->mended_sec = now;
	return true;
}

/* There is room, or a merge has met a damaged block: then RocksDB refuses all
 * changes till it is opened again.  On space's thread. */
static int store_mend(void *ctx)
{
	struct store *store = ctx;
	int rc = kv_error(store->kv);

	if (rc == 0)
		return 0;
	if (!kv_is_full(rc) && !store_may_mend(store))
		return -EAGAIN;
	/* No change may come between the opening and its figures. */
	pthread_mutex_lock(&store->lock);
	rc = kv_recover(store->kv);
	if (rc == 0)
		rc = store_load_figures(store);
	pthread_mutex_unlock(&store->lock);
	return rc;
}

static void store_kv_failed(void *ctx)
{
	struct store *store = ctx;

	space_trouble(store->space);
}

static int store_open_kv(struct store *store,
			 const struct store_options *options)
{
	struct kv_options kv = {
	    .memory_max = options->memory_max,
	    .disk_max = options->disk_max,
	    .space = options->space,
	};
	int rc = kv_open_with(store->path, KV_SHARDS, &kv, &store->kv);

	if (rc == 0)
		kv_on_failure(store->kv, store_kv_failed, store);
	return rc;
}

/* --- opening, closing ---------------------------------------------------- */

int store_open(const char *path, size_t memory_max, struct space *space,
	       struct store **store)
{
	struct store_options options = {.memory_max = memory_max,
					.space = space};

	return store_open_with(path, &options, store);
}

int store_open_with(const char *path, const struct store_options *options,
		    struct store **store)
{
	struct space *space = options->space;
	struct store *s;
	int rc;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->path = strdup(path);
	s->flushed_sec = store_now_sec();
	s->space = space;
	rc = s->path ? store_open_kv(s, options) : -ENOMEM;
	if (rc == 0)
		rc = store_check_format(s->kv, KV_SHARDS, path);
	if (rc == 0)
		rc = store_load_figures(s);
	if (rc < 0) {
		store_close(s);
		return rc;
	}
	space_on_room(space, store_mend, s);
	if (kv_error(s->kv) < 0)
		space_trouble(space);
	*store = s;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	/* Lost shards only cost a second fetch. */
	if (atomic_load(&store->dirty) && store_flush(store) < 0)
		log_warn("store %s: not flushed at close", store->path);
	kv_close(store->kv);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

void store_set_gate(struct store *store, const struct store_gate *gate,
		    void *ctx)
{
	store->gate = gate;
	store->gate_ctx = ctx;
}

int store_error(struct store *store)
{
	return kv_error(store->kv);
}

int store_get(struct store *store, const struct digest *name,
	      struct kv_value *value)
{
	return kv_get(store->kv, name->bytes, DIGEST_LEN, value);
}

bool store_has(struct store *store, const struct digest *name)
{
	struct kv_value value;

	if (store_get(store, name, &value) < 0)
		return false;
	kv_value_release(&value);
	return true;
}

/* Write a batch with the figures that are true after it; lock. */
static int store_write(struct store *store, struct kv_batch *batch,
		       uint64_t shards, uint64_t bytes)
{
	uint8_t figures[STORE_FIGURES_LEN];
	int rc;

	le64_put(figures, shards);
	le64_put(figures + 8, bytes);
	kv_batch_put(batch, store_figures_key, STORE_FIGURES_KEY_LEN, figures,
		     sizeof(figures));
	rc = kv_write(store->kv, batch);
	if (rc < 0)
		return rc;
	store->shards = shards;
	store->bytes = bytes;
	atomic_store(&store->dirty, true);
	return 0;
}

/* Put (shard not NULL) or take out one shard, with the figures. */
static int store_change(struct store *store, const struct digest *name,
			const void *shard, size_t shard_len)
{
	uint64_t shards = store->shards, bytes = store->bytes;
	struct kv_batch *batch = kv_batch_new();
	struct kv_value old;
	int rc;

	if (!batch)
		return -ENOMEM;
	if (shard && space_check(store->space, shard_len) < 0) {
		kv_batch_free(batch);
		return -ENOSPC;
	}
	if (store_get(store, name, &old) == 0) {
		shards -= shards > 0;
		bytes -= MIN(bytes, old.len);
		kv_value_release(&old);
	}
	if (shard) {
		shards++;
		bytes += shard_len;
		kv_batch_put(batch, name->bytes, DIGEST_LEN, shard, shard_len);
	} else {
		kv_batch_delete(batch, name->bytes, DIGEST_LEN);
	}
	rc = store_write(store, batch, shards, bytes);
	kv_batch_free(batch);
	return rc;
}

int store_put_proved(struct store *store, const struct digest *name,
		     const void *shard, size_t shard_len)
{
	int rc;

	pthread_mutex_lock(&store->lock);
	rc = store_change(store, name, shard, shard_len);
	pthread_mutex_unlock(&store->lock);
	if (rc == 0 && store->gate)
		store->gate->was_put(store->gate_ctx, shard_len);
	return rc;
}

int store_put_fetched(struct store *store, const struct digest *name,
		      const void *shard, size_t shard_len)
{
	if (store->gate &&
	    !store->gate->admits(store->gate_ctx, name, shard_len))
		return -EDQUOT;
	return store_put_proved(store, name, shard, shard_len);
}

static int store_prove(const uint8_t *salt, const struct digest *name,
		       const void *shard, size_t shard_len)
{
	CLEANUP_FREE uint8_t *chunk = NULL;
	size_t chunk_len;
	int rc;

	rc = shard_chunk_len(shard, shard_len, &chunk_len);
	if (rc < 0)
		return rc;
	chunk = malloc(chunk_len);
	if (!chunk)
		return -ENOMEM;
	return shard_open(salt, name, shard, shard_len, chunk, chunk_len,
			  &chunk_len);
}

/*
 * Is a good shard of this name here?  Rotten bytes must not shut out the good
 * ones that are just being put.  The usual repetition is the same bytes again.
 */
static bool store_has_good(struct store *store, const uint8_t *salt,
			   const struct digest *name, const void *shard,
			   size_t shard_len)
{
	struct kv_value value;
	bool good;

	if (store_get(store, name, &value) < 0)
		return false;
	good = (value.len == shard_len &&
		memcmp(value.data, shard, shard_len) == 0) ||
	       store_prove(salt, name, value.data, value.len) == 0;
	kv_value_release(&value);
	return good;
}

int store_put(struct store *store, const uint8_t *salt,
	      const struct digest *name, const void *shard, size_t shard_len,
	      bool *added)
{
	char hex[DIGEST_HEX_LEN + 1];
	bool here;
	int rc;

	rc = store_prove(salt, name, shard, shard_len);
	if (rc < 0) {
		digest_to_hex(name, hex);
		return log_err(rc, "shard %s: refused", hex);
	}
	here = store_has_good(store, salt, name, shard, shard_len);
	if (added)
		*added = !here;
	if (here)
		return 0;
	rc = store->gate ? store->gate->make_room(store->gate_ctx, shard_len)
			 : 0;
	if (rc < 0)
		return rc;
	return store_put_proved(store, name, shard, shard_len);
}

/* Is what was found bad still there?  lock */
static bool store_is_still(struct store *store, const struct digest *name,
			   const struct digest *bad, size_t *shard_len)
{
	struct kv_value value;
	struct digest found;
	int rc = store_get(store, name, &value);

	*shard_len = 0;
	if (rc < 0)
		return rc == -EBADMSG;
	*shard_len = value.len;
	found = digest_of(value.data, value.len);
	kv_value_release(&value);
	return bad && digest_equal(&found, bad);
}

void store_quarantine(struct store *store, const struct digest *name,
		      const struct digest *bad, const char *why)
{
	char hex[DIGEST_HEX_LEN + 1];
	size_t shard_len;
	int rc = -ENOENT;

	pthread_mutex_lock(&store->lock);
	if (store_is_still(store, name, bad, &shard_len))
		rc = store_change(store, name, NULL, 0);
	pthread_mutex_unlock(&store->lock);
	if (rc == -ENOENT)
		return;
	digest_to_hex(name, hex);
	atomic_fetch_add(&store->verify_failures, 1);
	log_warn("store %s: shard %s (%zu bytes) %s: %s", store->path, hex,
		 shard_len, rc == 0 ? "taken out" : "not deleted", why);
}

/* --- taking out, walking ------------------------------------------------- */

int store_remove_list(struct store *store, const struct digest *names,
		      size_t count, uint64_t *removed)
{
	struct kv_batch *batch = kv_batch_new();
	uint64_t shards = 0, bytes = 0;
	struct kv_value value;
	int rc = 0;

	ASSERT(count <= STORE_REMOVE_MAX);

	if (!batch)
		return -ENOMEM;
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < count; i++) {
		if (store_get(store, &names[i], &value) < 0)
			continue;
		shards++;
		bytes += value.len;
		kv_value_release(&value);
		kv_batch_delete(batch, names[i].bytes, DIGEST_LEN);
	}
	if (shards > 0)
		rc = store_write(store, batch,
				 store->shards - MIN(store->shards, shards),
				 store->bytes - MIN(store->bytes, bytes));
	pthread_mutex_unlock(&store->lock);
	kv_batch_free(batch);
	if (removed)
		*removed = rc < 0 ? 0 : bytes;
	return rc;
}

int store_remove(struct store *store, const struct digest *name)
{
	uint64_t removed;
	int rc = store_remove_list(store, name, 1, &removed);

	if (rc < 0)
		return rc;
	return removed > 0 ? 0 : -ENOENT;
}

int store_compact(struct store *store, const struct digest *from,
		  const struct digest *to)
{
	return kv_compact(store->kv, from->bytes, DIGEST_LEN, to->bytes,
			  DIGEST_LEN);
}

struct store_step {
	unsigned int count;
	struct digest names[STORE_WALK_STEP];
	size_t lens[STORE_WALK_STEP];
};

/* The next names; no iterator outlives it, since kv_recover() waits for them
 * and the visitor may wait for kv_recover(). */
static int store_walk_step(struct store *store, const struct digest *from,
			   struct store_step *step)
{
	struct kv_iter *it =
	    kv_iter_new(store->kv, "", 0, from->bytes, DIGEST_LEN);
	const uint8_t *key;
	size_t len;
	int rc;

	step->count = 0;
	if (!it)
		return -ENOMEM;
	for (; kv_iter_valid(it) && step->count < STORE_WALK_STEP;
	     kv_iter_next(it)) {
		key = kv_iter_key(it, &len);
		if (len != DIGEST_LEN)
			continue; /* the store's own keys */
		memcpy(step->names[step->count].bytes, key, DIGEST_LEN);
		kv_iter_value(it, &step->lens[step->count]);
		step->count++;
	}
	rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

/* false: there is none after it. */
static bool store_next_name(struct digest *name)
{
	for (int i = DIGEST_LEN - 1; i >= 0; i--)
		if (++name->bytes[i] != 0)
			return true;
	return false;
}

int store_walk(struct store *store, const struct digest *from,
	       int (*visit)(void *ctx, const struct digest *name,
			    size_t shard_len),
	       void *ctx)
{
	CLEANUP_FREE struct store_step *step = malloc(sizeof(*step));
	struct digest at = {{0}};
	int rc = 0;

	if (!step)
		return -ENOMEM;
	if (from)
		at = *from;
	do {
		rc = store_walk_step(store, &at, step);
		for (unsigned int i = 0; rc == 0 && i < step->count; i++)
			rc = visit(ctx, &step->names[i], step->lens[i]);
		if (step->count > 0)
			at = step->names[step->count - 1];
	} while (rc == 0 && step->count == STORE_WALK_STEP &&
		 store_next_name(&at));
	return rc;
}

int store_flush(struct store *store)
{
	int rc;

	/* Cleared first: a put during the flush may miss it. */
	atomic_store(&store->dirty, false);
	atomic_store(&store->flushed_sec, store_now_sec());
	rc = kv_flush(store->kv);
	if (rc < 0)
		atomic_store(&store->dirty, true);
	return rc;
}

void store_flush_by_timer(struct store *store)
{
	int64_t last = atomic_load(&store->flushed_sec);

	if (!atomic_load(&store->dirty) ||
	    store_now_sec() - last < STORE_FLUSH_S)
		return;
	/* One of the threads that come here does it. */
	if (!atomic_compare_exchange_strong(&store->flushed_sec, &last,
					    store_now_sec()))
		return;
	if (store_flush(store) < 0)
		log_warn("store %s: flush failed, tried again later",
			 store->path);
}

uint64_t store_disk_bytes(struct store *store)
{
	uint64_t bytes = 0;
	struct dirent *entry;
	DIR *dir = opendir(store->path);
	struct stat st;

	while (dir && (entry = readdir(dir)))
		/* One that has just gone counts for nothing. */
		if (fstatat(dirfd(dir), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	if (dir)
		closedir(dir);
	return bytes;
}

uint64_t store_unwritten_bytes(struct store *store)
{
	struct kv_stats stats;

	kv_get_stats(store->kv, &stats);
	return stats.unwritten_bytes;
}

uint64_t store_unmerged_bytes(struct store *store)
{
	struct kv_stats stats;

	kv_get_stats(store->kv, &stats);
	return stats.unmerged_bytes;
}

void store_get_stats(struct store *store, struct store_stats *stats)
{
	pthread_mutex_lock(&store->lock);
	stats->bytes = store->bytes;
	stats->shards = store->shards;
	pthread_mutex_unlock(&store->lock);
	stats->verify_failures = atomic_load(&store->verify_failures);
}
