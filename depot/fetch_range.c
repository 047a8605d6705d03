/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_range: one request, and the proofs of what it brings, shard by shard
 * as its bytes come.  Runs without fetch->lock.
 */
#include <stdio.h>

#include "depot/cache.h"
#include "depot/fetch_inside.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/take.h"

/* --- proofs -------------------------------------------------------------- */

/* Its flight's end, unless another source was first. */
static void fetch_land(struct fetch *fetch, struct fetch_batch *batch,
		       struct fetch_item *item, struct fetch_result *result,
		       bool stored)
{
	struct fetch_flight *flight = item->flight;
	struct fetch_job *jobs;
	enum fetch_class c;

	pthread_mutex_lock(&fetch->lock);
	c = flight->fetch_class;
	fetch_hand_back(flight, batch->lane);
	if (stored)
		fetch_flight_stored(fetch, flight);
	jobs = fetch_flight_end(fetch, flight);
	if (jobs && flight->hand_lanes)
		fetch_cancel_idle(fetch);
	pthread_mutex_unlock(&fetch->lock);
	if (!jobs) {
		atomic_fetch_add(&fetch->twice_bytes, item->len);
		return;
	}
	atomic_fetch_add(&fetch->shards, 1);
	atomic_fetch_add(&fetch->class_bytes[c], item->len);
	fetch_tell(fetch, jobs, 0, result);
}

/* Right bytes: 0, stored and told.  -EBADMSG and such: not told. */
static int fetch_prove(struct fetch *fetch, struct fetch_batch *batch,
		       struct fetch_item *item)
{
	const uint8_t *shard = batch->bytes + (item->off - batch->off);
	struct fetch_flight *flight = item->flight;
	struct fetch_result result = {.shard = shard, .shard_len = item->len};
	size_t cap;
	int rc;

	rc = shard_chunk_len(shard, item->len, &cap);
	if (rc < 0)
		return rc;
	result.chunk = cache_buffer(cap);
	if (!result.chunk)
		return -ENOMEM;
	rc = shard_open(flight->salted ? flight->salt : NULL, &flight->name,
			shard, item->len, result.chunk, cap, &result.chunk_len);
	if (rc < 0) {
		free(result.chunk);
		return rc;
	}
	/* A full disk must not stop reading: served, but not kept. */
	rc = store_put_fetched(fetch->store, &flight->name, shard, item->len);
	if (rc < 0 && rc != -EDQUOT)
		log_warn("shard not stored; it will be fetched again");
	fetch_land(fetch, batch, item, &result, rc == 0);
	free(result.chunk);
	return 0;
}

static void fetch_say_wrong(struct fetch *fetch, struct fetch_batch *batch,
			    const struct fetch_item *item)
{
	char shard[DIGEST_HEX_LEN + 1], pack[DIGEST_HEX_LEN + 1];

	atomic_fetch_add(&fetch->verify_failures, 1);
	digest_to_hex(&item->flight->name, shard);
	digest_to_hex(&batch->pack, pack);
	log_err(0, "upstream %s: pack %s at %u: not shard %s; thrown away",
		batch->lane->name, pack, item->off, shard);
}

/* Those whose bytes are all among the first `len`. */
static void fetch_prove_some(struct fetch_batch *batch, size_t len)
{
	for (; batch->next < batch->count; batch->next++) {
		struct fetch_item *item = &batch->items[batch->next];

		if (item->off - batch->off + (uint64_t)item->len > len)
			return;
		item->rc = fetch_prove(batch->fetch, batch, item);
		if (item->rc < 0 && item->rc != -ENOMEM)
			fetch_say_wrong(batch->fetch, batch, item);
	}
}

static void fetch_landed(struct source_watch *watch, size_t len)
{
	struct fetch_batch *batch =
	    container_of(watch, struct fetch_batch, watch);

	if (!atomic_load(&batch->first_ms))
		atomic_store(&batch->first_ms, clock_ms());
	atomic_store(&batch->got, len);
	fetch_prove_some(batch, len);
}

/* --- the request --------------------------------------------------------- */

/* Every retry of every flight would be a line: one in a while says it too. */
static bool fetch_may_tell(struct fetch_lane *lane)
{
	uint64_t last = atomic_load(&lane->told_ms);
	uint64_t now = clock_ms();

	return (last == 0 || now - last >= FETCH_TELL_MS) &&
	       atomic_compare_exchange_strong(&lane->told_ms, &last, now);
}

/* We ended it: because it was silent, or because others were first? */
static void fetch_request_ended(struct fetch *fetch, struct fetch_batch *batch)
{
	bool silent;

	pthread_mutex_lock(&fetch->lock);
	silent = batch->silent;
	pthread_mutex_unlock(&fetch->lock);
	if (!silent)
		return;
	batch->rc = -EHOSTUNREACH;
	snprintf(batch->fault.text, sizeof(batch->fault.text),
		 "GET of %u bytes: silent for %.1f s", batch->len,
		 (double)fetch->options.silent_ms / 1000);
	upstream_note_silent(batch->upstream, &batch->fault);
}

