/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream: list, requests, accounts.
 *
 * An upstream whose URL is changed is a new object under the old name; what was
 * under way at the old one ends, and whoever still wants it asks the new one.
 */
#include "depot/upstream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "depot/log.h"
#include "depot/registry.h"
#include "depot/trust.h"

enum {
	UPSTREAM_WAIT_MS = 500, /* after the first failed try; doubles */
	UPSTREAM_WAIT_STEP_MS = 50,
};

struct upstream {
	atomic_uint refs;
	atomic_bool stopping;
	struct registry_upstream row; /* const */
	struct source *source;        /* owns */
	pthread_mutex_t lock;
	bool up;                          /* lock */
	char last_error[256];             /* lock */
	uint64_t requests, errors, bytes; /* lock */
};

struct upstreams {
	struct kv *state;    /* borrows */
	struct trust *trust; /* owns */
	atomic_uint generation;
	pthread_mutex_t lock;
	struct upstream *all[UPSTREAMS_MAX]; /* lock; ref; sorted by name */
	unsigned int count;                  /* lock */
	struct upstream *probed;             /* lock; borrows; being added */
	bool get_stopped;                    /* lock */
};

/* --- one upstream -------------------------------------------------------- */

static const char *upstream_option(const char *text)
{
	return *text ? text : NULL;
}

static void upstream_options(const struct upstream_access *access,
			     struct source_options *options)
{
	options->credentials = upstream_option(access->credentials);
	options->endpoint = upstream_option(access->endpoint);
	options->region = upstream_option(access->region);
	options->ca_file = upstream_option(access->ca_file);
	options->proxy = upstream_option(access->proxy);
}

static int upstream_new(const struct registry_upstream *row,
			struct upstream **upstream)
{
	struct source_options options;
	const char *unfit;
	struct upstream *u;
	int rc;

	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	upstream_options(&row->access, &options);
	rc = source_new(row->url, &options, &u->source);
	if (rc < 0) {
		free(u);
		unfit = source_option_unfit(row->url, &options);
		if (unfit)
			return log_err(rc,
				       "upstream %s: %s has no use for --%s",
				       row->name, row->url, unfit);
		return log_err(rc, "upstream %s: URL %s", row->name, row->url);
	}
	atomic_init(&u->refs, 1);
	u->row = *row;
	u->up = true;
	pthread_mutex_init(&u->lock, NULL);
	*upstream = u;
	return 0;
}

struct upstream *upstream_ref(struct upstream *upstream)
{
	atomic_fetch_add(&upstream->refs, 1);
	return upstream;
}

void upstream_put(struct upstream *upstream)
{
	if (!upstream || atomic_fetch_sub(&upstream->refs, 1) > 1)
		return;
	source_free(upstream->source);
	pthread_mutex_destroy(&upstream->lock);
	free(upstream);
}

static void upstream_put_ptr(struct upstream **upstream)
{
	upstream_put(*upstream);
}
#define CLEANUP_UPSTREAM CLEANUP(upstream_put_ptr)

const char *upstream_name(const struct upstream *upstream)
{
	return upstream->row.name;
}

bool upstream_is_unsigned(const struct upstream *upstream)
{
	return upstream->row.is_unsigned;
}

unsigned int upstream_priority(const struct upstream *upstream)
{
	return upstream->row.access.priority;
}

/* An object that is not there is an answer: the upstream is up. */
static void upstream_account(struct upstream *upstream, int rc, size_t bytes,
			     const struct source_fault *fault)
{
	/* Who asked did not want it any more: that says nothing of it. */
	if (rc == -ECANCELED)
		return;
	pthread_mutex_lock(&upstream->lock);
	upstream->requests++;
	if (rc == 0)
		upstream->bytes += bytes;
	else
		upstream->errors++;
	upstream->up = rc == 0 || rc == -ENOENT;
	if (rc < 0)
		snprintf(upstream->last_error, sizeof(upstream->last_error),
			 "%.*s", (int)sizeof(upstream->last_error) - 1,
			 fault->text);
	pthread_mutex_unlock(&upstream->lock);
}

int upstream_range(struct upstream *upstream, const char *path, uint64_t off,
		   size_t len, void *buf, struct source_fault *fault)
{
	int rc;

	rc = upstream->source->ops->range(upstream->source, path, off, len, buf,
					  fault);
	upstream_account(upstream, rc, len, fault);
	return rc;
}

