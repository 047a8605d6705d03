/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_trees: what of this floor points at trees: generations, and the bases of
 * records.  Read from the state database, so that it holds for what no view has
 * open, too.
 */
#include <stdio.h>

#include "depot/log.h"
#include "overlay/each.h"
#include "overlay/layer.h"
#include "overlay/site_own.h"

enum {
	TREES_NAME_MAX = 3 * PACKAGE_NAME_MAX + 4, /* "tenant/guest@snapshot" */
	TREES_SEEN_MAX = 8, /* of a layer, told already */
};

/* --- generations -----------------------------------------------------------
 */

struct trees_generation {
	char tenant[PACKAGE_NAME_MAX + 1]; /* "": none yet */
	struct selection selection;
};

struct trees_walk {
	int (*visit)(void *ctx, const struct trees_generation *generation,
		     bool current);
	void *ctx;
	struct trees_generation *last; /* owns: told when the next is known */
};

/* 'S' tenant 0 generation:4 */
static int trees_generation_decode(const struct each_key *key,
				   struct trees_generation *out)
{
	const uint8_t *zero = memchr(key->rest, '\0', key->rest_len);
	size_t len = zero ? (size_t)(zero - key->rest) : 0;
	int rc = -EBADMSG;

	memset(out, 0, sizeof(*out));
	if (len > 0 && len <= PACKAGE_NAME_MAX && key->rest_len == len + 5) {
		memcpy(out->tenant, key->rest, len);
		out->selection.generation = be32_get(zero + 1);
		rc = selection_decode(key->value, key->value_len,
				      &out->selection);
	}
	return rc == -EBADMSG ? log_err(rc, "state: a selection") : rc;
}

static int trees_generation_visit(void *ctx, const struct each_key *key)
{
	CLEANUP_FREE struct trees_generation *now = malloc(sizeof(*now));
	struct trees_walk *walk = ctx;
	int rc;

	if (!now)
		return -ENOMEM;
	rc = trees_generation_decode(key, now);
	if (rc == 0 && walk->last->tenant[0])
		rc = walk->visit(walk->ctx, walk->last,
				 strcmp(walk->last->tenant, now->tenant) != 0);
	if (rc == 0)
		memcpy(walk->last, now, sizeof(*now));
	return rc;
}

/* All of them; a tenant's last is its current one. */
static int trees_generations(
    struct kv *kv,
    int (*visit)(void *ctx, const struct trees_generation *generation,
		 bool current),
    void *ctx)
{
	CLEANUP_FREE struct trees_generation *last = calloc(1, sizeof(*last));
	struct trees_walk walk = {visit, ctx, last};
	struct record_key prefix;
	int rc;

	if (!last)
		return -ENOMEM;
	record_key_text(&prefix, 'S', "");
	rc = each_key(kv, &prefix, SIZE_MAX, trees_generation_visit, &walk);
	if (rc == 0 && last->tenant[0])
		rc = visit(ctx, last, true);
	return rc;
}

/* --- who has a layer -------------------------------------------------------
 */

struct trees_owner {
	uint64_t layer;
	char name[TREES_NAME_MAX + 1];
};

struct trees_users {
	struct site *site;
	int (*visit)(void *ctx, const struct site_tree_user *user);
	void *ctx;
	struct trees_owner *owners; /* owns */
	size_t count, cap;
	/* of the layer that is being scanned: */
	uint64_t layer;
	struct digest seen[TREES_SEEN_MAX];
	unsigned int seen_count;
};

/* The layer and all that it stands on are `name`'s. */
static int trees_own(struct trees_users *users, uint64_t layer,
		     const char *name)
{
	struct trees_owner *grown;
	int rc = 0;

	while (rc == 0 && layer != 0) {
		if (users->count == users->cap) {
			users->cap = MAX((size_t)64, 2 * users->cap);
			grown = reallocarray(users->owners, users->cap,
					     sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			users->owners = grown;
		}
		users->owners[users->count].layer = layer;
		snprintf(users->owners[users->count].name,
			 sizeof(users->owners->name), "%s", name);
		users->count++;
		rc = layer_parent(users->site->kv, layer, &layer);
	}
	return rc;
}

static int trees_own_guest(void *ctx, const struct each_key *key)
{
	struct guest_record guest;
	char name[TREES_NAME_MAX + 1];
	int rc = guest_decode(key->value, key->value_len, &guest);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%.*s", (int)key->rest_len,
		 (const char *)key->rest);
	return trees_own(ctx, guest.layer, name);
}

