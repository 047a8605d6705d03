/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_status: the state of all through the admin API.
 */
#include <stdio.h>
#include <time.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"
#include "nfsd/listen.h"
#include "nfsd/server.h"
#include "overlay/site.h"

enum { CONTROL_QUOTA_WARN = 90 /* per cent of a quota */ };

struct control_count {
	json_int_t tenants, guests;
};

static int control_count_tenant(void *ctx, const struct site_tenant_info *info)
{
	struct control_count *count = ctx;

	count->tenants++;
	count->guests += info->guests;
	return 0;
}

/* Counts by procedure that are not 0. */
static json_t *control_by_procedure(const uint64_t *counts)
{
	json_t *json = json_object();

	for (int i = 0; json && i < NFS3_PROC_COUNT; i++)
		if (counts[i])
			json_object_set_new(
			    json, program_nfs3_name((enum nfs3_proc)i),
			    json_integer((json_int_t)counts[i]));
	return json;
}

/* The only place that knows the server's counters. */
static json_t *control_server_json(const struct control_daemon *daemon)
{
	struct stats stats = {0};

	if (!daemon->server)
		return json_object();
	server_get_stats(daemon->server, &stats);
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
	    "connections", (json_int_t)stats.connections, "accepted",
	    (json_int_t)stats.connections_accepted, "refused",
	    (json_int_t)stats.connections_refused, "in_flight",
	    (json_int_t)stats.in_flight, "replies", (json_int_t)stats.replies,
	    "jukebox", (json_int_t)stats.jukebox, "retransmissions",
	    (json_int_t)stats.retransmissions, "bytes_in",
	    (json_int_t)stats.bytes_in, "bytes_out",
	    (json_int_t)stats.bytes_out, "calls",
	    control_by_procedure(stats.nfs3_calls), "errors",
	    control_by_procedure(stats.nfs3_errors));
}

static void control_warn(json_t *warnings, const char *text)
{
	json_array_append_new(warnings, json_string(text));
}

/* Who has little of a quota left, and who is paused. */
static void control_warn_quota(json_t *warnings, const char *what,
			       const char *name, uint64_t used,
			       const char *unit, uint64_t quota)
{
	uint64_t percent =
	    quota ? (uint64_t)((double)used * 100.0 / (double)quota) : 0;
	char text[512];

	if (percent < CONTROL_QUOTA_WARN)
		return;
	snprintf(text, sizeof(text),
		 "%s %s: %ju %s in deltas, %ju %% of the quota", what, name,
		 (uintmax_t)used, unit, (uintmax_t)percent);
	control_warn(warnings, text);
}

static void control_warn_offline(json_t *warnings, const char *what,
				 const char *name, const char *reason)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "%s %s is offline, its calls are not answered: %s", what, name,
		 reason);
	control_warn(warnings, text);
}

static int control_warn_tenant(void *ctx, const struct site_tenant_info *info)
{
	if (info->offline)
		control_warn_offline(ctx, "tenant", info->name, info->offline);
	control_warn_quota(ctx, "tenant", info->name, info->delta_bytes,
			   "bytes", info->quota.bytes);
	control_warn_quota(ctx, "tenant", info->name, info->delta_files,
			   "objects", info->quota.files);
	return 0;
}

static int control_warn_guest(void *ctx, const struct site_guest_info *info)
{
	char name[CONTROL_GUEST_MAX + 1], text[512];

	snprintf(name, sizeof(name), "%s/%s", info->tenant, info->guest);
	control_warn_quota(ctx, "guest", name, info->delta_bytes, "bytes",
			   info->quota.bytes);
	control_warn_quota(ctx, "guest", name, info->delta_files, "objects",
			   info->quota.files);
	if (info->paused) {
		snprintf(text, sizeof(text),
			 "guest %s is paused: its calls are not answered",
			 name);
		control_warn(ctx, text);
	}
	if (info->offline && !info->tenant_offline)
		control_warn_offline(ctx, "guest", name, info->offline);
	return 0;
}

static void control_warn_listen(void *ctx, uint32_t export_id UNUSED,
				const struct site_listen *at, int error)
{
	char where[LISTEN_TEXT_MAX], text[512];

	listen_format(at, where);
	snprintf(text, sizeof(text),
		 "a guest's listening address %s cannot be used: %s", where,
		 strerrordesc_np(-error));
	control_warn(ctx, text);
}