int upstream_range_watched(struct upstream *upstream, const char *path,
			   uint64_t off, size_t len, void *buf,
			   struct source_watch *watch,
			   struct source_fault *fault)
{
	const struct source_ops *ops = upstream->source->ops;
	int rc;

	if (!ops->range_watched)
		return upstream_range(upstream, path, off, len, buf, fault);
	rc = ops->range_watched(upstream->source, path, off, len, buf, watch,
				fault);
	upstream_account(upstream, rc, len, fault);
	return rc;
}

bool upstream_can_watch(const struct upstream *upstream)
{
	return upstream->source->ops->range_watched != NULL;
}

void upstream_note_silent(struct upstream *upstream,
			  const struct source_fault *fault)
{
	upstream_account(upstream, -EHOSTUNREACH, 0, fault);
}

static double upstream_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* In small steps: a stop must not wait for us. */
static void upstream_sleep(struct upstream *upstream, unsigned int ms)
{
	struct timespec step = {0, UPSTREAM_WAIT_STEP_MS * 1000000L};

	for (unsigned int slept = 0;
	     slept < ms && !atomic_load(&upstream->stopping);
	     slept += UPSTREAM_WAIT_STEP_MS)
		nanosleep(&step, NULL);
}

static void upstream_say_tries(struct source_fault *fault, unsigned int tries,
			       double seconds)
{
	size_t len = strlen(fault->text);
	char said[64];
	int said_len;

	said_len = snprintf(said, sizeof(said), " (%u tries in %.1f s)", tries,
			    seconds);
	len = MIN(len, sizeof(fault->text) - (size_t)said_len - 1);
	memcpy(fault->text + len, said, (size_t)said_len + 1);
}

int upstream_get(struct upstream *upstream, const char *path, size_t max,
		 unsigned int tries, void **buf, size_t *len,
		 struct source_fault *fault)
{
	unsigned int wait_ms = UPSTREAM_WAIT_MS;
	double start = upstream_now_s();
	int rc;

	ASSERT(tries > 0);

	for (unsigned int i = 1;; i++) {
		rc = upstream->source->ops->get(upstream->source, path, max,
						buf, len, fault);
		upstream_account(upstream, rc, rc == 0 ? *len : 0, fault);
		if (rc != -EHOSTUNREACH)
			return rc;
		if (i >= tries || atomic_load(&upstream->stopping)) {
			if (i > 1)
				upstream_say_tries(fault, i,
						   upstream_now_s() - start);
			return rc;
		}
		upstream_sleep(upstream,
			       MAX(wait_ms, fault->retry_after_s * 1000));
		wait_ms *= 2;
	}
}

/* It is in no list any more; takes a reference; NULL allowed. */
static void upstream_retire(struct upstream *upstream)
{
	if (!upstream)
		return;
	atomic_store(&upstream->stopping, true);
	source_stop(upstream->source);
	upstream_put(upstream);
}

/* --- the list ------------------------------------------------------------ */

/* Place of `name`, or of where it would be. */
static unsigned int upstreams_place(struct upstreams *list, const char *name)
{
	unsigned int i = 0;

	while (i < list->count && strcmp(list->all[i]->row.name, name) < 0)
		i++;
	return i;
}

static bool upstreams_is(struct upstreams *list, unsigned int i,
			 const char *name)
{
	return i < list->count && strcmp(list->all[i]->row.name, name) == 0;
}

/* takes upstream, unless -ENOSPC. */
static int upstreams_put_in(struct upstreams *list, struct upstream *upstream)
{
	struct upstream *old = NULL;
	unsigned int i;
	int rc = 0;

	pthread_mutex_lock(&list->lock);
	i = upstreams_place(list, upstream->row.name);
	if (upstreams_is(list, i, upstream->row.name)) {
		old = list->all[i];
	} else if (list->count == UPSTREAMS_MAX) {
		rc = -ENOSPC;
	} else {
		memmove(&list->all[i + 1], &list->all[i],
			(list->count - i) * sizeof(list->all[0]));
		list->count++;
	}
	if (rc == 0)
		list->all[i] = upstream;
	pthread_mutex_unlock(&list->lock);
	atomic_fetch_add(&list->generation, 1);
	upstream_retire(old);
	return rc;
}