void fetch_batch_rest(struct fetch_batch *batch)
{
	free(STEAL(batch->bytes));
	batch->bytes_cap = 0;
}

/* The last request's memory serves the next: fresh pages cost as much as what
 * is read into them.  false: no memory. */
static bool fetch_batch_room(struct fetch_batch *batch)
{
	if (batch->len <= batch->bytes_cap)
		return true;
	fetch_batch_rest(batch);
	batch->bytes = malloc(batch->len);
	batch->bytes_cap = batch->bytes ? batch->len : 0;
	return batch->bytes;
}

static void fetch_request(struct fetch *fetch, struct fetch_batch *batch)
{
	struct layout_path path =
	    layout_pack(route_private(batch->route), &batch->pack);

	batch->watch.landed = fetch_landed;
	batch->watch.connect_ms = 0;
	batch->rc =
	    fetch_batch_room(batch)
		? upstream_range_watched(batch->upstream, path.text, batch->off,
					 batch->len, batch->bytes,
					 &batch->watch, &batch->fault)
		: -ENOMEM;
	if (batch->rc == 0) {
		atomic_fetch_add(&fetch->bytes, batch->len);
		fetch_landed(&batch->watch, batch->len);
		return;
	}
	atomic_fetch_add(&fetch->bytes, atomic_load(&batch->got));
	if (batch->rc == -ECANCELED)
		fetch_request_ended(fetch, batch);
	if (batch->rc != -ECANCELED)
		atomic_fetch_add(&fetch->errors, 1);
	for (; batch->next < batch->count; batch->next++)
		batch->items[batch->next].rc = batch->rc;
	if ((batch->rc == -ENOENT || batch->rc == -EBADMSG) &&
	    fetch_may_tell(batch->lane))
		log_err(0, "upstream %s: %s", batch->lane->name,
			batch->fault.text);
}

bool fetch_is_bad(int rc)
{
	return rc < 0 && rc != -EHOSTUNREACH && rc != -ENOMEM &&
	       rc != -ENODEV && rc != -ECANCELED;
}

/* --- indexes ------------------------------------------------------------- */

static int fetch_get_index(struct fetch *fetch, struct fetch_batch *batch,
			   struct index **index)
{
	return batch->is_origin
		   ? take_index_again(fetch->state, fetch->root,
				      batch->upstream, batch->tree, index)
		   : take_index_beside(fetch->state, fetch->root,
				       batch->upstream, batch->tree, index);
}

/* What failed had been looked for in the wrong place: it starts anew. */
static void fetch_try_at_once(struct fetch *fetch, struct fetch_batch *batch)
{
	pthread_mutex_lock(&fetch->lock);
	for (unsigned int i = 0; i < batch->count; i++)
		if (fetch_is_bad(batch->items[i].rc))
			batch->items[i].rc = -EAGAIN;
	pthread_mutex_unlock(&fetch->lock);
}

/* The upstream answered, but not with the shard: the index may have moved. */
static void fetch_refresh(struct fetch *fetch, struct fetch_batch *batch)
{
	unsigned int number = batch->lane->number;
	struct index *index;
	bool bad = false;

	for (unsigned int i = 0; i < batch->count; i++)
		bad |= fetch_is_bad(batch->items[i].rc);
	if (!bad || !route_refresh_due(fetch->routes, batch->route, number) ||
	    fetch_get_index(fetch, batch, &index) < 0)
		return;
	if (route_set_index(fetch->routes, batch->route, number, index))
		fetch_try_at_once(fetch, batch);
}

/* Has it the tree, and where? */
static void fetch_find_index(struct fetch *fetch, struct fetch_batch *batch)
{
	unsigned int number = batch->lane->number;
	struct index *index;
	uint64_t again_ms;
	int rc = -ENOENT;

	if (!batch->is_origin)
		rc = take_index_kept(fetch->root, batch->lane->name,
				     batch->tree, &index);
	if (rc < 0)
		rc = fetch_get_index(fetch, batch, &index);
	if (rc == 0) {
		route_set_index(fetch->routes, batch->route, number, index);
		return;
	}
	/* The origin ought to have it: it may be only damaged, or late. */
	again_ms = batch->is_origin ? fetch->options.backoff_max_ms / 2
				    : FETCH_ABSENT_MS;
	if (rc == -EHOSTUNREACH || rc == -ECANCELED || rc == -ENOMEM) {
		batch->rc = rc;
		snprintf(batch->fault.text, sizeof(batch->fault.text),
			 "no answer for the index of a tree");
		route_set_unknown(fetch->routes, batch->route, number);
		return;
	}
	route_set_absent(fetch->routes, batch->route, number,
			 clock_ms() + again_ms);
}

void fetch_run(struct fetch *fetch, struct fetch_batch *batch)
{
	if (batch->find) {
		fetch_find_index(fetch, batch);
		return;
	}
	fetch_request(fetch, batch);
	fetch_refresh(fetch, batch);
}