/* 'P' tenant '/' guest 0 name */
static int trees_own_snapshot(void *ctx, const struct each_key *key)
{
	const uint8_t *zero = memchr(key->rest, '\0', key->rest_len);
	struct snapshot_record snapshot;
	char name[TREES_NAME_MAX + 1];
	int rc = snapshot_decode(key->value, key->value_len, &snapshot);

	if (rc == 0 && !zero)
		rc = log_err(-EBADMSG, "state: a snapshot's key");
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%.*s@%.*s", (int)(zero - key->rest),
		 (const char *)key->rest,
		 (int)(key->rest + key->rest_len - zero - 1),
		 (const char *)zero + 1);
	return trees_own(ctx, snapshot.layer, name);
}

static int trees_owners(struct trees_users *users)
{
	struct kv *kv = users->site->kv;
	struct record_key prefix;
	int rc;

	record_key_text(&prefix, 'G', "");
	rc = each_key(kv, &prefix, SIZE_MAX, trees_own_guest, users);
	record_key_text(&prefix, 'P', "");
	if (rc == 0)
		rc = each_key(kv, &prefix, SIZE_MAX, trees_own_snapshot, users);
	return rc;
}

/* --- bases of records ------------------------------------------------------
 */

static int trees_tell_base(struct trees_users *users, const struct digest *tree)
{
	struct site_tree_user user = {.tree = *tree, .delta = ""};
	bool told = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < users->count; i++) {
		if (users->owners[i].layer != users->layer)
			continue;
		user.delta = users->owners[i].name;
		told = true;
		rc = users->visit(users->ctx, &user);
	}
	return rc == 0 && !told ? users->visit(users->ctx, &user) : rc;
}

static int trees_record(void *ctx, const struct each_key *key)
{
	struct trees_users *users = ctx;
	struct record rec;
	int rc = record_decode(key->value, key->value_len, &rec);

	if (rc < 0 || !rec.has_base)
		return rc;
	for (unsigned int i = 0; i < users->seen_count; i++)
		if (digest_equal(&users->seen[i], &rec.base_tree))
			return 0;
	if (users->seen_count < TREES_SEEN_MAX)
		users->seen[users->seen_count++] = rec.base_tree;
	return trees_tell_base(users, &rec.base_tree);
}

/* The first layer from *layer on that has records of any kind; *layer is 0 when
 * there is none. */
static int trees_next_layer(struct kv *kv, uint64_t *layer)
{
	struct record_key prefix, from;
	struct kv_iter *it;
	const uint8_t *key;
	size_t len;
	int rc;

	record_key_text(&prefix, 'D', "");
	record_key_kind(&from, *layer, '\0');
	it = kv_iter_new(kv, prefix.bytes, prefix.len, from.bytes, from.len);
	if (!it)
		return -ENOMEM;
	*layer = 0;
	rc = 0;
	if (kv_iter_valid(it)) {
		key = kv_iter_key(it, &len);
		if (len > 9)
			*layer = be64_get(key + 1);
		else
			rc = log_err(-EBADMSG, "state: damaged key");
	}
	if (rc == 0)
		rc = kv_iter_error(it);
	kv_iter_free(it);
	return rc;
}

static int trees_bases(struct trees_users *users)
{
	struct record_key prefix;
	uint64_t layer = 1;
	int rc;

	for (;;) {
		rc = trees_next_layer(users->site->kv, &layer);
		if (rc < 0 || layer == 0)
			return rc;
		users->layer = layer;
		users->seen_count = 0;
		record_key_kind(&prefix, layer, 'i');
		rc = each_scanned(users->site->kv, &prefix, 8, trees_record,
				  users);
		if (rc != 0 || layer == UINT64_MAX)
			return rc;
		layer++;
	}
}

/* --- own packages of guests ------------------------------------------------
 */