static bool upstreams_has_room(struct upstreams *list, const char *name)
{
	bool room;

	pthread_mutex_lock(&list->lock);
	room = list->count < UPSTREAMS_MAX ||
	       upstreams_is(list, upstreams_place(list, name), name);
	pthread_mutex_unlock(&list->lock);
	return room;
}

static int upstreams_load(void *ctx, const struct registry_upstream *row)
{
	struct upstreams *list = ctx;
	struct upstream *upstream;
	int rc;

	rc = upstream_new(row, &upstream);
	if (rc < 0)
		return rc;
	rc = upstreams_put_in(list, upstream);
	if (rc < 0)
		upstream_put(upstream);
	return rc;
}

int upstreams_open(struct kv *state, struct upstreams **upstreams)
{
	struct upstreams *list;
	int rc;

	list = calloc(1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	list->state = state;
	pthread_mutex_init(&list->lock, NULL);
	rc = trust_new(state, &list->trust);
	if (rc == 0)
		rc = registry_upstream_list(state, upstreams_load, list);
	if (rc < 0) {
		upstreams_close(list);
		return rc;
	}
	*upstreams = list;
	return 0;
}

void upstreams_stop(struct upstreams *upstreams)
{
	pthread_mutex_lock(&upstreams->lock);
	for (unsigned int i = 0; i < upstreams->count; i++) {
		atomic_store(&upstreams->all[i]->stopping, true);
		source_stop(upstreams->all[i]->source);
	}
	pthread_mutex_unlock(&upstreams->lock);
}

static void upstream_stop_get(struct upstream *upstream)
{
	atomic_store(&upstream->stopping, true);
	source_stop_get(upstream->source);
}

void upstreams_stop_get(struct upstreams *upstreams)
{
	pthread_mutex_lock(&upstreams->lock);
	upstreams->get_stopped = true;
	for (unsigned int i = 0; i < upstreams->count; i++)
		upstream_stop_get(upstreams->all[i]);
	if (upstreams->probed)
		upstream_stop_get(upstreams->probed);
	pthread_mutex_unlock(&upstreams->lock);
}

void upstreams_close(struct upstreams *upstreams)
{
	if (!upstreams)
		return;
	for (unsigned int i = 0; i < upstreams->count; i++)
		upstream_put(upstreams->all[i]);
	trust_free(upstreams->trust);
	pthread_mutex_destroy(&upstreams->lock);
	free(upstreams);
}

struct trust *upstreams_trust(struct upstreams *upstreams)
{
	return upstreams->trust;
}

unsigned int upstreams_generation(struct upstreams *upstreams)
{
	return atomic_load(&upstreams->generation);
}

struct upstream *upstreams_find(struct upstreams *upstreams, const char *name)
{
	struct upstream *found = NULL;
	unsigned int i;

	pthread_mutex_lock(&upstreams->lock);
	i = upstreams_place(upstreams, name);
	if (upstreams_is(upstreams, i, name)) {
		found = upstreams->all[i];
		atomic_fetch_add(&found->refs, 1);
	}
	pthread_mutex_unlock(&upstreams->lock);
	return found;
}

unsigned int upstreams_all(struct upstreams *upstreams,
			   struct upstream *all[UPSTREAMS_MAX])
{
	unsigned int count;

	pthread_mutex_lock(&upstreams->lock);
	count = upstreams->count;
	for (unsigned int i = 0; i < count; i++) {
		all[i] = upstreams->all[i];
		atomic_fetch_add(&all[i]->refs, 1);
	}
	pthread_mutex_unlock(&upstreams->lock);
	return count;
}

/* --- add, remove, list --------------------------------------------------- */

/* It is in no list yet; NULL: no longer asked. */
static void upstreams_set_probed(struct upstreams *upstreams,
				 struct upstream *upstream)
{
	pthread_mutex_lock(&upstreams->lock);
	upstreams->probed = upstream;
	if (upstream && upstreams->get_stopped)
		upstream_stop_get(upstream);
	pthread_mutex_unlock(&upstreams->lock);
}

static int upstreams_probe(struct upstreams *upstreams,
			   struct upstream *upstream,
			   const struct upstream_spec *spec)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	upstreams_set_probed(upstreams, upstream);
	rc = upstream_probe(upstream, upstreams->state, upstreams->trust, spec,
			    batch);
	upstreams_set_probed(upstreams, NULL);
	registry_upstream_put(batch, &upstream->row);
	if (rc == 0)
		rc = registry_commit(upstreams->state, batch);
	kv_batch_free(batch);
	return rc;
}

