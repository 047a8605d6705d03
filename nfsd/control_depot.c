/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_depot: packages that are taken over from upstreams, and the keys that
 * these may be signed by.
 */
#include <stdio.h>

#include "depot/depot.h"
#include "nfsd/control_request.h"

/* --- keys ---------------------------------------------------------------- */

int control_param_key(struct control_request *req, struct sign_key *key)
{
	const char *text;
	int rc;

	rc = control_param(req, "key", DIGEST_HEX_LEN, &text);
	if (rc < 0)
		return rc;
	if (sign_key_from_hex(text, strlen(text), key) == 0)
		return 0;
	return control_refuse(req, -EINVAL, "vdrive depot key list",
			      "\"%s\" is no public key (64 digits, 0-9 a-f)",
			      text);
}

static int control_key_visit(void *ctx, const char *upstream,
			     const struct sign_key *key, int64_t since_sec)
{
	char hex[DIGEST_HEX_LEN + 1];

	sign_key_to_hex(key, hex);
	return control_append(ctx, json_pack("{s:s, s:s, s:o}", "upstream",
					     upstream, "key", hex, "since",
					     control_time(since_sec)));
}

int control_key_list(struct control_request *req)
{
	json_t *list = json_array();
	int rc = -ENOMEM;

	if (list)
		rc = depot_key_list(req->control->daemon.depot,
				    control_key_visit, list);
	return control_answer_list(req, rc, "key-list/1", "keys", list);
}

static int control_key_fail(struct control_request *req, int rc,
			    const char *upstream, const char *key)
{
	switch (rc) {
	case -ENOENT:
		return control_refuse(req, rc, "vdrive depot key list",
				      "there is no upstream %s with key %.12s",
				      upstream, key);
	case -EPERM:
		return control_refuse(
		    req, rc, "vdrive upstream add, with --key",
		    "upstream %s is used without signatures", upstream);
	case -EBUSY:
		return control_refuse(
		    req, rc, "trust another first; or vdrive upstream remove",
		    "%.12s is the last key that is trusted for upstream %s",
		    key, upstream);
	default:
		return control_fail(req, rc, NULL, "key %.12s of upstream %s",
				    key, upstream);
	}
}

static int control_key_change(struct control_request *req, const char *schema,
			      int (*change)(struct depot *depot,
					    const char *upstream,
					    const struct sign_key *key))
{
	const char *upstream, *text = control_param_text(req, "key");
	struct sign_key key;
	int rc;

	rc = control_param_name(req, "upstream", "an upstream", &upstream);
	if (rc == 0)
		rc = control_param_key(req, &key);
	if (rc < 0)
		return rc;
	rc = change(req->control->daemon.depot, upstream, &key);
	if (rc < 0)
		return control_key_fail(req, rc, upstream, text);
	return control_answer(req,
			      json_pack("{s:s, s:s, s:s}", "schema", schema,
					"upstream", upstream, "key", text));
}

int control_key_trust(struct control_request *req)
{
	return control_key_change(req, "key-trust/1", depot_key_trust);
}

int control_key_remove(struct control_request *req)
{
	return control_key_change(req, "key-remove/1", depot_key_remove);
}

/* --- pull ---------------------------------------------------------------- */

int control_pull(struct control_request *req)
{
	const char *from = control_param_text(req, "from"), *text;
	struct package_info info;
	struct package_ref ref;
	json_t *json;
	int rc;

	rc = control_param_ref(req, &text, &ref);
	if (rc == 0 && from)
		rc = control_param_name(req, "from", "an upstream", &from);
	if (rc < 0)
		return rc;
	rc = depot_package_pull(req->control->daemon.depot, &ref, from, &info);
	if (rc < 0)
		return control_fail(req, rc,
				    rc == -ENOENT ? "vdrive upstream list"
						  : control_depot_hint(rc),
				    "cannot pull %s", text);
	json = control_package_json(&info);
	if (!json)
		return -ENOMEM;
	json_object_set_new(json, "schema", json_string("depot-pull/1"));
	return control_answer(req, json);
}

struct control_fill {
	struct depot *depot;    /* borrows */
	struct tree *tree;      /* ref */
	struct depot_read read; /* shards of which one is missing */
	uint32_t next, end;
	uint32_t fetched;
};

static void control_fill_put(struct control_fill **fill)
{
	if (*fill)
		tree_put((*fill)->tree);
	free(*fill);
}

static bool control_fill_here(const struct control_fill *fill, uint32_t shard)
{
	return depot_shard_here(fill->depot,
				tree_shard_name(fill->tree, shard));
}

/* As many missing ones as go into one request. */
static int control_fill_some(struct control_fill *fill)
{
	struct depot_read *read = &fill->read;
	int rc;

	memset(read, 0, sizeof(*read));
	for (; fill->next < fill->end && read->count < DEPOT_READ_MAX;
	     fill->next++) {
		if (control_fill_here(fill, fill->next))
			continue;
		read->piece[read->count].tree = fill->tree;
		read->piece[read->count++].shard = fill->next;
	}
	if (read->count == 0)
		return 0;
	fill->fetched += read->count;
	rc = depot_read_wait(fill->depot, read);
	depot_read_release(fill->depot, read);
	return rc;
}

/* How many of all shards are here; durably, since this is the last request. */
static int control_fill_end(struct control_fill *fill, uint32_t *here)
{
	int rc;

	*here = 0;
	if (fill->end < tree_shard_count(fill->tree))
		return 0;
	rc = depot_flush(fill->depot);
	for (uint32_t i = 0; rc == 0 && i < fill->end; i++)
		*here += control_fill_here(fill, i);
	return rc;
}

static int control_fill_new(struct control_request *req,
			    struct control_fill **fill)
{
	const char *first = control_param_text(req, "first");
	struct digest digest;
	uint32_t count;
	int rc;

	rc = control_param_digest(req, "tree", &digest);
	if (rc < 0)
		return rc;
	*fill = calloc(1, sizeof(**fill));
	if (!*fill)
		return -ENOMEM;
	(*fill)->depot = req->control->daemon.depot;
	rc = depot_tree_get((*fill)->depot, &digest, &(*fill)->tree);
	if (rc < 0)
		return control_fail(req, rc, NULL, "pull: its tree");
	count = tree_shard_count((*fill)->tree);
	(*fill)->next =
	    MIN((uint32_t)strtoul(first ? first : "0", NULL, 10), count);
	(*fill)->end = MIN((*fill)->next + CONTROL_PULL_MAX, count);
	return 0;
}

int control_pull_shards(struct control_request *req)
{
	CLEANUP(control_fill_put) struct control_fill *fill = NULL;
	uint32_t here;
	int rc;

	rc = control_fill_new(req, &fill);
	if (rc < 0)
		return rc;
	while (rc == 0 && fill->next < fill->end)
		rc = control_fill_some(fill);
	if (rc == 0)
		rc = control_fill_end(fill, &here);
	if (rc < 0)
		return control_fail(req, rc, control_depot_hint(rc),
				    "cannot pull the package's content");
	return control_answer(req, json_pack("{s:s, s:I, s:I, s:I}", "schema",
					     "depot-pull-shards/1", "next",
					     (json_int_t)fill->next, "fetched",
					     (json_int_t)fill->fetched, "here",
					     (json_int_t)here));
}