static int trees_own_list(void *ctx, const struct each_key *key)
{
	CLEANUP_FREE struct guest_own *own = malloc(sizeof(*own));
	struct trees_users *users = ctx;
	struct site_tree_user user = {.generation = 0};
	char name[TREES_NAME_MAX + 1];
	int rc = own ? own_decode(key->value, key->value_len, own) : -ENOMEM;

	if (rc < 0)
		return rc == -EBADMSG ? log_err(rc, "state: own packages") : rc;
	snprintf(name, sizeof(name), "%.*s", (int)key->rest_len,
		 (const char *)key->rest);
	user.guest = name;
	for (unsigned int i = 0; rc == 0 && i < own->count; i++) {
		user.package = &own->package[i];
		user.tree = own->package[i].tree;
		rc = users->visit(users->ctx, &user);
	}
	return rc;
}

static int trees_own_lists(struct trees_users *users)
{
	struct record_key prefix;

	record_key_text(&prefix, 'O', "");
	return each_key(users->site->kv, &prefix, SIZE_MAX, trees_own_list,
			users);
}

/* --- the facade ------------------------------------------------------------
 */

static int trees_tell_generation(void *ctx,
				 const struct trees_generation *generation,
				 bool current)
{
	const struct selection *selection = &generation->selection;
	struct trees_users *users = ctx;
	struct site_tree_user user = {.tenant = generation->tenant,
				      .generation = selection->generation,
				      .current = current,
				      .delta = NULL};
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < selection->count; i++) {
		user.package = &selection->package[i];
		user.tree = user.package->tree;
		rc = users->visit(users->ctx, &user);
	}
	return rc;
}

static int trees_tell_past(void *ctx, const struct digest *tree)
{
	struct trees_users *users = ctx;
	struct site_tree_user user = {.tree = *tree, .delta = "", .past = true};

	return users->visit(users->ctx, &user);
}

int site_tree_users(struct site *site,
		    int (*visit)(void *ctx, const struct site_tree_user *user),
		    void *ctx)
{
	struct trees_users users = {.site = site, .visit = visit, .ctx = ctx};
	int rc;

	rc = trees_generations(site->kv, trees_tell_generation, &users);
	if (rc == 0)
		rc = trees_own_lists(&users);
	if (rc == 0)
		rc = trees_owners(&users);
	if (rc == 0)
		rc = trees_bases(&users);
	if (rc == 0)
		rc = past_each_tree(site->kv, trees_tell_past, &users);
	free(users.owners);
	return rc;
}

struct trees_forget {
	const struct digest *revision; /* borrows */
	const char *name, *tag;        /* borrow */
	struct kv_batch *batch;
	unsigned int count;
};

static int trees_forget_visit(void *ctx,
			      const struct trees_generation *generation,
			      bool current)
{
	const struct selection *selection = &generation->selection;
	struct trees_forget *forget = ctx;
	struct record_key key;

	for (unsigned int i = 0; !current && i < selection->count; i++) {
		const struct package_info *p = &selection->package[i];

		if (!digest_equal(&p->revision, forget->revision) ||
		    strcmp(p->name, forget->name) != 0 ||
		    (*forget->tag && strcmp(p->tag, forget->tag) != 0))
			continue;
		record_key_text(&key, 'S', generation->tenant);
		key.bytes[key.len++] = '\0';
		be32_put(key.bytes + key.len, selection->generation);
		key.len += 4;
		kv_batch_delete(forget->batch, key.bytes, key.len);
		forget->count++;
		break;
	}
	return 0;
}

int site_forget_generations(struct site *site, const struct digest *revision,
			    const char *name, const char *tag,
			    unsigned int *count)
{
	struct trees_forget forget = {.revision = revision,
				      .name = name,
				      .tag = tag,
				      .batch = kv_batch_new()};
	int rc;

	if (!forget.batch)
		return -ENOMEM;
	/* No new generation comes meanwhile: the current one stays current. */
	pthread_mutex_lock(&site->verbs);
	rc = trees_generations(site->kv, trees_forget_visit, &forget);
	if (rc == 0 && forget.count > 0)
		rc = site_write(site, forget.batch);
	pthread_mutex_unlock(&site->verbs);
	kv_batch_free(forget.batch);
	*count = forget.count;
	return rc;
}
