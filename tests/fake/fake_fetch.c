/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/fake_fetch.h"

#include <stdio.h>

#include "depot/shard.h"
#include "tests/fake/fake_source.h"
#include "tests/lib/tmpdir.h"

struct rig_order rig_order = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fetchrig_publish(struct fetchrig *f)
{
	CLEANUP_FREE char *maker = tmpdir_path(f->dir, "maker");
	CLEANUP_FREE char *url = kit_url(f->out);
	struct depot *depot = kit_open(maker);
	struct package_info info;
	struct package_ref ref;
	struct publish publish;

	kit_create(depot, "hello", "1", 40, 1, &f->package);
	ASSERT(kit_publish(depot, f->out, "hello", "1", &f->package,
			   &publish) == 0);
	depot_close(depot);
	depot = kit_open(f->host);
	ASSERT(depot_upstream_add(depot, "lab", url, true) == 0);
	ASSERT(package_ref_parse("hello:1", &ref) == 0);
	ASSERT(depot_package_resolve(depot, &ref, &info) == 0);
	depot_close(depot);
}

struct fetch_options fetchrig_options(void)
{
	return (struct fetch_options){.threads = 3,
				      .backoff_min_ms = 5,
				      .backoff_max_ms = 40,
				      .give_up_ms = 400,
				      .linger_ms = 100,
				      .late_ms = 80,
				      .silent_ms = 600,
				      .slow_ms = 400,
				      .avoid_ms = 300};
}

void fetchrig_open_with(struct fetchrig *f, const struct fetch_options *options)
{
	char path[300];

	memset(f, 0, sizeof(*f));
	fake_source_set(0, FAKE_FAULT_NONE, 0);
	fake_source_set(1, FAKE_FAULT_NONE, 0);
	f->dir = tmpdir_new();
	f->host = tmpdir_path(f->dir, "host");
	f->out = tmpdir_path(f->dir, "out");
	f->spare = tmpdir_path(f->dir, "spare");
	fetchrig_publish(f);
	snprintf(path, sizeof(path), "%s/state", f->host);
	ASSERT(kv_open(path, KV_STATE, 8 << 20, &f->state) == 0);
	snprintf(path, sizeof(path), "%s/shards", f->host);
	ASSERT(store_open(path, 8 << 20, NULL, &f->store) == 0);
	ASSERT(upstreams_open(f->state, &f->upstreams) == 0);
	ASSERT(fetch_new(f->state, f->host, f->store, f->upstreams, options,
			 &f->fetch) == 0);
	fake_source_set(0, FAKE_FAULT_NONE, 0);
}

void fetchrig_open(struct fetchrig *f)
{
	struct fetch_options options = fetchrig_options();

	fetchrig_open_with(f, &options);
}

void fetchrig_add_spare(struct fetchrig *f, bool whole)
{
	CLEANUP_FREE char *url = kit_url(f->spare);
	struct upstream_spec spec = {
	    .name = "spare", .url = url, .is_unsigned = true};
	char command[600];

	snprintf(command, sizeof(command), "cp -r %s %s", f->out, f->spare);
	ASSERT(system(command) == 0);
	if (!whole) {
		snprintf(command, sizeof(command), "rm -r %s/tags %s/index",
			 f->spare, f->spare);
		ASSERT(system(command) == 0);
	}
	ASSERT(upstreams_add(f->upstreams, &spec) == 0);
	fake_source_set(1, FAKE_FAULT_NONE, 0);
}

void fetchrig_close(struct fetchrig *f)
{
	fetch_free(f->fetch);
	upstreams_close(f->upstreams);
	store_close(f->store);
	kv_close(f->state);
	kit_package_clear(&f->package);
	tmpdir_remove(f->dir);
	free(f->host);
	free(f->out);
	free(f->spare);
}

/* --- jobs ---------------------------------------------------------------- */

static bool rig_job_wanted(struct fetch_job *job)
{
	struct rig_job *test = container_of(job, struct rig_job, job);

	return !__atomic_load_n(&test->all->unwanted, __ATOMIC_ACQUIRE);
}

static void rig_job_done(struct fetch_job *job, int rc,
			 struct fetch_result *result)
{
	struct rig_job *test = container_of(job, struct rig_job, job);
	struct rig_jobs *all = test->all;

	if (rc == 0) {
		struct digest name =
		    shard_name_of(NULL, result->chunk, result->chunk_len);

		ASSERT(digest_equal(&name,
				    tree_shard_name(job->tree, job->shard)));
	}
	if (all->listed) {
		pthread_mutex_lock(&rig_order.lock);
		rig_order.who[rig_order.count] = job->who;
		rig_order.fetch_class[rig_order.count] = job->fetch_class;
		rig_order.shard[rig_order.count++] = job->shard;
		pthread_mutex_unlock(&rig_order.lock);
	}
	pthread_mutex_lock(&all->lock);
	if (rc == 0)
		all->good++;
	else
		all->bad++;
	all->last_rc = rc;
	all->left--;
	pthread_cond_signal(&all->wake);
	pthread_mutex_unlock(&all->lock);
}

/* of the class and tenant that `all` says */
void rig_jobs_more(struct fetchrig *f, struct rig_jobs *all,
		   struct rig_job *jobs, uint32_t first, uint32_t count,
		   uint32_t step)
{
	struct fetch_job *list = NULL, **end = &list;

	pthread_mutex_lock(&all->lock);
	all->left += count;
	pthread_mutex_unlock(&all->lock);
	for (uint32_t i = 0; i < count; i++) {
		jobs[i].all = all;
		jobs[i].job =
		    (struct fetch_job){.tree = f->package.tree,
				       .shard = first + i * step,
				       .fetch_class = all->fetch_class,
				       .who = all->who,
				       .looked = all->looked,
				       .wanted = rig_job_wanted,
				       .done = rig_job_done};
		*end = &jobs[i].job;
		end = &jobs[i].job.next;
	}
	fetch_submit(f->fetch, list);
}

void rig_jobs_start(struct fetchrig *f, struct rig_jobs *all,
		    struct rig_job *jobs, uint32_t first, uint32_t count,
		    uint32_t step)
{
	memset(all, 0, sizeof(*all));
	rig_jobs_more(f, all, jobs, first, count, step);
}

void rig_jobs_wait(struct rig_jobs *all)
{
	pthread_mutex_lock(&all->lock);
	while (all->left > 0)
		pthread_cond_wait(&all->wake, &all->lock);
	pthread_mutex_unlock(&all->lock);
}