int upstreams_add(struct upstreams *upstreams, const struct upstream_spec *spec)
{
	CLEANUP_UPSTREAM struct upstream *upstream = NULL;
	struct registry_upstream row = {.is_unsigned = spec->is_unsigned};
	const char *name = spec->name, *url = spec->url;
	int rc;

	if (!depot_name_ok(name) || strlen(url) > UPSTREAM_URL_MAX)
		return log_err(-EINVAL, "upstream %.64s: name or URL", name);
	if (!upstreams_has_room(upstreams, name))
		return log_err(-ENOSPC, "upstream %s: there are %d already",
			       name, UPSTREAMS_MAX);
	snprintf(row.name, sizeof(row.name), "%s", name);
	snprintf(row.url, sizeof(row.url), "%s", url);
	if (spec->access)
		row.access = *spec->access;
	rc = upstream_new(&row, &upstream);
	if (rc < 0)
		return rc;
	rc = upstreams_probe(upstreams, upstream, spec);
	if (rc < 0)
		return rc;
	rc = upstreams_put_in(upstreams, upstream);
	if (rc < 0)
		return rc;
	upstream = NULL;
	return 0;
}

/* What was seen of it stays: added again, it cannot be an older one. */
static int upstreams_delete(struct upstreams *upstreams, const char *name)
{
	struct kv_batch *batch = kv_batch_new();
	int rc;

	if (!batch)
		return -ENOMEM;
	rc = trust_begin(upstreams->trust, batch, name, NULL);
	registry_upstream_delete(batch, name);
	if (rc == 0)
		rc = registry_commit(upstreams->state, batch);
	kv_batch_free(batch);
	return rc;
}

int upstreams_remove(struct upstreams *upstreams, const char *name)
{
	CLEANUP_UPSTREAM struct upstream *found =
	    upstreams_find(upstreams, name);
	struct upstream *old = NULL;
	unsigned int i;
	int rc;

	if (!found)
		return log_err(-ENOENT, "upstream %.64s", name);
	rc = upstreams_delete(upstreams, name);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&upstreams->lock);
	i = upstreams_place(upstreams, name);
	if (upstreams_is(upstreams, i, name)) {
		old = upstreams->all[i];
		upstreams->count--;
		memmove(&upstreams->all[i], &upstreams->all[i + 1],
			(upstreams->count - i) * sizeof(upstreams->all[0]));
	}
	pthread_mutex_unlock(&upstreams->lock);
	atomic_fetch_add(&upstreams->generation, 1);
	upstream_retire(old);
	return 0;
}

void upstream_tell(struct upstream *upstream, struct upstream_info *info)
{
	memset(info, 0, sizeof(*info));
	memcpy(info->name, upstream->row.name, sizeof(info->name));
	memcpy(info->url, upstream->row.url, sizeof(info->url));
	info->kind = source_kind(upstream->row.url);
	info->access = upstream->row.access;
	info->is_unsigned = upstream->row.is_unsigned;
	pthread_mutex_lock(&upstream->lock);
	info->up = upstream->up;
	memcpy(info->last_error, upstream->last_error,
	       sizeof(info->last_error));
	info->requests = upstream->requests;
	info->errors = upstream->errors;
	info->bytes = upstream->bytes;
	pthread_mutex_unlock(&upstream->lock);
}

int upstreams_list(struct upstreams *upstreams,
		   int (*visit)(void *ctx, const struct upstream_info *info),
		   void *ctx)
{
	struct upstream *all[UPSTREAMS_MAX];
	unsigned int count = upstreams_all(upstreams, all);
	struct upstream_info info;
	int rc = 0;

	for (unsigned int i = 0; i < count; i++) {
		upstream_tell(all[i], &info);
		if (rc == 0)
			rc = visit(ctx, &info);
		upstream_put(all[i]);
	}
	return rc;
}
