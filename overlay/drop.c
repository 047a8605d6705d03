/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drop: layers that no guest and no snapshot stands on any more.
 *
 * No counts are kept.  A layer lives when a guest's record or a snapshot names
 * it, or a living layer stands on it; every other layer that has a key 'L'
 * goes: its host files, then its keys, the 'L' key last.  So a crash anywhere
 * leaves only work for the next start.  A thread of its own does it, and merges
 * layers (merge.h).
 */
#include <stdio.h>
#include <unistd.h>

#include "depot/io.h"
#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/merge.h"
#include "overlay/site_impl.h"

struct drops {
	struct site *site;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	/* guarded by lock: */
	bool kicked, busy, stop;
};

struct drop_list {
	struct kv *kv;
	struct idset live;
	uint64_t *garbage; /* owns */
	unsigned int count;
};

/* --- what goes ----------------------------------------------------------- */

struct named_walk {
	int (*visit)(void *ctx, uint64_t layer, bool top);
	void *ctx;
};

static int named_guest(void *ctx, const struct each_key *key)
{
	const struct named_walk *walk = ctx;
	struct guest_record record;
	int rc = guest_decode(key->value, key->value_len, &record);

	return rc < 0 ? rc : walk->visit(walk->ctx, record.layer, true);
}

static int named_snapshot(void *ctx, const struct each_key *key)
{
	const struct named_walk *walk = ctx;
	struct snapshot_record record;
	int rc = snapshot_decode(key->value, key->value_len, &record);

	return rc < 0 ? rc : walk->visit(walk->ctx, record.layer, false);
}

int site_each_named(struct site *site,
		    int (*visit)(void *ctx, uint64_t layer, bool top),
		    void *ctx)
{
	struct named_walk walk = {visit, ctx};
	struct record_key prefix;
	int rc;

	record_key_text(&prefix, 'G', "");
	rc = each_key(site->kv, &prefix, SIZE_MAX, named_guest, &walk);
	record_key_text(&prefix, 'P', "");
	return rc < 0 ? rc
		      : each_key(site->kv, &prefix, SIZE_MAX, named_snapshot,
				 &walk);
}