static json_t *control_warnings(struct site *site, struct server *server,
				const struct depot_stats *stats,
				const json_t *upstreams)
{
	json_t *list = json_array(), *up;
	char text[512];
	size_t i;

	if (stats->verify_failures_store) {
		snprintf(text, sizeof(text),
			 "%ju shards on this host were damaged and have been "
			 "fetched again",
			 (uintmax_t)stats->verify_failures_store);
		control_warn(list, text);
	}
	if (stats->verify_failures_upstream) {
		snprintf(text, sizeof(text),
			 "%ju shards from upstreams were not what they claimed",
			 (uintmax_t)stats->verify_failures_upstream);
		control_warn(list, text);
	}
	if (stats->full) {
		snprintf(text, sizeof(text),
			 "packages made here or pinned (about %ju MiB) leave "
			 "no room within the store's quota of %ju MiB: what is "
			 "fetched is not stored",
			 (uintmax_t)(stats->kept_bytes >> 20),
			 (uintmax_t)(stats->disk_max >> 20));
		control_warn(list, text);
	}
	json_array_foreach((json_t *)(uintptr_t)upstreams, i, up)
	{
		if (json_is_true(json_object_get(up, "up")))
			continue;
		snprintf(text, sizeof(text), "upstream %s does not answer",
			 json_string_value(json_object_get(up, "upstream")));
		control_warn(list, text);
	}
	if (server)
		listeners_each_missing(server_listeners(server),
				       control_warn_listen, list);
	if (site_tenant_list(site, control_warn_tenant, list) < 0 ||
	    site_guest_list(site, control_warn_guest, list) < 0)
		control_warn(list, "tenants and guests cannot be listed");
	return list;
}

static json_t *control_depot_json(const struct depot_stats *stats)
{
	return json_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
	    "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}",
	    "packages", (json_int_t)stats->packages, "shards",
	    (json_int_t)stats->shards, "bytes_stored",
	    (json_int_t)stats->shard_bytes, "bytes_logical",
	    (json_int_t)stats->logical_bytes, "cache_bytes",
	    (json_int_t)stats->cache_bytes, "cache_max",
	    (json_int_t)stats->cache_max, "reads_hot",
	    (json_int_t)stats->reads_hot, "reads_warm",
	    (json_int_t)stats->reads_warm, "reads_cold",
	    (json_int_t)stats->reads_cold, "fetched_bytes",
	    (json_int_t)stats->fetched_bytes, "fetched_shards",
	    (json_int_t)stats->fetched_shards, "fetch_errors",
	    (json_int_t)stats->fetch_errors, "fetch_waiting",
	    (json_int_t)stats->fetch_waiting, "verify_failures_store",
	    (json_int_t)stats->verify_failures_store,
	    "verify_failures_upstream",
	    (json_int_t)stats->verify_failures_upstream, "cache_evictions",
	    (json_int_t)stats->cache_evictions, "store_bytes",
	    (json_int_t)stats->disk_bytes, "store_max",
	    (json_int_t)stats->disk_max, "store_kept_bytes",
	    (json_int_t)stats->kept_bytes, "pins", (json_int_t)stats->pins,
	    "evicted_shards", (json_int_t)stats->evicted_shards,
	    "evicted_bytes", (json_int_t)stats->evicted_bytes, "refused_shards",
	    (json_int_t)stats->refused_shards, "store_full", (int)stats->full,
	    "evict", stats->lru ? "lru" : "frequency");
}

int control_status(struct control_request *req)
{
	const struct control_daemon *daemon = &req->control->daemon;
	struct control_count count = {0};
	struct depot_stats stats = {0};
	json_t *upstreams = json_array();
	int rc = -ENOMEM;

	if (upstreams)
		rc = depot_upstream_list(daemon->depot, control_upstream_visit,
					 upstreams);
	if (rc == 0)
		rc = site_tenant_list(daemon->site, control_count_tenant,
				      &count);
	if (rc < 0) {
		json_decref(upstreams);
		return control_fail(req, rc, NULL, "status");
	}
	depot_get_stats(daemon->depot, &stats);
	return control_answer(
	    req, json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:o, s:o, s:o, "
			   "s:o, s:o}",
			   "schema", "status/1", "version", VDRIVE_VERSION,
			   "pid", (json_int_t)getpid(), "listen",
			   daemon->listen, "uptime_sec",
			   (json_int_t)time(NULL) - daemon->start_time_sec,
			   "tenants", count.tenants, "guests", count.guests,
			   "depot", control_depot_json(&stats), "prefetch",
			   control_prefetch_json(daemon->depot), "server",
			   control_server_json(daemon), "warnings",
			   control_warnings(daemon->site, daemon->server,
					    &stats, upstreams),
			   "upstreams", upstreams));
}
