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
#include "depot/log.h"
#include "overlay/view_impl.h"

struct reap {
	struct journal_entry entry;
	struct pool_job job;
	struct view *view;
	uint64_t data_id;
};

static int reap_one(struct view *view, uint64_t data_id)
{
	struct record_key key;
	char path[640];
	int rc;

	data_path(view, data_id, path, sizeof(path));
	rc = io_unlink(path);
	if (rc < 0)
		return log_err(rc, "delta %s: deleting %s", view->info.path,
			       path);
	record_key_reap(&key, view->layer, data_id);
	return kv_delete(view->kv, key.bytes, key.len);
}

static void reap_run(struct pool_job *job)
{
	struct reap *reap = container_of(job, struct reap, job);
	struct view *view = reap->view;

	/* A failure is logged; the key stays, the next start tries again. */
	if (reap_one(view, reap->data_id) < 0)
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

	record_key_reap(&key, view->layer, data_id);
	return kv_put(view->kv, key.bytes, key.len, "\1", 1);
}

int reap_new(struct view *view, uint64_t data_id, struct reap **reap)
{
	struct reap *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->view = view;
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

int reap_all(struct view *view)
{
	struct record_key prefix;
	struct kv_iter *it;
	int rc = 0;

	record_key_kind(&prefix, view->layer, 'r');
	it = kv_iter_new(view->kv, prefix.bytes, prefix.len, NULL, 0);
	if (!it)
		return -ENOMEM;
	for (; rc == 0 && kv_iter_valid(it); kv_iter_next(it)) {
		size_t len;
		const uint8_t *key = kv_iter_key(it, &len);

		rc = len == prefix.len + 8
			 ? reap_one(view, be64_get(key + prefix.len))
			 : log_err(-EBADMSG, "state: damaged key");
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}