static int drop_mark(void *ctx, uint64_t id, bool top)
{
	struct drop_list *list = ctx;

	(void)top;
	while (id != 0 && !idset_has(&list->live, id)) {
		int rc = idset_reserve(&list->live, 1);

		if (rc < 0)
			return rc;
		idset_add(&list->live, id);
		rc = layer_parent(list->kv, id, &id);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int drop_find(void *ctx, const struct each_key *key)
{
	struct drop_list *list = ctx;
	uint64_t id = be64_get(key->rest);
	uint64_t *bigger;

	if (idset_has(&list->live, id))
		return 0;
	bigger = realloc(list->garbage, (list->count + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	list->garbage = bigger;
	list->garbage[list->count++] = id;
	return 0;
}

/* While no verb runs, the tables of guests, snapshots and layers agree. */
static int drop_collect(struct site *site, struct drop_list *list)
{
	struct record_key prefix;
	int rc;

	*list = (struct drop_list){.kv = site->kv};
	pthread_mutex_lock(&site->verbs);
	rc = site_each_named(site, drop_mark, list);
	record_key_text(&prefix, 'L', "");
	if (rc == 0)
		rc = each_key(site->kv, &prefix, 8, drop_find, list);
	pthread_mutex_unlock(&site->verbs);
	idset_clear(&list->live);
	return rc;
}

/* --- one layer ----------------------------------------------------------- */

struct drop {
	struct drops *drops;
	uint64_t layer;
};

static int drop_file(const struct drop *d, uint64_t layer, uint64_t data_id)
{
	char path[640];
	int rc;

	snprintf(path, sizeof(path), "%s/data/%016llx/%02x/%016llx",
		 depot_path(d->drops->site->depot), (unsigned long long)layer,
		 (unsigned int)(data_id & (DATA_DIRS - 1)),
		 (unsigned long long)data_id);
	rc = io_unlink(path);
	if (rc < 0)
		return log_err(rc, "deleting %s", path);
	if (layer != d->layer)
		drop_parents(path); /* of a layer that was merged */
	return __atomic_load_n(&d->drops->stop, __ATOMIC_RELAXED) ? -ECANCELED
								  : 0;
}

static int drop_inode(void *ctx, const struct each_key *key)
{
	const struct drop *d = ctx;
	struct record rec;
	int rc = record_decode(key->value, key->value_len, &rec);

	if (rc < 0 || rec.data.kind != RECORD_DATA_HOST)
		return rc;
	return drop_file(d, rec.data.layer ? rec.data.layer : d->layer,
			 rec.data.data_id);
}

static int drop_reap(void *ctx, const struct each_key *key)
{
	const struct drop *d = ctx;
	uint64_t layer = d->layer;

	if (key->value_len == 9)
		layer = le64_get(key->value + 1);
	return drop_file(d, layer, be64_get(key->rest));
}

void drop_parents(char *path)
{
	for (int i = 0; i < 2; i++) {
		*strrchr(path, '/') = '\0';
		if (rmdir(path) < 0)
			break;
	}
}

/* One with another layer's files in it stays for that: merges move records, not
 * host files. */
void drop_dirs(const struct site *site, uint64_t layer)
{
	char path[640];
	int len = snprintf(path, sizeof(path), "%s/data/%016llx",
			   depot_path(site->depot), (unsigned long long)layer);

	for (unsigned int i = 0; i < 256; i++) {
		snprintf(path + len, sizeof(path) - (size_t)len, "/%02x", i);
		(void)rmdir(path);
	}
	path[len] = '\0';
	(void)rmdir(path);
}

static int drop_keys(const struct drop *d)
{
	struct kv *kv = d->drops->site->kv;
	struct kv_batch *batch = kv_batch_new();
	struct record_key from, to, key;
	int rc;

	if (!batch)
		return -ENOMEM;
	record_key_kind(&from, d->layer, '\0');
	record_key_kind(&to, d->layer, '\xff');
	record_key_layer(&key, d->layer);
	kv_batch_delete_range(batch, from.bytes, from.len, to.bytes, to.len);
	kv_batch_delete(batch, key.bytes, key.len);
	rc = kv_write(kv, batch);
	kv_batch_free(batch);
	return rc;
}

static int drop_one(struct drops *drops, uint64_t layer)
{
	struct kv *kv = drops->site->kv;
	struct drop d = {drops, layer};
	struct record_key prefix;
	int rc;

	record_key_kind(&prefix, layer, 'i');
	rc = each_key(kv, &prefix, 8, drop_inode, &d);
	record_key_kind(&prefix, layer, 'r');
	if (rc == 0)
		rc = each_key(kv, &prefix, 8, drop_reap, &d);
	if (rc < 0)
		return rc;
	drop_dirs(drops->site, layer);
	return drop_keys(&d);
}

/* --- the thread ---------------------------------------------------------- */

static void drops_round(struct drops *drops)
{
	struct drop_list list;
	int rc = drop_collect(drops->site, &list);

	for (unsigned int i = 0; i < list.count && rc == 0; i++)
		rc = drop_one(drops, list.garbage[i]);
	free(list.garbage);
	if (rc == 0) {
		rc = merge_guests(drops->site, &drops->stop);
		if (rc < 0)
			log_warn(
			    "layers are not merged yet: %s; the next start "
			    "tries again",
			    strerror(-rc));
	} else if (rc != -ECANCELED)
		log_warn("space of deltas that are gone is not all free yet: "
			 "%s; the next start tries again",
			 strerror(-rc));
}

static void *drops_run(void *arg)
{
	struct drops *drops = arg;

	pthread_mutex_lock(&drops->lock);
	while (!drops->stop) {
		if (!drops->kicked) {
			pthread_cond_broadcast(&drops->idle);
			pthread_cond_wait(&drops->wake, &drops->lock);
			continue;
		}
		drops->kicked = false;
		drops->busy = true;
		pthread_mutex_unlock(&drops->lock);
		drops_round(drops);
		pthread_mutex_lock(&drops->lock);
		drops->busy = false;
	}
	pthread_mutex_unlock(&drops->lock);
	return NULL;
}

int drops_new(struct site *site, struct drops **drops)
{
	struct drops *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return -ENOMEM;
	d->site = site;
	d->kicked = true;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wake, NULL);
	pthread_cond_init(&d->idle, NULL);
	rc = -pthread_create(&d->thread, NULL, drops_run, d);
	if (rc < 0) {
		free(d);
		return log_err(rc, "no thread to drop layers");
	}
	*drops = d;
	return 0;
}

void drops_kick(struct drops *drops)
{
	pthread_mutex_lock(&drops->lock);
	drops->kicked = true;
	pthread_cond_signal(&drops->wake);
	pthread_mutex_unlock(&drops->lock);
}

void drops_drain(struct drops *drops)
{
	pthread_mutex_lock(&drops->lock);
	while (drops->kicked || drops->busy)
		pthread_cond_wait(&drops->idle, &drops->lock);
	pthread_mutex_unlock(&drops->lock);
}

void drops_free(struct drops *drops)
{
	if (!drops)
		return;
	pthread_mutex_lock(&drops->lock);
	__atomic_store_n(&drops->stop, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&drops->wake);
	pthread_mutex_unlock(&drops->lock);
	pthread_join(drops->thread, NULL);
	pthread_cond_destroy(&drops->wake);
	pthread_cond_destroy(&drops->idle);
	pthread_mutex_destroy(&drops->lock);
	free(drops);
}
