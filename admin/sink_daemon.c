/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_daemon: import's questions and answers as requests of the admin API.
 */
#include "admin/sink_daemon.h"

#include <stdio.h>

#include "admin/cmd.h"

static int sink_lease(struct sink_daemon *daemon, struct failure *failure)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/leases"};
	json_t *json;
	int rc;

	if (daemon->lease[0])
		return 0;
	rc = client_json(daemon->client, &request, &json, failure);
	if (rc < 0)
		return rc;
	snprintf(daemon->lease, sizeof(daemon->lease), "%ju",
		 (uintmax_t)cmd_number(json, "lease"));
	json_decref(json);
	return 0;
}

void sink_daemon_end(struct sink_daemon *daemon)
{
	struct client_request request = {
	    .method = "POST",
	    .path = "/v1/leases/close",
	    .query = {{"lease", daemon->lease},
		      {"named", daemon->committed ? "1" : "0"}},
	    .must_finish = true};
	struct failure failure = {0}; /* then it ends by itself */
	json_t *json;

	if (!daemon->lease[0])
		return;
	if (client_json(daemon->client, &request, &json, &failure) == 0)
		json_decref(json);
	failure_clear(&failure);
	daemon->lease[0] = '\0';
}

static int sink_have(void *ctx, const struct digest *names, size_t count,
		     bool *here, struct failure *failure)
{
	struct sink_daemon *daemon = ctx;
	struct client_request request = {.method = "POST",
					 .path = "/v1/shards/have",
					 .query = {{"lease", daemon->lease}},
					 .body = names,
					 .body_len = count * DIGEST_LEN};
	CLEANUP_FREE void *reply = NULL;
	size_t len;
	int rc;

	_Static_assert(sizeof(struct digest) == DIGEST_LEN, "no padding");
	rc = sink_lease(daemon, failure);
	if (rc == 0)
		rc = client_call(daemon->client, &request, &reply, &len,
				 failure);
	if (rc < 0)
		return rc;
	if (len != count)
		return failure_set(failure, -EPROTO, CONTROL_EXIT_FAILED,
				   "shards/have: the daemon answered %zu of "
				   "%zu",
				   len, count);
	for (size_t i = 0; i < count; i++)
		here[i] = ((const char *)reply)[i] == '1';
	return 0;
}

static int sink_put(void *ctx, const uint8_t *salt, const void *frames,
		    size_t len, uint64_t *added, uint64_t *bytes_added,
		    struct failure *failure)
{
	struct sink_daemon *daemon = ctx;
	char hex[DIGEST_HEX_LEN + 1];
	struct client_request request = {.method = "POST",
					 .path = "/v1/shards/put",
					 .query = {{"lease", daemon->lease}},
					 .body = frames,
					 .body_len = len};
	struct digest as_digest;
	json_t *json;
	int rc;

	if (salt) {
		memcpy(as_digest.bytes, salt, DIGEST_LEN);
		digest_to_hex(&as_digest, hex);
		request.query[1] = (struct client_query){"salt", hex};
	}
	rc = sink_lease(daemon, failure);
	if (rc == 0)
		rc = client_json(daemon->client, &request, &json, failure);
	if (rc < 0)
		return rc;
	*added = cmd_number(json, "added");
	*bytes_added = cmd_number(json, "bytes_added");
	json_decref(json);
	return 0;
}

static int sink_tree(struct client *client, const struct import_commit *commit,
		     struct failure *failure)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/tree",
					 .body = commit->tree_bytes,
					 .body_len = commit->tree_len};
	json_t *json;
	int rc;

	if (commit->tree_len > CONTROL_TREE_MAX)
		return failure_errno(failure, -EFBIG,
				     "%s:%s has too many files: its tree",
				     commit->name, commit->tag);
	rc = client_json(client, &request, &json, failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

static int sink_commit(void *ctx, const struct import_commit *commit,
		       bool *created, struct failure *failure)
{
	struct sink_daemon *daemon = ctx;
	char hex[DIGEST_HEX_LEN + 1];
	struct client_request request = {.method = "POST",
					 .path = "/v1/packages",
					 .query = {{"name", commit->name},
						   {"tag", commit->tag},
						   {"tree", hex}},
					 .body = commit->revision_json,
					 .body_len =
					     strlen(commit->revision_json)};
	json_t *json;
	int rc;

	digest_to_hex(&commit->tree, hex);
	rc = sink_tree(daemon->client, commit, failure);
	if (rc == 0)
		rc = client_json(daemon->client, &request, &json, failure);
	if (rc < 0)
		return rc;
	daemon->committed = true;
	*created = json_is_true(json_object_get(json, "created"));
	json_decref(json);
	return 0;
}

struct import_sink sink_daemon(struct sink_daemon *daemon,
			       struct client *client)
{
	*daemon = (struct sink_daemon){.client = client};
	return (struct import_sink){.have = sink_have,
				    .put = sink_put,
				    .commit = sink_commit,
				    .ctx = daemon};
}
