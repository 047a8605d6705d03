/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reap: host files whose object or data is gone (design 7).  The batch that
 * gives one up holds a key 'r'; the file is deleted when that batch is stable,
 * then the key.  A new host file has such a key from before it is made until
 * the batch that first names it.  A start goes through the keys and lists no
 * directory.
 */
#include <stdio.h>

#include "depot/io.h"
#include "depot/killpoint.h"
#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/site_impl.h"

struct reap {
	struct journal_entry entry;
	struct pool_job job;
	struct view *view;
	uint64_t top;   /* layer that has the key */
	uint64_t layer; /* layer whose directory has the file */
	uint64_t data_id;
};

static int reap_one(struct view *view, uint64_t top, uint64_t layer,
		    uint64_t data_id)
{
	struct record_key key;
	char path[640];
	int rc;

	data_path(view, layer, data_id, path, sizeof(path));
	rc = io_unlink(path);
	if (rc < 0)
		return log_err(rc, "delta %s: deleting %s", view->info.path,
			       path);
	if (layer != top)
		drop_parents(path); /* of a layer that was merged */
	KILL_POINT("reap-unlinked");
	record_key_reap(&key, top, data_id);
	return kv_delete(view->kv, key.bytes, key.len);
}

static void reap_run(struct pool_job *job)
{
	struct reap *reap = container_of(job, struct reap, job);
	struct view *view = reap->view;

	KILL_POINT("reap-stable");
	/* A failure is logged; the key stays, the next start tries again. */
	if (reap_one(view, reap->top, reap->layer, reap->data_id) < 0)
		log_warn("delta %s: space of a deleted file is not free yet",
			 view->info.path);
	free(reap);
	view_flight_end(view);
}

static void reap_stable(struct journal_entry *entry)
{
	struct reap *reap = container_of(entry, struct reap, entry);

	pool_submit(depot_pool(reap->view->depot), &reap->job);
}

int reap_promise(struct view *view, uint64_t data_id)
{
	struct record_key key;

	record_key_reap(&key, view_top(view)->id, data_id);
	return kv_put(view->kv, key.bytes, key.len, "\1", 1);
}

void reap_put_key(struct kv_batch *batch, uint64_t top, uint64_t layer,
		  uint64_t data_id)
{
	uint8_t value[9] = {RECORD_FORMAT};
	struct record_key key;

	record_key_reap(&key, top, data_id);
	le64_put(value + 1, layer);
	kv_batch_put(batch, key.bytes, key.len, value, sizeof(value));
}

int reap_new(struct view *view, uint64_t layer, uint64_t data_id,
	     struct reap **reap)
{
	struct reap *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->view = view;
	r->top = view_top(view)->id;
	r->layer = layer;
	r->data_id = data_id;
	r->entry.run = reap_stable;
	r->job.run = reap_run;
	*reap = r;
	return 0;
}

void reap_submit(struct reap *reap)
{
	view_flight_begin(reap->view);
	journal_submit(reap->view->journal, &reap->entry);
}

void reap_free(struct reap *reap)
{
	free(reap);
}

struct reap_walk {
	struct view *view;
	uint64_t top;
};

static int reap_visit(void *ctx, const struct each_key *key)
{
	struct reap_walk *walk = ctx;
	uint64_t layer = walk->top;

	KILL_POINT("open-reaping");
	if (key->value_len == 9)
		layer = le64_get(key->value + 1);
	return reap_one(walk->view, walk->top, layer, be64_get(key->rest));
}

int reap_all(struct view *view)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < view->layer_count; i++) {
		struct reap_walk walk = {view, view->layer[i]->id};
		struct record_key prefix;

		record_key_kind(&prefix, walk.top, 'r');
		rc = each_key(view->kv, &prefix, 8, reap_visit, &walk);
	}
	/* The keys stay when the disk is full: the next start has them. */
	return kv_is_full(rc) ? 0 : rc;
}
