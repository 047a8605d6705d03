/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch_range: one request, and the proofs of what it brought.  Runs without
 * fetch->lock.
 */
#include <stdio.h>

#include "depot/cache.h"
#include "depot/fetch_inside.h"
#include "depot/layout.h"
#include "depot/log.h"
#include "depot/shard.h"
#include "depot/take.h"

/* Right bytes: 0, stored and told.  -EBADMSG and such: not told. */
static int fetch_prove(struct fetch *fetch, struct fetch_job *job,
		       const uint8_t *shard)
{
	const struct digest *name = tree_shard_name(job->tree, job->shard);
	struct fetch_result result = {.shard = shard, .shard_len = job->len};
	size_t cap;
	int rc;

	rc = shard_chunk_len(shard, job->len, &cap);
	if (rc < 0)
		return rc;
	result.chunk = cache_buffer(cap);
	if (!result.chunk)
		return -ENOMEM;
	rc = shard_open(tree_salt(job->tree), name, shard, job->len,
			result.chunk, cap, &result.chunk_len);
	if (rc < 0) {
		free(result.chunk);
		return rc;
	}
	atomic_fetch_add(&fetch->shards, 1);
	/* A full disk must not stop reading: served, but not kept. */
	if (store_put_proved(fetch->store, name, shard, job->len) < 0)
		log_warn("shard not stored; it will be fetched again");
	fetch_end(fetch, job, 0, &result);
	free(result.chunk);
	return 0;
}

/* Every retry of every job would be a line: one in a while says it too. */
static bool fetch_may_tell(struct fetch_lane *lane)
{
	uint64_t last = atomic_load(&lane->told_ms);
	uint64_t now = fetch_now_ms();

	return (last == 0 || now - last >= FETCH_TELL_MS) &&
	       atomic_compare_exchange_strong(&lane->told_ms, &last, now);
}

static void fetch_say_wrong(struct fetch *fetch, struct fetch_batch *batch,
			    struct fetch_job *job)
{
	char shard[DIGEST_HEX_LEN + 1], pack[DIGEST_HEX_LEN + 1];

	atomic_fetch_add(&fetch->verify_failures, 1);
	digest_to_hex(tree_shard_name(job->tree, job->shard), shard);
	digest_to_hex(&batch->pack, pack);
	log_err(0, "upstream %s: pack %s at %u: not shard %s; thrown away",
		batch->lane->upstream, pack, job->off, shard);
}

/* Leaves in batch->jobs those that failed, each with its rc. */
static void fetch_prove_all(struct fetch *fetch, struct fetch_batch *batch,
			    const uint8_t *bytes)
{
	struct fetch_job *list = batch->jobs, *next;
	int rc;

	batch->jobs = NULL;
	for (; list; list = next) {
		next = list->next;
		rc = fetch_prove(fetch, list, bytes + (list->off - batch->off));
		if (rc == 0)
			continue;
		if (rc != -ENOMEM)
			fetch_say_wrong(fetch, batch, list);
		list->rc = rc;
		list->next = batch->jobs;
		batch->jobs = list;
	}
}

static void fetch_request(struct fetch *fetch, struct fetch_batch *batch,
			  struct upstream *upstream)
{
	struct layout_path path =
	    layout_pack(route_private(batch->jobs->route), &batch->pack);
	CLEANUP_FREE uint8_t *bytes = malloc(batch->len);

	batch->rc = bytes ? upstream_range(upstream, path.text, batch->off,
					   batch->len, bytes, &batch->fault)
			  : -ENOMEM;
	if (batch->rc == 0) {
		atomic_fetch_add(&fetch->bytes, batch->len);
		fetch_prove_all(fetch, batch, bytes);
		return;
	}
	atomic_fetch_add(&fetch->errors, 1);
	for (struct fetch_job *job = batch->jobs; job; job = job->next)
		job->rc = batch->rc;
	if ((batch->rc == -ENOENT || batch->rc == -EBADMSG) &&
	    fetch_may_tell(batch->lane))
		log_err(0, "upstream %s: %s", batch->lane->upstream,
			batch->fault.text);
}

bool fetch_is_bad(int rc)
{
	return rc < 0 && rc != -EHOSTUNREACH && rc != -ENOMEM &&
	       rc != -ENODEV && rc != -ECANCELED;
}

/* What failed had been looked for in the wrong place: it starts anew. */
static void fetch_try_at_once(struct fetch_batch *batch,
			      const struct route *route)
{
	for (struct fetch_job *job = batch->jobs; job; job = job->next)
		if (job->route == route)
			job->tries = 0;
}

/* The upstream answered, but not with the shard: the index may have moved. */
static void fetch_refresh(struct fetch *fetch, struct fetch_batch *batch,
			  struct upstream *upstream)
{
	struct index *index;

	for (struct fetch_job *job = batch->jobs; job; job = job->next) {
		if (!fetch_is_bad(job->rc) ||
		    !route_refresh_due(fetch->routes, job->route))
			continue;
		if (take_index_again(fetch->state, fetch->root, upstream,
				     job->tree, &index) < 0)
			continue;
		if (route_set_index(fetch->routes, job->route, index))
			fetch_try_at_once(batch, job->route);
	}
}

/* A job without an index: its tree's is read, and it goes on. */
static void fetch_find_index(struct fetch *fetch, struct fetch_batch *batch,
			     struct upstream *upstream)
{
	struct fetch_job *job = batch->jobs;
	struct index *index;

	job->rc = take_index_again(fetch->state, fetch->root, upstream,
				   job->tree, &index);
	if (job->rc == 0)
		route_set_index(fetch->routes, job->route, index);
	batch->rc = job->rc == -EHOSTUNREACH ? job->rc : 0;
	snprintf(batch->fault.text, sizeof(batch->fault.text), "no index");
}

void fetch_run(struct fetch *fetch, struct fetch_batch *batch)
{
	struct upstream *upstream =
	    upstreams_find(fetch->upstreams, batch->lane->upstream);

	if (!upstream) {
		log_err(0, "upstream %s: is needed, but has been removed",
			batch->lane->upstream);
		batch->rc = -ENODEV;
		for (struct fetch_job *job = batch->jobs; job; job = job->next)
			job->rc = -ENODEV;
		return;
	}
	if (batch->len == 0) {
		fetch_find_index(fetch, batch, upstream);
	} else {
		fetch_request(fetch, batch, upstream);
		fetch_refresh(fetch, batch, upstream);
	}
	upstream_put(upstream);
}
