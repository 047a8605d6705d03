/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_daemon: import's questions and answers as requests of the admin API.
 */
#include "admin/sink_daemon.h"

#include "admin/cmd.h"

static int sink_have(void *ctx, const struct digest *names, size_t count,
		     bool *here, struct failure *failure)
{
	struct client_request request = {.method = "POST",
					 .path = "/v1/shards/have",
					 .body = names,
					 .body_len = count * DIGEST_LEN};
	CLEANUP_FREE void *reply = NULL;
	size_t len;
	int rc;

	_Static_assert(sizeof(struct digest) == DIGEST_LEN, "no padding");
	rc = client_call(ctx, &request, &reply, &len, failure);
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
	char hex[DIGEST_HEX_LEN + 1];
	struct client_request request = {.method = "POST",
					 .path = "/v1/shards/put",
					 .body = frames,
					 .body_len = len};
	struct digest as_digest;
	json_t *json;
	int rc;

	if (salt) {
		memcpy(as_digest.bytes, salt, DIGEST_LEN);
		digest_to_hex(&as_digest, hex);
		request.query[0] = (struct client_query){"salt", hex};
	}
	rc = client_json(ctx, &request, &json, failure);
	if (rc < 0)
		return rc;
	*added = cmd_number(json, "added");
	*bytes_added = cmd_number(json, "bytes_added");
	json_decref(json);
	return 0;
}

static int sink_tree(void *ctx, const struct import_commit *commit,
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
	rc = client_json(ctx, &request, &json, failure);
	if (rc == 0)
		json_decref(json);
	return rc;
}

static int sink_commit(void *ctx, const struct import_commit *commit,
		       bool *created, struct failure *failure)
{
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
	rc = sink_tree(ctx, commit, failure);
	if (rc == 0)
		rc = client_json(ctx, &request, &json, failure);
	if (rc < 0)
		return rc;
	*created = json_is_true(json_object_get(json, "created"));
	json_decref(json);
	return 0;
}

struct import_sink sink_daemon(struct client *client)
{
	return (struct import_sink){.have = sink_have,
				    .put = sink_put,
				    .commit = sink_commit,
				    .ctx = client};
}
